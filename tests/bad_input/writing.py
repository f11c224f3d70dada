"""Bad input to part 3: `utils.writing`, and the data of concepts, emotions and chats."""

import functools
import tempfile
from pathlib import Path
from unittest import mock

import torch

from data.chat import task as chat
from data.concepts import task as concepts
from data.emotions import task as emotions
from tests.bad_input import RAW
from tests.small_models import random_model
from utils.writing import circle, contrast, figures, geometry

NAN = float("nan")
RESID, LENGTHS = torch.ones(2, 4, 3), torch.tensor([4, 2])
CLOUD = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
NEAR = CLOUD[2:8].view(2, 3, 3)
ANGLES = torch.tensor([0.0, 90, 180, 270])
WORDS = emotions.EmotionWords(["a", "b", "c", "d"], ANGLES, ["x", "x", "y", "z"], [1, 2, 3, 4])
ONE_GROUP = WORDS._replace(groups=["x"] * 4)
CHANGE = torch.eye(4)[None, :2]  # [split, angle, word]
WANTED = torch.tensor([0.0, 90.0])
AXES = torch.eye(2, 5)


@functools.cache
def model():
    with tempfile.TemporaryDirectory() as folder:
        return random_model("llama", folder)


def in_training(call):
    model().train()
    try:
        return call()
    finally:
        model().eval()


def too_long(call):
    """The call, where every text has 40 tokens, of which the small model reads 16."""
    with mock.patch.object(model(), "to_tokens", lambda *_, **__: torch.zeros(1, 40).long()):
        return call()


def with_nan(E):
    return E.clone().index_fill_(0, torch.tensor([1]), NAN)


def made(yes, no, **other):
    return contrast.contrast_vectors(model(), yes, no, **{"layers": [0, 1]} | other)


def sweep(**other):
    given = {"prompts": torch.ones(2, 3).long(), "direction": CLOUD[0], "doses": [0.1]} | other
    return contrast.dose_sweep(None, None, layer=1, norm=1.0, **given)


def steered_logits(texts=("w3",), columns=(4, 9), **other):
    columns = torch.tensor(columns)
    return circle.steered_logits(model(), list(texts), columns, **other)


def error_interval(change=CHANGE, words=WORDS, wanted=WANTED, **other):
    return circle.error_interval(change, words, wanted, **{"n": 5} | other)


def log_odds(first, second, texts=("w3",)):
    return geometry.log_odds(model(), list(texts), [(first, second)])


def effects(vectors=None, **other):
    vectors = torch.ones(1, 32) if vectors is None else vectors
    more = {"layer": 1, "norm": 2.0} | other
    return geometry.steering_effects(model(), vectors, lambda: torch.zeros(1), **more)


def read_both(A=CLOUD, B=CLOUD, **other):
    return geometry.read_both(A[0], B[0], A, B, **other)


def sealed():
    order = ("half", "frequency", "true")
    more = {"order": order, "ridge": 0.1, "budget": 2}
    return geometry.SealedMaps(CLOUD, CLOUD, torch.arange(12), **more)


def lle(x=CLOUD[:2], neighbours=NEAR, **other):
    return geometry.lle_weights(x, neighbours, **other)


def dimension(neighbours=((1, 2, 3),), **other):
    return geometry.intrinsic_dimension(CLOUD, torch.tensor(neighbours), **other)


def judge_map(T=None, A=CLOUD, B=CLOUD[:, :2]):
    T = torch.ones(3, 2) if T is None else T
    return geometry.judge_map(T, A, B, fit=torch.arange(6), test=torch.arange(6, 12))


def like_frequency(counts, **other):
    return geometry.like_frequency(counts, generator=torch.Generator(), **other)


def gaussian_like(E):
    return geometry.gaussian_like(E, generator=torch.Generator())


