"""bestreply: agents that act among other agents, answering with the best reply to what they believe the others will do.

Every name below is imported when it is first used, so that ``import bestreply`` is quick.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bestreply import exact as exact
    from bestreply.collect import collect as collect
    from bestreply.config import RunConfig as RunConfig
    from bestreply.config import preset as preset
    from bestreply.data.arrays import store_from_arrays as store_from_arrays
    from bestreply.data.frames import store_from_frame as store_from_frame
    from bestreply.data.store import open_store as open_store
    from bestreply.data.validate import validate as validate
    from bestreply.evaluate import evaluate as evaluate
    from bestreply.games import list_games as list_games
    from bestreply.games import make_game as make_game
    from bestreply.games.check import check_game as check_game
    from bestreply.games.host_env import EnvStep as EnvStep
    from bestreply.games.host_env import HostEnv as HostEnv
    from bestreply.games.pettingzoo_out import parallel_env as parallel_env
    from bestreply.planning.exported import load_export as load_export
    from bestreply.players import list_players as list_players
    from bestreply.players import make_player as make_player
    from bestreply.players.check import check_player as check_player
    from bestreply.players.function import player as player
    from bestreply.players.onnx import from_onnx as from_onnx
    from bestreply.players.openspiel import from_openspiel as from_openspiel
    from bestreply.players.sb3 import from_sb3 as from_sb3
    from bestreply.players.torch import from_torch as from_torch
    from bestreply.report import write_report as write_report
    from bestreply.run import list_methods as list_methods
    from bestreply.run import load_run as load_run
    from bestreply.scores.returns import Scores as Scores
    from bestreply.train import train as train
    from bestreply.utils.names import register as register

_WHERE = {
    "EnvStep": "games.host_env",
    "HostEnv": "games.host_env",
    "RunConfig": "config",
    "Scores": "evaluate",
    "check_game": "games.check",
    "check_player": "players.check",
    "collect": "collect",
    "evaluate": "evaluate",
    "from_onnx": "players.onnx",
    "from_openspiel": "players.openspiel",
    "from_sb3": "players.sb3",
    "from_torch": "players.torch",
    "list_games": "games",
    "list_methods": "run",
    "list_players": "players",
    "load_export": "planning.exported",
    "load_run": "run",
    "make_game": "games",
    "make_player": "players",
    "open_store": "data.store",
    "parallel_env": "games.pettingzoo_out",
    "player": "players.function",
    "preset": "config",
    "register": "utils.names",
    "store_from_arrays": "data.arrays",
    "store_from_frame": "data.frames",
    "train": "train",
    "validate": "data.validate",
    "write_report": "report",
}

__all__ = [
    "EnvStep",
    "HostEnv",
    "RunConfig",
    "Scores",
    "check_game",
    "check_player",
    "collect",
    "evaluate",
    "exact",
    "from_onnx",
    "from_openspiel",
    "from_sb3",
    "from_torch",
    "list_games",
    "list_methods",
    "list_players",
    "load_export",
    "load_run",
    "make_game",
    "make_player",
    "open_store",
    "parallel_env",
    "player",
    "preset",
    "register",
    "store_from_arrays",
    "store_from_frame",
    "train",
    "validate",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name == "exact":
        return importlib.import_module("bestreply.exact")
    if name not in _WHERE:
        raise AttributeError(
            f"module 'bestreply' has no attribute {name!r}; it has: {', '.join(__all__)}"
        )
    return getattr(importlib.import_module(f"bestreply.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """Python sets a submodule as an attribute of its package; ``bestreply.collect`` has to stay the function."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _WHERE and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
