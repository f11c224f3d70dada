"""Checks of lesson 1.1, induction heads."""

from collections.abc import Callable
from numbers import Integral

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from utils.checks.engine import Wrong, exercise, expect, investigation, match


def _tiny(n_layers: int, n_heads: int, *, seed: int) -> TransformerBridge:
    """Random attention layers, with weights so large that heads differ in where they look."""
    model = TransformerBridge.boot_native(
        {
            "n_layers": n_layers,
            "d_model": 10,
            "n_heads": n_heads,
            "d_head": 3,
            "n_ctx": 16,
            "d_vocab": 7,
            "attn_only": True,
            "normalization_type": "LNPre",
            "positional_embedding_type": "standard",
            "act_fn": "gelu",
            "seed": 0,
        },
        device="cpu",
    )
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.7 * torch.randn(weight.shape, generator=random))
    return model.eval()


def _rows(batch: int, seq_len: int, *, seed: int) -> Tensor:
    """BOS, which is 0, and random tokens that come twice."""
    random = torch.Generator().manual_seed(seed)
    half = torch.randint(1, 7, (batch, seq_len), generator=random)
    return torch.cat([torch.zeros(batch, 1, dtype=torch.long), half, half], dim=1)


@exercise("utils.circuits.induction.stripe_scores")
def check_stripe_scores(stripe_scores) -> str:
    """A random model, whose patterns are cached and averaged one entry at a time."""
    for batch, seq_len, (n_layers, n_heads), back in (
        (2, 5, (3, 2), 4),
        (1, 4, (2, 3), 1),
        (3, 4, (2, 4), 4),
    ):
        model = _tiny(n_layers, n_heads, seed=batch)
        tokens = _rows(batch, seq_len, seed=batch)
        n_pos = 1 + 2 * seq_len
        for block in model.blocks:  # scores that are no pattern: native models give the pattern
            block.attn.hook_attn_scores.add_hook(lambda s, hook: 5 * s - 2, is_permanent=True)
        with torch.no_grad():
            _, cache = model.run_with_cache(tokens)
        scores = [cache[f"blocks.{layer}.attn.hook_attn_scores"] for layer in range(n_layers)]
        patterns = [cache[f"blocks.{layer}.attn.hook_pattern"] for layer in range(n_layers)]

        def stripe(first: int, last: int, shift: int = back, patterns=patterns) -> Tensor:
            """[layer, row, head, query]: what queries from `first` to `last` have `shift` back."""
            return torch.stack(
                [
                    torch.stack([p[:, :, q, q - shift] for q in range(first, last + 1)], -1)
                    for p in patterns
                ]
            )

        each = stripe(seq_len + 1, n_pos - 1)
        right = each.mean((1, 3))
        got = stripe_scores(model, tokens, back=back)
        expect(
            not isinstance(got, (list, tuple, dict)),
            "Return one tensor, [layer, head]: `torch.stack` makes it of a list of layers.",
        )
        expect(
            not (isinstance(got, Tensor) and got.shape == right.shape and not got.any()),
            "All scores are 0. Did the hook run, and write into the tensor that you return? Is the "
            "key before the query, in a pattern [batch, head, query, key]?",
        )
        whole = stripe(back, n_pos - 1)
        mistakes = {
            "That is the mean along the whole stripe. Only queries in the repeat count: those at "
            "positions seq_len + 1 to 2 * seq_len.": whole.mean((1, 3)),
            "Those are queries of the first half. Count the ones in the repeat.": stripe(
                max(1, back), seq_len
            ).mean((1, 3)),
            "The repeat's first token is left out. It stands at position seq_len + 1, since BOS is "
            "at 0, and counts as a query.": stripe(seq_len + 2, n_pos - 1).mean((1, 3)),
            "The last query is left out: it stands at position 2 * seq_len.": stripe(
                seq_len + 1, n_pos - 2
            ).mean((1, 3)),
            "Off by one: the queries begin at seq_len + 1, since BOS is at 0.": stripe(
                seq_len, n_pos - 2
            ).mean((1, 3)),
            "Off by one: the queries begin at seq_len + 1, since BOS stands at 0.": stripe(
                seq_len, n_pos - 1
            ).mean((1, 3)),
            "Off by one: those keys stand one position nearer to the query than `back`.": stripe(
                seq_len + 1, n_pos - 1, back - 1
            ).mean((1, 3)),
            "Off by one: those keys stand one position further back than `back`.": stripe(
                seq_len + 1, n_pos - 1, min(back + 1, seq_len + 1)
            ).mean((1, 3)),
            "`back` is not used: you always look seq_len - 1 back.": stripe(
                seq_len + 1, n_pos - 1, seq_len - 1
            ).mean((1, 3))
            if back != seq_len - 1
            else right + 1,
            "That is a sum over the queries: take the mean.": each.sum(3).mean(1),
            "That is a sum over rows and queries: take the mean.": each.sum((1, 3)),
            "Only the first row counts: take the mean over the batch.": each[:, 0].mean(-1)
            if batch > 1
            else right + 1,
            "Only the last row counts: take the mean over the batch.": each[:, -1].mean(-1)
            if batch > 1
            else right + 1,
            "That is the largest attention on the stripe: take the mean.": each.amax(3).mean(1),
            "Each row keeps its own score: take the mean over the batch too.": each.mean(3),
            "You averaged over the heads, and kept the batch: keep the heads.": each.mean((2, 3)),
            "Each query keeps its own score: take the mean along the stripe.": each.mean(1),
            "Layers and heads are swapped: the result is [layer, head].": right.T,
            "Every layer has the last layer's scores: take the layer from the hook point, "
            "`hook.layer()`.": right[-1:].expand_as(right),
            "Those are attention *scores*, before the softmax: hook `hook_pattern`.": stripe(
                seq_len + 1, n_pos - 1, patterns=scores
            ).mean((1, 3)),
            "That is the attention to the whole key's column. Take one key for each query.": (
                torch.stack(
                    [p[:, :, seq_len + 1 :, seq_len + 1 - back].mean((0, 2)) for p in patterns]
                )
            ),
        }
        match(
            got,
            right,
            what=f"The scores of {n_layers} layers of {n_heads} heads, back {back},",
            mistakes=mistakes,
        )
        expect(
            not got.requires_grad,
            "The numbers are right, but the scores hold on to gradients, and so to the whole run: "
            "run the model within `torch.no_grad()`.",
        )
    return "One number a head."


