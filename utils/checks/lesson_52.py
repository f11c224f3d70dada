"""Checks of lesson 5.2, going on and stopping."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

from utils.checks.engine import Wrong, exercise, expect, investigation, match
from utils.checks.inputs import described

N_LAYERS, N_HEADS, D_MODEL, D_VOCAB = 2, 3, 12, 9


def _tiny(seed: int) -> TransformerBridge:
    """Two layers of three heads, with weights large enough for every edge to count."""
    model = TransformerBridge.boot_native(
        {
            "n_layers": N_LAYERS,
            "n_heads": N_HEADS,
            "d_head": 4,
            "d_model": D_MODEL,
            "d_mlp": 16,
            "d_vocab": D_VOCAB,
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
            weight.copy_(0.5 * torch.randn(weight.shape, generator=random))
    return model.eval()


@contextmanager
def _opened(context) -> Iterator[None]:
    """The learner's context, whatever it is; an error while it opens becomes a sentence."""
    expect(
        hasattr(context, "__enter__"),
        f"Calling your function gives {described(context)}, and should give a context for `with`: "
        "keep `@contextmanager` above it, and `yield` where the block inside runs.",
    )
    try:
        context.__enter__()
    except Exception as error:
        if "didn't yield" in str(error):
            raise Wrong(
                "Your function never yields: `yield` stands where the block inside of `with` runs."
            ) from None
        raise Wrong(f"When the block opens, your function raises {_named(error)}.") from error
    try:
        yield
    except BaseException as error:
        if not context.__exit__(type(error), error, error.__traceback__):
            if isinstance(error, Wrong | _Stop) or not isinstance(error, Exception):
                raise
            raise Wrong(f"When the model runs, your hook raises {_named(error)}.") from error
    else:
        context.__exit__(None, None, None)


def _named(error: Exception) -> str:
    text = str(error).splitlines()[0].rstrip(".") if str(error) else "no message"
    return f"{type(error).__name__}: {text}"


def _count(model) -> int:
    """How many hooks stay on a model, and on the model inside a bridge."""
    kinds = ("_forward_hooks", "_forward_pre_hooks")
    inside = getattr(model, "original_model", model)
    modules = {id(each): each for each in [*model.modules(), *inside.modules()]}
    return sum(len(getattr(each, kind)) for each in modules.values() for kind in kinds)


class _Stop(Exception):
    """Raised inside of a learner's context, to see whether it cleans up."""


def _expect_others_stay(model, point: str, make: Callable) -> None:
    """Raises `Wrong` if a context takes off a hook that was set around it, at another point."""
    seen = []
    with model.hooks(fwd_hooks=[(point, lambda x, hook: seen.append(0))]), torch.no_grad():
        with _opened(make()):
            pass
        model(torch.zeros(1, 2, dtype=torch.long))
    expect(
        bool(seen),
        "A hook that was set before your context is gone after it: take off your own alone. "
        "`model.reset_hooks()` takes off all of them.",
    )


def _expect_clean(model, before: int, make: Callable) -> None:
    """Raises `Wrong` if a context leaves a hook behind, at its end or after an error."""
    expect(
        _count(model) == before,
        "A hook is left when the context ends, and would change every later run: remove its "
        "handle after the `yield`; `with model.hooks(...)` removes its own.",
    )
    try:
        with _opened(make()):
            raise _Stop
    except _Stop:
        pass
    expect(
        _count(model) == before,
        "After an error in the block a hook is left: `try: ... yield`, then `finally:` with "
        "what takes it off.",
    )


# ---- Attention knockout -------------------------------------------------------------------------


