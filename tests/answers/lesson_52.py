"""Answers to lesson 5.2: right ones in other styles, and plausible mistakes."""

from contextlib import contextmanager

import numpy as np
import torch

from utils.cases.thinking import Exact, continuation_probs, exact_importance, rejected
from utils.steering import hook_name

# ---- Attention knockout -------------------------------------------------------------------------


def _cut(change, *, layers=None, point="hook_attn_scores"):
    @contextmanager
    def cut_attention(model, text, query, key):
        def forbid(scores, hook):
            return change(scores.clone(), text, query, key)

        every = range(model.cfg.n_layers)
        every = every if layers is None else [every[i] for i in layers]
        names = [f"blocks.{layer}.attn.{point}" for layer in every]
        with model.hooks(fwd_hooks=[(name, forbid) for name in names]):
            yield

    return cut_attention


def _set(value=-torch.inf, index=lambda text, query, key: (text, slice(None), query, key)):
    def change(scores, text, query, key):
        scores[index(text, query, key)] = value
        return scores

    return change


def _all_off(make):
    """Takes off every hook of the model at the end, also those of others."""

    @contextmanager
    def context(model, *args, **how):
        with make(model, *args, **how):
            yield
        model.reset_hooks()

    return context


def _returns_nothing(scores, text, query, key):
    scores[text, :, query, key] = -torch.inf


@contextmanager
def _yields_late(model, text, query, key):
    with _cut(_set())(model, text, query, key):
        pass
    yield


def _as_a_list(model, text, query, key):
    return [("blocks.0.attn.hook_attn_scores", lambda scores, hook: scores)]


@contextmanager
def _never_removed(model, text, query, key):
    def forbid(scores, hook):
        return _set()(scores.clone(), text, query, key)

    for layer in range(model.cfg.n_layers):
        model.hook_dict[f"blocks.{layer}.attn.hook_attn_scores"].add_hook(forbid)
    yield


@contextmanager
def _cut_by_mask(model, text, query, key):
    """A mask for all texts, with `masked_fill`, and hooks taken off by hand."""

    def forbid(scores, hook):
        mask = torch.zeros(len(scores), *scores.shape[2:], dtype=torch.bool)
        for edge in zip(text.tolist(), query.tolist(), key.tolist(), strict=True):
            mask[edge] = True
        return scores.masked_fill(mask[:, None], float("-inf"))

    points = [
        model.hook_dict[f"blocks.{i}.attn.hook_attn_scores"] for i in range(model.cfg.n_layers)
    ]
    for point in points:
        point.add_hook(forbid)
    try:
        yield model
    finally:
        for point in points:
            point.remove_hooks()


class _CutAsAClass:
    """A context manager written as a class, head by head."""

    def __init__(self, model, text, query, key):
        def forbid(scores, hook):
            scores = scores.clone()
            for head in range(scores.shape[1]):
                scores[text, head, query, key] = -1e30
            return scores

        names = [f"blocks.{i}.attn.hook_attn_scores" for i in range(model.cfg.n_layers)]
        self.inside = model.hooks(fwd_hooks=[(name, forbid) for name in names])

    def __enter__(self):
        self.inside.__enter__()

    def __exit__(self, *error):
        return self.inside.__exit__(*error)


def _as_a_class(model, text, query, key):
    return _CutAsAClass(model, text, query, key)


# ---- Steering at a token ------------------------------------------------------------------------


def _steer(
    change=lambda resid, here, vector: resid + here * vector,
    *,
    noted=lambda running, tokens: running.update(tokens=tokens),
    remove="finally",
    fit=lambda here, resid: here,
    read=lambda args, kwargs: kwargs["input_ids"] if "input_ids" in kwargs else args[0],
):
    @contextmanager
    def steer_at(model, vector, *, layer, token):
        running = {}

        def note(module, args, kwargs):
            noted(running, read(args, kwargs))

        def push(resid, hook):
            return change(resid, fit(running["tokens"] == token, resid)[..., None], vector)

        handle = model.original_model.register_forward_pre_hook(note, with_kwargs=True)
        try:
            with model.hooks(fwd_hooks=[(hook_name(model, layer), push)]):
                yield
            if remove == "after":
                handle.remove()
        finally:
            if remove == "finally":
                handle.remove()

    return steer_at


