"""The losses and TD targets of the specification, for one example; training averages them over a batch."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bestreply.config import LossWeights
from bestreply.models.world_model import WorldModel
from bestreply.opponents.learned import LearnedOpponents
from bestreply.types import ABSENT, Transition


def observation_loss(
    world: WorldModel, z: Array, obs: Array
) -> Float[Array, ""]:
    """L_obs = || dec(z) - o ||^2, summed over entries and divided by their number.

    Under the Bernoulli likelihood 0/1 entries cost -log p(o) instead, so that sparse planes do not lose their few ones.
    """
    raw, truth = world.decode_raw(z), obs.reshape(-1)
    squared = (raw - truth) ** 2
    if world.config.likelihood == "squared":
        return squared.mean()
    return jnp.where(world.binary, bernoulli(raw, truth), squared).mean()


def bernoulli(logit: Array, truth: Array) -> Array:
    """-log p(truth) of 0/1 `truth` under `logit`, elementwise."""
    return jax.nn.softplus(logit) - truth * logit


def world_losses(
    world: WorldModel, window: Transition, *, limit_ends: bool = False
) -> dict[str, Array]:
    """Every supervised loss but the value's, over a window [L, ...] of one seat, averaged over its valid steps.

    `limit_ends`: what counts ends with the step limit, so that the continuation is 0 there (training's `at_limit`).

    Step k starts from the latent that k steps of the dynamics led to from enc(o_t), under the actions that the data holds; L = 1 is
    the specification.
    """

    def step(z: Array, at: Transition) -> tuple[Array, dict[str, Array]]:
        after = world.next(z, at.action, at.others)
        encoded = world.encode(at.next_obs)
        goes_on = ~(
            jnp.asarray(at.terminated)
            | (jnp.asarray(at.truncated) & limit_ends)
        )
        legal = bernoulli(world.legal(z), at.legal.astype(jnp.float32)).mean()
        next_legal = bernoulli(
            world.legal(after), at.next_legal.astype(jnp.float32)
        ).mean()
        losses = {
            "obs": observation_loss(world, after, at.next_obs),
            "reward": (world.reward(z, at.action, at.others) - at.reward) ** 2,
            "consistency": (
                (after - jax.lax.stop_gradient(encoded)) ** 2
            ).mean(),
            "continuation": bernoulli(
                world.continues(z, at.action, at.others),
                goes_on.astype(jnp.float32),
            ),
            "legal": 0.5 * (legal + next_legal),
        }
        return after, jax.tree.map(
            lambda x: jnp.where(at.valid, x, 0.0), losses
        )

    z, each = world.encode(window.obs[0]), []
    for k in range(
        len(window.step)
    ):  # windows are short: unrolled, this trains faster than a scan
        z, losses = step(z, jax.tree.map(lambda x, k=k: x[k], window))
        each.append(losses)
    steps = jnp.maximum(window.valid.sum(), 1)
    losses = jax.tree.map(lambda *x: sum(x) / steps, *each)
    reconstructed = observation_loss(
        world, world.encode(window.obs[0]), window.obs[0]
    )  # so that dec also reads enc(o)
    return losses | {
        "obs": 0.5 * (losses["obs"] + reconstructed)
        if world.config.value_of == "z"
        else losses["obs"]
    }


def value_loss(
    world: WorldModel, obs: Array, belief: Array, head: Array, target: Array
) -> Float[Array, ""]:
    """L_V = || V(z_t) - stop_grad(y_t) ||^2, for the head of the player that acted or of the action taken, in units of its returns."""
    values = world.value(world.encode(obs), obs, belief)
    _, scale = world.units(belief)
    scale = jnp.broadcast_to(scale, values.shape)[head]
    return ((values[head] - jax.lax.stop_gradient(target)) / scale) ** 2


def data_target(reward: Array, discount: Array, next_value: Array) -> Array:
    """y = r_t + gamma (1 - done) V(o_{t+1}); `discount` is gamma (1 - terminated). A truncated step has a next value."""
    return reward + discount * next_value


def expected_target(
    target_net: WorldModel,
    at: Transition,
    joint: Array,
    weights: Array,
    beliefs: Array,
    head: Array,
    discount: Array,
) -> Array:
    """y = r_t + gamma (1 - done) E_{a_j ~ pi_hat_j}[ V(f(z_t, a_i, a_j)) ], a_i and r_t from the data.

    joint [M, N-1] holds the others' joint actions with `weights` [M]; `beliefs` [M, N-1, G] what each would make us believe.
    """
    z = target_net.encode(at.obs)

    def worth(others: Array, belief: Array) -> Array:
        return target_net.values_of(
            target_net.next(z, at.action, others), belief
        )[head]

    return (
        at.reward + discount * (weights * jax.vmap(worth)(joint, beliefs)).sum()
    )


def opponent_losses(
    model: LearnedOpponents,
    obs: Array,
    others: Array,
    weights: Float[Array, "others G"],
) -> tuple[Array, Array]:
    """sum_g w_j(g) (-log pi_hat_j(a_j | o, g)) of each other player [N-1], and the sum of its weights: 0 for a seat that had left."""
    taken = jnp.take_along_axis(
        model.logits(obs), jnp.maximum(others, 0)[:, None, None], 2
    )[..., 0]  # [N-1, G]
    weights = jnp.where((others != ABSENT)[:, None], weights, 0.0)
    return -(weights * taken).sum(1), weights.sum(1)


CONTINUATION_WEIGHT = 0.2
"""Weight of the loss of the continuation: whether the step terminates the seat."""
LEGAL_WEIGHT = 0.2
"""Weight of the loss of the legal actions at o and o'."""


def total_loss(losses: dict[str, Any], weights: LossWeights) -> Array:
    """Return the weighted sum of all losses.

    Args:
        losses: scalars by name.
        weights: those that the specification names; `CONTINUATION_WEIGHT` and `LEGAL_WEIGHT` are fixed.

    Raises:
        ValueError: losses and weights have different names.
    """
    fixed = {"continuation": CONTINUATION_WEIGHT, "legal": LEGAL_WEIGHT}
    named = dataclasses.asdict(weights) | fixed
    if set(named) != set(losses):
        raise ValueError(
            f"losses {sorted(losses)} but weights {sorted(named)}; expected: one weight for each loss"
        )
    return jnp.stack(
        [named[name] * value for name, value in losses.items()]
    ).sum()
