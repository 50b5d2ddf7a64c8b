"""Seats that differ: observations padded to one shape, with a mark of the seat."""

from collections.abc import Sequence
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, Int32, Shaped

from bestreply.games.base import Game
from bestreply.types import Array, ego_order
from bestreply.utils.checks import shown
from bestreply.utils.spec import is_role


def common_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the shape that observations of several shapes are padded to.

    Args:
        shapes: the shape of each seat's observation.

    Returns:
        The largest size along each axis; a flat shape if numbers of axes differ.
    """
    if len({len(shape) for shape in shapes}) > 1:
        return (max(int(np.prod(shape)) for shape in shapes),)
    return tuple(map(max, zip(*shapes, strict=True)))


def padded(
    obs: Shaped[np.ndarray, "..."], shape: tuple[int, ...]
) -> Shaped[np.ndarray, "..."]:
    """Return an observation with zeros behind it along each axis.

    Args:
        obs: one seat's observation.
        shape: a `common_shape` of its shape.

    Returns:
        [*shape], in the type of `obs`.
    """
    obs = np.asarray(obs)
    if obs.ndim != len(shape):
        obs = obs.reshape(-1)
    margins = [
        (0, want - have) for want, have in zip(shape, obs.shape, strict=True)
    ]
    return np.pad(obs, margins) if any(after for _, after in margins) else obs


def marked_shape(shape: tuple[int, ...], num_players: int) -> tuple[int, ...]:
    """Return the shape of an observation that tells its seat.

    Args:
        shape: shape of the observation alone.
        num_players: number of seats, N.

    Returns:
        The shape with N more entries along its last axis.
    """
    return (*shape[:-1], shape[-1] + num_players)


def seat_marks(
    shape: tuple[int, ...], num_players: int, dtype: np.dtype
) -> Shaped[np.ndarray, "N ..."]:
    """Return what is put behind each seat's observation along its last axis.

    Args:
        shape: shape of the observation alone.
        num_players: number of seats, N.
        dtype: type of the observation.

    Returns:
        [N, *shape[:-1], N]; of seat s, entry s is 1 and the others are 0.
    """
    eye = np.eye(num_players, dtype=dtype)
    eye = eye.reshape(num_players, *(1,) * (len(shape) - 1), num_players)
    whole = (num_players, *shape[:-1], num_players)
    return np.broadcast_to(eye, whole)


def marked_seat(
    obs: Shaped[Array, "..."], obs_shape: tuple[int, ...], num_players: int
) -> Int[Array, "..."]:
    """Return the seat that `seat_marks` put behind an observation.

    Args:
        obs: [..., *obs_shape] observations.
        obs_shape: shape of one, its marks included.
        num_players: number of seats, N.

    Returns:
        [...] int32.
    """
    first = (0,) * (len(obs_shape) - 1)
    marks = obs[(..., *first, slice(-num_players, None))]
    lib = np if isinstance(obs, np.ndarray) else jnp
    return lib.asarray(lib.argmax(marks, -1), np.int32)


@cache
def marks_seats(game: Game) -> bool:
    """Return whether observations tell their seat by `seat_marks`.

    Args:
        game: the game.
    """
    shape, n = game.obs_shape, game.num_players
    if game.homogeneous or not shape or shape[-1] < n:
        return False
    obs = np.zeros((n, *shape), game.obs_dtype)
    obs[..., -n:] = seat_marks((*shape[:-1], shape[-1] - n), n, obs.dtype)
    with jax.ensure_compile_time_eval():
        seats = game.seat_in(obs)
        if seats is None:
            return False
        return bool((np.asarray(seats) == np.arange(n)).all())


def check_roles(game: Game) -> None:
    """Refuse roles without a name, and seats that differ while observations do not tell.

    Args:
        game: the game.

    Raises:
        ValueError: a role cannot be written in an opponent set, or `Game.seat_in` is
            missing.
    """
    for role in game.roles:
        if not is_role(role):
            raise ValueError(
                f"role={shown(role)}: expected a text that opponent sets can hold, "
                f"without quotes, brackets, commas, '=' and '|', in {game.name}"
            )
    obs = np.zeros(game.obs_shape, game.obs_dtype)
    if not game.homogeneous and game.seat_in(obs) is None:
        raise ValueError(
            f"game={game.name}: expected a method seat_in(obs) that returns the seat "
            "of an observation, as seats differ in roles or actions"
        )


def own_actions(game: Game) -> Bool[np.ndarray, "N A"]:
    """Return the actions that each seat has.

    Args:
        game: the game.

    Returns:
        [N, A] bool.
    """
    counts = np.asarray(game.seat_actions)
    return np.arange(game.num_actions) < counts[:, None]


def others_actions(game: Game) -> Bool[np.ndarray, "N O A"]:
    """Return the actions that the other seats have, in each seat's ego-first order.

    Args:
        game: the game.

    Returns:
        [N, N-1, A] bool.
    """
    return own_actions(game)[ego_order(game.num_players)[:, 1:]]


def seats_by_name(game: Game) -> dict[str, int]:
    """Return the seat that each name stands for in logged play.

    Args:
        game: the game.

    Returns:
        By name: the agents' own names (`Game.seat_names`); the role and its number,
        such as "hunter_0", as in `br.parallel_env`; a role alone that one seat has.
    """
    roles = list(game.roles)
    names = {}
    for seat, role in enumerate(roles):
        names[f"{role}_{roles[:seat].count(role)}"] = seat
        if roles.count(role) == 1:
            names[role] = seat
    return names | {str(name): s for s, name in enumerate(game.seat_names)}


def role_names(game: Game) -> tuple[str, ...]:
    """Return the distinct roles of a game, in the order of their first seats.

    Args:
        game: the game.
    """
    return tuple(dict.fromkeys(game.roles))


def role_in(game: Game, obs: Shaped[Array, "*obs"]) -> Int32[jax.Array, ""]:
    """Return the index into `role_names` of the role that an observation tells.

    Args:
        game: the game.
        obs: own observation.
    """
    if len(role_names(game)) == 1:
        return jnp.int32(0)
    seat = jnp.asarray(game.seat_in(obs))
    return jnp.asarray(role_of_seat(game))[seat].astype(jnp.int32)


def role_of_seat(game: Game) -> Int32[np.ndarray, " N"]:
    """Return the index into `role_names` of each seat.

    Args:
        game: the game.
    """
    names = role_names(game)
    return np.array([names.index(role) for role in game.roles], np.int32)
