"""Regret, decomposed: how much of the best possible return each part of an agent loses.

At every decision of the agent, against players with known distributions, five actions are
compared by the exact Q*:

    a_0  the agent's own
    a_1  its planner's, with the true policies (and types) of the other players in place of the
         opponent model
    a_2  the same, with the true game in place of the learned dynamics, reward and continuation
    a_3  the same, with one more step of planning
    a_4  the best reply's

With rho_k = V* - Q*(a_k), the lost return E[V*(s_0)] - E[sum_t gamma^t r_t] is
E[sum_t gamma^t rho_0]. It is the sum of four parts: rho_0 - rho_1 (opponent model),
rho_1 - rho_2 (dynamics and reward), rho_2 - rho_3 (planning depth) and rho_3 (value function).
A part is negative where two errors compensate. Where the agent stays close to a player of
its data (`bestreply.models.anchors`), it does so in a_1 to a_3 as well. Where it follows values
of joint actions (`bestreply.models.joint_values`), a_2 and a_3 take their V(o, b) in the true
game, so that errors of Q beyond those of V count as dynamics.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from bestreply import exact
from bestreply.analysis.trajectories import finite_numbers
from bestreply.exact import BestReply, Decisions
from bestreply.games.base import Game
from bestreply.games.grid import GridGame
from bestreply.games.recorded import check_playable
from bestreply.games.sizes import checked_episodes
from bestreply.models.true_model import TrueModel, shows_state
from bestreply.opponents.base import OpponentModel
from bestreply.opponents.changepoint import ChangepointOpponents
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.opponent_types import opponent_types
from bestreply.opponents.oracle import OracleOpponents, TruePolicies
from bestreply.opponents.rules import RuleOpponents
from bestreply.opponents.tables import TableOpponents
from bestreply.planning.agent import Agent
from bestreply.players.base import ScriptedPlayer
from bestreply.players.zoo import NAMES as PLAYER_NAMES
from bestreply.players.zoo import make_player
from bestreply.simulation.lineup import (
    ALONE,
    distinct_sets,
    fill_seats,
    seat_players,
)
from bestreply.simulation.loop import PLANNING_CHUNK, Played, play
from bestreply.types import ABSENT, Array, Episodes
from bestreply.utils.console import meter
from bestreply.utils.files import write_json
from bestreply.utils.names import vet_all
from bestreply.utils.provenance import provenance
from bestreply.utils.seeds import derived_seed
from bestreply.utils.spec import parse_roles, parse_specs

if TYPE_CHECKING:
    from bestreply.run import Run

PARTS = ("others", "dynamics", "depth", "value")
"""The parts of an agent in the order in which they are replaced by the truth: opponent model,
dynamics and reward, planning depth, value function."""


@dataclasses.dataclass(frozen=True)
class Regret:
    """The regret of one agent against one opponent set, by episode."""

    opponents: str
    best: (
        np.ndarray
    )  # [E], V*(s_0): the best reply's return from this first state
    parts: np.ndarray  # [E, 4], discounted return lost by each of `PARTS`
    returns: np.ndarray  # [E], undiscounted, as played
    costliest: list[dict[str, Any]]
    """Decisions as plain data, by descending cost."""

    @property
    def share(self) -> float | None:
        """The expected fraction of the best reply's return; None where that is not positive."""
        best = self.best.mean()
        return float(1 - self.parts.sum(1).mean() / best) if best > 0 else None

    def summary(self) -> dict[str, Any]:
        """Return means and standard errors over episodes as plain data.

        Returns:
            An entry of ``regret.json`` (docs/files.md); None where a number is undefined:
            errors of a single episode, shares of a best reply that earns nothing.
        """
        lost, best, share = self.parts.sum(1), self.best.mean(), self.share
        stderr, *errors = _stderr(np.column_stack([lost, self.parts]))
        relative = None if share is None or stderr is None else stderr / best
        by_part = self.parts.mean(0).tolist()
        return {
            "opponents": self.opponents,
            "episodes": len(self.best),
            "best": float(best),
            "lost": float(lost.mean()),
            "lost_stderr": stderr,
            "share": share,
            "share_stderr": None if relative is None else float(relative),
            "return": float(self.returns.mean()),
            "parts": dict(zip(PARTS, by_part, strict=True)),
            "parts_stderr": dict(zip(PARTS, errors, strict=True)),
            "costliest": self.costliest,
        }


