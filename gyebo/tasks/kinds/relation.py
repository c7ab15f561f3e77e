"""Entities of a relation, marked in the ids: `<subj>`, `</subj>`, `<obj>` and `</obj>` around them, as KLUE-RE does.

KLUE (Park et al. 2021) writes the markers into the sentence and adds them to the vocabulary. Here they are put in by id, so
that a sentence which itself holds "<subj>" stays ordinary text. The sentence is cut at the borders of the entities and its
parts are encoded alone; two things keep the pieces as in running text. A space before an entity goes with the entity, where
it makes the piece that begins a word (" 비틀즈"). The piece after an entity within a word ("</subj>가") takes the form that
goes on with a word ("##가"), where the vocabulary marks this and has it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from gyebo.tasks.task import Example
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.tokenizer_files import PUBLISHED

MARKERS = ("<subj>", "</subj>", "<obj>", "</obj>")
"""Before and after the subject, before and after the object."""

_CONTINUES = "##"  # WordPiece: goes on with a word
_BEGINS = "▁"  # SentencePiece: begins a word


def with_markers(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer with the markers after its last id, or itself where it has them."""
    known = set(_roles(tokenizer))
    missing = [marker for marker in MARKERS if marker not in known]
    return tokenizer.with_tokens(missing) if missing else tokenizer


def marking(tokenizer: Tokenizer) -> Callable[[Example], list[int]]:
    """A function from an example to the ids of its text with markers, without a frame.

    `answers` of the example are the subject and the object, each (first character, text). Entities may touch, and one may lie
    in the other. The function raises ValueError, naming the example, where they are not two or not in the text.
    Raises ValueError where the tokenizer has no markers.
    """
    roles = _roles(tokenizer)
    if any(marker not in roles for marker in MARKERS):
        raise ValueError(f"the tokenizer has no {', '.join(MARKERS)}; take it through gyebo.tasks.kinds.relation.with_markers")
    marks_words = tokenizer.kind in ("wordpiece", PUBLISHED)  # byte-level pieces mark the space itself, if at all
    vocabulary = _vocabulary(tokenizer) if marks_words else {}

    def mark(example: Example) -> list[int]:
        borders = _borders(example, [roles[marker] for marker in MARKERS])
        cuts = [0, *(place for place, _ in borders), len(example.text)]
        parts = tokenizer.encode_batch([example.text[start:end] for start, end in pairwise(cuts)])
        ids = parts[0]
        for part, (place, marker), (start, end) in zip(parts[1:], borders, pairwise(cuts[1:])):
            inside_word = marks_words and example.text[place - 1].isalnum() and example.text[start:end][:1].isalnum()
            closes = marker in (roles["</subj>"], roles["</obj>"])
            ids = [*ids, marker, *(_going_on(part, tokenizer, vocabulary) if closes and inside_word else part)]
        return ids

    return mark


def _borders(example: Example, markers: list[int]) -> list[tuple[int, int]]:
    """(character, marker id) in the order of the text; of two at one place, what ends comes first, and what ends last begins
    first."""
    text = example.text
    if len(example.answers) != 2:
        raise ValueError(f"example {example.id}: {len(example.answers)} entities; a relation has a subject and an object")
    borders = []
    for number, (start, entity) in enumerate(example.answers):
        end = start + len(entity)
        if start < 0 or not entity or text[start:end] != entity:
            raise ValueError(f"example {example.id}: the entity {entity!r} is not at character {start} of the text")
        while start > 0 and text[start - 1].isspace():
            start -= 1
        borders.append((end, 0, -start, markers[2 * number + 1]))
        borders.append((start, 1, -end, markers[2 * number]))
    return [(place, marker) for place, _, _, marker in sorted(borders)]


def _going_on(ids: list[int], tokenizer: Tokenizer, vocabulary: dict[str, int]) -> list[int]:
    """The ids with the first piece in the form that goes on with a word, where there is such a form."""
    if not ids:
        return ids
    piece = tokenizer.token(ids[0])
    if piece == _BEGINS:
        return ids[1:]
    other = piece.removeprefix(_BEGINS) if piece.startswith(_BEGINS) else _CONTINUES + piece
    return [vocabulary.get(other, ids[0]), *ids[1:]]


def _roles(tokenizer: Tokenizer) -> dict[str, int]:
    return {tokenizer.token(id): id for id in sorted(tokenizer.all_role_ids)}


def _vocabulary(tokenizer: Tokenizer) -> dict[str, int]:
    """Piece -> id, without the roles."""
    found = {}
    for id in range(tokenizer.vocab_size):
        if id in tokenizer.all_role_ids:
            continue
        try:
            found[tokenizer.token(id)] = id
        except ValueError:  # a gap between the ids of a published vocabulary
            continue
    return found
