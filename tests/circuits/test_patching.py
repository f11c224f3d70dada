"""The patching engine, against TransformerLens's own sweeps, and what it says when it cannot."""

import contextlib
import io

import pandas as pd
import pytest
import torch
import transformer_lens.patching as tl

from data.ioi import task as ioi
from tests.bench import LiveTensors
from tests.small_models import random_model
from utils.circuits import patching
from utils.models import load

KINDS = ["gpt2", "llama", "attention only"]
WHOLE_LAYERS = ["resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"]
HEADS = ["z", "q", "k", "v", "pattern"]


@pytest.fixture(scope="module", params=KINDS)
def small(request, tmp_path_factory):
    if request.param == "attention only":
        return load("induction/two_layer/step_04000", device="cpu")
    return random_model(request.param, tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    return random_model("gpt2", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def default():
    return load(device="cpu")


def pair(n_pos: int = 9, *, first: int = 2, vocab: int = 40):
    """Tokens of two runs that differ at position `first`, at a later one and at the last."""
    random = torch.Generator().manual_seed(1)
    tokens = torch.randint(1, vocab, (3, n_pos), generator=random)
    source = tokens.clone()
    for pos in (first, n_pos - 3, n_pos - 1):
        source[:, pos] = tokens[:, pos] % (vocab - 1) + 1
    return tokens, source


def metric(logits):
    """A number for each row that many logits at the last position enter."""
    return logits[:, -1, 1] - logits[:, -1, 2] + 0.1 * logits[:, -1].logsumexp(-1)


def quiet_sweep(*args, **kwargs):
    return patching.sweep(*args, progress=False, **kwargs)


def theirs(model, tokens, source, what: str, by_position: bool, rows=None, metric=metric):
    """TransformerLens's sweep, [layer, (pos), (head)], or only some rows of it."""
    setters = {
        (False, True): (tl.layer_pos_patch_setter, ("layer", "pos")),
        (True, False): (tl.layer_head_vector_patch_setter, ("layer", "head")),
        (True, True): (tl.layer_pos_head_vector_patch_setter, ("layer", "pos", "head")),
    }
    setter, axes = setters[what in HEADS, by_position]
    if what == "pattern":
        setter, axes = (
            (tl.layer_head_pos_pattern_patch_setter, ("layer", "head_index", "dest_pos"))
            if by_position
            else (tl.layer_head_pattern_patch_setter, ("layer", "head_index"))
        )
    which = {"index_axis_names": axes}
    if rows is not None:
        which = {"index_df": pd.DataFrame(rows, columns=axes)}
    with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):
        _, cache = model.run_with_cache(source)
        found = tl.generic_activation_patch(
            model, tokens, cache, lambda x: metric(x).mean(), setter, what, **which
        )
    return found.transpose(1, 2) if what == "pattern" and by_position and rows is None else found


# ---- The same numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize("by_position", [False, True])
@pytest.mark.parametrize("what", WHOLE_LAYERS + HEADS)
def test_small_models_give_the_library_s_numbers(small, what, by_position):
    if small.cfg.attn_only and what in ("mlp_out", "resid_mid"):
        with pytest.raises(ValueError, match=f"no '{what}' to patch; this model has resid_pre"):
            quiet_sweep(small, *pair(), metric, what=what)
        return
    tokens, source = pair()
    ours = quiet_sweep(small, tokens, source, metric, what=what, by_position=by_position)
    if what in WHOLE_LAYERS and not by_position:
        # The library has no such sweep. The whole residual stream makes the run the source's.
        assert ours.values.shape == (small.cfg.n_layers,)
        if what.startswith("resid"):
            assert (ours.restored - 1).abs().max() < 1e-3
        return
    right = theirs(small, tokens, source, what, by_position)
    assert ours.values.shape == right.shape
    assert (ours.values - right).abs().max() < 1e-4
    assert ours.effect.abs().max() > 1e-2, "this test would pass with no patch at all"


@pytest.mark.parametrize("what", WHOLE_LAYERS + HEADS)
def test_the_default_model_gives_the_library_s_numbers(default, what):
    prompts = ioi.prompts(default, 1, generator=torch.Generator().manual_seed(3))
    source, tokens = prompts.tokens, prompts.third_name().tokens

    by_position = what in WHOLE_LAYERS
    ours = quiet_sweep(default, tokens, source, prompts.logit_diff, what=what)
    rows = [(layer, 10 if layer < 18 else 14) for layer in (0, 9, 17, 22, 29)]
    if not by_position:
        heads = ours.values.shape[1]
        rows = [(0, 0), (16, 0), (20, 0), (23, 3), (29, heads - 1)]
        rows = [(layer, head % heads) for layer, head in rows]
    right = theirs(default, tokens, source, what, by_position, rows, prompts.logit_diff)
    assert max(abs(ours.values[row] - value) for row, value in zip(rows, right, strict=True)) < 1e-4
    assert ours.effect.abs().max() > 0.1


@pytest.mark.parametrize("into", ["q", "k", "v"])
def test_paths_give_the_library_s_numbers(small, into):
    tokens, source = pair()
    if small.cfg.attn_only:
        with pytest.raises(NotImplementedError, match="use_split_qkv_input"):
            patching.path_sweep(small, tokens, source, metric, receivers=[(1, 1)], into=into)
        return
    shared = small.cfg.n_key_value_heads not in (None, small.cfg.n_heads)
    receiver = (small.cfg.n_layers - 1, 1)
    ours = patching.path_sweep(
        small, tokens, source, metric, receivers=[receiver], into=into, progress=False
    )
    assert ours.values.shape == (small.cfg.n_layers, small.cfg.n_heads)
    assert (ours.values[-1] == ours.base).all()
    if shared and into != "q":  # the library refuses; here the receiver is a key-value head
        assert ours.effect.abs().max() > 1e-3
        return
    with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):
        caches = [small.run_with_cache(run)[1] for run in (source, tokens)]
        for layer in range(receiver[0]):
            for head in range(small.cfg.n_heads):
                right = tl.get_act_patch_direct_path(
                    *(small, tokens, *caches, lambda x: metric(x).mean(), layer, head, into),
                    verbose=False,
                )[receiver]
                assert abs(ours.values[layer, head] - right) < 1e-4, (layer, head)
    assert ours.effect.abs().max() > 1e-3


