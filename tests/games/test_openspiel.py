"""The adapter against OpenSpiel itself, driven directly with the same moves."""

import pickle
import sys

import jax
import numpy as np
import pytest

from bestreply.games import make_game
from bestreply.games.check import check_game

pyspiel = pytest.importorskip("pyspiel")

PLAYED = [
    "matrix_rps",
    "matrix_pd",
    "matching_pennies_3p",
    "goofspiel(num_cards=4)",
    "goofspiel(players=3,num_cards=4)",
    "goofspiel(imp_info=True,num_cards=5,points_order=descending,returns_type=point_difference)",
    "markov_soccer(horizon=30)",
    "blotto(coins=5)",
    "oshi_zumo(coins=6,horizon=12)",
    "laser_tag(horizon=25)",
    "coop_box_pushing(horizon=25)",
    "capture_the_flag(horizon=20)",
    "snake(players=4,horizon=15)",
    "repeated_game(stage_game=matrix_pd(),num_repetitions=6)",
    "normal_form_extensive_game(game=kuhn_poker())",
    "misere(game=goofspiel(num_cards=4))",
    (
        "pathfinding",
        {
            "players": 2,
            "grid": "A..*b\n.....\n*a..B\n",
            "horizon": 12,
            "step_reward": -0.25,
        },
    ),
]


def key(number):
    return jax.random.key(number)


def both(spec):
    """The game through the adapter and OpenSpiel's own; `spec` is OpenSpiel's string or (name, settings)."""
    if isinstance(spec, str):
        return make_game(f"openspiel:{spec}"), pyspiel.load_game(spec)
    return make_game(f"openspiel:{spec[0]}", **spec[1]), pyspiel.load_game(
        *spec
    )


def random_actions(legal, rng):
    return np.array(
        [rng.choice(np.flatnonzero(row)) for row in legal], np.int32
    )


def play(game, seed):
    """States, time steps and the actions between them, of one episode of random play."""
    rng = np.random.default_rng(seed)
    keys = iter(jax.random.split(key(seed), game.max_steps + 1))
    state, seen = game.reset(next(keys))
    states, steps, moves = [state], [seen], []
    while not (seen.truncated or seen.terminated.all()):
        moves.append(random_actions(seen.legal, rng))
        state, seen = game.step(state, moves[-1], next(keys))
        states.append(state)
        steps.append(seen)
    return states, steps, moves


def follow(direct, history, made, actions):
    """Moves `direct` on: the joint `actions` (None at the start), then what chance drew in `history`."""
    if actions is not None:
        assert history[made : made + len(actions)] == actions.tolist()
        direct.apply_actions(actions.tolist())
        made += len(actions)
    while direct.is_chance_node():
        assert dict(direct.chance_outcomes())[history[made]] > 0
        direct.apply_action(history[made])
        made += 1
    assert made == len(history)
    return made


@pytest.mark.parametrize("spec", PLAYED)
def test_play_is_openspiels_own(spec):
    game, spiel = both(spec)
    seats, count = spiel.num_players(), spiel.num_distinct_actions()
    assert (game.num_players, game.num_actions, len(game.action_names)) == (
        seats,
        count,
        count,
    )
    first, *rest = spiel.observation_tensor_shape()
    assert game.obs_shape == (first + seats * game.show_seat, *rest)
    assert not game.binary[:first].any() and game.binary[first:].all()
    for seed in range(3):
        states, steps, moves = play(game, seed)
        direct, made, paid = spiel.new_initial_state(), 0, np.zeros(seats)
        for state, seen, actions in zip(
            states, steps, [None, *moves], strict=True
        ):
            made = follow(direct, state.spiel.history(), made, actions)
            paid += seen.reward
            np.testing.assert_allclose(paid, direct.returns(), atol=1e-4)
            for seat in range(seats):
                tensor = np.float32(direct.observation_tensor(seat))
                np.testing.assert_array_equal(
                    seen.obs[seat][:first].ravel(), tensor
                )
                expected = direct.legal_actions(seat) or [0]
                assert np.flatnonzero(seen.legal[seat]).tolist() == expected
            assert seen.terminated.tolist() == [direct.is_terminal()] * seats
            assert (
                not seen.truncated and seen.present.all()
            )  # its own end comes by max_steps
            assert str(direct) == game.render(state)
        assert direct.is_terminal() and len(moves) <= game.max_steps