def _many_alone(resid, here, vector):
    return resid + here * vector if resid.shape[1] > 1 else resid


def _one_alone(resid, here, vector):
    return resid + here * vector if resid.shape[1] == 1 else resid


def _steer_positional(model, vector, *, layer, token):
    """Tokens that come by keyword are not noted, and nothing is added then."""

    def read(args, kwargs):
        return args[0] if args else torch.full((1, 1), -1)

    return _steer(read=read)(model, vector, layer=layer, token=token)


def _first_tokens_alone(running, tokens):
    running.setdefault("tokens", tokens)


def _fitted(here, resid):
    """The first run's tokens, as far as a shorter run has positions: its last ones."""
    return here[:, -resid.shape[1] :]


def _at_the_end(resid, here, vector):
    resid = resid.clone()
    resid[:, -1:] += here[:, -1:] * vector
    return resid


def _first_row(resid, here, vector):
    return resid + here[:1] * vector


@contextmanager
def _by_handles(model, vector, *, layer, token):
    """`where`, a list for the tokens, and the hook point itself."""
    now = []

    def note(module, args, kwargs):
        now[:] = [kwargs.get("input_ids", args[0] if args else None)]

    def push(resid, hook):
        return torch.where((now[0] == token).unsqueeze(-1), resid + vector.to(resid), resid)

    pre = model.original_model.register_forward_pre_hook(note, with_kwargs=True)
    point = model.hook_dict[hook_name(model, layer)]
    point.add_hook(push)
    try:
        yield model
    finally:
        pre.remove()
        point.remove_hooks()


@contextmanager
def _by_loop(model, vector, *, layer, token):
    """Position by position, into a clone."""
    state = {"tokens": None}

    def remember(module, args, kwargs):
        state["tokens"] = (args or (kwargs["input_ids"],))[0]

    def add(resid, hook):
        out = resid.clone()
        for row, pos in (state["tokens"] == token).nonzero().tolist():
            out[row, pos] += vector if vector.ndim == 1 else vector[row, 0]
        return out

    pre = model.original_model.register_forward_pre_hook(remember, with_kwargs=True)
    try:
        with model.hooks(fwd_hooks=[(hook_name(model, layer), add)]):
            yield
    finally:
        pre.remove()


# ---- Exact importance ---------------------------------------------------------------------------


def _exact(
    *,
    after=rejected,
    chance=lambda behind, hit: (behind * hit).sum(1) / behind.sum(1),
    solved=lambda hit, chances: torch.where(hit, 1.0, chances),
    instead=lambda p, s, among: (p * s)[among].sum() / p[among].sum(),
    others=lambda tries, step: torch.tensor([each[-1] != step[-1] for each in tries]),
    failing=lambda other, hit: other & ~hit,
    hits=lambda tries, target: torch.tensor([each[-1] == target for each in tries]),
    sign=1,
    answer=lambda *found: Exact(*found),
):
    def exact(probs, tries, before, step, *, target):
        hit = hits(tries, target)
        other = others(tries, step)
        drawn = probs([before])[0]
        behind = probs([[*before, *after(each)] for each in tries])
        solves = solved(hit, chance(behind, hit))
        kept = solves[tries.index(step)]
        against = kept - instead(drawn, solves, failing(other, hit))
        return answer(sign * (kept - instead(drawn, solves, other)), against, drawn, solves)

    return exact


