"""Parquet files that anyone may have written: sizes before rows, and lossless casts alone."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bestreply.utils.parquet_footer import Chunk, read_chunks
from bestreply.utils.untrusted import check_memory, check_regular, open_regular

MAX_FOOTER_TEXT = 100_000_000
MAX_FOOTER_ENTRIES = 1_000_000
WIDTHS = {
    "BOOLEAN": 1,
    "INT32": 4,
    "INT64": 8,
    "INT96": 12,
    "FLOAT": 4,
    "DOUBLE": 8,
    "BYTE_ARRAY": 4,  # codes of a dictionary; the texts are counted as stored
    "FIXED_LEN_BYTE_ARRAY": 16,
}
"""Bytes of an entry in memory, by Parquet's type."""
EXACT = 2.0**62
COPIES = 3
"""Copies of the rows that exist while they are read and cast."""


class LossyCast(ValueError):
    """A value that the expected type cannot hold."""

    def __init__(self, row: int, what: str) -> None:
        super().__init__(what)
        self.row = row
        """Row of the value in the column that was to be cast."""


class CheckedFile(pq.ParquetFile):
    """A Parquet file, and the columns of each row group by its footer."""

    chunks: list[list[Chunk]]


@contextlib.contextmanager
def open_parquet(
    path: str | os.PathLike, texts: Sequence[str] = ()
) -> Iterator[CheckedFile]:
    """Open a Parquet file and read its footer alone.

    Args:
        path: the file.
        texts: columns of text to read as codes of a dictionary. Few different texts in
            many rows then take little memory.

    Returns:
        A context manager that gives the file.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no regular file, or no Parquet.
    """
    check_regular(path)
    with open_regular(path) as handle:
        limits: dict[str, Any] = {
            "thrift_string_size_limit": MAX_FOOTER_TEXT,
            "thrift_container_size_limit": MAX_FOOTER_ENTRIES,
        }
        try:
            file = CheckedFile(handle, **limits)
            file.chunks = read_chunks(handle)
            paths = _check_footer(file)
            coded = [name for name in texts if name in paths]
            if coded:
                chunks = file.chunks
                file = CheckedFile(handle, read_dictionary=coded, **limits)
                file.chunks = chunks
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ValueError(
                f"{path}: expected a Parquet file; {reason(error)}"
            ) from None
        yield file


def _check_footer(file: CheckedFile) -> list[str]:
    """Return the paths of the columns; refuse row groups that contradict the footer."""
    metadata, names = file.metadata, file.schema_arrow.names
    sizes = [len(chunks) for chunks in file.chunks]
    if sizes != [metadata.num_columns] * metadata.num_row_groups:
        raise ValueError("its footer is damaged")
    counts = [
        metadata.row_group(group).num_rows
        for group in range(metadata.num_row_groups)
    ]
    if metadata.num_rows != sum(counts) or min([0, *counts]) < 0:
        raise ValueError(
            f"{metadata.num_rows} rows of {len(names)} columns, but {sum(counts)} in "
            "its row groups"
        )
    columns = range(metadata.num_columns)
    return [metadata.schema.column(place).path for place in columns]


def reason(error: BaseException) -> str:
    """Return the first line of an error of PyArrow, or its type.

    Args:
        error: the error.
    """
    return (str(error).splitlines() or [type(error).__name__])[0]


def decoded_size(
    file: CheckedFile, columns: Sequence[str], group: int | None = None
) -> int:
    """Return the bytes of columns in memory, by what the footer declares.

    Run-length encoding stores many entries in few bytes, so entries are counted.

    Args:
        file: the file.
        columns: names of columns at the top level.
        group: number of a row group; None: all.
    """
    groups = file.chunks if group is None else [file.chunks[group]]
    total = 0
    for chunk in (chunk for chunks in groups for chunk in chunks):
        if chunk.path[0] in columns:
            entries = chunk.entries * WIDTHS[chunk.physical_type]
            total += max(entries, chunk.uncompressed_bytes)
    return total


