"""Measure the fraction of the exact best reply that an agent earns after learning from
logged play.

    python -m experiments shares GAME train     # collect and train every seed and kind of run
    python -m experiments shares GAME judge     # results/shares/GAME.json and README.md

`train` collects play for each of `--seeds` and trains (target `improved`) each of
`--kinds`: `goals`, an opponent model with types; `no_goals`, one without; `changing`,
with a value learned in imagined games in which types change. `judge` plays every run in
seat 0 against each type, in the same games, and evaluates the decisions with exact
tables.

The fraction is 1 - E[sum_t gamma^t (V*(s_t) - Q*(s_t, a_t))] / E[V*(s_0)], relative to
one of two best replies:

- type given: it knows the opponent's type. No policy earns more.
- type inferred: it knows the prior and infers the type from play. No policy with the
  same information earns more. Computed as an upper bound on a fine grid of beliefs.

Finished seeds are not trained again; an interrupted one continues.
"""

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
from bestreply.pipeline import resolve
from bestreply.planning.agent import Agent
from bestreply.players.base import Player
from bestreply.players.scripted import Switching
from bestreply.players.zoo import make_player
from bestreply.run import Run
from bestreply.run_data import collect_for
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import PLANNING_CHUNK, play
from bestreply.train import train
from bestreply.utils.console import meter
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments._page import details, make_parser, write_page

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
"""Game and opponent types. In `alike` both types have the same best reply until a defection."""
OUT, RUNS = Path("results") / "shares", Path("runs") / "shares"
EPISODES = 128
"""Games against each type."""
FEWER = 32
"""Games on a grid with the type inferred: each layout takes seconds to solve."""
CHANGE_RATE = 0.05
"""Change rate of the beliefs of agents that expect changes, and of imagined games of runs `changing`."""
RESOLUTION = 6
"""The grid of beliefs has steps of 1 / RESOLUTION."""
SEED = 10_000
"""Seed of the judged games, the same for every run."""
KINDS = {
    "goals": ("player", 0.0),
    "no_goals": ("none", 0.0),
    "changing": ("player", CHANGE_RATE),
}
"""`model.opponent_types` and `train.change_rate` of each kind of run."""
KIND_OF = {"none": "no_goals", "trained to expect": "changing"}
"""Kind of run by `Cell.types`; all other rows are of the kind "goals"."""
REFERENCE = {"given": "type given", "inferred": "type inferred"}
AGENT = {
    "given": "type given",
    "inferred": "type inferred",
    "expecting": "expects changes",
    "trained to expect": "expects changes, trained so",
    "none": "no types",
}
"""Words of the tables for `Cell.reply` and `Cell.types`."""


def config(game: str, seed: int, kind: str = "goals") -> RunConfig:
    """Return the configuration of a run."""
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
    """Collect and train unless done, and write the time it took beside the run."""
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
    """Measure the missing rows of a game, for each kind with a run of every seed, and write the file after each row."""
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
    """Return whether `now` contains all of `before`; a configuration may have gained fields."""
    if isinstance(now, dict) and isinstance(before, dict):
        return all(
            name in now and _holds(now[name], value)
            for name, value in before.items()
        )
    return now == before


class Cell(NamedTuple):
    """The content of a row."""

    reply: str
    """The best reply of reference: type `given` or `inferred`."""
    against: str
    types: str
    """The agent's type of the opponent: `given`, `inferred`, inferred while `expecting` changes, with a value `trained to expect` them,
    or `none` (a model without types)."""
    planner: str

    @property
    def kind(self) -> str:
        """The kind of run, of `KINDS`."""
        return KIND_OF.get(self.types, "goals")


def cells(game: str, kinds: list[str]) -> Iterator[Cell]:
    """Yield the rows of a game: each type; a type drawn for each game; a change of type in the first half."""
    spec, types = GAMES[game]
    half = make_game(spec).max_steps // 2
    others = [known for known, kind in KIND_OF.items() if kind in kinds]
    for name, planner in product(types, ("one_step", "expectimax")):
        for known in ("given", "inferred", *others):
            yield Cell("given", name, known, planner)
    drawn = (
        f"mixture({', '.join(types)})",
        f"switching({types[0]}, {types[1]}, random={half})",
    )
    for mixed, known in product(drawn, ("inferred", "expecting", *others)):
        yield Cell("inferred", mixed, known, "expectimax")
    for known in ("given", "inferred", *(k for k in others if k == "none")):
        yield Cell("given", drawn[1], known, "expectimax")


def judged(runs: dict[str, list[Run]], cell: Cell) -> dict[str, Any]:
    """Return the measurements of a row, one number for each seed."""
    ours = runs[cell.kind]
    settings: dict[str, Any] = (
        {"change_rate": CHANGE_RATE}
        if cell.types in ("expecting", "trained to expect")
        else {}
    )
    agents = [run.agent(cell.planner, **settings) for run in ours]
    best = exact_reply(ours[0].game, cell.reply, cell.against)
    if cell.types == "given":
        agents = [
            _with_types_given(agent, run, cell.against)
            for agent, run in zip(agents, ours, strict=True)
        ]
    on_beliefs = cell.reply == "inferred" and isinstance(best.game, GridGame)
    return shares(best, agents, cell.against, FEWER if on_beliefs else EPISODES)


def _with_types_given(agent: Agent, run: Run, against: str) -> Agent:
    change = read_type_change(run, against)
    if change is None:
        return with_true_types(agent, run, [against])
    return oracle_of_change(agent, run, change)


