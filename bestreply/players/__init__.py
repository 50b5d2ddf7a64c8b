"""Players: scripted, learned and planning players share one interface."""

from bestreply.players.base import Player, ScriptedPlayer
from bestreply.players.zoo import list_players, make_player

__all__ = ["Player", "ScriptedPlayer", "list_players", "make_player"]
