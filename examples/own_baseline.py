"""Train a baseline of your own, in NumPy: python examples/own_baseline.py [FOLDER]"""

import math
import sys
from pathlib import Path

import numpy as np

import bestreply as br
from bestreply.run import Method

GAME = "matrix(table=prisoners_dilemma, rounds=5)"


class LinearReturns(Method):
    """Regress the return on the observation, for each action; take the best action."""

    can_batch = False

    def start(
        self, config, game, roster
    ):  # arrays: the content of a checkpoint
        size = 1 + math.prod(game.obs_shape)
        weights = np.zeros((size, game.num_actions), np.float32)
        return {"weights": weights, "updates": np.int32(0)}

    def updates(self, config, train_state):  # by phase: made, to make
        return {"regression": (int(train_state["updates"]), 1)}

    def fit(self, run, buffer, train_state, save, write, seeds=None):
        if train_state["updates"]:  # resumed after its end
            return train_state
        episodes = buffer.episodes
        action = np.asarray(episodes.action)  # [E, T, N], -1 where none
        reward = np.asarray(episodes.reward)
        obs = np.asarray(episodes.obs)[:, :-1]  # [E, T, N, *obs_shape]
        returns = np.cumsum(reward[:, ::-1], axis=1)[:, ::-1]
        weights = np.array(train_state["weights"])
        for a in range(weights.shape[1]):
            taken = action == a
            solved = np.linalg.lstsq(
                inputs(obs[taken]), returns[taken], rcond=None
            )
            weights[:, a] = solved[0]
        train_state = {"weights": weights, "updates": np.int32(1)}
        save(train_state)
        write("regression", 1, {"size": float(np.abs(weights).mean())})
        return train_state

    def player(self, run, name):
        weights = np.asarray(run.train_state["weights"])

        def act(obs, legal):
            scores = inputs(obs) @ weights
            return np.where(legal, scores, -np.inf).argmax(1)

        return br.player(act, name=name)


def inputs(obs):
    """Return observations [B, ...] as rows, with a constant in front."""
    return np.concatenate(
        [np.ones((len(obs), 1)), obs.reshape(len(obs), -1)], 1
    )


def main(folder: Path) -> None:
    br.register("method", "linear_returns", LinearReturns)
    game = br.make_game(GAME)
    players = ["mixture(tit_for_tat, always_c, random)"] * 2
    data = br.collect(game, players, 300, seed=0, path=folder / "data")
    config = br.RunConfig(game=GAME, method="linear_returns")
    run = br.train(data, config, path=folder / "run")
    for name, player in (("linear", run.player()), ("random", "random")):
        scores = br.evaluate(game, [player, "always_c"], 100, seed=1)
        print(f"{name:11} mean return {scores.mean():.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "own_baseline"))
