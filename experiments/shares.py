"""`python -m experiments.shares GAME train|judge`: how much of the exact best reply an agent has that learned everything from logs.

    train   for each of `--seeds`: collect, and train (target `improved`) each of `--kinds`: a model of types; one that tells no players
            apart; one whose value was learned among players that change their mind
    judge   every run that is there plays in seat 0 against each type in turn, all runs the same games, and is held against the exact
            tables; results/shares/GAME.json and README.md

Shares are 1 - E[sum_t gamma^t (V*(s_t) - Q*(s_t, a_t))] / E[V*(s_0)], by the exact tables, of two replies:

    told      the exact reply that is told the type; nobody can do better
    believed  the exact reply that knows the prior and what play has shown (an upper bound of it, near by its fine cut of beliefs)

A seed that is trained is not trained again, one that was stopped is taken up again; two processes with seeds of their own share a
machine of two cores well.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import stdtrit

from benchmarks.timing import table
from bestreply import exact, load_run
from bestreply.analysis.change_detection import (
    oracle_of_change,
    read_type_change,
)
from bestreply.analysis.regret import with_true_types
from bestreply.config import (
    CollectConfig,
    ModelConfig,
    PlannerConfig,
    RunConfig,
    TrainConfig,
)
from bestreply.data.store import open_store
from bestreply.games import make_game
from bestreply.games.base import Game
from bestreply.games.grid import GridGame
from bestreply.opponents.oracle import OracleSwitching
from bestreply.pipeline import collect_for, resolve
from bestreply.planning.agent import Agent
from bestreply.players.base import Player
from bestreply.players.scripted import Switching
from bestreply.players.zoo import make_player
from bestreply.run import Run
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import PLANNING_CHUNK, play
from bestreply.train import train
from bestreply.utils.console import meter
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance

HUNT = "stag_hunt(height=5, width=5, hunters=2, stags=1, hares=2, max_steps=20, leave={})"
STAG_TYPES = ("nearest_stag", "nearest_hare", "random")
DRIFT_TYPES = ("nearest_drift", "never_remove", "random")
DILEMMA = "matrix(table='prisoners_dilemma', rounds=10)"
GAMES = {
    "stay": (HUNT.format(False), STAG_TYPES),
    "leave": (HUNT.format(True), STAG_TYPES),
    "snowdrift": (
        "snowdrift(height=4, width=4, players=2, drifts=6, max_steps=15)",
        DRIFT_TYPES,
    ),
    "dilemma": (
        DILEMMA,
        (
            "noisy(tit_for_tat, 0.1)",
            "noisy(always_c, 0.1)",
            "noisy(always_d, 0.1)",
        ),
    ),
    "alike": (DILEMMA, ("noisy(tit_for_tat, 0.1)", "noisy(grim, 0.1)")),
}
"""The last: two who both pay back, to whom the best reply is the same until one has been wronged."""
OUT, RUNS = Path("results") / "shares", Path("runs") / "shares"
EPISODES = 128
"""Games against each type."""
FEWER = 32
"""Games on a grid against others whose type is to be believed: each of their layouts takes the exact reply seconds."""
CHANGE_RATE = 0.05
"""Of the agents that expect changes of type, and of the imagined games of those that are taught to."""
CUT = 6
"""Beliefs of the exact reply are held in steps of 1/CUT."""
SEED = 10_000
"""Of the games that are judged: the same for every run."""
KINDS = {
    "goals": ("player", 0.0),
    "no_goals": ("none", 0.0),
    "changing": ("player", CHANGE_RATE),
}
"""What a run's model of the others is conditioned on, and `train.change_rate`."""
KIND_OF = {"not asked": "no_goals", "taught to expect": "changing"}
"""Whose rows are not of the kind "goals", by `Cell.types`."""


