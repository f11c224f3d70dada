"""Links within the repository lead somewhere; those to other sites are checked weekly."""

import re
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

from solutions.make import ROOT

PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "data").rglob("*.md"),
    *(ROOT / ".jupyter").glob("*.md"),
    *(ROOT / "notebooks").glob("*.md"),
    *(ROOT / "notebooks").glob("*.ipynb"),
    *(ROOT / "solutions").glob("*.ipynb"),
]
LINK = re.compile(r"\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)\)")


def targets(text: str) -> list[str]:
    """What the Markdown links and pictures of a text point to, code aside."""
    return LINK.findall(re.sub(r"```.*?```|`[^`\n]*`|\$[^$\n]*\$", "", text, flags=re.S))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    if page.suffix == ".ipynb":
        cells = nbformat.read(page, 4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    else:
        text = page.read_text(encoding="utf-8")
    for target in targets(text):
        url = urlsplit(target)
        if not url.scheme and url.path:
            assert (page.parent / unquote(url.path)).exists(), f"{target} leads nowhere"


def test_links_are_found():
    text = "[a](b.md) ![c](d/e.svg) `[f](g)` [h](https://i.org/j_(k)) [l](m.ipynb#n)"
    assert targets(text) == ["b.md", "d/e.svg", "https://i.org/j_(k)", "m.ipynb#n"]
