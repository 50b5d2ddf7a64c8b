"""Weighted importance sampling per decision, with bootstrap intervals over episodes.

Precup, Sutton and Singh, "Eligibility traces for off-policy policy evaluation", 2000;
the weights of each step sum to 1 (Thomas, "Safe reinforcement learning", 2015, 3.10).
Libraries for it (scope-rl, offline-rl-ope) need PyTorch and d3rlpy.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

RESAMPLES = 2000
"""Bootstrap resamples of the episodes."""
LEVEL = 0.95
MIN_EFFECTIVE = 2.0
"""Least effective number of trajectories behind an estimate."""


class Estimate(NamedTuple):
    """A mean with its 95 % interval; NaN where it cannot be computed."""

    mean: float
    low: float
    high: float


class Weighted(NamedTuple):
    """An estimate by importance sampling, and the trajectories that count for it."""

    estimate: Estimate
    effective: float
    """Effective number of trajectories at their ends, (sum w)^2 / sum w^2."""


def resamples(
    episodes: int, seed: int, count: int = RESAMPLES
) -> Float[np.ndarray, "R E"]:
    """Return how often each episode occurs in bootstrap resamples.

    Args:
        episodes: number of episodes, E.
        seed: seed of the draws.
        count: number of resamples, R.
    """
    rng = np.random.default_rng(seed)
    even = np.full(episodes, 1 / episodes)
    return rng.multinomial(episodes, even, count).astype(np.float64)


def logged_return(
    returns: Float[np.ndarray, " M"],
    episode: Int[np.ndarray, " M"],
    counts: Float[np.ndarray, "R E"],
) -> Estimate:
    """Return the mean return of trajectories, as they were logged.

    Args:
        returns: the return of each trajectory.
        episode: the episode of each.
        counts: resamples of the episodes.
    """
    size = counts.shape[1]
    total = np.bincount(episode, returns, size)
    number = np.bincount(episode, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (counts @ total) / (counts @ number)
    return _interval(float(returns.mean()), means)


def weighted_return(
    ratio: Float[np.ndarray, "M T"],
    reward: Float[np.ndarray, "M T"],
    acted: Bool[np.ndarray, "M T"],
    episode: Int[np.ndarray, " M"],
    counts: Float[np.ndarray, "R E"],
) -> Weighted:
    """Return the expected return of a policy from the play of others.

    Args:
        ratio: probability of the logged action by the policy, divided by that of the
            player that chose it.
        reward: rewards.
        acted: steps of each trajectory; it ends after its last one, with its weight.
        episode: the episode of each trajectory.
        counts: resamples of the episodes.

    Returns:
        The estimate; NaN where too few trajectories agree with the policy to the end.
    """
    agrees = ratio > 0
    log_ratio = np.log(np.where(agrees, ratio, 1.0).astype(np.float64))
    log_ratio = np.where(agrees, log_ratio, -np.inf)
    logs = np.cumsum(np.where(acted, log_ratio, 0.0), 1)
    top = logs.max(0)
    weight = np.exp(logs - np.where(np.isfinite(top), top, 0.0))
    end = weight[:, -1]
    effective = float(end.sum() ** 2 / max((end**2).sum(), 1e-300))
    if not (np.isfinite(top).all() and effective >= MIN_EFFECTIVE):
        return Weighted(Estimate(*[float("nan")] * 3), effective)
    size = counts.shape[1]
    rewards = weight * np.where(acted, reward, 0.0)
    top_of, below = np.zeros((2, size, weight.shape[1]))
    np.add.at(top_of, episode, rewards)
    np.add.at(below, episode, weight)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = ((counts @ top_of) / (counts @ below)).sum(1)
    mean = float((top_of.sum(0) / below.sum(0)).sum())
    return Weighted(_interval(mean, means), effective)


def _interval(mean: float, means: Float[np.ndarray, " R"]) -> Estimate:
    """Return a percentile interval; resamples without a mean do not count."""
    means = means[np.isfinite(means)]
    if len(means) < 2:
        return Estimate(mean, float("nan"), float("nan"))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Estimate(mean, float(low), float(high))
