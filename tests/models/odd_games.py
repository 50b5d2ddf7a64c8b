"""Small games of what the library's own do not have: roles, numbers of any size, pixels, empty seats."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.games.base import Game
from bestreply.games.seats import marked_seat, own_actions, seat_marks
from bestreply.types import TimeStep


class State(NamedTuple):
    step: jax.Array
    number: jax.Array  # 0, 1 or 2


@dataclasses.dataclass(frozen=True)
class Roles(Game):
    """A boss with two actions and rewards of hundreds; workers with three and of ones.

    Observations: a number of ten thousands, a tiny one, a constant, and the mark of the
    seat. With `empty`, the last seat is empty from the start.
    """

    name: ClassVar[str] = "roles"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "a boss and two workers"
    max_steps: int = 3
    empty: bool = False

    num_players = 3
    action_names = ("a", "b", "c")
    roles = ("boss", "worker", "worker")
    seat_actions = (2, 3, 3)
    obs_shape = (6,)

    @property
    def binary(self):
        return np.arange(6) >= 3

    def seat_in(self, obs):
        return marked_seat(obs, self.obs_shape, 3)

    def start(self, key):
        return State(jnp.int32(0), jax.random.randint(key, (), 0, 3))

    def advance(self, state, actions, key):
        boss = 300.0 * (actions[0] == actions[1]) + 200
        workers = (actions[1:] == state.number) * 1.0
        number = jax.random.randint(key, (), 0, 3)
        reward = jnp.concatenate([boss[None], workers])
        here = jnp.arange(3) < 3 - self.empty
        return State(state.step + 1, number), jnp.where(here, reward, 0.0)

    def finished(self, state):
        return state.step >= self.max_steps

    def look(self, state, reward):
        seen = jnp.stack(
            [
                1e4 + 5e3 * state.number,
                1e-4 * state.step,
                jnp.float32(700.0),
            ]
        )
        marks = seat_marks((3,), 3, np.dtype(np.float32))
        obs = jnp.concatenate([jnp.tile(seen, (3, 1)), jnp.asarray(marks)], 1)
        here = jnp.arange(3) < 3 - self.empty
        return TimeStep(
            obs=obs,
            legal=jnp.asarray(own_actions(self)),
            reward=reward,
            terminated=jnp.zeros(3, bool),
            truncated=self.finished(state),
            present=here,
        )


@dataclasses.dataclass(frozen=True)
class Pixels(Game):
    """Two players; a bright square on the left or right says which action pays both."""

    name: ClassVar[str] = "pixels"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "a bright square"
    side: int = 84
    channels: int = 4
    max_steps: int = 3

    num_players = 2
    action_names = ("left", "right")

    @property
    def obs_shape(self):
        return (self.side, self.side, self.channels)

    @property
    def obs_dtype(self):
        return np.dtype(np.uint8)

    def start(self, key):
        return State(jnp.int32(0), jax.random.randint(key, (), 0, 2))

    def advance(self, state, actions, key):
        number = jax.random.randint(key, (), 0, 2)
        right = actions == state.number
        return State(state.step + 1, number), right * 50.0

    def finished(self, state):
        return state.step >= self.max_steps

    def look(self, state, reward):
        column = jnp.arange(self.side) * 2 // self.side == state.number
        image = jnp.broadcast_to(column[None, :, None], self.obs_shape)
        image = jnp.where(image, 200, 20).astype(jnp.uint8)
        return TimeStep(
            obs=jnp.stack([image, image]),
            legal=jnp.ones((2, 2), bool),
            reward=reward,
            terminated=jnp.zeros(2, bool),
            truncated=self.finished(state),
            present=jnp.ones(2, bool),
        )


@dataclasses.dataclass(frozen=True)
class Corridor(Game):
    """A T-maze of one player: the first observation shows a side; at the end it pays.

    An observation is three numbers: left shown, right shown, at the end.
    """

    name: ClassVar[str] = "corridor"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "a side is shown at the start and pays at the end"
    max_steps: int = 6

    num_players = 1
    action_names = ("left", "right")
    obs_shape = (3,)

    @property
    def binary(self):
        return np.ones(3, bool)

    def start(self, key):
        return State(jnp.int32(0), jax.random.randint(key, (), 0, 2))

    def advance(self, state, actions, key):
        at_end = state.step == self.max_steps - 1
        reward = at_end & (actions == state.number)
        return State(state.step + 1, state.number), reward * 1.0

    def finished(self, state):
        return state.step >= self.max_steps

    def look(self, state, reward):
        shown = (jnp.arange(2) == state.number) & (state.step == 0)
        at_end = state.step >= self.max_steps - 1
        obs = jnp.concatenate([shown, at_end[None]]).astype(jnp.float32)
        return TimeStep(
            obs=obs[None],
            legal=jnp.ones((1, 2), bool),
            reward=reward,
            terminated=self.finished(state)[None],
            truncated=jnp.bool_(False),
            present=jnp.ones(1, bool),
        )
