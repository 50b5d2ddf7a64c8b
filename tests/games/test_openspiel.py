"""The adapter beside OpenSpiel itself, which makes the same moves."""

import pickle
import sys

import jax
import numpy as np
import pytest

from bestreply.games import make_game
from bestreply.games.check import check_game
from tests.shared import compiled

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
    """The game through the adapter and OpenSpiel's own.

    `spec` is OpenSpiel's string or (name, settings).
    """
    if isinstance(spec, str):
        return make_game(f"openspiel:{spec}"), pyspiel.load_game(spec)
    name, settings = spec
    game = make_game(f"openspiel:{name}", **settings)
    return game, pyspiel.load_game(name, settings)


def random_actions(legal, rng):
    return np.array(
        [rng.choice(np.flatnonzero(row)) for row in legal], np.int32
    )


def play(game, seed):
    """States, time steps and actions of one episode of random play."""
    rng = np.random.default_rng(seed)
    keys = iter(jax.random.split(key(seed), game.max_steps + 1))
    state, shown = game.reset(next(keys))
    states, steps, moves = [state], [shown], []
    while not (shown.truncated or shown.terminated.all()):
        moves.append(random_actions(shown.legal, rng))
        state, shown = game.step(state, moves[-1], next(keys))
        states.append(state)
        steps.append(shown)
    return states, steps, moves


def follow(direct, history, length, actions):
    """Apply joint `actions` (None at the start), then the chance moves of `history`.

    Returns the length of the history applied.
    """
    if actions is not None:
        assert history[length : length + len(actions)] == actions.tolist()
        direct.apply_actions(actions.tolist())
        length += len(actions)
    while direct.is_chance_node():
        assert dict(direct.chance_outcomes())[history[length]] > 0
        direct.apply_action(history[length])
        length += 1
    assert length == len(history)
    return length


@pytest.mark.parametrize("spec", PLAYED)
def test_play_equals_openspiels_own(spec):
    game, spiel = both(spec)
    seats, count = spiel.num_players(), spiel.num_distinct_actions()
    assert game.num_players == seats
    assert game.num_actions == len(game.action_names) == count
    first, *rest = spiel.observation_tensor_shape()
    assert game.obs_shape == (first + seats * game.show_seat, *rest)
    assert not game.binary[:first].any() and game.binary[first:].all()
    for seed in range(3):
        states, steps, moves = play(game, seed)
        direct, length = spiel.new_initial_state(), 0
        returns = np.zeros(seats)
        rows = zip(states, steps, [None, *moves], strict=True)
        for state, shown, actions in rows:
            history = state.spiel.history()
            length = follow(direct, history, length, actions)
            returns += shown.reward
            np.testing.assert_allclose(returns, direct.returns(), atol=1e-4)
            assert_equal_views(shown, direct, first)
            assert str(direct) == game.render(state)
        assert direct.is_terminal() and len(moves) <= game.max_steps


def assert_equal_views(shown, direct, first):
    """Observations (their first planes), legal actions and flags are OpenSpiel's."""
    seats = len(shown.present)
    for seat in range(seats):
        tensor = np.float32(direct.observation_tensor(seat))
        np.testing.assert_array_equal(shown.obs[seat][:first].ravel(), tensor)
        legal = direct.legal_actions(seat) or [0]
        assert np.flatnonzero(shown.legal[seat]).tolist() == legal
    assert shown.terminated.tolist() == [direct.is_terminal()] * seats
    assert not shown.truncated  # the game ends itself within max_steps
    assert shown.present.all()


@pytest.mark.parametrize(
    "spec, shape",
    [("goofspiel(num_cards=4)", (38,)), ("markov_soccer", (6 + 2, 4, 5))],
)
def test_arrays_have_the_types_of_a_time_step(spec, shape):
    _, steps, _ = play(make_game(f"openspiel:{spec}"), seed=0)
    for shown in (steps[0], steps[-1]):
        assert shown.obs.dtype == shown.reward.dtype == np.float32
        assert shown.obs.shape == (2, *shape) and shown.reward.shape == (2,)
        for name in ("legal", "terminated", "truncated", "present"):
            assert getattr(shown, name).dtype == bool
        assert shown.truncated.shape == () and shown.legal.any(1).all()


