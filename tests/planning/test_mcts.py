"""The tree search beside expectimax by brute force, on worlds that are small tables; beliefs, masks, ends; rows of a batch apart."""

import dataclasses
import itertools
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game
from bestreply.config import ModelConfig, PlannerConfig
from bestreply.games.base import Game
from bestreply.models.world_model import WorldModel
from bestreply.opponents.base import OpponentModel
from bestreply.opponents.learned import LearnedOpponents
from bestreply.planning.base import DecisionPoint, Models
from bestreply.planning.mcts import mcts
from bestreply.planning.one_step import one_step
from bestreply.types import ABSENT

GAMMA, CERTAIN = 0.9, 30.0
CONFIG = PlannerConfig(simulations=32)


@dataclasses.dataclass(frozen=True)
class Sizes(Game):
    """What a world model asks of its game."""

    num_actions: int = 2
    obs_shape: tuple = ()
    num_players = 2
    action_names = ()


class Table(WorldModel):
    """A world in tables over states, own actions and the other's. The latent is a dictionary, to show that it may be any PyTree."""

    table: dict

    def __init__(self, table):
        for field in dataclasses.fields(WorldModel):
            object.__setattr__(self, field.name, None)  # it has no networks
        self.table = {name: jnp.asarray(x) for name, x in table.items()}
        states, actions, _ = np.shape(table["next"])
        self.game = Sizes(actions, (states,))
        self.binary = jnp.ones(states, bool)

    def _at(self, name, z, action, others):
        return self.table[name][z["state"], action, others[0]]

    def encode(self, obs):
        return {
            "state": jnp.argmax(obs).astype(jnp.int32),
            "unused": jnp.zeros((2, 1)),
        }

    def next(self, z, action, others):
        return dict(z) | {"state": self._at("next", z, action, others)}

    def decode(self, z):
        """As a learned one: probabilities, not quite 0 and 1."""
        return 0.1 + 0.8 * jax.nn.one_hot(z["state"], self.obs_shape[0])

    def imagine(self, z):
        return (self.decode(z) > 0.5).astype(jnp.float32)

    def reward(self, z, action, others):
        return self._at("reward", z, action, others)

    def continues(self, z, action, others):
        share = jnp.clip(
            self._at("goes_on", z, action, others), 1e-12, 1 - 1e-6
        )
        return jnp.log(share) - jnp.log1p(-share)

    def legal(self, z):
        return jnp.where(self.table["legal"][z["state"]], CERTAIN, -CERTAIN)

    def allowed(self, z):
        logits = self.legal(z)
        return (logits > 0) | (
            jnp.arange(self.num_actions) == jnp.argmax(logits)
        )

    def values_of(self, z, belief):
        return self.table["value"][z["state"]][None]


def table(next_state, reward, *, legal=None, goes_on=None, value=None):
    """float32 and int32 arrays; by default everything is legal and goes on, and values are 0."""
    next_state, reward = (
        np.asarray(next_state, np.int32),
        np.asarray(reward, np.float32),
    )
    states, actions, _ = next_state.shape
    return {
        "next": next_state,
        "reward": reward,
        "legal": np.ones((states, actions), bool)
        if legal is None
        else np.asarray(legal),
        "goes_on": np.ones(reward.shape, np.float32)
        if goes_on is None
        else np.asarray(goes_on, np.float32),
        "value": np.zeros(states, np.float32)
        if value is None
        else np.asarray(value, np.float32),
    }


class Types(OpponentModel):
    """One other, of one of G types with a policy each, [G, S, A_o]; the belief [1, G] moves by Bayes' rule unless `stuck`."""

    policies: jax.Array
    game: object = eqx.field(static=True, default_factory=Sizes)
    stuck: bool = eqx.field(static=True, default=False)

    def init(self):
        return jnp.full((1, len(self.policies)), 1 / len(self.policies))

    def predict(self, belief, obs, legal):
        return belief @ self.policies[:, jnp.argmax(obs)]

    def update(self, belief, obs, actions, present):
        if self.stuck:
            return belief
        after = belief * self.policies[:, jnp.argmax(obs), actions[1]]
        return after / jnp.maximum(after.sum(), 1e-9)

    def posterior(self, belief):
        return belief


