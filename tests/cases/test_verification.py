"""`utils.verification`, on the shipped model and by hand."""

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
        return load("countdown/variable_0", device="cpu")


PUZZLES = [Puzzle((12, 7, 4), 15, ("now", "so")), Puzzle((5, 9, 3), 17)]
WRITTEN = [
    "12 - 7 = 5 + 4 = 9 ( not 9 ) , 12 + 7 = 19 - 4 = 15 ( this works )",
    "5 + 9 = 14 + 3 = 17 ( yes works )",
]


@pytest.fixture(scope="module")
def places(model):
    return v.brackets(model, PUZZLES, [text.split() for text in WRITTEN])


def test_brackets_stand_behind_results(model, places):
    words = [[countdown.VOCABULARY[t] for t in row] for row in places.tokens.tolist()]
    at = list(zip(places.text.tolist(), places.pos.tolist(), places.target.tolist(), strict=True))
    assert [words[i][pos] for i, pos, _ in at] == ["(", "(", "("]
    assert [words[i][pos - 1] for i, pos, _ in at] == ["9", "15", "17"]
    assert [words[i][target] for i, _, target in at] == ["15", "15", "17"]
    assert places.hit.tolist() == [False, True, True]


def test_of_takes_each_place_and_where_leaves_the_rest_out(places):
    numbers = torch.arange(places.tokens.numel()).view(places.tokens.shape)
    assert places.of(numbers).tolist() == [numbers[i, p] for i, p in zip(*places[1:3], strict=True)]
    assert torch.equal(places.of(numbers, back=1), places.of(numbers) - 1)
    last = places.where(torch.tensor([False, False, True]))
    assert last.tokens.shape == (1, int(places.pos[2]) + 1) and last.text.tolist() == [0]
    assert torch.equal(last.of(last.tokens, back=1), places.of(places.tokens, back=1)[2:])


def test_texts_without_a_bracket_are_refused(model):
    with pytest.raises(ValueError, match="more tokens"):
        v.brackets(model, PUZZLES[:1], [["12", "+", "7"]])


def test_yes_share_is_of_the_verdicts_alone():
    logits = torch.full((92,), -3.0)
    logits[list(v.YES_TOKENS)] = torch.tensor(0.3).log()
    logits[list(v.NO_TOKENS)] = torch.tensor(0.1).log()
    assert v.yes_share(logits).item() == pytest.approx(0.75)
    assert v.yes_share(torch.arange(3.0), yes=[2], no=[0]) == pytest.approx(0.8808, abs=1e-4)


def test_padding_changes_nothing(model, places):
    together = v.verdicts(model, places)
    for i in range(3):
        alone = places.where(torch.arange(3) == i)
        assert torch.allclose(v.verdicts(model, alone), together[i], atol=1e-5)


def test_the_model_judges_these_rightly_and_hooks_go_away(model, places):
    assert torch.equal(v.accepted(model, places), places.hit)
    everything = [(layer, head) for layer in range(3) for head in range(8)]
    assert not torch.equal(v.accepted(model, places, v.without_heads(everything)), places.hit)
    assert torch.equal(v.accepted(model, places), places.hit)


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


def test_writing_stops_at_the_end_and_honours_hooks(model):
    starts = [puzzle.header for puzzle in PUZZLES]
    plain = v.write(model, starts)
    assert all("<eos>" not in words and words[-1] == ")" for words in plain)
    with model.hooks(fwd_hooks=v.without_heads([(layer, h) for layer in (0, 1) for h in range(8)])):
        assert v.write(model, starts) != plain


def test_states_and_attention_are_those_of_the_cache(model, places):
    with torch.no_grad():
        _, cache = model.run_with_cache(places.tokens)
    for back in (0, 1):
        found = v.states(model, places, back=back)
        assert torch.allclose(found[1], places.of(cache["resid_pre", 1], back=back), atol=1e-5)
        assert torch.allclose(found[3], places.of(cache["resid_post", 2], back=back), atol=1e-5)
        seen = v.attention(model, places, places.target, back=back)
        one = cache["pattern", 2][0, 5, places.pos[1] - back, places.target[1]]
        assert torch.allclose(seen[2, 5, 1], one, atol=1e-6) and seen.shape == (3, 8, 3)


def test_parts_without_which_the_model_runs_write_zeros(model, places):
    neurons = {1: torch.tensor([3, 40]), 2: torch.tensor([7])}
    hooks = v.without_heads([(1, 2), (1, 5), (0, 0)]) + v.without_neurons(neurons)
    with torch.no_grad(), model.hooks(fwd_hooks=hooks):
        _, cache = model.run_with_cache(places.tokens)
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


def test_plain_text_ends_at_the_bracket_behind_a_result(model):
    puzzles = v.some_puzzles(4, seed=0)
    places = v.text_brackets(_CharacterModel(), puzzles)
    assert places.hit.tolist() == [True, False, True, False]
    for i, puzzle in enumerate(puzzles):
        text = "".join(map(chr, places.tokens[i, 1 : int(places.pos[i]) + 1].tolist()))
        line = text.splitlines()[-1]
        shown, result = line.removesuffix(" (").split(" = ")
        assert eval(shown) == int(result) and (int(result) == puzzle.target) == places.hit[i]
        assert text[: int(places.target[i])].endswith(f"Target: {puzzle.target}")
        assert sorted(map(int, shown.replace("-", "+").split("+"))) == sorted(puzzle.numbers)


class _CharacterModel:
    """A tokenizer of characters, with BOS."""

    class cfg:
        device = "cpu"

    def to_tokens(self, text):
        return torch.tensor([[1, *map(ord, text)]])


