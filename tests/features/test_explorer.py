"""The explorer and the blind game on planted latents, and what they send to the browser."""

import json
import re

import IPython
import pytest
import torch
from tokenizers.pre_tokenizers import WhitespaceSplit

from tests.contrast import text_contrasts
from tests.small_models import random_model
from utils.features import explorer as ex
from utils.features.dashboards import Activity, corpus
from utils.features.sae import TopKSAE, harvest

VOCABULARY = [f"w{i}" for i in range(40)]


def planted(n_texts: int, seed: int):
    """Latent 3 is active at tokens 5 and 6 (twice as much); latent 0 everywhere; 1 by chance."""
    generator = torch.Generator().manual_seed(seed)
    texts = corpus(list(torch.randint(40, (n_texts, 30), generator=generator)))
    value = torch.rand(len(texts.tokens), 3, generator=generator) + 1
    value[:, 0] *= 5 * ((texts.tokens == 5) + 2 * (texts.tokens == 6))
    value[:, 2] *= value[:, 2] > 1.9
    return texts, Activity(torch.tensor([3, 0, 1]).repeat(len(value), 1), value, 9)


@pytest.fixture(scope="module")
def latents(tmp_path_factory):
    """Latent 3 reads the stream's vector at token 5 of a small random model, first or after 8."""
    model = random_model("llama", tmp_path_factory.mktemp("model"))
    model.tokenizer.backend_tokenizer.pre_tokenizer = WhitespaceSplit()
    sae = TopKSAE(32, 9, k=2)
    first, other, after = harvest(model, [torch.tensor([5]), torch.tensor([8, 5])], layer=1)
    sae.W_enc.data[:, 3] = 10 * (first + after - 2 * other)
    return ex.Latents(model, sae, *planted(20, 0), layer=1)


def test_a_card_samples_the_top_the_middle_and_the_bottom_of_the_range(latents):
    card, acts = latents.card(3, n=3), latents.active.of([3])[:, 0]
    marked = [
        [each.acts[each.at] for each in part] for part in (card.top, card.middle, card.bottom)
    ]
    top = acts.max().item()
    assert marked[0][0] == pytest.approx(top) and marked[0] == sorted(marked[0], reverse=True)
    assert min(marked[0]) > max(marked[1]) > min(marked[1]) > max(marked[2]) > 0
    assert all(abs(act - top / 2) < 0.1 * top for act in marked[1])
    for each in (*card.top, *card.middle, *card.bottom):
        assert each.tokens[each.at] in ("w5", "w6") and len(each.tokens) == len(each.acts) <= 41
    assert sum(card.histogram[0]) == (acts > 0).sum() == round(card.density * len(acts))
    assert len(card.promoted) == len(card.suppressed) == 8
    assert latents.card(3, n=3) is card, "a card is made once"
    assert latents.card(8).top == [] and latents.words(3) == ["w6", "w5"]


def test_no_text_is_taken_twice():
    text, acts = torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([9.0, 8, 1, 5, 0, 2])
    assert ex.parts_of_range(acts, text, 4) == ([0], [3], [5])
    assert ex.parts_of_range(acts * 0, text, 4) == ([], [], [])
    texts, active = planted(40, 1)
    found = ex.parts_of_range(active.of([3])[:, 0], texts.text, 4)
    used = [int(texts.text[p]) for part in found for p in part]
    assert len(used) == len(set(used)) == 12


@pytest.fixture
def short_lead(monkeypatch):
    monkeypatch.setattr(ex, "LEAD", "w8")


def test_the_lead_of_a_search_does_not_count(latents, short_lead):
    rows = [torch.tensor([8, 5])]
    acts = latents.sae.encode(harvest(latents.model, rows, layer=1))[1, 3].item()
    hit = next(hit for hit in latents.search("w5") if hit.latent == 3)
    assert hit.score == pytest.approx(acts * latents.rarity[3].item(), rel=1e-4)


def test_search_and_reading_find_the_planted_latent(latents, short_lead):
    hits = latents.search("w5")
    assert hits[0].latent == 3 and hits[0].example.tokens[hits[0].example.at] == "w6"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len(hits[0].sparkline) == 12 and sum(hits[0].sparkline) == latents.counts[3]
    read = latents.read("w5")
    assert read.tokens == ["w5"] and read.strongest[0][0][0] == 3 and read.colours == [3]
    drawn = latents.draw(3, generator=torch.Generator().manual_seed(0))
    assert sorted(drawn) == [0, 1, 3]


