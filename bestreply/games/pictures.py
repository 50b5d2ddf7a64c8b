"""Pictures of observations by their shape and type, and of what a game draws itself.

Every picture is an SVG element. Pixels stand in it as one embedded PNG, so that pages
need no further file.
"""

import base64
import io
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped, UInt8

MAX_SIDE = 200
"""Pixels of the longer side of a picture; larger ones are reduced."""
COLOURS = 64
"""Colours of a picture with more."""
MAX_TILES = 36
"""Planes that are shown of an observation."""
MAX_ROWS = 24
"""Entries of a vector up to which each has a row with its number."""
MAX_BARS = 192
"""Entries of a vector up to which each has a bar; longer ones are pixels."""
_BARS_A_ROW = 48
_POSITIVE, _NEGATIVE = "#0072b2", "#d55e00"


def image_picture(
    pixels: UInt8[np.ndarray, "H W 3"], max_side: int = MAX_SIDE
) -> str:
    """Return a picture of pixels.

    Args:
        pixels: [H, W, 3] colours.
        max_side: a longer side is reduced to this many pixels.

    Returns:
        The element.
    """
    height, width = pixels.shape[:2]
    return _svg(width, height, _image(pixels, (0, 0, width, height), max_side))


def observation_picture(
    obs: Shaped[np.ndarray, "..."],
    planes: Sequence[str] = (),
    num_players: int = 0,
) -> str:
    """Return a picture of an observation, drawn by its shape and type.

    Args:
        obs: the observation: a vector, an image (uint8 with 1 or 3 channels) or planes
            along the last axis.
        planes: names of the planes, where they have any.
        num_players: number of seats; marks of the seat behind an observation
            (`bestreply.games.seats.seat_marks`) are left out.

    Returns:
        The element: an image, a tile for each plane, or a bar for each entry.
    """
    obs = _without_marks(np.asarray(obs), num_players)
    if obs.ndim == 2:
        obs = obs[..., None]
    if obs.ndim != 3 or 0 in obs.shape:
        return _vector(obs.reshape(-1).astype(np.float64))
    if obs.dtype == np.uint8 and obs.shape[2] in (1, 3) and not planes:
        return image_picture(np.broadcast_to(obs, (*obs.shape[:2], 3)))
    return _tiles(obs, planes)


def text_picture(text: str) -> str:
    """Return a picture of lines of text.

    Args:
        text: the lines.

    Returns:
        The element.
    """
    lines = text.splitlines()
    width = 7 * max(map(len, lines), default=1) + 12
    height = 16 * len(lines) + 8
    rows = "".join(
        f'<text x="6" y="{16 * (i + 1)}">{_escape(line)}</text>'
        for i, line in enumerate(lines)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="monospace" font-size="12" fill="currentColor" '
        f'xml:space="preserve">{rows}</svg>'
    )


# -- pixels --------------------------------------------------------------------


def _image(
    pixels: UInt8[np.ndarray, "H W C"],
    box: tuple[float, float, float, float],
    max_side: int = MAX_SIDE,
) -> str:
    """Return an image element in a box (x, y, width, height)."""
    x, y, width, height = box
    content = base64.b64encode(_png(pixels, max_side)).decode()
    sharp = (
        ' image-rendering="pixelated"' if max(pixels.shape[:2]) < 120 else ""
    )
    return (
        f'<image x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"{sharp} '
        f'href="data:image/png;base64,{content}"/>'
    )


