"""An agent as compiled programs in one file, which plans without this library.

Programs are StableHLO, serialised by `jax.export`; weights are arrays beside them. What
an agent remembers is explicit: `plan` takes a belief, `act` takes and returns a state.
"""

import importlib.metadata
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jaxtyping import PRNGKeyArray, PyTree

from bestreply.games.base import Game
from bestreply.opponents.base import present_seats
from bestreply.planning.agent import Agent, Memory, _plan
from bestreply.planning.base import DecisionPoint
from bestreply.planning.batching import undivided
from bestreply.planning.container import write_container
from bestreply.planning.packed import packed
from bestreply.types import Plan

FORMAT = 1
"""Version of the file: programs, their arguments and results."""
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
"""Where a program can run."""
PLAN_FIELDS = ("scores", "reward", "value", "action", "others")
"""Results of a plan, in the order of every program."""


class Named(NamedTuple):
    """The leaves of a PyTree with names, in order."""

    names: tuple[str, ...]
    leaves: tuple[Any, ...]
    tree: Any

    def of(self, leaves: Sequence[Any]) -> Any:
        """Return the PyTree of other leaves."""
        return jax.tree.unflatten(self.tree, leaves)


def named(prefix: str, tree: PyTree) -> Named:
    """Return the leaves of a tree as arrays, named after their place.

    Args:
        prefix: beginning of every name.
        tree: PyTree of arrays.
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(tree)
    names = [
        re.sub(r"[^\w]+", ".", prefix + jax.tree_util.keystr(path)).strip(".")
        for path, _ in paths
    ]
    leaves = tuple(np.asarray(leaf) for _, leaf in paths)
    if len(set(names)) < len(names):
        names = [f"{name}.{k}" for k, name in enumerate(names)]
    return Named(tuple(names), leaves, structure)


class _Program(NamedTuple):
    """A function of named arrays, to be exported."""

    call: Callable[..., Any]
    arguments: tuple[str, ...]
    results: tuple[str, ...]


def export_agent(
    agent: Agent,
    path: str | Path,
    facts: dict[str, Any],
    *,
    platforms: Sequence[str] = ("cpu",),
) -> Path:
    """Write an agent as programs and arrays.

    Args:
        agent: the agent.
        path: the file to write or replace.
        facts: about the run, for readers.
        platforms: where the programs can run: cpu, cuda, rocm, tpu.

    Returns:
        The file.

    Raises:
        ValueError: the agent cannot be compiled into such programs, because it calls
            Python while it plans, or a platform is unknown; `path` is a folder, or in
            one that does not exist.
    """
    path = Path(path)
    if path.is_dir() or not path.parent.is_dir():
        is_folder = (
            "it is a folder" if path.is_dir() else "there is no such folder"
        )
        raise ValueError(
            f"path={path}: expected a file to write, in a folder that exists; {is_folder}"
        )
    unknown = sorted(set(platforms) - set(PLATFORMS))
    if unknown or not platforms:
        raise ValueError(
            f"platforms={tuple(platforms)!r}: expected some of {', '.join(PLATFORMS)}"
        )
    weights, rebuilt = _weights(agent)
    start, belief, drawn = _starts(agent)
    programs = {
        "plan": _plan_program(rebuilt, weights, belief, drawn),
        "act": _act_program(rebuilt, weights, start),
        "renew": _renew_program(rebuilt, weights, start),
    }
    given = [weights, start, belief, drawn]
    arrays = {
        name: leaf
        for group in given
        for name, leaf in zip(group.names, group.leaves, strict=True)
    }
    return _write(path, agent, facts, programs, arrays, tuple(platforms))


def _weights(agent: Agent) -> tuple[Named, Callable[[Sequence[Any]], Agent]]:
    """Return an agent's arrays, and a function that rebuilds the agent from them."""
    parts = packed(agent)
    if parts is None:
        raise ValueError(
            f"agent={agent.name}: expected an agent of arrays and hashable settings"
        )
    structure, leaves = parts
    held = [k for k, leaf in enumerate(leaves) if leaf is not None]
    weights = named("weight", [leaves[k] for k in held])

    def rebuilt(given: Sequence[Any]) -> Agent:
        every: list[Any] = [None] * len(leaves)
        for place, leaf in zip(held, given, strict=True):
            every[place] = leaf
        return structure.rebuild(tuple(every))

    return weights, rebuilt


