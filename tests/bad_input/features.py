"""Bad input to `utils/features`, and to the data of its lessons."""

import functools
import json
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from tests.small_models import random_model
from utils.features import dashboards, diffing, explorer, figures, planted, transcoders
from utils.features import sae as saes
from utils.features import superposition as sp
from utils.features.transcoders import Transcoder
from utils.features.twin import matched_random

ROOT = Path(__file__).resolve().parents[2]
NAN = float("nan")
ROWS_OF_TOKENS = [torch.tensor(row) for row in ([3, 1, 4, 1], [1, 5], [9, 2, 6])]
TEXTS = dashboards.corpus(ROWS_OF_TOKENS)
N = len(TEXTS.tokens)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(*size: int) -> torch.Tensor:
    return torch.randn(size, generator=seeded())


X = drawn(20, 6)
Y = torch.arange(20) % 2


@functools.cache
def model():
    return random_model("llama", tempfile.mkdtemp(prefix="heads-to-features-"))


@dataclass
class Training:
    """Stands for a model in training mode."""

    training: bool = True


@functools.cache
def sae(kind: type = saes.TopKSAE, **how):
    return kind(6, 9, **({"k": 2} if kind is saes.TopKSAE else {}), **how)


@functools.cache
def active() -> dashboards.Activity:
    """Of nine latents at the tokens of TEXTS."""
    return dashboards.activity(sae().encode, X[:N], k=2)


def latents(d_sae: int = 9, rows: int = N, layer: int = 1) -> explorer.Latents:
    own = dashboards.Activity(active().index[:rows], active().value[:rows], d_sae)
    return explorer.Latents(model(), saes.TopKSAE(32, 9, k=2), TEXTS, own, layer=layer)


def ask(latents: list[int], **how):
    split, words = (TEXTS, active()), ["w"] * 10
    generator = {"source": "", "generator": seeded()}
    return explorer.questions(split, split, latents, words, **generator | how)


def saved(**config):
    """A folder with an SAE in it, and another configuration."""
    folder = Path(tempfile.mkdtemp(prefix="heads-to-features-"))
    saes.save_sae(sae(), folder)
    file = folder / "cfg.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    return folder


def with_a_flipped_byte():
    file = (folder := saved()) / "sae_weights.safetensors"
    whole = bytearray(file.read_bytes())
    whole[-9] ^= 64
    file.write_bytes(whole)
    return folder


def cut_off():
    file = (folder := saved(metadata={})) / "sae_weights.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    return folder


def broken_config():
    file = (folder := saved()) / "cfg.json"
    file.write_text(file.read_text()[:50])
    return folder


def with_b_dec(value: float) -> saes.SAE:
    found = saes.ReLUSAE(2, 3)
    found.b_dec.data[0] = value
    return found


def nan_in(x: torch.Tensor) -> torch.Tensor:
    x = x.clone()
    x.view(-1)[0] = NAN
    return x


WORLD = planted.independent(8, 6, active=1, span=2, generator=seeded(1))
FAMILIES = planted.families(2, 3, 6, active=1, generator=seeded(1))
ROW = torch.tensor([[1, 2, 3]])
SNIPS = [explorer.Snippet(["a", "b"], [0.0, 0.0], at) for at in range(2)]
losses = torch.tensor([1.0, 2.0])


def recovered(replaced=losses, clean=losses, ablated=losses + 3) -> float:
    return saes.loss_recovered(replaced, clean=clean, ablated=ablated)


SPARSE = partial(sp.sparse_features, batch_size=3, n=2, generator=seeded())
HALF = torch.tensor([0.5, 0.5])


def toys(importance=None, **how):
    importance = torch.ones(3) if importance is None else importance
    how = {"dim": 2, "steps": 2, "generator": seeded()} | how
    return sp.train_toys(lambda: drawn(2, 4, 3), importance, **how)


