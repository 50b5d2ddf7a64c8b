"""The strategies of the package `axelrod` that entered the published tournaments."""

import importlib
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments.axelrod.game import Rules

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # By name: a type checker without the library takes this folder for it.
        axelrod: Any = importlib.import_module("axelrod")
except ImportError:
    raise ImportError(
        "the study axelrod needs Axelrod's library: pip install axelrod==4.13.1"
    ) from None

NEWER = ("Burn Both Ends", "CAPRI", "Evolved FSM 6", "SpitefulCC")
"""Strategies of the package that the published tables do not have."""
TEAM = (
    "EvolvedHMM5",
    "EvolvedLookerUp2_2_2",
    "EvolvedFSM16",
    "EvolvedANN5",
    "PSOGambler2_2_2",
    "FoolMeOnce",
    "DoubleCrosser",
    "Gradual",
)
"""Of the one team that entered beside the package's own strategies."""
ACTIONS = (axelrod.Action.C, axelrod.Action.D)


def _parametrised() -> list[Callable[[], Any]]:
    makers: list[Callable[[], Any]] = []
    for p in (0.1, 0.3, 0.7, 0.9):
        makers.append(lambda p=p: axelrod.Random(p))
        makers.append(lambda p=p: axelrod.GTFT(p))
    team = [getattr(axelrod, name) for name in TEAM]
    return [*makers, lambda: axelrod.MetaWinner(team=team)]


def pool() -> dict[str, Callable[[], Any]]:
    """Return makers of the strategies by name, without those that run long."""
    slow = {*axelrod.long_run_time_strategies}
    makers: list[Callable[[], Any]] = [
        s for s in axelrod.strategies if s not in slow
    ]
    makers += _parametrised()
    named = {str(maker()): maker for maker in makers}
    return {n: m for n, m in named.items() if n not in NEWER}


def published_name(name: str) -> str:
    """Return the name of a strategy in the published tables: teams of all players of a kind were one or more smaller then."""
    return re.sub(r"^((?:Meta \w+|NMWE) Memory One): 37 ", r"\1: 36 ", name)


def start(
    makers: Sequence[Callable[[], Any]], rules: Rules, rng: np.random.Generator
) -> list[Any]:
    """Make players for one match each, seeded, and told the rules."""
    players = []
    for maker in makers:
        player = maker()
        player.set_match_attributes(
            length=rules.turns, game=axelrod.DefaultGame, noise=rules.noise
        )
        player.set_seed(int(rng.integers(2**31)))
        players.append(player)
    return players
