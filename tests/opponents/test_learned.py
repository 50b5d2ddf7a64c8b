"""Models of the others beside numbers worked out by hand and beside the real players' own distributions."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.training.test_losses import GAME, opponents

from bestreply import make_game, make_player
from bestreply.opponents.base import UniformOpponents
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.mixture import MixtureOpponents
from bestreply.opponents.oracle import OracleOpponents
from bestreply.opponents.rules import RuleOpponents
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.types import ABSENT, ego_order

OBS, LEGAL, ALL = jnp.zeros(1), jnp.ones(2, bool), jnp.ones(3, bool)
PI = [
    [0.0, math.log(3)],
    [math.log(4), 0.0],
]  # goal 0: (1/4, 3/4); goal 1: (4/5, 1/5)


def actions(*joint):
    return jnp.array(joint, jnp.int32)


def learned(prior_mixing=0.0, prior=(0.5, 0.5)):
    model = opponents(GAME, 2, PI)
    return LearnedOpponents(model.net, jnp.array(prior), GAME, prior_mixing)


# -- the learned model and Bayes' rule -------------------------------------------------------------------------


def test_bayes_rule_by_hand():
    """Other 1 does 1: b(0) = .5 x .75 / (.5 x .75 + .5 x .2) = 15/19. Other 2 does 0: .25 / (.25 + .8) = 5/21."""
    model = learned()
    belief = model.init()
    np.testing.assert_allclose(belief, [[0.5, 0.5]] * 2)
    np.testing.assert_allclose(
        model.predict(belief, OBS, LEGAL), [[0.525, 0.475]] * 2, rtol=1e-6
    )
    belief = model.update(belief, OBS, actions(0, 1, 0), ALL)
    np.testing.assert_allclose(
        belief, [[15 / 19, 4 / 19], [5 / 21, 16 / 21]], rtol=1e-5
    )
    p = 15 / 19 * 0.25 + 4 / 19 * 0.8
    np.testing.assert_allclose(
        model.predict(belief, OBS, LEGAL)[0], [p, 1 - p], rtol=1e-5
    )
    belief = model.update(belief, OBS, actions(0, 1, 1), ALL)
    odds = 15 / 4 * 15 / 4  # of goal 0, after two such actions
    np.testing.assert_allclose(
        belief[0], [odds / (1 + odds), 1 / (1 + odds)], rtol=1e-5
    )
    odds = 5 / 16 * 15 / 4  # back and forth
    np.testing.assert_allclose(
        belief[1], [odds / (1 + odds), 1 / (1 + odds)], rtol=1e-5
    )


def test_own_action_is_no_evidence():
    model = learned()
    one, other = (
        model.update(model.init(), OBS, actions(own, 1, 0), ALL)
        for own in (0, 1)
    )
    assert np.array_equal(one, other)


def test_the_prior_counts():
    model = learned(prior=(0.9, 0.1))
    belief = model.update(model.init(), OBS, actions(0, 1, 1), ALL)
    np.testing.assert_allclose(
        belief[0], [0.9 * 0.75 / 0.695, 0.1 * 0.2 / 0.695], rtol=1e-5
    )


def test_a_share_of_the_prior_flows_back():
    model = learned(prior_mixing=0.1, prior=(0.9, 0.1))
    belief = model.update(model.init(), OBS, actions(0, 1, 1), ALL)
    after = 0.9 * 0.75 / 0.695
    np.testing.assert_allclose(
        belief[0],
        [0.9 * after + 0.1 * 0.9, 0.9 * (1 - after) + 0.1 * 0.1],
        rtol=1e-5,
    )


def test_nothing_is_ruled_out_for_good():
    """After 50 actions for goal 0, a few for goal 1 turn the belief."""
    model, belief = learned(prior_mixing=0.01), learned().init()
    for _ in range(50):
        belief = model.update(belief, OBS, actions(0, 1, 1), ALL)
    assert belief[0, 0] > 0.98
    for _ in range(8):
        belief = model.update(belief, OBS, actions(0, 0, 0), ALL)
    assert belief[0, 1] > 0.9


@pytest.mark.parametrize(
    "joint, present",
    [((0, ABSENT, 1), (True, True, True)), ((0, 1, 1), (True, False, True))],
)
def test_who_has_left_tells_nothing(joint, present):
    model = learned(prior_mixing=0.2)
    belief = jnp.array([[0.3, 0.7], [0.3, 0.7]])
    after = model.update(belief, OBS, actions(*joint), jnp.array(present))
    assert np.array_equal(after[0], belief[0]) and not np.array_equal(
        after[1], belief[1]
    )


def test_an_action_the_model_calls_impossible_is_survived():
    """A network that is sure and wrong must not make the belief NaN."""
    model = opponents(GAME, 2, [[0.0, 200.0], [0.0, 300.0]])
    belief = model.update(model.init(), OBS, actions(0, 0, 0), ALL)
    assert np.isfinite(belief).all() and belief.sum(1) == pytest.approx(1)


def test_every_goal_one_hot_and_the_belief_moves_with_it():
    model = OracleOpponents(learned(), jnp.array([1, 0]))
    assert model.game is GAME
    np.testing.assert_allclose(
        model.predict(model.init(), OBS, LEGAL),
        [[0.8, 0.2], [0.25, 0.75]],
        rtol=1e-5,
    )
    after = model.update(
        model.init(), OBS, actions(0, 1, 1), ALL
    )  # the truth does not move
    assert np.array_equal(after, model.init()) and model.posterior(
        after
    ).tolist() == [[0, 1], [1, 0]]


def test_uniform():
    model = UniformOpponents(GAME, goals=4)
    belief = model.update(model.init(), OBS, actions(0, 1, 1), ALL)
    assert model.predict(belief, OBS, LEGAL).tolist() == [[0.5, 0.5]] * 2
    assert model.posterior(belief).tolist() == [[0.25] * 4] * 2


def test_uniform_over_what_the_others_can_do():
    game = make_game(
        "stag_hunt(height=1, width=3, hunters=2, stags=1, hares=0)"
    )
    obs = (
        jnp.zeros(game.obs_shape)
        .at[0, 0, 0]
        .set(1.0)
        .at[0, 1, 1]
        .set(1.0)
        .at[0, 1, 3]
        .set(1.0)
    )
    third = (
        1 / 4
    )  # it can go left and right, stay, and hunt the stag it stands on
    np.testing.assert_allclose(
        UniformOpponents(game).predict((), obs, jnp.ones(7, bool))[0],
        [0, 0, third, third, third, third, 0],
    )


# -- rules -----------------------------------------------------------------------------------------------------

HUNT = "stag_hunt(height=3, width=3, hunters=3, stags=1, hares=2, max_steps=6)"
DILEMMA = "matrix(table=prisoners_dilemma, rounds=6)"


@pytest.mark.parametrize(
    "game, players",
    [
        (HUNT, ["random", "nearest_hare", "noisy(nearest_stag, 0.3)"]),
        (DILEMMA, ["random", "noisy(tit_for_tat, 0.2)"]),
        (DILEMMA, ["random", "noisy(grim, 0.1)"]),
        (DILEMMA, ["random", "win_stay_lose_shift"]),
        (
            "matrix(table=rock_paper_scissors, rounds=6)",
            ["random", "fictitious_play"],
        ),
        (DILEMMA, ["random", "look_alike(tit_for_tat, always_d, steps=3)"]),
    ],
)
def test_rules_predict_what_the_players_were_about_to_do(game, players):
    """From the first seat's view alone, along logged play, beside the probability that each player told of its own action."""
    game = make_game(game)
    n = game.num_players
    rules = tuple(
        make_player(p, game, seat) for seat, p in enumerate(players[1:], 1)
    )
    model = RuleOpponents(rules, game)
    logged = play(game, seat_players(game, players, 8, seed=0), seed=1).episodes
    predict, update = jax.jit(model.predict), jax.jit(model.update)
    checked = 0
    for e in range(8):
        belief = model.init()
        for t in range(logged.length[e]):
            if not logged.present[e, t, 0]:
                break
            obs, joint, present = (
                logged.obs[e, t, 0],
                logged.action[e, t],
                logged.present[e, t],
            )
            probs = np.asarray(
                predict(
                    belief, jnp.asarray(obs), jnp.asarray(logged.legal[e, t, 0])
                )
            )
            for seat in range(1, n):
                if present[seat]:
                    assert probs[seat - 1, joint[seat]] == pytest.approx(
                        logged.prob[e, t, seat], abs=1e-5
                    )
                    assert probs[seat - 1].sum() == pytest.approx(1, abs=1e-5)
                    checked += 1
            belief = update(
                belief,
                jnp.asarray(obs),
                jnp.asarray(joint),
                jnp.asarray(present),
            )
    assert checked >= 20


