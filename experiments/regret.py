"""How well the planners decide, without a learned model's faults: regret in small random games that are known exactly.

15 states, 5 own actions and 5 of each other player; a joint action leads to a state drawn once and for all and pays a normal reward,
for ever, with gamma .9. The others are nearly uniform, matching (they are somewhat predictable, and answering their move pays 2 more)
or nearly certain. Values at the leaves are the true ones with normal noise of deviation 1, so that looking further pays. Against one
other, joint actions are enumerated at the root; against three they are 125, and drawn.

`single draws, mctx` is the tree as `mctx` has it: each edge holds one draw of the others, made in the model step, and every
simulation evaluates one outcome.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import mctx as _mctx
import numpy as np

from bestreply.config import PlannerConfig
from bestreply.opponents.base import OpponentModel
from bestreply.planning.base import DecisionPoint, Models
from bestreply.planning.expectimax import expectimax
from bestreply.planning.mcts import mcts
from bestreply.planning.one_step import one_step

mctx: Any = (
    _mctx  # a static checker can't follow the fields of chex's dataclasses
)

GAMMA, STATES, ACTIONS, NOISE = 0.9, 15, 5, 1.0
KINDS = {"nearly uniform": 5.0, "matching": 0.7, "nearly certain": 0.1}
"""Concentration of the Dirichlet distribution that the others' policies are from."""
CONFIG = PlannerConfig(samples=16)
BUDGETS = (16, 32, 64)


class Small(eqx.Module):
    """A game in tables over states, own actions and the others' joint actions, as a planner asks for it."""

    next_state: Any  # [S, A, M]
    rewards: Any  # [S, A, M]
    worth: Any  # [S]
    num_actions: int = eqx.field(static=True, default=ACTIONS)

    def _at(self, table: Any, z: Any, action: Any, others: Any) -> Any:
        return table[
            z, action, others @ (ACTIONS ** jnp.arange(len(others))[::-1])
        ]

    def encode(self, obs: Any) -> Any:
        return jnp.argmax(obs).astype(jnp.int32)

    def next(self, z: Any, action: Any, others: Any) -> Any:
        return self._at(self.next_state, z, action, others)

    def imagine(self, z: Any) -> Any:
        return jax.nn.one_hot(z, STATES)

    def reward(self, z: Any, action: Any, others: Any) -> Any:
        return self._at(self.rewards, z, action, others)

    def continues(self, z: Any, action: Any, others: Any) -> Any:
        return jnp.float32(30)

    def allowed(self, z: Any) -> Any:
        return jnp.ones(ACTIONS, bool)

    def value(self, z: Any, obs: Any, belief: Any) -> Any:
        return self.worth[z][None]

    def values_of(self, z: Any, belief: Any) -> Any:
        return self.worth[z][None]


class Nobody:
    """All that is asked of the game: what an observation tells of who is there."""

    def __init__(self, others: int) -> None:
        self.num_players = others + 1

    def present_in(self, obs: Any) -> None:
        return None


class Known(OpponentModel):
    """Others whose policies [S, others, A] are known."""

    policies: Any
    game: Any = eqx.field(static=True)

    def init(self) -> Any:
        return ()

    def predict(self, belief: Any, obs: Any, legal: Any) -> Any:
        return self.policies[jnp.argmax(obs)]