def one_type(probs):
    return Types(jnp.asarray(probs, jnp.float32)[None])


@partial(jax.jit, static_argnames=("simulations", "draws", "depth", "reencode"))
def plan(world, opponents, state, key, legal=None, **settings):
    legal = jnp.ones(world.num_actions, bool) if legal is None else legal
    obs, here = jax.nn.one_hot(state, world.obs_shape[0]), jnp.ones(2, bool)
    models = Models(world, opponents, GAMMA, CONFIG)
    at = DecisionPoint(obs, legal, here, opponents.init())
    return mcts(models, at, key, **settings)


def plans(world, opponents, state, keys=20, **settings):
    """[keys, ...]: the same decision again and again."""
    split = jax.random.split(jax.random.key(0), keys)
    return jax.vmap(lambda key: plan(world, opponents, state, key, **settings))(
        split
    )


def expectimax(world, opponents, state, depth, belief=None):
    """[A]: max over legal a_i of sum over a_j, one by one; -inf where illegal."""
    at = {name: np.asarray(x, np.float64) for name, x in world.items()}
    belief = (
        np.asarray(opponents.init(), np.float64)[0]
        if belief is None
        else belief
    )
    policies = np.asarray(opponents.policies, np.float64)[:, state]  # [G, A_o]
    found = np.full(at["next"].shape[1], -np.inf)
    for own in np.flatnonzero(at["legal"][state]):
        found[own] = 0
        for other in range(policies.shape[1]):
            likely = belief * policies[:, other]
            if likely.sum() > 0:
                after = int(at["next"][state, own, other])
                worth = at["value"][after]
                if depth > 1:
                    worth = expectimax(
                        world,
                        opponents,
                        after,
                        depth - 1,
                        likely / likely.sum(),
                    ).max()
                worth *= GAMMA * at["goes_on"][state, own, other]
                found[own] += likely.sum() * (
                    at["reward"][state, own, other] + worth
                )
    return found


def random_table(seed, layers=3, each=4, actions=3, others=2):
    """Games of `layers` steps: every step leads on to a state of the next layer, where nothing is known to be worth anything."""
    rng = np.random.default_rng(seed)
    states = each * (layers + 1)
    layer = np.arange(states) // each
    lands = (
        rng.integers(0, each, (states, actions, others))
        + each * np.minimum(layer + 1, layers)[:, None, None]
    )
    reward = (
        rng.normal(size=(states, actions, others))
        * (layer < layers)[:, None, None]
    )
    legal = rng.random((states, actions)) < 0.7
    legal[np.arange(states), rng.integers(0, actions, states)] = True
    return table(
        lands, reward, legal=legal, goes_on=rng.random(lands.shape) < 0.8
    )


# -- beside brute force ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "certain", [True, pytest.param(False, marks=pytest.mark.slow)]
)
def test_the_best_action_and_its_score(certain):
    """Three steps, masks and ends; the other's move certain, or drawn. Nothing but the search can know what the later steps pay."""
    rng, short = np.random.default_rng(0), 0.0
    for seed in range(4):
        tables = random_table(seed)
        states = len(tables["value"])
        probs = (
            np.eye(2)[rng.integers(0, 2, states)]
            if certain
            else rng.dirichlet([1, 1], states)
        )
        opponents = one_type(probs)
        wanted = expectimax(tables, opponents, 0, 3)
        legal = jnp.asarray(tables["legal"][0])
        found = plans(
            Table(tables), opponents, 0, keys=8, legal=legal, simulations=300
        )
        assert (np.isinf(found.scores) == np.isinf(wanted)).all()
        short += (wanted.max() - wanted[found.action]).mean() / 4
        best = found.scores[:, wanted.argmax()]
        assert abs(best.mean() - wanted.max()) < 0.3
        np.testing.assert_allclose(
            found.reward + found.value,
            jnp.where(legal, found.scores, found.reward + found.value),
            rtol=1e-4,
            atol=1e-5,
        )
    assert short < (0.01 if certain else 0.05)


