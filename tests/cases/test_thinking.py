"""Going on, stopping and resampling, compared with texts and sums written out by hand."""

import contextlib
import io
from functools import cache

import pytest
import torch

from data.countdown import task as countdown
from data.countdown.task import VOCABULARY, Puzzle
from tests.small_models import random_model
from utils.activations import next_logits
from utils.cases import thinking, verification
from utils.generation import sample
from utils.lesson import ROOT
from utils.models import load
from utils.steering import random_directions

PUZZLE = Puzzle((12, 7, 4), 15)
MISS, HIT = "12 + 7 = 19 + 4 = 23", "12 + 7 = 19 - 4 = 15"
TRACE = f"{MISS} ( not 23 ) , {HIT} ( this works ) , check {HIT} ( yes works )".split()


@cache
def recheck():
    with contextlib.redirect_stdout(io.StringIO()):
        return load(ROOT / "data" / "countdown" / "recheck_0", device="cpu")


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    return random_model("qwen2", tmp_path_factory.mktemp("qwen2"), n_positions=256)


# ---- Endings ------------------------------------------------------------------------------------


def test_endings_are_found_with_what_stands_before_them():
    positions = thinking.endings(recheck(), [PUZZLE, PUZZLE], [TRACE, TRACE[:17]])
    assert positions.kind.tolist() == [0, 1, 2, 0] and positions.puzzle.tolist() == [0, 0, 0, 1]
    for row, at in zip(positions.tokens.tolist(), positions.pos.tolist(), strict=True):
        words = [VOCABULARY[i] for i in row]
        assert words[at : at + 2] == [")", ","] and set(words[at + 2 :]) <= {"<pad>"}
    first = [VOCABULARY[i] for i in positions.tokens[0].tolist()]
    assert first[1 + len(PUZZLE.header) : positions.pos[0] + 1] == [
        *MISS.split(),
        "(",
        "not",
        "23",
        ")",
    ]
    values = torch.arange(positions.tokens.numel()).view(positions.tokens.shape)
    assert positions.of(values, back=1).tolist() == [
        values[i, at - 1].item() for i, at in enumerate(positions.pos.tolist())
    ]


def test_endings_stop_behind_a_re_check_and_need_one():
    more = [*TRACE, ",", "check", *HIT.split(), "(", "yes", "works", ")"]
    assert len(thinking.endings(recheck(), [PUZZLE], [more]).pos) == 3
    with pytest.raises(ValueError, match="more tokens"):
        thinking.endings(recheck(), [PUZZLE], [TRACE[:5]])


def test_parts_come_back_in_order():
    positions = thinking.endings(recheck(), [PUZZLE] * 2, [TRACE, TRACE])
    parts = positions.parts(batch_size=4)
    assert [len(part.pos) for part in parts] == [4, 2]
    assert positions.in_order([part.pos for part in parts]).tolist() == positions.pos.tolist()
    found = [verification.resid_at(recheck(), part) for part in parts]
    together = verification.resid_at(recheck(), positions)
    assert together.shape == (4, 6, 96)
    torch.testing.assert_close(positions.in_order(found, dim=1), together, atol=1e-4, rtol=0)


def test_going_on_reads_the_models_probabilities():
    model = recheck()
    positions = thinking.endings(model, [PUZZLE], [TRACE])
    found = thinking.going_on(model, positions, [PUZZLE])
    for i, at in enumerate(positions.pos.tolist()):
        with torch.no_grad():
            p = model(positions.tokens[i : i + 1, : at + 2])[0].softmax(-1)
        here, behind = p[at], p[at + 1]
        share = here[thinking.COMMA] / (here[thinking.COMMA] + here[thinking.STOP])
        assert found.goes_on[i].item() == pytest.approx(share.item(), abs=1e-4)
        assert found.check[i].item() == pytest.approx(behind[thinking.CHECK].item(), abs=1e-4)
        numbers = behind[thinking.ids(["12", "7", "4"])].sum()
        assert found.number[i].item() == pytest.approx(numbers.item(), abs=1e-4)
    assert found.goes_on[0] > 0.99 > 0.6 > found.goes_on[1] > 0.4 > 0.01 > found.goes_on[2]