def test_the_explorer_answers_and_says_in_one_sentence_what_it_cannot(
    latents, short_lead, monkeypatch
):
    page = ex._Explorer(latents, "w5", {3: "chosen <b>"})
    page.answer("token", "0")
    assert "data-latent='3'" in page.parts["d_five"] and page.acts["3"][0] > 0
    page.answer("open", "3")
    assert "chosen, not drawn: chosen &lt;b&gt;" in page.parts["g_card"]
    page.answer("search", "w5")
    assert "data-what='3'" in page.parts["f_found"] and page.said["text"] == ""
    page.answer("draw")
    assert "drawn at random" in page.parts["g_card"]
    for do, what, part in [
        ("read", "  ", "type some words"),
        ("search", "", "type some words"),
        ("open", "9", "from 0 to 8"),
        ("open", "x", "from 0 to 8"),
        ("open", "-1", "from 0 to 8"),
    ]:
        before, turn = page.parts, page.said["turn"]
        page.answer(do, what)
        assert part in page.said["text"] and "`" not in page.said["text"]
        assert page.parts == before and page.said["turn"] == turn + 1
    long = torch.zeros(1, 99, dtype=torch.long)
    monkeypatch.setattr(latents.model, "to_tokens", lambda *_, **__: long)
    page.answer("read", "long")
    assert page.said["text"] == "The text has 99 tokens: give at most 15."


def test_without_a_notebook_there_is_a_sentence_with_two_cards(latents):
    shown = ex.explorer(latents, text="w5", famous={3: "one"})
    assert "latent 3" in repr(shown) and "<b>Latent 3</b>" in shown.code
    assert all(ratio >= 4.5 for _, ratio in text_contrasts(shown.code))


def test_in_a_notebook_a_saved_page_keeps_what_needs_no_kernel(latents, monkeypatch):
    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    shown = ex.explorer(latents, text="w5", famous={3: "one"})
    saved = shown._repr_mimebundle_()
    assert "<b>Latent 3</b>" in saved["text/html"] and "latent 3" in saved["text/plain"]
    live = saved["application/vnd.jupyter.widget-view+json"]
    assert live["model_id"] == shown.box.model_id
    assert "Random draw" in shown.box.parts["e_find"] and "render" in str(shown.box._esm)


def rounds(n: int = 2, **how):
    latents = {"latents": [3, 0][:n], "vocabulary": VOCABULARY, "source": "secret"} | how
    generator = torch.Generator().manual_seed(0)
    return ex.questions(planted(20, 0), planted(12, 1), **latents, generator=generator)


def test_a_question_has_five_and_five_of_the_held_out_texts():
    (question,) = rounds(1)
    assert len(question.examples) == 9 and sum(question.active) == 5
    assert all(each.acts[each.at] > 0 for each in question.examples)
    texts, held = planted(12, 1)
    words = [VOCABULARY[i] for i in texts.tokens.tolist()]
    rows = [words[30 * i : 30 * i + 30] for i in range(12)]
    sources = []
    for each, active in zip(question.snippets, question.active, strict=True):
        assert (each.acts[each.at] > 0) == active == (each.tokens[each.at] in ("w5", "w6"))
        (source,) = (i for i, row in enumerate(rows) if " ".join(each.tokens) in " ".join(row))
        sources.append(source)
    assert len(set(sources)) == 10
    acts = sorted(each.acts[each.at] for each in question.snippets if each.acts[each.at] > 0)
    assert acts[0] < 10 < acts[-1], "over its range"


def test_a_game_scores_and_keeps_answers_and_sources_until_they_are_due():
    questions = [*rounds(1), *rounds(1, source="hidden")]
    game = ex.blind_game(questions)
    box = game.box
    assert game.scores == [] and "w5" in repr(game)

    def sent() -> str:
        return json.dumps([box.parts, box.said, game.start.code])

    for turn in range(2):
        question = box.rounds[turn]
        assert "secret" not in sent() and "hidden" not in sent()
        assert not re.search(r"htf-(True|False)|<sub", sent())
        assert "rgba" not in box.parts["c_sort"], "shades would tell"
        box.answer("sort", "0+")
        assert box.said["text"].startswith("Write a description")
        box.answer("describe", "five <&> six")
        box.answer("submit")
        assert box.said["text"] == "Sort all ten snippets first." and len(game.scores) == turn
        for i, active in enumerate(question.active):
            right = active if i else not active
            box.answer("sort", f"{i}{'+' if right else '-'}")
        assert box.parts["c_sort"].count("aria-pressed='True'") == 10
        box.answer("submit")
        box.answer("submit")
        assert box.parts["c_sort"].count("htf-True") == 9 and "9 of 10 right" in sent()
        box.answer("next")
    assert sorted(game.scores) == [("hidden", 9, "five <&> six"), ("secret", 9, "five <&> six")]
    assert "secret" in sent() and "five &lt;&amp;&gt; six" in sent()
    box.answer("next")
    box.answer("sort", "0+")
    assert len(game.scores) == 2