@exercise("utils.heads.ablation_hooks")
def check_ablation_hooks(ablation_hooks) -> str:
    """A random model in which the heads' outputs are planted just before the learner's hooks."""
    n_layers, n_heads, d_head = 3, 4, 3
    model = _tiny(n_layers, n_heads, seed=0)
    random = torch.Generator().manual_seed(1)
    for batch, heads in (
        (2, [(0, 1)]),
        (2, [(0, 1), (2, 0), (0, 3), (2, 2)]),
        (1, [(2, 3), (1, 0), (1, 1)]),
        (3, [(1, 2), (0, 0), (2, 1)]),
    ):
        planted = torch.randn(n_layers, batch, 7, n_heads, d_head, generator=random)
        wanted: dict[int, list[int]] = {}
        for layer, head in heads:
            wanted.setdefault(layer, []).append(head)
        hooks = ablation_hooks(model, list(heads))
        given, got = _run_planted(model, hooks, planted)
        mean = planted.mean((1, 2), keepdim=True)

        def put(values, chosen=wanted, planted=planted) -> Tensor:
            out = planted.clone()
            values = torch.as_tensor(values).expand_as(out)
            for layer, numbers in chosen.items():
                out[layer][:, :, numbers] = values[layer][:, :, numbers]
            return out

        last = list(wanted)[-1]
        shared = {layer: wanted[last] for layer in wanted}
        everywhere = {layer: [head for _, head in heads] for layer in wanted}
        swapped = [(head, layer) for layer, head in heads]
        as_positions = planted.clone()
        for layer, numbers in wanted.items():
            as_positions[layer][:, numbers] = planted[layer][:, numbers].mean((0, 1), keepdim=True)
        chosen_mean = planted.clone()
        for layer, numbers in wanted.items():
            chosen_mean[layer] = planted[layer][:, :, numbers].mean((0, 1, 2))
        mistakes = {
            "Nothing changes in the model: a hook must *return* the new tensor.": planted,
            "Every layer gets the last layer's heads: the closure sees the loop's last value. Make "
            "each hook in an outer function that takes the numbers as an argument.": put(
                mean, shared
            ),
            "Every hook ablates the last head: the closure sees the loop's last value. Make each "
            "hook in an outer function that takes the head as an argument.": put(
                mean, {layer: [heads[-1][1]] for layer in wanted}
            ),
            "Only the last head of a layer is ablated: the second hook of a layer overwrites the "
            "first.": put(mean, {layer: numbers[-1:] for layer, numbers in wanted.items()}),
            "Only the first head of a layer is ablated: a layer may have several.": put(
                mean, {layer: numbers[:1] for layer, numbers in wanted.items()}
            ),
            "Only the last head is ablated: return hooks for every layer.": put(
                mean, {heads[-1][0]: [heads[-1][1]]}
            ),
            "Only the first head is ablated: return hooks for every layer.": put(
                mean, {heads[0][0]: [heads[0][1]]}
            ),
            "Only the last layer is ablated: return hooks for every layer.": put(
                mean, {last: wanted[last]}
            ),
            "All the numbers are ablated in each layer: sort the heads by layer first.": put(
                mean, everywhere
            ),
            "Every head of the layers is ablated: leave those that are not in `heads` alone.": put(
                mean, {layer: list(range(n_heads)) for layer in wanted}
            ),
            "The heads are ablated in every layer: hook only the layers that are in `heads`.": put(
                mean, {layer: [head for _, head in heads] for layer in range(n_layers)}
            ),
            "Those are positions, not heads: the heads are the third axis of [batch, pos, head, "
            "d_head].": as_positions,
            "That is zero ablation: put each head's *mean* there.": put(0.0),
            "You averaged over the batch only, so each position keeps its own mean. Average over "
            "batch *and* positions.": put(planted.mean(1, keepdim=True)),
            "You averaged over positions only, so each row keeps its own mean. Average over batch "
            "*and* positions.": put(planted.mean(2, keepdim=True)),
            "You averaged over d_head as well: the mean is a vector, not one number.": put(
                planted.mean((1, 2, 4), keepdim=True)
            ),
            "The ablated heads of a layer share one mean: each has its own.": put(chosen_mean),
            "You averaged over *all* heads: each ablated head takes its own mean.": put(
                planted.mean((1, 2, 3), keepdim=True)
            ),
            "BOS is left out of your mean. Here it counts: average over all positions.": put(
                planted[:, :, 1:].mean((1, 2), keepdim=True)
            ),
            "The mean is taken off. It should stand in the head's place.": put(planted - mean),
            "That is a sum over batch and positions: take the mean.": put(
                planted.sum((1, 2), keepdim=True)
            ),
        }
        if all(layer < n_layers for layer, _ in swapped):
            by_head: dict[int, list[int]] = {}
            for layer, head in swapped:
                by_head.setdefault(layer, []).append(head)
            mistakes["Layer and head are swapped: a head is (layer, number)."] = put(mean, by_head)
        names = ", ".join(f"L{layer}H{head}" for layer, head in heads)
        match(got, put(mean), what=f"The heads' outputs with {names} ablated", mistakes=mistakes)
        expect(
            torch.equal(given, planted),
            "The hook changes the activation that it is given in place, which others may hold, a "
            "cache for one: work on a copy, `z.clone()`.",
        )
        again = torch.randn(n_layers, batch, 5, n_heads, d_head, generator=random)
        _, got = _run_planted(model, hooks, again)
        expect(
            torch.allclose(got, put(again.mean((1, 2), keepdim=True), wanted, again), atol=1e-5),
            "On other tokens the hooks go wrong: take the mean when a hook runs, from what it is "
            "given.",
        )
    return "Each head gives its own mean, and all else is as it was."


