"""What the grid games share: cells, moves, observation planes, blocks, pictures.

A cell is its index ``row * width + column``. An observation is a stack of planes
``(height, width, P)``: the players ego-first, blocks, one plane for each kind of
thing, and a last plane filled with the fraction of time left. All are 0/1 except
the last.
"""

import dataclasses
import itertools
import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int32, PRNGKeyArray

from bestreply.games.base import Game
from bestreply.games.blocks import place_blocks
from bestreply.games.description import Symmetries
from bestreply.games.sizes import check_sizes
from bestreply.types import Array, TimeStep, ego_order
from bestreply.utils.checks import is_number, shown

UP, DOWN, LEFT, RIGHT, STAY = range(5)
MAX_REWARD = 3e38
"""Largest absolute reward: float32 holds no larger number."""
MAX_ENTRIES = 2**28
"""Largest number of entries of an observation, 1 GB."""
MOVES = ("UP", "DOWN", "LEFT", "RIGHT", "STAY")
MAX_CELLS = 10_000
"""Cells of a grid; players keep the distances between any two."""
OFFSETS = np.array([(-1, 0), (1, 0), (0, -1), (0, 1), (0, 0)])


def targets(height: int, width: int) -> Int32[np.ndarray, "cells 5"]:
    """Return the cell that each move leads to.

    Args:
        height: rows of the grid.
        width: columns of the grid.

    Returns:
        The cell by cell and move, -1 off the grid.
    """
    rows, columns = np.divmod(np.arange(height * width)[:, None], width)
    rows, columns = rows + OFFSETS[:, 0], columns + OFFSETS[:, 1]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return np.where(inside, rows * width + columns, -1).astype(np.int32)


def distances(height: int, width: int) -> Int32[np.ndarray, "cells cells"]:
    """Return the Manhattan distances between all cells.

    Args:
        height: rows of the grid.
        width: columns of the grid.

    Returns:
        The distance by cell and cell.
    """
    rows, columns = np.divmod(np.arange(height * width), width)
    vertical, horizontal = (
        abs(rows[:, None] - rows),
        abs(columns[:, None] - columns),
    )
    return (vertical + horizontal).astype(np.int32)


def check_types(game: "GridGame") -> None:
    """Check the type of every setting.

    Args:
        game: the game.

    Raises:
        ValueError: for a setting that its field does not accept.
    """
    conditions = {
        int: (
            lambda v: type(v) is int and 0 <= v < 2**31,
            "an int, 0 or more and below 2^31",
        ),
        bool: (lambda v: type(v) is bool, "True or False"),
        float: (
            lambda v: is_number(v) and abs(v) <= MAX_REWARD,
            "a finite number that float32 holds",
        ),
    }
    for field in dataclasses.fields(game):
        fits, condition = conditions.get(field.type, (lambda v: True, ""))
        value = getattr(game, field.name)
        if not fits(value):
            raise ValueError(
                f"{field.name}={shown(value)}: expected {condition} in {game.name}"
            )


def _grid_symmetries(
    height: int, width: int
) -> list[tuple[np.ndarray, list[int]]]:
    """Return the rotations and reflections of the grid onto itself.

    For each: the old cell of every new cell, and the images of UP, DOWN, LEFT, RIGHT.
    """
    grid = np.arange(height * width).reshape(height, width)
    quarter_turn = np.array([[0, 1], [-1, 0]])
    offsets = OFFSETS[:STAY]
    symmetries = []
    for mirror in (False, True):
        for quarters in range(4) if height == width else (0, 2):
            cells = np.rot90(grid[:, ::-1] if mirror else grid, quarters)
            mirrored = offsets * [1, -1] if mirror else offsets
            images = mirrored @ np.linalg.matrix_power(quarter_turn, quarters)
            same = (offsets == images[:, None]).all(-1)  # [image, move]
            symmetries.append((cells.reshape(-1), same.argmax(1).tolist()))
    return symmetries


class GridState(eqx.Module):
    """State of a grid game of ``n`` players and ``K`` things."""

    cell: Array  # [n] int32, the cell of each player, or where it left
    left: Array  # [n] bool, the player has left for good
    blocks: Array  # [cells] bool
    thing_cell: Array  # [K] int32
    thing_present: Array  # [K] bool, not taken yet
    time: Array  # [] int32, steps made


