"""Learning of the strategies: logs of probing, then rounds of the agent's own play."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments.axelrod.agent import BestReply, Probe, Settings
from experiments.axelrod.game import Player, Rules
from experiments.axelrod.matches import play
from experiments.axelrod.model import Contexts, count, fit, solve


@dataclasses.dataclass(frozen=True)
class Budget:
    """Sizes of learning.

    Attributes:
        memory: joint actions that a table reads.
        prior: observations that a shorter context counts for.
        mimic: shares of copied actions of the probing players; one match of each per strategy.
        rounds: rounds of own play.
        explore: probability of a random action in odd rounds.
        matches: matches per strategy in a round, where a match has 200 turns; short matches are repeated ten times.
    """

    memory: int = 4
    prior: float = 0.5
    mimic: tuple[float, ...] = (0.0, 0.0, 0.5, 0.9)
    rounds: int = 5
    explore: float = 0.05
    matches: int = 2


def learn(
    makers: Sequence[Callable[[], Any]],
    tournaments: Sequence[Rules],
    settings: Settings,
    budget: Budget,
    seed: int,
    say: Callable[[str], None] = print,
) -> BestReply:
    """Return an agent that has learned from logs of play against strategies.

    Args:
        makers: of the strategies.
        tournaments: rules to learn under; the tables of each are their own.
        settings: of the agent.
        budget: sizes.
        seed: of all play.
        say: receives a line about each round.
    """
    contexts = Contexts(budget.memory)
    counts = {
        rules: np.zeros((len(contexts), len(makers), 2), np.float32)
        for rules in tournaments
    }

    def add(player: Player, rules: Rules, number: int) -> float:
        repeats = budget.matches * (10 if rules.prob_end else 1)
        kind = np.tile(np.arange(len(makers)), repeats)
        log = play(
            player, [makers[k] for k in kind], rules, 1000 * seed + number
        )
        counts[rules] += count(contexts, log, kind, len(makers))
        return float(log.scores.mean())

    for number, mimic in enumerate(budget.mimic):
        for rules in tournaments:
            add(Probe(mimic), rules, number)
    for round in range(budget.rounds + 1):
        tables = {r: fit(contexts, counts[r], budget.prior) for r in counts}
        values = {r: solve(contexts, tables[r], r) for r in counts}
        agent = BestReply(contexts, tables, values, settings)
        if round == budget.rounds:
            return agent
        for rules in tournaments:
            explore = budget.explore * (round % 2)
            player = dataclasses.replace(settings, explore=explore)
            score = add(
                BestReply(contexts, tables, values, player), rules, 100 + round
            )
            say(f"round {round}, {rules}: {score:.3f} per turn")
    raise AssertionError("unreachable")
