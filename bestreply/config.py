"""Settings of a run: frozen dataclasses. The text under a field is its `--help`.

Every value is checked when a configuration is made, wherever it comes from:
Python, TOML, JSON or the command line. This module imports no JAX.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeVar,
)

import msgspec

from bestreply.utils.checks import shown
from bestreply.utils.fields import Open, checked, hints_of

Count = Annotated[int, msgspec.Meta(ge=1)]
CountOrZero = Annotated[int, msgspec.Meta(ge=0)]
Seed = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
Weight = Annotated[float, msgspec.Meta(ge=0)]
PositiveFloat = Annotated[float, msgspec.Meta(gt=0)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Probability = Annotated[float, msgspec.Meta(ge=0, lt=1)]


PlannerName = (
    Literal["one_step", "expectimax", "mcts", "action_values"]
    | Annotated[str, Open("planner")]
)
OpponentsName = (
    Literal["types", "recurrent", "in_context", "tables", "level_k"]
    | Annotated[str, Open("opponents")]
)
MethodName = (
    Literal["agent", "behaviour_cloning", "iql", "ppo", "ppo_recurrent", "hop"]
    | Annotated[str, Open("method")]
)
LossName = Literal["specification"] | Annotated[str, Open("loss")]
EncoderName = Literal["auto", "mlp", "cnn"] | Annotated[str, Open("network")]
if TYPE_CHECKING:
    from typing import Any as GameName
else:
    GameName = Annotated[str, Open("game")]
    """Text; a game object is written as its name and settings."""


def _check_fields(config: Any) -> None:
    """Check each field by its annotation; raise ValueError that names the field.

    Fields that a subclass elsewhere adds, such as a command's, are its own.
    """
    kind = next(k for k in type(config).__mro__ if k.__module__ == __name__)
    section = _SECTIONS.get(kind.__name__, "")
    for name, hint in hints_of(kind).items():
        value = checked(f"{section}{name}", getattr(config, name), hint)
        object.__setattr__(config, name, value)


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses that the specification names."""

    obs: Weight = 1.0
    """lambda_o: next observation."""
    reward: Weight = 1.0
    """lambda_r: reward."""
    value: Weight = 0.25
    """lambda_V: value."""
    consistency: Weight = 0.5
    """lambda_c: predicted latent against the encoder's latent of the next
    observation."""

    __post_init__ = _check_fields


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and forms of the networks."""

    latent: Count = 128
    """Size of z."""
    width: Count = 256
    """Units of a hidden layer."""
    depth: CountOrZero = 2
    """Hidden layers of encoder, dynamics, decoder, value and opponent networks."""
    encoder: EncoderName = "auto"
    """Network from an observation to z: an MLP of the flat observation; a small CNN
    of an image [height, width, channels]; auto: the CNN for images of more than
    4096 entries; or module:Class. Every network that reads observations reads them so."""
    likelihood: Literal["bernoulli", "squared"] = "bernoulli"
    """Loss of 0/1 entries of the observation. Other entries have squared error."""
    value_of: Literal["auto", "z", "o"] = "auto"
    """Input of the value: the latent, or the observation (in a plan: the decoded
    observation); auto: the latent where a CNN reads images, else the observation."""
    memory: Literal["none", "gru"] = "none"
    """Whether the latent also holds what the agent itself observed and did before in
    the episode: for games whose observation does not show the state. Not with
    train.target "improved"."""
    value_heads: Literal["single", "player", "action"] = "player"
    """Value heads: one for the data's mixed behaviour; one for each player that
    made the data; or (for `improved`) one for each own action. The planner takes
    the maximum over heads, or their mean where trials chose it."""
    opponent_types: Literal["none", "goal", "player", "code"] = "player"
    """Type that the opponent model is conditioned on: none; the goal labelled in
    hindsight; the logged player; or a discrete code learned without labels
    (`bestreply.opponents.latent_codes`)."""
    opponents: OpponentsName = "types"
    """Opponent model: Bayes' rule over `opponent_types`; a recurrent network;
    attention over the last steps, earlier episodes included
    (`bestreply.opponents.sequence`); Bayes' rule over one table for each logged
    player, how often it took each action after the last joint actions
    (`bestreply.opponents.tables`); Bayes' rule
    over these types and level-k players (`bestreply.planning.level_k`); or
    module:Class."""
    context: Count = 64
    """Steps of each opponent that the attention reads, with opponents "in_context";
    steps before a logged one from which training computes its memory, with memory
    "gru"."""
    table_memory: CountOrZero = 4
    """Number of last joint actions that a table reads, with opponents "tables"; 0:
    action frequencies alone; fewer where a table would have more than 4096 rows."""
    codes: Count = 6
    """Number of codes; training may leave some unused. Only for opponent_types
    "code"."""
    code_horizon: CountOrZero = 0
    """Meaning of a code. 0: a policy, inferred from all actions of an episode
    (`bestreply.opponents.latent_codes`); h > 0: a subgoal, inferred from the state
    h steps later (`bestreply.opponents.subgoals`). Only for opponent_types
    "code"."""

    @property
    def subgoals(self) -> bool:
        """Codes stand for subgoals."""
        return self.opponent_types == "code" and self.code_horizon > 0

    __post_init__ = _check_fields


@dataclass(frozen=True)
class TrainConfig:
    """Training."""

    opponent_updates: CountOrZero = 3000
    """Gradient steps of the opponent model over types."""
    updates: CountOrZero = 8000
    """Gradient steps of the world model."""
    history_updates: CountOrZero = 3000
    """Gradient steps of the opponent model that reads histories."""
    max_epochs: CountOrZero = 32
    """Largest number of passes over the data: `updates`, `opponent_updates`,
    `anchor_updates` and `joint_updates` are halved until they make at most as many, but at
    least 200 updates. 0: no limit."""
    batch: Count = 512
    """Windows in a gradient step of the world model, the value excepted."""
    opponent_batch: Count = 512
    """Steps in a gradient step of the opponent model."""
    value_batch: Count = 2048
    """Transitions in a gradient step of the value."""
    optimiser: Literal["muon", "adamw"] = "muon"
    """Muon needs a fraction of AdamW's updates (results/improved.md), at ten times
    its learning rate."""
    learning_rate: PositiveFloat = 1e-2
    """Peak learning rate; warm-up over 2 % of the updates, then cosine decay to a
    twentieth."""
    gamma: Fraction = 0.99
    """Discount of a step."""
    target: Literal["data", "expected", "improved"] = "data"
    """TD target: r + gamma V(o') of the data; V(o') in expectation over predicted
    opponent actions; or the value of the best action at o', learned in imagined
    games (needs value_heads "action")."""
    anchor_updates: CountOrZero = 3000
    """Gradient steps of the policies of the data's players, which the agent stays close
    to where it earns more by it (`bestreply.models.anchors`); 0: it never does."""
    joint_updates: CountOrZero = 2000
    """Gradient steps of the values of joint actions, learned from logged play without the
    world model (`bestreply.models.joint_values`); trials say beside whom plans follow them.
    None: 0, or without trials (`anchor_updates` or `trial_episodes` 0). Only for the planner
    one_step."""
    trial_episodes: CountOrZero = 128
    """Episodes in which the agent tries how close to stay to the players of its data:
    with each choice, in each role, beside each player and beside their mixture; fewer, but
    not below 32, where all would be more than the data has. `env_steps` of a run does not count them;
    trials.json does. Where there are no rules, or no players that can be made, logged
    play decides instead. 0: it does not stay close."""
    value_updates: CountOrZero = 20_000
    """Gradient steps of the value, after the world model. Only for `improved`."""
    imagined_games: Count = 1024
    """Imagined games in parallel; every gradient step of the value advances each by
    one step. Only for `improved`."""
    change_rate: Probability = 0.0
    """Probability before each step that an opponent becomes another type: in
    imagined games, and in the belief of the run's agents."""
    labels: Literal["event", "hindsight", "posterior"] = "posterior"
    """Labels of goals: only of steps that led to an event; of all steps, without an
    event the goal "none"; or without an event the posterior over all goals
    (`bestreply.opponents.labels`). Only for opponent_types "goal"."""
    off_policy: Weight = 1.0
    """Weight of each step in the value heads of the other players, times the
    importance ratio of its action; 0: off. Only for `data`, one head for each
    player, in games whose observation shows what opponents see."""
    n_step: Count = 1
    """Rewards summed before the value; 1 is the specification's target. Only for
    `data`."""
    at_limit: Literal["auto", "bootstrap", "zero"] = "auto"
    """Value at the step limit: V of the last observation, or 0 where the return
    within the limit is the objective; auto: 0 where logged observations tell the time
    left, or no logged episode reaches the limit (`bestreply.training.step_limit`),
    else V."""
    target_tau: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.01
    """Update rate of the target network, as a fraction for each gradient step."""
    augment: bool = True
    """Apply a random symmetry of the game to every logged step, where the game
    declares symmetries."""
    loss: LossName = "specification"
    """Losses of a window of logged steps: those of the specification, or
    module:function (`bestreply.training.losses.load_loss`)."""
    weights: LossWeights = field(default_factory=LossWeights)
    log_every: Count = 250
    """Gradient steps between two lines of metrics."""
    checkpoint_every: Count = 1000
    """Gradient steps between two checkpoints."""
    wandb: str = ""
    """Weights & Biases project that also receives the metrics (extra wandb;
    WANDB_MODE=offline is respected). Empty: none."""

    __post_init__ = _check_fields


