"""Lesson 4.3: the library's version of each exercise, and plausible wrong answers."""

import copy

import torch

from utils.features import dashboards
from utils.features.dashboards import Steered
from utils.stats import auc
from utils.steering import steer

# ---- Sorting ------------------------------------------------------------------------------------


def _sorted(
    *,
    fit=lambda some: some[::2],
    test=lambda some: some[1::2],
    fit_others=None,
    test_others=None,
    last=lambda some: some,
    words=lambda seen: set(seen),
    reduce=sum,
    pick=max,
    labels=(1, 0),
    judged=lambda active, snippets: snippets,
    answer=lambda name, evidence: (name, evidence),
):
    def sort_snippets(active, others, snippets, rules):
        def evidence(weights, sees, some):
            rows = [[weights.get(w, 0.0) for w in words(sees(s))] for s in some]
            return torch.tensor([float(reduce(row)) if row else 0.0 for row in rows])

        def score(name):
            sees = rules[name]
            weights = dashboards.describe(fit(active), (fit_others or fit)(others), sees)
            left = test(active), (test_others or test)(others)
            parts = [evidence(weights, sees, part) for part in left]
            known = [[label] * len(part) for label, part in zip(labels, parts, strict=True)]
            return auc(torch.cat(parts), torch.tensor(known[0] + known[1]))

        best = pick(rules, key=score)
        weights = dashboards.describe(last(active), last(others), rules[best])
        return answer(best, evidence(weights, rules[best], judged(active, snippets)))

    return sort_snippets


def _sorted_by_loops(active, others, snippets, rules):
    best, highest = None, -1.0
    for name, sees in rules.items():
        weights = dashboards.describe(active[0::2], others[0::2], sees)
        scores, labels = [], []
        for label, part in ((1, active), (0, others)):
            for snippet in part[1::2]:
                total = 0.0
                for word in set(sees(snippet)):
                    if word in weights:
                        total += weights[word]
                scores.append(total)
                labels.append(label)
        value = auc(torch.tensor(scores), torch.tensor(labels))
        if value > highest:
            best, highest = name, value
    weights = dashboards.describe(active, others, rules[best])
    return best, [sum(weights.get(w, 0) for w in set(rules[best](s))) for s in snippets]


def _last_of_equals(rules, key):
    return max(reversed(list(rules)), key=key)


# ---- The random twin ----------------------------------------------------------------------------


def _twin(
    *,
    copied=copy.deepcopy,
    where=lambda model: model.blocks.parameters(),
    wanted=lambda weight: weight.ndim == 2,
    draw=lambda weight, generator: (
        weight.mean() + weight.std() * torch.randn(weight.shape, generator=generator)
    ),
    each=False,
    seeded=True,
):
    def matched_random(model, *, seed):
        new = copied(model)
        generator = torch.Generator().manual_seed(seed if seeded else 0)
        with torch.no_grad():
            for weight in where(new):
                if wanted(weight):
                    if each:
                        generator.manual_seed(seed)
                    weight.copy_(draw(weight, generator))
        return new

    return matched_random


def _twin_in_other_words(model, *, seed):
    """By layers, from the last, through `.data` and `torch.normal`."""
    found = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(1000 + seed)
    for block in reversed(list(found.blocks)):
        for _, weight in block.named_parameters():
            if len(weight.shape) > 1:
                mean, std = weight.data.mean().item(), weight.data.std(correction=0).item()
                weight.data = torch.normal(mean, std, weight.shape, generator=generator)
    return found


def _shuffled(weight, generator):
    order = torch.randperm(weight.numel(), generator=generator)
    return weight.flatten()[order].view_as(weight)


def _uniform(weight, generator):
    noise = torch.rand(weight.shape, generator=generator) - 0.5
    return weight.mean() + weight.std() * 12**0.5 * noise


# ---- Ablating and steering ----------------------------------------------------------------------


def _ablated(
    *,
    first=1,
    new=lambda resid, acts, sae, latent: resid - acts[..., latent, None] * sae.W_dec[latent],
    answer=lambda before, after: after.log_softmax(-1) - before.log_softmax(-1),
    returned=True,
):
    def ablate_latent(model, sae, tokens, latent, *, layer):
        def hook(resid, hook):
            out = resid.clone()
            out[:, first:] = new(resid, sae.encode(resid), sae, latent)[:, first:]
            return out if returned else None

        with torch.no_grad():
            before = model(tokens)
            with model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_resid_pre", hook)]):
                return answer(before, model(tokens))

    return ablate_latent


def _ablated_with_steer(model, sae, tokens, latent, *, layer):
    """The change is made of a cache, and added by `steer`, one text at a time."""
    name, rows = f"blocks.{layer}.hook_resid_pre", []
    with torch.no_grad():
        for row in tokens:
            logits, cache = model.run_with_cache(row[None], names_filter=[name])
            acts = sae.encode(cache[name])[0, :, latent]
            acts[0] = 0
            change = -torch.einsum("p,d->pd", acts, sae.W_dec[latent])
            with steer(model, change, layer=layer, positions=list(range(len(row)))):
                rows.append(model(row[None])[0].log_softmax(-1) - logits[0].log_softmax(-1))
    return torch.stack(rows)


