"""Has SmolLM2 write the stories of lesson 3.2: `python -m data.emotions.write_stories`.

One story for each of 26 words and 40 subjects, of at most 90 tokens: bfloat16, temperature .8, one
of the 40 likeliest tokens. A story that holds any of the 26 words, or a word made from one, is
thrown away and written again. Ten to fifteen minutes on one core. The wording of the request is
the one, of the four in `WORDINGS`, whose stories' sentiment (VADER) went best with the cosine of
the words' angles on four stories a word: it was chosen on valence alone.
"""

import csv
import re
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LogitsProcessorList

from data.emotions.task import read_words
from data.sampling import one_of_the_likeliest
from utils.fetch import fetch

HERE = Path(__file__).parent
N_TOKENS, BATCH = 90, 104
WORDINGS = [  # correlation over words; share of stories without any of the words
    "Write a short story about {subject} who feels {word}. Show the feeling through what happens, "
    "and never name it.",  # .73; .79: this one is used
    "Write a short story in which {subject} feels very {word}, from beginning to end. Never name "
    "the feeling.",  # .63; .73
    "Why does {subject} feel so {word}? Tell what happened in a short story, without naming the "
    "feeling.",  # .46; .44
    "Write the thoughts of {subject} who feels extremely {word} right now. Do not name the "
    "feeling.",  # .24; .48
]
SUBJECTS = """a young woman in the city; an old man by the sea; a boy at school
two sisters on a train
a doctor at work; a farmer in autumn; a student before the holidays; a father at home
a girl in the garden; a soldier far from home; a teacher in the classroom; a cook in a restaurant
a grandmother in the kitchen; a driver on the road; a singer before a concert; a nurse at night
a painter in her studio; a fisherman on his boat; a child in the snow; a couple on holiday
a clerk in an office; a mother at the station; a man in a hotel; a girl at a party
a hiker in the mountains; a baker in the morning; a writer at his desk; a player after the match
a traveller at the airport; a boy with a dog; a widow in her house; a shopkeeper in the village
a neighbour on the stairs; a pilot before the flight; a prisoner in a cell; a guest at a wedding
a gardener in spring; a musician on the street; a woman in the library; a brother at the hospital"""
NAMED = re.compile(  # the words, and what is made from them
    r"\b(un|dis)?(happ(y|i)|delight|glad|pleas(ed|ing|ant|ure)|excit|arous|astonish|tens(e|ion)"
    r"|alarm|afraid|anger|angr|annoy|frustrat|distress|miser(y|abl|ies)|sad|gloom|depress"
    r"|bor(ed|ing|edom)\b|tired|sleepy|sleepi|calm|relax|seren|satisf|content(ed|ment|edly|edness)?\b)"
)


def subjects() -> list[str]:
    """The forty people that stories are about."""
    return [each.strip() for line in SUBJECTS.splitlines() for each in line.split(";")]


@torch.no_grad()
def main() -> None:
    folder = str(fetch())
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    chat = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
    pairs = [(word, subject) for subject in subjects() for word in read_words().words]
    stories, rounds = {}, 0
    while len(stories) < len(pairs):
        missing = [pair for pair in pairs if pair not in stories]
        for start in range(0, len(missing), BATCH):
            now = missing[start : start + BATCH]
            torch.manual_seed(1000 * rounds + start)
            requests = [chat.format(WORDINGS[0].format(subject=s, word=w)) for w, s in now]
            asked = tokenizer(requests, return_tensors="pt", padding=True)
            written = model.generate(
                **asked,
                max_new_tokens=N_TOKENS,
                do_sample=False,
                logits_processor=LogitsProcessorList([one_of_the_likeliest]),
                cache_implementation="static",
                disable_compile=True,
                pad_token_id=end,
                eos_token_id=end,
            )[:, asked["input_ids"].shape[1] :]
            texts = tokenizer.batch_decode(written, skip_special_tokens=True)
            for pair, text in zip(now, texts, strict=True):
                whole = len(tokenizer(text)["input_ids"]) >= 60
                if whole and not NAMED.search(text.lower()):
                    stories[pair] = " ".join(text.split())
        rounds += 1
        print(f"round {rounds}: {len(stories)} of {len(pairs)}", flush=True)
    with (HERE / "stories.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["word", "subject", "text"])
        writer.writerows((*pair, stories[pair]) for pair in pairs)


if __name__ == "__main__":
    main()
