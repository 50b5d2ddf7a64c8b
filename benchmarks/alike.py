"""`python -m benchmarks.alike RUNS... [--table]`: what it is worth to think that all the others may be of one type (`planner.alike`).

RUNS are folders of the agent's runs, one for each training seed (``runs/drift4/drift4/agent``). Every agent of a run has the same models
and plays the same games, all seats in turn, against the run's own opponent sets, and against itself. Only the prior differs: the
probability that all the others are of one type, the rest of which takes each for itself, as the seats of the play were drawn that it
learned from. Writes results/alike/GAME.json, by the name of the game, and README.md.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.runs import runs_in
from benchmarks.timing import over_seeds, table
from bestreply.evaluate import evaluate_all
from bestreply.files import write_json
from bestreply.provenance import provenance

OUT = Path("results") / "alike"
PRIORS = (0.0, 0.5, 0.9)
EPISODES, SEED = 400, 50_000


def measure(folder: Path) -> None:
    """Row after row: a measurement that was stopped goes on where it was."""
    runs = runs_in(folder)
    game, seeds = runs[0].game, [run.config.seed for run in runs]
    out = OUT / f"{game.name}.json"
    before = json.loads(out.read_text()) if out.exists() else {"game": runs[0].config.game, "rows": []}
    rows: list[dict[str, Any]] = before["rows"]
    if before["game"] != runs[0].config.game or any(row["seeds"] != seeds for row in rows):
        raise ValueError(
            f"{out} is of other runs than {folder}, seeds {seeds}; wanted: the same, or no such file"
        )
    done = [row["opponents"] for row in rows]
    for others in (*runs[0].config.evaluate.opponents, "self"):
        if others in done:
            continue
        means: dict[float, list[float]] = {alike: [] for alike in PRIORS}
        for run in runs:
            agents = {str(alike): run.agent(alike=alike) for alike in PRIORS}
            scores = evaluate_all(run.game, agents, [others], EPISODES, SEED)
            for alike in PRIORS:
                means[alike].append(scores.mean(str(alike)))
        rows += [{"opponents": others, "alike": a, "seeds": seeds, "mean": mean} for a, mean in means.items()]
        facts = {"game": runs[0].config.game, "episodes": EPISODES, "provenance": provenance(SEED)}
        write_json(out, {"rows": rows, **facts})


def summary() -> str:
    parts = ["# Others that may be alike", (__doc__ or "").partition("\n\n")[2].strip()]
    for path in sorted(OUT.glob("*.json")):
        found = json.loads(path.read_text())
        sets = [*dict.fromkeys(row["opponents"] for row in found["rows"])]
        priors = [*dict.fromkeys(row["alike"] for row in found["rows"])]
        of = {(row["alike"], row["opponents"]): over_seeds(row["mean"], 2) for row in found["rows"]}
        seeds = ", ".join(map(str, found["rows"][0]["seeds"]))
        lines = [[prior, *(of.get((prior, name), "-") for name in sets)] for prior in priors]
        parts += [
            f"## `{found['game']}`",
            f"Mean return of {found['episodes']} games a cell and seed; training seeds {seeds}; ± half of the 95 % interval over them.",
            table(["alike", *sets], lines),
        ]
    notes = OUT / "notes.md"
    return "\n\n".join([*parts, *([notes.read_text().rstrip()] if notes.exists() else [])]) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument(
        "--table", action="store_true", help="write README.md from what is there, and measure nothing"
    )
    asked = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    for one in [] if asked.table else asked.runs:
        measure(one)
    (OUT / "README.md").write_text(summary())