def _run_planted(model, hooks, planted: Tensor) -> tuple[Tensor, Tensor]:
    """The planted head outputs [layer, ...] as they are after a run, and what the hooks made."""
    try:
        hooks = [(name, hook) for name, hook in hooks]
    except (TypeError, ValueError):
        raise Wrong("Return a list of pairs (hook name, hook function).") from None
    expect(
        all(callable(hook) for _, hook in hooks),
        "The second of each pair should be a function of (z, hook). You may have called it "
        "already: give the function itself.",
    )
    given, got, n_layers = planted.clone(), {}, len(planted)
    for name, _ in hooks:
        wanted = [f"blocks.{layer}.attn.hook_z" for layer in range(n_layers)]
        expect(
            not isinstance(name, str) or name in wanted,
            f"There is no hook `{name}` in this model that has the heads' outputs: the name is "
            "`blocks.{layer}.attn.hook_z`, with the layer's number.",
        )

    def plant(layer: int) -> Callable:
        return lambda z, hook: given[layer]

    def keep(layer: int) -> Callable:
        def hook_in(z, hook):
            got[layer] = z.detach().clone()

        return hook_in

    names = [f"blocks.{layer}.attn.hook_z" for layer in range(n_layers)]
    first = [(name, plant(layer)) for layer, name in enumerate(names)]
    last = [(name, keep(layer)) for layer, name in enumerate(names)]
    tokens = torch.zeros(planted.shape[1:3], dtype=torch.long)
    try:
        with torch.no_grad():
            model.run_with_hooks(tokens, fwd_hooks=[*first, *hooks, *last])
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else "no message"
        raise Wrong(
            f"With your hooks on, the model fails with {type(error).__name__}: {text}. A hook is "
            "called as `function(z, hook=...)` with z [batch, pos, head, d_head], and returns a "
            "tensor of that shape."
        ) from error
    expect(
        all(got[layer].shape == planted.shape[1:] for layer in range(n_layers)),
        "A hook returns a tensor of another shape than it was given: return all of z, changed.",
    )
    return given, torch.stack([got[layer] for layer in range(n_layers)])


