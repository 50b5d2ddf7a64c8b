"""Generated players of the stag hunt for two: ten families of small automata.

A player is a table. In each mode it draws one of the rules of
`experiments.strangers.rules` by one feature of its observation; the next mode depends on
the mode, the other player's last action and one feature. Its memory is the mode, a number
below `len(weights)`, and follows from play. So an exact best reply can be computed
(`experiments.strangers.replies`).

Each is made by name, such as ``experiments.strangers.players:follower(lag=2)``; `FAMILIES`
lists them.
"""

from collections.abc import Callable, Mapping, Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int32, PRNGKeyArray, PyTree

from bestreply.games.base import Game
from bestreply.games.stag_hunt import StagHunt
from bestreply.players.base import ScriptedPlayer
from bestreply.types import Array
from experiments.strangers.rules import (
    ASSUMED,
    FEATURES,
    NONE,
    RULES,
    SHIFTS,
    VALUES,
    check_game,
    features,
    read_board,
    rule_policies,
)

MODULE = "experiments.strangers.players"
Weights = Mapping[str, float]
"""Probability of each rule by its name; rules that are left out have 0."""


class Automaton(ScriptedPlayer):
    """A player with a finite memory that draws one of `RULES` at each step."""

    game: StagHunt = eqx.field(static=True)
    weights: Float[Array, "modes values rules"]
    """The probability of each rule, by mode and the value of the feature `look`."""
    following: Int32[Array, "modes actions+1 values"]
    """The next mode, by mode, 1 + the other player's last action (0: none yet), and the
    value of the feature `watch`."""
    look: Int32[Array, " modes"]
    watch: Int32[Array, " modes"]
    rules: tuple[int, ...] = eqx.field(static=True)
    """The rules with a weight; no others are computed."""
    name: str = eqx.field(static=True)
    version: int = eqx.field(static=True, default=1)

    def start(self) -> PyTree:
        """Return the mode before the first step; nothing where there is one mode."""
        return jnp.int32(0) if len(self.weights) > 1 else ()

    def see(
        self,
        carry: PyTree,
        obs: Float[Array, "H W P"],
        others: Int[Array, " 1"],
        key: PRNGKeyArray,
    ) -> PyTree:
        if len(self.weights) == 1:
            return carry
        legal = jnp.ones(self.game.num_actions, bool)
        noticed, _ = _read(self.game, obs, legal, (0,))
        value = noticed[jnp.asarray(self.watch)[carry]]
        return jnp.asarray(self.following)[carry, others[0] + 1, value]

    def policy(
        self,
        carry: PyTree,
        obs: Float[Array, "H W P"],
        legal: Bool[Array, " A"],
    ) -> Float[Array, " A"]:
        mode = carry if len(self.weights) > 1 else 0
        noticed, policies = _read(self.game, obs, legal, self.rules)
        value = noticed[jnp.asarray(self.look)[mode]]
        weights = jnp.asarray(self.weights)[..., np.array(self.rules)]
        return weights[mode, value] @ policies


@eqx.filter_jit
def _read(
    game: StagHunt,
    obs: Float[Array, "H W P"],
    legal: Bool[Array, " A"],
    rules: tuple[int, ...],
) -> tuple[Int32[Array, " features"], Float[Array, "rules A"]]:
    """Return features and rules of an observation; traced once for all players."""
    board = read_board(game, obs)
    policies = rule_policies(game, board, jnp.asarray(legal, bool), rules)
    return features(game, board), policies


def join(players: Sequence[Automaton]) -> tuple[Automaton, np.ndarray]:
    """Return one automaton with the modes of several, and the first mode of each.

    Args:
        players: players of one game.

    Returns:
        The automaton, and [players] int.
    """
    sizes = [len(player.weights) for player in players]
    begins = np.cumsum([0, *sizes[:-1]])
    following = [
        np.asarray(player.following) + begin
        for player, begin in zip(players, begins, strict=True)
    ]
    joined = Automaton(
        game=players[0].game,
        weights=np.concatenate([p.weights for p in players]),
        following=np.concatenate(following).astype(np.int32),
        look=np.concatenate([p.look for p in players]),
        watch=np.concatenate([p.watch for p in players]),
        rules=tuple(range(len(RULES))),
        name="joined",
    )
    return joined, begins


