"""JAX's persistent compilation cache: a program compiled once is read by later processes."""

import os
from pathlib import Path


def cache_compilations() -> None:
    """Turn the cache on, in the user's cache folder, unless JAX has one already.

    ``JAX_COMPILATION_CACHE_DIR`` names another folder.
    """
    import jax

    if jax.config.values.get("jax_compilation_cache_dir"):
        return
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = str(home / "bestreply" / "jax")
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
