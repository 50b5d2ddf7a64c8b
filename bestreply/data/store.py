"""Datasets on disk: a folder of Parquet files and a manifest, written whole, appended to, read by anything
(docs/files.md).

    store = create_store("datasets/mine", game, roster=[{"name": "nearest_stag", "version": 1}, ...])
    store.append(episodes, seed=0)
    episodes = open_store("datasets/mine").episodes()

Only Parquet and JSON are read: nothing in a dataset is ever run.
"""

import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bestreply.data import rows
from bestreply.data.manifest import (
    FILE,
    FORMAT,
    Manifest,
    Part,
    part_name,
    plain,
    read_manifest,
)
from bestreply.data.problem import Report
from bestreply.data.row_checks import check_rows, digest
from bestreply.data.summary import describe, summarise
from bestreply.data.validate import schema_problems
from bestreply.utils.files import locked, replacing, sha256, write_json

if TYPE_CHECKING:
    from bestreply.games.base import Game
    from bestreply.types import Episodes


def create_store(
    path: str | os.PathLike,
    game: "Game",
    roster: Sequence[dict[str, Any]],
    *,
    append: bool = False,
) -> "Store":
    """A new, empty dataset in the folder `path` for play of `game` by the players of `roster`.

    `roster`: one ``{"name": str, "version": int}`` (more keys are kept) for each player that
    `Episodes.player` can point to. With `append`, a dataset that is there already is opened instead, if it is
    of the same game, settings and roster.

    Raises FileExistsError where a dataset is there and `append` is not set; ValueError, which says what
    differs, where it is set but the dataset there is of something else; ValueError or TypeError for a roster
    or settings that a manifest cannot hold.
    """
    path = Path(path)
    manifest = _new_manifest(game, roster)
    path.mkdir(parents=True, exist_ok=True)
    with locked(path):
        if not (path / FILE).exists():
            write_json(path / FILE, manifest.to_json())
            return Store(path, manifest)
    if not append:
        raise FileExistsError(
            f"{path} holds a dataset already. Give another path, or append=True to add to it"
        )
    store = open_store(path)
    _refuse_difference(store.manifest.identity, manifest.identity, path)
    return store


def open_store(path: str | os.PathLike) -> "Store":
    """The dataset in the folder `path`.

    Raises FileNotFoundError where there is none, and ValueError that says what is wrong with a manifest that
    can't be used: broken, of a newer format, or naming files outside the folder. The parts are looked at when
    they are read.
    """
    manifest, problems = read_manifest(Path(path))
    if manifest is None or problems:
        kind = (
            FileNotFoundError
            if problems[0].kind == "no_manifest"
            else ValueError
        )
        raise kind(
            f"{path} cannot be opened as a dataset:\n"
            + "\n".join(map(str, problems[:10]))
        )
    return Store(Path(path), manifest)


