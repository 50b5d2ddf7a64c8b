"""Every setting, in one place. Frozen dataclasses; the string under a field is what `--help` shows. No JAX here."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class LossWeights:
    """Weights of the world model's losses: one for each loss, by its name."""

    obs: float = 1.0
    """lambda_o: next observation."""
    reward: float = 1.0
    """lambda_r: reward."""
    value: float = 0.25
    """lambda_V: value."""
    consistency: float = 0.5
    """lambda_c: next latent against the encoder's own."""
    continuation: float = 0.2
    """Whether the step terminates the seat."""
    legal: float = 0.2
    """Legal actions at o and o'."""


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and forms of the networks."""

    latent: int = 128
    """Size of z."""
    width: int = 256
    """Units of a hidden layer."""
    depth: int = 2
    """Hidden layers of encoder, dynamics, decoder, value and opponent networks."""
    value_width: int | None = None
    """Units of a hidden layer of the value; by default `width`."""
    value_depth: int | None = None
    """Hidden layers of the value; by default `depth`."""
    likelihood: Literal["bernoulli", "squared"] = "bernoulli"
    """Loss of 0/1 entries of the observation; other entries are always under squared error."""
    value_of: Literal["z", "o"] = "o"
    """What the value looks at: the latent, or the observation (the decoded one inside a plan)."""
    value_belief: bool = True
    """Tell the value what is believed about the others."""
    value_heads: Literal["single", "player", "action"] = "player"
    """One value of the data's mixed behaviour; one for each player that made the data; or (for `improved`) one for each own action.
    The planner takes the best of them."""
    opponent_goal: Literal["none", "goal", "player", "code"] = "player"
    """What the model of the others is conditioned on: nothing, the goal labelled by hindsight, which logged player it is, or a code
    learned from what players go on to do, which takes no labels (`bestreply.model.codes`)."""
    opponents: Literal["types", "recurrent", "in_context", "levels"] = "types"
    """How the others are read: by Bayes' rule over what `opponent_goal` tells apart; by a recurrent network; by attention over the last
    steps, earlier episodes included (`bestreply.model.history`); or by Bayes' rule over these types and players that reply best to them
    (`bestreply.plan.levels`)."""
    context: int = 64
    """Steps of each other player that the attention looks back on. Only for opponents "in_context"."""
    levels: int = 2
    """How far players that reply to players are thought through. Only for opponents "levels"."""
    codes: int = 6
    """How many codes, of which it may leave some unused. Only for opponent_goal "code"."""
    code_horizon: int = 0
    """What a code stands for. 0: a way to act, by all that a player does in an episode (`bestreply.model.codes`); h > 0: a subgoal, by
    what the state h steps on shows (`bestreply.model.subgoals`). Only for opponent_goal "code"."""

    @property
    def subgoals(self) -> bool:
        return self.opponent_goal == "code" and self.code_horizon > 0


@dataclass(frozen=True)
class TrainConfig:
    """How the models are fitted."""

    opponent_updates: int = 3000
    """Gradient steps for the model of the others."""
    updates: int = 8000
    """Gradient steps for the world model."""
    history_updates: int = 3000
    """Gradient steps for a model that reads the others' history by a network."""
    history_batch: int = 64
    """Histories a gradient step, each of a whole episode or of as many as `model.context` goes back."""
    batch: int = 512
    """Windows a gradient step, for every loss of the world model but the value's."""
    opponent_batch: int = 512
    """Steps a gradient step for the model of the others."""
    value_batch: int = 2048
    """Transitions a gradient step for the value, whose targets are noisy."""
    optimiser: Literal["muon", "adamw"] = "muon"
    """Muon makes do with a fraction of AdamW's updates here (results/improved.md), at ten times its learning rate."""
    learning_rate: float = 1e-2
    """Peak learning rate; warm-up of 2 %, then cosine decay to a twentieth."""
    weight_decay: float = 1e-4
    """Decoupled, of either optimiser."""
    clip: float = 10.0
    """Largest gradient norm."""
    gamma: float = 0.99
    """Discount of a step."""
    target: Literal["data", "expected", "improved"] = "data"
    """TD target: r + gamma V(o') of the data; with V(o') expected over the others' predicted actions; or with the value of the best
    action at o', tried out in imagined play (needs value_heads "action")."""
    value_updates: int = 20_000
    """Gradient steps for the value, after the world model. Only for `improved`."""
    dreams: int = 1024
    """Imagined games side by side, each one step further at every update. Only for `improved`."""
    told: float = 0.5
    """Share of them in which the agent is told who the others are; in the rest it believes what play has shown."""
    explore: float = 0.4
    """Most often that an imagined game tries a uniform action; from a hundredth of it to all of it, drawn for each game."""
    hazard: float = 0.0
    """Chance before each step that another player of an imagined game becomes another; the value then knows what a change can bring."""
    labels: Literal["event", "hindsight", "posterior"] = "posterior"
    """Which steps teach the model of the others what of each goal: those that led to an event alone; the rest too, as the goal
    "none"; or the rest by its posterior over all goals (`bestreply.model.labels`). Only for opponent_goal "goal"."""
    relabel_every: int = 200
    """Updates after which that posterior, or that of the codes, is computed anew; a checkpoint is written then too."""
    code_hazard: float = 0.01
    """Chance before each step that a player's code is drawn anew, where codes are learned."""
    off_policy: float = 1.0
    """How much everybody's steps teach every other player's value head, weighted by how likely that player was to act so; 0: not at
    all. Only for `data`, one head a player, in games whose observation tells what the others see."""
    most_ratio: float = 10.0
    """Largest such weight."""
    n_step: int = 1
    """Rewards summed before the value takes over; 1 is the specification's target. Only for `data`."""
    at_limit: Literal["bootstrap", "zero"] = "bootstrap"
    """The value at the step limit: V of the last observation, or 0 where what counts is the return within the limit."""
    target_rate: float = 0.01
    """Share of the online network that the slow target network takes over at each update."""
    symmetries: bool = True
    """See every logged step under a random symmetry of the game, where the game declares any (turned boards, renamed others)."""
    unroll: int = 1
    """Latent steps the dynamics are trained over; 1 is the specification's loss."""
    weights: LossWeights = field(default_factory=LossWeights)
    holdout: float = 0.1
    """Share of the episodes kept for diagnostics."""
    log_every: int = 250
    """Gradient steps between two lines of metrics."""
    checkpoint_every: int = 1000
    """Gradient steps between two checkpoints."""
    wandb: str = ""
    """Project of Weights & Biases that metrics go to as well (the extra wandb; WANDB_MODE=offline is respected). None given: nowhere."""


