"""Estimated returns hold the exact ones of a small game, and say where they cannot be made."""

import json

import numpy as np
import pytest

from bestreply import make_game, make_player
from bestreply.analysis.fitted_q import FittedQ
from bestreply.analysis.importance_sampling import (
    Estimate,
    logged_return,
    resamples,
    weighted_return,
)
from bestreply.analysis.logged_steps import inputs, trajectories
from bestreply.analysis.off_policy import (
    PolicyEstimate,
    estimate_returns,
    off_policy_table,
    policy_along,
    select_episodes,
    widened,
)
from bestreply.data.arrays import store_from_arrays
from tests.shared import played

GAME = "matrix(table=prisoners_dilemma, rounds=3)"
PLAYERS = ("mixture(tit_for_tat, random)",) * 2
OTHERS = ("random", "tit_for_tat")  # one half each
# A round pays 3 for C beside C, 0 for C beside D, 5 for D beside C, 1 for D beside D.
# Beside the random player: D 3, C 1.5, random 2.25; three rounds each.
EXACT = {
    "random": (3 * 2.25 + 4 + 2 * 2.25) / 2,  # tit for tat begins with C
    "always(DEFECT)": (3 * 3 + 5 + 1 + 1) / 2,
    "tit_for_tat": (1.5 + 2 * 2.25 + 3 * 3) / 2,
}
ROSTER = ("random", "tit_for_tat")


@pytest.fixture(scope="module")
def episodes(tmp_path_factory):
    """Play of the game, exported as arrays and read as a game without rules."""
    log = played(GAME, PLAYERS, 600, 1)
    probs = np.array(log.prob)
    probs[300:] = np.nan  # the clone's are used there
    store = store_from_arrays(
        np.asarray(log.obs),
        np.asarray(log.action),
        np.asarray(log.reward),
        np.asarray(log.terminated),
        np.asarray(log.truncated),
        probs=probs,
        players=np.array(ROSTER)[_sorted(np.asarray(log.player))],
        path=tmp_path_factory.mktemp("logs") / "data",
    )
    assert store.game().name == "recorded"
    return store.episodes()


def _sorted(player: np.ndarray) -> np.ndarray:
    """Return indices into ROSTER; the line-up lists tit for tat first."""
    return 1 - player


def holds(estimate, exact: float) -> bool:
    """Within 1.5 times the interval: of a dozen intervals of 90 % one misses by chance."""
    slack = (estimate.high - estimate.low) / 4
    return estimate.low - slack <= exact <= estimate.high + slack


@pytest.mark.slow
def test_intervals_hold_the_exact_returns(episodes):
    game = make_game(GAME)
    policies = {name: make_player(name, game) for name in EXACT}
    rows = {
        (row.kind, row.policy): row
        for row in estimate_returns(episodes, ROSTER, policies, seed=0)
    }
    for name, exact in EXACT.items():
        row = rows["method", name]
        assert holds(row.fitted_q, exact), (name, row)
        assert holds(row.weighted, exact), (name, row)
        assert row.fitted_q.high - row.fitted_q.low < 2
    for name in ROSTER:
        row = rows["player", name]
        assert holds(row.logged, EXACT[name])
        assert holds(row.fitted_q, EXACT[name])
    assert rows["clone", "behaviour_cloning"].logged is None
    document = [row.to_json() for row in rows.values()]
    json.dumps(document, allow_nan=False)
    assert off_policy_table(document).row_count == len(document) == 6


def test_a_policy_is_asked_along_the_logged_moves(episodes):
    play = trajectories(episodes)
    policy = policy_along(make_player("tit_for_tat", make_game(GAME)), play)
    before = play.before[..., 1]
    np.testing.assert_array_equal(
        policy.argmax(2), np.where(before == -1, 0, before)
    )


def test_a_policy_that_no_trajectory_follows_has_no_weighted_estimate():
    counts = resamples(2, 0, 50)
    reward, acted = np.ones((2, 2)), np.ones((2, 2), bool)
    ratio = np.array([[1.0, 0.0], [0.0, 2.0]])
    got = weighted_return(ratio, reward, acted, np.arange(2), counts)
    assert np.isnan(got.estimate.mean)
    agree = np.ones((2, 2))
    got = weighted_return(agree, reward, acted, np.arange(2), counts)
    assert got.estimate == (2.0, 2.0, 2.0) and got.effective == 2


def test_weights_of_a_trajectory_that_ends_early_stay():
    # Every second trajectory ends after one step; its weight is 3 of 4.
    ratio = np.array([[1.0, 1.0], [3.0, 1.0]] * 2)
    acted = np.array([[True, True], [True, False]] * 2)
    reward = np.array([[0.0, 8.0], [4.0, 0.0]] * 2)
    counts = np.ones((2, 4))
    got = weighted_return(ratio, reward, acted, np.arange(4), counts)
    assert got.estimate.mean == pytest.approx(3 / 4 * 4 + 1 / 4 * 8)


def test_the_interval_of_logged_returns_is_over_episodes():
    returns, episode = np.array([1.0, 1.0, 3.0, 3.0]), np.array([0, 0, 1, 1])
    estimate = logged_return(returns, episode, resamples(2, 0, 500))
    assert estimate == (2.0, 1.0, 3.0)


def test_fitted_q_is_bounded_by_logged_returns(episodes):
    play = trajectories(episodes)
    small = play._replace(episode=play.episode % 20)
    q = FittedQ(small, inputs(play, play.player, 2), resamples(20, 0), 0)
    assert q.bounds == (0, 15)
    q.bounds = (1.0, 2.0)
    policy = np.full((len(q.reward), 2), 0.5)
    assert 1 <= q.estimate(policy).mean <= 2


def test_a_known_miss_widens_every_interval_of_fitted_q():
    def row(kind, mean, logged):
        fitted = Estimate(mean, mean - 0.1, mean + 0.1)
        return PolicyEstimate(kind, kind, fitted, None, 1.0, logged)

    truth = Estimate(2.0, 2.0, 2.0)
    rows = widened([row("method", 5.0, None), row("player", 1.5, truth)])
    assert rows[0].fitted_q == pytest.approx((5.0, 4.4, 5.6))
    assert holds(rows[1].fitted_q, 2.0)


def test_held_out_episodes_alone_where_there_are_enough():
    held_out = np.arange(1000) % 4 == 0
    chosen, alone = select_episodes(held_out)
    np.testing.assert_array_equal(chosen, held_out)
    assert alone
    chosen, alone = select_episodes(np.arange(100) % 4 == 0, 60)
    assert chosen.sum() == 60 and chosen[::4].all() and not alone
