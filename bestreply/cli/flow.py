"""What there is, and the steps from play to scores."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from bestreply.cli.registry import command, config_of, say
from bestreply.config import RunConfig


@command("games", "the games there are, a line each")
@dataclasses.dataclass(frozen=True)
class Games:
    def run(self) -> None:
        from bestreply.games import list_games

        say(*(f"{name:<18} {summary}" for name, summary in list_games().items()))


@command("players", "the players there are, a line each")
@dataclasses.dataclass(frozen=True)
class Players:
    def run(self) -> None:
        from bestreply.players import list_players

        say(*(f"{name:<20} {summary}" for name, summary in list_players().items()))


@command("collect", "play, and log every step to a dataset")
@dataclasses.dataclass(frozen=True)
class Collect:
    players: tuple[str, ...] = ("random",)
    """Who plays: one name for each seat, or a single name for all; mixture(a, b) draws one for every episode."""
    game: str = RunConfig.game
    """A game by name, with settings."""
    episodes: int = 1000
    """Episodes to play."""
    seed: int = 0
    """Seed of play."""
    out: Path | None = None
    """Where the dataset goes, or one of the same game and players to add to; by default a new one in datasets/."""

    def run(self) -> None:
        from bestreply.collect import collect
        from bestreply.games import make_game

        game = make_game(self.game)
        players = self.players * game.num_players if len(self.players) == 1 else self.players
        say(collect(game, players, self.episodes, self.seed, path=self.out).path)


@command("train", "learn the models from a dataset")
@dataclasses.dataclass(frozen=True)
class Train(RunConfig):
    data: Path = dataclasses.field(kw_only=True)
    """The dataset to learn from; the game is the dataset's."""
    out: Path | None = None
    """The run directory; by default a new one in runs/."""
    resume: bool = False
    """Go on from the newest checkpoint in --out, to the same bits as an uninterrupted run."""

    def run(self) -> None:
        from bestreply.data.store import open_store
        from bestreply.experiment import config_for_data
        from bestreply.train import train

        data = open_store(self.data)
        say(train(data, config_for_data(config_of(self), data), path=self.out, resume=self.resume).path)


@command("evaluate", "play the agent, and whom it is compared with, against opponent sets")
@dataclasses.dataclass(frozen=True)
class Evaluate:
    run_dir: Path
    """The run directory."""
    opponents: tuple[str, ...] = ()
    """Opponent sets: each a name for all other seats, or N-1 names with commas; by default the run's own. "self" is self-play. Of
    switching(a, b, step=5) or random=n also how soon the change was noticed, and what it cost."""
    episodes: int = 0
    """Episodes for every method and opponent set; 0: the run's own number."""

    def run(self) -> None:
        from bestreply.experiment import evaluate_run
        from bestreply.run import load_run

        run = load_run(self.run_dir)
        asked = {"opponents": self.opponents, "episodes": self.episodes}
        asked["changes"] = bool(self.opponents)  # whoever names them wants to know
        evaluation = dataclasses.replace(run.config.evaluate, **{k: v for k, v in asked.items() if v})
        evaluate_run(dataclasses.replace(run, config=dataclasses.replace(run.config, evaluate=evaluation)))
        show_table(self.run_dir)
        show_changes(self.run_dir / "changes.json", evaluation.opponents)
        say(self.run_dir / "scores.parquet")


@command(
    "diagnose",
    "what agents lose to the best possible reply, part by part; several runs of one configuration in one table",
)
@dataclasses.dataclass(frozen=True)
class Diagnose:
    run_dirs: tuple[Path, ...] = dataclasses.field(kw_only=True)
    """The run directory, or several that differ in their seed alone."""
    opponents: tuple[str, ...] = ()
    """Opponent sets: each a name for all other seats, or N-1 names with commas; by default the players that made the data."""
    episodes: int = 256
    """Episodes for every opponent set."""
    planner: Literal["one_step", "look_ahead", "search"] | None = None
    """How the agent plans; by default as the run's configuration says."""
    types: Literal["inferred", "told"] = "inferred"
    """Whether the agent finds out from play who the others are, or is told."""
    out: Path | None = None
    """Where to write the table as JSON too."""

    def run(self) -> None:
        from rich.console import Console

        from bestreply.files import write_json
        from bestreply.over_runs import check_comparable, over_runs, regret_table
        from bestreply.provenance import provenance
        from bestreply.regret import diagnose_run
        from bestreply.run import load_run

        if not self.run_dirs:
            raise ValueError(
                "no run directory given; wanted: one, or several that differ in their seed alone"
            )
        runs = [load_run(path) for path in self.run_dirs]
        check_comparable(runs)
        settings: dict[str, Any] = {"planner": self.planner, "types": self.types}
        paths = [diagnose_run(run, self.opponents, self.episodes, **settings) for run in runs]
        found = over_runs(paths, [run.config.seed for run in runs])
        Console().print(regret_table(found))
        say(*paths)
        if self.out:
            write_json(self.out, found | {"provenance": provenance(runs[0].config.seed)})
            say(self.out)


@command("run", "collect, train, evaluate and report, from one configuration")
@dataclasses.dataclass(frozen=True)
class Run(RunConfig):
    out: Path | None = None
    """The run directory; by default a new one in runs/, its dataset in datasets/ beside it."""
    resume: bool = False
    """Go on with what --out holds already."""

    def run(self) -> None:
        from bestreply.experiment import run_all

        done = run_all(config_of(self), self.out, resume=self.resume)
        show_table(done.path)
        say(done.path / "report.html")


def show_table(path: Path) -> None:
    from rich.console import Console

    from bestreply.report import summary_table

    Console().print(summary_table(path))


def show_changes(path: Path, opponents: tuple[str, ...]) -> None:
    """What is told there about `opponents`, if anything is."""
    import json

    from rich.console import Console

    from bestreply.changes import changes_table

    if path.exists():
        found = [one for one in json.loads(path.read_text())["against"] if one["opponents"] in opponents]
        if found:
            Console().print(changes_table(found))
