"""Whether an agent's advantages predict returns, and what it earns if it trusts them less.

The preset `demo` is trained on Stag Hunt, and on simple_tag through JaxMARL (2,000 games
of 25 steps in which each seat draws chaser, lazy or random). The advantage of a logged
action is its score in the agent's plan minus the mean score of the legal actions. The
slope is that of the discounted return of the next steps on the advantage, other things
equal (player, mean score and best score): 0 where advantages are noise.

In simple_tag the agent then chooses by score + weight x log pi_k(a | o), where pi_k is a
policy cloned from the steps of one player of the data: for each role the one with the
highest mean return in the data, where all seats vary. In the tables all other seats are
lazy.
Writes results/trust/trust.json and README.md; `--table` writes the page from that file
alone. About 6 minutes on two cores.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.timing import table
from bestreply import collect, load_run, make_game, open_store, player, preset
from bestreply import train as train_run
from bestreply.games.base import Game
from bestreply.pipeline import resolve
from bestreply.planning.agent import Agent
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.types import ABSENT, Episodes
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments._page import details, join_page, make_parser, write_page
from experiments.adapters.players import chases

OUT, RUNS = Path("results") / "trust", Path("runs") / "trust"
TAG = "jaxmarl:MPE_simple_tag_v3(max_steps=25)"
HORIZONS, GAMMA = (1, 3, 8), 0.98
WEIGHTS = (0.0, 0.3, 1.0, 3.0, 10.0)
SAMPLED, GAMES, SEED, ROWS = 300, 256, 5, 1000
UPDATES, BATCH, WIDTH = 3000, 1024, 128


def _mostly(action: np.ndarray, rate: float) -> np.ndarray:
    """Return distributions [B, 5]: an action, or at a rate any at random."""
    return (1 - rate) * np.eye(5)[action] + rate / 5


chaser = player(
    lambda obs, legal: _mostly(chases(obs, legal), 0.05),
    distribution=True,
    name="chaser",
)
lazy = player(
    lambda obs, legal: _mostly(np.zeros(len(obs), int), 0.1),
    distribution=True,
    name="lazy",
)
PLAYERS = {
    TAG: ("experiments.trust:chaser", "experiments.trust:lazy", "random"),
    preset("demo").game: ("nearest_stag", "nearest_hare", "random"),
}


def prepared(game: Game, name: str, spec: Any) -> tuple[Agent, Episodes]:
    """Return an agent of the preset `demo` and the play that it learned from."""
    folder, players = RUNS / name, PLAYERS[spec]
    mixture = [f"mixture({', '.join(players)})"] * game.num_players
    data = folder / "data"
    store = (
        open_store(data)
        if data.exists()
        else collect(game, mixture, 2000, 0, path=data)
    )
    base = preset("demo")
    config = dataclasses.replace(
        base,
        game=spec,
        collect=dataclasses.replace(base.collect, players=players),
        train=dataclasses.replace(base.train, anchor_updates=0),
    )
    path = folder / "run"
    if not (path / "diagnostics.json").exists():
        train_run(store, resolve(config), path=path, resume=path.exists())
    return load_run(
        path, allow_import=["experiments"]
    ).agent(), store.episodes()


def slopes(agent: Agent, episodes: Episodes, seats: list[int]) -> list[Any]:
    """Return slope and standard error for each of `HORIZONS`, over the seats."""
    acted = np.asarray(episodes.action) != ABSENT
    at = np.argwhere(acted & np.isin(np.arange(acted.shape[2]), seats))
    at = tuple(at[: len(at) // ROWS * ROWS].T)
    row, step, seat = at
    obs, legal = (
        np.asarray(x)[row, step, seat] for x in (episodes.obs, episodes.legal)
    )
    score = jax.jit(jax.vmap(lambda obs, legal: agent.plan(obs, legal).scores))
    scores = np.concatenate(
        [
            np.asarray(score(obs[k : k + ROWS], legal[k : k + ROWS]))
            for k in range(0, len(obs), ROWS)
        ]
    )
    mean = np.where(legal, scores, 0).sum(1) / legal.sum(1)
    best = np.where(legal, scores, -np.inf).max(1)
    taken = np.asarray(episodes.action)[at]
    advantage = scores[np.arange(len(scores)), taken] - mean
    same = np.asarray(episodes.player)[row, seat]
    known = np.c_[np.ones(len(mean)), mean, best, np.eye(same.max() + 1)[same]]

    def rest(x: np.ndarray) -> np.ndarray:
        return x - known @ np.linalg.lstsq(known, x, rcond=None)[0]

    reward = np.where(acted, np.asarray(episodes.reward), 0.0)
    found, x = [], rest(advantage)
    for horizon in HORIZONS:
        later = np.zeros_like(reward)
        for d in range(min(horizon, reward.shape[1])):
            later[:, : reward.shape[1] - d] += GAMMA**d * reward[:, d:]
        y = rest(later[at])
        slope = float(x @ y / (x @ x))
        error = float(np.sqrt(np.mean((y - slope * x) ** 2) / (x @ x)))
        found.append([slope, error])
    return found


def cloned(episodes: Episodes) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from observations [B, D] to log pi_k(a | o), [B, K, A]."""
    players = int(np.asarray(episodes.player).max()) + 1
    obs = np.asarray(episodes.obs, np.float32)[:, :-1]
    action = np.asarray(episodes.action)
    own = np.broadcast_to(np.asarray(episodes.player)[:, None], action.shape)
    rows = [obs.reshape(-1, obs.shape[-1]), action.ravel(), own.ravel()]
    mean, scale = rows[0].mean(0), rows[0].std(0) + 1e-3
    rows[0] = (rows[0] - mean) / scale
    actions = int(action.max()) + 1
    key = jax.random.key(SEED)
    net = eqx.nn.MLP(obs.shape[-1], players * actions, WIDTH, 2, key=key)
    arrays, fixed = eqx.partition(net, eqx.is_array)
    optimiser = optax.adam(optax.cosine_decay_schedule(1e-3, UPDATES))

    def log_policy(arrays: Any, obs: jax.Array) -> jax.Array:
        logits = eqx.combine(arrays, fixed)(obs).reshape(players, actions)
        return jax.nn.log_softmax(logits)

    def loss(arrays: Any, obs: jax.Array, a: jax.Array, k: jax.Array) -> Any:
        each = jax.vmap(lambda o, a, k: log_policy(arrays, o)[k, a])(obs, a, k)
        return -each.mean()

    @jax.jit
    def fit(arrays: Any, rows: list[jax.Array]) -> Any:
        def step(carry: Any, key: Any) -> Any:
            arrays, state = carry
            pick = jax.random.randint(key, (BATCH,), 0, len(rows[0]))
            gradient = jax.grad(loss)(arrays, *(x[pick] for x in rows))
            change, state = optimiser.update(gradient, state)
            return (optax.apply_updates(arrays, change), state), None

        keys = jax.random.split(key, UPDATES)
        return jax.lax.scan(step, (arrays, optimiser.init(arrays)), keys)[0][0]

    arrays = fit(arrays, [jnp.asarray(x) for x in rows])
    many = jax.jit(jax.vmap(lambda obs: log_policy(arrays, obs)))
    return lambda obs: np.asarray(many((obs - mean) / scale))


