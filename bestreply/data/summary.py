"""What is in a dataset, in numbers and as text for a terminal."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bestreply.data.manifest import plain
from bestreply.data.rows import to_numpy

if TYPE_CHECKING:
    from bestreply.data.store import Store

COLUMNS = (
    "episode",
    "seat",
    "action",
    "reward",
    "terminated",
    "truncated",
    "players",
    "goal",
    "goal_source",
)


def summarise(store: "Store") -> dict[str, Any]:
    """Counts, returns, actions, labels and ends of the play in `store`, as plain data.

    Returns are undiscounted, of one seat in one episode; a player's mean is over the seats and episodes that
    it played. `terminated` is the share of these that ended because the game was over for the seat,
    `truncated` the share of episodes that the step limit ended.
    """
    m = store.manifest
    table = store.table(COLUMNS)
    rows = {name: to_numpy(table[name]) for name in COLUMNS}
    seat_of, seats, players = (
        rows["seat"].astype(np.int64),
        m.num_players,
        len(m.roster),
    )
    player_of = rows["players"][:, 0].astype(np.int64)
    play, first = np.unique(
        rows["episode"] * seats + seat_of, return_index=True
    )  # one entry per seat and episode
    index = np.searchsorted(play, rows["episode"] * seats + seat_of)
    returns = np.bincount(index, rows["reward"], len(play))
    over = np.bincount(index, rows["terminated"], len(play)) > 0
    cut = np.unique(rows["episode"][rows["truncated"]])
    return plain(
        {
            "path": str(store.path),
            "game": m.game,
            "seats": seats,
            "max_steps": m.max_steps,
            "obs_shape": m.obs_shape,
            "parts": len(m.parts),
            "bytes": sum(
                (store.path / part.file).stat().st_size for part in m.parts
            ),
            "seeds": [part.seed for part in m.parts],
            "fingerprint": store.fingerprint,
            "episodes": m.episodes,
            "steps": m.steps,
            "transitions": m.rows,
            "rate": m.rate,
            "terminated": _share(over.sum(), len(play)),
            "truncated": _share(len(cut), m.episodes),
            "players": [
                _player(
                    k, m, player_of, rows, returns, player_of[first], seat_of
                )
                for k in range(players)
            ],
            "actions": _frequencies(rows["action"], m.actions),
            "goals": _labels(rows["goal"], rows["goal_source"], m.goals),
        }
    )


def _player(
    k: int,
    m: Any,
    player_of: Any,
    rows: Any,
    returns: Any,
    player_of_play: Any,
    seat_of: Any,
) -> dict[str, Any]:
    mine, plays = player_of == k, returns[player_of_play == k]
    return {
        "name": m.roster[k]["name"],
        "version": m.roster[k]["version"],
        "episodes": len(plays),
        "mean_return": plays.mean() if len(plays) else None,
        "transitions": int(mine.sum()),
        "transitions_by_seat": np.bincount(
            seat_of[mine], minlength=m.num_players
        ).tolist(),
        "actions": _frequencies(rows["action"][mine], m.actions),
    }


def _frequencies(actions: np.ndarray, names: tuple[str, ...]) -> dict[str, Any]:
    counts = np.bincount(actions, minlength=len(names))
    return {
        name: _share(counts[a], len(actions)) for a, name in enumerate(names)
    }


def _labels(
    goal: np.ndarray, source: np.ndarray, goals: tuple[str, ...]
) -> dict[str, dict[str, int]]:
    """How many transitions bear which label ("-": none), by how it was come by."""
    from bestreply.types import GOAL_SOURCES

    counts = np.bincount(
        source.astype(np.int64) * (len(goals) + 1) + goal + 1,
        minlength=len(GOAL_SOURCES) * (len(goals) + 1),
    )
    counts = counts.reshape(len(GOAL_SOURCES), len(goals) + 1).tolist()
    return {
        name: dict(zip(("-", *goals), row, strict=True))
        for name, row in zip(GOAL_SOURCES, counts, strict=True)
    }


def _share(count: Any, of: int) -> float | None:
    return float(count) / of if of else None


# -- as text -------------------------------------------------------------------------------------------------


def describe(summary: dict[str, Any]) -> str:
    """A summary as some lines of text and three tables."""
    s = summary
    settings = ", ".join(
        f"{name}={value}" for name, value in s["game"]["settings"].items()
    )
    lines = [
        s["path"],
        f"  game        {s['game']['name']} version {s['game']['version']} ({settings})",
        f"  seats       {s['seats']}, observations {'x'.join(map(str, s['obs_shape'])) or 'of one number'}",
        f"  play        {s['episodes']:,} episodes, {s['steps']:,} environment steps, "
        f"{s['transitions']:,} transitions",
        f"  gathered    {'at an unknown rate' if s['rate'] is None else _a_second(s['rate'])}",
        f"  ended       {_percent(s['truncated'])} of the episodes by the step limit (truncated), "
        f"{_percent(s['terminated'])} of the seats by the game (terminated)",
        f"  on disk     {s['bytes'] / 1e6:,.2f} MB, parts {s['parts']}, seeds {_some(s['seeds'])}",
        f"  fingerprint {s['fingerprint'][:16]}",
    ]
    by_seat = [f"seat {k}" for k in range(s["seats"])]
    players = [
        [
            f"{p['name']} v{p['version']}",
            f"{p['episodes']:,}",
            _number(p["mean_return"]),
            f"{p['transitions']:,}",
        ]
        + [f"{count:,}" for count in p["transitions_by_seat"]]
        for p in s["players"]
    ]
    lines += [
        "",
        *_table(
            ["player", "episodes", "mean return", "transitions", *by_seat],
            players,
        ),
    ]
    actions = [
        [p["name"], *map(_percent, p["actions"].values())] for p in s["players"]
    ]
    lines += [
        "",
        *_table(
            ["actions of", *s["actions"]],
            [*actions, ["all", *map(_percent, s["actions"].values())]],
        ),
    ]
    goals = [
        [source, *(f"{count:,}" for count in counts.values())]
        for source, counts in s["goals"].items()
    ]
    lines += [
        "",
        *_table(["goal labels by", *next(iter(s["goals"].values()))], goals),
    ]
    return "\n".join(lines)


def _some(values: list[Any]) -> str:
    shown = ", ".join(str(value) for value in values[:8])
    return f"{shown}, ..." if len(values) > 8 else shown or "-"


def _a_second(rate: float) -> str:
    return f"{rate:,.0f} environment steps a second, compilation included"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(head: list[str], body: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    rows = [
        [
            cell.rjust(w) if k else cell.ljust(w)
            for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        for row in (head, *body)
    ]
    return ["  " + "  ".join(row).rstrip() for row in rows]
