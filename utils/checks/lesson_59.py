"""Checks of lesson 5.9, a clinic."""

import functools
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.nn import functional as F
from transformer_lens.model_bridge import TransformerBridge

from utils.checks.engine import exercise, expect, investigation, match
from utils.checks.inputs import described, drawn_from

SHEET = [
    (False, "groups"),
    (True, "fresh"),
    (True, "parts"),
    (False, "constant"),
    (True, "groups"),
    (False, "parts"),
    (True, "constant"),
    (False, "fresh"),
]
EITHER = {"fresh": "groups"}  # what was chosen on 40 statements falls to new ones, or new subjects
CONTROLS = ("groups", "fresh", "constant", "parts")


def _tiny(seed: int, *, listens: bool = False) -> TransformerBridge:
    """Three layers, with weights large enough for what is added or patched to matter.

    Args:
        listens: whether attention writes most of what is said, and no bias does.
    """
    model = TransformerBridge.boot_native(
        {
            "n_layers": 3,
            "n_heads": 2,
            "d_head": 6,
            "d_model": 12,
            "d_mlp": 16,
            "d_vocab": 40,
            "n_ctx": 12,
            "normalization_type": "LN",
            "positional_embedding_type": "standard",
            "act_fn": "gelu",
            "seed": 0,
        }
    )
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(0.5 * torch.randn(weight.shape, generator=random))
            if listens:
                weight.mul_(0 if name.endswith(("b", "bias")) else 3 if ".attn." in name else 1)
                weight.copy_(torch.ones_like(weight) if "ln" in name and weight.any() else weight)
    return model.eval()


def _rows(lengths: Sequence[int], random: torch.Generator) -> list[Tensor]:
    return [torch.randint(40, (n,), generator=random) for n in lengths]


def _no_hook_is_left(model) -> None:
    expect(
        not any(point.fwd_hooks for point in model.hook_dict.values()),
        "A hook is left on the model, and would change every later run: use `run_with_hooks`, or "
        "`with model.hooks(...)`.",
    )


# ---- Injection ----------------------------------------------------------------------------------


@exercise("utils.cases.clinic.yes_shifts")
def check_yes_shifts(yes_shifts) -> str:
    """Two small models; every shift is worked out one vector at a time."""
    for seed, (n, lengths, layer, yes, no) in enumerate(
        ((4, (5, 3, 7), 1, 3, 8), (1, (4, 6), 2, 11, 2))
    ):
        model, random = _tiny(seed), torch.Generator().manual_seed(seed)
        questions, vectors = _rows(lengths, random), 2 * torch.randn(n, 12, generator=random)

        @torch.no_grad()
        def run(question, change=None, *, name=f"blocks.{layer}.hook_resid_pre", model=model):
            hooks = [] if change is None else [(name, lambda resid, hook: change(resid))]
            return model.run_with_hooks(question[None], fwd_hooks=hooks)[0]

        def everywhere(vector):
            return lambda resid: resid + vector

        def at_last(vector):
            return lambda resid: torch.cat([resid[:, :-1], resid[:, -1:] + vector], 1)

        def unit(vector):
            return lambda resid: resid + vector / vector.norm()

        def instead(vector):
            return lambda resid: 0 * resid + vector

        def answers(change, of=lambda logits: logits[-1], questions=questions, vectors=vectors):
            each = [[of(run(q, change(v))) for q in questions] for v in vectors]  # noqa: B023
            return torch.stack([torch.stack([x[yes] - x[no] for x in row]) for row in each])  # noqa: B023

        plain = torch.stack([(x := run(q)[-1])[yes] - x[no] for q in questions])
        after = f"blocks.{layer}.hook_resid_post"
        right = answers(everywhere) - plain
        later = torch.stack(
            [
                torch.stack(
                    [(x := run(q, everywhere(v), name=after)[-1])[yes] - x[no] for q in questions]
                )
                for v in vectors
            ]
        )
        first = torch.stack([(x := run(q)[0])[yes] - x[no] for q in questions])
        got = yes_shifts(model, questions, vectors, layer=layer, yes=yes, no=no)
        _no_hook_is_left(model)
        match(
            got,
            right,
            what="The shifts",
            mistakes={
                "Nothing has changed. Does the hook *return* the new stream?": torch.zeros_like(
                    right
                ),
                "That is the answer under the vector: subtract the answer without it.": right
                + plain,
                "The sign: Yes less No, and with the vector less without it.": -right,
                "Vectors are in rows and questions in columns; yours are the other way round.": (
                    right.T
                ),
                "The vector is added at the last position alone: add it at every position.": (
                    answers(at_last) - plain
                ),
                "The vector is added after the block: layer L is `resid_pre`, before it.": later
                - plain,
                "The vector has lost its length: add it as it is.": answers(unit) - plain,
                "The vector stands in the stream's place: add it to the stream.": (
                    answers(instead) - plain
                ),
                "You read the answer at the first position; it is at the last.": (
                    answers(everywhere, lambda logits: logits[0]) - first
                ),
                "Those are differences of probabilities: the answer is one of logits.": (
                    answers(everywhere, lambda logits: logits[-1].softmax(-1))
                    - torch.stack([(x := run(q)[-1].softmax(-1))[yes] - x[no] for q in questions])
                ),
                "That is a mean over questions: give a shift for each.": right.mean(1),
            },
        )
    return "Every vector is asked every question, and the plain answer is taken off."


