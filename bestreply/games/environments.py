"""What the adapters of environments that are stepped in place share."""

import contextlib
import inspect
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from bestreply.utils.importing import import_attribute

Make = Callable[..., Any]
"""Makes an environment, called with its settings."""
LIMITS = ("max_steps", "max_cycles", "max_episode_steps", "max_iter")
"""Attributes and parameters of environments that hold their step limit."""


def maker(name: str, full: str) -> Make:
    """Return the class or function that ``module:attr`` names.

    Args:
        name: the name.
        full: the name with its prefix, for errors.

    Raises:
        ValueError: there is none, or it is no class or function.
    """
    with quiet():
        make = import_attribute("game", name)
    if not callable(make):
        raise ValueError(
            f"game={full!r}: expected the class of an environment, or a function that "
            f"makes one, since many are stepped side by side; it is one "
            f"{type(make).__name__}"
        )
    return make


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Ignore what packages say about themselves when they are imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def made(
    make: Make, settings: Mapping[str, Any], full: str, own: str, **more: Any
) -> Any:
    """Return a new environment.

    Args:
        make: makes it.
        settings: its settings.
        full: name of the game, for errors.
        own: the settings of the adapter, for errors.
        more: further settings, not of the user.

    Raises:
        ValueError: the environment does not take a setting.
    """
    try:
        with quiet():
            return make(**settings, **more)
    except TypeError as error:
        wrong = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if wrong is None or wrong[1] not in settings:
            raise
        raise ValueError(
            f"{wrong[1]}={settings[wrong[1]]!r:.100}: expected a setting of {full}, or "
            f"{own}"
        ) from None


def takes(make: Make, parameter: str) -> bool:
    """Return whether a class or function has a parameter of a name.

    Args:
        make: the class or function.
        parameter: the name.
    """
    return parameter in _parameters(make)


def _parameters(make: Make) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(make).parameters
    except (TypeError, ValueError):
        return {}


def step_limit(given: Any, env: Any, make: Make, full: str) -> int:
    """Return the step limit of an environment.

    Args:
        given: the setting `max_steps`, or None.
        env: the environment, whose attributes, registry entry or parameters may hold it.
        make: what made it.
        full: name of the game, for errors.

    Raises:
        ValueError: none is known, or it is no count.
    """
    inner = getattr(env, "unwrapped", env)
    spec = getattr(env, "spec", None)
    known = [
        getattr(part, name, None)
        for part in (spec, env, inner)
        for name in LIMITS
    ]
    parameters = _parameters(make)
    known += [parameters[n].default for n in LIMITS if n in parameters]
    counts = [n for n in known if type(n) is int and n > 0]
    limit = counts[0] if given is None and counts else given
    if limit is None:
        raise ValueError(
            f"max_steps=None: expected the step limit of an episode in {full}, whose "
            f"environment tells none; give one, such as {full}(max_steps=100)"
        )
    if type(limit) is not int or limit < 1:
        raise ValueError(
            f"max_steps={limit!r:.100}: expected an int, 1 or more, in {full}"
        )
    return limit


def version_of(name: str) -> int:
    """Return the version in the name of an environment, at least 1.

    Args:
        name: such as ``classic/rps-v2``, or ``mpe2.simple_tag_v3:parallel_env``.
    """
    found = re.search(r"[_-]v(\d+)\b", name)
    return max(int(found[1]), 1) if found else 1


def draws_pictures(env: Any, settings: Mapping[str, Any]) -> bool:
    """Return whether a second environment can draw what one plays, as an array.

    Args:
        env: the environment.
        settings: its settings.
    """
    metadata = getattr(env, "metadata", None) or {}
    modes = metadata.get("render_modes") or ()
    if "rgb_array" not in modes or "render_mode" in settings:
        return False
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")  # pygame opens it
    return True


def picture(drawn: Any) -> np.ndarray | None:
    """Return what `render` gave as a picture.

    Args:
        drawn: its result.

    Returns:
        [H, W, 3] uint8; None if it is no picture.
    """
    array = np.asarray(drawn)
    if array.ndim != 3 or array.shape[2] < 3 or array.dtype != np.uint8:
        return None
    return np.ascontiguousarray(array[..., :3])
