"""Writes the tables of lesson 3.2: `python -m data.emotions.make`. Nothing is random."""

import csv
from pathlib import Path

HERE = Path(__file__).parent

# Russell (1980): angle on the circle in degrees, 0 pleasure, 90 arousal. Near synonyms share a
# group; groups and their quadrants were set by hand, before any measurement.
GROUPS = {
    "joy": (1, {"happy": 7.8, "delighted": 24.9, "glad": 349.0, "pleased": 353.2}),
    "excitement": (1, {"excited": 48.6, "aroused": 73.8}),
    "astonishment": (1, {"astonished": 69.8}),
    "tension": (2, {"tense": 92.8}),
    "fear": (2, {"alarmed": 96.5, "afraid": 116.0}),
    "anger": (2, {"angry": 99.0, "annoyed": 123.0, "frustrated": 141.0}),
    "distress": (2, {"distressed": 138.0}),
    "sadness": (3, {"miserable": 188.7, "sad": 207.5, "gloomy": 209.0, "depressed": 211.0}),
    "boredom": (3, {"bored": 242.0}),
    "tiredness": (3, {"tired": 267.7, "sleepy": 271.9}),
    "calm": (4, {"calm": 316.2, "relaxed": 318.0, "serene": 328.6}),
    "contentment": (4, {"satisfied": 319.0, "content": 323.0}),
}

# Twelve openings times five clauses: sixty sentences for each word.
OPENINGS = [
    "When the letter came,",
    "After the long meeting,",
    "On the way home,",
    "At the end of the day,",
    "As the train left,",
    "While the others slept,",
    "Before the exam,",
    "During dinner,",
    "At work on Monday,",
    "When the phone rang,",
    "In the garden,",
    "After what had happened,",
]
CLAUSES = ["I felt", "she was", "he seemed", "they were", "Anna became"]

# Before the next word: none of these shares its opening or its clause with a sentence above.
SCORING = [
    "I feel",
    "Today my brother is so",
    "The news left us all very",
    "To be honest, I am quite",
    "The old woman looked",
    "Everybody in the room grew",
]


def write(name: str, columns: list[str], rows: list[tuple]) -> None:
    with (HERE / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


if __name__ == "__main__":
    words = [
        (word, angle, group, quadrant)
        for group, (quadrant, angles) in GROUPS.items()
        for word, angle in angles.items()
    ]
    write("words.csv", ["word", "angle", "group", "quadrant"], words)
    frames = [("fit", f"{opening} {clause}") for opening in OPENINGS for clause in CLAUSES]
    frames += [("score", frame) for frame in SCORING]
    write("frames.csv", ["use", "frame"], frames)
