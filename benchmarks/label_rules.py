"""`python -m benchmarks.label_rules`: the table of results/label_rules/README.md, from the files that the commands in it wrote."""

import json
from pathlib import Path

import numpy as np

from benchmarks.timing import table

OUT = Path("results") / "label_rules"


def summary() -> str:
    """A row for each file and rule, over everybody, and against the rule that keeps steps on the way to an event alone."""
    rows, commands = [], []
    for path in sorted(OUT.glob("*.json")):
        found = json.loads(path.read_text())
        commands.append(f"    {found['provenance']['command']}")
        everybody = {row["rule"]: row for row in found["rows"] if row["player"] == "everybody"}
        base = everybody["event"]
        for rule, row in everybody.items():
            more = np.mean(row["steps"]) / np.mean(base["steps"])
            apart = np.array(row["log_loss"]) - base["log_loss"]
            means = {name: np.mean(row[name]) for name in ("per_env_step", "per_second", "log_loss", "top1")}
            rows.append(
                [
                    path.stem,
                    rule,
                    f"{means['per_env_step']:.2f}",
                    f"{more:.1f}",
                    f"{means['per_second']:,.0f}",
                    f"{means['log_loss']:.3f}",
                    f"{apart.mean():+.3f} ({apart.max():+.3f})",
                    f"{means['top1']:.3f}",
                ]
            )
    head = [
        "play",
        "rule",
        "steps kept per env step",
        "of `event`",
        "per second",
        "log-loss",
        "against `event` (worst seed)",
        "top-1",
    ]
    return "\n".join(["\n".join(commands), "", table(head, rows)])


if __name__ == "__main__":
    print(summary())
