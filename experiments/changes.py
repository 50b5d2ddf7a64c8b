"""Measure the cost of opponents that change type, and the gain from expecting changes.

Runs come from `python -m experiments shares stay train --kinds goals changing`, for `--seeds`. Two kinds of runs learn from the same
play: `goals`, and `changing`, whose value was learned in imagined games in which types change (`train.change_rate`). Each plays with
the type given at each step, and with the type inferred; `goals` also with a belief that expects no changes. All plan one step ahead
and play the same games. The loss is the return from the change on, relative to the better of the two runs with the type given.
Writes results/changes/stay.json, row after row; `--show` prints the tables.

`--shares` measures fractions of the exact best reply that infers the type, with the runs' own planner, in 32 games of the first case:
results/changes/shares.json.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import over_seeds, table
from bestreply import load_run
from bestreply.analysis.change_detection import measure_changes
from bestreply.run import Run
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments._page import make_parser
from experiments.shares import CHANGE_RATE, FEWER, RUNS, exact_reply, shares

OUT = Path("results") / "changes"
GAMES, SEED = 500, 40_000
AGENTS = {
    "not expecting": ("goals", "not expecting"),
    "expecting": ("goals", "expecting"),
    "trained to expect": ("changing", "expecting"),
}
"""Kind of the run, and agent of `bestreply.analysis.change_detection`, by column."""
CASES = (
    "switching(nearest_stag, nearest_hare, random=10)",
    "switching(nearest_hare, nearest_stag, random=10)",
)
WITHIN = 5
"""Steps after a change from which on rewards are compared with those of the agent that is told."""

MIN_LOSS = 0.05
"""Losses below this have no regained fraction."""


def measure(seeds: list[int], path: Path) -> None:
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    for case in CASES:
        for seed in seeds:
            for kind in ("goals", "changing"):
                if any(
                    (r["opponents"], r["seed"], r["kind"]) == (case, seed, kind)
                    for r in rows
                ):
                    continue
                found = measure_changes(
                    one_step(load_run(RUNS / "stay" / str(seed) / kind)),
                    case,
                    GAMES,
                    SEED,
                )
                assert found is not None
                rows.append({"seed": seed, "kind": kind} | found)
                write_json(path, {"rows": rows, "provenance": provenance(SEED)})


def one_step(run: Run) -> Run:
    """The run with a planner that is cheap enough for thousands of games."""
    planner = dataclasses.replace(
        run.config.planner, planner="one_step", symmetry_averages=1
    )
    return dataclasses.replace(
        run, config=dataclasses.replace(run.config, planner=planner)
    )


def measure_shares(seeds: list[int], path: Path) -> None:
    rows = []
    for kind, rate in (
        ("goals", 0.0),
        ("changing", 0.0),
        ("goals", CHANGE_RATE),
        ("changing", CHANGE_RATE),
    ):
        runs = [load_run(RUNS / "stay" / str(seed) / kind) for seed in seeds]
        best = exact_reply(runs[0].game, "inferred", CASES[0])
        found = shares(
            best, [run.agent(change_rate=rate) for run in runs], CASES[0], FEWER
        )
        rows.append({"kind": kind, "change_rate": rate, "seeds": seeds} | found)
        write_json(
            path,
            {"against": CASES[0], "rows": rows, "provenance": provenance(SEED)},
        )
        print(kind, rate, over_seeds(found["share"]))


def summary(rows: list[dict[str, Any]]) -> str:
    """Return the tables of results/changes/: means over seeds ± half of the 95 % interval."""
    lost, noticed = [], []
    seeds = sorted({row["seed"] for row in rows})
    for case in dict.fromkeys(row["opponents"] for row in rows):
        by = {
            (row["seed"], row["kind"]): row
            for row in rows
            if row["opponents"] == case
        }
        best = np.array(
            [
                max(
                    by[s, k]["returns"]["oracle"]["mean"]
                    for k in ("goals", "changing")
                )
                for s in seeds
            ]
        )
        each = {
            name: best - [by[s, kind]["returns"][agent]["mean"] for s in seeds]
            for name, (kind, agent) in AGENTS.items()
        }
        plain = each["not expecting"]
        caught = [
            _caught_up([by[s, kind] for s in seeds], agent)
            for kind, agent in AGENTS.values()
        ]
        lost.append(
            [
                case,
                f"{best.mean():.2f}",
                *(over_seeds(x) for x in each.values()),
                f"{1 - each['trained to expect'].mean() / plain.mean():.0%}"
                if plain.mean() > MIN_LOSS
                else "-",
                " / ".join(f"{x:.2f}" for x in caught),
            ]
        )
        for name, (kind, _) in list(AGENTS.items())[1:]:
            quiet = [
                max(
                    (
                        r
                        for r in by[s, kind]["curve"]
                        if r["false_alarms"] <= 0.01
                    ),
                    key=lambda r: r["noticed"],
                )
                for s in seeds
            ]
            noticed.append(
                [
                    case,
                    name,
                    *(
                        f"{np.mean([r[k] for r in quiet]):.3f}"
                        for k in ("false_alarms", "noticed")
                    ),
                    f"{np.mean([r['delay'] for r in quiet]):.1f}",
                ]
            )
    return "\n\n".join(
        [
            table(
                [
                    "others",
                    "told",
                    *(f"lost, {name}" for name in AGENTS),
                    "of it regained",
                    "reward after 5 steps",
                ],
                lost,
            ),
            table(
                ["others", "agent", "false alarms", "noticed", "delay"], noticed
            ),
        ]
    )


def _caught_up(rows: list[dict[str, Any]], agent: str) -> float:
    """The reward from `WITHIN` steps after the change on, as a share of that of the same models told."""
    shares = [
        np.sum(r["reward_since"][agent][WITHIN:])
        / np.sum(r["reward_since"]["oracle"][WITHIN:])
        for r in rows
    ]
    return float(np.mean(shares))


def main() -> None:
    parser = make_parser("changes", __doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--shares", action="store_true")
    arguments, path = parser.parse_args(), OUT / "stay.json"
    OUT.mkdir(parents=True, exist_ok=True)
    if arguments.shares:
        measure_shares(arguments.seeds, OUT / "shares.json")
        return
    if not arguments.show:
        measure(arguments.seeds, path)
    print(summary(json.loads(path.read_text())["rows"]))


if __name__ == "__main__":
    main()
