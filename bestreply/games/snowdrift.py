"""Markov Snowdrift Game: all gain from a removed drift, its removers pay.

Huang et al., "Efficient Adaptation in Mixed-Motive Environments via Hierarchical
Opponent Modeling and Planning" (HOP), ICML 2024.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int32

from bestreply.games.grid import MOVES, GridGame, GridState
from bestreply.types import Array

REMOVE = len(MOVES)


@dataclasses.dataclass(frozen=True)
class Snowdrift(GridGame):
    """Markov Snowdrift Game: players move on a grid of snowdrifts; none leaves.

    Each removed drift pays every player `removal_reward`; its `removal_cost` is split
    equally among the players that removed it in that step. With the defaults and 4
    players: +2 for a sole remover, +4 for each of two, +6 for a free rider, 20 for
    the group in every case. The game ends when no drift is left (terminated) or at
    the step limit (truncated). Legal: moves onto free cells, STAY, REMOVE on a drift.

    Published with 8x8, 6 drifts, 50 steps. The defaults here are 4x4, 6 drifts, 15
    steps: 50 steps suffice to remove all drifts, which makes the types of players
    too easy to identify. Not specified by the publication and chosen here: players
    start anywhere, also on drifts; the time left is the last observation plane.
    """

    name = "snowdrift"
    version = 1
    summary = "Markov Snowdrift Game: a drift removed pays all (6), its cost (4) is shared by those who removed it"

    players: int = 4
    drifts: int = 6
    removal_reward: float = 6.0
    removal_cost: float = 4.0

    takers = ("REMOVE",)
    role = "player"
    colours = {"drifts": "#b9d3ea"}  # noqa: RUF012

    def check_settings(self) -> None:
        super().check_settings()
        if self.players < 1:
            raise ValueError(
                f"players={self.players}: expected 1 or more in snowdrift"
            )

    @property
    def num_players(self) -> int:
        return self.players

    @property
    def kinds(self) -> dict[str, int]:
        return {"drifts": self.drifts}

    @property
    def goals(self) -> tuple[str, ...]:
        return ("drift", "none")

    def take(
        self, state: GridState, actions: Int[Array, " n"]
    ) -> tuple[Float[Array, " n"], Bool[Array, " n"], Bool[Array, " K"]]:
        same_cell = state.cell[:, None] == state.thing_cell
        chosen = actions[:, None] == REMOVE
        removes = same_cell & state.thing_present & chosen  # [n, K]
        removers = removes.sum(0)
        removed = removers > 0
        cost = (removes * (self.removal_cost / jnp.maximum(removers, 1))).sum(1)
        reward = removed.sum() * self.removal_reward - cost
        return reward, jnp.zeros(self.players, bool), removed

    def achieved(
        self,
        obs: Float[Array, "..."],
        action: Int[Array, "*batch"],
        reward: Float[Array, "*batch"],
    ) -> Int32[Array, "*batch"]:
        # REMOVE is legal only on a drift and always succeeds, whatever it pays.
        return np.where(np.asarray(action) == REMOVE, 0, -1).astype(np.int32)
