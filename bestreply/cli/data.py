"""Commands for datasets: describe, validate, import, export."""

import dataclasses
import sys
from pathlib import Path

from bestreply.cli.output import say
from bestreply.cli.registry import UsageError


@dataclasses.dataclass(frozen=True)
class Describe:
    """Prints game, players, size, returns and provenance.

    Example: bestreply data describe datasets/stag_hunt-0001
    """

    path: Path
    """Folder of the dataset."""

    def run(self) -> None:
        """Print the summary."""
        from bestreply.data.store import open_store

        say(open_store(self.path).describe())


@dataclasses.dataclass(frozen=True)
class Validate:
    """Prints the place of each error and how to fix it. Exit status 1 if there are errors.

    Example: bestreply data validate datasets/stag_hunt-0001
    """

    path: Path
    """Folder of the dataset."""

    def run(self) -> None:
        """Print the errors."""
        from bestreply.data.validate import validate

        problems = validate(self.path)
        if not problems:
            say(f"{self.path}: no errors")
            return
        say(*map(str, problems))
        sys.exit(1)


@dataclasses.dataclass(frozen=True)
class Import:
    """Reads .npz, Parquet of any writer, a dataset folder of Minari, or a vault of flashbax, and prints the dataset's path.

    Example: bestreply data import logs.parquet --columns episode=game seat=agent obs=x,y
    """

    path: Path
    """File or folder."""
    columns: tuple[str, ...] = ()
    """Of a Parquet file: NAME=COLUMN or NAME=COLUMN,COLUMN,... for episode, step, seat, obs, action, reward, terminated, truncated,
    legal, prob, player, goal, next_obs, next_legal; by default the columns of these names."""
    players: tuple[str, ...] = ()
    """Of Minari or a vault: the name of each agent's player; by default "unknown"."""
    game: str | None = None
    """Name of the game, with settings; by default the one that the file names, else a recorded game, without rules."""
    out: Path | None = None
    """Folder of the dataset; by default a new one in datasets/."""
    allow_import: tuple[str, ...] = ()
    """Modules or packages that names in the file may import. Without them a file from elsewhere runs no code."""

    def run(self) -> None:
        """Make the dataset and print its path.

        Raises:
            UsageError: a column is not given as NAME=COLUMN.
        """
        from bestreply.data.importing import import_file
        from bestreply.games import make_game

        columns = {}
        for text in self.columns:
            name, equals, given = text.partition("=")
            if not (equals and name and given):
                raise UsageError(
                    f"--columns {text}: expected NAME=COLUMN, such as seat=agent"
                )
            columns[name] = given.split(",") if "," in given else given
        store = import_file(
            self.path,
            columns=columns,
            players=self.players or None,
            game=None if self.game is None else make_game(self.game),
            out=self.out,
            allow_import=self.allow_import,
        )
        say(store.path)


@dataclasses.dataclass(frozen=True)
class Export:
    """Writes a dataset as one file for other programs, and prints its path. `bestreply data import` makes an equal dataset of it.

    Example: bestreply data export datasets/stag_hunt-0001 play.parquet
    """

    path: Path
    """Folder of the dataset."""
    file: Path
    """File to write: .npz (padded arrays) or .parquet (a row for each episode, step and seat)."""

    def run(self) -> None:
        """Write the file and print its path."""
        from bestreply.data.exchange import export_store
        from bestreply.data.store import open_store

        say(export_store(open_store(self.path), self.file))
