# pyright: reportMissingImports=false
"""Steps per second of compiled adapters, relative to the environment's own `lax.scan`.

Random play. Ours is `bestreply.simulation.loop.play`, which collection and evaluation
use: players, checks of actions, copies to the host and the making of `Episodes`
included. Theirs is one compiled `lax.scan` over the environment's own step, batched by
`jax.vmap`, with random legal actions and no restart; it keeps the same outputs and copies
them to the host: observations of all seats, masks, actions, their probabilities, rewards
and ends; without observations and masks in the lean case, which is enough for scores.
A ratio is the median over rounds of ours to theirs in the same round.
"""

import statistics
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Job, rate, short
from benchmarks.timing import table as timing_table
from bestreply import make_game
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play


class Bare(NamedTuple):
    """An environment without the adapter."""

    reset: Callable[[Any], tuple[Any, Any, Any]]
    """From a key to a state, observations and legal actions [N, A]."""
    step: Callable[[Any, Any, Any], tuple[Any, Any, Any, Any, Any]]
    """From state, actions [N] and key to state, observations, legal, rewards, ends."""


def of_jaxmarl(name: str, **settings: Any) -> Bare:
    """Return an environment of JaxMARL whose agents have the same actions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jaxmarl

        env = jaxmarl.make(name, **settings)
    agents = env.agents
    space: Any = env.action_space(agents[0])
    count = space.n
    legal = jnp.ones((len(agents), count), bool)

    def step(state: Any, actions: Any, key: Any) -> Any:
        given = dict(zip(agents, actions, strict=True))
        obs, state, reward, done, _ = env.step_env(key, state, given)
        paid = jnp.stack([reward[agent] for agent in agents])
        return state, [obs[a] for a in agents], legal, paid, done

    def reset(key: Any) -> Any:
        obs, state = env.reset(key)
        return state, [obs[a] for a in agents], legal

    return Bare(reset, step)


def of_jumanji(make: Callable[[], Any]) -> Bare:
    """Return an environment of Jumanji that has `agents_view`."""
    env = make()

    def seen(state: Any, shown: Any) -> Any:
        return (
            state,
            shown.observation.agents_view,
            shown.observation.action_mask,
        )

    def step(state: Any, actions: Any, key: Any) -> Any:
        state, shown = env.step(state, actions)
        return *seen(state, shown), shown.reward, shown.discount

    return Bare(lambda key: seen(*env.reset(key)), step)


def foraging() -> Any:
    from jumanji.environments.routing.lbf.env import LevelBasedForaging

    return LevelBasedForaging(time_limit=50)


def of_pgx(name: str) -> Bare:
    """Return a game of pgx for two, with the observation of each seat."""
    import pgx

    env, seats = pgx.make(cast(Any, name)), jnp.arange(2)

    def seen(state: Any) -> Any:
        obs = jax.vmap(env._observe, (None, 0))(state, seats)
        # One mask: the other seat is not to move.
        legal = jnp.broadcast_to(state.legal_action_mask, (2, env.num_actions))
        return state, obs, legal

    def step(state: Any, actions: Any, key: Any) -> Any:
        state = env.step(state, actions[state.current_player], key)
        return *seen(state), state.rewards, state.terminated

    return Bare(lambda key: seen(env.init(key)), step)


CASES: dict[str, tuple[str, Callable[[], Bare]]] = {
    "JaxMARL coin_game": (
        "jaxmarl:coin_game(num_inner_steps=50)",
        lambda: of_jaxmarl("coin_game", num_inner_steps=51),
    ),
    "JaxMARL MPE_simple_tag_v3": (
        "jaxmarl:MPE_simple_tag_v3(max_steps=50)",
        lambda: of_jaxmarl("MPE_simple_tag_v3", max_steps=50),
    ),
    "JaxMARL overcooked": (
        "jaxmarl:overcooked(max_steps=50)",
        lambda: of_jaxmarl("overcooked", max_steps=50),
    ),
    "Jumanji LevelBasedForaging-v0": (
        "jumanji:LevelBasedForaging-v0(time_limit=50)",
        lambda: of_jumanji(foraging),
    ),
    "pgx connect_four": ("pgx:connect_four", lambda: of_pgx("connect_four")),
}
"""The game, and the environment itself."""


def our_job(spec: str, matches: int, lean: bool) -> Job:
    """Return a job of `play`; its units are steps of the loop."""
    game = make_game(spec)
    lineup = seat_players(game, ["random"] * game.num_players, matches, 0)
    steps = matches * game.max_steps

    def job() -> float:
        play(game, lineup, 0, lean=lean, chunk=matches)
        return steps

    return job


def their_job(spec: str, bare: Bare, matches: int, lean: bool) -> Job:
    """Return a job of the environment's own scan, of as many steps."""
    steps = make_game(spec).max_steps

    def move(carry: Any, key: Any) -> Any:
        state, obs, legal = carry
        act_key, move_key = jax.random.split(key)
        act_keys = jax.random.split(act_key, len(legal))
        logits = jnp.where(legal, 0.0, -jnp.inf)
        actions = jax.vmap(jax.random.categorical)(act_keys, logits)
        prob = 1 / legal.sum(-1)
        state, after, masks, reward, ends = bare.step(state, actions, move_key)
        kept = (actions, prob, reward, ends)
        return (state, after, masks), kept if lean else (*kept, obs, legal)

    def episode(key: Any) -> Any:
        reset_key, key = jax.random.split(key)
        (_, obs, legal), logs = jax.lax.scan(
            move, bare.reset(reset_key), jax.random.split(key, steps)
        )
        return logs, () if lean else (obs, legal)

    run = jax.jit(jax.vmap(episode))
    keys = jax.random.split(jax.random.key(0), matches)

    def job() -> float:
        jax.device_get(run(keys))
        return matches * steps

    return job


def measure(quick: bool) -> dict[str, Any]:
    """Return rates and ratios of every environment, lean and not.

    Args:
        quick: tiny sizes, to check that everything runs.
    """
    matches, rounds, seconds = (32, 2, 0.05) if quick else (1024, 7, 0.5)
    rows: dict[str, Any] = {}
    for name, (spec, make) in CASES.items():
        for lean in (False, True):
            ours = our_job(spec, matches, lean)
            theirs = their_job(spec, make(), matches, lean)
            ours()
            theirs()
            pairs = [
                (rate(ours, seconds), rate(theirs, seconds))
                for _ in range(rounds)
            ]
            mine, own = map(list, zip(*pairs, strict=True))
            kept = "scores only" if lean else "every observation"
            rows[f"{name}, {kept}"] = {
                "spec": spec,
                "ours": statistics.median(mine),
                "bare": statistics.median(own),
                "ratio": statistics.median(np.divide(mine, own)),
                "ratios": np.divide(mine, own).tolist(),
            }
    return {"unit": "steps a second", "matches": matches, "rows": rows}


def table(found: dict[str, Any]) -> str:
    """Return the table of the page.

    Args:
        found: what `measure` returns.
    """
    lines = [
        [
            name,
            short(row["bare"]),
            short(row["ours"]),
            f"{row['ratio']:.2f}",
            f"{min(row['ratios']):.2f} to {max(row['ratios']):.2f}",
        ]
        for name, row in found["rows"].items()
    ]
    head = ["environment", "its own scan", "bestreply", "ratio", "rounds"]
    text = (
        f"Steps a second, {found['matches']} games side by side; medians. A ratio is "
        "that of one round.\n\n"
    )
    return text + timing_table(head, lines)
