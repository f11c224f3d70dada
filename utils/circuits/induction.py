"""Induction heads: the test sequence, scores of attention, the cost of ablations, and controls."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.guards import axes, count, filled, guarded
from utils.heads import random_heads


def _above_specials(value: int, given: Mapping) -> str | None:
    low = given["n_special"]
    return None if value > low else f"is {value}: it must be above `n_special`, {low}"


def _in_vocabulary(value: int, given: Mapping) -> str | None:
    top = given["d_vocab"] - 1
    return None if 0 <= value <= top else f"is {value}: token ids are from 0 to {top}"


def _two_halves(value: Tensor, given: Mapping) -> str | None:
    """BOS and two halves, each of two tokens at least."""
    logits, n_pos = given["logits"], value.shape[1]
    if value.shape != logits.shape[:2]:
        return f"has shape {tuple(value.shape)}, and `logits` {tuple(logits.shape)}"
    if n_pos % 2 == 0 or n_pos < 5:
        return f"has {n_pos} positions: give BOS and two equal halves of two tokens or more"
    top = logits.shape[2] - 1
    fits = value.min() >= 0 and value.max() <= top
    return None if fits else f"holds ids that no logit has: they are from 0 to {top}"


@guarded(
    seq_len=count(),
    batch=count(),
    n_special=count(low=0),
    d_vocab=_above_specials,
    bos=_in_vocabulary,
)
def repeated_tokens(
    seq_len: int, *, batch: int, d_vocab: int, bos: int, n_special: int, generator: torch.Generator
) -> Int[Tensor, "batch pos"]:
    """BOS, then `seq_len` random tokens, then the same tokens again: `1 + 2 * seq_len` positions.

    Source: the test of Olsson et al., 2022 (arXiv 2209.11895).

    Args:
        seq_len: length of one half.
        batch: how many rows; each row has its own random tokens.
        d_vocab, n_special: draw ids from `n_special` up to, not including, `d_vocab`. The lowest
            ids are special tokens.
        bos: the id to put in front.
        generator: hand it to the random function, so that a seed gives the same tokens again.
    """
    half = torch.randint(n_special, d_vocab, (batch, seq_len), generator=generator)
    return torch.cat([torch.full((batch, 1), bos), half, half], dim=1)


@guarded(logits=axes(3), tokens=(axes(2), _two_halves))
def loss_by_half(
    logits: Float[Tensor, "batch pos d_vocab"], tokens: Int[Tensor, "batch pos"]
) -> tuple[float, float]:
    """Mean next-token loss in nats on the first half (BOS predicts its first token), and on the
    second half without its first token.

    Args:
        logits: at all 1+2*seq_len positions of `tokens`.
        tokens: BOS and two equal halves, as `repeated_tokens` makes them.
    """
    seq_len = (tokens.shape[1] - 1) // 2
    log_probs = logits[:, :-1].log_softmax(-1)
    loss = -log_probs.gather(-1, tokens[:, 1:, None].to(logits.device))[..., 0]
    return loss[:, :seq_len].mean().item(), loss[:, seq_len + 1 :].mean().item()


def _halves(value: Tensor, _: Mapping) -> str | None:
    """BOS and two halves, each of two tokens at least."""
    n_pos = value.shape[1]
    fits = n_pos % 2 and n_pos >= 5 and len(value)
    wanted = "give rows of BOS and two equal halves of two tokens or more"
    return None if fits else f"has shape {tuple(value.shape)}: {wanted}"


def _within_the_row(value: int, given: Mapping) -> str | None:
    most = (given["tokens"].shape[1] + 1) // 2
    return None if value <= most else f"is {value}: the repeat's first token has {most} before it"


@guarded(tokens=(axes(2), _halves), back=(count(low=0), _within_the_row))
def stripe_scores(
    model, tokens: Int[Tensor, "batch pos"], *, back: int
) -> Float[Tensor, "layer head"]:
    """Each head's attention to the position `back` before the query, over queries in the repeat.

    The mean over all rows and over the `seq_len` queries of the second half, from one forward
    pass without gradients. With `back = seq_len - 1` it is the induction score of Olsson et al.,
    2022 (arXiv 2209.11895), over the repeat alone.

    Args:
        tokens: BOS and two halves of `seq_len` tokens: 1 + 2 * seq_len positions.
        back: how far before the query the key stands; 1 is the previous token.
    """
    seq_len = (tokens.shape[1] - 1) // 2
    queries = torch.arange(seq_len + 1, 2 * seq_len + 1)
    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)

    def keep(pattern, hook):
        scores[hook.layer()] = pattern[:, :, queries, queries - back].mean((0, 2))

    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    with torch.no_grad():
        model.run_with_hooks(tokens, fwd_hooks=[(name, keep) for name in names])
    return scores


@guarded(tokens=(axes(2), _halves), interventions=filled)
def repeat_costs(
    model, tokens: Int[Tensor, "batch pos"], interventions: Sequence[list]
) -> Float[Tensor, "intervention batch"]:
    """What each intervention adds to the loss on the repeat, in nats, row by row.

    The loss of a row is its mean over the tokens of the second half, without the first of them,
    which cannot be predicted. What is subtracted is the same row's loss in the intact model, which
    runs once. No gradients are kept.

    Args:
        tokens: BOS and two equal halves.
        interventions: for each a list of (hook's name, hook function), as `ablation_hooks` gives.
    """
    start = (tokens.shape[1] - 1) // 2 + 1

    def loss(hooks):
        with model.hooks(fwd_hooks=hooks):
            each = model(tokens, return_type="loss", loss_per_token=True)
        return each[:, start:].mean(1)

    with torch.no_grad():
        intact = loss([])
        return torch.stack([loss(hooks) - intact for hooks in interventions])


def _heads_of_the_model(value: Sequence, given: Mapping) -> str | None:
    n_layers, n_heads = given["n_layers"], given["n_heads"]
    if len(set(value)) < len(value):
        return "holds a head twice"
    for layer, head in value:
        if not (0 <= layer < n_layers and 0 <= head < n_heads):
            return f"holds {(layer, head)}: the model has {n_layers} layers of {n_heads} heads"
    return None


@guarded(n=count(), n_layers=count(), n_heads=count(), chosen=(filled, _heads_of_the_model))
def fair_control(
    cost_of: Callable,
    chosen: Sequence[tuple[int, int]],
    n: int,
    *,
    n_layers: int,
    n_heads: int,
    generator: torch.Generator,
) -> tuple[list[list[tuple[int, int]]], Float[Tensor, "set row"]]:
    """`n` random sets of heads, each a control for ablating the set `chosen`, and their costs.

    A set has as many heads as `chosen`, all different. It should be like `chosen` in whatever else
    could explain a cost. Draw from at least four times as many
    heads as `chosen` has, so that the sets differ.

    Args:
        cost_of: gives what ablating each of a list of sets costs, [set, row].
        chosen: the heads under test, (layer, number) each.
        n_layers, n_heads: of the model; layers and heads count from 0.
        generator: of the draws, so that a seed gives the same sets again.
    """
    layers = [layer for layer, _ in chosen]
    near = range(max(0, min(layers) - 2), min(n_layers, max(layers) + 3))
    sets = [
        random_heads(len(chosen), layers=near, n_heads=n_heads, but=chosen, generator=generator)
        for _ in range(n)
    ]
    return sets, cost_of(sets)


def _both_kinds(value: Tensor, _: Mapping) -> str | None:
    """Every text has a pair of tokens that comes again, and one that does not."""
    for ids in value.tolist():
        pairs = list(zip(ids, ids[1:], strict=False))
        if len(set(pairs)) in (0, len(pairs)):
            return "holds a text in which no pair of neighbours comes twice: take longer ones"
    return None


@guarded(tokens=(axes(2), filled, _both_kinds))
def text_costs(model, tokens: Int[Tensor, "text pos"], hooks: list) -> Float[Tensor, "text kind=2"]:
    """What hooks add to the loss of each text, in nats a token: on repeats, and on all others.

    A token is a repeat if it and its predecessor stood side by side earlier in the text, in this
    order. The first token is never predicted, and counts nowhere. No gradients are kept.

    Args:
        tokens: texts of one length.
        hooks: pairs of a hook's name and its function, as `ablation_hooks` gives.
    """
    with torch.no_grad():
        intact = model(tokens, return_type="loss", loss_per_token=True)
        with model.hooks(fwd_hooks=hooks):
            added = model(tokens, return_type="loss", loss_per_token=True) - intact
    costs = []
    for ids, each in zip(tokens.tolist(), added, strict=True):
        pairs = list(zip(ids[:-1], ids[1:], strict=True))
        repeat = torch.tensor([pair in pairs[:i] for i, pair in enumerate(pairs)])
        costs.append(torch.stack([each[repeat].mean(), each[~repeat].mean()]))
    return torch.stack(costs)
