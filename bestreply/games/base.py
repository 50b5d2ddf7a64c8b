"""What a game is: a frozen dataclass of settings with pure rules; everything that varies is in its state."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.types import Array, TimeStep


class Symmetries(NamedTuple):
    """Ways to turn and rename a game that leave its rules as they are; `S` of them, the first changes nothing."""

    obs: np.ndarray  # [S, D] int32: entry d of the flat observation becomes what entry obs[s, d] was
    action: np.ndarray  # [S, A] int32: action a becomes action[s, a]
    others: np.ndarray  # [S, N-1] int32: the other at ego-first place j becomes the one that stood at others[s, j]


class Outcomes(NamedTuple):
    """Every way chance can end a step, or begin an episode: `K` of them, some perhaps of probability 0."""

    probability: Array  # [K], adds up to 1
    state: Any  # leaves [K, ...]; of a host game a list of K states
    shown: TimeStep  # [K, ...], what the seats see, the step's reward included


class Game(abc.ABC):
    """A simultaneous-move game of `num_players` seats with `num_actions` actions each.

    A game of our own subclasses this as a frozen dataclass whose fields are its settings (hashable, so that
    `jax.jit` can take the game as a static argument) and gives four rules: `start`, `advance`, `finished`,
    `look`. `reset` and `step` put the shell around them that every game shares: a finished game steps to
    itself with reward 0.

    A host game (`compiled = False`) overrides `reset` and `step` themselves, in NumPy.
    """

    name: ClassVar[str]
    version: ClassVar[
        int
    ]  # changes whenever the same settings and key would play differently
    summary: ClassVar[str]  # one line for `bestreply games`
    compiled: ClassVar[bool] = (
        True  # False: stepped on the host, one state at a time
    )

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    @abc.abstractmethod
    def num_players(self) -> int: ...

    @property
    @abc.abstractmethod
    def action_names(self) -> tuple[str, ...]: ...

    @property
    @abc.abstractmethod
    def obs_shape(self) -> tuple[int, ...]: ...

    max_steps: int  # every episode ends by then

    @property
    def num_actions(self) -> int:
        return len(self.action_names)

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting by name; ``make_game(game.name, **game.settings)`` is this game again."""
        return {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(cast(Any, self))
        }

    @property
    def goals(self) -> tuple[str, ...]:
        """What a player may be after, ending in "none"."""
        return ("none",)

    @property
    def planes(self) -> tuple[str, ...]:
        """Names of the observation's last axis where it is a stack of planes; empty where it is not.

        The first `num_players` are the players', ego first: "self", then each of the others in seat order.
        """
        return ()

    @property
    def binary(self) -> np.ndarray:
        """[*obs_shape] bool: the entries of an observation that only take the values 0 and 1."""
        return np.zeros(self.obs_shape, bool)

    # -- its rules (compiled games) --------------------------------------------------------------------------

    def start(self, key: jax.Array) -> Any:
        """A first state."""
        raise NotImplementedError

    def advance(
        self, state: Any, actions: jax.Array, key: jax.Array
    ) -> tuple[Any, jax.Array]:
        """The next state and each seat's reward [N], for legal `actions` [N] in an unfinished state."""
        raise NotImplementedError

    def finished(self, state: Any) -> jax.Array:
        """[] bool: terminated for every seat, or truncated."""
        raise NotImplementedError

    def look(self, state: Any, reward: jax.Array) -> TimeStep:
        """What the seats see of a state."""
        raise NotImplementedError

    # -- how it is used --------------------------------------------------------------------------------------

    def reset(self, key: jax.Array) -> tuple[Any, TimeStep]:
        """A first state and what the seats see of it. `key` is a typed JAX key."""
        state = self.start(key)
        return state, self.look(state, jnp.zeros(self.num_players))

    def step(
        self, state: Any, actions: Array, key: jax.Array
    ) -> tuple[Any, TimeStep]:
        """One joint step, `actions` [N] int in seat order; the entry of a seat that has left is ignored.

        Pure. A finished game steps to itself with reward 0. An illegal action is the caller's error: what the
        rules make of it is not defined, and `collect`, `evaluate` and `check_game` refuse it.
        """
        return self._settle(
            state, *self.advance(state, jnp.asarray(actions), key)
        )

    def _settle(
        self, state: Any, moved: Any, reward: Array
    ) -> tuple[Any, TimeStep]:
        """What a step from `state` gives, for what `advance` made of it."""
        over = self.finished(state)
        state = jax.tree.map(
            lambda old, new: jnp.where(over, old, new), state, moved
        )
        return state, self.look(state, jnp.where(over, 0.0, reward))

    # -- every way chance can go (for exact solutions) -------------------------------------------------------

    def outcomes(self, state: Any, actions: Array) -> Outcomes:
        """Every way `step` can end from `state` with `actions` [N]. Of a compiled game it can be batched with `jax.vmap`.

        By default the only one there is. A compiled game whose `advance` draws must override it, with the same number `K` for
        every state and action; a host game must, if it is to be solved exactly. Raises ValueError where they don't.
        """
        if not self.compiled:
            raise ValueError(
                f"{self.name} is stepped on the host and does not list how its steps can end; {_LIST}"
            )
        actions, key = jnp.asarray(actions), jax.random.key(0)
        if draws(self.advance, state, actions, key):
            raise ValueError(
                f"{self.name}: `advance` draws by its key, so one step can end in several ways; {_LIST}"
            )
        return jax.tree.map(
            lambda x: jnp.asarray(x)[None],
            Outcomes(jnp.float32(1), *self.step(state, actions, key)),
        )

    def first_states(self) -> Outcomes | None:
        """Every first state, as `reset` can give it; None where they are too many to be listed."""
        return None

    def state_key(self, state: Any) -> bytes:
        """The same for two states only if play goes on the same from both, so that they can be treated as one.

        Of a compiled game it is all its arrays. A host game that lists its `outcomes` says what it is.
        """
        if not self.compiled:
            raise ValueError(
                f"{self.name} does not say when two states are one; expected: a method `state_key`"
            )
        return b"".join(
            np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)
        )

    # -- what its observations tell (where they do) ----------------------------------------------------------

    def perspective(self, obs: Array, other: Array | int) -> Array | None:
        """The observation of the seat at ego-first index `other` (0 = self), made from one's own; None where
        that can't be known.

        Fully observed games override it; models of the others then learn from every seat's play at once.
        """
        return None

    def legal_in(self, obs: Array) -> Array | None:
        """[A] bool: the legal actions of the seat whose observation this is; None where it does not tell."""
        return None

    def present_in(self, obs: Array) -> Array | None:
        """[N] bool, ego first: who is still in the game; None where the observation does not tell."""
        return None

    def state_in(self, obs: Array) -> Any | None:
        """The state that an observation shows, its seats ego first, as far as play from here on depends on it; None where it does
        not show it, or where seats differ in more than place. The true game can then be planned with (`TrueModel`).
        """
        return None

    def symmetries(self) -> Symmetries | None:
        """The game's symmetries as a seat sees them; training uses them to learn more from the same play."""
        return None

    def achieved(self, obs: Array, action: Array, reward: Array) -> Array:
        """[] int32: the goal that this step shows its player to have reached, or -1. Broadcasts."""
        return jnp.full(jnp.shape(action), -1, jnp.int32)

    def text(self, obs: Array, seat: int = 0) -> str:
        """The observation of `seat` for a terminal; seats are named 1, 2, ... in global order."""
        return np.array2string(
            np.asarray(obs), precision=2, suppress_small=True
        )

    def picture(self, obs: Array, seat: int = 0) -> str:
        """The observation of `seat` as an SVG element."""
        lines = self.text(obs, seat).splitlines()
        width, height = (
            7 * max(map(len, lines), default=1) + 12,
            16 * len(lines) + 8,
        )
        rows = "".join(
            f'<text x="6" y="{16 * (i + 1)}">{_escape(line)}</text>'
            for i, line in enumerate(lines)
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" '
            f'font-family="monospace" font-size="12" fill="currentColor" xml:space="preserve">{rows}</svg>'
        )


_LIST = (
    "expected: a method `outcomes(state, actions)` that gives every `Outcomes`"
)


def draws(rule: Callable[..., Any], *args: Any) -> bool:
    """Whether what `rule` does depends on its last argument, a typed JAX key; told from its program, not from what it gives."""
    program = jax.make_jaxpr(rule)(*args).jaxpr
    key = program.invars[-1]
    return any(key is x for step in program.eqns for x in step.invars) or any(
        key is x for x in program.outvars
    )


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
