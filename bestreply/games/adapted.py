"""What the games of compiled environments of other libraries share.

An adapter gives the constants of an environment (`Traits`) and says what a reset and a
step return (`Move`). The rest is here: the step limit, flags of seats, masks, marks of
seats, and a finished game that steps to itself.
"""

import abc
import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray, PyTree, Shaped

from bestreply.games.base import Game, Outcomes, draws
from bestreply.games.seats import marked_seat, marked_shape, seat_marks
from bestreply.games.spaces import common_dtype
from bestreply.types import Array, TimeStep
from bestreply.utils.spec import tuples

Options = tuple[tuple[str, Any], ...]
"""Settings by name, sorted; hashable."""


class Traits(NamedTuple):
    """The constants of an environment of N seats."""

    env: Any
    """The environment, an object of its library."""
    action_names: tuple[str, ...]
    shape: tuple[int, ...]
    """Shape of an observation, without marks of the seat."""
    dtype: np.dtype
    roles: tuple[str, ...]
    seat_actions: tuple[int, ...]
    null: int
    """The action of a seat that is not to move."""
    marked: bool
    """Whether the seat is marked in its observation."""
    binary: Bool[np.ndarray, "..."]
    """[*shape] bool: the entries of an observation that are 0 or 1."""
    own_limit: bool = False
    """Whether the environment itself ends all seats at `max_steps`."""
    extra: Any = None
    """What only the adapter reads."""


class Move(NamedTuple):
    """What a reset or a step of an environment leads to."""

    env: PyTree
    """Its state."""
    obs: Shaped[Array, "N ..."]
    """[N, *shape] the observations, without marks."""
    legal: Bool[Array, "N A"]
    reward: Float[Array, " N"]
    ended: Bool[Array, " N"]
    """The seats whose game is over, now or before."""
    over: Bool[Array, ""]
    """Whether the game is over for all seats, by its rules."""


class AdaptedState(NamedTuple):
    """A state of an environment, and the time step there."""

    env: PyTree
    shown: TimeStep  # with reward 0
    time: Array  # [] int32, steps made


