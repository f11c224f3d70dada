"""Bad input to `utils/features`, and to the data of its lessons."""

import functools
import json
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from tests.small_models import random_model
from utils.features import absorption, dashboards, figures, planted, shift
from utils.features import sae as saes
from utils.features import superposition as sp

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


def train(**how):
    return saes.train(saes.TopKSAE(6, 9, k=2), lambda step: X, **{"steps": 2} | how)


def with_b_dec(value: float) -> saes.SAE:
    found = saes.ReLUSAE(2, 3)
    found.b_dec.data[0] = value
    return found


def one_step_too_many():
    training = saes.Training(saes.ReLUSAE(6, 9), steps=1)
    training.step(X)
    training.step(X)


def streamed(harvest=None, rows=ROWS_OF_TOKENS, **how):
    given = {"d_in": 6, "batch_size": 4} | how
    return saes.Activations(harvest or (lambda part: X[: sum(map(len, part))]), rows, **given)


def nan_in(x: torch.Tensor) -> torch.Tensor:
    x = x.clone()
    x.view(-1)[0] = NAN
    return x


WORLD = planted.independent(8, 6, active=1, span=2, generator=seeded(1))
FAMILIES = planted.families(2, 3, 6, active=1, generator=seeded(1))
MARKED = shift.Marked(
    torch.arange(8) % 2,
    list("aabbccdd"),
    {kind: drawn(8, 20) for kind in ("stream", "latents", "dense", "random", "latent means")},
    {kind: drawn(8, 20) + 1 for kind in ("stream", "latents", "dense", "random", "latent means")},
)
TWO_AND_NONE = dashboards.corpus([torch.tensor([1, 5]), torch.arange(0), torch.tensor([1, 5])])
INSIDE = torch.tensor([True, False, True] * 3)
MEMBER = torch.arange(10) > 4
PILE = (X[:N], None, TEXTS)
losses = torch.tensor([1.0, 2.0])


def recovered(replaced=losses, clean=losses, ablated=losses + 3) -> float:
    return saes.loss_recovered(replaced, clean=clean, ablated=ablated)


SPARSE = partial(sp.sparse_features, batch_size=3, n=2, generator=seeded())
TOYS = sp.Trained(drawn(2, 3, 2), drawn(2, 3), drawn(0, 2, 3, 2))
HALF = torch.tensor([0.5, 0.5])


EVEN = torch.ones(2, 3)


def toys(density=HALF, importance=EVEN, **how):
    return sp.train_toys(density, importance, **{"dim": 2, "steps": 2} | how)


