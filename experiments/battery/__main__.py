"""Run the battery, and write its tables."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from benchmarks.timing import table
from bestreply.scores.result_files import load_results
from bestreply.scores.run_table import (
    methods_in,
    of_method,
    save_results,
    sweep_results,
)
from bestreply.scores.statistics import student_t
from bestreply.sweeps.run_sweep import run_sweep
from bestreply.sweeps.sweep import read_sweep
from bestreply.utils.files import write_json, write_text
from experiments import battery
from experiments._page import details, join_page, make_parser, write_page
from experiments.battery import estimates
from experiments.battery.settings import OWN, SETTINGS, Setting

OUT, RUNS = Path("results") / "battery", Path("runs") / "battery"
ESTIMATES, COVERAGE = OUT / "estimates.json", OUT / "coverage.json"
TRIALS = OUT / "trials.json"
MARGIN = 0.05
"""Of the span, by which the agent may fall behind."""
CLONING = "behaviour_cloning"
BASELINES = (CLONING, "iql", "ppo")
OWN_METHODS = ("agent", "true_types", "uniform_others")


def sweep_file(name: str, setting: Setting, seeds: int) -> str:
    """Return the sweep of a setting as TOML.

    Args:
        name: its name.
        setting: the setting.
        seeds: number of training seeds.
    """
    players = ", ".join(f'"{p}"' for p in setting.players)
    mixture = f"mixture({', '.join(setting.players)})"
    baselines = "\n\n".join(f'[methods.{m}]\nmethod = "{m}"' for m in BASELINES)
    return f"""# One setting of the battery (python -m experiments battery).
#     bestreply sweep results/battery/{name}.toml
preset = "demo"
seeds = {seeds}

[games]
{name} = "{setting.game}"

[config.collect]
players = [{players}]
episodes = {setting.episodes}

[config.evaluate]
methods = ["agent"]
opponents = [{players}, "{mixture}"]
episodes = 300
reference_layouts = 0
changes = false

[methods.agent]
evaluate.methods = ["agent", "true_types", "uniform_others", "data_players", "random"]

