"""Going on, stopping and resampling, compared with texts and sums written out by hand."""

import contextlib
import io
from functools import cache, partial

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
    found = thinking.going_on(model, positions)
    for i, at in enumerate(positions.pos.tolist()):
        with torch.no_grad():
            p = model(positions.tokens[i : i + 1, : at + 2])[0].softmax(-1)
        here, behind = p[at], p[at + 1]
        share = here[thinking.COMMA] / (here[thinking.COMMA] + here[thinking.STOP])
        assert found.share[i].item() == pytest.approx(share.item(), abs=1e-4)
        assert found.check[i].item() == pytest.approx(behind[thinking.CHECK].item(), abs=1e-4)
        assert found.comma[i].item() == pytest.approx(here[thinking.COMMA].item(), abs=1e-4)
    assert found.share[0] > 0.99 > 0.6 > found.share[1] > 0.4 > 0.01 > found.share[2]


# ---- Claims ---


def test_claims_have_their_words():
    found = thinking.claims_checked([PUZZLE])
    assert {name for name, _ in found} == {"hit", "miss"} and len(found) == 11
    for (name, how), (text,) in found.items():
        assert text[-1] == "(" and ("check" in text) == ("; check" in how)
        assert (text[-2] == "15") == (name == "hit"), text
    (text,) = found["miss", "said this works of a hit; check"]
    assert text[text.index("(") - 1] == "15" and text[text.index("(") + 1] == "this"


def test_traces_are_solved_and_legal():
    found = thinking.traces_with_failures([PUZZLE] * 2, [TRACE, TRACE[:13]], at_least=1, at_most=1)
    ((puzzle, words, judged),) = found
    assert (
        puzzle == PUZZLE and words == TRACE and [each.hit for each in judged] == [False, True, True]
    )
    assert not thinking.traces_with_failures([PUZZLE], [TRACE], at_least=2, at_most=5)


# ---- Second looks -------------------------------------------------------------------------------


def test_second_looks_end_at_their_bracket():
    found = thinking.second_looks(recheck(), [PUZZLE, PUZZLE], [TRACE, TRACE[:26]])
    assert [len(each.pos) for each in found[:2]] == [1, 1] and len(found.misses.pos) == 1
    words = [VOCABULARY[i] for i in found.second.tokens[0].tolist()]
    n = 1 + len(PUZZLE.header) + TRACE.index("check")
    assert words[n] == "check" and found.check.tolist() == [n] and words[-1] == "("
    assert found.second.pos.item() == len(words) - 1 and found.second.hit.all()
    assert words[: found.first.pos.item() + 1].count("(") == 2 and not found.misses.hit.any()
    with pytest.raises(ValueError, match="second look"):
        thinking.second_looks(recheck(), [PUZZLE], [TRACE[:26]])


def test_attention_that_is_cut_goes_elsewhere():
    model, found = recheck(), thinking.second_looks(recheck(), [PUZZLE], [TRACE])
    at = found.second
    before = verification.attention(model, at, found.check)
    with thinking.cut_attention(model, at.text, at.pos, found.check):
        after = verification.attention(model, at, found.check)
        others = verification.attention(model, at, at.pos).sum()
        yes = verification.verdicts(model, at)
    assert before.max() > 0.9 and (after == 0).all() and others > 0 and yes.isfinite().all()
    torch.testing.assert_close(verification.attention(model, at, found.check), before)


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
            return resid + (tokens == token)[..., None] * vector

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
    hook = (name, lambda r, hook: r + (by_hand == token)[..., None] * vector)
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
        thinking.steer_at(qwen, torch.ones(32), layer=4, token=7),
    ):
        pass
    assert not qwen.original_model._forward_pre_hooks


# ---- Texts and steps ----------------------------------------------------------------------------


