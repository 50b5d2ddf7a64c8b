"""Types without labels: discrete codes, learned from play alone.

Each player of each episode has a code c_t. A step keeps it or, with probability
`hazard`, draws it anew from the prior p(c). A step is labelled by the posterior of its
code given all actions of the episode,

    w_t(c) = P(c_t = c | o_1, a_1, ..., o_T, a_T),    P(a_t | o_t, c) = pi_hat_c(a_t | o_t)

by the forward-backward recursion with the opponent model as trained so far: expectation
maximisation for hidden Markov models (Baum et al., 1970). During play the codes are
inferred from the past alone, by the Bayes filter of `LearnedOpponents`. Subgoals as
codes of a future state (OMG: Yu et al., "Opponent modeling based on subgoal inference",
2024) are related.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

EM_ITERATIONS = 5
"""Iterations for the prior."""


class Codes(NamedTuple):
    """The posterior of the codes of logged play."""

    weight: Float[np.ndarray, "E T N G"]  # 0 where the seat did not act
    prior: Float[np.ndarray, " G"]  # p(c)


def smooth_codes(
    log_likelihood: Float[np.ndarray, "E T N G"],
    acted: Bool[np.ndarray, "E T N"],
    hazard: float,
) -> Codes:
    """Return the posterior of the code at every step.

    Args:
        log_likelihood: log pi_hat_c(a_t | o_t).
        acted: steps at which the seat acted.
        hazard: probability before each step that a code is drawn anew.

    Returns:
        The posterior, and the prior: the mean posterior of first steps.
    """
    count = log_likelihood.shape[-1]
    prior = np.full(count, 1 / count, np.float32)
    log_probs = np.where(acted[..., None], log_likelihood, 0)
    for _ in range(EM_ITERATIONS):
        weight = _forward_backward(log_probs, prior, hazard)
        prior = np.maximum(weight[:, 0][acted[:, 0]].mean(0), 1e-4)
        prior /= prior.sum()
    weight = _forward_backward(log_probs, prior, hazard)
    return Codes(weight * acted[..., None], prior)


def _forward_backward(
    log_likelihood: Float[np.ndarray, "E T N G"],
    prior: Float[np.ndarray, " G"],
    hazard: float,
) -> Float[np.ndarray, "E T N G"]:
    shifted = log_likelihood - log_likelihood.max(-1, keepdims=True)
    prob = np.exp(np.maximum(shifted, -20)).astype(np.float32)
    steps = prob.shape[1]
    forward = np.empty_like(prob)
    belief = np.broadcast_to(prior, prob[:, 0].shape)
    for t in range(steps):
        forward[:, t] = _normalised(belief * prob[:, t])
        belief = (1 - hazard) * forward[:, t] + hazard * prior
    backward = np.ones_like(prob[:, 0])
    weight = forward
    for t in reversed(range(steps - 1)):
        ahead = prob[:, t + 1] * backward
        redrawn = (prior * ahead).sum(-1, keepdims=True)
        backward = _normalised((1 - hazard) * ahead + hazard * redrawn)
        weight[:, t] = _normalised(forward[:, t] * backward)
    return weight


def _normalised(x: Float[np.ndarray, "*B G"]) -> Float[np.ndarray, "*B G"]:
    return x / np.maximum(x.sum(-1, keepdims=True), 1e-30)


def random_codes(
    acted: Bool[np.ndarray, "E T N"], count: int, seed: int
) -> Float[np.ndarray, "E T N G"]:
    """Return one random code for each player of each episode, as initial labels.

    Different random labels make the codes' policies differ before training.

    Args:
        acted: steps at which the seat acted.
        count: number of codes, G.
        seed: of the draws.

    Returns:
        Weights 1 and 0; 0 where the seat did not act.
    """
    episodes, _, players = acted.shape
    rng = np.random.default_rng(seed)
    codes = rng.integers(count, size=(episodes, 1, players))
    return np.eye(count, dtype=np.float32)[codes] * acted[..., None]