def config(game: str, seed: int, kind: str = "goals") -> RunConfig:
    (spec, types), (goal, change_rate) = GAMES[game], KINDS[kind]
    small = make_game(spec).name == "matrix"
    return resolve(
        RunConfig(
            game=spec,
            seed=seed,
            collect=CollectConfig(players=types, episodes=20_000),
            model=ModelConfig(
                latent=16 if small else 64,
                width=32 if small else 128,
                value_heads="action",
                opponent_types=goal,  # pyright: ignore[reportArgumentType]
            ),
            train=TrainConfig(
                opponent_updates=1000 if small else 8000,
                opponent_batch=256 if small else 1024,
                updates=500 if small else 4000,
                batch=64 if small else 256,
                gamma=0.95,
                target="improved",
                at_limit="zero",
                value_updates=1500 if small else 12_000,
                value_batch=64 if small else 256,
                target_tau=0.02,
                change_rate=change_rate,
                checkpoint_every=5000,
            ),
            planner=PlannerConfig(
                planner="expectimax", prior_mixing=0.002, symmetry_averages=8
            ),
        )
    )


def train_one(game: str, seed: int, kind: str) -> None:
    """Collects and trains, unless that is done; beside the run goes what it took, since it was last taken up."""
    folder = RUNS / game / str(seed)
    took = folder / f"{kind}.json"
    if took.exists():
        return
    wanted, data = config(game, seed, kind), folder / "data"
    begun, busy_before, again = (
        time.perf_counter(),
        time.process_time(),
        (folder / kind).exists(),
    )
    store = (
        open_store(data)
        if (data / "manifest.json").exists()
        else collect_for(wanted, data)
    )
    train(store, wanted, path=folder / kind, resume=again)
    minutes, busy = (
        (time.perf_counter() - begun) / 60,
        (time.process_time() - busy_before) / 60,
    )
    steps = store.manifest.steps
    write_json(
        took,
        {
            "minutes": minutes,
            "processor_minutes": busy,
            "env_steps": steps,
            "taken_up_again": again,
        },
    )


# -- judged --------------------------------------------------------------------------------------------------------------------


def judge(game: str) -> None:
    """Fills in the table, row after row, of the kinds of runs that are there for every seed: one that was stopped goes on where it was,
    and rows of kinds that are gone stay, if the seeds are the same."""
    folder, out = RUNS / game, OUT / f"{game}.json"
    seeds = sorted({int(path.parent.name) for path in folder.glob("*/*.json")})
    kinds = [
        k
        for k in KINDS
        if all((folder / str(s) / f"{k}.json").exists() for s in seeds)
    ]
    runs = {
        kind: [load_run(folder / str(s) / kind) for s in seeds]
        for kind in kinds
    }
    took = {
        k: [
            json.loads((folder / str(s) / f"{k}.json").read_text())
            for s in seeds
        ]
        for k in kinds
    }
    found = {
        "game": GAMES[game][0],
        "config": dataclasses.asdict(config(game, seeds[0])),
        "seeds": seeds,
    }
    found = json.loads(json.dumps(found))
    before = json.loads(out.read_text()) if out.exists() else {}
    rows: list[dict[str, Any]] = []
    if before and _holds(found, {part: before[part] for part in found}):
        rows, took = before["rows"], before["took"] | took
    done = [*map(_cell, rows)]
    for cell in cells(game, [*took]):
        if cell not in done and cell.kind in runs:
            now = provenance(SEED)
            revisions = {
                "trained": runs[cell.kind][0].provenance["git_revision"],
                "judged": now["git_revision"],
            }
            rows.append(cell._asdict() | judged(runs, cell) | revisions)
            write_json(
                out, found | {"took": took, "rows": rows, "provenance": now}
            )


def _cell(row: dict[str, Any]) -> "Cell":
    return Cell(*(row[part] for part in Cell._fields))


def _holds(now: Any, before: Any) -> bool:
    """Whether `now` says all that was said `before`; a configuration may have gained fields."""
    if isinstance(now, dict) and isinstance(before, dict):
        return all(
            name in now and _holds(now[name], value)
            for name, value in before.items()
        )
    return now == before


