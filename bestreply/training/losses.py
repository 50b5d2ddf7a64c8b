"""The losses and TD targets of the specification, for one example; training averages them."""

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from bestreply.config import LossWeights
from bestreply.models.units import flat_obs
from bestreply.models.world_model import WorldModel
from bestreply.opponents.learned import LearnedOpponents
from bestreply.types import ABSENT, Transition
from bestreply.utils.checks import check_arguments
from bestreply.utils.names import Names

WINDOW_LOSSES = ("obs", "reward", "consistency", "continuation", "legal")
"""Names of the losses of a window."""


def observation_loss(
    world: WorldModel, z: Float[Array, " Z"], obs: Shaped[Array, "*obs"]
) -> Float[Array, ""]:
    """Return L_obs = || dec(z) - o ||^2 in units of the data, divided by the entries.

    With the Bernoulli likelihood 0/1 entries have the loss -log p(o) instead, so that
    the few ones of sparse planes are not lost.

    Args:
        world: the world model.
        z: a latent.
        obs: the observation that it should decode to.

    Returns:
        The loss, a mean over entries.
    """
    raw, truth = world.decode_raw(z), flat_obs(world.obs_units, obs)
    squared = (raw - truth) ** 2
    if world.config.likelihood == "squared":
        return squared.mean()
    return jnp.where(world.binary, bernoulli(raw, truth), squared).mean()


def bernoulli(
    logit: Float[Array, "*B"], truth: Float[Array, "*B"]
) -> Float[Array, "*B"]:
    """Return -log p(truth) elementwise.

    Args:
        logit: logit of the probability of 1.
        truth: entries 0 or 1.
    """
    return jax.nn.softplus(logit) - truth * logit


LossFunction = Callable[..., dict[str, Float[Array, ""]]]
"""``loss(world, window, limit_ends=...)``, as `world_losses`."""


def world_losses(
    world: WorldModel,
    window: Transition,
    *,
    limit_ends: bool = False,
    history: int = 0,
) -> dict[str, Float[Array, ""]]:
    """Return the supervised losses of the world model, averaged over a window.

    Step k starts from the latent that k steps of the dynamics reach from enc(o_t) under
    the logged actions. L = 1 is the specification.

    Args:
        world: the world model.
        window: L steps of one seat; invalid steps have no weight.
        limit_ends: whether the continuation is 0 at the step limit.
        history: steps in front of these L, for the memory alone.

    Returns:
        All losses by name but that of the value.
    """
    before, window = split_history(window, history)
    memory = world.recall(before.obs, before.action, before.valid)
    memory, z = world.observe(memory, window.obs[0])
    first, each = z, []
    # Windows are short: unrolled, this trains faster than a scan.
    for k in range(len(window.step)):
        step = jax.tree.map(lambda x, k=k: x[k], window)
        memory, encoded = world.observe(
            world.acted(memory, step.action), step.next_obs
        )
        z, losses = _step_losses(world, z, encoded, step, limit_ends)
        each.append(losses)
    steps = jnp.maximum(window.valid.sum(), 1)
    losses = jax.tree.map(lambda *x: sum(x) / steps, *each)
    if world.values_latents:  # the decoder then also decodes enc(o)
        obs = window.obs[0]
        reconstruction = observation_loss(world, first, obs)
        losses["obs"] = 0.5 * (losses["obs"] + reconstruction)
    return losses


def split_history(
    window: Transition, history: int
) -> tuple[Transition, Transition]:
    """Return the first `history` steps of a window, and the others.

    Args:
        window: steps of one seat.
        history: number of steps.
    """
    return (
        jax.tree.map(lambda x: x[:history], window),
        jax.tree.map(lambda x: x[history:], window),
    )


def latent_of(world: WorldModel, window: Transition) -> Float[Array, " Z"]:
    """Return the latent of the last observation of a window.

    Args:
        world: the world model.
        window: steps of one seat; those before the last are its memory.
    """
    before, last = split_history(window, len(window.step) - 1)
    memory = world.recall(before.obs, before.action, before.valid)
    return world.observe(memory, last.obs[0])[1]


