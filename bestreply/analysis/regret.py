"""Regret, taken apart: which part of an agent costs how much of the best possible return.

At every decision that the agent came to, against others whose distributions are known, five actions are compared by the exact Q*:

    a_0  the agent's own
    a_1  its planner's, with the true policies (and types) of the others in place of the model of them
    a_2  the same, with the true game in place of the learned dynamics, reward and continuation
    a_3  the same, looking one step further
    a_4  the best reply's

With rho_k = V* - Q*(a_k) the return lost, E[V*(s_0)] - E[sum_t gamma^t r_t], is E[sum_t gamma^t rho_0], and that is the sum of four parts
that add up exactly: rho_0 - rho_1 (the model of the others), rho_1 - rho_2 (dynamics and reward), rho_2 - rho_3 (depth of planning) and
rho_3 (the value). A part can be negative: two wrongs can make a right.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from bestreply import exact
from bestreply.exact import BestReply, Decisions
from bestreply.games.base import Game
from bestreply.models.true_model import TrueModel
from bestreply.opponents.changepoint import ChangepointOpponents
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.opponent_types import opponent_types
from bestreply.opponents.oracle import OracleOpponents, TruePolicies
from bestreply.opponents.rules import RuleOpponents
from bestreply.planning.agent import Agent
from bestreply.players.base import ScriptedPlayer
from bestreply.players.zoo import make_player
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import PLANNING_CHUNK, play
from bestreply.types import ABSENT, Array, Episodes
from bestreply.utils.console import meter
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from bestreply.utils.spec import parse_specs

if TYPE_CHECKING:
    from bestreply.run import Run

PARTS = ("others", "dynamics", "depth", "value")
"""What return is lost to, in the order in which the truth is put in: the model of the others, dynamics and reward, planning depth,
the value."""


@dataclasses.dataclass(frozen=True)
class Regret:
    """What one agent lost against one set of others, by episode."""

    opponents: str
    best: (
        np.ndarray
    )  # [E], V*(s_0): what the best reply has from this first state
    parts: np.ndarray  # [E, 4], discounted return lost to each of `PARTS`
    returns: np.ndarray  # [E], undiscounted, as played
    costliest: list[
        dict[str, Any]
    ]  # decisions as plain data, the most costly first

    @property
    def share(self) -> float:
        """What the agent has of the best reply's return, in expectation."""
        return float(1 - self.parts.sum(1).mean() / self.best.mean())

    def summary(self) -> dict[str, Any]:
        """Means and standard errors over episodes as plain data."""
        count = max(len(self.best) - 1, 1)
        lost = self.parts.sum(1)
        return {
            "opponents": self.opponents,
            "episodes": len(self.best),
            "best": float(self.best.mean()),
            "lost": float(lost.mean()),
            "lost_stderr": float(lost.std() / count**0.5),
            "share": self.share,
            "share_stderr": float(lost.std() / count**0.5 / self.best.mean()),
            "return": float(self.returns.mean()),
            "parts": dict(zip(PARTS, self.parts.mean(0).tolist(), strict=True)),
            "parts_stderr": dict(
                zip(
                    PARTS,
                    (self.parts.std(0) / count**0.5).tolist(),
                    strict=True,
                )
            ),
            "costliest": self.costliest,
        }


