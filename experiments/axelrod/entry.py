"""The agent in the tournaments: data from arrays, training, a session.

Logs of matches become a dataset (`store_from_arrays`), a run of opponents "tables" is
trained on it, and its agent plays in a session beside the strategies of the package.
"""

import itertools
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

import bestreply as br
from bestreply.config import (
    ModelConfig,
    PlannerConfig,
    RunConfig,
    TrainConfig,
)
from bestreply.data.store import Store
from bestreply.run import Run
from bestreply.types import ABSENT
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments.axelrod.agent import (
    Learned,
    Probe,
    Variant,
    game_of,
    observations,
)
from experiments.axelrod.game import PAYOFF, TOURNAMENTS, TURNS, Log, Rules
from experiments.axelrod.matches import play
from experiments.axelrod.measure import (
    OUT,
    RUNS,
    TRAININGS,
    played,
    split,
)
from experiments.axelrod.pool import pool

ENTRY = OUT / "entry.json"
UNKNOWN = "an unknown strategy is possible"
VARIANTS = {
    "agent": Variant(),
    "belief never updated": Variant({"prior_mixing": 1.0}),
    "two turns ahead, nothing beyond": Variant(values=False),
    "one turn ahead": Variant({"depth": 1}),
    "one turn ahead, nothing beyond": Variant({"depth": 1}, values=False),
    UNKNOWN: Variant({"unknown_type_prior": 0.1}),
    "without own play": Variant(own_play=False),
    "strategy given": Variant(given=True),
}
"""The agent, and what its parts add."""
REPETITIONS, REPETITIONS_OF_VARIANTS = 10, 3
ROUNDS = {"standard": 2, "noise": 5, "prob_end": 2}
"""Rounds of own play in each tournament."""
MATCHES, SHORT = 2, 3
"""Matches beside each strategy in a round, `SHORT` times as many where the end is drawn."""
MEMORY = 4
"""Joint actions that a table reads."""
MIMIC = (0.0, 0.0, 0.5, 0.9)
"""Fractions of copied actions of the players that the first logs are of."""
EXPLORES = 0.05
"""Probability of a random action in every second round of own play."""
OWN = "agent"
"""Name of the player of the logs, which is no strategy of the tournament."""


def gamma_of(rules: Rules) -> float:
    """Return the discount of a tournament.

    A score is a mean per turn of a match, so that early turns count for more where the end is
    drawn. The first turn has the same share of the score as with this discount, times the
    probability that the match goes on.

    Args:
        rules: of the tournament.
    """
    if not rules.prob_end:
        return 1.0
    first = rules.weights[0] / rules.weights.sum()
    return float((1 - first) / (1 - rules.prob_end))


def config_of(rules: Rules, seed: int) -> RunConfig:
    """Return the configuration of a run.

    The world model is not used: plans are made in the game itself, and end in the exact
    values of the best reply to each table.

    Args:
        rules: of the tournament.
        seed: of the run.
    """
    return RunConfig(
        game=game_of(rules),
        seed=seed,
        model=ModelConfig(
            latent=4,
            width=8,
            depth=1,
            value_heads="single",
            opponents="tables",
            table_memory=MEMORY,
        ),
        train=TrainConfig(
            gamma=gamma_of(rules),
            at_limit="zero",
            opponent_updates=1,
            updates=1,
            batch=8,
            opponent_batch=8,
            anchor_updates=0,
        ),
        planner=PlannerConfig(
            planner="expectimax",
            world="true",
            depth=2,
            symmetry_averages=1,
            prior_mixing=0.0,
        ),
    )


def store_of(
    logs: Sequence[tuple[Log, Int[np.ndarray, " B"]]],
    names: Sequence[str],
    rules: Rules,
    path: Path,
) -> Store:
    """Write matches as a dataset.

    Args:
        logs: matches, and the strategy of each.
        names: of the strategies.
        rules: of the tournament.
        path: the new dataset.
    """
    turns = max(log.actions.shape[1] for log, _ in logs)
    actions = np.concatenate(
        [_padded(log.actions.astype(np.int32), turns) for log, _ in logs]
    )
    strategy = np.concatenate([kind for _, kind in logs])
    length = np.concatenate([log.length for log, _ in logs])
    game = br.make_game(game_of(rules))
    cut = length > TURNS  # of longer matches the rest is left out
    turns = min(turns, TURNS)
    actions, length = actions[:, :turns], np.minimum(length, turns)
    played = np.maximum(actions, 0)
    rewards = np.stack(
        [
            PAYOFF[played[..., 0], played[..., 1]],
            PAYOFF[played[..., 1], played[..., 0]],
        ],
        -1,
    )
    last = np.arange(turns)[None] == length[:, None] - 1
    players = np.array([[OWN, names[k]] for k in strategy])
    return br.store_from_arrays(
        observations(game, turns, len(actions)),
        actions,
        rewards * (actions >= 0),
        terminals=last & ~cut[:, None],
        timeouts=last & cut[:, None],
        players=players,
        game=game,
        path=path,
    )


