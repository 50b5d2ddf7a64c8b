"""A chart of a report as an SVG file of its own, with the colours that it needs."""

from markupsafe import Markup

from bestreply.report.svg import el

LIGHT = (
    "--soft:#5d636e;--faint:#e3e4e8;--line:#c9ccd3;--c0:#2456c9;--c1:#c2622d;"
    "--c2:#2f8f5b;--c3:#8a4fbf;--c4:#a8801a;--c5:#2d8795;--c6:#b04a86;--c7:#666d78"
)
DARK = (
    "--soft:#a0a7b3;--faint:#2b2f37;--line:#444a55;--c0:#82a7ff;--c1:#eb9a6b;"
    "--c2:#6fcf97;--c3:#c39af0;--c4:#dcb95a;--c5:#6cc6d3;--c6:#ea93c3;--c7:#a6adb9"
)
STYLE = f"""
svg{{{LIGHT}}}
@media (prefers-color-scheme:dark){{svg{{{DARK}}}}}
text{{font:11px system-ui,sans-serif;fill:var(--soft)}}
.grid{{stroke:var(--faint)}}.axis{{stroke:var(--line)}}
.line{{fill:none;stroke-width:1.7;stroke:currentColor}}.dot{{fill:currentColor}}
.leader{{fill:none;stroke:currentColor;opacity:.45}}
.line.dashed{{stroke-dasharray:6 3}}text[class*="name c"]{{fill:currentColor}}
""" + "".join(f".c{k}{{color:var(--c{k})}}" for k in range(8))


ROWS = ".bar{stroke-width:3;stroke:currentColor;opacity:.5}.mark{stroke:var(--soft);stroke-dasharray:3 3}"
"""The style of charts with one row a name."""


def as_file(figure: Markup, more: str = "") -> str:
    """Return a chart of `bestreply.report` as the text of an SVG file.

    Args:
        figure: the chart, an ``<svg>`` element; empty without lines.
        more: rules of style beside those of all charts, such as `ROWS`.
    """
    if not figure:
        return ""
    style = el("style", Markup(STYLE + more))
    namespace = ' xmlns="http://www.w3.org/2000/svg"'
    head, _, body = str(figure).partition(">")
    return f"{head}{namespace}>{style}{body}\n"