@pytest.mark.parametrize(
    "actions, rewards",
    [((0, 0), (5, 5)), ((0, 1), (0, 10)), ((1, 0), (10, 0)), ((1, 1), (1, 1))],
)
def test_prisoners_dilemma_pays_its_table(actions, rewards):
    game = make_game("openspiel:matrix_pd")
    assert game.action_names == ("Cooperate", "Defect")
    _, shown = game.step(game.reset(key(0))[0], np.array(actions), key(1))
    assert shown.reward.tolist() == list(rewards) and shown.terminated.all()


@pytest.mark.parametrize(
    "returns, total", [("total_points", (7, 3)), ("win_loss", (1, -1))]
)
def test_goofspiel_by_hand(returns, total):
    """Point cards 4, 3, 2, 1; bids 4, 3, 2, 1 against 1, 2, 3, 4: the first takes 4 + 3, the second 2 + 1."""
    game = make_game(
        "openspiel:goofspiel(num_cards=4, points_order=descending)",
        returns_type=returns,
    )
    assert game.action_names == ("Bid: 1", "Bid: 2", "Bid: 3", "Bid: 4")
    state, shown = game.reset(key(0))
    sums = shown.reward.copy()
    for actions in ((3, 0), (2, 1), (1, 2)):  # the last cards play themselves
        state, shown = game.step(state, np.array(actions), key(0))
        sums += shown.reward
    assert shown.terminated.all() and sums.tolist() == list(total)


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
    one, shown = game.step(state, moves, key(9))
    two, same = game.step(again, moves, key(9))
    assert one.spiel.history() == two.spiel.history()
    jax.tree.map(np.testing.assert_array_equal, shown, same)


def test_chance_draws_unequal_odds():
    """Odds of 1 to 9, in a game written in Python."""
    game = make_game("openspiel:bestreply_test_mixed")
    rare = np.mean(
        [
            game.reset(k)[0].spiel.history()[0] == 0
            for k in jax.random.split(key(0), 500)
        ]
    )
    assert 0.05 < rare < 0.16  # 0.1 expected, 0.0134 a deviation


def test_a_step_does_not_change_its_state():
    game = make_game("openspiel:markov_soccer")
    state, shown = game.reset(key(0))
    before = game.render(state)
    game.step(state, np.array([0, 1]), key(1))
    shown.legal[:] = False  # a caller may change its arrays
    shown.obs[:] = 7
    moved, other = game.step(state, np.array([2, 3]), key(1))
    assert game.render(state) == before and state.time == 0 and moved.time == 1
    assert other.legal.all() and other.obs.max() == 1


@pytest.mark.parametrize("limit", [None, 2])
def test_a_finished_game_steps_to_itself(limit):
    settings = {} if limit is None else {"max_steps": limit}
    game = make_game("openspiel:goofspiel(num_cards=4)", **settings)
    states, steps, moves = play(game, seed=1)
    # any actions: no player moves after the end
    over, last = game.step(states[-1], np.array([-1, 99]), key(5))
    assert over is states[-1] and not last.reward.any()
    np.testing.assert_array_equal(last.obs, steps[-1].obs)
    np.testing.assert_array_equal(last.legal, steps[-1].legal)
    assert last.truncated == (limit is not None) and last.terminated.all() == (
        limit is None
    )
    assert len(moves) == (3 if limit is None else 2)
    if (
        limit is not None
    ):  # truncated: there is a next value, with legal actions
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
        match=r"action=2: expected a legal action of seat 0: \[0, 1, 3\]",
    ):
        game.step(state, np.array([2, 1]), key(2))
    for wrong in ([1, -1], [1, 4]):
        with pytest.raises(
            ValueError, match="expected a legal action of seat 1"
        ):
            game.step(state, np.array(wrong), key(2))
    for wrong in (np.array([1]), np.array([1.0, 1.0]), np.array([[1, 1]])):
        with pytest.raises(ValueError, match=r"expected ints \(2,\)"):
            game.step(state, wrong, key(2))


