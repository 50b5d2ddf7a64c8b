"""Markov Stag Hunt: one hunter catches a hare, two or more a stag.

Huang et al., "Efficient Adaptation in Mixed-Motive Environments via Hierarchical
Opponent Modeling and Planning" (HOP), ICML 2024.
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from bestreply.games.grid import GridGame, GridState
from bestreply.types import Array

HUNT_STAG, HUNT_HARE = 5, 6


@dataclasses.dataclass(frozen=True)
class StagHunt(GridGame):
    """Markov Stag Hunt: hunters move on a grid and catch prey that does not move.

    Hunters that choose HUNT_STAG on the same stag in the same step are a party: a
    single hunter fails and stays, two or more share `stag_reward` equally. One hunter
    catches a hare; several on the same hare in the same step share `hare_reward`.
    With `leave` (as published), hunters leave for good after a catch, and the game
    ends when all have left. Without it they stay, and it ends when no prey is left.
    Legal: moves onto free cells, STAY, HUNT_* on a cell with such a prey; only STAY
    for a hunter that has left.

    Not specified by the publication and chosen here: prey starts on distinct cells
    across both kinds; the time left is the last observation plane.
    """

    name = "stag_hunt"
    version = 1
    summary = "Markov Stag Hunt: one hunter catches a hare (1), two or more share a stag (10); catchers leave"

    hunters: int = 4
    stags: int = 1
    hares: int = 4
    leave: bool = True
    stag_reward: float = 10.0
    hare_reward: float = 1.0

    takers = ("HUNT_STAG", "HUNT_HARE")
    role = "hunter"
    colours = {"stags": "#d9b382", "hares": "#bcd6a4"}  # noqa: RUF012

    def check_settings(self) -> None:
        super().check_settings()
        if self.hunters < 1:
            raise ValueError(
                f"hunters={self.hunters}: expected 1 or more in stag_hunt"
            )

    @property
    def num_players(self) -> int:
        return self.hunters

    @property
    def kinds(self) -> dict[str, int]:
        return {"stags": self.stags, "hares": self.hares}

    @property
    def goals(self) -> tuple[str, ...]:
        return ("stag", "hare", "none")

    def take(
        self, state: GridState, actions: Int[Array, " n"]
    ) -> tuple[Float[Array, " n"], Bool[Array, " n"], Bool[Array, " K"]]:
        is_stag = self.thing_kind == 0
        hunted = jnp.where(is_stag, HUNT_STAG, HUNT_HARE)  # [K]
        same_cell = state.cell[:, None] == state.thing_cell
        hunts = same_cell & state.thing_present & (actions[:, None] == hunted)
        party = hunts.sum(0)
        caught = party >= jnp.where(is_stag, 2, 1)
        value = jnp.where(is_stag, self.stag_reward, self.hare_reward)
        share = value / jnp.maximum(party, 1)
        catches = hunts & caught  # [n, K]
        leaves = catches.any(1) if self.leave else jnp.zeros(self.hunters, bool)
        return (catches * share).sum(1), leaves, caught

    def over(self, state: GridState) -> Bool[Array, ""]:
        return state.left.all() if self.leave else super().over(state)
