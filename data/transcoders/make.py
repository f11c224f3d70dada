"""Transcoders of one MLP of SmolLM2, and of every MLP of a small CountDown model.

make data D=transcoders                             # two hours of one core
python -m data.transcoders.make --name countdown    # one of the two
python -m data.transcoders.make --tiny --out /tmp/transcoders   # a trial
"""

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from data.chat.task import texts
from data.countdown import make as countdown
from data.countdown import task
from data.sae.make import shuffled
from data.training import options, rounded, train, write_json
from utils.features import sae as saes
from utils.features.transcoders import (
    Passed,
    Transcoder,
    harvest_mlp,
    load_transcoder,
    losses_with_mlp,
    random_transcoder,
    save_transcoder,
)
from utils.models import load

FOLDER = Path(__file__).parent
LAYER, WIDTH, K = 15, 2304, 32  # of SmolLM2
SMALL_WIDTH, SMALL_K = 768, 8  # of each MLP of the CountDown model
BATCH, LR = 1024, 5e-3
PART = 512  # texts harvested at once
LOSS_TEXTS = 100
N_TRACES = 8_000
NAMES = ("smollm2", "countdown")


def passed(model, rows: list[Tensor], *, layer: int) -> Passed:
    """What went through one MLP, in half precision."""
    parts = [rows[at : at + PART] for at in range(0, len(rows), PART)]
    found = [harvest_mlp(model, part, layer=layer) for part in parts]
    return Passed(torch.cat([p.x.half() for p in found]), torch.cat([p.y.half() for p in found]))


def fit(
    transcoder: Transcoder, seen: Passed, *, steps: int, lr: float = LR, dead_after: int = 200
) -> list[float]:
    """Train in place; each step's share of variance unexplained.

    A latent that has not fired for `dead_after` steps is dead; the likeliest dead ones learn to
    explain the error (AuxK of arXiv 2406.04093, weight 1/32).
    """
    mean, spread = seen.y[:20_000].float().mean(0), seen.y[:20_000].float().var(0).sum()
    transcoder.b_dec.data.copy_(mean)
    transcoder.b_enc.data.copy_(-seen.x[:20_000].float().mean(0) @ transcoder.W_enc.data)
    silent = torch.zeros(len(transcoder.b_enc), dtype=torch.long)
    order = shuffled(torch.arange(len(seen.x))[:, None], batch_size=BATCH)

    def gradients(step: int) -> Tensor:
        rows = order(step)[:, 0].long()
        x, y = seen.x[rows].float(), seen.y[rows].float()
        pre = transcoder.pre_acts(x)
        values, at = pre.topk(transcoder.k, dim=-1, sorted=False)
        acts = values.relu()  # of few latents, whose directions alone are read
        made = embedding_bag(at, transcoder.W_dec, per_sample_weights=acts, mode="sum")
        made = made + transcoder.b_dec
        if transcoder.W_skip is not None:
            made = made + x @ transcoder.W_skip
        error = y - made
        loss = error.square().sum(-1).mean() / spread
        silent.add_(1)[at[acts > 0]] = 0
        dead = (silent >= dead_after).nonzero()[:, 0]
        total = loss
        if len(dead):
            few = pre[:, dead].topk(min(len(dead), 8 * transcoder.k), dim=-1)
            others = torch.zeros_like(pre[:, dead]).scatter(-1, few.indices, few.values.relu())
            left = (error.detach() - others @ transcoder.W_dec[dead]).square().sum(-1).mean()
            total = loss + left / spread / 32
        total.backward()
        return loss.detach()

    _, losses = train(
        gradients,
        [torch.optim.Adam(transcoder.parameters(), lr=lr, fused=True)],
        title="transcoder",
        steps=steps,
        warmup=50,
        fall=lambda step: (steps - step) / max(0.3 * steps, 1),
        measured_at=range(0, steps + 1, 100),
        measure=lambda step: {"dead": (silent >= dead_after).float().mean().item()},
    )
    return losses


def of_output(seen: Passed) -> Passed:
    """What an SAE of the MLP's output is trained on: to write what it reads."""
    return Passed(seen.y, seen.y)


def explained(stand_in: Callable[[Passed], Tensor], seen: Passed) -> float:
    """The share of the output's variance that a stand-in explains."""
    y = seen.y.float()
    left = sum(
        (stand_in(Passed(a.float(), b.float())) - b.float()).square().sum()
        for a, b in zip(seen.x.split(4096), seen.y.split(4096), strict=True)
    )
    return (1 - left / (y - y.mean(0)).square().sum()).item()


def linear(seen: Passed, *, penalty: float = 1.0) -> Callable[[Tensor], Tensor]:
    """The affine map of least squares from what an MLP reads to what it writes."""
    x, y = seen.x.float(), seen.y.float()
    centred = x - x.mean(0)
    gram = centred.T @ centred + penalty * torch.eye(x.shape[1])
    W = torch.linalg.solve(gram, centred.T @ (y - y.mean(0)))
    return lambda v: (v - x.mean(0)) @ W + y.mean(0)


