"""Line-ups: which player has which seat of which match."""

import numpy as np
import pytest

from bestreply import make_game, make_player
from bestreply.games.stag_hunt import StagHunt
from bestreply.simulation.lineup import (
    ALONE,
    Lineup,
    distinct_players,
    distinct_sets,
    fill_seats,
    join,
    mixture_of,
    name_opponents,
    seat_players,
    seat_self,
)
from bestreply.simulation.opponent_sets import (
    opponent_sets,
    seat_opponents,
    sets_at,
)
from bestreply.utils.spec import SELF
from tests.role_game import Hide

HUNT = make_game("stag_hunt(height=3, width=3, hunters=3, hares=2)")
HIDE = Hide()
PD = make_game("matrix(table=prisoners_dilemma)")
PLAYERS = ["random", "nearest_hare", "nearest_stag"]


def test_a_player_of_several_seats_is_one_pool_player():
    lineup = seat_players(HUNT, ["random", "nearest_stag", "random"], 2, seed=0)
    assert lineup.roster == [
        {"name": "random", "version": 1},
        {"name": "nearest_stag", "version": 1},
    ]
    assert lineup.seating.tolist() == [[0, 1, 0]] * 2
    random, stag = lineup.seats()
    assert random.tolist() == [[0, 2]] * 2
    assert stag.tolist() == [[1]] * 2


def test_seats_are_padded_to_the_largest_number_of_a_player():
    pool = tuple(make_player(p, HUNT) for p in ("random", "nearest_stag"))
    lineup = Lineup(pool, np.array([[0, 0, 1], [1, 0, 1]], np.int32))
    first, second = lineup.seats()
    assert first.tolist() == [[0, 1], [1, 3]]
    assert second.tolist() == [[2, 3], [0, 2]]


def test_rotation_gives_every_player_every_seat():
    lineup = seat_players(HUNT, PLAYERS, 7, seed=0, rotate=True)
    for match, row in enumerate(lineup.seating):
        names = [lineup.pool[index].name for index in row]
        assert names == [PLAYERS[(seat - match) % 3] for seat in range(3)]


def test_payoffs_follow_the_seat_that_a_player_rotates_to():
    game = make_game("matrix(table=matching_pennies, rounds=1)")
    lineup = seat_players(
        game, ["fictitious_play", "random"], 2, seed=0, rotate=True
    )
    first, second = (lineup.pool[lineup.seating[m, m]] for m in range(2))
    assert first.payoffs == game.payoffs_of(0)
    assert second.payoffs == game.payoffs_of(1) != game.payoffs_of(0)


def test_a_mixture_is_resampled_for_every_match():
    mixture = "mixture(always_c, always_d, weights=(1, 3))"
    lineup = seat_players(PD, [mixture, "tit_for_tat"], 400, seed=0)
    assert [p["name"] for p in lineup.roster] == [
        "always_c",
        "always_d",
        "tit_for_tat",
    ]
    assert (lineup.seating[:, 1] == 2).all()
    defectors = (lineup.seating[:, 0] == 1).mean()
    assert abs(defectors - 0.75) < 5 * (0.75 * 0.25 / 400) ** 0.5


@pytest.mark.parametrize(
    "players, matches, message",
    [
        (
            ["random"] * 2,
            1,
            r"players=\['random', 'random'\]: expected one player for each seat; "
            "stag_hunt has 3 seats",
        ),
        ("random", 1, "players='random': expected one player for each seat"),
        (["random"] * 3, 0, "episodes=0: expected a whole number, 1 to"),
        (["random"] * 3, 2**31 - 1, "expected at most .* line-up fits"),
    ],
)
def test_wrong_numbers_of_players_and_matches_are_refused(
    players, matches, message, monkeypatch
):
    monkeypatch.setattr("bestreply.games.sizes.free_memory", lambda: 10**9)
    with pytest.raises(ValueError, match=message):
        seat_players(HUNT, players, matches, seed=0)