@dataclass(frozen=True)
class PlannerConfig:
    """Planning."""

    planner: PlannerName = "one_step"
    """One step; expectimax over `depth` steps; Monte Carlo tree search; no look-ahead,
    the action of the highest value head, where chance decides the next observation
    (action_values; needs model.value_heads "action"); or module:function."""
    world: Literal["learned", "true"] = "learned"
    """Model to plan in: the learned model, or the game itself (leaves still have the
    learned value; in repeated games with opponents "tables" the exact one)."""
    joint_limit: CountOrZero = 64
    """Largest number of joint opponent actions that is enumerated; above it, joint
    actions are sampled."""
    samples: Count = 32
    """Joint actions sampled above the limit; the same for every candidate."""
    depth: Count = 2
    """Steps of expectimax."""
    prune_below: Fraction = 0.01
    """Expectimax does not expand branches with reach probability below this; the
    value network scores them. 0: expand all."""
    revise_values: bool = True
    """Lower the value of an observation that was met before in the episode to that of the
    plan made there, so that an agent leaves loops (`bestreply.planning.revisions`). For
    observations of few values, such as whole numbers or cells of a grid."""
    symmetry_averages: Count = 8
    """Symmetries of the game that the value is averaged over, where the game
    declares symmetries. 1: no average."""
    simulations: Count = 128
    """Budget of mcts: outcomes (an own action, a draw of opponent actions)
    evaluated below the root of one decision. The root takes at most a quarter as
    many draws."""
    prior_mixing: Fraction = 0.01
    """Fraction of the prior mixed into the belief at each step, so that no type
    reaches probability 0."""
    memory: Fraction = 0.0
    """Discount for each episode of type counts from earlier episodes against the
    same opponents, used as their prior; 0: no memory."""
    unknown_type_prior: Probability = 0.0
    """Prior probability that an opponent has none of the known types; its policy is
    then estimated from its own actions."""
    learn_in_play: Weight = 0.0
    """Prior variance of the weights of a last layer of the opponent model, which the agent
    learns from each opponent's actions in play (`bestreply.opponents.last_layer`); 0: none.
    Only for opponents "types"."""

    __post_init__ = _check_fields


