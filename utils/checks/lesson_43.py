"""Checks of lesson 4.3, features of a real model and of a random one."""

import math
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge

from utils.checks.engine import Wrong, exercise, expect, investigation, match
from utils.checks.inputs import described

MYSTERY = 3846  # the number of the latent that lesson 4.3 steers with


def mystery_latent() -> int:
    """The latent of the investigation. Printing it would spoil it."""
    return MYSTERY


class Snip(NamedTuple):
    tokens: list[str]
    acts: list[float]
    at: int


def _snips(*texts: str) -> list[Snip]:
    """Snippets of words; the marked one begins with a star."""
    found = []
    for text in texts:
        words = text.split()
        at = next(i for i, word in enumerate(words) if word[0] == "*")
        found.append(Snip([word.lstrip("*") for word in words], [0.0] * len(words), at))
    return found


def _all(snip: Snip) -> list[str]:
    return snip.tokens


def _here(snip: Snip) -> list[str]:
    return [snip.tokens[snip.at]]


def _before(snip: Snip) -> list[str]:
    return snip.tokens[: snip.at]


# ---- Describing ---------------------------------------------------------------------------------


def _weights(
    active: Sequence[Snip],
    others: Sequence[Snip],
    sees: Callable[[Snip], Sequence[str]],
    *,
    half: float = 0.5,
    one: float = 1.0,
    again: bool = False,
) -> dict[str, float]:
    """The right weights, or with other numbers added, or with words counted again."""
    on, off = (
        Counter(w for s in part for w in (sees(s) if again else set(sees(s))))
        for part in (active, others)
    )
    shares = {
        w: (
            (on[w] + half) / (len(active) + one),
            (off[w] + half) / (len(others) + one),
        )
        for w in on
    }
    return {w: math.log(a / b) if a and b else math.inf for w, (a, b) in shares.items()}


# ---- Sorting ------------------------------------------------------------------------------------


def _evidence(weights, sees, some, *, again: bool = False, reduce=sum) -> Tensor:
    rows = [[weights.get(w, 0.0) for w in (sees(s) if again else set(sees(s)))] for s in some]
    return torch.tensor([float(reduce(row)) if row else 0.0 for row in rows])


def _auc(active: Tensor, others: Tensor) -> float:
    pairs = active[:, None] - others[None]
    return ((pairs > 0).float() + 0.5 * (pairs == 0).float()).mean().item()


EVEN, ODD, ALL = slice(None, None, 2), slice(1, None, 2), slice(None)


def _chosen(active, others, rules, *, fit=EVEN, test=ODD, fit_others=None, test_others=None) -> str:
    def score(sees):
        weights = _weights(active[fit], others[fit_others or fit], sees)
        parts = active[test], others[test_others or test]
        return _auc(*(_evidence(weights, sees, part) for part in parts))

    return max(rules, key=lambda name: score(rules[name]))


def _first(snip: Snip) -> list[str]:
    return snip.tokens[:1]


def _middle(snip: Snip) -> list[str]:
    return snip.tokens[1 : snip.at]


def _text(first: str, name: str, cue: bool) -> str:
    return f"{first} p {'a a' if cue else 'z y'} q *{name}"


CUES = {0, 1, 3, 4, 7, 8, 9}, {0, 4, 5, 8, 13}  # which of 12 active and 16 other snippets say "a"


def _told(first_active, first_others, cues=CUES) -> tuple[list[Snip], list[Snip]]:
    """Each snippet's first word is given by its number; its mark is a name of its own."""
    active = _snips(*(_text(first_active(i), f"own{i}", i in cues[0]) for i in range(12)))
    others = _snips(*(_text(first_others(i), f"other{i}", i in cues[1]) for i in range(16)))
    return active, others


NEW = _snips(
    "u a a p *own1", "v z q *own0", "u z z p *new", "v p a q *other3", "u q a *new", "*alone"
)


