"""Play a stateful environment of your own: python examples/own_environment.py [FOLDER]"""

import sys
from pathlib import Path

import numpy as np

import bestreply as br


class Ferry(br.HostEnv):
    """A pilot sees the depth of the next water on two sides; a captain, who does not, steers.

    The pilot signals, the captain steers one step later by that signal: both earn the
    depth of the water that they cross.
    """

    num_players = 2
    action_names = ("LEFT", "RIGHT", "AHEAD")
    roles = ("pilot", "captain")
    seat_actions = (2, 3)  # the pilot signals LEFT or RIGHT
    seat_shapes = ((2,), (1,))  # two depths; the last signal

    def __init__(self, max_steps: int = 10) -> None:
        self.max_steps = max_steps

    def reset(self, seed: int) -> br.EnvStep:
        self.rng = np.random.default_rng(seed)
        self.signal, self.time = 0, 0
        self.here, self.next = self.rng.random((2, 3)).astype(np.float32)
        return self.look(reward=0.0)

    def step(self, actions: np.ndarray) -> br.EnvStep:
        signal, course = actions
        reward = float(self.here[course])
        self.signal, self.time = signal, self.time + 1
        self.here, self.next = self.next, self.rng.permutation(self.next)
        return self.look(reward)

    def look(self, reward: float) -> br.EnvStep:
        return br.EnvStep(
            obs=[self.next[:2], np.array([self.signal], np.float32)],
            reward=[reward, reward],
            truncated=self.time >= self.max_steps,
        )


def main(folder: Path) -> None:
    game = br.make_game(Ferry, max_steps=6)
    print(br.check_game(game))
    data = br.collect(game, ["random", "random"], 200, seed=0, path=folder)
    print(data.describe())
    for captain in ("always(AHEAD)", "random"):
        scores = br.evaluate(game, ["random", captain], 300, seed=1)
        print(f"{captain:14} mean return {scores.mean():.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "own_environment"))
