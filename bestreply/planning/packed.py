"""Networks as a flat tuple of arrays on the device, for programs that are called often.

A call of a compiled function flattens its arguments, compares everything static in them,
and reads each array's place. For one decision that takes longer than the decision. A
packed tree is flattened once; its program is `jax.jit` of a `Structure` and the arrays.
"""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import PyTree

Leaves = tuple[Any, ...]
"""An array, or None, for each leaf of a tree; and all short vectors in one."""

SHORT = 1024
"""Entries of a float32 vector, such as a bias, that shares an array with all others: a call
takes a microsecond for each array."""


class Structure:
    """What a tree holds beside its arrays: hashable, so static in `jax.jit`."""

    def __init__(
        self,
        tree: Any,
        fixed: tuple[Any, ...],
        flipped: tuple[bool, ...],
        sizes: tuple[int | None, ...],
    ) -> None:
        """Keep the parts.

        Args:
            tree: JAX's structure of the tree.
            fixed: each leaf that is no array; None in the place of an array.
            flipped: the leaves that are packed transposed.
            sizes: length of each leaf that is a short vector; else None.
        """
        self._parts = tree, fixed, flipped, sizes
        self._hash = hash(self._parts)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Structure) and self._parts == other._parts

    def rebuild(self, leaves: Leaves) -> Any:
        """Return the tree.

        Args:
            leaves: its packed leaves; tracers inside a program.
        """
        tree, fixed, flipped, sizes = self._parts
        *arrays, short = leaves
        found, begin = [], 0
        for leaf, other, flip, size in zip(
            arrays, fixed, flipped, sizes, strict=True
        ):
            if size is not None:
                found.append(short[begin : begin + size])
                begin += size
            elif other is None:
                found.append(leaf.T if flip else leaf)
            else:
                found.append(other)
        return jax.tree.unflatten(tree, found)


def packed(tree: PyTree) -> tuple[Structure, Leaves] | None:
    """Return the structure of a tree and its leaves on the device.

    Weights of linear layers are transposed: x W^T of a single row then needs no copy.

    Args:
        tree: a PyTree of arrays and hashable values.

    Returns:
        The structure and the leaves, None in the place of a leaf that is no array or a
        short vector; None where a leaf is being traced or is not hashable.
    """
    leaves, structure = jax.tree.flatten(tree)
    if any(isinstance(leaf, Tracer) for leaf in leaves):
        return None
    flipped = jax.tree.leaves(jax.tree.map(_flipped, tree, is_leaf=_is_linear))
    is_array = [isinstance(x, jax.Array | np.ndarray) for x in leaves]
    pairs = list(zip(leaves, is_array, strict=True))
    fixed = tuple(None if array else leaf for leaf, array in pairs)
    sizes = tuple(len(x) if array and _short(x) else None for x, array in pairs)
    try:
        made = Structure(structure, fixed, tuple(flipped), sizes)
    except TypeError:  # not hashable
        return None
    arrays = (
        _on_device(leaf, flip) if array and size is None else None
        for (leaf, array), flip, size in zip(pairs, flipped, sizes, strict=True)
    )
    vectors = [
        np.asarray(leaf)
        for leaf, size in zip(leaves, sizes, strict=True)
        if size is not None
    ]
    short = np.concatenate([np.zeros(0, np.float32), *vectors])
    return made, (*arrays, jax.device_put(short))


def _short(leaf: Any) -> bool:
    return leaf.ndim == 1 and len(leaf) <= SHORT and leaf.dtype == np.float32


def _is_linear(node: object) -> bool:
    return isinstance(node, eqx.nn.Linear)


def _flipped(node: Any) -> Any:
    """Return whether to transpose each leaf of a layer, or a leaf outside of one."""
    if not _is_linear(node):
        return False
    weight = node.weight
    return jax.tree.map(lambda x: x is weight and np.ndim(x) == 2, node)


def _on_device(leaf: Any, flip: bool) -> jax.Array:
    if not flip:
        return jax.device_put(leaf)
    return jax.device_put(np.ascontiguousarray(np.asarray(leaf).T))


class BoundMethod:
    """A method of a module, as a PyTree of the module."""

    __slots__ = ("__func__", "__self__")

    def __init__(self, function: Callable[..., Any], module: Any) -> None:
        self.__func__, self.__self__ = function, module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__func__(self.__self__, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__func__, name)

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        return functools.partial(self.__func__, self.__self__)

    def __hash__(self) -> int:
        return hash((self.__func__, id(self.__self__)))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, BoundMethod)
            and self.__self__ is other.__self__
            and self.__func__ is other.__func__
        )


jax.tree_util.register_pytree_node(
    BoundMethod,
    lambda bound: ((bound.__self__,), bound.__func__),
    lambda function, parts: BoundMethod(function, parts[0]),
)


class quick_method:
    """A method that is quick to reach: Equinox flattens its module at each access."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __get__(self, module: Any, kind: type | None = None) -> Any:
        if module is None:
            return self.function
        return BoundMethod(self.function, module)
