"""Many runs: sweeps, their results, verdicts and reports."""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

from bestreply.cli.registry import command, say


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
    batch: int | None = None
    """Most seeds of one setting that this process trains at once, as one compiled batch, if memory allows; 1: one after another. By default
    as many as memory allows on an accelerator, and one on a processor, where a batch is no faster."""
    restart_changed: bool = False
    """Remove and begin anew what was begun before the file was changed, and not finished."""
    address: str | None = None
    """Of the Ray cluster; by default a local one. All of its machines have to see the same folder."""

    def run(self) -> None:
        from rich.console import Console

        from bestreply.sweeps.results import results_table, sweep_results
        from bestreply.sweeps.sweep import read_sweep, run_sweep

        sweep = read_sweep(self.file, self.out)
        failed = run_sweep(
            sweep,
            workers=self.workers,
            executor=self.executor,
            address=self.address,
            batch=self.batch,
            restart_changed=self.restart_changed,
        )
        if rows := sweep_results([sweep.path], ["agent"]):
            Console().print(results_table(rows))
        say(*(f"failed: {unit.error}" for unit in failed), sweep.path)
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
            say(save_results(rows, self.out))


@command(
    "compare",
    "is the first method better than each of the others, over training seeds, and how sure is that?",
)
@dataclasses.dataclass(frozen=True)
class Compare:
    groups: tuple[str, ...] = dataclasses.field(kw_only=True)
    """Two or more of [NAME=]PATH[:METHOD]: a run directory, a directory of runs or a pattern of these ('runs/goal-*'), each run one
    training seed; METHOD of their scores (default: agent). Or a table that `bestreply results --out` wrote; METHOD is then the folder of a
    method's runs (table.csv:iql)."""
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
        say(*(sentence(v, self.lang) for v in found))
        if self.out:
            rows = [dataclasses.asdict(v) | {"said": sentence(v, self.lang)} for v in found]
            write_json(self.out, {"verdicts": rows, "provenance": provenance(self.seed)})
            say(self.out)


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
            say(write_report(self.folders[0], self.lang))
            return
        say(*write_report_over_runs(self.folders or (Path("runs"),), self.lang, **asked))
