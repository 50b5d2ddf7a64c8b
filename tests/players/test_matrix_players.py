"""Players of matrix games, beside play worked out by hand."""

import itertools

import jax
import numpy as np
import pytest

from bestreply import make_game, make_player
from bestreply.types import ABSENT
from tests.shared import compiled

PD = make_game("matrix(table=prisoners_dilemma)")
RPS = make_game("matrix(table=rock_paper_scissors)")
PENNIES = make_game("matrix(table=matching_pennies)")
START = (ABSENT,)
KEY = jax.random.key(0)


def along(player, game, others, carry=None):
    """The distribution of each step, given the others' actions in the step before."""
    carry, probs = player.init() if carry is None else carry, []
    obs = np.zeros(game.obs_shape, np.float32)
    legal = np.ones(game.num_actions, bool)
    step = compiled(type(player).step)
    for seen in others:
        carry, _, output = step(
            player, carry, obs, legal, KEY, others=np.array(seen)
        )
        probs.append(np.asarray(output.probs).tolist())
    return probs, carry


def actions(player, game, others, carry=None):
    """The actions of a deterministic player."""
    probs, carry = along(player, game, others, carry=carry)
    assert {p for row in probs for p in row} <= {0.0, 1.0}
    return [row.index(1.0) for row in probs], carry


def test_always():
    assert actions(make_player("always_c", PD), PD, [START, (1,), (1,)])[0] == [
        0,
        0,
        0,
    ]
    assert actions(make_player("always_d", PD), PD, [START, (0,), (1,)])[0] == [
        1,
        1,
        1,
    ]
    assert actions(make_player("always(SCISSORS)", RPS), RPS, [START])[0] == [2]
    assert actions(make_player("always(1)", RPS), RPS, [START])[0] == [1]


def test_first_legal():
    masks = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 0]], bool)
    obs = np.zeros(RPS.obs_shape, np.float32)
    for spec, expected in (
        ("first_legal", [0, 1, 0]),
        ("first_legal(2)", [2, 2, 0]),
    ):
        player = make_player(spec, RPS)
        policy = compiled(type(player).policy)
        chosen = [int(np.argmax(policy(player, (), obs, m))) for m in masks]
        assert chosen == expected
    with pytest.raises(ValueError, match="expected an action of matrix"):
        make_player("first_legal(FOLD)", RPS)


def test_tit_for_tat_repeats_the_opponents_action():
    player = make_player("tit_for_tat", PD)
    assert actions(player, PD, [START, (0,), (1,), (1,), (0,)])[0] == [
        0,
        0,
        1,
        1,
        0,
    ]


def test_tit_for_tat_of_three_cooperates_if_all_others_did():
    game = make_game("matrix", payoffs=np.zeros((3, 2, 2, 2)).tolist())
    seen = [(ABSENT, ABSENT), (0, 1), (0, 0), (1, 1), (0, 0)]
    assert actions(make_player("tit_for_tat", game), game, seen)[0] == [
        0,
        1,
        0,
        1,
        0,
    ]


def test_grim_defects_until_the_end_of_the_game():
    player = make_player("grim", PD)
    result, carry = actions(player, PD, [START, (0,), (1,), (0,), (0,)])
    assert result == [0, 0, 1, 1, 1]
    # a further game starts again
    assert actions(player, PD, [START, (0,)], player.renew(carry))[0] == [0, 0]


def test_win_stay_lose_shift_in_the_prisoners_dilemma():
    """The mean payoff is (3 + 0 + 5 + 1) / 4 = 2.25: 3 and 5 are wins, 0 and 1 are not."""
    player = make_player("win_stay_lose_shift", PD)
    seen = [START, (0,), (1,), (1,), (0,), (1,), (0,)]
    #       C      C:3   C:0   D:1   C:3   C:0   D:5
    assert actions(player, PD, seen)[0] == [0, 0, 1, 0, 0, 1, 1]


def test_win_stay_lose_shift_takes_the_next_of_three():
    player = make_player("win_stay_lose_shift", RPS)
    seen = [START, (0,), (1,), (0,), (2,), (0,)]
    #       R      tie   R:-1  P:1   P:-1  S:-1
    assert actions(player, RPS, seen)[0] == [0, 0, 1, 1, 2, 0]


