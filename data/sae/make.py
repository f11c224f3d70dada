"""The SAE of SmolLM2's layer 15, and its twin on a model that was never trained.

make data D=sae                              # an hour and a half on two cores
python -m data.sae.make --name smollm2       # one of the two
"""

import argparse
import json
from functools import partial
from pathlib import Path

import torch

from data import sampling
from data.chat import make as chat
from data.stories import make as stories
from data.training import rounded, write_json
from utils.features import sae as saes
from utils.fetch import DEFAULT, fetch
from utils.models import load

FOLDER = Path(__file__).parent
LAYER, WIDTH, K = 15, 4608, 32
BATCH, LR, EPOCHS = 1024, 2e-3, 6
LOSS_TEXTS = 100
BUDGET = 4 * 2**30  # bytes of activations held at once; less works too, and takes longer
NAMES = ("smollm2", "untrained")


def texts() -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Token ids of the texts to train on, and of those on held-out subjects."""
    train, held_out = chat.split()
    return train + sampling.read_tokens(stories.TEXTS), held_out


def model_of(name: str, device: str):
    """SmolLM2, or the same with weights drawn at random."""
    if name == "smollm2":
        return load(device=device)
    from transformer_lens.tools.analysis.interchange import random_init_bridge

    return random_init_bridge(str(fetch(DEFAULT)), seed=0, device=device)


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


def make(name: str, *, epochs: float, device: str) -> None:
    """Train one SAE, in the background if you like: killed, it goes on where it was."""
    model = model_of(name, device)
    train, held_out = texts()
    fast = saes.bfloat16_is_faster()
    stream = saes.Activations(
        partial(saes.harvest, model, layer=LAYER, bfloat16=fast),
        train,
        d_in=model.cfg.d_model,
        batch=BATCH,
        budget=BUDGET,
    )
    sae = saes.TopKSAE(model.cfg.d_model, WIDTH, k=K, coarse=fast)
    sae.b_dec.data.copy_(stream.mean / stream.scale)
    steps = int(epochs * sum(map(len, train)) / BATCH)
    losses = saes.train(
        sae,
        stream.__getitem__,
        steps=steps,
        lr=LR,
        scale=stream.scale,
        checkpoint=FOLDER / "unfinished" / f"{name}.safetensors",
        show=partial(print, flush=True),
    )
    metadata = {
        "model_name": "SmolLM2-135M-Instruct",
        "hook_name": f"blocks.{LAYER}.hook_resid_pre",
    }
    metadata |= {"weights": name, "training_tokens": sum(map(len, train)), "epochs": epochs}
    saes.save(sae, FOLDER / name, dtype=torch.float16, **metadata)
    found = {"scale": stream.scale, "steps": steps, "loss, every 100 steps": losses[::100].tolist()}
    vectors = torch.cat([stream[step] for step in range(20)])  # of the first epoch
    found |= report(model, saes.load(FOLDER / name, device=device), vectors, held_out)
    write_json(FOLDER / name / "report.json", rounded(found))
    print(json.dumps(rounded(found), indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", choices=NAMES)
    parser.add_argument("--epochs", type=float, default=EPOCHS)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    for name in [arguments.name] if arguments.name else NAMES:
        make(name, epochs=arguments.epochs, device=arguments.device)


if __name__ == "__main__":
    main()
