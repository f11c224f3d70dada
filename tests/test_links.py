"""Links within the repository lead somewhere; those to other sites are checked weekly."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

from solutions import work
from solutions.make import LESSONS, ROOT, address
from utils.checks import progress

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


def dead_links(page: Path) -> list[str]:
    """The links of a page that lead to no file, or to no heading of the course's first page."""
    if page.suffix == ".ipynb":
        cells = nbformat.read(page, 4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    else:
        text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    dead = []
    for target in targets(text):
        url = urlsplit(target)
        if not url.scheme and url.path and not (page.parent / unquote(url.path)).exists():
            dead.append(target)
        if target.startswith(f"{address()}#") and url.fragment not in anchors:
            dead.append(target)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    assert dead_links(page) == []


def test_links_lead_somewhere_from_the_learner_s_copies(tmp_path, monkeypatch):
    """From the copies and from their map, and to copies: the next lesson is the learner's own."""
    for name in ("notebooks", "solutions", "data", "utils", "README.md"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.setattr(work, "BLANKS", tmp_path / "notebooks")
    monkeypatch.setattr(work, "WORK", tmp_path / "work")
    monkeypatch.setattr(progress, "ROOT", tmp_path)
    work.copy_missing()
    pages = sorted((tmp_path / "work").iterdir())
    assert len(pages) == 1 + len(LESSONS)
    assert {page.name: dead_links(page) for page in pages if dead_links(page)} == {}
    (tmp_path / "work" / f"{LESSONS[1].stem}.ipynb").unlink()
    assert dead_links(tmp_path / "work" / f"{LESSONS[0].stem}.ipynb"), "this test can fail"


def test_links_are_found():
    text = "[a](b.md) ![c](d/e.svg) `[f](g)` [h](https://i.org/j_(k)) [l](m.ipynb#n)"
    assert targets(text) == ["b.md", "d/e.svg", "https://i.org/j_(k)", "m.ipynb#n"]
