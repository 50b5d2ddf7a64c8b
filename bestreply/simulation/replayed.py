"""States of logged episodes, stepped again: a log holds observations, not states."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from bestreply.games.base import Game
from bestreply.types import ABSENT, Array, Episodes, TimeStep


def reset_game(game: Game, key: PRNGKeyArray) -> tuple[Any, TimeStep]:
    """Return a first state and its time step, by a compiled program where there is one.

    Args:
        game: the game.
        key: random key.
    """
    return _reset(game, key) if game.compiled else game.reset(key)


def step_game(
    game: Game, state: Any, actions: Array, key: PRNGKeyArray
) -> tuple[Any, TimeStep]:
    """Return the next state and its time step, by a compiled program where there is one.

    Args:
        game: the game.
        state: a state.
        actions: [N] the joint action.
        key: random key.
    """
    if game.compiled:
        return _step(game, state, actions, key)
    return game.step(state, actions, key)


@partial(jax.jit, static_argnames=("game",))
def _reset(game: Game, key: PRNGKeyArray) -> Any:
    return game.reset(key)


@partial(jax.jit, static_argnames=("game",))
def _step(game: Game, state: Any, actions: Array, key: PRNGKeyArray) -> Any:
    return game.step(state, actions, key)


def states_of(
    game: Game, seed: int, number: int, episode: Episodes
) -> Iterator[Any]:
    """Yield the state before each step of an episode that `play` logged.

    Args:
        game: the game.
        seed: seed of the play.
        number: number of the match, of one episode.
        episode: its log, without an axis of episodes.

    Returns:
        The states, up to the first that does not show what the log says.
    """
    first, moves = _keys(game, seed, number)
    state, shown = reset_game(game, first)
    # A seat that does not act is given a legal placeholder, which the game ignores.
    idle = np.argmax(episode.legal, -1).astype(np.int32)
    taken = np.where(episode.action == ABSENT, idle[:-1], episode.action)
    for t in range(int(episode.length)):
        present = np.asarray(shown.present)
        seen = np.asarray(shown.obs)[present]
        logged = np.asarray(episode.obs[t])[present]
        if not np.allclose(seen, logged, equal_nan=True):
            return
        yield state
        state, shown = step_game(game, state, taken[t], next(moves))


def _keys(
    game: Game, seed: int, number: int
) -> tuple[PRNGKeyArray, Iterator[PRNGKeyArray]]:
    """Return the keys of the reset and of the game's steps, as `play` derives them."""
    match = jax.random.fold_in(jax.random.key(seed), number)
    if game.compiled:
        first, rest = jax.random.split(jax.random.split(match, 1)[0])
        steps: Any = jax.random.split(rest, game.max_steps)
    else:
        first = jax.random.fold_in(match, 0)
        steps = (jax.random.fold_in(first, t) for t in range(game.max_steps))
    return first, (jax.random.split(key)[1] for key in steps)