# ---- Patchscopes --------------------------------------------------------------------------------


@torch.no_grad()
def _own(model, row: Tensor) -> Tensor:
    return model(row[None])[0, -1].argmax()


@functools.cache
def _patchscope_case(
    seed: int, _start: int, lengths: tuple[int, ...], n: int, position: int, layers: tuple[int, ...]
) -> tuple[list[Tensor], Tensor, Tensor, dict[str, Tensor]]:
    """Sources, a target, what is right and what mistakes give; made once, for it takes seconds."""
    model, random = _tiny(seed + 2, listens=True), torch.Generator().manual_seed(seed)
    sources, targets = _rows(lengths, random), _rows([n] * 4, random)

    @torch.no_grad()
    def said(
        *,
        take=lambda stream: stream[-1],
        at=lambda resid: position,
        kind="pre",
        where=None,
        read=-1,
        rank=0,
        target=None,
    ):
        rows = []
        for layer in layers:
            name, row = f"blocks.{layer}.hook_resid_{kind}", []
            to = f"blocks.{layer if where is None else where}.hook_resid_{kind}"
            for source in sources:
                _, cache = model.run_with_cache(source[None], names_filter=[name])
                vector = take(cache[name][0])

                def put(resid, hook, vector=vector):
                    resid = resid.clone()
                    resid[:, at(resid)] = vector
                    return resid

                to_run = chosen if target is None else target
                logits = model.run_with_hooks(to_run[None], fwd_hooks=[(to, put)])[0, read]
                row.append(logits.argsort(descending=True)[rank])
            rows.append(torch.stack(row))
        return torch.stack(rows)

    def tells(row):
        """How many answers differ between the right ones and two near mistakes."""
        near = [said(target=row), said(target=row, kind="post"), _own(model, row)]
        return min(int((near[i] != near[j]).sum()) for i, j in ((0, 1), (0, 2), (1, 2)))

    chosen = max(targets, key=tells)
    target, right = chosen, said()
    with torch.no_grad():
        plain = model(target[None])[0, -1].argmax().expand_as(right)
        own = torch.stack([model(source[None])[0, -1].argmax() for source in sources])
    mistakes = {
        "You read and write after the blocks: layer L is `resid_pre`.": said(kind="post"),
        "Every answer is the target's own, as if nothing were patched. Does the hook *return* "
        "the new stream?": plain,
        "Layers are in rows and sources in columns; yours are the other way round.": right.T,
        "You took the source's first token; its *last* token is asked for.": said(
            take=lambda stream: stream[0]
        ),
        "You took the source's vector at `position`, which is a place in the target; of a "
        "source, take the last token.": said(
            take=lambda stream: stream[min(position, len(stream) - 1)]
        ),
        "The vector went to the target's last position: write it at `position`.": said(
            at=lambda resid: -1
        ),
        "The vector went to all positions: write it at `position` alone.": said(
            at=lambda resid: slice(None)
        ),
        "Those are the sources' own next tokens: run the target.": own.expand_as(right),
        "The vector of layer L goes to layer L of the target; yours all go to one layer.": said(
            where=layers[0]
        ),
        "You read the target's next token at `position`: read it at the end.": said(read=position),
        "Those are the least likely tokens: take the argmax.": said(rank=-1),
    }
    return sources, target, right, mistakes


@exercise("utils.cases.clinic.patchscope")
def check_patchscope(patchscope) -> str:
    """Two small models; layers out of order, sources of different lengths."""
    for seed, (lengths, n, position, layers) in enumerate(
        (((4, 6, 3, 5, 7, 8), 5, 2, (2, 0, 1)), ((5, 3, 6, 4, 7), 4, 2, (1, 2)))
    ):
        case = _patchscope_case(seed, drawn_from(seed), lengths, n, position, layers)
        sources, target, right, mistakes = case
        model = _tiny(seed + 2, listens=True)
        _own(model, target)  # it sets its own hooks at the first run
        got = patchscope(
            model,
            [source.clone() for source in sources],
            target.clone(),
            position=position,
            layers=list(layers),
        )
        _no_hook_is_left(model)
        match(got, right, what="The likeliest tokens", mistakes=mistakes)
    return "One vector moved from each source, layer by layer."


