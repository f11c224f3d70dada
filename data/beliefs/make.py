"""Train the toys of lesson 2.4: small transformers that watch a hidden Markov process.

Run it from the repository's root: `python -m data.beliefs.make`. README.md beside this file says
what comes out.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from data import training
from data.beliefs.task import PROCESSES, beliefs, next_token_probs, remembered, sample_tokens
from data.native import save_native
from utils.reading.beliefs import (
    at_positions,
    belief_planes,
    equal_predictions,
    excess_loss,
    exchange,
    follows,
    others_of,
    plane_directions,
    plane_part,
    r_squared_within,
    random_part,
    token_pairs,
)
from utils.reading.linear import r_squared, ridge

HERE = Path(__file__).resolve().parent
NEW = 1000  # added to a seed: an untrained model of other weights than the trained one began with
PAIRS = 10_003  # the seed of the pairs between which something is exchanged


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result, besides the process and the seed."""

    n_layers: int = 3
    d_model: int = 64
    n_heads: int = 2
    d_mlp: int = 128
    n_ctx: int = 16  # tokens read; no BOS
    batch: int = 96  # sequences a step, drawn anew each time
    steps: int = 2500
    lr: float = 3e-3  # falls to zero in a straight line
    warmup: int = 100  # steps
    weight_decay: float = 0.01
    eval_batch: int = 4000
    eval_every: int = 250


TINY = replace(Recipe(), n_layers=2, d_model=16, batch=8, steps=10, eval_batch=60, eval_every=5)


def new_model(recipe: Recipe, *, n_tokens: int, seed: int) -> TransformerBridge:
    """An untrained model: learned positions, norms without parameters."""
    config = {
        "n_layers": recipe.n_layers,
        "d_model": recipe.d_model,
        "n_heads": recipe.n_heads,
        "d_head": recipe.d_model // recipe.n_heads,
        "d_mlp": recipe.d_mlp,
        "n_ctx": recipe.n_ctx,
        "d_vocab": n_tokens,
        "normalization_type": "LNPre",
        "positional_embedding_type": "standard",
        "act_fn": "gelu",
        "seed": seed,
    }
    return TransformerBridge.boot_native(config)


