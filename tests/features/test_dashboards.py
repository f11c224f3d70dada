"""`utils.features.dashboards` on planted latents."""

from collections import namedtuple
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.small_models import random_model
from utils.features import dashboards, sae

ROWS = [torch.tensor(row) for row in ([3, 1, 4, 1], [1, 5], [9, 2, 6])]
TEXTS = dashboards.corpus(ROWS)
SHIPPED = Path(__file__).resolve().parents[2] / "data" / "sae"
Snip = namedtuple("Snip", "tokens at")


def test_a_corpus_knows_where_its_texts_end():
    assert TEXTS.tokens.tolist() == [3, 1, 4, 1, 1, 5, 9, 2, 6]
    assert TEXTS.text.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 2]
    assert TEXTS.around(4, before=3, after=3) == ([4, 5], 0)
    assert TEXTS.around(2, before=1, after=9) == ([1, 2, 3], 1)


def test_activity_gives_back_what_the_encoder_gave():
    dictionary = sae.TopKSAE(5, 12, k=3)
    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    whole = dictionary.encode(x).detach()
    found = dashboards.activity(dictionary.encode, x, k=3, batch_size=16)
    assert torch.equal(found.of(range(12)), whole)
    assert torch.equal(found.of([7, 2]), whole[:, [7, 2]])
    assert torch.equal(found.of([2, 7, 2]), whole[:, [2, 7, 2]])
    assert found.of([]).shape == (40, 0)
    assert torch.allclose(found.density, (whole > 0).float().mean(0))


def test_an_empty_slot_does_not_hide_the_latent_whose_number_it_has():
    found = dashboards.Activity(torch.tensor([[0, 0], [3, 0]]), torch.tensor([[2.0, 0], [1, 0]]), 4)
    assert found.of([0, 3]).tolist() == [[2, 0], [0, 1]]
    assert found.density.tolist() == [0.5, 0, 0, 0.5]


def test_some_texts_are_drawn_until_there_are_enough_tokens():
    drawn = dashboards.some(ROWS, 5)
    assert 5 <= sum(map(len, drawn)) < 9 and len(dashboards.some(ROWS, 99)) == 3


def test_a_split_is_read_as_it_was_kept(tmp_path):
    kept = {"reading.tokens": TEXTS.tokens.int(), "reading.text": TEXTS.text.short()}
    for who in ("", "control_"):
        kept[f"reading.{who}index"] = torch.arange(18).reshape(9, 2).short()
        kept[f"reading.{who}value"] = torch.ones(9, 2).half()
    save_file(kept, tmp_path / "activity.safetensors")
    split = dashboards.load_split(tmp_path, "reading")
    assert torch.equal(split.texts.tokens, TEXTS.tokens)
    assert split.latents.d_sae == 4608 and split.control.d_sae == 400
    assert split.control.of([4]).sum() == 1 and split.control.value.dtype == torch.float32


@pytest.mark.parametrize("name", ["smollm2", "matched"])
def test_the_shipped_splits_are_of_two_sets_of_texts(name):
    one, two = (dashboards.load_split(SHIPPED / name, split) for split in ("reading", "held_out"))
    assert len(one.texts.tokens) >= 15_000 and len(two.texts.tokens) >= 8_000
    for split in (one, two):
        for found in (split.latents, split.control):
            assert len(found.index) == len(split.texts.tokens)
            assert found.value.isfinite().all() and (found.value >= 0).all()
            assert int(found.index.min()) >= 0 and int(found.index.max()) < found.d_sae
        assert 15 < split.latents.density.sum() <= 32.001
        assert 32 * 0.6 < 4608 / 400 * split.control.density.sum() < 32 * 1.5


def test_logit_effects_are_of_directions_not_of_lengths():
    direction, norm, W_U = torch.tensor([3.0, 4]), torch.tensor([2.0, 1]), torch.eye(2)
    right = torch.tensor([0.2, -0.2])
    for scale in (1, 9):
        assert torch.allclose(dashboards.logit_effect(scale * direction, norm, W_U), right)


def test_rules_see_the_mark_and_what_stands_before_it():
    snippet = Snip([str(i) for i in range(30)], 15)
    mark, before, ten = dashboards.RULES.values()
    assert mark(snippet) == ["15"] and before(snippet) == ["14"]
    assert ten(snippet) == [str(i) for i in range(5, 15)]
    first = Snip(["a", "b"], 0)
    assert (mark(first), before(first), ten(first)) == (["a"], [], [])


def test_evidence_counts_each_word_once_and_unknown_words_not():
    snippets = [Snip(["a", "a", "b", "c"], 3), Snip(["c"], 0)]
    found = dashboards.evidence({"a": 1.5, "b": -1.0}, lambda each: each.tokens, snippets)
    assert found.tolist() == [0.5, 0.0]


def test_the_player_finds_the_rule_that_was_planted():
    generator = torch.Generator().manual_seed(0)

    def snippet(cue: str | None) -> Snip:
        words = ["abcdefgh"[i] for i in torch.randint(8, (12,), generator=generator)]
        if cue:
            words[4 + int(torch.randint(6, (1,), generator=generator))] = cue
        return Snip(words, 11)

    active, others = [snippet("sea") for _ in range(20)], [snippet(None) for _ in range(40)]
    new = [snippet("sea") for _ in range(5)] + [snippet(None) for _ in range(5)]
    rule, evidence = dashboards.sort_snippets(active, others, new, dashboards.RULES)
    assert rule == "the ten tokens before"
    assert sorted(evidence.topk(5).indices.tolist()) == [0, 1, 2, 3, 4]


def test_ablating_a_silent_latent_changes_nothing(tmp_path):
    model, dictionary = random_model("llama", tmp_path), sae.TopKSAE(32, 9, k=9)
    tokens = torch.tensor([[0, 5, 7, 3]])
    loud = dashboards.ablate_latent(model, dictionary, tokens, 4, layer=1)
    dictionary.b_enc.data[4] = -1e6
    silent = dashboards.ablate_latent(model, dictionary, tokens, 4, layer=1)
    assert silent.abs().max() < 1e-5 < loud.abs().max() and silent.shape == (1, 4, 40)
    assert not loud.requires_grad


def test_what_is_read_after_steering_is_read_without_it(tmp_path):
    model, dictionary = random_model("llama", tmp_path), sae.TopKSAE(32, 9, k=9)
    prompts = torch.tensor([[0, 5], [0, 6]])
    written = torch.cat([prompts, torch.tensor([[3, 4, 1], [2, 2, 9]])], 1)
    settings = {"layer": 1, "write": lambda model, prompts: written}
    one, two = (
        dashboards.steer_and_read(
            model, dictionary, prompts, 2, change=size * torch.ones(32), **settings
        )
        for size in (0.0, 50.0)
    )
    assert torch.equal(one.loss, two.loss) and torch.equal(one.effect, two.effect)
    assert torch.equal(one.tokens, written) and one.loss.shape == one.effect.shape == (2,)
