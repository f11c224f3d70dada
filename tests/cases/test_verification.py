"""How a model judges its own tries, on the shipped model and by hand."""

import contextlib
import io

import pytest
import torch

from data.countdown import task as countdown
from data.countdown.task import Puzzle
from utils.cases import verification as v
from utils.models import load


@pytest.fixture(scope="module")
def model():
    with contextlib.redirect_stdout(io.StringIO()):
        return load("countdown/seed_0", device="cpu")


PUZZLES = [Puzzle((12, 7, 4), 15, ("now", "so")), Puzzle((5, 9, 3), 17)]
WRITTEN = [
    "12 - 7 = 5 + 4 = 9 ( not 15 ) , 12 + 7 = 19 - 4 = 15 ( this works )",
    "5 + 9 = 14 + 3 = 17 ( this works )",
]


@pytest.fixture(scope="module")
def positions(model):
    return v.brackets(model, PUZZLES, [text.split() for text in WRITTEN])


def test_brackets_stand_behind_results(model, positions):
    words = [[countdown.VOCABULARY[t] for t in row] for row in positions.tokens.tolist()]
    at = list(
        zip(positions.text.tolist(), positions.pos.tolist(), positions.target.tolist(), strict=True)
    )
    assert [words[i][pos] for i, pos, _ in at] == ["(", "(", "("]
    assert [words[i][pos - 1] for i, pos, _ in at] == ["9", "15", "17"]
    assert [words[i][target] for i, _, target in at] == ["15", "15", "17"]
    assert positions.hit.tolist() == [False, True, True]


def test_of_takes_each_position_and_where_leaves_the_rest_out(positions):
    numbers = torch.arange(positions.tokens.numel()).view(positions.tokens.shape)
    assert positions.of(numbers).tolist() == [
        numbers[i, p] for i, p in zip(*positions[1:3], strict=True)
    ]
    assert torch.equal(positions.of(numbers, back=1), positions.of(numbers) - 1)
    last = positions.where(torch.tensor([False, False, True]))
    assert last.tokens.shape == (1, int(positions.pos[2]) + 1) and last.text.tolist() == [0]
    assert torch.equal(last.of(last.tokens, back=1), positions.of(positions.tokens, back=1)[2:])


def test_texts_without_a_bracket_are_refused(model):
    with pytest.raises(ValueError, match="more tokens"):
        v.brackets(model, PUZZLES[:1], [["12", "+", "7"]])


def test_yes_share_is_of_the_verdicts_alone():
    logits = torch.full((92,), -3.0)
    logits[list(v.YES_TOKENS)] = torch.tensor(0.3).log()
    logits[list(v.NO_TOKENS)] = torch.tensor(0.1).log()
    assert v.yes_share(logits).item() == pytest.approx(0.75)
    assert v.yes_share(torch.arange(3.0), yes=[2], no=[0]) == pytest.approx(0.8808, abs=1e-4)


def test_padding_changes_nothing(model, positions):
    together = v.verdicts(model, positions)
    for i in range(3):
        alone = positions.where(torch.arange(3) == i)
        assert torch.allclose(v.verdicts(model, alone), together[i], atol=1e-5)


def test_the_model_judges_these_rightly_and_hooks_go_away(model, positions):
    assert torch.equal(v.accepted(model, positions), positions.hit)
    everything = [(layer, head) for layer in range(6) for head in range(8)]
    with v.without_heads(model, everything):
        assert not torch.equal(v.accepted(model, positions), positions.hit)
    assert torch.equal(v.accepted(model, positions), positions.hit)


def test_writing_is_what_the_model_says_word_by_word(model):
    starts = [puzzle.header for puzzle in PUZZLES]
    written = v.write(model, starts, n_tokens=12)
    for start, words in zip(starts, written, strict=True):
        so_far = ["<bos>", *start]
        for word in words:
            ids = torch.tensor([[countdown.VOCABULARY.index(each) for each in so_far]])
            assert countdown.VOCABULARY[int(model(ids)[0, -1].argmax())] == word
            so_far.append(word)
    assert v.write(model, starts[::-1], n_tokens=12) == written[::-1]


def test_starts_of_each_length_draw_from_a_copy_of_the_generator(model):
    generator, how = torch.Generator().manual_seed(4), {"n_tokens": 12, "temperature": 1.0}
    starts = [puzzle.header for puzzle in PUZZLES]  # of two lengths
    together = v.write(model, starts, generator=generator, **how)
    assert together == [v.write(model, [s], generator=generator, **how)[0] for s in starts]
    assert together != v.write(model, starts, **how)


def test_writing_stops_at_the_end_and_honours_ablations(model):
    starts = [puzzle.header for puzzle in PUZZLES]
    plain = v.write(model, starts)
    assert all("<eos>" not in words and words[-1] == ")" for words in plain)
    with v.without_heads(model, [(layer, head) for layer in (0, 1) for head in range(8)]):
        assert v.write(model, starts) != plain


