"""Bad input to lessons 00 to 1.5: `utils/circuits`, `data/ioi`, `data/wired`.

Sweeps and single patches have rows of their own, in `patching.py`.
"""

import contextlib
import io
import tempfile
from functools import cache
from types import SimpleNamespace

import torch

from data.ioi import task as ioi
from data.wired import make as wired
from tests.small_models import random_model
from utils.circuits import attribution, composition, discovery, figures, induction, residual
from utils.heads import ablated
from utils.models import load

NAN = float("nan")


@cache
def toy():
    """Three layers of four heads, attention alone."""
    with contextlib.redirect_stdout(io.StringIO()):
        return load("wired/names", device="cpu")


@cache
def grouped():
    """Three layers of four heads, two of which share their keys and values, and MLPs."""
    return random_model("llama", tempfile.mkdtemp())


@cache
def padding():
    """The same, with a tokenizer that pads with token 0."""
    model = random_model("llama", tempfile.mkdtemp())
    model.tokenizer.pad_token = "w0"
    return model


TOKENS = torch.tensor([[0, 2, 3, 3, 1], [0, 4, 5, 5, 1]])
SOURCE = torch.tensor([[0, 2, 3, 6, 1], [0, 4, 5, 7, 1]])


def metric(logits):
    return logits[:, -1, 2] - logits[:, -1, 3]


def kept():
    return attribution.keep_before_last(grouped(), TOKENS)


def each_head(kept_=None, metric=metric, layers=(0,)):
    return attribution.effects_of_each_head(grouped(), kept_ or kept(), metric, layers=layers)


def edges(tokens=TOKENS, **settings):
    settings = {"source": SOURCE, "metric": metric} | settings
    return discovery.edge_attribution(toy(), tokens, **settings)


def patched(edge_sets=((("L0H0", "L1H0.v"),),), model=toy, tokens=TOKENS, **settings):
    settings = {"source": SOURCE, "metric": metric, "edge_sets": edge_sets} | settings
    return discovery.patched_edges(model(), tokens, **settings)


def circuit(circuits=([(0, 0)],), tokens=TOKENS, fill=None, metric=metric, **settings):
    fill = torch.zeros(3, 1, 5, 4, 16) if fill is None else fill
    return discovery.circuit_values(
        toy(), tokens, circuits=circuits, fill=fill, metric=metric, **settings
    )


def in_training(call, model=toy):
    model().train()
    try:
        return call()
    finally:
        model().eval()


def hooked(call, model=toy):
    with ablated(model(), [(0, 1)]):
        return call()


def cache_of(n_layers: int, *more: str) -> dict:
    names = [f"blocks.{i}.hook_{kind}" for i in range(n_layers) for kind in ("attn_out", "mlp_out")]
    return {name: torch.ones(1, 2, 4) for name in ("hook_embed", *names, *more)}


def repeated(seq_len=3, **settings):
    settings = {"batch": 2, "d_vocab": 9, "bos": 0, "n_special": 1} | settings
    return induction.repeated_tokens(seq_len, **settings, generator=torch.Generator())


@cache
def one_layer():
    with contextlib.redirect_stdout(io.StringIO()):
        return load("induction/one_layer/step_00000", device="cpu")


def path(**settings):
    change = torch.zeros(*TOKENS.shape, toy().cfg.d_model)
    settings = {"change": change, "layers": [1]} | settings
    return composition.path_hooks(toy(), TOKENS, **settings)


def prompts(n=2, **settings):
    return ioi.prompts(grouped(), n, generator=torch.Generator(), **settings)


def of_prompts(logits):
    ids = torch.tensor([1, 2, 3])
    made = ioi.Prompts(ids[:, None], ids, ids, {}, (), ids)
    return made.logit_diff(logits)


def graph_of(**change):
    model = SimpleNamespace(parallel_attn_mlp=False, n_layers=1, n_heads=1)
    hooks = change.pop("hooks", {})
    model.__dict__.update(change)
    return discovery.graph(SimpleNamespace(cfg=model, hook_dict=hooks))


def added(parts) -> float:
    return float(len(list(parts)))


