"""How close the agent stays to the players of its data: tried out in games among them.

A score that errs by more than actions differ is best followed little. How much that is
cannot be read from the data with confidence: off-policy estimates have the same errors.
So the trained agent plays some episodes with each of `WEIGHTS`, its opponents drawn as
in the data, and keeps the weight that earns most in each role.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bestreply.evaluate import evaluate_all
from bestreply.games.recorded import is_recorded
from bestreply.games.seats import role_names
from bestreply.models.world_model import NO_VALUE
from bestreply.planning.agent import Agent
from bestreply.players.zoo import players_in_file
from bestreply.run import Run
from bestreply.scores.returns import Scores
from bestreply.simulation.lineup import mixture_of
from bestreply.training.phases import Write
from bestreply.training.state import AnchorState, TrainState
from bestreply.utils.console import log
from bestreply.utils.files import write_json
from bestreply.utils.seeds import derived_seed

SEED_STREAM = 7
FINALISTS, MORE = 2, 2
"""Weights that are tried again beside none, with so many times the episodes."""
MIN_EPISODES = 16
"""Episodes of each choice where there is little data."""
CERTAIN = 1e3
"""A weight, in standard deviations of the return, at which scores no longer count."""


class Choice(NamedTuple):
    """One way to stay close to the players of the data."""

    weight: float
    """lambda in standard deviations of the return in the data, by role."""
    sampled: bool


CHOICES = (
    Choice(0.0, False),
    Choice(0.03, False),
    Choice(0.1, False),
    Choice(0.3, False),
    Choice(CERTAIN, False),
    Choice(0.1, True),
    Choice(CERTAIN, True),
)
"""What is tried; the first is the planner alone."""


def try_anchors(run: Run, train_state: TrainState, write: Write) -> TrainState:
    """Return the train state with the weight of the anchors that earns most in each role.

    Writes ``trials.json`` into the run.

    Args:
        run: the run.
        train_state: its trained networks.
        write: logs metrics.

    Returns:
        The state; unchanged but for its counter where nothing can be tried.
    """
    done, players = with_trial(train_state), trial_players(run)
    if not players:
        return done
    roles = role_names(run.game)
    unit = deviations(train_state, len(roles))

    def play(choices: list[list[Choice]], episodes: int, seed: int) -> Scores:
        agents: dict[str, Any] = {
            _name(k): agent_with(run, done, unit, of_roles)
            for k, of_roles in enumerate(choices)
        }
        own, around = derived_seed(run.config.seed, seed), mixture_of(players)
        return evaluate_all(
            run.game, agents, [around], episodes, own, like=like
        )

    evaluation = run.config.evaluate
    sets = len(evaluation.opponents) or len(players) + 1
    like = evaluation.episodes * sets * len(roles)
    episodes = _episodes(run, len(roles))
    first = play([[c] * len(roles) for c in CHOICES], episodes, SEED_STREAM)
    early = _returns(first, len(CHOICES), roles)  # [C, R, E]
    ranked = 1 + np.argsort(-early[1:].mean(2), axis=0, kind="stable")
    entered = np.concatenate([np.zeros_like(ranked[:1]), ranked[:FINALISTS]])
    lines = [[CHOICES[k] for k in row] for row in entered]
    second = play(lines, MORE * episodes, SEED_STREAM + 1)
    late = _returns(second, len(lines), roles)
    chosen = []
    for role in range(len(roles)):
        returns = np.concatenate(
            [early[entered[:, role], role], late[:, role]], axis=1
        )
        chosen.append(CHOICES[entered[_best(returns), role]])
    steps = sum(
        int(np.sum(np.asarray(s.table["length"]))) for s in (first, second)
    )
    record(run, roles, early, chosen, steps)
    return say_and_set(done, roles, unit, chosen, write)


def _episodes(run: Run, roles: int) -> int:
    """Return the episodes of each choice: in all no more than the data has, or few."""
    episodes = run.config.train.trial_episodes
    in_data = run.provenance["data"].get("episodes", math.inf)
    in_all = roles * (len(CHOICES) + (1 + FINALISTS) * MORE)
    return int(min(episodes, max(in_data // in_all, MIN_EPISODES)))


def trial_players(run: Run) -> tuple[str, ...]:
    """Return the players of the data that can be played with; none in a recorded game.

    Args:
        run: a run.
    """
    if is_recorded(run.game):
        return ()
    names = [entry["name"] for entry in run.roster]
    return tuple(players_in_file(names, run.game, run.trust))


def with_trial(train_state: TrainState) -> TrainState:
    """Return the state of a run whose trial has been made.

    Args:
        train_state: a state with anchors.
    """
    return eqx.tree_at(
        lambda s: s.anchors.trials, train_state, jnp.ones((), jnp.int32)
    )


def say_and_set(
    train_state: TrainState,
    roles: tuple[str, ...],
    unit: Float[np.ndarray, " R"],
    chosen: list[Choice],
    write: Write,
) -> TrainState:
    """Return the state with the choices, after logging them.

    Args:
        train_state: a state with anchors.
        roles: names of the roles.
        unit: of the weights, by role.
        chosen: the choice of each role.
        write: logs metrics.
    """
    for role, choice in zip(roles, chosen, strict=True):
        action = "drawn" if choice.sampled else "likeliest"
        log.info(
            "trials: %s: weight %g of the best player of the data, %s action",
            *(role, choice.weight, action),
        )
    values = {
        f"trials/{'weight' if len(roles) == 1 else role}": float(c.weight * u)
        for role, c, u in zip(roles, chosen, unit, strict=True)
    }
    write("trials", 1, values)
    return with_choices(train_state, unit, chosen)


def _name(choice: int) -> str:
    """Return the name under which a choice plays, for its progress bar."""
    return f"trial {choice + 1}"


def _best(returns: Float[np.ndarray, "C E"]) -> int:
    """Return the row of the highest mean; the first unless another is surely better.

    Surely: by more than one standard error of the difference.
    """
    best = int(np.argmax(returns.mean(1)))
    more = returns[best] - returns[0]
    error = more.std() / np.sqrt(len(more))
    return best if more.mean() > error else 0


def deviations(train_state: TrainState, roles: int) -> Float[np.ndarray, " R"]:
    """Return the standard deviation of returns in the data, by role."""
    mean = np.asarray(train_state.world.value_mean).reshape(roles, -1)
    scale = np.asarray(train_state.world.value_scale).reshape(roles, -1)
    known = mean != NO_VALUE
    total = np.where(known, scale, 0).sum(1) / np.maximum(known.sum(1), 1)
    return np.maximum(total, 1e-6)


def with_choices(
    train_state: TrainState,
    unit: Float[np.ndarray, " R"],
    choices: list[Choice],
) -> TrainState:
    weights = np.array([c.weight for c in choices]) * unit
    sampled = np.array([c.sampled for c in choices])
    return eqx.tree_at(
        lambda s: (s.anchors.model.weight, s.anchors.model.sampled),
        train_state,
        (jnp.asarray(weights, jnp.float32), jnp.asarray(sampled)),
    )


def agent_with(
    run: Run,
    train_state: TrainState,
    unit: Float[np.ndarray, " R"],
    choices: list[Choice],
) -> Agent:
    """Return the agent with a choice for each role; all have one program."""
    state = with_choices(train_state, unit, choices)
    anchors: AnchorState | None = state.anchors
    assert anchors is not None
    agent = run.with_train_state(state).agent()
    return dataclasses.replace(agent, anchors=anchors.model)


def _returns(
    scores: Scores, count: int, roles: tuple[str, ...]
) -> Float[np.ndarray, "C R E"]:
    """Return the return of each episode, by choice and role."""
    method, opponents, returns = (
        np.asarray(scores.table[name])
        for name in ("method", "opponents", "return")
    )
    sets = list(dict.fromkeys(opponents))
    assert len(sets) == len(roles)
    return np.stack(
        [
            np.stack(
                [returns[(method == _name(k)) & (opponents == s)] for s in sets]
            )
            for k in range(count)
        ]
    )


def record(
    run: Run,
    roles: tuple[str, ...],
    returns: Float[np.ndarray, "C R E"],
    chosen: list[Choice],
    steps: int,
) -> None:
    """Write what was tried, and what it earned."""
    error = returns.std(2) / np.sqrt(returns.shape[2])
    tried = [
        {
            "role": role,
            "weight": choice.weight,
            "sampled": choice.sampled,
            "return": float(returns[c, r].mean()),
            "stderr": float(error[c, r]),
            "chosen": choice == chosen[r],
        }
        for r, role in enumerate(roles)
        for c, choice in enumerate(CHOICES)
    ]
    document = {"tried": tried, "env_steps": steps}
    write_json(run.path / "trials.json", document)
