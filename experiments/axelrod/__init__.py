"""Enter the iterated prisoner's dilemma of 245 strategies (the package axelrod) with one learned agent; results in
results/axelrod/.

The package is not a dependency: `pip install axelrod==4.13.1`. Three tournaments with
published tables: 200 turns; the same with noise (each action is flipped with
probability .05); matches that end with probability .1 after each turn. A score is the
mean over opponents of the payoff per turn, and the median of that over repetitions.
Strategies that the package calls long-running (18, mostly teams of all others) are left out.

    python -m experiments axelrod               # all of the following; what is there is kept
    python -m experiments axelrod replay        # the published tournaments (hours on one core)
    python -m experiments axelrod enter         # the agent: five seeds, learned from all strategies or two thirds
    python -m experiments axelrod table         # only the page

The agent learns from logs: matches of a player that acts at random, in runs or by copying,
then rounds of its own play. For each strategy it keeps a table: the probability that it
cooperates, given up to four last joint actions, backed off to fewer (`model`). It knows the
tournament's rules, not its opponent. In a match it keeps a belief over the tables, and
over one more that is none of them and is learned during the match. It looks up to six
turns ahead over what both may do and what it would then believe. Beyond that, the value of
a turn is the exact one against each table by itself (`agent`).
"""
