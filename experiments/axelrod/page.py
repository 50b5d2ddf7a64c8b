"""The page of results/axelrod/, from its files."""

import csv
import json
from typing import Any

import numpy as np

from benchmarks.timing import table
from experiments import axelrod
from experiments._page import details, join_page
from experiments.axelrod import bounds, library
from experiments.axelrod.entry import (
    ENTRY,
    REPETITIONS_OF_VARIANTS,
    ROUNDS,
    VARIANTS,
)
from experiments.axelrod.game import TOURNAMENTS
from experiments.axelrod.measure import (
    EXACT,
    OUT,
    PUBLISHED,
    REPLAY,
    TRAININGS,
)
from experiments.axelrod.pool import pool, published_name
from experiments.axelrod.text import spread


def published() -> dict[str, dict[str, float]]:
    """Return the published scores by tournament and strategy."""
    columns = {
        "standard": "score_standard",
        "noise": "score_noise_05",
        "prob_end": "score_prob_end_1",
    }
    with PUBLISHED.open(encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    return {
        name: {row["strategy"]: float(row[column]) for row in rows}
        for name, column in columns.items()
    }


def rank(row: dict[str, Any], replayed: dict[str, Any]) -> int | None:
    """Return the agent's rank among the strategies of the replay, once they have met it; None without a replay.

    Args:
        row: of `enter`.
        replayed: tournaments of the replay.
    """
    if row["tournament"] not in replayed or "opponents" not in row:
        return None
    others = np.array([*replayed[row["tournament"]]["scores"].values()])
    count = len(others)
    met = (others * (count - 1) + np.array(row["opponents"])) / count
    return 1 + int((met > row["score"]).sum())


def replay_table(replayed: dict[str, Any]) -> str:
    """Return how the replay compares with the published tables."""
    lines = []
    for name, scored in published().items():
        if name not in replayed:
            continue
        ours = replayed[name]["scores"]
        common = [n for n in scored if n in ours]
        a, b = (np.array([s[n] for n in common]) for s in (scored, ours))
        places = [(-x).argsort().argsort() + 1 for x in (a, b)]
        first = [common[i] for i in (-a).argsort()[:3]]
        where = ", ".join(
            f"{n} {places[0][common.index(n)]} -> {places[1][common.index(n)]}"
            for n in first
        )
        off = np.abs(a - b)
        lines.append(
            [
                name,
                str(replayed[name]["repetitions"]),
                str(len(common)),
                where,
                f"{off.mean():.3f}",
                f"{off.max():.3f} ({common[int(off.argmax())]})",
                f"{np.corrcoef(a, b)[0, 1]:.4f}",
            ]
        )
    head = [
        "tournament",
        "repetitions",
        "strategies",
        "first three: rank in the published table (of these) -> in the rerun",
        "mean difference of scores",
        "greatest",
        "correlation",
    ]
    return table(head, lines)


def entry_table(rows: list[dict[str, Any]], replayed: dict[str, Any]) -> str:
    """Return the agent's scores and ranks beside the published winners."""
    lines = []
    for name, scored in published().items():
        best = max(scored, key=lambda n: scored[n])
        cells = [name, f"{best} {scored[best]:.3f}"]
        if name in replayed:
            ours = replayed[name]["scores"]
            top = max(ours, key=lambda n: ours[n])
            cells += [
                f"{top} {ours[top]:.3f}",
                f"{replayed[name]['best_strategy_for_each']:.3f}",
            ]
        else:
            cells += ["-", "-"]
        for training in TRAININGS:
            here = [
                row
                for row in rows
                if row["tournament"] == name
                and row["training"] == training
                and row["variant"] == "agent"
            ]
            ranks = sorted({r for row in here if (r := rank(row, replayed))})
            cells += (
                [
                    spread([row["score"] for row in here]),
                    ", ".join(map(str, ranks)) or "-",
                ]
                if here
                else ["-", "-"]
            )
        lines.append(cells)
    head = [
        "tournament",
        "published winner",
        "winner of the rerun",
        "oracle: the best strategy per opponent",
        "agent, learned from all",
        "its rank",
        "agent, a third held out",
        "its rank",
    ]
    return table(head, lines)


def part_table(rows: list[dict[str, Any]]) -> str:
    """Return the scores of the agent and of its variants."""
    lines = []
    for training in TRAININGS:
        for variant in VARIANTS:
            scores = {
                name: [
                    row["score"]
                    for row in rows
                    if (row["training"], row["variant"], row["tournament"])
                    == (training, variant, name)
                ]
                for name in TOURNAMENTS
            }
            if any(scores.values()):
                cells = [spread(s) if s else "-" for s in scores.values()]
                lines.append([training, variant, *cells])
    return table(["learned from", "variant", *TOURNAMENTS], lines)


def opponent_table(rows: list[dict[str, Any]]) -> str:
    """Return the agent's cooperation, its worst opponents and its score beside strategies that were held out."""
    lines = []
    for training in TRAININGS:
        for name in TOURNAMENTS:
            here = [
                row
                for row in rows
                if row["variant"] == "agent"
                and (row["tournament"], row["training"]) == (name, training)
            ]
            if here:
                worst = min(here, key=lambda row: row["worst"][1])["worst"]
                lines.append(
                    [
                        training,
                        name,
                        spread([row["cooperation"] for row in here], 2),
                        f"{worst[0]} {worst[1]:.2f}",
                        spread([row["known"] for row in here]),
                        spread([row["held"] for row in here])
                        if training != "all"
                        else "-",
                    ]
                )
    head = [
        "learned from",
        "tournament",
        "share of cooperation",
        "worst opponent",
        "score beside strategies learned from",
        "beside those held out",
    ]
    return table(head, lines)


def exact_table_of(rows: list[dict[str, Any]], exact: dict[str, float]) -> str:
    """Return the agent's scores beside exact best replies, in the standard tournament."""
    names = [published_name(name) for name in pool()]
    lines = []
    for training in TRAININGS:
        here = np.array(
            [
                [row["scores"][names.index(name)] for name in exact]
                for row in rows
                if (row["training"], row["variant"], row["tournament"])
                == (training, "agent", "standard")
            ]
        )
        if len(here):
            best = np.array([*exact.values()])
            lost = best - here.mean(0)
            worst = [*exact][int(lost.argmax())]
            lines.append(
                [
                    training,
                    f"{best.mean():.3f}",
                    spread([*here.mean(1)]),
                    f"{here.mean() / best.mean():.3f}",
                    f"{worst}: {lost.max():.2f}",
                ]
            )
    head = [
        "learned from",
        "exact best reply",
        "agent",
        "fraction",
        "largest gap to the best reply",
    ]
    return table(head, lines)


def _beside(rows: list[dict[str, Any]]) -> str:
    """Return what the agent earns with the seeds of its variants, if they are fewer."""
    seeds = {row["seed"] for row in rows if row["variant"] != "agent"}
    scores = [
        f"{row['score']:.3f} ({row['tournament']})"
        for row in rows
        if row["variant"] == "agent"
        and row["training"] == "all"
        and row["seed"] in seeds
    ]
    if len(seeds) != 1:
        return ""
    return f", {min(seeds)}, with which the agent earns {', '.join(scores)}"


def _rounds() -> str:
    return ", ".join(f"{number} ({name})" for name, number in ROUNDS.items())


def _minutes(rows: list[dict[str, Any]]) -> str:
    """Return how many seeds there are, and how long each took."""
    agents = [row for row in rows if row["variant"] == "agent"]
    seeds = {row["seed"] for row in agents}
    total = sum(row["minutes"] for row in agents) / len(seeds)
    return (
        f"Training seeds: {len(seeds)}; minutes for each of them, all trainings and "
        f"tournaments, on two cores with other work: {total:.0f}."
    )


def summary() -> str:
    """Return results/axelrod/README.md from the files."""
    parts = [
        "# Three tournaments of the iterated prisoner's dilemma",
        details(axelrod.__doc__),
    ]
    replayed = (
        json.loads(REPLAY.read_text())["tournaments"] if REPLAY.exists() else {}
    )
    rows = json.loads(ENTRY.read_text())["rows"] if ENTRY.exists() else []
    if rows:
        parts += [
            "## The agent",
            "A run of opponents `tables` for each tournament "
            "(`experiments/axelrod/entry.py`): logs become a dataset "
            "(`br.store_from_arrays`), `br.train` counts the tables, the agent plans with "
            "`planner.world=true`, and plays in a session (`agent.session`). "
            f"Rounds of its own play: {_rounds()}.",
            "Mean and range over training seeds. Ranks are among the strategies of the "
            f"rerun, each of which has also met the agent. {_minutes(rows)}",
            entry_table(rows, replayed),
            "## What its parts add",
            "The agent without a part, or with another one: matches as above, "
            f"{REPETITIONS_OF_VARIANTS} repetitions. One number without a range is of "
            f"one training seed{_beside(rows)}.",
            part_table(rows),
            "## Opponents",
            opponent_table(rows),
        ]
    if found := bounds.read():
        lower = spread([row["lower"] for row in found["rows"]])
        upper = spread([row["upper"] for row in found["rows"]])
        parts += [
            "## What can be had without knowing the opponent",
            "Where the end is drawn (`prob_end`), an agent that knows the tables of all "
            "strategies, but not which of them it meets, earns at best between "
            f"{lower} and **{upper}** beside players that act by these tables. Real "
            "strategies differ a little from the tables, so scores in the tournament can be "
            f"higher. All histories of the first {found['depth']} turns are gone through "
            "(`experiments/axelrod/bounds.py`). Training seeds: "
            f"{len(found['rows'])}.",
        ]
    if rows and EXACT.exists():
        exact = json.loads(EXACT.read_text())["scores"]
        parts += [
            "## Beside exact best replies",
            f"Mean score in the standard tournament beside the {len(exact)} strategies that "
            "are deterministic tables of at most four last joint actions. The best reply "
            "knows the strategy; the agent has to find out.",
            exact_table_of(rows, exact),
        ]
    if replayed:
        parts += [
            "## The published tournaments, rerun",
            replay_table(replayed),
        ]
    parts += library.section()
    return join_page(parts, OUT)
