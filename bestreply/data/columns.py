"""Columns of tables that other programs made, as NumPy arrays."""

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int

from bestreply.utils.parquet import reason, show_type

MAX_AXES = 32
"""Levels of lists inside each other."""


def numbers_of(
    name: str, column: pa.ChunkedArray, missing: float | None = None
) -> np.ndarray:
    """Return a column of numbers or of lists of numbers.

    Args:
        name: name of the column, for the error.
        column: numbers, booleans, decimals, or lists of them of any kind and depth,
            all of one shape.
        missing: number in place of nulls; None: nulls are refused.

    Returns:
        [rows, ...], in the type of the column; float64 for decimals and with `missing`.

    Raises:
        ValueError: the column has other values, lists of different lengths or nulls.
    """
    array = _combined(column)
    shape = [len(array)]
    while _is_list(array.type):
        if len(shape) > MAX_AXES:
            raise ValueError(f"column {name!r}: expected lists of few levels")
        array, size = _flattened(name, array, shape[1:])
        shape.append(size)
    kind = array.type
    if pa.types.is_decimal(kind):
        array = array.cast(pa.float64())
    elif not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
    ):
        if not (pa.types.is_null(kind) and missing is not None):
            raise ValueError(
                f"column {name!r} is {show_type(column.type)}: expected numbers or "
                "lists of numbers"
            )
        array = array.cast(pa.float64())
    if missing is not None and array.null_count:
        array = array.cast(pa.float64()).fill_null(missing)
    _refuse_nulls(name, array, int(np.prod(shape[1:])))
    values = array.to_numpy(zero_copy_only=False)
    return values.reshape(shape)


def codes_of(
    name: str, column: pa.ChunkedArray, missing: bool = False
) -> tuple[Int[np.ndarray, " rows"], list[Any]]:
    """Return a column of text or whole numbers as codes, and the distinct values in order.

    The order is that of an ordered categorical column, else the natural one: "a2" is
    before "a10".

    Args:
        name: name of the column, for the error.
        column: text, dictionary codes or whole numbers.
        missing: accept nulls, whose code is -1.

    Returns:
        [rows] codes, and the values.

    Raises:
        ValueError: the column has other values, or nulls.
    """
    array = _combined(column)
    kind = array.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if not (is_text(kind) or pa.types.is_integer(kind)):
        raise ValueError(
            f"column {name!r} is {show_type(column.type)}: expected text or whole "
            "numbers"
        )
    if not missing:
        _refuse_nulls(name, array, 1)
    coded = array
    if not pa.types.is_dictionary(array.type):
        coded = pc.call_function("dictionary_encode", [array])
    try:
        coded.validate(full=True)
        values = coded.dictionary.to_pylist()
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise ValueError(
            f"column {name!r}: expected UTF-8 text; {reason(error)}"
        ) from None
    codes = coded.indices.fill_null(-1).to_numpy().astype(np.int64)
    ordered = pa.types.is_dictionary(array.type) and array.type.ordered
    return _in_order(codes, values, ordered)


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type is text, or dictionary codes of text.

    Args:
        kind: type of a column.
    """
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
    )


def _in_order(
    codes: Int[np.ndarray, " rows"], values: list[Any], ordered: bool
) -> tuple[Int[np.ndarray, " rows"], list[Any]]:
    """Return codes of the values that occur, once each, in their or in natural order."""
    used = np.unique(codes[codes >= 0])
    occur = [values[code] for code in used if values[code] is not None]
    known = list(dict.fromkeys(occur))
    if not ordered:
        known.sort(key=_natural)
    places = {value: place for place, value in enumerate(known)}
    table = np.full(len(values) + 1, -1, np.int64)  # the last one: no value
    for code in used:
        table[code] = places.get(values[code], -1)
    return table[codes], known


def _natural(value: Any) -> list[Any]:
    """Return a key that sorts "agent_2" before "agent_10"."""
    if not isinstance(value, str):
        return [value]
    parts = re.split(
        r"([0-9]{1,18})", value
    )  # text, digits, text, digits, ..., text
    return [int(p) if k % 2 else p for k, p in enumerate(parts)] + [value]


def _combined(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # of other versions of PyArrow
        array = pa.concat_arrays(array.chunks)
    return array


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
        or isinstance(kind, pa.BaseExtensionType)
    )


def _flattened(
    name: str, array: pa.Array, shape: list[int]
) -> tuple[pa.Array, int]:
    """Return the entries of lists of one length, and that length."""
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
        if not _is_list(array.type):
            return array, 1
    inside = int(np.prod(shape))
    _refuse_nulls(name, array, inside)
    if not len(array):
        return array.flatten(), 0
    lengths = np.asarray(pc.call_function("list_value_length", [array]))
    for row in np.flatnonzero(lengths != lengths[0])[:1]:
        raise ValueError(
            f"column {name!r}, row {row // max(inside, 1)}: a list of {lengths[row]} "
            f"entries: expected {lengths[0]}, as in the first row"
        )
    flat = pc.call_function("list_flatten", [array])
    return flat, int(lengths[0])


def _refuse_nulls(name: str, array: pa.Array, inside: int) -> None:
    if array.null_count:
        first = int(np.argmax(np.asarray(array.is_null())))
        raise ValueError(
            f"column {name!r}, row {first // max(inside, 1)}: null: expected a value"
        )