def test_arrays_are_of_the_types_of_a_time_step():
    for spec, shape in (
        ("goofspiel(num_cards=4)", (38,)),
        ("markov_soccer", (6 + 2, 4, 5)),
    ):
        _, steps, _ = play(make_game(f"openspiel:{spec}"), seed=0)
        for seen in (steps[0], steps[-1]):
            assert seen.obs.dtype == np.float32 and seen.obs.shape == (
                2,
                *shape,
            )
            assert seen.reward.dtype == np.float32 and seen.reward.shape == (2,)
            assert (
                seen.legal.dtype
                == seen.terminated.dtype
                == seen.truncated.dtype
                == seen.present.dtype
                == bool
            )
            assert seen.truncated.shape == () and seen.legal.any(1).all()


@pytest.mark.parametrize(
    "actions, paid",
    [((0, 0), (5, 5)), ((0, 1), (0, 10)), ((1, 0), (10, 0)), ((1, 1), (1, 1))],
)
def test_prisoners_dilemma_pays_its_table(actions, paid):
    game = make_game("openspiel:matrix_pd")
    assert game.action_names == ("Cooperate", "Defect")
    _, seen = game.step(game.reset(key(0))[0], np.array(actions), key(1))
    assert seen.reward.tolist() == list(paid) and seen.terminated.all()


@pytest.mark.parametrize(
    "returns, paid", [("total_points", (7, 3)), ("win_loss", (1, -1))]
)
def test_goofspiel_by_hand(returns, paid):
    """Point cards 4, 3, 2, 1; bids 4, 3, 2, 1 against 1, 2, 3, 4: the first takes 4 + 3, the second 2 + 1."""
    game = make_game(
        "openspiel:goofspiel(num_cards=4, points_order=descending)",
        returns_type=returns,
    )
    assert game.action_names == ("Bid: 1", "Bid: 2", "Bid: 3", "Bid: 4")
    state, seen = game.reset(key(0))
    total = seen.reward.copy()
    for actions in ((3, 0), (2, 1), (1, 2)):  # the last cards play themselves
        state, seen = game.step(state, np.array(actions), key(0))
        total += seen.reward
    assert seen.terminated.all() and total.tolist() == list(paid)


def test_chance_follows_the_key_and_its_probabilities():
    game = make_game("openspiel:goofspiel(num_cards=4)")
    first = [
        game.reset(k)[0].spiel.history()[0]
        for k in jax.random.split(key(3), 400)
    ]
    assert all(
        60 <= count <= 140 for count in np.bincount(first, minlength=4)
    )  # 100 expected, 8.7 a deviation
    state, _ = game.reset(key(1))
    again, _ = game.reset(key(1))
    assert state.spiel.history() == again.spiel.history()
    moves = np.array([2, 0])
    after = {
        tuple(game.step(state, moves, k)[0].spiel.history())
        for k in jax.random.split(key(4), 60)
    }
    assert len(after) == 3  # any of the three cards left
    one, seen = game.step(state, moves, key(9))
    two, same = game.step(again, moves, key(9))
    assert one.spiel.history() == two.spiel.history()
    jax.tree.map(np.testing.assert_array_equal, seen, same)


def test_chance_draws_unequal_odds():
    """Laser tag's and soccer's coins are even; a Python game shows that odds of 1 to 9 are kept."""
    game = make_game("openspiel:bestreply_test_mixed")
    rare = np.mean(
        [
            game.reset(k)[0].spiel.history()[0] == 0
            for k in jax.random.split(key(0), 500)
        ]
    )
    assert 0.05 < rare < 0.16  # 0.1 expected, 0.0134 a deviation


def test_a_step_leaves_its_state_alone():
    game = make_game("openspiel:markov_soccer")
    state, seen = game.reset(key(0))
    before = game.render(state)
    game.step(state, np.array([0, 1]), key(1))
    seen.legal[:] = False  # what the caller does with what it was given
    seen.obs[:] = 7
    moved, other = game.step(state, np.array([2, 3]), key(1))
    assert game.render(state) == before and state.time == 0 and moved.time == 1
    assert other.legal.all() and other.obs.max() == 1


