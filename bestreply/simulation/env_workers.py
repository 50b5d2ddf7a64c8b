"""Processes that step environments side by side.

Each process holds some of the M environments. It is sent seeds or joint actions and
answers with the arrays of its time steps. A process that dies is replaced, and its
episodes are replayed from their seeds; one that dies three times in the same step is
given up. With the environment variable `RAY` the processes run on a Ray cluster.
"""

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Key, UInt32

from bestreply.games.host import HostGame, seeds_of
from bestreply.simulation.env_worker import EnvShapes, ServedEnvs
from bestreply.types import Array, TimeStep
from bestreply.utils.console import warn
from bestreply.utils.names import entry_points

RAY = "BESTREPLY_ENV_RAY"
"""Environment variable: address of the Ray cluster whose machines step environments;
"auto": the one that runs here."""
NO_WORKERS = "BESTREPLY_ENV_WORKERS=0"
MAX_DEATHS = 3
"""Deaths of a process in one step after which the play ends with an error."""


def can_be_sent(game: HostGame) -> bool:
    """Return whether another process can make the environments of a game by its name.

    Args:
        game: the game.
    """
    return ":" in game.name or game.name in entry_points("game")


class Course:
    """The course of M episodes: their seeds, and the steps made since."""

    def __init__(self, seeds: UInt32[np.ndarray, " M"]) -> None:
        self.seeds = seeds
        self.steps: list[tuple[np.ndarray, np.ndarray]] = []

    def add(
        self, actions: Int[np.ndarray, "M N"], live: Bool[np.ndarray, " M"]
    ) -> None:
        """Add a step.

        Args:
            actions: the joint actions.
            live: the matches that made the step.
        """
        self.steps.append((np.array(actions, np.int32), live.copy()))


class WorkerDied(Exception):
    """A process ended before it answered."""


class EnvWorkers:
    """M environments in several processes."""

    def __init__(self, game: HostGame, size: int, count: int) -> None:
        """Start the processes.

        Args:
            game: the game; `can_be_sent`.
            size: the number of environments, M.
            count: the number of processes.
        """
        self.game, self.shapes = game, EnvShapes.of(game)
        bounds = np.linspace(0, size, count + 1).astype(int)
        self.rows = [
            slice(int(a), int(b)) for a, b in itertools.pairwise(bounds)
        ]
        self.workers = [self._start(rows) for rows in self.rows]
        self.course = Course(np.zeros(size, np.uint32))
        self.shown = self.shapes.empty(size)

    def reset(self, keys: Key[Array, " M"]) -> TimeStep:
        """Start M episodes.

        Args:
            keys: a random key for each.

        Returns:
            The first time steps [M, ...].
        """
        self.course = Course(np.asarray(seeds_of(keys)))
        self._exchange([self._reset_request(rows) for rows in self.rows])
        return self._copy()

    def step(
        self,
        actions: Int[np.ndarray, "M N"],
        keys: Key[Array, " M"],
        live: Bool[np.ndarray, " M"],
    ) -> TimeStep:
        """Make a step.

        Args:
            actions: the joint actions.
            keys: not used: the seed of an episode decides all chance.
            live: the matches that make it.

        Returns:
            The time steps [M, ...]; those of other matches with reward 0.
        """
        self._exchange(
            [_step_request(actions[rows], live[rows]) for rows in self.rows]
        )
        self.course.add(actions, live)
        self.shown["reward"][~live] = 0
        return self._copy()

    def resume(self, course: Course, shown: TimeStep) -> None:
        """Bring all environments to where a course leads.

        Args:
            course: seeds and steps.
            shown: the time steps there, which the replay must reach.

        Raises:
            ValueError: it does not: the environment draws from elsewhere.
        """
        self.course = course
        for field in self.shown:
            self.shown[field][:] = getattr(shown, field)
        for index in range(len(self.rows)):
            self._replay(index)

    def close(self) -> None:
        """End the processes."""
        for worker in self.workers:
            worker.close()

    # -- requests --------------------------------------------------------------

    def _exchange(self, requests: list[bytes]) -> None:
        """Send a request to each process, and take their answers into `shown`."""
        for worker, request in zip(self.workers, requests, strict=True):
            with contextlib.suppress(WorkerDied):  # its answer will tell
                worker.ask(request)
        for index, request in enumerate(requests):
            self._take(index, self._answer(index, request))

    def _answer(self, index: int, request: bytes) -> bytes:
        """Return the answer of a process; a dead one is replaced and asked again."""
        for _ in range(MAX_DEATHS):
            try:
                return self.workers[index].answer()
            except WorkerDied as death:
                rows = self.rows[index]
                warn(
                    f"{self.game.name}: a process that steps environments ended "
                    f"({death}); it is replaced and its {rows.stop - rows.start} "
                    "episodes are replayed"
                )
                self.workers[index].close()
                self.workers[index] = self._start(rows)
                with contextlib.suppress(WorkerDied):
                    if request[:1] == b"s":
                        self._replay(index)
                    self.workers[index].ask(request)
        time = len(self.course.steps)
        seeds = self.course.seeds[self.rows[index]]
        raise ValueError(
            f"game={self.game.name!r}: expected environments that can be stepped; "
            f"{MAX_DEATHS} processes ended at step {time} of the episodes of seeds "
            f"{seeds.min()} to {seeds.max()}. {NO_WORKERS} steps them in this "
            "process"
        )

    def _replay(self, index: int) -> None:
        """Bring the environments of one process to where `course` leads."""
        rows, worker = self.rows[index], self.workers[index]
        before = {k: v[rows].copy() for k, v in self.shown.items()}
        worker.ask(self._reset_request(rows))
        self._take(index, worker.answer())
        for actions, live in self.course.steps:
            worker.ask(_step_request(actions[rows], live[rows]))
            self._take(index, worker.answer())
        again = {k: v[rows] for k, v in self.shown.items()}
        if self.course.steps and not np.array_equal(
            before["obs"], again["obs"]
        ):
            raise ValueError(
                f"game={self.game.name!r}: expected equal episodes from equal seeds "
                "and actions; a replayed one differs. Let `reset(seed)` seed every "
                f"generator that the environment draws from, or set {NO_WORKERS}"
            )

    def _reset_request(self, rows: slice) -> bytes:
        return b"r" + self.course.seeds[rows].astype(np.uint32).tobytes()

    def _take(self, index: int, answer: bytes) -> None:
        if answer[:1] == b"e":
            self._fail(self.rows[index], answer[1:].decode())
        fields = self.shapes.parse(answer[1:])
        live = self.rows[index]
        for name, array in fields.items():
            self.shown[name][live] = array

    def _fail(self, rows: slice, text: str) -> None:
        """Raise the exception of a process's environment, with its own traceback."""
        failure = json.loads(text)
        env, row = self.game.live(), rows.start + failure["row"]
        env.reset(int(self.course.seeds[row]))
        for actions, live in self.course.steps:
            if live[row]:
                env.step(actions[row])
        if failure["actions"] is not None:
            env.step(np.array(failure["actions"], np.int32))
        raise RuntimeError(  # it does not fail here
            f"{self.game.name} failed in a process that steps environments:\n"
            f"{failure['traceback']}"
        )

    def _copy(self) -> TimeStep:
        return TimeStep(**{k: v.copy() for k, v in self.shown.items()})

    def _start(self, rows: slice) -> "LocalWorker | RayWorker":
        count = rows.stop - rows.start
        game_spec = {
            "name": self.game.name,
            "settings": self.game.settings,
            "count": count,
        }
        address = os.environ.get(RAY)
        if address:
            return RayWorker(json.dumps(game_spec), address)
        return LocalWorker(json.dumps(game_spec))


