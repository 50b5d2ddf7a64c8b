"""A package of somebody else's on `sys.path`: a game, players, a planner, an opponent model, a method."""

import sys
from pathlib import Path

import pytest

GAMES = '''
import dataclasses

import jax.numpy as jnp

from bestreply.games import Game
from bestreply.types import TimeStep


@dataclasses.dataclass(frozen=True)
class MyGame(Game):
    """Each of two players picks a number below `size`; equal numbers pay 1."""

    name = "my_game"
    version = 1
    summary = "equal numbers pay"

    size: int = 2
    max_steps: int = 3
    weights: tuple[float, ...] = (1.0,)

    num_players = 2
    obs_shape = (1,)

    def __post_init__(self):
        if self.size < 1:
            raise ValueError("my own check of the size")

    @property
    def action_names(self):
        return tuple(map(str, range(self.size)))

    def start(self, key):
        return jnp.int32(0)

    def advance(self, state, actions, key):
        return state + 1, jnp.full(2, actions[0] == actions[1], jnp.float32)

    def finished(self, state):
        return state >= self.max_steps

    def look(self, state, reward):
        over = self.finished(state)
        return TimeStep(
            obs=jnp.full((2, 1), state / self.max_steps),
            legal=jnp.ones((2, self.size), bool),
            reward=reward,
            terminated=jnp.full(2, over),
            truncated=jnp.array(False),
            present=jnp.ones(2, bool),
        )


def small(size: int = 3) -> MyGame:
    return MyGame(size=size)


def careless(size=3):
    return MyGame(size=size)
'''
PLAYERS = '''
import equinox as eqx
import jax

import bestreply as br
from bestreply.games import Game
from bestreply.players import ScriptedPlayer


class Last(ScriptedPlayer):
    """Always the last action."""

    name = "last"
    version = 1

    def policy(self, carry, obs, legal):
        return jax.nn.one_hot(legal.shape[0] - 1, legal.shape[0])


class Chaser(ScriptedPlayer):
    game: Game = eqx.field(static=True)
    number: int = eqx.field(static=True, default=0)
    name: str = eqx.field(static=True, default="chaser")
    version: int = eqx.field(static=True, default=1)

    def policy(self, carry, obs, legal):
        return jax.nn.one_hot(self.number, legal.shape[0])


def first_of(*players, game, word="none"):
    return players[0]


def broken(game):
    raise ValueError("a mistake in my own code")


def number(game):
    return 3
'''
MODELS = '''
import equinox as eqx
import jax.numpy as jnp

from bestreply.baselines.behaviour_cloning import BehaviourCloning
from bestreply.opponents.base import UniformOpponents
from bestreply.planning.one_step import one_step
from bestreply.types import Plan


def planner(models, at, key) -> Plan:
    return one_step(models, at, key)


class Planner:
    def __init__(self, depth=1):
        self.depth = depth

    def __call__(self, models, at, key):
        return one_step(models, at, key)


class Uniform(UniformOpponents):
    """Every action is equally likely."""


class Conv(eqx.Module):
    """A convolution over the observation's first two axes."""

    conv: eqx.nn.Conv2d
    out: eqx.nn.Linear

    def __init__(self, shape, outputs, *, channels=2, key):
        self.conv = eqx.nn.Conv2d(shape[-1], channels, 3, key=key)
        size = channels * (shape[0] - 2) * (shape[1] - 2)
        self.out = eqx.nn.Linear(size, outputs, key=key)

    def __call__(self, obs):
        return self.out(self.conv(jnp.moveaxis(obs, -1, 0)).reshape(-1))


def wrong(shape, key):
    return eqx.nn.Lambda(lambda obs: obs.reshape(-1))


class Cloning(BehaviourCloning):
    """Clones."""
'''
BROKEN = "import a_package_that_is_not_installed\n"


def write_package(folder: Path, name: str) -> Path:
    """Write the package into a folder, and return the file that its import would create.

    Args:
        folder: a folder on `sys.path`.
        name: name of the package.
    """
    package = folder / name
    package.mkdir(parents=True)
    witness = folder / f"{name} was imported"
    text = f"open({str(witness)!r}, 'w').close()\n"
    (package / "__init__.py").write_text(text)
    for module, source in {
        "games": GAMES,
        "players": PLAYERS,
        "models": MODELS,
        "broken": BROKEN,
    }.items():
        (package / f"{module}.py").write_text(source)
    return witness


def forget(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove a package's modules from this process, as in a new one."""
    for module in [
        m for m in sys.modules if m == name or m.startswith(f"{name}.")
    ]:
        monkeypatch.delitem(sys.modules, module)