class _Attention(nn.Module):
    """Heads with hooks at their scores and their patterns, as in the lesson's model."""

    def __init__(self, n_heads: int):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(4, n_heads, D_MODEL, 4))  # q, k, v, o
        self.hook_attn_scores, self.hook_pattern = HookPoint(), HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = torch.einsum("bpd,whde->wbhpe", x, self.w[:3])
        later = torch.ones(x.shape[1], x.shape[1]).triu(1).bool()
        scores = self.hook_attn_scores((q @ k.mT).masked_fill(later, -torch.inf))
        z = self.hook_pattern(scores.softmax(-1)) @ v
        return torch.einsum("bhpe,hde->bpd", z, self.w[3])


class _Block(nn.Module):
    def __init__(self, n_heads: int):
        super().__init__()
        self.attn = _Attention(n_heads)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attn(x)


class _Attending(HookedRootModule):
    """Attention alone: in a native bridge what a hook at the scores returns would be discarded."""

    def __init__(self, seed: int, *, n_layers: int, n_heads: int):
        super().__init__()
        self.cfg = SimpleNamespace(
            n_layers=n_layers, n_heads=n_heads, d_model=D_MODEL, d_vocab=D_VOCAB, device="cpu"
        )
        self.embed = nn.Embedding(D_VOCAB, D_MODEL)
        self.blocks = nn.ModuleList(_Block(n_heads) for _ in range(n_layers))
        self.unembed = nn.Linear(D_MODEL, D_VOCAB, bias=False)
        random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(0.5 * torch.randn(weight.shape, generator=random))
        self.setup()

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.unembed(x)


@torch.no_grad()
def _patterns(model, tokens) -> tuple[Tensor, Tensor]:
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    logits, cache = model.run_with_cache(tokens, names_filter=names)
    return logits, torch.stack([cache[name] for name in names])


def _knocked_out(model, tokens, change: Callable[[Tensor], Tensor], *, layers=None):
    hooks = [
        (f"blocks.{layer}.attn.hook_attn_scores", lambda scores, hook: change(scores.clone()))
        for layer in (range(model.cfg.n_layers) if layers is None else layers)
    ]
    with model.hooks(fwd_hooks=hooks):
        return _patterns(model, tokens)


def _zeroed(model, tokens, text, query, key):
    """The pattern set to 0, not renormalised."""

    def zero(pattern, hook):
        pattern = pattern.clone()
        pattern[text, :, query, key] = 0
        return pattern

    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    with model.hooks(fwd_hooks=[(name, zero) for name in names]), torch.no_grad():
        return model(tokens)


@exercise("utils.cases.thinking.cut_attention")
def check_cut_attention(cut_attention) -> str:
    """Three texts of six tokens, two edges in one of them and one in another; models of two sizes.

    The larger one has more layers and heads than the lesson's, so that no number of them that is
    written down fits both.
    """
    for seed, (n_layers, n_heads) in enumerate(((2, 3), (5, 9))):
        _check_cut(cut_attention, _Attending(seed, n_layers=n_layers, n_heads=n_heads).eval())
    return "The attention goes to the other keys, and all else stays."


