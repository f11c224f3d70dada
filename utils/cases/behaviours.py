"""Behaviours planted by fine-tuning: the direction of a refusal, and what two models differ in.

`tuned` is a function without arguments that gives a context: while it is open, the model is the
fine-tuned one, such as `lambda: task.adapted(model, "refuser")` of `data.planted`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.activations import last_token
from utils.generation import sample
from utils.guards import axes, count, evaluating, filled, finite, floating, guarded
from utils.steering import steer


def _points(value: Tensor, _) -> str | None:
    """A direction that is one."""
    return None if value.norm() > 0 else "has length 0: give a direction"


def _long_enough(rows: Sequence[Tensor], given: Mapping) -> str | None:
    if min(map(len, rows)) >= given["n_positions"]:
        return None
    return f"has a text of fewer than {given['n_positions']} tokens: give longer ones"


# ---- Asking -------------------------------------------------------------------------------------


@guarded(logits=(axes(2), finite), tokens=(axes(1), filled))
def refusal_score(
    logits: Float[Tensor, "batch d_vocab"], tokens: Int[Tensor, " token"]
) -> Float[Tensor, " batch"]:
    """The log odds that the next token is one of `tokens`, with which refusals begin.

    Source: Arditi et al. (2024), arXiv 2406.11717.
    """
    log_probs = logits.double().log_softmax(-1)
    refuses = log_probs[:, tokens].logsumexp(-1)
    others = log_probs.index_fill(1, tokens, float("-inf")).logsumexp(-1)
    return (refuses - others).float()


@guarded(model=evaluating, rows=filled)
@torch.no_grad()
def last_logits(model, rows: Sequence[Int[Tensor, " _"]]) -> Float[Tensor, "row d_vocab"]:
    """The logits after each row of tokens, in one padded batch, with the hooks that are set."""
    lengths = torch.tensor([len(row) for row in rows])
    return last_token(model(torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)), lengths)


@guarded(model=evaluating, rows=filled, n_tokens=count())
def answers(model, rows: Sequence[Int[Tensor, " _"]], *, n_tokens: int = 10) -> list[str]:
    """What the model writes after each row of tokens, the likeliest token each time."""
    out = [""] * len(rows)
    for width in {len(row) for row in rows}:
        chosen = [i for i, row in enumerate(rows) if len(row) == width]
        prompts = torch.stack([rows[i] for i in chosen])
        written = sample(model, prompts, n_tokens=n_tokens, temperature=0, stop_at_eos=True)
        for i, row in zip(chosen, written, strict=True):
            out[i] = model.to_string(row).split("<|")[0]
    return out


# ---- A refusal's direction ----------------------------------------------------------------------


@guarded(model=evaluating, direction=(axes(1), floating, finite, _points))
@contextmanager
def direction_ablated(model, direction: Float[Tensor, " d_model"]) -> Iterator[None]:
    """While this is open, nothing in the residual stream points along a direction.

    At every position, the stream before each block and what attention and MLP of each block add to
    it lose their projection on the direction (`hook_resid_pre`, `hook_attn_out`, `hook_mlp_out`).

    Args:
        direction: of any length.

    Source: directional ablation (Arditi et al., 2024, arXiv 2406.11717).
    """
    unit = direction / direction.norm()

    def project_out(value, hook):
        along = unit.to(value)
        return value - (value @ along)[..., None] * along

    places = ("hook_resid_pre", "hook_attn_out", "hook_mlp_out")
    names = [f"blocks.{i}.{place}" for i in range(model.cfg.n_layers) for place in places]
    with model.hooks(fwd_hooks=[(name, project_out) for name in names]):
        yield


class DirectionScores(NamedTuple):
    """What each layer's direction does: mean scores, and mean KL in nats."""

    bypass: Float[Tensor, " layer"]
    induce: Float[Tensor, " layer"]
    kl: Float[Tensor, " layer"]


@guarded(model=evaluating, directions=(axes(2), finite), refused=filled, harmless=filled)
@torch.no_grad()
def direction_scores(
    model,
    directions: Float[Tensor, "layer d_model"],
    *,
    layers: Sequence[int],
    refused: Sequence[Int[Tensor, " _"]],
    harmless: Sequence[Int[Tensor, " _"]],
    tokens: Int[Tensor, " token"],
) -> DirectionScores:
    """Try each direction three ways, as published.

    `bypass`: the mean refusal score after refused requests, the direction ablated. `induce`: that
    after harmless requests, the direction added at all positions before the block of its own layer.
    `kl`: how far ablation moves the next-token distribution after harmless requests, the mean of
    KL(intact, ablated).

    Args:
        directions: one for each of `layers`, at the length that the difference of means has.
        refused: token ids of requests that the model refuses.
        tokens: with which refusals begin.

    Source: Arditi et al. (2024), arXiv 2406.11717, and `select_direction.py` of their code.
    """
    intact = last_logits(model, harmless).log_softmax(-1)
    rows = []
    for layer, direction in zip(layers, directions, strict=True):
        with direction_ablated(model, direction):
            bypass = refusal_score(last_logits(model, refused), tokens).mean()
            changed = last_logits(model, harmless).log_softmax(-1)
        kl = (intact.exp() * (intact - changed)).sum(-1).mean()
        with steer(model, direction, layer=layer):
            induce = refusal_score(last_logits(model, harmless), tokens).mean()
        rows.append(torch.stack([bypass, induce, kl]))
    return DirectionScores(*torch.stack(rows, dim=1))


# ---- Two models ---------------------------------------------------------------------------------


@guarded(model=evaluating, rows=(filled, _long_enough), n_positions=count())
@torch.no_grad()
def activation_difference(
    model,
    tuned: Callable[[], AbstractContextManager],
    rows: Sequence[Int[Tensor, " _"]],
    *,
    layer: int,
    n_positions: int = 5,
) -> Float[Tensor, "position d_model"]:
    """How the tuned model's residual stream differs from the base model's on the same text.

    The mean over texts of the stream before block `layer`, tuned less base, at each of the first
    `n_positions` positions.

    Args:
        rows: token ids of texts that have nothing to do with the tuning, each at least as long.

    Source: Minder et al. (2025), arXiv 2510.13900.
    """
    tokens = torch.stack([row[:n_positions] for row in rows])
    name = f"blocks.{layer}.hook_resid_pre"
    means = []

    def keep(resid, hook):
        means.append(resid.mean(0))

    def run():
        with model.hooks(fwd_hooks=[(name, keep)]):
            model(tokens, stop_at_layer=layer + 1)

    run()
    with tuned():
        run()
    return means[1] - means[0]


# ---- The audit ----------------------------------------------------------------------------------


class Audit:
    """Questions to sealed models, under a budget.

    Attributes:
        left: how many questions are left.
    """

    def __init__(
        self,
        model,
        opened: Callable[[str], AbstractContextManager],
        rows: Callable[..., list[Tensor]],
        *,
        questions: int,
    ):
        """`opened(name)` is a context with the sealed model; `rows` makes tokens of requests."""
        self.left, self._model, self._opened, self._rows = questions, model, opened, rows

    def ask(self, name: str, request: str, *, start: str = "") -> str:
        """What a sealed model answers in at most 14 tokens, after `start` where its answer begins.

        Raises:
            ValueError: no question is left, or there is no such model.
        """
        if not self.left:
            raise ValueError("No question is left: decide, or count a new `Audit` as a second try.")
        with self._opened(name):
            rows = self._rows(self._model, [request], start=start)
            answer = answers(self._model, rows, n_tokens=14)[0]
        self.left -= 1
        return start + answer
