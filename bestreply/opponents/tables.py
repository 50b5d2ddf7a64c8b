"""Tables of opponents: the frequency of each action after the last joint actions.

For repeated games, and any game with few joint actions. The table of a logged player
holds its action frequencies after each sequence h of its last k joint actions, with
interpolated back-off (Jelinek and Mercer, 1980) to shorter sequences:

    p_i(a | h_i) = (n(h_i, a) + c p_{i-1}(a | h_{i-1})) / (n(h_i) + c),  i = 0 .. k

with h_i the last i joint actions, p_{-1} uniform and c = `PSEUDO_COUNT`. In the first
k steps of an episode the whole episode so far is the sequence: its counts are of
those steps alone, and back off to h_i at any step. The counts come from logged play in
one pass, without gradients; observations are not read.

A player's joint action has its own action first, then the action of the seat that
observes it, then those of the other seats in order.

The belief about each opponent is a distribution over the logged players, by Bayes' rule.
With `unknown_type_prior` one more entry is "none of these": a table over at most
`UNKNOWN_MEMORY` joint actions, which begins as the mean of the players' tables and is
counted in play.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from bestreply.games.base import Game
from bestreply.opponents.base import MIN_PROB, OpponentModel, opponent_legal
from bestreply.types import ABSENT, Array, Episodes, ego_order

MAX_ROWS = 4096
"""Largest number of sequences of joint actions in a table."""
PSEUDO_COUNT = 1.0
"""Observations that the estimate from the shorter sequence counts for."""
UNKNOWN_MEMORY = 2
"""Largest number of joint actions that the table of an unknown player reads."""
MAX_UNKNOWN_ROWS = 256
"""Largest number of sequences in the table of an unknown player."""


class TableBelief(NamedTuple):
    """The belief about each opponent, over P logged players and K entries.

    K is P, or P + 1 with "none of these" as the last entry.
    """

    history: Int[Array, "k N"]
    """Last joint actions, newest first, own seat first; ABSENT for a seat that has
    left."""
    seen: Int[Array, ""]
    """Number of joint actions in `history`."""
    weights: Float[Array, "others K"]
    unknown: Float[Array, "others U A"]
    """Action counts of the table "none of these"."""
    prior: Float[Array, "others K"]
    counts: Float[Array, "others K"]
    """Discounted number of earlier episodes with each player."""


class TableOpponents(OpponentModel):
    """A table for each logged player, and a belief over the players.

    The types of the posterior are the logged players, or one for all of them where
    `goals` is 1. The number of joint actions that are read is `memory`, shortened until
    the table has at most `MAX_ROWS` rows: to 5 for two players with two actions, to 3
    with three actions, to 0 where one joint action has more.
    """

    probs: Float[Array, "P rows A"]
    """Action probabilities of each player after each sequence."""
    players_prior: Float[Array, " P"] | Float[Array, "others P"]
    """Frequency of each player in the data, by episodes; or what is known of each opponent."""
    game: Game = eqx.field(static=True)
    memory: int = eqx.field(static=True)
    """Joint actions that are read, k."""
    goals: int = eqx.field(static=True)
    """Number of types that the value is conditioned on."""
    prior_mixing: float = eqx.field(static=True, default=0.01)
    """Fraction of the prior mixed into the belief at each step."""
    episode_memory: float = eqx.field(static=True, default=0.0)
    """Discount of earlier episodes, for each episode; 0: no memory of them."""
    unknown_type_prior: float = eqx.field(static=True, default=0.0)
    """Prior probability of "none of these"."""
    replies: Float[Array, "T rows P"] | None = None
    """Values of the best replies to each player after t rounds and each sequence
    (`bestreply.opponents.table_replies`); T is 1 where rounds are not counted."""

    @classmethod
    def create(
        cls, game: Game, memory: int, players: int, goals: int
    ) -> "TableOpponents":
        """Return the model before any logged play: uniform tables, uniform prior.

        Args:
            game: the game.
            memory: largest number of joint actions that are read.
            players: number of logged players, P.
            goals: number of types that the value is conditioned on: P or 1.

        Returns:
            The model.
        """
        kept = table_memory(game, memory, MAX_ROWS)
        shape = players, _rows(_joint_actions(game), kept), game.num_actions
        return cls(
            probs=jnp.full(shape, 1 / game.num_actions, jnp.float32),
            players_prior=jnp.full(players, 1 / players, jnp.float32),
            game=game,
            memory=kept,
            goals=goals,
        )

    def given(self, truth: Int[Array, " others"]) -> "TableOpponents":
        """Return the model that knows which logged player each opponent is.

        Args:
            truth: the players.
        """
        known = jax.nn.one_hot(truth, len(self.probs))
        return dataclasses.replace(
            self, players_prior=known, unknown_type_prior=0.0
        )

    def after_history(self, belief: TableBelief) -> TableBelief:
        """Return what this model believes after the joint actions of another's belief.

        Args:
            belief: of a model with tables of the same length.
        """
        return self.init()._replace(history=belief.history, seen=belief.seen)

    @property
    def reads_own_actions(self) -> bool:
        return self.memory > 0

    @property
    def unknown_memory(self) -> int:
        """Joint actions that the table "none of these" reads."""
        most = min(self.memory, UNKNOWN_MEMORY)
        return table_memory(self.game, most, MAX_UNKNOWN_ROWS)

    def init(self) -> TableBelief:
        others, prior = self.game.num_players - 1, self.players_prior
        if self.unknown_type_prior:
            prior = (1 - self.unknown_type_prior) * prior
            prior = jnp.append(prior, self.unknown_type_prior)
        prior = jnp.broadcast_to(prior, (others, prior.shape[-1]))
        rows = 0
        if self.unknown_type_prior:
            rows = _rows(_joint_actions(self.game), self.unknown_memory)
        unknown = jnp.zeros((others, rows, self.game.num_actions))
        return self._start_episode(prior, unknown, jnp.zeros_like(prior))

    def _start_episode(
        self,
        prior: Float[Array, "others K"],
        unknown: Float[Array, "others U A"],
        counts: Float[Array, "others K"],
    ) -> TableBelief:
        shape = self.memory, self.game.num_players
        history = jnp.full(shape, ABSENT, jnp.int32)
        return TableBelief(history, jnp.int32(0), prior, unknown, prior, counts)

    def renew(self, belief: TableBelief) -> TableBelief:
        counts = self.episode_memory * (belief.counts + belief.weights)
        prior = self.init().prior + counts
        return self._start_episode(
            prior / prior.sum(1, keepdims=True),
            self.episode_memory * belief.unknown,
            counts,
        )

    def codes(self, belief: TableBelief) -> Int[Array, " others"]:
        """Return the number of the remembered sequence, as each opponent sees it.

        Args:
            belief: the belief.

        Returns:
            Numbers below J^k, the newest joint action as the last digit; 0 for the
            joint actions before the episode began.
        """
        if not self.memory:
            return jnp.zeros(self.game.num_players - 1, jnp.int32)
        # of each opponent: it comes first, then the own seat
        orders = ego_order(self.game.num_players)[1:]
        seats, joint = _symbols(self.game), _joint_actions(self.game)
        symbols = belief.history[:, orders] % seats  # [k, others, N]
        digits = (symbols * seats ** np.arange(self.game.num_players)).sum(2)
        written = jnp.arange(self.memory) < belief.seen
        digits = jnp.where(written[:, None], digits, 0)
        places = joint ** np.arange(self.memory)
        return (digits * places[:, None]).sum(0).astype(jnp.int32)

    def _rows(self, belief: TableBelief) -> Int[Array, " others"]:
        """Return the row of the remembered sequence in each opponent's table."""
        begins = _begins(_joint_actions(self.game), self.memory)
        return jnp.asarray(begins)[belief.seen] + self.codes(belief)

    def player_policies(
        self, belief: TableBelief, obs: Shaped[Array, "*obs"]
    ) -> Float[Array, "others K A"]:
        """Return the policy of each entry of the belief.

        Args:
            belief: its history is read, and its counts for "none of these".
            obs: own observation: it shows which actions are legal, where it does.

        Returns:
            Action probabilities.
        """
        codes, row = self.codes(belief), self._rows(belief)
        policies = jnp.moveaxis(jnp.asarray(self.probs)[:, row], 0, 1)
        if self.unknown_type_prior:
            mean = jnp.einsum("p,jpa->ja", self.players_prior, policies)
            unknown = self._unknown_policy(belief, codes, mean)
            policies = jnp.concatenate([policies, unknown[:, None]], 1)
        legal = opponent_legal(self.game, obs)[:, None]
        in_game = legal.any(-1, keepdims=True)  # else it has left
        policies = policies * jnp.where(in_game, legal, True)
        return policies / policies.sum(-1, keepdims=True)

    def _unknown_rows(
        self, belief: TableBelief, codes: Int[Array, " others"]
    ) -> Iterator[tuple[Bool[Array, ""], Int[Array, " others"]]]:
        """Yield, for each length: whether it was played, and the sequence's row."""
        joint, memory = _joint_actions(self.game), self.unknown_memory
        for length, begin in enumerate(_begins(joint, memory)):
            yield belief.seen >= length, begin + codes % joint**length

    def _unknown_policy(
        self,
        belief: TableBelief,
        codes: Int[Array, " others"],
        mean: Float[Array, "others A"],
    ) -> Float[Array, "others A"]:
        policy, each = mean, jnp.arange(len(mean))
        for played, row in self._unknown_rows(belief, codes):
            counts = jnp.where(played, belief.unknown[each, row], 0.0)
            total = counts.sum(-1, keepdims=True) + PSEUDO_COUNT
            policy = (counts + PSEUDO_COUNT * policy) / total
        return policy

    def predict(
        self,
        belief: TableBelief,
        obs: Shaped[Array, "*obs"],
        legal: Bool[Array, " A"],
    ) -> Float[Array, "others A"]:
        policies = self.player_policies(belief, obs)
        return jnp.einsum("jk,jka->ja", belief.weights, policies)

    def update(
        self,
        belief: TableBelief,
        obs: Shaped[Array, "*obs"],
        actions: Int[Array, " N"],
        present: Bool[Array, " N"],
    ) -> TableBelief:
        actions = jnp.where(present, actions, ABSENT).astype(jnp.int32)
        others = jnp.maximum(actions[1:], 0)
        acted = actions[1:] != ABSENT
        policies = self.player_policies(belief, obs)
        taken = jnp.take_along_axis(policies, others[:, None, None], 2)
        after = belief.weights * jnp.maximum(taken[..., 0], MIN_PROB)
        kept = (1 - self.prior_mixing) / after.sum(1, keepdims=True)
        after = kept * after + self.prior_mixing * belief.prior
        unknown = belief.unknown
        if self.unknown_type_prior:
            each = jnp.arange(len(others))
            for played, row in self._unknown_rows(belief, self.codes(belief)):
                count = (acted & played).astype(unknown.dtype)
                unknown = unknown.at[each, row, others].add(count)
        history = jnp.concatenate([actions[None], belief.history])
        return belief._replace(
            history=history[: self.memory],
            seen=jnp.minimum(belief.seen + 1, self.memory),
            weights=jnp.where(acted[:, None], after, belief.weights),
            unknown=unknown,
        )

    def posterior(self, belief: TableBelief) -> Float[Array, "others G"]:
        """Return the probabilities of the types that the value is conditioned on.

        The probability of "none of these" is divided among the players by their prior.

        Args:
            belief: the belief.

        Returns:
            Probabilities of the logged players; 1 where all of them are one type.
        """
        if self.goals == 1:
            return jnp.ones((len(belief.weights), 1))
        return self._of_players(belief)

    def _of_players(self, belief: TableBelief) -> Float[Array, "others P"]:
        if not self.unknown_type_prior:
            return belief.weights
        rest = belief.weights[:, -1:] * self.players_prior
        return belief.weights[:, :-1] + rest

    @property
    def knows_replies(self) -> bool:
        return self.replies is not None

    def reply_value(
        self, belief: TableBelief, obs: Shaped[Array, "*obs"]
    ) -> Float[Array, ""]:
        values = jnp.asarray(self.replies)
        state: Any = self.game.state_in(obs)  # how many rounds were played
        time = jnp.clip(state.time, 0, len(values) - 1)
        return values[time, self._rows(belief)[0]] @ self._of_players(belief)[0]

    def unknown_type_probability(
        self, belief: TableBelief
    ) -> Float[Array, " others"]:
        """Return the probability that each opponent is none of the logged players.

        Args:
            belief: the belief.
        """
        return belief.weights[:, len(self.probs) :].sum(1)


