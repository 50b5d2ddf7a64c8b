"""Plan with an opponent model of your own: python examples/own_opponent_model.py RUN"""

import sys
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp

import bestreply as br
from bestreply.games import Game
from bestreply.opponents.base import OpponentModel, opponent_legal


class Frequencies(OpponentModel):
    """Predicts each opponent's actions by their frequencies in this episode."""

    game: Game = eqx.field(static=True)
    types: int = eqx.field(static=True)  # G, the number of the run's types

    def init(self):  # the belief: [N-1, A] counts, one action of each kind
        return jnp.ones((self.game.num_players - 1, self.game.num_actions))

    def predict(self, belief, obs, legal):  # [N-1, A] probabilities
        weights = belief * opponent_legal(self.game, obs)
        return weights / weights.sum(axis=1, keepdims=True)

    def update(self, belief, obs, actions, present):  # actions [N], ego-first
        actions, acted = actions[1:], present[1:]
        seen = actions[:, None] == jnp.arange(self.game.num_actions)
        return belief + (seen & acted[:, None])

    def posterior(self, belief):  # [N-1, G]: no knowledge about the types
        return jnp.full((len(belief), self.types), 1 / self.types)


def main(folder: Path) -> None:
    run = br.load_run(folder)
    others = ["nearest_stag"] * (run.game.num_players - 1)
    frequencies = Frequencies(run.game, len(run.goals))
    for name, model in (("learned", "learned"), ("frequencies", frequencies)):
        agent = run.agent(opponents=model)
        scores = br.evaluate(run.game, [agent, *others], 100, seed=0)
        print(f"{name:11} mean return {scores.mean():.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
