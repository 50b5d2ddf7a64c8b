"""Define a game, check it, collect play and evaluate: python examples/own_game.py [FOLDER]"""

import dataclasses
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp

import bestreply as br
from bestreply.games import Game
from bestreply.types import TimeStep, ego_order


class State(eqx.Module):
    gave: jax.Array  # [N] float32, 1 for each player that gave last round
    round: jax.Array  # [] int32, rounds played


@dataclasses.dataclass(frozen=True)
class PublicGoods(Game):
    """Each round a player keeps a coin or gives it; gifts double and are shared."""

    name = "public_goods"
    version = 1
    summary = "public goods: gifts double and are shared equally"

    players: int = 3
    max_steps: int = 5

    @property
    def num_players(self) -> int:
        return self.players

    @property
    def action_names(self) -> tuple[str, ...]:
        return ("KEEP", "GIVE")

    @property
    def obs_shape(self) -> tuple[int, ...]:
        return (self.players + 1,)  # last gifts, ego-first; time left

    def start(self, key):
        return State(jnp.zeros(self.players), jnp.int32(0))

    def advance(self, state, actions, key):
        gave = (actions == 1).astype(jnp.float32)
        reward = (1 - gave) + 2 * gave.mean()
        return State(gave, state.round + 1), reward

    def finished(self, state):
        return state.round >= self.max_steps

    def look(self, state, reward):
        n = self.players
        left = jnp.full((n, 1), 1 - state.round / self.max_steps)
        return TimeStep(
            obs=jnp.concatenate([state.gave[ego_order(n)], left], axis=1),
            legal=jnp.ones((n, 2), bool),
            reward=reward,
            terminated=jnp.full(n, self.finished(state)),
            truncated=jnp.array(False),
            present=jnp.ones(n, bool),
        )


def main(folder: Path) -> None:
    game = PublicGoods()
    print(br.check_game(game))
    data = br.collect(game, ["random"] * 3, 200, seed=0, path=folder)
    print(data.describe())
    for name in ("always(KEEP)", "always(GIVE)", "random"):
        scores = br.evaluate(game, [name, "random", "random"], 300, seed=1)
        print(f"{name:12} mean return {scores.mean():.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "own_game"))
