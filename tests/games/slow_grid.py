"""The rules of the grid games once more, in plain Python with loops, and play beside the games themselves."""

import jax
import numpy as np

MOVES = {
    "UP": (-1, 0),
    "DOWN": (1, 0),
    "LEFT": (0, -1),
    "RIGHT": (0, 1),
    "STAY": (0, 0),
}


class SlowGrid:
    """One game in one state. `kinds` names the things; `actions` names what takes each kind."""

    def __init__(self, game, state):
        self.height, self.width, self.max_steps = (
            game.height,
            game.width,
            game.max_steps,
        )
        self.n, self.kinds, self.names = (
            game.num_players,
            list(game.kinds),
            list(game.action_names),
        )
        self.at = [divmod(int(c), self.width) for c in state.cell]
        self.blocks = {
            divmod(int(c), self.width) for c in np.flatnonzero(state.blocks)
        }
        counts = list(game.kinds.values())
        kind_of = [
            kind
            for kind, count in zip(self.kinds, counts, strict=True)
            for _ in range(count)
        ]
        cells = [divmod(int(c), self.width) for c in state.thing_cell]
        self.things = list(
            zip(kind_of, cells, strict=True)
        )  # those that are still there
        self.left = [False] * self.n
        self.time = 0

    def free(self, cell):
        return (
            0 <= cell[0] < self.height
            and 0 <= cell[1] < self.width
            and cell not in self.blocks
        )

    def legal(self, i):
        """The names of the legal actions of player i."""
        if self.left[i]:
            return {"STAY"}
        row, column = self.at[i]
        names = {
            name
            for name, (dr, dc) in MOVES.items()
            if self.free((row + dr, column + dc))
        }
        takers = dict(zip(self.kinds, self.names[5:], strict=True))
        return names | {
            takers[kind] for kind, cell in self.things if cell == self.at[i]
        }

    def observation(self, i):
        """[H, W, n + 1 + kinds + 1]."""
        seen = np.zeros(
            (self.height, self.width, self.n + len(self.kinds) + 2), np.float32
        )
        for plane, j in enumerate([i] + [j for j in range(self.n) if j != i]):
            if not self.left[j]:
                seen[(*self.at[j], plane)] = 1
        for cell in self.blocks:
            seen[(*cell, self.n)] = 1
        for kind, cell in self.things:
            seen[(*cell, self.n + 1 + self.kinds.index(kind))] = 1
        seen[..., -1] = (self.max_steps - self.time) / self.max_steps
        return seen

    def who(self, names, action, cell):
        """The players on `cell` that chose `action`."""
        return [
            i
            for i in range(self.n)
            if not self.left[i] and self.at[i] == cell and names[i] == action
        ]

    def take(self, names):
        """The reward of every player; removes what is taken, lets players leave. The rules proper."""
        raise NotImplementedError

    def own_end(self):
        raise NotImplementedError

    def over(self):
        return self.own_end() or self.time >= self.max_steps

    def step(self, actions):
        """Rewards [n]."""
        names = [
            "STAY" if left else self.names[a]
            for a, left in zip(actions, self.left, strict=True)
        ]
        if self.over():
            return [0.0] * self.n
        rewards = self.take(names)
        for i, name in enumerate(names):
            row, column = self.at[i]
            dr, dc = MOVES.get(name, (0, 0))
            self.at[i] = (row + dr, column + dc)
        self.time += 1
        return rewards


def eager_actions(game, legal, rng):
    """[E, N] legal actions: takes a thing where there is one more often than not, so that much happens."""
    weight = legal * np.where(np.arange(game.num_actions) < 5, 1.0, 8.0)
    pick = rng.random((*legal.shape[:-1], 1)) * weight.sum(-1, keepdims=True)
    return (weight.cumsum(-1) > pick).argmax(-1).astype(np.int32)


def compare(game, slow_kind, episodes=24, seed=0):
    """Plays side by side with the slow rules, past the end, and demands that they agree in everything.

    Gives the slow games at their ends and all rewards [T, E, N].
    """
    rng = np.random.default_rng(seed)
    keys = jax.random.split(jax.random.key(seed), episodes)
    reset, step = jax.jit(jax.vmap(game.reset)), jax.jit(jax.vmap(game.step))
    state, shown = reset(keys)
    slow = [
        slow_kind(game, jax.tree.map(lambda x, e=e: np.asarray(x[e]), state))
        for e in range(episodes)
    ]
    rewards = np.zeros((episodes, game.num_players))
    history = []
    for _ in range(game.max_steps + 3):
        shown = jax.tree.map(np.asarray, shown)
        for e, one in enumerate(slow):
            _compare_one(
                game, one, jax.tree.map(lambda x, e=e: x[e], shown), rewards[e]
            )
        actions = eager_actions(game, shown.legal, rng)
        rewards = np.array(
            [one.step(a) for one, a in zip(slow, actions, strict=True)]
        )
        state, shown = step(state, actions, keys)
        history.append(rewards)
    return slow, np.array(history)


def _compare_one(game, slow, shown, rewards):
    over = slow.own_end()
    np.testing.assert_allclose(shown.reward, rewards, rtol=1e-6)
    assert shown.terminated.tolist() == [over or left for left in slow.left]
    assert bool(shown.truncated) == (slow.time >= slow.max_steps and not over)
    assert shown.present.tolist() == [not left for left in slow.left]
    for i in range(slow.n):
        assert {
            game.action_names[a] for a in np.flatnonzero(shown.legal[i])
        } == slow.legal(i)
        np.testing.assert_allclose(shown.obs[i], slow.observation(i), rtol=1e-6)