@pytest.mark.slow
def test_more_simulations_come_closer():
    tables, opponents = (
        random_table(7),
        one_type(np.random.default_rng(1).dirichlet([1, 1], 16)),
    )
    wanted = expectimax(tables, opponents, 0, 3)
    legal = jnp.asarray(tables["legal"][0])
    apart = [
        float(
            abs(
                plans(
                    Table(tables), opponents, 0, legal=legal, simulations=n
                ).scores[:, wanted.argmax()]
                - wanted.max()
            ).mean()
        )
        for n in (8, 300)
    ]
    assert apart[1] < 0.5 * apart[0]


def test_one_step_deep_is_one_step():
    """The root is the one-step plan, to the last bit that rounding leaves."""
    tables = random_table(3) | {
        "value": np.random.default_rng(2).normal(size=16).astype(np.float32)
    }
    world, opponents = (
        Table(tables),
        one_type(np.random.default_rng(1).dirichlet([1, 1], 16)),
    )
    legal = jnp.asarray(tables["legal"][0])
    found = plan(
        world, opponents, 0, jax.random.key(0), legal, simulations=9, depth=1
    )
    at = DecisionPoint(
        jnp.eye(16)[0], legal, jnp.ones(2, bool), opponents.init()
    )
    models = Models(world, opponents, GAMMA, CONFIG)
    flat = one_step(models, at, jax.random.key(0))
    allowed = np.flatnonzero(legal)  # an illegal action isn't asked about here
    for name in ("scores", "reward", "value"):
        x, y = getattr(found, name), getattr(flat, name)
        np.testing.assert_allclose(x[allowed], y[allowed], rtol=1e-5, atol=1e-6)
    assert found.action == flat.action and np.array_equal(
        np.isinf(found.scores), np.isinf(flat.scores)
    )
    np.testing.assert_allclose(found.others, flat.others)
    np.testing.assert_allclose(
        found.scores, expectimax(tables, opponents, 0, 1), rtol=1e-4, atol=1e-5
    )
    none = plan(
        world, opponents, 0, jax.random.key(0), legal, simulations=1
    )  # not enough for a node
    assert (none.scores != found.scores).sum() == 0


# -- chance ----------------------------------------------------------------------------------------------------

# State 0: action 0 leaves with .45, action 1 goes to state 1. There action 0 pays .4, action 1 pays 1 with probability .3.
GAMBLE = table(
    [[[2, 2], [1, 1]], [[2, 2], [2, 2]], [[2, 2], [2, 2]]],
    [
        [[0.45, 0.45], [0, 0]],
        [[0.4 / GAMMA, 0.4 / GAMMA], [0, 1 / GAMMA]],
        [[0, 0], [0, 0]],
    ],
)
DICE = one_type([[0.7, 0.3]] * 3)


@pytest.mark.slow
def test_a_gamble_is_worth_its_mean_and_not_what_it_pays_when_it_is_won():
    """Its inner choice is worth max(.4, .3). Who knew the other's move would think it .3 x 1 + .7 x .4 = .58, more than .45."""
    found = plans(Table(GAMBLE), DICE, 0, keys=100, simulations=128)
    assert (found.action == 0).mean() > 0.95
    assert found.scores[:, 1].mean() == pytest.approx(0.4 * GAMMA, abs=0.04)
    known = plans(Table(GAMBLE), DICE, 0, keys=100, simulations=128, draws=1)
    assert (
        (known.action == 1).mean() > 0.2
    )  # the weakness of a single draw: it chooses what wins against that


