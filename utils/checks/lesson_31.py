"""Checks of lesson 3.1, steering vectors."""

from types import SimpleNamespace

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from utils.checks.engine import Wrong, exercise, expect, investigation, match
from utils.checks.inputs import described

# ---- Making a vector ----------------------------------------------------------------------------


def _tiny(seed: int) -> TransformerBridge:
    """A small model in which every position and component matters; it reads digits as tokens."""
    model = TransformerBridge.boot_native(
        {
            "n_layers": 4,
            "n_heads": 2,
            "d_head": 4,
            "d_model": 6,
            "d_mlp": 12,
            "d_vocab": 10,
            "n_ctx": 12,
            "normalization_type": "LN",
            "positional_embedding_type": "standard",
            "act_fn": "gelu",
            "seed": 0,
        }
    )
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            drawn = torch.randn(weight.shape, generator=random)
            weight.copy_(0.6 * drawn if weight.ndim == 2 else 1 + 0.3 * drawn)

    def to_tokens(texts, *args, **kwargs) -> Tensor:
        rows = [torch.tensor([0, *map(int, text)]) for text in _listed(texts)]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)

    model.to_tokens = to_tokens
    model.eval().run_with_cache(model.to_tokens("12"))  # the first run sets up hooks of its own
    return model


def _listed(texts) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)


@torch.no_grad()
def _streams(model, text: str) -> Tensor:
    """The stream before each block and after the last, [layer + 1, pos, d_model]."""
    _, cache = model.run_with_cache(model.to_tokens(text))
    n = model.cfg.n_layers
    return torch.stack(
        [*(cache["resid_pre", i][0] for i in range(n)), cache["resid_post", n - 1][0]]
    )


def _contrast_vectors(contrast_vectors, seed: int, yes: list[str], no: list[str], layers) -> None:
    model = _tiny(seed)
    got = contrast_vectors(model, yes, no, layers=layers)
    sides = [[_streams(model, text) for text in texts] for texts in (yes, no)]
    rows = list(layers)

    def difference(of_text, at=rows, over=lambda each: torch.stack(each).mean(0)) -> Tensor:
        first, second = (over([of_text(each) for each in texts]) for texts in sides)
        return (first - second)[at]

    def of_tokens(each: Tensor) -> Tensor:
        return each[:, 1:].mean(1)

    def with_padding(bos: bool) -> Tensor:
        means = []
        with torch.no_grad():
            for texts in (yes, no):
                tokens = model.to_tokens(texts)
                _, cache = model.run_with_cache(tokens)
                resid = torch.stack([cache["resid_pre", layer] for layer in layers])
                means.append(resid[:, :, 0 if bos else 1 :].mean((1, 2)))
        return means[0] - means[1]

    first = difference(of_tokens)
    all_tokens = difference(lambda each: each[:, 1:], over=lambda each: torch.cat(each, 1).mean(1))
    mistakes = {
        "The vector points away from the concept: subtract the mean without from the mean with.": (
            -first
        ),
        "BOS is in the mean; its vector is unlike all others. `is_text` is False there.": (
            difference(lambda each: each.mean(1))
        ),
        "Padding is in the mean: use `is_text`, and divide by how many tokens each text has.": (
            with_padding(False)
        ),
        "BOS and padding are in the mean: use `is_text`, and divide by how many tokens each text "
        "has.": with_padding(True),
        "Long texts count for more: first a mean for each text, then the mean over texts.": (
            all_tokens
        ),
        "That is the last token's vector: take the mean over all tokens of a text.": difference(
            lambda each: each[:, -1]
        ),
        "Layer L is the stream *before* block L, and this is the one after it: `resid_pre`.": (
            difference(of_tokens, [layer + 1 for layer in rows])
        ),
        "A sum over tokens makes long texts longer vectors: take the mean.": difference(
            lambda each: each[:, 1:].sum(1)
        ),
        "A sum over texts: take the mean.": difference(
            of_tokens, over=lambda each: torch.stack(each).sum(0)
        ),
        "That is the mean of the texts with the concept. Subtract the mean of those without.": (
            torch.stack([of_tokens(each) for each in sides[0]]).mean(0)[rows]
        ),
        "All layers came back: return those in `layers`, in that order.": difference(
            of_tokens, slice(0, model.cfg.n_layers)
        ),
        "Those are the first layers of the model: return those in `layers`, in that order.": (
            difference(of_tokens, list(range(len(rows))))
        ),
        "The layers are in another order than in `layers`.": difference(of_tokens, sorted(rows)),
        "The axes are [d_model layer]: return [layer d_model].": first.T,
    }
    if rows == sorted(rows):
        del mistakes["The layers are in another order than in `layers`."]
    match(got, first, what="The vectors", mistakes=mistakes)


