"""Spaces of Gymnasium, as environments of PettingZoo and Gymnasium declare them."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool

from bestreply.games.spaces import common_dtype, flat_actions, refuse_actions

MASK = "action_mask"
"""Key of legal actions, in an observation or in the `info` of a seat."""


@dataclasses.dataclass(frozen=True, eq=False)
class Actions:
    """How action numbers 0, 1, ... are written in an action space."""

    names: tuple[str, ...]
    values: tuple[Any, ...]
    """The value of each action in the space."""

    @classmethod
    def of(cls, space: Any, where: str) -> "Actions":
        """Return the actions of a space.

        Args:
            space: a discrete space, or one of several discrete parts.
            where: the place in an error, such as ``" in gymnasium:NAME"``.

        Raises:
            ValueError: the space is continuous, or has too many combinations.
        """
        kind = type(space).__name__
        if kind == "Discrete":
            first, count = int(space.start), int(space.n)
            names = tuple(map(str, range(count)))
            return cls(names, tuple(range(first, first + count)))
        if kind == "MultiDiscrete":
            first = np.asarray(space.start).reshape(-1)
            names, rows = flat_actions(
                np.asarray(space.nvec).reshape(-1).tolist(), where
            )
            rows = (rows + first).astype(space.dtype)
            return cls(names, tuple(rows.reshape(-1, *space.shape)))
        if kind == "MultiBinary":
            counts = [2] * int(np.prod(space.shape))
            names, rows = flat_actions(counts, where)
            rows = rows.astype(space.dtype).reshape(-1, *space.shape)
            return cls(names, tuple(rows))
        if kind == "Tuple":
            return cls._of_parts(dict(enumerate(space.spaces)), tuple, where)
        if kind == "Dict":
            return cls._of_parts(dict(space.spaces), None, where)
        refuse_actions(space, where)

    @classmethod
    def _of_parts(
        cls, spaces: Mapping[Any, Any], join: Callable | None, where: str
    ) -> "Actions":
        """Return the combinations of the actions of a tuple or dict of spaces."""
        parts = [cls.of(space, where) for space in spaces.values()]
        names, rows = flat_actions([len(p.names) for p in parts], where)
        values = []
        for row in rows:
            each = [p.values[i] for p, i in zip(parts, row, strict=True)]
            values.append(
                join(each) if join else dict(zip(spaces, each, strict=True))
            )
        return cls(names, tuple(values))


@dataclasses.dataclass(frozen=True, eq=False)
class Observations:
    """How an observation of a space becomes one array."""

    shape: tuple[int, ...]
    dtype: np.dtype
    binary: Bool[np.ndarray, "..."]
    """[*shape] bool: the entries that are 0 or 1."""
    read: Callable[[Any], np.ndarray]
    """Returns the array of an observation."""
    masked: bool = False
    """Whether an observation has the legal actions beside it, under `MASK`."""

    @classmethod
    def of(cls, space: Any, where: str) -> "Observations":
        """Return how observations of a space are read.

        Boxes keep their shape, numbers are one-hot, tuples and dicts become a vector.
        A single-channel image [H, W] of bytes becomes [H, W, 1].

        Args:
            space: the space.
            where: the place in an error.

        Raises:
            ValueError: the space has no fixed size.
        """
        masked = type(space).__name__ == "Dict" and MASK in space.spaces
        if masked:
            rest = {k: v for k, v in space.spaces.items() if k != MASK}
            only = next(iter(rest)) if len(rest) == 1 else None
            if only is not None:
                inner = cls.of(rest[only], where)
                return dataclasses.replace(
                    inner,
                    read=lambda obs: inner.read(obs[only]),
                    masked=True,
                )
            leaves = [(k, *leaf) for k in rest for leaf in _leaves(rest[k])]
        else:
            leaves = list(_leaves(space))
        if len(leaves) == 1 and len(leaves[0]) == 1 and leaves[0][0].shape:
            return _of_box(leaves[0][0])
        return _of_leaves(leaves, space, where, masked)


def _leaves(space: Any) -> list[tuple[Any, ...]]:
    """Return the innermost spaces, each behind the keys that lead to it."""
    kind = type(space).__name__
    if kind == "Dict":
        parts = space.spaces.items()
    elif kind == "Tuple":
        parts = enumerate(space.spaces)
    else:
        return [(space,)]
    return [(key, *leaf) for key, part in parts for leaf in _leaves(part)]


def _of_box(space: Any) -> Observations:
    """Return how a space of one array is read, in its own shape."""
    shape, dtype = tuple(space.shape), common_dtype([np.dtype(space.dtype)])
    binary = _is_binary(space)
    if len(shape) == 2 and dtype == np.uint8:
        return Observations(
            (*shape, 1),
            dtype,
            binary[..., None],
            lambda obs: np.asarray(obs)[..., None],
        )
    return Observations(shape, dtype, binary, np.asarray)


def _is_binary(space: Any) -> np.ndarray:
    if type(space).__name__ == "MultiBinary":
        return np.ones(space.shape, bool)
    whole = np.dtype(space.dtype).kind in "bui"
    if type(space).__name__ != "Box" or not whole:
        return np.zeros(space.shape, bool)
    return (space.low == 0) & (space.high == 1)


def _of_leaves(
    leaves: list[tuple[Any, ...]], space: Any, where: str, masked: bool
) -> Observations:
    """Return how a space of several parts, or of a number, is read as a vector."""
    from gymnasium import spaces

    readers, binaries, dtypes = [], [], []
    for *path, leaf in leaves:
        kind = type(leaf).__name__
        if kind == "Discrete":
            binaries.append(np.ones(int(leaf.n), bool))
            dtypes.append(np.dtype(np.uint8))
        elif kind == "MultiDiscrete":
            binaries.append(np.ones(int(np.sum(leaf.nvec)), bool))
            dtypes.append(np.dtype(np.uint8))
        elif kind in ("Box", "MultiBinary"):
            binaries.append(_is_binary(leaf).reshape(-1))
            bits = binaries[-1].all()
            dtypes.append(np.dtype(np.uint8 if bits else leaf.dtype))
        else:
            text = " ".join(str(space).split())
            raise ValueError(
                f"observations={text:.120}: expected spaces of a fixed number of "
                f"entries{where}; write a wrapper that returns an array, and name "
                "it as module:attr"
            )
        readers.append((tuple(path), leaf))
    dtype, binary = common_dtype(dtypes), np.concatenate(binaries)

    def read(obs: Any) -> np.ndarray:
        flat = []
        for path, leaf in readers:
            value = obs
            for key in path:
                value = value[key]
            flat.append(np.asarray(spaces.flatten(leaf, value)).reshape(-1))
        return np.concatenate(flat).astype(dtype)

    return Observations(binary.shape, dtype, binary, read, masked)
