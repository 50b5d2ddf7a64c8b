"""The setting of the benchmarks: sizes, game and play of the preset `demo`."""

import dataclasses
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp

from bestreply.config import RunConfig, preset
from bestreply.games import make_game
from bestreply.planning.agent import Agent
from bestreply.replay.moa_buffer import BufferState, fill
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.training.loop import beliefs_of
from bestreply.training.state import TrainState, initial_train_state, set_units
from bestreply.training.targets import LoggedBeliefs

PLAYERS = ("nearest_stag", "nearest_hare", "random")


@cache
def config() -> RunConfig:
    """Return the preset, with the optimiser that both sides have."""
    demo = preset("demo")
    return dataclasses.replace(
        demo,
        train=dataclasses.replace(
            demo.train, optimiser="adamw", learning_rate=1e-3
        ),
    )


@cache
def logged() -> tuple[TrainState, BufferState, LoggedBeliefs]:
    """Return an untrained train state in units of its data, 1,000 episodes of play, and the beliefs of the opponent model."""
    game = make_game(config().game)
    anyone = f"mixture({', '.join(PLAYERS)})"
    lineup = seat_players(game, [anyone] * game.num_players, 1000, 0)
    episodes = play(game, lineup, 0).episodes
    train_state = set_units(
        initial_train_state(config(), game, lineup.roster), config(), episodes
    )
    buffer = fill(episodes)
    return (
        train_state,
        buffer,
        beliefs_of(config(), train_state.opponents, buffer.episodes),
    )


def agent() -> Agent:
    """Return an agent of the demo's sizes with untrained weights; its cost does not depend on them."""
    train_state, _, _ = logged()
    game = train_state.opponents.game
    return Agent(
        world=train_state.world,
        opponents=train_state.opponents,
        game=game,
        config=config().planner,
        gamma=config().train.gamma,
    )


def observations(count: int) -> tuple[jax.Array, jax.Array]:
    """Return observations [count, ...] of present seats from logged play, and their legal actions."""
    _, buffer, _ = logged()
    e: Any = buffer.episodes
    rows, seats = (
        jnp.arange(count) % len(e.length),
        jnp.arange(count) % e.action.shape[2],
    )
    return e.obs[rows, 1, seats], e.legal[rows, 1, seats]
