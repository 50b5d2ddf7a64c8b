"""JAX's persistent compilation cache: the second run of the same program starts at once."""

import os
from pathlib import Path


def cache_compilations() -> None:
    """Turns the cache on, in the user's cache folder, unless one has been chosen already (``JAX_COMPILATION_CACHE_DIR``)."""
    import jax

    if jax.config.values.get("jax_compilation_cache_dir"):
        return
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    jax.config.update(
        "jax_compilation_cache_dir", str(home / "bestreply" / "jax")
    )
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