@dataclasses.dataclass(frozen=True)
class GridGame(Game):
    """Players on a `height` x `width` grid of free cells and blocks.

    Several players may share a cell; no player blocks another. `blocks` is the
    largest number of block pieces (3- or 4-cell I and L shapes) to place.

    A subclass names its kinds of things (`kinds`: name -> number), the action that
    takes each kind (`takers`), and its players; it implements `take`.
    """

    height: int = 4
    width: int = 4
    blocks: int = 0
    max_steps: int = 15

    takers: ClassVar[tuple[str, ...]]
    """The actions after STAY, one for each kind in order."""
    role: ClassVar[str]
    """The name of a player in plane names."""
    colours: ClassVar[dict[str, str]]
    """The colour of each kind in pictures."""

    @property
    def kinds(self) -> dict[str, int]:
        """The number of things of each kind."""
        raise NotImplementedError

    def take(
        self, state: GridState, actions: Int[Array, " n"]
    ) -> tuple[Float[Array, " n"], Bool[Array, " n"], Bool[Array, " K"]]:
        """Return the effects of the taking actions; a player that takes does not move.

        The exact solver is fast if the result depends only on which players have
        left, which things are present and which player takes which thing. Other
        dependences, such as on the cells of players that take nothing, are allowed.

        Args:
            state: the state.
            actions: the joint action.

        Returns:
            Rewards, the players that leave, the things that disappear.

        Raises:
            NotImplementedError: if the subclass does not override it.
        """
        raise NotImplementedError

    def check_settings(self) -> None:
        """Check that the settings describe a game.

        Raises:
            ValueError: if the grid is empty or cannot hold the things.
        """
        for name in ("height", "width", "max_steps"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(
                    f"{name}={value}: expected at least 1 in {self.name}"
                )
        if self.cells > MAX_CELLS:
            raise ValueError(
                f"height={self.height}, width={self.width}: expected at most "
                f"{MAX_CELLS} cells in {self.name}"
            )
        planes = self.num_players + len(self.kinds) + 2
        if self.cells * planes > MAX_ENTRIES:
            raise ValueError(
                f"{self.name} with {self.cells} cells and {planes} planes: expected "
                f"observations of at most {MAX_ENTRIES} entries"
            )
        things = sum(self.kinds.values())
        if not 1 <= things <= self.cells:
            raise ValueError(
                f"{self.name} has {things} things for {self.cells} cells: "
                f"expected 1 to {self.cells} things"
            )

    def __post_init__(self) -> None:
        check_types(self)
        self.check_settings()
        check_sizes(self)

    # -- sizes and names -------------------------------------------------------

    @property
    def symmetric(self) -> bool:
        return True

    @property
    def cells(self) -> int:
        return self.height * self.width

    @property
    def action_names(self) -> tuple[str, ...]:
        return MOVES + self.takers

    @property
    def planes(self) -> tuple[str, ...]:
        others = (f"{self.role}_{j}" for j in range(1, self.num_players))
        return ("self", *others, "blocks", *self.kinds, "time")

    @property
    def obs_shape(self) -> tuple[int, ...]:
        return (self.height, self.width, len(self.planes))

    @property
    def binary(self) -> np.ndarray:
        binary = np.arange(len(self.planes)) < len(self.planes) - 1
        return np.broadcast_to(binary, self.obs_shape)

    @property
    def thing_kind(self) -> np.ndarray:
        """[K] int: the kind of each thing."""
        return np.repeat(np.arange(len(self.kinds)), list(self.kinds.values()))

    # -- rules -----------------------------------------------------------------

    def start(self, key: PRNGKeyArray) -> GridState:
        block_key, thing_key, player_key = jax.random.split(key, 3)
        things = sum(self.kinds.values())
        blocks = place_blocks(
            block_key, self.height, self.width, self.blocks, min_free=things
        )
        # Things: the cells of the smallest draws, free cells before blocks.
        draws = jax.random.uniform(thing_key, (self.cells,)) + blocks
        _, thing_cell = jax.lax.top_k(-draws, things)
        # Each player: the free cell of its largest draw.
        draws = jax.random.uniform(player_key, (self.num_players, self.cells))
        cell = jnp.argmax(jnp.where(blocks, -1.0, draws), axis=1)
        return GridState(
            cell=cell.astype(jnp.int32),
            left=jnp.zeros(self.num_players, bool),
            blocks=blocks,
            thing_cell=thing_cell.astype(jnp.int32),
            thing_present=jnp.ones(things, bool),
            time=jnp.int32(0),
        )

    def advance(
        self, state: GridState, actions: Int[Array, " n"], key: PRNGKeyArray
    ) -> tuple[GridState, Float[Array, " n"]]:
        actions = jnp.where(state.left, STAY, actions)
        reward, leaves, taken = self.take(state, actions)
        state = GridState(
            cell=self._moved(state.cell, actions),
            left=state.left | leaves,
            blocks=state.blocks,
            thing_cell=state.thing_cell,
            thing_present=state.thing_present & ~taken,
            time=state.time + 1,
        )
        return state, reward

    def _moved(
        self, cell: Int[Array, " n"], actions: Int[Array, " n"]
    ) -> Int[Array, " n"]:
        """Return the cell that each action leads to, on the grid."""
        row, column = cell // self.width, cell % self.width
        row = row + (actions == DOWN) - (actions == UP)
        column = column + (actions == RIGHT) - (actions == LEFT)
        row = jnp.clip(row, 0, self.height - 1)
        return row * self.width + jnp.clip(column, 0, self.width - 1)

    def over(self, state: GridState) -> Bool[Array, ""]:
        """Return whether the game has ended by its rules, whatever the time.

        Args:
            state: the state.

        Returns:
            By default, whether no thing is present.
        """
        return jnp.asarray(~state.thing_present.any())

    def finished(self, state: GridState) -> Bool[Array, ""]:
        return jnp.asarray(self.over(state) | (state.time >= self.max_steps))

    def look(self, state: GridState, reward: Float[Array, " n"]) -> TimeStep:
        over = self.over(state)
        return TimeStep(
            obs=self.observe(state),
            legal=self.legal(state),
            reward=reward.astype(jnp.float32),
            terminated=state.left | over,
            truncated=(state.time >= self.max_steps) & ~over,
            present=~state.left,
        )

    # `observe` and `legal` compare cells instead of gathering or scattering: XLA
    # makes one vectorised loop of it.

    def observe(self, state: GridState) -> Float[Array, "n H W P"]:
        """Return the observations of all seats.

        Args:
            state: the state.

        Returns:
            Planes, ego-first.
        """
        n, extra = self.num_players, len(self.planes) - self.num_players
        cells = jnp.arange(self.cells)
        thing = jnp.where(state.thing_present, state.thing_cell, -1)
        kinds = [(thing[slot] == cells[:, None]).any(1) for slot in self._slots]
        time_left = (self.max_steps - state.time) / self.max_steps
        planes = [jnp.zeros(self.cells)] * n
        planes += [state.blocks, *kinds, jnp.full(self.cells, time_left)]
        board = jnp.stack(planes, axis=1)  # [cells, P], without players
        cell = jnp.where(state.left, -1, state.cell)
        order = ego_order(n)
        seen = jnp.stack([jnp.stack([cell[s] for s in row]) for row in order])
        # [n, P]: the cell of the player of each plane
        seen = jnp.pad(seen, ((0, 0), (0, extra)), constant_values=-1)
        views = jnp.where(cells[:, None] == seen[:, None], 1.0, board)
        return views.reshape(n, *self.obs_shape)

    def legal(self, state: GridState) -> Bool[Array, "n A"]:
        """Return the legal actions of all seats.

        Args:
            state: the state.

        Returns:
            The legal actions; STAY is always legal.
        """
        row, column = state.cell // self.width, state.cell % self.width
        last_row, last_column = self.height - 1, self.width - 1
        free = [row > 0, row < last_row, column > 0, column < last_column]
        if self.blocks:
            steps = OFFSETS[:STAY] @ [self.width, 1]
            ahead = [
                jnp.clip(state.cell + by, 0, self.cells - 1) for by in steps
            ]
            free = [
                f & ~state.blocks[cell]
                for f, cell in zip(free, ahead, strict=True)
            ]
        same_cell = state.cell[:, None] == state.thing_cell
        on = same_cell & state.thing_present  # [n, K]
        takes = [on[:, slot].any(1) for slot in self._slots]
        stay = jnp.ones(self.num_players, bool)
        legal = jnp.stack([*free, stay, *takes], axis=1)
        only_stay = jnp.arange(self.num_actions) == STAY
        return legal & ~state.left[:, None] | only_stay

    @property
    def _slots(self) -> list[slice]:
        """The slice of each kind among all things."""
        ends = np.cumsum([0, *self.kinds.values()])
        return [slice(int(a), int(b)) for a, b in itertools.pairwise(ends)]

    # -- contents of an observation --------------------------------------------

    def perspective(
        self, obs: Float[Array, "*shape"], other: Int[Array, ""] | int
    ) -> Float[Array, "*shape"]:
        n = self.num_players
        players = jnp.take(
            obs[..., :n], jnp.asarray(ego_order(n))[other], axis=-1
        )
        return jnp.concatenate([players, obs[..., n:]], axis=-1)

    def legal_in(self, obs: Float[Array, "H W P"]) -> Bool[Array, " A"]:
        flat = jnp.reshape(obs, (self.cells, -1))
        own, blocks = flat[:, 0] > 0.5, flat[:, self.num_players] > 0.5
        to = jnp.asarray(targets(self.height, self.width))
        moves = ((to >= 0) & ~blocks[to] & own[:, None]).any(0)
        things = flat[:, self.num_players + 1 : -1] > 0.5
        takes = (things & own[:, None]).any(0)
        return jnp.concatenate([moves[:STAY], jnp.ones(1, bool), takes])

    def present_in(
        self, obs: Float[Array, "... H W P"]
    ) -> Bool[Array, "... n"]:
        return jnp.asarray(obs)[..., : self.num_players].max((-3, -2)) > 0.5

    def state_in(self, obs: Float[Array, "H W P"]) -> GridState:
        """Return the state of an observation.

        Args:
            obs: the observation.

        Returns:
            The state, its seats ego-first; the cells of absent things are arbitrary.
        """
        n, flat = self.num_players, jnp.reshape(obs, (self.cells, -1)) > 0.5
        things = [
            jax.lax.top_k(flat[:, n + 1 + kind].astype(jnp.float32), count)
            for kind, count in enumerate(self.kinds.values())
        ]
        present, cells = map(jnp.concatenate, zip(*things, strict=True))
        time = jnp.round(self.max_steps * (1 - jnp.reshape(obs, -1)[-1]))
        return GridState(
            cell=jnp.argmax(flat[:, :n], 0).astype(jnp.int32),
            left=~flat[:, :n].any(0),
            blocks=flat[:, n],
            thing_cell=cells.astype(jnp.int32),
            thing_present=present > 0.5,
            time=time.astype(jnp.int32),
        )

    def symmetries(self) -> Symmetries:
        """Return the symmetries of grid and seats.

        Returns:
            Rotations and reflections of the grid, times at most 24 orders of the
            other seats.
        """
        boards = _grid_symmetries(self.height, self.width)
        permutations = itertools.permutations(range(self.num_players - 1))
        orders = list(itertools.islice(permutations, 24))
        entries = np.arange(self.cells * len(self.planes))
        entries = entries.reshape(self.cells, -1)
        obs, action, others = [], [], []
        for cells, moves in boards:
            for order in orders:
                planes = np.arange(len(self.planes))
                planes[1 : self.num_players] = 1 + np.array(order, int)
                obs.append(entries[cells][:, planes].reshape(-1))
                action.append([*moves, *range(STAY, self.num_actions)])
                others.append(order)
        tables = (np.array(x, np.int32) for x in (obs, action, others))
        return Symmetries(*(x.reshape(len(obs), -1) for x in tables))

    def achieved(
        self,
        obs: Float[Array, "..."],
        action: Int[Array, "*batch"],
        reward: Float[Array, "*batch"],
    ) -> Int32[Array, "*batch"]:
        taken = np.asarray(action) - len(MOVES)
        rewarded = (taken >= 0) & (np.asarray(reward) != 0)
        return np.where(rewarded, taken, -1).astype(np.int32)

    # -- display ---------------------------------------------------------------

    def _contents(
        self, obs: Float[Array, "H W P"], seat: int
    ) -> list[list[str]]:
        """Return the contents of every cell: players "1", "2", ..., "#", kinds.

        Players are numbered by global seat; "#" is a block.
        """
        flat = np.asarray(obs).reshape(self.cells, -1)
        n = self.num_players
        players = flat[:, np.argsort(ego_order(n)[seat])]
        full = np.concatenate([players, flat[:, n:-1]], axis=1) > 0.5
        names = [str(s + 1) for s in range(n)] + ["#", *self.kinds]
        return [list(itertools.compress(names, cell)) for cell in full]

    def text(self, obs: Float[Array, "H W P"], seat: int = 0) -> str:
        """Return an observation as text: one line a row, then the time left.

        Args:
            obs: the observation.
            seat: the seat that has it.

        Returns:
            Players are numbers, `#` is a block, a thing the first letter of its kind,
            `.` an empty cell.
        """
        cells = [
            "".join(c if c.isdigit() else c[0].upper() for c in contents) or "."
            for contents in self._contents(obs, seat)
        ]
        width = max(map(len, cells))
        rows = [
            " ".join(c.rjust(width) for c in cells[i : i + self.width])
            for i in range(0, self.cells, self.width)
        ]
        left = round(float(np.asarray(obs).reshape(-1)[-1]) * self.max_steps)
        return "\n".join([*rows, f"{left} of {self.max_steps} steps left"])

    def picture(self, obs: Float[Array, "H W P"], seat: int = 0) -> str:
        """Return an observation as an SVG element.

        Args:
            obs: the observation.
            seat: the seat that has it.

        Returns:
            Players are numbered discs, that of `seat` with an outline; things are
            lettered squares.
        """
        parts = [
            _cell_svg(self, contents, seat, index)
            for index, contents in enumerate(self._contents(obs, seat))
        ]
        width, height = CELL_SIZE * self.width, CELL_SIZE * self.height
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" '
            f'role="img" font-family="sans-serif" text-anchor="middle" dominant-baseline="central">'
            f"<title>{self.text(obs, seat)}</title>{''.join(parts)}</svg>"
        )


