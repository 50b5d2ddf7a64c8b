"""Measure the cost of opponents that change type, and the gain from expecting changes.

Runs come from `python -m experiments shares stay train --kinds goals changing`, for
`--seeds`. Two kinds of runs learn from the same play: `goals`, and `changing`, whose
value was learned in imagined games in which types change (`train.change_rate`). Each
plays with the type given at each step, and with the type inferred; `goals` also with a
belief that expects no changes. All plan one step ahead and play the same games. The
loss is the return from the change on, relative to the better of the two runs with the
type given. Writes results/changes/stay.json, row after row; `--show` prints the tables.

`--shares` measures fractions of the exact best reply that infers the type, with the
runs' own planner, in 32 games of the first case: results/changes/shares.json.
"""

import dataclasses
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import over_seeds, table
from bestreply import load_run
from bestreply.analysis.change_detection import (
    MAX_FALSE_ALARMS,
    measure_changes,
)
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
"""Steps after a change from which rewards are compared."""

MIN_LOSS = 0.05
"""Losses below this have no regained fraction."""


def measure(seeds: list[int], path: Path) -> None:
    """Measure the missing rows and write the file after each."""
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    done = {(row["opponents"], row["seed"], row["kind"]) for row in rows}
    for case, seed, kind in product(CASES, seeds, ("goals", "changing")):
        if (case, seed, kind) in done:
            continue
        run = one_step(load_run(RUNS / "stay" / str(seed) / kind))
        measured = measure_changes(run, case, GAMES, SEED)
        assert measured is not None
        rows.append({"seed": seed, "kind": kind} | measured)
        write_json(path, {"rows": rows, "provenance": provenance(SEED)})


def one_step(run: Run) -> Run:
    """Return the run with a planner that is fast enough for thousands of games."""
    planner = dataclasses.replace(
        run.config.planner, planner="one_step", symmetry_averages=1
    )
    return dataclasses.replace(
        run, config=dataclasses.replace(run.config, planner=planner)
    )


def measure_shares(seeds: list[int], path: Path) -> None:
    """Measure the fraction of the best reply that infers the type, for each kind of run and change rate."""
    rows = []
    for rate, kind in product((0.0, CHANGE_RATE), ("goals", "changing")):
        runs = [load_run(RUNS / "stay" / str(seed) / kind) for seed in seeds]
        best = exact_reply(runs[0].game, "inferred", CASES[0])
        agents = [run.agent(change_rate=rate) for run in runs]
        measured = shares(best, agents, CASES[0], FEWER)
        row = {"kind": kind, "change_rate": rate, "seeds": seeds}
        rows.append(row | measured)
        content = {"against": CASES[0], "rows": rows}
        write_json(path, content | {"provenance": provenance(SEED)})
        print(kind, rate, over_seeds(measured["share"]))


def summary(rows: list[dict[str, Any]]) -> str:
    """Return the tables of results/changes/: means over seeds ± half of the 95 % interval."""
    cases = dict.fromkeys(row["opponents"] for row in rows)
    by_case = {
        case: {
            (row["seed"], row["kind"]): row
            for row in rows
            if row["opponents"] == case
        }
        for case in cases
    }
    seeds = sorted({row["seed"] for row in rows})
    losses = [_losses(case, seeds, by) for case, by in by_case.items()]
    detections = [
        _detection(case, name, [by[seed, kind] for seed in seeds])
        for case, by in by_case.items()
        for name, (kind, _) in list(AGENTS.items())[1:]
    ]
    head = [
        "opponent",
        "type given",
        *(f"lost, {name}" for name in AGENTS),
        "regained",
        f"reward after {WITHIN} steps",
    ]
    detection_head = ["opponent", "agent", "false alarms", "noticed", "delay"]
    return "\n\n".join([table(head, losses), table(detection_head, detections)])


def _losses(
    case: str, seeds: list[int], by: dict[tuple[int, str], Any]
) -> list[str]:
    """Return the row of one case: returns with the type given, and losses relative to them."""
    best = np.array(
        [
            max(
                by[seed, kind]["returns"]["oracle"]["mean"]
                for kind in ("goals", "changing")
            )
            for seed in seeds
        ]
    )
    lost = {
        name: best - [by[s, kind]["returns"][agent]["mean"] for s in seeds]
        for name, (kind, agent) in AGENTS.items()
    }
    unaware = lost["not expecting"].mean()
    regained = "-"
    if unaware > MIN_LOSS:
        regained = f"{1 - lost['trained to expect'].mean() / unaware:.0%}"
    later = [
        _later_reward([by[s, kind] for s in seeds], agent)
        for kind, agent in AGENTS.values()
    ]
    return [
        case,
        f"{best.mean():.2f}",
        *(over_seeds(each) for each in lost.values()),
        regained,
        " / ".join(f"{each:.2f}" for each in later),
    ]


def _detection(case: str, name: str, rows: list[dict[str, Any]]) -> list[str]:
    """Return the row of one agent, at each seed's threshold with the most detections and few false alarms."""
    chosen = [
        max(
            (
                point
                for point in row["curve"]
                if point["false_alarms"] <= MAX_FALSE_ALARMS
            ),
            key=lambda point: point["noticed"],
        )
        for row in rows
    ]
    false_alarms, noticed, delay = (
        np.mean([point[key] for point in chosen])
        for key in ("false_alarms", "noticed", "delay")
    )
    return [
        case,
        name,
        f"{false_alarms:.3f}",
        f"{noticed:.3f}",
        f"{delay:.1f}",
    ]


def _later_reward(rows: list[dict[str, Any]], agent: str) -> float:
    """Return the reward from `WITHIN` steps after the change on, as a fraction of that with the type given."""
    fractions = [
        np.sum(row["reward_since"][agent][WITHIN:])
        / np.sum(row["reward_since"]["oracle"][WITHIN:])
        for row in rows
    ]
    return float(np.mean(fractions))


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