def different_sequences(
    T: Float[Tensor, "token state next"], n: int, *, length: int, generator: torch.Generator
) -> tuple[Int[Tensor, "train length"], Int[Tensor, "test length"]]:
    """Two halves of up to `n` sequences, no two alike: to fit a probe on, and to test it on."""
    tokens = sample_tokens(T, n, length=length, generator=generator).unique(dim=0)
    tokens = tokens[torch.randperm(len(tokens), generator=generator)]
    return tokens[: len(tokens) // 2], tokens[len(tokens) // 2 :]


@torch.no_grad()
def residuals(
    model: TransformerBridge, tokens: Int[Tensor, "batch pos"], *, batch_size: int = 4096
) -> dict[str, Float[Tensor, "batch feature"]]:
    """The last position: the stream before each block and after the last, and the probabilities."""
    last = model.cfg.n_layers - 1
    names = {f"before block {i}": f"blocks.{i}.hook_resid_pre" for i in range(last + 1)}
    names |= {f"after block {last}": f"blocks.{last}.hook_resid_post"}
    parts = []
    for some in tokens.split(batch_size):
        logits, cache = model.run_with_cache(some, names_filter=list(names.values()))
        part = {place: cache[name][:, -1] for place, name in names.items()}
        parts.append(part | {"output": logits[:, -1].softmax(-1)})
    return {place: torch.cat([part[place] for part in parts]) for place in parts[0]}


@torch.no_grad()
def evaluate(models: dict[str, TransformerBridge], recipe: Recipe, name: str) -> dict:
    """What models of one process predict, and how well a probe finds the belief in them.

    Args:
        models: among them "trained", by whose predictions the bins are made.

    Returns:
        For each model: `excess`, its loss above the ideal observer's in millinats, mean over all
        positions; and for each place of `residuals` the probe's R2 on held-out sequences. Where
        there are two tokens, that is a pair of numbers: the second is the R2 within 50 bins of
        the trained model's own prediction. Under `"features"` the same for what knows no model:
        the exact probabilities of the `next token`, ideal observers of the last k tokens,
        `tokens` (a one-hot of each of the 16) and `token pairs` (all of them, and their products
        by twos).
    """
    T = PROCESSES[name]()
    size = {"n": recipe.eval_batch, "length": recipe.n_ctx}
    train, test = different_sequences(T, **size, generator=torch.Generator().manual_seed(10_000))
    seen, right = (beliefs(half, T)[:, -1] for half in (train, test))
    shown = models["trained"](test)[:, -1].softmax(-1)[:, 1]

    def score(found: Tensor) -> list[float]:
        n_bins = min(50, len(test) // 2)
        inside = [r_squared_within(found, right, shown, n_bins=n_bins)] if len(T) == 2 else []
        return [r_squared(found, right), *inside]

    def probe(fit: Tensor, new: Tensor) -> list[float]:
        return score(ridge(fit, seen, penalty=1e-3)(new))

    fresh = sample_tokens(T, **size, generator=torch.Generator().manual_seed(10_001))
    ideal, out = beliefs(fresh, T), {}
    for title, model in models.items():
        both = residuals(model, train), residuals(model, test)
        out[title] = {"excess": 1000 * excess_loss(model(fresh), ideal, T).mean().item()}
        out[title] |= {place: probe(*(each[place] for each in both)) for place in both[0]}
    features = {"next token": probe(*(next_token_probs(b, T) for b in (seen, right)))}
    for k in (1, 3, 6, 10):
        features[f"last {k}"] = score(remembered(test, k, T))
    tokens = (F.one_hot(half, len(T)).flatten(1).double() for half in (train, test))
    features["tokens"] = probe(*tokens)
    pairs = (token_pairs(half, recipe.n_ctx, n_tokens=len(T)) for half in (train, test))
    features["token pairs"] = probe(*pairs)
    return out | {"features": features}


def exchanges(model: TransformerBridge, T: Float[Tensor, "token=2 state next"]) -> dict:
    """How predictions follow what is exchanged between sequences, at one position or at several.

    Returns:
        By what is exchanged, the slope of the model's change over the ideal observer's and its
        95% interval over pairs. Under "own" for the prediction at the position of the exchange,
        between sequences with the same last token; under "later" for those after it, between
        sequences that predict alike there. "Earlier positions" are, for a prediction at position t,
        0 to t - 1, and "the position itself" is t.
    """
    pairs = equal_predictions(T, generator=torch.Generator().manual_seed(PAIRS))
    rows, at, others = pairs.rows, pairs.at, others_of(pairs)
    after = range(at + 1, rows.shape[1])
    tick = [next_token_probs(beliefs(each, T), T)[:, at : at + 1, 1] for each in (rows, others)]
    before = exchange(model, rows, rows, torch.zeros_like, layer=0)[..., 1]
    out: dict[str, dict] = {}

    def keep(what: str, when: str, change: Tensor, ideal: Tensor) -> None:
        found = follows(change, ideal)
        out.setdefault(what, {})[when] = [round(n, 4) for n in (found.slope, *found.interval)]

    def own(what: str, part: Callable[[Tensor], Tensor], layer: int) -> None:
        changed = exchange(model, rows, others, part, layer=layer)[..., 1] - before
        keep(what, "own", changed[:, at : at + 1], tick[1] - tick[0])

    def later(what: str, part: Callable[[Tensor, int], Tensor], layer: int) -> None:
        changed = [
            exchange(model, rows, pairs.partners, lambda d, t=t: part(d, t), layer=layer)[:, t, 1]
            for t in after
        ]
        keep(what, "later", torch.stack(changed, 1) - before[:, at + 1 :], pairs.ideal)

    later("layer 0, positions 0 to 9, stream", lambda d, t: at_positions(d, range(at + 1)), 0)
    for layer in range(1, model.cfg.n_layers):
        planes = dict(enumerate(belief_planes(model, pairs.others, T, layer=layer)))
        split = {i: plane_directions(plane, T) for i, plane in planes.items()}
        columns = {"plane": planes} | {
            name: {i: each[name] for i, each in split.items()} for name in split[at]
        }
        draw = torch.Generator().manual_seed(10_004)

        def some(of: dict[int, Tensor], positions: Sequence[int]) -> dict[int, Tensor]:
            return {i: of[i] for i in positions}

        def rest(d: Tensor, positions: Sequence[int], planes=planes, some=some) -> Tensor:
            return at_positions(d, positions) - plane_part(d, some(planes, positions))

        def random(
            d: Tensor, positions: Sequence[int], planes=planes, some=some, draw=draw
        ) -> Tensor:
            return random_part(d, some(planes, positions), generator=draw)

        parts = {"stream": at_positions, "rest": rest, "random": random} | {
            name: lambda d, positions, of=of, some=some: plane_part(d, some(of, positions))
            for name, of in columns.items()
        }
        for name, part in parts.items():
            title = f"layer {layer}, one position, {name}"
            own(title, lambda d, part=part: part(d, [at]), layer)
            later(title, lambda d, t, part=part: part(d, [at]), layer)
            title = f"layer {layer}, earlier positions, {name}"
            later(title, lambda d, t, part=part: part(d, range(t)), layer)
        for name in ("stream", "plane"):
            title = f"layer {layer}, the position itself, {name}"
            later(title, lambda d, t, part=parts[name]: part(d, [t]), layer)
        title = f"layer {layer}, positions 0 to 9, plane"
        later(title, lambda d, t, part=parts["plane"]: part(d, range(at + 1)), layer)
    return out


def train(
    recipe: Recipe, name: str, *, seed: int, save_to: Path | None = None
) -> tuple[TransformerBridge, dict]:
    """Train one model of the process called `name`, saving it in `save_to` where that is given.

    Returns:
        The model as it is saved (weights rounded to half precision), and columns over evaluations:
        `step`, `train_loss` in nats, `excess` in millinats.
    """
    T = PROCESSES[name]()
    model = new_model(recipe, n_tokens=len(T), seed=seed)
    saved = new_model(recipe, n_tokens=len(T), seed=seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.lr, betas=(0.9, 0.98), weight_decay=recipe.weight_decay
    )
    fresh = sample_tokens(
        T, recipe.eval_batch, length=recipe.n_ctx, generator=torch.Generator().manual_seed(10_002)
    )
    ideal = beliefs(fresh, T)
    generator = torch.Generator().manual_seed(seed)

    def gradients(step: int) -> Tensor:
        tokens = sample_tokens(T, recipe.batch, length=recipe.n_ctx + 1, generator=generator)
        logits = model(tokens[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        return loss

    @torch.no_grad()
    def measure(step: int) -> dict[str, float]:
        training.copy_as_saved(model, saved)
        return {"excess": 1000 * excess_loss(saved(fresh), ideal, T).mean().item()}

    log, _ = training.train(
        gradients,
        [optimizer],
        title=f"{name}, seed {seed}",
        steps=recipe.steps,
        warmup=recipe.warmup,
        fall=lambda step: 1 - step / recipe.steps,
        measured_at={*range(0, recipe.steps, recipe.eval_every), recipe.steps},
        measure=measure,
    )
    if save_to:
        save_native(saved, save_to)
    return saved, log


def make(out: Path, recipe: Recipe, *, seed: int, seeds: list[int]) -> None:
    """Write the models and `log.json` for `seed`, and `seeds.json` for all of them, into `out`."""
    log: dict = {}
    summary: dict = {"recipe": asdict(recipe)}
    for name, process in PROCESSES.items():
        n_tokens = len(process())
        for current in sorted({seed, *seeds}):
            save_to = out / name if current == seed else None
            trained, columns = train(recipe, name, seed=current, save_to=save_to)
            untrained = new_model(recipe, n_tokens=n_tokens, seed=NEW + current)
            measured = evaluate({"trained": trained, "untrained": untrained}, recipe, name)
            features = measured.pop("features")  # in bins of this model's prediction
            if current == seed:
                summary[f"{name}, features"] = features
            if n_tokens == 2:
                measured["exchanges"] = exchanges(trained, process())
            summary[f"{name}, seed {current}"] = measured
            if save_to:
                log[name] = columns
    training.write_json(out / "log.json", log)
    training.write_json(out / "seeds.json", summary)


def main(arguments: list[str] | None = None) -> None:
    seeds = {"type": int, "nargs": "*", "default": [0, 1, 2], "help": "also summarised"}
    args = training.options(arguments, __doc__, HERE, seeds=seeds)
    recipe = TINY if args.tiny else Recipe()
    make(args.out, recipe, seed=args.seed, seeds=[] if args.tiny else args.seeds)


if __name__ == "__main__":
    main()
