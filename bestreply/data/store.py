"""Datasets on disk: a folder of Parquet files and a manifest (docs/files.md).

    store = create_store("datasets/new", game, roster=[{"name": "nearest_stag", "version": 1}, ...])
    store.append(episodes, seed=0)
    episodes = open_store("datasets/new").episodes()

Files are written atomically. Only Parquet and JSON are read: no content of a dataset is
executed.
"""

import contextlib
import dataclasses
import datetime
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from bestreply.data import rows
from bestreply.data.manifest import (
    FILE,
    Manifest,
    Part,
    part_name,
    plain,
    read_manifest,
)
from bestreply.data.new_manifest import (
    library_version,
    new_manifest,
    refuse_difference,
)
from bestreply.data.reading import (
    TEXTS,
    RowError,
    check_ranges,
    check_size,
    conform,
    read_groups,
    schema_problems,
)
from bestreply.data.summary import COLUMNS, describe, summarise
from bestreply.data.writing import NewPart
from bestreply.utils.checks import shown
from bestreply.utils.files import locked, replacing, sha256, write_json
from bestreply.utils.names import spec_of
from bestreply.utils.parquet import open_parquet
from bestreply.utils.spec import Spec, tuples
from bestreply.utils.trust import from_file
from bestreply.utils.untrusted import check_regular

if TYPE_CHECKING:
    from bestreply.games.base import Game
    from bestreply.types import Episodes


def create_store(
    path: str | os.PathLike,
    game: "Game",
    roster: Sequence[Mapping[str, object]],
    *,
    append: bool = False,
) -> "Store":
    """Create an empty dataset in a folder, or open the one to append to.

    Args:
        path: the folder; it is made if it is missing.
        game: the game.
        roster: one ``{"name": str, "version": int}`` (further keys are kept) for each
            player that `Episodes.player` can index.
        append: open an existing dataset if it has the same game, settings and roster.

    Returns:
        The dataset.

    Raises:
        FileExistsError: the folder holds a dataset, and `append` is not set.
        ValueError: the existing dataset has another game, settings or roster; the error
            names the differences. Or a manifest cannot hold the roster or the settings.
        TypeError: a manifest cannot hold a value of the roster or the settings.
    """
    path = Path(path)
    manifest = new_manifest(game, roster)
    path.mkdir(parents=True, exist_ok=True)
    with locked(path):
        if not (path / FILE).exists():
            write_json(path / FILE, manifest.to_json())
            return Store(path, manifest, game)
    if not append:
        raise FileExistsError(
            f"path={path}: expected no dataset there. Give another path, or append=True to add to it"
        )
    known = open_store(path).manifest
    manifest = new_manifest(game, roster, known)
    refuse_difference(known.identity, manifest.identity, path)
    return Store(path, known, game)


def open_store(path: "str | os.PathLike | Store") -> "Store":
    """Open a dataset. Its parts are checked when they are read.

    Args:
        path: the dataset's folder; a dataset is returned as it is.

    Returns:
        The dataset.

    Raises:
        FileNotFoundError: the folder has no manifest.
        ValueError: the manifest is broken, of a newer format, or names files outside
            the folder; the error lists what is wrong. Or `path` is neither a path
            nor a dataset.
    """
    if isinstance(path, Store):
        return path
    if not isinstance(path, str | os.PathLike):
        raise ValueError(
            f"data={shown(path)}: expected a dataset, or the path of its folder: "
            'br.open_store("datasets/first")'
        )
    manifest, problems = read_manifest(Path(path))
    if manifest is None or problems:
        kind = ValueError
        if problems[0].kind == "no_manifest":
            kind = FileNotFoundError
        lines = [f"path={path}: expected a dataset:", *problems[:10]]
        raise kind("\n".join(map(str, lines)))
    return Store(Path(path), manifest)


