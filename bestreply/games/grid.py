"""What the grid games share: cells, moves, planes, blocks, boards to look at.

A cell is its index ``row * width + column``. An observation is planes ``(height, width, P)``: the players ego
first, blocks, the things to be had, and a last plane filled with the fraction of time left. All are 0/1
except the last.
"""

import dataclasses
import itertools
import math
from typing import Any, ClassVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from bestreply.games.base import Game, Symmetries
from bestreply.games.blocks import place_blocks
from bestreply.types import Array, TimeStep, ego_order

UP, DOWN, LEFT, RIGHT, STAY = range(5)
MOVES = ("UP", "DOWN", "LEFT", "RIGHT", "STAY")
OFFSETS = np.array([(-1, 0), (1, 0), (0, -1), (0, 1), (0, 0)])


def targets(height: int, width: int) -> np.ndarray:
    """[cells, 5] int32: the cell that each move leads to, -1 off the grid."""
    rows, columns = np.divmod(np.arange(height * width)[:, None], width)
    rows, columns = rows + OFFSETS[:, 0], columns + OFFSETS[:, 1]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return np.where(inside, rows * width + columns, -1).astype(np.int32)


def distances(height: int, width: int) -> np.ndarray:
    """[cells, cells] int32: Manhattan distances."""
    rows, columns = np.divmod(np.arange(height * width), width)
    return (abs(rows[:, None] - rows) + abs(columns[:, None] - columns)).astype(
        np.int32
    )


def check_types(game: Game) -> None:
    """Raises ValueError for a setting that is not what its field takes."""
    kinds = {
        int: (lambda v: type(v) is int and v >= 0, "a whole number, 0 or more"),
        bool: (lambda v: type(v) is bool, "True or False"),
        float: (
            lambda v: isinstance(v, int | float) and math.isfinite(v),
            "a finite number",
        ),
    }
    for field in dataclasses.fields(cast(Any, game)):
        fits, wanted = kinds.get(field.type, (lambda v: True, ""))
        value = getattr(game, field.name)
        if not fits(value):
            raise ValueError(
                f"{game.name}: {field.name}={value!r}; expected: {wanted}"
            )


def _turned(height: int, width: int) -> list[tuple[np.ndarray, list[int]]]:
    """Every turn and mirror of the grid onto itself: for each new cell the old one, and what UP, DOWN, LEFT, RIGHT become."""
    grid = np.arange(height * width).reshape(height, width)
    turned = []
    for mirror in (False, True):
        for quarter in range(4) if height == width else (0, 2):
            old = np.rot90(grid[:, ::-1] if mirror else grid, quarter).reshape(
                -1
            )
            offset = OFFSETS[:STAY]
            flipped = offset * [1, -1] if mirror else offset
            moved = flipped @ np.linalg.matrix_power(
                np.array([[0, 1], [-1, 0]]), quarter
            )
            moves = [
                next(b for b in range(STAY) if (offset[b] == m).all())
                for m in moved
            ]
            turned.append((old, moves))
    return turned


class GridState(eqx.Module):
    """State of a grid game of ``n`` players and ``K`` things in all."""

    cell: Array  # [n] int32, where each player stands (or stood when it left)
    left: Array  # [n] bool, who has left for good
    blocks: Array  # [cells] bool
    thing_cell: Array  # [K] int32
    thing_present: Array  # [K] bool, not taken yet
    time: Array  # [] int32, steps made


