"""Observations of any range and type, rewards in any unit, and what is by role."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game
from bestreply.config import (
    ModelConfig,
    PlannerConfig,
    RunConfig,
    TrainConfig,
)
from bestreply.games.seats import others_actions
from bestreply.models.images import ImageDecoder
from bestreply.models.obs_nets import FeatureNet
from bestreply.models.units import (
    ObsUnits,
    RewardUnits,
    _moments,
    _moments_of_channels,
    measured_obs_units,
    measured_reward_units,
    with_units,
)
from bestreply.models.world_model import WorldModel
from bestreply.opponents.base import UniformOpponents, possible
from bestreply.opponents.changepoint import ChangepointOpponents
from bestreply.opponents.joint_actions import joint_actions, stratified
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.mixture import MixtureOpponents
from bestreply.opponents.sequence import SequenceOpponents
from bestreply.training.losses import world_losses
from bestreply.training.state import (
    initial_train_state,
    set_units,
    trainable,
)
from bestreply.types import ABSENT, Episodes, PackedObs, pack_bits
from tests.models.odd_games import Corridor, Pixels, Roles
from tests.shared import build
from tests.training.set_networks import constant, put, window

GAME = Roles()
CONFIG = ModelConfig(latent=4, width=8, depth=1)


def made(game, obs, reward=None, action=None):
    """Episodes [E, T] of `game` with set observations; all seats act."""
    e, t, n = obs.shape[0], obs.shape[1] - 1, game.num_players
    if action is None:
        action = np.zeros((e, t, n), np.int32)
    none = np.zeros((e, t, n), np.float32)
    return Episodes(
        obs=obs,
        legal=np.ones((e, t + 1, n, game.num_actions), bool),
        present=np.ones((e, t + 1, n), bool),
        action=action,
        prob=none + 1,
        reward=none if reward is None else reward.astype(np.float32),
        terminated=none > 0,
        truncated=np.zeros((e, t), bool),
        length=np.full(e, t, np.int32),
        player=np.zeros((e, n), np.int32),
        goal=np.zeros((e, t, n), np.int32),
        goal_source=np.zeros((e, t, n), np.int8),
    )


def numbers(episodes=50, steps=4):
    """Observations of `Roles`: ten thousands, a tiny number, a constant, marks."""
    rng = np.random.default_rng(0)
    lead = episodes, steps + 1, 3
    parts = [
        rng.normal(1e4, 5e3, (*lead, 1)),
        rng.normal(-3e-4, 1e-4, (*lead, 1)),
        np.full((*lead, 1), 700.0),
        np.broadcast_to(np.eye(3), (*lead, 3)),
    ]
    return np.concatenate(parts, -1).astype(np.float32)


def test_numbers_get_mean_0_and_deviation_1():
    obs, action = numbers(), np.zeros((50, 4, 3), np.int32)
    obs[:, 2:, 0, 0] = 1e9  # after the seat has left
    action[:, 2:, 0] = ABSENT
    units = measured_obs_units(GAME, made(GAME, obs, action=action))
    acted = obs[:, :-1][action != ABSENT]
    found = np.asarray(
        (acted - np.asarray(units.mean)) / np.asarray(units.scale)
    )
    np.testing.assert_allclose(found[:, :2].mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(found[:, :2].std(0), 1, rtol=1e-4)
    assert np.isfinite(found).all() and (found[:, 2] == 0).all()
    np.testing.assert_array_equal(found[:, 3:], acted[:, 3:])


def test_numbers_of_moderate_size_keep_their_units():
    game = make_game("matrix(table=chicken, rounds=4)")
    rng = np.random.default_rng(0)
    obs = rng.random((20, 5, 2, *game.obs_shape)).astype(np.float32)
    units = measured_obs_units(game, made(game, obs))
    assert (np.asarray(units.mean) == 0).all()
    assert (np.asarray(units.scale) == 1).all()
    flags = made(Corridor(), np.zeros((2, 3, 1, 3), np.float32))
    assert measured_obs_units(Corridor(), flags) is None  # all are 0 or 1


def test_integers_of_an_image_have_one_unit():
    game = Pixels(side=4, channels=2)
    rng = np.random.default_rng(0)
    obs = rng.integers(0, 256, (10, 4, 2, 4, 4, 2)).astype(np.uint8)
    obs[..., 0, 0, 0] = 0  # a constant pixel
    units = measured_obs_units(game, made(game, obs))
    acted = obs[:, :-1].astype(float)
    np.testing.assert_allclose(units.mean, acted.mean(), rtol=1e-5)
    np.testing.assert_allclose(units.scale, acted.std(), rtol=1e-5)


def test_rewards_have_units_by_role():
    reward = np.random.default_rng(0).normal(0, 1, (50, 4, 3))
    reward[..., 0] = 500 * reward[..., 0] - 4000
    units = measured_reward_units(GAME, made(GAME, numbers(), reward))
    assert units.mean[0] == pytest.approx(reward[..., 0].mean(), rel=1e-4)
    assert units.scale[0] == pytest.approx(reward[..., 0].std(), rel=1e-4)
    assert (units.mean[1], units.scale[1]) == (0, 1)
    same = np.full(reward.shape, 1e6)
    units = measured_reward_units(GAME, made(GAME, numbers(), same))
    assert np.asarray(units.mean).tolist() == [1e6, 1e6]
    assert np.asarray(units.scale).tolist() == [1, 1]


def test_values_have_units_of_the_rewards():
    """All in proportion: also where the returns of a player hardly differ."""
    rng = np.random.default_rng(0)
    reward = rng.normal(1, 1e-4, (50, 4, 3)) * (np.arange(4) == 3)[:, None]
    config = RunConfig(model=CONFIG, train=TrainConfig(gamma=1.0))
    start = initial_train_state(config, GAME, [{"name": "random"}])

    def found(unit):
        play = made(GAME, numbers(), unit * reward)
        world = set_units(start, config, play).world
        return np.asarray(world.value_scale) / unit

    np.testing.assert_allclose(found(1e-6), found(1e6), rtol=1e-3)
    reward = np.ones((50, 4, 3))  # also where they are constant
    np.testing.assert_allclose(found(1e-6), found(1.0), rtol=1e-3)


def roles_world():
    """A model of `Roles` whose decoder, reward and value predict 1 unit everywhere."""
    world = build(WorldModel, GAME, CONFIG, goals=2, heads=2)
    world = eqx.tree_at(
        lambda w: (w.decoder, w.reward_net, w.value_net, w.legal_net),
        world,
        (
            constant(world.decoder, np.ones(6)),
            constant(world.reward_net, [1.0]),
            constant(world.value_net, np.ones(4)),
            constant(world.legal_net, [-2.0, -1.0, 5.0]),
        ),
    )
    units = put([10, -1, 7, 0, 0, 0]), put([100, 2, 1, 1, 1, 1])
    world = with_units(
        world, ObsUnits(*units), RewardUnits(put([1000, 0]), put([50, 1]))
    )
    return eqx.tree_at(
        lambda w: (w.value_mean, w.value_scale),
        world,
        (put([100, 200, 1, 2]), put([10, 20, 0.1, 0.2])),
    )


def test_predictions_are_in_units_of_the_game_and_of_the_role():
    world = roles_world()
    obs = numbers(1)[0, 0]  # of the three seats

    @eqx.filter_jit
    @eqx.filter_vmap(in_axes=(None, 0))
    def predicted(world, obs):
        z = world.encode(obs)
        after = world.next(z, jnp.int32(1), jnp.zeros(2, jnp.int32))
        belief = jnp.full((2, 2), 0.5)
        at = window(GAME, reward=[1100.0])
        at = eqx.tree_at(
            lambda x: (x.obs, x.next_obs), at, (obs[None], obs[None])
        )
        return {
            "seat": world.seat(after),
            "obs": world.decode(after),
            "reward": world.reward(z, jnp.int32(0), jnp.zeros(2, jnp.int32)),
            "allowed": world.allowed(after),
            "value": world.value(z, obs, belief),
            "loss": world_losses(world, at)["reward"],
            "z": z,
        }

    found = jax.tree.map(np.asarray, predicted(world, obs))
    assert found["seat"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(found["obs"][:, :3], [[110, 1, 8]] * 3)
    np.testing.assert_array_equal(found["obs"][:, 3:], np.eye(3))
    np.testing.assert_allclose(found["reward"], [1050, 1, 1])
    np.testing.assert_allclose(found["loss"], [1, 1099**2, 1099**2], rtol=1e-5)
    np.testing.assert_allclose(
        found["value"], [[110, 220], [1.1, 2.2], [1.1, 2.2]], rtol=1e-6
    )
    # the boss does not have the third action, which seems legal
    assert found["allowed"].tolist() == [
        [False, True, False],
        [False, False, True],
        [False, False, True],
    ]


def test_units_are_not_trained():
    world = roles_world()
    kept = trainable(world)
    assert kept.obs_units.mean is None and kept.reward_units.scale is None
    assert (
        kept.value_scale is None and kept.value_net.layers[0].bias is not None
    )
    # an optimiser's state, which has no units, stays as it is
    same = with_units(kept, world.obs_units, world.reward_units)
    assert same.obs_units.mean is None


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int32", "float64"])
def test_observations_of_any_type_have_the_same_latent(dtype):
    obs = np.random.default_rng(0).integers(0, 2, (4, 4, 1))
    game = Pixels(side=4, channels=1)
    world = build(WorldModel, game, CONFIG, goals=1, heads=1)
    latent = eqx.filter_jit(world.encode)(obs.astype(np.float32))
    found = eqx.filter_jit(world.encode)(obs.astype(dtype))
    np.testing.assert_array_equal(latent, found)


def test_nobody_is_predicted_to_take_an_action_it_does_not_have():
    learned = build(LearnedOpponents.create, GAME, CONFIG, 2)
    models = [learned, UniformOpponents(game=GAME)]
    models += [
        build(
            SequenceOpponents.create,
            GAME,
            dataclasses.replace(CONFIG, opponents=kind, context=3),
            2,
        )
        for kind in ("recurrent", "in_context")
    ]
    models.append(
        ChangepointOpponents(model=learned, hazard=0.1, unknown_type_prior=0.2)
    )
    models.append(
        MixtureOpponents(
            models=(learned, models[1]), weights=put([0.5, 0.5]), game=GAME
        )
    )
    config = PlannerConfig(joint_limit=9)

    @eqx.filter_jit
    @eqx.filter_vmap(in_axes=(None, 0, 0))
    def predicted(models, obs, key):
        legal, present = jnp.ones(3, bool), jnp.ones(3, bool)
        before, after, joint = [], [], []
        for model in models:
            belief = model.init()
            probs = model.predict(belief, obs, legal)
            before.append(probs)
            joint.append(joint_actions(probs, present[1:], key, config))
            belief = model.update(belief, obs, jnp.zeros(3, jnp.int32), present)
            after.append(model.predict(belief, obs, legal))
        even = possible(GAME, obs, jnp.full((2, 3), 1 / 3))
        return jnp.stack([*before, *after, even]), joint

    keys = jax.random.split(jax.random.key(0), 3)
    probs, joint = predicted(models, numbers(1)[0, 0], keys)
    probs, has = np.asarray(probs), others_actions(GAME)[:, None]
    assert (probs[~np.broadcast_to(has, probs.shape)] == 0).all()
    assert (probs[np.broadcast_to(has, probs.shape)] > 0).all()
    np.testing.assert_allclose(probs.sum(-1), 1, rtol=1e-5)
    for actions, weights in joint:  # of the workers, about the boss in front
        impossible = np.asarray(actions)[1:, :, 0] == 2
        assert (np.asarray(weights)[1:][impossible] == 0).all()


def test_a_draw_at_the_edge_is_a_possible_action(monkeypatch):
    probs = np.append(np.full(10, 0.1), 0).astype(np.float32)
    top = np.float32(1 - 2**-24)
    monkeypatch.setattr(jax.random, "uniform", lambda *a: np.full(1, top))
    monkeypatch.setattr(jnp, "cumsum", lambda x: np.cumsum(x) * top * top)
    assert stratified(probs, jax.random.key(0), 1).tolist() == [9]


def test_images_are_read_by_convolutions():
    def made_world(game, config):
        world = WorldModel(
            game, config, goals=1, heads=1, key=jax.random.key(0)
        )
        obs = jnp.zeros(game.obs_shape, game.obs_dtype)
        return world, world.decode(world.encode(obs))

    auto = ModelConfig(latent=8, width=8, depth=1)
    world, decoded = eqx.filter_eval_shape(made_world, Pixels(), auto)
    assert isinstance(world.encoder, FeatureNet)
    assert isinstance(world.decoder, ImageDecoder)
    assert decoded.shape == (84, 84, 4) and world.values_latents
    small = Pixels(side=9, channels=3)
    world, _ = eqx.filter_eval_shape(made_world, small, auto)
    assert (
        not isinstance(world.encoder, FeatureNet) and not world.values_latents
    )
    cnn = dataclasses.replace(auto, encoder="cnn", value_of="o")
    world, decoded = eqx.filter_eval_shape(made_world, small, cnn)
    assert isinstance(world.encoder, FeatureNet)
    assert isinstance(world.value_net, FeatureNet)
    assert decoded.shape == (9, 9, 3)
    with pytest.raises(ValueError, match="cnn for observations of shape"):
        eqx.filter_eval_shape(made_world, GAME, cnn)


def test_seats_that_differ_must_be_told():
    class Untold(Roles):
        def seat_in(self, obs):
            return None

    with pytest.raises(ValueError, match=r"expected a method seat_in\(obs\)"):
        WorldModel(Untold(), CONFIG, goals=1, heads=1, key=jax.random.key(0))


def test_packed_images_have_the_units_of_whole_ones():
    """Channels of 0 and 1 are not read; the sums of the others keep their order."""
    rng = np.random.default_rng(0)
    obs = (rng.random((6, 5, 2, 4, 4, 3)) > 0.7).astype(np.float32)
    obs[..., 1] = rng.normal(3, 20, obs.shape[:-1])
    binary = np.ones((4, 4, 3), bool)
    binary[..., 1] = False
    packed = pack_bits(obs.reshape(-1, 48), binary.reshape(-1))
    assert packed is not None
    bits, rest = (part.reshape(6, 5, 2, -1) for part in packed)
    mask = binary.astype(np.uint8).tobytes()
    places = np.nonzero(rng.random((6, 5, 2)) > 0.3)
    expected = _moments(obs[places], (0, 1, 2))
    for kept in (obs, PackedObs(bits, rest, mask, (4, 4, 3))):
        moments = _moments_of_channels(kept, places, binary)
        for one, other in zip(moments, expected, strict=True):
            assert one[1] == other[1]
            assert np.isfinite(one).all()
