"""Exact values of one hand, best replies to mixtures of players, and inference of the player.

A player is a table of action probabilities [M, 3, 4, 3] (`players.style_table`). Hands are
independent given the player, so that the best reply of an episode whose opponent is known
is that of one hand, in either position. Position 0 moves first.

Arrays have the axes E (a batch), K (own card), C (the opponent's card), P (public card) and
S (players of the pool).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bestreply.types import ABSENT
from experiments.poker.betting import (
    BETS,
    NO_CARD,
    RANKS,
    Betting,
    betting,
    chances,
    winners,
)

Table = Float[np.ndarray, "M 3 4 3"]
"""Action probabilities by node, own card, public card."""


class Reply(NamedTuple):
    """A best reply to mixtures of players, E of them at once, in one position."""

    value: np.ndarray  # [E] chips a hand, in expectation over cards
    policy: np.ndarray  # [E, M, 3, 4, 3]: 1 at its action
    lost: np.ndarray  # [E, M, 3, 4, 3]: what an action loses, at reached nodes


def _publics(tree: Betting, node: int) -> slice:
    """Return the public cards [P] of a node as an index into tables."""
    hidden = not tree.opens or tree.round[node] == 0
    return slice(NO_CARD, NO_CARD + 1) if hidden else slice(0, NO_CARD)


def payoff(kind: str, node: int, position: int) -> Float[np.ndarray, "K C P"]:
    """Return the chips that a position wins in a decided hand.

    Args:
        kind: "kuhn" or "leduc".
        node: the last node.
        position: 0 or 1.

    Returns:
        Chips by own card, the opponent's card and the public card.
    """
    tree = betting(kind)
    lost = float(tree.paid[node].min())
    if (folded := tree.folded[node]) != ABSENT:
        won = np.full_like(winners(kind), -1 if folded == position else 1)
    else:
        won = winners(kind)  # antisymmetric: own card first in both positions
    return won * lost


def reach_of_cards(kind: str) -> Float[np.ndarray, "K C P"]:
    """Return the probability of own card, opponent's card and public card."""
    return chances(kind)


def best_reply(
    kind: str,
    position: int,
    tables: Sequence[Table],
    weights: Float[np.ndarray, "E S"],
) -> Reply:
    """Return the best reply in one hand to a player drawn from a pool.

    It infers the player within the hand.

    Args:
        kind: "kuhn" or "leduc".
        position: own position.
        tables: the players, S of them.
        weights: probability of each player, E times.
    """
    tree, count = betting(kind), len(weights)
    pool = np.stack(tables)  # [S, M, 3, 4, 3]
    shape = (count, len(tree.moves), len(RANKS), NO_CARD + 1, BETS)
    policy, lost = np.zeros(shape), np.zeros(shape)

    def value(
        node: int, reach: Float[np.ndarray, "E K C P S"]
    ) -> Float[np.ndarray, "E K P"]:
        """Return the value, times the probability of reaching the node."""
        mover, publics = tree.mover[node], _publics(tree, node)
        if mover == ABSENT:
            paid = payoff(kind, node, position)
            return np.einsum("ekcps,kcp->ekp", reach, paid)
        actions = np.flatnonzero(tree.legal[node])
        if mover != position:
            total = np.zeros((count, *reach.shape[1:2], reach.shape[3]))
            for action in actions:
                probs = pool[:, node, :, publics, action]  # [S, C, 1 or P]
                probs = np.moveaxis(probs, 0, -1)[None, None]
                total += value(tree.child[node, action], reach * probs)
            return total
        each = np.stack(
            [value(tree.child[node, a], reach) for a in actions], -1
        )  # [E, K, P, actions]
        hidden = publics.start == NO_CARD
        seen = each.sum(2, keepdims=True) if hidden else each
        mass = reach.sum((2, 4))
        mass = mass.sum(2, keepdims=True) if hidden else mass
        best = seen.argmax(-1)
        chosen = np.eye(len(actions))[best]
        policy[:, node, :, publics, actions] = np.moveaxis(chosen, -1, 0)
        below = seen.max(-1, keepdims=True) - seen
        below = below / np.maximum(mass, 1e-300)[..., None]
        lost[:, node, :, publics, actions] = np.moveaxis(below, -1, 0)
        return (each * chosen).sum(-1)

    cards = chances(kind)[None, ..., None] * weights[:, None, None, None]
    total = value(0, cards).sum((1, 2))
    return Reply(total, policy, lost)


