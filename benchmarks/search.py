"""Decisions per second by tree search: ours, `mctx` alone on the same model, and plain UCT
in a pool of Python processes.

Markov Stag Hunt of the preset `demo`, a batch of 64 positions of its play, 16, 32 and
64 simulations a decision.

- `bestreply`: networks of the demo's sizes (untrained: the cost does not depend on
  weights), opponents predicted from a belief.
- `mctx alone`: the same networks, without opponents in the tree (they stand still) and
  without one-step scores at the root. A simulation evaluates one outcome; ours
  evaluates as many below the root, and 7 x a quarter as many at it.
- `process pool`: the usual script. The rules in Python objects, one tree a decision,
  opponents drawn from scripted players, a random playout at every leaf, one process for
  each core. It copies three lists a step and makes no observation.
- `process pool, an environment`: the same on an environment with deep copies, whose
  steps return all observations.
- `bestreply, true game`: our search on the true rules with the same scripted opponents,
  one sample and one random playout at every leaf (4 for each action at the root), like
  the process pool, so that their play is comparable. Both play whole games from the
  same starts; mean returns and the error of their difference are under "play".
- `bestreply, one step`: the planner that a search has to improve on, with its own 16
  samples.

Regret in small random games is under "regret" (`python -m experiments regret`).

The plain rules must first agree with the game: rewards and legal actions along random
play. The peak memory of the process pool is that of its parent alone.
"""

import atexit
import copy
import math
import multiprocessing
import os
import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import mctx as _mctx
import numpy as np

from benchmarks import setting
from benchmarks.timing import Job, take_turns
from bestreply.games.grid import STAY
from bestreply.models.true_model import TrueModel
from bestreply.opponents.base import present_seats
from bestreply.opponents.rules import RuleOpponents
from bestreply.planning.base import DecisionPoint, Models
from bestreply.planning.mcts import mcts
from bestreply.players import make_player
from bestreply.types import Plan
from experiments import regret

mctx: Any = (
    _mctx  # static checkers do not know the fields of chex's dataclasses
)

BATCH = 64
BUDGETS = (16, 32, 64)
OTHERS = ("nearest_stag", "nearest_hare", "random")
CHECKED = 50
ONE_STEP = "bestreply, one step"


@cache
def positions() -> tuple[Any, Any]:
    """Return observations [BATCH, ...] of present seats, and their legal actions."""
    obs, legal = setting.observations(4 * BATCH)
    present = np.flatnonzero(
        jax.vmap(partial(present_seats, setting.agent().game))(obs)[:, 0]
    )[:BATCH]
    return obs[present], legal[present]


# -- ours ------------------------------------------------------------------------------------------------------


class Playouts(TrueModel):
    """The true game, with the return of one random playout as the value of a state, as in plain UCT."""

    opponents: Any = None
    gamma: float = 1.0

    def values_of(self, z: Any, belief: Any) -> Any:
        mixed = jnp.concatenate(
            [z.cell, z.left, z.thing_present, z.time[None]]
        ).astype(jnp.uint32)
        seed = (
            mixed
            * jnp.arange(1, len(mixed) + 1, dtype=jnp.uint32)
            * jnp.uint32(2654435761)
        ).sum()

        def step(carry: Any, key: Any) -> Any:
            state, shown, total, discount = carry
            own_key, key = jax.random.split(key)
            own = jax.random.categorical(
                own_key, jnp.where(shown.legal[0], 0.0, -jnp.inf)
            )
            probs = self.opponents.predict(
                self.opponents.init(), shown.obs[0], shown.legal[0]
            )
            others = jax.random.categorical(key, jnp.log(probs))
            state, shown = self.game.step(
                state, jnp.concatenate([own[None], others]), key
            )
            total += discount * shown.reward[0]
            return (state, shown, total, discount * self.gamma), None

        nothing = jnp.zeros(self.game.num_players)
        first = z, self.game.look(z, nothing), jnp.float32(0), jnp.float32(1)
        keys = jax.random.split(jax.random.key(seed), self.game.max_steps)
        return jax.lax.scan(step, first, keys)[0][2][None]


