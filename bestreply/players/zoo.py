"""Every player by name. A name with settings is a spec: ``noisy(nearest_stag, 0.1)``, ``switching(tit_for_tat, grim, step=5)``."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from bestreply.games.base import Game
from bestreply.players import scripted
from bestreply.players.base import Player, ScriptedPlayer
from bestreply.utils.spec import Spec, parse_spec


class Entry(NamedTuple):
    """A player of the zoo: how to make it, where it plays, and a line on what it does."""

    make: Callable[..., Player]  # (spec, game, seat) -> Player
    plays: str  # "any", a game's name, or "a, b"
    summary: str


def make_player(spec: str | Spec | Player, game: Game, seat: int = 0) -> Player:
    """A player of the zoo for `game`. `seat` matters only where seats have different payoffs.

    Raises ValueError that shows what was given and what there is, for an unknown name, a wrong game or wrong settings.
    """
    if isinstance(spec, Player):
        return spec
    spec = parse_spec(spec) if isinstance(spec, str) else spec
    if spec.name not in ZOO:
        raise ValueError(
            f"there is no player {spec.name!r}; there are: {', '.join(ZOO)}"
        )
    entry = ZOO[spec.name]
    if entry.plays != "any" and game.name not in entry.plays.split(", "):
        raise ValueError(
            f"{spec.name} plays {entry.plays}; the game given is {game.name}"
        )
    try:
        return entry.make(spec, game, seat)
    except TypeError as error:
        seen = re.sub(r"^\S+<locals>\.make\(\) ", "", str(error))
        raise ValueError(
            f"{spec}: {seen}. {spec.name}: {entry.summary}"
        ) from None


def list_players() -> dict[str, str]:
    """Every player by name, with a line on what it does and where it plays."""
    return {
        name: f"{entry.summary} [{entry.plays}]" for name, entry in ZOO.items()
    }


def standard_players(game: Game) -> tuple[str, ...]:
    """Whom play of `game` is collected with, and the agent is measured against, unless somebody says otherwise."""
    standard = {
        "stag_hunt": ("nearest_stag", "nearest_hare", "random"),
        "snowdrift": ("nearest_drift", "never_remove", "random"),
        "matrix": ("always_c", "always_d", "tit_for_tat", "random"),
    }
    return standard.get(game.name, ("random",))


# -- makers: each reads its own settings, so that a wrong one is refused with the signature at hand --------------------------------


def _simple(kind: Callable[[], Player]) -> Callable[..., Player]:
    def make(spec: Spec, game: Game, seat: int) -> Player:
        _refuse_settings(spec)
        return kind()

    return make


def _nearest(thing: str) -> Callable[..., Player]:
    def make(spec: Spec, game: Any, seat: int) -> Player:
        _refuse_settings(spec)
        return scripted.Nearest(
            name=spec.name, game=game, kind=list(game.kinds).index(thing)
        )

    return make


def _refuse_settings(spec: Spec) -> None:
    if spec.args or spec.settings:
        raise TypeError("it takes no settings")


def _probability(name: str, value: Any) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value <= 1
    ):
        raise TypeError(f"{name}={value}; expected: a probability, 0 to 1")
    return float(value)


def _whole(name: str, value: Any, least: int) -> int:
    if type(value) is not int or value < least:
        raise TypeError(
            f"{name}={value}; expected: a whole number, {least} or more"
        )
    return value


def _noisy(spec: Spec, game: Game, seat: int) -> Player:
    def make(player: Any, eps: Any) -> Player:
        player = _scripted(player, game, seat)
        return scripted.Noisy(
            player=player, eps=_probability("eps", eps), name=str(spec)
        )

    return make(*spec.args, **spec.settings)


def _mixture(spec: Spec, game: Game, seat: int) -> Player:
    def make(*players: Any, weights: tuple[float, ...] | None = None) -> Player:
        parts = tuple(_scripted(p, game, seat) for p in players)
        weights = tuple(map(float, weights or (1.0,) * len(parts)))
        if (
            not parts
            or len(weights) != len(parts)
            or min(weights) < 0
            or sum(weights) <= 0
        ):
            raise TypeError(
                f"{len(parts)} players with weights {weights}; expected: a weight >= 0 for each, not all 0"
            )
        return scripted.Mixture(players=parts, weights=weights, name=str(spec))

    return make(*spec.args, **spec.settings)


def _switching(spec: Spec, game: Game, seat: int) -> Player:
    def make(first: Any, second: Any, **when: Any) -> Player:
        known = {
            "step": "step_at",
            "random": "random",
            "hazard": "hazard",
            "episode": "episode",
        }
        if len(when) != 1 or not set(when) <= set(known):
            raise TypeError(
                f"when to switch: {when or 'nothing'}; expected: exactly one of step=, random=, hazard=, episode="
            )
        [(key, value)] = when.items()
        if key == "hazard":
            value = _probability(key, value)
        elif key == "random" and value is True:
            value = game.max_steps
        else:
            value = _whole(key, value, least=1 if key == "random" else 0)
        first, second = (
            _scripted(first, game, seat),
            _scripted(second, game, seat),
        )
        schedule: dict[str, Any] = {known[key]: value}
        return scripted.Switching(
            first=first, second=second, name=str(spec), **schedule
        )

    return make(*spec.args, **spec.settings)


def _look_alike(spec: Spec, game: Game, seat: int) -> Player:
    def make(player: Any, later: Any, steps: Any) -> Player:
        _whole("steps", steps, least=0)
        first, second = (
            _scripted(player, game, seat),
            _scripted(later, game, seat),
        )
        return scripted.Switching(
            first=first, second=second, step_at=steps, name=str(spec)
        )

    return make(*spec.args, **spec.settings)


def _scripted(spec: Any, game: Game, seat: int) -> ScriptedPlayer:
    if not isinstance(spec, Spec | Player):
        raise TypeError(f"{spec!r} is no player")
    player = make_player(spec, game, seat)
    if not isinstance(player, ScriptedPlayer):
        raise TypeError(
            f"{player.name} is no scripted player, and only those can be combined"
        )
    return player


def _always(spec: Spec, game: Game, seat: int) -> Player:
    def make(action: Any) -> Player:
        name = action.name if isinstance(action, Spec) else action
        index = (
            game.action_names.index(name) if name in game.action_names else name
        )
        if not isinstance(index, int) or not 0 <= index < game.num_actions:
            raise TypeError(
                f"no action {name!r}; {game.name} has {', '.join(game.action_names)} (or their numbers from 0)"
            )
        return scripted.Always(action=index, name=str(spec))

    return make(*spec.args, **spec.settings)


def _always_index(action: int) -> Callable[..., Player]:
    def make(spec: Spec, game: Game, seat: int) -> Player:
        _refuse_settings(spec)
        return scripted.Always(action=action, name=spec.name)

    return make


def _with_payoffs(kind: Callable[..., Player]) -> Callable[..., Player]:
    def make(spec: Spec, game: Any, seat: int) -> Player:
        _refuse_settings(spec)
        return kind(payoffs=game.payoffs_of(seat))

    return make


def _equilibrium(spec: Spec, game: Any, seat: int) -> Player:
    """A Nash strategy of the stage game (playing it every round is an equilibrium of the repeated one)."""
    import nashpy
    import numpy as np

    _refuse_settings(spec)
    if game.num_players != 2:
        raise TypeError(
            f"an equilibrium is computed for 2 players; {game.name} has {game.num_players}"
        )
    rows, columns = np.array(game.payoffs_of(0)), np.array(game.payoffs_of(1)).T
    found: Any = list(nashpy.Game(rows, columns).support_enumeration())
    best = max(
        found, key=lambda pair: float(pair[0] @ (rows + columns) @ pair[1])
    )  # pays both most in all
    return scripted.Strategy(
        probs=tuple(float(p) for p in best[seat]), name=spec.name
    )


ZOO: dict[str, Entry] = {
    "random": Entry(
        _simple(scripted.Random), "any", "uniform over legal actions (R)"
    ),
    "nearest_stag": Entry(
        _nearest("stags"),
        "stag_hunt",
        "goes to the nearest stag and waits there for a partner (NS)",
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
    "always_c": Entry(
        _always_index(0), "matrix", "always the first action (cooperate)"
    ),
    "always_d": Entry(
        _always_index(1), "matrix", "always the second action (defect)"
    ),
    "tit_for_tat": Entry(
        _simple(scripted.TitForTat),
        "matrix",
        "cooperates first, then does what the others did",
    ),
    "grim": Entry(
        _simple(scripted.Grim),
        "matrix",
        "cooperates until somebody defects, then never again",
    ),
    "win_stay_lose_shift": Entry(
        _with_payoffs(scripted.WinStayLoseShift),
        "matrix",
        "repeats an action that paid at least the mean, else shifts",
    ),
    "fictitious_play": Entry(
        _with_payoffs(scripted.FictitiousPlay),
        "matrix",
        "best reply to the frequencies seen so far",
    ),
    "equilibrium": Entry(
        _equilibrium,
        "matrix",
        "a Nash strategy of the stage game, the best-paying where there are several",
    ),
    "noisy": Entry(
        _noisy,
        "any",
        "noisy(PLAYER, EPS): PLAYER, with probability EPS a uniform legal action",
    ),
    "mixture": Entry(
        _mixture,
        "any",
        "mixture(A, B, ..., weights=(...)): one of them, drawn at each episode's start",
    ),
    "switching": Entry(
        _switching,
        "any",
        "switching(A, B, step=K | random=K | hazard=P | episode=K): A, then B for good from then on",
    ),
    "look_alike": Entry(
        _look_alike,
        "any",
        "look_alike(A, B, steps=K): acts as A for K steps, then as B",
    ),
}
