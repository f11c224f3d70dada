"""Cards, browsers, arrows and maps of phases."""

import torch

from utils import plots
from utils.features import figures


def test_a_feature_card_escapes_tokens_and_needs_no_colours():
    card = figures.feature_card(
        "latent 3", [("density", "<1%")], [([" a", "<b>", "\n"], [0.0, 7.25, 1.0], 1)]
    )
    page = card._repr_html_()
    assert "<b>&lt;b&gt;</b>" in page and "&lt;1%" in page and "7.2" in page
    assert "[<b>](7.2)" in repr(card) and "↵" in repr(card)
    both = figures.stacked([card, card])
    assert both._repr_html_().count("latent 3") == 2


def test_a_feature_browser_is_a_card_outside_a_notebook():
    shown = figures.feature_browser(
        lambda i: plots.table([(i,)], columns=["latent"]), lambda text: [1], n=9, at=4, text="x"
    )
    assert "4" in repr(shown)


def test_in_a_notebook_a_feature_browser_searches_and_a_saved_page_keeps_the_card(monkeypatch):
    import IPython
    import ipywidgets

    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    shown = figures.feature_browser(
        lambda i: plots.table([(i,)], columns=["latent"]), lambda text: [7, 2], n=9, at=4, text="x"
    )
    saved = shown._repr_mimebundle_()
    assert ">4<" in saved["text/html"] and "4" in saved["text/plain"]
    live = saved["application/vnd.jupyter.widget-view+json"]
    assert live["model_id"] == shown.box.model_id and isinstance(shown.box, ipywidgets.VBox)
    (_, button), (found, number) = (row.children for row in shown.box.children[:2])
    button.click()
    assert found.options == (7, 2) and number.value == 7 and ">7<" in shown.box.children[2].value
    found.value = 2
    assert ">2<" in shown.box.children[2].value


def test_arrows_point_along_the_rows_and_number_those_that_are_long():
    W = torch.tensor([[1.0, 0.5], [-0.8, 0.2], [0.1, -0.1]])
    fig = figures.arrows({"one": W, "two": 2 * W, "three": W, "four": W}, title="t")
    first, second, short = fig.data[:3]
    assert (first.x, first.y) == ((0, 1), (0, 0.5)) and first.text == ("", "0")
    assert second.textposition == "top left" and "text" not in short.mode
    assert fig.data[3].x == (0, 2) and fig.data[3].line.color == first.line.color
    assert {axis.range for axis in fig.select_xaxes()} == {fig.layout.yaxis.range}, "one scale"
    assert fig.layout.xaxis.range[1] > 2.2 and len(fig.data) == 12
    assert fig.layout.yaxis4.scaleanchor == "x4", "a right angle looks like one"


def test_phases_mark_where_a_later_map_differs():
    first, second = torch.tensor([[0, 1, 2], [0, 0, 2]]), torch.tensor([[0, 1, 2], [1, 0, 0]])
    fig = figures.phases(
        {"paper": first, "toys": second},
        kinds=("a", "b", "c", "never"),
        rows=["1", "0.1"],
        columns=["x", "y", "z"],
        title="t",
        x="importance",
        y="density",
    )
    paper, none, toys, crosses = fig.data
    assert [*paper.z] == [[0, 1, 2], [0, 0, 2]] and [*toys.text[1]] == ["b", "a", "a"]
    assert not none.x and list(zip(crosses.x, crosses.y, strict=True)) == [
        ("x", "0.1"),
        ("z", "0.1"),
    ]
    assert toys.colorbar.ticktext == ("a", "b", "c"), "the legend names what is there"
    assert not paper.showscale and toys.showscale
