"""Train the toy models of lesson 1.2: two attention layers that learn induction, one that cannot.

Run it from the repository's root: `python -m data.induction.make`. README.md beside this file says
what comes out, and why the recipe is what it is.
"""

import shutil
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from data import training
from data.native import save_native
from utils.heads import ablated

HERE = Path(__file__).resolve().parent
BOS = 0
MODELS = {"two_layer": 2, "one_layer": 1}
UNKNOWN = 7  # the seed of the two-layer model whose circuit the lesson asks for


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result, besides the seed. Lengths in tokens."""

    n_tokens: int = 64  # ids 1 to n_tokens; BOS is id 0
    seq_len: int = 48  # BOS included
    min_len: int = 10  # of the repeated segment
    max_len: int = 23
    skew: float = 0.5  # token i is drawn with probability ~ i ** -skew
    d_model: int = 64
    n_heads: int = 4
    d_head: int = 16
    batch: int = 32
    lr: float = 0.1
    warmup: int = 50  # steps; constant ever after
    eps: float = 0.1  # Adam's: this large, it is close to momentum SGD (README.md says why)
    weight_decay: float = 0.01
    eval_batch: int = 256
    eval_every: int = 100
    # Set before the shipped runs, dense where trial runs had changed; not moved afterwards.
    checkpoints: tuple[int, ...] = (0, 100, 200, 400, 700, *range(1000, 3001, 200), 3500, 4000)


TINY = replace(Recipe(), batch=8, eval_batch=8, eval_every=5, checkpoints=(0, 10, 20))


# ---- Data ---------------------------------------------------------------------------------------


def make_batch(
    recipe: Recipe, batch: int, *, generator: torch.Generator
) -> tuple[Int[Tensor, "batch seq"], Int[Tensor, "batch seq"]]:
    """Random tokens in which one segment, of random length and place, occurs a second time.

    Every token is drawn by itself, so nothing but the repeat can be predicted: neither from the
    token before (no bigrams), nor at a fixed distance (the lag differs from sequence to sequence).

    Returns:
        `tokens`: BOS (id 0), then ids from 1 to `n_tokens`.
        `source`: for a token of the second occurrence, the position it is a copy of; -1 elsewhere.

    Raises:
        ValueError: two segments of `max_len` and a BOS do not fit into `seq_len`.
    """
    seq_len, min_len, max_len = recipe.seq_len, recipe.min_len, recipe.max_len
    if not 0 < min_len <= max_len or 2 * max_len + 1 > seq_len:
        raise ValueError(f"Two segments of {max_len} and a BOS do not fit into {seq_len} tokens.")
    length = torch.randint(min_len, max_len + 1, (batch, 1), generator=generator)
    slack = seq_len - 1 - 2 * length  # fresh tokens: before, between and after the segments
    cuts = torch.rand(batch, 2, generator=generator).sort(-1).values
    cuts = (cuts * (slack + 1)).long()
    first = 1 + cuts[:, :1]
    second = 1 + cuts[:, 1:] + length

    pos = torch.arange(seq_len)
    repeated = (pos >= second) & (pos < second + length)
    source = torch.where(repeated, pos - (second - first), -1)

    weight = torch.arange(1, recipe.n_tokens + 1, dtype=torch.float64) ** -recipe.skew
    fresh = torch.multinomial(weight, batch * seq_len, replacement=True, generator=generator)
    tokens = 1 + fresh.view(batch, seq_len)
    tokens[:, 0] = BOS
    return torch.where(repeated, tokens.gather(1, source.clamp(min=0)), tokens), source


def eval_batch(recipe: Recipe) -> tuple[Int[Tensor, "batch seq"], Int[Tensor, "batch seq"]]:
    """Always the same fresh sequences, to measure on."""
    generator = torch.Generator().manual_seed(10_000)
    return make_batch(recipe, recipe.eval_batch, generator=generator)


def repeat_targets(
    source: Int[Tensor, "batch seq"],
) -> tuple[Int[Tensor, " target"], Int[Tensor, " target"], Int[Tensor, " target"]]:
    """The tokens that induction can predict, as `(row, position, position of the original)`.

    That is the second occurrence without its first token, whose coming nothing announces.
    """
    row, before = ((source[:, 1:] >= 0) & (source[:, :-1] >= 0)).nonzero(as_tuple=True)
    return row, before + 1, source[row, before + 1]


def replace_current(
    tokens: Int[Tensor, "target seq"],
    pos: Int[Tensor, " target"],
    *,
    n_tokens: int,
    generator: torch.Generator,
) -> Int[Tensor, "target seq"]:
    """The same with a random token just before position `pos[i]` of each row i: a control.

    Induction looks for where the current token came before, so it loses all it had. Whoever copies
    from the context without comparing tokens (any one-layer model) loses next to nothing.
    """
    tokens = tokens.clone()
    every = torch.arange(len(tokens))
    tokens[every, pos - 1] = torch.randint(1, n_tokens + 1, (len(tokens),), generator=generator)
    return tokens


# ---- Measures -----------------------------------------------------------------------------------


def token_loss(
    logits: Float[Tensor, "batch seq vocab"], tokens: Int[Tensor, "batch seq"]
) -> Float[Tensor, "batch seq"]:
    """Each token's loss in nats, at that token's own position (BOS, which has none, gets 0)."""
    loss = F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")
    return F.pad(loss, (1, 0))


@torch.no_grad()
def evaluate(model: TransformerBridge, recipe: Recipe) -> dict:
    """What the model does on fresh sequences, always the same ones. Losses in nats a token.

    Returns:
        loss_first: the repeated tokens, where they occur first.
        loss_repeat: the same tokens, where they occur again.
        current_token: what `loss_repeat` gains, by `replace_current`, when the token before each
            target is replaced (on up to 1,024 of the targets). What the model owes to comparing.
        accuracy: share of the repeated tokens that get the highest logit.
        previous_token: `[layer][head]`, mean attention to the token before.
        induction: `[layer][head]`, mean attention from a repeated token to the one after its
            first occurrence.
    """
    tokens, source = eval_batch(recipe)
    generator = torch.Generator().manual_seed(10_001)
    row, pos, origin = repeat_targets(source)
    logits, cache = model.run_with_cache(tokens, names_filter=lambda n: n.endswith("hook_pattern"))
    loss = token_loss(logits, tokens)
    some = torch.randperm(len(row), generator=generator)[:1024]
    changed = replace_current(
        tokens[row[some]], pos[some], n_tokens=recipe.n_tokens, generator=generator
    )
    blind = token_loss(model(changed), changed)[torch.arange(len(some)), pos[some]]
    patterns = [cache[f"blocks.{i}.attn.hook_pattern"] for i in range(model.cfg.n_layers)]
    right = logits[row, pos - 1].argmax(-1) == tokens[row, pos]
    return {
        "loss_first": loss[row, origin].mean().item(),
        "loss_repeat": loss[row, pos].mean().item(),
        "current_token": (blind - loss[row[some], pos[some]]).mean().item(),
        "accuracy": right.float().mean().item(),
        "previous_token": [
            p.diagonal(-1, dim1=-2, dim2=-1).mean((0, 2)).tolist() for p in patterns
        ],
        "induction": [p[row, :, pos - 1, origin].mean(0).tolist() for p in patterns],
    }


@torch.no_grad()
def ablations(model: TransformerBridge, recipe: Recipe, measures: dict) -> dict[str, float]:
    """`loss_repeat`, in nats, with each head mean-ablated, and with each kind of head at once."""
    tokens, source = eval_batch(recipe)
    row, pos, _ = repeat_targets(source)

    def loss_without(heads) -> float:
        with ablated(model, heads):
            return token_loss(model(tokens), tokens)[row, pos].mean().item()

    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    every = [(layer, head) for layer in range(n_layers) for head in range(n_heads)]
    last = n_layers - 1
    induction = [(last, i) for i, score in enumerate(measures["induction"][last]) if score > 0.2]
    others = [h for h in every if h[0] == last and h not in induction]
    return {f"L{layer}H{head}": loss_without([(layer, head)]) for layer, head in every} | {
        "all induction heads": loss_without(induction),
        "the last layer's other heads": loss_without(others),
    }


@torch.no_grad()
def repeated_random(model: TransformerBridge, recipe: Recipe) -> dict[str, float]:
    """Loss in nats on the lesson's own test: a uniformly random half, then that half again."""
    half = (recipe.seq_len - 1) // 2
    sequences = replace(recipe, min_len=half, max_len=half, skew=0.0)
    generator = torch.Generator().manual_seed(10_002)
    tokens, source = make_batch(sequences, recipe.eval_batch, generator=generator)
    row, pos, origin = repeat_targets(source)
    loss = token_loss(model(tokens), tokens)
    return {"first": loss[row, origin].mean().item(), "repeat": loss[row, pos].mean().item()}


