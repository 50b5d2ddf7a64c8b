"""noisy, mixture, switching, look_alike; and draws beside the distributions told."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from boards import distribution, observe

from bestreply import make_game, make_player
from bestreply.types import ABSENT

GAME = make_game("matrix(table=prisoners_dilemma)")
OBS, LEGAL = jnp.zeros(GAME.obs_shape), jnp.ones(2, bool)
MANY = 2000


def probs_along(spec, steps, keys, games=1, others=ABSENT):
    """[len(keys), games, steps, A]: what is told at each step of `games` games in a row."""
    player = make_player(spec, GAME)

    def step(carry, key):
        carry, _, actor_output = player.step(
            carry, OBS, LEGAL, key, others=jnp.array([others])
        )
        return carry, actor_output.probs

    def game(carry, key):
        carry, probs = jax.lax.scan(step, carry, jax.random.split(key, steps))
        return player.renew(carry), probs

    def match(key):
        return jax.lax.scan(game, player.init(), jax.random.split(key, games))[
            1
        ]

    return np.asarray(jax.jit(jax.vmap(match))(keys))


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def is_near(found, wanted, count=MANY):
    """A share of `count` draws within five standard deviations of a probability."""
    wanted = np.asarray(wanted)
    return (
        abs(np.asarray(found) - wanted)
        <= 5 * np.sqrt(wanted * (1 - wanted) / count) + 1e-9
    ).all()


def test_noisy():
    game = make_game("stag_hunt(hunters=2)")
    obs = observe(game, "0 . S .\n. . . .\n. . . .\n. . . .")
    third = pytest.approx(0.3 / 3)
    found = distribution(
        game, make_player("noisy(nearest_stag, 0.3)", game), obs
    )
    assert found == {
        "DOWN": third,
        "RIGHT": pytest.approx(0.7 + 0.1),
        "STAY": third,
    }
    assert distribution(
        game, make_player("noisy(nearest_stag, 0)", game), obs
    ) == {"RIGHT": 1}


def test_noisy_keeps_its_players_memory():
    found = probs_along("noisy(grim, eps=0.2)", 2, keys(1), others=1)[0, 0]
    np.testing.assert_allclose(found, [[0.1, 0.9], [0.1, 0.9]], atol=1e-6)


def test_mixture_draws_once_for_a_game_and_again_for_the_next():
    found = probs_along(
        "mixture(always_c, always_d, weights=(3, 1))", 4, keys(MANY), games=2
    )
    assert set(np.unique(found)) == {0, 1}
    defects = found[..., 1]
    assert (
        defects == defects[:, :, :1]
    ).all()  # the same to the end of the game
    assert is_near(defects[:, :, 0].mean(0), [0.25, 0.25])
    assert is_near(
        (defects[:, 0, 0] * defects[:, 1, 0]).mean(), 0.25**2
    )  # games apart


def test_mixture_of_nothing_but_the_last():
    assert (
        probs_along("mixture(always_c, always_d, weights=(0, 1))", 2, keys(50))[
            ..., 1
        ]
        == 1
    ).all()


def test_switching_at_a_step():
    found = probs_along(
        "switching(always_c, always_d, step=2)", 5, keys(2), games=2
    )[..., 1]
    assert (found == [0, 0, 1, 1, 1]).all()  # in every game anew


def test_switching_at_a_random_step_of_each_game():
    found = probs_along(
        "switching(always_c, always_d, random=3)", 5, keys(MANY), games=2
    )[..., 1]
    assert (np.diff(found, axis=-1) >= 0).all()  # for good
    at = 5 - found.sum(-1)  # the first step of the second player
    for game in range(2):
        assert is_near(
            [(at[:, game] == k).mean() for k in range(4)],
            [1 / 3, 1 / 3, 1 / 3, 0],
        )
    assert is_near((at[:, 0] == at[:, 1]).mean(), 1 / 3)


def test_switching_at_a_step_of_the_whole_game():
    player = make_player("switching(always_c, always_d, random=True)", GAME)
    assert player.random == GAME.max_steps


def test_switching_at_a_hazard_rate():
    found = probs_along(
        "switching(always_c, always_d, hazard=0.25)", 4, keys(MANY)
    )[:, 0, :, 1]
    assert (np.diff(found, axis=-1) >= 0).all()
    at = 4 - found.sum(-1)
    assert is_near(
        [(at == k).mean() for k in range(5)],
        [0.25 * 0.75**k for k in range(4)] + [0.75**4],
    )


def test_switching_between_episodes():
    found = probs_along(
        "switching(always_c, always_d, episode=2)", 3, keys(2), games=4
    )[..., 1]
    assert (found == np.array([0, 0, 1, 1])[:, None]).all()


def test_both_of_a_switching_player_remember():
    """Grim has seen the defection when its turn comes."""
    found = probs_along(
        "switching(always_c, grim, step=2)", 4, keys(1), others=1
    )[0, 0, :, 1]
    assert found.tolist() == [0, 0, 1, 1]
    found = probs_along(
        "switching(always_d, grim, step=2)", 4, keys(1), others=0
    )[0, 0, :, 1]
    assert found.tolist() == [1, 1, 0, 0]


def test_look_alikes_are_alike_for_so_long():
    one = probs_along("tit_for_tat", 5, keys(1), others=1)[0, 0]
    other = probs_along(
        "look_alike(tit_for_tat, always_c, steps=3)", 5, keys(1), others=1
    )[0, 0]
    assert (one[:3] == other[:3]).all() and (one[3:] != other[3:]).all()


@pytest.mark.parametrize(
    "game, spec, drawing",
    [
        (
            "stag_hunt(hunters=2)",
            "nearest_stag",
            "0 . S .\n. S # .\n. . . .\n. . . .",
        ),
        (
            "stag_hunt(hunters=2)",
            "nearest_hare",
            ". H . .\nH 0 # H\n. . . .\n. . . .",
        ),
        (
            "stag_hunt(hunters=2)",
            "random",
            "0S . S .\n. S . .\n. . . .\n. . . .",
        ),
        (
            "stag_hunt(hunters=2)",
            "noisy(nearest_stag, 0.4)",
            "0 . S .\n. S . .\n. . . .\n. . . .",
        ),
        (
            "snowdrift(height=4, width=4)",
            "never_remove",
            "0D . . .\n. . . .\n. . . .\n. . . .",
        ),
    ],
)
def test_draws_come_as_often_as_the_policy_says(game, spec, drawing):
    game = make_game(game)
    player, obs = make_player(spec, game), observe(game, drawing)
    legal = game.legal_in(obs)
    step = jax.jit(
        jax.vmap(lambda key: player.step(player.init(), obs, legal, key)[1:])
    )
    action, actor_output = step(keys(MANY, seed=1))
    policy = np.asarray(player.policy((), obs, legal))
    assert (np.asarray(actor_output.probs) == policy).all()
    assert is_near(
        np.bincount(action, minlength=game.num_actions) / MANY, policy
    )
    assert (policy[np.asarray(action)] > 0).all()


def test_mixed_strategies_are_drawn_as_told():
    payoffs = [
        [[2, 0], [0, 1]],
        [[0, 1], [2, 0]],
    ]  # asymmetric pennies: row 2/3, 1/3; column 1/3, 2/3
    game = make_game("matrix", payoffs=payoffs)
    for seat, wanted in enumerate(([2 / 3, 1 / 3], [1 / 3, 2 / 3])):
        player = make_player("equilibrium", game, seat)
        drawn = jax.vmap(
            lambda key, player=player: player.step(
                (), jnp.zeros(7), LEGAL, key
            )[1]
        )(keys(MANY))
        assert is_near(np.bincount(drawn, minlength=2) / MANY, wanted)


def test_a_player_made_of_players_may_be_made_of_such():
    """mixture of switching and noisy: every layer keeps its own memory."""
    spec = (
        "mixture(switching(always_c, always_d, step=1), noisy(always_c, 1.0))"
    )
    found = probs_along(spec, 2, keys(200))[:, 0]
    kinds = {tuple(row.ravel().tolist()) for row in found}
    assert kinds == {(1, 0, 0, 1), (0.5, 0.5, 0.5, 0.5)}


def test_schedules_are_all_there():
    names = [
        f"switching(always_c, always_d, {when})"
        for when in ("step=1", "random=2", "hazard=0.5", "episode=1")
    ]
    for one, other in itertools.combinations(names, 2):
        assert make_player(one, GAME) != make_player(other, GAME)