def test_where_only_some_draws_go_on_the_others_count_as_ended():
    """Half the time the game ends; where it goes on 10 follow: 5 x gamma. What has ended is not looked into."""
    tables = table(
        [[[2, 1]], [[2, 2]], [[2, 2]]],
        [[[0, 0]], [[10, 10]], [[0, 0]]],
        goes_on=[[[0, 1]], [[1, 1]], [[0, 0]]],
    )
    for draws in (1, 2):
        found = plans(
            Table(tables),
            one_type([[0.5, 0.5]] * 3),
            0,
            simulations=2,
            draws=draws,
        )
        np.testing.assert_allclose(found.scores, 5 * GAMMA, rtol=1e-4)


def test_what_was_not_looked_into_keeps_its_score_beside_the_others():
    """Every action leads to a state of its own, in which 1 waits for whoever takes it: looking into some changes no order."""
    lands = np.full((5, 3, 2), 4)
    lands[0] = [[1, 1], [2, 2], [3, 3]]
    pay = np.zeros(lands.shape)
    pay[0], pay[1:4] = [[0.3, 0.3], [0.2, 0.2], [0.1, 0.1]], 1.0
    tables, opponents = table(lands, pay), one_type([[0.5, 0.5]] * 5)
    for simulations in (3, 6, 60):
        found = plan(
            Table(tables),
            opponents,
            0,
            jax.random.key(0),
            simulations=simulations,
            draws=1,
        )
        np.testing.assert_allclose(
            found.scores, np.array([0.3, 0.2, 0.1]) + GAMMA, rtol=1e-4
        )


def test_where_joint_actions_are_drawn_a_small_budget_draws_few():
    """One step deep, so that the draws of the root are all there is: at most a quarter of the simulations."""
    tables, opponents = (
        random_table(3),
        one_type(np.random.default_rng(1).dirichlet([1, 1], 16)),
    )
    legal = jnp.asarray(tables["legal"][0])
    config = PlannerConfig(joint_limit=1, samples=32)
    models = Models(Table(tables), opponents, GAMMA, config)
    at = DecisionPoint(
        jnp.eye(16)[0], legal, jnp.ones(2, bool), opponents.init()
    )
    found = {
        n: jax.jit(
            jax.vmap(lambda k, n=n: mcts(models, at, k, simulations=n, depth=1))
        )(jax.random.split(jax.random.key(0), 50)).reward
        for n in (8, 128, 1024)
    }
    apart = {n: float(x.std(0).max()) for n, x in found.items()}
    assert apart[128] < 0.5 * apart[8]
    np.testing.assert_array_equal(
        found[128], found[1024]
    )  # `samples` is the most


def test_what_the_other_does_first_tells_what_it_does_next():
    """State 0: action 1 takes .7 and ends, action 0 waits. In state 1 repeating the other's move earns 1; each type has its move.

    Having seen it once, it is 1 for sure: .9 after the wait. Not having learned from it, it is .5.
    """
    tables = table(
        [[[1, 1], [2, 2]], [[2, 2], [2, 2]], [[2, 2], [2, 2]]],
        [[[0, 0], [0.7, 0.7]], [[1, 0], [0, 1]], [[0, 0], [0, 0]]],
    )
    policies = jnp.broadcast_to(jnp.eye(2)[:, None], (2, 3, 2))
    found = plans(Table(tables), Types(policies), 0, simulations=64)
    assert (found.action == 0).all() and found.scores[:, 0].min() > 0.75
    np.testing.assert_allclose(
        expectimax(tables, Types(policies), 0, 2), [0.9, 0.7], rtol=1e-6
    )
    stuck = plans(Table(tables), Types(policies, stuck=True), 0, simulations=64)
    assert (stuck.action == 1).all() and stuck.scores[:, 0].max() < 0.6
    np.testing.assert_allclose(found.others[:, 0], 0.5)
    np.testing.assert_allclose(
        found.belief[:, 0], 0.5
    )  # the belief it was planned from


# -- masks, ends, who is there ---------------------------------------------------------------------------------


