"""`check_player`: holds any player, also one of your own, against what `Player` contract.

from bestreply import check_player, make_game
check_player(MyPlayer(), make_game("stag_hunt"))
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.games.base import Game
from bestreply.games.check import Conformance
from bestreply.games.contract import brief, is_key, same_state, snapshot
from bestreply.players.base import Player
from bestreply.types import ABSENT, ActorOutput, Plan, ego_order

PROPERTIES = {
    "description": "it is a Player with a name and a version from 1 on",
    "step": "`init`, `step` and `renew` do not raise",
    "types": "`step` gives a carry, an action [] int and a ActorOutput whose parts have their shapes",
    "legal": "it chooses legal actions only",
    "probs": "the probabilities it tells are numbers >= 0 that sum to 1, and 0 for illegal actions",
    "drawn": "its actions come as often as the probabilities it tells",
    "plan": "scores are -inf for illegal candidates, else reward + value; `action` is the best legal one",
    "determinism": "the same carry, sights and key give the same step",
    "mutation": "`step` and `renew` leave what they are given as it was",
    "carry": "the carry keeps its structure, shapes and dtypes through `step` and `renew`",
    "batch": "`init(batch)` is `init()` with a leading axis on every leaf",
    "jit": "`step` does under `jax.jit` what it does without",
    "vmap": "`step` does under `jax.vmap` what it does for one",
    "unknown_others": "it plays where it is not told the others' actions and who is present (None)",
    "absent": "it plays when others have left, and before they have acted (ABSENT)",
}
"""What is checked, in words; a `PlayerError` names one of these."""

DRAWS = 2000  # keys with which a step is drawn again
LOOKED_AT = 4  # steps that are drawn again
ROWS = 16  # steps that are batched
SIGMAS = 5.0  # how far from what it tells a player's choices may be: one honest player in 100,000 is beyond


class PlayerError(AssertionError):
    """A promise that a player breaks: `property` is one of `PROPERTIES`, `seen` what showed it."""

    def __init__(self, player: Any, property: str, seen: str) -> None:
        self.property, self.seen = property, seen
        name = getattr(player, "name", type(player).__name__)
        super().__init__(
            f"{name}: {property}\n  expected: {PROPERTIES[property]}\n  seen: {seen}"
        )


class Moment(NamedTuple):
    """What a player had before it and remembered, at one step."""

    where: str
    carry: Any
    obs: np.ndarray  # [*obs_shape]
    legal: np.ndarray  # [A]
    key: jax.Array
    others: np.ndarray  # [N-1]
    present: np.ndarray  # [N]

    @property
    def given(self) -> tuple[Any, ...]:
        return (
            self.carry,
            self.obs,
            self.legal,
            self.key,
            self.others,
            self.present,
        )


class Answer(NamedTuple):
    carry: Any
    action: Any
    actor_output: Any


def check_player(
    player: Any, game: Game, seed: int = 0, episodes: int = 4
) -> Conformance:
    """Lets `player` play `game` in every seat in turn, among random players, and raises PlayerError at the
    first of `PROPERTIES` that it breaks.

    Random company cannot show everything: more `episodes` find rarer faults. `seed` decides keys and company.
    """
    if episodes < 1:
        raise ValueError(f"episodes={episodes}; expected: 1 or more")
    _check_description(player)
    start = _asked(player, "step", "init", player.init)
    _check_batch(player, start)
    moments = _play(player, game, start, seed, episodes)
    _check_eager(player, game, moments[0])
    _check_vmap(player, game, moments)
    _check_strange(player, game, moments)
    skipped = _check_drawn(player, game, moments)
    if _answer(player, moments[0]).actor_output.plan is None:
        skipped["plan"] = "the player does not plan"
    kept = tuple(name for name in PROPERTIES if name not in skipped)
    return Conformance(
        f"{player.name} in {game.name}", episodes, len(moments), kept, skipped
    )


@jax.jit
def _step(
    player: Any,
    carry: Any,
    obs: Any,
    legal: Any,
    key: Any,
    others: Any,
    present: Any,
) -> Any:
    return tuple(
        player.step(carry, obs, legal, key, others=others, present=present)
    )


@jax.jit
def _step_batch(player: Any, given: Any) -> Any:
    return jax.vmap(lambda one: _step(player, *one))(given)


@jax.jit
def _draw(player: Any, given: Any, keys: Any) -> Any:
    carry, obs, legal, _, others, present = given
    _, action, actor_output = jax.vmap(
        lambda key: _step(player, carry, obs, legal, key, others, present)
    )(keys)
    return action, actor_output.probs


def _asked(
    player: Any,
    property: str,
    where: str,
    function: Any,
    *args: Any,
    **settings: Any,
) -> Any:
    """What `function` answers; an exception breaks `property`."""
    try:
        return function(*args, **settings)
    except Exception as error:
        text = str(error).strip().split("\n")[0]
        raise PlayerError(
            player, property, f"{where}: raised {type(error).__name__}: {text}"
        ) from error


def _answer(player: Any, at: Moment, property: str = "step") -> Answer:
    return Answer(*_asked(player, property, at.where, _step, player, *at.given))


# -- what it says of itself ----------------------------------------------------------------------------------


def _check_description(player: Any) -> None:
    if not isinstance(player, Player):
        seen = f"{type(player).__name__} does not subclass bestreply.players.base.Player"
        raise PlayerError(player, "description", seen)
    if not isinstance(player.name, str) or not player.name:
        raise PlayerError(
            player, "description", f"name = {player.name!r}; a text"
        )
    if not isinstance(player.version, int) or player.version < 1:
        raise PlayerError(
            player,
            "description",
            f"version = {player.version!r}; a whole number, 1 or more",
        )


def _shape(tree: Any, lead: int = 0) -> Any:
    """Structure, and shape and dtype of every leaf, `lead` axes less."""
    leaves = jax.tree.leaves(jax.eval_shape(lambda: tree))
    return jax.tree.structure(tree), [(x.shape[lead:], x.dtype) for x in leaves]


def _check_carry(player: Any, start: Any, carry: Any, where: str) -> None:
    before, after = _shape(start), _shape(carry)
    if before != after:
        seen = next(
            (
                f"{a} became {b}"
                for a, b in zip(before[1], after[1], strict=False)
                if a != b
            ),
            "",
        )
        seen = seen or f"{before[0]} became {after[0]}"
        raise PlayerError(player, "carry", f"{where}: {seen}")


def _check_batch(player: Any, start: Any) -> None:
    batch = _asked(player, "batch", "init(3)", player.init, 3)
    sizes = {jnp.shape(x)[:1] for x in jax.tree.leaves(batch)}
    if _shape(batch, 1) != _shape(start) or not sizes <= {(3,)}:
        raise PlayerError(
            player,
            "batch",
            f"init() {_shape(start)[1]}, init(3) {_shape(batch)[1]}",
        )


# -- play ----------------------------------------------------------------------------------------------------


def _play(
    player: Any, game: Game, start: Any, seed: int, episodes: int
) -> list[Moment]:
    """Every step of `episodes` episodes, each answer checked."""
    n, order = game.num_players, ego_order(game.num_players)
    reset, step = (
        (jax.jit(game.reset), jax.jit(game.step))
        if game.compiled
        else (game.reset, game.step)
    )
    rng, moments, carry = np.random.default_rng(seed), [], start
    for episode in range(episodes):
        ego = order[episode % n]
        keys = jax.random.split(
            jax.random.fold_in(jax.random.key(seed), episode),
            2 * game.max_steps + 1,
        )
        state, shown = reset(keys[0])
        last = np.full(n, ABSENT, np.int32)
        for t in range(game.max_steps):
            shown = jax.tree.map(np.asarray, shown)
            if shown.terminated[ego[0]] or shown.truncated:
                break
            where = f"episode {episode}, step {t}, seat {ego[0]}"
            here = (
                shown.obs[ego[0]],
                shown.legal[ego[0]],
                keys[2 * t + 1],
                last[ego[1:]],
                shown.present[ego],
            )
            moment = Moment(where, carry, *here)
            answer = _answer(player, moment)
            _check_answer(player, game, moment, answer)
            _check_carry(player, start, answer.carry, f"{where}, after step")
            moments.append(moment)
            actions = np.array(
                [rng.choice(np.flatnonzero(mask)) for mask in shown.legal],
                np.int32,
            )
            actions[ego[0]] = int(answer.action)
            acted = shown.present & ~shown.terminated
            state, shown = step(state, actions, keys[2 * t + 2])
            last, carry = (
                np.where(acted, actions, ABSENT).astype(np.int32),
                answer.carry,
            )
        before = snapshot(carry)
        renewed = _asked(
            player, "step", f"episode {episode}, renew", player.renew, carry
        )
        if not same_state(carry, before):
            raise PlayerError(
                player,
                "mutation",
                f"the carry given to `renew` after episode {episode}",
            )
        _check_carry(player, start, renewed, f"after episode {episode}, renew")
        carry = renewed
    return moments


def _check_answer(
    player: Any, game: Game, at: Moment, answer: Answer, property: str = "legal"
) -> None:
    action, actor_output = np.asarray(answer.action), answer.actor_output
    if action.shape != () or action.dtype.kind not in "iu":
        seen = f"{at.where}: the action is {action.dtype} {action.shape}; expected: int32 ()"
        raise PlayerError(player, "types", seen)
    if not isinstance(actor_output, ActorOutput):
        raise PlayerError(
            player,
            "types",
            f"{at.where}: a {type(actor_output).__name__}, not a ActorOutput",
        )
    if not 0 <= action < game.num_actions or not at.legal[action]:
        seen = f"{at.where}: action {action}; legal: {np.flatnonzero(at.legal).tolist()}"
        raise PlayerError(player, property, seen)
    if actor_output.probs is not None:
        _check_probs(
            player, game, at, np.asarray(actor_output.probs), int(action)
        )
    if actor_output.plan is not None:
        _check_plan(player, game, at, actor_output.plan)


def _check_probs(
    player: Any, game: Game, at: Moment, probs: np.ndarray, action: int
) -> None:
    if probs.shape != (game.num_actions,) or probs.dtype.kind != "f":
        seen = f"{at.where}: probs are {probs.dtype} {probs.shape}; expected: float32 ({game.num_actions},)"
        raise PlayerError(player, "types", seen)
    bad = (
        not np.isfinite(probs).all()
        or (probs < 0).any()
        or abs(probs.sum() - 1) > 1e-4
    )
    if bad or probs[~at.legal].any():
        raise PlayerError(
            player,
            "probs",
            f"{at.where}: {brief(probs)}; legal: {brief(at.legal)}",
        )
    if probs[action] == 0:
        seen = f"{at.where}: it chose action {action}, of probability 0 in {brief(probs)}"
        raise PlayerError(player, "drawn", seen)


def _check_plan(player: Any, game: Game, at: Moment, plan: Any) -> None:
    if not isinstance(plan, Plan):
        raise PlayerError(
            player,
            "types",
            f"{at.where}: the plan is a {type(plan).__name__}, not a Plan",
        )
    scores, reward, value = (
        np.asarray(x) for x in (plan.scores, plan.reward, plan.value)
    )
    others, a, n = np.asarray(plan.others), game.num_actions, game.num_players
    shapes = [scores.shape, reward.shape, value.shape, others.shape]
    if shapes != [(a,), (a,), (a,), (n - 1, a)]:
        seen = f"{at.where}: scores, reward, value, others have shapes {shapes}"
        raise PlayerError(player, "types", seen)
    candidates = np.isfinite(scores)
    sums = np.allclose(
        scores[candidates], (reward + value)[candidates], rtol=1e-4, atol=1e-4
    )
    best = (
        candidates.any()
        and scores[int(plan.action)] == scores[candidates].max()
    )
    if not sums or not best or (candidates & ~at.legal).any():
        seen = f"{at.where}: scores {brief(scores)}, reward {brief(reward)}, value {brief(value)}, "
        raise PlayerError(
            player,
            "plan",
            seen + f"action {int(plan.action)}, legal {brief(at.legal)}",
        )


# -- how it is called ----------------------------------------------------------------------------------------


def _differ(one: Answer, other: Answer) -> str:
    """In words, how two answers differ beyond rounding; "" where they do not."""
    a, b = int(one.action), int(other.action)
    if a != b and not _tied(one, other, a, b):
        return f"action {a} and {b}"
    if a != b:
        return ""  # the same but for a tie
    parts = (
        (one.actor_output.probs, other.actor_output.probs),
        (one.carry, other.carry),
    )
    for what, (x, y) in zip(("probs", "carry"), parts, strict=True):
        if jax.tree.structure(x) != jax.tree.structure(y):
            return (
                f"{what}: {jax.tree.structure(x)} and {jax.tree.structure(y)}"
            )
        for u, v in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True):
            u, v = (
                np.asarray(jax.random.key_data(w) if is_key(w) else w)
                for w in (u, v)
            )
            if u.shape != v.shape or not np.allclose(
                u, v, rtol=1e-3, atol=1e-4, equal_nan=True
            ):
                return f"{what}: {brief(u)} and {brief(v)}"
    return ""


def _tied(one: Answer, other: Answer, a: int, b: int) -> bool:
    """Both scored the two actions alike: rounding decided."""
    if one.actor_output.plan is None or other.actor_output.plan is None:
        return False
    scores = np.stack(
        [np.asarray(x.actor_output.plan.scores) for x in (one, other)]
    )[:, [a, b]]
    return bool(np.ptp(scores) < 1e-3 * max(1.0, float(abs(scores).max())))


def _check_eager(player: Any, game: Game, at: Moment) -> None:
    """Without `jit`, in NumPy where the player sees, twice."""
    settings = {"others": at.others, "present": at.present}
    before, held = (
        snapshot((at.carry, at.obs, at.legal, at.others, at.present)),
        at.given,
    )
    answers = [
        Answer(
            *_asked(
                player,
                "jit",
                f"{at.where}, not jitted",
                player.step,
                *at.given[:4],
                **settings,
            )
        )
        for _ in range(2)
    ]
    if not same_state((held[0], held[1], held[2], held[4], held[5]), before):
        raise PlayerError(
            player,
            "mutation",
            f"{at.where}: what was given to `step` has changed",
        )
    if wrong := _differ(*answers):
        raise PlayerError(
            player, "determinism", f"{at.where}: two equal calls: {wrong}"
        )
    if wrong := _differ(answers[0], _answer(player, at)):
        raise PlayerError(
            player, "jit", f"{at.where}: without and with: {wrong}"
        )


def _stack(*leaves: Any) -> Any:
    return jnp.stack(leaves) if is_key(leaves[0]) else np.stack(leaves)


def _on_host(leaf: Any) -> Any:
    """Return the leaf as a NumPy array: its rows are then read without a program for each shape."""
    return leaf if is_key(leaf) else np.asarray(leaf)


def _check_vmap(player: Any, game: Game, moments: list[Moment]) -> None:
    rows = moments[:: -(-len(moments) // ROWS)]
    given = jax.tree.map(_stack, *(at.given for at in rows))
    batch = _asked(
        player, "vmap", f"{len(rows)} steps at once", _step_batch, player, given
    )
    batch = jax.tree.map(_on_host, batch)
    for row, at in enumerate(rows):
        one = Answer(*jax.tree.map(lambda x, row=row: x[row], batch))
        again = _answer(player, at)
        if wrong := _differ(one, again):
            raise PlayerError(
                player,
                "vmap",
                f"row {row} of {len(rows)} ({at.where}): {wrong}",
            )


def _check_strange(player: Any, game: Game, moments: list[Moment]) -> None:
    """Nothing told of the others; all others gone."""
    nobody, alone = (
        np.full(game.num_players - 1, ABSENT, np.int32),
        np.arange(game.num_players) == 0,
    )
    for at in moments[:: -(-len(moments) // LOOKED_AT)]:
        for name, others, present in (
            ("unknown_others", None, None),
            ("absent", nobody, alone),
        ):
            strange = at._replace(
                where=f"{at.where}, others={others}, present={present}"
            )
            strange = strange._replace(others=others, present=present)
            answer = _answer(player, strange, name)
            _check_answer(player, game, strange, answer, name)
            if _shape(answer.carry) != _shape(at.carry):
                raise PlayerError(
                    player, name, f"{strange.where}: the carry changed shape"
                )


def _check_drawn(
    player: Any, game: Game, moments: list[Moment]
) -> dict[str, str]:
    """Actions of many keys beside the probabilities told with each; gives what could not be checked."""
    keys = jax.random.split(jax.random.key(1), DRAWS)
    for at in moments[:: -(-len(moments) // LOOKED_AT)]:
        action, probs = _draw(player, at.given, keys)
        if probs is None:
            return {
                "drawn": "the player tells no probabilities",
                "probs": "the player tells no probabilities",
            }
        action, probs = np.asarray(action), np.asarray(probs, np.float64)
        came, told = (
            np.bincount(action, minlength=game.num_actions),
            probs.sum(0),
        )
        allowed = (
            SIGMAS * np.sqrt((probs * (1 - probs)).clip(0).sum(0))
            + 1e-3 * DRAWS**0.5
        )
        if (abs(came - told) > allowed).any() or (
            probs[np.arange(DRAWS), action] == 0
        ).any():
            seen = f"{at.where}: in {DRAWS} draws {came.tolist()}; told: {brief(told)}"
            raise PlayerError(player, "drawn", seen)
    return {}
