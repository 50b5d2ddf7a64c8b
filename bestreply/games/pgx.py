# pyright: reportMissingImports=false
"""Games of pgx, compiled: turns with a null action, and games of one player.

``make_game("pgx:tic_tac_toe")``, ``pgx:go_9x9(komi=6.5)``. Koyamada et al., "Pgx:
Hardware-Accelerated Parallel Game Simulators for Reinforcement Learning", 2023. The
mapping:

- A seat is a player's number in pgx; who moves first is often drawn by the reset. A
  step is one move. In games of several players each seat has one action more, the last
  one, "wait": the only legal one of a seat that is not to move. It has no effect.
- Each seat has its own observation in every step, after its own moves and after others',
  in pgx's type and shape. N further entries, or planes, along the last axis tell whose
  turn it is, ego-first; after the end all are 0.
- pgx declares every action legal at the end; here only "wait" is.
- A game that ends by its own rules has terminated, its own horizon (chess, shogi, go)
  included. `max_steps` is an additional limit that truncates; by default it is the
  longest possible game. backgammon, 2048, sparrow_mahjong and minatar need one.
"""

import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, PRNGKeyArray, PyTree, Shaped

from bestreply.games.adapted import (
    AdaptedGame,
    Move,
    Options,
    Traits,
    check_settings,
    plain_defaults,
    sorted_options,
    step_limit,
)
from bestreply.games.sizes import check_sizes
from bestreply.games.spaces import WAIT
from bestreply.types import Array, ego_order

LONGEST = {
    "animal_shogi": 256,
    "chess": 512,
    "connect_four": 42,
    "gardner_chess": 256,
    "kuhn_poker": 3,
    "leduc_holdem": 8,
    "othello": 120,
    "shogi": 512,
    "tic_tac_toe": 9,
}
"""Moves of the longest game."""
HIDDEN = ("kuhn_poker", "leduc_holdem", "sparrow_mahjong")
"""Games of imperfect information."""
BOARDS = ("connect_four", "othello", "tic_tac_toe")
"""Games whose observation is the own and the other's stones."""


class PgxGame(AdaptedGame):
    """A game of pgx; `load` checks and completes its settings."""

    version = 1
    summary = "a game of pgx, with turns or for one player"

    @classmethod
    def load(
        cls, name: str, *, max_steps: int | None = None, **settings: Any
    ) -> "PgxGame":
        """Return a game by pgx's name.

        Args:
            name: the name, such as ``connect_four``.
            max_steps: the step limit; by default the length of the longest game.
            settings: arguments of the game's class, such as `size` of hex.

        Returns:
            The game.

        Raises:
            ValueError: for an unknown name, setting or value; lists the possible ones.
            ImportError: if `pgx` is not installed.
        """
        full, (_, known) = f"pgx:{name}", _kind_of(name)
        check_settings(full, settings, ["max_steps", *known])
        options = sorted_options(full, {**known, **settings})
        if max_steps is None:
            max_steps = _longest(name, dict(options))
        limit = step_limit(full, "max_steps", max_steps)
        options = tuple(sorted((*options, ("max_steps", limit))))
        game = cls(full, options, limit)
        check_sizes(game)
        return game

    @property
    def traits(self) -> Traits:
        return _traits(self.name.removeprefix("pgx:"), self.options)

    @property
    def perfect_information(self) -> bool:
        return self.name.removeprefix("pgx:") not in HIDDEN

    # -- rules ---------------------------------------------------------------

    def _reset(self, key: PRNGKeyArray) -> Move:
        return self._move(self.traits.env.init(key))

    def _step(
        self, env: PyTree, actions: Int[Array, " N"], key: PRNGKeyArray
    ) -> Move:
        env = self.traits.env.step(env, actions[env.current_player], key)
        return self._move(env)

    def _move(self, env: Any) -> Move:
        n, seats = self.num_players, jnp.arange(self.num_players)
        over = env.terminated | env.truncated
        observe = jax.vmap(self.traits.env._observe, (None, 0))
        obs, legal = observe(env, seats), env.legal_action_mask[None]
        turn = seats == env.current_player
        if n > 1:
            obs = _with_turn(obs, turn & ~over)
            legal = jnp.pad(legal & turn[:, None], ((0, 0), (0, 1)))
            legal = legal.at[:, -1].set(~turn)
        return Move(
            # pgx's own observation, of the seat to move, is not kept twice.
            env=env.replace(observation=jnp.zeros(0, bool)),
            obs=obs,
            legal=legal,
            reward=env.rewards,
            ended=jnp.zeros(n, bool),
            over=over,
        )

    # -- contents of an observation ------------------------------------------

    def present_in(self, obs: Shaped[Array, "..."]) -> Bool[Array, "... N"]:
        batch = jnp.shape(obs)[: -len(self.obs_shape)]
        return jnp.ones((*batch, self.num_players), bool)

    def perspective(
        self, obs: Shaped[Array, "..."], other: Int[Array, ""] | int
    ) -> Shaped[Array, "..."] | None:
        """Return the other seat's observation, of games of two colours of stones.

        Args:
            obs: [..., *obs_shape] the own observation.
            other: ego-first index of the other seat.

        Returns:
            The observation with both pairs of planes exchanged; None for other games.
        """
        if self.name.removeprefix("pgx:") not in BOARDS:
            return None
        return jnp.where(jnp.equal(other, 0), obs, obs[..., [1, 0, 3, 2]])

    def text(self, obs: Shaped[Array, "*obs_shape"], seat: int = 0) -> str:
        """Return a board with own stones x and the other's o, else the numbers.

        Args:
            obs: the observation.
            seat: the seat that has it.
        """
        if self.name.removeprefix("pgx:") not in BOARDS:
            return super().text(np.asarray(obs, np.float32), seat)
        own, other = np.asarray(obs, bool)[..., :2].transpose(2, 0, 1)
        stones = np.where(own, "x", np.where(other, "o", "."))
        return "\n".join(" ".join(row) for row in stones)


