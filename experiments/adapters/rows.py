"""The games of other libraries that the study runs, one row each."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from bestreply import make_game

HUNT = "stag_hunt(height=3, width=3, hunters=2, stags=1, hares=2, max_steps=8)"


class Row(NamedTuple):
    """A game, the players that make its data, and the opponents to measure against."""

    game: str
    players: tuple[str, ...] = ("random", "noisy(first_legal, 0.3)")
    opponents: tuple[str, ...] = ("random", "noisy(first_legal, 0.3)")
    episodes: int = 400
    glue: int = 0
    """Lines of code that a newcomer writes besides the name."""
    check: Callable[[], dict[str, Any]] | None = None
    """Returns further facts to publish."""


def equal_returns(episodes: int = 200) -> dict[str, Any]:
    """Return how many episodes of a game and of itself through PettingZoo are equal.

    Args:
        episodes: episodes of random play, each with its own seed.
    """
    game = make_game(HUNT)
    live = make_game("pettingzoo:bestreply:parallel_env", game=HUNT).live()
    reset, step = jax.jit(game.reset), jax.jit(game.step)
    rng, equal = np.random.default_rng(0), 0
    for seed in range(episodes):
        key, shown = jax.random.key(seed), live.reset(seed)
        state, _ = reset(key)
        returns = np.zeros((2, game.num_players), np.float32)
        for time in range(1, game.max_steps + 1):
            if shown.terminated.all():
                break
            legal = shown.legal
            actions = np.array([rng.choice(np.flatnonzero(x)) for x in legal])
            state, own = step(
                state, actions.astype(np.int32), jax.random.fold_in(key, time)
            )
            shown = live.step(actions)
            returns += np.asarray(own.reward), shown.reward
        equal += returns[0].tobytes() == returns[1].tobytes()
    return {"episodes of random play": episodes, "with equal returns": equal}


ROWS = {
    "simple_tag": Row(
        "pettingzoo:mpe2.simple_tag_v3:parallel_env(max_cycles=25)"
    ),
    "simple_spread": Row(
        "pettingzoo:mpe2.simple_spread_v3:parallel_env(max_cycles=25)"
    ),
    "kuhn_poker": Row("openspiel:kuhn_poker", episodes=2000),
    "goofspiel": Row("openspiel:goofspiel(num_cards=4)", episodes=1000),
    "cart_pole": Row(
        "gymnasium:CartPole-v1(max_steps=100)", opponents=("none",)
    ),
    "coins": Row(
        "pettingzoo:experiments.adapters.coins:Coins",
        episodes=150,
    ),
    "stag_hunt_and_back": Row(
        f"pettingzoo:bestreply:parallel_env(game={HUNT!r})",
        episodes=1000,
        check=equal_returns,
    ),
}
"""Rows by name."""
