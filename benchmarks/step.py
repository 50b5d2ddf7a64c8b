"""The time of a gradient step, and what its matrix products alone would take.

For each phase of the presets `demo` and `full`, with the preset's own game, batches and
optimiser: seconds of one update in the compiled loop of `bestreply.train`, and seconds
of a program that computes the same matrix products and nothing else. The products are
those of the optimised program; those of the optimiser (Muon's iterations) are counted
apart. The rest is divided by the source of each operation in JAX's profile, in which
the operations of two threads overlap. A processor's seconds are given beside those of
the clock, since other work hardly changes them.
"""

import dataclasses
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from benchmarks.hlo import Products, Program, flops
from benchmarks.products import job_of, products_of
from benchmarks.timing import Job, short, take_turns
from benchmarks.timing import table as as_table
from bestreply.config import RunConfig, preset
from bestreply.games import make_game
from bestreply.opponents.labels import label_weights
from bestreply.pipeline import resolve
from bestreply.replay.moa_buffer import BufferState, fill
from bestreply.simulation.lineup import drawn_players, seat_players
from bestreply.simulation.loop import play
from bestreply.training.imagination import imagine_starts
from bestreply.training.loop import (
    OPPONENTS,
    VALUE,
    agent_phases,
    begin_agent,
    beliefs_of,
)
from bestreply.training.phases import Phase, run_updates
from bestreply.training.state import (
    TrainState,
    opponent_networks,
    optimiser,
    trainable,
)

PRESETS = ("demo", "full")
EPISODES = 2000
UPDATES = 25
"""Updates of one compiled block."""
PARTS = {
    "optimiser": ("/optax/", ":apply_gradient"),
    "target network": (":follow",),
    "draws, gathering, symmetries": (
        ":draw_index",
        ":gather",
        ":augmented",
        ":_of_opponents",
        "/random",
        ":n_step_return",
    ),
    "imagined games": (":imagine",),
    "targets": (":value_targets", ":improved_target", ":logged_steps"),
}
"""Parts of a step, by what the functions that an operation comes from are called; the
first that fits."""
OTHER = "networks and losses"
"""The part of all else, forwards and backwards."""


class Setting(NamedTuple):
    """A preset with play and an untrained agent."""

    config: RunConfig
    train_state: TrainState
    buffer: BufferState


def setting(name: str, episodes: int, seed: int = 0) -> Setting:
    """Return a preset, play of its players, and the train state of a seed before training."""
    config = dataclasses.replace(resolve(preset(name)), seed=seed)
    game = make_game(config.game)
    seats = [drawn_players(config)] * game.num_players
    lineup = seat_players(game, seats, episodes, 0)
    logged = play(game, lineup, 0).episodes
    state = begin_agent(config, game, lineup.roster, logged)
    return Setting(config, state, fill(logged))


def data_of(of: Setting, phase: Phase) -> tuple[Any, TrainState]:
    """Return the data that the updates of a phase draw from, and their first state."""
    config, state, buffer = of
    if phase == OPPONENTS:
        weights = label_weights(
            config, state.opponents, buffer.episodes, trained=False
        )
        return (buffer, jax.device_put(weights)), state
    beliefs = beliefs_of(config, state.opponents, buffer.episodes)
    if phase == VALUE:
        games = imagine_starts(
            config.train,
            state.opponents,
            buffer,
            jax.random.key(0),
            config.train.imagined_games,
        )
        state = eqx.tree_at(lambda s: s.imagined_games, state, games)
    return (buffer, beliefs), state


def networks_of(state: TrainState, phase: Phase) -> Any:
    """Return the networks that an update of a phase changes."""
    if phase == OPPONENTS:
        return trainable(opponent_networks(state.opponents))
    net = state.world.value_net if phase == VALUE else state.world
    return trainable(net)


class Update(NamedTuple):
    """The updates of a phase, compiled."""

    block: Callable[[], float]
    """Makes `UPDATES` updates."""
    program: Program
    whole: Products
    """The products of one update, as XLA computes them."""
    of_optimiser: Products


