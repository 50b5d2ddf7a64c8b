"""Environments of Jumanji, compiled: games of several agents, and of one.

``make_game("jumanji:LevelBasedForaging-v0(grid_size=7, num_food=3)")``. Bonnet et al.,
"Jumanji: a Diverse Suite of Scalable Reinforcement Learning Environments in JAX", 2024.
The mapping:

- Settings are those of the environment and of its generator, side by side, all listed
  with Jumanji's defaults.
- A seat is an agent. Its observation is its entry of the field `agents_view`, in its own
  type and shape. In an environment without such a field (connector, cleaner) every seat
  has all fields, with its seat marked. Several fields are flattened to one vector. With
  `one_hot=True`, a setting of the adapter, each integer is a row of zeros and a one.
  `action_mask` is the mask, and `step_count` is left out.
- A reward without an axis of agents is paid to each seat. With `common_reward=True`, a
  setting of the adapter, each seat is paid the mean of the agents' rewards.
- A seat whose discount is 0 has terminated: alone, it leaves; all, the game is over. The
  step limit (`time_limit`; `max_steps` where the environment has none) truncates. It
  is kept here, since some environments call it a termination.
- An action of several numbers, of one agent, is flattened (`spaces.flat_actions`).
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, PRNGKeyArray, PyTree, Shaped

from bestreply.games.adapted import (
    AdaptedGame,
    AdaptedState,
    Move,
    Options,
    Traits,
    check_settings,
    one_array,
    part_types,
    plain_defaults,
    sorted_options,
    step_limit,
)
from bestreply.games.sizes import check_sizes
from bestreply.games.spaces import flat_actions, refuse_actions
from bestreply.types import Array

NOT_OBSERVED = ("action_mask", "step_count")
"""Fields of an observation that are given in another way, or left out."""
ACTIONS = {
    "LevelBasedForaging": ("noop", "up", "down", "left", "right", "load"),
    "RobotWarehouse": ("noop", "forward", "left", "right", "toggle_load"),
    "Connector": ("noop", "up", "right", "down", "left"),
    "Cleaner": ("up", "right", "down", "left"),
}
"""Names of actions by class; others are numbered."""
COMMON, ONE_HOT = "common_reward", "one_hot"
"""Settings of the adapter, False by default: pay the mean reward to each seat; show integers
as one-hot vectors over the range that the environment declares."""
MAX_VALUES = 256
"""Largest number of values of an integer that is shown as a one-hot vector."""
FIGURE = 4.0
"""Side of a picture in inches of 100 pixels."""


class JumanjiGame(AdaptedGame):
    """A game of Jumanji; `load` checks and completes its settings."""

    version = 1
    summary = "an environment of Jumanji, for several agents or one"

    @classmethod
    def load(cls, name: str, **settings: Any) -> "JumanjiGame":
        """Return a game by Jumanji's name.

        Args:
            name: the name with its version, such as ``LevelBasedForaging-v0``.
            settings: settings of the environment and of its generator; `max_steps` if
                the environment has no `time_limit`; `common_reward` and `one_hot`.

        Returns:
            The game.

        Raises:
            ValueError: for an unknown name, setting or value, or for actions that are
                no list; lists the possible ones.
            ImportError: if `jumanji` is not installed.
        """
        full, parts = f"jumanji:{name}", _parts(name)
        own = {COMMON: False, ONE_HOT: False}
        known = {**parts.settings, **parts.generator_settings, **own}
        limit = "time_limit" if "time_limit" in known else "max_steps"
        check_settings(full, settings, [limit, *known])
        given = {limit: known.get(limit), **known, **settings}
        for setting in own:
            if not isinstance(given[setting], bool):
                raise ValueError(
                    f"{setting}={given[setting]!r:.100}: expected true or false, in "
                    f"{full}"
                )
        steps = step_limit(full, limit, given[limit])
        game = cls(full, sorted_options(full, given), steps)
        check_sizes(game)
        return game

    @property
    def traits(self) -> Traits:
        return _traits(self.name.removeprefix("jumanji:"), self.options)

    # -- rules ---------------------------------------------------------------

    def _reset(self, key: PRNGKeyArray) -> Move:
        return self._move(*self.traits.env.reset(key))

    def _step(
        self, env: PyTree, actions: Int[Array, " N"], key: PRNGKeyArray
    ) -> Move:
        return self._move(
            *self.traits.env.step(env, self.traits.extra.decode(actions))
        )

    def _move(self, env: PyTree, shown: Any) -> Move:
        n, views = self.num_players, self.traits.extra
        reward = jnp.broadcast_to(shown.reward, (n,))
        if dict(self.options)[COMMON]:
            reward = jnp.full(n, reward.mean())
        return Move(
            env=env,
            obs=views.observe(shown.observation),
            legal=views.masks(shown.observation),
            reward=reward,
            ended=jnp.broadcast_to(shown.discount == 0, (n,)),
            over=shown.last(),
        )

    # -- display -------------------------------------------------------------

    def frame(self, state: AdaptedState) -> np.ndarray | None:
        viewer: Any = getattr(self.traits.env, "_viewer", None)
        if not hasattr(viewer, "_display_rgb_array"):
            return None
        # The viewer's own figure would be pyplot's, in a window.
        viewer._get_fig_ax = _figure
        viewer._display = viewer._display_rgb_array
        return np.array(viewer.render(state.env)[..., :3], np.uint8)


def _figure(**kwargs: Any) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((FIGURE, FIGURE), facecolor=kwargs.get("facecolor"))
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot(111)


# -- environments ----------------------------------------------------------------


class _Parts(NamedTuple):
    """How an environment is made."""

    kind: type
    settings: dict[str, Any]
    generator: Any
    generator_settings: dict[str, Any]
    """Empty if the generator cannot be made anew."""


class _Views(NamedTuple):
    """How seats see and act in an environment."""

    observe: Callable[[Any], Shaped[Array, "N ..."]]
    masks: Callable[[Any], Bool[Array, "N A"]]
    decode: Callable[[Int[Array, " N"]], Array]


def _jumanji() -> Any:
    try:
        import jumanji
    except ImportError as error:
        raise ImportError(
            "environments of Jumanji need the package jumanji: "
            'pip install "bestreply[jumanji]"'
        ) from error
    return jumanji


@functools.lru_cache(maxsize=64)
def _parts(name: str) -> _Parts:
    jumanji = _jumanji()
    names = jumanji.registered_environments()
    if name not in names:
        raise ValueError(
            f"game='jumanji:{name}': expected one of {', '.join(sorted(names))}"
        )
    with jax.ensure_compile_time_eval():
        env = jumanji.make(name)
    generator = getattr(env, "_generator", getattr(env, "generator", None))
    of_generator, missing = _in_use(generator) if generator else ({}, [])
    return _Parts(
        type(env),
        _in_use(env)[0],
        generator,
        {} if missing else of_generator,
    )


def _in_use(thing: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the settings that an object was made with, and those that are unknown."""
    parameters = list(inspect.signature(type(thing)).parameters.values())
    in_use = []
    for parameter in parameters:
        value = getattr(thing, f"_{parameter.name}", parameter.default)
        value = getattr(thing, parameter.name, value)
        in_use.append(parameter.replace(default=value))
    known = plain_defaults(in_use)
    return known, [p.name for p in parameters if p.name not in known]


