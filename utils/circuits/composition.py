"""How two heads make induction: what they read and write, by weights and along single paths.

TransformerLens has composition scores, as `model.all_composition_scores` and
`transformer_lens.utilities.matrix.composition_scores`.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.guards import axes, filled, finite, guarded


def _table(value: Tensor, _: Mapping) -> str | None:
    n = len(value)
    square = value.ndim == 2 and value.shape[1] == n >= 2
    return (
        None if square else f"has shape {tuple(value.shape)}: give a square of two tokens or more"
    )


def _two_layers(value, _: Mapping) -> str | None:
    n_layers = value.cfg.n_layers
    return None if n_layers >= 2 else f"has {n_layers} layer: no head can read an earlier one"


def _head_of_model(value, given: Mapping) -> str | None:
    layer, number = value
    cfg = given["model"].cfg
    fits = 0 <= layer < cfg.n_layers and 0 <= number < cfg.n_heads
    has = f"layers 0 to {cfg.n_layers - 1}, and heads 0 to {cfg.n_heads - 1} in each"
    return None if fits else f"is {tuple(value)}: this model has {has}"


def _layers_of_model(value: Sequence[int], given: Mapping) -> str | None:
    top = given["model"].cfg.n_layers - 1
    fits = all(0 <= layer <= top for layer in value)
    return None if fits else f"is {list(value)}: this model has layers 0 to {top}"


def _input(value: str, _: Mapping) -> str | None:
    return None if value in ("q", "k", "v") else f"is {value!r}: give 'q', 'k' or 'v'"


def _stream(value: Tensor, given: Mapping) -> str | None:
    wanted = (*given["tokens"].shape, given["model"].cfg.d_model)
    here = tuple(value.shape)
    return None if here == wanted else f"has shape {here}: give {wanted}, [batch, pos, d_model]"


def _halves(value: Tensor, _: Mapping) -> str | None:
    n_pos = value.shape[-1]
    fits = value.ndim == 2 and n_pos % 2 == 1 and n_pos >= 5
    return None if fits else "has no BOS and two equal halves of two tokens or more"


@guarded(scores=(_table, finite))
def own_token_rank(scores: Float[Tensor, "token token"]) -> float:
    """Mean share of the other columns that the diagonal beats, row by row.

    0.5 is chance, 1.0 is perfect: in every row the token's own entry is the largest.
    """
    beaten = (scores < scores.diagonal()[:, None]).sum(-1)
    return (beaten / (len(scores) - 1)).double().mean().item()


@guarded(model=_two_layers)
def circuit_tables(
    model, score: Callable[[Float[Tensor, "token token"]], float]
) -> tuple[Float[Tensor, "sender reader"], Float[Tensor, " reader"]]:
    """How well each head of layer 1 matches through each head of layer 0, and how well it copies.

    From the weights alone, over the whole vocabulary: no positions, no biases, no final norm. Each
    entry is the `score` of one table, [token, token]:

    - matching: row = the current token; its normed embedding makes the query. Column = the token
      before the key; its normed embedding goes through the sender's OV circuit, is normed again,
      and makes the key.
    - copying: row = the token that is attended to; its normed embedding goes through the reader's
      OV circuit. Column = the token whose logit that raises.

    Args:
        model: two layers of attention alone, with `model.cfg.n_heads` heads in each. The norm of
            a layer has no weights: `torch.nn.functional.layer_norm(x, x.shape[-1:])`.
        score: such as `own_token_rank`.
    """
    n_heads, norm = model.cfg.n_heads, torch.nn.functional.layer_norm
    matching, copying = torch.zeros(n_heads, n_heads), torch.zeros(n_heads)
    with torch.no_grad():
        embedded = norm(model.W_E, model.W_E.shape[-1:])
        for reader in range(n_heads):
            copied = embedded @ model.W_V[1, reader] @ model.W_O[1, reader] @ model.W_U
            copying[reader] = score(copied)
            queries = embedded @ model.W_Q[1, reader]
            for sender in range(n_heads):
                moved = embedded @ model.W_V[0, sender] @ model.W_O[0, sender]
                keys = norm(moved, moved.shape[-1:]) @ model.W_K[1, reader]
                matching[sender, reader] = score(queries @ keys.T)
    return matching, copying


@guarded(tokens=axes(2), head=_head_of_model)
def removal(
    model, tokens: Int[Tensor, "batch pos"], head: tuple[int, int]
) -> Float[Tensor, "batch pos d_model"]:
    """What to add to the residual stream so that `head` has written its mean instead of its output.

    The mean is over batch and positions, BOS included, as in `utils.heads.ablation_hooks`.

    Args:
        head: layer, and number in that layer.
    """
    layer, number = head
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=f"blocks.{layer}.attn.hook_z")
        z = cache[f"blocks.{layer}.attn.hook_z"][:, :, number]
        return (z.mean((0, 1)) - z) @ model.W_O[layer, number]


@guarded(
    tokens=axes(2),
    change=(_stream, finite),
    layers=(filled, _layers_of_model),
    into=_input,
)
def path_hooks(
    model,
    tokens: Int[Tensor, "batch pos"],
    change: Float[Tensor, "batch pos d_model"],
    *,
    layers: Sequence[int],
    into: str = "k",
) -> list[tuple[str, Callable]]:
    """Hooks under which `layers` make their keys (or queries, or values) from a changed stream.

    For each layer: take the stream before it, `blocks.L.hook_resid_pre`, from a run on `tokens`
    without hooks. Add `change`, and apply the layer's norm, `model.blocks[L].ln1`. The result
    replaces this one input; everything else in the layer reads the stream as it comes. Use: `with
    model.hooks(fwd_hooks=path_hooks(...)): model(tokens)`.

    Path patching, after Wang et al., 2022 (arXiv 2211.00593).

    Args:
        change: what is added to the stream, such as `removal` gives.
        layers: the reading layers; all their heads read the changed stream.
        into: "q", "k" or "v".

    Returns:
        Pairs of a hook's name and its function.
    """
    names = [f"blocks.{layer}.hook_resid_pre" for layer in layers]
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=names)
        changed = {
            layer: model.blocks[layer].ln1(cache[name] + change)
            for layer, name in zip(layers, names, strict=True)
        }

    def replace(activation, hook):
        return changed[hook.layer()]

    return [(f"blocks.{layer}.attn.{into}.hook_in", replace) for layer in layers]


@guarded(change=(filled, finite))
def size_matched(
    change: Float[Tensor, "batch pos d_model"], *, generator: torch.Generator
) -> Float[Tensor, "batch pos d_model"]:
    """A random vector at each position, as long as `change` is there, in a direction of its own.

    All directions are equally likely. It is the control for a change of that size.
    """
    random = torch.randn(change.shape, generator=generator).to(change)
    return random * change.norm(dim=-1, keepdim=True) / random.norm(dim=-1, keepdim=True)


@guarded(tokens=(axes(2), _halves), layers=(filled, _layers_of_model))
def direct_copying(
    model, tokens: Int[Tensor, "batch pos"], layers: Sequence[int]
) -> Float[Tensor, "batch layer head"]:
    """How far each head's own output raises the logit of the next token, in the second half.

    From the logit the mean over the vocabulary is taken off. Mean over the positions of the second
    half but its last, whose next token is not there. Direct: what the head wrote goes straight to
    the final norm, whose scale is that of this run, and to the unembedding.

    Args:
        model: its final norm divides by `ln_final.hook_scale`, which can be cached, [batch, pos,
            1], and multiplies by `model.ln_final.weight`.
        tokens: BOS and two halves of equal length, the second a repeat or not.
        layers: whose heads to score.
    """
    start = 1 + tokens.shape[1] // 2
    names = [*(f"blocks.{layer}.attn.hook_z" for layer in layers), "ln_final.hook_scale"]
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=names)
        wanted = model.W_U.T[tokens[:, start + 1 :]] - model.W_U.mean(1)
        wanted = model.ln_final.weight * wanted / cache["ln_final.hook_scale"][:, start:-1]
        effects = []
        for layer in layers:
            z = cache[f"blocks.{layer}.attn.hook_z"][:, start:-1]
            written = torch.einsum("bphe,hed->bphd", z, model.W_O[layer])
            effects.append(torch.einsum("bphd,bpd->bph", written, wanted).mean(1))
    return torch.stack(effects, dim=1)