@cache
def true_models() -> tuple[Playouts, RuleOpponents]:
    agent = setting.agent()
    rules: Any = tuple(make_player(name, agent.game) for name in OTHERS)
    opponents = RuleOpponents(
        players=rules, game=agent.game, goals=len(setting.PLAYERS)
    )
    return Playouts(
        agent.world, agent.game, opponents=opponents, gamma=agent.gamma
    ), opponents


@partial(jax.jit, static_argnames="simulations")
def decide(
    models: Any, obs: Any, legal: Any, keys: Any, simulations: int
) -> Plan:
    world, opponents = models
    agent = setting.agent()
    playouts = isinstance(
        world, Playouts
    )  # one at every leaf, as in the script
    config = replace(
        agent.config,
        simulations=simulations,
        samples=4 if playouts else agent.config.samples,
    )
    draws: Any = {"draws": 1} if playouts else {}

    def one(obs: Any, legal: Any, key: Any) -> Plan:
        present = jnp.asarray(agent.game.present_in(obs))
        planned_with = Models(world, opponents, agent.gamma, config)
        at = DecisionPoint(obs, legal, present, opponents.init())
        return mcts(planned_with, at, key, **draws)

    return jax.vmap(one)(obs, legal, keys)


def our_job(true: bool, simulations: int) -> Job:
    agent = setting.agent()
    models = true_models() if true else (agent.world, agent.opponents)
    obs, legal = positions()
    keys = jax.random.split(jax.random.key(0), BATCH)

    def job() -> float:
        jax.block_until_ready(decide(models, obs, legal, keys, simulations))
        return BATCH

    return job


def one_step_job() -> Job:
    agent = setting.agent()
    obs, legal = positions()
    plan = jax.jit(jax.vmap(agent.plan))

    def job() -> float:
        jax.block_until_ready(plan(obs, legal))
        return BATCH

    return job


@partial(jax.jit, static_argnames="simulations")
def decide_alone(
    world: Any, belief: Any, gamma: Any, obs: Any, legal: Any, simulations: int
) -> Any:
    still = jnp.full(len(belief), STAY)

    def leaf(z: Any) -> Any:
        return world.values_of(z, belief).max()

    def step(z: Any, action: Any) -> Any:
        after = world.next(z, action, still)
        output = mctx.RecurrentFnOutput(
            reward=world.reward(z, action, still),
            discount=gamma * jax.nn.sigmoid(world.continues(z, action, still)),
            prior_logits=jnp.where(world.allowed(after), 0.0, -1e9),
            value=leaf(after),
        )
        return output, after

    z = jax.vmap(world.encode)(obs)
    root = mctx.RootFnOutput(
        prior_logits=jnp.zeros(legal.shape),
        value=jax.vmap(leaf)(z),
        embedding=z,
    )
    return mctx.gumbel_muzero_policy(
        (),
        jax.random.key(0),
        root,
        lambda params, key, action, z: jax.vmap(step)(z, action),
        simulations,
        invalid_actions=~legal,
        gumbel_scale=0.0,
    ).action


def alone_job(simulations: int) -> Job:
    agent = setting.agent()
    belief = agent.opponents.posterior(agent.opponents.init())
    obs, legal = positions()

    def job() -> float:
        jax.block_until_ready(
            decide_alone(
                agent.world, belief, agent.gamma, obs, legal, simulations
            )
        )
        return BATCH

    return job


# -- the usual script ------------------------------------------------------------------------------------------

STEPS = ((-1, 0), (1, 0), (0, -1), (0, 1), (0, 0))