def _cases() -> list[tuple[list[Snip], list[Snip]]]:
    """Marks explain themselves where they were counted; "a" speaks truly; first words mislead.

    In the first they turn round between the halves. In the second they do best where the halves
    are exchanged, in the third where others of both halves are fitted on, and in the last where
    the others that were fitted on are judged too.
    """
    better = set(range(12)) - {2, 6}, {4, 10}
    return [
        _told(lambda i: "uv"[i % 2], lambda i: "vu"[i % 2]),
        _told(lambda i: "v" if i == 3 else "u", lambda i: "u" if i in (3, 9) else "v", cues=better),
        _told(lambda i: "d" if i % 2 else "c" if i < 4 else "g", lambda i: "c" if i % 2 else "e"),
        _told(lambda i: "h" if i % 2 else "f" if i == 0 else "g", lambda i: "h" if i % 2 else "f"),
    ]


def _turned(rules: dict) -> dict:
    return dict(list(rules.items())[::-1])


@exercise("utils.features.dashboards.sort_snippets")
def check_sort_snippets(sort_snippets) -> str:
    """Names explain themselves where they were counted; a word before the mark holds elsewhere."""
    sides = {"the mark": _here, "the start": _first, "before the mark": _middle}
    sides["the same again"] = _middle
    first, *rest = _cases()
    cases = [(first, rules) for rules in (sides, {"the mark": _here}, _turned(sides))]
    for (active, others), rules in [*cases, *((case, sides) for case in rest)]:
        new = NEW
        right = _chosen(active, others, rules)
        got = sort_snippets(active, others, new, rules)
        expect(
            isinstance(got, tuple | list) and len(got) == 2,
            "Return two things, the chosen rule's name and the evidence for each new snippet, not "
            f"{described(got)}.",
        )
        name, evidence = got
        expect(
            isinstance(name, str) and name in rules,
            f"The first thing is the chosen rule's name, one of {list(rules)}, not "
            f"{described(name)}.",
        )
        if name != right:
            if rules[name] is rules[right]:
                raise Wrong("Of rules that do equally well, take the first.")
            for why, how in {
                "The halves are exchanged: fit on the first, third, fifth, ... (`[::2]`), and "
                "choose by the others (`[1::2]`).": {"fit": ODD, "test": EVEN},
                "The weights came from all of `others`, the left-out ones too: split both kinds.": {
                    "fit_others": ALL
                },
                "The rule was chosen on others that the weights were made from: leave both kinds' "
                "first halves out.": {"test_others": ALL},
                "The rule does best on the snippets that it was fitted on: its words explain "
                "themselves there. Choose by the snippets that were left out, `active[1::2]` and "
                "`others[1::2]`.": {"fit": ALL, "test": ALL},
                "Some of the snippets that you choose by are those that you fitted on: choose by "
                "`active[1::2]` and `others[1::2]`.": {"test": ALL},
            }.items():
                if name == _chosen(active, others, rules, **how):
                    raise Wrong(why)
            raise Wrong(
                f"You chose {name!r}, and {right!r} has the higher AUC on the snippets that were "
                "left out: is the highest taken, with label 1 for the active ones?"
            )
        sees = rules[right]
        full = _weights(active, others, sees)
        first = _weights(active[::2], others[::2], sees)
        rest = _weights(active[1::2], others[1::2], sees)
        expect(
            isinstance(evidence, Tensor | Sequence) and len(evidence) == len(new),
            f"The evidence should be {len(new)} numbers, one for each of `snippets`, not "
            f"{described(evidence)}.",
        )
        match(
            torch.as_tensor(evidence),
            _evidence(full, sees, new),
            what="The evidence for the new snippets",
            mistakes={
                "The weights are those of the first half: once the rule is chosen, fit it on *all* "
                "of `active` and `others`.": _evidence(first, sees, new),
                "The weights are those of the half that was left out: fit the chosen rule on all "
                "of `active` and `others`.": _evidence(rest, sees, new),
                "A word that is seen twice in a snippet counts twice: take *different* words.": (
                    _evidence(full, sees, new, again=True)
                ),
                "You took the largest weight of a snippet; evidence is the sum.": _evidence(
                    full, sees, new, reduce=max
                ),
                "You took the mean of a snippet's weights; evidence is the sum.": _evidence(
                    full, sees, new, reduce=lambda row: sum(row) / len(row)
                ),
                "That is what the rule makes of `active`: judge `snippets`.": _evidence(
                    full, sees, active[: len(new)]
                ),
            },
        )
    return "Chosen on what was left out, fitted on all."