def _check_cut(cut_attention, model) -> None:
    draw = torch.Generator().manual_seed(1)
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    tokens = torch.randint(0, D_VOCAB, (3, 6), generator=draw)
    edges = [torch.tensor(each) for each in ([0, 0, 2], [4, 5, 5], [1, 2, 3])]
    text, query, key = edges
    before = _count(model)

    def set_to(value, *index, layers=None):
        def change(scores):
            scores[index] = value
            return scores

        return _knocked_out(model, tokens, change, layers=layers)[0]

    inf, every = -torch.inf, slice(None)
    with torch.no_grad():
        plain = model(tokens)
    right = set_to(inf, text, every, query, key)
    with _opened(cut_attention(model, text, query, key)):
        got, patterns = _patterns(model, tokens)
    match(
        got,
        right,
        what="The logits with the edges cut",
        mistakes={
            "Nothing has changed. Does the hook *return* the new scores, is the `yield` inside the "
            "`with`, and is the order of the axes [text, head, query, key]? (A query attends to "
            "keys before it: exchanged, there is nothing to forbid.)": plain,
            "Query and key are exchanged: a query looks back at a key.": _or(
                lambda: set_to(inf, text, every, key, query), plain
            ),
            "The scores are 0 there, and the softmax of 0 is no attention of 0: which score gives "
            "exactly none?": set_to(0.0, text, every, query, key),
            "The attention was set to 0 after the softmax, and the rest of the row does not sum to "
            "1: change the scores before it, `hook_attn_scores`.": _zeroed(
                model, tokens, text, query, key
            ),
            "Only the first layer was cut: an edge is forbidden in all of them.": set_to(
                inf, text, every, query, key, layers=[0]
            ),
            "Only the last layer was cut: an edge is forbidden in all of them.": set_to(
                inf, text, every, query, key, layers=[n_layers - 1]
            ),
            "Only one head was cut: an edge is forbidden for all heads.": set_to(
                inf, text, 0, query, key
            ),
            "The edges were cut in every text: each belongs to one text, `text`.": set_to(
                inf, every, every, query, key
            ),
            "Every query was kept from these keys: cut one query for each key.": set_to(
                inf, text, every, every, key
            ),
        }
        | {
            f"Only {n} of {n_layers} layers were cut: an edge is forbidden in all of them.": set_to(
                inf, text, every, query, key, layers=range(n)
            )
            for n in range(2, n_layers)
        }
        | {
            f"Only {n} of {n_heads} heads were cut: an edge is forbidden for all heads.": set_to(
                inf, text, slice(n), query, key
            )
            for n in range(2, n_heads)
        },
    )
    expect(
        bool((patterns.permute(1, 3, 4, 0, 2)[text, query, key] == 0).all()),
        "The forbidden attention is small but not 0: minus infinity gives exactly 0.",
    )
    _expect_clean(model, before, lambda: cut_attention(model, text, query, key))
    _expect_others_stay(
        model, "blocks.0.attn.hook_pattern", lambda: cut_attention(model, text, query, key)
    )
    single = [torch.tensor([1]), torch.tensor([3]), torch.tensor([0])]
    with _opened(cut_attention(model, *single)), torch.no_grad():
        got = model(tokens)
    text, query, key = single
    match(
        got, set_to(inf, text, every, query, key), what="The logits with one edge cut", mistakes={}
    )


def _or(make: Callable, otherwise: Tensor) -> Tensor:
    """What a mistake gives, or something else where it gives nothing but NaN."""
    found = make()
    return otherwise + 1e3 if bool(found.isnan().any()) else found


# ---- Steering at a token ------------------------------------------------------------------------


def _by_keyword(model, tokens: Tensor) -> Tensor:
    """The logits of the model inside a bridge, which gets its tokens by name."""
    found = model.original_model(input_ids=tokens)
    return getattr(found, "logits", found)


@investigation("stamp_head", course=(0, 4))
def check_stamp_head(answer) -> str:
    """The one head that carries `check` to the second bracket."""
    expect(answer is not None, "There is no answer yet: give a pair, layer and number of the head.")
    expect(
        not isinstance(answer, str),
        "Give the head as a pair of numbers, layer and head, such as `(2, 1)` for L2H1.",
    )
    answer = tuple(torch.as_tensor(answer).flatten().tolist())
    expect(len(answer) == 2, "Give a pair, layer and number of the head.")
    expect(
        all(float(each).is_integer() for each in answer)
        and 0 <= answer[0] < 3
        and 0 <= answer[1] < 8,
        "There is no such head: layers are 0 to 2, and heads 0 to 7.",
    )
    expect(
        answer not in ((1, 3), (1, 4), (1, 5)),
        "That is one of the comparing heads, which are ablated in every trial already.",
    )
    expect(
        answer == (0, 4),
        f"Without L{answer[0]:.0f}H{answer[1]:.0f}, the yes is still there in most of the texts. "
        "Which head attends to `check` from the second bracket?",
    )
    return "One head reads the word, and the yes follows."


