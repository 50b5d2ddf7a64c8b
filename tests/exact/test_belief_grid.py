"""Values on a grid of beliefs compared with those of the tree solver, whose beliefs are exact."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from state_replies import first_outcomes

from bestreply import exact, make_game
from bestreply.exact.simplex import interpolate, simplex_grid
from bestreply.exact.tree import solve
from bestreply.types import ABSENT
from tests.shared import played

HUNT = make_game(
    "stag_hunt(height=1, width=3, hunters=2, stags=1, hares=1, max_steps=3)"
)
THREE_TYPES = "mixture(nearest_stag, nearest_hare, random, weights=(2, 1, 1))"
CASES = {
    "three types": (HUNT, THREE_TYPES),
    "a switch, they stay": (
        dataclasses.replace(HUNT, leave=False),
        "switching(nearest_hare, nearest_stag, hazard=0.4)",
    ),
    "snowdrift": (
        make_game(
            "snowdrift(height=1, width=3, players=2, drifts=2, max_steps=3)"
        ),
        "mixture(nearest_drift, never_remove)",
    ),
}


def tree_decisions(game, others, episodes, gamma):
    """V* and Q* with exact beliefs, from the first states of the play."""
    first = first_outcomes(game, episodes)
    settings = {"gamma": gamma, "know": "belief", "first": first}
    return solve(game, 0, others, **settings).decisions(episodes)


@pytest.mark.parametrize("modes, resolution", [(1, 3), (2, 8), (3, 6), (4, 4)])
def test_a_belief_is_the_mean_of_its_grid_points(modes, resolution):
    grid = simplex_grid(modes, resolution)
    rng = np.random.default_rng(0)
    drawn = rng.dirichlet(np.full(modes, 0.5), 500).astype(np.float32)
    beliefs = np.concatenate([drawn, grid.points])
    number, weight = map(np.asarray, interpolate(grid, jnp.asarray(beliefs)))
    assert (weight >= 0).all()
    np.testing.assert_allclose(weight.sum(-1), 1, atol=1e-5)
    points = grid.points[number]
    mean = (weight[..., None] * points).sum(1)
    np.testing.assert_allclose(mean, beliefs, atol=1e-4)
    distance = np.abs(points - beliefs[:, None]).max(-1)
    assert (distance[weight > 1e-3] <= 1 / resolution + 1e-4).all()


@pytest.mark.parametrize(
    "name",
    [
        "three types",
        "a switch, they stay",
        pytest.param("snowdrift", marks=pytest.mark.slow),
    ],
)
def test_values_bound_those_of_exact_beliefs(name):
    """At every logged step: never below the exact value, and close on a fine grid."""
    game, other = CASES[name]
    episodes = played(game, ("random", other), 16)
    acted = episodes.action[:, :, 0] != ABSENT
    expected = tree_decisions(game, [other], episodes, gamma=0.9)
    finite = np.isfinite(expected.q)
    errors = []
    for resolution in (2, 10):
        reply = exact.best_reply(
            game,
            0,
            [other],
            gamma=0.9,
            know="belief",
            layouts=0,
            resolution=resolution,
        )
        assert reply.kind == "upper bound"
        decisions = reply.decisions(episodes)
        assert np.array_equal(np.isnan(decisions.value), ~acted)
        assert np.array_equal(
            np.isneginf(decisions.q[acted]), np.isneginf(expected.q[acted])
        )
        assert (decisions.q[finite] >= expected.q[finite] - 1e-4).all()
        errors.append(np.abs(decisions.q[finite] - expected.q[finite]).max())
    assert errors[1] <= errors[0] + 1e-6
    assert errors[1] < 0.02, errors


def value(other, know="types", **settings):
    """Of the best reply over all 6 layouts."""
    return exact.best_reply(
        HUNT, 0, [other], gamma=0.9, know=know, layouts=100, **settings
    )


def test_inferred_types_are_worth_less_than_observed_ones():
    observed, inferred = (
        value(THREE_TYPES),
        value(THREE_TYPES, "belief", resolution=4),
    )
    assert inferred.stderr == observed.stderr == 0
    assert inferred.value < observed.value - 0.01


def test_the_belief_about_a_plain_player_is_trivial():
    inferred = value("nearest_stag", "belief")
    assert inferred.kind == "exact"
    expected = value("nearest_stag").value
    assert inferred.value == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_a_player_that_has_left_does_not_change_the_belief():
    game = make_game(
        "stag_hunt(height=1, width=3, hunters=3, stags=1, hares=2, max_steps=3)"
    )
    others = ["mixture(nearest_hare, random)", "nearest_hare"]
    episodes = played(game, ("nearest_stag", *others), 40)
    expected = tree_decisions(game, others, episodes, gamma=1.0)
    reply = exact.best_reply(
        game, 0, others, know="belief", layouts=0, resolution=64
    )
    decisions = reply.decisions(episodes)
    absent = episodes.action == ABSENT
    assert (absent[:, :, 1] & ~absent[:, :, 0]).any()
    finite = np.isfinite(expected.q)
    np.testing.assert_allclose(
        decisions.q[finite], expected.q[finite], atol=0.01
    )


def test_too_many_beliefs_are_refused():
    game = make_game(
        "stag_hunt(height=3, width=3, hunters=3, stags=1, hares=1, max_steps=3)"
    )
    other = "mixture(nearest_stag, nearest_hare, random)"
    with pytest.raises(
        ValueError,
        match=r"beliefs over 9 joint modes in steps of 1/12.*expected at most.*coarser",
    ):
        exact.best_reply(game, 0, [other], know="belief")