def test_paths_into_several_receivers_reach_each_from_the_layers_before_it(gpt2):
    tokens, source = pair()

    def paths(*receivers):
        return patching.path_sweep(
            gpt2, tokens, source, metric, receivers=receivers, progress=False
        ).values

    both, early, late = paths((1, 0), (2, 3)), paths((1, 0)), paths((2, 3))
    assert torch.equal(both[1], late[1]), "only the later receiver stands behind layer 1"
    assert not torch.allclose(both[0], late[0], atol=1e-4)
    assert not torch.allclose(both[0], early[0], atol=1e-4)


@pytest.mark.parametrize("positions", [(-1,), (4, -2), (-4, -3, -2)])
def test_the_metric_reads_the_positions_that_it_asked_for(small, positions):
    tokens, source = pair()
    chosen = list(positions)

    def here(logits):
        assert logits.shape[1] == len(chosen)
        return logits[:, :, 3].sum(1) + 2 * logits[:, 0, 1]

    settings = {"what": "z", "by_position": True, "positions": positions}
    ours = quiet_sweep(small, tokens, source, here, **settings)
    right = theirs(small, tokens, source, "z", True, metric=lambda logits: here(logits[:, chosen]))
    n_pos = ours.values.shape[1]  # what comes after the last of them is not computed
    assert n_pos == max(pos % tokens.shape[1] for pos in positions) + 1
    assert (ours.values - right[:, :n_pos]).abs().max() < 1e-4


