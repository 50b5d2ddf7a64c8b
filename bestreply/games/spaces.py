"""Spaces of other libraries: several action numbers as one, nested observations as one."""

import itertools
import math
from collections.abc import Sequence
from typing import NoReturn

import numpy as np
from jaxtyping import Int32

MAX_FLAT_ACTIONS = 1024
"""Combinations of action numbers that a game lists as actions."""


def flat_actions(
    nvec: Sequence[int], where: str = ""
) -> tuple[tuple[str, ...], Int32[np.ndarray, "A K"]]:
    """Return one action for each combination of several action numbers.

    Args:
        nvec: the count of each of the K numbers.
        where: the place in an error, such as ``" in gymnasium:NAME"``.

    Returns:
        The names of the actions, such as "0", or "2,0" of two numbers, and the
        numbers of each: ``decode[action]``. The last number changes fastest.

    Raises:
        ValueError: there are more than `MAX_FLAT_ACTIONS` combinations.
    """
    counts = [int(count) for count in nvec]
    total = math.prod(counts)
    if not counts or not 1 <= total <= MAX_FLAT_ACTIONS:
        raise ValueError(
            f"actions={'x'.join(map(str, counts))}: expected 1 to "
            f"{MAX_FLAT_ACTIONS} combinations of action numbers{where}, not "
            f"{total}; choose fewer by a wrapper of the environment"
        )
    rows = list(itertools.product(*map(range, counts)))
    names = tuple(",".join(map(str, row)) for row in rows)
    return names, np.array(rows, np.int32)


def refuse_actions(space: object, where: str = "") -> NoReturn:
    """Refuse an action space that has no list of actions.

    Args:
        space: the space.
        where: the place, such as ``" in gymnasium:NAME"``.

    Raises:
        ValueError: always.
    """
    text = " ".join(str(space).split())
    raise ValueError(
        f"actions={text:.120}: expected discrete or multi-discrete actions{where}; "
        "for continuous ones, write a wrapper that maps numbers 0, 1, ... to actions, "
        "and name it as module:attr"
    )


def common_dtype(dtypes: Sequence[np.dtype]) -> np.dtype:
    """Return the type of a vector that holds entries of several types.

    Args:
        dtypes: the types of the parts.

    Returns:
        The type itself if all are one; float32 if one is a float; else the
        smallest that holds all. Types of 64 bits become those of 32, as in JAX.
    """
    narrow = {
        np.dtype(np.float64): np.dtype(np.float32),
        np.dtype(np.float16): np.dtype(np.float32),
        np.dtype(np.int64): np.dtype(np.int32),
        np.dtype(np.uint64): np.dtype(np.uint32),
    }
    kinds = [narrow.get(np.dtype(d), np.dtype(d)) for d in dtypes]
    if not all(kind.kind in "bui" for kind in kinds):
        return np.dtype(np.float32)
    common = np.result_type(*kinds)
    return narrow.get(common, common)


WAIT = "wait"
"""Name of the null action: the only legal one of a seat that is not to move."""
