"""The course's figures. A lesson calls a method, then draws what it returned with one of these.

Figures are plotly figures (5.24 and 7), in colours that colour-blind readers can tell apart; where
a line's colour matters, its dash differs too. Titles say what to see.
"""

import html
import json
from collections.abc import Callable, Mapping, Sequence

import plotly.graph_objects as go
import plotly.io as pio
from jaxtyping import Float
from plotly.subplots import make_subplots
from torch import Tensor

# Okabe and Ito's palette, without its yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid")


def _styled(fig: go.Figure, title: str, x: str, y: str, height: int) -> go.Figure:
    fig.update_layout(
        title={"text": title, "font": {"size": 16}, "x": 0.02},
        height=height,
        margin={"l": 70, "r": 30, "t": 60, "b": 60},
        font={"size": 13},
        plot_bgcolor="white",
    )
    fig.update_xaxes(
        title_text=x, showline=True, linecolor="#666", gridcolor="#ddd", zeroline=False
    )
    fig.update_yaxes(
        title_text=y, showline=True, linecolor="#666", gridcolor="#ddd", zeroline=False
    )
    return fig


def lines(
    series: Mapping[str, Sequence[float]],
    *,
    title: str,
    x: str,
    y: str,
    at: Sequence[float] | None = None,
    log_y: bool = False,
    log_x: bool = False,
    chance: float | None = None,
    chance_name: str = "",
    marks: Mapping[str, float] | None = None,
) -> go.Figure:
    """One line for each name in `series`, over `at` (default 0, 1, 2, ...).

    Args:
        chance: a height to mark with a thin grey line, such as what guessing gives.
        chance_name: what to write at that line.
        marks: places on the x axis to mark with a thin grey line and a name.
    """
    fig = go.Figure()
    if chance is not None:
        name = {"annotation_text": chance_name, "annotation_position": "bottom left"}
        fig.add_hline(
            y=chance, line={"color": "#888", "width": 1.5}, **(name if chance_name else {})
        )
    for name, place in (marks or {}).items():
        fig.add_vline(x=place, line={"color": "#999", "width": 1}, annotation_text=name)
    for i, (name, values) in enumerate(series.items()):
        values = [float(value) for value in values]
        style = {"color": COLOURS[i % 7], "dash": DASHES[i % 7], "width": 2.5}
        positions = list(range(len(values))) if at is None else list(at)
        fig.add_trace(go.Scatter(x=positions, y=values, name=name, mode="lines", line=style))
    fig = _styled(fig, title, x, y, height=380)
    fig.update_layout(legend={"orientation": "h", "y": -0.25})
    if log_y:
        fig.update_yaxes(type="log", dtick=1)
    if log_x:
        fig.update_xaxes(type="log", dtick=1)
    return fig


def head_heatmap(
    scores: Float[Tensor, "layer head"],
    *,
    title: str,
    label: str = "score",
    top: int = 0,
    signed: bool = False,
) -> go.Figure:
    """Every head as a cell, layers downwards; the `top` highest carry their names.

    Args:
        signed: white is zero, orange above it and purple below, as far down as up; names go to
            the scores furthest from zero.
    """
    n_layers, n_heads = scores.shape
    values = scores.detach().float().cpu()
    names = [[f"L{layer}H{head}" for head in range(n_heads)] for layer in range(n_layers)]
    shown = [[""] * n_heads for _ in range(n_layers)]
    height = values.abs() if signed else values
    for i in height.flatten().topk(top).indices.tolist() if top else []:
        layer, head = divmod(i, n_heads)
        shown[layer][head] = names[layer][head]
    end = float(values.abs().max())
    colours = {"colorscale": "Cividis"}
    if signed:
        colours = {"colorscale": "PuOr_r", "zmid": 0, "zmin": -end, "zmax": end}
    heat = go.Heatmap(
        z=values.tolist(),
        text=shown,
        customdata=names,
        texttemplate="%{text}",
        textfont={"size": 11},
        **colours,
        colorbar={"title": {"text": label}},
        hovertemplate="%{customdata}: %{z:.3f}<extra></extra>",
    )
    fig = _styled(go.Figure(heat), title, "head", "layer", height=max(260, 60 + 20 * n_layers))
    fig.update_xaxes(dtick=1, showgrid=False)
    fig.update_yaxes(autorange="reversed", dtick=5 if n_layers > 12 else 1, showgrid=False)
    return fig