def test_states_and_attention_are_those_of_the_cache(model, positions):
    with torch.no_grad():
        _, cache = model.run_with_cache(positions.tokens)
    for back in (0, 1):
        found = v.resid_at(model, positions, back=back)
        assert torch.allclose(found[1], positions.of(cache["resid_pre", 1], back=back), atol=1e-5)
        assert torch.allclose(found[6], positions.of(cache["resid_post", 5], back=back), atol=1e-5)
        seen = v.attention(model, positions, positions.target, back=back)
        one = cache["pattern", 2][0, 5, positions.pos[1] - back, positions.target[1]]
        assert torch.allclose(seen[2, 5, 1], one, atol=1e-6) and seen.shape == (6, 8, 3)


def test_parts_without_which_the_model_runs_write_zeros(model, positions):
    neurons = {1: torch.tensor([3, 40]), 2: torch.tensor([7])}
    heads = v.without_heads(model, [(1, 2), (1, 5), (0, 0)])
    with torch.no_grad(), heads, v.without_neurons(model, neurons):
        _, cache = model.run_with_cache(positions.tokens)
    gone = {layer: cache["z", layer].abs().sum((0, 1, 3)) == 0 for layer in range(6)}
    assert [gone[layer].nonzero()[:, 0].tolist() for layer in range(3)] == [[0], [2, 5], []]
    assert (cache["post", 1][..., neurons[1]] == 0).all()
    assert (cache["post", 2] == 0).all((0, 1)).nonzero()[:, 0].tolist() == [7]


def test_both_holds_each_neuron_once():
    found = v.both({1: torch.tensor([4, 2])}, {1: torch.tensor([2, 9])})
    assert found[1].tolist() == [2, 4, 9]


def test_both_keeps_the_layers_that_one_alone_has():
    found = v.both({2: torch.tensor([4])}, {1: torch.tensor([9])})
    assert {layer: chosen.tolist() for layer, chosen in found.items()} == {1: [9], 2: [4]}


def test_every_bracket_behind_a_number_is_a_place():
    text = "<bos> so make 15 from 12 7 : check ( 12 - 7 = 5 ( no 5 ) , 12 + 7 = 15 ("
    assert v.bracket_places(text.split()) == [(15, False), (25, True)]


def test_the_auc_of_a_verdict_is_not_moved_by_a_bias(model, positions):
    hits, misses = positions.where(positions.hit), positions.where(~positions.hit)
    bias = torch.zeros(len(countdown.VOCABULARY))
    bias[list(v.YES_TOKENS)] = -15.0
    name = "unembed.hook_out"
    shift = [(name, lambda logits, hook: logits + bias[: logits.shape[-1]])]
    for hooks in ([], shift):
        with model.hooks(fwd_hooks=hooks):
            assert v.accepted(model, hits).any() != bool(hooks)
            assert v.verdict_auc(*(v.verdicts(model, each) for each in (hits, misses))) == 1
    assert v.verdict_auc(torch.tensor([0.2, 0.9]), torch.tensor([0.5])) == 0.5


def test_a_position_that_is_its_own_donor_changes_nothing_and_another_does(model, positions):
    rows, names = torch.arange(len(positions.pos)), ["blocks.1.hook_mlp_out"]
    parts = {"heads": [(1, 2), (2, 0), (2, 2)], "whole": names}
    before = v.verdicts(model, positions)
    with v.put_in(model, positions, positions.take(rows), **parts):
        torch.testing.assert_close(v.verdicts(model, positions), before, atol=1e-4, rtol=0)
    with v.put_in(model, positions, positions.take(rows.flip(0)), **parts):
        assert not torch.allclose(v.verdicts(model, positions), before, atol=1e-2)
    assert torch.equal(v.verdicts(model, positions), before)


def test_zeros_at_places_leave_what_was_written_before(model, positions):
    def seen(within):
        found = []
        keep = ("blocks.1.attn.hook_z", lambda z, hook: found.append(z.detach().clone()))
        with torch.no_grad(), within, model.hooks(fwd_hooks=[keep]):
            model(positions.tokens)
        return found[0]

    zeros = v.without_heads(model, [(1, 4)], at=positions.at(0, 1))
    changed = (seen(contextlib.nullcontext()) != seen(zeros)).any(-1)
    for back in (0, 1):
        assert changed[positions.text, positions.pos - back, 4].all()
    assert int(changed.sum()) == 2 * len(positions.pos)


def test_neurons_out_at_places_are_on_elsewhere(model, positions):
    neurons = {2: torch.tensor([3, 40])}
    pairs = [(2, 3), (2, 40), (2, 41)]
    with v.without_neurons(model, neurons, at=positions.at(0)):
        here, before = (
            v.neuron_activity(model, positions._replace(pos=positions.pos - back), pairs)
            for back in (0, 1)
        )
    assert (here[:, :2] == 0).all() and (here[:, 2] != 0).all() and (before != 0).all()


