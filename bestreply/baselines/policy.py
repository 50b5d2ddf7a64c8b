"""A policy network, the player that acts by it, and the methods that train one."""

import abc
import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Int32, Key, PyTree, Shaped

from bestreply.config import ModelConfig, RunConfig
from bestreply.games.base import Game
from bestreply.models.images import CNN
from bestreply.models.networks import Encoder, one_hot_actions
from bestreply.models.obs_nets import ObsNet, make_features, make_obs_net
from bestreply.models.units import (
    ObsUnits,
    flat_obs,
    measured_obs_units,
    measured_reward_units,
    unit_obs,
    with_units,
)
from bestreply.players.base import Player, draw
from bestreply.replay.moa_buffer import BufferState
from bestreply.run import Method, Run
from bestreply.training.phases import (
    Metrics,
    Phase,
    Seeds,
    Write,
    run_phase,
    updates_made,
)
from bestreply.types import ABSENT, ActorOutput, Array, Episodes
from bestreply.utils.quick import quickly


class ActorCritic(eqx.Module):
    """A policy pi(a_i | o) and its value V(o), with or without memory.

    With memory, a GRU (Cho et al., 2014) reads the observation and the joint action of
    the previous step; policy and value read its state and the observation.
    """

    actor: ObsNet
    critic: ObsNet
    memory: eqx.nn.GRUCell | None
    reader: CNN | Encoder | None  # in front of the memory
    obs_units: ObsUnits | None
    num_actions: int = eqx.field(static=True)

    @classmethod
    def create(
        cls,
        game: Game,
        config: ModelConfig,
        *,
        recurrent: bool,
        key: Key[Array, ""],
    ) -> "ActorCritic":
        """Return an untrained policy.

        Args:
            game: its game.
            config: width and depth of the networks.
            recurrent: whether it has memory.
            key: key of the initial weights.

        Returns:
            The network with random weights.
        """
        actor_key, critic_key, memory_key = jax.random.split(key, 3)
        hidden, shape = (config.width,) * config.depth, game.obs_shape
        memory = reader = None
        if recurrent:
            inputs = math.prod(shape)
            rest_key, reader_key = jax.random.split(memory_key)
            reader = make_features(config, shape, key=reader_key)
            if reader is not None:
                memory_key, inputs = rest_key, reader.outputs
            joint = game.num_players * game.num_actions
            memory = eqx.nn.GRUCell(
                inputs + joint, config.width, key=memory_key
            )

        def net(outputs: int, key: Key[Array, ""]) -> ObsNet:
            extra = config.width if recurrent else 0
            return make_obs_net(
                config, shape, hidden, outputs, extra=extra, key=key
            )

        return cls(
            actor=net(game.num_actions, actor_key),
            critic=net(1, critic_key),
            memory=memory,
            reader=reader,
            obs_units=unit_obs(game),
            num_actions=game.num_actions,
        )

    def start(self) -> Float[Array, " H"]:
        """Return the memory at the start of an episode."""
        return jnp.zeros(0 if self.memory is None else self.memory.hidden_size)

    def __call__(
        self,
        hidden: Float[Array, " H"],
        obs: Shaped[Array, "*obs"],
        legal: Bool[Array, " A"],
        before: Int[Array, " N"],
    ) -> tuple[Float[Array, " H"], Float[Array, " A"], Float[Array, ""]]:
        """Return the next memory, the policy and the value at one observation.

        Args:
            hidden: the memory.
            obs: the player's own observation.
            legal: its legal actions.
            before: the joint action of the previous step, ego first; ABSENT at the
                first step of an episode.

        Returns:
            The memory, log pi(a | .) over the legal actions, and V.
        """
        inputs = flat_obs(self.obs_units, obs)
        if self.memory is not None:
            read = inputs
            if self.reader is not None:
                read = self.reader(inputs)
            joint = one_hot_actions(before[0], before[1:], self.num_actions)
            hidden = self.memory(jnp.concatenate([read, joint]), hidden)
            parts = (
                (hidden, inputs) if self.reader is None else (inputs, hidden)
            )
            inputs = jnp.concatenate(parts)
        logits = jnp.where(legal, self.actor(inputs), -1e9)
        return hidden, jax.nn.log_softmax(logits), self.critic(inputs)[0]

    def along(
        self,
        obs: Shaped[Array, "T *obs"],
        legal: Bool[Array, "T A"],
        before: Int[Array, "T N"],
    ) -> tuple[Float[Array, "T A"], Float[Array, " T"]]:
        """Return log pi and V at each step of an episode.

        Args:
            obs: the player's own observations.
            legal: its legal actions.
            before: the joint action of the step before each, ego first.

        Returns:
            log pi [T, A] over legal actions, and V [T].
        """

        def step(hidden: Array, at: Any) -> tuple[Array, tuple[Array, Array]]:
            hidden, log_probs, value = self(hidden, *at)
            return hidden, (log_probs, value)

        episode = obs, legal, before
        if self.memory is None:
            start = partial(self, self.start())
            _, log_probs, values = jax.vmap(start)(*episode)
            return log_probs, values
        return jax.lax.scan(step, self.start(), episode)[1]


