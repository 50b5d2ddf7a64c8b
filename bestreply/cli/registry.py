"""The commands, in the groups and the order of help. A command's module is imported on use."""

import difflib
import importlib
from collections.abc import Iterable
from typing import Any, NamedTuple


class Command(NamedTuple):
    """One command of the command line."""

    place: str
    """Module of `bestreply.cli` and class, "flow:Run": a dataclass with a method `run`, whose fields are the options."""
    summary: str
    """One line for help."""

    def load(self) -> type[Any]:
        """Import and return the class of the command.

        Returns:
            A dataclass of the command's options, with a method `run`.
        """
        module, name = self.place.split(":")
        return getattr(importlib.import_module(f"bestreply.cli.{module}"), name)


GROUPS: dict[str, dict[str, Command]] = {
    "From play to report": {
        "run": Command(
            "flow:Run",
            "Collect, train, evaluate and report, from one configuration",
        ),
        "collect": Command(
            "flow:Collect", "Play a game and log every step to a dataset"
        ),
        "train": Command("flow:Train", "Train an agent's models on a dataset"),
        "evaluate": Command(
            "flow:Evaluate",
            "Measure the return of a run's agent against opponent sets",
        ),
        "report": Command(
            "flow:Report", "Write an HTML page about one run, or about many"
        ),
        "export": Command(
            "flow:Export",
            "Write an agent as one file that plans without this library",
        ),
    },
    "Many runs": {
        "sweep": Command(
            "runs:Sweep", "Run methods x games x seeds from one TOML file"
        ),
        "results": Command(
            "runs:Results", "Tabulate the scores of all runs in some folders"
        ),
        "compare": Command(
            "runs:Compare",
            "Compare methods over training seeds, with confidence intervals",
        ),
        "diagnose": Command(
            "runs:Diagnose",
            "Decompose the regret of an agent relative to the best reply",
        ),
    },
    "Look": {
        "view": Command(
            "games:View",
            "Show episodes step by step: scores, exact Q, predictions, beliefs",
        ),
        "play": Command(
            "games:Play",
            "Play one seat yourself in the browser, and keep the games as data",
        ),
    },
    "Games and players": {
        "games": Command("games:Games", "List all games"),
        "players": Command("games:Players", "List all scripted players"),
        "methods": Command("games:Methods", "List all methods to train"),
        "check-game": Command(
            "games:CheckGame", "Check that a game keeps the game contract"
        ),
        "check-player": Command(
            "games:CheckPlayer", "Check that a player keeps the player contract"
        ),
    },
    "Datasets": {
        "data describe": Command("data:Describe", "Summarise a dataset"),
        "data validate": Command(
            "data:Validate", "List the errors of a dataset"
        ),
        "data import": Command(
            "data:Import",
            "Make a dataset of npz, Parquet, Minari or a flashbax vault",
        ),
        "data export": Command(
            "data:Export", "Write a dataset as one npz or Parquet file"
        ),
    },
    "Help": {
        "completion": Command(
            "completion:Completion",
            "Print a completion script for bash, zsh or fish",
        ),
    },
}
"""Heading -> name -> command. A name of two words belongs to a family: `bestreply data` lists data's commands."""

COMMANDS: dict[str, Command] = {
    name: c for group in GROUPS.values() for name, c in group.items()
}
"""Name -> command, of all groups."""

FAMILIES: tuple[str, ...] = tuple(
    dict.fromkeys(name.split()[0] for name in COMMANDS if " " in name)
)
"""First words of the commands of two words."""

HELP_FLAGS = ("--help", "-h")
MIN_LIKENESS = 0.6  # `difflib` ratio from which a name is suggested
MAX_SUGGESTIONS = 3


class UsageError(ValueError):
    """Arguments that no command accepts; exit status 2."""


def nearest(typed: str, names: Iterable[str]) -> list[str]:
    """Return the names most similar to `typed`, at most three, or none if no name is similar.

    Args:
        typed: a command or an option. It is compared with the last part of each name:
            "describe" yields "data describe", "--updates" yields "--train.updates". If
            it has a space or a full stop, the whole names are compared as well.
        names: commands, or options.

    Returns:
        The names, all of the same similarity.
    """
    whole = " " in typed or "." in typed
    likeness = {name: _likeness(typed, name, whole) for name in names}
    best = max([*likeness.values(), MIN_LIKENESS])
    similar = [name for name in likeness if likeness[name] == best]
    return similar[:MAX_SUGGESTIONS]


def did_you_mean(typed: str, names: Iterable[str]) -> str:
    """Return " Did you mean 'a' or 'b'?" for the most similar names.

    Args:
        typed: a command or an option.
        names: commands, or options.

    Returns:
        The question after a space; empty if no name is similar.
    """
    similar = [repr(name) for name in nearest(typed, names)]
    return f" Did you mean {one_of(similar)}?" if similar else ""


def one_of(words: Iterable[str]) -> str:
    """Return words joined as in a sentence: "a, b or c".

    Args:
        words: at least one word.
    """
    *head, last = words
    return f"{', '.join(head)} or {last}" if head else last


def _likeness(typed: str, name: str, whole: bool) -> float:
    last = _ratio(_last_part(typed), _last_part(name))
    return (last + _ratio(typed, name)) / 2 if whole else last


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(
        None, one.lstrip("-"), other.lstrip("-")
    ).ratio()


def _last_part(name: str) -> str:
    return (name.split() or [""])[-1].split(".")[-1]