def _first_row_alone(model, sae, tokens, latent, *, layer):
    found = torch.zeros(*tokens.shape, model.cfg.d_vocab)
    found[:1] = dashboards.ablate_latent(model, sae, tokens[:1], latent, layer=layer)
    return found


def _losses(before, after):
    return (after.log_softmax(-1) - before.log_softmax(-1)).amin(-1)


def _leaves_a_hook(model, sae, tokens, latent, *, layer):
    model.add_hook(f"blocks.{layer}.hook_resid_pre", lambda resid, hook: resid)
    return dashboards.ablate_latent(model, sae, tokens, latent, layer=layer)


def _steered(
    *,
    write_steered=True,
    read_steered=False,
    new=lambda x, n: x[:, n:],
    mean=lambda acts: acts.mean(1),
    at=lambda logits, n: logits[:, n - 1 : -1],
    loss=lambda log_probs: -log_probs.mean(1),
    tokens=lambda tokens, n: tokens,
    answer=Steered,
):
    def steer_and_read(model, sae, prompts, latent, *, change, layer, write):
        n, name = prompts.shape[1], f"blocks.{layer}.hook_resid_pre"
        none = torch.zeros_like(change)
        with steer(model, change if write_steered else none, layer=layer):
            text = write(model, prompts)
        kept = {}
        with torch.no_grad(), steer(model, change if read_steered else none, layer=layer):
            keep = (name, lambda resid, hook: kept.update(x=resid.clone()))
            logits = model.run_with_hooks(text, fwd_hooks=[keep])
        effect = mean(sae.encode(new(kept["x"], n))[..., latent])
        log_probs = at(logits, n).log_softmax(-1)
        targets = text[:, -log_probs.shape[1] :, None]
        return answer(tokens(text, n), effect, loss(log_probs.gather(-1, targets)[..., 0]))

    return steer_and_read


def _steered_row_by_row(model, sae, prompts, latent, *, change, layer, write):
    """A hook of its own, and cross entropy, one text at a time."""
    name, n = f"blocks.{layer}.hook_resid_pre", prompts.shape[1]
    with model.hooks(fwd_hooks=[(name, lambda resid, hook: resid + change)]):
        tokens = write(model, prompts)
    effect, losses = [], []
    with torch.no_grad():
        for row in tokens:
            logits, cache = model.run_with_cache(row[None])
            effect.append(sae.encode(cache[name])[0, n:, latent].mean())
            loss = torch.nn.functional.cross_entropy(logits[0, n - 1 : -1], row[n:])
            losses.append(loss)
    return tokens, torch.stack(effect), torch.stack(losses)


def _late(model, sae, prompts, latent, *, change, layer, write):
    """The texts are right, but the first new token's loss is left out."""
    found = dashboards.steer_and_read(
        model, sae, prompts, latent, change=change, layer=layer, write=write
    )
    n = prompts.shape[1]
    with torch.no_grad():
        log_probs = model(found.tokens)[:, n:-1].log_softmax(-1)
    loss = -log_probs.gather(-1, found.tokens[:, n + 1 :, None])[..., 0].mean(1)
    return found._replace(loss=loss)


