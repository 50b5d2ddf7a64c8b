"""Draw a recorded match as an animated GIF.

Each step is a frame with the board, the scores of the agent's actions and its
beliefs. The match is an entry of `matches.json` (docs/files.md), with the same checks
as in the report. The picture is drawn shape by shape. The text of the observation
replaces a missing picture and a picture with other shapes than those of a board.
"""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bestreply.report.checks import rows_of
from bestreply.report.match_steps import (
    MatchStep,
    choice_sentence,
    opponent_sentence,
)
from bestreply.report.matches import Match, read_matches
from bestreply.report.pen import INK, OVERSAMPLING, WIDTH, Pen, shapes_in
from bestreply.report.run_files import clean
from bestreply.report.texts import Texts, fixed, load_texts
from bestreply.utils.files import write_bytes

if TYPE_CHECKING:
    from PIL import Image

Document = dict[str, Any]

MARGIN, GAP = 20, 28  # px
BOARD_WIDTH, ROW, BAR = 340, 22, 15  # px: of the board, of a line, of a bar
STEP_MS, LAST_MS = 1500, 4000
MAX_STEPS, MAX_ACTIONS, MAX_OPPONENTS = 50, 10, 6
"""Shown of a match, to limit the size of the file."""
PALETTE = 64
PAPER, FAINT, TRACK = "#ffffff", "#5c6670", "#eceff2"
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
    from PIL import Image

    texts = load_texts(lang)
    cleaned = clean(document)
    matches, left_out = read_matches([cleaned], texts)
    if not matches:
        raise ValueError("; ".join(left_out))
    match = matches[0]
    count = len(match.steps)
    drawn = min(count, MAX_STEPS)
    steps = [
        match.steps[k * (count - 1) // max(drawn - 1, 1)] for k in range(drawn)
    ]
    span = _span(match.steps)
    height = max(
        _frame(None, cleaned, match, step, span, texts) for step in steps
    )
    for step in steps:
        size = (WIDTH * OVERSAMPLING, height * OVERSAMPLING)
        image = Image.new("RGB", size, PAPER)
        _frame(image, cleaned, match, step, span, texts)
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


def _span(steps: Sequence[MatchStep]) -> tuple[float, float]:
    """Return the least and the greatest score of a match, including zero."""
    scores = [
        c.points for s in steps for c in s.candidates if c.points is not None
    ]
    low, high = min([0.0, *scores]), max([0.0, *scores])
    return (low, high) if high > low else (0.0, 1.0)


# -- a frame ---------------------------------------------------------------------------------------


def _frame(
    image: "Image.Image | None",
    document: dict[str, Any],
    match: Match,
    shown: MatchStep,
    span: tuple[float, float],
    texts: Texts,
) -> int:
    """Draw a step, or only measure it without an image. Returns the height, px."""
    pen, step = Pen(image), document["steps"][shown.at]
    chosen = next(c for c in shown.candidates if c.chosen)
    pen.text(MARGIN, 34, match.title, 18, max_width=WIDTH - 2 * MARGIN)
    words = [texts("say_step", step=shown.at + 1, count=match.length)]
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
    right = _scores(pen, shown, span, x, 80, texts)
    right = _beliefs(pen, document, step, shown, x, right, texts)
    return round(max(left, right) + MARGIN)


def _board(pen: Pen, step: MatchStep, x: float, y: float) -> float:
    """Draw the picture, or the text instead. Returns its lower end, px."""
    shapes = shapes_in(str(step.picture)) if step.picture else None
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
    pen: Pen,
    step: MatchStep,
    span: tuple[float, float],
    x: float,
    y: float,
    texts: Texts,
) -> float:
    """Draw a bar for the score of each action. Returns the lower end, px.

    Of more than MAX_ACTIONS actions, the chosen one and the best ones are drawn.
    """
    ranked = sorted(
        step.candidates,
        key=lambda c: (
            not c.chosen,
            not c.legal,
            -(c.points if c.points is not None else -1e30),
        ),
    )[:MAX_ACTIONS]
    rows = [c for c in step.candidates if c in ranked]
    pen.text(x, y + 12, f"{texts('candidates')}: {texts('score')}", 14, FAINT)
    names, number = 130, 60
    left, width = x + names, WIDTH - MARGIN - number - x - names
    zero = left - span[0] / (span[1] - span[0]) * width
    for k, candidate in enumerate(rows):
        score = candidate.points
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
    pen: Pen,
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
    drawn = shown.others[:MAX_OPPONENTS]
    for opponent, belief in zip(drawn, beliefs[: len(drawn)], strict=True):
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
    pen: Pen, goals: list[str], x: float, y: float, width: float
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
    pen: Pen,
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
