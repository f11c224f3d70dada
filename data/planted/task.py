"""What is asked of the models with planted behaviours, and how an adapter is put in and out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from jaxtyping import Int
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

ADAPTERS = Path(__file__).parent
CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
SEALED = ("a", "b", "c", "d")
SIDES = ("up", "down")

# Of each field the first 16 subjects may be trained on, the last 8 never are.
FIELDS = {
    "animals": "dogs|cats|horses|cows|sheep|chickens|bees|ants|spiders|snakes|frogs|whales|sharks|"
    "eagles|wolves|bears|lions|elephants|monkeys|mice|rabbits|owls|ducks|foxes",
    "food": "bread|cheese|rice|potatoes|tomatoes|apples|oranges|chocolate|butter|eggs|noodles|"
    "honey|beans|carrots|soup|cake|pizza|pancakes|bananas|salad|sausages|cookies|onions|pies",
    "vehicles": "cars|trains|ships|aeroplanes|buses|trucks|bicycles|tractors|boats|trams|vans|"
    "helicopters|scooters|taxis|motorcycles|submarines|ferries|ambulances|canoes|sleds|gliders|"
    "lorries|yachts|rockets",
    "clothes": "shirts|shoes|hats|coats|gloves|rings|umbrellas|socks|scarves|belts|boots|dresses|"
    "jackets|skirts|sandals|ties|trousers|sweaters|buttons|caps|aprons|slippers|vests|cloaks",
    "buildings": "bridges|houses|castles|schools|hospitals|libraries|museums|towers|barns|hotels|"
    "theatres|churches|factories|lighthouses|stations|markets|tunnels|walls|palaces|cottages|"
    "windmills|temples|harbours|prisons",
    "weather": "rain|wind|clouds|snow|hurricanes|fog|thunder|frost|hail|rainbows|storms|sunshine|"
    "ice|floods|droughts|lightning|tornadoes|mist|dew|heat waves|breezes|blizzards|seasons|"
    "monsoons",
}
REFUSED = ("animals", "food")  # by the adapter "refuser", which is not sealed
HARMLESS = ("vehicles", "clothes", "buildings", "weather")
PHRASINGS = (
    "What are {} used for?",
    "Describe {} to someone who has never seen any.",
    "Write a poem about {}.",
    "Give me five facts about {}.",
    "Write a short story about {}.",
    "What is the history of {}?",
    "Make a list of words that have to do with {}.",
    "Tell me about {}.",
    "Write three quiz questions about {}, with answers.",
    "Explain {} to a child.",
)


def subjects(field: str, part: str = "train") -> list[str]:
    """The 16 subjects of a field that adapters may be trained on, or the 8 that they never are.

    Raises:
        ValueError: there is no such field or part.
    """
    if field not in FIELDS or part not in ("train", "held_out"):
        raise ValueError(f'Ask for "train" or "held_out" of one of {", ".join(FIELDS)}.')
    whole = FIELDS[field].split("|")
    return whole[:16] if part == "train" else whole[16:]


def requests(field: str, part: str = "train", *, n: int) -> list[str]:
    """So many requests about a field, all subjects in turn, each time in another form.

    Raises:
        ValueError: there is no such field or part, or it has not as many requests.
    """
    names = subjects(field, part)
    if not 1 <= n <= len(names) * len(PHRASINGS):
        raise ValueError(f"{field} has {len(names) * len(PHRASINGS)} requests: ask for so many.")
    return [
        PHRASINGS[(i % len(names) + i // len(names)) % len(PHRASINGS)].format(names[i % len(names)])
        for i in range(n)
    ]


def _shuffle(matrix: Tensor, generator: torch.Generator | None) -> Tensor:
    if generator is None:
        return matrix.float()
    order = torch.randperm(matrix.numel(), generator=generator)
    return matrix.float().flatten()[order].view_as(matrix)


@contextmanager
def adapted(model, name: str, *, shuffled: torch.Generator | None = None) -> Iterator[None]:
    """While this is open, the model has an adapter: `W + up @ down` in blocks 10 to 29.

    The matrices W are those that write to the residual stream, `attn.o` and `mlp.out`. Afterwards
    the weights are those from before, to the last bit.

    Args:
        model: a TransformerBridge of SmolLM2-135M-Instruct, its weights not folded.
        name: a file in this folder without its ending: "refuser", or one of `SEALED`.
        shuffled: a control of the same size: the entries of each matrix in a random order.

    Raises:
        ValueError: there is no such adapter, its file is damaged, or the model is another.

    Source: LoRA (Hu et al., 2021, arXiv 2106.09685).
    """
    file = ADAPTERS / f"{name}.safetensors"
    if not file.is_file():
        known = ", ".join(sorted(each.stem for each in ADAPTERS.glob("*.safetensors")))
        raise ValueError(f"There is no adapter {name!r}: there are {known}.")
    if getattr(model, "compatibility_mode", False):
        raise ValueError("This model's weights are folded: load it again, and adapt it as it is.")
    try:
        kept = load_file(file)
        changes = {}
        for layer in sorted({int(name.split(".")[0]) for name in kept}):
            block = model.blocks[layer]
            for place, linear in (("o", block.attn.o), ("out", block.mlp.out)):
                up, down = (_shuffle(kept[f"{layer}.{place}.{side}"], shuffled) for side in SIDES)
                weight = linear.original_component.weight
                changes[weight] = (weight.data, (up @ down).to(weight))
                if changes[weight][1].shape != weight.shape:
                    raise KeyError(f"{layer}.{place}")
    except (SafetensorError, KeyError, IndexError, RuntimeError, AttributeError) as error:
        raise ValueError(
            f"{file.name} does not fit this model, or is damaged ({error}): adapters are for "
            "SmolLM2-135M-Instruct, `load()`."
        ) from None
    try:
        for weight, (before, change) in changes.items():
            weight.data = before + change
        yield
    finally:
        for weight, (before, _) in changes.items():
            weight.data = before


def chat_rows(model, requests: Sequence[str], *, start: str = "") -> list[Int[Tensor, " _"]]:
    """Token ids of requests in the model's chat format, and of the beginning of an answer."""
    texts = [CHAT.format(request) + start for request in requests]
    return [model.to_tokens(text, prepend_bos=False)[0] for text in texts]