@dataclass(frozen=True)
class PlannerConfig:
    """How an agent plans."""

    planner: Literal["one_step", "look_ahead", "search"] = "one_step"
    """One step ahead; every outcome over `depth` steps; or a tree search."""
    world: Literal["learned", "true"] = "learned"
    """What is planned in: the learned model, or the game itself (what follows is still valued by the learned value)."""
    joint_limit: int = 64
    """Enumerate the others' joint actions up to this many, draw samples beyond."""
    samples: int = 32
    """Joint actions drawn beyond the limit, the same for every candidate."""
    depth: int = 2
    """Steps of look_ahead."""
    deeper_samples: int = 4
    """Joint actions drawn beyond the limit at each later step of look_ahead."""
    unlikely: float = 0.01
    """What is less likely than this to come about is not looked into by look_ahead, but valued as it is. 0: all is
    looked into."""
    views: int = 1
    """Symmetries of the game (turned boards, renamed others) that the value is averaged over, where the game declares any."""
    simulations: int = 128
    """Budget of search: outcomes (an own action, a draw of the others' actions) evaluated below the root of one decision. The root
    takes at most a quarter as many draws."""
    leak: float = 0.01
    """Share of the prior that flows back into the belief at each step, so that nothing is ever ruled out for good."""
    hazard: float = 0.0
    """Chance before each step that another player changes its mind and becomes another type (`bestreply.model.changing`)."""
    memory: float = 0.0
    """What an episode against the same others counts a further episode later, as a prior of who they are; 0: they are strangers."""
    novelty: float = 0.0
    """Prior probability that another player is none of the known types, but of habits that only its own actions tell."""
    epsilon: float = 0.0
    """Probability of a uniform legal action instead of the best one."""

    @property
    def expects_change(self) -> bool:
        return max(self.hazard, self.memory, self.novelty) > 0


@dataclass(frozen=True)
class BaselineConfig:
    """What only the other methods have; sizes, updates, batches and gamma are the agent's."""

    expectile: float = 0.8
    """iql: of its value; 0.5 is the mean of what the data did, near 1 the best of it."""
    temperature: float = 3.0
    """iql: how much more the policy follows actions of a greater advantage, in deviations of it."""
    episodes: int = 64
    """ppo: games between two rounds of learning."""
    epochs: int = 4
    """ppo: how often it learns from each of them."""
    minibatches: int = 4
    """ppo: gradient steps an epoch."""
    learning_rate: float = 1e-3
    """ppo: of Adam; it falls to nothing with the budget."""
    clip_ratio: float = 0.2
    """ppo: how far a ratio of probabilities counts."""
    entropy: float = 0.01
    """ppo: weight of the entropy at first; it falls to nothing with the budget."""
    gae: float = 0.95
    """ppo: lambda of generalised advantage estimates."""


@dataclass(frozen=True)
class CollectConfig:
    """Play to learn from."""

    players: tuple[str, ...] = ()
    """Who makes the data: every seat draws one of them for every episode. None given: the game's standard players."""
    episodes: int = 20_000
    """Episodes in all."""