def decoded(directions=X, ks=(2,), decoders=None, draws=2):
    decoders = {"as read": lambda readings: readings} if decoders is None else decoders
    return sp.decode_sweep(directions, ks, decoders, draws=draws, generator=seeded())


def contexts(tokens=None, k=2, **how):
    tokens = torch.zeros(3, 4).long() if tokens is None else tokens
    return sp.top_contexts(model(), tokens, layer=0, neurons=[0], k=k, **how)


DICTIONARIES = [
    ("an SAE of no latents", lambda: saes.ReLUSAE(6, 0), "whole number from 1"),
    ("more active latents than there are", lambda: saes.TopKSAE(6, 9, k=10), "choose fewer"),
    ("no active latent", lambda: saes.TopKSAE(6, 9, k=0), "`k` is 0"),
    ("a negative price", lambda: saes.ReLUSAE(6, 9, l1=-1.0), "`l1` is -1.0"),
    ("no latent of a batch", lambda: saes.BatchTopKSAE(6, 9, k=0), "`k` is 0"),
    ("a threshold of 0", lambda: saes.JumpReLUSAE(6, 9, threshold=0.0), "must be above 0"),
    ("a window of no width", lambda: saes.JumpReLUSAE(6, 9, bandwidth=0.0), "`bandwidth` is 0.0"),
    ("vectors of one number", lambda: sae().encode(X[:, :1]), "vectors of 6"),
    ("vectors of one number, in training", lambda: sae().loss(X[:, :1]), "vectors of 6"),
    ("rescaled by a negative number", lambda: sae().rescale(-1.0), "`factor` is -1.0"),
    ("rescaled by NaN", lambda: sae().rescale(NAN), "`factor` is nan"),
    ("a folder without an SAE", lambda: saes.load_sae("/nowhere"), "No cfg.json in /nowhere"),
    ("an SAE with a flipped byte", lambda: saes.load_sae(with_a_flipped_byte()), "not those that"),
    ("an SAE that is cut off", lambda: saes.load_sae(cut_off()), "do not fit"),
    ("a configuration that is cut off", lambda: saes.load_sae(broken_config()), "cannot be read"),
    ("an SAE of other sizes", lambda: saes.load_sae(saved(d_sae=8)), "do not fit"),
    ("an SAE of a TopK without k", lambda: saes.load_sae(saved(k=99)), "there are 9 latents"),
    ("an SAE that is gated", lambda: saes.load_sae(saved(architecture="gated")), "'gated'"),
    (
        "an SAE whose input is normalised",
        lambda: saes.load_sae(saved(normalize_activations="layer_norm")),
        "open it in SAELens",
    ),
    (
        "an SAE with NaN is saved",
        lambda: saes.save_sae(with_b_dec(NAN), "/nowhere"),
        "nothing was written",
    ),
    (
        "an SAE too large for float16 is saved",
        lambda: saes.save_sae(with_b_dec(1e5), "/nowhere", dtype=torch.float16),
        "65,504",
    ),
    ("layer 45", lambda: saes.harvest(model(), ROWS_OF_TOKENS, layer=45), "layers 0 to 3"),
    ("layer -1", lambda: saes.harvest(model(), ROWS_OF_TOKENS, layer=-1), "layers 0 to 3"),
    ("no texts", lambda: saes.harvest(model(), [], layer=1), "`rows` is empty"),
    (
        "a text longer than the context",
        lambda: saes.harvest(model(), [torch.arange(16)], layer=1),
        "this model reads 16 with BOS",
    ),
    (
        "no tokens at once",
        lambda: saes.harvest(model(), ROWS_OF_TOKENS, layer=1, batch_tokens=0),
        "`batch_tokens` is 0",
    ),
    ("a model in training", lambda: saes.harvest(Training(), ROWS_OF_TOKENS, layer=1), ".eval()"),
    ("no vectors to take sinks from", lambda: saes.without_sinks(X[:0]), "`x` is empty"),
    ("NaN among vectors with sinks", lambda: saes.without_sinks(nan_in(X)), "NaN"),
    ("sinks below the median", lambda: saes.without_sinks(X, times=0.1), "at least 1"),
    ("the quality on one vector", lambda: saes.quality(sae(), X[:1]), "no variance to explain"),
    ("the quality on equal vectors", lambda: saes.quality(sae(), torch.ones(9, 6)), "all alike"),
    ("the quality on NaN", lambda: saes.quality(sae(), nan_in(X)), "NaN or infinity"),
    ("the quality on other vectors", lambda: saes.quality(sae(), X[:, :5]), "`sae` is for 6"),
    ("no vectors at a time", lambda: saes.quality(sae(), X, batch_size=0), "`batch_size` is 0"),
    (
        "losses from a layer that is the end",
        lambda: saes.losses_with(model(), ROWS_OF_TOKENS, {}, layer=3),
        "layers 0 to 2",
    ),
    (
        "the loss of an empty text",
        lambda: saes.losses_with(model(), [torch.arange(0)], {}, layer=1),
        "has an empty text",
    ),
    (
        "a stand-in called clean",
        lambda: saes.losses_with(model(), ROWS_OF_TOKENS, {"clean": torch.relu}, layer=1),
        "give it another",
    ),
    ("an ablation that costs nothing", lambda: recovered(ablated=losses), "sets no scale"),
    ("losses of other texts", lambda: recovered(torch.ones(3)), "3 entries, and `clean` 2"),
    ("losses with NaN", lambda: recovered(nan_in(losses)), "`replaced` holds NaN"),
    ("no losses", lambda: recovered(losses[:0], losses[:0], losses[:0]), "`clean` is empty"),
    ("0 components", lambda: saes.pca(X, 0), "`n_components` is 0"),
    ("more components than dimensions", lambda: saes.pca(X, 7), "`x` has 6"),
    ("components in float16", lambda: saes.pca(X.half(), 2), ".float()"),
    ("components of one vector", lambda: saes.pca(X[:1], 1), "all alike"),
    (
        "more directions chosen than there are",
        lambda: saes.random_dictionary(X, 9, k=10),
        "there are 9 directions",
    ),
    (
        "fewer vectors than directions",
        lambda: saes.random_dictionary(X, 30, k=2, of_vectors=True),
        "`x` has 20",
    ),
]

