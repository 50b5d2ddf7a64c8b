"""Datasets."""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

from bestreply.cli.registry import command, say
from bestreply.config import RunConfig, preset


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


@command(
    "data compare-rules",
    "what each rule of labelling keeps of the same play, and how good a model of the others it teaches",
)
@dataclasses.dataclass(frozen=True)
class CompareRules:
    players: tuple[str, ...] = ()
    """Who plays: one name for each seat, or a single name for all; mixture(a, b) draws one for every episode. None given: a mixture of
    the game's standard players."""
    game: str = RunConfig.game
    """A game by name, with settings. It must have goals that a step can show."""
    episodes: int = 2000
    """Episodes to play for each seed."""
    updates: int = 2000
    """Gradient steps for the model of the others."""
    seeds: int = 3
    """How often all of it is done, with play and training of their own."""
    seed: int = 0
    """The first seed."""
    rules: tuple[Literal["event", "hindsight", "posterior"], ...] = ("event", "hindsight", "posterior")
    """What to compare (`train.labels`)."""
    out: Path | None = None
    """Where to write the table as JSON too."""

    def run(self) -> None:
        from rich.console import Console

        from bestreply.experiment import drawn_players
        from bestreply.files import write_json
        from bestreply.label_rules import compare_rules, rules_table
        from bestreply.provenance import provenance

        demo = preset("demo")
        train = dataclasses.replace(demo.train, opponent_updates=self.updates)
        config = dataclasses.replace(demo, game=self.game, seed=self.seed, train=train)
        players = self.players or (drawn_players(config),)
        found = compare_rules(config, players, episodes=self.episodes, seeds=self.seeds, rules=self.rules)
        Console().print(rules_table(found))
        if self.out:
            write_json(self.out, found | {"provenance": provenance(self.seed)})
            say(self.out)
