"""The command line: `bestreply COMMAND ...`. A command imports what it uses, so that help is there at once."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from bestreply.config import PRESETS, RunConfig, from_dict, preset

COMMANDS: dict[str, tuple[Callable[[list[str]], None], str]] = {}
"""Name -> (what runs it, a line for help)."""


def main() -> None:
    """Entry point. Exit status 0 if all is well, 1 if a check found something or an error was shown, 2 for wrong usage."""
    arguments = sys.argv[1:]
    name = next((n for n in COMMANDS if arguments[: len(n.split())] == n.split()), None)
    if name is None:
        _overview(arguments)
        return
    try:
        COMMANDS[name][0](arguments[len(name.split()) :])
    except (ValueError, OSError) as error:
        sys.exit(f"bestreply {name}: {error}")
    except KeyboardInterrupt:
        sys.exit(
            f"\nbestreply {name}: stopped. What was written is whole; --resume goes on where a command offers it."
        )


def _overview(arguments: list[str]) -> None:
    wrong = bool(arguments) and arguments[0] not in ("-h", "--help")
    lines = [f"  {name:<19} {summary}" for name, (_, summary) in COMMANDS.items()]
    text = "\n".join(
        [
            "bestreply: agents that answer with the best reply to what they believe the others will do",
            "",
            "usage: bestreply COMMAND [--help] ...",
            "",
            *lines,
            "",
            "First steps: bestreply run --preset debug",
        ]
    )
    if wrong:
        sys.stderr.write(f"bestreply: there is no command {' '.join(arguments[:2])!r}\n\n{text}\n")
        sys.exit(2)
    sys.stdout.write(text + "\n")


def command(name: str, summary: str) -> Callable[[Any], Any]:
    """Registers a dataclass with a `run` method as a command; its fields are the options."""

    def register(kind: Any) -> Any:
        COMMANDS[name] = (lambda arguments: _read(name, summary, kind, arguments).run(), summary)
        return kind

    return register


def _read(name: str, summary: str, kind: Any, arguments: list[str]) -> Any:
    import tyro

    settings: dict[str, Any] = {}
    if issubclass(kind, RunConfig):
        config, arguments = _starting_point(arguments)
        required = {f.name: tyro.MISSING for f in dataclasses.fields(kind) if f.kw_only}
        settings["default"] = kind(
            **{f.name: getattr(config, f.name) for f in dataclasses.fields(RunConfig)}, **required
        )
        summary += (
            f"\n\nStart from --preset {'|'.join(PRESETS)} (default: demo) or from --config FILE (JSON with any of the fields below, "
            "such as a run's config.json); options change single fields of it. Defaults shown are those of the starting point."
        )
    return tyro.cli(
        kind,
        args=arguments,
        prog=f"bestreply {name}",
        description=summary,
        config=(tyro.conf.PositionalRequiredArgs,),
        **settings,
    )


def _starting_point(arguments: list[str]) -> tuple[RunConfig, list[str]]:
    """The configuration that `--preset` or `--config` names, and the other arguments."""
    import json

    config, rest, queue = preset("demo"), [], list(arguments)
    while queue:
        flag, _, value = queue.pop(0).partition("=")
        if flag not in ("--preset", "--config"):
            rest.append(f"{flag}={value}" if value else flag)
            continue
        if not value and not queue:
            raise ValueError(
                f"{flag} wants a value: {', '.join(PRESETS) if flag == '--preset' else 'a JSON file'}"
            )
        value = value or queue.pop(0)
        if flag == "--preset":
            config = preset(value)
        else:
            try:
                config = from_dict(RunConfig, json.loads(Path(value).read_text()))
            except json.JSONDecodeError as error:
                raise ValueError(f"{value} is not JSON: {error}") from None
    return config, rest


def _config_of(options: RunConfig) -> RunConfig:
    return RunConfig(**{f.name: getattr(options, f.name) for f in dataclasses.fields(RunConfig)})


def _say(*lines: Any) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")


def _show_table(path: Path) -> None:
    from rich.console import Console

    from bestreply.report import summary_table

    Console().print(summary_table(path))


def _show_changes(path: Path, opponents: tuple[str, ...]) -> None:
    """What is told there about `opponents`, if anything is."""
    import json

    from rich.console import Console

    from bestreply.changes import changes_table

    if path.exists():
        found = [one for one in json.loads(path.read_text())["against"] if one["opponents"] in opponents]
        if found:
            Console().print(changes_table(found))


# -- what there is -------------------------------------------------------------------------------------------------------------


@command("games", "the games there are, a line each")
@dataclasses.dataclass(frozen=True)
class Games:
    def run(self) -> None:
        from bestreply.games import list_games

        _say(*(f"{name:<18} {summary}" for name, summary in list_games().items()))


@command("players", "the players there are, a line each")
@dataclasses.dataclass(frozen=True)
class Players:
    def run(self) -> None:
        from bestreply.players import list_players

        _say(*(f"{name:<20} {summary}" for name, summary in list_players().items()))


# -- the steps of the flow -----------------------------------------------------------------------------------------------------


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
        _say(collect(game, players, self.episodes, self.seed, path=self.out).path)


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
        _say(train(data, config_for_data(_config_of(self), data), path=self.out, resume=self.resume).path)


@command("evaluate", "play the agent, and whom it is compared with, against opponent sets")
@dataclasses.dataclass(frozen=True)
class Evaluate:
    run_dir: Path
    """The run directory."""
    opponents: tuple[str, ...] = ()
    """Opponent sets: each a name for all other seats, or N-1 names with commas; by default the run's own. Of switching(a, b, step=5) or
    random=n also how soon the change was noticed, and what it cost."""
    episodes: int = 0
    """Episodes for every method and opponent set; 0: the run's own number."""

    def run(self) -> None:
        from bestreply.experiment import evaluate_run
        from bestreply.run import load_run

        run = load_run(self.run_dir)
        asked = {"opponents": self.opponents, "episodes": self.episodes}
        evaluation = dataclasses.replace(run.config.evaluate, **{k: v for k, v in asked.items() if v})
        evaluate_run(dataclasses.replace(run, config=dataclasses.replace(run.config, evaluate=evaluation)))
        _show_table(self.run_dir)
        _show_changes(self.run_dir / "changes.json", evaluation.opponents)
        _say(self.run_dir / "scores.parquet")


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
    planner: Literal["one_step", "look_ahead", "rollout", "search"] | None = None
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
        _say(*paths)
        if self.out:
            write_json(self.out, found | {"provenance": provenance(runs[0].config.seed)})
            _say(self.out)


