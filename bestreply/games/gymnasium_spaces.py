"""Spaces of Gymnasium, as environments of PettingZoo and Gymnasium declare them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from bestreply.games.spaces import common_dtype, flat_actions, refuse_actions
from bestreply.utils.casts import any_array, cast, is_mask
from bestreply.utils.checks import shown

MASK = "action_mask"
"""Key of legal actions, in an observation or in the `info` of a seat."""


def read_mask(value: Any, count: int, where: str) -> Bool[np.ndarray, " A"]:
    """Return the legal actions that an environment gives.

    Args:
        value: its mask.
        count: the number of actions, A.
        where: whose mask it is, for the error, such as " of 'a_0' in pettingzoo:NAME".

    Raises:
        ValueError: it has another size, or entries other than 0 and 1.
    """
    mask = any_array(value).reshape(-1)
    if mask.shape != (count,) or not is_mask(mask):
        given = mask.tolist() if isinstance(value, np.ndarray) else value
        raise ValueError(
            f"{MASK}={shown(given)}: expected {count} entries, 0 or 1, one for each "
            f"action{where}"
        )
    return mask.astype(bool)


def read_flag(name: str, value: Any, where: str) -> bool:
    """Return whether a game is over for an agent.

    Args:
        name: terminated or truncated.
        value: what the environment gives.
        where: whose it is, for the error.

    Raises:
        ValueError: it is not one bool.
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    flag = any_array(value)
    if flag.size != 1 or not is_mask(flag):
        raise ValueError(f"{name}={shown(value)}: expected one bool{where}")
    return bool(flag.reshape(()))


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
            return _of_box(leaves[0][0], where)
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


def _of_box(space: Any, where: str) -> Observations:
    """Return how a space of one array is read, in its own shape."""
    shape, dtype = tuple(space.shape), common_dtype([np.dtype(space.dtype)])
    binary = _is_binary(space)

    def read(obs: Any) -> np.ndarray:
        if type(space).__name__ == "MultiDiscrete":
            return _numbers(space, obs, (), where)
        return any_array(obs)

    if len(shape) == 2 and dtype == np.uint8:
        return Observations(
            (*shape, 1),
            dtype,
            binary[..., None],
            lambda obs: read(obs)[..., None],
        )
    return Observations(shape, dtype, binary, read)


def _numbers(
    space: Any, value: Any, path: Sequence[Any], where: str
) -> np.ndarray:
    """Return the numbers of a (multi-)discrete space in its shape.

    Args:
        space: the space.
        value: its part of an observation.
        path: the keys that lead to it.
        where: the place in an error.

    Raises:
        ValueError: the value is outside the space.
    """
    numbers, shape = any_array(value), space.shape
    fits = numbers.dtype.kind in "biu"
    if fits and shape:
        fits = numbers.size == np.size(space.nvec)
        if fits:
            from_0 = numbers.reshape(shape) - space.start
            fits = from_0.min() >= 0 and (from_0 < space.nvec).all()
    elif fits:  # a single number, compared without arrays
        fits = numbers.size == 1 and 0 <= numbers.item() - int(
            space.start
        ) < int(space.n)
    if not fits:
        raise _outside(value, path, f"a value of {space}", where)
    return numbers.reshape(shape)


def _outside(
    value: Any, path: Sequence[Any], wanted: str, where: str
) -> ValueError:
    """Return the error about a part of an observation."""
    given = value.tolist() if isinstance(value, np.ndarray) else value
    keys = "".join(f"[{key!r}]" for key in path)
    return ValueError(
        f"observation{keys}={shown(given)}: expected "
        f"{' '.join(wanted.split()):.150}{where}"
    )


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

    parts = [
        (path, _flattened(leaf, path, dtype, where)) for path, leaf in readers
    ]

    def read(obs: Any) -> np.ndarray:
        flat = []
        for path, flattened in parts:
            value = obs
            for key in path:
                value = value[key]
            flat.append(flattened(value))
        return np.concatenate(flat)

    return Observations(binary.shape, dtype, binary, read, masked)


def _flattened(
    leaf: Any, path: Sequence[Any], dtype: np.dtype, where: str
) -> Callable[[Any], np.ndarray]:
    """Return how a part of an observation becomes a vector of a type."""

    def numbers(value: Any) -> np.ndarray:
        array = any_array(value).reshape(-1)
        if array.dtype.kind not in "biuf":
            raise _outside(value, path, f"numbers of {leaf}", where)
        vector, changed = cast(array, dtype)
        if changed:
            wanted = f"numbers that {dtype} holds, not {changed},"
            raise _outside(value, path, wanted, where)
        return vector

    if type(leaf).__name__ not in ("Discrete", "MultiDiscrete"):
        return numbers
    counts = np.reshape(leaf.nvec if leaf.shape else leaf.n, -1)
    size, start = int(counts.sum()), np.reshape(leaf.start, -1)
    first = np.cumsum(counts) - counts - start

    def one_hot(value: Any) -> np.ndarray:
        vector = np.zeros(size, dtype)
        places = _numbers(leaf, value, path, where).reshape(-1)
        vector[first + places.astype(np.int64)] = 1
        return vector

    return one_hot
