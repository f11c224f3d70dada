"""Attention patterns to click through, and drawings of circuits."""

import base64
import functools
import gzip
import html
import json
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from uuid import uuid4

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from plotly.subplots import make_subplots
from torch import Tensor

from utils.circuits.patching import check_runs
from utils.guards import axes, count, filled, finite, guarded, layer_of, several
from utils.heads import head_name, top_heads
from utils.plots import COLOURS, DASHES, styled, table
from utils.views import Html, Live, widgets


@guarded(pattern=(axes(3), filled, finite), tokens=several, names=several)
def attention_heads(
    pattern: Float[Tensor, "head q k"], tokens: Sequence[str], *, names: Sequence[str]
) -> Html:
    """CircuitsVis's view of attention patterns; click a head, then point at a token.

    Drawn without a network: the library's script travels inside the output, compressed (0.5 MB).
    CircuitsVis itself would ask the network on every display. This view of it draws tokens on a
    canvas, so they are not escaped; views that put them into the page would lose `<bos>`.
    Where no scripts run it is a table of where each head looks most.

    Raises:
        ValueError: the numbers of heads, tokens and names do not fit together.
    """
    n_heads, n_queries, n_keys = pattern.shape
    if len(names) != n_heads or not len(tokens) == n_queries == n_keys:
        raise ValueError(
            f"A pattern of shape {tuple(pattern.shape)} needs {n_heads} names and {n_queries} "
            f"tokens; here are {len(names)} and {len(tokens)}."
        )
    looks = [
        [f"{tokens[k]} {row[k]:.2f}" for row in head for k in [row.argmax()]] for head in pattern
    ]
    most = table(
        [[token, *cells] for token, *cells in zip(tokens, *looks, strict=True)],
        columns=["query", *(f"{name} looks most at" for name in names)],
    )
    properties = {
        "attention": [[[round(a, 4) for a in row] for row in head] for head in pattern.tolist()],
        "tokens": [token.replace(" ", "\u00a0") for token in tokens],
        "attentionHeadNames": list(names),
    }
    # A `<` could end the script early, or begin a comment, wherever it stands in a token.
    data = json.dumps(properties).replace("<", "\\u003c")
    name = f"circuits-vis-{uuid4().hex[:12]}"
    code = f"""{ATTENTION_STYLE}<div id="{name}" class="htf-attention" role="figure"
 aria-label="Attention patterns of {html.escape(", ".join(names))}">{most.code}</div>
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
    return Html(code, f"[attention patterns of {', '.join(names)} over {n_keys} tokens]")


# CircuitsVis alone: white names on bright green, thumbnails of a twelfth of the width, no ground,
# and as tall as it is wide. Its `h2` says what an `h3` says, on top of the pattern.
ATTENTION_STYLE = """<style>
.htf-attention {max-width: 540px; background: white; color: #1a1a1a; padding: 4px}
.htf-attention h2 {display: none}
.htf-attention h3 {color: #1a1a1a; font-size: 15px; margin: 4px 0 8px}
.htf-attention h4 {background: white !important; color: #1a1a1a !important; font-size: 13px}
.htf-attention > div > h3:first-child + div > div
 {width: 110px !important; max-width: 110px !important; flex-basis: 110px !important}
</style>"""


@functools.cache
def _script() -> str:
    """CircuitsVis's script, gzipped, in base64."""
    import circuitsvis

    script = Path(circuitsvis.__file__).parent / "dist" / "cdn" / "iife.js"
    return base64.b64encode(gzip.compress(script.read_bytes(), mtime=0)).decode()


@guarded(n_layers=count(), n_heads=count(), edges=filled)
def circuit_graph(
    edges: Mapping[str, Sequence[tuple[str, str]]], *, n_layers: int, n_heads: int, title: str
) -> go.Figure:
    """A circuit of heads: the embedding at the bottom, a row a layer, the logits on top.

    Args:
        edges: from what to call them, such as "found", to pairs (writer, reader), as in
            `("embed", "L0H0.q")` or `("L2H0", "logits")`; each gets a colour and a dash.
            Queries end at the left of a head, keys in the middle, values at the right. A head
            without an edge is grey.

    Raises:
        ValueError: an edge is none between heads of that many layers.
    """
    places = {"embed": ((n_heads - 1) / 2, 0), "logits": ((n_heads - 1) / 2, n_layers + 1)}
    places |= {f"L{i}H{j}": (j, i + 1) for i in range(n_layers) for j in range(n_heads)}
    shift = {"q": -0.11, "k": 0, "v": 0.11, "": 0}
    for writer, reader in [edge for pairs in edges.values() for edge in pairs]:
        head, _, letter = reader.partition(".")
        to_head = head[:1] == "L" and letter in ("q", "k", "v")
        if writer not in places or head not in places or not (to_head or reader == "logits"):
            raise ValueError(
                f"{(writer, reader)!r} is no edge between {n_layers} layers of {n_heads} heads: "
                'give pairs such as ("embed", "L0H0.q") or ("L0H0", "logits").'
            )
    used = {end.partition(".")[0] for pairs in edges.values() for edge in pairs for end in edge}
    edge = ["#444" if name in used else "#bbb" for name in places]
    ink = ["#444" if name in used else "#707070" for name in places]  # names can still be read
    fig, lettered = go.Figure(), set()
    for i, (name, pairs) in enumerate(edges.items()):
        xs, ys, letters = [], [], {"x": [], "y": [], "text": []}
        for writer, reader in pairs:
            head, _, letter = reader.partition(".")
            (x0, y0), (x1, y1) = places[writer], places[head]
            x0, x1 = x0 + shift[letter], x1 + shift[letter]  # two edges of one pair lie apart
            twins = [read for wrote, read in pairs if (wrote, read[:-1]) == (writer, reader[:-1])]
            bend = {"q": 0.18, "v": -0.18}.get(letter, 0) if len(twins) > 1 else 0
            xs += [x0, (x0 + x1) / 2, x1, None]
            ys += [y0 + 0.2, (y0 + y1) / 2 + bend, y1 - 0.2, None]
            if letter and reader not in lettered:
                lettered.add(reader)
                letters["x"].append(x1)
                letters["y"].append(y1 - 0.31)
                letters["text"].append(letter)
        style = {"color": COLOURS[i % 7], "dash": DASHES[i % 7], "width": 3 if i == 0 else 2}
        style["shape"] = "spline"
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
                "line": {"color": edge, "width": 1.5},
            },
            textfont={"size": 11, "color": ink},
            hoverinfo="text",
            showlegend=False,
        )
    )
    fig = styled(fig, title, height=160 + 110 * (n_layers + 1))
    fig.update_layout(legend={"orientation": "h", "y": -0.05})
    fig.update_xaxes(visible=False)
    fig.update_yaxes(visible=False)
    return fig


