"""Each loss by numbers worked out by hand, on networks whose outputs are set."""

import math

import equinox as eqx
import jax
import numpy as np
import pytest

from bestreply import make_game
from bestreply.config import LossWeights
from bestreply.models.networks import one_hot_actions
from bestreply.training.losses import (
    bernoulli,
    observation_loss,
    opponent_losses,
    total_loss,
    value_loss,
    world_losses,
)
from bestreply.types import ABSENT
from tests.shared import compiled
from tests.training.set_networks import (
    GAME,
    put,
    set_opponents,
    set_world,
    window,
)

# Planes: 2 players, blocks, stags, hares, time.
HUNT = make_game(
    "stag_hunt(height=1, width=2, hunters=2, stags=1, hares=0, max_steps=4)"
)
LATENT = np.zeros(2, np.float32)


def log_loss(logit, truth):
    """-log of the probability that a logit gives to 0 or 1, without a stable formula."""
    p = 1 / (1 + math.exp(-logit))
    return -math.log(p if truth else 1 - p)


def test_squared_observation_loss():
    """Two entries off by 0.5 and 2, of twelve: (0.25 + 4) / 12."""
    obs = np.zeros(HUNT.obs_shape, np.float32)
    obs[0, 0, 0], obs[0, 1, 5] = 1.0, 0.5
    world = set_world(HUNT, decoder=[0.5, *[0.0] * 10, 2.5])
    loss = compiled(observation_loss)(world, LATENT, obs)
    assert loss == pytest.approx((0.25 + 4) / 12)


def test_bernoulli_observation_loss():
    """0/1 entries have the loss -log p; the two entries of the time plane stay squared."""
    logits = [2.0, -1.0, 0.0, 0.5, 3.0, 0.25, -2.0, 1.0, 0.0, 0.0, -4.0, 0.75]
    truth = [1, 0, 0, 1, 0, 0.5, 0, 1, 0, 1, 0, 0.5]
    world = set_world(HUNT, likelihood="bernoulli", decoder=logits)
    expected = [
        (o - t) ** 2 if k % 6 == 5 else log_loss(o, t)
        for k, (o, t) in enumerate(zip(logits, truth, strict=True))
    ]
    obs = np.array(truth, np.float32).reshape(HUNT.obs_shape)
    loss = compiled(observation_loss)(world, LATENT, obs)
    assert loss == pytest.approx(sum(expected) / 12, rel=1e-5)


def test_bernoulli_is_stable():
    logits = np.array([-30.0, -1.0, 0.0, 2.0, 30.0], np.float32)
    for truth, sign in ((1, -1), (0, 1)):
        expected = np.log1p(np.exp(sign * logits.astype(np.float64)))
        loss = compiled(bernoulli)(put(logits), put(np.full(5, truth)))
        np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-12)


def losses(step, **outputs):
    """Losses of a world with all outputs set, so that all cases share one program."""
    zeros = {
        "encoder": [0.0, 0.0],
        "dynamics": [0.0, 0.0],
        "decoder": [0.0],
        "reward_net": [0.0],
        "continuation": [0.0],
        "legal_net": [0.0, 0.0],
    }
    world = set_world(GAME, **zeros | outputs)
    each = compiled(world_losses)(world, step)
    return {name: float(x) for name, x in each.items()}


def test_reward():
    step = window(GAME, reward=[1.5])
    assert losses(step, reward_net=[4.0])["reward"] == pytest.approx(6.25)


def test_consistency():
    """enc(o') = (1, -1) and z' = z + f = (1, -1) + (0.5, 2): ((0.5)^2 + 2^2) / 2."""
    each = losses(window(GAME), encoder=[1.0, -1.0], dynamics=[0.5, 2.0])
    assert each["consistency"] == pytest.approx((0.25 + 4) / 2)


def test_the_gradient_of_consistency_reaches_the_dynamics_and_not_the_target():
    world = set_world(GAME, encoder=[1.0, -1.0], dynamics=[0.5, 2.0])
    gradient = eqx.filter_jit(
        eqx.filter_grad(lambda w, at: world_losses(w, at)["consistency"])
    )(world, window(GAME))
    # d/dz' = (0.5, 2) reaches f and, through z, enc(o_t). Through enc(o') it would cancel.
    for net in (gradient.dynamics.rest, gradient.encoder):
        np.testing.assert_allclose(net.layers[-1].bias, [0.5, 2.0], rtol=1e-6)


def test_continuation():
    """A truncated step continues."""
    for terminated in (False, True):
        step = window(GAME, terminated=[terminated], truncated=[True])
        loss = losses(step, continuation=[1.25])["continuation"]
        assert loss == pytest.approx(log_loss(1.25, not terminated), rel=1e-5)


def test_legal():
    """Half for the actions at o, half for those at o'."""
    step = window(GAME, legal=[[True, False]], next_legal=[[False, True]])
    now = (log_loss(0.5, 1) + log_loss(-1.5, 0)) / 2
    then = (log_loss(0.5, 0) + log_loss(-1.5, 1)) / 2
    loss = losses(step, legal_net=[0.5, -1.5])["legal"]
    assert loss == pytest.approx((now + then) / 2, rel=1e-5)