@functools.lru_cache(maxsize=64)
def _traits(name: str, options: Options) -> Traits:
    try:
        with jax.ensure_compile_time_eval():
            env = _made(name, dict(options))
            shown = jax.eval_shape(env.reset, jax.random.key(0))[1].observation
            spec = env.observation_spec
    except Exception as error:  # whatever Jumanji raises for its own settings
        given = ", ".join(f"{k}={v!r}" for k, v in options)
        raise ValueError(
            f"game='jumanji:{name}({given})': expected settings that Jumanji accepts; "
            f"it says: {' '.join(str(error).split()):.300}"
        ) from error
    names, seats, decode = _actions(env, f" in jumanji:{name}")
    fields = shown._asdict() if hasattr(shown, "_asdict") else dict(shown)
    masks = functools.partial(
        _masks, shape=(seats, len(names)), masked="action_mask" in fields
    )
    observed = [k for k in fields if k not in NOT_OBSERVED]
    views = [
        seats > 1 and "view" in k and fields[k].shape[0] == seats
        for k in observed
    ]
    see = functools.partial(_seen, observed=observed, views=views, seats=seats)
    if dict(options)[ONE_HOT]:
        values = _values(spec, observed, f"jumanji:{name}")
        see = functools.partial(_one_hot, see, values)
    obs = jax.eval_shape(see, shown)
    return Traits(
        env=env,
        action_names=names,
        shape=tuple(obs.shape[1:]),
        dtype=np.dtype(obs.dtype),
        roles=("player",) * seats,
        seat_actions=(len(names),) * seats,
        null=0,
        marked=seats > 1 and not any(views),
        binary=np.full(obs.shape[1:], obs.dtype == bool),
        extra=_Views(see, masks, decode),
    )


