"""data/emotions: the tables as they must be."""

from data.emotions import task as emotions_task


def test_the_tables_hold_enough_words_and_frames_and_the_frames_are_disjoint():
    words = emotions_task.read_words()
    fit, score = emotions_task.read_frames("fit"), emotions_task.read_frames("score")
    assert len(words.words) == len(set(words.words)) >= 24
    assert len(set(fit)) >= 60 and len(score) >= 6
    openings = {frame.rsplit(",", 1)[0] for frame in fit}
    clauses = {frame.rsplit(", ", 1)[1] for frame in fit}
    for frame in score:
        assert not any(frame.startswith(opening) for opening in openings)
        assert not any(frame.endswith(clause) for clause in clauses)
    texts = emotions_task.sentences(["sad", "calm"], ["I am", "He was"])
    assert texts == ["I am sad.", "He was sad.", "I am calm.", "He was calm."]
