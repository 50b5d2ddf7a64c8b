"""One step of a match: the joint decision of its players, and its log."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, Int32, Key, PRNGKeyArray, PyTree

from bestreply.games.base import Game
from bestreply.players.base import Player
from bestreply.types import ABSENT, ActorOutput, Array, TimeStep, ego_order

Seats = tuple[Int32[Array, " _"], ...]
"""For each pool player [m] int32, its seats in one match; an entry of N is padding."""

Carries = tuple[PyTree, ...]
"""For each pool player its carries [m, ...], one for every seat."""


class Choice(NamedTuple):
    """The joint decision at one step of one match."""

    carries: Carries
    action: jax.Array  # [N] int32
    prob: jax.Array  # [N] float32, of the action; NaN if the player gives none
    actor_outputs: tuple[ActorOutput, ...]  # by pool player, [m, ...]
    mode: (
        jax.Array
    )  # [N] int32, the acting modes; ABSENT if the player gives none


def choose(
    pool: tuple[Player, ...],
    carries: Carries,
    seats: Seats,
    shown: TimeStep,
    last: Int[Array, " N"],
    key: PRNGKeyArray,
) -> Choice:
    """Return the joint decision of all players at one step of one match.

    Args:
        pool: the distinct players.
        carries: their carries before the step.
        seats: their seats.
        shown: the time step that the game shows.
        last: the joint action of the step before, ABSENT if there was none.
        key: random key of the step. The draws of a seat depend on it and on the seat
            alone, not on who else plays: a player beside two methods draws alike
            (common random numbers), so that their returns differ by less chance.

    Returns:
        Actions with their probabilities, carries after the step, actor outputs.
    """
    n = shown.present.shape[0]
    action = jnp.zeros(n, jnp.int32)
    prob, mode = jnp.full(n, jnp.nan), jnp.full(n, ABSENT)
    carries_after, outputs = [], []
    for player, carry, own in zip(pool, carries, seats, strict=True):
        carry_after, chosen, output = _act(player, carry, own, shown, last, key)
        action = action.at[own].set(chosen, mode="drop")
        if output.probs is not None:
            of_chosen = jnp.take_along_axis(output.probs, chosen[:, None], 1)
            prob = prob.at[own].set(of_chosen[:, 0], mode="drop")
        if output.mode is not None:
            mode = mode.at[own].set(output.mode, mode="drop")
        carries_after.append(carry_after)
        outputs.append(output)
    return Choice(tuple(carries_after), action, prob, tuple(outputs), mode)


def _act(
    player: Player,
    carry: PyTree,
    seats: Int32[Array, " m"],
    shown: TimeStep,
    last: Int[Array, " N"],
    key: PRNGKeyArray,
) -> tuple[PyTree, jax.Array, ActorOutput]:
    """Return the step of one player in each of its seats, [m, ...]."""
    n = shown.present.shape[0]
    seat = jnp.minimum(seats, n - 1)
    ego = jnp.asarray(ego_order(n))[seat]  # [m, N]
    keys = jax.vmap(partial(jax.random.fold_in, key))(seat)

    def step(carry, obs, legal, key, others, present):
        return player.step(
            carry, obs, legal, key, others=others, present=present
        )

    rows = (
        carry,
        shown.obs[seat],
        shown.legal[seat],
        keys,
        last[ego[:, 1:]],
        shown.present[ego],
    )
    if len(seats) > 1:
        return jax.vmap(step)(*rows)
    one = step(*jax.tree.map(lambda x: x[0], rows))  # faster to trace
    return jax.tree.map(lambda x: jnp.asarray(x)[None], one)


def first_carries(pool: tuple[Player, ...], seats: Seats) -> Carries:
    """Return the carries of all players at the start of a match.

    Args:
        pool: the distinct players.
        seats: their seats.

    Returns:
        For each player its initial carry, once for every seat.
    """
    pairs = zip(pool, seats, strict=True)
    return tuple(player.init(own.shape[0]) for player, own in pairs)


def renewed(
    pool: tuple[Player, ...], seats: Seats, carries: Carries
) -> Carries:
    """Return the carries at the start of a further episode of the same match.

    Args:
        pool: the distinct players.
        seats: their seats.
        carries: their carries at the end of an episode.

    Returns:
        The carries that the players' `renew` gives.
    """

    def renew(player: Player, own: Array, carry: PyTree) -> PyTree:
        # Mapped over the seats as well, since a carry can have no arrays.
        return jax.vmap(lambda _, one: player.renew(one))(own, carry)

    return tuple(map(renew, pool, seats, carries))


class Log(NamedTuple):
    """The log of one step of one match."""

    shown: Any  # TimeStep before the action; in a lean log (present,)
    action: jax.Array  # [N] int32, ABSENT where the seat did not act
    prob: jax.Array  # [N] float32
    reward: jax.Array  # [N] float32, of the action
    ended: jax.Array  # [N] bool, terminated by the action
    cut: jax.Array  # [] bool, truncated by the action
    illegal: jax.Array  # [N] bool
    actor_outputs: Any  # of the watched pool player, or None
    mode: Any  # [N] int32, acting modes; None without a watched player


def log_step(
    choice: Choice, before: TimeStep, after: TimeStep, watch: int | None
) -> Log:
    """Return the log of one step.

    Args:
        choice: the joint decision.
        before: the time step at which it was taken.
        after: the time step that it led to.
        watch: index of the pool player whose outputs are logged.

    Returns:
        The log, without the actions of seats that had left or terminated.
    """
    over = jnp.all(before.terminated) | before.truncated
    acts = before.present & ~before.terminated & ~over
    legal = jnp.take_along_axis(before.legal, choice.action[:, None], 1)[:, 0]
    return Log(
        shown=before,
        action=jnp.where(acts, choice.action, ABSENT),
        prob=choice.prob,
        reward=after.reward,
        ended=after.terminated & acts,
        cut=after.truncated & ~over,
        illegal=acts & ~legal,
        actor_outputs=None if watch is None else choice.actor_outputs[watch],
        mode=None if watch is None else choice.mode,
    )


@jax.jit
def choose_batch(
    pool: tuple[Player, ...],
    carries: Carries,
    seats: tuple[Int32[Array, "M _"], ...],
    shown: TimeStep,
    last: Int[Array, "M N"],
    keys: Key[jax.Array, " M"],
) -> Choice:
    """Return the joint decisions of `choose` in M matches.

    Args:
        pool: the distinct players.
        carries: their carries, with a leading axis [M].
        seats: for each pool player its seats in every match.
        shown: the time steps [M, ...].
        last: the joint actions of the step before.
        keys: a random key for each match.

    Returns:
        The decisions [M, ...].
    """
    return jax.vmap(partial(choose, pool))(carries, seats, shown, last, keys)


def refuse(
    game: Game,
    player: str,
    action: int,
    step: int | np.integer,
    seat: np.integer,
    legal: Bool[np.ndarray, " A"],
) -> None:
    """Refuse an illegal action.

    Args:
        game: the game.
        player: name of the player that chose it.
        action: the action.
        step: the step of the episode.
        seat: the seat.
        legal: the legal actions; of length 0 in lean play.

    Raises:
        ValueError: always.
    """
    names = game.action_names
    message = (
        f"action={names[action]}: expected a legal action from {player} at "
        f"step {step} in seat {seat} of {game.name}"
    )
    if len(legal):
        allowed = [n for n, ok in zip(names, legal, strict=True) if ok]
        message += f"; legal: {', '.join(allowed)}"
    raise ValueError(message)
