"""Lesson 3.1: plausible wrong answers of each exercise, and right ones in other styles."""

import torch

from utils.steering import at_dose
from utils.writing.contrast import padded, steering_hook

# ---- Making a vector ----------------------------------------------------------------------------


def _made(
    *,
    mask=lambda is_text: is_text,
    of_text=lambda resid, mask: (resid * mask[..., None]).sum(2) / mask.sum(1)[:, None],
    over=lambda each: each.mean(1),
    kind="resid_pre",
    pick=lambda layers, model: layers,
    end=lambda first, second: first - second,
):
    @torch.no_grad()
    def contrast_vectors(model, with_concept, without, *, layers):
        means = []
        for texts in (with_concept, without):
            tokens, is_text = padded(model, texts)
            _, cache = model.run_with_cache(tokens)
            resid = torch.stack([cache[kind, layer] for layer in pick(layers, model)])
            means.append(over(of_text(resid, mask(is_text))))
        return end(*means)

    return contrast_vectors


def _all_true(is_text):
    return torch.ones_like(is_text)


def _no_bos(is_text):
    return torch.ones_like(is_text) & (torch.arange(is_text.shape[1]) > 0)


def _with_bos(is_text):
    return is_text | (torch.arange(is_text.shape[1]) == 0)


def _last(resid, mask):
    at = mask.sum(1)
    return resid[:, torch.arange(len(mask)), at]


def _by_einsum(resid, mask):
    return torch.einsum("ltpd,tp->ltd", resid, mask / mask.sum(1, keepdim=True))


def _sum(resid, mask):
    return (resid * mask[..., None]).sum(2)


@torch.no_grad()
def _pooled(model, with_concept, without, *, layers):
    means = []
    for texts in (with_concept, without):
        tokens, is_text = padded(model, texts)
        _, cache = model.run_with_cache(tokens)
        means.append(torch.stack([cache["resid_pre", i][is_text].mean(0) for i in layers]))
    return means[0] - means[1]


@torch.no_grad()
def _made_text_by_text(model, with_concept, without, *, layers):
    def mean_of(texts):
        found = []
        for text in texts:
            _, cache = model.run_with_cache(model.to_tokens(text))
            found.append([cache[f"blocks.{i}.hook_resid_pre"][0, 1:].mean(0) for i in layers])
        return torch.stack([torch.stack(each) for each in found]).mean(0)

    return mean_of(with_concept) - mean_of(without)


def _made_with_hooks(model, with_concept, without, *, layers):
    found = {}
    for side, texts in enumerate((with_concept, without)):
        tokens, is_text = padded(model, texts)
        weight = is_text / is_text.sum(1, keepdim=True) / len(is_text)
        for layer in layers:

            def keep(resid, hook, key=(side, layer), weight=weight):
                found[key] = torch.einsum("tpd,tp->d", resid, weight)

            with torch.no_grad(), model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_resid_pre", keep)]):
                model(tokens)
    return torch.stack([found[0, layer] - found[1, layer] for layer in layers])


# ---- Reading it ---------------------------------------------------------------------------------


def _read(
    logits=lambda model, v: (v * model.ln_final.weight) @ model.W_U,
    *,
    ends=lambda logits, k: (logits.topk(k).indices, (-logits).topk(k).indices),
    spell=lambda model, tokens: [model.tokenizer.decode([t]) for t in tokens.tolist()],
    give=lambda raised, lowered: (raised, lowered),
):
    def read_vector(model, vector, *, k):
        return give(*(spell(model, each) for each in ends(logits(model, vector), k)))

    return read_vector


def _read_by_sorting(model, vector, *, k):
    folded = vector * model.ln_final.weight
    order = torch.argsort(torch.einsum("d,dv->v", folded, model.W_U), descending=True)
    names = [model.to_single_str_token(int(token)) for token in order]
    return names[:k], names[::-1][:k]


