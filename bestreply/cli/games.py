"""Single games: looked at, or played against an agent."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from bestreply.cli.registry import command, say


@command("view", "chosen episodes step by step on one page: scores, exact Q, predictions, beliefs")
@dataclasses.dataclass(frozen=True)
class View:
    run_dir: Path
    """The run directory."""
    opponents: tuple[str, ...] = ()
    """Opponent sets: each a name for all other seats, or N-1 names with commas; by default the run's own."""
    episodes: int = 2
    """Episodes against every opponent set."""
    seed: int | None = None
    """Seed of play; by default that of the report's matches."""
    seat: int = 1
    """The agent's seat, counted from 1; the others sit in the rest in seat order."""
    planner: Literal["one_step", "look_ahead", "search"] | None = None
    """How the agent plans; by default as the run's configuration says."""
    lang: Literal["en", "zh"] = "en"
    """Language of the page."""

    def run(self) -> None:
        from bestreply.run import load_run
        from bestreply.view import view_run

        settings: dict[str, Any] = {"seed": self.seed, "planner": self.planner, "lang": self.lang}
        say(view_run(load_run(self.run_dir), self.opponents, self.episodes, seat=self.seat, **settings))


@command("play", "play a seat yourself, in the browser; games that end are kept as data")
@dataclasses.dataclass(frozen=True)
class PlaySeat:
    game: tuple[str, ...] = dataclasses.field(kw_only=True)
    """A game by name, with settings; by default that of --against."""
    against: Path | None = None
    """The run whose agent sits in the other seats."""
    others: tuple[str, ...] = ()
    """Who sits in the other seats instead: one name for all, or one each in seat order; bestreply is the run's agent."""
    seat: int = 1
    """The player that you are: 1 is the first."""
    planner: Literal["one_step", "look_ahead", "search"] | None = None
    """How the agent plans; by default as the run's configuration says."""
    show_beliefs: bool = False
    """Show what agents believe about you, and expect you to do."""
    out: Path | None = None
    """Where the dataset goes, or one of the same game and players to add to; by default a new one in datasets/."""
    seed: int | None = None
    """Of first states and of the others' play; by default another one each time."""
    port: int = 0
    """Port on 127.0.0.1; 0: any that is free."""
    browser: bool = True
    """Open the page in the browser."""
    lang: Literal["en", "zh"] = "en"
    """Language of the page."""

    def run(self) -> None:
        from bestreply.person.play import open_sitting, serve

        if len(self.game) > 1:
            raise ValueError(f"{' '.join(self.game)}: wanted: one game, in quotes where it has settings")
        game = self.game[0] if self.game else None
        settings: dict[str, Any] = {"planner": self.planner, "seed": self.seed, "out": self.out}
        sitting, goals = open_sitting(game, self.against, self.others, self.seat, **settings)
        told: dict[str, Any] = {"goals": goals, "beliefs": self.show_beliefs, "lang": self.lang}
        serve(sitting, port=self.port, browser=self.browser, **told)
        if sitting.kept:
            say(sitting.out)
