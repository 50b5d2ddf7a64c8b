"""OpenSpiel's own games: which there are, their parameters, and what is asked of one over and over."""

import dataclasses
import functools
import re
from typing import Any, cast

import numpy as np

from bestreply.utils.spec import Spec

Parameters = tuple[tuple[str, bool | int | float | str], ...]
"""A game's parameters, sorted by name; one that is itself a game is OpenSpiel's string of it."""


@dataclasses.dataclass(frozen=True, eq=False)
class Spiel:
    """OpenSpiel's game beside what every step asks of it."""

    game: Any  # pyspiel.Game
    seats: int
    actions: int
    tensor: str  # the method of a state that gives observations
    shape: tuple[int, ...]  # of what it gives
    common: bool  # all seats see the same, as far as some play shows
    marks: (
        np.ndarray
    )  # [N, N, *shape[1:]] float32, what `show_seat` adds for each seat
    action_names: tuple[str, ...]


@functools.lru_cache(maxsize=256)
def spiel_of(name: str, parameters: Parameters) -> Spiel:
    game = load_spiel(name, parameters)
    tensor = _tensor(game)
    shape = tuple(getattr(game, f"{tensor}_shape")()) or (
        getattr(game, f"{tensor}_size")(),
    )
    seats, actions = game.num_players(), game.num_distinct_actions()
    marks = np.eye(seats, dtype=np.float32).reshape(
        seats, seats, *(1,) * (len(shape) - 1)
    )
    marks = np.broadcast_to(marks, (seats, seats, *shape[1:]))
    return Spiel(
        game,
        seats,
        actions,
        tensor,
        shape,
        _common(game, tensor),
        marks,
        _named_actions(game),
    )


def _pyspiel() -> Any:
    try:
        import pyspiel
    except ImportError as error:
        raise ImportError(
            'games of OpenSpiel need the package open_spiel: pip install "bestreply[openspiel]"'
        ) from error
    return cast(Any, pyspiel)


def supported_games() -> tuple[str, ...]:
    """Short names of OpenSpiel's simultaneous-move games.

    Some want a parameter (``repeated_game(stage_game=matrix_pd(), num_repetitions=10)``). Transformations of
    games (``misere(game=goofspiel())``) are not listed; they are simultaneous where the game inside is.
    """
    pyspiel = _pyspiel()
    simultaneous = pyspiel.GameType.Dynamics.SIMULTANEOUS
    return tuple(
        sorted(
            k.short_name
            for k in pyspiel.registered_games()
            if k.dynamics == simultaneous
        )
    )


def load_spiel(name: str, parameters: Parameters) -> Any:
    """`pyspiel.Game`; `parameters` are checked."""
    pyspiel, known = _pyspiel(), specification(name)
    try:
        return pyspiel.load_game(name, _nested(name, parameters))
    except (pyspiel.SpielError, IndexError) as error:
        given = (
            ", ".join(f"{k}={v!r}" for k, v in parameters) or "no parameters"
        )
        raise ValueError(
            f"OpenSpiel cannot load {name} with {given}: {error}. Its parameters: {_listed(known)}"
        ) from None


def check_kind(name: str, spiel: Any) -> None:
    """Raises ValueError for a game that is not simultaneous, or cannot be stepped or seen as `Game` wants."""
    pyspiel, kind, players = _pyspiel(), spiel.get_type(), spiel.num_players()
    dynamics = pyspiel.GameType.Dynamics
    if kind.dynamics != dynamics.SIMULTANEOUS:
        other = (
            "turn-taking"
            if kind.dynamics == dynamics.SEQUENTIAL
            else "mean-field"
        )
        raise ValueError(
            f"openspiel:{name} is a {other} game; expected: one where players move at the same time: "
            f"{', '.join(supported_games())}"
        )
    if not 2 <= players <= kind.max_num_players:
        raise ValueError(
            f"openspiel:{name} has {players} player(s) with these parameters; "
            f"expected: 2 to {kind.max_num_players}; what it takes: {_listed(specification(name))}"
        )
    if kind.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC:
        raise ValueError(
            f"openspiel:{name} draws its chance events itself, so that a key cannot decide them; "
            "expected: a game with explicit chance nodes"
        )
    if not _tensor(spiel):
        raise ValueError(
            f"openspiel:{name} gives no observation_tensor or information_state_tensor; expected: one"
        )


def _tensor(spiel: Any) -> str:
    """The method of a state that gives observations; "" where there is none."""
    kind = spiel.get_type()
    if kind.provides_observation_tensor:
        return "observation_tensor"
    return (
        "information_state_tensor"
        if kind.provides_information_state_tensor
        else ""
    )


