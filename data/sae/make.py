"""The SAE of SmolLM2's layer 15, and one of the same model with random weights of like statistics.

make data D=sae                              # two hours on two cores
python -m data.sae.make --name smollm2       # one of the two
python -m data.sae.make --epochs 0.1 --out /tmp/sae   # a trial, which may not go where these are
"""

import argparse
import json
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from data.chat.task import texts
from data.training import rounded, write_json
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
BUDGET = 4 * 2**30  # bytes of activations held at once; less works too, and takes longer
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


def train(
    training: saes.Training, batches: Callable[[int], Tensor], file: Path, *, every: int = 200
) -> None:
    """All steps of a training that may be killed: from a file, it goes on where it was.

    Args:
        file: written every `every` steps; nothing is lost but the steps since. What comes out is
            the same as without a break, if all else is.
        every: after so many steps a line is printed, too.

    Raises:
        ValueError: the file is of another SAE or another training, from another start or other
            vectors; or it is damaged.
    """
    start = training.sae.W_dec[0].detach().clone()
    if file.exists():
        go_on(file, training, batches)
    began, first = time.time(), len(training.losses)
    for step in range(first, training.steps):
        x = batches(step)
        training.step(x)
        if (step + 1) % every == 0 or step + 1 == training.steps:
            keep(file, training, start=start, seen=x[0])
            speed = (step + 1 - first) * len(x) / (time.time() - began)
            print(
                f"step {step + 1} of {training.steps}: loss {training.losses[-1]:.4f}, "
                f"dead {training.dead.float().mean():.1%}, {speed:,.0f} vectors/s",
                flush=True,
            )


def settings(training: saes.Training) -> dict[str, str]:
    """What tells one training from another, as a file's header takes it."""
    own = {name: value for name, value in vars(training.sae).items() if name[0] != "_"}
    how = ("steps", "lr", "warmup", "fall", "dead_after")
    found = {"kind": training.sae.architecture, **own}
    found |= {name: getattr(training, name) for name in how} | {"scale": f"{training.scale:.4g}"}
    for name in ("training", "coarse"):  # torch's mode; how the same is computed, not what
        found.pop(name, None)
    return {name: str(value) for name, value in found.items()}


def keep(file: Path, training: saes.Training, *, start: Tensor, seen: Tensor) -> None:
    """Write all that training needs to go on; a kill while writing leaves the old file whole.

    Args:
        start: the first latent's direction before the first step: which seed it was.
        seen: the first vector of the last step: which vectors they were.
    """
    state = {"silent": training.silent, "losses": torch.tensor(training.losses)}
    state |= {"start": start, "seen": seen}
    for name, parameter in training.sae.named_parameters():
        state[name] = parameter.detach()
        of_adam = training.optimizer.state[parameter]
        state |= {f"{name}.{key}": value for key, value in of_adam.items()}
    state = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    save_file(state, part, metadata=settings(training) | {"crc32": checksum(state)})
    part.replace(file)


def checksum(state: dict[str, Tensor]) -> str:
    """Of all that is kept."""
    found = 0
    for name in sorted(state):
        found = zlib.crc32(state[name].numpy().tobytes(), zlib.crc32(name.encode(), found))
    return f"{found:08x}"


def go_on(file: Path, training: saes.Training, batches: Callable[[int], Tensor]) -> None:
    """Put back what `keep` wrote, if it is of the same training on the same vectors."""
    try:
        with safe_open(file, framework="pt") as kept:
            state = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118
            was = kept.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged ({error}): delete it, to begin again.") from None
    if was.pop("crc32", None) != checksum(state):
        raise ValueError(f"{file} is damaged, or of an older version: delete it, to begin again.")
    now, weights = settings(training), dict(training.sae.named_parameters())
    wrong = [
        f"{name} is {was.get(name)}, not {now[name]}" for name in now if was.get(name) != now[name]
    ]
    for name, weight in weights.items():
        if name not in state or state[name].shape != weight.shape:
            wrong.append(f"{name} has another shape")
    if not wrong and not alike(state["start"], weights["W_dec"][0].detach()):
        wrong.append("it began from another seed")
    if not wrong and not alike(state["seen"], batches(len(state["losses"]) - 1)[0]):
        wrong.append("its vectors are others")
    if wrong:
        raise ValueError(
            f"{file} is of another run ({'; '.join(wrong)}): delete it, or give another file."
        )
    for name, parameter in weights.items():
        parameter.data.copy_(state[name])
        of_adam = {key for key in state if key.startswith(f"{name}.")}
        training.optimizer.state[parameter] = {
            key.removeprefix(f"{name}."): like(state[key], parameter) for key in of_adam
        }
    training.silent.copy_(state["silent"])
    training.losses[:] = state["losses"].tolist()


def alike(kept: Tensor, now: Tensor) -> bool:
    """The same vector, but for what another processor rounds otherwise."""
    now = now.cpu().to(kept)
    return kept.shape == now.shape and bool((kept - now).norm() <= 0.05 * kept.norm())


def like(saved: Tensor, parameter: Tensor) -> Tensor:
    """A tensor on the device, and with the memory layout, of a parameter of its shape."""
    saved = saved.to(parameter.device)
    return torch.empty_like(parameter).copy_(saved) if saved.shape == parameter.shape else saved


def make(name: str, *, epochs: float, device: str, out: Path = FOLDER) -> None:
    """Train one SAE, in the background if you like: killed, it goes on where it was."""
    model = model_of(name, device)
    train_rows, held_out = texts("train"), texts("held_out")
    fast = saes.bfloat16_is_faster()
    stream = saes.Activations(
        partial(saes.harvest, model, layer=LAYER, bfloat16=fast),
        train_rows,
        d_in=model.cfg.d_model,
        batch_size=BATCH,
        budget=BUDGET,
    )
    sae = saes.TopKSAE(model.cfg.d_model, WIDTH, k=K, coarse=fast)
    sae.b_dec.data.copy_(stream.mean / stream.scale)
    n_tokens = sum(map(len, train_rows))
    steps = int(epochs * n_tokens / BATCH)
    training = saes.Training(sae, steps=steps, lr=LR, scale=stream.scale)
    train(training, stream.__getitem__, out / "unfinished" / f"{name}.safetensors")
    sae.rescale(stream.scale)
    metadata = {
        "model_name": "SmolLM2-135M-Instruct",
        "hook_name": f"blocks.{LAYER}.hook_resid_pre",
    }
    metadata |= {"weights": name, "training_tokens": n_tokens, "epochs": epochs}
    saes.save_sae(sae, out / name, dtype=torch.float16, **metadata)
    found = {"scale": stream.scale, "steps": steps}
    found["loss, every 100 steps"] = training.losses[::100]
    vectors = torch.cat([stream[step] for step in range(20)])  # of the first epoch
    found |= report(model, saes.load_sae(out / name, device=device), vectors, held_out)
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
