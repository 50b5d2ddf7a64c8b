"""JAX's settings: its persistent compilation cache, and flags under which nothing here was tried."""

import os
import sys
from pathlib import Path
from typing import NamedTuple

ON = ("1", "t", "true", "y", "yes", "on")
"""Values of an environment variable that JAX reads as True."""
SMALLEST = "jax_persistent_cache_min_compile_time_secs"
"""Setting of JAX: programs that compile faster are not kept; JAX's own default is 1."""


class Flag(NamedTuple):
    """A setting of JAX that bestreply needs at its default."""

    name: str
    """Of `jax.config`; the environment variable is in capitals."""
    refused: tuple[object, ...]
    default: object
    reason: str


FLAGS = (
    Flag("jax_enable_x64", (True,), False, "it computes in 32 bits"),
    Flag(
        "jax_disable_jit",
        (True,),
        False,
        "a step of play, not compiled, takes minutes",
    ),
    Flag("jax_debug_infs", (True,), False, "it uses infinite numbers"),
    Flag(
        "jax_debug_key_reuse",
        (True,),
        False,
        "it draws for all seats from the keys of a step",
    ),
    Flag(
        "jax_numpy_rank_promotion",
        ("raise",),
        "allow",
        "it adds arrays of different ranks",
    ),
    Flag(
        "jax_numpy_dtype_promotion",
        ("strict",),
        "standard",
        "it multiplies numbers by booleans",
    ),
    *(
        Flag(
            f"jax_transfer_guard{direction}",
            ("disallow", "disallow_explicit"),
            "allow",
            "it passes NumPy arrays to JAX",
        )
        for direction in (
            "",
            "_host_to_device",
            "_device_to_device",
            "_device_to_host",
        )
    ),
)


def check_flags() -> None:
    """Refuse settings of JAX that change what bestreply computes, or stop it.

    Raises:
        ValueError: such a setting is on; the error says how to change it.
    """
    import jax

    for flag in FLAGS:
        value = jax.config.values.get(flag.name, flag.default)
        if value in flag.refused:
            raise ValueError(
                f"{flag.name.upper()}={value}: expected {flag.default} for bestreply, "
                f"as {flag.reason}. Unset the variable, or call "
                f"jax.config.update({flag.name!r}, {flag.default!r})"
            )


def reset_flags() -> list[str]:
    """Set the environment's flags that `check_flags` refuses to their defaults.

    For a process of its own, before JAX is imported; its children inherit them.

    Returns:
        A sentence about each flag that was set.
    """
    if "jax" in sys.modules:
        return []
    lines = []
    for flag in FLAGS:
        variable = flag.name.upper()
        text = os.environ.get(variable, "").strip().lower()
        value = text in ON if isinstance(flag.default, bool) else text
        if value in flag.refused:
            os.environ[variable] = str(flag.default)
            lines.append(
                f"{variable}={text} is not used: bestreply needs {flag.default}, as "
                f"{flag.reason}"
            )
    return lines


def cache_compilations() -> None:
    """Turn the cache on, for programs of any size.

    It is in the user's cache folder, unless JAX has one already;
    ``JAX_COMPILATION_CACHE_DIR`` names another folder, and
    ``JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS`` another smallest time to compile.

    Raises:
        ValueError: as `check_flags`.
    """
    import jax

    from bestreply.utils.profile import start_if_asked

    check_flags()
    start_if_asked()
    is_default = jax.config.values.get(SMALLEST) == 1.0
    if is_default and SMALLEST.upper() not in os.environ:
        jax.config.update(SMALLEST, 0.0)
    if jax.config.values.get("jax_compilation_cache_dir"):
        return
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = str(home / "bestreply" / "jax")
    jax.config.update("jax_compilation_cache_dir", folder)
