"""The course's figures. A lesson calls a method, then draws what it returned with one of these.

Figures are plotly figures (5.24 and 7), in colours that colour-blind readers can tell apart; where
a line's colour matters, its dash differs too. Titles say what to see.
"""

import base64
import functools
import gzip
import html
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

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


def pattern_heatmap(
    pattern: Float[Tensor, "q k"], tokens: Sequence[str], *, title: str
) -> go.Figure:
    """One head's attention pattern: queries downwards, keys to the right."""
    labels = [f"{i} {token!r}" for i, token in enumerate(tokens)]
    heat = go.Heatmap(
        z=pattern.detach().float().cpu().tolist(),
        colorscale="Cividis",
        zmin=0,
        zmax=1,
        colorbar={"title": {"text": "attention"}},
        text=[[f"{q} to {k}" for k in labels] for q in labels],
        hovertemplate="%{text}: %{z:.2f}<extra></extra>",
    )
    size = len(labels)
    fig = _styled(go.Figure(heat), title, "key (attended position)", "query", height=520)
    fig.update_yaxes(autorange="reversed", showgrid=False)
    fig.update_xaxes(showgrid=False)
    fig.update_layout(width=640)
    if size <= 24:
        ticks = {"tickmode": "array", "tickvals": list(range(size)), "ticktext": list(tokens)}
        fig.update_xaxes(**ticks, tickangle=-60)
        fig.update_yaxes(**ticks)
    return fig


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


def attention_heads(
    pattern: Float[Tensor, "head q k"], tokens: Sequence[str], *, names: Sequence[str]
) -> _Html:
    """CircuitsVis's view of attention patterns; click a head, then point at a token.

    Drawn without a network: the library's script travels inside the output, compressed (0.5 MB).
    CircuitsVis itself would ask the network on every display. This view of it draws tokens on a
    canvas, so they are not escaped; views that put them into the page would lose `<bos>`.

    Raises:
        ValueError: the numbers of heads, tokens and names do not fit together.
    """
    n_heads, n_queries, n_keys = pattern.shape
    if len(names) != n_heads or not len(tokens) == n_queries == n_keys:
        raise ValueError(
            f"A pattern of shape {tuple(pattern.shape)} needs {n_heads} names and {n_queries} "
            f"tokens; here are {len(names)} and {len(tokens)}."
        )
    properties = {
        "attention": [[[round(a, 4) for a in row] for row in head] for head in pattern.tolist()],
        "tokens": [token.replace(" ", "\u00a0") for token in tokens],
        "attentionHeadNames": list(names),
    }
    # `</` would end the script early, wherever it stands in a token.
    data = json.dumps(properties).replace("</", "<\\/")
    name = f"circuits-vis-{uuid4().hex[:12]}"
    code = f"""<div id="{name}" class="htf-attention" role="figure"
 aria-label="Attention patterns of {html.escape(", ".join(names))}"></div>
<script type="module">
if (!window.CircuitsVis) {{
  const packed = Uint8Array.from(atob("{_script()}"), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const element = document.createElement("script");
  element.textContent = await new Response(stream).text() + "\\n;window.CircuitsVis = CircuitsVis;";
  document.head.appendChild(element);
}}
window.CircuitsVis.render("{name}", window.CircuitsVis.AttentionHeads, {data});
</script>"""
    return _Html(code, f"[attention patterns of {', '.join(names)} over {n_keys} tokens]")


@functools.cache
def _script() -> str:
    """CircuitsVis's script, gzipped, in base64."""
    import circuitsvis

    script = Path(circuitsvis.__file__).parent / "dist" / "cdn" / "iife.js"
    return base64.b64encode(gzip.compress(script.read_bytes(), mtime=0)).decode()


