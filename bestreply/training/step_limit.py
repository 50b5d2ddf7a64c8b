"""Whether the step limit ends the return: measured from the data.

An observation that tells the time left has a value of the return within the limit. One
that does not tell it is met both early and late, so no single value fits; it is given
the value of play that goes on (Pardo et al., Time Limits in Reinforcement Learning, 2018).
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Float, Int

from bestreply.config import RunConfig
from bestreply.types import ABSENT, Episodes

EXPLAINED = 0.9
"""Part of the variance of the time left that an observation explains if it tells it."""
EPISODES, STEPS, ENTRIES = 256, 2048, 2**25
"""Largest numbers of episodes, steps and entries of observations that are looked at."""
RIDGE = 1e-3
"""Regularisation, as a fraction of the mean variance of an entry."""


def with_measured_limit(
    config: RunConfig, episodes: Episodes, before: RunConfig | None = None
) -> RunConfig:
    """Return the configuration with `train.at_limit` set, where it is "auto".

    Args:
        config: configuration of a run.
        episodes: its logged play.
        before: configuration of the run that training starts from, whose choice is
            kept.

    Returns:
        The configuration with "zero" where the return within the limit can be told from
        an observation, or no episode reaches the limit; else with "bootstrap".
    """
    if config.train.at_limit != "auto":
        return config
    if before is not None:
        chosen = before.train.at_limit
    else:
        chosen = "zero" if tells_time_left(episodes) else "bootstrap"
    train = dataclasses.replace(config.train, at_limit=chosen)
    return dataclasses.replace(config, train=train)


def tells_time_left(episodes: Episodes) -> bool:
    """Return whether observations tell how many steps are left until the limit.

    A ridge regression on the entries of an observation predicts the steps left of
    episodes that it was not fitted to; it has to explain `EXPLAINED` of their variance.

    Args:
        episodes: logged play.

    Returns:
        True too where no episode ends by the limit, or none has several steps; False
        where only one episode ends by it.
    """
    truncated = np.asarray(episodes.truncated).any(1)
    rows = np.flatnonzero(truncated)
    if not len(rows):
        return True
    rows = rows[
        np.linspace(0, len(rows) - 1, min(len(rows), EPISODES)).astype(int)
    ]
    rows = np.unique(rows)
    row, step, seat = np.nonzero(np.asarray(episodes.action[rows]) != ABSENT)
    if len(row) == 0 or step.max() == 0:
        return True
    if len(rows) < 2:
        return False
    size = math.prod(episodes.obs.shape[3:])
    most = max(min(STEPS, ENTRIES // size), 64)
    rng = np.random.default_rng(0)
    picked = np.sort(rng.permutation(len(row))[:most])
    row, step, seat = row[picked], step[picked], seat[picked]
    obs = np.asarray(episodes.obs[rows[row], step, seat])
    left = np.asarray(episodes.length)[rows[row]] - step
    return _explained(obs, left, row % 2 == 0) >= EXPLAINED


def _explained(
    obs: np.ndarray,
    target: Int[np.ndarray, " M"],
    fitted: Bool[np.ndarray, " M"],
) -> float:
    """Return the part of the variance that a ridge regression explains on other rows."""
    x = obs.reshape(len(obs), -1).astype(np.float64)
    if not fitted.any() or fitted.all():
        return 0.0
    mean, deviation = x[fitted].mean(0), x[fitted].std(0)
    x = (x - mean) / np.where(deviation > 0, deviation, 1)
    centre = target[fitted].mean()
    weights = _ridge(x[fitted], target[fitted] - centre)
    error = target[~fitted] - centre - x[~fitted] @ weights
    variance = np.mean((target[~fitted] - target[~fitted].mean()) ** 2)
    if variance == 0:
        return 1.0
    return float(1 - np.mean(error**2) / variance)


def _ridge(
    x: Float[np.ndarray, "M D"], y: Float[np.ndarray, " M"]
) -> Float[np.ndarray, " D"]:
    """Return the weights, by the smaller of the two systems of equations."""
    count, size = x.shape
    if size <= count:
        system = x.T @ x + RIDGE * count * np.eye(size)
        return np.linalg.solve(system, x.T @ y)
    system = x @ x.T + RIDGE * count * np.eye(count)
    return x.T @ np.linalg.solve(system, y)
