"""First looks into a model: ablation, direct effects, one patch, the logit lens, the parts.

What runs the model does so without gradients.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.guards import (
    as_long_as,
    axes,
    count,
    finite,
    guarded,
    index_of,
    layer_of,
    shaped_as,
)


def _hooked(value: str, given: Mapping) -> str | None:
    there = value in given["model"].hook_dict
    return None if there else f"is {value!r}: give a hook's name, such as 'blocks.0.hook_mlp_out'"


def _in_vocabulary(value: int, given: Mapping) -> str | None:
    n = given["model"].cfg.d_vocab
    return None if 0 <= value < n else f"is {value}: tokens have ids from 0 to {n - 1}"


def _whole(value, given: Mapping) -> str | None:
    """A cache with all that `residual_parts` asks for, of a model that writes nothing else."""
    kinds = ("hook_attn_out", "hook_mlp_out")
    wanted = [f"blocks.{layer}.{kind}" for layer in range(given["n_layers"]) for kind in kinds]
    there = set(value.keys())
    if "hook_pos_embed" in there:
        return (
            "holds position embeddings too, which are a part of the stream that is not asked for "
            "here: use `cache.decompose_resid()`"
        )
    missing = [name for name in ("hook_embed", *wanted) if name not in there]
    return f"has no {missing[0]!r}: keep all activations of a whole run" if missing else None


@guarded(name=_hooked)
def zero_ablated(
    model, tokens: Int[Tensor, "batch pos"], name: str
) -> Float[Tensor, "batch pos d_vocab"]:
    """The logits of a run in which the activation called `name` is all zeros.

    Afterwards the model is as before: no hook stays on it.

    Args:
        name: of an activation, such as "blocks.3.hook_mlp_out".
    """

    def zero(activation, hook):
        return torch.zeros_like(activation)

    with torch.no_grad():
        return model.run_with_hooks(tokens, fwd_hooks=[(name, zero)])


@guarded(logits=axes(3), answers=as_long_as("logits"))
def answer_log_probs(
    logits: Float[Tensor, "batch pos d_vocab"], answers: Int[Tensor, " batch"]
) -> Float[Tensor, " batch"]:
    """The log-probability of each row's own answer after its last token, in nats."""
    return logits[:, -1].log_softmax(-1).gather(-1, answers[:, None])[:, 0]


@guarded(tokens=axes(2), answers=as_long_as("tokens"))
def ablation_sweep(
    model, tokens: Int[Tensor, "batch pos"], answers: Int[Tensor, " batch"], ablate
) -> Float[Tensor, "kind=2 layer batch"]:
    """What zero-ablating each component costs each prompt's answer, in nats.

    The cost is the answer's log-probability in the intact run, minus the same in the ablated run:
    positive where the ablation hurts.

    Args:
        answers: the id of each prompt's answer, as `answer_log_probs(logits, answers)` takes them.
        ablate: `ablate(model, tokens, name)` gives the logits of a run without component `name`.

    Returns:
        Row 0 is attention, row 1 the MLPs: "blocks.L.hook_attn_out" and "blocks.L.hook_mlp_out".
    """
    damage = torch.zeros(2, model.cfg.n_layers, len(tokens))
    with torch.no_grad():
        intact = answer_log_probs(model(tokens), answers)
        for kind, part in enumerate(["attn", "mlp"]):
            for layer in range(model.cfg.n_layers):
                logits = ablate(model, tokens, f"blocks.{layer}.hook_{part}_out")
                damage[kind, layer] = intact - answer_log_probs(logits, answers)
    return damage


@guarded(parts=(axes(2), finite), answer=_in_vocabulary)
def direct_effects(
    model, parts: Float[Tensor, "part d_model"], answer: int
) -> Float[Tensor, " part"]:
    """What the answer loses if one part alone is taken out of the final vector, in nats.

    The final vector is the sum of `parts`. Each part in turn is subtracted from it, and all other
    parts stay as they are. A loss is positive.

    Args:
        model: `model.ln_final(vector) @ model.W_U` turns a final vector into logits, [d_vocab].
        answer: the id of the answer's token.
    """

    def log_prob(vector):
        return (model.ln_final(vector) @ model.W_U).log_softmax(-1)[answer]

    final = parts.sum(0)
    with torch.no_grad():
        return torch.stack([log_prob(final) - log_prob(final - part) for part in parts])


@guarded(
    tokens=axes(2),
    source=shaped_as("tokens"),
    layer=layer_of(end=False),
    position=index_of("tokens", axis=1),
)
def put_back(
    model,
    tokens: Int[Tensor, "batch pos"],
    source: Int[Tensor, "batch pos"],
    layer: int,
    position: int,
) -> Float[Tensor, "batch pos d_vocab"]:
    """The logits of a run on `tokens` in which one vector comes from the run on `source`.

    It is the vector of the residual stream before block `layer`, "blocks.L.hook_resid_pre", at
    `position`. Afterwards the model is as before: no hook stays on it.
    """
    name = f"blocks.{layer}.hook_resid_pre"

    def put(resid, hook):
        resid = resid.clone()
        resid[:, position] = cache[name][:, position]
        return resid

    with torch.no_grad():
        _, cache = model.run_with_cache(source, names_filter=name)
        return model.run_with_hooks(tokens, fwd_hooks=[(name, put)])


@guarded(tokens=axes(2))
def logit_lens(model, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "layer batch d_vocab"]:
    """After each block, the logits at the last position if the model stopped there.

    Source: nostalgebraist's logit lens (2020). TransformerLens has more of it, with ranks and
    entropies, as `transformer_lens.tools.analysis.logit_lens`.
    """
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
        logits = []
        for layer in range(model.cfg.n_layers):
            resid = cache[f"blocks.{layer}.hook_resid_post"][:, -1]
            logits.append(model.ln_final(resid) @ model.W_U)
    return torch.stack(logits)


@guarded(n_layers=count(), cache=_whole)
def residual_parts(cache, n_layers: int) -> Float[Tensor, "part batch pos d_model"]:
    """What was written into the residual stream, in order.

    The order: embedding, then for each layer what its attention adds and what its MLP adds. The
    parts sum to the stream after the last block. TransformerLens has the same as
    `ActivationCache.decompose_resid`.

    Args:
        cache: name -> activation [batch, pos, d_model], with the names given above.
        n_layers: how many layers the model has.
    """
    names = ["hook_embed"]
    for layer in range(n_layers):
        names += [f"blocks.{layer}.hook_attn_out", f"blocks.{layer}.hook_mlp_out"]
    return torch.stack([cache[name] for name in names])
