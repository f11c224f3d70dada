"""Bad input to `utils.steering`, `utils.generation` and `utils.writing.fluency`."""

import functools
import tempfile

import torch
from transformer_lens.model_bridge import TransformerBridge

from tests.bad_input import RAW
from tests.small_models import random_model
from utils import generation, steering
from utils.writing import fluency

VECTOR, NAN = torch.ones(32), torch.tensor([float("nan")] * 32)
ROWS_OF_TOKENS = torch.tensor([[0, 5, 9], [0, 7, 8]])


@functools.cache
def model(kind: str = "llama"):
    with tempfile.TemporaryDirectory() as folder:
        return random_model(kind, folder)


@functools.cache
def native():
    sizes = {"n_layers": 1, "d_model": 8, "n_heads": 1, "d_head": 8, "n_ctx": 8, "d_vocab": 5}
    return TransformerBridge.boot_native(sizes)


def in_training(call):
    """The call, on a model that is in training mode meanwhile."""
    model().train()
    try:
        return call(model())
    finally:
        model().eval()


def steered(change, *, layer=1, positions=None, tokens=ROWS_OF_TOKENS):
    with torch.no_grad(), steering.steer(model(), change, layer=layer, positions=positions):
        return model()(tokens)


def dose(direction=VECTOR, dose=1.0, norm=2.0):
    return steering.at_dose(direction, dose, norm=norm)


def directions(n=2, like=VECTOR):
    return steering.random_directions(n, like, generator=torch.Generator())


def sample(tokens=ROWS_OF_TOKENS, **other):
    return generation.sample(model(), tokens, **{"n_tokens": 2} | other)


def losses(prompts=ROWS_OF_TOKENS, written=ROWS_OF_TOKENS, **other):
    return fluency.token_losses(model(), prompts, written, **other)


