"""Each loss by numbers worked out by hand, on networks whose outputs are set."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game
from bestreply.config import LossWeights, ModelConfig
from bestreply.models.world_model import WorldModel
from bestreply.opponents.learned import LearnedOpponents
from bestreply.training.losses import (
    bernoulli,
    observation_loss,
    opponent_losses,
    total_loss,
    value_loss,
    world_losses,
)
from bestreply.types import ABSENT, Transition
from tests.shared import build, compiled

GAME = make_game(
    "matrix", payoffs=np.zeros((3, 2, 2, 2)).tolist(), memory=0
)  # obs: one number, the rounds left
HUNT = make_game(
    "stag_hunt(height=1, width=2, hunters=2, stags=1, hares=0, max_steps=4)"
)  # planes: 2 players, blocks, stags, hares, time


def constant(net, values):
    """A network that gives `values` whatever it is shown."""
    last = lambda n: (n.rest if hasattr(n, "rest") else n).layers[-1]  # noqa: E731
    zero = jax.tree.map(
        lambda x: put(np.zeros(x.shape)) if eqx.is_inexact_array(x) else x, net
    )
    return eqx.tree_at(lambda n: last(n).bias, zero, put(values))


def put(values):
    """An array on the device, without a program."""
    return jax.device_put(np.asarray(values, np.float32))


def set_world(game, heads=1, goals=1, **parts):
    """A world model with z = `encoder`, a change of `dynamics` a step, and the other outputs as given."""
    likelihood, value_of = (
        parts.pop("likelihood", "squared"),
        parts.pop("value_of", "o"),
    )
    config = ModelConfig(
        latent=2, width=4, depth=1, likelihood=likelihood, value_of=value_of
    )
    world = build(WorldModel, game, config, goals=goals, heads=heads)
    for name, values in parts.items():
        world = eqx.tree_at(
            lambda w, name=name: getattr(w, name),
            world,
            constant(getattr(world, name), values),
        )
    return world


def window(game, steps=1, **changes):
    """Steps [L] of seat 0; what is not given is 0, everything legal, everybody there."""
    n, a = game.num_players, game.num_actions
    zeros = {
        "obs": game.obs_shape,
        "next_obs": game.obs_shape,
        "reward": (),
        "prob": (),
    }
    whole = {
        "action": (),
        "others": (n - 1,),
        "player": (n,),
        "goal": (n,),
        "episode": (),
        "seat": (),
    }
    arrays = {
        name: np.zeros((steps, *shape), np.float32)
        for name, shape in zeros.items()
    }
    arrays |= {
        name: np.zeros((steps, *shape), np.int32)
        for name, shape in whole.items()
    }
    arrays |= {
        name: np.zeros(steps, bool) for name in ("terminated", "truncated")
    }
    arrays |= {
        name: np.ones((steps, a), bool) for name in ("legal", "next_legal")
    }
    arrays |= {
        "present": np.ones((steps, n), bool),
        "valid": np.ones(steps, bool),
        "step": np.arange(steps, dtype=np.int32),
    }
    arrays |= {
        name: np.asarray(value, arrays[name].dtype if name in arrays else None)
        for name, value in changes.items()
    }
    return Transition(**jax.device_put(arrays))


def entropy(logit, truth):
    """-log of the probability that a logit gives to 0 or 1, the target_net way."""
    p = 1 / (1 + math.exp(-logit))
    return -math.log(p if truth else 1 - p)


def test_observation_squared():
    """Two entries off by 0.5 and 2, of twelve: (0.25 + 4) / 12."""
    obs = np.zeros(HUNT.obs_shape, np.float32)
    obs[0, 0, 0], obs[0, 1, 5] = 1.0, 0.5
    world = set_world(HUNT, decoder=[0.5, *[0.0] * 10, 2.5])
    loss = compiled(observation_loss)(world, np.zeros(2, np.float32), obs)
    assert loss == pytest.approx((0.25 + 4) / 12)


def test_observation_bernoulli():
    """0/1 entries cost -log p; the two entries of the time plane stay squared."""
    logits = [2.0, -1.0, 0.0, 0.5, 3.0, 0.25, -2.0, 1.0, 0.0, 0.0, -4.0, 0.75]
    truth = [1, 0, 0, 1, 0, 0.5, 0, 1, 0, 1, 0, 0.5]
    world = set_world(HUNT, likelihood="bernoulli", decoder=logits)
    wanted = [
        (o - t) ** 2 if k % 6 == 5 else entropy(o, t)
        for k, (o, t) in enumerate(zip(logits, truth, strict=True))
    ]
    obs = np.array(truth, np.float32).reshape(HUNT.obs_shape)
    found = compiled(observation_loss)(world, np.zeros(2, np.float32), obs)
    assert found == pytest.approx(sum(wanted) / 12, rel=1e-5)


@pytest.mark.parametrize("logit", [-30.0, -1.0, 0.0, 2.0, 30.0])
def test_bernoulli_is_stable(logit):
    assert bernoulli(put(logit), put(1)) == pytest.approx(
        math.log1p(math.exp(-logit)), rel=1e-5
    )
    assert bernoulli(put(logit), put(0)) == pytest.approx(
        math.log1p(math.exp(logit)), rel=1e-5
    )


def losses(step, **parts):
    world = set_world(GAME, **parts)
    return jax.tree.map(float, compiled(world_losses)(world, step))


def test_reward():
    assert losses(window(GAME, reward=[1.5]), reward_net=[4.0])[
        "reward"
    ] == pytest.approx(6.25)


def test_consistency():
    """enc(o') = (1, -1), and z' = z + f = (1, -1) + (0.5, 2): ((0.5)^2 + 2^2) / 2."""
    found = losses(window(GAME), encoder=[1.0, -1.0], dynamics=[0.5, 2.0])
    assert found["consistency"] == pytest.approx((0.25 + 4) / 2)


def test_consistency_moves_the_dynamics_and_not_the_target():
    world = set_world(GAME, encoder=[1.0, -1.0], dynamics=[0.5, 2.0])
    step = window(GAME)
    gradient = eqx.filter_jit(
        eqx.filter_grad(lambda w: world_losses(w, step)["consistency"])
    )(world)
    # d/dz' = (0.5, 2) flows to f and, through z, to enc(o_t); were it to flow through enc(o') too, it would cancel
    np.testing.assert_allclose(
        gradient.dynamics.rest.layers[-1].bias, [0.5, 2.0], rtol=1e-6
    )
    np.testing.assert_allclose(
        gradient.encoder.layers[-1].bias, [0.5, 2.0], rtol=1e-6
    )


@pytest.mark.parametrize("terminated", [False, True])
def test_continuation(terminated):
    """The logit of going on; a truncated step goes on."""
    step = window(GAME, terminated=[terminated], truncated=[True])
    assert losses(step, continuation=[1.25])["continuation"] == pytest.approx(
        entropy(1.25, not terminated), rel=1e-5
    )


def test_legal():
    """Half for the actions at o, half for those at o'."""
    step = window(GAME, legal=[[True, False]], next_legal=[[False, True]])
    now = (entropy(0.5, 1) + entropy(-1.5, 0)) / 2
    then = (entropy(0.5, 0) + entropy(-1.5, 1)) / 2
    assert losses(step, legal_net=[0.5, -1.5])["legal"] == pytest.approx(
        (now + then) / 2, rel=1e-5
    )


def test_observation_is_that_of_the_next_step():
    step = window(GAME, obs=[[0.75]], next_obs=[[0.25]])
    assert losses(step, decoder=[1.0])["obs"] == pytest.approx(0.75**2)
    both = 0.5 * (0.75**2 + 0.25**2)  # V(z): the decoder reads enc(o) as well
    assert losses(step, decoder=[1.0], value_of="z")["obs"] == pytest.approx(
        both
    )


def test_a_window_is_averaged_over_its_valid_steps_and_rolled_out_open_loop():
    """z_k = enc(o_0) + k f: at steps 0 and 1 it is 1 and 2 changes from enc(o'); the third step is none."""
    steps = window(GAME, 3, reward=[1.0, 2.0, 100.0], valid=[True, True, False])
    found = losses(
        steps, encoder=[0.0, 0.0], dynamics=[1.0, 3.0], reward_net=[0.0]
    )
    assert found["reward"] == pytest.approx((1 + 4) / 2)
    assert found["consistency"] == pytest.approx(
        ((1 + 9) / 2 + (4 + 36) / 2) / 2
    )


def test_the_joint_action_is_ego_first_and_a_left_seat_is_no_action():
    """r = z-part + 10 a_i + 2 a_1 + a_2 would tell places apart: here by the weights of the action layer themselves."""
    world = set_world(GAME)
    weights = jnp.zeros((4, 6)).at[0].set(jnp.array([0.0, 1, 0, 2, 4, 8]))
    net = eqx.tree_at(lambda n: n.of_actions.weight, world.reward_net, weights)
    assert float(net.of_actions(jnp.array([0, 1.0, 0, 0, 1, 0]))[0]) == 5
    from bestreply.models.networks import one_hot_actions

    joint = one_hot_actions(jnp.int32(1), jnp.array([ABSENT, 0]), 2)
    assert joint.tolist() == [0, 1, 0, 0, 1, 0]


def test_value():
    """V = mean + scale x output = 1 + 2 x 3 = 7 for head 1; (7 - 4)^2 in units of the head's returns: / 2^2."""
    world = set_world(GAME, heads=2, value_net=[50.0, 3.0])
    world = eqx.tree_at(
        lambda w: (w.value_mean, w.value_scale),
        world,
        (jnp.array([0.0, 1.0]), jnp.array([1.0, 2.0])),
    )

    @eqx.filter_jit
    def call(w, target):
        belief = jnp.ones((2, 1))
        return value_loss(w, jnp.zeros(1), belief, jnp.int32(1), target)

    assert call(world, jnp.float32(4)) == pytest.approx(9 / 4)
    assert (
        jax.grad(call, 1)(world, jnp.float32(4)) == 0
    )  # the target is not moved


def opponents(game, goals, logits):
    """A model of the others with the same `logits` [G][A] whatever it sees."""
    model = LearnedOpponents.create(
        game, ModelConfig(width=4, depth=1), goals, key=jax.random.key(0)
    )
    return eqx.tree_at(
        lambda m: m.net, model, constant(model.net, np.ravel(logits))
    )


def test_opponents():
    """pi(. | goal 0) = (1/4, 3/4), pi(. | goal 1) = (1/2, 1/2)."""
    model = opponents(GAME, 2, [[0.0, math.log(3)], [1.0, 1.0]])
    weights = jnp.array([[1.0, 0.0], [0.5, 0.3]])
    found, counts = opponent_losses(
        model, jnp.zeros(1), jnp.array([1, 0]), weights
    )
    np.testing.assert_allclose(
        found,
        [-math.log(0.75), -0.5 * math.log(0.25) - 0.3 * math.log(0.5)],
        rtol=1e-6,
    )
    np.testing.assert_allclose(counts, [1, 0.8])


def test_opponents_that_have_left_or_have_no_label_do_not_count():
    model = opponents(GAME, 2, [[0.0, 1.0], [1.0, 1.0]])
    weights = jnp.array([[1.0, 0.0], [0.0, 0.0]])
    found, counts = opponent_losses(
        model, jnp.zeros(1), jnp.array([ABSENT, 1]), weights
    )
    assert found.tolist() == [0, 0] and counts.tolist() == [0, 0]


def test_opponents_only_where_an_action_can_be_legal():
    """In the corner of a 1x2 board the other can go one way, or stay: two of seven actions."""
    model = opponents(HUNT, 1, [[0.0] * 7])
    obs = jnp.zeros(HUNT.obs_shape).at[0, 0, 0].set(1.0).at[0, 1, 1].set(1.0)
    np.testing.assert_allclose(
        jnp.exp(model.logits(obs))[0, 0], [0, 0, 0.5, 0, 0.5, 0, 0], atol=1e-6
    )


def test_total_is_weighted_by_name():
    each = {
        "obs": 1.0,
        "reward": 2.0,
        "value": 4.0,
        "consistency": 8.0,
        "continuation": 16.0,
        "legal": 32.0,
    }
    weights = LossWeights(obs=1, reward=10, value=100, consistency=0.5)
    assert total_loss(
        {k: jnp.float32(v) for k, v in each.items()}, weights
    ) == pytest.approx(1 + 20 + 400 + 4 + 0.2 * 16 + 0.2 * 32)


def test_a_loss_without_a_weight_is_refused():
    with pytest.raises(ValueError, match="expected one for each weight"):
        total_loss({"obs": jnp.float32(1)}, LossWeights())
