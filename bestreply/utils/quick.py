"""Programs that run a few times: compiled in a quarter of the time, and slower to run.

Which programs are compiled so follows from the configuration alone, never from a clock,
so that the same configuration gives the same numbers.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
from jax.core import Tracer

OPTIONS = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_opt_preset": "CPU_OPT_PRESET_FAST_COMPILE",
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 2,
}
"""Options of XLA for a CPU: a program compiles four times as fast, and runs, its matrix
products apart, a third to a quarter as fast."""


class QuickProgram:
    """A function under `jax.jit` that compiles quickly; on a GPU as any other."""

    def __init__(
        self, function: Callable[..., Any], *, level: int = 0, **settings: Any
    ) -> None:
        """Wrap a function.

        Args:
            function: a function of arrays.
            level: of LLVM's optimisations, 0 to 3. From 1 on, sums of products are
                rounded as under `jax.jit`; the program compiles three times as slowly.
            settings: those of `jax.jit`, such as `static_argnames`.
        """
        self.plain = jax.jit(function, **settings)
        """The function under `jax.jit`, optimised."""
        self._options = OPTIONS | {"xla_backend_optimization_level": level}
        self._function, self._settings = function, settings

    @cached_property
    def _quick(self) -> Callable[..., Any]:
        options = self._options if jax.default_backend() == "cpu" else None
        return jax.jit(
            self._function, compiler_options=options, **self._settings
        )

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Call the function; inside another program it is a part of that one."""
        leaves = jax.tree.leaves((args, named))
        if any(isinstance(leaf, Tracer) for leaf in leaves):
            return self.plain(*args, **named)
        return self._quick(*args, **named)


def quickly(**settings: Any) -> Callable[[Callable[..., Any]], QuickProgram]:
    """Return a decorator that compiles a function quickly, in place of `jax.jit`.

    Args:
        settings: those of `QuickProgram`.

    Returns:
        The decorator.
    """
    return lambda function: QuickProgram(function, **settings)
