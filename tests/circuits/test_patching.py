"""The patching engine, against TransformerLens's own sweeps, and what it says when it cannot."""

import contextlib
import io
import subprocess
import sys

import pandas as pd
import pytest
import torch
import transformer_lens.patching as tl
from transformer_lens.tools.analysis.attribution_patching import attribution_patch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from data.ioi import task as ioi
from tests.bench import LiveTensors
from tests.small_models import random_model
from utils.circuits import patches, patching
from utils.guards import unpadded
from utils.heads import ablated
from utils.models import load
from utils.steering import steer

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


@torch.no_grad()
def three_passes(model, tokens, source, *, sender, receivers, into: str = "q"):
    """Path patching as Wang et al. define it, by hooks: the metric for each prompt.

    First both runs, then what each receiver computes from the one changed write alone, then a run
    in which the receivers are held at that.
    """
    runs = [model.run_with_cache(run)[1] for run in (tokens, source)]
    if len(sender) == 2:
        layer, head = sender
        own, other = (run[f"blocks.{layer}.attn.hook_z"][:, :, head] for run in runs)
        write = (other - own) @ model.blocks[layer].attn.W_O[head]
    else:
        own, other = (run[f"blocks.{sender[0]}.hook_mlp_out"] for run in runs)
        write = other - own
    held = {}
    for layer, head in receivers:
        if layer <= sender[0]:
            continue

        def read(inputs, hook, head=head):
            inputs = inputs.clone()
            inputs[:, :, head] += write
            return inputs

        model.set_use_split_qkv_input(True)
        hook = (f"blocks.{layer}.hook_{into}_input", read)
        name = f"blocks.{layer}.attn.hook_{into}"
        with model.hooks(fwd_hooks=[hook]):
            held[layer, head] = model.run_with_cache(tokens)[1][name][:, :, head]
        model.set_use_split_qkv_input(False)

    def hold(own, hook):
        own = own.clone()
        for (layer, head), value in held.items():
            if layer == hook.layer():
                own[:, :, head] = value
        return own

    hooks = [(f"blocks.{layer}.attn.hook_{into}", hold) for layer, _ in held]
    return metric(model.run_with_hooks(tokens, fwd_hooks=hooks))


@pytest.mark.parametrize("into", ["q", "v"])
def test_receivers_in_several_layers_are_held(small, into):
    """The later one must not read what the earlier one changes."""
    if small.cfg.attn_only:
        return
    tokens, source = pair()
    receivers = [(1, 0), (1, 1), (2, 1)]
    ours = patching.path_sweep(
        small, tokens, source, metric, receivers=receivers, into=into, progress=False
    )
    for sender in [(0, 0), (0, 3), (1, 2)]:
        right = three_passes(small, tokens, source, sender=sender, receivers=receivers, into=into)
        assert (ours.by_prompt[sender] - right).abs().max() < 1e-4
    late = patching.path_sweep(
        small, tokens, source, metric, receivers=[(2, 1)], into=into, progress=False
    )
    assert torch.equal(ours.values[1], late.values[1]), "one receiver stands behind layer 1"
    assert not torch.allclose(ours.values[0], late.values[0], atol=1e-3)


def test_mlps_send(small):
    if small.cfg.attn_only:
        return
    tokens, source = pair()
    receivers = [(1, 1), (2, 0)]
    ours = patching.path_sweep(
        small, tokens, source, metric, receivers=receivers, what="mlp_out", progress=False
    )
    assert ours.values.shape == (3,) and ours.values[2] == ours.base
    for layer in range(2):
        right = three_passes(small, tokens, source, sender=(layer,), receivers=receivers)
        assert (ours.by_prompt[layer] - right).abs().max() < 1e-4
    assert ours.effect[:2].abs().min() > 1e-3


def test_heads_have_no_path_of_their_own_through_a_shared_norm(tmp_path):
    """Gemma norms what all heads write together: a product with W_O is not what they add."""
    random_model("llama", tmp_path)  # for its tokenizer
    config = Gemma3TextConfig(
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        hidden_size=32,
        head_dim=8,
        intermediate_size=48,
        vocab_size=40,
        max_position_embeddings=16,
    )
    Gemma3ForCausalLM(config).eval().save_pretrained(tmp_path)
    model, settings = load(tmp_path, device="cpu"), {"into": "logits", "progress": False}
    with pytest.raises(NotImplementedError, match="what='attn_out'"):
        patching.path_sweep(model, *pair(), metric, **settings)
    found = patching.path_sweep(model, *pair(), metric, what="attn_out", **settings)
    assert found.effect.abs().max() > 0