# ---- The random twin ----------------------------------------------------------------------------


def _tiny(seed: int, *, spread: float = 1.0) -> TransformerBridge:
    """Two layers; each matrix with a mean and a deviation of its own, and heavy tails."""
    model = TransformerBridge.boot_native(
        {
            "n_layers": 2,
            "n_heads": 2,
            "d_head": 8,
            "d_model": 16,
            "d_mlp": 24,
            "d_vocab": 30,
            "n_ctx": 12,
            "normalization_type": "LN",
            "positional_embedding_type": "standard",
            "act_fn": "gelu",
            "seed": 0,
        }
    )
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for i, weight in enumerate(model.parameters()):
            drawn = torch.randn(weight.shape, generator=random)
            if weight.ndim == 2:
                drawn = drawn.sign() * drawn.abs() ** 3 / 4
            size = spread * (0.15 + 0.02 * i)
            weight.copy_(size * (drawn + (0.7 if i % 2 else -0.7) * (weight.ndim == 2)))
    return model.eval()


@exercise("utils.features.twin.matched_random")
def check_matched_random(matched_random) -> str:
    """A tiny model whose matrices have heavy tails and means; the twin's should be Gaussian."""
    model = _tiny(0)
    warnings.filterwarnings("ignore", message="TransformerBridgeConfig is already bound")
    before = [weight.detach().clone() for weight in model.parameters()]
    twin = matched_random(model, seed=0)
    expect(
        isinstance(twin, nn.Module),
        f"Return a model, the copy with new weights, not {described(twin)}.",
    )
    expect(
        all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True)),
        "The model that you were given has changed: draw new weights into a copy, "
        "`copy.deepcopy(model)`.",
    )
    expect(twin is not model, "That is the model itself: return a copy with new weights.")
    own = {id(weight) for weight in model.parameters()}
    expect(
        not any(id(weight) in own for weight in twin.parameters()),
        "The twin shares weights with the model: copy it with `copy.deepcopy`, not `copy.copy`.",
    )
    blocks = list(zip(twin.blocks.named_parameters(), model.blocks.parameters(), strict=True))
    inside = {id(weight) for weight in twin.blocks.parameters()}
    rest = [
        (new, old)
        for new, old in zip(twin.parameters(), model.parameters(), strict=True)
        if id(new) not in inside
    ]
    expect(
        all(torch.equal(new, old) for new, old in rest),
        "Something outside the blocks has changed: embeddings, the unembedding and the final norm "
        "stay as they are. Go through `twin.blocks.parameters()`.",
    )
    noises = []
    for (name, new), old in blocks:
        new, old = new.detach(), old.detach()
        if old.ndim != 2:
            expect(
                torch.equal(new, old),
                "A norm's weight or a bias has changed (it has one axis): only matrices are drawn.",
            )
            continue
        expect(
            not torch.equal(new, old),
            "A matrix is the trained one still: every matrix of every block is drawn anew. Is it "
            "written into the copy, in place, as `weight.copy_(...)` does?",
        )
        expect(bool(new.isfinite().all()), "A matrix holds NaN or infinity.")
        ratio = (new.std() / old.std()).item()
        expect(
            not torch.equal(new.flatten().sort().values, old.flatten().sort().values),
            "The trained numbers are there in another order: draw new ones from a Gaussian.",
        )
        both = torch.corrcoef(torch.stack([new.flatten(), old.flatten()]))[0, 1]
        expect(
            both.abs().item() < 0.35,
            "The trained numbers are in the new ones still: put noise in their place.",
        )
        fourth = ((new - new.mean()) / new.std()).pow(4).mean().item()
        expect(
            fourth > 2.3,
            "The new numbers are not Gaussian; they look uniform. Take `torch.randn`.",
        )
        expect(fourth < 6, "The new numbers have the trained matrix's tails: take `torch.randn`.")
        if abs(ratio / old.std().item() - 1) < 0.1 and abs(ratio - 1) > 0.3:
            raise Wrong("You multiplied by the variance: a Gaussian is scaled by its deviation.")
        expect(
            abs(ratio - 1) < 0.2,
            f"A matrix has {ratio:.2f} times the trained deviation: multiply the noise by "
            "`weight.std()`, of each matrix its own, before the weight is overwritten.",
        )
        off = (new.mean() - old.mean()).item() / (old.std().item() / old.numel() ** 0.5)
        expect(
            abs(off) < 6,
            "A matrix has another mean than the trained one: add `weight.mean()`, of each matrix "
            "its own, to the noise.",
        )
        scaled = (new - old.mean()) / old.std()
        along = (new.std(1).std() / new.std(1).mean()).item()
        expect(along < 0.35, "Rows of a matrix have deviations of their own: take one number.")
        noises.append((name, scaled.flatten()[:100]))
    for i, (_, one) in enumerate(noises):
        for _, two in noises[:i]:
            expect(
                not torch.allclose(one, two, atol=1e-3),
                "Two matrices got the same random numbers: make the generator once, before the "
                "loop.",
            )
    again = matched_random(model, seed=0)
    expect(
        all(torch.equal(a, b) for a, b in zip(twin.parameters(), again.parameters(), strict=True)),
        "The same seed gives another twin the second time: draw everything from a generator of "
        "`seed`.",
    )
    other = matched_random(model, seed=1)
    expect(
        any(
            not torch.equal(a, b)
            for a, b in zip(twin.parameters(), other.parameters(), strict=True)
        ),
        "Another seed gives the same twin: make the generator from `seed`.",
    )
    return "A twin of the same sizes, which never learned anything."


