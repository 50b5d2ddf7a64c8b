"""One run of a sweep: a method in a game with a seed."""

import dataclasses
from pathlib import Path

from bestreply.config import RunConfig


@dataclasses.dataclass(frozen=True)
class Unit:
    """A run directory, its dataset and its configuration."""

    path: Path
    data: Path
    config: RunConfig

    @property
    def is_complete(self) -> bool:
        """The unit was trained and evaluated."""
        return (self.path / "unit.json").exists()

    @property
    def is_started(self) -> bool:
        """The unit has a run directory with a configuration."""
        return self.started_config.exists()

    @property
    def started_config(self) -> Path:
        """File of the configuration that the unit was started with."""
        has_rounds = self.config.improve.rounds > 0
        first = self.path / "rounds" / "0" if has_rounds else self.path
        return first / "config.json"

    @property
    def error(self) -> Path:
        """File with the traceback of the last failure."""
        return self.path / "error.txt"
