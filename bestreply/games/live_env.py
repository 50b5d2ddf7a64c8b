"""A stateful environment in play."""

from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Int

from bestreply.games.base import Game
from bestreply.games.host_env import EnvStep, HostEnv
from bestreply.games.seats import own_actions, seat_marks
from bestreply.types import ABSENT, TimeStep
from bestreply.utils.casts import any_array, is_mask
from bestreply.utils.casts import cast as cast_numbers
from bestreply.utils.checks import shown as shown_text


def is_over(shown: TimeStep | EnvStep) -> bool:
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
    truncates, observations are padded and marked. What it shows is an `EnvStep` whose
    fields are those of a `TimeStep`, arrays that it does not change later.
    """

    def __init__(self, game: Game, env: HostEnv) -> None:
        """Put an environment into play.

        Args:
            game: the game that it plays.
            env: the environment.
        """
        self.game, self.env = game, env
        self.dtype = np.dtype(game.obs_dtype)
        self.limit, self.players = game.max_steps, game.num_players
        self.own, self.bare = own_actions(game), env.bare_shape
        self.shapes = env.seat_shapes or (self.bare,) * self.players
        self.blank = np.zeros((self.players, *game.obs_shape), self.dtype)
        self.is_marked = not game.homogeneous
        if self.is_marked:
            marks = seat_marks(self.bare, self.players, self.dtype)
            self.blank[..., self.bare[-1] :] = marks
        self.all, self.none = (
            np.ones(self.players, bool),
            np.zeros(self.players, bool),
        )
        self.wanted = self._wanted()
        """What each field should be, for errors."""
        self.shown: EnvStep | None = None
        self.there = self.all
        """[N] bool: the last `present` that the environment returned."""
        self.time, self.seed = 0, 0

    def _wanted(self) -> dict[str, str]:
        n, dtype = self.players, self.dtype
        obs = f"{dtype} {(n, *self.bare)}"
        if self.env.seat_shapes:
            obs = f"a list of {dtype} {', '.join(map(str, self.shapes))}"
        seats = {
            f"obs of seat {seat}": f"{dtype} {tuple(shape)}"
            for seat, shape in enumerate(self.shapes)
        }
        flags = dict.fromkeys(("terminated", "present"), f"bool {(n,)}")
        return {
            "obs": obs,
            "reward": f"float32 {(n,)}",
            "legal": f"bool {self.own.shape}",
            "truncated": "bool ()",
            **flags,
            **seats,
        }

    def reset(self, seed: int) -> EnvStep:
        """Start an episode.

        Args:
            seed: as of `HostEnv.reset`.

        Returns:
            The first time step.

        Raises:
            ValueError: the environment returns arrays of other shapes, types or values.
        """
        self.seed, self.time = seed, 0
        try:
            shown = self.env.reset(seed)
        except Exception as error:
            error.add_note(f"in {self.game.name}, seed {seed}, reset")
            raise
        self._check_result(shown)
        present = self._flags("present", shown.present, self.all).copy()
        self.there = present
        self._truncated(shown.truncated)
        self.shown = EnvStep(
            obs=self._obs(shown.obs, None),
            legal=self._legal(shown.legal, present),
            reward=np.zeros(self.players, np.float32),
            terminated=np.zeros(self.players, bool),
            truncated=np.array(False),
            present=present,
        )
        return self.shown

    def step(self, actions: Int[np.ndarray, " N"]) -> EnvStep:
        """Make one step of an unfinished game.

        Args:
            actions: the joint action; the entry of a seat that does not act is ignored.

        Returns:
            The next time step.

        Raises:
            ValueError: the environment returns arrays of other shapes, types or values.
        """
        before = cast(EnvStep, self.shown)
        acts = before.present & ~before.terminated
        given = np.where(acts, actions, ABSENT).astype(np.int32)
        self.time += 1
        try:
            after = self.env.step(given)
        except Exception as error:
            place = f"seed {self.seed}, step {self.time}"
            error.add_note(f"in {self.game.name}, {place}")
            raise
        self._check_result(after)
        ended = self._flags("terminated", after.terminated, self.none)
        terminated = before.terminated | (ended & acts)
        present = self._present(after.present) & before.present
        playing = present & ~terminated
        cut = self._truncated(after.truncated) or self.time >= self.limit
        if cut or not playing.any():
            # The last step: each seat that acted is present at it.
            present = before.present
            cut = not terminated[acts].all()
            if not cut:
                terminated = terminated | ~present
        else:
            present = playing
        self.shown = EnvStep(
            obs=self._obs(after.obs, before.obs),
            legal=self._legal(after.legal, self.none if cut else playing),
            reward=self._reward(after.reward, acts),
            terminated=terminated,
            truncated=np.array(cut),
            present=present,
        )
        return self.shown

    def _check_result(self, result: object) -> None:
        if isinstance(result, EnvStep | TimeStep):
            return
        hint = ""
        if isinstance(result, tuple | dict):
            hint = ". Name the parts: EnvStep(obs=..., reward=...)"
        raise ValueError(
            f"{'step' if self.time else 'reset'}: expected an EnvStep from "
            f"{self._place()}; it returns a {type(result).__name__}{hint}"
        )

    def _truncated(self, value: Any) -> bool:
        """Return whether a limit ended the game for all."""
        if value is None:
            return False
        array = self._array("truncated", value)
        if array.shape or not is_mask(array):
            raise ValueError(
                f"truncated={shown_text(value)}: expected one bool for all seats "
                f"from {self._place()}; cut one seat off with present=False"
            )
        return bool(array)

    def _present(self, value: Any) -> Bool[np.ndarray, " N"]:
        """Return which seats are there; one that has left does not return."""
        present = self._flags("present", value, self.all)
        if value is None:
            return present
        for seat in np.flatnonzero(present & ~self.there)[:1]:
            raise ValueError(
                f"present={shown_text(present.tolist())}: expected seat {seat} to "
                f"stay away, since it has left, from {self._place()}; a seat that "
                "only pauses stays present, and `legal` leaves it one action"
            )
        self.there = present.copy()
        return present

    def _array(self, field: str, value: Any) -> np.ndarray:
        """Return a value as an array of numbers or booleans."""
        array = any_array(value)
        if array.dtype.kind not in "biuf":
            raise self._wrong(field, value)
        return array

    def _flags(
        self, field: str, value: Any, default: Bool[np.ndarray, " N"]
    ) -> Bool[np.ndarray, " N"]:
        if value is None:
            return default
        value = self._array(field, value)
        if value.shape == ():
            value = np.broadcast_to(value, default.shape)
        if value.shape != default.shape or value.dtype != default.dtype:
            raise self._wrong(field, value)
        return value

    def _reward(self, reward: Any, acts: Bool[np.ndarray, " N"]) -> np.ndarray:
        reward = self._array("reward", self.none if reward is None else reward)
        if reward.shape != acts.shape:
            raise self._wrong("reward", reward)
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
        if legal is None:
            return self.own
        legal = self._array("legal", legal)
        if legal.shape != self.own.shape:
            raise self._wrong("legal", legal)
        if not is_mask(legal):
            raise ValueError(
                f"legal={shown_text(legal.tolist())}: expected only 0 and 1, or False "
                f"and True, from {self._place()}"
            )
        legal = legal.astype(bool) & self.own
        none = ~legal.any(1)
        if none.any():
            if (none & acts).any():
                masks = shown_text(legal.astype(int).tolist())
                seat = np.flatnonzero(none & acts)[0]
                raise ValueError(
                    f"legal={masks}: expected a legal action for seat {seat} from "
                    f"{self._place()}"
                )
            legal[none, 0] = True
        return legal

    def _obs(self, obs: Any, before: np.ndarray | None) -> np.ndarray:
        """Return observations of one shape; a missing one of a list repeats the last."""
        if not isinstance(obs, list | tuple):
            obs = self._cast("obs", self._array("obs", obs))
            if obs.shape != (self.players, *self.bare):
                raise self._wrong("obs", obs)
            if not self.is_marked:
                return obs.copy()
            whole = self.blank.copy()
            whole[..., : self.bare[-1]] = obs
            return whole
        if len(obs) != self.players:
            raise ValueError(
                f"obs: expected a list of {self.players} observations from "
                f"{self._place()}; it has {len(obs)}"
            )
        whole = self.blank.copy()
        for seat, own in enumerate(obs):
            if own is not None:
                self._put(whole[seat], own, seat)
            elif before is not None:
                whole[seat] = before[seat]
        return whole

    def _put(self, place: np.ndarray, own: Any, seat: int) -> None:
        """Write one seat's observation to the begin of each axis of its place."""
        field = f"obs of seat {seat}"
        own = self._cast(field, self._array(field, own))
        if own.shape != tuple(self.shapes[seat]):
            raise self._wrong(field, own)
        if own.ndim != place.ndim:
            own = own.reshape(-1)
        place[tuple(map(slice, own.shape))] = own

    def _cast(self, field: str, obs: np.ndarray) -> np.ndarray:
        if obs.dtype == self.dtype:
            return obs
        if not np.can_cast(obs.dtype, self.dtype, "same_kind"):
            raise self._wrong(field, obs)
        new, changed = cast_numbers(obs, self.dtype)
        if changed:
            raise ValueError(
                f"{field}={changed}: expected numbers that {self.dtype} holds from "
                f"{self._place()}; scale them, or declare a type that holds them"
            )
        return new

    def _wrong(self, field: str, value: Any) -> ValueError:
        seen = shown_text(value)
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            seen = f"{value.dtype} {value.shape}"
        return ValueError(
            f"{field}: expected {self.wanted[field]} from {self._place()}; it returns "
            f"{seen}"
        )

    def _place(self) -> str:
        return f"{self.game.name} at step {self.time} of seed {self.seed}"
