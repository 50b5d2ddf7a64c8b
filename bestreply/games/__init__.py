"""Games by name: `make_game` creates them, `check_game` checks the contract of `Game`."""

from bestreply.games.base import Game
from bestreply.games.check import check_game
from bestreply.games.contract import GameError
from bestreply.games.registry import GAMES, list_games, make_game

__all__ = [
    "GAMES",
    "Game",
    "GameError",
    "check_game",
    "list_games",
    "make_game",
]
