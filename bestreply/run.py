"""A run: a directory with a configuration, where it comes from, checkpoints, and what was measured."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import equinox as eqx

from bestreply.baselines import policy_player, start_policy
from bestreply.config import (
    POLICIES,
    PlannerConfig,
    RunConfig,
    differences,
    from_dict,
    to_dict,
)
from bestreply.games import make_game
from bestreply.games.base import Game
from bestreply.models.symmetry_ensemble import seen_from
from bestreply.models.true_model import TrueModel
from bestreply.opponents.base import OpponentModel, UniformOpponents
from bestreply.opponents.changepoint import ChangepointOpponents
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.opponent_types import opponent_types
from bestreply.planning.agent import PLANNERS, Agent
from bestreply.planning.level_k import reason
from bestreply.players.base import Player
from bestreply.training.state import initial_train_state
from bestreply.utils import checkpoint
from bestreply.utils.console import fresh_path
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance

if TYPE_CHECKING:
    from bestreply.data.store import Store


RUN_FORMAT = 2
"""Version of a run directory: configuration and checkpoint. Runs without a `format` in provenance.json have version 1."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory, and the networks it holds once it has a checkpoint."""

    path: Path
    config: RunConfig
    game: Game
    provenance: dict[str, Any]
    train_state: Any = None
    """All that training changes: a `TrainState`, or what a baseline trains."""

    @property
    def roster(self) -> list[dict[str, Any]]:
        """The players that made the data, as value heads and player types count them."""
        return self.provenance["data"]["roster"]

    @property
    def goals(self) -> tuple[str, ...]:
        """What the model of the others tells apart, by name."""
        return (
            opponent_types(self.config.model).names(
                self.config.model, self.game, self.roster
            )
            if self.plans
            else ()
        )

    @property
    def plans(self) -> bool:
        """Whether its method learns models and plans with them, rather than a policy."""
        return self.config.method not in POLICIES

    def player(self, name: str = "bestreply") -> Player:
        """What was trained, as a player: the agent, or a baseline's policy."""
        if self.plans:
            return self.agent(name=name)
        return policy_player(self.config, self.game, self._trained(), name)

    def _trained(self) -> Any:
        if self.train_state is None:
            raise ValueError(
                f"{self.path} holds no checkpoint yet; train it first: bestreply train --run {self.path}"
            )
        return self.train_state

    def agent(
        self,
        planner: str | None = None,
        *,
        opponents: OpponentModel | str = "learned",
        name: str = "bestreply",
        change_rate: float | None = None,
        epsilon: float = 0.0,
        **settings: Any,
    ) -> Agent:
        """A player that plans with this run's models.

        Args:
            planner: "one_step", "expectimax" or "mcts"; by default what the configuration names.
            opponents: "learned", "uniform", or any `OpponentModel`.
            change_rate: probability before each step that an opponent becomes another type, in the agent's belief; by default the
                run's own `train.change_rate`.
            epsilon: probability of a uniform legal action instead of the planned one.
            settings: fields of `PlannerConfig` to change, e.g. ``memory=0.9``.

        Raises ValueError for an unknown planner, model or setting, a run without a checkpoint, or one of a method that does not plan.
        """
        if not self.plans:
            raise ValueError(
                f"{self.path} is a run of method={self.config.method}, which plans nothing; expected: a run of the agent. Its player: "
                "run.player()"
            )
        train_state = self._trained()
        planner = planner or self.config.planner.planner
        if planner not in PLANNERS:
            raise ValueError(
                f"planner={planner!r}; there are: {', '.join(PLANNERS)}"
            )
        known = [f.name for f in dataclasses.fields(self.config.planner)]
        if unknown := sorted(set(settings) - set(known)):
            raise ValueError(
                f"a planner has no setting {', '.join(unknown)}; it has: {', '.join(known)}"
            )
        config = dataclasses.replace(
            self.config.planner, planner=planner, **settings
        )
        models = {
            "learned": self.opponents(config, change_rate),
            "uniform": UniformOpponents(game=self.game, goals=len(self.goals)),
        }
        if isinstance(opponents, str):
            if opponents not in models:
                raise ValueError(
                    f"opponents={opponents!r}; there are: {', '.join(models)}, or an OpponentModel"
                )
            opponents = cast(OpponentModel, models[opponents])
        if isinstance(opponents, LearnedOpponents):
            opponents = _believed(
                opponents, self._change_rate(change_rate), config
            )
        world = seen_from(
            config.symmetry_averages, train_state.world, self.game
        )
        if config.world == "true":
            world = TrueModel(
                world,
                self.game,
                limit_ends=self.config.train.at_limit == "zero",
            )
        return Agent(
            world=world,
            opponents=opponents,
            game=self.game,
            config=config,
            gamma=self.config.train.gamma,
            name=name,
            epsilon=epsilon,
        )

    def _change_rate(self, asked: float | None) -> float:
        return self.config.train.change_rate if asked is None else asked

    def opponents(
        self,
        config: PlannerConfig | None = None,
        change_rate: float | None = None,
    ) -> OpponentModel:
        """Return the opponent model that `ModelConfig.opponents` names, for a planner with the settings `config`.

        Args:
            config: by default the run's own.
            change_rate: by default the run's own.

        Raises:
            ValueError: a change rate, memory or unknown_type_prior above 0 for a model without a belief over types.
        """
        change_rate = self._change_rate(change_rate)
        config, train_state, kind = (
            config or self.config.planner,
            self._trained(),
            self.config.model.opponents,
        )
        if train_state.sequence is not None:
            if needs_types(change_rate, config):
                raise ValueError(no_types(kind, change_rate, config))
            return train_state.sequence.model
        types = _believed(train_state.opponents, change_rate, config)
        if kind != "level_k":
            return types
        settings = train_state.world, self.game, config, self.config.train.gamma
        return reason(types, *settings, prior_mixing=config.prior_mixing)

    def start(self) -> Any:
        """All that training changes, untrained."""
        return (
            initial_train_state(self.config, self.game, self.roster)
            if self.plans
            else start_policy(self.config, self.game)
        )

    def restore(self, train_state: Any) -> Any:
        """The networks of the newest checkpoint, shaped as `train_state`."""
        return checkpoint.load_checkpoint(
            self.path / "checkpoints", train_state
        )[1]

    def with_train_state(self, train_state: Any) -> "Run":
        return dataclasses.replace(self, train_state=train_state)


