"""Filter a board's SVG, or refuse it.

The picture may come from a stranger's file. It is parsed as XML and written anew from
a short list of shapes and attributes, so no part of the original text is copied.
Anything that is not on the list is refused by name.
"""

import base64
import math
import re
import struct
from html import escape
from xml.etree import ElementTree

# fmt: off
TAGS = frozenset([
    "svg", "g", "rect", "circle", "ellipse", "line", "polyline", "polygon", "path", "text", "tspan",
    "image",
])
DROPPED = frozenset(["title", "desc"])  # the page has the board as text
ATTRIBUTES = frozenset([
    "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "dx", "dy", "width", "height", "d",
    "points", "transform", "viewBox", "preserveAspectRatio",
    "opacity", "fill", "fill-opacity", "fill-rule", "stroke",
    "stroke-width", "stroke-opacity", "stroke-linecap", "stroke-linejoin", "stroke-dasharray",
    "image-rendering", "font-family", "font-size", "font-weight", "font-style", "text-anchor", "dominant-baseline",
])
# fmt: on
IGNORED = frozenset(
    {"role", "version", "{http://www.w3.org/XML/1998/namespace}space"}
)
_VALUE = re.compile(r"[\w\s.,#%()+\-]*", re.ASCII)
"""No quotes, colons, slashes, semicolons or backslashes."""
PNG = "data:image/png;base64,"
"""Beginning of the only addresses of images: the pixels themselves."""
_SVG = "{http://www.w3.org/2000/svg}"

MAX_CHARACTERS, MAX_ELEMENTS, MAX_DEPTH = 400_000, 10_000, 16
MAX_PIXELS = 2000
"""Along a side of an image."""


class UnsafePicture(ValueError):
    """The picture contains something that is not on the list."""


def safe_svg(text: str) -> str:
    """Rewrite a picture as an ``<svg>`` element for an HTML page.

    Args:
        text: SVG.

    Returns:
        The element, sized by the page.

    Raises:
        UnsafePicture: the text is not SVG, or contains something that is not on
            the list.
    """
    if len(text) > MAX_CHARACTERS:
        raise UnsafePicture(
            f"length={len(text):,}: expected at most {MAX_CHARACTERS:,} characters"
        )
    if "<!" in text or "<?" in text:
        raise UnsafePicture("it contains a declaration, comment or instruction")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise UnsafePicture(f"it is not XML: {error}") from None
    if root.tag.removeprefix(_SVG) != "svg":
        raise UnsafePicture(f"root=<{root.tag}>: expected <svg>")
    if sum(1 for _ in root.iter()) > MAX_ELEMENTS:
        raise UnsafePicture(f"expected at most {MAX_ELEMENTS:,} elements")
    _frame(root)
    return _write(root, 0)


def _frame(root: ElementTree.Element) -> None:
    """Replace width and height by a view box, so that the page sets the size."""
    size = (root.attrib.pop("width", ""), root.attrib.pop("height", ""))
    box = root.get("viewBox") or " ".join(
        ("0", "0", *(s.removesuffix("px") for s in size))
    )
    try:
        values = [float(v) for v in re.split(r"[\s,]+", box.strip())]
    except ValueError:
        values = []
    if (
        len(values) != 4
        or not all(math.isfinite(v) for v in values)
        or min(values[2:]) <= 0
    ):
        raise UnsafePicture(
            "expected a viewBox of four numbers, or a width and height"
        )
    root.set("viewBox", " ".join(f"{v:g}" for v in values))


def _write(element: ElementTree.Element, depth: int) -> str:
    tag = element.tag.removeprefix(_SVG)
    if tag in DROPPED:
        return ""
    if tag not in TAGS or (tag == "svg") != (depth == 0):
        raise UnsafePicture(f"<{tag}> is not allowed")
    if depth > MAX_DEPTH:
        raise UnsafePicture(f"expected at most {MAX_DEPTH} levels of elements")
    attributes = ' class="board" aria-hidden="true"' if depth == 0 else ""
    for name, value in element.attrib.items():
        if name in IGNORED:
            continue
        if (tag, name) == ("image", "href"):
            attributes += f' href="{_pixels(value)}"'
            continue
        if name not in ATTRIBUTES:
            raise UnsafePicture(f"attribute {name} of <{tag}> is not allowed")
        if not _VALUE.fullmatch(value) or "url" in value.lower():
            raise UnsafePicture(
                f"{name}={value[:40]!r} of <{tag}> is not allowed"
            )
        attributes += f' {name}="{escape(value)}"'
    has_text = tag in ("text", "tspan")
    content = escape(element.text or "") if has_text else ""
    for child in element:
        content += _write(child, depth + 1)
        content += escape(child.tail or "") if has_text else ""
    if not content:
        return f"<{tag}{attributes}/>"
    return f"<{tag}{attributes}>{content}</{tag}>"


def _pixels(address: str) -> str:
    """Return an image's address if its pixels are in it, as PNG."""
    try:
        if not address.startswith(PNG):
            raise ValueError
        content = base64.b64decode(address.removeprefix(PNG), validate=True)
    except ValueError:  # another address, or no base64
        content = b""
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        raise UnsafePicture(f"href={address[:40]!r} of <image> is not allowed")
    size = struct.unpack(">II", content[16:24]) if len(content) > 24 else (0, 0)
    if not all(0 < side <= MAX_PIXELS for side in size):
        raise UnsafePicture(
            f"an image of {size[0]} x {size[1]} pixels: expected at most "
            f"{MAX_PIXELS} along each side"
        )
    return PNG + base64.b64encode(content).decode()
