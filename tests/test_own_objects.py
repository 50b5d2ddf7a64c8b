"""Own planners, opponent models, networks, losses, methods: right ones pass, wrong ones are a sentence.

Nothing is compiled: shapes are known before a program runs.
"""

import dataclasses
import functools
import runpy
from pathlib import Path
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bestreply as br
from bestreply.baselines.policy import ActorCritic
from bestreply.config import ModelConfig, PlannerConfig, TrainConfig
from bestreply.methods.contract import check_state, check_updates
from bestreply.models.anchors import Anchors
from bestreply.models.networks import named_encoder
from bestreply.models.obs_nets import make_obs_net
from bestreply.models.world_model import WorldModel
from bestreply.opponents.base import OpponentModel, UniformOpponents
from bestreply.opponents.contract import check_opponents
from bestreply.opponents.learned import LearnedOpponents
from bestreply.planning.agent import _plan, load_planner
from bestreply.planning.base import DecisionPoint, Models
from bestreply.planning.checks import check_numbers
from bestreply.planning.one_step import one_step
from bestreply.run import Method, load_method
from bestreply.training.losses import load_loss, world_losses
from bestreply.types import Plan
from bestreply.utils import names
from tests.training.set_networks import window

GAME = br.make_game("matrix(table=prisoners_dilemma, rounds=3)")
CONFIG = ModelConfig(latent=4, width=4, depth=1)
GOALS = 2
EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    for kind in names.GROUPS:
        monkeypatch.setitem(names._registered, kind, {})


@functools.cache
def example(name):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


@functools.cache
def abstract_world():
    """A world model of shapes alone."""
    make = functools.partial(WorldModel, GAME, CONFIG, goals=GOALS, heads=1)
    return eqx.filter_eval_shape(lambda key: make(key=key), jax.random.key(0))


# -- planners ----------------------------------------------------------------------------


def plan_shapes(planner):
    """Return the plan of a planner, shapes alone, as an agent makes it."""
    br.register("planner", "mine", planner)
    config = PlannerConfig(planner="mine")
    opponents = UniformOpponents(GAME, GOALS)
    load_planner.cache_clear()

    def plan(world, obs, legal, present):
        models = Models(world, opponents, 0.9, config)
        at = DecisionPoint(obs, legal, present, opponents.init())
        return _plan(models, at, jax.random.key(0))

    obs = np.zeros(GAME.obs_shape, np.float32)
    masks = np.ones(2, bool), np.ones(2, bool)
    try:
        return eqx.filter_eval_shape(plan, abstract_world(), obs, *masks)
    finally:
        load_planner.cache_clear()


def changed(**fields):
    def planner(models, at, key):
        plan = one_step(models, at, key)
        parts = {name: getattr(plan, name) for name in Plan.__annotations__}
        return Plan(**parts | fields)

    return planner