@dataclasses.dataclass(frozen=True)
class AdaptedGame(Game):
    """A game of another library; two are equal if their names and settings are."""

    name: str  # pyright: ignore[reportIncompatibleVariableOverride]  # one class, many games
    options: Options
    max_steps: int

    @property
    @abc.abstractmethod
    def traits(self) -> Traits:
        """The constants; equal games give the same object."""

    @abc.abstractmethod
    def _reset(self, key: PRNGKeyArray) -> Move:
        """Return the start of an episode; its `reward`, `ended` and `over` are ignored."""

    @abc.abstractmethod
    def _step(
        self, env: PyTree, actions: Int[Array, " N"], key: PRNGKeyArray
    ) -> Move:
        """Return a step; seats that have left take the null action."""

    # -- declarations --------------------------------------------------------

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.options)

    @property
    def num_players(self) -> int:
        return len(self.traits.roles)

    @property
    def num_actions(self) -> int:
        return len(self.traits.action_names)

    @property
    def action_names(self) -> tuple[str, ...]:
        return self.traits.action_names

    @property
    def roles(self) -> tuple[str, ...]:
        return self.traits.roles

    @property
    def seat_actions(self) -> tuple[int, ...]:
        return self.traits.seat_actions

    @property
    def obs_dtype(self) -> np.dtype:
        return self.traits.dtype

    @property
    def obs_shape(self) -> tuple[int, ...]:
        shape = self.traits.shape
        if not self.traits.marked:
            return shape
        return marked_shape(shape, self.num_players)

    @property
    def binary(self) -> np.ndarray:
        known = self.traits.binary
        binary = np.ones(self.obs_shape, bool)
        binary[..., : known.shape[-1]] = known
        return binary

    def seat_in(self, obs: Shaped[Array, "..."]) -> Int[Array, "..."] | None:
        if not self.traits.marked:
            return None
        return marked_seat(obs, self.obs_shape, self.num_players)

    # -- chance outcomes -----------------------------------------------------

    def outcomes(
        self, state: AdaptedState, actions: Int[Array, " N"]
    ) -> Outcomes:
        actions, key = jnp.asarray(actions), jax.random.key(0)
        if draws(self.traced_step, state, actions, key):
            raise ValueError(
                f"game={self.name}: expected a game whose steps are deterministic, to "
                "list every outcome; its environment uses its random key"
            )
        only = Outcomes(jnp.float32(1), *self.step(state, actions, key))
        return jax.tree.map(lambda x: jnp.asarray(x)[None], only)

    def state_key(self, state: AdaptedState) -> bytes:
        leaves = jax.tree.leaves((state.env, state.shown, state.time))
        keys = [
            jax.random.key_data(leaf) if _is_key(leaf) else leaf
            for leaf in leaves
        ]
        return b"".join(np.asarray(leaf).tobytes() for leaf in keys)

    # -- play ----------------------------------------------------------------

    # Compiled: environments have too many operations to be called one by one.

    def reset(self, key: PRNGKeyArray) -> tuple[AdaptedState, TimeStep]:
        return _compiled_reset(self, key)

    def step(
        self, state: AdaptedState, actions: Int[Array, " N"], key: PRNGKeyArray
    ) -> tuple[AdaptedState, TimeStep]:
        return _compiled_step(self, state, actions, key)

    def traced_reset(self, key: PRNGKeyArray) -> tuple[AdaptedState, TimeStep]:
        """Return what `reset` does, not compiled.

        Args:
            key: random key.
        """
        n, move = self.num_players, self._reset(key)
        shown = TimeStep(
            obs=self._observed(move.obs),
            legal=self._masked(move.legal, jnp.ones(n, bool)),
            reward=jnp.zeros(n),
            terminated=jnp.zeros(n, bool),
            truncated=jnp.zeros((), bool),
            present=jnp.ones(n, bool),
        )
        env = jax.tree.map(jnp.asarray, move.env)
        return AdaptedState(env, shown, jnp.zeros((), jnp.int32)), shown

    def traced_step(
        self, state: AdaptedState, actions: Int[Array, " N"], key: PRNGKeyArray
    ) -> tuple[AdaptedState, TimeStep]:
        """Return what `step` does, not compiled.

        Args:
            state: a state.
            actions: the joint action.
            key: random key.
        """
        before: Any = state.shown
        finished = before.truncated | before.terminated.all()
        acts = before.present & ~before.terminated & ~finished
        actions = jnp.where(acts, jnp.asarray(actions), self.traits.null)
        move, time = self._step(state.env, actions, key), state.time + 1
        by_rules = move.ended | move.over
        if self.traits.own_limit:
            by_rules &= time < self.max_steps
        ended = before.terminated | by_rules
        cut = (time >= self.max_steps) & ~ended.all()
        last = ended.all() | cut
        shown = TimeStep(
            obs=self._observed(move.obs),
            legal=self._masked(move.legal, ~ended),
            reward=jnp.zeros(self.num_players),
            terminated=ended,
            truncated=cut,
            present=before.present & (~ended | last),
        )
        reached = AdaptedState(
            jax.tree.map(_as_before, state.env, move.env), shown, time
        )
        reached = jax.tree.map(
            lambda old, new: jnp.where(finished, old, new), state, reached
        )
        reward = jnp.where(acts, move.reward.astype(jnp.float32), 0.0)
        return reached, dataclasses.replace(reached.shown, reward=reward)

    def _observed(self, obs: Shaped[Array, "N ..."]) -> Array:
        """Return observations of the game's type, marked where seats are."""
        traits = self.traits
        obs = jnp.asarray(obs, traits.dtype)
        if not traits.marked:
            return obs
        marks = seat_marks(traits.shape, self.num_players, traits.dtype)
        return jnp.concatenate([obs, jnp.asarray(marks)], -1)

    def _masked(
        self, legal: Bool[Array, "N A"], playing: Bool[Array, " N"]
    ) -> Bool[Array, "N A"]:
        """Return masks; of a seat that is over, or has no action, the null one."""
        null = jnp.arange(self.num_actions) == self.traits.null
        some = jnp.asarray(legal.any(1) & playing)
        return jnp.where(some[:, None], legal, null)


@functools.partial(jax.jit, static_argnums=0)
def _compiled_reset(
    game: AdaptedGame, key: PRNGKeyArray
) -> tuple[AdaptedState, TimeStep]:
    return game.traced_reset(key)


