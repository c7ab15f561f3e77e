"""The turns of a conversation as a model reads them: the newest ones that have room, each followed by the end token. No torch.

    encoder-decoder   안녕 </s> 오늘 뭐 했어? </s>              in the family's template; the response is the target
    decoder           <s> 안녕 </s> 오늘 뭐 했어? </s> 좀 쉬었어. </s>   the response is one more turn (Zhang et al. 2020)

The mark between turns is the id of a role that every model which writes has. A tokenizer never gives it for text, so nobody can
write a turn of the other speaker into theirs. Two speakers alternate, and the last turn is the one that is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from gyebo.tasks.reading import Reader
from gyebo.tasks.task import Example
from gyebo.tasks.text_task import TextTask
from gyebo.text.tokenizer import Tokenizer

MOST_TURNS = 7  # Adiwardana et al. 2020, section 3.1


@dataclass(frozen=True)
class Source:
    """What a model reads. `ids`: of the source. `dropped`: how many of the oldest turns were left out; `cut`: how many tokens
    of the start of the last turn, where it alone is too long."""

    ids: list[int]
    dropped: int = 0
    cut: int = 0


def source_of(turns: Sequence[str], tokenizer: Tokenizer, task: TextTask, reader: Reader, max_length: int) -> Source:
    """A history as the model reads it, special tokens included, as in training: of a decoder alone, its prompt.

    `turns`: oldest first, of two speakers in turn. At most `task.turns` of them are read, and as many as fit into `max_length`
    tokens; the oldest are dropped whole. ValueError where there is no turn, or an empty one.
    """
    template = reader.template(tokenizer)
    history = [checked_turn(turn, f"turn {number}") for number, turn in enumerate(turns, 1)]
    if not history:
        raise ValueError("a dialogue without turns: there is nothing to respond to")
    (found,) = sources_of([history], tokenizer, task, template.room(reader.longest(max_length), 1))
    return replace(found, ids=template.apply(found.ids).ids)


def checked_turn(turn: str, where: str) -> str:
    """A turn as one line; ValueError, naming `where`, for an empty one."""
    line = " ".join(turn.split())
    if not line:
        raise ValueError(f"{where} is empty: write what was said, or leave the turn out")
    return line


def turns_of(example: Example) -> list[str]:
    """The turns so far of an example of a dialogue, oldest first."""
    return example.text.split("\n")


def responses(turns: Sequence[str], where: str, of: Callable[[int], bool] = lambda number: True) -> Iterator[Example]:
    """An example of each response in a dialogue, with up to seven turns before it. `of`: number of a turn, from 0 -> whether it
    is one to learn from; the first one responds to nothing. All examples of a dialogue share a split."""
    for number in range(1, len(turns)):
        if of(number):
            before = "\n".join(turns[max(0, number - MOST_TURNS) : number])
            yield Example(f"{where}, turn {number + 1}", before, label=turns[number], group="\n".join(turns))


def sources_of(histories: Sequence[Sequence[str]], tokenizer: Tokenizer, task: TextTask, room: int) -> list[Source]:
    """The sources of several histories without special tokens around them, each of at most `room` ids."""
    encoded = iter(tokenizer.encode_batch([turn for turns in histories for turn in turns]))
    prefix = tokenizer.encode(task.source({"text": ""}))
    if len(prefix) >= room:
        raise ValueError(f"max_length leaves {room} tokens, but the task's prefix alone has {len(prefix)}: increase it")
    between = tokenizer.role_ids["eos"]
    return [_kept([next(encoded) for _ in turns], prefix, between, task.turns or len(turns), room) for turns in histories]


def _kept(turns: list[list[int]], prefix: list[int], between: int, most: int, room: int) -> Source:
    """The newest turns that fit, at most `most`, after the prefix."""
    *earlier, last = turns
    left = room - len(prefix)
    cut = max(0, len(last) - left)
    ids, kept = last[cut:], 1
    for turn in reversed(earlier):
        if kept == most or len(turn) + 1 + len(ids) > left:
            break
        ids, kept = [*turn, between, *ids], kept + 1
    return Source([*prefix, *ids], len(turns) - kept, cut)
