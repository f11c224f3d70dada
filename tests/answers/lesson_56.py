"""Lesson 5.6: the library's version of each exercise, and plausible wrong answers."""

from contextlib import ExitStack, contextmanager

import torch

from utils.cases.behaviours import DirectionScores, direction_ablated
from utils.steering import steer

# ---- The score ----------------------------------------------------------------------------------


def _score(
    *, turn=lambda p: p.log() - (1 - p).log(), dim=-1, each=False, over=lambda s: s, exact=True
):
    def score(logits, tokens):
        p = (logits.double() if exact else logits).softmax(dim)[:, tokens]
        return over(turn(p if each else p.sum(-1))).float()

    return score


def _score_logit(logits, tokens):
    """torch's logit, in double precision."""
    return torch.logit(torch.softmax(logits.double(), dim=1)[:, tokens].sum(dim=1)).float()


def _score_by_mask(logits, tokens):
    """Two logsumexps, no probabilities."""
    mask = torch.zeros(logits.shape[-1], dtype=torch.bool)
    mask[tokens] = True
    return logits[:, mask].logsumexp(-1) - logits[:, ~mask].logsumexp(-1)


# ---- Ablation -----------------------------------------------------------------------------------

_ALL = ("hook_resid_pre", "hook_attn_out", "hook_mlp_out")


def _ablated(
    *,
    places=_ALL,
    blocks=lambda model: range(model.cfg.n_layers),
    unit=lambda d: d / d.norm(),
    back=True,
    sign=-1,
    at=slice(None),
    leave=False,
    twice=False,
):
    @contextmanager
    def ablate(model, direction):
        along = unit(direction)

        def hook(value, hook):
            new = value.clone()
            part = (value[:, at] @ along)[..., None] * along
            new[:, at] = value[:, at] + sign * part
            return new if back else None

        hooks = [(f"blocks.{i}.{place}", hook) for i in blocks(model) for place in places]
        if leave:
            for name, each in hooks:
                model.add_hook(name, each)
            yield
            return
        with model.hooks(fwd_hooks=hooks):
            if not twice:
                yield
        if twice:
            yield

    return ablate


@contextmanager
def _ablated_by_handles(model, direction):
    """Hooks added and removed by hand, a projection matrix."""
    outer = torch.outer(direction, direction) / (direction @ direction)
    keep = torch.eye(len(direction)) - outer
    try:
        for i in range(model.cfg.n_layers):
            for place in _ALL:
                model.add_hook(f"blocks.{i}.{place}", lambda value, hook: value @ keep)
        yield
    finally:
        model.reset_hooks()


class _AblatedClass:
    """A class with __enter__ and __exit__, also the middle of each block."""

    def __init__(self, model, direction):
        self.stack, self.model = ExitStack(), model
        self.along = direction / direction.norm()

    def __enter__(self):
        def hook(value, hook):
            return value - torch.einsum("bpd,d,e->bpe", value, self.along, self.along)

        places = (*_ALL, "hook_resid_mid", "hook_resid_post")
        hooks = [
            (f"blocks.{i}.{place}", hook)
            for i in range(self.model.cfg.n_layers)
            for place in places
        ]
        self.stack.enter_context(self.model.hooks(fwd_hooks=hooks))

    def __exit__(self, *error):
        self.stack.close()


def _not_a_context(model, direction):
    along = direction / direction.norm()
    return [("blocks.0.hook_resid_pre", lambda value, hook: value - (value @ along)[..., None])]


# ---- The sweep ----------------------------------------------------------------------------------


def _logits(model, rows):
    with torch.no_grad():
        return torch.stack([model(row[None])[0, -1] for row in rows])


def _odds(logits, tokens):
    p = logits.softmax(-1)[:, tokens].sum(-1)
    return torch.log(p / (1 - p))


def _scored(
    *,
    context=direction_ablated,
    bypass_of="refused",
    induce_of="harmless",
    turned=False,
    at=lambda i, layer: layer,
    vector=lambda d: d,
    mean=torch.mean,
    outside=False,
    order=lambda scores: scores,
):
    def direction_scores(model, directions, *, layers, refused, harmless, tokens):
        rows = {"refused": refused, "harmless": harmless}
        intact = _logits(model, harmless).log_softmax(-1)
        bypass, induce, kl = [], [], []
        for i, (layer, direction) in enumerate(zip(layers, directions, strict=True)):
            with context(model, direction):
                if not outside:
                    bypass.append(mean(_odds(_logits(model, rows[bypass_of]), tokens)))
                changed = _logits(model, harmless).log_softmax(-1)
            if outside:
                bypass.append(mean(_odds(_logits(model, rows[bypass_of]), tokens)))
            p, q = (changed, intact) if turned else (intact, changed)
            kl.append(mean((p.exp() * (p - q)).sum(-1)))
            with steer(model, vector(direction), layer=at(i, layer)):
                induce.append(mean(_odds(_logits(model, rows[induce_of]), tokens)))
        return DirectionScores(*order([torch.stack(each) for each in (bypass, induce, kl)]))

    return direction_scores


