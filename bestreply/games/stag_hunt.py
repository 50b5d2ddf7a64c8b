"""Markov Stag Hunt: hare for one, stag for those who come together (Huang et al., HOP, ICML 2024)."""

import dataclasses

import jax
import jax.numpy as jnp

from bestreply.games.grid import GridGame, GridState

HUNT_STAG, HUNT_HARE = 5, 6


@dataclasses.dataclass(frozen=True)
class StagHunt(GridGame):
    """Markov Stag Hunt. Hunters move on a grid and catch prey that stands still.

    Hunters that choose HUNT_STAG on the same stag in the same step are a party: one alone fails and stays,
    two or more share `stag_reward` equally. One hunter is enough for a hare; several on the same hare in the
    same step share `hare_reward`. With `leave` (as published) hunters that have caught something leave for
    good, and the game ends when all have; without it they stay, and it ends when no prey is left. Legal:
    moves onto free cells, STAY, HUNT_* on a cell that holds such a prey; STAY alone for a hunter that has
    left.

    Chosen here, not on record: prey lies on distinct cells across both kinds; the time left is a last
    observation plane.
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
                f"stag_hunt: hunters={self.hunters}; expected: 1 or more"
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
        self, state: GridState, actions: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        hunted = jnp.where(
            self.thing_kind == 0, HUNT_STAG, HUNT_HARE
        )  # [K], the action that takes each
        on = (
            (state.cell[:, None] == state.thing_cell)
            & state.thing_present
            & (actions[:, None] == hunted)
        )  # [n, K]
        party = on.sum(0)
        gone = party >= jnp.where(self.thing_kind == 0, 2, 1)
        worth = jnp.where(
            self.thing_kind == 0, self.stag_reward, self.hare_reward
        ) / jnp.maximum(party, 1)
        caught = on & gone
        leaves = caught.any(1) if self.leave else jnp.zeros(self.hunters, bool)
        return (caught * worth).sum(1), leaves, gone

    def over(self, state: GridState) -> jax.Array:
        return jnp.asarray(
            state.left.all() if self.leave else ~state.thing_present.any()
        )
