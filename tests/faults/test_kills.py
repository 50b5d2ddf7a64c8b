"""Commands killed at fixed changes of a file: nothing is half, and a resumed command gives the same bits."""

import pytest

from experiments.faults.kills import Grounds, kill_once

MOMENTS = [
    ("collect", 4),
    ("collect", 12),
    ("train", 20),
    ("train", 60),
    ("evaluate", 6),
    ("report", 3),
    ("run", 7),
    ("run", 30),
    ("run", 90),
]
"""Stage and number of the change before which it is killed."""


@pytest.fixture(scope="module")
def grounds(tmp_path_factory) -> Grounds:
    return Grounds(tmp_path_factory.mktemp("kills"))


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "change"), MOMENTS)
def test_a_killed_command_resumes_to_the_same_bits(grounds, stage, change):
    grounds.prepare(stage)
    assert change <= grounds.changes[stage], "the moment is never reached"
    assert kill_once(grounds, stage, change=change).verdict.verdict == "equal"


@pytest.mark.slow
def test_the_workers_of_a_killed_sweep_end_with_it(grounds):
    killed = kill_once(grounds, "sweep", seconds=12.0)
    assert killed.verdict.verdict == "equal"