# -- learning from logged play -------------------------------------------------


def fit_tables(model: TableOpponents, episodes: Episodes) -> TableOpponents:
    """Return the model with the tables and the frequencies of the logged players.

    Each step of a player counts once, divided among the seats that observe it.

    Args:
        model: gives game, memory and number of players.
        episodes: logged play.

    Returns:
        The model; tables of players without logged play are uniform.
    """
    counts = count_actions(model, episodes)
    probs = _interpolated(counts, _joint_actions(model.game), model.memory)
    action, player = (np.asarray(x) for x in (episodes.action, episodes.player))
    joined = player[action[:, 0] != ABSENT]
    share = np.bincount(joined, minlength=len(counts)).astype(np.float64)
    share = share / share.sum() if share.sum() else np.full(len(counts), 1.0)
    learned = np.float32(probs), np.float32(share / share.sum())
    return eqx.tree_at(
        lambda m: (m.probs, m.players_prior), model, jax.device_put(learned)
    )


def count_actions(
    model: TableOpponents, episodes: Episodes
) -> Float[np.ndarray, "P rows A"]:
    """Return how often each logged player took each action after each sequence.

    Sequences are as long as they can be: of k joint actions, or the whole episode so
    far.

    Args:
        model: gives game, memory and number of players.
        episodes: logged play.
    """
    action, player = (np.asarray(x) for x in (episodes.action, episodes.player))
    (players, rows, actions), seats = model.probs.shape, action.shape[2]
    orders, steps = ego_order(seats), action.shape[1]
    begins = _begins(_joint_actions(model.game), model.memory)
    length = np.minimum(np.arange(steps), model.memory)
    counts = np.zeros(players * rows * actions)
    for seat in range(seats):
        for observer in np.delete(np.arange(seats), seat):
            index = int(np.flatnonzero(orders[observer] == seat)[0])
            order = orders[observer][orders[index]]
            sequence = _sequence_codes(model, action[:, :, order])
            row = np.asarray(begins)[length] + sequence  # [E, T]
            own = action[:, :, seat]
            cell = (player[:, seat, None] * rows + row) * actions + own
            counts += np.bincount(
                cell[own != ABSENT], minlength=len(counts)
            ) / (seats - 1)
    return counts.reshape(players, rows, actions)