def needs_types(change_rate: float, config: PlannerConfig) -> bool:
    """Return whether these settings need a belief over types, which only some opponent models have."""
    return max(change_rate, config.memory, config.unknown_type_prior) > 0


def no_types(kind: str, change_rate: float, config: PlannerConfig) -> str:
    asked = f"train.change_rate={change_rate}, planner.memory={config.memory}"
    return (
        f"{asked}, planner.unknown_type_prior={config.unknown_type_prior}: expected 0 with model.opponents={kind}; "
        "a belief over types needs model.opponents=types"
    )


def _believed(
    model: LearnedOpponents, change_rate: float, config: PlannerConfig
) -> OpponentModel:
    if not needs_types(change_rate, config):
        return model
    return ChangepointOpponents(  # pyright: ignore[reportCallIssue]
        model=model,
        hazard=change_rate,
        memory=config.memory,
        unknown_type_prior=config.unknown_type_prior,
    )


def open_run(
    path: str | Path | None,
    config: RunConfig,
    data: "Store",
    *,
    resume: bool,
    command: str | None,
) -> Run:
    """The run directory that training on `data` writes to: a new one, or with `resume` the one that is there.

    Raises FileExistsError where a run is there and `resume` is not set; ValueError where `resume` finds another configuration or
    other data, or the configuration names another game than the data's.
    """
    game = data.game()
    if make_game(config.game) != game:
        raise ValueError(
            f"the configuration's game is {make_game(config.game)}, the data's {game}; expected: the same"
        )
    path = (
        fresh_path("runs", game.name.replace(":", "-"))
        if path is None
        else Path(path)
    )
    if (path / "config.json").exists():
        if not resume:
            raise FileExistsError(
                f"{path} holds a run already. Give another path, or resume it (--resume)"
            )
        there = _read(path)
        wanted = "Expected: the same again; or another path; or remove this one, to begin anew (bestreply sweep --restart-changed)"
        if apart := differences(there.config, config):
            raise ValueError(
                f"{path} was begun with another configuration (then and now: {'; '.join(apart)}). {wanted}"
            )
        if there.provenance["data"]["fingerprint"] != data.fingerprint:
            raise ValueError(f"{path} was begun with other data. {wanted}")
        return there
    facts = provenance(config.seed, command)
    facts["game"] = {
        "name": game.name,
        "version": game.version,
        "settings": game.settings,
    }
    source = {
        "fingerprint": data.fingerprint,
        "roster": list(data.roster),
        "episodes": data.manifest.episodes,
    }
    facts |= {"format": RUN_FORMAT, "method": config.method}
    facts |= {"env_steps": data.manifest.steps, "data": source}
    path.mkdir(parents=True, exist_ok=True)
    write_json(path / "provenance.json", facts)
    write_json(path / "config.json", to_dict(config))
    return Run(path, config, game, facts)


def check_format(path: Path, facts: dict[str, Any]) -> None:
    """Refuse a run directory of another format.

    Args:
        path: the run directory.
        facts: contents of its provenance.json.

    Raises:
        ValueError: its format version is not `RUN_FORMAT`.
    """
    if (version := facts.get("format", 1)) != RUN_FORMAT:
        raise ValueError(
            f"{path}: format={version}: expected run format {RUN_FORMAT}, the only one that this version of bestreply reads; train the "
            "run again: bestreply train"
        )


def _read(path: Path) -> Run:
    try:
        facts = json.loads((path / "provenance.json").read_text())
        check_format(path, facts)
        config = from_dict(
            RunConfig, json.loads((path / "config.json").read_text())
        )
        game, version = make_game(config.game), facts["game"]["version"]
    except (
        OSError,
        json.JSONDecodeError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        raise ValueError(
            f"{path} is no run directory: {error}. Expected: a folder made by 'bestreply train' or 'bestreply run'"
        ) from error
    if version != game.version:
        raise ValueError(
            f"{path} was made with version {version} of {game.name}; this is version {game.version}"
        )
    return Run(path, config, game, facts)


def load_run(path: str | Path) -> Run:
    """A run with the networks of its newest checkpoint. Safe to open: arrays and JSON only.

    Raises ValueError, FileNotFoundError with what is missing or does not fit.
    """
    run = _read(Path(path))
    shapes = eqx.filter_eval_shape(run.start)  # nothing is initialised
    return run.with_train_state(run.restore(shapes))
