"""Sizes in the footer of a Parquet file, read without PyArrow.

PyArrow ends the process where a damaged footer describes an impossible column
(`FileMetaData.row_group(...).column(...)` of PyArrow). Format: Thrift's compact
protocol; field numbers from parquet-format's parquet.thrift.
"""

import struct
from typing import IO, Any, NamedTuple

TYPES = (
    "BOOLEAN",
    "INT32",
    "INT64",
    "INT96",
    "FLOAT",
    "DOUBLE",
    "BYTE_ARRAY",
    "FIXED_LEN_BYTE_ARRAY",
)
"""Parquet's types by their number."""
MAX_DEPTH = 30
TRUE, FALSE, BYTE, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = (
    *(1, 2, 3, 7, 8, 9, 10, 11, 12),
)
"""Types of the compact protocol; 4 to 6 are integers."""


class Chunk(NamedTuple):
    """A column of a row group."""

    path: tuple[str, ...]
    physical_type: str
    entries: int
    """Number of entries, those of lists included."""
    uncompressed_bytes: int


def read_chunks(file: IO[bytes]) -> list[list[Chunk]]:
    """Return the columns of each row group.

    Args:
        file: an open Parquet file; its position changes.

    Returns:
        Columns by row group, as the footer declares them.

    Raises:
        ValueError: it has no such footer.
    """
    try:
        file.seek(-8, 2)
        size = int.from_bytes(file.read(4), "little")
        file.seek(-8 - size, 2)
        footer = _Reader(file.read(size)).fields()
        return [[_chunk(c) for c in group[1]] for group in footer[4]]
    except (
        *(OSError, LookupError, TypeError, ValueError),
        *(AttributeError, struct.error),
    ):
        raise ValueError("its footer is damaged") from None


def _chunk(column: dict[int, Any]) -> Chunk:
    facts = column[3]
    path = tuple(part.decode("utf-8") for part in facts[3])
    entries, size = facts[5], facts[6]
    if min(entries, size) < 0 or facts[1] < 0:
        raise ValueError("a negative size")
    return Chunk(path, TYPES[facts[1]], entries, size)


class _Reader:
    """Decodes Thrift's compact protocol into dicts by field number."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def byte(self) -> int:
        self.place += 1
        return self.data[self.place - 1]

    def varint(self) -> int:
        value, shift = 0, 0
        while shift < 70:
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
        raise ValueError("an integer of more than 64 bits")

    def integer(self) -> int:
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def binary(self) -> bytes:
        size = self.varint()
        start, self.place = self.place, self.place + size
        if self.place > len(self.data):
            raise ValueError("a text beyond the end")
        return self.data[start : self.place]

    def fields(self, depth: int = 0) -> dict[int, Any]:
        """Return the fields of a struct."""
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
        number, found = 0, {}
        while head := self.byte():
            step, kind = head >> 4, head & 15
            number = number + step if step else self.integer()
            is_flag = kind in (TRUE, FALSE)
            found[number] = kind == TRUE if is_flag else self.value(kind, depth)
        return found

    def value(self, kind: int, depth: int) -> Any:
        """Return a value of a type; a flag in a list is one byte."""
        if kind in (TRUE, FALSE, BYTE):
            return self.byte()
        if kind in (4, 5, 6):
            return self.integer()
        if kind == DOUBLE:
            self.place += 8
            return struct.unpack_from("<d", self.data, self.place - 8)[0]
        if kind == BINARY:
            return self.binary()
        if kind in (LIST, SET):
            return self.entries(depth + 1)
        if kind == MAP:
            return self.pairs(depth + 1)
        if kind == STRUCT:
            return self.fields(depth + 1)
        raise ValueError(f"type {kind}")

    def entries(self, depth: int) -> list[Any]:
        """Return a list."""
        head = self.byte()
        count = head >> 4 if head >> 4 < 15 else self.varint()
        return [self.value(head & 15, depth) for _ in range(count)]

    def pairs(self, depth: int) -> None:
        """Skip a map."""
        if count := self.varint():
            kinds = self.byte()
            for _ in range(count):
                self.value(kinds >> 4, depth)
                self.value(kinds & 15, depth)
