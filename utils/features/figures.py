"""Directions of features as arrows, maps of phases, and cards of a dictionary's latents."""

import html
from collections.abc import Callable, Mapping, Sequence

import plotly.graph_objects as go
from jaxtyping import Float, Int
from plotly.subplots import make_subplots
from torch import Tensor

from utils.guards import filled, guarded
from utils.plots import COLOURS, styled
from utils.views import Html, Live, widgets


def _in_a_plane(panels: Mapping[str, Tensor], _: Mapping) -> str | None:
    other = [name for name, W in panels.items() if W.ndim != 2 or W.shape[1] != 2]
    if other:
        return f"has directions in {other[0]!r} that are not [feature, 2]: arrows need a plane"
    odd = [name for name, W in panels.items() if not bool(W.isfinite().all())]
    return f"has NaN or infinity in {odd[0]!r}" if odd else None


def _each_has_a_name(kinds: Sequence[str], given: Mapping) -> str | None:
    numbers = [int(cell) for cells in given["panels"].values() for cell in cells.flatten()]
    if min(numbers) >= 0 and max(numbers) < len(kinds):
        return None
    return f"names {len(kinds)} kinds, and cells hold {min(numbers)} to {max(numbers)}"


def _same_cells(panels: Mapping[str, Tensor], given: Mapping) -> str | None:
    wanted = len(given["rows"]), len(given["columns"])
    other = [name for name, cells in panels.items() if tuple(cells.shape) != wanted]
    return f"has other cells in {other[0]!r} than rows and columns, {wanted}" if other else None


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


@guarded(panels=(filled, _same_cells), kinds=_each_has_a_name)
def phases(
    panels: Mapping[str, Int[Tensor, "row column"]],
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
    fig = styled(fig, title, x=x, height=400)
    fig.update_xaxes(type="category", showgrid=False, tickangle=-60)
    fig.update_yaxes(type="category", showgrid=False)
    fig.update_yaxes(title_text=y, row=1, col=1)
    fig.update_layout(margin={"t": 90, "b": 90})
    return fig


def feature_card(
    title: str,
    facts: Sequence[tuple[str, str]],
    examples: Sequence[tuple[Sequence[str], Sequence[float], int]],
) -> Html:
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
    # A ground and an ink of its own: a dark theme's white text is lost on the shades.
    box = "border-left:.4em solid #0072B2;padding:.3em 1em;margin:.6em 0;max-width:880px;"
    box += "background:white;color:#1a1a1a"
    code = (
        f"<div role='group' style='{box}'><b>{html.escape(title)}</b>{lines}{''.join(rows)}</div>"
    )
    text = "\n".join([title, *(f"  {a}: {b}" for a, b in facts), *(f"    {b}" for b in plain)])
    return Html(code, text)


def feature_browser(
    card: Callable[[int], Html],
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
    ipywidgets = widgets()
    if ipywidgets is None:
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
    return Live(start, ipywidgets.VBox(rows))


def stacked(parts: Sequence[Html]) -> Html:
    """Several tables or cards, one under the other."""
    return Html("".join(part.code for part in parts), "\n\n".join(part.text for part in parts))
