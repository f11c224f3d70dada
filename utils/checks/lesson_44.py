"""Checks of lesson 4.4, transcoders and attribution graphs."""

from collections.abc import Sequence
from numbers import Integral
from typing import NamedTuple

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from utils.checks.engine import exercise, expect, investigation, match, trains
from utils.checks.inputs import described

D, LAYERS = 8, 3


def _model(seed: int) -> TransformerBridge:
    """Three layers with random weights; norms, gains and biases are far from plain."""
    model = TransformerBridge.boot_native(
        {
            "n_layers": LAYERS,
            "n_heads": 2,
            "d_head": 4,
            "d_model": D,
            "d_mlp": 12,
            "d_vocab": 11,
            "n_ctx": 9,
            "normalization_type": "LN",
            "positional_embedding_type": "standard",
            "act_fn": "gelu",
            "seed": 0,
        },
        device="cpu",
    ).eval()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=random)
            weight.copy_(1 + 0.3 * noise if "ln" in name and weight.ndim == 1 else 0.5 * noise)
        model(torch.tensor([[7, 1]]))  # the first run leaves hooks of its own
    return model.requires_grad_(False)


def _drawn(*size: int, seed: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


# ---- A stand-in for an MLP ----------------------------------------------------------------------


@torch.no_grad()
def _spliced(
    model,
    tokens: Tensor,
    change,
    *,
    layer: int,
    reads: str = "mlp.hook_in",
    start: int = 1,
    swapped: bool = False,
    shift: int = 1,
    clean: bool = False,
    total: bool = False,
) -> Tensor:
    read: dict[str, Tensor] = {}

    def keep(x, hook):
        read["x"] = x[0, start:]

    def put(y, hook):
        both = (y[0, start:], read["x"]) if swapped else (read["x"], y[0, start:])
        return y if clean else torch.cat([y[:, :start], change(*both)[None]], 1)

    hooks = [(f"blocks.{layer}.{reads}", keep), (f"blocks.{layer}.hook_mlp_out", put)]
    with model.hooks(fwd_hooks=hooks):
        logits = model(tokens)[0]
    right = tokens[0, shift:]
    losses = -logits.log_softmax(-1)[range(len(right)), right]
    return losses.sum() if total else losses.mean()


@exercise("utils.features.transcoders.mlp_spliced_loss", keeps_gradient=False)
def check_mlp_spliced_loss(mlp_spliced_loss) -> str:
    """Stand-ins that use what is read, what is written, and the order of the positions."""
    model = _model(seed=1)
    mix, order = _drawn(D, D, seed=2), torch.arange(1.0, 10.0)[:, None]
    cases = (
        (0, [7, 3, 1, 4, 1, 5], lambda x, y: x @ mix - 0.5 * y),
        (2, [7, 9, 2], lambda x, y: 3 * y.tanh() + order[: len(x)] * x),
        (1, [7, 2, 6, 5, 3, 5, 8], lambda x, y: y),
    )
    for layer, row, change in cases:
        tokens = torch.tensor([row])

        def run(tokens=tokens, change=change, layer=layer, **how) -> Tensor:
            return _spliced(model, tokens, change, **({"layer": layer} | how))

        got = mlp_spliced_loss(model, tokens, change, layer=layer)
        later = {f"at {n}": run(layer=n) for n in range(LAYERS) if n != layer}
        match(
            got,
            run(),
            what="the loss",
            mistakes={
                "This is the loss of the model itself: your hook's result does not get in. A hook "
                "must return what it puts in, and be in `fwd_hooks`.": run(clean=True),
                "The MLP at BOS was replaced too: keep its row, `y[:, :1]`.": run(start=0),
                "x and y are swapped: x is what the MLP *reads*.": run(swapped=True),
                "x is the stream before the norm: the MLP reads `mlp.hook_in`, after the "
                "norm.": run(reads="hook_resid_mid"),
                "Each position is compared with its own token: the logits at a position predict "
                "the next one.": run(shift=0),
                "This is the sum over tokens: give the mean.": run(total=True),
                **{f"Another block's MLP was replaced ({k}).": v for k, v in later.items()},
            },
        )
    return "The MLP's place is taken at every position but BOS."


# ---- The linear replacement ---------------------------------------------------------------------


def _frozen(
    model, tokens, cache, embeddings, writes, *, left_out: Sequence[str] = (), last: bool = False
) -> list[Tensor]:
    """What each MLP reads, and then the logits; some hooks left out, or all with the last value."""
    reads: list[Tensor] = []

    def put(value):
        return lambda _, hook: value

    named = {"hook_embed": embeddings, "ln_final.hook_scale": cache["ln_final.hook_scale"]}
    for n in range(LAYERS):
        of = LAYERS - 1 if last else n
        for name in ("attn.hook_pattern", "ln1.hook_scale", "ln2.hook_scale"):
            named[f"blocks.{n}.{name}"] = cache[f"blocks.{of}.{name}"]
        named[f"blocks.{n}.hook_mlp_out"] = writes[of]
    hooks = [
        (name, put(value))
        for name, value in named.items()
        if not any(name.endswith(each) for each in left_out)
    ]
    hooks += [(f"blocks.{n}.mlp.hook_in", lambda x, hook: reads.append(x)) for n in range(LAYERS)]
    with model.hooks(fwd_hooks=hooks):
        logits = model(tokens)
    return [*reads, logits]


@exercise("utils.features.graphs.linear_run")
def check_linear_run(linear_run) -> str:
    """The cache is another prompt's, so that all that is not frozen shows."""
    model = _model(seed=2)
    for seed, row in ((5, [7, 3, 1, 4, 1]), (6, [7, 9])):
        tokens, other = torch.tensor([row] * 2), torch.tensor([row[::-1]])
        with torch.no_grad():
            _, found = model.run_with_cache(other)
        names = [f"blocks.{n}.attn.hook_pattern" for n in range(LAYERS)]
        names += [f"blocks.{n}.ln{k}.hook_scale" for n in range(LAYERS) for k in (1, 2)]
        cache = {name: found[name].clone() for name in [*names, "ln_final.hook_scale"]}
        leaves = [_drawn(2, len(row), D, seed=seed + n).requires_grad_() for n in range(4)]
        got = linear_run(model, tokens, cache, embeddings=leaves[0], writes=leaves[1:])
        expect(
            isinstance(got, (tuple, list)) and len(got) == 2,
            f"Return a pair, what each MLP reads and the logits, not {described(got)}.",
        )
        reads, logits = got
        expect(
            isinstance(reads, (list, tuple)) and len(reads) == LAYERS,
            f"What the MLPs read should be a list of {LAYERS} tensors, one for each block, not "
            f"{described(reads)}.",
        )

        def run(tokens=tokens, cache=cache, leaves=leaves, **how) -> list[Tensor]:
            return _frozen(model, tokens, cache, leaves[0], leaves[1:], **how)

        ways = {
            "Attention patterns are the run's own: replace `attn.hook_pattern`.": run(
                left_out=["hook_pattern"]
            ),
            "The denominators before attention are the run's own: `ln1.hook_scale`.": run(
                left_out=["ln1.hook_scale"]
            ),
            "The denominators before the MLPs are the run's own: `ln2.hook_scale`.": run(
                left_out=["ln2.hook_scale"]
            ),
            "The last norm's denominator is the run's own: `ln_final.hook_scale`.": run(
                left_out=["ln_final.hook_scale"]
            ),
            "No norm's denominator is frozen.": run(left_out=["hook_scale"]),
            "The MLPs still write what they compute: replace `hook_mlp_out`.": run(
                left_out=["hook_mlp_out"]
            ),
            "The embeddings are the tokens': replace `hook_embed`.": run(left_out=["hook_embed"]),
            "Every block got the last block's values: a hook made in a loop sees the loop's last "
            "value, unless a function makes it.": run(last=True),
        }
        right = run()
        match(
            logits,
            right[-1],
            what="the logits",
            mistakes={message: way[-1] for message, way in ways.items()},
        )
        for n, (read, wanted) in enumerate(zip(reads, right, strict=False)):
            match(
                read,
                wanted,
                what=f"what the MLP of block {n} reads",
                mistakes={message: way[n] for message, way in ways.items()},
            )
        trains(logits, *leaves)
        expect(
            all(read.requires_grad for read in reads),
            "What the MLPs read came back without a gradient: no `.detach()` where it is kept.",
        )
    return "All that is left between the nodes is linear."


# ---- Influence ----------------------------------------------------------------------------------


def _powers(share: Tensor, weights: Tensor) -> Tensor:
    identity = torch.eye(len(share))
    return weights @ (torch.linalg.inv(identity - share) - identity)


@exercise("utils.features.graphs.influence")
def check_influence(influence) -> str:
    """Seven nodes, paths of up to five steps, effects of both signs; sources without any input."""
    for seed in (1, 2):
        effects = _drawn(7, 7, seed=seed).tril(-1)
        effects[:2] = 0
        effects[3] = 0
        effects[4, 2] = 0
        weights = torch.tensor([0.0, 0, 0, 0, 0, 0.3, 0.7])
        size = effects.abs()
        share = size / size.sum(1, keepdim=True).clamp(min=1e-10)
        signed = effects / effects.sum(1, keepdim=True).clamp(min=1e-10)
        late = size / effects.sum(1, keepdim=True).abs().clamp(min=1e-10)
        by_source = size / size.sum(0, keepdim=True).clamp(min=1e-10)
        right = _powers(share, weights)
        got = influence(effects, weights)
        if isinstance(got, Tensor) and bool(got.isnan().any()):
            expect(False, "There are NaNs: a row of zeros is divided by 0.")
        match(
            got,
            right,
            what="the influence",
            mistakes={
                "These are direct effects alone: paths of several steps count as well.": weights
                @ share,
                "Paths of three and more steps are missing.": weights @ (share + share @ share),
                "The outputs' own weights are in it: the sum begins with A.": right + weights,
                "Rows are not divided by their sums.": _powers(size, weights),
                "Effects keep their sign: take absolute values first.": _powers(signed, weights),
                "Absolute values come too late: a row's sum is that of the absolute "
                "effects.": _powers(late, weights),
                "Columns are divided by their sums: a row holds a target's inputs.": _powers(
                    by_source, weights
                ),
                "Sources and targets are swapped: `weights @ A`, not `A @ weights`.": _powers(
                    share.T, weights
                ),
            },
        )
    return "All paths from a node to the output count, each by its share."


# ---- Predicted changes --------------------------------------------------------------------------


class _Node(NamedTuple):
    kind: str
    layer: int
    position: int
    latent: int = -1
    activation: float = 1.0


class _Graph(NamedTuple):
    nodes: list[_Node]
    effects: Tensor

    def of(self, *kinds: str) -> Tensor:
        return torch.tensor([node.kind in kinds for node in self.nodes])


def _graph(seed: int) -> _Graph:
    kinds = ["embedding", "feature", "feature", "error", "feature", "feature", "error", "logit"]
    layers = [-1, 0, 0, 0, 1, 2, 2, 3]
    size = 0.5 + _drawn(8, seed=seed).abs()
    nodes = [
        _Node(kind, layer, 0, n, size[n].item() if kind == "feature" else 1.0)
        for n, (kind, layer) in enumerate(zip(kinds, layers, strict=True))
    ]
    both = torch.arange(8)[:, None] + torch.arange(8)  # so that paths of both signs meet
    effects = (0.2 + _drawn(8, 8, seed=seed + 1).abs()) * (2.0 * (both % 2) - 1)
    for target, node in enumerate(nodes):
        for source, other in enumerate(nodes):
            if other.layer >= node.layer or node.kind in ("embedding", "error"):
                effects[target, source] = 0
    return _Graph(nodes, effects)


def _change(
    graph: _Graph,
    nodes,
    factor: float,
    *,
    start: float | None = None,
    divide=lambda node: node.activation,
    pinned: bool = True,
    hears=("feature", "logit"),
    effects: Tensor | None = None,
) -> float:
    effects = graph.effects if effects is None else effects
    change = torch.zeros(len(graph.nodes))
    first = factor - 1 if start is None else start
    for i, node in enumerate(graph.nodes):
        if i in nodes:
            change[i] = first
            if pinned:
                continue
        if node.kind in hears:
            change[i] += effects[i] @ change / divide(node)
    return change[-1].item()


def _by_row_sum(graph: _Graph) -> dict[str, Tensor]:
    """Effects that give, divided by the activation, their share of the row's sum."""
    size = torch.tensor([node.activation for node in graph.nodes])[:, None]
    total = graph.effects.sum(1, keepdim=True)
    every = graph.effects * size / torch.where(total == 0, 1.0, total)
    return {"": every, " (1 for the last)": torch.cat([every[:-1], graph.effects[-1:]])}


@exercise("utils.features.graphs.predicted_change")
def check_predicted_change(predicted_change) -> str:
    """Eight nodes in three layers; one suppressed feature feeds another one."""
    for seed, nodes, factor in ((3, [2, 4], -1.0), (1, [1], 0.0), (5, [1, 5], 0.5), (7, [4], 2.0)):
        graph = _graph(seed)
        got = predicted_change(graph, nodes, factor=factor)

        def way(graph=graph, nodes=nodes, factor=factor, **how) -> float:
            return _change(graph, nodes, factor, **how)

        direct = graph.effects[-1, nodes].sum().item() * (factor - 1)
        match(
            got,
            way(),
            what="the change",
            mistakes={
                "These are direct effects alone: what a feature changes on its way is "
                "missing.": direct,
                "A suppressed feature changes by `factor - 1` of itself, not by `factor`.": way(
                    start=factor
                ),
                "The sign: at a factor of 0 a feature changes by -1.": way(start=1 - factor),
                "The change of a feature's input is to be divided by its activation: only then is "
                "it a share.": way(divide=lambda node: 1.0),
                "A suppressed feature stays where it is put, whatever its inputs do.": way(
                    pinned=False
                ),
                "Effects keep their sign here.": way(effects=graph.effects.abs()),
                "Rows and columns are swapped: `effects[target, source]`.": way(
                    effects=graph.effects.T
                ),
                **{
                    "You divide by the row's sum of effects: divide by the node's activation, "
                    f"which has the biases in it{more}.": way(effects=by_sum)
                    for more, by_sum in _by_row_sum(graph).items()
                },
                "The activation multiplies where it should divide.": way(
                    divide=lambda node: 1 / node.activation
                ),
            },
        )
    return "Each node passes on the share by which it changes."


# ---- Investigation ------------------------------------------------------------------------------


@investigation("two_positions", course={3, 17})
def check_two_positions(answer) -> str:
    """Two positions in any order and container."""
    expect(
        isinstance(answer, (set, frozenset, tuple, list, Tensor)) and len(answer) == 2,
        "Give two positions, such as {5, 9}.",
    )
    places = {int(each) if isinstance(each, (Integral, Tensor)) else each for each in answer}
    expect(
        all(isinstance(each, int) and 0 <= each <= 18 for each in places) and len(places) == 2,
        "Give two different positions from 0 to 18, as they are printed above.",
    )
    expect(
        places != {4, 18} and places != {2, 16},
        "These are one place off: BOS is position 0.",
    )
    expect(
        18 not in places,
        "The bracket is where the feature *is*. Its own token has influence at each bracket, in "
        "hits and in misses. Which tokens tell the two apart?",
    )
    expect(
        places <= {3, 5, 9, 17},
        "One of them is no 15. Replace one 15 at a time, and see when the pre-activation falls "
        "below 0.",
    )
    expect(
        places == {3, 17},
        "One of them can be replaced by 37, and the feature stays active.",
    )
    return "It compares the target with the result."


# ---- Cross-layer transcoders --------------------------------------------------------------------


def _cross_layer(
    acts,
    decoders,
    biases,
    writes,
    *,
    penalty,
    norm,
    total=Tensor.sum,
    square=Tensor.square,
    over=Tensor.mean,
    with_bias: bool = True,
    own: bool = False,
    sized: bool = True,
    count: bool = False,
    last: int | None = None,
):
    loss = 0.0
    for target, wanted in list(enumerate(writes))[last or 0 :]:
        made = biases[target][..., None, :] if with_bias else 0.0
        for source, to in decoders:
            if to == target and (source == target or not own):
                made = made + acts[source] @ decoders[source, to]
        loss = loss + over(total(square(made - wanted), -1), -1)
    for source, each in enumerate(acts):
        weight = norm(decoders, source)[..., None, :] if sized else 1.0
        each = (each > 0).float() if count else each
        loss = loss + penalty * over((each * weight).sum(-1), -1)
    return loss


@exercise("utils.features.cross_layer.cross_layer_loss")
def check_cross_layer_loss(cross_layer_loss) -> str:
    """Of one and of many at once, with a feature that writes to two layers."""
    for seed, lead in enumerate([(), (2, 3)]):
        n, d, latents = 7, 5, 4
        acts = [_drawn(*lead, n, latents, seed=9 * seed + i).relu() for i in range(3)]
        decoders = {
            pair: _drawn(*lead, latents, d, seed=40 + 9 * seed + i)
            for i, pair in enumerate([(0, 0), (0, 2), (1, 1), (1, 2), (2, 2)])
        }
        biases = [_drawn(*lead, d, seed=70 + 9 * seed + i) for i in range(3)]
        writes = [_drawn(n, d, seed=90 + 9 * seed + i) for i in range(3)]
        given = {
            "penalty": torch.linspace(0.5, 2, lead[0])[:, None] if lead else 0.7,
            "norm": lambda decoders, source: sum(
                part.square().sum(-1).sqrt() for (at, _), part in decoders.items() if at == source
            ),
        }

        def way(acts=acts, decoders=decoders, biases=biases, writes=writes, given=given, **ways):
            return _cross_layer(acts, decoders, biases, writes, **given, **ways)

        match(
            cross_layer_loss(acts, decoders, biases, writes, **given),
            way(),
            what="the loss",
            mistakes={
                "The bias of each layer is missing.": way(with_bias=False),
                "A feature also writes to later layers: here 0 and 1 write to 2 as well.": way(
                    own=True
                ),
                "Errors are summed over the stream, and only averaged over inputs.": way(
                    total=Tensor.mean
                ),
                "Errors are squared.": way(square=Tensor.abs),
                "Errors and penalties are means over inputs, not sums.": way(over=Tensor.sum),
                "An activation counts as much as its feature writes: multiply by `norm`.": way(
                    sized=False
                ),
                "The penalty is of activations, not of how many are above 0.": way(count=True),
                "The errors of all layers count, not of the last alone.": way(last=-1),
                "The penalty is missing.": way(given=given | {"penalty": 0.0}),
            },
        )
    return "Errors at every layer, and a penalty for each feature that is active."
