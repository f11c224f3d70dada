"""What SmolLM2 writes when one feature of its dictionary steers it, or a difference of means.

make data D=feature_steering      # 4 minutes on one core
"""

import csv
from pathlib import Path

import torch

from data.concepts import task as concepts
from data.feature_steering.task import FILE
from utils.features import dashboards
from utils.features import sae as saes
from utils.generation import sample
from utils.models import load
from utils.steering import at_dose, steer, typical_norm
from utils.writing.fluency import repetition, token_losses

SAE = Path(__file__).parents[1] / "sae" / "smollm2"
LAYER, DOSE, N_TOKENS = 15, 0.3, 20
CONCEPTS = ("sea", "sentiment")
N_SAMPLES = 5  # of each opening
N_RANDOM = 3  # latents drawn at random, the control
COLUMNS = ("run", "latent", "opening", "loss", "two", "text")


def runs(model, sae: saes.TopKSAE) -> dict[str, tuple[int, torch.Tensor]]:
    """Name -> (latent or -1, the vector to add)."""
    found = {"unsteered": (-1, torch.zeros(model.cfg.d_model))}
    for concept in CONCEPTS:
        rivals = dashboards.steering_rivals(model, sae, concept, layer=LAYER)
        for name, vector in rivals.vectors.items():
            found[f"{concept}, {name}"] = (rivals.latent if name == "feature" else -1, vector)
    drawn = torch.randperm(sae.d_sae, generator=torch.Generator().manual_seed(0))[:N_RANDOM]
    for i, latent in enumerate(drawn.tolist()):
        found[f"random latent {i}"] = (latent, sae.W_dec[latent].detach())
    return found


def main() -> None:
    model, sae = load(device="cpu"), saes.load_sae(SAE)
    norm = typical_norm(model, concepts.openings(part="choose"), layer=LAYER)
    openings = concepts.openings(part="test")
    prompts = torch.cat([model.to_tokens(text) for text in openings]).repeat(N_SAMPLES, 1)
    part = FILE.with_suffix(".part")  # what is shipped stays until all is written
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for run, (latent, vector) in runs(model, sae).items():
            push = at_dose(vector, DOSE, norm=norm) if vector.any() else vector
            with steer(model, push, layer=LAYER):
                new = sample(model, prompts, n_tokens=N_TOKENS)
            losses, two = token_losses(model, prompts, new).mean(1), repetition(new, n=2)
            texts = model.tokenizer.batch_decode(new)
            for i, (loss, again, text) in enumerate(zip(losses, two, texts, strict=True)):
                numbers = f"{loss:.4f}", f"{again:.4f}"
                writer.writerow([run, latent, i % len(openings), *numbers, text])
            print(run, latent, flush=True)
    part.replace(FILE)


if __name__ == "__main__":
    main()
