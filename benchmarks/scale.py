"""How training, collection and decisions scale with batch, players, board and belief.

One size changes at a time from those of `BASE`; networks and optimiser are those of the
preset `demo` with AdamW. The time of one unit (an update of the world model, a joint
step of collection, a decision among a batch of them) against the size is fitted by a
power: least squares on logarithms, with the 95 % interval of Student's t. An interval
says how well a power describes the curve, not how precise the times are.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import stdtrit

from benchmarks import setting
from benchmarks.chart_file import as_file
from benchmarks.planning import plan_many
from benchmarks.timing import Job, short, take_turns
from benchmarks.timing import table as as_table
from bestreply.config import RunConfig
from bestreply.games import make_game
from bestreply.games.base import Game
from bestreply.planning.agent import Agent
from bestreply.replay.moa_buffer import fill
from bestreply.report.line_charts import Curve, line_chart, line_style
from bestreply.simulation.lineup import Lineup, drawn_players, seat_players
from bestreply.simulation.loop import play
from bestreply.training.loop import WORLD, beliefs_of
from bestreply.training.phases import run_updates
from bestreply.training.state import TrainState, initial_train_state, set_units
from bestreply.types import Episodes

UPDATES = 10
LOGGED = 256
"""Episodes of the data."""


class Size(NamedTuple):
    """What changes from one point of a curve to the next."""

    batch: int = 128
    """Windows and steps of an update, matches of collection, observations of decisions."""
    players: int = 4
    board: int = 16
    """Cells."""
    belief: int = 3
    """Types that the belief about each opponent is over; value heads as many."""


BASE = Size()
SIZES = {
    "batch": (32, 128, 512, 2048),
    "players": (2, 4, 8),
    "board": (16, 36, 64, 144),
    "belief": (3, 6, 12, 24),
}
KINDS = {
    "update": ("batch", "players", "board", "belief"),
    "collected step": ("batch", "players", "board"),
    "decision": ("batch", "players", "board", "belief"),
}
"""The sizes that each unit depends on."""


class World(NamedTuple):
    """Game, play and an untrained agent of one size."""

    config: RunConfig
    game: Game
    lineup: Lineup
    episodes: Episodes
    state: TrainState


def world_of(size: Size) -> World:
    """Return the game of a size, logged play, and an agent."""
    side = round(size.board**0.5)
    config = setting.config()
    game = make_game(
        f"stag_hunt(height={side}, width={side}, hunters={size.players}, stags=1, "
        "hares=2, max_steps=15)"
    )
    train = dataclasses.replace(
        config.train, batch=size.batch, value_batch=size.batch
    )
    config = dataclasses.replace(config, train=train)
    lineup = seat_players(
        game, [drawn_players(config)] * game.num_players, LOGGED, 0
    )
    episodes = play(game, lineup, 0).episodes
    further = [
        {"name": f"player_{k}", "version": 1}
        for k in range(len(lineup.pool), size.belief)
    ]
    state = initial_train_state(config, game, [*lineup.roster, *further])
    return World(
        config, game, lineup, episodes, set_units(state, config, episodes)
    )


def update_job(of: World, size: Size) -> Job:
    """Return a job whose unit is an update of the world model."""
    buffer = fill(of.episodes)
    data = buffer, beliefs_of(of.config, of.state.opponents, buffer.episodes)
    state = jax.tree.map(jnp.copy, of.state)
    key, first = jax.random.key(0), jnp.int32(0)

    def job() -> float:
        nonlocal state
        state, metrics = run_updates(
            of.config, WORLD.step, data, state, key, first, UPDATES
        )
        jax.block_until_ready(metrics)
        return UPDATES

    return job


def collect_job(of: World, size: Size) -> Job:
    """Return a job whose unit is a joint step of play, with all observations."""
    seats = [drawn_players(of.config)] * of.game.num_players
    lineup = seat_players(of.game, seats, size.batch, 0)

    def job() -> float:
        played = play(of.game, lineup, 0, chunk=size.batch)
        return float(played.episodes.length.sum())

    return job


def decision_job(of: World, size: Size) -> Job:
    """Return a job whose unit is a decision, among a batch of them."""
    agent = Agent(
        world=of.state.world,
        opponents=of.state.opponents,
        game=of.game,
        config=of.config.planner,
        gamma=of.config.train.gamma,
    )
    rows = np.arange(size.batch)
    episode, seat = rows % LOGGED, rows % of.game.num_players
    obs = jax.device_put(of.episodes.obs[episode, 0, seat])
    legal = jax.device_put(of.episodes.legal[episode, 0, seat])

    def job() -> float:
        jax.block_until_ready(plan_many(agent, obs, legal))
        return size.batch

    return job


JOBS: dict[str, Callable[[World, Size], Job]] = {
    "update": update_job,
    "collected step": collect_job,
    "decision": decision_job,
}


def fitted(sizes: list[float], seconds: list[float]) -> dict[str, float]:
    """Return the power of the size that the time grows with, and half of its interval.

    Args:
        sizes: at least 3 different ones.
        seconds: of one unit at each.
    """
    x, y = np.log(sizes), np.log(seconds)
    x, y = x - x.mean(), y - y.mean()
    power = float(x @ y / (x @ x))
    rest = y - power * x
    free = len(x) - 2
    error = (rest @ rest / free / (x @ x)) ** 0.5
    half = float(stdtrit(free, 0.975) * error)
    return {"power": power, "half": half}


def measure(quick: bool) -> dict[str, Any]:
    """Return times of all units at all sizes, with the powers that fit."""
    rounds, seconds = (1, 0.01) if quick else (5, 0.3)
    known: dict[tuple[str, Size], dict[str, float]] = {}
    curves: dict[str, Any] = {}
    for axis, values in SIZES.items():
        values = values[:3] if quick else values
        kinds = [kind for kind, axes in KINDS.items() if axis in axes]
        for value in values:
            size = BASE._replace(**{axis: value})
            missing = [kind for kind in kinds if (kind, size) not in known]
            of = world_of(size) if missing else None
            jobs = {kind: JOBS[kind](of, size) for kind in missing if of}
            rates = take_turns(jobs, rounds=rounds, seconds=seconds)
            known |= {(kind, size): row for kind, row in rates.items()}
        for kind in kinds:
            rows = [
                known[kind, BASE._replace(**{axis: value})] for value in values
            ]
            times = [
                _of_batch(kind, axis, value) / row["per_second"]
                for value, row in zip(values, rows, strict=True)
            ]
            curves[f"{kind}, {axis}"] = {
                "sizes": list(values),
                "seconds": times,
                "rates": rows,
                **fitted([*map(float, values)], times),
            }
    return {"unit": "seconds", "base": BASE._asdict(), "rows": curves}


def _of_batch(kind: str, axis: str, value: int) -> int:
    """Return the units whose time is shown: of a whole batch, where the batch changes."""
    return value if axis == "batch" and kind != "update" else 1


def charts(found: dict[str, Any]) -> dict[str, str]:
    """Return an SVG file for each size: time relative to the smallest size."""
    files = {}
    for axis in SIZES:
        lines = []
        for name, row in found["rows"].items():
            kind, of_axis = name.split(", ")
            if of_axis != axis:
                continue
            times = np.array(row["seconds"]) / row["seconds"][0]
            sizes = np.array(row["sizes"], float)
            style = line_style(list(KINDS).index(kind))
            lines.append(Curve(kind, style, sizes, times))
        label = f"time relative to the smallest {axis}, against {axis}"
        figure = line_chart(lines, label, names=True, log=True)
        files[f"scale_{axis}.svg"] = as_file(figure)
    return files


def table(found: dict[str, Any]) -> str:
    """Return charts, rates and powers for the page."""
    base = ", ".join(f"{name} {value}" for name, value in found["base"].items())
    columns = ["unit", "against", "sizes", "rate a second", "power of the time"]
    body = []
    for name, row in found["rows"].items():
        kind, axis = name.split(", ")
        body.append(
            [
                kind,
                axis,
                ", ".join(map(str, row["sizes"])),
                ", ".join(short(r["per_second"]) for r in row["rates"]),
                f"{row['power']:.2f} ± {row['half']:.2f}",
            ]
        )
    pictures = [
        f"![Time relative to the smallest {axis}, against {axis}, logarithmic "
        f"axes](scale_{axis}.svg)"
        for axis in SIZES
    ]
    return "\n".join(
        [
            f"One size changes at a time, from: {base} (board in cells, belief in types). "
            "Against the batch, the time is that of the whole batch; otherwise that of "
            "one unit. Power: least squares on logarithms, 95 % interval.",
            "",
            as_table(columns, body),
            "",
            *pictures,
        ]
    )