def _made(name: str, options: dict[str, Any]) -> Any:
    """Return an environment whose own step limit is never reached."""
    parts = _parts(name)
    generator, settings = parts.generator, {}
    if parts.generator_settings:
        given = {k: options[k] for k in parts.generator_settings}
        generator = type(parts.generator)(**given)
    if "generator" in inspect.signature(parts.kind).parameters:
        settings["generator"] = generator
    settings |= {k: options[k] for k in parts.settings}
    if "time_limit" in settings:
        settings["time_limit"] += 1
    return parts.kind(**settings)


def _actions(
    env: Any, where: str
) -> tuple[tuple[str, ...], int, Callable[[Any], Any]]:
    """Return names of actions, the number of seats, and how actions are given."""
    space = env.action_spec
    counts = getattr(space, "num_values", None)
    if counts is None:
        refuse_actions(space, where)
    counts = [int(count) for count in np.atleast_1d(np.asarray(counts))]
    if np.ndim(space.num_values) == 0:
        names, _ = flat_actions(counts, where)
        return names, 1, lambda actions: actions[0].astype(space.dtype)
    if getattr(env, "num_agents", None) == len(counts) > 1:
        if len(set(counts)) > 1:
            refuse_actions(space, where)
        names, _ = flat_actions(counts[:1], where)
        names = ACTIONS.get(type(env).__name__, names)
        return names, len(counts), lambda actions: actions.astype(space.dtype)
    names, table = flat_actions(counts, where)
    rows = np.asarray(table, space.dtype)
    return names, 1, lambda actions: jnp.asarray(rows)[actions[0]]


def _values(spec: Any, observed: list[str], where: str) -> range:
    """Return the integers that observed fields declare."""
    fields = [getattr(spec, name) for name in observed]
    bounds = [
        (int(np.min(field.minimum)), int(np.max(field.maximum)))
        for field in fields
        if np.issubdtype(field.dtype, np.integer) and hasattr(field, "minimum")
    ]
    lowest = min((low for low, _ in bounds), default=0)
    highest = max((high for _, high in bounds), default=0)
    count = highest - lowest + 1
    if len(bounds) < len(fields) or not 2 <= count <= MAX_VALUES:
        raise ValueError(
            f"{ONE_HOT}=True: expected observations of integers of a declared range, "
            f"of at most {MAX_VALUES} values, in {where}"
        )
    return range(lowest, highest + 1)


def _one_hot(
    see: Callable[[Any], Array], values: range, shown: Any
) -> Bool[Array, "N ..."]:
    """Return what every seat observes, each integer as a one-hot vector."""
    obs = see(shown)
    found = obs[..., None] == jnp.asarray(np.array(values))
    return found.reshape(*obs.shape[:-1], -1)


def _masks(shown: Any, *, shape: tuple[int, int], masked: bool) -> Array:
    """Return the legal actions of every seat."""
    if not masked:
        return jnp.ones(shape, bool)
    return shown.action_mask.astype(bool).reshape(shape)


def _seen(
    shown: Any, *, observed: list[str], views: list[bool], seats: int
) -> Shaped[Array, "N ..."]:
    """Return what every seat observes."""
    parts = tuple(getattr(shown, name) for name in observed)
    shape, dtype = part_types(parts)
    if not any(views):
        obs = one_array(parts, dtype)
        if seats > 1 and len(shape) == 2:
            obs = obs[..., None]  # a grid: marks of seats are planes
        return jnp.broadcast_to(obs, (seats, *obs.shape))
    axes = tuple(0 if view else None for view in views)
    obs = jax.vmap(functools.partial(one_array, dtype=dtype), (axes,))(parts)
    return jnp.moveaxis(obs, 1, -1) if obs.ndim == 4 else obs  # planes are last
