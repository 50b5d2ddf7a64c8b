"""`python -m experiments.codes`: what codes that nobody labelled tell of who plays, beside labels of who plays, of the same play.

For each seed the model of the others is trained on the same games with players on record, with goals labelled by the game, with nobody told
apart, with learned codes of ways to act, and with learned codes of a future state (subgoals), and is measured on fresh games. Writes
results/codes/GAME.json, in which it replaces what it measured before of the same seed and `--goals`; `--show` prints the table of all.

`--hits` takes the codes that `python -m experiments.opponents train` has fitted instead, and measures how often the code believed likeliest
before a step is the one that the whole episode shows the player to have followed then: results/codes/hits/stay.json.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.timing import table
from bestreply.analysis.belief_calibration import belief_table, code_table
from bestreply.analysis.model_diagnostics import opponent_table
from bestreply.config import (
    CollectConfig,
    ModelConfig,
    PlannerConfig,
    RunConfig,
    TrainConfig,
)
from bestreply.games import make_game
from bestreply.opponents.filtering import follow_beliefs, follow_predictions
from bestreply.opponents.labels import label_weights
from bestreply.replay.moa_buffer import all_indices, fill
from bestreply.simulation.lineup import drawn_players, seat_players
from bestreply.simulation.loop import play
from bestreply.training.loop import fit_opponents
from bestreply.training.state import initial_train_state, set_units
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments import opponents
from experiments.beliefs import fresh_play
from experiments.shares import GAMES

OUT = Path("results") / "codes"
HUNT4 = (
    "stag_hunt(height=4, width=4, hunters=4, stags=1, hares=4, max_steps=15)"
)
PLAYS = GAMES | {"hunt4": (HUNT4, ("nearest_stag", "nearest_hare", "random"))}
FRESH = 10_000
"""Added to the seed of the games that models are measured on."""


KINDS = {
    "none": "none",
    "goal": "goal",
    "player": "player",
    "code": "code",
    "subgoal": "code",
}
"""`model.opponent_types`, by what the tables call it."""


def config(name: str, seed: int, kind: str, updates: int) -> RunConfig:
    game, players = PLAYS[name]
    goal: Any = KINDS[kind]
    horizon = make_game(game).max_steps // 2 if kind == "subgoal" else 0
    return RunConfig(
        game=game,
        seed=seed,
        collect=CollectConfig(players=players),
        model=ModelConfig(
            latent=8, width=128, opponent_types=goal, code_horizon=horizon
        ),
        train=TrainConfig(opponent_updates=updates, opponent_batch=512),
        planner=PlannerConfig(prior_mixing=0.002),
    )


def measure(
    name: str, seed: int, goal: str, episodes: int, updates: int
) -> dict[str, Any]:
    wanted = config(name, seed, goal, updates)
    game = make_game(wanted.game)
    lineup = seat_players(
        game, [drawn_players(wanted)] * game.num_players, episodes, seed
    )
    logged = play(game, lineup, seed).episodes
    held = fresh_play(wanted, game, lineup.roster, episodes // 10, seed + FRESH)
    train_state = set_units(
        initial_train_state(wanted, game, lineup.roster), wanted, logged
    )
    train_state = fit_opponents(
        wanted, fill(logged), train_state, lambda _: None, lambda *_: None
    )
    buffer = fill(held)
    beliefs = follow_beliefs(train_state.opponents, buffer.episodes)
    expected = follow_predictions(train_state.opponents, buffer.episodes)
    judged = opponent_table(
        wanted,
        train_state.opponents,
        lineup.roster,
        buffer,
        beliefs,
        expected,
        all_indices(held),
    )
    counts = [row["count"] for row in judged]
    means = {
        key: float(np.average([row[key] for row in judged], weights=counts))
        for key in ("log_loss", "top1")
    }
    found = {"seed": seed, "goal": goal, **means}
    if KINDS[goal] == "code":
        weights = label_weights(wanted, train_state.opponents, buffer.episodes)
        found |= code_table(lineup.roster, held, beliefs, weights)
    elif goal == "player":
        told = belief_table(wanted, train_state.opponents, held, beliefs)
        assert told is not None
        found["moves"] = told["moves"]
    jax.clear_caches()
    return found


def hits(seeds: range, episodes: int) -> list[dict[str, Any]]:
    """Bits and hit ratios after so many moves, of codes that are fitted already."""
    rows = []
    for run in opponents.runs_of(list(seeds)):
        wanted = opponents.settings(run, "codes")
        model = opponents.fitted(run, "codes").model  # type: ignore[attr-defined]
        held = fresh_play(
            run.config, run.game, run.roster, episodes, opponents.SEED
        )
        buffer = fill(held)
        beliefs, weights = (
            follow_beliefs(model, buffer.episodes),
            label_weights(wanted, model, buffer.episodes),
        )
        rows.append(
            {"seed": run.config.seed}
            | code_table(run.roster, held, beliefs, weights)
        )
    return rows


def hit_table(rows: list[dict[str, Any]]) -> str:
    """Mean over seeds, least seed in brackets."""
    lines = []
    for k, row in enumerate(rows[0]["moves"]):
        each = [
            np.array([r["moves"][k][name] for r in rows])
            for name in ("hit", "bits")
        ]
        lines.append(
            [
                str(row["moves"]),
                *(f"{x.mean():.3f} ({x.min():.3f})" for x in each),
            ]
        )
    return table(["moves", "hit ratio", "bits"], lines)


def summary() -> str:
    """Means over seeds, least seed in brackets."""
    parts = []
    for path in sorted(OUT.glob("*.json")):
        found = json.loads(path.read_text())
        by_goal: dict[str, list[Any]] = {}
        for row in found["rows"]:
            by_goal.setdefault(row["goal"], []).append(row)
        lines = [
            [
                goal,
                *(
                    f"{np.mean([r[k] for r in rows]):.4f}"
                    for k in ("log_loss", "top1")
                ),
            ]
            for goal, rows in by_goal.items()
        ]
        learned = [g for g in ("code", "subgoal") if g in by_goal]
        bits = []
        for k, row in enumerate(by_goal["player"][0]["moves"]):
            each = {
                g: np.array([r["moves"][k]["bits"] for r in by_goal[g]])
                for g in ("player", *learned)
            }
            line = [
                str(row["moves"]),
                *(f"{each[g].mean():.3f} ({each[g].min():.3f})" for g in each),
            ]
            for goal in learned:
                share = each[goal] / np.maximum(each["player"], 1e-9)
                hit = [
                    r["moves"][k]["hit"]
                    for r in by_goal[goal]
                    if "hit" in r["moves"][k]
                ]
                line += [f"{share.mean():.2f}" if row["moves"] else "-"]
                line += [
                    f"{np.mean(hit):.2f}" if hit else "-"
                ]  # older results have none
            bits.append(line)
        head = ["moves", "players on record", *learned]
        head += [
            f"{goal}: {what}"
            for goal in learned
            for what in ("share", "hit ratio")
        ]
        parts += [
            f"## {path.stem}: {PLAYS[path.stem][0]}",
            f"    python -m experiments.codes --game {path.stem}",
            table(["told apart", "log-loss", "top-1"], lines),
            "Bits about who plays (least seed), after so many moves:",
            table(head, bits),
        ]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.codes",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument("--game", choices=PLAYS, default="stay")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=10_000)
    parser.add_argument("--updates", type=int, default=4000)
    parser.add_argument("--goals", nargs="+", choices=KINDS, default=[*KINDS])
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--hits", action="store_true")
    asked = parser.parse_args()
    if asked.hits:
        rows = hits(
            range(asked.first, asked.first + asked.seeds), asked.episodes // 20
        )
        (OUT / "hits").mkdir(exist_ok=True)
        write_json(
            OUT / "hits" / "stay.json",
            {"rows": rows, "provenance": provenance(opponents.SEED)},
        )
        print(hit_table(rows))
        return
    if not asked.show:
        path = OUT / f"{asked.game}.json"
        rows = json.loads(path.read_text())["rows"] if path.exists() else []
        for seed in range(asked.first, asked.first + asked.seeds):
            for goal in asked.goals:
                found = measure(
                    asked.game, seed, goal, asked.episodes, asked.updates
                )
                rows = [
                    r for r in rows if (r["seed"], r["goal"]) != (seed, goal)
                ] + [found]
                write_json(path, {"rows": rows, "provenance": provenance(seed)})
        return
    print(summary())


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    main()
