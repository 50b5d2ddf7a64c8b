"""What is wrong with a dataset, and where: for data that comes from elsewhere, was edited, copied or cut."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bestreply.data.manifest import Manifest, Part, read_manifest
from bestreply.data.problem import LOGGER, RESTORE, Problem, Report
from bestreply.data.row_checks import check_rows, digest
from bestreply.data.rows import schema
from bestreply.utils.files import sha256

__all__ = ["Problem", "schema_problems", "validate"]


def validate(path: str | os.PathLike) -> list[Problem]:
    """Everything that is wrong with the dataset at `path`; an empty list where nothing is.

    Never raises for a bad dataset. Of each kind the first few are named one by one, and one more entry counts
    the rest. Parts that the manifest does not name are left over from a crash and not looked at.
    """
    report = Report()
    folder = Path(path)
    manifest, problems = read_manifest(folder)
    for problem in problems:
        report.add(problem)
    if manifest is None:
        return report.result()
    for part in manifest.parts:
        try:
            _check_part(folder, part, manifest, report)
        except (
            Exception
        ) as error:  # a broken file can fail anywhere: name the file and go on
            what = f"it cannot be checked ({type(error).__name__}: {error})"
            report.add(Problem("unreadable", part.file, what, RESTORE))
    return report.result()


def _check_part(
    folder: Path, part: Part, manifest: Manifest, report: Report
) -> None:
    path = folder / part.file
    if not path.is_file():
        what = f"the manifest names it, but it is not in {folder}"
        report.add(Problem("missing_part", part.file, what, RESTORE))
        return
    digits = sha256(path)
    if digits != part.sha256:
        begin = f"its SHA-256 begins {digits[:12]}, the manifest's {part.sha256[:12]}"
        what = f"{begin}: it was changed, cut or replaced"
        report.add(Problem("checksum", part.file, what, RESTORE))
    try:
        with pq.ParquetFile(path) as file:
            tables = _digest_file(file, part, manifest, report)
    except (OSError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        what = f"it cannot be read as Parquet ({reason})"
        report.add(Problem("unreadable", part.file, what, RESTORE))
        return
    if tables:
        rows = {
            name: np.concatenate([table[name] for table in tables])
            for name in tables[0]
        }
        check_rows(
            rows,
            manifest,
            part.first_episode,
            part.episodes,
            report,
            part.file,
            part.steps,
        )


def _digest_file(
    file: pq.ParquetFile, part: Part, manifest: Manifest, report: Report
) -> list[dict[str, Any]]:
    """A digest of each row group; none where the columns are so wrong that rows can't be looked at."""
    found = file.metadata.num_rows
    if found != part.rows:
        report.add(
            Problem(
                "counts",
                part.file,
                f"it holds {found} rows, the manifest says {part.rows}",
                RESTORE,
            )
        )
    faults = list(schema_problems(file.schema_arrow, manifest, part.file))
    for problem in faults:
        report.add(problem)
    if any(problem.kind != "extra_column" for problem in faults):
        return []
    digests = []
    for index in range(file.num_row_groups):
        table = file.read_row_group(index, columns=schema(manifest).names)
        nulls = list(
            _null_problems(
                table, part.file, sum(len(d["episode"]) for d in digests)
            )
        )
        for problem in nulls:
            report.add(problem)
        if nulls:
            return []
        digests.append(digest(table))
    return digests


def schema_problems(
    found: pa.Schema, manifest: Manifest, file: str
) -> Iterator[Problem]:
    """Yields missing columns, columns too many, and columns of the wrong type or list size."""
    wanted = schema(manifest)
    mend = "Write it as docs/files.md says, or collect the data again"
    for field in wanted:
        count = found.names.count(field.name)
        if count == 0:
            what = f"there is no column {field.name!r}; expected: {field.name}, {_show_type(field.type)}"
            yield Problem("missing_column", file, what, mend)
        elif count > 1:
            yield Problem(
                "column_twice",
                file,
                f"the column {field.name!r} is there {count} times",
                mend,
            )
        elif not _same_type(found.field(field.name).type, field.type):
            kind = _show_type(found.field(field.name).type)
            what = f"column {field.name!r} is {kind}; expected: {_show_type(field.type)}"
            yield Problem("column_type", file, what, mend)
    for name in dict.fromkeys(found.names):
        if name not in wanted.names:
            yield Problem(
                "extra_column",
                file,
                f"there is a column {name!r} that the format does not have",
                f"Drop it. {mend}",
            )


def _same_type(found: pa.DataType, expected: pa.DataType) -> bool:
    """Tools differ in whether nulls are allowed and how a list's entries are called: that is no fault."""
    if pa.types.is_fixed_size_list(expected):
        same_size = (
            pa.types.is_fixed_size_list(found)
            and found.list_size == expected.list_size
        )
        return same_size and found.value_type == expected.value_type
    if pa.types.is_list(expected):
        return pa.types.is_list(found) and found.value_type == expected.value_type
    if pa.types.is_string(expected):
        return pa.types.is_string(found) or pa.types.is_large_string(found)
    return found == expected


def _show_type(kind: pa.DataType) -> str:
    if pa.types.is_fixed_size_list(kind):
        return f"fixed list of {kind.list_size} {kind.value_type}"
    return str(kind)


def _null_problems(
    table: pa.Table, file: str, first_row: int
) -> Iterator[Problem]:
    for name in table.column_names:
        column = table[name]
        flags = np.asarray(column.is_null())
        if pa.types.is_fixed_size_list(column.type) and not flags.any():
            entries = np.asarray(column.combine_chunks().flatten().is_null())
            flags = entries.reshape(len(column), column.type.list_size).any(1)
        if name != "prob" and flags.any():
            where = f"{file}, row {first_row + int(flags.argmax())}"
            yield Problem(
                "null",
                where,
                f"{name} is null, here and in {int(flags.sum()) - 1} more rows; expected: a value",
                LOGGER,
            )
