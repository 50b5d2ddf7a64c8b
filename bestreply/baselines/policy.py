"""A policy as a network, and the player that acts by it: what the baselines without a plan have in common."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float

from bestreply.config import ModelConfig
from bestreply.games.base import Game
from bestreply.models.networks import MLP, one_hot_actions
from bestreply.players.base import Player, draw
from bestreply.types import ABSENT, ActorOutput, Array


class ActorCritic(eqx.Module):
    """pi(a_i | o) and V(o), with a memory of its own or without.

    With a memory, a GRU (Cho et al., 2014) reads the observation and everybody's actions in the step before, and policy and value
    read what it remembers; without one they are networks of the observation.
    """

    actor: MLP
    critic: MLP
    memory: eqx.nn.GRUCell | None
    num_actions: int = eqx.field(static=True)

    @classmethod
    def create(
        cls, game: Game, config: ModelConfig, *, recurrent: bool, key: jax.Array
    ) -> "ActorCritic":
        actor_key, critic_key, memory_key = jax.random.split(key, 3)
        hidden, seen = (
            (config.width,) * config.depth,
            jnp.zeros(game.obs_shape).size,
        )
        memory = None
        if recurrent:
            joint = game.num_players * game.num_actions
            memory = eqx.nn.GRUCell(seen + joint, config.width, key=memory_key)
        inputs = config.width + seen if recurrent else seen
        actor = MLP(inputs, hidden, game.num_actions, key=actor_key)
        critic = MLP(inputs, hidden, 1, key=critic_key)
        return cls(
            actor=actor,
            critic=critic,
            memory=memory,
            num_actions=game.num_actions,
        )

    def start(self) -> Float[Array, " H"]:
        return jnp.zeros(0 if self.memory is None else self.memory.hidden_size)

    def __call__(
        self,
        hidden: Float[Array, " H"],
        obs: Array,
        legal: Array,
        before: Array,
    ) -> tuple[Array, Array, Array]:
        """What is remembered next [H], log pi(a | .) [A] over the legal actions, and V [].

        Args:
            before: [N] int32, the joint action of the step before, ego first; ABSENT at an episode's first step.
        """
        seen = jnp.reshape(obs, -1)
        if self.memory is not None:
            read = jnp.concatenate(
                [seen, one_hot_actions(before[0], before[1:], self.num_actions)]
            )
            hidden = self.memory(read, hidden)
            seen = jnp.concatenate([hidden, seen])
        logits = jnp.where(legal, self.actor(seen), -1e9)
        return hidden, jax.nn.log_softmax(logits), self.critic(seen)[0]

    def along(
        self, obs: Array, legal: Array, before: Array
    ) -> tuple[Float[Array, "T A"], Float[Array, " T"]]:
        """log pi and V at each step of an episode: obs [T, ...], legal [T, A], before [T, N]."""

        def step(hidden: Array, seen: Any) -> Any:
            hidden, logs, value = self(hidden, *seen)
            return hidden, (logs, value)

        if self.memory is None:
            _, logs, value = jax.vmap(lambda *seen: self(self.start(), *seen))(
                obs, legal, before
            )
            return logs, value
        return jax.lax.scan(step, self.start(), (obs, legal, before))[1]


class PolicyPlayer(Player):
    """Draws its action from an `ActorCritic`'s policy, or, if `greedy`, takes the most likely one."""

    net: ActorCritic
    game: Game = eqx.field(static=True)
    name: str = eqx.field(static=True)
    greedy: bool = eqx.field(static=True, default=False)
    version: int = eqx.field(static=True, default=1)

    def start(self) -> Any:
        return {"hidden": self.net.start(), "action": jnp.int32(ABSENT)}

    def step(
        self,
        carry: Any,
        obs: Array,
        legal: Array,
        key: Array,
        *,
        others: Array | None = None,
        present: Array | None = None,
    ) -> tuple[Any, jax.Array, ActorOutput]:
        others = (
            jnp.full(self.game.num_players - 1, ABSENT)
            if others is None
            else jnp.asarray(others)
        )
        before = jnp.concatenate([carry["action"][None], others])
        hidden, logs, _ = self.net(
            carry["hidden"], jnp.asarray(obs), jnp.asarray(legal), before
        )
        probs = (
            jax.nn.one_hot(logs.argmax(), self.net.num_actions)
            if self.greedy
            else jnp.exp(logs)
        )
        action = draw(key, probs)
        return {"hidden": hidden, "action": action}, action, ActorOutput(probs)
