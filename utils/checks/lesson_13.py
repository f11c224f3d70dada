"""Checks of lesson 1.3, direct logit attribution."""

import functools

import torch
from transformer_lens import ActivationCache
from transformer_lens.model_bridge import TransformerBridge

from utils.checks.engine import Wrong, exercise, expect, investigation, match

KEPT = ("hook_embed", "attn_out", "mlp_out", "hook_resid_post", "hook_z", "hook_pattern")


@functools.cache
def _small_model(n_layers: int, n_heads: int, d_head: int, n_groups: int | None = None):
    """A random model with an RMSNorm, whose final weights have both signs."""
    model = TransformerBridge.boot_native(
        {
            "n_layers": n_layers,
            "n_heads": n_heads,
            "n_key_value_heads": n_groups,
            "d_head": d_head,
            "d_model": 12,
            "d_mlp": 8,
            "d_vocab": 11,
            "n_ctx": 6,
            "act_fn": "silu",
            "normalization_type": "RMS",
            "seed": 0,
        }
    )
    random = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            drawn = torch.randn(weight.shape, generator=random)
            weight.copy_(0.0 * drawn if name.endswith("bias") else 0.7 * drawn)
        weight = model.ln_final.weight
        weight.copy_(weight.abs() + 0.5)
        weight[::2] *= -1
    return model


