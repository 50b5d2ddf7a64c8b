"""Play ten games in a row against three players of a type that the agent was not trained
on.

RUNS is the folder of `bestreply sweep results/few_shot/few_shot.toml`. Weights are
frozen: only the belief can change from game to game. Three agents with the same models:

- new belief: the belief restarts in each game.
- memory: the belief is kept (`planner.memory`).
- memory, unknown types: the opponents can also have none of the known types
  (`planner.unknown_type_prior`).

Returns are averages over seats, normalised to 0 for the random player and 1 for the
exact best reply. Writes results/few_shot/hunt4.json and README.md; `--table` writes the
README from the JSON alone.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from benchmarks.timing import table
from bestreply import load_run
from bestreply.exact.references import find_reference
from bestreply.run import Run
from bestreply.scores.references import Reference
from bestreply.simulation.lineup import fill_seats, name_opponents, seat_players
from bestreply.simulation.loop import PLANNING_CHUNK, play
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments._page import details, join_page, make_parser, write_page

OUT = Path("results") / "few_shot"
UNSEEN = (
    ("no_stag_hunter", "nearest_stag"),
    ("no_hare_hunter", "nearest_hare"),
    ("clumsy", "nearest_stag"),
    ("clumsy", "nearest_hare"),
)
"""Methods of the sweep, and the player that each was not trained on. The players that trained `clumsy` act at random every second step."""
AGENTS: dict[str, dict[str, Any]] = {
    "new belief": {},
    "memory": {"memory": 0.9},
    "memory, unknown types": {"memory": 0.9, "unknown_type_prior": 0.05},
}
SERIES, MATCHES, SEED, LAYOUTS = 10, 128, 40_000, 32


def curve(
    run: Run, others: str, settings: dict[str, Any], reference: Reference
) -> list[float]:
    """Return the normalised mean return in each of `SERIES` games in a row."""
    lineup = seat_players(
        run.game,
        [run.agent(**settings), *fill_seats(run.game, others)],
        MATCHES,
        SEED,
        rotate=True,
    )
    played = play(
        run.game, lineup, SEED, series=SERIES, lean=True, chunk=PLANNING_CHUNK
    ).episodes
    seat = np.repeat(np.arange(MATCHES) % run.game.num_players, SERIES)
    returns = played.reward.astype(np.float64).sum(1)[
        np.arange(len(seat)), seat
    ]
    found = [
        reference.normalised(float(mean), None)
        for mean in returns.reshape(MATCHES, SERIES).mean(0)
    ]
    return [value[0] for value in found if value is not None]


def measure(folder: Path, out: Path) -> None:
    """Measure the missing rows and write the file after each."""
    rows = json.loads(out.read_text())["rows"] if out.exists() else []
    done = [_identity(row) for row in rows]
    for method, other in UNSEEN:
        runs = [load_run(path) for path in sorted((folder / method).iterdir())]
        others = fill_seats(runs[0].game, other)
        cell = {
            "taught": ", ".join(runs[0].config.collect.players),
            "unseen": other,
            "seeds": [run.config.seed for run in runs],
        }
        missing = {
            name: settings
            for name, settings in AGENTS.items()
            if _identity(cell | {"agent": name}) not in done
        }
        if not missing:
            continue
        reference = find_reference(
            runs[0].game, name_opponents(others), others, LAYOUTS
        )
        for name, settings in missing.items():
            each = [curve(run, other, settings, reference) for run in runs]
            rows.append(cell | {"agent": name, "normalised": each})
            write_json(out, {"rows": rows, "provenance": provenance(SEED)})


def _identity(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("taught", "unseen", "agent", "seeds")}


def summary() -> str:
    """Return the page of results/few_shot/: means over seeds by game, and over all ten with half of the 95 % interval."""
    rows = json.loads((OUT / "hunt4.json").read_text())["rows"]
    games = (1, 2, 3, 5, 10)
    lines = []
    for row in rows:
        each = np.array(row["normalised"])  # [seeds, SERIES]
        mean = each.mean(1)
        spread = ", one seed"
        if len(mean) > 1:
            spread = f" ± {stdtrit(len(mean) - 1, 0.975) * mean.std(ddof=1) / len(mean) ** 0.5:.3f}"
        cells = [f"{each[:, game - 1].mean():.3f}" for game in games]
        lines.append(
            [
                row["taught"],
                f"3 {row['unseen']}",
                row["agent"],
                *cells,
                f"{mean.mean():.3f}{spread}",
            ]
        )
    head = [
        "trained on",
        "opponents",
        "agent",
        *(f"game {game}" for game in games),
        "all ten",
    ]
    parts = ["# Ten games against an unseen type", details(__doc__)]
    return join_page([*parts, table(head, lines)], OUT)


def main() -> None:
    parser = make_parser("few_shot", __doc__)
    parser.add_argument(
        "runs",
        nargs="?",
        type=Path,
        default=Path("runs") / "few_shot" / "hunt4",
    )
    parser.add_argument(
        "--table",
        action="store_true",
        help="write the README from the JSON alone",
    )
    arguments = parser.parse_args()
    if not arguments.table:
        OUT.mkdir(parents=True, exist_ok=True)
        measure(arguments.runs, OUT / "hunt4.json")
    write_page(summary(), OUT)


if __name__ == "__main__":
    main()