def automaton(
    game: Game,
    name: str,
    choose: Callable[[int, int], Weights],
    look: str = "nothing",
    *,
    modes: int = 1,
    follow: Callable[[int, int, int], int] | None = None,
    watch: str = "nothing",
) -> Automaton:
    """Return an automaton from functions of its memory and what it observes.

    Args:
        game: the game.
        name: name of the player.
        choose: mode and value of `look` -> the probabilities of rules.
        look: a feature.
        modes: number of modes; the first is that before the first step.
        follow: mode, 1 + the other player's last action (0: none yet) and value of `watch`
            -> the next mode; None: the same mode.
        watch: a feature.

    Returns:
        The player.
    """
    hunt = check_game(game)
    weights = np.zeros((modes, VALUES, len(RULES)), np.float32)
    following = np.zeros((modes, hunt.num_actions + 1, VALUES), np.int32)
    for mode in range(modes):
        for value in range(VALUES):
            for rule, weight in choose(mode, value).items():
                weights[mode, value, RULES.index(rule)] += weight
        for last, value in np.ndindex(following.shape[1:]):
            following[mode, last, value] = (
                follow(mode, last, value) if follow else mode
            )
    return Automaton(
        game=hunt,
        weights=weights,
        following=following,
        look=np.full(modes, FEATURES.index(look), np.int32),
        watch=np.full(modes, FEATURES.index(watch), np.int32),
        rules=tuple(np.flatnonzero(weights.any((0, 1))).tolist()),
        name=name,
    )


# -- families --------------------------------------------------------------------


def noisy(game: Game, goal: str, rate: float, name: str = "noisy") -> Automaton:
    """Return a hunter that plays a uniform legal action at some rate.

    Args:
        game: the game.
        goal: "stag" or "hare".
        rate: probability of a uniform action.
        name: name of the player.
    """
    return automaton(
        game, name, lambda mode, value: {goal: 1 - rate, "noise": rate}
    )


def delay(game: Game, lag: int, near: int, name: str = "delay") -> Automaton:
    """Return a player that hunts the stag if the other one was near it some steps ago.

    Otherwise it hunts hares.

    Args:
        game: the game.
        lag: number of steps.
        near: largest distance that is near.
        name: name of the player.
    """
    modes = 2 ** (lag + 1)

    def follow(mode: int, last: int, value: int) -> int:
        return (2 * mode + (value <= near)) % modes

    def choose(mode: int, value: int) -> Weights:
        return {"stag" if mode >> lag else "hare": 1.0}

    return automaton(
        game, name, choose, modes=modes, follow=follow, watch="other_to_stag"
    )