# -- perspective -------------------------------------------------------------


@pytest.mark.parametrize(
    "spec, marks",
    [
        ("markov_soccer", True),
        ("oshi_zumo", True),
        # the players of "Bach or Stravinsky" have different payoffs
        ("matrix_bos", True),
        # the tensor has the own hand and points first
        ("goofspiel", False),
        # an agent sees what is before it
        ("coop_box_pushing", False),
    ],
)
def test_seats_with_the_same_observation_are_marked(spec, marks):
    game = make_game(f"openspiel:{spec}")
    assert game.show_seat == marks
    default, raw, marked = (
        make_game(f"openspiel:{spec}", **settings).reset(key(0))[1].obs
        for settings in ({}, {"show_seat": False}, {"show_seat": True})
    )
    np.testing.assert_array_equal(default, marked if marks else raw)
    np.testing.assert_array_equal(marked[:, : raw.shape[1]], raw)
    for seat in range(2):
        assert (marked[seat, raw.shape[1] + seat] == 1).all()
        assert (marked[seat, raw.shape[1] + 1 - seat] == 0).all()


@pytest.mark.parametrize(
    "spec",
    ["snake(players=4)", "blotto(players=3)", "markov_soccer(show_seat=False)"],
)
def test_perspective_marks_another_seat(spec):
    game = make_game(f"openspiel:{spec}")
    _, steps, _ = play(game, seed=2)
    obs, seats = steps[-1].obs, game.num_players
    perspective = compiled(game.perspective)
    for viewer in range(seats):
        order = [viewer, *(seat for seat in range(seats) if seat != viewer)]
        for index, seat in enumerate(order):
            view = perspective(obs[viewer], np.array(index))
            np.testing.assert_array_equal(view, obs[seat])
    batch = perspective(np.stack([obs, obs]), np.array(1))  # leading axes
    expected = obs[[1, *[0] * (seats - 1)]]
    np.testing.assert_array_equal(batch, np.stack([expected] * 2))
    present = np.asarray(game.present_in(obs))
    assert present.shape == (seats, seats) and present.all()


def test_no_perspective_if_observations_differ():
    game = make_game("openspiel:goofspiel")
    assert game.perspective(np.zeros(236), 1) is None


@pytest.mark.parametrize("spec", PLAYED)
def test_the_contract_of_a_game_is_kept(spec):
    check_game(both(spec)[0], episodes=2)


# -- settings ----------------------------------------------------------------


@pytest.mark.parametrize("spec", PLAYED)
def test_name_and_settings_make_the_game_again(spec):
    game, spiel = both(spec)
    again = make_game(game.name, **game.settings)
    assert game == again and hash(game) == hash(again)
    assert again.spiel.game.get_parameters() == spiel.get_parameters()
    # it can be sent to other processes
    assert pickle.loads(pickle.dumps(game)) == game


def test_settings_are_complete_and_distinguish_games():
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


def test_grids_and_games_are_settings_as_strings():
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
    """A normal form of Gambit, 2 x 3: the third action is illegal for the row player."""
    path = tmp_path / "game.nfg"
    path.write_text(
        'NFG 1 R "two by three" { "row" "column" } { 2 3 }\n\n1 -1 2 -2 3 -3 4 -4 5 -5 6 -6\n'
    )
    game = make_game("openspiel:nfg_game", filename=str(path))
    state, shown = game.reset(key(0))
    assert shown.legal.tolist() == [[True, True, False], [True, True, True]]
    _, shown = game.step(state, np.array([1, 2]), key(0))
    assert shown.reward.tolist() == [6, -6]  # Gambit counts the row fastest
    assert game.action_names == ("0", "1", "2")