TOY_MODELS = [
    ("density 2", lambda: SPARSE(torch.tensor([2.0])), "`density` holds 2"),
    ("density 0", lambda: SPARSE(torch.tensor([0.0])), "above 0 and at most 1"),
    ("density NaN", lambda: SPARSE(torch.tensor([NAN])), "`density` holds nan"),
    ("no toys", lambda: SPARSE(torch.zeros(0)), "`density` is empty"),
    (
        "batches of 0 features",
        lambda: sp.sparse_features(HALF, batch_size=0, n=2, generator=seeded()),
        "`batch_size` is 0",
    ),
    ("a negative importance", lambda: toys(-torch.ones(3)), "at least 0"),
    ("toys of 0 dimensions", lambda: toys(dim=0), "`dim` is 0"),
    ("toys that take no steps", lambda: toys(steps=0), "`steps` is 0"),
    (
        "no numbers of steps",
        lambda: sp.settled_at(lambda steps: drawn(2, 3, 2), [], tolerance=0.1),
        "`steps` is empty",
    ),
    (
        "a negative tolerance",
        lambda: sp.settled_at(lambda steps: drawn(2, 3, 2), [1, 2], tolerance=-1),
        "`tolerance`",
    ),
    (
        "a sweep over density 0",
        lambda: sp.geometry_sweep(lambda d: drawn(2, 3, 2), torch.zeros(2), toys=1),
        "above 0",
    ),
    (
        "a sweep without toys",
        lambda: sp.geometry_sweep(lambda d: drawn(2, 3, 2), HALF, toys=0),
        "`toys` is 0",
    ),
    ("toys to turn at once", lambda: sp.turned(drawn(2, 3, 2)), "give 2 axes"),
    ("a toy with NaN", lambda: sp.turned(nan_in(drawn(3, 2))), "NaN or infinity"),
    ("the border at -1", lambda: sp.phase_border(-HALF), "at least 0"),
    (
        "the exact loss of three features",
        lambda: sp.exact_pair_loss(drawn(2, 3, 1), drawn(2, 3), HALF, torch.ones(2, 3)),
        "the sum is over pairs",
    ),
    ("more active than there are", lambda: decoded(ks=(2, 21)), "1 to 20"),
    ("none active", lambda: decoded(ks=(0,)), "1 to 20"),
    ("no decoders", lambda: decoded(decoders={}), "`decoders` is empty"),
    ("no draws", lambda: decoded(draws=0), "`draws` is 0"),
    ("directions with NaN", lambda: decoded(nan_in(X)), "NaN or infinity"),
    ("one text as a row", lambda: contexts(torch.zeros(4).long()), "give 2 axes"),
    ("more contexts than texts", lambda: contexts(k=4), "has 3"),
    ("contexts in batches of 0", lambda: contexts(batch_size=0), "`batch_size` is 0"),
    ("likeness of one set", lambda: sp.alike(X), "give 3 axes"),
    ("a row of seven", lambda: sp.UnknownToy()([1.0] * 7), "8 numbers"),
    ("a spent budget", lambda: sp.UnknownToy(0)([1.0] * 8), "budget is spent"),
]