WORKERS_HELP = (
    "BESTREPLY_ENV_WORKERS=0 steps them in this process and shows why"
)
NO_WORKERS = "BESTREPLY_ENV_WORKERS=0"


def _step_request(
    actions: Int[np.ndarray, "K N"], live: Bool[np.ndarray, " K"]
) -> bytes:
    return b"s" + live.tobytes() + np.asarray(actions, np.int32).tobytes()


class LocalWorker:
    """A process on this machine."""

    def __init__(self, game_spec: str) -> None:
        ours, theirs = socket.socketpair()
        module = "bestreply.simulation.env_worker"
        path = os.pathsep.join(p for p in ("", *sys.path) if p or p == "")
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self.pipe = Connection(ours.detach())
        self.ask(game_spec.encode())

    def ask(self, request: bytes) -> None:
        try:
            self.pipe.send_bytes(request)
        except OSError:
            raise WorkerDied(self._status()) from None

    def answer(self) -> bytes:
        try:
            return self.pipe.recv_bytes()
        except (EOFError, OSError):
            raise WorkerDied(self._status()) from None

    def close(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.wait()

    def _status(self) -> str:
        status = self.process.wait()
        if status < 0:
            with contextlib.suppress(ValueError):
                return f"by {signal.Signals(-status).name}"
        return f"with status {status}"


class RayWorker:
    """An actor on a Ray cluster."""

    def __init__(self, game_spec: str, address: str) -> None:
        if find_spec("ray") is None:
            raise ImportError(
                f"{RAY}={address!r} needs the package ray: "
                'pip install "bestreply[ray]"'
            )
        import ray  # pyright: ignore[reportMissingImports]

        if not ray.is_initialized():
            ray.init(address=address, log_to_driver=False)
        self.ray: Any = ray
        self.actor = (
            ray.remote(ServedEnvs).options(num_cpus=1).remote(game_spec)
        )
        self.waiting: Any = None

    def ask(self, request: bytes) -> None:
        self.waiting = self.actor.answer.remote(request)

    def answer(self) -> bytes:
        try:
            return self.ray.get(self.waiting)
        except self.ray.exceptions.RayError as error:
            raise WorkerDied(type(error).__name__) from None

    def close(self) -> None:
        self.ray.kill(self.actor)
