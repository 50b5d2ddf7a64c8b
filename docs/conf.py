"""Sphinx: `make docs`. Pages are Markdown (MyST); the reference comes from the docstrings."""

import re

project = "bestreply"
author = "The bestreply developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "bestreply"
html_copy_source = False
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "exclude-members": "__init__",
}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False

_CODE = re.compile(r"(``.+?``|`[^`]+`)")


def _as_written(app, what, name, obj, options, lines):
    """Docstrings are plain text with code in backticks: nothing else in them is markup ("[*obs_shape]", "|x|", "b_")."""
    for place, line in enumerate(lines):
        parts = _CODE.split(line)
        parts[::2] = [
            re.sub(r"([*|]|_(?=\W|$))", r"\\\1", part) for part in parts[::2]
        ]
        parts[1::2] = [f"``{part.strip('`')}``" for part in parts[1::2]]
        lines[place] = "".join(parts)


def setup(app):
    app.connect(
        "autodoc-process-docstring", _as_written, priority=100
    )  # before napoleon
