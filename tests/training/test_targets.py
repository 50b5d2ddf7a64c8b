"""TD targets by hand and by target_net enumeration: ends, step limits, several steps, expectations over the others."""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_losses import GAME, opponents, set_world, window

from bestreply.config import ModelConfig, RunConfig, TrainConfig
from bestreply.models.world_model import WorldModel
from bestreply.opponents.filtering import follow_beliefs, policy_ratios
from bestreply.replay.moa_buffer import Index, fill, gather
from bestreply.training.losses import data_target, expected_target
from bestreply.training.targets import (
    LoggedBeliefs,
    n_step_return,
    value_targets,
)
from bestreply.types import ABSENT, Episodes, ego_order

GAMMA = 0.5
# rewards of seat 0 in four episodes of 4 rows: ends at the step limit; terminates at step 2; ends at the step limit in row 2;
# seat 0 leaves after step 0
REWARD = np.array(
    [[1, 2, 4, 8], [1, 2, 4, 0], [1, 2, 4, 0], [16, 0, 0, 0]], np.float32
)
LENGTH = (4, 3, 3, 1)
TERMINATED = (False, True, False, True)


def episodes():
    """Three seats; the others do and get what seat 0 does."""
    e, t, n = 4, 4, 3
    acted = np.arange(t) < np.array(LENGTH)[:, None]
    last = np.arange(t) == np.array(LENGTH)[:, None] - 1
    seats = lambda x: np.repeat(x[..., None], n, -1)  # noqa: E731
    place = 10 * np.arange(e)[:, None] + np.arange(t + 1)
    return Episodes(
        obs=seats(place)[..., None].astype(np.float32),
        legal=np.ones((e, t + 1, n, 2), bool),
        present=seats(np.pad(acted, ((0, 0), (0, 1)))),
        action=seats(np.where(acted, 0, ABSENT).astype(np.int32)),
        prob=np.full((e, t, n), 0.5, np.float32),
        reward=seats(REWARD),
        terminated=seats(last & np.array(TERMINATED)[:, None]),
        truncated=last & ~np.array(TERMINATED)[:, None],
        length=np.array(LENGTH, np.int32),
        player=np.zeros((e, n), np.int32),
        goal=np.zeros((e, t, n), np.int32),
        goal_source=np.zeros((e, t, n), np.int8),
    )


def returns(places, n_step, at_limit="bootstrap"):
    config = TrainConfig(gamma=GAMMA, at_limit=at_limit)
    index = Index(
        *(
            jnp.array(x, jnp.int32)
            for x in zip(*[(e, t, 0) for e, t in places], strict=True)
        )
    )
    total, discount, end = n_step_return(config, episodes(), index, n_step)
    return list(
        zip(total.tolist(), discount.tolist(), end.tolist(), strict=True)
    )


def test_one_step():
    """In the middle; at the step limit, which ends nothing; where it terminated; where the seat left."""
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
        (
            4 + 4,
            0.25,
            4,
        ),  # two steps to the step limit, then the value of what was seen there
        (1 + 1 + 1, 0, 3),  # three steps, the last of which terminated
        (2 + 2, 0, 3),
        (2 + 2, 0.25, 3),
    ]
    assert returns([(0, 0), (1, 0)], 50) == [
        (1 + 1 + 1 + 1, GAMMA**4, 4),
        (3, 0, 3),
    ]


def test_at_limit_zero_is_for_returns_within_the_limit():
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


@pytest.mark.parametrize(
    "reward, terminated, wanted",
    [(1.5, False, 1.5 + 0.9 * 4), (1.5, True, 1.5)],
)
def test_data_target(reward, terminated, wanted):
    assert data_target(
        jnp.float32(reward), jnp.float32(0.9 * (1 - terminated)), jnp.float32(4)
    ) == pytest.approx(wanted)


def targets(
    index,
    *,
    model=None,
    target_net=None,
    logged_beliefs=None,
    heads="single",
    **train,
):
    """Values are V(o) = 10 o by default: that of the target_net network, which `value_targets` is given."""
    config = RunConfig(
        train=TrainConfig(gamma=GAMMA, **train),
        model=ModelConfig(latent=2, width=4, depth=1, value_heads=heads),
    )
    buffer, model = (
        fill(episodes()),
        opponents(GAME, 1, [[0.0, 0.0]]) if model is None else model,
    )
    index = Index(*(jnp.array(x, jnp.int32) for x in zip(*index, strict=True)))
    logged_beliefs = (
        LoggedBeliefs(jnp.ones((4, 5, 3, 2, 1)), None)
        if logged_beliefs is None
        else logged_beliefs
    )
    at = gather(buffer, index)
    return value_targets(
        config,
        target_net,
        model,
        buffer,
        logged_beliefs,
        index,
        at,
        jax.random.key(0),
    )


class Linear(eqx.Module):
    """V(o) = `slope` x o, of each head."""

    slope: jax.Array

    def __call__(self, x):
        return self.slope * x[0]


def linear(slopes):
    world = set_world(GAME, heads=len(slopes))
    return eqx.tree_at(
        lambda w: w.value_net, world, Linear(jnp.array(slopes, jnp.float32))
    )


def test_data_targets_take_the_value_of_the_step_that_follows():
    """V(o) = 10 o; o' of episode e at step t + 1 is 10 e + t + 1."""
    found = targets(
        [(0, 0, 0), (0, 3, 2), (1, 2, 1), (2, 2, 0)],
        target_net=linear([10.0]),
        n_step=1,
    )
    assert found.y[:, 0].tolist() == [
        1 + 0.5 * 10,
        8 + 0.5 * 40,
        4,
        4 + 0.5 * 230,
    ]
    assert (found.weight == 1).all() and found.belief.shape == (4, 2, 1)
    found = targets(
        [(0, 0, 0), (0, 3, 2), (1, 0, 1)],
        target_net=linear([10.0]),
        n_step=3,
        at_limit="zero",
    )
    assert found.y[:, 0].tolist() == [3 + 0.125 * 30, 8, 3]