def hand_value(
    kind: str,
    position: int,
    own: Float[np.ndarray, "E M 3 4 3"],
    other: Float[np.ndarray, "E M 3 4 3"],
) -> Float[np.ndarray, " E"]:
    """Return the expected chips of a hand, E pairs of players at once.

    Args:
        kind: "kuhn" or "leduc".
        position: position of the first player.
        own: tables of the first player.
        other: tables of its opponent.
    """
    tree = betting(kind)

    def value(node: int, reach: np.ndarray) -> Float[np.ndarray, " E"]:
        mover, publics = tree.mover[node], _publics(tree, node)
        if mover == ABSENT:
            return np.einsum("ekcp,kcp->e", reach, payoff(kind, node, position))
        total = np.zeros(len(reach))
        for action in np.flatnonzero(tree.legal[node]):
            probs = (own if mover == position else other)[
                :, node, :, publics, action
            ]
            axis = 2 if mover == position else 1
            probs = np.expand_dims(probs, axis)
            total += value(tree.child[node, action], reach * probs)
        return total

    count = max(len(own), len(other))
    cards = chances(kind)[None]
    return value(0, np.broadcast_to(cards, (count, *cards.shape[1:])))


class Hands(NamedTuple):
    """Finished hands [E], as one seat saw them."""

    position: np.ndarray  # 0 or 1: that of the seat
    own: np.ndarray  # rank
    public: np.ndarray  # rank, NO_CARD in Kuhn poker
    other: np.ndarray  # rank of the opponent
    node: np.ndarray  # last node


def likelihood(
    kind: str, tables: Sequence[Table], hands: Hands
) -> Float[np.ndarray, "E S"]:
    """Return the probability of what a seat saw in a hand, for each player of a pool.

    The own card, own actions and the public card count as given. The opponent's card is
    seen after a showdown alone, else it is summed over.

    Args:
        kind: "kuhn" or "leduc".
        tables: the players, S of them.
        hands: the hands. `other` is not read where a player folded.

    Returns:
        Probabilities, up to a factor that is the same for all players.
    """
    tree, pool = betting(kind), np.stack(tables)
    public = hands.public if tree.opens else np.zeros_like(hands.public)
    result = np.zeros((len(hands.node), len(pool)))
    for node in np.unique(hands.node):
        path = _path(tree, int(node))
        for position in range(2):
            rows = (hands.node == node) & (hands.position == position)
            if not rows.any():
                continue
            cards = chances(kind)[hands.own[rows], :, public[rows]]  # [R, C]
            if not tree.opens or tree.round[node] == 0:
                cards = chances(kind).sum(2)[hands.own[rows]]
            seen = np.repeat(cards[:, :, None], len(pool), 2)
            for at, action in path:
                if tree.mover[at] == position:
                    continue
                hidden = not tree.opens or tree.round[at] == 0
                index = NO_CARD if hidden else public[rows]
                probs = pool[:, at, :, index, action]
                if hidden:
                    probs = probs.T[None]  # [1, C, S]
                else:
                    probs = probs.transpose(0, 2, 1)  # [R, C, S]
                seen = seen * probs
            if tree.folded[node] == ABSENT:
                seen = seen[np.arange(len(seen)), hands.other[rows]]
            else:
                seen = seen.sum(1)
            result[rows] = seen
    return result


