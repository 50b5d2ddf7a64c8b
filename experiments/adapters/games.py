"""The games that prove the adapters."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from bestreply import make_game

HUNT = "stag_hunt(height=3, width=3, hunters=2, stags=1, hares=2, max_steps=8)"


class Proof(NamedTuple):
    """A game, and what it is played with."""

    game: str
    player: str
    """The scripted player, ``module:attr``: a maker of data and an opponent."""
    episodes: int = 2000
    """Episodes of the data."""
    settings: dict[str, object] = {}  # noqa: RUF012  (never changed)
    """Further settings of `RunConfig`, such as ``{"model.encoder": "cnn"}``."""
    facts: Callable[[], dict[str, Any]] | None = None
    """Returns what else is published of the game."""


def equal_returns(episodes: int = 500) -> dict[str, Any]:
    """Count the episodes of a game that equal those of itself through PettingZoo.

    Args:
        episodes: episodes of random play, each with its own seed.
    """
    game = make_game(HUNT)
    zoo: Any = make_game("pettingzoo:bestreply:parallel_env", game=HUNT)
    live = zoo.live()
    reset, step = jax.jit(game.reset), jax.jit(game.step)
    rng, equal = np.random.default_rng(0), 0
    for seed in range(episodes):
        key, shown = jax.random.key(seed), live.reset(seed)
        state, _ = reset(key)
        returns = np.zeros((2, game.num_players), np.float32)
        for time in range(1, game.max_steps + 1):
            if shown.terminated.all():
                break
            actions = np.array(
                [rng.choice(np.flatnonzero(own)) for own in shown.legal],
                np.int32,
            )
            state, own = step(state, actions, jax.random.fold_in(key, time))
            shown = live.step(actions)
            returns += np.asarray(own.reward), shown.reward
        equal += returns[0].tobytes() == returns[1].tobytes()
    return {
        "episodes of random play": episodes,
        "equal returns to the bit": equal,
    }


PLAYERS = "experiments.adapters.players"
PROOFS = {
    "simple_tag": Proof(
        "pettingzoo:mpe2.simple_tag_v3:parallel_env(max_cycles=25)",
        f"{PLAYERS}:chases",
        episodes=400,
    ),
    "simple_spread": Proof(
        "pettingzoo:mpe2.simple_spread_v3:parallel_env(max_cycles=25)",
        f"{PLAYERS}:covers",
        episodes=400,
    ),
    "kuhn_poker": Proof("openspiel:kuhn_poker", "first_legal"),
    "goofspiel": Proof(
        "openspiel:goofspiel(num_cards=4)", "always(2)", episodes=1000
    ),
    "cart_pole": Proof(
        "gymnasium:CartPole-v1(max_steps=100)",
        f"{PLAYERS}:balances",
        episodes=400,
        settings={"evaluate.opponents": ("none",)},
    ),
    "coins": Proof(
        "pettingzoo:experiments.adapters.coins:Coins",
        f"{PLAYERS}:to_coin",
        episodes=150,
        settings={
            "train.opponent_updates": 60,
            "train.updates": 80,
            "train.batch": 16,
            "train.opponent_batch": 32,
            "train.value_batch": 64,
        },
    ),
    "stag_hunt_and_back": Proof(
        f"pettingzoo:bestreply:parallel_env(game={HUNT!r})",
        f"{PLAYERS}:to_hare",
        episodes=1000,
        facts=equal_returns,
    ),
    "coin_game": Proof("jaxmarl:coin_game", f"{PLAYERS}:own_coin"),
    "foraging": Proof(
        "jumanji:LevelBasedForaging-v0(grid_size=6, fov=6, num_food=2, "
        "time_limit=30)",
        f"{PLAYERS}:nearest_food",
    ),
    "tic_tac_toe": Proof("pgx:tic_tac_toe", f"{PLAYERS}:takes_win"),
}
"""By name of the result file."""
