"""The interface of opponent models, and what an own observation tells about the other players."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from bestreply.games.base import Game
from bestreply.players.base import uniform

MIN_PROB = 1e-12
"""Lower bound of probabilities before their logarithm is taken."""

Belief = PyTree
"""What an opponent model remembers of an episode: arrays, of a structure of its own."""


class OpponentModel(eqx.Module):
    """What the others will do, and who they are. For one example; batch with `jax.vmap`."""

    game: eqx.AbstractVar[Game]

    @abc.abstractmethod
    def init(self) -> Any:
        """The belief at the start of an episode."""

    @abc.abstractmethod
    def predict(
        self, belief: Any, obs: Array, legal: Array
    ) -> Float[Array, "others A"]:
        """The others' action probabilities at own observation `obs` (own legal actions `legal`), ego-first order."""

    def update(
        self, belief: Any, obs: Array, actions: Array, present: Array
    ) -> Any:
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

    def predict(
        self, belief: Any, obs: Array, legal: Array
    ) -> Float[Array, "others A"]:
        return uniform(opponent_legal(self.game, obs))

    def posterior(self, belief: Any) -> Float[Array, "others G"]:
        return jnp.full((self.game.num_players - 1, self.goals), 1 / self.goals)


def present_seats(game: Game, obs: Float[Array, "*obs"]) -> Bool[Array, " N"]:
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
    """Whether one's own observation tells what the others see."""
    return (
        jax.eval_shape(lambda: game.perspective(jnp.zeros(game.obs_shape), 1))
        is not None
    )


def opponent_views(game: Game, obs: Array) -> Float[Array, "others *obs"]:
    """What each other player sees, where the game can tell; otherwise one's own observation for each."""
    others = range(1, game.num_players)
    if sees_opponents(game):
        return jnp.stack(
            [jnp.asarray(game.perspective(obs, j)) for j in others]
        )
    return jnp.broadcast_to(obs, (len(others), *jnp.shape(obs)))


def opponent_inputs(game: Game, obs: Array) -> Float[Array, "others inputs"]:
    """What a network is told of the situation of each other player: its view; where that is one's own, also whose action is asked for."""
    views = opponent_views(game, obs).reshape(game.num_players - 1, -1)
    return (
        views
        if sees_opponents(game)
        else jnp.concatenate([views, jnp.eye(len(views))], axis=1)
    )


def opponent_legal(game: Game, obs: Array) -> Array:
    """[N-1, A] bool: what is legal for each other player, where the game can tell; otherwise every action."""
    views = opponent_views(game, obs)
    if (
        sees_opponents(game)
        and jax.eval_shape(game.legal_in, views[0]) is not None
    ):
        return jax.vmap(lambda view: jnp.asarray(game.legal_in(view)))(views)
    return jnp.ones((len(views), game.num_actions), bool)
