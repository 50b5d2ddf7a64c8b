"""Rows of logged transitions that programs read: sampled, and in few sizes."""

import math
from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np

from bestreply.games.base import Game
from bestreply.models.images import MAX_FLAT_ENTRIES
from bestreply.replay.moa_buffer import Index

MAX_ENTRIES = 2**27
"""Entries of observations that a table is computed from, at most."""
AT_ONCE = 512
"""Rows that a program computes side by side."""

Rows = TypeVar("Rows")
Result = TypeVar("Result")


def most_rows(game: Game, most: int, steps: int = 1) -> int:
    """Return how many windows of observations are held at a time, at most `most`.

    Args:
        game: the game.
        most: largest number.
        steps: observations of a window.
    """
    size = math.prod(game.obs_shape) * steps
    return max(min(most, MAX_ENTRIES // size), 1)


def sample_of(total: int, count: int) -> np.ndarray:
    """Return at most `count` of `total` rows, evenly spaced.

    Args:
        total: number of rows.
        count: number to return.
    """
    return np.unique(np.linspace(0, total - 1, min(total, count)).astype(int))


def padded(index: Index, game: Game, size: int = 0) -> Index:
    """Return places with the last one repeated, in one of few sizes.

    The number of transitions differs by seed; programs over these sizes compile once.

    Args:
        index: B places.
        game: the game; large observations are not filled up to a power of two.
        size: number of places to have room for, at least.

    Returns:
        More places: a power of two up to `AT_ONCE`, then a multiple of it.
    """
    count = len(index.row)
    rows = np.arange(room_for(max(size, count), game))
    rows = np.minimum(rows, count - 1)
    return Index(*(np.asarray(x)[rows] for x in index))


def room_for(count: int, game: Game) -> int:
    """Return one of few sizes that a number of rows fits in.

    Args:
        count: number of rows.
        game: the game; large observations are not filled up to a power of two.
    """
    if math.prod(game.obs_shape) <= MAX_FLAT_ENTRIES or count <= AT_ONCE:
        count = 1 << max(count - 1, 0).bit_length()
    return count if count <= AT_ONCE else -(-count // AT_ONCE) * AT_ONCE


def map_rows(
    function: Callable[[Rows], Result], rows: Rows, at_once: int = AT_ONCE
) -> Result:
    """Return a function of rows, computed in parts so that memory is bounded.

    Args:
        function: from B rows to B results.
        rows: arrays [R, ...]; R as `padded` returns it.
        at_once: rows of a part.

    Returns:
        The results [R, ...].
    """
    total = len(jax.tree.leaves(rows)[0])
    if total <= at_once:
        return function(rows)
    parts = jax.tree.map(
        lambda x: x.reshape(total // at_once, at_once, *x.shape[1:]), rows
    )
    results = jax.lax.map(function, parts)
    return jax.tree.map(lambda x: x.reshape(total, *x.shape[2:]), results)