def test_a_player_of_a_game_of_other_sizes_is_refused():
    """Agents and policies have a `game`, as these scripted players do."""
    small = make_game("stag_hunt(height=2, width=2, hunters=3, hares=1)")
    player = make_player("nearest_stag", HUNT)
    message = r"=nearest_stag: expected .*\(2, 2, 7\).*; it is .*\(3, 3, 7\)"
    with pytest.raises(ValueError, match=message):
        seat_players(small, ["random", player, "random"], 1, seed=0)


def test_a_player_of_another_game_of_the_same_sizes_plays_with_one_warning(
    monkeypatch,
):
    said = []
    monkeypatch.setattr("bestreply.simulation.lineup.warn", said.append)
    monkeypatch.setattr("bestreply.simulation.lineup._told", set())

    class Other(StagHunt):
        name = "other"

    player = make_player("nearest_stag", HUNT)
    for game in (HUNT, Other(**HUNT.settings), Other(**HUNT.settings)):
        seat_players(game, [player] * 3, 1, seed=0)
    assert len(said) == 1
    assert "it is of stag_hunt, and plays other" in said[0]


def test_joined_lineups_share_one_pool():
    one = seat_players(PD, ["always_c", "grim"], 2, seed=0)
    other = seat_players(PD, ["grim", "always_d"], 1, seed=0)
    lineup = join([one, other])
    assert [p.name for p in lineup.pool] == ["always_c", "grim", "always_d"]
    assert lineup.seating.tolist() == [[0, 1], [0, 1], [1, 2]]


def test_opponent_sets_by_name():
    specs = fill_seats(HUNT, f"random, {SELF}")
    assert name_opponents(specs) == f"random, {SELF}"
    assert name_opponents(fill_seats(HUNT, "random")) == "2 random"
    focal = make_player("nearest_hare", HUNT)
    assert seat_self(specs, focal) == [specs[0], focal]
    assert name_opponents(seat_self(specs, focal)) == "random, nearest_hare"
    with pytest.raises(ValueError, match=r"expected 1 name .*or 2 names"):
        fill_seats(HUNT, "random, random, random")


def test_a_mixture_of_one_name_is_that_name():
    assert mixture_of(("random",)) == "random"
    assert mixture_of(("random", "grim")) == "mixture(random, grim)"


@pytest.mark.parametrize(
    "texts",
    [
        ["nearest_stag", "nearest_stag ", "nearest_stag, nearest_stag"],
        ["random, nearest_stag", "nearest_stag,random"],
        ["noisy(random, 0.1)", "noisy( player=random,eps=.10 )"],
        [
            "mixture(random, nearest_hare)",
            "mixture(nearest_hare, random, weights=(2, 2))",
        ],
        [
            "switching(random, nearest_hare, random=True)",
            f"switching(random, nearest_hare, random={HUNT.max_steps})",
        ],
        ["always(STAY)", f"always({HUNT.action_names.index('STAY')})"],
        ["self", " self, self"],
        ["random, self", "self, random"],
    ],
)
def test_equal_opponent_sets_count_once(texts):
    assert list(distinct_sets(HUNT, [*texts, "nearest_hare"])) == [
        texts[0],
        "nearest_hare",
    ]


def test_other_opponent_sets_stay():
    texts = ["random", "self", "random, self", "random, nearest_stag"]
    texts += ["noisy(random, 0.1)", "noisy(random, 0.2)", "nearest_hare"]
    texts += ["mixture(random, nearest_hare)"]
    texts += ["mixture(random, nearest_hare, weights=(1, 2))"]
    texts += ["mixture(random, random, nearest_hare)"]
    texts += ["switching(random, nearest_hare, step=2)"]
    texts += ["switching(nearest_hare, random, step=2)"]
    assert list(distinct_sets(HUNT, texts)) == texts
    with pytest.raises(ValueError, match="nobody"):
        distinct_sets(HUNT, ["random", "nobody"])