def _starts(agent: Agent) -> tuple[Named, Named, Named]:
    """Return the state and the belief of an episode's start, and the plan's draws."""
    start, belief, drawn = _drawn_starts(agent, jax.random.key(0))
    return (
        named("state", start),
        named("belief", belief),
        named("drawn", drawn),
    )


@eqx.filter_jit
def _drawn_starts(agent: Agent, key: PRNGKeyArray) -> tuple[Any, Any, Any]:
    return agent.start(), agent.opponents.init(), agent.draw_plan(key)


def _plan_program(
    rebuilt: Callable[[Sequence[Any]], Agent],
    weights: Named,
    belief: Named,
    drawn: Named,
) -> _Program:
    """Return `Agent.plan` as a function of arrays alone."""
    kinds = "obs", "legal"
    count, draws = len(belief.names), len(drawn.names)

    def plan(obs: Any, legal: Any, *rest: Any) -> tuple[Any, ...]:
        before, numbers = rest[:count], rest[count : count + draws]
        agent = rebuilt(rest[count + draws :])
        present = present_seats(agent.game, obs)
        at = DecisionPoint(obs, legal, present, belief.of(before))
        key = agent.key_of(drawn.of(numbers))
        return _fields(_plan(agent.models, at, key))

    arguments = (*kinds, *belief.names, *drawn.names, *weights.names)
    return _Program(plan, arguments, PLAN_FIELDS)


def _act_program(
    rebuilt: Callable[[Sequence[Any]], Agent], weights: Named, start: Named
) -> _Program:
    """Return one step of the agent as a function of its state."""
    kinds = "obs", "legal", "others", "seed", "step"
    count = len(start.names)

    def act(
        obs: Any, legal: Any, others: Any, seed: Any, step: Any, *rest: Any
    ) -> tuple[Any, ...]:
        agent = rebuilt(rest[count:])
        memory: Memory = start.of(rest[:count])
        key = jax.random.fold_in(jax.random.key(seed), step)
        after, action, output = agent._step(
            memory, obs, legal, key, others, None
        )
        belief = agent.opponents.posterior(after.at.belief)
        state = jax.tree.leaves(after)
        return action, belief, *_fields(output.plan), *state

    results = ("act.action", "posterior", *PLAN_FIELDS, *start.names)
    return _Program(act, (*kinds, *start.names, *weights.names), results)


def _renew_program(
    rebuilt: Callable[[Sequence[Any]], Agent], weights: Named, start: Named
) -> _Program:
    """Return the state at a further episode's start as a function of the last one."""
    count = len(start.names)

    def renew(*given: Any) -> tuple[Any, ...]:
        agent = rebuilt(given[count:])
        return tuple(jax.tree.leaves(agent.renew(start.of(given[:count]))))

    return _Program(renew, (*start.names, *weights.names), start.names)


def _fields(plan: Plan) -> tuple[Any, ...]:
    return tuple(getattr(plan, name) for name in PLAN_FIELDS)


