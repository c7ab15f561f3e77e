"""Tags as text: the entities of a sentence in their order, "PS: 이순신 $$ LC: 한산도", as mT5 writes them (Xue et al. 2021).

A list names no places: an entity is the next occurrence of its words. Where the words occur before that without being an
entity, the list says so with the tag of what is no entity, "O: 이순신 $$ PS: 이순신", so that nothing is lost; spaces are not
compared, as tokenizers may change them. "none": there is no entity.

What is written and can't be read (no type, one that the task has not, words that do not come next in the sentence) becomes an
entity of the type `INVALID`, at a character of its own: it is wrong by every metric.
"""

from __future__ import annotations

from collections.abc import Sequence

from gyebo.tasks.task import INVALID, Example
from gyebo.tasks.text_task import TextTask

OUTSIDE = "O"
NONE = "none"
BETWEEN = " $$ "


class _Place:
    """A sentence without its spaces, in which words are looked for, and where each of its characters stands."""

    def __init__(self, text: str) -> None:
        self.kept = [place for place, character in enumerate(text) if not character.isspace()]
        self.bare = "".join(text[place] for place in self.kept)

    def find(self, words: str, after: int) -> tuple[int, int] | None:
        """[start, end) of the next occurrence of words, in characters without spaces; None: there is none."""
        bare = "".join(words.split())
        found = self.bare.find(bare, after) if bare else -1
        return None if found < 0 else (found, found + len(bare))


def target(example: Example, task: TextTask) -> str | None:
    """The entities of a sentence as a list; None where it has no tags."""
    if not example.tags:
        return None
    place, after, items = _Place(example.text), 0, []
    number = {at: index for index, at in enumerate(place.kept)}
    for start, end, kind in entities(example.tags):
        words = example.text[start:end].strip()
        first = next((number[at] for at in range(start, end) if at in number), None)
        if first is None:
            continue  # nothing but spaces
        while (found := place.find(words, after)) is not None and found[0] < first:
            items.append(f"{OUTSIDE}: {words}")
            after = found[0] + 1
        items.append(f"{kind}: {words}")
        after = first + len("".join(words.split()))
    return BETWEEN.join(items) or NONE


def answer(text: str, example: Example, task: TextTask) -> list[str]:
    """The tag of each character, from what was written."""
    kinds = {OUTSIDE, *(tag[2:] for tag in task.labels if tag != OUTSIDE)}
    tags, place, after, wrong = [OUTSIDE] * len(example.text), _Place(example.text), 0, 0
    for kind, words in _items(text, sorted(kinds, key=len, reverse=True)):
        found = place.find(words, after) if kind is not None else None
        if found is None:
            wrong += 1
        elif kind == OUTSIDE:
            after = found[0] + 1
        else:
            first, after = found
            start, last = place.kept[first], place.kept[after - 1]
            tags[start : last + 1] = [f"B-{kind}"] + [f"I-{kind}"] * (last - start)
    free = [at for at in place.kept if tags[at] == OUTSIDE]
    for at in free[:wrong]:
        tags[at] = f"B-{INVALID}"
    return tags


def _items(text: str, kinds: Sequence[str]) -> list[tuple[str | None, str]]:
    """(type, words) of each item, the type None where it is none of `kinds`; words may contain what stands between items."""
    found: list[tuple[str | None, str]] = []
    for item in [] if text.strip() == NONE else text.split(BETWEEN.strip()):
        kind = next((kind for kind in kinds if item.strip().startswith(f"{kind}:")), None)
        if kind is None and found:
            found[-1] = (found[-1][0], f"{found[-1][1]}{BETWEEN}{item}")
        else:
            found.append((kind, item.strip().removeprefix(f"{kind}:")))
    return found


def entities(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """(start, end, type) of the entities in BIO tags: a B and the I's of its type that follow, as in strict scoring."""
    found: list[tuple[int, int, str]] = []
    for place, tag in enumerate(tags):
        begin, _, kind = tag.partition("-")
        if begin == "B":
            found.append((place, place + 1, kind))
        elif begin == "I" and found and found[-1][1:] == (place, kind):
            found[-1] = (found[-1][0], place + 1, kind)
    return found


def shown(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """The entities of a prediction, without those that were not readable."""
    return [entity for entity in entities(tags) if entity[2] != INVALID]
