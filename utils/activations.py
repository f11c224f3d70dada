"""Activations of many texts: the residual stream at one token of each, and what follows each.

Layer L is `blocks.L.hook_resid_pre`, the residual stream before block L: 0 is the embedding, and
`n_layers` is the stream after the last block.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.guards import as_long_as, axes, count, evaluating, filled, guarded, layer_of, several


def _inside(lengths: Tensor, given: Mapping) -> str | None:
    shortest, longest, width = int(lengths.min()), int(lengths.max()), given["resid"].shape[1]
    if given["back"] < shortest and longest <= width:
        return None
    return f"run from {shortest} to {longest}: each must be above `back`, and at most {width}"


@guarded(resid=(axes(3), filled), back=count(low=0), lengths=(as_long_as("resid"), _inside))
def last_token(
    resid: Float[Tensor, "batch pos d_model"], lengths: Int[Tensor, " batch"], *, back: int = 0
) -> Float[Tensor, "batch d_model"]:
    """The vector at each text's last token, or `back` tokens before it, in a right-padded batch.

    Args:
        resid: texts padded on the right.
        lengths: how many tokens of each row are text (BOS counts); the rest is padding.
    """
    rows = torch.arange(len(resid), device=resid.device)
    return resid[rows, lengths.to(resid.device) - 1 - back]


def tokens_of(model, texts: Sequence[str], *, bos: bool | None = None) -> list[Int[Tensor, " pos"]]:
    """Each text's tokens; one that is longer than the context raises a ValueError, none is cut."""
    rows = [model.to_tokens(text, prepend_bos=bos, truncate=False)[0] for text in texts]
    longest, room = max(range(len(rows)), key=lambda i: len(rows[i])), model.cfg.n_ctx
    if len(rows[longest]) > room:
        raise ValueError(
            f"Text {longest} has {len(rows[longest])} tokens, and this model reads {room}: cut it."
        )
    return rows


@guarded(model=evaluating, texts=(several, filled), layers=layer_of(), batch_size=count())
@torch.no_grad()
def activations(
    model,
    texts: Sequence[str],
    *,
    position: int | Sequence[int] = -1,
    layers: int | None = None,
    batch_size: int = 40,
    bos: bool = True,
) -> Float[Tensor, "... layer text d_model"]:
    """The residual stream at one token of each text.

    Texts run in batches of like length, padded on the right, where causal attention keeps the
    padding from being read.

    Args:
        model: a TransformerBridge with a tokenizer.
        position: counted from the end of each text, so -1 is its last token. Several of them give
            one more axis in front.
        layers: the last layer to keep; the blocks above it do not run. None keeps all.
        bos: whether BOS stands in front of each text.

    Returns:
        On the CPU, float32.

    Raises:
        ValueError: there is no text, or one is shorter than `position` asks for, or longer than
            the model's context.
    """
    positions = [position] if isinstance(position, int) else list(position)
    n_layers = model.cfg.n_layers
    top = n_layers if layers is None else layers
    rows = tokens_of(model, texts, bos=bos)
    if not positions or max(positions) >= 0 or min(map(len, rows)) < -min(positions):
        raise ValueError(
            f"`position` is {position}: count from the end of each text, such as -1, and not "
            f"beyond the shortest one, which has {min(map(len, rows))} tokens."
        )
    out = torch.empty(len(positions), top + 1, len(rows), model.cfg.d_model)

    def keep(resid, hook, layer, chosen, lengths):
        for i, at in enumerate(positions):
            out[i, layer, chosen] = last_token(resid, lengths, back=-1 - at).float().cpu()

    by_length = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for start in range(0, len(rows), batch_size):
        chosen = by_length[start : start + batch_size]
        tokens = torch.nn.utils.rnn.pad_sequence([rows[i] for i in chosen], batch_first=True)
        lengths = torch.tensor([len(rows[i]) for i in chosen])
        keeping = {"chosen": torch.tensor(chosen), "lengths": lengths}
        hooks = [
            (f"blocks.{layer}.hook_resid_pre", partial(keep, layer=layer, **keeping))
            for layer in range(min(top + 1, n_layers))
        ]
        if top == n_layers:
            name = f"blocks.{n_layers - 1}.hook_resid_post"
            hooks.append((name, partial(keep, layer=n_layers, **keeping)))
        with model.hooks(fwd_hooks=hooks):
            model(tokens, stop_at_layer=None if top == n_layers else top + 1)
    return out[0] if isinstance(position, int) else out


@guarded(model=evaluating, texts=(several, filled), batch_size=count())
@torch.no_grad()
def next_logits(
    model, texts: Sequence[str], *, batch_size: int = 40
) -> Float[Tensor, "text d_vocab"]:
    """The logits after each text, on the CPU, float32."""
    rows, found = tokens_of(model, texts), []
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        tokens = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True)
        lengths = torch.tensor([len(row) for row in batch])
        found.append(last_token(model(tokens), lengths).float().cpu())
    return torch.cat(found)
