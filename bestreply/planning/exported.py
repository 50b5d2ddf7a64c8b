"""Exported agents, opened: files of `run.export`, which anyone may have written.

Opening a file runs nothing of it. Its programs are StableHLO; they can compute and
allocate memory, and are refused if they call into other code.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export
from numpy.typing import ArrayLike

from bestreply.planning.checks import (
    as_actions,
    as_numbers,
    check_decision,
    check_shape,
)
from bestreply.planning.container import read_container
from bestreply.planning.export import FORMAT, PLAN_FIELDS, check_program
from bestreply.types import ABSENT, Plan
from bestreply.utils.checks import checked_path, shown, whole_number
from bestreply.utils.compilation import cache_compilations
from bestreply.utils.seeds import checked_seed

State = dict[str, np.ndarray]
"""What an agent remembers, by name: the belief, the last step, a memory's state."""
MAX_STEP = 2**32 - 1
"""Largest number of a step; random draws depend on it."""
PROGRAMS = ("plan", "plan_batch", "act", "renew")


class ExportedAgent:
    """An agent whose programs were read from a file."""

    def __init__(
        self, path: str | Path, arrays: Mapping[str, np.ndarray], facts: Any
    ) -> None:
        """Read the programs of a file.

        Args:
            path: the file, for errors.
            arrays: its programs and arrays.
            facts: its facts.

        Raises:
            ValueError: a program is missing, does more than compute, or does not fit
                its arguments; the platform is another.
        """
        self.facts: dict[str, Any] = facts
        """About the agent: game, actions, programs with arguments and results."""
        self.actions: tuple[str, ...] = tuple(_names(path, facts, "actions"))
        """Names of the actions."""
        self._path, self._arrays = path, dict(arrays)
        self._programs, self._given = {}, {}
        for name in PROGRAMS:
            made = _program(path, name, arrays)
            names = _arguments(path, name, facts, made, arrays)
            self._programs[name] = jax.jit(made.call)
            self._given[name] = names
            if name == "plan":
                self.obs_shape = tuple(made.in_avals[0].shape)
        self._results = tuple(facts["programs"]["act"]["results"])
        self._weights = jax.device_put(
            {name: a for name, a in arrays.items() if name[:6] == "weight"}
        )
        self.others = int(
            jax.eval_shape(self._programs["plan"], *self._inputs("plan"))[
                4
            ].shape[0]
        )
        """Number of opponents, N - 1."""

    def plan(
        self,
        obs: ArrayLike,
        legal: ArrayLike | None = None,
        *,
        belief: ArrayLike | None = None,
    ) -> Plan:
        """Return the plan at one observation, or at each of a batch.

        Args:
            obs: [*obs_shape] or [B, *obs_shape].
            legal: [A] or [B, A] bool; None: every action.
            belief: that of `start`, `act` or an earlier plan; None: that of an
                episode's start. With a leading axis B for a batch.

        Returns:
            The plan as NumPy arrays, with a leading axis B for a batch.

        Raises:
            ValueError: a wrong shape, NaN or infinity in the observation, or no legal
                action.
        """
        obs = as_numbers("obs", obs)
        batch = obs.shape[: max(obs.ndim - len(self.obs_shape), 0)][:1]
        legal = self._checked(obs, legal, batch)
        names = [n for n in self._given["plan"] if n.startswith("belief")]
        before = [self._arrays[name] for name in names]
        if belief is not None:
            before = [np.asarray(x) for x in jax.tree.leaves(belief)]
        elif batch:
            before = [np.broadcast_to(x, (*batch, *x.shape)) for x in before]
        name = "plan_batch" if batch else "plan"
        rest = self._rest(name, 2 + len(before))
        out = self._programs[name](obs, legal, *before, *rest)
        fields = dict(zip(PLAN_FIELDS, jax.device_get(out), strict=True))
        return Plan(**fields, belief=before[0] if len(before) == 1 else before)

    def start(self) -> State:
        """Return the state at the start of a first episode."""
        return {
            name: array
            for name, array in self._arrays.items()
            if name.startswith("state")
        }

    def act(
        self,
        state: State,
        obs: ArrayLike,
        legal: ArrayLike | None = None,
        *,
        others: ArrayLike | None = None,
        seed: int = 0,
        step: int = 1,
    ) -> tuple[State, int, Plan]:
        """Return the state after one step, the action, and its plan.

        Args:
            state: of `start`, `renew` or the step before.
            obs: [*obs_shape].
            legal: [A] bool; None: every action.
            others: [N-1], what the opponents did in the step before, in the order of
                seats after the own one; -1 for a seat that has left. None: the first
                step of an episode, or they cannot be seen.
            seed: seed of the random draws.
            step: number of the step since the session began, from 1.

        Returns:
            The state, the action's index, and the plan; the belief behind it is the
            probability [N-1, G] of each type of each opponent.

        Raises:
            ValueError: as `plan`; or another state or number of opponents, or a step or
                a seed that is no whole number in its range.
        """
        obs = as_numbers("obs", obs)
        legal = self._checked(obs, legal, ())
        if others is None:
            others = np.full(self.others, ABSENT)
        count = len(self.actions)
        others = as_actions("others", others, (self.others,), count)
        remembered = self._ordered(state)
        rest = self._rest("act", 5 + len(state))
        step = whole_number("step", step, 1, MAX_STEP)
        numbers = np.uint32(checked_seed(seed)), np.uint32(step)
        out = self._programs["act"](
            obs, legal, others, *numbers, *remembered, *rest
        )
        named = dict(zip(self._results, jax.device_get(out), strict=True))
        fields = {name: named[name] for name in PLAN_FIELDS}
        plan = Plan(**fields, belief=named["posterior"])
        after = {name: named[name] for name in state}
        return after, int(named["act.action"]), plan

    def renew(self, state: State) -> State:
        """Return the state at the start of a further episode against the same opponents.

        Args:
            state: the state at the end of an episode.

        Raises:
            ValueError: it is no state of this agent.
        """
        remembered = self._ordered(state)
        rest = self._rest("renew", len(state))
        out = self._programs["renew"](*remembered, *rest)
        return dict(zip(state, jax.device_get(out), strict=True))

    def _ordered(self, state: State) -> list[np.ndarray]:
        names = [n for n in self._given["renew"] if n.startswith("state")]
        fits = isinstance(state, Mapping) and set(state) == set(names)
        if not fits or any(
            np.shape(state[name]) != self._arrays[name].shape for name in names
        ):
            raise ValueError(
                f"state={shown(state)}: expected what start(), act() or renew() "
                "returned: agent.act(agent.start(), obs)"
            )
        return [state[name] for name in names]

    def _rest(self, name: str, count: int) -> list[Any]:
        held = self._arrays | self._weights
        return [held[argument] for argument in self._given[name][count:]]

    def _inputs(self, name: str) -> list[Any]:
        legal = np.ones(len(self.actions), bool)
        obs = np.zeros(self.obs_shape, np.float32)
        return [obs, legal, *self._rest(name, 2)]

    def _checked(
        self, obs: np.ndarray, legal: ArrayLike | None, batch: tuple[int, ...]
    ) -> np.ndarray:
        check_shape("obs", obs, (*batch, *self.obs_shape))
        if batch == (0,):
            raise ValueError(
                f"obs of shape {obs.shape}: expected a batch of at least 1"
            )
        shape = (*batch, len(self.actions))
        legal = np.ones(shape, bool) if legal is None else np.asarray(legal)
        check_shape("legal", legal, shape)
        check_decision(obs, legal)
        return legal


