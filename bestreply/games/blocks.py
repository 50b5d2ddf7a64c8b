"""Blocks on a grid: 3- and 4-cell I and L pieces.

Pieces never touch each other by an edge and never divide the free cells. Boards are
rows of bits, uint32 [height, words] with the leftmost cell in the lowest bit, so a
step of a flood fill is a few shifts, many times faster than a lookup of neighbours.
The flood fills take most of the time of a reset.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PRNGKeyArray, UInt32

WORD = 32
"""Bits of a word."""

PIECES = ("###", "####", "#./##", "#./#./##")
"""The pieces, rows separated by ``/``."""


def block_shapes(
    height: int, width: int
) -> Bool[np.ndarray, "shapes {height} {width}"]:
    """Return every piece in every position and orientation on the grid.

    Args:
        height: rows of the grid.
        width: columns of the grid.

    Returns:
        Different boards, in a fixed order.
    """
    masks = set()
    for piece in PIECES:
        cells = np.array([[c == "#" for c in row] for row in piece.split("/")])
        for mirrored in (cells, cells[:, ::-1]):
            for quarters in range(4):
                masks |= _placements(
                    np.rot90(mirrored, quarters), height, width
                )
    boards = [np.frombuffer(m, bool) for m in sorted(masks)]
    return np.array(boards, bool).reshape(-1, height, width)


def _placements(piece: np.ndarray, height: int, width: int) -> set[bytes]:
    """Return the boards with an oriented piece at every position."""
    rows, columns = piece.shape
    boards = set()
    for row in range(height - rows + 1):
        for column in range(width - columns + 1):
            board = np.zeros((height, width), bool)
            board[row : row + rows, column : column + columns] = piece
            boards.add(board.tobytes())
    return boards


def pack(
    boards: Bool[np.ndarray, "*batch height width"],
) -> UInt32[np.ndarray, "*batch height words"]:
    """Return boards as rows of bits.

    Args:
        boards: boards.

    Returns:
        One or more words for every row.
    """
    width = boards.shape[-1]
    words = -(-width // WORD)
    padding = [(0, 0)] * (boards.ndim - 1) + [(0, words * WORD - width)]
    padded = np.pad(boards, padding)
    bits = padded.reshape(*boards.shape[:-1], words, WORD).astype(np.uint32)
    return (bits << np.arange(WORD, dtype=np.uint32)).sum(-1, dtype=np.uint32)


def unpack(
    rows: UInt32[Array, "height words"], width: int
) -> Bool[Array, "height {width}"]:
    """Return rows of bits as a board.

    Args:
        rows: rows of bits.
        width: columns of the board.

    Returns:
        The board.
    """
    bits = (rows[..., None] >> jnp.arange(WORD, dtype=jnp.uint32)) & 1
    return bits.reshape(rows.shape[0], -1)[:, :width].astype(bool)


def around(
    rows: UInt32[Array, "height words"],
) -> UInt32[Array, "height words"]:
    """Return the cells of a board and their neighbours by an edge.

    Args:
        rows: rows of bits.

    Returns:
        Rows of bits; bits beyond the width can be set and have to be masked.
    """
    no_row, no_word = jnp.zeros_like(rows[:1]), jnp.zeros_like(rows[:, :1])
    previous = jnp.concatenate([no_word, rows[:, :-1]], 1)
    following = jnp.concatenate([rows[:, 1:], no_word], 1)
    right = rows << 1 | previous >> (WORD - 1)
    left = rows >> 1 | following << (WORD - 1)
    up = jnp.concatenate([rows[1:], no_row])
    down = jnp.concatenate([no_row, rows[:-1]])
    return rows | right | left | up | down


def connected(free: UInt32[Array, "height words"]) -> Bool[Array, ""]:
    """Return whether cells are connected, by a flood fill from one of them.

    Args:
        free: the cells, as rows of bits.

    Returns:
        True also for no cells.
    """
    flat = free.reshape(-1)
    lowest = flat & (~flat + 1)  # the lowest bit of each word
    first = jnp.arange(len(flat)) == jnp.argmax(flat != 0)
    start = jnp.where(first, lowest, 0).reshape(free.shape)

    def spread(
        flood: tuple[jax.Array, jax.Array],
    ) -> tuple[jax.Array, jax.Array]:
        filled, _ = flood
        more = free & around(filled)
        return more, (more != filled).any()

    filled, _ = jax.lax.while_loop(
        lambda flood: flood[1], spread, (start, jnp.bool_(True))
    )
    return (filled == free).all()


def place_blocks(
    key: PRNGKeyArray, height: int, width: int, tries: int, min_free: int
) -> Bool[Array, " cells"]:
    """Return a board of randomly placed pieces.

    A try fails if its piece touches an earlier one by an edge, divides the free cells
    or leaves fewer than `min_free` of them.

    Args:
        key: random key.
        height: rows of the grid.
        width: columns of the grid.
        tries: pieces to try, one after another.
        min_free: the least number of free cells.

    Returns:
        The cells of the placed pieces.
    """
    shapes = block_shapes(height, width)
    if (
        tries == 0 or len(shapes) == 0
    ):  # a grid can be too small for every piece
        return jnp.zeros(height * width, bool)
    pieces = jnp.asarray(pack(shapes))
    grid = jnp.asarray(pack(np.ones((height, width), bool)))

    def attempt(board: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
        piece = pieces[jax.random.randint(key, (), 0, len(pieces))]
        candidate = board | piece
        free = grid & ~candidate
        touches = (
            around(board) & piece != 0
        ).any()  # would form a larger piece
        count = jax.lax.population_count(free).sum()
        fits = ~touches & (count >= min_free) & connected(free)
        return jnp.where(fits, candidate, board), None

    keys = jax.random.split(key, tries)
    board, _ = jax.lax.scan(attempt, jnp.zeros_like(grid), keys)
    return unpack(board, width).reshape(-1)