def circuit_graph(
    edges: Mapping[str, Sequence[tuple[str, str]]], *, n_layers: int, n_heads: int, title: str
) -> go.Figure:
    """A circuit of heads: the embedding at the bottom, a row a layer, the logits on top.

    Args:
        edges: from what to call them, such as "found", to pairs (writer, reader), as in
            `("embed", "L0H0.q")` or `("L2H0", "logits")`; each gets a colour and a dash.
            Queries end at the left of a head, keys in the middle, values at the right. A head
            without an edge is grey.
    """
    places = {"embed": ((n_heads - 1) / 2, 0), "logits": ((n_heads - 1) / 2, n_layers + 1)}
    places |= {f"L{i}H{j}": (j, i + 1) for i in range(n_layers) for j in range(n_heads)}
    shift = {"q": -0.17, "k": 0, "v": 0.17, "": 0}
    used = {end.partition(".")[0] for pairs in edges.values() for edge in pairs for end in edge}
    ink = ["#444" if name in used else "#bbb" for name in places]
    fig = go.Figure()
    for i, (name, pairs) in enumerate(edges.items()):
        xs, ys, letters = [], [], {"x": [], "y": [], "text": []}
        for writer, reader in pairs:
            head, _, letter = reader.partition(".")
            (x0, y0), (x1, y1) = places[writer], places[head]
            x0, x1 = x0 + shift[letter], x1 + shift[letter]  # two edges of one pair lie apart
            xs += [x0, x1, None]
            ys += [y0 + 0.2, y1 - (0.33 if letter else 0.2), None]
            if letter:
                letters["x"].append(x1)
                letters["y"].append(y1 - 0.31)
                letters["text"].append(letter)
        style = {"color": COLOURS[i % 7], "dash": DASHES[i % 7], "width": 3 if i == 0 else 2}
        fig.add_trace(go.Scatter(x=xs, y=ys, mode="lines", line=style, name=name))
        fig.add_trace(
            go.Scatter(
                **letters,
                mode="markers+text",
                marker={"size": 14, "color": "white", "line": {"width": 0}},
                textfont={"size": 12},
                showlegend=False,
                hoverinfo="skip",
            )
        )
    fig.add_trace(
        go.Scatter(
            x=[x for x, _ in places.values()],
            y=[y for _, y in places.values()],
            text=list(places),
            mode="markers+text",
            marker={
                "symbol": "square",
                "size": 38,
                "color": "white",
                "line": {"color": ink, "width": 1.5},
            },
            textfont={"size": 11, "color": ink},
            hoverinfo="text",
            showlegend=False,
        )
    )
    fig = _styled(fig, title, "", "", height=160 + 110 * (n_layers + 1))
    fig.update_layout(legend={"orientation": "h", "y": -0.05})
    fig.update_xaxes(visible=False)
    fig.update_yaxes(visible=False)
    return fig


def boards(
    positions: Mapping[str, Sequence[int]],
    *,
    title: str,
    shade: Mapping[str, Sequence[float]] | None = None,
    marked: Mapping[str, Sequence[int]] | None = None,
    last: Mapping[str, int] | None = None,
    label: str = "probability",
) -> go.Figure:
    """Square boards of black and white discs, side by side.

    Args:
        positions: from what stands over a board to its squares, row by row: 1 black, -1 white, 0
            empty.
        shade: for each board a number for each square, shown as its colour: dark is high.
        marked: for each board the squares that get an open diamond, such as the legal moves.
        last: for each board the square with a dot, such as the last move.
        label: what the shade is.
    """
    shade, marked, last = shade or {}, marked or {}, last or {}
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
            (marked.get(name, []), {"symbol": "diamond-open", "color": COLOURS[1], "size": 13}),
            ([last[name]] if name in last else [], {"color": COLOURS[1], "size": 9}),
        ]:
            line = {"color": "black" if marker["size"] == 26 else COLOURS[1], "width": 2}
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
        fig.update_xaxes(ticktext=list("abcdefgh"[:size]), **ticks, row=1, col=column)
        ticks["range"] = [size - 0.5, -0.5]
        numbers = [str(i + 1) for i in range(size)]
        fig.update_yaxes(ticktext=numbers, **ticks, row=1, col=column)
    fig = _styled(fig, title, "", "", height=400)
    fig.update_xaxes(showgrid=False, showline=False)
    fig.update_yaxes(showgrid=False, showline=False)
    fig.update_layout(width=110 + 290 * len(names), margin={"l": 40, "r": 20, "t": 90, "b": 30})
    return fig


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


