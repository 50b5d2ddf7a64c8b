"""Pictures of the third-party benchmarks, from the numbers in results/.

    python -m experiments pictures          # results/BENCHMARK/picture.svg

Each row is a mean. A bar is the range over training seeds, or the interval that the page of
the benchmark states. Published figures and other references are grey, the agent is blue.
"""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.chart_file import ROWS, as_file
from bestreply.report.row_charts import Interval, Row, interval_chart
from bestreply.utils.files import write_text
from experiments._page import make_parser

RESULTS = Path("results")
REFERENCE, AGENT = "c7", "c0"
TOURNAMENTS = {
    "standard": ("standard", "score_standard"),
    "noise": ("noise .05", "score_noise_05"),
    "prob_end": ("random ends", "score_prob_end_1"),
}
"""Of the prisoner's dilemma: the name on the picture, and the column of published.csv."""


def _read(name: str) -> Any:
    return json.loads((RESULTS / name).read_text())


def _row(
    name: str,
    values: Any,
    *,
    agent: bool = False,
    interval: tuple[float, float] | None = None,
    decimals: int = 3,
) -> Interval:
    """Return a row: the mean of `values`, and their range if there are several."""
    values = np.atleast_1d(np.asarray(values, float))
    style = AGENT if agent else REFERENCE
    mean = float(values.mean())
    if interval is None and len(values) > 1:
        interval = float(values.min()), float(values.max())
    return Interval(Row(name, f"{mean:.{decimals}f}"), mean, interval, style)


def axelrod() -> list[Interval]:
    """Return the payoff per turn in three tournaments: the winner and the agent."""
    with (RESULTS / "axelrod" / "published.csv").open() as file:
        published = list(csv.DictReader(file))
    entered = _read("axelrod/entry.json")["rows"]

    def scores(tournament: str, training: str) -> list[float]:
        return [
            row["score"]
            for row in entered
            if row["variant"] == "agent"
            and (row["tournament"], row["training"]) == (tournament, training)
        ]

    rows = []
    for tournament, (name, column) in TOURNAMENTS.items():
        best = max(float(row[column]) for row in published)
        rows.append(_row(f"{name}: winner", best))
        all_ = scores(tournament, "all")
        rows.append(_row(f"{name}: agent", all_, agent=True))
        held = scores(tournament, "two thirds")
        rows.append(_row("  a third held out", held, agent=True))
    return rows


def reaching() -> list[Interval]:
    """Return the mean return beside partners of known and of unknown types."""
    from experiments.reaching.__main__ import P0, P1, PUBLISHED

    agents = [
        row["returns"]["agent"] for row in _read("reaching/agent.json")["rows"]
    ]
    rows = []
    for column, (name, numbers) in enumerate((("known", P0), ("unseen", P1))):
        for method, figures in PUBLISHED.items():
            short = " ".join(method.split(",")[0].split()[:2])
            rows.append(_row(f"{name}: {short}", figures[column]))
        means = [np.mean([own[f"H{k}"] for k in numbers]) for own in agents]
        rows.append(_row(f"{name}: agent", means, agent=True))
    return rows


def roshambo() -> list[Interval]:
    """Return wins less losses in 1,000 throws, mean over the programs."""
    rows = [
        _row(name, np.mean([np.mean(x) for x in found.values()]), decimals=0)
        for name, found in _read("roshambo/references.json")["rows"].items()
        if name not in ("no model", "frequency counts")  # 0 and -205
    ]
    for file, name in (
        ("all", "agent, all known"),
        ("thirty", "agent, 13 unknown"),
    ):
        by_seed = _read(f"roshambo/{file}.json")["rows"]["full agent"]
        means = [
            np.mean([np.mean(x) for x in found.values()])
            for found in by_seed.values()
        ]
        rows.append(_row(name, means, agent=True, decimals=0))
    return rows


def strangers() -> list[Interval]:
    """Return the fraction of the best reply beside players of unknown families."""
    from experiments.strangers.__main__ import HELD_OUT, players_of, short

    unseen = [short(name) for name in players_of(HELD_OUT)]
    names = {
        "agent, types inferred": "agent",
        "agent, types inferred, two steps ahead": "agent, two steps",
        "agent, no types": "agent, no types",
        "Bayes, library: the families kept": "exact Bayes",
        "Bayes, library: all players": "exact Bayes, all known",
        "nearest_hare": "nearest_hare",
        "nearest_stag": "nearest_stag",
    }
    found: dict[str, list[float]] = {}
    for row in _read("strangers/strangers.json")["rows"]:
        mean = float(np.mean([row["share"][name] for name in unseen]))
        found.setdefault(row["method"], []).append(mean)
    return [
        _row(name, found[method], agent=name.startswith("agent"))
        for method, name in names.items()
        if method in found
    ]


def poker() -> list[Interval]:
    """Return the share of the exact best reply that infers the style, in 20 hands."""
    exact = _read("poker/exact.json")["kinds"]
    names = {
        "agent": "agent",
        "true_types": "style given",
        "uniform_others": "no model",
        "behaviour_cloning": "cloning",
    }
    rows = []
    for kind in ("kuhn", "leduc"):
        if not (RESULTS / "poker" / f"{kind}.json").exists():
            continue
        whole = np.mean([*exact[kind]["inferring"].values()])
        seeds = [row["methods"] for row in _read(f"poker/{kind}.json")["rows"]]
        for method, name in names.items():
            shares = [
                np.mean([*own[method]["chips"].values()]) / whole
                for own in seeds
                if method in own
            ]
            if shares:
                label = f"{kind}: {name}"[:21]
                rows.append(_row(label, shares, agent=method == "agent"))
        known = np.mean([*exact[kind]["known"].values()]) / whole
        rows.append(_row(f"{kind}: style known", known))
    return rows


def battery() -> list[Interval]:
    """Return the agent less the best player of its data, where types are drawn anew."""
    from experiments.battery.__main__ import OUT, cells_of
    from experiments.battery.settings import SETTINGS

    rows = []
    for name in SETTINGS:
        if not (OUT / f"{name}.csv").exists():
            continue
        for cell in cells_of(name):
            if not cell.drawn:
                continue
            best = max(cell.players, key=cell.mean)
            role = cell.opponents.split(" | ")
            label = f"{name}, {role[0]}" if len(role) > 1 else name
            means = [*map(cell.mean, cell.returns)]
            less = cell.less("agent", best) / (max(means) - min(means))
            rows.append(_row(label[:21], less, agent=True, decimals=2))
    return rows


PICTURES: dict[str, tuple[Callable[[], list[Interval]], str, float | None]] = {
    "axelrod": (axelrod, "Payoff per turn in the prisoner's dilemma", None),
    "reaching": (reaching, "Mean return in CooperativeReaching", None),
    "roshambo": (roshambo, "Wins less losses in 1,000 throws", None),
    "strangers": (strangers, "Fraction of the best reply", 1.0),
    "poker": (poker, "Share of the best reply that infers the style", 1.0),
    "battery": (
        battery,
        "Agent less the best player of its data, as a part of the range of all methods",
        0.0,
    ),
}
"""Rows, description, and the value of a line, by folder."""


def pictures() -> Iterator[tuple[Path, str]]:
    """Yield the file and the text of each picture."""
    for name, (rows, label, mark) in PICTURES.items():
        figure = interval_chart(rows(), label, mark)
        yield RESULTS / name / "picture.svg", as_file(figure, ROWS)


def main() -> None:
    """Write all pictures."""
    make_parser("pictures", __doc__).parse_args()
    for path, text in pictures():
        write_text(path, text)
        print(path)


if __name__ == "__main__":
    main()