class Hunt:
    """Markov Stag Hunt in plain Python. Actions are those of the game: four moves, STAY, HUNT_STAG, HUNT_HARE."""

    def __init__(
        self, size: int, limit: int, at: list, gone: list, prey: list, time: int
    ) -> None:
        self.size, self.limit, self.time = size, limit, time
        self.at, self.gone, self.prey = (
            at,
            gone,
            prey,
        )  # prey: (kind, cell), 0 a stag, 1 a hare

    def copy(self) -> "Hunt":
        return Hunt(
            self.size,
            self.limit,
            list(self.at),
            list(self.gone),
            list(self.prey),
            self.time,
        )

    def over(self) -> bool:
        return all(self.gone) or self.time >= self.limit

    def legal(self, i: int) -> list[int]:
        if self.gone[i]:
            return [STAY]
        row, column = self.at[i]
        moves = [
            a
            for a, (down, right) in enumerate(STEPS)
            if 0 <= row + down < self.size and 0 <= column + right < self.size
        ]
        return moves + sorted(
            {STAY + 1 + kind for kind, cell in self.prey if cell == self.at[i]}
        )

    def step(self, actions: list[int]) -> list[float]:
        rewards = [0.0] * len(actions)
        if self.over():
            return rewards
        caught = []
        for thing in self.prey:
            kind, cell = thing
            party = [
                i
                for i, a in enumerate(actions)
                if not self.gone[i]
                and self.at[i] == cell
                and a == STAY + 1 + kind
            ]
            if len(party) >= (2 if kind == 0 else 1):
                caught.append((thing, party))
        for i, a in enumerate(actions):
            if not self.gone[i] and a < STAY:
                self.at[i] = (
                    self.at[i][0] + STEPS[a][0],
                    self.at[i][1] + STEPS[a][1],
                )
        for (kind, cell), party in caught:
            self.prey.remove((kind, cell))
            for i in party:
                rewards[i] += (10.0 if kind == 0 else 1.0) / len(party)
                self.gone[i] = True
        self.time += 1
        return rewards

    def scripted(self, i: int, name: str, rng: random.Random) -> int:
        """Return an action of player `i`: nearest_stag, nearest_hare or random."""
        legal = self.legal(i)
        kind_of_prey = {"nearest_stag": 0, "nearest_hare": 1}.get(name)
        cells = [cell for kind, cell in self.prey if kind == kind_of_prey]
        if self.gone[i] or not cells:
            return rng.choice(legal)
        row, column = self.at[i]
        far = [abs(r - row) + abs(c - column) for r, c in cells]
        if min(far) == 0:
            return STAY + 1 + kind_of_prey if kind_of_prey is not None else STAY
        r, c = rng.choice(
            [cell for cell, d in zip(cells, far, strict=True) if d == min(far)]
        )
        axes = ([0 if r < row else 1] if r != row else []) + (
            [2 if c < column else 3] if c != column else []
        )
        return rng.choice(axes)


class Environment(Hunt):
    """The same with observations: `step` makes the planes of every player, as the compiled game does."""

    seen: Any = None

    def copy(self) -> "Hunt":
        return copy.deepcopy(self)

    def step(self, actions: list[int]) -> list[float]:
        rewards = super().step(actions)
        count = len(self.at)
        self.seen = np.zeros(
            (count, self.size, self.size, count + 4), np.float32
        )
        for i in range(count):
            for plane, j in enumerate(
                [i] + [j for j in range(count) if j != i]
            ):
                if not self.gone[j]:
                    self.seen[(i, *self.at[j], plane)] = 1
        for kind, (row, column) in self.prey:
            self.seen[:, row, column, count + 1 + kind] = 1
        self.seen[..., -1] = (self.limit - self.time) / self.limit
        return rewards


class Branch:
    """A node of the tree: a sequence of own actions, for all actions of the opponents."""

    def __init__(self) -> None:
        self.visits, self.total = 0, 0.0
        self.children: dict[int, Branch] = {}


