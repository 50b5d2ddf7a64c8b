"""A belief over types and how long each has lasted, beside every history there could have been."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game
from bestreply.config import ModelConfig
from bestreply.opponents.changepoint import ChangepointOpponents
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.oracle import OracleSwitching
from bestreply.types import ABSENT
from bestreply.utils.checkpoint import load_checkpoint, save_checkpoint

GAME = make_game("matrix(table=prisoners_dilemma, rounds=12)")
PRESENT = jnp.ones(2, bool)
TYPES = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
PRIOR = np.array([0.5, 0.3, 0.2])


class Fixed(LearnedOpponents):
    """Types with fixed habits, whatever they see."""

    def logits(self, obs):
        return jnp.log(jnp.asarray(TYPES, jnp.float32))[None]


def believer(**settings):
    base = LearnedOpponents.create(
        GAME,
        ModelConfig(width=4, depth=1),
        3,
        key=jax.random.key(0),
        prior_mixing=0.01,
    )
    model = Fixed(
        net=base.net,
        prior=jnp.asarray(PRIOR, jnp.float32),
        game=GAME,
        prior_mixing=0.01,
    )
    return ChangepointOpponents(model, **settings)


def follow(model, actions, belief=None):
    belief = model.init() if belief is None else belief
    obs = jnp.zeros(GAME.obs_shape)
    for action in actions:
        belief = model.update(belief, obs, jnp.array([0, action]), PRESENT)
    return belief


def histories(actions, hazard, types=TYPES, prior=PRIOR):
    """(weight, types held at each step and at the next) of every history; a change is to another type, by the prior."""
    count = len(prior)
    for held in itertools.product(range(count), repeat=len(actions) + 1):
        weight = prior[held[0]]
        for t, action in enumerate(actions):
            weight *= types[held[t]][action]
            was, now = held[t], held[t + 1]
            weight *= (
                (1 - hazard)
                if was == now
                else hazard * prior[now] / (1 - prior[was])
            )
        yield weight, held


@pytest.mark.parametrize("hazard", [0.02, 0.3])
def test_against_every_history(hazard):
    """A history that leaves a type never returns to it at the same step, so that run lengths are read off it."""
    actions = [0, 0, 1, 1, 1]
    model = believer(hazard=hazard)
    belief = follow(model, actions)
    total, now, still, lengths = 0.0, np.zeros(3), 0.0, np.zeros(6)
    for weight, held in histories(actions, hazard):
        total += weight
        now[held[-1]] += weight
        still += weight * (len(set(held)) == 1)
        run = next((r for r in range(1, 6) if held[-1 - r] != held[-1]), 6) - 1
        lengths[run] += weight
    np.testing.assert_allclose(
        model.posterior(belief)[0], now / total, rtol=1e-4
    )
    np.testing.assert_allclose(
        model.change_probability(belief)[0], 1 - still / total, rtol=1e-4
    )
    np.testing.assert_allclose(
        belief.joint[0].sum(1)[:6], lengths / total, rtol=1e-4, atol=1e-6
    )
    assert model.steps_since_change(belief)[0] == lengths.argmax()


def test_prediction_is_that_of_the_belief():
    model = believer(hazard=0.1)
    belief = follow(model, [1, 1])
    want = np.asarray(model.posterior(belief)[0]) @ TYPES
    found = model.predict(belief, jnp.zeros(GAME.obs_shape), jnp.ones(2, bool))
    np.testing.assert_allclose(found[0], want, rtol=1e-5)


def test_without_hazard_it_is_the_plain_belief():
    model = believer(memory=0.5)
    plain, belief = model.model.init(), model.init()
    obs = jnp.zeros(GAME.obs_shape)
    for action in (0, 1, 1, 0, 1):
        joint = jnp.array([0, action])
        plain, belief = (
            model.model.update(plain, obs, joint, PRESENT),
            model.update(belief, obs, joint, PRESENT),
        )
        np.testing.assert_allclose(model.posterior(belief), plain, rtol=1e-4)


def test_a_change_of_mind_is_noticed_and_dated():
    """Fifty of one kind would bury any doubt; a hazard digs it out within a few steps."""
    model, stubborn = believer(hazard=0.05), believer(memory=0.1)
    game = make_game("matrix(table=prisoners_dilemma, rounds=60)")
    model = ChangepointOpponents(
        Fixed(
            net=model.model.net,
            prior=model.model.prior,
            game=game,
            prior_mixing=0.01,
        ),
        hazard=0.05,
    )
    belief = follow(model, [0] * 40)
    assert (
        model.change_probability(belief)[0] < 0.6
        and model.posterior(belief)[0, 0] > 0.9
    )
    belief = follow(model, [1] * 6, belief)
    assert (
        model.change_probability(belief)[0] > 0.95
        and model.posterior(belief)[0, 1] > 0.8
    )
    assert abs(int(model.steps_since_change(belief)[0]) - 6) <= 1
    assert (
        stubborn.change_probability(follow(stubborn, [0] * 8 + [1] * 4))[0] == 0
    )


def test_alarms_are_as_often_false_as_they_say():
    """Of the alarms at P(changed) = p, a share 1 - p is false: play that changes as the model expects."""
    hazard, rounds, games = 0.05, 12, 4000
    rng = np.random.default_rng(0)
    held = np.empty((games, rounds + 1), int)
    held[:, 0] = rng.choice(3, games, p=PRIOR)
    for t in range(rounds):
        elsewhere = np.array(
            [
                rng.choice(
                    3, p=np.where(np.arange(3) == k, 0, PRIOR) / (1 - PRIOR[k])
                )
                for k in held[:, t]
            ]
        )
        held[:, t + 1] = np.where(
            rng.random(games) < hazard, elsewhere, held[:, t]
        )
    acts = (rng.random((games, rounds)) < TYPES[held[:, :-1], 1]).astype(
        np.int32
    )
    model = believer(hazard=hazard)

    def one(actions):
        def step(belief, action):
            belief = model.update(
                belief,
                jnp.zeros(GAME.obs_shape),
                jnp.stack([0, action]),
                PRESENT,
            )
            return belief, model.change_probability(belief)[0]

        return jax.lax.scan(step, model.init(), actions)[1]

    told = np.asarray(jax.jit(jax.vmap(one))(jnp.asarray(acts)))
    truth = np.stack(
        [(held[:, : t + 2] != held[:, :1]).any(1) for t in range(rounds)], 1
    )
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)):
        some = (told >= low) & (told < high)
        assert some.sum() > 500
        np.testing.assert_allclose(
            truth[some].mean(), told[some].mean(), atol=0.04
        )


def test_earlier_episodes_count_by_hand():
    """Two episodes, memory 1/2: counts b1 / 4 + b2 / 2 are added to the prior."""
    model = believer(memory=0.5)
    first = follow(model, [1, 1, 1])
    second = follow(model, [1, 0], model.renew(first))
    b1, b2 = model.posterior(first)[0], model.posterior(second)[0]
    third = model.renew(second)
    counts = np.asarray(b1) / 4 + np.asarray(b2) / 2
    np.testing.assert_allclose(third.counts[0], counts, rtol=1e-5)
    np.testing.assert_allclose(
        model.posterior(third)[0],
        (PRIOR + counts) / (1 + counts.sum()),
        rtol=1e-5,
    )
    forgetful = believer(hazard=0.1)
    strangers = forgetful.renew(follow(forgetful, [1, 1]))
    np.testing.assert_allclose(strangers.joint[0, 0], PRIOR, rtol=1e-5)
    assert strangers.seen[0] == 0


def test_none_of_these():
    """Half heads is type 2; always 0 then 1 in turn is nobody's habit; counts learn a player that never plays 0."""
    model = believer(unknown_type_prior=0.1)
    assert model.unknown_type_probability(model.init())[0] == pytest.approx(0.1)
    game = make_game("matrix(table=prisoners_dilemma, rounds=40)")
    model = ChangepointOpponents(
        Fixed(
            net=model.model.net,
            prior=model.model.prior,
            game=game,
            prior_mixing=0.01,
        ),
        unknown_type_prior=0.1,
    )
    known = follow(model, [0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
    assert model.unknown_type_probability(known)[0] < 0.1
    always = follow(model, [1] * 30)
    assert model.unknown_type_probability(always)[0] > 0.7
    assert (
        model.predict(always, jnp.zeros(game.obs_shape), jnp.ones(2, bool))[
            0, 1
        ]
        > 0.9
    )
    np.testing.assert_allclose(model.posterior(always).sum(1), 1, rtol=1e-5)


def test_one_that_is_two_types_by_turns():
    """Beside online EM by hand; predicted as the mixture it is, and told to be none of the types."""
    types = np.array([[0.98, 0.02], [0.02, 0.98], [0.9, 0.1]])
    game = make_game("matrix(table=prisoners_dilemma, rounds=300)")
    base = believer(unknown_type_prior=0.1).model

    class Sharp(LearnedOpponents):
        def logits(self, obs):
            return jnp.log(jnp.asarray(types, jnp.float32))[None]

    model = ChangepointOpponents(
        Sharp(net=base.net, prior=base.prior, game=game, prior_mixing=0.01),
        unknown_type_prior=0.1,
    )
    actions = np.random.default_rng(0).permutation([0, 0, 1] * 40)
    found = follow(model, actions.tolist())
    experts, counts = np.array([*types, [0.5, 0.5]]), np.full(4, 0.5)
    for action in actions:
        whose = counts / counts.sum() * experts[:, action]
        counts += whose / whose.sum()
    np.testing.assert_allclose(
        model.mixture_weights(found)[0], counts / counts.sum(), atol=1e-5
    )
    predicted = model.type_policies(found, jnp.zeros(game.obs_shape))[0, -1]
    np.testing.assert_allclose(
        predicted, counts / counts.sum() @ experts, atol=1e-5
    )
    assert predicted[1] == pytest.approx(1 / 3, abs=0.05)
    assert model.unknown_type_probability(found)[0] > 0.95
    np.testing.assert_allclose(model.posterior(found).sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "settings", [{"hazard": 0.05}, {"memory": 0.5}, {"unknown_type_prior": 0.1}]
)
def test_nothing_is_ruled_out_for_good(settings):
    """An action that no type would take, and a hundred of one kind: the others can still come back."""
    model = believer(**settings)
    game = make_game("matrix(table=prisoners_dilemma, rounds=300)")
    sure = Fixed(
        net=model.model.net,
        prior=model.model.prior,
        game=game,
        prior_mixing=0.01,
    )
    model = ChangepointOpponents(sure, **settings)
    belief = follow(model, [0] * 100)
    assert (
        np.isfinite(np.asarray(belief.joint)).all()
        and (np.asarray(model.posterior(belief)) > 0).all()
    )
    back = follow(model, [1] * 100, belief)
    assert (
        model.posterior(back)[0, 1] > 0.5
        or model.unknown_type_probability(back)[0] > 0.5
    )


def test_who_has_left_is_not_judged():
    model = believer(hazard=0.1)
    belief = model.init()
    for actions, present in (
        (jnp.array([0, ABSENT]), PRESENT),
        (jnp.array([0, 1]), jnp.array([True, False])),
    ):
        after = model.update(
            belief, jnp.zeros(GAME.obs_shape), actions, present
        )
        jax.tree.map(np.testing.assert_array_equal, after, belief)


def test_beliefs_are_kept_on_disk(tmp_path):
    model = believer(memory=0.9)
    belief = follow(model, [1, 1])
    save_checkpoint(tmp_path, 3, belief)
    _, found = load_checkpoint(tmp_path, model.init())
    jax.tree.map(np.testing.assert_array_equal, found, belief)


def test_told_when_it_happens():
    model = believer(hazard=0.1).model
    told = OracleSwitching(
        model, before=jnp.array([0]), after=jnp.array([2]), at=2
    )
    belief = told.init()
    found = []
    for _ in range(4):
        found.append(int(told.posterior(belief)[0].argmax()))
        belief = told.update(
            belief, jnp.zeros(GAME.obs_shape), jnp.array([0, 0]), PRESENT
        )
    assert found == [0, 0, 2, 2]


@pytest.mark.parametrize("name", ["hazard", "memory", "unknown_type_prior"])
def test_nonsense_is_refused(name):
    with pytest.raises(
        ValueError, match=f"{name}=1.0: expected at least 0 and less than 1"
    ):
        believer(**{name: 1.0})
