"""Replay the tournaments, enter the agent, and write the page."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from benchmarks.timing import table
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments import axelrod
from experiments._page import details, join_page, make_parser, write_page
from experiments.axelrod.agent import BestReply, Settings
from experiments.axelrod.exact import exact_table
from experiments.axelrod.game import TOURNAMENTS
from experiments.axelrod.learning import Budget, learn
from experiments.axelrod.matches import play
from experiments.axelrod.model import Contexts, solve
from experiments.axelrod.pool import pool, published_name
from experiments.axelrod.replay import replay, scores

OUT, RUNS = Path("results") / "axelrod", Path("runs") / "axelrod"
REPLAY, ENTRY, EXACT, PUBLISHED = (
    OUT / name
    for name in ("replay.json", "entry.json", "exact.json", "published.csv")
)
REPLAYS = {"standard": 10, "noise": 3, "prob_end": 10}
"""Repetitions of the published tournaments. Noise leaves no match that is always the same: it takes the longest."""
REPETITIONS, SEEDS = 10, (10, 11, 12, 13, 14)
"""The settings of the agent were chosen on other seeds."""
TRAININGS = ("all", "two thirds")
VARIANTS = {
    "agent": Settings(),
    "strategy given": Settings(),
    "belief never updated": Settings(infer=False),
    "two turns ahead, nothing beyond": Settings(
        depth=2, most=2, terminal=False
    ),
    "only strategies it knows": Settings(unknown_prior=0.0),
    "no look-ahead": Settings(depth=0, most=0),
    "without own play": Settings(),
}
"""The agent, and what its parts add. One turn ahead and nothing beyond always defects."""


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


def replay_all() -> None:
    """Play the tournaments again, and write the strategies' scores."""
    found = {}
    RUNS.mkdir(parents=True, exist_ok=True)
    for name, rules in TOURNAMENTS.items():
        print(f"replay of {name}", flush=True)
        all_scores = replay(rules, REPLAYS[name], RUNS / f"replay_{name}.npy")
        each = scores(all_scores)
        upper = np.nanmax(all_scores.mean(-1), 0)  # the best against each
        found[name] = {
            "repetitions": REPLAYS[name],
            "scores": {
                published_name(n): round(float(s), 4)
                for n, s in zip(pool(), each, strict=True)
            },
            "best_strategy_for_each": float(upper.mean()),
        }
        write_json(
            REPLAY,
            {
                "tournaments": found,
                "provenance": provenance(1),
            },
        )


def solve_all() -> None:
    """Write the exact score of the best reply to each strategy that is a table of a few joint actions."""
    contexts, rules = Contexts(Budget().memory), TOURNAMENTS["standard"]
    tables = {
        published_name(name): found
        for name, maker in pool().items()
        if (found := exact_table(maker, contexts, rules)) is not None
    }
    stacked = np.stack([*tables.values()], -1).astype(np.float32)
    values = solve(contexts, stacked, rules)[0, 0].max(-1)
    write_json(
        EXACT,
        {
            "scores": dict(zip(tables, map(float, values), strict=True)),
            "provenance": provenance(0),
        },
    )


