"""Every player by name.

A name with settings is a spec: ``noisy(nearest_stag, 0.1)``,
``switching(tit_for_tat, grim, step=5)``.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from bestreply.games import make_game
from bestreply.games.base import Game
from bestreply.players import function, scripted
from bestreply.players.base import Player, ScriptedPlayer, renamed
from bestreply.players.callback import PlayerFunction
from bestreply.players.mixture import PlayerMixture
from bestreply.utils.checks import is_number, shown
from bestreply.utils.importing import is_foreign
from bestreply.utils.names import Names, is_registered
from bestreply.utils.spec import Spec, parse_spec
from bestreply.utils.trust import Trust

MAX_WEIGHT = 1e30
"""Largest weight in a mixture; float32 holds sums of such numbers."""

Maker = Callable[[Spec, Game, int], Player]
"""Makes a player from (spec, game, seat)."""


class Entry(NamedTuple):
    """A player of the zoo."""

    make: Maker
    plays: str  # "any", a game's name, or "a, b"
    summary: str


def make_player(
    spec: str | Spec | Player | PlayerFunction,
    game: Game | str,
    seat: int = 0,
) -> Player:
    """Return a player by name.

    Args:
        spec: the name, with or without settings: one of the zoo, of an installed
            package, or ``module:attr``: a player (`bestreply.player`), a plain
            function of `obs` and `legal`, a class or a factory. Where the latter two
            have parameters `game`, `seat` and `name`, they are given them. A `Player`
            is returned as it is; a plain function becomes one.
        game: the game that it plays, or its name.
        seat: its seat; matters only if payoffs differ by seat.

    Returns:
        The player.

    Raises:
        ValueError: for an unknown name, a game that it does not play, or invalid
            settings.
    """
    spec = function.as_player(spec)
    if isinstance(spec, Player):
        return spec
    game = make_game(game)
    spec = parse_spec(spec) if isinstance(spec, str) else spec
    if spec.name not in ZOO:
        return _of_others(spec, game, seat)
    entry = ZOO[spec.name]
    if entry.plays != "any" and game.name not in entry.plays.split(", "):
        raise ValueError(
            f"player={spec.name!r}: expected a player of {game.name}; "
            f"this one plays {entry.plays}"
        )
    try:
        return entry.make(spec, game, seat)
    except RecursionError as error:
        if is_foreign(error):
            raise
        raise ValueError(
            f"player={spec.name}(...): expected fewer players inside each other"
        ) from None
    except TypeError as error:
        if is_foreign(error):
            raise
        reason = re.sub(r"^\S+<locals>\.make\(\) ", "", str(error))
        raise ValueError(
            f"{spec!s:.200}: {reason:.400}. {spec.name}: {entry.summary}"
        ) from None


def _of_others(spec: Spec, game: Game, seat: int) -> Player:
    """Return a player that is not of the zoo, with the spec as its name in logs."""
    settings = {k: _argument(v, game, seat) for k, v in spec.settings.items()}
    args = tuple(_argument(value, game, seat) for value in spec.args)
    made = NAMES.make(
        Spec(spec.name, args, settings), game=game, seat=seat, name=str(spec)
    )
    return renamed(made, str(spec))


def _argument(value: Any, game: Game, seat: int) -> Any:
    """Return an argument of a player of others: specs as players, other words as text."""
    if isinstance(value, tuple | list):
        return tuple(_argument(entry, game, seat) for entry in value)
    if not isinstance(value, Spec):
        return value
    is_word = not value.args and not value.settings and ":" not in value.name
    known = value.name in ZOO or is_registered("player", value.name)
    if is_word and not known:
        return value.name
    return make_player(value, game, seat)


def players_in_file(
    names: Iterable[str], game: Game, trust: Trust
) -> dict[str, Player]:
    """Return the players that a file names, without those that cannot be made.

    Args:
        names: their names, such as those of a roster.
        game: the game that they play.
        trust: the file, and the modules that it may import.

    Returns:
        The players by name; left out are unknown names, and those that need a module
        that is not allowed.
    """
    players = {}
    for name in names:
        try:
            spec = parse_spec(name)
            NAMES.vet(spec, trust)
            players[name] = make_player(spec, game)
        except ValueError as error:
            if is_foreign(error):
                raise
    return players


def list_players() -> dict[str, str]:
    """Return every player by name, with a line on its rule and its games.

    Players of installed packages are included.
    """
    own = {
        name: f"{entry.summary} [{entry.plays}]" for name, entry in ZOO.items()
    }
    return own | NAMES.summaries()


def standard_players(game: Game) -> tuple[str, ...]:
    """Return the default players of training data and evaluation.

    Args:
        game: the game.

    Returns:
        Their names.
    """
    standard = {
        "stag_hunt": ("nearest_stag", "nearest_hare", "random"),
        "snowdrift": ("nearest_drift", "never_remove", "random"),
        "matrix": ("always_c", "always_d", "tit_for_tat", "random"),
    }
    return standard.get(game.name, ("random",))


# -- makers: the signature of `make` is that of the settings -----------------


def _simple(kind: Callable[[], Player]) -> Maker:
    def make(spec: Spec, game: Game, seat: int) -> Player:
        _refuse_settings(spec)
        return kind()

    return make


def _nearest(thing: str) -> Maker:
    def make(spec: Spec, game: Any, seat: int) -> Player:
        _refuse_settings(spec)
        kind = list(game.kinds).index(thing)
        return scripted.Nearest(name=spec.name, game=game, kind=kind)

    return make


def _refuse_settings(spec: Spec) -> None:
    if spec.args or spec.settings:
        raise TypeError("expected no settings")


def _probability(name: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= 1:
        raise TypeError(f"{name}={value}: expected a probability, 0 to 1")
    return float(value)


def _whole(name: str, value: Any, minimum: int) -> int:
    if type(value) is not int or not minimum <= value < 2**31:
        raise TypeError(
            f"{name}={value}: expected an int, {minimum} or more and below 2^31"
        )
    return value


def _noisy(spec: Spec, game: Game, seat: int) -> Player:
    def make(player: Any, eps: Any) -> Player:
        player = _scripted(player, game, seat)
        eps = _probability("eps", eps)
        return scripted.Noisy(player=player, eps=eps, name=str(spec))

    return make(*spec.args, **spec.settings)


def _mixture(spec: Spec, game: Game, seat: int) -> Player:
    def make(*players: Any, weights: Any = None) -> Player:
        parts = tuple(_part(p, game, seat) for p in players)
        weights = (1.0,) * len(parts) if weights is None else weights
        one_each = (
            isinstance(weights, tuple | list)
            and 0 < len(parts) == len(weights)
            and all(is_number(w) and 0 <= w <= MAX_WEIGHT for w in weights)
        )
        if not one_each or sum(weights) <= 0:
            raise TypeError(
                f"weights={shown(weights)} of {len(parts)} players: expected a weight >= 0 "
                "for each, not all 0"
            )
        shares, name = tuple(map(float, weights)), str(spec)
        known = tuple(p for p in parts if isinstance(p, ScriptedPlayer))
        if len(known) < len(parts):
            return PlayerMixture(players=parts, weights=shares, name=name)
        return scripted.Mixture(players=known, weights=shares, name=name)

    return make(*spec.args, **spec.settings)


def _switching(spec: Spec, game: Game, seat: int) -> Player:
    def make(first: Any, second: Any, **when: Any) -> Player:
        fields = {
            "step": "step_at",
            "random": "random",
            "hazard": "hazard",
            "episode": "episode",
        }
        if len(when) != 1 or not set(when) <= set(fields):
            raise TypeError(
                f"{when or 'no time'} to switch: expected exactly one of step=, "
                "random=, hazard=, episode="
            )
        [(key, value)] = when.items()
        if key == "hazard":
            value = _probability(key, value)
        elif key == "random" and value is True:
            value = game.max_steps
        else:
            value = _whole(key, value, 1 if key == "random" else 0)
        schedule: dict[str, Any] = {fields[key]: value}
        return scripted.Switching(
            first=_scripted(first, game, seat),
            second=_scripted(second, game, seat),
            name=str(spec),
            **schedule,
        )

    return make(*spec.args, **spec.settings)


def _look_alike(spec: Spec, game: Game, seat: int) -> Player:
    def make(player: Any, later: Any, steps: Any) -> Player:
        return scripted.Switching(
            first=_scripted(player, game, seat),
            second=_scripted(later, game, seat),
            step_at=_whole("steps", steps, 0),
            name=str(spec),
        )

    return make(*spec.args, **spec.settings)


def _part(spec: Any, game: Game, seat: int) -> Player:
    if not isinstance(spec, Spec | Player):
        raise TypeError(f"{spec!r}: expected a player")
    return make_player(spec, game, seat)


def _scripted(spec: Any, game: Game, seat: int) -> ScriptedPlayer:
    player = _part(spec, game, seat)
    if not isinstance(player, ScriptedPlayer):
        raise TypeError(
            f"{player.name}: expected a player that states its distribution, such as "
            "a scripted one or br.player(..., distribution=True)"
        )
    return player


def _always(spec: Spec, game: Game, seat: int) -> Player:
    def make(action: Any) -> Player:
        return scripted.Always(action=_index(action, game), name=str(spec))

    return make(*spec.args, **spec.settings)


def _first_legal(spec: Spec, game: Game, seat: int) -> Player:
    def make(*actions: Any) -> Player:
        first = [_index(action, game) for action in actions]
        order = tuple(dict.fromkeys([*first, *range(game.num_actions)]))
        return scripted.FirstLegal(order=order, name=str(spec))

    return make(*spec.args, **spec.settings)


def _index(action: Any, game: Game) -> int:
    """Return the number of an action that is given by name or number."""
    index = action.name if isinstance(action, Spec) else action
    if index in game.action_names:
        index = game.action_names.index(index)
    if type(index) is not int or not 0 <= index < game.num_actions:
        raise TypeError(
            f"action={index!r}: expected an action of {game.name}: "
            f"{', '.join(game.action_names)} (or its number from 0)"
        )
    return index


def _always_index(action: int) -> Maker:
    def make(spec: Spec, game: Game, seat: int) -> Player:
        _refuse_settings(spec)
        if action >= game.num_actions:
            raise TypeError(f"expected more than {action} actions in the game")
        return scripted.Always(action=action, name=spec.name)

    return make


def _with_payoffs(kind: Callable[..., Player]) -> Maker:
    def make(spec: Spec, game: Any, seat: int) -> Player:
        _refuse_settings(spec)
        return kind(payoffs=game.payoffs_of(seat))

    return make


def _equilibrium(spec: Spec, game: Any, seat: int) -> Player:
    """Return a Nash strategy of the stage game; every round of it is an equilibrium."""
    import nashpy

    _refuse_settings(spec)
    if game.num_players != 2:
        raise TypeError(
            f"{game.name} has {game.num_players} players: expected 2 for an equilibrium"
        )
    rows, columns = np.array(game.payoffs_of(0)), np.array(game.payoffs_of(1)).T
    equilibria: Any = list(nashpy.Game(rows, columns).support_enumeration())
    total = rows + columns
    best = max(equilibria, key=lambda pair: float(pair[0] @ total @ pair[1]))
    probs = tuple(float(p) for p in best[seat])
    return scripted.Strategy(probs=probs, name=spec.name)


ZOO: dict[str, Entry] = {
    "random": Entry(
        _simple(scripted.Random), "any", "uniform over legal actions (R)"
    ),
    "nearest_stag": Entry(
        _nearest("stags"),
        "stag_hunt",
        "goes to the nearest stag and waits on it for a partner (NS)",
    ),
    "nearest_hare": Entry(
        _nearest("hares"),
        "stag_hunt",
        "goes to the nearest hare and takes it (NH)",
    ),
    "nearest_drift": Entry(
        _nearest("drifts"),
        "snowdrift",
        "goes to the nearest drift and removes it (ND, the cooperator)",
    ),
    "never_remove": Entry(
        _simple(scripted.NeverRemove),
        "snowdrift",
        "wanders and never removes a drift (FIX, the defector)",
    ),
    "always": Entry(
        _always, "any", "always(ACTION): one action whenever it is legal"
    ),
    "first_legal": Entry(
        _first_legal,
        "any",
        "first_legal(A, B, ...): the first of these actions that is legal, then of all; "
        "in poker it folds or checks",
    ),
    "always_c": Entry(
        _always_index(0), "matrix", "always the first action (cooperate)"
    ),
    "always_d": Entry(
        _always_index(1), "matrix", "always the second action (defect)"
    ),
    "tit_for_tat": Entry(
        _simple(scripted.TitForTat),
        "matrix",
        "cooperates first, then as long as all others did in the last round",
    ),
    "grim": Entry(
        _simple(scripted.Grim),
        "matrix",
        "cooperates until another player defects, then never again",
    ),
    "win_stay_lose_shift": Entry(
        _with_payoffs(scripted.WinStayLoseShift),
        "matrix",
        "repeats an action that paid at least the mean, else shifts",
    ),
    "fictitious_play": Entry(
        _with_payoffs(scripted.FictitiousPlay),
        "matrix",
        "best reply to the action frequencies so far",
    ),
    "equilibrium": Entry(
        _equilibrium,
        "matrix",
        "a Nash strategy of the stage game; of several, that of the largest total payoff",
    ),
    "noisy": Entry(
        _noisy,
        "any",
        "noisy(PLAYER, EPS): PLAYER, with probability EPS a uniform legal action",
    ),
    "mixture": Entry(
        _mixture,
        "any",
        "mixture(A, B, ..., weights=(...)): one of them, drawn at the start of each episode",
    ),
    "switching": Entry(
        _switching,
        "any",
        "switching(A, B, step=K | random=K | hazard=P | episode=K): A, then B until the end",
    ),
    "look_alike": Entry(
        _look_alike,
        "any",
        "look_alike(A, B, steps=K): acts as A for K steps, then as B",
    ),
}


class PlayerNames(Names[Player]):
    """Names of players; a function or an object called with `obs, legal` is one too."""

    def load(self, name: str) -> Any:
        thing = super().load(name)
        if function.is_rule(thing):
            return function.player_of_rule(thing)
        return thing

    def _returns_one(self, thing: Any) -> bool:
        return function.is_rule(thing) or super()._returns_one(thing)


NAMES = PlayerNames(
    "player", Player, ZOO, more=". `bestreply players` lists them"
)
"""Players that are not of the zoo."""
