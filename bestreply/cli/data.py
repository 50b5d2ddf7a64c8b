"""Commands for datasets: describe, validate."""

import dataclasses
import sys
from pathlib import Path

from bestreply.cli.output import say


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