@pytest.mark.parametrize("what", ["z", "mlp_out", "attn_out"])
@pytest.mark.parametrize("positions", [(-1,), (1, 4, -2)])
def test_paths_to_the_logits(small, what, positions):
    """What a sender writes, added to the end of the stream, which nobody else reads."""
    if small.cfg.attn_only and what == "mlp_out":
        return
    tokens, source = pair()

    def here(logits):
        return logits[:, 0, 1] - logits[:, -1, 2]

    ours = patching.path_sweep(
        *(small, tokens, source, here),
        into="logits",
        what=what,
        positions=positions,
        progress=False,
    )
    n_layers = small.cfg.n_layers
    with torch.no_grad():
        runs = [small.run_with_cache(run)[1] for run in (tokens, source)]
        for layer in range(n_layers):
            own, other = (run[f"blocks.{layer}.{patching.HOOKS[what]}"] for run in runs)
            writes = [other - own]
            if what == "z":
                W_O = small.blocks[layer].attn.W_O
                writes = [writes[0][:, :, head] @ W_O[head] for head in range(small.cfg.n_heads)]
            found = ours.by_prompt[layer] if what == "z" else ours.by_prompt[layer][None]
            for value, write in zip(found, writes, strict=True):
                hook = (f"blocks.{n_layers - 1}.hook_resid_post", lambda x, hook, w=write: x + w)
                logits = small.run_with_hooks(tokens, fwd_hooks=[hook])
                assert (value - here(logits[:, list(positions)])).abs().max() < 1e-4
    assert ours.effect[-1].abs().max() > 1e-3, "the last layer sends too"


# ---- Errors over prompts ------------------------------------------------------------------------


def test_each_prompt_has_its_own_numbers(gpt2):
    tokens, source = pair()
    together = quiet_sweep(gpt2, tokens, source, metric)
    for i in range(len(tokens)):
        alone = quiet_sweep(gpt2, tokens[i : i + 1], source[i : i + 1], metric)
        assert (together.by_prompt[..., i] - alone.values).abs().max() < 1e-4
        assert together.base_by_prompt[i] == pytest.approx(alone.base, abs=1e-4)
        assert together.source_by_prompt[i] == pytest.approx(alone.source, abs=1e-4)
    moved = (together.by_prompt - together.base_by_prompt).numpy()
    assert together.effect.numpy() == pytest.approx(moved.mean(-1), abs=1e-5)
    assert together.standard_error.numpy() == pytest.approx(
        moved.std(-1, ddof=1) / len(tokens) ** 0.5, abs=1e-5
    )
    assert together.standard_error.max() > 1e-2
    with pytest.raises(ValueError, match="at least two"):
        _ = alone.standard_error


def test_errors_are_paired():
    """Prompts that differ much, and whom the patch moves alike: the effect is certain."""
    base = torch.tensor([-10.0, 0.0, 10.0, 3.0])
    way = torch.tensor([1.0, 2.0, 3.0, 4.0])
    found = patching.Sweep(
        (base + torch.stack([way, 0 * way + 1, way / 2]))[None], base, base + way
    )
    assert found.standard_error.tolist() == [
        [pytest.approx((5 / 3 / 4) ** 0.5), 0.0, *[pytest.approx((5 / 3 / 4) ** 0.5 / 2)]]
    ]
    # A patch that restores half of the way in each prompt restores half, without an error.
    assert found.restored[0].tolist() == pytest.approx([1, 0.4, 0.5])
    assert found.restored_standard_error[0, [0, 2]].tolist() == pytest.approx([0, 0], abs=1e-6)
    assert found.restored_standard_error[0, 1] > 0.05


def test_the_error_of_a_share_is_a_bootstrap_s():
    random = torch.Generator().manual_seed(0)
    base, way = torch.randn(2, 300, generator=random)
    way, noise = 2 + way, torch.randn(300, generator=random)
    found = patching.Sweep((base + 0.3 * way + 0.5 * noise)[None], base, base + way)
    moved = found.by_prompt[0] - base
    rows = torch.randint(300, (4000, 300), generator=random)
    draws = moved[rows].mean(1) / way[rows].mean(1)
    assert found.restored_standard_error.item() == pytest.approx(draws.std().item(), rel=0.1)


def test_a_metric_may_count(gpt2):
    """Whether the likeliest token stays it: booleans, whose mean is a share."""
    tokens, source = pair()
    likeliest = gpt2(tokens)[:, -1].argmax(-1)
    found = quiet_sweep(gpt2, tokens, source, lambda x: x[:, -1].argmax(-1) == likeliest)
    assert found.base == 1 and found.source < 1
    assert found.by_prompt.unique().tolist() == [0, 1]


