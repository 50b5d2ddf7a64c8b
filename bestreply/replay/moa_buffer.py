"""The replay buffer in memory, for models of other agents (MOA).

Every step of every seat can be sampled on the device. As in flashbax, state and
functions are separate: `make_moa_buffer` validates once and returns pure functions.
Episodes are stored whole, in a ring. A window lies inside one episode of one seat, so
it crosses neither an end nor the write position. A step is kept because the seat was
present, independent of its reward.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, PRNGKeyArray

from bestreply.types import (
    ABSENT,
    Array,
    Episodes,
    Transition,
    ego_order,
    obs_at,
)


class Index(NamedTuple):
    """The positions of transitions: episode row, step, seat; each [...] int32."""

    row: Array
    step: Array
    seat: Array


class BufferState(eqx.Module):
    """A ring of `C` episodes."""

    episodes: Episodes  # [C, ...]
    number: Array  # [C] int32, number of the episode since the start
    ends: Array  # [C * N] int32, cumulated transitions over rows and seats
    added: Array  # [] int32, episodes added since the start


class MoaBuffer(NamedTuple):
    """Pure functions over `BufferState`.

    init: returns an empty buffer for episodes shaped like those given.
    add: returns the buffer with episodes added in place of the oldest.
    sample: (state, key) -> transitions [batch, window, ...]; without the second axis if
        the window is 1.
    can_sample: whether it has at least `minimum` transitions, [] bool.
    """

    init: Callable[[Episodes], BufferState]
    add: Callable[[BufferState, Episodes], BufferState]
    sample: Callable[[BufferState, PRNGKeyArray], Transition]
    can_sample: Callable[[BufferState], Array]


def make_moa_buffer(
    capacity: int, batch: int, *, window: int = 1, minimum: int = 1
) -> MoaBuffer:
    """Return a buffer that samples windows; every transition begins one equally likely.

    Args:
        capacity: episodes that it holds.
        batch: windows of a sample.
        window: steps of a window.
        minimum: transitions from which on it can be sampled.

    Returns:
        The functions of the buffer.

    Raises:
        ValueError: for sizes below 1.
    """
    sizes = {
        "capacity": capacity,
        "batch": batch,
        "window": window,
        "minimum": minimum,
    }
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name}={value}: expected at least 1")

    def init(like: Episodes) -> BufferState:
        return _empty(capacity, like)

    def add(state: BufferState, new: Episodes) -> BufferState:
        count = len(new.length)
        if count > capacity:
            raise ValueError(
                f"{count} episodes for a buffer of capacity {capacity}: expected at "
                "most its capacity at once"
            )
        return _add(state, new)

    def sample(state: BufferState, key: PRNGKeyArray) -> Transition:
        index = draw_index(state, key, batch)
        if window == 1:
            return gather(state, index)
        return gather_window(state, index, window)

    def can_sample(state: BufferState) -> Bool[Array, ""]:
        return state.ends[-1] >= minimum

    return MoaBuffer(init, add, sample, can_sample)


@partial(jax.jit, static_argnums=0)
def _empty(capacity: int, like: Episodes) -> BufferState:
    def empty(x: Array, value: int = 0) -> jax.Array:
        return jnp.full((capacity, *x.shape[1:]), value, x.dtype)

    episodes = eqx.tree_at(
        lambda e: e.action,
        jax.tree.map(empty, like),
        empty(like.action, ABSENT),
    )
    return _state(episodes, jnp.zeros(capacity, jnp.int32), jnp.int32(0))


@jax.jit
def _add(state: BufferState, new: Episodes) -> BufferState:
    count, capacity = len(new.length), len(state.number)
    number = state.added + jnp.arange(count, dtype=jnp.int32)
    rows = number % capacity
    episodes = jax.tree.map(
        lambda old, x: old.at[rows].set(x), state.episodes, new
    )
    return _state(
        episodes, state.number.at[rows].set(number), state.added + count
    )


def fill(episodes: Episodes, *, capacity: int = 1) -> BufferState:
    """Return a buffer of the given episodes.

    Buffers of one capacity have one shape, so programs over them compile once.

    Args:
        episodes: the episodes.
        capacity: rows of the buffer, at least; empty rows are never drawn.

    Returns:
        The buffer.
    """
    count = len(episodes.length)
    rows = max(count, capacity)

    def padded(x: Array, empty: int = 0) -> Array:
        if rows > count:
            margins = [(0, rows - count)] + [(0, 0)] * (x.ndim - 1)
            x = np.pad(x, margins, constant_values=empty)
        return x

    whole = jax.tree.map(padded, episodes)
    whole = eqx.tree_at(
        lambda e: e.action, whole, padded(episodes.action, ABSENT)
    )
    return filled(whole, count)


def filled(episodes: Episodes, count: int) -> BufferState:
    """Return a buffer of arrays that hold its rows already; a CPU does not copy them.

    Args:
        episodes: C rows; the empty ones at the end have no actions.
        count: the number of episodes.

    Returns:
        The buffer of capacity C.
    """
    episodes = jax.device_put(episodes)
    rows = len(episodes.length)
    number = jax.device_put(np.arange(rows, dtype=np.int32))
    return _state(episodes, number, jax.device_put(np.int32(count)))


def _state(episodes: Episodes, number: Array, added: Array) -> BufferState:
    return BufferState(episodes, number, _ends(episodes), added)


@jax.jit
def _ends(episodes: Episodes) -> jax.Array:
    # [C, T, N]; a seat acts at all steps from its first to its last.
    acted = jnp.asarray(episodes.action) != ABSENT
    return jnp.cumsum(acted.sum(1).reshape(-1), dtype=jnp.int32)


@partial(jax.jit, static_argnames="batch")
def draw_index(state: BufferState, key: PRNGKeyArray, batch: int) -> Index:
    """Return uniformly drawn transitions, with replacement.

    Args:
        state: the buffer.
        key: random key.
        batch: the number of transitions.

    Returns:
        Their positions [batch].
    """
    which = jax.random.randint(key, (batch,), 0, jnp.maximum(state.ends[-1], 1))
    run = jnp.searchsorted(state.ends, which, side="right").astype(jnp.int32)
    start = jnp.where(run > 0, state.ends[run - 1], 0)
    n = state.episodes.action.shape[2]
    return Index(run // n, which - start, run % n)


def all_indices(episodes: Episodes) -> Index:
    """Return the positions of all transitions.

    Args:
        episodes: episodes.

    Returns:
        Positions in the order of episode, step, seat.
    """
    rows, steps, seats = np.nonzero(np.asarray(episodes.action) != ABSENT)
    return Index(*(x.astype(np.int32) for x in (rows, steps, seats)))


@jax.jit
def gather(state: BufferState, index: Index) -> Transition:
    """Return the transitions at given positions.

    Args:
        state: the buffer.
        index: the positions [...].

    Returns:
        The transitions [...].
    """
    e, (row, t, seat) = state.episodes, index
    ego = jnp.asarray(ego_order(e.action.shape[2]))[seat]  # [..., N]
    rows, ts = row[..., None], t[..., None]
    return Transition(
        obs=obs_at(e.obs, (row, t, seat)),
        action=e.action[row, t, seat],
        others=e.action[rows, ts, ego[..., 1:]],
        reward=e.reward[row, t, seat],
        next_obs=obs_at(e.obs, (row, t + 1, seat)),
        terminated=e.terminated[row, t, seat],
        truncated=e.truncated[row, t],
        legal=e.legal[row, t, seat],
        next_legal=e.legal[row, t + 1, seat],
        present=e.present[rows, ts, ego],
        prob=e.prob[row, t, seat],
        player=e.player[rows, ego],
        goal=e.goal[rows, ts, ego],
        episode=state.number[row],
        step=t,
        seat=seat,
        valid=jnp.ones_like(t, bool),
    )


@partial(jax.jit, static_argnames="window")
def gather_window(state: BufferState, index: Index, window: int) -> Transition:
    """Return windows of steps from given positions on.

    Args:
        state: the buffer.
        index: the positions [...].
        window: the number of steps.

    Returns:
        Transitions [..., window]; past the seat's last step, that step repeats with
        `valid` False.
    """
    run = index.row * state.episodes.action.shape[2] + index.seat
    before = jnp.where(run > 0, state.ends[run - 1], 0)
    count = state.ends[run] - before
    t = index.step[..., None] + jnp.arange(window)
    valid = t < count[..., None]
    spread = Index(*(jnp.broadcast_to(x[..., None], t.shape) for x in index))
    step = jnp.minimum(t, count[..., None] - 1)
    steps = gather(state, spread._replace(step=step))
    return eqx.tree_at(lambda x: x.valid, steps, valid)
