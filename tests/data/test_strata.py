"""Balanced sampling: rare kinds come up as often as asked, and importance weights leave no bias."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_episodes import Toy, random_episodes
from scipy import stats

from bestreply.data.moa_buffer import (
    Index,
    all_indices,
    draw_index,
    fill,
    gather,
    gather_window,
    make_moa_buffer,
)
from bestreply.data.strata import Balance, stratify
from bestreply.types import ABSENT, ego_order

GAME = Toy(seats=3, shape=(2,), actions=3, max_steps=5)
EPISODES = random_episodes(GAME, 30, 5)
PLAYERS, GOALS = int(EPISODES.player.max()) + 1, int(EPISODES.goal.max()) + 1


def kind(balance, row, step, seat):
    """What puts a transition into its stratum, looked up by hand."""
    whose = ego_order(3)[seat, balance.of]
    sign = np.sign(EPISODES.reward[row, step, whose]) if balance.rewards else 0
    goal = max(EPISODES.goal[row, step, whose], 0) if balance.goals > 1 else 0
    return int(EPISODES.player[row, whose]) if balance.players > 1 else 0, int(goal), int(sign)


def chances(balance):
    """{transition: the chance to draw it}, by hand."""
    places = list(zip(*(x.tolist() for x in all_indices(EPISODES)), strict=True))
    kinds = [kind(balance, *place) for place in places]
    count = {k: kinds.count(k) for k in kinds}
    total = sum(n ** (1 - balance.evenness) for n in count.values())
    return {
        place: count[k] ** (1 - balance.evenness) / total / count[k]
        for place, k in zip(places, kinds, strict=True)
    }


BALANCES = [
    Balance(PLAYERS, GOALS),
    Balance(PLAYERS, GOALS, evenness=0.0),
    Balance(PLAYERS, evenness=0.5),
    Balance(1, GOALS, rewards=False),
    Balance(PLAYERS, GOALS, evenness=0.7, of=2),
]


@pytest.mark.parametrize("balance", BALANCES)
def test_transitions_come_up_as_often_as_asked(balance):
    wanted = chances(balance)
    drawn = jax.jit(draw_index, static_argnums=2)(fill(EPISODES, balance), jax.random.key(0), 60_000)
    found = dict.fromkeys(wanted, 0)
    for place in zip(*(np.asarray(x).tolist() for x in drawn), strict=True):
        found[place] += 1
    assert stats.chisquare(list(found.values()), 60_000 * np.array(list(wanted.values()))).pvalue > 1e-3


@pytest.mark.parametrize("balance", BALANCES)
def test_weighted_means_are_unbiased(balance):
    """sum_x q(x) w(x) f(x) = mean f, for every f: so q(x) w(x) = 1 / M for every transition."""
    wanted = chances(balance)
    found = gather(fill(EPISODES, balance), all_indices(EPISODES))
    np.testing.assert_allclose(
        np.asarray(found.weight) * np.array(list(wanted.values())), 1 / len(wanted), rtol=1e-5
    )


def test_evenness_evens_out():
    """With evenness 1 each player that there is comes up as often as any other, however rare."""
    rare = jax.tree.map(np.copy, EPISODES)
    rare.player[:] = 0
    rare.player[7, 1] = 1
    state = fill(rare, Balance(2, rewards=False))
    drawn = gather(state, draw_index(state, jax.random.key(0), 20_000))
    share = float((drawn.player[:, 0] == 1).mean())
    assert abs(share - 0.5) < 0.02
    weighted = float((drawn.weight * (drawn.player[:, 0] == 1)).mean())
    truth = (rare.action[7, :, 1] != ABSENT).sum() / (rare.action != ABSENT).sum()
    assert abs(weighted - truth) < 0.1 * truth


def test_a_window_counts_by_its_first_step_and_stays_within_its_episode():
    balance = Balance(PLAYERS, GOALS)
    buffer = make_moa_buffer(30, 200, window=3, balance=balance)
    state = buffer.add(buffer.init(EPISODES), EPISODES)
    found = buffer.sample(state, jax.random.key(0))
    first = gather(state, Index(found.episode[:, 0], found.step[:, 0], found.seat[:, 0]))
    np.testing.assert_array_equal(found.weight, np.repeat(np.asarray(first.weight)[:, None], 3, 1))
    assert (found.episode == found.episode[:, :1]).all() and (found.seat == found.seat[:, :1]).all()


def test_the_ring_stays_balanced():
    """What was overwritten is not drawn any more, and the counts are those of what is there."""
    balance = Balance(PLAYERS, GOALS)
    buffer = make_moa_buffer(10, 50, balance=balance)
    state = buffer.init(EPISODES)
    for k in range(3):
        state = buffer.add(state, jax.tree.map(lambda x, k=k: x[10 * k : 10 * k + 10], EPISODES))
    last = jax.tree.map(lambda x: x[20:], EPISODES)
    np.testing.assert_array_equal(state.strata.count, stratify(balance, last).count)
    assert np.asarray(buffer.sample(state, jax.random.key(1)).episode).min() >= 20


def test_without_balance_weights_are_one():
    state = fill(EPISODES)
    assert (gather_window(state, draw_index(state, jax.random.key(0), 9), 2).weight == jnp.ones((9, 2))).all()


@pytest.mark.parametrize(
    "balance, told",
    [
        (Balance(0), "players and goals of at least 1"),
        (Balance(2, evenness=1.5), "evenness from 0 to 1"),
        (Balance(2, of=3), "of=3 in a game of 3 seats"),
    ],
)
def test_nonsense_is_refused(balance, told):
    with pytest.raises(ValueError, match=told):
        fill(EPISODES, balance)
