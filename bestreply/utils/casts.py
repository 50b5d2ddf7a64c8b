"""Casts of numbers to smaller types, and what they would change without a word."""

from typing import Any

import numpy as np
from jaxtyping import Shaped


def any_array(values: Any) -> Shaped[np.ndarray, "..."]:
    """Return values as an array; one of objects where they have no one shape.

    Args:
        values: anything.
    """
    try:
        return np.asarray(values)
    except (TypeError, ValueError):  # rows of several lengths
        return np.empty(0, object)


def cast(
    values: Shaped[np.ndarray, "*shape"], dtype: np.dtype
) -> tuple[Shaped[np.ndarray, "*shape"], str]:
    """Return numbers in another type, and the first that the type does not hold.

    A float that is rounded to a smaller float is held; one that becomes infinite is
    not, nor is an integer that another number stands for afterwards.

    Args:
        values: numbers or booleans.
        dtype: a type of numbers or booleans.

    Returns:
        The numbers in the type, and the first that changed as text; "" if none did.
    """
    if values.dtype == dtype:
        return values, ""
    if np.can_cast(values.dtype, dtype):
        return values.astype(dtype), ""
    with np.errstate(over="ignore", invalid="ignore"):
        new = values.astype(dtype)
        if values.dtype.kind == "f" and new.dtype.kind == "f":
            changed = np.isinf(new)
            if changed.any():  # rarely
                changed &= np.isfinite(values)
        else:
            changed = new.astype(values.dtype) != values
    if not changed.any():
        return new, ""
    return new, str(values[changed][0].item())


def is_mask(values: Shaped[np.ndarray, "..."]) -> bool:
    """Return whether an array holds nothing but 0 and 1, in any type of numbers.

    Args:
        values: the array.
    """
    if values.dtype.kind == "b":
        return True
    if values.dtype.kind not in "iuf":
        return False
    return bool(((values == 0) | (values == 1)).all())
