"""Datasets."""

import dataclasses
import sys
from pathlib import Path

from bestreply.cli.registry import command, say


@command("data describe", "what a dataset holds")
@dataclasses.dataclass(frozen=True)
class Describe:
    path: Path
    """The dataset's folder."""

    def run(self) -> None:
        from bestreply.data.store import open_store

        say(open_store(self.path).describe())


@command("data validate", "what is wrong with a dataset, and where; exit status 1 if anything is")
@dataclasses.dataclass(frozen=True)
class Validate:
    path: Path
    """The dataset's folder."""

    def run(self) -> None:
        from bestreply.data.validate import validate

        problems = validate(self.path)
        say(*(problems or [f"{self.path}: nothing wrong"]))
        if problems:
            sys.exit(1)