@exercise("utils.writing.contrast.contrast_vectors", keeps_gradient=False)
def check_contrast_vectors(contrast_vectors) -> str:
    """Texts of several lengths, unequal numbers of them, layers out of order."""
    cases = (
        (["123", "4", "56781"], ["98", "7654", "3"], [1, 3]),
        (["12", "3456"], ["9", "87654", "12"], [3, 0, 2]),
    )
    for seed, case in enumerate(cases):
        _contrast_vectors(contrast_vectors, seed, *case)
    return "A mean over the tokens of each text, a mean over texts, and the difference."


# ---- Reading it ---------------------------------------------------------------------------------


def _read_vector(read_vector, seed: int, k: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    d_model, d_vocab = 7, 19
    unembed = torch.randn(d_model, d_vocab, generator=draw)
    weight = torch.randn(d_model, generator=draw)
    vector = torch.randn(d_model, generator=draw)

    def decode(tokens, *args, **kwargs) -> str:
        tokens = tokens.tolist() if isinstance(tokens, Tensor) else tokens
        tokens = [tokens] if isinstance(tokens, int) else tokens
        return "".join(f" t{int(token)}" for token in tokens)

    def batch_decode(rows, *args, **kwargs) -> list[str]:
        return [decode(row) for row in rows]

    class Unembed(SimpleNamespace):
        def __call__(self, resid):
            return resid @ unembed

    class Norm(SimpleNamespace):
        def __call__(self, resid):
            centred = resid - resid.mean(-1, keepdim=True) if self.centres else resid
            return centred / centred.norm(dim=-1, keepdim=True) * weight

    model = SimpleNamespace(
        W_U=unembed,
        unembed=Unembed(W_U=unembed),
        ln_final=Norm(weight=weight, w=weight, centres=False),
        tokenizer=SimpleNamespace(decode=decode, batch_decode=batch_decode),
        to_string=decode,
        to_single_str_token=decode,
        to_str_tokens=lambda tokens, *args, **kwargs: batch_decode(torch.as_tensor(tokens)),
    )
    got = read_vector(model, vector, k=k)
    expect(
        isinstance(got, tuple | list) and len(got) == 2,
        f"Return two lists, of the tokens raised and of those lowered, not {described(got)}.",
    )
    got = tuple(each.tolist() if isinstance(each, Tensor) else each for each in got)
    expect(
        all(isinstance(each, list | tuple) for each in got),
        f"Each of the two is a list of strings, not {described(got[0])}.",
    )
    got = tuple(list(each) for each in got)
    expect(
        all(isinstance(token, str) for each in got for token in each),
        "Return tokens as strings: `model.tokenizer.decode([token])` gives the string of one.",
    )
    expect(
        all(len(each) == k for each in got),
        f"`k` is {k}, and you return {len(got[0])} and {len(got[1])} tokens, as one string each?"
        if all(len(each) == 1 for each in got)
        else f"`k` is {k}, and you return {len(got[0])} and {len(got[1])} tokens.",
    )

    def both(logits: Tensor) -> tuple[list[str], list[str]]:
        order = logits.argsort(descending=True).tolist()
        return tuple([decode(t) for t in each[:k]] for each in (order, order[::-1]))

    right = both((vector * weight) @ unembed)
    wrong = {
        "The final norm's weight is left out: multiply the vector by `model.ln_final.weight` "
        "first.": both(vector @ unembed),
        "The two lists are exchanged: first the tokens that are raised.": right[::-1],
        "The vector is divided by the final norm's weight: multiply.": both(
            (vector / weight) @ unembed
        ),
        "Signs are lost: a token of a large negative logit is lowered.": both(
            ((vector * weight) @ unembed).abs()
        ),
    }
    for message, answer in wrong.items():
        expect(got != answer, message)
    expect(
        got[0] != right[0] or got[1] == right[1] or sorted(got[1]) != sorted(right[1]),
        "The lowered tokens are in the wrong order: the strongest, the lowest logit, comes first.",
    )
    expect(
        sorted(got[0]) != sorted(right[0]) or got[0] == right[0],
        "The raised tokens are in the wrong order: the strongest comes first.",
    )
    expect(
        got != (right[0], right[0]),
        "Both lists hold the raised tokens: the second holds those of the *lowest* logits.",
    )
    expect(
        got == right,
        "Those are not the tokens of the highest and of the lowest logits, where the logits are "
        "`(vector * model.ln_final.weight) @ model.W_U`.",
    )


@exercise("utils.writing.contrast.read_vector", keeps_gradient=False)
def check_read_vector(read_vector) -> str:
    """Random weights of both signs."""
    for seed, k in enumerate((4, 3)):
        _read_vector(read_vector, seed, k)
    return "Through the norm's weight and the unembedding, both ends of the list."


# ---- Adding it ----------------------------------------------------------------------------------


def _called(hook, resid: Tensor) -> Tensor:
    """What a hook returns, as TransformerLens calls it."""
    before = resid.clone()
    result = hook(resid, hook=SimpleNamespace(name="blocks.1.hook_resid_pre"))
    expect(
        result is not None,
        "Your hook returns nothing, so the stream stays as it was: return the changed stream.",
    )
    expect(isinstance(result, Tensor), f"Your hook returns {described(result)}: give a tensor.")
    expect(
        torch.equal(resid, before),
        "Your hook changes `resid` itself, which others still need: return a changed copy.",
    )
    return result


def _steering_hook(steering_hook, seed: int, n: int, start: int, steps: list[int]) -> None:
    draw = torch.Generator().manual_seed(seed)
    vectors = torch.randn(n, 5, generator=draw)
    whole = torch.randn(n, sum(steps), 5, generator=draw)
    parts = whole.split(steps, 1)
    hook = steering_hook(vectors, start=start)
    expect(
        callable(hook),
        f"Return a function, hook(resid, hook), not {described(hook)}: define it inside, and "
        "return it without calling it.",
    )
    other = steering_hook(-vectors, start=start)
    results = []
    for part in parts:  # two runs at once: each hook has a count of its own
        results.append(_called(hook, part))
        _called(other, part)
    expect(
        all(a.shape == b.shape for a, b in zip(results, parts, strict=True)),
        f"The hook got a stream of shape {tuple(parts[0].shape)} and returned "
        f"{tuple(results[0].shape)}: the shape stays.",
    )
    got = torch.cat(results, 1)
    at = torch.arange(sum(steps))
    first = torch.zeros_like(at)  # where the call began
    ends = torch.tensor(steps).cumsum(0)
    for end in ends[:-1]:
        first[end:] = end
    calls = (at[:, None] >= ends).sum(1)

    def added(where: Tensor, what: Tensor = vectors, keep: float = 1.0) -> Tensor:
        return keep * whole + where[:, None] * what[:, None]

    right = added(at >= start)
    mistakes = {
        "Nothing is added.": whole,
        "Two hooks share one count of positions: each hook counts its own run, from 0.": added(
            at + first >= start
        ),
        "Positions are counted from the start of each call. With a cache a later call sees one "
        "position, which is not position 0 of the text: count the positions that went before.": (
            added(at - first >= start)
        ),
        "Every position is steered, BOS too: leave out those before `start`.": added(at >= 0),
        "Off by one: `start` itself is steered.": added(at > start),
        "Off by one: the first position that is steered is `start`.": added(at >= start - 1),
        "The prompt is steered, and the new tokens are not: later calls are positions of the text, "
        "too.": added((at >= start) & (calls == 0)),
        "The prompt is left alone, and only new tokens are steered: from `start` on, both are.": (
            added(calls > 0)
        ),
        "The count goes up by one with each call: it must go up by the number of positions that "
        "the call saw.": added(at - first + calls >= start),
        "All rows get the first row's vector: row i gets `vectors[i]`.": added(
            at >= start, vectors[:1].expand_as(vectors)
        ),
        "The vector is subtracted: add it.": added(at >= start, -vectors),
        "The stream is replaced by the vector: add the two.": torch.where(
            (at >= start)[:, None], vectors[:, None].expand_as(whole), whole
        ),
        "Only position `start` is steered: all from there on are.": added(at == start),
        "All rows get the mean of the vectors: row i gets `vectors[i]`.": added(
            at >= start, vectors.mean(0, keepdim=True).expand_as(vectors)
        ),
    }
    match(got, right, what="The steered stream, of all calls together", mistakes=mistakes)


@exercise("utils.writing.contrast.steering_hook", keeps_gradient=False)
def check_steering_hook(steering_hook) -> str:
    """A prompt and single positions, another start, and a prompt shorter than the start."""
    cases = ((3, 1, [4, 2, 1, 1]), (1, 3, [5, 1, 2]), (2, 4, [2, 1, 1, 1, 2, 1]))
    for seed, case in enumerate(cases):
        _steering_hook(steering_hook, seed, *case)
    return "The count goes on from call to call, so new tokens are steered as well."


# ---- The sweep ----------------------------------------------------------------------------------


class _Recorder:
    """Writes nothing; keeps what the hooks add to each row at two places."""

    def __init__(self, layer: int, end: str, width: int):
        self.names, self.width = (f"blocks.{layer}.hook_resid_pre", end), width
        self.rows, self.added = [], []

    def write(self, rows: Tensor, hooks, *args, **kwargs) -> Tensor:
        hooks = list(hooks.items()) if isinstance(hooks, dict) else list(hooks)
        expect(
            all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in hooks),
            "`hooks` is a list of pairs: (name of the hook point, hook).",
        )
        strange = [name for name, _ in hooks if name not in self.names]
        expect(
            not strange,
            f"There is a hook at {strange[:1]}: the vector goes in at `blocks.LAYER.hook_resid_pre`"
            " of this `layer`, and out at `end`.",
        )
        here = [torch.zeros(len(rows), self.width) for _ in self.names]
        for name, hook in hooks:
            calls = []
            for n in (rows.shape[1], 1, 1):
                moved = _called(hook, torch.zeros(len(rows), n, self.width))
                expect(
                    moved.shape == (len(rows), n, self.width),
                    "A hook changes the shape of the stream: has it as many vectors as there are "
                    "rows?",
                )
                calls.append(moved.detach())
            moved = torch.cat(calls, 1)  # all positions of all calls
            _everywhere(moved, rows.shape[1], name)
            i = self.names.index(name)
            here[i] = here[i] + moved[:, -1]
        expect(rows.ndim == 2, "`write` takes rows of prompts, [row, pos].")
        self.rows.append(rows)
        self.added.append(torch.stack(here, 1))
        n_before = sum(map(len, self.rows[:-1]))
        return torch.arange(n_before, n_before + len(rows))[:, None].expand(-1, 3)

    def measured(self, new: Tensor, look: Tensor) -> Tensor:
        expect(
            isinstance(new, Tensor) and new.ndim == 2 and new.shape[1] == 3,
            "`measure` takes the new tokens that `write` returned, [row, new].",
        )
        prompts, added = torch.cat(self.rows)[new[:, 0]], torch.cat(self.added)[new[:, 0]]
        opening = prompts[:, 1].float()
        into, out = (added @ look).unbind(1)
        return torch.stack([into + 0.1 * opening, into + out + 0.01 * opening, opening], 1)


