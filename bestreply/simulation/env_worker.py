"""The process that steps some environments for `bestreply.simulation.env_workers`.

It is given a game by name, and then answers requests: ``r`` with seeds resets all its
environments, ``s`` with flags and joint actions steps those that are flagged. An answer
is ``k`` and the arrays of all its time steps, or ``e`` and an exception.
"""

import json
import signal
import sys
import traceback
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np

from bestreply.games.host import HostGame
from bestreply.games.host_env import EnvStep
from bestreply.utils.spec import Spec

FIELDS = ("obs", "legal", "reward", "terminated", "truncated", "present")


class EnvShapes(NamedTuple):
    """Shape and type of each array of a time step."""

    arrays: dict[str, tuple[tuple[int, ...], np.dtype]]

    @classmethod
    def of(cls, game: HostGame) -> "EnvShapes":
        """Return the shapes of a game.

        Args:
            game: the game.
        """
        n, flag = game.num_players, np.dtype(bool)
        return cls(
            {
                "obs": ((n, *game.obs_shape), np.dtype(game.obs_dtype)),
                "legal": ((n, game.num_actions), flag),
                "reward": ((n,), np.dtype(np.float32)),
                "terminated": ((n,), flag),
                "truncated": ((), flag),
                "present": ((n,), flag),
            }
        )

    def empty(self, size: int) -> dict[str, np.ndarray]:
        """Return arrays for M time steps.

        Args:
            size: M.
        """
        return {
            name: np.zeros((size, *shape), dtype)
            for name, (shape, dtype) in self.arrays.items()
        }

    def parse(self, answer: bytes) -> dict[str, np.ndarray]:
        """Return the arrays of an answer.

        Args:
            answer: the bytes of K time steps, one field after another.
        """
        sizes = {
            name: dtype.itemsize * int(np.prod(shape))
            for name, (shape, dtype) in self.arrays.items()
        }
        count, begin, found = len(answer) // sum(sizes.values()), 0, {}
        for name, (shape, dtype) in self.arrays.items():
            items = count * int(np.prod(shape))
            flat = np.frombuffer(answer, dtype, items, begin)
            found[name] = flat.reshape(count, *shape)
            begin += count * sizes[name]
        return found


class ServedEnvs:
    """The environments of one process."""

    def __init__(self, game_spec: str) -> None:
        """Make the environments.

        Args:
            game_spec: JSON of name, settings and number.
        """
        from bestreply.games.registry import make_game

        game = json.loads(game_spec)
        self.game = make_game(Spec(game["name"], (), game["settings"]))
        assert isinstance(self.game, HostGame)
        self.envs = [self.game.live() for _ in range(game["count"])]
        self.shapes = EnvShapes.of(self.game)
        self.arrays = self.shapes.empty(len(self.envs))

    def answer(self, request: bytes) -> bytes:
        """Return the answer to a request.

        Args:
            request: seeds, or flags and joint actions.
        """
        row, actions, size = 0, None, len(self.envs)
        try:
            if request[:1] == b"r":
                seeds = np.frombuffer(request, np.uint32, size, 1)
                for row, env in enumerate(self.envs):
                    self._put(row, env.reset(int(seeds[row])))
            else:
                live = np.frombuffer(request, bool, size, 1)
                joint = np.frombuffer(request[1 + size :], np.int32)
                joint = joint.reshape(size, -1)
                for row in map(int, np.flatnonzero(live)):
                    actions = joint[row].tolist()
                    self._put(row, self.envs[row].step(joint[row]))
        except Exception:
            failure = {
                "row": row,
                "actions": actions,
                "traceback": traceback.format_exc(),
            }
            return b"e" + json.dumps(failure).encode()
        return b"k" + b"".join(a.tobytes() for a in self.arrays.values())

    def _put(self, row: int, shown: EnvStep) -> None:
        for name, array in self.arrays.items():
            array[row] = getattr(shown, name)


def main() -> None:
    """Serve the process that holds the other end of the socket."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # the process that started it ends it
    pipe = Connection(int(sys.argv[1]))
    try:
        served = ServedEnvs(pipe.recv_bytes().decode())
        while True:
            pipe.send_bytes(served.answer(pipe.recv_bytes()))
    except (EOFError, OSError):
        return


if __name__ == "__main__":
    main()
