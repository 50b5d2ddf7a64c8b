"""The table of what JAX compiled."""

import subprocess
import sys
from pathlib import Path

from bestreply.utils.profile import SHOWN, Profile

TRACE, LOWER, COMPILE = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)


def test_programs_of_one_function_are_added_and_the_longest_come_first():
    profile = Profile()
    for name, seconds in (("short", 0.1), ("long", 2.0), ("long", 3.0)):
        profile._took(TRACE, 0.25, fun_name=name)
        profile._took(LOWER, 0.5, fun_name=f"jit({name})")
        profile._took(COMPILE, seconds, fun_name=f"jit({name})")
    profile._took("/jax/other", 100.0, fun_name="long")
    first, second = profile.rows()
    assert first == ("long", 2, 0.5, 1.0, 5.0) and first.seconds == 6.5
    assert second.name == "short"


def test_long_tables_end_in_the_sum_of_the_others():
    profile = Profile()
    for index in range(SHOWN + 3):
        profile._took(COMPILE, 1.0, fun_name=f"jit(f{index})")
    lines = profile.text().splitlines()
    assert any(
        line.startswith("3 others") and "3.00s" in line for line in lines
    )
    assert lines[-2].split()[:2] == ["all", str(SHOWN + 3)]


def test_the_command_line_prints_it():
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("bestreply")),
            "--profile",
            "--version",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("bestreply ")
    assert "0 hits, 0 misses" in done.stderr
