"""Environment steps per second under random play, compared with JaxMARL's overcooked and
coin_game.

A step is one joint step of one unfinished game, with all observations and legal
actions. Both sides run thousands of games in one compiled `lax.scan`, and draw the
random numbers of actions for the whole batch at once. Our episodes have a fixed number
of steps and restart together (the restart is timed; steps of finished games are not
counted). JaxMARL runs both its ways, `step` with automatic restarts and `step_env`
without; the faster one is compared. Each contender runs at its own best batch size.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.timing import Job, rate, take_turns
from bestreply.games import Game, make_game
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play

OURS = {
    "stag_hunt 4x4, 4h1s": "stag_hunt",
    "stag_hunt 8x8, 4h1s, blocks, 35 steps": "stag_hunt(height=8, width=8, blocks=5, max_steps=35)",
    "snowdrift 4x4, 6 drifts": "snowdrift",
    "matrix, prisoner's dilemma": "matrix(table=prisoners_dilemma)",
}
HOST = {
    "openspiel goofspiel, 4 cards": "openspiel:goofspiel(num_cards=4)",
    "openspiel markov_soccer, horizon 50": "openspiel:markov_soccer(horizon=50)",
}
THEIRS = ("overcooked", "coin_game")
BATCHES = (64, 256, 1024, 4096)


def any_legal(legal: jax.Array, draw: jax.Array) -> jax.Array:
    """Return a uniform legal action of [..., A], from a uniform number [...]."""
    upto = jnp.cumsum(legal, -1)
    return (
        (upto <= jnp.floor(draw * upto[..., -1])[..., None])
        .sum(-1)
        .astype(jnp.int32)
    )


@partial(jax.jit, static_argnames=("game", "batch", "episodes"))
def our_play(game: Game, key: jax.Array, batch: int, episodes: int) -> Any:
    """Return the steps of unfinished games, the rewards and the last time step, so that no observation can be optimised away."""

    def step(carry: Any, key: jax.Array) -> Any:
        state, shown, live = carry
        act_key, move_key = jax.random.split(key)
        action = any_legal(
            shown.legal, jax.random.uniform(act_key, (batch, game.num_players))
        )
        live += (~(shown.terminated.all(1) | shown.truncated)).sum()
        state, shown = jax.vmap(game.step)(
            state, action, jax.random.split(move_key, batch)
        )
        return (state, shown, live), shown.reward.sum()

    def episode(carry: Any, key: jax.Array) -> Any:
        reset_key, key = jax.random.split(key)
        state, shown = jax.vmap(game.reset)(jax.random.split(reset_key, batch))
        (_, shown, live), reward = jax.lax.scan(
            step,
            (state, shown, carry[1]),
            jax.random.split(key, game.max_steps),
        )
        return (shown, live), reward.sum()

    like = jax.eval_shape(jax.vmap(game.reset), jax.random.split(key, batch))[1]
    first = (
        jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like),
        jnp.int32(0),
    )
    return jax.lax.scan(episode, first, jax.random.split(key, episodes))


def our_job(spec: str, batch: int, steps: int) -> Job:
    game = make_game(spec)
    episodes = max(1, round(steps / batch / game.max_steps))
    return lambda: int(
        jax.block_until_ready(
            our_play(game, jax.random.key(0), batch, episodes)
        )[0][1]
    )


def host_job(spec: str, matches: int) -> Job:
    """Return a job that plays a host game with `bestreply.simulation.loop.play`."""
    game = make_game(spec)
    lineup = seat_players(game, ["random"] * game.num_players, matches, 0)
    return lambda: int(
        play(game, lineup, 0, chunk=matches).episodes.length.sum()
    )


def play_job(spec: str, matches: int, lean: bool) -> Job:
    """Return a job of `play` with `random` players, including checks and copies to the host."""
    game = make_game(spec)
    lineup = seat_players(game, ["random"] * game.num_players, matches, 0)
    return lambda: int(play(game, lineup, 0, lean=lean).episodes.length.sum())


def their_game(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "overcooked":
            from jaxmarl.environments.overcooked.overcooked import Overcooked  # pyright: ignore[reportMissingImports]

            return Overcooked()
        from jaxmarl.environments.coin_game.coin_game import CoinGame  # pyright: ignore[reportMissingImports]

        return CoinGame()


def their_job(name: str, restart: bool, batch: int, steps: int) -> Job:
    game = their_game(name)
    move = game.step if restart else game.step_env
    actions = 6 if name == "overcooked" else 5

    def step(carry: Any, key: jax.Array) -> Any:
        _, state = carry
        act_key, move_key = jax.random.split(key)
        action = jax.random.randint(act_key, (batch, 2), 0, actions)
        both = dict(zip(game.agents, (action[:, 0], action[:, 1]), strict=True))
        obs, state, reward, _, _ = jax.vmap(move)(
            jax.random.split(move_key, batch), state, both
        )
        return (obs, state), sum(x.sum() for x in reward.values())

    @jax.jit
    def run(key: jax.Array) -> Any:
        first = jax.vmap(game.reset)(jax.random.split(key, batch))
        return jax.lax.scan(step, first, jax.random.split(key, count))

    count = max(1, steps // batch)

    def job() -> float:
        jax.block_until_ready(run(jax.random.key(0)))
        return batch * count

    return job


def contenders(quick: bool) -> dict[str, Callable[[int], Job]]:
    """Return functions that make a job for a batch size, by name."""
    steps = 20_000 if quick else 200_000
    made: dict[str, Callable[[int], Job]] = {
        name: partial(lambda spec, batch: our_job(spec, batch, steps), spec)
        for name, spec in OURS.items()
    }
    for name in THEIRS:
        for restart in (True, False):
            title = f"JaxMARL {name}, {'step (restarts)' if restart else 'step_env (no restart)'}"
            made[title] = partial(
                lambda n, r, batch: their_job(n, r, batch, steps), name, restart
            )
    return made


def plays(quick: bool) -> dict[str, Job]:
    """Return jobs of the loop that users call, and of host games."""
    matches = 256 if quick else 4096
    made = {}
    for name in (
        "stag_hunt 4x4, 4h1s",
        "stag_hunt 8x8, 4h1s, blocks, 35 steps",
    ):
        made[f"play(), scores only: {name}"] = play_job(
            OURS[name], matches, True
        )
        made[f"play(), every observation: {name}"] = play_job(
            OURS[name], matches, False
        )
    return made | {
        name: host_job(spec, 32 if quick else 256)
        for name, spec in HOST.items()
    }


def measure(quick: bool) -> dict[str, Any]:
    """Return the rates of every game at its best batch size, measured in turns; rates at other sizes are from one short trial each."""
    makers = contenders(quick)
    tried: dict[str, dict[int, float]] = {}
    for name, make in makers.items():
        tried[name] = {}
        for batch in BATCHES[:2] if quick else BATCHES:
            job = make(batch)
            job()
            tried[name][batch] = rate(job, 0.1 if quick else 0.4)
    best = {
        name: max(rates, key=lambda b, r=rates: r[b])
        for name, rates in tried.items()
    }
    jobs = {name: makers[name](batch) for name, batch in best.items()} | plays(
        quick
    )
    rates = take_turns(
        jobs, rounds=2 if quick else 5, seconds=0.1 if quick else 0.5
    )
    theirs = max(
        (name for name in rates if name.startswith("JaxMARL")),
        key=lambda n: rates[n]["per_second"],
    )
    rows = {
        name: {
            **figures,
            "batch": best.get(name),
            "to_fastest_of_jaxmarl": figures["per_second"]
            / rates[theirs]["per_second"],
            "at_batch": {str(b): r for b, r in tried.get(name, {}).items()},
        }
        for name, figures in rates.items()
    }
    return {
        "unit": "environment steps a second",
        "fastest_of_jaxmarl": theirs,
        "rows": rows,
    }
