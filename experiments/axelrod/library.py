"""The library's opponent models beside strategies of the package `axelrod`."""

import json
from typing import Any

import numpy as np

from benchmarks.timing import table
from bestreply import make_game
from bestreply.exact import best_reply
from bestreply.pipeline import learn
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.sweeps.sweep import read_sweep
from bestreply.utils.files import write_json, write_text
from bestreply.utils.provenance import provenance
from experiments.axelrod.measure import OUT, RUNS
from experiments.axelrod.strategies import MODULE, STRATEGIES
from experiments.axelrod.text import spread

SWEEP, ROWS = OUT / "library.toml", OUT / "library.json"
ROUNDS, EPISODES, GAMES, SEEDS = 20, 1500, 1000, 3
"""Rounds of a game; games in the data; games of the agent, a twelfth of them beside each
strategy on average; training seeds."""
GAME = f"matrix(table=prisoners_dilemma, rounds={ROUNDS}, memory=1)"
PLAYERS = tuple(f"{MODULE}:strategy({name})" for name in STRATEGIES)
MIXTURE = f"mixture({', '.join(PLAYERS)})"
MODELS = ("tables", "types", "recurrent")
"""Values of `model.opponents` that are compared."""


def sweep_file(seeds: int) -> str:
    """Return the sweep as TOML.

    Args:
        seeds: number of training seeds.
    """
    listed = ",\n    ".join(f'"{player}"' for player in PLAYERS)
    methods = "\n".join(f'{m} = {{model.opponents = "{m}"}}' for m in MODELS)
    return f"""# Opponent models of the library beside twelve strategies of the package axelrod.
#     python -m experiments axelrod library
seeds = {seeds}

[games]
dilemma = "{GAME}"

[config.collect]
players = [
    {listed},
]
episodes = {EPISODES}

[config.model]
latent = 16
width = 32
depth = 1

[config.train]
gamma = 1.0
opponent_updates = 1000
opponent_batch = 256
history_updates = 1000
updates = 1000
batch = 256
anchor_updates = 0

[config.planner]
planner = "expectimax"
world = "true"
depth = 3
symmetry_averages = 1

[config.evaluate]
methods = ["agent"]
opponents = [
    {listed},
    "{MIXTURE}",
]
episodes = 100
reference_layouts = 0
changes = false

[methods]
{methods}
"""


def run(seeds: int = SEEDS) -> None:
    """Train the units of the sweep, and write what each earns beside each strategy.

    One line-up of all strategies is played in place of the sweep's own evaluation, whose
    opponent sets would be a program each.

    Args:
        seeds: number of training seeds.
    """
    write_text(SWEEP, sweep_file(seeds))
    exact, rows = exact_rewards(), []
    for unit in read_sweep(SWEEP, RUNS / "library").units:
        model, seed = unit.config.model.opponents, unit.config.seed
        trained = learn(unit.config, unit.path, unit.data, resume=True)
        each = mean_rewards(trained.agent(), seed)
        rows.append({"model": model, "seed": seed, "mean": each})
        found = {"rows": rows, "exact": exact, "provenance": provenance(0)}
        write_json(ROWS, found)


def mean_rewards(agent: Any, seed: int) -> dict[str, float]:
    """Return an agent's mean payoff per round beside each strategy.

    Args:
        agent: a player.
        seed: of play.
    """
    game = make_game(GAME)
    lineup = seat_players(game, [agent, MIXTURE], GAMES, seed)
    episodes = play(game, lineup, seed, lean=True).episodes
    names = [entry["name"] for entry in lineup.roster]
    rewards = np.asarray(episodes.reward)[:, :, 0].sum(1) / ROUNDS
    beside = np.asarray(episodes.player)[:, 1]
    return {
        name: float(rewards[beside == names.index(player)].mean())
        for name, player in zip(STRATEGIES, PLAYERS, strict=True)
    }


def exact_rewards() -> dict[str, float]:
    """Return the payoff per round of the exact best reply to each strategy."""
    game = make_game(GAME)
    return {
        name: best_reply(game, 0, [player]).value / ROUNDS
        for name, player in zip(STRATEGIES, PLAYERS, strict=True)
    }


# -- page --------------------------------------------------------------------


def section() -> list[str]:
    """Return the section of the page; nothing before the sweep has run."""
    if not ROWS.exists():
        return []
    found = json.loads(ROWS.read_text("utf-8"))
    seeds = {row["seed"] for row in found["rows"]}
    return [
        "## Opponent models of the library",
        f"Mean payoff per round of {ROUNDS} beside twelve strategies as players of the "
        "library (`library.toml`, `python -m experiments axelrod library`). The agent "
        f"learns from {EPISODES} games of the strategies among themselves, and plans three "
        "rounds ahead with expectimax, in the true rules, without staying close to players of "
        "its data; observations show the last round. It has to infer "
        "the strategy. The exact best reply (`bestreply.exact.best_reply`) knows it: each "
        f"strategy is a finite automaton. Training seeds: {len(seeds)}.",
        strategy_table(found["rows"], found["exact"]),
    ]


def strategy_table(rows: list[dict[str, Any]], exact: dict[str, float]) -> str:
    """Return the mean payoffs per round by strategy and opponent model.

    Args:
        rows: of each model and seed, the mean by strategy.
        exact: those of exact best replies.
    """
    models = [m for m in MODELS if any(row["model"] == m for row in rows)]
    means = {
        model: {
            name: [row["mean"][name] for row in rows if row["model"] == model]
            for name in STRATEGIES
        }
        for model in models
    }
    lines = [
        [
            name,
            f"{exact[name]:.2f}",
            *(spread(means[m][name], 2) for m in models),
        ]
        for name in STRATEGIES
    ]
    best = np.mean([*exact.values()])
    overall = {m: np.mean([*means[m].values()], axis=0) for m in models}
    shares = [spread([*overall[m] / best], 3) for m in models]
    overall = [spread([*overall[m]], 2) for m in models]
    lines.append(["mean, as beside a mixture of all", f"{best:.2f}", *overall])
    lines.append(["fraction of the exact best reply", "1", *shares])
    return table(["beside", "exact best reply", *models], lines)
