"""The table of all campaigns, and the page made of it."""

import csv
import datetime
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.timing import table
from bestreply.utils.console import printable
from bestreply.utils.files import write_json, write_text
from bestreply.utils.provenance import git_revision
from experiments._page import details, join_page
from experiments.faults.verdicts import BAD
from experiments.faults.workers import Done

OUT = Path("results") / "faults"
COUNTS = ("kills", "inputs", "checkpoints")
GOALS = {"kills": 1_000, "inputs": 1_000_000, "checkpoints": 1_000}
COLUMNS = ("date", "revision", "seed", "minutes", *COUNTS, *BAD)


def add_row(
    out: Path,
    seed: int,
    minutes: float,
    counts: dict[str, int],
    done: Sequence[Done],
) -> dict[str, Any]:
    """Append a campaign to table.csv, and write its faults to last.json.

    Args:
        out: the folder.
        seed: seed of the campaign.
        minutes: its duration.
        counts: kills, inputs and checkpoints that were tried.
        done: the trials that ended in a fault.

    Returns:
        The row.
    """
    verdicts = Counter(d.verdict.verdict for d in done)
    today = datetime.datetime.now(datetime.UTC).date()
    row: dict[str, Any] = {
        "date": today.isoformat(),
        "revision": git_revision()[:12],
        "seed": seed,
        "minutes": round(minutes, 1),
        **counts,
        **{name: verdicts[name] for name in BAD},
    }
    out.mkdir(parents=True, exist_ok=True)
    rows = [*read_rows(out), row]
    lines = [",".join(COLUMNS)]
    lines += [",".join(str(r[name]) for name in COLUMNS) for r in rows]
    write_text(out / "table.csv", "\n".join(lines) + "\n")
    write_json(out / "last.json", {"row": row, "faults": _grouped(done)})
    return row


def read_rows(out: Path) -> list[dict[str, Any]]:
    """Return the rows of table.csv; none where there is no table.

    Args:
        out: the folder.
    """
    file = out / "table.csv"
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _grouped(done: Sequence[Done]) -> list[dict[str, Any]]:
    """Return one entry for each kind, verdict and beginning of the detail."""
    groups: dict[tuple[str, str, str], list[Done]] = {}
    for fault in done:
        key = fault.kind, fault.verdict.verdict, fault.verdict.detail[:40]
        groups.setdefault(key, []).append(fault)
    return [
        {
            "kind": kind,
            "verdict": verdict,
            "count": len(group),
            "numbers": [fault.number for fault in group[:5]],
            "detail": _plain(group[0].verdict.detail),
        }
        for (kind, verdict, _), group in sorted(
            groups.items(), key=lambda g: (BAD.index(g[0][1]), -len(g[1]))
        )
    ]


def _plain(text: str) -> str:
    """Return one line without control characters and without paths of a machine."""
    words = printable(text.encode("utf-8", "replace").decode()).split()
    kept = [Path(w).name if w.count("/") > 1 else w for w in words]
    return " ".join(kept)[:300]


def summary(out: Path, doc: str | None) -> str:
    """Return the page of a folder: the command, all campaigns, the last one's faults.

    Args:
        out: the folder.
        doc: docstring of the study.
    """
    rows = read_rows(out)
    total = {n: sum(int(row[n]) for row in rows) for n in (*COUNTS, *BAD)}
    lines = [[row[name] for name in COLUMNS] for row in rows]
    lines.append(["all", "", "", "", *(f"{total[n]:,}" for n in total)])
    goals = [f"{GOALS[n]:,} {n} ({total[n] / GOALS[n]:.1%})" for n in COUNTS]
    parts = [
        "# Campaigns of faults",
        details(doc),
        table(list(COLUMNS), lines),
        f"Goal of the totals: {', '.join(goals)}.",
    ]
    last = out / "last.json"
    faults = json.loads(last.read_text("utf-8"))["faults"] if rows else []
    if faults:
        head = ["verdict", "kind", "times", "first number", "what"]
        cells = [
            [f["verdict"], f["kind"], f["count"], f["numbers"][0], _code(f)]
            for f in faults
        ]
        parts += ["## Faults of the last campaign", table(head, cells)]
    return join_page(parts, out)


def _code(fault: dict[str, Any]) -> str:
    text = fault["detail"].replace("`", "'").replace("|", "/")
    return f"`{text[:160]}`"