PLANNERS = {
    "no plan": (lambda m, at, key: jnp.zeros(2), "expected a Plan .*Array|Tracer"),
    "scores": (changed(scores=jnp.zeros(3)), r"scores of shape \(3,\) .*\(2,\)"),
    "a type": (changed(action=jnp.float32(0)), "action .*float32: .*whole number"),
    "a batch": (changed(action=jnp.zeros(1, int)), r"action of shape \(1,\)"),
    "opponents": (changed(others=jnp.zeros((2, 2))), r"others .*expected shape \(1, 2\)"),
    "arguments": (lambda models, at: None, r"expected a function of \(models, at, key\)"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("planner", "message"), PLANNERS.values(), ids=PLANNERS
)
def test_a_wrong_planner_is_a_sentence(planner, message):
    with pytest.raises(ValueError, match=f"planner='mine': {message}"):
        plan_shapes(planner)


def test_the_planner_of_the_example_makes_a_plan():
    plan = plan_shapes(example("own_planner")["cautious"])
    assert (plan.scores.shape, plan.others.shape) == ((2,), (1, 2))


def test_numbers_of_a_plan_are_looked_at_where_they_are_known():
    plan = Plan(*(np.zeros(2),) * 3, np.zeros((), int), np.zeros((1, 2)), ())
    check_numbers(plan, "mine", UniformOpponents(GAME))
    wrong = eqx.tree_at(lambda p: p.scores, plan, np.array([np.nan, 0]))
    with pytest.raises(ValueError, match=r"planner='mine': scores=\[nan"):
        check_numbers(wrong, "mine", UniformOpponents(GAME))
    wrong = eqx.tree_at(lambda p: p.others, plan, np.full((1, 2), np.nan))
    with pytest.raises(ValueError, match="opponents=UniformOpponents: predict"):
        check_numbers(wrong, "mine", UniformOpponents(GAME))


# -- opponent models ---------------------------------------------------------------------


class Mine(OpponentModel):
    game: br.games.Game = eqx.field(static=True)
    change: str = eqx.field(static=True, default="")

    def init(self):
        return jnp.zeros(3)

    def predict(self, belief, obs, legal):
        return jnp.ones((1, 3 if self.change == "predict" else 2)) / 2

    def update(self, belief, obs, actions, present):
        return belief[:2] if self.change == "update" else belief

    def posterior(self, belief):
        if self.change == "none":
            return None
        return jnp.ones((1, 1 if self.change == "posterior" else GOALS))


OPPONENTS = {
    "predict": r"predict of shape \(1, 3\) .*expected shape \(1, 2\)",
    "posterior": r"posterior of shape \(1, 1\) .*expected shape \(1, 2\)",
    "update": r"update returns a belief .*\(2,\).*: expected that of init, .*\(3,\)",
    "none": "posterior is an object of type NoneType: expected an array",
}


@pytest.mark.parametrize("change", OPPONENTS)
def test_a_wrong_opponent_model_is_a_sentence(change):
    check_opponents(Mine(GAME), GAME, GOALS)
    with pytest.raises(
        ValueError, match=f"opponents=Mine: {OPPONENTS[change]}"
    ):
        check_opponents(Mine(GAME, change), GAME, GOALS)


def test_an_opponent_model_of_another_game_is_refused():
    other = br.make_game("matrix(table=prisoners_dilemma, rounds=4)")
    with pytest.raises(
        ValueError, match=r"opponents=Mine: game=.*expected that of"
    ):
        check_opponents(Mine(other), GAME, GOALS)
    frequencies = example("own_opponent_model")["Frequencies"]
    check_opponents(frequencies(GAME, GOALS), GAME, GOALS)


# -- networks ----------------------------------------------------------------------------


class Net(eqx.Module):
    result: object = eqx.field(static=True)

    def __call__(self, obs):
        return self.result(obs)


class NoCall(eqx.Module):
    pass


NETWORKS = {
    "shape": (
        lambda obs: obs,
        r"expected an output of shape \(4,\).*returns \(5,\)",
    ),
    "type": (
        lambda obs: jnp.zeros(4, int),
        "floating-point; it returns .*int32",
    ),
    "two outputs": (
        lambda obs: (obs, obs),
        "it returns an object of type tuple",
    ),
    "input": (
        lambda obs: jnp.ones((4, 9)) @ obs,
        r"one observation \(5,\).*fails",
    ),
}


@pytest.mark.parametrize(("result", "message"), NETWORKS.values(), ids=NETWORKS)
def test_a_wrong_network_is_a_sentence(result, message):
    br.register("network", "mine", lambda: Net(result))
    with pytest.raises(ValueError, match=f"network='mine': .*{message}"):
        named_encoder("mine", GAME.obs_shape, (4,), 4, key=jax.random.key(0))


def test_a_network_without_a_call_is_refused():
    br.register("network", "mine", NoCall)
    with pytest.raises(
        ValueError, match="network='mine': expected a network with"
    ):
        named_encoder("mine", GAME.obs_shape, (4,), 4, key=jax.random.key(0))


def test_the_network_of_the_example_encodes():
    br.register("network", "mine", example("own_network")["Residual"])

    def latent(obs):
        key = jax.random.key(0)
        return named_encoder("mine", GAME.obs_shape, (4,), 4, key=key)(obs)

    assert jax.eval_shape(latent, np.zeros(5, np.float32)).shape == (4,)


class Blind(eqx.Module):
    """It reads the first entry of an observation, and nothing else."""

    outputs: int = eqx.field(static=True)

    def __call__(self, obs):
        return jnp.full(self.outputs, obs[0])


@pytest.mark.parametrize(
    "net", ["opponents", "anchors", "policy", "q", "value"]
)
def test_every_network_of_observations_reads_through_the_encoder(net):
    br.register("network", "blind", Blind)
    config = dataclasses.replace(CONFIG, encoder="blind")
    key = jax.random.key(0)

    def out(obs):
        legal = jnp.ones(GAME.num_actions, bool)
        if net == "opponents":
            model = LearnedOpponents.create(GAME, config, GOALS, key=key)
            return model.own_logits(obs)
        if net == "anchors":
            made = Anchors.create(GAME, config, GOALS, 2, key=key)
            return made.log_probs(obs, legal)
        if net == "policy":
            policy = ActorCritic.create(GAME, config, recurrent=True, key=key)
            return policy(policy.start(), obs, legal, jnp.array([0, 0]))
        if net == "q":
            q = make_obs_net(config, GAME.obs_shape, (4, 4), 2, key=key)
            return q(obs)
        world = WorldModel(GAME, config, goals=GOALS, heads=1, key=key)
        belief = jnp.full((1, GOALS), 1 / GOALS)
        return world.value(world.encode(obs), obs, belief)

    slopes = jax.tree.leaves(jax.jacobian(out)(jnp.full(5, 0.5)))
    for slope in slopes:
        seen = np.abs(np.asarray(slope)).reshape(-1, 5).max(0)
        assert seen[0] > 0 and not seen[1:].any(), seen


# -- losses ------------------------------------------------------------------------------


def losses_of(loss):
    """Return the losses of a window, shapes alone, as training calls them."""
    br.register("loss", "mine", loss)
    load_loss.cache_clear()
    try:
        function = load_loss(TrainConfig(loss="mine").loss)
        return eqx.filter_eval_shape(function, abstract_world(), window(GAME))
    finally:
        load_loss.cache_clear()


def also(**losses):
    def loss(world, window, *, limit_ends=False):
        return world_losses(world, window, limit_ends=limit_ends) | losses

    return loss


LOSSES = {
    "no dict": (
        lambda w, x, limit_ends: 0.0,
        "expected a dict of losses .*float",
    ),
    "missing": (
        lambda w, x, limit_ends: {"obs": 0.0},
        "expected losses named obs, ",
    ),
    "the value": (also(value=0.0), "others but value; it returns .*, value"),
    "shape": (
        also(obs=jnp.zeros(2)),
        r"obs of shape \(2,\) .*expected a floating",
    ),
    "type": (
        also(more=jnp.int32(1)),
        "more .*int32: expected a floating-point",
    ),
    "arguments": (
        lambda w: {},
        r"of \(world, window, limit_ends\); it takes \(w\)",
    ),
}


@pytest.mark.parametrize(("loss", "message"), LOSSES.values(), ids=LOSSES)
def test_a_wrong_loss_is_a_sentence(loss, message):
    with pytest.raises(ValueError, match=f"train.loss='mine': .*{message}"):
        losses_of(loss)


def test_the_loss_of_the_example_has_a_term_of_its_own():
    losses = losses_of(example("own_loss")["huber"])
    assert set(losses) > {"obs", "reward", "size"}
    assert load_loss("specification") is world_losses
    with pytest.raises(
        ValueError, match="loss='no_such': expected one of 'spec"
    ):
        TrainConfig(loss="no_such")


# -- methods, and classes without their methods ------------------------------------------


class NoMethods(Method):
    def start(self, config, game, roster):
        return ()


class NoPolicy(br.players.ScriptedPlayer):
    name = "no_policy"
    version = 1


class NoPredict(OpponentModel):
    game: br.games.Game = eqx.field(static=True)

    def init(self):
        return ()


MISSING = {
    "method": (NoMethods, load_method, "fit, player, updates"),
    "player": (NoPolicy, lambda name: br.make_player(name, GAME), "policy"),
    "opponents": (NoPredict, None, "predict"),
}


@pytest.mark.parametrize("kind", MISSING)
def test_a_class_without_its_methods_is_a_sentence(kind):
    from bestreply.opponents.base import named_opponents

    thing, make, missing = MISSING[kind]
    br.register(kind, "mine", thing)
    message = f"{kind}='mine': expected a class that defines {missing}"
    with pytest.raises(ValueError, match=message):
        if make is None:
            named_opponents("mine", GAME, 1, UniformOpponents(GAME))
        else:
            make("mine")


def test_a_method_whose_player_is_none_is_refused(tmp_path):
    from bestreply.run import Run

    method = SimpleNamespace(player=lambda run, name: len)
    config = SimpleNamespace(method="mine")
    run = SimpleNamespace(
        _check_trained=lambda: None, method=method, config=config
    )
    with pytest.raises(
        ValueError, match=r"'mine'.*returns a Player.*builtin_fun"
    ):
        Run.player(run)


STATE = {"weights": np.zeros((2, 3), np.float32), "updates": np.int32(0)}
STATES = {
    "none": (None, r"fit returns .*None.*: expected a train state as that of start"),
    "structure": ({"weights": STATE["weights"]}, "expected a train state"),
    "shape": (STATE | {"weights": np.zeros(2, np.float32)}, r"shape \(2,\) .*\(2, 3\)"),
    "type": (STATE | {"updates": np.float32(1)}, "type float32: .*type int32"),
}  # fmt: skip


@pytest.mark.parametrize(("state", "message"), STATES.values(), ids=STATES)
def test_a_train_state_that_no_checkpoint_can_hold_is_a_sentence(
    state, message
):
    check_state("mine", "fit", STATE, STATE)
    with pytest.raises(ValueError, match=f"method='mine': .*{message}"):
        check_state("mine", "fit", state, STATE)


@pytest.mark.parametrize(
    "updates", [3, {"policy": 3}, {"policy": (1, 2.5)}, None]
)
def test_updates_are_counted_by_phase(updates):
    check_updates("mine", {"policy": (0, 100), "value": (np.int64(1), 2)})
    with pytest.raises(ValueError, match=r"method='mine': updates=.*'policy'"):
        check_updates("mine", updates)
