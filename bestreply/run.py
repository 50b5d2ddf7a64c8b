"""A run: a directory with a configuration, provenance, checkpoints and results; and its method."""

import abc
import contextlib
import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import PyTree

from bestreply.config import (
    PlannerConfig,
    RunConfig,
    differences,
    from_dict,
    names_in,
    to_dict,
)
from bestreply.data.manifest import is_named, plain
from bestreply.data.store import Store
from bestreply.games import make_game
from bestreply.games.base import Game
from bestreply.games.registry import NAMES as GAME_NAMES
from bestreply.games.registry import spec_of_game
from bestreply.models.anchors import Anchors
from bestreply.models.joint_values import JointValues
from bestreply.models.networks import NAMES as NETWORK_NAMES
from bestreply.models.symmetry_ensemble import averaged_over_symmetries
from bestreply.models.true_model import TrueModel
from bestreply.opponents.base import NAMES as OPPONENT_NAMES
from bestreply.opponents.base import (
    OpponentModel,
    UniformOpponents,
    named_opponents,
)
from bestreply.opponents.contract import check_opponents
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.opponent_types import opponent_types
from bestreply.opponents.table_replies import with_replies
from bestreply.planning.agent import NAMES as PLANNER_NAMES
from bestreply.planning.agent import Agent, load_planner
from bestreply.planning.levels import Levels, are_levels, entries_of
from bestreply.players.base import Player
from bestreply.players.zoo import NAMES as PLAYER_NAMES
from bestreply.replay.moa_buffer import BufferState
from bestreply.training.losses import NAMES as LOSS_NAMES
from bestreply.training.phases import Seeds, Write
from bestreply.training.trained_opponents import (
    trained_opponents,
    with_type_changes,
)
from bestreply.types import Episodes
from bestreply.utils import checkpoint
from bestreply.utils.checks import checked_path, finite_number, shown
from bestreply.utils.compilation import cache_compilations
from bestreply.utils.console import warn
from bestreply.utils.files import locked, make_folder, write_json
from bestreply.utils.importing import import_attribute
from bestreply.utils.names import Names, is_registered, summary, vet_all
from bestreply.utils.output_folders import output_folder
from bestreply.utils.provenance import provenance
from bestreply.utils.spec import tuples
from bestreply.utils.trust import Trust, from_file, modules_named
from bestreply.utils.untrusted import read_json

RUN_FORMAT = 4
"""Version of a run directory: configuration and checkpoint. Runs without a `format`
in provenance.json have version 1."""

METHODS = {
    "agent": "bestreply.methods.agent:AgentMethod",
    "behaviour_cloning": "bestreply.baselines.behaviour_cloning:BehaviourCloning",
    "iql": "bestreply.baselines.iql:ImplicitQLearning",
    "ppo": "bestreply.baselines.ppo:PPO",
    "ppo_recurrent": "bestreply.baselines.ppo:RecurrentPPO",
    "hop": "bestreply.baselines.hop:HOP",
}
"""Module and class of each method by its name (`RunConfig.method`), imported on use."""


