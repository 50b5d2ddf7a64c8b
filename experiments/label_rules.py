"""Compare the rules that label goals (`train.labels`): steps kept, and the opponent model
that each rule trains.

    python -m experiments label_rules --out FILE     # measure every rule on the same play
    python -m experiments label_rules                # print the commands and the table of results/label_rules/README.md

`--quick` runs in seconds.
"""

import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.timing import table
from bestreply.analysis.model_diagnostics import opponent_table
from bestreply.config import RunConfig, preset
from bestreply.games import make_game
from bestreply.opponents.filtering import follow_beliefs, follow_predictions
from bestreply.opponents.labels import RULES, label_weights
from bestreply.replay.moa_buffer import all_indices, fill
from bestreply.simulation.lineup import drawn_players, seat_players
from bestreply.simulation.loop import play
from bestreply.train import HOLDOUT_FRACTION, split_episodes
from bestreply.training.loop import fit_opponents
from bestreply.training.state import initial_train_state
from bestreply.types import ABSENT, Episodes
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments._page import make_parser

OUT = Path("results") / "label_rules"
COMMAND = "python -m experiments label_rules"
FORMER_COMMANDS = (
    "bestreply data compare-rules",
    "python -m experiments.label_rules",
)
"""Commands in the provenance of older files."""
MEASURES = ("steps", "per_env_step", "per_second", "log_loss", "top1")
"""Labelled steps kept: all, for each environment step, for each second of play and labelling; then the opponent model on held-out play."""


def compare_rules(
    config: RunConfig, players: Sequence[str], episodes: int, seeds: int
) -> dict[str, Any]:
    """Measure every rule on the same play, once for each of the seeds `config.seed`, `config.seed + 1`, ...

    Args:
        config: game, model sizes and number of updates; its model is conditioned on goals.
        players: one name for each seat, or one name for all seats.
        episodes: number of episodes for each seed.
        seeds: number of seeds.

    Returns:
        Plain data; `rows` holds for each rule `MEASURES`, one number for each seed.

    Raises:
        ValueError: the game declares no goals.
    """
    game = make_game(config.game)
    if len(game.goals) < 2:
        raise ValueError(
            f"game={config.game}: expected a game with goals, such as stag_hunt"
        )
    model = dataclasses.replace(config.model, opponent_types="goal")
    cells: dict[str, dict[str, list[float]]] = {
        rule: {name: [] for name in MEASURES} for rule in RULES
    }
    for seed in range(config.seed, config.seed + seeds):
        names = (
            list(players) * game.num_players
            if len(players) == 1
            else list(players)
        )
        lineup = seat_players(game, names, episodes, seed)
        play(game, lineup, seed)  # compile
        begun = time.perf_counter()
        played = play(game, lineup, seed).episodes
        seconds = time.perf_counter() - begun
        for rule in RULES:
            train = dataclasses.replace(config.train, labels=rule)
            seeded = dataclasses.replace(
                config, model=model, train=train, seed=seed
            )
            for name, value in measure(
                seeded, played, lineup.roster, seconds
            ).items():
                cells[rule][name].append(value)
    rows = [
        {"rule": rule, "player": "all", **cell} for rule, cell in cells.items()
    ]
    facts = {"episodes": episodes, "updates": config.train.opponent_updates}
    seeds_used = [config.seed + number for number in range(seeds)]
    return {
        "game": config.game,
        "players": list(players),
        **facts,
        "seeds": seeds_used,
        "rows": rows,
    }


def measure(
    config: RunConfig,
    played: Episodes,
    roster: list[dict[str, Any]],
    seconds: float,
) -> dict[str, float]:
    """Return `MEASURES` of the rule `config.train.labels` on play that took `seconds`."""
    game = make_game(config.game)
    episodes, held_out = split_episodes(played, HOLDOUT_FRACTION, config.seed)
    train_state = initial_train_state(config, game, roster)
    train_state = fit_opponents(
        config, fill(episodes), train_state, lambda _: None, lambda *_: None
    )
    label_weights(config, train_state.opponents, played)  # compile
    begun = time.perf_counter()
    weights = label_weights(config, train_state.opponents, played)
    seconds += time.perf_counter() - begun
    buffer = fill(held_out)
    beliefs = follow_beliefs(train_state.opponents, buffer.episodes)
    predictions = follow_predictions(train_state.opponents, buffer.episodes)
    by_player = opponent_table(
        config,
        train_state.opponents,
        roster,
        buffer,
        beliefs,
        predictions,
        all_indices(held_out),
    )
    counts = [row["count"] for row in by_player]
    scores = {
        name: float(
            np.average([row[name] for row in by_player], weights=counts)
        )
        for name in ("log_loss", "top1")
    }
    steps = int(((weights.sum(-1) > 0) & (played.action != ABSENT)).sum())
    jax.clear_caches()
    per_step, per_second = steps / int(played.length.sum()), steps / seconds
    return {
        "steps": steps,
        "per_env_step": per_step,
        "per_second": per_second,
        **scores,
    }


def summary() -> str:
    """Return the commands and the table: a row for each file and rule, compared with the rule `event`."""
    rows, commands = [], []
    for path in sorted(OUT.glob("*.json")):
        found = json.loads(path.read_text())
        command = found["provenance"]["command"]
        for former in FORMER_COMMANDS:
            command = command.replace(former, COMMAND)
        commands.append(f"    {command}")
        by_rule = {
            row["rule"]: row for row in found["rows"] if row["player"] == "all"
        }
        base = by_rule["event"]
        for rule, row in by_rule.items():
            ratio = np.mean(row["steps"]) / np.mean(base["steps"])
            difference = np.array(row["log_loss"]) - base["log_loss"]
            means = {name: np.mean(row[name]) for name in MEASURES}
            rows.append(
                [
                    path.stem,
                    rule,
                    f"{means['per_env_step']:.2f}",
                    f"{ratio:.1f}",
                    f"{means['per_second']:,.0f}",
                    f"{means['log_loss']:.3f}",
                    f"{difference.mean():+.3f} ({difference.max():+.3f})",
                    f"{means['top1']:.3f}",
                ]
            )
    kept = [
        "steps kept per environment step",
        "relative to `event`",
        "steps per second",
    ]
    head = [
        "play",
        "rule",
        *kept,
        "log-loss, nats",
        "minus `event` (worst seed)",
        "top-1",
    ]
    return "\n".join([*commands, "", table(head, rows)])


def main(arguments: Sequence[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = make_parser("label_rules", __doc__)
    parser.add_argument("--game", default=RunConfig.game)
    parser.add_argument(
        "--players",
        nargs="+",
        help="by default a mixture of the game's standard players",
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=2000)
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument(
        "--out",
        type=Path,
        help="JSON file to write; without it the table is printed",
    )
    parser.add_argument(
        "--quick", action="store_true", help="20 episodes, 10 updates, one seed"
    )
    options = parser.parse_args(arguments)
    if options.out is None:
        print(summary())
        return
    if options.quick:
        options.episodes, options.updates, options.seeds = 20, 10, 1
    demo = preset("demo")
    train = dataclasses.replace(demo.train, opponent_updates=options.updates)
    config = dataclasses.replace(demo, game=options.game, train=train)
    players = options.players or [drawn_players(config)]
    found = compare_rules(config, players, options.episodes, options.seeds)
    command = f"{COMMAND} {shlex.join(arguments)}"
    write_json(
        options.out, found | {"provenance": provenance(config.seed, command)}
    )
    print(options.out)


if __name__ == "__main__":
    main()