def baselines(recipe: Recipe) -> dict[str, float]:
    """Loss in nats on the repeated tokens of predictors that are counted, not trained.

    Each mixes the true token `frequency` with evidence from the context, in the best proportion:
    `bag`, how often each token has come so far; `position`, the token at each earlier position,
    weighted by how often the original lies there; `induction`, what followed the current token
    earlier on (`bag` where it has not come before). Only the last compares tokens. `position`
    is told that this is a repeat, which no model is, so it bounds from below what a model
    without composition can reach.
    """
    tokens, source = eval_batch(recipe)
    row, pos, _ = repeat_targets(source)
    _, many = make_batch(recipe, 20_000, generator=torch.Generator().manual_seed(10_003))
    _, at, whence = repeat_targets(many)
    where = torch.zeros(recipe.seq_len, recipe.seq_len)
    where.index_put_((at, whence), torch.ones(len(at)), accumulate=True)
    where /= where.sum(-1, keepdim=True).clamp(min=1)

    index = torch.arange(recipe.seq_len)
    context = tokens[row]
    earlier = (index > 0) & (index < pos[:, None])
    right = (context == tokens[row, pos][:, None]) & earlier
    # Position i follows the current token if i - 1 holds the same one.
    same = F.pad(context[:, :-1] == tokens[row, pos - 1][:, None], (1, 0)) & earlier
    bag = right.sum(-1) / earlier.sum(-1)
    follow = (right & same).sum(-1) / same.sum(-1)
    evidence = {
        "bag": bag,
        "position": (where[pos] * right).sum(-1),
        "induction": torch.where(same.any(-1), follow, bag),
    }
    weight = torch.arange(1, recipe.n_tokens + 1).float() ** -recipe.skew
    prior = (weight / weight.sum())[tokens[row, pos] - 1]
    share = torch.linspace(0, 0.99, 100)[:, None]

    def best(seen: Tensor) -> float:
        return -((1 - share) * prior + share * seen).log().mean(-1).max().item()

    return {"frequency": -prior.log().mean().item()} | {k: best(v) for k, v in evidence.items()}


