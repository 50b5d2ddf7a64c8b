"""The kinds of types that an opponent model can distinguish."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jaxtyping import Int

from bestreply.config import ModelConfig
from bestreply.games.base import Game
from bestreply.types import Array


class OpponentTypes(NamedTuple):
    """One kind of types: the types' names, and the source of their labels."""

    names: Callable[
        [ModelConfig, Game, Sequence[dict[str, Any]]], tuple[str, ...]
    ]
    """(sizes, game, roster of the data) -> the types by name."""
    logged: Callable[[Int[Array, "..."], Int[Array, "..."]], Array] | None
    """(player, goal) of a logged step -> its type, of the same shape; None for types
    that play does not log."""
    inferred: bool = False
    """Whether labels are inferred from play. The prior is then their mean."""
    players: bool = False
    """Whether the types are the players of the roster."""


OPPONENT_TYPES = {
    "none": OpponentTypes(
        lambda model, game, roster: ("anyone",),
        lambda player, goal: player * 0,
    ),
    "goal": OpponentTypes(
        lambda model, game, roster: game.goals,
        lambda player, goal: goal,
        inferred=True,
    ),
    "player": OpponentTypes(
        lambda model, game, roster: tuple(entry["name"] for entry in roster),
        lambda player, goal: player,
        players=True,
    ),
    "code": OpponentTypes(
        lambda model, game, roster: tuple(
            f"code {number + 1}" for number in range(model.codes)
        ),
        logged=None,
        inferred=True,
    ),
}
"""Kinds of types by their names in the configuration (`model.opponent_types`)."""


def opponent_types(model: ModelConfig) -> OpponentTypes:
    """Return the kind of types that a configuration names.

    Args:
        model: its `opponent_types` is the name.
    """
    return OPPONENT_TYPES[model.opponent_types]
