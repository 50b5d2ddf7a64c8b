"""Train with a loss of your own: python examples/own_loss.py [FOLDER]"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import optax

import bestreply as br
from bestreply.config import ModelConfig, TrainConfig
from bestreply.training.losses import world_losses

GAME = "matrix(table=prisoners_dilemma, rounds=5)"


def huber(world, window, *, limit_ends=False) -> dict[str, jax.Array]:
    """The losses of the specification, with a Huber loss of the reward."""
    losses = world_losses(world, window, limit_ends=limit_ends)
    z = world.encode(window.obs[0])
    predicted = world.reward(z, window.action[0], window.others[0])
    _, unit = world.reward_unit(z)  # losses are in units of the game's rewards
    error = (predicted - window.reward[0]) / unit
    losses["reward"] = optax.huber_loss(error)
    losses["size"] = 1e-3 * jnp.square(z).mean()  # a term of its own, weight 1
    return losses


def main(folder: Path) -> None:
    br.register("loss", "huber", huber)
    game = br.make_game(GAME)
    players = ["mixture(tit_for_tat, always_d, random)"] * 2
    data = br.collect(game, players, 300, seed=0, path=folder / "data")
    model = ModelConfig(latent=8, width=16, depth=1)
    train = TrainConfig(
        loss="huber", opponent_updates=200, updates=300, batch=64, value_batch=64,
        opponent_batch=64, anchor_updates=200,
    )  # fmt: skip
    config = br.RunConfig(game=GAME, model=model, train=train)
    run = br.train(data, config, path=folder / "run")
    scores = br.evaluate(game, [run.agent(), "tit_for_tat"], 50, seed=1)
    print(f"agent mean return {scores.mean():.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "own_loss"))
