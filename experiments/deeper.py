"""`python -m experiments.deeper RUNS --out FILE --opponents ...`: the same agents one step ahead and two, in the same games.

RUNS is a folder of the agent's runs, one for each training seed (``runs/hunt4/hunt4/agent``). FILE, JSON, gets the mean return of
`EPISODES` games a seed by planner, against each of the opponent sets, all seats in turn. Row after row: a measurement that was
stopped goes on where it was.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.runs import runs_in
from benchmarks.timing import over_seeds, table
from bestreply.evaluate import evaluate_all
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance

PLANNERS = ("one_step", "expectimax")
EPISODES, SEED = 400, 50_000


def measure(folder: Path, out: Path, opponents: list[str]) -> dict[str, Any]:
    runs = runs_in(folder)
    found: dict[str, Any] = {
        "game": runs[0].config.game,
        "episodes": EPISODES,
        "rows": [],
    }
    if out.exists():
        found = json.loads(out.read_text())
        if found["game"] != runs[0].config.game:
            raise SystemExit(
                f"{out} is of {found['game']}, {folder} of {runs[0].config.game}; expected: one game a file"
            )
    done = [(row["opponents"], row["seed"]) for row in found["rows"]]
    for others in opponents:
        for run in runs:
            if (others, run.config.seed) in done:
                continue
            agents = {planner: run.agent(planner) for planner in PLANNERS}
            scores = evaluate_all(run.game, agents, [others], EPISODES, SEED)
            means = {planner: scores.mean(planner) for planner in PLANNERS}
            found["rows"].append(
                {"opponents": others, "seed": run.config.seed, **means}
            )
            write_json(out, found | {"provenance": provenance(SEED)})
    return found


def summary(found: dict[str, Any]) -> str:
    lines = []
    for others in dict.fromkeys(row["opponents"] for row in found["rows"]):
        rows = [row for row in found["rows"] if row["opponents"] == others]
        lines.append(
            [
                others,
                len(rows),
                *(over_seeds([row[p] for row in rows], 3) for p in PLANNERS),
            ]
        )
    return table(["against", "seeds", *PLANNERS], lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m experiments.deeper",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--opponents", nargs="+", required=True)
    asked = parser.parse_args()
    print(summary(measure(asked.runs, asked.out, asked.opponents)))
