"""Files of named NumPy arrays (.npz) that anyone may have written: sizes first, no pickle."""

import math
import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from bestreply.utils.checks import nearly_named, shown
from bestreply.utils.console import warn
from bestreply.utils.files import replacing
from bestreply.utils.untrusted import check_memory, open_regular

MAX_MEMBERS = 1_000
MAX_HEADER = 10_000
"""Bytes of the header of an array."""
LAST_CHARACTER = 0x10FFFF
SURROGATES = 0xD800 >> 11
COPIES = 3
"""Copies of the arrays that exist while a dataset is made of them."""


def read_npz(
    path: str | os.PathLike, names: Iterable[str]
) -> dict[str, np.ndarray]:
    """Return arrays of an .npz file. No object is unpickled.

    Args:
        path: the file.
        names: arrays to read, those that the file has; others are not opened, and a
            warning lists them.

    Returns:
        The arrays of numbers, booleans or text by name.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no .npz file, is damaged, does not fit into memory, an array
            holds Python objects, or the name of one is nearly that of a missing one.
    """
    with open_regular(path) as handle:
        try:
            # An offset of a damaged archive can lie before the file: an OSError.
            with zipfile.ZipFile(handle) as archive:
                members = _members(path, archive, set(names))
                return {
                    name: _array(path, archive, member)
                    for name, member in members.items()
                }
        except (
            zipfile.BadZipFile,
            zlib.error,
            OSError,
            NotImplementedError,
            RuntimeError,  # encrypted
            EOFError,
            OverflowError,
            UnicodeDecodeError,
        ) as error:
            raise ValueError(
                f"{path}: expected a whole .npz file; {shown(str(error))}"
            ) from None


def _members(
    path: str | os.PathLike, archive: zipfile.ZipFile, names: set[str]
) -> dict[str, zipfile.ZipInfo]:
    entries = archive.infolist()
    if len(entries) > MAX_MEMBERS:
        raise ValueError(
            f"{path}: {len(entries):,} arrays: expected at most {MAX_MEMBERS:,}"
        )
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        name = entry.filename.removesuffix(".npy")
        if name in found:
            raise ValueError(f"{path}: expected {shown(name)} once")
        found[name] = entry
    for name, meant in nearly_named(found, names):
        raise ValueError(
            f"{path}: array {shown(name)}: did you mean {meant!r}? Rename it or leave "
            "it out"
        )
    if unread := [name for name in found if name not in names]:
        warn(f"{path}: not read: {shown(unread)}")
    members = {name: found[name] for name in found if name in names}
    needed = sum(entry.file_size for entry in members.values())
    check_memory(COPIES * needed, f"{path} with {len(members)} arrays")
    return members


def _array(
    path: str | os.PathLike, archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> np.ndarray:
    """Read an array after a check of its header against the size of its bytes."""
    where = f"{path}: {shown(member.filename)}"
    with archive.open(member) as stream:
        try:
            version = np.lib.format.read_magic(stream)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, fortran, dtype = read_header(stream, MAX_HEADER)
        except (ValueError, KeyError, RecursionError, MemoryError) as error:
            raise ValueError(
                f"{where}: expected an array of NumPy; {shown(str(error))}"
            ) from None
        if dtype.hasobject or dtype.kind not in "biufU":
            raise ValueError(
                f"{where} of type {shown(str(dtype))}: expected numbers, booleans or "
                "text; Python objects are not unpickled"
            )
        size = math.prod(shape) * dtype.itemsize
        if min([0, *shape]) < 0 or size > member.file_size:
            raise ValueError(
                f"{where} of shape {shown(shape)}: expected as many entries as the "
                "file holds"
            )
        data = stream.read(size)
    if len(data) != size:
        raise ValueError(f"{where}: expected {size:,} bytes, not {len(data):,}")
    if dtype.kind == "U":
        _check_text(where, np.frombuffer(data, f"{dtype.str[0]}u4"))
    array = np.frombuffer(data, dtype)
    order = "F" if fortran else "C"
    return array.reshape(shape, order=order)


def _check_text(where: str, points: np.ndarray) -> None:
    """Refuse numbers that are no characters."""
    if ((points > LAST_CHARACTER) | ((points >> 11) == SURROGATES)).any():
        raise ValueError(f"{where}: expected text of whole characters")


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as an .npz file, atomically.

    Args:
        path: the file.
        arrays: numbers, booleans or text by name.
    """
    with replacing(path) as beside, open(beside, "wb") as file:
        savez = np.savez_compressed
        savez(file, allow_pickle=False, **dict(arrays))
