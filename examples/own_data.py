"""Train on logs without a simulator: python examples/own_data.py [FOLDER]"""

import sys
from pathlib import Path

import numpy as np

import bestreply as br
from bestreply.pipeline import run_on

PAYOFF = np.array([[3.0, 0.0], [5.0, 1.0]])  # own action, other action
GAMES, ROUNDS, SEATS = 300, 5, 2


def logs() -> tuple[np.ndarray, ...]:
    """Return your logs: here 300 games of the prisoner's dilemma, five rounds each.

    Ann repeats the last move of the other player, Bob defects (1) in 7 of 10 rounds.
    """
    rng = np.random.default_rng(0)
    moves = np.zeros((GAMES, ROUNDS, SEATS), int)
    moves[:, :, 1] = rng.random((GAMES, ROUNDS)) < 0.7
    moves[:, 1:, 0] = moves[:, :-1, 1]
    last = np.zeros((GAMES, ROUNDS + 1, SEATS, 2, 2))  # one-hot, own move first
    for seat in range(SEATS):
        for place, player in enumerate((seat, 1 - seat)):
            last[:, 1:, seat, place] = np.eye(2)[moves[..., player]]
    left = np.broadcast_to(
        np.linspace(1, 0, ROUNDS + 1)[:, None], last.shape[:3]
    )
    observations = np.concatenate(
        [last.reshape(*last.shape[:3], 4), left[..., None]], -1
    )
    rewards = PAYOFF[moves, moves[..., ::-1]]
    over = np.broadcast_to(np.arange(ROUNDS) == ROUNDS - 1, moves.shape[:2])
    return observations, moves, rewards, over


def main(folder: Path) -> None:
    observations, moves, rewards, over = logs()
    names = ["COOPERATE", "DEFECT"]

    data = br.store_from_arrays(
        observations, moves, rewards, over, players=["ann", "bob"],
        action_names=names, path=folder / "data",
    )  # fmt: skip
    run = run_on(data, br.preset("debug"), folder / "run")

    agent = run.agent()
    plan = agent.plan(observations[0, 1, 0], np.ones(2, bool))
    scores = plan.scores.tolist()
    print("problems:", br.validate(data.path))
    print("after the first round:", dict(zip(names, scores, strict=True)))
    print("report:", run.path / "report.html")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "own_data"))
