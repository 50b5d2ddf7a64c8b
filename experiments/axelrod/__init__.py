"""Enter three published tournaments of the iterated prisoner's dilemma with one learned agent.

The opponents come from Axelrod's library, which is not a dependency:
`pip install axelrod==4.13.1`. Three tournaments have published tables: `standard` (200
turns), `noise` (200 turns, each action is flipped with probability .05) and `prob_end`
(matches end with probability .1 after each turn). A score is the mean over opponents of the
payoff per turn, and the median of that over repetitions. 18 of the 245 strategies, mostly
teams of all the rest, are slow and left out.

    python -m experiments axelrod               # all of the following; existing results are kept
    python -m experiments axelrod replay        # a rerun of the tournaments (hours on one core)
    python -m experiments axelrod enter         # the agent, learned from all strategies or two thirds; --seeds 10 11 ...
    python -m experiments axelrod bounds        # what can be had without knowing the opponent; 2 minutes a seed
    python -m experiments axelrod library       # opponent models of the library beside twelve strategies
    python -m experiments axelrod table         # only the page

The agent learns from logs: matches of a player that acts at random, repeats its last
action, or copies the opponent; then rounds of its own play. For each strategy it keeps a table
(`model.opponents=tables`): how often it cooperates after each sequence of up to four joint
actions, backed off to shorter ones. It knows the tournament's rules, not its opponent. In a
match it keeps a belief over the tables. It looks a few turns ahead over what both may do and
what it would then believe. Beyond that, the value of a turn is the exact one against each
table by itself.
"""