def test_a_text_is_measured():
    found = thinking.measure(PUZZLE, TRACE, n_tokens=100)
    assert (found.words, found.tries, found.checks) == (len(TRACE), 2, 1)
    assert found.solved and not found.gave_up and not found.cut
    short = thinking.measure(PUZZLE, TRACE[:13], n_tokens=100)
    assert short.gave_up and not short.solved and short.tries == 1
    assert thinking.measure(PUZZLE, TRACE[:13], n_tokens=13).cut


def test_steps_tile_a_text():
    spans = thinking.steps(TRACE)
    assert [begin for begin, _ in spans] == [0, *(end for _, end in spans[:-1])]
    assert (
        spans[-1][1] == len(TRACE) and " ".join(TRACE[slice(*spans[0])]) == f"{MISS} ( not 23 ) ,"
    )


def tries() -> list[list[str]]:
    every = countdown.tries(PUZZLE.numbers).values()
    return [each.words for some in every for each in some]


def test_exact_importance_against_a_sum_over_all_texts():
    every = tries()
    probs = partial(thinking.next_try_probs, recheck(), every)
    how = {"target": "15"}
    exact = thinking.exact_importance(probs, every, PUZZLE.header, MISS.split(), **how)

    def chance(words: list[str]) -> float:
        (p,) = probs([[*PUZZLE.header, *words]])
        good = sum(float(q) for each, q in zip(every, p, strict=True) if each[-1] == "15")
        return good / float(p.sum())

    (p,) = probs([PUZZLE.header])
    total = solved = 0.0
    for each, q in zip(every, p.tolist(), strict=True):
        if each[-1] != "23":
            total += q
            solved += q * (1.0 if each[-1] == "15" else chance(thinking.rejected(each)))
    kept = chance(thinking.rejected(MISS.split()))
    assert float(exact.importance) == pytest.approx(kept - solved / total, abs=1e-4)
    torch.testing.assert_close(exact.drawn, p)
    assert exact.solves[every.index(HIT.split())] == 1 and 0.7 < exact.drawn.sum() <= 1
    hit = thinking.exact_importance(probs, every, PUZZLE.header, HIT.split(), **how)
    assert 0 < hit.importance == hit.against_failures < 1  # other results are failures


def test_next_tries_multiply_up_and_the_cache_changes_nothing():
    every = tries()
    starts = [PUZZLE.header, [word if word != "15" else "16" for word in PUZZLE.header]]
    starts.insert(1, [*PUZZLE.header, *thinking.rejected(MISS.split())])  # of another length
    found = thinking.next_try_probs(recheck(), every, starts)
    assert found.shape == (3, len(every)) and 0.5 < found[0].sum() <= 1
    product, words = 1.0, [*PUZZLE.header]
    for word in [*every[3], "("]:
        p_next = next_logits(recheck(), [" ".join(words)]).softmax(-1)[0]
        product *= float(p_next[thinking.ids([word])])
        words.append(word)
    assert found[0, 3].item() == pytest.approx(product, rel=1e-3)
    ways = torch.tensor([thinking.ids([*each, "("]) for each in every])
    for row, start in zip(found, starts, strict=True):
        start = torch.tensor(thinking.ids(["<bos>", *start]))
        slow = thinking.continuation_probs(recheck(), start, ways)
        torch.testing.assert_close(row, slow, atol=1e-5, rtol=1e-3)


def test_a_head_that_looks_at_one_step_is_peaked():
    spans = [(i, i + 2) for i in range(0, 20, 2)]
    pattern = torch.full((2, 20, 20), 0.01).tril()
    pattern[0, 8:, 6:8] = 0.3
    pattern += 0.001 * torch.rand(pattern.shape, generator=torch.Generator().manual_seed(0))
    scores, kurtosis = thinking.received_by_steps(pattern, spans)
    assert scores.shape == (2, 9) and scores[0].argmax() == 3
    assert 9 - 5 + 1 / 8 >= kurtosis[0] > 3 > kurtosis[1]
