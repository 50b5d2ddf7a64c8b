"""JAX's settings: those under which nothing works are refused in a sentence, or reset by the command."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from bestreply.utils.compilation import (
    SMALLEST,
    cache_compilations,
    check_flags,
    reset_flags,
)
from bestreply.utils.quick import quickly


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("jax_enable_x64", True, "JAX_ENABLE_X64=True: expected False"),
        (
            "jax_numpy_rank_promotion",
            "raise",
            r"RANK_PROMOTION=raise.*Unset the variable, or call jax\.config",
        ),
        ("jax_transfer_guard_host_to_device", "disallow", "=disallow"),
    ],
)
def test_a_flag_set_in_python_is_refused(name, value, message):
    before = jax.config.values[name]
    jax.config.update(name, value)
    try:
        with pytest.raises(ValueError, match=message):
            check_flags()
    finally:
        jax.config.update(name, before)
    check_flags()


def test_flags_stay_once_jax_is_there(monkeypatch):
    monkeypatch.setenv("JAX_ENABLE_X64", "1")
    assert reset_flags() == []


RESET = """
import os
from bestreply.utils.compilation import check_flags, reset_flags
lines = reset_flags()
assert len(lines) == 2 and "JAX_ENABLE_X64=yes is not used" in lines[0], lines
assert reset_flags() == []
check_flags()
assert "JAX_DEBUG_NANS" in os.environ
"""


def test_flags_of_the_environment_are_reset_for_the_command(monkeypatch):
    monkeypatch.setenv("JAX_ENABLE_X64", "yes")
    monkeypatch.setenv("JAX_NUMPY_DTYPE_PROMOTION", "strict")
    monkeypatch.setenv("JAX_DEBUG_NANS", "1")
    subprocess.run([sys.executable, "-c", RESET], check=True)


def test_the_cache_keeps_programs_of_any_size_wherever_it_is(monkeypatch):
    """Also where the user named its folder, but not where the user set the time."""
    before = jax.config.values[SMALLEST]
    assert jax.config.values["jax_compilation_cache_dir"]  # tests/conftest.py
    try:
        for is_set, expected in ((False, 0.0), (True, 1.0)):
            jax.config.update(SMALLEST, 1.0)
            monkeypatch.delenv(SMALLEST.upper(), raising=False)
            if is_set:
                monkeypatch.setenv(SMALLEST.upper(), "1")
            cache_compilations()
            assert jax.config.values[SMALLEST] == expected
    finally:
        jax.config.update(SMALLEST, before)


def test_a_quick_program_is_a_part_of_one_that_is_optimised():
    @quickly(static_argnames="times")
    def multiplied(x, times):
        return x * times

    assert multiplied(np.float32(2), times=3) == 6
    assert jax.jit(lambda x: multiplied(x, times=4) + 1)(np.float32(2)) == 9
    rows = np.arange(3, dtype=np.float32)
    assert jax.vmap(lambda x: multiplied(x, times=2))(rows).tolist() == [
        0,
        2,
        4,
    ]
