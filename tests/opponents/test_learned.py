"""Opponent models compared with hand calculations and with players' own distributions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game, make_player
from bestreply.config import ModelConfig
from bestreply.opponents.base import UniformOpponents
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.mixture import MixtureOpponents
from bestreply.opponents.oracle import OracleOpponents
from bestreply.opponents.rules import RuleOpponents
from bestreply.types import ABSENT
from tests.shared import build, compiled, played

GAME = make_game("matrix", payoffs=np.zeros((3, 2, 2, 2)).tolist(), memory=0)
OBS, LEGAL, ALL = np.zeros(1, np.float32), np.ones(2, bool), np.ones(3, bool)
PI = np.array([[0.25, 0.75], [0.8, 0.2]])  # policy of types 0 and 1


def learned(prior_mixing=0.0, prior=(0.5, 0.5), logits=None):
    """Return a model whose types have the policies `PI`, independent of the view."""
    logits = np.log(PI) if logits is None else np.asarray(logits)
    config = ModelConfig(width=4, depth=1)
    model = build(LearnedOpponents.create, GAME, config, 2, key=0)
    zero = jax.tree.map(lambda x: np.zeros_like(x), model.net)
    bias = np.ravel(logits).astype(np.float32)
    net = eqx.tree_at(lambda n: n.layers[-1].bias, zero, bias)
    # arrays, so that one program serves every prior
    return LearnedOpponents(
        jax.device_put(net),
        jax.device_put(np.asarray(prior, np.float32)),
        GAME,
        prior_mixing,
    )


def call(model, method, *args):
    """Call a method by one program for each class of models."""
    return compiled(getattr(type(model), method))(model, *args)


def updated(model, *joints, belief=None, present=ALL):
    """Return the belief after joint actions."""
    belief = call(model, "init") if belief is None else belief
    for joint in joints:
        joint = np.array(joint, np.int32)
        belief = call(model, "update", belief, OBS, joint, present)
    return jax.device_get(belief)


# -- the learned model and Bayes' rule -----------------------------------------


def test_belief_follows_bayes_rule():
    """Opponent 1 plays 1: b(0) = .5 x .75 / (.5 x .75 + .5 x .2) = 15/19. Opponent 2
    plays 0: .25 / (.25 + .8) = 5/21."""
    model = learned()
    belief = updated(model)
    np.testing.assert_allclose(belief, [[0.5, 0.5]] * 2)
    policy = call(model, "predict", belief, OBS, LEGAL)
    np.testing.assert_allclose(policy, [[0.525, 0.475]] * 2, rtol=1e-6)
    belief = updated(model, (0, 1, 0))
    expected = [[15 / 19, 4 / 19], [5 / 21, 16 / 21]]
    np.testing.assert_allclose(belief, expected, rtol=1e-5)
    policy = call(model, "predict", belief, OBS, LEGAL)
    np.testing.assert_allclose(policy, expected @ PI, rtol=1e-5)
    belief = updated(model, (0, 1, 1), belief=belief)
    odds = np.array([(15 / 4) ** 2, 5 / 16 * 15 / 4])  # of type 0
    np.testing.assert_allclose(belief[:, 0], odds / (1 + odds), rtol=1e-5)


def test_own_action_is_no_evidence():
    model = learned()
    assert np.array_equal(updated(model, (0, 1, 0)), updated(model, (1, 1, 0)))


def test_prior_is_weighted_and_mixed_in():
    after = 0.9 * 0.75 / 0.695
    belief = updated(learned(prior=(0.9, 0.1)), (0, 1, 1))
    np.testing.assert_allclose(belief[0], [after, 1 - after], rtol=1e-5)
    belief = updated(learned(0.1, prior=(0.9, 0.1)), (0, 1, 1))
    expected = 0.9 * np.array([after, 1 - after]) + 0.1 * np.array([0.9, 0.1])
    np.testing.assert_allclose(belief[0], expected, rtol=1e-5)


def test_no_type_is_ruled_out_permanently():
    """After 50 actions of type 0, a few of type 1 reverse the belief."""
    model = learned(prior_mixing=0.01)
    belief = updated(model, *[(0, 1, 1)] * 50)
    assert belief[0, 0] > 0.98
    belief = updated(model, *[(0, 0, 0)] * 8, belief=belief)
    assert belief[0, 1] > 0.9


@pytest.mark.parametrize(
    "joint, present",
    [((0, ABSENT, 1), (True, True, True)), ((0, 1, 1), (True, False, True))],
)
def test_absent_opponent_does_not_change_the_belief(joint, present):
    belief = np.array([[0.3, 0.7], [0.3, 0.7]], np.float32)
    after = updated(
        learned(prior_mixing=0.2),
        joint,
        belief=belief,
        present=np.array(present),
    )
    assert np.array_equal(after[0], belief[0])
    assert not np.array_equal(after[1], belief[1])


def test_belief_stays_finite_after_an_impossible_action():
    model = learned(logits=[[0.0, 200.0], [0.0, 300.0]])
    belief = updated(model, (0, 0, 0))
    assert np.isfinite(belief).all() and belief.sum(1) == pytest.approx(1)


def test_oracle_belief_is_the_truth_and_constant():
    truth = jax.device_put(np.array([1, 0], np.int32))
    model = OracleOpponents(learned(), truth)
    assert model.game is GAME
    belief = updated(model)
    policy = call(model, "predict", belief, OBS, LEGAL)
    np.testing.assert_allclose(policy, PI[[1, 0]], rtol=1e-5)
    assert np.array_equal(updated(model, (0, 1, 1)), belief)
    assert np.asarray(model.posterior(belief)).tolist() == [[0, 1], [1, 0]]


def test_uniform_opponents():
    model = UniformOpponents(GAME, goals=4)
    belief = updated(model, (0, 1, 1))
    policy = call(model, "predict", belief, OBS, LEGAL)
    assert policy.tolist() == [[0.5, 0.5]] * 2
    assert model.posterior(belief).tolist() == [[0.25] * 4] * 2


def test_uniform_over_legal_actions_of_the_opponent():
    """It can move left and right, stay, and hunt the stag on its cell."""
    game = make_game(
        "stag_hunt(height=1, width=3, hunters=2, stags=1, hares=0)"
    )
    obs = np.zeros(game.obs_shape, np.float32)
    obs[0, 0, 0] = obs[0, 1, 1] = obs[0, 1, 3] = 1.0
    model = UniformOpponents(game)
    policy = call(model, "predict", (), obs, np.ones(7, bool))
    np.testing.assert_allclose(policy[0], [0, 0, 0.25, 0.25, 0.25, 0.25, 0])


# -- rules ---------------------------------------------------------------------

HUNT = "stag_hunt(height=3, width=3, hunters=3, stags=1, hares=2, max_steps=6)"
DILEMMA = "matrix(table=prisoners_dilemma, rounds=6)"


@pytest.mark.parametrize(
    "game, players",
    [
        (HUNT, ("random", "nearest_hare", "noisy(nearest_stag, 0.3)")),
        (DILEMMA, ("random", "noisy(tit_for_tat, 0.2)")),
        (DILEMMA, ("random", "noisy(grim, 0.1)")),
        (DILEMMA, ("random", "win_stay_lose_shift")),
        (
            "matrix(table=rock_paper_scissors, rounds=6)",
            ("random", "fictitious_play"),
        ),
        (DILEMMA, ("random", "look_alike(tit_for_tat, always_d, steps=3)")),
    ],
)
def test_rules_predict_the_players_own_probabilities(game, players):
    """From the first seat's view alone, along logged play."""
    log = played(game, players, 8)
    game = make_game(game)
    rules = tuple(
        make_player(p, game, seat) for seat, p in enumerate(players[1:], 1)
    )
    model = RuleOpponents(rules, game)

    @jax.jit
    @jax.vmap
    def predictions(obs, legal, action, present):
        def step(belief, row):
            obs, legal, action, present = row
            policy = model.predict(belief, obs, legal)
            return model.update(belief, obs, action, present), policy

        return jax.lax.scan(step, model.init(), (obs, legal, action, present))[
            1
        ]

    policy = np.asarray(
        predictions(
            log.obs[:, :-1, 0],
            log.legal[:, :-1, 0],
            log.action,
            log.present[:, :-1],
        )
    )
    acted = log.acted[..., :1] & log.acted[..., 1:]
    action = np.maximum(log.action[..., 1:], 0)[..., None]
    prob = np.take_along_axis(policy, action, -1)[..., 0]
    assert acted.sum() >= 20
    np.testing.assert_allclose(prob[acted], log.prob[..., 1:][acted], atol=1e-5)
    np.testing.assert_allclose(policy.sum(-1)[acted], 1, atol=1e-5)


