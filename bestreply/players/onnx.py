"""Players from ONNX files, run by onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from bestreply.players.base import Player
from bestreply.players.function import player
from bestreply.players.network_outputs import (
    View,
    best,
    library,
    seen,
    softmax,
)
from bestreply.utils.untrusted import open_regular

MASKS = ("legal", "mask", "action_mask", "action_masks")
"""Names of an input that is given the legal actions."""
TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}
"""NumPy's type for each type of an input."""


def from_onnx(
    path: str | Path,
    *,
    name: str | None = None,
    version: int = 1,
    view: View | None = None,
    distribution: bool = False,
) -> Player:
    """Return a player from an ONNX file; opening it runs no code of its author.

    The first input is the observations [B, *obs_shape]; an input named legal, mask,
    action_mask or action_masks is the legal actions [B, A]. Further inputs are the
    memory, zeros at the start of an episode; the outputs after the first are the next
    memory, in the same order. The first output is a score for each action [B, A], or
    the actions [B] as whole numbers. Illegal actions are never chosen from scores.

    Args:
        path: the file, with its weights inside.
        name: name in logs and tables; by default the file's.
        version: changes whenever the player would act differently.
        view: from observations [B, *obs_shape] to those of the model, such as
            ``lambda obs: obs[:, :14]``; by default they are reshaped.
        distribution: draw from the softmax of the scores of legal actions, in place
            of the best one.

    Returns:
        The player.

    Raises:
        OSError: the file cannot be read.
        ValueError: no ONNX model, or inputs and outputs of another form.
        ImportError: onnxruntime is not installed.
    """
    name = Path(path).stem if name is None else name
    model = _Model(path, name, view)
    choose = softmax if distribution else best

    def act(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
        return choose(name, model(obs, legal, ())[0], legal)

    def act_with_memory(
        obs: np.ndarray, legal: np.ndarray, memory: tuple[np.ndarray, ...]
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        scores, *later = model(obs, legal, memory)
        return choose(name, scores, legal), tuple(later)

    return player(
        act_with_memory if model.memory else act,
        name=name,
        version=version,
        memory=model.memory or None,
        distribution=distribution,
    )


class _Model:
    """An ONNX model, with what each of its inputs is given."""

    def __init__(self, path: str | Path, name: str, view: View | None) -> None:
        self.path, self.name, self.view = path, name, view
        self.session = _session(path)
        self.first, *rest = self.session.get_inputs()
        self.masks = [x for x in rest if x.name in MASKS]
        self.memories = [x for x in rest if x.name not in MASKS]
        self.memory = tuple(map(self._zeros, self.memories))
        names = [x.name for x in self.session.get_outputs()]
        self.outputs = names[: 1 + len(self.memories)]
        if len(names) < 1 + len(self.memories):
            inputs = [x.name for x in self.session.get_inputs()]
            raise ValueError(
                f"path={path}: outputs {names} for inputs {inputs}: expected that of "
                "the actions, then one for each input of memory"
            )

    def _type(self, given: Any) -> Any:
        if given.type not in TYPES:
            raise ValueError(
                f"path={self.path}: input {given.name} of type {given.type}: "
                f"expected one of {', '.join(TYPES)}"
            )
        return TYPES[given.type]

    def _zeros(self, given: Any) -> np.ndarray:
        """Return one seat's memory of an input [B, ...] at the start."""
        sizes = given.shape[1:]
        if not all(isinstance(size, int) for size in sizes):
            raise ValueError(
                f"path={self.path}: input {given.name} of shape {given.shape}: "
                "expected fixed sizes but for the first axis, the batch"
            )
        return np.zeros(sizes, self._type(given))

    def __call__(
        self,
        obs: Shaped[np.ndarray, "B ..."],
        legal: Bool[np.ndarray, "B A"],
        memory: tuple[np.ndarray, ...],
    ) -> list[np.ndarray]:
        if self.first.shape[:1] != [1]:
            return self._run(obs, legal, memory)
        rows = [slice(row, row + 1) for row in range(len(obs))]
        each = [
            self._run(obs[r], legal[r], [m[r] for m in memory]) for r in rows
        ]
        return [np.concatenate(parts) for parts in zip(*each, strict=True)]

    def _run(
        self, obs: np.ndarray, legal: np.ndarray, memory: Any
    ) -> list[Any]:
        shape = tuple(self.first.shape[1:])
        dtype = self._type(self.first)
        feeds = {self.first.name: seen(self.name, self.view, shape, dtype, obs)}
        for given in self.masks:
            feeds[given.name] = legal.astype(self._type(given))
        for given, value in zip(self.memories, memory, strict=True):
            feeds[given.name] = value.astype(self._type(given))
        return self.session.run(self.outputs, feeds)


def _session(path: str | Path) -> Any:
    onnxruntime = library("onnxruntime", '"bestreply[onnx]"')
    with open_regular(path) as handle:
        content = handle.read()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # an error is raised, not logged too
    try:
        return onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # of several types of its own
        raise ValueError(
            f"path={path}: expected an ONNX model that onnxruntime can load; "
            f"{error!s:.200}"
        ) from None