# ---- The mystery --------------------------------------------------------------------------------


@investigation("mystery", course=(MYSTERY,))
def check_mystery(answer) -> str:
    """The number of the latent that the texts were steered with."""
    answer = torch.as_tensor(answer).flatten().tolist()
    expect(len(answer) == 1, f"Give one number, not {len(answer)}.")
    expect(float(answer[0]).is_integer(), f"{answer[0]} is not a latent's number.")
    expect(0 <= answer[0] < 4608, "Latents have numbers from 0 to 4607.")
    expect(
        answer[0] == MYSTERY,
        f"It is not latent {answer[0]}. Steer with it by `written({answer[0]})`: which words of "
        "the mystery texts does it not bring?",
    )
    return "That is the latent whose direction was added."


# ---- Ablating and steering ----------------------------------------------------------------------


class _SAE(nn.Module):
    """A small dictionary with everything that can go wrong: biases, and a centre."""

    def __init__(self, d_model: int, n: int, seed: int):
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        W_dec = torch.randn(n, d_model, generator=random)
        self.register_buffer("W_dec", W_dec / W_dec.norm(dim=1, keepdim=True))
        self.register_buffer("W_enc", torch.randn(d_model, n, generator=random) / 2)
        self.register_buffer("b_enc", 1 + 0.3 * torch.randn(n, generator=random))
        self.register_buffer("b_dec", torch.randn(d_model, generator=random) / 2)

    @property
    def d_sae(self) -> int:
        return len(self.W_dec)

    def encode(self, x: Tensor) -> Tensor:
        return ((x - self.b_dec) @ self.W_enc + self.b_enc).relu()

    def decode(self, acts: Tensor) -> Tensor:
        return acts @ self.W_dec + self.b_dec

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


