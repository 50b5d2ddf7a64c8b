"""The same play and the same networks, byte for byte: on one core and on two, and after a kill at any moment."""

import hashlib
import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import os, signal, sys
from bestreply.config import *
from bestreply.pipeline import run_all

left = int(sys.argv[3])
replace = os.replace


def stopping(*arguments):  # each file gets its name by one call
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*arguments)


os.replace = stopping
few = TrainConfig(
    opponent_updates=4, opponent_batch=16, updates=6, batch=16, value_batch=16,
    anchor_updates=4, joint_updates=4, trial_episodes=4, log_every=1, checkpoint_every=2,
)
config = RunConfig(
    game="matrix(table=chicken, rounds=4)",
    method=sys.argv[2],
    model=ModelConfig(latent=8, width=16, depth=1),
    planner=PlannerConfig(samples=4),
    collect=CollectConfig(players=("always_c", "random"), episodes=64),
    train=few,
    evaluate=EvaluateConfig(
        episodes=4, methods=("agent",), opponents=("random",),
        reference_layouts=0, changes=False,
    ),
)
run_all(config, sys.argv[1], resume=True)
"""
MOMENTS = (1, 2, 4, 6, 8, 10, 12)
"""Files that have their names before the kill, and one more that is written: from the first
file of the run to its scores."""


def run(folder, method, *, kill=0, cores=None):
    """Run all steps in a process; return its status."""
    command = [sys.executable, "-c", SCRIPT, str(folder / "run"), method]
    if cores is not None:
        command = ["taskset", "-c", ",".join(map(str, cores)), *command]
    done = subprocess.run(
        [*command, str(kill)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def digests(folder):
    """Return the SHA-256 of rows, networks and metrics, by name of the file."""
    files = [
        path
        for pattern in ("*.safetensors", "part-*.parquet", "metrics.parquet")
        for path in folder.rglob(pattern)
    ]
    assert len(files) == 4
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="two cores of Linux",
)
def test_one_core_and_two_give_the_same_bytes(tmp_path):
    first, second, *_ = sorted(os.sched_getaffinity(0))
    for name, cores in (("one", [first]), ("two", [first, second])):
        assert run(tmp_path / name, "agent", cores=cores) == 0
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_kill_at_any_moment_changes_no_byte(tmp_path):
    method = "behaviour_cloning"
    assert run(tmp_path / "whole", method) == 0
    expected = digests(tmp_path / "whole")
    for moment in MOMENTS:
        folder = tmp_path / str(moment)
        assert run(folder, method, kill=moment) == -signal.SIGKILL
        assert run(folder, method) == 0
        assert digests(folder) == expected, moment
        assert not list(folder.rglob(".*.tmp")), moment
