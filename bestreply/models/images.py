"""Small convolutional networks for images, and which observations are images.

A convolution's weights are one matrix, so that the optimiser treats them as those of a
linear layer.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float, PRNGKeyArray

from bestreply.models.networks import MLP
from bestreply.types import Array

MAX_FLAT_ENTRIES = 4096
"""Entries of a 3-axis observation up to which `model.encoder=auto` is an MLP."""
CHANNELS = (16, 32)
"""Channels of the two convolutions."""
LARGE_SIDE = 36
"""Shorter side, in pixels, from which on convolutions have large strides."""


def is_image(encoder: str, shape: tuple[int, ...]) -> bool:
    """Return whether networks read an observation by convolutions.

    Args:
        encoder: `model.encoder`; a network of others' code counts as "auto".
        shape: of an observation.

    Raises:
        ValueError: "cnn" for an observation without 3 axes.
    """
    if encoder == "cnn" and len(shape) != 3:
        raise ValueError(
            f"model.encoder=cnn for observations of shape {shape}: expected 3 axes, "
            "(height, width, channels); use model.encoder=mlp"
        )
    if encoder in ("cnn", "mlp"):
        return encoder == "cnn"
    return len(shape) == 3 and math.prod(shape) > MAX_FLAT_ENTRIES


def _convolutions(shape: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Return kernel and stride of both convolutions."""
    return (
        ((8, 4), (4, 4)) if min(shape[:2]) >= LARGE_SIDE else ((3, 1), (3, 2))
    )


def _sizes(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return height and width of the image, and after each convolution."""
    sizes = [(shape[0], shape[1])]
    for _, stride in _convolutions(shape):
        height, width = sizes[-1]
        sizes.append((-(-height // stride), -(-width // stride)))
    return sizes


class Matrix(eqx.Module):
    """Weights [inputs, outputs] and a bias, applied at every position of an image."""

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, inputs: int, outputs: int, *, key: PRNGKeyArray) -> None:
        bound = 1 / math.sqrt(inputs)
        self.weight = jax.random.uniform(
            key, (inputs, outputs), minval=-bound, maxval=bound
        )
        self.bias = jnp.zeros(outputs)


def _activated(x: Float[Array, "H W C"]) -> Float[Array, "H W C"]:
    """Return SiLU of `x` with mean 0 and deviation 1 over the channels."""
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred**2).mean(-1, keepdims=True)
    return jax.nn.silu(centred * jax.lax.rsqrt(variance + 1e-5))


class CNN(eqx.Module):
    """Two convolutions; the result is flat."""

    layers: tuple[Matrix, ...]
    shape: tuple[int, int, int] = eqx.field(static=True)

    def __init__(self, shape: tuple[int, ...], *, key: PRNGKeyArray) -> None:
        height, width, inputs = shape
        self.shape = height, width, inputs
        keys = jax.random.split(key, len(CHANNELS))
        layers = []
        for row, outputs in enumerate(CHANNELS):
            kernel = _convolutions(shape)[row][0]
            layers.append(Matrix(kernel**2 * inputs, outputs, key=keys[row]))
            inputs = outputs
        self.layers = tuple(layers)

    @property
    def outputs(self) -> int:
        """Number of features."""
        height, width = _sizes(self.shape)[-1]
        return height * width * CHANNELS[-1]

    def __call__(self, x: Float[Array, " D"]) -> Float[Array, " F"]:
        sizes = _convolutions(self.shape)
        x = x.reshape(self.shape)
        for layer, (kernel, stride) in zip(self.layers, sizes, strict=True):
            y = jax.lax.conv_general_dilated(
                x[None],
                layer.weight.reshape(kernel, kernel, x.shape[-1], -1),
                (stride, stride),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            x = _activated(y[0] + layer.bias)
        return x.reshape(-1)


class ImageDecoder(eqx.Module):
    """A latent to an image: an MLP to a few positions; twice, each becomes a patch."""

    first: MLP
    layers: tuple[Matrix, ...]
    shape: tuple[int, int, int] = eqx.field(static=True)

    def __init__(
        self,
        latent: int,
        hidden: tuple[int, ...],
        shape: tuple[int, ...],
        *,
        key: PRNGKeyArray,
    ) -> None:
        height, width, channels = shape
        self.shape = height, width, channels
        first_key, *keys = jax.random.split(key, 3)
        rows, columns = _sizes(shape)[-1]
        few, many = CHANNELS
        self.first = MLP(latent, hidden, rows * columns * many, key=first_key)
        (_, outer), (_, inner) = _convolutions(shape)
        self.layers = (
            Matrix(many, inner**2 * few, key=keys[0]),
            Matrix(few, outer**2 * channels, key=keys[1]),
        )

    def __call__(self, z: Float[Array, " Z"]) -> Float[Array, " D"]:
        image, middle, last = _sizes(self.shape)
        (_, outer), (_, inner) = _convolutions(self.shape)
        coarse, fine = self.layers
        x = _activated(self.first(z).reshape(*last, -1))
        x = _activated(
            _unfolded(x @ coarse.weight + coarse.bias, inner, middle)
        )
        x = _unfolded(x @ fine.weight + fine.bias, outer, image)
        return x.reshape(-1)


def _unfolded(
    x: Float[Array, "h w F"], side: int, size: tuple[int, int]
) -> Float[Array, "H W C"]:
    """Return an image of patches of `side` squared positions, cut to `size`."""
    rows, columns, _ = x.shape
    x = x.reshape(rows, columns, side, side, -1).transpose(0, 2, 1, 3, 4)
    x = x.reshape(rows * side, columns * side, -1)
    return x[: size[0], : size[1]]
