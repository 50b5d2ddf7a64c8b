"""Players that are functions of NumPy batches, in compiled games and in host games.

A compiled program calls the function once a step, with all seats of all games that it
plays side by side. Memory is an explicit carry of arrays.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, overload

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int32, PRNGKeyArray, PyTree, Shaped

from bestreply.players.base import Player, ScriptedPlayer, draw
from bestreply.players.callback import (
    EXTRAS,
    PlayerFunction,
    Rule,
    call_rule,
    unheld,
)
from bestreply.types import ABSENT, ActorOutput, Array
from bestreply.utils.casts import cast
from bestreply.utils.checks import shown
from bestreply.utils.importing import note_foreign
from bestreply.utils.keys import two_keys
from bestreply.utils.spec import Spec


class FunctionCarry(NamedTuple):
    """The carry of a player that is a function; () for parts that it does not take."""

    memory: PyTree = ()
    own: Any = ()  # [] int32, the own last action
    others: Any = ()  # [N-1] int32 after `see`; [] before it


class FunctionPlayer(Player):
    """A player whose function answers with actions; made by `player`."""

    rule: Rule = eqx.field(static=True)
    memory: PyTree
    name: str = eqx.field(static=True)
    version: int = eqx.field(static=True, default=1)

    def start(self) -> FunctionCarry:
        return _first_carry(self.rule, self.memory)._replace(others=())

    def step(
        self,
        carry: FunctionCarry,
        obs: Array,
        legal: Array,
        key: PRNGKeyArray,
        *,
        others: Array | None = None,
        present: Array | None = None,
    ) -> tuple[FunctionCarry, Int32[Array, ""], ActorOutput]:
        action, memory = _ask(
            self, carry, obs, legal, key=key, others=others, present=present
        )
        after = FunctionCarry(memory, _if_taken(self.rule, "own", action))
        return after, action, ActorOutput()


class FunctionPolicy(ScriptedPlayer):
    """A player whose function answers with its action distribution; made by `player`.

    Its carry holds the other players' last actions between `see` and `remember`.
    """

    rule: Rule = eqx.field(static=True)
    memory: PyTree
    name: str = eqx.field(static=True)
    version: int = eqx.field(static=True, default=1)

    def start(self) -> FunctionCarry:
        return _first_carry(self.rule, self.memory)

    def see(
        self,
        carry: FunctionCarry,
        obs: Shaped[Array, "*obs_shape"],
        others: Int[Array, " others"],
        key: PRNGKeyArray,
    ) -> FunctionCarry:
        return carry._replace(others=_if_taken(self.rule, "others", others))

    def policy(
        self,
        carry: FunctionCarry,
        obs: Array,
        legal: Bool[Array, " A"],
    ) -> Float[Array, " A"]:
        return self._answer(carry, obs, legal)[0]

    def _answer(
        self, carry: FunctionCarry, obs: Array, legal: Array
    ) -> tuple[Array, PyTree]:
        takes = "others" in self.rule.extras
        others = carry.others if takes else None
        return _ask(self, carry, obs, legal, others=others)

    def remember(
        self,
        carry: FunctionCarry,
        obs: Array,
        legal: Bool[Array, " A"],
        action: Int[Array, ""],
    ) -> FunctionCarry:
        memory = carry.memory
        if jax.tree.leaves(memory):
            memory = self._answer(carry, obs, legal)[1]
        return self._after(memory, action)

    def _after(self, memory: PyTree, action: Int[Array, ""]) -> FunctionCarry:
        own = _if_taken(self.rule, "own", jnp.asarray(action, jnp.int32))
        return _first_carry(self.rule, memory)._replace(own=own)

    def step(
        self,
        carry: FunctionCarry,
        obs: Array,
        legal: Array,
        key: PRNGKeyArray,
        *,
        others: Array | None = None,
        present: Array | None = None,
    ) -> tuple[FunctionCarry, Int32[Array, ""], ActorOutput]:
        # As `ScriptedPlayer.step`, with one call of the function in place of two.
        _, act_key = two_keys(key)
        seen = jnp.full(1, ABSENT) if others is None else others
        carry = self.see(carry, obs, seen, key)
        probs, memory = self._answer(carry, obs, legal)
        action = draw(act_key, probs)
        output = ActorOutput(probs=probs, mode=self.mode(carry))
        return self._after(memory, action), action, output


# -- making a player -----------------------------------------------------------------


@overload
def player(
    fn: PlayerFunction,
    *,
    name: str | None = None,
    version: int = 1,
    memory: PyTree = None,
    distribution: bool = False,
) -> FunctionPlayer | FunctionPolicy: ...


@overload
def player(
    fn: None = None,
    *,
    name: str | None = None,
    version: int = 1,
    memory: PyTree = None,
    distribution: bool = False,
) -> Callable[[PlayerFunction], FunctionPlayer | FunctionPolicy]: ...


def player(
    fn: Any = None,
    *,
    name: str | None = None,
    version: int = 1,
    memory: PyTree = None,
    distribution: bool = False,
) -> Any:
    """Return a player from a function of NumPy batches; also a decorator.

    ``fn(obs, legal)`` gets the observations [B, *obs_shape] of B seats, in the game's
    own type, and their legal actions [B, A] bool. It answers with actions [B] int.
    Where it has parameters of these names it also gets

    - `memory`: what it returned in the step before, leaves [B, ...];
    - `others` [B, N-1] int32: the other players' last actions, ego-first, ABSENT (-1)
      before the first step and for a seat that has left;
    - `own` [B] int32: the own last action, ABSENT before the first step;
    - `present` [B, N] bool: the players that are present, ego-first (no distribution);
    - `rng`: a `numpy.random.Generator` derived from the seed of play. Such a function
      is called for one seat at a time (B is 1), so that its draws do not depend on
      the games that are played beside it (no distribution).

    The function must not keep anything from call to call except in `memory`: rows of
    other games, of seats that have left and of games that have ended are among the B.
    It must not call JAX, since a compiled program waits for it.

    Args:
        fn: the function; None: return a decorator with the other arguments.
        name: name in logs and tables; by default the function's.
        version: changes whenever the player would act differently.
        memory: the memory of one seat at the start of an episode, any nesting of
            arrays and numbers; the function then returns (answer, memory). Numbers of
            64 bits are kept as those of 32: floats are rounded, an integer that
            changes is an error. None: no memory.
        distribution: the function answers with probabilities [B, A], 0 for illegal
            actions; the library draws the action and logs its probability, and exact
            best replies to the player can be computed.

    Returns:
        The player.

    Raises:
        ValueError: no function, parameters that no player has, or a memory that is
            no array or has an integer that 32 bits do not hold. In play: an answer or
            a memory of the wrong shape, type or range; an exception of the function is
            not changed.
    """
    if fn is None:
        return functools.partial(
            player,
            name=name,
            version=version,
            memory=memory,
            distribution=distribution,
        )
    if isinstance(fn, Player) or not callable(fn):
        raise ValueError(
            f"fn={' '.join(repr(fn).split()):.100}: expected a function of obs "
            "[B, ...] and legal [B, A]"
        )
    name = _name_of(fn) if name is None else name
    if not isinstance(name, str) or not name:
        raise ValueError(f"name={name!r:.100}: expected a text")
    extras = _extras(fn, name)
    _check_extras(name, extras, memory is not None, distribution)
    note_foreign(getattr(fn, "__module__", None) or type(fn).__module__)
    rule = Rule(fn, extras, distribution)
    kind = FunctionPolicy if distribution else FunctionPlayer
    first = () if memory is None else _first_memory(name, memory)
    return kind(rule=rule, memory=first, name=name, version=version)


def is_rule(thing: Any) -> bool:
    """Return whether an object is called with `obs` and `legal`, as of a plain function.

    Args:
        thing: what a name stands for.
    """
    if isinstance(thing, type | Player) or not callable(thing):
        return False
    try:
        parameters = [*inspect.signature(thing).parameters]
    except (TypeError, ValueError):  # code without a signature
        return False
    return parameters[:2] == ["obs", "legal"]


def as_player(thing: Any) -> str | Spec | Player:
    """Return what takes a seat: a plain function as a player, all else as it is.

    Args:
        thing: a name, a spec, a player or a function.

    Returns:
        The name, spec or player; of equal functions one object.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(thing, str | Spec | Player):
        return thing
    if callable(thing) and not isinstance(thing, type):
        return player_of_rule(thing)
    hint = ""
    if isinstance(thing, type):
        hint = "; it is a class: make an object of it"
    raise ValueError(
        f"player={shown(thing)}: expected a name such as 'random', a Player, or a "
        f"function of obs and legal (br.player){hint}. `bestreply players` lists the "
        "names"
    )


