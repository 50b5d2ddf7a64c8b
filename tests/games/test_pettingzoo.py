"""Environments of PettingZoo beside themselves, stepped bare with the same seeds."""

import sys
from typing import Any, ClassVar

import jax
import mpe2.simple_tag_v3
import numpy as np
import pettingzoo
import pytest
from gymnasium import spaces
from pettingzoo import AECEnv, ParallelEnv

import bestreply as br
from bestreply.games.registry import game_in_file, spec_of_game
from bestreply.utils.spec import Spec, parse_roles
from bestreply.utils.trust import from_file
from tests import zoo_envs

TAG = "pettingzoo:mpe2.simple_tag_v3:parallel_env(max_cycles=6)"
RELAY = "pettingzoo:tests.zoo_envs:Relay"


def acts(rng, legal):
    return np.array(
        [rng.choice(np.flatnonzero(row)) for row in legal], np.int32
    )


@pytest.mark.parametrize("seed", [0, 7])
def test_a_parallel_environment_equals_itself_stepped_bare(seed):
    game = br.make_game(TAG)
    assert game.roles == ("adversary",) * 3 + ("agent",)
    assert (game.obs_shape, game.max_steps, game.version) == ((16 + 4,), 6, 3)
    assert game.binary.tolist() == [False] * 16 + [True] * 4
    env, bare = game.live(), mpe2.simple_tag_v3.parallel_env(max_cycles=6)
    shown, (obs, _) = env.reset(seed), bare.reset(seed=seed)
    rng = np.random.default_rng(1)
    for step in range(6):
        names = bare.possible_agents
        for seat, name in enumerate(names):
            size = len(obs[name])
            assert size == (16, 14)[seat == 3]
            np.testing.assert_array_equal(shown.obs[seat, :size], obs[name])
            assert not shown.obs[seat, size:16].any()
        assert game.seat_in(shown.obs).tolist() == [0, 1, 2, 3]
        assert not shown.truncated and not shown.terminated.any()
        actions = acts(rng, shown.legal)
        given = dict(zip(names, actions.tolist(), strict=True))
        shown = env.step(actions)
        obs, reward, _, cut, _ = bare.step(given)
        expected = np.float32([reward[name] for name in names])
        np.testing.assert_array_equal(shown.reward, expected)
        assert bool(shown.truncated) == all(cut.values()) == (step == 5)
    assert not shown.terminated.any() and shown.present.all()


def test_turns_equal_what_an_aec_environment_tells_with_last():
    game = br.make_game("pettingzoo:classic/tictactoe-v3(max_steps=9)")
    assert game.action_names == (*"012345678", "wait")
    assert game.obs_dtype == np.int8 and game.binary.all()
    for seed in range(4):
        env, bare = (
            game.live(),
            pettingzoo.make("aec", "classic/tictactoe-v3"),
        )
        shown, rng = env.reset(seed), np.random.default_rng(seed)
        bare.reset(seed=seed)
        total = np.zeros(2)
        while bare.agents:
            name = bare.agent_selection
            obs, reward, ended, _, _ = bare.last()
            seat = bare.possible_agents.index(name)
            if ended:
                assert total[seat] == reward and shown.terminated.all()
                np.testing.assert_array_equal(
                    shown.obs[seat], obs["observation"]
                )
                bare.step(None)
                continue
            mask = obs["action_mask"].astype(bool).tolist()
            assert shown.legal[seat].tolist() == [*mask, False]
            assert np.flatnonzero(shown.legal[1 - seat]).tolist() == [9]
            np.testing.assert_array_equal(shown.obs[seat], obs["observation"])
            actions = acts(rng, shown.legal)
            bare.step(int(actions[seat]))
            shown = env.step(actions)
            total += shown.reward
        assert sorted(total) in ([-1, 1], [0, 0])


