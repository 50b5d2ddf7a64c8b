"""Damage inputs, checkpoints and running commands at random, and count what breaks.

    python -m experiments faults --minutes 30 --seed 1

- **Kills**: SIGKILL at random moments of collect, train, evaluate, report, run and
  sweep, half of them just before a change of a file. Each is resumed; the result
  must equal that of an uninterrupted command bit for bit, times excepted.
- **Inputs**: manifests, Parquet files, configurations, sweeps, specs, command lines,
  tables, runs, requests to the play server, each with a few changes or damaged bytes.
- **Checkpoints**: bits, headers, types, shapes and lengths; a run with one whole
  checkpoint left must open with it.

Verdicts that are faults:

| verdict | meaning |
|---|---|
| lost | whole content on disk was not found again, or a file was half written |
| silent | accepted, and the content is not what the input says; or markup or an escape sequence of a name reached a page or the terminal |
| traceback | an exception that is no error of a person's input, or the end of the process |
| vague | refused, with an error of a library below that names no remedy |
| hang | no answer within 20 s, or workers that outlive their parent |
| memory | more than 2 GB resident, or an allocation that failed |

Inputs without a checksum that read as another valid input are no faults. The kinds
of inputs are functions in `experiments/faults/inputs_data.py` and its neighbours;
`tests/faults/` runs the same kinds with hypothesis.
"""

import tempfile
import threading
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from experiments._page import make_parser, write_page

INPUTS_A_MINUTE, KILLS_A_MINUTE, CHECKPOINTS_A_MINUTE = 2000, 1.7, 10


def main() -> None:
    """Run a campaign, or one input again."""
    arguments = _arguments()
    if arguments.only is not None:
        run_one(arguments.only, arguments.seed, arguments.checkpoint)
        return
    from experiments.faults.table import summary

    if not arguments.table:
        campaign(arguments)
    write_page(summary(arguments.out, __doc__), arguments.out)


def _arguments() -> Namespace:
    from experiments.faults.table import OUT

    parser = make_parser("faults", __doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=30, help="duration, about")
    add("--seed", type=int, default=0, help="seed of all draws")
    add("--workers", type=int, default=2, help="processes that read inputs")
    add("--out", type=Path, default=OUT, help="folder of table and page")
    add("--only", type=int, help="run the input with this number again")
    add("--checkpoint", action="store_true", help="with --only: a checkpoint")
    add("--table", action="store_true", help="write the README alone")
    return parser.parse_args()


def run_one(number: int, seed: int, checkpoints: bool) -> None:
    """Show an input, its verdict, and the exception with its traceback.

    Args:
        number: number of the input.
        seed: seed of the campaign.
        checkpoints: it is a damaged checkpoint.
    """
    from experiments.faults.kinds import trial_of
    from experiments.faults.samples import Samples
    from experiments.faults.verdicts import judge
    from experiments.faults.workers import limit_memory

    with tempfile.TemporaryDirectory() as folder:
        samples = Samples(Path(folder))
        limit_memory()
        name, trial = trial_of(number, seed, samples, checkpoints=checkpoints)
        verdict = judge(trial)
        print(f"{name}: {trial.shown!r}\n{verdict.verdict}: {verdict.detail}")
        if verdict.verdict not in ("equal", "other", "hang"):
            trial.read()


def campaign(arguments: Namespace) -> None:
    """Kill, damage and count; append the row and name every fault on the way.

    Args:
        arguments: the options.
    """
    from experiments.faults.table import add_row
    from experiments.faults.verdicts import BAD
    from experiments.faults.workers import Done, run_trials

    begun, minutes = time.monotonic(), arguments.minutes
    until = begun + 60 * minutes
    faults: list[Done] = []
    counts: Counter[str] = Counter()

    def take(name: str, trials: Iterable[Done]) -> None:
        for done in trials:
            counts[name] += 1
            if done.verdict.verdict in BAD:
                faults.append(done)
                _tell(name, done)

    with tempfile.TemporaryDirectory() as folder:
        killer = threading.Thread(
            target=lambda: take("kills", _kills(arguments, Path(folder), until))
        )
        killer.start()
        for name, per_minute in (
            ("checkpoints", CHECKPOINTS_A_MINUTE),
            ("inputs", INPUTS_A_MINUTE),
        ):
            trials = run_trials(
                range(round(per_minute * minutes)),
                arguments.seed,
                workers=arguments.workers,
                until=until,
                checkpoints=name == "checkpoints",
            )
            take(name, trials)
            _progress(begun, counts)
        killer.join()
    took = (time.monotonic() - begun) / 60
    known = {n: counts[n] for n in ("kills", "inputs", "checkpoints")}
    print(add_row(arguments.out, arguments.seed, took, known, faults))


def _kills(arguments: Namespace, folder: Path, until: float):
    """Yield the kills of a campaign in the form of trials."""
    from experiments.faults.kills import Grounds, kills
    from experiments.faults.workers import Done

    count = round(KILLS_A_MINUTE * arguments.minutes)
    killed = kills(count, arguments.seed, Grounds(folder), until=until)
    for number, kill in enumerate(killed):
        yield Done(number, f"kill of {kill.stage}", kill.verdict, kill.moment)


def _tell(name: str, done) -> None:
    verdict = done.verdict
    detail = verdict.detail.encode("utf-8", "backslashreplace").decode()
    print(
        f"{name} {done.number} {done.kind} {verdict.verdict}: {detail[:300]!r}"
    )


def _progress(begun: float, counts: Counter) -> None:
    took = time.monotonic() - begun
    print(f"{took / 60:.1f} min: {dict(counts)}", flush=True)


if __name__ == "__main__":
    main()