def read_table(path: str | os.PathLike, schema: pa.Schema) -> pa.Table:
    """Read columns of a Parquet file that some other program may have written.

    Args:
        path: the file.
        schema: the columns that are expected, of numbers and text; nullable ones may
            hold nulls.

    Returns:
        The columns with these types, in the order of the rows, and the file's metadata.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no Parquet, lacks a column, holds a value that the type of a
            column cannot hold, or does not fit into memory; the error names the file.
    """
    texts = [f.name for f in schema if pa.types.is_string(f.type)]
    with open_parquet(path, texts) as file:
        names = file.schema_arrow.names
        for name in schema.names:
            if names.count(name) != 1:
                raise ValueError(
                    f"{path}: columns {', '.join(names):.400}: expected {name!r} once, "
                    f"of {', '.join(schema.names)}"
                )
        size = COPIES * decoded_size(file, schema.names)
        check_memory(size, f"{path} with {file.metadata.num_rows:,} rows")
        try:
            table = file.read(columns=schema.names, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(
                f"{path}: expected a whole Parquet file; {reason(error)}"
            ) from None
    columns = []
    for field in schema:
        try:
            columns.append(cast(table[field.name], field))
        except LossyCast as error:
            raise ValueError(
                f"{path}, row {error.row}: {field.name}={error}"
            ) from None
        except TypeError as error:
            raise ValueError(f"{path}: column {field.name!r} {error}") from None
    return pa.table(columns, schema=schema.with_metadata(table.schema.metadata))


# -- casts ---------------------------------------------------------------------


def can_cast(kind: pa.DataType, expected: pa.DataType) -> bool:
    """Return whether values of a type may be held by another one without loss.

    Args:
        kind: the type of a column.
        expected: a number, a boolean, text, or a list of numbers or booleans.
    """
    if pa.types.is_dictionary(kind):
        return can_cast(kind.value_type, expected)
    if pa.types.is_null(kind):
        return True
    if _is_list(expected):
        if not _is_list(kind):
            return False
        sizes = [k.list_size for k in (kind, expected) if _is_fixed(k)]
        return len(set(sizes)) < 2 and can_cast(
            kind.value_type, expected.value_type
        )
    if pa.types.is_string(expected):
        return _is_text(kind)
    return (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    )


def cast(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    """Return a column with another type; no value changes.

    Args:
        column: the column.
        field: the expected type, and whether nulls are accepted.

    Returns:
        The column [rows] of the expected type.

    Raises:
        LossyCast: a value that the type cannot hold, or a null; it has the row.
        TypeError: no value of the column's type can be held, such as text for a number.
    """
    if not can_cast(column.type, field.type):
        raise TypeError(
            f"is {show_type(column.type)}: expected {show_type(field.type)}"
        )
    chunks, first = [], 0
    for chunk in column.chunks:
        try:
            chunks.append(_cast_chunk(chunk, field))
        except LossyCast as error:
            raise LossyCast(first + error.row, str(error)) from None
        first += len(chunk)
    return pa.chunked_array(chunks, field.type)


def _cast_chunk(array: pa.Array, field: pa.Field) -> pa.Array:
    if not field.nullable:
        _refuse_null(array, field.type)
    if pa.types.is_null(array.type):
        return array.cast(field.type)
    if _is_list(field.type):
        return _cast_list(array, field.type)
    return _cast_values(array, field.type)


def show_type(kind: pa.DataType) -> str:
    """Return a type in words, such as "fixed list of 2 float".

    Args:
        kind: the type.
    """
    if _is_fixed(kind):
        return f"fixed list of {kind.list_size} {kind.value_type}"
    if _is_list(kind):
        return f"list of {kind.value_type}"
    return str(kind)


def _refuse_null(array: pa.Array, kind: pa.DataType, size: int = 1) -> None:
    if array.null_count:
        first = int(np.argmax(np.asarray(array.is_null())))
        raise LossyCast(first // size, f"null: expected {show_type(kind)}")


def _cast_list(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return lists of one size as a list of fixed size; size 0 is a plain list."""
    size = kind.list_size if _is_fixed(kind) else 0
    lengths = np.asarray(pc.call_function("list_value_length", [array]))
    for row in np.flatnonzero(lengths != size)[:1]:
        what = f"a list of {lengths[row]} entries: expected {size}"
        raise LossyCast(int(row), what)
    if not size:
        offsets = np.zeros(len(array) + 1, np.int32)
        values = pa.array([], kind.value_type)
        return pa.ListArray.from_arrays(offsets, values, type=kind)
    values = pc.call_function("list_flatten", [array])
    _refuse_null(values, kind.value_type, size)
    values = _cast_values(values, kind.value_type, size)
    return pa.FixedSizeListArray.from_arrays(values, type=kind)


def _cast_values(array: pa.Array, kind: pa.DataType, size: int = 1) -> pa.Array:
    """Return values of another type, of which `size` belong to a row."""
    if array.type == kind:
        return array
    if _is_text(kind):
        return _as_text(array, kind)
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    target = pa.int8() if pa.types.is_boolean(kind) else kind
    source, kept = _as_number(array)
    cast_values = source.cast(target, safe=False)
    kept = kept & _equal(source, cast_values)
    if pa.types.is_boolean(kind):
        kept = kept & np.isin(np.asarray(cast_values.fill_null(0)), (0, 1))
    for place in np.flatnonzero(~kept)[:1]:
        what = (
            f"{array[place].as_py()!s:.80}: expected a value that {kind} holds"
        )
        raise LossyCast(int(place) // size, what)
    return cast_values.cast(kind)


def _as_number(array: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Return booleans and decimals as numbers, and which of them are the same."""
    kept = np.ones(len(array), bool)
    if pa.types.is_boolean(array.type):
        return array.cast(pa.int8()), kept
    if pa.types.is_decimal(array.type):
        numbers = array.cast(pa.float64())
        pairs = zip(array.to_pylist(), numbers.to_pylist(), strict=True)
        return numbers, np.array([one == other for one, other in pairs], bool)
    return array, kept


def _equal(one: pa.Array, other: pa.Array) -> np.ndarray:
    """Return [rows] where two arrays have the same number, null or NaN."""
    back = other.cast(one.type, safe=False)
    equal = np.array(pc.call_function("equal", [one, back]).fill_null(True))
    is_float = pa.types.is_floating(one.type), pa.types.is_floating(other.type)
    if all(is_float):
        nan = pc.call_function("is_nan", [one]).fill_null(False)
        return equal | np.asarray(nan)
    if any(is_float):  # the way back saturates at the largest integers
        number = one if is_float[0] else other
        size = pc.call_function("abs", [number.cast(pa.float64(), safe=False)])
        return equal & (np.asarray(size.fill_null(0)) < EXACT)
    negative = [np.asarray(x.fill_null(0)) < 0 for x in (one, other)]
    return equal & (negative[0] == negative[1])


def _as_text(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return text, for which codes of a dictionary may stand; it must be UTF-8."""
    is_coded = pa.types.is_dictionary(array.type)
    texts = array.dictionary if is_coded else array
    try:
        texts.validate(full=True)
        if not is_coded:
            return texts.cast(kind)
        sizes = pc.call_function("binary_length", [texts]).take(array.indices)
        size = pc.call_function("sum", [sizes.cast(pa.int64())]).as_py() or 0
        check_memory(COPIES * size, f"a column of {len(array):,} texts")
        return texts.cast(kind).take(array.indices)
    except pa.ArrowException as error:
        raise LossyCast(0, f"(text): expected UTF-8; {reason(error)}") from None


def _is_fixed(kind: pa.DataType) -> bool:
    return pa.types.is_fixed_size_list(kind)


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
    )
