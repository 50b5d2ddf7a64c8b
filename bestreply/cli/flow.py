"""Commands from play to report: run, collect, train, evaluate, report."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bestreply.cli.options import Language, Planner, config_of
from bestreply.cli.output import say, show
from bestreply.cli.registry import UsageError
from bestreply.config import RunConfig
from bestreply.utils.files import read_text

if TYPE_CHECKING:
    from bestreply.config import EvaluateConfig

Preset = Literal["debug", "demo", "full"]


@dataclasses.dataclass(frozen=True)
class Run(RunConfig):
    """Defaults are those of the preset, or of the file that --config names; an option changes one field.

    Example: bestreply run --preset debug --out runs/first
    """

    preset: Preset = "demo"
    """Configuration to start from: debug (seconds), demo (minutes on 2 cores) or full (the headline figures)."""
    config: Path | None = None
    """Start from this JSON file instead of a preset, such as the config.json of a run."""
    out: Path | None = None
    """Run directory; by default a new one in runs/. A new dataset goes to datasets/ beside it."""
    resume: bool = False
    """Continue the run in --out: skip the steps that are complete."""
    data: Path | None = None
    """Train on this dataset instead of collecting one; it determines the game. Where the game has no rules (imported logs), returns
    are estimated from the data instead of measured."""
    allow_import: tuple[str, ...] = ()
    """Modules or packages that names in the dataset may import. Without them a dataset from elsewhere runs no code."""

    def __post_init__(self) -> None:
        """Leave the checks to `config_of`."""

    def run(self) -> None:
        """Run all four steps and print the table of scores and the report's path."""
        from bestreply.data.store import open_store
        from bestreply.pipeline import run_all, run_on

        if self.data is None:
            done = run_all(config_of(self), self.out, resume=self.resume)
        else:
            done = run_on(
                open_store(self.data),
                config_of(self),
                self.out,
                resume=self.resume,
                allow_import=self.allow_import,
            )
        if (done.path / "scores.parquet").exists():
            show_scores(done.path)
        else:
            show_estimates(done.path / "off_policy.json")
        say(done.path / "report.html")


@dataclasses.dataclass(frozen=True)
class Collect:
    """Prints the path of the dataset.

    Example: bestreply collect --game "snowdrift(players=3)" --players "mixture(nearest_drift, random)"
    """

    players: tuple[str, ...] = ("random",)
    """One player per seat, or one for all seats. mixture(a, b) draws one of its players for each episode."""
    game: str = RunConfig.game
    """Name of the game, with settings."""
    episodes: int = 1000
    """Number of episodes."""
    seed: int = 0
    """Random seed of play."""
    out: Path | None = None
    """Folder of the dataset; by default a new one in datasets/."""
    append: bool = False
    """Add to the dataset in --out, of the same game and players, if there is one."""

    def run(self) -> None:
        """Collect the episodes and print the dataset's path."""
        from bestreply.collect import collect
        from bestreply.games import make_game

        game = make_game(self.game)
        players = self.players
        if len(players) == 1:
            players *= game.num_players
        store = collect(
            game,
            players,
            self.episodes,
            self.seed,
            path=self.out,
            append=self.append,
        )
        say(store.path)


@dataclasses.dataclass(frozen=True)
class Train(RunConfig):
    """The dataset determines the game. Defaults are those of the preset, or of the file that --config names.

    Example: bestreply train datasets/snowdrift-0001 --preset debug
    """

    data: Path = dataclasses.field(kw_only=True)
    """Dataset to train on."""
    preset: Preset = "demo"
    """Configuration to start from: debug (seconds), demo (minutes on 2 cores) or full (the headline figures)."""
    config: Path | None = None
    """Start from this JSON file instead of a preset, such as the config.json of a run."""
    out: Path | None = None
    """Run directory; by default a new one in runs/."""
    resume: bool = False
    """Continue from the newest checkpoint in --out; the result equals that of an uninterrupted run bit for bit."""
    allow_import: tuple[str, ...] = ()
    """Modules or packages that names in the dataset may import. Without them a dataset from elsewhere runs no code."""

    def __post_init__(self) -> None:
        """Leave the checks to `config_of`: required options have no value in the defaults."""

    def run(self) -> None:
        """Train on the dataset and print the run directory."""
        from bestreply.data.store import open_store
        from bestreply.pipeline import check_before_play, config_for_data
        from bestreply.train import train

        data = open_store(self.data)
        config = config_for_data(
            config_of(self), data, allow_import=self.allow_import
        )
        check_before_play(config, data)
        run = train(data, config, path=self.out, resume=self.resume)
        say(run.path)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Measures the agent and the methods it is compared with, and prints the table of scores.

    Example: bestreply evaluate runs/first --opponents nearest_stag self
    """

    run_dir: Path
    """Run directory."""
    opponents: tuple[str, ...] = ()
    """Opponent sets: a player for all other seats, N-1 players with commas, or one for each role as "adversary=a, agent=b"; by default
    those of the run's configuration. "self" is self-play. Against switching(a, b, step=5) and random=n the detection of the change is
    measured too."""
    episodes: int | None = None
    """Episodes per method and opponent set; by default as in the run's configuration."""
    allow_import: tuple[str, ...] = ()
    """Modules or packages that names in the run may import. Without them a run from elsewhere runs no code."""

    def run(self) -> None:
        """Evaluate the run, and print its scores and their path."""
        from bestreply.pipeline import evaluate_run
        from bestreply.run import load_run

        run = load_run(self.run_dir, allow_import=self.allow_import)
        evaluation = self._changed(run.config.evaluate)
        config = dataclasses.replace(run.config, evaluate=evaluation)
        evaluate_run(dataclasses.replace(run, config=config))
        show_scores(self.run_dir)
        show_changes(self.run_dir / "changes.json", evaluation.opponents)
        say(self.run_dir / "scores.parquet")

    def _changed(self, evaluation: "EvaluateConfig") -> "EvaluateConfig":
        changes: dict[str, Any] = {}
        if self.opponents:
            # Sets that are named include their change detection.
            changes |= {"opponents": self.opponents, "changes": True}
        if self.episodes is not None:
            changes["episodes"] = self.episodes
        return dataclasses.replace(evaluation, **changes)


