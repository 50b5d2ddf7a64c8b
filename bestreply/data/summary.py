"""Summary of a dataset: counts and shares as plain data, and as text for a terminal."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bestreply.data.manifest import Manifest, plain
from bestreply.data.rows import to_numpy
from bestreply.utils.console import one_line, printable

COLUMNS = (
    "episode",
    "step",
    "seat",
    "action",
    "reward",
    "terminated",
    "truncated",
    "players",
    "goal",
    "goal_source",
)


def summarise(
    folder: Path,
    manifest: Manifest,
    fingerprint: str,
    tables: Iterable[pa.Table],
) -> dict[str, Any]:
    """Return counts, returns, actions, labels and ends of the play in a dataset.

    Returns are undiscounted, of one seat in one episode. A player's mean is over the
    seats and episodes that it played.

    Args:
        folder: the dataset's folder.
        manifest: its manifest.
        fingerprint: its fingerprint.
        tables: its rows, with the columns `COLUMNS`.

    Returns:
        Plain data. `terminated`: share of seats and episodes in which the game ended
        for the seat; `truncated`: share of episodes that the step limit ended.
    """
    m, tally = manifest, _Tally(manifest)
    for table in tables:
        tally.add({name: to_numpy(table[name]) for name in COLUMNS})
    sizes = [(folder / part.file).stat().st_size for part in m.parts]
    plays = int(tally.played.sum())
    return plain(
        {
            "path": str(folder),
            "game": m.game,
            "seats": m.num_players,
            "max_steps": m.max_steps,
            "obs_shape": m.obs_shape,
            "parts": len(m.parts),
            "bytes": sum(sizes),
            "seeds": [part.seed for part in m.parts],
            "fingerprint": fingerprint,
            "episodes": m.episodes,
            "steps": m.steps,
            "transitions": m.rows,
            "rate": m.rate,
            "terminated": _share(tally.over.sum(), plays),
            "truncated": _share(
                (tally.last_cut == tally.last_step).sum(), m.episodes
            ),
            "players": [_player(tally, k) for k in range(len(m.roster))],
            "actions": _frequencies(tally.actions.sum(0), m.actions),
            "goals": _labels(tally.labels, m.goals),
        }
    )


class _Tally:
    """Counts over rows. A play is one seat in one episode: episode * N + seat."""

    def __init__(self, manifest: Manifest) -> None:
        from bestreply.types import GOAL_SOURCES

        self.manifest = manifest
        self.seats = manifest.num_players
        plays, players = manifest.episodes * self.seats, len(manifest.roster)
        self.returns = np.zeros(plays)
        self.over = np.zeros(plays, bool)
        self.played = np.zeros(plays, bool)
        self.player = np.zeros(plays, np.int32)
        self.last_step = np.full(manifest.episodes, -1)
        self.last_cut = np.full(manifest.episodes, -2)
        self.by_seat = np.zeros((players, self.seats), np.int64)
        self.actions = np.zeros((players, manifest.num_actions), np.int64)
        shape = len(GOAL_SOURCES), len(manifest.goals) + 1
        self.labels = np.zeros(shape, np.int64)  # by source; "-" comes first

    def add(self, rows: dict[str, np.ndarray]) -> None:
        player, seat = rows["players"][:, 0], rows["seat"].astype(np.int64)
        play = rows["episode"] * self.seats + seat
        np.add.at(self.returns, play, rows["reward"].astype(np.float64))
        self.over[play[rows["terminated"]]] = True
        self.played[play] = True
        self.player[play] = player
        episode, step, cut = rows["episode"], rows["step"], rows["truncated"]
        np.maximum.at(self.last_step, episode, step)
        np.maximum.at(self.last_cut, episode[cut], step[cut])
        _count(self.by_seat, player, seat)
        _count(self.actions, player, rows["action"])
        _count(self.labels, rows["goal_source"], rows["goal"] + 1)


def _count(table: np.ndarray, row: np.ndarray, column: np.ndarray) -> None:
    """Add the number of times that each place occurs to a table."""
    place = row.astype(np.int64) * table.shape[1] + column
    counts = np.bincount(place, minlength=table.size)
    table += counts.reshape(table.shape)


def _player(tally: _Tally, index: int) -> dict[str, Any]:
    """Return a player's counts from its own rows and the returns of its plays."""
    m = tally.manifest
    returns = tally.returns[tally.played & (tally.player == index)]
    seats = tally.by_seat[index]
    return {
        "name": m.roster[index]["name"],
        "version": m.roster[index]["version"],
        "episodes": len(returns),
        "mean_return": returns.mean() if len(returns) else None,
        "transitions": seats.sum(),
        "transitions_by_seat": seats.tolist(),
        "actions": _frequencies(tally.actions[index], m.actions),
    }