def test_the_observation_is_that_of_the_next_step():
    step = window(GAME, obs=[[0.75]], next_obs=[[0.25]])
    loss = losses(step, decoder=[1.0])["obs"]
    assert loss == pytest.approx(0.75**2)
    # V(z): the decoder decodes enc(o) as well.
    loss = losses(step, decoder=[1.0], value_of="z")["obs"]
    assert loss == pytest.approx(0.5 * (0.75**2 + 0.25**2))


def test_a_window_is_averaged_over_its_valid_steps_and_predicted_open_loop():
    """z_k = enc(o_0) + k f differs from enc(o') by f and 2 f; the third step is invalid."""
    steps = window(GAME, 3, reward=[1.0, 2.0, 100.0], valid=[True, True, False])
    each = losses(steps, dynamics=[1.0, 3.0])
    assert each["reward"] == pytest.approx((1 + 4) / 2)
    expected = ((1 + 9) / 2 + (4 + 36) / 2) / 2
    assert each["consistency"] == pytest.approx(expected)


def test_the_joint_action_is_ego_first_and_a_left_seat_is_no_action():
    """10 a_i + 2 a_1 + a_2: the weights of the action layer show the places."""
    world = set_world(GAME)
    weights = np.zeros((4, 6), np.float32)
    weights[0] = [0, 1, 0, 2, 4, 8]
    net = eqx.tree_at(
        lambda n: n.of_actions.weight, world.reward_net, put(weights)
    )
    assert float(net.of_actions(put([0, 1, 0, 0, 1, 0]))[0]) == 5
    actions = np.int32(1), np.array([ABSENT, 0], np.int32)
    joint = jax.jit(one_hot_actions, static_argnums=2)(*actions, 2)
    assert joint.tolist() == [0, 1, 0, 0, 1, 0]


def test_value():
    """V = mean + scale x output = 1 + 2 x 3 = 7 for head 1; ((7 - 4) / 2)^2 in its unit."""
    world = set_world(GAME, heads=2, value_net=[50.0, 3.0])
    world = eqx.tree_at(
        lambda w: (w.value_mean, w.value_scale),
        world,
        (put([0.0, 1.0]), put([1.0, 2.0])),
    )
    obs, belief = put([0]), put([[1], [1]])
    head = jax.device_put(np.int32(1))

    @jax.jit
    def loss(target):
        return value_loss(world, obs, belief, head, target)

    assert loss(put(4)) == pytest.approx(9 / 4)
    assert (
        jax.jit(jax.grad(loss))(put(4)) == 0
    )  # no gradient reaches the target


def opponents_loss(model, others, weights):
    return compiled(opponent_losses)(
        model,
        np.zeros(1, np.float32),
        np.array(others, np.int32),
        np.array(weights, np.float32),
    )


def test_opponent_loss_is_weighted_by_type():
    """pi(. | type 0) = (1/4, 3/4), pi(. | type 1) = (1/2, 1/2)."""
    model = set_opponents(GAME, 2, [[0.0, math.log(3)], [1.0, 1.0]])
    loss, counts = opponents_loss(model, [1, 0], [[1.0, 0.0], [0.5, 0.3]])
    second = -0.5 * math.log(0.25) - 0.3 * math.log(0.5)
    np.testing.assert_allclose(loss, [-math.log(0.75), second], rtol=1e-6)
    np.testing.assert_allclose(counts, [1, 0.8])


def test_opponents_that_have_left_or_have_no_label_do_not_count():
    model = set_opponents(GAME, 2, [[0.0, 1.0], [1.0, 1.0]])
    loss, counts = opponents_loss(model, [ABSENT, 1], [[1.0, 0.0], [0.0, 0.0]])
    assert loss.tolist() == [0, 0] and counts.tolist() == [0, 0]


def test_opponents_act_only_where_an_action_can_be_legal():
    """In the corner of a 1x2 board an opponent can move one way or stay."""
    model = set_opponents(HUNT, 1, [[0.0] * 7])
    obs = np.zeros(HUNT.obs_shape, np.float32)
    obs[0, 0, 0], obs[0, 1, 1] = 1.0, 1.0
    logits = compiled(type(model).logits)(model, obs)
    expected = [0, 0, 0.5, 0, 0.5, 0, 0]
    np.testing.assert_allclose(np.exp(logits)[0, 0], expected, atol=1e-6)


def test_the_total_is_weighted_by_name():
    each = {
        "obs": 1.0,
        "reward": 2.0,
        "value": 4.0,
        "consistency": 8.0,
        "continuation": 16.0,
        "legal": 32.0,
    }
    weights = LossWeights(obs=1, reward=10, value=100, consistency=0.5)
    total = jax.jit(lambda losses: total_loss(losses, weights))(each)
    expected = 1 + 20 + 400 + 4 + 0.2 * 16 + 0.2 * 32
    assert total == pytest.approx(expected)


def test_a_loss_without_a_weight_is_refused():
    with pytest.raises(ValueError, match="expected one for each weight"):
        total_loss({"obs": put(1)}, LossWeights())