@guarded(shares=filled, sizes=filled)
def faithfulness_curves(
    shares: Mapping[str, Float[Tensor, "size batch"]], *, sizes: Sequence[int], title: str
) -> go.Figure:
    """Faithfulness against the number of edges that are kept, with 95% intervals over prompts.

    Args:
        shares: from a method's name, which stands at the end of its line, to what
            `utils.circuits.discovery.faithfulness` returns.
        sizes: how many edges, one for each row.

    Raises:
        ValueError: the numbers of sizes and rows do not fit together.
    """
    fig = styled(go.Figure(), title, x="edges kept", y="faithfulness", height=380)
    for i, (name, rows) in enumerate(shares.items()):
        if rows.ndim != 2 or len(rows) != len(sizes):
            raise ValueError(
                f"{name} has shape {tuple(rows.shape)}: give [size, batch] of {len(sizes)} sizes."
            )
        mean, error = rows.mean(1).tolist(), (1.96 * rows.std(1) / rows.shape[1] ** 0.5).tolist()
        fig.add_scatter(
            x=list(sizes),
            y=mean,
            error_y={"array": error, "thickness": 1.5, "width": 4},
            mode="lines+markers+text",
            text=[""] * (len(sizes) - 1) + [f"  {name}"],
            textposition="bottom right" if i % 2 else "top right",
            textfont={"color": COLOURS[i % 7]},
            cliponaxis=False,
            line={"color": COLOURS[i % 7], "dash": DASHES[i % 7], "width": 2.5},
            name=name,
            showlegend=False,
        )
    ticks = {"tickvals": list(sizes), "ticktext": [f"{size:,}" for size in sizes]}
    fig.update_xaxes(type="log", **ticks).update_yaxes(range=[-0.1, 1.05])
    return fig.update_layout(margin={"r": 150})


