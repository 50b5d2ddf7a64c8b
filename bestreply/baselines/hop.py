"""A re-implementation in the manner of HOP: goal inference and tree search in the true game.

Huang et al., "Efficient adaptation in mixed-motive environments via hierarchical opponent
modeling and planning", 2024. Opponents' goals are inferred within and between episodes;
their policies are conditioned on goals; a tree search runs in the game itself.

Taken from HOP: the belief over goals that the game labels, its prior carried from episode
to episode with a discount, goal-conditioned policies learned from play, the search with
the true simulator. Different: HOP's networks learn from millions of steps of self-play
and guide the search; here, for equal environment steps with the other methods, the value
is learned from the logged play.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from bestreply.config import RunConfig
from bestreply.games.base import Game
from bestreply.methods.agent import AgentMethod
from bestreply.models.true_model import shows_state
from bestreply.training.state import TrainState

MEMORY = 0.9
"""Discount for each episode of the goal counts that are the next episode's prior."""


class HOP(AgentMethod):
    """The agent with goals as types, memory over episodes, and search in the true game."""

    def configure(self, config: RunConfig) -> RunConfig:
        """Return `config` with HOP's planner, world, memory and types.

        Args:
            config: configuration of a run; sizes, updates and simulations are kept.

        Returns:
            The configuration that is trained.

        Raises:
            ValueError: settings that exclude each other.
        """
        planner = dataclasses.replace(
            config.planner, planner="mcts", world="true", memory=MEMORY
        )
        model = dataclasses.replace(config.model, opponent_types="goal")
        train = dataclasses.replace(config.train, anchor_updates=0)
        return super().configure(
            dataclasses.replace(
                config, planner=planner, model=model, train=train
            )
        )

    def start(
        self, config: RunConfig, game: Game, roster: Sequence[dict[str, Any]]
    ) -> TrainState:
        """Return the untrained train state, as `AgentMethod.start`.

        Raises:
            ValueError: the true game cannot be planned in.
        """
        if not shows_state(game):
            raise ValueError(
                f"method={config.method} in {game.name}: expected a game whose "
                "observations show its state (`state_in`), in which it searches, such "
                "as stag_hunt; or another method: 'bestreply methods' lists them"
            )
        return super().start(config, game, roster)