def _everywhere(moved: Tensor, n_prompt: int, name: str) -> None:
    """A message if a hook does not add one vector a row at all positions but BOS."""
    prompt, new = moved[:, 1:n_prompt], moved[:, n_prompt:]
    use = "Make it with `steering_hook`, whose start is 1 by itself."
    expect(not moved[:, 0].any(), f"The hook at `{name}` steers BOS, too. {use}")
    expect(
        bool(new.any()) or not prompt.any(),
        f"The hook at `{name}` steers the prompt, and not the new tokens. {use}",
    )
    expect(
        bool(prompt.any()) or not new.any(),
        f"The hook at `{name}` steers the new tokens, and not the prompt. {use}",
    )
    expect(
        torch.allclose(moved[:, 1:], moved[:, -1:].expand_as(moved[:, 1:]), atol=1e-5),
        f"The hook at `{name}` does not add the same vector at all positions from 1 on. {use}",
    )


def _dose_sweep(dose_sweep, seed: int, n: int, doses: list[float], layer: int, cut: bool) -> None:
    draw = torch.Generator().manual_seed(seed)
    direction = 3 * torch.randn(6, generator=draw)
    length, norm, end = direction.norm(), 7.0, "blocks.3.hook_resid_post"
    unit = direction / length
    prompts = torch.stack([torch.tensor([0, 5 + 2 * i, i]) for i in range(n)])
    recorder = _Recorder(layer, end, 6)
    got = dose_sweep(
        recorder.write,
        lambda new: recorder.measured(new, unit),
        prompts,
        direction,
        layer=layer,
        doses=doses,
        norm=norm,
        cut_at=end if cut else None,
    )
    opening, of_dose = prompts[:, 1].float(), torch.tensor(doses)[:, None]

    def seen(size: float = norm, out: float = -float(cut)) -> Tensor:
        into = (size * of_dose).expand(-1, n)
        numbers = [
            into + 0.1 * opening,
            (1 + out) * into + 0.01 * opening,
            opening.expand(len(doses), -1),
        ]
        return torch.stack(numbers, 1)

    right = seen()
    by_size = right.mT.contiguous()
    mistakes = {
        "A dose is a length in units of `norm`, and the direction has a length of its own: "
        "`at_dose` takes both into account.": seen(size=float(length)),
        "A dose is a length in units of `norm`: multiply by it.": seen(size=1.0),
        "The direction's own length is not taken out: `at_dose` gives a vector of the length that "
        "is asked for.": seen(size=float(norm * length)),
        "The last two axes are exchanged: return [dose number opening].": by_size,
        "The axes of dose and opening are mixed up: are rows unpacked in the order in which they "
        "were packed?": right.transpose(1, 2).reshape(n, len(doses), 3).permute(1, 2, 0),
        "The numbers are [dose opening number] in another shape: exchange the last two axes "
        "with `.mT`, not with `view`.": by_size.reshape(right.shape),
    }
    if cut:
        mistakes |= {
            "The direct way is not cut: take the vector out again at `cut_at`.": seen(out=0.0),
            "At `cut_at` the vector is added once more: take it out.": seen(out=1.0),
        }
    else:
        message = "The direct way is cut, though `cut_at` is None: leave it whole."
        mistakes[message] = seen(out=-1.0)
    if isinstance(got, Tensor) and got.ndim == 2:
        raise Wrong("That is one line for each row of the batch: return [dose number opening].")
    match(got, right, what="What was measured", mistakes=mistakes)


