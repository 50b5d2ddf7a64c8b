"""Compare opponent models that are trained on the same play.

    python -m experiments opponents train     # fit and measure predictions; results/opponents/predicted.json
    python -m experiments opponents judge     # plan with each model; results/opponents/planned.json
    python -m experiments opponents table     # results/opponents/README.md from both files

`train` fits every model to the play of the runs of `python -m experiments shares stay
train`, and measures its predictions on new play. `judge` plans one step ahead with each
model, with the same world model and value, and compares the decisions with the exact
best reply that is given the type.

Re-implementations of published ideas:

| model | what it is |
| --- | --- |
| uniform | every legal action is equally probable |
| direct | one policy for all opponents, no types |
| goals | Bayes' rule over goals of the game, as in HOP (Huang et al., 2024) |
| players | Bayes' rule over the players on record |
| codes | Bayes' rule over learned codes of policies |
| subgoals | Bayes' rule over learned codes of the state ten steps later; related: OMG (Yu et al., 2024) |
| recurrent | a GRU over the history; related: LIAM (Papoudakis et al., 2021) |
| in context | attention over the last steps, earlier episodes included; related: TAO and OMIS (Jing et al., 2024) |
| level_k | the players on record, and two levels of players that reply to them; related: MBOM (Yu et al., 2022) |

The value is conditioned on a posterior over the players on record. Goals, codes and
subgoals are converted by P(player | each) in the training play, histories by a linear
probe.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from benchmarks.timing import over_seeds, table
from bestreply import load_run
from bestreply.analysis.belief_calibration import calibration
from bestreply.config import ModelConfig, RunConfig
from bestreply.data.store import open_store
from bestreply.games.base import Game
from bestreply.opponents.base import OpponentModel, UniformOpponents
from bestreply.opponents.filtering import follow_beliefs, follow_predictions
from bestreply.planning.base import Models
from bestreply.planning.level_k import level_k_mixture
from bestreply.replay.moa_buffer import fill
from bestreply.run import Run
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import PLANNING_CHUNK, play
from bestreply.train import HOLDOUT_FRACTION, split_episodes
from bestreply.training.loop import fit_history, fit_opponents
from bestreply.training.state import TrainState, initial_train_state, set_units
from bestreply.types import ABSENT, Episodes, ego_order
from bestreply.utils import checkpoint
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments._page import details, join_page, make_parser, write_page
from experiments.beliefs import fresh_play
from experiments.shares import EPISODES, RUNS, exact_reply, shares

OUT, FITTED = Path("results") / "opponents", Path("runs") / "opponents"
SETTINGS: dict[str, dict[str, Any]] = {
    "direct": {"opponent_types": "none"},
    "goals": {"opponent_types": "goal"},
    "players": {"opponent_types": "player"},
    "codes": {"opponent_types": "code"},
    "subgoals": {"opponent_types": "code", "code_horizon": 10},
    "recurrent": {"opponent_types": "player", "opponents": "recurrent"},
    "in context": {"opponent_types": "player", "opponents": "in_context"},
}
MODELS = ("uniform", *SETTINGS, "level_k")
FRESH, SEED = 1000, 30_000
"""Episodes and seed of the new play on which predictions are measured."""
SWITCHING = "switching(nearest_stag, nearest_hare, random=10)"
AMONG = {
    "the players on record": None,
    "noisy(nearest_stag, 0.3)": "noisy(nearest_stag, 0.3)",
    SWITCHING: SWITCHING,
    "the agent": "agent",
}
"""Players whose actions are predicted: in both seats, or the agent beside a player on record."""


class ConvertedTypes(OpponentModel):
    """An opponent model whose posterior over goals or codes is converted to players."""

    model: OpponentModel
    given: Float[Array, "G P"]  # P(player | goal or code)

    @property
    def game(self) -> Game:  # type: ignore[override]
        return self.model.game

    def init(self) -> Any:
        return self.model.init()

    def predict(self, belief: Any, obs: Array, legal: Array) -> Array:
        return self.model.predict(belief, obs, legal)

    def update(
        self, belief: Any, obs: Array, actions: Array, present: Array
    ) -> Any:
        return self.model.update(belief, obs, actions, present)

    def renew(self, belief: Any) -> Any:
        return self.model.renew(belief)

    def posterior(self, belief: Any) -> Array:
        return self.model.posterior(belief) @ self.given


def settings(run: Run, name: str) -> RunConfig:
    """Return the run's configuration with the model `name`, with one budget for all models of types."""
    model: ModelConfig = dataclasses.replace(run.config.model, **SETTINGS[name])
    train = dataclasses.replace(
        run.config.train, opponent_updates=4000, opponent_batch=512
    )
    return dataclasses.replace(run.config, model=model, train=train)


