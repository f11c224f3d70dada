"""Figures of circuits: what they hold, and what they must not do to tokens."""

import json
import re
from types import SimpleNamespace

import pytest
import torch

from tests.small_models import random_model
from utils.circuits import figures


def test_attention_view_keeps_special_tokens_and_asks_no_network(monkeypatch):
    import urllib.request

    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: pytest.fail("asked the network"))
    tokens = ["<|im_start|>", "<bos>", " a", "</script>"]
    view = figures.attention_heads(torch.rand(2, 4, 4), tokens, names=["L0H0", "L0H1"])
    page = view._repr_html_()
    data = json.loads(
        page[page.rindex("AttentionHeads, ") :].split("AttentionHeads, ")[1].split(");\n")[0]
    )
    assert data["tokens"] == ["<|im_start|>", "<bos>", "\u00a0a", "</script>"]
    assert page.count("</script>") == 1, "a token must not end the script"
    assert not re.search(r"https?://", re.sub(r'atob\("[^"]*"\)', "", page))
    assert len(page) < 600_000
    assert "L0H0, L0H1" in repr(view)


def test_attention_view_is_bounded_readable_and_a_table_without_scripts():
    pattern = torch.tensor([[[1.0, 0, 0], [0.25, 0.75, 0], [0.1, 0.8, 0.1]]])
    page = figures.attention_heads(pattern, ["a", "<!--", "c"], names=["L0H0"])._repr_html_()
    still = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.S)
    assert "<td>c</td><td>&lt;!-- 0.80</td>" in still and "looks most at" in still
    assert "<!--" not in page, "a token must not begin a comment"
    assert re.search(r"htf-attention {max-width: \d+px; background: white; color: #1a1a1a", page)


@pytest.mark.parametrize(("n_tokens", "n_names"), [(3, 2), (4, 1)])
def test_attention_view_says_what_does_not_fit(n_tokens, n_names):
    with pytest.raises(ValueError, match="needs 2 names and 4 tokens"):
        figures.attention_heads(torch.rand(2, 4, 4), ["a"] * n_tokens, names=["h"] * n_names)


def test_a_diagram_has_a_box_for_each_part_and_arrows_that_end_at_their_edges():
    boxes = {"tokens": (0, 0), "a head<br>of layer 1": (2, 1)}
    arrow = ("tokens", "a head<br>of layer 1", "key")
    fig = figures.diagram(
        boxes, [arrow], title="Who reads?", marked=["tokens"], notes={"here": (1, 2)}
    )
    assert len(fig.layout.shapes) == 2
    assert fig.layout.shapes[0].line.color != fig.layout.shapes[1].line.color
    (drawn,) = [each for each in fig.layout.annotations if each.showarrow]
    (low, high) = fig.layout.shapes
    assert low.x0 <= drawn.ax <= low.x1 and low.y0 <= drawn.ay <= low.y1
    assert high.x0 <= drawn.x <= high.x1 and high.y0 <= drawn.y <= high.y1
    assert {"key", "here", *boxes} < {each.text for each in fig.layout.annotations}
    left, right = fig.layout.xaxis.range
    assert left < low.x0 and high.x1 < right


def test_a_circuit_s_letters_stand_once_and_its_edges_apart():
    edges = [("L0H0", "L1H0.k"), ("L0H0", "L1H0.v"), ("L0H1", "L1H0.v")]
    fig = figures.circuit_graph({"true": edges}, n_layers=2, n_heads=2, title="t")
    lines, letters = fig.data[:2]
    assert list(letters.text) == ["k", "v"]
    assert sorted({round(x, 2) for x in lines.x if x is not None}) == [0, 0.11, 0.61, 1.11]


def test_faithfulness_curves_have_a_mean_and_an_interval_for_each_size():
    rows = torch.tensor([[0.0, 0.5], [1.0, 1.0]])
    fig = figures.faithfulness_curves({"EAP": rows}, sizes=[10, 100], title="t")
    (line,) = fig.data
    assert list(line.y) == [0.25, 1.0] and list(line.error_y.array) == pytest.approx(
        [0.49, 0], abs=0.01
    )
    assert list(fig.layout.xaxis.ticktext) == ["10", "100"]
    with pytest.raises(ValueError, match="of 3 sizes"):
        figures.faithfulness_curves({"EAP": rows}, sizes=[1, 2, 3], title="t")


