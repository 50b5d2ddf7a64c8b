"""Who is measured against the programs, how many matches each, and what is made of the returns."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import stdtr, stdtrit

from experiments.roshambo.model import FULL, Programs
from experiments.roshambo.players import (
    Counts,
    Learned,
    Mixture,
    Replayed,
    Uniform,
    play,
)
from experiments.roshambo.programs import FIXED, held_out, names

REFERENCES: dict[str, Callable[[], Any]] = {
    "no model": Uniform,
    "frequency counts": Counts,
    "mixture of predictors": Mixture,
    "greenberg replayed": lambda: Replayed("greenberg", "test"),
    "iocainebot replayed": lambda: Replayed("iocainebot", "test"),
}
"""Players that learn nothing beforehand."""
LEAK = 0.001
"""Share of the prior that flows back into the belief at each throw. Chosen in matches of the split `develop`, with a model of
seed 101, which is not among those reported; in the train_state's own rounds of play it is 0.01."""
AGENTS: dict[str, dict[str, float]] = {
    "recurrent model": {"common": 1.0},
    "+ belief over known programs": {"common": 0.5, "programs": 0.5},
    "+ table of throws by step": {
        "common": 0.4,
        "programs": 0.4,
        "tables": 0.2,
    },
    "full agent": FULL,
}
"""By name, what the prediction rests on (`model.PARTS`), with prior weights."""
FULL_AGENT = "full agent"
CLOSE = ("iocainebot", "greenberg", "markovbails", "phasenbott", "randbot")
"""Whom no agent beats by much: more matches."""
MATCHES, CLOSE_MATCHES, PART_MATCHES, REFERENCE_MATCHES = 5, 20, 2, 20
"""Of the full agent against each program; against the close ones where it knows all 43; of agents that lack a part; each for each
seed. Of references."""
TEST_SEED = 20_000


def agent(model: Programs, name: str) -> Learned:
    model = Programs.create(model.net, model.tables, AGENTS[name], LEAK)
    return Learned(model)


def returns(
    player: Any, matches: int, close: int, seed: int, split: str = "test"
) -> dict[str, list[int]]:
    """By program, the return of each match."""
    counts = {p: max(matches, close if p in CLOSE else 0) for p in names()}
    programs = [p for p in names() for _ in range(counts[p])]
    got = play(player, programs, split=split, seed=seed).returns
    found: dict[str, list[int]] = {p: [] for p in names()}
    for program, value in zip(programs, got.tolist(), strict=True):
        found[program].append(value)
    return found


def groups() -> dict[str, tuple[str, ...]]:
    """Sets of programs whose mean return is reported."""
    left = set(held_out())
    return {
        "all 43": names(),
        "the 40 that play no fixed sequence": tuple(
            p for p in names() if p not in FIXED
        ),
        "the 13 held out": held_out(),
        "the other 30": tuple(p for p in names() if p not in left),
    }


def mean_over(found: dict[str, list[int]], programs: tuple[str, ...]) -> float:
    return float(np.mean([np.mean(found[p]) for p in programs]))


def pooled(rows: list[dict[str, list[int]]]) -> dict[str, list[int]]:
    """All matches of all rows."""
    return {p: [v for row in rows for v in row[p]] for p in names()}


def worst(found: dict[str, list[int]]) -> tuple[str, float]:
    """The opponent with the least mean return."""
    means = {p: float(np.mean(v)) for p, v in found.items()}
    least = min(means, key=means.__getitem__)
    return least, means[least]


def error(values: list[float]) -> float | None:
    """Standard error of the mean; None of a single one."""
    return (
        float(np.std(values, ddof=1) / len(values) ** 0.5)
        if len(values) > 1
        else None
    )


def error_of_matches(found: dict[str, list[int]]) -> float:
    """Standard error of the mean over programs of one player, by the spread of its matches."""
    return float(
        sum(np.var(v, ddof=1) / len(v) for v in found.values()) ** 0.5
        / len(found)
    )


def against(values: list[int]) -> dict[str, float]:
    """Mean, half the 95 % interval, and P(a mean so low | the true one is 0): one-sided t test over matches."""
    mean, count = float(np.mean(values)), len(values)
    spread = float(np.std(values, ddof=1) / count**0.5)
    if spread == 0:
        return {
            "matches": count,
            "mean": mean,
            "half": 0.0,
            "p_loses": 0.0 if mean < 0 else 1.0,
        }
    return {
        "matches": count,
        "mean": mean,
        "half": float(stdtrit(count - 1, 0.975)) * spread,
        "p_loses": float(stdtr(count - 1, mean / spread)),
    }
