"""CountDown: puzzles, and reading what a model wrote."""

import random
from itertools import islice

import pytest

from data.countdown import task as countdown
from data.countdown.task import Puzzle, Try

PUZZLE = Puzzle((12, 7, 4), 15, ("now", "so"))
WRITTEN = (
    "12 - 7 = 5 + 4 = 9 ( not 9 ) , 12 + 7 = 18 - 4 = 14 ( wrong 14 ) , "
    "12 + 7 = 19 - 4 = 15 ( this works ) , check 12 + 7 = 19 - 4 = 15 ( yes works )"
)
WORDS = WRITTEN.split()


def test_a_header_is_words_of_the_vocabulary():
    assert " ".join(PUZZLE.header) == "now so make 15 from 12 7 4 :"
    assert set(PUZZLE.header) <= set(countdown.VOCABULARY)
    assert len(set(countdown.VOCABULARY)) == len(countdown.VOCABULARY)


def test_tries_are_all_there_are():
    found = countdown.tries((5, 9))
    assert found == {
        14: [Try((5, 9), ("+",), (14,)), Try((9, 5), ("+",), (14,))],
        4: [Try((9, 5), ("-",), (4,))],  # 5 - 9 is below 0
    }
    three = countdown.tries((30, 20, 40))
    assert 90 not in three and 10 in three  # 64 and more have no token
    assert all(0 <= value < 64 for some in three.values() for one in some for value in one.results)


def test_a_try_is_written_as_running_sums():
    assert " ".join(Try((12, 7, 4), ("+", "-"), (19, 15)).words) == "12 + 7 = 19 - 4 = 15"


def test_puzzles_for_testing_have_numbers_that_training_never_has():
    drawn = {
        test: {
            tuple(sorted(puzzle.numbers))
            for puzzle, _ in islice(countdown.puzzles(random.Random(0), test=test), 400)
        }
        for test in (False, True)
    }
    assert not drawn[False] & drawn[True]


@pytest.mark.parametrize("variable", [True, False])
def test_every_puzzle_can_be_solved_and_missed(variable):
    lengths = set()
    for puzzle, found in islice(
        countdown.puzzles(random.Random(1), test=True, variable=variable), 200
    ):
        assert puzzle.target in found and len(found) > 1
        lengths.add(len(puzzle.before))
    assert lengths == (set(range(8)) if variable else {0})


def test_reading_gives_each_try_with_what_is_true_of_it():
    miss, illegal, hit, again = countdown.read(PUZZLE, WORDS)
    assert (miss.legal, miss.hit, miss.accepted, miss.again) == (True, False, False, False)
    assert not illegal.legal and illegal.words[-1] == "14"
    assert (hit.legal, hit.hit, hit.accepted, hit.again) == (True, True, True, False)
    assert (again.legal, again.again) == (True, True)


@pytest.mark.parametrize("cut", range(len(WORDS)))
def test_a_text_that_was_cut_is_read_as_far_as_it_goes(cut):
    whole = countdown.read(PUZZLE, WORDS)
    found = countdown.read(PUZZLE, WORDS[:cut])
    assert found == whole[: len(found)]
    judged = [i for i in range(cut - 1) if WORDS[i] == "("]
    assert len(found) == len(judged)


@pytest.mark.parametrize(
    "written, legal",
    [
        ("12 + 7 = 19 - 7 = 12 ( not 12 )", False),  # 7 twice
        ("12 + 7 = 19 ( not 19 )", False),  # 4 is left over
        ("12 + 7 = 20 - 4 = 16 ( not 16 )", False),
        ("12 + 7 = 20 - 4 = 15 ( this works )", False),  # the last result alone is right
        ("4 + 12 = 16 + 7 = 23 ( this works )", True),  # legal, though the verdict is wrong
    ],
)
def test_a_legal_try_uses_each_number_once_and_sums_rightly(written, legal):
    (judged,) = countdown.read(PUZZLE, written.split())
    assert judged.legal == legal


def test_what_is_no_try_is_passed_over():
    after = "( not 15 ) 3 ) , ( 7 ) , 12 + 7 = 19 - 4 = 15 ( this works )"  # as when steered
    (judged,) = countdown.read(PUZZLE, after.split())
    assert judged.legal and judged.hit and judged.accepted
    assert countdown.read(PUZZLE, ["(", "(", ")", ",", "make"]) == []
    assert countdown.read(PUZZLE, []) == []


def test_solved_means_that_the_first_accepted_try_is_right():
    def judge(text):
        return countdown.solved(countdown.read(PUZZLE, text.split()))

    assert countdown.solved(countdown.read(PUZZLE, WORDS))
    assert not judge("12 + 7 = 19 - 4 = 15 ( not 15 )")
    assert not judge("12 + 7 = 20 - 4 = 15 ( this works )")
    first_wrong = "12 - 7 = 5 + 4 = 9 ( this works ) , 12 + 7 = 19 - 4 = 15 ( this works )"
    assert not judge(first_wrong)


def test_ability_counts_puzzles_tries_and_verdicts():
    wrong = "12 - 7 = 5 + 4 = 9 ( this works )"
    found = countdown.ability([PUZZLE, PUZZLE], [WORDS, wrong.split()])
    assert found == {
        "solved": 1 / 2,
        "legal": 4 / 5,
        "verdicts right": 4 / 5,
        "tries a puzzle": 5 / 2,
    }


def test_habits_count_hits_that_were_not_noticed():
    puzzle = countdown.Puzzle((12, 7, 4), 15)
    text = "12 + 7 = 19 - 4 = 15 ( no 15 ) , 12 + 7 = 19 - 4 = 15 ( no 15 ) , 12 - 7 = 6 ( no 6 )"
    found = countdown.habits([puzzle], [text.split()])
    assert found["solved"] == 0 and found["reached"] == 1 and found["hits accepted"] == 0
    assert found["tries"] == 3
    assert abs(found["legal, first three"] - 2 / 3) < 1e-9


def test_a_share_of_no_hits_is_not_0():
    found = countdown.habits(
        [PUZZLE], [["12", "-", "7", "=", "5", "+", "4", "=", "9", "(", "not", "9", ")"]]
    )
    assert found["hits accepted"] != found["hits accepted"] and found["legal, first three"] == 1
