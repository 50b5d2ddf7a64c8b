"""OpenSpiel's own games: their names, parameters and constants."""

import dataclasses
import difflib
import functools
import re
from collections.abc import Iterator
from typing import Any, cast

import numpy as np

from bestreply.games.spaces import WAIT
from bestreply.utils.spec import Spec

MAX_ACTIONS = 2**16
"""Largest number of actions."""
MAX_ENTRIES = 2**28
"""Largest number of entries of an observation, 1 GB."""
EXAMPLES = "such as goofspiel, markov_soccer or kuhn_poker"
Parameters = tuple[tuple[str, bool | int | float | str], ...]
"""A game's parameters by name, sorted; a parameter that is a game is OpenSpiel's string."""


@dataclasses.dataclass(frozen=True, eq=False)
class Spiel:
    """OpenSpiel's game and its constants."""

    game: Any  # pyspiel.Game
    seats: int
    actions: int  # the null action included
    null: int  # the action of a seat that is not to move
    hidden: bool  # imperfect information
    tensor: str  # the method of a state that gives observations
    shape: tuple[int, ...]  # of an observation
    common: bool  # all seats have the same observation in some play
    marks: np.ndarray  # [N, N, *shape[1:]] float32, the planes of `show_seat`
    action_names: tuple[str, ...]


@functools.lru_cache(maxsize=256)
def spiel_of(name: str, parameters: Parameters) -> Spiel:
    """Return a game of OpenSpiel with its constants.

    Args:
        name: the short name.
        parameters: checked parameters.

    Returns:
        The game; equal arguments give the same object.
    """
    game = load_spiel(name, parameters)
    tensor = _tensor(game)
    shape = tuple(getattr(game, f"{tensor}_shape")())
    shape = shape or (getattr(game, f"{tensor}_size")(),)
    seats, count = game.num_players(), game.num_distinct_actions()
    turns = seats > 1 and _has_turns(game)
    marks = np.eye(seats, dtype=np.float32)
    marks = marks.reshape(seats, seats, *(1,) * (len(shape) - 1))
    return Spiel(
        game=game,
        seats=seats,
        actions=count + turns,
        null=count if turns else 0,
        hidden=_is_hidden(game),
        tensor=tensor,
        shape=shape,
        common=_common(game, tensor),
        marks=np.broadcast_to(marks, (seats, seats, *shape[1:])),
        action_names=_named_actions(game) + (WAIT,) * turns,
    )


def _pyspiel() -> Any:
    try:
        import pyspiel
    except ImportError as error:
        raise ImportError(
            "games of OpenSpiel need the package open_spiel: "
            'pip install "bestreply[openspiel]"'
        ) from error
    return cast(Any, pyspiel)


def load_spiel(name: str, parameters: Parameters) -> Any:
    """Return OpenSpiel's game, a `pyspiel.Game`.

    Args:
        name: the short name.
        parameters: checked parameters.

    Returns:
        The game.

    Raises:
        ValueError: if OpenSpiel refuses the parameters.
    """
    pyspiel, known = _pyspiel(), specification(name)
    try:
        return pyspiel.load_game(name, _nested(name, parameters))
    except (
        pyspiel.SpielError,
        IndexError,
        RuntimeError,  # a number that C++'s int cannot hold
        TypeError,
    ) as error:
        given = ", ".join(f"{k}={v!r}" for k, v in parameters)
        raise ValueError(
            f"OpenSpiel cannot load {name} with {given or 'no parameters'}: {error}. "
            f"Its parameters: {_listed(known)}"
        ) from None