DICTIONARIES = [
    ("an SAE of no latents", lambda: saes.ReLUSAE(6, 0), "whole number from 1"),
    ("more active latents than there are", lambda: saes.TopKSAE(6, 9, k=10), "choose fewer"),
    ("no active latent", lambda: saes.TopKSAE(6, 9, k=0), "`k` is 0"),
    ("a negative price", lambda: saes.ReLUSAE(6, 9, l1=-1.0), "`l1` is -1.0"),
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
    ("no texts to stream", lambda: streamed(rows=[]), "`rows` is empty"),
    ("batches of 0", lambda: streamed(batch_size=0), "`batch_size` is 0"),
    ("more in a batch than there are", lambda: streamed(batch_size=50), "There is no batch of 50"),
    ("step -1", lambda: streamed()[-1], "`step` is -1"),
    ("vectors of another size streamed", lambda: streamed(d_in=5)[0], "`d_in`, 5"),
    ("vectors with BOS streamed", lambda: streamed(lambda part: X)[0], "none for BOS"),
    (
        "vectors that half precision cannot hold",
        lambda: streamed(lambda part: 1e5 * X[: sum(map(len, part))])[0],
        "half precision",
    ),
    ("scale -1", lambda: train(scale=-1.0), "`scale` is -1.0"),
    ("scale 0", lambda: train(scale=0.0), "`scale` is 0.0"),
    ("-5 steps", lambda: train(steps=-5), "`steps` is -5"),
    ("a negative rate", lambda: train(lr=-1e-3), "`lr` is -0.001"),
    ("the fall of a rate over twice the steps", lambda: train(fall=2.0), "at most 1"),
    ("latents dead after 0 steps", lambda: train(dead_after=0), "`dead_after` is 0"),
    (
        "NaN in training",
        lambda: saes.train(saes.ReLUSAE(6, 9), lambda step: nan_in(X), steps=2),
        "The loss of step 0 is nan",
    ),
    ("a step too many", one_step_too_many, "All 1 steps are done"),
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
    (
        "the density on other vectors",
        lambda: saes.random_density(X, 9, k=2, on=X[:, :3]),
        "`x` is for 6",
    ),
    (
        "a covariance that is not square",
        lambda: saes.gaussian(X, generator=seeded()),
        "a covariance is square",
    ),
    (
        "a covariance with NaN",
        lambda: saes.gaussian(nan_in(torch.eye(3)), generator=seeded()),
        "`covariance` holds NaN",
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
    ("losses at density 2", lambda: sp.two_in_one_losses(torch.tensor([2.0]), HALF), "holds 2"),
    (
        "one density, two importances",
        lambda: sp.two_in_one_losses(torch.tensor([0.5]), HALF),
        "2 entries, and `density` 1",
    ),
    ("a negative importance", lambda: sp.two_in_one_losses(HALF, -HALF), "at least 0"),
    ("toys without their axis", lambda: sp.dimensionality(drawn(3, 2)), "give 3 axes"),
    ("toys with NaN", lambda: sp.dimensionality(nan_in(drawn(1, 3, 2))), "NaN or infinity"),
    ("feature -1", lambda: sp.read_out(X, torch.tensor([[0, -1]])), "whole numbers from 0 to 19"),
    ("feature 20", lambda: sp.read_out(X, torch.tensor([[20]])), "whole numbers from 0 to 19"),
    ("a feature twice", lambda: sp.read_out(X, torch.tensor([[4, 0, 4]])), "twice in one draw"),
    ("a feature without a neuron", lambda: sp.shared_abs(X, torch.zeros(6, 3)), "without a neuron"),
    ("wires of 1/2", lambda: sp.shared_abs(X, torch.full((6, 3), 0.5)), "+1, -1 and 0"),
    (
        "a target that never varies",
        lambda: sp.relative_error(drawn(1, 5, 2), torch.ones(1, 5, 2)),
        "never varies",
    ),
    ("one importance for two toys", lambda: toys(importance=torch.ones(1, 3)), "`density` 2"),
    ("toys of 0 dimensions", lambda: toys(dim=0), "`dim` is 0"),
    ("toys that take no steps", lambda: toys(steps=0), "`steps` is 0"),
    ("a step to keep beyond the last", lambda: toys(keep=[3]), "there are 2 steps"),
    (
        "directions of length 2",
        lambda: sp.fit_scale_and_bias(torch.full((2, 3, 1), 2.0), HALF, steps=2),
        "not of length 1",
    ),
    (
        "the exact loss of three features",
        lambda: sp.exact_pair_loss(drawn(2, 3, 1), drawn(2, 3), HALF, torch.ones(2, 3)),
        "the sum is over pairs",
    ),
    (
        "more wires than neurons",
        lambda: sp.random_wiring(3, 4, each=5, generator=seeded()),
        "there are 4 neurons",
    ),
    (
        "one density for two trained toys",
        lambda: sp.loss_shares(TOYS, HALF[:1], torch.ones(3)),
        "there are 2 toys",
    ),
    ("errors of other toys", lambda: sp.fresh_errors(TOYS, HALF[:1]), "there are 2 toys"),
    ("near to nothing", lambda: sp.share_near(HALF), "`targets` is empty"),
    ("a share of no values", lambda: sp.share_near(HALF[:0], 0.5), "`values` is empty"),
    ("readings that are all one", lambda: sp.line_error(torch.ones(2, 3), drawn(2, 3)), "no line"),
    (
        "more active than there are",
        lambda: sp.reading(X, 21, draws=2, generator=seeded()),
        "has 20",
    ),
    ("no draws", lambda: sp.pursuit(X, 2, draws=0, generator=seeded()), "`draws` is 0"),
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
    ("one reconstruction for all", lambda: planted.output_scale(X, X[:1]), "`x` (20, 6)"),
    (
        "always the mean",
        lambda: planted.output_scale(X, X.mean(0).expand(20, 6)),
        "no length to compare",
    ),
    ("quarters of 6 features", lambda: planted.by_quarter(drawn(2, 6)), "cut into quarters"),
    (
        "a world of another size",
        lambda: planted.recovery(saes.ReLUSAE(5, 9), WORLD, generator=seeded()),
        "the SAE reads 5",
    ),
    ("an SAE for two worlds", lambda: planted.recovery_in_all([sae()], [WORLD] * 2), "`saes` 1"),
    ("no SAEs", lambda: planted.recovery_in_all([], []), "`saes` is empty"),
    ("families of a world without", lambda: planted.family_parts(WORLD), "make it by `families`"),
    (
        "training in another world",
        lambda: planted.fit(saes.ReLUSAE(5, 9), WORLD, number=0),
        "the SAE reads 5",
    ),
    ("a training in no world", lambda: planted.fit_in_all(sae, []), "`worlds` is empty"),
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
    ("activity at 0 and 1", lambda: active().at(torch.ones(N).long()), "True and False"),
    ("activity at other tokens", lambda: active().at(torch.ones(4) > 0), "for 9 tokens"),
    ("rebuilt by others", lambda: active().rebuilt(drawn(10, 6), X[0]), "10 directions for 9"),
    ("activity of k = 10", lambda: dashboards.activity(sae().encode, X, k=10), "gave 9"),
    ("activity below 0", lambda: dashboards.activity(lambda x: -(x**2), X, k=1), "none below 0"),
    ("activity of NaN", lambda: dashboards.activity(sae().encode, nan_in(X), k=2), "all finite"),
    ("0 examples", lambda: dashboards.top_examples(X[:N, 0], TEXTS.text, 0), "`n` is 0"),
    ("examples of NaN", lambda: dashboards.top_examples(nan_in(X[:N, 0]), TEXTS.text, 2), "NaN"),
    ("examples elsewhere", lambda: dashboards.top_examples(X[:4, 0], TEXTS.text, 2), "`acts` 4"),
    ("the effect of nothing", lambda: dashboards.logit_effect(0 * X[0], X[1], X.T), "nowhere"),
    ("another unembedding", lambda: dashboards.logit_effect(X[0], X[1], X), "`direction` 6"),
    ("nearest to latent -1", lambda: dashboards.nearest_latents(X, -1, 2), "from 0 to 19"),
    ("all as nearest", lambda: dashboards.nearest_latents(X, 0, 20), "19 others"),
    ("nearest to 20", lambda: dashboards.nearest_cosines(X, torch.tensor([20])), "from 0 to 19"),
    (
        "a mean by groups in a tensor",
        lambda: dashboards.mean_interval(HALF, groups=torch.arange(len(HALF)) // 2),
        "give a list",
    ),
    ("the mean of nan alone", lambda: dashboards.mean_interval(torch.tensor([NAN])), "no number"),
    (
        "groups of others",
        lambda: dashboards.mean_interval(HALF, groups=[1, 2, 3]),
        "3 entries, and `values` 2",
    ),
    (
        "shares of other tokens",
        lambda: dashboards.token_share(X[:N], TEXTS.tokens, X, TEXTS.tokens),
        "9 entries, and `acts` 20",
    ),
    (
        "tokens of -1",
        lambda: dashboards.token_share(X[:N], TEXTS.tokens - 2, X[:N], TEXTS.tokens),
        "numbers below 0",
    ),
    ("a kind of its own", lambda: dashboards.keys(TEXTS, "the next token"), "choose from 'this"),
    (
        "gains of numbers",
        lambda: dashboards.key_gains(torch.ones(N), TEXTS.tokens),
        "as in `x > 0`",
    ),
    ("described by 0 ids", lambda: dashboards.describe(INSIDE[:, None], TEXTS, n_ids=0), "is 0"),
    (
        "described on one text",
        lambda: dashboards.describe(INSIDE[:4, None], dashboards.corpus(ROWS_OF_TOKENS[:1])),
        "is one text",
    ),
    (
        "described by no kinds",
        lambda: dashboards.describe(INSIDE[:, None], TEXTS, kinds=()),
        "`kinds` is empty",
    ),
    ("said of others", lambda: dashboards.balanced_accuracy(INSIDE[:3], INSIDE), "`said` 3"),
    (
        "scores of other latents",
        lambda: dashboards.score_latents(X[:N], TEXTS, X[:N, :4], TEXTS),
        "`fit_acts` is for 6",
    ),
    (
        "latents of another dictionary",
        lambda: dashboards.drawn(active(), active()._replace(d_sae=8), 3),
        "is of 8 latents",
    ),
    (
        "latents that are never so active",
        lambda: dashboards.drawn(active(), active(), 3, least=(99, 99)),
        "ask for fewer",
    ),
    (
        "texts that share no token",
        lambda: dashboards.explained_by_token(
            X[:N], TEXTS, X[:N], TEXTS._replace(tokens=TEXTS.tokens + 50)
        ),
        "there is nothing to predict",
    ),
    ("the shape of one vector", lambda: dashboards.shaped_directions(X[:1], 3), "two or more"),
    (
        "a draw of shapes",
        lambda: dashboards.matched_directions(X, X, HALF, draw="shapes"),
        "choose from 'all alike', 'shaped', 'one vector'",
    ),
    ("a density of 3", lambda: dashboards.matched_directions(X, X, 6 * HALF), "holds 3"),
    (
        "more directions than vectors",
        lambda: dashboards.matched_directions(X[:2], X, torch.full((3,), 0.5), draw="one vector"),
        "there are 2 for 3",
    ),
    (
        "a dictionary of fewer vectors",
        lambda: dashboards.untrained_dictionary(sae(), X[:8], of_vectors=True),
        "`x` has 8",
    ),
    ("a mean of one number", lambda: dashboards.untrained_dictionary(sae(), X[:, :1]), "for 6"),
    (
        "piles exchanged",
        lambda: dashboards.dashboard(
            model(), sae(), (X[:N], X[:4]), (TEXTS, TEXTS), ["w"] * model().cfg.d_vocab
        ),
        "[9, 4] rows for piles of [9, 9]",
    ),
    (
        "a short vocabulary",
        lambda: dashboards.dashboard(model(), sae(), (X[:N], X[:N]), (TEXTS, TEXTS), ["w"]),
        "1 texts for 40",
    ),
    ("the least of a text", lambda: dashboards.by_text(active(), TEXTS, how="min"), "'max' or"),
    ("the mean of other texts", lambda: dashboards.average(X, TEXTS), "a row for each token"),
    (
        "an empty text",
        lambda: dashboards.average(X[:4], TWO_AND_NONE),
        "no token of text 1",
    ),
    (
        "no key to name",
        lambda: dashboards.named_by_one_map(X, -torch.ones(20).long(), X, torch.ones(20).long(), X),
        "-1 everywhere",
    ),
    (
        "sequences that do not divide the tokens",
        lambda: dashboards.second_half(active(), 4, sequences=slice(1)),
        "does not divide 9",
    ),
    (
        "no sequences",
        lambda: dashboards.second_half(active(), 3, sequences=slice(0)),
        "none of 3 sequences",
    ),
    ("one sequence", lambda: dashboards.copying_latents(active(), active(), n=1), "`n` is 1"),
    (
        "more copying latents than there are",
        lambda: dashboards.copying_latents(active(), active(), n=3, top=10),
        "there are 9 latents",
    ),
    ("no token to copy", lambda: dashboards.copying_sequences(torch.arange(0)), "`ids` is empty"),
    (
        "steering at layer -1",
        lambda: dashboards.steering_rivals(model(), sae(), "sea", layer=-1),
        "layers 0 to 3",
    ),
    (
        "steering by nothing",
        lambda: dashboards.steered_pairs(
            model(), {("sea", "none"): torch.zeros(32)}, dose=0.3, layer=1
        ),
        "points nowhere",
    ),
    (
        "a dose of 0",
        lambda: dashboards.steered_pairs(model(), {("sea", "x"): drawn(32)}, dose=0, layer=1),
        "`dose` is 0",
    ),
]

FAMILIES_OF_TOKENS = [
    ("F1 of numbers", lambda: absorption.f1(torch.ones(9), INSIDE), "True and False"),
    (
        "the best latent of nothing",
        lambda: absorption.best_latent(active(), INSIDE & False),
        "False everywhere",
    ),
    (
        "the best latent at others",
        lambda: absorption.best_latent(active(), INSIDE[:4]),
        "4 entries for 9 tokens",
    ),
    (
        "a family of all tokens",
        lambda: absorption.family(MEMBER | True, PILE, PILE, drawn(9, 6)),
        "give texts with the family and others",
    ),
    (
        "a family of too few ids",
        lambda: absorption.family(MEMBER[:5], PILE, PILE, drawn(9, 6)),
        "ids up to 9",
    ),
    (
        "parent -1",
        lambda: absorption.family(
            MEMBER, (X[:N], active(), TEXTS), (X[:N], active(), TEXTS), drawn(9, 6), parent=-1
        ),
        "`parent` is -1",
    ),
    (
        "absorption from latent 9",
        lambda: absorption.absorb(active(), 9, INSIDE, drawn(9, 6)),
        "from 0 to 8",
    ),
    (
        "the recall of token -1",
        lambda: absorption.recall_by_token(INSIDE, TEXTS.tokens, torch.tensor([-1])),
        "numbers below 0",
    ),
    ("at least 0 times", lambda: absorption.common(TEXTS.tokens, least=0), "`least` is 0"),
]

SHIFTS = [
    ("more columns than there are", lambda: shift.choose_columns(X, Y, 7), "`x` has 6"),
    ("columns of one class", lambda: shift.choose_columns(X, 0 * Y, 2), "rows of both labels"),
    ("columns of classes 1 and 2", lambda: shift.choose_columns(X, Y + 1, 2), "labels, 0 and 1"),
    ("columns with NaN", lambda: shift.choose_columns(nan_in(X), Y, 2), "`x` holds NaN"),
    ("columns of other rows", lambda: shift.choose_columns(X[:4], Y, 2), "and `x` 4"),
    ("a penalty of 0", lambda: shift.sparse_probe(X, Y, k=2, C=0), "`C` is 0"),
    ("whitened by one class", lambda: shift.whitened(X, 0 * Y + 1), "rows of both labels"),
    ("whitened in float16", lambda: shift.whitened(X.half(), Y), ".float()"),
    ("a rival that is none", lambda: MARKED.accuracy("2 latents", 0.5), "choose from 'stream'"),
    ("a shift of 9", lambda: MARKED.accuracy("stream", 9.0), "`p` is 9.0"),
    ("0 splits", lambda: MARKED.accuracy("stream", 0.9, splits=0), "`splits` is 0"),
    ("the columns of a dense rival", lambda: MARKED.sign("stream", 0.9), "chooses no columns"),
    (
        "no marker",
        lambda: shift.marked_texts(None, ROWS_OF_TOKENS, Y[:0], Y[:3], list("abc"), None),
        "`marker` is empty",
    ),
    (
        "labels of other texts",
        lambda: shift.marked_texts(None, ROWS_OF_TOKENS, Y[:2], Y[:2], list("abc"), None),
        "2 entries, and `rows` 3",
    ),
]

LABELS = {"rows": ["1"], "columns": ["x", "y"], "title": "t", "x": "x", "y": "y"}

FIGURES = [
    ("no arrows", lambda: figures.arrows({}, title="t"), "`panels` is empty"),
    ("arrows in space", lambda: figures.arrows({"a": drawn(4, 3)}, title="t"), "need a plane"),
    ("arrows of NaN", lambda: figures.arrows({"a": nan_in(drawn(4, 2))}, title="t"), "in 'a'"),
    (
        "a phase without a name",
        lambda: figures.phases({"a": torch.tensor([[0, 2]])}, kinds=("one", "two"), **LABELS),
        "cells hold 0 to 2",
    ),
    (
        "a map of other cells",
        lambda: figures.phases({"a": torch.tensor([[0], [1]])}, kinds=("one", "two"), **LABELS),
        "(1, 2)",
    ),
]

ROWS = FIGURES + DICTIONARIES + TOY_MODELS + WORLDS + BOARDS + FAMILIES_OF_TOKENS + SHIFTS
