"""A re-implementation in the manner of HOP (Huang et al., "Efficient adaptation in mixed-motive environments via hierarchical opponent
modeling and planning", 2024): goals of the others inferred within and between episodes, policies of the others given their goals,
and a tree search in the game itself.

What is HOP's: the belief over goals labelled by the game, its prior of the others carried from episode to episode with a discount,
goal-conditioned policies learned from play, a search with the true simulator. What is not: its networks learn from millions of steps
of self-play and guide the search; here, on equal environment steps with the other methods, the value is learned from the logged play.
"""

import dataclasses

from bestreply.config import RunConfig

MEMORY = 0.9
"""What an episode counts a further episode later, as a prior of the others' goals."""


def configure(config: RunConfig) -> RunConfig:
    """`config` with what makes it HOP: everything else (sizes, updates, simulations) stays as asked for."""
    planner = dataclasses.replace(
        config.planner, planner="mcts", world="true", memory=MEMORY
    )
    model = dataclasses.replace(config.model, opponent_types="goal")
    return dataclasses.replace(config, planner=planner, model=model)