class Cell(NamedTuple):
    """What a row is about."""

    reply: str
    """Whose shares are taken: `told` or `believed`."""
    against: str
    types: str
    """What the agent knows of the type: `told`, `inferred`, inferred while `expecting` changes (at the rate `CHANGE_RATE`), which its value
    was `taught to expect`, or, by a model that tells no players apart, `not asked`."""
    planner: str

    @property
    def kind(self) -> str:
        """Whose row it is, of `KINDS`."""
        return KIND_OF.get(self.types, "goals")


def cells(game: str, kinds: list[str]) -> Iterator[Cell]:
    """Rows of the table: each type; the type drawn anew for each game; a change of type at a step drawn from the first half."""
    spec, types = GAMES[game]
    half = make_game(spec).max_steps // 2
    others = [known for known, kind in KIND_OF.items() if kind in kinds]
    for name, planner in product(types, ("one_step", "expectimax")):
        for known in ("told", "inferred", *others):
            yield Cell("told", name, known, planner)
    drawn = (
        f"mixture({', '.join(types)})",
        f"switching({types[0]}, {types[1]}, random={half})",
    )
    for mixed, known in product(drawn, ("inferred", "expecting", *others)):
        yield Cell("believed", mixed, known, "expectimax")
    for known in ("told", "inferred", *(k for k in others if k == "not asked")):
        yield Cell("told", drawn[1], known, "expectimax")


def judged(runs: dict[str, list[Run]], cell: Cell) -> dict[str, Any]:
    """A number for every seed."""
    ours = runs[cell.kind]
    settings: dict[str, Any] = (
        {"change_rate": CHANGE_RATE}
        if cell.types in ("expecting", "taught to expect")
        else {}
    )
    agents = [run.agent(cell.planner, **settings) for run in ours]
    best = exact_reply(ours[0].game, cell.reply, cell.against)
    few = cell.reply == "believed" and isinstance(best.game, GridGame)
    change = (
        read_type_change(ours[0], cell.against)
        if cell.types == "told"
        else None
    )
    if change is not None:
        agents = [
            oracle_of_change(a, run, change)
            for a, run in zip(agents, ours, strict=True)
        ]
    elif cell.types == "told":
        agents = [
            with_true_types(a, run, [cell.against])
            for a, run in zip(agents, ours, strict=True)
        ]
    return shares(best, agents, cell.against, FEWER if few else EPISODES)


@cache
def exact_reply(game: Game, reply: str, against: str) -> exact.BestReply:
    know = "types" if reply == "told" else "belief"
    settings: dict[str, Any] = {}
    if isinstance(game, GridGame):
        settings = {"layouts": 1} | (
            {} if reply == "told" else {"resolution": CUT}
        )
    return exact.best_reply(
        game, 0, [against], gamma=0.95, know=know, **settings
    )


def shares(
    best: exact.BestReply, players: list[Agent], against: str, episodes: int
) -> dict[str, Any]:
    """What each of `players` has of `best` in the same games, which are solved but once.

    The step of a change that is drawn from the first few is each of them in turn, so that who is to be told can be told.
    """
    turns = _turns(
        make_player(against, best.game, 1), told=best.know == "types"
    )
    each, logs, modes = episodes // len(turns), [], []
    with meter(
        f"{players[0].config.planner} against {against}",
        len(players) * episodes,
        "games",
    ) as progress:
        for player, (step, other) in product(players, turns.items()):
            if isinstance(player.opponents, OracleSwitching):
                told = dataclasses.replace(player.opponents, at=jnp.int32(step))
                player = dataclasses.replace(player, opponents=told)
            lineup = seat_players(best.game, [player, other], each, SEED + step)
            played = play(
                best.game,
                lineup,
                SEED + step,
                watch=0,
                chunk=min(PLANNING_CHUNK, each),
            )
            logs.append(played.episodes)
            modes.append(played.modes[:, :, 1:])
            progress.advance(each)
    every = jax.tree.map(lambda *x: np.concatenate(x), *logs)
    decided = best.decisions(every, modes=np.concatenate(modes))
    lost = (
        decided.lost(every.action[:, :, 0], best.gamma)
        .reshape(len(players), -1)
        .mean(1)
    )
    worth = decided.value[:, 0].reshape(len(players), -1).mean(1)
    return {
        "share": (1 - lost / worth).tolist(),
        "best": float(worth.mean()),
        "games": each * len(turns),
    }


