"""Small networks as frozen PyTrees."""

from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, PRNGKeyArray

from bestreply.types import Array
from bestreply.utils.names import Names


def linear(
    layer: eqx.nn.Linear, x: Float[Array, "... inputs"]
) -> Float[Array, "... outputs"]:
    """Apply `layer` as x W^T + b.

    `eqx.nn.Linear` computes W x, which puts the batch last under `vmap`; on a CPU, XLA
    then takes 3 to 5 times as long for the planner's batches (observations, candidates,
    draws).

    Args:
        layer: weights and bias.
        x: inputs; any leading axes.

    Returns:
        The outputs, with the same leading axes.
    """
    y = x @ layer.weight.T
    return y if layer.bias is None else y + layer.bias


class MLP(eqx.Module):
    """Linear layers with layer norm and SiLU between them."""

    layers: tuple[eqx.nn.Linear, ...]
    norms: tuple[eqx.nn.LayerNorm, ...]

    def __init__(
        self,
        inputs: int,
        hidden: tuple[int, ...],
        outputs: int,
        *,
        key: PRNGKeyArray,
    ) -> None:
        sizes = (inputs, *hidden, outputs)
        keys = jax.random.split(key, len(sizes) - 1)
        self.layers = tuple(
            eqx.nn.Linear(a, b, key=k)
            for a, b, k in zip(sizes[:-1], sizes[1:], keys, strict=True)
        )
        self.norms = tuple(eqx.nn.LayerNorm(size) for size in hidden)

    def __call__(self, x: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        return linear(self.layers[-1], self.hidden(x))

    def hidden(self, x: Float[Array, " inputs"]) -> Float[Array, " F"]:
        """Return the input of the last layer.

        Args:
            x: the input.
        """
        for layer, norm in zip(self.layers[:-1], self.norms, strict=True):
            x = jax.nn.silu(norm(linear(layer, x)))
        return x

    @property
    def hidden_size(self) -> int:
        """Entries of `hidden`."""
        return int(self.layers[-1].in_features)


class JointMLP(eqx.Module):
    """An MLP of a latent and a joint action; its first layer is a sum of two parts.

    Under `vmap` over actions the latent's part is computed once: the planner scores
    hundreds of joint actions from one latent.
    """

    of_latent: eqx.nn.Linear
    of_actions: eqx.nn.Linear
    norm: eqx.nn.LayerNorm
    rest: MLP

    def __init__(
        self,
        latent: int,
        actions: int,
        hidden: tuple[int, ...],
        outputs: int,
        *,
        key: PRNGKeyArray,
    ) -> None:
        latent_key, action_key, rest_key = jax.random.split(key, 3)
        self.of_latent = eqx.nn.Linear(latent, hidden[0], key=latent_key)
        self.of_actions = eqx.nn.Linear(
            actions, hidden[0], use_bias=False, key=action_key
        )
        self.norm = eqx.nn.LayerNorm(hidden[0])
        self.rest = MLP(hidden[0], hidden[1:], outputs, key=rest_key)

    def __call__(
        self, z: Float[Array, " latent"], actions: Float[Array, " actions"]
    ) -> Float[Array, " outputs"]:
        first = linear(self.of_latent, z) + linear(self.of_actions, actions)
        return self.rest(jax.nn.silu(self.norm(first)))


NETWORKS = ("auto", "mlp", "cnn")
NAMES = Names("network", eqx.Module, NETWORKS)
"""Networks that are not the library's own."""


class Encoder(eqx.Module):
    """A network of others' code from an observation to a latent."""

    net: eqx.Module
    shape: tuple[int, ...] = eqx.field(static=True)
    outputs: int = eqx.field(static=True)

    def __call__(self, x: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        return jnp.asarray(cast(Any, self.net)(x.reshape(self.shape)))


def named_encoder(
    name: str,
    shape: tuple[int, ...],
    hidden: tuple[int, ...],
    outputs: int,
    *,
    key: PRNGKeyArray,
) -> Encoder:
    """Return an untrained encoder of others' code.

    Args:
        name: a registered name, or ``module:Class(settings)``: a subclass of
            `eqx.Module` that maps [*shape] to [outputs]. Where the class or factory
            has parameters `shape`, `hidden`, `outputs` and `key`, it is given them.
        shape: of an observation.
        hidden: units of each hidden layer.
        outputs: size of the latent.
        key: for the initial weights.

    Returns:
        A network of the flat observation.

    Raises:
        ValueError: there is no such network, or its output has another shape.
    """
    net = NAMES.make(name, shape=shape, hidden=hidden, outputs=outputs, key=key)
    if not callable(net):
        raise ValueError(
            f"network={name!r}: expected a network with a method `__call__(obs)`"
        )
    obs = jax.ShapeDtypeStruct(shape, jnp.float32)
    try:
        given = jax.eval_shape(net, obs)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"network={name!r}: expected a network of one observation {shape} "
            f"float32; it fails on it: {str(error).splitlines()[0]:.200}"
        ) from error
    kind = getattr(given, "dtype", None)
    if kind is None:
        raise ValueError(
            f"network={name!r}: expected an output of shape ({outputs},); it returns "
            f"an object of type {type(given).__name__}"
        )
    if given.shape != (outputs,) or not jnp.issubdtype(kind, jnp.floating):
        raise ValueError(
            f"network={name!r}: expected an output of shape ({outputs},), as "
            f"model.latent={outputs}, floating-point; it returns {given.shape} {kind}"
        )
    return Encoder(net, shape, outputs)


def one_hot_actions(
    action: Int[Array, ""], others: Int[Array, " others"], num_actions: int
) -> Float[Array, " actions"]:
    """Return the joint action as a concatenation of one-hot vectors, ego first.

    Args:
        action: own action.
        others: opponent actions; ABSENT, for a seat that has left, gives zeros.
        num_actions: actions of a seat, A.

    Returns:
        An array [N * A].
    """
    joint = jnp.concatenate([jnp.reshape(action, (1,)), others])
    return jax.nn.one_hot(joint, num_actions).reshape(-1)
