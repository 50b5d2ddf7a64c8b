"""The page results/roshambo/README.md, from its JSON files and notes."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import table
from experiments.roshambo import measure
from experiments.roshambo.programs import held_out, names

Rows = dict[str, dict[str, dict[str, list[int]]]]
"""Returns of each match, by agent, seed and program."""
TITLES = {"all": "Trained on all 43", "thirty": "Trained on 30"}
HEAD = """# Rock-paper-scissors against 43 programs

    python -m experiments roshambo references      # players without training
    python -m experiments roshambo train           # --trained-on all|thirty --seeds 0 1 ...; finished work is not repeated
    python -m experiments roshambo judge           # every trained run
    python -m experiments roshambo table           # this page

The programs ship with OpenSpiel (`pip install 'bestreply[openspiel]'`). A match has 1000 throws; a win counts 1, a loss -1. The return
against a program is the mean over matches. Trained agents: mean over training seeds ± standard error over seeds. Players without
training: ± standard error over matches. *Worst*: the program with the lowest mean return.
"""


def summary(folder: Path) -> str:
    """Return the page of a folder."""
    references = _rows(folder / "references.json")
    parts = [
        HEAD,
        "## Players without training",
        "",
        _table(_references(references)),
        "",
    ]
    for kind, title in TITLES.items():
        path = folder / f"{kind}.json"
        if path.exists():
            found = json.loads(path.read_text())
            parts += [
                f"## {title}",
                "",
                _cost(found["took"]),
                "",
                _table(_learned(found["rows"])),
                "",
            ]
    if (folder / "all.json").exists():
        every = json.loads((folder / "all.json").read_text())["rows"][
            measure.FULL_AGENT
        ]
        parts += [
            "## Programs that the agent beats least",
            "",
            _close(every),
            "",
        ]
    parts += ["## By program", "", _each(folder, references), ""]
    notes = folder / "notes.md"
    return "\n".join(parts) + (
        "\n" + notes.read_text() if notes.exists() else ""
    )


def _rows(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())["rows"] if path.exists() else {}


def _table(rows: list[list[str]]) -> str:
    return table(["agent", *measure.groups(), "worst"], rows)


def _references(references: dict[str, dict[str, list[int]]]) -> list[list[str]]:
    rows = []
    for name, found in references.items():
        cells = []
        for programs in measure.groups().values():
            error = measure.error_of_matches({p: found[p] for p in programs})
            cells.append(
                f"{measure.mean_over(found, programs):.1f} ± {error:.1f}"
            )
        rows.append([name, *cells, _worst(found)])
    return rows


def _learned(rows: Rows) -> list[list[str]]:
    table_rows = []
    for name, seeds in rows.items():
        cells = []
        for programs in measure.groups().values():
            values = [
                measure.mean_over(found, programs) for found in seeds.values()
            ]
            error = measure.error(values)
            cells.append(
                f"{np.mean(values):.1f}"
                + (f" ± {error:.1f}" if error is not None else "")
            )
        table_rows.append(
            [name, *cells, _worst(measure.pooled(list(seeds.values())))]
        )
    return table_rows


def _worst(found: dict[str, list[int]]) -> str:
    name, value = measure.worst(found)
    return f"{name} {value:.1f}"


def _cost(took: dict[str, Any]) -> str:
    minutes = [t["processor_minutes"] for t in took.values()]
    wall = [t["minutes"] for t in took.values()]
    return (
        f"Seeds {', '.join(took)}; {np.median(minutes):.1f} minutes of one core to collect and train (median), "
        f"{np.median(wall):.0f} minutes of wall time beside other work."
    )


def _close(seeds: dict[str, dict[str, list[int]]]) -> str:
    """Return the table of the full agent against the programs it beats least, over all seeds' matches."""
    found = {
        p: measure.against(v)
        for p, v in measure.pooled(list(seeds.values())).items()
    }
    lowest = sorted(found, key=lambda p: found[p]["mean"])[:12]
    shown = [*measure.CLOSE, *(p for p in lowest if p not in measure.CLOSE)]
    rows = []
    for p in sorted(shown, key=lambda p: found[p]["mean"]):
        at = found[p]
        rows.append(
            [
                p,
                str(at["matches"]),
                f"{at['mean']:.1f}",
                f"{at['half']:.1f}",
                f"{at['p_loses']:.2f}",
            ]
        )
    return table(
        ["program", "matches", "mean return", "± 95 %", "p (mean below 0)"],
        rows,
    )


def _each(folder: Path, references: dict[str, dict[str, list[int]]]) -> str:
    columns: dict[str, dict[str, list[int]]] = {}
    for kind, title in TITLES.items():
        rows = _rows(folder / f"{kind}.json")
        if measure.FULL_AGENT in rows:
            columns[title.lower()] = measure.pooled(
                list(rows[measure.FULL_AGENT].values())
            )
    for name in (
        "mixture of predictors",
        "greenberg replayed",
        "iocainebot replayed",
    ):
        if name in references:
            columns[name] = references[name]
    body = [
        [
            p + (" (held out)" if p in held_out() else ""),
            *(f"{np.mean(c[p]):.0f}" for c in columns.values()),
        ]
        for p in names()
    ]
    return table(["program", *columns], body)