def _prompts(batch: int, seed: int) -> torch.Tensor:
    return torch.randint(11, (batch, 5), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def _run(model, tokens: torch.Tensor, hooks=()) -> ActivationCache:
    """A cache with what the lesson keeps, and no more."""
    with model.hooks(fwd_hooks=list(hooks)):
        _, cache = model.run_with_cache(tokens)
    return ActivationCache({n: v for n, v in cache.items() if n.endswith(KEPT)}, model)


def _rms(x: torch.Tensor) -> torch.Tensor:
    return (x.pow(2).mean(-1) + 1e-5).sqrt()


def _said(batch: int) -> str:
    return f"{batch} prompts" if batch > 1 else "a single prompt"


@exercise("utils.circuits.attribution.attribute_heads", keeps_gradient=False)
def check_attribute_heads(attribute_heads) -> str:
    """Small random models; every head's vector is one matrix product."""
    for batch, n_layers, n_heads, d_head in ((4, 2, 3, 5), (1, 3, 2, 3)):
        model, tokens = _small_model(n_layers, n_heads, d_head), _prompts(batch, 1)
        cache = _run(model, tokens)
        direction = torch.randn(batch, 12, generator=torch.Generator().manual_seed(2))
        weight, W_O = model.ln_final.weight.detach(), model.W_O.detach()

        def written(at: int = -1, *, W_O=W_O, cache=cache, layers=n_layers, heads=n_heads):
            return torch.stack(
                [
                    torch.stack([cache["z", i][:, at, h] @ W_O[i, h] for h in range(heads)])
                    for i in range(layers)
                ]
            )

        def along(vectors, scale, direction=direction, weight=weight) -> torch.Tensor:
            return (vectors * (direction * weight)).sum(-1) / scale

        last = n_layers - 1
        final, own = cache["resid_post", last], written()
        scale = _rms(final[:, -1])
        plain = (own * direction).sum(-1)
        answer = along(own, scale)
        each = torch.stack([_rms(cache["resid_post", i][:, -1]) for i in range(n_layers)])
        first = direction[:1].expand_as(direction)
        z = torch.stack([cache["z", i][:, -1] for i in range(n_layers)])
        crossed = torch.einsum("lhbd,cd->lhbc", own, direction * weight)
        match(
            attribute_heads(cache, model, direction),
            answer,
            what=f"The attributions, [layer, head, batch], of {_said(batch)}",
            mistakes={
                "The final norm's weight is missing: after the division it multiplies each "
                "coordinate.": plain / scale,
                "You divided by the final norm's weight: the model multiplies by it.": (
                    (own * direction / weight).sum(-1) / scale
                ),
                "You took the absolute value of the norm's weights: one below 0 turns its "
                "coordinate round.": (own * direction * weight.abs()).sum(-1) / scale,
                "The norm's weight is in it twice.": along(own * weight, scale),
                "The scale is missing: the final norm divides the stream by it.": along(own, 1.0),
                "Both the norm's weight and its scale are missing.": plain,
                "You multiplied by the scale: the norm divides by it.": along(own, 1 / scale),
                "You divided by the variance: the scale is its *root*.": along(own, scale**2),
                "You divided by the stream's length. The scale is the root of the *mean* square.": (
                    along(own, final[:, -1].norm(dim=-1))
                ),
                "You divided by the standard deviation, which takes off the mean. RMSNorm does "
                "not.": along(own, (final[:, -1].var(-1, correction=0) + 1e-5).sqrt()),
                "Each head is divided by its *own* scale. The final norm has one scale for the "
                "whole stream, or the attributions would not sum to the logits.": (
                    along(own, _rms(own))
                ),
                "Each layer is divided by the scale of the stream after *that* layer. The final "
                "norm sees the stream after the last one.": along(own, each[:, None]),
                "The scale is that of the stream after the *first* layer: the final norm sees the "
                "stream after the last one.": along(own, each[0]),
                "The scale is that of the first position: take the last.": (
                    along(own, _rms(final[:, 0]))
                ),
                "One scale for all positions: take that of the last one.": (
                    along(own, (final.pow(2).mean((1, 2)) + 1e-5).sqrt())
                ),
                "One scale for all prompts: each has its own.": along(own, scale.mean()),
                "One scale for all prompts: take the mean over `d_model` alone.": (
                    along(own, (final[:, -1].pow(2).mean() + 1e-5).sqrt())
                ),
                "That is the first position, and the answer is predicted at the last.": (
                    along(written(0), scale)
                ),
                "That is the first position, its scale too: the answer is predicted at the last.": (
                    along(written(0), _rms(final[:, 0]))
                ),
                "Off by one: the last position is -1.": along(written(-2), scale),
                "You averaged over the positions: take the last.": along(
                    torch.stack([written(at) for at in range(5)]).mean(0), scale
                ),
                "You summed over the positions: take the last.": along(
                    torch.stack([written(at) for at in range(5)]).sum(0), scale
                ),
                "All layers went through the first layer's W_O: each has its own.": along(
                    written(W_O=W_O[:1].expand_as(W_O)), scale
                ),
                "All layers went through the last layer's W_O: each has its own.": along(
                    written(W_O=W_O[-1:].expand_as(W_O)), scale
                ),
                "All heads went through the first head's W_O: each has its own.": along(
                    written(W_O=W_O[:, :1].expand_as(W_O)), scale
                ),
                "All heads' z were added up first: each head goes through its own W_O alone.": (
                    along(torch.einsum("lbe,lhed->lhbd", z.sum(2), W_O), scale)
                ),
                "All prompts were taken along the first one's direction: each has its own.": (
                    along(own, scale, first)
                ),
                "All prompts were taken along the mean direction: each has its own.": (
                    along(own, scale, direction.mean(0))
                ),
                "Each prompt met every prompt's direction: its own is asked for.": (
                    crossed / scale
                ),
                "Each prompt met every prompt's direction: its own is asked for. ": (
                    crossed / scale[:, None]
                ),
                "That is a mean over `d_model`: a dot product is a sum.": answer / 12,
                "The sign is lost: a head may write against the direction.": answer.abs(),
                "The axes are in another order: layer, head, batch.": answer.transpose(1, 2),
                "The axes are in another order: layer first, then head.": answer.transpose(0, 1),
                "The axes are in another order: the batch comes last.": answer.permute(2, 0, 1),
                "Layers and heads share one axis: keep two.": answer.flatten(0, 1),
                "A batch of one prompt keeps its axis.": answer.squeeze(-1),
                "You summed over the heads: that is what each attention layer writes.": (
                    answer.sum(1)
                ),
                "You averaged over the prompts: keep them apart.": answer.mean(-1),
                "The products are there, but not summed over `d_model`.": (
                    own * (direction * weight) / scale[:, None]
                ),
                "The direction is scaled to length one: then the result is not in logits.": (
                    answer / direction.norm(dim=-1)
                ),
                "The direction, with the weight in it, is scaled to length one: then the result is "
                "not in logits.": answer / (direction * weight).norm(dim=-1),
            },
        )
    return "Every head on one scale: with the embedding and the MLPs they sum to the logits."


@exercise("utils.circuits.attribution.name_directions")
def check_name_directions(name_directions) -> str:
    """A random unembedding of 12 tokens, of which 6 or 4 are names."""
    random = torch.Generator().manual_seed(3)
    for ids, pairs in (
        ([7, 2, 9, 4, 11, 5], [[2, 9], [11, 4], [9, 2], [4, 2]]),
        ([3, 10, 0, 8], [[10, 3]]),
    ):
        W_U = torch.randn(5, 12, generator=random)
        names, (io, s) = torch.tensor(ids), torch.tensor(pairs).T

        def against(others, W_U=W_U, io=io, s=s) -> torch.Tensor:
            """Both names of each prompt against the mean of the tokens `others(io, s)`."""
            rows = []
            for pair in zip(io.tolist(), s.tolist(), strict=True):
                mean = W_U[:, others(*pair)].mean(1)
                rows.append(torch.stack([W_U[:, own] - mean for own in pair]))
            return torch.stack(rows, dim=1)

        got = name_directions(W_U, io, s, names)
        if isinstance(got, torch.Tensor) and got.ndim == 3:
            got = tuple(got)
        expect(
            isinstance(got, (tuple, list)) and len(got) == 2,
            "Return two tensors, [batch, d_model] each: the direction of IO, and that of S.",
        )
        shaped = all(isinstance(each, torch.Tensor) and each.shape == (len(io), 5) for each in got)
        expect(
            shaped,
            f"Both results should be tensors of shape [batch, d_model], {(len(io), 5)} here: "
            "a direction for each prompt. A token's vector is a *column* of `W_U`.",
        )
        right = against(lambda i, j, ids=ids: [k for k in ids if k not in (i, j)])
        zero = torch.stack([W_U[:, io].T, W_U[:, s].T])
        pair = zero - zero.flip(0)
        all_names = against(lambda i, j, ids=ids: ids)
        used = {*io.tolist(), *s.tolist()}
        mistakes = {
            "There is no reference yet. Head (a) raises every logit by 1, which changes no "
            "probability, and here it would count as raising IO.": zero,
            "The reference is all tokens. Head (b) raises all names alike, and would count as "
            "raising IO: compare with other *names*.": against(lambda i, j: list(range(12))),
            "The reference is all names, IO and S among them. Head (c) lowers S alone, and would "
            "seem to raise IO too.": all_names,
            "Each name is compared with all names but itself, so the other one of the prompt is in "
            "its reference. Head (c) lowers S alone, and would seem to raise IO too.": (
                all_names * len(ids) / (len(ids) - 1)
            ),
            "Each is compared with the other. Head (c) lowers S alone, and would seem to raise IO "
            "too.": pair,
            "Each is compared with half of their difference. Head (c) lowers S alone, and would "
            "seem to raise IO too.": pair / 2,
            "All tokens but the prompt's two names are the reference. Head (b) raises all names "
            "alike, and would count as raising IO.": against(
                lambda i, j: [k for k in range(12) if k not in (i, j)]
            ),
            "All tokens that are no names are the reference. Head (b) raises all names alike, and "
            "would count as raising IO.": against(
                lambda i, j, ids=ids: [k for k in range(12) if k not in ids]
            ),
            "S is still in the reference. Head (c) lowers S alone, and would seem to raise IO "
            "too.": against(lambda i, j, ids=ids: [k for k in ids if k != i]),
            "IO is still in the reference: a head that raises IO alone would seem to lower S.": (
                against(lambda i, j, ids=ids: [k for k in ids if k != j])
            ),
            "The two directions are swapped: IO comes first.": right.flip(0),
            "The sign: the name minus its reference.": -right,
            "That is the reference itself. The name less the reference is asked for.": zero - right,
            "The reference is the *sum* of the absent names: take the mean.": (
                zero - (zero - right) * (len(ids) - 2)
            ),
            "The absent names' sum is divided by the number of all names: divide by that of the "
            "absent ones.": zero - (zero - right) * (len(ids) - 2) / len(ids),
            "The absent names' sum is divided by 8: divide by how many they are *here*.": (
                zero - (zero - right) * (len(ids) - 2) / 8
            ),
            "One reference for all prompts, made of the first one's absent names: each prompt has "
            "its own.": zero - (zero - right)[:, :1],
            "One reference for all prompts: each has its own absent names.": (
                zero - (zero - right).mean(1, keepdim=True)
            ),
            "The reference leaves out every name that is in *any* prompt: leave out those of the "
            "prompt itself.": against(
                lambda i, j, ids=ids, used=used: [k for k in ids if k not in used]
            ),
        }
        match(torch.stack(list(got)), right, what="The directions of IO and S", mistakes=mistakes)
    return (
        "The reference is the names that are not in the prompt: what moves all logits, or all "
        "names, alike counts as nothing, and IO does not move when S alone does."
    )


@exercise("utils.circuits.attribution.beyond_controls", keeps_gradient=False, in_double=True)
def check_beyond_controls(beyond_controls) -> str:
    """Planted changes: what all heads do alike to a prompt, and an offset for each head.

    Quiet controls show pairs that are pooled as if they were prompts, noisy ones show intervals of
    single pairs.
    """
    for batch, n_heads, head, suspects, in_a_set, noise in (
        (80, 5, (1, 4), [(1, 1), (0, 4), (2, 2)], True, 0.5),
        (120, 6, (3, 2), [(3, 2), (3, 0), (2, 1), (4, 5)], False, 3.0),
    ):
        layer, number = head
        random = torch.Generator().manual_seed(10)
        alike = 20 * torch.randn(6, 1, batch, generator=random)
        own = noise * torch.randn(6, n_heads, batch, generator=random)
        own[head] /= noise
        offset = torch.randn(6, n_heads, 1, generator=random)
        for at in set(suspects) - {head}:  # a suspect costs much, where the others do not
            offset[at] -= 5.0
        changes = alike + own + offset

        def change_without(at, changes=changes, n_heads=n_heads):
            at = tuple(int(each) for each in at)
            if len(at) != 2 or not (0 <= at[0] < 6 and 0 <= at[1] < n_heads):
                raise Wrong(
                    f"`change_without` was asked for the head {at}, which does not exist: a head "
                    "is (layer, number in the layer)."
                )
            return changes[at].clone()

        given = set(suspects) if in_a_set else list(suspects)
        got = beyond_controls(change_without, head, given, n_heads)
        expect(
            isinstance(got, (tuple, list)) and len(got) == 3,
            "Return three numbers: mean, low, high. `bootstrap` gives only the last two: put the "
            "mean before them.",
        )
        expect(
            all(not isinstance(each, torch.Tensor) or each.ndim == 0 for each in got),
            "Return three single numbers: the mean is over the prompts.",
        )
        mean, low, high = (float(each) for each in got)
        others = [n for n in range(n_heads) if n != number]
        free = [n for n in others if (layer, n) not in suspects]
        x = changes[head]

        def less(numbers, at=layer, x=x, changes=changes) -> torch.Tensor:
            return x - changes[at, numbers].mean(0)

        right = less(free)
        expect(
            abs(mean - right.mean().item()) < 1e-4 or abs(low - right.mean().item()) > 1e-4,
            "The order is mean, low, high: the mean comes first.",
        )
        named = [n for n in others if n not in [each for _, each in suspects]]
        mistakes = {
            "A head is left out because a suspect of *another layer* has its number: compare "
            "(layer, number).": less(named),
            "The last head of the layer is left out: `range(n_heads)` ends before `n_heads`.": (
                less([n for n in free if n < n_heads - 1])
            ),
            "Suspects are among the controls. In (b) L23H1 would make the head seem to do "
            "less.": less(others),
            "The head itself is among its controls.": less([*free, number]),
            "The head itself and suspects are among the controls.": less(list(range(n_heads))),
            "That is the change without the head, with no control taken off.": x,
            "That is the change without the controls: take it off the head's own.": x - right,
            "The sign: the head's change less that of its controls.": -right,
            "The controls' *sum* is taken off: take their mean.": (x - changes[layer, free].sum(0)),
            "The controls' median is taken off, prompt by prompt: take their mean.": (
                x - changes[layer, free].median(0).values
            ),
            "The sizes of the changes are compared: keep the signs.": (
                x.abs() - changes[layer, free].mean(0).abs()
            ),
            "The sizes of the changes are compared: keep their signs.": (
                x.abs() - changes[layer, free].abs().mean(0)
            ),
            "That is the size of the difference: keep its sign.": right.abs(),
        }
        others_of = {at: [(at, n) for n in range(n_heads)] for at in range(6) if at != layer}
        unsuspected = [(at, n) for at in others_of for n in range(n_heads)]
        far = [*others_of.values(), [(at, number) for at in others_of], unsuspected]
        far += [[(at, number)] for at in others_of]
        far += [[at for at in [*unsuspected, *((layer, n) for n in free)] if at not in suspects]]

        def is_less(heads, x=x, mean=mean, changes=changes) -> bool:
            control = torch.stack([changes[at] for at in heads]).mean()
            return abs(mean - (x.mean() - control).item()) < 1e-4

        if abs(mean - right.mean()) > 1e-4:
            expect(
                not any(is_less([(layer, n)]) for n in free),
                "A single head is the control. In (c) the result would depend on which one: take "
                "the mean of all heads that may serve.",
            )
            expect(
                not any(is_less(heads) for heads in far),
                "The controls are of another layer. In (a) the head would seem to matter: take "
                "its own layer's.",
            )
        match(
            torch.tensor(mean, dtype=torch.float),
            right.mean(),
            what=f"The mean for L{layer}H{number}",
            mistakes={message: found.mean() for message, found in mistakes.items()},
        )
        expect(
            low <= high,
            "The low end of the interval is above its high end.",
        )
        expect(
            low <= mean <= high,
            "The mean lies outside its interval. Are all three of the same differences, and are "
            "low and high the interval's ends?",
        )
        width = (high - low) / (2 * 1.96 * right.std().item() / batch**0.5)
        alone = (x.std() / right.std()).item()
        expect(
            abs(width / batch**0.5 - 1) > 0.3,
            "The interval holds 95% of the *prompts*. That of their mean is asked for, which gets "
            "narrower with more prompts.",
        )
        expect(
            abs(width / alone - 1) > 0.2,
            "The interval is as wide as that of the head's change alone. Take the controls' change "
            "off prompt by prompt, before anything is averaged over prompts.",
        )
        expect(
            width < alone,
            "The interval is too wide. It treats the head's changes and the controls' as if they "
            "came from different prompts. What a prompt does whichever head is ablated, as in (d), "
            "cancels in the difference, prompt by prompt.",
        )
        pairs = x - changes[layer, free]
        pooled = (pairs.std() / right.std() / len(free) ** 0.5).item()
        single = (pairs.std(1).mean() / right.std()).item()
        expect(
            abs(pooled - 1) < 0.1 or abs(width / pooled - 1) > 0.05,
            "The interval is too narrow. All pairs of a prompt and a control are treated as "
            "independent: take the controls' mean for each prompt, and `bootstrap` the prompts.",
        )
        expect(
            abs(single - 1) < 0.1 or abs(width / single - 1) > 0.05,
            "The interval is as wide as with a single control: take the controls' mean prompt by "
            "prompt, and make *one* interval.",
        )
        for ratio, interval in ((0.51, "*one* standard error"), (0.84, "90%"), (1.31, "99%")):
            expect(
                abs(width / ratio - 1) > 0.06,
                f"The interval looks like one of {interval}. One of 95% is asked for, about two "
                "standard errors to each side.",
            )
        expect(
            0.9 < width < 1.12,
            f"The interval is {width:.2f} times as wide as the 95% interval of the mean over "
            "prompts: give `bootstrap` one number for each prompt, the head's change less the mean "
            "of its controls'.",
        )
    return (
        "What all heads of the layer do alike is taken off, suspects are no controls, and the "
        "interval is that of the paired difference."
    )


@exercise("utils.circuits.attribution.waterfall", keeps_gradient=False)
def check_waterfall(waterfall) -> str:
    """Two runs of a small random model; every sum is worked out layer by layer."""
    wanted = ("direct", "later attention", "later MLPs", "norm")
    for batch, n_layers, n_heads, d_head, layer in (
        (4, 3, 2, 3, 1),
        (3, 3, 2, 3, 0),
        (1, 2, 3, 5, 1),
    ):
        model, tokens = _small_model(n_layers, n_heads, d_head), _prompts(batch, 5)

        def hook(z, hook):
            z = z.clone()
            z[:, :, 1] = 1.5 * z[:, :, 0]  # other positions too: only the last counts
            return z

        before = _run(model, tokens)
        after = _run(model, tokens, [(f"blocks.{layer}.attn.hook_z", hook)])
        direction = torch.randn(batch, 12, generator=torch.Generator().manual_seed(6))
        weight, last = model.ln_final.weight.detach(), n_layers - 1
        folded = direction * weight
        streams = [run["resid_post", last][:, -1] for run in (before, after)]
        old, new = map(_rms, streams)

        def part(name, layers, by=old, along=folded, was=before, now=after, at=slice(-1, None)):
            total = torch.zeros(len(by))
            for i in layers:
                total = total + ((now[name, i] - was[name, i])[:, at].sum(1) * along).sum(-1)
            return total / by

        was, now = ((x * folded).sum(-1) for x in streams)
        right = {
            "direct": part("attn_out", [layer]),
            "later attention": part("attn_out", range(layer + 1, n_layers)),
            "later MLPs": part("mlp_out", range(layer, n_layers)),
            "norm": now / new - now / old,
        }
        got = waterfall(before, after, model, direction, layer)
        expect(
            isinstance(got, dict) and set(got) == set(wanted),
            f"Return a dictionary with the keys {', '.join(map(repr, wanted))}.",
        )
        names = {"direct": "attn_out", "later attention": "attn_out", "later MLPs": "mlp_out"}
        spans = {
            "direct": [layer],
            "later attention": range(layer + 1, n_layers),
            "later MLPs": range(layer, n_layers),
        }
        for key, name in names.items():
            span = spans[key]
            mistakes = {
                "The sign: after minus before.": -right[key],
                "The sign is lost.": right[key].abs(),
                "The runs are swapped: the change is `after - before`, on the scale of `before`.": (
                    -part(name, span, by=new)
                ),
                "You summed over the positions: take the last.": part(name, span, at=slice(None)),
                "That is the first position: take the last.": part(name, span, at=slice(1)),
                "It is on the scale of the run *after*. Take the one before, so that what the new "
                "scale does is left for the norm.": part(name, span, by=new),
                "Each run is divided by its own scale, which hides the norm in the components. "
                "Divide both by the scale of the run before.": sum(
                    ((after[name, i][:, -1] * folded).sum(-1) / new)
                    - ((before[name, i][:, -1] * folded).sum(-1) / old)
                    for i in span
                )
                + torch.zeros(batch),
                "The scale is missing: divide by that of the run before.": part(
                    name, span, by=torch.ones(batch)
                ),
                "The final norm's weight is missing.": part(name, span, along=direction),
                "Layers are one too early or too late: the ablated layer's *attention* is the "
                "direct effect, and all after it, its own MLP too, comes later.": part(
                    name, range(span[0] + 1 if len(span) else 0, n_layers)
                ),
                "The ablated layer's own attention is in it: that is the direct effect.": (
                    part("attn_out", range(layer, n_layers))
                ),
                "The last layer is left out.": part(name, span[:-1]),
                "That is what the components write in the run after: their *change* is asked "
                "for.": sum((after[name, i][:, -1] * folded).sum(-1) / old for i in span)
                + torch.zeros(batch),
                "All prompts are taken along the first one's direction: each has its own.": part(
                    name, span, along=folded[:1].expand_as(folded)
                ),
                "Attention and MLPs together: keep them apart.": part("attn_out", span)
                + part("mlp_out", span),
                "A single number: keep one for each prompt.": right[key].mean(),
            }
            if key == "direct":
                message = "That is an MLP: the direct effect is the *attention* of that layer."
                mistakes[message] = part("mlp_out", [layer])
            some = right[key].abs().max() > 1e-3
            match(
                got[key],
                right[key],
                what=f"{key!r}, [batch], for heads of layer {layer} of {n_layers}",
                mistakes=mistakes if some else {},
            )
        match(
            got["norm"],
            right["norm"],
            what="'norm', [batch],",
            mistakes={
                "The sign of the norm's effect: a larger scale makes a positive difference "
                "smaller.": -right["norm"],
                "That is what the new scale does to the stream *before*. The components have "
                "changed by then: take the stream after.": was / new - was / old,
                "That is the whole effect: the norm's is what the new scale does to the stream "
                "after.": now / new - was / old,
                "The norm's effect is 0 only if the scale stays the same, and it does not.": (
                    torch.zeros(batch)
                ),
                "That is the change of the scale itself. How much does it change the logits?": (
                    new - old
                ),
                "That is the ratio of the scales. How much does it change the logits?": old / new,
                "The final norm's weight is missing.": (streams[1] * direction).sum(-1)
                * (1 / new - 1 / old),
            },
        )
    return "The four sum to the whole effect, and each says who made it."


@investigation("invisible_head", course=(20, 0))
def check_invisible_head(answer) -> str:
    """The head with no attribution of its own that matters most."""
    if isinstance(answer, str):
        raise Wrong("Give it as (layer, number), such as (4, 1), and not as text.")
    head = tuple(int(each) for each in answer)
    expect(len(head) == 2, "Give one head, as (layer, number in the layer).")
    expect(not (head[0] < 9 <= head[1] < 30), "The layer comes first: (layer, number).")
    expect(
        0 <= head[0] < 30 and 0 <= head[1] < 9,
        "The model has no such head: its layers are 0 to 29, and each has heads 0 to 8.",
    )
    writes = [(23, 3), (29, 1), (29, 0), (24, 4), (23, 0), (23, 1), (23, 2), (23, 7)]
    writes += [(24, 5), (24, 7), (25, 2), (26, 0)]
    expect(
        head not in writes,
        "This head writes to the difference itself: its attribution is above 0.05 in size. Look "
        "for one that attribution does not show.",
    )
    expect(
        head != (19, 2),
        "A head of the right kind, and the second largest: one other has three times its effect.",
    )
    expect(
        head == (20, 0),
        "Some head without attribution matters more. In the diagram, what acts on the name mover, "
        "and where does it look from END? Read that in the patterns before you ablate.",
    )
    return "It writes nothing towards either name, and without it the difference falls."


@exercise("utils.circuits.attribution.ov_on_names", keeps_gradient=False)
def check_ov_on_names(ov_on_names) -> str:
    """A small random model in which two or three heads share their value weights."""
    for n_heads, n_groups, head, ids in (
        (6, 3, (0, 4), [3, 10, 0]),
        (4, 2, (1, 2), [7, 2, 9, 4]),
        (4, 4, (2, 1), [5, 1, 8, 6, 2]),
    ):
        model, names = _small_model(3, n_heads, 3, n_groups), torch.tensor(ids)
        x = 3 * torch.randn(len(ids), 12, generator=torch.Generator().manual_seed(7))
        weight, W_U = model.ln_final.weight.detach(), model.W_U.detach()
        layer, number = head
        ln1 = model.blocks[layer].ln1.weight.detach()
        read = x / _rms(x)[:, None] * ln1

        def through(
            read=read, group=None, number=number, columns=names, weight=weight, layer=layer,
            n_shared=n_heads // n_groups, model=model, W_U=W_U,
        ):  # fmt: skip
            group = number // n_shared if group is None else group
            W_V, W_O = model.W_V[layer, group].detach(), model.W_O[layer, number].detach()
            return (read @ W_V @ W_O * weight) @ W_U[:, columns]

        def centred(logits: torch.Tensor) -> torch.Tensor:
            return logits - logits.mean(1, keepdim=True)

        right, raw = centred(through()), through()
        written = read @ model.W_V[layer, number * n_groups // n_heads] @ model.W_O[layer, number]
        mistakes = {
            "The row's mean is still in it: take it off, so that what raises all names alike "
            "counts as nothing.": raw,
            "The *column's* mean is taken off: take off that of each row, over the names raised.": (
                raw - raw.mean(0)
            ),
            "The mean of all entries is taken off: take off each row's own.": raw - raw.mean(),
            "The axes are swapped: rows are the names read.": right.T,
            "The block's norm `ln1` is missing: the head reads the stream through it.": centred(
                through(read=x)
            ),
            "The stream is not divided by its scale: `model.blocks[layer].ln1(x)` does all.": (
                centred(through(read=x * ln1))
            ),
            "The final norm's weight is missing.": centred(through(weight=torch.ones(12))),
            "`model.ln_final` divides by a scale too, that of this one head's output. Multiply by "
            "its weight alone.": centred(model.ln_final(written).detach() @ W_U[:, names]),
            "The names' *rows* of `W_U` are not their columns: take `W_U[:, names]`.": centred(
                through(columns=slice(len(ids)))
            ),
            "All tokens are columns: take those of the names.": centred(
                through(columns=slice(None))
            ),
            "Those are another group's weights: *neighbouring* heads share a group.": (
                centred(through(group=number % n_groups))
            ),
            "That is the first group's W_V: which group does this head belong to?": centred(
                through(group=0)
            ),
            "That is the W_O of a group, and each head has its own: [layer, head, ...].": centred(
                through(group=number * n_groups // n_heads, number=number * n_groups // n_heads)
            ),
            "That is the diagonal: keep all names read and raised.": right.diag(),
            "The sign is lost: a head may lower a name.": right.abs(),
        }
        match(
            ov_on_names(model, head, x, names),
            right,
            what=f"The matrix [read, raised] of L{layer}H{number}",
            mistakes=mistakes,
        )
    return "From weights alone: what the head would write if it looked at one name."
