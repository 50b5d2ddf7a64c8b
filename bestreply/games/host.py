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
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, Int32, PRNGKeyArray

from bestreply.games.base import Game
from bestreply.games.description import Description
from bestreply.games.seats import (
    common_shape,
    marked_seat,
    marked_shape,
    own_actions,
    padded,
    seat_marks,
)
from bestreply.games.sizes import check_sizes
from bestreply.types import ABSENT, Array, TimeStep
from bestreply.utils.checks import shown as shown_text
from bestreply.utils.spec import tuples


class EnvStep(NamedTuple):
    """What an environment shows after a reset or a step; seats in global order.

    The fields are those of `TimeStep`, which can be returned in its place.
    """

    obs: Any
    """[N, *obs_shape], or a list of each seat's own observation; None in the list: that
    of a seat that has left."""
    reward: Any = None
    """[N] numbers; None: 0."""
    terminated: Any = None
    """[N] or [] bool; None: False."""
    truncated: Any = False
    """[] bool: a limit, or anything else outside the rules, ended the game for all."""
    legal: Any = None
    """[N, A] bool; None: all that the seats have."""
    present: Any = None
    """[N] bool: False from the step on at which a seat leaves; None: True."""


class _Settable:
    """A property of `Description` that an environment may set as a plain attribute."""

    def __init__(self, default: Any) -> None:
        self.default = default

    def __get__(self, env: Any, kind: type | None = None) -> Any:
        return self if env is None else self.default.fget(env)


class HostEnv(Description):
    """A stateful environment of `num_players` seats, stepped in place.

    A subclass sets `num_players`, `action_names`, `max_steps` and `obs_shape` as
    attributes of the class or in `__init__`, and implements `reset` and `step`. Its
    settings are the parameters of `__init__`. Where seats have observations of several
    shapes it sets `seat_shapes` in place of `obs_shape`; where they differ in roles or
    actions it sets `roles` or `seat_actions`, and observations are marked with their
    seat (`bestreply.games.seats`).
    """

    name: str = ""  # pyright: ignore[reportIncompatibleVariableOverride]
    version: int = 1  # pyright: ignore[reportIncompatibleVariableOverride]
    summary: str = ""  # pyright: ignore[reportIncompatibleVariableOverride]
    num_players: int = 0  # pyright: ignore
    action_names: tuple[str, ...] = ()  # pyright: ignore
    max_steps: int = 0
    seat_shapes: tuple[tuple[int, ...], ...] = ()
    """Shape of each seat's own observation; empty: `obs_shape` for all."""

    obs_shape: Any = ()  # pyright: ignore
    roles: Any = _Settable(Description.roles)
    seat_actions: Any = _Settable(Description.seat_actions)
    obs_dtype: Any = _Settable(Description.obs_dtype)
    goals: Any = _Settable(Description.goals)
    planes: Any = _Settable(Description.planes)
    binary: Any = _Settable(Description.binary)
    symmetric: Any = _Settable(Description.symmetric)

    def reset(self, seed: int) -> EnvStep | TimeStep:
        """Start an episode.

        Args:
            seed: decides all chance of the episode; 0 <= seed < 2^31. Equal seeds and
                actions give equal episodes.

        Returns:
            What is shown first.
        """
        raise NotImplementedError

    def step(self, actions: Int32[np.ndarray, " N"]) -> EnvStep | TimeStep:
        """Make one step; it is not called once the game is over.

        Args:
            actions: the joint action in seat order, ABSENT (-1) for each seat that
                has left or terminated.

        Returns:
            What is shown next. The observation of a seat whose game ends is its last;
            that of a seat that has left can be anything.
        """
        raise NotImplementedError

    def render(self) -> np.ndarray | None:
        """Return a picture of the present state, [H, W, 3] uint8, or None."""
        return None

    def close(self) -> None:
        """Free what the environment holds; it is not used again."""


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
        return self.name, self.options

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
        bare = self.bare_shape
        return bare if self.alike else marked_shape(bare, self.num_players)

    @property
    def binary(self) -> np.ndarray:
        own, bare = np.asarray(self.description.binary), self.bare_shape
        whole = np.ones(self.obs_shape, bool)  # marks are 0 or 1
        whole[..., : bare[-1]] = own if own.shape == bare else False
        return whole

    def make_env(self) -> HostEnv:
        """Return a new environment."""
        return self.factory(**self.settings)

    # -- what observations hold ----------------------------------------------

    def seat_in(self, obs: Any) -> Any:
        if self.alike:
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
            shown = cast(TimeStep, env.shown)
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
            shown = cast(TimeStep, env.shown)
        return HostState(state.seed, taken, shown), shown

    def frame(self, state: "HostState") -> np.ndarray | None:
        with _at(self, state.seed, state.taken) as env:
            return env.env.render()