@pytest.mark.parametrize(
    "spec, message",
    [
        (
            "chekers",
            r"game='chekers': expected a game of OpenSpiel, .*; did you mean 'checkers'",
        ),
        ("mfg_garnet", "is a mean-field game"),
        ("efg_game", "cannot load efg_game with no parameters"),
        (
            "goofspiel(cards=4)",
            r"cards=4: expected a parameter .*num_cards=13.*max_steps",
        ),
        (
            "goofspiel(num_cards=4.0)",
            r"num_cards=4.0: expected a value of type int, such as 13",
        ),
        (
            "goofspiel(num_cards=True)",
            r"num_cards=True: expected a value of type int",
        ),
        (
            "goofspiel(imp_info=1)",
            r"imp_info=1: expected a value of type bool",
        ),
        (
            "goofspiel(points_order=upwards)",
            r"with points_order='upwards': Unrecognized points_order",
        ),
        (
            "goofspiel(players=11)",
            r"has 11 player\(s\) with these parameters: expected 1 to 10",
        ),
        (
            "repeated_game(num_repetitions=2)",
            r"Missing parameter stage_game.*a game, such as 'matrix_pd\(\)'",
        ),
        (
            "repeated_game(stage_game=3,num_repetitions=2)",
            r"stage_game=3: expected a game as OpenSpiel writes it",
        ),
        (
            "repeated_game(stage_game=chess2,num_repetitions=2)",
            r"game='chess2': expected",
        ),
        ("nfg_game", r"cannot load nfg_game with no parameters"),
        (
            "goofspiel(max_steps=0)",
            r"max_steps=0: expected an int, 1 or more",
        ),
        (
            "goofspiel(max_steps=True)",
            r"max_steps=True: expected an int",
        ),
    ],
)
def test_invalid_games_are_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        make_game(f"openspiel:{spec}")


def test_without_openspiel_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspiel", None)
    with pytest.raises(
        ImportError, match=r'pip install "bestreply\[openspiel\]"'
    ):
        make_game("openspiel:goofspiel")


# -- turns -------------------------------------------------------------------

TURNS = [
    ("kuhn_poker", (11,), ("Pass", "Bet", "wait")),
    ("leduc_poker", (30,), ("Fold", "Call", "Raise", "wait")),
    ("tic_tac_toe", (3 + 2, 3, 3), (*"012345678", "wait")),
    ("catch(rows=4,columns=3)", (4, 3), ("LEFT", "STAY", "RIGHT")),
    ("turn_based_simultaneous_game(game=goofspiel(num_cards=3))", None, None),
]


@pytest.mark.parametrize("spec, shape, names", TURNS)
def test_turns_equal_openspiels_own(spec, shape, names):
    game = make_game(f"openspiel:{spec}")
    spiel = game.spiel.game
    count, seats = spiel.num_distinct_actions(), spiel.num_players()
    assert shape is None or (game.obs_shape, game.action_names) == (
        shape,
        names,
    )
    tensor = "observation_tensor"
    if spiel.get_type().provides_information_state_tensor:
        tensor = "information_state_tensor"
    for seed in range(3):
        states, steps, moves = play(game, seed)
        returns = np.zeros(seats)
        for state, shown, actions in zip(
            states, steps, [*moves, None], strict=True
        ):
            node, turn = state.spiel, state.spiel.current_player()
            returns += shown.reward
            np.testing.assert_allclose(returns, node.returns(), atol=1e-5)
            for seat in range(seats):
                own = np.float32(getattr(node, tensor)(seat))
                np.testing.assert_array_equal(
                    shown.obs[seat].ravel()[: own.size], own
                )
                legal = np.flatnonzero(shown.legal[seat]).tolist()
                waits = [count] if seats > 1 else [0]
                moving = turn == seat
                assert legal == (node.legal_actions() if moving else waits)
            if actions is not None:  # one move of OpenSpiel a step
                made = node.clone()
                made.apply_action(int(actions[turn]))
                history = made.history()
                later = states[state.time + 1].spiel.history()
                assert later[: len(history)] == history
        assert states[-1].spiel.is_terminal() and steps[-1].terminated.all()
    check_game(game, episodes=1)


