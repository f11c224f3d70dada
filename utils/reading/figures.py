"""What a model knows, drawn: the boards of a game, and beliefs on a triangle."""

import base64
import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence

import plotly.graph_objects as go
import plotly.io as pio
import torch
from jaxtyping import Float, Int
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
    last: Mapping[str, int | Sequence[int]] | None = None,
    label: str = "probability",
) -> go.Figure:
    """Square boards of black and white discs, side by side.

    Args:
        positions: from what stands over a board to its squares, row by row: 1 black, -1 white, 0
            empty.
        shade: for each board a number for each square, shown as its colour: dark is high.
        marked: for each board the squares that get a diamond, such as the legal moves.
        new: for each board the squares whose diamond is orange, such as moves that are legal now.
        last: for each board the square with a dot, such as the last move, or several.
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
        dotted = last.get(name, [])
        dotted = [dotted] if isinstance(dotted, int) else dotted
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
            (dotted, {"color": COLOURS[1], "size": 9}),
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


def _png(pixels: Int[Tensor, "row column rgba=4"]) -> str:
    """The picture as a `data:` address: numbers from 0 to 255, row 0 on top."""
    height, width, _ = pixels.shape
    rows = pixels.to(torch.uint8).reshape(height, width * 4).numpy()
    lines = b"".join(b"\0" + row.tobytes() for row in rows)  # each row unfiltered

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(lines, 9)), chunk(b"IEND", b"")]
    return (
        "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()
    )


_SIDE = 2 / 3**0.5  # of a triangle of height 1
MARGIN = 0.05  # around it: points may lie outside
CORNERS = ((0, 114, 178), (230, 159, 0), (0, 0, 0))  # blue, orange, black


def _corner_colours(colour: Float[Tensor, "point state=3"]) -> Float[Tensor, "point rgb=3"]:
    return colour.detach().float().cpu().clamp(0, 1) @ torch.tensor(CORNERS).float()


def _cloud(points: Tensor, colours: Tensor) -> str:
    """The points, each of them a pixel, as a picture of the triangle and its margin."""
    width = 520 if len(points) > 10_000 else 300  # few points are larger ones
    height = round(width * (1 + 2 * MARGIN) / (_SIDE + 2 * MARGIN))
    scale = torch.tensor([width / (_SIDE + 2 * MARGIN), -height / (1 + 2 * MARGIN)])
    at = (points.detach().float().cpu() + torch.tensor([MARGIN, -1 - MARGIN])) * scale
    column, row = at.floor().long().T
    seen = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    where = (row * width + column)[seen]
    sums = torch.zeros(height * width, 4).index_add_(
        0, where, torch.cat([colours[seen], torch.ones(len(where), 1)], dim=1)
    )
    n = sums[:, 3:]
    pixels = torch.cat([sums[:, :3] / n.clamp(min=1), 255 * (n > 0)], dim=1)
    return _png(pixels.round().int().view(height, width, 4))


@guarded(panels=(filled, _a_colour_a_point))
def simplex(
    panels: Mapping[str, Float[Tensor, "point xy=2"]],
    colour: Float[Tensor, "point state=3"],
    *,
    title: str,
    corners: Sequence[str] = (),
) -> go.Figure:
    """Clouds of points on a triangle, side by side, each point in the same colour everywhere.

    Each point is a pixel of a picture, so there may be many. Points further outside the triangle
    than a small margin are cut off.

    Args:
        panels: from what stands over a triangle to its points; the corners are at (0, 0),
            (2 / sqrt 3, 0) and (1 / sqrt 3, 1), as in `utils.reading.beliefs.simplex_xy`.
        colour: shares of blue, orange and black in each point's colour, which differ in lightness.
        corners: what to write at the corners of the first triangle, in that order.
    """
    colours = _corner_colours(colour)
    fig = make_subplots(1, len(panels), subplot_titles=list(panels), horizontal_spacing=0.02)
    for column, points in enumerate(panels.values(), 1):
        _frame(fig, corners if column == 1 else (), row=1, col=column)
        fig.add_layout_image(
            source=_cloud(points, colours),
            x=-MARGIN,
            y=1 + MARGIN,
            sizex=_SIDE + 2 * MARGIN,
            sizey=1 + 2 * MARGIN,
            sizing="stretch",
            layer="above",
            row=1,
            col=column,
        )
        fig.update_yaxes(
            scaleanchor=f"x{column if column > 1 else ''}", row=1, col=column
        )  # equal sides
    fig = styled(fig, title, height=380)
    # Predictions may lie outside the triangle. Those far outside are cut off, or it would be tiny.
    fig.update_xaxes(visible=False, range=[-MARGIN, _SIDE + MARGIN], constrain="domain")
    fig.update_yaxes(visible=False, range=[-MARGIN - 0.03, 1 + MARGIN], constrain="domain")
    return fig.update_layout(margin={"l": 20, "r": 20, "t": 90, "b": 10})


def _coordinates(clouds: Mapping[str, Tensor], _: Mapping) -> str | None:
    bad = [name for name, points in clouds.items() if points.ndim != 2 or points.shape[1] != 2]
    return f"has no two coordinates a row in {bad[0]!r}" if bad else None


@guarded(clouds=(filled, _coordinates))
def clouds(
    clouds: Mapping[str, Float[Tensor, "n 2"]],
    *,
    title: str,
    x: str,
    y: str,
    texts: Mapping[str, Sequence[str]] | None = None,
) -> go.Figure:
    """Groups of dots in a plane, each with its name at its mean.

    Args:
        clouds: from a group's name to its points. Names that end alike share a colour, so that
            "true" and "not: true" do.
        texts: for each group what a dot says when pointed at.
    """
    fig = go.Figure()
    kinds = list(dict.fromkeys(name.split()[-1] for name in clouds))
    for name, points in clouds.items():
        colour = COLOURS[kinds.index(name.split()[-1])]
        symbol = "circle" if len(name.split()) == 1 else "circle-open"
        fig.add_scatter(
            x=points[:, 0].tolist(),
            y=points[:, 1].tolist(),
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 7},
            text=list((texts or {}).get(name, [name] * len(points))),
            hovertemplate="%{text}<extra></extra>",
        )
    for name, points in clouds.items():
        middle = points.mean(0).tolist()
        colour = COLOURS[kinds.index(name.split()[-1])]
        label = {"text": f"<b>{name}</b>", "bgcolor": "rgba(255,255,255,0.85)"}
        fig.add_annotation(
            x=middle[0], y=middle[1], font={"color": colour}, showarrow=False, **label
        )
    return styled(fig, title, x=x, y=y, height=430).update_layout(showlegend=False)


def _frame(fig: go.Figure, corners: Sequence[str], **where: int) -> None:
    """A triangle, with names at its corners."""
    edge = go.Scatter(
        x=[0, _SIDE, _SIDE / 2, 0],
        y=[0, 0, 1, 0],
        mode="lines",
        line={"color": "#999", "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )
    fig.add_trace(edge, **where)
    if corners:
        names = go.Scatter(
            x=[0, _SIDE, _SIDE / 2],
            y=[0, 0, 1],
            mode="text",
            text=list(corners),
            textposition=["bottom right", "bottom left", "middle right"],
            hoverinfo="skip",
            showlegend=False,
        )
        fig.add_trace(names, **where)


def _together(labels: Sequence[str], points: Tensor) -> list[str]:
    """The labels, each added to the one before it where its point is too near for both."""
    texts, at = [""] * len(labels), 0
    for i, label in enumerate(labels):
        if i and float((points[i] - points[at]).norm()) < 0.09:
            texts[at] += label if len(label) == 1 == len(labels[at]) else f" {label}"
        else:
            texts[i], at = label, i
    return [f"{len(t)} \u00d7 {t[0]}" if len(t) > 1 and set(t) == {t[0]} else t for t in texts]


@guarded(paths=filled)
def belief_path(
    paths: Mapping[str, Float[Tensor, "step xy=2"]],
    labels: Sequence[str],
    *,
    title: str,
    corners: Sequence[str] = (),
) -> go.Figure:
    """Ways through a triangle, such as of a belief token by token, with a label at each step.

    Args:
        paths: name -> the points, as those of `simplex`; the first is where it starts.
        labels: what led to each point; the last point is marked. Labels of steps that hardly move
            are written together.
    """
    fig = go.Figure()
    _frame(fig, corners)
    for i, (name, points) in enumerate(paths.items()):
        x, y = points.detach().double().cpu().T.tolist()
        path = go.Scatter(
            x=[round(value, 4) for value in x],
            y=[round(value, 4) for value in y],
            mode="lines+markers+text" if i == 0 else "lines+markers",
            text=_together(labels, points),
            hovertext=list(labels),
            textposition="top center",
            name=name,
            line={"color": COLOURS[i], "width": 2, "dash": ("solid", "dot")[i % 2]},
            marker={
                "size": [6] * (len(x) - 1) + [14],
                "symbol": ("circle", "circle-open")[i % 2],
            },
            hovertemplate="%{hovertext}<extra></extra>",
        )
        fig.add_trace(path)
    fig = styled(fig, title, height=420)
    fig.update_xaxes(visible=False, range=[-0.12, _SIDE + 0.12], constrain="domain")
    fig.update_yaxes(visible=False, range=[-0.1, 1.1], scaleanchor="x", constrain="domain")
    margin = {"l": 20, "r": 20, "t": 60, "b": 10}
    return fig.update_layout(margin=margin, showlegend=len(paths) > 1)


def typed(draw: Callable[[str], go.Figure], *, text: str, label: str):
    """A box for a text, and the figure `draw(text)` under it, drawn anew whenever the text changes.

    Where `draw` raises a ValueError, its sentence stands there in place of a figure. Outside a
    notebook, or without ipywidgets, it is the figure `draw(text)` alone.
    """
    ipywidgets = widgets()
    if ipywidgets is None:
        return draw(text)
    wide = ipywidgets.Layout(width="100%", max_width="520px")
    control = ipywidgets.Text(value=text, description=label, layout=wide)
    out = ipywidgets.Output()

    def redraw(_=None) -> None:
        try:
            shown = json.loads(draw(control.value).to_json())
            data = {"application/vnd.plotly.v1+json": shown, "text/plain": label}
        except ValueError as error:
            data = {"text/plain": str(error)}
        # Set, and not shown `with out`, which can make nbconvert wait for ever.
        out.outputs = ({"output_type": "display_data", "data": data, "metadata": {}},)

    control.observe(redraw, names="value")
    redraw()
    box = ipywidgets.VBox([control, out])
    box.add_class("htf-typed")
    return Live(draw(text), box)


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


@guarded(panels=filled)
def responses(
    panels: Mapping[str, tuple[Float[Tensor, "*n"], Float[Tensor, "*n"]]],
    *,
    title: str,
    x: str,
    y: str,
) -> go.Figure:
    """What is changed against what should be: a dot for each prediction, and the slope through 0.

    Args:
        panels: from what stands over a panel to (what should change, what does).
    """
    fig = make_subplots(1, len(panels), subplot_titles=list(panels), shared_yaxes=True)
    fig = styled(fig, title, height=400)
    end = max(float(values.abs().max()) for pair in panels.values() for values in pair)
    for column, (wanted, found) in enumerate(panels.values(), 1):
        wanted, found = (each.detach().double().cpu().flatten() for each in (wanted, found))
        slope = float((wanted * found).sum() / (wanted * wanted).sum())
        dots = go.Scattergl(
            x=[round(value, 4) for value in wanted.tolist()],
            y=[round(value, 4) for value in found.tolist()],
            mode="markers",
            marker={"size": 4, "color": COLOURS[0], "opacity": 0.35},
            showlegend=False,
        )
        fig.add_trace(dots, 1, column)
        for rise, colour, dash in ((1.0, "#888", "dash"), (slope, COLOURS[1], "solid")):
            line = {"color": colour, "dash": dash, "width": 2}
            ends = {"x": [-end, end], "y": [-end * rise, end * rise]}
            fig.add_trace(go.Scatter(**ends, mode="lines", line=line, showlegend=False), 1, column)
        fig.add_annotation(
            x=-0.95 * end,
            y=0.95 * end,
            xanchor="left",
            yanchor="top",
            text=f"slope {slope:z.2f}",
            font={"color": COLOURS[1], "size": 14},
            showarrow=False,
            row=1,
            col=column,
        )
        fig.update_xaxes(range=[-end, end], row=1, col=column)
    fig.update_yaxes(title_text=y, range=[-end, end], row=1, col=1)
    below = {"xref": "paper", "yref": "paper", "x": 0.5, "y": 0, "yshift": -28, "yanchor": "top"}
    fig.add_annotation(text=x, showarrow=False, **below)
    return fig.update_layout(margin={"t": 100, "b": 70})


@guarded(panels=filled)
def by_distance(
    panels: Mapping[str, Float[Tensor, "head distance"]], *, title: str, y: str
) -> go.Figure:
    """How much heads attend to the token 0, 1, 2, ... back: a panel a block, a bar a head.

    Args:
        panels: from what stands over a panel to the rows of its heads.
    """
    fig = make_subplots(1, len(panels), subplot_titles=list(panels), shared_yaxes=True)
    fig = styled(fig, title, height=380)
    for column, rows in enumerate(panels.values(), 1):
        for head, row in enumerate(rows.detach().double().cpu().tolist()):
            bars = go.Bar(
                x=list(range(len(row))),
                y=[round(value, 4) for value in row],
                name=f"head {head}",
                marker_color=COLOURS[head % len(COLOURS)],
                showlegend=column == 1,
            )
            fig.add_trace(bars, 1, column)
        fig.update_xaxes(title_text="tokens back", dtick=3, row=1, col=column)
    fig.update_yaxes(title_text=y, row=1, col=1)
    return fig.update_layout(margin={"t": 100})
