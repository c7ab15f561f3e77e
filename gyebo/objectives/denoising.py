"""Denoising (Lewis et al. 2020, section 2.2): a text is corrupted, and the model writes the whole original, `<s> ... </s>`.

    sentence permutation    the sentences of a text in random order
    text infilling          spans of words, their lengths drawn from Poisson(3), each replaced by one mask; a span of length 0
                            is a mask that is inserted
    token masking           single tokens replaced by the mask, as in BERT
    token deletion          single tokens removed: the model must also find where
    document rotation       a token is drawn, and the text begins with it

Several are applied in this order; BART itself was trained with the first two. Start and end are never touched. As in the
authors' code (fairseq), 30 % of the words are the sum of the drawn lengths; spans begin at words that are drawn without regard
to lengths, so spans may meet, overlap (then only the first leaves a mask) or be cut at the end, and what is hidden is a little
less.

What differs: a random token is never a special one; masks are not inserted where the corrupted text would be longer than the
original, which happens in texts of a few words; sentences are those of `gyebo/text/boundaries.py`, where fairseq knows the full
stop alone.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gyebo.config.errors import OptionError
from gyebo.data import input_formats
from gyebo.data.plan import Plan
from gyebo.data.shards import Split
from gyebo.data.streams import SOURCE, TARGET
from gyebo.objectives.objective import Setting
from gyebo.objectives.source_target import Ids, SourceTarget
from gyebo.text.boundaries import Marks, marks_of

Noise = Literal["sentence-permutation", "text-infilling", "token-masking", "token-deletion", "document-rotation"]
HIDING = {"text-infilling", "token-masking", "token-deletion"}
FRAME = 2  # special tokens around a text

# Options that have an effect on some noises alone.
_NEEDS: dict[str, set[str]] = {
    "rate": HIDING,
    "random_share": HIDING - {"token-deletion"},
    "poisson_lambda": {"text-infilling"},
    "permute_share": {"sentence-permutation"},
    "rotate_probability": {"document-rotation"},
}


class Options(BaseModel):
    """What one may choose, in the section `objective`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    noise: tuple[Noise, ...] = Field(
        ("sentence-permutation", "text-infilling"),
        description="corruptions: sentence-permutation, text-infilling, token-masking, token-deletion, document-rotation",
    )
    rate: float = Field(0.3, gt=0, lt=1, description="share of words (infilling) or tokens (masking, deletion) that are hidden")
    poisson_lambda: float = Field(3.0, gt=0, le=100, description="mean length of the spans of text infilling, in words")
    random_share: float = Field(0.0, ge=0, le=1, description="share of masks that show a random token instead")
    permute_share: float = Field(1.0, gt=0, le=1, description="share of the sentences that are permuted")
    rotate_probability: float = Field(1.0, gt=0, le=1, description="probability that a document is rotated")

    @model_validator(mode="after")
    def _consistent(self) -> Options:
        if not self.noise or len(set(self.noise)) < len(self.noise):
            raise ValueError(f"noise must name at least one corruption, each once, but is {list(self.noise)}")
        for name, needed in _NEEDS.items():
            if getattr(self, name) != type(self).model_fields[name].default and not needed & set(self.noise):
                raise ValueError(
                    f"{name} has no effect with noise {', '.join(self.noise)}: it is for {', '.join(sorted(needed))}"
                )
        return self


@dataclass(frozen=True)
class Denoising(SourceTarget):
    """Denoising for one vocabulary. `begin` and `end`: the ids around a text; `mask`; `pieces`: the ids that a random token is
    drawn from."""

    _: KW_ONLY
    options: Options
    begin: int
    mask: int
    marks: Marks
    pieces: Ids

    @property
    def extra(self) -> int:
        """Start and end."""
        return FRAME

    @property
    def shortens(self) -> bool:
        """Whether sources may have fewer tokens than the plan says."""
        return bool({"text-infilling", "token-deletion"} & set(self.options.noise))

    def lengths(self, context: int) -> dict[str, int]:
        """Source and target have as many places: no noise makes a text longer."""
        return {SOURCE.name: context, TARGET.name: context}

    def describe(self) -> str:
        """The options, as they were settled."""
        noise = self.options.noise
        asked = {name: getattr(self.options, name) for name, needed in _NEEDS.items() if needed & set(noise)}
        return ", ".join([" + ".join(noise), *(f"{name} {value:g}" for name, value in asked.items())])

    def for_evaluation(self) -> Denoising:
        """The same noise: a text is restored from what the model learned to read."""
        return self

    @property
    def planned_by(self) -> tuple[Any, ...]:
        """Noise changes no row."""
        return "doc-sentences", FRAME

    def rows(self, split: Split, context: int, seed: int) -> Plan:
        """Whole documents, in both streams."""
        return input_formats.doc_sentences(
            split,
            context,
            special=FRAME,
            starts=self.marks.sentence_starts,
            seed=seed,
            streams=(SOURCE, TARGET),
            lengths=self.lengths(context),
        )

    def source_and_target(self, ids: Ids, rng: np.random.Generator) -> tuple[Ids, Ids]:
        """The corrupted text [m + 2] and the text [n + 2], both with the ids around them."""
        return self._framed(self.noised(ids, rng)), self._framed(ids)

    def _framed(self, ids: Ids) -> Ids:
        return np.concatenate([[self.begin], ids, [self.end]])

    def noised(self, text: Ids, rng: np.random.Generator) -> Ids:
        """The text [n], corrupted: [m], m at most n."""
        options, ids = self.options, text
        sentences = self.marks.sentence_starts(text)
        words = self.marks.word_starts(text) | sentences
        if "sentence-permutation" in options.noise:
            order = permuted(sentences, options.permute_share, rng)
            ids, words = ids[order], words[order]
        if "text-infilling" in options.noise:
            ids = self._infilled(ids, words, rng)
        if "token-masking" in options.noise:
            places = self._drawn(ids, rng)
            ids = ids.copy()
            ids[places] = self._shown(len(places), rng)
        if "token-deletion" in options.noise:
            ids = np.delete(ids, self._drawn(ids, rng))
        if "document-rotation" in options.noise and rng.random() < options.rotate_probability:
            ids = np.roll(ids, -int(rng.integers(len(ids)))) if len(ids) else ids
        return ids

    def _infilled(self, ids: Ids, words: NDArray[np.bool_], rng: np.random.Generator) -> Ids:
        lengths = span_lengths(int(words.sum()), self.options.rate, self.options.poisson_lambda, rng)
        keep, masked = hidden_spans(words, lengths[lengths > 0], rng)
        shown = ids.copy()
        shown[masked] = self._shown(len(masked), rng)
        shown = shown[keep]
        inserted = min(int((lengths == 0).sum()), len(ids) - len(shown))
        places = rng.integers(len(shown) + 1, size=inserted)
        return np.insert(shown, places, self._shown(inserted, rng))

    def _drawn(self, ids: Ids, rng: np.random.Generator) -> Ids:
        """The places of `rate` of the tokens, rounded up; of an infilled text those that are no masks."""
        places = np.flatnonzero(ids != self.mask)
        return rng.permutation(places)[: int(np.ceil(self.options.rate * len(places)))]

    def _shown(self, count: int, rng: np.random.Generator) -> Ids:
        """What stands for what is hidden: masks, a share of which are random tokens."""
        shown = np.full(count, self.mask)
        random = rng.random(count) < self.options.random_share
        shown[random] = self.pieces[rng.integers(len(self.pieces), size=int(random.sum()))]
        return shown


