"""Train with an encoder of your own: python examples/own_network.py [FOLDER]"""

import math
import sys
from pathlib import Path

import equinox as eqx
import jax

import bestreply as br
from bestreply.config import ModelConfig, TrainConfig

GAME = "matrix(table=prisoners_dilemma, rounds=5)"


class Residual(eqx.Module):
    """From one observation [*shape] to a latent [outputs]."""

    first: eqx.nn.Linear
    second: eqx.nn.Linear

    def __init__(self, shape, outputs, *, key):
        one, two = jax.random.split(key)
        self.first = eqx.nn.Linear(math.prod(shape), outputs, key=one)
        self.second = eqx.nn.Linear(outputs, outputs, key=two)

    def __call__(self, obs):
        z = self.first(obs.reshape(-1))
        return z + self.second(jax.nn.silu(z))


def main(folder: Path) -> None:
    br.register("network", "residual", Residual)
    game = br.make_game(GAME)
    players = ["mixture(tit_for_tat, always_d, random)"] * 2
    data = br.collect(game, players, 300, seed=0, path=folder / "data")
    model = ModelConfig(latent=8, width=16, depth=1, encoder="residual")
    train = TrainConfig(
        opponent_updates=200,
        updates=300,
        batch=64,
        value_batch=64,
        opponent_batch=64,
        anchor_updates=200,
    )
    config = br.RunConfig(game=GAME, model=model, train=train)
    run = br.train(data, config, path=folder / "run")
    scores = br.evaluate(game, [run.agent(), "tit_for_tat"], 50, seed=1)
    print(f"agent mean return {scores.mean():.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "own_network"))
