"""The solver of grid games compared with recursion over the game, and with known values."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from state_replies import Recursion, states_of

from bestreply import exact, make_game, make_player
from bestreply.exact.grid_players import draw_layouts
from bestreply.exact.positions import number_positions, position_number
from bestreply.games.grid import GridState
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.types import ABSENT

HUNT = make_game(
    "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=3)"
)
STAY = dataclasses.replace(HUNT, leave=False)
GAMMA = 0.9
CASES = {
    "they stay": (STAY, ["noisy(nearest_hare, 0.3)"]),
    "three hunters": (
        make_game(
            "stag_hunt(height=1, width=3, hunters=3, stags=1, hares=1, max_steps=2)"
        ),
        ["nearest_stag", "random"],
    ),
    "snowdrift": (
        make_game(
            "snowdrift(height=2, width=2, players=2, drifts=2, max_steps=3)"
        ),
        ["nearest_drift"],
    ),
}


def logged(game, others, episodes, seed, **settings):
    lineup = seat_players(game, ["random", *others], episodes, seed, **settings)
    return play(game, lineup, seed).episodes


@pytest.fixture(scope="module")
def staying():
    """4,000 episodes of the case "they stay"."""
    return logged(*CASES["they stay"], 4000, 1)


@pytest.fixture(scope="module")
def hunting():
    """40 episodes of `HUNT` with the focal player in either seat."""
    return logged(HUNT, ["nearest_stag"], 40, 2, rotate=True)


@pytest.fixture(scope="module")
def best():
    """The best reply to `nearest_stag`, over all 12 layouts of `HUNT`."""
    return exact.best_reply(HUNT, 0, ["nearest_stag"], gamma=GAMMA, layouts=12)


def check_values(reply, episodes):
    """Compare V* and Q* of every logged decision with recursion."""
    decisions, game = reply.decisions(episodes), reply.game
    acted = episodes.action[:, :, 0] != ABSENT
    assert np.isnan(decisions.value[~acted]).all()
    assert np.isnan(decisions.q[~acted]).all()
    recursion = Recursion(game, reply.others, GAMMA)
    states = jax.device_get(states_of(game, episodes.obs[:, :-1, 0][acted]))
    expected = [
        recursion.q(jax.tree.map(lambda x, k=k: x[k], states))
        for k in range(acted.sum())
    ]
    np.testing.assert_allclose(decisions.q[acted], expected, rtol=1e-5)
    np.testing.assert_array_equal(
        decisions.value[acted], decisions.q[acted].max(1)
    )


def test_values_of_every_step_are_those_of_recursion(best, hunting):
    first = np.flatnonzero(np.arange(40) % 2 == 0)[:6]
    check_values(best, jax.tree.map(lambda x: x[first], hunting))


def test_values_are_those_of_recursion_where_hunters_stay(staying):
    game, others = CASES["they stay"]
    reply = exact.best_reply(game, 0, others, gamma=GAMMA, layouts=0)
    check_values(reply, jax.tree.map(lambda x: x[:6], staying))


@pytest.mark.parametrize("name", ["three hunters", "snowdrift"])
def test_values_are_those_of_recursion_in_other_games(name):
    game, others = CASES[name]
    reply = exact.best_reply(game, 0, others, gamma=GAMMA, layouts=0)
    check_values(reply, logged(game, others, 4, 5))


def first_states(game, layouts):
    """Every first state on each of `layouts`, of two players."""
    cells = range(game.cells)
    for layout, *cell in itertools.product(layouts, cells, cells):
        yield GridState(
            np.array(cell, np.int32),
            np.zeros(2, bool),
            layout.blocks,
            layout.thing_cell,
            np.ones(2, bool),
            np.zeros((), np.int32),
        )


def test_the_value_is_the_mean_over_all_first_states(best):
    layouts, every = draw_layouts(HUNT, 12)
    assert every and len(layouts) == 4 * 3
    recursion = Recursion(HUNT, ["nearest_stag"], GAMMA)
    values = [recursion.value(s) for s in first_states(HUNT, layouts)]
    assert best.value == pytest.approx(np.mean(values), rel=1e-5)
    assert best.stderr == 0


def test_the_value_of_a_scripted_player_is_that_of_recursion(best):
    layouts = draw_layouts(HUNT, 12)[0][:2]
    random = make_player("random", HUNT)
    recursion = Recursion(HUNT, ["nearest_stag"], GAMMA, own=random)
    values = [recursion.value(s) for s in first_states(HUNT, layouts)]
    assert best.value_of(random, layouts)[0] == pytest.approx(
        np.mean(values), rel=1e-5
    )


def test_the_expected_return_is_value_minus_regret(staying):
    """E[return] = E[V*(s_0)] - E[sum of gamma^t (V* - Q*(a_t))], within four standard errors."""
    game, others = CASES["they stay"]
    reply = exact.best_reply(game, 0, others, gamma=GAMMA, layouts=0)
    decisions = reply.decisions(staying)
    lost = decisions.lost(staying.action[:, :, 0], GAMMA)
    predicted = decisions.value[:, 0] - lost
    weight = GAMMA ** np.arange(game.max_steps)
    difference = predicted - (staying.reward[:, :, 0] * weight).sum(1)
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(4000)
    assert predicted.mean() < decisions.value[:, 0].mean() - 0.05


def test_the_best_reply_in_any_seat(best, hunting):
    decisions = best.decisions(hunting, seats=np.arange(40) % 2)
    of_seat_0 = best.decisions(hunting)
    np.testing.assert_array_equal(decisions.q[::2], of_seat_0.q[::2])
    acted = hunting.action[1::2, 0, 1]
    taken = np.take_along_axis(decisions.q[1::2, 0], acted[:, None], 1)
    assert np.isfinite(taken).all()


def test_values_against_observed_modes():
    """A mixture: the mean over its players. A switch before step 0 or after the end: one player."""

    def value(other):
        return exact.best_reply(STAY, 0, [other], layouts=12).value

    stag, random = value("nearest_stag"), value("random")
    mixture = value("mixture(nearest_stag, random, weights=(1, 3))")
    assert mixture == pytest.approx(0.25 * stag + 0.75 * random, rel=1e-5)
    late = value("switching(nearest_stag, random, step=3)")
    assert late == pytest.approx(stag, rel=1e-5)
    at_once = value("switching(nearest_stag, random, step=0)")
    assert at_once == pytest.approx(random, rel=1e-5)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(
            "stag_hunt(height=5, width=5, hunters=2, stags=1, hares=2, max_steps=20, leave=False)",
            7,
            marks=pytest.mark.slow,
        ),
        (
            "stag_hunt(height=3, width=3, hunters=2, stags=1, hares=1, max_steps=30)",
            5,
        ),
    ],
)
def test_known_values(spec, expected):
    """With time enough: 5 for half the stag, and both hares if hunters stay."""
    reply = exact.best_reply(make_game(spec), 0, ["nearest_stag"], layouts=2)
    assert reply.value == pytest.approx(expected)


def test_positions_are_numbered_without_gaps():
    game = CASES["three hunters"][0]
    positions = number_positions(game)

    @jax.jit
    def numbers(cell, left, remains):
        number = jax.vmap(lambda *p: position_number(game, positions, *p))
        return number(cell, left, remains)

    cell, left, remains = map(jnp.asarray, positions[:3])
    count = np.asarray(numbers(cell, left, remains))
    np.testing.assert_array_equal(count, np.arange(positions.total))
    left = left.at[:, 0].set(True)
    assert (np.asarray(numbers(cell, left, remains)) == positions.total).all()


def test_a_game_that_is_too_large_is_refused():
    large = make_game(
        "stag_hunt(height=8, width=8, hunters=4, stags=1, hares=4, max_steps=35)"
    )
    with pytest.raises(
        ValueError, match=r"positions for one layout: expected at most"
    ):
        exact.best_reply(large, 0, ["nearest_stag"])


def test_a_wrong_number_of_players_is_refused():
    with pytest.raises(
        ValueError, match="2 others for seat 0 of stag_hunt: expected 1"
    ):
        exact.best_reply(HUNT, 0, ["random", "random"])


def test_decisions_against_hidden_modes_require_modes(hunting):
    reply = exact.best_reply(
        HUNT, 0, ["mixture(nearest_stag, random)"], layouts=0
    )
    assert reply.kind == "upper bound"
    with pytest.raises(ValueError, match=r"modes=None with .* are hidden"):
        reply.decisions(hunting)