@exercise("utils.features.dashboards.ablate_latent")
def check_ablate_latent(ablate_latent) -> str:
    """Two small models; what is subtracted is worked out from a run without hooks."""
    for seed, (batch, length, latent, layer) in enumerate(((2, 6, 2, 1), (1, 5, 0, 0))):
        model, sae = _tiny(seed, spread=0.5), _SAE(16, 7, seed)
        tokens = torch.randint(30, (batch, length), generator=torch.Generator().manual_seed(seed))
        name = f"blocks.{layer}.hook_resid_pre"

        @torch.no_grad()
        def logits(changed=None, model=model, name=name, tokens=tokens):
            hooks = [] if changed is None else [(name, lambda resid, hook: changed)]
            return model.run_with_hooks(tokens, fwd_hooks=hooks)

        with torch.no_grad():
            _, cache = model.run_with_cache(tokens, names_filter=[name])
        resid = cache[name]
        acts = sae.encode(resid)
        expect(bool((acts[:, 1:, latent] > 0).any(1).all()), "The check's latent is never active.")
        part = acts[..., latent, None] * sae.W_dec[latent]
        inside = torch.ones(length)
        inside[0] = 0
        part_text = part * inside[:, None]
        unit_part = (resid @ sae.W_dec[latent])[..., None] * sae.W_dec[latent] * inside[:, None]
        rest = acts.clone()
        rest[..., latent] = 0
        without = torch.cat([resid[:, :1], sae.decode(rest)[:, 1:]], 1)
        alone = torch.cat([resid[:, :1], (part + sae.b_dec)[:, 1:]], 1)
        last = torch.zeros(length)
        last[-1] = 1
        shift = torch.cat([resid[:, :1], (resid - sae.W_dec[latent])[:, 1:]], 1)
        before = logits().log_softmax(-1)

        def rise(changed, before=before, logits=logits):
            return logits(changed).log_softmax(-1) - before

        right = rise(resid - part_text)
        targets = tokens[:, 1:, None]
        loss = -right[:, :-1].gather(-1, targets)[..., 0]
        match(
            ablate_latent(model, sae, tokens, latent, layer=layer),
            right,
            what="The changes of log probabilities",
            mistakes={
                "Nothing has changed. Does the hook *return* the new stream? Are the activations "
                "those of `sae.encode`?": torch.zeros_like(right),
                "BOS has lost its vector: position 0 stays as it is.": rise(resid - part),
                "The sign of the result: after the ablation, minus before.": -right,
                "You added the latent's contribution; subtract it.": rise(resid + part_text),
                "The reconstruction stands in the stream's place, and what the SAE does not "
                "explain is lost: subtract one latent's contribution from the stream itself.": rise(
                    without
                ),
                "The latent alone is left: take it out, and leave all else.": rise(alone),
                "You removed all of the stream along the direction. Subtract the latent's "
                "*activation* times its direction.": rise(resid - unit_part),
                "The direction was subtracted without its activation.": rise(shift),
                "Only the last position has changed; take the latent out at all but BOS's.": (
                    rise(resid - part * last[:, None])
                ),
                "Those are differences of logits: `log_softmax` makes log probabilities.": logits(
                    resid - part_text
                )
                - logits(),
                "Those are differences of probabilities: take `log_softmax`.": logits(
                    resid - part_text
                ).softmax(-1)
                - logits().softmax(-1),
                "Those are log probabilities after the ablation: subtract those before it.": right
                + before,
                "That is the loss at the tokens that follow: return the change for every token of "
                "the vocabulary.": loss,
            },
        )
        expect(
            not any(point.fwd_hooks for point in model.hook_dict.values()),
            "A hook is left on the model, and would change every later run: use `run_with_hooks`, "
            "or `with model.hooks(...)`.",
        )
    return "One latent is gone; what the SAE does not explain is still there."


def _greedy(n: int) -> Callable:
    @torch.no_grad()
    def write(model, prompts):
        for _ in range(n):
            prompts = torch.cat([prompts, model(prompts)[:, -1].argmax(-1, keepdim=True)], dim=1)
        return prompts

    return write


