"""The commands of the command line, a dataclass each whose fields are the options; in the order in which help lists them."""

from bestreply.commands import flow, runs, games, data  # isort: skip

__all__ = ["data", "flow", "games", "runs"]
