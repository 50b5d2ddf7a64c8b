"""A near-equilibrium of Leduc poker by CFR+ (Tammelin, 2014), written beside this file.

python -m experiments.poker.equilibrium
"""

import json

import numpy as np

from bestreply.types import ABSENT
from experiments.poker.betting import BETS, NO_CARD, RANKS, betting, chances
from experiments.poker.exact import Table, best_reply, payoff
from experiments.poker.players import LEDUC

UPDATES, UNITS = 2_000, 1_000


def counterfactual(kind: str, updates: int) -> Table:
    """Return the mean strategy of CFR+, later updates weighing more.

    Args:
        kind: "kuhn" or "leduc".
        updates: updates of each player.
    """
    tree = betting(kind)
    shape = (len(tree.moves), len(RANKS), NO_CARD + 1, BETS)
    regret, total = np.zeros(shape), np.zeros(shape)
    legal = tree.legal[:, None, None] & np.ones(shape, bool)

    def strategy() -> np.ndarray:
        even = legal / np.maximum(legal.sum(-1, keepdims=True), 1)
        sums = regret.sum(-1, keepdims=True)
        return np.where(sums > 0, regret / np.maximum(sums, 1e-300), even)

    def update(position: int, now: np.ndarray, weight: float) -> None:
        def value(
            node: int, reach: np.ndarray, own: np.ndarray
        ) -> np.ndarray:  # [K, P], of reach [K, C, P] and own reach [K, P]
            mover = tree.mover[node]
            if mover == ABSENT:
                return (reach * payoff(kind, node, position)).sum(1)
            hidden = not tree.opens or tree.round[node] == 0
            publics = slice(NO_CARD, None) if hidden else slice(0, NO_CARD)
            actions = np.flatnonzero(tree.legal[node])
            probs = now[node][:, publics]  # [3, 1 or P, 3]
            if mover != position:
                below = [
                    value(tree.child[node, a], reach * probs[None, ..., a], own)
                    for a in actions
                ]
                return np.sum(below, 0)
            each = {
                a: value(tree.child[node, a], reach, own * probs[..., a])
                for a in actions
            }
            mean = np.sum([probs[..., a] * each[a] for a in actions], 0)
            for a in actions:
                gain = each[a] - mean
                if hidden:
                    gain = gain.sum(1, keepdims=True)
                entry = regret[node][:, publics, a]
                regret[node][:, publics, a] = np.maximum(entry + gain, 0)
            mass = own.mean(1, keepdims=True) if hidden else own
            total[node][:, publics] += weight * mass[..., None] * probs
            return mean

        cards = chances(kind)
        value(0, cards, np.ones((len(RANKS), cards.shape[2])))

    for number in range(updates):
        for position in range(2):
            update(position, strategy(), number + 1.0)
    sums = total.sum(-1, keepdims=True)
    even = legal / np.maximum(legal.sum(-1, keepdims=True), 1)
    return np.where(sums > 0, total / np.maximum(sums, 1e-300), even)


def exploitability(kind: str, table: Table) -> float:
    """Return the mean of both best replies' chips a hand; 0 in an equilibrium.

    Args:
        kind: "kuhn" or "leduc".
        table: the strategy of both positions.
    """
    one = np.ones((1, 1))
    return float(
        np.mean([best_reply(kind, p, [table], one).value for p in range(2)])
    )


def main() -> None:
    """Compute and write the table, in units of 1 / `UNITS`."""
    tree, table = betting("leduc"), counterfactual("leduc", UPDATES)
    rows = []
    for node in np.flatnonzero(tree.mover != ABSENT):
        publics = [NO_CARD] if tree.round[node] == 0 else range(NO_CARD)
        numbers = np.round(UNITS * table[node][:, publics]).astype(int)
        rows.append(numbers.reshape(-1, BETS).tolist())
    LEDUC.write_text(json.dumps({"table": rows}) + "\n", "utf-8")
    print(f"exploitability {exploitability('leduc', table):.5f} chips a hand")


if __name__ == "__main__":
    main()
