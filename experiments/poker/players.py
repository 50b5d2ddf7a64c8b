"""Players of one hand by rule: tight, loose, bluffing, calling, random, equilibrium.

A rule raises, calls or folds by the strength of its cards, from 0 to 3: a jack, a queen, a
king, a pair. With probability `NOISE` it takes a random legal action instead.
"""

import functools
import json
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Shaped

from bestreply.games.base import Game
from bestreply.players.base import ScriptedPlayer, uniform
from bestreply.types import Array
from experiments.poker.betting import (
    BETS,
    CALL,
    FOLD,
    NO_CARD,
    RAISE,
    RANKS,
    betting,
)
from experiments.poker.game import RepeatedPoker

NOISE = 0.1
STYLES = ("tight", "loose", "bluffing", "calling", "random", "equilibrium")
LEDUC = Path(__file__).with_name("leduc_equilibrium.json")
"""A near-equilibrium of Leduc poker, of `experiments.poker.equilibrium`."""
RAISES = {
    "tight": (2, 3),
    "loose": (1, 2, 3),
    "bluffing": (0, 3),
    "calling": (),
}
"""Strengths with which a rule bets or raises. In Kuhn poker the king counts as 3."""
CALLS = {
    "tight": (2,),
    "loose": (0, 1),
    "bluffing": (1, 2),
    "calling": (0, 1, 2, 3),
}
"""Other strengths with which it calls a bet."""


def style_table(kind: str, style: str) -> Float[np.ndarray, "M 3 4 3"]:
    """Return the action probabilities of a style.

    Args:
        kind: "kuhn" or "leduc".
        style: one of `STYLES`.

    Returns:
        Probabilities of FOLD, CALL, RAISE by node, own card and public card (the last
        entry: none is open); uniform over all three where no move is to be made.
    """
    return np.array(_table(kind, style))


@functools.cache
def _table(kind: str, style: str) -> Float[np.ndarray, "M 3 4 3"]:
    if style not in STYLES:
        raise ValueError(f"style={style!r}: expected one of {[*STYLES]}")
    legal = betting(kind).legal
    even = legal / np.maximum(legal.sum(-1, keepdims=True), 1)
    even = np.where(legal.any(-1, keepdims=True), even, 1 / BETS)
    even = np.broadcast_to(
        even[:, None, None], (len(legal), len(RANKS), NO_CARD + 1, BETS)
    )
    if style == "random":
        return even
    if style == "equilibrium":
        return _kuhn_equilibrium(even) if kind == "kuhn" else _leduc(even)
    table = np.zeros_like(even)
    for node, own, public in np.ndindex(even.shape[:3]):
        if not legal[node].any():
            table[node, own, public] = 1 / BETS
            continue
        table[node, own, public, _choice(kind, style, node, own, public)] = 1
    return (1 - NOISE) * table + NOISE * even


def _choice(kind: str, style: str, node: int, own: int, public: int) -> int:
    """Return the action of a rule."""
    strength = 3 if own == public or (kind == "kuhn" and own == 2) else own
    legal = betting(kind).legal[node]
    if strength in RAISES[style] and legal[RAISE]:
        return RAISE
    keeps = strength in RAISES[style] or strength in CALLS[style]
    return CALL if keeps or not legal[FOLD] else FOLD


def _kuhn_equilibrium(even: np.ndarray) -> np.ndarray:
    """Return an equilibrium of Kuhn poker: a jack is bet with probability 1/3."""
    third = 1 / 3
    bets = {(): (third, 0, 1), (CALL,): (third, 0, 1)}
    calls = {(RAISE,): (0, third, 1), (CALL, RAISE): (0, 2 * third, 1)}
    table = np.array(even)
    for node, (made,) in enumerate(betting("kuhn").moves):
        for own in range(len(RANKS)):
            if made in bets:
                p = bets[made][own]
                table[node, own] = 0, 1 - p, p
            if made in calls:
                p = calls[made][own]
                table[node, own] = 1 - p, p, 0
    return table


def _leduc(even: np.ndarray) -> np.ndarray:
    """Return the stored near-equilibrium of Leduc poker."""
    stored = json.loads(LEDUC.read_text("utf-8"))["table"]
    tree, table = betting("leduc"), np.array(even)
    for node, rows in zip(np.flatnonzero(tree.mover >= 0), stored, strict=True):
        rows = np.array(rows, float)
        probs = rows / rows.sum(-1, keepdims=True)
        publics = [NO_CARD] if tree.round[node] == 0 else range(NO_CARD)
        table[node][:, publics] = probs.reshape(len(RANKS), len(publics), BETS)
    return table


class Style(ScriptedPlayer):
    """Plays every hand by the table of one style."""

    table: Array
    game: RepeatedPoker = eqx.field(static=True)
    name: str = eqx.field(static=True, default="style")
    version: int = eqx.field(static=True, default=1)

    def policy(
        self,
        carry: tuple[()],
        obs: Shaped[Array, " D"],
        legal: Bool[Array, " A"],
    ) -> Float[Array, " A"]:
        legal = jnp.asarray(legal)
        own, public = self.game.ranks_in(obs)
        bets = jnp.asarray(self.table)[self.game.node_in(obs), own, public]
        probs = jnp.zeros(self.game.num_actions).at[:BETS].set(bets)
        return jnp.where(legal[:BETS].any(), probs, uniform(legal))


def make_style(style: str, game: Game) -> Style:
    """Return the player of a style.

    Args:
        style: one of `STYLES`.
        game: repeated poker.

    Raises:
        ValueError: an unknown style, or another game.
    """
    if not isinstance(game, RepeatedPoker):
        raise ValueError(f"game={game.name}: expected repeated_poker")
    table = style_table(game.kind, style).astype(np.float32)
    return Style(jnp.asarray(table), game, name=style)  # pyright: ignore[reportCallIssue]


def tight(game: Game) -> Style:
    """Return the tight player: it bets its best cards and calls with few others."""
    return make_style("tight", game)


def loose(game: Game) -> Style:
    """Return the loose player: it bets all but its worst cards and calls every bet."""
    return make_style("loose", game)


def bluffing(game: Game) -> Style:
    """Return the bluffing player: it bets its worst and its best cards."""
    return make_style("bluffing", game)


def calling(game: Game) -> Style:
    """Return the calling player: it never bets, and calls every bet."""
    return make_style("calling", game)


def equilibrium(game: Game) -> Style:
    """Return the player of an equilibrium."""
    return make_style("equilibrium", game)


def player_of(style: str) -> str:
    """Return the name by which commands make a style's player.

    Args:
        style: one of `STYLES`; "random" is the library's own player.
    """
    return style if style == "random" else f"{__name__}:{style}"
