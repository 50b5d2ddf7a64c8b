"""Compare agents with and without values that are revised in play.

    python -m experiments loops NAME=RUN ...      # --opponents PLAYER ... for the last one
    python -m experiments loops                   # only the page, from the JSON

A value that errs can hold an agent in a loop. With `planner.revise_values`, the default, the
value of an observation that was met before in the episode falls to that of the plan made
there (`bestreply/planning/revisions.py`). Each run's agent plays the same games with and
without: as it was trained; as the planner alone, which never stays close to players of its
data; and as the planner alone with its opponents predicted as uniform. Where trials chose the
planner alone, or there were none, the first two are the same.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import bestreply as br
from benchmarks.timing import table
from bestreply.evaluate import evaluate_all
from bestreply.run import Run
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments._page import details, join_page, make_parser, write_page

OUT = Path("results") / "loops"
FILE = OUT / "loops.json"
GAMES, SEED = 100, 50_000
"""Games against each opponent set, all seats in turn."""
AGENTS = {
    "agent": "agent",
    "planner": "planner alone",
    "uniform": "planner alone, opponents uniform",
}


def measure(name: str, run: Run, opponents: Sequence[str]) -> None:
    """Play with one run, and write its rows.

    Args:
        name: of the run in the page.
        run: a run of method `agent`.
        opponents: a player for each opponent set.
    """
    players = {
        f"{kind} {revised}": _agent(run, kind, revised)
        for kind in AGENTS
        for revised in (False, True)
    }
    sets = tuple(opponents)
    scores = evaluate_all(run.game, players, sets, GAMES, SEED)
    method, returns, lengths = (
        np.asarray(scores.table[column])
        for column in ("method", "return", "length")
    )
    rows = [row for row in read() if row["name"] != name]
    for kind in AGENTS:
        row: dict[str, Any] = {
            "name": name,
            "game": run.config.game,
            "seed": run.config.seed,
            "opponents": list(sets),
            "agent": kind,
        }
        for revised in (False, True):
            here = method == f"{kind} {revised}"
            row["revised" if revised else "kept"] = {
                "mean": float(returns[here].mean()),
                "stderr": float(returns[here].std() / np.sqrt(here.sum())),
                "steps": float(lengths[here].mean()),
            }
        rows.append(row)
    OUT.mkdir(parents=True, exist_ok=True)
    write_json(FILE, {"rows": rows, "provenance": provenance(SEED)})


def _agent(run: Run, kind: str, revised: bool) -> Any:
    opponents = "uniform" if kind == "uniform" else "learned"
    agent = run.agent(opponents=opponents, revise_values=revised)
    return (
        agent if kind == "agent" else dataclasses.replace(agent, anchors=None)
    )


def read() -> list[dict[str, Any]]:
    """Return the rows that were measured."""
    return json.loads(FILE.read_text("utf-8"))["rows"] if FILE.exists() else []


def summary() -> str:
    """Return the page."""
    lines = []
    for row in read():
        cells = [
            f"{part['mean']:.3f} ± {part['stderr']:.3f}, {part['steps']:.1f}"
            for part in (row["kept"], row["revised"])
        ]
        lines.append([row["name"], AGENTS[row["agent"]], *cells])
    head = ["run", "player", "values kept", "values revised"]
    games = [
        f"- {row['name']}: `{row['game']}`, training seed {row['seed']}, beside "
        + ", ".join(row["opponents"])
        for row in read()
        if row["agent"] == "agent"
    ]
    return join_page(
        [
            "# Loops",
            details(__doc__),
            f"Mean return over all opponent sets ± standard error over games ({GAMES} for each set), and "
            "mean steps of a game. One training seed each.",
            table(head, lines),
            "\n".join(games),
        ],
        OUT,
    )


def main() -> None:
    parser = make_parser("loops", __doc__)
    parser.add_argument("runs", nargs="*", metavar="NAME=RUN")
    parser.add_argument("--opponents", nargs="+", help="players, one a set")
    arguments = parser.parse_args()
    for text in arguments.runs:
        name, _, path = text.partition("=")
        run = br.load_run(path, allow_import=["experiments"])
        config = run.config
        given = arguments.opponents or config.evaluate.opponents
        measure(name, run, given or config.collect.players)
    write_page(summary(), OUT)


if __name__ == "__main__":
    main()
