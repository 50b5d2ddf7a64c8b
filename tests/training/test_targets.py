"""TD targets by hand and by enumeration; beliefs and importance ratios of logged play."""

import itertools
import math

import equinox as eqx
import jax
import numpy as np
import pytest

from bestreply.config import ModelConfig, RunConfig, TrainConfig
from bestreply.models.world_model import WorldModel
from bestreply.opponents.filtering import follow_beliefs, policy_ratios
from bestreply.replay.moa_buffer import Index, fill, gather
from bestreply.training.losses import expected_target
from bestreply.training.targets import (
    LoggedBeliefs,
    n_step_return,
    value_targets,
)
from bestreply.types import ABSENT, Episodes, ego_order
from tests.shared import build, compiled
from tests.training.set_networks import (
    GAME,
    put,
    set_opponents,
    set_world,
    window,
)

GAMMA = 0.5
# Four episodes of seat 0: truncated after step 3, terminated after step 2, truncated after
# step 2, terminated after step 0.
REWARD = np.array(
    [[1, 2, 4, 8], [1, 2, 4, 0], [1, 2, 4, 0], [16, 0, 0, 0]], np.float32
)
LENGTH = np.array([4, 3, 3, 1], np.int32)
TERMINATED = np.array([False, True, False, True])


def logged_episodes():
    """Three seats with equal play; o of episode e at step t is 10 e + t."""
    e, t, n = 4, 4, 3
    acted = np.arange(t) < LENGTH[:, None]
    last = np.arange(t) == LENGTH[:, None] - 1

    def seats(x):
        return np.repeat(x[..., None], n, -1)

    place = 10 * np.arange(e)[:, None] + np.arange(t + 1)
    return Episodes(
        obs=seats(place)[..., None].astype(np.float32),
        legal=np.ones((e, t + 1, n, 2), bool),
        present=seats(np.pad(acted, ((0, 0), (0, 1)))),
        action=seats(np.where(acted, 0, ABSENT).astype(np.int32)),
        prob=np.full((e, t, n), 0.5, np.float32),
        reward=seats(REWARD),
        terminated=seats(last & TERMINATED[:, None]),
        truncated=last & ~TERMINATED[:, None],
        length=LENGTH,
        player=np.zeros((e, n), np.int32),
        goal=np.zeros((e, t, n), np.int32),
        goal_source=np.zeros((e, t, n), np.int8),
    )


BUFFER = fill(logged_episodes())


def index_of(places):
    rows, steps, seats = np.array(places, np.int32).T
    return Index(rows, steps, seats)


def returns(places, n_step, at_limit="bootstrap"):
    """(discounted reward, discount, next step) of (episode, step) of seat 0."""
    config = TrainConfig(gamma=GAMMA, at_limit=at_limit)
    # One number of places in all tests: one program for each n.
    padded = [(e, t, 0) for e, t in places + [(0, 0)] * (5 - len(places))]
    columns = n_step_return(config, logged_episodes(), index_of(padded), n_step)
    rows = zip(*(np.asarray(x).tolist() for x in columns), strict=True)
    return list(rows)[: len(places)]


def test_one_step():
    """Within play; at the step limit, which does not end the return; at two terminations."""
    assert returns([(0, 0), (0, 3), (1, 2), (2, 2), (3, 0)], 1) == [
        (1, 0.5, 1),
        (8, 0.5, 4),
        (4, 0, 3),
        (4, 0.5, 3),
        (16, 0, 1),
    ]


def test_several_steps_stop_where_the_play_does():
    assert returns([(0, 0), (0, 2), (1, 0), (1, 1), (2, 1)], 3) == [
        (1 + 1 + 1, 0.125, 3),
        (4 + 4, 0.25, 4),  # two steps to the step limit, then a value
        (1 + 1 + 1, 0, 3),  # the last of three steps terminated
        (2 + 2, 0, 3),
        (2 + 2, 0.25, 3),
    ]
    assert returns([(0, 0), (1, 0)], 50) == [
        (1 + 1 + 1 + 1, GAMMA**4, 4),
        (3, 0, 3),
    ]


def test_with_at_limit_zero_no_value_follows_the_step_limit():
    assert returns([(0, 0), (0, 3), (2, 2), (1, 2)], 1, "zero") == [
        (1, 0.5, 1),
        (8, 0, 4),
        (4, 0, 3),
        (4, 0, 3),
    ]
    assert returns([(0, 1), (0, 2)], 2, "zero") == [
        (2 + 2, 0.25, 3),
        (4 + 4, 0, 4),
    ]


def targets(
    places,
    target_net,
    *,
    model=None,
    ratios=None,
    heads="single",
    **train,
):
    """`value_targets` of (episode, step, seat), as NumPy arrays."""
    config = RunConfig(
        train=TrainConfig(gamma=GAMMA, **train),
        model=ModelConfig(latent=2, width=4, depth=1, value_heads=heads),
    )
    beliefs = LoggedBeliefs(put(np.ones((4, 5, 3, 2, 1))), ratios)
    index = jax.device_put(index_of(places))
    result = compiled(value_targets)(
        config,
        target_net,
        model or set_opponents(GAME, 1, [[0.0, 0.0]]),
        BUFFER,
        beliefs,
        index,
        gather(BUFFER, index),
        jax.random.key(0),
    )
    return jax.device_get(result)


class Linear(eqx.Module):
    """V(o) = `slope` x o, of each head."""

    slope: jax.Array

    def __call__(self, x):
        return self.slope * x[0]


def linear(slopes):
    world = set_world(GAME, heads=len(slopes))
    return eqx.tree_at(lambda w: w.value_net, world, Linear(put(slopes)))