@cache
def exact_reply(game: Game, reply: str, against: str) -> exact.BestReply:
    """Return the best reply of reference.

    Args:
        game: the game.
        reply: `given` or `inferred`.
        against: the opponent.
    """
    know = "types" if reply == "given" else "belief"
    settings: dict[str, Any] = {}
    if isinstance(game, GridGame):
        settings["layouts"] = 1
        if know == "belief":
            settings["resolution"] = RESOLUTION
    return exact.best_reply(
        game, 0, [against], gamma=0.95, know=know, **settings
    )


def shares(
    best: exact.BestReply, players: list[Agent], against: str, episodes: int
) -> dict[str, Any]:
    """Return the fraction of the best reply that each player earns in the same games.

    A change at a random step is played at each of these steps in turn, so that the
    step can be given.

    Args:
        best: the best reply of reference.
        players: agents with the same planner.
        against: the opponent.
        episodes: number of games for each player.

    Returns:
        `share`, one for each player; `best`, the value of the best reply; `games`.
    """
    opponents = _opponents_by_step(
        make_player(against, best.game, 1), types_given=best.know == "types"
    )
    each, logs, modes = episodes // len(opponents), [], []
    with meter(
        f"{players[0].config.planner} against {against}",
        len(players) * episodes,
        "games",
    ) as progress:
        for player, (step, other) in product(players, opponents.items()):
            if isinstance(player.opponents, OracleSwitching):
                oracle = dataclasses.replace(
                    player.opponents, at=jnp.int32(step)
                )
                player = dataclasses.replace(player, opponents=oracle)
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
    episodes_of_all = jax.tree.map(lambda *x: np.concatenate(x), *logs)
    decided = best.decisions(episodes_of_all, modes=np.concatenate(modes))
    actions = episodes_of_all.action[:, :, 0]
    lost = decided.lost(actions, best.gamma).reshape(len(players), -1).mean(1)
    value = decided.value[:, 0].reshape(len(players), -1).mean(1)
    return {
        "share": (1 - lost / value).tolist(),
        "best": float(value.mean()),
        "games": each * len(opponents),
    }


def _opponents_by_step(other: Player, types_given: bool) -> dict[int, Player]:
    """Return the opponent for each step at which a random change can occur; {0: other} without one."""
    if (
        not types_given
        or not isinstance(other, Switching)
        or other.random is None
    ):
        return {0: other}
    first, second = other.first, other.second
    return {
        k: Switching(
            first=first, second=second, step_at=jnp.int32(k), name="changing"
        )
        for k in range(other.random)
    }


# -- the page ------------------------------------------------------------------


def summary() -> str:
    """Return the page of results/shares/, from its JSON files."""
    parts = ["# Fraction of the exact best reply", "", details(__doc__), ""]
    for path in sorted(OUT.glob("*.json")):
        parts += _section(path.stem, json.loads(path.read_text()))
    return "\n".join(parts)


def _section(game: str, found: dict[str, Any]) -> list[str]:
    """Return the lines about one game."""
    cost = found["took"]["goals"]
    steps = max(entry["env_steps"] for entry in cost)
    minutes, processor_minutes = (
        float(np.median([entry[name] for entry in cost]))
        for name in ("minutes", "processor_minutes")
    )
    measured = [_cell(row) for row in found["rows"]]
    missing = [c for c in cells(game, [*found["took"]]) if c not in measured]
    types = ", ".join(found["config"]["collect"]["players"])
    lines = [
        f"## {game}: {found['game']}",
        "",
        f"Opponent types: {types}. {len(found['seeds'])} seeds; at most {steps:,} environment steps; collecting and training took "
        f"{minutes:.1f} minutes (median, two seeds side by side on two cores), {processor_minutes:.1f} of processor time. "
        "All agents and seeds of a row play the same games. Mean, half of the 95 % interval over seeds, lowest seed.",
        "",
        table(HEAD, _rows(found)),
        "",
        *_listed("Not measured yet", missing),
    ]
    revisions = [row["trained"] for row in found["rows"] if "trained" in row]
    for revision in dict.fromkeys(revisions):
        rows = [row for row in found["rows"] if row.get("trained") == revision]
        title = f"Rows of runs trained at revision {revision[:7]}"
        lines += _listed(title, [_cell(row) for row in rows])
    return lines


HEAD = [
    "best reply",
    "opponent",
    "agent",
    "planner",
    "games",
    "fraction",
    "±",
    "lowest",
]


def _listed(title: str, rows: list[Cell]) -> list[str]:
    """Return a paragraph that names rows; nothing without rows."""
    names = "; ".join(
        f"{REFERENCE[c.reply]}, {c.against}, {AGENT[c.types]}" for c in rows
    )
    return [f"{title}: {names}.", ""] if rows else []


def _rows(found: dict[str, Any]) -> list[list[str]]:
    rows = []
    for row in found["rows"]:
        each = np.array(row["share"])
        half = "-"
        if len(each) > 1:
            error = each.std(ddof=1) / len(each) ** 0.5
            half = f"{stdtrit(len(each) - 1, 0.975) * error:.3f}"
        names = [
            REFERENCE[row["reply"]],
            row["against"],
            AGENT[row["types"]],
            row["planner"],
            str(row["games"]),
        ]
        rows.append([*names, f"{each.mean():.3f}", half, f"{each.min():.3f}"])
    return rows


def main() -> None:
    parser = make_parser("shares", __doc__)
    parser.add_argument("game", choices=[*GAMES])
    parser.add_argument("do", choices=["train", "judge"])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument(
        "--kinds", nargs="+", choices=[*KINDS], default=["goals"]
    )
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    if arguments.do == "train":
        for seed, kind in product(arguments.seeds, arguments.kinds):
            train_one(arguments.game, seed, kind)
            jax.clear_caches()
    else:
        judge(arguments.game)
        write_page(summary() + "\n", OUT)


if __name__ == "__main__":
    main()