def _exact_by_loops(probs, tries, before, step, *, target):
    drawn = [float(x) for x in probs([before])[0]]
    solves = []
    for each in tries:
        if each[-1] == target:
            solves.append(1.0)
            continue
        row = probs([list(before) + rejected(each)])[0].tolist()
        good = sum(p for p, other in zip(row, tries, strict=True) if other[-1] == target)
        solves.append(good / sum(row))

    def instead(keep):
        pairs = [(p, s) for p, s, each in zip(drawn, solves, tries, strict=True) if keep(each)]
        return sum(p * s for p, s in pairs) / sum(p for p, _ in pairs)

    kept = solves[tries.index(step)]
    return (
        kept - instead(lambda each: each[-1] != step[-1]),
        kept - instead(lambda each: each[-1] not in (step[-1], target)),
        torch.tensor(drawn),
        torch.tensor(solves),
    )


def _exact_at_once(probs, tries, before, step, *, target):
    """`before` is asked about together with the texts behind it."""
    starts = [before, *([*before, *rejected(each)] for each in tries)]
    known = iter(probs(starts).split([1, len(tries)]))
    return exact_importance(lambda starts: next(known), tries, before, step, target=target)


def _exact_by_average(probs, tries, before, step, *, target):
    """numpy's weighted average."""
    results = np.array([each[-1] for each in tries])
    drawn = probs([before])[0]
    behind = probs([[*before, *rejected(each)] for each in tries]).numpy()
    solves = np.where(
        results == target, 1.0, behind[:, results == target].sum(1) / behind.sum(1)
    ).astype("float32")
    kept, weights = solves[tries.index(step)], drawn.numpy()
    other = results != step[-1]
    against = other & (results != target)
    return Exact(
        kept - np.average(solves[other], weights=weights[other]),
        kept - np.average(solves[against], weights=weights[against]),
        drawn,
        torch.from_numpy(solves),
    )


# ---- Continuations ------------------------------------------------------------------------------


def _continued(
    *,
    values=lambda logits: logits.log_softmax(-1),
    at=lambda x, n: x[:, n - 1 : -1],
    new=lambda continuations: continuations,
    answer=lambda picked: picked.sum(-1).exp(),
    no_grad=True,
):
    def continuation(model, start, continuations):
        rows = torch.cat([start.expand(len(continuations), -1), continuations], 1)
        with torch.set_grad_enabled(not no_grad):
            found = at(values(model(rows)), len(start))
        return answer(found.gather(-1, new(continuations)[..., None])[..., 0])

    return continuation


def _given_too(model, start, continuations):
    rows = torch.cat([start.expand(len(continuations), -1), continuations], 1)
    with torch.no_grad():
        found = model(rows)[:, :-1].log_softmax(-1)
    return found.gather(-1, rows[:, 1:, None])[..., 0].sum(1).exp()


def _continued_by_loop(model, start, continuations):
    found = []
    for row in continuations:
        text, p = start.tolist(), 1.0
        for token in row.tolist():
            with torch.no_grad():
                p *= float(model(torch.tensor([text]))[0, -1].softmax(-1)[token])
            text.append(token)
        found.append(p)
    return torch.tensor(found)


def _continued_by_loss(model, start, continuations):
    rows = torch.cat([start[None].repeat(len(continuations), 1), continuations], 1)
    with torch.no_grad():
        logits = model(rows)
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].mT, rows[:, 1:], reduction="none")
    return torch.exp(-loss[:, len(start) - 1 :].sum(1))


# ---- Receiver heads -----------------------------------------------------------------------------


def _received(
    *,
    block=lambda pattern, later, own: pattern[:, later[0] : later[1], own[0] : own[1]].mean((1, 2)),
    after=lambda spans, i: spans[i + 1 :],
    many=torch.mean,
    n=lambda spans: len(spans) - 1,
    kurtosis=lambda x: (
        ((x - x.mean(1, keepdim=True)) / x.std(1, correction=0, keepdim=True)).pow(4).mean(1) - 3
    ),
    answer=lambda scores, peaked: (scores, peaked),
):
    def received(pattern, spans):
        rows = []
        for i in range(n(spans)):
            parts = [block(pattern, later, spans[i]) for later in after(spans, i)]
            rows.append(many(torch.stack(parts), 0) if parts else torch.zeros(len(pattern)))
        scores = torch.stack(rows, 1)
        return answer(scores, kurtosis(scores))

    return received


