# pyright: reportMissingImports=false
"""Files of a dataset of Minari: HDF5, Arrow or Parquet, written by anyone."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bestreply.data.columns import numbers_of
from bestreply.utils.checks import shown
from bestreply.utils.parquet import COPIES, decoded_size, open_parquet, reason
from bestreply.utils.untrusted import check_memory, check_regular, open_regular

FILE = "metadata.json"
MAX_EPISODES = 10_000_000
MAX_DEPTH = 8
"""Levels of spaces inside each other."""
READ = (
    "observations",
    "actions",
    "rewards",
    "terminations",
    "truncations",
)
"""What every episode has."""
Tree = Mapping[str, Any]
"""Arrays of an episode, in dicts as the spaces are nested."""


def _count(facts: Tree) -> int:
    count = facts.get("total_episodes")
    if type(count) is not int or not 0 < count <= MAX_EPISODES:
        raise ValueError(
            f"total_episodes={shown(count)}: expected 1 to {MAX_EPISODES:,}"
        )
    return count


def table_episodes(folder: Path, facts: Tree) -> Iterator[Tree]:
    """Yield the episodes of a folder with a folder of one table for each.

    Args:
        folder: the folder.
        facts: its metadata.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is damaged, or does not fit into memory.
    """
    for number in range(_count(facts)):
        inside = folder / str(number)
        files = [
            path
            for path in sorted(inside.iterdir())
            if path.name != FILE and not path.name.startswith((".", "_"))
        ]
        if len(files) != 1:
            raise ValueError(f"{inside}: {len(files)} tables: expected one")
        table = _read_table(files[0], str(facts.get("data_format")))
        tree = {
            name: _tree(name, table[name].combine_chunks())
            for name in table.column_names
            if name != "episode_id"
        }
        for name in READ[2:]:
            if isinstance(tree.get(name), np.ndarray):
                tree[name] = tree[name][:-1]  # padded to the observations
        yield tree


def _read_table(path: Path, kind: str) -> pa.Table:
    if kind == "parquet":
        with open_parquet(path) as file:
            names = file.schema_arrow.names
            check_memory(COPIES * decoded_size(file, names), str(path))
            return _read(path, lambda: file.read(use_threads=False))
    check_memory(COPIES * check_regular(path), str(path))
    with open_regular(path) as handle:
        return _read(path, lambda: pa.ipc.open_file(handle).read_all())


def _read(path: Path, reader: Any) -> pa.Table:
    try:
        table = reader()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(
            f"{path}: expected a whole file; {reason(error)}"
        ) from None
    if len(set(table.column_names)) < len(table.column_names):
        raise ValueError(f"{path}: expected each column once")
    return table


def _tree(name: str, array: Any, depth: int = 0) -> Any:
    """Return a column as an array, or as a dict of its fields; None for other values."""
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    if depth > MAX_DEPTH:
        raise ValueError(f"column {name!r}: expected spaces of few levels")
    if pa.types.is_struct(array.type):
        return {
            field.name: _tree(f"{name}.{field.name}", part, depth + 1)
            for field, part in zip(array.type, array.flatten(), strict=True)
        }
    pad = array.slice(0, len(array) - 1) if array.null_count else array
    with contextlib.suppress(ValueError):
        return numbers_of(name, pa.chunked_array([pad]))
    return None


def hdf5_episodes(folder: Path, facts: Tree) -> Iterator[Tree]:
    """Yield the episodes of an HDF5 file.

    Args:
        folder: the folder.
        facts: its metadata.

    Raises:
        ImportError: h5py is not installed.
        OSError: the file cannot be read.
        ValueError: it is damaged, leads elsewhere, or does not fit into memory.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            f"{folder}: expected h5py for HDF5 files: pip install 'bestreply[minari]'"
        ) from error
    path = folder / "main_data.hdf5"
    with open_regular(path) as handle:
        try:
            with h5py.File(handle, "r") as file:
                total = sum(
                    _check_links(h5py, file[name], name)
                    for name in _names(h5py, file)
                )
                check_memory(COPIES * total, str(path))
                for number in range(_count(facts)):
                    yield _groups(file[f"episode_{number}"])
        except (OSError, RuntimeError, KeyError, TypeError) as error:
            text = shown(str(error))
            raise ValueError(
                f"{path}: expected a whole HDF5 file; {text}"
            ) from None


def _names(h5py: Any, group: Any) -> list[str]:
    """Return the names in a group; links to other places and files are refused."""
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(
                f"{shown(name)}: expected no link to another place"
            )
    return list(group)


def _check_links(h5py: Any, node: Any, name: str, depth: int = 0) -> int:
    """Return the bytes of a group or an array, after a check that all is in this file."""
    if depth > MAX_DEPTH:
        raise ValueError(f"{shown(name)}: expected groups of few levels")
    if isinstance(node, h5py.Group):
        return sum(
            _check_links(h5py, node[inner], inner, depth + 1)
            for inner in _names(h5py, node)
        )
    if node.is_virtual or node.external:
        raise ValueError(f"{shown(name)}: expected data in this file")
    return node.size * node.dtype.itemsize if node.size else 0


def _groups(node: Any) -> Any:
    """Return a group as a dict of arrays; None for text and other objects."""
    if hasattr(node, "keys"):
        return {name: _groups(node[name]) for name in node}
    return node[()] if node.dtype.kind in "biuf" else None
