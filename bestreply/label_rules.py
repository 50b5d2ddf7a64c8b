"""Which rule of labelling keeps most of the play, and which teaches the best model of the others: all rules, the same play."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.table import Table
from scipy.special import stdtrit

from bestreply.collect import play, seat_players
from bestreply.config import RunConfig
from bestreply.data.moa_buffer import all_indices, fill
from bestreply.diagnostics import opponent_table
from bestreply.games import make_game
from bestreply.games.base import Game
from bestreply.learner import start_learner
from bestreply.model.labels import RULES, label_weights
from bestreply.model.targets import follow_beliefs, follow_predictions
from bestreply.train import fit_opponents, split_episodes
from bestreply.types import ABSENT, Episodes

MEASURES = ("steps", "per_env_step", "per_second", "log_loss", "top1")
"""What is measured of each rule: labelled steps it keeps, the same for each environment step played and for each second of playing and
labelling, and of the model it teaches, on held-out play: -log of what others did, and how often that was the likeliest prediction."""


class TimedPlay(NamedTuple):
    """Play, and how long it took."""

    episodes: Episodes
    roster: list[dict[str, Any]]
    seconds: float


def compare_rules(
    config: RunConfig,
    players: Sequence[str],
    *,
    episodes: int = 2000,
    seeds: int = 3,
    rules: Sequence[str] = RULES,
) -> dict[str, Any]:
    """Plays, labels the same play by each rule, trains a model of the others on each, and measures them on the same held-out play.

    Args:
        config: names the game; model and training of the others are as it says, but goals, not players, are told apart.
        players: one for each seat, or one for all; a mixture is drawn anew for every episode.
        seeds: how often, with play and training of their own: seeds ``config.seed``, ``config.seed + 1``, ...
        rules: names of `TrainConfig.labels`.

    Returns plain data: for each rule one row for everybody and one for each player, with `MEASURES`, a number for every seed. A
    prediction is made from the belief that the model held at that step, so that no rule's own labels are the judge.

    Raises ValueError for an unknown rule, or a game in which no step ever shows a goal.
    """
    game = make_game(config.game)
    if len(game.goals) < 2:
        raise ValueError(
            f"{game.name} declares no goals, so that there is nothing to label; wanted: a game with goals, such as stag_hunt"
        )
    if unknown := [rule for rule in rules if rule not in RULES]:
        raise ValueError(f"there is no rule {', '.join(unknown)}; there are: {', '.join(RULES)}")
    model = dataclasses.replace(config.model, opponent_goal="goal")
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for number in range(seeds):
        seeded = dataclasses.replace(config, model=model, seed=config.seed + number)
        played = timed_play(game, players, episodes, seeded.seed)
        for rule in rules:
            train = dataclasses.replace(seeded.train, labels=rule)
            for player, row in measure(dataclasses.replace(seeded, train=train), game, played).items():
                cell = found.setdefault((rule, player), {name: [] for name in MEASURES})
                for name in MEASURES:
                    cell[name].append(row[name])
    return {
        "game": config.game,
        "players": list(players),
        "episodes": episodes,
        "updates": config.train.opponent_updates,
        "seeds": [config.seed + n for n in range(seeds)],
        "rows": [{"rule": rule, "player": player, **cell} for (rule, player), cell in found.items()],
    }


def timed_play(game: Game, players: Sequence[str], episodes: int, seed: int) -> TimedPlay:
    """Play, timed once it is compiled."""
    each = list(players) * game.num_players if len(players) == 1 else list(players)
    lineup = seat_players(game, each, episodes, seed)
    play(game, lineup, seed)
    begun = time.perf_counter()
    found = play(game, lineup, seed).episodes
    return TimedPlay(found, lineup.roster, time.perf_counter() - begun)


EVERYBODY = "everybody"


def measure(config: RunConfig, game: Game, played: TimedPlay) -> dict[str, dict[str, float]]:
    """`MEASURES` of the rule that `config` names, for everybody and for each player of the play."""
    episodes, held_out = split_episodes(played.episodes, config.train.holdout, config.seed)
    learner = fit_opponents(
        config,
        fill(episodes),
        start_learner(config, game, played.roster),
        lambda _: None,
        lambda *_: None,
    )
    label_weights(config, learner.opponents, played.episodes)  # compiled, as the play was
    begun = time.perf_counter()
    weights = label_weights(config, learner.opponents, played.episodes)
    seconds = played.seconds + time.perf_counter() - begun
    env_steps = int(played.episodes.length.sum())
    held = fill(held_out)
    judged = opponent_table(
        config,
        learner.opponents,
        played.roster,
        held,
        follow_beliefs(learner.opponents, held.episodes),
        follow_predictions(learner.opponents, held.episodes),
        all_indices(held_out),
    )
    counts = np.array([row["count"] for row in judged])
    everybody = {
        name: float(np.average([row[name] for row in judged], weights=counts))
        for name in ("log_loss", "top1")
    }
    kept = (weights.sum(-1) > 0) & (played.episodes.action != ABSENT)  # [E, T, N]
    rows = {EVERYBODY: everybody | {"steps": int(kept.sum())}}
    for row in judged:
        number = [entry["name"] for entry in played.roster].index(row["player"])
        mine = kept & (played.episodes.player == number)[:, None]
        rows[row["player"]] = {"log_loss": row["log_loss"], "top1": row["top1"], "steps": int(mine.sum())}
    for row in rows.values():
        row |= {"per_env_step": row["steps"] / env_steps, "per_second": row["steps"] / seconds}
    jax.clear_caches()
    return rows


def rules_table(found: dict[str, Any]) -> Table:
    """What `compare_rules` gives, for a terminal."""
    seeds = len(found["seeds"])
    table = Table(
        title=f"{found['game']}: {', '.join(found['players'])}",
        caption=f"{found['episodes']:,} episodes, {found['updates']:,} updates, {seeds} seeds: mean"
        + (" ± half a 95 % interval (Student's t)." if seeds > 1 else "; one seed: no claim about others."),
    )
    for name in ("rule", "player", "steps", "per env step", "per second", "log-loss", "top-1"):
        table.add_column(name, justify="left" if name in ("rule", "player") else "right")
    for row in found["rows"]:
        steps, density, rate, loss, right = (row[name] for name in MEASURES)
        cells = [f"{np.mean(steps):,.0f}", f"{np.mean(density):.2f}", f"{np.mean(rate):,.0f}"]
        table.add_row(row["rule"], row["player"], *cells, _interval(loss), _interval(right))
    return table


def _interval(values: Sequence[float]) -> str:
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return f"{mean:.4f}"
    return f"{mean:.4f} ± {stdtrit(n - 1, 0.975) * np.std(values, ddof=1) / n**0.5:.4f}"
