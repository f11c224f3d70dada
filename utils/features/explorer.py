"""An explorer of a dictionary's latents, and a game that asks what a description is worth."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, SupportsIndex

import anywidget
import torch
import traitlets
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from utils.features.dashboards import Activity, Corpus, logit_effect
from utils.features.guards import of_texts
from utils.features.sae import TopKSAE, harvest
from utils.guards import count, evaluating, filled, guarded, layer_of
from utils.views import Html, Live, in_notebook

SIDE = 20  # tokens shown on each side of a marked one
LONGEST = 200  # tokens of a sentence that is typed
LEAD = "I read about"  # a search reads its text after these words: a first word is like no other
OFTEN = 20  # tokens at which a latent is active, to be drawn or to have a colour
SHADES = ["#8ecdf0", "#f5b942", "#6fd0ad", "#f2e55c", "#e8a5ca", "#f29a78", "#bfaeea", "#c4d66b"]
EMPTY: Mapping[int, str] = MappingProxyType({})
BOX = "background:white;color:#1a1a1a;padding:.5em 1em;max-width:960px;line-height:1.6"


class Snippet(NamedTuple):
    """A piece of text, the activation of one latent at each token, and the marked token's place."""

    tokens: list[str]
    acts: list[float]
    at: int


class Card(NamedTuple):
    """What the explorer shows of a latent; `histogram` is counts and edges of its activations."""

    latent: int
    density: float
    histogram: tuple[list[int], list[float]]
    top: list[Snippet]
    middle: list[Snippet]
    bottom: list[Snippet]
    promoted: list[str]
    suppressed: list[str]


class ReadText(NamedTuple):
    """Tokens of a text, (latent, activation) of all active at each, and who gets a colour."""

    tokens: list[str]
    strongest: list[list[tuple[int, float]]]
    colours: list[int]


class Hit(NamedTuple):
    """A latent that a search found; `sparkline` counts its activations from 0 to the highest."""

    latent: int
    score: float
    example: Snippet
    sparkline: list[int]


class Question(NamedTuple):
    """A round of the game: read the examples, then say which snippets are active where marked."""

    source: str
    examples: list[Snippet]
    snippets: list[Snippet]
    active: list[bool]


def _a_latent(value: object, given: Mapping) -> str | None:
    top = given["self"].active.d_sae - 1
    fits = isinstance(value, SupportsIndex) and not isinstance(value, bool) and 0 <= value <= top
    return None if fits else f"is {value!r}: give a whole number from 0 to {top}"


def _some_text(value: object, _: Mapping) -> str | None:
    return None if isinstance(value, str) and value.strip() else "is empty: type some words"


def _fits(active: Activity, given: Mapping) -> str | None:
    n = given["sae"].d_sae
    wrong = None if active.d_sae == n else f"has {active.d_sae} latents, and `sae` has {n}"
    return wrong or of_texts()(active.index, given)