def phase_change(log: dict) -> dict[str, int | None]:
    """Between which evaluations the model came to compare the current token with earlier ones.

    The measure is `current_token`, in nats. `begin` and `end` are the first steps at which it is
    above 10% and 90% of its last value; both None where that value is under 1.
    """
    last = log["current_token"][-1]
    if last < 1:
        return {"begin": None, "end": None}

    def first_above(share: float) -> int:
        pairs = zip(log["step"], log["current_token"], strict=True)
        return next(step for step, value in pairs if value > share * last)

    return {"begin": first_above(0.1), "end": first_above(0.9)}


# ---- Training -----------------------------------------------------------------------------------


def new_model(recipe: Recipe, *, n_layers: int, seed: int) -> TransformerBridge:
    """An untrained attention-only model; learned positions, and norms without parameters."""
    config = {
        "n_layers": n_layers,
        "d_model": recipe.d_model,
        "n_heads": recipe.n_heads,
        "d_head": recipe.d_head,
        "n_ctx": recipe.seq_len,
        "d_vocab": recipe.n_tokens + 1,
        "attn_only": True,
        "normalization_type": "LNPre",
        "positional_embedding_type": "standard",
        "act_fn": "gelu",  # unused: there is no MLP
        "seed": seed,
    }
    return TransformerBridge.boot_native(config)


