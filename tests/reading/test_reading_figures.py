"""Figures of boards and beliefs."""

import base64
import struct
import zlib

import pytest
import torch

from utils import plots
from utils.reading import figures


def test_a_board_shows_its_discs_where_they_are():
    squares = [0] * 36
    squares[1], squares[12], squares[35] = 1, -1, 1  # b1, a3, f6
    shade = [i / 100 for i in range(36)]
    fig = figures.boards(
        {"one": squares, "two": [0] * 36},
        title="t",
        shade={"one": shade},
        marked={"one": [7]},
        new={"one": [8]},
        last={"one": 35},
    )
    heat, black, white, legal, new, last = fig.data[:6]
    assert list(zip(black.x, black.y, strict=True)) == [(1, 0), (5, 5)]
    assert list(zip(white.x, white.y, strict=True)) == [(0, 2)]
    assert (legal.x, legal.y) == ((1,), (1,)) and (last.x, last.y) == ((5,), (5,))
    assert (new.x, new.y) == ((2,), (1,))
    assert heat.z[2][0] == pytest.approx(0.12) and heat.zmax == pytest.approx(0.35)
    assert not fig.data[7].x and fig.layout.yaxis.range == (5.5, -0.5)


def _pixels(picture: str) -> list[bytes]:
    """The rows of a picture as `figures.simplex` makes them, 4 numbers a pixel."""
    data = base64.b64decode(picture.partition(",")[2])
    assert data.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", data[16:24])
    start = data.index(b"IDAT") + 4
    (size,) = struct.unpack(">I", data[start - 8 : start - 4])
    rows = zlib.decompress(data[start : start + size])
    step = 1 + 4 * width
    assert len(rows) == height * step
    return [rows[i * step + 1 : (i + 1) * step] for i in range(height)]


def test_points_on_the_simplex_keep_their_colour_from_panel_to_panel():
    colour = torch.eye(3)
    points = torch.tensor([[0.0, 0.0], [1.1547, 0.0], [0.5774, 1.0]])
    fig = figures.simplex({"true": points, "probe": points + 0.01}, colour, title="t")
    assert len(fig.layout.images) == 2
    for image in fig.layout.images:
        rows = _pixels(image.source)
        dots = [
            (y, row[i : i + 3])
            for y, row in enumerate(rows)
            for i in range(0, len(row), 4)
            if row[i + 3]
        ]
        colours = [tuple(rgb) for _, rgb in dots]
        assert colours == [(0, 0, 0), (0, 114, 178), (230, 159, 0)]  # the top; then left, right
        assert dots[0][0] < 30 < len(rows) - 30 < dots[1][0] == dots[2][0]


def test_points_in_one_place_mix_their_colours_and_far_ones_are_cut_off():
    points = torch.tensor([[0.5, 0.5], [0.5, 0.5], [9.0, 9.0]])
    fig = figures.simplex({"a": points}, torch.eye(3), title="t")
    row = next(row for row in _pixels(fig.layout.images[0].source) if any(row))
    assert tuple(value for value in row if value) == (115, 136, 89, 255)


def test_the_path_of_a_belief_is_marked_at_its_end():
    way = torch.tensor([[0.6, 0.3], [0.2, 0.1]])
    fig = figures.belief_path({"a": way}, ["start", "A"], title="t", corners=["0", "1", "2"])
    path = fig.data[-1]
    assert list(path.text) == ["start", "A"] and path.marker.size[-1] > path.marker.size[0]
    assert list(fig.data[1].text) == ["0", "1", "2"] and fig.layout.showlegend is False


def test_what_is_typed_is_drawn_and_a_refusal_is_said(monkeypatch):
    def draw(text):
        if not text:
            raise ValueError("Type something.")
        return plots.lines({"a": [len(text)]}, title=text, x="x", y="y")

    assert figures.typed(draw, text="abc", label="l").layout.title.text == "abc"
    import IPython

    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    box = figures.typed(draw, text="abc", label="l")
    control, out = box.box.children
    control.value = "other"
    shown = out.outputs[0]["data"]["application/vnd.plotly.v1+json"]
    assert shown["layout"]["title"]["text"] == "other"
    control.value = ""
    assert out.outputs[0]["data"] == {"text/plain": "Type something."}


def test_labels_of_steps_that_hardly_move_stand_together():
    way = torch.tensor([[0.5, 0.5], [0.1, 0.1], [0.08, 0.08], [0.06, 0.06], [0.9, 0.1]])
    fig = figures.belief_path({"a": way}, ["start", "A", "A", "B", "C"], title="t")
    (path,) = (each for each in fig.data if each.text)
    assert list(path.text) == ["start", "AAB", "", "", "C"]
    assert list(path.hovertext) == ["start", "A", "A", "B", "C"]
    fig = figures.belief_path({"a": way}, ["start", "A", "A", "A", "C"], title="t")
    assert fig.data[-1].text[1] == "3 \u00d7 A"


