"""Bad input to sweeps, single patches and attribution: `utils/circuits/patch*.py`."""

from functools import cache

import torch

from tests.bad_input import RAW
from utils.circuits import attribution, patches, patching
from utils.heads import ablated
from utils.models import load
from utils.steering import steer

TOKENS = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]])
SOURCE = torch.tensor([[1, 2, 11, 4, 5], [6, 7, 12, 9, 10]])
NAN = float("nan")


@cache
def model():
    """Two layers of attention alone."""
    return load("induction/two_layer/step_04000", device="cpu")


def metric(logits):
    return logits[:, -1, 1] - logits[:, -1, 2]


def sweep(tokens=TOKENS, source=SOURCE, metric=metric, **settings):
    return patching.sweep(model(), tokens, source, metric, progress=False, **settings)


def paths(tokens=TOKENS, source=SOURCE, metric=metric, **settings):
    settings = {"receivers": [(1, 0)], "progress": False} | settings
    return patching.path_sweep(model(), tokens, source, metric, **settings)


def readers(tokens=TOKENS, source=SOURCE, metric=metric, **settings):
    settings = {"sender": (0, 1), "progress": False} | settings
    return patching.receiver_sweep(model(), tokens, source, metric, **settings)


def plain(tokens=TOKENS, source=SOURCE, **settings):
    settings = {"layers": [1], "positions": [2]} | settings
    return patches.stream_sweep(model(), tokens, source, metric, **settings)


def path(tokens=TOKENS, source=SOURCE, **settings):
    settings = {"sender": (0, 1), "receivers": [(1, 0)], "into": "q"} | settings
    return patches.path_patch(model(), tokens, source, hold_mlps=False, **settings)


def estimate(tokens=TOKENS, source=SOURCE, metric=metric, **settings):
    return patches.attribution_patching(model(), tokens, source, metric, **settings)


def within(context, call):
    with context():
        return call()


def in_training(call):
    model().train()
    try:
        return call()
    finally:
        model().eval()


def given(value) -> dict[int, torch.Tensor]:
    return {layer: torch.as_tensor(value) for layer in range(2)}


def one_prompt():
    return patching.Sweep(torch.ones(1, 1, 1), torch.zeros(1), torch.ones(1))


X = torch.ones(2, 5, 4)
Z = torch.ones(2, 5, 3, 4)
PATTERN = torch.ones(2, 3, 5, 5)
LOGITS, IDS = torch.ones(2, 5, 9), torch.ones(2, 5, dtype=torch.long)

# What is bad, what changes, and a part of what is said, of all three functions alike.
OF_ALL = [
    ("unequal lengths", {"source": SOURCE[:, :4]}, "both need as many prompts and tokens"),
    ("unequal batches", {"source": SOURCE[:1]}, "both need as many prompts and tokens"),
    ("no prompts", {"tokens": TOKENS[:0], "source": SOURCE[:0]}, "at least one prompt"),
    ("empty prompts", {"tokens": TOKENS[:, :0], "source": SOURCE[:, :0]}, "at least one prompt"),
    ("a text", {"tokens": "text"}, "must be token ids"),
    ("a single row", {"tokens": TOKENS[0]}, "must be token ids"),
    ("floats for tokens", {"tokens": TOKENS.float()}, "must be token ids"),
    ("floats for the source", {"source": SOURCE.float()}, "must be token ids"),
    ("booleans for tokens", {"tokens": TOKENS > 3}, "must be token ids"),
    ("a negative token", {"tokens": TOKENS - 2}, "ids that no token has"),
    ("a token too large", {"source": SOURCE + 10**6}, "ids that no token has"),
    ("two runs alike", {"source": TOKENS.clone()}, "no patch can change anything"),
    ("no positions", {"positions": ()}, "name some from -5 to 4"),
    ("a position behind the end", {"positions": (5,)}, "name some from -5 to 4"),
    ("a position before the start", {"positions": (-6,)}, "name some from -5 to 4"),
    ("positions before the change", {"positions": (1,)}, "no patch can change anything"),
    ("a position outside a list", {"positions": -1}, "in a list"),
    ("a scalar metric", {"metric": lambda x: metric(x).mean()}, "for each of the 2 prompts"),
    ("a metric of columns", {"metric": lambda x: x[:, :, 0]}, "for each of the 2 prompts"),
    ("a metric of Python floats", {"metric": lambda x: 1.0}, "returns float"),
    ("a metric that is NaN", {"metric": lambda x: metric(x) * NAN}, "nan on the unpatched run"),
    ("a metric that is infinite", {"metric": lambda x: metric(x) / 0}, "on the unpatched run"),
    ("a metric of other positions", {"metric": lambda x: x[:, 3, 0]}, "those at `positions` alone"),
]
CALLS = {"sweep": sweep, "path_sweep": paths, "receiver_sweep": readers}
PLAIN = {"stream_sweep": plain, "path_patch": path, "attribution_patching": estimate}

