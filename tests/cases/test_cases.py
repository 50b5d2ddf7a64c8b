"""Small inputs that once failed: each script of this folder that holds exits with 0."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
HOLDING = [
    "byte_order_marks.py",
    "wrong_settings.py",
    "method_names.py",
    "seeds.py",
    pytest.param("zero_intervals.sh", marks=pytest.mark.slow),
    pytest.param("compare_one_seed.sh", marks=pytest.mark.slow),
    pytest.param("equal_opponent_sets.sh", marks=pytest.mark.slow),
    pytest.param("one_player.sh", marks=pytest.mark.slow),
    pytest.param("diverged.sh", marks=pytest.mark.slow),
    pytest.param("x64.sh", marks=pytest.mark.slow),
    pytest.param("tensorboard_after_resume.sh", marks=pytest.mark.slow),
    pytest.param("diagnose_matrix.py", marks=pytest.mark.slow),
    pytest.param("same_run_again.sh", marks=pytest.mark.slow),
    pytest.param("collect_then_run.sh", marks=pytest.mark.slow),
    pytest.param("two_runs_at_once.sh", marks=pytest.mark.slow),
    pytest.param("typo_in_evaluation.sh", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("name", HOLDING)
def test_a_case_that_holds_still_holds(name, tmp_path):
    command = Path(sys.executable).with_name("bestreply")
    environment = os.environ | {"PY": sys.executable, "BR": str(command)}
    done = subprocess.run(
        [
            sys.executable if name.endswith(".py") else "bash",
            str(FOLDER / name),
        ],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
