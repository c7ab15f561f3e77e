"""Dependency parsing: words as first and last token, heads and relations; and the best tree from scores.

A word is represented by its first and last token, as in KLUE-DP (Park et al. 2021). Heads are numbered as in treebanks: 0 is
the root, j the j-th word. A tree has one root word, as KLUE's sentences have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gyebo.data.batches import IGNORE
from gyebo.data.streams import WORDS, BatchField
from gyebo.nn.outputs import ParsingOutput
from gyebo.tasks.features import TEXT, Features, all_labelled, features_of, number_of, ragged
from gyebo.tasks.heads.styles import EVERY_TOKEN, STYLES
from gyebo.tasks.kinds.kind import Encoding, HeadForm, Kind, Outputs, TextForm, in_columns
from gyebo.tasks.task import Example
from gyebo.tasks.text_task import TextTask
from gyebo.text.template import template_of
from gyebo.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

FIELDS = (
    *TEXT,
    BatchField("word_first", WORDS, 0),
    BatchField("word_last", WORDS, 0),
    BatchField("heads", WORDS, IGNORE),
    BatchField("relations", WORDS, IGNORE),
)


def word_tokens(words: Sequence[str], offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The first and last token of each word; offsets: those of the tokens of the words, joined by single spaces.

    The space before a word belongs to no word. A word without tokens gets the token at its place.
    """
    bounds = np.cumsum([0, *(len(word) + 1 for word in words)])
    starts = np.array([start for start, _ in offsets])
    ends = np.array([end for _, end in offsets])
    result = []
    for begin, after in pairwise(bounds.tolist()):
        first = int(np.searchsorted(np.maximum.accumulate(ends), begin, side="right"))
        last = int(np.searchsorted(starts, after - 1, side="left")) - 1
        first = min(first, len(offsets) - 1)
        result.append((first, max(first, last)))
    return result


def encode(examples: Sequence[Example], tokenizer: Tokenizer, encoding: Encoding) -> Features:
    """Sentences of `words` as rows with "word_first" and "word_last" [N, W], positions in the row, and with "heads" and
    "relations" [N, W] if the examples have heads (-100 where the head of a word was truncated).

    `encoding.labels`: the relations. A sentence that is too long keeps the words that fit. Raises ValueError for a sentence
    without words, an empty word, heads and relations that do not fit the words or the labels, or where `max_length` leaves no
    room.
    """
    labels = encoding.labels
    template = template_of(tokenizer, 1)
    room = template.room(encoding.max_length, least=1)
    labelled = all_labelled(examples, lambda example: bool(example.heads))
    for example in examples:
        _check(example)
    texts = [" ".join(example.words) for example in examples]
    rows, firsts, lasts, heads, relations = [], [], [], [], []
    too_long = 0
    for example, text, ids in zip(examples, texts, tokenizer.encode_batch(texts)):
        spans = word_tokens(example.words, tokenizer.offsets(text)) if ids else []
        if len(ids) > room:
            spans = [(first, last) for first, last in spans if last < room]
            ids = ids[: spans[-1][1] + 1 if spans else 0]
            too_long += 1
        row = template.apply(ids)
        rows.append(row)
        firsts.append([row.starts[0] + first for first, _ in spans])
        lasts.append([row.starts[0] + last for _, last in spans])
        if labelled:
            known = [head <= len(spans) for head in example.heads[: len(spans)]]
            numbers = [number_of(example, relation, labels) for relation in example.relations]
            heads.append([head if ok else IGNORE for head, ok in zip(example.heads, known)])
            relations.append([number if ok else IGNORE for number, ok in zip(numbers, known)])
    features = features_of(examples, tokenizer, rows, too_long=too_long)
    words = {"word_first": ragged(firsts), "word_last": ragged(lasts)}
    if labelled:
        words |= {"heads": ragged(heads), "relations": ragged(relations)}
    return replace(features, columns=features.columns | words, fields=FIELDS)