def _frequencies(counts: np.ndarray, names: tuple[str, ...]) -> dict[str, Any]:
    total = int(counts.sum())
    return {name: _share(counts[a], total) for a, name in enumerate(names)}


def _labels(
    counts: np.ndarray, goals: tuple[str, ...]
) -> dict[str, dict[str, int]]:
    """Return the number of transitions by goal source and label ("-": none)."""
    from bestreply.types import GOAL_SOURCES

    return {
        name: dict(zip(("-", *goals), row, strict=True))
        for name, row in zip(GOAL_SOURCES, counts.tolist(), strict=True)
    }


def _share(count: Any, of: int) -> float | None:
    return float(count) / of if of else None


# -- as text -------------------------------------------------------------------


def describe(summary: dict[str, Any]) -> str:
    """Return a summary as lines of text and three tables.

    Args:
        summary: the data that `summarise` returned.

    Returns:
        The text, without a line end at its end.
    """
    s, game = summary, summary["game"]
    settings = one_line(
        ", ".join(f"{k}={v}" for k, v in game["settings"].items())
    )
    game_name = f"{one_line(game['name'])} version {game['version']}"
    shape = "x".join(map(str, s["obs_shape"])) or "of one number"
    rate = "unknown" if s["rate"] is None else f"{s['rate']:,.0f}"
    players = [
        [
            f"{one_line(p['name'])} v{p['version']}",
            f"{p['episodes']:,}",
            "-" if p["mean_return"] is None else f"{p['mean_return']:.3f}",
            *_counts([p["transitions"], *p["transitions_by_seat"]]),
        ]
        for p in s["players"]
    ]
    seats = [f"seat {k}" for k in range(s["seats"])]
    names = s["game"]["settings"].get("seat_names")
    if isinstance(names, list | tuple) and len(names) == len(seats):
        seats = [one_line(str(name)) for name in names]
    head = ["player", "episodes", "mean return", "transitions", *seats]
    actions = [
        [one_line(p["name"]), *map(_percent, p["actions"].values())]
        for p in [*s["players"], {"name": "all", "actions": s["actions"]}]
    ]
    goals = [
        [source, *_counts(labels.values())]
        for source, labels in s["goals"].items()
    ]
    labels = next(iter(s["goals"].values()))
    lines = [
        s["path"],
        f"  game        {game_name} ({settings})",
        f"  seats       {s['seats']}, observations {shape}",
        f"  play        {s['episodes']:,} episodes, {s['steps']:,} environment steps, "
        f"{s['transitions']:,} transitions",
        f"  speed       {rate} environment steps a second, compilation included",
        f"  ended       {_percent(s['truncated'])} of the episodes by the step limit (truncated), "
        f"{_percent(s['terminated'])} of the seats by the game (terminated)",
        f"  on disk     {s['bytes'] / 1e6:,.2f} MB, parts {s['parts']}, seeds {_some(s['seeds'])}",
        f"  fingerprint {s['fingerprint'][:16]}",
        *_table(head, players),
        *_table(["actions of", *map(one_line, s["actions"])], actions),
        *_table(["goal labels by", *map(one_line, labels)], goals),
    ]
    return printable("\n".join(lines))


def _counts(counts: Iterable[int]) -> list[str]:
    return [f"{count:,}" for count in counts]


def _some(values: list[Any]) -> str:
    shown = ", ".join(str(value) for value in values[:8])
    return f"{shown}, ..." if len(values) > 8 else shown or "-"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _table(head: list[str], body: list[list[str]]) -> list[str]:
    """Return an empty line and the rows of a table, the first column left-aligned."""
    rows = [head, *body]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [""]
    for row in rows:
        cells = [c.rjust(w) for c, w in zip(row, widths, strict=True)]
        cells[0] = row[0].ljust(widths[0])
        lines.append(("  " + "  ".join(cells)).rstrip())
    return lines
