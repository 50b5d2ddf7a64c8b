"""What a player looks at, read off its program: a proof that its choice is the same wherever the other players stand.

A program is a list of elementary operations. An element of any result depends on what is hidden if an element that it is made of
does; an operation that is not known here is taken to make every element of its results of all elements that go in. What is so found
not to depend, does not; what is found to depend may still not.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

from bestreply.games.grid import GridGame, GridState
from bestreply.players.base import ScriptedPlayer

# Operations by what an element of their result is made of: the elements in its place; one of the operands'; those along some axes; one
# of the first operand's, which indices name. Last, programs within the program.
ELEMENT_BY_ELEMENT = frozenset(
    name
    for names in (
        (
            "abs",
            "add",
            "and",
            "clamp",
            "convert_element_type",
            "copy",
            "div",
            "eq",
            "exp",
            "floor",
            "ge",
        ),
        (
            "gt",
            "integer_pow",
            "is_finite",
            "le",
            "log",
            "lt",
            "max",
            "min",
            "mul",
            "ne",
            "neg",
            "not",
            "or",
        ),
        (
            "pow",
            "rem",
            "round",
            "select_n",
            "sign",
            "sqrt",
            "square",
            "sub",
            "xor",
        ),
    )
    for name in names
)
REARRANGED = frozenset(
    (
        "broadcast_in_dim",
        "concatenate",
        "pad",
        "reshape",
        "rev",
        "slice",
        "squeeze",
        "stack",
        "transpose",
    )
)
REDUCED = frozenset(
    (
        "argmax",
        "argmin",
        "reduce_and",
        "reduce_max",
        "reduce_min",
        "reduce_or",
        "reduce_prod",
        "reduce_sum",
    )
)
PICKED = frozenset(("dynamic_slice", "gather"))
CALLED = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
}


def keeps_to_its_cell(
    game: GridGame, player: ScriptedPlayer, seat: int
) -> bool:
    """Whether `player` in `seat` provably acts alike wherever the other players stand. False: it could not be proved."""
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
    return not depends(
        policy, (jax.ShapeDtypeStruct((n,), jnp.int32), state), hidden
    )


def depends(
    function: Callable[..., Any], args: tuple[Any, ...], hidden: tuple[Any, ...]
) -> bool:
    """Whether any element of what `function` gives may depend on elements of `args` that `hidden` (the same tree) marks."""
    program = jax.make_jaxpr(function)(*args)
    marks = [Known(None, np.asarray(h)) for h in jax.tree.leaves(hidden)]
    return any(
        bool(out.hidden.any())
        for out in _follow(program.jaxpr, program.consts, marks)
    )


class Known(NamedTuple):
    """What is known of one array of a program."""

    value: Any  # the array, where it is made of constants alone; otherwise None
    hidden: (
        np.ndarray
    )  # bool, of its shape: which elements may depend on what is hidden


def _constant(value: Any) -> Known:
    return Known(value, np.zeros(np.shape(value), bool))


def _follow(program: Any, consts: list[Any], args: list[Known]) -> list[Known]:
    """What is known of a program's results."""
    known = dict(zip(program.constvars, map(_constant, consts), strict=True))
    known |= dict(zip(program.invars, args, strict=True))

    def read(x: Any) -> Known:
        return _constant(x.val) if isinstance(x, Literal) else known[x]

    for line in program.eqns:
        known |= dict(
            zip(
                line.outvars,
                _results(line, [read(x) for x in line.invars]),
                strict=True,
            )
        )
    return [read(x) for x in program.outvars]


def _results(line: Any, args: list[Known]) -> list[Known]:
    name, shapes = line.primitive.name, [out.aval.shape for out in line.outvars]
    if name in CALLED:
        inner = line.params[CALLED[name]]
        return _follow(inner.jaxpr, inner.consts, args)
    if all(a.value is not None for a in args) and not line.effects:
        out = line.primitive.bind(*(a.value for a in args), **line.params)
        return [
            _constant(x)
            for x in (out if line.primitive.multiple_results else [out])
        ]
    hidden = _hidden(line, args) if len(shapes) == 1 else None
    if hidden is None:
        hidden = any(a.hidden.any() for a in args)
    return [Known(None, np.broadcast_to(hidden, shape)) for shape in shapes]


def _hidden(line: Any, args: list[Known]) -> np.ndarray | None:
    """Which elements of an operation's one result may depend; None: not known for this one."""
    name, first = line.primitive.name, args[0]
    if name in ELEMENT_BY_ELEMENT:
        return np.asarray(
            np.any(np.stack(np.broadcast_arrays(*(a.hidden for a in args))), 0)
        )
    if name in REDUCED and len(args) == 1:
        return np.asarray(first.hidden.any(tuple(line.params["axes"])))
    if name in REARRANGED:
        return np.asarray(
            line.primitive.bind(
                *(jnp.asarray(a.hidden) for a in args), **line.params
            )
        )
    if name in PICKED and all(a.value is not None for a in args[1:]):
        out = line.primitive.bind(
            jnp.asarray(first.hidden),
            *(a.value for a in args[1:]),
            **line.params,
        )
        return np.asarray(out)
    if name == "gather":  # each by a row of indices of its own
        rows = np.expand_dims(
            args[1].hidden.any(-1),
            tuple(line.params["dimension_numbers"].offset_dims),
        )
        return np.asarray(rows | first.hidden.any())
    return None