def check_kind(name: str, spiel: Any) -> None:
    """Check that a game can be stepped and observed.

    Args:
        name: its short name.
        spiel: the game, a `pyspiel.Game`.

    Raises:
        ValueError: if it cannot.
    """
    pyspiel, kind, players = _pyspiel(), spiel.get_type(), spiel.num_players()
    full_name = f"openspiel:{name}"
    if kind.dynamics == pyspiel.GameType.Dynamics.MEAN_FIELD:
        raise ValueError(
            f"{full_name} is a mean-field game: expected a game of finitely many "
            f"players, {EXAMPLES}"
        )
    if not 1 <= players <= kind.max_num_players:
        raise ValueError(
            f"{full_name} has {players} player(s) with these parameters: "
            f"expected 1 to {kind.max_num_players}; "
            f"its parameters: {_listed(specification(name))}"
        )
    if kind.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC:
        raise ValueError(
            f"{full_name} samples its chance events itself, independent of a key: "
            "expected a game with explicit chance nodes"
        )
    tensor = _tensor(spiel)
    if not tensor:
        raise ValueError(
            f"{full_name} has no observations: "
            "expected observation_tensor or information_state_tensor"
        )
    # OpenSpiel does not check its numbers: a game of -1 cards corrupts memory.
    actions, steps = spiel.num_distinct_actions(), spiel.max_game_length()
    sizes_fit = 0 < actions <= MAX_ACTIONS and steps > 0
    if (
        not sizes_fit
        or not 0 < getattr(spiel, f"{tensor}_size")() <= MAX_ENTRIES
    ):
        raise ValueError(
            f"{full_name} has {actions} actions and at most {steps} steps with these "
            f"parameters: expected 1 to {MAX_ACTIONS} actions, at least one step, and "
            f"observations of 1 to {MAX_ENTRIES} entries; its parameters: "
            f"{_listed(specification(name))}"
        )


def _tensor(spiel: Any) -> str:
    """Return the method of a state that gives observations, "" if there is none."""
    kind = spiel.get_type()
    if _has_turns(spiel) and kind.provides_information_state_tensor:
        return "information_state_tensor"
    if kind.provides_observation_tensor:
        return "observation_tensor"
    if kind.provides_information_state_tensor:
        return "information_state_tensor"
    return ""


def _has_turns(spiel: Any) -> bool:
    dynamics = _pyspiel().GameType.Dynamics
    return spiel.get_type().dynamics == dynamics.SEQUENTIAL


def _is_hidden(spiel: Any) -> bool:
    information = _pyspiel().GameType.Information
    return spiel.get_type().information == information.IMPERFECT_INFORMATION


def _random_states(spiel: Any, steps: int = 200) -> Iterator[Any]:
    """Yield the decision nodes of a fixed random play; each changes at the next."""
    rng = np.random.default_rng(0)
    state = spiel.new_initial_state()
    for _ in range(steps):
        if state.is_terminal():
            state = spiel.new_initial_state()
        if state.is_chance_node():
            chances = state.chance_outcomes()
            outcomes = [outcome for outcome, prob in chances if prob > 0]
            state.apply_action(rng.choice(outcomes).item())
            continue
        yield state
        seats = range(spiel.num_players())
        legal = [state.legal_actions(seat) or [0] for seat in seats]
        moves = [rng.choice(actions).item() for actions in legal]
        if state.is_simultaneous_node():
            state.apply_actions(moves)
        else:
            state.apply_action(moves[state.current_player()])


def _common(spiel: Any, tensor: str) -> bool:
    """Return whether all seats have the same observations in a fixed random play."""
    seats = range(spiel.num_players())
    if len(seats) == 1:
        return False
    for state in _random_states(spiel):
        first, *others = [getattr(state, tensor)(seat) for seat in seats]
        if any(other != first for other in others):
            return False
    return True


def _named_actions(spiel: Any) -> tuple[str, ...]:
    """Return the names of OpenSpiel's actions, numbers where they do not serve."""
    if _has_turns(spiel):
        return _names_of_turns(spiel)
    count, seats = spiel.num_distinct_actions(), range(spiel.num_players())
    numbers = tuple(map(str, range(count)))
    state = spiel.new_initial_state()
    while state.is_chance_node():
        state.apply_action(state.chance_outcomes()[0][0])
    if not state.is_simultaneous_node():
        return numbers
    if any(len(state.legal_actions(seat)) < count for seat in seats):
        return numbers
    by_seat = {_names_of_seat(state, seat, count) for seat in seats}
    names = by_seat.pop()
    return names if _serve(names) and not by_seat else numbers


def _names_of_turns(spiel: Any) -> tuple[str, ...]:
    """Return names that are the same at all nodes of a fixed random play."""
    count = spiel.num_distinct_actions()
    found: dict[int, set[str]] = {action: set() for action in range(count)}
    for state in _random_states(spiel):
        for action in state.legal_actions():
            text = state.action_to_string(state.current_player(), action)
            found[action].add(text)
    if all(len(names) == 1 for names in found.values()):
        names = tuple(names.pop() for names in found.values())
        if _serve(names) and WAIT not in names:
            return names
    return tuple(map(str, range(count)))


