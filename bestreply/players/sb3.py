"""Players from models of Stable-Baselines3 and sb3-contrib."""

import dataclasses
import functools
import inspect
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, PyTree, Shaped

from bestreply.players.base import Player
from bestreply.players.function import player
from bestreply.players.network_outputs import View, seen, to_numpy


def from_sb3(
    model: Any,
    *,
    name: str | None = None,
    version: int = 1,
    view: View | None = None,
    distribution: bool = False,
) -> Player:
    """Return a player from a model of Stable-Baselines3 or sb3-contrib.

    Its `predict` chooses, deterministically; a model with `action_masks` (MaskablePPO)
    is given the legal actions, a recurrent one (RecurrentPPO) its state, which begins
    anew with each episode.

    Args:
        model: the model, such as ``PPO.load(path)``. SB3's files can run code: load
            only those that you trust.
        name: name in logs and tables; by default the class's.
        version: changes whenever the player would act differently.
        view: from observations [B, *obs_shape] to the model's, such as
            ``lambda obs: obs[:, :14]``; by default they are reshaped.
        distribution: draw from the policy's distribution, among legal actions, in
            place of its best action; of models that have one and no recurrent state.

    Returns:
        The player.

    Raises:
        ValueError: `model` has no `predict`, or several arrays as its observation; or
            no distribution.
    """
    name = type(model).__name__.lower() if name is None else name
    space = getattr(model, "observation_space", None)
    shape = getattr(space, "shape", None)
    if not callable(getattr(model, "predict", None)) or shape is None:
        raise ValueError(
            f"model={type(model).__name__}: expected a model of Stable-Baselines3 "
            "whose observation is one array, with `predict` and `observation_space`"
        )
    dtype = getattr(space, "dtype", np.float32)
    policy = _Policy(
        model=model,
        see=functools.partial(seen, name, view, tuple(shape), dtype),
        masks="action_masks" in inspect.signature(model.predict).parameters,
    )
    make = functools.partial(player, name=name, version=version)
    start = policy.first_state(np.zeros((2, *shape), dtype))
    if distribution:
        known = hasattr(getattr(model, "policy", None), "get_distribution")
        if not known or start is not None:
            raise ValueError(
                f"model={type(model).__name__}: expected distribution=False, since it "
                "has no distribution, or a recurrent state"
            )
        return make(policy.probabilities, distribution=True)
    if start is None:
        return make(policy.act)
    return make(policy.act_with_state, memory=start)


@dataclasses.dataclass
class _Policy:
    """A model, with what its `predict` is given."""

    model: Any
    see: Any  # from observations to the model's
    masks: bool
    axes: PyTree = None
    """The axis of the batch in each array of its recurrent state."""

    def first_state(self, obs: np.ndarray) -> PyTree:
        """Return the memory at the start, from two observations; None: it has none."""
        states = [
            self.model.predict(
                obs[:size],
                state=None,
                episode_start=np.ones(size, bool),
                deterministic=True,
            )[1]
            for size in (1, 2)
        ]
        if states[0] is None:
            return None

        def axis(one: np.ndarray, two: np.ndarray) -> int:
            return int(np.argmax(np.not_equal(np.shape(one), np.shape(two))))

        self.axes = jax.tree.map(axis, *states)
        zeros = jax.tree.map(
            lambda x, a: np.zeros_like(np.take(x, 0, a)), states[0], self.axes
        )
        return {"state": zeros, "started": np.bool_(False)}

    def _given(self, legal: np.ndarray) -> dict[str, np.ndarray]:
        return {"action_masks": legal} if self.masks else {}

    def act(
        self,
        obs: Shaped[np.ndarray, "B ..."],
        legal: Bool[np.ndarray, "B A"],
    ) -> np.ndarray:
        return self.model.predict(
            self.see(obs), deterministic=True, **self._given(legal)
        )[0]

    def act_with_state(
        self,
        obs: Shaped[np.ndarray, "B ..."],
        legal: Bool[np.ndarray, "B A"],
        memory: dict[str, PyTree],
    ) -> tuple[np.ndarray, dict[str, PyTree]]:
        state = jax.tree.map(
            lambda x, a: np.moveaxis(x, 0, a), memory["state"], self.axes
        )
        action, state = self.model.predict(
            self.see(obs),
            state=state,
            episode_start=~memory["started"],
            deterministic=True,
            **self._given(legal),
        )
        state = jax.tree.map(
            lambda x, a: np.moveaxis(x, a, 0), state, self.axes
        )
        return action, {"state": state, "started": np.ones(len(obs), bool)}

    def probabilities(
        self,
        obs: Shaped[np.ndarray, "B ..."],
        legal: Bool[np.ndarray, "B A"],
    ) -> np.ndarray:
        policy = self.model.policy
        tensor = policy.obs_to_tensor(self.see(obs))[0]
        known = policy.get_distribution(tensor, **self._given(legal))
        probs = to_numpy(known.distribution.probs).astype(np.float64)
        probs = np.where(legal, probs, 0.0)
        total = probs.sum(1, keepdims=True)
        uniform = legal / legal.sum(1, keepdims=True)
        return np.where(total > 0, probs / np.maximum(total, 1e-30), uniform)
