"""Beliefs on a grid: beside replies found position by position, whose beliefs are exact."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import exact, make_game
from bestreply.exact.simplex import corners, cut_simplex
from bestreply.exact.tree import solve
from bestreply.games.base import Outcomes
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.types import ABSENT

CASES = {
    "a mixture": (
        "stag_hunt(height=1, width=3, hunters=2, stags=1, hares=1, max_steps=3)",
        "mixture(nearest_stag, random)",
    ),
    "a switch, they stay": (
        "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=3, leave=False)",
        "switching(nearest_hare, nearest_stag, hazard=0.4)",
    ),
    "three types": (
        "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=3)",
        "mixture(nearest_stag, nearest_hare, random, weights=(2, 1, 1))",
    ),
    "snowdrift": (
        "snowdrift(height=1, width=3, players=2, drifts=2, max_steps=3)",
        "mixture(nearest_drift, never_remove)",
    ),
}


@pytest.mark.parametrize("modes, resolution", [(1, 3), (2, 8), (3, 6), (4, 4)])
def test_a_belief_is_the_mean_of_its_corners(modes, resolution):
    simplex = cut_simplex(modes, resolution)
    drawn = (
        np.random.default_rng(0)
        .dirichlet(np.full(modes, 0.5), 500)
        .astype(np.float32)
    )
    beliefs = np.concatenate([drawn, simplex.points])
    number, weight = map(np.asarray, corners(simplex, jnp.asarray(beliefs)))
    assert (weight >= 0).all()
    np.testing.assert_allclose(weight.sum(-1), 1, atol=1e-5)
    around = simplex.points[number]
    np.testing.assert_allclose(
        (weight[..., None] * around).sum(1), beliefs, atol=1e-4
    )
    far = np.abs(around - beliefs[:, None]).max(-1)
    assert (far[weight > 1e-3] <= 1 / resolution + 1e-4).all()


def played(name):
    game, other = make_game(CASES[name][0]), CASES[name][1]
    return (
        game,
        other,
        play(game, seat_players(game, ["random", other], 16, 0), 0).episodes,
    )


@pytest.mark.parametrize("name", CASES)
def test_beside_exact_beliefs(name):
    """From the first states of logged play: never below the exact value, at every logged step, and near it."""
    game, other, episodes = played(name)
    states = jax.vmap(game.state_in)(episodes.obs[:, 0, 0])
    shown = jax.vmap(game.look)(states, jnp.zeros((16, game.num_players)))
    slow = solve(
        game,
        0,
        [other],
        gamma=0.9,
        know="belief",
        first=Outcomes(np.full(16, 1 / 16), states, shown),
    )
    wanted = slow.decisions(episodes)
    errors = []
    for resolution in (2, 24):
        found = exact.best_reply(
            game,
            0,
            [other],
            gamma=0.9,
            know="belief",
            layouts=1,
            resolution=resolution,
        )
        assert found.kind == "upper bound"
        got = found.decisions(episodes)
        acted = episodes.action[:, :, 0] != ABSENT
        assert np.array_equal(np.isnan(got.value), ~acted)
        assert np.array_equal(
            np.isneginf(got.q[acted]), np.isneginf(wanted.q[acted])
        )
        finite = np.isfinite(wanted.q)
        assert (got.q[finite] >= wanted.q[finite] - 1e-4).all()
        errors.append(np.abs(got.q[finite] - wanted.q[finite]).max())
    assert errors[1] <= errors[0] + 1e-6
    assert errors[1] < 0.01


def test_its_value_lies_between_that_of_one_who_is_told_and_that_of_one_who_never_looks():
    game, other = make_game(CASES["three types"][0]), CASES["three types"][1]
    told = exact.best_reply(game, 0, [other], gamma=0.9, layouts=100)
    believed = exact.best_reply(
        game, 0, [other], gamma=0.9, know="belief", layouts=100
    )
    assert believed.stderr == told.stderr == 0
    assert believed.value < told.value - 0.01
    single = [
        exact.best_reply(game, 0, [p], gamma=0.9, layouts=100)
        for p in ("nearest_stag", "nearest_hare", "random")
    ]
    assert told.value == pytest.approx(
        np.dot([0.5, 0.25, 0.25], [r.value for r in single]), rel=1e-5
    )


def test_a_plain_player_leaves_nothing_to_be_believed():
    game = make_game(CASES["a mixture"][0])
    told = exact.best_reply(game, 0, ["nearest_stag"], gamma=0.9)
    believed = exact.best_reply(
        game, 0, ["nearest_stag"], gamma=0.9, know="belief"
    )
    assert believed.kind == "exact"
    assert believed.value == pytest.approx(told.value, rel=1e-5)


@pytest.mark.slow
def test_others_that_leave_tell_nothing_more():
    game = make_game(
        "stag_hunt(height=1, width=3, hunters=3, stags=1, hares=2, max_steps=3)"
    )
    others = ["mixture(nearest_hare, random)", "nearest_hare"]
    episodes = play(
        game, seat_players(game, ["nearest_stag", *others], 40, 0), 0
    ).episodes
    states = jax.vmap(game.state_in)(episodes.obs[:, 0, 0])
    shown = jax.vmap(game.look)(states, jnp.zeros((40, 3)))
    slow = solve(
        game,
        0,
        others,
        know="belief",
        first=Outcomes(np.full(40, 1 / 40), states, shown),
    )
    wanted = slow.decisions(episodes)
    got = exact.best_reply(
        game, 0, others, know="belief", layouts=1, resolution=64
    ).decisions(episodes)
    gone = (episodes.action[:, :, 1] == ABSENT) & (
        episodes.action[:, :, 0] != ABSENT
    )
    assert gone.any()
    finite = np.isfinite(wanted.q)
    np.testing.assert_allclose(got.q[finite], wanted.q[finite], atol=0.01)


def test_too_many_beliefs_are_refused():
    game = make_game(
        "stag_hunt(height=3, width=3, hunters=3, stags=1, hares=1, max_steps=3)"
    )
    with pytest.raises(
        ValueError,
        match=r"beliefs over 9 joint modes in steps of 1/12.*expected: at most.*coarser",
    ):
        exact.best_reply(
            game,
            0,
            ["mixture(nearest_stag, nearest_hare, random)"],
            know="belief",
        )