class Method(abc.ABC):
    """One way to train a player from a dataset, by name in `RunConfig.method`.

    `bestreply.train.train` calls `configure`, `begin`, `fit` and `diagnose` in this
    order; `Run.player` calls `player`. A train state is a PyTree of arrays, the
    content of a checkpoint.
    """

    plans: ClassVar[bool] = False
    """Whether it trains models and plans with them (`Run.agent`)."""
    can_batch: ClassVar[bool] = True
    """Whether `fit` can train several seeds as one compiled batch."""

    def configure(self, config: RunConfig) -> RunConfig:
        """Return the configuration with the settings that the method determines.

        Args:
            config: configuration of a run.

        Raises:
            ValueError: settings that the method excludes.
        """
        return config

    @abc.abstractmethod
    def start(
        self, config: RunConfig, game: Game, roster: Sequence[dict[str, Any]]
    ) -> PyTree:
        """Return the untrained train state, drawn from the run's seed.

        A run that is opened traces it for its shapes alone.

        Args:
            config: configuration of the run.
            game: its game.
            roster: the players of the data, as `Run.roster`.
        """

    def begin(
        self, run: "Run", episodes: Episodes, previous: "Run | None" = None
    ) -> PyTree:
        """Return the train state that training begins with; by default `start`'s.

        Args:
            run: the new run.
            episodes: its training episodes.
            previous: a run whose networks to begin with; None: new networks.
        """
        return self.start(run.config, run.game, run.roster)

    @abc.abstractmethod
    def updates(
        self, config: RunConfig, train_state: PyTree
    ) -> dict[str, tuple[int, int]]:
        """Return, for each phase, the updates made and the updates to make.

        Args:
            config: configuration of the run.
            train_state: its train state.
        """

    @abc.abstractmethod
    def fit(
        self,
        run: "Run",
        buffer: BufferState,
        train_state: PyTree,
        save: Callable[[Any], None],
        write: Write,
        seeds: Seeds = None,
    ) -> PyTree:
        """Train from the updates that `train_state` counts to the last one.

        Args:
            run: the run.
            buffer: its training episodes; stacked [S, ...] with `seeds`.
            train_state: the state to continue from; stacked in the same way.
            save: writes a checkpoint of a train state.
            write: logs metrics.
            seeds: seeds of S runs that are trained as one batch; None: one run.

        Returns:
            The trained state.
        """

    def fit_arrays(
        self, run: "Run", buffer: BufferState, train_state: PyTree
    ) -> PyTree:
        """Return the shapes of the arrays that `fit` keeps beside its arguments.

        Args:
            run: the run.
            buffer: its training episodes.
            train_state: its train state.
        """
        return ()

    def diagnose(self, run: "Run", held_out: Episodes) -> dict[str, Any]:
        """Return measures of the trained networks, the content of diagnostics.json.

        Args:
            run: the trained run.
            held_out: episodes that it was not trained on.
        """
        return {}

    @abc.abstractmethod
    def player(self, run: "Run", name: str) -> Player:
        """Return the trained player.

        Args:
            run: a run with a train state.
            name: name of the player.
        """


NAMES = Names("method", Method, METHODS)
"""Methods that are not the library's own."""
TABLES = {
    "game": GAME_NAMES,
    "player": PLAYER_NAMES,
    "method": NAMES,
    "planner": PLANNER_NAMES,
    "opponents": OPPONENT_NAMES,
    "network": NETWORK_NAMES,
    "loss": LOSS_NAMES,
}
"""The table of each kind of name in a configuration (`bestreply.config.names_in`)."""


@cache
def load_method(name: str) -> Method:
    """Return a method by name.

    Args:
        name: `RunConfig.method`: one of `METHODS`, of an installed package, or
            ``module:Class(settings)``.

    Returns:
        The method, one object for each name.

    Raises:
        ValueError: there is no method of this name.
    """
    if name not in METHODS:
        return NAMES.make(name)
    return import_attribute("method", METHODS[name])()