def train(recipe: Recipe, *, n_layers: int, seed: int, title: str, save_to: Path | None) -> dict:
    """Train one model, saving its checkpoints in `save_to` where that is given.

    Returns:
        `{"log": columns over evaluations, "final": what is measured once, at the end}`. All are
        measured on the half-precision weights that are (or would be) saved.
    """
    model = new_model(recipe, n_layers=n_layers, seed=seed)
    saved = new_model(recipe, n_layers=n_layers, seed=seed)  # holds what a checkpoint holds
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=recipe.lr,
        betas=(0.9, 0.98),
        eps=recipe.eps,
        weight_decay=recipe.weight_decay,
    )
    generator = torch.Generator().manual_seed(seed)  # both models see the same sequences

    def gradients(step: int) -> Tensor:
        tokens, _ = make_batch(recipe, recipe.batch, generator=generator)
        loss = token_loss(model(tokens), tokens)[:, 1:].mean()
        loss.backward()
        return loss

    def measure(step: int) -> dict:
        training.copy_as_saved(model, saved)
        if save_to and step in recipe.checkpoints:
            save_native(saved, save_to / f"step_{step:05d}")
        return evaluate(saved, recipe)

    last = max(recipe.checkpoints)
    log, _ = training.train(
        gradients,
        [optimizer],
        title=title,
        steps=last,
        warmup=recipe.warmup,
        measured_at={*range(0, last, recipe.eval_every), *recipe.checkpoints},
        measure=measure,
    )
    final = {key: column[-1] for key, column in log.items() if key not in ("step", "train_loss")}
    final["phase_change"] = phase_change(log)
    final["loss_repeat_without"] = ablations(saved, recipe, final)
    final["repeated_random"] = repeated_random(saved, recipe)
    if n_layers == 2:  # [head of layer 0][head of layer 1]
        final["k_composition"] = saved.all_composition_scores("K").scores[0, :, 1].tolist()
    return {"log": log, "final": final}


def make(out: Path, recipe: Recipe, *, seed: int, seeds: list[int]) -> None:
    """Write checkpoints and `log.json` for `seed`, and `seeds.json` for all of them, into `out`."""
    log: dict = {}
    summary: dict = {"recipe": asdict(recipe), "baselines": baselines(recipe)}
    for current in sorted({seed, *seeds}):
        for name, n_layers in MODELS.items():
            folder = out / name if current == seed else None
            if folder:
                shutil.rmtree(folder, ignore_errors=True)  # no checkpoint of an earlier recipe
            title = f"{name}, seed {current}"
            made = train(recipe, n_layers=n_layers, seed=current, title=title, save_to=folder)
            summary[title] = made["final"]
            if folder:
                log[name] = made["log"]
    training.write_json(out / "log.json", log)
    training.write_json(out / "seeds.json", summary)


def make_unknown(out: Path, recipe: Recipe) -> None:
    """Write the last checkpoint of one more two-layer model; nothing of it goes into the logs."""
    with tempfile.TemporaryDirectory() as folder:
        train(recipe, n_layers=2, seed=UNKNOWN, title="unknown", save_to=Path(folder))
        last = Path(folder) / f"step_{max(recipe.checkpoints):05d}"
        shutil.copytree(last, out / "unknown", dirs_exist_ok=True)


def main(arguments: list[str] | None = None) -> None:
    seeds = {"type": int, "nargs": "*", "default": [0, 1, 2], "help": "also summarised"}
    args = training.options(arguments, __doc__, HERE, seeds=seeds)
    recipe = TINY if args.tiny else Recipe()
    make(args.out, recipe, seed=args.seed, seeds=[] if args.tiny else args.seeds)
    make_unknown(args.out, recipe)


if __name__ == "__main__":
    main()
