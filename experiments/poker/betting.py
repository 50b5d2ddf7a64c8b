"""The public tree of betting of one hand of Kuhn or Leduc poker, as arrays.

Both kinds have the actions FOLD, CALL and RAISE. CALL without a bet is a check; FOLD is
legal against a bet alone. In OpenSpiel's Kuhn poker, Pass is a check or a fold, and Bet
is a raise or a call.
"""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np

from bestreply.types import ABSENT

FOLD, CALL, RAISE = range(3)
BETS = 3
"""Number of betting actions."""
RANKS = ("J", "Q", "K")
NO_CARD = len(RANKS)
"""Rank of a public card that is not open."""


class Rules(NamedTuple):
    """What differs between the kinds."""

    raises: tuple[int, ...]
    """Size of a raise, for each round of betting."""
    most: int
    """Raises a round."""
    copies: int
    """Cards of each rank."""

    @property
    def moves(self) -> int:
        """Largest number of moves of a round."""
        return self.most + 2


RULES = {
    "kuhn": Rules(raises=(1,), most=1, copies=1),
    "leduc": Rules(raises=(2, 4), most=2, copies=2),
}


@dataclasses.dataclass(frozen=True)
class Betting:
    """The tree of betting of one hand: M nodes, the first one the root.

    The player that moves first in both rounds is called 0, its opponent 1.
    """

    rules: Rules
    mover: np.ndarray  # [M] int32: 0, 1; ABSENT where the hand is decided
    round: np.ndarray  # [M] int32, of the next move
    child: np.ndarray  # [M, 3] int32; ABSENT: illegal
    paid: np.ndarray  # [M, 2] int32, chips in the pot
    folded: np.ndarray  # [M] int32: the player that folded, or ABSENT
    moves: tuple[tuple[tuple[int, ...], ...], ...]  # of each node, by round

    @property
    def legal(self) -> np.ndarray:
        """[M, 3] bool: legal actions of the mover."""
        return self.child != ABSENT

    @property
    def raised(self) -> np.ndarray:
        """[M] bool: whether the mover answers a bet."""
        return self.legal[:, FOLD]

    @property
    def opens(self) -> bool:
        """Whether a public card is opened, before the last round."""
        return len(self.rules.raises) > 1


@functools.cache
def betting(kind: str) -> Betting:
    """Return the tree of a kind of poker.

    Args:
        kind: "kuhn" or "leduc".
    """
    rules = RULES[kind]
    rows: list[dict] = []

    def add(moves: tuple[tuple[int, ...], ...], paid: tuple[int, int]) -> int:
        """Append the node of these moves, and all nodes below it."""
        number, last = len(rows), len(moves) - 1
        rows.append({})
        made, child = moves[-1], [ABSENT] * BETS
        mover = len(made) % 2
        folded = 1 - mover if FOLD in made else ABSENT
        over = FOLD in made or (len(made) > 1 and made[-1] == CALL)
        if over and folded == ABSENT and last + 1 < len(rules.raises):
            rows.pop()
            return add((*moves, ()), paid)
        if not over:
            own, other = paid[mover], paid[1 - mover]
            raised = made.count(RAISE)
            after = {CALL: other}
            if other > own:
                after[FOLD] = own
            if raised < rules.most:
                after[RAISE] = other + rules.raises[last]
            for action in sorted(after):
                pays = after[action]
                child[action] = add(
                    (*moves[:-1], (*made, action)),
                    (pays, other) if mover == 0 else (other, pays),
                )
        rows[number] = {
            "mover": ABSENT if over else mover,
            "round": last,
            "child": child,
            "paid": paid,
            "folded": folded,
            "moves": moves,
        }
        return number

    add(((),), (1, 1))
    arrays = {
        name: np.array([row[name] for row in rows], np.int32)
        for name in ("mover", "round", "child", "paid", "folded")
    }
    moves = tuple(row["moves"] for row in rows)
    return Betting(rules=rules, moves=moves, **arrays)


@functools.cache
def chances(kind: str) -> np.ndarray:
    """Return the probability of the ranks of both hands and of the public card.

    Args:
        kind: "kuhn" or "leduc".

    Returns:
        [3, 3, P]: P is 3 in Leduc poker; 1 in Kuhn poker, which has no public card.
    """
    ranks = len(RANKS)
    left = np.full(ranks, float(RULES[kind].copies))
    eye = np.eye(ranks)
    first = left / left.sum()
    second = (left - eye) / (left.sum() - 1)
    both = first[:, None] * second
    if not betting(kind).opens:
        return both[..., None]
    third = left - eye[:, None] - eye[None]
    return both[..., None] * np.maximum(third, 0) / (left.sum() - 2)


@functools.cache
def winners(kind: str) -> np.ndarray:
    """Return who wins a showdown: 1 the first hand, -1 the second, 0 neither.

    Args:
        kind: "kuhn" or "leduc".

    Returns:
        [3, 3, P] int32 by rank of both hands and of the public card.
    """
    ranks = np.arange(len(RANKS))
    public = ranks if betting(kind).opens else np.array([NO_CARD])
    strength = ranks[:, None] + 10 * (ranks[:, None] == public)
    return np.sign(strength[:, None] - strength[None]).astype(np.int32)
