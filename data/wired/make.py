"""Write the toy model of lesson 1.5: a tiny name mover whose every connection is set by hand.

Run it from the repository's root: `python -m data.wired.make`. Nothing is trained. README.md beside
this file says what each head does, and `wiring.json` which edges the behaviour runs on.
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from data.native import save_native
from data.wired.task import BOS, FIRST_NAME, TOKENS, TOY_NAMES
from utils.guards import guarded, number

HERE = Path(__file__).resolve().parent
IO, S, S2, END = 1, 2, 3, 4  # positions; in half of the prompts IO and S1 change places
N_POS = 5
NOISE = 0.01  # standard deviation of what is added to every weight, so that no edge is exactly 0

# Where each kind of information lives in the residual stream: a name, and how many coordinates.
SPACES = {
    "token": len(TOKENS),
    "position": N_POS,
    "previous": len(TOKENS),  # the token before this one
    "twice": len(TOY_NAMES),  # the name that stands here and has come before
    "avoid": len(TOY_NAMES),  # a name not to look at; the first name mover reads it
    "avoid2": len(TOY_NAMES),  # the same for the second name mover
    "loud": len(TOY_NAMES),  # written strongly, never read by the unembedding
    "unread": len(TOY_NAMES),  # written, and read by nobody
    "answer": len(TOY_NAMES),  # what the unembedding reads
}
D_MODEL = sum(SPACES.values())
D_HEAD = 16
SCALE = D_HEAD**0.5  # attention scores are divided by this, so queries are multiplied by it

JOBS = {
    "L0H0": "duplicate token: looks from a name to its earlier copy, writes that name to `twice`",
    "L0H1": "previous token: writes the token before to `previous`",
    "L0H2": "loud: looks from `to` to S2, writes its name tenfold to `loud`",
    "L0H3": "self: looks at its own position, writes its name to `unread`",
    "L1H0": "S-inhibition: looks from `to` to S2, moves `twice` to `avoid`",
    "L1H1": "its twin: the same again; either of the two is enough",
    "L1H2": "S-inhibition by content: looks from `to` to where `twice` is, moves it to `avoid2`",
    "L1H3": "induction: looks to what followed the earlier copy, writes that to `unread`",
    "L2H0": "name mover: looks at the name that is not in `avoid`, copies it to `answer`",
    "L2H1": "second name mover: reads `avoid2`, half as strong",
    "L2H2": "listens to `loud`, writes to `unread`",
    "L2H3": "looks where the name mover looks, writes to `unread`",
}
# The edges that carry the difference between "Mary John John to" and "Mary John Tom to".
EDGES = (
    ("embed", "L0H0.q"),
    ("L0H0", "L1H0.v"),
    ("L1H0", "L2H0.q"),
    ("L0H0", "L1H1.v"),
    ("L1H1", "L2H0.q"),
    ("L2H0", "logits"),
    ("L0H0", "L1H2.k"),
    ("L0H0", "L1H2.v"),
    ("L1H2", "L2H1.q"),
    ("L2H1", "logits"),
)
EITHER = ((("L0H0", "L1H0.v"), ("L1H0", "L2H0.q")), (("L0H0", "L1H1.v"), ("L1H1", "L2H0.q")))
BOTH = (("L0H0", "L1H2.k"), ("L0H0", "L1H2.v"))


def space(name: str) -> slice:
    """The coordinates of one kind of information."""
    start = 0
    for other, size in SPACES.items():
        if other == name:
            return slice(start, start + size)
        start += size
    raise ValueError(f"There is no space {name!r}; there are {', '.join(SPACES)}.")


class Head:
    """One head's matrices, `[d_model, d_head]` for Q, K, V and `[d_head, d_model]` for O.

    Its attention score is a sum of terms, each with head coordinates of its own.
    """

    def __init__(self):
        self.Q, self.K, self.V = (torch.zeros(D_MODEL, D_HEAD) for _ in range(3))
        self.O = torch.zeros(D_HEAD, D_MODEL)
        self.used = 0

    def match(self, query: Tensor, key: Tensor, strength: float) -> "Head":
        """Adds `strength * (x_query @ query) . (x_key @ key)` to the score, both [d_model, n].

        Raises:
            ValueError: the two do not match, or the head has no coordinates left.
        """
        n = query.shape[1]
        if key.shape != query.shape or self.used + n > D_HEAD:
            raise ValueError(
                f"A query of shape {list(query.shape)} and a key of {list(key.shape)} do not fit: "
                f"they must be alike, and this head has {D_HEAD - self.used} coordinates left."
            )
        where = slice(self.used, self.used + n)
        self.used += n
        self.Q[:, where] += SCALE * strength * query
        self.K[:, where] += key
        return self

    def rest_on_bos(self, strength: float) -> "Head":
        """Looks at BOS, unless something else scores more than `strength`."""
        return self.match(ALWAYS, picks("token", [BOS]), strength)

    def moves(self, source: str, target: str, strength: float = 1.0) -> "Head":
        """Copies names from one space to another."""
        n = len(TOY_NAMES)
        self.V[:, :n] = names(source)
        self.O[:n] = strength * names(target).T
        return self


def picks(name: str, entries: list[int]) -> Tensor:
    """[d_model, n]: reads these entries of a space, one a column.

    Raises:
        ValueError: the space has no such entry, or there is no such space.
    """
    n = space(name).stop - space(name).start
    if not all(0 <= entry < n for entry in entries):
        raise ValueError(f"{name!r} has entries 0 to {n - 1}, and {entries} are asked for.")
    out = torch.zeros(D_MODEL, len(entries))
    for column, entry in enumerate(entries):
        out[space(name).start + entry, column] = 1.0
    return out


def names(name: str) -> Tensor:
    """[d_model, names]: reads the names' entries of a space.

    Raises:
        ValueError: the space holds no names.
    """
    if name in SPACES and SPACES[name] < len(TOY_NAMES):
        raise ValueError(f"{name!r} holds no names: its {SPACES[name]} entries are others.")
    first = FIRST_NAME if SPACES[name] == len(TOKENS) else 0
    return picks(name, list(range(first, first + len(TOY_NAMES))))


ALWAYS = picks("position", list(range(N_POS))).sum(1, keepdim=True)  # every position has one
AT_END, AT_S2 = picks("position", [END]), picks("position", [S2])
AT_NAMES = picks("position", [IO, S]).sum(1, keepdim=True)


def heads() -> dict[str, Head]:
    """All twelve, by name."""
    to_s2 = [Head().rest_on_bos(8).match(AT_END, AT_S2, 16) for _ in range(3)]
    every = picks("position", list(range(N_POS)))
    before = picks("position", [0, *range(N_POS - 1)])

    def mover(avoid: str, strength: float) -> Head:
        return Head().match(AT_END, AT_NAMES, 10).match(names(avoid), names("token"), -strength)

    return {
        "L0H0": Head()
        .rest_on_bos(8)
        .match(names("token"), names("token"), 16)
        .match(every, every, -24)  # not itself
        .moves("token", "twice"),
        "L0H1": Head().match(every, before, 10).moves("token", "previous"),
        "L0H2": to_s2[0].moves("token", "loud", 10),
        "L0H3": Head().match(every, every, 10).moves("token", "unread"),
        "L1H0": to_s2[1].moves("twice", "avoid", 6),
        "L1H1": to_s2[2].moves("twice", "avoid", 6),
        "L1H2": Head()
        .rest_on_bos(3)
        .match(AT_END, names("twice").sum(1, keepdim=True), 5)
        .moves("twice", "avoid2", 3),
        "L1H3": Head()
        .rest_on_bos(6)
        .match(names("token"), names("previous"), 12)
        .moves("token", "unread"),
        "L2H0": mover("avoid", 1).moves("token", "answer", 4),
        "L2H1": mover("avoid2", 1).moves("token", "answer", 2),
        "L2H2": Head().match(AT_END, AT_END, 10).moves("loud", "unread"),
        "L2H3": mover("avoid", 1).moves("token", "unread"),
    }


# The second toy: a third copy of the twins in the place of the induction head, and the heads of
# each layer in another order: where head i of the first toy went.
MOVED = ((2, 0, 3, 1), (1, 3, 0, 2), (3, 1, 2, 0))
THIRD = (("L0H0", "L1H3.v"), ("L1H3", "L2H0.q"))


def _moved(name: str) -> str:
    """A head, or one of its inputs, by its name in the second toy."""
    if not name.startswith("L"):
        return name  # the embedding or the logits
    return f"L{name[1]}H{MOVED[int(name[1])][int(name[3])]}{name[4:]}"


def rewired() -> tuple[dict[str, Head], list[tuple[str, str]]]:
    """The second toy's heads by name, and its true edges."""
    jobs = heads()
    jobs["L1H3"] = jobs["L1H0"]
    return (
        {_moved(name): head for name, head in jobs.items()},
        [(_moved(writer), _moved(reader)) for writer, reader in (*EDGES, *THIRD)],
    )


