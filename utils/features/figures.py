"""Directions of features as arrows, maps of phases, and how features share dimensions."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from jaxtyping import Bool, Float, Int
from plotly.subplots import make_subplots
from torch import Tensor

from utils.features.graphs import AttributionGraph, Node
from utils.guards import as_long_as, axes, filled, finite, guarded
from utils.plots import COLOURS, styled


def _in_a_plane(panels: Mapping[str, Tensor], _: Mapping) -> str | None:
    other = [name for name, W in panels.items() if W.ndim != 2 or W.shape[1] != 2]
    if other:
        return f"has directions in {other[0]!r} that are not [feature, 2]: arrows need a plane"
    odd = [name for name, W in panels.items() if not bool(W.isfinite().all())]
    return f"has NaN or infinity in {odd[0]!r}" if odd else None


def _each_has_a_name(kinds: Sequence[str], given: Mapping) -> str | None:
    low, high = int(given["cells"].min()), int(given["cells"].max())
    if low >= 0 and high < len(kinds):
        return None
    return f"names {len(kinds)} kinds, and cells hold {low} to {high}"


def _same_cells(cells: Tensor, given: Mapping) -> str | None:
    wanted = len(given["y"]), len(given["x"])
    odd = tuple(cells.shape) != wanted
    return f"has other cells than y and x, {wanted}" if odd else None


def _above_0(values: Sequence[float], _: Mapping) -> str | None:
    low = min(float(value) for value in values)
    return None if low > 0 else f"holds {low:g}, which has no place on a log axis"


@guarded(panels=(filled, _in_a_plane))
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
    fig = styled(fig, title, height=110 + 240 * n_rows)
    plain = {"range": [-end, end], "showticklabels": False, "showgrid": False, "showline": False}
    plain["constrain"] = "domain"
    fig.update_xaxes(**plain, zeroline=True, zerolinecolor="#bbb")
    fig.update_yaxes(**plain, zeroline=True, zerolinecolor="#bbb")
    return fig.update_layout(margin={"l": 20, "r": 20, "t": 85, "b": 20})


@guarded(cells=_same_cells, kinds=_each_has_a_name, x=_above_0, y=_above_0)
def phases(
    cells: Int[Tensor, "row column"],
    *,
    kinds: Sequence[str],
    x: Sequence[float],
    y: Sequence[float],
    border: Mapping[float, float],
    title: str,
    x_title: str,
    y_title: str,
) -> go.Figure:
    """A map of which kind holds at each setting, with a border drawn over it, on log axes.

    The y-axis falls upwards.

    Args:
        cells: the number of a kind, at each of `y` and `x`.
        border: from places on the x-axis to its height.
    """
    fig = styled(go.Figure(), title, x=x_title, y=y_title, height=430)
    symbols = ("circle", "square", "diamond", "x")
    for i, kind in enumerate(kinds):
        rows, columns = (each.tolist() for each in (cells == i).nonzero(as_tuple=True))
        fig.add_scatter(
            x=[x[column] for column in columns],
            y=[y[row] for row in rows],
            mode="markers",
            marker={"color": COLOURS[i], "symbol": symbols[i % 4], "size": 13},
            name=kind,
            hovertemplate=f"{kind}: importance %{{x:.2g}}, density %{{y:.2g}}<extra></extra>",
        )
    line = {"color": "black", "width": 3}
    fig.add_scatter(
        x=list(border), y=list(border.values()), mode="lines", line=line, name="your border"
    )
    fig.update_xaxes(type="log", tickvals=[0.1, 0.2, 0.5, 1, 2, 5, 10])
    fig.update_yaxes(type="log", autorange="reversed", tickvals=[1, 0.5, 0.2, 0.1, 0.05, 0.02])
    return fig


@guarded(D=(axes(3), finite), densities=(as_long_as("D"), _above_0))
def dimensionalities(
    D: Float[Tensor, "density toy feature"],
    densities: Sequence[float],
    *,
    per_feature: Float[Tensor, "density toy"],
    title: str,
) -> go.Figure:
    """Each feature's dimensionality D over 1 / density, with fractions that shapes have.

    Features below D = 0.1 are left out. The line is the median of `per_feature` over toys.
    """
    fig = styled(go.Figure(), title, x="1 / density (rarer to the right)", y="D", height=480)
    shapes = {"1, a dimension alone": 1, "2/3, triangle": 2 / 3, "1/2, opposite pair": 1 / 2}
    shapes |= {"2/5, pentagon": 2 / 5, "1/3": 1 / 3}
    for name, height in shapes.items():
        style = {"line": {"color": "#999", "width": 1, "dash": "dot"}}
        fig.add_hline(y=height, annotation_text=name, annotation_position="top right", **style)
    places, heights = [], []
    for density, each in zip(densities, D, strict=True):
        shown = each.flatten()
        shown = shown[shown > 0.1].sort().values.tolist()
        # A little to the side, one after another, so that equal values do not hide one another.
        places += [(1 + 0.04 * (i % 9 - 4) / 4) / float(density) for i in range(len(shown))]
        heights += [round(value, 3) for value in shown]
    dots = {"size": 4, "color": COLOURS[0], "opacity": 0.45}
    fig.add_scatter(x=places, y=heights, mode="markers", marker=dots, name="one feature")
    fig.add_scatter(
        x=[1 / float(density) for density in densities],
        y=[float(value) for value in per_feature.median(-1).values],
        mode="lines+markers",
        line={"color": COLOURS[1], "width": 2},
        name="dimensions per feature",
    )
    fig.update_layout(legend={"orientation": "h", "y": -0.2})
    places = [1 / float(density) for density in densities]
    ticks = {"tickvals": places, "ticktext": [f"{place:.3g}" for place in places]}
    return fig.update_xaxes(type="log", **ticks)


def training_film(
    frames: Mapping[str, Float[Tensor, " feature"]], *, found_above: float, title: str
) -> go.Figure:
    """Each planted feature's best cosine as a bar, one frame for each state of a training.

    A slider moves between the frames. It opens at the first, and needs no kernel.

    Args:
        frames: from what the slider says to the cosines, from the commonest feature to the rarest.
        found_above: bars above this are blue, and the line there says "found".
    """

    def bar(cosine: Float[Tensor, " feature"]) -> go.Bar:
        values = [round(value, 3) for value in cosine.tolist()]
        colours = [COLOURS[0] if value > found_above else "#999999" for value in values]
        hover = "feature %{x}: cosine %{y:.2f}<extra></extra>"
        return go.Bar(x=[*range(len(values))], y=values, marker_color=colours, hovertemplate=hover)

    fig = go.Figure(bar(next(iter(frames.values()))))
    fig.frames = [go.Frame(data=[bar(each)], name=name) for name, each in frames.items()]
    how = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}}
    steps = [{"label": name, "method": "animate", "args": [[name], how]} for name in frames]
    fig = styled(fig, title, x="planted feature, from common to rare", y="best cosine", height=400)
    fig.add_hline(y=found_above, line={"color": "#666", "dash": "dash"}, annotation_text="found")
    slider = {"steps": steps, "active": 0, "pad": {"t": 45}}
    slider["currentvalue"] = {"prefix": "training steps: "}
    return fig.update_layout(sliders=[slider]).update_yaxes(range=[0, 1.05])


def frontier(
    points: Mapping[str, Sequence[tuple[float, float, float]]], *, title: str, band: Sequence[float]
) -> go.Figure:
    """Variance unexplained against L0, both on log axes, a line a kind, coloured by recall.

    Args:
        points: from a kind of SAE to its (L0, share unexplained, recall).
        band: L0s at which kinds are compared, marked by vertical lines.
    """
    fig = styled(go.Figure(), title, x="L0", y="variance unexplained (FVU)", height=460)
    for i, (kind, found) in enumerate(points.items()):
        l0, fvu, recall = zip(*sorted(found), strict=True)
        marker = {"color": recall, "coloraxis": "coloraxis", "size": 13, "symbol": i, "opacity": 1}
        fig.add_scatter(
            x=l0,
            y=fvu,
            mode="lines+markers+text",
            text=[kind, *[""] * (len(l0) - 1)],
            textposition="middle right",
            name=kind,
            line={"color": "#999", "width": 1, "dash": ("solid", "dash", "dot", "dashdot")[i % 4]},
            marker=marker | {"line": {"color": "black", "width": 1}},
            customdata=[[value] for value in recall],
            hovertemplate=kind + ": L0 %{x:.1f}, FVU %{y:.3f}, recall %{customdata[0]:.2f}"
            "<extra></extra>",
        )
    for l0 in band:
        fig.add_vline(x=l0, line={"color": "#999", "dash": "dot"})
    bar = {"colorscale": "Viridis", "cmin": 0, "cmax": 1, "colorbar": {"title": "recall"}}
    fig.update_layout(coloraxis=bar, showlegend=False)
    ticks = [1, 2, 3, 5, 8, 12, 20, 30]
    fig.update_xaxes(type="log", tickvals=ticks, ticktext=[str(tick) for tick in ticks])
    ticks = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]
    return fig.update_yaxes(type="log", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])


NODE_COLOURS = {"embedding": 2, "feature": 0, "error": 1, "logit": 3}


@guarded(shown=as_long_as("size"))
def attribution_map(
    graph: AttributionGraph,
    words: Sequence[str],
    size: Float[Tensor, " node"],
    shown: Bool[Tensor, " node"],
    *,
    title: str,
    notes: Mapping[int, str] | None = None,
    n_edges: int = 80,
) -> go.Figure:
    """An attribution graph: tokens to the right, blocks upwards, a dot for each node.

    Args:
        words: of the tokens.
        size: of each node, its influence, say.
        shown: which features and errors; embeddings and the output always are.
        notes: what to say of a node when pointed at, besides what it is.
        n_edges: the largest direct effects between shown nodes are drawn as lines, blue where they
            are positive and red where negative.
    """
    top = graph.nodes[-1].layer
    seen = [
        i for i, n in enumerate(graph.nodes) if bool(shown[i]) or n.kind in ("embedding", "logit")
    ]
    cells: dict[tuple, list[int]] = {}
    for i in seen:
        cells.setdefault((graph.nodes[i].layer, graph.nodes[i].position), []).append(i)
    place = {}
    for (layer, position), members in cells.items():
        for n, i in enumerate(members):
            row, column = divmod(n, 4)
            across = (column - (min(len(members) - 4 * row, 4) - 1) / 2) * 0.22
            place[i] = (position + across, layer + 0.17 * row)
    effects = graph.effects[seen][:, seen]
    fig = styled(go.Figure(), title, height=520)
    for flat in effects.abs().flatten().topk(min(n_edges, effects.numel())).indices.tolist():
        target, source = (seen[each] for each in divmod(flat, len(seen)))
        effect = float(graph.effects[target, source])
        if effect:
            (x0, y0), (x1, y1) = place[source], place[target]
            line = {"width": 1, "color": COLOURS[0] if effect > 0 else COLOURS[1]}
            fig.add_scatter(
                x=[x0, x1],
                y=[y0, y1],
                mode="lines",
                line=line,
                opacity=0.35,
                hoverinfo="skip",
                showlegend=False,
            )
    for kind, colour in NODE_COLOURS.items():
        members = [i for i in seen if graph.nodes[i].kind == kind]
        said = [_said(graph.nodes[i], words, float(size[i]), (notes or {}).get(i)) for i in members]
        dots = [8 if kind == "logit" else 5 + 40 * float(size[i]) ** 0.5 for i in members]
        fig.add_scatter(
            x=[place[i][0] for i in members],
            y=[place[i][1] for i in members],
            mode="markers",
            marker={"size": dots, "color": COLOURS[colour], "opacity": 0.85},
            name=kind,
            hovertext=said,
            hoverinfo="text",
        )
    ticks = {"tickmode": "array", "tickvals": list(range(len(words))), "ticktext": list(words)}
    fig.update_xaxes(**ticks, tickangle=-60, showgrid=False)
    blocks = ["token", *(f"MLP {layer}" for layer in range(top)), "output"]
    fig.update_yaxes(
        tickmode="array", tickvals=list(range(-1, top + 1)), ticktext=blocks, title="block"
    )
    return fig.update_layout(legend={"orientation": "h", "y": -0.25})


def _said(node: Node, words: Sequence[str], size: float, note: str | None) -> str:
    name = {
        "feature": f"feature {node.layer}/{node.latent}, activation {node.activation:.1f}",
        "error": f"error of transcoder {node.layer}",
        "embedding": "embedding",
        "logit": "output: the logit difference",
    }[node.kind]
    where = f"at token {node.position}, {words[node.position]!r}"
    return "<br>".join([name, where, f"influence {size:.3f}", *([note] if note else [])])
