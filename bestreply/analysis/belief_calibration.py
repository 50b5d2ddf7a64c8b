"""Is it right about who the others are, how soon, and does it know how sure it may be?"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from bestreply.config import RunConfig
from bestreply.games.hindsight_goals import EVENT
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.opponent_types import opponent_types
from bestreply.types import ABSENT, Episodes, ego_order

MOVES = (0, 1, 2, 3, 5, 10)
"""Moves seen, after which beliefs are looked at."""
INFORMATIVE = 0.5
"""A move tells something where two types that occur act differently with at least this probability (total variation)."""
BINS = 10


def belief_table(
    config: RunConfig,
    model: LearnedOpponents,
    episodes: Episodes,
    beliefs: Float[Array, "E T1 N others G"],
) -> dict[str, Any] | None:
    """How good `beliefs`, held before each step of logged play, are (docs/files.md, `diagnostics.json`); None where there is one type.

    The truth is who played, or where goals are told apart the goal that an event showed later: steps without one are left out.
    """
    if model.goals < 2:
        return None
    truth = true_types(
        config, episodes
    )  # [E, T, N, N-1], ABSENT where there is none
    told = truth != ABSENT
    believed = np.asarray(beliefs)[:, :-1][told]  # [M, G]
    truth, moves = (
        truth[told],
        np.broadcast_to(np.arange(told.shape[1])[:, None, None], told.shape)[
            told
        ],
    )
    telling = np.asarray(
        informative(model, jax.device_put(episodes.obs[:, :-1]))
    )  # [E, T, N, N-1]
    seen = np.cumsum(telling & told, 1) - (telling & told)  # before this step
    confidence, right = believed.max(1), believed.argmax(1) == truth
    ece, reliability = calibration(confidence, right)
    return {
        "moves": by_moves(believed, truth, moves),
        "informative": by_moves(believed, truth, seen[told]),
        "ece": ece,
        "reliability": reliability,
    }


def calibration(
    confidence: Float[np.ndarray, " M"], right: Bool[np.ndarray, " M"]
) -> tuple[float, list[dict[str, Any]]]:
    """Expected calibration error of M guesses, and the reliability diagram that it sums up: one row for each bin of confidence that has
    any (Guo et al., "On Calibration of Modern Neural Networks", 2017)."""
    edges = np.linspace(0, 1, BINS + 1)
    which = np.clip(np.digitize(confidence, edges) - 1, 0, BINS - 1)
    reliability = [
        {
            "confidence": float(confidence[which == b].mean()),
            "accuracy": float(right[which == b].mean()),
            "count": int((which == b).sum()),
        }
        for b in range(BINS)
        if (which == b).any()
    ]
    gaps = [
        r["count"] * abs(r["confidence"] - r["accuracy"]) for r in reliability
    ]
    return float(sum(gaps) / len(right)), reliability


def by_moves(
    believed: Float[np.ndarray, "M G"],
    truth: Int[np.ndarray, " M"],
    moves: Int[np.ndarray, " M"],
) -> list[dict[str, Any]]:
    """After each of `MOVES`: how often the likeliest type is the true one, what is believed of the true one, and the information about
    types that the belief holds: H(type) - E[-log b(type)], in bits, a lower bound of the mutual information."""
    rows = []
    for k in MOVES:
        here = moves == k
        if not here.any():
            continue
        b, t = believed[here], truth[here]
        share = b[np.arange(len(t)), t]
        frequency = np.bincount(t, minlength=b.shape[1]) / len(t)
        entropy = -(
            frequency[frequency > 0] * np.log2(frequency[frequency > 0])
        ).sum()
        rows.append(
            {
                "moves": k,
                "accuracy": float((b.argmax(1) == t).mean()),
                "share": float(share.mean()),
                "bits": float(
                    entropy + np.log2(np.maximum(share, 1e-9)).mean()
                ),
                "entropy": float(entropy),
                "count": len(t),
            }
        )
    return rows


def code_table(
    roster: list[dict[str, Any]],
    episodes: Episodes,
    beliefs: Float[Array, "E T1 N others G"],
    weights: Float[np.ndarray, "E T N G"],
) -> dict[str, Any]:
    """What learned codes tell of who played, whom no code was shown (docs/files.md, `diagnostics.json`).

    Returns the shares of codes by player as believed after the last move, and after each of `MOVES` the information about players that the
    belief holds, H(player) - E[-log sum_c b(c) P(player | c)], in bits: a lower bound of the mutual information. P(player | c) is counted
    in the same play. `hit` is how often the code believed likeliest is the one that the whole episode shows the player to follow from
    there on: the likeliest by `weights` (`bestreply.opponents.labels.label_weights`), which know what it does later.
    """
    action = np.asarray(episodes.action)
    others = ego_order(action.shape[2])[:, 1:]
    player = np.broadcast_to(
        np.asarray(episodes.player)[:, None, others],
        (*action.shape, others.shape[1]),
    )
    there = (action != ABSENT)[..., None] & (action[:, :, others] != ABSENT)
    moves = np.broadcast_to(
        np.arange(action.shape[1])[:, None, None], there.shape
    )[there]
    last = np.broadcast_to(
        np.asarray(beliefs)[:, -1:], (*there.shape, beliefs.shape[-1])
    )
    count, first = len(roster), moves == 0
    who = np.eye(count)[player[there]]
    joint = (
        last[there][first].T @ who[first] / max(first.sum(), 1)
    )  # [G, players]
    given = joint / np.maximum(joint.sum(1, keepdims=True), 1e-9)
    now = np.asarray(beliefs)[:, :-1][there]
    hit = now.argmax(1) == np.asarray(weights).argmax(3)[:, :, others][there]
    rows = []
    for k in MOVES:
        here = moves == k
        if here.any():
            told = {
                "moves": k,
                "count": int(here.sum()),
                "hit": float(hit[here].mean()),
            }
            rows.append(told | _bits(now[here] @ given, who[here]))
    return {
        "players": [entry["name"] for entry in roster],
        "shares": joint.tolist(),
        "moves": rows,
        "end": _bits(last[there][first] @ given, who[first]),
    }


def _bits(
    believed: Float[np.ndarray, "M P"], who: Float[np.ndarray, "M P"]
) -> dict[str, float]:
    frequency = who.mean(0)
    entropy = -(
        frequency[frequency > 0] * np.log2(frequency[frequency > 0])
    ).sum()
    share = (believed * who).sum(1)
    return {
        "bits": float(entropy + np.log2(np.maximum(share, 1e-9)).mean()),
        "entropy": float(entropy),
        "accuracy": float((believed.argmax(1) == who.argmax(1)).mean()),
    }


def true_types(
    config: RunConfig, episodes: Episodes
) -> Int[np.ndarray, "E T N others"]:
    """The type or goal of each other player as each seat has it, ego first; ABSENT where one of the two did not act or none is known."""
    action = np.asarray(episodes.action)
    others = ego_order(action.shape[2])[:, 1:]
    if opponent_types(config.model).inferred:
        shown = np.asarray(episodes.goal_source) == EVENT
        kind = np.where(shown, np.asarray(episodes.goal), ABSENT)[:, :, others]
    else:
        kind = np.broadcast_to(
            np.asarray(episodes.player)[:, None, others],
            (*action.shape, others.shape[1]),
        )
    there = (action != ABSENT)[..., None] & (action[:, :, others] != ABSENT)
    return np.where(there, kind, ABSENT)


@jax.jit
def informative(
    model: LearnedOpponents, obs: Float[Array, "E T N *obs"]
) -> Array:
    """[E, T, N, N-1] bool: whether what each other player does next tells something of its type."""
    known = model.prior > 0

    def one(obs: Array) -> Array:
        probs = jnp.exp(model.logits(obs))  # [N-1, G, A]
        apart = jnp.abs(probs[:, :, None] - probs[:, None]).sum(3) / 2
        return (
            jnp.where(known[:, None] & known, apart, 0.0).max((1, 2))
            >= INFORMATIVE
        )

    return jax.lax.map(jax.vmap(jax.vmap(one)), obs, batch_size=64)