def test_waterfalls_end_at_the_sum_of_their_steps_with_room_above_and_below():
    apart = torch.tensor([-0.5, 0.5, -0.5, 0.5])  # two standard errors: 0.58
    panels = {
        "up": {"direct": 1 + apart, "norm": torch.full((4,), 0.5)},
        "down": {"direct": torch.full((4,), -2.0), "norm": 0.25 + apart},
    }
    fig = figures.waterfalls(panels, title="Who changed it?", y="logits")
    assert [trace.text[-1] for trace in fig.data] == ["+1.50<br>± 0.58", "-1.75<br>± 0.58"]
    assert fig.data[1].text[0] == "-2.00<br>± 0.00"
    assert [trace.measure[-1] for trace in fig.data] == ["total", "total"]
    low, high = fig.layout.yaxis.range
    assert low < -2 and high > 1.5


def test_bars_of_next_tokens_are_the_model_s_and_keep_special_tokens():
    def model(tokens):
        return torch.tensor([[[0.0, 0.0, 0.0], [1.0, 3.0, 2.0]]])

    words = ["a", "<|im_end|>", " b's"]
    model.to_tokens = lambda prompt: torch.tensor([[0, 1]])
    model.tokenizer = SimpleNamespace(decode=lambda ids: words[ids[0]])
    bars = figures.next_token_bars(model, "x" * 99, k=2)
    assert list(bars.layout.yaxis.ticktext) == ["'&lt;|im_end|&gt;'", '" b\'s"']
    assert bars.data[0].x == pytest.approx(torch.tensor([3.0, 2.0, 1.0]).softmax(-1)[:2].tolist())
    assert "..." in bars.layout.title.text and bars.layout.title.text.endswith("?")
    assert (
        "'... " + 7 * "five " in figures.next_token_bars(model, 20 * "five ", k=2).layout.title.text
    )


def test_lesson_00_s_diagrams_are_drawn_without_overlapping_boxes():
    for drawn in (figures.residual_stream(), figures.one_vector_patch()):
        places = [(s.x0, s.x1, s.y0, s.y1) for s in drawn.layout.shapes]
        for i, (l0, r0, b0, t0) in enumerate(places):
            for l1, r1, b1, t1 in places[:i]:
                assert r0 < l1 or r1 < l0 or t0 < b1 or t1 < b0


def test_a_patch_by_hand_makes_the_clean_run_before_block_0(tmp_path):
    model = random_model("gpt2", tmp_path)
    last = model.to_tokens("w1").shape[1] - 1
    for layer in (0, 2):  # the last token's stream is all that differs
        view = figures.patch_by_hand(model, "w1", "w5", layer=layer, pos=last)
        head, clean, corrupted, patched = (line.split(" | ") for line in repr(view).splitlines())
        assert head[1] == "most likely next" and clean[1:] != corrupted[1:]
        assert patched[1:] == clean[1:]
    with pytest.raises(ValueError, match=f"positions 0 to {last}"):
        figures.patch_by_hand(model, "w1", "w5", layer=0, pos=last + 1)


def test_a_training_s_slider_has_a_frame_for_each_step_and_opens_at_the_first():
    patterns = {name: torch.rand(3, 4, 4).tril() for name in ("L0H1", "L1H3")}
    fig = figures.training_slider(patterns, steps=[0, 10, 40], tokens=list("abcd"), title="t")
    assert [frame.name for frame in fig.frames] == ["0", "10", "40"]
    assert fig.layout.sliders[0].active == 0 and len(fig.data) == 2
    for trace, pattern in zip(fig.data, patterns.values(), strict=True):
        assert torch.allclose(torch.tensor(trace.z), pattern[0], atol=0.006)
    for trace, pattern in zip(fig.frames[2].data, patterns.values(), strict=True):
        assert torch.allclose(torch.tensor(trace.z), pattern[2], atol=0.006)
