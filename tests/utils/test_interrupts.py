"""Ctrl-C: the first one raises KeyboardInterrupt, the second one ends a process whatever it does."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

BUSY = """
import hashlib, sys, time
from bestreply.utils.interrupts import end_on_second_interrupt
end_on_second_interrupt()
end_on_second_interrupt()  # changes nothing
print("ready", flush=True)
try:
    if sys.argv[1] == "compiling":  # a long call that does not return to Python
        hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
    if sys.argv[1] == "finalising":
        class Slow:
            def __del__(self):
                time.sleep(30)  # an exception in here is dropped
        Slow()
    time.sleep(30)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def interrupted(state, cleaning, pauses):
    """Return status, output and errors of a process that is interrupted after each pause."""
    command = [sys.executable, "-c", BUSY, state, cleaning]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for pause in pauses:
            time.sleep(pause)
            process.send_signal(signal.SIGINT)
        try:
            output, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    return process.returncode, output, errors


@pytest.mark.parametrize("state", ["waiting", "finalising"])
def test_the_first_interrupt_is_an_exception(state):
    assert interrupted(state, "0", [0.1]) == (0, "interrupted\n", "")


def test_interrupts_at_once_are_one():
    status, output, errors = interrupted("waiting", "0.3", [0.1, 0.01])
    assert (status, output, errors) == (0, "interrupted\n", "")


@pytest.mark.parametrize("state", ["waiting", "compiling"])
def test_the_second_interrupt_ends_the_process(state):
    status, output, errors = interrupted(state, "30", [0.1, 0.4])
    assert status == 130
    assert output == ("interrupted\n" if state == "waiting" else "")
    assert "interrupted twice" in errors and "Traceback" not in errors