def games(
    kind: str, others: int, count: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Tables of `count` games (a leading axis), and Q* [count, S, A]."""
    rng, joint = np.random.default_rng(0), ACTIONS**others
    lands = rng.integers(0, STATES, (count, STATES, ACTIONS, joint)).astype(
        np.int32
    )
    rewards = rng.normal(size=lands.shape)
    if kind == "matching":
        rewards = 0.3 * rewards + 2 * (
            np.arange(ACTIONS)[:, None] == np.arange(joint) % ACTIONS
        )
    policies = rng.dirichlet([KINDS[kind]] * ACTIONS, (count, STATES, others))
    chances = policies[:, :, 0]
    for j in range(1, others):
        chances = (chances[..., None] * policies[:, :, j, None, :]).reshape(
            count, STATES, -1
        )
    worth = np.zeros((count, STATES))
    q = np.zeros((count, STATES, ACTIONS))
    for _ in range(200):
        after = worth[np.arange(count)[:, None, None, None], lands]
        q = np.einsum("csam,csm->csa", rewards + GAMMA * after, chances)
        worth = q.max(-1)
    noisy = worth + NOISE * rng.normal(size=worth.shape)
    tables = {
        "next_state": lands,
        "rewards": rewards,
        "worth": noisy,
        "policies": policies,
    }
    return {
        name: x if name == "next_state" else x.astype(np.float32)
        for name, x in tables.items()
    }, q


Decide = Callable[..., Any]


def by(planner: Any, **settings: Any) -> Decide:
    """The action that a planner of the library chooses."""

    def decide(
        world: Any, logged_beliefs: Any, obs: Any, present: Any, key: Any
    ) -> Any:
        models = Models(world, logged_beliefs, GAMMA, CONFIG)
        at = DecisionPoint(obs, jnp.ones(ACTIONS, bool), present, ())
        return planner(models, at, key, **settings).action

    return decide


def single_draws(simulations: int) -> Decide:
    """The action that `mctx` chooses where its model step draws what the others do."""

    def decide(
        world: Any, logged_beliefs: Any, obs: Any, present: Any, key: Any
    ) -> Any:
        legal = jnp.ones(ACTIONS, bool)

        def step(key: Any, action: Any, z: Any) -> Any:
            chances = logged_beliefs.predict((), world.imagine(z), legal)
            others = jax.random.categorical(key, jnp.log(chances))
            after = world.next(z, action, others)
            flat, reward = jnp.zeros(ACTIONS), world.reward(z, action, others)
            output = mctx.RecurrentFnOutput(
                reward=reward,
                discount=jnp.float32(GAMMA),
                prior_logits=flat,
                value=world.worth[after],
            )
            return output, after

        def recurrent(params: Any, key: Any, action: Any, z: Any) -> Any:
            return jax.vmap(step)(jax.random.split(key, len(z)), action, z)

        z = world.encode(obs)[None]
        root = mctx.RootFnOutput(
            prior_logits=jnp.zeros((1, ACTIONS)),
            value=world.worth[z],
            embedding=z,
        )
        found = mctx.gumbel_muzero_policy(
            (), key, root, recurrent, simulations, gumbel_scale=0.0
        )
        return found.action[0]

    return decide


def deciders() -> dict[str, Decide]:
    """By name."""
    made = {"one step": by(one_step), "two steps": by(expectimax)}
    made |= {
        f"search, {n} simulations": by(mcts, simulations=n) for n in BUDGETS
    }
    return made | {
        f"single draws, mctx, {n} simulations": single_draws(n) for n in BUDGETS
    }


def measure(count: int) -> dict[str, dict[str, tuple[float, float]]]:
    """By decider, then by who the others are: mean regret of `count` decisions and its standard error."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for others in (1, 3):
        size = (
            count if others == 1 else count // 4
        )  # its tables are 25 times as large
        known = {kind: games(kind, others, size) for kind in KINDS}
        present, keys = (
            jnp.ones(others + 1, bool),
            jax.random.split(jax.random.key(0), size),
        )
        game = Nobody(others)  # one object, so that nothing is compiled twice
        start = np.random.default_rng(1).integers(0, STATES, size)
        for name, decide in deciders().items():

            @jax.jit
            @partial(jax.vmap, in_axes=(0, 0, 0))
            def decided(
                tables: Any,
                state: Any,
                key: Any,
                decide: Any = decide,
                game: Any = game,
                present: Any = present,
            ) -> Any:
                world = Small(
                    tables["next_state"], tables["rewards"], tables["worth"]
                )
                logged_beliefs = Known(tables["policies"], game)
                return decide(
                    world,
                    logged_beliefs,
                    jax.nn.one_hot(state, STATES),
                    present,
                    key,
                )

            for kind, (tables, q) in known.items():
                at = q[np.arange(size), start]
                lost = (
                    at.max(1)
                    - at[
                        np.arange(size),
                        np.asarray(decided(tables, start, keys)),
                    ]
                )
                figures = (
                    float(lost.mean()),
                    float(lost.std(ddof=1) / size**0.5),
                )
                found.setdefault(name, {})[
                    f"{kind}, {others} other{'s' * (others > 1)}"
                ] = figures
    return found


def rows(found: dict[str, dict[str, tuple[float, float]]]) -> list[list[str]]:
    """For a table: a decider a row, regrets with their standard errors; the heading first."""
    first = next(iter(found.values()))
    body = [
        [name, *(f"{m:.3f} ± {e:.3f}" for m, e in row.values())]
        for name, row in found.items()
    ]
    return [["", *first], *body]


if __name__ == "__main__":
    from benchmarks.timing import table

    heading, *body = rows(measure(2000))
    print(table(heading, body))