# ---- One receiver after another -----------------------------------------------------------------


@pytest.mark.parametrize("hold_mlps", [True, False])
@pytest.mark.parametrize("into", ["q", "k", "v"])
def test_receivers_one_by_one_are_path_patches(gpt2, into, hold_mlps):
    tokens, source = pair()
    settings = {"sender": (0, 2), "into": into, "hold_mlps": hold_mlps}
    found = patching.receiver_sweep(gpt2, tokens, source, metric, progress=False, **settings)
    assert found.by_prompt.shape == (3, 4, 3)
    assert (found.effect[0] == 0).all() and found.effect[1:].abs().max() > 1e-2
    for receiver in [(1, 0), (1, 3), (2, 1)]:
        logits = patches.path_patch(gpt2, tokens, source, receivers=[receiver], **settings)
        assert (found.by_prompt[receiver] - metric(logits)).abs().max() < 1e-4
    assert abs(found.source - metric(gpt2(source)).mean()) < 1e-4
    both = patching.receiver_sweep(
        gpt2, tokens, source, {"one": metric, "two": metric}, progress=False, **settings
    )
    assert torch.equal(both["two"].restored, found.restored)


def test_receivers_may_share_keys_and_values(tmp_path):
    model = random_model("llama", tmp_path)
    found = patching.receiver_sweep(
        model, *pair(), metric, sender=(0, 1), into="v", progress=False, positions=(3, -1)[1:]
    )
    assert found.values.shape == (3, 2)


def test_a_path_with_its_mlps_held_is_a_path_sweep_s(gpt2):
    tokens, source = pair()
    receivers = [(2, 0), (2, 3)]
    swept = patching.path_sweep(
        gpt2, tokens, source, metric, receivers=receivers, into="v", progress=False
    )
    for sender in [(0, 1), (1, 2)]:
        logits = patches.path_patch(
            gpt2, tokens, source, sender=sender, receivers=receivers, into="v", hold_mlps=True
        )
        assert (swept.by_prompt[sender] - metric(logits)).abs().max() < 1e-4


# ---- Some layers alone --------------------------------------------------------------------------


def test_a_sweep_of_some_layers_is_part_of_the_whole(gpt2):
    whole, part = (
        quiet_sweep(gpt2, *pair(), metric, layers=layers) for layers in (None, [2, 0, 2])
    )
    assert torch.equal(part.by_prompt[[0, 2]], whole.by_prompt[[0, 2]])
    assert (part.effect[1] == 0).all() and (whole.effect[1] != 0).any()
    paths = [
        patching.path_sweep(
            gpt2, *pair(), metric, receivers=[(2, 1)], layers=layers, progress=False
        ).by_prompt
        for layers in (None, [1])
    ]
    assert torch.equal(paths[1][1], paths[0][1])
    assert (paths[1][0] == paths[1][2]).all(), "unpatched"


def test_given_activations_start_where_they_differ(gpt2, monkeypatch):
    tokens, source = pair(first=4)
    with torch.no_grad():
        _, cache = gpt2.run_with_cache(source)
    given = {layer: cache["q", layer] for layer in range(3)}
    starts, usual = [], patching._patches
    monkeypatch.setattr(patching, "_patches", lambda *args: starts.append(args[3]) or usual(*args))
    found = quiet_sweep(gpt2, tokens, given, metric, what="q")
    right = quiet_sweep(gpt2, tokens, source, metric, what="q")
    assert starts == [4, 4]
    assert (found.by_prompt - right.by_prompt).abs().max() < 1e-5


# ---- The plain forms ----------------------------------------------------------------------------


def test_the_plain_sweep_gives_the_fast_one_s_numbers(small):
    tokens, source = pair()
    layers, positions = [small.cfg.n_layers - 1, 0], [3, 6, 8]
    plain = patches.stream_sweep(small, tokens, source, metric, layers=layers, positions=positions)
    fast = quiet_sweep(small, tokens, source, metric, what="resid_pre").restored
    assert (plain.mean(-1) - fast[layers][:, positions]).abs().max() < 1e-4
    noise = torch.roll(source, 1, 0)
    other = patches.stream_sweep(
        small, tokens, source, metric, layers=layers, positions=positions, source=noise
    )
    assert (other - plain).abs().max() > 1e-2