def test_given_activations_are_an_ablation(small):
    tokens, _ = pair()
    zeros = {layer: torch.zeros(1) for layer in range(small.cfg.n_layers)}
    ours = quiet_sweep(small, tokens, zeros, metric)

    def silence(z, hook):
        z[:, :, 1] = 0
        return z

    with torch.no_grad():
        logits = small.run_with_hooks(tokens, fwd_hooks=[("blocks.1.attn.hook_z", silence)])
    assert ours.values[1, 1] == pytest.approx(metric(logits).mean().item(), abs=1e-4)
    assert ours.source is None
    with pytest.raises(ValueError, match="use `effect`"):
        _ = ours.restored


def test_several_metrics_in_one_sweep(gpt2):
    tokens, source = pair()
    both = {"diff": metric, "probability": lambda x: x[:, -1].softmax(-1)[:, 5]}
    found = quiet_sweep(gpt2, tokens, source, both)
    assert list(found) == list(both)
    for name, one in both.items():
        alone = quiet_sweep(gpt2, tokens, source, one)
        assert torch.equal(found[name].values, alone.values) and found[name].base == alone.base


def test_restored_is_0_unpatched_and_1_at_the_source(gpt2):
    tokens, source = pair()
    ours = quiet_sweep(gpt2, tokens, source, metric, what="resid_post", by_position=False)
    assert ours.restored[-1] == pytest.approx(1, abs=1e-4)
    with pytest.raises(ValueError, match="Both runs score"):
        _ = quiet_sweep(gpt2, tokens, source, lambda logits: torch.full((3,), 2.0)).restored


# ---- Bounds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory_mb", [8.0, 24.0])
def test_memory_is_bounded_and_changes_nothing(default, memory_mb, monkeypatch):
    prompts = ioi.prompts(default, 1, generator=torch.Generator().manual_seed(3))
    tokens, source = prompts.third_name().tokens, prompts.tokens
    real, some = patching._patches, [(0, 0), (0, 4), (14, 2), (15, 8), (29, 8)]

    def fewer(*args):  # the first layers' patches fill the memory, the rest only take time
        return [p for p in real(*args) if p.layer < 3 or p.cell in some]

    monkeypatch.setattr(patching, "_patches", fewer)

    value = prompts.logit_diff
    one_at_a_time = quiet_sweep(default, tokens, source, value, memory_mb=0.01)
    with LiveTensors(default) as alone:
        quiet_sweep(default, tokens, source, value, memory_mb=0.01)
    with LiveTensors(default) as live:
        found = quiet_sweep(default, tokens, source, value, memory_mb=memory_mb)
    assert (live.peak - alone.peak) / 1e6 < memory_mb
    assert (found.values - one_at_a_time.values).abs().max() < 1e-4
    assert all(found.values[cell] != found.base for cell in some)


def test_no_hook_stays_behind_after_an_error_or_an_interrupt(gpt2):
    tokens, source = pair()
    before = gpt2(tokens)
    for error in (RuntimeError, KeyboardInterrupt):
        calls = []

        def metric_that_stops(logits, error=error, calls=calls):
            calls.append(1)
            if len(calls) == 5:
                raise error
            return logits.mean((1, 2))

        with pytest.raises(error):
            quiet_sweep(gpt2, tokens, source, metric_that_stops)
    assert torch.equal(gpt2(tokens), before)
    assert not any(point.fwd_hooks for point in gpt2.hook_dict.values())
    assert not any(block._forward_pre_hooks for block in gpt2.blocks)


def test_a_sweep_shows_a_bar(gpt2, capsys):
    patching.sweep(gpt2, *pair(), metric)
    assert "patching z" in capsys.readouterr().err
    quiet_sweep(gpt2, *pair(), metric)
    assert not capsys.readouterr().err


