"""Blocks on a grid: 3- and 4-cell I and L pieces that never touch and never cut the free cells in two.

Boards are rows of bits, uint32 [height, words] with the leftmost cell in the lowest bit: a flood is then a few shifts a step,
many times faster than looking up each cell's neighbours. It is most of what a reset costs.
"""

import jax
import jax.numpy as jnp
import numpy as np

WORD = 32


def block_shapes(height: int, width: int) -> np.ndarray:
    """[shapes, height, width] bool: every piece at every place and turn on the grid."""
    pieces = ["###", "####", "#./##", "#./#./##"]
    masks = set()
    for piece in pieces:
        grid = np.array([[c == "#" for c in line] for line in piece.split("/")])
        for mirrored in (grid, grid[:, ::-1]):
            for turns in range(4):
                turned = np.rot90(mirrored, turns)
                for row in range(height - turned.shape[0] + 1):
                    for column in range(width - turned.shape[1] + 1):
                        board = np.zeros((height, width), bool)
                        board[
                            row : row + turned.shape[0],
                            column : column + turned.shape[1],
                        ] = turned
                        masks.add(board.tobytes())
    return np.array(
        [np.frombuffer(m, bool) for m in sorted(masks)], bool
    ).reshape(-1, height, width)


def pack(boards: np.ndarray) -> np.ndarray:
    """Boards [..., height, width] bool as rows of bits, [..., height, words] uint32."""
    width = boards.shape[-1]
    words = -(-width // WORD)
    padded = np.pad(
        boards, [(0, 0)] * (boards.ndim - 1) + [(0, words * WORD - width)]
    )
    bits = padded.reshape(*boards.shape[:-1], words, WORD).astype(np.uint32)
    return (bits << np.arange(WORD, dtype=np.uint32)).sum(-1, dtype=np.uint32)


def unpack(rows: jax.Array, width: int) -> jax.Array:
    """Rows of bits [height, words] as a board [height, width] bool."""
    bits = (rows[..., None] >> jnp.arange(WORD, dtype=jnp.uint32)) & 1
    return bits.reshape(rows.shape[0], -1)[:, :width].astype(bool)


def around(rows: jax.Array) -> jax.Array:
    """The cells of `rows` and those that share an edge with one. Bits beyond the width can appear: mask them."""
    none, no_word = jnp.zeros_like(rows[:1]), jnp.zeros_like(rows[:, :1])
    right = rows << 1 | jnp.concatenate([no_word, rows[:, :-1]], 1) >> (
        WORD - 1
    )
    left = rows >> 1 | jnp.concatenate([rows[:, 1:], no_word], 1) << (WORD - 1)
    return (
        rows
        | right
        | left
        | jnp.concatenate([rows[1:], none])
        | jnp.concatenate([none, rows[:-1]])
    )


def connected(free: jax.Array) -> jax.Array:
    """[] bool: the cells of `free` (rows of bits) hang together (by a flood from one of them)."""
    flat = free.reshape(-1)
    lowest = flat & (~flat + 1)  # of each word, its lowest bit alone
    start = jnp.where(
        jnp.arange(len(flat)) == jnp.argmax(flat != 0), lowest, 0
    ).reshape(free.shape)

    def spread(
        flood: tuple[jax.Array, jax.Array],
    ) -> tuple[jax.Array, jax.Array]:
        wet, _ = flood
        more = free & around(wet)
        return more, (more != wet).any()

    wet, _ = jax.lax.while_loop(
        lambda flood: flood[1], spread, (start, jnp.bool_(True))
    )
    return (wet == free).all()


def place_blocks(
    key: jax.Array, height: int, width: int, tries: int, min_free: int
) -> jax.Array:
    """[height * width] bool: `tries` tries to put a random piece.

    A try that touches an earlier piece by an edge, cuts the free area in two or leaves fewer than `min_free` cells fails.
    """
    shapes = block_shapes(height, width)
    if tries == 0 or len(shapes) == 0:  # the grid can be too small for any
        return jnp.zeros(height * width, bool)
    pieces, everywhere = (
        jnp.asarray(pack(shapes)),
        jnp.asarray(pack(np.ones((height, width), bool))),
    )

    def attempt(board: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
        piece = pieces[jax.random.randint(key, (), 0, len(pieces))]
        candidate = board | piece
        free = everywhere & ~candidate
        touches = (
            around(board) & piece != 0
        ).any()  # two pieces that touch would make one larger shape
        fits = (
            ~touches
            & (jax.lax.population_count(free).sum() >= min_free)
            & connected(free)
        )
        return jnp.where(fits, candidate, board), None

    board, _ = jax.lax.scan(
        attempt, jnp.zeros_like(everywhere), jax.random.split(key, tries)
    )
    return unpack(board, width).reshape(-1)