{baselines}
"""


def run(name: str, seeds: int | None, methods: list[str] | None) -> None:
    """Run a setting, and write its results.

    Args:
        name: a key of `SETTINGS`.
        seeds: number of seeds; None: those of the setting.
        methods: some of the sweep's; None: all.
    """
    setting = SETTINGS[name]
    file = OUT / f"{name}.toml"
    write_text(file, sweep_file(name, setting, setting.seeds))
    sweep = read_sweep(file, RUNS / name)
    units = [
        unit
        for unit in sweep.units
        if (seeds is None or unit.config.seed < seeds)
        and (methods is None or unit.path.parent.name in methods)
    ]
    sweep = dataclasses.replace(sweep, units=tuple(units))
    command = f"python -m experiments battery {name}"
    if failed := run_sweep(sweep, command=command):
        print(f"{name}: {len(failed)} units failed", flush=True)
    save_results(with_earlier(name), OUT / f"{name}.csv")
    keep_trials(name)


def with_earlier(name: str) -> list[dict[str, Any]]:
    """Return the rows of a setting's runs, and those in its file of other runs.

    Args:
        name: a key of `SETTINGS`.
    """
    rows, file = list(sweep_results([RUNS / name])), OUT / f"{name}.csv"
    runs = {(row["folder"], row["run"]) for row in rows}
    earlier = load_results(file) if file.exists() else []
    return rows + [r for r in earlier if (r["folder"], r["run"]) not in runs]


def keep_trials(name: str) -> None:
    """Keep what the trials of a setting found, by seed."""
    found = json.loads(TRIALS.read_text()) if TRIALS.exists() else {}
    folders = sorted((RUNS / name / name / "agent").glob("*"))
    of_seeds = {
        folder.name: estimates.tried(folder)
        for folder in folders
        if (folder / "trials.json").exists()
    }
    if of_seeds:
        write_json(TRIALS, found | {name: of_seeds})


# -- tables ------------------------------------------------------------------


class Cell:
    """A role and an opponent set: mean returns by method and seed."""

    def __init__(self, rows: list[dict], opponents: str) -> None:
        """Read the rows of one opponent set.

        Args:
            rows: rows of a results file.
            opponents: the set.
        """
        here = [row for row in rows if row["opponents"] == opponents]
        self.opponents = opponents
        self.drawn = "mixture(" in opponents
        self.returns = {
            method: {r["seed"]: r["mean"] for r in of_method(here, method)}
            for method in methods_in(here)
        }

    @property
    def players(self) -> list[str]:
        """The players of the data, the random player among them."""
        known = {*OWN_METHODS, *BASELINES}
        return [m for m in self.returns if m not in known]

    def mean(self, method: str) -> float:
        return float(np.mean([*self.returns[method].values()]))

    @property
    def span(self) -> float:
        """Best player of the data less the random one; of all methods where that is 0."""
        random, methods = self.mean("random"), [*self.returns]
        for names in (self.players, methods):
            span = max(map(self.mean, names)) - random
            if span > 0:
                return span
        return 1.0

    def less(self, one: str, other: str) -> Float[np.ndarray, " S"]:
        """Return one method's return minus another's, of each seed."""
        a, b = self.returns[one], self.returns[other]
        return np.array([a[s] - b[s] for s in sorted(set(a) & set(b))])

    def lower(self, one: str, other: str) -> float:
        """Return the lower 95 % bound of `less`, as a fraction of the span."""
        less = self.less(one, other)
        if len(less) < 2:
            return float(less.mean() / self.span)
        error = less.std(ddof=1) / np.sqrt(len(less))
        bound = less.mean() - student_t(len(less) - 1, 0.95) * error
        return float(bound / self.span)


def cells_of(name: str) -> list[Cell]:
    """Return the cells of a setting."""
    rows = load_results(OUT / f"{name}.csv")
    sets = dict.fromkeys(row["opponents"] for row in rows)
    return [Cell(rows, opponents) for opponents in sets]


def beaten(cell: Cell, method: str) -> list[tuple[str, float]]:
    """Return each other method that the agent is below, with the bound."""
    rivals = [*cell.players]
    if cell.drawn and CLONING in cell.returns:
        rivals.append(CLONING)
    bounds = [(rival, cell.lower(method, rival)) for rival in rivals]
    return [(rival, b) for rival, b in bounds if b < -MARGIN]


def _short(text: str) -> str:
    return text.replace(f"{OWN}:", "").replace(" | ", ", beside ")


def setting_table(name: str) -> list[str]:
    """Return the lines of a setting: its cells, returns and what it is below."""
    lines, kept = [], 0
    cells = cells_of(name)
    for cell in cells:
        method = "agent" if cell.drawn else "true_types"
        if method not in cell.returns:
            continue
        below = beaten(cell, method)
        kept += not below
        rivals = [*cell.players, *(m for m in BASELINES if m in cell.returns)]
        best = max(cell.players, key=cell.mean)
        said = ", ".join(f"{_short(r)} ({b:+.2f})" for r, b in below)
        lines.append(
            [
                f"({'a' if cell.drawn else 'b'}) {_short(cell.opponents)}",
                f"{cell.mean(method):.2f}",
                f"{cell.mean('agent'):.2f}",
                f"{_short(best)} {cell.mean(best):.2f}",
                *(
                    f"{cell.mean(m):.2f}" if m in rivals else "-"
                    for m in (*BASELINES, "random")
                ),
                said or "none",
            ]
        )
    seeds = max(len(r) for cell in cells for r in cell.returns.values())
    head = [
        "cell",
        "agent",
        "inferred",
        "best player of the data",
        *BASELINES,
        "random",
        "below (bound in spans)",
    ]
    return [
        f"## {name}: `{SETTINGS[name].game}`",
        f"Training seeds: {seeds}. Not below in {kept} of {len(lines)} cells.",
        table(head, lines),
    ]


def page() -> str:
    """Return results/battery/README.md from the results files."""
    names = [name for name in SETTINGS if (OUT / f"{name}.csv").exists()]
    parts = ["# The battery", details(battery.__doc__)]
    for name in names:
        parts += setting_table(name)
    if TRIALS.exists():
        parts += estimates.trials_table(json.loads(TRIALS.read_text()))
    if COVERAGE.exists():
        parts += estimates.coverage_table(json.loads(COVERAGE.read_text()))
    if ESTIMATES.exists():
        parts += estimates.page(json.loads(ESTIMATES.read_text()))
    return join_page(parts, OUT)


def estimate(names: list[str]) -> None:
    """Compare the choice by logged play with that in play, of each trained setting."""
    found = json.loads(ESTIMATES.read_text()) if ESTIMATES.exists() else {}
    for name in names:
        run = RUNS / name / name / "agent" / "0"
        if (run / "trials.json").exists():
            out = RUNS / name / "estimates"
            found[name] = estimates.compare(run, out)
            write_json(ESTIMATES, found)


def cover(names: list[str]) -> None:
    """Estimate what the trained agents earn from logged play, unless it is done."""
    rows = json.loads(COVERAGE.read_text()) if COVERAGE.exists() else []
    done = {(row["setting"], row["seed"]) for row in rows}
    for name in names:
        cells = [cell for cell in _cells(name) if cell.drawn]
        for folder in sorted((RUNS / name / name / "agent").glob("*")):
            seed = int(folder.name)
            trained = (folder / "scores.parquet").exists()
            if not trained or (name, seed) in done:
                continue
            for row in estimates.cover(folder):
                several = len(cells) > 1
                (cell,) = (
                    c
                    for c in cells
                    if not several or c.opponents.startswith(f"{row['role']} |")
                )
                played = cell.returns["agent"][seed]
                rows.append(
                    {"setting": name, "seed": seed, **row, "played": played}
                )
            write_json(COVERAGE, rows)


def _cells(name: str) -> list[Cell]:
    return cells_of(name) if (OUT / f"{name}.csv").exists() else []


def main() -> None:
    """Run the settings that the command line names."""
    parser = make_parser("battery", battery.__doc__)
    parser.add_argument("names", nargs="*", metavar="SETTING")
    parser.add_argument("--seeds", type=int, help="fewer seeds")
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=["agent", *BASELINES],
        help="only these of a setting's methods",
    )
    parser.add_argument("--table", action="store_true", help="only the page")
    parser.add_argument(
        "--estimates",
        action="store_true",
        help="only compare the choice of closeness by logged play with that in play",
    )
    parser.add_argument(
        "--coverage",
        action="store_true",
        help="only estimate the agents' returns from logged play",
    )
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    unknown = sorted(set(arguments.names) - set(SETTINGS))
    if unknown:
        parser.error(
            f"{', '.join(unknown)}: expected some of {', '.join(SETTINGS)}"
        )
    names = arguments.names or [*SETTINGS]
    if arguments.estimates:
        estimate(names)
    elif arguments.coverage:
        cover(names)
    elif not arguments.table:
        for name in names:
            run(name, arguments.seeds, arguments.methods)
            write_page(page(), OUT)
    write_page(page(), OUT)


if __name__ == "__main__":
    main()