class Store:
    """A dataset on disk. `path` is its folder, `manifest` what it says of itself."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path, self.manifest = path, manifest

    def __repr__(self) -> str:
        m = self.manifest
        return f"Store({str(self.path)!r}, {m.game['name']}, {m.episodes} episodes, {m.rows} transitions)"

    @property
    def roster(self) -> tuple[dict[str, Any], ...]:
        """The players that `Episodes.player` points to: ``{"name": str, "version": int}`` each."""
        return self.manifest.roster

    @property
    def goals(self) -> tuple[str, ...]:
        return self.manifest.goals

    @property
    def fingerprint(self) -> str:
        """Names the data, 64 hexadecimal digits: same game, roster and parts, same fingerprint."""
        facts = {
            "format": self.manifest.format,
            "parts": [part.sha256 for part in self.manifest.parts],
            **self.manifest.identity,
        }
        return hashlib.sha256(
            json.dumps(facts, sort_keys=True).encode()
        ).hexdigest()

    def game(self) -> "Game":
        """The game, made anew by name and settings.

        Raises ValueError where there is no such game (make it yourself then), or it plays differently from
        the one recorded.
        """
        from bestreply.games import make_game

        recorded = self.manifest.game
        game = make_game(recorded["name"], **recorded["settings"])
        wanted = _new_manifest(game, self.roster).identity
        _refuse_difference(
            self.manifest.identity, wanted, self.path, "make_game now gives"
        )
        return game

    # -- writing ---------------------------------------------------------------------------------------------

    def append(
        self,
        episodes: "Episodes",
        *,
        seed: int | None,
        command: str | None = None,
        seconds: float | None = None,
    ) -> None:
        """Adds `episodes` as one more part; their ids follow on those that are there. `seed`, `command` and the
        `seconds` that play took go into the manifest, and not into the fingerprint.

        The part is written first and the manifest then, each whole or not at all: after a crash the dataset
        is as it was before. Other processes that append to the same folder wait (not on Windows). Steps that
        hold no transition are not written.

        Raises ValueError, and writes nothing, for episodes of another shape or with anything in them that
        `validate` would name.
        """
        arrays = rows.check_arrays(episodes, self.manifest)
        with locked(self.path):
            now = open_store(
                self.path
            ).manifest  # others may have appended since
            _refuse_difference(now.identity, self.manifest.identity, self.path)
            for left in self.path.glob(".*.tmp"):
                left.unlink()
            self.manifest = self._append(now, arrays, seed, command, seconds)

    def _append(
        self,
        manifest: Manifest,
        arrays: dict[str, np.ndarray],
        seed: int | None,
        command: str | None,
        seconds: float | None,
    ) -> Manifest:
        name = part_name(len(manifest.parts))
        first = manifest.episodes
        with replacing(self.path / name) as beside:
            count = _write_part(beside, arrays, manifest, first)
        part = Part(
            file=name,
            rows=count,
            steps=int(arrays["length"].sum()),
            episodes=len(arrays["length"]),
            first_episode=first,
            sha256=sha256(self.path / name),
            seed=plain(seed),
            command=command,
            created=datetime.datetime.now(datetime.UTC).isoformat(
                timespec="seconds"
            ),
            seconds=None if seconds is None else round(float(seconds), 3),
            labelled=rows.count_labelled(arrays),
        )
        manifest = dataclasses.replace(
            manifest,
            parts=(*manifest.parts, part),
            bestreply=_library_version(),
        )
        write_json(self.path / FILE, manifest.to_json())
        return manifest

    # -- reading ---------------------------------------------------------------------------------------------

    def episodes(self) -> "Episodes":
        """All of the play as NumPy arrays, padded to the game's `max_steps`.

        What is a transition comes back bit by bit. What is none is filled: action -1, prob NaN, observations
        0, every action legal, `present` False, except that the step after a seat's last still shows the
        observation and legal actions reached. At the end of an episode those seats count as present that
        acted last and have not terminated.

        Raises ValueError for a part that is not what the manifest says (checksum, columns, counts).
        """
        from bestreply.types import Episodes

        for part in self.manifest.parts:
            self._check_part(part)
        arrays = rows.empty_arrays(self.manifest)
        for part in self.manifest.parts:
            with pq.ParquetFile(self.path / part.file) as file:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(
                        group, columns=rows.schema(self.manifest).names
                    )
                    try:
                        rows.fill(arrays, table, self.manifest)
                    except ValueError as error:
                        raise ValueError(
                            f"{self.path / part.file}: {error}. {self._advice}"
                        ) from None
        rows.finish(arrays)
        if (
            int((arrays["action"] != -1).sum()) != self.manifest.rows
            or not arrays["length"].all()
        ):
            raise ValueError(
                f"{self.path}: episodes lack rows, or rows are there twice. {self._advice}"
            )
        return Episodes(**arrays)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of all parts, every column or those named. Raises ValueError as `episodes` does."""
        wanted = rows.schema(self.manifest)
        unknown = [name for name in columns or () if name not in wanted.names]
        if unknown:
            raise ValueError(
                f"there is no column {', '.join(unknown)}; there are: {', '.join(wanted.names)}"
            )
        names = wanted.names if columns is None else list(columns)
        for part in self.manifest.parts:
            self._check_part(part)
        kinds = pa.schema([wanted.field(name) for name in names])
        tables = [
            pq.ParquetFile(self.path / part.file)
            .read(columns=names)
            .select(names)
            for part in self.manifest.parts
        ]
        return (
            pa.concat_tables([table.cast(kinds) for table in tables])
            if tables
            else kinds.empty_table()
        )

    def summary(self) -> dict[str, Any]:
        """What is in the dataset, in numbers: see `bestreply.data.summary.summarise`."""
        return summarise(self)

    def describe(self) -> str:
        """What is in the dataset, for a terminal."""
        return describe(self.summary())

    @property
    def _advice(self) -> str:
        return f"`bestreply data validate {self.path}` names what is wrong"

    def _check_part(self, part: Part) -> None:
        path = self.path / part.file
        if not path.is_file():
            raise ValueError(f"{path} is missing. {self._advice}")
        if sha256(path) != part.sha256:
            raise ValueError(
                f"{path} is not the file that was written: its checksum differs. {self._advice}"
            )
        with pq.ParquetFile(path) as file:
            problems = list(
                schema_problems(file.schema_arrow, self.manifest, str(path))
            )
            count = file.metadata.num_rows
        if problems:
            raise ValueError("\n".join(map(str, problems)))
        if count != part.rows:
            raise ValueError(
                f"{path} holds {count} rows, the manifest says {part.rows}. {self._advice}"
            )