def test_a_sweep_leaves_the_caller_s_tensors_alone(gpt2):
    tokens, source = pair()
    kept = tokens.clone(), source.clone()
    mean = {layer: torch.zeros(1) for layer in range(3)}
    quiet_sweep(gpt2, tokens, source, metric, what="resid_pre")
    quiet_sweep(gpt2, tokens, mean, metric, what="resid_mid")
    assert torch.equal(tokens, kept[0]) and torch.equal(source, kept[1])
    assert not any(value.any() for value in mean.values())


# ---- Sentences ----------------------------------------------------------------------------------


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"source": torch.ones(3, 8, dtype=torch.long)}, r"\[3, 9\] and `source` \[3, 8\]"),
        ({"source": torch.ones(2, 9, dtype=torch.long)}, "equally many tokens"),
        ({"what": "hook_zz"}, "no 'hook_zz' to patch; this model has resid_pre, .*, z, pattern"),
        ({"tokens": torch.ones(0, 9, dtype=torch.long)}, "empty .*at least one prompt"),
        ({"tokens": "text"}, "must be token ids"),
        ({"tokens": torch.ones(3, 9)}, "must be token ids"),
        (
            {"metric": lambda logits: logits.mean()},
            r"each of the 3 prompts, and returns shape \[\]",
        ),
        ({"metric": lambda logits: None}, "each of the 3 prompts, and returns NoneType"),
        ({"metric": lambda logits: metric(logits) * float("nan")}, "is nan on the unpatched run"),
        ({"positions": (12,)}, "name some from -9 to 8"),
        ({"positions": ()}, "name some"),
        ({"source": {0: torch.zeros(1)}}, "given for 1 layers; give one for each"),
        ({"source": {i: torch.zeros(7) for i in range(3)}}, "do not broadcast to 'z'"),
        ({"source": {i: torch.tensor(float("nan")) for i in range(3)}}, "NaN or infinity in lay"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(gpt2, change, part):
    tokens, source = pair()
    asked = {"tokens": tokens, "source": source, "metric": metric} | change
    with pytest.raises(ValueError, match=part) as error:
        quiet_sweep(gpt2, **asked)
    assert "\n" not in str(error.value)


def test_runs_that_do_not_differ_are_refused(gpt2):
    tokens, source = pair(first=2)
    with pytest.raises(ValueError, match="no patch can change anything"):
        quiet_sweep(gpt2, tokens, tokens.clone(), metric)
    with pytest.raises(ValueError, match="no patch can change anything"):
        quiet_sweep(gpt2, tokens, source, metric, positions=(1,))


def test_nan_names_the_patch_that_gave_it(gpt2):
    tokens, source = pair()
    calls = []

    def breaks_later(logits):
        calls.append(1)
        return metric(logits) * (float("nan") if len(calls) == 6 else 1)

    with pytest.raises(ValueError, match=r"is nan after the patch at \[0, 3\]"):
        quiet_sweep(gpt2, tokens, source, breaks_later)


@pytest.mark.parametrize(
    ("receivers", "into", "part"),
    [
        ([], "q", "`receivers` is empty"),
        ([(0, 1)], "q", "layers go from 1 to 2"),
        ([(2, 4)], "q", "heads from 0 to 3"),
        ([(2, 1)], "z", "'q', 'k' or 'v'"),
    ],
)
def test_receivers_that_cannot_receive(gpt2, receivers, into, part):
    with pytest.raises(ValueError, match=part):
        patching.path_sweep(gpt2, *pair(), metric, receivers=receivers, into=into)


def test_a_model_that_does_more_at_its_end_is_refused(gpt2, monkeypatch):
    real = patching._Run._unembed
    monkeypatch.setattr(patching._Run, "_unembed", lambda self, resid: real(self, resid) * 2)
    with pytest.raises(NotImplementedError, match="transformer_lens.patching"):
        quiet_sweep(gpt2, *pair(), metric)


def test_training_mode_is_refused(gpt2):
    gpt2.train()
    try:
        with pytest.raises(ValueError, match="model.eval"):
            quiet_sweep(gpt2, *pair(), metric)
    finally:
        gpt2.eval()
