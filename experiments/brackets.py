"""`python -m experiments.brackets [--table]`: between what the best reply lies where it cannot be solved, and how near, where it can be.

    search   what rollouts in the true game among the true players have (`bestreply.exact.rollout_search`): the best reply has at least that
    exact    the best reply's return by dynamic programming, or of the one who is told whom a mixture drew
    bound    what one has who foresees every draw (`bestreply.exact.bounds`): no reply has more

Undiscounted returns, mean ± standard error over games, layouts and futures; the three are of different draws. Row after row into
results/brackets/brackets.json: a measurement that was stopped goes on where it was. `--table` writes the README from that file alone.
"""

import argparse
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
    game = make_game(spec)
    others = fill_seats(game, other)
    begun = time.perf_counter()
    reference = find_reference(game, name_opponents(others), others, LAYOUTS)
    solved = time.perf_counter()
    above = information_relaxation_bound(
        game, others, futures=FUTURES, seed=SEED
    )
    bounded = time.perf_counter()
    policies = [make_player(name, game) for name in standard_players(game)]
    below = rollout_search(
        game, others, policies, games=GAMES, rollouts=ROLLOUTS, seed=SEED
    )
    seconds = {
        "exact": solved - begun,
        "bound": bounded - solved,
        "search": time.perf_counter() - bounded,
    }
    kind = (
        ""
        if reference.missing or reference.kind == "information relaxation"
        else reference.kind
    )
    best = (
        Estimate(
            reference.best, reference.best_stderr, reference.layouts
        )._asdict()
        if kind
        else None
    )
    return {
        "game": spec,
        "others": name_opponents(others),
        "search": below._asdict(),
        "exact": best,
        "kind": kind,
        "bound": above._asdict() if above else None,
        "seconds": seconds,
    }


def measure() -> None:
    path = OUT / "brackets.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    done = [(row["game"], row["others"]) for row in rows]
    for spec, other in SETTINGS:
        game = make_game(spec)
        if (spec, name_opponents(fill_seats(game, other))) not in done:
            rows.append(measured(spec, other))
            write_json(path, {"rows": rows, "provenance": provenance(SEED)})


def summary() -> str:
    rows = json.loads((OUT / "brackets.json").read_text())["rows"]
    parts = [
        "# Where the best reply lies",
        (__doc__ or "").partition("\n\n")[2].strip(),
    ]
    there = {row["game"] for row in rows}
    for spec in dict.fromkeys(spec for spec, _ in SETTINGS if spec in there):
        lines = [
            [
                row["others"],
                _told(row["search"]),
                ("at most " if row["kind"] == "upper bound" else "")
                + _told(row["exact"]),
                _told(row["bound"]),
                *(
                    f"{row['seconds'][part]:.0f}"
                    for part in ("search", "exact", "bound")
                ),
            ]
            for row in rows
            if row["game"] == spec
        ]
        head = [
            "against",
            "search",
            "exact",
            "bound",
            "s: search",
            "exact",
            "bound",
        ]
        parts += [f"## {spec}", table(head, lines)]
    notes = OUT / "notes.md"
    return (
        "\n\n".join(
            [*parts, notes.read_text() if notes.exists() else ""]
        ).rstrip()
        + "\n"
    )


def _told(found: dict[str, Any] | None) -> str:
    if found is None:
        return "-"
    return f"{found['mean']:.2f} ± {found['stderr']:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.brackets",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument(
        "--table",
        action="store_true",
        help="write the README from the JSON alone",
    )
    if not parser.parse_args().table:
        cache_compilations()
        measure()
    (OUT / "README.md").write_text(summary())
    print(OUT / "README.md")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    main()