def fitted(run: Run, name: str) -> OpponentModel:
    """Return the model `name`, fitted to the run's play now or earlier."""
    world = run.train_state.world
    if name == "uniform":
        return UniformOpponents(run.game, len(run.roster))  # pyright: ignore[reportCallIssue]
    if name == "level_k":
        types = fitted(run, "players")
        planner = dataclasses.replace(run.config.planner, planner="one_step")
        models = Models(world, types, run.config.train.gamma, planner)
        return level_k_mixture(models, planner.prior_mixing)
    config = settings(run, name)
    episodes, _ = split_episodes(
        open_store(run.path.parent / "data").episodes(),
        HOLDOUT_FRACTION,
        config.seed,
    )
    train_state = set_units(
        initial_train_state(config, run.game, run.roster), config, episodes
    )
    folder = FITTED / str(run.config.seed) / name.replace(" ", "_")
    if checkpoint.list_checkpoints(folder):
        _, train_state = checkpoint.load_checkpoint(folder, train_state)
    else:
        train_state = _fit(config, episodes, train_state)
        checkpoint.save_checkpoint(folder, 1, train_state)
    model = (
        train_state.opponents
        if train_state.sequence is None
        else train_state.sequence.model
    )
    if name in ("direct", "goals", "codes", "subgoals"):
        return ConvertedTypes(
            model, _players_given(model, episodes, len(run.roster))
        )  # pyright: ignore[reportCallIssue]
    return model


def _fit(
    config: RunConfig, episodes: Episodes, train_state: TrainState
) -> TrainState:
    buffer = fill(episodes)
    if train_state.sequence is not None:
        return fit_history(
            config, buffer, train_state, lambda _: None, lambda *_: None
        )
    return fit_opponents(
        config, buffer, train_state, lambda _: None, lambda *_: None
    )


def _players_given(
    model: OpponentModel, episodes: Episodes, players: int
) -> Array:
    """Return P(player | goal or code) [G, P], by the belief at the end of 2,000 episodes."""
    some = jax.tree.map(lambda x: x[:2000], episodes)
    last = np.asarray(follow_beliefs(model, jax.device_put(some)))[
        :, -1
    ]  # [E, N, N-1, G]
    who = np.eye(players)[
        some.player[:, ego_order(last.shape[1])[:, 1:]]
    ]  # [E, N, N-1, P]
    joint = np.einsum("enjg,enjp->gp", last, who) + 1e-3
    return jnp.asarray(joint / joint.sum(1, keepdims=True), jnp.float32)


# -- predicted -----------------------------------------------------------------------------------------------------------------


def runs_of(seeds: list[int]) -> list[Run]:
    """Return the runs of `experiments.shares` by seed."""
    return [load_run(RUNS / "stay" / str(seed) / "goals") for seed in seeds]


def train(seeds: list[int], models: list[str]) -> None:
    """Fit the models to each run's play and measure their predictions."""
    for run in runs_of(seeds):
        played = {what: _play(run, who) for what, who in AMONG.items()}
        for name in models:
            model = fitted(run, name)
            rows = [
                {"seed": run.config.seed, "model": name, "of": what}
                | predicted(model, *seen)
                for what, seen in played.items()
            ]
            _keep("predicted", rows, ("seed", "model"), run.config.seed)
            jax.clear_caches()


