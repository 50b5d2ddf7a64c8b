"""The real game behind the world model's verbs: the same as the game stepped directly."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game
from bestreply.games.matrix import MatrixGame
from bestreply.models.base import PlanningModel
from bestreply.models.true_model import TrueModel
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.types import ABSENT, ego_order

GAMES = {
    "hunters leave": "stag_hunt(height=2, width=3, hunters=3, stags=1, hares=2, max_steps=6)",
    "drifts": "snowdrift(height=2, width=2, players=2, drifts=2, max_steps=5)",
    "dilemma": "matrix(table=prisoners_dilemma, rounds=4, memory=2)",
}


@pytest.mark.parametrize("name", GAMES)
def test_every_step_of_play_is_foretold(name):
    """Next observation, reward, end and legal actions, from each seat's own observation."""
    game = make_game(GAMES[name])
    n = game.num_players
    log = play(game, seat_players(game, ["random"] * n, 6, 0), 0).episodes
    world = TrueModel(learned=None, game=game)
    assert isinstance(world, PlanningModel)

    @jax.jit
    def foretold(obs, action, others):
        z = world.encode(obs)
        after = world.next(z, action, others)
        return (
            world.imagine(after),
            world.reward(z, action, others),
            world.continues(z, action, others),
            world.allowed(z),
        )

    checked = 0
    for e, t, seat in np.argwhere(log.action != ABSENT):
        others = log.action[e, t, ego_order(n)[seat, 1:]]
        obs, reward, goes_on, legal = foretold(
            log.obs[e, t, seat], log.action[e, t, seat], others
        )
        np.testing.assert_allclose(obs, log.obs[e, t + 1, seat], atol=1e-6)
        assert reward == pytest.approx(log.reward[e, t, seat], abs=1e-6)
        assert (goes_on > 0) == (
            not (log.terminated[e, t, seat] or log.truncated[e, t])
        )
        np.testing.assert_array_equal(legal, log.legal[e, t, seat])
        checked += 1
    assert checked > 30


def test_the_step_limit_need_not_end_what_counts():
    game = make_game(
        "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=1)"
    )
    stay = jnp.int32(4), jnp.array([4], jnp.int32)
    for limit_ends in (True, False):
        world = TrueModel(learned=None, game=game, limit_ends=limit_ends)
        z = world.encode(game.reset(jax.random.key(0))[1].obs[0])
        assert (world.continues(z, *stay) < 0) == limit_ends


def test_values_of_illegal_actions_do_not_count():
    game = make_game(
        "stag_hunt(height=1, width=2, hunters=2, stags=1, hares=1, max_steps=4)"
    )
    heads = SimpleNamespace(
        config=SimpleNamespace(value_heads="action"),
        encode=lambda obs: None,
        value=lambda z, obs, belief: jnp.arange(7.0),
    )
    world = TrueModel(learned=heads, game=game)
    shown = game.reset(jax.random.key(1))[1]
    values = world.values_of(world.encode(shown.obs[0]), jnp.ones((1, 1)))
    np.testing.assert_array_equal(np.isfinite(values), shown.legal[0])


def test_a_game_that_hides_its_state_is_refused():
    with pytest.raises(
        ValueError, match=r"planner\.world=true in matrix: expected a game"
    ):
        TrueModel(
            learned=None, game=make_game("matrix(table=matching_pennies)")
        )  # seats differ in their payoffs


def test_a_drawn_end_has_its_probability():
    """The next state is that of a game that goes on."""
    game = make_game("matrix", continuation=0.3, max_steps=9)
    world = TrueModel(learned=None, game=game)
    z = world.encode(game.reset(jax.random.key(0))[1].obs[0])
    joint = jnp.int32(1), jnp.array([0], jnp.int32)
    continues = jax.nn.sigmoid(world.continues(z, *joint))
    assert continues == pytest.approx(0.3, abs=1e-5)
    assert world.reward(z, *joint) == pytest.approx(5.0)
    after = world.next(z, *joint)
    assert not after.over
    np.testing.assert_array_equal(after.history, [[1, 0]])


class Slippery(MatrixGame):
    """Draws in `advance`, and does not state what can come of it."""

    def advance(self, state, actions, key):
        slips = jax.random.bernoulli(key, 0.1)
        return super().advance(state, jnp.where(slips, 0, actions), key)


def test_a_game_that_does_not_state_its_chance_is_refused():
    with pytest.raises(ValueError, match="outcomes"):
        TrueModel(learned=None, game=Slippery())
