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
from data.wired import task as names
from tests.small_models import random_model
from utils.circuits import attribution, composition, discovery, figures, induction, residual
from utils.heads import ablated, ablation_hooks
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


@cache
@torch.no_grad()
def cached():
    return grouped().run_with_cache(TOKENS)[1]


def heads_along(direction, cache=None):
    return attribution.attribute_heads(cache or cached(), grouped(), direction)


def fall(direction, layer=1):
    return attribution.waterfall(cached(), cached(), grouped(), direction, layer)


def named(io=(1, 2), s=(2, 3), names=(1, 2, 3, 4)):
    io, s, names = map(torch.tensor, (io, s, names))
    return attribution.name_directions(torch.ones(6, 9), io, s, names)


def beyond(head=(1, 2), suspects=(), n_heads=3, batch=4):
    return attribution.beyond_controls(lambda _: torch.ones(batch), head, suspects, n_heads)


def ov(head=(1, 2), n=3, names=(1, 2, 3)):
    return attribution.ov_on_names(grouped(), head, torch.ones(n, 32), torch.tensor(names))


def edges(tokens=TOKENS, **settings):
    settings = {"source": SOURCE, "metric": metric} | settings
    return discovery.edge_attribution(toy(), tokens, **settings)


def patched(edge_sets=((("L0H0", "L1H0.v"),),), model=toy, tokens=TOKENS, **settings):
    settings = {"source": SOURCE, "metric": metric, "edge_sets": edge_sets} | settings
    return discovery.patched_edges(model(), tokens, **settings)


def circuit(circuits=([(0, 0)],), tokens=TOKENS, **settings):
    settings = {"source": SOURCE, "metric": metric} | settings
    return discovery.circuit_values(toy(), tokens, circuits=circuits, **settings)


def one_edge(writer=(0, 0), reader=(1, 0), into="v", model=toy, **settings):
    settings = {"source": SOURCE, "writer": writer, "reader": reader, "into": into} | settings
    return discovery.patch_edge(model(), TOKENS, **settings)


def names_diff(logits):
    return names.toy_prompts().logit_diff(logits)


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


def control(chosen=((1, 0),), n=2, **settings):
    settings = {"n_layers": 3, "n_heads": 4, "generator": torch.Generator()} | settings
    return induction.fair_control(torch.tensor, list(chosen), n, **settings)


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
Z = torch.ones(2, 5, 3, 4)
LOGITS = torch.ones(2, 7, 9)
IDS = torch.ones(2, 7, dtype=torch.long)
PATTERN = torch.full((2, 3, 7, 7), 1 / 7)
SQUARE = torch.ones(4, 4)

