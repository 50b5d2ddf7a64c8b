"""How close the agent stays to the players of its data: tried out in games among them.

A score that errs by more than actions differ is best followed little. How much that is
cannot be read from the data with confidence: off-policy estimates have the same errors.
So the trained agent plays some episodes with each of `CHOICES`, beside the mixture of the
data's players and beside each of them alone, in each role, and keeps for each the choice
of `best_choices`.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from bestreply.evaluate import evaluate_all
from bestreply.games.recorded import is_recorded
from bestreply.games.seats import role_names
from bestreply.models.world_model import NO_VALUE
from bestreply.opponents.opponent_types import opponent_types
from bestreply.planning.agent import Agent
from bestreply.players.zoo import players_in_file
from bestreply.run import Run
from bestreply.scores.returns import Scores
from bestreply.simulation.lineup import ALONE, mixture_of
from bestreply.simulation.opponent_sets import OpponentSet, opponent_sets
from bestreply.training.phases import Write
from bestreply.training.state import TrainState
from bestreply.utils.console import log
from bestreply.utils.files import write_json
from bestreply.utils.seeds import derived_seed

SEED_STREAM = 7
MIN_EPISODES = 32
"""Episodes of each choice where there is little data."""
CERTAIN = 1e3
"""A weight, in standard deviations of the return, at which scores no longer count."""


class Choice(NamedTuple):
    """One way to stay close to the players of the data."""

    weight: float
    """lambda in standard deviations of the return in the data, by role."""
    sampled: bool
    """Whether the action is drawn."""
    averaged: bool
    """Whether the next value is the mean over the value heads."""
    joint: bool = False
    """Whether scores are values of joint actions (`bestreply.models.joint_values`), and
    not of the world model."""


CHOICES = (
    Choice(0.0, False, False),
    Choice(0.03, False, False),
    Choice(0.0, False, True),
    Choice(0.03, False, True),
    Choice(0.1, False, True),
    Choice(0.3, False, True),
    Choice(CERTAIN, False, False),
    Choice(0.03, True, True),
    Choice(0.1, True, True),
    Choice(CERTAIN, True, False),
    Choice(0.0, False, False, True),
    Choice(0.1, False, False, True),
    Choice(0.03, True, False, True),
)
"""What is tried; the first is the planner alone, with the best value head. A little
chance keeps two players from waiting for each other for ever."""


def choices_of(run: Run) -> tuple[Choice, ...]:
    """Return the choices that a run has.

    Without players' value heads, none is a mean over them; without values of joint actions,
    none follows these.

    Args:
        run: the run.
    """
    choices = CHOICES
    if not run.config.values_joint_actions:
        choices = tuple(choice for choice in CHOICES if not choice.joint)
    if run.config.model.value_heads == "player":
        return choices
    alike = (choice._replace(averaged=False) for choice in choices)
    return tuple(dict.fromkeys(alike))


def try_anchors(run: Run, train_state: TrainState, write: Write) -> TrainState:
    """Return the train state with the weights of the anchors that earn most.

    Writes ``trials.json`` into the run.

    Args:
        run: the run.
        train_state: its trained networks.
        write: logs metrics.

    Returns:
        The state; unchanged but for its counter where nothing can be tried.
    """
    done, players = with_trial(train_state), trial_players(run, train_state)
    if not players:
        return done
    roles, unit = role_names(run.game), deviations(run, train_state)
    choices = choices_of(run)
    assert done.anchors is not None
    company = _company(run, players, done)
    sets = opponent_sets(run.game, [*company])
    evaluation = run.config.evaluate
    matches = len(evaluation.opponents) or len(players) + 1
    scores = evaluate_all(
        run.game,
        {
            _name(k): agent_with(run, done, unit, choice)
            for k, choice in enumerate(choices)
        },
        [*company],
        _episodes(run, len(sets) * len(choices)),
        derived_seed(run.config.seed, SEED_STREAM),
        like=evaluation.episodes * matches * len(roles),
    )
    names = [of_set.name for of_set in sets]
    returns = _returns(scores, len(choices), names)
    role_of = np.array(
        [roles.index(run.game.roles[of_set.seats[0]]) for of_set in sets]
    )
    best = np.zeros(len(sets), int)
    for role in np.unique(role_of):
        own = role_of == role
        best[own] = best_choices(returns[:, own])
    best = best.tolist()
    steps = int(np.sum(scores.table["length"]))
    record(run, sets, choices, returns, best, steps)
    values = {}
    chosen = np.full(done.anchors.model.weight.shape, -1)
    for of_set, role, choice in zip(sets, role_of, best, strict=True):
        at = company[of_set.text]
        if at is None:  # the mixture, which decides where it is not sure
            chosen[role] = np.where(chosen[role] < 0, choice, chosen[role])
            name = "weight" if len(roles) == 1 else roles[role]
            values[f"trials/{name}"] = choices[choice].weight * unit[role]
        else:
            chosen[role, at] = choice
        say(of_set.name, choices[choice])
    write("trials", 1, {name: float(w) for name, w in values.items()})
    return with_choices(done, unit, choices, chosen)


def _company(
    run: Run, players: tuple[str, ...], train_state: TrainState
) -> dict[str, int | None]:
    """Return the opponent sets of the trials: each with its type, a mixture with None.

    Players sit only in roles in which they have logged play.

    Args:
        run: the run.
        players: players that can be made.
        train_state: its train state, with anchors.
    """
    if run.game.num_players == 1:
        return {ALONE: None}
    sat = _has_sat(run, players, train_state)
    if not sat.all():
        of_roles = [
            f"{role}={mixture_of(tuple(np.array(players)[own].tolist()))}"
            for role, own in zip(role_names(run.game), sat, strict=True)
        ]
        return {", ".join(of_roles): None}
    names = [entry["name"] for entry in run.roster]
    mixed: dict[str, int | None] = {mixture_of(players): None}
    if not opponent_types(run.config.model).players or len(players) == 1:
        return mixed
    return {name: names.index(name) for name in players} | mixed


def _episodes(run: Run, trials: int) -> int:
    """Return the episodes of each trial: in all no more than the data has, or few."""
    episodes = run.config.train.trial_episodes
    in_data = run.provenance["data"].get("episodes", math.inf)
    affordable = in_data // trials
    return int(min(episodes, max(affordable, MIN_EPISODES)))


def trial_players(run: Run, train_state: TrainState) -> tuple[str, ...]:
    """Return the players of the data that can be played with.

    Args:
        run: a run.
        train_state: its train state, with anchors.

    Returns:
        Their names; none in a recorded game, or where a role would have no player.
    """
    if is_recorded(run.game):
        return ()
    names = [entry["name"] for entry in run.roster]
    players = tuple(players_in_file(names, run.game, run.trust))
    sat = _has_sat(run, players, train_state)
    return players if sat.size and sat.any(1).all() else ()


def _has_sat(
    run: Run, players: tuple[str, ...], train_state: TrainState
) -> Bool[np.ndarray, "R P"]:
    """Return in which roles players have logged play."""
    assert train_state.anchors is not None
    names = [entry["name"] for entry in run.roster]
    returns = np.asarray(train_state.anchors.model.returns).max(2)
    return returns[:, [names.index(name) for name in players]] > NO_VALUE


def with_trial(train_state: TrainState) -> TrainState:
    """Return the state of a run whose trial has been made.

    Args:
        train_state: a state with anchors.
    """
    return eqx.tree_at(
        lambda s: s.anchors.trials, train_state, jnp.ones((), jnp.int32)
    )


def say(opponents: str, choice: Choice) -> None:
    """Log a choice.

    Args:
        opponents: the opponents that it is for.
        choice: the choice.
    """
    action = "drawn" if choice.sampled else "likeliest"
    scores = "values of joint actions" if choice.joint else "world model"
    log.info(
        "trials: %s: %s, weight %g of the best player of the data, %s action",
        *(opponents, scores, choice.weight, action),
    )


def _name(choice: int) -> str:
    """Return the name under which a choice plays, for its progress bar."""
    return f"trial {choice + 1}"


def best_choices(returns: Float[np.ndarray, "C S E"]) -> list[int]:
    """Return the choice for each opponent set.

    It is the first one, the planner alone, unless the estimated gain of another over it
    exceeds one standard error. The gains are estimated by empirical Bayes (Efron and
    Morris, 1975): where the sets hardly differ by more than their errors, all of them
    count for each; where they do, each stands for itself.

    Args:
        returns: of E episodes of each choice beside each of S opponent sets.
    """
    gain = returns - returns[0]
    mean, error = gain.mean(2), gain.var(2) / gain.shape[2]
    # Few episodes can agree by chance: no error is taken for much smaller than the rest.
    error = (error + error.mean(1, keepdims=True)) / 2
    spread = np.zeros(len(returns))
    if mean.shape[1] > 1:
        spread = np.maximum(mean.var(1, ddof=1) - error.mean(1), 0)
    least = max(1e-12 * np.max(mean**2), 1e-300)  # without any error too
    total = np.maximum(spread[:, None] + error, least)
    pooled = (mean / total).sum(1) / (1 / total).sum(1)
    own = spread[:, None] / total if mean.shape[1] > 1 else np.ones_like(mean)
    estimate = own * mean + (1 - own) * pooled[:, None]
    of_pooled = 1 / (1 / total).sum(1)
    variance = own * error + (1 - own) ** 2 * of_pooled[:, None]
    best = estimate.argmax(0)
    column = np.arange(len(best))
    sure = estimate[best, column] > np.sqrt(variance[best, column])
    return np.where(sure, best, 0).tolist()


def deviations(run: Run, train_state: TrainState) -> Float[np.ndarray, " R"]:
    """Return the standard deviation of returns in the data, by role.

    Args:
        run: the run.
        train_state: its trained networks.
    """
    roles = len(role_names(run.game))
    mean = np.asarray(train_state.world.value_mean).reshape(roles, -1)
    scale = np.asarray(train_state.world.value_scale).reshape(roles, -1)
    known = mean != NO_VALUE
    total = np.where(known, scale, 0).sum(1) / np.maximum(known.sum(1), 1)
    return np.maximum(total, 1e-6)


def with_choices(
    train_state: TrainState,
    unit: Float[np.ndarray, " R"],
    choices: Sequence[Choice],
    chosen: Int[np.ndarray, "R G1"],
) -> TrainState:
    """Return the state with a choice for each role and company.

    Args:
        train_state: a state with anchors.
        unit: of the weights, by role.
        choices: the choices.
        chosen: their indices; the columns of `Anchors.weight`, or one for all.
    """
    shape = train_state.anchors.model.weight.shape  # pyright: ignore[reportOptionalMemberAccess]
    weights, sampled, averaged, joint = (
        np.broadcast_to(np.array(list_)[chosen], shape)
        for list_ in zip(*choices, strict=True)
    )
    if train_state.joint_values is not None:
        train_state = eqx.tree_at(
            lambda s: s.joint_values.model.used, train_state, jnp.asarray(joint)
        )
    return eqx.tree_at(
        lambda s: (
            s.anchors.model.weight,
            s.anchors.model.sampled,
            s.anchors.model.averaged,
        ),
        train_state,
        (
            jnp.asarray(weights * unit[:, None], jnp.float32),
            jnp.asarray(sampled),
            jnp.asarray(averaged),
        ),
    )


def agent_with(
    run: Run,
    train_state: TrainState,
    unit: Float[np.ndarray, " R"],
    choice: Choice,
) -> Agent:
    """Return the agent with one choice; all choices have one program.

    Args:
        run: the run.
        train_state: its trained networks.
        unit: of the weights, by role.
        choice: the choice, in every role.
    """
    chosen = np.zeros((len(unit), 1), int)
    state = with_choices(train_state, unit, [choice], chosen)
    assert state.anchors is not None
    joint_values = state.joint_values and state.joint_values.model
    return dataclasses.replace(
        run.with_train_state(train_state).agent(),
        anchors=state.anchors.model,
        joint_values=joint_values,
    )


def _returns(
    scores: Scores, choices: int, sets: list[str]
) -> Float[np.ndarray, "C S E"]:
    """Return the return of each episode, by choice and opponent set."""
    method, opponents, returns = (
        np.asarray(scores.table[name])
        for name in ("method", "opponents", "return")
    )
    of_choices = [
        [returns[(method == _name(k)) & (opponents == name)] for name in sets]
        for k in range(choices)
    ]
    return np.array(of_choices)


def record(
    run: Run,
    sets: Sequence[OpponentSet],
    choices: Sequence[Choice],
    returns: Float[np.ndarray, "C S E"],
    best: Sequence[int],
    steps: int,
) -> None:
    """Write what was tried, and what it earned.

    Args:
        run: the run.
        sets: the opponent sets.
        choices: what was tried.
        returns: of each choice and episode.
        best: the choice for each set.
        steps: environment steps.
    """
    error = returns.std(2) / np.sqrt(returns.shape[2])
    tried = [
        {
            "role": run.game.roles[of_set.seats[0]],
            "opponents": of_set.text,
            "weight": choice.weight,
            "sampled": choice.sampled,
            "averaged": choice.averaged,
            "joint": choice.joint,
            "return": float(returns[c, s].mean()),
            "stderr": float(error[c, s]),
            "chosen": c == best[s],
        }
        for s, of_set in enumerate(sets)
        for c, choice in enumerate(choices)
    ]
    document = {"tried": tried, "env_steps": steps}
    write_json(run.path / "trials.json", document)
