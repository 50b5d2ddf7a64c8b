"""The page of `bestreply view`: the report's match viewer on a page of its own."""

from bestreply.report.matches import costliest, read_matches
from bestreply.report.page import self_contained
from bestreply.report.run_files import clean
from bestreply.report.texts import load_texts


def render_view(
    name: str,
    documents: list[dict[str, object]],
    facts: dict[str, object],
    lang: str,
) -> str:
    """Write matches as one HTML page.

    Args:
        name: name of the run.
        documents: matches as in `matches.json` (docs/files.md).
        facts: values above the matches; the key ``game`` has the label of text
            ``view_game``.
        lang: "en" or "zh".

    Returns:
        HTML.

    Raises:
        ValueError: the language is unknown.
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