@dataclass(frozen=True)
class ImproveConfig:
    """Rounds of learning from the agent's own play: collect with it in one seat, keep the old data, train on."""

    rounds: int = 0
    """How often; 0: learn from the first play alone."""
    episodes: int = 5000
    """Episodes a round; the agent sits in every seat in turn, the others are drawn as in the first play."""
    epsilon: float = 0.1
    """Probability of a uniform legal action instead of the agent's best one."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Play to measure."""

    opponents: tuple[str, ...] = ()
    """Opponent sets: a name fills all other seats, N-1 names with commas one each; "self" is whoever is measured. None given: each player
    that made the data, and their mixture."""
    episodes: int = 1000
    """Episodes for every method and opponent set, all seats in turn."""
    methods: tuple[str, ...] = ("agent", "uniform_others", "data_players", "random")
    """Who plays the focal seat: the agent; its planner with uniform others (uniform_others), or told the others' types (told_types,
    against players of the data alone); each player that made the data; the random player, or any other by name."""
    reference_layouts: int = 32
    """First layouts of a grid game to solve for the exact best reply that returns are held against, for every opponent set; fewer or
    none where one takes long; 0: none, and in no other game either."""
    changes: bool = True
    """Measure too how soon changes are noticed, for each opponent set that changes its mind, which takes longer than its returns."""


@dataclass(frozen=True)
class RunConfig:
    """One experiment from play to report."""

    game: str = "stag_hunt(height=4, width=4, hunters=4, stags=1, hares=4, max_steps=15)"
    """A game by name, with settings."""
    seed: int = 0
    """Seed of everything."""
    method: Literal["agent", "behaviour_cloning", "iql", "ppo", "ppo_recurrent", "hop"] = "agent"
    """What is trained: the agent, or what it is compared with (`bestreply.baselines`)."""
    collect: CollectConfig = field(default_factory=CollectConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    planner: PlannerConfig = field(default_factory=PlannerConfig)
    improve: ImproveConfig = field(default_factory=ImproveConfig)
    baseline: BaselineConfig = field(default_factory=BaselineConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)


POLICIES = ("behaviour_cloning", "iql", "ppo", "ppo_recurrent")
"""Methods that learn a policy, and no models of the others or the world."""


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain JSON data."""
    return dataclasses.asdict(config)


def from_dict(kind: Any, data: dict[str, Any], where: str = "") -> Any:
    """Plain JSON data as a configuration of class `kind`. Raises ValueError that names an unknown field and those there are."""
    fields = {f.name: f for f in dataclasses.fields(kind)}
    unknown = sorted(set(data) - set(fields))
    if unknown:
        raise ValueError(
            f"{where or kind.__name__} has no field {', '.join(unknown)}; it has: {', '.join(fields)}"
        )
    values = {}
    for name, value in data.items():
        default = getattr(kind(), name)
        if dataclasses.is_dataclass(default):
            value = from_dict(type(default), value, f"{where}{'.' if where else ''}{name}")
        values[name] = tuple(value) if isinstance(default, tuple) else value
    return kind(**values)


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Each field in which two configurations differ, as in ``train.updates: 2000 and 3000``."""
    found = []
    for field_ in dataclasses.fields(one):
        name, a, b = f"{where}{field_.name}", getattr(one, field_.name), getattr(other, field_.name)
        if dataclasses.is_dataclass(a):
            found += differences(a, b, f"{name}.")
        elif a != b:
            found.append(f"{name}: {a!r} and {b!r}")
    return found


def preset(name: str) -> RunConfig:
    """A ready configuration: "debug" (seconds), "demo" (minutes, 2 cores) or "full" (the headline figures). ValueError otherwise."""
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}; there are: {', '.join(PRESETS)}")
    return PRESETS[name]


# What was found best on Markov Stag Hunt 4x4 (results/learning.md).
_MODEL = ModelConfig(latent=64, width=128)
_TRAIN = TrainConfig(
    opponent_updates=1000,
    opponent_batch=128,
    updates=4000,
    batch=128,
    gamma=0.98,
    n_step=3,
    off_policy=0.3,
    target_rate=0.03,
    at_limit="zero",  # what counts is the return within the limit, and the observation tells the time left
)
PRESETS = {
    "debug": RunConfig(
        collect=CollectConfig(episodes=256),
        model=ModelConfig(latent=16, width=32, depth=1),
        train=TrainConfig(
            opponent_updates=40,
            opponent_batch=64,
            updates=60,
            batch=64,
            value_batch=128,
            log_every=20,
            checkpoint_every=40,
        ),
        planner=PlannerConfig(samples=8),
        evaluate=EvaluateConfig(episodes=32, reference_layouts=4),
    ),
    "demo": RunConfig(
        collect=CollectConfig(episodes=20_000),
        model=_MODEL,
        train=_TRAIN,
        planner=PlannerConfig(samples=16, leak=0.002),
        evaluate=EvaluateConfig(episodes=500),
    ),
    "full": RunConfig(
        collect=CollectConfig(episodes=25_000),
        model=dataclasses.replace(_MODEL, value_heads="action"),
        train=dataclasses.replace(
            _TRAIN,
            opponent_updates=6000,
            opponent_batch=512,
            updates=6000,
            batch=256,
            gamma=0.99,
            target="improved",
            value_updates=20_000,
            value_batch=512,
            target_rate=0.02,
            checkpoint_every=5000,
        ),
        planner=PlannerConfig(samples=16, leak=0.002),
        evaluate=EvaluateConfig(episodes=1000),
    ),
}
"""Configurations by name."""