@pytest.mark.parametrize("limit", [None, 2])
def test_a_finished_game_steps_to_itself(limit):
    settings = {} if limit is None else {"max_steps": limit}
    game = make_game("openspiel:goofspiel(num_cards=4)", **settings)
    states, steps, moves = play(game, seed=1)
    over, last = game.step(
        states[-1], np.array([-1, 99]), key(5)
    )  # nobody moves any more
    assert over is states[-1] and not last.reward.any()
    np.testing.assert_array_equal(last.obs, steps[-1].obs)
    np.testing.assert_array_equal(last.legal, steps[-1].legal)
    assert last.truncated == (limit is not None) and last.terminated.all() == (
        limit is None
    )
    assert len(moves) == (3 if limit is None else 2)
    if (
        limit is not None
    ):  # there is a next value, so what would be legal is shown
        assert last.legal.sum(1).tolist() == [2, 2]


def test_a_games_own_horizon_terminates():
    game = make_game("openspiel:coop_box_pushing(horizon=4)")
    assert game.max_steps == 4
    _, steps, moves = play(game, seed=0)
    assert (
        len(moves) == 4
        and steps[-1].terminated.all()
        and not steps[-1].truncated
    )


def test_illegal_actions_are_refused():
    game = make_game("openspiel:goofspiel(num_cards=4)")
    state, _ = game.step(game.reset(key(0))[0], np.array([2, 0]), key(1))
    with pytest.raises(
        ValueError,
        match=r"action 2 of seat 0 is illegal here; legal: \[0, 1, 3\]",
    ):
        game.step(state, np.array([2, 1]), key(2))
    for wrong in ([1, -1], [1, 4]):
        with pytest.raises(ValueError, match="of seat 1 is illegal"):
            game.step(state, np.array(wrong), key(2))
    for wrong in (np.array([1]), np.array([1.0, 1.0]), np.array([[1, 1]])):
        with pytest.raises(ValueError, match=r"expected: whole numbers \(2,\)"):
            game.step(state, wrong, key(2))


# -- who looks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec, shown",
    [
        ("markov_soccer", True),
        ("oshi_zumo", True),
        (
            "matrix_bos",
            True,
        ),  # the row player likes Bach, the column player Stravinsky: they have to know
        (
            "goofspiel",
            False,
        ),  # OpenSpiel's tensor has the own hand and points first
        ("coop_box_pushing", False),  # an agent sees what is before it
    ],
)
def test_seats_that_see_the_same_are_told_who_they_are(spec, shown):
    game = make_game(f"openspiel:{spec}")
    assert game.show_seat == shown
    seen, raw, marked = (
        make_game(f"openspiel:{spec}", **settings).reset(key(0))[1].obs
        for settings in ({}, {"show_seat": False}, {"show_seat": True})
    )
    np.testing.assert_array_equal(seen, marked if shown else raw)
    np.testing.assert_array_equal(marked[:, : raw.shape[1]], raw)
    for seat in range(2):
        assert (marked[seat, raw.shape[1] + seat] == 1).all()
        assert (marked[seat, raw.shape[1] + 1 - seat] == 0).all()


@pytest.mark.parametrize(
    "spec",
    ["snake(players=4)", "blotto(players=3)", "markov_soccer(show_seat=False)"],
)
def test_where_all_see_the_same_one_seat_can_take_anothers_place(spec):
    game = make_game(f"openspiel:{spec}")
    _, steps, _ = play(game, seed=2)
    obs, seats = steps[-1].obs, game.num_players
    for me in range(seats):
        order = [me, *(seat for seat in range(seats) if seat != me)]
        for other, seat in enumerate(order):
            np.testing.assert_array_equal(
                game.perspective(obs[me], other), obs[seat]
            )
            np.testing.assert_array_equal(
                jax.jit(game.perspective)(obs[me], other), obs[seat]
            )
    batch = game.perspective(np.stack([obs, obs]), np.array(1))  # leading axes
    np.testing.assert_array_equal(
        batch, np.stack([obs[[1, *[0] * (seats - 1)]]] * 2)
    )
    assert (
        game.present_in(obs).shape == (seats, seats)
        and game.present_in(obs).all()
    )
    assert (
        make_game("openspiel:goofspiel").perspective(np.zeros(236), 1) is None
    )


@pytest.mark.parametrize("spec", PLAYED)
def test_promises_of_a_game_are_kept(spec):
    check_game(both(spec)[0], episodes=3)