def test_heads_by_distance_have_a_panel_a_block_and_a_bar_a_head():
    rows = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.25, 0.75]])
    fig = figures.by_distance({"block 0": rows, "block 1": rows[:1]}, title="t", y="attention")
    assert [bar.name for bar in fig.data] == ["head 0", "head 1", "head 0"]
    assert [bar.xaxis for bar in fig.data] == ["x", "x", "x2"]
    assert list(fig.data[1].y) == [0, 0.25, 0.75] and list(fig.data[1].x) == [0, 1, 2]
    with pytest.raises(ValueError, match="is empty"):
        figures.by_distance({}, title="t", y="attention")


def test_responses_say_their_slope():
    x = torch.tensor([[-0.2, 0.1], [0.3, 0.0]])
    fig = figures.responses({"half": (x, x / 2), "none": (x, 0 * x)}, title="t", x="x", y="y")
    texts = [each.text for each in fig.layout.annotations]
    assert texts[2:] == ["slope 0.50", "slope 0.00", "x"]


def test_each_cloud_has_its_name_at_its_mean_and_its_colour_with_its_kind():
    clouds = {
        "true": torch.tensor([[0.0, 0.0], [2.0, 4.0]]),
        "not: true": torch.tensor([[5.0, 1.0]]),
        "false": torch.tensor([[-1.0, -2.0], [-3.0, -2.0], [-2.0, -5.0]]),
    }
    texts = {"not: true": ["Ice is not hot."]}
    fig = figures.clouds(clouds, title="t", x="a", y="b", texts=texts)
    true, denied, false = fig.data
    assert list(zip(true.x, true.y, strict=True)) == [(0, 0), (2, 4)]
    assert true.marker.color == denied.marker.color != false.marker.color
    assert true.marker.symbol == false.marker.symbol != denied.marker.symbol
    assert denied.text == ("Ice is not hot.",) and true.text == ("true", "true")
    means = {each.text: (each.x, each.y) for each in fig.layout.annotations}
    assert means == {
        "<b>true</b>": (1, 2),
        "<b>not: true</b>": (5, 1),
        "<b>false</b>": (-2, pytest.approx(-3)),
    }
    assert fig.layout.xaxis.title.text == "a" and fig.layout.yaxis.title.text == "b"


def test_a_slider_is_a_figure_where_no_notebook_is():
    fig = figures.slider(
        lambda i: plots.lines({"a": [i]}, title=f"{i}", x="x", y="y"), n=3, label="move", at=2
    )
    assert fig.layout.title.text == "2"


def test_in_a_notebook_the_slider_draws_what_it_is_set_to(monkeypatch):
    """Without a message from `with out`, on which nbconvert can hang (nbclient issue 312)."""
    import IPython
    import IPython.display

    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr(IPython.display, "display", lambda *a, **k: pytest.fail("displayed"))
    box = figures.slider(
        lambda i: plots.lines({"a": [i]}, title=f"{i}", x="x", y="y"), n=5, label="move", at=1
    )
    control, out = box.box.children

    def title() -> str:
        (shown,) = out.outputs
        return shown["data"]["application/vnd.plotly.v1+json"]["layout"]["title"]["text"]

    assert title() == "1"
    control.value = 4
    assert title() == "4"
    assert control.max == 4 and "htf-slider" in box.box._dom_classes


def test_a_saved_slider_is_the_figure_at_the_start(monkeypatch):
    import IPython

    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    live = figures.slider(
        lambda i: plots.lines({"a": [i]}, title=f"{i}", x="x", y="y"), n=5, label="move", at=3
    )
    saved = live._repr_mimebundle_()
    assert saved["application/vnd.jupyter.widget-view+json"]["model_id"] == live.box.model_id
    assert saved["application/vnd.plotly.v1+json"]["layout"]["title"]["text"] == "3"
    assert saved["text/plain"] == "[figure: 3]"


def test_a_slider_can_show_names(monkeypatch):
    import IPython

    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    box = figures.slider(
        lambda i: plots.lines({"a": [i]}, title=f"{i}", x="x", y="y"),
        n=3,
        label="step",
        at=1,
        names=[0, 100, 1500],
    )
    control = box.box.children[0]
    assert control.value == 1 and control.label == "100"
    assert [label for label, _ in control.options] == ["0", "100", "1500"]
