"""`check_player` names the property that a planted fault violates, one a player."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from bestreply import check_player, make_game
from bestreply.players.base import Player, draw, uniform
from bestreply.players.check import PROPERTIES, PlayerError
from bestreply.types import ActorOutput, Plan

GAME = make_game(
    "stag_hunt(height=3, width=3, hunters=2, stags=1, hares=1, max_steps=4)"
)


class Counting(Player):
    """A correct player: uniform; remembers its steps and the others' actions."""

    name: str = eqx.field(static=True, default="counting")
    version: int = eqx.field(static=True, default=1)

    def start(self) -> Any:
        return {"steps": jnp.int32(0), "seen": jnp.zeros(1, jnp.int32)}

    def step(self, carry, obs, legal, key, *, others=None, present=None):
        seen = (
            carry["seen"] if others is None else jnp.asarray(others, jnp.int32)
        )
        probs = self.policy(obs, legal)
        action = self.chosen(key, probs, obs, legal, present)
        return (
            {"steps": carry["steps"] + 1, "seen": seen},
            action,
            self.actor_output(probs, legal),
        )

    def policy(self, obs, legal):
        return uniform(legal)

    def chosen(self, key, probs, obs, legal, present):
        return draw(key, probs)

    def actor_output(self, probs, legal):
        return ActorOutput(probs)


def plan_of(scores, reward, value, action):
    return Plan(
        scores, reward, value, jnp.int32(action), jnp.full((1, 7), 1 / 7), ()
    )


class Nameless(Counting):
    name: str = eqx.field(static=True, default="")


class Raises(Counting):
    def policy(self, obs, legal):
        raise RuntimeError("no idea")


class NoScalar(Counting):
    def chosen(self, key, probs, obs, legal, present):
        return draw(key, probs)[None]


class NoActorOutput(Counting):
    def actor_output(self, probs, legal):
        return (probs, None)


class WideProbs(Counting):
    def actor_output(self, probs, legal):
        return ActorOutput(jnp.append(probs, 0.0))


class Illegal(Counting):
    def policy(self, obs, legal):
        return uniform(jnp.ones(7, bool))

    def actor_output(self, probs, legal):
        return ActorOutput()


class GivesIllegalProbs(Counting):
    def policy(self, obs, legal):
        return jnp.where(
            legal,
            0.9 * uniform(legal),
            0.1 / jnp.maximum((~jnp.asarray(legal)).sum(), 1),
        )

    def chosen(self, key, probs, obs, legal, present):
        return draw(key, uniform(legal))


class HalfProbs(Counting):
    def actor_output(self, probs, legal):
        return ActorOutput(probs / 2)


class ActsOtherwise(Counting):
    """Gives uniform probabilities and stays more often."""

    def chosen(self, key, probs, obs, legal, present):
        return draw(key, 0.9 * probs + 0.1 * jax.nn.one_hot(4, 7))


class ScoresIllegal(Counting):
    def actor_output(self, probs, legal):
        zero = jnp.zeros(7)
        return ActorOutput(probs, plan_of(zero, zero, zero, 0))


class NotTheBest(Counting):
    def actor_output(self, probs, legal):
        reward = jnp.arange(7.0)
        return ActorOutput(
            probs,
            plan_of(
                jnp.where(legal, reward, -jnp.inf),
                reward,
                jnp.zeros(7),
                4 - 4 * legal[0],
            ),
        )


class NotTheSum(Counting):
    def actor_output(self, probs, legal):
        scores = jnp.where(legal, jnp.arange(7.0), -jnp.inf)
        return ActorOutput(
            probs,
            plan_of(scores, jnp.zeros(7), jnp.zeros(7), jnp.argmax(scores)),
        )


class GrowingCarry(Counting):
    def step(self, carry, obs, legal, key, *, others=None, present=None):
        _, action, actor_output = super().step(
            carry, obs, legal, key, others=others
        )
        return (
            {"steps": carry["steps"] + 1.0, "seen": carry["seen"]},
            action,
            actor_output,
        )


class ForgetfulRenew(Counting):
    def renew(self, carry):
        return {"steps": jnp.int32(0)}


class WrongBatch(Counting):
    def init(self, batch=None):
        return super().init(None if batch is None else batch + 1)