def test_attribution_patching_is_the_library_s(small):
    if small.cfg.attn_only:  # the library asks for MLPs
        return
    tokens, source = pair()
    found = patches.attribution_patching(small, tokens, source, metric)
    for row in range(len(tokens)):
        one = slice(row, row + 1)
        nodes = attribution_patch(
            small, source[one], tokens[one], lambda logits: metric(logits)[0]
        ).node_scores
        right = torch.zeros(found.shape[:2])
        for node, value in nodes.items():
            if node.kind == "attn_head_out":
                right[node.layer, node.head] += value
        assert (found[..., row] - right).abs().max() < 1e-3 * max(1, right.abs().max())


def test_attribution_patching_works_on_frozen_weights(tmp_path):
    model = random_model("llama", tmp_path)
    right = patches.attribution_patching(model, *pair(), metric)
    model.requires_grad_(False)
    assert torch.allclose(patches.attribution_patching(model, *pair(), metric), right, atol=1e-5)


def test_the_qk_fix_is_exact_where_only_the_pattern_is_bent(tmp_path):
    """A metric that is linear in one layer's pattern: what the fix estimates is what happens."""
    model = random_model("llama", tmp_path)
    tokens, source = pair()
    names = [f"blocks.1.attn.hook_{end}" for end in ("rot_q", "rot_k", "pattern", "q")]
    with torch.no_grad():
        _, own = model.run_with_cache(tokens, names_filter=names)
        _, other = model.run_with_cache(source, names_filter=names)
    gradient = torch.randn(own[names[2]].shape, generator=torch.Generator().manual_seed(0))
    found = patches.qk_fix(gradient, own[names[2]], other[names[0]], own[names[1]])
    kept = {}
    with torch.no_grad():
        model.run_with_hooks(
            tokens,
            fwd_hooks=[
                (names[3], lambda q, hook: other[names[3]]),
                (names[2], lambda pattern, hook: kept.update(new=pattern.clone())),
            ],
        )
    right = (gradient * (kept["new"] - own[names[2]])).sum((2, 3)).T
    assert found.abs().max() > 0.1 and (found - right).abs().max() < 1e-4


def test_corruptions_are_the_task_s_where_it_has_them(default):
    prompts = ioi.prompts(default, 3, generator=torch.Generator().manual_seed(0))
    made = patches.corruptions(prompts)
    assert torch.equal(made["both"], prompts.swapped().tokens)
    answers = {kind: (prompts.logit_diff(default(t)) > 0).all() for kind, t in made.items()}
    assert answers == {"position": True, "answer": False, "both": False}


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


def test_memory_is_bounded_and_changes_nothing(default, monkeypatch):
    memory_mb = 24.0
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


RESIDENT = """
import itertools, sys, torch
from data.ioi import task as ioi
from utils.circuits import patching
from utils.models import load

memory_mb = float(sys.argv[1])

def peak_mb():
    return next(int(x.split()[1]) for x in open("/proc/self/status") if "VmHWM" in x) * 1024 / 1e6

model = load(device="cpu")
prompts = ioi.prompts(model, 4, generator=torch.Generator().manual_seed(3))
real, chunks = patching._patches, patching._chunks
patching._chunks = lambda *args: itertools.islice(chunks(*args), 2)  # the rest only takes time

def grown(memory_mb, n_patches):
    patching._patches = lambda *args: real(*args)[:n_patches]
    open("/proc/self/clear_refs", "w").write("5")
    patching.sweep(model, prompts.swapped().tokens, prompts.tokens, prompts.logit_diff,
                   memory_mb=memory_mb, progress=False)
    return peak_mb()

one = [grown(0.01, 2) for _ in range(2)][-1]  # the weights are in memory then
print(grown(memory_mb, 200) - one)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for the peak")
def test_resident_memory_is_bounded():
    """What the kernel counts, over what one patch at a time takes; it was 2.3 times the bound.

    Half as much again is left for how the allocator places things: 81 to 101 MB were seen.
    """
    run = [sys.executable, "-c", RESIDENT, "100"]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert 10 < float(done.stdout.split()[-1]) < 150


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
        ([(2, 1)], "z", "'q', 'k', 'v' or 'logits'"),
        ([(2, 1)], "logits", "take no `receivers`"),
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


def everything(model, tokens, source):
    """All that must not run under somebody's hooks."""
    last = model.cfg.n_layers - 1
    paths = {"receivers": [(last, 0)], "progress": False}
    return {
        "sweep": lambda: quiet_sweep(model, tokens, source, metric),
        "path_sweep": lambda: patching.path_sweep(model, tokens, source, metric, **paths),
        "receiver_sweep": lambda: patching.receiver_sweep(
            model, tokens, source, metric, sender=(0, 0), progress=False
        ),
        "stream_sweep": lambda: patches.stream_sweep(
            model, tokens, source, metric, layers=[0], positions=[1]
        ),
        "path_patch": lambda: patches.path_patch(
            model, tokens, source, sender=(0, 0), receivers=[(1, 0)], into="q", hold_mlps=True
        ),
        "attribution_patching": lambda: patches.attribution_patching(model, tokens, source, metric),
    }


