"""How much an agent can earn that has to find out who its opponent is: bounds.

The opponents are the learned tables of a run (`model.opponents=tables`), each as likely as
the others, and the length of a match is drawn (`prob_end`): most of a score is that of the
first turns. All own actions and all answers of the first `DEPTH` turns are gone through. A
history leaves a weight for each table; the value after it lies between two values:

- above: the opponent is known from then on (QMDP);
- below: from then on the best of the best replies to one table each is played, whoever
  the opponent is.

The best value of the first turn lies between those that follow by backward induction. An
agent that was told the tables, and knew no more, could not earn more than the upper one.
"""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

import bestreply as br
from bestreply.opponents.tables import TableOpponents, sequences_after
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments.axelrod.entry import ROUNDS, trained
from experiments.axelrod.game import PAYOFF, TOURNAMENTS, Rules
from experiments.axelrod.measure import OUT

FILE = OUT / "bounds.json"
NAME, DEPTH = "prob_end", 8
CHUNK = 1 << 14
"""Largest number of histories that are looked at together."""


class Tables(NamedTuple):
    """Learned strategies, and the rules of a tournament."""

    probs: Float[np.ndarray, "P rows 2"]
    """Probability of each action after each sequence of joint actions."""
    after: Int[np.ndarray, "rows 2 2"]
    """The sequence after one more turn, by own action and the other's."""
    weights: Float[np.ndarray, " T"]
    """What a turn counts for."""


def tables_of(path: Path, rules: Rules) -> Tables:
    """Return the tables that a run has learned.

    Args:
        path: the run directory.
        rules: of the tournament.
    """
    run = br.load_run(path)
    opponents: Any = run.agent().opponents
    assert isinstance(opponents, TableOpponents)
    after = sequences_after(opponents.game, opponents.memory)
    return Tables(np.asarray(opponents.probs), after, rules.weights)


class Replies(NamedTuple):
    """Values after `DEPTH` turns."""

    known: Float[np.ndarray, "rows P"]
    """Of the best reply to each table."""
    fixed: Float[np.ndarray, "K rows P"]
    """Of the best reply to table k, beside each table."""


def replies(tables: Tables, depth: int) -> Replies:
    """Return the values after the first turns, by backward induction.

    Args:
        tables: the strategies.
        depth: number of the first turns.
    """
    count, rows, _ = tables.probs.shape
    known = np.zeros((rows, count))
    fixed = np.zeros((count, rows, count))
    for weight in tables.weights[depth:][::-1]:
        best = [_turn(tables, known[None], weight, own)[0] for own in (0, 1)]
        both = [_turn(tables, fixed, weight, own) for own in (0, 1)]
        known = np.maximum(*best)
        cooperates = (best[0] >= best[1]).T[:, :, None]  # [K, rows, 1]
        fixed = np.where(cooperates, *both)
    return Replies(known, fixed)


def _turn(
    tables: Tables,
    later: Float[np.ndarray, "K rows P"],
    weight: float,
    own: int,
) -> Float[np.ndarray, "K rows P"]:
    """Return the values before a turn with one own action."""
    total = np.zeros_like(later)
    for other in (0, 1):
        chance = tables.probs[:, :, other].T  # [rows, P]
        reward = weight * PAYOFF[own, other]
        following = later[:, tables.after[:, own, other]]
        total += chance * (reward + following)
    return total


def bounds(tables: Tables, depth: int) -> tuple[float, float]:
    """Return the lower and the upper bound of the mean score per turn.

    Args:
        tables: the strategies.
        depth: number of the first turns.
    """
    ends = replies(tables, depth)
    count = len(tables.probs)
    belief = np.full((1, count), 1 / count)
    value = functools.partial(_value, tables, ends, depth)
    lower, upper = value(np.zeros(1, int), belief, 0)
    return float(lower[0]), float(upper[0])


def _value(
    tables: Tables,
    ends: Replies,
    depth: int,
    row: Int[np.ndarray, " B"],
    belief: Float[np.ndarray, "B P"],
    turn: int,
) -> Float[np.ndarray, "2 B"]:
    """Return both bounds of what histories are worth, times their probability."""
    if turn == depth:
        return _ends(ends, row, belief)
    if len(row) > CHUNK // 4:
        halves = np.array_split(np.arange(len(row)), 2)
        parts = [
            _value(tables, ends, depth, row[half], belief[half], turn)
            for half in halves
        ]
        return np.concatenate(parts, 1)
    weight, size = tables.weights[turn], len(row)
    reached = [belief * tables.probs[:, row, j].T for j in (0, 1)]
    rows = [tables.after[row, e, j] for e in (0, 1) for j in (0, 1)]
    histories = np.concatenate(rows), np.concatenate(reached * 2)
    later = _value(tables, ends, depth, *histories, turn + 1)
    later = later.reshape(2, 2, 2, size)  # bound, own, other, history
    mass = np.stack([x.sum(1) for x in reached])
    now = weight * PAYOFF[:, :, None] * mass  # own, other, history
    returns = (now + later).sum(2)  # bound, own, history
    return returns.max(1)


def _ends(
    ends: Replies, row: Int[np.ndarray, " B"], belief: Float[np.ndarray, "B P"]
) -> Float[np.ndarray, "2 B"]:
    upper = (belief * ends.known[row]).sum(1)
    lower = np.empty(len(row))
    for number in np.unique(row):
        here = row == number
        lower[here] = (belief[here] @ ends.fixed[:, number].T).max(1)
    return np.stack([lower, upper])


def bound_all(seeds: Sequence[int]) -> None:
    """Write the bounds for the tables of runs that learned from all strategies.

    Args:
        seeds: training seeds; runs are trained if they are missing.
    """
    rows = []
    for seed in seeds:
        path, _ = trained(seed, "all", NAME)
        tables = tables_of(path / f"run{ROUNDS[NAME]}", TOURNAMENTS[NAME])
        lower, upper = bounds(tables, DEPTH)
        rows.append({"seed": seed, "lower": lower, "upper": upper})
        print(f"{NAME} {seed}: {lower:.3f} to {upper:.3f}", flush=True)
    facts = {"tournament": NAME, "depth": DEPTH, "rows": rows}
    write_json(FILE, facts | {"provenance": provenance(seeds[-1])})


def read() -> dict[str, Any]:
    """Return what was written; empty if nothing was."""
    return json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