def _read_by_dictionary(model, vector, *, k):
    logits = (model.W_U.T @ (model.ln_final.weight * vector)).tolist()
    ranked = sorted(range(len(logits)), key=lambda token: logits[token])
    return [
        [model.tokenizer.decode(token) for token in ranked[::-1][:k]],
        [model.tokenizer.decode(token) for token in ranked[:k]],
    ]


# ---- Adding it ----------------------------------------------------------------------------------


def _hooked(
    where=lambda position, here, call, start: position >= start,
    *,
    what=lambda vectors: vectors[:, None],
    put=lambda resid, added, mask: resid + added,
    count=lambda n: n,
):
    def steering_hook(vectors, *, start=1):
        state = {"seen": 0, "call": 0}

        def add(resid, hook=None):
            here = torch.arange(resid.shape[1])
            mask = where(state["seen"] + here, here, state["call"], start)[:, None].float()
            state["seen"] += count(resid.shape[1])
            state["call"] += 1
            return put(resid, mask * what(vectors), mask)

        return add

    return steering_hook


def _in_place(resid, added, mask):
    resid += added
    return resid


class _Counter:
    def __init__(self, vectors, *, start=1):
        self.vectors, self.start, self.past = vectors, start, 0

    def __call__(self, resid, hook):
        out = resid.clone()
        for i in range(resid.shape[1]):
            if self.past + i >= self.start:
                out[:, i] = out[:, i] + self.vectors
        self.past += resid.shape[1]
        return out


def _hook_by_slices(vectors, *, start=1):
    seen = [0]

    def add(resid, hook):
        first = max(start - seen[0], 0)
        seen[0] += resid.shape[1]
        return torch.cat([resid[:, :first], resid[:, first:] + vectors.unsqueeze(1)], dim=1)

    return add


SHARED = {"seen": 0}


def _hook_with_one_count(vectors, *, start=1):
    def add(resid, hook):
        position = SHARED["seen"] + torch.arange(resid.shape[1])
        SHARED["seen"] += resid.shape[1]
        return resid + (position >= start)[:, None] * vectors[:, None]

    SHARED["seen"] = 0
    return add


# ---- The sweep ----------------------------------------------------------------------------------


def _swept(
    *,
    make=lambda direction, dose, norm: at_dose(direction, dose, norm=norm),
    out=lambda added: -added,
    shape=lambda measured, n_dose, n: measured.view(n_dose, n, -1).mT,
    place=lambda layer: f"blocks.{layer}.hook_resid_pre",
    spread=lambda vectors, n: vectors.repeat_interleave(n, 0),
    hook=steering_hook,
    hook_out=None,
    always=False,
):
    def dose_sweep(write, measure, prompts, direction, *, layer, doses, norm, cut_at=None):
        vectors = torch.stack([make(direction, dose, norm) for dose in doses])
        n = len(prompts)
        added = spread(vectors, n)
        hooks = [(place(layer), hook(added))]
        if cut_at or always:
            end = cut_at or "blocks.3.hook_resid_post"
            hooks.append((end, (hook_out or hook)(out(added))))
        return shape(measure(write(prompts.repeat(len(doses), 1), hooks)), len(doses), n)

    return dose_sweep


def _stateless(vectors):
    def add(resid, hook=None):
        out = resid.clone()
        out[:, 1:] += vectors[:, None]
        return out

    return add


def _last_alone(vectors):
    def add(resid, hook=None):
        out = resid.clone()
        out[:, -1] += vectors
        return out

    return add


def _swept_in_loops(write, measure, prompts, direction, *, layer, doses, norm, cut_at=None):
    found = []
    for dose in doses:
        vector = (direction / direction.norm() * dose * norm).expand(len(prompts), -1)
        hooks = [(f"blocks.{layer}.hook_resid_pre", steering_hook(vector))]
        if cut_at:
            hooks += [(cut_at, steering_hook(-vector))]
        found.append(measure(write(prompts, hooks)).T)
    return torch.stack(found)


