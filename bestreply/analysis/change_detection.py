"""Opponents that change their type: delay of detection, false alarms, and the return lost.

All other seats are `switching(first, second, step=k)`, or `random=n` with every step below n in
turn. Three agents with the same models play the same games: one is given the change when it
occurs (`oracle`), one expects changes at the run's change rate (`expecting`), and one assumes
fixed types (`not expecting`).
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
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
from bestreply.utils.seeds import derived_seed
from bestreply.utils.spec import specs_of

if TYPE_CHECKING:
    from bestreply.run import Run

CHANGE_RATE = 0.05
"""Change rate of the agent that expects changes, where the run's own is 0."""
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
"""An alarm is raised once P(changed) of any other player reaches the threshold."""
MAX_FALSE_ALARMS = 0.01
"""Per game, in the table for a terminal."""


class AgentGames(NamedTuple):
    """Play of one agent, `E` games of `T` steps."""

    reward: np.ndarray  # [E, T], the agent's
    changed: np.ndarray | None
    """[E, T], largest P(changed) of any other player before each step; NaN once it is out."""
    share: (
        np.ndarray
    )  # [E, T], its belief in the true type, averaged over other players


class TypeChange(NamedTuple):
    """The types before and after a change, and the steps at which it may occur."""

    first: ScriptedPlayer
    second: ScriptedPlayer
    steps: tuple[int, ...]


def read_type_change(run: "Run", text: str) -> TypeChange | None:
    """Return the change that an opponent set describes.

    Args:
        run: a run; its model must know both types.
        text: an opponent set.

    Returns:
        None for anything but one `switching(...)` for all seats, at a step, between players
        that the run's model distinguishes.
    """
    specs = specs_of(text)
    alone = run.game.num_players == 1
    if alone or len(specs) != 1 or is_self(specs[0]):
        return None
    player = make_player(specs[0], run.game, 1)
    by_player = opponent_types(run.config.model).players
    if not isinstance(player, Switching) or not by_player:
        return None
    names = [entry["name"] for entry in run.roster]
    if player.first.name not in names or player.second.name not in names:
        return None
    if player.step_at is not None:
        return TypeChange(player.first, player.second, (player.step_at,))
    if player.random is not None:
        steps = tuple(range(player.random))
        return TypeChange(player.first, player.second, steps)
    return None


