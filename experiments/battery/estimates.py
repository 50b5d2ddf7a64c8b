"""Whether logged play tells how close to stay: fitted Q evaluation beside the trial in play."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy import stats

from benchmarks.timing import table
from bestreply import load_run, open_store
from bestreply.methods.estimates import estimate_anchors
from bestreply.replay.moa_buffer import fill
from bestreply.utils.files import make_folder

EPISODES = 1100
"""Logged games that are read; the estimates use at most 1,000 trajectories of them."""


def compare(path: Path, out: Path) -> list[dict[str, Any]]:
    """Return what the choice by logged play earns in the trial, for each role.

    Args:
        path: a trained run of the agent.
        out: a folder for the estimates.
    """
    run = load_run(path, allow_import=["experiments"])
    store = open_store(path / run.provenance["data"]["path"])
    episodes = jax.tree.map(lambda x: x[:EPISODES], store.episodes())
    make_folder(out)
    elsewhere = dataclasses.replace(run, path=out)
    estimate_anchors(elsewhere, run.train_state, fill(episodes), _silent)
    played, estimated = (
        json.loads((folder / "trials.json").read_text())["tried"]
        for folder in (path, out)
    )
    rows = []
    for role in dict.fromkeys(entry["role"] for entry in played):
        ours, theirs = (
            [entry for entry in entries if entry["role"] == role]
            for entries in (played, estimated)
        )
        drawn = ours[-1]["opponents"]  # the last set is the mixture
        ours = [entry for entry in ours if entry["opponents"] == drawn]
        returns = [entry["return"] for entry in ours]
        by_log = [entry["return"] for entry in theirs]
        chosen = [entry["chosen"] for entry in theirs].index(True)
        rows.append(
            {
                "role": role,
                "alone": returns[0],
                "by_log": returns[chosen],
                "best": max(returns),
                "rank_correlation": _rank_correlation(returns, by_log),
            }
        )
    return rows


def _rank_correlation(one: list[float], other: list[float]) -> float:
    """Return Spearman's rank correlation; 0 where one of the lists is constant."""
    found: Any = stats.spearmanr(one, other)
    return float(np.nan_to_num(found.statistic))


def _silent(*_: object) -> None:
    pass


def page(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return the lines of the page.

    Args:
        found: rows by setting.
    """
    lines = [
        [name, row["role"]]
        + [f"{row[k]:.2f}" for k in ("alone", "by_log", "best")]
        + [f"{row['rank_correlation']:.2f}"]
        for name, rows in found.items()
        for row in rows
    ]
    head = [
        "setting",
        "role",
        "planner alone",
        "choice by logged play",
        "best choice",
        "rank correlation",
    ]
    return [
        "## Without play",
        "Where a game cannot be played, fitted Q evaluation of logged play makes the "
        "choice. Mean returns in the trial, in play, of the planner alone, of the choice "
        "that logged play would have made, and of the best; the rank correlation of "
        "estimates and returns over the choices. One seed.",
        table(head, lines),
    ]