def test_spaces_roles_and_agents_that_leave():
    game = br.make_game(RELAY)
    assert game.roles == ("runner", "runner", "keeper")
    assert game.seat_actions == (3, 3, 6)
    assert game.action_names == tuple("012345")  # the seats' own names differ
    assert game.obs_dtype == np.uint8
    # [4, 4, 1] pixels and 3 + 2 entries, as vectors, and marks
    assert game.obs_shape == (16 + 3,)
    env = game.live()
    shown = env.reset(3)
    assert shown.legal.sum(1).tolist() == [3, 3, 6]
    assert shown.obs[2, :5].tolist() == [1, 0, 0, 1, 0]
    rewards, present = [], []
    for _ in range(5):
        shown = env.step(np.array([2, 0, 5], np.int32))
        rewards.append(shown.reward.tolist())
        present.append(shown.present.tolist())
    assert rewards == [[3, 1, 3], [5, 1, 3], [0, 1, 3], [0, 0, 3], [0, 0, 3]]
    assert present == [
        [True, True, True],
        [False, True, True],
        [False, False, True],
        [False, False, True],
        [False, False, True],
    ]
    assert shown.terminated.tolist() == [True, False, False]
    assert bool(shown.truncated)
    # runner 1 keeps the last observation that it had
    assert shown.obs[1, 1] == 3 + 1
    br.check_game(game, episodes=2)


def test_masks_in_infos_and_agents_that_wait():
    game = br.make_game(RELAY, masks=((1, 0, 1),))
    assert game.live().reset(0).legal[0, :3].tolist() == [True, False, True]
    empty = br.make_game(RELAY, masks=((0, 0, 0), (1, 1, 0)))
    assert empty.action_names[-1] == "wait"
    env = empty.live()
    assert np.flatnonzero(env.reset(0).legal[0]).tolist() == [6]
    shown = env.step(np.array([6, 0, 0], np.int32))
    assert np.flatnonzero(shown.legal[0]).tolist() == [0, 1]
    late = br.make_game(RELAY, masks=((1, 1, 0), (0, 0, 0)))
    with pytest.raises(
        ValueError, match=r"action_mask of 'runner_0' .*wait=True"
    ):
        env = late.live()
        env.reset(0)
        env.step(np.zeros(3, np.int32))
    waits = br.make_game(RELAY, masks=((1, 1, 0), (0, 0, 0)), wait=True)
    br.check_game(waits, episodes=1)


@pytest.mark.parametrize(
    "name, sentence",
    [
        (
            "classic/tictactoe-v3",
            r"max_steps=None: .*tictactoe-v3\(max_steps=100\)",
        ),
        ("classic/tictactoe-v3(max_steps=0)", "max_steps=0: expected an int"),
        ("classic/chequers-v1", "or one of .*classic/rps-v2"),
        (
            "mpe2.simple_tag_v3:parallel_env(cycles=3)",
            "cycles=3: expected a setting",
        ),
        (
            "mpe2.simple_tag_v3:parallel_env(continuous_actions=True)",
            "expected discrete or multi-discrete actions of adversary_0",
        ),
        ("mpe2.simple_tagg_v3:parallel_env", "no 'mpe2.simple_tagg_v3'"),
        (
            "tests.zoo_envs:Stairs(max_steps=3)",
            "expected a ParallelEnv or AECEnv .* a Stairs",
        ),
        ("tests.zoo_envs:np.pi", "expected the class of an environment"),
    ],
)
def test_what_cannot_be_played_gets_a_sentence(name, sentence):
    with pytest.raises(ValueError, match=sentence):
        br.make_game(f"pettingzoo:{name}")


def test_an_agent_that_joins_late_is_refused():
    env = br.make_game(RELAY, late=True).live()
    assert env.reset(0).present.tolist() == [True, True, False]
    with pytest.raises(ValueError, match="agent='keeper' joins at step 1"):
        env.step(np.zeros(3, np.int32))


