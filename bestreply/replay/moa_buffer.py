"""The in-memory store for modelling other agents: every step of every seat, ready to be sampled on the device.

State and behaviour are apart, as in flashbax: `make_moa_buffer` validates once and gives four pure functions. Episodes are kept
whole, in a ring; a window is taken inside one episode of one seat, so it can neither straddle an end nor the write head. A step is
kept because the seat was present, never because of its reward.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from bestreply.types import ABSENT, Array, Episodes, Transition, ego_order


class Index(NamedTuple):
    """Where transitions lie: episode row, step, seat; each [...] int32."""

    row: Array
    step: Array
    seat: Array


class BufferState(eqx.Module):
    """A ring of `C` episodes."""

    episodes: Episodes  # [C, ...]
    number: Array  # [C] int32, the episode's number since the start
    ends: (
        Array  # [C * N] int32, running count of transitions over rows and seats
    )
    added: Array  # [] int32, episodes added since the start


class MoaBuffer(NamedTuple):
    """Pure functions over `BufferState`."""

    init: Callable[
        [Episodes], BufferState
    ]  # an empty buffer for episodes shaped like those given
    add: Callable[[BufferState, Episodes], BufferState]  # the oldest make room
    sample: Callable[
        [BufferState, Array], Transition
    ]  # (state, key) -> [batch, window, ...], or [batch, ...] if window == 1
    can_sample: Callable[
        [BufferState], Array
    ]  # [] bool: it holds at least `minimum` transitions


def make_moa_buffer(
    capacity: int, batch: int, *, window: int = 1, minimum: int = 1
) -> MoaBuffer:
    """A buffer of `capacity` episodes that samples `batch` windows of `window` steps.

    Every transition is equally likely to begin one.

    Raises ValueError for sizes below 1.
    """
    for name, value in {
        "capacity": capacity,
        "batch": batch,
        "window": window,
        "minimum": minimum,
    }.items():
        if value < 1:
            raise ValueError(
                f"make_moa_buffer: {name}={value}; expected: at least 1"
            )

    def init(like: Episodes) -> BufferState:
        return _empty(capacity, like)

    def add(state: BufferState, new: Episodes) -> BufferState:
        count = len(new.length)
        if count > capacity:
            raise ValueError(
                f"{count} episodes at once for a buffer of {capacity}; expected: at most its capacity"
            )
        return _add(state, new)

    def sample(state: BufferState, key: Array) -> Transition:
        index = draw_index(state, key, batch)
        return (
            gather(state, index)
            if window == 1
            else gather_window(state, index, window)
        )

    def can_sample(state: BufferState) -> Array:
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
    """A buffer of exactly these episodes, with room for `capacity` at least; what is empty is never drawn.

    Buffers of one capacity have one shape, however many episodes they hold, and programs over them compile once.
    """
    count = len(episodes.length)
    rows = max(count, capacity)

    def padded(x: Array, empty: int = 0) -> jax.Array:
        if rows > count:
            margins = [(0, rows - count)] + [(0, 0)] * (x.ndim - 1)
            x = np.pad(x, margins, constant_values=empty)
        return jax.device_put(x)

    whole = jax.tree.map(padded, episodes)
    whole = eqx.tree_at(
        lambda e: e.action, whole, padded(episodes.action, ABSENT)
    )
    number = jax.device_put(np.arange(rows, dtype=np.int32))
    return _state(whole, number, jax.device_put(np.int32(count)))


def _state(episodes: Episodes, number: Array, added: Array) -> BufferState:
    return BufferState(episodes, number, _ends(episodes), added)


@jax.jit
def _ends(episodes: Episodes) -> jax.Array:
    acted = (
        jnp.asarray(episodes.action) != ABSENT
    )  # [C, T, N]; a seat acts from its first step on without a gap
    return jnp.cumsum(acted.sum(1).reshape(-1), dtype=jnp.int32)


@partial(jax.jit, static_argnames="batch")
def draw_index(state: BufferState, key: Array, batch: int) -> Index:
    """`batch` transitions drawn uniformly, with replacement."""
    which = jax.random.randint(key, (batch,), 0, jnp.maximum(state.ends[-1], 1))
    run = jnp.searchsorted(state.ends, which, side="right").astype(jnp.int32)
    start = jnp.where(run > 0, state.ends[run - 1], 0)
    n = state.episodes.action.shape[2]
    return Index(run // n, which - start, run % n)


def all_indices(episodes: Episodes) -> Index:
    """Every transition, in order of episode, step, seat."""
    rows, steps, seats = np.nonzero(np.asarray(episodes.action) != ABSENT)
    return Index(*(x.astype(np.int32) for x in (rows, steps, seats)))


@jax.jit
def gather(state: BufferState, index: Index) -> Transition:
    """The transitions at `index`, with its leading axes."""
    e, (row, t, seat) = state.episodes, index
    ego = jnp.asarray(ego_order(e.action.shape[2]))[seat]  # [..., N]
    rows, ts = row[..., None], t[..., None]
    return Transition(
        obs=e.obs[row, t, seat],
        action=e.action[row, t, seat],
        others=e.action[rows, ts, ego[..., 1:]],
        reward=e.reward[row, t, seat],
        next_obs=e.obs[row, t + 1, seat],
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
    """[..., window, ...]: `window` steps from `index` on; `valid` is False, and the last step repeats, once the seat's play is over."""
    count = (state.episodes.action != ABSENT).sum(1)[index.row, index.seat]
    t = index.step[..., None] + jnp.arange(window)
    valid = t < count[..., None]
    spread = Index(*(jnp.broadcast_to(x[..., None], t.shape) for x in index))
    found = gather(
        state, spread._replace(step=jnp.minimum(t, count[..., None] - 1))
    )
    return eqx.tree_at(lambda f: f.valid, found, valid)