def _tokens(pattern, spans):
    scores = torch.stack([pattern[:, e:, b:e].mean((1, 2)) for b, e in spans[:-1]], 1)
    return scores, torch.zeros(len(pattern))


def _received_in_arrays(pattern, spans):
    from scipy.stats import kurtosis

    x, n = pattern.double().numpy(), len(spans)
    steps = np.array(
        [[x[:, b:e, c:d].mean((1, 2)) for c, d in spans] for b, e in spans]
    )  # [later, earlier, head]
    scores = np.array([steps[i + 1 :, i].mean(0) for i in range(n - 1)]).T
    return torch.from_numpy(scores), torch.from_numpy(kurtosis(scores, axis=1))


def _received_by_loops(pattern, spans):
    scores = torch.zeros(len(pattern), len(spans) - 1)
    peaked = []
    for head, each in enumerate(pattern):
        for i, (begin, end) in enumerate(spans[:-1]):
            total = 0.0
            for b, e in spans[i + 1 :]:
                total += float(each[b:e, begin:end].sum()) / ((e - b) * (end - begin))
            scores[head, i] = total / (len(spans) - 1 - i)
        row = scores[head].double()
        peaked.append(float(((row - row.mean()) ** 4).mean() / row.var(correction=0) ** 2) - 3)
    return [scores, torch.tensor(peaked)]


def _kurtosis(power=4, correction=0, minus=3, centre=True, spread=lambda s: s):
    def kurtosis(x):
        centred = x - x.mean(1, keepdim=True) if centre else x
        deviation = spread(x.std(1, correction=correction, keepdim=True))
        return (centred / deviation).pow(power).mean(1) - minus

    return kurtosis