WORLDS = [
    (
        "more active than features",
        lambda: planted.independent(4, 6, active=5, span=1, generator=seeded()),
        "active 1.25 times a vector",
    ),
    (
        "a span of 0",
        lambda: planted.independent(4, 6, active=1, span=0, generator=seeded()),
        "`span` is 0",
    ),
    (
        "alone in 1.5 of the cases",
        lambda: planted.families(2, 3, 6, active=1, alone=1.5, generator=seeded()),
        "at most 1",
    ),
    ("no vectors drawn", lambda: planted.draw(WORLD, 0, generator=seeded()), "`n` is 0"),
    ("no found directions", lambda: planted.best_cosine(X, X[:0]), "`found` is empty"),
    ("a direction of length 0", lambda: planted.best_cosine(0 * X, X), "points nowhere"),
    ("directions in float16", lambda: planted.best_cosine(1e4 * X.half(), X), ".float()"),
    ("directions of another world", lambda: planted.best_cosine(X, X[:, :5]), "`true` is for 6"),
    ("components of nothing", lambda: planted.components(X[:0]), "`x` is empty"),
    ("no steps", lambda: planted.batches(WORLD, 0, number=0), "`steps` is 0"),
    (
        "a world of another size",
        lambda: planted.recovered(saes.ReLUSAE(5, 9), WORLD),
        "the SAE reads 5",
    ),
    (
        "parents of a world without",
        lambda: planted.parent_fires(sae(), WORLD),
        "make it by `families`",
    ),
]