def test_find_parts_follows_its_rules(model):
    puzzles = v.some_puzzles(40, seed=3)
    places = v.brackets(model, puzzles, v.write(model, [p.header for p in puzzles]))
    parts = v.find_parts(model, places, n_neurons=5, n_top=2)
    assert set(parts.valid) == set(parts.invalid) == {1, 2} and len(parts.top) == 2
    to_target = [v.attention(model, places, places.target, back=b).mean(-1) for b in (0, 1)]
    strongest = torch.stack(to_target).amax(0)
    assert {(int(a), int(b)) for a, b in (strongest > 0.1).nonzero()} == set(parts.attending)


def test_every_bracket_behind_a_number_is_a_place():
    text = "<bos> so make 15 from 12 7 : check ( 12 - 7 = 5 ( no 5 ) , 12 + 7 = 15 ("
    assert v.bracket_places(text.split()) == [(15, False), (25, True)]


def test_gaps_of_the_parts_sum_to_that_of_the_stream(model, places):
    direction = torch.randn(96, generator=torch.Generator().manual_seed(0))
    for back in (0, 1):
        streams = v.states(model, places, back=back)
        written = (streams[-1] - streams[0]) @ direction / direction.norm()
        gap = written[places.hit].mean() - written[~places.hit].mean()
        heads, mlps = v.gap_by_part(model, places, direction, back=back)
        assert heads.shape == (3, 8) and mlps.shape == (3,)
        assert heads.sum() + mlps.sum() == pytest.approx(gap.item(), abs=1e-3)


def test_writing_in_touches_the_places_alone():
    text, pos = torch.tensor([0, 2]), torch.tensor([1, 3])
    z = v.put_head(torch.zeros(3, 4, 5, 2), 4, text, pos, torch.ones(2, 2))
    assert z[text, pos, 4].tolist() == [[1, 1], [1, 1]] and z.sum() == 4


def test_the_auc_of_a_verdict_is_not_moved_by_a_bias(model, places):
    hits, misses = places.where(places.hit), places.where(~places.hit)
    bias = torch.zeros(len(countdown.VOCABULARY))
    bias[list(v.YES_TOKENS)] = -15.0
    name = "unembed.hook_out"
    shift = [(name, lambda logits, hook: logits + bias[: logits.shape[-1]])]
    assert not v.accepted(model, hits, shift).any()
    for hooks in ([], shift):
        said = (v.verdicts(model, each, hooks=hooks) for each in (hits, misses))
        assert v.verdict_auc(*said) == 1
    assert v.verdict_auc(torch.tensor([0.2, 0.9]), torch.tensor([0.5])) == 0.5


def test_zeros_at_places_leave_what_was_written_before(model, places):
    def seen(hooks):
        found = []
        name = "blocks.1.attn.hook_z"
        keep = [*hooks, (name, lambda z, hook: found.append(z.detach().clone()))]
        with torch.no_grad(), model.hooks(fwd_hooks=keep):
            model(places.tokens)
        return found[0]

    changed = (seen([]) != seen(v.without_heads([(1, 4)], at=places))).any(-1)
    for back in (0, 1):
        assert changed[places.text, places.pos - back, 4].all()
    assert int(changed.sum()) == 2 * len(places.pos)


def test_a_place_that_is_its_own_donor_changes_nothing_and_another_does(model, places):
    rows, names = torch.arange(len(places.pos)), ["blocks.1.hook_mlp_out"]
    parts = {"heads": [(1, 2), (2, 0), (2, 2)], "whole": names}
    same = v.put_in(model, places, places.take(rows), **parts)
    before = v.verdicts(model, places)
    torch.testing.assert_close(v.verdicts(model, places, hooks=same), before, atol=1e-4, rtol=0)
    other = v.put_in(model, places, places.take(rows.flip(0)), **parts)
    assert not torch.allclose(v.verdicts(model, places, hooks=other), before, atol=1e-2)


def test_a_push_is_the_mean_for_yes_less_that_for_no():
    W_U = torch.tensor([[1.0, 3, 4, 0], [9, 9, 9, 9]])
    push = v.verdict_push(torch.tensor([5.0, 0]), torch.tensor([2.0, 1]), W_U, yes=(0, 1), no=(2,))
    assert push == pytest.approx(2 * (2 - 4))


def test_steps_disable_and_sums_are_held_against_what_was_written(model, places):
    assert v.sums_right(model, places).tolist() == [1, 1, 1]
    hooks, parts = v.steps_to_disable(model, places)
    assert list(hooks)[0] == "nothing" and not hooks["nothing"]
    assert len(hooks) == 7 and len(parts.top) == 3


def test_disabling_measures_each_step(model, places):
    hits, misses = places.where(places.hit), places.where(~places.hit)
    study = v.disabling(model, places, hits, misses, draws=2)
    whole = study["steps"]["nothing"]
    assert whole["disabled"][0] == 0 and whole["disabled"][2] > 0.5  # two hits tell little
    assert (whole["auc"], whole["sums"], whole["false"]) == (1, 1, 0)
    assert len(study["steps"]) == 8 and set(study["layer 2"]) == {"result", "bracket"}


def test_same_value_compares_a_donors_target_with_a_result(places):
    assert v.same_value(places, places).tolist() == [[False] * 3, [True, True, False]] + [
        [False, False, True]
    ]


def test_neurons_are_set_at_the_places_alone(places):
    post = torch.zeros(*places.tokens.shape, 5)
    hooks = v.set_neurons({1: torch.tensor([4, 2])}, {1: torch.arange(5.0)}, at=places)
    (name, change), hook = hooks[0], type("Hook", (), {"layer": lambda self: 1})()
    assert name == "blocks.1.mlp.hook_post"
    out = change(post, hook)
    assert places.of(out).tolist() == [[0, 0, 2, 0, 4]] * 3 and out.sum() == 6 * 3
