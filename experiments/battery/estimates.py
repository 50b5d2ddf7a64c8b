"""Whether logged play tells how close to stay: fitted Q evaluation beside the trial in play."""

import dataclasses
import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy import stats

from benchmarks.timing import table
from bestreply import load_run, open_store
from bestreply.analysis.logged_steps import Trajectories, trajectories
from bestreply.analysis.off_policy import (
    estimates_of_play,
    largest_miss,
    most_episodes,
    select_episodes,
)
from bestreply.data.some_episodes import read_episodes
from bestreply.games.seats import role_of_seat
from bestreply.methods.estimates import estimate_anchors
from bestreply.methods.trials import CERTAIN, CHOICES
from bestreply.replay.moa_buffer import fill
from bestreply.train import HOLDOUT_FRACTION, held_out_episodes
from bestreply.utils.files import make_folder

EPISODES = 1100
"""Logged games that are read; the estimates use at most 1,000 trajectories of them."""

NARROWER = 1.645 / 1.96
"""Width of a 90 % interval of a mean relative to one of 95 %; what the estimates miss of the
logged players is no error of that kind, and stays."""


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


def cover(path: Path) -> list[dict[str, Any]]:
    """Return the estimated return of the agent in each role, from held-out logged play.

    Its opponents are those of the data, so it is what the agent earns in cells of kind
    (a). The interval is one of 90 %.

    Args:
        path: a trained run of the agent.
    """
    run = load_run(path, allow_import=["experiments"])
    store = open_store(path / run.provenance["data"]["path"])
    total = store.manifest.episodes
    held_out = held_out_episodes(total, HOLDOUT_FRACTION, run.config.seed)
    most = most_episodes(run.game, len(run.roster)) // run.game.num_players
    chosen, _ = select_episodes(held_out, max(most, 2))
    every = trajectories(read_episodes(store, chosen))
    role_names = tuple(dict.fromkeys(run.game.roles))
    role = np.zeros(len(every.obs), int)
    if len(role_names) > 1:
        seats = jax.vmap(run.game.seat_in)(jax.numpy.asarray(every.obs[:, 0]))
        role = np.asarray(role_of_seat(run.game))[np.asarray(seats)]
    names = [entry["name"] for entry in run.roster]
    rows = []
    for number, name in enumerate(role_names):
        play = Trajectories(*(x[role == number] for x in every))
        agents = {"agent": run.agent()}
        rows_of_role = estimates_of_play(play, names, agents, 0)
        estimate, miss = rows_of_role[0].fitted_q, largest_miss(rows_of_role)
        assert estimate is not None
        drawn = (estimate.high - estimate.low) / 2 - miss  # by the bootstrap
        half = miss + NARROWER * drawn
        low, high = estimate.mean - half, estimate.mean + half
        found = {"mean": estimate.mean, "low": low, "high": high}
        found = {key: float(value) for key, value in found.items()}
        rows.append({"role": name, **found})
    return rows


def _rank_correlation(one: list[float], other: list[float]) -> float:
    """Return Spearman's rank correlation; 0 where one of the lists is constant."""
    found: Any = stats.spearmanr(one, other)
    return float(np.nan_to_num(found.statistic))


def _silent(*_: object) -> None:
    pass


def tried(path: Path) -> list[dict[str, Any]]:
    """Return what each choice earned beside the mixture of the data, for each role.

    Args:
        path: a trained run of the agent.
    """
    entries = json.loads((path / "trials.json").read_text())["tried"]
    rows = []
    for role in dict.fromkeys(entry["role"] for entry in entries):
        own = [entry for entry in entries if entry["role"] == role]
        drawn = own[-1]["opponents"]  # the last set is the mixture
        own = [entry for entry in own if entry["opponents"] == drawn]
        rows.append(
            {
                "role": role,
                "returns": [round(entry["return"], 4) for entry in own],
                "stderr": round(own[0]["stderr"], 4),
                "chosen": [entry["chosen"] for entry in own].index(True),
            }
        )
    return rows


def trials_table(
    found: dict[str, dict[str, list[dict[str, Any]]]],
) -> list[str]:
    """Return the lines of the page about what the trials found.

    Args:
        found: rows of `tried` by setting and seed.
    """
    head = ["setting", "role", "seed"]
    for choice in CHOICES:
        value = "mean" if choice.averaged else "highest"
        value = "joint actions" if choice.joint else value
        drawn = ", drawn" if choice.sampled else ""
        if choice.weight >= CERTAIN:
            head.append(f"best player itself{drawn}")
        else:
            head.append(f"{value}, {choice.weight:g}{drawn}")
    lines = [
        [
            name,
            row["role"],
            seed,
            *(
                _shown(mean, k == row["chosen"])
                for k, (_, mean) in enumerate(
                    zip_longest(CHOICES, row["returns"])
                )
            ),
        ]
        for name, by_seed in found.items()
        for seed, rows in by_seed.items()
        for row in rows
    ]
    return [
        "## What the trials found",
        "Mean returns of the trained agent in its trial, beside the mixture of the data's "
        "players, by choice: the next value is the highest of the data's players or their "
        "mean, or scores are values of joint actions; the weight of the best player's policy is in standard deviations of the "
        "return. The first column is the planner alone. In bold the choice, for which the "
        'other opponent sets count too. "-": of a version without this choice.',
        table([*head], lines),
    ]


def _shown(mean: float | None, chosen: bool) -> str:
    """Return a mean return as text; one that was no choice yet is None."""
    if mean is None:
        return "-"
    return f"**{mean:.2f}**" if chosen else f"{mean:.2f}"


def coverage_table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the page about the estimates of the agent's return.

    Args:
        rows: of `cover`, with `setting`, `seed` and the return in play, `played`.
    """
    held = [r["low"] <= r["played"] <= r["high"] for r in rows]
    lines = [
        [
            row["setting"],
            row["role"],
            str(row["seed"]),
            f"{row['mean']:.2f}",
            f"{row['low']:.2f} to {row['high']:.2f}",
            f"{row['played']:.2f}",
            "yes" if inside else "no",
        ]
        for row, inside in zip(rows, held, strict=True)
    ]
    head = ["setting", "role", "seed", "estimate", "90 % interval"]
    return [
        "## What logged play says the agent will earn",
        "Fitted Q evaluation from held-out logged play, before the agent has played, and "
        "the mean return that it then had in the cell of kind (a). The interval holds it "
        f"in {sum(held)} of {len(held)} cells.",
        table([*head, "in play", "held"], lines),
    ]


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
