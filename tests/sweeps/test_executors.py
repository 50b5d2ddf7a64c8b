"""An interrupted sweep ends its workers, and starts no further ones."""

import os
import signal
import subprocess
import sys
import time

import pytest

SWEEP = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.sweeps.test_executors import job
from bestreply.sweeps.executors import Job, run_in_processes
if __name__ == "__main__":
    jobs = [Job(str(n), job, (sys.argv[1], n)) for n in range(6)]
    try:
        for _ in run_in_processes(jobs, 2):
            pass
    except KeyboardInterrupt:
        sys.exit(130)
"""


def job(folder, number):
    with open(os.path.join(folder, f"{number}.pid"), "w") as file:
        file.write(str(os.getpid()))
    time.sleep(60)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interrupt_ends_the_workers(tmp_path):
    (tmp_path / "sweep.py").write_text(SWEEP)
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
    folder = tmp_path / "started"
    folder.mkdir()
    command = [sys.executable, str(tmp_path / "sweep.py"), str(folder), root]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while len(list(folder.glob("*.pid"))) < 2:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        try:
            errors = process.communicate(timeout=20)[1]
        finally:
            process.kill()
    assert process.returncode == 130
    assert "Traceback" not in errors
    workers = [int(path.read_text()) for path in folder.glob("*.pid")]
    assert len(workers) == 2
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