def _with_turn(
    obs: Shaped[Array, "N ..."], turn: Shaped[Array, " N"]
) -> Shaped[Array, "N ..."]:
    """Return observations with whose turn it is behind their last axis, ego-first."""
    n, inner = len(turn), obs.shape[1:-1]
    marks = turn[ego_order(n)].astype(obs.dtype)
    marks = marks.reshape(n, *(1,) * len(inner), n)
    marks = jnp.broadcast_to(marks, (n, *inner, n))
    return jnp.concatenate([obs, marks], -1)


# -- environments ----------------------------------------------------------------


def _pgx() -> Any:
    try:
        import pgx
    except ImportError as error:
        raise ImportError(
            'games of pgx need the package pgx: pip install "bestreply[pgx]"'
        ) from error
    return pgx


def _kind_of(name: str) -> tuple[type, dict[str, Any]]:
    """Return the class of a game and its settings with their defaults."""
    pgx = _pgx()
    names = pgx.available_envs()
    if name not in names:
        raise ValueError(
            f"game='pgx:{name}': expected one of {', '.join(names)}"
        )
    with jax.ensure_compile_time_eval():
        kind = type(pgx.make(name))
    known = plain_defaults(list(inspect.signature(kind).parameters.values()))
    if name.startswith("go_"):
        known |= {"size": int(name.partition("x")[2])}
    return kind, known


def _longest(name: str, options: dict[str, Any]) -> int | None:
    """Return the moves of the longest game; None if there is none, or none is known."""
    if name.startswith("go_"):
        return 2 * options["size"] ** 2
    if name == "hex":
        return options["size"] ** 2 + 1  # and the swap of colours
    return LONGEST.get(name)


@functools.lru_cache(maxsize=64)
def _traits(name: str, options: Options) -> Traits:
    kind, _ = _kind_of(name)
    settings = {k: v for k, v in options if k != "max_steps"}
    try:
        with jax.ensure_compile_time_eval():
            env: Any = kind(**settings)
            like = jax.eval_shape(env.init, jax.random.key(0))
    except Exception as error:  # whatever pgx raises for its own settings
        given = ", ".join(f"{k}={v!r}" for k, v in settings.items())
        raise ValueError(
            f"game='pgx:{name}({given})': expected settings that pgx accepts; it says: "
            f"{' '.join(str(error).split()):.300}"
        ) from error
    n, count = env.num_players, like.legal_action_mask.shape[0]
    shape, several = tuple(like.observation.shape), n > 1
    shape = (*shape[:-1], shape[-1] + n * several)
    names = tuple(map(str, range(count))) + (WAIT,) * several
    binary = np.full(shape, like.observation.dtype == bool)
    if several:
        binary[..., -n:] = True
    return Traits(
        env=env,
        action_names=names,
        shape=shape,
        dtype=np.dtype(like.observation.dtype),
        roles=("player",) * n,
        seat_actions=(len(names),) * n,
        null=count if several else 0,
        marked=False,
        binary=binary,
    )
