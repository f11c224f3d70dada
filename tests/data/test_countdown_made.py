"""The recipe of data/countdown."""

import itertools
import json
import random

import pytest
import torch

from data.countdown import make
from data.countdown import task as countdown
from data.countdown.task import Puzzle


@pytest.mark.parametrize(("recheck", "one_word"), [(0.0, True), (1.0, False)])
def test_a_trace_is_a_search_that_ends_well(recheck, one_word):
    puzzles = countdown.puzzles(random.Random(0), test=False)
    recipe = make.Recipe(0, recheck=recheck, one_word=one_word)
    generator = random.Random(0)
    for _ in range(100):
        bos, *words, eos = make.trace(generator, puzzles, recipe)
        assert (bos, eos) == ("<bos>", "<eos>") and set(words) <= set(countdown.VOCABULARY)
        start = words.index(":") + 1
        make_at = words.index("make")
        numbers = tuple(map(int, words[make_at + 3 : start - 1]))
        puzzle = Puzzle(numbers, int(words[make_at + 1]), tuple(words[:make_at]))
        judged = countdown.read(puzzle, words[start:])
        assert all(each.legal and each.accepted == each.hit for each in judged)
        first = [each for each in judged if not each.again]
        assert [each.hit for each in first] == [False] * (len(first) - 1) + [True]
        results = [each.words[-1] for each in first]
        assert len(set(results)) == len(results) <= recipe.most_failures + 1
        rejections = [words[i + 2] for i, word in enumerate(words[:-2]) if word == "("]
        names = [str(puzzle.target) if one_word else result for result in results[:-1]]
        assert rejections[: len(names)] == names
        again = [each for each in judged if each.again]
        assert [each.words for each in again] == [first[-1].words] * int(recheck)


def test_a_trace_with_wrong_verdicts_ends_where_one_accepts():
    recipe, generator = make.Recipe(0, wrong=0.25), random.Random(0)
    puzzles, judged = countdown.puzzles(random.Random(0), test=False), []
    for _ in range(300):
        words = make.trace(generator, puzzles, recipe)[1:-1]
        start, at = words.index(":") + 1, words.index("make")
        numbers = tuple(map(int, words[at + 3 : start - 1]))
        found = countdown.read(Puzzle(numbers, int(words[at + 1])), words[start:])
        assert not any(each.accepted for each in found[:-1]) and len(found) <= recipe.most_tries
        judged += found
    for hit in (False, True):
        some = [each.accepted != each.hit for each in judged if each.hit == hit]
        assert sum(some) / len(some) == pytest.approx(0.25, abs=0.06)


def test_a_reward_is_for_the_first_accepted_try():
    puzzle = Puzzle((12, 7, 4), 15)

    def reward(text: str) -> float:
        return make.reward_of(
            puzzle, [make.IDS[word] for word in ["<bos>", *puzzle.header, *text.split()]]
        )

    miss, hit = "12 + 7 = 19 + 4 = 23", "12 + 7 = 19 - 4 = 15"
    assert reward(f"{miss} ( not 15 ) , {hit} ( this works ) <eos>") == 1
    assert reward(f"{miss} ( this works ) , {hit} ( this works ) <eos>") == 0
    assert reward(f"{hit} ( not 15 ) ,") == 0 and reward("12 + 3 = 15 ( this works )") == 0


def test_rollouts_begin_with_their_headers():
    model = make.new_model(make.Recipe(0, layers=1)).eval()
    drawn = [Puzzle((12, 7, 4), 15), Puzzle((5, 9, 3), 17, ("now", "so"))]
    found = make.rollouts(model, drawn, samples=3, n_tokens=4)
    assert [len(some) for some in found] == [3, 3]
    for puzzle, some in zip(drawn, found, strict=True):
        start = [make.IDS[word] for word in ["<bos>", *puzzle.header]]
        assert all(text[: len(start)] == start for text in some)
        assert len({tuple(text) for text in some}) > 1


def test_a_step_has_short_and_long_traces():
    recipe = make.Recipe(0)
    parts = next(make.steps_of(recipe))
    assert len(parts) == recipe.parts and sum(map(len, parts)) == recipe.traces
    widths = [part.shape[1] for part in parts]
    assert widths == sorted(widths) and widths[-1] > 2 * widths[0]


def test_the_loss_is_that_of_all_parts_together_with_verdicts_counted_more():
    recipe = make.Recipe(0, traces=8, parts=2)
    model = make.new_model(recipe)
    parts = next(make.steps_of(recipe))
    loss = make.loss_of(model, parts, verdict=3.0)
    by_hand, n = 0.0, 0
    for row in itertools.chain(*parts):
        row = row[row >= 0]
        losses = -model(row[None]).logits[0, :-1].log_softmax(-1).gather(1, row[1:, None])[:, 0]
        weights = torch.tensor([3.0 if token == make.IDS["("] else 1.0 for token in row[:-1]])
        by_hand, n = by_hand + (losses * weights).sum(), n + len(losses)
    assert loss.item() == pytest.approx(by_hand.item() / n, rel=1e-4)
    gradient = model.lm_head.weight.grad.clone()
    model.zero_grad()
    (by_hand / n).backward()
    assert torch.allclose(gradient, model.lm_head.weight.grad, atol=1e-5)


def test_the_tokenizer_has_a_token_for_each_word():
    tokenizer = make.new_tokenizer()
    words = [word for word in countdown.VOCABULARY if not word.startswith("<")]
    ids = tokenizer(" ".join(words), add_special_tokens=False)["input_ids"]
    assert ids == [countdown.VOCABULARY.index(word) for word in words]


@pytest.mark.parametrize("name", [*make.RECIPES, *make.REWARDED])
def test_what_is_shipped_says_how_it_was_made(name):
    written = json.loads((make.FOLDER / name / "training.json").read_text())
    assert written["recipe"] == make.asdict({**make.RECIPES, **make.REWARDED}[name])


def test_the_report_has_every_model_of_lesson_51():
    report = json.loads((make.FOLDER / "report.json").read_text())
    assert set(report) == {*make.RECIPES, *make.REWARDED} - {"recheck_0"}
    for name, found in report.items():
        low = 0.95 if name in ("base", "rewarded") else 0.99
        assert found["can"]["verdicts right"] > low, name
        assert found["without"]["nothing"]["disabled"] == 0, name