def _scaled(layer: int, by: float) -> tuple[str, Callable]:
    return f"blocks.{layer}.attn.hook_z", lambda z, hook: z * by


@exercise("utils.circuits.induction.fair_control")
def check_fair_control(fair_control) -> str:
    """Two models of many layers, and costs that are planted in the heads' numbers."""

    def cost_of(sets) -> Tensor:
        """[set, row]: each head adds its own cost to each of the two rows."""
        cost = [[sum((7 * i + 3 * j) % 11 - r * j for i, j in s) for r in (1, 2)] for s in sets]
        return torch.tensor(cost, dtype=torch.float32)

    def seeded(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    for chosen, n, n_layers, n_heads in (
        ([(6, 1), (7, 0), (6, 3)], 150, 17, 6),
        ([(10, 2), (9, 2)], 120, 18, 5),
        ([(0, 1), (1, 0)], 40, 9, 6),
        ([(8, 1), (7, 5)], 40, 9, 6),
    ):
        size = {"n_layers": n_layers, "n_heads": n_heads}

        def run(seed, n=n, chosen=chosen, size=size):
            generator = seed if isinstance(seed, torch.Generator) else seeded(seed)
            got = fair_control(cost_of, list(chosen), n, **size, generator=generator)
            expect(
                isinstance(got, (tuple, list)) and len(got) == 2,
                "Return two things: the list of sets, and `cost_of` of that list.",
            )
            return _sets(got[0]), got[1]

        sets, costs = run(0)
        expect(len(sets) == n, f"Asked for {n} sets, your function returns {len(sets)}.")
        for heads in sets:
            expect(
                len(heads) == len(chosen),
                f"A set has {len(heads)} heads, and `chosen` {len(chosen)}: the number of heads "
                "alone could explain another cost.",
            )
            for layer, head in heads:
                expect(
                    0 <= layer < n_layers and 0 <= head < n_heads,
                    f"There is no ({layer}, {head}) in {n_layers} layers of {n_heads} heads, "
                    f"counted from 0. The tested heads are {list(chosen)}.",
                )
            expect(
                not set(heads) & set(chosen),
                "A head under test is in a control: `but=chosen` leaves all of them out.",
            )
            expect(len(set(heads)) == len(heads), "A head is twice in one set.")
        expect(
            len(set(map(tuple, sets))) > 1,
            "All sets are the same: draw a new one each time, with one generator.",
        )
        tested = [layer for layer, _ in chosen]
        drawn = torch.tensor([[layer for layer, _ in heads] for heads in sets])
        far = max(min(abs(layer - i) for i in tested) for layer in drawn.flatten().tolist())
        expect(
            far <= 3,
            f'"Your sets have heads {far} layers away from the tested ones," says the colleague. '
            '"Perhaps the middle of the model is what matters."',
        )
        n_pool = len({head for heads in sets for head in heads})
        expect(
            n_pool >= 4 * len(chosen),
            f"For {list(chosen)}, in the check's model of {n_heads} heads a layer, all your sets "
            f"come from {n_pool} heads, so they are much alike: let heads of the next layers in, "
            f"until there are {4 * len(chosen)} to draw from.",
        )
        at_an_end = min(tested) < 3 or max(tested) > n_layers - 4
        late = drawn.float().mean().item() - sum(tested) / len(tested)
        expect(
            at_an_end or abs(late) < 0.9,
            f"Your sets stand {abs(late):.1f} layers {'after' if late > 0 else 'before'} the "
            "tested heads on average: go as far before their layers as after.",
        )
        right, more = cost_of(sets), run(0, 2 * n)[0]
        mistakes = {
            "Return the costs as `cost_of` gives them, [set, row]: you took the mean over rows.": (
                right.mean(1)
            ),
            "Return a cost for each set: you took the mean over the sets.": right.mean(0),
            "You subtract the cost of `chosen`: return the sets' own costs.": (
                right - cost_of([chosen])
            ),
            "Those are other sets' costs. Do you draw twice? Run the sets that you return.": (
                cost_of(more[n:])
            ),
        }
        match(costs, right, what="The costs of the sets", mistakes=mistakes)
        expect(
            run(1)[0] == run(1)[0],
            "The same seed gives different sets: hand `generator=generator` to what draws.",
        )
        expect(
            run(1)[0] != run(2)[0],
            "Two seeds give the same sets: draw with the generator that is given.",
        )
        one = seeded(1)
        expect(run(one)[0] != run(one)[0], "Use the generator as it is, and do not start it again.")
    return "As many heads, in the same part of the model, and none of those under test."


def _sets(got) -> list[list[tuple[int, int]]]:
    expect(
        isinstance(got, (list, tuple)) and all(isinstance(heads, (list, tuple)) for heads in got),
        "Return a list of sets, each a list of heads (layer, head).",
    )
    for head in (head for heads in got for head in heads):
        expect(
            isinstance(head, tuple)
            and len(head) == 2
            and all(isinstance(x, Integral) and not isinstance(x, bool) for x in head),
            "A head is a tuple of two whole numbers, (layer, head); `.item()` makes a number of a "
            "tensor.",
        )
    return [list(heads) for heads in got]


@investigation("shared_head", course=(16, 0))
def check_shared_head(shared_head) -> str:
    """The previous-token head that the expensive control draws hit."""
    expect(
        isinstance(shared_head, (tuple, list, Tensor)) and len(shared_head) == 2,
        "Give one head, as a pair (layer, head), such as (18, 6).",
    )
    expect(
        all(isinstance(x, (Integral, Tensor)) and int(x) == x for x in shared_head),
        "Give the layer and the head's number, two whole numbers.",
    )
    layer, head = (int(x) for x in shared_head)
    expect((layer, head) != (0, 16), "Layer and head are swapped: the layer comes first.")
    expect(
        0 <= layer < 30 and 0 <= head < 9,
        "There is no such head: layers are from 0 to 29, and heads from 0 to 8.",
    )
    expect(
        (layer, head) not in [(18, 6), (17, 3), (17, 4), (17, 5), (18, 7)],
        "That is one of the five induction heads, which are in no control.",
    )
    expect(
        13 <= layer <= 22,
        "A fair control has no head of that layer: look at what is in `draws`.",
    )
    expect(
        (layer, head) == (16, 0),
        "That head is not it. It may have shared expensive draws with the one you look for: are "
        "*all* draws with it expensive, and what does it cost alone?",
    )
    return "All draws with it are expensive, and no other draw is."


@exercise("utils.circuits.induction.text_costs")
def check_text_costs(text_costs) -> str:
    """A random model, and texts with tokens that come again with and without their neighbour."""
    for rows in (
        [
            [0, 3, 5, 2, 3, 5, 2, 6, 5, 3, 5, 1],
            [0, 1, 4, 1, 2, 4, 1, 4, 2, 2, 2, 2],
            [0, 2, 6, 4, 4, 6, 2, 6, 1, 3, 5, 2],
        ],
        [[0, 6, 6, 3, 1, 6, 3, 1, 5]],
    ):
        tokens = torch.tensor(rows)
        model = _tiny(2, 3, seed=len(rows) + 8)
        hooks = [_scaled(0, 0.0), _scaled(1, 2.0)]

        def losses(hooks, tokens=tokens, model=model) -> Tensor:
            with torch.no_grad():
                logits = model.run_with_hooks(tokens, fwd_hooks=hooks)
            log_probs = logits - logits.exp().sum(-1, keepdim=True).log()
            return -log_probs[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0]

        intact, with_hooks = losses([]), losses(hooks)
        added = with_hooks - intact

        def mask(is_repeat, rows=rows) -> Tensor:
            return torch.tensor([[is_repeat(ids, at) for at in range(1, len(ids))] for ids in rows])

        def came(ids, at, *, upto=0) -> bool:
            """The pair that ends at `at` ended somewhere before."""
            return any(ids[i - 1 : i + 1] == ids[at - 1 : at + 1] for i in range(1, at + upto))

        def by(masks: Tensor, of=added) -> Tensor:
            return torch.stack(
                [
                    torch.stack([each[m].mean(), each[~m].mean()])
                    for each, m in zip(of, masks, strict=True)
                ]
            )

        repeat = mask(came)
        right = by(repeat)
        in_any = set()
        across = []
        for ids in rows:
            across.append([])
            for pair in zip(ids[:-1], ids[1:], strict=True):
                across[-1].append(pair in in_any)
                in_any.add(pair)
        got = text_costs(model, tokens, list(hooks))
        expect(
            not isinstance(got, (list, tuple, dict)),
            "Return one tensor, [text, 2]: `torch.stack` makes it of a list.",
        )
        expect(
            not (isinstance(got, Tensor) and got.isnan().any()),
            "A kind is empty, so its mean is NaN. Tensors in a pair are compared by identity: make "
            "numbers of them, `ids.tolist()`.",
        )
        pooled = torch.stack([added[repeat].mean(), added[~repeat].mean()])
        mistakes = {
            "Repeats and others are swapped: repeats come first.": right.flip(1),
            "A token counts as a repeat where it came before *after the same token*. You count "
            "every token that came before.": by(mask(lambda ids, at: ids[at] in ids[:at])),
            "You look whether the *predecessor* came before. Both together must have.": by(
                mask(lambda ids, at: ids[at - 1] in ids[: at - 1])
            ),
            "The first time counts as well: a pair is a repeat only where it came *earlier*.": by(
                mask(
                    lambda ids, at: (
                        sum(ids[i - 1 : i + 1] == ids[at - 1 : at + 1] for i in range(1, len(ids)))
                        > 1
                    )
                )
            ),
            "Off by one: entry `i` of the losses is about token `i + 1`, the second of pair "
            "`i`.": by(repeat.roll(1, 1)),
            "Off by one: entry `i` of the losses is about token `i + 1`, so it belongs to pair "
            "`i`.": by(repeat.roll(-1, 1)),
            "Off by one: the mask is one entry late. Entry `i` is about pair `i`.": by(
                torch.cat([torch.zeros(len(rows), 1, dtype=torch.bool), repeat[:, :-1]], dim=1)
            ),
            "The two tokens of a pair are looked up separately: both together must have come "
            "before.": by(
                mask(lambda ids, at: ids[at] in ids[:at] and ids[at - 1] in ids[: at - 1])
            ),
            "The order of the pair is lost: `b a` is no repeat of `a b`.": by(
                mask(
                    lambda ids, at: any(
                        set(ids[i - 1 : i + 1]) == set(ids[at - 1 : at + 1]) for i in range(1, at)
                    )
                )
            ),
            "The sign: a cost is the loss with the hooks less that without.": -right,
            "Those are the losses with the hooks: subtract the intact model's.": by(
                repeat, with_hooks
            ),
            "Those are the intact model's losses: what do the hooks add?": by(repeat, intact),
            "The hooks have no effect: use them while the model runs.": torch.zeros_like(right),
            "You pooled the texts: return a row for each.": pooled,
            "That is a sum over tokens: take the mean.": torch.stack(
                [(added * repeat).sum(1), (added * ~repeat).sum(1)], dim=1
            ),
            "You divide by all tokens of the text: take the mean over each kind.": torch.stack(
                [(added * repeat).mean(1), (added * ~repeat).mean(1)], dim=1
            ),
            "Texts and kinds are swapped: [text, 2].": right.T,
        }
        if len(rows) > 1:
            mistakes["Pairs of one text count in the next: start each text anew."] = by(
                torch.tensor(across)
            )
        match(
            got,
            right,
            what=f"The costs of {len(rows)} text{'s' * (len(rows) > 1)}",
            mistakes=mistakes,
        )
        expect(
            not got.requires_grad,
            "The numbers are right, but gradients are kept: run the model within "
            "`torch.no_grad()`.",
        )
    return "Repeats and the rest of each text, against the intact model."