def drawn(*edge):
    return figures.circuit_graph({"found": [edge]}, n_layers=2, n_heads=2, title="t")


X = torch.ones(2, 4)
PARTS = torch.ones(3, 2, 4)
SCALE = torch.ones(2)
Z = torch.ones(2, 5, 3, 4)
LOGITS = torch.ones(2, 7, 9)
IDS = torch.ones(2, 7, dtype=torch.long)
PATTERN = torch.full((2, 3, 7, 7), 1 / 7)
D, G, ALLOWED = torch.ones(3, 2, 5, 4), torch.ones(6, 2, 5, 4), torch.ones(3, 6, dtype=torch.bool)
SQUARE = torch.ones(4, 4)

ROWS = [
    # ---- The residual stream
    ("answer_token with its space", lambda: residual.answer_token(grouped(), " w1"), "without the"),
    (
        "answer_token of an empty word",
        lambda: residual.answer_token(grouped(), ""),
        "give one word",
    ),
    ("answer_token of an id", lambda: residual.answer_token(grouped(), 7), "give one word"),
    ("residual_parts of no layers", lambda: residual.residual_parts(cache_of(2), 0), "from 1"),
    ("residual_parts of -1 layers", lambda: residual.residual_parts(cache_of(2), -1), "from 1"),
    (
        "residual_parts of too many layers",
        lambda: residual.residual_parts(cache_of(2), 3),
        "has no 'blocks.2.hook_attn_out'",
    ),
    (
        "residual_parts without the embedding",
        lambda: residual.residual_parts(
            {"blocks.0.hook_attn_out": X, "blocks.0.hook_mlp_out": X}, 1
        ),
        "has no 'hook_embed'",
    ),
    (
        "residual_parts of attention alone",
        lambda: residual.residual_parts(toy().run_with_cache(TOKENS)[1], 3),
        "position embeddings too",
    ),
    (
        "residual_parts with position embeddings",
        lambda: residual.residual_parts(cache_of(1, "hook_pos_embed"), 1),
        "decompose_resid",
    ),
    ("cache_bytes of a list", lambda: residual.cache_bytes({"z": [1.0]}), "no tensor under 'z'"),
    (
        "logit_lens of another width",
        lambda: residual.logit_lens(torch.ones(2, 3), torch.nn.Identity(), X.T),
        "`W_U` reads 4",
    ),
    (
        "logit_lens with W_U transposed",
        lambda: residual.logit_lens(X, torch.nn.Identity(), torch.ones(9, 4)),
        "`W_U` reads 9",
    ),
    ("a temperature below 0", lambda: residual.token_probabilities(X, -0.5), "at least 0"),
    ("a temperature that is NaN", lambda: residual.token_probabilities(X, NAN), "at least 0"),
    ("an infinite temperature", lambda: residual.token_probabilities(X, 1e999), "at least 0"),
    ("NaN logits", lambda: residual.token_probabilities(NAN * X, 0.0), "holds NaN"),
    ("logits of whole numbers", lambda: residual.token_probabilities(IDS, 1.0), "give a float"),
    ("no logits", lambda: residual.token_probabilities(X[:, :0], 1.0), "give a float"),
    # ---- Induction
    ("repeated_tokens of length 0", lambda: repeated(0), "`seq_len` is 0"),
    ("repeated_tokens of half a token", lambda: repeated(2.5), "`seq_len` is 2.5"),
    ("repeated_tokens of no rows", lambda: repeated(batch=0), "`batch` is 0"),
    ("repeated_tokens of special tokens alone", lambda: repeated(n_special=9), "above `n_special`"),
    ("repeated_tokens from below 0", lambda: repeated(n_special=-1), "`n_special` is -1"),
    ("BOS outside the vocabulary", lambda: repeated(bos=9), "from 0 to 8"),
    ("BOS below 0", lambda: repeated(bos=-1), "from 0 to 8"),
    (
        "loss_by_half without BOS",
        lambda: induction.loss_by_half(LOGITS[:, 1:], IDS[:, 1:]),
        "has 6 positions",
    ),
    (
        "loss_by_half of halves of one token",
        lambda: induction.loss_by_half(LOGITS[:, :3], IDS[:, :3]),
        "two tokens or more",
    ),
    (
        "loss_by_half of other tokens",
        lambda: induction.loss_by_half(LOGITS, IDS[:, :5]),
        "and `logits` (2, 7, 9)",
    ),
    (
        "loss_by_half of a row too few",
        lambda: induction.loss_by_half(LOGITS, IDS[:1]),
        "and `logits` (2, 7, 9)",
    ),
    ("loss_by_half of high ids", lambda: induction.loss_by_half(LOGITS, IDS + 8), "from 0 to 8"),
    ("loss_by_half of ids below 0", lambda: induction.loss_by_half(LOGITS, IDS - 2), "from 0 to 8"),
    ("loss_by_half of a single row", lambda: induction.loss_by_half(LOGITS[0], IDS[0]), "3 axes"),
    (
        "previous_token_scores of scores before the softmax",
        lambda: induction.previous_token_scores(PATTERN - 1),
        "after the softmax",
    ),
    (
        "previous_token_scores of NaN",
        lambda: induction.previous_token_scores(NAN * PATTERN),
        "after the softmax",
    ),
    (
        "previous_token_scores of one head",
        lambda: induction.previous_token_scores(PATTERN[0]),
        "[batch, head, query, key]",
    ),
    (
        "previous_token_scores of one position",
        lambda: induction.previous_token_scores(PATTERN[..., :1, :1]),
        "two positions or more",
    ),
    (
        "previous_token_scores of some queries",
        lambda: induction.previous_token_scores(PATTERN[:, :, 2:]),
        "of a whole run",
    ),
    (
        "previous_token_scores of no texts",
        lambda: induction.previous_token_scores(PATTERN[:0]),
        "after the softmax",
    ),
    (
        "induction_scores of another length",
        lambda: induction.induction_scores(PATTERN, 4),
        "has 7 positions",
    ),
    (
        "induction_scores of the whole length",
        lambda: induction.induction_scores(PATTERN, 7),
        "not 1 + 2 * that",
    ),
    (
        "induction_scores of length -3",
        lambda: induction.induction_scores(PATTERN, -3),
        "whole number from 2",
    ),
    # ---- Composition and paths
    ("own_token_rank of NaN", lambda: composition.own_token_rank(NAN * SQUARE), "NaN"),
    ("own_token_rank of one token", lambda: composition.own_token_rank(X[:1, :1]), "give a square"),
    ("own_token_rank of a factor", lambda: composition.own_token_rank(X), "give a square"),
    (
        "circuit_tables of one layer",
        lambda: composition.circuit_tables(one_layer(), composition.own_token_rank),
        "has 1 layer",
    ),
    ("removal of one text", lambda: composition.removal(toy(), TOKENS[0], (0, 0)), "give 2 axes"),
    ("removal of no head", lambda: composition.removal(toy(), TOKENS, (0, 9)), "heads 0 to 3"),
    ("removal of no layer", lambda: composition.removal(toy(), TOKENS, (3, 0)), "layers 0 to 2"),
    ("removal of a number", lambda: composition.removal(toy(), TOKENS, 3), "of type int"),
    ("path_hooks into o", lambda: path(into="o"), "give 'q', 'k' or 'v'"),
    ("path_hooks without layers", lambda: path(layers=[]), "is empty"),
    ("path_hooks of no layer", lambda: path(layers=[1, 3]), "layers 0 to 2"),
    ("path_hooks of another change", lambda: path(change=torch.ones(2, 5, 3)), "give (2, 5,"),
    ("path_hooks with NaN", lambda: path(change=NAN * torch.ones(2, 5, 57)), "NaN"),
    (
        "size_matched of NaN",
        lambda: composition.size_matched(NAN * PARTS, generator=torch.Generator()),
        "NaN",
    ),
    (
        "size_matched of nothing",
        lambda: composition.size_matched(PARTS[:0], generator=torch.Generator()),
        "is empty",
    ),
    (
        "direct_copying of even length",
        lambda: composition.direct_copying(grouped(), TOKENS[:, :4], [0]),
        "two equal halves",
    ),
    (
        "direct_copying of no layers",
        lambda: composition.direct_copying(grouped(), TOKENS, []),
        "is empty",
    ),
    (
        "direct_copying of no layer",
        lambda: composition.direct_copying(grouped(), TOKENS, [3]),
        "layers 0 to 2",
    ),
    (
        "training_slider of other steps",
        lambda: figures.training_slider(
            {"a": PATTERN[0]}, steps=[1, 2], tokens=list("abcdefg"), title="t"
        ),
        "give (2, 7, 7)",
    ),
    (
        "training_slider of other tokens",
        lambda: figures.training_slider(
            {"a": PATTERN[0]}, steps=[1, 2, 3], tokens=list("ab"), title="t"
        ),
        "give (3, 2, 2)",
    ),
    (
        "training_slider of nothing",
        lambda: figures.training_slider({}, steps=[1], tokens=["a"], title="t"),
        "is empty",
    ),
    (
        "training_slider of a text",
        lambda: figures.training_slider({"a": PATTERN[0]}, steps=[1], tokens="abcdefg", title="t"),
        "give a list",
    ),
    # ---- Attribution
    (
        "logit_diff of a token below 0",
        lambda: attribution.logit_diff(LOGITS, IDS[0, :2] - 2, IDS[0, :2]),
        "from 0 to 8",
    ),
    (
        "logit_diff of a token too high",
        lambda: attribution.logit_diff(LOGITS, IDS[0, :2], IDS[0, :2] + 8),
        "from 0 to 8",
    ),
    (
        "logit_diff of the last position alone",
        lambda: attribution.logit_diff(LOGITS[:, -1], IDS[0, :2], IDS[0, :2]),
        "give 3 axes",
    ),
    (
        "logit_diff_direction of a token too high",
        lambda: attribution.logit_diff_direction(X.T, SCALE.repeat(2), IDS[0, :2], IDS[0, :2] + 1),
        "from 0 to 1",
    ),
    (
        "logit_diff_direction with one weight",
        lambda: attribution.logit_diff_direction(X.T, SCALE[:1], IDS[0, :2], IDS[0, :2]),
        "has 1 entries, and `W_U` 4",
    ),
    ("norm_scale below the root of 0", lambda: attribution.norm_scale(X, -2.0), "at least 0"),
    ("norm_scale of whole numbers", lambda: attribution.norm_scale(IDS, 1e-5), "give floats"),
    ("join_runs of none", lambda: attribution.join_runs([]), "is empty"),
    (
        "join_runs with a name too few",
        lambda: attribution.join_runs([{"z": X, "q": X}, {"z": X}]),
        "'q' is not in each",
    ),
    (
        "join_runs with a name too many",
        lambda: attribution.join_runs([{"z": X}, {"z": X, "q": X}]),
        "'q' is not in each",
    ),
    (
        "join_runs of a mean",
        lambda: attribution.join_runs([{"loss": X.sum()}, {"loss": X.sum()}]),
        "give one a prompt",
    ),
    (
        "direct_logit_attribution of one prompt for all",
        lambda: attribution.direct_logit_attribution(PARTS[:, :1], X, SCALE),
        "must end in (2, 4)",
    ),
    (
        "direct_logit_attribution of another width",
        lambda: attribution.direct_logit_attribution(PARTS[..., :1], X, SCALE),
        "must end in (2, 4)",
    ),
    (
        "direct_logit_attribution at all positions",
        lambda: attribution.direct_logit_attribution(torch.ones(3, 2, 2, 4), X, SCALE),
        "give 3 axes",
    ),
    (
        "direct_logit_attribution on a scale of 0",
        lambda: attribution.direct_logit_attribution(PARTS, X, 0 * SCALE),
        "above 0",
    ),
    (
        "direct_logit_attribution on a scale below 0",
        lambda: attribution.direct_logit_attribution(PARTS, X, -SCALE),
        "above 0",
    ),
    (
        "direct_logit_attribution on a scale of NaN",
        lambda: attribution.direct_logit_attribution(PARTS, X, NAN * SCALE),
        "above 0",
    ),
    (
        "head_outputs of one head's W_O",
        lambda: attribution.head_outputs(Z[:, 0], torch.ones(1, 4, 6)),
        "must begin with (3, 4)",
    ),
    (
        "head_outputs at all positions",
        lambda: attribution.head_outputs(Z, torch.ones(3, 4, 6)),
        "give 3 axes",
    ),
    (
        "head_attributions of fewer layers",
        lambda: attribution.head_attributions(Z, torch.ones(1, 3, 4, 6), torch.ones(5, 6), SCALE),
        "and `z` 2",
    ),
    (
        "predicted_effect of one direction for all",
        lambda: attribution.predicted_effect(X, X[:1], SCALE),
        "and `written` (2, 4)",
    ),
    (
        "predicted_effect of all heads",
        lambda: attribution.predicted_effect(PARTS, X, SCALE),
        "give 2 axes",
    ),
    (
        "ablation_split of fewer parts after",
        lambda: attribution.ablation_split(PARTS, PARTS[:1], X, SCALE, SCALE),
        "and `before` (3, 2, 4)",
    ),
    (
        "ablation_split with one scale for all",
        lambda: attribution.ablation_split(PARTS, PARTS, X, SCALE, SCALE[:1]),
        "and `direction` 2",
    ),
    (
        "ablation_split on a scale of 0",
        lambda: attribution.ablation_split(PARTS, PARTS, X, 0 * SCALE, SCALE),
        "above 0",
    ),
    (
        "keep_before_last in training mode",
        lambda: in_training(kept, grouped),
        "in training mode",
    ),
    ("keep_before_last under a hook", lambda: hooked(kept, grouped), "A hook is at work"),
    (
        "keep_before_last of a model that keeps nothing",
        lambda: attribution.keep_before_last(toy(), TOKENS),
        "keeps no keys and values",
    ),
    (
        "keep_before_last of padded prompts",
        lambda: attribution.keep_before_last(padding(), torch.tensor([[1, 2, 3], [0, 0, 3]])),
        "padded",
    ),
    (
        "circuit_values of padded prompts",
        lambda: discovery.circuit_values(
            padding(),
            torch.tensor([[1, 2, 3], [4, 0, 0]]),
            circuits=[[]],
            fill=torch.zeros(3, 1, 3, 4, 8),
            metric=metric,
        ),
        "padded",
    ),
    (
        "edge_attribution of padded prompts",
        lambda: discovery.edge_attribution(
            padding(),
            torch.tensor([[1, 2, 3], [4, 0, 0]]),
            source=torch.tensor([[1, 2, 4], [5, 0, 0]]),
            metric=metric,
        ),
        "padded",
    ),
    (
        "head_z of padded prompts",
        lambda: discovery.head_z(padding(), torch.tensor([[1, 2, 3], [4, 0, 0]])),
        "padded",
    ),
    (
        "keep_before_last of floats",
        lambda: attribution.keep_before_last(grouped(), TOKENS.float()),
        "must be token ids",
    ),
    (
        "run_last without a head that is not there",
        lambda: attribution.run_last(grouped(), kept(), heads=[(1, 4)]),
        "There is no L1H4",
    ),
    (
        "run_last without a head of layer -1",
        lambda: attribution.run_last(grouped(), kept(), heads=[(-1, 0)]),
        "layers 0 to 2",
    ),
    (
        "run_last without a head, of one prompt",
        lambda: attribution.run_last(
            grouped(), attribution.keep_before_last(grouped(), TOKENS[:1]), heads=[(0, 0)]
        ),
        "keep several prompts",
    ),
    (
        "effects_of_each_head of one prompt",
        lambda: each_head(attribution.keep_before_last(grouped(), TOKENS[:1])),
        "keep several prompts",
    ),
    ("effects_of_each_head in layer 3", lambda: each_head(layers=[1, 3]), "layers 0 to 2"),
    ("effects_of_each_head in layer -1", lambda: each_head(layers=[-1]), "layers 0 to 2"),
    ("effects_of_each_head in no layer", lambda: each_head(layers=[]), "is empty"),
    (
        "effects_of_each_head on a mean",
        lambda: each_head(metric=lambda logits: metric(logits).mean()),
        "one number for each of the 2 prompts",
    ),
    (
        "effects_of_each_head on NaN",
        lambda: each_head(metric=lambda logits: NAN * metric(logits)),
        "the metric is nan",
    ),
    # ---- Edges
    (
        "the graph of a model with layers side by side",
        lambda: graph_of(parallel_attn_mlp=True),
        "side by side",
    ),
    (
        "the graph of a model with norms behind its layers",
        lambda: graph_of(hooks={"blocks.0.ln1_post.hook_out": None}),
        "normalised once more",
    ),
    (
        "scores of another graph",
        lambda: discovery.graph(toy()).score_of(torch.ones(3, 6)),
        "13 writers and 37 readers",
    ),
    (
        "scores of a graph, transposed",
        lambda: discovery.graph(toy()).score_of(torch.ones(37, 13)),
        "have shape [37, 13]",
    ),
    (
        "edge_attribution_scores of one prompt's gradient",
        lambda: discovery.edge_attribution_scores(D, G[:, :1], ALLOWED),
        "must end in (2, 5, 4)",
    ),
    (
        "edge_attribution_scores with the mask transposed",
        lambda: discovery.edge_attribution_scores(D, G, ALLOWED.T),
        "give booleans, (3, 6)",
    ),
    (
        "edge_attribution_scores with weights for a mask",
        lambda: discovery.edge_attribution_scores(D, G, 2.0 * ALLOWED),
        "give booleans, (3, 6)",
    ),
    ("edge_attribution of unequal runs", lambda: edges(source=SOURCE[:, :4]), "as many prompts"),
    ("edge_attribution of fewer prompts", lambda: edges(source=SOURCE[:1]), "as many prompts"),
    ("edge_attribution of unknown ids", lambda: edges(TOKENS + 5), "ids that no token has"),
    ("edge_attribution with -1 steps", lambda: edges(steps=-1), "`steps` is -1"),
    ("edge_attribution in training mode", lambda: in_training(edges), "in training mode"),
    ("edge_attribution under a hook", lambda: hooked(edges), "A hook is at work"),
    (
        "edge_attribution on a count",
        lambda: edges(metric=lambda logits: (metric(logits) > 0).float()),
        "has no gradient",
    ),
    (
        "edge_attribution on a mean",
        lambda: edges(metric=lambda logits: metric(logits).mean()),
        "one number for each of the 2 prompts",
    ),
    ("patched_edges of no set", lambda: patched(()), "is empty"),
    ("patched_edges of an unknown reader", lambda: patched([[("L0H0", "L5H0.q")]]), "no reader"),
    ("patched_edges of an unknown writer", lambda: patched([[("L0H9", "logits")]]), "no writer"),
    ("patched_edges of a head as a reader", lambda: patched([[("L0H0", "L1H0")]]), "no reader"),
    (
        "patched_edges of an MLP that is not there",
        lambda: patched([[("MLP0", "logits")]]),
        "no writer 'MLP0'",
    ),
    (
        "patched_edges of a head's key that it shares",
        lambda: patched([[("L0H0", "L2H1.k")]], model=grouped),
        "L2KV1.k",
    ),
    (
        "patched_edges backwards in time",
        lambda: patched([[("L1H0", "L0H0.q")]]),
        "L0H0.q cannot read L1H0",
    ),
    (
        "patched_edges of one edge instead of a set",
        lambda: patched([("L0H0", "L1H0.q")]),
        "pairs (writer, reader)",
    ),
    ("patched_edges in batches of 0", lambda: patched(batch_size=0), "`batch_size` is 0"),
    ("patched_edges in batches of -1", lambda: patched(batch_size=-1), "`batch_size` is -1"),
    ("patched_edges of unequal runs", lambda: patched(source=SOURCE[:, :4]), "as many prompts"),
    ("patched_edges under a hook", lambda: hooked(patched), "A hook is at work"),
    (
        "patched_edges on all positions",
        lambda: patched(metric=lambda logits: logits[:, :, 2]),
        "one number for each of the 2 prompts",
    ),
    # ---- Pruning and circuits
    (
        "prune with a threshold of NaN",
        lambda: discovery.prune(["a"], added, threshold=NAN),
        "must be finite",
    ),
    (
        "prune of a part twice",
        lambda: discovery.prune(["a", "b", "a"], added, threshold=0.1),
        "'a' twice",
    ),
    ("prune of a word", lambda: discovery.prune("abc", added, threshold=0.1), "is one text"),
    ("recall where nothing is true", lambda: discovery.precision_recall(["a"], []), "is empty"),
    (
        "precision of an edge found twice",
        lambda: discovery.precision_recall(["a", "a"], ["a", "b"]),
        "'a' twice",
    ),
    (
        "recall of an edge that is true twice",
        lambda: discovery.precision_recall(["a"], ["b", "b"]),
        "'b' twice",
    ),
    ("precision of a word", lambda: discovery.precision_recall("ab", ["a"]), "is one text"),
    ("keep_heads of head 3 of 3", lambda: discovery.keep_heads(Z, Z, [3]), "from 0 to 2"),
    ("keep_heads of head -1", lambda: discovery.keep_heads(Z, Z, [-1]), "from 0 to 2"),
    (
        "keep_heads with another fill",
        lambda: discovery.keep_heads(Z, Z[:, :1], [0]),
        "or of one row",
    ),
    (
        "keep_heads with a fill without prompts",
        lambda: discovery.keep_heads(Z, Z[0], [0]),
        "give 4 axes",
    ),
    (
        "head_z in training mode",
        lambda: in_training(lambda: discovery.head_z(toy(), TOKENS)),
        "eval",
    ),
    ("head_z of one row of ids", lambda: discovery.head_z(toy(), TOKENS[0]), "give 2 axes"),
    ("head_z of no prompts", lambda: discovery.head_z(toy(), TOKENS[:0]), "is empty"),
    ("circuit_values of a head that is not there", lambda: circuit([[(3, 0)]]), "no L3H0"),
    ("circuit_values of head -1", lambda: circuit([[(0, -1)]]), "heads 0 to 3"),
    ("circuit_values of a name", lambda: circuit([["L0H1"]]), "pairs of layer and number"),
    ("circuit_values of one circuit", lambda: circuit([(0, 1)]), "pairs of layer and number"),
    ("circuit_values of no circuit", lambda: circuit([]), "is empty"),
    (
        "circuit_values with a fill of two layers",
        lambda: circuit(fill=torch.zeros(2, 1, 5, 4, 16)),
        "this model has 3",
    ),
    (
        "circuit_values with a fill of fewer positions",
        lambda: circuit(fill=torch.zeros(3, 1, 4, 4, 16)),
        "or of one row",
    ),
    (
        "circuit_values with a fill of other prompts",
        lambda: circuit(fill=torch.zeros(3, 7, 5, 4, 16)),
        "or of one row",
    ),
    ("circuit_values in batches of -1", lambda: circuit(batch_size=-1), "`batch_size` is -1"),
    ("circuit_values under a hook", lambda: hooked(circuit), "A hook is at work"),
    (
        "circuit_values on a mean",
        lambda: circuit(metric=lambda logits: metric(logits).mean()),
        "one number for each of the 2 prompts",
    ),
    (
        "circuit_values on infinity",
        lambda: circuit(metric=lambda logits: metric(logits) / 0),
        "on circuit 0",
    ),
    (
        "faithfulness of a metric that is constant",
        lambda: discovery.faithfulness(lambda parts: 1.0, ["a"], ["a", "b"]),
        "no share can be taken",
    ),
    (
        "faithfulness of unknown parts",
        lambda: discovery.faithfulness(added, ["a", "z"], ["a", "b"]),
        "holds 'z'",
    ),
    (
        "faithfulness in a model of no parts",
        lambda: discovery.faithfulness(added, [], []),
        "is empty",
    ),
    (
        "minimality of a metric that is constant",
        lambda: discovery.minimality(lambda parts: 1.0, ["a"], ["a", "b"]),
        "no share can be taken",
    ),
    (
        "minimality of unknown parts",
        lambda: discovery.minimality(added, ["z"], ["a", "b"]),
        "holds 'z'",
    ),
    # ---- Figures
    (
        "attention_heads of one head",
        lambda: figures.attention_heads(PATTERN[0, 0], ["a"] * 7, names=["h"]),
        "give 3 axes",
    ),
    (
        "attention_heads of NaN",
        lambda: figures.attention_heads(NAN * PATTERN[0], ["a"] * 7, names=["h"] * 3),
        "NaN",
    ),
    (
        "attention_heads with a text for tokens",
        lambda: figures.attention_heads(PATTERN[0], "abcdefg", names=["h"] * 3),
        "is one text",
    ),
    (
        "attention_heads with a name too few",
        lambda: figures.attention_heads(PATTERN[0], ["a"] * 7, names=["h"] * 2),
        "needs 3 names",
    ),
    ("circuit_graph of an unknown head", lambda: drawn("L0H0", "L2H0.q"), "is no edge"),
    ("circuit_graph of an MLP", lambda: drawn("MLP0", "logits"), "is no edge"),
    ("circuit_graph of an unknown letter", lambda: drawn("L0H0", "L1H0.z"), "is no edge"),
    (
        "diagram of nothing",
        lambda: figures.diagram({}, [], title="t"),
        "empty",
    ),
    (
        "diagram with an arrow from nowhere",
        lambda: figures.diagram({"a": (0, 0)}, [("b", "a")], title="t"),
        "'b' is no box: they are 'a'",
    ),
    (
        "diagram with a mark nowhere",
        lambda: figures.diagram({"a": (0, 0)}, [], title="t", marked=["c"]),
        "'c' is no box",
    ),
    (
        "diagram with an arrow to itself",
        lambda: figures.diagram({"a": (0, 0)}, [("a", "a")], title="t"),
        "between two boxes",
    ),
    (
        "circuit_graph of no layers",
        lambda: figures.circuit_graph({"a": []}, n_layers=0, n_heads=2, title="t"),
        "`n_layers` is 0",
    ),
    (
        "circuit_graph of nothing",
        lambda: figures.circuit_graph({}, n_layers=1, n_heads=2, title="t"),
        "is empty",
    ),
    # ---- The tasks
    ("no ioi prompts", lambda: prompts(0), "`n` is 0"),
    ("-3 ioi prompts", lambda: prompts(-3), "`n` is -3"),
    ("ioi template 4", lambda: prompts(template=4), "templates 0 to 3"),
    ("ioi template -1", lambda: prompts(template=-1), "templates 0 to 3"),
    ("ioi with two names", lambda: prompts(names=["Mary", "John"]), "three different ones"),
    ("ioi with one name thrice", lambda: prompts(names=["Mary"] * 3), "a name twice"),
    ("ioi with names in one text", lambda: prompts(names="Mary"), "is one text"),
    ("ioi with a space in a name", lambda: prompts(names=["A", " B", "C"]), "without spaces"),
    (
        "ioi without a tokenizer",
        lambda: ioi.prompts(toy(), 1, generator=torch.Generator()),
        "has no tokenizer",
    ),
    (
        "the ioi metric of other prompts",
        lambda: of_prompts(torch.ones(5, 1, 9)),
        "These are 3 prompts",
    ),
    ("the ioi metric of the last logits", lambda: of_prompts(torch.ones(3, 9)), "[batch, pos"),
    ("an unknown space of the wired model", lambda: wired.space("mind"), "There is no space"),
    ("an entry that a space lacks", lambda: wired.picks("position", [5]), "entries 0 to 4"),
    ("an entry below 0", lambda: wired.picks("token", [-1]), "entries 0 to 7"),
    ("names of positions", lambda: wired.names("position"), "holds no names"),
    (
        "a wired head that is full",
        lambda: wired.Head().match(*[torch.ones(wired.D_MODEL, 17)] * 2, 1.0),
        "16 coordinates left",
    ),
    (
        "a wired query without its key",
        lambda: wired.Head().match(wired.AT_NAMES, wired.AT_END[:3], 1.0),
        "must be alike",
    ),
    ("noise below 0", lambda: wired.build(noise=-0.1), "at least 0"),
]
