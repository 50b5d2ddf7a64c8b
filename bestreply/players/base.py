"""The player interface: memory as an explicit carry, and one pure step."""

import abc
import dataclasses
import functools
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Int32, PRNGKeyArray, PyTree, Shaped

from bestreply.types import ABSENT, ActorOutput, Array
from bestreply.utils.keys import two_keys


class Player(eqx.Module):
    """An actor: it receives its observation, legal actions and the others' last actions.

    Its methods are written for one example; `jax.vmap` batches them. The carry, a
    PyTree of arrays, is all that a player remembers.
    """

    name: eqx.AbstractVar[str]
    """The name in logs, rosters and tables."""
    version: eqx.AbstractVar[int]
    """Changes whenever the same settings would act differently."""

    @abc.abstractmethod
    def start(self) -> PyTree:
        """Return the carry at the start of a first episode, for one example."""

    def init(self, batch: int | None = None) -> PyTree:
        """Return the carry at the start of a first episode.

        Args:
            batch: size of a leading axis of every leaf; None for no such axis.

        Returns:
            The carry.
        """
        carry = jax.tree.map(jnp.asarray, self.start())
        if batch is None:
            return carry
        return jax.tree.map(
            lambda x: jnp.broadcast_to(x, (batch, *x.shape)), carry
        )

    def renew(self, carry: PyTree) -> PyTree:
        """Return the carry at the start of a further episode against the same players.

        Args:
            carry: the carry at the end of an episode.

        Returns:
            By default the initial carry: nothing is remembered.
        """
        return self.init()

    @abc.abstractmethod
    def step(
        self,
        carry: PyTree,
        obs: Shaped[Array, "*obs_shape"],
        legal: Bool[Array, " A"],
        key: PRNGKeyArray,
        *,
        others: Int[Array, " others"] | None = None,
        present: Bool[Array, " N"] | None = None,
    ) -> tuple[PyTree, Int32[Array, ""], ActorOutput]:
        """Choose an action.

        Args:
            carry: the carry of `init`, `renew` or the step before.
            obs: the own observation.
            legal: the own legal actions.
            key: random key, a typed JAX key.
            others: actions of the other players in the step before, ego-first; ABSENT
                at the first step of an episode and for a seat that had left. None:
                unknown.
            present: the players present now, ego-first. None: all.

        Returns:
            The next carry, the action, and an `ActorOutput`.
        """


class ScriptedPlayer(Player):
    """A player with an exact action distribution.

    In a step it updates its carry (`see`), draws from `policy`, and updates its carry
    by its own action (`did`, called by `remember`).
    """

    def start(self) -> PyTree:
        return ()

    def see(
        self,
        carry: PyTree,
        obs: Shaped[Array, "*obs_shape"],
        others: Int[Array, " others"],
        key: PRNGKeyArray,
    ) -> PyTree:
        """Return the carry after observing and before acting.

        Args:
            carry: the carry of the step before.
            obs: the own observation.
            others: the other players' actions in the step before, or ABSENT.
            key: random key.

        Returns:
            By default the same carry.
        """
        return carry

    @abc.abstractmethod
    def policy(
        self,
        carry: PyTree,
        obs: Shaped[Array, "*obs_shape"],
        legal: Bool[Array, " A"],
    ) -> Float[Array, " A"]:
        """Return the action distribution.

        Args:
            carry: the carry after `see`.
            obs: the own observation.
            legal: the own legal actions.
        """

    def did(self, carry: PyTree, action: Int[Array, ""]) -> PyTree:
        """Return the carry after acting.

        Args:
            carry: the carry after `see`.
            action: the own action.

        Returns:
            By default the same carry.
        """
        return carry

    def remember(
        self,
        carry: PyTree,
        obs: Shaped[Array, "*obs_shape"],
        legal: Bool[Array, " A"],
        action: Int[Array, ""],
    ) -> PyTree:
        """Return the carry after acting, with what the action was chosen by.

        Args:
            carry: the carry after `see`.
            obs: the own observation.
            legal: the own legal actions.
            action: the own action.

        Returns:
            By default what `did` returns.
        """
        return self.did(carry, action)

    @property
    def num_modes(self) -> int:
        """Number of players that it can be at a step.

        `bestreply.exact.hidden_modes.mode_chain` lists them.
        """
        return 1

    def mode(self, carry: PyTree) -> Int32[Array, ""]:
        """Return the acting mode, an index below `num_modes`.

        Args:
            carry: the carry after `see`.
        """
        return jnp.int32(0)

    def step(
        self,
        carry: PyTree,
        obs: Shaped[Array, "*obs_shape"],
        legal: Bool[Array, " A"],
        key: PRNGKeyArray,
        *,
        others: Int[Array, " others"] | None = None,
        present: Bool[Array, " N"] | None = None,
    ) -> tuple[PyTree, Int32[Array, ""], ActorOutput]:
        see_key, act_key = two_keys(key)
        seen = jnp.full(1, ABSENT) if others is None else others
        carry = self.see(carry, obs, seen, see_key)
        probs = self.policy(carry, obs, legal)
        action = draw(act_key, probs)
        output = ActorOutput(probs=probs, mode=self.mode(carry))
        return self.remember(carry, obs, legal, action), action, output


def renamed(player: Player, name: str) -> Player:
    """Return a player with another name in logs.

    Args:
        player: the player.
        name: the name.

    Returns:
        A copy; of a class whose name is no field, an instance of a subclass.
    """
    if player.name == name:
        return player
    fields = [field.name for field in dataclasses.fields(player)]
    own_name = "name" in fields
    kind = type(player) if own_name else _named_class(type(player), name)
    copy: Any = object.__new__(cast(Any, kind))
    for field in fields:
        object.__setattr__(copy, field, getattr(player, field))
    if own_name:
        object.__setattr__(copy, "name", name)
    return copy


@functools.cache
def _named_class(kind: type[Player], name: str) -> type[Player]:
    """Return a subclass with the name; one object, so that JAX compiles it once."""
    members = {"name": name, "__module__": kind.__module__}
    return cast(Any, type(kind))(kind.__name__, (kind,), members)


def draw(key: PRNGKeyArray, probs: Float[Array, " A"]) -> Int32[Array, ""]:
    """Return an index drawn from a distribution; never one of probability 0.

    Args:
        key: random key.
        probs: probabilities.

    Returns:
        The index.
    """
    logits = jnp.log(jnp.maximum(probs, 1e-30))
    logits = jnp.where(probs > 0, logits, -jnp.inf)
    return jax.random.categorical(key, logits).astype(jnp.int32)


def uniform(allowed: Bool[Array, "*batch A"]) -> Float[Array, "*batch A"]:
    """Return the uniform distribution over allowed actions.

    Args:
        allowed: the allowed actions.

    Returns:
        Probabilities; zeros if no action is allowed.
    """
    allowed = jnp.asarray(allowed)
    return allowed / jnp.maximum(allowed.sum(-1, keepdims=True), 1)