ROWS = [
    *(
        (f"{name} of {what}", lambda call=call, change=change: call(**change), part)
        for name, call in CALLS.items()
        for what, change, part in OF_ALL
    ),
    *(
        (f"{name} of {what}", lambda call=call, change=change: call(**change), part)
        for name, call in PLAIN.items()
        for what, change, part in OF_ALL[:11]
    ),
    *(
        (f"{name} in training mode", lambda call=call: in_training(call), "model.eval()")
        for name, call in (CALLS | PLAIN).items()
    ),
    *(
        (
            f"{name} within ablated",
            lambda call=call: within(lambda: ablated(model(), [(0, 1)]), call),
            "A hook is at work",
        )
        for name, call in (CALLS | PLAIN).items()
    ),
    *(
        (
            f"{name} within steer",
            lambda call=call: within(
                lambda: steer(model(), torch.ones(model().cfg.d_model), layer=0), call
            ),
            "A hook is at work",
        )
        for name, call in (CALLS | PLAIN).items()
    ),
    *(
        (f"{name} of an unknown activation", lambda call=call: call(what="zz"), part)
        for name, call, part in [
            ("sweep", sweep, "There is no 'zz' to patch"),
            ("path_sweep", paths, "'zz' cannot send"),
        ]
    ),
    *(
        (f"{name} of {what}", lambda call=call, source=source: call(source=source), part)
        for name, call in [("sweep", sweep)]
        for what, source, part in [
            ("activations of one layer", {0: torch.zeros(1)}, "one for each layer from 0 to 1"),
            ("activations of another shape", given(torch.ones(7)), "do not broadcast to 'z'"),
            ("activations that are NaN", given(NAN), "holds NaN or infinity in layer 0"),
        ]
    ),
    ("sweep of memory below 0", lambda: sweep(memory_mb=-1), "must be above 0"),
    ("sweep of no memory", lambda: sweep(memory_mb=0), "must be above 0"),
    ("path_sweep of no memory", lambda: paths(memory_mb=0), "must be above 0"),
    ("path_sweep of given activations", lambda: paths(source=given(0.0)), "between two runs"),
    ("path_sweep into nothing", lambda: paths(receivers=[]), "`receivers` is empty"),
    ("path_sweep into layer 0", lambda: paths(receivers=[(0, 1)]), "layers go from 1 to 1"),
    ("path_sweep into no layer", lambda: paths(receivers=[(2, 1)]), "layers go from 1 to 1"),
    ("path_sweep into no head", lambda: paths(receivers=[(1, 99)]), "heads from 0 to"),
    ("path_sweep into a negative head", lambda: paths(receivers=[(1, -1)]), "heads from 0 to"),
    ("path_sweep into z", lambda: paths(into="z"), "'q', 'k', 'v' or 'logits'"),
    ("path_sweep into logits and heads", lambda: paths(into="logits"), "take no `receivers`"),
    ("path_sweep from the stream", lambda: paths(what="resid_pre"), "'resid_pre' cannot send"),
    ("path_sweep of absent MLPs", lambda: paths(what="mlp_out"), "There is no 'mlp_out'"),
    ("sweep of no layer", lambda: sweep(layers=[]), "name some from 0 to 1"),
    ("sweep of a layer behind the end", lambda: sweep(layers=[2]), "name some from 0 to 1"),
    ("path_sweep of a negative layer", lambda: paths(layers=[-1]), "name some from 0 to 1"),
    ("path_sweep of senders behind it", lambda: paths(layers=[1]), "No sender stands before"),
    ("receiver_sweep of no head", lambda: readers(sender=(0, 99)), "There is no L0H99"),
    ("receiver_sweep from the last layer", lambda: readers(sender=(1, 0)), "cannot receive"),
    ("receiver_sweep into z", lambda: readers(into="z"), "'q', 'k', 'v' or 'logits'"),
    ("receiver_sweep of given activations", lambda: readers(source=given(0.0)), "between two runs"),
    ("stream_sweep of no layers", lambda: plain(layers=[]), "name some from 0 to 1"),
    ("stream_sweep of a layer behind the end", lambda: plain(layers=[2]), "name some from 0 to 1"),
    ("stream_sweep of no positions", lambda: plain(positions=[]), "is empty"),
    ("stream_sweep behind the end", lambda: plain(positions=[5]), "positions 0 to 4"),
    (
        "stream_sweep of a source of other length",
        lambda: patches.stream_sweep(
            model(), TOKENS, SOURCE, metric, layers=[0], positions=[1], source=SOURCE[:, :4]
        ),
        "both need as many prompts and tokens",
    ),
    ("path_patch of no head", lambda: path(sender=(0, 99)), "There is no L0H99"),
    ("path_patch into nothing", lambda: path(receivers=[]), "`receivers` is empty"),
    ("path_patch into z", lambda: path(into="z"), "'q', 'k', 'v' or 'logits'"),
    ("path_patch into the sender's layer", lambda: path(sender=(1, 0)), "must come after"),
    ("attribution_patching of no hook", lambda: estimate(name="attn.hook_x"), RAW),
    (
        "qk_fix of another gradient",
        lambda: patches.qk_fix(PATTERN[:1], PATTERN, Z, Z),
        "`pattern`",
    ),
    ("qk_fix of one head's queries", lambda: patches.qk_fix(PATTERN, PATTERN, X, Z), "give 4 axes"),
    (
        "qk_fix of more keys than queries",
        lambda: patches.qk_fix(PATTERN, PATTERN, Z[:, :, :2], Z),
        "must begin with (2, 5, 3)",
    ),
    ("standard error of one prompt", lambda: one_prompt().standard_error, "give at least two"),
    (
        "restored_standard_error of one prompt",
        lambda: one_prompt().restored_standard_error,
        "give at least two",
    ),
    (
        "restored of two runs that score alike",
        lambda: patching.Sweep(torch.ones(1, 2), torch.ones(2), torch.ones(2)).restored,
        "Both runs score 1",
    ),
    ("restored of no run", lambda: patching.Sweep(X[0], X[0, 0], None).restored, "use `effect`"),
    *(
        (
            f"patched_heads of {what}",
            lambda head=head: within(
                lambda: patches.patched_heads(model(), [head], {0: Z}), lambda: None
            ),
            part,
        )
        for what, head, part in [
            ("a layer without outputs", (1, 0), "`z` has no L1H0"),
            ("a head that is not there", (0, 3), "`z` has no L0H3"),
            ("a negative head", (0, -1), "`z` has no L0H-1"),
        ]
    ),
    (
        "keep_before_last of one token",
        lambda: attribution.keep_before_last(model(), TOKENS[:, :1]),
        "Prompts of one token",
    ),
]