# ---- Distributed alignment search ---------------------------------------------------------------


def _planted(seed: int, width: int) -> SimpleNamespace:
    """A fixed mixing of three numbers into `width`, and a readout of two of them."""
    random = torch.Generator().manual_seed(seed)
    mix = torch.linalg.qr(torch.randn(width, width, generator=random)).Q

    def low(x):
        return F.pad(x, (0, width - 3)) @ mix.T

    def high(hidden):
        first, second, _ = (3 * (hidden @ mix)[:, :3]).T
        return torch.stack([torch.zeros_like(first), first - 0.8 * second], dim=1)

    def drawer():
        own = torch.Generator().manual_seed(seed + 10)

        def draw():
            base, source = torch.randn(2, 24, 3, generator=own)
            label = (source[:, 0] > 0.8 * base[:, 1]).long()
            before = (base[:, 0] > 0.8 * base[:, 1]).long()
            return SimpleNamespace(base=base, source=source, label=label, before=before)

        return draw

    return SimpleNamespace(low=low, high=high, drawer=drawer, axis=mix[:, 0])


def _search(planted, width, rank, steps, lr, seed, *, fixed=False, how="right") -> Tensor:
    raw = torch.randn(width, rank, generator=torch.Generator().manual_seed(seed)).requires_grad_()
    optimizer, draw = torch.optim.Adam([raw], lr), planted.drawer()
    same = draw() if fixed else None
    for _ in range(steps):
        pairs = same or draw()
        basis = raw if how == "raw" else torch.linalg.qr(raw).Q
        base, source = planted.low(pairs.base), planted.low(pairs.source)
        if how == "exchanged":
            base, source = source, base
        moved = base + (source - base) @ basis @ basis.T
        if how == "added":
            moved = base + source @ basis @ basis.T
        label = pairs.before if how == "before" else pairs.label
        loss = F.cross_entropy(planted.high(moved), label)
        if how == "up":
            loss = -loss
        if how != "kept":
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return raw.detach() if how == "no qr" else torch.linalg.qr(raw).Q.detach()


@exercise("utils.cases.clinic.find_subspace")
def check_find_subspace(find_subspace) -> str:
    """A planted axis in mixed coordinates, and the same search with one thing changed."""
    for seed, (width, rank, steps) in enumerate(((7, 1, 40), (5, 2, 25))):
        planted, settings = _planted(seed, width), (width, rank, steps, 0.1, seed)
        got = find_subspace(
            planted.low,
            planted.high,
            planted.drawer(),
            width=width,
            rank=rank,
            steps=steps,
            lr=0.1,
            generator=torch.Generator().manual_seed(seed),
        )
        expect(isinstance(got, Tensor), f"Return a tensor, not {described(got)}.")
        expect(
            got.shape == (width, rank),
            f"Return [width, rank], which is {[width, rank]} here, not {list(got.shape)}.",
        )
        expect(not got.requires_grad, "The result still carries a gradient: `.detach()` it.")
        product = got.T @ got
        expect(
            torch.allclose(product, torch.eye(rank), atol=1e-3),
            "The columns are not orthonormal: return `torch.linalg.qr(...)`'s Q of what was "
            "trained.",
        )

        def onto(basis: Tensor) -> Tensor:
            return basis @ basis.T

        def tried(settings=settings, planted=planted, **changed) -> Tensor:
            return onto(_search(planted, *settings, **changed))

        start = _search(planted, width, rank, 0, 0.1, seed)
        match(
            onto(got),
            tried(),
            what="The projection onto the subspace, `Q @ Q.T`,",
            mistakes={
                "That is the subspace at the start: is what Adam changes the matrix that the loss "
                "is made from?": onto(start),
                "The same pairs came in every step: call `draw()` inside the loop.": tried(
                    fixed=True
                ),
                "Base and source are exchanged: the base keeps all but its part in the subspace, "
                "which comes from the source.": tried(how="exchanged"),
                "The source's part was added; the base's part in the subspace has to go.": tried(
                    how="added"
                ),
                "The labels are those of the base: train on `pairs.label`.": tried(how="before"),
                "The loss grew: Adam has to lower it.": tried(how="up"),
                "The gradients of all steps add up: `optimizer.zero_grad()` in every step.": tried(
                    how="kept"
                ),
                "The exchange in the loop uses the raw matrix: make its columns orthonormal "
                "first, in every step.": tried(how="raw"),
            },
        )
    return "The subspace is learned through the exchange, on new pairs each step."