def head_heatmaps(
    panels: Mapping[str, Float[Tensor, "layer head"]],
    *,
    title: str,
    darkest: Mapping[str, float] | None = None,
) -> go.Figure:
    """Several scores of the same heads, side by side: a value a cell.

    Args:
        panels: from what stands over a panel to its scores, none below 0.
        darkest: for a panel, the score that is darkest; without it, the panel's highest.
    """
    fig = make_subplots(
        1, len(panels), shared_yaxes=True, subplot_titles=list(panels), horizontal_spacing=0.03
    )
    fig = _styled(fig, title, "head", "", height=170 + 44 * len(next(iter(panels.values()))))
    for column, (name, scores) in enumerate(panels.items(), 1):
        values = scores.detach().float().cpu()
        heat = go.Heatmap(
            z=[[round(value, 4) for value in row] for row in values.tolist()],
            zmin=0,
            zmax=(darkest or {}).get(name, float(values.max())),
            colorscale=[[0, "#ffffff"], [1, COLOURS[1]]],
            texttemplate="%{z:.2f}",
            textfont={"size": 11, "color": "black"},
            showscale=False,
            hovertemplate=f"L%{{y}}H%{{x}}, {name}: %{{z:.3f}}<extra></extra>",
        )
        fig.add_trace(heat, 1, column)
    fig.update_xaxes(dtick=1, showgrid=False)
    fig.update_yaxes(autorange="reversed", dtick=1, showgrid=False)
    fig.update_yaxes(title_text="layer", col=1)
    return fig.update_layout(width=940, margin={"t": 90})


def position_heatmap(
    values: Float[Tensor, "layer pos"], tokens: Sequence[str], *, title: str, label: str = "score"
) -> go.Figure:
    """A value for each layer and position, layers downwards, positions named by their tokens.

    Raises:
        ValueError: there are more or fewer tokens than positions.
    """
    n_layers, n_pos = values.shape
    if len(tokens) != n_pos:
        raise ValueError(
            f"There are {n_pos} positions and {len(tokens)} tokens: give one for each."
        )
    heat = go.Heatmap(
        z=values.detach().float().cpu().tolist(),
        colorscale="Cividis",
        colorbar={"title": {"text": label}},
        hovertemplate="layer %{y}, position %{x}: %{z:.2f}<extra></extra>",
    )
    fig = _styled(go.Figure(heat), title, "", "layer", height=max(300, 160 + 14 * n_layers))
    # Numbers place the columns, since a token may come twice.
    fig.update_xaxes(
        tickmode="array",
        tickvals=list(range(n_pos)),
        ticktext=[token.strip() or "(space)" for token in tokens],
        tickangle=-60,
        showgrid=False,
    )
    fig.update_yaxes(autorange="reversed", dtick=5 if n_layers > 12 else 1, showgrid=False)
    return fig