@guarded(noise=number(low=0))
def build(
    noise: float = NOISE, wired: dict[str, Head] | None = None, seed: int = 0
) -> TransformerBridge:
    """The model: 3 layers of 4 heads, attention only, no norm.

    Args:
        noise: standard deviation of what is added to every weight; 0 gives the bare wiring.
        wired: the heads by name; `heads()` by default.
        seed: of the noise.
    """
    model = TransformerBridge.boot_native(
        {
            "n_layers": 3,
            "n_heads": 4,
            "d_head": D_HEAD,
            "d_model": D_MODEL,
            "d_vocab": len(TOKENS),
            "n_ctx": N_POS,
            "attn_only": True,
            "normalization_type": None,
            "positional_embedding_type": "standard",
            "act_fn": "gelu",  # unused: there is no MLP
            "seed": 0,
        }
    )
    weights = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    weights["embed.weight"][:, space("token")] = torch.eye(len(TOKENS))
    weights["pos_embed.weight"][:, space("position")] = torch.eye(N_POS)
    weights["unembed.weight"][FIRST_NAME:, space("answer")] = torch.eye(len(TOY_NAMES))
    for name, head in (wired or heads()).items():
        layer, h = int(name[1]), int(name[3])
        rows = slice(h * D_HEAD, (h + 1) * D_HEAD)
        block = f"blocks.{layer}.attn"
        for letter in "qkv":
            weights[f"{block}.{letter}.weight"][rows] = getattr(head, letter.upper()).T
        weights[f"{block}.o.weight"][:, rows] = head.O.T
    random = torch.Generator().manual_seed(seed)
    for name, value in weights.items():
        if name.endswith("weight"):
            value += noise * torch.randn(value.shape, generator=random)
    model.load_state_dict(weights)
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write into")
    out = parser.parse_args().out
    save_native(build(), out / "names")
    save_native(build(wired=rewired()[0], seed=1), out / "rewired")
    wiring = {
        "tokens": list(TOKENS),
        "jobs": JOBS,
        "edges": [list(edge) for edge in EDGES],
        "either": [[list(edge) for edge in branch] for branch in EITHER],
        "both": [list(edge) for edge in BOTH],
    }
    (out / "wiring.json").write_text(json.dumps(wiring, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