@dataclass(frozen=True)
class CollectConfig:
    """Play to learn from."""

    players: tuple[str, ...] = ()
    """Players that make the data: each seat draws one of them for each episode.
    None given: the game's standard players."""
    episodes: Count = 20_000
    """Number of episodes."""

    __post_init__ = _check_fields


@dataclass(frozen=True)
class ImproveConfig:
    """Rounds of learning from the agent's own play: collect with the agent in one
    seat, keep the old data, continue training."""

    rounds: CountOrZero = 0
    """Number of rounds; 0: learn from the first play alone."""
    episodes: Count = 5000
    """Episodes in a round; the agent sits in every seat in turn, its opponents are
    drawn as in the first play."""

    __post_init__ = _check_fields


@dataclass(frozen=True)
class EvaluateConfig:
    """Evaluation."""

    opponents: tuple[str, ...] = ()
    """Opponent sets: one name fills all other seats, N-1 names with commas fill one
    each, "adversary=a, agent=b" fills them by role; "self" is the measured player.
    None given: each player that made the data, and their mixture."""
    episodes: Count = 1000
    """Episodes for every method, role and opponent set, all seats in turn."""
    methods: tuple[str, ...] = (
        "agent",
        "uniform_others",
        "data_players",
        "random",
    )
    """Players of the focal seat: the agent; its planner with uniform opponents
    (uniform_others), or with the opponents' true types given (true_types, against
    players of the data alone); each player that made the data; the random player,
    or any other by name."""
    reference_layouts: CountOrZero = 8
    """First layouts of a grid game to solve for the exact best reply, for every
    opponent set; fewer or none where one takes long; 0: none, in any game."""
    changes: bool = True
    """Measure change detection for each opponent set that changes type; slower than
    its returns."""

    __post_init__ = _check_fields