class Mutates(Counting):
    def step(self, carry, obs, legal, key, *, others=None, present=None):
        if not isinstance(others, jax.Array):
            others[:] = 3
        return super().step(carry, obs, legal, key, others=others)


class HiddenCounter(Counting):
    """Differs from call to call, like a player with its own random generator."""

    calls: list = eqx.field(static=True, default_factory=lambda: Calls())

    def policy(self, obs, legal):
        self.calls.append(0)
        return jnp.where(
            len(self.calls) % 2, uniform(legal), jax.nn.one_hot(4, 7)
        )


class Calls(list):
    __hash__ = object.__hash__  # static fields are hashed


class NotUnderJit(Counting):
    def policy(self, obs, legal):
        if isinstance(obs, jax.core.Tracer):
            return jax.nn.one_hot(4, 7)
        return uniform(legal)


class OnlyJit(Counting):
    def policy(self, obs, legal):
        if not isinstance(obs, jax.core.Tracer):
            raise RuntimeError("not traced")
        return uniform(legal)


class NeedsPresent(Counting):
    def chosen(self, key, probs, obs, legal, present):
        return draw(key, probs) + 0 * present[0]


class IllegalAlone(Counting):
    """Chooses HUNT_STAG anywhere once it is alone."""

    def chosen(self, key, probs, obs, legal, present):
        alone = jnp.bool_(False) if present is None else ~present[1]
        return jnp.where(alone, 5, draw(key, probs)).astype(jnp.int32)

    def actor_output(self, probs, legal):
        return ActorOutput()


FAULTS = {
    Nameless: "description",
    Raises: "step",
    NoScalar: "types",
    NoActorOutput: "types",
    WideProbs: "types",
    Illegal: "legal",
    GivesIllegalProbs: "probs",
    HalfProbs: "probs",
    ActsOtherwise: "drawn",
    ScoresIllegal: "plan",
    NotTheBest: "plan",
    NotTheSum: "plan",
    GrowingCarry: "carry",
    ForgetfulRenew: "carry",
    WrongBatch: "batch",
    Mutates: "mutation",
    HiddenCounter: "determinism",
    NotUnderJit: "jit",
    OnlyJit: "jit",
    NeedsPresent: "unknown_others",
}


def test_a_correct_player_passes():
    report = check_player(Counting(), GAME)
    assert set(report.kept) == set(PROPERTIES) - {
        "plan"
    } and report.skipped == {"plan": "the player does not plan"}
    assert str(report).startswith(
        "counting in stag_hunt: 14 properties kept over 4 episodes"
    )


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
def test_each_fault_is_named(kind):
    with pytest.raises(PlayerError) as error:
        check_player(kind(), GAME)
    assert error.value.property == FAULTS[kind], error.value
    assert PROPERTIES[error.value.property] in str(
        error.value
    ) and error.value.seen in str(error.value)


def test_a_player_that_fails_alone_is_named():
    """Also in a game that no player leaves."""
    game = dataclasses.replace(GAME, leave=False)
    with pytest.raises(PlayerError, match="absent"):
        check_player(IllegalAlone(), game)


def test_another_object_is_no_player():
    with pytest.raises(PlayerError, match="int does not subclass"):
        check_player(3, GAME)
    with pytest.raises(ValueError, match="this one plays snowdrift"):
        check_player("nearest_drift", GAME)


def test_no_episodes_are_refused():
    with pytest.raises(
        ValueError, match="episodes=0: expected a whole number, 1 to"
    ):
        check_player(Counting(), GAME, episodes=0)


def test_every_property_has_a_fault_here():
    assert set(FAULTS.values()) | {"absent", "vmap"} == set(PROPERTIES)


def test_a_player_that_mixes_rows_is_named():
    """Only a wrong batching rule of its own can mix the rows of a batch."""

    @jax.custom_batching.custom_vmap
    def leaking(legal):
        return uniform(legal)

    @leaking.def_vmap
    def _(size, batched, legal):
        return jnp.roll(uniform(legal), 1, 0), True

    class Leaks(Counting):
        def policy(self, obs, legal):
            return jnp.where(legal, leaking(jnp.asarray(legal)) + 1e-3, 0.0)

        def chosen(self, key, probs, obs, legal, present):
            return jnp.int32(4)

        def actor_output(self, probs, legal):
            return ActorOutput(probs / probs.sum())

    with pytest.raises(PlayerError, match="vmap"):
        check_player(Leaks(), GAME)
