"""Draw a recorded match as an animated GIF.

Each step is a frame with the board, the scores of the agent's actions and its
beliefs. The match is an entry of `matches.json` (docs/files.md), with the same checks
as in the report. The picture is drawn shape by shape. The text of the observation
replaces a missing picture and a picture with other shapes than those of a board.
"""

import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from bestreply.report.checks import row_of, rows_of
from bestreply.report.matches import (
    Match,
    MatchStep,
    choice_sentence,
    opponent_sentence,
    read_matches,
)
from bestreply.report.run_files import clean
from bestreply.report.texts import Texts, fixed, load_texts
from bestreply.utils.files import write_bytes

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

Document = dict[str, Any]

WIDTH, MARGIN, GAP = 800, 20, 28  # px
BOARD_WIDTH, ROW, BAR = 340, 22, 15  # px: of the board, of a line, of a bar
OVERSAMPLING = 2
"""Frames are drawn larger and reduced, which smooths discs and lines."""
STEP_MS, LAST_MS = 1500, 4000
MAX_STEPS, MAX_ACTIONS, MAX_OPPONENTS = 50, 10, 6
"""Shown of a match, to limit the size of the file."""
PALETTE = 64
PAPER, INK, FAINT, TRACK = "#ffffff", "#1d2329", "#5c6670", "#eceff2"
CHOSEN, OTHER, ILLEGAL = "#0072b2", "#a9bccb", "#7d8a96"
TYPE_COLOURS = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#f0e442",
    "#8a8f98",
)

# The first font on the machine; Pillow's own for Latin text without one.
SANS = (
    "DejaVuSans.ttf",
    "LiberationSans-Regular.ttf",
    "Arial.ttf",
    "arial.ttf",
)
MONO = (
    "DejaVuSansMono.ttf",
    "LiberationMono-Regular.ttf",
    "Menlo.ttc",
    "consola.ttf",
)
CHINESE = (
    "NotoSansCJK-Regular.ttc", "NotoSansSC-Regular.otf", "SourceHanSansSC-Regular.otf", "wqy-microhei.ttc", "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf", "PingFang.ttc", "Hiragino Sans GB.ttc", "msyh.ttc", "simhei.ttf",
)  # fmt: skip


def write_gif(document: Document, path: Path, lang: str = "en") -> Path:
    """Write a match as an animated GIF, 800 pixels wide.

    Args:
        document: an entry of `matches.json`; the first `MAX_STEPS` steps are
            shown.
        path: file to write.
        lang: language of the texts, "en" or "zh".

    Returns:
        `path`.

    Raises:
        ValueError: the match does not fit docs/files.md, or a text is Chinese and
            the machine has no Chinese font.
    """
    frames = list(draw_match(document, lang))
    durations = [STEP_MS] * (len(frames) - 1) + [LAST_MS]
    reduced = _reduce(frames)
    buffer = io.BytesIO()
    reduced[0].save(
        buffer,
        "GIF",
        save_all=True,
        append_images=reduced[1:],
        duration=durations,
        loop=0,
        optimize=False,
    )
    write_bytes(path, buffer.getvalue())
    return path


def draw_match(document: Document, lang: str = "en") -> "Iterator[Image.Image]":
    """Draw the frames of a match, one per step, all of the same size.

    Args:
        document: an entry of `matches.json`.
        lang: language of the texts, "en" or "zh".

    Returns:
        Frames in order.

    Raises:
        ValueError: as `write_gif`.
    """
    from PIL import Image, ImageDraw

    texts = load_texts(lang)
    cleaned = clean(document)
    matches, left_out = read_matches([cleaned], texts)
    if not matches:
        raise ValueError("; ".join(left_out))
    match, steps = matches[0], cleaned["steps"]
    span = _span(steps, len(cleaned["actions"]))
    height = max(
        _frame(None, cleaned, match, t, span, texts)
        for t in range(len(steps[:MAX_STEPS]))
    )
    for t in range(len(steps[:MAX_STEPS])):
        size = (WIDTH * OVERSAMPLING, height * OVERSAMPLING)
        image = Image.new("RGB", size, PAPER)
        _frame(ImageDraw.Draw(image), cleaned, match, t, span, texts)
        yield image.reduce(OVERSAMPLING)


def _reduce(frames: "list[Image.Image]") -> "list[Image.Image]":
    """Map frames to one palette of their most frequent colours.

    Flat areas keep their colour, and static parts do not flicker.
    """
    from PIL import Image

    packed = [
        np.asarray(frame).astype(np.int32) @ (65536, 256, 1) for frame in frames
    ]
    colours, counts = np.unique(np.stack(packed), return_counts=True)
    rgb = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1)
    kept = rgb[np.argsort(-counts, kind="stable")[:PALETTE]]
    nearest = (
        ((rgb[:, None] - kept[None]) ** 2)
        .sum(axis=2)
        .argmin(axis=1)
        .astype(np.uint8)
    )
    reduced = []
    for frame in packed:
        image = Image.fromarray(nearest[np.searchsorted(colours, frame)], "P")
        image.putpalette(kept.astype(np.uint8).tobytes())
        reduced.append(image)
    return reduced


