"""Bad input to the case studies: `utils/cases`, the game CountDown, and what the recipes share."""

import contextlib
import io
import random
import tempfile
from functools import cache
from pathlib import Path

import torch

from data import sampling, training
from data.binding import task as drinks
from data.countdown import task as countdown
from data.countdown.task import Puzzle
from data.planted import task as planted
from tests.bad_input import RAW
from tests.small_models import random_model
from utils.cases import behaviours, binding, clinic, modular, subliminal, survey, thinking, walks
from utils.cases import verification as v
from utils.models import load

PUZZLE = Puzzle((12, 7, 4), 15)
OTHER = Puzzle((5, 9, 3), 17)
MISS, HIT = "12 + 7 = 19 + 4 = 23", "12 + 7 = 19 - 4 = 15"
TEXT = f"{MISS} ( not 23 ) , {HIT} ( this works )"
WORDS = TEXT.split()
NAN, TWO = float("nan"), torch.ones(2)
ASKED, RANDOM = torch.tensor([1, 2, 3]), torch.Generator()
STORY, AT_PAIR = torch.tensor([[3, 4]]), torch.tensor([0])
INJECTED, AT_0 = [torch.ones(1, 4)], {"layer": 0, "yes": 1, "no": 2}


@cache
def model():
    with contextlib.redirect_stdout(io.StringIO()):
        return load("countdown/recheck_0", device="cpu")


@cache
def ungated():
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        return random_model("gpt2", folder)


@cache
def positions() -> v.Brackets:
    """Two positions in one text: a miss and a hit."""
    return v.brackets(model(), [PUZZLE], [WORDS])


@cache
def endings() -> thinking.Endings:
    return thinking.endings(model(), [PUZZLE], [WORDS])


@contextlib.contextmanager
def training_mode():
    try:
        yield model().train()
    finally:
        model().eval()


@cache
def lab() -> v.Lab:
    with contextlib.redirect_stdout(io.StringIO()):
        return v.Lab(load("countdown/three_layers", device="cpu"), ablations=1)


def in_training(call):
    """The call, with a model in training mode."""

    def run():
        with training_mode():
            call()

    return run


def within(context):
    """What goes on within a context, such as an ablation: a run on the positions' texts."""

    def run():
        with context(), torch.no_grad():
            model()(positions().tokens)

    return run


def elsewhere(context):
    """The same, on other texts."""

    def run():
        with context(), torch.no_grad():
            model()(positions().tokens[:, :9])

    return run


def damaged(holds: bytes):
    def run():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "texts.safetensors")
            file.write_bytes(holds)
            sampling.read_tokens(file)

    return run


def a_training(**changed):
    """The loop over one weight; it must refuse what is changed."""
    weight = torch.nn.Parameter(torch.zeros(1))
    given = {
        "gradients": lambda step: weight.sum(),
        "optimizers": [torch.optim.SGD([weight])],
        "title": "",
        "steps": 2,
        "warmup": 1,
        "measured_at": {0, 2},
    }
    given |= changed
    with contextlib.redirect_stderr(io.StringIO()):
        training.train(given.pop("gradients"), given.pop("optimizers"), **given)


def large() -> torch.nn.Module:
    """A weight that half precision does not hold."""
    linear = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(linear.weight, 1e6)
    return linear


def nowhere(name: str) -> Path:
    return Path(tempfile.gettempdir(), "heads-to-features-nowhere", name)


LOGITS = torch.zeros(2, 5, 4)
TOKENS = torch.zeros(2, 5, dtype=torch.long)
PATTERN = torch.ones(2, 3, 4, 4)
PAIR = torch.tensor([0, 1])
Z = torch.zeros(2, 4, 3, 5)
YES_NO = torch.tensor([True, False, True, False])


def next_probs(starts=None, tries=None):
    given = [PUZZLE.header] if starts is None else starts
    return thinking.next_try_probs(model(), [HIT.split()] if tries is None else tries, given)