def _sequence_codes(
    model: TableOpponents, action: Int[np.ndarray, "E T N"]
) -> Int[np.ndarray, "E T"]:
    """Return the number of the last k joint actions before each step; see `codes`."""
    seats, joint = _symbols(model.game), _joint_actions(model.game)
    symbols = action.astype(np.int64) % seats
    digits = (symbols * seats ** np.arange(action.shape[2])).sum(2)
    codes = np.zeros_like(digits)
    for age in range(min(model.memory, action.shape[1] - 1)):
        codes[:, age + 1 :] += digits[:, : -age - 1] * joint**age
    return codes


def _interpolated(
    counts: Float[np.ndarray, "P rows A"], joint: int, memory: int
) -> Float[np.ndarray, "P rows A"]:
    """Return the action probabilities after each sequence, backed off to shorter ones."""
    begins = [*_begins(joint, memory), counts.shape[1]]
    exact = [
        counts[:, begins[length] : begins[length + 1]]
        for length in range(memory + 1)
    ]
    players, actions = len(counts), counts.shape[2]

    def added(counts: Any, shorter: Any) -> np.ndarray:
        total = counts.sum(-1, keepdims=True) + PSEUDO_COUNT
        return (counts + PSEUDO_COUNT * shorter) / total

    # counts of h_i: those of all sequences that end in it
    ends = exact.copy()
    for length in range(memory, 0, -1):
        size = joint ** (length - 1)
        longer = ends[length].reshape(players, joint, size, actions)
        ends[length - 1] = ends[length - 1] + longer.sum(1)
    policy = np.full((players, 1, actions), 1 / actions)
    parts = []
    for length in range(memory + 1):
        if length:
            policy = np.tile(policy, (1, joint, 1))
        policy = added(ends[length], policy)
        is_longest = length == memory
        parts.append(policy if is_longest else added(exact[length], policy))
    return np.concatenate(parts, 1)