def _span(steps: list[dict[str, Any]], actions: int) -> tuple[float, float]:
    """Return the least and the greatest score of a match, including zero."""
    scores = [
        s
        for step in steps
        for s in row_of(step, "scores", actions)
        if s is not None
    ]
    low, high = min([0.0, *scores]), max([0.0, *scores])
    return (low, high) if high > low else (0.0, 1.0)


# -- a frame ---------------------------------------------------------------------------------------


def _frame(
    draw: "ImageDraw.ImageDraw | None",
    document: dict[str, Any],
    match: Match,
    t: int,
    span: tuple[float, float],
    texts: Texts,
) -> int:
    """Draw step `t`, or only measure it without `draw`. Returns the height, px."""
    pen, step, shown = _Pen(draw), document["steps"][t], match.steps[t]
    chosen = next(c for c in shown.candidates if c.chosen)
    pen.text(MARGIN, 34, match.title, 18, max_width=WIDTH - 2 * MARGIN)
    words = [texts("say_step", step=t + 1, count=len(match.steps))]
    player = document["players"][document["seat"]]
    words.append(choice_sentence(player, chosen, texts))
    pen.text(
        MARGIN,
        60,
        texts("sentence_gap").join(words),
        15,
        FAINT,
        max_width=WIDTH - 2 * MARGIN,
    )
    left = _board(pen, shown, MARGIN, 80)
    x = MARGIN + BOARD_WIDTH + GAP
    right = _scores(
        pen,
        shown,
        row_of(step, "scores", len(document["actions"])),
        span,
        x,
        80,
        texts,
    )
    right = _beliefs(pen, document, step, shown, x, right, texts)
    return round(max(left, right) + MARGIN)


def _board(pen: "_Pen", step: MatchStep, x: float, y: float) -> float:
    """Draw the picture, or the text instead. Returns its lower end, px."""
    shapes = _shapes(str(step.picture)) if step.picture else None
    if shapes is not None:
        return pen.shapes(shapes, x, y, BOARD_WIDTH)
    lines = step.text.expandtabs(4).splitlines()
    longest = max(
        (pen.width("0" * len(line), 16, mono=True) for line in lines), default=0
    )
    size = max(16 * min(1, BOARD_WIDTH / max(longest, 1)), 9)
    for k, line in enumerate(lines):
        pen.text(
            x,
            y + size * (1 + 1.4 * k),
            line,
            size,
            mono=True,
            max_width=BOARD_WIDTH,
        )
    return y + size * (1 + 1.4 * len(lines))


def _scores(
    pen: "_Pen",
    step: MatchStep,
    scores: list[float | None],
    span: tuple[float, float],
    x: float,
    y: float,
    texts: Texts,
) -> float:
    """Draw a bar for the score of each action. Returns the lower end, px.

    Of more than MAX_ACTIONS actions, the chosen one and the best ones are drawn.
    """
    rows = sorted(
        zip(step.candidates, scores, strict=True),
        key=lambda row: (
            not row[0].chosen,
            not row[0].legal,
            -(row[1] if row[1] is not None else -1e30),
        ),
    )[:MAX_ACTIONS]
    rows = [
        row for row in zip(step.candidates, scores, strict=True) if row in rows
    ]
    pen.text(x, y + 12, f"{texts('candidates')}: {texts('score')}", 14, FAINT)
    names, number = 130, 60
    left, width = x + names, WIDTH - MARGIN - number - x - names
    zero = left - span[0] / (span[1] - span[0]) * width
    for k, (candidate, score) in enumerate(rows):
        top = y + 24 + k * ROW
        ink = INK if candidate.legal else ILLEGAL
        if candidate.chosen:
            pen.box(x, top + 3, 6, 9, CHOSEN)
        pen.text(
            x + 12, top + 13, candidate.name, 14, ink, max_width=names - 18
        )
        pen.box(left, top, width, BAR, TRACK)
        if candidate.legal and score is not None:
            end = zero + score / (span[1] - span[0]) * width
            pen.box(
                min(zero, end),
                top,
                abs(end - zero),
                BAR,
                CHOSEN if candidate.chosen else OTHER,
            )
        pen.text(
            WIDTH - MARGIN, top + 13, candidate.score, 14, ink, anchor="rs"
        )
    return y + 24 + len(rows) * ROW + 14


