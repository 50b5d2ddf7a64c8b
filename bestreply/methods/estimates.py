"""How close the agent stays to the players of its data, where it cannot try it out in play.

Without rules of the game, or without players to play with, fitted Q evaluation on logged
play (`bestreply.analysis.off_policy`) stands in for the trial of `bestreply.methods.trials`.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bestreply.analysis.logged_steps import Trajectories, trajectories
from bestreply.analysis.off_policy import (
    fitted_returns,
    most_episodes,
    outputs_along,
)
from bestreply.games.seats import role_names, role_of_seat
from bestreply.methods.trials import (
    agent_with,
    choices_of,
    deviations,
    record,
    say,
    with_choices,
    with_trial,
)
from bestreply.planning.agent import Agent
from bestreply.replay.moa_buffer import BufferState
from bestreply.run import Run
from bestreply.simulation.opponent_sets import OpponentSet
from bestreply.training.phases import Write
from bestreply.training.state import TrainState
from bestreply.types import ActorOutput
from bestreply.utils.seeds import derived_seed

SEED_STREAM = 9
LOGGED = "logged play"
"""What stands for the opponents in trials.json."""
MAX_TRAJECTORIES = 1000
"""Logged seats of episodes that the estimates are made from."""


def logged_scores(
    agent: Agent, play: Trajectories, averaged: bool, joint: bool
) -> tuple[Float[np.ndarray, "rows A"], Float[np.ndarray, "rows A"]]:
    """Return the scores of logged steps and the log-policy that the agent stays close to.

    Args:
        agent: an agent with anchors.
        play: logged play.
        averaged: whether the next value is the mean over the value heads.
        joint: whether scores are values of joint actions.
    """
    anchors = agent.anchors
    assert anchors is not None
    unit = dataclasses.replace(
        anchors,
        weight=jnp.ones_like(anchors.weight),
        averaged=jnp.full_like(anchors.averaged, averaged),
    )
    agent = dataclasses.replace(agent, anchors=unit)
    if (values := agent.joint_values) is not None:
        agent = dataclasses.replace(agent, joint_values=values.with_used(joint))
    scores, log_policy = outputs_along(agent, play, _parts)
    return play.rows(np.asarray(scores)), play.rows(np.asarray(log_policy))


def _parts(output: ActorOutput) -> tuple[Array, Array]:
    return output.plan.scores - output.plan.anchor, output.plan.anchor


def policy_of_choice(
    scores: Float[np.ndarray, "rows A"],
    log_policy: Float[np.ndarray, "rows A"],
    weight: float,
    sampled: bool,
) -> Float[np.ndarray, "rows A"]:
    """Return the policy of an agent that stays close to its data in one way.

    Args:
        scores: scores; -inf at illegal actions.
        log_policy: log pi_k(a | o) of the player that it stays close to.
        weight: lambda.
        sampled: whether it draws its action.
    """
    total = scores + weight * log_policy
    if not sampled:
        return np.eye(scores.shape[1])[total.argmax(1)]
    return np.asarray(jax.nn.softmax(total / weight))


def estimate_anchors(
    run: Run, train_state: TrainState, buffer: BufferState, write: Write
) -> TrainState:
    """Return the train state with the weight of the anchors of the highest estimate.

    Writes ``trials.json`` into the run.

    Args:
        run: the run.
        train_state: its trained networks.
        buffer: its training episodes.
        write: logs metrics.
    """
    game, roles = run.game, role_names(run.game)
    done, unit = with_trial(train_state), deviations(run, train_state)
    choices = choices_of(run)
    agent = agent_with(run, done, unit, choices[0])
    most = most_episodes(game, len(run.roster))
    count = min(int(buffer.added), most, MAX_TRAJECTORIES // game.num_players)
    every = trajectories(
        jax.tree.map(lambda x: np.asarray(x[: max(count, 1)]), buffer.episodes)
    )
    role = np.zeros(len(every.obs), np.int32)
    if len(roles) > 1:
        seats = jax.vmap(game.seat_in)(jnp.asarray(every.obs[:, 0]))
        role = role_of_seat(game)[np.asarray(seats)]
    seed = derived_seed(run.config.seed, SEED_STREAM)
    table = np.zeros((len(roles), len(choices)))
    for r, own in enumerate(unit):
        play = Trajectories(*(x[role == r] for x in every))
        if not len(play.obs):
            continue  # nobody played this role
        kinds = dict.fromkeys((c.averaged, c.joint) for c in choices)
        logged = {kind: logged_scores(agent, play, *kind) for kind in kinds}
        policies = [
            policy_of_choice(
                *logged[c.averaged, c.joint], c.weight * own, c.sampled
            )
            for c in choices
        ]
        table[r] = fitted_returns(play, policies, len(run.roster), seed)
    chosen = table.argmax(1)
    sets = [
        OpponentSet(LOGGED, role, (game.roles.index(role),), ())
        for role in roles
    ]
    record(run, sets, choices, table.T[..., None], chosen.tolist(), 0)
    values = {}
    for role, own, number in zip(roles, unit, chosen, strict=True):
        name = "weight" if len(roles) == 1 else role
        values[f"trials/{name}"] = float(choices[number].weight * own)
        say(role, choices[number])
    write("trials", 1, values)
    return with_choices(done, unit, choices, chosen[:, None])
