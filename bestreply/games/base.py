"""The game interface: a frozen dataclass of settings with pure rules and explicit state."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray, PyTree

from bestreply.games.description import Description
from bestreply.types import Array, TimeStep


class Outcomes(NamedTuple):
    """The `K` chance outcomes of a step or of a reset; some can have probability 0."""

    probability: Array  # [K], sums to 1
    state: Any  # leaves [K, ...]; of a host game a list of K states
    shown: TimeStep  # [K, ...], the reward of the step included


class Game(Description):
    """A simultaneous-move game of `num_players` seats with `num_actions` actions each.

    A game subclasses this as a frozen dataclass. Its fields are the settings; they
    are hashable, so that `jax.jit` takes the game as a static argument. It
    implements four rules: `start`, `advance`, `finished`, `look`. `reset` and `step`
    add what all games share: a finished game steps to itself with reward 0.

    A host game (`compiled = False`) overrides `reset` and `step`, in NumPy.
    """

    compiled: ClassVar[bool] = True
    """False: stepped on the host, one state at a time."""

    @property
    def settings(self) -> dict[str, Any]:
        """Settings by name; ``make_game(game.name, **game.settings)`` equals the game."""
        fields = dataclasses.fields(cast(Any, self))
        return {f.name: getattr(self, f.name) for f in fields}

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

    def frame(self, state: PyTree) -> np.ndarray | None:
        """Return a picture of a state as the game itself draws it.

        Args:
            state: a state.

        Returns:
            [H, W, 3] uint8; None if the game draws none.
        """
        return None


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
