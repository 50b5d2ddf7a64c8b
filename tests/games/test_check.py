"""Faults planted one at a time in small games that are otherwise well; each must be called by its name."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply.games import GameError, check_game
from bestreply.games.base import Game, Symmetries
from bestreply.games.contract import PROPERTIES
from bestreply.types import TimeStep, ego_order

CELLS = 4


class ExitState(eqx.Module):
    cell: Any  # [n] int32
    left: Any  # [n] bool
    time: Any  # [] int32


@dataclasses.dataclass(frozen=True)
class Exit(Game):
    """Players walk on a line; on its last cell they may leave, for a reward of 1. Over when all have left."""

    name = "exit"
    version = 1
    summary = "walk to the exit"

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
        return (
            "self",
            *(f"player_{j}" for j in range(1, self.players)),
            "time",
        )

    @property
    def binary(self):
        return np.broadcast_to(
            np.arange(self.players + 1) < self.players, self.obs_shape
        )

    def start(self, key):
        cell = jax.random.randint(key, (self.players,), 0, CELLS)
        return ExitState(cell, jnp.zeros(self.players, bool), jnp.int32(0))

    def advance(self, state, actions, key):
        leaves = (actions == 3) & ~state.left
        moves = jnp.where(state.left | (actions == 3), 0, actions - 1)
        return ExitState(
            state.cell + moves, state.left | leaves, state.time + 1
        ), leaves.astype(jnp.float32)

    def finished(self, state):
        return state.left.all() | (state.time >= self.max_steps)

    def look(self, state, reward):
        obs = self.observe(state)
        return TimeStep(
            obs=obs,
            legal=jax.vmap(self.legal_in)(obs),
            reward=reward,
            terminated=state.left,
            truncated=(state.time >= self.max_steps) & ~state.left.all(),
            present=~state.left,
        )

    def observe(self, state):
        players = jax.nn.one_hot(state.cell, CELLS) * ~state.left[:, None]
        seen = jnp.moveaxis(players[ego_order(self.players)], 1, -1)
        time = jnp.full(
            (self.players, CELLS, 1), 1 - state.time / self.max_steps
        )
        return jnp.concatenate([seen, time], -1)

    def perspective(self, obs, other):
        order = jnp.argsort(jnp.arange(self.players) != other, stable=True)
        return jnp.concatenate(
            [jnp.take(obs[..., :-1], order, axis=-1), obs[..., -1:]], -1
        )

    def legal_in(self, obs):
        me = obs[:, 0] > 0.5
        return jnp.stack([me[1:].any(), jnp.array(True), me[:-1].any(), me[-1]])

    def present_in(self, obs):
        return obs[..., : self.players].max(-2) > 0.5

    def achieved(self, obs, action, reward):
        return jnp.where(jnp.asarray(action) == 3, 0, -1)

    def symmetries(self):
        """The two others of three players are alike."""
        planes = np.array([[0, 1, 2, 3], [0, 2, 1, 3]])
        obs = (np.arange(CELLS)[:, None] * 4 + planes[:, None, :]).reshape(
            2, -1
        )
        return Symmetries(
            obs, np.array([[0, 1, 2, 3]] * 2), np.array([[0, 1], [1, 0]])
        )


def test_a_game_that_is_well_passes_and_says_what_was_checked():
    report = check_game(Exit())
    assert report.kept == tuple(PROPERTIES) and report.skipped == {}
    assert report.episodes == 6 and 6 <= report.steps <= 42
    assert (
        str(report)
        == f"exit: {len(PROPERTIES)} properties kept over 6 episodes, {report.steps} steps"
    )


FAULTS = {}


def fault(property):
    """Registers a broken game under the property that it breaks."""

    def register(kind):
        FAULTS[kind.__name__] = (property, kind)
        return kind

    return register


def shown(change):
    """A `look` that shows something else: `change(state, shown)` gives the fields to replace."""

    def look(self, state, reward):
        step = Exit.look(self, state, reward)
        return dataclasses.replace(step, **change(state, step))

    return look


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
class SettingsThatCannotBeHashed(Exit):
    layout: Any = dataclasses.field(default_factory=lambda: [1, 2])


@fault("settings")
@dataclasses.dataclass(frozen=True)
class SettingsThatJsonChanges(Exit):
    layout: tuple = (1, 2)


@fault("reset")
class PaidForNothing(Exit):
    def reset(self, key):
        state, step = super().reset(key)
        return state, dataclasses.replace(step, reward=step.reward + 1)


@fault("reset")
class OverBeforeItBegins(Exit):
    def start(self, key):
        return dataclasses.replace(super().start(key), time=jnp.int32(7))


@fault("step")
class StepRaises(Exit):
    def advance(self, state, actions, key):
        raise KeyError("no such move")


@fault("types")
class HalfPrecision(Exit):
    look = shown(lambda state, step: {"obs": step.obs.astype(jnp.float16)})


@fault("types")
class TruncatedBySeat(Exit):
    look = shown(
        lambda state, step: {
            "truncated": jnp.broadcast_to(step.truncated, (3,))
        }
    )


@fault("types")
class NoTimeStep(Exit):
    def reset(self, key):
        state, step = super().reset(key)
        return state, step.obs


@fault("finite")
class LogOfTime(Exit):
    look = shown(
        lambda state, step: {
            "obs": step.obs.at[..., -1].set(jnp.log(7.0 - state.time))
        }
    )


@fault("binary")
class BlurredPlanes(Exit):
    look = shown(lambda state, step: {"obs": step.obs.at[..., 0].mul(0.5)})


@fault("legal")
class NothingLegalOnceLeft(Exit):
    look = shown(
        lambda state, step: {"legal": step.legal & ~state.left[:, None]}
    )


@fault("flags")
class TruncatedAndTerminated(Exit):
    look = shown(
        lambda state, step: {"terminated": state.left | step.truncated}
    )


@fault("flags")
class LeftButNotTerminated(Exit):
    look = shown(
        lambda state, step: {"terminated": step.terminated & state.left.all()}
    )


@fault("flags")
class TerminatedButPresent(Exit):
    look = shown(lambda state, step: {"present": step.present | True})


@fault("left")
class ComesBack(Exit):
    def advance(self, state, actions, key):
        new, reward = super().advance(state, actions, key)
        return dataclasses.replace(new, left=new.left & ~state.left), reward


@fault("left")
class PaidAfterLeaving(Exit):
    def advance(self, state, actions, key):
        new, reward = super().advance(state, actions, key)
        return new, reward + state.left


@fault("left")
class ActsAfterLeaving(Exit):
    def advance(self, state, actions, key):
        new, reward = super().advance(state, actions, key)
        haunted = (state.left & (actions != 1)).any() & ~state.left
        return new, reward + haunted


@fault("max_steps")
class NeverTruncated(Exit):
    def finished(self, state):
        return state.left.all()

    look = shown(lambda state, step: {"truncated": jnp.array(False)})


@fault("max_steps")
class TruncatedEarly(Exit):
    def finished(self, state):
        return super().finished(state) | (state.time >= 3)

    look = shown(
        lambda state, step: {"truncated": (state.time >= 3) & ~state.left.all()}
    )


@fault("finished")
class RunsOn(Exit):
    def finished(self, state):
        return jnp.array(False)


@fault("finished")
class PaidAtTheEndForEver(Exit):
    look = shown(
        lambda state, step: {
            "reward": step.reward + (state.time >= 7) * step.present
        }
    )


@fault("finished")
class StartsAnew(Exit):
    def step(self, state, actions, key):
        new, step = super().step(state, actions, key)
        fresh, over = self.start(key), self.finished(new)
        return jax.tree.map(
            lambda a, b: jnp.where(over, a, b), fresh, new
        ), step


@fault("last_observation")
class LastObservationOfAReset(Exit):
    def step(self, state, actions, key):
        new, step = super().step(state, actions, key)
        _, fresh = self.reset(key)
        obs, legal = (
            jnp.where(self.finished(new), getattr(fresh, f), getattr(step, f))
            for f in ("obs", "legal")
        )
        return new, dataclasses.replace(step, obs=obs, legal=legal)


@fault("determinism")
class GlobalDice(Exit):
    def start(self, key):
        cell = np.random.randint(CELLS, size=3)  # noqa: NPY002
        return dataclasses.replace(super().start(key), cell=jnp.array(cell))


@fault("purity")
class GlobalDiceInSteps(Exit):
    def advance(self, state, actions, key):
        new, reward = super().advance(state, actions, key)
        return new, reward + np.float32(np.random.random()) * ~state.left  # noqa: NPY002


@fault("state")
class TimeTurnsFloat(Exit):
    def step(self, state, actions, key):
        new, step = super().step(state, actions, key)
        return dataclasses.replace(new, time=new.time.astype(jnp.float32)), step


@fault("jit")
class BranchesInPython(Exit):
    def finished(self, state):
        return jnp.array(
            bool(state.left.all()) or int(state.time) >= self.max_steps
        )


@fault("jit")
class OtherwiseUnderJit(Exit):
    def advance(self, state, actions, key):
        new, reward = super().advance(state, actions, key)
        return new, reward + (
            isinstance(actions, jax.core.Tracer) & ~state.left
        )


@fault("vmap")
class OneAtATime(Exit):
    def advance(self, state, actions, key):
        new, reward = super().advance(state, actions, key)
        return new, jax.pure_callback(
            lambda x: x, jax.ShapeDtypeStruct((3,), jnp.float32), reward
        )


@fault("vmap")
class MixesRows(Exit):
    def advance(self, state, actions, key):
        new, reward = super().advance(state, actions, key)

        def call(
            x,
        ):  # right for one game; for several it sees them all and shifts them
            return np.roll(x, 1, axis=0) if x.ndim > 1 else x

        shape = jax.ShapeDtypeStruct((3,), jnp.int32)
        return dataclasses.replace(
            new,
            cell=jax.pure_callback(
                call, shape, new.cell, vmap_method="expand_dims"
            ),
        ), reward


@fault("ego_first")
class InGlobalOrder(Exit):
    def look(self, state, reward):
        seen = jnp.broadcast_to(super().observe(state)[:1], (3, CELLS, 4))
        return dataclasses.replace(super().look(state, reward), obs=seen)


@fault("ego_first")
class OthersInAnotherOrder(Exit):
    def look(self, state, reward):
        step = super().look(state, reward)
        return dataclasses.replace(
            step, obs=step.obs[..., np.array([0, 2, 1, 3])]
        )


@fault("perspective")
class TheirViewIsOurs(Exit):
    def perspective(self, obs, other):
        return obs


@fault("perspective")
class SwapsTheWrongPlanes(Exit):
    def perspective(self, obs, other):
        return jnp.where(other == 0, obs, obs[..., np.array([1, 0, 2, 3])])


@fault("legal_in")
class EverythingIsLegal(Exit):
    def look(self, state, reward):
        step = Exit.look(self, state, reward)
        return dataclasses.replace(
            step, legal=jax.vmap(lambda o: Exit.legal_in(self, o))(step.obs)
        )

    def legal_in(self, obs):
        return jnp.ones(4, bool)


@fault("present_in")
class NobodyIsMissed(Exit):
    def present_in(self, obs):
        return jnp.ones(3, bool)


@fault("symmetries")
class NothingStaysPut(Exit):
    def symmetries(self):
        return Symmetries(*(table[1:] for table in super().symmetries()))


@fault("symmetries")
class SameEntryTwice(Exit):
    def symmetries(self):
        obs, action, others = super().symmetries()
        return Symmetries(np.maximum(obs, 1), action, others)


@fault("symmetries")
class TurnsTheBoardAlone(Exit):
    def symmetries(self):
        obs, action, others = super().symmetries()
        return Symmetries(
            np.stack([obs[0], obs[0].reshape(CELLS, 4)[::-1].reshape(-1)]),
            action,
            others,
        )


@fault("symmetries")
class SwapsSelfWithAnother(Exit):
    def symmetries(self):
        obs, action, others = super().symmetries()
        planes = np.array([1, 0, 2, 3])
        return Symmetries(
            np.stack([obs[0], obs[0].reshape(CELLS, 4)[:, planes].reshape(-1)]),
            action,
            others,
        )


@fault("symmetries")
class SwapsTheOthersByNameAlone(Exit):
    def symmetries(self):
        obs, action, others = super().symmetries()
        return Symmetries(obs[[0, 0]], action, others)


@fault("symmetries")
class SwapsTheTimeWithAPlayer(Exit):
    def symmetries(self):
        obs, action, others = super().symmetries()
        planes = np.array([0, 3, 2, 1])
        return Symmetries(
            np.stack([obs[0], obs[0].reshape(CELLS, 4)[:, planes].reshape(-1)]),
            action,
            others,
        )


@fault("achieved")
class OneGoalForAll(Exit):
    def achieved(self, obs, action, reward):
        return jnp.int32(-1)


@fault("achieved")
class AchievesNone(Exit):
    def achieved(self, obs, action, reward):
        return jnp.where(jnp.asarray(action) == 3, 1, -1)


@fault("achieved")
class AchievesWithoutActing(Exit):
    def achieved(self, obs, action, reward):
        return jnp.where(jnp.asarray(action) <= 0, 0, -1)


@fault("text")
class NoText(Exit):
    def text(self, obs, seat=0):
        return ""


@fault("text")
class BrokenPicture(Exit):
    def picture(self, obs, seat=0):
        return "<svg><circle></svg>"


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_called_by_its_name(name):
    property, kind = FAULTS[name]
    with pytest.raises(GameError) as told:
        check_game(kind(), episodes=5)
    assert told.value.property == property, str(told.value)
    assert (
        f"exit: {property}\n  expected: {PROPERTIES[property]}\n  seen: "
        in str(told.value)
    )


# -- games on the host ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Count(Game):
    """Two players add 1 or 2 to a count of their own; over when both reach 6. NumPy, no planes."""

    name = "count"
    version = 1
    summary = "count to six"
    compiled = False

    max_steps: int = 5

    num_players = 2
    action_names = ("ONE", "TWO")
    obs_shape = (2,)

    def show(self, state, reward):
        mine = np.array(state["count"], np.float32)
        over = bool((mine >= 6).all())
        return TimeStep(
            obs=np.stack([mine, mine[::-1]]),
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
        state = self.moved(state, actions)
        return state, self.show(state, np.asarray(actions, np.float32))

    def moved(self, state, actions):
        return {
            "count": state["count"] + actions + 1,
            "time": state["time"] + 1,
        }


class InPlace(Count):
    def moved(self, state, actions):
        state["count"] += actions + 1
        return state | {"time": state["time"] + 1}


class OverwritesActions(Count):
    def step(self, state, actions, key):
        actions += 1
        return super().step(state, actions - 1, key)


CALLS = []


class RemembersItself(Count):
    def moved(self, state, actions):
        CALLS.append(1)
        return super().moved(state, actions + len(CALLS) % 2)


class WearsOut(Count):
    def show(self, state, reward):
        CALLS.append(1)
        step = super().show(state, reward)
        return dataclasses.replace(step, obs=step.obs + (len(CALLS) > 60))


class SameForBoth(Count):
    def show(self, state, reward):
        step = super().show(state, reward)
        return dataclasses.replace(
            step, obs=np.stack([step.obs[0], step.obs[0]])
        )


class Opaque:
    """A state that is no PyTree and cannot be compared."""

    def __init__(self, count, time):
        self.count, self.time = count, time


class OpaqueStates(Count):
    spoil = False

    def reset(self, key):
        state, step = super().reset(key)
        return Opaque(state["count"], state["time"]), step

    def step(self, state, actions, key):
        if self.spoil and state.time == 1:
            state.count[0] += 1
        new, step = super().step(
            {"count": state.count, "time": state.time}, actions, key
        )
        return Opaque(new["count"], new["time"]), step


class OpaqueStatesSpoilt(OpaqueStates):
    spoil = True


@pytest.mark.parametrize("kind", [Count, OpaqueStates])
def test_a_host_game_that_is_well_passes(kind):
    report = check_game(kind())
    assert set(report.skipped) == {
        "state",
        "jit",
        "vmap",
        "legal_in",
        "present_in",
        "perspective",
        "left",
        "symmetries",
    }
    assert "not checked: jit: not a compiled game" in str(report)


@pytest.mark.parametrize(
    "kind, property",
    [
        (InPlace, "mutation"),
        (OpaqueStatesSpoilt, "mutation"),
        (OverwritesActions, "mutation"),
        (RemembersItself, "purity"),
        (SameForBoth, "ego_first"),
    ],
)
def test_faults_of_host_games_are_called_by_their_names(kind, property):
    CALLS.clear()
    with pytest.raises(GameError) as told:
        check_game(kind())
    assert told.value.property == property, str(told.value)


def test_a_game_that_changes_while_it_is_played_is_found_out():
    CALLS.clear()
    with pytest.raises(GameError) as told:
        check_game(WearsOut())
    assert told.value.property in ("purity", "determinism", "finished")


def test_no_episodes_are_refused():
    with pytest.raises(ValueError, match="episodes=0"):
        check_game(Exit(), episodes=0)
