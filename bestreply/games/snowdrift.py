"""Markov Snowdrift Game: all gain when a drift goes, who removes it pays (Huang et al., HOP, ICML 2024)."""

import dataclasses

import jax
import jax.numpy as jnp

from bestreply.games.grid import MOVES, GridGame, GridState
from bestreply.types import Array

REMOVE = len(MOVES)


@dataclasses.dataclass(frozen=True)
class Snowdrift(GridGame):
    """Markov Snowdrift Game. Players move on a grid of snowdrifts that lie still; nobody leaves.

    Each drift removed pays every player `removal_reward`; its `removal_cost` is split equally among those who
    removed it in that step. With the defaults and 4 players: +2 to a sole remover, +4 to each of two, +6 to a
    free rider, 20 to the group in any case. The game ends when no drift is left (terminated) or at the step
    limit (truncated). Legal: moves onto free cells, STAY, REMOVE on a drift.

    Published with 8x8, 6 drifts, 50 steps. The defaults here are 4x4, 6 drifts, 15 steps: with 50 steps there
    is time to remove everything, and players are too easily told apart. Not on record and chosen here:
    players start anywhere, on drifts as well; the time left is a last observation plane.
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
                f"snowdrift: players={self.players}; expected: 1 or more"
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
        self, state: GridState, actions: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        removes = (
            (state.cell[:, None] == state.thing_cell)
            & state.thing_present
            & (actions[:, None] == REMOVE)
        )  # [n, K]
        removers = removes.sum(0)
        gone = removers > 0
        cost = (removes * (self.removal_cost / jnp.maximum(removers, 1))).sum(1)
        reward = gone.sum() * self.removal_reward - cost
        return reward, jnp.zeros(self.players, bool), gone

    def achieved(self, obs: Array, action: Array, reward: Array) -> jax.Array:
        """REMOVE is legal on a drift alone and never fails: it is the event, whatever the step paid."""
        return jnp.where(jnp.asarray(action) == REMOVE, 0, -1).astype(jnp.int32)
