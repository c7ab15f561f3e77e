"""The grammar: a state machine that generates a document from left to right, one choice among different strings at a time.

Sentences are given as rows (`story_rows`, `other_rows`): a weight, the flags that the scene must have, and the text in
each language with gaps. The rows of a section are joined into a prefix tree, so that the common start of two rows is
generated before the choice between them. A node of that tree, together with the scene, is a state of the machine;
`branches` gives its choices.

    row ("go", 6, "", "{place:에} [가다.past].", "[go.past] to {place:the}.")
         name, weight, flags, Korean, English: {slot:form}, [verb.form]

A text that ends in ">name" continues in another section within the same sentence. The probability of a branch is the weight
of the rows below it over that of all rows that fit the scene, times the probability of the value of the slot. The strings of
a state are pairwise different and none is a prefix of another (tested), so a text has one derivation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from gyebo.world import english, korean, lexicon, other_rows, story_rows
from gyebo.world.events import EFFECTS, end_sentence, start_document, start_sentence
from gyebo.world.facts import World
from gyebo.world.scene import FLAGS, Scene, situation
from gyebo.world.slots import SLOTS
from gyebo.world.writing import write

LANGUAGES = ("ko", "en")
# genre -> probability that the document ends after a sentence, from the third on (a chat ends by saying goodbye)
END = {"story": 1 / 18, "diary": 1 / 16, "portrait": 1 / 14, "guide": 1 / 14, "chat": 0.0}
SHORTEST, LONGEST = 3, 80
MAX_TABLES = 40_000  # number of cached tables of choices; the cache is cleared beyond that

Row = tuple[str, float, str, str | tuple[str, ...], str | tuple[str, ...]]
ROWS: dict[str, tuple[Row, ...]] = {**story_rows.SECTIONS, **other_rows.SECTIONS}


@dataclass(frozen=True)
class Token:
    """A piece of a sentence: text, or a gap with text before and after it."""

    before: str
    slot: str = ""
    form: str = ""
    after: str = ""


@dataclass
class Node:
    """A node of the tree of a section: its branches, or the row that ends here."""

    branches: list[Branch] = field(default_factory=list)
    row: Row | None = None
    jump: str = ""
    relevant: int = 0  # the flags that its branches depend on
    fans: dict[int, Fan] = field(default_factory=dict)


@dataclass(eq=False)
class Branch:
    """A branch of a node. `weights` are those of the rows below it: (weight, flags needed)."""

    token: Token
    node: Node
    weights: list[tuple[float, int]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Fan:
    """The branches that fit a situation, with their probabilities."""

    branches: tuple[Branch, ...]
    cumulative: tuple[float, ...]
    logs: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Table:
    """The strings of a branch: values, cumulative probabilities and their natural logs."""

    strings: tuple[str, ...]
    values: tuple[Any, ...]
    cumulative: tuple[float, ...]
    logs: tuple[float, ...]


_VERB = re.compile(r"\[([^\].]+)\.(\w+)\]")
_WORD = re.compile(r"\{(\w+)(?::([^}]*))?\}")


def _verbs(text: str, language: str) -> str:
    def conjugated(match: re.Match[str]) -> str:
        word, form = match.groups()
        if language == "en":
            return english.conjugate(word, form)
        return korean.conjugate(word, form, lexicon.IRREGULAR.get(word.rpartition(" ")[2], ""))

    return _VERB.sub(conjugated, text)


def tokens(text: str, language: str) -> tuple[list[Token], str]:
    """The text of a row as tokens, one per word (a space belongs to the word before it), and the section that continues it."""
    text, _, jump = _verbs(text, language).partition(">")
    result = []
    for word in re.findall(r"(?:\{[^}]*\}|[^ {])+ ?", text):
        gap = _WORD.search(word)
        if gap is None:
            result.append(Token(word))
            continue
        if gap[1] not in SLOTS:
            raise ValueError(f"row {text!r}: unknown slot {gap[1]!r}")
        if _WORD.search(word, gap.end()):
            raise ValueError(f"row {text!r}: two gaps in one word {word!r}")
        result.append(Token(word[: gap.start()], gap[1], gap[2] or "", word[gap.end() :]))
    return result, jump.strip()


def _needs(flags: str) -> int:
    bits = 0
    for name in flags.split():
        bits |= FLAGS[name]
    return bits


def texts(row: Row, language: str) -> tuple[str, ...]:
    """The texts of a row in `language` (equally likely)."""
    text = row[3] if language == "ko" else row[4]
    return (text,) if isinstance(text, str) else text


def _inlined(rows: Iterable[Row], sections: dict[str, tuple[Row, ...]], language: str) -> list[Row]:
    """`rows` with those that start with a jump in Korean replaced by the rows of that section (English: omitted)."""
    result: list[Row] = []
    for name, weight, flags, ko, en in rows:
        if not (isinstance(ko, str) and ko.startswith(">")):
            result.append((name, weight, flags, ko, en))
        elif language == "ko":
            section = sections[ko[1:]]
            subject = str(en).partition(">")[0]
            share = weight / sum(row[1] for row in section)
            for row in section:
                assert isinstance(row[4], str)
                result.append((row[0], row[1] * share, f"{flags} {row[2]}", row[3], subject + row[4]))
    return result


def _tree(rows: Iterable[Row], language: str) -> Node:
    root = Node()
    for row in rows:
        needs, variants = _needs(row[2]), texts(row, language)
        for text in variants:
            pieces, jump = tokens(text, language)
            node = root
            for token in pieces:
                branch = next((b for b in node.branches if b.token == token), None)
                if branch is None:
                    node.branches.append(branch := Branch(token, Node()))
                branch.weights.append((row[1] / len(variants), needs))
                node = branch.node
            if node.branches or (node.row and node.row[0] != row[0]):
                raise ValueError(f"row {row[0]!r}: {text!r} is the start of another row, or equal to one")
            node.row, node.jump = row, jump
    _finish(root)
    return root


def _finish(node: Node) -> None:
    """Join texts that follow without a choice to the one before, and collect the flags that matter at a node."""
    for branch in node.branches:
        while branch.node.row is None and len(branch.node.branches) == 1 and not branch.node.branches[0].token.slot:
            only = branch.node.branches[0]
            t = branch.token
            if t.slot:
                branch.token = Token(t.before, t.slot, t.form, t.after + only.token.before)
            else:
                branch.token = Token(t.before + only.token.before)
            branch.node = only.node
        _finish(branch.node)
        for _, needs in branch.weights:
            node.relevant |= needs
    if node.row is None and not node.branches:
        raise ValueError("a section without rows")


def _distribution(weights: list[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    total = math.fsum(weights)
    cumulative = [c / total for c in accumulate(weights)]
    cumulative[-1] = 1.0
    return tuple(cumulative), tuple(math.log(w / total) for w in weights)


class Grammar:
    """The state machine of one world: `start` returns a state, `branches` and `table` its choices, `take` makes a choice.

    `rows` (default: all) and `longest` reduce the grammar, for tests that count all of its documents.
    """

    def __init__(self, world: World, rows: dict[str, tuple[Row, ...]] | None = None, longest: int = LONGEST) -> None:
        self.world, self.longest = world, longest
        rows = ROWS if rows is None else rows
        self._sections = {
            language: {name: _tree(_inlined(section, rows, language), language) for name, section in rows.items()}
            for language in LANGUAGES
        }
        self._tables: dict[Any, Table] = {}
        self._literals: dict[str, Table] = {}
        self._end: dict[float, Fan] = {}

    def start(self, language: str) -> Scene:
        """The state before the first word of a document in `language`."""
        scene = Scene(self.world, language)
        start_document(scene)
        self._enter(scene, "open")
        return scene

    def _enter(self, scene: Scene, section: str) -> None:
        scene.flags = situation(scene)
        scene.node = self._sections[scene.language][section]

    def branches(self, scene: Scene) -> Fan:
        """The branches of a state. A branch whose node is `None` ends the document (its only string is "")."""
        node = scene.node
        if node is None:
            return self._end_fan(scene)
        assert isinstance(node, Node)
        fan = node.fans.get(scene.flags & node.relevant)
        return self._fan(node, scene) if fan is None else fan

    def _fan(self, node: Node, scene: Scene) -> Fan:
        flags = scene.flags
        weights = [sum(w for w, needs in b.weights if needs & flags == needs) for b in node.branches]
        kept = [(b, w) for b, w in zip(node.branches, weights) if w]
        if not kept:
            raise AssertionError(f"no branch: {scene.section} in {scene.language}")
        fan = Fan(tuple(b for b, _ in kept), *_distribution([w for _, w in kept]))
        node.fans[flags & node.relevant] = fan
        return fan

    def _end_fan(self, scene: Scene) -> Fan:
        share = END[scene.genre] if scene.sentences >= SHORTEST else 0.0
        if scene.section == "end" or scene.sentences >= self.longest:
            share = 1.0
        if share not in self._end:
            ways = [(Branch(Token(" "), Node()), 1 - share), (Branch(Token(""), _END), share)]
            ways = [(b, w) for b, w in ways if w]
            self._end[share] = Fan(tuple(b for b, _ in ways), *_distribution([w for _, w in ways]))
        return self._end[share]

    def table(self, scene: Scene, branch: Branch) -> Table:
        """The strings of a branch, each with its value; equal strings are merged, with the sum of their probabilities."""
        token = branch.token
        if not token.slot:
            table = self._literals.get(token.before)
            if table is None:
                table = self._literals[token.before] = Table((token.before,), (None,), (1.0,), (0.0,))
            return table
        slot = SLOTS[token.slot]
        key = (scene.language, token, slot.key(scene))
        table = self._tables.get(key)
        if table is None:
            if len(self._tables) >= MAX_TABLES:
                self._tables.clear()
            table = self._tables[key] = self._filled(scene, token)
        return table

    def _filled(self, scene: Scene, token: Token) -> Table:
        slot = SLOTS[token.slot]
        weights: dict[str, float] = {}
        values: dict[str, Any] = {}
        for weight, value in slot.values(self.world, slot.key(scene)):
            text = write(self.world, scene.language, slot.kind, value, token.form)
            string = token.before + text + token.after
            if values.setdefault(string, value) != value:
                raise ValueError(f"slot {token.slot!r}: {value!r} and {values[string]!r} have the same text {string!r}")
            weights[string] = weights.get(string, 0.0) + weight
        if not weights:
            raise AssertionError(f"slot {token.slot!r} has no value here")
        return Table(tuple(weights), tuple(values.values()), *_distribution(list(weights.values())))

    def take(self, scene: Scene, branch: Branch, value: Any) -> Row | None:
        """Move `scene` along a branch, in place. Returns the row that is completed, if any."""
        name = branch.token.slot
        if name:
            slot = SLOTS[name]
            scene.bound[name] = value
            if slot.kind == "person":
                scene.mentioned.append(value[0])
                if slot.sets_subject:
                    scene.subject = value[0]
        elif scene.node is None:
            if branch.node is not _END:
                start_sentence(scene)
                self._enter(scene, scene.section)
            return None
        node = branch.node
        row = node.row
        if row is None:
            scene.node = node
            return None
        effect: Callable[[Scene], None] | None = EFFECTS.get(row[0])
        if effect is not None:
            effect(scene)
        if node.jump:
            self._enter(scene, node.jump)
        else:
            end_sentence(scene, row[0])
            scene.node = None
        return row

    @staticmethod
    def ends(branch: Branch) -> bool:
        """Whether this branch ends the document."""
        return branch.node is _END


_END = Node()
