"""`utils.features.absorption` on planted families."""

import pytest
import torch

from utils.features import absorption, dashboards


def some_texts(seed: int, n: int = 60) -> dashboards.Corpus:
    """Texts of 30 tokens from 0 to 8."""
    generator = torch.Generator().manual_seed(seed)
    return dashboards.corpus(list(torch.randint(9, (n, 30), generator=generator)))


def test_recall_by_token_is_nan_for_one_that_never_comes():
    fires = torch.tensor([0, 1, 0, 0, 1, 0, 0, 0, 1], dtype=torch.bool)
    tokens = torch.tensor([3, 1, 4, 1, 1, 5, 9, 2, 6])
    found = absorption.recall_by_token(fires, tokens, torch.tensor([6, 1, 8]))
    assert found[0] == 1 and found[1] == pytest.approx(2 / 3) and found[2].isnan()


def test_a_token_is_asked_if_it_comes_five_times_and_in_three_texts():
    rows = [[1, 1, 1, 1, 1, 2, 3], [2, 2, 3, 3, 4], [2, 2, 3, 4], [4, 5, 5, 5, 5, 5]]
    texts = dashboards.corpus([torch.tensor(row) for row in rows])
    inside = texts.tokens != 3
    assert absorption.asked(texts, inside).tolist() == [2]


def test_the_best_latent_for_a_token_is_found_and_tested_elsewhere():
    keys = [dashboards.neighbour(some_texts(seed), -1) for seed in (0, 1)]
    lone = [
        dashboards.Activity(key.clamp(min=0)[:, None], torch.ones(len(key), 1), 20) for key in keys
    ]
    assert absorption.own_latents(lone[0], keys[0], lone[1], keys[1])[1:].min() > 0.99
    other = absorption.own_latents(lone[0], keys[0].roll(7), lone[1], keys[1].roll(7))
    assert other.max() < 0.4


def family_pile(seed: int, *, hole: bool):
    """Tokens 1 to 4: latent 0 is their parent, but latent 1 stands for 4; latent 2 elsewhere."""
    texts = some_texts(seed)
    latent = torch.where((texts.tokens > 0) & (texts.tokens < 5), 0, 2)
    if hole:
        latent[texts.tokens == 4] = 1
    W_dec = torch.nn.functional.normalize(torch.tensor([[1.0, 0.2, 0], [1, -0.2, 0], [0, 0, 1]]))
    active = dashboards.Activity(latent[:, None], torch.ones(len(latent), 1), 3)
    noise = torch.randn(len(latent), 3, generator=torch.Generator().manual_seed(seed))
    return (W_dec[latent] + 0.01 * noise, active, texts), W_dec


MEMBER = (torch.arange(9) > 0) & (torch.arange(9) < 5)


def test_a_family_finds_its_parent_its_hole_and_who_takes_over():
    (fit, W_dec), (other, _) = (family_pile(seed, hole=True) for seed in (0, 1))
    found = absorption.family(MEMBER, fit, other, W_dec)
    assert found.parent == 0 and found.is_parent and found.tokens.tolist() == [1, 2, 3, 4]
    assert found.recall.tolist() == [1, 1, 1, 0] and found.probe_f1 > 0.99
    assert 0.3 < found.chance[:, 3].mean() < 1 and found.chance.shape == (20, 4)
    (only,) = found.takeovers
    assert only[:2] == (4, 1) and only.absorbs and only.recall == only.own == 1 and only.beside == 0


def test_the_rule_finds_planted_absorption_and_a_fake_parent_is_seen_to_be_one():
    (fit, W_dec), (other, _) = (family_pile(seed, hole=False) for seed in (0, 1))
    found = absorption.family(MEMBER, fit, other, W_dec)
    assert found.is_parent and not found.takeovers
    hits, _ = absorption.tested_rule(MEMBER, fit, other, W_dec, found)
    assert hits == [(True, True), (True, True)]
    directions = torch.where(MEMBER[:, None], torch.tensor([1.0, 0, 0]), torch.tensor([0, 0, 1.0]))
    alone = [  # every token has a latent of its own
        (
            directions[texts.tokens] + 0.01 * torch.randn(len(texts.tokens), 3),
            dashboards.Activity(texts.tokens[:, None], active.value, 9),
            texts,
        )
        for _, active, texts in (fit, other)
    ]
    found = absorption.family(MEMBER, *alone, directions)
    assert not found.is_parent and len(found.takeovers) == 3
    hits, fake = absorption.tested_rule(MEMBER, *alone, directions, found)
    assert hits == [] and all(each.absorbs for each in fake.takeovers) and len(fake.takeovers) == 3


def test_a_study_leaves_pieces_of_words_out(monkeypatch):
    words = absorption.FAMILIES["pronouns"]
    monkeypatch.setattr(absorption, "FAMILIES", {"pronouns": words})
    (fit, W_dec), (other, _) = (family_pile(seed, hole=False) for seed in (0, 1))
    vocabulary = ["x", " i", "I", " you", " We", "i", "y", "z", "q"]
    found = absorption.study(vocabulary, fit, other, W_dec)
    assert found.real["pronouns"].tokens.tolist() == [1, 2, 3, 4] and not found.holes
    assert found.planted == [(True, True), (True, True)]
    assert found.rows(vocabulary) == [("pronouns", 0, "1.00", "1.00", 4, "")]
