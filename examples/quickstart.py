"""Run the whole flow on a small game: python examples/quickstart.py [FOLDER]"""

import sys
from pathlib import Path

import jax

import bestreply as br
from bestreply.config import ModelConfig, TrainConfig

GAME = "stag_hunt(height=3, width=3, hunters=2, stags=1, hares=2, max_steps=8)"
MODEL = ModelConfig(latent=32, width=64, depth=1)
TRAIN = TrainConfig(
    opponent_updates=300, opponent_batch=128, updates=900, batch=128,
    anchor_updates=0, value_batch=256, gamma=0.9, n_step=3, log_every=300,
)  # fmt: skip


def main(folder: Path) -> None:
    game = br.make_game(GAME)
    players = ["mixture(nearest_stag, nearest_hare, random)"] * 2
    data = br.collect(game, players, 2000, seed=0, path=folder / "data")
    config = br.RunConfig(game=GAME, model=MODEL, train=TRAIN)
    agent = br.train(data, config, path=folder / "run").agent()

    for name, player in (("agent", agent), ("random", "random")):
        scores = br.evaluate(game, [player, "nearest_stag"], 400, seed=1)
        print(f"{name} beside nearest_stag: mean return {scores.mean():.2f}")

    _, step = jax.jit(game.reset)(jax.random.key(3))
    plan = agent.plan(step.obs[0], step.legal[0])  # player 1's decision
    print(game.text(step.obs[0]))
    print("action        score = reward +  gamma V  P(opponent)")
    columns = (plan.scores, plan.reward, plan.value, plan.others[0])
    for a, action in enumerate(game.action_names):
        numbers = "".join(f"{float(column[a]):9.2f}" for column in columns)
        print(f"{action:10}{numbers}")
    print("best reply:", game.action_names[int(plan.action)])


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "quickstart"))
