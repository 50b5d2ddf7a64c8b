"""Where an agent earns less than a player of its own data, and the likely cause.

An agent that learned from the play of others should not earn less than they do. Terminal
and report name where it does, and the likely cause by the files of the run.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bestreply.report.run_files import MetricSeries, lookup, number
from bestreply.report.scores import Difference, ScoreTable, compare_cells
from bestreply.report.texts import Texts, fixed

CLONING = "behaviour_cloning"
FALLING = 0.05
"""Share of its loss that training still gains in its last third, where it ended early."""
OVERFITTED = 1.5
"""Ratio of losses on held-out play to those of training, where data are too few."""
FOLLOWS = 0.5
"""Correlation with held-out returns from which values follow them."""
PREFIX = "world/"


class Shortfall(NamedTuple):
    """A player of the data that earns more than the agent against an opponent set."""

    opponents: str
    player: str
    difference: Difference
    """The agent's mean return minus the player's; its 95 % interval is below 0."""


def shortfalls(table: ScoreTable, players: Sequence[str]) -> list[Shortfall]:
    """Return where the run's method is worse than players of its data.

    Args:
        table: mean returns.
        players: names or specs of the players of its data.

    Returns:
        For each opponent set at most one, that of the player that earns most.
    """
    named = set(re.findall(r"[\w.:-]+", " ".join(players))) | {CLONING}
    rivals = [m for m in table.methods if m in named and m != table.own]
    found = []
    for against in table.opponents:
        own = table.cells.get((table.own, against))
        worse = [
            Shortfall(against, rival, difference)
            for rival in rivals
            if own and (other := table.cells.get((rival, against)))
            if (difference := compare_cells(own, other)).verdict == "worse"
        ]
        found += sorted(worse, key=lambda one: one.difference.mean)[:1]
    return found


def warnings(
    table: ScoreTable,
    config: object,
    metrics: object,
    diagnostics: object,
    texts: Texts,
) -> list[str]:
    """Return a sentence about all shortfalls, and one about the likely cause.

    Args:
        table: mean returns of a run.
        config, metrics, diagnostics: contents of its files; anything else is no content.
        texts: language.

    Returns:
        Sentences; none where the agent is nowhere worse.
    """
    players = lookup([config], "players")
    if not isinstance(players, list):
        return []
    found = shortfalls(table, [str(player) for player in players])
    items = [
        texts(
            "below_item",
            opponents=one.opponents,
            player=one.player,
            difference=fixed(-one.difference.mean, table.decimals),
            low=fixed(-(one.difference.high or 0.0), table.decimals),
            high=fixed(-(one.difference.low or 0.0), table.decimals),
        )
        for one in found
    ]
    if not items:
        return []
    curves = metrics if isinstance(metrics, dict) else {}
    measured = diagnostics if isinstance(diagnostics, dict) else {}
    joined = texts("weekly_list_gap").join(items)
    warning = texts("below", method=table.own, list=joined)
    return [warning, _cause(curves, measured, texts)]


def _cause(
    metrics: Mapping[str, MetricSeries],
    diagnostics: Mapping[str, Any],
    texts: Texts,
) -> str:
    gain = _last_gain(metrics)
    if gain > FALLING:
        return texts("below_falling", percent=f"{100 * gain:.0f}")
    ratio = _overfitting(metrics, diagnostics.get("heldout"))
    if ratio > OVERFITTED:
        return texts("below_few", ratio=f"{ratio:.1f}")
    follows = _correlation(diagnostics.get("value"))
    if follows is not None and follows < FOLLOWS:
        return texts("below_values", correlation=fixed(follows, 2))
    return texts("below_unknown")


def _last_gain(metrics: Mapping[str, MetricSeries]) -> float:
    """Return the largest share by which a loss of the world model falls from the second
    third of training to the last."""
    gains = [0.0]
    for name, series in metrics.items():
        value = series.value[np.isfinite(series.value)]
        if name.startswith(PREFIX) and len(value) >= 3 and value[0] > 0:
            third = len(value) // 3
            before = float(np.median(value[-2 * third : -third]))
            after = float(np.median(value[-third:]))
            gains.append((before - after) / max(value[0], 1e-9))
    return max(gains)


def _overfitting(metrics: Mapping[str, MetricSeries], heldout: Any) -> float:
    """Return the largest ratio of a held-out loss to that at the end of training."""
    ratios = [0.0]
    for name, value in (heldout if isinstance(heldout, dict) else {}).items():
        series, loss = metrics.get(PREFIX + name), number(value)
        if series is not None and len(series.value) and loss:
            last = float(np.median(series.value[-3:]))
            if last > FALLING * float(series.value[0]):  # not noise around 0
                ratios.append(loss / last)
    return max(ratios)


def _correlation(rows: Any) -> float | None:
    """Return the mean correlation of values with returns, weighted by steps."""
    known = [
        (value, count)
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict)
        if (value := number(row.get("correlation"))) is not None
        if (count := number(row.get("count")))
    ]
    total = math.fsum(count for _, count in known)
    return sum(v * n for v, n in known) / total if total > 0 else None