def decompose_regret(
    run: "Run",
    others: Sequence[str],
    *,
    agent: Agent | None = None,
    episodes: int = 256,
    seed: int = 0,
    most: int = 8,
) -> Regret:
    """Plays a run's agent against `others` (one name for all seats, or one each) and takes what it loses apart.

    Args:
        agent: another agent of this run, e.g. with a fault planted; by default the run's own.
        most: how many of the costliest decisions to describe.

    Raises ValueError for a game or others that cannot be solved exactly, or a game that does not show its state.
    """
    game, agent = run.game, agent or run.agent()
    names = (
        list(others) * (game.num_players - 1)
        if len(others) == 1
        else list(others)
    )
    best = exact.best_reply(game, 0, names, gamma=agent.gamma, layouts=1)
    lineup = seat_players(game, [agent, *names], episodes, seed)
    with meter(
        f"diagnose: {', '.join(others)}", episodes * game.max_steps, "steps"
    ) as progress:
        played = play(
            game, lineup, seed, watch=0, chunk=PLANNING_CHUNK, progress=progress
        )
    log, actor_outputs = played.episodes, played.actor_outputs
    decided = best.decisions(log)
    beliefs = jax.tree.map(
        lambda x: np.asarray(x)[:, :, 0], actor_outputs.plan.belief
    )
    actions = [log.action[:, :, 0]]
    for better in improved(agent, run, names):
        actions.append(replan(better, log, beliefs))
    lost = np.stack([decided.lost(a, agent.gamma) for a in actions])  # [4, E]
    parts = np.stack(
        [lost[0] - lost[1], lost[1] - lost[2], lost[2] - lost[3], lost[3]], 1
    )
    return Regret(
        opponents=", ".join(others),
        best=decided.value[:, 0],
        parts=parts,
        returns=log.reward[:, :, 0].sum(1),
        costliest=describe(game, best, decided, log, actor_outputs, most),
    )


def diagnose_run(
    run: "Run",
    opponents: Sequence[str] = (),
    episodes: int = 256,
    *,
    planner: str | None = None,
    types: str = "inferred",
) -> Path:
    """Takes a run's regret apart against each opponent set (by default every player that made the data) and writes ``regret.json``
    into the run directory (docs/files.md).

    Args:
        types: "inferred": the agent believes what play has shown of who the others are; "told": it is told.

    Raises ValueError as `decompose_regret` and `true_types` do.
    """
    sets = opponents or tuple(entry["name"] for entry in run.roster)
    agent, seed = run.agent(planner), run.config.seed + 3
    found = []
    for text in sets:
        names = list(map(str, parse_specs(text)))
        player = told_types(agent, run, names) if types == "told" else agent
        found.append(
            decompose_regret(
                run, names, agent=player, episodes=episodes, seed=seed
            )
        )
    path = run.path / "regret.json"
    facts = {
        "planner": agent.config.planner,
        "gamma": agent.gamma,
        "types": types,
    }
    write_json(
        path,
        facts
        | {
            "against": [r.summary() for r in found],
            "provenance": provenance(run.config.seed + 3),
        },
    )
    return path


def told_types(agent: Agent, run: "Run", names: Sequence[str]) -> Agent:
    """`agent`, its learned model of the others told that they are `names` (one for all seats, or one each).

    Raises ValueError where the model does not tell players apart, or was not taught one of them.
    """
    names = (
        list(names) * (agent.game.num_players - 1)
        if len(names) == 1
        else list(names)
    )
    told = _told(agent, run, names)
    if told is None:
        known = [entry["name"] for entry in run.roster]
        raise ValueError(
            f"types=told against {', '.join(names)}; expected: players that the model was taught ({', '.join(known)}), and a model that "
            f"tells them apart (model.opponent_types=player; here {run.config.model.opponent_types}). Otherwise: types=inferred"
        )
    return dataclasses.replace(agent, opponents=told)


def _told(
    agent: Agent, run: "Run", names: Sequence[str]
) -> OracleOpponents | None:
    """The learned model told that the others are `names`, one each; None where it does not know them by name."""
    roster = [entry["name"] for entry in run.roster]
    model = (
        agent.opponents.model
        if isinstance(agent.opponents, ChangepointOpponents)
        else agent.opponents
    )
    if (
        not isinstance(model, LearnedOpponents)
        or not opponent_types(run.config.model).players
    ):
        return None
    if not set(names) <= set(roster):
        return None
    truth = jnp.asarray([roster.index(name) for name in names])
    return OracleOpponents(model=model, truth=truth)  # pyright: ignore[reportCallIssue]