class PolicyPlayer(Player):
    """A player that acts by the policy of an `ActorCritic`."""

    net: ActorCritic
    game: Game = eqx.field(static=True)
    name: str = eqx.field(static=True)
    greedy: bool = eqx.field(static=True, default=False)
    """Whether it takes the most probable action instead of drawing one."""
    version: int = eqx.field(static=True, default=1)

    def start(self) -> dict[str, Array]:
        return {"hidden": self.net.start(), "action": jnp.int32(ABSENT)}

    def step(
        self,
        carry: dict[str, Array],
        obs: Array,
        legal: Array,
        key: Array,
        *,
        others: Array | None = None,
        present: Array | None = None,
    ) -> tuple[dict[str, Array], Int32[Array, ""], ActorOutput]:
        if others is None:
            others = jnp.full(self.game.num_players - 1, ABSENT)
        before = jnp.concatenate([carry["action"][None], jnp.asarray(others)])
        hidden, log_probs, _ = self.net(
            carry["hidden"], jnp.asarray(obs), jnp.asarray(legal), before
        )
        probs = jnp.exp(log_probs)
        if self.greedy:
            probs = jax.nn.one_hot(log_probs.argmax(), self.net.num_actions)
        action = draw(key, probs)
        return {"hidden": hidden, "action": action}, action, ActorOutput(probs)


class PolicyMethod(Method):
    """A method that trains an `ActorCritic`, the field `net` of its train state."""

    greedy: ClassVar[bool]
    """Whether its player takes the most probable action instead of drawing one."""

    @abc.abstractmethod
    def init(
        self, config: RunConfig, game: Game, key: Key[Array, ""]
    ) -> PyTree:
        """Return the untrained train state.

        Args:
            config: configuration of the run.
            game: its game.
            key: key of the initial weights.
        """

    def start(
        self, config: RunConfig, game: Game, roster: Sequence[dict[str, Any]]
    ) -> PyTree:
        key = jax.random.key(config.seed)
        # The seed is in the key: all seeds share one program.
        return _init(self, dataclasses.replace(config, seed=0), game, key)

    def begin(
        self, run: Run, episodes: Episodes, previous: Run | None = None
    ) -> PyTree:
        return with_units(
            self.start(run.config, run.game, run.roster),
            measured_obs_units(run.game, episodes),
            measured_reward_units(run.game, episodes),
        )

    def player(self, run: Run, name: str) -> PolicyPlayer:
        net = run.train_state.net
        return PolicyPlayer(
            net=net, game=run.game, name=name, greedy=self.greedy
        )


@quickly(level=1, static_argnames=("method", "config", "game"))
def _init(
    method: PolicyMethod, config: RunConfig, game: Game, key: Key[Array, ""]
) -> PyTree:
    return method.init(config, game, key)


class OfflineMethod(PolicyMethod):
    """A policy method of one phase: gradient steps on logged play."""

    @abc.abstractmethod
    def step(
        self,
        config: RunConfig,
        game: Game,
        buffer: BufferState,
        train_state: PyTree,
        key: Key[Array, ""],
    ) -> tuple[PyTree, Metrics]:
        """Return the train state after one gradient step, and metrics by name.

        Args:
            config: configuration of the run.
            game: its game.
            buffer: the training episodes.
            train_state: the state before the step.
            key: key of the random draws.
        """

    def updates(
        self, config: RunConfig, train_state: PyTree
    ) -> dict[str, tuple[int, int]]:
        made = updates_made(train_state, "updates")
        return {"policy": (made, config.train.updates)}

    def fit(
        self,
        run: Run,
        buffer: BufferState,
        train_state: PyTree,
        save: Callable[[Any], None],
        write: Write,
        seeds: Seeds = None,
    ) -> PyTree:
        return run_phase(
            _phase(self, run.game),
            run.config,
            lambda _: buffer,
            train_state,
            save,
            write,
            run.config.train.checkpoint_every,
            seeds,
        )


@cache  # one step function for each method and game: one compiled program
def _phase(method: OfflineMethod, game: Game) -> Phase:
    def step(
        config: RunConfig, buffer: Any, train_state: Any, key: Array
    ) -> tuple[PyTree, Metrics]:
        return method.step(config, game, buffer, train_state, key)

    return Phase("policy", step, "updates", stream=5)
