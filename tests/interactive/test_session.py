"""A person at a seat: what it may do, whom it meets, and that what is written is a dataset like any other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game, open_store, validate
from bestreply.config import ModelConfig, PlannerConfig
from bestreply.interactive.play import open_session
from bestreply.interactive.server import render
from bestreply.interactive.session import Session
from bestreply.interactive.state import show
from bestreply.models.world_model import WorldModel
from bestreply.opponents.learned import LearnedOpponents
from bestreply.planning.agent import Agent
from bestreply.replay.moa_buffer import fill
from bestreply.report.texts import load_texts
from bestreply.types import ABSENT

PD = make_game("matrix(table=prisoners_dilemma, rounds=3)")
ALONE = "stag_hunt(height=2, width=2, hunters=1, stags=0, hares=1, max_steps=2)"
HUNT = make_game(
    "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=4)"
)
EN = load_texts("en")
GOALS = ("nice", "nasty")


def agent(game):
    config = ModelConfig(latent=4, width=8, depth=1)
    world = WorldModel(game, config, goals=2, heads=1, key=jax.random.key(0))
    others = LearnedOpponents.create(game, config, 2, key=jax.random.key(1))
    return Agent(world, others, game, PlannerConfig(), 0.9)


def finish(session, action=None):
    while not session.over:
        session.act(session.legal.index(True) if action is None else action)


def test_the_person_plays_its_seat_and_the_others_do_not_see_its_move_before(
    tmp_path,
):
    """Tit for tat answers one step later, whatever the person does now."""
    session = Session(PD, ["tit_for_tat"], 1, 0, tmp_path / "d")
    for action in (1, 0, 1):
        session.act(action)
    did = np.array([log.action[0] for log in session.logs])
    assert did.tolist() == [[0, 1], [1, 0], [0, 1]] and session.over
    assert session.rewards[:, 1].tolist() == [5, 0, 5]
    assert session.names == ["tit_for_tat", "person"]


def test_games_that_ended_are_a_dataset_and_unfinished_ones_are_not(tmp_path):
    session = Session(PD, ["tit_for_tat"], 0, 0, tmp_path / "d", command="play")
    session.act(0)
    assert not (tmp_path / "d").exists(), (
        "nothing is written before a game has ended"
    )
    session.begin()
    finish(session, 1)
    session.begin()
    session.act(0)
    session.begin()
    finish(session, 0)
    assert session.kept == 2 and validate(tmp_path / "d") == []
    store = open_store(tmp_path / "d")
    assert [p["name"] for p in store.roster] == [
        "person",
        "tit_for_tat",
    ] and store.manifest.episodes == 2
    played = store.episodes()
    assert played.action[:, :, 0].tolist() == [[1, 1, 1], [0, 0, 0]]
    assert played.action[:, :, 1].tolist() == [[0, 1, 1], [0, 0, 0]]
    assert (
        np.isnan(played.prob[:, :, 0]).all()
        and (played.prob[:, :, 1] == 1).all()
    )
    assert played.terminated[:, -1].all() and played.reward[
        0, :, 0
    ].tolist() == [5, 1, 1]
    assert store.describe().count("person v1") == 1
    assert fill(played).episodes.action.shape[0] == 2, (
        "training's buffer takes it"
    )


def test_an_action_that_is_not_legal_is_refused_and_changes_nothing(tmp_path):
    session = Session(HUNT, ["random"], 0, 0, tmp_path / "d")
    wrong = session.legal.index(False)
    for action in (wrong, -1, 99):
        with pytest.raises(
            ValueError, match=r"action=.*: expected a legal action: .*STAY"
        ):
            session.act(action)
    assert session.step == 0
    finish(session)
    with pytest.raises(ValueError, match="the game has ended"):
        session.act(4)


def test_games_are_added_to_a_dataset_of_the_same_players_if_asked_to(tmp_path):
    path = tmp_path / "d"
    finish(Session(PD, ["tit_for_tat"], 0, 0, path))
    with pytest.raises(FileExistsError, match="--append"):
        Session(PD, ["tit_for_tat"], 0, 1, path)
    finish(Session(PD, ["tit_for_tat"], 0, 1, path, append=True))
    assert open_store(path).manifest.episodes == 2
    with pytest.raises(ValueError, match="seed=1: expected a seed without"):
        Session(PD, ["tit_for_tat"], 0, 1, path, append=True)
    with pytest.raises(
        ValueError, match="expected a store that lists the players"
    ):
        Session(PD, ["grim"], 0, 2, path, append=True)
    other = make_game("matrix(table=prisoners_dilemma, rounds=4)")
    with pytest.raises(ValueError, match="expected a dataset of the same game"):
        Session(other, ["tit_for_tat"], 0, 2, path, append=True)


def test_each_game_of_a_session_is_another_episode_of_its_seed(tmp_path):
    session = Session(PD, ["tit_for_tat"], 0, 0, tmp_path / "d")
    for _ in range(2):
        finish(session)
        session.begin()
    parts = open_store(tmp_path / "d").manifest.parts
    assert [(p.seed, p.seed_episode) for p in parts] == [(0, 0), (0, 1)]


def test_who_leaves_early_sees_the_game_played_to_its_end_and_it_is_whole(
    tmp_path,
):
    hare = HUNT.action_names.index("HUNT_HARE")
    games = (
        Session(HUNT, ["always(STAY)"], 0, seed, tmp_path / "d")
        for seed in range(20)
    )
    session = next(game for game in games if game.legal[hare])
    session.act(hare)
    assert (
        session.over
        and session.step == HUNT.max_steps
        and session.rewards[0, 0] == 1
    )
    assert [int(log.action[0, 0]) for log in session.logs] == [
        hare,
        ABSENT,
        ABSENT,
        ABSENT,
    ]
    said = show(session, EN)["said"]
    assert said.startswith(
        "You chose HUNT_HARE. Player 2 (always(STAY)) chose STAY. Reward 1.00, total 1.00. You have left;"
    )
    assert (
        "The game ended after 4 steps. Returns: Player 1 (you) 1.00, Player 2 (always(STAY)) 0.00."
        in said
    )
    assert validate(tmp_path / "d") == []


def test_a_mixture_is_drawn_anew_for_every_game_and_logged_by_name(tmp_path):
    session = Session(PD, ["mixture(always_c, always_d)"], 0, 0, tmp_path / "d")
    met = []
    for _ in range(6):
        met.append(session.names[1])
        finish(session)
        session.begin()
    store = open_store(tmp_path / "d")
    logged = [store.roster[k]["name"] for k in store.episodes().player[:, 1]]
    assert logged == met and set(met) == {"always_c", "always_d"}


def test_a_host_game_is_played_too(tmp_path):
    pytest.importorskip("pyspiel")
    game = make_game("openspiel:goofspiel(num_cards=3)")
    session = Session(game, ["random"], 0, 0, tmp_path / "d")
    finish(session)
    assert session.kept == 1 and validate(tmp_path / "d") == []


def test_what_agents_believe_about_the_person_is_told_only_where_asked(
    tmp_path,
):
    session = Session(PD, [agent(PD)], 0, 0, tmp_path / "d")
    assert show(session, EN, goals=GOALS)["beliefs"] == []
    first = show(session, EN, goals=GOALS, beliefs=True)
    assert first["legend"] == [["nice", "goal g0"], ["nasty", "goal g1"]]
    (told,) = first["beliefs"]
    assert (
        told["title"] == "Player 2 (bestreply)"
        and told["said"] == "Most probable type: undecided."
    )
    assert told["expects"].startswith("Predicts your next action: ")
    expected = session.expected()[1]
    assert expected.sum() == pytest.approx(1, abs=1e-5)
    session.act(1)
    model = session.lineup.pool[1].opponents
    before = model.init()
    obs = jnp.asarray(session.logs[0].shown.obs[0, 1])
    joint = jnp.array(
        [session.logs[0].action[0, 1], 1]
    )  # as the agent's seat counts
    after = model.posterior(model.update(before, obs, joint, jnp.ones(2, bool)))
    np.testing.assert_allclose(
        session.beliefs[1], [before[0], after[0]], atol=1e-5
    )
    finish(session)
    assert (
        "expects"
        not in show(session, EN, goals=GOALS, beliefs=True)["beliefs"][0]
    )


def test_a_dataset_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "d").write_text("a file")
    session = Session(PD, ["tit_for_tat"], 0, 0, tmp_path / "d")
    finish(session)
    assert (
        session.kept == 0 and "could not be saved" in show(session, EN)["kept"]
    )


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"game": None}, "game: expected GAME, or a run"),
        ({"game": "stag_hunt"}, "opponents: expected --against RUN"),
        (
            {"game": "stag_hunt", "others": ["nearest_stag, random"]},
            "opponents: 2 names; expected 1",
        ),
        (
            {"game": "stag_hunt", "others": ["random"], "seat": 9},
            "seat=9: expected 1 to 4",
        ),
        (
            {"game": "stag_hunt", "others": ["nobody"]},
            "player='nobody': expected one of",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused_with_what_is_wanted(
    asked, reason, tmp_path
):
    with pytest.raises(ValueError, match=reason):
        open_session(**asked, out=tmp_path / "d")


def test_others_are_taken_in_seat_order(tmp_path):
    session, goals = open_session(
        "stag_hunt",
        others=["random, nearest_stag, nearest_hare"],
        seat=2,
        out=tmp_path / "d",
    )
    assert (
        session.names == ["random", "person", "nearest_stag", "nearest_hare"]
        and goals == ()
    )


def test_one_player_needs_no_opponents(tmp_path):
    session, _ = open_session(ALONE, out=tmp_path / "d", seed=0)
    finish(session)
    assert session.kept == 1 and session.expected() == {}


# -- turns, roles, pictures ---------------------------------------------------------


def test_a_person_that_is_not_to_move_waits_by_itself(tmp_path):
    """In Kuhn poker the first player moves first; a bet is answered in the next step."""
    pytest.importorskip("pyspiel")
    game = make_game("openspiel:kuhn_poker")
    session = Session(game, ["always(Bet)"], 1, 0, tmp_path / "d")
    assert session.step == 1 and session.legal == [True, True, False]
    assert "Player 1 (always(Bet)) chose Bet." in show(session, EN)["said"]
    session.act(1)
    assert session.over
    said = show(session, EN)["said"]
    assert "You chose Bet." in said and "wait" not in said
    first = Session(game, ["always(Bet)"], 0, 0, tmp_path / "e")
    first.act(0)
    said = show(first, EN)["said"]
    assert first.step == 2 and not first.over
    assert "You chose Pass." in said and "Player 2 (always(Bet)) chose" in said


def test_opponents_are_given_by_role(tmp_path):
    session, _ = open_session(
        "tests.host_env:Chase",
        None,
        ["chaser=always(0), runner=always(3)"],
        seat=2,
        seed=1,
        out=tmp_path / "d",
    )
    assert session.names == ["always(0)", "person", "always(3)"]
    assert "data:image/png;base64," in show(session, EN)["board"]
    assert session.legal == [True, True, True, False]
    page = render(session, "en")
    assert "RIGHT" in page and "JUMP" not in page