@exercise("utils.cases.thinking.steer_at")
def check_steer_at(steer_at) -> str:
    """Texts of several lengths in one context, as a model with a cache gets them."""
    draw = torch.Generator().manual_seed(2)
    for layer, token in ((1, 7), (N_LAYERS, 3), (0, 5)):
        model, vector = _tiny(layer), 3 * torch.randn(D_MODEL, generator=draw)
        tokens = torch.randint(0, D_VOCAB, (3, 5), generator=draw)
        with torch.no_grad():
            model(tokens)  # the first run sets hooks of the bridge's own
        before = _count(model)
        tokens[tokens == token] = 1
        tokens[0, 1] = tokens[0, 3] = tokens[2, 4] = token
        step = torch.tensor([[1], [token], [token]])
        name = (
            f"blocks.{N_LAYERS - 1}.hook_resid_post"
            if layer == N_LAYERS
            else f"blocks.{layer}.hook_resid_pre"
        )

        @torch.no_grad()
        def run(tokens, mask, vector=vector, model=model, name=name, how="add"):
            def change(resid, hook):
                mask_ = torch.as_tensor(mask).to(resid)[..., None]
                return (
                    resid + mask_ * vector if how == "add" else resid * (1 - mask_) + mask_ * vector
                )

            return model.run_with_hooks(tokens, fwd_hooks=[(name, change)])

        def mistakes(tokens, vector=vector, token=token, run=run):
            here = (tokens == token).float()
            nowhere = torch.zeros_like(here)
            return {
                "Nothing has changed. Does the hook *return* the new stream? Is it on the stream "
                "of `layer`, and compared with the tokens that run *now*, be they one, as with a "
                "cache, or many?": run(tokens, nowhere),
                "The vector was added at every position: only where the token is `token`.": run(
                    tokens, nowhere + 1
                ),
                "The vector was added everywhere *but* at the token.": run(tokens, 1 - here),
                "The vector was subtracted: add it.": run(tokens, -here),
                "The stream was replaced by the vector there: add to it.": run(
                    tokens, here, how="replace"
                ),
                "Only the last position was looked at: compare all that run.": run(
                    tokens, here * (torch.arange(here.shape[1]) == here.shape[1] - 1)
                ),
                "Only the last token was compared, and its answer used at every position. That "
                "fits a run with a cache alone: compare all tokens that run.": run(
                    tokens, here[:, -1:].expand_as(here)
                ),
                "The positions of the first row were taken for all: each row has its own.": run(
                    tokens, here[:1].expand_as(here)
                ),
                "The vector was added one position too late.": run(tokens, here.roll(1, 1)),
                "The vector was added to the whole row: only at the token.": run(
                    tokens, nowhere + here.any(1, keepdim=True)
                ),
            }

        right = run(tokens, (tokens == token).float())
        with _opened(steer_at(model, vector, layer=layer, token=token)), torch.no_grad():
            got, later = model(tokens), model(step)
        match(got, right, what=f"The logits, steered at layer {layer},", mistakes=mistakes(tokens))
        match(
            later,
            run(step, (step == token).float()),
            what="In the same context, the logits of a single new token (as with a cache)",
            mistakes={
                "Several tokens at once are steered, and a single new one, as with a cache, is "
                "not: compare the tokens that run now, however many.": run(step, 0 * step),
                "In the same context a second, shorter text came, as with a cache, and the tokens "
                "of the first one were used: note the tokens at *every* run.": run(
                    step, (tokens[:, -1:] == token).float()
                ),
            }
            | mistakes(step),
        )

        def make(model=model, vector=vector, layer=layer, token=token):
            return steer_at(model, vector, layer=layer, token=token)

        with _opened(make()), torch.no_grad():
            got = _by_keyword(model, tokens)
        match(
            got,
            right,
            what="The logits where the model gets its tokens as the keyword `input_ids`",
            mistakes={
                'The tokens came as `kwargs["input_ids"]` there, and were not noted.': run(
                    tokens, 0 * tokens
                )
            },
        )
        _expect_clean(model, before, make)
        _expect_others_stay(model, "blocks.0.hook_mlp_out", make)
        own = 3 * torch.randn(3, 1, D_MODEL, generator=draw)
        with _opened(steer_at(model, own, layer=layer, token=token)), torch.no_grad():
            got = model(tokens)
        match(
            got,
            run(tokens, (tokens == token).float(), vector=own),
            what="The logits with a vector of each row's own, [batch 1 d_model],",
            mistakes={},
        )
        with torch.no_grad():
            match(model(tokens), run(tokens, 0 * tokens), what="The logits afterwards", mistakes={})
    return "It knows which tokens run now; how many went before does not matter."