def received(spans=((0, 1), (1, 2), (2, 4)), pattern=PATTERN[0]):
    return thinking.received_by_steps(pattern, spans)


def aucs(x=None, labels=YES_NO, folds=2):
    return survey.probe_aucs(torch.randn(1, 4, 3) if x is None else x, labels, folds=folds)


def put_in(**how):
    donors = how.pop("donors", None) or positions()
    return within(lambda: v.put_in(model(), positions(), donors, **how))


ROWS = [
    # The game
    ("tries of no numbers", lambda: countdown.tries([]), "give 2 to 7 whole numbers"),
    ("tries of one number", lambda: countdown.tries([5]), "give 2 to 7"),
    ("tries of a number without a token", lambda: countdown.tries((70, 3)), "from 0 to 63"),
    ("tries of a number below 0", lambda: countdown.tries((-1, 3)), "from 0 to 63"),
    ("tries of ten numbers", lambda: countdown.tries(range(10)), "2 to 7"),
    ("held out: 300", lambda: countdown.held_out(Puzzle((300, 2), 5)), "from 0 to 63"),
    (
        "puzzles with words before below 0",
        lambda: next(countdown.puzzles(random.Random(0), test=True, longest=-1)),
        "whole number from 0",
    ),
    ("reading letters", lambda: countdown.read(PUZZLE, TEXT), "text.split()"),
    ("a word of another game", lambda: countdown.ids(["make", "64"]), "has no '64'"),
    ("the token of letters", lambda: countdown.ids("make"), "text.split()"),
    ("ability in no puzzles", lambda: countdown.ability([], []), "is empty"),
    ("ability, unequal", lambda: countdown.ability([PUZZLE] * 2, [WORDS]), "has 1 entries"),
    ("ability in texts", lambda: countdown.ability([PUZZLE], [TEXT]), "list of words"),
    ("ability, no verdict", lambda: countdown.ability([PUZZLE], [WORDS[:5]]), "more tokens"),
    ("habits in texts", lambda: countdown.habits([PUZZLE], [TEXT]), "list of words"),
    ("habits, unequal", lambda: countdown.habits([PUZZLE], []), "has 0 entries"),
    ("habits in no puzzles", lambda: countdown.habits([], []), "is empty"),
    # Recipes
    ("training for no steps", lambda: a_training(steps=0), "`steps` is 0"),
    ("a warm-up of nothing", lambda: a_training(warmup=0), "`warmup` is 0"),
    ("no optimizer", lambda: a_training(optimizers=[]), "`optimizers` is empty"),
    ("a training that is never measured", lambda: a_training(measured_at={9}), "none of the steps"),
    (
        "a loss of NaN",
        lambda: a_training(gradients=lambda step: torch.tensor(NAN)),
        "lower the learning rate",
    ),
    (
        "Muon without matrices",
        lambda: training.muon_and_adamw(torch.nn.Linear(2, 2), muon=(0.1, 0), adamw=(0.1, 0)),
        "no matrices below `layers`",
    ),
    ("a copy of 1e6", lambda: training.copy_as_saved(large(), large()), "half precision"),
    (
        "saving 1e6",
        lambda: training.save_pretrained(large(), None, nowhere("model"), how={}),
        "half precision",
    ),
    ("JSON of NaN", lambda: training.write_json(nowhere("a.json"), {"a": [NAN]}), "'a' holds NaN"),
    (
        "the likeliest at temperature 0",
        lambda: sampling.one_of_the_likeliest(TOKENS, LOGITS[0], n=2, temperature=0),
        "above 0",
    ),
    (
        "the likeliest at a temperature below 0",
        lambda: sampling.one_of_the_likeliest(TOKENS, LOGITS[0], n=2, temperature=-0.8),
        "above 0",
    ),
    ("one of 0 tokens", lambda: sampling.one_of_the_likeliest(TOKENS, LOGITS[0], n=0), "`n` is 0"),
    ("a damaged file of texts", damaged(b"half"), "is damaged"),
    ("an empty file of texts", damaged(b""), "is damaged"),
    ("no file of texts", lambda: sampling.read_tokens(nowhere("texts")), RAW),
    (
        "writing for no time",
        lambda: sampling.write_answers(nowhere("texts"), lambda n, seed: [], minutes=0),
        "above 0",
    ),
    (
        "one request for all",
        lambda: sampling.write_answers(
            Path(tempfile.gettempdir(), "none"), lambda n, seed: ["one"], minutes=1
        ),
        "gave 1 requests where 192",
    ),
    # Where a model judges
    ("no puzzles", lambda: v.some_puzzles(0, generator=random.Random(0)), "`n` is 0"),
    ("writing after nothing", lambda: v.write(model(), []), "`starts` is empty"),
    ("writing after letters", lambda: v.write(model(), ["make 15 from"]), "list of words"),
    ("writing after an unknown word", lambda: v.write(model(), [["make", "64"]]), "no '64'"),
    ("writing no tokens", lambda: v.write(model(), [PUZZLE.header], n_tokens=0), "`n_tokens` is 0"),
    (
        "writing below temperature 0",
        lambda: v.write(model(), [PUZZLE.header], temperature=-1),
        "at least 0",
    ),
    (
        "writing in training",
        in_training(lambda: v.write(model(), [PUZZLE.header], n_tokens=1)),
        ".eval()",
    ),
    ("brackets in letters", lambda: v.bracket_places(TEXT), "text.split()"),
    ("brackets without a header", lambda: v.bracket_places(WORDS), "no number after `make`"),
    ("brackets after a last make", lambda: v.bracket_places(["make"]), "no number after `make`"),
    ("brackets of texts", lambda: v.brackets(model(), [PUZZLE], [TEXT]), "list of words"),
    ("brackets, unequal", lambda: v.brackets(model(), [PUZZLE, OTHER], [WORDS]), "has 1 entries"),
    ("brackets of unknown words", lambda: v.brackets(model(), [PUZZLE], [["64", "("]]), "no '64'"),
    ("brackets of nothing", lambda: v.brackets(model(), [PUZZLE], [[]]), "more tokens"),
    ("Brackets.of before the text", lambda: positions().of(positions().tokens, back=30), "back=30"),
    ("Brackets.of after the text", lambda: positions().of(positions().tokens, back=-20), "back=-2"),
    (
        "Brackets.of other texts",
        lambda: positions().of(torch.zeros(1, 3, 4)),
        "the positions' own tokens",
    ),
    ("Brackets.where of none", lambda: positions().where(torch.zeros(2).bool()), "more puzzles"),
    ("Brackets.where of 0 and 1", lambda: positions().where(PAIR), "True or False"),
    ("Brackets.where of three", lambda: positions().where(torch.ones(3).bool()), "among 2"),
    ("Brackets.take of -1", lambda: positions().take(torch.tensor([-1])), "count from 0 to 1"),
    ("Brackets.take of 2", lambda: positions().take(torch.tensor([2])), "count from 0 to 1"),
    ("shares of no words for yes", lambda: v.yes_share(LOGITS, yes=[], no=[0]), "`yes` is empty"),
    ("shares of token -1", lambda: v.yes_share(LOGITS, yes=[-1], no=[0]), "numbers from 0 to 3"),
    ("shares of token 4", lambda: v.yes_share(LOGITS, yes=[1], no=[4]), "numbers from 0 to 3"),
    ("shares of a small vocabulary", lambda: v.yes_share(LOGITS), "numbers from 0 to 3"),
    ("verdicts in training", in_training(lambda: v.verdicts(model(), positions())), ".eval()"),
    ("sums in training", in_training(lambda: v.sums_right(model(), positions())), ".eval()"),
    ("streams in training", in_training(lambda: v.resid_at(model(), positions())), ".eval()"),
    ("streams before BOS", lambda: v.resid_at(model(), positions(), back=99), "back=99"),
    (
        "attention to what comes later",
        lambda: v.attention(model(), positions(), positions().pos + 1),
        "cannot see it",
    ),
    (
        "attention to one key for all",
        lambda: v.attention(model(), positions(), positions().target[:1]),
        "has 1 entries",
    ),
    # Taking parts out, and putting them in
    (
        "without a head of layer 5",
        within(lambda: v.without_heads(model(), [(9, 0)])),
        "no L9H0",
    ),
    ("without head -1", within(lambda: v.without_heads(model(), [(0, -1)])), "no L0H-1"),
    ("without a bare pair", within(lambda: v.without_heads(model(), (0, 1))), "pairs of layer"),
    (
        "without neurons of layer 9",
        lambda: v.without_neurons(model(), {9: PAIR}),
        "has layer 9",
    ),
    ("without neuron -1", lambda: v.without_neurons(model(), {1: PAIR - 1}), "whole numbers"),
    ("without neuron 999", lambda: v.without_neurons(model(), {1: PAIR * 999}), "whole numbers"),
    ("without neuron 0.5", lambda: v.without_neurons(model(), {1: TWO / 2}), "whole numbers"),
    ("put in nothing", put_in(), "Nothing would change"),
    ("put in nowhere", put_in(heads=[(0, 0)], backs=()), "Nothing would change"),
    ("put in a hook that is not there", put_in(whole=["blocks.0.hook_mlp"]), "no hook named"),
    ("put in head 99", put_in(heads=[(0, 99)]), "no L0H99"),
    (
        "put in one donor for two",
        lambda: put_in(heads=[(0, 0)], donors=positions().take(PAIR[:1]))(),
        "1 donors for 2 positions",
    ),
    (
        "put in at other texts",
        elsewhere(lambda: v.put_in(model(), positions(), positions(), heads=[(0, 0)])),
        "the positions' own tokens",
    ),
    # Directions, neurons, heads
    (
        "more random neurons than there are",
        lambda: v.random_neurons(5, layers=[0], d_mlp=4, generator=torch.Generator()),
        "a layer has 4 neurons",
    ),
    (
        "-1 random neurons",
        lambda: v.random_neurons(-1, layers=[0], d_mlp=4, generator=torch.Generator()),
        "`n` is -1",
    ),
    ("no neurons", lambda: v.neurons_along(model(), torch.ones(3, 96), 0), "`n` is 0"),
    ("too many neurons", lambda: v.neurons_along(model(), torch.ones(3, 96), 999), "288 neurons"),
    (
        "neurons of sign 0",
        lambda: v.neurons_along(model(), torch.ones(3, 96), 1, sign=0),
        "-1 against it",
    ),
    ("a drive into nothing", lambda: v.signed_drive(model(), []), "`neurons` is empty"),
    ("a drive into layer 9", lambda: v.signed_drive(model(), [(9, 0)]), "has (9, 0)"),
    ("a drive without gates", lambda: v.signed_drive(ungated(), [(0, 0)]), "without gates"),
    (
        "activity of nothing",
        lambda: v.neuron_activity(model(), positions(), []),
        "`neurons` is empty",
    ),
    (
        "activity of neuron -1",
        lambda: v.neuron_activity(model(), positions(), [(0, -1)]),
        "whole numbers",
    ),
    (
        "donors, unequal",
        lambda: v.allowed_donors(PAIR, PAIR[:1], PAIR, hit=True, matched=True),
        "has 1 entries",
    ),
    (
        "writing on for no tokens",
        lambda: v.write_on(model(), positions(), lambda at: contextlib.nullcontext(), n_tokens=0),
        "`n_tokens` is 0",
    ),
    ("outcomes of nothing", lambda: v.outcomes([]), "`written` is empty"),
    ("the AUC of NaN", lambda: v.verdict_auc(TWO * NAN, TWO), "`hits` holds NaN"),
    ("the AUC of no misses", lambda: v.verdict_auc(TWO, TWO[:0]), "`misses` is empty"),
    ("a lab without head 9", lambda: lab().without([(1, 9)]), "no L1H9"),
    ("a lab without one head, no list", lambda: lab().without((1, 3)), "pairs of layer and number"),
    ("a lab without a mask", lambda: lab().without(torch.ones(3, 8).bool()), "pairs of layer"),
    ("a lab without head 1.5", lambda: lab().without([(1, 1.5)]), "pairs of layer and number"),
    ("floats handed in", lambda: lab().hand_in(torch.ones(2, 2)), "pairs of layer and number"),
    ("triples handed in", lambda: lab().hand_in([(1, 3, 5)]), "pairs of layer and number"),
    ("heads by layer handed in", lambda: lab().hand_in({1: [3, 5]}), "pairs of layer and number"),
    ("a word handed in", lambda: lab().hand_in("L1H3"), "pairs of layer and number"),
    ("nothing handed in", lambda: lab().hand_in(None), "pairs of layer and number"),
    ("positions of one puzzle", lambda: v.judged_positions(model(), 1), "whole number from 2"),
    # Going on
    ("a share with one token", lambda: thinking.continue_share(LOGITS, 1, 1), "two tokens"),
    ("a share of token 4 of 4", lambda: thinking.continue_share(LOGITS, 4, 1), "from 0 to 3"),
    ("a share with token -1", lambda: thinking.continue_share(LOGITS, 1, -1), "from 0 to 3"),
    ("endings of texts", lambda: thinking.endings(model(), [PUZZLE], [TEXT]), "list of words"),
    ("endings, unequal", lambda: thinking.endings(model(), [PUZZLE], []), "has 0 entries"),
    ("endings of nothing", lambda: thinking.endings(model(), [PUZZLE], [[]]), "more tokens"),
    ("Endings.of before the text", lambda: endings().of(endings().tokens, back=99), "back=99"),
    ("Endings.of after the comma", lambda: endings().of(endings().tokens, back=-2), "back=-2"),
    ("Endings.of other texts", lambda: endings().of(torch.zeros(2, 2)), "own tokens"),
    ("Endings.where of none", lambda: endings().where(torch.zeros(2).bool()), "more puzzles"),
    ("Endings.where of 5", lambda: endings().where(torch.tensor([5])), "count from 0 to 1"),
    ("parts of 0", lambda: endings().parts(batch_size=0), "`batch_size` is 0"),
    ("in order of three", lambda: endings().in_order([torch.zeros(3)]), "Found of 3"),
    ("a re-check of letters", lambda: thinking.checked_again(PUZZLE.header, HIT), "text.split()"),
    ("a header of letters", lambda: thinking.checked_again("make 15", [HIT]), "text.split()"),
    ("nothing said", lambda: thinking.checked_again(["make"], [HIT], said=()), "`said` is empty"),
    (
        "steering at no layer",
        within(lambda: thinking.steer_at(model(), torch.ones(96), layer=4, token=1)),
        "layers 0 to 3",
    ),
    ("second looks of letters", lambda: thinking.second_looks(model(), [PUZZLE], [TEXT]), "list"),
    (
        "second looks of none",
        lambda: thinking.second_looks(model(), [PUZZLE], [WORDS[:13]]),
        "give",
    ),
    ("claims about no puzzle", lambda: thinking.claims_checked([]), "`puzzles` is empty"),
    (
        "traces of letters",
        lambda: thinking.traces_with_failures([PUZZLE], [TEXT], at_least=0, at_most=9),
        "list of words",
    ),
    ("measures of letters", lambda: thinking.measure(PUZZLE, TEXT, n_tokens=9), "text.split()"),
    ("measures of nothing", lambda: thinking.measure(PUZZLE, [], n_tokens=9), "`words` is empty"),
    ("cut below its length", lambda: thinking.measure(PUZZLE, WORDS, n_tokens=3), "was cut at"),
    ("steps of letters", lambda: thinking.steps(TEXT), "text.split()"),
    # Importance
    (
        "continuations that are too long",
        lambda: thinking.continuation_probs(model(), TOKENS[0], TOKENS.repeat(1, 200)),
        "at most",
    ),
    (
        "continuations of numbers that are no tokens",
        lambda: thinking.continuation_probs(model(), TOKENS[0], TOKENS.float()),
        "must hold tokens",
    ),
    (
        "continuations after nothing",
        lambda: thinking.continuation_probs(model(), TOKENS[0, :0], TOKENS),
        "`start` is empty",
    ),
    ("tries after nothing", lambda: next_probs(starts=[]), "`starts` is empty"),
    ("tries after letters", lambda: next_probs(starts=["make"]), "list of words"),
    ("unequal tries", lambda: next_probs(tries=[["12"], HIT.split()]), "one length"),
    ("no tries", lambda: next_probs(tries=[]), "`tries` is empty"),
    ("a rejection of nothing", lambda: thinking.rejected([]), "`words` is empty"),
    (
        "the importance of a step with its verdict",
        lambda: thinking.exact_importance(
            next_probs, [HIT.split()], PUZZLE.header, WORDS[:13], target="15"
        ),
        "is none of `tries`",
    ),
    ("attention to a span outside", lambda: received([(0, 1), (1, 2), (2, 5)]), "inside a text"),
    ("attention to an empty span", lambda: received([(0, 1), (1, 1), (2, 4)]), "inside a text"),
    ("attention to two spans", lambda: received([(0, 1), (1, 2)]), "three spans"),
    ("attention in a cut pattern", lambda: received(pattern=PATTERN[0, ..., :2]), "as wide"),
    ("attention of NaN", lambda: received(pattern=PATTERN[0] * NAN), "NaN"),
    # A survey
    ("texts of no puzzles", lambda: survey.text_brackets(model(), []), "`puzzles` is empty"),
    (
        "texts of a puzzle that has no solution",
        lambda: survey.text_brackets(model(), [Puzzle((1, 2), 60)]),
        "cannot both hit and miss",
    ),
    (
        "texts of a puzzle that cannot be missed",
        lambda: survey.text_brackets(model(), [Puzzle((0, 5), 5)]),
        "cannot both hit and miss",
    ),
    ("tokens of one word", lambda: survey.word_tokens(model(), "this"), "list of them"),
    ("tokens of no words", lambda: survey.word_tokens(model(), []), "`words` is empty"),
    (
        "tokens of an unknown word",
        lambda: survey.word_tokens(model(), ["perhaps"], after="( "),
        "does not know 'perhaps'",
    ),
    ("a survey with one fold", lambda: survey.survey(model(), [PUZZLE], folds=1), "from 2"),
    ("a survey without draws", lambda: survey.survey(model(), [PUZZLE], draws=0), "`draws` is 0"),
    (
        "a survey in batches of 0",
        lambda: survey.survey(model(), [PUZZLE], batch_size=0),
        "`batch_size` is 0",
    ),
    ("probes in one fold", lambda: aucs(folds=1), "from 2"),
    ("probes in too many folds", lambda: aucs(folds=3), "2 positions alone"),
    ("probes of one label", lambda: aucs(labels=YES_NO | True), "0 positions alone"),
    ("probes of 0 and 1", lambda: aucs(labels=YES_NO.long()), "`.bool()`"),
    ("probes of three labels for four", lambda: aucs(labels=YES_NO[:3]), "has 4 positions"),
    ("probes of NaN", lambda: aucs(x=torch.full((1, 4, 3), NAN)), "NaN"),
    ("probes of one layer's states", lambda: aucs(x=torch.ones(4, 3)), "give 3 axes"),
    # A clinic
    ("no question", lambda: clinic.yes_shifts(model(), [], *INJECTED, **AT_0), "`questions`"),
    (
        "one vector without an axis",
        lambda: clinic.yes_shifts(model(), [ASKED], INJECTED[0][0], **AT_0),
        "give 2 axes",
    ),
    (
        "a patchscope outside the target",
        lambda: clinic.patchscope(model(), [ASKED], ASKED, position=3, layers=[0]),
        "positions 0 to 2",
    ),
    (
        "a patchscope of a layer that is not there",
        lambda: clinic.patchscope(model(), [ASKED], ASKED, position=1, layers=[99]),
        "has layers 0 to",
    ),
    ("no pairs", lambda: clinic.draw_pairs(0, generator=torch.Generator()), "`n` is 0"),
    ("a toy that learns half", lambda: clinic.toy(0, learns="half"), "'all', 'rest' or 'none'"),
    (
        "a subspace of rank 0",
        lambda: clinic.find_subspace(
            torch.relu, torch.relu, list, width=3, rank=0, steps=1, lr=0.1, generator=RANDOM
        ),
        "`rank` is 0",
    ),
    (
        "a climb without candidates",
        lambda: clinic.climb(
            torch.relu, ASKED, torch.ones(4, 2), steps=1, candidates=0, best=1, generator=RANDOM
        ),
        "`candidates` is 0",
    ),
    ("a mean gap of NaN", lambda: clinic.mean_gap(torch.full((2, 3), NAN), TWO), "NaN"),
    ("a sheet that is too short", lambda: clinic.score_sheet([None], []), "one for each of 1"),
    ("a ring of two", lambda: walks.ring(2), "`n` is 2"),
    ("a grid of one row", lambda: walks.grid(1, 4), "`rows` is 1"),
    ("twins among nine", lambda: walks.twin_graph(9, generator=RANDOM), "even number of nodes"),
    ("hops in no graph", lambda: walks.hops(torch.ones(3)), "`adjacency`"),
    (
        "a walk of no steps",
        lambda: walks.draw_walk(walks.ring(4), 0, generator=RANDOM),
        "`n` is 0",
    ),
    (
        "a walk that cannot visit all",
        lambda: walks.write_walk(model(), walks.ring(9), 12, seed=0),
        "too short",
    ),
    (
        "words of several tokens",
        lambda: walks.write_walk(model(), walks.ring(4), 9, seed=0),
        "tokens of this model",
    ),
    (
        "a trace of a layer that is not there",
        lambda: walks.trace_walk(model(), None, layers=[99], last=3),
        "has layers 0 to",
    ),
    (
        "means of NaN",
        lambda: walks.graph_match(torch.full((3, 2), NAN), torch.ones(3, 3), n=2, generator=RANDOM),
        "NaN",
    ),
    ("overlaps of a row", lambda: walks.overlap_distances(torch.ones(3)), "`adjacency`"),
    (
        "a sweep with too small a pool",
        lambda: walks.ranked_ablations(
            len, {"a": [(0, 0)]}, size=2, n_draws=1, pool=[(1, 1)], generator=RANDOM
        ),
        "`pool`",
    ),
    (
        "a subspace of one direction, without its axis",
        lambda: walks.subspace_hooks(TWO, TWO, layer=0, positions=ASKED),
        "`directions`",
    ),
    (
        "twins of another graph",
        lambda: walks.twin_split(torch.ones(3, 2), walks.ring(4)),
        "`adjacency`",
    ),
    (
        "a story of a form that is none",
        lambda: drinks.write_story(STORY, STORY, form="tables", fillers=0, generator=RANDOM),
        "'clauses' or 'lists'",
    ),
    ("a story of seven", lambda: drinks.draw_words(2, 7, generator=RANDOM), "6 pairs at most"),
    (
        "a question for other stories",
        lambda: drinks.ask(STORY, torch.tensor([1, 2])),
        "`word`",
    ),
    (
        "an exchange in another number of stories",
        lambda: binding.exchange_places(STORY, STORY, STORY, torch.zeros(2).long(), AT_PAIR),
        "`asked`",
    ),
    (
        "stories of one pair",
        lambda: binding.draw_stories(2, 1, form="lists", generator=RANDOM),
        "`n` is 1",
    ),
    (
        "an interchange nowhere",
        lambda: binding.interchange(model(), STORY, STORY, [], at=STORY, source_at=STORY),
        "`hooks`",
    ),
    (
        "means at one place, without its axis",
        lambda: binding.place_means(model(), STORY, AT_PAIR, "hook_embed"),
        "`at`",
    ),
    (
        "parts of stories of unlike lengths",
        lambda: binding.subspace_interchange(
            model(), STORY, STORY[:, :1], [torch.eye(2)], name="hook_embed"
        ),
        "`source`",
    ),
    ("pairs of two", lambda: modular.all_pairs(2), "`p` is 2"),
    ("a share of 2", lambda: modular.split_pairs(7, 2.0, generator=RANDOM), "`share`"),
    ("power of a row", lambda: modular.fourier_power(torch.ones(3)), "`vectors`"),
    ("waves out of a row", lambda: modular.without_waves(torch.ones(3), [1]), "`vectors`"),
    (
        "no frequencies",
        lambda: modular.sum_waves(torch.ones(3, 3, 3), [], at=torch.ones(3, 3).bool()),
        "`frequencies`",
    ),
    (
        "no triples",
        lambda: modular.gradient_symmetricity(None, torch.ones(0, 3).long()),
        "`triples`",
    ),
    ("a flat table", lambda: modular.distance_irrelevance(TWO), "`logits`"),
    ("no adder", lambda: modular.load_adder("nowhere.safetensors"), "fetch it again"),
    (
        "a score of flat logits",
        lambda: behaviours.refusal_score(TWO, AT_PAIR),
        "`logits`",
    ),
    (
        "a score of no tokens",
        lambda: behaviours.refusal_score(torch.ones(1, 4), AT_PAIR[:0]),
        "`tokens`",
    ),
    ("logits after nothing", lambda: behaviours.last_logits(model(), []), "`rows`"),
    ("answers to nothing", lambda: behaviours.answers(model(), []), "`rows`"),
    (
        "answers of no tokens",
        lambda: behaviours.answers(model(), [ASKED], n_tokens=0),
        "`n_tokens` is 0",
    ),
    (
        "no direction to ablate",
        lambda: behaviours.direction_ablated(model(), torch.zeros(4)).__enter__(),
        "length 0",
    ),
    (
        "a score of no harmless requests",
        lambda: behaviours.direction_scores(
            model(), torch.ones(1, 4), layers=[0], refused=[ASKED], harmless=[], tokens=AT_PAIR
        ),
        "`harmless`",
    ),
    (
        "a difference on short texts",
        lambda: behaviours.activation_difference(
            model(), contextlib.nullcontext, [ASKED], layer=0, n_positions=9
        ),
        "give longer ones",
    ),
    (
        "an audit without questions",
        lambda: behaviours.Audit(None, None, None, questions=0).ask("a", "?"),
        "No question is left",
    ),
    ("an adapter of no name", lambda: planted.adapted(None, "z").__enter__(), "no adapter 'z'"),
    (
        "an adapter for another model",
        lambda: planted.adapted(model(), "refuser").__enter__(),
        "does not fit this model",
    ),
    ("a field of none", lambda: planted.subjects("moods"), "one of animals"),
    ("too many requests", lambda: planted.requests("food", n=999), "ask for so many"),
    (
        "outputs of other students",
        lambda: subliminal.auxiliary_loss(torch.ones(1, 2, 12), torch.ones(1, 2, 13)),
        "differ in shape",
    ),
    ("no networks", lambda: subliminal.fresh([2, 3], n=0, generator=RANDOM), "`n` is 0"),
    (
        "a lesson of no steps",
        lambda: subliminal.taught([], TWO[None], AT_PAIR, steps=0, generator=RANDOM),
        "`steps` is 0",
    ),
    (
        "a student of no steps",
        lambda: subliminal.distilled([], [], lambda: TWO, steps=0),
        "`steps` is 0",
    ),
    ("a map of nothing", lambda: walks.maps({}, walks.ring(4), "abcd", title=""), "`panels`"),
]