# -- settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", PLAYED)
def test_name_and_settings_make_the_game_again(spec):
    game, spiel = both(spec)
    again = make_game(game.name, **game.settings)
    assert game == again and hash(game) == hash(again)
    assert again.spiel.game.get_parameters() == spiel.get_parameters()
    assert (
        pickle.loads(pickle.dumps(game)) == game
    )  # other processes can be sent it


def test_settings_are_complete_and_tell_games_apart():
    game = make_game("openspiel:goofspiel(num_cards=4)")
    assert game.settings == {
        "egocentric": False,
        "imp_info": False,
        "num_cards": 4,
        "num_turns": -1,
        "players": 2,
        "points_order": "random",
        "returns_type": "win_loss",
        "max_steps": 4,
        "show_seat": False,
    }
    assert game == make_game(
        "openspiel:goofspiel", num_cards=np.int64(4), imp_info=False
    )
    assert game != make_game("openspiel:goofspiel(num_cards=4, max_steps=2)")
    assert game != make_game("openspiel:goofspiel(num_cards=5)")
    assert game != make_game("openspiel:goofspiel(num_cards=4, show_seat=True)")


def test_grids_and_games_travel_as_strings():
    grid = "A..*b\n.....\n*a..B\n"
    game = make_game(
        "openspiel:pathfinding", players=2, grid=grid, step_reward=-1
    )
    assert (
        game.settings["grid"] == grid and game.settings["step_reward"] == -1.0
    )
    assert game.obs_shape == (8, 3, 5)
    written = [
        make_game(f"openspiel:repeated_game(stage_game={g},num_repetitions=3)")
        for g in ("matrix_pd", "'matrix_pd()'")
    ]
    assert (
        written[0] == written[1]
        and written[0].settings["stage_game"] == "matrix_pd()"
    )
    _, steps, _ = play(written[0], seed=0)
    assert len(steps) == 4


def test_tables_from_files(tmp_path):
    """A normal form of Gambit, 2 x 3: the row player never has the third action."""
    path = tmp_path / "game.nfg"
    path.write_text(
        'NFG 1 R "two by three" { "row" "column" } { 2 3 }\n\n1 -1 2 -2 3 -3 4 -4 5 -5 6 -6\n'
    )
    game = make_game("openspiel:nfg_game", filename=str(path))
    state, seen = game.reset(key(0))
    assert seen.legal.tolist() == [[True, True, False], [True, True, True]]
    _, seen = game.step(state, np.array([1, 2]), key(0))
    assert seen.reward.tolist() == [6, -6]  # Gambit counts the row fastest
    assert game.action_names == ("0", "1", "2")


@pytest.mark.parametrize(
    "spec, said",
    [
        (
            "chequers",
            r"no game 'chequers'; simultaneous-move games: .*goofspiel.*markov_soccer",
        ),
        (
            "kuhn_poker",
            r"kuhn_poker is a turn-taking game; expected: .*same time: .*goofspiel",
        ),
        (
            "turn_based_simultaneous_game(game=goofspiel())",
            "is a turn-taking game",
        ),
        ("mfg_garnet", "is a mean-field game"),
        (
            "goofspiel(cards=4)",
            r"has no parameter cards; it has: .*num_cards=13.*max_steps",
        ),
        (
            "goofspiel(num_cards=4.0)",
            r"num_cards=4.0; expected: a value of type int, such as 13",
        ),
        (
            "goofspiel(num_cards=True)",
            r"num_cards=True; expected: a value of type int",
        ),
        (
            "goofspiel(imp_info=1)",
            r"imp_info=1; expected: a value of type bool",
        ),
        (
            "goofspiel(points_order=upwards)",
            r"with points_order='upwards': Unrecognized points_order",
        ),
        (
            "goofspiel(players=11)",
            r"has 11 player\(s\) with these parameters; expected: 2 to 10",
        ),
        (
            "pathfinding",
            r"has 1 player\(s\) with these parameters; expected: 2 to 10",
        ),
        (
            "repeated_game(num_repetitions=2)",
            r"Missing parameter stage_game.*a game, such as 'matrix_pd\(\)'",
        ),
        (
            "repeated_game(stage_game=3,num_repetitions=2)",
            r"stage_game=3; expected: a game as OpenSpiel writes it",
        ),
        (
            "repeated_game(stage_game=chess2,num_repetitions=2)",
            r"no game 'chess2'",
        ),
        ("nfg_game", r"cannot load nfg_game with no parameters"),
        (
            "goofspiel(max_steps=0)",
            r"max_steps=0; expected: a whole number, 1 or more",
        ),
        (
            "goofspiel(max_steps=True)",
            r"max_steps=True; expected: a whole number",
        ),
    ],
)
def test_what_cannot_be_played_is_refused(spec, said):
    with pytest.raises(ValueError, match=said):
        make_game(f"openspiel:{spec}")


