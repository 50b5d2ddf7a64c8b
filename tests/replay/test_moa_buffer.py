"""The replay buffer: contiguous windows, uniform sampling, a ring of episodes."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy import stats

from bestreply.replay.moa_buffer import (
    Index,
    all_indices,
    draw_index,
    fill,
    gather,
    gather_window,
    make_moa_buffer,
)
from bestreply.types import ABSENT, ego_order
from tests.data.made_episodes import Toy, random_episodes

GAME = Toy(seats=3, shape=(2,), actions=100, max_steps=5)


def counters(first, count, seed=0):
    """Episodes whose entries encode their place: 1000 episode + 10 step + seat."""
    episodes = random_episodes(GAME, count, seed)
    steps, seats = episodes.action.shape[1:]
    number = first + np.arange(count)[:, None, None]
    t = np.arange(steps + 1)[:, None]
    place = 1000 * number + 10 * t + np.arange(seats)
    obs = np.stack([place, -place], -1).astype(np.float32)
    action = (10 * t[:-1] + np.arange(seats)) % 100
    action = np.where(episodes.action == ABSENT, ABSENT, action)
    reward = np.where(action == ABSENT, 0, place[:, :-1]).astype(np.float32)
    return dataclasses.replace(
        episodes, obs=obs, action=action.astype(np.int32), reward=reward
    )


def check_place(steps, episodes_by_number):
    """Every entry of transitions [B] is that of its own episode, step and seat."""
    order = ego_order(3)
    for k in range(len(steps.step)):
        one = jax.tree.map(lambda x, k=k: x[k], steps)
        number, t, seat = int(one.episode), int(one.step), int(one.seat)
        e, row = episodes_by_number[number]
        ego = order[seat]
        place = 1000 * number + 10 * t + seat
        assert e.action[row, t, seat] != ABSENT
        assert one.obs.tolist() == [place, -place]
        assert one.next_obs.tolist() == [place + 10, -place - 10]
        assert one.reward == place and one.action == (10 * t + seat) % 100
        assert one.others.tolist() == e.action[row, t, ego[1:]].tolist()
        assert one.present.tolist() == e.present[row, t, ego].tolist()
        assert one.player.tolist() == e.player[row, ego].tolist()
        assert one.goal.tolist() == e.goal[row, t, ego].tolist()
        assert one.terminated == e.terminated[row, t, seat]
        assert np.array_equal(one.prob, e.prob[row, t, seat], equal_nan=True)
        assert one.truncated == e.truncated[row, t]
        assert np.array_equal(one.legal, e.legal[row, t, seat])
        assert np.array_equal(one.next_legal, e.legal[row, t + 1, seat])


def check_windows(windows, episodes_by_number):
    """Windows [B, L] are contiguous; past the end the last step repeats, not valid."""
    length = windows.step.shape[1]
    check_place(jax.tree.map(lambda x: x[:, 0], windows), episodes_by_number)
    for k in range(len(windows.step)):
        one = jax.tree.map(lambda x, k=k: x[k], windows)
        e, row = episodes_by_number[int(one.episode[0])]
        seat, first = int(one.seat[0]), int(one.step[0])
        left = int((e.action[row, first:, seat] != ABSENT).sum())
        assert one.valid.tolist() == [j < left for j in range(length)]
        kept = min(left, length)
        assert (one.step[:kept] == first + np.arange(kept)).all()
        assert (one.step[kept:] == first + kept - 1).all()
        obs = one.obs[0, 0] + 10 * np.arange(kept)
        assert (one.obs[:kept, 0] == obs).all()
        assert (one.next_obs[: kept - 1] == one.obs[1:kept]).all()
        assert (one.episode == one.episode[0]).all()
        assert (one.seat == seat).all()


@pytest.mark.parametrize("capacity", [1, 3, 7])
def test_windows_are_contiguous_and_of_one_episode_and_seat(capacity):
    """Windows of several sizes while the ring is overwritten several times."""
    buffers = {w: make_moa_buffer(capacity, 40, window=w) for w in (1, 3, 8)}
    buffer = buffers[1]
    state, number, known = buffer.init(counters(0, 1)), 0, {}
    for size in (1, min(2, capacity), 1, capacity, min(2, capacity)):
        new = counters(number, size, seed=number)
        known |= {number + row: (new, row) for row in range(size)}
        state, number = buffer.add(state, new), number + size
        for window, buffer in buffers.items():
            steps = buffer.sample(state, jax.random.key(number))
            steps = jax.tree.map(np.asarray, steps)
            assert steps.episode.min() >= number - capacity
            if window == 1:
                assert steps.valid.all()
                check_place(steps, known)
            else:
                check_windows(steps, known)


def test_the_ring_holds_the_newest_episodes():
    buffer = make_moa_buffer(3, 200)
    state = buffer.init(counters(0, 1))
    assert not buffer.can_sample(state)
    for number in range(5):
        state = buffer.add(state, counters(number, 1, seed=number))
        assert buffer.can_sample(state) and state.added == number + 1
    steps = buffer.sample(state, jax.random.key(0))
    assert set(np.asarray(steps.episode).tolist()) == {2, 3, 4}


def test_it_can_be_sampled_from_the_minimum_on():
    new = counters(0, 4)
    total = int((new.action != ABSENT).sum())
    for minimum, expected in ((total, True), (total + 1, False)):
        buffer = make_moa_buffer(6, 1, minimum=minimum)
        state = buffer.add(buffer.init(new), new)
        assert bool(buffer.can_sample(state)) == expected


def test_transitions_are_sampled_uniformly():
    """A chi-square test over all transitions; steps of absent seats are not drawn."""
    new = counters(0, 6, seed=3)
    state = fill(new)
    acted = new.action != ABSENT
    assert not acted.all() and state.ends[-1] == acted.sum()
    drawn = draw_index(state, jax.random.key(0), 40_000)
    counts = np.zeros(acted.shape, int)
    np.add.at(counts, tuple(map(np.asarray, drawn)), 1)
    assert counts[~acted].sum() == 0
    assert stats.chisquare(counts[acted]).pvalue > 1e-3


def test_spare_capacity_changes_no_draw():
    new = counters(0, 6, seed=3)
    full, large = fill(new), fill(new, capacity=9)
    assert (
        len(large.episodes.length) == 9
        and large.added == 6
        and (large.episodes.action[6:] == ABSENT).all()
    )
    drawn = [
        gather(state, draw_index(state, jax.random.key(0), 500))
        for state in (full, large)
    ]
    jax.tree.map(np.testing.assert_array_equal, *drawn)


def test_all_indices_are_all_transitions_in_order():
    new = counters(0, 6, seed=3)
    index = all_indices(new)
    places = list(zip(*(x.tolist() for x in index), strict=True))
    assert places == sorted(places)
    assert len(set(places)) == (new.action != ABSENT).sum()
    check_place(
        jax.tree.map(np.asarray, gather(fill(new), index)),
        {row: (new, row) for row in range(6)},
    )


def test_adding_does_not_change_the_old_state():
    buffer = make_moa_buffer(4, 1)
    state = buffer.init(counters(0, 1))
    after = buffer.add(state, counters(0, 2))
    assert (
        state.added == 0
        and (state.episodes.action == ABSENT).all()
        and after.added == 2
    )


def test_a_window_at_a_given_position():
    new = counters(0, 3)
    length = (new.action[1, :, 0] != ABSENT).sum()
    index = Index(*(np.array([x], np.int32) for x in (1, length - 1, 0)))
    window = gather_window(fill(new), index, 3)
    assert window.valid.tolist() == [[True, False, False]]
    assert window.step.tolist() == [[length - 1] * 3]


@pytest.mark.parametrize("name", ["capacity", "batch", "window", "minimum"])
def test_sizes_below_one_are_refused(name):
    sizes = {"capacity": 3, "batch": 3, "window": 1, "minimum": 1} | {name: 0}
    with pytest.raises(ValueError, match=f"{name}=0: expected at least 1"):
        make_moa_buffer(**sizes)


def test_more_at_once_than_it_holds_is_refused():
    buffer = make_moa_buffer(2, 1)
    with pytest.raises(ValueError, match=r"3 episodes .* of capacity 2"):
        buffer.add(buffer.init(counters(0, 1)), counters(0, 3))
