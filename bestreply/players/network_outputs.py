"""Inputs and outputs of networks of other libraries: shapes, masks, scores of actions."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

View = Callable[[np.ndarray], Any]
"""A function from observations [B, *obs_shape] to those that a network takes."""


def library(module: str, package: str) -> Any:
    """Return an imported library.

    Args:
        module: its name.
        package: what pip installs it from.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ImportError(
            f"{module}: expected an installed package: pip install {package}"
        ) from None


def seen(
    name: str,
    view: View | None,
    shape: tuple[Any, ...],
    dtype: Any,
    obs: Shaped[np.ndarray, "B ..."],
) -> Shaped[np.ndarray, "B ..."]:
    """Return observations in the shape and type that a network takes.

    Args:
        name: name of the player, for errors.
        view: of observations; None: they are reshaped where their sizes agree.
        shape: shape of one of the network's; an entry that is no number is any size.
        dtype: NumPy type of the network's.
        obs: [B, *obs_shape] observations of the game.

    Returns:
        A copy.

    Raises:
        ValueError: the shapes do not agree.
    """
    given = np.asarray(obs if view is None else view(obs))
    fixed = all(isinstance(size, int) for size in shape)
    if fixed and given[0].size == np.prod(shape, dtype=int):
        given = given.reshape(len(given), *shape)
    pairs = zip(given.shape[1:], shape, strict=False)
    agree = all(a == b for a, b in pairs if isinstance(b, int))
    if given.ndim != 1 + len(shape) or not agree:
        raise ValueError(
            f"player={name!r}: observations of shape {given.shape[1:]}: expected "
            f"{shape}, those of the network. Give view=, a function of obs [B, ...], "
            "such as view=lambda obs: obs[:, :14]"
        )
    return np.array(given, dtype)


def to_numpy(x: Any) -> np.ndarray:
    """Return a tensor of PyTorch as an array.

    Args:
        x: a tensor, or an array.
    """
    for method in ("detach", "cpu", "numpy"):
        x = getattr(x, method)() if hasattr(x, method) else x
    return np.asarray(x)


def best(
    name: str, scores: np.ndarray, legal: Bool[np.ndarray, "B A"]
) -> np.ndarray:
    """Return the best legal actions.

    Args:
        name: name of the player, for errors.
        scores: [B, A] scores; or [B] whole numbers, actions already.
        legal: legal actions.

    Returns:
        [B] int.

    Raises:
        ValueError: scores of another shape, or NaN.
    """
    if scores.dtype.kind in "iu" and scores.shape == legal.shape[:1]:
        return scores
    _check_scores(name, scores, legal)
    return np.where(legal, scores, -np.inf).argmax(1)


def softmax(
    name: str, scores: np.ndarray, legal: Bool[np.ndarray, "B A"]
) -> np.ndarray:
    """Return the softmax of the scores of legal actions.

    Args:
        name: name of the player, for errors.
        scores: [B, A] scores.
        legal: legal actions.

    Returns:
        [B, A] float64.

    Raises:
        ValueError: scores of another shape, or NaN.
    """
    _check_scores(name, scores, legal)
    scores = np.where(legal, scores.astype(np.float64), -np.inf)
    probs = np.exp(scores - scores.max(1, keepdims=True))
    return probs / probs.sum(1, keepdims=True)


def _check_scores(
    name: str, scores: np.ndarray, legal: Bool[np.ndarray, "B A"]
) -> None:
    if scores.shape != legal.shape or scores.dtype.kind not in "fiu":
        raise ValueError(
            f"player={name!r}: output of shape {scores.shape} and type "
            f"{scores.dtype}: expected scores of shape {legal.shape}, one for each "
            "action in each row of obs"
        )
    if np.isnan(scores).any():
        raise ValueError(
            f"player={name!r}: output {scores.ravel()[:4]}: expected scores that are "
            "numbers, not NaN"
        )
