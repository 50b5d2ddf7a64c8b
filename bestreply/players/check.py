"""`check_player`: play a game and report the first violated property of `Player`'s contract.

from bestreply import check_player, make_game
check_player(MyPlayer(), make_game("stag_hunt"))
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.games import make_game
from bestreply.games.base import Game
from bestreply.games.check import Conformance
from bestreply.games.comparisons import brief, is_key, same_state, snapshot
from bestreply.games.contract import raised
from bestreply.games.sizes import checked_episodes
from bestreply.players.base import Player
from bestreply.players.callback import player_errors
from bestreply.players.zoo import make_player
from bestreply.types import ABSENT, ActorOutput, Plan, TimeStep, ego_order
from bestreply.utils.compilation import cache_compilations
from bestreply.utils.seeds import checked_seed
from bestreply.utils.spec import Spec

PROPERTIES = {
    "description": "a player is a Player with a name and a version, 1 or more",
    "step": "`init`, `step` and `renew` do not raise",
    "types": "`step` gives a carry, an action [] int and an ActorOutput with the right shapes",
    "legal": "the chosen action is legal",
    "probs": "the probabilities are numbers >= 0 that sum to 1, and 0 for illegal actions",
    "drawn": "the frequencies of actions agree with the probabilities",
    "plan": "scores are -inf for illegal candidates, else reward + value + anchor; `action` is the best",
    "determinism": "equal carry, inputs and key give an equal step",
    "mutation": "`step` and `renew` do not change their arguments",
    "carry": "the carry keeps its structure, shapes and dtypes in `step` and `renew`",
    "batch": "`init(batch)` is `init()` with a leading axis on every leaf",
    "jit": "`step` gives the same under `jax.jit`",
    "vmap": "`step` gives the same under `jax.vmap`",
    "unknown_others": "`step` works without others and present (None)",
    "absent": "`step` works when the other players have left or not acted yet (ABSENT)",
}
"""The properties of the contract; a `PlayerError` names one of them."""

DRAWS = 2000
"""Keys with which a step is drawn again."""

REDRAWN_STEPS = 4
"""Steps that are drawn again."""

ROWS = 16
"""Steps that are batched."""

SIGMAS = 5.0
"""Tolerance of frequencies in standard deviations: exceeded by 1 in 100,000 correct players."""


class PlayerError(AssertionError):
    """A violated property of the contract of `Player`.

    `property` is one of `PROPERTIES`, `seen` the evidence.
    """

    def __init__(self, player: Any, property: str, seen: str) -> None:
        self.property, self.seen = property, seen
        name = getattr(player, "name", type(player).__name__)
        super().__init__(
            f"{name}: {property}\n  expected: {PROPERTIES[property]}\n  seen: {seen}"
        )


class Moment(NamedTuple):
    """The inputs of a player at one step."""

    where: str
    carry: Any
    obs: np.ndarray  # [*obs_shape]
    legal: np.ndarray  # [A]
    key: jax.Array
    others: np.ndarray  # [N-1]
    present: np.ndarray  # [N]

    @property
    def inputs(self) -> tuple[Any, ...]:
        return self[1:]


class Step(NamedTuple):
    """The outputs of a player at one step."""

    carry: Any
    action: Any
    output: ActorOutput


def check_player(
    player: object, game: Game | str, seed: int = 0, episodes: int = 4
) -> Conformance:
    """Play a game with a player in every seat in turn and check its contract.

    The other players are random, so they do not reach everything: more episodes find
    rarer violations.

    Args:
        player: the player, its name, or a plain function.
        game: the game, or its name.
        seed: seed of keys and of the other players.
        episodes: episodes to play.

    Returns:
        The properties that were checked, and those that could not be.

    Raises:
        PlayerError: at the first violated property (`PROPERTIES`).
        ValueError: if `episodes` is below 1, or the seed outside 0 <= seed < 2^32.
    """
    cache_compilations()
    episodes = checked_episodes(episodes)
    seed = checked_seed(seed)
    game = make_game(game)
    is_other = isinstance(player, Player | type) or not callable(player)
    if isinstance(player, str | Spec) or not is_other:
        player = make_player(cast(Any, player), game)
    player = _described(player)
    start = _call(player, "step", "init", player.init)
    _check_batch(player, start)
    moments = _play(player, game, start, seed, episodes)
    _check_eager(player, moments[0])
    _check_vmap(player, moments)
    _check_unusual(player, game, moments)
    skipped = _check_drawn(player, game, moments)
    if _jitted_step(player, moments[0]).output.plan is None:
        skipped["plan"] = "the player does not plan"
    kept = tuple(name for name in PROPERTIES if name not in skipped)
    name = f"{player.name} in {game.name}"
    return Conformance(name, episodes, len(moments), kept, skipped)


@jax.jit
def _step(player: Player, inputs: tuple[Any, ...]) -> Any:
    carry, obs, legal, key, others, present = inputs
    return tuple(
        player.step(carry, obs, legal, key, others=others, present=present)
    )


@jax.jit
def _step_batch(player: Player, inputs: tuple[Any, ...]) -> Any:
    return jax.vmap(lambda one: _step(player, one))(inputs)


@jax.jit
def _draw(player: Player, inputs: tuple[Any, ...], keys: jax.Array) -> Any:
    carry, obs, legal, _, others, present = inputs
    _, action, output = jax.vmap(
        lambda key: _step(player, (carry, obs, legal, key, others, present))
    )(keys)
    return action, output.probs


def _call(
    player: Any, property: str, where: str, function: Callable, *args: Any
) -> Any:
    """Return the result of a function; an exception violates `property`."""
    try:
        with player_errors():
            return jax.block_until_ready(function(*args))
    except Exception as error:
        seen = f"{where}: {raised(error)}"
        raise PlayerError(player, property, seen) from error


def _jitted_step(player: Any, at: Moment, property: str = "step") -> Step:
    return Step(*_call(player, property, at.where, _step, player, at.inputs))


# -- declarations ------------------------------------------------------------


def _described(player: object) -> Player:
    """Return a player with a valid name and version."""
    if not isinstance(player, Player):
        kind = type(player).__name__
        seen = f"{kind} does not subclass bestreply.players.base.Player"
        raise PlayerError(player, "description", seen)
    if not isinstance(player.name, str) or not player.name:
        seen = f"name = {player.name!r}; a text"
        raise PlayerError(player, "description", seen)
    if not isinstance(player.version, int) or player.version < 1:
        seen = f"version = {player.version!r}; an int, 1 or more"
        raise PlayerError(player, "description", seen)
    return player


def _shape(tree: Any, lead: int = 0) -> Any:
    """Return the structure, and every leaf's shape (after `lead` axes) and dtype."""
    leaves = jax.tree.leaves(jax.eval_shape(lambda: tree))
    return jax.tree.structure(tree), [(x.shape[lead:], x.dtype) for x in leaves]