def _stderr(values: np.ndarray) -> list[float | None]:
    """Return the standard error of the mean of each column; None for a single row."""
    if len(values) < 2:
        return [None] * values.shape[1]
    return (values.std(0) / (len(values) - 1) ** 0.5).tolist()


def decompose_regret(
    run: "Run",
    others: Sequence[str],
    *,
    agent: Agent | None = None,
    episodes: int = 256,
    seed: int = 0,
    max_decisions: int = 8,
) -> Regret:
    """Play a run's agent against `others` and return the parts of its regret.

    Args:
        run: a run.
        others: one name for all other seats, or one each.
        agent: another agent of this run; by default the run's own.
        episodes: to play.
        seed: of the play.
        max_decisions: the number of costliest decisions to describe.

    Returns:
        The regret, by episode and part.

    Raises:
        ValueError: the game or the players have no exact solution, or the game's observation
            does not contain its state.
    """
    check_shows_state(run.game)
    episodes = checked_episodes(episodes, run.game.num_players)
    game, agent = run.game, agent or run.agent()
    names = _one_each(others, game)
    corrected_by_part = corrected_agents(agent, run, names)
    # The layouts of a grid game set the reply's `value`, which is not read.
    layouts: dict[str, Any] = (
        {"layouts": 1} if isinstance(game, GridGame) else {}
    )
    best = exact.best_reply(game, 0, names, gamma=agent.gamma, **layouts)
    lineup = seat_players(game, [agent, *names], episodes, seed)
    steps = episodes * game.max_steps
    with meter(f"diagnose: {', '.join(others)}", steps, "steps") as progress:
        played = play(
            game, lineup, seed, watch=0, chunk=PLANNING_CHUNK, progress=progress
        )
    log = played.episodes
    decisions = best.decisions(log)
    beliefs = jax.tree.map(
        lambda x: np.asarray(x)[:, :, 0], played.actor_outputs.plan.belief
    )
    actions = [log.action[:, :, 0]]
    for corrected in corrected_by_part:
        actions.append(planned_actions(corrected, log, beliefs))
    lost = np.stack([decisions.lost(a, agent.gamma) for a in actions], 1)
    parts = np.append(lost[:, :-1] - lost[:, 1:], lost[:, -1:], 1)
    return Regret(
        opponents=", ".join(others) if names else ALONE,
        best=decisions.value[:, 0],
        parts=parts,
        returns=log.reward[:, :, 0].sum(1),
        costliest=costliest_decisions(
            game, best, decisions, played, max_decisions
        ),
    )


def check_shows_state(game: Game) -> None:
    """Refuse a game in which decisions cannot be planned again in the true game.

    Args:
        game: the game.

    Raises:
        ValueError: its observations do not show its state.
    """
    if not shows_state(game):
        raise ValueError(
            f"diagnose: no exact regret for {game.name}, because its observations do "
            "not show its state: expected a game with `state_in`. Returns are measured "
            "in any game: bestreply evaluate RUN, then bestreply report RUN"
        )


def _one_each(names: Sequence[str], game: Game) -> list[str]:
    return list(names) * (game.num_players - 1 if len(names) == 1 else 1)


