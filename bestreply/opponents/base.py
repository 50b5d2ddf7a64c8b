"""The interface of opponent models, and what an own observation shows of opponents."""

import abc
import math
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, PRNGKeyArray, PyTree, Shaped

from bestreply.config import ModelConfig
from bestreply.games.base import Game
from bestreply.games.seats import others_actions
from bestreply.models.obs_nets import ObsNet, make_obs_net
from bestreply.models.units import ObsUnits, flat_obs
from bestreply.players.base import uniform
from bestreply.types import Array
from bestreply.utils.names import Names

MIN_PROB = 1e-12
"""Lower bound of probabilities before their logarithm is taken."""

Belief = PyTree
"""What an opponent model remembers of an episode: arrays, of a structure of its own."""


class OpponentModel(eqx.Module):
    """Predicts opponent actions and types. For one example; batch with `jax.vmap`."""

    game: eqx.AbstractVar[Game]

    @property
    def reads_own_actions(self) -> bool:
        """Whether `update` reads the own action, ``actions[0]``.

        Planners then compute the belief after each own action; else once for all.
        """
        return False

    @abc.abstractmethod
    def init(self) -> Belief:
        """Return the belief at the start of a first episode."""

    @abc.abstractmethod
    def predict(
        self,
        belief: Belief,
        obs: Shaped[Array, "*obs"],
        legal: Bool[Array, " A"],
    ) -> Float[Array, "others A"]:
        """Return the action probabilities of each opponent, ego-first order.

        Args:
            belief: what the model remembers.
            obs: own observation.
            legal: own legal actions.
        """

    def update(
        self,
        belief: Belief,
        obs: Shaped[Array, "*obs"],
        actions: Int[Array, " N"],
        present: Bool[Array, " N"],
    ) -> Belief:
        """Return the belief after a joint action.

        Args:
            belief: the belief before.
            obs: own observation at which the actions were taken.
            actions: the joint action, ego first; ABSENT for a seat that has left.
            present: seats in the game, ego first.
        """
        return belief

    def renew(self, belief: Belief) -> Belief:
        """Return the belief at the start of a further episode, same opponents.

        Args:
            belief: the belief at the end of the last episode; unused by default.
        """
        return self.init()

    def posterior(self, belief: Belief) -> Float[Array, "others G"]:
        """Return the probabilities of each opponent's types.

        Args:
            belief: what the model remembers.
        """
        return jnp.ones((self.game.num_players - 1, 1))

    @property
    def knows_replies(self) -> bool:
        """Whether `reply_value` has the values of exact best replies.

        Plans then end in them, not in values of the world model.
        """
        return False

    def reply_value(
        self, belief: Belief, obs: Shaped[Array, "*obs"]
    ) -> Float[Array, ""]:
        """Return the value of the best reply, as if the opponents' types became known now.

        Args:
            belief: what the model remembers.
            obs: own observation.

        Raises:
            NotImplementedError: `knows_replies` is False.
        """
        raise NotImplementedError


class UniformOpponents(OpponentModel):
    """Every legal action is equally likely, whatever happened: no opponent model.

    `goals` is the width of the posterior that a value conditioned on beliefs expects;
    the posterior is uniform too. In a repeated game (`repeated`) all that can follow has
    the same value, since nothing that is done changes what they do.
    """

    game: Game = eqx.field(static=True)
    goals: int = eqx.field(static=True, default=1)
    repeated: bool = eqx.field(static=True, default=False)

    @property
    def knows_replies(self) -> bool:
        return self.repeated

    def reply_value(
        self, belief: Belief, obs: Shaped[Array, "*obs"]
    ) -> Float[Array, ""]:
        return jnp.float32(0)

    def init(self) -> Belief:
        return ()

    def predict(
        self,
        belief: Belief,
        obs: Shaped[Array, "*obs"],
        legal: Bool[Array, " A"],
    ) -> Float[Array, "others A"]:
        return uniform(opponent_legal(self.game, obs))

    def posterior(self, belief: Belief) -> Float[Array, "others G"]:
        return jnp.full((self.game.num_players - 1, self.goals), 1 / self.goals)


NAMES = Names(
    "opponents",
    OpponentModel,
    (
        "types",
        "recurrent",
        "in_context",
        "tables",
        "level_k",
        "learned",
        "uniform",
    ),
)
"""Opponent models that are not the library's own."""


def named_opponents(
    name: str, game: Game, goals: int, learned: OpponentModel
) -> OpponentModel:
    """Return an opponent model of others by name.

    Args:
        name: ``module:Class(settings)`` or a registered name. Where the class or
            factory has parameters `game`, `goals` and `learned`, it is given them.
        game: the game.
        goals: number of types that the value is conditioned on.
        learned: the run's model, trained over these types.

    Returns:
        The model.

    Raises:
        ValueError: there is no such model, or its settings are refused.
    """
    return NAMES.make(name, game=game, goals=goals, learned=learned)


