"""Answers of SmolLM2 to requests of many kinds on many subjects: text to train a dictionary on.

make data D=chat                      # an hour on one core
python -m data.chat.make --minutes 20
"""

import argparse
import random

from data import sampling
from data.chat.task import HELD_OUT, TEXTS

# Each subject belongs to one group, and each group has requests that suit it.
GROUPS = {
    "things": (
        """
        bread|cheese|coffee|tea|sugar|salt|rice|potatoes|tomatoes|apples|oranges|chocolate|wine|milk
        bicycles|cars|trains|ships|aeroplanes|bridges|roads|houses|windows|doors|chairs|tables|beds
        clocks|watches|lamps|mirrors|knives|scissors|hammers|ladders|ropes|nets|boxes|bags|keys
        phones|computers|cameras|radios|batteries|robots|printers|satellites|telescopes|microscopes
        cotton|wool|silk|leather|paper|glass|steel|gold|silver|copper|plastic|concrete|wood|rubber
        shirts|shoes|hats|coats|gloves|rings|umbrellas|pencils|books|newspapers|letters|maps|money
        dogs|cats|horses|cows|sheep|chickens|bees|ants|spiders|snakes|frogs|whales|sharks|eagles
        wolves|bears|lions|elephants|monkeys|mice|roses|oak trees|grass|mushrooms|seaweed|corn
        """,
        [
            "What are {} used for?",
            "Describe {} to someone who has never seen any.",
            "Write a product review of {}.",
            "Write a poem about {}.",
            "Give me five facts about {}.",
            "Write an advertisement for {}.",
            "Write a short story in which {} play a part.",
            "What is the history of {}?",
            "Make a list of words that have to do with {}.",
            "What should I know before I buy or keep {}?",
            "Write three quiz questions about {}, with answers.",
            "Compare {} with something similar.",
        ],
    ),
    "science": (
        """
        gravity|light|sound|heat|electricity|magnets|atoms|molecules|acids|the periodic table|energy
        the sun|the moon|planets|stars|galaxies|black holes|comets|the big bang|volcanoes
        earthquakes
        rain|wind|clouds|snow|hurricanes|climate change|oceans|rivers|deserts|forests|glaciers
        cells|genes|evolution|bacteria|viruses|vaccines|the heart|the brain|blood|bones|digestion
        photosynthesis|fossils|dinosaurs|ecosystems|recycling|nuclear power|solar panels|engines
        fractions|prime numbers|triangles|probability|statistics|algebra|geometry|infinity
        percentages
        algorithms|databases|the internet|encryption|operating systems|machine learning|memory chips
        """,
        [
            "Explain {} to a child.",
            "Explain {} in a few technical sentences.",
            "Why does it matter to understand {}?",
            "Write an encyclopedia entry about {}.",
            "Give an example from daily life that has to do with {}.",
            "Ask and answer three questions about {}.",
            "Write the summary of a research paper about {}.",
            "What do most people get wrong about {}?",
            "Write the notes of a lesson about {}.",
            "List the steps of an experiment about {}.",
        ],
    ),
    "society": (
        """
        schools|universities|hospitals|banks|courts|prisons|parliaments|elections|taxes|laws|police
        armies|wars|peace treaties|revolutions|empires|colonies|slavery|trade|farming|factories
        cities|villages|housing|traffic|public transport|tourism|immigration|poverty|insurance
        marriage|families|children|old age|friendship|neighbours|holidays|funerals|religion|charity
        newspapers and television|advertising|social media|privacy|free speech|human rights|unions
        football|tennis|swimming|running|chess|dancing|cooking|gardening|painting|photography
        music|opera|theatre|films|novels|poetry|architecture|fashion|museums|video games
        """,
        [
            "Write a news report about {}.",
            "Write a letter to the editor about {}.",
            "What are the arguments for and against {}?",
            "Write a speech about {}.",
            "Write a short dialogue between two people about {}.",
            "How have {} changed over the last hundred years?",
            "Write a formal email to a manager about {}.",
            "Write the opening of an essay about {}.",
            "Tell a joke about {}.",
            "Give some advice to a beginner about {}.",
            "Write an angry complaint about {}.",
            "Write a thank-you note that has to do with {}.",
        ],
    ),
    "places": (
        """
        France|Germany|Italy|Spain|Portugal|Greece|Turkey|Poland|Russia|Sweden|Norway|Ireland
        Scotland
        England|the Netherlands|Switzerland|Austria|Hungary|Egypt|Morocco|Nigeria|Kenya|South Africa
        Ethiopia|India|China|Japan|Korea|Thailand|Vietnam|Indonesia|Australia|New Zealand|Canada
        Mexico|Brazil|Argentina|Chile|Peru|Cuba|Iran|Iraq|Israel|Saudi Arabia|Pakistan|Texas|Alaska
        California|New York|London|Paris|Rome|Berlin|Tokyo|Moscow|Cairo|Sydney|Hawaii|the Alps
        the Amazon|the Sahara|the Pacific Ocean|the Mediterranean Sea|Antarctica|the Himalayas
        """,
        [
            "Tell me about the geography of {}.",
            "What is the weather like in {}?",
            "Plan a three-day trip to {}.",
            "Write a travel diary from {}.",
            "What do people eat in {}?",
            "Tell me something about the history of {}.",
            "Write a short story set in {}.",
            "What languages are spoken in {}?",
            "Describe the people and customs of {}.",
            "What is {} famous for?",
        ],
    ),
    "people": (
        """
        Albert Einstein|Isaac Newton|Marie Curie|Charles Darwin|Galileo|Leonardo da Vinci|Aristotle
        Plato|Julius Caesar|Cleopatra|Napoleon|Queen Victoria|George Washington|Abraham Lincoln
        Martin Luther King|Nelson Mandela|Mahatma Gandhi|William Shakespeare|Jane Austen|Mark Twain
        Charles Dickens|Mozart|Beethoven|Bach|Picasso|Van Gogh|Michelangelo|Columbus|Marco Polo
        a doctor|a nurse|a teacher|a farmer|a soldier|a lawyer|a judge|a baker|a carpenter|a plumber
        a pilot|a sailor|a singer|a painter|a writer|an engineer|a scientist|a waiter|a firefighter
        a king|a thief|a monk|a student|a grandmother|a young girl|an old man|a widow|an orphan
        """,
        [
            "Write a short biography of {}.",
            "Write a story about {}.",
            "Write an interview with {}.",
            "Describe a day in the life of {}.",
            "What can we learn from {}?",
            "Write a poem about {}.",
            "Write a letter from {} to a friend.",
            "Describe {} in a few sentences.",
        ],
    ),
    "tasks": (
        """
        add two numbers|sort a list|count the words in a text|reverse a string
        find the largest number
        read a file|check a password|draw a circle|compute an average|find prime numbers
        parse a date
        download a page|print a table|remove duplicates|merge two lists|compute the area of a square
        convert degrees to fahrenheit|simulate a die|search a list|make a to-do list|store names
        """,
        [
            "Write a Python function to {}.",
            "Write a JavaScript function to {}.",
            "Write a C program to {}.",
            "Explain step by step how a program can {}.",
            "Write tests for a function to {}.",
            "Write the documentation of a function to {}.",
            "Why does my code fail when I try to {}?",
        ],
    ),
    "skills": (
        """
        bake a cake|make soup|cook pasta|grill fish|brew tea|grow tomatoes|paint a wall|fix a tap
        change a tyre|build a shelf|clean a kitchen|wash clothes|save money|write a letter
        give a speech
        learn a language|pass an exam|find a job|lose weight|sleep better|stay calm|make friends
        raise a puppy|ride a horse|swim|play the piano|play the guitar|draw a face|take a photograph
        start a business|sell a house|rent a flat|plan a wedding|pack a suitcase|climb a mountain
        """,
        [
            "How do I {}? Answer in numbered steps.",
            "Write a recipe or a plan: {}.",
            "What do I need in order to {}?",
            "What are common mistakes when people try to {}?",
            "Tell me about the first time that you tried to {}.",
            "Write an encouraging message to a friend who wants to {}.",
            "Write a blog post on how to {}.",
        ],
    ),
    "sums": (
        [
            f"{a} {sign} {b}"
            for a, b in zip(range(7, 96, 4), range(93, 5, -4), strict=False)
            for sign in ("plus", "minus", "times", "divided by")
        ],
        [
            "What is {}? Show your work.",
            "Write a word problem whose solution is {}, and solve it.",
            "Explain to a pupil how to work out {}.",
        ],
    ),
}
ENDINGS = (
    "Be brief.",
    "Use simple words.",
    "Be formal.",
    "Be funny.",
    "Use a table or a list.",
    "Answer in Spanish.",
    "Answer in French.",
    "Answer in German.",
    "Write it as a dialogue.",
    "Write in capital letters.",
)


def subjects(group: str, *, held_out: bool) -> list[str]:
    """A group's subjects: every 16th, or the others."""
    whole = GROUPS[group][0]
    if isinstance(whole, str):
        whole = [each.strip() for line in whole.strip().splitlines() for each in line.split("|")]
    return [each for i, each in enumerate(whole) if (i % HELD_OUT == 0) == held_out]


def prompts(n: int, seed: int) -> list[str]:
    """Requests drawn at random: a group, a subject, a form and, in one of four, an ending.

    Every 16th seed draws from the held-out subjects, the others never do.
    """
    generator = random.Random(seed)
    out = []
    for _ in range(n):
        group = generator.choice(list(GROUPS))
        subject = generator.choice(subjects(group, held_out=seed % HELD_OUT == 0))
        request = generator.choice(GROUPS[group][1]).format(subject)
        out.append(
            f"{request} {generator.choice(ENDINGS)}" if generator.random() < 0.25 else request
        )
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    sampling.write_answers(TEXTS, prompts, minutes=arguments.minutes, device=arguments.device)


if __name__ == "__main__":
    main()