# ---- Steering at a token ------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [0, 1, 3])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2"])
def test_steering_at_a_token_is_the_same_with_and_without_a_cache(kind, layer, tmp_path):
    model = random_model(kind, tmp_path)
    model.original_model.generation_config.eos_token_id = 2
    generator = torch.Generator().manual_seed(2)
    vector = random_directions(1, torch.ones(32), generator=generator)[0] * 4
    prompts = torch.tensor([[1, 7, 3, 9], [7, 2, 5, 7], [4, 4, 4, 4]])
    with torch.no_grad():
        token = int(model(prompts)[0, -1].argmax())  # one that it is going to write
    prompts = torch.where(prompts == token, 8, prompts)
    prompts[1, 2] = token
    name = f"blocks.{layer}.hook_resid_pre" if layer < 3 else "blocks.2.hook_resid_post"
    by_hand = prompts
    for _ in range(6):

        def add(resid, hook, tokens=by_hand):
            return thinking.add_at_token(resid, tokens, vector, token=token)

        with torch.no_grad(), model.hooks(fwd_hooks=[(name, add)]):
            logits = model(by_hand)[:, -1:]
        logits[..., 2] = -torch.inf  # never the end of the text
        by_hand = torch.cat([by_hand, logits.argmax(-1)], 1)
    with thinking.steer_at(model, vector, layer=layer, token=token):
        cached = sample(model, prompts, n_tokens=6, temperature=0.0)
        bridged = model.original_model.generate(
            prompts, max_new_tokens=6, min_new_tokens=6, do_sample=False
        )
        with torch.no_grad():
            whole = model(by_hand)
    assert torch.equal(cached, by_hand[:, 4:]) and torch.equal(bridged, by_hand)
    hook = (name, lambda r, hook: thinking.add_at_token(r, by_hand, vector, token=token))
    with torch.no_grad(), model.hooks(fwd_hooks=[hook]):
        torch.testing.assert_close(model(by_hand), whole, atol=1e-4, rtol=0)
    with torch.no_grad():
        assert (model(prompts) - whole[:, :4])[1, 2:].abs().max() > 0.01
    assert not any(point.fwd_hooks for point in model.hook_dict.values())
    assert not model.original_model._forward_pre_hooks


def test_steering_moves_only_rows_that_hold_the_token(qwen):
    text = torch.tensor([[1, 7, 3, 9], [1, 2, 3, 9]])
    with torch.no_grad():
        plain = qwen(text)
        with thinking.steer_at(qwen, torch.ones(32), layer=1, token=7):
            steered = qwen(text)
    assert torch.equal(plain[1], steered[1]) and torch.equal(plain[0, 0], steered[0, 0])
    assert (plain[0, 1:] - steered[0, 1:]).abs().amax(-1).min() > 0.01
    with (
        pytest.raises(ValueError, match="layers 0 to 3"),
        thinking.steer_at(qwen, torch.ones(32), layer=4),
    ):
        pass
    with (
        pytest.raises(ValueError, match="d_model"),
        thinking.steer_at(qwen, torch.ones(31), layer=1),
    ):
        pass


# ---- Texts and steps ----------------------------------------------------------------------------


def test_a_text_is_measured():
    found = thinking.measure(PUZZLE, TRACE, n_tokens=100)
    assert (found.words, found.tries, found.checks) == (len(TRACE), 2, 1)
    assert found.solved and not found.gave_up and not found.cut and found.repeated > 0
    short = thinking.measure(PUZZLE, TRACE[:13], n_tokens=100)
    assert short.gave_up and not short.solved and short.tries == 1
    assert thinking.measure(PUZZLE, TRACE[:13], n_tokens=13).cut


def test_steps_tile_a_text():
    spans = thinking.steps(TRACE)
    assert [begin for begin, _ in spans] == [0, *(end for _, end in spans[:-1])]
    assert (
        spans[-1][1] == len(TRACE) and " ".join(TRACE[slice(*spans[0])]) == f"{MISS} ( not 23 ) ,"
    )


