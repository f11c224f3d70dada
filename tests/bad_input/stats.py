"""Bad input to the core's `stats` and `activations`."""

import functools
import tempfile

import torch
from tokenizers.pre_tokenizers import WhitespaceSplit

from tests import small_models
from utils import activations, stats
from utils.reading import linear

NAN, INF = float("nan"), float("inf")
SCORES, LABELS = torch.tensor([0.9, 0.4, 0.6, 0.1]), torch.tensor([1, 0, 1, 0])
X, Y = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)), torch.arange(6.0)[:, None]
RESID = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
GOOD = ["w1 w2 w3", "w4 w5"]


@functools.cache
def model():
    """Three layers, 16 positions; words are tokens."""
    with tempfile.TemporaryDirectory() as folder:
        found = small_models.random_model("llama", folder)
    found.tokenizer.backend_tokenizer.pre_tokenizer = WhitespaceSplit()
    return found


def act(texts=GOOD, **settings):
    return lambda: activations.activations(model(), texts, **settings)


def last(lengths, *, resid=RESID, back=0):
    return lambda: activations.last_token(resid, torch.tensor(lengths), back=back)


def in_training(call):
    def run():
        try:
            return call(model().train(), GOOD)
        finally:
            model().eval()

    return run


ROWS = [
    # auc
    ("auc of one label", lambda: stats.auc(SCORES, torch.ones(4, dtype=int)), "give rows of both"),
    ("auc of labels 1 and 2", lambda: stats.auc(SCORES, LABELS + 1), "holds [1, 2]"),
    ("auc of three labels", lambda: stats.auc(SCORES, torch.arange(4) % 3), "labels, 0 and 1"),
    ("auc of a NaN score", lambda: stats.auc(SCORES / LABELS / 0, LABELS), "holds NaN"),
    ("auc of too few labels", lambda: stats.auc(SCORES, LABELS[:3]), "has 3 entries"),
    ("auc of nothing", lambda: stats.auc(SCORES[:0], LABELS[:0]), "give rows of both"),
    ("auc of a column of scores", lambda: stats.auc(SCORES[:, None], LABELS), "give 1 axes"),
    ("auc of labels in a column", lambda: stats.auc(SCORES, LABELS[:, None]), "give 1 axes"),
    (
        "auc of a list of labels",
        lambda: stats.auc(SCORES, [1, 0, 1, 0]),
        "`labels` is of type list",
    ),
    ("auc of a list of scores", lambda: stats.auc([0.9, 0.4], LABELS[:2]), "`scores` is of type"),
    # bootstrap
    (
        "bootstrap of a list of rows",
        lambda: stats.bootstrap([SCORES, SCORES]),
        "`values` is of type",
    ),
    ("bootstrap of a number", lambda: stats.bootstrap(0.5), "`values` is of type float"),
    (
        "bootstrap of groups in a tensor",
        lambda: stats.bootstrap(SCORES, groups=LABELS),
        "give a list (`.tolist()`)",
    ),
    (
        "bootstrap of a list of tensors for groups",
        lambda: stats.bootstrap(SCORES, groups=list(LABELS)),
        "`groups` holds tensors",
    ),
    (
        "bootstrap of groups with tensors in their names",
        lambda: stats.bootstrap(SCORES, groups=[("a", each) for each in LABELS]),
        "`groups` holds tensors",
    ),
    ("bootstrap of no values", lambda: stats.bootstrap([]), "is empty"),
    ("bootstrap of NaN", lambda: stats.bootstrap([1.0, NAN, 2.0]), "`values` holds NaN"),
    ("bootstrap of infinity", lambda: stats.bootstrap([1.0, INF]), "`values` holds NaN or inf"),
    ("bootstrap of one value", lambda: stats.bootstrap([1.0]), "two different ones"),
    (
        "bootstrap of one group",
        lambda: stats.bootstrap(SCORES, groups=["a"] * 4),
        "two different ones",
    ),
    (
        "bootstrap with too few groups",
        lambda: stats.bootstrap(SCORES, groups=["a", "b"]),
        "a group for each value",
    ),
    (
        "bootstrap with one name for groups",
        lambda: stats.bootstrap(SCORES, groups="ab"),
        "a group for each value",
    ),
    ("bootstrap without draws", lambda: stats.bootstrap(SCORES, n=0), "`n` is 0"),
    ("bootstrap with a share of draws", lambda: stats.bootstrap(SCORES, n=0.5), "whole number"),
    ("bootstrap over nothing", lambda: stats.bootstrap(SCORES, over=0 * SCORES), "sums to 0"),
    ("bootstrap over too few", lambda: stats.bootstrap(SCORES, over=SCORES[:1]), "has 1 entries"),
    ("bootstrap over NaN", lambda: stats.bootstrap(SCORES, over=SCORES * NAN), "`over` holds NaN"),
    # percentiles
    ("percentiles of NaN", lambda: stats.percentiles(SCORES * NAN), "`draws` holds NaN"),
    ("percentiles of no draws", lambda: stats.percentiles(SCORES[:0]), "`draws` is empty"),
    # ridge, its map, and r_squared
    ("ridge to a row of targets", lambda: linear.ridge(X, Y[:, 0]), "give 2 axes"),
    ("ridge from one feature flat", lambda: linear.ridge(X[:, 0], Y), "give 2 axes"),
    ("ridge of unequal lengths", lambda: linear.ridge(X, Y[:5]), "has 5 entries, and `x` 6"),
    ("ridge of NaN inputs", lambda: linear.ridge(X * NAN, Y), "`x` holds NaN"),
    ("ridge of NaN targets", lambda: linear.ridge(X, Y * NAN), "`y` holds NaN"),
    ("ridge of no rows", lambda: linear.ridge(X[:0], Y[:0]), "`x` is empty"),
    ("ridge with a penalty below 0", lambda: linear.ridge(X, Y, penalty=-1.0), "at least 0"),
    ("ridge with a penalty in words", lambda: linear.ridge(X, Y, penalty="1"), "is of type str"),
    ("ridge with a NaN penalty", lambda: linear.ridge(X, Y, penalty=NAN), "`penalty` is nan"),
    ("r_squared of a constant", lambda: linear.r_squared(Y, Y * 0 + 3), "no variance"),
    ("r_squared of one row", lambda: linear.r_squared(Y[:1], Y[:1]), "no variance"),
    ("r_squared of unlike shapes", lambda: linear.r_squared(X, Y), "has shape (6, 1)"),
    ("r_squared of a flat prediction", lambda: linear.r_squared(Y[:, 0], Y), "has shape (6, 1)"),
    ("r_squared of NaN", lambda: linear.r_squared(Y * NAN, Y), "`predicted` holds NaN"),
    ("r_squared to infinity", lambda: linear.r_squared(Y, Y / 0), "`y` holds NaN or infinity"),
    # last_token
    ("last_token back beyond a text", last([4, 2], back=2), "above `back`"),
    ("last_token to the right", last([4, 2], back=-1), "`back` is -1"),
    ("last_token half a token back", last([4, 2], back=0.5), "whole number"),
    ("last_token of an empty text", last([4, 0]), "run from 0 to 4"),
    ("last_token of a text longer than its row", last([5, 2]), "at most 4"),
    ("last_token of a negative length", last([-1, 2]), "run from -1"),
    ("last_token of too few lengths", last([4]), "has 1 entries, and `resid` 2"),
    ("last_token of one text alone", last([4, 2], resid=RESID[0]), "give 3 axes"),
    ("last_token of no texts", last([], resid=RESID[:0]), "`resid` is empty"),
    # activations and next_logits
    ("activations beyond the last layer", act(layers=4), "layers 0 to 3"),
    ("activations of layer -1", act(layers=-1), "layers 0 to 3"),
    ("activations in batches of -1", act(batch_size=-1), "`batch_size` is -1"),
    ("activations in batches of 0", act(batch_size=0), "`batch_size` is 0"),
    ("activations of one text, no list", act("w1 w2"), "give a list"),
    ("activations of no texts", act([]), "`texts` is empty"),
    ("activations beyond the context", act(["w1 " * 30]), "this model reads 16"),
    ("activations before the first token", act(position=-9), "not beyond the shortest"),
    ("activations counted from the left", act(position=0), "count from the end"),
    ("activations of one good position of two", act(position=[-1, 2]), "count from the end"),
    ("activations at no positions", act(position=[]), "count from the end"),
    ("activations of a model in training", in_training(activations.activations), "`.eval()`"),
    ("next_logits of a model in training", in_training(activations.next_logits), "`.eval()`"),
    (
        "next_logits beyond the context",
        lambda: activations.next_logits(model(), ["w1", "w1 " * 30]),
        "Text 1 has 31 tokens",
    ),
    ("next_logits of no texts", lambda: activations.next_logits(model(), []), "is empty"),
    ("next_logits of one text, no list", lambda: activations.next_logits(model(), "w"), "a list"),
    (
        "next_logits in batches of -1",
        lambda: activations.next_logits(model(), GOOD, batch_size=-1),
        "`batch_size` is -1",
    ),
]