def diagnose_run(
    run: "Run",
    opponents: Sequence[str] = (),
    episodes: int = 256,
    *,
    planner: str | None = None,
    types: str = "inferred",
) -> Path:
    """Write ``regret.json`` into the run directory: the regret against each opponent set.

    Args:
        run: a run.
        opponents: opponent sets; by default every player that made the data.
        episodes: per opponent set.
        planner: of the agent; by default the configuration's.
        types: "inferred": the agent infers the opponents' types from play; "true": it is
            given them.

    Returns:
        The path (docs/files.md).

    Raises:
        ValueError: as `decompose_regret` and `with_true_types`.
    """
    check_playable(run.game, "best replies cannot be solved in it")
    check_shows_state(run.game)
    sets = opponents or tuple(str(entry["name"]) for entry in run.roster)
    if not opponents:
        named = [("player", text) for text in sets]
        vet_all({"player": PLAYER_NAMES}, named, run.trust)
    agent, seed = run.agent(planner), derived_seed(run.config.seed, 3)
    entries = []
    for text in distinct_sets(run.game, sets):
        of_roles = parse_roles(text) and fill_seats(run.game, text)
        specs = of_roles or parse_specs(text)
        names = list(map(str, specs))
        player = (
            with_true_types(agent, run, names) if types == "true" else agent
        )
        regret = decompose_regret(
            run, names, agent=player, episodes=episodes, seed=seed
        )
        entries.append(regret.summary())
    document = {
        "planner": agent.config.planner,
        "gamma": agent.gamma,
        "types": types,
        "against": entries,
        "provenance": provenance(seed),
    }
    path = run.path / "regret.json"
    write_json(path, document)
    return path


def with_true_types(agent: Agent, run: "Run", names: Sequence[str]) -> Agent:
    """Return `agent` with its learned opponent model given the true types.

    Args:
        agent: an agent of the run.
        run: a run.
        names: of the other players, one for all seats or one each.

    Returns:
        The agent with the types given.

    Raises:
        ValueError: the model does not distinguish players, or was not trained on one of them.
    """
    names = _one_each(names, agent.game)
    oracle = _oracle(agent, run, names)
    if oracle is None:
        known = ", ".join(entry["name"] for entry in run.roster)
        raise ValueError(
            f"types=true against {', '.join(names)}: expected players that the model was trained "
            f"on ({known}), and a model that distinguishes them (model.opponent_types=player; this "
            f"run's is {run.config.model.opponent_types}). Otherwise use types=inferred"
        )
    return dataclasses.replace(agent, opponents=oracle)


def distinguishes_players(agent: Agent, run: "Run") -> bool:
    """Return whether the types of the agent's opponent model are players of the data.

    Args:
        agent: an agent of the run.
        run: a run.
    """
    return _model_of_players(agent, run) is not None


def _model_of_players(
    agent: Agent, run: "Run"
) -> LearnedOpponents | TableOpponents | None:
    model = agent.opponents
    if isinstance(model, ChangepointOpponents):
        model = model.model
    by_player = opponent_types(run.config.model).players
    if isinstance(model, LearnedOpponents | TableOpponents) and by_player:
        return model
    return None


def _oracle(
    agent: Agent, run: "Run", names: Sequence[str]
) -> OpponentModel | None:
    """Return the model with the types given; None where it has no such types."""
    roster = [entry["name"] for entry in run.roster]
    model = _model_of_players(agent, run)
    if model is None or not set(names) <= set(roster):
        return None
    truth = jnp.asarray([roster.index(name) for name in names])
    if isinstance(model, TableOpponents):
        return model.given(truth)
    return OracleOpponents(model=model, truth=truth)  # pyright: ignore[reportCallIssue]


