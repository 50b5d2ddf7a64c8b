"""Players from modules of PyTorch."""

from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from bestreply.players.base import Player
from bestreply.players.function import player
from bestreply.players.network_outputs import (
    View,
    best,
    library,
    softmax,
    to_numpy,
)


def from_torch(
    module: Any,
    *,
    name: str | None = None,
    version: int = 1,
    view: View | None = None,
    memory: PyTree = None,
    distribution: bool = False,
) -> Player:
    """Return a player from a PyTorch module.

    ``module(obs)`` gets a float32 tensor of the observations [B, *obs_shape] and
    returns a score for each action [B, A], such as logits or Q-values, or the actions
    [B] as whole numbers. Illegal actions are never chosen from scores.

    Args:
        module: the module; it is set to `eval`.
        name: name in logs and tables; by default the class's.
        version: changes whenever the player would act differently.
        view: from observations [B, *obs_shape] to what the module takes, such as
            ``lambda obs: obs.transpose(0, 3, 1, 2)``.
        memory: the memory of one seat at the start of an episode, arrays; the module
            is then called as ``module(obs, memory)``, with leaves [B, ...], and
            returns (scores, memory).
        distribution: draw from the softmax of the scores of legal actions, in place
            of the best one.

    Returns:
        The player.

    Raises:
        ValueError: `module` cannot be called.
        ImportError: PyTorch is not installed.
    """
    if not callable(module):
        raise ValueError(
            f"module={module!r:.100}: expected a torch.nn.Module, or another function "
            "of a tensor"
        )
    name = type(module).__name__.lower() if name is None else name
    forward = _Forward(module, view)
    choose = softmax if distribution else best

    def act(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
        return choose(name, to_numpy(forward(obs)), legal)

    def act_with_memory(
        obs: np.ndarray, legal: np.ndarray, memory: PyTree
    ) -> tuple[np.ndarray, PyTree]:
        scores, memory = forward(obs, memory)
        memory = jax.tree.map(to_numpy, memory)
        return choose(name, to_numpy(scores), legal), memory

    return player(
        act if memory is None else act_with_memory,
        name=name,
        version=version,
        memory=memory,
        distribution=distribution,
    )


class _Forward:
    """A module without gradients, on tensors of its own device."""

    def __init__(self, module: Any, view: View | None) -> None:
        self.torch = library("torch", "torch")
        self.module, self.view = module, view
        if hasattr(module, "eval"):
            module.eval()
        parameters: Any = getattr(module, "parameters", tuple)
        first = next(iter(parameters()), None)
        self.device = getattr(first, "device", None)

    def __call__(self, obs: np.ndarray, *memory: PyTree) -> Any:
        given = obs if self.view is None else self.view(obs)
        trees = jax.tree.map(np.array, memory)
        with self.torch.inference_mode():
            tensors = jax.tree.map(self._tensor, trees)
            return self.module(
                self._tensor(np.array(given, np.float32)), *tensors
            )

    def _tensor(self, array: np.ndarray) -> Any:
        return self.torch.as_tensor(array, device=self.device)
