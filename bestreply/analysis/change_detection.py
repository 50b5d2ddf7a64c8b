"""Others that change their mind: how soon an agent notices, how often it cries wolf, and what not noticing costs.

All of `switching(first, second, step=k)` or `random=n` (every step below n in turn), in every other seat. Three agents with the same models
play the same games: one that is told when the others change, one that expects changes at the run's change rate, and one that does not.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.table import Table

from bestreply.opponents.changepoint import ChangepointOpponents
from bestreply.opponents.opponent_types import opponent_types
from bestreply.opponents.oracle import OracleSwitching
from bestreply.planning.agent import Agent
from bestreply.players.base import ScriptedPlayer
from bestreply.players.scripted import Switching
from bestreply.players.zoo import make_player
from bestreply.simulation.lineup import is_self, seat_players
from bestreply.simulation.loop import PLANNING_CHUNK, play
from bestreply.utils.console import meter
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from bestreply.utils.spec import parse_specs

if TYPE_CHECKING:
    from bestreply.run import Run

CHANGE_RATE = 0.05
"""Of the agent that expects changes, where the run's own expects none."""
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
"""An alarm is raised once P(it is not whom it was) of any other player is at least so much."""
WITHIN = 5
"""Steps after a change by which the agent should have caught up."""


class Games(NamedTuple):
    """Play of one agent, E games of T steps."""

    reward: np.ndarray  # [E, T], the agent's
    changed: (
        np.ndarray | None
    )  # [E, T], P(changed) before each of its steps, of the other most suspected; NaN once it is out
    share: (
        np.ndarray
    )  # [E, T], what it believes of the truth, averaged over the others


class Case(NamedTuple):
    """Who changes into whom, and when."""

    first: ScriptedPlayer
    second: ScriptedPlayer
    steps: tuple[int, ...]


def read_case(run: "Run", text: str) -> Case | None:
    """None for anything but one `switching(...)` for all seats, at a step, between players that the run's model knows apart."""
    specs = parse_specs(text)
    if len(specs) != 1 or is_self(specs[0]):
        return None
    player = make_player(specs[0], run.game, 1)
    known = [entry["name"] for entry in run.roster]
    if (
        not isinstance(player, Switching)
        or not opponent_types(run.config.model).players
    ):
        return None
    if player.first.name not in known or player.second.name not in known:
        return None
    if player.step_at is not None:
        return Case(player.first, player.second, (player.step_at,))
    return (
        None
        if player.random is None
        else Case(player.first, player.second, tuple(range(player.random)))
    )