@command("sweep", "methods x games x seeds from one file; the same command goes on with one that was stopped")
@dataclasses.dataclass(frozen=True)
class Sweep:
    file: Path
    """A TOML file (docs/sweeps.md)."""
    out: Path | None = None
    """Where the runs go; by default runs/ and the file's name."""
    workers: int = 1
    """Units at a time, each in a process of its own where there are several."""
    executor: Literal["local", "ray"] = "local"
    """Where the units run: on this machine, or on a Ray cluster (the extra ray), one for each of its processors."""
    address: str | None = None
    """Of the Ray cluster; by default a local one. All of its machines have to see the same folder."""

    def run(self) -> None:
        from rich.console import Console

        from bestreply.sweeps.results import results_table, sweep_results
        from bestreply.sweeps.sweep import read_sweep, run_sweep

        sweep = read_sweep(self.file, self.out)
        failed = run_sweep(sweep, workers=self.workers, executor=self.executor, address=self.address)
        if rows := sweep_results([sweep.path], ["agent"]):
            Console().print(results_table(rows))
        _say(*(f"failed: {unit.error}" for unit in failed), sweep.path)
        if failed:
            sys.exit(1)


@command("results", "what the runs under some folders were measured to have, as one table")
@dataclasses.dataclass(frozen=True)
class Results:
    folders: tuple[Path, ...] = dataclasses.field(kw_only=True)
    """Folders of runs or sweeps, however deep."""
    method: tuple[str, ...] = ()
    """Only these methods of the scores, such as agent."""
    opponents: tuple[str, ...] = ()
    """Only against these, as the scores name them."""
    out: Path | None = None
    """A row for every run, method and opponent set: a .csv or a .parquet file."""

    def run(self) -> None:
        from rich.console import Console

        from bestreply.sweeps.results import results_table, save_results, sweep_results

        rows = sweep_results(self.folders, self.method, self.opponents)
        if not rows:
            asked = ", ".join(map(str, self.folders))
            raise ValueError(f"no scores under {asked}; wanted: folders of runs that have been evaluated")
        Console().print(results_table(rows))
        if self.out:
            _say(save_results(rows, self.out))


