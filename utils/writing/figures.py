"""What steering does: directions that turn on a circle, and texts under controls to change them."""

import html
from collections.abc import Callable, Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from utils.guards import filled, guarded
from utils.plots import COLOURS, styled
from utils.views import Html, Live, widgets


@guarded(panels=filled)
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
            "ticks": "",
        },
    )
    fig = styled(fig, title, height=430)
    fig.update_layout(margin={"l": 90, "r": 90, "t": 110, "b": 40})
    fig.update_annotations(yshift=24)
    return fig


@guarded(panels=filled)
def dumbbells(
    panels: Mapping[str, Mapping[str, tuple[float, float]]], *, title: str, names: tuple[str, str]
) -> go.Figure:
    """Two values of each row with a line between them, in panels that share both axes.

    Args:
        panels: from what stands over a panel to its rows: name -> (first value, second value).
        names: of the first values (open circles) and of the second (filled).
    """
    rows = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    grid = {"shared_yaxes": True, "shared_xaxes": True, "horizontal_spacing": 0.04}
    fig = make_subplots(1, len(panels), subplot_titles=list(panels), **grid)
    fig = styled(fig, title, height=190 + 34 * len(rows))
    for column, panel in enumerate(panels.values(), 1):
        where = {"row": 1, "col": column, "showlegend": False}
        for name, both in panel.items():
            line = {"color": "#999", "width": 2.5}
            fig.add_scatter(x=list(both), y=[name] * 2, mode="lines", line=line, **where)
        for i, symbol in enumerate(("circle-open", "circle")):
            marker = {"size": 12, "symbol": symbol, "color": COLOURS[i], "line": {"width": 2.5}}
            fig.add_scatter(
                x=[float(both[i]) for both in panel.values()],
                y=list(panel),
                mode="markers",
                marker=marker,
                name=names[i],
                **where | {"showlegend": column == 1},
            )
    fig.update_xaxes(matches="x", rangemode="tozero")
    fig.update_yaxes(categoryorder="array", categoryarray=rows[::-1])
    return fig.update_layout(legend={"orientation": "h", "y": -0.15}, margin_t=90)


@guarded(curves=filled)
def effect_and_cost(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    dots: tuple[Sequence[float], Sequence[float]],
    level: float,
    title: str,
    x: str,
    y: str,
) -> go.Figure:
    """A line through the doses of each dial, from (cost, effect) to (cost, effect).

    Args:
        curves: for each name its costs and effects, in the order of the doses.
        dots: costs and effects of controls.
        level: an effect to mark with a thin grey line.
    """
    fig = styled(go.Figure(), title, x=x, y=y, height=430)
    fig.add_hline(y=level, line={"color": "#888", "width": 1.5})
    style = {"color": "#777777", "size": 7, "symbol": "circle-open"}
    places = [list(map(float, each)) for each in dots]
    fig.add_scatter(x=places[0], y=places[1], mode="markers", marker=style, name="other planes")
    for i, (name, (costs, effects)) in enumerate(curves.items()):
        fig.add_scatter(
            x=list(map(float, costs)),
            y=list(map(float, effects)),
            name=name,
            mode="lines+markers",
            line={"color": COLOURS[i % 7], "dash": ("solid", "dash")[i % 2], "width": 2.5},
        )
    return fig.update_layout(legend={"orientation": "h", "y": -0.25})


def dial(write: Callable[[float, float, str], str], *, angle: int, dose: float, prompt: str):
    """Sliders of angle and dose and a field for the prompt, over the text `write(...)` returns.

    Outside a notebook, or without ipywidgets, it is the text at the start.

    Args:
        write: called with angle (degrees), dose and prompt, when one of them is changed.
    """
    text = write(angle, dose, prompt)
    wrap = "<pre style='white-space:pre-wrap'>{}</pre>"
    start = Html(wrap.format(html.escape(text)), text)
    ipywidgets = widgets()
    if ipywidgets is None:
        return start
    wide = ipywidgets.Layout(width="100%", max_width="520px")
    layout = {"layout": wide, "continuous_update": False}
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
    return Live(start, ipywidgets.VBox([*controls, out]))


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

    def texts(chosen: Mapping[str, object]) -> Html:
        pairs = list(zip(names, write(**chosen), strict=True))
        cell = "<td style='width:50%;vertical-align:top;white-space:pre-wrap;text-align:left'>"
        cells = "".join(f"{cell}<b>{name}</b>\n{html.escape(text)}</td>" for name, text in pairs)
        text = "\n".join(f"{name}: {text}" for name, text in pairs)
        return Html(f"<table style='width:100%;max-width:760px'><tr>{cells}</tr></table>", text)

    start = texts(first)
    ipywidgets = widgets()
    if ipywidgets is None:
        return start

    def control(name: str, given: str | Sequence):
        wide = ipywidgets.Layout(width="100%", max_width="520px")
        common = {"description": name, "layout": wide}
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
    return Live(start, ipywidgets.VBox([*made.values(), button, out]))
