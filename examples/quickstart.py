"""The whole flow on a small game, within a minute: python examples/quickstart.py [FOLDER]"""

import sys
from pathlib import Path

import jax

import bestreply as br
from bestreply.config import ModelConfig, TrainConfig

CONFIG = br.RunConfig(
    game="stag_hunt(height=3, width=3, hunters=2, stags=1, hares=2, max_steps=8)",
    model=ModelConfig(latent=32, width=64, depth=1),
    train=TrainConfig(
        opponent_updates=300,
        opponent_batch=128,
        updates=1500,
        batch=128,
        value_batch=256,
        gamma=0.9,
        n_step=3,
    ),
)


def main(folder: Path) -> None:
    game = br.make_game(CONFIG.game)
    players = [
        "mixture(nearest_stag, nearest_hare, random)"
    ] * game.num_players  # drawn anew for every episode
    data = br.collect(
        game, players, episodes=2000, seed=0, path=folder / "data"
    )  # Parquet; br.open_store reads it
    run = br.train(data, CONFIG, path=folder / "run")  # br.load_run reads it
    agent = run.agent()  # a player like any other

    for player in (agent, "random"):
        scores = br.evaluate(
            game, [player, "nearest_stag"], episodes=400, seed=1
        )  # in each seat in turn
        print(
            f"{scores.mean():.2f}  mean return beside nearest_stag of {getattr(player, 'name', player)}"
        )

    _, shown = game.reset(jax.random.key(3))
    plan = agent.plan(
        shown.obs[0], shown.legal[0]
    )  # online; for a batch: jax.vmap(agent.plan)
    print(game.text(shown.obs[0]))  # we are player 1
    print("candidate     score =  reward +  value    predicted for player 2")
    for a, name in enumerate(game.action_names):
        print(
            f"{name:10} {plan.scores[a]:8.2f} {plan.reward[a]:9.2f} {plan.value[a]:8.2f} {plan.others[0, a]:11.2f}"
        )
    print("best reply:", game.action_names[int(plan.action)])


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "quickstart"))