@guarded(boxes=filled)
def diagram(
    boxes: Mapping[str, tuple[float, float]],
    arrows: Sequence[tuple[str, str] | tuple[str, str, str]],
    *,
    title: str,
    marked: Collection[str] = (),
    notes: Mapping[str, tuple[float, float]] | None = None,
) -> go.Figure:
    """A mechanism as boxes and arrows, such as who moves what where.

    Args:
        boxes: from what stands in a box, in which `<br>` starts a new line, to its centre. Upwards
            one unit is a box of three lines and an arrow; to the side it is what you make of it.
        arrows: (from, to), or (from, to, what is carried), which is written beside the arrow.
        marked: boxes to draw in orange, such as the part that is asked for.
        notes: text without a box, at its centre.

    Raises:
        ValueError: an arrow or a mark is at no box, or an arrow is none between two.
    """
    ends = [end for arrow in arrows for end in arrow[:2]]
    if odd := [name for name in [*ends, *marked] if name not in boxes]:
        raise ValueError(f"{odd[0]!r} is no box: they are {', '.join(map(repr, boxes))}.")
    if any(len(arrow) not in (2, 3) or arrow[0] == arrow[1] for arrow in arrows):
        raise ValueError("Give arrows as (from, to) or (from, to, label), between two boxes.")
    placed = {**boxes, **(notes or {})}
    lines = {name: name.split("<br>") for name in boxes}
    letters = {name: max(map(len, text)) for name, text in lines.items()}
    span = 4.0
    for _ in range(4):  # the more there is from left to right, the wider a letter is in units
        half = {n: ((8 + 3.3 * letters[n]) * span / 640, 0.1 + 0.1 * len(lines[n])) for n in boxes}
        left, right = (
            pick(x + sign * half.get(n, (0, 0))[0] for n, (x, _) in placed.items())
            for pick, sign in ((min, -1), (max, 1))
        )
        span = right - left
    height = [y for _, y in placed.values()]
    fig = styled(go.Figure(), title, height=int(130 + 105 * (max(height) - min(height) + 1)))
    fig.update_layout(margin={"l": 10, "r": 10, "b": 10})
    fig.update_xaxes(visible=False, range=[left - 0.02 * span, right + 0.02 * span])
    fig.update_yaxes(visible=False, range=[min(height) - 0.6, max(height) + 0.6])
    for start, end, *label in arrows:
        (x0, y0), (x1, y1) = _edge(boxes, half, start, end), _edge(boxes, half, end, start)
        place = {"x": x1, "y": y1, "ax": x0, "ay": y0, "axref": "x", "ayref": "y", "text": ""}
        head = {"arrowhead": 2, "arrowwidth": 2, "arrowcolor": COLOURS[0], "showarrow": True}
        fig.add_annotation(**place, **head)
        if label:
            middle = {"x": (x0 + x1) / 2, "y": (y0 + y1) / 2, "bgcolor": "white", "borderpad": 1}
            font = {"color": COLOURS[0], "size": 12}
            fig.add_annotation(**middle, text=label[0], font=font, showarrow=False)
    for name, (x, y) in boxes.items():
        (w, h), line = half[name], COLOURS[1] if name in marked else "#444"
        fill = "#FDEEE3" if name in marked else "white"
        edge = {"x0": x - w, "x1": x + w, "y0": y - h, "y1": y + h, "line": {"color": line}}
        fig.add_shape(type="rect", fillcolor=fill, **edge)
    for name, (x, y) in placed.items():
        fig.add_annotation(x=x, y=y, text=name, font={"size": 12}, showarrow=False)
    return fig