@exercise("utils.writing.contrast.dose_sweep", keeps_gradient=False)
def check_dose_sweep(dose_sweep) -> str:
    """Planted `write` and `measure`, which report what the hooks add to which prompt."""
    for seed, case in enumerate(((4, [0.5, 1.0, 2.0], 2), (2, [0.2, 0.7], 1))):
        for cut in (False, True):
            _dose_sweep(dose_sweep, seed, *case, cut)
    return "Every prompt at every dose, whole or cut, in its place."


# ---- The control --------------------------------------------------------------------------------


def _sides(got, pairs) -> list[bool]:
    """Which pairs are turned; a message for anything else."""
    expect(
        isinstance(got, tuple | list) and len(got) == 2,
        f"Return two lists, of first and of second sentences, not {described(got)}.",
    )
    if len(pairs) != 2 and all(isinstance(each, tuple) and len(each) == 2 for each in got):
        raise Wrong("Return two lists of sentences, not pairs.")
    first, second = (list(each) for each in got)
    expect(
        len(first) == len(second) == len(pairs),
        f"There are {len(pairs)} pairs, and you return {len(first)} and {len(second)} sentences.",
    )
    expect(
        sorted(first + second) == sorted(text for pair in pairs for text in pair),
        "Some sentences are lost or come twice: every sentence is used once.",
    )
    made = list(zip(first, second, strict=True))
    whole = {frozenset(pair) for pair in pairs}
    expect(
        all(frozenset(pair) in whole for pair in made),
        "Sentences of different pairs stand side by side, or both halves of a pair on one side: "
        "turn whole pairs, so that the two sides still say nearly the same things.",
    )
    expect(
        all(frozenset(a) == frozenset(b) for a, b in zip(made, pairs, strict=True)),
        "The pairs are in another order: keep theirs.",
    )
    return [a != tuple(b) for a, b in zip(made, pairs, strict=True)]