# -- numbers of sequences ------------------------------------------------------


def table_memory(game: Game, most: int, rows: int) -> int:
    """Return how many joint actions a table reads.

    Args:
        game: the game.
        most: largest number.
        rows: largest number of sequences.

    Returns:
        The largest number with at most `rows` sequences of that length or shorter; 0
        where even one joint action has more.
    """
    joint, memory = _joint_actions(game), 0
    while memory < most and _rows(joint, memory + 1) <= rows:
        memory += 1
    return memory


def _symbols(game: Game) -> int:
    """Return the number of actions of a seat, with ABSENT where a seat can leave."""
    return game.num_actions + (not _seats_stay(game))


def _seats_stay(game: Game) -> bool:
    """Return whether `Game.present_in` is the same for every observation."""
    obs = jnp.zeros(game.obs_shape)
    if jax.eval_shape(game.present_in, obs) is None:
        return False
    program = jax.make_jaxpr(game.present_in)(obs).jaxpr
    read = [x for step in program.eqns for x in step.invars]
    is_read = any(program.invars[0] is x for x in [*read, *program.outvars])
    return not is_read


def _joint_actions(game: Game) -> int:
    return _symbols(game) ** game.num_players


def _begins(joint: int, memory: int) -> list[int]:
    """Return the first row of each length of sequences, 0 to `memory`."""
    return [sum(joint**i for i in range(n)) for n in range(memory + 1)]


def sequences_after(game: Game, memory: int) -> Int[np.ndarray, "rows A A"]:
    """Return the row of the sequence after one more joint action, in a game of two.

    Args:
        game: the game; no seat leaves it.
        memory: joint actions that a table reads.

    Returns:
        Rows of the opponent's table, by row, own action and opponent's action.
    """
    joint, actions = _joint_actions(game), game.num_actions
    begins = _begins(joint, memory)
    # the digit of a joint action: the opponent comes first in its own table
    own, other = np.indices((actions, actions))
    digit = other + actions * own
    parts = []
    for length in range(memory + 1):
        kept = min(length + 1, memory)
        codes = np.arange(joint**length)[:, None, None] * joint + digit
        parts.append(begins[kept] + codes % joint**kept)
    return np.concatenate(parts)


def _rows(joint: int, memory: int) -> int:
    return sum(joint**i for i in range(memory + 1))