def split(seed: int, training: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of strategies learned from, and of those held out."""
    size = len(pool())
    if training == "all":
        return np.arange(size), np.arange(0)
    order = np.random.default_rng(2026).permutation(size)
    held = np.array_split(order, 3)[seed % 3]
    return np.setdiff1d(np.arange(size), held), np.sort(held)


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


def enter(
    agent: BestReply,
    name: str,
    known: Int[np.ndarray, " K"],
    variant: str,
    seed: int,
) -> dict[str, Any]:
    """Play one tournament, and return the agent's row.

    Args:
        agent: the agent.
        name: of the tournament.
        known: strategies that the agent learned from.
        variant: a key of `VARIANTS`.
        seed: training seed; that of play is derived from it.
    """
    named = pool()
    makers, names = [*named.values()], [*named]
    repetitions = REPETITIONS if variant == "agent" else 3
    kind = np.tile(np.arange(len(makers)), repetitions)
    player = BestReply(
        agent.contexts, agent.tables, agent.values, VARIANTS[variant]
    )
    if variant == "strategy given":
        player.types = kind
    log = play(
        player, [makers[k] for k in kind], TOURNAMENTS[name], 10**6 + seed
    )
    each = log.scores.reshape(repetitions, -1)
    score = float(np.median(each.mean(1)))
    theirs = log.opponents.reshape(repetitions, -1).mean(0)
    means = each.mean(0)
    held = np.setdiff1d(np.arange(len(makers)), known)
    found = {
        "score": score,
        "repetitions": repetitions,
        "cooperation": log.cooperation,
        "worst": [names[int(means.argmin())], float(means.min())],
        "known": float(means[known].mean()),
        "held": float(means[held].mean()) if len(held) else None,
    }
    if variant == "agent":
        found["scores"] = [round(float(s), 4) for s in means]
        found["opponents"] = [round(float(s), 4) for s in theirs]
    return found


def enter_all(seeds: list[int], budget: Budget) -> None:
    """Learn and play all missing rows, and write the file after each."""
    rows = json.loads(ENTRY.read_text())["rows"] if ENTRY.exists() else []
    identity = ("training", "seed", "variant", "tournament")
    done = {tuple(row[key] for key in identity) for row in rows}
    makers = [*pool().values()]
    for seed in seeds:
        for training in TRAININGS:
            wanted = [
                (training, seed, variant, name)
                for variant in VARIANTS
                for name in TOURNAMENTS
                if training == "all"
                or variant in ("agent", "only strategies it knows")
            ]
            wanted = [row for row in wanted if row not in done]
            if not wanted:
                continue
            known, _ = split(seed, training)
            agents = {
                own: learn(
                    [makers[k] for k in known],
                    [*TOURNAMENTS.values()],
                    Settings(),
                    budget if own else dataclasses.replace(budget, rounds=0),
                    seed,
                )
                for own in {row[2] != "without own play" for row in wanted}
            }
            for row in wanted:
                _, _, variant, name = row
                agent = agents[variant != "without own play"]
                found = enter(agent, name, known, variant, seed)
                rows.append(dict(zip(identity, row, strict=True)) | found)
                print(*row, f"{found['score']:.3f}", flush=True)
                write_json(
                    ENTRY, {"rows": rows, "provenance": provenance(seed)}
                )


# -- the page ------------------------------------------------------------------


def spread(values: list[float], digits: int = 3) -> str:
    """Return the mean and the range over seeds."""
    mean = f"{np.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"


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
            here = [
                row
                for row in rows
                if row["training"] == training and row["variant"] == variant
            ]
            if here:
                lines.append(
                    [
                        training,
                        variant,
                        *(
                            spread(
                                [
                                    row["score"]
                                    for row in here
                                    if row["tournament"] == name
                                ]
                            )
                            for name in TOURNAMENTS
                        ),
                    ]
                )
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


def page() -> str:
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
            "Mean and range over training seeds. Ranks are among the strategies of the "
            "rerun, each of which has also met the agent.",
            entry_table(rows, replayed),
            "## What its parts add",
            part_table(rows),
            "## Opponents",
            opponent_table(rows),
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
    return join_page(parts, OUT)


def main() -> None:
    """Do what the command line names."""
    parser = make_parser("axelrod", axelrod.__doc__)
    parser.add_argument("do", nargs="?", choices=["replay", "enter", "table"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[*SEEDS])
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    if arguments.do in (None, "replay"):
        replay_all()
    if arguments.do in (None, "replay") and not EXACT.exists():
        solve_all()
    if arguments.do in (None, "enter"):
        enter_all(arguments.seeds, Budget())
    write_page(page(), OUT)


if __name__ == "__main__":
    main()
