"""Kill commands at random moments, resume them, and compare with a run that nobody killed."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from experiments.faults.contents import contents, halves
from experiments.faults.verdicts import Verdict

GAME = "stag_hunt(height=3, width=3, hunters=2, stags=1, hares=2, max_steps=6)"
TINY = shlex.split(
    "--preset debug --train.opponent-updates 6 --train.updates 8 "
    "--train.log-every 2 --train.checkpoint-every 2 --evaluate.episodes 8 "
    "--evaluate.reference-layouts 0 --evaluate.opponents nearest_stag "
    "--evaluate.methods agent random"
)
SWEEP = f"""preset = "debug"
seeds = 2
game = "{GAME}"
[config]
collect = {{episodes = 64}}
train = {{opponent_updates = 4, updates = 4, log_every = 2, checkpoint_every = 2}}
evaluate = {{episodes = 8, reference_layouts = 0, opponents = ["nearest_stag"], methods = ["agent"]}}
[methods.ours]
[methods.bc]
method = "behaviour_cloning"
"""
SECONDS = 240
"""Longest time of a command; longer is a hang."""


class Stage(NamedTuple):
    """A command to kill."""

    name: str
    needs: str
    """The stage whose result it starts from; empty: an empty folder."""
    words: list[str]
    resume: list[str]
    """The command that continues it."""


def _stages() -> list[Stage]:
    collect = ["collect", "--game", GAME, "--episodes", "64", "--seed", "1"]
    collect += ["--players", "mixture(nearest_stag, nearest_hare)"]
    collect += ["--out", "datasets/a"]
    train = ["train", "datasets/a", *TINY, "--out", "runs/a"]
    run = ["run", *TINY, "--game", GAME, "--collect.episodes", "64"]
    run += ["--out", "runs/r"]
    evaluate, report = ["evaluate", "runs/a"], ["report", "runs/a"]
    sweep = ["sweep", "sweep.toml", "--out", "runs/s", "--workers", "2"]
    return [
        Stage("collect", "", collect, collect),
        Stage("train", "collect", train, [*train, "--resume"]),
        Stage("evaluate", "train", evaluate, evaluate),
        Stage("report", "evaluate", report, report),
        Stage("run", "", run, [*run, "--resume"]),
        Stage("sweep", "", sweep, sweep),
    ]


STAGES = {stage.name: stage for stage in _stages()}
ORDER = shlex.split(
    "collect train report evaluate run collect train report sweep collect "
    "train evaluate report"
)
"""Stages in the order in which a campaign kills them; short ones more often."""


class Kill(NamedTuple):
    """One kill and what came of it."""

    stage: str
    moment: str
    verdict: Verdict


class Grounds:
    """A folder with the result of each stage, uninterrupted, and the time that it took."""

    def __init__(self, folder: Path) -> None:
        """Prepare.

        Args:
            folder: an empty folder.
        """
        self.folder = folder
        self.seconds: dict[str, float] = {}
        self.changes: dict[str, int] = {}
        self.expected: dict[str, dict[str, str]] = {}

    def prepare(self, name: str) -> None:
        """Run a stage without a kill, and the stages that it needs, once.

        Args:
            name: name of the stage.
        """
        if name in self.seconds:
            return
        stage = STAGES[name]
        if stage.needs:
            self.prepare(stage.needs)
        self.fresh(stage, self.folder / name)
        begun, count = time.monotonic(), self.folder / f"{name}.count"
        status, said = self.command(stage.words, self.folder / name, 0, count)
        if status:
            raise RuntimeError(f"{name} fails without a kill: {said}")
        self.seconds[name] = time.monotonic() - begun
        self.changes[name] = int(count.read_text())
        self.expected[name] = contents(self.folder / name)

    def fresh(self, stage: Stage, place: Path) -> None:
        """Make the folder that a stage starts from.

        Args:
            stage: the stage.
            place: the folder; what is there is removed.
        """
        shutil.rmtree(place, ignore_errors=True)
        if stage.needs:
            shutil.copytree(self.folder / stage.needs, place)
        else:
            place.mkdir(parents=True)
            (place / "sweep.toml").write_text(SWEEP)

    def start(
        self,
        words: list[str],
        place: Path,
        last: int = 0,
        count: Path | None = None,
    ) -> subprocess.Popen:
        """Start a command in a folder, in a process group of its own.

        Args:
            words: the command line.
            place: the folder.
            last: the change of a file before which it is killed; 0: none.
            count: file for the number of changes.
        """
        module = [sys.executable, "-m", "experiments.faults.killed"]
        file = str(count or self.folder / "rest.count")
        return subprocess.Popen(
            [*module, str(last), file, *words],
            cwd=place,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def command(
        self,
        words: list[str],
        place: Path,
        last: int = 0,
        count: Path | None = None,
    ) -> tuple[int, str]:
        """Run a command to its end.

        Args:
            words: the command line.
            place: its working directory.
            last: the change of a file before which it is killed; 0: none.
            count: file for the number of changes.

        Returns:
            Exit status, and what it printed; status -1 after `SECONDS`.
        """
        process = self.start(words, place, last, count)
        try:
            said, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            stop_group(process)
            return -1, "no end"
        return process.returncode, said

    def _environment(self) -> dict[str, str]:
        root = str(Path(__file__).parents[2])
        return os.environ | {
            "PYTHONPATH": root,
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(self.folder / "cache"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "none",
            "XLA_FLAGS": "--xla_backend_optimization_level=0",
        }


def stop_group(process: subprocess.Popen) -> None:
    """Kill a process and its children.

    Args:
        process: the leader of its group.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def kill_once(
    grounds: Grounds, name: str, *, change: int = 0, seconds: float = 0.0
) -> Kill:
    """Kill a stage, look at what it left, resume it, and compare.

    Args:
        grounds: the uninterrupted results.
        name: name of the stage.
        change: the change of a file before which it is killed; 0: by time.
        seconds: time after which it is killed, alone: its workers must end too.
    """
    grounds.prepare(name)
    stage, place = STAGES[name], grounds.folder / "killed"
    grounds.fresh(stage, place)
    moment = f"change {change}" if change else f"{seconds:.2f} s"
    if change:
        grounds.command(stage.words, place, change)
    elif not _killed_after(grounds, stage, place, seconds):
        return Kill(name, moment, Verdict("hang", "workers outlive the parent"))
    if broken := halves(place):
        return Kill(name, moment, Verdict("lost", f"half: {broken[:3]}"))
    return Kill(name, moment, _resumed(grounds, stage, place))


