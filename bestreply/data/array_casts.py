"""Casts of arrays that other programs made: lossless ones are made, others refused by name."""

from typing import Any, NoReturn

import numpy as np
from jaxtyping import Bool, Float32, Int32, Shaped

from bestreply.utils.casts import any_array
from bestreply.utils.checks import shown

EXACT_FLOAT32 = 2**24
"""Whole numbers up to this size are floats of 32 bits."""


def as_array(name: str, values: Any) -> np.ndarray:
    """Return values as a NumPy array of numbers, booleans or text.

    Args:
        name: name of the argument, for the error.
        values: an array of NumPy, JAX or PyTorch, or nested lists of one shape.

    Raises:
        ValueError: the values have no common shape, are other objects, or are masked.
    """
    if np.ma.is_masked(values):
        place = tuple(np.argwhere(np.ma.getmaskarray(values))[0].tolist())
        raise ValueError(
            f"{name}{list(place)} is masked: expected a value. Fill the array "
            "(numpy.ma.filled) with what is meant"
        )
    array = any_array(values)
    if array.dtype.kind not in "biufUS":
        raise ValueError(
            f"{name} of type {array.dtype}: expected an array of numbers, all rows "
            "of one shape"
        )
    return array


def refuse(
    name: str, values: np.ndarray, bad: np.ndarray, condition: str
) -> None:
    """Raise ValueError for the first entry that is bad, with its value and place.

    Args:
        name: name of the argument.
        values: its entries.
        bad: [*shape of values] bool.
        condition: the condition on an entry, in words.

    Raises:
        ValueError: an entry is bad.
    """
    if bad.any():
        place = np.unravel_index(int(bad.argmax()), bad.shape)
        where = ", ".join(str(int(i)) for i in place)
        value = np.asarray(values)[place]
        text = value.item() if isinstance(value, np.generic) else value
        raise ValueError(f"{name}[{where}]={shown(text)}: expected {condition}")


def as_floats(name: str, values: Any) -> Float32[np.ndarray, "..."]:
    """Return numbers in 32 bits; floats are rounded to them, whole numbers kept.

    Args:
        name: name of the argument, for the error.
        values: numbers.

    Raises:
        ValueError: a number is not finite, or a float of 32 bits cannot hold it.
    """
    array = _numbers(name, values)
    with np.errstate(over="ignore"):
        result = array.astype(np.float32)
    if array.dtype.kind == "f":
        refuse(
            name,
            array,
            ~np.isfinite(result),
            "a finite number that a float of 32 bits can hold",
        )
    elif array.dtype.kind in "iu" and array.dtype.itemsize > 2:
        large = (array > EXACT_FLOAT32) | (array < -EXACT_FLOAT32)
        refuse(name, array, large, "a whole number from -2^24 to 2^24")
    return result


def as_probs(name: str, values: Any) -> Float32[np.ndarray, "..."]:
    """Return probabilities in 32 bits; NaN, or a masked entry, is unknown.

    Args:
        name: name of the argument, for the error.
        values: numbers above 0 and at most 1, or NaN.

    Raises:
        ValueError: a number is no such probability.
    """
    result = _numbers(name, values).astype(np.float32)
    bad = ~np.isnan(result) & ~((result > 0) & (result <= 1))
    condition = (
        "a probability above 0 and at most 1, or NaN where it is unknown"
    )
    refuse(name, result, bad, condition)
    return result


def as_whole(
    name: str, values: Any, low: int, high: int | None, meaning: str
) -> Int32[np.ndarray, "..."]:
    """Return whole numbers in 32 bits.

    Args:
        name: name of the argument, for the error.
        values: whole numbers; floats without a fraction and booleans are accepted.
        low: the least.
        high: the number above the largest; None: that of 32 bits.
        meaning: what a number is, for the error.

    Raises:
        ValueError: a number has a fraction or is out of range.
    """
    array = _numbers(name, values)
    end = 2**31 if high is None else high
    if array.dtype.kind == "f":
        fraction = ~(np.isfinite(array) & (array == np.round(array)))
        refuse(name, array, fraction, f"{meaning}, a whole number")
    if array.dtype.kind == "b":
        array = array.astype(np.int32)
    outside = (array < low) | (array >= end)
    span = f"{low} or more" if high is None else f"{low} to {end - 1}"
    refuse(name, array, outside, f"{meaning}, {span}")
    return array.astype(np.int32)


def as_flags(name: str, values: Any) -> Bool[np.ndarray, "..."]:
    """Return booleans, for which 0 and 1 may stand.

    Args:
        name: name of the argument, for the error.
        values: booleans or numbers.

    Raises:
        ValueError: a number is neither 0 nor 1.
    """
    array = _numbers(name, values)
    if array.dtype.kind == "b":
        return array
    refuse(name, array, (array != 0) & (array != 1), "True or False (1 or 0)")
    return array.astype(bool)


def as_observations(
    name: str, values: Any, dtype: np.dtype | None = None
) -> Shaped[np.ndarray, "..."]:
    """Return observations in their own type of at most 16 bits, else float32.

    Args:
        name: name of the argument, for the error.
        values: numbers.
        dtype: type of the game's observations; None: that of the values.

    Raises:
        ValueError: a number is not finite, or the type cannot hold it.
    """
    array = _numbers(name, values)
    if dtype is None:
        own = array.dtype.kind in "biu" and array.dtype.itemsize < 3
        dtype = array.dtype.newbyteorder("=") if own else np.dtype(np.float32)
    if array.dtype == dtype and dtype.kind != "f":
        return array
    if dtype == np.float32:
        return as_floats(name, array)
    if dtype.kind == "b":
        return as_flags(name, array)
    if dtype.kind == "f":
        result = array.astype(dtype)
        refuse(name, array, ~np.isfinite(result), f"a finite {dtype}")
        return result
    with np.errstate(invalid="ignore"):
        result = array.astype(dtype)
    refuse(name, array, result != array, f"a number that {dtype} holds")
    return result


def _numbers(name: str, values: Any) -> np.ndarray:
    array = as_array(name, values)
    if array.dtype.kind in "US":
        _refuse_text(name, array)
    return array


def _refuse_text(name: str, array: np.ndarray) -> NoReturn:
    first = array.flat[0] if array.size else ""
    raise ValueError(f"{name}={shown(str(first))}: expected numbers, not text")
