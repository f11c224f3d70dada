"""The texts that steered models wrote, as they are shipped."""

from data.concepts import task as concepts
from data.feature_steering.task import written_texts


def test_the_shipped_texts_are_whole():
    written = written_texts()
    assert len(written) == 8 and {len(each.texts) for each in written.values()} == {120}
    assert {len(set(each.openings)) for each in written.values()} == {24}
    assert written["unsteered"].latent == -1 and written["sea, feature"].latent >= 0
    score = {run: concepts.score("sea", each.texts).mean() for run, each in written.items()}
    plain = score["unsteered"]
    assert score["sea, means"] - plain > 0.2 > score["sentiment, means"] - plain
