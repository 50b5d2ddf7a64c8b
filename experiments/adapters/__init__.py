"""Prove each adapter end to end: collect, train, evaluate and report; results in
results/adapters/.

`games.PROOFS` lists the games, each with a player of its own (`players`), which is named
as ``module:attr``. Budgets are small: the table shows that every step of the pipeline
works on games of other authors, not how well an agent can get.
"""
