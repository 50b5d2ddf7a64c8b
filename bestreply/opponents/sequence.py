"""Models of the others that read what each has been seen to do by a network, where `LearnedOpponents` weighs types by Bayes' rule.

Both hold, for each other player, a memory of the steps at which it acted: what it saw, and what it did. They predict its next action
from that memory and what it sees now, and are trained to do so on whole episodes. Re-implementations of ideas, not of code:

    recurrent    a GRU's state, anew in each episode: LIAM (Papoudakis, Christianos, Albrecht: "Agent Modelling under Partial
                 Observability for Deep Reinforcement Learning", 2021). Theirs reads the agent's own observations and also
                 reconstructs the others'; here what the others see and do is read, as by every model of this library.
    in_context   attention over a window of the last steps, which goes on from one episode against the same others to the next:
                 TAO (Jing et al.: "Towards Offline Opponent Modeling with In-context Learning", 2024) and OMIS (Jing et al.:
                 "Opponent Modeling with In-context Search", 2024). One layer, which predicts actions; the reply is planned.

What is believed about *who* the others are, which the value is told, is read off the same memory by a linear probe whose gradient stops
there: the labels of who played do not shape the memory.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from bestreply.config import ModelConfig
from bestreply.games.base import Game
from bestreply.models.networks import MLP, linear
from bestreply.opponents.base import (
    OpponentModel,
    opponent_inputs,
    opponent_legal,
)
from bestreply.types import ABSENT

HEADS = 4
"""Of the attention."""


class Recurrent(eqx.Module):
    """The memory as the state of a GRU (Cho et al., 2014)."""

    cell: eqx.nn.GRUCell

    def __init__(self, width: int, *, key: jax.Array) -> None:
        self.cell = eqx.nn.GRUCell(width, width, key=key)

    def start(self) -> Array:
        return jnp.zeros(self.cell.hidden_size)

    def write(self, memory: Array, token: Array) -> Array:
        return self.cell(token, memory)

    def read(self, memory: Array, look: Array) -> Array:
        """What there is to know before acting at `look`."""
        return memory

    def summary(self, memory: Array) -> Array:
        """What there is to know of who it is."""
        return memory

    def renew(self, memory: Array) -> Array:
        """The memory at the start of a further episode."""
        return self.start()

    def along(
        self,
        looks: Float[Array, "S F"],
        tokens: Float[Array, "S F"],
        acted: Bool[Array, " S"],
    ) -> tuple[Float[Array, "S F"], Float[Array, "S F"]]:
        """`read` and `summary` before each of S steps from the start."""

        def step(memory: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
            token, there = at
            return jnp.where(there, self.write(memory, token), memory), memory

        before = jax.lax.scan(step, self.start(), (tokens, acted))[1]
        return before, before


class Remembered(NamedTuple):
    """The last steps at which a player acted, in a ring."""

    tokens: Float[Array, "W F"]
    seen: Int[Array, ""]  # steps in all


class Window(eqx.Module):
    """The memory as the last `size` steps, read by attention: how much a step counts falls with its age, at a learned rate for each
    head (ALiBi: Press, Smith, Lewis, 2022)."""

    query: eqx.nn.Linear
    key: eqx.nn.Linear
    content: eqx.nn.Linear
    who: Float[Array, " F"]  # asks who it is, whatever it sees
    nothing: Float[Array, "2 F"]  # key and content of an empty memory
    slopes: Float[Array, " H"]
    size: int = eqx.field(static=True)

    def __init__(self, width: int, size: int, *, key: jax.Array) -> None:
        keys = jax.random.split(key, 4)
        self.query, self.key, self.content = (
            eqx.nn.Linear(width, width, key=k) for k in keys[:3]
        )
        self.who = jax.random.normal(keys[3], (width,))
        self.nothing = jnp.zeros((2, width))
        self.slopes = jnp.geomspace(0.01, 0.3, HEADS)
        self.size = size

    def start(self) -> Remembered:
        return Remembered(jnp.zeros((self.size, len(self.who))), jnp.int32(0))

    def write(self, memory: Remembered, token: Array) -> Remembered:
        return Remembered(
            memory.tokens.at[memory.seen % self.size].set(token),
            memory.seen + 1,
        )

    def read(self, memory: Remembered, look: Array) -> Array:
        age = (
            memory.seen - 1 - jnp.arange(self.size)
        ) % self.size  # 0: the step before
        return self._attend(
            look[None], memory.tokens, age[None], (age < memory.seen)[None]
        )[0]

    def summary(self, memory: Remembered) -> Array:
        return self.read(memory, self.who)

    def renew(self, memory: Remembered) -> Remembered:
        return memory

    def along(
        self,
        looks: Float[Array, "S F"],
        tokens: Float[Array, "S F"],
        acted: Bool[Array, " S"],
    ) -> tuple[Float[Array, "S F"], Float[Array, "S F"]]:
        count = jnp.cumsum(acted) - acted  # steps acted before
        age = count[:, None] - 1 - count[None]
        there = acted[None] & (age >= 0) & (age < self.size)
        asked = jnp.broadcast_to(self.who, looks.shape)
        return self._attend(looks, tokens, age, there), self._attend(
            asked, tokens, age, there
        )

    def _attend(
        self, asked: Array, tokens: Array, age: Array, there: Array
    ) -> Float[Array, "S F"]:
        def heads(x: Array) -> Array:
            return x.reshape(len(x), HEADS, -1)

        key, content = (
            heads(jnp.concatenate([none[None], linear(layer, tokens)]))
            for none, layer in zip(
                self.nothing, (self.key, self.content), strict=True
            )
        )
        query = heads(linear(self.query, asked))
        score = jnp.einsum("shf,whf->hsw", query, key) / query.shape[2] ** 0.5
        fades = jnp.pad(
            jnp.abs(self.slopes)[:, None, None] * age, ((0, 0), (0, 0), (1, 0))
        )
        known = jnp.pad(there, ((0, 0), (1, 0)), constant_values=True)
        weight = jax.nn.softmax(jnp.where(known, score - fades, -1e9), axis=-1)
        return jnp.einsum("hsw,whf->shf", weight, content).reshape(asked.shape)


class Read(NamedTuple):
    """What a model makes of one player's steps, each seen from the steps before."""

    action: Float[Array, "S A"]  # log pi_hat(a | history, view)
    who: Float[Array, "S G"]  # log P(goal or type | history)


