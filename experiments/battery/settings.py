"""The settings: games, the players that make their data, and what was looked at."""

from typing import NamedTuple

OWN = "experiments.battery.players"
STEPS = 100_000
"""Environment steps of logged play, at most `EPISODES` games."""
EPISODES = 10_000


class Setting(NamedTuple):
    """A game and the players that make its data."""

    game: str
    players: tuple[str, ...]
    steps: int
    """Steps of an episode."""
    seen: bool
    """Whether the recipe was chosen on it; the others are not looked at before the
    final run."""
    seeds: int = 5

    @property
    def episodes(self) -> int:
        """Number of logged games."""
        return min(STEPS // self.steps, EPISODES)


def _own(*names: str) -> tuple[str, ...]:
    return (*(f"{OWN}:{name}" for name in names), "random")


HUNTERS = ("nearest_stag", "nearest_hare", "random")
DRIFTERS = ("nearest_drift", "never_remove", "random")
REPEATERS = ("tit_for_tat", "always_d", "always_c", "random")

SETTINGS = {
    "stag_hunt": Setting(
        "stag_hunt(height=5, width=5, hunters=3, stags=1, hares=3, max_steps=20)",
        HUNTERS,
        20,
        True,
    ),
    "snowdrift": Setting(
        "snowdrift(height=4, width=4, players=3, max_steps=15)",
        DRIFTERS,
        15,
        True,
    ),
    "dilemma": Setting(
        "matrix(table=prisoners_dilemma, rounds=10)", REPEATERS, 10, True, 10
    ),
    "goofspiel": Setting(
        "openspiel:goofspiel(num_cards=5)",
        ("always(4)", "first_legal", "random"),
        5,
        True,
        10,
    ),
    "coin_game": Setting(
        "jaxmarl:coin_game(num_inner_steps=50)",
        _own("coop", "greedy"),
        50,
        True,
    ),
    "simple_tag": Setting(
        "jaxmarl:MPE_simple_tag_v3(max_steps=25)",
        _own("chaser", "lazy"),
        25,
        True,
    ),
    "line_of_coins": Setting(
        "experiments.battery.line:Line", _own("taker"), 20, True
    ),
    "stag_hunt_6x6": Setting(
        "stag_hunt(height=6, width=6, hunters=4, stags=2, hares=4, max_steps=30, leave=False)",
        HUNTERS,
        30,
        False,
    ),
    "snowdrift_6x6": Setting(
        "snowdrift(height=6, width=6, players=2, blocks=3, max_steps=30)",
        DRIFTERS,
        30,
        False,
    ),
    "chicken": Setting(
        "matrix(table=chicken, rounds=50)", REPEATERS, 50, False, 10
    ),
    "markov_soccer": Setting(
        "openspiel:markov_soccer(horizon=50)",
        ("first_legal", "always(1)", "random"),
        50,
        False,
    ),
    "simple_adversary": Setting(
        "jaxmarl:MPE_simple_adversary_v3(max_steps=25)",
        _own("seeker", "lazy"),
        25,
        False,
    ),
    "foraging": Setting(
        "jumanji:LevelBasedForaging-v0(grid_size=8, fov=8, time_limit=50)",
        _own("forager", "lazy"),
        50,
        False,
    ),
    "simple_spread": Setting(
        "jaxmarl:MPE_simple_spread_v3(max_steps=25)",
        _own("cover", "lazy"),
        25,
        False,
    ),
}
"""By the name of their files."""