@dataclasses.dataclass(frozen=True)
class GridGame(Game):
    """Players on a `height` x `width` grid of free cells and blocks; several may share a cell, nobody blocks
    anybody.

    A subclass names its kinds of things (`kinds`: name -> how many), the action that takes each kind, its
    players, and gives `take`. `blocks` is the largest number of block components (3- or 4-cell I and L
    shapes) to be placed.
    """

    height: int = 4
    width: int = 4
    blocks: int = 0
    max_steps: int = 15

    takers: ClassVar[
        tuple[str, ...]
    ]  # the actions after STAY, one for each kind in order
    role: ClassVar[str]  # what a player is called in pictures
    colours: ClassVar[dict[str, str]]

    @property
    def kinds(self) -> dict[str, int]:
        raise NotImplementedError

    def take(
        self, state: GridState, actions: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Rewards [n] float32, who leaves [n] bool, which things go [K] bool; who takes stays where it is.

        Of who has left, which things are there and who takes which of them alone, the exact solver is fast. Anything else, such as
        where those stand that take nothing, is allowed too.
        """
        raise NotImplementedError

    def check_settings(self) -> None:
        """Raises ValueError where the settings leave no room or no game."""
        things = sum(self.kinds.values())
        if self.height < 1 or self.width < 1 or self.max_steps < 1:
            raise ValueError(
                f"{self.name}: {self.height}x{self.width}, max_steps={self.max_steps}; expected: at least 1"
            )
        if things < 1 or things > self.cells:
            raise ValueError(
                f"{self.name}: {things} things for {self.cells} cells; expected: between 1 and {self.cells}"
            )

    def __post_init__(self) -> None:
        check_types(self)
        self.check_settings()

    # -- shape -----------------------------------------------------------------------------------------------

    @property
    def cells(self) -> int:
        return self.height * self.width

    @property
    def action_names(self) -> tuple[str, ...]:
        return MOVES + self.takers

    @property
    def planes(self) -> tuple[str, ...]:
        others = tuple(f"{self.role}_{j}" for j in range(1, self.num_players))
        return ("self", *others, "blocks", *self.kinds, "time")

    @property
    def obs_shape(self) -> tuple[int, ...]:
        return (self.height, self.width, len(self.planes))

    @property
    def binary(self) -> np.ndarray:
        return np.broadcast_to(
            np.arange(len(self.planes)) < len(self.planes) - 1, self.obs_shape
        )

    @property
    def thing_kind(self) -> np.ndarray:
        """[K] int: the kind of each thing."""
        return np.repeat(np.arange(len(self.kinds)), list(self.kinds.values()))

    # -- rules -----------------------------------------------------------------------------------------------

    def start(self, key: jax.Array) -> GridState:
        block_key, thing_key, player_key = jax.random.split(key, 3)
        things = sum(self.kinds.values())
        blocks = place_blocks(
            block_key, self.height, self.width, self.blocks, min_free=things
        )
        # The cells of the `things` smallest draws, free cells before blocks; for each player, the free cell of the largest draw.
        _, thing_cell = jax.lax.top_k(
            -(jax.random.uniform(thing_key, (self.cells,)) + blocks), things
        )
        draws = jax.random.uniform(player_key, (self.num_players, self.cells))
        return GridState(
            cell=jnp.argmax(jnp.where(blocks, -1.0, draws), axis=1).astype(
                jnp.int32
            ),
            left=jnp.zeros(self.num_players, bool),
            blocks=blocks,
            thing_cell=thing_cell.astype(jnp.int32),
            thing_present=jnp.ones(things, bool),
            time=jnp.int32(0),
        )

    def advance(
        self, state: GridState, actions: jax.Array, key: jax.Array
    ) -> tuple[GridState, jax.Array]:
        actions = jnp.where(state.left, STAY, actions)
        reward, leaves, gone = self.take(state, actions)
        state = GridState(
            cell=self._moved(state.cell, actions),
            left=state.left | leaves,
            blocks=state.blocks,
            thing_cell=state.thing_cell,
            thing_present=state.thing_present & ~gone,
            time=state.time + 1,
        )
        return state, reward

    def _moved(self, cell: Array, actions: jax.Array) -> jax.Array:
        """The cell that each action leads to; the grid's edge holds."""
        row, column = cell // self.width, cell % self.width
        row = jnp.clip(
            row + (actions == DOWN) - (actions == UP), 0, self.height - 1
        )
        column = jnp.clip(
            column + (actions == RIGHT) - (actions == LEFT), 0, self.width - 1
        )
        return row * self.width + column

    def over(self, state: GridState) -> jax.Array:
        """[] bool: there is nothing left to play for, whatever the time."""
        return jnp.asarray(~state.thing_present.any())

    def finished(self, state: GridState) -> jax.Array:
        return jnp.asarray(self.over(state) | (state.time >= self.max_steps))

    def look(self, state: GridState, reward: jax.Array) -> TimeStep:
        over = self.over(state)
        return TimeStep(
            obs=self.observe(state),
            legal=self.legal(state),
            reward=reward.astype(jnp.float32),
            terminated=state.left | over,
            truncated=(state.time >= self.max_steps) & ~over,
            present=~state.left,
        )

    # `observe` and `legal` compare cells rather than look them up or scatter into planes: XLA makes one vectorised loop of it.

    def observe(self, state: GridState) -> jax.Array:
        """[n, H, W, P] float32."""
        n, extra = self.num_players, len(self.planes) - self.num_players
        cells = jnp.arange(self.cells)
        thing = jnp.where(state.thing_present, state.thing_cell, -1)
        kinds = [(thing[mine] == cells[:, None]).any(1) for mine in self._slots]
        time = jnp.full(
            self.cells, (self.max_steps - state.time) / self.max_steps
        )
        board = jnp.stack(
            [jnp.zeros(self.cells)] * n + [state.blocks, *kinds, time], axis=1
        )  # [cells, P], nobody on it
        place = jnp.where(state.left, -1, state.cell)
        seen = jnp.stack(
            [
                jnp.stack([place[seat] for seat in seats])
                for seats in ego_order(n)
            ]
        )  # [n, n]
        seen = jnp.pad(
            seen, ((0, 0), (0, extra)), constant_values=-1
        )  # [n, P], the cell of each plane's player
        return jnp.where(cells[:, None] == seen[:, None], 1.0, board).reshape(
            n, *self.obs_shape
        )

    def legal(self, state: GridState) -> jax.Array:
        """[n, A] bool."""
        row, column = state.cell // self.width, state.cell % self.width
        free = [
            row > 0,
            row < self.height - 1,
            column > 0,
            column < self.width - 1,
        ]
        if self.blocks:
            steps = OFFSETS[:STAY] @ [self.width, 1]
            free = [
                f & ~state.blocks[jnp.clip(state.cell + by, 0, self.cells - 1)]
                for f, by in zip(free, steps, strict=True)
            ]
        on = (
            state.cell[:, None] == state.thing_cell
        ) & state.thing_present  # [n, K]
        takes = [on[:, mine].any(1) for mine in self._slots]
        legal = jnp.stack(
            [*free, jnp.ones(self.num_players, bool), *takes], axis=1
        )
        return legal & ~state.left[:, None] | (
            jnp.arange(self.num_actions) == STAY
        )

    @property
    def _slots(self) -> list[slice]:
        """Where the things of each kind are among all things."""
        ends = np.cumsum([0, *self.kinds.values()])
        return [slice(int(a), int(b)) for a, b in itertools.pairwise(ends)]

    # -- what an observation tells ---------------------------------------------------------------------------

    def perspective(self, obs: Array, other: Array | int) -> Array:
        """Seat `other` (ego-first index) first, the rest in the order in which we see them."""
        n = self.num_players
        first = jnp.arange(n) == other
        order = jnp.argsort(~first, stable=True)
        return jnp.concatenate(
            [jnp.take(obs[..., :n], order, axis=-1), obs[..., n:]], axis=-1
        )

    def legal_in(self, obs: Array) -> jax.Array:
        flat = jnp.reshape(obs, (self.cells, -1))
        me, blocks = flat[:, 0] > 0.5, flat[:, self.num_players] > 0.5
        to = jnp.asarray(targets(self.height, self.width))
        moves = ((to >= 0) & ~blocks[to] & me[:, None]).any(0)
        things = flat[:, self.num_players + 1 : -1] > 0.5
        takes = (things & me[:, None]).any(0)
        return jnp.concatenate([moves[:STAY], jnp.ones(1, bool), takes])

    def present_in(self, obs: Array) -> jax.Array:
        return jnp.asarray(obs)[..., : self.num_players].max((-3, -2)) > 0.5

    def state_in(self, obs: Array) -> GridState:
        """Things that are gone lie anywhere."""
        n, flat = self.num_players, jnp.reshape(obs, (self.cells, -1)) > 0.5
        things = [
            jax.lax.top_k(flat[:, n + 1 + kind].astype(jnp.float32), count)
            for kind, count in enumerate(self.kinds.values())
        ]
        time = jnp.round(self.max_steps * (1 - jnp.reshape(obs, -1)[-1]))
        return GridState(
            cell=jnp.argmax(flat[:, :n], 0).astype(jnp.int32),
            left=~flat[:, :n].any(0),
            blocks=flat[:, n],
            thing_cell=jnp.concatenate([cells for _, cells in things]).astype(
                jnp.int32
            ),
            thing_present=jnp.concatenate([there for there, _ in things]) > 0.5,
            time=time.astype(jnp.int32),
        )

    def symmetries(self) -> Symmetries:
        """Turns and mirrors of the grid, times orders of the others (no more than 24 of those)."""
        boards = _turned(self.height, self.width)
        orders = list(
            itertools.islice(
                itertools.permutations(range(self.num_players - 1)), 24
            )
        )
        places = np.arange(self.cells * len(self.planes)).reshape(
            self.cells, -1
        )
        obs, action, others = [], [], []
        for cells, moves in boards:
            for order in orders:
                planes = np.arange(len(self.planes))
                planes[1 : self.num_players] = 1 + np.array(order, int)
                obs.append(places[cells][:, planes].reshape(-1))
                action.append([*moves, *range(STAY, self.num_actions)])
                others.append(order)
        return Symmetries(
            *(
                np.array(x, np.int32).reshape(len(obs), -1)
                for x in (obs, action, others)
            )
        )

    def achieved(self, obs: Array, action: Array, reward: Array) -> jax.Array:
        taken = jnp.asarray(action) - len(MOVES)
        return jnp.where(
            (taken >= 0) & (jnp.asarray(reward) != 0), taken, -1
        ).astype(jnp.int32)

    # -- to look at ------------------------------------------------------------------------------------------

    def _contents(self, obs: Array, seat: int) -> list[list[str]]:
        """What is in every cell: "1", "2", ... players by global seat, "#" a block, kinds of things."""
        flat = np.asarray(obs).reshape(self.cells, -1)
        n = self.num_players
        flat = np.concatenate(
            [flat[:, np.argsort(ego_order(n)[seat])], flat[:, n:]], axis=1
        )
        names = [str(s + 1) for s in range(n)] + ["#", *self.kinds]
        return [
            [
                name
                for name, value in zip(names, cell[:-1], strict=True)
                if value > 0.5
            ]
            for cell in flat
        ]

    def text(self, obs: Array, seat: int = 0) -> str:
        """One line a row; players by number, `#` a block, the first letter of a thing, `.` nothing."""
        cells = [
            "".join(
                c if len(c) == 1 or c.isdigit() else c[0].upper() for c in cell
            )
            or "."
            for cell in self._contents(obs, seat)
        ]
        wide = max(map(len, cells))
        rows = [
            " ".join(c.rjust(wide) for c in cells[i : i + self.width])
            for i in range(0, self.cells, self.width)
        ]
        left = round(float(np.asarray(obs).reshape(-1)[-1]) * self.max_steps)
        return "\n".join([*rows, f"{left} of {self.max_steps} steps left"])

    def picture(self, obs: Array, seat: int = 0) -> str:
        """A board as SVG: players are numbered discs, `seat` outlined; things are lettered squares."""
        size = 44
        parts = [
            _cell_svg(self, contents, seat, index, size)
            for index, contents in enumerate(self._contents(obs, seat))
        ]
        width, height = size * self.width, size * self.height
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" '
            f'role="img" font-family="sans-serif" text-anchor="middle" dominant-baseline="central">'
            f"<title>{self.text(obs, seat)}</title>{''.join(parts)}</svg>"
        )


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
    game: GridGame, contents: list[str], seat: int, index: int, size: int
) -> str:
    row, column = divmod(index, game.width)
    x, y = column * size, row * size
    fill = "#3d3d3d" if "#" in contents else "#f6f4ee"
    parts = [
        f'<rect x="{x}" y="{y}" width="{size}" height="{size}" fill="{fill}" stroke="#cfcabd"/>'
    ]
    things = [c for c in contents if c != "#" and not c.isdigit()]
    for thing in things:
        parts.append(
            f'<rect x="{x + 3}" y="{y + 3}" width="{size - 6}" height="{size - 6}" rx="6" '
            f'fill="{game.colours[thing]}"/>'
        )
        parts.append(
            f'<text x="{x + 10}" y="{y + 11}" font-size="11" fill="#333">{thing[0].upper()}</text>'
        )
    players = [int(c) for c in contents if c.isdigit()]
    columns = max(math.ceil(math.sqrt(len(players))), 1)
    lines = math.ceil(len(players) / columns)
    radius = 11 if columns == 1 else round(17 / columns, 1)
    for k, number in enumerate(players):
        cx = round(
            x + size / 2 + (k % columns - (columns - 1) / 2) * 40 / columns, 1
        )
        cy = round(
            y + size / 2 + (k // columns - (lines - 1) / 2) * 40 / columns, 1
        )
        ring = ' stroke="#111" stroke-width="2.5"' if number == seat + 1 else ""
        colour = PLAYER_COLOURS[(number - 1) % len(PLAYER_COLOURS)]
        parts.append(
            f'<circle cx="{cx}" cy="{cy}" r="{radius}" fill="{colour}"{ring}/>'
        )
        parts.append(
            f'<text x="{cx}" y="{cy}" font-size="{radius + 1}" fill="#fff">{number}</text>'
        )
    return "".join(parts)
