"""`python -m benchmarks.beliefs RUN [RUN ...]`: how soon trained models are right about who the others are, on play held out from them.

For runs that `python -m benchmarks.shares GAME train` has made, the dataset beside them. Writes results/beliefs/NAME.json, prints a table.
"""

import argparse
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.timing import table
from bestreply import load_run
from bestreply.beliefs import belief_table
from bestreply.data.store import open_store
from bestreply.files import write_json
from bestreply.model.targets import follow_beliefs
from bestreply.provenance import provenance
from bestreply.train import split_episodes

OUT = Path("results") / "beliefs"


def of_run(path: Path) -> dict[str, Any]:
    run = load_run(path)
    _, held_out = split_episodes(
        open_store(path.parent / "data").episodes(), run.config.train.holdout, run.config.seed
    )
    assert run.learner is not None
    beliefs = follow_beliefs(run.learner.opponents, jax.device_put(held_out))
    found = belief_table(run.config, run.learner.opponents, held_out, beliefs)
    assert found is not None
    return {"seed": run.config.seed, "game": run.config.game, **found}


def summary(rows: list[dict[str, Any]]) -> str:
    """Means and least values over seeds."""
    lines = []
    for kind in ("moves", "informative"):
        for k in range(min(len(row[kind]) for row in rows)):
            each = {n: np.array([row[kind][k][n] for row in rows]) for n in ("accuracy", "share", "bits")}
            lines.append(
                [
                    kind,
                    str(rows[0][kind][k]["moves"]),
                    *(f"{v.mean():.3f} ({v.min():.3f})" for v in each.values()),
                ]
            )
    ece = np.array([row["ece"] for row in rows])
    shown = table(["counted", "moves", "accuracy (least seed)", "believed of the truth", "bits"], lines)
    return f"{shown}\n\nExpected calibration error: {ece.mean():.3f}, at most {ece.max():.3f}; {len(rows)} seeds."


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.beliefs", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--name", default="stay")
    arguments = parser.parse_args()
    rows = [of_run(path) for path in arguments.runs]
    write_json(OUT / f"{arguments.name}.json", {"rows": rows, "provenance": provenance(0)})
    print(summary(rows))


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    main()
