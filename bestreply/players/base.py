"""What a player is: memory as an explicit carry, and one pure step."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from bestreply.types import ABSENT, ActorOutput, Array


class Player(eqx.Module):
    """Anyone who acts. A player sees its own observation, its legal actions, and what the others did in the step before.

    Written for one example; batch outside with `jax.vmap`. The carry is all a player remembers: a PyTree of arrays.
    """

    name: eqx.AbstractVar[
        str
    ]  # as in the zoo: what logs, rosters and tables call it
    version: eqx.AbstractVar[
        int
    ]  # changes whenever the same settings would act differently

    @abc.abstractmethod
    def start(self) -> Any:
        """The carry at the start of a first episode, for one example."""

    def init(self, batch: int | None = None) -> Any:
        """The carry at the start of a first episode; with `batch`, every leaf gains a leading axis of that size."""
        carry = jax.tree.map(jnp.asarray, self.start())
        if batch is None:
            return carry
        return jax.tree.map(
            lambda x: jnp.broadcast_to(x, (batch, *x.shape)), carry
        )

    def renew(self, carry: Any) -> Any:
        """The carry at the start of a further episode against the same others; by default nothing is kept."""
        return self.init()

    @abc.abstractmethod
    def step(
        self,
        carry: Any,
        obs: Array,
        legal: Array,
        key: jax.Array,
        *,
        others: Array | None = None,
        present: Array | None = None,
    ) -> tuple[Any, jax.Array, ActorOutput]:
        """Chooses an action.

        Args:
            carry: what `init` or the step before gave.
            obs: [*obs_shape] float32, own observation.
            legal: [A] bool, own legal actions.
            key: typed JAX key.
            others: [N-1] int32, the others' actions in the step before, ego-first order; ABSENT at an episode's first step and
                for a seat that had left. None: not known.
            present: [N] bool, who is in the game now, ego first. None: everyone.

        Returns:
            The next carry, the action [] int32, and a `ActorOutput`.
        """


class ScriptedPlayer(Player):
    """A player that gives its exact action distribution: it looks, draws from `policy`, and remembers what it did."""

    def start(self) -> Any:
        return ()

    def see(self, carry: Any, obs: Array, others: Array, key: jax.Array) -> Any:
        """The carry after looking, before acting. `others` as in `Player.step`, never None."""
        return carry

    @abc.abstractmethod
    def policy(self, carry: Any, obs: Array, legal: Array) -> jax.Array:
        """[A] float32: the probabilities of its actions, given all it remembers."""

    def did(self, carry: Any, action: jax.Array) -> Any:
        """The carry after acting."""
        return carry

    @property
    def num_modes(self) -> int:
        """How many players it may be at a step (`bestreply.exact.hidden_modes.mode_chain` says which)."""
        return 1

    def mode(self, carry: Any) -> jax.Array:
        """[] int32: which of them it is, for the carry after looking."""
        return jnp.int32(0)

    def step(
        self,
        carry: Any,
        obs: Array,
        legal: Array,
        key: jax.Array,
        *,
        others: Array | None = None,
        present: Array | None = None,
    ) -> tuple[Any, jax.Array, ActorOutput]:
        see_key, act_key = jax.random.split(key)
        seen = jnp.full(1, ABSENT) if others is None else others
        carry = self.see(carry, obs, seen, see_key)
        probs = self.policy(carry, obs, legal)
        action = draw(act_key, probs)
        return (
            self.did(carry, action),
            action,
            ActorOutput(probs=probs, mode=self.mode(carry)),
        )


def draw(key: jax.Array, probs: jax.Array) -> jax.Array:
    """[] int32: an index drawn from `probs` [A]; never one of probability 0."""
    return jax.random.categorical(
        key, jnp.where(probs > 0, jnp.log(jnp.maximum(probs, 1e-30)), -jnp.inf)
    ).astype(jnp.int32)


def uniform(allowed: Array) -> jax.Array:
    """[A] float32: the same probability for every allowed action."""
    allowed = jnp.asarray(allowed)
    return allowed / jnp.maximum(allowed.sum(-1, keepdims=True), 1)
