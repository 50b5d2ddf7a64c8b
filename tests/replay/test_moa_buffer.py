"""The in-memory buffer: counters in, contiguous counters out, every transition as likely as any other."""

import dataclasses

import jax
import jax.numpy as jnp
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
    """Episodes whose every entry says where it lies: 1000 x episode + 10 x step + seat."""
    episodes = random_episodes(GAME, count, seed)
    steps, seats = episodes.action.shape[1:]
    place = (
        1000 * (first + np.arange(count))[:, None, None]
        + 10 * np.arange(steps + 1)[:, None]
        + np.arange(seats)
    )
    obs = np.stack([place, -place], -1).astype(np.float32)
    action = np.where(
        episodes.action == ABSENT,
        ABSENT,
        (10 * np.arange(steps)[:, None] + np.arange(seats)) % 100,
    )
    reward = np.where(action == ABSENT, 0, place[:, :-1]).astype(np.float32)
    return dataclasses.replace(
        episodes, obs=obs, action=action.astype(np.int32), reward=reward
    )


def check_place(found, episodes_by_number):
    """Every entry of transitions [B] is that of its own episode, step and seat; ego first."""
    order = ego_order(3)
    for k in range(len(found.step)):
        number, t, seat = (
            int(found.episode[k]),
            int(found.step[k]),
            int(found.seat[k]),
        )
        e, row = episodes_by_number[number]
        place = 1000 * number + 10 * t + seat
        assert found.obs[k].tolist() == [place, -place] and found.next_obs[
            k
        ].tolist() == [
            place + 10,
            -place - 10,
        ]
        assert (
            found.reward[k] == place
            and found.action[k] == (10 * t + seat) % 100
        )
        assert e.action[row, t, seat] != ABSENT  # it was there
        assert (
            found.others[k].tolist()
            == e.action[row, t, order[seat, 1:]].tolist()
        )
        assert (
            found.present[k].tolist() == e.present[row, t, order[seat]].tolist()
        )
        assert found.player[k].tolist() == e.player[row, order[seat]].tolist()
        assert found.goal[k].tolist() == e.goal[row, t, order[seat]].tolist()
        for name in ("terminated", "prob"):
            assert np.array_equal(
                getattr(found, name)[k],
                getattr(e, name)[row, t, seat],
                equal_nan=True,
            )
        assert found.truncated[k] == e.truncated[row, t]
        assert np.array_equal(found.legal[k], e.legal[row, t, seat])
        assert np.array_equal(found.next_legal[k], e.legal[row, t + 1, seat])


@pytest.mark.parametrize(
    "capacity, window", [(c, w) for c in (1, 3, 4, 7) for w in (1, 2, 3, 8)]
)
def test_windows_are_contiguous_and_of_one_episode_and_seat(capacity, window):
    """A grid of sizes, the ring overwritten several times over, added one and several at a time."""
    buffer = make_moa_buffer(capacity, 40, window=window)
    add, sample = jax.jit(buffer.add), jax.jit(buffer.sample)
    state, number, known = buffer.init(counters(0, 1)), 0, {}
    for size in (1, min(2, capacity), 1, capacity, min(2, capacity)):
        new = counters(number, size, seed=number)
        known |= {number + row: (new, row) for row in range(size)}
        state, number = add(state, new), number + size
        found = jax.tree.map(np.asarray, sample(state, jax.random.key(number)))
        assert found.episode.min() >= number - capacity  # the oldest made room
        if window == 1:
            assert found.valid.all()
            check_place(found, known)
            continue
        check_place(jax.tree.map(lambda x: x[:, 0], found), known)
        for k in range(40):
            e, row = known[int(found.episode[k, 0])]
            seat, first = int(found.seat[k, 0]), int(found.step[k, 0])
            there = int((e.action[row, first:, seat] != ABSENT).sum())
            assert found.valid[k].tolist() == [j < there for j in range(window)]
            length = min(there, window)
            assert found.step[k, :length].tolist() == list(
                range(first, first + length)
            )
            assert (
                found.obs[k, :length, 0]
                == found.obs[k, 0, 0] + 10 * np.arange(length)
            ).all()
            assert (
                found.next_obs[k, : length - 1] == found.obs[k, 1:length]
            ).all()
            for name in ("episode", "seat"):
                assert (
                    getattr(found, name)[k] == getattr(found, name)[k, 0]
                ).all()
            assert (
                found.step[k, length:] == first + length - 1
            ).all()  # repeats the last, marked as not valid


