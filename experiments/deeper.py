"""Compare planning one step ahead with two steps: the same agents in the same games.

RUNS is a folder with a run for each training seed (``runs/hunt4/hunt4/agent``). FILE
(JSON) gets mean returns of `EPISODES` games a seed by planner, against each opponent
set, all seats in turn. Each row is written when it is finished; an interrupted
measurement continues.
"""

import json
from pathlib import Path
from typing import Any

from benchmarks.runs import runs_in
from benchmarks.timing import over_seeds, table
from bestreply.evaluate import evaluate_all
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments._page import make_parser

PLANNERS = ("one_step", "expectimax")
EPISODES, SEED = 400, 50_000


def measure(folder: Path, out: Path, opponents: list[str]) -> dict[str, Any]:
    """Measure the missing rows, write the file after each and return its content."""
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
                f"--out {out}: expected a file of {runs[0].config.game}, which {folder} plays; it holds {found['game']}"
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
    """Return a table: mean returns over seeds by planner."""
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
    return table(["opponents", "seeds", *PLANNERS], lines)


def main() -> None:
    parser = make_parser("deeper", __doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--opponents", nargs="+", required=True)
    arguments = parser.parse_args()
    print(summary(measure(arguments.runs, arguments.out, arguments.opponents)))


if __name__ == "__main__":
    main()
