"""Dialogues as examples: a response and the turns before it, from lists of turns or from pairs of question and answer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from gyebo.data.encoding import UTF8, Reading
from gyebo.data.json_rows import json_lines
from gyebo.data.rows import any_rows, form_of, table
from gyebo.data.splitting import split_key
from gyebo.tasks.data.world import DIALOGUES
from gyebo.tasks.dialogue import checked_turn, responses
from gyebo.tasks.task import Example, Refused, Row, Task, need, text_of
from gyebo.text.normalize import text_key

TURNS, RESPONSE = "turns", "response"
METRICS = (
    "response_probability",
    "response_perplexity",
    "bits_per_character",
    "distinct_1",
    "distinct_2",
    "words_per_response",
    "repeated_turns",
)
SHARES = {"train": 0.8, "dev": 0.1, "test": 0.1}  # of a corpus in one file


class Dialogues:
    """Reads the examples of a row: of a list of turns one for each response, of a question and its answer one.

    `turns`: the column of the turns, strings or {"speaker", "text"}, or of the question. `response`: of a list with speakers,
    whose turns are responses, None: each after the first one is; of a question, the column of the answer.
    """

    def __init__(self, turns: str | None = None, response: str | None = None) -> None:
        self.turns = (turns,) if turns else (TURNS, "text")
        self.response = response

    def __call__(self, values: dict[str, Any], where: str, labelled: bool) -> Iterator[Example]:
        """The examples, with at most seven turns before a response; with `labelled` False the last turn is yet to be answered.
        Raises `Refused` for an empty turn, `MissingColumn`, and ValueError for what is no dialogue."""
        found = need(values, self.turns)
        if isinstance(found, list):
            yield from self._of_turns(found, where, labelled)
            return
        question = _turn(text_of(values, self.turns), self.turns[0])
        answer = _turn(text_of(values, (self.response or RESPONSE,)), self.response or RESPONSE) if labelled else None
        yield Example(where, question, label=answer, group=text_key(question) or question)

    def _of_turns(self, given: list[Any], where: str, labelled: bool) -> Iterator[Example]:
        said = _spoken(given, needs_speakers=self.response is not None)
        texts = [text for _, text in said]
        if not labelled:
            yield Example(where, "\n".join(texts))
            return
        if len(said) < 2:
            raise ValueError("a dialogue needs two turns of different speakers, so that one responds to the other")
        yield from responses(texts, where, lambda number: self.response in (None, said[number][0]))


def _spoken(given: list[Any], *, needs_speakers: bool) -> list[tuple[str, str]]:
    """(speaker, text) of each turn; what one speaker says in several entries is one turn. Without speakers two alternate."""
    turns = []
    for number, entry in enumerate(given, 1):
        if isinstance(entry, dict):
            speaker, text = text_of(entry, ("speaker",)), text_of(entry, ("text",))
        elif isinstance(entry, str) and not needs_speakers:
            speaker, text = str(number % 2), entry
        else:
            wanted = (
                'an object with "speaker" and "text"' if needs_speakers else 'a text, or an object with "speaker" and "text"'
            )
            raise ValueError(f"turn {number} is a {type(entry).__name__}, but must be {wanted}")
        turns.append((speaker, _turn(text, f"turn {number}")))
    return [(speaker, " ".join(text for _, text in said)) for speaker, said in groupby(turns, key=lambda turn: turn[0])]


def _turn(text: str, where: str) -> str:
    try:
        return checked_turn(text, where)
    except ValueError as error:
        raise Refused(str(error)) from None


def dialogue_rows(path: Path, reading: Reading = UTF8) -> Iterator[Row]:
    """The rows of a file of any format; a line of a .jsonl may be a list, of turns."""
    return json_lines(path, reading, TURNS) if form_of(path) == "jsonl" else any_rows(path, reading)


def own_dialogues(turns: str | None, response: str | None) -> Task:
    """The task on a user's own file; arguments as those of `Dialogues`."""
    return Task(
        name="dialogue",
        title="dialogue on your own data",
        kind="dialogue",
        labels=None,
        metrics=METRICS,
        score=METRICS[0],
        rows=dialogue_rows,
        convert=Dialogues(turns, response),
        epochs=10,
    )


def by_question(example: Example) -> str:
    """The split of an example, by a hash of its question, so that equal ones share a split however they are written."""
    place, end = split_key(example.group) / 2**64, 0.0
    for name, share in SHARES.items():
        end += share
        if place < end:
            return name
    return name


_FILE = ("ChatbotData.csv", "ChatbotData *.csv")
CHATBOT = Task(
    name="chatbot",
    title="Korean chatbot: answers to short remarks",
    kind="dialogue",
    labels=None,
    metrics=METRICS,
    score=METRICS[0],
    files=dict.fromkeys(SHARES, _FILE),
    folders=("chatbot*", "Chatbot_data*"),
    rows=table,
    convert=Dialogues("Q", "A"),
    divided=by_question,
    max_length=64,
    epochs=20,
    note="one file without official splits: 8 : 1 : 1 by a hash of the question",
)
WORLD = Task(
    name="world-dialogue",
    title="The world: conversations about people",
    kind="dialogue",
    labels=None,
    metrics=METRICS,
    score=METRICS[0],
    world=DIALOGUES,
    lr=2e-4,
    epochs=5,
)