def matrix_heatmap(
    values: Float[Tensor, "row column"],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    x: str,
    y: str,
    label: str,
    ends: tuple[float, float] = (0, 1),
    cells: Sequence[Sequence[str]] | None = None,
    box: tuple[int, int] | None = None,
) -> go.Figure:
    """A table of numbers as colours, each with its value: white is the middle of `ends`.

    Args:
        cells: what to write in place of the values. The scale then runs from light to dark, and a
            value of nan stays grey, such as one that a rule forbids.
        box: (row, column) of a cell to outline.

    Raises:
        ValueError: the names are not as many as the rows or columns.
    """
    if values.shape != (len(rows), len(columns)):
        raise ValueError(
            f"Values of shape {tuple(values.shape)} need as many names; here are {len(rows)} for "
            f"the rows and {len(columns)} for the columns."
        )
    heat = go.Heatmap(
        z=values.tolist(),
        x=list(columns),
        y=list(rows),
        colorscale="PuOr_r",
        zmin=ends[0],
        zmax=ends[1],
        texttemplate="%{z:.2f}",
        textfont={"size": 11},
        colorbar={"title": {"text": label}},
        hovertemplate="%{y}, %{x}: %{z:.2f}<extra></extra>",
    )
    fig = _styled(go.Figure(heat), title, x, y, height=180 + 34 * len(rows))
    fig.update_layout(width=860, margin={"l": 130})
    if cells is not None:
        heat = {"colorscale": [[0, "#ffffff"], [1, COLOURS[1]]], "texttemplate": None}
        fig.update_traces(heat).update_layout(plot_bgcolor="#dddddd")
        for i, texts in enumerate(cells):
            for column, text in zip(columns, texts, strict=True):
                fig.add_annotation(x=column, y=rows[i], text=text, showarrow=False)
    if box is not None:
        row, column = box
        edge = {"x0": column - 0.5, "x1": column + 0.5, "y0": row - 0.5, "y1": row + 0.5}
        fig.add_shape(type="rect", line={"color": "black", "width": 3}, **edge)
    fig.update_xaxes(tickangle=-40, showgrid=False)
    fig.update_yaxes(autorange="reversed", showgrid=False)
    return fig


def bars(
    values: Mapping[str, float],
    *,
    title: str,
    y: str,
    low: Mapping[str, float] | None = None,
    high: Mapping[str, float] | None = None,
    chance: float | None = None,
    dots: Mapping[str, Sequence[float]] | None = None,
    kinds: Mapping[str, str] | None = None,
) -> go.Figure:
    """A bar for each name, with an interval from `low` to `high` for the names that have one.

    Args:
        kinds: what each name is; names of one kind have one colour, instead of one each.
        chance: a height to mark with a thin grey line, such as what guessing gives.
        dots: single values to show on a name's bar, such as one for each random direction.
    """
    low, high = low or {}, high or {}
    # The value stands in the label, where neither a short bar nor an interval can hide it.
    names = [f"{name}<br><b>{value:.2f}</b>" for name, value in values.items()]
    kind_of = [kinds[name] if kinds else name for name in values]
    colour = {kind: COLOURS[i % 7] for i, kind in enumerate(dict.fromkeys(kind_of))}
    bar = go.Bar(x=names, y=list(values.values()), marker_color=[colour[kind] for kind in kind_of])
    if low or high:
        up = [high.get(name, value) - value for name, value in values.items()]
        down = [value - low.get(name, value) for name, value in values.items()]
        bar.error_y = {"type": "data", "array": up, "arrayminus": down, "thickness": 2, "width": 6}
    fig = go.Figure(bar)
    for name, each in (dots or {}).items():
        at = names[list(values).index(name)]
        marker = {"color": "#333", "size": 6, "symbol": "circle-open"}
        each = [float(value) for value in each]
        fig.add_trace(go.Scatter(x=[at] * len(each), y=each, mode="markers", marker=marker))
    if chance is not None:
        fig.add_hline(y=chance, line={"color": "#888", "width": 1.5})
    return _styled(fig, title, "", y, height=380).update_layout(showlegend=False)