def _turns(other: Player, told: bool) -> dict[int, Player]:
    """Whom to play by the step of the change, for a change at a step that is drawn; 0: anybody else."""
    if not told or not isinstance(other, Switching) or other.random is None:
        return {0: other}
    first, second = other.first, other.second
    return {
        k: Switching(
            first=first, second=second, step_at=jnp.int32(k), name="changing"
        )
        for k in range(other.random)
    }


# -- over seeds ----------------------------------------------------------------------------------------------------------------


def summary() -> str:
    """The tables, from the files alone."""
    parts = [
        "# Shares of the exact best reply",
        "",
        (__doc__ or "").partition("\n\n")[2].strip(),
        "",
    ]
    for path in sorted(OUT.glob("*.json")):
        found = json.loads(path.read_text())
        took = found["took"]["goals"]
        missing = [
            cell
            for cell in cells(path.stem, list(found["took"]))
            if cell not in map(_cell, found["rows"])
        ]
        parts += [
            f"## {path.stem}: {found['game']}",
            "",
            f"The other is one of {', '.join(found['config']['collect']['players'])}.",
            f"{len(found['seeds'])} seeds; at most {max(t['env_steps'] for t in took):,} environment steps; to collect and train "
            f"{np.median([t['minutes'] for t in took]):.1f} minutes (median; two seeds side by side on two cores), "
            f"{np.median([t['processor_minutes'] for t in took]):.1f} of processor time. The same games for every seed and agent "
            "in a cell. Mean, 95 % interval over seeds, least seed.",
            "",
            table(
                [
                    "of the reply that is",
                    "against",
                    "the type is",
                    "planner",
                    "games",
                    "share",
                    "±",
                    "least",
                ],
                _rows(found),
            ),
            "",
            *_listed("Not judged yet", missing),
            *(
                line
                for revision in dict.fromkeys(
                    row["trained"] for row in found["rows"] if "trained" in row
                )
                for line in _listed(
                    f"Of runs trained at revision {revision[:7]}",
                    [
                        _cell(row)
                        for row in found["rows"]
                        if row.get("trained") == revision
                    ],
                )
            ),
        ]
    return "\n".join(parts)


def _listed(what: str, cells: list[Cell]) -> list[str]:
    """A paragraph; none without `cells`."""
    named = "; ".join(f"{c.reply}, {c.against}, {c.types}" for c in cells)
    return [f"{what}: {named}.", ""] if cells else []


def _rows(found: dict[str, Any]) -> list[list[str]]:
    rows = []
    for row in found["rows"]:
        each = np.array(row["share"])
        half = "-"
        if len(each) > 1:
            half = f"{stdtrit(len(each) - 1, 0.975) * each.std(ddof=1) / len(each) ** 0.5:.3f}"
        names = [
            row["reply"],
            row["against"],
            row["types"],
            row["planner"],
            str(row["games"]),
        ]
        rows.append([*names, f"{each.mean():.3f}", half, f"{each.min():.3f}"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.shares",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument("game", choices=[*GAMES])
    parser.add_argument("do", choices=["train", "judge"])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument(
        "--kinds", nargs="+", choices=[*KINDS], default=["goals"]
    )
    arguments = parser.parse_args()
    if arguments.do == "train":
        for seed in arguments.seeds:
            for kind in arguments.kinds:
                train_one(arguments.game, seed, kind)
                jax.clear_caches()
    else:
        judge(arguments.game)
        (OUT / "README.md").write_text(summary())
        print(OUT / "README.md")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    main()
