"""`check_game` names the property that a planted fault violates, one fault a game.

Faults are planted in a NumPy version of a small correct game, so that nothing is
compiled; faults of compiled games in its JAX version.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply.games import GameError, check_game
from bestreply.games.base import Game
from bestreply.games.comparisons import same_state, snapshot
from bestreply.games.contract import PROPERTIES
from bestreply.games.description import Symmetries
from bestreply.types import TimeStep, ego_order

CELLS = 4
CALLS = []
"""Calls of rules that depend on their number; cleared before each test."""


class ExitState(eqx.Module):
    cell: Any  # [n] int32
    left: Any  # [n] bool
    time: Any  # [] int32


@dataclasses.dataclass(frozen=True)
class Exit(Game):
    """Players walk on a line and may leave on its last cell, for a reward of 1.

    A correct game in NumPy; over when all have left.
    """

    name = "exit"
    version = 1
    summary = "walk to the exit"
    compiled = False
    xp = np

    players: int = 3
    max_steps: int = 7

    @property
    def num_players(self):
        return self.players

    @property
    def action_names(self):
        return ("BACK", "STAY", "ON", "EXIT")

    @property
    def obs_shape(self):
        return (CELLS, self.players + 1)

    @property
    def goals(self):
        return ("exit", "none")

    @property
    def planes(self):
        players = (f"player_{j}" for j in range(1, self.players))
        return ("self", *players, "time")

    @property
    def binary(self):
        planes = np.arange(self.players + 1) < self.players
        return np.broadcast_to(planes, self.obs_shape)

    def start(self, key):
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        cell = rng.integers(0, CELLS, self.players).astype(np.int32)
        return ExitState(cell, np.zeros(self.players, bool), np.int32(0))

    def advance(self, state, actions, key):
        leaves = (actions == 3) & ~state.left
        moves = self.xp.where(state.left | (actions == 3), 0, actions - 1)
        new = ExitState(state.cell + moves, state.left | leaves, state.time + 1)
        return new, leaves.astype(np.float32)

    def finished(self, state):
        return state.left.all() | (state.time >= self.max_steps)

    def look(self, state, reward):
        obs = self.observe(state)
        limit = state.time >= self.max_steps
        return TimeStep(
            obs=obs,
            legal=self.xp.stack([self.legal_in(one) for one in obs]),
            reward=reward,
            terminated=state.left,
            truncated=self.xp.asarray(limit & ~state.left.all()),
            present=~state.left,
        )

    def observe(self, state):
        xp = self.xp
        line = xp.arange(CELLS)
        players = (state.cell[:, None] == line) & ~state.left[:, None]
        views = xp.moveaxis(players[ego_order(self.players)], 1, -1)
        time = xp.full(
            (self.players, CELLS, 1), 1 - state.time / self.max_steps
        )
        return xp.concatenate([views, time], -1).astype(np.float32)

    def reset(self, key):
        state = self.start(key)
        return state, self.look(state, np.zeros(self.players, np.float32))

    def step(self, state, actions, key):
        if self.finished(state):
            return state, self.look(state, np.zeros(self.players, np.float32))
        new, reward = self.advance(state, actions, key)
        return new, self.look(new, reward)

    def perspective(self, obs, other):
        order = self.xp.argsort(
            self.xp.arange(self.players) != other, stable=True
        )
        players = self.xp.take(obs[..., :-1], order, axis=-1)
        return self.xp.concatenate([players, obs[..., -1:]], -1)

    def legal_in(self, obs):
        own, xp = obs[:, 0] > 0.5, self.xp
        return xp.stack(
            [own[1:].any(), xp.array(True), own[:-1].any(), own[-1]]
        )

    def present_in(self, obs):
        return obs[..., : self.players].max(-2) > 0.5

    def achieved(self, obs, action, reward):
        return self.xp.where(self.xp.asarray(action) == 3, 0, -1)

    def symmetries(self):
        """The two other players of three are exchangeable."""
        planes = np.array([[0, 1, 2, 3], [0, 2, 1, 3]])
        entries = np.arange(CELLS)[:, None] * 4 + planes[:, None, :]
        action = np.array([[0, 1, 2, 3]] * 2)
        return Symmetries(
            entries.reshape(2, -1), action, np.array([[0, 1], [1, 0]])
        )


class CompiledExit(Exit):
    """The same game in JAX."""

    compiled = True
    xp = jnp
    reset, step = Game.reset, Game.step

    def start(self, key):
        cell = jax.random.randint(key, (self.players,), 0, CELLS)
        return ExitState(cell, jnp.zeros(self.players, bool), jnp.int32(0))


def test_a_correct_compiled_game_passes():
    report = check_game(CompiledExit())
    assert report.kept == tuple(PROPERTIES) and report.skipped == {}
    assert report.episodes == 6 and 6 <= report.steps <= 42
    count = len(PROPERTIES)
    expected = (
        f"exit: {count} properties kept over 6 episodes, {report.steps} steps"
    )
    assert str(report) == expected


def test_a_correct_host_game_passes():
    report = check_game(Exit())
    assert set(report.skipped) == {"state", "jit", "vmap"}
    assert "not checked: jit: not a compiled game" in str(report)


FAULTS = {}


def fault(property):
    """Register a game under the property that it violates."""

    def register(kind):
        FAULTS[kind.__name__] = (property, kind)
        return kind

    return register


def shows(change):
    """Return a `look` with other fields, those of `change(state, time step)`."""

    def look(self, state, reward):
        step = Exit.look(self, state, reward)
        return dataclasses.replace(step, **change(state, step))

    return look


# -- faults of host games ----------------------------------------------------


@fault("description")
class TwoActionsOfOneName(Exit):
    num_actions = 4
    action_names = ("ON", "ON", "STAY", "EXIT")


@fault("description")
class PlanesThatDoNotFit(Exit):
    planes = ("self", "time")


@fault("description")
class BinaryOfAnotherShape(Exit):
    binary = np.ones(3, bool)


@fault("description")
class NoVersion(Exit):
    version = None


@fault("goals")
class GoalsWithoutNone(Exit):
    goals = ("exit",)


@fault("settings")
class SettingsLeftOut(Exit):
    settings = {"players": 2}  # noqa: RUF012


@fault("settings")
@dataclasses.dataclass(frozen=True)
class UnhashableSettings(Exit):
    layout: Any = dataclasses.field(default_factory=lambda: [1, 2])


@fault("settings")
@dataclasses.dataclass(frozen=True)
class SettingsThatJsonRefuses(Exit):
    layout: frozenset = frozenset({1})


@fault("reset")
class RewardAtReset(Exit):
    def reset(self, key):
        state, step = super().reset(key)
        return state, dataclasses.replace(step, reward=step.reward + 1)


@fault("reset")
class OverAtReset(Exit):
    def start(self, key):
        return dataclasses.replace(super().start(key), time=np.int32(7))


@fault("step")
class StepRaises(Exit):
    def advance(self, state, actions, key):
        raise KeyError("no such move")


@fault("types")
class HalfPrecision(Exit):
    look = shows(lambda state, step: {"obs": step.obs.astype(np.float16)})


@fault("types")
class TruncatedBySeat(Exit):
    look = shows(
        lambda state, step: {"truncated": np.broadcast_to(step.truncated, (3,))}
    )


@fault("types")
class NoTimeStep(Exit):
    def reset(self, key):
        state, step = super().reset(key)
        return state, step.obs


@fault("finite")
class LogOfTime(Exit):
    def observe(self, state):
        obs = super().observe(state)
        with np.errstate(divide="ignore"):
            obs[..., -1] = np.log(7.0 - state.time)
        return obs


@fault("binary")
class BlurredPlanes(Exit):
    look = shows(
        lambda state, step: {"obs": step.obs * np.float32([0.5, 1, 1, 1])}
    )


@fault("legal")
class NothingLegalOnceLeft(Exit):
    look = shows(
        lambda state, step: {"legal": step.legal & ~state.left[:, None]}
    )


@fault("flags")
class TruncatedAndTerminated(Exit):
    look = shows(
        lambda state, step: {"terminated": state.left | step.truncated}
    )


@fault("left")
class TerminatesAfterItLeft(Exit):
    look = shows(
        lambda state, step: {
            "terminated": step.terminated
            & (state.left.all() | (state.time % 2 == 1))
        }
    )


def test_a_seat_may_be_truncated_alone():
    class CutAlone(Exit):
        look = shows(
            lambda state, step: {
                "terminated": step.terminated & state.left.all()
            }
        )

    assert "left" in check_game(CutAlone()).kept


@fault("flags")
class TerminatedButPresent(Exit):
    look = shows(lambda state, step: {"present": np.ones(3, bool)})


@fault("seats")
class TooFewRoles(Exit):
    roles = ("walker", "walker")


@fault("seats")
class SeatsThatDifferUnseen(Exit):
    roles = ("walker", "walker", "guide")


@fault("seats")
class LegalActionOfNoSeat(Exit):
    seat_actions = (4, 4, 2)

    def seat_in(self, obs):
        return np.arange(3)


@fault("left")
class ComesBack(Exit):
    def advance(self, state, actions, key):
        new, reward = super().advance(state, actions, key)
        return dataclasses.replace(new, left=new.left & ~state.left), reward


@fault("left")
class RewardAfterLeaving(Exit):
    def advance(self, state, actions, key):
        new, reward = super().advance(state, actions, key)
        return new, reward + state.left.astype(np.float32)


@fault("left")
class ActsAfterLeaving(Exit):
    def advance(self, state, actions, key):
        new, reward = super().advance(state, actions, key)
        bonus = (state.left & (actions != 1)).any() & ~state.left
        return new, reward + bonus.astype(np.float32)


@fault("max_steps")
class NeverTruncated(Exit):
    def finished(self, state):
        return state.left.all()

    look = shows(lambda state, step: {"truncated": np.array(False)})


@fault("max_steps")
class TruncatedEarly(Exit):
    def finished(self, state):
        return super().finished(state) | (state.time >= 3)

    look = shows(
        lambda state, step: {
            "truncated": np.asarray((state.time >= 3) & ~state.left.all())
        }
    )


@fault("finished")
class RunsOn(Exit):
    def finished(self, state):
        return np.array(False)


@fault("finished")
class RewardAfterTheEnd(Exit):
    look = shows(
        lambda state, step: {
            "reward": step.reward + np.float32(state.time >= 7) * step.present
        }
    )


@fault("finished")
class StartsAnew(Exit):
    def step(self, state, actions, key):
        new, step = super().step(state, actions, key)
        return self.start(key) if self.finished(new) else new, step


@fault("last_observation")
class LastObservationOfAReset(Exit):
    def step(self, state, actions, key):
        new, step = super().step(state, actions, key)
        if self.finished(new):
            _, first = self.reset(key)
            step = dataclasses.replace(step, obs=first.obs, legal=first.legal)
        return new, step


@fault("determinism")
class GlobalDice(Exit):
    def start(self, key):
        cell = np.random.randint(CELLS, size=3)  # noqa: NPY002
        return dataclasses.replace(super().start(key), cell=cell)


@fault("purity")
class GlobalDiceInSteps(Exit):
    def advance(self, state, actions, key):
        new, reward = super().advance(state, actions, key)
        return new, reward + np.float32(np.random.random()) * ~state.left  # noqa: NPY002


@fault("purity")
class CountsItsSteps(Exit):
    def advance(self, state, actions, key):
        CALLS.append(1)
        new, reward = super().advance(state, actions, key)
        return new, reward + np.float32(len(CALLS) % 2) * ~state.left


@fault("mutation")
class ChangesItsState(Exit):
    def advance(self, state, actions, key):
        new, reward = super().advance(state, actions, key)
        state.cell[0] += 1
        return new, reward


@fault("mutation")
class ChangesItsActions(Exit):
    def advance(self, state, actions, key):
        new, reward = super().advance(state, actions, key)
        actions += 1
        return new, reward


@fault("ego_first")
class GlobalOrder(Exit):
    def observe(self, state):
        return np.stack([super().observe(state)[0]] * 3)


@fault("ego_first")
class OthersInAnotherOrder(Exit):
    look = shows(lambda state, step: {"obs": step.obs[..., [0, 2, 1, 3]]})


@fault("perspective")
class OwnViewForAll(Exit):
    def perspective(self, obs, other):
        return obs


@fault("perspective")
class ExchangesTheWrongPlanes(Exit):
    def perspective(self, obs, other):
        return obs if other == 0 else obs[..., [1, 0, 2, 3]]


@fault("legal_in")
class EverythingIsLegal(Exit):
    def look(self, state, reward):
        step = super().look(state, reward)
        legal = [Exit.legal_in(self, one) for one in step.obs]
        return dataclasses.replace(step, legal=np.stack(legal))

    def legal_in(self, obs):
        return np.ones(4, bool)


@fault("present_in")
class AllArePresent(Exit):
    def present_in(self, obs):
        return np.ones(3, bool)


@fault("symmetries")
class NoIdentity(Exit):
    def symmetries(self):
        return Symmetries(*(table[1:] for table in super().symmetries()))


@fault("symmetries")
class SameEntryTwice(Exit):
    def symmetries(self):
        obs, action, others = super().symmetries()
        return Symmetries(np.maximum(obs, 1), action, others)


def with_entries(game, transform):
    """Symmetries whose second observation map is `transform` of the first."""
    obs, action, others = Exit.symmetries(game)
    second = transform(obs[0].reshape(CELLS, 4)).reshape(-1)
    return Symmetries(np.stack([obs[0], second]), action, others)


@fault("symmetries")
class MirrorsTheBoardAlone(Exit):
    def symmetries(self):
        return with_entries(self, lambda entries: entries[::-1])


@fault("symmetries")
class ExchangesSelfWithAnother(Exit):
    def symmetries(self):
        return with_entries(self, lambda entries: entries[:, [1, 0, 2, 3]])


@fault("symmetries")
class ExchangesTheOthersByNameAlone(Exit):
    def symmetries(self):
        return with_entries(self, lambda entries: entries)


@fault("symmetries")
class ExchangesTheTimeWithAPlayer(Exit):
    def symmetries(self):
        return with_entries(self, lambda entries: entries[:, [0, 3, 2, 1]])


@fault("achieved")
class OneGoalForAll(Exit):
    def achieved(self, obs, action, reward):
        return np.int32(-1)


@fault("achieved")
class AchievesNone(Exit):
    def achieved(self, obs, action, reward):
        return np.where(np.asarray(action) == 3, 1, -1)


@fault("achieved")
class AchievesWithoutActing(Exit):
    def achieved(self, obs, action, reward):
        return np.where(np.asarray(action) <= 0, 0, -1)


@fault("text")
class NoText(Exit):
    def text(self, obs, seat=0):
        return ""


@fault("text")
class BrokenPicture(Exit):
    def picture(self, obs, seat=0):
        return "<svg><circle></svg>"


# -- faults of compiled games ------------------------------------------------


@fault("step")
class CompiledStepRaises(CompiledExit):
    def advance(self, state, actions, key):
        raise KeyError("no such move")


@fault("purity")
class CompiledGlobalDice(CompiledExit):
    def advance(self, state, actions, key):
        new, reward = super().advance(state, actions, key)
        return new, reward + np.float32(np.random.random()) * ~state.left  # noqa: NPY002


@fault("state")
class TimeBecomesFloat(CompiledExit):
    def step(self, state, actions, key):
        new, step = super().step(state, actions, key)
        return dataclasses.replace(new, time=new.time.astype(jnp.float32)), step


@fault("jit")
class BranchesInPython(CompiledExit):
    def finished(self, state):
        limit = int(state.time) >= self.max_steps
        return jnp.array(bool(state.left.all()) or limit)


@fault("jit")
class DiffersUnderJit(CompiledExit):
    def advance(self, state, actions, key):
        new, reward = super().advance(state, actions, key)
        traced = isinstance(actions, jax.core.Tracer)
        return new, reward + (traced & ~state.left)


@fault("vmap")
class OneAtATime(CompiledExit):
    def advance(self, state, actions, key):
        new, reward = super().advance(state, actions, key)
        shape = jax.ShapeDtypeStruct((3,), jnp.float32)
        return new, jax.pure_callback(lambda x: x, shape, reward)


@fault("vmap")
class MixesRows(CompiledExit):
    def advance(self, state, actions, key):
        new, reward = super().advance(state, actions, key)

        def shift(x):  # correct for one game; shifts the rows of a batch
            return np.roll(x, 1, axis=0) if x.ndim > 1 else x

        shape = jax.ShapeDtypeStruct((3,), jnp.int32)
        cell = jax.pure_callback(
            shift, shape, new.cell, vmap_method="expand_dims"
        )
        return dataclasses.replace(new, cell=cell), reward


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_named(name):
    CALLS.clear()
    property, kind = FAULTS[name]
    with pytest.raises(GameError) as error:
        check_game(kind(), episodes=5)
    assert error.value.property == property, str(error.value)
    message = f"exit: {property}\n  expected: {PROPERTIES[property]}\n  seen: "
    assert message in str(error.value)


def test_every_property_has_a_fault():
    assert {property for property, _ in FAULTS.values()} == set(PROPERTIES)


def test_no_episodes_are_refused():
    with pytest.raises(
        ValueError, match="episodes=0: expected a whole number, 1 to"
    ):
        check_game(Exit(), episodes=0)


# -- settings through JSON ---------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Layout(Exit):
    """A correct game with nested tuples as a setting; JSON has lists."""

    layout: tuple = ((1, 2), (3,))


def test_tuples_that_json_makes_lists_are_accepted():
    assert "settings" in check_game(Layout(), episodes=1).kept


# -- games without planes ----------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Count(Game):
    """Two players add 1 or 2 to their counts; over when both reach 6. NumPy."""

    name = "count"
    version = 1
    summary = "count to six"
    compiled = False

    max_steps: int = 5

    num_players = 2
    action_names = ("ONE", "TWO")
    obs_shape = (2,)

    def show(self, state, reward):
        counts = np.array(state["count"], np.float32)
        over = bool((counts >= 6).all())
        return TimeStep(
            obs=np.stack([counts, counts[::-1]]),
            legal=np.ones((2, 2), bool),
            reward=np.asarray(reward, np.float32),
            terminated=np.full(2, over),
            truncated=np.array(state["time"] >= self.max_steps and not over),
            present=np.ones(2, bool),
        )

    def reset(self, key):
        state = {"count": np.zeros(2, int), "time": 0}
        return state, self.show(state, np.zeros(2))

    def step(self, state, actions, key):
        if state["time"] >= self.max_steps or (state["count"] >= 6).all():
            return state, self.show(state, np.zeros(2))
        count = state["count"] + actions + 1
        state = {"count": count, "time": state["time"] + 1}
        return state, self.show(state, np.asarray(actions, np.float32))


class WearsOut(Count):
    """Changes its observations after some 60 calls."""

    def show(self, state, reward):
        CALLS.append(1)
        step = super().show(state, reward)
        return dataclasses.replace(step, obs=step.obs + (len(CALLS) > 60))


class SameForBoth(Count):
    def show(self, state, reward):
        step = super().show(state, reward)
        obs = np.stack([step.obs[0], step.obs[0]])
        return dataclasses.replace(step, obs=obs)


class Opaque:
    """An object that is no PyTree and cannot be compared."""

    def __init__(self, **attributes):
        vars(self).update(attributes)


class OpaqueStates(Count):
    """Its states are objects that JAX does not know."""

    changes_count = False

    def wrap(self, state):
        return Opaque(**state)

    def unwrap(self, state):
        return {"count": state.count, "time": state.time}

    def reset(self, key):
        state, step = super().reset(key)
        return self.wrap(state), step

    def step(self, state, actions, key):
        inner = self.unwrap(state)
        if self.changes_count and inner["time"] == 1:
            inner["count"][0] += 1
        new, step = super().step(inner, actions, key)
        return self.wrap(new), step


class NestedStates(OpaqueStates):
    """Its states are objects that hold objects of several attributes."""

    def wrap(self, state):
        return Opaque(board=Opaque(**state), count=state["count"])

    def unwrap(self, state):
        return {"count": state.count, "time": state.board.time}


class OpaqueStatesChange(OpaqueStates):
    changes_count = True


class NestedStatesChange(NestedStates):
    changes_count = True


@pytest.mark.parametrize("kind", [Count, OpaqueStates, NestedStates])
def test_games_without_planes_pass_whatever_their_states_are(kind):
    undetermined = {"legal_in", "present_in", "perspective", "symmetries"}
    skipped = {"state", "jit", "vmap", "left"} | undetermined
    assert set(check_game(kind()).skipped) == skipped


@pytest.mark.parametrize(
    "kind, property",
    [
        (OpaqueStatesChange, "mutation"),
        (NestedStatesChange, "mutation"),
        (SameForBoth, "ego_first"),
    ],
)
def test_faults_of_games_without_planes_are_named(kind, property):
    with pytest.raises(GameError) as error:
        check_game(kind())
    assert error.value.property == property, str(error.value)


def test_a_game_that_changes_during_play_is_refused():
    CALLS.clear()
    with pytest.raises(GameError) as error:
        check_game(WearsOut())
    assert error.value.property in ("purity", "determinism", "finished")


def test_snapshots_compare_like_states():
    state = {"board": Opaque(cells=np.zeros(2), time=3), "seen": [1, 2.0]}
    before = snapshot(state)
    assert same_state(state, before)
    assert same_state(
        state, {"board": Opaque(cells=np.zeros(2), time=3), "seen": [1, 2.0]}
    )
    state["board"].cells[1] = 1
    assert not same_state(state, before)