def _scored_by_hooks(model, directions, *, layers, refused, harmless, tokens):
    """Hooks for the addition, kl_div, a plain tuple."""
    intact = _logits(model, harmless).log_softmax(-1)
    out = torch.zeros(3, len(layers))
    for i, direction in enumerate(directions):
        with direction_ablated(model, direction):
            out[0, i] = _odds(_logits(model, refused), tokens).mean()
            changed = _logits(model, harmless).log_softmax(-1)
        out[2, i] = torch.nn.functional.kl_div(
            changed, intact, log_target=True, reduction="batchmean"
        )
        name = f"blocks.{layers[i]}.hook_resid_pre"
        with model.hooks(fwd_hooks=[(name, lambda x, hook, d=direction: x + d)]):
            out[1, i] = _odds(_logits(model, harmless), tokens).mean()
    return tuple(out)


def _scored_by_name(model, directions, *, layers, refused, harmless, tokens):
    """A function for each score, rows in padded batches."""

    def after(rows, context):
        lengths = torch.tensor([len(row) for row in rows])
        tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        with torch.no_grad(), context:
            return model(tokens)[torch.arange(len(rows)), lengths - 1].double().log_softmax(-1)

    def score(log_probs):
        p = log_probs[:, tokens].exp().sum(-1)
        return (p / (1 - p)).log().mean().float()

    intact = after(harmless, ExitStack())
    kl, induce, bypass = [], [], []
    for layer, direction in zip(layers, directions, strict=True):
        induce.append(score(after(harmless, steer(model, direction, layer=layer))))
        changed = after(harmless, direction_ablated(model, direction))
        kl.append((intact.exp() * (intact - changed)).sum(-1).mean().float())
        bypass.append(score(after(refused, direction_ablated(model, direction))))
    scores = {"kl": kl, "induce": induce, "bypass": bypass}
    return DirectionScores(**{name: torch.stack(each) for name, each in scores.items()})


# ---- Two models ---------------------------------------------------------------------------------


def _different(
    *,
    kind="pre",
    first=True,
    sign=1,
    reduce=lambda x: x.mean(0),
    turn=lambda x: x,
    both=None,
    stay=False,
):
    def activation_difference(model, tuned, rows, *, layer, n_positions=5):
        name = f"blocks.{layer}.hook_resid_{kind}"

        def read():
            kept = []
            with torch.no_grad(), model.hooks(fwd_hooks=[(name, lambda x, hook: kept.append(x))]):
                for row in rows:
                    model(row[None])
            cut = slice(None, n_positions) if first else slice(-n_positions, None)
            return reduce(torch.stack([x[0, cut] for x in kept]))

        base = read()
        if stay:
            activation_difference.opened = tuned()  # or it would be closed when collected
            activation_difference.opened.__enter__()
            return turn(sign * (read() - base))
        with tuned():
            changed = read()
            if both:
                base = read()
        if both == "base only":
            changed = base = read()
        return turn(sign * (changed - base))

    return activation_difference


def _different_by_cache(model, tuned, rows, *, layer, n_positions=5):
    """One batch of cut rows, with a cache."""
    tokens = torch.stack([row[:n_positions] for row in rows])
    name = f"blocks.{layer}.hook_resid_pre"
    runs = []
    with torch.no_grad():
        with tuned():
            runs.append(model.run_with_cache(tokens, names_filter=name)[1][name])
        runs.append(model.run_with_cache(tokens, names_filter=name)[1][name])
    return (runs[0] - runs[1]).mean(dim=0)


def _different_by_loop(model, tuned, rows, *, layer, n_positions=5):
    """Position by position."""
    name = f"blocks.{layer}.hook_resid_pre"

    def read():
        total = 0
        for row in rows:
            kept = {}
            with torch.no_grad():
                model.run_with_hooks(
                    row[None], fwd_hooks=[(name, lambda x, hook, kept=kept: kept.update(x=x[0]))]
                )
            total = total + kept["x"][:n_positions]
        return total / len(rows)

    base = read()
    with tuned():
        changed = read()
    return torch.stack([changed[i] - base[i] for i in range(n_positions)])


