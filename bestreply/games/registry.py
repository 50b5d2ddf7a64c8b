"""Games by name."""

import dataclasses
import inspect
from typing import Any, cast

from bestreply.games.base import Game
from bestreply.games.description import Description
from bestreply.games.host import Factory, host_game
from bestreply.games.host_env import HostEnv
from bestreply.utils.checks import shown
from bestreply.utils.importing import import_attribute
from bestreply.utils.names import Names, import_path, register, spec_of
from bestreply.utils.spec import Spec, parse_spec, tuples
from bestreply.utils.trust import ADAPTERS, Trust

GAMES = {
    "stag_hunt": "bestreply.games.stag_hunt:StagHunt",
    "snowdrift": "bestreply.games.snowdrift:Snowdrift",
    "matrix": "bestreply.games.matrix:MatrixGame",
    "recorded": "bestreply.games.recorded:RecordedGame",
}
"""The class of each game, ``module:Class``; imported on first use."""

ADAPTED = {
    "openspiel": "bestreply.games.openspiel:OpenSpielGame.load",
    "pettingzoo": "bestreply.games.pettingzoo:load",
    "gymnasium": "bestreply.games.gymnasium:load",
    "pgx": "bestreply.games.pgx:PgxGame.load",
    "jaxmarl": "bestreply.games.jaxmarl:JaxMarlGame.load",
    "jumanji": "bestreply.games.jumanji:JumanjiGame.load",
}
"""The function of each adapter, called as ``load(NAME, **settings)`` for the game
``PREFIX:NAME``; imported on first use. A prefix of `ADAPTERS` that is not here has no
adapter yet."""

HOSTED = {
    "pettingzoo": "bestreply.games.pettingzoo:PettingZooEnv",
    "gymnasium": "bestreply.games.gymnasium:GymnasiumEnv",
}
"""The `HostEnv` of each adapter of environments that may be handed in as objects, called
as ``(factory, name, settings)``."""


def _prefix_of_class(kind: type) -> str | None:
    """Return the prefix of the adapter for a class of environments; None: of no other."""
    known = {"ParallelEnv": "pettingzoo", "AECEnv": "pettingzoo"}
    for base in kind.__mro__:
        if base.__name__ in known:
            return known[base.__name__]
        if base is Description or base.__module__.startswith("gymnasium."):
            return None if base is Description else "gymnasium"
    return None


def _name_with_adapter(spec: Spec, thing: Any) -> str:
    """Return the hint at the name of another library's environment, or ""."""
    prefix = _prefix_of_class(thing if isinstance(thing, type) else type(thing))
    if prefix is None or ":" not in spec.name or not hasattr(thing, "step"):
        return ""
    return f". For an environment of {prefix}, name it {prefix}:{spec!s:.100}"


NAMES = Names(
    "game",
    Description,
    GAMES,
    wanted="Game or HostEnv",
    more=", openspiel:NAME. `bestreply games` lists them",
    hint=_name_with_adapter,
)
"""Games that are not the library's own."""


def _load(name: str) -> type[Game]:
    return import_attribute("game", GAMES[name])


def list_games() -> dict[str, str]:
    """Return all games, those of installed packages included.

    Returns:
        A line on the rules of each game, by name.
    """
    games = {name: _load(name).summary for name in GAMES}
    adapted = {
        "openspiel:NAME": "a game of OpenSpiel, with simultaneous moves or "
        "turns, e.g. openspiel:goofspiel(num_cards=4), openspiel:kuhn_poker",
        "pettingzoo:NAME": "an environment of PettingZoo, "
        "e.g. pettingzoo:mpe2.simple_tag_v3:parallel_env(max_cycles=25)",
        "gymnasium:NAME": "an environment of Gymnasium for one agent, "
        "e.g. gymnasium:CartPole-v1",
        "pgx:NAME": "a game of pgx, with turns or for one player, "
        "e.g. pgx:tic_tac_toe, pgx:connect_four",
        "jaxmarl:NAME": "an environment of JaxMARL, e.g. jaxmarl:coin_game, "
        "jaxmarl:overcooked(layout=coord_ring)",
        "jumanji:NAME": "an environment of Jumanji, for several agents or one, "
        "e.g. jumanji:LevelBasedForaging-v0(grid_size=7)",
    }
    return games | adapted | NAMES.summaries()