def _write(
    path: str | Path,
    agent: Agent,
    facts: dict[str, Any],
    programs: dict[str, _Program],
    arrays: dict[str, np.ndarray],
    platforms: tuple[str, ...],
) -> Path:
    game = agent.game
    shapes = _shapes(game, arrays)
    written: dict[str, np.ndarray] = {}
    for name, program in programs.items():
        given = [shapes[argument] for argument in program.arguments]
        written[name] = _serialised(program.call, given, platforms)
    written["plan_batch"] = _batched(programs["plan"], shapes, platforms)
    signatures = {
        name: {"arguments": p.arguments, "results": p.results}
        for name, p in programs.items()
    }
    signatures["plan_batch"] = signatures["plan"]
    about = facts | {
        "format": FORMAT,
        "actions": list(game.action_names),
        "obs_shape": list(game.obs_shape),
        "players": game.num_players,
        "planner": agent.config.planner,
        "platforms": list(platforms),
        "programs": signatures,
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("bestreply", "jax")
        },
    }
    return write_container(path, written | arrays, about)


def _shapes(
    game: Game, arrays: dict[str, np.ndarray]
) -> dict[str, jax.ShapeDtypeStruct]:
    """Return shape and type of every argument by name."""
    inputs = {
        "obs": jax.ShapeDtypeStruct(game.obs_shape, jnp.float32),
        "legal": jax.ShapeDtypeStruct((game.num_actions,), jnp.bool_),
        "others": jax.ShapeDtypeStruct((game.num_players - 1,), jnp.int32),
        "seed": jax.ShapeDtypeStruct((), jnp.uint32),
        "step": jax.ShapeDtypeStruct((), jnp.uint32),
    }
    return inputs | {
        name: jax.ShapeDtypeStruct(a.shape, a.dtype)
        for name, a in arrays.items()
    }


def _batched(
    program: _Program,
    shapes: dict[str, jax.ShapeDtypeStruct],
    platforms: tuple[str, ...],
) -> np.ndarray:
    """Return the serialised plan of any number of observations."""
    (count,) = export.symbolic_shape("b")
    mapped = [
        name in ("obs", "legal") or name.startswith("belief")
        for name in program.arguments
    ]
    given = [
        jax.ShapeDtypeStruct((count, *shapes[name].shape), shapes[name].dtype)
        if has_batch
        else shapes[name]
        for name, has_batch in zip(program.arguments, mapped, strict=True)
    ]
    axes = [0 if has_batch else None for has_batch in mapped]
    with undivided():
        return _serialised(jax.vmap(program.call, axes), given, platforms)


def _serialised(
    call: Callable[..., Any], given: Sequence[Any], platforms: tuple[str, ...]
) -> np.ndarray:
    try:
        made = export.export(jax.jit(call), platforms=platforms)(*given)
    except NotImplementedError as error:  # JAX exports no host callback
        raise ValueError(
            f"planner: expected computation alone; {str(error)[:200]}. An agent that "
            "calls Python while it plans cannot be exported"
        ) from error
    check_program(made)
    return np.frombuffer(made.serialize(), np.uint8)


# -- what a program may contain --------------------------------------------------

ALLOWED_CALLS = (
    "shape_assertion",
    "cu_threefry2x32_ffi",
    "hip_threefry2x32_ffi",
)
"""Custom calls that a program may contain: JAX's check of a batch size, and its random
numbers on a GPU."""
_CALL = re.compile(r"custom_call\s*(?:@([\w.$]+))?")
_OUTSIDE = re.compile(
    r"stablehlo\.(infeed|outfeed|send|recv|custom_call|composite)\b"
)


def check_program(made: export.Exported) -> None:
    """Refuse a program that does more than compute: calls into other code, or talk.

    Args:
        made: the program.

    Raises:
        ValueError: it has a custom call, a host callback or another effect.
    """
    text = made.mlir_module()
    calls = {name or "?" for name in _CALL.findall(text)}
    unknown = sorted(calls - set(ALLOWED_CALLS))
    unknown += sorted(set(_OUTSIDE.findall(text)) - {"custom_call"})
    if made.ordered_effects or made.unordered_effects:
        unknown.append("a host callback")
    if made.nr_devices != 1:
        unknown.append(f"{made.nr_devices} devices")
    if unknown:
        raise ValueError(
            f"program={made.fun_name!r:.80}: expected computation alone; it contains "
            f"{', '.join(unknown)[:200]}"
        )