ROWS = [
    # ---- steer
    ("steer at a layer above the end", lambda: steered(VECTOR, layer=4), "layers 0 to 3"),
    ("steer at layer -1", lambda: steered(VECTOR, layer=-1), "layers 0 to 3"),
    ("steer between two layers", lambda: steered(VECTOR, layer=1.5), "layers 0 to 3"),
    ("steer from the end", lambda: steered(VECTOR, positions=[-1]), "from the start"),
    ("steer a slice from the end", lambda: steered(VECTOR, positions=slice(-2, None)), "the start"),
    ("steer a position twice", lambda: steered(VECTOR, positions=[1, 1]), "comes twice"),
    ("steer a slice of step 0", lambda: steered(VECTOR, positions=slice(0, 2, 0)), RAW),
    ("steer by another width", lambda: steered(torch.ones(31)), "d_model, which is 32"),
    ("steer by four axes", lambda: steered(torch.ones(1, 1, 1, 32)), "d_model, which is 32"),
    ("steer by a number", lambda: steered(torch.tensor(1.0)), "d_model, which is 32"),
    ("steer by rows everywhere", lambda: steered(torch.ones(2, 32)), "needs a list of 2"),
    (
        "steer by more rows than positions",
        lambda: steered(torch.ones(3, 32), positions=[0, 1]),
        "needs a list of 3",
    ),
    ("steer by a vector for each of three texts", lambda: steered(torch.ones(3, 1, 32)), "2 run"),
    ("steer by a vector a position and text", lambda: steered(torch.ones(2, 3, 32)), "[batch, 1,"),
    ("steer by NaN", lambda: steered(NAN), "NaN or infinity"),
    ("steer by infinity", lambda: steered(VECTOR / 0), "NaN or infinity"),
    ("steer by a list", lambda: steered([1.0] * 32), "a tensor or a function"),
    ("steer by nothing", lambda: steered(None), "a tensor or a function"),
    (
        "a function that drops an axis",
        lambda: steered(lambda x: x[:, 0]),
        "[batch, chosen, d_model",
    ),
    ("a function of another width", lambda: steered(lambda x: x[..., :1]), "[batch, chosen"),
    ("a function that returns nothing", lambda: steered(lambda x: None), RAW),
    # ---- doses
    ("typical norm of no text", lambda: steering.typical_norm(model(), [], layer=1), "besides BOS"),
    ("of empty texts", lambda: steering.typical_norm(model(), [""], layer=1), "besides BOS"),
    ("of one string", lambda: steering.typical_norm(model(), "w3", layer=1), "give a list"),
    ("at no layer", lambda: steering.typical_norm(model(), ["w3"], layer=9), "layers 0 to 3"),
    (
        "typical norm in training",
        lambda: in_training(lambda m: steering.typical_norm(m, ["w3"], layer=1)),
        "call `.eval()`",
    ),
    ("a dose along nothing", lambda: dose(torch.zeros(4)), "length 0"),
    ("a dose along rows, one of them 0", lambda: dose(torch.eye(3)[:, :2]), "length 0"),
    ("a dose along NaN", lambda: dose(NAN), "none that is finite"),
    ("a dose along infinity", lambda: dose(VECTOR / 0), "none that is finite"),
    ("a dose in float16", lambda: dose(VECTOR.half()), "give `.float()`"),
    ("a dose of NaN", lambda: dose(dose=float("nan")), "must be finite"),
    ("a dose without end", lambda: dose(dose=float("inf")), "must be finite"),
    ("a norm of 0", lambda: dose(norm=0.0), "above 0"),
    ("a norm below 0", lambda: dose(norm=-3.0), "above 0"),
    ("a norm of NaN", lambda: dose(norm=float("nan")), "above 0"),
    ("a dose along a list", lambda: steering.at_dose([3.0, 4.0], 1.0, norm=2.0), RAW),
    ("no random directions", lambda: directions(0), "whole number from 1"),
    ("minus one random directions", lambda: directions(-1), "whole number from 1"),
    ("half a random direction", lambda: directions(0.5), "whole number from 1"),
    ("random directions as long as nothing", lambda: directions(like=torch.zeros(4)), "length 0"),
    ("random directions like a table", lambda: directions(like=torch.ones(1, 4)), "give 1 axes"),
    ("random directions like NaN", lambda: directions(like=NAN), "none that is finite"),
    ("random directions in float16", lambda: directions(like=VECTOR.half()), "give `.float()`"),
    # ---- writing
    ("sample below zero degrees", lambda: sample(temperature=-0.5), "at least 0"),
    ("sample at NaN", lambda: sample(temperature=float("nan")), "at least 0"),
    ("sample at infinity", lambda: sample(temperature=float("inf")), "must be at least 0"),
    ("sample no token", lambda: sample(n_tokens=0), "whole number from 1"),
    ("sample minus a token", lambda: sample(n_tokens=-3), "whole number from 1"),
    ("sample half a token", lambda: sample(n_tokens=0.5), "whole number from 1"),
    ("sample after no row", lambda: sample(ROWS_OF_TOKENS[:0]), "is empty"),
    ("sample after one row without batch", lambda: sample(ROWS_OF_TOKENS[0]), "give 2 axes"),
    ("sample after floats", lambda: sample(ROWS_OF_TOKENS.float()), "whole numbers below 40"),
    ("sample after token 40 of 40", lambda: sample(ROWS_OF_TOKENS + 31), "whole numbers below 40"),
    ("sample after token -1", lambda: sample(ROWS_OF_TOKENS - 1), "whole numbers below 40"),
    (
        "sample after padding on the right",
        lambda: sample(torch.tensor([[0, 5, 9], [0, 7, 0]])),
        "is padded",
    ),
    (
        "sample after padding on the left",
        lambda: sample(torch.tensor([[0, 5, 9], [0, 0, 7]])),
        "is padded",
    ),
    ("sample beyond the context", lambda: sample(n_tokens=14), "more than this model's 16"),
    ("sample from a native model", lambda: generation.sample(native(), ROWS_OF_TOKENS), "native"),
    (
        "sample in training",
        lambda: in_training(lambda m: generation.sample(m, ROWS_OF_TOKENS)),
        "call `.eval()`",
    ),
    # ---- what is measured on text
    ("losses of fewer texts than prompts", lambda: losses(written=ROWS_OF_TOKENS[:1]), "1 entries"),
    ("losses of one row", lambda: losses(written=ROWS_OF_TOKENS[0]), "give 2 axes"),
    ("losses after no prompt", lambda: losses(ROWS_OF_TOKENS[:0]), "is empty"),
    ("losses in batches of none", lambda: losses(batch_size=0), "whole number from 1"),
    ("losses in batches of -1", lambda: losses(batch_size=-1), "whole number from 1"),
    (
        "losses after a padded prompt",
        lambda: losses(torch.tensor([[0, 5, 0], [0, 7, 8]])),
        "is padded",
    ),
    (
        "losses in training",
        lambda: in_training(lambda m: fluency.token_losses(m, ROWS_OF_TOKENS, ROWS_OF_TOKENS)),
        "call `.eval()`",
    ),
    ("losses of a token that is none", lambda: losses(written=ROWS_OF_TOKENS + 90), RAW),
]