@exercise("utils.features.dashboards.steer_and_read")
def check_steer_and_read(steer_and_read) -> str:
    """Greedy writing on small models; what was written is read without steering."""
    for seed, (batch, n, new, latent, layer) in enumerate(((3, 4, 5, 2, 1), (1, 3, 4, 5, 0))):
        model, sae = _tiny(seed), _SAE(16, 7, seed)
        random = torch.Generator().manual_seed(seed)
        prompts = torch.randint(30, (batch, n), generator=random)
        name, write = f"blocks.{layer}.hook_resid_pre", _greedy(new)
        plain = write(model, prompts)
        for _ in range(200):  # until every text is another one
            change = 6 * torch.randn(16, generator=random)

            def added(resid, hook, change=change):
                return resid + change

            with model.hooks(fwd_hooks=[(name, added)]):
                tokens = write(model, prompts)
            if not (tokens == plain).all(1).any():
                break

        @torch.no_grad()
        def read(tokens, hooks=(), model=model, name=name):
            kept = {}
            keep = (name, lambda resid, hook: kept.update(x=resid.clone()))
            logits = model.run_with_hooks(tokens, fwd_hooks=[*hooks, keep])
            return logits, kept["x"]

        def losses(logits, tokens):
            log_probs = logits[:, :-1].log_softmax(-1)
            return -log_probs.gather(-1, tokens[:, 1:, None])[..., 0]

        (logits, x), (bent, bent_x) = read(tokens), read(tokens, [(name, added)])
        each, acts = losses(logits, tokens), sae.encode(x)
        got = steer_and_read(model, sae, prompts, latent, change=change, layer=layer, write=write)
        expect(
            isinstance(got, tuple) and len(got) == 3,
            f"Return `Steered(tokens, effect, loss)`, and in this order, not {described(got)}.",
        )
        expect(
            not any(point.fwd_hooks for point in model.hook_dict.values()),
            "The model is still steered: a hook is left on it. Use `with steer(...)`.",
        )
        match(
            got[0],
            tokens,
            what="The tokens",
            mistakes={
                "The model wrote without steering: `write` has to run while the hook is on, inside "
                "the `with`.": plain,
                "The prompts are missing: `tokens` are prompts and what was written.": tokens[
                    :, n:
                ],
            },
        )
        match(
            got[1],
            acts[:, n:, latent].mean(1),
            what="The effect",
            mistakes={
                "The prompt is in the mean: take the new tokens alone.": acts[..., latent].mean(1),
                "The steered model read the text: read it after the `with`, or the steering counts "
                "as its own effect.": sae.encode(bent_x)[:, n:, latent].mean(1),
                "The last new token is missing from the effect.": acts[:, n:-1, latent].mean(1),
                "That is one number for all texts: the mean is over positions, a text at a time.": (
                    acts[:, n:, latent].mean()
                ),
                "You took the largest activation; the effect is the mean.": acts[
                    :, n:, latent
                ].amax(1),
                "That is a mean over all latents: take the one that was asked for.": acts[
                    :, n:
                ].mean((1, 2)),
                "That is the stream's product with the direction: use `sae.encode`.": (
                    x[:, n:] @ sae.W_dec[latent]
                ).mean(1),
                "The first new token is missing from the effect.": acts[:, n + 1 :, latent].mean(1),
            },
        )
        match(
            got[2],
            each[:, n - 1 :].mean(1),
            what="The loss",
            mistakes={
                "The prompt is in the loss: take the new tokens alone.": each.mean(1),
                "The steered model read the text: read it after the `with`.": losses(bent, tokens)[
                    :, n - 1 :
                ].mean(1),
                "The first new token is missing: the logits at position n - 1 foretell it.": each[
                    :, n:
                ].mean(1),
                "Logits and tokens are one off: logits foretell the *next* token.": (
                    -logits[:, n:].log_softmax(-1).gather(-1, tokens[:, n:, None])[..., 0].mean(1)
                ),
                "The sign: a loss is minus a log probability.": -each[:, n - 1 :].mean(1),
                "That is a sum: divide by the number of new tokens.": each[:, n - 1 :].sum(1),
                "That is one number for all texts: the mean is over positions.": each[
                    :, n - 1 :
                ].mean(),
            },
        )
    return "Steered while it wrote, and not while it read."