def corrected_agents(
    agent: Agent, run: "Run", names: Sequence[str]
) -> list[Agent]:
    """Return the agent with its parts replaced by the truth, one after another.

    Args:
        agent: an agent of the run.
        run: a run.
        names: of the other players, one each.

    Returns:
        Three agents: with the true policies; with the true game too; with one more step of
        planning too.
    """
    players = tuple(make_player(name, agent.game) for name in names)
    scripted = tuple(p for p in players if isinstance(p, ScriptedPlayer))
    policies = TruePolicies(
        rules=RuleOpponents(players=scripted, game=agent.game),
        types=_oracle(agent, run, names) or agent.opponents,
        game=agent.game,
    )
    with_policies = dataclasses.replace(agent, opponents=policies)
    learned: Any = agent.world
    if isinstance(learned, TrueModel):
        learned = learned.learned
    limit_ends = run.config.train.at_limit == "zero"
    world = TrueModel(learned=learned, game=agent.game, limit_ends=limit_ends)
    with_game = dataclasses.replace(with_policies, world=world)
    depth = 1 if agent.config.planner == "one_step" else agent.config.depth
    deeper = dataclasses.replace(
        agent.config, planner="expectimax", depth=depth + 1
    )
    with_depth = dataclasses.replace(with_game, config=deeper)
    return [with_policies, with_game, with_depth]


def planned_actions(agent: Agent, log: Episodes, beliefs: PyTree) -> np.ndarray:
    """Return the actions that `agent` plans at each logged decision of seat 0.

    Args:
        agent: an agent.
        log: logged play.
        beliefs: leaves [E, T, ...], the beliefs at the decisions.

    Returns:
        [E, T] int32, ABSENT where the seat did not act.
    """
    action = np.asarray(log.action)[:, :, 0]
    rows, steps = np.nonzero(action != ABSENT)
    model = agent.opponents
    if isinstance(model, TruePolicies) and isinstance(
        model.types, OracleOpponents
    ):
        believed = None  # the types are given
    else:
        believed = jax.tree.map(lambda x: x[rows, steps], beliefs)
        if isinstance(model, TruePolicies) and isinstance(
            model.types, TableOpponents
        ):
            believed = jax.vmap(model.types.after_history)(believed)
    planned = _plan_all(
        agent,
        jnp.asarray(np.asarray(log.obs)[rows, steps, 0]),
        jnp.asarray(np.asarray(log.legal)[rows, steps, 0]),
        jnp.asarray(np.asarray(log.present)[rows, steps]),
        believed,
        jax.random.split(jax.random.key(0), len(rows)),
    )
    actions = np.full(action.shape, ABSENT, np.int32)
    actions[rows, steps] = np.asarray(planned)
    return actions


@jax.jit
def _plan_all(
    agent: Agent,
    obs: Array,
    legal: Array,
    present: Array,
    belief: PyTree,
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


def costliest_decisions(
    game: Game,
    best: BestReply,
    decisions: Decisions,
    played: Played,
    count: int,
) -> list[dict[str, Any]]:
    """Return the decisions of seat 0 with the largest discounted regret, as plain data.

    Args:
        game: the game.
        best: the best reply.
        decisions: its values of the play.
        played: play with the agent's plans.
        count: the largest number of decisions.

    Returns:
        For each decision the board, the agent's scores and exact Q*, and the chosen and the
        best action.
    """
    log, plan = played.episodes, played.actor_outputs.plan
    discounts = best.gamma ** np.arange(log.action.shape[1])
    cost = decisions.regret(log.action[:, :, 0]) * discounts
    order = np.argsort(-cost, axis=None, kind="stable")[:count]
    entries = []
    for row, step in zip(*np.unravel_index(order, cost.shape), strict=True):
        if cost[row, step] <= 0:
            break
        q = decisions.q[row, step]
        obs = log.obs[row, step, 0]
        entries.append(
            {
                "episode": int(row),
                "step": int(step),
                "cost": float(cost[row, step]),
                "text": game.text(obs, 0),
                "picture": game.picture(obs, 0),
                "actions": list(game.action_names),
                "scores": finite_numbers(np.asarray(plan.scores[row, step, 0])),
                "exact": finite_numbers(q),
                "action": int(log.action[row, step, 0]),
                "best": int(np.nanargmax(np.where(np.isfinite(q), q, np.nan))),
            }
        )
    return entries
