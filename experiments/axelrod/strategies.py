"""Strategies of the package `axelrod` as players of the library."""

import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bestreply import player
from bestreply.players.base import Player
from bestreply.types import ABSENT
from experiments.axelrod.game import DEFECT, Rules
from experiments.axelrod.pool import ACTIONS, axelrod, start

STRATEGIES = (
    "Cooperator",
    "Defector",
    "Random",
    "Alternator",
    "TitForTat",
    "SuspiciousTitForTat",
    "TitFor2Tats",
    "TwoTitsForTat",
    "GTFT",
    "FirstByJoss",
    "Grudger",
    "WinStayLoseShift",
)
"""Well-known strategies, by the names of their classes. Grudger is the grim trigger; GTFT
is generous tit for tat, and Joss defects at random."""
MODULE = "experiments.axelrod.strategies"
MAX_STATES, LOOK = 32, 4
"""Of an automaton: its largest number of states, and the number of the other player's
actions by which states are told from each other."""
MAX_ROUNDS = 200
"""Rounds that a strategy that draws at random remembers."""


class Automaton(NamedTuple):
    """A strategy as a finite automaton; the first state is 0."""

    defects: Float[np.ndarray, " S"]
    """Probability of defection."""
    next: Int[np.ndarray, "S 2 2"]
    """The next state by the own action and the other player's."""


def strategy(kind: str) -> Player:
    """Return a strategy as a player of the repeated prisoner's dilemma.

    A small automaton plays as one, so that exact best replies to it can be computed. Any
    other strategy is made anew for each action, and given the actions so far: slow.

    Args:
        kind: class of the package.

    Raises:
        ValueError: there is no such strategy.
    """
    if not hasattr(axelrod, str(kind)):
        raise ValueError(
            f"strategy={kind}: expected a class of axelrod, such as "
            f"{', '.join(STRATEGIES)}"
        )
    return _strategy(str(kind))


@functools.cache
def _strategy(name: str) -> Player:
    machine = automaton(name)
    return _drawn(name) if machine is None else _automatic(name, machine)


def _automatic(name: str, machine: Automaton) -> Player:
    def act(
        obs: np.ndarray,
        legal: Bool[np.ndarray, "B 2"],
        memory: Int[np.ndarray, " B"],
        others: Int[np.ndarray, "B 1"],
        own: Int[np.ndarray, " B"],
    ) -> tuple[Float[np.ndarray, "B 2"], Int[np.ndarray, " B"]]:
        last = others[:, 0]
        after = machine.next[memory, np.maximum(own, 0), np.maximum(last, 0)]
        state = np.where(last == ABSENT, memory, after)
        defects = machine.defects[state]
        probs = np.stack([1 - defects, defects], 1)
        return probs, state.astype(np.int32)

    return player(act, name=name, memory=np.int32(0), distribution=True)


def _drawn(name: str) -> Player:
    def act(
        obs: np.ndarray,
        legal: Bool[np.ndarray, "1 2"],
        memory: Int[np.ndarray, "1 R 2"],
        others: Int[np.ndarray, "1 1"],
        own: Int[np.ndarray, " 1"],
        rng: np.random.Generator,
    ) -> tuple[Int[np.ndarray, " 1"], Int[np.ndarray, "1 R 2"]]:
        if others[0, 0] != ABSENT:
            played = int((memory[0, :, 0] != ABSENT).sum())
            memory[0, played] = own[0], others[0, 0]
        past = memory[0][memory[0, :, 0] != ABSENT]
        return np.array([next_action(name, past, rng)]), memory

    first = np.full((MAX_ROUNDS, 2), ABSENT, np.int8)
    return player(act, name=name, memory=first)


def next_action(
    name: str, past: Int[np.ndarray, "R 2"], rng: np.random.Generator
) -> int:
    """Return a strategy's action after a match so far.

    Args:
        name: class of the package.
        past: joint actions, its own first.
        rng: of its draws.
    """
    pair = getattr(axelrod, name), axelrod.Player
    own, other = (start([maker], Rules(), rng)[0] for maker in pair)
    reads = axelrod.Classifiers["memory_depth"](own)
    if np.isfinite(reads):  # it need not see the rest
        past = past[-max(int(reads), 1) :]
    for mine, theirs in past:
        own.strategy(other)  # it may change what it remembers
        actions = ACTIONS[mine], ACTIONS[theirs]
        own.update_history(*actions)
        other.update_history(*actions[::-1])
    return int(own.strategy(other) == ACTIONS[DEFECT])


@functools.cache
def automaton(name: str) -> Automaton | None:
    """Return a strategy as an automaton.

    Args:
        name: class of the package.

    Returns:
        The automaton; None if the strategy draws by more than the last joint action, or
        has more than `MAX_STATES` states.
    """
    maker = getattr(axelrod, name)
    if not axelrod.Classifiers["stochastic"](maker()):
        return _deterministic(maker)
    [one] = start([maker], Rules(), np.random.default_rng(0))
    if isinstance(one, axelrod.Random):
        return Automaton(np.array([1 - one.p]), np.zeros((1, 2, 2), int))
    if not isinstance(one, axelrod.MemoryOnePlayer):
        return None
    vector = one._four_vector
    after = [1 - vector[joint] for joint in itertools.product(ACTIONS, ACTIONS)]
    first = float(one._initial == ACTIONS[DEFECT])
    last = 1 + np.arange(4).reshape(2, 2)
    return Automaton(np.array([first, *after]), np.tile(last, (5, 1, 1)))


def _deterministic(maker: Any) -> Automaton | None:
    """Return the automaton of a strategy that does not draw.

    States are equal if the strategy acts the same after every `LOOK` further actions of
    the other player.
    """
    futures = [*itertools.product((0, 1), repeat=LOOK)]
    action, after = [], []
    histories: list[tuple[int, ...]] = [()]
    number = {_signature(maker, (), futures): 0}
    for history in histories:  # it grows
        action.append(float(_answers(maker, history)[-1]))
        row = []
        for theirs in (0, 1):
            longer = (*history, theirs)
            signature = _signature(maker, longer, futures)
            if signature not in number:
                number[signature] = len(number)
                histories.append(longer)
            row.append(number[signature])
        after.append((row, row))
        if len(number) > MAX_STATES:
            return None
    return Automaton(np.array(action), np.array(after))


def _signature(
    maker: Any, history: tuple[int, ...], futures: Sequence[tuple[int, ...]]
) -> tuple[tuple[int, ...], ...]:
    begin = len(history)
    return tuple(
        tuple(_answers(maker, (*history, *future))[begin:])
        for future in futures
    )


def _answers(maker: Any, theirs: tuple[int, ...]) -> list[int]:
    """Return a strategy's actions, the first one and that after each of the other's."""
    rng = np.random.default_rng(0)
    own, other = (start([m], Rules(), rng)[0] for m in (maker, axelrod.Player))
    answers = []
    for action in (*theirs, None):
        mine = own.strategy(other)
        answers.append(int(mine == ACTIONS[DEFECT]))
        if action is not None:
            own.update_history(mine, ACTIONS[action])
            other.update_history(ACTIONS[action], mine)
    return answers