def _common(spiel: Any, tensor: str, steps: int = 200) -> bool:
    """Whether all seats see the same in some random play, always the same play."""
    rng = np.random.default_rng(0)
    state = spiel.new_initial_state()
    for _ in range(steps):
        if state.is_terminal():
            state = spiel.new_initial_state()
        if state.is_chance_node():
            outcomes = [
                outcome for outcome, prob in state.chance_outcomes() if prob > 0
            ]
            state.apply_action(rng.choice(outcomes).item())
            continue
        first, *others = [
            getattr(state, tensor)(seat) for seat in range(spiel.num_players())
        ]
        if any(other != first for other in others):
            return False
        moves = [
            rng.choice(state.legal_actions(seat) or [0]).item()
            for seat in range(spiel.num_players())
        ]
        if state.is_simultaneous_node():
            state.apply_actions(moves)
        else:
            state.apply_action(moves[state.current_player()])
    return True


def _named_actions(spiel: Any) -> tuple[str, ...]:
    """See `OpenSpielGame.action_names`. Only actions legal at the start are asked for their names."""
    count, seats = spiel.num_distinct_actions(), spiel.num_players()
    numbers = tuple(map(str, range(count)))
    state = spiel.new_initial_state()
    while state.is_chance_node():
        state.apply_action(state.chance_outcomes()[0][0])
    if not state.is_simultaneous_node() or any(
        len(state.legal_actions(s)) < count for s in range(seats)
    ):
        return numbers
    by_seat = []
    for seat in range(seats):
        mark = re.compile(
            rf"^\[?p(layer )?{seat}\]?[:\s]*", re.IGNORECASE
        )  # "[P0]Bid: 1", "p0:North"
        by_seat.append(
            tuple(
                mark.sub("", state.action_to_string(seat, a))
                for a in range(count)
            )
        )
    names = by_seat[0]
    short = all(0 < len(name) <= 32 and "\n" not in name for name in names)
    return (
        names
        if short and len(set(names)) == count and len(set(by_seat)) == 1
        else numbers
    )


# -- parameters --------------------------------------------------------------------------------------------


def specification(name: str) -> dict[str, Any]:
    """The parameters of a game with their defaults (any value of the right type where there is none)."""
    for kind in _pyspiel().registered_games():
        if kind.short_name == name:
            return kind.parameter_specification
    raise ValueError(
        f"OpenSpiel has no game {name!r}; simultaneous-move games: {', '.join(supported_games())}"
    )


def _listed(known: dict[str, Any]) -> str:
    shown = {
        k: "a game, such as 'matrix_pd()'" if isinstance(v, dict) else repr(v)
        for k, v in known.items()
    }
    return ", ".join(f"{k}={v}" for k, v in shown.items()) or "none"


def checked_parameters(name: str, parameters: dict[str, Any]) -> Parameters:
    """The given parameters as values of OpenSpiel's types, sorted by name."""
    known = specification(name)
    if unknown := sorted(set(parameters) - set(known)):
        raise ValueError(
            f"openspiel:{name} has no parameter {', '.join(unknown)}; it has: {_listed(known)}; "
            "and max_steps, show_seat"
        )
    what = f"openspiel:{name}: "
    return tuple(
        sorted(
            (k, _checked_value(what + k, v, known[k]))
            for k, v in parameters.items()
        )
    )


def _checked_value(what: str, value: Any, like: Any) -> Any:
    """`value` as the type of `like`. A bare word is a string, as in ``points_order=descending``."""
    if isinstance(like, dict):
        return game_string(_as_game(what, value))
    if isinstance(value, Spec) and not value.args and not value.settings:
        value = value.name
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(like, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(like):
        raise ValueError(
            f"{what}={value!r}; expected: a value of type {type(like).__name__}, such as {like!r}"
        )
    return value


def _as_game(what: str, value: Any) -> dict[str, Any]:
    """A game that is a parameter, as the nested dict that OpenSpiel takes."""
    if isinstance(value, Spec) and not value.args:
        return {"name": value.name} | _nested(
            value.name, checked_parameters(value.name, value.settings)
        )
    if not isinstance(value, str):
        raise ValueError(
            f"{what}={value!r}; expected: a game as OpenSpiel writes it, such as 'matrix_pd()'"
        )
    pyspiel = _pyspiel()
    try:
        game = pyspiel.game_parameters_from_string(value)
    except pyspiel.SpielError as error:
        raise ValueError(
            f"{what}={value!r} cannot be read as a game: {error}"
        ) from None
    specification(game.get("name", value))  # its name is known
    return game


def game_string(game: dict[str, Any]) -> str:
    """``matrix_pd()`` of ``{"name": "matrix_pd"}``; read back by `_as_game`."""
    return _pyspiel().game_parameters_to_string(game)


def _nested(name: str, parameters: Parameters) -> dict[str, Any]:
    """Parameters as OpenSpiel takes them: games as nested dicts."""
    known = specification(name)
    return {
        k: _as_game(k, v) if isinstance(known[k], dict) else v
        for k, v in parameters
    }
