"""Players that reply to players, in rock-paper-scissors."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game
from bestreply.config import ModelConfig, PlannerConfig
from bestreply.models.world_model import WorldModel
from bestreply.opponents.base import OpponentModel
from bestreply.opponents.learned import LearnedOpponents
from bestreply.planning.base import Models
from bestreply.planning.level_k import ReplyingOpponents, level_k_mixture
from bestreply.types import Array

ROCK, PAPER, SCISSORS = range(3)
WINS = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], float)
GAME = make_game(
    "matrix", payoffs=np.stack([WINS, WINS.T], 0).tolist(), memory=1
)
OBS, LEGAL, HERE = (
    jnp.zeros(GAME.obs_shape),
    jnp.ones(3, bool),
    jnp.ones(2, bool),
)
PLANNER = PlannerConfig()


class Rocks(OpponentModel):
    """Everybody plays rock in 8 of 10 throws."""

    game = GAME

    def init(self):
        return ()

    def predict(self, belief, obs, legal):
        return jnp.array([[0.8, 0.1, 0.1]])


class Payoffs(eqx.Module):
    """The reward of a joint action, as the world model's network would give it."""

    def __call__(self, z: Array, actions: Array) -> Array:
        own, other = actions.reshape(2, 3)
        return (own @ jnp.asarray(WINS) @ other)[None]


def world():
    made = WorldModel(
        GAME,
        ModelConfig(latent=2, width=4, depth=1),
        goals=1,
        heads=1,
        key=jax.random.key(0),
    )
    nothing = jax.tree.map(
        lambda x: x * 0 if eqx.is_inexact_array(x) else x, made.value_net
    )
    return eqx.tree_at(
        lambda w: (w.reward_net, w.value_net), made, (Payoffs(), nothing)
    )


def test_each_level_beats_the_one_below():
    below = Rocks()
    for best in (PAPER, SCISSORS):
        below = ReplyingOpponents(Models(world(), below, 0.9, PLANNER), GAME)
        probs = eqx.filter_jit(below.predict)((), OBS, LEGAL)[0]
        assert probs.argmax() == best
        assert probs[best] > 0.9


def test_bayes_rule_finds_the_level():
    mixed = level_k_mixture(
        Models(world(), Rocks(), 0.9, PLANNER), prior_mixing=0.0
    )
    belief = mixed.init()
    np.testing.assert_allclose(
        belief[0][0], np.array([16, 4, 1]) / 21, rtol=1e-5
    )
    one, two = jax.jit(
        lambda: [m.predict((), OBS, LEGAL)[0] for m in mixed.models[1:]]
    )()
    update = eqx.filter_jit(mixed.update)
    for _ in range(3):
        belief = update(belief, OBS, jnp.array([0, SCISSORS]), HERE)
    odds = np.array(
        [16 * 0.1**3, 4 * float(one[SCISSORS]) ** 3, float(two[SCISSORS]) ** 3]
    )
    np.testing.assert_allclose(belief[0][0], odds / odds.sum(), atol=1e-4)
    assert (
        eqx.filter_jit(mixed.predict)(belief, OBS, LEGAL)[0].argmax()
        == SCISSORS
    )


def test_games_that_hide_what_others_see_are_refused():
    class Hidden(type(GAME)):
        def perspective(self, obs, other):
            return None

    settings = {f.name: getattr(GAME, f.name) for f in dataclasses.fields(GAME)}
    hidden = Hidden(**settings)  # pyright: ignore[reportAbstractUsage]
    below = LearnedOpponents.create(
        hidden, ModelConfig(width=4), 1, key=jax.random.key(0)
    )
    with pytest.raises(
        ValueError,
        match="expected a game whose observation shows what opponents see",
    ):
        ReplyingOpponents(Models(world(), below, 0.9, PLANNER), hidden)
