"""Commands over many runs: sweep, results, compare, diagnose."""

import dataclasses
import sys
from pathlib import Path
from typing import Any, Literal

from bestreply.cli.options import Language, Planner
from bestreply.cli.output import say, show
from bestreply.cli.registry import UsageError


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The same command continues a sweep that was interrupted. Exit status 1 if a unit failed.

    Example: bestreply sweep methods.toml --workers 2
    """

    file: Path
    """TOML file (docs/sweeps.md)."""
    out: Path | None = None
    """Folder of the runs; by default runs/ and the file's name."""
    workers: int = 1
    """Units at a time; with more than one, each runs in its own process."""
    executor: Literal["local", "ray"] = "local"
    """Where units run: on this machine, or on a Ray cluster (needs the extra `ray`), one per processor."""
    batch: int | None = None
    """Maximum number of seeds of one setting to train and evaluate together, as one compiled batch, if memory allows; 1: one after another.
    By default as many as memory allows on an accelerator, and one on a CPU, where a batch is no faster."""
    restart_changed: bool = False
    """Delete and restart units, finished or not, that were started with other settings or other data than the file now asks for."""
    address: str | None = None
    """Address of the Ray cluster; by default a local one. All its machines need the same folder."""

    def run(self) -> None:
        """Run the sweep, and print its scores, errors and folder."""
        from bestreply.scores.run_table import results_table, sweep_results
        from bestreply.sweeps.run_sweep import run_sweep
        from bestreply.sweeps.sweep import read_sweep

        sweep = read_sweep(self.file, self.out)
        failed = run_sweep(
            sweep,
            workers=self.workers,
            executor=self.executor,
            address=self.address,
            batch=self.batch,
            restart_changed=self.restart_changed,
        )
        rows = sweep_results([sweep.path], ["agent"])
        if rows:
            show(results_table(rows))
        say(*(f"failed: {unit.error}" for unit in failed), sweep.path)
        if failed:
            sys.exit(1)


@dataclasses.dataclass(frozen=True)
class Results:
    """Mean return and standard error over seeds, by folder, method and opponent set.

    Example: bestreply results runs/methods --method agent --out table.csv
    """

    folders: tuple[Path, ...] = dataclasses.field(kw_only=True)
    """Folders of runs or sweeps, searched recursively."""
    method: tuple[str, ...] = ()
    """Only these methods, such as agent; by default all."""
    opponents: tuple[str, ...] = ()
    """Only these opponent sets, named as in the scores; by default all."""
    out: Path | None = None
    """Table to write, a .csv or .parquet file with one row per run, method and opponent set."""

    def run(self) -> None:
        """Print the table, and write it to --out.

        Raises:
            ValueError: if no run has such scores.
        """
        from bestreply.scores.run_table import (
            results_table,
            save_results,
            sweep_results,
        )

        rows = sweep_results(self.folders, self.method, self.opponents)
        if not rows:
            folders = ", ".join(map(str, self.folders)) or "none"
            raise ValueError(
                f"folders={folders}: expected runs with scores of these methods and opponent sets. Make them: bestreply evaluate RUN"
            )
        show(results_table(rows))
        if self.out:
            say(save_results(rows, self.out))