@dataclasses.dataclass(frozen=True)
class Export:
    """The file holds compiled programs and weights. Any program with JAX and NumPy can plan with it (docs/export.md).

    Example: bestreply export runs/stag_hunt-0001 agent.bestreply
    """

    run_dir: Path
    """Run directory."""
    file: Path
    """File to write."""
    planner: Planner | None = None
    """Planner; by default the run's own."""
    platforms: tuple[str, ...] = ("cpu",)
    """Where it can run: cpu, cuda, rocm, tpu."""
    allow_import: tuple[str, ...] = ()
    """Modules or packages that names in the run may import. Without them a run from elsewhere runs no code."""

    def run(self) -> None:
        """Write the file and print its path."""
        from bestreply.run import load_run

        run = load_run(self.run_dir, allow_import=self.allow_import)
        say(
            run.export(
                self.file, planner=self.planner, platforms=self.platforms
            )
        )


@dataclasses.dataclass(frozen=True)
class Report:
    """One run directory: report.html in it. Several, or a folder of runs or sweeps: report.html and report.md over all runs.

    Example: bestreply report runs --since 7d
    """

    folders: tuple[Path, ...] = dataclasses.field(kw_only=True)
    """Run directories, or folders of runs or sweeps; by default runs/."""
    lang: Language = "en"
    """Language of the page."""
    since: str | None = None
    """Over many runs: only runs made since then, such as 7d, 24h or 2026-11-01; by default all."""
    baseline: str | None = None
    """Over many runs: the method to compare all others with; by default every pair of methods is compared."""
    out: Path | None = None
    """Over many runs: folder of the pages; by default the one that contains all runs."""

    def run(self) -> None:
        """Write the page and print its path.

        Raises:
            UsageError: for an option over many runs with one run.
        """
        from bestreply.report import write_report, write_report_over_runs
        from bestreply.report.weekly.discovery import holds_run

        over_many = {
            "since": self.since,
            "baseline": self.baseline,
            "out": self.out,
        }
        if len(self.folders) != 1 or not holds_run(self.folders[0]):
            folders = self.folders or (Path("runs"),)
            say(*write_report_over_runs(folders, self.lang, **over_many))
            return
        for name, value in over_many.items():
            if value is not None:
                raise UsageError(
                    f"--{name}={value}: expected several run directories, or a folder of runs, with this option"
                )
        say(write_report(self.folders[0], self.lang))


def show_scores(run_dir: Path) -> None:
    """Print the table of a run's scores.

    Args:
        run_dir: the run directory.
    """
    from bestreply.report import summary_table

    show(summary_table(run_dir))


def show_estimates(path: Path) -> None:
    """Print the table of estimated returns.

    Args:
        path: the file `off_policy.json` of a run.
    """
    from bestreply.analysis.off_policy import off_policy_table

    show(off_policy_table(json.loads(read_text(path))["policies"]))


def show_changes(path: Path, opponents: tuple[str, ...]) -> None:
    """Print the change detection against opponent sets, if the file contains any of them.

    Args:
        path: the file `changes.json` of a run; it may be missing.
        opponents: the opponent sets.
    """
    from bestreply.analysis.change_detection import changes_table

    if not path.exists():
        return
    sets = [
        entry
        for entry in json.loads(read_text(path))["against"]
        if entry["opponents"] in opponents
    ]
    if sets:
        show(changes_table(sets))