def test_classes_and_factories_are_handed_in_as_objects():
    named = br.make_game(RELAY, size=3)
    given = br.make_game(zoo_envs.Relay, size=3)
    assert given == named and spec_of_game(given).name == RELAY
    made = br.make_game(zoo_envs.parallel_env, size=3)
    assert made.name == "pettingzoo:tests.zoo_envs:parallel_env"
    tag = br.make_game(mpe2.simple_tag_v3.parallel_env, max_cycles=4)
    assert tag.max_steps == 4 and len(tag.roles) == 4
    assert br.make_game(spec_of_game(tag)) == tag
    limited = br.make_game(lambda: zoo_envs.Relay(), max_steps=3)
    assert limited.max_steps == 3 and limited.roles == named.roles


def test_the_environment_draws_pictures():
    game = br.make_game(RELAY)
    key = jax.random.key(0)
    state, _ = game.reset(key)
    actions = np.zeros(3, np.int32)
    first = game.frame(state)
    state, _ = game.step(state, actions, key)
    later, _ = game.step(state, actions, key)
    assert first.shape == (6, 8, 3) and first.dtype == np.uint8
    seen = [game.frame(s).max() for s in (later, state, later)]
    assert [first.max(), *seen] == [0, 2, 1, 2]


def test_what_files_may_name(tmp_path):
    path = tmp_path / "manifest.json"
    closed, opened = from_file(path), from_file(path, "tests")
    named = {"max_cycles": 3}
    tag = game_in_file(
        "pettingzoo:mpe2.simple_tag_v3:parallel_env", named, closed
    )
    assert tag.max_steps == 3
    assert game_in_file(RELAY, {}, opened) == br.make_game(RELAY)
    for name in (
        RELAY,
        "pettingzoo:mpe2.simple_tag_v3:os.system",
        "pettingzoo:mpe2._mpe_utils.simple_env:os.system",
        "pettingzoo:pettingzoo.utils.env:parallel_env",
        "gymnasium:tests.zoo_envs:Stairs-v0",
    ):
        with pytest.raises(
            ValueError, match="expected a name that needs no import"
        ):
            game_in_file(name, {}, closed)
    for attribute in ("delete_all", "np.save", "gymnasium.make"):
        with pytest.raises(
            ValueError, match=r"a file may name|it is defined in"
        ):
            game_in_file(f"pettingzoo:tests.zoo_envs:{attribute}", {}, opened)
    out = "pettingzoo:bestreply:parallel_env"
    assert game_in_file(out, {"game": "matrix"}, closed).num_players == 2
    for inner in ("evil.games:Game", RELAY):
        with pytest.raises(
            ValueError, match="expected a name that needs no import"
        ):
            game_in_file(out, {"game": inner}, closed)
    assert "evil" not in sys.modules
    for name, settings in (
        (out, {}),
        ("pettingzoo:bestreply.run:load_run", {}),
    ):
        with pytest.raises(
            ValueError, match=r"names it without a game|no import"
        ):
            game_in_file(name, settings, closed)


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pettingzoo", None)
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    for prefix in ("pettingzoo", "gymnasium"):
        with pytest.raises(ImportError, match=rf"bestreply\[{prefix}\]"):
            br.make_game(f"{prefix}:mpe2.simple_v3:env")


class Wrong(zoo_envs.Relay):
    """The keeper's observation, at step 1: of another shape, or missing."""

    def __init__(self, fault="shape"):
        super().__init__()
        self.fault = fault
        self._obs["runner"] = self._obs["keeper"] = spaces.Box(0, 1, (3,))

    def _look(self):
        obs = {name: np.zeros(3) for name in self.possible_agents}
        if self.time and self.fault == "shape":
            obs["keeper"] = np.zeros(4)
        if self.time and self.fault == "missing":
            del obs["keeper"]
        return obs


