"""Models of the others' minds. Rules, learned models, mixtures and oracles are of one shape and can be exchanged.

A belief is a PyTree; what is believed about *who* the others are is its `posterior` [N-1, G], which the value may be told.
"""

import abc
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bestreply.config import ModelConfig
from bestreply.games.base import Game
from bestreply.model.nets import MLP
from bestreply.players.base import ScriptedPlayer, uniform
from bestreply.types import ABSENT

LEAST = 1e-12
"""Least probability that a logarithm is taken of."""


class OpponentModel(eqx.Module):
    """What the others will do, and who they are. For one example; batch with `jax.vmap`."""

    game: eqx.AbstractVar[Game]

    @abc.abstractmethod
    def init(self) -> Any:
        """The belief at the start of an episode."""

    @abc.abstractmethod
    def predict(self, belief: Any, obs: Array, legal: Array) -> Float[Array, "others A"]:
        """The others' action probabilities at own observation `obs` (own legal actions `legal`), ego-first order."""

    def update(self, belief: Any, obs: Array, actions: Array, present: Array) -> Any:
        """The belief after seeing the joint action `actions` [N] taken at `obs`; `present` [N] bool. Both ego first."""
        return belief

    def renew(self, belief: Any) -> Any:
        """The belief at the start of a further episode against the same others; by default nothing is kept."""
        return self.init()

    def posterior(self, belief: Any) -> Float[Array, "others G"]:
        """Probabilities of the goals or types of each other player."""
        return jnp.ones((self.game.num_players - 1, 1))


class UniformOpponents(OpponentModel):
    """Every legal action is as likely as any other, whatever happened: the planner that models nobody.

    `goals` is the width of the posterior that a value trained with beliefs expects: uniform too.
    """

    game: Game = eqx.field(static=True)
    goals: int = eqx.field(static=True, default=1)

    def init(self) -> Any:
        return ()

    def predict(self, belief: Any, obs: Array, legal: Array) -> Float[Array, "others A"]:
        return uniform(legal_of_others(self.game, obs))

    def posterior(self, belief: Any) -> Float[Array, "others G"]:
        return jnp.full((self.game.num_players - 1, self.goals), 1 / self.goals)


class RuleOpponents(OpponentModel):
    """Scripted players as the model of the others: exact where these are who is playing.

    Needs a game whose observation tells what the others see (`Game.perspective`). `types` [N-1] names each player's type for a
    value that is told beliefs.
    """

    players: tuple[ScriptedPlayer, ...]  # N-1, ego-first order
    game: Game = eqx.field(static=True)
    types: tuple[int, ...] = eqx.field(static=True, default=())
    goals: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        if len(self.players) != self.game.num_players - 1:
            raise ValueError(
                f"{len(self.players)} rules for {self.game.num_players - 1} others; wanted: one for each"
            )

    def init(self) -> Any:
        nobody = jnp.full(self.game.num_players, ABSENT)
        return tuple(p.init() for p in self.players), nobody

    def predict(self, belief: Any, obs: Array, legal: Array) -> Float[Array, "others A"]:
        carries, _ = self._seen(belief, obs)
        views, masks = views_of_others(self.game, obs), legal_of_others(self.game, obs)
        return jnp.stack(
            [p.policy(c, v, m) for p, c, v, m in zip(self.players, carries, views, masks, strict=True)]
        )

    def update(self, belief: Any, obs: Array, actions: Array, present: Array) -> Any:
        carries, _ = self._seen(belief, obs)
        carries = tuple(p.did(c, a) for p, c, a in zip(self.players, carries, actions[1:], strict=True))
        return carries, jnp.where(present, actions, ABSENT)

    def _seen(self, belief: Any, obs: Array) -> Any:
        """Each player's carry after it has looked; a belief holds the carries before, and the joint action before."""
        carries, before = belief
        seen = []
        views = views_of_others(self.game, obs)
        for j, (player, carry, view) in enumerate(zip(self.players, carries, views, strict=True)):
            seen.append(player.see(carry, view, jnp.delete(before, j + 1), jax.random.key(0)))
        return tuple(seen), before

    def posterior(self, belief: Any) -> Float[Array, "others G"]:
        types = jnp.asarray(self.types or (0,) * len(self.players))
        return jax.nn.one_hot(types, self.goals)


