"""The explorer and the blind game of lesson 4.3 in a real JupyterLab: clicked through and seen."""

import re

import nbformat
import pytest
from playwright.sync_api import expect

from tests.test_browser import (  # noqa: F401 (fixtures)
    CHROMIUM,
    _look,
    _open,
    _show,
    _unwanted,
    browser,
    course,
    lab,
    page,
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium")

LATENTS = """\
import sys; sys.path.insert(0, "..")
import torch
from data.chat.task import texts
from utils.features import dashboards, explorer, sae as saes
from utils.models import load
model, sae = load(), saes.load_sae("../data/sae/smollm2")
splits = []
for split in ("train", "held_out"):
    rows = dashboards.some(texts(split), 1_500)
    x = saes.harvest(model, rows, layer=15)
    splits.append((dashboards.corpus(rows), dashboards.activity(sae.encode, x, k=sae.k)))
latents = explorer.Latents(model, sae, *splits[0], layer=15)"""
EXPLORER = """\
famous = {latents.search("the sea")[0].latent: "found by 'the sea'"}
explorer.explorer(latents, text="The old ship left the harbour at dawn.", famous=famous)"""
GAME = """\
often = [(active.density * len(active.index) >= 20).nonzero()[:, 0] for _, active in splits]
both = often[0][torch.isin(*often)].tolist()[:2]
draw = torch.Generator().manual_seed(0)
game = explorer.blind_game([
    question for latent, source in zip(both, ("secret", "hidden"))
    for question in explorer.questions(
        *splits, [latent], latents.vocabulary, source=source, generator=draw)
])
game"""


def test_a_learner_explores_latents_and_plays_a_round(lab, page, course):  # noqa: F811
    cells = [nbformat.v4.new_code_cell(source) for source in (LATENTS, EXPLORER, GAME)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), course / "work" / "features.ipynb")
    page.goto(lab + "&reset")
    expect(page.locator(".jp-MarkdownViewer h1")).to_be_visible(timeout=60_000)
    notebook = _open(page, "work/features.ipynb")
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    explorer, game = (notebook.locator(".htf-explorer").nth(i) for i in (0, 1))
    expect(game).to_contain_text("Round 1 of 2", timeout=120_000)
    assert notebook.locator("[data-mime-type*=stderr]").all_inner_texts() == []

    # A sentence, a word of it, a card; all by the keyboard too.
    field = explorer.get_by_label("Type a sentence")
    field.fill("She was afraid of the dog.")
    field.press("Enter")
    words = explorer.locator(".htf-words button")
    expect(words.nth(2)).to_contain_text("afraid")
    words.nth(2).focus()
    page.keyboard.press("Enter")
    rows = explorer.locator(".htf-five [data-latent]")
    expect(rows).to_have_count(5)
    before = words.nth(2).evaluate("e => e.style.background")
    rows.nth(1).hover()
    assert words.nth(2).evaluate("e => e.style.background") != before
    number = rows.nth(1).get_attribute("data-latent")
    rows.nth(1).click()
    card = explorer.locator(".htf-card")
    expect(card).to_contain_text(f"Latent {number}")
    assert card.locator("u").count() >= 1 and "Strongest" in card.inner_text()
    details = card.locator("details")
    assert details.evaluate("e => e.open") is False
    explorer.get_by_label("Search latents").fill("an angry dog")
    explorer.get_by_label("Search latents").press("Enter")
    found = explorer.locator(".htf-found [data-latent]")
    expect(found).to_have_count(8)
    found.first.click()
    expect(card).to_contain_text(f"Latent {found.first.get_attribute('data-latent')}")
    explorer.get_by_role("button", name="Random draw").click()
    expect(card).to_contain_text("drawn at random")
    explorer.get_by_label("Number").fill("99999")
    explorer.get_by_role("button", name="Open").click()
    expect(explorer.locator(".htf-said")).to_have_text(re.compile("from 0 to 4607"))
    explorer.locator(".htf-fame button").click()
    expect(card).to_contain_text("chosen, not drawn")
    expect(explorer.locator(".htf-said")).to_have_text("")

    # A round of the game, to its score.
    pairs = game.locator(".htf-sort button[data-do=sort]")
    expect(pairs).to_have_count(20)
    assert all(button.is_disabled() for button in pairs.all())
    assert not re.search("secret|hidden", game.inner_html())
    game.locator("textarea").press_sequentially("a guess")
    expect(pairs.first).to_be_enabled()
    for i in range(10):
        pairs.nth(2 * i).click()
        expect(pairs.nth(2 * i)).to_have_attribute("aria-pressed", "True")
    _show(page, game.locator(".htf-sort"), "game_sorted")
    game.get_by_role("button", name="Submit").click()
    expect(game).to_contain_text("5 of 10 right")
    assert game.locator("textarea").input_value() == "a guess"

    for theme, width in [("light", 1280), ("dark", 768), ("light", 1920)]:
        _look(page, theme=theme, width=width)
        for name, part in [
            ("words", explorer.locator(".htf-words")),
            ("card", card),
            ("game", game),
        ]:
            _show(page, part, f"features_{name}_{theme}_{width}")
        for part in (explorer, game):
            inner, room = part.evaluate(
                "e => [e.scrollWidth, e.closest('.jp-OutputArea-output').clientWidth]"
            )
            assert inner <= room + 1, f"cut off at {width}"
            ground, ink = part.evaluate(
                "e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).color]"
            )
            assert (ground, ink) == ("rgb(255, 255, 255)", "rgb(26, 26, 26)")
    game.get_by_role("button", name="Next round").click()
    expect(game).to_contain_text("Round 2 of 2")
    assert not re.search("secret|hidden", game.inner_html())
    assert _unwanted(page) == []
    assert page.asked == []