def measure_changes(
    run: "Run", text: str, episodes: int, seed: int
) -> dict[str, Any] | None:
    """Return detection and cost of changes against one opponent set.

    False alarms are counted in as many games in which the types stay: the first type in half
    of them, the second in the other half.

    Args:
        run: a run.
        text: an opponent set.
        episodes: per agent, divided among the steps at which the change may occur.
        seed: of the play.

    Returns:
        An entry of ``changes.json`` (docs/files.md); None where `read_type_change` gives None.
    """
    change = read_type_change(run, text)
    if change is None:
        return None
    agents = _agents(run, change)
    each = max(episodes // len(change.steps), 1)
    half = max(episodes // 2, 1)
    games: dict[str, list[AgentGames]] = {name: [] for name in agents}
    unchanged: list[AgentGames] = []
    total = 3 * len(change.steps) * each + 2 * half
    with meter(f"changes: {text}", total, "games") as progress:
        for number, step in enumerate(change.steps):
            for name, agent in agents.items():
                played = _play(
                    run, agent, change, step, each, derived_seed(seed, number)
                )
                games[name].append(played)
                progress.advance(each)
        for number, player in enumerate((change.first, change.second)):
            fixed = TypeChange(player, player, ())
            never, agent = run.game.max_steps, agents["expecting"]
            played = _play(
                run, agent, fixed, never, half, derived_seed(seed, number)
            )
            unchanged.append(played)
            progress.advance(half)
    return {
        "opponents": text,
        "steps": list(change.steps),
        "games": each * len(change.steps),
        "unchanged_games": sum(len(played.reward) for played in unchanged),
        "change_rate": agents["expecting"].opponents.hazard,  # pyright: ignore[reportAttributeAccessIssue]
        "curve": alarm_curve(change.steps, games["expecting"], unchanged),
        **return_after_change(change.steps, games),
    }


def _agents(run: "Run", change: TypeChange) -> dict[str, Agent]:
    agent = run.agent(change_rate=run.config.train.change_rate or CHANGE_RATE)
    assert isinstance(agent.opponents, ChangepointOpponents)
    oracle = oracle_of_change(agent, run, change)
    return {
        "oracle": oracle,
        "expecting": agent,
        "not expecting": run.agent(change_rate=0.0),
    }


def oracle_of_change(agent: Agent, run: "Run", change: TypeChange) -> Agent:
    """Return an agent that is given every other player's type, before and after the change.

    Args:
        agent: an agent of the run.
        run: a run whose model knows both types.
        change: the types; the step is set where games are played (`OracleSwitching.at`).

    Returns:
        The agent with the types given.
    """
    model = agent.opponents
    if isinstance(model, ChangepointOpponents):
        model = model.model
    names = [entry["name"] for entry in run.roster]
    others = run.game.num_players - 1
    before = jnp.full(others, names.index(change.first.name))
    after = jnp.full(others, names.index(change.second.name))
    oracle = OracleSwitching(  # pyright: ignore[reportCallIssue]
        model=model,  # pyright: ignore[reportArgumentType]
        before=before,
        after=after,
        at=jnp.int32(0),
    )
    return dataclasses.replace(agent, opponents=oracle)


def _play(
    run: "Run",
    agent: Agent,
    change: TypeChange,
    step: int,
    count: int,
    seed: int,
) -> AgentGames:
    """Play `count` games of `agent` with other players that change at `step`."""
    at = jnp.int32(step)  # an array, so that one program serves every step
    other = Switching(
        first=change.first,
        second=change.second,
        step_at=at,
        name=f"{change.first.name} then {change.second.name}",
    )
    model: Any = agent.opponents
    if isinstance(model, OracleSwitching):
        model = dataclasses.replace(model, at=at)
        agent = dataclasses.replace(agent, opponents=model)
    players = [agent, *[other] * (run.game.num_players - 1)]
    lineup = seat_players(run.game, players, count, seed)
    chunk = min(PLANNING_CHUNK, count)
    played = play(run.game, lineup, seed, watch=0, chunk=chunk)
    beliefs = jax.tree.map(
        lambda x: np.asarray(x)[:, :, 0], played.actor_outputs.plan.belief
    )
    posterior = np.asarray(_at_every_step(model.posterior, beliefs))
    names = [entry["name"] for entry in run.roster]
    before, after = (
        names.index(player.name) for player in (change.first, change.second)
    )
    steps = np.arange(posterior.shape[1])
    truth = np.where(steps >= step, after, before)
    share = np.take_along_axis(posterior, truth[None, :, None, None], 3)
    changed = None
    if isinstance(model, ChangepointOpponents):
        acted = played.episodes.action[:, :, 0] >= 0
        each = _at_every_step(model.change_probability, beliefs)
        largest = np.asarray(each).max(2)
        changed = np.where(acted, largest, np.nan)
    reward = played.episodes.reward[:, :, 0]
    return AgentGames(reward, changed, share[..., 0].mean(2))


def _at_every_step(function: Any, beliefs: Any) -> Any:
    return jax.jit(jax.vmap(jax.vmap(function)))(beliefs)


def alarm_curve(
    steps: Sequence[int],
    games: Sequence[AgentGames],
    unchanged: Sequence[AgentGames],
) -> list[dict[str, float | None]]:
    """Return false alarms, detections and delays by threshold.

    A change at step k has its first effect on what is observed at step k + 1, so the smallest
    delay is 1.

    Args:
        steps: of the changes.
        games: of each change.
        unchanged: games without a change.

    Returns:
        For each of `THRESHOLDS`: `false_alarms`, the share of unchanged games with an alarm;
        and of the changes after which the agent still played, the share `noticed`, its mean
        and median delay in steps, and the share with an alarm before (`early`).
    """
    calm = [row for g in unchanged for row in _changed(g)]
    played = [
        (step, row)
        for step, g in zip(steps, games, strict=True)
        for row in _changed(g)
    ]
    return [_alarms(threshold, played, calm) for threshold in THRESHOLDS]


def _alarms(
    threshold: float,
    played: Sequence[tuple[int, np.ndarray]],
    unchanged: Sequence[np.ndarray],
) -> dict[str, float | None]:
    false_alarms = [bool((row >= threshold).any()) for row in unchanged]
    early, count, delays = 0, 0, []
    for step, row in played:
        if step + 1 >= len(row) or np.isnan(row[step + 1]):
            continue
        count += 1
        alarms = np.flatnonzero(row >= threshold)
        if len(alarms) and alarms[0] <= step:
            early += 1
        elif len(alarms):
            delays.append(int(alarms[0]) - step)
    return {
        "threshold": threshold,
        "false_alarms": float(np.mean(false_alarms)),
        "noticed": len(delays) / max(count, 1),
        "early": early / max(count, 1),
        "delay": float(np.mean(delays)) if delays else None,
        "median_delay": float(np.median(delays)) if delays else None,
    }


def _changed(games: AgentGames) -> np.ndarray:
    assert games.changed is not None
    return games.changed


def return_after_change(
    steps: Sequence[int], games: dict[str, list[AgentGames]]
) -> dict[str, Any]:
    """Return the return of each agent from the change on, and the loss relative to the oracle.

    Args:
        steps: of the changes.
        games: by agent, those of each change. All agents' games are the same up to it.

    Returns:
        `returns` and `lost` with standard errors over games; `reward_since` and
        `belief_since`, reward and belief in the true type by steps since the change.
    """
    horizon = max(played.reward.shape[1] for played in games["oracle"])
    counts = range(horizon - min(steps))
    returns, rewards, beliefs = {}, {}, {}
    for name, played in games.items():
        pairs = list(zip(steps, played, strict=True))
        reward = [g.reward[:, step:] for step, g in pairs]
        share = [g.share[:, step:] for step, g in pairs]
        returns[name] = np.concatenate([r.sum(1) for r in reward])
        rewards[name] = [_mean_at(reward, k) for k in counts]
        beliefs[name] = [_mean_at(share, k) for k in counts]
    oracle = returns["oracle"]
    return {
        "returns": {name: _mean(each) for name, each in returns.items()},
        "lost": {
            name: _mean(oracle - each)
            for name, each in returns.items()
            if name != "oracle"
        },
        "reward_since": rewards,
        "belief_since": beliefs,
    }


def _mean_at(rows: Sequence[np.ndarray], k: int) -> float:
    """Return the mean over all games that reach step `k` after the change."""
    reached = [r[:, k] for r in rows if r.shape[1] > k]
    return float(np.concatenate(reached).mean())


def _mean(values: Float[np.ndarray, " games"]) -> dict[str, float]:
    stderr = float("nan")
    if len(values) > 1:
        stderr = float(values.std(ddof=1) / len(values) ** 0.5)
    return {"mean": float(values.mean()), "stderr": stderr}


# -- of a run --------------------------------------------------------------------------


def evaluate_changes(
    run: "Run", opponents: Sequence[str], episodes: int
) -> Path | None:
    """Write ``changes.json`` into the run directory, for the opponent sets that change.

    Args:
        run: a run.
        opponents: opponent sets; those that `read_type_change` cannot read are skipped.
        episodes: per agent and opponent set.

    Returns:
        The path. None if no set changes; an earlier file is then removed.
    """
    seed = derived_seed(run.config.seed, 4)
    measured = [
        measure_changes(run, text, episodes, seed) for text in opponents
    ]
    entries = [entry for entry in measured if entry is not None]
    path = run.path / "changes.json"
    if not entries:
        path.unlink(missing_ok=True)
        return None
    write_json(path, {"against": entries, "provenance": provenance(seed)})
    return path


def changes_table(entries: Sequence[dict[str, Any]]) -> Table:
    """Return the table of ``changes.json`` for a terminal.

    Args:
        entries: its opponent sets.

    Returns:
        A table with a row for each.
    """
    table = Table(
        title="opponents that change their type",
        caption="Lost: return from the change on, relative to the same agent with the types "
        "given. Mean ± standard error over games; one training seed.",
    )
    for name in (
        "against",
        "lost, not expecting",
        "lost, expecting",
        f"at most {MAX_FALSE_ALARMS:.0%} false alarms: noticed",
        "delay",
    ):
        table.add_column(name, justify="left" if name == "against" else "right")
    for entry in entries:
        table.add_row(entry["opponents"], *_cells(entry))
    return table


def _cells(entry: dict[str, Any]) -> list[str]:
    lost = [entry["lost"][name] for name in ("not expecting", "expecting")]
    cells = [f"{x['mean']:.3f} ± {x['stderr']:.3f}" for x in lost]
    rows = [
        row for row in entry["curve"] if row["false_alarms"] <= MAX_FALSE_ALARMS
    ]
    if not rows:
        return [*cells, "-", "-"]
    best = max(rows, key=lambda row: row["noticed"])
    delay = "-" if best["delay"] is None else f"{best['delay']:.1f} steps"
    return [*cells, f"{best['noticed']:.0%}", delay]
