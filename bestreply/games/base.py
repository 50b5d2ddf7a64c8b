"""The game interface: a frozen dataclass of settings with pure rules and explicit state."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray, PyTree, Shaped

from bestreply.types import Array, TimeStep


class Symmetries(NamedTuple):
    """`S` symmetries of a game in a seat's view; the first is the identity."""

    obs: np.ndarray  # [S, D] int32: new flat entry d is old entry obs[s, d]
    action: np.ndarray  # [S, A] int32: action a becomes action[s, a]
    others: np.ndarray  # [S, N-1] int32: new other seat j is old others[s, j]


class Outcomes(NamedTuple):
    """The `K` chance outcomes of a step or of a reset; some can have probability 0."""

    probability: Array  # [K], sums to 1
    state: Any  # leaves [K, ...]; of a host game a list of K states
    shown: TimeStep  # [K, ...], the reward of the step included


class Game(abc.ABC):
    """A simultaneous-move game of `num_players` seats with `num_actions` actions each.

    A game subclasses this as a frozen dataclass. Its fields are the settings; they
    are hashable, so that `jax.jit` takes the game as a static argument. It
    implements four rules: `start`, `advance`, `finished`, `look`. `reset` and `step`
    add what all games share: a finished game steps to itself with reward 0.

    A host game (`compiled = False`) overrides `reset` and `step`, in NumPy.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    """Changes whenever the same settings and key would play differently."""
    summary: ClassVar[str]
    """One line for `bestreply games`."""
    compiled: ClassVar[bool] = True
    """False: stepped on the host, one state at a time."""

    # -- sizes and names -----------------------------------------------------

    @property
    @abc.abstractmethod
    def num_players(self) -> int: ...

    @property
    @abc.abstractmethod
    def action_names(self) -> tuple[str, ...]: ...

    @property
    @abc.abstractmethod
    def obs_shape(self) -> tuple[int, ...]: ...

    max_steps: int  # the step limit of an episode

    @property
    def num_actions(self) -> int:
        return len(self.action_names)

    # -- seats that differ ---------------------------------------------------

    @property
    def roles(self) -> tuple[str, ...]:
        """The role of each seat; seats of one role have equal shapes, actions and aims."""
        return ("player",) * self.num_players

    @property
    def seat_actions(self) -> tuple[int, ...]:
        """The number of actions of each seat: its first ones are those it has.

        The largest is `num_actions`. The masks of a seat are False at all others.
        """
        return (self.num_actions,) * self.num_players

    @property
    def alike(self) -> bool:
        """Whether all seats have one role and the same actions."""
        return len(set(self.roles)) == 1 == len(set(self.seat_actions))

    def seat_in(self, obs: Shaped[Array, "..."]) -> Int[Array, "..."] | None:
        """Return the seat that has an observation; games whose seats differ override it.

        Args:
            obs: [..., *obs_shape] observations.

        Returns:
            [...] int32 seats; None if observations do not tell.
        """
        return None

    # -- names, kinds of entries ---------------------------------------------

    @property
    def obs_dtype(self) -> np.dtype:
        """Type of an observation's entries; data keep it on disk and in memory."""
        return np.dtype(np.float32)

    @property
    def settings(self) -> dict[str, Any]:
        """Settings by name; ``make_game(game.name, **game.settings)`` equals the game."""
        fields = dataclasses.fields(cast(Any, self))
        return {f.name: getattr(self, f.name) for f in fields}

    @property
    def goals(self) -> tuple[str, ...]:
        """The goals that a player can pursue, ending in "none"."""
        return ("none",)

    @property
    def planes(self) -> tuple[str, ...]:
        """Names along the last axis of an observation made of planes, else empty.

        The first `num_players` are the players', ego-first: "self", then the other
        seats in seat order.
        """
        return ()

    @property
    def binary(self) -> np.ndarray:
        """[*obs_shape] bool: the entries of an observation that are 0 or 1."""
        return np.zeros(self.obs_shape, bool)

    @property
    def symmetric(self) -> bool:
        """Whether the game treats all seats alike; True only where that is certain."""
        return False

    # -- rules of a compiled game --------------------------------------------

    def start(self, key: PRNGKeyArray) -> PyTree:
        """Return a first state.

        Args:
            key: random key.

        Raises:
            NotImplementedError: in a game that overrides `reset` instead.
        """
        raise NotImplementedError

    def advance(
        self, state: PyTree, actions: Int[Array, " N"], key: PRNGKeyArray
    ) -> tuple[PyTree, Float[Array, " N"]]:
        """Return the next state and the rewards.

        Args:
            state: an unfinished state.
            actions: legal actions, in seat order.
            key: random key.

        Returns:
            The next state, and each seat's reward.

        Raises:
            NotImplementedError: in a game that overrides `step` instead.
        """
        raise NotImplementedError

    def finished(self, state: PyTree) -> Bool[Array, ""]:
        """Return whether the game has ended for all seats, by its rules or the step limit.

        Args:
            state: a state.

        Raises:
            NotImplementedError: in a game that overrides `step` instead.
        """
        raise NotImplementedError

    def look(self, state: PyTree, reward: Float[Array, " N"]) -> TimeStep:
        """Return the time step of a state.

        Args:
            state: a state.
            reward: the rewards of the step that led to it.

        Raises:
            NotImplementedError: in a game that overrides `reset` and `step` instead.
        """
        raise NotImplementedError

    # -- play ----------------------------------------------------------------

    def reset(self, key: PRNGKeyArray) -> tuple[PyTree, TimeStep]:
        """Return a first state and its time step.

        Args:
            key: random key, a typed JAX key.

        Returns:
            The state, and the time step with reward 0.
        """
        state = self.start(key)
        return state, self.look(state, jnp.zeros(self.num_players))

    def step(
        self, state: PyTree, actions: Int[Array, " N"], key: PRNGKeyArray
    ) -> tuple[PyTree, TimeStep]:
        """Return the state and the time step after one joint action.

        Pure. A finished game steps to itself with reward 0. The result of an illegal
        action is undefined; `collect`, `evaluate` and `check_game` refuse it.

        Args:
            state: a state.
            actions: the joint action in seat order; the entry of a seat that has
                left is ignored.
            key: random key, a typed JAX key.

        Returns:
            The next state and its time step.
        """
        return self._settle(
            state, *self.advance(state, jnp.asarray(actions), key)
        )

    def _settle(
        self, state: PyTree, advanced: PyTree, reward: Float[Array, " N"]
    ) -> tuple[PyTree, TimeStep]:
        """Return the result of a step from `state`, given that of `advance`."""
        over = self.finished(state)
        state = jax.tree.map(
            lambda old, new: jnp.where(over, old, new), state, advanced
        )
        return state, self.look(state, jnp.where(over, 0.0, reward))

    # -- chance outcomes, for exact solutions --------------------------------

    def outcomes(self, state: PyTree, actions: Int[Array, " N"]) -> Outcomes:
        """Return every chance outcome of a step.

        The default lists the only outcome of a deterministic compiled game. A
        compiled game whose `advance` uses its key overrides this, with the same
        number of outcomes K for every state and action, so that `jax.vmap` can batch
        it. A host game overrides it to be solved exactly.

        Args:
            state: a state.
            actions: the joint action.

        Returns:
            The K outcomes.

        Raises:
            ValueError: if the game has to override this method and does not.
        """
        if not self.compiled:
            raise ValueError(
                f"game={self.name}: {_EXPECTED_OUTCOMES}, as a host game"
            )
        actions, key = jnp.asarray(actions), jax.random.key(0)
        if draws(self.advance, state, actions, key):
            raise ValueError(
                f"game={self.name}: {_EXPECTED_OUTCOMES}, since `advance` uses its key"
            )
        only = Outcomes(jnp.float32(1), *self.step(state, actions, key))
        return jax.tree.map(lambda x: jnp.asarray(x)[None], only)

    def first_states(self) -> Outcomes | None:
        """Return every outcome of `reset`; None if they are too many to list."""
        return None

    def state_key(self, state: PyTree) -> bytes:
        """Return a key that is equal only for states from which play is the same.

        The default, of a compiled game, is the content of all its arrays.

        Args:
            state: a state.

        Returns:
            The key.

        Raises:
            ValueError: if a host game does not override this method.
        """
        if not self.compiled:
            raise ValueError(
                f"game={self.name}: expected a method `state_key`, as a host game"
            )
        leaves = jax.tree.leaves(state)
        return b"".join(np.asarray(leaf).tobytes() for leaf in leaves)

    # -- contents of an observation, where it determines them ----------------

    def perspective(
        self, obs: Float[Array, "..."], other: Int[Array, ""] | int
    ) -> Float[Array, "..."] | None:
        """Return another seat's observation, computed from the own one.

        Fully observed games override it; opponent models then learn from the play of
        all seats at once.

        Args:
            obs: [*obs_shape] the own observation.
            other: ego-first index of the other seat; 0 is the own seat.

        Returns:
            [*obs_shape] its observation, with the remaining players in any order;
            None if `obs` does not determine it.
        """
        return None

    def legal_in(self, obs: Float[Array, "..."]) -> Bool[Array, "... A"] | None:
        """Return the legal actions of the seat that has an observation.

        Args:
            obs: [*obs_shape] the observation.

        Returns:
            The legal actions; None if `obs` does not determine them.
        """
        return None

    def present_in(
        self, obs: Float[Array, "..."]
    ) -> Bool[Array, "... N"] | None:
        """Return the players that are present in an observation.

        Args:
            obs: [*obs_shape] the observation.

        Returns:
            Presence, ego-first; None if `obs` does not determine it.
        """
        return None

    def state_in(self, obs: Float[Array, "*obs_shape"]) -> PyTree | None:
        """Return the state that an observation determines, its seats ego-first.

        `TrueModel` plans with it.

        Args:
            obs: an observation.

        Returns:
            The state, as far as further play depends on it; None if `obs` does not
            determine it, or if the rules treat seats differently.
        """
        return None

    def symmetries(self) -> Symmetries | None:
        """Return the game's symmetries in a seat's view; training augments play with them."""
        return None

    def achieved(
        self,
        obs: Float[Array, "..."],
        action: Int[Array, "*batch"],
        reward: Float[Array, "*batch"],
    ) -> Int[Array, "*batch"]:
        """Return the goal that a player reached by a step; called on NumPy arrays.

        Args:
            obs: [*batch, *obs_shape] the observations before the step.
            action: the actions, ABSENT where there was none.
            reward: the rewards of the step.

        Returns:
            Indices into `goals`, -1 for no goal.
        """
        return np.full(np.shape(action), -1, np.int32)

    def frame(self, state: PyTree) -> np.ndarray | None:
        """Return a picture of a state as the game itself draws it.

        Args:
            state: a state.

        Returns:
            [H, W, 3] uint8; None if the game draws none.
        """
        return None

    def text(self, obs: Float[Array, "*obs_shape"], seat: int = 0) -> str:
        """Return an observation as text for a terminal.

        Args:
            obs: the observation.
            seat: the seat that has it; seats are named 1, 2, ... in global order.

        Returns:
            One or more lines.
        """
        return np.array2string(
            np.asarray(obs), precision=2, suppress_small=True
        )

    def picture(self, obs: Float[Array, "*obs_shape"], seat: int = 0) -> str:
        """Return an observation as an SVG element.

        Args:
            obs: the observation.
            seat: the seat that has it.

        Returns:
            The element; by default the `text`.
        """
        lines = self.text(obs, seat).splitlines()
        width = 7 * max(map(len, lines), default=1) + 12
        height = 16 * len(lines) + 8
        rows = "".join(
            f'<text x="6" y="{16 * (i + 1)}">{_escape(line)}</text>'
            for i, line in enumerate(lines)
        )
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" '
            f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'font-family="monospace" font-size="12" fill="currentColor" '
            f'xml:space="preserve">{rows}</svg>'
        )


_EXPECTED_OUTCOMES = (
    "expected a method `outcomes(state, actions)` that lists every outcome"
)


def draws(rule: Callable[..., PyTree], *args: PyTree) -> bool:
    """Return whether the output of a rule depends on its random key.

    The answer comes from the traced program, not from its results.

    Args:
        rule: a function of arrays whose last argument is a typed JAX key.
        args: its arguments.

    Returns:
        Whether the program reads the key.
    """
    program = jax.make_jaxpr(rule)(*args).jaxpr
    key = program.invars[-1]
    inputs = [x for step in program.eqns for x in step.invars]
    return any(key is x for x in [*inputs, *program.outvars])


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