def _check(example: Example) -> None:
    words, heads = example.words, example.heads
    if not words:
        raise ValueError(f"example {example.id}: no words; dependency parsing needs words instead of text")
    if not all(words):
        raise ValueError(f"example {example.id}: word {words.index('') + 1} is empty; a word needs a character")
    if heads and not len(heads) == len(example.relations) == len(words):
        raise ValueError(
            f"example {example.id}: {len(words)} words, {len(heads)} heads, {len(example.relations)} relations; "
            "each word needs one of both"
        )
    if any(not 0 <= head <= len(words) for head in heads):
        raise ValueError(
            f"example {example.id}: a head is outside 0 to {len(words)} (words are numbered from 1, 0 is the root)"
        )


def best_tree(scores: NDArray[Any]) -> NDArray[np.int64]:
    """The heads [W] of the best tree over W words with exactly one root word (Chu & Liu 1965, Edmonds 1967).

    scores [W, W + 1]: `scores[i, h]` for h as the head of word i + 1, 0 the root; the score of a word as its own head is
    ignored. A single root is enforced by a penalty on edges from the root that exceeds what a tree can gain elsewhere. Raises
    ValueError for another shape or a score that is not finite.
    """
    words = len(scores)
    if scores.shape != (words, words + 1):
        raise ValueError(f"scores: shape {scores.shape}; {words} words need a score for {words + 1} heads each, the root first")
    square = np.zeros((words + 1, words + 1))
    square[1:] = scores
    np.fill_diagonal(square, 0.0)
    if not np.isfinite(square).all():
        raise ValueError("scores: a score is infinite or not a number")
    square[1:, 0] -= 1 + len(square) * (square.max() - square.min())
    np.fill_diagonal(square, -np.inf)
    square[0] = -np.inf
    return _arborescence(square)[1:]