def test_without_openspiel_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspiel", None)
    with pytest.raises(
        ImportError, match=r'pip install "bestreply\[openspiel\]"'
    ):
        make_game("openspiel:goofspiel")


# -- turns mixed with simultaneous moves ---------------------------------------------------------------------

MIXED = pyspiel.GameType(
    short_name="bestreply_test_mixed",
    long_name="a toss, a turn of seat 1, a joint move in which seat 0 may have no choice",
    dynamics=pyspiel.GameType.Dynamics.SIMULTANEOUS,
    chance_mode=pyspiel.GameType.ChanceMode.EXPLICIT_STOCHASTIC,
    information=pyspiel.GameType.Information.PERFECT_INFORMATION,
    utility=pyspiel.GameType.Utility.GENERAL_SUM,
    reward_model=pyspiel.GameType.RewardModel.TERMINAL,
    max_num_players=2,
    min_num_players=2,
    provides_information_state_string=False,
    provides_information_state_tensor=True,
    provides_observation_string=False,
    provides_observation_tensor=False,
    parameter_specification={},
)


class Mixed(pyspiel.Game):
    def __init__(self, params=None):
        super().__init__(
            MIXED,
            pyspiel.GameInfo(
                num_distinct_actions=3,
                max_chance_outcomes=2,
                num_players=2,
                min_utility=0.0,
                max_utility=100.0,
                utility_sum=None,
                max_game_length=2,
            ),
            params or {},
        )

    def new_initial_state(self):
        return MixedState(self)

    def make_py_observer(self, kind=None, params=None):
        return Watcher()


class MixedState(pyspiel.State):
    """Seat 0 is paid 10 x seat 1's turn + its own move; seat 1 the other way round."""

    def __init__(self, game):
        super().__init__(game)
        self.made = []

    def current_player(self):
        nodes = [
            pyspiel.PlayerId.CHANCE,
            1,
            pyspiel.PlayerId.SIMULTANEOUS,
            pyspiel.PlayerId.TERMINAL,
        ]
        return nodes[min(len(self.made), 3)]

    def _legal_actions(self, player):
        if len(self.made) == 1:
            return [1, 2]
        return [] if player == 0 else [0, 1, 2]

    def chance_outcomes(self):
        return [(0, 0.1), (1, 0.9)]

    def _apply_action(self, action):
        self.made.append(action)

    def _apply_actions(self, actions):
        self.made += actions

    def _action_to_string(self, player, action):
        return str(action)

    def is_terminal(self):
        return len(self.made) > 2

    def returns(self):
        return (
            [10.0 * self.made[1] + self.made[2], 10.0 * self.made[3]]
            if self.is_terminal()
            else [0.0, 0.0]
        )

    def __str__(self):
        return str(self.made)


class Watcher:
    """What was done so far, and who looks."""

    def __init__(self):
        self.tensor = np.zeros(3, np.float32)
        self.dict = {"made": self.tensor}

    def set_from(self, state, player):
        self.tensor[:] = [len(state.made), sum(state.made), player]

    def string_from(self, state, player):
        return f"{player}: {state.made}"


pyspiel.register_game(MIXED, Mixed)


def test_turns_and_seats_without_a_choice():
    game = make_game("openspiel:bestreply_test_mixed")
    state, seen = game.reset(key(0))
    assert (
        seen.legal.tolist() == [[True, False, False], [False, True, True]]
        and seen.present.all()
    )
    tossed = state.spiel.history()[0]
    state, seen = game.step(state, np.array([0, 2]), key(1))
    assert (
        seen.obs.tolist() == [[2, 2 + tossed, 0], [2, 2 + tossed, 1]]
        and not seen.reward.any()
    )
    assert seen.legal.tolist() == [[True, False, False], [True, True, True]]
    _, seen = game.step(state, np.array([0, 1]), key(2))
    assert seen.reward.tolist() == [20, 10] and seen.terminated.all()
    assert seen.legal.tolist() == [[True, False, False]] * 2
