"""noisy, mixture, switching, look_alike; draws agree with the given probabilities."""

import itertools

import jax
import numpy as np
import pytest
from boards import distribution, observe

from bestreply import make_game, make_player
from bestreply.types import ABSENT
from tests.shared import compiled

GAME = make_game("matrix(table=prisoners_dilemma)")
OBS, LEGAL = np.zeros(GAME.obs_shape, np.float32), np.ones(2, bool)
MANY = 2000


def probs_along(spec, steps, keys, games=1, others=ABSENT):
    """[keys, games, steps, A]: the probabilities in `games` consecutive games."""
    player = make_player(spec, GAME)

    def step(carry, key):
        carry, _, actor_output = player.step(
            carry, OBS, LEGAL, key, others=np.array([others])
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


def is_near(frequency, probability, count=MANY):
    """Whether frequencies of `count` draws are within five standard deviations."""
    probability = np.asarray(probability)
    deviation = np.sqrt(probability * (1 - probability) / count)
    difference = abs(np.asarray(frequency) - probability)
    return (difference <= 5 * deviation + 1e-9).all()


def test_noisy():
    game = make_game("stag_hunt(hunters=2)")
    obs = observe(game, "0 . S .\n. . . .\n. . . .\n. . . .")
    third = pytest.approx(0.3 / 3)
    probs = distribution(
        game, make_player("noisy(nearest_stag, 0.3)", game), obs
    )
    assert probs == {
        "DOWN": third,
        "RIGHT": pytest.approx(0.7 + 0.1),
        "STAY": third,
    }
    assert distribution(
        game, make_player("noisy(nearest_stag, 0)", game), obs
    ) == {"RIGHT": 1}


def test_noisy_keeps_the_memory_of_its_player():
    probs = probs_along("noisy(grim, eps=0.2)", 2, keys(1), others=1)[0, 0]
    np.testing.assert_allclose(probs, [[0.1, 0.9], [0.1, 0.9]], atol=1e-6)


def test_mixture_is_resampled_for_every_game():
    probs = probs_along(
        "mixture(always_c, always_d, weights=(3, 1))", 4, keys(MANY), games=2
    )
    assert set(np.unique(probs)) == {0, 1}
    defects = probs[..., 1]
    assert (defects == defects[:, :, :1]).all()  # constant within a game
    assert is_near(defects[:, :, 0].mean(0), [0.25, 0.25])
    # independent games
    assert is_near((defects[:, 0, 0] * defects[:, 1, 0]).mean(), 0.25**2)


def test_a_mixture_never_draws_a_player_of_weight_0():
    player = make_player("mixture(always_c, always_d, weights=(0, 1))", GAME)
    see = compiled(type(player).see, over=(None, None, None, None, 0))
    chosen, _ = see(player, player.init(), OBS, np.array([ABSENT]), keys(50))
    assert (np.asarray(chosen) == 1).all()


def test_switching_at_a_step():
    probs = probs_along(
        "switching(always_c, always_d, step=2)", 5, keys(2), games=2
    )[..., 1]
    assert (probs == [0, 0, 1, 1, 1]).all()  # in every game


def test_switching_at_a_random_step_of_each_game():
    probs = probs_along(
        "switching(always_c, always_d, random=3)", 5, keys(MANY), games=2
    )[..., 1]
    assert (np.diff(probs, axis=-1) >= 0).all()  # until the end
    at = 5 - probs.sum(-1)  # the first step of the second player
    for game in range(2):
        assert is_near(
            [(at[:, game] == k).mean() for k in range(4)],
            [1 / 3, 1 / 3, 1 / 3, 0],
        )
    assert is_near((at[:, 0] == at[:, 1]).mean(), 1 / 3)


def test_a_random_step_is_by_default_one_of_the_whole_game():
    player = make_player("switching(always_c, always_d, random=True)", GAME)
    assert player.random == GAME.max_steps


def test_switching_at_a_hazard_rate():
    probs = probs_along(
        "switching(always_c, always_d, hazard=0.25)", 4, keys(MANY)
    )[:, 0, :, 1]
    assert (np.diff(probs, axis=-1) >= 0).all()
    at = 4 - probs.sum(-1)
    assert is_near(
        [(at == k).mean() for k in range(5)],
        [0.25 * 0.75**k for k in range(4)] + [0.75**4],
    )


def test_switching_between_episodes():
    probs = probs_along(
        "switching(always_c, always_d, episode=2)", 3, keys(2), games=4
    )[..., 1]
    assert (probs == np.array([0, 0, 1, 1])[:, None]).all()


def test_both_parts_of_a_switching_player_remember():
    """Grim has seen the defection before the switch."""
    probs = probs_along(
        "switching(always_c, grim, step=2)", 4, keys(1), others=1
    )[0, 0, :, 1]
    assert probs.tolist() == [0, 0, 1, 1]
    probs = probs_along(
        "switching(always_d, grim, step=2)", 4, keys(1), others=0
    )[0, 0, :, 1]
    assert probs.tolist() == [1, 1, 0, 0]


def test_look_alikes_act_alike_for_the_given_steps():
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
def test_frequencies_of_draws_agree_with_the_policy(game, spec, drawing):
    game = make_game(game)
    player, obs = make_player(spec, game), observe(game, drawing)
    legal = compiled(game.legal_in)(obs)

    @jax.jit
    @jax.vmap
    def step(key):
        _, action, output = player.step((), obs, legal, key)
        return action, output.probs, player.policy((), obs, legal)

    action, probs, policy = map(np.asarray, step(keys(MANY, seed=1)))
    assert (probs == policy[0]).all()
    counts = np.bincount(action, minlength=game.num_actions)
    assert is_near(counts / MANY, policy[0])
    assert (policy[0, action] > 0).all()


def test_frequencies_of_draws_agree_with_an_equilibrium():
    """Asymmetric matching pennies: row 2/3, 1/3; column 1/3, 2/3."""
    payoffs = [[[2, 0], [0, 1]], [[0, 1], [2, 0]]]
    game = make_game("matrix", payoffs=payoffs)
    obs = np.zeros(7, np.float32)
    for seat, expected in enumerate(([2 / 3, 1 / 3], [1 / 3, 2 / 3])):
        player = make_player("equilibrium", game, seat)
        step = compiled(type(player).step, over=(None, None, None, None, 0))
        _, drawn, _ = step(player, (), obs, LEGAL, keys(MANY))
        counts = np.bincount(drawn, minlength=2)
        assert is_near(counts / MANY, expected)


def test_combinations_can_be_combined():
    """A mixture of switching and noisy: every layer keeps its own memory."""
    spec = (
        "mixture(switching(always_c, always_d, step=1), noisy(always_c, 1.0))"
    )
    probs = probs_along(spec, 2, keys(200))[:, 0]
    kinds = {tuple(row.ravel().tolist()) for row in probs}
    assert kinds == {(1, 0, 0, 1), (0.5, 0.5, 0.5, 0.5)}


def test_schedules_make_different_players():
    names = [
        f"switching(always_c, always_d, {when})"
        for when in ("step=1", "random=2", "hazard=0.5", "episode=1")
    ]
    for one, other in itertools.combinations(names, 2):
        assert make_player(one, GAME) != make_player(other, GAME)