def test_a_neuron_lies_along_its_own_layers_direction(model):
    directions = torch.stack([model.W_out[layer, 17].detach() for layer in range(6)])
    assert {at: some.tolist() for at, some in v.neurons_along(model, directions, 1).items()} == {
        3: [17],
        4: [17],
        5: [17],
    }
    assert v.most_aligned(model, directions, 1, each=2)[0][1] == 17
    against = v.neurons_along(model, -directions, 1, sign=-1)
    assert all(some.tolist() == [17] for some in against.values())


def test_the_signed_drive_of_one_head_by_hand(model):
    scores = v.signed_drive(model, [(3, 5), (4, 9)])
    assert scores.shape == (6, 8)
    copied = (model.W_V[2, 1] @ model.W_O[2, 6]).diagonal()  # heads 4 to 7 share the second
    by_hand = [
        torch.nn.functional.silu(copied @ model.W_gate[layer, :, i])
        * (copied @ model.W_in[layer, :, i])
        for layer, i in ((3, 5), (4, 9))
    ]
    assert scores[2, 6] == pytest.approx(sum(by_hand).item() / 2, rel=1e-4)


def test_writing_on_is_writing_where_nothing_changes(model, positions):
    written = v.write_on(model, positions, lambda at: contextlib.nullcontext(), n_tokens=12)
    words = [[countdown.VOCABULARY[t] for t in row] for row in positions.tokens.tolist()]
    starts = [words[i][1 : p + 1] for i, p in zip(*positions[1:3], strict=True)]
    plain = v.write(model, starts, n_tokens=12)
    assert [[word for word in each if word != "<eos>"] for each in written] == plain


def test_writing_on_changes_only_what_follows_a_bracket(model, positions):
    seen = []

    def no_heads(at):
        seen.append(at)
        return v.without_heads(model, [(1, head) for head in range(8)])

    hits = positions.where(positions.hit)
    changed = v.write_on(model, hits, no_heads, n_tokens=30)
    assert all(words[0] == "not" for words in changed)
    opened = sum(words[:-1].count("(") for words in changed)
    assert sum(len(text) for text, _ in seen) == len(hits.pos) + opened


def test_outcomes_are_read_from_the_words():
    found = v.outcomes([["this", "works"], ["not", "5", "<eos>"], ["not", "5"], ["this", "5"]])
    assert found == {"accepted": 0.25, "disabled": 0.5, "mixed": 0.25}


def test_a_model_without_its_heads_of_layer_1_is_measured(model):
    _, hits, misses, _ = v.judged_positions(model, 16)
    whole = v.measured(model, hits, misses, lambda at: contextlib.nullcontext())
    assert (whole["disabled"], whole["auc"], whole["false"], whole["sums"]) == (0, 1, 0, 1)
    heads = [(1, head) for head in range(8)]
    out = v.measured(model, hits, misses, lambda at: v.without_heads(model, heads, at=at))
    assert out["disabled"] > 0.9 and abs(out["gap"]) < 0.2 * whole["gap"] and out["sums"] == 1


def test_donors_that_are_matched_give_the_targets_value(model):
    chosen, _, misses, _ = v.judged_positions(model, 60)
    heads = {"heads": [(1, head) for head in range(8)], "backs": (0,)}
    cells = v.donor_cells(model, chosen, misses, **heads)
    assert list(cells) == list(v.KINDS)
    assert min(cells["matched hit"], cells["matched miss"]) > 0.7
    assert max(cells["other hit"], cells["other miss"]) < 0.2


def test_a_swapped_donor_is_matched_by_its_result(model, positions):
    asked = []

    def allowed(target, result, wanted, *, hit, matched):
        asked.append((target.tolist(), result.tolist(), wanted.tolist()))
        return torch.ones(len(wanted), len(target), dtype=torch.bool)

    for swap in (False, True):
        how = {"allowed": allowed, "swap": swap, "heads": [(0, 0)]}
        v.donor_cells(model, positions, positions, **how)
    numbers = [[int(countdown.VOCABULARY[i]) for i in each] for each in asked[0]]
    assert numbers == [[15, 15, 17], [9, 15, 17], [9, 15, 17]]
    assert asked[4] == (asked[0][1], asked[0][0], asked[0][0])


def test_a_lab_counts_its_ablations(model):
    lab = v.Lab(model, ablations=1)
    with pytest.raises(ValueError, match="no L9H0"):
        lab.without([(9, 0)])
    whole = lab.without([])
    assert whole == {"gap left": 1.0, "sums right": 1.0, "ablations left": 0}
    with pytest.raises(ValueError, match="hand_in"):
        lab.without([])
    assert lab.hand_in([(1, 0)])["heads"] == [(1, 0)]
    with pytest.raises(ValueError, match="no L9H0"):
        lab.hand_in([(9, 0)])
    lab.answers_left -= 2
    with pytest.raises(ValueError, match="Three answers"):
        lab.hand_in([(1, 0)])
