"""Lets a board's SVG into the page, or refuses it.

The picture comes from a file that may be a stranger's. It is parsed as XML and written anew from a short list
of shapes and attributes, so that nothing of the original text survives; whatever is not on the list is
refused with its name.
"""

import math
import re
from html import escape
from xml.etree import ElementTree

# fmt: off
TAGS = frozenset([
    "svg", "g", "rect", "circle", "ellipse", "line", "polyline", "polygon", "path", "text", "tspan",
])
DROPPED = frozenset(["title", "desc"])  # the page gives the board as text beside the picture
ATTRIBUTES = frozenset([
    "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "dx", "dy", "width", "height", "d",
    "points", "transform", "viewBox", "preserveAspectRatio",
    "opacity", "fill", "fill-opacity", "fill-rule", "stroke",
    "stroke-width", "stroke-opacity", "stroke-linecap", "stroke-linejoin", "stroke-dasharray",
    "font-family", "font-size", "font-weight", "font-style", "text-anchor", "dominant-baseline",
])
# fmt: on
IGNORED = frozenset(
    {"role", "version", "{http://www.w3.org/XML/1998/namespace}space"}
)
_VALUE = re.compile(
    r"[\w\s.,#%()+\-]*", re.ASCII
)  # no quotes, colons, slashes, semicolons or backslashes
_SVG = "{http://www.w3.org/2000/svg}"

MAX_CHARACTERS, MAX_ELEMENTS, MAX_DEPTH = 400_000, 10_000, 16


class Refused(ValueError):
    """The picture holds something that is not on the list."""


def safe_svg(text: str) -> str:
    """The picture as an ``<svg>`` element for an HTML page. Raises `Refused` that says what is wrong."""
    if len(text) > MAX_CHARACTERS:
        raise Refused(
            f"it has {len(text):,} characters; expected: at most {MAX_CHARACTERS:,}"
        )
    if (
        "<!" in text or "<?" in text
    ):  # document types hold entities, and no picture needs the others
        raise Refused("it holds a declaration, comment or instruction")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise Refused(f"it is no XML: {error}") from None
    if root.tag.removeprefix(_SVG) != "svg":
        raise Refused(f"its root is <{root.tag}>; expected: <svg>")
    if sum(1 for _ in root.iter()) > MAX_ELEMENTS:
        raise Refused(f"it has more than {MAX_ELEMENTS:,} elements")
    _frame(root)
    return _write(root, 0)


def _frame(root: ElementTree.Element) -> None:
    """Leaves the size to the page: a view box instead of width and height."""
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
        raise Refused(
            "it has neither a viewBox of four numbers nor a width and height"
        )
    root.set("viewBox", " ".join(f"{v:g}" for v in values))


def _write(element: ElementTree.Element, depth: int) -> str:
    tag = element.tag.removeprefix(_SVG)
    if tag in DROPPED:
        return ""
    if tag not in TAGS or (tag == "svg") != (depth == 0):
        raise Refused(f"<{tag}> is not allowed")
    if depth > MAX_DEPTH:
        raise Refused(f"it is nested more than {MAX_DEPTH} deep")
    attributes = ' class="board" aria-hidden="true"' if depth == 0 else ""
    for name, value in element.attrib.items():
        if name in IGNORED:
            continue
        if name not in ATTRIBUTES:
            raise Refused(f"attribute {name} of <{tag}> is not allowed")
        if not _VALUE.fullmatch(value) or "url" in value.lower():
            raise Refused(f"{name}={value[:40]!r} of <{tag}> is not allowed")
        attributes += f' {name}="{escape(value)}"'
    holds_text = tag in ("text", "tspan")
    inside = escape(element.text or "") if holds_text else ""
    for child in element:
        inside += _write(child, depth + 1) + (
            escape(child.tail or "") if holds_text else ""
        )
    return (
        f"<{tag}{attributes}>{inside}</{tag}>"
        if inside
        else f"<{tag}{attributes}/>"
    )
