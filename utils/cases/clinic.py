"""A clinic: methods whose results are put on trial, the nulls, and a quiz of eight results.

Layer L is `blocks.L.hook_resid_pre`, the residual stream before block L.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from utils.activations import activations
from utils.cases.walks import blocks_of
from utils.guards import (
    axes,
    count,
    evaluating,
    filled,
    finite,
    guarded,
    layer_of,
    number,
)
from utils.stats import Interval, auc, bootstrap, percentiles
from utils.steering import random_directions

# ---- Injection ----------------------------------------------------------------------------------


@guarded(model=evaluating, questions=filled, vectors=(axes(2), filled), layer=layer_of(end=False))
def yes_shifts(
    model,
    questions: Sequence[Int[Tensor, " _"]],
    vectors: Float[Tensor, "vector d_model"],
    *,
    layer: int,
    yes: int,
    no: int,
) -> Float[Tensor, "vector question"]:
    """How far an injected vector moves the model's answer towards Yes.

    The answer to a question is the logit of `yes` less the logit of `no` after its last token. A
    shift is the answer while the vector is added to the residual stream before block `layer`, at
    every position, less the answer without it.

    Args:
        questions: the tokens of each, [pos], of different lengths.
        vectors: what is injected, one at a time, at the length it has.
        yes, no: ids of tokens.

    Source: concept injection (Lindsey, arXiv 2601.01828).
    """
    name = f"blocks.{layer}.hook_resid_pre"

    def add(resid, hook):
        return resid + vectors[:, None]

    shifts = []
    with torch.no_grad():
        for question in questions:
            plain = model(question[None])[0, -1]
            rows = question.repeat(len(vectors), 1)
            moved = model.run_with_hooks(rows, fwd_hooks=[(name, add)])[:, -1]
            shifts.append(moved[:, yes] - moved[:, no] - (plain[yes] - plain[no]))
    return torch.stack(shifts, dim=1)


# ---- Patchscopes --------------------------------------------------------------------------------


def _a_position(position: int, given: Mapping) -> str | None:
    n = len(given["target"])
    return None if 0 <= position < n else f"is {position}: the target has positions 0 to {n - 1}"


@guarded(model=evaluating, sources=filled, target=(axes(1), filled), position=_a_position)
@guarded(layers=(filled, blocks_of()))
def patchscope(
    model,
    sources: Sequence[Int[Tensor, " _"]],
    target: Int[Tensor, " pos"],
    *,
    position: int,
    layers: Sequence[int],
) -> Int[Tensor, "layer source"]:
    """What the model says of a hidden state that stands in another prompt.

    From each source, take the residual stream at its *last* token before block L; run the target
    with this vector in the place of the stream before block L at `position`.

    Args:
        sources: the tokens of each, [pos], of different lengths.
        target: the tokens of the other prompt, which has a placeholder at `position`.
        layers: each is both read and written: L of the source goes to L of the target.

    Returns:
        The likeliest token after the target, for each layer and source.

    Source: Patchscopes (Ghandeharioun et al., arXiv 2401.06102).
    """
    names = [f"blocks.{layer}.hook_resid_pre" for layer in layers]
    said = torch.zeros(len(layers), len(sources), dtype=torch.long)
    with torch.no_grad():
        for i, source in enumerate(sources):
            _, cache = model.run_with_cache(source[None], names_filter=names)
            for k, name in enumerate(names):

                def put(resid, hook, vector=cache[name][0, -1]):
                    resid = resid.clone()
                    resid[:, position] = vector
                    return resid

                logits = model.run_with_hooks(target[None], fwd_hooks=[(name, put)])
                said[k, i] = logits[0, -1].argmax()
    return said


# ---- Distributed alignment search ---------------------------------------------------------------


class Toy(NamedTuple):
    """A network cut in two: `high(low(x))` are its logits for two classes.

    Attributes:
        right: its accuracy on fresh inputs.
    """

    low: nn.Module
    high: nn.Module
    right: float


class Swap(NamedTuple):
    """Pairs of inputs, and what a network should say of their interchange.

    Attributes:
        base, source: [pair, 6].
        label: [pair], the class when `base` has the source's first half.
        before: [pair], the class of `base`.
    """

    base: Float[Tensor, "pair number"]
    source: Float[Tensor, "pair number"]
    label: Int[Tensor, " pair"]
    before: Int[Tensor, " pair"]


@guarded(n=count())
def draw_pairs(n: int, *, generator: torch.Generator) -> Swap:
    """Six Gaussian numbers; the class is 1 where exactly one half of them has a sum above 0."""
    base, source = torch.randn(2, n, 6, generator=generator)
    first, second = ((x[..., :3].sum(-1) > 0 for x in (base, source)), base[:, 3:].sum(1) > 0)
    before, label = (half.ne(second).long() for half in first)
    return Swap(base, source, label, before)


@guarded(seed=count(low=0), steps=count(low=0))
def toy(seed: int, *, learns: str = "all", width: int = 64, steps: int = 600) -> Toy:
    """A network with two hidden layers, cut after the first.

    Args:
        learns: "all"; "rest", where the first layer keeps its random weights; or "none".
    """
    if learns not in ("all", "rest", "none"):
        raise ValueError(f"`learns` is {learns!r}: give 'all', 'rest' or 'none'.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        low = nn.Sequential(nn.Linear(6, width), nn.ReLU())
        high = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))
    generator = torch.Generator().manual_seed(seed)
    weights = {"all": [*low.parameters(), *high.parameters()], "rest": [*high.parameters()]}
    if learns != "none":
        optimizer = torch.optim.Adam(weights[learns], 3e-3)
        for _ in range(steps):
            drawn = draw_pairs(256, generator=generator)
            loss = F.cross_entropy(high(low(drawn.base)), drawn.before)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    low, high = low.requires_grad_(False), high.requires_grad_(False)
    drawn = draw_pairs(4000, generator=generator)
    right = (high(low(drawn.base)).argmax(1) == drawn.before).float().mean().item()
    return Toy(low, high, right)


@guarded(width=count(), rank=count(), steps=count(low=0), lr=number(low=0, over=True))
def find_subspace(
    low: Callable[[Tensor], Tensor],
    high: Callable[[Tensor], Tensor],
    draw: Callable[[], Swap],
    *,
    width: int,
    rank: int,
    steps: int,
    lr: float,
    generator: torch.Generator,
) -> Float[Tensor, "width rank"]:
    """Distributed alignment search: the subspace whose interchange gives the wanted labels.

    Starts from `torch.randn(width, rank, generator=generator)`. Its columns are made orthonormal
    by `torch.linalg.qr(...)`, inside the loop, so that the gradient passes through. Each of
    `steps` steps of Adam draws new pairs, exchanges what lies in the subspace, and lowers the mean
    cross-entropy of `high` on the exchanged hidden vectors.

    Args:
        low: inputs [pair, number] -> hidden vectors [pair, width].
        high: hidden vectors -> logits [pair, class].
        draw: gives new pairs, with `base`, `source` and `label`.

    Returns:
        Orthonormal columns, without a gradient.

    Source: Geiger et al., arXiv 2303.02536.
    """
    raw = torch.randn(width, rank, generator=generator).requires_grad_()
    optimizer = torch.optim.Adam([raw], lr)
    for _ in range(steps):
        pairs = draw()
        basis = torch.linalg.qr(raw).Q
        base, source = low(pairs.base), low(pairs.source)
        logits = high(base + (source - base) @ basis @ basis.T)
        loss = torch.nn.functional.cross_entropy(logits, pairs.label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return torch.linalg.qr(raw).Q.detach()


@torch.no_grad()
def interchange_accuracy(toy: Toy, basis: Float[Tensor, "width rank"], pairs: Swap) -> float:
    """How often the network says the wanted class after the exchange in a subspace."""
    base, source = toy.low(pairs.base), toy.low(pairs.source)
    said = toy.high(base + (source - base) @ basis @ basis.T).argmax(1)
    return (said == pairs.label).float().mean().item()


# ---- Feature visualisation on text --------------------------------------------------------------


@guarded(start=(axes(1), filled), steps=count(low=0), candidates=count(), best=count())
def climb(
    excite: Callable[[Float[Tensor, "text pos d_model"]], Float[Tensor, " text"]],
    start: Int[Tensor, " pos"],
    embed: Float[Tensor, "d_vocab d_model"],
    *,
    steps: int,
    candidates: int,
    best: int,
    generator: torch.Generator,
) -> tuple[Int[Tensor, " pos"], float]:
    """Search for the tokens that excite something most, one exchange a step.

    At each step, the gradient of `excite` by the embeddings of the present tokens estimates what
    each exchange would give: for position p and token t, `gradient[p] @ embed[t]`. Keep the `best`
    tokens of each position by this estimate, draw `candidates` exchanges (a random position,
    then one of its tokens), run them, and take the one of the highest true score, if it is higher
    than the present score.

    Args:
        excite: embeddings of several texts -> a score of each; gradients pass through.
        start: ids of tokens.

    Returns:
        The tokens found, and their score.

    Source: greedy coordinate gradient (Zou et al., arXiv 2307.15043).
    """
    tokens = start.clone()
    with torch.no_grad():
        score = excite(embed[tokens][None])[0].item()
    for _ in range(steps):
        now = embed[tokens].detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(excite(now[None]).sum(), now)
        likely = (gradient @ embed.detach().T).topk(best, dim=1).indices
        place = torch.randint(len(tokens), (candidates,), generator=generator)
        pick = torch.randint(best, (candidates,), generator=generator)
        tried = tokens.repeat(candidates, 1)
        tried[torch.arange(candidates), place] = likely[place, pick]
        with torch.no_grad():
            scores = excite(embed[tried])
        if scores.max() > score:
            tokens, score = tried[scores.argmax()], scores.max().item()
    return tokens, score


# ---- Directions ---------------------------------------------------------------------------------


class Facts(NamedTuple):
    """Statements of one family, and the stream at their last tokens.

    Attributes:
        x: [statement, d_model].
        y: [statement], 1 where true.
        subject: what each statement is about.
        named: what it says of that: a right or a wrong capital.
        two_words: whether the right answer of its subject has several words.
        negated: [statement], whether it says "not".
    """

    x: Float[Tensor, "statement d_model"]
    y: Int[Tensor, " statement"]
    subject: list[str]
    named: list[str]
    two_words: list[bool]
    negated: Tensor

    def take(self, rows: Tensor) -> "Facts":
        chosen = rows.nonzero()[:, 0].tolist() if rows.dtype == torch.bool else rows.tolist()
        lists = (self.subject, self.named, self.two_words)
        picked = ([each[i] for i in chosen] for each in lists)
        return Facts(self.x[chosen], self.y[chosen], *picked, self.negated[chosen])


@guarded(model=evaluating, rows=filled, layer=layer_of())
def facts_of(model, rows: Sequence[Mapping[str, str]], *, layer: int) -> Facts:
    """Statements of `data/facts` (of facts.csv or sentiment.csv) as the model reads them."""
    x = activations(model, [row["statement"] for row in rows], layers=layer)[layer]
    return Facts(
        x,
        torch.tensor([int(row["label"]) for row in rows]),
        [row.get("subject") or row["word"] for row in rows],
        [row.get("shown") or row["word"] for row in rows],
        [" " in row.get("right", "") for row in rows],
        torch.tensor([row["negated"] == "1" for row in rows]),
    )


@guarded(x=(axes(2), finite))
def mean_gap(x: Float[Tensor, "n d_model"], y: Int[Tensor, " n"]) -> Float[Tensor, " d_model"]:
    """The mean of class 1 less the mean of class 0."""
    return x[y == 1].mean(0) - x[y == 0].mean(0)


@guarded(n=count(low=2))
def direction_band(
    home: Facts, abroad: Facts, *, n: int, generator: torch.Generator
) -> tuple[Interval, Interval]:
    """AUCs abroad of directions that know nothing of truth: where 95% of `n` lie.

    Returns:
        Of random directions; of differences of means at home with shuffled labels.
    """
    gap = mean_gap(home.x, home.y)
    drawn = random_directions(n, gap, generator=generator)
    orders = (torch.randperm(len(home.y), generator=generator) for _ in range(n))
    shuffled = [mean_gap(home.x, home.y[order]) for order in orders]
    return tuple(
        percentiles(torch.tensor([auc(abroad.x @ each, abroad.y) for each in some]))
        for some in (drawn, shuffled)
    )


def auc_against(
    scores: Float[Tensor, " n"], y: Int[Tensor, " n"], rival: Float[Tensor, " n"]
) -> tuple[float, float]:
    """An AUC over the pairs of a true and a false statement that a rival score gets wrong.

    Returns:
        The share of pairs whose true one has the higher score, among those whose false one has the
        higher `rival`; and what part of all pairs these are.
    """
    true, false = (y == 1), (y == 0)
    right = scores[true][:, None] > scores[false][None]
    wrong_by_rival = rival[true][:, None] < rival[false][None]
    return right[wrong_by_rival].double().mean().item(), wrong_by_rival.double().mean().item()


# ---- The quiz -----------------------------------------------------------------------------------

CONTROLS = {
    "groups": "split by city or word, so that none is on both sides",
    "fresh": "score on statements that nothing was chosen on",
    "constant": "score an answer that is always the same",
    "parts": "score the two halves of the test set apart",
}


class Item(NamedTuple):
    """A result for the quiz.

    Attributes:
        claim: what is said.
        how: the method, and n.
        value: the number that is shown.
        controls: name -> what it gives, in words.
        real: whether the claim survives the control that decides.
        decides: its name; more than one where either would do.
    """

    claim: str
    how: str
    value: float
    controls: dict[str, str]
    real: bool
    decides: tuple[str, ...]


def _halves(groups: Sequence, seed: int) -> Tensor:
    """Which rows are in the first half, by whole groups."""
    names = list(dict.fromkeys(groups))
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    first = {names[i] for i in order[: len(names) // 2]}
    return torch.tensor([group in first for group in groups])


def _classifier(x: Tensor, y: Tensor, train: Tensor):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    return fitted.fit(x[train].numpy(), y[train].numpy())


def _probe(x: Tensor, y: Tensor, train: Tensor) -> float:
    """AUC of a logistic probe on the rows that it was not fitted on."""
    scores = _classifier(x, y, train).decision_function(x[~train].numpy())
    return auc(torch.as_tensor(scores), y[~train])


def _shares(right: Tensor, groups: Sequence) -> str:
    low, high = bootstrap(right.double(), groups=groups)
    return f"{right.double().mean():.2f} (95% interval {low:.2f} to {high:.2f})"


def _over(values: Sequence[float]) -> str:
    values = torch.tensor(values)
    return (
        f"{values.mean():.2f} (over {len(values)} splits: {values.min():.2f} to {values.max():.2f})"
    )


def quiz(
    capitals: Facts, cities: Facts, kinds: Facts, feelings: Facts, *, seed: int = 0
) -> list[Item]:
    """Eight results, of which half survive the control that decides.

    Args:
        capitals: without "not"; the others: with and without.
    """
    generator = torch.Generator().manual_seed(seed)
    plain = kinds.take(~kinds.negated)
    happy = feelings.take(~feelings.negated)
    simple = cities.take(~cities.negated)
    names = list(dict.fromkeys(capitals.named))
    coin = dict(zip(names, torch.randint(2, (len(names),), generator=generator), strict=True))
    club = torch.stack([coin[name] for name in capitals.named])

    def rows(part: Facts, y: Tensor) -> tuple[float, str, bool]:
        """A probe's AUC where statements are split, and where the words that they name are."""
        each = [_probe(part.x, y, _halves(range(len(y)), k)) for k in range(seed, seed + 5)]
        held = [_probe(part.x, y, _halves(part.named, k)) for k in range(seed, seed + 5)]
        text = f"AUC {_over(held)} on names that were not fitted; 0.50 is chance"
        return sum(each) / 5, text, min(held) > 0.6

    def one_number(part: Facts) -> tuple[float, str, str, int, bool]:
        """The best of all coordinates on 40 statements, and on the others, and on new subjects."""
        chosen = torch.zeros(len(part.y), dtype=torch.bool)
        chosen[torch.randperm(len(part.y), generator=generator)[:40]] = True
        aucs = [auc(column, part.y[chosen]) for column in part.x[chosen].T]
        best = max(range(len(aucs)), key=lambda i: abs(aucs[i] - 0.5))
        sign = 1 if aucs[best] > 0.5 else -1
        there = auc(sign * part.x[~chosen, best], part.y[~chosen])
        middle = (sign * part.x[chosen, best])[part.y[chosen] == 1].mean()
        middle = (middle + (sign * part.x[chosen, best])[part.y[chosen] == 0].mean()) / 2
        said = (sign * part.x[~chosen, best] > middle).long() == part.y[~chosen]
        subject = [part.subject[i] for i in (~chosen).nonzero()[:, 0].tolist()]
        low, high = bootstrap(said.double(), groups=subject)
        text = f"AUC {there:.2f}, and {_shares(said, subject)} right, on {len(said)} others"
        known = {name for name, used in zip(part.subject, chosen.tolist(), strict=True) if used}
        new = torch.tensor([name not in known for name in part.subject])
        apart = f"AUC {auc(sign * part.x[new, best], part.y[new]):.2f} on {int(new.sum())} others "
        apart += "about subjects that are not among the 40"
        return max(aucs[best], 1 - aucs[best]), text, apart, best, low > 0.5

    def rare(part: Facts, y: Tensor) -> tuple[float, str, bool]:
        """A probe's accuracy on new subjects, and that of the commoner class."""
        held = ~_halves(part.subject, seed)
        said = _classifier(part.x, y, ~held).predict(part.x[held].numpy())
        right = torch.as_tensor(said) == y[held]
        share = y[held].double().mean().item()
        always = max(share, 1 - share)
        subject = [part.subject[i] for i in held.nonzero()[:, 0].tolist()]
        text = f"the commoner answer alone is right in {always:.2f}; the probe in "
        low = bootstrap(right.double() - always, groups=subject).low
        return right.double().mean().item(), text + _shares(right, subject), low > 0

    def two_parts(direction: Tensor, part: Facts) -> tuple[float, str, bool]:
        """A direction's AUC on all statements, and on those without and with "not"."""
        each = [
            auc(part.x[part.negated == no] @ direction, part.y[part.negated == no])
            for no in (False, True)
        ]
        text = "AUC {:.2f} without 'not', {:.2f} with it".format(*each)
        return sum(each) / 2, text, max(abs(v - 0.5) for v in each) < 0.15

    several_words = torch.tensor(capitals.two_words).long()
    leak, tone = rows(capitals, club), rows(happy, happy.y)
    lucky, found = one_number(simple), one_number(plain)
    common, seen = rare(capitals, several_words), rare(feelings, feelings.negated.long())
    hidden = two_parts(mean_gap(simple.x, simple.y), kinds)
    nothing = two_parts(mean_gap(capitals.x, club), cities)
    fit = "Logistic probe, five random halves of"
    club_of = f"{len(club)} statements that name {len(names)} cities; test AUC"
    praised = f"{len(happy.y)} sentences about {len(set(happy.subject))} words; test AUC"
    best, held = "The best of 576 on 40 statements: number", "accuracy on the others, n ="
    gap = "Difference of means; mean of two AUCs,"
    found_by = [
        ("The stream holds which of two secret clubs a capital belongs to", f"{fit} {club_of}"),
        ("One coordinate tells true from false 'kinds'", f"{best} {found[3]}; AUC on these"),
        (
            "A direction fitted to the secret clubs says nothing of what is true about cities",
            f"{gap} {len(cities.y)} statements",
        ),
        (
            "The stream holds whether a capital's name has several words",
            f"Logistic probe on half of the countries, {held} {len(capitals.y)} in all",
        ),
        ("The stream holds whether a sentence praises", f"{fit} {praised}"),
        (
            "The direction of truth for cities says nothing about 'kinds'",
            f"{gap} {len(kinds.y)} statements",
        ),
        (
            "The stream holds whether a sentence has the word 'not'",
            f"Logistic probe on half of the words, {held} {len(feelings.y)} in all",
        ),
        ("One coordinate tells true from false about cities", f"{best} {lucky[3]}; AUC on these"),
    ]
    measured = [leak, found, nothing, common, tone, hidden, seen, lucky]
    order = ["groups", "fresh", "parts", "constant", "groups", "parts", "constant", "fresh"]
    same = "the same result: "
    common = {
        "constant": "0.50, which is the AUC of any constant answer",
        "fresh": same + "it is of statements that nothing was fitted or chosen on",
        "parts": "there are no two halves: none of these statements has 'not'",
    }
    split = common | {"groups": same + "no city or word is on both sides"}
    classes = split | {"parts": "with and without 'not' are the two classes here, and no halves"}
    others = [common, common, split, split, common, split, classes, common]
    items = []
    for (claim, how), each, name, other in zip(found_by, measured, order, others, strict=True):
        controls = other | {name: each[1]}
        if name == "fresh":
            controls["groups"] = each[2]
        decides = ("fresh", "groups") if name == "fresh" else (name,)
        items.append(Item(claim, how, each[0], controls, each[-1], decides))
    return items


def score_sheet(items: Sequence[Item], sheet: Sequence[tuple[bool, str]]) -> tuple[int, int]:
    """How many verdicts of a sheet are right, and how many controls.

    Raises:
        ValueError: the sheet has another length than the quiz.
    """
    if len(sheet) != len(items):
        raise ValueError(f"The sheet has {len(sheet)} rows: give one for each of {len(items)}.")
    pairs = list(zip(items, sheet, strict=True))
    verdicts = sum(bool(real) == item.real for item, (real, _) in pairs)
    return verdicts, sum(name in item.decides for item, (_, name) in pairs)
