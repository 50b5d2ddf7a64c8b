"""The games that prove the adapters."""

from typing import NamedTuple


class Proof(NamedTuple):
    """A game, and what it is played with."""

    game: str
    player: str
    """The scripted player, ``module:attr``: a maker of data and an opponent."""
    episodes: int = 2000
    """Episodes of the data."""
    settings: dict[str, object] = {}  # noqa: RUF012  (never changed)
    """Further settings of `RunConfig`, such as ``{"model.encoder": "cnn"}``."""


PLAYERS = "experiments.adapters.players"
PROOFS = {
    "coin_game": Proof("jaxmarl:coin_game", f"{PLAYERS}:own_coin"),
    "foraging": Proof(
        "jumanji:LevelBasedForaging-v0(grid_size=6, fov=6, num_food=2, "
        "time_limit=30)",
        f"{PLAYERS}:nearest_food",
    ),
    "tic_tac_toe": Proof("pgx:tic_tac_toe", f"{PLAYERS}:takes_win"),
}
"""By name of the result file."""