def test_the_ring_holds_the_newest():
    buffer = make_moa_buffer(3, 200)
    state = buffer.init(counters(0, 1))
    assert not buffer.can_sample(state)
    for number in range(5):
        state = buffer.add(state, counters(number, 1, seed=number))
        assert buffer.can_sample(state) and state.added == number + 1
    found = buffer.sample(state, jax.random.key(0))
    assert set(np.asarray(found.episode).tolist()) == {2, 3, 4}


def test_it_waits_for_the_minimum():
    new = counters(0, 4)
    total = int((new.action != ABSENT).sum())
    for minimum, wanted in ((total, True), (total + 1, False)):
        buffer = make_moa_buffer(6, 1, minimum=minimum)
        assert (
            bool(buffer.can_sample(buffer.add(buffer.init(new), new))) == wanted
        )


def test_every_transition_is_as_likely_as_any_other():
    """Chi-square over all of them, left seats and rewards of 0 included in the count of what is there."""
    new = counters(0, 6, seed=3)
    state = fill(new)
    acted = new.action != ABSENT
    assert not acted.all() and state.ends[-1] == acted.sum()
    drawn = jax.jit(draw_index, static_argnums=2)(
        state, jax.random.key(0), 40_000
    )
    counts = np.zeros(acted.shape, int)
    np.add.at(counts, tuple(map(np.asarray, drawn)), 1)
    assert counts[~acted].sum() == 0
    assert stats.chisquare(counts[acted]).pvalue > 1e-3


def test_room_for_more_changes_no_draw():
    new = counters(0, 6, seed=3)
    full, roomy = fill(new), fill(new, capacity=9)
    assert (
        len(roomy.episodes.length) == 9
        and roomy.added == 6
        and (roomy.episodes.action[6:] == ABSENT).all()
    )
    drawn = [
        gather(state, draw_index(state, jax.random.key(0), 500))
        for state in (full, roomy)
    ]
    jax.tree.map(np.testing.assert_array_equal, *drawn)


def test_all_indices_are_all_transitions_in_order():
    new = counters(0, 6, seed=3)
    index = all_indices(new)
    found = list(zip(*(x.tolist() for x in index), strict=True))
    assert (
        found == sorted(found)
        and len(set(found)) == (new.action != ABSENT).sum()
    )
    check_place(
        jax.tree.map(np.asarray, gather(fill(new), index)),
        {row: (new, row) for row in range(6)},
    )


def test_what_is_added_stays_as_it_was():
    buffer = make_moa_buffer(4, 1)
    state = buffer.init(counters(0, 1))
    after = buffer.add(state, counters(0, 2))
    assert (
        state.added == 0
        and (state.episodes.action == ABSENT).all()
        and after.added == 2
    )


def test_a_window_at_a_given_place():
    new = counters(0, 3)
    length = (new.action[1, :, 0] != ABSENT).sum()
    index = Index(*(jnp.array([x], jnp.int32) for x in (1, length - 1, 0)))
    found = gather_window(fill(new), index, 3)
    assert found.valid.tolist() == [
        [True, False, False]
    ] and found.step.tolist() == [[length - 1] * 3]


@pytest.mark.parametrize("name", ["capacity", "batch", "window", "minimum"])
def test_sizes_below_one_are_refused(name):
    sizes = {"capacity": 3, "batch": 3, "window": 1, "minimum": 1} | {name: 0}
    with pytest.raises(ValueError, match=f"{name}=0; expected: at least 1"):
        make_moa_buffer(**sizes)


def test_more_at_once_than_it_holds_is_refused():
    buffer = make_moa_buffer(2, 1)
    with pytest.raises(
        ValueError, match="3 episodes at once for a buffer of 2"
    ):
        buffer.add(buffer.init(counters(0, 1)), counters(0, 3))
