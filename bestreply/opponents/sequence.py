"""Sequence models of opponents: a network reads each opponent's past steps.

`LearnedOpponents` infers types by Bayes' rule; the models here have, for each opponent, a
memory of the steps at which it acted: its view and its action. They predict its next
action from that memory and its current view, and are trained on whole episodes.
Re-implementations of ideas, not of code:

    recurrent    a GRU's state, reset in each episode: LIAM (Papoudakis, Christianos,
                 Albrecht: "Agent Modelling under Partial Observability for Deep
                 Reinforcement Learning", 2021). LIAM reads the agent's own observations
                 and also reconstructs those of the opponents; here, as in every model of
                 this library, the opponents' views and actions are the input.
    in_context   attention over a window of the last steps, which continues from one
                 episode against the same opponents to the next: TAO (Jing et al.:
                 "Towards Offline Opponent Modeling with In-context Learning", 2024) and
                 OMIS (Jing et al.: "Opponent Modeling with In-context Search", 2024).
                 One layer, which predicts actions; the reply is planned.

The posterior over types, which the value is conditioned on, is read from the same memory
by a linear probe. Its gradient stops there: labels of types do not train the memory.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, PRNGKeyArray, PyTree, Shaped

from bestreply.config import ModelConfig
from bestreply.games.base import Game
from bestreply.models.networks import MLP, linear
from bestreply.models.obs_nets import ObsNet
from bestreply.models.units import ObsUnits, unit_obs
from bestreply.opponents.base import (
    Belief,
    OpponentModel,
    opponent_inputs,
    opponent_legal,
    opponent_net,
)
from bestreply.types import ABSENT, Array

HEADS = 4
"""Attention heads."""


class Recurrent(eqx.Module):
    """A memory that is the state of a GRU (Cho et al., 2014)."""

    cell: eqx.nn.GRUCell

    def __init__(self, width: int, *, key: PRNGKeyArray) -> None:
        self.cell = eqx.nn.GRUCell(width, width, key=key)

    def start(self) -> Float[Array, " F"]:
        """Return the empty memory."""
        return jnp.zeros(self.cell.hidden_size)

    def write(
        self, memory: Float[Array, " F"], token: Float[Array, " F"]
    ) -> Float[Array, " F"]:
        """Return the memory after a step.

        Args:
            memory: the memory before.
            token: features of the step's view and action.
        """
        return self.cell(token, memory)

    def read(
        self, memory: Float[Array, " F"], view: Float[Array, " F"]
    ) -> Float[Array, " F"]:
        """Return the features that predict the next action.

        Args:
            memory: the memory.
            view: features of the current view; unused here.
        """
        return memory

    def summary(self, memory: Float[Array, " F"]) -> Float[Array, " F"]:
        """Return the features that identify the type.

        Args:
            memory: the memory.
        """
        return memory

    def renew(self, memory: Float[Array, " F"]) -> Float[Array, " F"]:
        """Return the memory at the start of a further episode.

        Args:
            memory: the memory at the end of the last one; unused here.
        """
        return self.start()

    def read_all(
        self,
        views: Float[Array, "S F"],
        tokens: Float[Array, "S F"],
        acted: Bool[Array, " S"],
    ) -> tuple[Float[Array, "S F"], Float[Array, "S F"]]:
        """Return `read` and `summary` before each of S steps from the start.

        Args:
            views: features of the view at each step.
            tokens: features of each step.
            acted: steps at which the player acted; the others are not written.

        Returns:
            Both are the state before each step.
        """

        def step(
            memory: Array, row: tuple[Array, Array]
        ) -> tuple[Array, Array]:
            token, acted = row
            after = jnp.where(acted, self.write(memory, token), memory)
            return after, memory

        before = jax.lax.scan(step, self.start(), (tokens, acted))[1]
        return before, before


class Ring(NamedTuple):
    """The last W steps at which a player acted, in a ring buffer."""

    tokens: Float[Array, "W F"]
    seen: Int[Array, ""]  # number of steps written


class Window(eqx.Module):
    """A memory of the last `size` steps, read by attention; methods as of `Recurrent`.

    The score of a step falls with its age, at a learned rate for each head (ALiBi:
    Press, Smith, Lewis, 2022).
    """

    query: eqx.nn.Linear
    key: eqx.nn.Linear
    value: eqx.nn.Linear
    summary_query: Float[Array, " F"]  # independent of the view
    empty: Float[Array, "2 F"]  # key and value of an empty memory
    slopes: Float[Array, " H"]
    size: int = eqx.field(static=True)

    def __init__(self, width: int, size: int, *, key: PRNGKeyArray) -> None:
        keys = jax.random.split(key, 4)
        self.query, self.key, self.value = (
            eqx.nn.Linear(width, width, key=k) for k in keys[:3]
        )
        self.summary_query = jax.random.normal(keys[3], (width,))
        self.empty = jnp.zeros((2, width))
        self.slopes = jnp.geomspace(0.01, 0.3, HEADS)
        self.size = size

    def start(self) -> Ring:
        """Return the empty memory.

        Returns:
            A ring without steps.
        """
        tokens = jnp.zeros((self.size, len(self.summary_query)))
        return Ring(tokens, jnp.int32(0))

    def write(self, memory: Ring, token: Float[Array, " F"]) -> Ring:
        """Return the memory after a step.

        Args:
            memory: the memory before.
            token: features of the step's view and action.

        Returns:
            The ring with the step in place of the oldest one.
        """
        tokens = memory.tokens.at[memory.seen % self.size].set(token)
        return Ring(tokens, memory.seen + 1)

    def read(
        self, memory: Ring, view: Float[Array, " F"]
    ) -> Float[Array, " F"]:
        """Return the features that predict the next action.

        Args:
            memory: the memory.
            view: features of the current view, the query.

        Returns:
            The attention's output.
        """
        # age of each entry: 0 is the last step
        age = (memory.seen - 1 - jnp.arange(self.size)) % self.size
        written = age < memory.seen
        read = self._attend(view[None], memory.tokens, age[None], written[None])
        return read[0]

    def summary(self, memory: Ring) -> Float[Array, " F"]:
        """Return the features that identify the type.

        Args:
            memory: the memory.
        """
        return self.read(memory, self.summary_query)

    def renew(self, memory: Ring) -> Ring:
        """Return the memory at the start of a further episode: it is kept.

        Args:
            memory: the memory at the end of the last one.
        """
        return memory

    def read_all(
        self,
        views: Float[Array, "S F"],
        tokens: Float[Array, "S F"],
        acted: Bool[Array, " S"],
    ) -> tuple[Float[Array, "S F"], Float[Array, "S F"]]:
        """Return `read` and `summary` before each of S steps from the start.

        Args:
            views: features of the view at each step.
            tokens: features of each step.
            acted: steps at which the player acted; the others are not written.

        Returns:
            The attention's outputs for both queries.
        """
        before = jnp.cumsum(acted) - acted  # actions before each step
        age = before[:, None] - 1 - before[None]
        written = acted[None] & (age >= 0) & (age < self.size)
        query = jnp.broadcast_to(self.summary_query, views.shape)
        return (
            self._attend(views, tokens, age, written),
            self._attend(query, tokens, age, written),
        )

    def _attend(
        self,
        queries: Float[Array, "S F"],
        tokens: Float[Array, "W F"],
        age: Int[Array, "S W"],
        written: Bool[Array, "S W"],
    ) -> Float[Array, "S F"]:
        def heads(x: Array) -> Float[Array, "... H D"]:
            return x.reshape(len(x), HEADS, -1)

        layers = zip(self.empty, (self.key, self.value), strict=True)
        key, value = (
            heads(jnp.concatenate([empty[None], linear(layer, tokens)]))
            for empty, layer in layers
        )
        query = heads(linear(self.query, queries))
        score = jnp.einsum("shf,whf->hsw", query, key) / query.shape[2] ** 0.5
        decay = jnp.abs(self.slopes)[:, None, None] * age
        decay = jnp.pad(decay, ((0, 0), (0, 0), (1, 0)))
        usable = jnp.pad(written, ((0, 0), (1, 0)), constant_values=True)
        weight = jax.nn.softmax(jnp.where(usable, score - decay, -1e9), axis=-1)
        read = jnp.einsum("hsw,whf->shf", weight, value)
        return read.reshape(queries.shape)


class Predictions(NamedTuple):
    """Log-probabilities of one player's steps, each given the steps before."""

    action: Float[Array, "S A"]  # log pi_hat(a | history, view)
    types: Float[Array, "S G"]  # log P(type | history)


