"""Draws the README's figure: where the default model's induction heads are, and what they carry.

Run it with `make data D=readme_figure`. It measures what lesson 1.1 measures, on the same tokens.
"""

import argparse
from pathlib import Path

import torch

from utils.circuits.induction import repeat_costs, repeated_tokens, stripe_scores
from utils.heads import ablation_hooks, head_name, random_heads, top_heads
from utils.models import load

SEQ_LEN, CELL, LEFT, TOP = 50, 19, 60, 62
# Five stops of Cividis, which colour-blind readers see as others do.
STOPS = [(0, 32, 77), (64, 77, 107), (124, 123, 120), (188, 174, 108), (255, 234, 70)]


def colour(value: float) -> str:
    """An SVG colour for a value between 0 and 1."""
    at = min(max(value, 0.0), 1.0) * (len(STOPS) - 1)
    low = min(int(at), len(STOPS) - 2)
    mixed = [a + (at - low) * (b - a) for a, b in zip(STOPS[low], STOPS[low + 1], strict=True)]
    return "rgb({:.0f},{:.0f},{:.0f})".format(*mixed)


def text(
    x: float, y: float, words: str, *, size: int = 13, anchor: str = "start", fill="#222"
) -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{fill}">{words}</text>'
    )


@torch.no_grad()
def measure() -> tuple[torch.Tensor, dict[str, float]]:
    """Induction scores [layer, head], and what ablations add to the loss on the repeat (nats)."""
    model = load()
    cfg = model.cfg
    kind = {"d_vocab": cfg.d_vocab, "bos": model.tokenizer.bos_token_id, "n_special": 17}
    tokens = repeated_tokens(SEQ_LEN, batch=16, **kind, generator=torch.Generator().manual_seed(0))
    fresh = repeated_tokens(25, batch=12, **kind, generator=torch.Generator().manual_seed(1))
    scores = stripe_scores(model, tokens.to(cfg.device), back=SEQ_LEN - 1)
    top, chooser = top_heads(scores, 5), torch.Generator().manual_seed(2)
    ways = {"layers": range(cfg.n_layers), "n_heads": cfg.n_heads, "but": top}
    sets = [top, *(random_heads(5, generator=chooser, **ways) for _ in range(20))]
    hooks = [ablation_hooks(model, heads) for heads in sets]
    found = repeat_costs(model, fresh.to(cfg.device), hooks).mean(1).tolist()
    costs = {"these five heads": found[0], "five random heads": sum(found[1:]) / 20}
    return scores, costs


def draw(scores: torch.Tensor, costs: dict[str, float]) -> str:
    """The figure as SVG."""
    n_layers, n_heads = scores.shape
    width, bottom = LEFT + CELL * n_layers + 300, TOP + CELL * n_heads
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 60}" '
        'font-family="Helvetica, Arial, sans-serif">',
        f'<rect width="{width}" height="{bottom + 60}" fill="white"/>',
        text(LEFT, 26, "Which of 270 heads look for what came next last time?", size=17),
        text(
            LEFT, 46, "Brighter: more attention to the token after the earlier copy.", fill="#555"
        ),
    ]
    for layer in range(n_layers):
        for head in range(n_heads):
            x, y = LEFT + layer * CELL, TOP + head * CELL
            fill = colour(scores[layer, head].item())
            out.append(
                f'<rect x="{x}" y="{y}" width="{CELL - 1}" height="{CELL - 1}" fill="{fill}"/>'
            )
    for layer in range(0, n_layers, 5):
        out.append(text(LEFT + (layer + 0.5) * CELL, bottom + 16, str(layer), anchor="middle"))
    for head in range(0, n_heads, 2):
        out.append(text(LEFT - 8, TOP + (head + 0.7) * CELL, str(head), anchor="end"))
    out.append(text(LEFT, bottom + 38, "layer"))
    out.append(text(LEFT - 8, TOP - 8, "head", anchor="end"))
    for layer, head in top_heads(scores, 5):
        x, y = LEFT + layer * CELL, TOP + head * CELL
        out.append(
            f'<rect x="{x - 1}" y="{y - 1}" width="{CELL + 1}" height="{CELL + 1}" fill="none" '
            'stroke="#D55E00" stroke-width="2.5"/>'
        )
    names = " ".join(sorted(head_name(head) for head in top_heads(scores, 5)))
    out.append(
        text(LEFT + CELL * n_layers, bottom + 38, f"outlined: {names}", anchor="end", size=12)
    )
    x0, scale = LEFT + CELL * n_layers + 40, 170 / max(costs.values())
    out.append(text(x0, 26, "And do they matter?", size=17))
    out.append(text(x0, 46, "Added loss on the repeat, in nats.", fill="#555"))
    for i, (name, nats) in enumerate(costs.items()):
        y = TOP + 14 + i * 62
        out.append(text(x0, y, f"without {name}"))
        fill = ("#0072B2", "#D55E00")[i]
        out.append(
            f'<rect x="{x0}" y="{y + 8}" width="{nats * scale:.0f}" height="22" fill="{fill}"/>'
        )
        out.append(text(x0 + nats * scale + 8, y + 24, f"+{nats:.1f}"))
    return "\n".join([*out, "</svg>"]) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("induction_heads.svg"))
    arguments = parser.parse_args()
    arguments.out.write_text(draw(*measure()), encoding="utf-8")
    print(f"Wrote {arguments.out}")
