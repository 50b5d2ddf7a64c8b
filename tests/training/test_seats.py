"""Seats that leave alone, seats that are empty, and a memory of the own past."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply.config import ModelConfig, PlannerConfig, RunConfig, TrainConfig
from bestreply.methods.agent import AgentMethod
from bestreply.models.world_model import WorldModel
from bestreply.opponents.labels import step_likelihood
from bestreply.opponents.learned import LearnedOpponents
from bestreply.replay.moa_buffer import (
    Index,
    all_indices,
    fill,
    gather_window,
)
from bestreply.training.imagination import imagine_starts
from bestreply.training.losses import latent_of
from bestreply.training.targets import (
    logged_latents,
    n_step_return,
    with_history,
)
from bestreply.types import ABSENT
from tests.models.odd_games import Corridor, Roles
from tests.models.test_units import made
from tests.shared import build

SMALL = ModelConfig(latent=4, width=8, depth=1)


@pytest.mark.parametrize("terminated", [False, True])
def test_a_seat_truncated_alone_is_valued_at_its_last_observation(terminated):
    game = Roles()
    obs = np.zeros((1, 5, 3, 6), np.float32)
    obs[0, :, 0, 0] = [0, 1, 2, 2, 2]  # stays the last one
    reward = np.ones((1, 4, 3)) * np.array([1, 10, 100, 1000])[:, None]
    action = np.zeros((1, 4, 3), np.int32)
    action[0, 2:, 0] = ABSENT
    episodes = made(game, obs, reward, action)
    episodes.present[0, 2:, 0] = False
    episodes.terminated[0, 1, 0] = terminated
    index = Index(*np.array([[0, 0], [0, 1], [0, 0]], np.int32))
    config = TrainConfig(gamma=0.5, n_step=3)
    total, discount, end = n_step_return(config, episodes, index, 3)
    assert np.asarray(total).tolist() == [1 + 0.5 * 10, 10]
    expected = [0, 0] if terminated else [0.25, 0.5]
    assert np.asarray(discount).tolist() == expected
    assert np.asarray(end).tolist() == [2, 2]
    buffer = fill(episodes)
    steps = all_indices(episodes)
    assert (steps.seat == 0).sum() == 2
    window = gather_window(buffer, index, 3)
    assert np.asarray(window.valid).tolist() == [[1, 1, 0], [1, 0, 0]]


def test_empty_seats_imagine_nothing_and_observe_nobody():
    game = Roles(empty=True)
    obs = np.zeros((2, 3, 3, 6), np.float32)
    obs[..., 3:] = np.eye(3)
    obs[:, :, 2] = np.nan  # what an empty seat observes is not real
    action = np.zeros((2, 2, 3), np.int32)
    action[:, :, 2] = ABSENT
    episodes = made(game, obs, action=action)
    episodes.present[:, :, 2] = False
    model = build(LearnedOpponents.create, game, SMALL, 2)
    keys, config = jax.random.key(0), TrainConfig()
    games = imagine_starts(config, model, fill(episodes), keys, 16)
    assert np.isfinite(np.asarray(games.obs)).all()
    seats = np.asarray(games.obs)[:, 3:].argmax(1)
    assert set(seats.tolist()) == {0, 1}
    assert np.asarray(games.present).tolist() == [[True, True, False]] * 16
    assert np.isfinite(np.asarray(step_likelihood(model, episodes))).all()


def test_a_memory_is_of_the_own_past_alone():
    game = Corridor()
    config = dataclasses.replace(SMALL, memory="gru", context=4)
    world = build(WorldModel, game, config, goals=1, heads=1)
    obs = np.zeros((2, 4, 1, 3), np.float32)
    obs[0, 0, 0, 0] = obs[1, 0, 0, 1] = (
        1  # the sides differ in the first step alone
    )
    action = np.array([[0, 1, 0], [0, 1, 0]], np.int32)[..., None]
    buffer = fill(made(game, obs, action=action))

    @eqx.filter_jit
    def latents(world, buffer):
        def step(memory, row):
            obs, action = row
            memory, z = world.observe(memory, obs)
            return world.acted(memory, action), z

        def episode(obs, action):
            last = jnp.append(action, 0)
            return jax.lax.scan(step, world.remembered(), (obs, last))[1]

        acted = jax.vmap(episode)(
            buffer.episodes.obs[:, :, 0], buffer.episodes.action[:, :, 0]
        )
        row, at = jnp.divmod(jnp.arange(6), 3)
        index = Index(row, at, jnp.zeros(6, int))
        windows = with_history(buffer, index, 4)
        trained = jax.vmap(lambda w: latent_of(world, w))(windows)
        ends = Index(jnp.arange(2), jnp.full(2, 3), jnp.zeros(2, int))
        last = logged_latents(world, buffer.episodes, ends)
        alone = jax.vmap(world.encode)(buffer.episodes.obs[:, 2, 0])
        return acted, trained.reshape(2, 3, -1), last, alone

    acted, trained, last, alone = map(np.asarray, latents(world, buffer))
    np.testing.assert_allclose(trained, acted[:, :3], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(last, acted[:, 3], rtol=1e-5, atol=1e-6)
    assert (alone[0] == alone[1]).all()
    assert abs(acted[0, 3] - acted[1, 3]).max() > 1e-3


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {
                "model": {"value_heads": "action"},
                "train": {"target": "improved"},
            },
            "train.target=improved: expected data or expected with model.mem",
        ),
        ({"model": {"value_of": "o"}}, "model.value_of=o: expected auto or z"),
        (
            {"planner": {"world": "true"}},
            "planner.world=true: expected learned",
        ),
    ],
)
def test_what_a_memory_excludes(settings, sentence):
    model = settings.get("model", {}) | {"memory": "gru"}
    config = RunConfig(
        model=ModelConfig(**model),
        train=TrainConfig(**settings.get("train", {})),
        planner=PlannerConfig(**settings.get("planner", {})),
    )
    with pytest.raises(ValueError, match=sentence):
        AgentMethod().configure(config)
