"""Accuracy and calibration of beliefs about opponent types, and the moves that they take."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from bestreply.config import RunConfig
from bestreply.games.hindsight_goals import EVENT
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.opponent_types import opponent_types
from bestreply.replay.blocks import map_in_parts
from bestreply.types import ABSENT, Array, Episodes, ego_order, obs_at

MOVES = (0, 1, 2, 3, 5, 10)
"""Numbers of observed moves after which beliefs are evaluated."""
INFORMATIVE_TV = 0.5
"""A move is informative if two types that occur differ by this total variation."""
BINS = 10


def belief_table(
    config: RunConfig,
    model: LearnedOpponents,
    episodes: Episodes,
    beliefs: Float[Array, "E T1 N others G"],
) -> dict[str, Any] | None:
    """Return the quality of beliefs before each step of logged play.

    The true type is the player, or with goals the goal that a later event showed; steps
    without an event are left out.

    Args:
        config: of the run.
        model: opponent model, for the moves that are informative.
        episodes: logged play.
        beliefs: [E, T+1, N, N-1, G], before each step and at the end.

    Returns:
        `belief` of ``diagnostics.json`` (docs/files.md); None if there is one type, or
        no step with a known type, as in a game of one player.
    """
    if model.goals < 2:
        return None
    truth = true_types(config, episodes)  # [E, T, N, N-1], ABSENT if unknown
    known = truth != ABSENT
    if not known.any():
        return None
    believed = np.asarray(beliefs)[:, :-1][known]  # [M, G]
    steps = np.arange(known.shape[1])[:, None, None]
    moves = np.broadcast_to(steps, known.shape)[known]
    obs = jax.device_put(episodes.obs)
    informs = np.asarray(informative(model, obs)) & known  # [E, T, N, N-1]
    informative_moves = np.cumsum(informs, 1) - informs  # before this step
    confidence = believed.max(1)
    ece, reliability = calibration(
        confidence, believed.argmax(1) == truth[known]
    )
    return {
        "moves": accuracy_by_moves(believed, truth[known], moves),
        "informative": accuracy_by_moves(
            believed, truth[known], informative_moves[known]
        ),
        "ece": ece,
        "reliability": reliability,
    }


def calibration(
    confidence: Float[np.ndarray, " M"], correct: Bool[np.ndarray, " M"]
) -> tuple[float, list[dict[str, Any]]]:
    """Return the expected calibration error and the reliability diagram.

    Guo et al., "On Calibration of Modern Neural Networks", 2017.

    Args:
        confidence: [M], probability of each guess.
        correct: [M] bool.

    Returns:
        The error, and a row for each of `BINS` bins of confidence that is not empty.
    """
    edges = np.linspace(0, 1, BINS + 1)
    which = np.clip(np.digitize(confidence, edges) - 1, 0, BINS - 1)
    rows = []
    for bin_number in np.unique(which):
        inside = which == bin_number
        rows.append(
            {
                "confidence": float(confidence[inside].mean()),
                "accuracy": float(correct[inside].mean()),
                "count": int(inside.sum()),
            }
        )
    gaps = [r["count"] * abs(r["confidence"] - r["accuracy"]) for r in rows]
    return float(sum(gaps) / len(correct)), rows


def accuracy_by_moves(
    believed: Float[np.ndarray, "M G"],
    truth: Int[np.ndarray, " M"],
    moves: Int[np.ndarray, " M"],
) -> list[dict[str, Any]]:
    """Return the accuracy of beliefs and their information about types, by observed moves.

    The information H(type) - E[-log b(type)], in bits, is a lower bound of the mutual
    information of play and type.

    Args:
        believed: [M, G], beliefs.
        truth: [M] int, true types.
        moves: [M] int, moves observed before each belief.

    Returns:
        A row for each of `MOVES` that occurs.
    """
    rows = []
    for count in MOVES:
        chosen = moves == count
        if not chosen.any():
            continue
        belief, types = believed[chosen], truth[chosen]
        one_hot = np.eye(belief.shape[1])[types]
        row = {
            "moves": count,
            "share": float((belief * one_hot).sum(1).mean()),
            "count": len(types),
        }
        rows.append(row | _information(belief, one_hot))
    return rows


def code_table(
    roster: list[dict[str, str | int]],
    episodes: Episodes,
    beliefs: Float[Array, "E T1 N others G"],
    weights: Float[np.ndarray, "E T N G"],
) -> dict[str, Any]:
    """Return the information of learned codes about players, which no code was trained on.

    P(player | code) is counted in the same play. The information
    H(player) - E[-log sum_c b(c) P(player | c)], in bits, is a lower bound of the mutual
    information.

    Args:
        roster: the players of the data.
        episodes: logged play.
        beliefs: [E, T+1, N, N-1, G] over codes, before each step and at the end.
        weights: [E, T, N, G] of codes given the whole episode
            (`bestreply.opponents.labels.label_weights`).

    Returns:
        `codes` of ``diagnostics.json`` (docs/files.md): `shares` of codes by player after the
        last move; by moves and at the `end`, the information; `hit`, how often the likeliest
        code is the one with the largest weight.
    """
    action = np.asarray(episodes.action)
    others = ego_order(action.shape[2])[:, 1:]
    player = _of_others(np.asarray(episodes.player), action)
    acts = _both_act(action)
    steps = np.arange(action.shape[1])[:, None, None]
    moves = np.broadcast_to(steps, acts.shape)[acts]
    every = np.asarray(beliefs)
    shape = (*acts.shape, every.shape[-1])
    last = np.broadcast_to(every[:, -1:], shape)[acts]
    first = moves == 0
    one_hot = np.eye(len(roster))[player[acts]]
    joint = last[first].T @ one_hot[first] / max(first.sum(), 1)  # [G, players]
    given_code = joint / np.maximum(joint.sum(1, keepdims=True), 1e-9)
    current = every[:, :-1][acts]
    labels = np.asarray(weights).argmax(3)[:, :, others]
    hit = current.argmax(1) == labels[acts]
    rows = []
    for count in MOVES:
        chosen = moves == count
        if chosen.any():
            row = {
                "moves": count,
                "count": int(chosen.sum()),
                "hit": float(hit[chosen].mean()),
            }
            predicted = current[chosen] @ given_code
            rows.append(row | _information(predicted, one_hot[chosen]))
    return {
        "players": [entry["name"] for entry in roster],
        "shares": joint.tolist(),
        "moves": rows,
        "end": _information(last[first] @ given_code, one_hot[first]),
    }


def _information(
    believed: Float[np.ndarray, "M P"], truth: Float[np.ndarray, "M P"]
) -> dict[str, float | None]:
    """Return bits, entropy and accuracy of beliefs about one-hot `truth`; None without any."""
    if not len(truth):
        return dict.fromkeys(("bits", "entropy", "accuracy"))
    frequency = truth.mean(0)
    frequency = frequency[frequency > 0]
    entropy = -(frequency * np.log2(frequency)).sum()
    share = (believed * truth).sum(1)
    return {
        "bits": float(entropy + np.log2(np.maximum(share, 1e-9)).mean()),
        "entropy": float(entropy),
        "accuracy": float((believed.argmax(1) == truth.argmax(1)).mean()),
    }


def true_types(
    config: RunConfig, episodes: Episodes
) -> Int[np.ndarray, "E T N others"]:
    """Return the type or goal of each other player, by seat.

    Args:
        config: of the run; says whether types are goals or players.
        episodes: logged play.

    Returns:
        [E, T, N, N-1] int, ego first; ABSENT where one of the two did not act or the type is
        unknown.
    """
    action = np.asarray(episodes.action)
    if opponent_types(config.model).inferred:
        others = ego_order(action.shape[2])[:, 1:]
        shown = np.asarray(episodes.goal_source) == EVENT
        goals = np.where(shown, np.asarray(episodes.goal), ABSENT)
        types = goals[:, :, others]
    else:
        types = _of_others(np.asarray(episodes.player), action)
    return np.where(_both_act(action), types, ABSENT)


def _of_others(player: np.ndarray, action: np.ndarray) -> np.ndarray:
    """Return the player [E, N] of each other seat at each step, [E, T, N, N-1]."""
    others = ego_order(action.shape[2])[:, 1:]
    shape = (*action.shape, others.shape[1])
    return np.broadcast_to(player[:, None, others], shape)


def _both_act(action: np.ndarray) -> np.ndarray:
    """Return whether a seat and each other seat act, [E, T, N, N-1] bool."""
    others = ego_order(action.shape[2])[:, 1:]
    acts = action != ABSENT
    return acts[..., None] & acts[:, :, others]


@jax.jit
def informative(
    model: LearnedOpponents, obs: Any
) -> Bool[Array, "E T N others"]:
    """Return whether the next move of each other player is informative about its type.

    Args:
        model: opponent model.
        obs: [E, T+1, N, *obs_shape], or `PackedObs`.

    Returns:
        [E, T, N, N-1] bool, without the last observation.
    """
    occurs = (model.prior > 0)[:, None]

    def greatest(probs: Float[Array, "G A"]) -> Array:
        types, actions = probs.shape
        # It is the greatest difference in the probability of a set of actions.
        if 2**actions < types**2:
            sets = (np.arange(2**actions)[:, None] >> np.arange(actions)) & 1
            of_sets = probs @ sets.T
            most = jnp.where(occurs, of_sets, -jnp.inf).max(0)
            least = jnp.where(occurs, of_sets, jnp.inf).min(0)
            return (most - least).max()
        distance = jnp.abs(probs[:, None] - probs).sum(2) / 2
        return jnp.where(occurs & occurs.T, distance, 0.0).max()

    def one(obs: Array) -> Array:
        probs = jnp.exp(model.logits(obs))  # [N-1, G, A]
        return jax.vmap(greatest)(probs) >= INFORMATIVE_TV

    def episode(obs: Any) -> Array:
        return jax.vmap(jax.vmap(one))(obs_at(obs, slice(-1)))

    return map_in_parts(episode, obs, 64)
