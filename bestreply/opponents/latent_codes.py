"""Types that nobody labelled: discrete codes of what players go on to do, learned from play alone.

Each player of each episode has a code c_t, which each step keeps or, with probability `hazard`, draws anew from the prior p(c). A code is
what the rest of the play shows: a step is labelled by the posterior of its code given all that the player did, before and after,

    w_t(c) = P(c_t = c | o_1, a_1, ..., o_T, a_T),      P(a_t | o_t, c) = pi_hat_c(a_t | o_t),

by the forward-backward recursion, with the model of the others as it is so far: expectation maximisation for hidden Markov models (Baum
et al., 1970). At play the same codes are inferred from the past alone, by the Bayes filter of `LearnedOpponents`, because they are
discrete. A subgoal as a code of a future state (OMG: Yu et al., "Opponent modeling based on subgoal inference", 2024) is the relative.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

ROUNDS = 5
"""Rounds in which the prior comes to rest."""


class Codes(NamedTuple):
    """The posterior of the codes of logged play."""

    weight: Float[
        np.ndarray, "E T N G"
    ]  # of each step; 0 where the seat did not act
    prior: Float[np.ndarray, " G"]  # p(c)


def smooth_codes(
    log_likelihood: Float[np.ndarray, "E T N G"],
    acted: Bool[np.ndarray, "E T N"],
    hazard: float,
) -> Codes:
    """`Codes` from log pi_hat_c(a_t | o_t) of every step; the prior is that of first steps."""
    count = log_likelihood.shape[-1]
    prior = np.full(count, 1 / count, np.float32)
    likely = np.where(acted[..., None], log_likelihood, 0)
    for _ in range(ROUNDS):
        first = _forward_backward(likely, prior, hazard)[:, 0][acted[:, 0]]
        prior = np.maximum(first.mean(0), 1e-4)
        prior /= prior.sum()
    return Codes(
        _forward_backward(likely, prior, hazard) * acted[..., None], prior
    )


def _forward_backward(
    log_likelihood: Float[np.ndarray, "E T N G"],
    prior: Float[np.ndarray, " G"],
    hazard: float,
) -> Float[np.ndarray, "E T N G"]:
    shifted = log_likelihood - log_likelihood.max(-1, keepdims=True)
    likely = np.exp(np.maximum(shifted, -20)).astype(np.float32)
    steps = likely.shape[1]
    forward = np.empty_like(likely)
    belief = np.broadcast_to(prior, likely[:, 0].shape)
    for t in range(steps):
        forward[:, t] = _normalised(belief * likely[:, t])
        belief = (1 - hazard) * forward[:, t] + hazard * prior
    after = np.ones_like(likely[:, 0])
    weight = forward
    for t in reversed(range(steps - 1)):
        ahead = likely[:, t + 1] * after
        after = _normalised(
            (1 - hazard) * ahead
            + hazard * (prior * ahead).sum(-1, keepdims=True)
        )
        weight[:, t] = _normalised(forward[:, t] * after)
    return weight


def _normalised(x: Float[np.ndarray, "*B G"]) -> Float[np.ndarray, "*B G"]:
    return x / np.maximum(x.sum(-1, keepdims=True), 1e-30)


def first_codes(
    acted: Bool[np.ndarray, "E T N"], count: int, seed: int
) -> Float[np.ndarray, "E T N G"]:
    """Before anything is learned: one code for each player of each episode, drawn at random, so that no two codes learn quite the same."""
    episodes, _, players = acted.shape
    drawn = np.random.default_rng(seed).integers(
        count, size=(episodes, 1, players)
    )
    return np.eye(count, dtype=np.float32)[drawn] * acted[..., None]