def test_one_rule_for_each_other():
    game = make_game(HUNT)
    with pytest.raises(
        ValueError, match=r"players=\[.*\]: expected 2, one for each opponent"
    ):
        RuleOpponents((make_player("random", game),), game)


def test_the_types_of_rules_are_their_posterior():
    game = make_game(HUNT)
    model = RuleOpponents(
        (make_player("random", game),) * 2, game, types=(2, 0), goals=3
    )
    assert model.posterior(model.init()).tolist() == [[0, 0, 1], [1, 0, 0]]


# -- mixtures --------------------------------------------------------------------------------------------------


class Says(UniformOpponents):
    """`probs` [A] for everybody, and the type `kind`."""

    probs: tuple = eqx.field(static=True, default=())
    kind: int = eqx.field(static=True, default=0)

    def predict(self, belief, obs, legal):
        return jnp.broadcast_to(jnp.array(self.probs), (2, 2))

    def posterior(self, belief):
        return jnp.broadcast_to(jax.nn.one_hot(self.kind, 2), (2, 2))


def mixed(prior_mixing):
    models = (
        Says(GAME, probs=(0.25, 0.75), kind=0),
        Says(GAME, probs=(0.8, 0.2), kind=1),
    )
    return MixtureOpponents(models, jnp.array([3.0, 1.0]), GAME, prior_mixing)