def player_of_rule(fn: PlayerFunction) -> Player:
    """Return the player of a plain function, one object for each function.

    Args:
        fn: the function, as of `player`.
    """
    try:
        hash(fn)
    except TypeError:  # it holds arrays
        return player(fn)
    return _player_of_rule(fn)


@functools.cache
def _player_of_rule(fn: PlayerFunction) -> Player:
    return player(fn)


def _name_of(fn: PlayerFunction) -> str:
    name = getattr(fn, "__name__", type(fn).__name__)
    return name if name.isidentifier() else "function"


def _extras(fn: PlayerFunction, name: str) -> tuple[str, ...]:
    """Return those of `EXTRAS` that a function takes beside obs and legal."""
    try:
        parameters = [*inspect.signature(fn).parameters.values()]
    except (TypeError, ValueError):  # code without a signature
        return ()
    by_place = [p for p in parameters if p.kind <= p.POSITIONAL_OR_KEYWORD]
    takes_any = any(p.kind == p.VAR_POSITIONAL for p in parameters)
    rest = [
        p
        for p in parameters
        if p not in by_place[:2]
        and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    unknown = [
        p.name for p in rest if p.name not in EXTRAS and p.default is p.empty
    ]
    if unknown or (len(by_place) < 2 and not takes_any):
        raise ValueError(
            f"player={name!r}: expected a function of obs, legal and, as far as it "
            f"needs them, {', '.join(EXTRAS)}; it takes "
            f"{', '.join(p.name for p in parameters) or 'nothing'}"
        )
    return tuple(p.name for p in rest if p.name in EXTRAS)


def _check_extras(
    name: str, extras: tuple[str, ...], has_memory: bool, distribution: bool
) -> None:
    if has_memory and "memory" not in extras:
        raise ValueError(
            f"player={name!r}: expected a function with a parameter `memory`, since "
            "a memory is given"
        )
    if "memory" in extras and not has_memory:
        raise ValueError(
            f"player={name!r}: memory=None: expected the memory at the start of an "
            "episode, since the function takes one, such as memory=np.zeros(3)"
        )
    wrong = [e for e in ("rng", "present") if distribution and e in extras]
    if wrong:
        raise ValueError(
            f"player={name!r}: expected a function without {' and '.join(wrong)}, "
            "since it states its distribution; the library draws its actions"
        )


def _first_memory(name: str, memory: PyTree) -> PyTree:
    def leaf(path: Any, value: Any) -> np.ndarray:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise ValueError(
                f"player={name!r}: memory={value!r:.100}: expected arrays of numbers"
            )
        dtype = np.dtype(jax.dtypes.canonicalize_dtype(array.dtype))
        new, changed = cast(array, dtype)
        if changed:
            raise ValueError(f"player={name!r}: {unheld(path, changed, dtype)}")
        return new

    return jax.tree_util.tree_map_with_path(leaf, memory)


def _first_carry(rule: Rule, memory: PyTree) -> FunctionCarry:
    absent = np.int32(ABSENT)
    return FunctionCarry(
        memory,
        _if_taken(rule, "own", absent),
        _if_taken(rule, "others", absent),
    )


def _if_taken(rule: Rule, extra: str, value: Any) -> Any:
    return value if extra in rule.extras else ()


def _ask(
    player: FunctionPlayer | FunctionPolicy,
    carry: FunctionCarry,
    obs: Array,
    legal: Array,
    *,
    key: PRNGKeyArray | None = None,
    others: Array | None = None,
    present: Array | None = None,
) -> tuple[Array, PyTree]:
    """Return the function's answer and its memory, for one example."""
    if others is None:  # unknown, as before the first step
        others = jnp.full(1, ABSENT, jnp.int32)
    if present is None:
        present = jnp.ones(len(others) + 1, bool)
    values = {
        "memory": jax.tree.map(jnp.asarray, carry.memory),
        "own": carry.own,
        "others": others,
        "present": present,
        "rng": None if key is None else jax.random.key_data(key),
    }
    taken = {extra: values[extra] for extra in player.rule.extras}
    obs, legal = jnp.asarray(obs), jnp.asarray(legal)
    return call_rule(player.rule, player.name, obs, legal, taken)