def test_number_of_rules_is_checked():
    game = make_game(HUNT)
    with pytest.raises(
        ValueError, match=r"players=\[.*\]: expected 2, one for each opponent"
    ):
        RuleOpponents((make_player("random", game),), game)


def test_types_of_rules_are_their_posterior():
    game = make_game(HUNT)
    players = (make_player("random", game),) * 2
    model = RuleOpponents(players, game, types=(2, 0), goals=3)
    assert model.posterior(()).tolist() == [[0, 0, 1], [1, 0, 0]]


# -- mixtures ------------------------------------------------------------------


class Constant(UniformOpponents):
    """The policy `probs` [A] for every opponent, and the type `kind`."""

    probs: tuple = eqx.field(static=True, default=())
    kind: int = eqx.field(static=True, default=0)

    def predict(self, belief, obs, legal):
        return jnp.broadcast_to(np.array(self.probs, np.float32), (2, 2))

    def posterior(self, belief):
        return jnp.broadcast_to(np.eye(2, dtype=np.float32)[self.kind], (2, 2))


def mixed(prior_mixing):
    models = tuple(
        Constant(GAME, probs=tuple(probs.tolist()), kind=kind)
        for kind, probs in enumerate(PI)
    )
    weights = jax.device_put(np.array([3.0, 1.0], np.float32))
    return MixtureOpponents(models, weights, GAME, prior_mixing)