@pytest.mark.parametrize(
    "fault, message",
    [
        (
            "shape",
            r"obs of seat 2: expected float32 \(3,\) .*at step 1 of seed 4",
        ),
        (
            "missing",
            "agent='keeper' at step 1 of seed 4: expected an observation",
        ),
    ],
)
def test_observations_that_contradict_the_spaces_are_refused(fault, message):
    env = br.make_game(Wrong, fault=fault).live()
    shown = env.reset(4)
    assert shown.obs.shape == (3, 3 + 3)
    with pytest.raises(ValueError, match=message):
        env.step(np.zeros(3, int))


class Shows(ParallelEnv):
    """Two agents that are shown what a test gives."""

    metadata: ClassVar[Any] = {"name": "shows_v0"}
    max_cycles = 3
    possible_agents: ClassVar[Any] = ["a_0", "a_1"]

    def __init__(self, space, value, mask=None):
        self.space, self.value, self.mask = space, value, mask

    def observation_space(self, agent):
        return self.space

    def action_space(self, agent):
        return spaces.Discrete(3)

    def _shown(self):
        info = {} if self.mask is None else {"action_mask": self.mask}
        return (
            dict.fromkeys(self.agents, self.value),
            dict.fromkeys(self.agents, info),
        )

    def reset(self, seed=None, options=None):
        self.agents = list(self.possible_agents)
        return self._shown()


def first(space, value, mask=None):
    game = br.make_game(lambda: Shows(space, value, mask))
    return game.live().reset(4)


FOUR, FROM_2 = spaces.Discrete(4), spaces.Discrete(4, start=2)
MULTI = spaces.MultiDiscrete([3, 4], start=[0, 1])
DEEP = spaces.Dict({"n": spaces.Tuple([FROM_2, MULTI])})
LONG = spaces.Box(-(2**62), 2**62, (2,), np.int64)


@pytest.mark.parametrize(
    "space, value, sentence",
    [
        (FOUR, -1, r"observation=-1: .* Discrete\(4\) of a_0 in env"),
        (FOUR, 2**63, "observation=9223372036854775808: expected a value"),
        (FOUR, 4, r"observation=4: expected a value of Discrete\(4\)"),
        (FOUR, 0.5, "observation=0.5: expected a value of"),
        (FOUR, None, "observation=None: expected a value of"),
        (FROM_2, 1, r"observation=1: .*Discrete\(4, start=2\) of a_0"),
        (MULTI, np.array([3, 1]), r"observation=\[3, 1\]: .*MultiDiscrete"),
        (
            DEEP,
            {"n": (5, [0, 5])},
            r"observation\['n'\]\[1\]=\[0, 5\]: expected",
        ),
        (DEEP, {"n": (6, [0, 1])}, r"observation\['n'\]\[0\]=6: expected"),
        (LONG, np.array([2**40, 0]), "obs of seat 0=1099511627776: .* int32"),
        (
            spaces.Dict({"a": LONG, "b": FOUR}),
            {"a": [0, -(2**40)], "b": 1},
            r"\['a'\]=\[0, -109.*: .* int32 holds, not -1099511627776, of a_0",
        ),
        (
            spaces.Dict({"a": LONG, "b": spaces.Box(0, 1)}),
            {"a": [0, 2**24 + 1], "b": [0.1]},
            r"\['a'\]=\[0, 16777217\]: .* float32 holds, not 16777217, of a_0",
        ),
        (
            spaces.Dict({"a": LONG, "b": FOUR}),
            {"a": None, "b": 1},
            "numbers of Box",
        ),
        (
            spaces.MultiDiscrete([[3, 3]] * 2, np.uint8),
            [[0, 3], [0, 0]],
            "0, 3",
        ),
    ],
)
def test_observations_outside_their_space_are_refused(space, value, sentence):
    with pytest.raises(ValueError, match=sentence):
        first(space, value)


