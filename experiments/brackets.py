"""Bound the best reply's return from both sides, and compare the bounds with exact
solutions.

| column | value | bound |
| --- | --- | --- |
| search | return of rollouts in the true game against the true players (`bestreply.exact.rollout_search`) | lower |
| exact | return of the best reply by dynamic programming; for a mixture, with the type given | exact, or upper |
| bound | mean over futures of the best plan for a known future (`bestreply.exact.bounds`) | upper |

Undiscounted returns, mean ± standard error over games, layouts and futures, which are
sampled separately. Each row is written to results/brackets/brackets.json when it is
finished, and an interrupted measurement continues. `--table` writes the README from
that file alone.
"""

import json
import time
from pathlib import Path
from typing import Any

from benchmarks.timing import table
from bestreply.exact.bounds import information_relaxation_bound
from bestreply.exact.references import find_reference
from bestreply.exact.rollout_search import rollout_search
from bestreply.exact.seated_game import Estimate
from bestreply.games import make_game
from bestreply.players.zoo import make_player, standard_players
from bestreply.simulation.lineup import fill_seats, name_opponents
from bestreply.utils.compilation import cache_compilations
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments._page import details, join_page, make_parser, write_page

OUT = Path("results") / "brackets"
HUNT, LONG_HUNT, LARGE_HUNT = (
    "stag_hunt(height=4, width=4, hunters=4, stags=1, hares=4, max_steps=15)",
    "stag_hunt(height=4, width=4, hunters=4, stags=1, hares=4, max_steps=35)",
    "stag_hunt(height=8, width=8, hunters=4, stags=2, hares=4, max_steps=35)",
)
DRIFT, LARGE_DRIFT = (
    "snowdrift(height=4, width=4, players=4, drifts=6, max_steps=15)",
    "snowdrift(height=6, width=6, players=4, drifts=6, max_steps=25)",
)
HUNTERS = (
    "nearest_stag",
    "nearest_hare",
    "random",
    "mixture(nearest_stag, nearest_hare, random)",
)
DRIFTERS = ("nearest_drift", "never_remove", "random")
SETTINGS = [
    *((HUNT, other) for other in HUNTERS),
    *((LONG_HUNT, other) for other in HUNTERS),
    *((DRIFT, other) for other in DRIFTERS),
    *((LARGE_HUNT, other) for other in HUNTERS),
    *((LARGE_DRIFT, other) for other in DRIFTERS),
]
GAMES, ROLLOUTS, FUTURES, LAYOUTS, SEED = 128, 64, 256, 16, 50_000


def measured(spec: str, other: str) -> dict[str, Any]:
    """Return a row: the three values and the seconds that each took.

    Args:
        spec: the game.
        other: the player of all other seats.
    """
    game = make_game(spec)
    others = fill_seats(game, other)
    begin = time.perf_counter()
    reference = find_reference(game, name_opponents(others), others, LAYOUTS)
    solved = time.perf_counter()
    bound = information_relaxation_bound(
        game, others, futures=FUTURES, seed=SEED
    )
    bounded = time.perf_counter()
    policies = [make_player(name, game) for name in standard_players(game)]
    search = rollout_search(
        game, others, policies, games=GAMES, rollouts=ROLLOUTS, seed=SEED
    )
    searched = time.perf_counter()
    is_solved = (
        not reference.missing and reference.kind != "information relaxation"
    )
    exact = Estimate(reference.best, reference.best_stderr, reference.layouts)
    return {
        "game": spec,
        "others": name_opponents(others),
        "search": search._asdict(),
        "exact": exact._asdict() if is_solved else None,
        "kind": reference.kind if is_solved else "",
        "bound": bound._asdict() if bound else None,
        "seconds": {
            "exact": solved - begin,
            "bound": bounded - solved,
            "search": searched - bounded,
        },
    }


def measure() -> None:
    """Measure the missing rows and write the file after each."""
    path = OUT / "brackets.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    done = [(row["game"], row["others"]) for row in rows]
    for spec, other in SETTINGS:
        game = make_game(spec)
        if (spec, name_opponents(fill_seats(game, other))) not in done:
            rows.append(measured(spec, other))
            write_json(path, {"rows": rows, "provenance": provenance(SEED)})


def summary() -> str:
    """Return the page of results/brackets/, from its JSON file and notes."""
    rows = json.loads((OUT / "brackets.json").read_text())["rows"]
    parts = ["# Bounds of the best reply", details(__doc__)]
    measured_games = {row["game"] for row in rows}
    for spec in dict.fromkeys(spec for spec, _ in SETTINGS):
        if spec in measured_games:
            lines = [_line(row) for row in rows if row["game"] == spec]
            parts += [f"## {spec}", table(HEAD, lines)]
    return join_page(parts, OUT)


HEAD = [
    "opponents",
    "search",
    "exact",
    "bound",
    "seconds: search",
    "exact",
    "bound",
]


def _line(row: dict[str, Any]) -> list[str]:
    prefix = "at most " if row["kind"] == "upper bound" else ""
    seconds = [row["seconds"][part] for part in ("search", "exact", "bound")]
    return [
        row["others"],
        _estimate(row["search"]),
        prefix + _estimate(row["exact"]),
        _estimate(row["bound"]),
        *(f"{each:.0f}" for each in seconds),
    ]


def _estimate(value: dict[str, Any] | None) -> str:
    if value is None:
        return "-"
    return f"{value['mean']:.2f} ± {value['stderr']:.2f}"


def main() -> None:
    parser = make_parser("brackets", __doc__)
    parser.add_argument(
        "--table",
        action="store_true",
        help="write the README from the JSON alone",
    )
    if not parser.parse_args().table:
        OUT.mkdir(parents=True, exist_ok=True)
        cache_compilations()
        measure()
    write_page(summary(), OUT)


if __name__ == "__main__":
    main()
