"""utils.reading.erasure: erasing a concept, and patching heads."""

import torch
from transformer_lens.model_bridge import TransformerBridge

from utils.checks import lesson_22
from utils.checks.engine import CORRECT, WRONG
from utils.reading.erasure import Eraser, erase_while_running, erased, leace, patch_heads


def labelled(n: int = 60, d: int = 5, seed: int = 0):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=random) @ torch.randn(d, d, generator=random)
    y = (torch.arange(n) % 3 == 0).long()
    x[:, 0] += 3 * y
    return x, y


def covariance(x, y):
    return (x - x.mean(0)).T @ (y - y.float().mean()) / len(x)


def tiny():
    model = TransformerBridge.boot_native(
        {
            "n_layers": 3,
            "n_heads": 2,
            "d_head": 4,
            "d_model": 8,
            "d_mlp": 8,
            "d_vocab": 11,
            "n_ctx": 8,
            "normalization_type": "LN",
            "positional_embedding_type": "standard",
            "act_fn": "gelu",
            "seed": 0,
        }
    ).eval()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=random) * 0.5)
    tokens = torch.randint(1, 11, (2, 4, 6), generator=random)
    return model, *tokens, torch.tensor([6, 3, 5, 4])


def test_leace_leaves_no_covariance_and_moves_least():
    x, y = labelled()
    least = erased(x, leace(x, y, shrink=0.0))
    means = erased(x, leace(x, y, shrink=1.0))
    assert covariance(x, y).norm() > 0.1
    assert covariance(least, y).norm() < 1e-4 and covariance(means, y).norm() < 1e-4
    assert torch.allclose(least.mean(0), x.mean(0), atol=1e-4)
    assert (least - x).pow(2).sum() < (means - x).pow(2).sum()


def test_shrunk_wholly_it_projects_out_the_difference_of_means():
    x, y = labelled()
    c = x[y == 1].mean(0) - x[y == 0].mean(0)
    matrix = leace(x, y, shrink=1.0).matrix
    assert torch.allclose(matrix, torch.outer(c, c) / (c @ c), atol=1e-4)


def test_erasing_nothing_changes_nothing():
    model, tokens, _, lengths = tiny()
    labels, rows = torch.tensor([0, 1, 0, 1]), torch.ones(4, dtype=torch.bool)
    how = {"fit": lambda x, y: Eraser(x.mean(0), torch.zeros(8, 8)), "fit_rows": rows}
    streams, logits = erase_while_running(model, tokens, lengths, labels, layers=[0, 2], **how)
    with torch.no_grad():
        right, cache = model.run_with_cache(tokens)
    at = torch.arange(4), lengths - 1
    assert torch.allclose(logits, right[at], atol=1e-5) and list(streams) == [0, 1, 2]
    assert torch.allclose(streams[1], cache["blocks.1.hook_resid_pre"][at], atol=1e-5)


def test_what_was_erased_before_a_block_is_gone_there():
    model, tokens, _, lengths = tiny()
    labels, rows = torch.tensor([0, 1, 0, 1]), torch.ones(4, dtype=torch.bool)
    streams, _ = erase_while_running(
        model, tokens, lengths, labels, layers=[1], fit=leace, fit_rows=rows
    )
    assert covariance(streams[1], labels).norm() < 1e-4 < covariance(streams[0], labels).norm()


def test_patching_a_head_from_the_same_text_changes_nothing():
    model, tokens, other, lengths = tiny()
    direction = torch.arange(8.0)
    same = patch_heads(model, tokens, tokens, lengths, direction, layers=[0, 1], read=2)
    new = patch_heads(model, tokens, other, lengths, direction, layers=[0, 1], read=2)
    with torch.no_grad():
        resid = model(tokens, stop_at_layer=2)[torch.arange(4), lengths - 1]
    assert same.shape == new.shape == (2, 2, 4)
    assert torch.allclose(same, (resid @ direction).expand_as(same), atol=1e-4)
    assert (new - same).abs().max() > 0.1


def test_a_hook_that_a_wrong_answer_leaves_spoils_no_later_check():
    def leaving(model, tokens, lengths, labels, **how):
        found = erase_while_running(model, tokens, lengths, labels, **how)
        model.add_hook("blocks.0.hook_resid_pre", lambda resid, hook: 2 * resid)
        return found

    found = lesson_22.check_erase_while_running.verdict(leaving)
    assert found.state == WRONG and "hook stays" in found.message
    for check, right in (
        (lesson_22.check_erase_while_running, erase_while_running),
        (lesson_22.check_patch_heads, patch_heads),
    ):
        assert check.verdict(right).state == CORRECT