def _arborescence(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """The best heads of a tree with root 0 (whose head is 0): each node takes its best head; a cycle is contracted to one node,
    and so on recursively."""
    heads = scores.argmax(1)
    heads[0] = 0
    cycle = _cycle(heads)
    if cycle is None:
        return heads
    inner = np.array(cycle)
    outer = np.setdiff1d(np.arange(len(heads)), inner)  # ascending: node 0 stays the first
    new = len(outer)
    # Entering the cycle at a node replaces that node's edge in it.
    entering = scores[np.ix_(inner, outer)] - scores[inner, heads[inner]][:, None]
    leaving = scores[np.ix_(outer, inner)]
    small = np.full((new + 1, new + 1), -np.inf)
    small[:new, :new] = scores[np.ix_(outer, outer)]
    small[new, :new] = entering.max(0)
    small[:new, new] = leaving.max(1)
    found = _arborescence(small)
    for node in range(1, new):
        heads[outer[node]] = inner[leaving[node].argmax()] if found[node] == new else outer[found[node]]
    source = found[new]
    heads[inner[entering[:, source].argmax()]] = outer[source]
    return heads


def _cycle(heads: NDArray[np.int64]) -> list[int] | None:
    """The nodes of a cycle in the edges to heads, or None."""
    seen_from = np.full(len(heads), -1)
    seen_from[0] = 0
    for start in range(1, len(heads)):
        node = start
        while seen_from[node] < 0:
            seen_from[node] = start
            node = int(heads[node])
        if node != 0 and seen_from[node] == start:
            cycle = [node]
            while heads[cycle[-1]] != node:
                cycle.append(int(heads[cycle[-1]]))
            return cycle
    return None


def parse(arcs: NDArray[Any], relations: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The heads of the best tree of a sentence and the best relation to each, [W] each.

    arcs [W, W + 1] as for `best_tree`; relations [W, W + 1, labels]: scores for word i + 1 under head h.
    """
    heads = best_tree(arcs)
    return heads, relations[np.arange(len(heads)), heads].argmax(-1)


def trees(
    features: Features,
    parses: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    examples: Sequence[Example],
    labels: Sequence[str],
) -> list[tuple[tuple[int, ...], tuple[str, ...]]]:
    """The head and the relation of each word of every example.

    parses: the result of `parse` for each row of the features, in order. A truncated word gets the word before it as head, with
    the relation of that word, so that the result is a tree with one root.
    """
    if len(parses) != len(features):
        raise ValueError(f"parses: {len(parses)} given for {len(features)} sentences; give one for each")
    found = []
    for example, (heads, relations) in zip(examples, parses):
        names = [labels[number] for number in relations]
        missing = range(len(names), len(example.words))
        last = names[-1] if names else labels[0]
        found.append(((*map(int, heads), *missing), (*names, *(last for _ in missing))))
    return found


def decode(
    features: Features, examples: Sequence[Example], outputs: list[Outputs], labels: Sequence[str]
) -> list[tuple[tuple[int, ...], tuple[str, ...]]]:
    """As `trees`, from the scores of heads and relations."""
    # The scores of a sentence come without padding of its words; possible heads are these words and the root.
    parses = [parse(arcs[:, : len(arcs) + 1], names[:, : len(arcs) + 1]) for arcs, names in zip(*outputs)]
    return trees(features, parses, examples, labels)


def count(batch: dict[str, Tensor]) -> int:
    """Number of words that have a head."""
    return int((batch["heads"] != IGNORE).sum())


def loss(output: ParsingOutput, batch: dict[str, Tensor]) -> Tensor:
    """Cross-entropy of the heads and of the relations, summed over the words."""
    from gyebo.tasks.heads.biaffine import parsing_loss

    terms = parsing_loss(output, batch["heads"], batch["relations"])
    return terms["arc"][0] + terms["relation"][0]


def parts(example: Example) -> dict[str, str | None]:
    """The words with their numbers, to which heads refer: "1 철수가 2 밥을 3 먹었다"."""
    _check(example)
    return {"words": " ".join(f"{number} {word}" for number, word in enumerate(example.words, 1))}


def target(example: Example, task: TextTask) -> str | None:
    """The head and the relation of each word, "3:NP_SBJ 3:NP_OBJ 0:VP"; None where they are not known."""
    if not example.heads:
        return None
    return " ".join(f"{head}:{relation}" for head, relation in zip(example.heads, example.relations, strict=True))


def answer(text: str, example: Example, task: TextTask) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The head and the relation of each word from what was written; -1 and "" for a word without, or where they are none."""
    count = len(example.words)
    found = [(int(head), relation) for head, relation in re.findall(r"(\d{1,4})\s*:\s*(\S+)", text, re.ASCII)][:count]
    found += [(-1, "")] * (count - len(found))
    known = [(head, name) if head <= count and name in task.labels else (-1, "") for head, name in found]
    return tuple(head for head, _ in known), tuple(name for _, name in known)


def build(config: Any, labels: int, dropout: float) -> Any:
    """The parser of `gyebo/tasks/heads/biaffine.py`."""
    from gyebo.tasks.heads.biaffine import Parser

    return Parser(config.width, labels, dropout=dropout, init_std=config.init_std)


KIND = Kind(
    name="dependency",
    pipeline_tag="token-classification",
    head=HeadForm(
        transformers_class="DependencyParsing",
        specs=dict.fromkeys(STYLES, EVERY_TOKEN),
        encoder_alone=True,
        build=build,
        encode=encode,
        inputs=("word_first", "word_last"),
        optional=("word_mask",),
        output=replace,
        places="word_first",
        count=count,
        answers=("heads", "relations"),
        loss=loss,
        decode=decode,
    ),
    text=TextForm(source=in_columns(parts), target=target, answer=answer, columns=(("words", "words"),), cut="end"),
    command="evaluate",
    class_names=lambda example: example.relations,
    answered=lambda example: bool(example.heads),
)
