"""Players, numbers of matches and statistics of the measurement."""

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
"""Players without training."""
PRIOR_MIXING = 0.001
"""Fraction of the prior mixed into the belief at each throw. Chosen in matches of the split `develop`, with a model of seed 101, which
is not reported; in rounds of own play it is 0.01."""
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
"""Prior weights of the parts of a prediction (`model.PARTS`), by name."""
FULL_AGENT = "full agent"
CLOSE = ("iocainebot", "greenberg", "markovbails", "phasenbott", "randbot")
"""Programs that no agent beats by much; they get more matches."""
MATCHES, CLOSE_MATCHES, PART_MATCHES, REFERENCE_MATCHES = 5, 20, 2, 20
"""Matches a seed: of the full agent against each program; against the close ones if trained on all 43; of agents that lack a part. Matches
of references."""
TEST_SEED = 20_000


def agent(model: Programs, name: str) -> Learned:
    """Return the player with the parts of a name of `AGENTS`."""
    model = Programs.create(model.net, model.tables, AGENTS[name], PRIOR_MIXING)
    return Learned(model)


def returns(
    player: Any, matches: int, close: int, seed: int, split: str = "test"
) -> dict[str, list[int]]:
    """Return the returns of all matches by program.

    Args:
        player: the player.
        matches: number of matches against each program.
        close: number against each of `CLOSE`, if larger.
        seed: of the matches.
        split: of `programs.SPLITS`.
    """
    counts = {p: max(matches, close if p in CLOSE else 0) for p in names()}
    programs = [p for p in names() for _ in range(counts[p])]
    got = play(player, programs, split=split, seed=seed).returns
    found: dict[str, list[int]] = {p: [] for p in names()}
    for program, value in zip(programs, got.tolist(), strict=True):
        found[program].append(value)
    return found


def groups() -> dict[str, tuple[str, ...]]:
    """Return the sets of programs whose mean return is reported."""
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
    """Return the mean over programs of the mean over matches."""
    return float(np.mean([np.mean(found[p]) for p in programs]))


def pooled(rows: list[dict[str, list[int]]]) -> dict[str, list[int]]:
    """Return all matches of all rows by program."""
    return {p: [v for row in rows for v in row[p]] for p in names()}


def worst(found: dict[str, list[int]]) -> tuple[str, float]:
    """Return the program with the lowest mean return, and this mean."""
    means = {p: float(np.mean(v)) for p, v in found.items()}
    name = min(means, key=means.__getitem__)
    return name, means[name]


def error(values: list[float]) -> float | None:
    """Return the standard error of the mean; None for a single value."""
    return (
        float(np.std(values, ddof=1) / len(values) ** 0.5)
        if len(values) > 1
        else None
    )


def error_of_matches(found: dict[str, list[int]]) -> float:
    """Return the standard error of a player's mean over programs, from the spread of its matches."""
    return float(
        sum(np.var(v, ddof=1) / len(v) for v in found.values()) ** 0.5
        / len(found)
    )


def against(values: list[int]) -> dict[str, float]:
    """Return mean, half of the 95 % interval and the p-value of a one-sided t test that the mean is below 0."""
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