def improved(agent: Agent, run: "Run", names: Sequence[str]) -> list[Agent]:
    """The agent with the truth put in, one part after another: the others; the game; one more step."""
    players = tuple(make_player(name, agent.game) for name in names)
    rules = tuple(p for p in players if isinstance(p, ScriptedPlayer))
    learned = _told(agent, run, names) or agent.opponents
    true = TruePolicies(
        rules=RuleOpponents(players=rules, game=agent.game),
        types=learned,
        game=agent.game,
    )
    with_others = dataclasses.replace(agent, opponents=true)
    valued: Any = (
        agent.world.learned
        if isinstance(agent.world, TrueModel)
        else agent.world
    )
    world = TrueModel(
        learned=valued,
        game=agent.game,
        limit_ends=run.config.train.at_limit == "zero",
    )
    with_game = dataclasses.replace(with_others, world=world)
    depth = 1 if agent.config.planner == "one_step" else agent.config.depth
    deeper = dataclasses.replace(
        agent.config, planner="expectimax", depth=depth + 1
    )
    return [
        with_others,
        with_game,
        dataclasses.replace(with_game, config=deeper),
    ]


def replan(agent: Agent, log: Episodes, beliefs: Any) -> np.ndarray:
    """[E, T] int32: what `agent` would have done at each logged decision of seat 0, believing what was believed then."""
    action = np.asarray(log.action)[:, :, 0]
    rows, steps = np.nonzero(action != ABSENT)
    obs, legal = (
        np.asarray(log.obs)[rows, steps, 0],
        np.asarray(log.legal)[rows, steps, 0],
    )
    present = np.asarray(log.present)[rows, steps]
    told = isinstance(agent.opponents, TruePolicies) and isinstance(
        agent.opponents.types, OracleOpponents
    )
    believed = None if told else jax.tree.map(lambda x: x[rows, steps], beliefs)
    keys = jax.random.split(jax.random.key(0), len(rows))
    chosen = np.full(action.shape, ABSENT, np.int32)
    chosen[rows, steps] = np.asarray(
        _plan_all(
            agent,
            jnp.asarray(obs),
            jnp.asarray(legal),
            jnp.asarray(present),
            believed,
            keys,
        )
    )
    return chosen


@jax.jit
def _plan_all(
    agent: Agent,
    obs: Array,
    legal: Array,
    present: Array,
    belief: Any,
    keys: Array,
) -> Array:
    def one(at: Any) -> Array:
        obs, legal, present, belief, key = at
        start = agent.opponents.init() if belief is None else belief
        return agent.plan(
            obs, legal, belief=start, present=present, key=key
        ).action

    return jax.lax.map(
        one, (obs, legal, present, belief, keys), batch_size=PLANNING_CHUNK
    )


def describe(
    game: Game,
    best: BestReply,
    decided: Decisions,
    log: Episodes,
    actor_outputs: Any,
    most: int,
) -> list[dict[str, Any]]:
    """The decisions that cost most, as plain data: the board, the agent's scores beside the exact Q*, what was done and what was best."""
    discounts = best.gamma ** np.arange(log.action.shape[1])
    cost = decided.regret(log.action[:, :, 0]) * discounts
    order = np.argsort(-cost, axis=None, kind="stable")[:most]
    found = []
    for row, step in zip(*np.unravel_index(order, cost.shape), strict=True):
        if cost[row, step] <= 0:
            break
        scores = np.asarray(actor_outputs.plan.scores[row, step, 0])
        q = decided.q[row, step]
        found.append(
            {
                "episode": int(row),
                "step": int(step),
                "cost": float(cost[row, step]),
                "text": game.text(log.obs[row, step, 0], 0),
                "picture": game.picture(log.obs[row, step, 0], 0),
                "actions": list(game.action_names),
                "scores": [
                    round(float(x), 5) if np.isfinite(x) else None
                    for x in scores
                ],
                "exact": [
                    round(float(x), 5) if np.isfinite(x) else None for x in q
                ],
                "action": int(log.action[row, step, 0]),
                "best": int(np.nanargmax(np.where(np.isfinite(q), q, np.nan))),
            }
        )
    return found