class Store:
    """A dataset on disk: its folder, `path`, and its `manifest`."""

    def __init__(
        self, path: Path, manifest: Manifest, game: "Game | None" = None
    ) -> None:
        self.path = path
        self.manifest = manifest
        self._game = game  # where this process has it

    def __repr__(self) -> str:
        m = self.manifest
        return f"Store({str(self.path)!r}, {m.game['name']}, {m.episodes} episodes, {m.rows} transitions)"

    @property
    def roster(self) -> tuple[dict[str, Any], ...]:
        """The players that `Episodes.player` indexes: ``{"name": str, "version": int}`` each."""
        return self.manifest.roster

    @property
    def goals(self) -> tuple[str, ...]:
        """Names of the goals."""
        return self.manifest.goals

    @property
    def fingerprint(self) -> str:
        """SHA-256 of game, roster and parts, 64 hexadecimal digits."""
        facts = {
            "format": self.manifest.format,
            "parts": [part.sha256 for part in self.manifest.parts],
            **self.manifest.identity,
        }
        text = json.dumps(facts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def game(
        self,
        make: "Game | Callable[..., Game] | str | None" = None,
        *,
        allow_import: Sequence[str] = (),
    ) -> "Game":
        """Return the game from the recorded name and settings.

        Args:
            make: the game itself, or its name; or its class, called with the recorded
                settings; None: the game that the recorded name stands for.
            allow_import: modules or packages that the name may import. A dataset from
                elsewhere can name any module.

        Returns:
            The game.

        Raises:
            ValueError: the name needs `make`, or a module that is not allowed; or the
                version or shapes of the game differ from those recorded.
        """
        from bestreply.games.base import Game
        from bestreply.games.registry import game_in_file, make_game

        recorded = self.manifest.game
        if make is None and self._game is not None:
            return self._game
        if make is None:
            trust = from_file(self.path, allow_import)
            game = game_in_file(recorded["name"], recorded["settings"], trust)
        elif isinstance(make, Game) or not callable(make):
            game = make_game(make)
        else:
            game = make(**tuples(recorded["settings"]))
        self._check_game(game)
        return game

    def is_of(self, game: "Game") -> bool:
        """Return whether the recorded name and settings are those of a game.

        Args:
            game: the game.
        """
        recorded = self.manifest.game
        names = (spec_of("game", game).name, game.name)
        return recorded["name"] in names and recorded["settings"] == plain(
            game.settings
        )

    @property
    def game_text(self) -> str:
        """The recorded name and settings as text."""
        recorded = self.manifest.game
        return str(Spec(recorded["name"], (), tuples(recorded["settings"])))

    def _check_game(self, game: "Game") -> None:
        current = new_manifest(game, self.roster, self.manifest).identity
        refuse_difference(
            self.manifest.identity, current, self.path, "the game is"
        )

    # -- writing ---------------------------------------------------------------------------------------------

    def append(
        self,
        episodes: "Episodes",
        *,
        seed: int | None,
        command: str | None = None,
        seconds: float | None = None,
        seed_episode: int = 0,
    ) -> None:
        """Append episodes as one part, atomically.

        The part is written first and the manifest after it: after a crash the dataset
        is as before. Other processes that append to the same folder wait (not on
        Windows). Padding is not written.

        Args:
            episodes: episodes of the dataset's game and roster, in any number of steps
                up to `max_steps`.
            seed: the seed of play, for the manifest.
            command: the command that collected them, for the manifest.
            seconds: the duration of play, for the manifest.
            seed_episode: number of the first episode among those played from `seed`.

        Raises:
            ValueError: for other shapes, for rows with an error that `validate`
                lists, or for episodes of a seed that the dataset has already;
                nothing is written.
        """
        arrays = rows.check_arrays(episodes, self.manifest)
        count = len(arrays["length"])
        with self.new_part(
            count, seed=seed, command=command, seed_episode=seed_episode
        ) as part:
            part.add_arrays(arrays)
            part.seconds = seconds

    @contextlib.contextmanager
    def new_part(
        self,
        episodes: int,
        *,
        seed: int | None,
        command: str | None = None,
        seed_episode: int = 0,
    ) -> Iterator[NewPart]:
        """Give a part to which episodes are added, and append it at the end.

        Play that does not fit into memory is added in pieces. As `append`, this changes
        nothing if it raises.

        Args:
            episodes: the number of episodes that will be added.
            seed, command, seed_episode: as in `append`.

        Returns:
            A context manager that gives the part. Set its `seconds` to the duration of
            play, if it is known.

        Raises:
            ValueError: as `append`; or another number of episodes was added.
        """
        with locked(self.path):
            current = open_store(self.path).manifest  # other writers may append
            refuse_difference(
                current.identity, self.manifest.identity, self.path
            )
            for temporary in self.path.glob(".*.tmp"):
                temporary.unlink()
            self.manifest = current
            self.check_seed(seed, episodes, seed_episode)
            name, first = part_name(len(current.parts)), current.episodes
            with (
                replacing(self.path / name) as beside,
                NewPart(beside, current, first) as part,
            ):
                yield part
                part.flush()
                if part.episodes != episodes:
                    raise ValueError(
                        f"episodes={episodes}: {part.episodes} were added to the part"
                    )
                part.close()
            facts = {
                "seed": plain(seed),
                "seed_episode": seed_episode,
                "command": command,
            }
            self.manifest = self._with_part(current, name, part, facts)

    def check_seed(
        self, seed: int | None, episodes: int, first: int = 0
    ) -> None:
        """Refuse to play episodes of a seed that the dataset has already.

        Args:
            seed: the seed of play; None: episodes of unknown origin.
            episodes: the number of episodes to play.
            first: number of the first one among those played from the seed.

        Raises:
            ValueError: the dataset has one of them.
        """
        for part in self.manifest.parts:
            start = part.seed_episode or 0
            overlap = first < start + part.episodes and start < first + episodes
            if seed is not None and part.seed == seed and overlap:
                raise ValueError(
                    f"seed={seed}: expected a seed without episodes in {self.path}; "
                    f"{part.file} has {part.episodes} of it. Give another seed, or "
                    "another path"
                )

    def _with_part(
        self,
        manifest: Manifest,
        name: str,
        written: NewPart,
        facts: dict[str, Any],
    ) -> Manifest:
        """Return the manifest with one more part, after it is written to the folder."""
        seconds = written.seconds
        part = Part(
            file=name,
            rows=written.rows,
            steps=written.steps,
            episodes=written.episodes,
            first_episode=written.first_episode,
            sha256=sha256(self.path / name),
            created=datetime.datetime.now(datetime.UTC).isoformat(
                timespec="seconds"
            ),
            seconds=None if seconds is None else round(float(seconds), 3),
            labelled=written.labelled,
            **facts,
        )
        manifest = dataclasses.replace(
            manifest,
            parts=(*manifest.parts, part),
            bestreply=library_version(),
        )
        write_json(self.path / FILE, manifest.to_json())
        return manifest

    # -- reading ---------------------------------------------------------------------------------------------

    def episodes(self) -> "Episodes":
        """Read all episodes as NumPy arrays, padded to the game's `max_steps`.

        Transitions equal those appended bit for bit. Padding: action -1, prob NaN,
        observations 0, all actions legal, `present` False. The step after a seat's last
        one shows the observation and the legal actions reached. At the end of an
        episode the seats are present that acted last and have not terminated.

        Returns:
            The episodes.

        Raises:
            ValueError: a part differs from the manifest (checksum, columns, counts).
        """
        from bestreply.types import Episodes

        parts = self._checked_parts()
        check_size(self.manifest, str(self.path))
        arrays = rows.empty_arrays(self.manifest)
        names = rows.schema(self.manifest).names
        for part in parts:
            for table in self._tables(part, names):
                rows.fill(arrays, rows.columns_of(table))
        rows.finish(arrays)
        count = (arrays["action"] != -1).sum()
        if count != self.manifest.rows or not arrays["length"].all():
            raise ValueError(
                f"{self.path}: expected one row for each step of each seat. {self._advice}"
            )
        return Episodes(**arrays)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read the rows of all parts.

        Args:
            columns: names of the columns, in the order wanted; None: all.

        Returns:
            The table [rows].

        Raises:
            ValueError: for an unknown column, or as `episodes`.
        """
        fields = rows.schema(self.manifest)
        names = fields.names if columns is None else list(columns)
        unknown = [name for name in names if name not in fields.names]
        if unknown:
            raise ValueError(
                f"columns={', '.join(unknown)}: expected names among {', '.join(fields.names)}"
            )
        kinds = pa.schema([fields.field(name) for name in names])
        return pa.concat_tables([kinds.empty_table(), *self.tables(names)])

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the rows of all parts in pieces, after a check of their files.

        Args:
            columns: names of the columns, in the order wanted.

        Returns:
            A table for each row group, in the order of the dataset.

        Raises:
            ValueError: as `episodes`.
        """
        for part in self._checked_parts():
            yield from self._tables(part, columns)

    def summary(self) -> dict[str, Any]:
        """Return counts, returns and shares as plain data: see `bestreply.data.summary.summarise`."""
        tables = self.tables(COLUMNS)
        return summarise(self.path, self.manifest, self.fingerprint, tables)

    def describe(self) -> str:
        """Return a description of the dataset as text for a terminal."""
        return describe(self.summary())

    @property
    def _advice(self) -> str:
        return f"`bestreply data validate {self.path}` lists the errors"

    def _checked_parts(self) -> tuple[Part, ...]:
        """Check the files of all parts before any row is read."""
        for part in self.manifest.parts:
            self._check_part(part)
        return self.manifest.parts

    def _tables(self, part: Part, names: Sequence[str]) -> Iterator[pa.Table]:
        """Read a part, one row group after the other; refuse rows that `validate` lists."""
        path = self.path / part.file
        with open_parquet(path, TEXTS) as file:
            groups = read_groups(file, self.manifest, str(path), names)
            for first, table in groups:
                try:
                    table = conform(table, self.manifest, first)
                    check_ranges(table, self.manifest, first)
                except RowError as error:
                    raise ValueError(
                        f"{path}, {error}. {self._advice}"
                    ) from None
                yield table

    def _check_part(self, part: Part) -> None:
        path = self.path / part.file
        if not path.exists():
            raise ValueError(f"{path} is missing. {self._advice}")
        check_regular(path)
        if sha256(path) != part.sha256:
            raise ValueError(
                f"{path}: expected the checksum in the manifest. {self._advice}"
            )
        with open_parquet(path, TEXTS) as file:
            columns, count = file.schema_arrow, file.metadata.num_rows
        problems = list(schema_problems(columns, self.manifest, str(path)))
        if problems:
            raise ValueError("\n".join(map(str, problems)))
        if count != part.rows:
            raise ValueError(
                f"{path}: {count} rows: expected {part.rows}, as in the manifest. {self._advice}"
            )
