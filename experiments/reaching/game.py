"""CooperativeReaching: two players meet in a corner of a grid.

Rahman et al., "Generating Teammates for Training Robust Ad Hoc Teamwork Agents via
Best-Response Diversity", TMLR 2023; here with the rules of POSGGym's
``CooperativeReaching-v0``, mode "original".
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int32, PRNGKeyArray, Shaped

from bestreply.games.base import Game, Outcomes
from bestreply.types import Array, TimeStep

NOTHING, UP, DOWN, LEFT, RIGHT = range(5)
ROW_STEPS = np.array([0, -1, 1, 0, 0])
COLUMN_STEPS = np.array([0, 0, 0, -1, 1])


class ReachingState(eqx.Module):
    """Cells of both players, and the time."""

    cell: Array  # [2] int32, row * size + column
    time: Array  # [] int32, steps made


@dataclasses.dataclass(frozen=True)
class Reaching(Game):
    """Both players are paid when they stand on the same corner, which ends the game.

    The corners, from the top left one clockwise, pay 1, `low`, 1, `low`. A player moves
    to a neighbouring cell or does nothing; it stays where a move leads off the grid.
    Both may share a cell. Each starts on a uniformly drawn cell that is not at the edge.

    Observation [size, size, 2]: the own cell, the cell of the other player. The time
    is not observed, as published.
    """

    name = "reaching"
    version = 1
    summary = (
        "CooperativeReaching: two players meet in a corner that pays 1 or .75"
    )

    size: int = 5
    low: float = 0.75
    max_steps: int = 50

    def __post_init__(self) -> None:
        if self.size < 3:
            raise ValueError(f"size={self.size}: expected at least 3")
        if self.max_steps < 1:
            raise ValueError(f"max_steps={self.max_steps}: expected at least 1")

    # -- sizes and names -------------------------------------------------------

    @property
    def num_players(self) -> int:
        return 2

    @property
    def action_names(self) -> tuple[str, ...]:
        return ("NOTHING", "UP", "DOWN", "LEFT", "RIGHT")

    @property
    def obs_shape(self) -> tuple[int, ...]:
        return (self.size, self.size, 2)

    @property
    def planes(self) -> tuple[str, ...]:
        return ("self", "other")

    @property
    def binary(self) -> np.ndarray:
        return np.ones(self.obs_shape, bool)

    @property
    def symmetric(self) -> bool:
        return True

    @property
    def goals(self) -> tuple[str, ...]:
        return ("top_left", "top_right", "bottom_right", "bottom_left", "none")

    @property
    def corners(self) -> Int32[np.ndarray, "4"]:
        """The cells of the corners, in the order of `goals`."""
        n = self.size
        return np.array([0, n - 1, n * n - 1, n * (n - 1)], np.int32)

    @property
    def values(self) -> Float[np.ndarray, "4"]:
        """What the corners pay."""
        return np.array([1, self.low, 1, self.low], np.float32)

    # -- rules -----------------------------------------------------------------

    def start(self, key: PRNGKeyArray) -> ReachingState:
        row, column = jax.random.randint(key, (2, 2), 1, self.size - 1)
        cell = row * self.size + column
        return ReachingState(cell.astype(jnp.int32), jnp.int32(0))

    def first_states(self) -> Outcomes:
        inner = range(1, self.size - 1)
        cells = [row * self.size + column for row in inner for column in inner]
        pairs = np.array([(a, b) for a in cells for b in cells], np.int32)
        states = ReachingState(pairs, np.zeros(len(pairs), np.int32))
        shown = jax.vmap(lambda s: self.look(s, jnp.zeros(2)))(states)
        probability = np.full(len(pairs), 1 / len(pairs), np.float32)
        return Outcomes(probability, states, shown)

    def advance(
        self,
        state: ReachingState,
        actions: Int[Array, " 2"],
        key: PRNGKeyArray,
    ) -> tuple[ReachingState, Float[Array, " 2"]]:
        row, column = state.cell // self.size, state.cell % self.size
        row = row + jnp.asarray(ROW_STEPS)[actions]
        column = column + jnp.asarray(COLUMN_STEPS)[actions]
        row, column = (jnp.clip(x, 0, self.size - 1) for x in (row, column))
        cell = (row * self.size + column).astype(jnp.int32)
        state = ReachingState(cell, state.time + 1)
        paid = (self._met(state) * jnp.asarray(self.values)).sum()
        return state, jnp.full(2, paid)

    def _met(self, state: ReachingState) -> Bool[Array, "4"]:
        """Return the corner on which both players stand."""
        return (state.cell[:, None] == jnp.asarray(self.corners)).all(0)

    def finished(self, state: ReachingState) -> Bool[Array, ""]:
        return self._met(state).any() | (state.time >= self.max_steps)

    def look(
        self, state: ReachingState, reward: Float[Array, " 2"]
    ) -> TimeStep:
        over = self._met(state).any()
        own = jax.nn.one_hot(state.cell, self.size**2)  # [2, cells]
        obs = jnp.stack([own, own[::-1]], axis=-1)
        return TimeStep(
            obs=obs.reshape(2, *self.obs_shape),
            legal=jnp.ones((2, self.num_actions), bool),
            reward=reward.astype(jnp.float32),
            terminated=jnp.full(2, over),
            truncated=(state.time >= self.max_steps) & ~over,
            present=jnp.ones(2, bool),
        )

    # -- contents of an observation --------------------------------------------

    def perspective(
        self, obs: Shaped[Array, "... 2"], other: Int[Array, ""] | int
    ) -> Shaped[Array, "... 2"]:
        return jnp.where(jnp.asarray(other) == 0, obs, obs[..., ::-1])

    def legal_in(self, obs: Shaped[Array, "..."]) -> Bool[Array, " A"]:
        return jnp.ones(self.num_actions, bool)

    def present_in(self, obs: Shaped[Array, "... H W P"]) -> Bool[Array, "..."]:
        return jnp.ones((*jnp.shape(obs)[:-3], 2), bool)

    def state_in(self, obs: Shaped[Array, "H W P"]) -> ReachingState:
        """Return the state of an observation, with time 0, since it is not observed.

        Args:
            obs: the observation.
        """
        cell = jnp.argmax(jnp.reshape(obs, (-1, 2)), axis=0)
        return ReachingState(cell.astype(jnp.int32), jnp.int32(0))

    def achieved(
        self,
        obs: Shaped[Array, "*batch H W P"],
        action: Int[Array, "*batch"],
        reward: Float[Array, "*batch"],
    ) -> Int32[Array, "*batch"]:
        """Return the corner on which a player stands after a step.

        Args:
            obs: observations before the step.
            action: actions, ABSENT where there was none.
            reward: rewards of the step.

        Returns:
            Indices into `goals`; -1 elsewhere.
        """
        action = np.asarray(action)
        own = np.asarray(obs)[..., 0].reshape(*action.shape, -1).argmax(-1)
        taken = np.maximum(action, 0)
        row = np.clip(own // self.size + ROW_STEPS[taken], 0, self.size - 1)
        column = np.clip(
            own % self.size + COLUMN_STEPS[taken], 0, self.size - 1
        )
        cell = (row * self.size + column)[..., None]
        on = (cell == self.corners) & (action >= 0)[..., None]
        return np.where(on.any(-1), on.argmax(-1), -1).astype(np.int32)