REFUSING = ["sweep", "path_sweep", "receiver_sweep", "stream_sweep", "path_patch"]
REFUSING.append("attribution_patching")


@contextlib.contextmanager
def added(handle):
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize("name", REFUSING)
def test_hooks_at_work_are_refused(gpt2, name):
    run = everything(gpt2, *pair())[name]
    z, block = gpt2.blocks[1].attn.hook_z, gpt2.blocks[1]

    def change(z, hook):
        z[:, 3] = 0
        return z

    contexts = {
        "steer": lambda: steer(gpt2, torch.ones(32), layer=1, positions=[3]),
        "ablated": lambda: ablated(gpt2, [(1, 0)]),
        "hooks": lambda: gpt2.hooks(fwd_hooks=[("blocks.1.attn.hook_z", change)]),
        "backward": lambda: gpt2.hooks(bwd_hooks=[("blocks.1.attn.hook_z", lambda g, hook: None)]),
        "the module's own": lambda: added(block.register_forward_hook(lambda *_: None)),
        "before the model": lambda: added(gpt2.register_forward_pre_hook(lambda *_: None)),
    }
    run()  # what the libraries set for themselves by now is no offence
    for context in contexts.values():
        with context(), pytest.raises(ValueError, match="A hook is at work at .*leave its context"):
            run()
        run()
    for permanent in (False, True):
        z.add_hook(change, is_permanent=permanent)
        with pytest.raises(ValueError, match=r"at blocks.1.attn.(o.hook_in|hook_z)"):
            run()
        gpt2.reset_hooks(including_permanent=True)
        run()


@pytest.mark.parametrize("name", REFUSING)
@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_prompts_are_refused(default, side, name):
    texts = ["When Mary and John went home", "When Mary and John went"]
    tokens = default.to_tokens(texts, padding_side=side)
    source = tokens.clone()
    source[:, 3] += 1
    for rows in (slice(None), slice(1, 2)):
        if len(tokens[rows]) > 1 or name == "sweep":
            with pytest.raises(ValueError, match="The prompts are padded"):
                everything(default, tokens, source)[name]()


def test_what_padding_is(default, tmp_path):
    pad, bos = default.tokenizer.pad_token_id, default.tokenizer.bos_token_id
    assert pad != bos

    def padded(*rows, model=default):
        return bool(unpadded(torch.tensor(rows), {"model": model}))

    assert padded([bos, 5, 6], [bos, 5, pad])
    assert padded([pad, bos, 5], [bos, 5, 6])
    assert padded([bos, 5, pad, pad])
    assert not padded([bos, 5, 6], [bos, 7, 8])
    assert not padded([bos, 5, pad], [bos, 7, pad]), "each ends its turn"
    assert not padded([bos, pad, 5, 6], [bos, 7, 8, 9]), "a turn ends in the middle"
    assert padded([pad, bos, 5], [pad, bos, 6]), "in front of every row"
    assert padded([bos, 5, pad, pad], [bos, 6, pad, pad])
    seen = unpadded(torch.tensor([[bos, 5, 6], [bos, 5, pad]]), {"model": default})
    assert seen.startswith(f"is padded in row 1 (token {pad})")
    gpt2 = random_model("gpt2", tmp_path)  # here one token is BOS and padding
    assert gpt2.tokenizer.pad_token_id == gpt2.tokenizer.bos_token_id == 0
    assert not padded([0, 5, 6], [0, 7, 8], model=gpt2)
    assert not padded([0, 5, 6], [4, 5, 6], model=gpt2), "a source may lack BOS"
    assert padded([0, 0, 6], [0, 7, 8], model=gpt2)
    assert padded([0, 6, 0], [0, 7, 8], model=gpt2)


@pytest.mark.parametrize("name", REFUSING)
def test_training_mode_is_refused(gpt2, name):
    gpt2.train()
    try:
        with pytest.raises(ValueError, match="model.eval"):
            everything(gpt2, *pair())[name]()
    finally:
        gpt2.eval()
