"""`python -m experiments.opponents train|judge|table`: models of the others side by side, each trained on the same play, under one protocol.

    train   for each of `--seeds` of `python -m experiments.shares stay train`: fits every model to that run's play, and measures how it
            predicts fresh play; results/opponents/predicted.json
    judge   plans with each of them, one step ahead, all in the same world model and with the same value, and holds what is done against
            the exact reply that is told the type; results/opponents/planned.json
    table   results/opponents/README.md from the two files

Re-implementations of the ideas cited, not of anybody's code:

    direct       pi_hat(a_j | o): nobody is told apart
    goals        by Bayes' rule over goals that the game declares, as HOP does (Huang et al., 2024)
    players      by Bayes' rule over the players on record
    codes        by Bayes' rule over learned codes of ways to act
    subgoals     by Bayes' rule over learned codes of the state ten steps on; OMG (Yu et al., 2024) is the relative
    recurrent    a GRU over the history; LIAM (Papoudakis et al., 2021) is the relative
    in context   attention over the last steps, episodes before included; TAO and OMIS (Jing et al., 2024) are the relatives
    levels       the players on record, and two levels of players that reply to them; MBOM (Yu et al., 2022) is the relative

The value is told who the others are, as a posterior over the players on record: from goals, codes and subgoals by what P(player | each) was
in the play they were trained on; from the others' history by a linear probe.
"""

import argparse
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
"""Episodes that predictions are measured on, and their seed: nothing was trained on it."""
SWITCHING = "switching(nearest_stag, nearest_hare, random=10)"
AMONG = {
    "the players on record": None,
    "noisy(nearest_stag, 0.3)": "noisy(nearest_stag, 0.3)",
    SWITCHING: SWITCHING,
    "the agent": "agent",
}
"""Whose actions are to be predicted: two seats of them, or for the agent one, beside a player on record."""


class Translated(OpponentModel):
    """A model whose goals or codes tell of the players on record as `given` [G, P] says: P(player | goal or code)."""

    model: OpponentModel
    given: Float[Array, "G P"]

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
    """The run's configuration with the model `name` in place of its own, at the same budget for all that weigh types."""
    model: ModelConfig = dataclasses.replace(run.config.model, **SETTINGS[name])
    train = dataclasses.replace(
        run.config.train, opponent_updates=4000, opponent_batch=512
    )
    return dataclasses.replace(run.config, model=model, train=train)


def fitted(run: Run, name: str) -> OpponentModel:
    """The model `name`, fitted to the run's play, or as it was fitted before."""
    world = run.train_state.world
    if name == "uniform":
        return UniformOpponents(run.game, len(run.roster))  # pyright: ignore[reportCallIssue]
    if name == "level_k":
        types, config = (
            fitted(run, "players"),
            dataclasses.replace(run.config.planner, planner="one_step"),
        )
        models = Models(world, types, run.config.train.gamma, config)
        return level_k_mixture(models, config.prior_mixing)
    wanted = settings(run, name)
    episodes, _ = split_episodes(
        open_store(run.path.parent / "data").episodes(),
        HOLDOUT_FRACTION,
        wanted.seed,
    )
    train_state = set_units(
        initial_train_state(wanted, run.game, run.roster), wanted, episodes
    )
    folder = FITTED / str(run.config.seed) / name.replace(" ", "_")
    if checkpoint.list_checkpoints(folder):
        _, train_state = checkpoint.load_checkpoint(folder, train_state)
    else:
        train_state = _fit(wanted, episodes, train_state)
        checkpoint.save_checkpoint(folder, 1, train_state)
    model = (
        train_state.opponents
        if train_state.sequence is None
        else train_state.sequence.model
    )
    if name in ("direct", "goals", "codes", "subgoals"):
        return Translated(
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
    """[G, P]: who played, where each goal or code is what is believed at the end of some 2,000 of these episodes."""
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
    return [load_run(RUNS / "stay" / str(seed) / "goals") for seed in seeds]


def train(seeds: list[int], models: list[str]) -> None:
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
    """Play, and the seats [E, N] whose actions are to be predicted."""
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
                exact_reply(runs[0].game, "told", against),
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
    """Adds rows to a file, in place of those that go by the same `keys`."""
    new = [{k: row[k] for k in keys} for row in rows]
    before = [
        row for row in _rows(name) if {k: row[k] for k in keys} not in new
    ]
    write_json(
        OUT / f"{name}.json",
        {"rows": before + rows, "provenance": provenance(seed)},
    )


# -- over seeds ----------------------------------------------------------------------------------------------------------------


def summary() -> str:
    """Means over seeds and half the width of a 95 % interval of them."""
    measured, planned = _rows("predicted"), _rows("planned")
    seeds = sorted({row["seed"] for row in measured})
    parts = [
        "# Models of the others side by side",
        "",
        (__doc__ or "").partition("\n\n")[2].strip(),
        "",
    ]
    parts += [
        f"Seeds: {', '.join(map(str, seeds))}. Mean ± half of the 95 % interval over them.",
        "",
    ]
    for what in AMONG:
        lines = [
            [
                name,
                *(
                    over_seeds(_each(measured, name, what, key), digits=4)
                    for key in ("log_loss", "top1", "ece")
                ),
            ]
            for name in MODELS
        ]
        parts += [
            f"## Predicting {what}",
            "",
            table(["model", "log-loss", "top-1", "ECE"], lines),
            "",
        ]
    against = list(dict.fromkeys(row["against"] for row in planned))
    lines = [
        [
            name,
            *(
                over_seeds(_shares(planned, name, other), digits=3)
                for other in against
            ),
        ]
        for name in MODELS
    ]
    seeds = sorted({seed for row in planned for seed in row["seeds"]})
    parts += [
        "## Share of the exact reply that is told the type",
        "",
        f"{EPISODES} games a cell, one step ahead, seeds: {', '.join(map(str, seeds))}.",
        "",
        table(["planned with", *against], lines),
        "",
    ]
    notes = OUT / "notes.md"
    return "\n".join(parts) + (
        "\n" + notes.read_text() if notes.exists() else ""
    )


def _each(
    rows: list[dict[str, Any]], name: str, what: str, key: str
) -> list[float]:
    return [
        row[key] for row in rows if row["model"] == name and row["of"] == what
    ]


def _shares(rows: list[dict[str, Any]], name: str, against: str) -> list[float]:
    return next(
        (
            row["share"]
            for row in rows
            if (row["model"], row["against"]) == (name, against)
        ),
        [],
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.opponents",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument("do", choices=["train", "judge", "table"])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=list(MODELS)
    )
    asked = parser.parse_args()
    if asked.do == "table":
        (OUT / "README.md").write_text(summary())
        print(OUT / "README.md")
    else:
        {"train": train, "judge": judge}[asked.do](asked.seeds, asked.models)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    main()
