"""Figures of circuits: what they hold, and what they must not do to tokens."""

import re

import pytest
import torch

from utils.circuits import figures


def test_attention_view_keeps_special_tokens_and_asks_no_network(monkeypatch):
    import urllib.request

    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: pytest.fail("asked the network"))
    tokens = ["<|im_start|>", "<bos>", " a", "</script>"]
    view = figures.attention_heads(torch.rand(2, 4, 4), tokens, names=["L0H0", "L0H1"])
    page = view._repr_html_()
    data = page[page.index('"tokens"') :]
    assert '"<|im_start|>"' in data and '"<bos>"' in data
    assert page.count("</script>") == 1, "a token must not end the script"
    assert not re.search(r"https?://", re.sub(r'atob\("[^"]*"\)', "", page))
    assert len(page) < 600_000
    assert "L0H0, L0H1" in repr(view)


@pytest.mark.parametrize(("n_tokens", "n_names"), [(3, 2), (4, 1)])
def test_attention_view_says_what_does_not_fit(n_tokens, n_names):
    with pytest.raises(ValueError, match="needs 2 names and 4 tokens"):
        figures.attention_heads(torch.rand(2, 4, 4), ["a"] * n_tokens, names=["h"] * n_names)
