"""What tests share so that a process compiles it once: networks, jitted functions, play."""

from collections.abc import Callable
from functools import cache
from typing import Any

import equinox as eqx
import jax

from bestreply import make_game
from bestreply.games.base import Game
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.types import Episodes


def build(
    make: Callable[..., Any], *args: Any, key: int = 0, **settings: Any
) -> Any:
    """Return ``make(*args, key=jax.random.key(key), **settings)``, initialised by one program.

    Args:
        make: a constructor of networks, such as `WorldModel` or `LearnedOpponents.create`.
        args: its hashable positional arguments (games, settings, sizes).
        key: seed.
        settings: its hashable keyword arguments.
    """
    return _built(make, args, key, tuple(sorted(settings.items())))


@cache
def _built(make: Any, args: tuple, key: int, settings: tuple) -> Any:
    return _initialiser(make, args, settings)(jax.random.key(key))


@cache
def _initialiser(make: Any, args: tuple, settings: tuple) -> Callable[..., Any]:
    return eqx.filter_jit(lambda key: make(*args, key=key, **dict(settings)))


@cache
def compiled(
    function: Callable[..., Any], *, over: Any = None
) -> Callable[..., Any]:
    """Return `function` under `eqx.filter_jit`, the same object at every call.

    Args:
        function: a function, or a method of a game; of a module with arrays pass the class's
            method and the module as its first argument, ``compiled(WorldModel.encode)(world, obs)``.
        over: axes of `jax.vmap` as a hashable (``0`` maps every argument), or None for no batch.
    """
    return eqx.filter_jit(
        function if over is None else jax.vmap(function, over)
    )


@cache
def played(
    game: str | Game, players: tuple[str, ...], episodes: int, seed: int = 0
) -> Episodes:
    """Return logged play of `game` between `players`, seated with `seed`, played with `seed`."""
    game = make_game(game) if isinstance(game, str) else game
    return play(
        game, seat_players(game, list(players), episodes, seed), seed
    ).episodes
