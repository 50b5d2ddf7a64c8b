"""Chips a hand of a player in repeated poker, by what each of its decisions loses."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from bestreply.players.base import Player
from bestreply.simulation.lineup import Lineup, join, seat_players
from bestreply.simulation.loop import play
from experiments.poker.betting import NO_CARD
from experiments.poker.exact import Reply, best_reply, hand_value, inferring
from experiments.poker.game import RepeatedPoker
from experiments.poker.players import STYLES, Style, style_table


@cache
def replies(kind: str) -> tuple[Reply, Reply]:
    """Return the best replies to each style that is known, in both positions.

    Args:
        kind: "kuhn" or "leduc".
    """
    tables = [style_table(kind, style) for style in STYLES]
    first, second = (
        best_reply(kind, position, tables, np.eye(len(STYLES)))
        for position in range(2)
    )
    return first, second


def references(kind: str, hands: int, episodes: int, seed: int) -> dict:
    """Return the chips a hand of three exact players, against each style.

    Args:
        kind: "kuhn" or "leduc".
        hands: hands of an episode.
        episodes: episodes of the reply that infers the style, against each.
        seed: seed of its cards.

    Returns:
        `known`: the best reply that knows the style; `inferring`: the one that infers
        it; `equilibrium`: the equilibrium; and for each hand the chips of `inferring`.
    """
    tables = [style_table(kind, style) for style in STYLES]
    fixed = np.repeat(style_table(kind, "equilibrium")[None], len(STYLES), 0)
    safe = [
        hand_value(kind, position, fixed, np.stack(tables))
        for position in range(2)
    ]
    known = np.mean([reply.value for reply in replies(kind)], 0)
    truth = np.repeat(np.arange(len(STYLES)), episodes)
    chips = inferring(kind, tables, truth, hands, seed)
    chips = chips.reshape(len(STYLES), episodes, hands)
    means = chips.mean(2)
    by_style = {
        "known": known,
        "inferring": means.mean(1),
        "inferring_stderr": means.std(1) / max(episodes - 1, 1) ** 0.5,
        "equilibrium": np.mean(safe, 0),
    }
    return {
        name: dict(zip(STYLES, values.tolist(), strict=True))
        for name, values in by_style.items()
    } | {"by_hand": chips.mean((0, 1)).tolist()}


class Decisions(NamedTuple):
    """What a seat decided in E episodes of T steps."""

    moves: np.ndarray  # [E, T] bool: it had a choice
    lost: np.ndarray  # [E, T] chips lost by it, relative to the best reply
    hand: np.ndarray  # [T] number of the hand


def decisions(
    game: RepeatedPoker,
    obs: Float[np.ndarray, "E T D"],
    actions: Int[np.ndarray, "E T"],
    styles: Int[np.ndarray, " E"],
) -> Decisions:
    """Return what each decision of a seat loses against the style that it met.

    The loss is relative to the best reply that knows the style, in expectation over
    cards given what the seat has seen in the hand. The expected chips of a player are those
    of that best reply less the sum of its losses (Kakade and Langford, 2002), with
    a much smaller variance than its rewards have.

    Args:
        game: the game.
        obs: observations of the seat.
        actions: its actions.
        styles: index of its opponent's style.
    """
    parts = {name: np.asarray(x) for name, x in game.split(obs).items()}
    moves = parts["to_move"][..., 0] > 0.5
    node = np.asarray(game.node_in(obs))
    own, public = (np.asarray(x) for x in game.ranks_in(obs))
    hidden = np.array(game.tree.round)[node] == 0
    public = np.where(hidden, NO_CARD, public)
    position = 1 - (parts["first"][..., 0] > 0.5)
    tables = np.stack([reply.lost for reply in replies(game.kind)])
    bets = np.where(moves, actions, 0)
    lost = tables[position, styles[:, None], node, own, public, bets]
    steps = np.arange(actions.shape[1])
    return Decisions(moves, np.where(moves, lost, 0), steps // game.hand_steps)


def measured(
    game: RepeatedPoker,
    players: Sequence[Player],
    episodes: int,
    seed: int,
) -> dict[str, Any]:
    """Return chips a hand of a player against each style, played in both seats in turn.

    Args:
        game: the game.
        players: the player that meets each of `STYLES`, of the first ones where they
            are fewer; often the same.
        episodes: episodes against each, half of them in either seat.
        seed: seed of play.

    Returns:
        By style: `chips`, expected given its decisions; `stderr` over episodes; `played`,
        the mean reward a hand. `by_hand`: expected chips of each hand, over all styles.
    """
    known = np.mean([reply.value for reply in replies(game.kind)], 0)
    chips, played = [], []
    for style, player in enumerate(players):
        lost, reward = _play(game, player, style, episodes, seed)
        chips.append(known[style] - lost)
        played.append(reward.mean())
    each = [x.mean(1) for x in chips]
    return {
        name: dict(zip(STYLES, map(float, values), strict=False))
        for name, values in {
            "chips": [x.mean() for x in each],
            "stderr": [x.std() / max(episodes - 1, 1) ** 0.5 for x in each],
            "played": played,
        }.items()
    } | {"by_hand": np.mean(chips, (0, 1)).tolist()}


def _play(
    game: RepeatedPoker, player: Player, style: int, episodes: int, seed: int
) -> tuple[Float[np.ndarray, "E H"], Float[np.ndarray, " E"]]:
    """Return chips lost in each hand against a style, and the mean reward a hand."""
    # One name for all styles, so that one program plays them all.
    table = style_table(game.kind, STYLES[style]).astype(np.float32)
    other = Style(jnp.asarray(table), game)  # pyright: ignore[reportCallIssue]
    seats = np.arange(episodes) % game.num_players
    lineup = join(
        [
            seat_players(game, [player, other], (episodes + 1) // 2, seed),
            seat_players(game, [other, player], episodes // 2, seed),
        ]
    )
    order = np.argsort(np.argsort(seats, kind="stable"), kind="stable")
    lineup = Lineup(lineup.pool, lineup.seating[order])
    played = play(game, lineup, seed, chunk=episodes).episodes
    rows, styles = np.arange(episodes), np.full(episodes, style)
    obs = np.asarray(played.obs[rows, :-1, seats])
    actions = np.asarray(played.action)[rows, :, seats]
    found = decisions(game, obs, actions, styles)
    lost = np.zeros((episodes, game.hands))
    for step, hand in enumerate(found.hand):
        lost[:, hand] += found.lost[:, step]
    total = np.asarray(played.reward)[rows, :, seats].sum(1)
    return lost, total / game.hands