MISTAKES = {
    "cut_attention": [
        ("zero", _cut(_set(0.0)), "softmax of 0"),
        ("after the softmax", _cut(_set(0.0), point="hook_pattern"), "before it"),
        ("first layer", _cut(_set(), layers=[0]), "all of them"),
        ("last layer", _cut(_set(), layers=[-1]), "Only the last layer"),
        ("one head", _cut(_set(index=lambda t, q, k: (t, 0, q, k))), "one head"),
        (
            "every text",
            _cut(_set(index=lambda t, q, k: (slice(None), slice(None), q, k))),
            "every text",
        ),
        ("nothing returned", _cut(_returns_nothing), "*return*"),
        ("yields outside", _yields_late, "inside the `with`"),
        ("a list of hooks", _as_a_list, "a context for `with`"),
        ("hooks stay", _never_removed, "A hook is left"),
        ("not quite", _cut(_set(-3.0)), "should be"),
        ("axes exchanged", _cut(_set(index=lambda t, q, k: (t, slice(None), k, q))), "the axes"),
        ("two layers", _cut(_set(), layers=range(2)), "2 of 5 layers"),
        ("eight heads", _cut(_set(index=lambda t, q, k: (t, slice(8), q, k))), "8 of 9 heads"),
        ("all hooks off", _all_off(_cut(_set())), "take off your own alone"),
        ("no such point", _cut(_set(), point="hook_scores"), "the block opens"),
        ("wrong axes", _cut(_set(index=lambda t, q, k: (t, q, k))), "your hook raises"),
    ],
    "steer_at": [
        ("everywhere", _steer(lambda r, m, v: r + v), "every position"),
        ("elsewhere", _steer(lambda r, m, v: r + ~m * v), "*but* at"),
        ("subtracted", _steer(lambda r, m, v: r - m * v), "subtracted"),
        ("replaced", _steer(lambda r, m, v: torch.where(m, v.expand_as(r), r)), "replaced"),
        ("at the end", _steer(_at_the_end), "last position"),
        ("first row", _steer(_first_row), "first row"),
        ("one late", _steer(lambda r, m, v: r + m.roll(1, 1) * v), "too late"),
        ("whole row", _steer(lambda r, m, v: r + m.any(1, keepdim=True) * v), "whole row"),
        ("nothing returned", _steer(lambda r, m, v: None), "*return*"),
        ("first tokens", _steer(noted=_first_tokens_alone, fit=_fitted), "*every* run"),
        ("no last axis", _steer(lambda r, m, v: r + m[..., 0] * v), "your hook raises"),
        ("last token for all", _steer(lambda r, m, v: r + m[:, -1:] * v), "with a cache alone"),
        ("without a cache alone", _steer(_many_alone), "is not"),
        ("with a cache alone", _steer(_one_alone), "be they one"),
        ("positional alone", _steer(read=lambda args, kwargs: args[0] if args else None), "raises"),
        ("positional, else as before", _steer_positional, "were not noted"),
        ("all hooks off", _all_off(_steer()), "take off your own alone"),
        ("handle stays", _steer(remove="never"), "A hook is left"),
        ("handle stays after an error", _steer(remove="after"), "After an error"),
    ],
    "exact_importance": [
        (
            "same result in",
            _exact(others=lambda tries, step: torch.tensor([x != step for x in tries])),
            "step's own result",
        ),
        (
            "the step in",
            _exact(others=lambda tries, step: torch.ones(len(tries), dtype=torch.bool)),
            "step itself is in",
        ),
        ("sign", _exact(sign=-1), "turned round"),
        ("alike", _exact(instead=lambda p, s, m: s[m].mean()), "weight them by"),
        ("not divided", _exact(instead=lambda p, s, m: (p * s)[m].sum()), "do not sum to 1"),
        (
            "divided by all",
            _exact(instead=lambda p, s, m: (p * s)[m].sum() / p.sum()),
            "*all* tries",
        ),
        ("hits not 1", _exact(solved=lambda hit, chances: chances), "its entry is 1"),
        ("failures 0", _exact(solved=lambda hit, chances: hit.float()), "may still hit"),
        ("not among legal", _exact(chance=lambda b, hit: (b * hit).sum(1)), "among legal"),
        ("chance to fail", _exact(chance=lambda b, hit: (b * ~hit).sum(1) / b.sum(1)), "*fails*"),
        ("hits in the second", _exact(failing=lambda other, hit: other), "*failures* alone"),
        ("own result in the second", _exact(failing=lambda other, hit: ~hit), "`other & ~hit`"),
        ("no verdict", _exact(after=lambda each: [*each, ","]), "failure's verdict"),
        ("without before", lambda probs, tries, before, step, *, target: probs([[]]), "`before`"),
        (
            "the target on the way",
            _exact(hits=lambda tries, target: torch.tensor([target in each for each in tries])),
            "taken for hits",
        ),
        (
            "the step's result on the way",
            _exact(others=lambda tries, x: torch.tensor([x[-1] not in each for each in tries])),
            "on the way were left out",
        ),
        ("three things", _exact(answer=lambda *found: found[:3]), "in this order"),
        (
            "drawn sums to 1",
            _exact(answer=lambda a, b, p, s: Exact(a, b, p / p.sum(), s)),
            "divide by its sum",
        ),
    ],
    "continuation_probs": [
        (
            "own position",
            _continued(at=lambda x, n: x[:, n:]),
            "at its own position",
        ),
        (
            "first missing",
            _continued(at=lambda x, n: x[:, n:-1], new=lambda c: c[:, 1:]),
            "first new token",
        ),
        (
            "last missing",
            _continued(at=lambda x, n: x[:, n - 1 : -2], new=lambda c: c[:, :-1]),
            "last token",
        ),
        ("given too", _given_too, "they are given"),
        ("logs", _continued(answer=lambda x: x.sum(-1)), "`exp` at the end"),
        ("sum", _continued(answer=lambda x: x.exp().sum(-1)), "are multiplied"),
        ("mean", _continued(answer=lambda x: x.mean(-1).exp()), "a mean over tokens"),
        ("logits", _continued(values=lambda x: x), "`log_softmax`"),
        ("each token", _continued(answer=lambda x: x.exp()), "multiply over a row"),
        ("one number", _continued(answer=lambda x: x.sum().exp()), "one number for each row"),
        (
            "made to sum to 1",
            _continued(answer=lambda x: x.sum(-1).softmax(0)),
            "other continuations",
        ),
        ("with gradient", _continued(no_grad=False), "no_grad"),
    ],
    "received_by_steps": [
        ("the last too", _received(n=len), "leave it out"),
        (
            "turned",
            _received(block=lambda p, later, own: p[:, slice(*own), slice(*later)].mean((1, 2))),
            "exchanged",
        ),
        (
            "summed over keys",
            _received(block=lambda p, later, own: p[:, slice(*later), slice(*own)].sum(2).mean(1)),
            "tokens of the earlier step",
        ),
        (
            "summed over pairs",
            _received(block=lambda p, later, own: p[:, slice(*later), slice(*own)].sum((1, 2))),
            "over pairs",
        ),
        ("tokens", _tokens, "Later *tokens*"),
        ("itself", _received(after=lambda spans, i: spans[i:]), "to itself"),
        ("the next", _received(after=lambda spans, i: spans[i + 1 : i + 2]), "next step"),
        ("summed over steps", _received(many=torch.sum), "having more of them"),
        ("heads averaged", _received(answer=lambda s, k: (s.mean(0), k)), "keep them apart"),
        ("axes", _received(answer=lambda s, k: (s.T, k)), "axes are exchanged"),
        ("no minus 3", _received(kurtosis=_kurtosis(minus=0)), "3 was not"),
        ("unbiased", _received(kurtosis=_kurtosis(correction=1)), "correction=0"),
        ("not centred", _received(kurtosis=_kurtosis(centre=False)), "mean was not"),
        ("skewness", _received(kurtosis=_kurtosis(power=3, minus=0)), "skewness"),
        ("variance", _received(kurtosis=_kurtosis(spread=lambda s: s**2)), "not by the variance"),
        ("one kurtosis", _received(answer=lambda s, k: (s, k.mean())), "one for each"),
        ("scores alone", _received(answer=lambda s, k: s), "two things"),
    ],
    "stamp_head": [
        ("a comparing head", (1, 3), "comparing heads"),
        ("another head", (0, 6), "L0H6"),
        ("turned round", (4, 0), "no such head"),
        ("its number", 4, "a pair"),
        ("a word", "L0H4", "a pair of numbers"),
        ("nothing", None, "no answer yet"),
    ],
    "no_harm": [
        ("width 0", {"a", "b", "c"}, "**a**"),
        ("the direction", {"b", "c", "d"}, "**d**"),
        ("without b", {"c"}, "last column"),
        ("without c", {"b"}, "leaves out 0"),
        ("no such letter", {"f"}, "a to d"),
        ("empty", set(), "at least one"),
        ("nothing", None, "no answer yet"),
        ("a text", "a, b", "**a**"),
    ],
}