def report(
    model, stand_ins: Mapping[str, Callable[[Passed], Tensor]], held_out: list[Tensor]
) -> dict:
    """Variance explained and loss recovered of each, on texts that no training has seen."""
    seen = passed(model, held_out, layer=LAYER)
    spliced = {name: lambda x, y, each=each: each(Passed(x, y)) for name, each in stand_ins.items()}
    losses = losses_with_mlp(model, held_out[:LOSS_TEXTS], spliced, layer=LAYER)
    out = {
        "held-out tokens": len(seen.x),
        "texts for the loss": LOSS_TEXTS,
        "explained": {name: explained(each, seen) for name, each in stand_ins.items()},
        "loss": {name: each.mean().item() for name, each in losses.items()},
    }
    for ablation in ("zero", "mean"):
        ends = {"clean": losses["clean"], "ablated": losses[ablation]}
        out[f"recovered of {ablation}"] = {
            name: saes.loss_recovered(losses[name], **ends)
            for name in stand_ins
            if name != ablation
        }
    return out


def smollm2(out: Path, *, tiny: bool) -> None:
    """Two transcoders of one MLP, and an SAE of its output and controls to compare them with."""
    model, rows = load(device="cpu"), texts("train")[::2]
    seen = passed(model, rows[:30] if tiny else rows, layer=LAYER)
    width, steps = (64, 5) if tiny else (WIDTH, 3 * len(seen.x) // BATCH)
    d = model.cfg.d_model
    made = {name: Transcoder(d, width, d, k=K, skip=name == "skip") for name in ("plain", "skip")}
    made["sae"] = Transcoder(d, width, d, k=K)
    found: dict = {"training tokens": len(seen.x), "steps": steps, "latents": width, "k": K}
    for name, each in made.items():
        losses = fit(each, of_output(seen) if name == "sae" else seen, steps=steps)
        found[f"loss of {name}, every 100 steps"] = losses[::100]
        if name != "sae":
            about = {
                "model": "SmolLM2-135M-Instruct",
                "hook": f"blocks.{LAYER}.mlp",
                "steps": steps,
            }
            save_transcoder(each, out / "smollm2" / name, **about)
            made[name] = load_transcoder(out / "smollm2" / name)
    some = Passed(*(part[:: 1 + len(part) // 60_000] for part in seen))
    affine = linear(some)
    random_one = random_transcoder(some.x.float(), some.y.float(), width, k=K)
    mean = some.y.float().mean(0)
    components = saes.pca(some.y.float(), K)
    stand_ins = {
        "zero": lambda p: torch.zeros_like(p.y),
        "mean": lambda p: mean.expand_as(p.y),
        "transcoder": lambda p: made["plain"](p.x),
        "skip transcoder": lambda p: made["skip"](p.x),
        "sae of the output": torch.no_grad()(lambda p: made["sae"](p.y)),
        "affine map": lambda p: affine(p.x),
        "random latents": lambda p: random_one(p.x),
        f"pca {K} of the output": lambda p: components(p.y),
    }
    held_out = [row for row in texts("held_out") if len(row) > 1]
    found |= report(model, stand_ins, held_out[: LOSS_TEXTS if tiny else 300])
    density = (
        made["plain"].encode(passed(model, held_out[:100], layer=LAYER).x.float()) > 0
    ).float()
    found["never active on 100 held-out texts"] = (density.mean(0) == 0).float().mean().item()
    write_json(out / "smollm2" / "report.json", rounded(found))


def traces(n: int, *, test: bool, seed: int) -> list[Tensor]:
    """Searches such as the CountDown model was trained on, as token ids without BOS."""
    generator, recipe = random.Random(seed), countdown.RECIPES["seed_0"]
    drawn = task.puzzles(generator, test=test, variable=recipe.variable_header)
    written = (countdown.trace(generator, drawn, recipe) for _ in range(n))
    return [torch.tensor([countdown.IDS[word] for word in words[1:]]) for words in written]


def every_mlp(out: Path, *, tiny: bool) -> None:
    """A transcoder of each MLP of `countdown/seed_0`."""
    model, rows = (
        load("countdown/seed_0", device="cpu"),
        traces(40 if tiny else N_TRACES, test=False, seed=0),
    )
    unseen = traces(200, test=True, seed=1)
    found: dict = {"latents": SMALL_WIDTH, "k": SMALL_K, "explained": [], "affine map": []}
    for layer in range(model.cfg.n_layers):
        seen, test = passed(model, rows, layer=layer), passed(model, unseen, layer=layer)
        steps = 5 if tiny else 3 * len(seen.x) // BATCH
        own = torch.Generator().manual_seed(layer)  # so that a number means nothing across layers
        sizes = model.cfg.d_model, SMALL_WIDTH, model.cfg.d_model
        each = Transcoder(*sizes, k=SMALL_K, generator=own)
        fit(each, seen, steps=steps)
        folder = out / "countdown" / str(layer)
        save_transcoder(each, folder, model="countdown/seed_0", hook=f"blocks.{layer}.mlp")
        kept, affine = load_transcoder(folder), linear(Passed(seen.x[:60_000], seen.y[:60_000]))
        found["explained"].append(explained(lambda p, kept=kept: kept(p.x), test))
        found["affine map"].append(explained(lambda p, affine=affine: affine(p.x), test))
        found |= {"training tokens": len(seen.x), "steps": steps}
    write_json(out / "countdown" / "report.json", rounded(found))


def main(arguments: list[str] | None = None) -> None:
    found = options(arguments, __doc__ or "", FOLDER, name={"choices": NAMES})
    recipes = {"smollm2": smollm2, "countdown": every_mlp}
    for name in [found.name] if found.name else NAMES:
        recipes[name](found.out, tiny=found.tiny)


if __name__ == "__main__":
    main()