def _new_manifest(game: "Game", roster: Sequence[dict[str, Any]]) -> Manifest:
    for player in roster:
        if not (
            isinstance(player.get("name"), str)
            and isinstance(player.get("version"), int)
        ):
            raise ValueError(
                f"roster has {player!r}; expected: {{'name': text, 'version': int}} for each player"
            )
    if not roster:
        raise ValueError(
            "the roster is empty; expected: {'name': text, 'version': int} for each player"
        )
    if not all(game.obs_shape):
        raise ValueError(
            f"{game.name}: obs_shape is {game.obs_shape}; expected: no axis of length 0"
        )
    return Manifest(
        format=FORMAT,
        bestreply=_library_version(),
        game=plain(
            {
                "name": game.name,
                "version": game.version,
                "settings": game.settings,
            }
        ),
        num_players=int(game.num_players),
        max_steps=int(game.max_steps),
        obs_shape=tuple(int(n) for n in game.obs_shape),
        actions=tuple(game.action_names),
        goals=tuple(game.goals),
        roster=tuple(plain(dict(player)) for player in roster),
    )


def _library_version() -> str:
    try:
        return importlib.metadata.version("bestreply")
    except (
        importlib.metadata.PackageNotFoundError
    ):  # run from a checkout that is not installed
        return "unknown"


def _refuse_difference(
    there: dict[str, Any],
    given: dict[str, Any],
    path: Path,
    whose: str = "given is",
) -> None:
    """Raises ValueError that names each fact in which two identities differ."""
    facts = [
        (name, there[name], given[name]) for name in there if name != "game"
    ]
    facts += [
        (f"game {name}", there["game"].get(name), given["game"].get(name))
        for name in ("name", "version")
    ]
    old, new = there["game"]["settings"], given["game"]["settings"]
    facts += [
        (f"game setting {name}", old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
    ]
    different = [
        f"{name}: the dataset has {a!r}, {whose} {b!r}"
        for name, a, b in facts
        if a != b
    ]
    if different:
        differences = "\n".join(different)
        raise ValueError(
            f"{path} is a dataset of something else.\n{differences}\nGive another path"
        )


def _write_part(
    path: Path,
    arrays: dict[str, np.ndarray],
    manifest: Manifest,
    first_episode: int,
) -> int:
    """Writes rows, whole episodes in each row group; returns how many. Raises ValueError for invalid rows."""
    count, writer = 0, None
    try:
        for table in rows.to_tables(arrays, manifest, first_episode):
            report = Report()
            episode = table["episode"]
            first, last = episode[0].as_py(), episode[-1].as_py()
            check_rows(
                digest(table),
                manifest,
                first,
                last - first + 1,
                report,
                "episodes to append",
            )
            if problems := report.result():
                note = f"these episodes hold what a dataset may not (their ids begin at {first_episode}):\n"
                raise ValueError(note + "\n".join(map(str, problems)))
            if writer is None:
                encoding: Any = _worth_dictionary(table)
                writer = pq.ParquetWriter(
                    path,
                    table.schema,
                    compression="zstd",
                    use_dictionary=encoding,
                )
            writer.write_table(table, row_group_size=len(table))
            count += len(table)
    finally:
        if writer is not None:
            writer.close()
    return count


def _worth_dictionary(table: pa.Table) -> list[str]:
    """The columns to write by dictionary: small and fast for planes of few values, slow for those of many."""
    values = table["obs"].chunk(0).flatten().slice(0, 1 << 16)
    few = len(values.unique()) <= len(values) / 8
    names = [
        field.name
        for field in table.schema
        if few or field.name not in ("obs", "next_obs")
    ]
    nested = {
        field.name for field in table.schema if pa.types.is_nested(field.type)
    }
    # Parquet has its own names for the columns of lists.
    return [
        f"{name}.list.element" if name in nested else name for name in names
    ]
