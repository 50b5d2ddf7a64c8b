"""Write the rows of a part of a dataset as Parquet, each one checked before."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bestreply.data import rows
from bestreply.data.manifest import Manifest
from bestreply.data.problem import Report
from bestreply.data.row_checks import check_rows, digest

if TYPE_CHECKING:
    from bestreply.types import Episodes


class NewPart:
    """A part that is being written, whole episodes in each row group.

    Row groups do not depend on how many episodes are added at once.
    """

    def __init__(
        self, path: Path, manifest: Manifest, first_episode: int
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.first_episode = first_episode
        self.episodes = self.steps = self.rows = self.labelled = 0
        self.seconds: float | None = None  # duration of play, if it is known
        self._pending: list[dict[str, np.ndarray]] = []
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> "NewPart":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def add(self, episodes: "Episodes") -> None:
        """Write episodes behind those that were added before.

        Args:
            episodes: the episodes, in any number of steps up to `max_steps`.

        Raises:
            ValueError: for other shapes, or an invalid row.
        """
        self.add_arrays(rows.check_arrays(episodes, self.manifest))

    def add_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Write episodes as `rows.check_arrays` returns them.

        Args:
            arrays: arrays of the episodes by name.

        Raises:
            ValueError: for an invalid row.
        """
        steps = arrays["action"].shape[1]
        if self._pending and self._pending[0]["action"].shape[1] != steps:
            self.flush()
        self._pending.append(arrays)
        size = rows.episodes_of_group(self.manifest, steps)
        waiting = sum(len(part["length"]) for part in self._pending)
        if waiting >= size:
            whole = self._joined()
            last = waiting - waiting % size
            for start in range(0, last, size):
                self._write(_span(whole, start, start + size))
            self._pending = [_span(whole, last, waiting)]

    def flush(self) -> None:
        """Write the episodes that wait for a full row group."""
        whole = self._joined()
        if whole and len(whole["length"]):
            self._write(whole)
        self._pending = []

    def _joined(self) -> dict[str, np.ndarray]:
        if len(self._pending) < 2:
            return self._pending[0] if self._pending else {}
        return {
            name: np.concatenate([part[name] for part in self._pending])
            for name in self._pending[0]
        }

    def _write(self, arrays: dict[str, np.ndarray]) -> None:
        first = self.first_episode + self.episodes
        table = rows.to_table(arrays, self.manifest, first)
        _refuse_problems(table, self.manifest, self.first_episode)
        if self._writer is None:
            encoding: Any = _dictionary_columns(table)
            self._writer = pq.ParquetWriter(
                self.path,
                table.schema,
                compression="zstd",
                use_dictionary=encoding,
            )
        self._writer.write_table(table, row_group_size=len(table))
        self.rows += len(table)
        self.steps += int(arrays["length"].sum())
        self.episodes += len(arrays["length"])
        self.labelled += rows.count_labelled(arrays)


def _span(
    arrays: dict[str, np.ndarray], start: int, end: int
) -> dict[str, np.ndarray]:
    return {name: x[start:end] for name, x in arrays.items()}


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
