"""Games of sizes that nothing can play are refused before arrays are made."""

import dataclasses

import numpy as np
import pytest

from bestreply import make_game
from bestreply.games.contract import GameError, check_description
from bestreply.games.stag_hunt import StagHunt
from bestreply.simulation.lineup import seat_players

PD = ((3, 0), (5, 1)), ((3, 5), (0, 1))


@pytest.mark.parametrize(
    "name, settings, message",
    [
        ("stag_hunt", {"height": 10**9}, "height=1000000000, width=4: exp"),
        ("stag_hunt", {"height": 2**31}, "height=2147483648: expected"),
        ("stag_hunt", {"hunters": 10**6}, "expected|num_players=1000000: exp"),
        ("stag_hunt", {"hunters": 2000}, "num_players=2000: expected"),
        ("stag_hunt", {"max_steps": 2**31}, "max_steps=2147483648: expected"),
        ("stag_hunt", {"max_steps": 10**9}, "max_steps=1000000000: expected"),
        ("stag_hunt", {"max_steps": 10**6}, "expected an episode of at most"),
        ("stag_hunt", {"max_steps": 0}, "max_steps=0: expected"),
        ("stag_hunt", {"max_steps": True}, "max_steps=True: expected"),
        ("stag_hunt", {"stag_reward": 1e300}, "stag_reward=1e"),
        ("stag_hunt", {"stag_reward": 10**400}, "stag_reward=1000"),
        ("snowdrift", {"players": -1}, "players=-1: expected"),
        ("snowdrift", {"removal_cost": float("inf")}, "removal_cost=inf: exp"),
        ("matrix", {"payoffs": np.full((2, 2, 2), 1e39)}, "finite"),
        ("matrix", {"payoffs": (PD[0], ((3, 5), (0, "1")))}, "only numbers"),
        ("matrix", {"payoffs": (PD[0], ((3, 5), (0, True)))}, "only numbers"),
        ("matrix", {"payoffs": (PD[0], ((3, 5), (0, 10**400)))}, "numbers"),
        ("matrix", {"rounds": 10**9}, "max_steps=1000000000: expected"),
        ("matrix", {"memory": 10**8}, "expected"),
        ("matrix", {"actions": 5}, "actions=5: expected"),
    ],
)
def test_sizes_and_payoffs_beyond_reason_are_refused(name, settings, message):
    with pytest.raises(ValueError, match=message) as refusal:
        make_game(name, **settings)
    assert len(str(refusal.value)) < 400


@dataclasses.dataclass(frozen=True)
class Strange(StagHunt):
    """A game of others that declares sizes of its own."""

    shape: tuple = (4, 4, 8)

    def __post_init__(self) -> None:
        pass

    @property
    def obs_shape(self):
        return self.shape


@pytest.mark.parametrize(
    "game, message",
    [
        (Strange(hunters=0), "num_players=0: expected a whole number, 1 to"),
        (Strange(hunters=-3), "num_players=-3: expected"),
        (Strange(max_steps=2**40), "max_steps=1099511627776: expected"),
        (Strange(shape=(0, 4)), "obs_shape=0: expected"),
        (Strange(shape=(2**20, 2**20)), "expected an episode of at most"),
    ],
)
def test_a_game_of_others_is_refused_before_play(game, message):
    with pytest.raises(ValueError, match=message):
        seat_players(game, ["random"] * game.num_players, 4, 0)
    with pytest.raises(GameError, match="description"):
        check_description(game)
