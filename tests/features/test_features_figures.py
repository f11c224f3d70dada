"""Arrows and maps of phases."""

import torch

from utils.features import figures


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


def test_phases_have_a_kind_for_each_cell_and_a_border():
    cells = torch.tensor([[0, 1, 2], [0, 0, 2]])
    fig = figures.phases(
        cells,
        kinds=("a", "b", "c"),
        x=[0.1, 1, 10],
        y=[0.5, 0.05],
        border={0.1: 0.2, 10.0: 0.3},
        title="t",
        x_title="x",
        y_title="y",
    )
    first, second, third, border = fig.data
    assert (first.x, first.y) == ((0.1, 0.1, 1), (0.5, 0.05, 0.05)) and second.x == (1,)
    assert third.name == "c" and border.y == (0.2, 0.3) and fig.layout.xaxis.type == "log"


def test_dimensionalities_leave_out_what_was_dropped():
    D = torch.tensor([[[1.0, 0.5, 0.02]], [[0.4, 0.4, 0.4]]])
    per_feature = torch.tensor([[0.9], [0.4]])
    fig = figures.dimensionalities(D, [0.5, 0.1], per_feature=per_feature, title="t")
    dots, line = fig.data
    assert dots.y == (0.5, 1, 0.4, 0.4, 0.4) and line.x == (2, 10)
    assert all(abs(x / 2 - 1) < 0.1 for x in dots.x[:2])


def test_a_training_film_opens_at_its_first_frame():
    frames = {"0": torch.tensor([0.2, 0.95]), "50": torch.tensor([0.99, 0.95])}
    film = figures.training_film(frames, found_above=0.9, title="t")
    assert [frame.name for frame in film.frames] == ["0", "50"]
    assert list(film.data[0].y) == [0.2, 0.95]
    colours = film.frames[1].data[0].marker.color
    assert colours[0] == colours[1] != film.data[0].marker.color[0]


def test_a_frontier_has_a_line_a_kind_and_recall_as_colour():
    points = {"a": [(9.0, 0.1, 0.5), (3.0, 0.4, 0.9)], "b": [(3.0, 0.2, 0.1)]}
    drawn = figures.frontier(points, title="t", band=(3, 9))
    assert [line.name for line in drawn.data] == ["a", "b"]
    assert list(drawn.data[0].x) == [3.0, 9.0] and list(drawn.data[0].marker.color) == [0.9, 0.5]
    assert len(drawn.layout.shapes) == 2