def _edge(boxes, half, start: str, end: str) -> tuple[float, float]:
    """Where the line from the middle of `start` to that of `end` leaves the box of `start`."""
    (x0, y0), (x1, y1), (w, h) = boxes[start], boxes[end], half[start]
    dx, dy = x1 - x0, y1 - y0
    far = min(w / abs(dx) if dx else 1, h / abs(dy) if dy else 1)
    return x0 + far * dx, y0 + far * dy


def named_heads(scores: Float[Tensor, "layer head"], n: int) -> list[list[str]]:
    """The text for a heatmap of heads in which the `n` highest scores carry the head's name."""
    text = [[""] * scores.shape[1] for _ in scores]
    for layer, head in top_heads(scores, n):
        text[layer][head] = head_name((layer, head))
    return text


@guarded(panels=filled)
def waterfalls(
    panels: Mapping[str, Mapping[str, Float[Tensor, " batch"]]],
    *,
    title: str,
    y: str,
    total: str = "measured",
) -> go.Figure:
    """What an effect is made of, step by step from 0 to its `total`, in panels side by side.

    Each step is a mean over prompts, with two standard errors beside it.

    Args:
        panels: from what stands over a panel to its steps, which sum to the total in each prompt.
        total: what the sum is called.

    Raises:
        ValueError: a panel has no steps, one that is called as the total, or a single prompt.
    """
    if odd := [name for name, steps in panels.items() if not steps or total in steps]:
        raise ValueError(f"{odd[0]!r} needs steps, none of them called {total!r}.")
    if any(len(step) < 2 for steps in panels.values() for step in steps.values()):
        raise ValueError("A mean of one prompt has no error: give two prompts at least.")
    fig = make_subplots(
        1, len(panels), subplot_titles=list(panels), shared_yaxes=True, horizontal_spacing=0.03
    )
    heights = []
    for column, steps in enumerate(panels.values(), 1):
        each = torch.stack([*steps.values(), sum(steps.values())]).detach().cpu()
        means, errors = each.mean(1).tolist(), (2 * each.std(1) / each.shape[1] ** 0.5).tolist()
        heights += list(accumulate(means[:-1]))
        fig.add_waterfall(
            x=[name.replace(" ", "<br>") for name in [*steps, total]],
            y=means,
            measure=["relative"] * len(steps) + ["total"],
            text=[f"{mean:+.2f}<br>± {e:.2f}" for mean, e in zip(means, errors, strict=True)],
            textposition="outside",
            cliponaxis=False,
            increasing={"marker": {"color": COLOURS[0]}},
            decreasing={"marker": {"color": COLOURS[1]}},
            totals={"marker": {"color": "#444"}},
            connector={"line": {"color": "#888", "width": 1}},
            showlegend=False,
            row=1,
            col=column,
        )
    room = 0.25 * (max(0, *heights) - min(0, *heights))  # for what is written above and below
    ends = [min(0, *heights) - room, max(0, *heights) + room]
    fig = styled(fig, title, height=400)
    fig.update_yaxes(range=ends, showgrid=False).update_yaxes(title_text=y, col=1)
    fig.update_xaxes(tickangle=0, showgrid=False, tickfont={"size": 10 if len(panels) > 2 else 12})
    return fig.update_layout(margin={"t": 90, "b": 70})