def test_fictitious_play_of_both_sides_of_matching_pennies():
    """Counts begin at one each. Row wants to match, column wants to differ."""
    seen = [START, (0,), (1,), (1,)]
    counts = [(1, 1), (2, 1), (2, 2), (2, 3)]
    row, _ = along(make_player("fictitious_play", PENNIES, 0), PENNIES, seen)
    column, _ = along(make_player("fictitious_play", PENNIES, 1), PENNIES, seen)
    assert row == [
        [0.5, 0.5] if a == b else [1, 0] if a > b else [0, 1] for a, b in counts
    ]
    assert column == [
        [0.5, 0.5] if a == b else [0, 1] if a > b else [1, 0] for a, b in counts
    ]


def test_fictitious_play_remembers_from_game_to_game():
    player = make_player("fictitious_play", RPS)
    _, carry = along(player, RPS, [START, (0,), (0,), (1,)])  # counts 3, 2, 1
    kept, _ = along(player, RPS, [START], carry=player.renew(carry))
    # values: rock (1 - 2) / 6, paper (3 - 1) / 6, scissors (2 - 3) / 6
    assert kept == [[0, 1, 0]]
    assert along(player, RPS, [START])[0] == [[pytest.approx(1 / 3)] * 3]


def test_fictitious_play_of_three_weighs_joint_actions_by_products_of_frequencies():
    payoffs = np.random.default_rng(0).normal(size=(3, 3, 3, 3)).round(2)
    game = make_game("matrix", payoffs=payoffs.tolist())
    seen = [(ABSENT, ABSENT), (0, 2), (0, 1), (2, 2), (0, 2)]
    for seat in range(3):
        result, _ = along(
            make_player("fictitious_play", game, seat), game, seen
        )
        others, counts = [s for s in range(3) if s != seat], np.ones((2, 3))
        for step, joint in enumerate(seen):
            for j, action in enumerate(joint):
                counts[j, action] += action != ABSENT
            frequency = counts / counts.sum(1, keepdims=True)
            values = np.zeros(3)
            for own, first, second in itertools.product(range(3), repeat=3):
                cell = [0, 0, 0]
                cell[seat], cell[others[0]], cell[others[1]] = (
                    own,
                    first,
                    second,
                )
                weight = frequency[0, first] * frequency[1, second]
                values[own] += weight * payoffs[(seat, *cell)]
            assert result[step] == np.eye(3)[values.argmax()].tolist()


@pytest.mark.parametrize(
    "table, expected",
    [
        ("matching_pennies", [[0.5, 0.5], [0.5, 0.5]]),
        ("rock_paper_scissors", [[1 / 3] * 3, [1 / 3] * 3]),
        ("prisoners_dilemma", [[0, 1], [0, 1]]),
        (
            "stag_hunt",
            [[1, 0], [1, 0]],
        ),  # of three equilibria, that of the largest payoff
    ],
)
def test_equilibrium(table, expected):
    game = make_game("matrix", table=table)
    for seat in range(2):
        np.testing.assert_allclose(
            make_player("equilibrium", game, seat).probs,
            expected[seat],
            atol=1e-9,
        )


@pytest.mark.parametrize(
    "table",
    ["matching_pennies", "rock_paper_scissors", "chicken", "stag_hunt", "own"],
)
def test_no_player_gains_by_deviating_from_the_equilibrium(table):
    payoffs = [
        [[3, 1, 0], [0, 2, 5], [1, 1, 1]],
        [[0, 2, 4], [3, 1, 0], [2, 2, 1]],
    ]
    game = (
        make_game("matrix", payoffs=payoffs)
        if table == "own"
        else make_game("matrix", table=table)
    )
    first, second = (
        np.array(make_player("equilibrium", game, seat).probs)
        for seat in range(2)
    )
    ours, theirs = game.payoff_array
    assert (ours @ second).max() == pytest.approx(first @ ours @ second)
    assert (first @ theirs).max() == pytest.approx(first @ theirs @ second)


def test_an_equilibrium_is_for_two_players():
    game = make_game("matrix", payoffs=np.zeros((3, 2, 2, 2)).tolist())
    with pytest.raises(ValueError, match="matrix has 3 players: expected 2"):
        make_player("equilibrium", game)


@pytest.mark.parametrize(
    "name", ["tit_for_tat", "grim", "win_stay_lose_shift", "fictitious_play"]
)
def test_unknown_others_are_like_a_first_step(name):
    player = make_player(name, PD)
    carry, _, first = compiled(type(player).step)(
        player, player.init(), np.zeros(5, np.float32), np.ones(2, bool), KEY
    )
    start, _ = along(player, PD, [START])
    assert np.asarray(first.probs).tolist() == start[0]
    assert jax.tree.map(np.shape, carry) == jax.tree.map(
        np.shape, player.init()
    )