# ---- Exact importance ---------------------------------------------------------------------------


def _rejected(words: Sequence[str]) -> list[str]:
    return [*words, "(", "not", words[-1], ")", ","]


def _table(tries: list[list[str]], before: list[str], seed: int):
    """A made-up model: its chances after each text that may be asked for, summing to below 1."""
    draw = torch.Generator().manual_seed(seed)
    texts = [before, *([*before, *_rejected(each)] for each in tries)]
    chances = torch.rand(len(texts), len(tries), generator=draw).double() + 0.05
    chances = chances / chances.sum(1, keepdim=True)
    chances = chances * (0.6 + 0.35 * torch.rand(len(texts), 1, generator=draw).double())
    known = {" ".join(text): row for text, row in zip(texts, chances, strict=True)}

    def probs(starts):
        texts = [" ".join(start) if not isinstance(start, str) else start for start in starts]
        if unknown := [text for text in texts if text not in known]:
            after = unknown[0].removeprefix(" ".join(before)).strip()
            raise Wrong(
                "`probs` was asked about a text that is neither `before` nor `before` with one of "
                f"the tries and a failure's verdict: {after!r} stands after `before` (or it does "
                "not begin with `before`). Give a list of texts, each a list of words."
            )
        return torch.stack([known[text] for text in texts]).float()

    return probs, chances.float()


@investigation("no_harm", course={"b", "c"})
def check_no_harm(answer) -> str:
    """The statements that the table of pairs allows."""
    expect(answer is not None, "There is no answer yet: give a set such as `{'a', 'd'}`.")
    if isinstance(answer, str):
        words = re.split(r"[\s,;]+", answer.strip(" {}()[]"))
        answer = [letter for word in words if word != "and" for letter in word]
    answer = {str(each).strip().lower() for each in answer}
    expect(bool(answer), "Give at least one letter.")
    expect(answer <= set("abcd"), "The letters are a to d: give a set such as `{'a', 'd'}`.")
    for letter, why in {
        "a": "Look at **a** again: an interval that includes 0 also includes differences "
        "that are not 0. What does it exclude?",
        "d": "Look at **d** again: how many does a random direction of that length lose?",
    }.items():
        expect(letter not in answer, why)
    expect("b" in answer, "One is missing: read the last column.")
    expect("c" in answer, "One is missing: is there an interval that leaves out 0?")
    return "Equal scores say something only with the limit of what they exclude."


