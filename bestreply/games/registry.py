"""Games by name."""

import dataclasses
from typing import Any

from bestreply.games.base import Game
from bestreply.utils.spec import Spec, parse_spec, tuples

GAMES = {
    "stag_hunt": "bestreply.games.stag_hunt:StagHunt",
    "snowdrift": "bestreply.games.snowdrift:Snowdrift",
    "matrix": "bestreply.games.matrix:MatrixGame",
}
"""The class of each game, ``module:Class``; imported on first use."""

OPENSPIEL = "openspiel:"
"""The prefix of the games of OpenSpiel."""


def _load(name: str) -> type[Game]:
    import importlib

    module, _, attribute = GAMES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def list_games() -> dict[str, str]:
    """Return all games.

    Returns:
        A line on the rules of each game, by name.
    """
    games = {name: _load(name).summary for name in GAMES}
    return games | {
        "openspiel:NAME": "a simultaneous-move game of OpenSpiel, "
        "e.g. openspiel:goofspiel(num_cards=4)"
    }


def make_game(spec: str | Spec, **settings: Any) -> Game:
    """Return a game by name, with settings in the name or as keywords.

    ``make_game("stag_hunt(height=5)", hunters=2)``

    Args:
        spec: the name, with or without settings.
        settings: further settings; lists, as JSON gives them, become tuples.

    Returns:
        The game.

    Raises:
        ValueError: for an unknown game or setting; lists the known ones.
    """
    spec = parse_spec(spec) if isinstance(spec, str) else spec
    settings = {**spec.settings, **settings}
    settings = {name: _setting(value) for name, value in settings.items()}
    if spec.name.startswith(OPENSPIEL):
        from bestreply.games.openspiel import OpenSpielGame

        return OpenSpielGame.load(spec.name.removeprefix(OPENSPIEL), **settings)
    if spec.name not in GAMES:
        known = ", ".join(GAMES)
        raise ValueError(
            f"game={spec.name!r}: expected one of {known}, openspiel:NAME. "
            "`bestreply games` lists them"
        )
    if spec.args:
        raise ValueError(
            f"game={str(spec)!r}: expected settings by name, "
            f"e.g. {spec.name}(max_steps=15)"
        )
    kind = _load(spec.name)
    known = [field.name for field in dataclasses.fields(kind)]  # pyright: ignore[reportArgumentType]
    unknown = [k for k in settings if k not in known]
    if unknown:
        raise ValueError(
            f"{unknown[0]}={settings[unknown[0]]!r}: expected a setting of "
            f"{spec.name}: {', '.join(known)}"
        )
    return kind(**settings)


def _setting(value: Any) -> Any:
    """Return a setting: a bare name as its text (``table=chicken``), lists as tuples."""
    if isinstance(value, Spec) and not value.args and not value.settings:
        return value.name
    return tuples(value)