def test_exact_importance_against_a_sum_over_all_texts():
    model = recheck()
    exact = thinking.exact_importance(model, PUZZLE, PUZZLE.header, MISS.split())

    def chance(words: list[str]) -> float:
        every, (p,) = thinking.next_tries(model, PUZZLE, [[*PUZZLE.header, *words]])
        good = sum(float(q) for each, q in zip(every, p, strict=True) if each.results[-1] == 15)
        return good / float(p.sum())

    every, (p,) = thinking.next_tries(model, PUZZLE, [PUZZLE.header])
    total = solved = 0.0
    for each, q in zip(every, p.tolist(), strict=True):
        result = each.results[-1]
        if result != 23:
            total += q
            behind = [*each.words, "(", "not", str(result), ")", ","]
            solved += q * (1.0 if result == 15 else chance(behind))
    kept = chance([*MISS.split(), "(", "not", "23", ")", ","])
    assert exact.importance == pytest.approx(kept - solved / total, abs=1e-4)
    assert exact.chance == pytest.approx(chance([]), abs=1e-4)
    assert 0 <= exact.unread < 0.3 and abs(exact.among_misses) < abs(exact.importance) + 0.2
    hit = thinking.exact_importance(model, PUZZLE, PUZZLE.header, HIT.split())
    assert 0 < hit.importance < 1 and hit.among_misses != hit.among_misses


def test_next_tries_multiply_up():
    every, (p,) = thinking.next_tries(recheck(), PUZZLE, [PUZZLE.header], batch_size=5)
    assert len(every) == sum(map(len, countdown.tries(PUZZLE.numbers).values()))
    product, words = 1.0, [*PUZZLE.header]
    for word in [*every[3].words, "("]:
        p_next = next_logits(recheck(), [" ".join(words)]).softmax(-1)[0]
        product *= float(p_next[thinking.ids([word])])
        words.append(word)
    assert p[3].item() == pytest.approx(product, rel=1e-3) and 0.5 < p.sum() <= 1


def test_received_attention_counts_chosen_queries_and_keeps_heads_apart():
    pattern = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    found = thinking.received_attention(pattern, [(0, 2), (2, 4)], queries=[1, 3, 5])
    assert found.shape == (2, 3, 2)
    torch.testing.assert_close(
        found[..., 0], (pattern[..., 3, :2].sum(-1) + pattern[..., 5, :2].sum(-1)) / 2
    )
    torch.testing.assert_close(found[..., 1], pattern[..., 5, 2:4].sum(-1))
    guesses = thinking.guesses(recheck(), PUZZLE, TRACE)
    assert {len(values) for values in guesses.values()} == {3}


# ---- Heads that share their values --------------------------------------------------------------


def test_heads_share_values_as_they_do_in_the_model(qwen):
    """What a head adds to the stream, with every other head ablated, is its OV circuit's."""
    text = torch.randint(1, 40, (1, 9), generator=torch.Generator().manual_seed(1))
    layer = 1
    for head in range(4):
        others = [(layer, each) for each in range(4) if each != head]
        names = (f"blocks.{layer}.hook_attn_out", f"blocks.{layer}.attn.hook_pattern")
        with torch.no_grad():
            _, cache = qwen.run_with_cache(text)
            normed = cache["resid_pre", layer]
            weight = qwen.blocks[layer].ln1.weight
            rms = normed.pow(2).mean(-1, keepdim=True).add(qwen.cfg.eps).rsqrt()
            with verification.without_heads(qwen, others):
                _, alone = qwen.run_with_cache(text, names_filter=list(names))
        circuit = verification.ov_circuit(qwen, layer, head)
        constant = qwen.b_V[layer, head // 2].float() @ qwen.W_O[layer, head].float()
        values = (normed * rms * weight)[0] @ circuit + constant.detach()
        right = cache[names[1]][0, head] @ values
        torch.testing.assert_close(alone[names[0]][0], right.detach(), atol=1e-3, rtol=1e-3)