def _step_losses(
    world: WorldModel,
    z: Float[Array, " Z"],
    encoded: Float[Array, " Z"],
    at: Transition,
    limit_ends: bool,
) -> tuple[Float[Array, " Z"], dict[str, Float[Array, ""]]]:
    """Return the predicted next latent, and the losses of one step; 0 if invalid."""
    joint = at.action, at.others
    next_z = world.next(z, *joint)
    encoded = jax.lax.stop_gradient(encoded)
    _, unit = world.reward_unit(z)
    ends = jnp.asarray(at.terminated) | (jnp.asarray(at.truncated) & limit_ends)
    continues = (~ends).astype(jnp.float32)
    legal, next_legal = (
        bernoulli(world.legal(latent), mask.astype(jnp.float32)).mean()
        for latent, mask in ((z, at.legal), (next_z, at.next_legal))
    )
    losses = {
        "obs": observation_loss(world, next_z, at.next_obs),
        "reward": ((world.reward(z, *joint) - at.reward) / unit) ** 2,
        "consistency": ((next_z - encoded) ** 2).mean(),
        "continuation": bernoulli(world.continues(z, *joint), continues),
        "legal": 0.5 * (legal + next_legal),
    }
    return next_z, {
        name: jnp.where(at.valid, loss, 0.0) for name, loss in losses.items()
    }


NAMES = Names("loss", dict, ("specification",), function=True)
"""Losses that are not the library's own."""


@cache
def load_loss(name: str) -> LossFunction:
    """Return the losses of a window by name (`TrainConfig.loss`).

    Args:
        name: "specification", of an installed package, or ``module:function``; also
            ``module:Class(settings)``, whose instances are called so. It is called
            as `world_losses` is, and returns the same losses by name, scalars; their
            weights are `train.weights`. What it adds under other names has weight 1.

    Returns:
        The function, one object for each name. Its results are checked.

    Raises:
        ValueError: there is no loss of this name, or it takes other arguments.
    """
    if name == "specification":
        return world_losses
    loss = cast(LossFunction, NAMES.make(name))
    check_arguments(
        "train.loss", name, loss, ("world", "window"), ("limit_ends",)
    )

    def checked(
        world: WorldModel, window: Transition, *, limit_ends: bool = False
    ) -> dict[str, Float[Array, ""]]:
        losses = loss(world, window, limit_ends=limit_ends)
        _check_losses(name, losses)
        return losses

    return checked


def _check_losses(name: str, losses: object) -> None:
    """Refuse results of an own loss; only shapes are known inside a program."""
    if not isinstance(losses, dict):
        raise ValueError(
            f"train.loss={name!r}: expected a dict of losses by name; it returns an "
            f"object of type {type(losses).__name__}"
        )
    missing = sorted({*WINDOW_LOSSES} - set(losses))
    if missing or "value" in losses:
        raise ValueError(
            f"train.loss={name!r}: expected losses named {', '.join(WINDOW_LOSSES)}, "
            f"and others but value; it returns {', '.join(map(str, losses))}"
        )
    for key, value in losses.items():
        shape, dtype = jnp.shape(value), jnp.result_type(value)
        if shape != () or not jnp.issubdtype(dtype, jnp.floating):
            raise ValueError(
                f"train.loss={name!r}: {key} of shape {shape} and type {dtype}: "
                "expected a floating-point scalar, a mean over the steps of the window"
            )


def value_loss(
    world: WorldModel,
    obs: Shaped[Array, "*obs"],
    belief: Float[Array, "J G"],
    head: Int[Array, ""],
    target: Float[Array, ""],
    z: Float[Array, " Z"] | None = None,
) -> Float[Array, ""]:
    """Return L_V = || V(z_t) - stop_grad(y_t) ||^2 of one head, in units of its returns.

    Args:
        world: the world model.
        obs: own observation.
        belief: belief about the J opponents.
        head: the head of the player that acted, or of the action taken.
        target: y_t.
        z: latent of the step; None: of its observation alone.

    Returns:
        The loss, a squared number of units.
    """
    z = world.encode(obs) if z is None else z
    values = world.value(z, obs, belief)
    _, scale = world.units(z, belief)
    scale = jnp.broadcast_to(scale, values.shape)[head]
    return ((values[head] - jax.lax.stop_gradient(target)) / scale) ** 2


