"""The players of a run's evaluation, by the names of `EvaluateConfig.methods`."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from bestreply.analysis.regret import distinguishes_players, with_true_types
from bestreply.config import RunConfig
from bestreply.opponents.uniform_or_model import UniformOrModel
from bestreply.planning.agent import Agent
from bestreply.players.base import Player
from bestreply.run import Run
from bestreply.simulation.lineup import distinct_players, fill_seats

MEASURED = ("agent", "data_players", "uniform_others", "true_types")
"""Names in `evaluate.methods` that stand for no player."""


def measured_players(
    run: Run, config: RunConfig, agent: Player
) -> dict[str, Any]:
    """Return the players that `evaluate.methods` names, but for `true_types`.

    Players that are equal but for their spelling are one method, at its first place.

    Args:
        run: the run.
        config: its configuration, with its defaults set.
        agent: the run's player.

    Returns:
        Players, or their names, by the name of the method.
    """
    methods: dict[str, Any] = {}
    names: list[str] = []
    for method in map(str.strip, config.evaluate.methods):
        if method == "agent":
            methods["agent"] = agent
        elif method == "uniform_others":
            if run.plans:
                methods[method] = run.agent(opponents="uniform")
        elif method != "true_types":
            data_players = method == "data_players"
            names += config.collect.players if data_players else (method,)
            methods |= {n: n for n in distinct_players(run.game, names)}
    own, uniform = methods.get("agent"), methods.get("uniform_others")
    if isinstance(own, Agent) and isinstance(uniform, Agent):
        methods |= _of_one_program(own, uniform)
    return methods


def _of_one_program(agent: Agent, uniform: Agent) -> dict[str, Agent]:
    """Return both agents as players that differ in one number, where that is safe."""
    if type(agent.opponents).__module__.partition(".")[0] != "bestreply":
        return {}  # its arrays can be of other types
    opponents = {
        name: UniformOrModel(  # pyright: ignore[reportCallIssue]
            model=agent.opponents,
            otherwise=uniform.opponents,  # pyright: ignore[reportArgumentType]
            uniform=np.array(name != "agent"),
        )
        for name in ("agent", "uniform_others")
    }
    return {
        name: dataclasses.replace(agent, opponents=model)
        for name, model in opponents.items()
    }


def players_with_true_types(
    run: Run, opponents: Sequence[str]
) -> dict[str, Agent]:
    """Return the agent with true types, for each opponent set of players of the data.

    Args:
        run: the run.
        opponents: opponent sets.

    Returns:
        The agents by opponent set; none where the model distinguishes no players.
    """
    if not run.plans or not distinguishes_players(run.agent(), run):
        return {}
    roster = {entry["name"] for entry in run.roster}
    # With several names the types would differ by the agent's seat.
    names = {
        text: {str(spec) for spec in fill_seats(run.game, text)}
        for text in opponents
    }
    return {
        text: with_true_types(run.agent(), run, list(one))
        for text, one in names.items()
        if len(one) == 1 and one <= roster
    }