@functools.partial(jax.jit, static_argnums=0)
def _compiled_step(
    game: AdaptedGame,
    state: AdaptedState,
    actions: Int[Array, " N"],
    key: PRNGKeyArray,
) -> tuple[AdaptedState, TimeStep]:
    return game.traced_step(state, actions, key)


def _as_before(old: Array, new: Array) -> Array:
    """Return an entry of a state in the type that it had, as loops of JAX require."""
    return new if _is_key(old) else jnp.asarray(new, old.dtype)


def _is_key(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


# -- observations with parts ---------------------------------------------------


def part_types(tree: PyTree) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and type of the array that `one_array` makes of an observation.

    Args:
        tree: the observation, of arrays or of their shapes and types.

    Returns:
        Those of the only array; of several, the length and the common type of a vector.
    """
    leaves = jax.tree.leaves(tree)
    dtype = common_dtype([np.dtype(leaf.dtype) for leaf in leaves])
    if len(leaves) == 1 and leaves[0].shape:
        return tuple(leaves[0].shape), dtype
    return (sum(int(np.prod(leaf.shape)) for leaf in leaves),), dtype


def one_array(tree: PyTree, dtype: np.dtype) -> Array:
    """Return an observation as one array.

    Args:
        tree: an array, or a tree of arrays, which are flattened to one vector.
        dtype: type of the result.

    Returns:
        The array, of the shape that `part_types` gives.
    """
    leaves = [jnp.asarray(leaf, dtype) for leaf in jax.tree.leaves(tree)]
    if len(leaves) == 1 and leaves[0].shape:
        return leaves[0]
    return jnp.concatenate([leaf.reshape(-1) for leaf in leaves])


def fill(obs: Shaped[Array, "..."], shape: tuple[int, ...]) -> Array:
    """Return an observation with zeros behind it along each axis (as `seats.padded`).

    Args:
        obs: one seat's observation, perhaps traced.
        shape: a `common_shape` of its shape.

    Returns:
        [*shape], in the type of `obs`.
    """
    if obs.ndim != len(shape):
        obs = obs.reshape(-1)
    if obs.shape == shape:
        return obs
    margins = [(0, w - h) for w, h in zip(shape, obs.shape, strict=True)]
    return jnp.pad(obs, margins)


# -- settings --------------------------------------------------------------------


def check_settings(
    name: str, settings: dict[str, Any], known: Iterable[str]
) -> None:
    """Refuse a setting that a game does not have.

    Args:
        name: name of the game, for the error.
        settings: those that are given.
        known: those that it has.

    Raises:
        ValueError: an unknown setting; lists the known ones.
    """
    listed = list(dict.fromkeys(known))
    for setting, value in settings.items():
        if setting not in listed:
            raise ValueError(
                f"{setting}={value!r:.100}: expected a setting of {name}: "
                f"{', '.join(listed)}"
            )


def sorted_options(name: str, settings: dict[str, Any]) -> Options:
    """Return settings as a game keeps them.

    Args:
        name: name of the game, for errors.
        settings: the settings; lists are tuples already.

    Raises:
        ValueError: a setting is no number, text or tuple of them.
    """
    for setting, value in settings.items():
        if not _plain(value):
            raise ValueError(
                f"{setting}={value!r:.200}: expected a number, a text or a tuple of "
                f"them in {name}"
            )
    return tuple(sorted(settings.items()))


def _plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def plain_defaults(parameters: Sequence[Any]) -> dict[str, Any]:
    """Return the defaults of a constructor that files can hold.

    Args:
        parameters: `inspect.Parameter` objects.

    Returns:
        Values by name; lists become tuples; None, arrays and objects are left out.
    """
    defaults = {p.name: tuples(p.default) for p in parameters}
    return {k: v for k, v in defaults.items() if v is not None and _plain(v)}


def step_limit(name: str, setting: str, value: Any) -> int:
    """Return a step limit that was given, or that an environment has.

    Args:
        name: name of the game, for errors.
        setting: name of the setting.
        value: its value; None: the environment has no limit that is known.

    Raises:
        ValueError: there is none, or it is no count.
    """
    if value is None:
        raise ValueError(
            f"{setting}=None: expected the step limit of an episode in {name}, which "
            f"has none of its own; give one, such as {name}({setting}=100)"
        )
    if type(value) is not int or value < 1:
        raise ValueError(
            f"{setting}={value!r:.100}: expected an int, 1 or more, in {name}"
        )
    return value