def alternator(
    game: Game, first: str, period: int, name: str = "alternator"
) -> Automaton:
    """Return a player that hunts the stag and hares in turn.

    Args:
        game: the game.
        first: "stag" or "hare".
        period: steps of a turn.
        name: name of the player.
    """
    goals = ("stag", "hare") if first == "stag" else ("hare", "stag")
    return automaton(
        game,
        name,
        lambda mode, value: {goals[value // period % 2]: 1.0},
        "time",
    )


def by_distance(
    game: Game, close: str, reach: int, name: str = "by_distance"
) -> Automaton:
    """Return a mixture of both hunters whose weights depend on the distance to the other.

    Args:
        game: the game.
        close: "stag" or "hare", hunted with probability 1 - distance / reach, at least 0.
        reach: a distance.
        name: name of the player.
    """
    far = "hare" if close == "stag" else "stag"

    def choose(mode: int, value: int) -> Weights:
        share = max(0.0, 1 - value / reach)
        return {close: share, far: 1 - share}

    return automaton(game, name, choose, "distance")


def _reply(game: Game, rule: str, rate: float, name: str) -> Automaton:
    """Return a player that follows a rule, or acts at random with a probability."""
    return automaton(
        game, name, lambda mode, value: {rule: 1 - rate, "noise": rate}
    )


def level1(game: Game, of: str, rate: float, name: str = "level1") -> Automaton:
    """Return a reply by plan to a stag hunter, a hare hunter or random play.

    Args:
        game: the game.
        of: "stag", "hare" or "noise".
        rate: probability of a uniform action.
        name: name of the player.
    """
    return _reply(game, f"level1({of})", rate, name)


def level2(game: Game, of: str, rate: float, name: str = "level2") -> Automaton:
    """Return a reply by plan to `level1` of the same setting.

    Args:
        game: the game.
        of: "stag", "hare" or "noise".
        rate: probability of a uniform action.
        name: name of the player.
    """
    return _reply(game, f"level2({of})", rate, name)


def follower(
    game: Game, lag: int, leash: int = 0, name: str = "follower"
) -> Automaton:
    """Return a player that goes to the cell where the other one was some steps ago.

    There it takes what it can. Within the leash it hunts hares instead.

    Args:
        game: the game.
        lag: number of steps, 0 to 2.
        leash: distance to the other player; 0: none.
        name: name of the player.
    """
    moved = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
    modes = len(moved) ** lag

    def follow(mode: int, last: int, value: int) -> int:
        move = last if last < len(moved) else 0
        return (len(moved) * mode + move) % modes

    def choose(mode: int, value: int) -> Weights:
        if leash and value <= leash:
            return {"hare": 1.0}
        moves = [
            moved[mode // len(moved) ** k % len(moved)] for k in range(lag)
        ]
        shift = tuple(int(x) for x in np.sum([(0, 0), *moves], axis=0))
        return {f"follow{shift}": 1.0}

    return automaton(game, name, choose, "distance", modes=modes, follow=follow)


def thief(game: Game, near: int, then: str, name: str = "thief") -> Automaton:
    """Return a player that takes the other one's hares.

    Where the other player is near a hare, it goes to that hare; otherwise to its own
    nearest one.

    Args:
        game: the game.
        near: largest distance that is near.
        then: "stag" or "noise", without hares.
        name: name of the player.
    """

    def choose(mode: int, value: int) -> Weights:
        if value == NONE:
            return {then: 1.0}
        return {"rob" if value <= near else "hare": 1.0}

    return automaton(game, name, choose, "other_to_hare")


def coward(game: Game, goal: str, near: int, name: str = "coward") -> Automaton:
    """Return a hunter that flees from a near player.

    Args:
        game: the game.
        goal: "stag" or "hare".
        near: largest distance that is near.
        name: name of the player.
    """
    return automaton(
        game,
        name,
        lambda mode, value: {"flee" if value <= near else goal: 1.0},
        "distance",
    )


def stubborn(
    game: Game, patience: int, then: str, name: str = "stubborn"
) -> Automaton:
    """Return a stag hunter that gives up for good after some steps on the stag.

    Args:
        game: the game.
        patience: number of steps.
        then: "hare" or "flee", after that.
        name: name of the player.
    """

    def follow(mode: int, last: int, value: int) -> int:
        return min(mode + (value == 1), patience + 1)

    def choose(mode: int, value: int) -> Weights:
        return {"stag" if mode <= patience else then: 1.0}

    return automaton(
        game,
        name,
        choose,
        modes=patience + 2,
        follow=follow,
        watch="on_stag",
    )


def _named(family: str, **settings: Sequence[object]) -> tuple[str, ...]:
    """Return the names of a family's players, one for each combination of settings."""
    names = [""]
    for setting, values in settings.items():
        names = [
            f"{name}{', ' if name else ''}{setting}={value}"
            for name in names
            for value in values
        ]
    return tuple(f"{MODULE}:{family}({inside})" for inside in names)


HUNTS = ("stag", "hare")
FAMILIES = {
    "noisy": _named("noisy", goal=HUNTS, rate=(0.1, 0.25, 0.4, 0.6)),
    "delay": _named("delay", lag=(1, 2, 3), near=(1, 3)),
    "alternator": _named("alternator", first=HUNTS, period=(1, 3, 5)),
    "by_distance": _named("by_distance", close=HUNTS, reach=(2, 4, 8)),
    "level1": _named("level1", of=ASSUMED, rate=(0.0, 0.2)),
    "follower": _named("follower", lag=(0, 1, 2), leash=(0, 2)),
    "thief": _named("thief", near=(1, 3, 8), then=("stag", "noise")),
    "coward": _named("coward", goal=HUNTS, near=(0, 1, 2)),
    "level2": _named("level2", of=ASSUMED, rate=(0.0, 0.2)),
    "stubborn": _named("stubborn", patience=(2, 4, 8), then=("hare", "flee")),
}
"""The names of the players, by family."""
KEPT = ("noisy", "delay", "alternator", "by_distance", "level1")
"""Families in the data."""
HELD_OUT = tuple(family for family in FAMILIES if family not in KEPT)


def players_of(families: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the players of families, in order.

    Args:
        families: some of `FAMILIES`.
    """
    return tuple(name for family in families for name in FAMILIES[family])


def short(name: str) -> str:
    """Return the name of a player without its module.

    Args:
        name: a name of `FAMILIES`.
    """
    return name.removeprefix(f"{MODULE}:")


# -- random automata -------------------------------------------------------------


def drawn(game: Game, seed: int, name: str = "drawn") -> Automaton:
    """Return an automaton drawn at random, of one or two modes.

    Each mode plays one rule where a feature is below a drawn threshold and another one
    elsewhere, with some noise; a second mode follows when a second feature passes a
    threshold, for good or as long as it does.

    Args:
        game: the game.
        seed: of the draws.
        name: name of the player.
    """
    rng = np.random.default_rng(seed)
    simple = [rule for rule in RULES if "follow" not in rule and rule != "stay"]
    simple += [f"follow{shift}" for shift in SHIFTS if shift == (0, 0)]
    modes = int(rng.integers(1, 3))
    look, watch = rng.choice(FEATURES[1:], 2)
    below, rate = rng.integers(1, 7, modes), rng.choice([0.0, 0.1, 0.3])
    pairs = rng.choice(simple, (modes, 2))
    threshold, for_good = rng.integers(1, 7), rng.random() < 0.5

    def choose(mode: int, value: int) -> Weights:
        rule = str(pairs[mode, int(value < below[mode])])
        weights = {"noise": float(rate)}
        weights[rule] = weights.get(rule, 0.0) + 1 - float(rate)
        return weights

    def follow(mode: int, last: int, value: int) -> int:
        passes = int(value < threshold) if modes > 1 else 0
        return max(passes, mode) if for_good else passes

    return automaton(
        game,
        name,
        choose,
        str(look),
        modes=modes,
        follow=follow,
        watch=str(watch),
    )