def uct(hunt: Hunt, simulations: int, gamma: float, rng: random.Random) -> int:
    """Return the action of player 0 by UCB1 (Kocsis and Szepesvari, 2006), with a random playout at every new node."""
    root = Branch()
    for _ in range(simulations):
        game, node, path, rewards, growing = hunt.copy(), root, [root], [], True
        while not game.over() and not game.gone[0]:
            legal = game.legal(0)
            if growing:
                untried = [a for a in legal if a not in node.children]
                own = (
                    rng.choice(untried)
                    if untried
                    else max(legal, key=partial(_bound, node))
                )
                growing = own in node.children
                node = node.children.setdefault(own, Branch())
                path.append(node)
            else:
                own = rng.choice(legal)
            others = [
                game.scripted(j + 1, name, rng) for j, name in enumerate(OTHERS)
            ]
            rewards.append(game.step([own, *others])[0])
        for t, node in enumerate(path):
            node.visits += 1
            node.total += sum(
                r * gamma**k for k, r in enumerate(rewards[max(t - 1, 0) :])
            )
    return max(root.children, key=lambda a: root.children[a].visits)


def _bound(node: Branch, action: int) -> float:
    child = node.children[action]
    return child.total / child.visits + 5.0 * math.sqrt(
        2 * math.log(node.visits) / child.visits
    )


def decide_plainly(task: tuple[Hunt, int, float, int]) -> int:
    hunt, simulations, gamma, seed = task
    return uct(hunt, simulations, gamma, random.Random(seed))


def play_plainly(task: tuple[Hunt, int, float, int]) -> float:
    """Return the return of player 0 from a start."""
    hunt, simulations, gamma, seed = task
    rng, total = random.Random(seed), 0.0
    while not hunt.over() and not hunt.gone[0]:
        own = uct(hunt, simulations, gamma, rng)
        total += hunt.step(
            [
                own,
                *(
                    hunt.scripted(j + 1, name, rng)
                    for j, name in enumerate(OTHERS)
                ),
            ]
        )[0]
    return total


def plain(state: Any, form: type[Hunt] = Hunt) -> Hunt:
    """Return a state of the compiled game as Python objects."""
    game: Any = setting.agent().game
    state = jax.tree.map(np.asarray, state)
    at = [divmod(int(c), game.width) for c in state.cell]
    things = zip(
        game.thing_kind, state.thing_cell, state.thing_present, strict=True
    )
    prey = [
        (int(kind), divmod(int(cell), game.width))
        for kind, cell, there in things
        if there
    ]
    return form(
        game.width,
        game.max_steps,
        at,
        [bool(x) for x in state.left],
        prey,
        int(state.time),
    )


@cache
def pool() -> Any:
    # A forked child would inherit JAX's threads half way through whatever they do.
    made = multiprocessing.get_context("spawn").Pool(os.cpu_count())
    atexit.register(made.terminate)
    return made


def pool_job(simulations: int, form: type[Hunt] = Hunt) -> Job:
    agent = setting.agent()
    obs, _ = positions()
    hunts = [plain(agent.game.state_in(o), form) for o in obs]
    tasks = [
        (hunt, simulations, agent.gamma, seed)
        for seed, hunt in enumerate(hunts)
    ]

    def job() -> float:
        pool().map(decide_plainly, tasks)
        return BATCH

    return job


# -- that both are the same game, and how well they play -------------------------------------------------------


