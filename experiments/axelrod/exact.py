"""Exact best replies to strategies that are deterministic and read a few last joint actions."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

import bestreply as br
from bestreply.opponents.table_replies import with_replies
from bestreply.opponents.tables import TableOpponents, sequences_after
from experiments.axelrod.agent import Probe, game_of
from experiments.axelrod.game import DEFECT, TURNS, Log, Rules
from experiments.axelrod.matches import play
from experiments.axelrod.pool import ACTIONS, axelrod, start

MEMORY = 4
"""Largest number of joint actions that a strategy reads."""


def exact_scores(
    makers: Mapping[str, Callable[[], Any]],
) -> dict[str, float]:
    """Return what the best reply earns per turn of the standard tournament.

    Args:
        makers: of the strategies, by name.

    Returns:
        The scores of those that are tables of `MEMORY` joint actions.
    """
    game: Any = br.make_game(game_of(Rules()))
    after = sequences_after(game, MEMORY)
    tables = {
        name: table
        for name, maker in makers.items()
        if (table := exact_table(maker, after)) is not None
    }
    cooperates = np.stack([*tables.values()])
    probs = np.stack([cooperates, 1 - cooperates], -1)
    model = TableOpponents.create(game, MEMORY, len(probs), len(probs))
    model = dataclasses.replace(model, probs=jnp.asarray(probs, jnp.float32))
    solved: Any = with_replies(model, game, gamma=1.0, limit_ends=True)
    scores = np.asarray(solved.replies)[0, 0] / TURNS
    return dict(zip(tables, map(float, scores), strict=True))


def exact_table(
    maker: Callable[[], Any], after: Int[np.ndarray, "rows 2 2"]
) -> Float[np.ndarray, " rows"] | None:
    """Return a strategy's probability of cooperation after each sequence: 0 or 1.

    Args:
        maker: of the strategy.
        after: row of the sequence after one more joint action.

    Returns:
        The table; None if the strategy draws, remembers more, or does anything else in 40 matches than the table says.
    """
    if axelrod.Classifiers["stochastic"](maker()):
        return None
    if axelrod.Classifiers["memory_depth"](maker()) > MEMORY:
        return None
    rng = np.random.default_rng(0)
    table = np.zeros(len(after))
    for row, sequence in _sequences(after).items():
        [player], [other] = (
            start([m], Rules(), rng) for m in (maker, axelrod.Player)
        )
        for own, their in sequence:
            player.strategy(other)  # as if its action had been flipped
            mine, theirs = ACTIONS[own], ACTIONS[their]
            other.update_history(mine, theirs)
            player.update_history(theirs, mine)
        table[row] = player.strategy(other) != ACTIONS[DEFECT]
    log = play(Probe(0.2), [maker] * 40, Rules(), 0)
    said = table[_rows_of(log, after)]
    did = log.actions[..., 1] != DEFECT
    return table if (said == did).all() else None


def _sequences(
    after: Int[np.ndarray, "rows 2 2"],
) -> dict[int, tuple[tuple[int, int], ...]]:
    """Return a sequence of joint actions that leads to each row."""
    found: dict[int, tuple[tuple[int, int], ...]] = {0: ()}
    rows = [0]
    for row in rows:
        for own, theirs in np.ndindex(2, 2):
            to = int(after[row, own, theirs])
            if to not in found:
                found[to] = (*found[row], (own, theirs))
                rows.append(to)
    return found


def _rows_of(
    log: Log, after: Int[np.ndarray, "rows 2 2"]
) -> Int[np.ndarray, "B T"]:
    """Return the row of the sequence before each turn of matches without an end."""
    actions = log.actions.astype(int)
    rows = np.zeros(actions.shape[:2], int)
    for t in range(1, actions.shape[1]):
        own, theirs = actions[:, t - 1].T
        rows[:, t] = after[rows[:, t - 1], own, theirs]
    return rows