def _of_env(name: str) -> property:
    return property(lambda game: getattr(game.description, name))


for _name in (
    *("num_players", "action_names", "max_steps", "roles", "seat_actions"),
    *("obs_dtype", "goals", "planes", "symmetric", "version"),
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


def is_over(shown: TimeStep) -> bool:
    """Return whether a game has ended for all seats.

    Args:
        shown: a time step in NumPy.
    """
    return bool(shown.truncated) or not bool(
        (shown.present & ~shown.terminated).any()
    )


# -- live environments -----------------------------------------------------------


class LiveEnv:
    """An environment in play: what it returns is checked and completed.

    Seats that have left stay away with reward 0, flags are consistent, the step limit
    truncates, observations are padded and marked.
    """

    def __init__(self, game: HostGame) -> None:
        """Make the environment.

        Args:
            game: the game that it plays.
        """
        self.game, self.env = game, game.make_env()
        self.shape, self.dtype = game.obs_shape, np.dtype(game.obs_dtype)
        self.own = own_actions(game)
        self.limit, self.players = game.max_steps, game.num_players
        self.marks = None
        self.bare = game.bare_shape
        if not game.alike:
            self.marks = seat_marks(self.bare, self.players, self.dtype)
        self.shown: TimeStep | None = None
        self.time, self.seed = 0, 0

    def reset(self, seed: int) -> TimeStep:
        """Start an episode.

        Args:
            seed: as of `HostEnv.reset`.

        Returns:
            The first time step.

        Raises:
            ValueError: the environment returns arrays of other shapes or types.
        """
        self.seed, self.time = seed, 0
        with self._where("reset"):
            shown = self.env.reset(seed)
        present = self._array("present", shown.present, True)
        self.shown = TimeStep(
            obs=self._obs(shown.obs, None),
            legal=self._legal(shown.legal, present),
            reward=np.zeros(self.players, np.float32),
            terminated=np.zeros(self.players, bool),
            truncated=np.array(False),
            present=present,
        )
        return self.shown

    def step(self, actions: Int[np.ndarray, " N"]) -> TimeStep:
        """Make one step of an unfinished game.

        Args:
            actions: the joint action; the entry of a seat that does not act is ignored.

        Returns:
            The next time step.

        Raises:
            ValueError: the environment returns arrays of other shapes or types.
        """
        before = cast(TimeStep, self.shown)
        acts = before.present & ~before.terminated
        given = np.where(acts, actions, ABSENT).astype(np.int32)
        with self._where(f"step {self.time + 1}"):
            after = self.env.step(given)
        self.time += 1
        ended = self._array("terminated", after.terminated, False)
        terminated = before.terminated | (ended & acts)
        present = self._array("present", after.present, True) & before.present
        playing = present & ~terminated
        cut = bool(after.truncated) or self.time >= self.limit
        if not playing.any() or cut:
            # The last step: whoever acted is present at it.
            present = before.present
            cut = not terminated[acts].all()
            terminated = terminated | (~present & (not cut))
        else:
            present = playing
        self.shown = TimeStep(
            obs=self._obs(after.obs, before.obs),
            legal=self._legal(after.legal, playing & (not cut)),
            reward=self._reward(after.reward, acts),
            terminated=terminated,
            truncated=np.array(cut),
            present=present,
        )
        return self.shown

    @contextlib.contextmanager
    def _where(self, place: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            error.add_note(f"in {self.game.name}, seed {self.seed}, {place}")
            raise

    def _array(
        self, field: str, value: Any, default: bool
    ) -> Bool[np.ndarray, " N"]:
        like = np.full(self.players, default)
        if value is None:
            return like
        value = np.asarray(value)
        if value.shape == ():
            value = np.broadcast_to(value, like.shape)
        if value.shape != like.shape or value.dtype != like.dtype:
            raise self._wrong(field, value, like.shape, like.dtype)
        return value

    def _reward(self, reward: Any, acts: Bool[np.ndarray, " N"]) -> np.ndarray:
        reward = np.asarray(0.0 * acts if reward is None else reward)
        if reward.shape != acts.shape or reward.dtype.kind not in "fiub":
            raise self._wrong(
                "reward", reward, acts.shape, np.dtype(np.float32)
            )
        reward = np.where(acts, reward, 0).astype(np.float32)
        if not np.isfinite(reward).all():
            raise ValueError(
                f"reward={shown_text(reward.tolist())}: expected finite numbers from "
                f"{self._place()}"
            )
        return reward

    def _legal(
        self, legal: Any, acts: Bool[np.ndarray, " N"]
    ) -> Bool[np.ndarray, "N A"]:
        legal = self.own if legal is None else np.asarray(legal)
        if legal.shape != self.own.shape:
            raise self._wrong("legal", legal, self.own.shape, np.dtype(bool))
        legal = legal.astype(bool) & self.own
        none = ~legal.any(1)
        if (none & acts).any():
            raise ValueError(
                f"legal={shown_text(legal.astype(int).tolist())}: expected a legal "
                f"action for seat {np.flatnonzero(none & acts)[0]} from {self._place()}"
            )
        legal[none, 0] = True
        return legal

    def _obs(self, obs: Any, before: np.ndarray | None) -> np.ndarray:
        """Return observations of one shape; a missing one of a list repeats the last."""
        if isinstance(obs, Sequence):
            whole = np.zeros((self.players, *self.bare), self.dtype)
            if before is not None:
                whole[:] = before[..., : self.bare[-1]]
            for seat, own in enumerate(obs):
                if own is not None:
                    whole[seat] = self._cast(padded(np.asarray(own), self.bare))
            obs = whole
        obs = np.asarray(obs)
        if obs.shape != (self.players, *self.bare):
            expected = (self.players, *self.bare)
            raise self._wrong("obs", obs, expected, self.dtype)
        obs = self._cast(obs)
        if self.marks is None:
            return obs
        return np.concatenate([obs, self.marks], -1)

    def _cast(self, obs: np.ndarray) -> np.ndarray:
        if obs.dtype == self.dtype:
            return obs
        if not np.can_cast(obs.dtype, self.dtype, "same_kind"):
            raise self._wrong("obs", obs, obs.shape, self.dtype)
        return obs.astype(self.dtype)

    def _wrong(
        self,
        field: str,
        value: np.ndarray,
        shape: tuple[int, ...],
        dtype: np.dtype,
    ) -> ValueError:
        return ValueError(
            f"{field}: expected {dtype} {shape} from {self._place()}; it returns "
            f"{value.dtype} {value.shape}"
        )

    def _place(self) -> str:
        return f"{self.game.name} at step {self.time} of seed {self.seed}"


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
        env = (
            kept.popitem(last=False)[1] if len(kept) >= LIVE else LiveEnv(game)
        )
        env.reset(seed)
        for actions in taken:
            env.step(np.array(actions, np.int32))
    yield env
    kept[seed, taken] = env