def list_methods() -> dict[str, str]:
    """Return every method by name, with a line on what it does.

    Methods of installed packages are included.
    """
    own = {
        name: summary(import_attribute("method", place))
        for name, place in METHODS.items()
    }
    return own | NAMES.summaries()


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory, and its networks where it has a checkpoint."""

    path: Path
    config: RunConfig
    game: Game
    provenance: dict[str, Any]
    """Content of provenance.json."""
    train_state: PyTree = None
    """The state that training changes: a `TrainState`, or that of a baseline; None
    before the first checkpoint."""
    allow_import: tuple[str, ...] = ()
    """Modules that names in its files may import (`bestreply.utils.trust`)."""

    @property
    def method(self) -> Method:
        """The method that trains it."""
        return load_method(self.config.method)

    @property
    def roster(self) -> list[dict[str, Any]]:
        """The players of the data, in the order of value heads and player types."""
        return self.provenance["data"]["roster"]

    @property
    def trust(self) -> Trust:
        """The trust in the names of its files, such as those of its roster.

        What its configuration names was typed, or checked when the run was opened.
        """
        named = modules_named(text for _, text in names_in(self.config))
        return from_file(self.path, (*self.allow_import, *sorted(named)))

    @property
    def goals(self) -> tuple[str, ...]:
        """Names of the types that the opponent model distinguishes; none in a policy."""
        if not self.plans:
            return ()
        model = self.config.model
        return opponent_types(model).names(model, self.game, self.roster)

    @property
    def plans(self) -> bool:
        """Whether its method trains models and plans with them."""
        return self.method.plans

    def player(self, name: str = "bestreply") -> Player:
        """Return the trained player: the agent, or a baseline's policy.

        Args:
            name: name of the player.

        Returns:
            The player.

        Raises:
            ValueError: the run has no checkpoint.
        """
        self._check_trained()
        player = self.method.player(self, name)
        if not isinstance(player, Player):
            raise ValueError(
                f"method={self.config.method!r}: expected a method whose `player` "
                f"returns a Player, such as bestreply.player(function); it returns "
                f"an object of type {type(player).__name__}"
            )
        return player

    def _check_trained(self) -> None:
        if self.train_state is None:
            raise ValueError(
                f"{self.path}: expected a checkpoint; train the run first: "
                f"bestreply train --resume --out {self.path}"
            )

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
        """Return a player that plans with this run's models.

        Args:
            planner: one_step, expectimax, mcts or module:function; by default that of
                the configuration.
            opponents: "learned", "uniform", module:Class, or any `OpponentModel`.
            name: name of the player.
            change_rate: probability before each step that an opponent changes type, in
                the agent's belief; by default the run's own `train.change_rate`.
            epsilon: probability of a uniform legal action instead of the planned one.
            settings: fields of `PlannerConfig` to change, e.g. ``memory=0.9``.

        Returns:
            The agent.

        Raises:
            ValueError: an unknown planner, model or setting; a probability out of its
                range, an empty name; a run without a checkpoint, or of a method that
                does not plan.
        """
        if not self.plans:
            raise ValueError(
                f"{self.path}: method={self.config.method}: expected a method that "
                "plans. The run's player is run.player()"
            )
        self._check_trained()
        epsilon = finite_number("epsilon", epsilon, 0, 1)
        if not (isinstance(name, str) and name):
            raise ValueError(f"name={shown(name)}: expected a text, not empty")
        config = self._planner_config(planner, settings)
        if isinstance(opponents, str):
            opponents = self._named_opponents(opponents, config, change_rate)
        check_opponents(opponents, self.game, max(len(self.goals), 1))
        if isinstance(opponents, LearnedOpponents):
            rate = self._change_rate(change_rate)
            opponents = with_type_changes(opponents, rate, config)
        world = averaged_over_symmetries(
            self.train_state.world, self.game, config.symmetry_averages
        )
        if config.world == "true":
            limit_ends = self.config.train.at_limit == "zero"
            world = TrueModel(world, self.game, limit_ends=limit_ends)
            if self.config.model.opponents == "tables":
                gamma = self.config.train.gamma
                opponents = with_replies(
                    opponents, self.game, gamma, limit_ends
                )
        return Agent(
            world=world,
            opponents=opponents,
            game=self.game,
            config=config,
            gamma=self.config.train.gamma,
            name=name,
            epsilon=epsilon,
            anchors=self._anchors,
            levels=self._levels,
            joint_values=self._joint_values,
        )

    @property
    def _joint_values(self) -> JointValues | None:
        """The values of joint actions; None where no plan follows them."""
        state = getattr(self.train_state, "joint_values", None)
        return None if state is None else state.model.if_used()

    @property
    def _levels(self) -> Levels | None:
        """Levels of logged observations; None where there are none."""
        data = self.provenance["data"]
        if "levels" not in data:  # a run of before they were measured
            return Levels.whole(self.game)
        facts = data["levels"]
        if facts is None:
            return None
        if (size := entries_of(facts)) != math.prod(self.game.obs_shape):
            raise ValueError(
                f"{self.path / 'provenance.json'}: data.levels of {size} entries: expected "
                f"those of an observation of shape {self.game.obs_shape}; restore the "
                "file, or train the run again"
            )
        return Levels.read(facts)

    @property
    def _anchors(self) -> Anchors | None:
        """The policies that its agents stay close to; None without any."""
        state = getattr(self.train_state, "anchors", None)
        return None if state is None else state.model

    def export(
        self,
        path: str | Path,
        *,
        platforms: Sequence[str] = ("cpu",),
        **settings: Any,
    ) -> Path:
        """Write the agent as one file that plans without this library.

        Args:
            path: the file to write or replace.
            platforms: where its programs can run: cpu, cuda, rocm, tpu.
            settings: those of `agent`.

        Returns:
            The file; `bestreply.load_export` opens it.

        Raises:
            ValueError: as `agent`; or the agent calls Python while it plans.
        """
        from bestreply.planning.export import export_agent

        agent = self.agent(**settings)
        facts = {"game": self.config.game, "seed": self.config.seed}
        return export_agent(agent, path, facts, platforms=platforms)

    def _planner_config(
        self, planner: str | None, settings: dict[str, Any]
    ) -> PlannerConfig:
        planner = planner or self.config.planner.planner
        load_planner(planner)
        known = [f.name for f in dataclasses.fields(self.config.planner)]
        if unknown := sorted(set(settings) - set(known)):
            raise ValueError(
                f"planner settings {', '.join(unknown)}: expected one of "
                f"{', '.join(known)}"
            )
        return dataclasses.replace(
            self.config.planner, planner=planner, **settings
        )

    def _named_opponents(
        self, name: str, config: PlannerConfig, change_rate: float | None
    ) -> OpponentModel:
        if name == "learned":
            return self.opponents(config, change_rate)
        if name == "uniform":
            return UniformOpponents(game=self.game, goals=len(self.goals))
        if ":" in name or is_registered("opponents", name):
            learned = self.opponents(config, change_rate)
            return named_opponents(name, self.game, len(self.goals), learned)
        raise ValueError(
            f"opponents={name}: expected learned, uniform, module:Class, or an "
            "OpponentModel"
        )

    def _change_rate(self, change_rate: float | None) -> float:
        if change_rate is None:
            return self.config.train.change_rate
        rate = finite_number("change_rate", change_rate, 0, 1)
        if rate == 1:
            raise ValueError("change_rate=1: expected less than 1")
        return rate

    def opponents(
        self,
        config: PlannerConfig | None = None,
        change_rate: float | None = None,
    ) -> OpponentModel:
        """Return the opponent model that `ModelConfig.opponents` names.

        Args:
            config: settings of the planner; by default the run's own.
            change_rate: as in `agent`.

        Returns:
            The trained opponent model.

        Raises:
            ValueError: a change rate, memory or unknown_type_prior above 0 for a
                model without a belief over types.
        """
        self._check_trained()
        return trained_opponents(
            self.config,
            self.game,
            self.train_state,
            config or self.config.planner,
            self._change_rate(change_rate),
        )

    def restored(self) -> "Run":
        """Return the run with the networks of its newest checkpoint.

        Only arrays and JSON are read, and no untrained network is computed.

        Returns:
            The run with its train state.

        Raises:
            FileNotFoundError: there is no checkpoint.
            ValueError: the checkpoint does not fit the configuration, or none is
                whole and finite.
        """
        shapes = eqx.filter_eval_shape(
            self.method.start, self.config, self.game, self.roster
        )
        folder = self.path / "checkpoints"
        return self.with_train_state(
            checkpoint.load_checkpoint(folder, shapes, finite=True)[1]
        )

    def with_train_state(self, train_state: PyTree) -> "Run":
        """Return the run with other networks.

        Args:
            train_state: a train state of its method.
        """
        return dataclasses.replace(self, train_state=train_state)


@contextlib.contextmanager
def claimed(
    path: str | Path | None, game: Game, *, resume: bool = False
) -> Iterator[Path]:
    """Give a run directory that no other process writes to meanwhile.

    It is made where it is missing, and removed where it is still empty at the end.

    Args:
        path: the directory; None: a new one in ``runs/``.
        game: the run's game, for the name of a new directory.
        resume: whether the run in the directory is to be continued.

    Returns:
        A context manager that gives the directory.

    Raises:
        BlockingIOError: another process writes to it.
        ValueError: it is a dataset; or `resume` without a directory.
        FileExistsError: it is a file.
    """
    continues = "resume" if resume else ""
    path = output_folder(path, "runs", game.name, continues=continues)
    make_folder(path)
    with locked(path, wait=False):
        try:
            yield path
        finally:
            with contextlib.suppress(OSError):  # it holds files
                path.rmdir()


def open_run(
    path: str | Path,
    config: RunConfig,
    data: Store,
    *,
    resume: bool,
    command: str | None,
    levels: dict[str, Any] | None = None,
) -> Run:
    """Return the run directory that training on `data` writes to.

    Args:
        path: the directory.
        config: configuration of the run.
        data: the dataset to train on.
        resume: whether to continue the run in `path`, if there is one; the settings
            of its evaluation may differ.
        command: the command line, for provenance.
        levels: of the data's observations (`bestreply.planning.levels.measured_levels`).

    Returns:
        The run, without networks.

    Raises:
        FileExistsError: there is a run in `path`, and `resume` is not set.
        ValueError: `resume` finds another configuration or other data, or the
            configuration names another game than the data's.
    """
    game = make_game(config.game)
    if not data.is_of(game):
        raise ValueError(
            f"game={game}: expected the game of the data, {data.game_text}"
        )
    data.game(game)
    path = Path(path)
    if (path / "config.json").exists():
        if not resume:
            raise FileExistsError(
                f"{path}: expected a path without a run. Give another path, or continue "
                "the run with --resume"
            )
        return _resumed(path, config, data)
    facts = provenance(config.seed, command)
    facts["game"] = {
        "name": spec_of_game(game).name,
        "version": game.version,
        "settings": game.settings,
    }
    facts |= {
        "format": RUN_FORMAT,
        "method": config.method,
        "plans": load_method(config.method).plans,
        "env_steps": data.manifest.steps,
        "data": {
            "fingerprint": data.fingerprint,
            "roster": list(data.roster),
            "episodes": data.manifest.episodes,
            "path": os.path.relpath(data.path, path),
            "levels": levels,
        },
    }
    make_folder(path)
    write_json(path / "provenance.json", facts)
    write_json(path / "config.json", to_dict(config))
    return Run(path, config, game, facts)


def _resumed(path: Path, config: RunConfig, data: Store) -> Run:
    typed = modules_named(text for _, text in names_in(config))
    run = _read(path, allow_import=sorted(typed))
    remedy = (
        "Give the same, or another path, or remove this run to start again; in a "
        "sweep: bestreply sweep FILE --restart-changed"
    )
    evaluation = config.evaluate
    started = dataclasses.replace(run.config, evaluate=evaluation)
    if changes := differences(started, config):
        raise ValueError(
            f"{path}: expected the configuration that the run was started with (then "
            f"and now: {'; '.join(changes)}). {remedy}"
        )
    if run.provenance["data"]["fingerprint"] != data.fingerprint:
        raise ValueError(
            f"{path}: expected the data that the run was started with. {remedy}"
        )
    if run.config != config:
        write_json(path / "config.json", to_dict(config))
    return dataclasses.replace(run, config=config)


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
            f"{path}: format={version}: expected run format {RUN_FORMAT}, the only one "
            "that this version of bestreply reads; train the run again: bestreply train"
        )


def check_facts(path: Path, facts: Any) -> None:
    """Refuse a provenance of another format, or without what a run is read by.

    Args:
        path: the run directory.
        facts: contents of its provenance.json, of any type.

    Raises:
        ValueError: an entry is missing or has another type.
    """
    table = facts if isinstance(facts, dict) else {}
    if "game" in table:
        check_format(path, table)
    game, data = table.get("game"), table.get("data")
    game = game if isinstance(game, dict) else {}
    data = data if isinstance(data, dict) else {}
    roster = data.get("roster")
    checks = {
        "game.version": (type(game.get("version")) is int, "a whole number"),
        "game.settings": (isinstance(game.get("settings"), dict), "an object"),
        "data.fingerprint": (isinstance(data.get("fingerprint"), str), "text"),
        "data.roster": (
            isinstance(roster, list)
            and bool(roster)
            and all(map(is_named, roster)),
            "a list of at least one {name: text, version: int}",
        ),
        "data.levels": (
            data.get("levels") is None or are_levels(data["levels"]),
            "null or {marked: entries, layouts: [{marks: numbers, first: numbers, "
            "step: numbers > 0, time: entries}]}",
        ),
    }
    for name, (fits, condition) in checks.items():
        if not fits:
            raise ValueError(
                f"{path / 'provenance.json'}: {name}: expected {condition}, as "
                "'bestreply train' writes it; restore the file, or train the run again"
            )


def _fill_in(document: Any) -> None:
    """Give the configuration of a run of before values of joint actions none."""
    train = document.get("train") if isinstance(document, dict) else None
    if isinstance(train, dict) and "joint_updates" not in train:
        train["joint_updates"] = 0


def _read(
    path: Path, game: Game | None = None, allow_import: Sequence[str] = ()
) -> Run:
    trust = from_file(path, allow_import)
    try:
        facts = read_json(path / "provenance.json")
        document = read_json(path / "config.json")
    except OSError as error:
        raise ValueError(
            f"{path}: expected a run directory of 'bestreply train' or 'bestreply "
            f"run': {error}"
        ) from error
    check_facts(path, facts)
    _fill_in(document)
    try:
        config = from_dict(RunConfig, document)
    except ValueError as error:
        raise ValueError(f"{path / 'config.json'}: {error}") from None
    version, settings = facts["game"]["version"], facts["game"]["settings"]
    if game is not None:
        config = _with_game(path, config, game, settings)
    given = () if game is None else modules_named([config.game])
    trust = from_file(path, (*trust.allow, *given))
    vet_all(TABLES, names_in(config), trust)
    game = make_game(config.game)
    if version != game.version:
        raise ValueError(
            f"{path}: version={version} of {game.name}: expected {game.version}, the "
            "version of this bestreply; train the run again: bestreply train"
        )
    _check_settings(path, game, settings)
    return Run(path, config, game, facts, allow_import=trust.allow)


def _check_settings(path: Path, game: Game, settings: dict[str, Any]) -> None:
    """Refuse a configuration whose game was edited after training.

    Settings that a later version of the game adds are not compared.
    """
    now = plain(game.settings)
    edited = [
        f"{name}={shown(now.get(name))}, not {shown(value)}"
        for name, value in settings.items()
        if tuples(now.get(name)) != tuples(value)
    ]
    if edited:
        raise ValueError(
            f"{path / 'config.json'}: game={game.name} with {', '.join(edited)}: expected "
            "the settings that the run was trained with; restore the file, or train "
            "another run"
        )


def _with_game(
    path: Path, config: RunConfig, game: Game, settings: object
) -> RunConfig:
    """Return the configuration of a run with a game that the caller hands in."""
    if tuples(settings) != tuples(plain(game.settings)):
        raise ValueError(
            f"game={game}: expected the settings of the run {path}, {settings}"
        )
    return dataclasses.replace(config, game=game)


def load_run(
    path: str | Path,
    *,
    game: Game | str | None = None,
    allow_import: Sequence[str] = (),
) -> Run:
    """Return a run with the networks of its newest checkpoint.

    Safe to open: only arrays and JSON are read, and no module that the run names is
    imported unless it is allowed. A run whose training was interrupted or diverged is
    loaded with a warning.

    Args:
        path: the run directory.
        game: the run's game, or its name, where it is not one of the library.
        allow_import: modules or packages that names in the run may import.

    Raises:
        ValueError: no run directory, one of another format or game version, or one
            that names code of a module that is not allowed.
        FileNotFoundError: the run has no checkpoint.
    """
    cache_compilations()
    what = "the path of a run directory: br.load_run('runs/first')"
    path = checked_path("path", path, what)
    game = None if game is None else make_game(game)
    run = _read(path, game, allow_import).restored()
    if not (run.path / "diagnostics.json").exists():
        warn(
            f"{run.path}: its training is not complete; the newest checkpoint is used. "
            f"Continue: bestreply train --resume --out {run.path}"
        )
    return run