MISTAKES = {
    "sort_snippets": [
        ("chosen in sample", _sorted(fit=list, test=list), "was fitted on"),
        ("fitted on all, tested on half", _sorted(fit=list), "fitted on"),
        ("tested on all", _sorted(test=list), "fitted on"),
        (
            "halves exchanged",
            _sorted(fit=lambda some: some[1::2], test=lambda some: some[::2]),
            "halves are exchanged",
        ),
        ("others not split", _sorted(fit_others=list), "split both kinds"),
        ("fitted others judged", _sorted(test_others=list), "made from"),
        ("fitted on half", _sorted(last=lambda some: some[::2]), "those of the first half"),
        ("fitted on the rest", _sorted(last=lambda some: some[1::2]), "that was left out"),
        ("words counted again", _sorted(words=list), "counts twice"),
        ("the largest weight", _sorted(reduce=max), "largest weight"),
        ("the lowest AUC", _sorted(pick=min), "has the higher AUC"),
        ("labels exchanged", _sorted(labels=(0, 1)), "has the higher AUC"),
        ("the last of equals", _sorted(pick=_last_of_equals), "take the first"),
        ("judges the examples", _sorted(judged=lambda a, s: a[: len(s)]), "judge `snippets`"),
        ("the evidence alone", _sorted(answer=lambda name, evidence: evidence), "Return two"),
        ("in the other order", _sorted(answer=lambda name, evidence: (evidence, name)), "name"),
    ],
    "matched_random": [
        ("in place", _twin(copied=lambda model: model), "`model`"),
        ("a shallow copy", _twin(copied=copy.copy), "input `model` itself"),
        ("embeddings too", _twin(where=lambda m: m.parameters()), "outside the blocks"),
        ("norms and biases too", _twin(wanted=lambda w: True), "one axis"),
        (
            "the default start",
            _twin(draw=lambda w, g: 0.02 * torch.randn(w.shape, generator=g)),
            "times the trained deviation",
        ),
        (
            "the variance",
            _twin(draw=lambda w, g: w.mean() + w.var() * torch.randn(w.shape, generator=g)),
            "variance",
        ),
        (
            "no mean",
            _twin(draw=lambda w, g: w.std() * torch.randn(w.shape, generator=g)),
            "another mean",
        ),
        ("shuffled", _twin(draw=_shuffled), "another order"),
        ("uniform", _twin(draw=_uniform), "uniform"),
        ("the same noise", _twin(each=True), "same random numbers"),
        ("without the seed", _twin(seeded=False), "Another seed"),
        (
            "noise on top",
            _twin(draw=lambda w, g: w + w.std() * torch.randn(w.shape, generator=g)),
            "still: put noise",
        ),
        ("nothing drawn", _twin(wanted=lambda w: False), "trained one still"),
        ("no model", lambda model, *, seed: None, "Return a model"),
    ],
    "ablate_latent": [
        ("BOS too", _ablated(first=0), "BOS has lost"),
        ("returns nothing", _ablated(returned=False), "Nothing has changed"),
        (
            "before - after",
            _ablated(answer=lambda b, a: b.log_softmax(-1) - a.log_softmax(-1)),
            "sign",
        ),
        (
            "added",
            _ablated(new=lambda x, a, sae, i: x + a[..., i, None] * sae.W_dec[i]),
            "You added",
        ),
        (
            "spliced in",
            _ablated(new=lambda x, a, sae, i: sae.decode(a * (torch.arange(a.shape[-1]) != i))),
            "reconstruction stands",
        ),
        (
            "the latent alone",
            _ablated(new=lambda x, a, sae, i: a[..., i, None] * sae.W_dec[i] + sae.b_dec),
            "alone is left",
        ),
        (
            "projected out",
            _ablated(new=lambda x, a, sae, i: x - (x @ sae.W_dec[i])[..., None] * sae.W_dec[i]),
            "all of the stream along",
        ),
        ("no activation", _ablated(new=lambda x, a, sae, i: x - sae.W_dec[i]), "without its"),
        ("logits", _ablated(answer=lambda b, a: a - b), "differences of logits"),
        (
            "probabilities",
            _ablated(answer=lambda b, a: a.softmax(-1) - b.softmax(-1)),
            "differences of probabilities",
        ),
        ("after alone", _ablated(answer=lambda b, a: a.log_softmax(-1)), "subtract those before"),
        ("the first row alone", _first_row_alone, "should be"),
        ("one number a token", _ablated(answer=_losses), "shape"),
        ("leaves a hook", _leaves_a_hook, "`model`"),
    ],
    "steer_and_read": [
        ("written without", _steered(write_steered=False), "wrote without steering"),
        ("read while steered", _steered(read_steered=True), "steered model read"),
        ("the prompt's activation too", _steered(new=lambda x, n: x), "The prompt is in the mean"),
        ("the highest activation", _steered(mean=lambda acts: acts.amax(1)), "largest activation"),
        ("one mean for all", _steered(mean=lambda acts: acts.mean()), "one number for all"),
        ("the prompt's loss too", _steered(at=lambda x, n: x[:, :-1]), "The prompt is in the loss"),
        ("one off", _steered(at=lambda x, n: x[:, n:]), "one off"),
        ("the first is left out", _late, "first new token is missing"),
        ("a sum", _steered(loss=lambda log_probs: -log_probs.sum(1)), "a sum"),
        ("the sign", _steered(loss=lambda log_probs: log_probs.mean(1)), "The sign"),
        (
            "without prompts",
            _steered(tokens=lambda tokens, n: tokens[:, n:]),
            "prompts are missing",
        ),
        ("two things", _steered(answer=lambda tokens, effect, loss: (effect, loss)), "Return"),
    ],
    "mystery": [
        ("its rival", 1988, "not latent 1988"),
        ("a number beyond", 4608, "0 to 4607"),
        ("two numbers", (3846, 1988), "one number"),
        ("half a number", 3846.5, "not a latent's number"),
        ("a word", "sea", "cannot use"),
    ],
}

RIGHT = {
    "sort_snippets": [("other names", _sorted()), ("loops, a list", _sorted_by_loops)],
    "matched_random": [
        ("no grad around all", _twin()),
        ("from the last, `.data`", _twin_in_other_words),
    ],
    "ablate_latent": [("model.hooks", _ablated()), ("a cache, then steer", _ablated_with_steer)],
    "steer_and_read": [
        ("hooks", _steered()),
        ("row by row, a tuple", _steered_row_by_row),
    ],
    "mystery": [("a tuple", (3846,)), ("a list", [3846]), ("a tensor", torch.tensor(3846))],
}