def test_what_is_predicted_illegal_is_never_used_in_the_tree():
    """In state 1 action 2 would pay 100. State 2 has nothing legal: then what is likeliest to be, here action 0."""
    pay = np.zeros((4, 3, 2))
    pay[1], pay[2], pay[0, 0] = (
        [[1, 1], [2, 2], [100, 100]],
        [[3, 3], [100, 100], [100, 100]],
        [0.1, 0.1],
    )
    lands = np.full((4, 3, 2), 3)
    lands[0, 1], lands[0, 2] = 1, 2
    tables = table(
        lands, pay, legal=[[1, 1, 1], [1, 1, 0], [0, 0, 0], [1, 1, 1]]
    )
    tables["legal"] = tables["legal"].astype(bool)
    for own, worth in ((1, 2 * GAMMA), (2, 3 * GAMMA)):
        only = jnp.arange(3) == own
        found = plans(
            Table(tables),
            one_type([[0.5, 0.5]] * 4),
            0,
            legal=only,
            simulations=64,
        )
        assert (found.action == own).all()
        assert (found.scores[:, own] <= worth + 1e-4).all() and (
            found.scores[:, own] > 0.75 * worth
        ).all()


def test_after_the_end_nothing_counts():
    tables = table(
        [[[1, 1], [1, 1]], [[1, 1], [1, 1]]],
        [[[0.5, 0.5], [0.4, 0.4]], [[100, 100], [100, 100]]],
        goes_on=[[[0, 0], [0, 0]], [[1, 1], [1, 1]]],
        value=[0, 1000],
    )
    found = plan(
        Table(tables),
        one_type([[0.5, 0.5]] * 2),
        0,
        jax.random.key(0),
        simulations=40,
    )
    np.testing.assert_allclose(found.scores, [0.5, 0.4], rtol=1e-4)
    assert found.action == 0


class Tells(Sizes):
    """Only in state 0 is the other there."""

    def present_in(self, obs):
        return jnp.array([True, False]) | (obs[0] > 0.5)


def test_who_has_left_does_nothing_in_the_tree():
    """Tables are read at ABSENT = -1, the last column: it alone pays in state 1, and the other would never choose it."""
    tables = table(
        np.ones((2, 1, 3)),
        [[[0, 0, 0]], [[0, 0, 1]]],
        goes_on=[[[1, 1, 1]], [[0, 0, 0]]],
    )
    assert ABSENT == -1
    probs = jnp.array([[[0.5, 0.5, 0.0]] * 2])
    left = plan(
        Table(tables),
        Types(probs, Tells()),
        0,
        jax.random.key(0),
        simulations=40,
    )
    stays = plan(
        Table(tables), Types(probs), 0, jax.random.key(0), simulations=40
    )
    assert left.scores[0] > 0.7 * GAMMA and stays.scores[0] == 0


def test_illegal_candidates_are_never_chosen():
    tables = random_table(5) | {"legal": np.ones((16, 3), bool)}
    world, opponents = Table(tables), one_type([[0.5, 0.5]] * 16)
    for mask in itertools.product([True, False], repeat=3):
        if any(mask):
            found = plan(
                world,
                opponents,
                0,
                jax.random.key(1),
                jnp.array(mask),
                simulations=20,
            )
            assert (
                np.isinf(found.scores).tolist() == [not m for m in mask]
                and mask[int(found.action)]
            )
            assert (
                np.isfinite(found.reward).all()
                and np.isfinite(found.value).all()
            )


def test_a_prior_says_where_to_look_first():
    """Every action leads to a state of its own, and one of them to much more than it shows: known where one looks there."""
    lands = np.full((5, 3, 2), 4)
    lands[0] = [[1, 1], [2, 2], [3, 3]]
    pay = np.zeros(lands.shape)
    pay[2] = 10.0
    tables, opponents = (
        table(lands, pay, value=[0, 0.2, 0.1, 0, 0]),
        one_type([[0.5, 0.5]] * 5),
    )
    for favourite in range(3):
        prior = 50.0 * jax.nn.one_hot(favourite, 3)
        found = plan(
            Table(tables),
            opponents,
            0,
            jax.random.key(1),
            simulations=6,
            draws=1,
            prior=prior,
        )
        assert found.scores[favourite] == pytest.approx(
            [0, 10 * GAMMA, 0][favourite], abs=1e-3
        )
        assert (found.scores[1] > 1) == (favourite == 1)