def _padded(actions: np.ndarray, turns: int) -> np.ndarray:
    missing = turns - actions.shape[1]
    return np.pad(
        actions, ((0, 0), (0, missing), (0, 0)), constant_values=ABSENT
    )


def train(
    makers: dict[str, Callable[[], Any]],
    rules: Rules,
    seed: int,
    rounds: int,
    path: Path,
) -> Run:
    """Return a run trained on logs of play against strategies, and on its own play.

    Args:
        makers: of the strategies, by name.
        rules: of the tournament.
        seed: of the run and of all play.
        rounds: of own play.
        path: folder of the runs `run0` to `run{rounds}`, one after each round.
    """
    repeats = MATCHES * (SHORT if rules.prob_end else 1)
    names, kind = [*makers], np.tile(np.arange(len(makers)), repeats)
    chosen = [[*makers.values()][k] for k in kind]
    logs = [
        (play(Probe(mimic), chosen, rules, 1000 * seed + number), kind)
        for number, mimic in enumerate(MIMIC)
    ]
    for number in range(rounds + 1):
        data, folder = path / f"data{number}", path / f"run{number}"
        store = store_of(logs, names, rules, data)
        run = br.train(store, config_of(rules, seed), path=folder)
        shutil.rmtree(data)
        if number == rounds:
            return run
        epsilon = EXPLORES * (number % 2)
        agent = Learned(run, names, Variant({"epsilon": epsilon}))
        log = play(agent, chosen, rules, 1000 * seed + 100 + number)
        logs.append((log, kind))
        print(f"round {number}: {log.scores.mean():.3f} per turn", flush=True)
    raise AssertionError("unreachable")


def trained(seed: int, training: str, name: str) -> tuple[Path, float]:
    """Return the folder of a training's runs, and the minutes it took; 0 if it was there.

    Args:
        seed: of training.
        training: one of `TRAININGS`.
        name: of the tournament.
    """
    path = RUNS / "entry" / str(seed) / training.replace(" ", "_") / name
    begin = time.perf_counter()
    if not path.exists():
        unfinished = path.with_name(f"{name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        named = [*pool().items()]
        makers = dict(named[k] for k in split(seed, training)[0])
        train(makers, TOURNAMENTS[name], seed, ROUNDS[name], unfinished)
        unfinished.rename(path)
    return path, (time.perf_counter() - begin) / 60


def enter_all(seeds: Sequence[int]) -> None:
    """Train and play all missing rows, and write the file after each."""
    rows = json.loads(ENTRY.read_text())["rows"] if ENTRY.exists() else []
    identity = ("seed", "training", "tournament", "variant")
    done = {tuple(row[key] for key in identity) for row in rows}
    for wanted in wanted_rows(seeds):
        if wanted in done:
            continue
        seed, training, name, variant = wanted
        path, minutes = trained(seed, training, name)
        rounds = ROUNDS[name] if VARIANTS[variant].own_play else 0
        run = br.load_run(path / f"run{rounds}")
        found = enter(run, name, split(seed, training)[0], variant, seed)
        found["minutes"] = round(minutes + found["minutes"], 1)
        rows.append(dict(zip(identity, wanted, strict=True)) | found)
        print(*wanted, f"{found['score']:.3f}", flush=True)
        write_json(ENTRY, {"rows": rows, "provenance": provenance(seed)})
        jax.clear_caches()


def wanted_rows(seeds: Sequence[int]) -> list[tuple[int, str, str, str]]:
    """Return seed, training, tournament and variant of all rows; those of the agent first."""
    return [
        (seed, training, name, variant)
        for variants in (["agent"], [v for v in VARIANTS if v != "agent"])
        for seed, training, name, variant in itertools.product(
            seeds, TRAININGS, TOURNAMENTS, variants
        )
        if training == "all" or variant in ("agent", UNKNOWN)
    ]


def enter(
    run: Run,
    name: str,
    known: Int[np.ndarray, " K"],
    variant: str,
    seed: int,
) -> dict[str, Any]:
    """Play one tournament, and return the agent's row.

    Args:
        run: of the agent.
        name: of the tournament.
        known: strategies that the agent learned from.
        variant: a key of `VARIANTS`.
        seed: training seed; that of play is derived from it.
    """
    begin, is_agent = time.perf_counter(), variant == "agent"
    strategies = [[*pool()][k] for k in known]
    player = Learned(run, strategies, VARIANTS[variant])
    repetitions = REPETITIONS if is_agent else REPETITIONS_OF_VARIANTS
    found = played(player, name, known, repetitions, seed)
    if not is_agent:
        del found["scores"], found["opponents"]
    minutes = (time.perf_counter() - begin) / 60
    return found | {"minutes": round(minutes, 1)}