# ---- Answers ------------------------------------------------------------------------------------


@investigation("deciding", course=("C",))
def check_deciding(answer) -> str:
    """The letter of a control."""
    letters = [answer] if isinstance(answer, str) else list(answer)
    expect(
        len(letters) == 1 and str(letters[0]).upper() in tuple("ABCD"),
        "Give one letter, as in `('A',)`.",
    )
    letter = str(letters[0]).upper()
    why = {
        "A": "More statements at home change the direction, and say nothing of how easy the "
        "statements abroad are.",
        "B": "That interval takes statements as independent, and the same few kinds come back: it "
        "is far too narrow.",
        "D": "A larger probe is another method. The doubt is whether *any* direction would do.",
    }
    expect(letter == "C", why.get(letter, ""))
    return "They are scored on the same statements, so whatever is easy there is easy for them too."


@investigation("sheet", course=SHEET)
def check_sheet(answer) -> str:
    """Eight verdicts, each with the control that decides."""
    rows = [tuple(row) for row in answer]
    expect(len(rows) == 8, f"Give eight rows, one for each result, not {len(rows)}.")
    expect(
        all(len(row) == 2 and row[1] in CONTROLS for row in rows),
        'Each row is a verdict and a control\'s name, as in `(True, "fresh")`.',
    )
    expect(
        all(row[0] in (True, False) for row in rows),
        "A verdict is True, where the claim survives, or False.",
    )
    other = [
        i
        for i, (row, right) in enumerate(zip(rows, SHEET, strict=True), 1)
        if row[1] not in (right[1], EITHER.get(right[1]))
    ]
    expect(
        not other,
        f"For {len(other)} of the results another control decides; the first is number "
        f"{other[0] if other else 0}. How was that result made?",
    )
    verdicts = sum(bool(row[0]) != right[0] for row, right in zip(rows, SHEET, strict=True))
    expect(
        not verdicts,
        f"All controls are the right ones, and {verdicts} of the verdicts are not what they say: "
        "compare each with chance, with the constant answer, or half with half.",
    )
    return "Eight verdicts, each with the control that decides. Always saying fake gets four."


# ---- The search for tokens ----------------------------------------------------------------------


@exercise("utils.cases.clinic.climb", keeps_gradient=False)
def check_climb(climb) -> str:
    """A planted score, which has one best token at each position; then one that misleads."""
    for seed, (n, vocab) in enumerate(((3, 30), (5, 25))):
        random = torch.Generator().manual_seed(seed)
        embed = torch.randn(vocab, 4, generator=random)
        wanted = torch.randn(n, 4, generator=random)

        def excite(each, wanted=wanted):
            return (each * wanted).sum((-1, -2))

        start = torch.randint(vocab, (n,), generator=random)
        best = (wanted @ embed.T).argmax(1)
        worst = (wanted @ embed.T).argmin(1)
        how = {"steps": 25, "candidates": 6, "best": 1}
        got = climb(excite, start, embed, **how, generator=torch.Generator().manual_seed(seed))
        _is_a_find(got, excite, embed, start)
        found = torch.as_tensor(got[0])
        expect(
            not torch.equal(found, worst),
            "The search goes down: take the *largest* estimates.",
        )
        expect(
            not torch.equal(found, start),
            "Nothing was exchanged. Is the gradient that of the present tokens' embeddings, and "
            "is the best candidate kept?",
        )
        expect(
            torch.equal(found, best),
            "With the one best token of each position and 25 steps, the search should reach the "
            f"best tokens of a score that is linear, and {int((found != best).sum())} of {n} are "
            "others. Is the estimate `gradient @ embed.T`, each position with its own?",
        )
        few = climb(excite, start, embed, steps=0, candidates=3, best=2, generator=random)
        expect(
            torch.equal(torch.as_tensor(few[0]), start),
            "With no steps the tokens should be those at the start.",
        )

        def misleads(each, wanted=wanted):
            return (each * wanted).sum((-1, -2)) - 3 * (each * each).sum((-1, -2))

        start = torch.full((n,), int(embed.norm(dim=1).argmin()))
        how = {"steps": 6, "candidates": 8, "best": 3}
        for draws in range(3):
            random = torch.Generator().manual_seed(draws)
            got = climb(misleads, start, embed, **how, generator=random)
            _is_a_find(got, misleads, embed, start)

        def bent(each, wanted=wanted):
            return (each * wanted).sum((-1, -2)).tanh() + 0.3 * (each * each).sum((-1, -2)).sin()

        _same_search(climb, bent, embed, start, seed)
        _each_step(climb, bent, embed, start, seed)
    return "The gradient proposes, and the true score decides."


