"""A reference of the grid rules in plain Python loops, and play side by side with it."""

import jax
import numpy as np

MOVES = {
    "UP": (-1, 0),
    "DOWN": (1, 0),
    "LEFT": (0, -1),
    "RIGHT": (0, 1),
    "STAY": (0, 0),
}


class ReferenceGrid:
    """One game in one state; a subclass adds the rules of its things."""

    def __init__(self, game, state):
        self.height, self.width = game.height, game.width
        self.max_steps, self.n = game.max_steps, game.num_players
        self.kinds, self.names = list(game.kinds), list(game.action_names)
        self.cells = [divmod(int(c), self.width) for c in state.cell]
        blocks = np.flatnonzero(state.blocks)
        self.blocks = {divmod(int(c), self.width) for c in blocks}
        kinds = np.repeat(self.kinds, list(game.kinds.values()))
        cells = [divmod(int(c), self.width) for c in state.thing_cell]
        self.things = list(zip(kinds, cells, strict=True))  # not taken yet
        self.left = [False] * self.n
        self.time = 0

    def free(self, cell):
        row, column = cell
        inside = 0 <= row < self.height and 0 <= column < self.width
        return inside and cell not in self.blocks

    def legal(self, i):
        """The names of the legal actions of player i."""
        if self.left[i]:
            return {"STAY"}
        row, column = self.cells[i]
        names = {
            name
            for name, (dr, dc) in MOVES.items()
            if self.free((row + dr, column + dc))
        }
        takers = dict(zip(self.kinds, self.names[5:], strict=True))
        here = [kind for kind, cell in self.things if cell == self.cells[i]]
        return names | {takers[kind] for kind in here}

    def observation(self, i):
        """[H, W, n + 1 + kinds + 1]."""
        planes = self.n + len(self.kinds) + 2
        obs = np.zeros((self.height, self.width, planes), np.float32)
        for plane, j in enumerate([i] + [j for j in range(self.n) if j != i]):
            if not self.left[j]:
                obs[(*self.cells[j], plane)] = 1
        for cell in self.blocks:
            obs[(*cell, self.n)] = 1
        for kind, cell in self.things:
            obs[(*cell, self.n + 1 + self.kinds.index(kind))] = 1
        obs[..., -1] = (self.max_steps - self.time) / self.max_steps
        return obs

    def players_on(self, cell, action, names):
        """The players on `cell` that chose `action`."""
        return [
            i
            for i in range(self.n)
            if not self.left[i] and self.cells[i] == cell and names[i] == action
        ]

    def take(self, names):
        """Return every player's reward; remove taken things, let players leave."""
        raise NotImplementedError

    def over(self):
        """Whether the game has ended by its rules."""
        raise NotImplementedError

    def step(self, actions):
        """Return rewards [n]."""
        if self.over() or self.time >= self.max_steps:
            return [0.0] * self.n
        names = [
            "STAY" if left else self.names[a]
            for a, left in zip(actions, self.left, strict=True)
        ]
        rewards = self.take(names)
        for i, name in enumerate(names):
            row, column = self.cells[i]
            dr, dc = MOVES.get(name, (0, 0))
            self.cells[i] = (row + dr, column + dc)
        self.time += 1
        return rewards


def eager_actions(game, legal, rng):
    """[E, N] random legal actions that take a thing more often than not."""
    weight = legal * np.where(np.arange(game.num_actions) < 5, 1.0, 8.0)
    pick = rng.random((*legal.shape[:-1], 1)) * weight.sum(-1, keepdims=True)
    return (weight.cumsum(-1) > pick).argmax(-1).astype(np.int32)


def compare(game, reference, episodes=24, seed=0):
    """Play a game and its reference side by side, past the end, and assert equality.

    Returns the references at their ends and all rewards [T, E, N].
    """
    rng = np.random.default_rng(seed)
    keys = jax.random.split(jax.random.key(seed), episodes)
    reset, step = jax.jit(jax.vmap(game.reset)), jax.jit(jax.vmap(game.step))
    state, shown = reset(keys)
    first = jax.tree.map(np.asarray, state)
    references = [
        reference(game, jax.tree.map(lambda x, e=e: x[e], first))
        for e in range(episodes)
    ]
    rewards = np.zeros((episodes, game.num_players))
    history = []
    for _ in range(game.max_steps + 3):
        shown = jax.tree.map(np.asarray, shown)
        for e, one in enumerate(references):
            row = jax.tree.map(lambda x, e=e: x[e], shown)
            _compare_one(game, one, row, rewards[e])
        actions = eager_actions(game, shown.legal, rng)
        pairs = zip(references, actions, strict=True)
        rewards = np.array([one.step(joint) for one, joint in pairs])
        state, shown = step(state, actions, keys)
        history.append(rewards)
    return references, np.array(history)


def _compare_one(game, reference, shown, rewards):
    over = reference.over()
    limit = reference.time >= reference.max_steps
    np.testing.assert_allclose(shown.reward, rewards, rtol=1e-6)
    ended = [over or left for left in reference.left]
    assert shown.terminated.tolist() == ended
    assert bool(shown.truncated) == (limit and not over)
    assert shown.present.tolist() == [not left for left in reference.left]
    for i in range(reference.n):
        legal = {game.action_names[a] for a in np.flatnonzero(shown.legal[i])}
        assert legal == reference.legal(i)
        np.testing.assert_allclose(
            shown.obs[i], reference.observation(i), rtol=1e-6
        )
