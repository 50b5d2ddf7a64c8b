"""Games by name."""

import dataclasses
from typing import Any

from bestreply.games.base import Game
from bestreply.utils.spec import Spec, parse_spec

GAMES = {
    "stag_hunt": "bestreply.games.stag_hunt:StagHunt",
    "snowdrift": "bestreply.games.snowdrift:Snowdrift",
    "matrix": "bestreply.games.matrix:MatrixGame",
}
"""Where each game lives: imported when it is asked for."""


def _load(name: str) -> Any:
    import importlib

    module, _, attribute = GAMES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def list_games() -> dict[str, str]:
    """Every game by name, with a line on what it is."""
    games = {name: _load(name).summary for name in GAMES}
    return games | {
        "openspiel:NAME": "a simultaneous-move game of OpenSpiel, e.g. openspiel:goofspiel(num_cards=4)"
    }


def _bare(value: Any) -> Any:
    """``table=chicken`` is read as a name with no settings; no setting is of that kind: a string is meant."""
    return (
        value.name
        if isinstance(value, Spec) and not value.args and not value.settings
        else value
    )


def make_game(spec: str | Spec, **settings: Any) -> Game:
    """A game by name, with its settings in the name or as keywords: ``make_game("stag_hunt(height=5)",
    hunters=2)``.

    Raises ValueError that names what was given and what there is, for an unknown game or setting.
    """
    spec = parse_spec(spec) if isinstance(spec, str) else spec
    settings = {**spec.settings, **settings}
    settings = {name: _bare(value) for name, value in settings.items()}
    if spec.name.startswith("openspiel:"):
        from bestreply.games.openspiel import OpenSpielGame

        return OpenSpielGame.load(
            spec.name.removeprefix("openspiel:"), **settings
        )
    if spec.name not in GAMES:
        raise ValueError(
            f"there is no game {spec.name!r}; there are: {', '.join(GAMES)}, openspiel:NAME"
        )
    if spec.args:
        raise ValueError(
            f"{spec}: settings are given by name, e.g. {spec.name}(max_steps=15)"
        )
    kind = _load(spec.name)
    known = [field.name for field in dataclasses.fields(kind)]
    unknown = [k for k in settings if k not in known]
    if unknown:
        raise ValueError(
            f"{spec.name} has no setting {', '.join(unknown)}; it has: {', '.join(known)}"
        )
    return kind(**settings)
