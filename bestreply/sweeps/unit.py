"""One run of a sweep."""

import dataclasses
from pathlib import Path

from bestreply.config import RunConfig


@dataclasses.dataclass(frozen=True)
class Unit:
    """One run of a sweep."""

    path: Path
    data: Path
    config: RunConfig

    @property
    def done(self) -> bool:
        return (self.path / "unit.json").exists()

    @property
    def begun(self) -> bool:
        return self.asked.exists()

    @property
    def asked(self) -> Path:
        """The configuration it was begun with."""
        first = (
            self.path / "rounds" / "0"
            if self.config.improve.rounds
            else self.path
        )
        return first / "config.json"

    @property
    def error(self) -> Path:
        return self.path / "error.txt"
