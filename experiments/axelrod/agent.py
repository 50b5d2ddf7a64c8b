"""Players of matches: the library's agent, and one that shows how strategies answer."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from bestreply.games.matrix import MatrixGame, MatrixState
from bestreply.planning.session import AgentSession
from bestreply.run import Run
from bestreply.types import ABSENT
from experiments.axelrod.game import TURNS, Rules


def game_of(rules: Rules) -> str:
    """Return the game of a tournament as the library names it.

    Args:
        rules: of the tournament.
    """
    if rules.prob_end:
        length = f"continuation={1 - rules.prob_end:g}, max_steps={TURNS}"
    else:
        length = f"rounds={TURNS}"
    return f"matrix(table=prisoners_dilemma, {length}, memory=0)"


def observations(game: Any, turns: int, matches: int) -> np.ndarray:
    """Return what both players of `matches` matches see before and after each turn."""
    return np.stack(
        [np.tile(_seen(game, t), (matches, 2, 1)) for t in range(turns + 1)], 1
    )


def _seen(game: MatrixGame, turn: int) -> np.ndarray:
    """Return a player's observation: how much of the match is left, no actions."""
    nothing = jnp.full((0, 2), ABSENT, jnp.int32)
    state = MatrixState(nothing, jnp.int32(turn), jnp.array(False))
    return np.asarray(game.observe(state))[0]


@dataclasses.dataclass(frozen=True)
class Variant:
    """What the agent does without.

    Attributes:
        settings: of the planner.
        own_play: data of rounds of own play.
        values: the exact values of the best replies at the end of a plan; else nothing counts there.
        given: the strategy is given.
    """

    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    own_play: bool = True
    values: bool = True
    given: bool = False


class Learned:
    """A run's agent as a player of many matches at once."""

    def __init__(
        self,
        run: Run,
        strategies: Sequence[str],
        variant: Variant | None = None,
    ) -> None:
        """Prepare the agent.

        Args:
            run: a run of opponents "tables".
            strategies: names of those in the tournament; no one else plays.
            variant: of the agent; None: all of it.
        """
        variant = variant or Variant()
        names = [entry["name"] for entry in run.roster]
        agent = run.agent(**variant.settings)
        opponents: Any = agent.opponents
        changes: dict[str, Any] = {}
        if not variant.values:
            changes["replies"] = jnp.zeros_like(opponents.replies)
        if variant.given:
            tables = [
                opponents.given(jnp.array([names.index(s)])) for s in strategies
            ]
        else:
            plays = np.isin(names, list(strategies)).astype(np.float32)
            changes["players_prior"] = jnp.asarray(plays / plays.sum())
            tables = [opponents]
        self.agents = [
            dataclasses.replace(
                agent, opponents=dataclasses.replace(table, **changes)
            )
            for table in tables
        ]
        self.seen = [_seen(agent.game, t) for t in range(TURNS + 1)]  # pyright: ignore[reportArgumentType]

    def begin(self, matches: int, rules: Rules, seed: int) -> None:
        """Begin new matches; where strategies are given, their kinds take turns."""
        groups = len(self.agents)
        self.sessions: list[AgentSession] = [
            agent.session(seed, batch=matches // groups)
            for agent in self.agents
        ]
        self.turn, self.matches = 0, matches

    def act(self) -> Int[np.ndarray, " B"]:
        """Return the action in each match: 0 cooperates, 1 defects."""
        groups = len(self.agents)
        obs = np.tile(
            self.seen[min(self.turn, TURNS)], (self.matches // groups, 1)
        )
        legal = np.ones((len(obs), 2), bool)
        chosen = [session.act(obs, legal) for session in self.sessions]
        return np.stack(chosen, 1).reshape(-1)

    def observe(
        self, mine: Int[np.ndarray, " B"], theirs: Int[np.ndarray, " B"]
    ) -> None:
        """Take in both actions as they were carried out."""
        groups = len(self.agents)
        for group, session in enumerate(self.sessions):
            session.observe(
                theirs[group::groups, None], own=mine[group::groups]
            )
        self.turn += 1


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
