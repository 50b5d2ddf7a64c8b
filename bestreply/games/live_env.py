"""A stateful environment in play."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Int

from bestreply.games.base import Game
from bestreply.games.host_env import HostEnv
from bestreply.games.seats import own_actions, padded, seat_marks
from bestreply.types import ABSENT, TimeStep
from bestreply.utils.checks import shown as shown_text


def is_over(shown: TimeStep) -> bool:
    """Return whether a game has ended for all seats.

    Args:
        shown: a time step in NumPy.
    """
    return bool(shown.truncated) or not bool(
        (shown.present & ~shown.terminated).any()
    )


class LiveEnv:
    """An environment in play: what it returns is checked and completed.

    Seats that have left stay away with reward 0, flags are consistent, the step limit
    truncates, observations are padded and marked.
    """

    def __init__(self, game: Game, env: HostEnv) -> None:
        """Put an environment into play.

        Args:
            game: the game that it plays.
            env: the environment.
        """
        self.game, self.env = game, env
        self.shape, self.dtype = game.obs_shape, np.dtype(game.obs_dtype)
        self.own = own_actions(game)
        self.limit, self.players = game.max_steps, game.num_players
        self.marks = None
        self.bare = env.bare_shape
        if not game.alike:
            self.marks = seat_marks(self.bare, self.players, self.dtype)
        self.shown: TimeStep | None = None
        self.time, self.seed = 0, 0

    def reset(self, seed: int) -> TimeStep:
        """Start an episode.

        Args:
            seed: as of `HostEnv.reset`.

        Returns:
            The first time step.

        Raises:
            ValueError: the environment returns arrays of other shapes or types.
        """
        self.seed, self.time = seed, 0
        with self._where("reset"):
            shown = self.env.reset(seed)
        present = self._array("present", shown.present, True)
        self.shown = TimeStep(
            obs=self._obs(shown.obs, None),
            legal=self._legal(shown.legal, present),
            reward=np.zeros(self.players, np.float32),
            terminated=np.zeros(self.players, bool),
            truncated=np.array(False),
            present=present,
        )
        return self.shown

    def step(self, actions: Int[np.ndarray, " N"]) -> TimeStep:
        """Make one step of an unfinished game.

        Args:
            actions: the joint action; the entry of a seat that does not act is ignored.

        Returns:
            The next time step.

        Raises:
            ValueError: the environment returns arrays of other shapes or types.
        """
        before = cast(TimeStep, self.shown)
        acts = before.present & ~before.terminated
        given = np.where(acts, actions, ABSENT).astype(np.int32)
        with self._where(f"step {self.time + 1}"):
            after = self.env.step(given)
        self.time += 1
        ended = self._array("terminated", after.terminated, False)
        terminated = before.terminated | (ended & acts)
        present = self._array("present", after.present, True) & before.present
        playing = present & ~terminated
        cut = bool(after.truncated) or self.time >= self.limit
        if not playing.any() or cut:
            # The last step: whoever acted is present at it.
            present = before.present
            cut = not terminated[acts].all()
            terminated = terminated | (~present & (not cut))
        else:
            present = playing
        self.shown = TimeStep(
            obs=self._obs(after.obs, before.obs),
            legal=self._legal(after.legal, playing & (not cut)),
            reward=self._reward(after.reward, acts),
            terminated=terminated,
            truncated=np.array(cut),
            present=present,
        )
        return self.shown

    @contextlib.contextmanager
    def _where(self, place: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            error.add_note(f"in {self.game.name}, seed {self.seed}, {place}")
            raise

    def _array(
        self, field: str, value: Any, default: bool
    ) -> Bool[np.ndarray, " N"]:
        like = np.full(self.players, default)
        if value is None:
            return like
        value = np.asarray(value)
        if value.shape == ():
            value = np.broadcast_to(value, like.shape)
        if value.shape != like.shape or value.dtype != like.dtype:
            raise self._wrong(field, value, like.shape, like.dtype)
        return value

    def _reward(self, reward: Any, acts: Bool[np.ndarray, " N"]) -> np.ndarray:
        reward = np.asarray(0.0 * acts if reward is None else reward)
        if reward.shape != acts.shape or reward.dtype.kind not in "fiub":
            raise self._wrong(
                "reward", reward, acts.shape, np.dtype(np.float32)
            )
        reward = np.where(acts, reward, 0).astype(np.float32)
        if not np.isfinite(reward).all():
            raise ValueError(
                f"reward={shown_text(reward.tolist())}: expected finite numbers from "
                f"{self._place()}"
            )
        return reward

    def _legal(
        self, legal: Any, acts: Bool[np.ndarray, " N"]
    ) -> Bool[np.ndarray, "N A"]:
        legal = self.own if legal is None else np.asarray(legal)
        if legal.shape != self.own.shape:
            raise self._wrong("legal", legal, self.own.shape, np.dtype(bool))
        legal = legal.astype(bool) & self.own
        none = ~legal.any(1)
        if (none & acts).any():
            raise ValueError(
                f"legal={shown_text(legal.astype(int).tolist())}: expected a legal "
                f"action for seat {np.flatnonzero(none & acts)[0]} from {self._place()}"
            )
        legal[none, 0] = True
        return legal

    def _obs(self, obs: Any, before: np.ndarray | None) -> np.ndarray:
        """Return observations of one shape; a missing one of a list repeats the last."""
        if isinstance(obs, Sequence):
            whole = np.zeros((self.players, *self.bare), self.dtype)
            if before is not None:
                whole[:] = before[..., : self.bare[-1]]
            for seat, own in enumerate(obs):
                if own is not None:
                    whole[seat] = self._cast(padded(np.asarray(own), self.bare))
            obs = whole
        obs = np.asarray(obs)
        if obs.shape != (self.players, *self.bare):
            expected = (self.players, *self.bare)
            raise self._wrong("obs", obs, expected, self.dtype)
        obs = self._cast(obs)
        if self.marks is None:
            return obs
        return np.concatenate([obs, self.marks], -1)

    def _cast(self, obs: np.ndarray) -> np.ndarray:
        if obs.dtype == self.dtype:
            return obs
        if not np.can_cast(obs.dtype, self.dtype, "same_kind"):
            raise self._wrong("obs", obs, obs.shape, self.dtype)
        return obs.astype(self.dtype)

    def _wrong(
        self,
        field: str,
        value: np.ndarray,
        shape: tuple[int, ...],
        dtype: np.dtype,
    ) -> ValueError:
        return ValueError(
            f"{field}: expected {dtype} {shape} from {self._place()}; it returns "
            f"{value.dtype} {value.shape}"
        )

    def _place(self) -> str:
        return f"{self.game.name} at step {self.time} of seed {self.seed}"
