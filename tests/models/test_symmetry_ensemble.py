"""A value averaged over the symmetries of a game doesn't change when the game is turned."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game
from bestreply.config import ModelConfig
from bestreply.games.symmetries import transform_obs
from bestreply.models.symmetry_ensemble import (
    SymmetryEnsemble,
    averaged_over_symmetries,
)
from bestreply.models.world_model import WorldModel

GAME = make_game(
    "stag_hunt(height=3, width=3, hunters=3, stags=1, hares=1, max_steps=4)"
)


def world(**settings):
    config = ModelConfig(latent=4, width=8, depth=1, **settings)
    return WorldModel(GAME, config, goals=2, heads=2, key=jax.random.key(0))


@pytest.mark.parametrize("value_of", ["o", "z"])
@pytest.mark.parametrize("heads", ["single", "player", "action"])
def test_turned_games_are_worth_the_same(heads, value_of):
    symmetries = GAME.symmetries()
    learned = world(value_heads=heads, value_of=value_of)
    seen = SymmetryEnsemble(learned, GAME, len(symmetries.action))
    obs = GAME.reset(jax.random.key(1))[1].obs[0]
    belief = jnp.array([[0.9, 0.1], [0.3, 0.7]])
    plain, value = (
        w.value(w.encode(obs), obs, belief) for w in (learned, seen)
    )
    for which in (1, 5, 11):
        turned, logged_beliefs = (
            transform_obs(symmetries, jnp.int32(which), obs),
            belief[symmetries.others[which]],
        )
        again = seen.value(seen.encode(turned), turned, logged_beliefs)
        back = again[symmetries.action[which]] if heads == "action" else again
        np.testing.assert_allclose(back, value, rtol=1e-4, atol=1e-6)
    assert not np.allclose(plain, value)  # the network alone doesn't know


def test_a_mean_over_what_each_view_is_said_to_be_worth():
    symmetries, learned = GAME.symmetries(), world(value_heads="single")
    obs, belief = GAME.reset(jax.random.key(1))[1].obs[0], jnp.ones((2, 2)) / 2
    views = [
        transform_obs(symmetries, jnp.int32(w), obs)
        for w in range(len(symmetries.action))
    ]
    each = [learned.value(learned.encode(o), o, belief) for o in views]
    seen = SymmetryEnsemble(learned, GAME, len(views))
    np.testing.assert_allclose(
        seen.value(seen.encode(obs), obs, belief), np.mean(each, 0), rtol=1e-5
    )
    some = SymmetryEnsemble(learned, GAME, 4)
    np.testing.assert_allclose(
        some.value(some.encode(obs), obs, belief),
        np.mean(each[:: len(views) // 4], 0),
        rtol=1e-5,
    )


def test_one_view_or_no_symmetries_leave_the_world_as_it_is():
    learned = world()
    assert averaged_over_symmetries(learned, GAME, 1) is learned
    matrix = make_game("matrix", payoffs=(((3, 1), (0, 2)), ((1, 0), (2, 5))))
    assert (
        matrix.symmetries() is None
        and averaged_over_symmetries(learned, matrix, 8) is learned
    )
    assert isinstance(
        averaged_over_symmetries(learned, GAME, 2), SymmetryEnsemble
    )
