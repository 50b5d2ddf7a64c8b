"""Rerun the tournaments, and enter the agent."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments.axelrod.agent import BestReply, Settings
from experiments.axelrod.exact import exact_table
from experiments.axelrod.game import TOURNAMENTS, Player
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
    repetitions = REPETITIONS if variant == "agent" else 3
    player = BestReply(
        agent.contexts, agent.tables, agent.values, VARIANTS[variant]
    )
    if variant == "strategy given":
        player.types = np.tile(np.arange(len(pool())), repetitions)
    found = played(player, name, known, repetitions, seed)
    if variant != "agent":
        del found["scores"], found["opponents"]
    return found


def played(
    player: Player,
    name: str,
    known: Int[np.ndarray, " K"],
    repetitions: int,
    seed: int,
) -> dict[str, Any]:
    """Play one tournament, and return what a player earned.

    Args:
        player: the player.
        name: of the tournament.
        known: strategies that it learned from.
        repetitions: matches beside each strategy.
        seed: of training; that of play is derived from it.
    """
    named = pool()
    makers, names = [*named.values()], [*named]
    kind = np.tile(np.arange(len(makers)), repetitions)
    log = play(
        player, [makers[k] for k in kind], TOURNAMENTS[name], 10**6 + seed
    )
    each = log.scores.reshape(repetitions, -1)
    theirs = log.opponents.reshape(repetitions, -1).mean(0)
    means = each.mean(0)
    held = np.setdiff1d(np.arange(len(makers)), known)
    return {
        "score": float(np.median(each.mean(1))),
        "repetitions": repetitions,
        "cooperation": log.cooperation,
        "worst": [names[int(means.argmin())], float(means.min())],
        "known": float(means[known].mean()),
        "held": float(means[held].mean()) if len(held) else None,
        "scores": [round(float(s), 4) for s in means],
        "opponents": [round(float(s), 4) for s in theirs],
    }


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