@dataclasses.dataclass(frozen=True)
class Compare:
    """Tests the first method against each of the rest: better, worse, no difference larger than --margin, or undecided.

    Example: bestreply compare ours='runs/ours-*' iql='runs/iql-*'
    """

    groups: tuple[str, ...] = dataclasses.field(kw_only=True)
    """Two or more of [NAME=]PATH[:METHOD]. PATH is a run directory, a folder of runs or a pattern such as 'runs/goal-*', one run per
    training seed; METHOD is a method of their scores (default: agent). Or PATH is a table that `bestreply results --out` wrote, and
    METHOD the folder of a method's runs, table.csv:iql."""
    margin: float | None = None
    """Largest difference in mean return that counts as equal; by default 5 % of the other method's mean return."""
    seed: int = 0
    """Random seed of the bootstrap."""
    lang: Language = "en"
    """Language of the verdicts."""
    out: Path | None = None
    """JSON file to write the verdicts to."""

    def run(self) -> None:
        """Print the table of verdicts and a sentence for each, and write them to --out.

        Raises:
            UsageError: for fewer than two groups.
        """
        if len(self.groups) < 2:
            raise UsageError(
                f"{len(self.groups)} groups: expected at least two groups of runs, such as ours='runs/a-*' iql='runs/b-*'"
            )
        from bestreply.report.texts import load_texts
        from bestreply.report.verdict_text import sentence, verdict_table
        from bestreply.scores.compare import compare, read_group
        from bestreply.utils.files import write_json
        from bestreply.utils.provenance import provenance

        groups = [read_group(text) for text in self.groups]
        overall = load_texts(self.lang)("verdicts_all")
        verdicts = compare(
            groups, margin=self.margin, seed=self.seed, overall=overall
        )
        show(verdict_table(verdicts, self.lang))
        say(*(sentence(verdict, self.lang) for verdict in verdicts))
        if self.out:
            rows = [
                dataclasses.asdict(verdict)
                | {"said": sentence(verdict, self.lang)}
                for verdict in verdicts
            ]
            write_json(
                self.out,
                {"verdicts": rows, "provenance": provenance(self.seed)},
            )
            say(self.out)


@dataclasses.dataclass(frozen=True)
class Diagnose:
    """Attributes the regret to opponent model, world model, planning depth and value function, per opponent set.

    Several runs that differ in their seed alone give one table with confidence intervals.

    Example: bestreply diagnose runs/seed-0 runs/seed-1 --opponents nearest_stag
    """

    run_dirs: tuple[Path, ...] = dataclasses.field(kw_only=True)
    """One run directory, or several that differ in their seed alone."""
    opponents: tuple[str, ...] = ()
    """Opponent sets: a player for all other seats, or N-1 players with commas; by default each player in the dataset."""
    episodes: int = 256
    """Episodes per opponent set."""
    planner: Planner | None = None
    """Planner of the agent; by default that of the run's configuration."""
    types: Literal["inferred", "true"] = "inferred"
    """Whether the agent infers the opponents' types from play, or is given them."""
    out: Path | None = None
    """JSON file to write the table to."""
    allow_import: tuple[str, ...] = ()
    """Modules or packages that names in the run may import. Without them a run from elsewhere runs no code."""

    def run(self) -> None:
        """Diagnose each run, and print the table and the paths of the files.

        Raises:
            UsageError: without a run directory.
        """
        if not self.run_dirs:
            raise UsageError(
                "0 run directories: expected one, or several that differ in their seed alone"
            )
        from bestreply.analysis.regret import diagnose_run
        from bestreply.analysis.regret_table import (
            check_comparable,
            regret_over_runs,
            regret_table,
        )
        from bestreply.games.recorded import is_recorded
        from bestreply.run import load_run
        from bestreply.utils.files import write_json
        from bestreply.utils.provenance import provenance

        runs = [
            load_run(path, allow_import=self.allow_import)
            for path in self.run_dirs
        ]
        if any(is_recorded(run.game) for run in runs):
            self._estimate(runs)
            return
        check_comparable(runs)
        paths = [
            diagnose_run(
                run,
                self.opponents,
                self.episodes,
                planner=self.planner,
                types=self.types,
            )
            for run in runs
        ]
        table = regret_over_runs(paths, [run.config.seed for run in runs])
        show(regret_table(table))
        say(*paths)
        if self.out:
            write_json(
                self.out,
                table | {"provenance": provenance(runs[0].config.seed)},
            )
            say(self.out)

    def _estimate(self, runs: "list[Any]") -> None:
        """Estimate returns from the data of runs whose game has no rules."""
        from bestreply.cli.flow import show_estimates
        from bestreply.pipeline import estimate_run

        if self.opponents or self.out:
            raise UsageError(
                "--opponents, --out: expected neither with a recorded game; its "
                "returns are estimated from the data"
            )
        for run in runs:
            path = estimate_run(run)
            show_estimates(path)
            say(path)