ROWS = [
    # ---- The residual stream
    (
        "zero_ablated of no hook",
        lambda: residual.zero_ablated(grouped(), TOKENS, "blocks.3.hook_mlp_out"),
        "give a hook's name",
    ),
    (
        "ablation_sweep with five answers for two prompts",
        lambda: residual.ablation_sweep(grouped(), TOKENS, SOURCE[0], residual.zero_ablated),
        "has 5 entries, and `tokens` 2",
    ),
    (
        "ablation_sweep of one row",
        lambda: residual.ablation_sweep(grouped(), TOKENS[0], SOURCE[0], residual.zero_ablated),
        "2 axes",
    ),
    (
        "direct_effects on no token",
        lambda: residual.direct_effects(grouped(), torch.ones(2, 16), 999),
        "999",
    ),
    (
        "direct_effects of one part",
        lambda: residual.direct_effects(grouped(), torch.ones(16), 1),
        "2 axes",
    ),
    (
        "answers for another batch",
        lambda: residual.answer_log_probs(torch.ones(2, 3, 4), SOURCE[0]),
        "`logits` 2",
    ),
    ("put_back at no layer", lambda: residual.put_back(grouped(), TOKENS, SOURCE, 3, 1), "0 to 2"),
    ("put_back nowhere", lambda: residual.put_back(grouped(), TOKENS, SOURCE, 1, 5), "0 to 4"),
    (
        "put_back from a shorter text",
        lambda: residual.put_back(grouped(), TOKENS, SOURCE[:, 1:], 1, 1),
        "has shape (2, 4)",
    ),
    ("logit_lens of one row", lambda: residual.logit_lens(grouped(), TOKENS[0]), "2 axes"),
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
        "stripe_scores of an even row",
        lambda: induction.stripe_scores(toy(), IDS[:, :6], back=1),
        "BOS and two equal halves",
    ),
    (
        "stripe_scores of no rows",
        lambda: induction.stripe_scores(toy(), IDS[:0], back=1),
        "BOS and two equal halves",
    ),
    (
        "stripe_scores of a single row",
        lambda: induction.stripe_scores(toy(), IDS[0], back=1),
        "2 axes",
    ),
    (
        "stripe_scores from before BOS",
        lambda: induction.stripe_scores(toy(), IDS, back=5),
        "has 4 before it",
    ),
    (
        "stripe_scores of the future",
        lambda: induction.stripe_scores(toy(), IDS, back=-1),
        "whole number from 0",
    ),
    (
        "repeat_costs of halves of one token",
        lambda: induction.repeat_costs(toy(), IDS[:, :3], [[]]),
        "two tokens or more",
    ),
    (
        "repeat_costs of nothing",
        lambda: induction.repeat_costs(toy(), IDS, []),
        "`interventions` is empty",
    ),
    ("ablation_hooks in layer 9", lambda: ablation_hooks(toy(), [(9, 0)]), "There is no L9H0"),
    ("ablation_hooks of head -1", lambda: ablation_hooks(toy(), [(0, -1)]), "There is no L0H-1"),
    ("fair_control of nothing", lambda: control(()), "`chosen` is empty"),
    ("fair_control of no sets", lambda: control(n=0), "`n` is 0"),
    ("fair_control of a head twice", lambda: control([(1, 0), (1, 0)]), "holds a head twice"),
    ("fair_control of layer 3 of 3", lambda: control([(3, 0)]), "3 layers of 4 heads"),
    (
        "fair_control of most heads",
        lambda: control([(i, j) for i in range(3) for j in range(3)]),
        "Only 3 heads are left",
    ),
    (
        "text_costs without a repeat",
        lambda: induction.text_costs(toy(), torch.tensor([[0, 1, 2, 3]]), []),
        "no pair of neighbours comes twice",
    ),
    (
        "text_costs of no texts",
        lambda: induction.text_costs(toy(), torch.zeros(0, 4, dtype=torch.long), []),
        "`tokens` is empty",
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
        lambda: composition.size_matched(NAN * torch.ones(3, 2, 4), generator=torch.Generator()),
        "NaN",
    ),
    (
        "size_matched of nothing",
        lambda: composition.size_matched(torch.ones(0, 2, 4), generator=torch.Generator()),
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
        "attribute_heads along one direction for all",
        lambda: heads_along(torch.ones(1, 32)),
        "give one for each prompt",
    ),
    (
        "final_scale of a run that kept no stream",
        lambda: attribution.final_scale({"blocks.0.attn.hook_z": Z}, grouped()),
        "lacks 'blocks.2.hook_resid_post'",
    ),
    ("attribute_heads along a vector", lambda: heads_along(torch.ones(32)), "give 2 axes"),
    (
        "attribute_heads of a cache of z alone",
        lambda: heads_along(torch.ones(2, 32), {"blocks.0.attn.hook_z": Z}),
        "'blocks.2.hook_resid_post'",
    ),
    ("waterfall along another width", lambda: fall(torch.ones(2, 8)), "the runs (2, 32)"),
    ("waterfall of a layer too high", lambda: fall(torch.ones(2, 32), 3), "layers 0 to 2"),
    ("waterfall of layer -1", lambda: fall(torch.ones(2, 32), -1), "layers 0 to 2"),
    ("name_directions of a token too high", lambda: named(io=(1, 9)), "from 0 to 8"),
    ("name_directions of fewer subjects", lambda: named(s=(2,)), "and `io` 2"),
    ("name_directions without a name", lambda: named(names=(1, 2, 4)), "lacks a name"),
    ("name_directions, a name twice", lambda: named(names=(1, 2, 3, 3)), "each once"),
    (
        "name_directions with nothing to compare",
        lambda: named(io=(1,), s=(2,), names=(1, 2)),
        "three at least",
    ),
    ("beyond_controls of a head too high", lambda: beyond((1, 3)), "heads 0 to 2"),
    ("beyond_controls of a layer alone", lambda: beyond((1,)), "see its help"),
    ("beyond_controls without a head", lambda: beyond(n_heads=0), "whole number from 1"),
    (
        "beyond_controls when all are suspects",
        lambda: beyond(suspects=[(1, 0), (1, 1)]),
        "no other head of layer 1",
    ),
    ("ov_on_names of a head too high", lambda: ov((3, 0)), "no L3H0"),
    ("ov_on_names of fewer names", lambda: ov(n=2), "give [3, 32]"),
    ("ov_on_names of no names", lambda: ov(n=0, names=()), "is empty"),
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
            source=torch.tensor([[1, 2, 4], [5, 0, 0]]),
            circuits=[[]],
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
    ("edge_attribution of unequal runs", lambda: edges(source=SOURCE[:, :4]), "as many prompts"),
    ("edge_attribution of fewer prompts", lambda: edges(source=SOURCE[:1]), "as many prompts"),
    ("edge_attribution of unknown ids", lambda: edges(TOKENS + 5), "ids that no token has"),
    (
        "integrated_edges with 0 steps",
        lambda: discovery.integrated_edges(toy(), TOKENS, source=SOURCE, metric=metric, steps=0),
        "`steps` is 0",
    ),
    (
        "integrated_edges of unequal runs",
        lambda: discovery.integrated_edges(
            toy(), TOKENS, source=SOURCE[:1], metric=metric, steps=2
        ),
        "as many prompts",
    ),
    ("patch_edge into nothing", lambda: one_edge(into="z"), "choose 'q', 'k' or 'v'"),
    ("patch_edge from head 9", lambda: one_edge(writer=(0, 9)), "no L0H9"),
    ("patch_edge into layer 5", lambda: one_edge(reader=(5, 0)), "no L5H0"),
    ("patch_edge into an earlier layer", lambda: one_edge(writer=(1, 0)), "later layer"),
    ("patch_edge of a name", lambda: one_edge(writer="L0H0"), "pairs of layer and number"),
    ("patch_edge of unequal runs", lambda: one_edge(source=SOURCE[:, :4]), "as many prompts"),
    ("patch_edge under a hook", lambda: hooked(one_edge), "A hook is at work"),
    (
        "patch_edge into a key that queries share",
        lambda: one_edge(reader=(1, 2), into="k", model=grouped),
        "from 0 to 1",
    ),
    (
        "head_reads of head 7",
        lambda: discovery.head_reads(toy(), (0, 7), "q", torch.zeros(1, 5, 57)),
        "no L0H7",
    ),
    (
        "head_reads of z",
        lambda: discovery.head_reads(toy(), (0, 1), "z", torch.zeros(1, 5, 57)),
        "choose 'q', 'k' or 'v'",
    ),
    ("edge_attribution in training mode", lambda: in_training(edges), "in training mode"),
    ("edge_attribution under a hook", lambda: hooked(edges), "A hook is at work"),
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
    (
        "patched_edges of a mask of another size",
        lambda: patched([torch.ones(3, 4, dtype=torch.bool)]),
        "give booleans",
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
    ("circuit_values of a head that is not there", lambda: circuit([[(3, 0)]]), "no L3H0"),
    ("circuit_values of head -1", lambda: circuit([[(0, -1)]]), "heads 0 to 3"),
    ("circuit_values of a name", lambda: circuit([["L0H1"]]), "pairs of layer and number"),
    ("circuit_values of one circuit", lambda: circuit([(0, 1)]), "pairs of layer and number"),
    ("circuit_values of no circuit", lambda: circuit([]), "is empty"),
    ("circuit_values of unequal runs", lambda: circuit(source=SOURCE[:1]), "as many prompts"),
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
        "faithfulness of no sizes",
        lambda: discovery.faithfulness(
            toy(), TOKENS, source=SOURCE, scores=torch.zeros(13, 37), sizes=[], metric=metric
        ),
        "is empty",
    ),
    (
        "faithfulness of another graph's scores",
        lambda: discovery.faithfulness(
            toy(), TOKENS, source=SOURCE, scores=torch.zeros(3, 6), sizes=[1], metric=metric
        ),
        "writers and",
    ),
    (
        "scores of another graph shuffled",
        lambda: discovery.shuffled_scores(
            discovery.graph(toy()), torch.zeros(3, 6), generator=torch.Generator()
        ),
        "writers and",
    ),
    (
        "faithfulness curves of nothing",
        lambda: figures.faithfulness_curves({}, sizes=[1], title="t"),
        "is empty",
    ),
    ("minimality of nothing", lambda: discovery.minimality(added, [], [()]), "is empty"),
    ("minimality over no sets", lambda: discovery.minimality(added, ["a"], []), "is empty"),
    (
        "worst_removal of a part that is not there",
        lambda: discovery.worst_removal(added, ["z"], ["a", "b"], size=1),
        "'z', which is not in `everything`",
    ),
    (
        "worst_removal of more than there is",
        lambda: discovery.worst_removal(added, ["a"], ["a", "b"], size=2),
        "as many as",
    ),
    (
        "worst_removal of nothing",
        lambda: discovery.worst_removal(added, ["a"], ["a", "b"], size=0),
        "`size` is 0",
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
        "waterfalls of one prompt",
        lambda: figures.waterfalls({"a": {"direct": torch.ones(1)}}, title="t", y="y"),
        "two prompts at least",
    ),
    ("waterfalls of nothing", lambda: figures.waterfalls({}, title="t", y="y"), "is empty"),
    (
        "waterfalls of no steps",
        lambda: figures.waterfalls({"a": {}}, title="t", y="y"),
        "needs steps",
    ),
    (
        "waterfalls with the total as a step",
        lambda: figures.waterfalls({"a": {"measured": torch.ones(2)}}, title="t", y="y"),
        "none of them called 'measured'",
    ),
    (
        "diagram of nothing",
        lambda: figures.diagram({}, [], title="t"),
        "empty",
    ),
    ("next_token_bars of no text", lambda: figures.next_token_bars(grouped(), ""), "is empty"),
    ("no bars", lambda: figures.next_token_bars(grouped(), "w1", k=0), "`k` is 0"),
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
    ("ioi template 6", lambda: prompts(template=6), "templates 0 to 5"),
    ("ioi template -1", lambda: prompts(template=-1), "templates 0 to 5"),
    (
        "ioi in both orders, without prompts",
        lambda: ioi.both_orders(grouped(), 0, generator=torch.Generator()),
        "`n` is 0",
    ),
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
    ("the wired task's metric of other logits", lambda: names_diff(LOGITS), "240 prompts"),
    ("each 0th of the wired prompts", lambda: names.toy_prompts(every=0), "`every` is 0"),
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
    (
        "patch_by_hand behind the last layer",
        lambda: figures.patch_by_hand(grouped(), "w1", "w2", layer=3, pos=0),
        "layers 0 to 2",
    ),
    (
        "patch_by_hand behind the end",
        lambda: figures.patch_by_hand(grouped(), "w1", "w2", layer=0, pos=9),
        "positions 0 to",
    ),
]