def permuted(starts: NDArray[np.bool_], share: float, rng: np.random.Generator) -> Ids:
    """The order [n] of the tokens of a text whose sentences begin at `starts` [n]: a share of the sentences, rounded up, have
    changed places among themselves."""
    firsts = np.flatnonzero(starts)
    sizes = np.diff(np.append(firsts, len(starts)))
    moved = rng.permutation(len(firsts))[: int(np.ceil(share * len(firsts)))]
    order = np.arange(len(firsts))
    order[moved] = rng.permutation(moved)
    ends = sizes[order].cumsum()
    return np.arange(len(starts)) + np.repeat(firsts[order] - (ends - sizes[order]), sizes[order])


def span_lengths(words: int, rate: float, mean: float, rng: np.random.Generator) -> Ids:
    """Lengths of the spans of a text of so many words: Poisson draws up to a sum of `rate` of the words, rounded up; the last
    is shortened to it. Zeros are spans between words."""
    budget = int(np.ceil(rate * words))
    lengths = np.zeros(0, np.int64)
    while lengths.sum() < budget:
        lengths = np.concatenate([lengths, rng.poisson(mean, budget)])
    sums = lengths.cumsum()
    count = int(np.searchsorted(sums, budget)) + 1 if budget else 0
    lengths = lengths[:count]
    lengths[-1:] -= sums[count - 1 : count] - budget
    return lengths


def hidden_spans(words: NDArray[np.bool_], lengths: Ids, rng: np.random.Generator) -> tuple[NDArray[np.bool_], Ids]:
    """Spans of so many words from words that are drawn, cut at the end: which tokens stay [n], and the places among them at
    which a span shows its mask. `words` [n]: where a word begins."""
    firsts = np.flatnonzero(words)
    begins = rng.permutation(len(firsts))[: len(lengths)]
    steps = np.zeros(len(firsts) + 1, np.int64)
    np.add.at(steps, begins, 1)
    np.add.at(steps, np.minimum(begins + lengths, len(firsts)), -1)
    covered = steps.cumsum()[:-1]  # number of spans on each word
    masked = np.sort(firsts[begins[covered[begins] == 1]])
    keep = covered[words.cumsum() - 1] == 0
    keep[masked] = True
    return keep, masked


def build(options: Options, setting: Setting) -> Denoising:
    """The objective for a tokenizer and its training text.

    Raises ValueError where the tokenizer names no mask, start or end, hardly any document has sentences to permute, or
    documents shall be read across their borders.
    """
    if setting.across_documents:
        raise OptionError("‹data.across_documents› has no effect here: each document is restored alone; leave it out")
    ids, marks = setting.tokenizer.role_ids, marks_of(setting.tokenizer)
    if missing := [role for role in ("bos", "eos", "mask") if role not in ids]:
        raise ValueError(f"denoising needs a token for {missing[0]}, but the tokenizer has none: train a tokenizer with gyebo")
    if options.noise == ("sentence-permutation",):
        several = input_formats.share_of_several_sentences(setting.split, marks.sentence_starts)
        if several < 0.1:
            raise OptionError(
                f"‹objective.noise›=sentence-permutation: only {several:.0%} of the documents have two sentences, so hardly "
                "anything is permuted: add text-infilling, or choose another ‹data.documents›"
            )
    return Denoising(
        "lm",
        start=setting.start_id,
        end=ids["eos"],
        options=options,
        begin=ids["bos"],
        mask=ids["mask"],
        marks=marks,
        pieces=np.flatnonzero(marks.piece),
    )
