"""The opponent model of a trained agent, as its settings require."""

import dataclasses

from bestreply.config import ModelConfig, PlannerConfig, RunConfig
from bestreply.games.base import Game
from bestreply.opponents.base import OpponentModel, named_opponents
from bestreply.opponents.changepoint import ChangepointOpponents
from bestreply.opponents.contract import check_opponents
from bestreply.opponents.learned import LearnedOpponents
from bestreply.planning.base import Models
from bestreply.planning.level_k import level_k_mixture
from bestreply.training.state import TrainState


def check_type_settings(
    kind: str, change_rate: float, planner: PlannerConfig
) -> None:
    """Refuse settings of a belief over types for an opponent model without one.

    Args:
        kind: `ModelConfig.opponents`.
        change_rate: probability before each step that an opponent changes type.
        planner: settings of the planner.

    Raises:
        ValueError: the model reads histories, and one of these settings is above 0; or
            it is tables, and the change rate or `learn_in_play` is.
    """
    if kind in ("recurrent", "in_context") and _needs_filter(
        change_rate, planner
    ):
        raise ValueError(
            f"train.change_rate={change_rate}, planner.memory={planner.memory}, "
            f"planner.unknown_type_prior={planner.unknown_type_prior}, "
            f"planner.learn_in_play={planner.learn_in_play}: expected 0 "
            f"with model.opponents={kind}; a belief over types needs "
            "model.opponents=types"
        )
    if kind == "tables" and max(change_rate, planner.learn_in_play) > 0:
        raise ValueError(
            f"train.change_rate={change_rate}, "
            f"planner.learn_in_play={planner.learn_in_play}: expected 0 with "
            "model.opponents=tables, or model.opponents=types"
        )


def check_table_types(model: ModelConfig) -> None:
    """Refuse types that tables of logged players do not have.

    Args:
        model: its `opponents` and `opponent_types` are read.

    Raises:
        ValueError: tables, and types that are no logged players.
    """
    types = model.opponent_types
    if model.opponents == "tables" and types not in ("none", "player"):
        raise ValueError(
            f"model.opponent_types={types}: expected player or none with "
            "model.opponents=tables, whose tables are of logged players"
        )


def trained_opponents(
    config: RunConfig,
    game: Game,
    train_state: TrainState,
    planner: PlannerConfig,
    change_rate: float,
) -> OpponentModel:
    """Return the opponent model that `ModelConfig.opponents` names.

    Args:
        config: configuration of the run.
        game: its game.
        train_state: its trained networks.
        planner: settings of the planner that the model is for.
        change_rate: probability before each step that an opponent changes type.

    Returns:
        The model, for a planner with these settings.

    Raises:
        ValueError: see `check_type_settings`.
    """
    kind = config.model.opponents
    if train_state.sequence is not None:
        check_type_settings(kind, change_rate, planner)
        return train_state.sequence.model
    if train_state.tables is not None:
        check_type_settings(kind, change_rate, planner)
        return dataclasses.replace(
            train_state.tables,
            prior_mixing=planner.prior_mixing,
            episode_memory=planner.memory,
            unknown_type_prior=planner.unknown_type_prior,
        )
    learned = train_state.opponents
    if learned.prior_mixing != planner.prior_mixing:
        learned = dataclasses.replace(
            learned, prior_mixing=planner.prior_mixing
        )
    types = with_type_changes(learned, change_rate, planner)
    if kind in ("types", "recurrent", "in_context"):
        return types
    if kind != "level_k":
        goals = train_state.opponents.goals
        model = named_opponents(kind, game, goals, types)
        check_opponents(model, game, goals)
        return model
    models = Models(train_state.world, types, config.train.gamma, planner)
    return level_k_mixture(models, planner.prior_mixing)


def with_type_changes(
    model: LearnedOpponents, change_rate: float, planner: PlannerConfig
) -> OpponentModel:
    """Return `model` with a belief that expects changes, memory or unknown types, or learns.

    Args:
        model: the learned opponent model.
        change_rate: probability before each step that an opponent changes type.
        planner: its `memory`, `unknown_type_prior` and `learn_in_play` are read.

    Returns:
        `model` itself where all four settings are 0.
    """
    if not _needs_filter(change_rate, planner):
        return model
    return ChangepointOpponents(  # pyright: ignore[reportCallIssue]
        model=model,
        hazard=change_rate,
        memory=planner.memory,
        unknown_type_prior=planner.unknown_type_prior,
        learning=planner.learn_in_play,
    )


def _needs_filter(change_rate: float, planner: PlannerConfig) -> bool:
    settings = planner.memory, planner.unknown_type_prior
    return max(change_rate, planner.learn_in_play, *settings) > 0