def test_mixture_is_weighted_by_bayes_rule():
    model = mixed(prior_mixing=0.0)
    p = 0.75 * 0.25 + 0.25 * 0.8
    policy = call(model, "predict", call(model, "init"), OBS, LEGAL)
    np.testing.assert_allclose(policy, [[p, 1 - p]] * 2, rtol=1e-6)
    belief = updated(model, (0, 1, ABSENT))
    weight = 0.75 * 0.75 / (0.75 * 0.75 + 0.25 * 0.2)
    expected = [[weight, 1 - weight], [0.75, 0.25]]
    posterior = call(model, "posterior", belief)
    np.testing.assert_allclose(posterior, expected, rtol=1e-5)
    weights, _ = updated(mixed(prior_mixing=0.1), (0, 1, 1))
    expected = 0.9 * weight + 0.1 * 0.75
    np.testing.assert_allclose(weights[0, 0], expected, rtol=1e-5)


def test_mixture_of_rules_identifies_the_player():
    """Tit for tat and grim act the same until an opponent defects and then cooperates."""
    game = make_game(DILEMMA)
    rules = tuple(
        RuleOpponents((make_player(p, game),), game)
        for p in ("tit_for_tat", "grim")
    )
    equal = jax.device_put(np.ones(2, np.float32))
    model = MixtureOpponents(rules, equal, game, prior_mixing=0.0)
    obs, present = np.zeros(game.obs_shape, np.float32), np.ones(2, bool)
    belief, weights = call(model, "init"), []
    for joint in [(0, 0), (1, 0), (0, 1), (0, 1)]:  # grim keeps defecting
        joint = np.array(joint, np.int32)
        belief = call(model, "update", belief, obs, joint, present)
        weights.append(float(belief[0][0, 1]))
    assert weights[:3] == pytest.approx([0.5] * 3) and weights[3] > 0.999


# -- shapes --------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec", [HUNT, DILEMMA, "openspiel:goofspiel(num_cards=3)"]
)
def test_rows_of_a_batch_are_independent(spec):
    game = make_game(spec)
    config = ModelConfig(width=8, depth=1)
    model = build(LearnedOpponents.create, game, config, 3, key=0)
    n, a = game.num_players, game.num_actions
    rng = np.random.default_rng(0)
    obs = rng.integers(0, 2, (5, *game.obs_shape)).astype(np.float32)
    belief = rng.dirichlet(np.ones(3), (5, n - 1)).astype(np.float32)
    joint = rng.integers(0, a, (5, n)).astype(np.int32)
    present, legal = rng.random((5, n)) < 0.7, np.ones((5, a), bool)
    rows = belief, obs, legal, joint, present

    @jax.jit
    def both(belief, obs, legal, joint, present):
        policy = model.predict(belief, obs, legal)
        return policy, model.update(belief, obs, joint, present)

    policy, after = jax.jit(jax.vmap(both))(*rows)
    assert policy.shape == (5, n - 1, a)
    np.testing.assert_allclose(np.asarray(policy).sum(-1), 1, rtol=1e-5)
    for k in range(5):
        one = both(*(x[k] for x in rows))
        np.testing.assert_allclose(policy[k], one[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(after[k], one[1], rtol=1e-4, atol=1e-6)