def _is_a_find(got, excite: Callable, embed: Tensor, start: Tensor) -> None:
    expect(
        isinstance(got, tuple) and len(got) == 2,
        f"Return the tokens and their score, not {described(got)}.",
    )
    tokens, score = torch.as_tensor(got[0]), float(got[1])
    expect(tokens.shape == start.shape, f"The tokens should be {described(start)}.")
    true, before = (excite(embed[each][None])[0].item() for each in (tokens, start))
    expect(
        abs(true - score) < 1e-3,
        f"The score returned is {score:.3f}, and `excite` gives {true:.3f} for the tokens "
        "returned: it must be the true score of *these* tokens.",
    )
    expect(
        score >= before - 1e-4,
        "The search ended lower than it began: take a candidate only if it is higher than the "
        "present score.",
    )


def _same_search(climb: Callable, excite: Callable, embed: Tensor, start: Tensor, seed: int):
    """The score after one step lies among those that the proposed exchanges can have."""
    now = embed[start].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(excite(now[None]).sum(), now)
    likely = (gradient @ embed.T).topk(2, dim=1).indices
    allowed = {tuple(start.tolist())}
    for place, options in enumerate(likely.tolist()):
        for token in options:
            row = start.clone()
            row[place] = token
            allowed.add(tuple(row.tolist()))
    for draws in range(4):
        got = climb(
            excite,
            start,
            embed,
            steps=1,
            candidates=40,
            best=2,
            generator=torch.Generator().manual_seed(seed + draws),
        )
        found = torch.as_tensor(got[0])
        expect(
            tuple(found.tolist()) in allowed,
            "After one step, tokens changed that the gradient did not propose, or at more than one "
            "position: each candidate has one exchange, by one of its position's `best` tokens.",
        )
        highest = max(excite(embed[torch.tensor(row)][None])[0].item() for row in allowed)
        expect(
            float(got[1]) > highest - 1e-3,
            "Of 40 candidates the best was not taken: compare their true scores.",
        )


def _each_step(climb: Callable, excite: Callable, embed: Tensor, start: Tensor, seed: int):
    """Every call of `excite` is kept: where gradients are taken, and which rows are tried."""
    steps, best = 6, 2
    for draws in range(3):
        calls: list[tuple[Tensor, bool]] = []

        def heard(each, calls=calls):
            tokens = torch.cdist(each.detach().flatten(0, 1), embed).argmin(1)
            calls.append((tokens.reshape(each.shape[:2]), each.requires_grad))
            return excite(each)

        generator = torch.Generator().manual_seed(seed + 50 + draws)
        how = {"steps": steps, "candidates": 2, "best": best, "generator": generator}
        got = climb(heard, start.clone(), embed, **how)
        n_gradients = sum(asks for _, asks in calls)
        expect(
            n_gradients > 0,
            "No gradient was taken: make the embeddings of the present tokens a leaf that requires "
            "one, and give that to `excite`.",
        )
        expect(
            n_gradients == steps,
            f"In {steps} steps the gradient should be taken {steps} times, and it was taken "
            f"{n_gradients} times: once a step, also after a step in which nothing was better.",
        )
        present, options, tried = start, None, []

        def value(row):
            return excite(embed[row][None])[0].item()

        def chosen(present, tried):
            """The present tokens after a step, by their true scores."""
            top = max(tried, key=value, default=present)
            return top if value(top) > value(present) else present

        for tokens, asks in calls:
            if not asks:
                tried += list(tokens) if options is not None else []
                continue
            present, tried = chosen(present, tried), []
            expect(
                torch.equal(tokens[0], present),
                "The gradient of a later step is still that of the start: take it at the *present* "
                "tokens."
                if torch.equal(tokens[0], start)
                else "A candidate was taken that is no better than the *present* tokens, or the "
                "best one was not: compare with the present score, and keep that up to date.",
            )
            leaf = embed[present].clone().requires_grad_()
            (gradient,) = torch.autograd.grad(excite(leaf[None]).sum(), leaf)
            options = (gradient @ embed.T).topk(best, dim=1).indices
        expect(
            torch.equal(torch.as_tensor(got[0]), chosen(present, tried)),
            "What is returned is not the best of what was tried.",
        )