@guarded(prompt=filled, k=count())
def next_token_bars(model, prompt: str, *, k: int = 8) -> go.Figure:
    """A bar for each of the `k` most probable next tokens after `prompt`, with BOS in front."""
    with torch.no_grad():
        top = model(model.to_tokens(prompt))[0, -1].softmax(-1).topk(k)
    words = [
        html.escape(repr(model.tokenizer.decode([i])), quote=False) for i in top.indices.tolist()
    ]
    values = [float(value) for value in top.values]
    marker = {"color": COLOURS[0]}
    texts = [f"{value:.2f}" for value in values]
    fig = go.Figure().add_bar(
        x=values, y=list(range(k)), orientation="h", text=texts, marker=marker, textposition="auto"
    )
    end = prompt
    if len(prompt) > 60:  # from a word's beginning, where there is one
        end = f"... {prompt[-56:].partition(' ')[2] or prompt[-56:]}"
    title = f"What comes after {html.escape(repr(end), quote=False)}?"
    fig = styled(fig, title, x="probability", height=130 + 30 * k)
    fig.update_xaxes(range=[0, min(1, 1.15 * max(values))])
    ticks = {"tickvals": list(range(k)), "ticktext": words}
    return fig.update_yaxes(autorange="reversed", showgrid=False, **ticks)


@guarded(layer=layer_of(end=False))
def patch_by_hand(model, clean: str, corrupted: str, *, layer: int, pos: int):
    """What the model says next: to two prompts, and to the second with one vector from the first.

    That vector is the residual stream before `layer` at position `pos`; in a notebook there are
    sliders for both. Elsewhere, or without ipywidgets, it is the view at the start.

    Raises:
        ValueError: the prompts are not equally many tokens, or there is no such position.
    """
    runs = [model.to_tokens(text) for text in (clean, corrupted)]
    check_runs(model, runs[1], runs[0])
    words = model.to_str_tokens(runs[1][0])
    if not 0 <= pos < len(words):
        raise ValueError(f"`pos` is {pos}: these prompts have positions 0 to {len(words) - 1}.")
    names = [f"blocks.{i}.hook_resid_pre" for i in range(model.cfg.n_layers)]
    with torch.no_grad():
        said, cache = model.run_with_cache(runs[0], names_filter=names)
        unpatched = {"clean": said, "corrupted": model(runs[1])}

    def likely(logits: Tensor) -> list[str]:
        top = logits[0, -1].softmax(-1).topk(3)
        pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
        return [f"{model.to_string([token])!r} {share:.2f}" for token, share in pairs]

    def draw(layer: int, pos: int) -> Html:
        def put(own: Tensor, hook) -> Tensor:
            own = own.clone()
            own[:, pos] = cache[names[layer]][:, pos]
            return own

        with torch.no_grad():
            patched = model.run_with_hooks(runs[1], fwd_hooks=[(names[layer], put)])
        where = f"corrupted, with {words[pos]!r} (position {pos}) before block {layer} from clean"
        rows = [(name, *likely(logits)) for name, logits in {**unpatched, where: patched}.items()]
        return table(rows, columns=["run", "most likely next", "second", "third"])

    start = draw(layer, pos)
    ipywidgets = widgets()
    if ipywidgets is None:
        return start
    wide = {
        "layout": ipywidgets.Layout(width="100%", max_width="520px"),
        "continuous_update": False,
    }
    layers = ipywidgets.IntSlider(
        value=layer, min=0, max=model.cfg.n_layers - 1, description="layer", **wide
    )
    places = [(f"{i}: {word}", i) for i, word in enumerate(words)]
    positions = ipywidgets.SelectionSlider(
        options=places, value=pos, description="position", **wide
    )
    out = ipywidgets.HTML(start.code)

    def redraw(_) -> None:
        out.value = draw(layers.value, positions.value).code

    for control in (layers, positions):
        control.observe(redraw, names="value")
    return Live(start, ipywidgets.VBox([layers, positions, out]))