@exercise("utils.cases.thinking.exact_importance", in_double=True)
def check_exact_importance(exact_importance) -> str:
    """Eleven tries: two hit, some share a failure's result, and some have a target on the way."""
    lines = ["8 + 2 = 10", "2 + 8 = 10", "8 - 2 = 6", "9 - 2 = 7", "8 + 9 = 17", "9 - 3 = 6"]
    lines += ["3 + 8 = 11", "8 + 2 = 10 - 3 = 7", "10 + 3 = 13", "9 - 3 = 6 + 2 = 8", "6 + 9 = 15"]
    tries = [line.split() for line in lines]
    before = ["now", "make", "10", ":", "9", "+", "2", "=", "11", "(", "not", "11", ")", ","]
    for seed, (at, target) in enumerate(((2, "10"), (1, "10"), (4, "6"), (5, "6"))):
        probs, chances = _table(tries, before, seed)
        step, drawn, behind = tries[at], chances[0], chances[1:]
        hit = torch.tensor([each[-1] == target for each in tries])
        other = torch.tensor([each[-1] != step[-1] for each in tries])
        within = torch.tensor([target in each for each in tries])
        past = torch.tensor([step[-1] not in each for each in tries])
        next_hits = behind[:, hit].sum(1) / behind.sum(1)
        unscaled = behind[:, hit].sum(1)
        solves = torch.where(hit, torch.ones(()), next_hits)
        kept = solves[at]

        def instead(among, p=drawn, s=solves):
            return (p * s)[among].sum() / p[among].sum()

        got = exact_importance(probs, tries, before, step, target=target)
        expect(
            isinstance(got, tuple) and len(got) == 4,
            "Return `Exact(importance, against_failures, drawn, solves)`, in this order, not "
            f"{described(got)}.",
        )
        match(
            got[2],
            drawn,
            what="`drawn`, the probability of each try in the step's place,",
            mistakes={
                "`drawn` keeps what `probs` gives; only the averages divide by its sum.": (
                    drawn / drawn.sum()
                ),
                "`probs` gives a row for each start: take the row of the one start.": drawn[None],
            },
        )
        match(
            got[3],
            solves,
            what="`solves`",
            mistakes={
                "A try that hits solves the puzzle itself: its entry is 1.": next_hits,
                "The chance of a hit is among legal tries: divide by the sum over all of them.": (
                    torch.where(hit, torch.ones(()), unscaled)
                ),
                "That is the chance that the next try *fails*.": torch.where(
                    hit, torch.ones(()), 1 - next_hits
                ),
                "The sums run over the starts, and belong over the tries, the last axis.": (
                    torch.where(hit, torch.ones(()), behind[hit].sum(0) / behind.sum(0))
                ),
                "For every failure there is the chance *before* the step: ask `probs` about the "
                "text with that failure in it.": torch.where(
                    hit, torch.ones(()), drawn[hit].sum() / drawn.sum()
                ),
                "Failures are 0: the next try may still hit.": hit.float(),
                "Tries with the target among their numbers or on the way were taken for hits: only "
                "the last word is the result.": torch.where(
                    within, torch.ones(()), behind[:, within].sum(1) / behind.sum(1)
                ),
            },
        )
        right = kept - instead(other)
        everything = torch.ones(len(tries), dtype=torch.bool)
        not_it = torch.arange(len(tries)) != at
        match(
            got[0],
            right,
            what="The importance",
            mistakes={
                "Tries with the step's own result are in the average: leave all of them out, also "
                "those in other words.": kept - instead(not_it),
                "The step itself is in the average: leave out tries with its result.": kept
                - instead(everything),
                "The sign is turned round: positive is a step that helps.": -right,
                "The tries were weighted alike: weight them by `drawn`.": kept
                - solves[other].mean(),
                "The weights do not sum to 1: divide by the sum of those that are in.": kept
                - (drawn * solves)[other].sum(),
                "You divided by the probability of *all* tries: divide by that of those in the "
                "average.": kept - (drawn * solves)[other].sum() / drawn.sum(),
                "That is the chance with the step alone: subtract what would be without it.": kept,
                "That is what would be without the step: subtract it from the chance with it.": (
                    instead(other)
                ),
                "Tries that only have the step's result on the way were left out too: the "
                "result is the last word.": kept - instead(past),
                "That is the importance against failures: tries that hit belong into the first "
                "average.": kept - instead(other & ~hit),
            },
        )
        match(
            got[1],
            kept - instead(other & ~hit),
            what="The importance against other failures",
            mistakes={
                "Tries that hit are in the second average: other *failures* alone.": right,
                "Failures with the step's own result are in the second average: `other & ~hit`.": (
                    kept - instead(~hit)
                ),
                "The second average is over hits: take the tries that are *not* hits.": kept
                - instead(other & hit)
                if bool((other & hit).any())
                else kept + 9,
            },
        )
    return "No rollout was needed: within this horizon every way is counted."