@exercise("utils.writing.contrast.half_turned")
def check_half_turned(half_turned) -> str:
    """Even and odd numbers of pairs, many draws."""
    for n in (6, 9):
        pairs = [(f"yes {i}", f"no {i}") for i in range(n)]
        draws = [
            _sides(half_turned(pairs, generator=torch.Generator().manual_seed(seed)), pairs)
            for seed in range(40)
        ]
        counts = {sum(draw) for draw in draws}
        expect(counts != {0}, "No pair is turned round.")
        expect(counts != {n}, "All pairs are turned round: that is the concept's opposite.")
        expect(
            len(counts) == 1,
            "The number of turned pairs differs from draw to draw. Where it is not half, a part of "
            "the concept is left, and scaling the vector up makes it larger: turn exactly half.",
        )
        expect(
            counts == {n // 2},
            f"Of {n} pairs you turn {counts.pop()}: turn half, of an odd number the smaller half.",
        )
        expect(
            len(set(map(tuple, draws))) > 5,
            "The same pairs are turned whatever the generator: draw them with "
            "`torch.randperm(len(pairs), generator=generator)`.",
        )
        expect(
            all(any(draw[i] for draw in draws) for i in range(n)),
            "Some pair is never turned: every pair should be as likely as any other.",
        )
        blocks = [
            sum(draw[i] != draw[i - 1] for i in range(n)) <= 2  # round the end, too
            for draw in draws
        ]
        expect(
            not all(blocks),
            "The turned pairs always stand in one block, so neighbours are turned together: draw "
            "each set of pairs with `torch.randperm(len(pairs), generator=generator)`.",
        )
    return "Exactly half of the pairs, drawn at random, and no pair torn apart."


# ---- The investigation --------------------------------------------------------------------------

FLAWS = ("direct way", "luck", "survives")


@investigation("flaws", course=FLAWS)
def check_flaws(answer) -> str:
    """What each of three results is, in their order."""
    if isinstance(answer, dict):
        expect(set(answer) == set("ABC"), "The results are called A, B and C.")
        answer = [answer[name] for name in "ABC"]
    expect(
        isinstance(answer, tuple | list) and len(answer) == 3,
        "Give three words, for A, B and C in this order.",
    )
    answer = [" ".join(str(each).lower().split()) for each in answer]
    answer = ["survives" if each == "survives the cut" else each for each in answer]
    strange = [each for each in answer if each not in FLAWS]
    expect(
        not strange,
        f"{strange[:1]} is none of the three: 'survives', 'direct way' or 'luck'.",
    )
    expect(len(set(answer)) == 3, "Each of the three words fits one result.")
    advice = "run it on new openings, once whole and once with the direct way cut"
    for name, given, right in zip("ABC", answer, FLAWS, strict=True):
        expect(given == right, f"{name} is something else: {advice}.")
    return (
        "A was the sea's vector of layer 25 at dose 0.4. B was a random direction at layer 20, the "
        "best of 28 samples. C was the sea's vector of layer 20 at dose 0.4. (C can do more with "
        "the cut than without it: 48 texts leave that much noise.)"
    )


# ---- Reading off a curve ------------------------------------------------------------------------


def _read_off(read_off, effect: Tensor, cost: Tensor, wanted: float) -> None:
    got = read_off(effect, cost, wanted)
    zeros = torch.zeros_like(effect[:1])
    e, c = torch.cat([zeros, effect]), torch.cat([zeros, cost]).mean(1)
    crossings = [i for i in range(1, len(c)) if c[i - 1] < wanted <= c[i]]

    def between(i: int, effects: Tensor = e, costs: Tensor = c) -> Tensor:
        share = (wanted - costs[i - 1]) / (costs[i] - costs[i - 1])
        return effects[i - 1] + share * (effects[i] - effects[i - 1])

    if not crossings:
        last = (wanted - c[-2]) / (c[-1] - c[-2])
        never = "`wanted` is never reached here, so there is nothing to read off: return NaN for "
        expect(isinstance(got, Tensor), f"{never}each opening, in a tensor, not {described(got)}.")
        expect(
            got.shape != e[-1].shape or not torch.allclose(got, e[-1]),
            f"{never}each opening. You return the values at the last dose, as if they were.",
        )
        expect(
            got.shape != e[-1].shape or not torch.allclose(got, e[-2] + last * (e[-1] - e[-2])),
            f"{never}each opening. You go on along the last line.",
        )
        expect(
            got.shape == e[-1].shape and bool(got.isnan().all()),
            f"{never}each opening.",
        )
        return
    first, last = crossings[0], crossings[-1]
    share = (wanted - c[first - 1]) / (c[first] - c[first - 1])
    each = torch.stack(
        [_one_opening(e[:, i], torch.cat([zeros, cost])[:, i], wanted) for i in range(e.shape[1])]
    )
    mistakes = {
        "Return a number for each opening, not their mean.": between(first).mean(),
        "Those are values at a dose that was tried: go along a straight line between the two "
        "doses around `wanted`.": e[first],
        "Those are values at the dose just below: go along a straight line between the two doses "
        "around `wanted`.": e[first - 1],
        "The mean of `along` reaches `wanted` more than once: take the first time.": between(last),
        "Each opening is read off at a dose of its own: find the dose from the *mean* of `along`, "
        "and use it for all.": each,
        "That is read off `along`: return `values`.": between(first, torch.cat([zeros, cost])),
        "The share of the way is turned round: at the lower dose it is 0.": e[first]
        + share * (e[first - 1] - e[first]),
    }
    if first == last:
        del mistakes["The mean of `along` reaches `wanted` more than once: take the first time."]
    if first == 1:
        mistakes["Before the first dose both go from 0 in a straight line."] = effect[0]
        if len(c) > 2:
            mistakes["Before the first dose, start from 0: you go on along the next line."] = (
                between(2)
            )
    match(got, between(first), what="The values", mistakes=mistakes)


def _one_opening(effect: Tensor, cost: Tensor, wanted: float) -> Tensor:
    for i in range(1, len(cost)):
        if cost[i] >= wanted:
            share = (wanted - cost[i - 1]) / (cost[i] - cost[i - 1])
            return effect[i - 1] + share * (effect[i] - effect[i - 1])
    return effect[-1]


@exercise("utils.writing.contrast.read_off")
def check_read_off(read_off) -> str:
    """Crossings in the middle, before the first dose, twice, and never."""
    for seed in range(2):
        draw = torch.Generator().manual_seed(seed)
        effect = torch.randn(4, 5, generator=draw)
        noise = torch.randn(4, 5, generator=draw)
        noise = noise - noise.mean(1, keepdim=True)
        rising = torch.tensor([0.2, 0.5, 1.1, 2.0])[:, None] + 0.3 * noise
        bumpy = torch.tensor([0.3, 0.9, 0.4, 1.5])[:, None] + 0.2 * noise
        for cost, wanted in ((rising, 0.8), (rising, 0.1), (bumpy, 0.7), (rising, 3.0)):
            _read_off(read_off, effect, cost, wanted)
        _read_off(read_off, effect[:2, :3], rising[:2, :3] + 0.05, 0.4)
    return "One dose for all openings, where their mean reaches what is wanted."
