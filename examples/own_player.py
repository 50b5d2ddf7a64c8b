"""Define a player, check it and compute the best reply to it: python examples/own_player.py"""

import equinox as eqx
import jax
import jax.numpy as jnp

import bestreply as br
from bestreply.players import ScriptedPlayer

COOPERATE, DEFECT = 0, 1


class TitForTwoTats(ScriptedPlayer):
    """Defects after two defections in a row, and cooperates otherwise."""

    name: str = eqx.field(static=True, default="tit_for_two_tats")
    version: int = eqx.field(static=True, default=1)

    def start(self):  # the memory before the first step: defections in a row
        return jnp.int32(0)

    def see(self, carry, obs, others, key):  # others [1]: ABSENT at first
        return jnp.where(others[0] == DEFECT, carry + 1, 0)

    def policy(self, carry, obs, legal):  # [A] probabilities
        return jax.nn.one_hot(jnp.where(carry >= 2, DEFECT, COOPERATE), 2)


def main() -> None:
    game = br.make_game("matrix(table=prisoners_dilemma, rounds=10)")
    player = TitForTwoTats()
    print(br.check_player(player, game))

    for name in ("tit_for_tat", "always_d", "random"):
        scores = br.evaluate(game, [name, player], 200, seed=0)
        print(f"{name:11} mean return {scores.mean():.2f}")
    best = br.exact.best_reply(game, seat=0, others=[player])
    print(f"best reply  mean return {best.value:.2f}")


if __name__ == "__main__":
    main()
