"""What is learned from little data, and how often training should pass over it.

    python -m experiments little_data                # all seeds; an interrupted run continues
    python -m experiments little_data --seeds 0      # fewer, to look
    python -m experiments little_data --table        # only the page, from the JSON

The game is a stag hunt 4x4 with two hunters, one stag and two hares; the data are play of
nearest_stag, nearest_hare and the random player. The preset is `demo`; runs on
the same episodes differ in `train.max_epochs` alone, the largest number of passes over the
data in each phase (0: no limit).
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

import bestreply as br
from benchmarks.timing import over_seeds, table
from bestreply.data.store import open_store
from bestreply.simulation.lineup import mixture_of
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments._page import details, join_page, make_parser, write_page

OUT, RUNS = Path("results") / "little_data", Path("runs") / "little_data"
FILE = OUT / "little_data.json"
GAME = "stag_hunt(height=4, width=4, hunters=2, stags=1, hares=2, max_steps=20)"
PLAYERS = ("nearest_stag", "nearest_hare", "random")
EPISODES, EPOCHS, SEEDS = (150, 600), (0, 32), (0, 1, 2)
GAMES, SEED = 400, 80_000


def measure(episodes: int, epochs: int, seed: int) -> dict[str, Any]:
    """Train a run and return what it predicts and earns.

    Args:
        episodes: number of logged episodes.
        epochs: `train.max_epochs`.
        seed: of data and training.
    """
    config = br.preset("demo")
    train = dataclasses.replace(config.train, max_epochs=epochs)
    config = dataclasses.replace(config, game=GAME, seed=seed, train=train)
    game, folder = br.make_game(GAME), RUNS / str(seed) / str(episodes)
    drawn = mixture_of(PLAYERS)
    if (folder / "data" / "manifest.json").exists():
        store = open_store(folder / "data")
    else:
        store = br.collect(
            game, [drawn] * 2, episodes, seed, path=folder / "data"
        )
    run = br.train(store, config, path=folder / str(epochs), resume=True)
    found = json.loads((run.path / "diagnostics.json").read_text())
    agent = run.agent()
    returns = {
        name: float(br.evaluate(game, [agent, name], GAMES, SEED).mean())
        for name in (*PLAYERS, drawn)
    }
    return {
        "episodes": episodes,
        "max_epochs": epochs,
        "seed": seed,
        "updates": run.config.train.updates,
        "opponent_updates": run.config.train.opponent_updates,
        "log_loss": found["heldout"]["log_loss"],
        "returns": returns,
    }


def run(seeds: tuple[int, ...]) -> None:
    """Make the rows that are missing.

    Args:
        seeds: training seeds.
    """
    rows = json.loads(FILE.read_text())["rows"] if FILE.exists() else []
    done = {(r["episodes"], r["max_epochs"], r["seed"]) for r in rows}
    for seed in seeds:
        for episodes in EPISODES:
            for epochs in EPOCHS:
                if (episodes, epochs, seed) not in done:
                    rows.append(measure(episodes, epochs, seed))
                    found = {"rows": rows, "provenance": provenance(seed)}
                    OUT.mkdir(parents=True, exist_ok=True)
                    write_json(FILE, found)


def summary() -> str:
    """Return the page."""
    rows = json.loads(FILE.read_text())["rows"]
    lines = []
    for episodes in EPISODES:
        for epochs in EPOCHS:
            own = [
                row
                for row in rows
                if (row["episodes"], row["max_epochs"]) == (episodes, epochs)
            ]
            if not own:
                continue
            means = [
                over_seeds([row["returns"][name] for row in own])
                for name in own[0]["returns"]
            ]
            lines.append(
                [
                    str(episodes),
                    str(epochs) if epochs else "no limit",
                    f"{own[0]['opponent_updates']:,}, {own[0]['updates']:,}",
                    over_seeds([row["log_loss"] for row in own]),
                    *means,
                ]
            )
    seeds = sorted({row["seed"] for row in rows})
    uniform = np.log(5)
    head = ["episodes", "max_epochs", "updates", "log-loss", *PLAYERS]
    parts = [
        "# Little data",
        details(__doc__),
        f"Training seeds: {', '.join(map(str, seeds))}. Updates: of the opponent model and "
        "of the world model. Log-loss: of an opponent's action in held-out play, in nats; "
        f"a uniform prediction over the five actions has {uniform:.2f}. Then mean returns of "
        f"{GAMES} games beside each player, and beside one drawn from the three. ± is half "
        "of the 95 % interval over training seeds.",
        table([*head, "one drawn"], lines),
    ]
    return join_page(parts, OUT)


def main() -> None:
    parser = make_parser("little_data", __doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if not arguments.table:
        run(tuple(arguments.seeds))
    write_page(summary(), OUT)


if __name__ == "__main__":
    main()