@exercise("utils.cases.thinking.continuation_probs")
def check_continuation_probs(continuation_probs) -> str:
    """A tiny model, four continuations of three tokens after a start of four."""
    for seed, (n_start, rows, new) in enumerate(((4, 4, 3), (1, 2, 5), (6, 1, 1))):
        model, draw = _tiny(seed), torch.Generator().manual_seed(10 + seed)
        start = torch.randint(0, D_VOCAB, (n_start,), generator=draw)
        follow = torch.randint(0, D_VOCAB, (rows, new), generator=draw)
        whole = torch.cat([start.repeat(rows, 1), follow], 1)
        with torch.no_grad():
            logits = model(whole)
        log_probs = logits.log_softmax(-1)

        def read(first, last, shift, values=log_probs, whole=whole):
            picked = [
                [values[r, i - shift, whole[r, i]] for i in range(first, last)]
                for r in range(len(whole))
            ]
            return torch.tensor(picked)

        end = n_start + new
        right = read(n_start, end, 1)
        got = continuation_probs(model, start, follow)
        expect(
            not isinstance(got, Tensor) or not got.requires_grad,
            "Run the model inside `with torch.no_grad():`: nothing is trained here, and gradients "
            "cost memory.",
        )
        match(
            got,
            right.sum(1).exp(),
            what="The probabilities",
            mistakes={
                "Each token was read from the logits at its own position. Those are about the "
                "*next* token: look one position earlier.": read(n_start, end, 0).sum(1).exp(),
                "The first new token is missing: it is foretold at the last position of the "
                "start.": read(n_start + 1, end, 1).sum(1).exp()
                if new > 1
                else torch.full((rows,), 9.0),
                "Tokens of the start are counted: they are given.": read(1, end, 1).sum(1).exp()
                if n_start > 1
                else torch.full((rows,), 9.0),
                "The last token is missing.": read(n_start, end - 1, 1).sum(1).exp()
                if new > 1
                else torch.full((rows,), 9.0),
                "Those are log probabilities: `exp` at the end.": right.sum(1),
                "The probabilities were added: those of tokens in a row are multiplied.": (
                    right.exp().sum(1)
                ),
                "That is a mean over tokens: the log of a product is a sum.": right.mean(1).exp(),
                "Those are logits: `log_softmax` first.": read(n_start, end, 1, values=logits)
                .sum(1)
                .exp(),
                "One number for each token: multiply over a row.": right.exp(),
                "The probabilities of all rows were multiplied: one number for each row.": (
                    right.sum().exp()
                ),
                "The rows were made to sum to 1: other continuations than these may come.": (
                    right.sum(1).softmax(0)
                ),
            },
        )
    return "With all legal tries in the rows, this is the whole distribution of the next try."


# ---- Receiver heads -----------------------------------------------------------------------------


