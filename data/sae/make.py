"""The SAE of SmolLM2's layer 15, and one of the same model with random weights of like statistics.

make data D=sae                              # some five hours on two cores
python -m data.sae.make --name smollm2       # one of the two
python -m data.sae.make --epochs 0.1 --out /tmp/sae   # a trial, which may not go where these are
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from data.chat.task import texts
from data.training import rounded, train, write_json
from utils.features import sae as saes
from utils.features.dashboards import activity, corpus, some
from utils.features.twin import matched_random
from utils.models import load

FOLDER = Path(__file__).parent
LAYER, WIDTH, K = 15, 4608, 32
BATCH, LR, EPOCHS = 1024, 2e-3, 8
LOSS_TEXTS = 200
SPLITS = {"reading": ("train", 15_000), "held_out": ("held_out", 8_000)}  # tokens of each
CONTROLS = 400  # directions to vectors of the stream whose activity is kept
PART = 20_000  # about so many tokens are harvested at once
ACTIVITY = "activity.safetensors"
NAMES = ("smollm2", "matched")


def model_of(name: str, device: str):
    """SmolLM2, or the same with each matrix drawn at random, its mean and spread kept."""
    model = load(device=device)
    return model if name == "smollm2" else matched_random(model, seed=0)


def write_activity(model, sae: saes.TopKSAE, file: Path) -> None:
    """What is active at each token of two sets of texts: the SAE's latents, and its control's.

    The control is `WIDTH` directions that lead from the mean to vectors of the same stream, K of
    which are active at a token; `CONTROLS` of them, drawn at random, are kept.
    """
    kept, control = {}, saes.TopKSAE(sae.d_in, sae.d_sae, k=sae.k)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randperm(sae.d_sae, generator=generator)[:CONTROLS].sort().values
    for split, (part, n_tokens) in SPLITS.items():
        rows = some(texts(part), n_tokens)
        x, read = saes.harvest(model, rows, layer=LAYER), corpus(rows)
        if split == "reading":
            usual = saes.without_sinks(x)
            order = torch.randperm(len(usual), generator=generator)[: sae.d_sae]
            directions = torch.nn.functional.normalize(usual[order] - usual.mean(0))
            control.b_dec.data.copy_(usual.mean(0))
            control.W_dec.data.copy_(directions)
            control.W_enc.data.copy_(directions.T)
        own, others = (activity(each.encode, x, k=sae.k) for each in (sae, control))
        few = others.of(drawn)
        value, index = few.topk(int((few > 0).sum(1).max()), dim=1)
        kept[f"{split}.tokens"] = read.tokens.int()
        kept[f"{split}.text"] = read.text.short()
        kept[f"{split}.index"], kept[f"{split}.value"] = own.index.short(), own.value.half()
        kept[f"{split}.control_index"], kept[f"{split}.control_value"] = index.short(), value.half()
    save_file({name: tensor.contiguous() for name, tensor in kept.items()}, file)


def report(model, sae: saes.SAE, train: torch.Tensor, held_out: list[torch.Tensor]) -> dict:
    """The SAE on held-out texts, beside PCA with K components and dictionaries nobody trained."""
    x = saes.harvest(model, held_out, layer=LAYER)
    usual = saes.without_sinks(x)
    found = saes.quality(sae, usual)
    density = found.density.clamp(min=1e-6).log10()
    out = {
        "held-out tokens": len(x),
        "of these much too long, left out of the variance": len(x) - len(usual),
        "l0": found.l0,
        "dead": found.dead,
        "log10 of density, from -6 in halves": density.histc(12, -6, 0).int().tolist(),
        "explained": {"sae": found.explained},
    }
    controls = {
        f"pca {K}": saes.pca(train, K),
        "random dictionary": saes.random_dictionary(train, WIDTH, k=K),
        "dictionary of vectors": saes.random_dictionary(train, WIDTH, k=K, of_vectors=True),
    }
    for name, side in controls.items():
        left = sum((side(part) - part).square().sum() for part in usual[::4].split(4096))
        out["explained"][name] = 1 - left / (usual[::4] - usual.mean(0)).square().sum()
    mean = train.mean(0)
    stand_ins = {"zero": torch.zeros_like, "mean": lambda v: mean.to(v).expand_as(v)}
    stand_ins |= {"sae": torch.no_grad()(sae.forward)} | controls
    rows = [row for row in held_out if len(row) > 1][:LOSS_TEXTS]
    losses = saes.losses_with(model, rows, stand_ins, layer=LAYER)
    out["loss"] = {name: loss.mean() for name, loss in losses.items()}
    out["texts for the loss"] = len(rows)
    for ablation in ("zero", "mean"):
        ends = {"clean": losses["clean"], "ablated": losses[ablation]}
        out[f"recovered of {ablation}"] = {
            name: saes.loss_recovered(losses[name], **ends) for name in ("sae", *controls)
        }
    return json.loads(json.dumps(out, default=float))


def stream(model, rows: list[Tensor]) -> Tensor:
    """The vectors of all texts, in float16; those much too long are left out (`without_sinks`)."""
    parts, part = [], []
    for row in [*rows, None]:
        if row is not None:
            part.append(row)
        if part and (row is None or sum(map(len, part)) >= PART):
            parts.append(saes.without_sinks(saes.harvest(model, part, layer=LAYER)).half())
            part = []
    return torch.cat(parts)


def shuffled(vectors: Tensor, *, batch_size: int) -> Callable[[int], Tensor]:
    """The batch of a step: every epoch has the vectors in an order of its own."""
    epochs: dict[int, Tensor] = {}

    def batch(step: int) -> Tensor:
        epoch, at = divmod(step, len(vectors) // batch_size)
        if epoch not in epochs:
            generator = torch.Generator().manual_seed(500_000 + epoch)
            epochs.clear()
            epochs[epoch] = torch.randperm(len(vectors), generator=generator)
        return vectors[epochs[epoch][at * batch_size :][:batch_size]].float()

    return batch


def fit(
    sae: saes.SAE,
    batches: Callable[[int], Tensor],
    *,
    steps: int,
    scale: float,
    lr: float = LR,
    dead_after: int = 200,
) -> list[float]:
    """Train on batches divided by `scale`, in place; the loss of every step.

    The decoder's rows keep length 1. A latent that has not fired for `dead_after` steps is dead.
    At the end the SAE is made one for whole vectors.

    Raises:
        ValueError: a loss is NaN or infinite.
    """
    device = sae.W_dec.device
    adam = torch.optim.Adam(sae.parameters(), lr=lr, fused=device.type in ("cpu", "cuda"))
    silent = torch.zeros(sae.d_sae, dtype=torch.long, device=device)

    @torch.no_grad()
    def length_1(*_) -> None:
        sae.W_dec /= sae.W_dec.norm(dim=1, keepdim=True)

    def gradients(step: int) -> Tensor:
        loss, fired = sae.loss(batches(step).to(device) / scale, dead=silent >= dead_after)
        loss.backward()
        with torch.no_grad():
            along = (sae.W_dec.grad * sae.W_dec).sum(1, keepdim=True)
            sae.W_dec.grad -= along * sae.W_dec
            silent.copy_(torch.where(fired, 0, silent + 1))
        return loss.detach()

    adam.register_step_post_hook(length_1)
    _, losses = train(
        gradients,
        [adam],
        title="SAE",
        steps=steps,
        warmup=50,
        fall=lambda step: (steps - step) / max(0.3 * steps, 1),
        measured_at=range(0, steps + 1, 200),
        measure=lambda step: {"dead": (silent >= dead_after).float().mean().item()},
    )
    sae.rescale(scale)
    return losses


def make(name: str, *, epochs: float, device: str, out: Path = FOLDER) -> None:
    """Train one SAE, measure it, and keep where it is active."""
    model = model_of(name, device)
    train_rows, held_out = texts("train"), texts("held_out")
    vectors = stream(model, train_rows)
    some_vectors = vectors[:: 1 + len(vectors) // 10_000].float()
    mean = some_vectors.mean(0)
    scale = (some_vectors - mean).square().sum(1).mean().sqrt().item()
    sae = saes.TopKSAE(model.cfg.d_model, WIDTH, k=K).to(device)
    sae.b_dec.data.copy_(mean / scale)
    n_tokens = sum(map(len, train_rows))
    steps, batches = int(epochs * n_tokens / BATCH), shuffled(vectors, batch_size=BATCH)
    losses = fit(sae, batches, steps=steps, scale=scale)
    metadata = {
        "model_name": "SmolLM2-135M-Instruct",
        "hook_name": f"blocks.{LAYER}.hook_resid_pre",
    }
    metadata |= {"weights": name, "training_tokens": n_tokens, "epochs": epochs}
    saes.save_sae(sae, out / name, dtype=torch.float16, **metadata)
    found = {"scale": scale, "steps": steps, "loss, every 100 steps": losses[::100]}
    seen = torch.cat([batches(step) for step in range(20)])
    found |= report(model, saes.load_sae(out / name, device=device), seen, held_out)
    write_json(out / name / "report.json", rounded(found))
    write_activity(model, saes.load_sae(out / name, device=device), out / name / ACTIVITY)
    print(json.dumps(rounded(found), indent=1))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", choices=NAMES)
    parser.add_argument("--epochs", type=float, default=EPOCHS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write into")
    found = parser.parse_args(arguments)
    if found.epochs < EPOCHS and found.out.resolve() == FOLDER:
        parser.error("This would overwrite what is shipped: name another folder by --out")
    for name in [found.name] if found.name else NAMES:
        make(name, epochs=found.epochs, device=found.device, out=found.out)


if __name__ == "__main__":
    main()