RIGHT = {
    "cut_attention": [
        ("a mask, hooks by hand", _cut_by_mask),
        ("a class, head by head", _as_a_class),
        ("the smallest number", _cut(_set(torch.finfo(torch.float32).min))),
    ],
    "steer_at": [("where, handles", _by_handles), ("a loop over positions", _by_loop)],
    "exact_importance": [
        ("loops, floats", _exact_by_loops),
        ("numpy's average", _exact_by_average),
        ("one call, starts of two lengths", _exact_at_once),
        ("the course's, as a tuple", lambda *args, **how: tuple(exact_importance(*args, **how))),
    ],
    "continuation_probs": [
        ("token by token", _continued_by_loop),
        ("cross entropy", _continued_by_loss),
        (
            "the course's, by row",
            lambda model, start, rows: torch.cat(
                [continuation_probs(model, start, row[None]) for row in rows]
            ),
        ),
    ],
    "received_by_steps": [
        ("arrays and scipy", _received_in_arrays),
        ("loops, a list", _received_by_loops),
    ],
    "stamp_head": [("a list", [0, 4]), ("a tensor", torch.tensor([0, 4]))],
    "no_harm": [
        ("a list", ["b", "c"]),
        ("a word", "bc"),
        ("a text", "b, c"),
        ("capitals", {"B", "C"}),
    ],
}
