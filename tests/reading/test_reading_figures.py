"""Figures of boards and beliefs."""

import pytest
import torch

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
        last={"one": 35},
    )
    heat, black, white, legal, last = fig.data[:5]
    assert list(zip(black.x, black.y, strict=True)) == [(1, 0), (5, 5)]
    assert list(zip(white.x, white.y, strict=True)) == [(0, 2)]
    assert (legal.x, legal.y) == ((1,), (1,)) and (last.x, last.y) == ((5,), (5,))
    assert heat.z[2][0] == pytest.approx(0.12) and heat.zmax == pytest.approx(0.35)
    assert not fig.data[6].x and fig.layout.yaxis.range == (5.5, -0.5)


def test_points_on_the_simplex_keep_their_colour_from_panel_to_panel():
    colour = torch.eye(3)
    points = torch.tensor([[0.0, 0.0], [1.1547, 0.0], [0.5774, 1.0]])
    fig = figures.simplex({"true": points, "probe": points + 0.01}, colour, title="t")
    clouds = [trace for trace in fig.data if trace.mode == "markers"]
    assert clouds[0].marker.color == clouds[1].marker.color
    assert clouds[0].marker.color == ("rgb(0,114,178)", "rgb(230,159,0)", "rgb(0,0,0)")
    assert clouds[1].x[0] == pytest.approx(0.01)
