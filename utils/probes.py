"""Linear probes: reading a concept from activations, and how far to trust the reading.

A probe is a direction and a bias. It says yes where `x @ direction + bias` is above 0.
"""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Probe(NamedTuple):
    """A direction and a bias; it unpacks like the pair it is."""

    direction: Float[Tensor, " d_model"]
    bias: Float[Tensor, ""]

    def scores(self, x: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n"]:
        """Above 0 is a yes."""
        return x @ self.direction + self.bias

    def accuracy(self, x: Float[Tensor, "n d_model"], y: Int[Tensor, " n"]) -> float:
        """The share of rows on the right side of 0; `y` holds 0 and 1."""
        return ((self.scores(x) > 0) == (y == 1)).float().mean().item()


Fit = Callable[[Float[Tensor, "n d_model"], Int[Tensor, " n"]], Probe]


# ---- Activations --------------------------------------------------------------------------------


def last_token(
    resid: Float[Tensor, "batch pos d_model"], lengths: Int[Tensor, " batch"], *, back: int = 0
) -> Float[Tensor, "batch d_model"]:
    """The vector at each text's last token, or `back` tokens before it, in a right-padded batch.

    Args:
        lengths: how many tokens of each row are text (BOS counts); the rest is padding.
    """
    rows = torch.arange(len(resid), device=resid.device)
    return resid[rows, lengths.to(resid.device) - 1 - back]


@torch.no_grad()
def activations(
    model,
    texts: Sequence[str],
    *,
    position: int | Sequence[int] = -1,
    layers: int | None = None,
    batch_size: int = 40,
    bos: bool = True,
) -> Float[Tensor, "... layer text d_model"]:
    """The residual stream at one token of each text.

    Layer L is what block L reads, `blocks.L.hook_resid_pre`: 0 is the token's embedding, and
    `n_layers` is what the last block leaves behind. Texts run in batches of like length, padded on
    the right, where causal attention keeps the padding from being read.

    Args:
        model: a TransformerBridge with a tokenizer.
        position: counted from the end of each text, so -1 is its last token. Several of them give
            one more axis in front.
        layers: the last layer to keep; the blocks above it do not run. None keeps all.
        bos: whether BOS stands in front of each text.

    Returns:
        On the CPU, float32.

    Raises:
        ValueError: there is no text, or one is shorter than `position` asks for.
    """
    positions = [position] if isinstance(position, int) else list(position)
    n_layers = model.cfg.n_layers
    top = n_layers if layers is None else layers
    rows = [model.to_tokens(text, prepend_bos=bos)[0] for text in texts]
    if not rows or min(map(len, rows)) < -min(positions) or max(positions) >= 0:
        raise ValueError(
            f"Give texts of at least {-min(positions)} tokens, and positions counted from the "
            f"end, such as -1."
        )
    out = torch.empty(len(positions), top + 1, len(rows), model.cfg.d_model)

    def keep(resid, hook, layer, chosen, lengths):
        for i, at in enumerate(positions):
            out[i, layer, chosen] = last_token(resid, lengths, back=-1 - at).float().cpu()

    by_length = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for start in range(0, len(rows), batch_size):
        chosen = by_length[start : start + batch_size]
        tokens = torch.nn.utils.rnn.pad_sequence([rows[i] for i in chosen], batch_first=True)
        lengths = torch.tensor([len(rows[i]) for i in chosen])
        keeping = {"chosen": torch.tensor(chosen), "lengths": lengths}
        hooks = [
            (f"blocks.{layer}.hook_resid_pre", partial(keep, layer=layer, **keeping))
            for layer in range(min(top + 1, n_layers))
        ]
        if top == n_layers:
            name = f"blocks.{n_layers - 1}.hook_resid_post"
            hooks.append((name, partial(keep, layer=n_layers, **keeping)))
        with model.hooks(fwd_hooks=hooks):
            model(tokens, stop_at_layer=None if top == n_layers else top + 1)
    return out[0] if isinstance(position, int) else out


@torch.no_grad()
def next_logits(
    model, texts: Sequence[str], *, batch_size: int = 40
) -> Float[Tensor, "text d_vocab"]:
    """The logits after each text, on the CPU, float32."""
    rows = [model.to_tokens(text)[0] for text in texts]
    found = []
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        tokens = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True)
        lengths = torch.tensor([len(row) for row in batch])
        found.append(last_token(model(tokens), lengths).float().cpu())
    return torch.cat(found)


