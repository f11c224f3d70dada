"""What a model knows, drawn: the boards of a game, and beliefs on a triangle."""

import json
from collections.abc import Callable, Mapping, Sequence

import plotly.graph_objects as go
import plotly.io as pio
from jaxtyping import Float
from plotly.subplots import make_subplots
from torch import Tensor

from utils.guards import filled, guarded
from utils.plots import COLOURS, styled
from utils.views import Live, widgets


def _square_boards(positions: Mapping[str, Sequence[int]], _: Mapping) -> str | None:
    for name, squares in positions.items():
        if round(len(squares) ** 0.5) ** 2 != len(squares):
            return f"has {len(squares)} squares on {name!r}: give a square number"
        if set(map(int, squares)) - {1, -1, 0}:
            return f"holds other numbers than 1, -1 and 0 on {name!r}"
    return None


def _of_boards(named: Mapping[str, Sequence[float] | int], given: Mapping) -> str | None:
    unknown = [name for name in named if name not in given["positions"]]
    return f"is of a board that is not there: there is no board {unknown[0]!r}" if unknown else None


def _a_colour_a_point(panels: Mapping[str, Tensor], given: Mapping) -> str | None:
    n = len(given["colour"])
    other = [name for name, points in panels.items() if len(points) != n]
    return f"has {len(panels[other[0]])} points in {other[0]!r}, and {n} colours" if other else None