@guarded(steps=filled, panels=filled, tokens=several)
def training_slider(
    panels: Mapping[str, Float[Tensor, "step q k"]],
    *,
    steps: Sequence[int],
    tokens: Sequence[str],
    title: str,
) -> go.Figure:
    """Attention patterns side by side, with a slider over the steps of a training.

    It opens at the first step. No kernel is needed to move the slider.

    Args:
        panels: from a head's name to its patterns, one for each step.
        steps: what the slider counts.
        tokens: what stands at each position.

    Raises:
        ValueError: the numbers of steps, tokens and patterns do not fit together.
    """
    wanted = (len(steps), len(tokens), len(tokens))
    for name, pattern in panels.items():
        if tuple(pattern.shape) != wanted:
            raise ValueError(f"{name} has shape {tuple(pattern.shape)}: give {wanted}.")
    fig = make_subplots(1, len(panels), subplot_titles=list(panels), horizontal_spacing=0.04)
    places = list(range(len(tokens)))

    def drawn(step: int) -> list[go.Heatmap]:
        return [
            go.Heatmap(
                z=[[round(a, 2) for a in row] for row in pattern[step].tolist()],
                zmin=0,
                zmax=1,
                colorscale="Cividis",
                colorbar={"title": "attention"},
                showscale=column == len(panels) - 1,
                hovertemplate="from position %{y} to %{x}: %{z:.2f}<extra></extra>",
            )
            for column, pattern in enumerate(panels.values())
        ]

    for column, trace in enumerate(drawn(0), 1):
        fig.add_trace(trace, row=1, col=column)
    fig.frames = [go.Frame(data=drawn(i), name=str(step)) for i, step in enumerate(steps)]
    at_once = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}}
    moves = [
        {"label": str(step), "method": "animate", "args": [[str(step)], at_once]} for step in steps
    ]
    fig = styled(fig, title, height=460)
    fig.update_layout(
        sliders=[{"active": 0, "steps": moves, "currentvalue": {"prefix": "training step "}}],
        margin={"t": 90},
    )
    ticks = {"tickvals": places, "ticktext": list(tokens), "tickfont": {"size": 9}}
    fig.update_xaxes(**ticks, showgrid=False, tickangle=0)
    fig.update_yaxes(**ticks, showgrid=False, autorange="reversed")
    return fig


def residual_stream() -> go.Figure:
    """The diagram of the first block: two components read the stream, and add to it."""
    embedding, middle, end = (
        "embedding,<br>before block 0",
        "middle of<br>block 0",
        "before<br>block 1",
    )
    first, second = "attention 0", "MLP 0"
    boxes = {"tokens": (0, 0), embedding: (1.3, 0), middle: (3.3, 0), end: (5.2, 0)}
    boxes |= {"blocks<br>1 to 29": (6.6, 0), "logits": (7.8, 0)}
    arrows = [(embedding, first, "read"), (first, middle, "add")]
    arrows += [(middle, second, "read"), (second, end, "add")]
    return diagram(
        boxes | {first: (2.3, 1), second: (4.25, 1)},
        [*zip(list(boxes)[:-1], list(boxes)[1:], strict=True), *arrows],
        title="The residual stream: components read it and add to it",
    )


def one_vector_patch() -> go.Figure:
    """The diagram of a patch: one vector of a clean run goes into a corrupted one."""
    clean, corrupted = (
        "clean run:<br>The Eiffel Tower ... of",
        "corrupted run:<br>The Colosseum ... of",
    )
    given, changed = "stream before block L", "stream  before block L"
    boxes = {clean: (0, 1), given: (2, 1), "' Paris'": (4, 1), corrupted: (0, 0), changed: (2, 0)}
    return diagram(
        boxes | {"' Rome'": (4, 0.3), "or ' Paris'?": (4, -0.3)},
        [
            (clean, given),
            (given, "' Paris'"),
            (corrupted, changed),
            (changed, "' Rome'"),
            (changed, "or ' Paris'?"),
            (given, changed, "one vector, at one position"),
        ],
        title="Which vector carries the city?",
        marked=[changed],
    )
