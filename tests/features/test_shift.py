"""`utils.features.shift` on planted markers."""

import torch

from utils.features import shift


def test_a_sparse_probe_uses_k_columns_and_finds_the_planted_one():
    x = torch.randn(200, 30, generator=torch.Generator().manual_seed(0))
    y = (x[:, 4] > 0).long()
    found = shift.sparse_probe(x, y, k=1)
    assert found.direction.nonzero()[:, 0].tolist() == [4]
    assert found.accuracy(x, y) > 0.95
    assert (shift.sparse_probe(x, y, k=6).direction != 0).sum() == 6


def test_a_shift_fells_a_probe_of_the_marker_and_removing_it_helps():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(400) % 2
    x = torch.randn(400, 12, generator=generator)
    x[:, 0] += 1.5 * y
    marked = x.clone()
    marked[:, 5] += 6
    kinds = ("stream", "latents", "random")
    rows = shift.Marked(
        y,
        [f"s{i // 20}" for i in range(400)],
        dict.fromkeys(kinds, x),
        dict.fromkeys(kinds, marked),
    )
    for rival in ("stream", "1 latent"):
        assert rows.accuracy(rival, 0.5).nanmean() > 0.68
        assert rows.accuracy(rival, 0.97).nanmean() < 0.3
        assert rows.accuracy(rival, 0.97, remove=True).nanmean() > 0.68
    assert abs(rows.accuracy("stream", 0.5, shuffle=True).nanmean() - 0.5) < 0.12
    assert rows.sign("1 latent", 0.97) > 0.98 and rows.sign("1 latent", 0.5) == 0.5
    assert rows.chosen("1 latent", 0.5, split=0).tolist() == [0]
    assert rows.chosen("1 latent", 0.97, split=0).tolist() == [5]
    changed = rows.changed("latents", torch.ones(400, dtype=torch.bool))
    assert changed.nonzero()[:, 0].tolist() == [5]
