"""One recipe over many games: never below a player that made its data, nor below cloning.

    python -m experiments battery [SETTING ...]            # all seeds; an interrupted run continues
    python -m experiments battery --seeds 2 simple_tag     # fewer, to look
    python -m experiments battery --table                  # only the page, from the CSV files
    python -m experiments battery --coverage               # what logged play says that the agents will earn
    python -m experiments battery --estimates              # the choice of closeness by logged play, beside that in play

Every setting of `experiments.battery.settings` is one sweep of the preset `demo`, nothing
changed but the game, its players and the number of logged games: results/battery/SETTING.toml,
which `bestreply sweep` runs as well. It writes results/battery/SETTING.csv and README.md.

A cell is a role and an opponent set. In cells of kind (a) the opponents are drawn anew for
each game, as in the data, and the agent infers who they are; it must not be below any
player of the data, nor below behaviour cloning. In cells of kind (b) the agent is given
their types (`true_types`), since who picks the best player of the data for an opponent set
knows it too; it must not be below any player of the data. It is *not below* another one
where the lower 95 % bound over seeds of (agent minus the other) is at least -.05 of the
span: the best player of the data less the random player there (the best of all methods
where no player is better than the random one). Column `inferred`: the agent that is not given
the types.
"""
