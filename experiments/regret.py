"""Measure the regret of planners in small random games with known solutions.

The games have 15 states and 5 actions of each player. A joint action leads to a state
drawn in advance and pays a normal reward; gamma is .9. The opponents are nearly
uniform, matching (somewhat predictable, and matching their action pays 2 more) or
nearly certain. Leaf values are the true ones with normal noise of deviation 1, so that
deeper planning pays. Joint actions of one opponent are enumerated at the root; those of
three (125) are sampled.

`single draws, mctx` is the tree of `mctx`: the model step draws the opponents' actions,
each edge holds one draw, and every simulation evaluates one outcome. `--quick` runs
with few games.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import mctx as _mctx
import numpy as np

from benchmarks.timing import table
from bestreply.config import PlannerConfig
from bestreply.opponents.base import OpponentModel
from bestreply.planning.base import DecisionPoint, Models
from bestreply.planning.expectimax import expectimax
from bestreply.planning.mcts import mcts
from bestreply.planning.one_step import one_step
from experiments._page import make_parser

mctx: Any = (
    _mctx  # static checkers do not know the fields of chex's dataclasses
)

GAMMA, STATES, ACTIONS, NOISE = 0.9, 15, 5, 1.0
KINDS = {"nearly uniform": 5.0, "matching": 0.7, "nearly certain": 0.1}
"""Concentration of the Dirichlet distribution of opponents' policies."""
CONFIG = PlannerConfig(samples=16)
BUDGETS = (16, 32, 64)


class TabularGame(eqx.Module):
    """A world model from tables over states, own actions and joint opponent actions."""

    next_state: Any  # [S, A, M]
    rewards: Any  # [S, A, M]
    values: Any  # [S]
    num_actions: int = eqx.field(static=True, default=ACTIONS)

    def _at(self, entries: Any, z: Any, action: Any, others: Any) -> Any:
        return entries[
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
        return self.values[z][None]

    def values_of(self, z: Any, belief: Any) -> Any:
        return self.values[z][None]


class GameSize:
    """The part of a game that planners use here: the number of players; all are present."""

    def __init__(self, others: int) -> None:
        self.num_players = others + 1

    def present_in(self, obs: Any) -> None:
        return None


class KnownPolicies(OpponentModel):
    """Opponents with known policies [S, others, A]."""

    policies: Any
    game: Any = eqx.field(static=True)

    def init(self) -> Any:
        return ()

    def predict(self, belief: Any, obs: Any, legal: Any) -> Any:
        return self.policies[jnp.argmax(obs)]


def games(
    kind: str, others: int, count: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return random games and their solutions.

    Args:
        kind: of the opponents, of `KINDS`.
        others: number of opponents.
        count: number of games.

    Returns:
        Tables of all games (a leading axis), and Q* [count, S, A].
    """
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
    values = np.zeros((count, STATES))
    q = np.zeros((count, STATES, ACTIONS))
    for _ in range(200):
        after = values[np.arange(count)[:, None, None, None], lands]
        q = np.einsum("csam,csm->csa", rewards + GAMMA * after, chances)
        values = q.max(-1)
    noisy = values + NOISE * rng.normal(size=values.shape)
    tables = {
        "next_state": lands,
        "rewards": rewards,
        "values": noisy,
        "policies": policies,
    }
    return {
        name: x if name == "next_state" else x.astype(np.float32)
        for name, x in tables.items()
    }, q


Decide = Callable[..., Any]


def by(planner: Any, **settings: Any) -> Decide:
    """Return a function that chooses the action of a planner of the library."""

    def decide(
        world: Any, opponents: Any, obs: Any, present: Any, key: Any
    ) -> Any:
        models = Models(world, opponents, GAMMA, CONFIG)
        at = DecisionPoint(obs, jnp.ones(ACTIONS, bool), present, ())
        return planner(models, at, key, **settings).action

    return decide


def single_draws(simulations: int) -> Decide:
    """Return a function that chooses the action of `mctx` with opponents drawn in the model step."""

    def decide(
        world: Any, opponents: Any, obs: Any, present: Any, key: Any
    ) -> Any:
        legal = jnp.ones(ACTIONS, bool)

        def step(key: Any, action: Any, z: Any) -> Any:
            chances = opponents.predict((), world.imagine(z), legal)
            others = jax.random.categorical(key, jnp.log(chances))
            after = world.next(z, action, others)
            flat, reward = jnp.zeros(ACTIONS), world.reward(z, action, others)
            output = mctx.RecurrentFnOutput(
                reward=reward,
                discount=jnp.float32(GAMMA),
                prior_logits=flat,
                value=world.values[after],
            )
            return output, after

        def recurrent(params: Any, key: Any, action: Any, z: Any) -> Any:
            return jax.vmap(step)(jax.random.split(key, len(z)), action, z)

        z = world.encode(obs)[None]
        root = mctx.RootFnOutput(
            prior_logits=jnp.zeros((1, ACTIONS)),
            value=world.values[z],
            embedding=z,
        )
        found = mctx.gumbel_muzero_policy(
            (), key, root, recurrent, simulations, gumbel_scale=0.0
        )
        return found.action[0]

    return decide


def deciders() -> dict[str, Decide]:
    """Return the planners by name."""
    result = {"one step": by(one_step), "two steps": by(expectimax)}
    result |= {
        f"search, {n} simulations": by(mcts, simulations=n) for n in BUDGETS
    }
    return result | {
        f"single draws, mctx, {n} simulations": single_draws(n) for n in BUDGETS
    }


def measure(count: int) -> dict[str, dict[str, tuple[float, float]]]:
    """Return mean regret and its standard error, by planner and opponents.

    Args:
        count: decisions with one opponent; a quarter of it with three.
    """
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
        game = GameSize(others)  # one object, so that nothing is compiled twice
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
                world = TabularGame(
                    tables["next_state"], tables["rewards"], tables["values"]
                )
                opponents = KnownPolicies(tables["policies"], game)
                return decide(
                    world,
                    opponents,
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
    """Return the rows of a table, the heading first: a planner a row, regrets with their standard errors."""
    first = next(iter(found.values()))
    body = [
        [name, *(f"{m:.3f} ± {e:.3f}" for m, e in row.values())]
        for name, row in found.items()
    ]
    return [["", *first], *body]


def main() -> None:
    parser = make_parser("regret", __doc__)
    parser.add_argument(
        "--games", type=int, default=2000, help="decisions of each planner"
    )
    parser.add_argument("--quick", action="store_true", help="8 games")
    arguments = parser.parse_args()
    heading, *body = rows(measure(8 if arguments.quick else arguments.games))
    print(table(heading, body))


if __name__ == "__main__":
    main()
