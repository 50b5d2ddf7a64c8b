"""Checks of opponent models of others: sentences in place of XLA's errors."""

from typing import Any

import jax
import jax.numpy as jnp

from bestreply.games.base import Game
from bestreply.opponents.base import OpponentModel


def check_opponents(model: OpponentModel, game: Game, goals: int) -> None:
    """Refuse an opponent model of others whose results planners cannot use.

    Args:
        model: the model.
        game: the game.
        goals: number of types that the value is conditioned on, G.

    Raises:
        ValueError: the model of another game, or a result of another shape or type;
            an exception inside the model is not caught.
    """
    if type(model).__module__.partition(".")[0] == "bestreply":
        return
    name = f"opponents={type(model).__name__}"
    others, actions = game.num_players - 1, game.num_actions
    if model.game != game:
        raise ValueError(
            f"{name}: game={model.game}: expected that of the run, {game}"
        )
    obs = jax.ShapeDtypeStruct(game.obs_shape, jnp.float32)
    legal = jax.ShapeDtypeStruct((actions,), bool)
    joint = jax.ShapeDtypeStruct((others + 1,), jnp.int32)
    present = jax.ShapeDtypeStruct((others + 1,), bool)
    belief = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, model.init()))
    predicted = jax.eval_shape(model.predict, belief, obs, legal)
    check_array(
        f"{name}: predict",
        predicted,
        (others, actions),
        jnp.floating,
        "floating-point",
    )
    posterior = jax.eval_shape(model.posterior, belief)
    check_array(
        f"{name}: posterior",
        posterior,
        (others, goals),
        jnp.floating,
        "floating-point",
    )
    later = jax.eval_shape(model.update, belief, obs, joint, present)
    if _form(later) != _form(belief):
        raise ValueError(
            f"{name}: update returns a belief {_form(later)}: expected that of init, "
            f"{_form(belief)}"
        )


def _form(tree: Any) -> tuple[Any, list[tuple[tuple[int, ...], str]]]:
    leaves = [(x.shape, str(x.dtype)) for x in jax.tree.leaves(tree)]
    return jax.tree.structure(tree), leaves


def check_array(
    name: str, array: Any, shape: tuple[int, ...], dtype: Any, kind: str
) -> None:
    """Refuse an array of another shape or type.

    Args:
        name: what it is, for the error.
        array: the array, or its shape and type while a program is traced.
        shape: the expected shape.
        dtype: the expected kind of type, such as `jnp.floating`.
        kind: its words.

    Raises:
        ValueError: it is no array, or another one.
    """
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        raise ValueError(
            f"{name} is an object of type {type(array).__name__}: expected an array "
            f"of shape {shape}"
        )
    if tuple(array.shape) != shape or not jnp.issubdtype(array.dtype, dtype):
        raise ValueError(
            f"{name} of shape {tuple(array.shape)} and type {array.dtype}: expected "
            f"shape {shape}, {kind}"
        )
