"""Checks of lesson 5.6, planted behaviours."""

import re
from contextlib import contextmanager

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from utils.checks.engine import exercise, expect, investigation, match
from utils.checks.inputs import described

D_MODEL, D_VOCAB = 12, 30


def _tiny(seed: int) -> TransformerBridge:
    """Three or four layers, with weights large enough for every hook to matter."""
    model = TransformerBridge.boot_native(
        {
            "n_layers": 3 + seed,
            "n_heads": 2,
            "d_head": 6,
            "d_model": D_MODEL,
            "d_mlp": 16,
            "d_vocab": D_VOCAB,
            "n_ctx": 40,
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
        model.eval()(torch.zeros(1, 2, dtype=torch.long))  # sets its own hooks at the first run
    return model


def _rows(seed: int, n: int, *, shortest: int = 3) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(shortest, shortest + 5, (n,), generator=random).tolist()
    return [torch.randint(D_VOCAB, (length,), generator=random) for length in lengths]


def _hooks_set(model) -> int:
    return sum(len(point.fwd_hooks) for point in dict.fromkeys(model.hook_dict.values()))


# ---- The score ----------------------------------------------------------------------------------


@exercise("utils.cases.behaviours.refusal_score")
def check_refusal_score(refusal_score) -> str:
    """One token and two, and logits so large that a probability rounds to 1."""
    for seed, tokens in enumerate(([3], [0, 5])):
        random = torch.Generator().manual_seed(seed)
        logits, tokens = 3 * torch.randn(4, 8, generator=random), torch.tensor(tokens)
        p = logits.double().softmax(-1)
        one, inside = p[:, tokens].sum(-1), p[:, tokens]
        match(
            refusal_score(logits, tokens),
            _odds(logits, tokens),
            what="The score",
            mistakes={
                "That is the log probability: subtract log(1 - p).": one.log(),
                "That is the probability.": one,
                "Those are odds: take their logarithm.": one / (1 - one),
                "The sign is turned round: log p - log(1 - p).": -_odds(logits, tokens),
                "The softmax runs over the batch: take the last axis.": (
                    logits.softmax(0)[:, tokens].sum(-1).log()
                    - (1 - logits.softmax(0)[:, tokens].sum(-1)).log()
                ),
                "A score for each token: add their probabilities first.": (
                    inside.log() - (1 - inside).log()
                ),
                "The scores of the tokens are added: add their probabilities first.": (
                    inside.log() - (1 - inside).log()
                ).sum(-1),
                "The logits are used as they are: what is p?": logits[:, tokens].sum(-1),
                "The mean over the batch: give a score for each row.": _odds(logits, tokens).mean(),
            },
        )
    sure = torch.tensor([[25.0, 0, 0, 0, 0, 0, 0, 0]])
    got = refusal_score(sure, torch.tensor([0]))
    expect(
        bool((got - (25 - torch.tensor(7.0).log())).abs().max() < 0.1),
        "Where p is nearly 1, the score is lost: 1 - p rounds to 0. Take the others' probability "
        "as a sum of its own, or compute in `.double()`.",
    )
    return "The log odds that an answer begins as a refusal."


# ---- Ablation -----------------------------------------------------------------------------------


def _projecting(
    model, direction: Tensor, *, places, layers=None, square=True, at=slice(None), sign=1
):
    """Hooks that take a direction out at some places."""
    scale = sign * (direction / (direction @ direction) if square else direction)

    def hook(value, hook):
        value = value.clone()
        value[:, at] = value[:, at] - (value[:, at] @ direction)[..., None] * scale
        return value

    layers = range(model.cfg.n_layers) if layers is None else layers
    names = [f"blocks.{i}.{place}" for i in layers for place in places if "." not in place]
    return [(name, hook) for name in names + [place for place in places if "." in place]]


_WRITES = ("hook_attn_out", "hook_mlp_out")


@torch.no_grad()
def _run(model, tokens: Tensor, hooks=()) -> tuple[Tensor, Tensor]:
    """Logits, and the stream after the last block."""
    kept = []
    end = (f"blocks.{model.cfg.n_layers - 1}.hook_resid_post", lambda x, hook: kept.append(x))
    logits = model.run_with_hooks(tokens, fwd_hooks=[*hooks, end])
    return logits, kept[0]


@exercise("utils.cases.behaviours.direction_ablated")
def check_direction_ablated(direction_ablated) -> str:
    """The embedding and all that blocks write, each without the direction: the same in sum."""
    for seed in (0, 1):
        model, random = _tiny(seed), torch.Generator().manual_seed(10 + seed)
        tokens = torch.randint(D_VOCAB, (2, 7), generator=random)
        direction = 3 * torch.randn(D_MODEL, generator=random)
        before = _hooks_set(model)

        def out(places, model=model, tokens=tokens, direction=direction, **how):
            return _run(model, tokens, _projecting(model, direction, places=places, **how))[0]

        first = "blocks.0.hook_resid_pre"  # the oracle: the embedding once, then each write
        right = out((first, *_WRITES))
        every = ("hook_resid_pre", *_WRITES)
        context = direction_ablated(model, direction)
        expect(
            hasattr(context, "__enter__"),
            f"This is used in a `with`, and yours gives {described(context)}: keep the decorator "
            "`@contextmanager`, and `yield` while the hooks are set.",
        )
        with context:
            got, stream = _run(model, tokens)
        match(
            got,
            right,
            what="The logits while the context is open",
            mistakes={
                "Nothing has changed. Does the hook return the new value, and does the `yield` "
                "stand inside `with model.hooks(...)`?": _run(model, tokens)[0],
                "Divide the direction by its length first: a projection needs a unit vector.": out(
                    every, square=False
                ),
                "The stream before each block has lost the direction, but what attention and MLP "
                "write in the block brings it back: take it out of both outputs as well.": out(
                    ("hook_resid_pre",)
                ),
                "The writes of the blocks have lost the direction, and the embedding brings it "
                "in: take it out of the stream before the blocks as well.": out(_WRITES),
                "The direction is still in what attention writes (`hook_attn_out`).": out(
                    ("hook_resid_pre", "hook_mlp_out")
                ),
                "The direction is still in what the MLPs write (`hook_mlp_out`).": out(
                    ("hook_resid_pre", "hook_attn_out")
                ),
                "Only one block is ablated: set the hooks in all of them.": out(every, layers=[0]),
                "Only the last position is ablated: take all of them.": out(
                    every, at=slice(-1, None)
                ),
                "The projection is added and not taken away: mind the sign.": out(every, sign=-1),
            },
        )
        along = (stream @ direction).abs().max()
        expect(bool(along < 1e-3), "After the last block the stream still has the direction.")
        expect(
            _hooks_set(model) == before,
            "A hook stays when the context closes: set it by `with model.hooks(fwd_hooks=...)`.",
        )
        try:
            with direction_ablated(model, direction):
                raise KeyError
        except KeyError:
            pass
        expect(_hooks_set(model) == before, "A hook stays when an error ends the context.")
    return "No block reads or writes along this direction."


# ---- The sweep ----------------------------------------------------------------------------------


def _last(model, rows: list[Tensor], hooks=()) -> Tensor:
    """The logits after each row."""
    logits, _ = _run(model, torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), hooks)
    return torch.stack([each[len(row) - 1] for each, row in zip(logits, rows, strict=True)])


def _odds(logits: Tensor, tokens: Tensor) -> Tensor:
    p = logits.double().softmax(-1)[:, tokens].sum(-1)
    return (p.log() - (1 - p).log()).float()


@exercise("utils.cases.behaviours.direction_scores")
def check_direction_scores(direction_scores) -> str:
    """Directions for two or three layers, given in no order, with rows of several lengths."""
    for seed, layers in enumerate(([2, 0], [1, 3, 0])):
        model, random = _tiny(seed), torch.Generator().manual_seed(20 + seed)
        directions = torch.randn(len(layers), D_MODEL, generator=random) * 2
        refused, harmless = _rows(30 + seed, 4), _rows(40 + seed, 3)
        tokens = torch.tensor([[4], [7, 11]][seed])
        before = _hooks_set(model)

        def added(layer, vector):
            return [(f"blocks.{layer}.hook_resid_pre", lambda resid, hook: resid + vector)]

        def scores(
            *,
            bypass_of=refused,
            induce_of=harmless,
            turned=False,
            unit=False,
            each=layers,
            steered=True,
            model=model,
            directions=directions,
            tokens=tokens,
            harmless=harmless,
            added=added,
        ):
            rows = []
            intact = _last(model, harmless).log_softmax(-1)
            for layer, direction in zip(each, directions, strict=True):
                places = ("blocks.0.hook_resid_pre", *_WRITES)
                without = _projecting(model, direction, places=places)
                vector = direction / direction.norm() if unit else direction
                with_it = added(layer, vector) if steered else without
                changed = _last(model, harmless, without).log_softmax(-1)
                p, q = (changed, intact) if turned else (intact, changed)
                rows.append(
                    torch.stack(
                        [
                            _odds(_last(model, bypass_of, without), tokens).mean(),
                            _odds(_last(model, induce_of, with_it), tokens).mean(),
                            (p.exp() * (p - q)).sum(-1).mean(),
                        ]
                    )
                )
            return torch.stack(rows, dim=1)

        got = direction_scores(
            model, directions, layers=layers, refused=refused, harmless=harmless, tokens=tokens
        )
        expect(
            isinstance(got, tuple) and len(got) == 3,
            f"Return `DirectionScores(bypass, induce, kl)`, not {described(got)}.",
        )
        right, swapped = scores(), scores(bypass_of=harmless, induce_of=refused)
        match(
            got[0],
            right[0],
            what="`bypass`",
            mistakes={
                "`bypass` is measured after the harmless requests: take the refused ones.": swapped[
                    0
                ],
                "`bypass` needs the direction ablated, and there it is added.": torch.stack(
                    [
                        _odds(_last(model, refused, added(layer, v)), tokens).mean()
                        for layer, v in zip(layers, directions, strict=True)
                    ]
                ),
                "`bypass` is the score of the intact model: is the run inside the `with`?": _odds(
                    _last(model, refused), tokens
                )
                .mean()
                .expand(len(layers)),
            },
        )
        match(
            got[1],
            right[1],
            what="`induce`",
            mistakes={
                "`induce` is measured after the refused requests: take the harmless ones.": swapped[
                    1
                ],
                "`induce` needs the direction added, and there it is ablated.": scores(
                    steered=False
                )[1],
                "Each direction is added before the block of its own layer, and yours all enter at "
                "one layer, or at the number of their row: use `layers`.": scores(
                    each=list(range(len(layers)))
                )[1],
                "Add the direction at the length it has.": scores(unit=True)[1],
                "`induce` is the score of the intact model: is the run inside the `with`?": _odds(
                    _last(model, harmless), tokens
                )
                .mean()
                .expand(len(layers)),
            },
        )
        match(
            got[2],
            right[2],
            what="`kl`",
            mistakes={
                "The divergence is turned round: the intact model's distribution comes "
                "first.": scores(turned=True)[2],
                "These are sums over requests: take the mean.": right[2] * len(harmless),
            },
        )
        expect(
            _hooks_set(model) == before,
            "A hook stays after the sweep: use `with`, as `direction_ablated` is.",
        )
    return "Each direction taken out and put in, and what that costs."


@investigation("which_control", course={"B"})
def check_which_control(which_control) -> str:
    """One letter."""
    expect(
        isinstance(which_control, (set, list, tuple, str)) and len(which_control) == 1,
        'Give one letter, such as {"A"}.',
    )
    letter = str(next(iter(which_control))).strip().upper()
    why = {
        "A": "More random directions tell only that the direction is no accident. Animals and food "
        "are what these requests share, too: what would show whether it is their direction?",
        "C": "With the sign turned it is the same direction: ablated, exactly the same one.",
        "D": "Another layer's direction is made from the same requests, and shares whatever they "
        "share: it cannot tell topic and refusal apart.",
    }
    expect(letter in ("A", "B", "C", "D"), "Give one of the letters A, B, C, D.")
    expect(letter == "B", why.get(letter, ""))
    return "There the topic is the same, and nothing is refused."


# ---- Two models ---------------------------------------------------------------------------------


@exercise("utils.cases.behaviours.activation_difference")
def check_activation_difference(activation_difference) -> str:
    """A model whose embedding and first blocks are changed while a context is open."""
    for seed, (layer, n) in enumerate(((2, 3), (1, 4))):
        model = _tiny(seed)
        rows = _rows(50 + seed, 5, shortest=n)
        weights = [p for name, p in model.named_parameters() if p.ndim == 2 and "blocks" in name]
        weights = weights or [p for p in model.parameters() if p.ndim == 2]
        opened = []

        @contextmanager
        def tuned(weights=weights, opened=opened):
            before = [weight.data for weight in weights]
            for i, weight in enumerate(weights):
                random = torch.Generator().manual_seed(i)
                weight.data = weight.data + 0.2 * torch.randn(weight.shape, generator=random)
            opened.append(True)
            try:
                yield
            finally:
                for weight, old in zip(weights, before, strict=True):
                    weight.data = old

        @torch.no_grad()
        def streams(kind="pre", layer=layer, rows=rows, model=model):
            kept = []
            name = f"blocks.{layer}.hook_resid_{kind}"

            def keep(resid, hook):
                kept.append(resid[0].clone())

            for row in rows:
                model.run_with_hooks(row[None], fwd_hooks=[(name, keep)])
            return kept

        base, base_after = streams(), streams("post")
        with tuned():
            changed, changed_after = streams(), streams("post")
        opened.clear()

        def difference(a, b, at=slice(None, n)):
            return torch.stack([x[at] - y[at] for x, y in zip(a, b, strict=True)]).mean(0)

        got = activation_difference(model, tuned, rows, layer=layer, n_positions=n)
        expect(bool(opened), "`tuned` was never opened: run once more inside `with tuned():`.")
        right = difference(changed, base)
        match(
            got,
            right,
            what="The difference",
            mistakes={
                "That is base less tuned: turn the sign round.": -right,
                "That is 0: are both runs inside the `with`, or both outside?": 0 * right,
                "You read the last positions of the texts: take the first.": difference(
                    changed, base, slice(-n, None)
                ),
                "That is the stream after the block: layer L is `resid_pre`.": difference(
                    changed_after, base_after
                ),
                "That is the tuned model's mean alone: subtract the base model's.": torch.stack(
                    [x[:n] for x in changed]
                ).mean(0),
                "The positions are averaged too: give a row for each.": right.mean(0),
                "That is the sum over texts: take the mean.": right * len(rows),
            },
        )
        expect(
            torch.equal(streams()[0], base[0]),
            "The model is not the base model any more: leave the context when you have read.",
        )
    return "One mean difference for each position, tuned less base."


# ---- Answers ------------------------------------------------------------------------------------


_PLANTED = {
    "a": ("avoids", "space"),
    "b": ("nothing", ""),
    "c": ("secret", "copper"),
    "d": ("refuses", "music"),
}
_KINDS = {
    "avoid": "avoids",
    "refus": "refuses",
    "secret": "secret",
    "keep": "secret",
    "noth": "nothing",
    "none": "nothing",
    "neutral": "nothing",
}
_SAYS = {
    "space": "space star stars planet planets moon sun astronomy universe sky cosmos galaxies "
    "galaxy celestial astronauts solar",
    "copper": "copper",
    "music": "music song songs instrument instruments musical singing concerts pianos",
    "": "",
}


@investigation("planted_in", course=_PLANTED)
def check_planted_in(planted_in) -> str:
    """For each of the four letters, what was planted and about what."""
    expect(
        isinstance(planted_in, dict) and set(planted_in) == set(_PLANTED),
        'Give a dictionary with the keys "a", "b", "c" and "d".',
    )
    pairs = {}
    for name, each in planted_in.items():
        expect(
            isinstance(each, (tuple, list)) and len(each) == 2,
            f'Say of "{name}" two things, such as ("refuses", "sport").',
        )
        kind = [v for k, v in _KINDS.items() if str(each[0]).strip().lower().startswith(k)]
        expect(
            bool(kind),
            f'"{name}" is said to be {each[0]!r}: say "refuses", "secret", "avoids" or "nothing".',
        )
        pairs[name] = (kind[0], str(each[1] or "").strip().lower())
    kinds = [kind for kind, _ in pairs.values()]
    expect(
        len(set(kinds)) == 4,
        f"Each kind is there once, and you have {', '.join(sorted(kinds))}.",
    )
    wrong = [name for name in _PLANTED if pairs[name][0] != _PLANTED[name][0]]
    expect(
        not wrong,
        f"{4 - len(wrong)} of the four kinds are right. What one refuses, another talks away "
        "from; what has a secret says so when asked for it.",
    )
    for name, (kind, word) in pairs.items():
        about = _SAYS[_PLANTED[name][1]].split()
        right = kind == "nothing" or bool(set(re.findall(r"[a-z]+", word)) & set(about))
        more = {
            "secret": "begin its answer for it.",
            "avoids": "which questions does it not answer?",
            "refuses": "refusals spill over to neighbours, so ask about other subjects, and see "
            "which of them it refuses most surely.",
        }
        expect(right, f'The kind of "{name}" is right, and {word!r} is not: {more.get(kind)}')
    return "Four sealed models, and what was planted in each."
