"""Modes beside draws of the real player, and beside hazards worked out by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game, make_player
from bestreply.exact.hidden_modes import marginal, mode_chain
from bestreply.players.scripted import Random
from bestreply.types import ABSENT

GAME = make_game("matrix(rounds=6, memory=2)")
EPISODES, STEPS = 20_000, 4


def switching(when):
    return make_player(f"switching(always_c, always_d, {when})", GAME)


HAZARDS = {
    "step=0": [1, 1, 1, 1, 1],
    "step=2": [0, 0, 1, 1, 1],
    "step=9": [0, 0, 0, 0, 0],
    "random=4": [1 / 4, 1 / 3, 1 / 2, 1, 1],
    "random=1": [1, 1, 1, 1, 1],
    "hazard=0.3": [0.3] * 5,
    "episode=0": [1, 1, 1, 1, 1],
    "episode=2": [0, 0, 0, 0, 0],
}


@pytest.mark.parametrize("when", HAZARDS)
def test_a_switch_comes_by_its_hazard(when):
    modes = mode_chain(switching(when), GAME)
    assert [p.name for p in modes.players] == ["always_c", "always_d"]
    np.testing.assert_array_equal(modes.initial, [1, 0])
    for step, hazard in enumerate(HAZARDS[when]):
        np.testing.assert_allclose(
            modes.transition(step), [[1 - hazard, hazard], [0, 1]]
        )


def test_a_random_switch_is_as_likely_at_each_step():
    modes = mode_chain(switching("random=4"), GAME)
    np.testing.assert_allclose(
        [marginal(modes, t)[1] for t in range(5)], [0.25, 0.5, 0.75, 1, 1]
    )


def test_a_plain_player_has_one_mode():
    player = make_player("grim", GAME)
    modes = mode_chain(player, GAME)
    assert modes.players == (player,)
    np.testing.assert_array_equal(modes.initial, [1])
    np.testing.assert_array_equal(modes.transition(3), [[1]])


def test_mode_chain_a_mixture_are_its_players_modes_side_by_side():
    spec = "mixture(grim, switching(always_c, always_d, hazard=0.2), weights=(1, 3))"
    modes = mode_chain(make_player(spec, GAME), GAME)
    assert [p.name for p in modes.players] == ["grim", "always_c", "always_d"]
    np.testing.assert_allclose(modes.initial, [0.25, 0.75, 0])
    np.testing.assert_allclose(
        modes.transition(1), [[1, 0, 0], [0, 0.8, 0.2], [0, 0, 1]]
    )


def test_mode_chain_a_noisy_player_are_noisy():
    modes = mode_chain(
        make_player("noisy(mixture(always_c, always_d), 0.2)", GAME), GAME
    )
    probs = [
        p.policy((), jnp.zeros(GAME.obs_shape), jnp.ones(2, bool))
        for p in modes.players
    ]
    np.testing.assert_allclose(probs, [[0.9, 0.1], [0.1, 0.9]], rtol=1e-6)


def test_a_switch_of_mixtures_may_end_in_any_of_the_seconds_modes():
    spec = "switching(mixture(grim, always_c), mixture(always_d, tit_for_tat, weights=(1, 3)), hazard=0.4)"
    modes = mode_chain(make_player(spec, GAME), GAME)
    np.testing.assert_allclose(modes.initial, [0.5, 0.5, 0, 0])
    wanted = [
        [0.6, 0, 0.1, 0.3],
        [0, 0.6, 0.1, 0.3],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
    ]
    np.testing.assert_allclose(modes.transition(2), wanted)


class Moody(Random):
    """Remembers a draw."""

    def start(self):
        return jnp.int32(0)

    def see(self, carry, obs, others, key):
        return jax.random.randint(key, (), 0, 2)


def test_a_player_that_remembers_a_draw_is_refused():
    mode_chain(Moody())  # cannot be told without a game
    with pytest.raises(
        ValueError,
        match=r"draws by its key in `see`.*expected: players that draw in `policy`",
    ):
        mode_chain(Moody(), GAME)


# -- beside the real player ----------------------------------------------------------------------------------------------------

COMPOSED = [
    "grim",
    "switching(always_c, always_d, random=4)",
    "switching(tit_for_tat, noisy(always_d, 0.3), hazard=0.3)",
    "switching(grim, random, step=2)",
    "mixture(tit_for_tat, noisy(always_d, 0.2), grim, weights=(2, 1, 1))",
    "noisy(mixture(grim, switching(always_d, always_c, hazard=0.4)), 0.1)",
    "switching(mixture(always_c, always_d), switching(always_d, tit_for_tat, random=3), hazard=0.25)",
    "noisy(switching(win_stay_lose_shift, fictitious_play, random=3), 0.3)",
]


@functools.cache
def looks():
    """What the other did before each of STEPS steps, and observations of no other use: policies here read none."""
    return [ABSENT, 0, 1, 0], jnp.zeros(GAME.obs_shape), jnp.ones(2, bool)


@functools.partial(jax.jit, static_argnums=1)
def sampled(keys, spec):
    """[EPISODES, STEPS]: what the real player does."""
    player = make_player(spec, GAME)
    others, obs, legal = looks()

    def episode(key):
        def step(carry, at):
            other, key = at
            carry, action, _ = player.step(
                carry, obs, legal, key, others=other[None]
            )
            return carry, action

        return jax.lax.scan(
            step,
            player.init(),
            (jnp.array(others), jax.random.split(key, STEPS)),
        )[1]

    return jax.vmap(episode)(keys)


def likelihoods(spec):
    """[2 ** STEPS]: the probability of every sequence of actions by the forward rule of a hidden chain."""
    modes = mode_chain(make_player(spec, GAME), GAME)
    others, obs, legal = looks()
    key = jax.random.key(0)
    likely = {(): (modes.initial, tuple(p.init() for p in modes.players))}
    for step in range(STEPS):
        longer = {}
        for played, (mass, carries) in likely.items():
            seen = tuple(
                p.see(c, obs, jnp.array([others[step]]), key)
                for p, c in zip(modes.players, carries, strict=True)
            )
            probs = [
                p.policy(c, obs, legal)
                for p, c in zip(modes.players, seen, strict=True)
            ]
            mass = mass @ modes.transition(step)
            for action in range(2):
                done = tuple(
                    p.did(c, jnp.int32(action))
                    for p, c in zip(modes.players, seen, strict=True)
                )
                longer[(*played, action)] = (
                    mass * np.array([q[action] for q in probs]),
                    done,
                )
        likely = longer
    return np.array([mass.sum() for mass, _ in likely.values()])


@pytest.mark.parametrize("spec", COMPOSED)
def test_modes_play_as_the_player_does(spec):
    wanted = likelihoods(spec)
    assert wanted.sum() == pytest.approx(1, abs=1e-5)
    played = np.asarray(
        sampled(jax.random.split(jax.random.key(3), EPISODES), spec)
    )
    codes = played @ 2 ** np.arange(STEPS)[::-1]
    share = np.bincount(codes, minlength=2**STEPS) / EPISODES
    assert (share[wanted == 0] == 0).all()
    assert (
        abs(share - wanted)
        <= 5 * np.sqrt(wanted * (1 - wanted) / EPISODES) + 1e-4
    ).all()