def test_numbers_are_one_hot_from_their_start():
    assert first(FOUR, np.int64(3)).obs[1].tolist() == [0, 0, 0, 1]
    assert first(FOUR, np.uint64(1)).obs[1].tolist() == [0, 1, 0, 0]
    assert first(FROM_2, 2).obs[0].tolist() == [1, 0, 0, 0]
    assert first(MULTI, np.array([2, 4])).obs[0].tolist() == [2, 4]
    deep = first(DEEP, {"n": (5, np.array([0, 2]))}).obs[0]
    assert deep.tolist() == [0, 0, 0, 1, *[1, 0, 0], *[0, 1, 0, 0]]
    assert first(LONG, np.array([7, -7])).obs[0].tolist() == [7, -7]


@pytest.mark.parametrize(
    "mask", [[np.nan, 0, 1], [-3, 0, 1], [2, 0, 0], [1, 0], True, [[1], [1, 0]]]
)
def test_masks_hold_an_entry_of_0_or_1_for_each_action(mask):
    sentence = (
        r"action_mask=.*: expected 3 entries, 0 or 1, .* of 'a_0' at step 0 of"
    )
    with pytest.raises(ValueError, match=sentence):
        first(FOUR, 0, np.array(mask) if mask is True else mask)
    with pytest.raises(ValueError, match="expected 3 entries"):
        first(
            spaces.Dict({"o": FOUR, "action_mask": MULTI}),
            {"o": 1, "action_mask": mask},
        )
    assert (
        first(FOUR, 0, [1.0, 0.0, 1.0]).legal.tolist()
        == [[True, False, True]] * 2
    )


@pytest.mark.parametrize("flag", ["no", [False, False], 0.5, None])
@pytest.mark.parametrize("field", [2, 3])
def test_ends_are_one_flag_for_each_agent(field, flag):
    class Ends(zoo_envs.Relay):
        def step(self, actions):
            told = super().step(actions)
            told[field]["keeper"] = flag
            return told

    env = br.make_game(lambda: Ends()).live()
    env.reset(0)
    name = ("terminated", "truncated")[field - 2]
    sentence = f"{name}=.*: expected one bool of 'keeper' at step 1 of seed 0"
    with pytest.raises(ValueError, match=sentence):
        env.step(np.zeros(3, int))


class Stuck(AECEnv):
    """Two agents in turn; agent b, at its first turn, has no legal action."""

    metadata: ClassVar[Any] = {"name": "stuck_v0"}
    max_steps = 4

    def __init__(self):
        super().__init__()
        self.possible_agents = ["a", "b"]
        box = spaces.Box(0, 9, (1,))
        mask = spaces.MultiBinary(2)
        both = spaces.Dict({"observation": box, "action_mask": mask})
        self.observation_space = lambda agent: both
        self.action_space = lambda agent: spaces.Discrete(2)

    def observe(self, agent):
        mask = np.full(2, agent == "a", np.int8)
        return {"observation": np.zeros(1, np.float32), "action_mask": mask}

    def reset(self, seed=None, options=None):
        self.agents, self.agent_selection = ["a", "b"], "a"
        for name in ("terminations", "truncations"):
            setattr(self, name, dict.fromkeys("ab", False))
        self._cumulative_rewards = dict.fromkeys("ab", 0)
        self.rewards, self.infos = dict.fromkeys("ab", 0), {"a": {}, "b": {}}

    def step(self, action):
        self.agent_selection = "b"


def test_an_agent_without_a_legal_action_at_its_turn_is_refused():
    env = br.make_game(lambda: Stuck()).live()
    assert np.flatnonzero(env.reset(3).legal[1]).tolist() == [2]
    sentence = "action_mask of 'b' at step 1 of seed 3 .*the turn of this agent"
    with pytest.raises(ValueError, match=sentence):
        env.step(np.array([0, 2]))


def test_roles_of_agents_can_be_written_in_opponent_sets():
    kind = type("Named", (Shows,), {"possible_agents": [("a", "b"), "c=d|e_1"]})
    roles = br.make_game(lambda: kind(FOUR, 0)).roles
    assert roles == ("a b", "c d e")
    wanted = {role: Spec("random") for role in roles}
    assert parse_roles("a b=random, c d e=random") == wanted
