"""The loop over the steps of a host game.

The players act for all matches in one compiled call; the games are stepped by an
`EnvBatch`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, Int32, Key

from bestreply.games.base import Game
from bestreply.players.base import Player
from bestreply.simulation.decisions import (
    Carries,
    Choice,
    Log,
    choose,
    first_carries,
    refuse,
    renewed,
)
from bestreply.simulation.env_batch import EnvBatch, close_kept, env_batch
from bestreply.types import ABSENT, Array, TimeStep
from bestreply.utils.quick import quickly

MatchSeats = tuple[Int32[Array, "M _"], ...]
"""For each pool player its seats in every match."""


def play_on_host(
    game: Game,
    pool: tuple[Player, ...],
    seats: MatchSeats,
    keys: Key[jax.Array, " M"],
    series: int,
    watch: int | None,
    lean: bool,
    *,
    quick: bool = False,
) -> tuple[Log, Any]:
    """Play M matches of a host game.

    Args:
        game: the game.
        pool: the distinct players.
        seats: their seats.
        keys: a random key for each match.
        series: consecutive episodes of a match.
        watch: index of the pool player whose outputs are logged.
        lean: omit observations and masks.
        quick: compile the players quickly (`bestreply.utils.quick`).

    Returns:
        Logs [M, series, T, ...] and last time steps [M, series, ...]; lean: of these
        (present,) alone.

    Raises:
        ValueError: a player chose an illegal action.
    """
    batch = env_batch(game, len(keys), series * game.max_steps)
    carries = _first_batch(pool, seats)
    episodes = []
    for index in range(series):
        choose = _choose if quick else _choose.plain
        episode = _Episode(game, pool, seats, watch, lean, choose)
        episode_keys = _fold_in_each(keys, index)
        try:
            carries = episode.play(batch, carries, episode_keys)
        except BaseException:  # answers of processes may be waiting
            close_kept()
            raise
        carries = _renewed_batch(pool, seats, carries)
        episodes.append((episode.log(), episode.end))
    if series == 1:
        return jax.tree.map(lambda x: x[:, None], episodes[0])
    return jax.tree.map(lambda *x: np.stack(x, 1), *episodes)


class _Episode:
    """One episode of M matches, and its log."""

    def __init__(
        self,
        game: Game,
        pool: tuple[Player, ...],
        seats: MatchSeats,
        watch: int | None,
        lean: bool,
        choose: Callable[..., Any],
    ) -> None:
        self.game, self.pool, self.seats = game, pool, seats
        self.choose = choose
        self.watch, self.lean = watch, lean
        self.shown: list[Any] = []  # [M, ...] of each step before its action
        self.rows: list[dict[str, Any]] = []  # the rest of each step's log
        self.end: Any = None

    def play(
        self, batch: EnvBatch, carries: Carries, keys: Key[jax.Array, " M"]
    ) -> Carries:
        """Play to the end of all matches, and return the carries there."""
        shown = batch.reset(keys)
        last = np.full(shown.present.shape, ABSENT, np.int32)
        for t in range(self.game.max_steps):
            over = _over(shown)
            choice, move_keys = self.choose(
                self.pool, carries, self.seats, shown, last, keys, t, over
            )
            carries, actions = choice.carries, np.asarray(choice.action)
            acts = shown.present & ~shown.terminated & ~over[:, None]
            self._refuse(shown, actions, acts, t)
            after = batch.step(actions, move_keys, ~over)
            last = np.where(acts, actions, ABSENT)
            self._add(shown, choice, last, after, acts, over)
            shown = after
            if _over(shown).all():
                break
        self.end = self._kept(shown)
        return carries

    def log(self) -> Log:
        """Return the log [M, T, ...]; steps after the end repeat the last time step."""
        missing = self.game.max_steps - len(self.rows)
        shown = [*self.shown, *[self.end] * missing]
        idle = self._idle()
        rows = [*self.rows, *[idle] * missing]
        stacked = jax.tree.map(lambda *x: np.stack(x, 1), *rows)
        return Log(
            shown=jax.tree.map(lambda *x: np.stack(x, 1), *shown), **stacked
        )

    def _kept(self, shown: TimeStep) -> Any:
        return (shown.present,) if self.lean else shown

    def _add(
        self,
        shown: TimeStep,
        choice: Choice,
        action: Int32[np.ndarray, "M N"],
        after: TimeStep,
        acts: Bool[np.ndarray, "M N"],
        over: Bool[np.ndarray, " M"],
    ) -> None:
        outputs = mode = None
        if self.watch is not None:
            outputs = choice.actor_outputs[self.watch]
            mode = np.asarray(choice.mode)
        self.shown.append(self._kept(shown))
        self.rows.append(
            {
                "action": action,
                "prob": np.asarray(choice.prob),
                "reward": after.reward,
                "ended": after.terminated & acts,
                "cut": after.truncated & ~over,
                "illegal": np.zeros_like(acts),
                "actor_outputs": jax.device_get(outputs),
                "mode": mode,
            }
        )

    def _idle(self) -> dict[str, Any]:
        """Return the log of a step at which no match is played."""
        idle = jax.tree.map(np.zeros_like, self.rows[-1])
        idle["action"] = np.full_like(self.rows[-1]["action"], ABSENT)
        idle["prob"] = np.full_like(self.rows[-1]["prob"], np.nan)
        return idle

    def _refuse(
        self,
        shown: TimeStep,
        actions: Int[np.ndarray, "M N"],
        acts: Bool[np.ndarray, "M N"],
        step: int,
    ) -> None:
        """Raise ValueError before the game receives an illegal action."""
        legal = np.take_along_axis(shown.legal, actions[..., None], 2)[..., 0]
        for match, seat in np.argwhere(acts & ~legal)[:1]:
            pairs = zip(self.pool, self.seats, strict=True)
            player = next(p for p, own in pairs if seat in own[match])
            action, allowed = (
                int(actions[match, seat]),
                shown.legal[match, seat],
            )
            refuse(self.game, player.name, action, step, seat, allowed)


def _over(shown: TimeStep) -> np.ndarray:
    return np.asarray(shown.terminated.all(1) | shown.truncated)


@quickly()
def _choose(
    pool: tuple[Player, ...],
    carries: Carries,
    seats: MatchSeats,
    shown: TimeStep,
    last: Int[Array, "M N"],
    keys: Key[jax.Array, " M"],
    step: int | Int[Array, ""],
    over: Bool[Array, " M"],
) -> tuple[Choice, Key[jax.Array, " M"]]:
    """Return the joint decisions in M matches, and the keys of the games' steps.

    Carries of matches that are over stay as they are.
    """

    def one(carries, seats, shown, last, key, over):
        act_key, move_key = jax.random.split(jax.random.fold_in(key, step))
        choice = choose(pool, carries, seats, shown, last, act_key)
        kept = jax.tree.map(
            lambda old, new: jnp.where(over, old, new), carries, choice.carries
        )
        return choice._replace(carries=kept), move_key

    return jax.vmap(one)(carries, seats, shown, last, keys, over)


@quickly()
def _first_batch(pool: tuple[Player, ...], seats: MatchSeats) -> Carries:
    return jax.vmap(partial(first_carries, pool))(seats)


@quickly()
def _renewed_batch(
    pool: tuple[Player, ...], seats: MatchSeats, carries: Carries
) -> Carries:
    return jax.vmap(partial(renewed, pool))(seats, carries)


@quickly()
def _fold_in_each(
    keys: Key[jax.Array, " M"], number: int | Int[Array, ""]
) -> Key[jax.Array, " M"]:
    return jax.vmap(partial(jax.random.fold_in, data=number))(keys)