@torch.no_grad()
def preference(
    model,
    texts: Sequence[str],
    words: tuple[str, str],
    *,
    layer: int = 0,
    edit: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Float[Tensor, " text"]:
    """Logit of the first of two next words minus that of the second, after each text.

    All texts run as one batch, padded on the right.

    Args:
        words: with their leading space; of each, the first token counts.
        edit: takes what block `layer` reads, [text, pos, d_model], and how many tokens each text
            has, [text]; returns what the block shall read instead.
    """
    rows = [model.to_tokens(text)[0] for text in texts]
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    first, second = (int(model.to_tokens(word, prepend_bos=False)[0, 0]) for word in words)
    hooks = []
    if edit:
        hooks = [(f"blocks.{layer}.hook_resid_pre", lambda resid, hook: edit(resid, lengths))]
    with model.hooks(fwd_hooks=hooks):
        logits = last_token(model(tokens), lengths)
    return (logits[:, first] - logits[:, second]).float().cpu()


def exchange_along(
    resid: Float[Tensor, "batch pos d_model"],
    direction: Float[Tensor, " d_model"],
    positions: Int[Tensor, " batch"],
    partner: Int[Tensor, " batch"],
) -> Float[Tensor, "batch pos d_model"]:
    """A copy of `resid` in which each row's component along `direction` is its partner's.

    Only at one position of each row; the partner's vector is the one at the partner's position.

    Args:
        direction: of any length: only the line it spans matters.
        partner: for each row, the number of the row whose component it gets.
    """
    rows = torch.arange(len(resid), device=resid.device)
    positions, partner = positions.to(resid.device), partner.to(resid.device)
    unit = (direction / direction.norm()).to(resid)
    here = resid[rows, positions]
    change = (here[partner] - here) @ unit
    resid = resid.clone()
    resid[rows, positions] += change[:, None] * unit
    return resid


# ---- Probes -------------------------------------------------------------------------------------


def mean_difference(x: Float[Tensor, "n d_model"], y: Int[Tensor, " n"]) -> Probe:
    """Direction from the mean of the rows with label 0 to that of label 1.

    Its length is the distance of the means: it is not normalised. The bias puts the zero halfway
    between the two. Source: "mass-mean" probing in Marks and
    Tegmark, 2023 (arXiv 2310.06824).
    """
    yes, no = x[y == 1].mean(0), x[y == 0].mean(0)
    direction = yes - no
    return Probe(direction, -(yes + no) @ direction / 2)


def logistic(x: Float[Tensor, "n d_model"], y: Int[Tensor, " n"], *, C: float = 0.1) -> Probe:
    """Logistic regression on standardised coordinates, folded back into one direction and bias.

    Args:
        C: scikit-learn's inverse strength of the L2 penalty; smaller is stricter.
    """
    from sklearn.linear_model import LogisticRegression

    mean, scale = x.mean(0), x.std(0)
    scale = torch.where(scale > 1e-6 * scale.max(), scale, torch.inf)  # constant: nothing to read
    fitted = LogisticRegression(C=C, max_iter=1000).fit(((x - mean) / scale).numpy(), y.numpy())
    direction = torch.from_numpy(fitted.coef_[0]).float() / scale
    return Probe(direction, torch.tensor(fitted.intercept_[0]).float() - mean @ direction)


def split_by_group(groups: Sequence[Hashable], *, test: float, seed: int) -> Bool[Tensor, " n"]:
    """True for rows of the test set: about a share `test` of the groups, each of them whole."""
    names = list(dict.fromkeys(groups))
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    chosen = {names[i] for i in order[: round(test * len(names))]}
    return torch.tensor([group in chosen for group in groups])


def cross_validated(
    x: Float[Tensor, "n d_model"],
    y: Int[Tensor, " n"],
    groups: Sequence[Hashable],
    *,
    fit: Fit,
    folds: int = 5,
    seed: int = 0,
) -> Float[Tensor, " n"]:
    """1.0 where a probe that was fitted without a row's group (and its fold) is right about it."""
    names = list(dict.fromkeys(groups))
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    fold = {names[group]: i % folds for i, group in enumerate(order)}
    folds_of = torch.tensor([fold[group] for group in groups])
    right = torch.zeros(len(y))
    for i in range(folds):
        out = folds_of == i
        probe = fit(x[~out], y[~out])
        right[out] = ((probe.scores(x[out]) > 0) == (y[out] == 1)).float()
    return right


# ---- Measures and controls ----------------------------------------------------------------------


def auc(scores: Float[Tensor, " n"], labels: Int[Tensor, " n"]) -> float:
    """How often a row of label 1 scores above one of label 0; a tie counts half. 0.5 is chance."""
    yes, no = scores[labels == 1], scores[labels == 0]
    above = (yes[:, None] > no).double() + 0.5 * (yes[:, None] == no).double()
    return above.mean().item()


def choices(
    scores: Float[Tensor, " n"], labels: Int[Tensor, " n"], groups: Sequence[Hashable]
) -> dict[Hashable, float]:
    """For each group: does its row of label 1 score above its row of label 0? A tie counts half.

    Chance is 0.5, whatever the scores' zero is.

    Raises:
        ValueError: a group has not exactly one row of each label.
    """
    found: dict[Hashable, dict[int, float]] = {}
    for score, label, group in zip(scores.tolist(), labels.tolist(), groups, strict=True):
        if label in found.setdefault(group, {}):
            raise ValueError(f"{group!r} has two rows of label {label}: give one of each.")
        found[group][label] = score
    if bad := [group for group, pair in found.items() if set(pair) != {0, 1}]:
        raise ValueError(f"{bad[0]!r} has rows of one label: give one of each.")
    return {
        group: 0.5 if pair[1] == pair[0] else float(pair[1] > pair[0])
        for group, pair in found.items()
    }


def control_labels(types: Sequence[Hashable], *, seed: int) -> Int[Tensor, " n"]:
    """A coin for each type, 0 or 1, the same wherever the type comes again.

    The control task of Hewitt and Liang, 2019 (arXiv 1909.03368): there is nothing to read, so
    what a probe scores on it, it has learnt by heart.
    """
    names = list(dict.fromkeys(types))
    coins = torch.randint(2, (len(names),), generator=torch.Generator().manual_seed(seed)).tolist()
    coin = dict(zip(names, coins, strict=True))
    return torch.tensor([coin[each] for each in types])


def share_interval(values: Bool[Tensor, " n"] | Sequence[bool]) -> tuple[float, float]:
    """Exact 95% interval of a share of independent cases (Clopper and Pearson, 1934).

    Unlike `bootstrap` it has a width where all cases are alike.

    Raises:
        ValueError: there are no cases.
    """
    from scipy.stats import binomtest

    values = torch.as_tensor(values).bool().flatten()
    if len(values) == 0:
        raise ValueError("No cases: there is no share to give an interval for.")
    found = binomtest(int(values.sum()), len(values)).proportion_ci(method="exact")
    return float(found.low), float(found.high)


def bootstrap(
    values: Float[Tensor, " n"] | Sequence[float],
    *,
    groups: Sequence[Hashable] | None = None,
    over: Float[Tensor, " n"] | None = None,
    n: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """95% percentile interval of the mean of `values`.

    Args:
        values: one number a row, such as 1.0 where a probe was right.
        groups: what each row belongs to, such as its country. Whole groups are drawn, with
            replacement: rows of one group are not independent, and drawing them one by one gives
            an interval that is too narrow.
        over: if given, the interval is that of the mean of `values` over the mean of these: of a
            share. Both come from the same draws.
        n: how many times to draw.
        seed: of the draws.

    Returns:
        (low, high): the 2.5th and the 97.5th percentile of the means of the draws.

    Raises:
        ValueError: there are no values, or not as many groups as values.
    """
    values = torch.as_tensor(values, dtype=torch.float64).flatten().cpu()
    groups = range(len(values)) if groups is None else groups
    if len(values) == 0 or len(groups) != len(values):
        raise ValueError(
            f"There are {len(values)} values and {len(groups)} groups: give a group for each value."
        )
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    index = torch.tensor([number[group] for group in groups])
    zeros = torch.zeros(len(number), dtype=torch.float64)
    sums = zeros.index_add(0, index, values)
    under = torch.ones_like(values) if over is None else over.double().flatten().cpu()
    sizes = zeros.index_add(0, index, under)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(number), (n, len(number)), generator=generator)
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


def standard_error(values: Float[Tensor, " n"], *, groups: Sequence[Hashable]) -> float:
    """How far the mean of `values` moves by luck, with groups as the unit, such as pairs.

    The standard deviation of the groups' means, divided by the root of their number.
    """
    sums: dict[Hashable, list[float]] = {}
    for value, group in zip(values.tolist(), groups, strict=True):
        sums.setdefault(group, []).append(value)
    means = torch.tensor([sum(found) / len(found) for found in sums.values()])
    return (means.std() / len(means) ** 0.5).item()


def auc_interval(
    scores: Float[Tensor, " n"],
    labels: Int[Tensor, " n"],
    groups: Sequence[Hashable],
    *,
    n: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """95% percentile interval of `auc`, drawing the groups of each label with replacement.

    Args:
        groups: what each row belongs to, such as its word; all rows of a group have one label.
    """
    rows: dict[int, dict[Hashable, list[int]]] = {0: {}, 1: {}}
    for i, (label, group) in enumerate(zip(labels.tolist(), groups, strict=True)):
        rows[label].setdefault(group, []).append(i)
    yes, no = (list(rows[label].values()) for label in (1, 0))
    both = torch.tensor([1, 0])
    table = torch.tensor(
        [
            [auc(scores[a + b], both.repeat_interleave(torch.tensor([len(a), len(b)]))) for b in no]
            for a in yes
        ]
    )
    generator = torch.Generator().manual_seed(seed)
    draws = torch.stack(
        [
            table[torch.randint(len(yes), (len(yes),), generator=generator)][
                :, torch.randint(len(no), (len(no),), generator=generator)
            ].mean()
            for _ in range(n)
        ]
    )
    low, high = draws.quantile(torch.tensor([0.025, 0.975])).tolist()
    return low, high


# ---- Without labels -----------------------------------------------------------------------------


def ccs_loss(
    p_first: Float[Tensor, " pair"], p_second: Float[Tensor, " pair"]
) -> Float[Tensor, ""]:
    """Inconsistency plus indecision of two probabilities of being true, mean over pairs.

    Source: Burns et al., 2022 (arXiv 2212.03827).
    """
    consistency = (p_first - (1 - p_second)) ** 2
    confidence = torch.minimum(p_first, p_second) ** 2
    return (consistency + confidence).mean()


def contrast_pairs(groups: Sequence[Hashable], *, seed: int) -> Int[Tensor, "pair half=2"]:
    """The two rows of each group, in random order.

    Raises:
        ValueError: a group has not exactly two rows.
    """
    rows: dict[Hashable, list[int]] = {}
    for i, group in enumerate(groups):
        rows.setdefault(group, []).append(i)
    if bad := [group for group, found in rows.items() if len(found) != 2]:
        raise ValueError(f"{bad[0]!r} has {len(rows[bad[0]])} rows: give two of each group.")
    pairs = torch.tensor(list(rows.values()))
    flip = torch.rand(len(pairs), generator=torch.Generator().manual_seed(seed)) < 0.5
    return torch.where(flip[:, None], pairs.flip(1), pairs)


class Unsupervised(NamedTuple):
    """What a method without labels found.

    Attributes:
        first: [pair], its belief that the first of each pair is the true one, above or below 0.
            Which sign means true, it cannot know.
        loss: what it minimised; None where there was no loss.
    """

    first: Float[Tensor, " pair"]
    loss: float | None

    def agreement(self, labels: Int[Tensor, " pair"]) -> Float[Tensor, " pair"]:
        """1.0 where it agrees with `labels`, under whichever sign agrees more: never below half."""
        same = ((self.first > 0) == (labels == 1)).float()
        return same if same.mean() >= 0.5 else 1 - same


def ccs(
    first: Float[Tensor, "pair d_model"],
    second: Float[Tensor, "pair d_model"],
    *,
    normalise: bool = True,
    tries: int = 4,
    steps: int = 250,
    seed: int = 0,
) -> Unsupervised:
    """Contrast-consistent search: a probe that calls just one of the two halves true.

    Adam with a step of 0.01, from several random starts; the lowest loss wins.

    Args:
        normalise: subtract each half's own mean and divide by its own spread, so that what all
            first halves share (such as "not") cannot be read. Otherwise both halves together.

    Source: Burns et al., 2022 (arXiv 2212.03827).
    """
    both = torch.cat([first, second])
    first, second = (
        (half - over.mean(0)) / over.std(0).clamp(min=1e-6)
        for half, over in (
            (first, first if normalise else both),
            (second, second if normalise else both),
        )
    )
    generator = torch.Generator().manual_seed(seed)
    best = None
    with torch.enable_grad():
        for _ in range(tries):
            start = torch.randn(first.shape[1], generator=generator) / first.shape[1] ** 0.5
            direction, bias = start.requires_grad_(), torch.zeros(1, requires_grad=True)
            optimizer = torch.optim.Adam([direction, bias], lr=0.01)
            for _ in range(steps):
                p = [torch.sigmoid(half @ direction + bias) for half in (first, second)]
                loss = ccs_loss(*p)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if best is None or loss.item() < best.loss:
                best = Unsupervised((p[0] - p[1]).detach() / 2, loss.item())
    return best


def first_component(
    first: Float[Tensor, "pair d_model"], second: Float[Tensor, "pair d_model"]
) -> Unsupervised:
    """The first principal component of the differences of pairs, the simpler rival of `ccs`."""
    difference = first - second
    difference = difference - difference.mean(0)
    component = torch.linalg.svd(difference, full_matrices=False).Vh[0]
    return Unsupervised(difference @ component, None)
