"""Whether method, models and planner of a configuration fit its game, before anything is played.

Networks and agent are traced for their shapes alone, in about a tenth of a second, so
that what they refuse is refused before hours of play and training.
"""

import dataclasses
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
from jaxtyping import PyTree

from bestreply.config import RunConfig
from bestreply.games import make_game
from bestreply.opponents.base import NAMES as OPPONENT_NAMES
from bestreply.planning.agent import Agent, load_planner
from bestreply.run import METHODS, Run
from bestreply.training.losses import load_loss
from bestreply.utils.spec import parse_spec


def check_fit(config: RunConfig, roster: Sequence[dict[str, Any]]) -> None:
    """Refuse a configuration whose method or models do not fit its game.

    Args:
        config: configuration of a run, with its defaults set.
        roster: the players of its data: name and version.

    Raises:
        ValueError: as `Method.start` and `Run.agent`, such as a planner in the true
            game where observations do not show the state.
    """
    players = tuple((entry["name"], entry["version"]) for entry in roster)
    _check_fit(dataclasses.replace(config, seed=0), players)


@cache
def _check_fit(config: RunConfig, players: tuple[tuple[str, int], ...]) -> None:
    """Check a configuration once in a process, whatever its seed."""
    roster = [{"name": name, "version": version} for name, version in players]
    facts = {"data": {"roster": roster, "levels": None}}
    run = Run(Path(), config, make_game(config.game), facts)
    opponents = config.model.opponents
    of_library = config.method in METHODS and opponents in OPPONENT_NAMES.own
    if run.plans:
        load_planner(config.planner.planner)
        load_loss(config.train.loss)
        if opponents not in OPPONENT_NAMES.own:
            OPPONENT_NAMES.load(parse_spec(opponents).name)

    def start() -> PyTree:
        return run.method.start(config, run.game, run.roster)

    def agent(train_state: PyTree) -> Agent:
        return run.with_train_state(train_state).agent()

    try:
        state = eqx.filter_eval_shape(start)
    except jax.errors.JAXTypeError:  # a method of others that reads numbers
        if config.method in METHODS:
            raise
    else:
        if run.plans and of_library:
            eqx.filter_eval_shape(agent, state)