def load_export(path: str | Path) -> ExportedAgent:
    """Open an exported agent.

    Nothing in the file is run. Its programs may compute and take memory, and nothing
    else: one with a custom call or a callback is refused.

    Args:
        path: file that `run.export(path)` or `bestreply export` wrote.

    Returns:
        The agent.

    Raises:
        OSError: the file cannot be read.
        ValueError: `path` is no path; it is no whole exported agent, of another format, or has a program
            that does more than compute.
    """
    cache_compilations()
    what = "the path of a file of run.export: br.load_export('agent.bestreply')"
    path = checked_path("path", path, what)
    arrays, facts = read_container(path)
    if (version := facts.get("format")) != FORMAT:
        raise ValueError(
            f"{path}: format={version!r:.40}: expected export format {FORMAT}, the only "
            "one that this version of bestreply reads; export the run again: bestreply "
            "export RUN FILE"
        )
    return ExportedAgent(path, arrays, facts)


def _program(
    path: str | Path, name: str, arrays: Mapping[str, np.ndarray]
) -> export.Exported:
    content = arrays.get(name)
    if content is None or content.dtype != np.uint8:
        raise _unfit(path, f"its program {name!r} is missing")
    try:
        made = export.deserialize(bytearray(content.tobytes()))
        made.mlir_module()
    except Exception as error:  # whatever its parsers raise
        reason = str(error).partition("\n")[0]
        raise _unfit(
            path, f"its program {name!r} cannot be read ({reason:.120})"
        ) from None
    try:
        check_program(made)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    here = jax.default_backend()
    platform = {"gpu": "cuda"}.get(here, here)
    if platform not in made.platforms:
        known = ", ".join(made.platforms)
        raise ValueError(
            f"{path}: platform={platform}: expected one of {known}, for which it was "
            f"exported; export it for this one too: run.export(path, "
            f"platforms=({platform!r},))"
        )
    return made


def _names(path: str | Path, facts: Any, *place: str) -> list[str]:
    found = facts
    for key in place:
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, list) or not all(type(x) is str for x in found):
        raise _unfit(path, f"{'.'.join(place)} is no list of names")
    return found


def _arguments(
    path: str | Path,
    name: str,
    facts: Any,
    made: export.Exported,
    arrays: Mapping[str, np.ndarray],
) -> list[str]:
    """Return the names of a program's arguments; refuse arrays that do not fit them."""
    names = _names(path, facts, "programs", name, "arguments")
    results = _names(path, facts, "programs", name, "results")
    fits = (len(names), len(results)) == (
        len(made.in_avals),
        len(made.out_avals),
    )
    typed = ("obs", "legal", "others", "seed", "step")
    for argument, shaped in zip(names, made.in_avals, strict=False):
        if argument in typed or (name == "plan_batch" and "belief" in argument):
            continue
        held = arrays.get(argument)
        kind = None if held is None else (held.shape, held.dtype)
        fits = fits and kind == (shaped.shape, shaped.dtype)
    if not fits:
        raise _unfit(path, f"its program {name!r} does not fit its arrays")
    return names


def _unfit(path: str | Path, reason: str) -> ValueError:
    return ValueError(
        f"{path}: expected a whole exported agent; {reason}. Export the run again: "
        "bestreply export RUN FILE"
    )