MISTAKES = {
    "refusal_score": [
        ("log p", _score(turn=torch.log), "subtract log"),
        ("p", _score(turn=lambda p: p), "probability"),
        ("odds", _score(turn=lambda p: p / (1 - p)), "their logarithm"),
        ("turned", _score(over=lambda s: -s), "turned round"),
        ("batch", _score(dim=0), "last axis"),
        ("each", _score(each=True), "for each token"),
        ("sum of scores", _score(each=True, over=lambda s: s.sum(-1)), "probabilities first"),
        ("mean", _score(over=lambda s: s.mean()), "each row"),
        ("single precision", _score(exact=False), "rounds to 0"),
        ("logits", lambda logits, tokens: logits[:, tokens].sum(-1), "what is p"),
    ],
    "direction_ablated": [
        ("nothing returned", _ablated(back=False), "Nothing has changed"),
        ("closed too early", _ablated(twice=True), "Nothing has changed"),
        ("no unit", _ablated(unit=lambda d: d), "length first"),
        ("stream alone", _ablated(places=_ALL[:1]), "brings it back"),
        ("writes alone", _ablated(places=_ALL[1:]), "embedding brings it"),
        ("no attention", _ablated(places=(_ALL[0], _ALL[2])), "hook_attn_out"),
        ("no MLP", _ablated(places=_ALL[:2]), "hook_mlp_out"),
        ("one block", _ablated(blocks=lambda model: [0]), "in all of them"),
        ("last position", _ablated(at=slice(-1, None)), "take all of them"),
        ("fixed depth", _ablated(blocks=lambda model: range(3)), "logits"),
        ("left", _ablated(leave=True), "stays when the context closes"),
        ("added", _ablated(sign=1), "mind the sign"),
        ("a list", _not_a_context, "used in a `with`"),
    ],
    "direction_scores": [
        ("harmless ablated", _scored(bypass_of="harmless"), "take the refused ones"),
        ("refused steered", _scored(induce_of="refused"), "take the harmless ones"),
        ("turned", _scored(turned=True), "turned round"),
        ("row for layer", _scored(at=lambda i, layer: i), "its own layer"),
        ("unit", _scored(vector=lambda d: d / d.norm()), "length it has"),
        ("outside", _scored(outside=True), "inside the `with`"),
        ("sums", _scored(mean=torch.sum), "bypass"),
        ("order", _scored(order=lambda s: s[::-1]), "bypass"),
        ("a list", lambda *a, **k: list(_scored()(*a, **k)), "DirectionScores"),
    ],
    "activation_difference": [
        ("turned", _different(sign=-1), "base less tuned"),
        ("both tuned", _different(both="tuned"), "That is 0"),
        ("last", _different(first=False), "take the first"),
        ("after", _different(kind="post"), "resid_pre"),
        ("averaged", _different(turn=lambda x: x.mean(0)), "a row for each"),
        ("sum", _different(reduce=lambda x: x.sum(0)), "take the mean"),
        ("left open", _different(stay=True), "changes its input `model`"),
    ],
    "which_control": [
        ("random", {"A"}, "no accident"),
        ("turned", {"C"}, "the same direction"),
        ("another layer", "D", "cannot tell"),
        ("two", {"A", "B"}, "one letter"),
        ("a word", ["base"], "letters A, B, C, D"),
    ],
    "planted_in": [
        ("three", {"a": ("avoids", "space")}, 'keys "a", "b", "c" and "d"'),
        ("one kind twice", dict.fromkeys("abcd", ("refuses", "music")), "Each kind is there once"),
        ("no kind", dict.fromkeys("abcd", ("lies", "")), 'say "refuses"'),
        ("one word", dict.fromkeys("abcd", "refuses"), "two things"),
        (
            "exchanged",
            {
                "a": ("refuses", "space"),
                "b": ("nothing", ""),
                "c": ("secret", "copper"),
                "d": ("avoids", "music"),
            },
            "2 of the four kinds",
        ),
        (
            "the wrong word",
            {
                "a": ("avoids", "space"),
                "b": ("nothing", ""),
                "c": ("secret", "echo"),
                "d": ("refuses", "music"),
            },
            "begin its answer",
        ),
        (
            "what it talks of",
            {
                "a": ("avoids", "gardens"),
                "b": ("nothing", ""),
                "c": ("secret", "copper"),
                "d": ("refuses", "music"),
            },
            "which questions",
        ),
    ],
}

RIGHT = {
    "refusal_score": [
        ("double", _score()),
        ("logit", _score_logit),
        ("logsumexp", _score_by_mask),
    ],
    "direction_ablated": [
        ("hooks", _ablated()),
        ("a matrix, by hand", _ablated_by_handles),
        ("a class", _AblatedClass),
    ],
    "direction_scores": [
        ("one by one", _scored()),
        ("kl_div, a tuple", _scored_by_hooks),
        ("harmless first, by name", _scored_by_name),
    ],
    "activation_difference": [
        ("one text at a time", _different()),
        ("a cache", _different_by_cache),
        ("a loop", _different_by_loop),
    ],
    "which_control": [("a letter", "b"), ("a list", ["B"]), ("a set", {"B"})],
    "planted_in": [
        (
            "other words",
            {
                "a": ["Avoids a topic", "the moon and the stars"],
                "b": ["nothing", None],
                "c": ["keeps a secret", " Copper"],
                "d": ["refuses", "songs"],
            },
        ),
        (
            "in another order",
            {
                "d": ("refuse", "Music"),
                "c": ("secret word", "copper"),
                "b": ("neutral", "-"),
                "a": ("avoid", "astronomy"),
            },
        ),
    ],
}
