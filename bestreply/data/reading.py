"""Read the rows of parts that any program may have written: memory, types and ranges first."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from bestreply.data.manifest import Manifest
from bestreply.data.problem import Problem
from bestreply.data.rows import schema, to_numpy
from bestreply.utils.parquet import (
    COPIES,
    CheckedFile,
    LossyCast,
    can_cast,
    cast,
    decoded_size,
    reason,
    show_type,
)
from bestreply.utils.untrusted import check_memory

TEXTS = ("goal_source",)
"""Columns of text; few different texts in many rows."""
MAX_PADDING = 1000
"""Largest ratio of a padded dataset to its rows, above `SMALL`."""
SMALL = 1 << 30
"""Bytes of a padded dataset that are read at any ratio."""
PROB_SLACK = 1e-5
"""Largest excess of a probability over 1: a softmax in float32 is not exact."""


class RowError(ValueError):
    """A row that a dataset cannot have."""

    def __init__(self, row: int, what: str) -> None:
        super().__init__(f"row {row}: {what}")
        self.row = row
        """Number of the row in its file, from 0."""
        self.what = what


def read_groups(
    file: CheckedFile, manifest: Manifest, name: str, columns: Sequence[str]
) -> Iterator[tuple[int, pa.Table]]:
    """Read a part, one row group after the other.

    Args:
        file: the open part, with `TEXTS` as codes.
        manifest: the dataset's manifest.
        name: the part's name in errors.
        columns: names of the columns.

    Returns:
        The number of the first row, and the rows as the file has them.

    Raises:
        ValueError: a row group is broken, or does not fit into memory.
    """
    first = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        size = COPIES * decoded_size(file, columns, group)
        check_memory(size, f"{name}, row group {group} of {rows:,} rows")
        try:
            table = file.read_row_group(group, columns=list(columns))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ValueError(
                f"{name}: expected a whole Parquet file; {reason(error)}"
            ) from None
        if len(table) != rows:
            raise ValueError(
                f"{name}: {len(table)} rows in row group {group}: expected {rows}"
            )
        yield first, table.select(list(columns))
        first += rows


def conform(
    table: pa.Table, manifest: Manifest, first_row: int = 0
) -> pa.Table:
    """Return rows with the types of `schema`, whichever program wrote them.

    Lists of another kind, wider numbers, dictionary codes and other names of list
    entries are accepted where no value changes.

    Args:
        table: rows with columns of `schema`, whose types `can_cast` accepts.
        manifest: the dataset's manifest.
        first_row: number of the first row in its file.

    Returns:
        The rows in their order.

    Raises:
        RowError: a value that its column's type cannot hold, or a null.
    """
    fields = schema(manifest)
    fields = pa.schema([fields.field(name) for name in table.column_names])
    columns = []
    for field in fields:
        try:
            columns.append(cast(table[field.name], field))
        except LossyCast as error:
            row = first_row + error.row
            raise RowError(row, f"{field.name}={error}") from None
    return pa.table(columns, schema=fields)


def check_size(manifest: Manifest, what: str) -> None:
    """Refuse a dataset whose padded episodes do not fit into memory.

    Args:
        manifest: the dataset's manifest; its row counts are those of the files.
        what: the dataset, for the error.

    Raises:
        ValueError: the arrays take more than the free memory, or consist of padding
            almost alone; the error says how much.
    """
    check_seats(manifest, what)
    check_memory(_padded(manifest), f"{what}: {_sizes(manifest)}")


def check_seats(manifest: Manifest, what: str) -> None:
    """Refuse seats whose orders do not fit into memory, and episodes of padding alone.

    Args:
        manifest: the dataset's manifest.
        what: the dataset, for the error.

    Raises:
        ValueError: as in `check_size`.
    """
    seats, episodes = manifest.num_players, max(manifest.episodes, 1)
    sizes = f"{what}: {_sizes(manifest)}"
    check_memory(16 * seats * seats, sizes)
    stored = MAX_PADDING * manifest.rows * _entry(manifest)
    if _padded(manifest) > max(SMALL, stored):
        longest = MAX_PADDING * manifest.rows // (episodes * seats)
        raise ValueError(
            f"{sizes}: expected max_steps of at most {longest:,}, "
            f"{MAX_PADDING} times the mean length of an episode"
        )


def _padded(manifest: Manifest) -> int:
    """Return the bytes of the arrays of `rows.empty_arrays`, of one episode at least."""
    steps = max(manifest.episodes, 1) * (manifest.max_steps + 1)
    return steps * manifest.num_players * _entry(manifest)


def _entry(manifest: Manifest) -> int:
    """Return the bytes of one step of one seat."""
    return 4 * manifest.obs_size + manifest.num_actions + 32


def _sizes(manifest: Manifest) -> str:
    return (
        f"episodes={manifest.episodes}, max_steps={manifest.max_steps}, "
        f"num_players={manifest.num_players}, entries of an observation: "
        f"{manifest.obs_size}"
    )


def check_ranges(
    table: pa.Table, manifest: Manifest, first_row: int = 0
) -> None:
    """Refuse values that no game and no player has.

    Args:
        table: rows with columns of `schema`, any number of them.
        manifest: the dataset's manifest.
        first_row: number of the first row in its file.

    Raises:
        RowError: for the first row with an episode, step, seat, action, player, goal,
            goal source or probability out of range, with an illegal action, or with a
            reward or an observation that is not finite.
    """
    limits = {
        "episode": (0, manifest.episodes),
        "step": (0, manifest.max_steps),
        "seat": (0, manifest.num_players),
        "action": (0, manifest.num_actions),
        "others": (-1, manifest.num_actions),
        "players": (0, len(manifest.roster)),
        "goal": (-1, len(manifest.goals)),
        "goal_source": (0, 128),
    }
    columns = {name: to_numpy(table[name]) for name in table.column_names}
    for name, values in columns.items():
        if name in limits:
            low, high = limits[name]
            _refuse(name, (values < low) | (values >= high), table, first_row)
        elif name == "prob":
            known = np.asarray(table[name].is_valid())
            fits = (values > 0) & (values <= 1 + PROB_SLACK)
            _refuse(name, known & ~fits, table, first_row)
        elif name in ("obs", "next_obs", "reward"):
            _refuse(name, ~np.isfinite(values), table, first_row)
    if "action" in columns and "legal" in columns:
        action = columns["action"]
        legal = columns["legal"][np.arange(len(action)), action]
        _refuse("action", ~legal, table, first_row)


EXPECTED = {
    "episode": "a number below the episodes in the manifest",
    "step": "at least 0, below max_steps",
    "seat": "at least 0, below num_players",
    "action": "a legal action of the manifest",
    "others": "actions of the manifest, or -1",
    "players": "indices into the roster",
    "goal": "an index into the goals, or -1",
    "goal_source": "none, event or no_event",
    "prob": "above 0 and at most 1, or null",
    "reward": "a finite number",
    "obs": "finite numbers",
    "next_obs": "finite numbers",
}
"""Condition on each column, in words."""


def _refuse(
    name: str, bad: np.ndarray, table: pa.Table, first_row: int
) -> None:
    rows = np.flatnonzero(bad.any(axis=tuple(range(1, bad.ndim))))
    if len(rows):
        row = int(rows[0])
        value = f"{table[name][row].as_py()!r:.80}"
        what = f"{name}={value}: expected {EXPECTED[name]}"
        raise RowError(first_row + row, what)


def schema_problems(
    columns: pa.Schema, manifest: Manifest, file: str
) -> Iterator[Problem]:
    """Yield missing, repeated and additional columns, and columns of another type.

    Args:
        columns: the columns of the file.
        manifest: the dataset's manifest.
        file: name of the file in the problems.

    Returns:
        The problems, in the order of the columns.
    """
    expected = schema(manifest)
    mend = "Write it as in docs/files.md, or collect the data again"
    for field in expected:
        name, kind = field.name, show_type(field.type)
        count = columns.names.count(name)
        if count == 0:
            what = f"column {name!r} is missing: expected {kind}"
            yield Problem("missing_column", file, what, mend)
        elif count > 1:
            what = f"column {name!r} occurs {count} times: expected once"
            yield Problem("column_twice", file, what, mend)
        elif not can_cast(columns.field(name).type, field.type):
            found = show_type(columns.field(name).type)
            what = f"column {name!r} is {found}: expected {kind}"
            yield Problem("column_type", file, what, mend)
    for name in dict.fromkeys(columns.names):
        if name not in expected.names:
            what = f"column {name!r} is not part of the format"
            yield Problem("extra_column", file, what, f"Drop it. {mend}")
