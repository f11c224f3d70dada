"""A random model to compare with: a trained model's twin, matched to it matrix by matrix."""

import copy

import torch

from utils.guards import count, guarded


@guarded(seed=count(low=0))
def matched_random(model, *, seed: int):
    """A copy of a model whose blocks' matrices are redrawn: arXiv 2501.17727, embeddings kept.

    Every number of a matrix comes from a Gaussian with the trained matrix's own mean and standard
    deviation. Embeddings, the unembedding, norms and biases stay as they are.

    Args:
        model: a bridge, which stays as it is.
        seed: of the draws, which are made on the CPU in the order of `model.blocks.parameters()`.
    """
    twin = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    for weight in twin.blocks.parameters():
        if weight.ndim == 2:
            noise = torch.randn(weight.shape, generator=generator).to(weight)
            with torch.no_grad():
                weight.copy_(weight.mean() + weight.std() * noise)
    return twin