def test_data_targets_have_the_value_of_the_next_step():
    """V(o) = 10 o, and o' of episode e at step t is 10 e + t + 1."""
    places = [(0, 0, 0), (0, 3, 2), (1, 2, 1), (2, 2, 0)]
    result = targets(places, linear([10.0]), n_step=1)
    expected = [1 + 0.5 * 10, 8 + 0.5 * 40, 4, 4 + 0.5 * 230]
    assert result.y[:, 0].tolist() == expected
    assert (result.weight == 1).all() and result.belief.shape == (4, 2, 1)
    places = [(0, 0, 0), (0, 3, 2), (1, 0, 1)]
    result = targets(places, linear([10.0]), n_step=3, at_limit="zero")
    assert result.y[:, 0].tolist() == [3 + 0.125 * 30, 8, 3]


def test_each_player_has_a_head_of_its_own():
    heads = linear([10.0, 20.0])
    result = targets([(0, 0, 0)], heads, heads="player", n_step=1)
    assert result.weight.tolist() == [[1, 0]]
    assert result.y[0].tolist() == [1 + 0.5 * 10, 1 + 0.5 * 20]


def test_other_heads_have_one_step_targets_weighted_by_importance():
    result = targets(
        [(0, 0, 0)],
        linear([10.0, 20.0]),
        heads="player",
        ratios=put(np.full((4, 4, 3, 2), 0.25)),
        n_step=3,
    )
    assert result.weight.tolist() == [[1, 0.25]]
    assert result.y[0].tolist() == [3 + 0.125 * 30, 1 + 0.5 * 20]


PLACES = [(0, 0, 0), (0, 3, 1), (1, 2, 0), (2, 2, 2)]


@eqx.filter_jit
def next_values(target_net, obs, action):
    """V(f(z, a_i, a_j)) for the four joint actions of two opponents."""
    z = target_net.encode(obs)
    joint = np.array([*itertools.product(range(2), repeat=2)], np.int32)

    def value(others):
        next_z = target_net.next(z, action, others)
        return target_net.values_of(next_z, np.ones((2, 1), np.float32))[0]

    return jax.vmap(value)(joint)


@pytest.mark.parametrize("at_limit", ["bootstrap", "zero"])
def test_expected_targets_by_enumeration(at_limit):
    """Opponents with the policy (1/4, 3/4) in a random world."""
    config = ModelConfig(latent=3, width=8, depth=1, value_of="z")
    target_net = build(WorldModel, GAME, config, goals=1, heads=1, key=3)
    model = set_opponents(GAME, 1, [[0.0, math.log(3)]])
    result = targets(
        PLACES, target_net, model=model, target="expected", at_limit=at_limit
    )
    probs = np.outer([0.25, 0.75], [0.25, 0.75]).ravel()
    play = logged_episodes()
    for row, (e, t, seat) in enumerate(PLACES):
        values = next_values(
            target_net, play.obs[e, t, seat], play.action[e, t, seat]
        )
        expectation = probs @ np.asarray(values)
        limit_ends = at_limit == "zero" and play.truncated[e, t]
        continues = not play.terminated[e, t, seat] and not limit_ends
        expected = play.reward[e, t, seat] + GAMMA * continues * expectation
        assert result.y[row, 0] == pytest.approx(expected, rel=1e-4)


class BeliefValue(eqx.Module):
    """V = 100 x the first entry of the belief, which follows the observation."""

    def __call__(self, x):
        return 100 * x[1:2]


def test_the_expected_target_values_the_belief_after_each_joint_action():
    world = eqx.tree_at(lambda w: w.value_net, set_world(GAME), BeliefValue())
    at = jax.tree.map(lambda x: np.asarray(x)[0], window(GAME, reward=[1.0]))
    target = compiled(expected_target)(
        world,
        at,
        np.array([[0, 0], [1, 1]], np.int32),
        put([0.25, 0.75]),
        put([[[0.2], [0.0]], [[0.6], [0.0]]]),
        np.int32(0),
        put(0.5),
    )
    assert target == pytest.approx(1 + 0.5 * (0.25 * 20 + 0.75 * 60))


# -- beliefs and importance ratios of logged play --------------------------------------


def two_types():
    """pi(0) is 1/4 for type 0 and 3/4 for type 1."""
    return set_opponents(GAME, 2, [[0.0, math.log(3)], [math.log(3), 0.0]])


def test_beliefs_of_logged_play_are_those_of_an_observer_step_by_step():
    model, play = two_types(), logged_episodes()
    play.action[0, :, 1] = [1, 0, 1, 1]
    beliefs = np.asarray(follow_beliefs(model, play))
    assert beliefs.shape == (4, 5, 3, 2, 2)
    update = compiled(type(model).update)
    for e, seat in itertools.product(range(4), range(3)):
        belief, ego = np.full((2, 2), 0.5, np.float32), ego_order(3)[seat]
        for t in range(5):
            np.testing.assert_allclose(beliefs[e, t, seat], belief, rtol=1e-5)
            if t < 4:
                belief = update(
                    model,
                    belief,
                    play.obs[e, t, seat],
                    play.action[e, t, ego],
                    play.present[e, t, ego],
                )
    assert not np.allclose(beliefs[0, 4, 0], beliefs[1, 4, 0])


def test_ratios_are_those_of_the_logged_action():
    """The behaviour's probability is 1/2, once unknown and once tiny."""
    play = logged_episodes()
    play.prob[0, 1], play.prob[0, 2] = np.nan, 1e-6
    ratios = np.asarray(policy_ratios(two_types(), play, 10.0))
    np.testing.assert_allclose(ratios[0, 0], [[0.5, 1.5]] * 3, rtol=1e-5)
    assert (ratios[0, 1] == 0).all() and (ratios[0, 2] == 10).all()
    assert (ratios[3, 1:] == 0).all()  # no seat acted
