"""Validation of datasets that were edited, copied, truncated or written by other programs."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from bestreply.data.equal_parts import equal_part_problems
from bestreply.data.manifest import FILE, Manifest, Part, read_manifest
from bestreply.data.problem import LOGGER, RESTORE, Problem, Report
from bestreply.data.reading import (
    TEXTS,
    RowError,
    check_seats,
    conform,
    read_groups,
    schema_problems,
)
from bestreply.data.row_checks import check_rows, digest
from bestreply.data.rows import schema
from bestreply.utils.checks import checked_path
from bestreply.utils.files import sha256
from bestreply.utils.parquet import (
    CheckedFile,
    open_parquet,
)
from bestreply.utils.untrusted import check_regular

if TYPE_CHECKING:
    from bestreply.data.store import Store

CHECKED_ROWS = 1 << 19
"""Rows of whole episodes that are checked at once, to bound the memory used."""


def validate(path: "str | os.PathLike | Store") -> list[Problem]:
    """Return all errors of a dataset; an invalid dataset does not raise.

    Parts that the manifest does not name are left over from a crash and are ignored.

    Args:
        path: the dataset's folder, or the dataset.

    Returns:
        The first errors of each kind, and one entry that counts the rest of it. Empty
        for a valid dataset.

    Raises:
        ValueError: `path` is neither a path nor a dataset.
    """
    report = Report()
    given: Any = path
    what = "a dataset, or the path of its folder: br.validate('datasets/first')"
    folder = checked_path("path", getattr(given, "path", given), what)
    manifest, problems = read_manifest(folder)
    report.add(*problems)
    if manifest is None:
        return report.result()
    try:
        check_seats(manifest, "dataset")
    except ValueError as error:
        report.add(Problem("too_large", FILE, str(error), RESTORE))
        return report.result()
    for part in manifest.parts:
        try:
            _check_part(folder, part, manifest, report)
        except Exception as error:  # a broken file can fail anywhere
            what = f"it cannot be checked ({type(error).__name__}: {error})"
            report.add(Problem("unreadable", part.file, what, RESTORE))
    if not report.problems:
        report.add(*equal_part_problems(folder, manifest))
    return report.result()


def _check_part(
    folder: Path, part: Part, manifest: Manifest, report: Report
) -> None:
    path = folder / part.file
    if not path.exists():
        what = f"the manifest names it, but it is not in {folder}"
        report.add(Problem("missing_part", part.file, what, RESTORE))
        return
    try:
        check_regular(path)
        digits = sha256(path)
        if digits != part.sha256:
            what = f"SHA-256={digits[:12]}...: expected {part.sha256[:12]}..., as in the manifest"
            report.add(Problem("checksum", part.file, what, RESTORE))
        with open_parquet(path, TEXTS) as file:
            _check_file(file, part, manifest, report)
    except (OSError, ValueError) as error:
        what = f"it cannot be read as Parquet ({error})"
        report.add(Problem("unreadable", part.file, what, RESTORE))


def _check_file(
    file: CheckedFile, part: Part, manifest: Manifest, report: Report
) -> None:
    """Check the rows of a part, about `CHECKED_ROWS` of whole episodes at a time."""
    waiting, limit = [], CHECKED_ROWS
    episode, row, steps = part.first_episode, 0, 0
    end = episode + part.episodes
    for digest_of_group in _digests(file, part, manifest, report):
        if digest_of_group is None:
            return
        waiting.append(digest_of_group)
        if sum(len(group["episode"]) for group in waiting) < limit:
            continue
        waiting = [_joined(waiting)]
        cut = _whole_episodes(waiting[0], episode, end)
        if not cut:
            limit *= 2
            continue
        whole, rest = (
            {name: column[span] for name, column in waiting[0].items()}
            for span in (slice(cut), slice(cut, None))
        )
        following = int(rest["episode"][0])
        span = episode, following - episode
        steps += check_rows(whole, manifest, *span, report, part.file, row)
        waiting, episode, row = [rest], following, row + cut
    if not waiting:
        return
    span = episode, end - episode
    steps += check_rows(
        _joined(waiting), manifest, *span, report, part.file, row
    )
    if steps != part.steps:
        what = f"{steps} joint steps: expected {part.steps}, as in the manifest"
        report.add(Problem("counts", part.file, what, RESTORE))


def _joined(digests: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {
        name: np.concatenate([columns[name] for columns in digests])
        for name in digests[0]
    }


def _whole_episodes(rows: dict[str, np.ndarray], first: int, end: int) -> int:
    """Return the number of rows before the last episode; 0 if rows are not in order."""
    episode = rows["episode"]
    ordered = bool((np.diff(episode) >= 0).all())
    if not ordered or episode[0] < first or episode[-1] >= end:
        return 0
    return int(np.searchsorted(episode, episode[-1]))


def _digests(
    file: CheckedFile, part: Part, manifest: Manifest, report: Report
) -> Iterator[dict[str, np.ndarray] | None]:
    """Yield a digest of each row group; None where columns cannot be read as rows."""
    count = file.metadata.num_rows
    if count != part.rows:
        what = f"{count} rows: expected {part.rows}, as in the manifest"
        report.add(Problem("counts", part.file, what, RESTORE))
    problems = list(schema_problems(file.schema_arrow, manifest, part.file))
    report.add(*problems)
    if any(problem.kind != "extra_column" for problem in problems):
        yield None
        return
    names = schema(manifest).names
    for first, table in read_groups(file, manifest, part.file, names):
        nulls = list(_null_problems(table, part.file, first))
        report.add(*nulls)
        if nulls:
            yield None
            return
        try:
            yield digest(conform(table, manifest, first))
        except RowError as error:
            where = f"{part.file}, row {error.row}"
            report.add(Problem("cast", where, error.what, LOGGER))
            yield None
            return


def _null_problems(
    table: pa.Table, file: str, first_row: int
) -> Iterator[Problem]:
    for name in table.column_names:
        column = table[name]
        flags = np.asarray(column.is_null())
        if pa.types.is_fixed_size_list(column.type) and not flags.any():
            entries = column.combine_chunks().flatten()
            if entries.null_count:
                nulls = np.asarray(entries.is_null())
                flags = nulls.reshape(len(column), -1).any(1)
        if name != "prob" and flags.any():
            where = f"{file}, row {first_row + flags.argmax()}"
            what = f"{name}=null, and in {flags.sum() - 1} more rows: expected a value"
            yield Problem("null", where, what, LOGGER)
