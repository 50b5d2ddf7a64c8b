"""Exact tables of strategies that are deterministic and read a few last joint actions."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.axelrod.agent import Probe
from experiments.axelrod.game import DEFECT, Rules
from experiments.axelrod.matches import play
from experiments.axelrod.model import Contexts
from experiments.axelrod.pool import ACTIONS, axelrod, start


def exact_table(
    maker: Callable[[], Any], contexts: Contexts, rules: Rules
) -> Float[np.ndarray, " C"] | None:
    """Return a strategy's probability of cooperation in each context: 0 or 1.

    Args:
        maker: of the strategy.
        contexts: the contexts.
        rules: that the strategy knows of.

    Returns:
        The table; None if the strategy draws, remembers more, or does anything else in 40 matches than the table says.
    """
    if axelrod.Classifiers["stochastic"](maker()):
        return None
    if axelrod.Classifiers["memory_depth"](maker()) > contexts.memory:
        return None
    rng = np.random.default_rng(0)
    table = np.zeros(len(contexts))
    for number, sequence in enumerate(contexts.sequences):
        [player], [other] = (
            start([m], rules, rng) for m in (maker, axelrod.Player)
        )
        for joint in sequence:
            player.strategy(other)  # as if its action had been flipped
            mine, theirs = ACTIONS[joint // 2], ACTIONS[joint % 2]
            other.update_history(mine, theirs)
            player.update_history(theirs, mine)
        table[number] = player.strategy(other) != ACTIONS[DEFECT]
    log = play(Probe(0.2), [maker] * 40, Rules(), 0)
    said = table[contexts.of(log)]
    did = log.actions[..., 1] != DEFECT
    return table if (said == did).all() else None