class LearnedOpponents(OpponentModel):
    """pi_hat_j(a_j | o, g) for each other seat and goal, and a Bayes filter over goals within an episode.

    b'(g) is proportional to b(g) pi_hat_j(a_j | o, g), then a share `prior_mixing` of the prior flows back, so that no goal is ever ruled
    out for good. The prediction is sum_g b(g) pi_hat_j(. | o, g). With one goal it is the direct model pi_hat_j(a_j | o).
    """

    net: MLP
    prior: Float[Array, " G"]
    game: Game = eqx.field(static=True)
    prior_mixing: float = eqx.field(static=True, default=0.01)
    subgoal: MLP | None = None
    """What the state some steps on shows of a player's code, where codes are subgoals (`bestreply.model.subgoals`): for training alone."""

    @classmethod
    def create(
        cls,
        game: Game,
        config: ModelConfig,
        goals: int,
        *,
        key: jax.Array,
        prior_mixing: float = 0.01,
    ) -> "LearnedOpponents":
        """An untrained model with a uniform prior over `goals` goals."""
        inputs = inputs_of_others(game, jnp.zeros(game.obs_shape)).shape[1]
        net = MLP(inputs, (config.width,) * config.depth, goals * game.num_actions, key=key)
        subgoal = None
        if config.subgoals:
            size, subgoal_key = 2 * math.prod(game.obs_shape), jax.random.fold_in(key, 1)
            subgoal = MLP(size, (config.width,) * config.depth, goals, key=subgoal_key)
        prior = jnp.full(goals, 1 / goals)
        return cls(net=net, prior=prior, game=game, prior_mixing=prior_mixing, subgoal=subgoal)

    @property
    def goals(self) -> int:
        return self.prior.shape[0]

    def logits(self, obs: Array) -> Float[Array, "others G A"]:
        """log pi_hat_j(a | o, g), normalised over the actions that can be legal."""
        views = inputs_of_others(self.game, obs)
        raw = jax.vmap(self.net)(views).reshape(len(views), self.goals, self.game.num_actions)
        return jax.nn.log_softmax(jnp.where(legal_of_others(self.game, obs)[:, None], raw, -1e9))

    def own_logits(self, obs: Array) -> Float[Array, "G A"] | None:
        """log pi_hat(a | o, g) for whoever sees `obs` itself; None where the model was only taught to look at others."""
        if not sees_others(self.game):
            return None
        raw = self.net(jnp.reshape(obs, -1)).reshape(self.goals, self.game.num_actions)
        legal = self.game.legal_in(obs)
        return jax.nn.log_softmax(raw if legal is None else jnp.where(legal, raw, -1e9))

    def init(self) -> Array:
        return jnp.broadcast_to(self.prior, (self.game.num_players - 1, self.goals))

    def predict(self, belief: Array, obs: Array, legal: Array) -> Float[Array, "others A"]:
        return self.expect(self.posterior(belief), obs)

    def expect(self, goals: Float[Array, "others G"], obs: Array) -> Float[Array, "others A"]:
        """What others whose goals have the probabilities `goals` do at `obs`: sum_g goals(g) pi_hat_j(. | o, g)."""
        return jnp.einsum("jg,jga->ja", goals, jnp.exp(self.logits(obs)))

    def update(self, belief: Array, obs: Array, actions: Array, present: Array) -> Array:
        others = actions[1:]
        seen = present[1:] & (others != ABSENT)
        taken = jnp.take_along_axis(self.logits(obs), jnp.maximum(others, 0)[:, None, None], 2)[
            ..., 0
        ]  # [N-1, G]
        after = jax.nn.softmax(jnp.log(jnp.maximum(belief, LEAST)) + jnp.maximum(taken, -20.0))
        after = (1 - self.prior_mixing) * after + self.prior_mixing * self.prior
        return jnp.where(seen[:, None], after, belief)

    def posterior(self, belief: Array) -> Float[Array, "others G"]:
        return belief


class ToldOpponents(OpponentModel):
    """A learned model that is told the truth: whoever plays, its goals are `truth` [N-1] and the belief never moves."""

    model: LearnedOpponents
    truth: Array

    @property
    def game(self) -> Game:  # type: ignore[override]
        return self.model.game

    def init(self) -> Array:
        return jax.nn.one_hot(self.truth, self.model.goals)

    def predict(self, belief: Array, obs: Array, legal: Array) -> Float[Array, "others A"]:
        return self.model.expect(belief, obs)

    def posterior(self, belief: Array) -> Float[Array, "others G"]:
        return belief


