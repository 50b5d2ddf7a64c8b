"""`python -m experiments.few_shot RUNS [--table]`: ten games in a row against three players of a kind that the agent has never seen.

RUNS is the folder of `bestreply sweep results/few_shot/few_shot.toml`. Weights are frozen; what an agent may take from one game to the next
is its belief. Three agents with the same models: strangers (the belief begins anew in each game), memory (`planner.memory`), memory that
also doubts that it knows everybody (`planner.unknown_type_prior`). Returns are of all seats in turn, normalised to 0 for the random
player and 1 for the exact best reply. Writes results/few_shot/hunt4.json and README.md.
"""

import argparse
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

OUT = Path("results") / "few_shot"
UNSEEN = (
    ("no_stag_hunter", "nearest_stag"),
    ("no_hare_hunter", "nearest_hare"),
    ("clumsy", "nearest_stag"),
    ("clumsy", "nearest_hare"),
)
"""Methods of the sweep, and whom each has never seen: cooperators and defectors, as published work has them. The clumsy hunters that
taught the last do at random every second step."""
AGENTS: dict[str, dict[str, Any]] = {
    "strangers": {},
    "memory": {"memory": 0.9},
    "memory and doubt": {"memory": 0.9, "unknown_type_prior": 0.05},
}
SERIES, MATCHES, SEED, LAYOUTS = 10, 128, 40_000, 32


def curve(
    run: Run, others: str, settings: dict[str, Any], reference: Reference
) -> list[float]:
    """Normalised mean return in each of `SERIES` games in a row."""
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
    """Row after row: a measurement that was stopped goes on where it was."""
    rows = json.loads(out.read_text())["rows"] if out.exists() else []
    done = [_what(row) for row in rows]
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
            if _what(cell | {"agent": name}) not in done
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


def _what(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("taught", "unseen", "agent", "seeds")}


def summary(rows: list[dict[str, Any]]) -> str:
    """Mean over seeds in the first, second, third, fifth and tenth game, and over all ten with a 95 % interval over seeds."""
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
        "taught by",
        "met",
        "belief",
        *(f"game {game}" for game in games),
        "all ten",
    ]
    notes = (
        (OUT / "notes.md").read_text() if (OUT / "notes.md").exists() else ""
    )
    parts = [
        "# Ten games against players that nobody showed it",
        (__doc__ or "").partition("\n\n")[2].strip(),
    ]
    return "\n\n".join([*parts, table(head, lines), notes]).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.few_shot",
        description=(__doc__ or "").partition("\n")[0],
    )
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
    asked = parser.parse_args()
    path = OUT / "hunt4.json"
    if not asked.table:
        measure(asked.runs, path)
    (OUT / "README.md").write_text(
        summary(json.loads(path.read_text())["rows"])
    )
    print(OUT / "README.md")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    main()