def test_the_order_of_players_matters_where_seats_differ():
    rows = ((0, 1), (2, 3)), ((4, 5), (6, 7))
    game = make_game("matrix", payoffs=(rows, rows, rows))
    texts = ["always_c, always_d", "always_d, always_c", "always(0), always(1)"]
    assert list(distinct_sets(game, texts)) == texts[:2]


def test_equal_players_count_once():
    names = ["tit_for_tat", "always_c", " tit_for_tat", "always(0)", "grim"]
    wanted = ("tit_for_tat", "always_c", "grim")
    assert distinct_players(PD, names) == wanted


def test_one_player_has_no_opponents():
    game = make_game("stag_hunt(height=3, width=3, hunters=1, hares=2)")
    assert fill_seats(game, "none") == []
    assert name_opponents([]) == ALONE
    assert list(distinct_sets(game, ["none", "random", "self"])) == ["none"]
    with pytest.raises(ValueError, match="'none' for stag_hunt"):
        fill_seats(game, "random, random")
    assert seat_players(game, ["random"], 3, 0).seating.tolist() == [[0]] * 3


def test_opponents_by_role_fill_the_seats_of_their_roles():
    text = "adversary=always(0), agent=always(1)"
    around = [[str(p) for p in fill_seats(HIDE, text, s)] for s in range(3)]
    zero, one = "always(0)", "always(1)"
    assert around == [[zero, one], [one, zero], [zero, zero]]
    for wrong in ("agent=random", "adversary=random, agent=random, x=random"):
        with pytest.raises(ValueError, match="of hide: adversary, agent"):
            fill_seats(HIDE, wrong)


def test_one_player_for_all_roles_is_that_player_by_role():
    texts = ["always(0)", "adversary=always(0), agent=always(LEFT)"]
    assert list(distinct_sets(HIDE, texts)) == texts[:1]
    texts = ["adversary=random, agent=always(0)", "agent=always(0)"]
    with pytest.raises(ValueError, match="each role"):
        distinct_sets(HIDE, texts)


def test_line_ups_of_a_role_take_its_seats_in_turn():
    sets = opponent_sets(HIDE, ["adversary=always(0), agent=always(1)"])
    assert [s.seats for s in sets] == [(0, 1), (2,)]
    hunter, runner = (seat_opponents(HIDE, "random", s, 3, 0) for s in sets)
    names = [[hunter.pool[i].name for i in row] for row in hunter.seating]
    zero, one = "always(0)", "always(1)"
    assert names == [["random", zero, one], [zero, "random", one], names[0]]
    names = [[runner.pool[i].name for i in row] for row in runner.seating]
    assert names == [[zero, zero, "random"]] * 3


def test_sets_at_a_seat():
    text = "adversary=always(0), agent=always(1)"
    runner = sets_at(HIDE, [text, "random"], 2)
    assert {n: list(map(str, o)) for n, o in runner.items()} == {
        f"agent | {text}": ["always(0)", "always(0)"],
        "agent | 2 random": ["random", "random"],
    }
    assert list(sets_at(HIDE, ["random"], 1)) == ["adversary | 2 random"]
    # Where all seats have one role, a list fills the other seats in order.
    (others,) = sets_at(HUNT, ["random, nearest_hare"], 1).values()
    assert list(map(str, others)) == ["random", "nearest_hare"]


def test_some_matches_of_a_line_up_keep_its_program():
    pool = tuple(make_player(p, HUNT) for p in ("random", "nearest_stag"))
    lineup = Lineup(pool, np.array([[0, 0, 1], [1, 0, 1]], np.int32))
    part = lineup.part(np.array([1]))
    assert part.pool is pool and part.seating.tolist() == [[1, 0, 1]]
    for own, every in zip(part.seats(), lineup.seats(), strict=True):
        assert own.tolist() == every[1:].tolist()
    assert [x.shape for x in part.part(np.array([0])).seats()] == [(1, 2)] * 2