def data_target(
    reward: Float[Array, "*#B"],
    discount: Float[Array, "*#B"],
    next_value: Float[Array, "*#B"],
) -> Float[Array, "*#B"]:
    """Return y = r_t + gamma (1 - done) V(o_{t+1}).

    Args:
        reward: r_t.
        discount: gamma (1 - terminated); a truncated step has a next value.
        next_value: V(o_{t+1}).
    """
    return reward + discount * next_value


def expected_target(
    target_net: WorldModel,
    at: Transition,
    joint: Int[Array, "M J"],
    weights: Float[Array, " M"],
    beliefs: Float[Array, "M J G"],
    head: Int[Array, ""],
    discount: Float[Array, ""],
    z: Float[Array, " Z"] | None = None,
) -> Float[Array, ""]:
    """Return y = r_t + gamma (1 - done) E_{a_j ~ pi_hat_j}[ V(f(z_t, a_i, a_j)) ].

    Args:
        target_net: the target network.
        at: the logged step, with a_i and r_t.
        joint: M joint actions of the J opponents.
        weights: their probabilities.
        beliefs: the belief after each of them.
        head: the value head.
        discount: gamma (1 - terminated).
        z: latent of the step; None: of its observation alone.

    Returns:
        The target y.
    """
    z = target_net.encode(at.obs) if z is None else z

    def value(
        others: Int[Array, " J"], belief: Float[Array, "J G"]
    ) -> Float[Array, ""]:
        next_z = target_net.next(z, at.action, others)
        return target_net.values_of(next_z, belief)[head]

    expectation = (weights * jax.vmap(value)(joint, beliefs)).sum()
    return at.reward + discount * expectation


def opponent_losses(
    model: LearnedOpponents,
    obs: Shaped[Array, "*obs"],
    others: Int[Array, " J"],
    weights: Float[Array, "J G"],
) -> tuple[Float[Array, " J"], Float[Array, " J"]]:
    """Return sum_g w_j(g) (-log pi_hat_j(a_j | o, g)) of each opponent, and sum_g w_j(g).

    Args:
        model: the opponent model.
        obs: own observation.
        others: the opponents' actions; ABSENT, with weight 0, for a seat that has left.
        weights: weight of each type.

    Returns:
        The losses and the sums of weights.
    """
    action = jnp.maximum(others, 0)[:, None, None]
    log_probs = jnp.take_along_axis(model.logits(obs), action, 2)[..., 0]
    weights = jnp.where((others != ABSENT)[:, None], weights, 0.0)
    return -(weights * log_probs).sum(1), weights.sum(1)


CONTINUATION_WEIGHT = 0.2
"""Weight of the loss of the continuation: whether the step terminates the seat."""
LEGAL_WEIGHT = 0.2
"""Weight of the loss of the legal actions at o and o'."""


def total_loss(
    losses: dict[str, Float[Array, ""]], weights: LossWeights
) -> Float[Array, ""]:
    """Return the weighted sum of all losses.

    Args:
        losses: scalars by name.
        weights: those that the specification names; `CONTINUATION_WEIGHT` and
            `LEGAL_WEIGHT` are fixed; others have weight 1.

    Returns:
        The loss that gradient steps minimise.

    Raises:
        ValueError: there is no loss for a weight.
    """
    fixed = {"continuation": CONTINUATION_WEIGHT, "legal": LEGAL_WEIGHT}
    named = dataclasses.asdict(weights) | fixed
    if not set(named) <= set(losses):
        raise ValueError(
            f"losses={sorted(losses)}: expected one for each weight, {sorted(named)}"
        )
    terms = [named.get(name, 1.0) * value for name, value in losses.items()]
    return jnp.stack(terms).sum()