@command(
    "compare",
    "is the first method better than each of the others, over training seeds, and how sure is that?",
)
@dataclasses.dataclass(frozen=True)
class Compare:
    groups: tuple[str, ...] = dataclasses.field(kw_only=True)
    """Two or more of [NAME=]PATH[:METHOD]: a run directory, a directory of runs or a pattern of these ('runs/goal-*'), each run one
    training seed; METHOD of their scores (default: agent)."""
    margin: float | None = None
    """A difference in mean return that would not matter; by default 5 % of the other method's."""
    seed: int = 0
    """Of the bootstrap; the same input gives the same output."""
    lang: Literal["en", "zh"] = "en"
    """Language of what is said."""
    out: Path | None = None
    """Where to write the verdicts as JSON too."""

    def run(self) -> None:
        from rich.console import Console

        from bestreply.files import write_json
        from bestreply.provenance import provenance
        from bestreply.report.texts import load_texts
        from bestreply.sweeps.compare import compare, read_group, sentence, verdict_table

        if len(self.groups) < 2:
            raise ValueError(
                f"{len(self.groups)} given; wanted: at least two groups of runs, such as ours='runs/a-*' blue='runs/b-*'"
            )
        groups = [read_group(text) for text in self.groups]
        overall = load_texts(self.lang)("verdicts_all")
        found = compare(groups, margin=self.margin, seed=self.seed, overall=overall)
        Console().print(verdict_table(found, self.lang))
        _say(*(sentence(v, self.lang) for v in found))
        if self.out:
            rows = [dataclasses.asdict(v) | {"said": sentence(v, self.lang)} for v in found]
            write_json(self.out, {"verdicts": rows, "provenance": provenance(self.seed)})
            _say(self.out)


@command(
    "report", "one self-contained page from a run's files; of several runs, or a folder of them, one over all"
)
@dataclasses.dataclass(frozen=True)
class Report:
    folders: tuple[Path, ...] = dataclasses.field(kw_only=True)
    """A run directory, for its own page; or several, or folders of runs or sweeps, for a page and a Markdown text over all of them.
    None given: runs/."""
    lang: Literal["en", "zh"] = "en"
    """Language of the page."""
    since: str | None = None
    """Over several: only runs made since then, such as 7d, 24h or 2026-11-01; by default all."""
    baseline: str | None = None
    """Over several: the method that all others are held against; by default every pair is compared."""
    out: Path | None = None
    """Over several: the folder to write report.html and report.md to; by default the one that holds all of them."""

    def run(self) -> None:
        from bestreply.report import write_report, write_report_over_runs
        from bestreply.report.weekly.find import holds_run

        asked = {"since": self.since, "baseline": self.baseline, "out": self.out}
        if len(self.folders) == 1 and holds_run(self.folders[0]):
            if given := [f"--{name}" for name, value in asked.items() if value is not None]:
                raise ValueError(
                    f"{', '.join(given)} with one run directory; wanted: several, or a folder of runs"
                )
            _say(write_report(self.folders[0], self.lang))
            return
        _say(*write_report_over_runs(self.folders or (Path("runs"),), self.lang, **asked))


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
    planner: Literal["one_step", "look_ahead", "rollout", "search"] | None = None
    """How the agent plans; by default as the run's configuration says."""
    lang: Literal["en", "zh"] = "en"
    """Language of the page."""

    def run(self) -> None:
        from bestreply.run import load_run
        from bestreply.view import view_run

        settings: dict[str, Any] = {"seed": self.seed, "planner": self.planner, "lang": self.lang}
        _say(view_run(load_run(self.run_dir), self.opponents, self.episodes, **settings))


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
    planner: Literal["one_step", "look_ahead", "rollout", "search"] | None = None
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
            _say(sitting.out)


@command("run", "collect, train, evaluate and report, from one configuration")
@dataclasses.dataclass(frozen=True)
class Run(RunConfig):
    out: Path | None = None
    """The run directory; by default a new one in runs/, its dataset in datasets/ beside it."""
    resume: bool = False
    """Go on with what --out holds already."""

    def run(self) -> None:
        from bestreply.experiment import run_all

        done = run_all(_config_of(self), self.out, resume=self.resume)
        _show_table(done.path)
        _say(done.path / "report.html")


# -- datasets ------------------------------------------------------------------------------------------------------------------


@command("data describe", "what a dataset holds")
@dataclasses.dataclass(frozen=True)
class Describe:
    path: Path
    """The dataset's folder."""

    def run(self) -> None:
        from bestreply.data.store import open_store

        _say(open_store(self.path).describe())


@command("data validate", "what is wrong with a dataset, and where; exit status 1 if anything is")
@dataclasses.dataclass(frozen=True)
class Validate:
    path: Path
    """The dataset's folder."""

    def run(self) -> None:
        from bestreply.data.validate import validate

        problems = validate(self.path)
        _say(*(problems or [f"{self.path}: nothing wrong"]))
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
            _say(self.out)