def polar(
    panels: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    title: str,
    names: Sequence[str],
) -> go.Figure:
    """From intended angles (inner circle) to measured ones (outer circle), a panel for each name.

    Straight spokes are right; a spoke that leans has been turned.

    Args:
        panels: from what stands over a circle to its (intended, measured) angles in degrees.
        names: of the directions at 0, 90, 180 and 270 degrees, counterclockwise from the right.
    """
    kinds = [[{"type": "polar"}] * len(panels)]
    fig = make_subplots(
        1, len(panels), specs=kinds, subplot_titles=list(panels), horizontal_spacing=0.24
    )
    for column, (intended, measured) in enumerate(panels.values(), 1):
        for a, b in zip(intended, measured, strict=True):
            a, b = float(a), float(b)
            b = a + (b - a + 180) % 360 - 180  # the short way round
            steps = [k / 12 for k in range(13)]
            spoke = go.Scatterpolar(
                r=[round(0.5 + 0.5 * k, 3) for k in steps],
                theta=[round(a + k * (b - a), 1) for k in steps],
                mode="lines+markers",
                marker={"size": [6] + [0] * 11 + [10], "opacity": 1},
                line={"color": COLOURS[0], "width": 2.5},  # one colour: the angle tells them apart
                hovertemplate=f"{a:.0f} intended, {b % 360:.0f} measured<extra></extra>",
                showlegend=False,
            )
            fig.add_trace(spoke, 1, column)
    fig.update_polars(
        bgcolor="white",
        radialaxis={"range": [0, 1.08], "visible": False},
        angularaxis={
            "tickvals": [0, 90, 180, 270],
            "ticktext": list(names),
            "gridcolor": "#ddd",
            "linecolor": "#666",
        },
    )
    fig = _styled(fig, title, "", "", height=430)
    fig.update_layout(width=max(700, 60 + 420 * len(panels)))
    fig.update_layout(margin={"l": 90, "r": 90, "t": 110, "b": 40})
    fig.update_annotations(yshift=24)
    return fig


def dial(write: Callable[[float, float, str], str], *, angle: int, dose: float, prompt: str):
    """Sliders of angle and dose and a field for the prompt, over the text `write(...)` returns.

    Outside a notebook, or without ipywidgets, it is the text at the start.

    Args:
        write: called with angle (degrees), dose and prompt, when one of them is changed.
    """
    text = write(angle, dose, prompt)
    wrap = "<pre style='white-space:pre-wrap'>{}</pre>"
    start = _Html(wrap.format(html.escape(text)), text)
    try:
        import ipywidgets
        from IPython import get_ipython
    except ImportError:
        return start
    if get_ipython() is None:
        return start
    layout = {"layout": ipywidgets.Layout(width="520px"), "continuous_update": False}
    controls = [
        ipywidgets.IntSlider(value=angle, min=0, max=345, step=15, description="angle", **layout),
        ipywidgets.FloatSlider(value=dose, min=0, max=2, step=0.25, description="dose", **layout),
        ipywidgets.Text(value=prompt, description="prompt", **layout),
    ]
    out = ipywidgets.HTML(start.code)

    def rewrite(_=None) -> None:
        text = write(*(control.value for control in controls))
        out.value = wrap.format(html.escape(text))

    for control in controls:
        control.observe(rewrite, names="value")
    return ipywidgets.VBox([*controls, out])


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


def side_by_side(
    write: Callable[..., tuple[str, str]],
    *,
    names: tuple[str, str],
    **controls: str | Sequence[str] | tuple[float, float, float, float],
):
    """Controls and a button over the two texts that `write(...)` returns, one beside the other.

    Outside a notebook, or without ipywidgets, it is the two texts at the start.

    Args:
        write: called with a keyword argument for each of `controls` when the button is pressed.
        names: what to call the two texts.
        controls: each is a text to change; a list to choose from, which starts at its first; or a
            slider (start, lowest, highest, step), of whole numbers where the step is one.
    """
    first = {
        name: control if isinstance(control, str) else control[0]
        for name, control in controls.items()
    }

    def texts(chosen: Mapping[str, object]) -> _Html:
        pairs = list(zip(names, write(**chosen), strict=True))
        cell = "<td style='width:50%;vertical-align:top;white-space:pre-wrap;text-align:left'>"
        cells = "".join(f"{cell}<b>{name}</b>\n{html.escape(text)}</td>" for name, text in pairs)
        text = "\n".join(f"{name}: {text}" for name, text in pairs)
        return _Html(f"<table style='width:760px'><tr>{cells}</tr></table>", text)

    start = texts(first)
    try:
        import ipywidgets
        from IPython import get_ipython
    except ImportError:
        return start
    if get_ipython() is None:
        return start

    def control(name: str, given: str | Sequence):
        common = {"description": name, "layout": ipywidgets.Layout(width="520px")}
        if isinstance(given, str):
            return ipywidgets.Text(value=given, **common)
        if isinstance(given, list):
            return ipywidgets.Dropdown(options=given, **common)
        kind = ipywidgets.IntSlider if isinstance(given[3], int) else ipywidgets.FloatSlider
        return kind(**dict(zip(("value", "min", "max", "step"), given, strict=True)), **common)

    made = {name: control(name, given) for name, given in controls.items()}
    button, out = ipywidgets.Button(description="write"), ipywidgets.HTML(start.code)

    def rewrite(_) -> None:
        out.value = texts({name: each.value for name, each in made.items()}).code

    button.on_click(rewrite)
    return ipywidgets.VBox([*made.values(), button, out])


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
            (2 / sqrt 3, 0) and (1 / sqrt 3, 1), as in `utils.beliefs.simplex_xy`.
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
    fig = _styled(fig, title, "", "", height=370)
    # Predictions may lie outside the triangle. Those far outside are cut off, or it would be tiny.
    fig.update_xaxes(visible=False, range=[-0.05, side + 0.05])
    fig.update_yaxes(visible=False, range=[-0.05, 1.05])
    fig.update_layout(width=60 + 290 * len(panels), margin={"l": 20, "r": 20, "t": 90, "b": 10})
    return fig


