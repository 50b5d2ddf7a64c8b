"""The published tournaments, played again without the strategies that run long."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from bestreply.utils.files import replacing
from experiments.axelrod.game import Rules
from experiments.axelrod.pool import axelrod, pool


def replay(
    rules: Rules, repetitions: int, file: Path, seed: int = 1
) -> Float[np.ndarray, "K K R"]:
    """Play every pair of strategies, and return the first one's scores per turn.

    Args:
        rules: of the tournament.
        repetitions: matches of a pair; pairs that always play the same match play it once.
        file: NumPy file that keeps finished rows; an interrupted replay continues.
        seed: of the matches.
    """
    makers = [*pool().values()]
    size = len(makers)
    found = np.full((size, size, repetitions), np.nan, np.float32)
    if file.exists():
        found = np.load(file, allow_pickle=False)
    stochastic = [axelrod.Classifiers["stochastic"](m()) for m in makers]
    for i in range(size):
        if not np.isnan(found[i, i:]).any():
            continue
        for j in range(i, size):
            drawn = stochastic[i] or stochastic[j] or rules.noise
            pair = (makers[i](), makers[j]())
            known = {}
            for r in range(repetitions):
                match = axelrod.Match(
                    pair,
                    turns=None if rules.prob_end else int(rules.turns),
                    prob_end=rules.prob_end or None,
                    noise=rules.noise,  # pyright: ignore[reportArgumentType]
                    seed=seed + size * (size * r + i) + j,
                )
                if not drawn and not rules.prob_end and known:
                    scores = known["scores"]
                else:
                    match.play()
                    scores = known["scores"] = match.final_score_per_turn()
                found[i, j, r], found[j, i, r] = np.asarray(scores)
        with replacing(file) as new, new.open("wb") as stream:
            np.save(stream, found)
    return found


def scores(
    found: Float[np.ndarray, "K K R"],
) -> Float[np.ndarray, " K"]:
    """Return medians over repetitions of the mean over all other strategies."""
    size = len(found)
    other = ~np.eye(size, dtype=bool)
    means = np.stack([found[i][other[i]].mean(0) for i in range(size)])
    return np.median(means, -1)