def _beliefs(
    pen: "_Pen",
    document: dict[str, Any],
    step: dict[str, Any],
    shown: MatchStep,
    x: float,
    y: float,
    texts: Texts,
) -> float:
    """Draw the belief about each opponent as a bar of parts, and its action. Returns the
    lower end, px.
    """
    goals, seats = document.get("goals") or [], len(document["players"]) - 1
    beliefs = (
        rows_of(step, "belief", seats, len(goals))
        if len(goals) > 1
        else [[]] * seats
    )
    width = WIDTH - MARGIN - x
    if any(p is not None for row in beliefs for p in row):
        pen.text(x, y + 12, texts("belief"), 14, FAINT)
        y = _legend(pen, goals, x, y + 22, width)
    for opponent, belief in list(zip(shown.others, beliefs, strict=True))[
        :MAX_OPPONENTS
    ]:
        pen.text(
            x, y + 16, opponent_sentence(opponent, texts), 13, max_width=width
        )
        y += ROW
        known = [(g, p) for g, p in enumerate(belief) if p is not None]
        if known:
            pen.box(x, y, width, BAR, TRACK)
            if not opponent.left:
                _parts(pen, known, x, y, width)
            y += ROW
        y += 4
    return y


def _legend(
    pen: "_Pen", goals: list[str], x: float, y: float, width: float
) -> float:
    """Draw a coloured square and the name of each type. Returns the lower end, px."""
    at = x
    for g, name in enumerate(goals):
        needed = 17 + pen.width(name, 13) + 16
        if at > x and at + needed > x + width:
            at, y = x, y + ROW - 2
        pen.box(at, y, 12, 12, TYPE_COLOURS[g % len(TYPE_COLOURS)])
        pen.text(at + 17, y + 11, name, 13, max_width=width - 17)
        at += needed
    return y + ROW


def _parts(
    pen: "_Pen",
    shares: list[tuple[int, float]],
    x: float,
    y: float,
    width: float,
) -> None:
    """Draw the parts of a bar in the colours of the types, with probabilities where they
    fit.
    """
    for g, share in shares:
        size = min(max(share, 0.0), 1.0) * width
        colour = TYPE_COLOURS[g % len(TYPE_COLOURS)]
        pen.box(x, y, size, BAR, colour)
        if size > 34:
            pen.text(
                x + size / 2, y + 12, fixed(share), 12, _on(colour), anchor="ms"
            )
        x += size


def _on(colour: str) -> str:
    """Return the ink with the better contrast on a colour."""
    r, g, b = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return INK if 0.299 * r + 0.587 * g + 0.114 * b > 130 else PAPER


# -- boards ----------------------------------------------------------------------------------------

_NUMBERS = (
    "x",
    "y",
    "width",
    "height",
    "rx",
    "cx",
    "cy",
    "r",
    "x1",
    "y1",
    "x2",
    "y2",
    "stroke-width",
    "font-size",
)
_WORDS = ("fill", "stroke", "text-anchor", "dominant-baseline")
_DRAWN = {"rect", "circle", "line", "text"}
_IGNORED = {"class", "aria-hidden", "font-family", "viewBox", "role"}


def _shapes(
    svg: str,
) -> tuple[tuple[float, float], list[dict[str, Any]]] | None:
    """Return the size of a picture and its shapes in order.

    None if a shape cannot be drawn, or all of them are text.
    """
    root = ElementTree.fromstring(svg)
    box = [
        float(value)
        for value in root.get("viewBox", "0 0 1 1").replace(",", " ").split()
    ]
    inherited = {
        key: root.get(key) for key in (*_WORDS, "font-size") if root.get(key)
    }
    shapes = []
    for element in root:
        tag = element.tag.split("}")[-1]
        if (
            tag not in _DRAWN
            or len(element)
            or set(element.attrib) - {*_NUMBERS, *_WORDS, *_IGNORED}
        ):
            return None
        shape = {
            "tag": tag,
            "label": element.text or "",
            **inherited,
            **element.attrib,
        }
        try:
            shapes.append(
                {k: float(v) if k in _NUMBERS else v for k, v in shape.items()}
            )
        except ValueError:
            return None
    moved = box[:2] != [0.0, 0.0]
    if (
        moved
        or all(shape["tag"] == "text" for shape in shapes)
        or not all(map(_paintable, shapes))
    ):
        return None
    return (box[2], box[3]), shapes


def _paintable(shape: dict[str, Any]) -> bool:
    from PIL import ImageColor

    try:
        for key in ("fill", "stroke"):
            if (colour := shape.get(key, "none")) not in (
                "none",
                "currentColor",
            ):
                ImageColor.getrgb(colour)
    except ValueError:
        return False
    return True


# -- the pen ---------------------------------------------------------------------------------------