def make_game(spec: str | Spec | Game | Factory, **settings: Any) -> Game:
    """Return a game by name, with settings in the name or as keywords.

    ``make_game("stag_hunt(height=5)", hunters=2)``,
    ``make_game("my_package.games:Chess(size=3)")``, ``make_game(MyHostEnv, size=3)``

    Args:
        spec: the name, with or without settings: one of the library, of an adapter
            (``openspiel:``), of an installed package, or ``module:Class``. A `Game`
            is returned as it is. Or the class of a `HostEnv`, or of an environment of
            PettingZoo or Gymnasium, or a function that makes one.
        settings: further settings; lists, as JSON gives them, become tuples.

    Returns:
        The game.

    Raises:
        ValueError: for an unknown game or setting; lists the known ones. Or for
            anything else than a game.
    """
    if isinstance(spec, Game):
        if settings:
            raise ValueError(
                f"settings={settings!r:.200}: expected none with a game object"
            )
        return spec
    if callable(spec):
        return _of_factory(spec, settings)
    if not isinstance(spec, str | Spec):
        hint = ""
        if isinstance(spec, HostEnv):
            hint = "; it is one environment, and many are stepped side by side"
        raise ValueError(
            f"game={shown(spec)}: expected a Game, the name of one such as "
            f"'stag_hunt(height=5)', or the class of a HostEnv{hint}. `bestreply "
            "games` lists the names"
        )
    spec = parse_spec(spec) if isinstance(spec, str) else spec
    settings = {**spec.settings, **settings}
    settings = {name: _setting(value) for name, value in settings.items()}
    prefix, colon, name = spec.name.partition(":")
    if colon and prefix in ADAPTERS:
        return _adapted(prefix, name, settings)
    if spec.name not in GAMES:
        return _named(Spec(spec.name, spec.args, settings))
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


def _named(spec: Spec) -> Game:
    """Return a game that is not the library's own."""
    made = NAMES.make(spec)
    if isinstance(made, Game):
        return made
    if isinstance(NAMES.load(spec.name), HostEnv):
        raise ValueError(
            f"game={str(spec)!r}: expected the class of a HostEnv, or a function that "
            "makes one, since many are stepped side by side; it is one environment"
        )
    if spec.args:
        raise ValueError(
            f"game={str(spec)!r}: expected settings by name, "
            f"e.g. {spec.name}(size=3)"
        )
    cast(HostEnv, made).close()
    # Not by name: a class that is defined again takes the name over.
    return host_game(spec.name, NAMES.load(spec.name), spec.settings)


def _of_factory(factory: Factory, settings: dict[str, Any]) -> Game:
    """Return the game of an environment's class or factory, given as an object."""
    path, prefix = import_path(factory), _adapter_of(factory, settings)
    if path is not None and prefix is not None:
        return _adapted(prefix, path, settings)
    if path is not None:
        return _named(Spec(path, (), settings))
    name = str(getattr(factory, "__name__", type(factory).__name__))
    name = name if name.isidentifier() else "environment"
    made = factory
    if prefix is not None:
        kind = import_attribute("game", HOSTED[prefix])

        def made(**settings: Any) -> HostEnv:
            return kind(factory, name, settings)

    register("game", name, made)
    return _named(Spec(name, (), settings))


def _adapter_of(factory: Factory, settings: dict[str, Any]) -> str | None:
    """Return the prefix of the adapter for what a factory makes; None: a `HostEnv`."""
    if isinstance(factory, type) and (prefix := _prefix_of_class(factory)):
        return prefix
    if isinstance(factory, type) and issubclass(factory, Description):
        return None
    given = dict(settings)
    for name in ("max_steps", "wait"):
        if name not in inspect.signature(factory).parameters:
            given.pop(name, None)
    made: Any = factory(**given)
    is_zoo = hasattr(made, "possible_agents")
    prefix = "pettingzoo" if is_zoo else "gymnasium"
    if isinstance(made, Description) or not hasattr(made, "action_space"):
        prefix = None
    if hasattr(made, "close"):
        cast(Any, made).close()
    return prefix


def game_in_file(name: str, settings: dict[str, Any], trust: Trust) -> Game:
    """Return the game that a file names; a module is imported only if it is allowed.

    Args:
        name: its name without settings.
        settings: its settings, perhaps read from JSON.
        trust: the file, and the modules that it may import.

    Returns:
        The game.

    Raises:
        ValueError: as `make_game`; or the name needs a module that is not allowed.
    """
    spec = Spec(name, (), settings)
    NAMES.vet(spec, trust)
    return make_game(spec)


def spec_of_game(game: Game) -> Spec:
    """Return the name and settings that files hold; `make_game` makes an equal game.

    Args:
        game: the game.

    Returns:
        The spec: the library's name or a registered one, ``module:Class`` where its
        class can be imported, else its plain name, which only this process knows.
    """
    return spec_of("game", game)


def _adapted(prefix: str, name: str, settings: dict[str, Any]) -> Game:
    if prefix not in ADAPTED:
        known = ", ".join(f"{prefix}:" for prefix in ADAPTED)
        raise ValueError(
            f"game='{prefix}:{name}': expected a game of an adapter ({known}); "
            f"this version has no adapter for {prefix}"
        )
    return import_attribute("game", ADAPTED[prefix])(name, **settings)


def _setting(value: Any) -> Any:
    """Return a setting: a bare name as its text (``table=chicken``), lists as tuples."""
    if isinstance(value, Spec) and not value.args and not value.settings:
        return value.name
    return tuples(value)
