"""Networks that read observations, as `model.encoder` names them.

Every network of a run reads through the same kind of features: the world model's encoder,
V(o), opponent models, policies of the data's players and the baselines. Each trains
features of its own.
"""

import math
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float, PRNGKeyArray

from bestreply.config import ModelConfig
from bestreply.models.images import CNN, is_image
from bestreply.models.networks import MLP, NETWORKS, Encoder, named_encoder
from bestreply.types import Array


class FeatureNet(eqx.Module):
    """Observations, each through the same features, then an MLP of these and further inputs.

    Its input is flat, as that of an `MLP`: the observations, then the rest.
    """

    features: CNN | Encoder
    mlp: MLP
    count: int = eqx.field(static=True)
    """Number of observations."""
    entries: int = eqx.field(static=True)
    """Of an observation."""

    def __call__(self, x: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        return self.mlp(self._read(x))

    def _read(self, x: Float[Array, " inputs"]) -> Float[Array, " F"]:
        observed, rest = jnp.split(x, [self.count * self.entries])
        features = jax.vmap(self.features)(observed.reshape(self.count, -1))
        return jnp.concatenate([features.reshape(-1), rest])

    def hidden(self, x: Float[Array, " inputs"]) -> Float[Array, " F"]:
        """Return the input of the last layer.

        Args:
            x: the input.
        """
        return self.mlp.hidden(self._read(x))

    @property
    def hidden_size(self) -> int:
        """Entries of `hidden`."""
        return self.mlp.hidden_size


ObsNet: TypeAlias = MLP | FeatureNet


def make_features(
    config: ModelConfig, shape: tuple[int, ...], *, key: PRNGKeyArray
) -> CNN | Encoder | None:
    """Return untrained features of a flat observation; None: its entries are read as they are.

    Args:
        config: its `encoder`; `latent` is the number of features of a network of others'
            code.
        shape: of an observation.
        key: for the initial weights.

    Raises:
        ValueError: "cnn" for an observation without 3 axes; as `named_encoder`.
    """
    if config.encoder not in NETWORKS:
        return named_encoder(
            config.encoder, shape, (config.width,), config.latent, key=key
        )
    return CNN(shape, key=key) if is_image(config.encoder, shape) else None


def make_obs_net(
    config: ModelConfig,
    shape: tuple[int, ...],
    hidden: tuple[int, ...],
    outputs: int,
    *,
    count: int = 1,
    extra: int = 0,
    key: PRNGKeyArray,
) -> ObsNet:
    """Return an untrained network of flat observations.

    Args:
        config: as in `make_features`.
        shape: of an observation.
        hidden: units of each hidden layer. Behind features of others' code, which have
            a hidden layer of their own, the first is left out.
        outputs: size of the output.
        count: number of observations in the input.
        extra: number of further inputs, behind the observations.
        key: for the initial weights.

    Returns:
        The network.

    Raises:
        ValueError: as `make_features`.
    """
    entries = math.prod(shape)
    features_key, mlp_key = jax.random.split(key)
    features = make_features(config, shape, key=features_key)
    if features is None:
        return MLP(count * entries + extra, hidden, outputs, key=key)
    if isinstance(features, Encoder):
        hidden = hidden[1:]
    inputs = count * features.outputs + extra
    mlp = MLP(inputs, hidden, outputs, key=mlp_key)
    return FeatureNet(features, mlp, count, entries)


def make_encoder(
    config: ModelConfig, shape: tuple[int, ...], *, key: PRNGKeyArray
) -> ObsNet | Encoder:
    """Return the untrained encoder of a world model.

    Args:
        config: its `encoder`, `width`, `depth` and `latent`.
        shape: of an observation.
        key: for the initial weights.

    Returns:
        A network of the flat observation.

    Raises:
        ValueError: as `make_features`.
    """
    hidden = (config.width,) * config.depth
    if config.encoder in NETWORKS:
        return make_obs_net(config, shape, hidden, config.latent, key=key)
    return named_encoder(config.encoder, shape, hidden, config.latent, key=key)