class _Pen:
    """Draws in pixels of the final picture; without an image it only measures."""

    def __init__(self, draw: "ImageDraw.ImageDraw | None") -> None:
        self.draw = draw

    def width(self, text: str, size: float, mono: bool = False) -> float:
        return (
            _font(_family(text, mono), size * OVERSAMPLING).getlength(text)
            / OVERSAMPLING
        )

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        ink: str = INK,
        anchor: str = "ls",
        mono: bool = False,
        max_width: float = WIDTH,
    ) -> None:
        """Write a line of text with base line `y`, shortened to `max_width`, px."""
        text = text.replace("−", "-").replace(
            "–", "-"
        )  # Pillow's own font lacks both
        while len(text) > 4 and self.width(text, size, mono) > max_width:
            text = text.rstrip("…")[:-1] + "…"
        if self.draw is not None:
            font = _font(_family(text, mono), size * OVERSAMPLING)
            self.draw.text(
                (x * OVERSAMPLING, y * OVERSAMPLING), text, ink, font, anchor
            )

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: str | None,
        edge: str | None = None,
        radius: float = 0,
    ) -> None:
        if self.draw is not None and width * OVERSAMPLING >= 1:
            ends = [v * OVERSAMPLING for v in (x, y, x + width, y + height)]
            self.draw.rounded_rectangle(
                [ends[0], ends[1], ends[2] - 1, ends[3] - 1],
                radius * OVERSAMPLING,
                fill,
                edge,
            )

    def shapes(
        self,
        picture: tuple[tuple[float, float], list[dict[str, Any]]],
        x: float,
        y: float,
        width: float,
    ) -> float:
        """Draw shapes, scaled to fit a square of side `width`. Returns the lower end,
        px.
        """
        size, shapes = picture
        scale = min(width / size[0], width / size[1])
        for shape in shapes if self.draw is not None else ():
            self._shape(shape, x, y, scale)
        return y + size[1] * scale

    def _shape(
        self, shape: dict[str, Any], x: float, y: float, scale: float
    ) -> None:
        fill, edge = (_colour(shape.get(key)) for key in ("fill", "stroke"))
        fill = fill if "fill" in shape else INK
        at = {key: shape.get(key, 0.0) * scale for key in _NUMBERS}
        if shape["tag"] == "rect":
            self.box(
                x + at["x"],
                y + at["y"],
                at["width"],
                at["height"],
                fill,
                edge,
                at["rx"],
            )
        elif shape["tag"] == "circle":
            self._disc(
                x + at["cx"],
                y + at["cy"],
                at["r"],
                fill,
                edge,
                at["stroke-width"] or scale,
            )
        elif shape["tag"] == "line":
            self._line(
                [x + at["x1"], y + at["y1"], x + at["x2"], y + at["y2"]],
                edge,
                at["stroke-width"] or scale,
            )
        else:
            across = {"middle": "m", "end": "r"}.get(
                shape.get("text-anchor", ""), "l"
            )
            down = (
                "m"
                if shape.get("dominant-baseline") in ("central", "middle")
                else "s"
            )
            size = at["font-size"] or 16 * scale
            self.text(
                x + at["x"],
                y + at["y"],
                shape["label"],
                size,
                fill or INK,
                across + down,
            )

    def _disc(
        self,
        x: float,
        y: float,
        radius: float,
        fill: str | None,
        edge: str | None,
        wide: float,
    ) -> None:
        assert self.draw is not None
        radius += wide / 2 if edge else 0
        ends = [
            v * OVERSAMPLING
            for v in (x - radius, y - radius, x + radius, y + radius)
        ]
        self.draw.ellipse(
            ends, fill, edge, round(wide * OVERSAMPLING) if edge else 0
        )

    def _line(self, ends: list[float], edge: str | None, wide: float) -> None:
        assert self.draw is not None
        self.draw.line(
            [v * OVERSAMPLING for v in ends],
            edge or INK,
            max(round(wide * OVERSAMPLING), 1),
        )


def _colour(value: str | None) -> str | None:
    if value in (None, "none"):
        return None
    return INK if value == "currentColor" else value


# -- fonts -----------------------------------------------------------------------------------------


def _family(text: str, mono: bool) -> tuple[str, ...]:
    """Return the fonts for the characters of a text."""
    if any("\u2e80" <= character <= "\uffef" for character in text):
        return CHINESE
    return MONO if mono else SANS


@cache
def _font(
    family: tuple[str, ...], size: float
) -> "ImageFont.FreeTypeFont | ImageFont.ImageFont":
    """Return the first font of `family` on this machine; ValueError without one for
    Chinese.
    """
    from PIL import ImageFont

    for name in family:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    if family is CHINESE:
        raise ValueError(
            "lang=zh: expected a font with Chinese characters on this machine; "
            "install one (apt-get install fonts-noto-cjk), or use --lang en"
        )
    return ImageFont.load_default(size)
