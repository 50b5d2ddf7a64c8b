"""Write the rows of a part of a dataset as Parquet, each one checked before."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bestreply.data import rows
from bestreply.data.manifest import Manifest
from bestreply.data.problem import Report
from bestreply.data.row_checks import check_rows, digest


def write_part(
    path: Path,
    arrays: dict[str, np.ndarray],
    manifest: Manifest,
    first_episode: int,
) -> int:
    """Write the rows of a part, whole episodes in each row group.

    Args:
        path: the file to write.
        arrays: arrays of the episodes by name, as `rows.check_arrays` returns them.
        manifest: the dataset's manifest.
        first_episode: number of the first episode.

    Returns:
        The number of rows.

    Raises:
        ValueError: a row is invalid.
    """
    count = 0
    with contextlib.ExitStack() as stack:
        writer = None
        for table in rows.to_tables(arrays, manifest, first_episode):
            _refuse_problems(table, manifest, first_episode)
            if writer is None:
                encoding: Any = _dictionary_columns(table)
                writer = stack.enter_context(
                    pq.ParquetWriter(
                        path,
                        table.schema,
                        compression="zstd",
                        use_dictionary=encoding,
                    )
                )
            writer.write_table(table, row_group_size=len(table))
            count += len(table)
    return count


def _refuse_problems(
    table: pa.Table, manifest: Manifest, first_episode: int
) -> None:
    report = Report()
    episode = table["episode"]
    first, last = episode[0].as_py(), episode[-1].as_py()
    span = first, last - first + 1
    check_rows(digest(table), manifest, *span, report, "episodes to append")
    problems = report.result()
    if problems:
        head = f"episodes: expected valid rows (their numbers begin at {first_episode}):"
        raise ValueError("\n".join(map(str, [head, *problems])))


def _dictionary_columns(table: pa.Table) -> list[str]:
    """Return the columns to encode by dictionary; it is slow for observations of many values."""
    values = table["obs"].chunk(0).flatten().slice(0, 1 << 16)
    few_values = len(values.unique()) <= len(values) / 8
    return [  # Parquet has its own names for the columns of lists
        f"{field.name}.list.element"
        if pa.types.is_nested(field.type)
        else field.name
        for field in table.schema
        if few_values or field.name not in ("obs", "next_obs")
    ]