class Latents:
    """A dictionary's latents as seen through a corpus: all that the explorer shows.

    Attributes:
        counts: [d_sae], at how many tokens of the corpus each is active.
        rarity: [d_sae], log(1 / density), by which activations are weighed in a search.
        vocabulary: the text of each token id.
    """

    @guarded(model=evaluating, active=_fits, layer=layer_of())
    def __init__(self, model, sae: TopKSAE, texts: Corpus, active: Activity, *, layer: int):
        self.model, self.sae, self.layer = model, sae, layer
        self.texts, self.active = texts, active
        self.counts = torch.bincount(active.index[active.value > 0], minlength=active.d_sae)
        self.rarity = (len(texts.tokens) / self.counts.clamp(min=1)).log()
        self._to_logits = [w.detach().float().cpu() for w in (model.ln_final.weight, model.W_U)]
        flat = active.value.flatten().argsort(descending=True)[: int(self.counts.sum())]
        flat = flat[active.index.flatten()[flat].argsort(stable=True)]
        # At which tokens each latent is active, strongest first.
        self._at = (flat // active.index.shape[1]).split(self.counts.tolist())
        self.vocabulary = [model.tokenizer.decode([i]) for i in range(model.cfg.d_vocab)]
        self._cards: dict[tuple[int, int], Card] = {}

    @guarded(latent=_a_latent, n=count())
    def card(self, latent: int, *, n: int = 4) -> Card:
        """Its histogram, `n` samples or fewer from each part of its range, no text twice, and the
        eight tokens whose logits it raises and lowers most (by the direct path alone)."""
        if (found := self._cards.get((latent, n))) is None:
            acts = self.active.of([latent])[:, 0]
            parts = (
                [_snippet(self.texts, acts, at, self.vocabulary) for at in part]
                for part in parts_of_range(acts, self.texts.text, n)
            )
            effect = logit_effect(self.sae.W_dec[latent].detach().cpu(), *self._to_logits)
            logits = ([self.vocabulary[i] for i in (s * effect).topk(8).indices] for s in (1, -1))
            density = int(self.counts[latent]) / len(acts)
            found = Card(int(latent), density, _histogram(acts), *parts, *logits)
            self._cards[latent, n] = found
        return found

    @guarded(latent=_a_latent)
    def words(self, latent: int, *, n: int = 3) -> list[str]:
        """The texts of the tokens where it is strongest, no word twice."""
        strongest = self.texts.tokens[self._at[latent][:30]].tolist()
        said = (self.vocabulary[i].strip() or repr(self.vocabulary[i]) for i in strongest)
        return list({word.lower(): word for word in said}.values())[:n]

    @guarded(text=_some_text)
    def read(self, text: str) -> ReadText:
        """The latents that are active at each token of a text.

        Up to eight get a colour. They are active at 20 to 10% of the corpus's tokens, are the
        strongest of these at some token, and have most activation in the text, times `rarity`.

        Raises:
            ValueError: the text is empty, or has more than `LONGEST` tokens.
        """
        tokens, acts = self._encoded(text)
        values, indices = acts.topk(min(self.sae.k, self.active.d_sae), dim=-1)
        rows = zip(indices.tolist(), values.tolist(), strict=True)
        strongest = [[(i, v) for i, v in zip(*row, strict=True) if v > 0] for row in rows]
        fit = (self.counts >= OFTEN) & (self.counts <= 0.1 * len(self.texts.tokens))
        strongest_fit = F.one_hot((acts * fit).argmax(1), len(fit)).amax(0)
        weight = acts.sum(0) * self.rarity * fit * strongest_fit
        best = weight.topk(min(8, len(weight))).indices.tolist()
        return ReadText(tokens, strongest, [i for i in best if weight[i] > 0])

    @guarded(text=_some_text, n=count())
    def search(self, text: str, n: int = 8) -> list[Hit]:
        """The latents of a text, best first: mean activation over its tokens times `rarity`.

        The text is read after the words `LEAD`, which do not count: the vector of a text's first
        word says more of its place than of the word.
        """
        acts = self._encoded(f"{LEAD} {text.strip()}")[1]
        n_lead = len(self.model.to_tokens(LEAD, prepend_bos=False)[0])
        score = acts[n_lead:].mean(0) * self.rarity * (self.counts > 0)
        best = [i for i in score.topk(min(n, len(score))).indices.tolist() if score[i] > 0]
        hits = []
        for latent, acts in zip(best, self.active.of(best).T, strict=True):
            example = _snippet(self.texts, acts, int(acts.argmax()), self.vocabulary, side=8)
            hits.append(Hit(latent, score[latent].item(), example, _histogram(acts, bins=12)[0]))
        return hits

    @guarded(n=count())
    def draw(self, n: int, *, generator: torch.Generator) -> list[int]:
        """A random draw of latents that are active at 20 tokens of the corpus or more."""
        often = (self.counts >= OFTEN).nonzero()[:, 0]
        if n > len(often):
            raise ValueError(
                f"`n` is {n}: {len(often)} latents are active at {OFTEN} tokens or more."
            )
        return often[torch.randperm(len(often), generator=generator)[:n]].tolist()

    @torch.no_grad()
    def _encoded(self, text: str) -> tuple[list[str], Float[Tensor, "pos d_sae"]]:
        """A text's tokens and the activations at each, BOS not included."""
        ids = self.model.to_tokens(text, prepend_bos=False, truncate=False)[0].cpu()
        longest = min(LONGEST, self.model.cfg.n_ctx - 1)
        if len(ids) > longest:
            raise ValueError(f"The text has {len(ids)} tokens: give at most {longest}.")
        device = self.sae.W_dec.device
        acts = self.sae.encode(harvest(self.model, [ids], layer=self.layer).to(device)).cpu()
        return [self.vocabulary[i] for i in ids.tolist()], acts


def parts_of_range(
    acts: Float[Tensor, " token"], text: Int[Tensor, " token"], n: int
) -> tuple[list[int], list[int], list[int]]:
    """Where a latent is strongest, where near to half of that, and where weakest: up to `n` tokens
    each, strongest first, no text twice; fewer where it is active in fewer than 3n texts."""
    on = acts.nonzero()[:, 0]
    if not len(on):
        return [], [], []
    here, texts, used, found = acts[on], text.tolist(), set(), []
    n = min(n, -(-len(text[on].unique()) // 3))
    for distance in (-here, (here - here.max() / 2).abs(), here):
        part: list[int] = []
        for position in on[distance.argsort(stable=True)].tolist():
            if len(part) < n and texts[position] not in used:
                used.add(texts[position])
                part.append(position)
        found.append(sorted(part, key=lambda position: -acts[position]))
    return tuple(found)


def _snippet(
    texts: Corpus, acts: Tensor, position: int, vocabulary: Sequence[str], *, side: int = SIDE
) -> Snippet:
    around, at = texts.around(position, before=side, after=side)
    tokens = [vocabulary[i] for i in texts.tokens[around].tolist()]
    return Snippet(tokens, acts[around].tolist(), at)


def _histogram(acts: Tensor, *, bins: int = 24) -> tuple[list[int], list[float]]:
    top = max(acts.max().item(), 1e-6)
    counts = torch.histc(acts[acts > 0].float(), bins, 0, top).int().tolist()
    return counts, torch.linspace(0, top, bins + 1).tolist()


# ---- HTML ---------------------------------------------------------------------------------------


def _shaded(snippet: Snippet, top: float, *, numbers: bool = True, shades: bool = True) -> str:
    """A snippet: darker where more active, the marked token underlined, with its number."""
    pieces = []
    for i, (token, act) in enumerate(zip(snippet.tokens, snippet.acts, strict=True)):
        said = _said(token.lstrip(" ") if i == 0 else token)
        if i == snippet.at:
            word = said.lstrip(" ") or said
            number = f"<sub style='line-height:0'>{act:.1f}</sub>" if numbers else ""
            said = said[: len(said) - len(word)] + f"<b><u>{word}</u></b>{number}"
        shade = f"background:rgba(86,180,233,{act / top:.2f})" if shades and act > 0 else ""
        pieces.append(f"<span style='{shade}'>{said}</span>" if shade else said)
    return f"<div style='white-space:pre-wrap;margin:.3em 0'>{''.join(pieces)}</div>"


def _said(token: str) -> str:
    return html.escape(token.replace("\n", "↵"))


def _quiet(text: str) -> str:
    return f"<span style='font-size:.88em;background:white;color:#595959'>{text}</span>"


def _bars(counts: Sequence[int], height: int, width: int) -> str:
    """A histogram; heights are square roots, so that a few strong tokens are seen too."""
    heights = (max(round(height * (c / max(*counts, 1)) ** 0.5), c > 0) for c in counts)
    style = (
        f"display:inline-block;width:{width}px;margin-right:1px;border-bottom:%dpx solid #0072B2"
    )
    bars = "".join(f"<span style='{style % h}'></span>" for h in heights)
    return f"<span role='img' aria-label='Histogram of activations'>{bars}</span>"


def _button(do: str, what: object, inside: str, *, off: bool = False, **more: object) -> str:
    """What sends {do, what} when it is pressed; `latent` shades the sentence when pointed at."""
    names = {"cls": "class", "latent": "data-latent", "pressed": "aria-pressed"}
    given = ((names.get(k, k), html.escape(str(v))) for k, v in more.items() if v != "")
    named = "".join(f" {name}='{value}'" for name, value in given) + " disabled" * off
    return f"<button type='button' data-do='{do}' data-what='{what}'{named}>{inside}</button>"


def _field(do: str, label: str, verb: str, value: object = "", **more: object) -> str:
    named = f"aria-label='{label}' placeholder='{label}' value='{html.escape(str(value))}'"
    return f"<input data-do='{do}' {named} autocomplete='off'>" + _button(do, "", verb, **more)


def _words(read: ReadText) -> str:
    """The sentence; each token has the colour of its strongest latent that has one."""
    colours, cells = dict(zip(read.colours, SHADES, strict=False)), []
    tops = {i: max(dict(row).get(i, 0) for row in read.strongest) for i in colours}
    for t, (token, row) in enumerate(zip(read.tokens, read.strongest, strict=True)):
        own = (f"{colours[i]}{round(76 + 179 * v / tops[i]):02x}" for i, v in row if i in colours)
        style = (
            f"background:{next(own, '#ececec')};color:#1a1a1a;border:0;white-space:pre;font:inherit"
        )
        number = f"<small><br>{row[0][0] if row else '-'}</small>"
        cells.append(_button("token", t, _said(token) + number, style=style))
    return f"<div class='htf-words' role='group' aria-label='The sentence'>{''.join(cells)}</div>"


def _card(card: Card, layer: int, note: str = "", read: ReadText | None = None) -> str:
    top = card.histogram[1][-1]
    parts = [f"<b>Latent {card.latent}</b> · active at {card.density:.2%} of the tokens{note}"]
    if read:
        acts = [dict(row).get(card.latent, 0.0) for row in read.strongest]
        yours = _shaded(Snippet(read.tokens, acts, acts.index(max(acts))), max(*acts, 1e-6))
        parts += [_quiet("Your sentence") + yours] if any(acts) else []
    axis = f"<span>0</span><span>activation</span><span>{top:.1f}</span></div>"
    style = "display:flex;justify-content:space-between;width:240px;border-top:1px solid #767676"
    bars = f"<div style='margin-top:.5em'>{_bars(card.histogram[0], 52, 9)}</div>"
    parts.append(f"{bars}<div style='{style};font-size:.85em'>{axis}")
    names = ("Strongest", "Middle: near half of the strongest", "Weakest")
    for name, snippets in zip(names, (card.top, card.middle, card.bottom), strict=True):
        parts += [_quiet(name) + "".join(_shaded(each, top) for each in snippets)] * bool(snippets)
    logits = "<br>".join(_said(", ".join(map(repr, w))) for w in (card.promoted, card.suppressed))
    title = f"promoted / suppressed tokens: at layer {layer} mistrust them"
    parts.append(_quiet(f"<details><summary>{title}</summary>{logits}</details>"))
    return "".join(f"<div style='margin-bottom:.5em'>{part}</div>" for part in parts)


class _Page(anywidget.AnyWidget):
    """Parts of HTML whose buttons and fields send {do, what}, which the method `_do` answers.

    Attributes:
        parts: what the browser shows; all other state stays in Python.
        acts: for a latent, its activation at each token of the sentence.
    """

    _esm, _css = (Path(__file__).with_suffix(end) for end in (".js", ".css"))
    parts, acts, said = (traitlets.Dict().tag(sync=True) for _ in range(3))

    def __init__(self):
        super().__init__()
        self.on_msg(lambda _, asked, __: self.answer(**asked))

    def answer(self, do: str, what: str = "") -> None:
        """Does what was asked, or says in one sentence why not."""
        sentence = ""
        try:
            self._do(do, what)
        except ValueError as error:
            sentence = str(error).replace("`", "")
        self.said = {"turn": self.said.get("turn", 0) + 1, "text": sentence}

    def _show(self, **parts: str) -> None:
        self.parts = self.parts | parts


# ---- The explorer -------------------------------------------------------------------------------

HINT = """A colour is one latent, darker where it is more active. Point at a latent to see it alone;
click it for its card. Click a word for its five strongest latents."""


class _Explorer(_Page):
    def __init__(self, latents: Latents, text: str, famous: Mapping[int, str]):
        super().__init__()
        self.latents, self.famous, self.shown = latents, famous, None
        self.generator = torch.Generator().manual_seed(0)
        self._do("read", text)
        self._find("", "")

    def _do(self, do: str, what: str | int) -> None:
        latents = self.latents
        if do == "read":
            self.read = latents.read(what)
            rows = [dict(row) for row in self.read.strongest]
            self.acts = {str(i): [r.get(i, 0) for r in rows] for row in rows for i in row}
            colours = zip(self.read.colours, SHADES, strict=False)
            legend = "".join(self._opener(i, f"background:{c};border:0") for i, c in colours)
            self._show(a_read=_field("read", "Type a sentence", "Read", what, cls="htf-main"))
            self._show(b_text=_words(self.read), c_legend=legend + _quiet(HINT), d_five="")
            if self.shown:
                self._card(*self.shown)
        elif do == "token":
            token, row = self.read.tokens[int(what)], self.read.strongest[int(what)][:5]
            rows = "".join(self._opener(i, cell=f"<span>{v:.1f}</span>") for i, v in row)
            self._show(d_five=_quiet(f"The five strongest at <b>{_said(repr(token))}</b>") + rows)
        elif do == "search":
            found = _quiet("Mean activation times log(1 / density), best first; strongest example")
            for i, _, example, sparkline in latents.search(what):
                cell, text = _bars(sparkline, 18, 4), _shaded(example, max(example.acts))
                found += self._opener(i, cell=cell, text=text)
            self._find(what, found)
        elif do == "draw":
            self._card(latents.draw(1, generator=self.generator)[0], " · drawn at random")
        elif do == "open":
            latent = int(what) if str(what).strip().isdecimal() else what
            note = f" · chosen, not drawn: {html.escape(self.famous.get(latent, ''))}"
            self._card(latent, note if latent in self.famous else "")

    def _card(self, latent: object, note: str) -> None:
        self._show(g_card=_card(self.latents.card(latent), self.latents.layer, note, self.read))
        self.shown = (latent, note)

    def _find(self, text: str, found: str) -> None:
        chosen = ((i, f"<b>{i}</b> {html.escape(note)}") for i, note in self.famous.items())
        fame = "".join(_button("open", i, inside, latent=i) for i, inside in chosen)
        fields = _field("search", "Search latents by a text", "Search", text)
        fields += _field("open", "Number", "Open") + _button("draw", "", "Random draw")
        fame = f"<div>{_quiet('Hall of fame (chosen, not drawn):')} {fame}</div>" if fame else ""
        self._show(e_find=fields, f_fame=fame, f_found=found)

    def _opener(self, latent: int, style: str = "", **row: str) -> str:
        """What opens a latent's card: number, words where it is strongest, what a row has more."""
        words = html.escape(", ".join(self.latents.words(latent)))
        if row:
            share = int(self.latents.counts[latent]) / len(self.latents.texts.tokens)
            words = row.get("text", f"{words} {_quiet(f'at {share:.2%} of tokens')}")
        inside = f"<b>{latent}</b> {row.get('cell', '')}<span>{words}</span>"
        how = {"style": style, "cls": "htf-row" if row else ""}
        return _button("open", latent, inside, latent=latent, **how)


@guarded(text=_some_text)
def explorer(latents: Latents, *, text: str, famous: Mapping[int, str] = EMPTY) -> Live | Html:
    """Type a sentence and see its latents; open their cards; search; draw at random.

    Outside a notebook, or on a page without a kernel: the sentence with the strongest latent of
    each token, and two cards.

    Args:
        famous: latents that were chosen, with a word on each; shown as chosen.
    """
    read = latents.read(text)
    cards = "".join(_card(latents.card(i), latents.layer) for i in read.colours[:2])
    rows = zip(read.tokens, read.strongest, strict=True)
    lines = [f"{token!r}: latent {row[0][0] if row else '-'}" for token, row in rows]
    note = "The strongest latent at each token. Run this cell with a kernel to type your own."
    code = f"<div style='{BOX}'>{_quiet(note)}{_words(read)}{cards}</div>"
    start = Html(code, "\n".join([note, *lines]))
    return Live(start, _Explorer(latents, text, famous)) if in_notebook() else start


# ---- The blind game -----------------------------------------------------------------------------


@guarded(latents=filled, n_examples=count(low=3))
def questions(
    reading: tuple[Corpus, Activity],
    held_out: tuple[Corpus, Activity],
    latents: Sequence[int],
    vocabulary: Sequence[str],
    *,
    source: str,
    n_examples: int = 9,
    generator: torch.Generator,
) -> list[Question]:
    """A round of the game for each latent.

    Examples on the reading split: a third each from the `parts_of_range`. Of the ten
    held-out snippets, five are active at the marked token (one from each fifth of its range) and
    five are not (tokens drawn at random), from ten texts where there are so many.

    Raises:
        ValueError: a latent is never active to read, or at fewer than five held-out tokens.
    """
    rounds = []
    for latent in latents:
        (texts, acts), (new, held) = ((t, a.of([latent])[:, 0]) for t, a in (reading, held_out))
        on, off = held.nonzero()[:, 0], (held == 0).nonzero()[:, 0]
        if min(len(on), len(off)) < 5 or not acts.any():
            raise ValueError(
                f"Latent {latent} is active at {int((acts > 0).sum())} tokens to read and "
                f"{len(on)} of {len(held)} held out: choose one with 1 and 5 or more."
            )
        chosen: list[int] = []
        for part in (*on[held[on].argsort()].tensor_split(5), *[off] * 5):
            order = part[torch.randperm(len(part), generator=generator)].tolist()
            used = {int(new.text[p]) for p in chosen}
            fresh = (p for p in order if int(new.text[p]) not in used)
            chosen.append(next(fresh, next(p for p in order if p not in chosen)))
        mixed = [chosen[i] for i in torch.randperm(10, generator=generator)]
        parts = parts_of_range(acts, texts.text, n_examples // 3)
        examples = [_snippet(texts, acts, p, vocabulary) for part in parts for p in part]
        snippets = [_snippet(new, held, p, vocabulary) for p in mixed]
        rounds.append(Question(source, examples, snippets, [bool(held[p] > 0) for p in mixed]))
    return rounds


TASK = "Something is active at the shaded tokens, from strong (first) to weak. What is it?"


class _Rounds(_Page):
    """The widget of `blind_game`: answers and sources stay in Python until they are due."""

    def __init__(self, rounds: Sequence[Question]):
        super().__init__()
        self.rounds, self.scores, self.over = list(rounds), [], True
        self._do("next", "")

    def _do(self, do: str, what: str) -> None:
        if self.over != (do == "next"):
            return
        if do == "next":
            self.over = len(self.scores) == len(self.rounds)
            self.description, self.sorted = "", [None] * 10
        elif do == "describe":
            self.description = what.strip()
        elif not self.description:
            raise ValueError("Write a description before you sort.")
        elif do == "sort":
            self.sorted[int(what[0])] = what[1:] == "+"
        elif None in self.sorted:
            raise ValueError("Sort all ten snippets first.")
        else:
            source, *_, active = self.rounds[len(self.scores)]
            right = sum(a == b for a, b in zip(self.sorted, active, strict=True))
            self.scores.append((source, right, self.description))
            self.over = True
        self._show(**(self._end() if do == "next" and self.over else self._round()))

    def _round(self) -> dict[str, str]:
        i, n, over = len(self.scores) - self.over, len(self.rounds), self.over
        (_, examples, snippets, active), rows = self.rounds[i], []
        texts = "".join(
            _shaded(each, max(each.acts) * (1 + 2 * j / len(examples)), numbers=False)
            for j, each in enumerate(examples)
        )
        top = max(max(each.acts) for each in snippets)
        for j, (snippet, given) in enumerate(zip(snippets, self.sorted, strict=True)):
            text, side = _shaded(snippet, top, numbers=over, shades=over), ""
            for sign, value, word in (("+", True, "active"), ("-", False, "not active")):
                if not over:
                    how = {"pressed": given is value, "off": not self.description}
                    side += _button("sort", f"{j}{sign}", word, **how)
                elif value == active[j]:
                    right = "✓" if given == value else "✗ wrong:"
                    side = f"<b class='htf-{given == value}'>{right} {word}</b>"
            rows.append(f"<div class='htf-snippet'>{text}<span>{side}</span></div>")
        title = "New texts: is it active at the underlined token?"
        foot = _button("submit", "", "Submit", cls="htf-main", off=None in self.sorted)
        if over:
            title, verb = "What was true:", "Next round" if i + 1 < n else "See the sources"
            next_one = _button("next", "", verb, cls="htf-main")
            foot = f"<b>{self.scores[-1][1]} of 10 right</b> {next_one}"
        label = "Write a description before you sort"
        area = f"<textarea rows='2' data-do='describe' aria-label='{label}'{' disabled' * over}>"
        return {
            "a_read": f"<b>Round {i + 1} of {n}</b> · {TASK}{texts}",
            "b_describe": f"<b>{label}</b>{area}{html.escape(self.description)}</textarea>",
            "c_sort": f"{title}{''.join(rows)}<div style='margin-top:.6em'>{foot}</div>",
        }

    def _end(self) -> dict[str, str]:
        """Score by source; here the sources are first named."""
        rows = []
        for source in dict.fromkeys(each[0] for each in self.scores):
            own = [each for each in self.scores if each[0] == source]
            said = "<br>".join(f"{right} of 10: {html.escape(text)}" for _, right, text in own)
            cells = html.escape(source), f"{sum(each[1] for each in own) / len(own):.1f}", said
            rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
        head = "<tr><th>source</th><th>right of 10</th><th>your descriptions</th></tr>"
        return {"a_read": f"<table>{head}{''.join(rows)}</table>", "b_describe": "", "c_sort": ""}


class Game(Live):
    """The game; `scores` has (source, number right of ten, description) of the rounds played."""

    @property
    def scores(self) -> list[tuple[str, int, str]]:
        return list(self.box.scores)

    def __repr__(self) -> str:
        return self.start.text


@guarded(questions=filled)
def blind_game(questions: Sequence[Question], *, generator: torch.Generator | None = None) -> Game:
    """Describe each direction from its examples, then sort ten held-out snippets by what you wrote.

    The rounds come in random order, and where each is from is told after the last. Without a
    kernel, the first is shown without its answers.

    Args:
        generator: of the order; without one, it is the same in each call.
    """
    generator = generator or torch.Generator().manual_seed(0)
    order = torch.randperm(len(questions), generator=generator).tolist()
    box = _Rounds([questions[i] for i in order])
    note, first = "To play, run this cell in a notebook with a kernel.", box.rounds[0]
    texts = "".join(_shaded(each, 1.0, numbers=False, shades=False) for each in first.snippets)
    code = f"<div style='{BOX}'>{box.parts['a_read']}<p><b>{note}</b></p>{texts}</div>"
    lines = ["".join(each.tokens) for each in (*first.examples, *first.snippets)]
    return Game(Html(code, "\n".join([note, *lines])), box)
