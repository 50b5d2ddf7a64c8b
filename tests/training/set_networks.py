"""Networks whose outputs are set, and steps of play, for numbers that are worked out by hand."""

import equinox as eqx
import jax
import numpy as np

from bestreply import make_game
from bestreply.config import ModelConfig
from bestreply.models.world_model import WorldModel
from bestreply.opponents.learned import LearnedOpponents
from bestreply.types import Transition
from tests.shared import build

# The observation is one number, the rounds left.
GAME = make_game("matrix", payoffs=np.zeros((3, 2, 2, 2)).tolist(), memory=0)


def put(values):
    """An array of floats on the device, without a program."""
    return jax.device_put(np.asarray(values, np.float32))


def constant(net, values):
    """A network with the outputs `values` for every input."""

    def last_bias(net):
        return getattr(net, "rest", net).layers[-1].bias

    zero = jax.tree.map(
        lambda x: put(np.zeros(x.shape)) if eqx.is_inexact_array(x) else x, net
    )
    return eqx.tree_at(last_bias, zero, put(values))


def set_world(
    game, heads=1, goals=1, likelihood="squared", value_of="o", **outputs
):
    """A world model; `outputs` sets the outputs of its networks by name."""
    config = ModelConfig(
        latent=2, width=4, depth=1, likelihood=likelihood, value_of=value_of
    )
    world = build(WorldModel, game, config, goals=goals, heads=heads)
    nets = [constant(getattr(world, name), x) for name, x in outputs.items()]
    if not nets:
        return world
    return eqx.tree_at(lambda w: [getattr(w, n) for n in outputs], world, nets)


def set_opponents(game, types, logits):
    """An opponent model with the same `logits` [G][A] for every observation."""
    config = ModelConfig(width=4, depth=1)
    model = build(LearnedOpponents.create, game, config, types)
    net = constant(model.net, np.ravel(logits))
    return eqx.tree_at(lambda m: m.net, model, net)


def window(game, steps=1, **changes):
    """Steps [L] of seat 0: zeros but for `changes`; all actions legal, all seats present."""
    n, a = game.num_players, game.num_actions
    shapes = {
        np.float32: {
            "obs": game.obs_shape,
            "next_obs": game.obs_shape,
            "reward": (),
            "prob": (),
        },
        np.int32: {
            "action": (),
            "others": (n - 1,),
            "player": (n,),
            "goal": (n,),
            "episode": (),
            "seat": (),
        },
        bool: {"terminated": (), "truncated": ()},
    }
    arrays = {
        name: np.zeros((steps, *shape), kind)
        for kind, of_kind in shapes.items()
        for name, shape in of_kind.items()
    }
    arrays |= {
        "legal": np.ones((steps, a), bool),
        "next_legal": np.ones((steps, a), bool),
        "present": np.ones((steps, n), bool),
        "valid": np.ones(steps, bool),
        "step": np.arange(steps, dtype=np.int32),
    }
    for name, value in changes.items():
        arrays[name] = np.asarray(value, arrays[name].dtype)
    return Transition(**jax.device_put(arrays))