def _play(run: Run, who: str | None) -> tuple[Episodes, Any]:
    """Return new play, and the seats whose actions are predicted."""
    if who is None:
        played = fresh_play(run.config, run.game, run.roster, FRESH, SEED)
    else:
        agent = (
            run.agent("one_step", symmetry_averages=1)
            if who == "agent"
            else who
        )
        other = (
            f"mixture({', '.join(e['name'] for e in run.roster)})"
            if who == "agent"
            else who
        )
        lineup = seat_players(run.game, [agent, other], FRESH // 4, SEED)
        played = play(run.game, lineup, SEED, chunk=PLANNING_CHUNK).episodes
    seats = np.ones(played.action.shape[2], bool)
    if who == "agent":
        seats[1:] = False
    return jax.device_put(played), seats


def predicted(
    model: OpponentModel, played: Episodes, seats: Any
) -> dict[str, Any]:
    expected = np.asarray(
        follow_predictions(model, played)
    )  # [E, T, N, N-1, A]
    action, order = (
        np.asarray(played.action),
        ego_order(played.action.shape[2])[:, 1:],
    )
    others = action[:, :, order]  # [E, T, N, N-1]
    asked = (others != ABSENT) & (action != ABSENT)[..., None] & seats[order]
    probs, taken = expected[asked], others[asked]
    right = probs.argmax(-1) == taken
    return {
        "log_loss": float(
            -np.log(
                np.maximum(probs[np.arange(len(taken)), taken], 1e-9)
            ).mean()
        ),
        "top1": float(right.mean()),
        "ece": calibration(probs.max(-1), right)[0],
        "count": len(taken),
    }


# -- planned with --------------------------------------------------------------------------------------------------------------


def judge(seeds: list[int], models: list[str]) -> None:
    """Plan with each model, and measure the fraction of the best reply."""
    runs = runs_of(seeds)
    for name in models:
        agents = [
            run.agent("one_step", opponents=fitted(run, name)) for run in runs
        ]
        for against in (e["name"] for e in runs[0].roster):
            cell = {"model": name, "against": against, "seeds": seeds}
            if cell in _done("planned", tuple(cell)):
                continue
            found = shares(
                exact_reply(runs[0].game, "given", against),
                agents,
                against,
                EPISODES,
            )
            _keep("planned", [cell | found], ("model", "against"), SEED)
        jax.clear_caches()


def _done(name: str, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{k: row[k] for k in keys} for row in _rows(name)]


def _rows(name: str) -> list[dict[str, Any]]:
    path = OUT / f"{name}.json"
    return json.loads(path.read_text())["rows"] if path.exists() else []


def _keep(
    name: str, rows: list[dict[str, Any]], keys: tuple[str, ...], seed: int
) -> None:
    """Write rows to a file, in place of those with the same `keys`."""
    new = [{k: row[k] for k in keys} for row in rows]
    before = [
        row for row in _rows(name) if {k: row[k] for k in keys} not in new
    ]
    write_json(
        OUT / f"{name}.json",
        {"rows": before + rows, "provenance": provenance(seed)},
    )


# -- the page ------------------------------------------------------------------


def summary() -> str:
    """Return the page of results/opponents/: means over seeds ± half of the 95 % interval."""
    measured, planned = _rows("predicted"), _rows("planned")
    seeds = sorted({row["seed"] for row in measured})
    parts = ["# Opponent models compared", details(__doc__)]
    numbers = ", ".join(map(str, seeds))
    parts.append(f"Seeds: {numbers}. Mean ± half of the 95 % interval.")
    for players in AMONG:
        lines = [
            [name, *_predictions(measured, name, players)] for name in MODELS
        ]
        head = ["model", "log-loss, nats", "top-1", "ECE"]
        parts += [f"## Predicting {players}", table(head, lines)]
    opponents = list(dict.fromkeys(row["against"] for row in planned))
    lines = [
        [name, *(_fraction(planned, name, other) for other in opponents)]
        for name in MODELS
    ]
    seeds = sorted({seed for row in planned for seed in row["seeds"]})
    parts += [
        "## Fraction of the best reply that is given the type",
        f"{EPISODES} games a cell, one step ahead, seeds: {', '.join(map(str, seeds))}.",
        table(["planned with", *opponents], lines),
    ]
    return join_page(parts, OUT)


def _predictions(
    rows: list[dict[str, Any]], name: str, players: str
) -> list[str]:
    of = [r for r in rows if r["model"] == name and r["of"] == players]
    measures = ("log_loss", "top1", "ece")
    return [over_seeds([r[key] for r in of], digits=4) for key in measures]


def _fraction(rows: list[dict[str, Any]], name: str, opponent: str) -> str:
    each = next(
        (
            row["share"]
            for row in rows
            if (row["model"], row["against"]) == (name, opponent)
        ),
        [],
    )
    return over_seeds(each, digits=3)


def main() -> None:
    parser = make_parser("opponents", __doc__)
    parser.add_argument("do", choices=["train", "judge", "table"])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=list(MODELS)
    )
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    if arguments.do == "train":
        train(arguments.seeds, arguments.models)
    elif arguments.do == "judge":
        judge(arguments.seeds, arguments.models)
    else:
        write_page(summary(), OUT)


if __name__ == "__main__":
    main()