def agreement() -> float:
    """Greatest difference of any reward between the plain rules and the game along random play. Raises where masks differ."""
    game, rng, apart = setting.agent().game, np.random.default_rng(0), 0.0
    reset, step = jax.jit(game.reset), jax.jit(game.step)
    for episode in range(CHECKED // 10):
        state, shown = reset(jax.random.key(episode))
        hunt = plain(state)
        while not hunt.over():
            legal = np.asarray(shown.legal)
            for i in range(game.num_players):
                if np.flatnonzero(legal[i]).tolist() != sorted(hunt.legal(i)):
                    raise AssertionError(
                        f"player {i} may {hunt.legal(i)}; expected: {np.flatnonzero(legal[i])}"
                    )
            actions = [int(rng.choice(np.flatnonzero(row))) for row in legal]
            state, shown = step(state, jnp.array(actions), jax.random.key(0))
            apart = max(
                apart,
                float(
                    np.abs(np.asarray(shown.reward) - hunt.step(actions)).max()
                ),
            )
    if apart > 1e-5:
        raise AssertionError(f"rewards differ by {apart}; expected: equal ones")
    return apart


def our_returns(starts: Any, simulations: int) -> np.ndarray:
    """[E]: what seat 0 gets against the scripted others, on the real game."""
    game, models = setting.agent().game, true_models()
    count = len(starts.time)

    @jax.jit
    def step(state: Any, shown: Any, key: Any) -> Any:
        own_key, others_key, key = jax.random.split(key, 3)
        obs, legal = shown.obs[:, 0], shown.legal[:, 0]
        own = decide(
            models, obs, legal, jax.random.split(own_key, count), simulations
        ).action
        probs = jax.vmap(
            lambda o, m: models[1].predict(models[1].init(), o, m)
        )(obs, legal)
        others = jax.random.categorical(others_key, jnp.log(probs))
        return jax.vmap(game.step)(
            state,
            jnp.concatenate([own[:, None], others], 1),
            jax.random.split(key, count),
        )

    state = starts
    shown = jax.vmap(lambda s: game.look(s, jnp.zeros(game.num_players)))(state)
    total = np.zeros(count)
    for t in range(game.max_steps):
        state, shown = step(state, shown, jax.random.key(t))
        total += np.asarray(shown.reward[:, 0])
    return total


def play(simulations: int, episodes: int) -> dict[str, float]:
    """Mean return of both from the same starts, with the standard error of the mean difference."""
    agent = setting.agent()
    starts = jax.vmap(agent.game.reset)(
        jax.random.split(jax.random.key(1), episodes)
    )[0]
    ours = our_returns(starts, simulations)
    hunts = [
        plain(jax.tree.map(lambda x, e=e: x[e], starts))
        for e in range(episodes)
    ]
    tasks = [
        (hunt, simulations, agent.gamma, seed)
        for seed, hunt in enumerate(hunts)
    ]
    theirs = np.array(pool().map(play_plainly, tasks, chunksize=1))
    error = (ours - theirs).std(ddof=1) / episodes**0.5
    return {
        "episodes": episodes,
        "bestreply, true game": float(ours.mean()),
        "process pool": float(theirs.mean()),
        "error_of_difference": float(error),
    }


def contenders() -> dict[str, Callable[[], Job]]:
    made: dict[str, Callable[[], Job]] = {ONE_STEP: one_step_job}
    for n in BUDGETS:
        made[f"bestreply, {n} simulations"] = partial(our_job, False, n)
        made[f"mctx alone, {n} simulations"] = partial(alone_job, n)
        made[f"bestreply, true game, {n} simulations"] = partial(
            our_job, True, n
        )
        made[f"process pool, {n} simulations"] = partial(pool_job, n)
        made[f"process pool, an environment, {n} simulations"] = partial(
            pool_job, n, Environment
        )
    return made


def measure(quick: bool) -> dict[str, Any]:
    apart = agreement()
    jobs = {name: make() for name, make in contenders().items()}
    rates = take_turns(
        jobs, rounds=2 if quick else 5, seconds=0.1 if quick else 1.0
    )
    rows = {}
    for name, figures in rates.items():
        budget = (
            f"{max(BUDGETS)} simulations"
            if name == ONE_STEP
            else name.rpartition(", ")[2]
        )
        ours = rates[f"bestreply, {budget}"]["per_second"]
        rows[name] = {**figures, "ours_to_this": ours / figures["per_second"]}
    budgets = BUDGETS[:1] if quick else BUDGETS
    played = {f"{n} simulations": play(n, 8 if quick else 400) for n in budgets}
    lost = regret.measure(40 if quick else 2000)
    return {
        "unit": "decisions a second",
        "scores_agree_to": apart,
        "rows": rows,
        "play": played,
        "regret": lost,
    }
