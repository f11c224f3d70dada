"""Small networks that add modulo p: how they come to generalise, and by which waves they add.

A number is a token. A network reads two numbers a and b, and has a logit for each answer c; the
right one is (a + b) mod p. A frequency k, from 1 to (p - 1) / 2, stands for the waves
cos(2 pi k x / p) and sin(2 pi k x / p).
"""

import copy
import json
import math
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from plotly.subplots import make_subplots
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from utils.guards import axes, count, filled, finite, guarded, number
from utils.plots import COLOURS, styled

# ---- The network and its task -------------------------------------------------------------------


class Adder(nn.Module):
    """One block, with attention and an MLP, without norms: reads two numbers, adds them modulo p.

    Attributes:
        attention: the switch. At 1 the second number attends to both, as usual; at 0 both have
            the weight 1, whatever they are; between, the weights are mixed.

    Source: Zhong et al. (arXiv 2306.17844), whose networks have width 128.
    """

    def __init__(
        self,
        p: int,
        *,
        attention: float = 1.0,
        d_model: int = 64,
        n_heads: int = 4,
        d_mlp: int = 256,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.p, self.attention, self.n_heads = p, attention, n_heads

        def weights(rows: int, columns: int, fan: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(rows, columns, generator=generator) * fan**-0.5)

        self.W_E, self.W_pos = weights(p, d_model, d_model), weights(2, d_model, d_model)
        self.W_Q, self.W_K, self.W_V, self.W_O = (
            weights(d_model, d_model, d_model) for _ in range(4)
        )
        # The scales are the published ones: of the MLP's matrices the first is small.
        self.W_in, self.b_in = weights(d_model, d_mlp, d_mlp), nn.Parameter(torch.zeros(d_mlp))
        self.W_out = weights(d_mlp, d_model, d_model)
        self.b_out, self.W_U = nn.Parameter(torch.zeros(d_model)), weights(d_model, p, p)

    def embed(self, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair 2 d_model"]:
        """The embeddings of the two numbers, before positions are added."""
        return self.W_E[pairs]

    def from_embeddings(self, x: Float[Tensor, "pair 2 d_model"]) -> Float[Tensor, "pair p"]:
        """The logits of the answers, from what `embed` gave."""
        x = x + self.W_pos
        heads = (len(x), 2, self.n_heads, -1)
        v = (x @ self.W_V).reshape(heads)
        if self.attention > 0:
            q, k = (x[:, 1] @ self.W_Q).reshape(len(x), self.n_heads, -1), x @ self.W_K
            scores = torch.einsum("phd,pkhd->pkh", q, k.reshape(heads)) * q.shape[-1] ** -0.5
            v = v * (self.attention * scores.softmax(1) + 1 - self.attention)[..., None]
        x = x[:, 1] + v.sum(1).flatten(1) @ self.W_O
        return (x + F.relu(x @ self.W_in + self.b_in) @ self.W_out + self.b_out) @ self.W_U

    def forward(self, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair p"]:
        return self.from_embeddings(self.embed(pairs))


@guarded(p=count(low=3))
def all_pairs(p: int) -> Int[Tensor, "pair 2"]:
    """Every pair of numbers: (0, 0), (0, 1), ... (p - 1, p - 1)."""
    return torch.cartesian_prod(torch.arange(p), torch.arange(p))


@guarded(p=count(low=3), share=number(low=0, high=1))
def split_pairs(
    p: int, share: float, *, generator: torch.Generator
) -> tuple[Int[Tensor, "train 2"], Int[Tensor, "held_out 2"]]:
    """All pairs of numbers in a random order, cut in two: to train on, and held out."""
    pairs = all_pairs(p)
    pairs = pairs[torch.randperm(len(pairs), generator=generator)]
    n = int(share * len(pairs))
    return pairs[:n], pairs[n:]


def sum_loss(logits: Float[Tensor, "pair p"], pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, ""]:
    """The mean cross-entropy of the right sums, in nats.

    In double precision: float32 has no loss between 0 and 1e-7, where these networks end.
    """
    return F.cross_entropy(logits.double(), pairs.sum(1) % logits.shape[1])


def accuracy(logits: Float[Tensor, "pair p"], pairs: Int[Tensor, "pair 2"]) -> float:
    """The share of pairs whose right sum has the highest logit."""
    return (logits.argmax(1) == pairs.sum(1) % logits.shape[1]).float().mean().item()


def logit_table(model: nn.Module) -> Float[Tensor, "a b c"]:
    """The logit of each answer c to each pair of a and b, without gradients."""
    with torch.no_grad():
        return model(all_pairs(model.p)).reshape(model.p, model.p, model.p)


def table_from(
    model: Adder, first: Float[Tensor, "p d_model"], second: Float[Tensor, "p d_model"]
) -> Float[Tensor, "a b c"]:
    """The same with other embeddings: those of the first number, and those of the second."""
    pairs = all_pairs(model.p)
    x = torch.stack([first[pairs[:, 0]], second[pairs[:, 1]]], dim=1)
    with torch.no_grad():
        return model.from_embeddings(x).reshape(model.p, model.p, model.p)


def save_adder(model: Adder, path: str | Path) -> None:
    """Keep a network in half precision, with its switch and its sizes in the file's header."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    how = {"p": model.p, "attention": model.attention, "n_heads": model.n_heads}
    how |= {"d_model": model.W_E.shape[1], "d_mlp": model.W_in.shape[1]}
    weights = {name: w.detach().half().contiguous() for name, w in model.state_dict().items()}
    part = path.with_name(f"{path.name}.part")
    save_file(weights, part, metadata={"adder": json.dumps(how)})
    part.chmod(0o644)  # safetensors writes 0600
    part.replace(path)


def load_adder(path: str | Path) -> Adder:
    """A network that `save_adder` kept, in float32.

    Raises:
        ValueError: there is no such file, or it holds something else.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            how = json.loads(file.metadata()["adder"])
            model = Adder(how.pop("p"), **how)
            model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except Exception as error:
        why = str(error).splitlines()[0]
        raise ValueError(f"{path} is no file of `save_adder` ({why}): fetch it again.") from None
    return model.float().eval()


# ---- Training -----------------------------------------------------------------------------------


@guarded(train=filled, held_out=filled, steps=count(), lr=number(low=0, over=True), every=count())
def train_adder(
    model: nn.Module,
    train: Int[Tensor, "train 2"],
    held_out: Int[Tensor, "held_out 2"],
    *,
    steps: int,
    lr: float,
    weight_decay: float,
    every: int,
) -> tuple[nn.Module, dict[str, list[float]]]:
    """Train a copy of a network, and write down how it does. The network itself stays as it was.

    So many steps of AdamW with betas 0.9 and 0.98, each on the `sum_loss` of all of `train`.

    Returns:
        The trained copy, and columns over what was measured after 0, every, 2 * every, ...
        steps, up to `steps`: `step`; the `accuracy` on both sets of pairs, `train` and
        `held_out`; the `sum_loss` on both, `train_loss` and `held_out_loss`.

    Source: Nanda et al. (arXiv 2301.05217).
    """
    model = copy.deepcopy(model)
    weights = model.parameters()
    optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=weight_decay, betas=(0.9, 0.98))
    log = {"step": [], "train": [], "held_out": [], "train_loss": [], "held_out_loss": []}
    for step in range(steps + 1):
        if step % every == 0:
            log["step"].append(step)
            with torch.no_grad():
                for name, pairs in (("train", train), ("held_out", held_out)):
                    logits = model(pairs)
                    log[name].append(accuracy(logits, pairs))
                    log[f"{name}_loss"].append(sum_loss(logits, pairs).item())
        if step < steps:
            optimizer.zero_grad()
            sum_loss(model(train), train).backward()
            optimizer.step()
    return model, log


# ---- Waves --------------------------------------------------------------------------------------


@guarded(vectors=(axes(2), finite))
def fourier_power(vectors: Float[Tensor, "p d_model"]) -> Float[Tensor, " frequency"]:
    """How much of the numbers' vectors is waves of each frequency k = 1, 2, ... (p - 1) / 2.

    Each coordinate, as a function of the number x, is a constant and a sum of the waves
    cos(2 pi k x / p) and sin(2 pi k x / p). The power of a frequency is the sum over coordinates
    of the squares of the parts along its two waves, each wave scaled to length 1. The constant
    does not count.

    Returns:
        Shares, which add up to 1. p is odd.
    """
    p = len(vectors)
    x = torch.arange(p)
    power = []
    for k in range(1, (p - 1) // 2 + 1):
        turn = 2 * torch.pi * k * x / p
        waves = torch.stack([turn.cos(), turn.sin()]).to(vectors)
        waves = waves / waves.norm(dim=1, keepdim=True)
        power.append((waves @ vectors).square().sum())
    power = torch.stack(power)
    return power / power.sum()


@guarded(logits=(axes(3), finite), frequencies=filled)
def sum_waves(
    logits: Float[Tensor, "a b c"], frequencies: Sequence[int], *, at: Bool[Tensor, "a b"]
) -> Float[Tensor, "a b c"]:
    """The part of the logits that is waves of the sum a + b, of some frequencies.

    For each answer c, the logits at the pairs in `at` are fitted by least squares with a constant
    and, for each frequency k, cos(2 pi k (a + b) / p) and sin(2 pi k (a + b) / p).

    Returns:
        What the fitted waves give for all pairs, without the constant.

    Source: Nanda et al. (arXiv 2301.05217), who fit at all pairs.
    """
    p = len(logits)
    total = torch.arange(p)[:, None] + torch.arange(p)
    turns = [2 * torch.pi * k * total / p for k in frequencies]
    waves = torch.stack([wave for turn in turns for wave in (turn.cos(), turn.sin())], dim=-1)
    waves = waves.to(logits)
    design = torch.cat([torch.ones_like(waves[..., :1]), waves], dim=-1)
    fitted = torch.linalg.lstsq(design[at], logits[at]).solution
    return waves @ fitted[1:]


@guarded(vectors=(axes(2), finite))
def without_waves(
    vectors: Float[Tensor, "p d_model"], frequencies: Sequence[int]
) -> Float[Tensor, "p d_model"]:
    """The numbers' vectors without the waves of some frequencies."""
    p = len(vectors)
    for k in frequencies:
        turn = 2 * torch.pi * k * torch.arange(p) / p
        waves = torch.stack([turn.cos(), turn.sin()]).to(vectors) * math.sqrt(2 / p)
        vectors = vectors - waves.T @ (waves @ vectors)
    return vectors


# ---- Two ways to add ----------------------------------------------------------------------------


@guarded(triples=(axes(2), filled))
def gradient_symmetricity(
    model: nn.Module, triples: Int[Tensor, "triple 3"]
) -> Float[Tensor, " triple"]:
    """How alike an answer's logit depends on the two numbers: 1 where it sees their sum alone.

    For each (a, b, c), the cosine between two gradients of the logit of c, where the numbers are a
    and b: the one with respect to a's embedding, and the one with respect to b's. `model.embed`
    gives the embeddings of pairs, and `model.from_embeddings` the logits from them.

    Source: Zhong et al. (arXiv 2306.17844), who take the mean over 100 random triples.
    """
    x = model.embed(triples[:, :2]).detach().requires_grad_()
    with torch.enable_grad():
        logits = model.from_embeddings(x)
        chosen = logits[torch.arange(len(triples)), triples[:, 2]].sum()
    (slope,) = torch.autograd.grad(chosen, x)
    return F.cosine_similarity(slope[:, 0], slope[:, 1], dim=-1)


@guarded(logits=(axes(3), finite))
def distance_irrelevance(logits: Float[Tensor, "a b c"]) -> float:
    """How little the logit of the right answer depends on the distance (a - b) mod p.

    Take the right answer's logit of every pair. The standard deviation over the p pairs of one
    distance, averaged over the distances, is divided by the standard deviation over all pairs.
    Near 0: the distance decides. Near 1: it does not matter.

    Source: Zhong et al. (arXiv 2306.17844). Standard deviations divide by n, and not n - 1.
    """
    p = len(logits)
    a, b = torch.arange(p)[:, None], torch.arange(p)
    right = logits.gather(2, ((a + b) % p)[..., None])[..., 0]
    distance = (a - b) % p
    within = [right[distance == d].std(correction=0) for d in range(p)]
    return (torch.stack(within).mean() / right.std(correction=0)).item()


# ---- Figures ------------------------------------------------------------------------------------


def state_of(
    model: Adder, train: Int[Tensor, "train 2"], *, frequency: int, title: str
) -> go.Figure:
    """Which pairs a network adds rightly, and its numbers in the plane of one frequency's waves.

    A number's place in the plane has two coordinates: its embedding along the two directions in
    which the embeddings of all numbers follow the cosine and the sine. Colours follow the angle.
    """
    p = model.p
    grid = torch.arange(p)
    right = logit_table(model).argmax(-1) == (grid[:, None] + grid) % p
    kinds = 2 * right.float()
    kinds[train[:, 0], train[:, 1]] = right[train[:, 0], train[:, 1]].float()
    vectors = model.W_E.detach()
    turn = 2 * torch.pi * frequency * grid / p
    directions = torch.stack([turn.cos(), turn.sin()]) @ (vectors - vectors.mean(0))
    spots = vectors @ torch.linalg.qr(directions.T).Q
    shown = ["which sums are right?", f"the numbers, frequency {frequency}"]
    fig = make_subplots(1, 2, subplot_titles=shown, horizontal_spacing=0.24)
    steps = [(0, "#e6e6e6"), (1 / 3, "#e6e6e6"), (1 / 3, COLOURS[0]), (2 / 3, COLOURS[0])]
    steps += [(2 / 3, COLOURS[1]), (1, COLOURS[1])]
    bar = {"tickvals": [1 / 3, 1, 5 / 3], "ticktext": ["wrong", "right, trained", "right, new"]}
    bar |= {"x": 0.39, "thickness": 10}
    look = {"zmin": 0, "zmax": 2, "colorscale": steps, "colorbar": bar}
    fig.add_heatmap(z=kinds.tolist(), row=1, col=1, **look)
    turns = (frequency * grid) % p
    marker = {"size": 8, "color": turns.tolist(), "colorscale": "HSV"}
    where = {"x": spots[:, 0].tolist(), "y": spots[:, 1].tolist(), "row": 1, "col": 2}
    fig.add_scatter(
        **where,
        mode="markers+text",
        text=[str(n) if n % 5 == 0 else "" for n in range(p)],
        marker=marker,
        textposition="top center",
        textfont={"size": 11},
        cliponaxis=False,
    )
    fig = styled(fig, title, height=400).update_layout(showlegend=False)
    fig.update_xaxes(title_text="b", row=1, col=1).update_yaxes(title_text="a", row=1, col=1)
    return fig.update_xaxes(showticklabels=False, col=2).update_yaxes(showticklabels=False, col=2)