def scatter(
    points: Mapping[str, tuple[float, float]],
    *,
    title: str,
    x: str,
    y: str,
    named: Sequence[str] = (),
    diagonal: str = "",
) -> go.Figure:
    """A dot for each name in `points`, at (x, y); those in `named` are filled and carry it.

    Args:
        diagonal: if given, the line y = x is drawn, and called this in the legend.

    Raises:
        ValueError: a name in `named` is no point's.
    """
    if strangers := [name for name in named if name not in points]:
        raise ValueError(f"{', '.join(strangers)}: no point has this name; look at its spelling.")
    fig = go.Figure()
    if diagonal:
        values = [float(value) for point in points.values() for value in point]
        ends, style = [min(values), max(values)], {"color": "#666", "dash": "dash"}
        fig.add_trace(go.Scatter(x=ends, y=ends, mode="lines", line=style, name=diagonal))
    for chosen, mode, marker in [
        ([name for name in points if name not in named], "markers", f"{COLOURS[0]} circle-open"),
        (list(named), "markers+text", f"{COLOURS[1]} diamond"),
    ]:
        colour, symbol = marker.split()
        fig.add_trace(
            go.Scatter(
                x=[float(points[name][0]) for name in chosen],
                y=[float(points[name][1]) for name in chosen],
                text=chosen,
                textposition="top center",
                mode=mode,
                marker={"color": colour, "symbol": symbol, "size": 8},
                hovertemplate="%{text}: %{x:.2f}, %{y:.2f}<extra></extra>",
                showlegend=False,
            )
        )
    fig = _styled(fig, title, x, y, height=480)
    fig.update_layout(legend={"orientation": "h", "y": -0.2})
    return fig


class _Html:
    """An HTML view with a text fallback; a notebook draws the first, a terminal the second."""

    def __init__(self, code: str, text: str):
        self.code, self.text = code, text

    def _repr_html_(self) -> str:
        return self.code

    def __repr__(self) -> str:
        return self.text