def damaged_table(text: str):
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(concepts, "_DATA", Path(folder)),
    ):
        (Path(folder) / "concepts").mkdir()
        (Path(folder) / "concepts" / "pairs.csv").write_text(text)
        return concepts.pairs("sea")


def damaged_texts(content: bytes | None, whole: dict | None = None):
    from safetensors.torch import save

    content = save(whole) if whole else content
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.safetensors"
        if content is not None:
            file.write_bytes(content)
        with mock.patch.object(chat, "TEXTS", file):
            return chat.texts("held_out")


ROWS = [
    # ---- contrast
    ("tokens of one string", lambda: contrast.padded(model(), "w3"), "give a list"),
    ("tokens of an empty text", lambda: contrast.padded(model(), ["w3", ""]), "besides BOS"),
    ("tokens of a long text", lambda: too_long(lambda: made(["w3"], ["w4"])), "reads 16"),
    ("a vector of no text", lambda: made([], ["w3"]), "is empty"),
    ("a vector at no layer", lambda: made(["w3"], ["w4"], layers=[]), "is empty"),
    ("a vector in training", lambda: in_training(lambda: made(["w3"], ["w4"])), ".eval()"),
    ("no word of a vector", lambda: contrast.read_vector(None, CLOUD[0], k=0), "from 1"),
    ("words of two vectors", lambda: contrast.read_vector(None, CLOUD, k=1), "give 1 axes"),
    ("a hook of one vector", lambda: contrast.steering_hook(CLOUD[0]), "give 2 axes"),
    ("a hook from -1", lambda: contrast.steering_hook(CLOUD, start=-1), "from 0"),
    ("no pair to turn", lambda: contrast.half_turned([], generator=None), "is empty"),
    ("a sweep of no dose", lambda: sweep(doses=[]), "is empty"),
    ("a sweep of one prompt", lambda: sweep(prompts=torch.ones(3).long()), "give 2 axes"),
    ("reading off at 0", lambda: contrast.read_off(CLOUD, CLOUD, 0.0), "above 0"),
    ("reading off others", lambda: contrast.read_off(CLOUD, CLOUD[:2], 1.0), "has shape"),
    ("reading off NaN", lambda: contrast.read_off(with_nan(CLOUD), CLOUD, 1.0), "NaN"),
    ("no such result", lambda: contrast.Sealed(None, None).run("D", CLOUD), "choose from A"),
    ("no run left", lambda: contrast.Sealed(None, None, runs=0).run("A", None), "No run is left"),
    # ---- circle
    ("vectors of no word", lambda: circle.emotion_vectors(CLOUD, 0), "whole number from 1"),
    ("vectors of 5 words in 12 rows", lambda: circle.emotion_vectors(CLOUD, 5), "does not divide"),
    (
        "vectors of all layers at once",
        lambda: circle.emotion_vectors(CLOUD[None], 3),
        "give 2 axes",
    ),
    ("vectors of NaN", lambda: circle.emotion_vectors(with_nan(CLOUD), 3), "NaN or infinity"),
    ("a place at NaN", lambda: circle.on_circle(ANGLES * NAN), "NaN or infinity"),
    ("axes of more angles than words", lambda: circle.circle_axes(CLOUD, ANGLES), "has 4 entries"),
    (
        "axes with a ridge below 0",
        lambda: circle.circle_axes(CLOUD[:4], ANGLES, ridge=-0.1),
        "at least 0",
    ),
    ("axes of NaN", lambda: circle.circle_axes(with_nan(CLOUD[:4]), ANGLES), "NaN or infinity"),
    ("axes of one angle", lambda: circle.circle_axes(CLOUD[:4], 0 * ANGLES), "parallel"),
    ("axes of two words", lambda: circle.circle_axes(CLOUD[:2], ANGLES[:2]), "parallel"),
    ("axes of words all alike", lambda: circle.circle_axes(torch.ones(4, 3), ANGLES), "parallel"),
    (
        "parallel directions",
        lambda: circle.orthonormal(torch.stack([CLOUD[0], -1.7 * CLOUD[0]])),
        "parallel",
    ),
    ("a first of length 0", lambda: circle.orthonormal(torch.eye(2) - torch.eye(2)), "length 0"),
    ("three axes", lambda: circle.orthonormal(torch.eye(3)), "give [2, d_model]"),
    ("towards by three axes", lambda: circle.towards(torch.eye(3), ANGLES), "give [2, d_model]"),
    ("towards NaN", lambda: circle.towards(AXES, ANGLES * NAN), "NaN or infinity"),
    ("towards one number", lambda: circle.towards(AXES, torch.tensor(30.0)), "give 1 axes"),
    ("one fold", lambda: circle.folds(WORDS, n=1, generator=torch.Generator()), "from 2"),
    ("no fold", lambda: circle.folds(WORDS, n=0, generator=torch.Generator()), "from 2"),
    (
        "more folds than groups",
        lambda: circle.folds(WORDS, n=4, generator=torch.Generator()),
        "3 groups cannot",
    ),
    ("logits of no text", lambda: steered_logits([]), "is empty"),
    ("logits after an empty text", lambda: steered_logits(["w3", ""]), "give it a word"),
    ("logits of column -1", lambda: steered_logits(columns=[-1]), "from 0 to 39"),
    ("logits of column 40 of 40", lambda: steered_logits(columns=[40]), "from 0 to 39"),
    ("logits of no column", lambda: steered_logits(columns=[]), "is empty"),
    (
        "logits under one change without its axis",
        lambda: steered_logits(changes=torch.ones(32)),
        "rows of d_model, 32",
    ),
    (
        "logits under changes of another width",
        lambda: steered_logits(changes=torch.ones(2, 31)),
        "rows of d_model, 32",
    ),
    ("logits under no change", lambda: steered_logits(changes=torch.ones(0, 32)), "give rows"),
    (
        "logits under NaN",
        lambda: steered_logits(changes=torch.full((1, 32), NAN)),
        "NaN or infinity",
    ),
    ("logits at layer 9", lambda: steered_logits(layer=9), "layers 0 to 3"),
    ("logits at layer -1", lambda: steered_logits(layer=-1), "layers 0 to 3"),
    ("logits after too long a text", lambda: too_long(steered_logits), "reads 16"),
    ("logits in training", lambda: in_training(steered_logits), "call `.eval()`"),
    ("first tokens of one string", lambda: circle.first_tokens(model(), "w3"), "give a list"),
    ("the first token of nothing", lambda: circle.first_tokens(model(), [""]), "bare word"),
    ("the first token of a space", lambda: circle.first_tokens(model(), [" w3"]), "bare word"),
    ("the angle of the origin", lambda: circle.angle_of(torch.zeros(2)), "the origin has no angle"),
    ("the angle of NaN", lambda: circle.angle_of(torch.tensor([NAN, 1.0])), "finite numbers"),
    ("the angle in space", lambda: circle.angle_of(torch.ones(3)), "two finite numbers"),
    (
        "the angle of no change",
        lambda: circle.measured_angle(torch.zeros(1, 4), ANGLES),
        "All words gain alike",
    ),
    (
        "the angle of a change that all words share",
        lambda: circle.measured_angle(torch.full((1, 4), 0.3), ANGLES),
        "All words gain alike",
    ),
    (
        "the angle of NaN changes",
        lambda: circle.measured_angle(CHANGE[0] * NAN, ANGLES),
        "NaN or infinity",
    ),
    (
        "the angle over fewer words",
        lambda: circle.measured_angle(CHANGE[0], ANGLES[:3]),
        "the change of each word",
    ),
    (
        "the angle over two words",
        lambda: circle.measured_angle(CHANGE[0, :, :2], ANGLES[:2]),
        "three angles",
    ),
    ("an error of NaN", lambda: circle.angular_error(ANGLES, ANGLES * NAN), "NaN or infinity"),
    ("errors of unequal lists", lambda: circle.angular_error(ANGLES, ANGLES[:3]), RAW),
    ("an interval of no draw", lambda: error_interval(n=0), "whole number from 1"),
    ("an interval of one group", lambda: error_interval(words=ONE_GROUP), "two groups or more"),
    ("an interval of fewer angles", lambda: error_interval(wanted=WANTED[:1]), "[split, 1, 4]"),
    ("an interval of fewer words", lambda: error_interval(CHANGE[..., :3]), "[split, 2, 4]"),
    ("an interval of NaN", lambda: error_interval(CHANGE * NAN), "NaN or infinity"),
    ("an interval without splits", lambda: error_interval(CHANGE[0]), "give 3 axes"),
    ("an interval against another shape", lambda: error_interval(minus=CHANGE[:, :1]), "has shape"),
    ("stories of no word", lambda: circle.story_vectors(model(), {}, layer=1, start=1), "is empty"),
    (
        "a word without stories",
        lambda: circle.story_vectors(model(), {"a": []}, layer=1, start=1),
        "no list of stories",
    ),
    (
        "a dial without folds",
        lambda: circle.held_out_dial(None, CLOUD[:4], ANGLES, [], ANGLES, size=1.0),
        "should be masks",
    ),
    (
        "a dial that holds out all words twice",
        lambda: circle.held_out_dial(
            None, CLOUD[:4], ANGLES, [torch.ones(4) > 0] * 2, ANGLES, size=1.0
        ),
        "hold out each word once",
    ),
    (
        "nothing to read back",
        lambda: circle.read_back(model(), None, [], torch.ones(1, 32), torch.tensor([1]), layer=1),
        "is empty",
    ),
    (
        "a sealed dial of another name",
        lambda: circle.SealedDials({"x": ANGLES, "y": 1, "z": 2}, None, order="xyz").ask("d", 0),
        "no dial 'd'",
    ),
    (
        "a sealed dial without readings",
        lambda: circle.SealedDials({"x": 0, "y": 1, "z": 2}, None, order="xyz", budget=0).ask(
            "a", 0
        ),
        "used all your readings",
    ),
    ("a ring of three points", lambda: circle.ring_score(torch.eye(3)[:, :2]), "four points"),
    ("a ring on a line", lambda: circle.ring_score(torch.ones(5, 2)), "on a line"),
    ("circularity of two words", lambda: circle.circularity(ANGLES[:2], ANGLES[:2]), "more words"),
    ("circularity of NaN", lambda: circle.circularity(ANGLES * NAN, ANGLES), "NaN or infinity"),
    ("circularity of unequal lists", lambda: circle.circularity(ANGLES, ANGLES[:3]), "has shape"),
    ("the p of NaN", lambda: circle.circularity_p(ANGLES * NAN, ANGLES, n=9), "NaN or infinity"),
    ("the p of no deal", lambda: circle.circularity_p(ANGLES, ANGLES, n=0), "whole number from 1"),
    ("the p of a table", lambda: circle.circularity_p(CHANGE[0], CHANGE[0], n=9), "give 1 axes"),
    # ---- geometry
    ("unit rows of none", lambda: geometry.unit_rows(CLOUD[:0]), "is empty"),
    ("unit rows with a 0", lambda: geometry.unit_rows(torch.eye(3)[:, :2], centre=False), "Row 2"),
    ("unit rows with the mean", lambda: geometry.unit_rows(torch.eye(2)[[0, 0]]), "Row 0"),
    ("unit rows of NaN", lambda: geometry.unit_rows(with_nan(CLOUD)), "NaN or infinity"),
    ("RSA of two rows", lambda: geometry.rsa(CLOUD[:2], CLOUD[:2]), "at least three"),
    ("RSA of unequal rows", lambda: geometry.rsa(CLOUD, CLOUD[:5]), "has 5 entries"),
    ("RSA of NaN", lambda: geometry.rsa(CLOUD, with_nan(CLOUD)), "NaN or infinity"),
    ("rows of an unknown word", lambda: geometry.rows_of(model(), ["good"]), "is no token"),
    ("rows of no word", lambda: geometry.rows_of(model(), []), "is empty"),
    ("as many neighbours as rows", lambda: geometry.nearest_rows(CLOUD, 12), "has 11 others"),
    ("no neighbour", lambda: geometry.nearest_rows(CLOUD, 0), "whole number from 1"),
    ("minus one neighbour", lambda: geometry.nearest_rows(CLOUD, -1), "whole number from 1"),
    ("weights with a ridge below 0", lambda: lle(ridge=-1e-3), "at least 0"),
    ("weights of another width", lambda: lle(CLOUD[:2, :2]), "give [n, k, d]"),
    ("weights of other points", lambda: lle(CLOUD[:3]), "give [n, k, d]"),
    ("weights without k", lambda: lle(neighbours=CLOUD[:2]), "give [n, k, d]"),
    (
        "weights of neighbours on the point",
        lambda: lle(neighbours=CLOUD[:2, None].expand(2, 3, 3)),
        "on their point",
    ),
    ("weights of NaN", lambda: lle(with_nan(CLOUD[:2])), "NaN or infinity"),
    ("rows that are constant", lambda: geometry.row_pearson(CLOUD, torch.ones(12, 3)), "all alike"),
    ("rows of one number", lambda: geometry.row_pearson(CLOUD[:, :1], CLOUD[:, :1]), "all alike"),
    ("rows of unlike width", lambda: geometry.row_pearson(CLOUD, CLOUD[:, :2]), "has shape (12, 2"),
    ("a dimension for a share of 1.5", lambda: dimension(share=1.5), "at most 1"),
    ("a dimension for no share", lambda: dimension(share=0.0), "above 0"),
    ("a dimension for NaN", lambda: dimension(share=NAN), "above 0"),
    ("a dimension around row -1", lambda: dimension([[1, 2, -1]]), "from 0 to 11"),
    ("a dimension around row 12 of 12", lambda: dimension([[1, 2, 12]]), "from 0 to 11"),
    ("a map of unequal rows", lambda: geometry.fit_map(CLOUD, CLOUD[:5]), "has 5 entries"),
    ("a map with a ridge below 0", lambda: geometry.fit_map(CLOUD, CLOUD, ridge=-1.0), "least 0"),
    ("a map of NaN", lambda: geometry.fit_map(with_nan(CLOUD), CLOUD), "NaN or infinity"),
    ("a map of too few rows", lambda: geometry.fit_map(CLOUD[:3], CLOUD[:3]), "a ridge above 0"),
    ("a map judged, turned round", lambda: judge_map(torch.ones(2, 3)), "of that shape"),
    (
        "a map judged on rows all alike",
        lambda: judge_map(B=torch.ones(12, 2)),
        "nothing to explain",
    ),
    ("a rotation of unequal rows", lambda: geometry.procrustes(CLOUD, CLOUD[:5]), "has 5 entries"),
    ("a rotation of NaN", lambda: geometry.procrustes(with_nan(CLOUD), CLOUD), "NaN or infinity"),
    ("more words than there are", lambda: read_both(k=13), "has 11 others"),
    ("no word read", lambda: read_both(k=0), "whole number from 1"),
    ("reading unequal rows", lambda: read_both(B=CLOUD[:5]), "has 5 entries"),
    ("a bag of no sentence", lambda: geometry.bag_of_words(model(), []), "is empty"),
    ("own neighbours, too many", lambda: geometry.lle_agreement(CLOUD, CLOUD, k=12), "11 others"),
    ("own neighbours of NaN", lambda: geometry.lle_agreement(CLOUD, with_nan(CLOUD)), "NaN"),
    (
        "coherence around row 12",
        lambda: geometry.coherence(CLOUD, torch.tensor([[1, 12]])),
        "to 11",
    ),
    ("a sealed map d", lambda: sealed().move("d", CLOUD[:1]), "choose a, b or c"),
    ("sealed maps beyond the budget", lambda: sealed().move("a", CLOUD[:3]), "2 vectors are left"),
    ("odds of a word with a space", lambda: log_odds(" w5", "w6"), "no token of this model"),
    ("odds of an unknown word", lambda: log_odds("w5", "good"), "no token of this model"),
    ("odds of no token at all", lambda: log_odds("w5", ""), "no token of this model"),
    ("odds of no pair", lambda: geometry.log_odds(model(), ["w3"], []), "is empty"),
    ("odds of one word", lambda: geometry.log_odds(model(), ["w3"], ["w5"]), "is two tokens"),
    ("odds after no text", lambda: log_odds("w5", "w6", []), "is empty"),
    ("odds after too long a text", lambda: too_long(lambda: log_odds("w5", "w6")), "reads 16"),
    ("effects of no vector", lambda: effects(torch.ones(0, 32)), "is empty"),
    ("effects of NaN", lambda: effects(torch.full((1, 32), NAN)), "NaN or infinity"),
    ("effects of norm 0", lambda: effects(norm=0.0), "above 0"),
    ("runs of one token", lambda: like_frequency(torch.arange(9), window=1), "from 2"),
    ("the partner of one token", lambda: like_frequency(torch.tensor([7])), "at least two"),
    ("partners by NaN", lambda: like_frequency(torch.tensor([1, NAN, 2])), "NaN or infinity"),
    ("a cloud like one row", lambda: gaussian_like(CLOUD[:1]), "at least two"),
    ("a cloud like NaN", lambda: gaussian_like(with_nan(CLOUD)), "NaN or infinity"),
    # ---- figures
    ("a circle without panels", lambda: figures.polar({}, title="", names=["a"] * 4), "is empty"),
    (
        "a circle of unequal lists",
        lambda: figures.polar({"a": ([0.0], [1.0, 2.0])}, title="", names=["a"] * 4),
        RAW,
    ),
    # ---- data
    ("the sentiment of one string", lambda: concepts.sentiment("good"), "give a list"),
    ("the sentiment of no text", lambda: concepts.sentiment([]), "is empty"),
    ("the formality of one string", lambda: concepts.score("formality", "good"), "give a list"),
    ("a table that is not there", lambda: concepts.read_rows("nothing"), "repository's data again"),
    ("a table of nothing", lambda: damaged_table(""), "is damaged at row 1"),
    (
        "a table that was cut",
        lambda: damaged_table("concept,part,topic,with,without\nsea,fit,a,b,c\nsea,f"),
        "is damaged at row 2",
    ),
    (
        "a table of too much",
        lambda: damaged_table("concept,part\nsea,fit,more\n"),
        "damaged at row",
    ),
    ("frames for another use", lambda: emotions.read_frames("test"), '"fit" or "score"'),
    ("sentences of one string", lambda: emotions.sentences("sad", ["I am"]), "give a list"),
    ("sentences of no word", lambda: emotions.sentences([], ["I am"]), "is empty"),
    ("chats of another part", lambda: chat.texts("test"), '"train" or "held_out"'),
    ("chats that are not there", lambda: damaged_texts(None), "make data D="),
    ("chats that were cut", lambda: damaged_texts(b"\x10\x00\x00\x00\x00\x00\x00\x00{"), "damaged"),
    (
        "chats without lengths",
        lambda: damaged_texts(None, {"tokens": torch.ones(3, dtype=torch.int32)}),
        "damaged",
    ),
    (
        "chats whose lengths do not add up",
        lambda: damaged_texts(None, {"tokens": torch.ones(3), "lengths": torch.tensor([2])}),
        "damaged",
    ),
]
