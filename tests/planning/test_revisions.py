"""Values are revised in play: an agent leaves a loop that its value holds it in."""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply.config import ModelConfig, PlannerConfig
from bestreply.games.base import Game
from bestreply.opponents.base import UniformOpponents
from bestreply.planning.agent import Agent
from bestreply.planning.export import export_agent
from bestreply.planning.exported import load_export
from bestreply.planning.levels import Levels
from bestreply.planning.revisions import PLACES, Revisions, pays

GAMMA = 0.9


@dataclasses.dataclass(frozen=True)
class Line(Game):
    """Five cells, 0/1 entries; LEFT, STAY and RIGHT; a game of one player."""

    name: ClassVar[str] = "line"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "five cells"
    max_steps: int = 20
    num_players = 1
    action_names = ("left", "stay", "right")
    obs_shape = (5,)
    binary = np.ones(5, bool)


class Exact(eqx.Module):
    """The cells as latents; 1 at cell 4, where it ends, and values that can be wrong."""

    values: jax.Array
    num_actions: ClassVar[int] = 3
    obs_shape: ClassVar[tuple[int, ...]] = (5,)
    config: ClassVar[ModelConfig] = ModelConfig(value_heads="single")

    def encode(self, obs: Any) -> Any:
        return jnp.argmax(obs)

    def imagine(self, z: Any) -> Any:
        return jax.nn.one_hot(z, 5)

    def next(self, z: Any, action: Any, others: Any) -> Any:
        return jnp.clip(z + action - 1, 0, 4)

    def reward(self, z: Any, action: Any, others: Any) -> Any:
        return (self.next(z, action, others) == 4) * 1.0

    def continues(self, z: Any, action: Any, others: Any) -> Any:
        return jnp.where(self.next(z, action, others) == 4, -50.0, 50.0)

    def allowed(self, z: Any) -> Any:
        return jnp.ones(3, bool)

    def value(self, z: Any, obs: Any, belief: Any) -> Any:
        return self.values[z][None]

    def values_of(self, z: Any, belief: Any) -> Any:
        return self.value(z, None, belief)


TRUE = [0.729, 0.81, 0.9, 1.0, 0.0]
TRAP = [1.5, *TRUE[1:]]
"""Cell 0 promises what does not come."""


def played(values, steps=20, **settings):
    """Return the cells that the agent visits from cell 0, and its revisions."""
    game: Any = Line()
    world: Any = Exact(jnp.array(values))
    config = PlannerConfig(**settings)
    agent = Agent(
        world,
        UniformOpponents(game),
        game,
        config,
        GAMMA,
        levels=Levels.whole(game),
    )
    carry, visited = agent.start(), [0]
    while visited[-1] != 4 and len(visited) <= steps:
        obs = jax.nn.one_hot(visited[-1], 5)
        legal, key = jnp.ones(3, bool), jax.random.key(0)
        carry, action, _ = agent.step(carry, obs, legal, key)
        visited.append(min(max(visited[-1] + int(action) - 1, 0), 4))
    return visited, carry.at.revisions


@pytest.mark.parametrize("planner", ["one_step", "expectimax"])
def test_an_agent_leaves_a_loop_that_its_values_hold_it_in(planner):
    """Real-time dynamic programming on a table, of values that only fall."""
    stuck, none = played(TRAP, planner=planner, revise_values=False)
    assert stuck == [0] * 21 and none is None
    visited, revisions = played(TRAP, planner=planner)
    assert visited[-1] == 4 and len(visited) < 12
    values = np.array(TRAP)
    for cell in visited[:-1]:

        def value(cell, depth):
            after = [max(cell - 1, 0), cell, cell + 1]
            return max(
                1.0
                if c == 4
                else GAMMA * (value(c, depth - 1) if depth > 1 else values[c])
                for c in after
            )

        depth = 2 if planner == "expectimax" else 1
        values[cell] = min(TRAP[cell], value(cell, depth))
    number = Levels.whole(Line()).number
    found = {
        cell: float(revisions.change_at(number(jax.nn.one_hot(cell, 5))))
        for cell in range(5)
    }
    for cell in set(visited[:-1]):
        assert TRAP[cell] + found[cell] == pytest.approx(values[cell], abs=1e-5)


def test_true_values_are_not_revised():
    visited, revisions = played(TRUE)
    assert visited == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(revisions.change, 0, atol=1e-6)
    assert int(revisions.written) == 3  # the last step pays


@pytest.mark.parametrize(
    "reward, value, paid",
    [
        (4.0, 200.0, True),
        (4.0, 300.0, True),
        (1.0, 300.0, False),
        (0.0, 300.0, False),
        (0.0, 0.0, True),
        (0.1, 0.0, True),
        (-1.0, -50.0, True),
        (-2.0, -50.0, False),
        (-1.0, 50.0, False),
    ],
)
def test_a_step_that_pays_what_its_value_promises_is_no_loop_to_leave(
    reward, value, paid
):
    assert bool(pays(jnp.float32(reward), jnp.float32(value), 0.98)) is paid


def test_the_latest_observations_are_kept():
    """Each observation has one place."""
    revisions = Revisions.none(3)
    for k in range(4):
        revisions = revisions.revised(jnp.uint32(k), jnp.float32(-1.0 - k))
    found = [float(revisions.change_at(jnp.uint32(k))) for k in range(5)]
    assert found == [0, -2, -3, -4, 0]
    again = revisions.revised(jnp.uint32(2), jnp.float32(7.0))
    assert float(again.change_at(jnp.uint32(2))) == 0
    assert int(again.written) == 4
    assert len(Revisions.none(1000).change) == PLACES


def test_exact_values_and_those_without_look_ahead_are_not_revised():
    game: Any = Line()
    world: Any = Exact(jnp.array(TRUE))

    def starts_with(game, repeated=False, **settings):
        opponents = UniformOpponents(game, repeated=repeated)
        config = PlannerConfig(**settings)
        levels = Levels.whole(game)
        agent = Agent(world, opponents, game, config, GAMMA, levels=levels)
        return agent.start().at.revisions

    assert starts_with(game) is not None
    assert starts_with(game, repeated=True) is None
    assert starts_with(game, planner="action_values") is None


def test_revisions_end_with_the_episode_and_are_exported(tmp_path):
    """In a batch each loop has its own; a file acts as its session."""
    game: Any = Line()
    world: Any = Exact(jnp.array(TRAP))
    agent = Agent(
        world,
        UniformOpponents(game),
        game,
        PlannerConfig(),
        GAMMA,
        levels=Levels.whole(game),
    )
    obs, legal = np.eye(5, dtype=np.float32)[0], np.ones(3, bool)
    session, batch = agent.session(), agent.session(batch=2)
    opened = load_export(export_agent(agent, tmp_path / "agent", {}))
    state, scores, action = opened.start(), [], -1
    for t in range(8):
        action = session.act(obs, legal)
        scores.append(float(session.plan.scores.max()))
        state, exported, _ = opened.act(state, obs, legal, step=t + 1)
        both = batch.act(np.stack([obs] * 2), np.stack([legal] * 2))
        assert action == exported == both[0]
        for loop in (session, batch):
            loop.observe(None)
        batch.reset(np.array([False, True]))
        assert batch.plan.scores.max(1)[1] == pytest.approx(scores[0])
    assert np.all(np.diff(scores[:6]) < 0) and int(action) == 2
    session.reset()
    session.act(obs, legal)
    assert float(session.plan.scores.max()) == scores[0]
