"""Functions of all episodes, computed for some of them at a time."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.types import Episodes
from bestreply.utils.big_arrays import new_array

BLOCK = 102_400
"""Episodes that a model reads at once; a multiple of the batches inside its programs."""

Rows = TypeVar("Rows")
Result = TypeVar("Result")


def in_blocks(
    function: Callable[[Episodes], Result], episodes: Episodes
) -> Result:
    """Return ``function(episodes)``, computed for `BLOCK` episodes at a time.

    Args:
        function: its result for an episode depends on that episode alone; a PyTree of
            arrays [E, ...].
        episodes: E episodes.

    Returns:
        The result.
    """
    count = len(episodes.length)
    if count <= BLOCK:
        return function(episodes)
    if jax.default_backend() == "cpu":  # slices of NumPy arrays are no copies
        episodes = jax.tree.map(np.asarray, episodes)
    whole = None
    for begin in range(0, count, BLOCK):
        # All blocks have one size, so that one program is compiled.
        first = min(begin, count - BLOCK)
        span = slice(first, first + BLOCK)
        part = function(jax.tree.map(lambda x, at=span: x[at], episodes))
        if whole is None:
            whole = jax.tree.map(
                lambda x: new_array((count, *x.shape[1:]), np.dtype(x.dtype)),
                part,
            )
        for array, values in zip(
            jax.tree.leaves(whole), jax.tree.leaves(part), strict=True
        ):
            array[span] = np.asarray(values)
    assert whole is not None
    return jax.device_put(whole)


def map_in_parts(
    function: Callable[[Rows], Result], rows: Rows, at_once: int
) -> Result:
    """Return a function of each row, `at_once` of them side by side, inside a program.

    The last part overlaps the one before it: `jax.lax.map` would compile the function
    a second time for the rows that remain.

    Args:
        function: a function of one row.
        rows: arrays [R, ...], at least one row.
        at_once: rows of a part.

    Returns:
        The results [R, ...].
    """
    count = len(jax.tree.leaves(rows)[0])
    if count <= at_once:
        return jax.vmap(function)(rows)
    parts = -(-count // at_once)
    begins = jnp.minimum(jnp.arange(parts) * at_once, count - at_once)

    def part(begin: jax.Array) -> Result:
        span = jax.tree.map(
            lambda x: jax.lax.dynamic_slice_in_dim(x, begin, at_once), rows
        )
        return jax.vmap(function)(span)

    def joined(x: jax.Array) -> jax.Array:
        new = count - (parts - 1) * at_once
        first = x[:-1].reshape(-1, *x.shape[2:])
        return jnp.concatenate([first, x[-1, at_once - new :]])

    return jax.tree.map(joined, jax.lax.map(part, begins))