def _png(pixels: UInt8[np.ndarray, "H W C"], max_side: int) -> bytes:
    from PIL import Image

    if pixels.shape[2] == 1:
        image = Image.fromarray(np.ascontiguousarray(pixels[..., 0]))
    else:
        image = Image.fromarray(np.ascontiguousarray(pixels))
    scale = max_side / max(image.size)
    if scale < 1:
        size = [max(round(side * scale), 1) for side in image.size]
        image = image.resize((size[0], size[1]), Image.Resampling.BOX)
    if image.mode == "RGB":
        image = image.quantize(COLOURS, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _grey(values: Shaped[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """Return values as shades: 0 is white, 1 or the largest value is black."""
    values = _finite(values)
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return (255 * (high - values) / (high - low)).astype(np.uint8)


def _finite(values: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    return np.nan_to_num(values.astype(np.float64)).clip(-1e300, 1e300)


# -- planes --------------------------------------------------------------------


def _tiles(obs: Shaped[np.ndarray, "H W P"], planes: Sequence[str]) -> str:
    """Return a tile for each plane, with its name or number above."""
    height, width, count = obs.shape
    shown = min(count, MAX_TILES)
    columns = math.ceil(math.sqrt(shown))
    rows = math.ceil(shown / columns)
    across = max(66.0, width * 1.0)
    down = across * height / width
    parts = []
    for k in range(shown):
        x, y = (across + 8) * (k % columns), (down + 18) * (k // columns)
        name = planes[k] if k < len(planes) else str(k)
        parts.append(_label(name, x, y + 11, across))
        grey = _grey(obs[..., k])[..., None]
        parts.append(_image(grey, (x, y + 14, across, down)))
        parts.append(
            f'<rect x="{x:g}" y="{y + 14:g}" width="{across:g}" height="{down:g}" '
            'fill="none" stroke="currentColor" stroke-width="0.5"/>'
        )
    total = (down + 18) * rows
    if count > shown:
        parts.append(_label(f"+ {count - shown}", 0, total + 12, 200))
        total += 18
    return _svg((across + 8) * columns - 8, total, "".join(parts))


def _label(text: str, x: float, y: float, width: float) -> str:
    most = int(width / 5)
    text = text if len(text) <= most else text[: most - 1] + "…"
    size = min(11.0, width / (0.62 * max(len(text), 1)))
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:.1f}" '
        f'fill="currentColor">{_escape(text)}</text>'
    )


# -- vectors -------------------------------------------------------------------


def _vector(values: Shaped[np.ndarray, " D"]) -> str:
    if len(values) <= MAX_ROWS:
        return _numbered_bars(_finite(values), values)
    values = _finite(values)
    if len(values) <= MAX_BARS:
        return _bars(values)
    columns = math.ceil(math.sqrt(2 * len(values)))
    rows = math.ceil(len(values) / columns)
    cells = np.zeros(rows * columns)
    cells[: len(values)] = values
    grey = _grey(cells.reshape(rows, columns))[..., None]
    return _svg(
        280,
        280 * rows / columns,
        _image(grey, (0, 0, 280, 280 * rows / columns)),
    )


def _numbered_bars(
    values: Shaped[np.ndarray, " D"], written: Shaped[np.ndarray, " D"]
) -> str:
    """Return a row for each entry: its index, a bar from zero, its value."""
    low, high = min(values.min(initial=0), 0.0), max(values.max(initial=0), 0.0)
    scale = 130 / ((high - low) or 1.0)
    zero = 32 - low * scale
    parts = []
    for k, value in enumerate(values.tolist()):
        y = 15 * k
        end = zero + value * scale
        parts.append(
            f'<text x="22" y="{y + 11}" font-size="11" text-anchor="end" '
            f'fill="currentColor">{k}</text>'
        )
        parts.append(_bar(min(zero, end), y + 2, abs(end - zero), 10, value))
        parts.append(
            f'<text x="172" y="{y + 11}" font-size="11" '
            f'fill="currentColor">{written[k]:.4g}</text>'
        )
    parts.append(_line(zero, 0, zero, 15 * len(values)))
    return _svg(240, max(15 * len(values), 15), "".join(parts))


def _bars(values: Shaped[np.ndarray, " D"]) -> str:
    """Return an upright bar for each entry, in rows of `_BARS_A_ROW`."""
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    scale = 50 / ((high - low) or 1.0)
    parts = []
    for k, value in enumerate(values.tolist()):
        row, place = divmod(k, _BARS_A_ROW)
        zero = 64 * row + high * scale + 2
        top = zero - max(value, 0.0) * scale
        parts.append(_bar(40 + 5 * place, top, 4, abs(value) * scale, value))
    rows = math.ceil(len(values) / _BARS_A_ROW)
    for row in range(rows):
        zero = 64 * row + high * scale + 2
        parts.append(_line(40, zero, 40 + 5 * _BARS_A_ROW, zero))
        parts.append(_label(str(row * _BARS_A_ROW), 0, zero + 4, 36))
    parts.append(_label(f"{low:.3g} – {high:.3g}", 40, 64 * rows + 12, 200))
    return _svg(40 + 5 * _BARS_A_ROW, 64 * rows + 16, "".join(parts))


def _bar(x: float, y: float, width: float, height: float, value: float) -> str:
    fill = _POSITIVE if value >= 0 else _NEGATIVE
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}" fill="{fill}"/>'
    )


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        'stroke="currentColor" stroke-width="0.5"/>'
    )


def _without_marks(
    obs: Shaped[np.ndarray, "..."], num_players: int
) -> Shaped[np.ndarray, "..."]:
    """Return an observation without the marks of its seat, if it ends in them."""
    if num_players < 2 or obs.ndim == 0 or obs.shape[-1] <= num_players:
        return obs
    marks = obs[..., -num_players:].reshape(-1, num_players)
    is_mark = set(np.unique(marks).tolist()) == {0, 1} and marks[0].sum() == 1
    if not is_mark or (marks != marks[0]).any():
        return obs
    return obs[..., :-num_players]


def _svg(width: float, height: float, content: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" font-family="sans-serif">'
        f"{content}</svg>"
    )


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