def test_kuhn_poker_by_hand():
    """Seat 0 passes, seat 1 bets, seat 0 folds: it pays its ante of 1."""
    game = make_game("openspiel:kuhn_poker")
    assert not game.perfect_information
    assert make_game("openspiel:tic_tac_toe").perfect_information
    first = game.first_states()
    assert first.probability.tolist() == pytest.approx([1 / 6] * 6)
    state, shown = game.reset(key(0))
    assert shown.legal.tolist() == [[True, True, False], [False, False, True]]
    state, shown = game.step(state, np.array([0, 2]), key(1))
    assert shown.legal.tolist() == [[False, False, True], [True, True, False]]
    state, shown = game.step(state, np.array([2, 1]), key(2))
    assert not shown.reward.any() and not shown.terminated.any()
    with pytest.raises(ValueError, match="legal action of seat 0"):
        game.step(state, np.array([2, 2]), key(3))
    state, shown = game.step(state, np.array([0, 2]), key(3))
    assert shown.reward.tolist() == [-1, 1] and shown.terminated.all()


# -- turns mixed with simultaneous moves -------------------------------------

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
    """Seat 0 earns 10 x seat 1's turn + its own move; seat 1 earns 10 x its move."""

    def __init__(self, game):
        super().__init__(game)
        self.actions = []

    def current_player(self):
        nodes = [
            pyspiel.PlayerId.CHANCE,
            1,
            pyspiel.PlayerId.SIMULTANEOUS,
            pyspiel.PlayerId.TERMINAL,
        ]
        return nodes[min(len(self.actions), 3)]

    def _legal_actions(self, player):
        if len(self.actions) == 1:
            return [1, 2]
        return [] if player == 0 else [0, 1, 2]

    def chance_outcomes(self):
        return [(0, 0.1), (1, 0.9)]

    def _apply_action(self, action):
        self.actions.append(action)

    def _apply_actions(self, actions):
        self.actions += actions

    def _action_to_string(self, player, action):
        return str(action)

    def is_terminal(self):
        return len(self.actions) > 2

    def returns(self):
        return (
            [10.0 * self.actions[1] + self.actions[2], 10.0 * self.actions[3]]
            if self.is_terminal()
            else [0.0, 0.0]
        )

    def __str__(self):
        return str(self.actions)


class Watcher:
    """The actions so far and the observing seat."""

    def __init__(self):
        self.tensor = np.zeros(3, np.float32)
        self.dict = {"actions": self.tensor}

    def set_from(self, state, player):
        self.tensor[:] = [len(state.actions), sum(state.actions), player]

    def string_from(self, state, player):
        return f"{player}: {state.actions}"


pyspiel.register_game(MIXED, Mixed)


def test_turns_and_seats_without_a_choice():
    game = make_game("openspiel:bestreply_test_mixed")
    state, shown = game.reset(key(0))
    assert (
        shown.legal.tolist() == [[True, False, False], [False, True, True]]
        and shown.present.all()
    )
    tossed = state.spiel.history()[0]
    state, shown = game.step(state, np.array([0, 2]), key(1))
    assert (
        shown.obs.tolist() == [[2, 2 + tossed, 0], [2, 2 + tossed, 1]]
        and not shown.reward.any()
    )
    assert shown.legal.tolist() == [[True, False, False], [True, True, True]]
    _, shown = game.step(state, np.array([0, 1]), key(2))
    assert shown.reward.tolist() == [20, 10] and shown.terminated.all()
    assert shown.legal.tolist() == [[True, False, False]] * 2