def _check_carry(player: Any, start: Any, carry: Any, where: str) -> None:
    before, after = _shape(start), _shape(carry)
    if before == after:
        return
    pairs = zip(before[1], after[1], strict=False)
    changes = [f"{a} became {b}" for a, b in pairs if a != b]
    seen = changes[0] if changes else f"{before[0]} became {after[0]}"
    raise PlayerError(player, "carry", f"{where}: {seen}")


def _check_batch(player: Any, start: Any) -> None:
    batch = _call(player, "batch", "init(3)", player.init, 3)
    sizes = {jnp.shape(x)[:1] for x in jax.tree.leaves(batch)}
    if _shape(batch, 1) != _shape(start) or not sizes <= {(3,)}:
        seen = f"init() {_shape(start)[1]}, init(3) {_shape(batch)[1]}"
        raise PlayerError(player, "batch", seen)


# -- play --------------------------------------------------------------------


def _play(
    player: Any, game: Game, start: Any, seed: int, episodes: int
) -> list[Moment]:
    """Return the inputs of all steps of some episodes; every output is checked."""
    order = ego_order(game.num_players)
    reset, step = game.reset, game.step
    if game.compiled:
        reset, step = jax.jit(reset), jax.jit(step)
    rng, moments, carry = np.random.default_rng(seed), [], start
    for episode in range(episodes):
        ego = order[episode % game.num_players]
        where = f"episode {episode}, step {{}}, seat {ego[0]}"
        key = jax.random.fold_in(jax.random.key(seed), episode)
        keys = jax.random.split(key, 2 * game.max_steps + 1)
        state, shown = reset(keys[0])
        last = np.full(game.num_players, ABSENT, np.int32)
        for t in range(game.max_steps):
            shown = jax.tree.map(np.asarray, shown)
            if shown.terminated[ego[0]] or shown.truncated:
                break
            moment = _moment(
                where.format(t), carry, shown, keys[2 * t + 1], last, ego
            )
            result = _jitted_step(player, moment)
            _check_step(player, game, moment, result)
            after = f"{moment.where}, after step"
            _check_carry(player, start, result.carry, after)
            moments.append(moment)
            carry = result.carry
            actions = [rng.choice(np.flatnonzero(m)) for m in shown.legal]
            actions = np.array(actions, np.int32)
            actions[ego[0]] = int(result.action)
            acted = shown.present & ~shown.terminated
            last = np.where(acted, actions, ABSENT).astype(np.int32)
            state, shown = step(state, actions, keys[2 * t + 2])
        carry = _renewed(player, start, carry, f"after episode {episode}")
    return moments