def present_seats(game: Game, obs: Shaped[Array, "*obs"]) -> Bool[Array, " N"]:
    """Return the seats that an own observation shows to be in the game.

    Args:
        game: the game.
        obs: own observation.

    Returns:
        A mask, ego first; all seats where the game does not show them.
    """
    shown = game.present_in(obs)
    if shown is None:
        return jnp.ones(game.num_players, bool)
    return jnp.asarray(shown)


def sees_opponents(game: Game) -> bool:
    """Return whether an own observation determines what the opponents see.

    Args:
        game: the game.

    Returns:
        True where `Game.perspective` is defined.
    """
    view = jax.eval_shape(
        lambda: game.perspective(jnp.zeros(game.obs_shape), 1)
    )
    return view is not None


def opponent_views(
    game: Game, obs: Shaped[Array, "*obs"]
) -> Shaped[Array, "others *obs"]:
    """Return the observation of each opponent.

    Args:
        game: the game.
        obs: own observation.

    Returns:
        Where the game does not show what opponents see, the own observation for each;
        no rows in a game of one player.
    """
    others = range(1, game.num_players)
    if others and sees_opponents(game):
        views = [jnp.asarray(game.perspective(obs, j)) for j in others]
        return jnp.stack(views)
    return jnp.broadcast_to(obs, (len(others), *jnp.shape(obs)))


def opponent_inputs(
    game: Game,
    obs: Shaped[Array, "*obs"],
    units: ObsUnits | None = None,
) -> Float[Array, "others inputs"]:
    """Return the input of a network that predicts each opponent.

    Args:
        game: the game.
        obs: own observation.
        units: units of observations; None: those of the game.

    Returns:
        The flat view of each opponent; with a one-hot index of the opponent where the
        view is the own observation.
    """
    size = math.prod(game.obs_shape)  # -1 is undefined without opponents
    views = opponent_views(game, obs).reshape(game.num_players - 1, size)
    views = jax.vmap(partial(flat_obs, units))(views) if len(views) else views
    views = views.astype(jnp.float32)
    if sees_opponents(game):
        return views
    return jnp.concatenate([views, jnp.eye(len(views))], axis=1)


def opponent_net(
    game: Game,
    config: ModelConfig,
    hidden: tuple[int, ...],
    outputs: int,
    *,
    key: PRNGKeyArray,
) -> ObsNet:
    """Return an untrained network of `opponent_inputs`.

    Args:
        game: gives the shapes.
        config: as in `make_obs_net`.
        hidden: units of each hidden layer.
        outputs: size of the output.
        key: for the initial weights.
    """
    extra = 0 if sees_opponents(game) else game.num_players - 1
    return make_obs_net(
        config, game.obs_shape, hidden, outputs, extra=extra, key=key
    )


def opponent_actions(
    game: Game, obs: Shaped[Array, "*obs"]
) -> Bool[Array, "others A"]:
    """Return the actions that each opponent's seat has.

    Args:
        game: the game.
        obs: own observation; it tells the own seat where seats differ.

    Returns:
        Masks, ego-first order.
    """
    if len(set(game.seat_actions)) == 1:
        return jnp.ones((game.num_players - 1, game.num_actions), bool)
    seat = jnp.asarray(game.seat_in(obs))
    return jnp.asarray(others_actions(game))[seat]


def possible(
    game: Game,
    obs: Shaped[Array, "*obs"],
    probs: Float[Array, "others A"],
) -> Float[Array, "others A"]:
    """Return predicted policies without actions that the opponents' seats do not have.

    Args:
        game: the game.
        obs: own observation.
        probs: action probabilities of any opponent model.

    Returns:
        The same where all seats have the same actions.
    """
    if len(set(game.seat_actions)) == 1:
        return probs
    has = opponent_actions(game, obs)
    probs = probs * has
    total = probs.sum(-1, keepdims=True)
    return jnp.where(
        total > 0, probs / jnp.maximum(total, MIN_PROB), uniform(has)
    )


def opponent_legal(
    game: Game, obs: Shaped[Array, "*obs"]
) -> Bool[Array, "others A"]:
    """Return the legal actions of each opponent.

    Args:
        game: the game.
        obs: own observation.

    Returns:
        Masks; every action of their seats where the game does not show which are legal.
    """
    has = opponent_actions(game, obs)
    if game.num_players > 1 and sees_opponents(game):
        views = opponent_views(game, obs)
        if jax.eval_shape(game.legal_in, views[0]) is not None:
            legal = jax.vmap(lambda v: jnp.asarray(game.legal_in(v)))(views)
            return legal & has
    return has
