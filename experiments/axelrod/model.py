"""Learned strategies as tables over the last joint actions, and a belief over them."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from experiments.axelrod.game import PAYOFF, Log, Rules


@dataclasses.dataclass(frozen=True)
class Contexts:
    """All sequences of at most `memory` joint actions, numbered; the empty one is 0.

    Attributes:
        sequences: the joint actions, the oldest first.
        next: the context after a joint action (2 * own + other's).
        shorter: the context without its oldest joint action; 0 for the empty one.
        depth: number of joint actions.
    """

    memory: int
    sequences: tuple[tuple[int, ...], ...] = dataclasses.field(init=False)
    next: Int[np.ndarray, "C 4"] = dataclasses.field(init=False)
    shorter: Int[np.ndarray, " C"] = dataclasses.field(init=False)
    depth: Int[np.ndarray, " C"] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        sequences: list[tuple[int, ...]] = [()]
        for sequence in sequences:
            if len(sequence) < self.memory:
                sequences += [(*sequence, joint) for joint in range(4)]
        number = {s: i for i, s in enumerate(sequences)}
        keep = max(self.memory, 1)
        after = [
            [number[(*s, j)[-keep:] if self.memory else ()] for j in range(4)]
            for s in sequences
        ]
        object.__setattr__(self, "sequences", tuple(sequences))
        object.__setattr__(self, "next", np.array(after))
        object.__setattr__(
            self, "shorter", np.array([number[s[1:]] for s in sequences])
        )
        object.__setattr__(self, "depth", np.array([len(s) for s in sequences]))

    def __len__(self) -> int:
        return len(self.depth)

    def ends(self, shorter: "Contexts") -> Int[np.ndarray, " C"]:
        """Return the context of `shorter` that each context ends with."""
        number = {s: i for i, s in enumerate(shorter.sequences)}
        keep = shorter.memory
        return np.array(
            [number[s[-keep:] if keep else ()] for s in self.sequences]
        )

    def of(self, log: Log) -> Int[np.ndarray, "B T"]:
        """Return the context before each turn."""
        joint = 2 * log.actions[..., 0].astype(int) + log.actions[..., 1]
        context = np.zeros(joint.shape, int)
        for t in range(1, joint.shape[1]):
            context[:, t] = self.next[
                context[:, t - 1], np.maximum(joint[:, t - 1], 0)
            ]
        return context


def count(
    contexts: Contexts, log: Log, kind: Int[np.ndarray, " B"], kinds: int
) -> Float[np.ndarray, "C K 2"]:
    """Count the strategies' actions by context.

    Args:
        contexts: the contexts.
        log: matches.
        kind: strategy of each match.
        kinds: number of strategies.
    """
    played = log.actions[..., 1] >= 0
    found = np.zeros((len(contexts), kinds, 2), np.float32)
    which = np.broadcast_to(kind[:, None], played.shape)
    np.add.at(
        found,
        (contexts.of(log)[played], which[played], log.actions[..., 1][played]),
        1,
    )
    return found


def fit(
    contexts: Contexts, counts: Float[np.ndarray, "C K 2"], prior: float
) -> Float[np.ndarray, "C K"]:
    """Return the probability of cooperation, backed off to shorter contexts.

    Args:
        contexts: the contexts.
        counts: of actions in contexts that are as long as they can be.
        prior: number of observations that the shorter context counts for.
    """
    # Counts of a short context: its own and those of all that end like it.
    every = counts.copy()
    for depth in range(contexts.memory, 0, -1):
        here = np.flatnonzero(contexts.depth == depth)
        np.add.at(every, contexts.shorter[here], every[here])
    table = np.zeros(counts.shape[:2], np.float32)
    every_0 = every[0]
    table[0] = (every_0[:, 0] + 0.5) / (every_0.sum(-1) + 1)
    for depth in range(1, contexts.memory + 1):
        here = np.flatnonzero(contexts.depth == depth)
        less = table[contexts.shorter[here]]
        table[here] = (every[here, :, 0] + prior * less) / (
            every[here].sum(-1) + prior
        )
    # The first turns are met only at their own turn.
    for depth in range(contexts.memory):
        here = np.flatnonzero(contexts.depth == depth)
        own = counts[here]
        table[here] = (own[..., 0] + prior * table[here]) / (
            own.sum(-1) + prior
        )
    return table


def solve(
    contexts: Contexts, table: Float[np.ndarray, "C K"], rules: Rules
) -> Float[np.ndarray, "T C K 2"]:
    """Return the exact action values against each strategy by itself (Bellman, 1957).

    Returns:
        Values of cooperation and defection, before the flips of noise, by turn: the rest of the score.
    """
    p = np.stack([table, 1 - table], -1)  # [C, K, theirs]
    after = contexts.next.reshape(-1, 2, 2)  # [C, mine, theirs]

    weights = rules.weights.astype(np.float32)
    found = np.zeros((len(weights), *table.shape, 2), np.float32)
    value = np.zeros(table.shape, np.float32)
    for t in reversed(range(len(weights))):
        follow = value[after].transpose(0, 3, 1, 2)
        q = (p[:, :, None] * (weights[t] * PAYOFF + follow)).sum(-1)
        found[t] = (1 - rules.noise) * q + rules.noise * q[..., ::-1]
        value = found[t].max(-1)
    return found