def _moment(
    where: str,
    carry: Any,
    shown: TimeStep,
    key: jax.Array,
    last: np.ndarray,
    ego: np.ndarray,
) -> Moment:
    """Return the inputs of the first of the seats `ego`, after joint action `last`."""
    obs, legal = shown.obs[ego[0]], shown.legal[ego[0]]
    others, present = last[ego[1:]], shown.present[ego]
    return Moment(where, carry, obs, legal, key, others, present)


def _renewed(player: Any, start: Any, carry: Any, where: str) -> Any:
    """Return the checked carry of a further episode."""
    before = snapshot(carry)
    renewed = _call(player, "step", f"{where}, renew", player.renew, carry)
    if not same_state(carry, before):
        seen = f"{where}: `renew` changed the carry it was given"
        raise PlayerError(player, "mutation", seen)
    _check_carry(player, start, renewed, f"{where}, renew")
    return renewed


def _check_step(
    player: Any, game: Game, at: Moment, step: Step, property: str = "legal"
) -> None:
    """Check the outputs of a step; an illegal action violates `property`."""
    action, output = np.asarray(step.action), step.output
    if action.shape != () or action.dtype.kind not in "iu":
        seen = (
            f"the action is {action.dtype} {action.shape}; expected: int32 ()"
        )
        raise PlayerError(player, "types", f"{at.where}: {seen}")
    if not isinstance(output, ActorOutput):
        seen = f"a {type(output).__name__}, not an ActorOutput"
        raise PlayerError(player, "types", f"{at.where}: {seen}")
    if not 0 <= action < game.num_actions or not at.legal[action]:
        legal = np.flatnonzero(at.legal).tolist()
        seen = f"{at.where}: action {action}; legal: {legal}"
        raise PlayerError(player, property, seen)
    if output.probs is not None:
        probs = np.asarray(output.probs)
        _check_probs(player, game, at, probs, int(action))
    if output.plan is not None:
        _check_plan(player, game, at, output.plan)


def _check_probs(
    player: Any, game: Game, at: Moment, probs: np.ndarray, action: int
) -> None:
    if probs.shape != (game.num_actions,) or probs.dtype.kind != "f":
        seen = (
            f"{at.where}: probs are {probs.dtype} {probs.shape}; "
            f"expected: float32 ({game.num_actions},)"
        )
        raise PlayerError(player, "types", seen)
    valid = np.isfinite(probs).all() and (probs >= 0).all()
    if not valid or abs(probs.sum() - 1) > 1e-4 or probs[~at.legal].any():
        seen = f"{at.where}: {brief(probs)}; legal: {brief(at.legal)}"
        raise PlayerError(player, "probs", seen)
    if probs[action] == 0:
        seen = f"action {action} has probability 0 in {brief(probs)}"
        raise PlayerError(player, "drawn", f"{at.where}: {seen}")


def _check_plan(player: Any, game: Game, at: Moment, plan: Any) -> None:
    if not isinstance(plan, Plan):
        seen = f"{at.where}: the plan is a {type(plan).__name__}, not a Plan"
        raise PlayerError(player, "types", seen)
    arrays = plan.scores, plan.reward, plan.value, plan.others
    scores, reward, value, others = map(np.asarray, arrays)
    a, n = game.num_actions, game.num_players
    shapes = [x.shape for x in (scores, reward, value, others)]
    if shapes != [(a,), (a,), (a,), (n - 1, a)]:
        seen = f"scores, reward, value, others have shapes {shapes}"
        raise PlayerError(player, "types", f"{at.where}: {seen}")
    candidates, chosen = np.isfinite(scores), int(plan.action)
    anchor = 0.0 if plan.anchor is None else np.asarray(plan.anchor)
    sums = (reward + value + anchor)[candidates]
    consistent = np.allclose(scores[candidates], sums, rtol=1e-4, atol=1e-4)
    best = candidates.any() and scores[chosen] == scores[candidates].max()
    if not consistent or not best or (candidates & ~at.legal).any():
        seen = (
            f"{at.where}: scores {brief(scores)}, reward {brief(reward)}, "
            f"value {brief(value)}, action {chosen}, legal {brief(at.legal)}"
        )
        raise PlayerError(player, "plan", seen)


# -- transformations and unusual inputs --------------------------------------


def _differ(one: Step, other: Step) -> str:
    """Return how two steps differ beyond rounding, "" if they do not."""
    a, b = int(one.action), int(other.action)
    if a != b:
        return "" if _tied(one, other, a, b) else f"action {a} and {b}"
    parts = {
        "probs": (one.output.probs, other.output.probs),
        "carry": (one.carry, other.carry),
    }
    for name, (x, y) in parts.items():
        if jax.tree.structure(x) != jax.tree.structure(y):
            return (
                f"{name}: {jax.tree.structure(x)} and {jax.tree.structure(y)}"
            )
        for leaves in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True):
            u, v = (
                np.asarray(jax.random.key_data(w) if is_key(w) else w)
                for w in leaves
            )
            if u.shape != v.shape or not np.allclose(
                u, v, rtol=1e-3, atol=1e-4, equal_nan=True
            ):
                return f"{name}: {brief(u)} and {brief(v)}"
    return ""