BOARDS = [
    ("a corpus of no texts", lambda: dashboards.corpus([]), "`rows` is empty"),
    ("a corpus of words", lambda: dashboards.corpus([drawn(3)]), "give whole numbers"),
    ("tokens below 0", lambda: dashboards.corpus([torch.tensor([3, -1])]), "numbers below 0"),
    ("around token -1", lambda: TEXTS.around(-1), "There is no token -1"),
    ("0 tokens of some texts", lambda: dashboards.some(ROWS_OF_TOKENS, 0), "`n_tokens` is 0"),
    ("latent -1", lambda: active().of([-1]), "from 0 to 8"),
    ("latent 9", lambda: active().of([9]), "from 0 to 8"),
    ("latents as a mask", lambda: active().of(torch.ones(9) > 0), "whole numbers"),
    ("latents as floats", lambda: active().of([2.5]), "whole numbers"),
    ("activity of k = 10", lambda: dashboards.activity(sae().encode, X, k=10), "gave 9"),
    ("activity below 0", lambda: dashboards.activity(lambda x: -(x**2), X, k=1), "none below 0"),
    ("activity of NaN", lambda: dashboards.activity(sae().encode, nan_in(X), k=2), "all finite"),
    ("a split of no folder", lambda: dashboards.load_split("elsewhere", "reading"), "No activity"),
    (
        "a split called test",
        lambda: dashboards.load_split(ROOT / "data" / "sae" / "smollm2", "test"),
        "'reading' or 'held_out'",
    ),
    ("the effect of nothing", lambda: dashboards.logit_effect(0 * X[0], X[1], X.T), "nowhere"),
    ("another unembedding", lambda: dashboards.logit_effect(X[0], X[1], X), "`direction` 6"),
    ("nothing described", lambda: dashboards.describe([], SNIPS, list), "`active` is empty"),
    ("described beside nothing", lambda: dashboards.describe(SNIPS, [], list), "`others` is empty"),
    (
        "sorted by one example",
        lambda: dashboards.sort_snippets(SNIPS[:1], SNIPS, SNIPS, dashboards.RULES),
        "fewer than two",
    ),
    (
        "sorted by no rule",
        lambda: dashboards.sort_snippets(SNIPS, SNIPS, SNIPS, {}),
        "`rules` is empty",
    ),
    (
        "latent 9 ablated",
        lambda: dashboards.ablate_latent(model(), sae(), ROW, 9, layer=1),
        "from 0 to 8",
    ),
    (
        "ablated after the end",
        lambda: dashboards.ablate_latent(model(), sae(), ROW, 2, layer=3),
        "`layer` is 3",
    ),
    (
        "steered while it trains",
        lambda: dashboards.steer_and_read(
            Training(), sae(), ROW, 2, change=X[0], layer=1, write=None
        ),
        "training mode",
    ),
    ("the twin of seed -1", lambda: matched_random(model(), seed=-1), "`seed` is -1"),
]

LABELS = {"border": {1.0: 0.5}, "title": "t", "x_title": "x", "y_title": "y"}
MAP = {"kinds": ("one", "two"), "x": [1.0, 2.0], "y": [1.0]} | LABELS

EXPLORER = [
    ("latents of another dictionary", lambda: latents(d_sae=8), "has 8 latents, and `sae` has 9"),
    ("latents on other texts", lambda: latents(rows=2), "give a row for each token"),
    ("latents of layer 9", lambda: latents(layer=9), "this model has layers"),
    ("a card of latent 9", lambda: latents().card(9), "from 0 to 8"),
    ("a card of latent -1", lambda: latents().card(-1), "from 0 to 8"),
    ("a card of half a latent", lambda: latents().card(0.5), "from 0 to 8"),
    ("a card of no samples", lambda: latents().card(1, n=0), "`n` is 0"),
    ("words of latent 9", lambda: latents().words(9), "from 0 to 8"),
    ("a sentence of nothing", lambda: latents().read(" "), "is empty: type some words"),
    ("a search by nothing", lambda: latents().search(""), "is empty: type some words"),
    ("a search for no latents", lambda: latents().search("w1", 0), "`n` is 0"),
    ("a draw of too many", lambda: latents().draw(5, generator=seeded()), "are active at 20"),
    ("exploring nothing", lambda: explorer.explorer(latents(), text=""), "is empty: type"),
    ("questions about nothing", lambda: ask([]), "`latents` is empty"),
    ("questions about latent 9", lambda: ask([9]), "from 0 to 8"),
    ("questions with 4 examples", lambda: ask([1], n_examples=2), "from 3"),
    ("questions about a rare latent", lambda: ask([1]), "choose one with 1 and 5 or more"),
    ("a game of no rounds", lambda: explorer.blind_game([]), "`questions` is empty"),
]

