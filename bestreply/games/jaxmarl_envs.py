# pyright: reportMissingImports=false
"""JaxMARL's environments: how they are made, their step limits and their pictures."""

import functools
import inspect
import warnings
from collections.abc import Iterator
from typing import Any
from unittest import mock

import jax
import numpy as np

from bestreply.games.adapted import (
    Options,
    check_settings,
    plain_defaults,
    sorted_options,
    step_limit,
)

INNER = "num_inner_steps"
"""The step limit of coin_game."""
LIMIT_OBSERVED = ("overcooked", "jaxnav")
"""Environments whose observations depend on their step limit."""
LIMITS = (INNER, "num_outer_steps", "max_steps")
"""Settings that limit an episode."""
TILE = 32
"""Pixels of a tile in a picture of overcooked."""


def _jaxmarl() -> Any:
    try:
        # It prints which of its parts are missing, and warns of old names; one of its
        # imports ends a redirection of standard output.
        with (
            warnings.catch_warnings(),
            mock.patch("builtins.print", lambda *_, **__: None),
        ):
            warnings.simplefilter("ignore")
            import jaxmarl
    except ImportError as error:
        raise ImportError(
            "environments of JaxMARL need the package jaxmarl: "
            'pip install "bestreply[jaxmarl]"'
        ) from error
    return jaxmarl


def check_name(name: str) -> None:
    """Refuse a name that JaxMARL does not have.

    Args:
        name: the name.

    Raises:
        ValueError: lists the names.
        ImportError: if `jaxmarl` is not installed.
    """
    names = _jaxmarl().registered_envs
    if name not in names:
        raise ValueError(
            f"game='jaxmarl:{name}': expected one of {', '.join(names)}"
        )


# -- settings --------------------------------------------------------------------


def limit_of(name: str) -> str:
    """Return the setting that is the step limit of an environment.

    Args:
        name: JaxMARL's name.
    """
    return INNER if name == "coin_game" else "max_steps"


def whole_settings(name: str, settings: dict[str, Any]) -> tuple[Options, int]:
    """Return all settings of an environment, defaults included, and its step limit.

    Args:
        name: JaxMARL's name.
        settings: those that are given.

    Raises:
        ValueError: for an unknown setting or value, or without a step limit.
    """
    full, limit = f"jaxmarl:{name}", limit_of(name)
    for other in ("num_outer_steps", "max_steps"):
        if name == "coin_game" and other in settings:
            raise ValueError(
                f"{other}={settings[other]!r:.100}: expected no such setting of "
                f"{full}, whose episodes are inner ones of {INNER} steps; series= "
                "plays several in a row"
            )
    given = {k: v for k, v in settings.items() if k != limit}
    options = sorted_options(full, given)
    env = make_env(name, options, None)
    known = _parameters(env)
    check_settings(full, given, known)
    own_limit: Any = getattr(env, limit, None)
    steps = step_limit(full, limit, settings.get(limit, own_limit))
    if is_fixed(name, options) and steps > own_limit:
        raise ValueError(
            f"max_steps={steps}: expected at most {own_limit} in {full}, where the "
            "environment itself ends"
        )
    own = inspect.signature(type(env)).parameters.values()
    defaults = plain_defaults([p for p in own if p.name not in LIMITS])
    whole = {**defaults, **given, limit: steps}
    return sorted_options(full, whole), steps


def _parameters(env: Any) -> list[str]:
    """Return the names of settings, those that a class hands on to its base included."""
    kinds = [type(env), type(vars(env).get("_env"))]
    names = [name for kind in kinds for name in _arguments(kind)]
    return list(dict.fromkeys(names))


def _arguments(kind: type) -> Iterator[str]:
    for base in kind.__mro__:
        if base is object or "__init__" not in vars(base):
            continue
        parameters = list(inspect.signature(base.__init__).parameters.values())
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
        yield from (p.name for p in parameters[1:] if p.default is not p.empty)
        if not open_ended:
            return


def _takes_limit(name: str, options: Options) -> bool:
    env = make_env(name, tuple(o for o in options if o[0] not in LIMITS), None)
    return hasattr(env, "max_steps") and "max_steps" in _parameters(env)


def is_fixed(name: str, options: Options) -> bool:
    """Return whether an environment has a step limit that cannot be changed.

    Args:
        name: JaxMARL's name.
        options: its settings.
    """
    env = make_env(name, tuple(o for o in options if o[0] not in LIMITS), None)
    return hasattr(env, "max_steps") and not _takes_limit(name, options)


@functools.lru_cache(maxsize=64)
def make_env(name: str, options: Options, limit: int | None) -> Any:
    """Return an environment; with `limit`, one that the limit does not end, if it can.

    Args:
        name: JaxMARL's name.
        options: its settings; those of `LIMITS` are not used.
        limit: the step limit; None: the environment's own.

    Raises:
        ValueError: JaxMARL refuses the settings.
    """
    settings = {k: v for k, v in options if k not in LIMITS}
    for key, value in settings.items():
        settings[key] = _named(name, key, value)
    if limit is not None and name == "coin_game":
        settings |= {INNER: limit + 1, "num_outer_steps": 1}
    elif limit is not None and _takes_limit(name, options):
        settings["max_steps"] = limit + (name not in LIMIT_OBSERVED)
    try:
        with jax.ensure_compile_time_eval(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _jaxmarl().make(name, **settings)
    except Exception as error:  # whatever JaxMARL raises for its own settings
        given = ", ".join(f"{k}={v!r}" for k, v in options)
        raise ValueError(
            f"game='jaxmarl:{name}({given})': expected settings that JaxMARL accepts; "
            f"it says: {' '.join(str(error).split()):.300}"
        ) from error


def _named(name: str, key: str, value: Any) -> Any:
    """Return a setting that is given by its name: a layout or a scenario."""
    if name == "overcooked" and key == "layout" and isinstance(value, str):
        from jaxmarl.environments.overcooked import overcooked_layouts as table
    elif "SMAX" in name and key == "scenario" and isinstance(value, str):
        from jaxmarl.environments.smax.smax_env import (
            MAP_NAME_TO_SCENARIO as table,
        )
    else:
        return value
    if value not in table:
        raise ValueError(
            f"{key}={value!r:.100}: expected one of {', '.join(table)} in "
            f"jaxmarl:{name}"
        )
    return table[value]


# -- pictures --------------------------------------------------------------------


def draw_kitchen(env: Any, state: Any) -> np.ndarray:
    """Return overcooked's own picture.

    Args:
        env: the environment.
        state: its state.

    Returns:
        [H, W, 3] uint8.
    """
    from jaxmarl.viz.overcooked_visualizer import OvercookedVisualizer

    edge = env.agent_view_size - 2
    return OvercookedVisualizer._render_grid(
        np.asarray(state.maze_map)[edge:-edge, edge:-edge, :],
        TILE,
        agent_dir_idx=np.asarray(state.agent_dir_idx),
        agent_inv=np.asarray(state.agent_inv),
    )


def draw_circles(env: Any, state: Any) -> np.ndarray:
    """Return a picture as MPE's own visualizer draws it, without its window.

    Args:
        env: the environment.
        state: its state.

    Returns:
        [H, W, 3] uint8.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle

    figure = Figure((4, 4))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-2, 2), ylim=(-2, 2))
    axes.set_axis_off()
    for place, radius, colour in zip(
        np.asarray(state.p_pos), np.asarray(env.rad), env.colour, strict=True
    ):
        axes.add_patch(
            Circle(place, float(radius), color=np.array(colour) / 255)
        )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba(), np.uint8)[..., :3]