class SequenceOpponents(OpponentModel):
    """pi_hat_j(a_j | past views and actions, current view) of each opponent.

    The belief holds each opponent's memory [N-1, ...]. The posterior is over the types
    of the `LearnedOpponents` that is trained beside it.
    """

    view_net: ObsNet  # view -> F
    token_net: MLP  # view features and action -> F
    memory: Recurrent | Window
    policy_net: MLP
    probe: eqx.nn.Linear
    obs_units: ObsUnits | None
    game: Game = eqx.field(static=True)

    @classmethod
    def create(
        cls, game: Game, config: ModelConfig, goals: int, *, key: PRNGKeyArray
    ) -> "SequenceOpponents":
        """Return an untrained model of the kind `config.opponents`.

        Args:
            game: gives the shapes.
            config: sizes of the networks.
            goals: number of types, G.
            key: for the initial weights.

        Returns:
            The model.
        """
        keys = jax.random.split(key, 5)
        width, hidden = config.width // HEADS * HEADS or HEADS, (config.width,)
        if config.opponents == "recurrent":
            memory = Recurrent(width, key=keys[2])
        else:
            memory = Window(width, config.context, key=keys[2])
        actions = game.num_actions
        return cls(
            view_net=opponent_net(
                game, config, hidden * (config.depth - 1), width, key=keys[0]
            ),
            token_net=MLP(width + actions, hidden, width, key=keys[1]),
            memory=memory,
            policy_net=MLP(2 * width, hidden, actions, key=keys[3]),
            probe=eqx.nn.Linear(width, goals, key=keys[4]),
            obs_units=unit_obs(game),
            game=game,
        )

    def init(self) -> Belief:
        others = self.game.num_players - 1
        return jax.tree.map(
            lambda x: jnp.broadcast_to(x, (others, *x.shape)),
            self.memory.start(),
        )

    def renew(self, belief: Belief) -> Belief:
        return jax.vmap(self.memory.renew)(belief)

    def inputs(self, obs: Shaped[Array, "*obs"]) -> Float[Array, "others I"]:
        """Return the views of the opponents as the networks read them.

        Args:
            obs: own observation.
        """
        return opponent_inputs(self.game, obs, self.obs_units)

    def predict(
        self,
        belief: Belief,
        obs: Shaped[Array, "*obs"],
        legal: Bool[Array, " A"],
    ) -> Float[Array, "others A"]:
        views = jax.vmap(self.view_net)(self.inputs(obs))
        read = jax.vmap(self.memory.read)(belief, views)
        masks = opponent_legal(self.game, obs)
        return jnp.exp(jax.vmap(self._log_policy)(views, read, masks))

    def update(
        self,
        belief: Belief,
        obs: Shaped[Array, "*obs"],
        actions: Int[Array, " N"],
        present: Bool[Array, " N"],
    ) -> Belief:
        others = actions[1:]
        views = jax.vmap(self.view_net)(self.inputs(obs))
        tokens = jax.vmap(self._token)(views, others)
        acted = present[1:] & (others != ABSENT)

        def keep_if_absent(new: Array, old: Array) -> Array:
            mask = acted.reshape(-1, *[1] * (new.ndim - 1))
            return jnp.where(mask, new, old)

        after: PyTree = jax.vmap(self.memory.write)(belief, tokens)
        return jax.tree.map(keep_if_absent, after, belief)

    def posterior(self, belief: Belief) -> Float[Array, "others G"]:
        def logits(memory: PyTree) -> Float[Array, " G"]:
            return linear(self.probe, self.memory.summary(memory))

        return jax.nn.softmax(jax.vmap(logits)(belief))

    def predict_all(
        self,
        inputs: Float[Array, "S I"],
        legal: Bool[Array, "S A"],
        actions: Int[Array, " S"],
    ) -> Predictions:
        """Return predictions of one player's steps, for training.

        Args:
            inputs: its views (`inputs`).
            legal: its legal actions.
            actions: its actions; ABSENT where it did not act.

        Returns:
            Log-probabilities of actions and types before each step.
        """
        views = jax.vmap(self.view_net)(inputs)
        tokens = jax.vmap(self._token)(views, actions)
        read, summary = self.memory.read_all(views, tokens, actions != ABSENT)
        log_policy = jax.vmap(self._log_policy)(views, read, legal)
        types = linear(self.probe, jax.lax.stop_gradient(summary))
        return Predictions(log_policy, jax.nn.log_softmax(types))

    def _token(
        self, view: Float[Array, " F"], action: Int[Array, ""]
    ) -> Float[Array, " F"]:
        one_hot = jax.nn.one_hot(action, self.game.num_actions)
        return self.token_net(jnp.concatenate([view, one_hot]))

    def _log_policy(
        self,
        view: Float[Array, " F"],
        read: Float[Array, " F"],
        legal: Bool[Array, " A"],
    ) -> Float[Array, " A"]:
        logits = self.policy_net(jnp.concatenate([view, read]))
        return jax.nn.log_softmax(jnp.where(legal, logits, -1e9))
