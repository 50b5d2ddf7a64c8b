"""The agent: a belief over learned strategies, and the best reply to it some turns ahead."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from experiments.axelrod.game import PAYOFF, Rules
from experiments.axelrod.model import Contexts


@dataclasses.dataclass(frozen=True)
class Settings:
    """Of the agent.

    Attributes:
        depth: turns of look-ahead.
        most: turns of look-ahead where they have at most `nodes` nodes for all matches together.
        nodes: see `most`.
        slip: probability that a known strategy does something else than its table says.
        explore: probability of a random action.
        infer: the belief follows what the strategy does; else it stays the prior.
        terminal: values beyond the turns looked ahead count.
        unknown_prior: probability that the strategy is none of the known ones.
        adaptive_memory: joint actions that the table of an unknown strategy reads.
        adaptive_counts: observations that the known strategies' mean counts for there.
        adaptive_discount: of returns beside an unknown strategy.
    """

    depth: int = 1
    most: int = 6
    nodes: int = 4096
    slip: float = 0.02
    explore: float = 0.0
    infer: bool = True
    terminal: bool = True
    unknown_prior: float = 0.1
    adaptive_memory: int = 2
    adaptive_counts: float = 2.0
    adaptive_discount: float = 0.97


class BestReply:
    """Replies to a belief over tables, `depth` turns ahead, then as if the strategy were known.

    Beyond the turns looked ahead, the value is the exact one against each strategy by itself, weighted by the
    belief then (QMDP: Littman, Cassandra and Kaelbling, 1995).

    One more strategy is none of the known ones: a table of `Adaptive.memory` joint actions, whose counts begin
    with the known strategies' mean and grow in play.

    Args:
        contexts: of the tables.
        tables: probability of cooperation by context and strategy, of each tournament.
        values: action values of each tournament.
        settings: of look-ahead and belief.

    Attributes:
        types: index of the strategy in each match, if it is given; else it is inferred.
    """

    def __init__(
        self,
        contexts: Contexts,
        tables: dict[Rules, Float[np.ndarray, "C K"]],
        values: dict[Rules, Float[np.ndarray, "T C K 2"]],
        settings: Settings,
    ) -> None:
        self.contexts, self.settings = contexts, settings
        self.tables, self.values = tables, values
        self.types: Int[np.ndarray, " B"] | None = None
        self.short = Contexts(min(settings.adaptive_memory, contexts.memory))
        self.to_short = contexts.ends(self.short)

    def begin(self, matches: int, rules: Rules, seed: int) -> None:
        """Begin new matches."""
        settings = self.settings
        self.rules, self.turn, self.turns = rules, 0, rules.weights
        table = self.tables[rules]
        self.table = (1 - settings.slip) * table + settings.slip / 2
        self.value = self.values[rules]
        prior = settings.unknown_prior
        known = np.full(table.shape[1], (1 - prior) / table.shape[1])
        self.prior = np.array([*known, prior], np.float32)
        self.weights = np.tile(self.prior, (matches, 1))
        if self.types is not None:
            self.weights = np.eye(len(self.prior), dtype=np.float32)[self.types]
        self.context = np.zeros(matches, int)
        self.history = np.zeros(matches, int)
        if self.types is not None:
            self.history = self.types
        self.rng = np.random.default_rng([seed, 5])
        mean = np.array(
            [
                self.table[self.to_short == c].mean()
                for c in range(len(self.short))
            ],
            np.float32,
        )
        begun = np.stack([mean, 1 - mean], -1) * settings.adaptive_counts
        self.counts = np.tile(begun, (matches, 1, 1))
        self.adaptive_value = np.zeros((matches, len(self.short)), np.float32)
        self._adapt()

    def _adapt(self) -> None:
        """Solve the tables learned in play, from the last solution on."""
        self.adaptive = self.counts[..., 0] / self.counts.sum(-1)
        left = len(self.turns) - self.turn
        if not self.settings.unknown_prior or left <= 0:
            return
        after = self.short.next.reshape(-1, 2, 2)
        p = np.stack([self.adaptive, 1 - self.adaptive], -1)[:, :, None]
        now, noise = self.turns[self.turn], self.rules.noise
        later = self.turns[self.turn + 1] / now if left > 1 else 0.0
        keep = min(later, self.settings.adaptive_discount)
        q = np.zeros((*self.adaptive.shape, 2))
        for _ in range(5 if self.turn else 40):
            q = (p * (PAYOFF + keep * self.adaptive_value[:, after])).sum(-1)
            q = (1 - noise) * q + noise * q[..., ::-1]
            self.adaptive_value = q.max(-1)
        self.adaptive_q = now * (
            q - self.adaptive_value.mean(-1)[:, None, None]
        )

    def probability(self, context: Int[np.ndarray, " B"]) -> np.ndarray:
        """Return every strategy's probability of cooperation [B, K + 1]."""
        own = self.adaptive[self.rows, self.to_short[context]]
        return np.concatenate([self.table[context], own[:, None]], 1)

    def leaf(
        self,
        weights: Float[np.ndarray, "B K+1"],
        context: Int[np.ndarray, " B"],
        turn: int,
    ) -> Float[np.ndarray, "B 2"]:
        """Return the value as if the strategy became known now, times the weights' sum."""
        if not self.settings.terminal:
            return np.zeros((len(context), 2), np.float32)
        q = self.value[turn]
        found = []
        for action in (0, 1):
            known = np.einsum(
                "bk,bk->b", weights[:, :-1], q[context, :, action]
            )
            if self.settings.unknown_prior:
                unknown = self.adaptive_q[
                    self.rows, self.to_short[context], action
                ]
                known = known + weights[:, -1] * unknown
            found.append(known)
        return np.stack(found, -1)

    def scores(
        self,
        weights: Float[np.ndarray, "B K+1"],
        context: Int[np.ndarray, " B"],
        turn: int,
        depth: int,
    ) -> Float[np.ndarray, "B 2"]:
        """Return the value of cooperation and defection, times the weights' sum."""
        if turn >= len(self.turns):
            return np.zeros((len(context), 2), np.float32)
        if not depth:
            return self.leaf(weights, context, turn)
        cooperates = weights * self.probability(context)
        found = np.zeros((len(context), 2), np.float32)
        for theirs, after in enumerate((cooperates, weights - cooperates)):
            mass = after.sum(-1)
            for mine in (0, 1):
                follow = self.scores(
                    after,
                    self.contexts.next[context, 2 * mine + theirs],
                    turn + 1,
                    depth - 1,
                ).max(-1)
                reward = self.turns[turn] * PAYOFF[mine, theirs]
                found[:, mine] += mass * reward + follow
        noise = self.rules.noise
        return (1 - noise) * found + noise * found[:, ::-1]

    def act(self) -> Int[np.ndarray, " B"]:
        """Return the best reply in every match: 0 cooperates, 1 defects."""
        # Matches with the same history have the same belief: they are planned once.
        _, first, which = np.unique(
            self.history, return_index=True, return_inverse=True
        )
        self.rows = first
        depth, settings = self.settings.depth, self.settings
        while (
            depth < settings.most
            and len(first) * 4 ** (depth + 1) <= settings.nodes
        ):
            depth += 1
        scores = self.scores(
            self.weights[first], self.context[first], self.turn, depth
        )[which]
        best = (scores[:, 1] > scores[:, 0]).astype(int)
        random = self.rng.random(len(best)) < self.settings.explore
        return np.where(random, self.rng.integers(2, size=len(best)), best)

    def observe(
        self, mine: Int[np.ndarray, " B"], theirs: Int[np.ndarray, " B"]
    ) -> None:
        """Update the belief, and the table learned in play."""
        self.rows = np.arange(len(mine))
        if self.settings.infer:
            p = self.probability(self.context)
            weights = self.weights * np.where(theirs[:, None] == 0, p, 1 - p)
            self.weights = weights / weights.sum(-1, keepdims=True)
        self.counts[self.rows, self.to_short[self.context], theirs] += 1
        self.context = self.contexts.next[self.context, 2 * mine + theirs]
        joint = 4 * self.history + 2 * mine + theirs
        _, self.history = np.unique(joint, return_inverse=True)
        self.turn += 1
        self._adapt()


class Probe:
    """Plays at random, more or less cooperative, and in runs: to see how strategies answer.

    Args:
        mimic: probability of repeating the opponent's last action.
    """

    def __init__(self, mimic: float = 0.0) -> None:
        self.mimic = mimic

    def begin(self, matches: int, rules: Rules, seed: int) -> None:
        self.rng = np.random.default_rng([seed, 3])
        self.rate = self.rng.beta(0.7, 0.7, matches)
        self.stay = self.rng.random(matches) * 0.9
        self.last = (self.rng.random(matches) < self.rate).astype(int)
        self.theirs = self.last

    def act(self) -> Int[np.ndarray, " B"]:
        size = len(self.last)
        new = (self.rng.random(size) < self.rate).astype(int)
        self.last = np.where(self.rng.random(size) < self.stay, self.last, new)
        copy = self.rng.random(size) < self.mimic
        return np.where(copy, self.theirs, self.last)

    def observe(
        self, mine: Int[np.ndarray, " B"], theirs: Int[np.ndarray, " B"]
    ) -> None:
        self.theirs = theirs
