"""Learn models of 43 rock-paper-scissors programs and play against all of them.

    references   players without training; results/roshambo/references.json
    train        for each of `--seeds`: logs, and rounds of own play; `--trained-on all` (43 programs) or `thirty` (13 are held out)
    judge        every trained run, with and without its parts; results/roshambo/all.json, thirty.json
    table        results/roshambo/README.md from these files

Finished work is not repeated. Two processes with different seeds share two cores well.
"""

import dataclasses
import gc
import json
import os
import time
from pathlib import Path
from typing import Any

from experiments._page import make_parser

OUT, RUNS = Path("results") / "roshambo", Path("runs") / "roshambo"
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def trained_on(kind: str) -> tuple[str, ...]:
    """Return the programs of a training set, `all` or `thirty`."""
    from experiments.roshambo.measure import groups

    return groups()["all 43" if kind == "all" else "the other 30"]


def references() -> None:
    """Measure the players without training."""
    from bestreply.utils.files import write_json
    from bestreply.utils.provenance import provenance
    from experiments.roshambo import measure

    out = OUT / "references.json"
    rows = json.loads(out.read_text())["rows"] if out.exists() else {}
    for name, make in measure.REFERENCES.items():
        if name not in rows:
            began = time.process_time()
            each, seed = measure.REFERENCE_MATCHES, measure.TEST_SEED
            rows[name] = measure.returns(
                make(), each, 5 * measure.CLOSE_MATCHES, seed
            )
            took = time.process_time() - began
            print(
                f"{name}: {measure.mean_over(rows[name], trained_on('all')):.1f}, {took:.0f} s",
                flush=True,
            )
            write_json(
                out, {"rows": rows, "provenance": provenance(measure.TEST_SEED)}
            )


def train(kind: str, seed: int) -> None:
    """Train one seed unless done, and write the time it took."""
    from bestreply.utils.files import write_json
    from experiments.roshambo.learning import Settings, learn, save

    folder = RUNS / kind / str(seed)
    if (folder / "took.json").exists():
        return
    began, busy, said = time.perf_counter(), time.process_time(), []

    def say(line: str) -> None:
        said.append(line)
        print(
            f"{kind} {seed} {time.process_time() - busy:.0f} s: {line}",
            flush=True,
        )

    save(learn(trained_on(kind), seed, Settings(), say), folder / "model.eqx")
    minutes, processor = (
        (time.perf_counter() - began) / 60,
        (time.process_time() - busy) / 60,
    )
    settings = dataclasses.asdict(Settings())
    write_json(
        folder / "took.json",
        {
            "settings": settings,
            "minutes": minutes,
            "processor_minutes": processor,
            "log": said,
        },
    )
    gc.collect()


def judge(kind: str) -> None:
    """Measure every trained seed, with and without its parts."""
    from bestreply.utils.files import write_json
    from bestreply.utils.provenance import provenance
    from experiments.roshambo import measure
    from experiments.roshambo.learning import Settings, load

    out, runs = OUT / f"{kind}.json", sorted(RUNS.glob(f"{kind}/*/took.json"))
    before: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    rows, took = before.get("rows", {}), before.get("took", {})
    for path in runs:
        seed = path.parent.name
        took[seed] = json.loads(path.read_text())
        model = load(
            path.with_name("model.eqx"),
            len(trained_on(kind)),
            Settings(**_tuples(took[seed])),
        )
        for name in measure.AGENTS:
            of_seed = rows.setdefault(name, {})
            if seed in of_seed:
                continue
            each = (
                measure.MATCHES
                if name == measure.FULL_AGENT
                else measure.PART_MATCHES
            )
            close = (
                measure.CLOSE_MATCHES
                if name == measure.FULL_AGENT and kind == "all"
                else each
            )
            player, of_test = (
                measure.agent(model, name),
                measure.TEST_SEED + 1 + int(seed),
            )
            of_seed[seed] = measure.returns(player, each, close, of_test)
            print(
                f"{kind} {seed} {name}: {measure.mean_over(of_seed[seed], trained_on('all')):.1f}",
                flush=True,
            )
            write_json(
                out,
                {
                    "rows": rows,
                    "took": took,
                    "provenance": provenance(measure.TEST_SEED),
                },
            )


def _tuples(took: dict[str, Any]) -> dict[str, Any]:
    return {
        k: tuple(v) if isinstance(v, list) else v
        for k, v in took["settings"].items()
    }


def main(given: list[str] | None = None) -> None:
    parser = make_parser("roshambo", __doc__)
    parser.add_argument("do", choices=["references", "train", "judge", "table"])
    parser.add_argument(
        "--trained-on",
        choices=["all", "thirty"],
        nargs="+",
        default=["all", "thirty"],
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    arguments = parser.parse_args(given)
    os.environ.setdefault("XLA_FLAGS", ONE_THREAD)
    from bestreply.utils.compilation import cache_compilations

    cache_compilations()
    OUT.mkdir(parents=True, exist_ok=True)
    if arguments.do == "references":
        references()
    elif arguments.do == "train":
        for seed in arguments.seeds:
            for kind in arguments.trained_on:
                train(kind, seed)
    elif arguments.do == "judge":
        for kind in arguments.trained_on:
            judge(kind)
    else:
        from bestreply.utils.files import write_text
        from experiments.roshambo.table import summary

        write_text(OUT / "README.md", summary(OUT))
        print(OUT / "README.md")


if __name__ == "__main__":
    main()