# -- with networks: rows of a batch ----------------------------------------------------------------------------

GAME = make_game(
    "matrix",
    payoffs=np.random.default_rng(0)
    .normal(size=(3, 3, 3, 3))
    .round(2)
    .tolist(),
    rounds=5,
)
SIZES = ModelConfig(latent=4, width=8, depth=1)
WORLD = WorldModel(GAME, SIZES, goals=3, heads=2, key=jax.random.key(0))
MINDS = LearnedOpponents.create(GAME, SIZES, 3, key=jax.random.key(5))
OBS, LEGAL = jnp.zeros(GAME.obs_shape), jnp.ones(3, bool)


def learned(obs, legal, present, key):
    at = DecisionPoint(obs, legal, present, MINDS.init())
    models = Models(WORLD, MINDS, GAMMA, CONFIG)
    return mcts(models, at, key, simulations=12)


@pytest.mark.slow
def test_a_batch_of_different_masks_is_what_each_is_alone():
    """Every row with a mask, an observation and others of its own, so that a leak between rows shows; the same keys, the same plans."""
    rng = np.random.default_rng(2)
    masks = jnp.array(
        [m for m in itertools.product([True, False], repeat=3) if any(m)]
    )
    obs = jnp.asarray(rng.random((7, *GAME.obs_shape)), jnp.float32)
    present = jnp.asarray(rng.random((7, 3)) < 0.6).at[:, 0].set(True)
    keys = jax.random.split(jax.random.key(0), 7)
    batch, single = jax.jit(jax.vmap(learned)), jax.jit(learned)
    found, again = (
        batch(obs, masks, present, keys),
        batch(obs, masks, present, keys),
    )
    for x, y in zip(
        jax.tree.leaves(found), jax.tree.leaves(again), strict=True
    ):
        assert np.array_equal(x, y)
    for row in range(7):
        one = single(obs[row], masks[row], present[row], keys[row])
        for x, y in zip(
            jax.tree.leaves(found), jax.tree.leaves(one), strict=True
        ):
            np.testing.assert_allclose(x[row], y, rtol=1e-4, atol=1e-5)
        assert (
            masks[row, found.action[row]]
            and (np.isinf(found.scores[row]) == ~masks[row]).all()
        )
        assert (found.others[row, ~present[row, 1:]] == 0).all()


def test_another_key_draws_otherwise():
    obs = jnp.zeros(GAME.obs_shape)
    one, other = (
        jax.jit(learned)(
            obs, jnp.ones(3, bool), jnp.ones(3, bool), jax.random.key(k)
        ).scores
        for k in range(2)
    )
    assert (one != other).any()


@pytest.mark.slow
def test_many_models_are_one_vmap():
    """Seeds are a batch of models."""
    opponents = one_type([[0.5, 0.5]] * 16)
    worlds = [
        Table(random_table(seed) | {"legal": np.ones((16, 3), bool)})
        for seed in range(3)
    ]
    both = jax.tree.map(lambda *x: jnp.stack(x), *worlds)
    found = jax.vmap(
        lambda w: plan(w, opponents, 0, jax.random.key(0), simulations=20)
    )(both)
    for row, world in enumerate(worlds):
        one = plan(world, opponents, 0, jax.random.key(0), simulations=20)
        np.testing.assert_allclose(
            found.scores[row], one.scores, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("name", ["simulations", "draws", "depth"])
def test_a_tree_of_nothing_is_refused(name):
    models = Models(WORLD, MINDS, GAMMA, CONFIG)
    at = DecisionPoint(OBS, LEGAL, LEGAL, MINDS.init())
    with pytest.raises(ValueError, match=f"{name}=0: expected 1 or more"):
        mcts(models, at, jax.random.key(0), **{name: 0})
