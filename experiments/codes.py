"""Measure the information that codes learned without labels give about the player.

For each seed the opponent model is trained on the same games with five kinds of types,
and measured on new games: none; goals that the game labels; the players on record;
learned codes of policies; learned codes of a future state (subgoals). Writes
results/codes/GAME.json, and replaces earlier rows of the same seed and `--goals`.
`--show` prints the tables.

`--hits` uses the codes that `python -m experiments opponents train` has fitted, and
measures how often the most probable code before a step is that of the whole episode:
results/codes/hits/stay.json.
"""

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
from experiments._page import make_parser
from experiments.beliefs import fresh_play
from experiments.shares import GAMES

OUT = Path("results") / "codes"
HUNT4 = (
    "stag_hunt(height=4, width=4, hunters=4, stags=1, hares=4, max_steps=15)"
)
PLAYS = GAMES | {"hunt4": (HUNT4, ("nearest_stag", "nearest_hare", "random"))}
FRESH = 10_000
"""Added to the seed for the games of the measurement."""


KINDS = {
    "none": "none",
    "goal": "goal",
    "player": "player",
    "code": "code",
    "subgoal": "code",
}
"""`model.opponent_types` by the names of the tables."""


def config(name: str, seed: int, kind: str, updates: int) -> RunConfig:
    """Return the configuration of one kind of types."""
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
    """Return a row: errors on new games, and information about the player.

    Args:
        name: a game of `PLAYS`.
        seed: of play and training.
        goal: kind of types, of `KINDS`.
        episodes: number of training games; a tenth as many new ones.
        updates: gradient steps of the opponent model.
    """
    settings = config(name, seed, goal, updates)
    game = make_game(settings.game)
    lineup = seat_players(
        game, [drawn_players(settings)] * game.num_players, episodes, seed
    )
    logged = play(game, lineup, seed).episodes
    new_games = fresh_play(
        settings, game, lineup.roster, episodes // 10, seed + FRESH
    )
    train_state = set_units(
        initial_train_state(settings, game, lineup.roster), settings, logged
    )
    train_state = fit_opponents(
        settings, fill(logged), train_state, lambda _: None, lambda *_: None
    )
    buffer = fill(new_games)
    beliefs = follow_beliefs(train_state.opponents, buffer.episodes)
    expected = follow_predictions(train_state.opponents, buffer.episodes)
    judged = opponent_table(
        settings,
        train_state.opponents,
        lineup.roster,
        buffer,
        beliefs,
        expected,
        all_indices(new_games),
    )
    counts = [row["count"] for row in judged]
    means = {
        key: float(np.average([row[key] for row in judged], weights=counts))
        for key in ("log_loss", "top1")
    }
    found = {"seed": seed, "goal": goal, **means}
    if KINDS[goal] == "code":
        weights = label_weights(
            settings, train_state.opponents, buffer.episodes
        )
        found |= code_table(lineup.roster, new_games, beliefs, weights)
    elif goal == "player":
        by_moves = belief_table(
            settings, train_state.opponents, new_games, beliefs
        )
        assert by_moves is not None
        found["moves"] = by_moves["moves"]
    jax.clear_caches()
    return found


def hits(seeds: range, episodes: int) -> list[dict[str, Any]]:
    """Return information and hit ratios by moves, for codes that are already fitted."""
    rows = []
    for run in opponents.runs_of(list(seeds)):
        settings = opponents.settings(run, "codes")
        model = opponents.fitted(run, "codes").model  # type: ignore[attr-defined]
        new_games = fresh_play(
            run.config, run.game, run.roster, episodes, opponents.SEED
        )
        buffer = fill(new_games)
        beliefs, weights = (
            follow_beliefs(model, buffer.episodes),
            label_weights(settings, model, buffer.episodes),
        )
        rows.append(
            {"seed": run.config.seed}
            | code_table(run.roster, new_games, beliefs, weights)
        )
    return rows


def hit_table(rows: list[dict[str, Any]]) -> str:
    """Return means over seeds, with the lowest seed in brackets."""
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
    """Return the tables of results/codes/: means over seeds, with the lowest seed in brackets."""
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
            for what in ("fraction of players'", "hit ratio")
        ]
        parts += [
            f"## {path.stem}: {PLAYS[path.stem][0]}",
            f"    python -m experiments codes --game {path.stem}",
            table(["types", "log-loss, nats", "top-1"], lines),
            "Information about the player in bits (lowest seed), by moves observed:",
            table(head, bits),
        ]
    return "\n\n".join(parts)


def main() -> None:
    parser = make_parser("codes", __doc__)
    parser.add_argument("--game", choices=PLAYS, default="stay")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=10_000)
    parser.add_argument("--updates", type=int, default=4000)
    parser.add_argument("--goals", nargs="+", choices=KINDS, default=[*KINDS])
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--hits", action="store_true")
    arguments = parser.parse_args()
    if arguments.hits:
        rows = hits(
            range(arguments.first, arguments.first + arguments.seeds),
            arguments.episodes // 20,
        )
        (OUT / "hits").mkdir(exist_ok=True)
        write_json(
            OUT / "hits" / "stay.json",
            {"rows": rows, "provenance": provenance(opponents.SEED)},
        )
        print(hit_table(rows))
        return
    if not arguments.show:
        path = OUT / f"{arguments.game}.json"
        rows = json.loads(path.read_text())["rows"] if path.exists() else []
        for seed in range(arguments.first, arguments.first + arguments.seeds):
            for goal in arguments.goals:
                found = measure(
                    arguments.game,
                    seed,
                    goal,
                    arguments.episodes,
                    arguments.updates,
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