def test_a_mixture_weighs_its_models_by_bayes_rule():
    model = mixed(prior_mixing=0.0)
    belief = model.init()
    p = 0.75 * 0.25 + 0.25 * 0.8
    np.testing.assert_allclose(
        model.predict(belief, OBS, LEGAL), [[p, 1 - p]] * 2, rtol=1e-6
    )
    belief = model.update(belief, OBS, actions(0, 1, ABSENT), ALL)
    weight = 0.75 * 0.75 / (0.75 * 0.75 + 0.25 * 0.2)
    np.testing.assert_allclose(
        model.posterior(belief), [[weight, 1 - weight], [0.75, 0.25]], rtol=1e-5
    )


def test_a_mixture_leaks_to_its_prior():
    belief = mixed(prior_mixing=0.1).update(
        mixed(prior_mixing=0.1).init(), OBS, actions(0, 1, 1), ALL
    )
    weight = 0.75 * 0.75 / (0.75 * 0.75 + 0.25 * 0.2)
    np.testing.assert_allclose(
        belief[0][0, 0], 0.9 * weight + 0.1 * 0.75, rtol=1e-5
    )


def test_a_mixture_of_rules_finds_out_who_plays():
    """Tit for tat and grim look alike until somebody defects and is sorry."""
    game = make_game(DILEMMA)
    rules = tuple(
        RuleOpponents((make_player(p, game),), game)
        for p in ("tit_for_tat", "grim")
    )
    model = MixtureOpponents(
        rules, jnp.array([1.0, 1.0]), game, prior_mixing=0.0
    )
    belief, weights = model.init(), []
    for mine, theirs in [
        (0, 0),
        (1, 0),
        (0, 1),
        (0, 1),
    ]:  # grim goes on defecting, tit for tat would not
        belief = model.update(
            belief,
            jnp.zeros(game.obs_shape),
            actions(mine, theirs),
            jnp.ones(2, bool),
        )
        weights.append(float(belief[0][0, 1]))
    assert weights[:3] == pytest.approx([0.5] * 3) and weights[3] > 0.999


# -- shapes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec", [HUNT, DILEMMA, "openspiel:goofspiel(num_cards=3)"]
)
def test_rows_of_a_batch_do_not_touch(spec):
    game = make_game(spec)
    from bestreply.config import ModelConfig

    model = LearnedOpponents.create(
        game, ModelConfig(width=8, depth=1), 3, key=jax.random.key(0)
    )
    n, a = game.num_players, game.num_actions
    rng = np.random.default_rng(0)
    obs = jnp.asarray(rng.integers(0, 2, (5, *game.obs_shape)), jnp.float32)
    belief = jnp.asarray(rng.dirichlet(np.ones(3), (5, n - 1)), jnp.float32)
    joint = jnp.asarray(rng.integers(0, a, (5, n)), jnp.int32)
    present, legal = (
        jnp.asarray(rng.random((5, n)) < 0.7),
        jnp.ones((5, a), bool),
    )
    batch = (
        jax.jit(jax.vmap(model.predict))(belief, obs, legal),
        jax.jit(jax.vmap(model.update))(belief, obs, joint, present),
    )
    assert batch[0].shape == (5, n - 1, a)
    np.testing.assert_allclose(batch[0].sum(-1), 1, rtol=1e-5)
    for k in range(5):
        one = (
            model.predict(belief[k], obs[k], legal[k]),
            model.update(belief[k], obs[k], joint[k], present[k]),
        )
        for x, y in zip(batch, one, strict=True):
            np.testing.assert_allclose(x[k], y, rtol=1e-4, atol=1e-6)
    assert ego_order(n).shape == (n, n)