def earned(game: Game, one: Any, seat: int) -> list[float]:
    """Return mean return and standard error of a player among lazy ones."""
    line: list[Any] = ["experiments.trust:lazy"] * game.num_players
    line[seat] = one
    lineup = seat_players(game, line, GAMES, SEED)
    played = play(game, lineup, SEED, lean=True, chunk=GAMES).episodes
    returns = played.reward.sum(1)[:, seat].astype(np.float64)
    return [float(returns.mean()), float(returns.std() / np.sqrt(GAMES))]


def trusted_less(
    game: Game, agent: Agent, episodes: Episodes, seat: int
) -> dict[str, Any]:
    """Return what the agent in a seat earns for each of `WEIGHTS`, and the players."""
    own = np.asarray(episodes.player)[:, seat]
    totals = np.asarray(episodes.reward).sum(1)[:, seat]
    names = PLAYERS[TAG]
    means = [float(totals[own == k].mean()) for k in range(len(names))]
    best, log_policy = int(np.argmax(means)), cloned(episodes)
    score = jax.jit(jax.vmap(lambda obs, legal: agent.plan(obs, legal).scores))

    def chosen(weight: float) -> Any:
        def act(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
            obs = np.asarray(obs, np.float32)
            prior = log_policy(obs)[:, best]
            return (np.asarray(score(obs, legal)) + weight * prior).argmax(1)

        return player(act, name=f"weight_{weight}".replace(".", "_"))

    return {
        "cloned": names[best].rpartition(":")[2],
        "weights": {str(w): earned(game, chosen(w), seat) for w in WEIGHTS},
        "players": {
            name.rpartition(":")[2]: earned(game, name, seat) for name in names
        },
    }


def measure() -> dict[str, Any]:
    """Train both agents and return all numbers."""
    found: dict[str, Any] = {"slopes": {}, "returns": {}}
    for name, spec in (("stag_hunt", preset("demo").game), ("simple_tag", TAG)):
        game = make_game(spec)
        agent, episodes = prepared(game, name, spec)
        sample = jax.tree.map(lambda x: x[:SAMPLED], episodes)
        for role in dict.fromkeys(game.roles):
            seats = [k for k, own in enumerate(game.roles) if own == role]
            label = f"{name}, {role}" if len(set(game.roles)) > 1 else name
            found["slopes"][label] = slopes(agent, sample, seats)
            if spec == TAG:
                found["returns"][role] = trusted_less(
                    game, agent, episodes, seats[0]
                )
    return found | {"provenance": provenance(0)}


def page(found: dict[str, Any]) -> str:
    """Return the page.

    Args:
        found: what `measure` returns.
    """

    def cell(pair: list[float]) -> str:
        return f"{pair[0]:.2f} ± {pair[1]:.2f}"

    slope_rows = [
        [label, *map(cell, rows)] for label, rows in found["slopes"].items()
    ]
    parts = [
        "# Do advantages predict returns?",
        details(__doc__),
        "Slope ± standard error:",
        table(
            ["game, role", *(f"next {h} steps" for h in HORIZONS)], slope_rows
        ),
    ]
    for role, row in found["returns"].items():
        lines = [
            [f"agent, weight {w} of {row['cloned']}", cell(pair)]
            for w, pair in row["weights"].items()
        ] + [[name, cell(pair)] for name, pair in row["players"].items()]
        parts += [
            f"Mean return ± standard error in {GAMES} games as {role}:",
            table(["player", "return"], lines),
        ]
    return join_page(parts, OUT)


def main() -> None:
    """Run the study."""
    parser = make_parser("trust", __doc__)
    parser.add_argument("--table", action="store_true", help="only the page")
    file = OUT / "trust.json"
    if not parser.parse_args().table:
        OUT.mkdir(parents=True, exist_ok=True)
        write_json(file, measure())
    write_page(page(json.loads(file.read_text())), OUT)


if __name__ == "__main__":
    main()
