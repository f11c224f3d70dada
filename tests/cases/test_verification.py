"""How a model judges its own tries, on the shipped model and by hand."""

import contextlib
import io
import random

import pytest
import torch

from data.countdown import task as countdown
from data.countdown.task import Puzzle
from utils.cases import verification as v
from utils.models import load


@pytest.fixture(scope="module")
def model():
    with contextlib.redirect_stdout(io.StringIO()):
        return load("countdown/variable_0", device="cpu")


PUZZLES = [Puzzle((12, 7, 4), 15, ("now", "so")), Puzzle((5, 9, 3), 17)]
WRITTEN = [
    "12 - 7 = 5 + 4 = 9 ( not 9 ) , 12 + 7 = 19 - 4 = 15 ( this works )",
    "5 + 9 = 14 + 3 = 17 ( yes works )",
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
    everything = [(layer, head) for layer in range(3) for head in range(8)]
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
        assert torch.allclose(found[3], positions.of(cache["resid_post", 2], back=back), atol=1e-5)
        seen = v.attention(model, positions, positions.target, back=back)
        one = cache["pattern", 2][0, 5, positions.pos[1] - back, positions.target[1]]
        assert torch.allclose(seen[2, 5, 1], one, atol=1e-6) and seen.shape == (3, 8, 3)


def test_parts_without_which_the_model_runs_write_zeros(model, positions):
    neurons = {1: torch.tensor([3, 40]), 2: torch.tensor([7])}
    heads = v.without_heads(model, [(1, 2), (1, 5), (0, 0)])
    with torch.no_grad(), heads, v.without_neurons(model, neurons):
        _, cache = model.run_with_cache(positions.tokens)
    gone = {layer: cache["z", layer].abs().sum((0, 1, 3)) == 0 for layer in range(3)}
    assert [gone[layer].nonzero()[:, 0].tolist() for layer in range(3)] == [[0], [2, 5], []]
    assert (cache["post", 1][..., neurons[1]] == 0).all()
    assert (cache["post", 2] == 0).all((0, 1)).nonzero()[:, 0].tolist() == [7]


def test_alignment_is_a_cosine_of_what_a_neuron_writes(model):
    value = model.W_out[2, 17].detach()
    cosines = v.alignment(model, 3 * value)
    assert cosines[2, 17] == pytest.approx(1, abs=1e-5) and cosines.abs().max() < 1 + 1e-5
    assert v.aligned_neurons(cosines, 1, layers=[2])[2].tolist() == [17]
    assert v.aligned_neurons(v.alignment(model, -value), 1, layers=[2], sign=-1)[2].tolist() == [17]


def test_both_holds_each_neuron_once():
    found = v.both({1: torch.tensor([4, 2])}, {1: torch.tensor([2, 9])})
    assert found[1].tolist() == [2, 4, 9]


def test_both_keeps_the_layers_that_one_alone_has():
    found = v.both({2: torch.tensor([4])}, {1: torch.tensor([9])})
    assert {layer: chosen.tolist() for layer, chosen in found.items()} == {1: [9], 2: [4]}


def test_drive_is_1_for_a_circuit_that_writes_along_one_field():
    fields = torch.eye(6)[:, :1]
    ov = torch.outer(torch.randn(6, generator=torch.Generator().manual_seed(0)), fields[:, 0])
    assert v.drive(ov, fields) == pytest.approx(1)
    assert v.drive(ov, torch.eye(6)[:, 1:2]) == 0


def test_diagonal_drive_reads_the_field_itself():
    fields = torch.eye(4)[:, :2]
    reads_another = torch.zeros(4, 4)
    reads_another[3, 0] = 1
    assert v.drive(reads_another, fields) > 0 and v.diagonal_drive(reads_another, fields) == 0
    assert v.diagonal_drive(torch.eye(4), fields) == pytest.approx(0.5)  # |eye| is 2


def test_drive_of_a_random_circuit_is_what_its_width_says():
    generator = torch.Generator().manual_seed(0)
    ov = torch.randn(96, 96, generator=generator)
    fields = torch.nn.functional.normalize(torch.randn(96, 40, generator=generator), dim=0)
    assert v.drive(ov, fields) == pytest.approx(96**-0.5, rel=0.05)


def test_a_head_is_ranked_by_neurons_behind_it(model):
    scores = v.rank_heads(model, {1: torch.tensor([3, 8])})
    assert (scores[2] == 0).all() and (scores[:2] > 0).all()
    by_hand = v.drive(v.ov_circuit(model, 1, 4), v.receptive_fields(model, 1, torch.tensor([3, 8])))
    assert scores[1, 4] == pytest.approx(by_hand.item())


def test_a_receptive_field_opens_its_gate(model):
    (field,) = v.receptive_fields(model, 1, torch.tensor([9])).T
    block = model.blocks[1]
    with torch.no_grad():
        gates = block.mlp.gate(block.ln2(field[None, None]))[0, 0]
        other = block.mlp.gate(block.ln2(field.roll(1)[None, None]))[0, 0]
    assert gates[9] > 0 and gates[9] > other[9]


def test_find_parts_follows_its_rules(model):
    puzzles = v.some_puzzles(40, generator=random.Random(3))
    positions = v.brackets(model, puzzles, v.write(model, [p.header for p in puzzles]))
    parts = v.find_parts(model, positions, n_neurons=5, n_top=2)
    assert set(parts.valid) == set(parts.invalid) == {1, 2} and len(parts.top) == 2
    to_target = [v.attention(model, positions, positions.target, back=b).mean(-1) for b in (0, 1)]
    strongest = torch.stack(to_target).amax(0)
    assert {(int(a), int(b)) for a, b in (strongest > 0.1).nonzero()} == set(parts.attending)


def test_every_bracket_behind_a_number_is_a_place():
    text = "<bos> so make 15 from 12 7 : check ( 12 - 7 = 5 ( no 5 ) , 12 + 7 = 15 ("
    assert v.bracket_places(text.split()) == [(15, False), (25, True)]


def test_gaps_of_the_parts_sum_to_that_of_the_stream(model, positions):
    direction = torch.randn(96, generator=torch.Generator().manual_seed(0))
    for back in (0, 1):
        streams = v.resid_at(model, positions, back=back)
        written = (streams[-1] - streams[0]) @ direction / direction.norm()
        gap = written[positions.hit].mean() - written[~positions.hit].mean()
        heads, mlps = v.gap_by_part(model, positions, direction, back=back)
        assert heads.shape == (3, 8) and mlps.shape == (3,)
        assert heads.sum() + mlps.sum() == pytest.approx(gap.item(), abs=1e-3)


def test_writing_in_touches_the_positions_alone():
    text, pos = torch.tensor([0, 2]), torch.tensor([1, 3])
    z = v.put_head(torch.zeros(3, 4, 5, 2), 4, text, pos, torch.ones(2, 2))
    assert z[text, pos, 4].tolist() == [[1, 1], [1, 1]] and z.sum() == 4


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


def test_zeros_at_positions_leave_what_was_written_before(model, positions):
    def seen(within):
        found = []
        keep = ("blocks.1.attn.hook_z", lambda z, hook: found.append(z.detach().clone()))
        with torch.no_grad(), within, model.hooks(fwd_hooks=[keep]):
            model(positions.tokens)
        return found[0]

    zeros = v.without_heads(model, [(1, 4)], positions=positions)
    changed = (seen(contextlib.nullcontext()) != seen(zeros)).any(-1)
    for back in (0, 1):
        assert changed[positions.text, positions.pos - back, 4].all()
    assert int(changed.sum()) == 2 * len(positions.pos)


def test_a_position_that_is_its_own_donor_changes_nothing_and_another_does(model, positions):
    rows, names = torch.arange(len(positions.pos)), ["blocks.1.hook_mlp_out"]
    parts = {"heads": [(1, 2), (2, 0), (2, 2)], "whole": names}
    before = v.verdicts(model, positions)
    with v.put_in(model, positions, positions.take(rows), **parts):
        torch.testing.assert_close(v.verdicts(model, positions), before, atol=1e-4, rtol=0)
    with v.put_in(model, positions, positions.take(rows.flip(0)), **parts):
        assert not torch.allclose(v.verdicts(model, positions), before, atol=1e-2)
    assert torch.equal(v.verdicts(model, positions), before)


def test_a_push_is_the_mean_for_yes_less_that_for_no():
    W_U = torch.tensor([[1.0, 3, 4, 0], [9, 9, 9, 9]])
    push = v.verdict_push(torch.tensor([5.0, 0]), torch.tensor([2.0, 1]), W_U, yes=(0, 1), no=(2,))
    assert push == pytest.approx(2 * (2 - 4))


def test_steps_disable_and_sums_are_compared_with_what_was_written(model, positions):
    assert v.sums_right(model, positions).tolist() == [1, 1, 1]
    steps, parts = v.steps_to_disable(model, positions)
    assert len(steps) == 7 and len(parts.top) == 3
    before = v.verdicts(model, positions)
    for name, taken_out in steps.items():
        for _ in range(2):  # as often as one likes
            with taken_out():
                same = torch.equal(v.verdicts(model, positions), before)
        assert same == (name == "nothing" or name == "attending heads" and not parts.attending)
    assert torch.equal(v.verdicts(model, positions), before)


def test_disabling_measures_each_step(model, positions):
    hits, misses = positions.where(positions.hit), positions.where(~positions.hit)
    study = v.disabling(model, positions, hits, misses, draws=2)
    whole = study["steps"]["nothing"]
    assert whole["disabled"] == 0 and whole["interval"].low == 0
    assert whole["interval"].high > 0.5  # two hits tell little
    assert (whole["auc"], whole["sums"], whole["false"]) == (1, 1, 0)
    assert len(study["steps"]) == 8 and set(study["layer 2"]) == {"result", "bracket"}


def test_same_value_compares_a_donors_target_with_a_result(positions):
    assert v.same_value(positions, positions).tolist() == [[False] * 3, [True, True, False]] + [
        [False, False, True]
    ]