def arrows(panels: Mapping[str, Float[Tensor, "feature xy=2"]], *, title: str) -> go.Figure:
    """Each feature's direction in two dimensions, a panel for each name, three in a row.

    Feature 0 has the first colour, and so on. All but the shortest carry their feature's number.
    """
    n_rows = -(-len(panels) // 3)
    fig = make_subplots(
        n_rows,
        min(3, len(panels)),
        subplot_titles=list(panels),
        horizontal_spacing=0.02,
        vertical_spacing=0.12,
    )
    panels = {name: W.detach().float().cpu() for name, W in panels.items()}
    end = 1.25 * max([1.0, *(float(W.norm(dim=-1).max()) for W in panels.values())])
    for panel, W in enumerate(panels.values()):
        place = {"row": panel // 3 + 1, "col": panel % 3 + 1}
        for i, (x, y) in enumerate(W.tolist()):
            colour, long = COLOURS[i % 7], (x * x + y * y) ** 0.5 > 0.3
            arrow = go.Scatter(
                x=[0, round(x, 3)],
                y=[0, round(y, 3)],
                mode="lines+markers+text" if long else "lines+markers",
                text=["", str(i)],
                textposition=f"{'top' if y > 0 else 'bottom'} {'right' if x > 0 else 'left'}",
                line={"color": colour, "width": 3},
                marker={"size": [0, 9], "color": colour, "opacity": 1},
                hovertemplate=f"feature {i}: (%{{x:.2f}}, %{{y:.2f}})<extra></extra>",
                showlegend=False,
            )
            fig.add_trace(arrow, **place)
        fig.update_yaxes(scaleanchor=f"x{panel + 1 if panel else ''}", **place)
    fig = _styled(fig, title, "", "", height=110 + 240 * n_rows)
    plain = {"range": [-end, end], "showticklabels": False, "showgrid": False, "showline": False}
    fig.update_xaxes(**plain, zeroline=True, zerolinecolor="#bbb")
    fig.update_yaxes(**plain, zeroline=True, zerolinecolor="#bbb")
    fig.update_layout(
        width=40 + 260 * min(3, len(panels)), margin={"l": 20, "r": 20, "t": 85, "b": 20}
    )
    return fig


def phases(
    panels: Mapping[str, Float[Tensor, "row column"]],
    *,
    kinds: Sequence[str],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    x: str,
    y: str,
) -> go.Figure:
    """Maps of which kind holds at each setting, side by side; a cell holds a kind's number.

    A cross marks where a later panel differs from the first.
    """
    fig = make_subplots(1, len(panels), subplot_titles=list(panels), shared_yaxes=True)
    panels = {
        name: [[int(cell) for cell in row] for row in cells.tolist()]
        for name, cells in panels.items()
    }
    n = 1 + max(cell for cells in panels.values() for row in cells for cell in row)
    steps = [(edge / n, COLOURS[i]) for i in range(n) for edge in (i, i + 1)]
    first = next(iter(panels.values()))
    for column, cells in enumerate(panels.values(), 1):
        heat = go.Heatmap(
            z=cells,
            x=list(columns),
            y=list(rows),
            zmin=-0.5,
            zmax=n - 0.5,
            colorscale=steps,
            text=[[kinds[cell] for cell in row] for row in cells],
            hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
            xgap=1,
            ygap=1,
            colorbar={"tickvals": list(range(n)), "ticktext": list(kinds[:n])},
            showscale=column == len(panels),
        )
        fig.add_trace(heat, 1, column)
        differs = [
            (columns[j], rows[i])
            for i, row in enumerate(cells)
            for j, cell in enumerate(row)
            if cell != first[i][j]
        ]
        cross = {
            "symbol": "x",
            "size": 11,
            "color": "white",
            "line": {"color": "black", "width": 1},
        }
        fig.add_trace(
            go.Scatter(
                x=[x for x, _ in differs],
                y=[y for _, y in differs],
                mode="markers",
                marker=cross,
                hoverinfo="skip",
                showlegend=False,
            ),
            1,
            column,
        )
    fig = _styled(fig, title, x, "", height=400)
    fig.update_xaxes(type="category", showgrid=False, tickangle=-60)
    fig.update_yaxes(type="category", showgrid=False)
    fig.update_yaxes(title_text=y, row=1, col=1)
    fig.update_layout(margin={"t": 90, "b": 90})
    return fig


def feature_card(
    title: str,
    facts: Sequence[tuple[str, str]],
    examples: Sequence[tuple[Sequence[str], Sequence[float], int]],
) -> _Html:
    """A dictionary's latent on one card: facts, and texts whose tokens are shaded by activation.

    The token that each text was chosen for is underlined and carries its activation as a number,
    so that no one needs the shades.

    Args:
        facts: (name, text) for each line.
        examples: for each text its tokens, the activation at each, and which is underlined.
    """
    top = max((max(values) for _, values, _ in examples), default=1.0) or 1.0
    rows, plain = [], []
    for tokens, values, chosen in examples:
        pieces, words = [], []
        for i, (token, value) in enumerate(zip(tokens, values, strict=True)):
            shown = token.replace("\n", "↵")
            style = f"background:rgba(86,180,233,{max(value, 0) / top:.2f});white-space:pre-wrap"
            text = html.escape(shown)
            if i == chosen:
                text = f"<u><b>{text}</b></u><sub>{value:.1f}</sub>"
            pieces.append(f"<span title='{value:.1f}' style='{style}'>{text}</span>")
            words.append(f"[{shown}]({value:.1f})" if i == chosen else shown)
        rows.append(f"<div style='margin:.15em 0'>{''.join(pieces)}</div>")
        plain.append("".join(words))
    lines = "".join(f"<div><b>{html.escape(a)}:</b> {html.escape(b)}</div>" for a, b in facts)
    box = "border-left:.4em solid #0072B2;padding:.3em 1em;margin:.6em 0;max-width:880px"
    code = (
        f"<div role='group' style='{box}'><b>{html.escape(title)}</b>{lines}{''.join(rows)}</div>"
    )
    text = "\n".join([title, *(f"  {a}: {b}" for a, b in facts), *(f"    {b}" for b in plain)])
    return _Html(code, text)


def stacked(parts: Sequence[_Html]) -> _Html:
    """Several tables or cards, one under the other."""
    return _Html("".join(part.code for part in parts), "\n\n".join(part.text for part in parts))


class _Live(_Html):
    """A widget over what it shows at the start, which pages without a kernel show in its place."""

    def __init__(self, start: _Html, box):
        super().__init__(start.code, start.text)
        self.box = box

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        return {
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": self.code,
            "text/plain": self.text,
        }


def feature_browser(
    card: Callable[[int], _Html],
    search: Callable[[str], Sequence[int]],
    *,
    n: int,
    at: int,
    text: str,
):
    """A field for a latent's number and one for a text to search by, over the card.

    Outside a notebook, on a page that shows a saved one, or without ipywidgets, it is the card of
    latent `at`.

    Args:
        card: draws a latent.
        search: the latents to offer for a text, best first.
        n: how many latents there are.
        text: what the search field holds at the start.
    """
    start = card(at)
    try:
        import ipywidgets
        from IPython import get_ipython
    except ImportError:
        return start
    if get_ipython() is None:
        return start
    wide, narrow = ipywidgets.Layout(width="640px"), ipywidgets.Layout(width="220px")
    number = ipywidgets.BoundedIntText(
        value=at, min=0, max=n - 1, description="latent", layout=narrow
    )
    query = ipywidgets.Text(value=text, description="search", continuous_update=False, layout=wide)
    button = ipywidgets.Button(description="find latents")
    found = ipywidgets.Dropdown(options=[at], description="found", layout=narrow)
    out = ipywidgets.HTML(start.code)

    def redraw(_=None) -> None:
        out.value = card(number.value).code

    def find(_=None) -> None:
        if query.value.strip():
            found.options = list(search(query.value))
            number.value = found.value

    def choose(change) -> None:
        if change["new"] is not None:
            number.value = change["new"]

    number.observe(redraw, names="value")
    found.observe(choose, names="value")
    query.observe(find, names="value")
    button.on_click(find)
    rows = [ipywidgets.HBox([query, button]), ipywidgets.HBox([found, number]), out]
    return _Live(start, ipywidgets.VBox(rows))
