"""The figures that all parts share."""

import re

import pytest
import torch

from tests.contrast import contrast
from utils import plots
from utils.circuits import figures as circuits
from utils.features import figures as features
from utils.reading import figures as reading
from utils.writing import figures as writing

HEADS = {"title": "t", "x": "head", "y": "layer"}


def written(heat) -> list[str]:
    return [text for row in heat.text for text in row if text]


def test_a_heatmap_of_heads_names_the_highest():
    scores = torch.zeros(4, 3)
    scores[2, 1], scores[3, 0] = 0.9, 0.5
    text = circuits.named_heads(scores, 2)
    (heat,) = plots.heatmap(scores, **HEADS, label="score", text=text).data
    assert written(heat) == ["L2H1", "L3H0"]
    assert heat.z[2][1] == pytest.approx(0.9) and heat.showscale
    assert heat.customdata[3][2] == "L3H2", "pointing at a head shows its name"
    (bare,) = plots.heatmap(scores, **HEADS).data
    assert bare.text is None and not bare.showscale


def test_a_signed_heatmap_is_white_at_zero_or_in_the_middle_of_its_ends():
    scores = torch.zeros(4, 3)
    scores[2, 1], scores[3, 0], scores[0, 0] = 0.9, -1.5, 0.2
    text = circuits.named_heads(scores.abs(), 2)
    (heat,) = plots.heatmap(scores, **HEADS, text=text, signed=True).data
    assert set(written(heat)) == {"L2H1", "L3H0"}
    assert (heat.zmin, heat.zmax) == (-1.5, 1.5)
    (plain,) = plots.heatmap(scores, **HEADS).data
    assert plain.zmin is None and plain.colorscale != heat.colorscale
    colours = [colour for _, colour in heat.colorscale]
    middle = colours[len(colours) // 2]
    assert min(int(c) for c in re.findall(r"\d+", middle)) > 240, "zero is white"
    (chances,) = plots.heatmap(scores, **HEADS, signed=True, ends=(0, 1)).data
    assert (chances.zmin, chances.zmax) == (0, 1) and chances.colorscale == heat.colorscale


def test_panels_have_a_scale_each_or_one_that_is_given():
    panels = {"a": torch.eye(2, 3), "b": torch.rand(2, 3)}
    fig = plots.heatmap(panels, **HEADS, text="values")
    assert [each.text for each in fig.layout.annotations] == ["a", "b"]
    assert [heat.zmax for heat in fig.data] == [None, None]
    assert fig.data[1].z[1][2] == pytest.approx(panels["b"][1, 2].item(), abs=1e-4)
    assert fig.data[0].text[1][:2] == ["0.00", "1.00"]
    assert fig.data[0].colorscale[0][1] == "#ffffff", "what is written can be read"
    titles = [axis.title.text for axis in fig.select_yaxes()]
    assert titles == ["layer", ""]
    ends = {"a": (0, 1), "b": (0, 0.3)}
    assert [heat.zmax for heat in plots.heatmap(panels, **HEADS, ends=ends).data] == [1, 0.3]
    assert [heat.zmax for heat in plots.heatmap(panels, **HEADS, ends=(0, 2)).data] == [2, 2]


def test_row_0_is_on_top_and_ticks_leave_room():
    for n, step in [(8, 1), (30, 5)]:
        fig = plots.heatmap(torch.rand(n, 9), **HEADS)
        assert fig.layout.yaxis.autorange == "reversed"
        assert fig.layout.yaxis.dtick == step and fig.layout.xaxis.dtick == 1
    names = [str(i) for i in range(100)]
    axis = plots.heatmap(torch.rand(1, 100), title="t", x="", y="", columns=names).layout.xaxis
    assert axis.tickvals[1] == 3 and axis.ticktext[1] == "3" and len(axis.tickvals) < 40


def test_columns_of_the_same_token_stay_apart():
    values = torch.zeros(3, 4)
    values[2, 3] = 0.7
    tokens = ["BOS", " to", " ", " to"]
    fig = plots.heatmap(values, title="t", x="position", y="layer", columns=tokens)
    (heat,) = fig.data
    assert heat.z[2][3] == pytest.approx(0.7) and heat.z[2][1] == 0
    assert list(fig.layout.xaxis.tickvals) == [0, 1, 2, 3]
    assert list(fig.layout.xaxis.ticktext) == ["BOS", "to", "(space)", "to"]
    assert heat.customdata[2][3] == "layer 2, position 3 ' to'"
    for names in ({"columns": ["a"] * 3}, {"rows": ["a"] * 4}):
        with pytest.raises(ValueError, match="give one each"):
            plots.heatmap(values, title="t", x="", y="", **names)


def test_a_heatmap_can_hold_text_and_outline_a_cell():
    values = torch.tensor([[0.1, torch.nan], [1.0, 0.5]])
    names = {"rows": ["a", "b"], "columns": ["c", "d"]}
    text = [["low", "forbidden"], ["high", "middle"]]
    fig = plots.heatmap(values, title="t", x="", y="", **names, text=text, box=(1, 0))
    (heat,) = fig.data
    assert heat.text[0][1] == "forbidden" and heat.customdata[1][0] == "b, c"
    assert heat.colorscale[0][1] == "#ffffff" and fig.layout.plot_bgcolor == "#ddd"
    edge = fig.layout.shapes[0]
    assert (edge.x0, edge.x1, edge.y0, edge.y1) == (-0.5, 0.5, 0.5, 1.5)


def test_a_figure_saves_a_small_template():
    fig = plots.lines({"a": [1, 2]}, title="t", x="x", y="y")
    assert fig.layout.template.layout.plot_bgcolor == "white"
    assert fig.layout.title.text == "t" and fig.layout.yaxis.title.text == "y"
    assert len(fig.to_json()) < 1_500


def test_lines_differ_by_dash_as_well_as_colour():
    fig = plots.lines({"a": [1, 2], "b": [2, 1], "c": [0, 0]}, title="t", x="x", y="y")
    assert len({trace.line.dash for trace in fig.data}) == 3
    assert len({trace.line.color for trace in fig.data}) == 3


def test_bars_carry_their_interval():
    (bar,) = plots.bars({"a": 2.0, "b": 1.0}, intervals={"a": (1.5, 4.0)}, title="t", y="y").data
    assert tuple(bar.error_y.array) == (2.0, 0.0) and tuple(bar.error_y.arrayminus) == (0.5, 0.0)


def test_bars_of_one_kind_have_one_colour():
    values = {"a": 2.0, "b": 1.0, "c": 3.0}
    kinds = {"a": "x", "b": "y", "c": "x"}
    (bar,) = plots.bars(values, kinds=kinds, title="t", y="y").data
    first, second, third = bar.marker.color
    assert first == third != second
    (bar,) = plots.bars(values, title="t", y="y").data
    assert len(set(bar.marker.color)) == 3


def test_a_scatter_names_its_points_and_draws_the_diagonal():
    points = {"a": (1.0, 2.0), "b": (-3.0, 0.5)}
    kwargs = {"title": "t", "x": "x", "y": "y"}
    line, others, named = plots.scatter(points, named=["b"], diagonal="as predicted", **kwargs).data
    assert line.x == line.y == (-3.0, 2.0) and line.name == "as predicted"
    assert (others.x, others.y, others.mode) == ((1.0,), (2.0,), "markers")
    assert (named.x, named.y, named.text) == ((-3.0,), (0.5,), ("b",)) and "text" in named.mode
    assert others.marker.symbol != named.marker.symbol, "not by colour alone"
    assert len(plots.scatter(points, **kwargs).data) == 2
    with pytest.raises(ValueError, match="c: no point"):
        plots.scatter(points, named=["c"], **kwargs)


def test_a_table_escapes_and_counts_its_cells():
    view = plots.table([["<b>", 1]], columns=["token", "count"])
    assert "&lt;b&gt;" in view._repr_html_() and repr(view) == "token | count\n<b> | 1"
    with pytest.raises(ValueError, match="needs 2 cells"):
        plots.table([["a"]], columns=["token", "count"])


def test_curves_carry_bands_levels_and_a_grey_control():
    line = torch.tensor([[1.0, 2, 4], [0.5, 1, 3], [2, 3, 5]])
    panels = {
        (row, column): {"a": line, "level": line[:, :1], "control": line[0]}
        for row in ("effect", "cost")
        for column in ("one", "two")
    }
    fig = plots.curves(panels, at=[0.1, 0.3, 0.7], title="t", x="dose", grey="control")
    a_low, a_high, a, *_, level, control = fig.data[:7]
    assert (a.y, a_low.y, a_high.y) == ((1, 2, 4), (0.5, 1, 3), (2, 3, 5))
    assert a_high.fill == "tonexty" and a.mode == "lines+markers" and a.x == (0.1, 0.3, 0.7)
    assert level.y == (1, 1, 1) and level.mode == "lines" and control.line.color == "#777777"
    assert [trace.name for trace in fig.data if trace.showlegend] == ["a", "level", "control"]
    cost = next(axis for axis in fig.select_yaxes() if axis.title.text == "cost")
    assert cost.matches is None and len(fig.data) == 4 * 7
    assert a_high.fillcolor == "rgba(0, 114, 178, 0.15)" and a.line.color == "#0072B2"


def test_intervals_stand_in_rows_that_the_panels_share():
    row = torch.tensor([0.5, 0.2, 0.9])
    fig = plots.intervals(
        {"sea": {"asked": row, "steered": row + 1}, "cost": {"asked": row}},
        dots={"sea": {"random": [0.1, -0.1]}},
        marks={"sea": 0},
        alike=["sea", "cost"],
        title="t",
    )
    point = fig.data[0]
    assert point.x == (0.5,) and point.y == ("asked",)
    assert point.error_x.array == pytest.approx((0.4,))
    assert point.error_x.arrayminus == pytest.approx((0.3,))
    assert fig.data[2].x == (0.1, -0.1) and fig.data[2].y == ("random", "random")
    assert fig.layout.yaxis.categoryarray == ("random", "steered", "asked")
    assert fig.layout.xaxis2.matches == "x" and len(fig.layout.shapes) == 1


def test_lines_mark_a_level():
    fig = plots.lines({"a": [1, 2]}, title="t", x="x", y="y", chance=0.5)
    assert fig.layout.shapes[0].y0 == 0.5
    assert not plots.lines({"a": [1, 2]}, title="t", x="x", y="y").layout.shapes


def test_no_figure_has_a_width_of_its_own():
    """A fixed width is cut off in a narrower window."""
    square = torch.rand(3, 3)
    for fig in (
        plots.heatmap(square, **HEADS, text="values"),
        plots.heatmap({"a": square, "b": square}, **HEADS),
        plots.curves({("y", "a"): {"a": square[0]}}, at=[1, 2, 3], title="t", x="x"),
        plots.intervals({"a": {"a": square[0]}}, title="t"),
        circuits.circuit_graph({"a": [("embed", "L0H0.q")]}, n_layers=1, n_heads=2, title="t"),
        features.arrows({"a": square[:, :2]}, title="t"),
        reading.boards({"a": [0] * 36, "b": [0] * 36}, title="t"),
        reading.simplex({"a": square[:, :2]}, square, title="t"),
        writing.polar({"a": ([0, 90], [3, 80])}, title="t", names=["e", "n", "w", "s"]),
    ):
        assert fig.layout.width is None, fig.layout.title.text


def test_names_can_be_read_on_their_ground():
    fig = circuits.circuit_graph({"a": [("embed", "L0H0.q")]}, n_layers=1, n_heads=2, title="t")
    names = fig.data[-1]
    assert min(contrast(colour, "white") for colour in names.textfont.color) >= 4.5
    assert len(set(names.textfont.color)) == 2, "heads without an edge are paler"
    assert contrast(plots.INK, "white") >= 4.5
    assert contrast("#1a1a1a", "#56B4E9") >= 4.5, "on the darkest shade"


def test_a_board_s_squares_stay_square_and_its_diamonds_are_seen():
    fig = reading.boards({"a": [0] * 36, "b": [0] * 36}, title="t", marked={"a": [1]})
    assert [axis.scaleanchor for axis in fig.select_yaxes()] == ["x", "x2"]
    assert {axis.constrain for axis in fig.select_xaxes()} == {"domain"}
    (diamond,) = [
        t for t in fig.data if t.type == "scatter" and t.marker.symbol == "diamond" and t.x
    ]
    for ground in ("#e8e8e8", plots.COLOURS[0], "#000000", "#ffffff"):
        best = max(contrast(ground, c) for c in (diamond.marker.color, diamond.marker.line.color))
        assert best >= 3, f"a diamond on {ground}"