class SequenceOpponents(OpponentModel):
    """pi_hat_j(a_j | what j was seen to do, what it sees now), for each other player; the belief is their memories [N-1, ...].

    The posterior is over the same goals or types as that of the `LearnedOpponents` beside which it was trained.
    """

    look: MLP  # what a player sees -> F
    token: MLP  # and what it did there -> F
    memory: Recurrent | Window
    act: MLP
    probe: eqx.nn.Linear
    game: Game = eqx.field(static=True)

    @classmethod
    def create(
        cls, game: Game, config: ModelConfig, goals: int, *, key: jax.Array
    ) -> "SequenceOpponents":
        """An untrained model, of the kind `config.opponents`."""
        keys = jax.random.split(key, 5)
        width, hidden = config.width // HEADS * HEADS or HEADS, (config.width,)
        seen = opponent_inputs(game, jnp.zeros(game.obs_shape)).shape[1]
        memory = (
            Recurrent(width, key=keys[2])
            if config.opponents == "recurrent"
            else Window(width, config.context, key=keys[2])
        )
        return cls(
            look=MLP(seen, hidden * (config.depth - 1), width, key=keys[0]),
            token=MLP(width + game.num_actions, hidden, width, key=keys[1]),
            memory=memory,
            act=MLP(2 * width, hidden, game.num_actions, key=keys[3]),
            probe=eqx.nn.Linear(width, goals, key=keys[4]),
            game=game,
        )

    def init(self) -> Any:
        start = self.memory.start()
        return jax.tree.map(
            lambda x: jnp.broadcast_to(
                x, (self.game.num_players - 1, *x.shape)
            ),
            start,
        )

    def renew(self, belief: Any) -> Any:
        return jax.vmap(self.memory.renew)(belief)

    def predict(
        self, belief: Any, obs: Array, legal: Array
    ) -> Float[Array, "others A"]:
        looks = jax.vmap(self.look)(opponent_inputs(self.game, obs))
        read = jax.vmap(self.memory.read)(belief, looks)
        return jnp.exp(
            jax.vmap(self._policy)(looks, read, opponent_legal(self.game, obs))
        )

    def update(
        self, belief: Any, obs: Array, actions: Array, present: Array
    ) -> Any:
        others = actions[1:]
        looks = jax.vmap(self.look)(opponent_inputs(self.game, obs))
        after = jax.vmap(self.memory.write)(
            belief, jax.vmap(self._token)(looks, others)
        )
        acted = present[1:] & (others != ABSENT)
        return jax.tree.map(
            lambda new, old: jnp.where(
                acted.reshape(-1, *[1] * (new.ndim - 1)), new, old
            ),
            after,
            belief,
        )

    def posterior(self, belief: Any) -> Float[Array, "others G"]:
        return jax.nn.softmax(
            jax.vmap(lambda m: linear(self.probe, self.memory.summary(m)))(
                belief
            )
        )

    def along(
        self,
        seen: Float[Array, "S I"],
        legal: Bool[Array, "S A"],
        actions: Int[Array, " S"],
    ) -> Read:
        """One player's steps at once, for training: what it saw (`opponent_inputs`), could do and did; ABSENT where it did not act."""
        looks = jax.vmap(self.look)(seen)
        read, summary = self.memory.along(
            looks, jax.vmap(self._token)(looks, actions), actions != ABSENT
        )
        who = linear(self.probe, jax.lax.stop_gradient(summary))
        return Read(
            jax.vmap(self._policy)(looks, read, legal), jax.nn.log_softmax(who)
        )

    def _token(self, look: Array, action: Array) -> Array:
        return self.token(
            jnp.concatenate(
                [look, jax.nn.one_hot(action, self.game.num_actions)]
            )
        )

    def _policy(
        self, look: Array, read: Array, legal: Array
    ) -> Float[Array, " A"]:
        return jax.nn.log_softmax(
            jnp.where(legal, self.act(jnp.concatenate([look, read])), -1e9)
        )
