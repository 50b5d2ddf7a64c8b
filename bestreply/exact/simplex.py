"""A grid of beliefs: the simplex over M modes, triangulated, for piecewise linear values.

Freudenthal's triangulation, as used by Lovejoy (Computationally Feasible Bounds for Partially
Observed Markov Decision Processes, 1991). A belief is a convex combination of at most M grid
points. A function that is convex in the belief, such as the value of a best reply, is nowhere
above the interpolation of its values at the grid points.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bestreply.types import Array


class SimplexGrid(NamedTuple):
    """The beliefs whose entries are multiples of 1/R."""

    points: np.ndarray  # [B, M] float32
    number: np.ndarray
    """[R+1, ...] int32, M-1 axes: the point by its suffix sums; 0 where there is none."""


def simplex_grid(modes: int, resolution: int) -> SimplexGrid:
    """Return all beliefs over `modes` modes whose entries are multiples of 1/`resolution`.

    Args:
        modes: M.
        resolution: R, the number of steps from 0 to 1.

    Returns:
        The grid of (R+M-1 choose M-1) points.
    """
    every = itertools.product(range(resolution + 1), repeat=modes - 1)
    sums = [s for s in every if _is_descending(s)]
    first = np.full((len(sums), 1), resolution)
    whole = np.concatenate(
        [first, np.array(sums, int).reshape(len(sums), -1)], 1
    )
    points = whole - np.append(whole[:, 1:], np.zeros((len(sums), 1), int), 1)
    number = np.zeros((resolution + 1,) * (modes - 1), np.int32)
    for k, place in enumerate(sums):
        number[place] = k
    return SimplexGrid((points / resolution).astype(np.float32), number)


def _is_descending(sums: tuple[int, ...]) -> bool:
    return all(a >= b for a, b in itertools.pairwise(sums))


@jax.jit
def interpolate(
    grid: SimplexGrid, belief: Float[Array, "*batch M"]
) -> tuple[Array, Array]:
    """Return the grid points around each belief and their weights in it.

    Args:
        grid: as `simplex_grid` returns it.
        belief: [..., M] float32.

    Returns:
        The points [..., M] int32, and their weights [..., M], which sum to 1.
    """
    modes = grid.points.shape[1]
    size = grid.number.shape[0] - 1 if modes > 1 else 1
    suffix = jnp.cumsum(belief[..., ::-1], -1)[..., ::-1]
    sums = size * suffix[..., 1:]
    # The tolerance makes rounding errors below a grid point count as that point.
    base = jnp.floor(jnp.clip(sums, 0, size) + 1e-4)
    rest = jnp.clip(sums - base, 0, 1)
    # From point to point, one entry of `sums` changes at a time: largest rest first.
    order = jnp.argsort(-rest, axis=-1, stable=True)
    descending = jnp.take_along_axis(rest, order, -1)
    one = jnp.ones((*descending.shape[:-1], 1))
    edges = jnp.concatenate([one, descending, 0 * one], -1)
    weights = edges[..., :-1] - edges[..., 1:]
    rank = jnp.argsort(order, axis=-1)
    moved = rank[..., None, :] < jnp.arange(modes)[:, None]
    place = base[..., None, :] + moved  # [..., point, M-1]
    place = jnp.clip(place, 0, size).astype(jnp.int32)
    number = jnp.asarray(grid.number)[tuple(jnp.moveaxis(place, -1, 0))]
    return jnp.broadcast_to(number, weights.shape), weights
