"""Comparisons of time steps and of states, for the checks of a game."""

import copy
import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree, Shaped

from bestreply.types import Array, TimeStep


def brief(array: Shaped[Array, "..."]) -> str:
    """Return an array on one line, shortened if it is long.

    Args:
        array: the array.

    Returns:
        At most 24 entries, or the first and last 3 of every axis.
    """
    text = np.array2string(
        np.asarray(array), threshold=24, edgeitems=3, precision=4
    )
    return text.replace("\n", "")


def differ(one: TimeStep, other: TimeStep, exact: bool = True) -> str:
    """Return the first difference between two time steps.

    Args:
        one: a time step.
        other: another one.
        exact: whether rounding errors count.

    Returns:
        A description, "" if they are equal.
    """
    for field in dataclasses.fields(TimeStep):
        a, b = (np.asarray(getattr(step, field.name)) for step in (one, other))
        if a.dtype.kind == "f" and not exact and a.shape == b.shape:
            equal = np.allclose(a, b, rtol=1e-5, atol=1e-6)
        else:
            equal = np.array_equal(a, b)
        if not equal:
            return f"{field.name} {brief(a)} and {brief(b)}"
    return ""


def is_key(leaf: object) -> bool:
    """Return whether a leaf is a typed JAX key or an array of them.

    Args:
        leaf: a leaf of a PyTree.
    """
    return isinstance(leaf, jax.Array) and jnp.issubdtype(
        leaf.dtype, jax.dtypes.prng_key
    )


def _leaves(state: PyTree) -> list[Any]:
    """Return the arrays and values of a state.

    An object that JAX does not know is replaced by its attributes, one level deep.
    """
    leaves = []
    for leaf in jax.tree.leaves(state):
        is_array = isinstance(leaf, jax.Array | np.ndarray)
        opaque = not is_array and hasattr(leaf, "__dict__")
        leaves += jax.tree.leaves(vars(leaf)) if opaque else [leaf]
    return [
        np.asarray(jax.random.key_data(leaf)) if is_key(leaf) else leaf
        for leaf in leaves
    ]


_UNKNOWN = object()


class Snapshot(NamedTuple):
    """Copies of the leaves of a state; `_UNKNOWN` for one that cannot be copied."""

    leaves: list[Any]


def snapshot(state: PyTree) -> Snapshot:
    """Return copies of the leaves of a state, to find out later whether it changed.

    Args:
        state: the state.

    Returns:
        The copies; `same_state` compares them with a state.
    """
    copies = []
    for leaf in _leaves(state):
        if isinstance(leaf, jax.Array):  # immutable
            copies.append(leaf)
            continue
        try:
            copies.append(copy.deepcopy(leaf))
        except Exception:  # an object of another library can refuse in any way
            copies.append(_UNKNOWN)
    return Snapshot(copies)


def same_state(state: PyTree, other: PyTree) -> bool:
    """Return whether two states are equal, as far as their leaves can be compared.

    Args:
        state: a state.
        other: another state, or a `Snapshot`.

    Returns:
        False if leaves differ; leaves that cannot be copied or compared count as
        equal.
    """
    one = _leaves(state)
    two = other.leaves if isinstance(other, Snapshot) else _leaves(other)
    return len(one) == len(two) and all(map(_same, one, two))


def _same(leaf: Any, other: Any) -> bool:
    arrays = jax.Array | np.ndarray
    if isinstance(leaf, arrays) or isinstance(other, arrays):
        kinds = {np.asarray(leaf).dtype.kind, np.asarray(other).dtype.kind}
        return np.array_equal(leaf, other, equal_nan=kinds <= set("fc"))
    if other is _UNKNOWN or type(leaf).__eq__ is object.__eq__:
        return True
    return bool(leaf == other)
