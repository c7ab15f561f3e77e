"""Entities of a relation, marked by special tokens: `<subj>`, `</subj>`, `<obj>` and `</obj>` around them, as in KLUE-RE.

KLUE (Park et al. 2021) writes the markers into the sentence and adds them to the vocabulary. Here their ids are inserted, so
that a sentence which itself contains "<subj>" stays ordinary text. The sentence is cut at the ends of the entities and its
parts are encoded separately; two rules keep the tokens as in running text. A space before an entity belongs to the entity,
where it makes a word-initial token (" 비틀즈"). A token after an entity within a word ("</subj>가") takes the form of a token
inside a word ("##가"), if the vocabulary has it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from gyebo.tasks.task import Example
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.tokenizer_files import PUBLISHED

MARKERS = ("<subj>", "</subj>", "<obj>", "</obj>")
"""Before and after the subject, before and after the object."""

_CONTINUES = "##"  # WordPiece: prefix of word-internal tokens
_BEGINS = "▁"  # SentencePiece: prefix of word-initial tokens


def with_markers(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer with the markers added after its last id, or itself if it has them."""
    known = set(_roles(tokenizer))
    missing = [marker for marker in MARKERS if marker not in known]
    return tokenizer.with_tokens(missing) if missing else tokenizer


def marking(tokenizer: Tokenizer) -> Callable[[Example], list[int]]:
    """A function from an example to the ids of its text with markers, without other special tokens.

    `answers` of the example are the subject and the object, each (first character, text). Entities may be adjacent or nested.
    The function raises ValueError, naming the example, where there are not exactly two, or one is not in the text.
    Raises ValueError where the tokenizer has no markers.
    """
    roles = _roles(tokenizer)
    if any(marker not in roles for marker in MARKERS):
        raise ValueError(f"the tokenizer has no {', '.join(MARKERS)}; add them with gyebo.tasks.kinds.relation.with_markers")
    marks_words = tokenizer.kind in ("wordpiece", PUBLISHED)  # byte-level tokens contain the space itself
    vocabulary = _vocabulary(tokenizer) if marks_words else {}

    def mark(example: Example) -> list[int]:
        inserted = _insertions(example, [roles[marker] for marker in MARKERS])
        cuts = [0, *(place for place, _ in inserted), len(example.text)]
        parts = tokenizer.encode_batch([example.text[start:end] for start, end in pairwise(cuts)])
        ids = parts[0]
        for part, (place, marker), (start, end) in zip(parts[1:], inserted, pairwise(cuts[1:])):
            inside_word = marks_words and example.text[place - 1].isalnum() and example.text[start:end][:1].isalnum()
            closes = marker in (roles["</subj>"], roles["</obj>"])
            ids = [*ids, marker, *(_continuing(part, tokenizer, vocabulary) if closes and inside_word else part)]
        return ids

    return mark


def _insertions(example: Example, markers: list[int]) -> list[tuple[int, int]]:
    """(character, marker id) in the order of the text; at the same character, ends come before starts, and outer entities
    enclose inner ones."""
    text = example.text
    if len(example.answers) != 2:
        raise ValueError(f"example {example.id}: {len(example.answers)} entities; a relation has a subject and an object")
    found = []
    for number, (start, entity) in enumerate(example.answers):
        end = start + len(entity)
        if start < 0 or not entity or text[start:end] != entity:
            raise ValueError(f"example {example.id}: the entity {entity!r} is not at character {start} of the text")
        while start > 0 and text[start - 1].isspace():
            start -= 1
        found.append((end, 0, -start, markers[2 * number + 1]))
        found.append((start, 1, -end, markers[2 * number]))
    return [(place, marker) for place, _, _, marker in sorted(found)]


def _continuing(ids: list[int], tokenizer: Tokenizer, vocabulary: dict[str, int]) -> list[int]:
    """The ids with the first token in its word-internal form, if there is one."""
    if not ids:
        return ids
    token = tokenizer.token(ids[0])
    if token == _BEGINS:
        return ids[1:]
    other = token.removeprefix(_BEGINS) if token.startswith(_BEGINS) else _CONTINUES + token
    return [vocabulary.get(other, ids[0]), *ids[1:]]


def _roles(tokenizer: Tokenizer) -> dict[str, int]:
    return {tokenizer.token(id): id for id in sorted(tokenizer.all_role_ids)}


def _vocabulary(tokenizer: Tokenizer) -> dict[str, int]:
    """Token -> id, without special tokens."""
    found = {}
    for id in range(tokenizer.vocab_size):
        if id in tokenizer.all_role_ids:
            continue
        try:
            found[tokenizer.token(id)] = id
        except ValueError:  # a gap between the ids of a published vocabulary
            continue
    return found