def _swept_by_scale(write, measure, prompts, direction, *, layer, doses, norm, cut_at=None):
    scale = torch.tensor(doses).repeat_interleave(len(prompts))[:, None]
    added = scale * norm * torch.nn.functional.normalize(direction, dim=0)
    hooks = {f"blocks.{layer}.hook_resid_pre": steering_hook(added)}
    if cut_at is not None:
        hooks[cut_at] = steering_hook(-added)
    out = measure(write(prompts.repeat(len(doses), 1), list(hooks.items())))
    return out.reshape(len(doses), len(prompts), -1).transpose(-1, -2)


# ---- The control --------------------------------------------------------------------------------


def _turned(which, *, give=lambda pairs: ([a for a, _ in pairs], [b for _, b in pairs])):
    def half_turned(pairs, *, generator):
        turned = which(len(pairs), generator)
        return give([pair[::-1] if i in turned else pair for i, pair in enumerate(pairs)])

    return half_turned


def _half(n, generator):
    return set(torch.randperm(n, generator=generator)[: n // 2].tolist())


def _block(n, generator):
    first = int(torch.randint(n, (1,), generator=generator))
    return {(first + i) % n for i in range(n // 2)}


def _shuffled(pairs, *, generator):
    texts = [text for pair in pairs for text in pair]
    order = torch.randperm(len(texts), generator=generator).tolist()
    texts = [texts[i] for i in order]
    return texts[: len(pairs)], texts[len(pairs) :]


def _one_side_shuffled(pairs, *, generator):
    order = torch.randperm(len(pairs), generator=generator).tolist()
    return [a for a, _ in pairs], [pairs[i][1] for i in order]


def _turned_by_mask(pairs, *, generator):
    mask = torch.zeros(len(pairs), dtype=torch.bool)
    mask[torch.randperm(len(pairs), generator=generator)[: len(pairs) // 2]] = True
    first, second = [], []
    for (a, b), turn in zip(pairs, mask, strict=True):
        first.append(b if turn else a)
        second.append(a if turn else b)
    return first, second


def _turned_by_sorting(pairs, *, generator):
    rank = torch.rand(len(pairs), generator=generator).argsort().argsort()
    made = [
        (b, a) if place < len(pairs) // 2 else (a, b)
        for (a, b), place in zip(pairs, rank.tolist(), strict=True)
    ]
    return tuple(map(list, zip(*made, strict=True)))


def _turned_as_tuples(pairs, *, generator):
    drawn = _half(len(pairs), generator)
    first = tuple(pair[1 if i in drawn else 0] for i, pair in enumerate(pairs))
    return first, tuple(pair[0 if i in drawn else 1] for i, pair in enumerate(pairs))


# ---- Reading off --------------------------------------------------------------------------------


def _off(
    *,
    zeros=True,
    find=lambda mean, wanted: next((i for i in range(1, len(mean)) if mean[i] >= wanted), None),
    between=lambda v, i, share: v[i - 1] + share * (v[i] - v[i - 1]),
    never=lambda v: v[-1] * float("nan"),
    what=lambda values, along: values,
    end=lambda each: each,
):
    def read_off(values, along, wanted):
        start = 0 * values[:1] if zeros else values[:1]
        mean = torch.cat([0 * along[:1], along]).mean(1)
        v = torch.cat([start, what(values, along)])
        i = find(mean, wanted)
        if i is None:
            return end(never(v))
        return end(between(v, i, (wanted - mean[i - 1]) / (mean[i] - mean[i - 1])))

    return read_off


def _last_crossing(mean, wanted):
    found = [i for i in range(1, len(mean)) if mean[i - 1] < wanted <= mean[i]]
    return found[-1] if found else None


def _each_opening(values, along, wanted):
    right = _off()
    return torch.cat([right(values[:, [i]], along[:, [i]], wanted) for i in range(values.shape[1])])


def _off_beyond(values, along, wanted):
    v, mean = torch.cat([0 * values[:1], values]), torch.cat([0 * along[:1], along]).mean(1)
    i = next((i for i in range(1, len(mean)) if mean[i] >= wanted), len(mean) - 1)
    return v[i - 1] + (wanted - mean[i - 1]) / (mean[i] - mean[i - 1]) * (v[i] - v[i - 1])


def _off_by_walking(values, along, wanted):
    before, at = torch.zeros(values.shape[1]), 0.0
    for row, level in zip(values, along.mean(1), strict=True):
        if level >= wanted:
            weight = (wanted - at) / (level - at)
            return torch.lerp(before, row, weight)
        before, at = row, level
    return before * float("nan")


def _off_by_masks(values, along, wanted):
    padding = torch.zeros(1, values.shape[1])
    v, m = torch.cat([padding, values]), torch.cat([padding, along]).mean(dim=-1)
    reached = (m >= wanted).nonzero().flatten().tolist()
    if not reached:
        return torch.full((values.shape[1],), float("nan"))
    i = reached[0]
    share = float((wanted - m[i - 1]) / (m[i] - m[i - 1]))
    return (1 - share) * v[i - 1] + share * v[i]


def _off_column_by_column(values, along, wanted):
    found = [
        _off()(values[:, [i]], along.mean(1, keepdim=True), wanted)[0]
        for i in range(len(values[0]))
    ]
    return torch.stack(found)


MISTAKES = {
    "contrast_vectors": [
        ("turned round", _made(end=lambda a, b: b - a), "away from the concept"),
        ("BOS in", _made(mask=_with_bos), "BOS is in the mean"),
        ("padding in", _made(mask=_no_bos), "Padding is in the mean"),
        ("both in", _made(mask=_all_true), "BOS and padding"),
        ("pooled", _pooled, "Long texts count for more"),
        ("last token", _made(of_text=_last), "last token"),
        (
            "the layer after",
            _made(kind="resid_post"),
            "*before* block L",
        ),
        ("sum over tokens", _made(of_text=_sum), "A sum over tokens"),
        ("sum over texts", _made(over=lambda each: each.sum(1)), "A sum over texts"),
        ("no difference", _made(end=lambda a, b: a), "mean of the texts with"),
        ("all layers", _made(pick=lambda ls, m: range(m.cfg.n_layers)), "All layers came back"),
        ("first layers", _made(pick=lambda ls, m: range(len(list(ls)))), "first layers"),
        ("axes", _made(end=lambda a, b: (a - b).T), "[layer d_model]"),
        ("None", _made(end=lambda a, b: None), "came back as None"),
    ],
    "read_vector": [
        ("no norm", _read(lambda model, v: v @ model.W_U), "norm's weight is left out"),
        ("divided", _read(lambda m, v: (v / m.ln_final.weight) @ m.W_U), "divided"),
        ("exchanged", _read(give=lambda a, b: (b, a)), "exchanged"),
        (
            "sizes",
            _read(lambda model, v: ((v * model.ln_final.weight) @ model.W_U).abs()),
            "Signs are lost",
        ),
        (
            "sorted upward",
            _read(ends=lambda x, k: (x.topk(k).indices, x.sort().indices[:k].flip(0))),
            "lowered tokens are in the wrong order",
        ),
        (
            "raised upward",
            _read(ends=lambda x, k: (x.topk(k).indices.flip(0), (-x).topk(k).indices)),
            "raised tokens are in the wrong order",
        ),
        ("numbers", _read(spell=lambda model, tokens: tokens.tolist()), "as strings"),
        ("the same twice", _read(give=lambda a, b: (a, a)), "Both lists hold the raised"),
        ("one more", _read(ends=lambda x, k: (x.topk(k + 1).indices,) * 2), "`k` is"),
        ("one list", _read(give=lambda a, b: a + b), "Return two lists"),
        (
            "one string",
            _read(spell=lambda model, tokens: [model.tokenizer.decode(tokens)]),
            "as one string each",
        ),
    ],
    "steering_hook": [
        ("no count", _hooked(lambda p, here, call, s: here >= s), "start of each call"),
        ("all positions", _hooked(lambda p, here, call, s: p >= 0), "BOS too"),
        ("one late", _hooked(lambda p, here, call, s: p > s), "Off by one"),
        (
            "prompt alone",
            _hooked(lambda p, here, call, s: (p >= s) & (call == 0)),
            "the new tokens are not",
        ),
        (
            "text alone",
            _hooked(lambda p, here, call, s: torch.full_like(p, call > 0)),
            "only new tokens",
        ),
        ("calls counted", _hooked(count=lambda n: 1), "goes up by one"),
        ("first row's", _hooked(what=lambda v: v[:1, None]), "first row's vector"),
        ("mean", _hooked(what=lambda v: v.mean(0)[None, None]), "mean of the vectors"),
        ("subtracted", _hooked(what=lambda v: -v[:, None]), "subtracted"),
        (
            "replaced",
            _hooked(put=lambda resid, added, mask: torch.where(mask > 0, added, resid)),
            "replaced",
        ),
        ("in place", _hooked(put=_in_place), "changes `resid` itself"),
        ("nothing back", _hooked(put=lambda resid, added, mask: None), "returns nothing"),
        ("nothing added", _hooked(what=lambda v: 0 * v[:, None]), "Nothing is added"),
        ("one count for all", _hook_with_one_count, "share one count"),
        ("called", lambda vectors, *, start=1: vectors, "Return a function"),
    ],
    "dose_sweep": [
        ("never cut", _swept(out=lambda added: 0 * added), "not cut"),
        ("always cut", _swept(always=True), "leave it whole"),
        ("added again", _swept(out=lambda added: added), "once more"),
        ("own length", _swept(make=lambda v, dose, norm: dose * v), "units of `norm`"),
        ("unit", _swept(make=lambda v, dose, norm: dose * v / v.norm()), "multiply by it"),
        ("not scaled", _swept(make=lambda v, dose, norm: dose * norm * v), "not taken out"),
        (
            "no exchange of axes",
            _swept(shape=lambda x, n_dose, n: x.view(n_dose, n, -1)),
            "last two axes are exchanged",
        ),
        (
            "another block",
            _swept(place=lambda layer: f"blocks.{layer}.hook_resid_post"),
            "There is a hook at",
        ),
        ("flat", _swept(shape=lambda x, n_dose, n: x), "for each row of the batch"),
        (
            "rows mixed",
            _swept(spread=lambda vectors, n: vectors.repeat(n, 1)),
            "What was measured",
        ),
        ("BOS steered", _swept(hook=lambda v: steering_hook(v, start=0)), "steers BOS"),
        ("new tokens alone", _swept(hook=lambda v: steering_hook(v, start=3)), "not the prompt"),
        ("no count", _swept(hook=_stateless), "not the new tokens"),
        ("last position alone", _swept(hook=_last_alone), "at all positions from 1 on"),
        (
            "cut at new tokens alone",
            _swept(hook_out=lambda v: steering_hook(v, start=3)),
            "not the prompt",
        ),
    ],
    "half_turned": [
        ("none", _turned(lambda n, g: set()), "No pair is turned"),
        ("all", _turned(lambda n, g: set(range(n))), "All pairs are turned"),
        (
            "coins",
            _turned(lambda n, g: {i for i, x in enumerate(torch.rand(n, generator=g)) if x < 0.5}),
            "differs from draw to draw",
        ),
        ("first half", _turned(lambda n, g: set(range(n // 2))), "whatever the generator"),
        (
            "a third",
            _turned(lambda n, g: set(torch.randperm(n, generator=g)[: n // 3].tolist())),
            "you turn 2",
        ),
        ("a block", _turned(_block), "in one block"),
        ("all sentences shuffled", _shuffled, "Sentences of different pairs"),
        ("one side shuffled", _one_side_shuffled, "Sentences of different pairs"),
        ("pairs back", _turned(_half, give=lambda pairs: pairs), "Return two lists"),
        (
            "another order",
            _turned(
                _half, give=lambda pairs: ([a for a, _ in pairs[::-1]], [b for _, b in pairs[::-1]])
            ),
            "another order",
        ),
        (
            "fewer",
            _turned(
                _half, give=lambda pairs: ([a for a, _ in pairs[1:]], [b for _, b in pairs[1:]])
            ),
            "you return",
        ),
    ],
    "read_off": [
        ("mean", _off(end=lambda each: each.mean()), "number for each opening"),
        ("the dose above", _off(between=lambda v, i, share: v[i]), "that was tried"),
        ("the dose below", _off(between=lambda v, i, share: v[i - 1]), "just below"),
        ("last crossing", _off(find=_last_crossing), "more than once"),
        ("each by itself", _each_opening, "dose of its own"),
        ("along", _off(what=lambda values, along: along), "read off `along`"),
        (
            "share turned",
            _off(between=lambda v, i, share: v[i] + share * (v[i - 1] - v[i])),
            "turned round",
        ),
        ("no origin", _off(zeros=False), "that was tried"),
        ("beyond", _off_beyond, "You go on along"),
        ("never is last", _off(never=lambda v: v[-1]), "at the last dose, as if"),
        ("never is 0", _off(never=lambda v: 0 * v[-1]), "nothing to read off"),
        ("never is None", _off(never=lambda v: None), "nothing to read off"),
    ],
    "flaws": [
        ("A and C exchanged", ("survives", "luck", "direct way"), "A is something else"),
        ("B and C exchanged", ("direct way", "survives", "luck"), "B is something else"),
        ("another word", ("direct way", "drift", "survives"), "none of the three"),
        ("twice", ("survives", "luck", "survives"), "Each of the three words"),
        ("two", ("direct way", "luck"), "three words"),
        ("all turned", ("luck", "survives", "direct way"), "A is something else"),
        ("other names", {"a": "direct way", "b": "luck", "c": "survives"}, "called A, B and C"),
    ],
}
RIGHT = {
    "contrast_vectors": [
        ("text by text", _made_text_by_text),
        ("hooks and einsum", _made_with_hooks),
        (
            "another cache",
            _made(of_text=lambda r, m: torch.einsum("ltpd,tp->ltd", r, m / m.sum(1, keepdim=True))),
        ),
    ],
    "read_vector": [
        ("sorting", _read_by_sorting),
        ("a dictionary", _read_by_dictionary),
        ("the model's unembed", _read(lambda m, v: m.unembed(v * m.ln_final.weight))),
        ("the model's norm", _read(lambda m, v: m.unembed(m.ln_final(v)))),
        (
            "lowest by largest=False",
            _read(ends=lambda x, k: (x.topk(k)[1], x.topk(k, largest=False)[1])),
        ),
    ],
    "steering_hook": [
        ("an object", _Counter),
        ("slices", _hook_by_slices),
        ("a dictionary", _hooked()),
    ],
    "dose_sweep": [
        ("loops", _swept_in_loops),
        ("scales", _swept_by_scale),
        ("one batch", _swept()),
    ],
    "half_turned": [
        ("a mask", _turned_by_mask),
        ("sorting", _turned_by_sorting),
        ("tuples", _turned_as_tuples),
    ],
    "read_off": [
        ("walking", _off_by_walking),
        ("masks", _off_by_masks),
        ("column by column", _off_column_by_column),
    ],
    "flaws": [
        ("a list", ["direct way", "luck", "survives"]),
        ("capitals", ("Direct way", "LUCK", "Survives the cut")),
        ("a dictionary", {"C": "survives", "A": "direct way", "B": "luck"}),
    ],
}