def _path(tree: Betting, node: int) -> list[tuple[int, int]]:
    """Return (node, action) of every move that leads to a node."""
    at, path = 0, []
    for made in tree.moves[node]:
        for action in made:
            path.append((at, action))
            at = int(tree.child[at, action])
    return path


def posterior(
    prior: Float[np.ndarray, "E S"], seen: Float[np.ndarray, "E S"]
) -> Float[np.ndarray, "E S"]:
    """Return the probabilities of the players after a hand.

    Args:
        prior: probabilities before it.
        seen: `likelihood` of the hand.
    """
    both = prior * seen
    return both / both.sum(1, keepdims=True)


def deal(
    kind: str, rng: np.random.Generator, count: int
) -> Int[np.ndarray, "E 3"]:
    """Return the ranks of both hands and of the public card, drawn by chance.

    Args:
        kind: "kuhn" or "leduc".
        rng: source of random numbers.
        count: number of hands, E.
    """
    shape = chances(kind).shape
    flat = rng.choice(
        int(np.prod(shape)), size=count, p=chances(kind).reshape(-1)
    )
    first, second, public = np.unravel_index(flat, shape)
    public = public if betting(kind).opens else np.full(count, NO_CARD)
    return np.stack([first, second, public], 1)


def play_hands(
    kind: str,
    position: int,
    own: Float[np.ndarray, "E M 3 4 3"],
    other: Float[np.ndarray, "E M 3 4 3"],
    rng: np.random.Generator,
) -> Hands:
    """Return one played hand of each pair of players.

    Args:
        kind: "kuhn" or "leduc".
        position: position of the first player.
        own: tables of the first player.
        other: tables of its opponent.
        rng: source of random numbers.
    """
    tree, count = betting(kind), len(own)
    cards = deal(kind, rng, count)
    node, every = np.zeros(count, int), np.arange(count)
    public = cards[:, 2]
    while (tree.mover[node] != ABSENT).any():
        moves = tree.mover[node] == position
        hidden = (not tree.opens) | (tree.round[node] == 0)
        index = np.where(hidden, NO_CARD, public)
        probs = np.where(
            moves[:, None],
            own[every, node, cards[:, 0], index],
            other[every, node, cards[:, 1], index],
        )
        drawn = (rng.random((count, 1)) > probs.cumsum(1)).sum(1)
        child = tree.child[node, np.minimum(drawn, BETS - 1)]
        node = np.where(tree.mover[node] == ABSENT, node, child)
    return Hands(
        np.full(count, position), cards[:, 0], public, cards[:, 1], node
    )


def inferring(
    kind: str,
    tables: Sequence[Table],
    truth: Int[np.ndarray, " E"],
    hands: int,
    seed: int,
    first: Int[np.ndarray, " E"] | None = None,
) -> Float[np.ndarray, "E H"]:
    """Return the expected chips of each hand of the reply that infers the player.

    Each hand it plays the best reply of one hand to its posterior over the pool, which is
    uniform at first and exact afterwards.

    Args:
        kind: "kuhn" or "leduc".
        tables: the players of the pool.
        truth: index of the opponent, for each of E episodes.
        hands: hands of an episode, H.
        seed: seed of cards and actions, which the posterior depends on.
        first: own position in the first hand; by default in turn.

    Returns:
        Expected chips given the posterior, over the cards of the hand.
    """
    rng, count = np.random.default_rng(seed), len(truth)
    pool = np.stack(tables)
    belief = np.full((count, len(pool)), 1 / len(pool))
    first = np.arange(count) % 2 if first is None else first
    chips = np.zeros((count, hands))
    for hand in range(hands):
        for position in range(2):
            rows = np.flatnonzero((first + hand) % 2 == position)
            reply = best_reply(kind, position, tables, belief[rows])
            other = pool[truth[rows]]
            chips[rows, hand] = hand_value(kind, position, reply.policy, other)
            seen = play_hands(kind, position, reply.policy, other, rng)
            belief[rows] = posterior(
                belief[rows], likelihood(kind, tables, seen)
            )
    return chips
