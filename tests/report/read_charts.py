"""Read a chart of the report as its reader does: names, numbers, and where lines and bars are."""

import re

from run_files import Page


def axis_of(chart, which):
    """Pixels of the start and end of the axis "x" or "y"."""
    (element,) = Page(str(chart)).of("svg")
    return tuple(float(v) for v in element[f"data-{which}"].split()[2:4])


def texts_of(chart):
    """All texts, in the order of the file."""
    return re.findall(
        r"<text[^>]*>(?:<title>[^<]*</title>)?([^<]*)</text>", str(chart)
    )


def numbers_in(points):
    pairs = [point.split(",") for point in points.split()]
    return [(float(x), float(y)) for x, y in pairs]


def lines_of(chart):
    """Name -> [(x, y)] in pixels; a line without a name is ""."""
    found = re.findall(
        r'<polyline class="line [^"]*" points="([^"]*)"(?:/>|><title>([^<]*)</title>)',
        str(chart),
    )
    return {name: numbers_in(points) for points, name in found}


def bands_of(chart):
    """The outline of every band in pixels."""
    return [
        numbers_in(a["points"]) for a in Page(str(chart)).of("polygon", "band")
    ]


def bars_of(chart):
    """Class, left and right end in pixels of every rectangle."""
    return [
        (a["class"], float(a["x"]), float(a["x"]) + float(a["width"]))
        for a in Page(str(chart)).of("rect")
    ]


def dots_of(chart, style):
    """x in pixels of the dots of one style."""
    return [float(a["cx"]) for a in Page(str(chart)).of("circle", style)]


def values_at(chart, which, pixels):
    """What the readout makes of pixels on a linear axis."""
    (element,) = Page(str(chart)).of("svg")
    low, high, start, end, _ = (
        float(v) for v in element[f"data-{which}"].split()
    )
    return [
        low + (pixel - start) / (end - start) * (high - low) for pixel in pixels
    ]
