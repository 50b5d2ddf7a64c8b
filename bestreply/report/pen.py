"""Draw text, boxes and boards with Pillow."""

import base64
import io
from functools import cache
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from bestreply.report.safe_svg import PNG

if TYPE_CHECKING:
    from PIL import Image, ImageFont

WIDTH = 800  # px, of a picture
OVERSAMPLING = 2
"""Frames are drawn larger and reduced, which smooths discs and lines."""
INK = "#1d2329"

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
_WORDS = ("fill", "stroke", "text-anchor", "dominant-baseline", "href")
_DRAWN = {"rect", "circle", "line", "text", "image"}
_IGNORED = {
    "image-rendering",
    "class",
    "aria-hidden",
    "font-family",
    "viewBox",
    "role",
}


def shapes_in(
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


class Pen:
    """Draws in pixels of the final picture; without an image it only measures."""

    def __init__(self, image: "Image.Image | None") -> None:
        from PIL import ImageDraw

        self.image = image
        self.draw = ImageDraw.Draw(image) if image else None

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
        if self.draw is not None and min(width, height) * OVERSAMPLING >= 1:
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
        elif shape["tag"] == "image":
            self._pixels(
                shape, x + at["x"], y + at["y"], at["width"], at["height"]
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

    def _pixels(
        self,
        shape: dict[str, Any],
        x: float,
        y: float,
        width: float,
        height: float,
    ) -> None:
        from PIL import Image

        assert self.image is not None
        address = str(shape.get("href", "")).removeprefix(PNG)
        with Image.open(io.BytesIO(base64.b64decode(address))) as pixels:
            size = [max(round(v * OVERSAMPLING), 1) for v in (width, height)]
            small = max(pixels.size) < 120
            how = Image.Resampling.NEAREST if small else Image.Resampling.BOX
            drawn = pixels.convert("RGB").resize((size[0], size[1]), how)
        self.image.paste(
            drawn, (round(x * OVERSAMPLING), round(y * OVERSAMPLING))
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