def _killed_after(
    grounds: Grounds, stage: Stage, place: Path, seconds: float
) -> bool:
    """Kill a command, and return whether its workers end with it within 20 s."""
    process = grounds.start(stage.words, place)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    process.kill()
    end = time.monotonic() + 20
    while time.monotonic() < end:
        process.poll()
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            process.communicate()
            return True
        time.sleep(0.2)
    stop_group(process)
    return False


def _resumed(grounds: Grounds, stage: Stage, place: Path) -> Verdict:
    """Resume a killed stage; its files must be those of the uninterrupted one."""
    has_play = list(place.glob("datasets/a/part-*.parquet"))
    if stage.name != "collect" or not _is_recorded(place):
        status, said = grounds.command(stage.resume, place)
        if "Traceback (most recent call last)" in said:
            return Verdict("traceback", said[-1500:])
        if status:
            kind = "hang" if status == -1 else "lost"
            return Verdict(kind, f"resume fails: {said[-1500:]} {has_play}")
    found, expected = contents(place), grounds.expected[stage.name]
    if missing := sorted(expected.keys() - found.keys()):
        return Verdict("lost", f"missing: {missing}")
    if more := sorted(found.keys() - expected.keys()):
        return Verdict("silent", f"more than uninterrupted: {more}")
    if other := sorted(k for k in expected if expected[k] != found[k]):
        return Verdict("silent", f"other bits: {other}")
    if left := sorted(str(p.relative_to(place)) for p in place.rglob("*.tmp")):
        return Verdict("equal", f"temporary files stay: {left}")
    return Verdict("equal")


def _is_recorded(place: Path) -> bool:
    """Return whether the dataset of `collect` names its part: nothing is left to do."""
    manifest = place / "datasets" / "a" / "manifest.json"
    return manifest.exists() and "part-00000" in manifest.read_text("utf-8")


def kills(
    count: int, seed: int, grounds: Grounds, *, until: float
) -> Iterator[Kill]:
    """Kill stages at drawn moments: half of them at a change of a file, half at a time.

    Args:
        count: number of kills.
        seed: seed of the draws.
        grounds: the folder to work in.
        until: time (`time.monotonic`) to end at.
    """
    for number in range(count):
        if time.monotonic() > until:
            return
        draw = Random(f"kill {seed}-{number}")
        name = ORDER[number % len(ORDER)]
        try:
            grounds.prepare(name)
        except RuntimeError as error:
            yield Kill(name, "", Verdict("lost", str(error)[-1500:]))
            return
        if grounds.changes[name] and draw.random() < 0.5:
            change = 1 + draw.randrange(grounds.changes[name])
            yield kill_once(grounds, name, change=change)
        else:
            after = draw.uniform(0.2, 1.0) * grounds.seconds[name]
            yield kill_once(grounds, name, seconds=after)