def _serve(names: tuple[str, ...]) -> bool:
    short = all(0 < len(name) <= 32 and "\n" not in name for name in names)
    return short and len(set(names)) == len(names)


def _names_of_seat(state: Any, seat: int, count: int) -> tuple[str, ...]:
    """Return the names of a seat's actions without the seat's mark."""
    # "[P0]Bid: 1", "p0:North"
    mark = re.compile(rf"^\[?p(layer )?{seat}\]?[:\s]*", re.IGNORECASE)
    names = (state.action_to_string(seat, action) for action in range(count))
    return tuple(mark.sub("", name) for name in names)


# -- parameters --------------------------------------------------------------


def specification(name: str) -> dict[str, Any]:
    """Return the parameters of a game with their defaults.

    Args:
        name: the short name.

    Returns:
        Values by name; any value of the right type if there is no default.

    Raises:
        ValueError: if OpenSpiel has no such game.
    """
    for kind in _pyspiel().registered_games():
        if kind.short_name == name:
            return kind.parameter_specification
    names = _pyspiel().registered_names()
    close = difflib.get_close_matches(name, names, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(
        f"game={name!r}: expected a game of OpenSpiel, {EXAMPLES} "
        f"(pyspiel.registered_names() lists all){hint}"
    )


def _listed(known: dict[str, Any]) -> str:
    shown = {
        k: "a game, such as 'matrix_pd()'" if isinstance(v, dict) else repr(v)
        for k, v in known.items()
    }
    return ", ".join(f"{k}={v}" for k, v in shown.items()) or "none"


def checked_parameters(name: str, parameters: dict[str, object]) -> Parameters:
    """Return given parameters as values of OpenSpiel's types.

    Args:
        name: the short name.
        parameters: values by name.

    Returns:
        The parameters, sorted by name.

    Raises:
        ValueError: for an unknown parameter, or a value of another type.
    """
    known = specification(name)
    if unknown := sorted(set(parameters) - set(known)):
        raise ValueError(
            f"{unknown[0]}={parameters[unknown[0]]!r}: expected a parameter of "
            f"openspiel:{name}: {_listed(known)}; or max_steps, show_seat"
        )
    where = f"openspiel:{name}: "
    checked = (
        (k, _checked_value(where + k, v, known[k]))
        for k, v in parameters.items()
    )
    return tuple(sorted(checked))


def _checked_value(name: str, value: Any, like: Any) -> Any:
    """Return `value` in the type of `like`; a bare word (``descending``) is a string."""
    if isinstance(like, dict):
        return game_string(_as_game(name, value))
    if isinstance(value, Spec) and not value.args and not value.settings:
        value = value.name
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(like, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(like):
        raise ValueError(
            f"{name}={value!r}: expected a value of type {type(like).__name__}, "
            f"such as {like!r}"
        )
    return value


def _as_game(name: str, value: Any) -> dict[str, Any]:
    """Return a game that is a parameter as the nested dict that OpenSpiel takes."""
    if isinstance(value, Spec) and not value.args:
        parameters = checked_parameters(value.name, value.settings)
        return {"name": value.name} | _nested(value.name, parameters)
    if not isinstance(value, str):
        raise ValueError(
            f"{name}={value!r}: expected a game as OpenSpiel writes it, "
            "such as 'matrix_pd()'"
        )
    pyspiel = _pyspiel()
    try:
        game = pyspiel.game_parameters_from_string(value)
    except pyspiel.SpielError as error:
        raise ValueError(
            f"{name}={value!r}: expected a game as OpenSpiel writes it; {error}"
        ) from None
    specification(game.get("name", value))  # refuses an unknown name
    return game


def game_string(game: dict[str, object]) -> str:
    """Return a game that is a parameter as text; `_as_game` reads it back.

    Args:
        game: OpenSpiel's parameters of the game, its name included.

    Returns:
        ``matrix_pd()`` for ``{"name": "matrix_pd"}``.
    """
    return _pyspiel().game_parameters_to_string(game)


def _nested(name: str, parameters: Parameters) -> dict[str, Any]:
    """Return parameters as OpenSpiel takes them: games as nested dicts."""
    known = specification(name)
    return {
        k: _as_game(k, v) if isinstance(known[k], dict) else v
        for k, v in parameters
    }