@dataclass(frozen=True)
class RunConfig:
    """One experiment from play to report."""

    game: GameName = "stag_hunt(height=4, width=4, hunters=4, stags=1, hares=4, max_steps=15)"
    """A game by name, with settings; module:Class for one of your own."""
    seed: Seed = 0
    """Seed of all random draws."""
    method: MethodName = "agent"
    """Method to train: the agent, a baseline (`bestreply.baselines`), or
    module:Class."""
    collect: CollectConfig = field(default_factory=CollectConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    planner: PlannerConfig = field(default_factory=PlannerConfig)
    improve: ImproveConfig = field(default_factory=ImproveConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)

    @property
    def values_joint_actions(self) -> bool:
        """Values of joint actions are trained: trials can say whether plans follow them."""
        train = self.train
        tried = train.anchor_updates > 0 and train.trial_episodes > 0
        one_step = self.planner.planner == "one_step"
        return train.joint_updates > 0 and tried and one_step

    __post_init__ = _check_fields


# A type checker of calls would refuse a game object before it is written as text.
RunConfig.__init__.__no_type_check__ = True  # pyright: ignore[reportFunctionMemberAccess]

Config = TypeVar("Config")

_SECTIONS = {
    "LossWeights": "train.weights.",
    "ModelConfig": "model.",
    "TrainConfig": "train.",
    "PlannerConfig": "planner.",
    "CollectConfig": "collect.",
    "ImproveConfig": "improve.",
    "EvaluateConfig": "evaluate.",
}
"""Where the fields of each class stand in a `RunConfig`, for errors."""


def checked_config(config: Any) -> RunConfig:
    """Return a configuration of a run, and refuse anything else.

    Args:
        config: the configuration.

    Raises:
        ValueError: it is no `RunConfig`.
    """
    if not isinstance(config, RunConfig):
        raise ValueError(
            f"config={shown(config)}: expected a RunConfig: br.preset('debug'), or "
            "br.RunConfig(game=..., seed=...)"
        )
    return config


def to_dict(config: object) -> dict[str, Any]:
    """Return a configuration as plain JSON data.

    Args:
        config: a dataclass of this module.
    """
    return dataclasses.asdict(config)  # type: ignore[call-overload]


def from_dict(kind: type[Config], data: object, where: str = "") -> Config:
    """Return plain JSON data as a configuration.

    Args:
        kind: a dataclass of this module.
        data: tables of settings; what is missing has its default.
        where: path of `data` in the whole configuration, for errors.

    Returns:
        The configuration, checked.

    Raises:
        ValueError: `data` is no table, or a name or value is not accepted; the
            error names the field, the value and what is expected.
    """
    if not isinstance(data, Mapping):
        name = where.rstrip(".") or "the configuration"
        raise ValueError(f"{name}={shown(data)}: expected a table of settings")
    hints = hints_of(kind)
    for name in data:
        if name not in hints:
            close = difflib.get_close_matches(str(name)[:80], hints, 1)
            hint_at = f"did you mean {close[0]!r}? " if close else ""
            raise ValueError(
                f"{where}{str(name)[:80]}: expected another name; {hint_at}"
                f"there are: {', '.join(hints)}"
            )
    values = {
        name: from_dict(hints[name], value, f"{where}{name}.")
        if dataclasses.is_dataclass(hints[name])
        else checked(f"{where}{name}", value, hints[name])
        for name, value in data.items()
    }
    return kind(**values)


def differences(one: object, other: object, where: str = "") -> list[str]:
    """Return each field in which two configurations differ.

    Args:
        one: a configuration.
        other: a configuration of the same class.
        where: path of both in the whole configuration.

    Returns:
        Lines such as ``train.updates: 2000 and 3000``.
    """
    lines: list[str] = []
    for name in hints_of(type(one)):
        a, b = getattr(one, name), getattr(other, name)
        if dataclasses.is_dataclass(a):
            lines += differences(a, b, f"{where}{name}.")
        elif a != b:
            lines.append(f"{where}{name}: {a!r} and {b!r}")
    return lines


def names_in(config: RunConfig) -> list[tuple[str, str]]:
    """Return (kind, text) of every field that can name code of others.

    Args:
        config: configuration of a run.
    """
    players = (
        *config.collect.players,
        *config.evaluate.opponents,
        *config.evaluate.methods,
    )
    return [
        ("game", config.game),
        ("method", config.method),
        ("planner", config.planner.planner),
        ("opponents", config.model.opponents),
        ("network", config.model.encoder),
        ("loss", config.train.loss),
        *(("player", text) for text in players),
    ]


def preset(name: str) -> RunConfig:
    """Return a ready configuration.

    Args:
        name: "debug" (seconds), "demo" (minutes on 2 cores) or "full" (the
            settings of the published figures).

    Returns:
        The configuration.

    Raises:
        ValueError: there is no such preset.
    """
    if name not in PRESETS:
        raise ValueError(
            f"preset={name!r}: expected one of {', '.join(PRESETS)}"
        )
    return PRESETS[name]


# Chosen on Markov Stag Hunt 4x4 (results/learning.md).
_MODEL = ModelConfig(latent=64, width=128)
_TRAIN = TrainConfig(
    opponent_updates=1000,
    opponent_batch=512,
    anchor_updates=2000,
    joint_updates=2000,
    trial_episodes=128,
    updates=4000,
    batch=128,
    gamma=0.98,
    n_step=3,
    off_policy=0.3,
    target_tau=0.03,
)
PRESETS = {
    "debug": RunConfig(
        collect=CollectConfig(episodes=256),
        model=ModelConfig(latent=16, width=32, depth=1),
        train=TrainConfig(
            opponent_updates=40,
            opponent_batch=64,
            anchor_updates=0,
            trial_episodes=0,
            updates=60,
            batch=64,
            value_batch=128,
            log_every=20,
            checkpoint_every=40,
        ),
        planner=PlannerConfig(samples=8, symmetry_averages=1),
        evaluate=EvaluateConfig(episodes=32, reference_layouts=0),
    ),
    "demo": RunConfig(
        collect=CollectConfig(episodes=20_000),
        model=_MODEL,
        train=_TRAIN,
        planner=PlannerConfig(
            samples=16, prior_mixing=0.002, symmetry_averages=1
        ),
        evaluate=EvaluateConfig(episodes=500),
    ),
    "full": RunConfig(
        collect=CollectConfig(episodes=25_000),
        model=dataclasses.replace(_MODEL, value_heads="action"),
        train=dataclasses.replace(
            _TRAIN,
            opponent_updates=6000,
            opponent_batch=512,
            anchor_updates=3000,
            joint_updates=6000,
            trial_episodes=128,
            updates=6000,
            batch=256,
            gamma=0.99,
            target="improved",
            value_updates=20_000,
            value_batch=512,
            target_tau=0.02,
            checkpoint_every=5000,
        ),
        planner=PlannerConfig(samples=16, prior_mixing=0.002),
        evaluate=EvaluateConfig(episodes=1000, reference_layouts=32),
    ),
}
"""Configurations by name."""
