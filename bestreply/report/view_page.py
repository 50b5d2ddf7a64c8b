"""The page of chosen episodes: the report's match viewer on a page of its own."""

from typing import Any

from bestreply.report.matches import costliest, read_matches
from bestreply.report.page import self_contained
from bestreply.report.run_files import clean
from bestreply.report.texts import load_texts


def render_view(
    name: str, documents: list[Any], facts: dict[str, Any], lang: str
) -> str:
    """`documents` as in `matches.json` (docs/files.md) as one HTML page.

    Args:
        name: of the run. facts: what is told above the episodes; a key is the end of a text's, ``view_game``.
    """
    texts = load_texts(lang)
    matches, left_out = read_matches(clean(documents), texts)
    return self_contained(
        "view.html",
        lang,
        name=clean(name),
        facts=[
            (texts(f"view_{key}"), clean(str(value)))
            for key, value in facts.items()
        ],
        matches=matches,
        matches_left_out=left_out,
        jumps=costliest(matches, texts),
    )
