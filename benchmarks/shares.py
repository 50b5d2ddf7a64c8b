"""`python -m benchmarks.shares GAME [--seeds 0 1 2]`: how much of the exact best reply an agent has that learned everything from logs.

For each seed: collect, train (target `improved`), and play the planner `look_ahead` in seat 0 against each type of other in turn,
the type told or inferred. Shares are 1 - E[sum_t gamma^t (V*(s_t) - Q*(s_t, a_t))] / E[V*(s_0)], by the exact tables, of two replies:

    told      the exact reply that is told the type; nobody can do better
    believed  the exact reply that knows the prior and what play has shown (an upper bound of it, near by its fine cut of beliefs)

Each seed's rows are a file under results/shares/, written when the seed is done; a seed whose file is there is not run again.
`--table` writes results/shares/README.md from the files: means and 95 % intervals over seeds.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy.special import stdtrit

from benchmarks.timing import table
from bestreply import exact
from bestreply.collect import PLANNING_CHUNK, play, seat_players
from bestreply.config import CollectConfig, ModelConfig, PlannerConfig, RunConfig, TrainConfig
from bestreply.console import meter
from bestreply.data.store import open_store
from bestreply.experiment import collect_for, resolve
from bestreply.files import write_json
from bestreply.plan.agent import Agent
from bestreply.provenance import provenance
from bestreply.regret import told_types
from bestreply.run import Run
from bestreply.train import train

HUNT = "stag_hunt(height=5, width=5, hunters=2, stags=1, hares=2, max_steps=20, leave={})"
STAG_TYPES = ("nearest_stag", "nearest_hare", "random")
DRIFT_TYPES = ("nearest_drift", "never_remove", "random")
GAMES = {
    "stay": (HUNT.format(False), STAG_TYPES),
    "leave": (HUNT.format(True), STAG_TYPES),
    "snowdrift": ("snowdrift(height=4, width=4, players=2, drifts=6, max_steps=15)", DRIFT_TYPES),
}
OUT = Path("results") / "shares"
EPISODES = 256
"""Games against each type."""
FEWER = 96
"""Games against others whose type is to be believed: each of their layouts takes the exact reply seconds."""
CUT = 8
"""Beliefs of the exact reply are held in steps of 1/CUT."""


def config(game: str, seed: int) -> RunConfig:
    spec, types = GAMES[game]
    return resolve(
        RunConfig(
            game=spec,
            seed=seed,
            collect=CollectConfig(players=types, episodes=20_000),
            model=ModelConfig(latent=64, width=128, value_heads="action"),
            train=TrainConfig(
                opponent_updates=1500,
                updates=4000,
                batch=256,
                gamma=0.95,
                target="improved",
                at_limit="zero",
                value_updates=12_000,
                value_batch=256,
                target_rate=0.02,
                checkpoint_every=5000,
            ),
            planner=PlannerConfig(planner="look_ahead", leak=0.002),
        )
    )


def measure(game: str, seed: int, folder: Path) -> dict[str, Any]:
    """Everything of one seed: minutes, environment steps, rows."""
    wanted = config(game, seed)
    begun = time.perf_counter()
    data = folder / "data"
    store = open_store(data) if (data / "manifest.json").exists() else collect_for(wanted, data)
    run = train(store, wanted, path=folder / "run", resume=(folder / "run").exists())
    minutes = (time.perf_counter() - begun) / 60
    return {
        "game": wanted.game,
        "seed": seed,
        "minutes_to_collect_and_train": minutes,
        "env_steps": store.manifest.steps,
        "episodes": EPISODES,
        "config": dataclasses.asdict(wanted),
        "rows": [*told_shares(run), *believed_shares(run)],
        "provenance": provenance(seed),
    }


def told_shares(run: Run) -> list[dict[str, Any]]:
    """Shares of the reply that is told the type, against each type: the agent told, and inferring."""
    rows = []
    for name in run.config.collect.players:
        best = exact.best_reply(run.game, 0, [name], gamma=run.config.train.gamma, layouts=1)
        for planner in ("one_step", "look_ahead"):
            agent = run.agent(planner)
            for types, player in (("told", told_types(agent, run, [name])), ("inferred", agent)):
                rows.append({"reply": "told", "against": name, "types": types, "planner": planner})
                rows[-1] |= share(run, player, name, best)
    return rows


def believed_shares(run: Run) -> list[dict[str, Any]]:
    """Shares of the reply that believes: the type drawn anew for each game, and a change of type at a step drawn from the first half."""
    types = run.config.collect.players
    rows = []
    for drawn in (
        f"mixture({', '.join(types)})",
        f"switching({types[0]}, {types[1]}, random={run.game.max_steps // 2})",
    ):
        best = exact.best_reply(
            run.game, 0, [drawn], gamma=run.config.train.gamma, know="belief", layouts=1, resolution=CUT
        )
        row = {"reply": "believed", "against": drawn, "types": "inferred", "planner": "look_ahead"}
        rows.append(row | share(run, run.agent("look_ahead"), drawn, best, FEWER))
    return rows


def share(
    run: Run, agent: Agent, against: str, best: exact.BestReply, episodes: int = EPISODES
) -> dict[str, float]:
    """What `agent` has of `best`, and the standard error over episodes."""
    seed = run.config.seed + 3
    lineup = seat_players(run.game, [agent, against], episodes, seed)
    with meter(
        f"{agent.config.planner} against {against}", episodes * run.game.max_steps, "steps"
    ) as progress:
        log = play(run.game, lineup, seed, watch=0, chunk=PLANNING_CHUNK, progress=progress).episodes
    decided = best.decisions(log)
    regret = decided.regret(log.action[:, :, 0])
    lost = (regret * agent.gamma ** np.arange(regret.shape[1])).sum(1)
    worth = float(decided.value[:, 0].mean())
    spread = float(lost.std(ddof=1)) / len(lost) ** 0.5
    return {"share": 1 - float(lost.mean()) / worth, "stderr": spread / worth, "best": worth}


# -- over seeds ----------------------------------------------------------------------------------------------------------------


def summary() -> str:
    """The tables, from the files alone."""
    parts = ["# Shares of the exact best reply", "", (__doc__ or "").partition("\n\n")[2].strip(), ""]
    for game in GAMES:
        files = sorted(OUT.glob(f"{game}-*.json"))
        if not files:
            continue
        found = [json.loads(path.read_text()) for path in files]
        minutes = [f["minutes_to_collect_and_train"] for f in found]
        steps = max(f["env_steps"] for f in found)
        parts += [
            f"## {found[0]['game']}",
            "",
            f"{len(found)} seeds, at most {steps:,} environment steps, {min(minutes):.1f} to {max(minutes):.1f} minutes to collect and "
            f"train, {found[0]['episodes']} games a cell. Mean, 95 % interval over seeds, least seed.",
            "",
            table(
                ["of the reply that is", "against", "the agent is", "planner", "share", "±", "least"],
                _rows(found),
            ),
            "",
        ]
    return "\n".join(parts)


def _rows(found: list[dict[str, Any]]) -> list[list[str]]:
    rows = []
    for k, row in enumerate(found[0]["rows"]):
        shares = np.array([f["rows"][k]["share"] for f in found])
        half = "-"
        if len(shares) > 1:
            half = f"{stdtrit(len(shares) - 1, 0.975) * shares.std(ddof=1) / len(shares) ** 0.5:.3f}"
        names = [row["reply"], row["against"], row["types"], row["planner"]]
        rows.append([*names, f"{shares.mean():.3f}", half, f"{shares.min():.3f}"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.shares", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("game", choices=[*GAMES], nargs="?")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--runs", type=Path, default=Path("runs") / "shares", help="where data and runs go")
    parser.add_argument("--table", action="store_true", help="only write the table")
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    for seed in () if arguments.table or not arguments.game else arguments.seeds:
        path = OUT / f"{arguments.game}-{seed}.json"
        if not path.exists():
            found = measure(arguments.game, seed, arguments.runs / f"{arguments.game}-{seed}")
            write_json(path, found)
            jax.clear_caches()
    (OUT / "README.md").write_text(summary())
    print(OUT / "README.md")


if __name__ == "__main__":
    main()
