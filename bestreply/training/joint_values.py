"""Training of the values of joint actions: the best of what anybody did in logged play.

Implicit Q-learning (Kostrikov, Nair and Levine, "Offline reinforcement learning with
implicit Q-learning", 2022), given the belief about the opponents' types, and with a value
of joint actions besides that of own actions:

    V: expectile regression towards the lesser of two target Q(o, b, a_i)     (eq. 5)
    Q: both the two of own actions and that of joint actions:
       r + gamma (1 - done) V(o', b')                                        (eq. 6)

Targets use logged actions alone. A decision compares all legal ones: the value of an action
that was never taken at such an observation is a guess of the network.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from bestreply.config import RunConfig
from bestreply.games.seats import role_of_seat
from bestreply.models.joint_values import JointValues
from bestreply.replay.moa_buffer import BufferState, draw_index, gather
from bestreply.training.augmentation import augmented
from bestreply.training.opponent_updates import logged_types
from bestreply.training.phases import Metrics, Phase
from bestreply.training.state import TrainState, apply_gradient, optimiser
from bestreply.training.targets import LoggedBeliefs, logged_steps
from bestreply.training.world_updates import follow
from bestreply.types import Transition

EXPECTILE = 0.8
"""Expectile of V: 0.5 is the mean over the data's actions, near 1 their best."""


def expectile_loss(above: Float[Array, " B"]) -> Float[Array, ""]:
    """Return the mean square of differences, those below 0 counting for less.

    Args:
        above: what the value should be, less the value.
    """
    weight = jnp.where(above > 0, EXPECTILE, 1 - EXPECTILE)
    return (weight * above**2).mean()


def joint_value_losses(
    model: JointValues,
    target: JointValues,
    at: Transition,
    beliefs: tuple[Float[Array, "B J G"], Float[Array, "B J G"]],
    discount: Float[Array, " B"],
) -> dict[str, Float[Array, ""]]:
    """Return the losses of V and Q; the gradient of each reaches only its own network.

    Args:
        model: the values.
        target: the same with target networks.
        at: logged steps [B, ...].
        beliefs: at these steps and after them.
        discount: of the value after them; 0 where none follows.

    Returns:
        The losses by name, in units of returns.
    """
    now, after = beliefs
    role = jnp.asarray(role_of_seat(model.game))[at.seat]
    mean, scale = model.returns.mean[role], model.returns.scale[role]
    rows = jnp.arange(len(at.action))

    def of_action(values: Float[Array, "B K A"]) -> Float[Array, "B K"]:
        return values[rows, :, at.action]

    value = (jax.vmap(model.value)(at.obs, now) - mean) / scale
    next_value = jax.vmap(model.value)(at.next_obs, after)
    y = at.reward + discount * next_value
    y = jax.lax.stop_gradient((y - mean) / scale)
    best = of_action(jax.vmap(target.own)(at.obs, now)).min(1)
    others = at.others[:, None]  # one joint action each
    joint = jax.vmap(model.joint)(at.obs, now, others)
    own = of_action(jax.vmap(model.own)(at.obs, now))
    return {
        "value": expectile_loss(jax.lax.stop_gradient(best) - value),
        "own": ((own - y[:, None]) ** 2).sum(1).mean() / 2,
        "joint": ((of_action(joint)[:, 0] - y) ** 2).mean() / 2,
    }


def joint_value_step(
    config: RunConfig,
    data: tuple[BufferState, LoggedBeliefs],
    train_state: TrainState,
    key: Key[Array, ""],
) -> tuple[TrainState, Metrics]:
    """Make one gradient step of the values of joint actions.

    Args:
        config: configuration of the run.
        data: the training episodes, and beliefs in them.
        train_state: the state before the step.
        key: key of the random draws.

    Returns:
        The state after the step, and metrics by name.
    """
    buffer, logged_beliefs = data
    draw_key, given_key, symmetry_key = jax.random.split(key, 3)
    state: Any = train_state.joint_values
    model = state.model
    index = draw_index(buffer, draw_key, config.train.value_batch)
    at = gather(buffer, index)
    step = logged_steps(
        config.train,
        logged_beliefs,
        at,
        index,
        logged_types(config, at),
        given_key,
    )
    both = jnp.concatenate([step.belief, step.next_belief], -1)
    at, both = augmented(config, model.game, at, both, symmetry_key)
    now, after = jnp.split(both, 2, -1)
    discount = config.train.gamma * step.continues
    target = eqx.tree_at(lambda m: m.own_net, model, state.target)

    def loss(model: JointValues) -> tuple[Array, Metrics]:
        losses = joint_value_losses(model, target, at, (now, after), discount)
        return sum(losses.values(), jnp.float32(0)), losses

    (_, losses), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(model)
    model, made = apply_gradient(
        optimiser(config.train, config.train.joint_updates),
        state.optimiser,
        model,
        gradient,
    )
    followed = follow(config, state.target, model.own_net)
    train_state = eqx.tree_at(
        lambda s: (
            s.joint_values.model,
            s.joint_values.target,
            s.joint_values.optimiser,
            s.joint_values.updates,
        ),
        train_state,
        (model, followed, made, state.updates + 1),
    )
    return train_state, {
        f"joint_values/{name}": value for name, value in losses.items()
    }


JOINT_VALUES = Phase(
    "joint_values", joint_value_step, "joint_updates", stream=8
)
