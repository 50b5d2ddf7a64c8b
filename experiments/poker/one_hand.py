"""One hand of Kuhn or Leduc poker: share of the exact best replies learned from logs.

The games are OpenSpiel's; an episode is one hand. The logs are play of the random player
and of one that always folds. An agent is trained on them for each of five seeds, and then
plays in both seats against either. Its share is the sum over seats of its expected
return, relative to that of the exact best replies: 11/12 (Kuhn) and 4.74722 (Leduc)
against random play, 2 against folding. Returns are measured by the regret of each decision
(`Decisions.lost`), which has a small variance. kuhn_poker.json and leduc_poker.json hold
all numbers.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np

from benchmarks.timing import over_seeds, table
from bestreply import (
    collect,
    exact,
    load_run,
    make_game,
    open_store,
    preset,
    train,
)
from bestreply.config import RunConfig
from bestreply.planning.agent import Agent
from bestreply.run import Run
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance

OUT, RUNS = Path("results") / "poker", Path("runs") / "poker"
OPPONENTS = {"random": "uniform play", "first_legal": "always folding"}
EPISODES = {"kuhn_poker": 4_000, "leduc_poker": 10_000}
UPDATES = {"kuhn_poker": 1_000, "leduc_poker": 2_000}
SEEDS, GAMES = 5, 1_000


def configuration(name: str, seed: int) -> RunConfig:
    """Return the settings of a run.

    Args:
        name: short name of the game.
        seed: seed of data and training.
    """
    base = preset("demo")
    return dataclasses.replace(
        base,
        game=f"openspiel:{name}",
        seed=seed,
        train=dataclasses.replace(
            base.train,
            opponent_updates=600,
            updates=UPDATES[name],
            gamma=1.0,
        ),
    )


def trained(name: str, seed: int) -> Run:
    """Return the agent of a seed, trained on logs of its own.

    Args:
        name: short name of the game.
        seed: the seed.
    """
    game, folder = make_game(f"openspiel:{name}"), RUNS / f"{name}-{seed}"
    players = [f"mixture({', '.join(OPPONENTS)})"] * game.num_players
    data = folder / "data"
    store = (
        open_store(data)
        if data.exists()
        else collect(game, players, EPISODES[name], seed, path=data)
    )
    path = folder / "run"
    if (path / "diagnostics.json").exists():
        return load_run(path)
    resume = path.exists()
    return train(store, configuration(name, seed), path=path, resume=resume)


def share_of_best(agent: Agent, other: str, seed: int) -> dict[str, float]:
    """Return the agent's return in both seats and that of the best replies.

    Args:
        agent: the agent.
        other: the opponent.
        seed: seed of play.
    """
    game, best, earned = agent.game, 0.0, 0.0
    for seat in range(2):
        reply = exact.best_reply(game, seat, [other])
        line = [agent, other] if seat == 0 else [other, agent]
        lineup = seat_players(game, line, GAMES, seed)
        episodes = play(game, lineup, seed, chunk=GAMES).episodes
        lost = reply.decisions(episodes).lost(episodes.action[:, :, seat], 1.0)
        best += reply.value
        earned += reply.value - float(lost.mean())
    return {"best": best, "earned": earned, "share": earned / best}


def measure(name: str) -> None:
    """Measure the missing seeds of a game and write the file after each.

    Args:
        name: its short name.
    """
    file = OUT / f"{name}.json"
    rows = json.loads(file.read_text())["rows"] if file.exists() else []
    done = {row["seed"] for row in rows}
    for seed in sorted(set(range(SEEDS)) - done):
        agent = trained(name, seed).agent()
        for other in OPPONENTS:
            found = share_of_best(agent, other, 1_000 + seed)
            rows.append({"seed": seed, "opponent": other, **found})
            print(name, rows[-1], flush=True)
        write_json(
            file,
            {
                "game": name,
                "episodes": EPISODES[name],
                "updates": UPDATES[name],
                "games": GAMES,
                "rows": rows,
                "provenance": provenance(0),
            },
        )


def measure_all() -> None:
    """Measure the missing seeds of both games."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name in EPISODES:
        measure(name)


def summary() -> str:
    """Return this part of the page of results/poker/, from its files."""
    files = [OUT / f"{name}.json" for name in EPISODES]
    games = [json.loads(f.read_text()) for f in files if f.exists()]
    lines = []
    for found in games:
        for other, words in OPPONENTS.items():
            rows = [r for r in found["rows"] if r["opponent"] == other]
            shares = np.array([row["share"] for row in rows])
            lines.append(
                [
                    found["game"],
                    words,
                    f"{found['episodes']:,}",
                    len(rows),
                    f"{rows[0]['best']:.5f}",
                    over_seeds([row["earned"] for row in rows]),
                    over_seeds(shares),
                ]
            )
    columns = ["game", "opponent", "episodes of logs", "seeds"]
    columns += ["best replies, both seats", "agent, both seats", "share"]
    return "\n\n".join(
        [
            "Mean ± half of the 95 % interval over training seeds; "
            f"{GAMES:,} games a seat:",
            table(columns, lines),
        ]
    )