def _tied(one: Step, other: Step, a: int, b: int) -> bool:
    """Return whether both plans score two actions equally, up to rounding."""
    plans = one.output.plan, other.output.plan
    if None in plans:
        return False
    scores = np.stack([np.asarray(plan.scores) for plan in plans])[:, [a, b]]
    return bool(np.ptp(scores) < 1e-3 * max(1.0, float(abs(scores).max())))


def _check_eager(player: Any, at: Moment) -> None:
    """Check a step without `jit`, on NumPy inputs, twice."""
    carry, obs, legal, key, others, present = at.inputs
    arrays = carry, obs, legal, others, present
    before = snapshot(arrays)

    def step() -> Any:
        return player.step(
            carry, obs, legal, key, others=others, present=present
        )

    where = f"{at.where}, not jitted"
    first, second = (Step(*_call(player, "jit", where, step)) for _ in range(2))
    if not same_state(arrays, before):
        seen = f"{at.where}: `step` changed its arguments"
        raise PlayerError(player, "mutation", seen)
    if wrong := _differ(first, second):
        seen = f"{at.where}: two equal calls: {wrong}"
        raise PlayerError(player, "determinism", seen)
    if wrong := _differ(first, _jitted_step(player, at)):
        seen = f"{at.where}: without and with jit: {wrong}"
        raise PlayerError(player, "jit", seen)


def _stack(*leaves: Any) -> Any:
    if is_key(leaves[0]):
        return jnp.stack(leaves)
    return np.stack(leaves)


def _on_host(leaf: Any) -> Any:
    """Return a leaf in NumPy, whose rows are read without a program for each shape."""
    return leaf if is_key(leaf) else np.asarray(leaf)


def _check_vmap(player: Any, moments: list[Moment]) -> None:
    rows = moments[:: -(-len(moments) // ROWS)]
    inputs = jax.tree.map(_stack, *(at.inputs for at in rows))
    where = f"{len(rows)} steps at once"
    batch = _call(player, "vmap", where, _step_batch, player, inputs)
    batch = jax.tree.map(_on_host, batch)
    for row, at in enumerate(rows):
        one = Step(*jax.tree.map(lambda x, row=row: x[row], batch))
        if wrong := _differ(one, _jitted_step(player, at)):
            seen = f"row {row} of {len(rows)} ({at.where}): {wrong}"
            raise PlayerError(player, "vmap", seen)


def _check_unusual(player: Any, game: Game, moments: list[Moment]) -> None:
    """Check steps without information on the others, and with all of them absent."""
    absent = np.full(game.num_players - 1, ABSENT, np.int32)
    alone = np.arange(game.num_players) == 0
    unusual = {"unknown_others": (None, None), "absent": (absent, alone)}
    for at in moments[:: -(-len(moments) // REDRAWN_STEPS)]:
        for name, (others, present) in unusual.items():
            where = f"{at.where}, others={others}, present={present}"
            moment = at._replace(where=where, others=others, present=present)
            step = _jitted_step(player, moment, name)
            _check_step(player, game, moment, step, name)
            if _shape(step.carry) != _shape(at.carry):
                seen = f"{where}: the carry changed its shape"
                raise PlayerError(player, name, seen)


def _check_drawn(
    player: Any, game: Game, moments: list[Moment]
) -> dict[str, str]:
    """Compare the actions of many keys with the probabilities given with each.

    Returns the properties that cannot be checked, with reasons.
    """
    keys = jax.random.split(jax.random.key(1), DRAWS)
    for at in moments[:: -(-len(moments) // REDRAWN_STEPS)]:
        action, probs = _draw(player, at.inputs, keys)
        if probs is None:
            reason = "the player gives no probabilities"
            return {"drawn": reason, "probs": reason}
        action, probs = np.asarray(action), np.asarray(probs, np.float64)
        counts = np.bincount(action, minlength=game.num_actions)
        expected = probs.sum(0)
        deviation = np.sqrt((probs * (1 - probs)).clip(0).sum(0))
        allowed = SIGMAS * deviation + 1e-3 * DRAWS**0.5
        impossible = (probs[np.arange(DRAWS), action] == 0).any()
        if (abs(counts - expected) > allowed).any() or impossible:
            seen = (
                f"{at.where}: counts of {DRAWS} draws {counts.tolist()}; "
                f"by the probabilities: {brief(expected)}"
            )
            raise PlayerError(player, "drawn", seen)
    return {}