class ToldSwitching(OpponentModel):
    """A learned model that is told the truth about others that change their mind: `before` [N-1] until step `at`, `after` from it on.

    A belief counts the steps.
    """

    model: LearnedOpponents
    before: Array
    after: Array
    at: Array | int  # [] int32

    @property
    def game(self) -> Game:  # type: ignore[override]
        return self.model.game

    def init(self) -> Array:
        return jnp.int32(0)

    def predict(self, belief: Array, obs: Array, legal: Array) -> Float[Array, "others A"]:
        return self.model.expect(self.posterior(belief), obs)

    def update(self, belief: Array, obs: Array, actions: Array, present: Array) -> Array:
        return belief + 1

    def posterior(self, belief: Array) -> Float[Array, "others G"]:
        return jax.nn.one_hot(jnp.where(belief >= self.at, self.after, self.before), self.model.goals)


class MixedOpponents(OpponentModel):
    """Several models side by side, weighed by Bayes' rule for each other player: rules, learned models or further mixtures.

    `weights` [M] are the prior; a share `prior_mixing` of it flows back at each step. The posterior is that of the models' own, averaged.
    """

    models: tuple[OpponentModel, ...]
    weights: Float[Array, " M"]
    game: Game = eqx.field(static=True)
    prior_mixing: float = eqx.field(static=True, default=0.01)

    @property
    def prior(self) -> Float[Array, " M"]:
        return jnp.asarray(self.weights) / jnp.sum(self.weights)

    def init(self) -> Any:
        return jnp.broadcast_to(self.prior, (self.game.num_players - 1, len(self.models))), tuple(
            m.init() for m in self.models
        )

    def renew(self, belief: Any) -> Any:
        inner = tuple(m.renew(b) for m, b in zip(self.models, belief[1], strict=True))
        return self.init()[0], inner

    def predict(self, belief: Any, obs: Array, legal: Array) -> Float[Array, "others A"]:
        weights, inner = belief
        each = jnp.stack(
            [m.predict(b, obs, legal) for m, b in zip(self.models, inner, strict=True)], 1
        )  # [N-1, M, A]
        return jnp.einsum("jm,jma->ja", weights, each)

    def update(self, belief: Any, obs: Array, actions: Array, present: Array) -> Any:
        weights, inner = belief
        legal = jnp.ones(self.game.num_actions, bool)
        each = jnp.stack([m.predict(b, obs, legal) for m, b in zip(self.models, inner, strict=True)], 1)
        others = actions[1:]
        taken = jnp.take_along_axis(each, jnp.maximum(others, 0)[:, None, None], 2)[..., 0]
        after = weights * jnp.maximum(taken, 1e-6)
        after = (1 - self.prior_mixing) * after / after.sum(1, keepdims=True) + self.prior_mixing * self.prior
        seen = present[1:] & (others != ABSENT)
        inner = tuple(m.update(b, obs, actions, present) for m, b in zip(self.models, inner, strict=True))
        return jnp.where(seen[:, None], after, weights), inner

    def posterior(self, belief: Any) -> Float[Array, "others G"]:
        weights, inner = belief
        each = jnp.stack([m.posterior(b) for m, b in zip(self.models, inner, strict=True)], 1)
        return jnp.einsum("jm,jmg->jg", weights, each)


# -- what one's own observation tells about the others -----------------------------------------------------------------------------


def sees_others(game: Game) -> bool:
    """Whether one's own observation tells what the others see."""
    return jax.eval_shape(lambda: game.perspective(jnp.zeros(game.obs_shape), 1)) is not None


def views_of_others(game: Game, obs: Array) -> Float[Array, "others *obs"]:
    """What each other player sees, where the game can tell; otherwise one's own observation for each."""
    others = range(1, game.num_players)
    if sees_others(game):
        return jnp.stack([jnp.asarray(game.perspective(obs, j)) for j in others])
    return jnp.broadcast_to(obs, (len(others), *jnp.shape(obs)))


def inputs_of_others(game: Game, obs: Array) -> Float[Array, "others inputs"]:
    """What a network is told of the situation of each other player: its view; where that is one's own, also whose action is asked for."""
    views = views_of_others(game, obs).reshape(game.num_players - 1, -1)
    return views if sees_others(game) else jnp.concatenate([views, jnp.eye(len(views))], axis=1)


def legal_of_others(game: Game, obs: Array) -> Array:
    """[N-1, A] bool: what is legal for each other player, where the game can tell; otherwise every action."""
    views = views_of_others(game, obs)
    if sees_others(game) and jax.eval_shape(game.legal_in, views[0]) is not None:
        return jax.vmap(lambda view: jnp.asarray(game.legal_in(view)))(views)
    return jnp.ones((len(views), game.num_actions), bool)
