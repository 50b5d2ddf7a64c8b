"""A proof, from a player's program, that its policy ignores the cells of other players.

The analysis follows a program operation by operation. An element of a result depends on a
hidden input if an element that it is computed from does; for an unknown operation, every
element of its results depends on every element of its operands. The analysis is sound but
incomplete: "independent" is a proof, "dependent" may be a false alarm.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

from bestreply.games.grid import GridGame, GridState
from bestreply.players.base import ScriptedPlayer
from bestreply.utils.quick import quickly

# Operations by the operand elements that an element of the result is computed from: those in
# the same place; one of the operands' elements, moved; those along some axes; one element of
# the first operand, chosen by indices. Last, calls of another program.
ELEMENTWISE = frozenset((
    "abs", "add", "and", "clamp", "convert_element_type", "copy", "div", "eq",
    "exp", "floor", "ge", "gt", "integer_pow", "is_finite", "le", "log", "lt",
    "max", "min", "mul", "ne", "neg", "not", "or", "pow", "rem", "round",
    "select_n", "sign", "sqrt", "square", "sub", "xor",
))  # fmt: skip
REARRANGED = frozenset((
    "broadcast_in_dim", "concatenate", "pad", "reshape", "rev", "slice", "squeeze",
    "stack", "transpose",
))  # fmt: skip
REDUCED = frozenset((
    "argmax", "argmin", "reduce_and", "reduce_max", "reduce_min", "reduce_or",
    "reduce_prod", "reduce_sum",
))  # fmt: skip
INDEXED = frozenset(("dynamic_slice", "gather"))
CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
}


def ignores_other_players(
    game: GridGame, player: ScriptedPlayer, seat: int
) -> bool:
    """Return whether the policy of `player` provably ignores the other players' cells.

    Args:
        game: a grid game.
        player: a player without memory.
        seat: its seat.

    Returns:
        False if there is no proof.
    """
    try:
        return _ignores(game, player, seat)
    except TypeError:  # settings or arrays that have no hash
        return _ignores.__wrapped__(game, player, seat)


@functools.cache
def _ignores(game: GridGame, player: ScriptedPlayer, seat: int) -> bool:
    n, others = game.num_players, np.arange(game.num_players) != seat

    def policy(cell: jax.Array, state: GridState) -> jax.Array:
        state = GridState(
            cell,
            state.left,
            state.blocks,
            state.thing_cell,
            state.thing_present,
            state.time,
        )
        return player.policy(
            player.start(), game.observe(state)[seat], game.legal(state)[seat]
        )

    state = jax.eval_shape(game.start, jax.random.key(0))
    hidden = (others, jax.tree.map(lambda x: np.zeros(x.shape, bool), state))
    args = (jax.ShapeDtypeStruct((n,), jnp.int32), state)
    return not depends(policy, args, hidden)


def depends(
    function: Callable[..., Any], args: tuple[Any, ...], hidden: tuple[Any, ...]
) -> bool:
    """Return whether a result of `function` may depend on hidden elements of its arguments.

    Args:
        function: a function of arrays that JAX can trace.
        args: its arguments, or their shapes.
        hidden: the same trees with bool arrays; True marks a hidden element.

    Returns:
        False if no element of the result depends on a hidden element.
    """
    program = jax.make_jaxpr(function)(*args)

    @quickly()
    def follow(consts: list[Any], masks: list[jax.Array]) -> list[jax.Array]:
        marks = [AbstractArray(None, mask) for mask in masks]
        results = _follow(program.jaxpr, consts, marks)
        return [result.hidden.any() for result in results]

    masks = jax.tree.leaves(hidden)
    return any(map(bool, follow(list(program.consts), masks)))


class AbstractArray(NamedTuple):
    """The properties of one array of a program."""

    value: Any
    """The array, if it is computed from constants alone; otherwise None."""
    hidden: jax.Array
    """bool, of its shape: the elements that may depend on hidden ones."""


def _constant(value: Any) -> AbstractArray:
    return AbstractArray(value, jnp.zeros(np.shape(value), bool))


def _follow(
    program: Any, consts: list[Any], args: list[AbstractArray]
) -> list[AbstractArray]:
    """Return the results of a program."""
    known = dict(zip(program.constvars, map(_constant, consts), strict=True))
    known |= dict(zip(program.invars, args, strict=True))

    def read(x: Any) -> AbstractArray:
        return _constant(x.val) if isinstance(x, Literal) else known[x]

    for line in program.eqns:
        results = _results(line, [read(x) for x in line.invars])
        known |= dict(zip(line.outvars, results, strict=True))
    return [read(x) for x in program.outvars]


def _results(line: Any, args: list[AbstractArray]) -> list[AbstractArray]:
    name = line.primitive.name
    if name in CALLS:
        inner = line.params[CALLS[name]]
        return _follow(inner.jaxpr, inner.consts, args)
    if all(a.value is not None for a in args) and not line.effects:
        out = line.primitive.bind(*(a.value for a in args), **line.params)
        values = out if line.primitive.multiple_results else [out]
        return [_constant(value) for value in values]
    shapes = [out.aval.shape for out in line.outvars]
    hidden = _hidden(line, args) if len(shapes) == 1 else None
    if hidden is None:
        hidden = _any_of([a.hidden.any() for a in args])
    return [
        AbstractArray(None, jnp.broadcast_to(hidden, shape)) for shape in shapes
    ]


def _any_of(masks: list[jax.Array]) -> jax.Array:
    return functools.reduce(jnp.logical_or, masks, jnp.zeros((), bool))


def _hidden(line: Any, args: list[AbstractArray]) -> jax.Array | None:
    """Return the dependent elements of an operation's one result; None: unknown operation."""
    name, first = line.primitive.name, args[0].hidden
    masks = [a.hidden for a in args]
    indices = [a.value for a in args[1:]]
    if name in ELEMENTWISE:
        return _any_of(masks)
    if name in REDUCED and len(args) == 1:
        return first.any(tuple(line.params["axes"]))
    if name in REARRANGED:
        return line.primitive.bind(*masks, **line.params)
    if name in INDEXED and all(value is not None for value in indices):
        return line.primitive.bind(first, *indices, **line.params)
    if (
        name == "gather"
    ):  # indices that are not constant: one row for each element
        offset = tuple(line.params["dimension_numbers"].offset_dims)
        return jnp.expand_dims(masks[1].any(-1), offset) | first.any()
    return None
