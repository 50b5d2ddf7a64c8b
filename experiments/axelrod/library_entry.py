"""The library's own agent in the tournaments: data from arrays, training, a session.

Logs of matches become a dataset (`store_from_arrays`), a run of opponents "tables" is
trained on it, and its agent plays in a session beside the strategies of the package.
"""

import dataclasses
import itertools
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
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
from bestreply.games.matrix import MatrixGame, MatrixState
from bestreply.planning.session import AgentSession
from bestreply.run import Run
from bestreply.types import ABSENT
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments.axelrod.agent import Probe
from experiments.axelrod.game import PAYOFF, TOURNAMENTS, TURNS, Log, Rules
from experiments.axelrod.matches import play
from experiments.axelrod.measure import (
    OUT,
    REPETITIONS,
    RUNS,
    TRAININGS,
    played,
    split,
)
from experiments.axelrod.pool import pool

FILE = OUT / "library_entry.json"
ROUNDS, MATCHES, SHORT = 2, 2, 3
"""Rounds of own play; matches beside each strategy in a round, `SHORT` times as many where
the end is drawn."""
MEMORY = 4
"""Joint actions that a table reads."""
MIMIC = (0.0, 0.0, 0.5, 0.9)
"""Fractions of copied actions of the players that the first logs are of."""
EXPLORES = 0.05
"""Probability of a random action in every second round of own play."""
OWN = "agent"
"""Name of the player of the logs, which is no strategy of the tournament."""


def game_of(rules: Rules) -> str:
    """Return the game of a tournament as the library names it.

    Args:
        rules: of the tournament.
    """
    if rules.prob_end:
        length = f"continuation={1 - rules.prob_end:g}, max_steps={TURNS}"
    else:
        length = f"rounds={TURNS}"
    return f"matrix(table=prisoners_dilemma, {length}, memory=0)"


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


def observations(game: Any, turns: int, matches: int) -> np.ndarray:
    """Return what both players of `matches` matches see before and after each turn."""
    return np.stack(
        [np.tile(_seen(game, t), (matches, 2, 1)) for t in range(turns + 1)], 1
    )


def _seen(game: MatrixGame, turn: int) -> np.ndarray:
    """Return a player's observation: how much of the match is left, no actions."""
    nothing = jnp.full((0, 2), ABSENT, jnp.int32)
    state = MatrixState(nothing, jnp.int32(turn), jnp.array(False))
    return np.asarray(game.observe(state))[0]


class LibraryAgent:
    """A run's agent as a player of many matches at once."""

    def __init__(
        self, run: Run, strategies: Sequence[str], **settings: Any
    ) -> None:
        """Prepare the agent.

        Args:
            run: a run of opponents "tables".
            strategies: names of those in the tournament; no one else plays.
            settings: of the planner.
        """
        names = [entry["name"] for entry in run.roster]
        plays = np.isin(names, list(strategies)).astype(np.float32)
        agent = run.agent(**settings)
        opponents: Any = dataclasses.replace(
            agent.opponents, players_prior=jnp.asarray(plays / plays.sum())
        )
        self.agent = dataclasses.replace(agent, opponents=opponents)
        self.seen = [_seen(agent.game, t) for t in range(TURNS + 1)]  # pyright: ignore[reportArgumentType]

    def begin(self, matches: int, rules: Rules, seed: int) -> None:
        """Begin new matches."""
        self.session: AgentSession = self.agent.session(seed, batch=matches)
        self.turn, self.matches = 0, matches

    def act(self) -> Int[np.ndarray, " B"]:
        """Return the action in each match: 0 cooperates, 1 defects."""
        seen = self.seen[min(self.turn, TURNS)]
        obs = np.tile(seen, (self.matches, 1))
        return self.session.act(obs, np.ones((self.matches, 2), bool))

    def observe(
        self, mine: Int[np.ndarray, " B"], theirs: Int[np.ndarray, " B"]
    ) -> None:
        """Take in both actions as they were carried out."""
        self.session.observe(theirs[:, None], own=mine)
        self.turn += 1


def train(
    makers: dict[str, Callable[[], Any]], rules: Rules, seed: int, path: Path
) -> Run:
    """Return a run trained on logs of play against strategies, and on its own play.

    Args:
        makers: of the strategies, by name.
        rules: of the tournament.
        seed: of the run and of all play.
        path: folder of datasets and runs.
    """
    repeats = MATCHES * (SHORT if rules.prob_end else 1)
    names, kind = [*makers], np.tile(np.arange(len(makers)), repeats)
    chosen = [[*makers.values()][k] for k in kind]
    logs = [
        (play(Probe(mimic), chosen, rules, 1000 * seed + number), kind)
        for number, mimic in enumerate(MIMIC)
    ]
    for number in range(ROUNDS + 1):
        data, folder = path / f"data{number}", path / f"run{number}"
        store = store_of(logs, names, rules, data)
        run = br.train(store, config_of(rules, seed), path=folder)
        shutil.rmtree(data)
        if number == ROUNDS:
            return run
        agent = LibraryAgent(run, names, epsilon=EXPLORES * (number % 2))
        log = play(agent, chosen, rules, 1000 * seed + 100 + number)
        logs.append((log, kind))
        print(f"round {number}: {log.scores.mean():.3f} per turn", flush=True)
    raise AssertionError("unreachable")


def enter_all(seeds: Sequence[int]) -> None:
    """Train and play all missing rows, and write the file after each."""
    rows = json.loads(FILE.read_text())["rows"] if FILE.exists() else []
    done = {(r["seed"], r["training"], r["tournament"]) for r in rows}
    named = [*pool().items()]
    for seed, training, name in itertools.product(
        seeds, TRAININGS, TOURNAMENTS
    ):
        if (seed, training, name) in done:
            continue
        path = RUNS / "entry" / str(seed) / training.replace(" ", "_") / name
        shutil.rmtree(path, ignore_errors=True)
        begin, (known, _) = time.perf_counter(), split(seed, training)
        makers = dict(named[k] for k in known)
        run = train(makers, TOURNAMENTS[name], seed, path)
        agent = LibraryAgent(run, [*makers])
        row = {
            "seed": seed,
            "training": training,
            "tournament": name,
            "variant": "agent",
            **played(agent, name, known, REPETITIONS, seed),
            "minutes": round((time.perf_counter() - begin) / 60, 1),
        }
        rows.append(row)
        print(seed, training, name, f"{row['score']:.3f}", flush=True)
        write_json(FILE, {"rows": rows, "provenance": provenance(seed)})
        jax.clear_caches()