def measure_changes(
    run: "Run", text: str, episodes: int, seed: int
) -> dict[str, Any] | None:
    """What `changes.json` holds of one opponent set (docs/files.md); None where `read_case` gives None.

    `episodes` for each agent, shared out over the steps at which the others may change. False alarms are counted in as many games in
    which the others stay as they are: half of them `first`, half `second`.
    """
    case = read_case(run, text)
    if case is None:
        return None
    agents = _agents(run, case)
    each = max(episodes // len(case.steps), 1)
    never, total = run.game.max_steps, 0
    games: dict[str, list[Games]] = {name: [] for name in agents}
    calm: list[Games] = []
    with meter(
        f"changes: {text}", (3 * len(case.steps) + 2) * each, "games"
    ) as progress:
        for number, step in enumerate(case.steps):
            for name, agent in agents.items():
                games[name].append(
                    _games(run, agent, case, step, each, seed + number)
                )
                progress.advance(each)
        for number, stays in enumerate((case.first, case.second)):
            still = Case(stays, stays, ())
            calm.append(
                _games(
                    run,
                    agents["expecting"],
                    still,
                    never,
                    max(episodes // 2, 1),
                    seed + number,
                )
            )
            total += len(calm[-1].reward)
            progress.advance(each)
    return {
        "opponents": text,
        "steps": list(case.steps),
        "games": each * len(case.steps),
        "calm_games": total,
        "change_rate": agents["expecting"].opponents.hazard,  # pyright: ignore[reportAttributeAccessIssue]
        "curve": alarm_curve(case.steps, games["expecting"], calm),
        **after_change(case.steps, games),
    }


def _agents(run: "Run", case: Case) -> dict[str, Agent]:
    agent = run.agent(change_rate=run.config.train.change_rate or CHANGE_RATE)
    assert isinstance(agent.opponents, ChangepointOpponents)
    model = agent.opponents.model
    names = [entry["name"] for entry in run.roster]
    others = run.game.num_players - 1
    before, after = (
        jnp.full(others, names.index(p.name)) for p in (case.first, case.second)
    )
    told = OracleSwitching(
        model=model, before=before, after=after, at=jnp.int32(0)
    )  # pyright: ignore[reportCallIssue]
    return {
        "told": dataclasses.replace(agent, opponents=told),
        "expecting": agent,
        "not expecting": run.agent(change_rate=0.0),
    }


def _games(
    run: "Run", agent: Agent, case: Case, step: int, count: int, seed: int
) -> Games:
    """`count` games of `agent` among others that change at `step`."""
    at, name = (
        jnp.int32(step),
        f"{case.first.name} then {case.second.name}",
    )  # an array: one program for every step
    other = Switching(
        first=case.first, second=case.second, step_at=at, name=name
    )
    if isinstance(agent.opponents, OracleSwitching):
        agent = dataclasses.replace(
            agent, opponents=dataclasses.replace(agent.opponents, at=at)
        )
    lineup = seat_players(
        run.game, [agent, *[other] * (run.game.num_players - 1)], count, seed
    )
    played = play(
        run.game, lineup, seed, watch=0, chunk=min(PLANNING_CHUNK, count)
    )
    beliefs = jax.tree.map(
        lambda x: np.asarray(x)[:, :, 0], played.actor_outputs.plan.belief
    )
    model: Any = agent.opponents
    posterior = np.asarray(_each(model.posterior, beliefs))
    names = [entry["name"] for entry in run.roster]
    truth = np.where(
        np.arange(posterior.shape[1]) >= step,
        names.index(case.second.name),
        names.index(case.first.name),
    )
    share = np.take_along_axis(posterior, truth[None, :, None, None], 3)[
        ..., 0
    ].mean(2)
    changed = None
    if isinstance(model, ChangepointOpponents):
        acted = played.episodes.action[:, :, 0] >= 0
        changed = np.where(
            acted, np.asarray(_each(model.changed, beliefs)).max(2), np.nan
        )
    return Games(played.episodes.reward[:, :, 0], changed, share)


def _each(what: Any, beliefs: Any) -> Any:
    return jax.jit(jax.vmap(jax.vmap(what)))(beliefs)


def alarm_curve(
    steps: Sequence[int], games: Sequence[Games], calm: Sequence[Games]
) -> list[dict[str, Any]]:
    """For each threshold: alarms in an episode without a change, and of the changes after which the agent still played, the share that was
    noticed, the mean and the median delay in steps of these, and the share that an alarm had come before.

    A change at step k shows in what is known at step k + 1 for the first time: the least delay is 1.
    """
    rows = []
    for threshold in THRESHOLDS:
        calm_alarms = [
            bool((np.nan_to_num(row) >= threshold).any())
            for g in calm
            for row in _told(g)
        ]
        noticed, early, delays = 0, 0, []
        there = 0
        for step, played in zip(steps, games, strict=True):
            for row in _told(played):
                alarms = np.flatnonzero(np.nan_to_num(row) >= threshold)
                if step + 1 >= len(row) or np.isnan(row[step + 1]):
                    continue
                there += 1
                if len(alarms) and alarms[0] <= step:
                    early += 1
                elif len(alarms):
                    noticed += 1
                    delays.append(int(alarms[0]) - step)
        rows.append(
            {
                "threshold": threshold,
                "false_alarms": float(np.mean(calm_alarms)),
                "noticed": noticed / max(there, 1),
                "early": early / max(there, 1),
                "delay": float(np.mean(delays)) if delays else None,
                "median_delay": float(np.median(delays)) if delays else None,
            }
        )
    return rows


def _told(games: Games) -> np.ndarray:
    assert games.changed is not None
    return games.changed


def after_change(
    steps: Sequence[int], games: dict[str, list[Games]]
) -> dict[str, Any]:
    """Return from the change on of each agent and what it loses to the one that is told, with standard errors over games (which are the
    same for all agents up to the change); reward and belief in the truth, by steps since the change."""
    horizon = max(played.reward.shape[1] for played in games["told"])
    found: dict[str, Any] = {
        "returns": {},
        "lost": {},
        "reward_since": {},
        "belief_since": {},
    }
    returns = {
        name: np.concatenate(
            [
                g.reward[:, step:].sum(1)
                for step, g in zip(steps, played, strict=True)
            ]
        )
        for name, played in games.items()
    }
    for name, each in returns.items():
        found["returns"][name] = _mean(each)
        if name != "told":
            found["lost"][name] = _mean(returns["told"] - each)
        for key, what in (
            ("reward_since", "reward"),
            ("belief_since", "share"),
        ):
            rows = [
                getattr(g, what)[:, step:]
                for step, g in zip(steps, games[name], strict=True)
            ]
            found[key][name] = [
                float(
                    np.concatenate(
                        [r[:, k] for r in rows if r.shape[1] > k]
                    ).mean()
                )
                for k in range(horizon - min(steps))
            ]
    return found


def _mean(values: np.ndarray) -> dict[str, float]:
    return {
        "mean": float(values.mean()),
        "stderr": float(values.std(ddof=1) / len(values) ** 0.5)
        if len(values) > 1
        else float("nan"),
    }


# -- of a run ------------------------------------------------------------------------------------------------------------------


def evaluate_changes(
    run: "Run", opponents: Sequence[str], episodes: int
) -> Path | None:
    """Writes ``changes.json`` into the run directory for the sets of `opponents` that `read_case` can read. Where there are none: None,
    and an earlier file is removed."""
    found = [
        measure_changes(run, text, episodes, run.config.seed + 4)
        for text in opponents
    ]
    found = [one for one in found if one is not None]
    path = run.path / "changes.json"
    if not found:
        path.unlink(missing_ok=True)
        return None
    write_json(
        path, {"against": found, "provenance": provenance(run.config.seed + 4)}
    )
    return path


def changes_table(found: Sequence[dict[str, Any]]) -> Table:
    """Entries of ``changes.json``, for a terminal."""
    table = Table(
        title="others that change their mind",
        caption="Lost: return from the change on, against the same agent told when. Mean ± standard error over games; one training seed.",
    )
    for name in (
        "against",
        "lost, not expecting",
        "lost, expecting",
        "at most 1 % false alarms: noticed",
        "delay",
    ):
        table.add_column(name, justify="left" if name == "against" else "right")
    for one in found:
        quiet = [row for row in one["curve"] if row["false_alarms"] <= 0.01]
        best = max(quiet, key=lambda row: row["noticed"]) if quiet else None
        lost = [
            f"{one['lost'][n]['mean']:.3f} ± {one['lost'][n]['stderr']:.3f}"
            for n in ("not expecting", "expecting")
        ]
        noticed = "-" if best is None else f"{best['noticed']:.0%}"
        delay = (
            "-"
            if best is None or best["delay"] is None
            else f"{best['delay']:.1f} steps"
        )
        table.add_row(one["opponents"], *lost, noticed, delay)
    return table
