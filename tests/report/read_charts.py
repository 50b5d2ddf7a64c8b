"""Read charts of a report: names, numbers, and positions of lines and bars."""

import re

from run_files import Page


def axis_of(chart, which):
    """Return the positions of the start and end of axis "x" or "y"."""
    (element,) = Page(str(chart)).of("svg")
    return tuple(float(v) for v in element[f"data-{which}"].split()[2:4])


def texts_of(chart):
    """Return all texts in the order of the file."""
    return re.findall(
        r"<text[^>]*>(?:<title>[^<]*</title>)?([^<]*)</text>", str(chart)
    )


def numbers_in(points):
    pairs = [point.split(",") for point in points.split()]
    return [(float(x), float(y)) for x, y in pairs]


def lines_of(chart):
    """Return by name the [(x, y)] positions of each line; a line without a name is ""."""
    matches = re.findall(
        r'<polyline class="line [^"]*" points="([^"]*)"(?:/>|><title>([^<]*)</title>)',
        str(chart),
    )
    return {name: numbers_in(points) for points, name in matches}


def bands_of(chart):
    """Return the outline of every band."""
    return [
        numbers_in(a["points"]) for a in Page(str(chart)).of("polygon", "band")
    ]


def bars_of(chart):
    """Return class, left and right end of every rectangle."""
    return [
        (a["class"], float(a["x"]), float(a["x"]) + float(a["width"]))
        for a in Page(str(chart)).of("rect")
    ]


def dots_of(chart, style):
    """Return x of the dots of one style."""
    return [float(a["cx"]) for a in Page(str(chart)).of("circle", style)]


def values_at(chart, which, pixels):
    """Return the values of positions on a linear axis, as the readout does."""
    (element,) = Page(str(chart)).of("svg")
    low, high, start, end, _ = (
        float(v) for v in element[f"data-{which}"].split()
    )
    return [
        low + (pixel - start) / (end - start) * (high - low) for pixel in pixels
    ]