FIGURES = [
    ("no arrows", lambda: figures.arrows({}, title="t"), "`panels` is empty"),
    ("arrows in space", lambda: figures.arrows({"a": drawn(4, 3)}, title="t"), "need a plane"),
    ("arrows of NaN", lambda: figures.arrows({"a": nan_in(drawn(4, 2))}, title="t"), "in 'a'"),
    (
        "a phase without a name",
        lambda: figures.phases(torch.tensor([[0, 2]]), **MAP),
        "cells hold 0 to 2",
    ),
    ("a map of other cells", lambda: figures.phases(torch.tensor([[0], [1]]), **MAP), "(1, 2)"),
    (
        "a phase at 0",
        lambda: figures.phases(torch.tensor([[0, 1]]), **MAP | {"x": [0.0, 1.0]}),
        "no place on a log axis",
    ),
    (
        "other densities",
        lambda: figures.dimensionalities(drawn(2, 3, 4), [0.5], per_feature=drawn(2, 3), title="t"),
        "`densities`",
    ),
    (
        "dimensionalities of NaN",
        lambda: figures.dimensionalities(
            nan_in(drawn(1, 3, 4)), [0.5], per_feature=drawn(1, 3), title="t"
        ),
        "NaN or infinity",
    ),
]

TRANSCODERS = [
    ("vectors of another size", lambda: Transcoder(6, 9, 6, k=2)(drawn(3, 5)), "give what its MLP"),
    ("a transcoder of no latents", lambda: Transcoder(6, 0, 6, k=2), "`d_latent` is 0"),
    (
        "an MLP that is not there",
        lambda: transcoders.harvest_mlp(model(), ROWS_OF_TOKENS, layer=3),
        "this model has layers",
    ),
    ("an MLP on no text", lambda: transcoders.harvest_mlp(model(), [], layer=0), "is empty"),
    (
        "a stand-in on no text",
        lambda: transcoders.losses_with_mlp(model(), [], {}, layer=0),
        "is empty",
    ),
]

CODER = diffing.Crosscoder(
    *(weight.detach() for weight in diffing.new_crosscoder(6, 8, generator=seeded()))
)
PAIR = diffing.planted_pair((0.1,), n=8, d_model=6, only=(1, 1), generator=seeded())

DIFFING = [
    ("activations of one model", lambda: diffing.encode(CODER, drawn(1, 4, 6)), "1 models"),
    ("activations without models", lambda: diffing.encode(CODER, drawn(4, 6)), "`x`"),
    (
        "a crosscoder's NaN",
        lambda: diffing.encode(CODER, nan_in(drawn(2, 4, 6))),
        "NaN or infinity",
    ),
    ("no tokens of a pair", lambda: diffing.draw_pair(PAIR, 0, generator=seeded()), "`n` is 0"),
    (
        "a pair with a probability of 2",
        lambda: diffing.draw_pair(PAIR, 5, p=2.0, generator=seeded()),
        "`p` is 2",
    ),
    (
        "a pair of few features",
        lambda: diffing.planted_pair((0.1, 0.2), n=4, generator=seeded()),
        "too few",
    ),
    (
        "a crosscoder's penalty below 0",
        lambda: diffing.crosscoder_loss(CODER, drawn(2, 4, 6), drawn(4, 8), penalty=-1.0),
        "`penalty` is -1",
    ),
    (
        "scaling of three models",
        lambda: diffing.latent_scaling(CODER, drawn(3, 4, 6), drawn(4, 8)),
        "3 models",
    ),
    ("a flat code", lambda: diffing.decode(CODER, drawn(8)), "`f`"),
    ("matching a flat code", lambda: diffing.matched_latents(CODER, PAIR, drawn(8)), "`f`"),
]

ROWS = DIFFING + TRANSCODERS + EXPLORER + FIGURES + DICTIONARIES + TOY_MODELS + WORLDS + BOARDS
