"""Stateful environments on the host, and the game that stands for one of them.

A `HostEnv` is stepped in place, as most environments of other libraries are. A
`HostGame` names one and makes as many as are needed: `bestreply.simulation.env_pool`
steps many side by side; its own `reset` and `step`, pure as those of every game, replay
a seed and the actions taken since.
"""

import abc
import collections
import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from bestreply.games.base import Game
from bestreply.games.host_env import EnvStep, HostEnv
from bestreply.games.live_env import LiveEnv, is_over
from bestreply.games.seats import (
    common_shape,
    marked_seat,
    marked_shape,
)
from bestreply.games.sizes import check_sizes, checked_dtype
from bestreply.types import ABSENT, Array, TimeStep
from bestreply.utils.spec import tuples

Factory = Callable[..., HostEnv]


@dataclasses.dataclass(frozen=True, eq=False)
class HostGame(Game):
    """The game that environments of one factory and equal settings play."""

    compiled: ClassVar[bool] = False

    name: str  # pyright: ignore[reportIncompatibleVariableOverride]
    factory: Factory
    options: tuple[tuple[str, Any], ...] = ()
    """The settings, sorted by name; hashable."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HostGame) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[Any, ...]:
        # A name that can be imported tells what it is; another one can be given again.
        own = None if ":" in self.name else id(self.factory)
        return self.name, self.options, own

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.options)

    @property
    def summary(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.description.summary or f"the environment {self.name}"

    @property
    def description(self) -> HostEnv:
        """An environment that is only asked what it tells of itself."""
        return _description(self)

    @property
    def bare_shape(self) -> tuple[int, ...]:
        """Shape of an observation without the marks of its seat."""
        env = self.description
        return (
            common_shape(env.seat_shapes) if env.seat_shapes else env.obs_shape
        )

    @functools.cached_property
    def obs_shape(self) -> tuple[int, ...]:  # pyright: ignore
        bare = self.description.bare_shape
        return (
            bare if self.homogeneous else marked_shape(bare, self.num_players)
        )

    @property
    def obs_dtype(self) -> np.dtype:
        return checked_dtype(self.description.obs_dtype, f" in {self.name}")

    @property
    def binary(self) -> np.ndarray:
        own, bare = (
            np.asarray(self.description.binary),
            self.description.bare_shape,
        )
        whole = np.ones(self.obs_shape, bool)  # marks are 0 or 1
        whole[..., : bare[-1]] = own if own.shape == bare else False
        return whole

    def make_env(self) -> HostEnv:
        """Return a new environment."""
        return self.factory(**self.settings)

    def live(self) -> LiveEnv:
        """Return a new environment to play with."""
        return LiveEnv(self, self.make_env())

    # -- what observations hold ----------------------------------------------

    def seat_in(self, obs: Any) -> Any:
        if self.homogeneous:
            return self.description.seat_in(obs)
        return marked_seat(obs, self.obs_shape, self.num_players)

    def perspective(self, obs: Any, other: Any) -> Any:
        return self.description.perspective(obs, other)

    def legal_in(self, obs: Any) -> Any:
        return self.description.legal_in(obs)

    def present_in(self, obs: Any) -> Any:
        return self.description.present_in(obs)

    def symmetries(self) -> Any:
        return self.description.symmetries()

    def achieved(self, obs: Any, action: Any, reward: Any) -> Any:
        return self.description.achieved(obs, action, reward)

    def text(self, obs: Any, seat: int = 0) -> str:
        return self.description.text(obs, seat)

    def picture(self, obs: Any, seat: int = 0) -> str:
        return self.description.picture(obs, seat)

    # -- play, replayed from a seed ------------------------------------------

    def reset(self, key: PRNGKeyArray) -> tuple["HostState", TimeStep]:
        seed = int(np.asarray(seeds_of(key[None]))[0])
        with _at(self, seed, ()) as env:
            shown = TimeStep(**cast(EnvStep, env.shown)._asdict())
        return HostState(seed, (), shown), shown

    def step(
        self, state: "HostState", actions: Any, key: PRNGKeyArray
    ) -> tuple["HostState", TimeStep]:
        if is_over(state.shown):
            still = np.zeros_like(state.shown.reward)
            return state, dataclasses.replace(state.shown, reward=still)
        acts = state.shown.present & ~state.shown.terminated
        given = np.where(acts, np.asarray(actions), ABSENT)
        taken = (*state.taken, tuple(map(int, given)))
        with _at(self, state.seed, taken) as env:
            shown = TimeStep(**cast(EnvStep, env.shown)._asdict())
        return HostState(state.seed, taken, shown), shown

    def frame(self, state: "HostState") -> np.ndarray | None:
        with _at(self, state.seed, state.taken) as env:
            return env.env.render()


def _of_env(name: str) -> property:
    return property(lambda game: getattr(game.description, name))


for _name in (
    *("num_players", "action_names", "max_steps", "roles", "seat_actions"),
    *("goals", "planes", "symmetric", "version", "seat_names"),
):
    setattr(HostGame, _name, _of_env(_name))
abc.update_abstractmethods(HostGame)


def host_game(
    name: str, factory: Factory, settings: dict[str, Any]
) -> HostGame:
    """Return the game of an environment.

    Args:
        name: its name in files, without settings; `make_game` makes an equal game.
        factory: makes an environment, called as ``factory(**settings)``.
        settings: the settings: numbers, texts, None, and tuples of them.

    Returns:
        The game.

    Raises:
        ValueError: a setting cannot be kept in a file, or the environment lacks what a
            `HostEnv` sets.
    """
    options = tuple(sorted((k, tuples(v)) for k, v in settings.items()))
    for setting, value in options:
        try:
            _ = hash(value), json.dumps(value)
        except (TypeError, ValueError):
            raise ValueError(
                f"{setting}={value!r:.200}: expected a number, a text or a tuple of "
                f"them as a setting of {name}"
            ) from None
    game = cast(Any, HostGame)(name, factory, options)
    check_sizes(game)
    return game


@dataclasses.dataclass(frozen=True, eq=False)
class HostState:
    """A state of a `HostGame`: how to reach it, and the time step there."""

    seed: int
    taken: tuple[tuple[int, ...], ...]  # joint actions since the reset
    shown: TimeStep


@functools.lru_cache(maxsize=64)
def _description(game: HostGame) -> HostEnv:
    env = game.make_env()
    if not isinstance(env, HostEnv):
        raise ValueError(
            f"game={game.name!r}: expected a subclass of HostEnv or a function that "
            f"returns one; it returns a {type(env).__name__}"
        )
    if not (env.obs_shape or env.seat_shapes):
        raise ValueError(
            f"game={game.name!r}: expected obs_shape, or seat_shapes, in "
            f"{type(env).__name__}; it sets neither"
        )
    return env


@jax.jit
@jax.vmap
def seeds_of(keys: PRNGKeyArray) -> Array:
    """Return the seed that an environment is reset with for each key, 0 <= seed < 2^31.

    Args:
        keys: [M] random keys.

    Returns:
        [M] uint32.
    """
    return jax.random.bits(keys, (), jnp.uint32) >> 1


LIVE = 4
"""Live environments that are kept for `HostGame.step`, for each game."""
_Key = tuple[int, tuple[tuple[int, ...], ...]]


@functools.lru_cache(maxsize=16)
def _kept(game: HostGame) -> "collections.OrderedDict[_Key, LiveEnv]":
    return collections.OrderedDict()


@contextlib.contextmanager
def _at(
    game: HostGame, seed: int, taken: tuple[tuple[int, ...], ...]
) -> Iterator[LiveEnv]:
    """Give a live environment at the state that a seed and actions lead to."""
    kept = _kept(game)
    env = kept.pop((seed, taken), None)
    if env is None and taken:
        env = kept.pop((seed, taken[:-1]), None)
        if env is not None:
            env.step(np.array(taken[-1], np.int32))
    if env is None:
        env = kept.popitem(last=False)[1] if len(kept) >= LIVE else game.live()
        env.reset(seed)
        for actions in taken:
            env.step(np.array(actions, np.int32))
    yield env
    kept[seed, taken] = env