CELL_SIZE = 44
"""Side of a cell in pictures, in pixels."""

PLAYER_COLOURS = (
    "#3b6fd4",
    "#c2542d",
    "#2f8f5b",
    "#8a4fbf",
    "#b08a1e",
    "#45818e",
    "#a64d79",
    "#666666",
)


def _cell_svg(
    game: GridGame, contents: list[str], seat: int, index: int
) -> str:
    """Return the SVG of one cell."""
    row, column = divmod(index, game.width)
    x, y = column * CELL_SIZE, row * CELL_SIZE
    fill = "#3d3d3d" if "#" in contents else "#f6f4ee"
    parts = [
        f'<rect x="{x}" y="{y}" width="{CELL_SIZE}" height="{CELL_SIZE}" '
        f'fill="{fill}" stroke="#cfcabd"/>'
    ]
    inner = CELL_SIZE - 6
    for thing in contents:
        if thing == "#" or thing.isdigit():
            continue
        parts.append(
            f'<rect x="{x + 3}" y="{y + 3}" width="{inner}" height="{inner}" rx="6" '
            f'fill="{game.colours[thing]}"/>'
            f'<text x="{x + 10}" y="{y + 11}" font-size="11" fill="#333">{thing[0].upper()}</text>'
        )
    players = [int(c) for c in contents if c.isdigit()]
    return "".join([*parts, *_discs_svg(players, seat, x, y)])


def _discs_svg(players: list[int], seat: int, x: int, y: int) -> list[str]:
    """Return the SVG of the players in the cell at (x, y), arranged in a square."""
    columns = max(math.ceil(math.sqrt(len(players))), 1)
    lines = math.ceil(len(players) / columns)
    radius = 11 if columns == 1 else round(17 / columns, 1)
    spacing, half = 40 / columns, CELL_SIZE / 2
    discs = []
    for k, number in enumerate(players):
        line, place = divmod(k, columns)
        cx = round(x + half + (place - (columns - 1) / 2) * spacing, 1)
        cy = round(y + half + (line - (lines - 1) / 2) * spacing, 1)
        ring = ' stroke="#111" stroke-width="2.5"' if number == seat + 1 else ""
        colour = PLAYER_COLOURS[(number - 1) % len(PLAYER_COLOURS)]
        discs.append(
            f'<circle cx="{cx}" cy="{cy}" r="{radius}" fill="{colour}"{ring}/>'
            f'<text x="{cx}" y="{cy}" font-size="{radius + 1}" fill="#fff">{number}</text>'
        )
    return discs
