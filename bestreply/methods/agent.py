"""The agent as a method: opponent and world models, trained on a dataset, and a planner."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
from jaxtyping import PyTree

from bestreply.analysis.model_diagnostics import diagnose
from bestreply.config import RunConfig
from bestreply.games.base import Game
from bestreply.methods.estimates import estimate_anchors
from bestreply.methods.trials import trial_players, try_anchors
from bestreply.planning.agent import Agent
from bestreply.replay.moa_buffer import BufferState
from bestreply.run import Method, Run
from bestreply.training.loop import (
    Save,
    agent_phases,
    begin_agent,
    beliefs_of,
    fit_agent,
)
from bestreply.training.phases import Seeds, Write, updates_made
from bestreply.training.state import TrainState, initial_train_state
from bestreply.training.trained_opponents import (
    check_table_types,
    check_type_settings,
)
from bestreply.types import Episodes
from bestreply.utils.console import warn


def check_memory(config: RunConfig) -> None:
    """Refuse settings that a world model with memory excludes.

    Args:
        config: configuration of a run.

    Raises:
        ValueError: `model.memory` is "gru", and another setting needs a latent of one
            observation alone.
    """
    if config.model.memory == "none":
        return
    excluded = (
        ("train.target", config.train.target, "improved", "data or expected"),
        ("model.value_of", config.model.value_of, "o", "auto or z"),
        ("planner.world", config.planner.world, "true", "learned"),
    )
    if config.train.loss != "specification":
        raise ValueError(
            f"train.loss={config.train.loss}: expected specification with "
            f"model.memory={config.model.memory}, or model.memory=none"
        )
    for name, value, refused, expected in excluded:
        if value == refused:
            raise ValueError(
                f"{name}={value}: expected {expected} with model.memory="
                f"{config.model.memory}, or model.memory=none"
            )


class AgentMethod(Method):
    """Trains the models of `bestreply.planning.agent.Agent`."""

    plans = True

    def configure(self, config: RunConfig) -> RunConfig:
        """Return `config`, after a check of the settings that depend on each other.

        Args:
            config: configuration of a run.

        Returns:
            The configuration, unchanged.

        Raises:
            ValueError: settings that exclude each other.
        """
        target, heads = config.train.target, config.model.value_heads
        if (target == "improved") != (heads == "action"):
            raise ValueError(
                f"train.target={target}, model.value_heads={heads}: expected "
                "improved with action, or neither"
            )
        planner = config.planner.planner
        if planner == "action_values" and heads != "action":
            raise ValueError(
                f"planner.planner={planner}, model.value_heads={heads}: expected "
                "action, whose values this planner compares, with "
                "train.target=improved; or another planner"
            )
        check_memory(config)
        check_table_types(config.model)
        check_type_settings(
            config.model.opponents, config.train.change_rate, config.planner
        )
        return config

    def start(
        self, config: RunConfig, game: Game, roster: Sequence[dict[str, Any]]
    ) -> TrainState:
        return initial_train_state(config, game, roster)

    def begin(
        self, run: Run, episodes: Episodes, previous: Run | None = None
    ) -> TrainState:
        nets = None if previous is None else previous.train_state
        return begin_agent(run.config, run.game, run.roster, episodes, nets)

    def updates(
        self, config: RunConfig, train_state: TrainState
    ) -> dict[str, tuple[int, int]]:
        updates = {
            phase.name: (
                updates_made(train_state, phase.counter),
                getattr(config.train, phase.counter),
            )
            for phase in agent_phases(config)
        }
        if config.train.anchor_updates and config.train.trial_episodes:
            updates["trials"] = updates_made(train_state, "trials"), 1
        return updates

    def fit(
        self,
        run: Run,
        buffer: BufferState,
        train_state: TrainState,
        save: Save,
        write: Write,
        seeds: Seeds = None,
    ) -> TrainState:
        state = fit_agent(run.config, buffer, train_state, save, write, seeds)
        made, wanted = self.updates(run.config, state).get("trials", (0, 0))
        if seeds is None and made < wanted:  # seeds of a batch are tried alone
            state = self._close(run, buffer, state, write)
            save(state)
        return state

    def _close(
        self, run: Run, buffer: BufferState, state: TrainState, write: Write
    ) -> TrainState:
        """Return the state with a weight of the anchors, by trials in play if possible."""
        if trial_players(run, state):
            try:
                return try_anchors(run, state, write)
            except ValueError as error:
                warn(
                    f"{run.path}: logged play decides how close the agent stays to "
                    f"players of its data; in trials among them: {error}"
                )
        return estimate_anchors(run, state, buffer, write)

    def fit_arrays(
        self, run: Run, buffer: BufferState, train_state: TrainState
    ) -> PyTree:
        model, episodes = train_state.opponents, buffer.episodes
        beliefs = jax.eval_shape(
            partial(beliefs_of, run.config), model, episodes
        )
        label_weights = (*episodes.action.shape, model.goals)
        return beliefs, jax.ShapeDtypeStruct(label_weights, "float32")

    def diagnose(self, run: Run, held_out: Episodes) -> dict[str, Any]:
        return diagnose(run, held_out)

    def player(self, run: Run, name: str) -> Agent:
        return run.agent(name=name)