def table(rows: Sequence[Sequence[object]], *, columns: Sequence[str]) -> _Html:
    """A small table, such as a lesson's results: text fallback and all.

    Raises:
        ValueError: a row has more or fewer cells than there are columns.
    """
    if any(len(row) != len(columns) for row in rows):
        raise ValueError(f"Every row needs {len(columns)} cells, one for each column.")
    cells = [[str(cell) for cell in row] for row in rows]
    head = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in cells
    )
    text = "\n".join(" | ".join(row) for row in [list(columns), *cells])
    return _Html(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>", text)


def slider(
    draw: Callable[[int], go.Figure],
    *,
    n: int,
    label: str,
    at: int = 0,
    names: Sequence[object] | None = None,
):
    """A slider (ipywidgets 7 or 8) over the figures `draw(0)` to `draw(n - 1)`.

    It shows the number of the figure, or its name where there are `names`, `n` of them.

    Outside a notebook, or without ipywidgets, it is the figure `draw(at)`, where the slider would
    start. A saved page shows no more than that one either: the figures are drawn when asked for.
    """
    try:
        import ipywidgets
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return draw(at)
    if get_ipython() is None:
        return draw(at)
    layout = ipywidgets.Layout(width="520px")
    common = {"value": at, "description": label, "layout": layout}
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
            data = {
                "application/vnd.plotly.v1+json": json.loads(fig.to_json()),
                "text/plain": label,
            }
            out.outputs = ({"output_type": "display_data", "data": data, "metadata": {}},)

    control.observe(redraw, names="value")
    redraw()
    box = ipywidgets.VBox([control, out])
    box.add_class("htf-slider")
    return box


def curves(
    panels: Mapping[tuple[str, str], Mapping[str, Float[Tensor, "*middle_low_high x"]]],
    *,
    at: Sequence[float],
    title: str,
    x: str,
    log_y: Sequence[str] = (),
    grey: str = "",
) -> go.Figure:
    """Lines over one axis in a grid of panels, such as effect and cost over dose.

    Args:
        panels: from (name of the row, name of the column) to the lines of that panel: [x], or with
            a band [3 x], which is middle, lower and upper end. A line of one point is a level.
        at: the places of the points on the x axis.
        log_y: names of the rows that are drawn on a logarithmic axis.
        grey: the line to draw in grey, such as a control.
    """
    rows, columns = (list(dict.fromkeys(key[i] for key in panels)) for i in (0, 1))
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    coloured = [name for name in names if name != grey]
    fig = make_subplots(
        len(rows),
        len(columns),
        shared_xaxes=True,
        shared_yaxes="rows",
        column_titles=columns,
        vertical_spacing=0.06,
        horizontal_spacing=0.03,
    )
    fig = _styled(fig, title, "", "", height=120 + 200 * len(rows))
    for (row, column), panel in panels.items():
        where = {"row": rows.index(row) + 1, "col": columns.index(column) + 1}
        for name, values in panel.items():
            i = coloured.index(name) % 7 if name in coloured else 0
            colour, dash = ("#777777", "solid") if name == grey else (COLOURS[i], DASHES[i])
            values = values.detach().float().cpu()
            is_level = values.shape[-1] == 1
            middle, *ends = values.view(-1, values.shape[-1]).expand(-1, len(at)).tolist()
            red, green, blue = (int(colour[j : j + 2], 16) for j in (1, 3, 5))
            for y, fill in zip(ends, (None, "tonexty"), strict=False):
                edge = {"line": {"width": 0}, "fillcolor": f"rgba({red},{green},{blue},0.15)"}
                edge |= {"mode": "lines", "hoverinfo": "skip", "showlegend": False}
                fig.add_scatter(x=list(at), y=y, fill=fill, legendgroup=name, **edge, **where)
            fig.add_scatter(
                x=list(at),
                y=middle,
                name=name,
                legendgroup=name,
                line={"color": colour, "dash": dash, "width": 2.5},
                mode="lines" if is_level else "lines+markers",
                showlegend=not any(trace.name == name for trace in fig.data),
                **where,
            )
    for i, row in enumerate(rows, 1):
        fig.update_yaxes(title_text=row, row=i, col=1)
        if row in log_y:
            ticks = [digit * 10.0**power for power in range(-3, 4) for digit in (1, 2, 5)]
            fig.update_yaxes(type="log", tickvals=ticks, row=i)
    fig.update_xaxes(title_text=x, row=len(rows))
    return fig.update_layout(legend={"orientation": "h", "y": -0.14}, width=880, margin={"t": 80})


def intervals(
    panels: Mapping[str, Mapping[str, Float[Tensor, " middle_low_high=3"]]],
    *,
    title: str,
    dots: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    marks: Mapping[str, float] | None = None,
    alike: Sequence[str] = (),
) -> go.Figure:
    """A point with its interval for each name, a row a name, in panels side by side.

    Args:
        panels: from what stands over a panel to its rows: the value, its lower and upper end.
        dots: for a panel, single values to show in a row, such as one for each random direction.
        marks: for a panel, where to draw a thin vertical line, such as at no effect.
        alike: panels that share one range of x.
    """
    dots, marks = dots or {}, marks or {}
    shown = [*panels.values(), *dots.values()]
    names = list(dict.fromkeys(name for panel in shown for name in panel))
    fig = make_subplots(
        1, len(panels), shared_yaxes=True, subplot_titles=list(panels), horizontal_spacing=0.02
    )
    fig = _styled(fig, title, "", "", height=150 + 34 * len(names))
    for column, (panel, rows) in enumerate(panels.items(), 1):
        where = {"row": 1, "col": column}
        for i, (name, value) in enumerate(rows.items()):
            middle, low, high = (float(each) for each in value)
            fig.add_scatter(
                x=[middle],
                y=[name],
                mode="markers",
                marker={"color": COLOURS[i % 7], "size": 10},
                error_x={"array": [high - middle], "arrayminus": [middle - low], "thickness": 2},
                hovertemplate=f"{name}: {middle:.2f} ({low:.2f} to {high:.2f})<extra></extra>",
                **where,
            )
        for name, each in dots.get(panel, {}).items():
            marker = {"color": "#777777", "size": 7, "symbol": "circle-open"}
            x, y = [float(value) for value in each], [name] * len(each)
            fig.add_scatter(x=x, y=y, mode="markers", marker=marker, **where)
        if panel in marks:
            fig.add_vline(x=marks[panel], line={"color": "#888", "width": 1.5}, **where)
        if panel in alike:
            first = list(panels).index(alike[0]) + 1
            fig.update_xaxes(matches="x" if first == 1 else f"x{first}", **where)
    fig.update_yaxes(categoryorder="array", categoryarray=names[::-1])
    return fig.update_layout(showlegend=False, width=920, margin={"t": 90, "l": 120})
