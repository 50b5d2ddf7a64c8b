"""Beliefs on a grid: the simplex over M modes cut into small simplices, whose corners carry values.

Freudenthal's triangulation, as Lovejoy used it (Computationally Feasible Bounds for Partially Observed Markov Decision Processes,
1991): a belief is a weighted mean of at most M corners, so that a function which is convex in the belief, as the values of a best
reply are, lies nowhere above what its corners give.
"""

import itertools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from bestreply.types import Array


class Simplex(NamedTuple):
    """Beliefs whose entries are multiples of 1/R."""

    points: np.ndarray  # [B, M] float32
    number: np.ndarray  # [R+1, ...] int32, M-1 axes: the point with these sums of later entries; 0 where there is none


def cut_simplex(modes: int, resolution: int) -> Simplex:
    """All beliefs over `modes` modes whose entries are multiples of 1/`resolution`."""
    sums = [
        s
        for s in itertools.product(range(resolution + 1), repeat=modes - 1)
        if _falls(s)
    ]
    whole = np.concatenate(
        [
            np.full((len(sums), 1), resolution),
            np.array(sums, int).reshape(len(sums), -1),
        ],
        1,
    )
    points = whole - np.append(whole[:, 1:], np.zeros((len(sums), 1), int), 1)
    number = np.zeros((resolution + 1,) * (modes - 1), np.int32)
    for k, place in enumerate(sums):
        number[place] = k
    return Simplex((points / resolution).astype(np.float32), number)


def _falls(sums: tuple[int, ...]) -> bool:
    return all(a >= b for a, b in itertools.pairwise(sums))


def corners(simplex: Simplex, belief: Array) -> tuple[Array, Array]:
    """The corners around `belief` [..., M] that it is a mean of, [..., M] int32, and their weights, [..., M]."""
    modes = simplex.points.shape[1]
    size = simplex.number.shape[0] - 1 if modes > 1 else 1
    sums = (
        size * jnp.cumsum(belief[..., ::-1], -1)[..., ::-1][..., 1:]
    )  # of each entry and those after it
    base = jnp.floor(
        jnp.clip(sums, 0, size) + 1e-4
    )  # a float's breadth below a corner is that corner
    rest = jnp.clip(sums - base, 0, 1)
    order = jnp.argsort(
        -rest, axis=-1, stable=True
    )  # from corner to corner, one entry of `sums` at a time
    falling = jnp.take_along_axis(rest, order, -1)
    one = jnp.ones((*falling.shape[:-1], 1))
    edges = jnp.concatenate([one, falling, 0 * one], -1)
    weights = edges[..., :-1] - edges[..., 1:]
    rank = jnp.argsort(order, axis=-1)  # when each entry is gone along
    walked = base[..., None, :] + (
        rank[..., None, :] < jnp.arange(modes)[:, None]
    )  # [..., corner, M-1]
    walked = jnp.clip(walked, 0, size).astype(jnp.int32)
    number = jnp.asarray(simplex.number)[tuple(jnp.moveaxis(walked, -1, 0))]
    return jnp.broadcast_to(number, weights.shape), weights
