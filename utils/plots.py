"""The course's figures. A lesson calls a method, then draws what it returned with one of these.

They are plotly figures (5.24 and 7) in colours that colour-blind readers can tell apart; where a
line's colour matters, its dash differs too. A part's own figures are in its `figures.py`.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Literal

import plotly.graph_objects as go
import plotly.io as pio
from jaxtyping import Float
from plotly.colors import hex_to_rgb
from plotly.subplots import make_subplots
from torch import Tensor

from utils.heads import head_name
from utils.views import Html

# Okabe and Ito's palette, without its yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid")

# Every figure is saved together with its template, and plotly's own has 7,000 characters.
INK = "#2a3f5f"
LINES = {"showline": True, "linecolor": "#666", "gridcolor": "#ddd", "zeroline": False}
AXIS = {**LINES, "zerolinewidth": 2, "ticks": "", "automargin": True, "title": {"standoff": 15}}
pio.templates["heads_to_features"] = go.layout.Template(
    layout={
        "autotypenumbers": "strict",
        "font": {"size": 13, "color": INK},
        "margin": {"l": 70, "r": 30, "t": 60, "b": 60},
        "plot_bgcolor": "white",
        "title": {"font": {"size": 16}, "x": 0.02},
        "xaxis": AXIS,
        "yaxis": AXIS,
    },
    data={"bar": [{"error_y": {"color": INK}}], "heatmap": [{"colorbar": {"outlinewidth": 0}}]},
)


def styled(fig: go.Figure, title: str, *, x: str = "", y: str = "", height: int) -> go.Figure:
    """The figure in the course's template, with its title, its axes' titles and its height."""
    fig.update_layout(template="heads_to_features", title_text=title, height=height)
    return fig.update_xaxes(title_text=x).update_yaxes(title_text=y)


def lines(
    series: Mapping[str, Sequence[float]],
    *,
    title: str,
    x: str,
    y: str,
    at: Sequence[float | str] | None = None,
    log_y: bool = False,
    chance: float | None = None,
) -> go.Figure:
    """One line for each name in `series`, over `at` (default 0, 1, 2, ...).

    Args:
        chance: a height to mark with a thin grey line, such as what guessing gives.
    """
    fig = styled(go.Figure(), title, x=x, y=y, height=380)
    if chance is not None:
        fig.add_hline(y=chance, line={"color": "#888", "width": 1.5})
    for i, (name, values) in enumerate(series.items()):
        style = {"color": COLOURS[i % 7], "dash": DASHES[i % 7], "width": 2.5}
        places = list(range(len(values))) if at is None else list(at)
        fig.add_scatter(x=places, y=[float(v) for v in values], name=name, mode="lines", line=style)
    y_axis = {"type": "log", "dtick": 1} if log_y else {}
    return fig.update_layout(legend={"orientation": "h", "y": -0.25}, yaxis=y_axis)


def heatmap(
    panels: Float[Tensor, "row column"] | Mapping[str, Float[Tensor, "row column"]],
    *,
    title: str,
    x: str,
    y: str,
    label: str = "",
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    signed: bool = False,
    ends: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None,
    text: Sequence[Sequence[str]] | Literal["values"] | None = None,
    box: tuple[int, int] | None = None,
) -> go.Figure:
    """Numbers as colours, row 0 on top: a score of every head, an attention pattern, any table.

    Args:
        panels: a matrix, or several side by side, by what stands over each. A nan is grey.
        x, y: what columns and rows are. Where they are "head" and "layer", pointing at a cell
            shows the head's name.
        label: what the colours mean, at the colour bar; without it there is none.
        rows, columns: their names, such as tokens, which may come twice; else numbers from 0.
        signed: white is the middle of `ends`, orange above it and purple below.
        ends: the values at the scale's ends, for all panels or for each. Without them, a panel's
            lowest and highest; where `signed`, zero is the middle.
        text: what to write into the cells, such as heads' names, or "values". Where every cell
            has a text, the colours run from white to orange, on which it can be read.
        box: (row, column) of a cell to outline.

    Raises:
        ValueError: there are more or fewer names than rows or columns.
    """
    panels = {"": panels} if isinstance(panels, Tensor) else panels
    n_rows, n_columns = next(iter(panels.values())).shape
    down, y_ticks = _axis(rows, y, n_rows)
    across, x_ticks = _axis(columns, x, n_columns)
    cells = [[f"{row}, {column}" for column in across] for row in down]
    if (x, y) == ("head", "layer"):
        cells = [[head_name((i, j)) for j in range(n_columns)] for i in range(n_rows)]
    full = text == "values" or (text is not None and all(all(row) for row in text))
    orange = [[0, "#ffffff"], [1, COLOURS[1]]]
    grid = {"shared_yaxes": True, "horizontal_spacing": 0.03}
    fig = make_subplots(1, len(panels), subplot_titles=list(panels), **grid)
    height = 170 + 36 * n_rows if full else max(280, 110 + 18 * n_rows)
    fig = styled(fig, title, x=x, height=height).update_yaxes(title_text=y, col=1)
    for column, (name, values) in enumerate(panels.items(), 1):
        far = values.nan_to_num(0).abs().max().item()
        own = (-far, far) if signed else (None, None)
        low, high = (ends[name] if isinstance(ends, Mapping) else ends) or own
        numbers = [[float(f"{value:.4g}") for value in row] for row in values.tolist()]
        shown = [[f"{v:.2f}" if v == v else "" for v in row] for row in numbers]
        shown = shown if text == "values" else text
        font = {"size": 11, "color": None if signed or not full else "black"}
        writing = {"text": shown, "texttemplate": "%{text}", "textfont": font}
        fig.add_heatmap(
            z=numbers,
            zmin=low,
            zmax=high,
            colorscale="PuOr_r" if signed else orange if full else "Cividis",
            showscale=bool(label),
            colorbar_title_text=label,
            customdata=cells,
            hovertemplate=f"%{{customdata}}{', ' if name else ''}{name}: %{{z:.3f}}<extra></extra>",
            row=1,
            col=column,
            **(writing if shown else {}),
        )
    if box is not None:
        row, column = box
        edge = {"x0": column - 0.5, "x1": column + 0.5, "y0": row - 0.5, "y1": row + 0.5}
        fig.add_shape(type="rect", line={"color": "black", "width": 3}, **edge)
    fig.update_xaxes(**x_ticks, tickangle=-50 if columns else 0, showgrid=False)
    fig.update_yaxes(**y_ticks, autorange="reversed", showgrid=False)
    margin = {"t": 90 if len(panels) > 1 else 60}
    return fig.update_layout(margin=margin, plot_bgcolor="#ddd")


def _axis(names: Sequence[str] | None, title: str, n: int) -> tuple[list[str], dict[str, object]]:
    """What each row or column is called where a cell is pointed at, and the axis's ticks."""
    if names is None:
        return [f"{title} {i}" for i in range(n)], {"dtick": 1 if n <= 12 else 5}
    if len(names) != n:
        raise ValueError(f"There are {len(names)} names for {n} rows or columns: give one each.")
    # Names stand at their numbers: one may come twice, and is then called by both.
    unique = len(set(names)) == n
    called = list(names) if unique else [f"{title} {i} {name!r}" for i, name in enumerate(names)]
    places = list(range(0, n, 1 + n // 40))
    texts = [names[i].strip() or "(space)" for i in places]
    return called, {"tickvals": places, "ticktext": texts}


def bars(
    values: Mapping[str, float],
    *,
    title: str,
    y: str,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    chance: float | None = None,
    dots: Mapping[str, Sequence[float]] | None = None,
    kinds: Mapping[str, str] | None = None,
) -> go.Figure:
    """A bar for each name, its value in the label, where no short bar or interval can hide it.

    Args:
        intervals: (low, high) of the names that have one.
        kinds: what each name is; names of one kind have one colour, instead of one each.
        chance: a height to mark with a thin grey line, such as what guessing gives.
        dots: single values to show on a name's bar, such as one for each random direction.
    """
    label = {name: f"{name}<br><b>{value:z.2f}</b>" for name, value in values.items()}
    kind_of = [kinds[name] if kinds else name for name in values]
    colour = {kind: COLOURS[i % 7] for i, kind in enumerate(dict.fromkeys(kind_of))}
    look = {"marker_color": [colour[kind] for kind in kind_of]}
    fig = go.Figure().add_bar(x=[*label.values()], y=[*values.values()], **look)
    if intervals:
        ends = [(value, *intervals.get(name, (value, value))) for name, value in values.items()]
        error = {"array": [high - value for value, _, high in ends], "thickness": 2, "width": 6}
        error["arrayminus"] = [value - low for value, low, _ in ends]
        fig.update_traces(error_y=error)
    for name, each in (dots or {}).items():
        marker = {"color": "#333", "size": 6, "symbol": "circle-open"}
        at = {"x": [label[name]] * len(each), "y": [float(value) for value in each]}
        fig.add_scatter(**at, mode="markers", marker=marker)
    if chance is not None:
        fig.add_hline(y=chance, line={"color": "#888", "width": 1.5})
    return styled(fig, title, y=y, height=380).update_layout(showlegend=False)


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
    fig = styled(go.Figure(), title, x=x, y=y, height=480)
    if diagonal:
        values = [float(value) for point in points.values() for value in point]
        ends, style = [min(values), max(values)], {"color": "#666", "dash": "dash"}
        fig.add_scatter(x=ends, y=ends, mode="lines", line=style, name=diagonal)
    for chosen, mode, colour, symbol in (
        ([name for name in points if name not in named], "markers", COLOURS[0], "circle-open"),
        (list(named), "markers+text", COLOURS[1], "diamond"),
    ):
        fig.add_scatter(
            x=[float(points[name][0]) for name in chosen],
            y=[float(points[name][1]) for name in chosen],
            mode=mode,
            marker={"color": colour, "symbol": symbol, "size": 8},
            text=chosen,
            textposition="top center",
            hovertemplate="%{text}: %{x:.2f}, %{y:.2f}<extra></extra>",
            showlegend=False,
        )
    return fig.update_layout(legend={"orientation": "h", "y": -0.2})


def table(rows: Sequence[Sequence[object]], *, columns: Sequence[str]) -> Html:
    """A small table, such as a lesson's results.

    Raises:
        ValueError: a row has more or fewer cells than there are columns.
    """
    if any(len(row) != len(columns) for row in rows):
        raise ValueError(f"Every row needs {len(columns)} cells, one for each column.")
    cells = [[str(cell) for cell in row] for row in rows]
    head = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in columns)
    inner = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in cells]
    body = "".join(f"<tr>{row}</tr>" for row in inner)
    text = "\n".join(" | ".join(row) for row in [list(columns), *cells])
    return Html(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>", text)


def curves(
    panels: Mapping[tuple[str, str], Mapping[str, Float[Tensor, "*middle_low_high x"]]],
    *,
    at: Sequence[float],
    title: str,
    x: str,
    grey: str = "",
) -> go.Figure:
    """Lines over one axis in a grid of panels, such as effect and cost over dose.

    Args:
        panels: from (name of the row, name of the column) to the lines of that panel: [x], or with
            a band [3 x], which is middle, lower and upper end. A line of one point is a level.
        at: the places of the points on the x axis.
        grey: the line to draw in grey, such as a control.
    """
    rows, columns = (list(dict.fromkeys(key[i] for key in panels)) for i in (0, 1))
    names = dict.fromkeys(name for panel in panels.values() for name in panel if name != grey)
    look = {name: (COLOURS[i % 7], DASHES[i % 7]) for i, name in enumerate(names)}
    look[grey] = ("#777777", "solid")
    grid = {"shared_yaxes": "rows", "vertical_spacing": 0.06, "horizontal_spacing": 0.03}
    fig = make_subplots(len(rows), len(columns), column_titles=columns, shared_xaxes=True, **grid)
    fig = styled(fig, title, height=120 + 200 * len(rows)).update_xaxes(title_text=x, row=len(rows))
    for (row, column), panel in panels.items():
        where = {"row": rows.index(row) + 1, "col": columns.index(column) + 1}
        fig.update_yaxes(title_text=row, row=where["row"], col=1)
        for name, values in panel.items():
            n, (colour, dash) = values.shape[-1], look[name]
            middle, *band = values.reshape(-1, n).expand(-1, len(at)).tolist()
            common = {"x": list(at), "legendgroup": name, **where}
            edge = {"mode": "lines", "line_width": 0, "hoverinfo": "skip", "showlegend": False}
            for y, fill in zip(band, (None, "tonexty"), strict=False):
                pale = f"rgba{(*hex_to_rgb(colour), 0.15)}"
                fig.add_scatter(y=y, fill=fill, fillcolor=pale, **edge, **common)
            first = not any(trace.name == name for trace in fig.data)
            line = {"color": colour, "dash": dash, "width": 2.5}
            mode = "lines" if n == 1 else "lines+markers"
            fig.add_scatter(y=middle, name=name, line=line, mode=mode, showlegend=first, **common)
    return fig.update_layout(legend={"orientation": "h", "y": -0.14}, margin_t=80)


def intervals(
    panels: Mapping[str, Mapping[str, Float[Tensor, " middle_low_high=3"] | Sequence[float]]],
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
    grid = {"shared_yaxes": True, "horizontal_spacing": 0.02}
    fig = make_subplots(1, len(panels), subplot_titles=list(panels), **grid)
    fig = styled(fig, title, height=150 + 34 * len(names))
    for column, (panel, rows) in enumerate(panels.items(), 1):
        where = {"row": 1, "col": column}
        for i, (name, value) in enumerate(rows.items()):
            middle, low, high = (float(each) for each in value)
            whisker = {"array": [high - middle], "arrayminus": [middle - low], "thickness": 2}
            hover = f"{name}: {middle:.2f} ({low:.2f} to {high:.2f})<extra></extra>"
            dot = {"mode": "markers", "marker": {"color": COLOURS[i % 7], "size": 10}}
            fig.add_scatter(
                x=[middle], y=[name], error_x=whisker, hovertemplate=hover, **dot, **where
            )
        for name, each in dots.get(panel, {}).items():
            style = {"marker": {"color": "#777777", "size": 7, "symbol": "circle-open"}, **where}
            fig.add_scatter(x=list(map(float, each)), y=[name] * len(each), mode="markers", **style)
        if panel in marks:
            fig.add_vline(x=marks[panel], line={"color": "#888", "width": 1.5}, **where)
        if panel in alike:
            first = list(panels).index(alike[0]) + 1
            fig.update_xaxes(matches="x" if first == 1 else f"x{first}", **where)
    fig.update_yaxes(categoryorder="array", categoryarray=names[::-1])
    return fig.update_layout(showlegend=False, margin={"t": 90, "l": 120})
