"""The file of an exported agent: programs and arrays in one safetensors file.

8 bytes with the length of a JSON header, the header, and the data: each array, and each
program as an array of bytes. The header's metadata holds facts about the programs and
the SHA-256 of the data. Reading it needs NumPy alone and runs nothing.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from bestreply.utils.files import write_bytes
from bestreply.utils.untrusted import decode, parse_json, read_bytes

KEY = "bestreply_export"
"""Entry of the header's metadata that holds the facts, as JSON."""
TYPES = {
    "U8": "|u1",
    "I8": "|i1",
    "BOOL": "|b1",
    "U32": "<u4",
    "I32": "<i4",
    "F32": "<f4",
}
"""NumPy type of each type of the header."""
MAX_HEADER_BYTES = 16 << 20
"""Largest header that is read."""


def write_container(
    path: str | Path, arrays: dict[str, np.ndarray], facts: dict[str, Any]
) -> Path:
    """Write arrays and facts as one file.

    Args:
        path: the file to write or replace.
        arrays: the arrays by name, of the types in `TYPES`.
        facts: plain data; the digest is added.

    Returns:
        The file.

    Raises:
        OSError: it cannot be written.
        ValueError: an array is of another type.
    """
    names = {np.dtype(place): name for name, place in TYPES.items()}
    header, parts, end = {}, [], 0
    for name, array in arrays.items():
        kind = names.get(array.dtype)
        if kind is None:
            raise ValueError(
                f"{name}: dtype={array.dtype}: expected one of {', '.join(TYPES)}"
            )
        raw = np.ascontiguousarray(array).tobytes()
        padding = bytes(-len(raw) % 8)  # offsets stay multiples of 8
        offsets = [end, end + len(raw)]
        shape = list(array.shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": offsets}
        if padding:
            start, end = offsets[1], offsets[1] + len(padding)
            header[f"padding.{name}"] = {
                "dtype": "U8",
                "shape": [len(padding)],
                "data_offsets": [start, end],
            }
        end = offsets[1] + len(padding)
        parts += [raw, padding]
    data = b"".join(parts)
    facts = facts | {"sha256": hashlib.sha256(data).hexdigest()}
    header["__metadata__"] = {KEY: json.dumps(facts)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    write_bytes(path, len(text).to_bytes(8, "little") + text + data)
    return Path(path)


def read_container(
    path: str | Path,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the facts of a file.

    Args:
        path: the file.

    Returns:
        The arrays by name, which cannot be written to, and the facts.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file, or it is damaged.
    """
    content = read_bytes(path)
    size = int.from_bytes(content[:8], "little")
    if not 2 <= size <= min(len(content) - 8, MAX_HEADER_BYTES):
        raise _not_whole(path, "the length of its header does not fit the file")
    try:
        header = parse_json(decode(content[8 : 8 + size]))
    except ValueError as error:
        raise _not_whole(path, f"header: {error}") from None
    data = memoryview(content)[8 + size :]
    facts = _facts(path, header)
    if hashlib.sha256(data).hexdigest() != facts.get("sha256"):
        raise _not_whole(path, "its content differs from its SHA-256")
    arrays = {}
    for name, entry in header.items():
        try:
            arrays[name] = _array(entry, data)
        except (KeyError, TypeError, ValueError):
            raise _not_whole(
                path, f"array {name!r:.80} does not fit the file"
            ) from None
    return arrays, facts


def _facts(path: str | Path, header: Any) -> dict[str, Any]:
    try:
        facts = parse_json(header.pop("__metadata__")[KEY])
    except (AttributeError, KeyError, TypeError, ValueError):
        facts = None
    if not isinstance(facts, dict):
        raise ValueError(
            f"{path}: expected an exported agent, a file that run.export(path) or "
            "'bestreply export' wrote"
        )
    return facts


def _array(entry: dict[str, Any], data: memoryview) -> np.ndarray:
    """Return an array of the data; raise where its entry does not fit."""
    kind, shape = np.dtype(TYPES[entry["dtype"]]), entry["shape"]
    begin, end = entry["data_offsets"]
    if not all(type(x) is int and x >= 0 for x in (begin, end, *shape)):
        raise ValueError(shape)
    size = math.prod(shape) * kind.itemsize
    if end > len(data) or begin + size != end:
        raise ValueError(shape)
    return np.frombuffer(data[begin:end], kind).reshape(shape)


def _not_whole(path: str | Path, reason: str) -> ValueError:
    return ValueError(
        f"{path}: expected a whole exported agent; {reason}. Export the run again: "
        "bestreply export RUN FILE"
    )
