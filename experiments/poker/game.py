"""Hands of Kuhn or Leduc poker against one opponent, as one episode."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int32, PRNGKeyArray, Shaped

from bestreply.games.base import Game
from bestreply.types import ABSENT, Array, TimeStep
from experiments.poker.betting import (
    BETS,
    NO_CARD,
    RANKS,
    RULES,
    Betting,
    betting,
    winners,
)

WAIT = BETS
SHOW = WAIT + 1
"""The action that shows a jack; those of queen and king follow."""


class PokerState(eqx.Module):
    """Cards and betting of the hand in play."""

    rank: Array  # [2] int32, the card of each seat
    public: Array  # [] int32, rank of the public card, which may be closed
    node: Array  # [] int32, of the betting tree
    step: Array  # [] int32, step of the hand
    hand: Array  # [] int32, number of the hand, from 0


def _digits(size: int) -> Int32[np.ndarray, " D"]:
    """Return numbers whose sum over the actions of a hand is different for each node."""
    moves, actions = np.divmod(np.arange(size, dtype=np.int32), BETS)
    return (actions + 1) * (BETS + 1) ** moves


@dataclasses.dataclass(frozen=True)
class RepeatedPoker(Game):
    """`hands` hands of two-player poker, rewards in chips at the end of each.

    Rules of a hand as in OpenSpiel. Kuhn: three cards, ante 1, one bet of 1. Leduc: six
    cards in three ranks, ante 1, two rounds of betting with raises of 2 and 4, at most
    two a round; before the second a public card is opened, and a pair beats a high card.
    Seat 0 moves first in the first hand, then the seats alternate.

    Both seats act in every step; a seat without a move WAITs. All hands take equally many
    steps: those in which a round of betting may go on, one in which the public card is
    opened, one of showdown, and one in which the next hand is dealt. At a showdown,
    without a fold, each seat's only legal action is to show its card; the step pays.

    Observation: own card, public card, the opponent's card after a showdown, the actions
    of this hand (as many one-hot vectors as a hand has moves), whether the own seat moves
    first in this hand, whether it and whether the opponent is to move, the step of the
    hand, whether the hand is the last one, and the fraction of hands left.
    """

    name = "repeated_poker"
    version = 1
    summary = "Hands of Kuhn or Leduc poker against one opponent"

    kind: str = "kuhn"
    hands: int = 20

    def __post_init__(self) -> None:
        if self.kind not in RULES:
            raise ValueError(f"kind={self.kind!r}: expected one of {[*RULES]}")
        if self.hands < 1:
            raise ValueError(f"hands={self.hands}: expected at least 1")

    # -- sizes and names -------------------------------------------------------

    @property
    def num_players(self) -> int:
        return 2

    @property
    def action_names(self) -> tuple[str, ...]:
        shows = (f"SHOW_{rank}" for rank in RANKS)
        return ("FOLD", "CALL", "RAISE", "WAIT", *shows)

    @property
    def tree(self) -> Betting:
        """The tree of betting."""
        return betting(self.kind)

    @property
    def windows(self) -> Int32[np.ndarray, " R"]:
        """The step of a hand in which each round of betting begins."""
        rounds = len(self.tree.rules.raises)
        return np.arange(rounds, dtype=np.int32) * (self.tree.rules.moves + 1)

    @property
    def showdown(self) -> int:
        """The step of a hand in which cards are shown; the deal follows."""
        return int(self.windows[-1]) + self.tree.rules.moves

    @property
    def hand_steps(self) -> int:
        """Steps of a hand."""
        return self.showdown + 2

    @property
    def max_steps(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.hands * self.hand_steps - 1

    @property
    def parts(self) -> dict[str, int]:
        """Sizes of the parts of an observation, in order."""
        rules, cards = self.tree.rules, len(RANKS)
        return {
            "own": cards,
            "public": cards if self.tree.opens else 0,
            "shown": cards,
            "betting": len(rules.raises) * rules.moves * BETS,
            "first": 1,
            "to_move": 2,
            "step": self.hand_steps,
            "last": 1,
            "left": 1,
        }

    @property
    def obs_shape(self) -> tuple[int, ...]:
        return (sum(self.parts.values()),)

    @property
    def binary(self) -> np.ndarray:
        return np.arange(self.obs_shape[0]) < self.obs_shape[0] - 1

    @property
    def perfect_information(self) -> bool:
        return False

    # -- rules -----------------------------------------------------------------

    def start(self, key: PRNGKeyArray) -> PokerState:
        return self._deal(key, jnp.int32(0))

    def _deal(self, key: PRNGKeyArray, hand: Int32[Array, ""]) -> PokerState:
        copies, zero = self.tree.rules.copies, jnp.int32(0)
        deck = jnp.arange(copies * len(RANKS), dtype=jnp.int32) // copies
        deck = jax.random.permutation(key, deck)
        return PokerState(deck[:2], deck[2], zero, zero, hand)

    def advance(
        self,
        state: PokerState,
        actions: Int[Array, " 2"],
        key: PRNGKeyArray,
    ) -> tuple[PokerState, Float[Array, " 2"]]:
        tree = self.tree
        mover = self._mover(state)
        seat = (mover + state.hand) % 2
        bet = jnp.clip(actions[seat], 0, BETS - 1)
        after = jnp.asarray(tree.child)[state.node, bet]
        node = jnp.where(mover == ABSENT, state.node, after)
        moved = PokerState(
            state.rank, state.public, node, state.step + 1, state.hand
        )
        dealt = self._deal(key, state.hand + 1)
        ends = state.step == self.showdown + 1
        state_after = jax.tree.map(
            lambda a, b: jnp.where(ends, a, b), dealt, moved
        )
        pays = state.step == self.showdown
        reward = jnp.where(pays, self._payoff(state), 0.0)
        return state_after, reward.astype(jnp.float32)

    def _mover(self, state: PokerState) -> Int32[Array, ""]:
        """Return the player to move, 0 the first mover of the hand; ABSENT: neither."""
        tree, windows = self.tree, jnp.asarray(self.windows)
        at = state.step - windows[jnp.asarray(tree.round)[state.node]]
        inside = (at >= 0) & (at < tree.rules.moves)
        return jnp.where(inside, jnp.asarray(tree.mover)[state.node], ABSENT)

    def _payoff(self, state: PokerState) -> Int32[Array, " 2"]:
        """Return the chips that each seat wins in a decided hand."""
        tree = self.tree
        first = state.hand % 2
        folded = jnp.asarray(tree.folded)[state.node]
        public = state.public if tree.opens else 0
        won = jnp.asarray(winners(self.kind))[
            state.rank[first], state.rank[1 - first], public
        ]
        won = jnp.where(folded == ABSENT, won, jnp.where(folded == 0, -1, 1))
        lost = jnp.asarray(tree.paid)[state.node].min()  # equal, but for folds
        of_first = won * lost
        return jnp.where(jnp.arange(2) == first, of_first, -of_first)

    def finished(self, state: PokerState) -> Bool[Array, ""]:
        return (state.hand == self.hands - 1) & (state.step > self.showdown)

    def look(self, state: PokerState, reward: Float[Array, " 2"]) -> TimeStep:
        tree, cards = self.tree, len(RANKS)
        over = self.finished(state)
        first = jnp.arange(2) == state.hand % 2
        mover = self._mover(state)
        moves = (mover != ABSENT) & (jnp.arange(2) == (mover + state.hand) % 2)
        compared = jnp.asarray(tree.folded)[state.node] == ABSENT
        after = compared & (state.step > self.showdown)
        own = jax.nn.one_hot(state.rank, cards)
        opened = state.step >= self.windows[-1]
        public = jax.nn.one_hot(state.public, cards) * opened
        line = jnp.asarray(self._betting_rows())[state.node]

        def seat(k: int) -> Array:
            return jnp.concatenate(
                [
                    own[k],
                    *([public] if tree.opens else []),
                    own[1 - k] * after,
                    line,
                    jnp.stack([first[k], moves[k], moves[1 - k]]),
                    jax.nn.one_hot(state.step, self.hand_steps),
                    jnp.stack(
                        [
                            state.hand == self.hands - 1,
                            (self.hands - 1 - state.hand) / self.hands,
                        ]
                    ),
                ]
            ).astype(jnp.float32)

        legal = jnp.zeros((2, self.num_actions), bool)
        bets = jnp.asarray(tree.legal)[state.node] & moves[:, None]
        legal = legal.at[:, :BETS].set(bets)
        shows = compared & (state.step == self.showdown)
        legal = legal.at[:, SHOW:].set((own > 0) & shows)
        legal = legal.at[:, WAIT].set(~moves & ~shows)
        return TimeStep(
            obs=jnp.stack([seat(0), seat(1)]),
            legal=legal,
            reward=reward.astype(jnp.float32),
            terminated=jnp.full(2, over),
            truncated=jnp.bool_(False),
            present=jnp.ones(2, bool),
        )

    def _betting_rows(self) -> Float[np.ndarray, "M D"]:
        """Return the actions of each node as one-hot vectors, a round after another."""
        tree = self.tree
        rules = tree.rules
        rows = np.zeros(
            (len(tree.moves), len(rules.raises), rules.moves, BETS), np.float32
        )
        for node, rounds in enumerate(tree.moves):
            for number, made in enumerate(rounds):
                for at, action in enumerate(made):
                    rows[node, number, at, action] = 1
        return rows.reshape(len(rows), -1)

    # -- contents of an observation --------------------------------------------

    def split(self, obs: Shaped[Array, "... D"]) -> dict[str, Array]:
        """Return the parts of observations by name.

        Args:
            obs: observations.
        """
        ends = np.cumsum([*self.parts.values()])
        pieces = jnp.split(jnp.asarray(obs), ends[:-1], axis=-1)
        return dict(zip(self.parts, pieces, strict=True))

    def node_in(self, obs: Shaped[Array, "... D"]) -> Int32[Array, "..."]:
        """Return the node of the betting tree that observations show.

        Args:
            obs: observations.
        """
        line = self.split(obs)["betting"] > 0.5
        codes = self._betting_rows() @ _digits(line.shape[-1])
        nodes = np.zeros((BETS + 1) ** (line.shape[-1] // BETS), np.int32)
        nodes[codes.astype(int)] = np.arange(len(codes))
        code = line.astype(jnp.int32) @ _digits(line.shape[-1])
        return jnp.asarray(nodes)[code]

    def ranks_in(
        self, obs: Shaped[Array, "... D"]
    ) -> tuple[Int32[Array, "..."], Int32[Array, "..."]]:
        """Return the own and the public card that observations show.

        Args:
            obs: observations.

        Returns:
            Ranks; `NO_CARD` for a public card that is not open.
        """
        parts = self.split(obs)
        own = jnp.argmax(parts["own"], -1).astype(jnp.int32)
        if not self.tree.opens:
            return own, jnp.full_like(own, NO_CARD)
        is_open = (parts["public"] > 0.5).any(-1)
        public = jnp.argmax(parts["public"], -1)
        return own, jnp.where(is_open, public, NO_CARD).astype(jnp.int32)

    def legal_in(self, obs: Shaped[Array, "D"]) -> Bool[Array, " A"]:
        parts, node = self.split(obs), self.node_in(obs)
        own, _ = self.ranks_in(obs)
        moves = parts["to_move"][0] > 0.5
        tree = self.tree
        shows = (parts["step"][self.showdown] > 0.5) & (
            jnp.asarray(tree.folded)[node] == ABSENT
        )
        bets = jnp.asarray(tree.legal)[node] & moves
        waits = ~moves & ~shows
        shown = jax.nn.one_hot(own, len(RANKS), dtype=bool) & shows
        return jnp.concatenate([bets, waits[None], shown])

    def text(self, obs: Shaped[Array, "D"], seat: int = 0) -> str:
        """Return cards and betting of the hand.

        Args:
            obs: the observation.
            seat: the seat that has it.
        """
        own, public = (int(x) for x in self.ranks_in(obs))
        shown = np.asarray(self.split(obs)["shown"])
        rounds = self.tree.moves[int(self.node_in(obs))]
        names = "FCR"
        words = "/".join("".join(names[a] for a in made) for made in rounds)
        other = RANKS[int(shown.argmax())] if shown.any() else "?"
        board = f" board {RANKS[public]}" if public != NO_CARD else ""
        return f"seat {seat + 1}: {RANKS[own]} against {other}{board}, {words or '-'}"
