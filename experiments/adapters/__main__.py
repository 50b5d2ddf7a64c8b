"""Prove each adapter end to end: collect, train, evaluate, report.

NAMES are those of `experiments.adapters.games.PROOFS`; none: all. Writes
results/adapters/NAME.json, and the table results/adapters/README.md from all files.
"""

import dataclasses
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import bestreply as br
from benchmarks.timing import table
from bestreply.config import RunConfig
from bestreply.pipeline import run_all
from bestreply.run_data import dataset_of
from bestreply.scores.returns import Scores
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments._page import details, join_page, make_parser, write_page
from experiments.adapters.games import PLAYERS, PROOFS, Proof

OUT, RUNS = Path("results") / "adapters", Path("runs") / "adapters"


def configuration(proof: Proof, quick: bool) -> RunConfig:
    """Return the settings of a run.

    Args:
        proof: the game.
        quick: the smallest budget, to check that everything runs.
    """
    start = br.preset("debug")
    train = dataclasses.replace(
        start.train,
        **({} if quick else {"opponent_updates": 400, "updates": 800}),
    )
    makers = ("random", proof.player)
    config = dataclasses.replace(
        start,
        game=proof.game,
        train=train,
        collect=dataclasses.replace(
            start.collect,
            players=makers,
            episodes=64 if quick else proof.episodes,
        ),
        evaluate=dataclasses.replace(
            start.evaluate,
            opponents=makers,
            episodes=16 if quick else 100,
            methods=("agent", "random", proof.player),
            reference_layouts=0,
        ),
    )
    for path, value in proof.settings.items():
        config = changed(config, path, value)
    return config


def changed(config: Any, path: str, value: object) -> Any:
    """Return a configuration with one field changed, named like ``model.encoder``."""
    section, dot, rest = path.partition(".")
    if dot:
        value = changed(getattr(config, section), rest, value)
    return dataclasses.replace(config, **{section: value})


def prove(name: str, quick: bool) -> dict[str, Any]:
    """Collect, train, evaluate and report; return a row of the table.

    Args:
        name: a key of `PROOFS`.
        quick: the smallest budget.
    """
    proof, folder, load = PROOFS[name], RUNS / name, os.getloadavg()[0]
    shutil.rmtree(folder, ignore_errors=True)
    config, begin = configuration(proof, quick), time.perf_counter()
    run = run_all(
        config, folder, command=f"python -m experiments adapters {name}"
    )
    seconds = time.perf_counter() - begin
    scores = Scores.load(folder / "scores.parquet")
    game = br.make_game(proof.game)
    sets, methods = (
        list(dict.fromkeys(scores.table[column].to_pylist()))
        for column in ("opponents", "method")
    )
    return {
        "game": proof.game,
        "player": proof.player,
        "seats": game.num_players,
        "roles": list(dict.fromkeys(game.roles)),
        "obs": [*game.obs_shape, str(game.obs_dtype)],
        "actions": game.num_actions,
        "episodes": config.collect.episodes,
        "steps": br.open_store(dataset_of(folder)).manifest.steps,
        "minutes": seconds / 60,
        "load_at_start": load,
        "quick": quick,
        "returns": {
            of_set: {
                method: {
                    "mean": scores.mean(method, of_set),
                    "stderr": scores.stderr(method, of_set),
                }
                for method in methods
            }
            for of_set in sets
        },
        "facts": {} if proof.facts is None else proof.facts(),
        "report_bytes": (folder / "report.html").stat().st_size,
        "provenance": provenance(run.config.seed),
    }


def summary(rows: dict[str, dict[str, Any]]) -> str:
    """Return the table of all proofs.

    Args:
        rows: by name, as the files hold them.
    """
    lines = []
    for row in rows.values():
        adapter = row["game"].partition(":")[0]
        for other, returns in row["returns"].items():
            means = [
                f"{returns[method]['mean']:.2f} ± {returns[method]['stderr']:.2f}"
                if method in returns
                else "-"
                for method in ("agent", "random", row["player"])
            ]
            lines.append(
                [
                    f"`{row['game'].partition(':')[2].partition('(')[0]}`",
                    adapter,
                    row["seats"],
                    ", ".join(row["roles"]),
                    f"{row['steps']:,}",
                    f"{row['minutes']:.1f}",
                    other.replace(f"{PLAYERS}:", "").replace(
                        " | ", ", beside "
                    ),
                    *means,
                ]
            )
    head = ["game", "adapter", "seats", "roles", "steps collected", "minutes"]
    return table(
        [*head, "against", "agent", "random", "scripted player"], lines
    )


def page() -> str:
    """Return results/adapters/README.md from the files."""
    from experiments import adapters

    found = {
        path.stem: json.loads(path.read_text())
        for path in OUT.glob("*.json")
        if path.stem in PROOFS
    }
    rows = {name: found[name] for name in PROOFS if name in found}
    warning = [
        "**Some rows are quick runs, to check that everything runs: do not quote them.**"
    ] * any(row["quick"] for row in rows.values())
    return join_page(
        [
            "# Adapters, end to end",
            details(adapters.__doc__),
            *warning,
            "Mean return ± standard error over episodes, one training seed. Minutes: "
            "everything from collection to report, compilation included.",
            summary(rows),
            *(
                f"{name}: "
                + ", ".join(f"{v} {k}" for k, v in facts.items())
                + "."
                for name, row in rows.items()
                if (facts := row.get("facts"))
            ),
        ],
        OUT,
    )


def main() -> None:
    parser = make_parser("adapters", __doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", choices=[*PROOFS, []]
    )
    parser.add_argument(
        "--quick", action="store_true", help="the smallest budgets"
    )
    parser.add_argument(
        "--table", action="store_true", help="only write the table again"
    )
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    names = [] if arguments.table else arguments.names or list(PROOFS)
    for name in names:
        print(f"{name} ...", flush=True)
        write_json(OUT / f"{name}.json", prove(name, arguments.quick))
        write_page(page(), OUT)
    write_page(page(), OUT)


if __name__ == "__main__":
    main()