def update_of(of: Setting, phase: Phase) -> Update:
    """Return the compiled updates of a phase, and the products of one."""
    data, state = data_of(of, phase)
    config = dataclasses.replace(of.config, seed=0)
    arguments = data, jax.tree.map(jnp.copy, state), jax.random.key(0)
    first = jnp.int32(0)
    compiled = run_updates.lower(
        config, phase.step, *arguments, first, UPDATES
    ).compile()
    program = Program(compiled.as_text() or "")
    whole = Counter(
        {p: times // UPDATES for p, times in program.products().items()}
    )
    networks = networks_of(state, phase)
    transform = optimiser(config.train, getattr(config.train, phase.counter))
    own = products_of(
        transform.update, networks, transform.init(networks), networks
    )
    current = arguments[1]

    def block() -> float:
        nonlocal current
        current, metrics = compiled(data, current, arguments[2], first)
        jax.block_until_ready(metrics)
        return UPDATES

    return Update(block, program, +whole, own & whole)


def parts_of(update: Update) -> dict[str, float]:
    """Return the seconds of an update by part, summed over threads."""
    seconds: dict[str, float] = defaultdict(float)
    program = update.program
    for name, each in program.seconds(update.block).items():
        held = program.products_in(name)
        part = _part(program.functions(name))
        if (
            part is None
        ):  # XLA's simplification loses the source of some products
            part = "optimiser" if held & update.of_optimiser else OTHER
        seconds[f"{part}, products" if held else part] += each / UPDATES
    return dict(sorted(seconds.items(), key=lambda pair: -pair[1]))


def _part(frames: list[str]) -> str | None:
    """Return the part of a step that an operation with these frames belongs to."""
    for part, marks in PARTS.items():
        if any(mark in frame for frame in frames for mark in marks):
            return part
    return OTHER if frames else None


def jobs_of(update: Update) -> dict[str, Job]:
    """Return the updates and their products as contenders."""
    networks = Counter(update.whole)
    networks.subtract(update.of_optimiser)
    jobs: dict[str, Job] = {"update": update.block}
    jobs["products"] = job_of(update.whole, UPDATES)
    jobs["products of networks"] = job_of(+networks, UPDATES)
    if update.of_optimiser:
        jobs["products of optimiser"] = job_of(update.of_optimiser, UPDATES)
    return jobs


def processor_seconds(job: Job, rounds: int) -> float:
    """Return the median processor seconds of a job's unit, which other work hardly changes."""
    each = []
    for _ in range(rounds):
        begin = time.process_time()
        units = job()
        each.append((time.process_time() - begin) / units)
    return statistics.median(each)


def measured(of: Setting, phase: Phase, quick: bool) -> dict[str, Any]:
    """Return the row of one phase: seconds of an update, of its products, and shares."""
    update = update_of(of, phase)
    jobs, rounds = jobs_of(update), 2 if quick else 7
    rates = take_turns(jobs, rounds=rounds, seconds=0.1 if quick else 1.0)
    processor = {
        name: processor_seconds(job, 2 * rounds) for name, job in jobs.items()
    }
    seconds = {name: 1 / row["per_second"] for name, row in rates.items()}
    return {
        "optimiser": of.config.train.optimiser,
        "seconds": seconds,
        "processor_seconds": processor,
        "rates": rates,
        "products": sum(update.whole.values()),
        "products_of_optimiser": sum(update.of_optimiser.values()),
        "flops": flops(update.whole),
        "flops_of_optimiser": flops(update.of_optimiser),
        "flops_per_second": flops(update.whole) / seconds["products"],
        "share": seconds["products"] / seconds["update"],
        "share_of_processor": processor["products"] / processor["update"],
        "profile": parts_of(update),
    }


def measure(quick: bool) -> dict[str, Any]:
    """Return the rows of all phases of the presets."""
    rows: dict[str, Any] = {}
    for name in PRESETS:
        of = setting(name, EPISODES // 10 if quick else EPISODES)
        for phase in agent_phases(of.config):
            rows[f"{name}, {phase.name}"] = measured(of, phase, quick)
    return {"unit": "seconds of an update", "rows": rows}


def table(found: dict[str, Any]) -> str:
    """Return the tables of the page."""
    columns = [
        "preset, phase",
        "optimiser",
        "update, ms",
        "products alone, ms",
        "share",
        "share of processor seconds",
        "optimiser's products alone, ms",
        "products",
        "GFLOP",
        "GFLOP/s of products",
    ]
    rows = []
    for name, row in found["rows"].items():
        seconds = row["seconds"]
        own = seconds.get("products of optimiser", 0.0)
        rows.append(
            [
                name,
                row["optimiser"],
                short(1e3 * seconds["update"]),
                short(1e3 * seconds["products"]),
                f"{row['share']:.2f}",
                f"{row['share_of_processor']:.2f}",
                short(1e3 * own),
                row["products"],
                f"{row['flops'] / 1e9:.3f}",
                short(row["flops_per_second"] / 1e9),
            ]
        )
    parts = [as_table(columns, rows), "", profile_table(found)]
    return "\n".join(
        [
            "Share: what the matrix products of an update alone would take, relative "
            "to the update.",
            "",
            *parts,
        ]
    )


def profile_table(found: dict[str, Any]) -> str:
    """Return the table of the profile: parts of an update by source."""
    names = dict.fromkeys(
        part for row in found["rows"].values() for part in row["profile"]
    )
    body = [
        [
            name,
            *(
                f"{row['profile'].get(name, 0) / sum(row['profile'].values()):.3f}"
                for row in found["rows"].values()
            ),
        ]
        for name in names
    ]
    heading = ["share of all operations, from the profile", *found["rows"]]
    return as_table(heading, body)