@guarded(
    positions=(filled, _square_boards),
    shade=_of_boards,
    marked=_of_boards,
    new=_of_boards,
    last=_of_boards,
)
def boards(
    positions: Mapping[str, Sequence[int]],
    *,
    title: str,
    shade: Mapping[str, Sequence[float]] | None = None,
    marked: Mapping[str, Sequence[int]] | None = None,
    new: Mapping[str, Sequence[int]] | None = None,
    last: Mapping[str, int] | None = None,
    label: str = "probability",
) -> go.Figure:
    """Square boards of black and white discs, side by side.

    Args:
        positions: from what stands over a board to its squares, row by row: 1 black, -1 white, 0
            empty.
        shade: for each board a number for each square, shown as its colour: dark is high.
        marked: for each board the squares that get a diamond, such as the legal moves.
        new: for each board the squares whose diamond is orange, such as moves that are legal now.
        last: for each board the square with a dot, such as the last move.
        label: what the shade is.
    """
    shade, marked, new, last = shade or {}, marked or {}, new or {}, last or {}
    names = list(positions)
    fig = make_subplots(1, len(names), subplot_titles=names, horizontal_spacing=0.04)
    end = max([max(map(float, values)) for values in shade.values()] or [1.0])
    for column, name in enumerate(names, 1):
        discs = [int(square) for square in positions[name]]
        size = round(len(discs) ** 0.5)
        shown = [float(value) for value in shade.get(name, [0.0] * len(discs))]
        state = {1: "black", -1: "white", 0: "empty"}
        text = [
            f"{state[disc]}, {label} {value:.2f}" for disc, value in zip(discs, shown, strict=True)
        ]
        heat = go.Heatmap(
            z=[[round(v, 4) for v in shown[i : i + size]] for i in range(0, len(discs), size)],
            text=[text[i : i + size] for i in range(0, len(discs), size)],
            zmin=0,
            zmax=end,
            xgap=2,
            ygap=2,
            colorscale=[[0, "#e8e8e8"], [1, COLOURS[0]]],
            showscale=column == len(names) and bool(shade),
            colorbar={"title": {"text": label}},
            hovertemplate="%{text}<extra></extra>",
        )
        fig.add_trace(heat, 1, column)
        for squares, marker in [
            ([i for i, d in enumerate(discs) if d == 1], {"color": "black", "size": 26}),
            ([i for i, d in enumerate(discs) if d == -1], {"color": "white", "size": 26}),
            # White in black: it stands out from every shade, and from discs.
            (marked.get(name, []), {"symbol": "diamond", "color": "white", "size": 13}),
            (new.get(name, []), {"symbol": "diamond", "color": COLOURS[1], "size": 13}),
            ([last[name]] if name in last else [], {"color": COLOURS[1], "size": 9}),
        ]:
            line = {"color": COLOURS[1] if marker["size"] == 9 else "black", "width": 2}
            dots = go.Scatter(
                x=[int(i) % size for i in squares],
                y=[int(i) // size for i in squares],
                mode="markers",
                marker={**marker, "line": line},
                hoverinfo="skip",
                showlegend=False,
            )
            fig.add_trace(dots, 1, column)
        ticks = {"tickmode": "array", "tickvals": list(range(size)), "range": [-0.5, size - 0.5]}
        ticks["constrain"] = "domain"
        square = {"scaleanchor": f"x{column if column > 1 else ''}", "constraintoward": "top"}
        fig.update_yaxes(**square, row=1, col=column)
        fig.update_xaxes(ticktext=list("abcdefgh"[:size]), **ticks, row=1, col=column)
        ticks["range"] = [size - 0.5, -0.5]
        numbers = [str(i + 1) for i in range(size)]
        fig.update_yaxes(ticktext=numbers, **ticks, row=1, col=column)
    fig = styled(fig, title, height=400)
    fig.update_xaxes(showgrid=False, showline=False)
    fig.update_yaxes(showgrid=False, showline=False)
    return fig.update_layout(margin={"l": 40, "r": 20, "t": 90, "b": 30})


@guarded(panels=(filled, _a_colour_a_point))
def simplex(
    panels: Mapping[str, Float[Tensor, "point xy=2"]],
    colour: Float[Tensor, "point state=3"],
    *,
    title: str,
) -> go.Figure:
    """Clouds of points on a triangle, side by side, each point in the same colour everywhere.

    Points further outside the triangle than a small margin are cut off.

    Args:
        panels: from what stands over a triangle to its points; the corners are at (0, 0),
            (2 / sqrt 3, 0) and (1 / sqrt 3, 1), as in `utils.reading.beliefs.simplex_xy`.
        colour: shares of blue, orange and black in each point's colour, which differ in lightness.
    """
    corners = Tensor([[0, 114, 178], [230, 159, 0], [0, 0, 0]])
    mixed = (colour.detach().float().cpu().clamp(0, 1) @ corners).round().int().tolist()
    colours = [f"rgb({r},{g},{b})" for r, g, b in mixed]
    fig = make_subplots(1, len(panels), subplot_titles=list(panels), horizontal_spacing=0.02)
    side = 2 / 3**0.5
    for column, points in enumerate(panels.values(), 1):
        frame = go.Scatter(
            x=[0, side, side / 2, 0],
            y=[0, 0, 1, 0],
            mode="lines",
            line={"color": "#999", "width": 1},
            hoverinfo="skip",
            showlegend=False,
        )
        fig.add_trace(frame, 1, column)
        points = points.detach().double().cpu()
        cloud = go.Scatter(
            x=[round(x, 3) for x in points[:, 0].tolist()],
            y=[round(y, 3) for y in points[:, 1].tolist()],
            mode="markers",
            marker={"size": 2.2, "color": colours, "opacity": 0.8},
            hoverinfo="skip",
            showlegend=False,
        )
        fig.add_trace(cloud, 1, column)
        fig.update_yaxes(
            scaleanchor=f"x{column if column > 1 else ''}", row=1, col=column
        )  # equal sides
    fig = styled(fig, title, height=370)
    # Predictions may lie outside the triangle. Those far outside are cut off, or it would be tiny.
    fig.update_xaxes(visible=False, range=[-0.05, side + 0.05], constrain="domain")
    fig.update_yaxes(visible=False, range=[-0.05, 1.05], constrain="domain")
    return fig.update_layout(margin={"l": 20, "r": 20, "t": 90, "b": 10})


def slider(
    draw: Callable[[int], go.Figure],
    *,
    n: int,
    label: str,
    at: int = 0,
    names: Sequence[object] | None = None,
):
    """A slider over the figures `draw(0)` to `draw(n - 1)`, by their number or their `names`.

    Outside a notebook, on a page that shows a saved one, or without ipywidgets, it is the figure
    `draw(at)`, where the slider starts: the others are drawn when asked for.
    """
    ipywidgets = widgets()
    if ipywidgets is None:
        return draw(at)
    from IPython.display import display

    wide = ipywidgets.Layout(width="100%", max_width="520px")
    common = {"value": at, "description": label, "layout": wide}
    if names is None:
        control = ipywidgets.IntSlider(min=0, max=n - 1, **common)
    else:
        options = [(str(name), i) for i, name in enumerate(names)]
        control = ipywidgets.SelectionSlider(options=options, **common)
    out = ipywidgets.Output()

    def redraw(_=None) -> None:
        fig = draw(control.value)
        if "colab" in pio.renderers.default:
            out.clear_output(wait=True)
            with out:
                display(fig)
        else:
            # The figure alone: an older plotly would add its whole script to the widget. Set, and
            # not shown `with out`, which can make nbconvert wait for ever (nbclient issue 312).
            shown = json.loads(fig.to_json())
            data = {"application/vnd.plotly.v1+json": shown, "text/plain": label}
            out.outputs = ({"output_type": "display_data", "data": data, "metadata": {}},)

    control.observe(redraw, names="value")
    redraw()
    box = ipywidgets.VBox([control, out])
    box.add_class("htf-slider")
    return Live(draw(at), box)