def test_each_player_has_a_head_of_its_own():
    found = targets(
        [(0, 0, 0)], target_net=linear([10.0, 20.0]), heads="player", n_step=1
    )
    assert found.weight.tolist() == [[1, 0]] and found.y[0].tolist() == [
        1 + 0.5 * 10,
        1 + 0.5 * 20,
    ]


def test_other_heads_learn_one_step_deep_by_importance():
    logged_beliefs = LoggedBeliefs(
        jnp.ones((4, 5, 3, 2, 1)), jnp.full((4, 4, 3, 2), 0.25)
    )
    found = targets(
        [(0, 0, 0)],
        target_net=linear([10.0, 20.0]),
        heads="player",
        logged_beliefs=logged_beliefs,
        n_step=3,
    )
    assert found.weight.tolist() == [[1, 0.25]]
    assert found.y[0].tolist() == [
        3 + 0.125 * 30,
        1 + 0.5 * 20,
    ]  # three steps for its own, one for the other


@pytest.mark.parametrize("at_limit", ["bootstrap", "zero"])
def test_expected_targets_by_slow_enumeration(at_limit):
    """A model of the others with set probabilities, a random world; sum over joint actions one by one."""
    config = ModelConfig(latent=3, width=8, depth=1, value_of="z")
    target_net = WorldModel(
        GAME, config, goals=1, heads=1, key=jax.random.key(3)
    )
    model = opponents(
        GAME, 1, [[0.0, math.log(3)]]
    )  # (1/4, 3/4) for each of the two
    places = [(0, 0, 0), (0, 3, 1), (1, 2, 0), (2, 2, 2)]
    found = targets(
        places,
        target_net=target_net,
        model=model,
        target="expected",
        at_limit=at_limit,
    )
    play = episodes()
    for row, (e, t, seat) in enumerate(places):
        z, expectation = (
            target_net.encode(jnp.asarray(play.obs[e, t, seat])),
            0.0,
        )
        for first, second in itertools.product(range(2), repeat=2):
            prob = (0.25, 0.75)[first] * (0.25, 0.75)[second]
            after = target_net.next(
                z,
                jnp.int32(play.action[e, t, seat]),
                jnp.array([first, second]),
            )
            expectation += prob * float(
                target_net.values_of(after, jnp.ones((2, 1)))[0]
            )
        goes_on = not play.terminated[e, t, seat] and not (
            at_limit == "zero" and play.truncated[e, t]
        )
        assert found.y[row, 0] == pytest.approx(
            play.reward[e, t, seat] + GAMMA * goes_on * expectation, rel=1e-4
        )


def test_expected_target_weighs_what_each_joint_action_would_make_us_believe():
    """V is told the belief: here V = 100 x the first entry of the belief."""
    config = ModelConfig(latent=2, width=4, depth=1)
    world = WorldModel(GAME, config, goals=1, heads=1, key=jax.random.key(0))
    world = eqx.tree_at(lambda w: w.value_net, world, Told())
    joint, weights = jnp.array([[0, 0], [1, 1]]), jnp.array([0.25, 0.75])
    beliefs = jnp.array([[[0.2], [0.0]], [[0.6], [0.0]]])
    at = jax.tree.map(lambda x: x[0], window(GAME, reward=[1.0]))
    found = expected_target(
        world, at, joint, weights, beliefs, jnp.int32(0), jnp.float32(0.5)
    )
    assert found == pytest.approx(1 + 0.5 * (0.25 * 20 + 0.75 * 60))


class Told(eqx.Module):
    """Reads the belief behind the observation's one entry."""

    def __call__(self, x):
        return 100 * x[1:2]


# -- what the model of the others makes of the data ------------------------------------------------------------


def test_beliefs_along_the_data_are_those_of_an_observer_step_by_step():
    model = opponents(GAME, 2, [[0.0, math.log(3)], [math.log(3), 0.0]])
    play = episodes()
    play.action[0, :, 1] = [1, 0, 1, 1]
    found = np.asarray(follow_beliefs(model, play))
    assert found.shape == (4, 5, 3, 2, 2)
    for e, seat in itertools.product(range(4), range(3)):
        belief, ego = model.init(), ego_order(3)[seat]
        for t in range(5):
            np.testing.assert_allclose(found[e, t, seat], belief, rtol=1e-5)
            if t < 4:
                given = (
                    play.obs[e, t, seat],
                    play.action[e, t, ego],
                    play.present[e, t, ego],
                )
                belief = model.update(belief, *map(jnp.asarray, given))
    assert not np.allclose(found[0, 4, 0], found[1, 4, 0])


def test_ratios_are_those_of_the_logged_action():
    """pi(0) is 1/4 for goal 0 and 3/4 for goal 1; the behaviour's was 1/2, twice not known, once tiny."""
    model = opponents(GAME, 2, [[0.0, math.log(3)], [math.log(3), 0.0]])
    play = episodes()
    play.prob[0, 1], play.prob[0, 2] = np.nan, 1e-6
    found = np.asarray(policy_ratios(model, play, 10.0))
    np.testing.assert_allclose(found[0, 0], [[0.5, 1.5]] * 3, rtol=1e-5)
    assert (found[0, 1] == 0).all() and (found[0, 2] == 10).all()
    assert (found[3, 1:] == 0).all()  # nobody acted