@exercise("utils.cases.thinking.received_by_steps", in_double=True)
def check_received_by_steps(received_by_steps) -> str:
    """Two heads over fourteen tokens; steps of different lengths after two tokens of a header."""
    draw = torch.Generator().manual_seed(0)
    pattern = 2 * torch.randn(2, 14, 14, generator=draw)
    pattern = pattern.masked_fill(torch.ones(14, 14).triu(1).bool(), -torch.inf).softmax(-1)
    spans = [(2, 4), (4, 7), (7, 8), (8, 11), (11, 14)]
    n = len(spans) - 1

    def scored(block=lambda x: x.mean((1, 2)), later=lambda i: spans[i + 1 :], turned=False):
        rows = []
        for i, (begin, end) in enumerate(spans[:n]):
            parts = [
                block(pattern[:, begin:end, b:e] if turned else pattern[:, b:e, begin:end])
                for b, e in later(i)
            ]
            rows.append(torch.stack(parts).mean(0))
        return torch.stack(rows, 1)

    def tokens_alike():
        rows = [pattern[:, end:, begin:end].mean((1, 2)) for begin, end in spans[:n]]
        return torch.stack(rows, 1)

    right = scored()
    got = received_by_steps(pattern, spans)
    expect(
        isinstance(got, tuple | list) and len(got) == 2,
        f"Return two things, the scores and the kurtosis, not {described(got)}.",
    )
    last = pattern[:, 14:, 11:14].sum((1, 2))[:, None]
    match(
        got[0],
        right,
        what="The scores",
        mistakes={
            "The last step has no later one: leave it out.": torch.cat([right, last], 1),
            "Queries and keys are exchanged: in `pattern[:, q, k]` the later token is the query.": (
                scored(turned=True)
            ),
            "Attention was summed over the tokens of the earlier step: take the mean over all "
            "pairs.": scored(block=lambda x: x.sum(2).mean(1)),
            "Attention was summed over pairs of tokens: take the mean.": scored(
                block=lambda x: x.sum((1, 2))
            ),
            "Later *tokens* were averaged: average each later step first, then the steps, so that "
            "a long step counts no more than a short one.": tokens_alike(),
            "A step's attention to itself is in: only the steps after it.": scored(
                later=lambda i: spans[i:]
            ),
            "Only the next step was looked at: take all steps after it.": scored(
                later=lambda i: spans[i + 1 : i + 2]
            ),
            "The heads were averaged: keep them apart, [head, earlier].": right.mean(0),
            "The axes are exchanged: the scores are [head, earlier].": right.T,
            "The scores were summed over later steps: an early step would win by having more of "
            "them.": right * torch.tensor([len(spans) - 1 - i for i in range(n)]),
        },
    )
    centred = right - right.mean(1, keepdim=True)
    biased, unbiased = (right.std(1, correction=c, keepdim=True) for c in (0, 1))
    fourth = (centred / biased).pow(4).mean(1)
    match(
        got[1],
        fourth - 3,
        what="The kurtosis",
        mistakes={
            "3 was not subtracted, which is what a normal distribution has.": fourth,
            "The deviation divides by n - 1: take `correction=0`.": (centred / unbiased)
            .pow(4)
            .mean(1)
            - 3,
            "The mean was not subtracted first.": (right / biased).pow(4).mean(1) - 3,
            "That is the skewness: take fourth powers.": (centred / biased).pow(3).mean(1),
            "Divide by the deviation, not by the variance.": (centred / biased.square())
            .pow(4)
            .mean(1)
            - 3,
            "The mean runs over the heads: it belongs over the steps.": (
                ((right - right.mean(0)) / right.std(0, correction=0)).pow(4).mean(0) - 3
            ),
            "One number for all heads: give one for each.": (fourth - 3).mean(),
        },
    )
    three = received_by_steps(pattern[:1], spans[1:4])
    match(
        three[0],
        torch.stack(
            [
                (pattern[:1, 7:8, 4:7].mean((1, 2)) + pattern[:1, 8:11, 4:7].mean((1, 2))) / 2,
                pattern[:1, 8:11, 7:8].mean((1, 2)),
            ],
            1,
        ),
        what="The scores of one head and three of the steps",
        mistakes={},
    )
    return "Few steps leave little room: with n scores it cannot exceed n - 5 + 1/(n - 1)."


# ---- Answers ------------------------------------------------------------------------------------
