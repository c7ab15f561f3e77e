"""`gyebo chat`: a conversation with a model that was fine-tuned for dialogue, or with a causal language model.

A dialogue model reads its turns as in training (`gyebo/tasks/dialogue.py`). Any other causal model reads a script and goes on
with it; its answer ends with the line:

    A: 안녕
    B: 안녕하세요
    A: 뭐 해?
    B:
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import torch

from gyebo.config import durable
from gyebo.config.disk import disk_full
from gyebo.generation import GenerationOptions, rank, stream
from gyebo.generation.guard import Guard
from gyebo.generation.options import options_from
from gyebo.generation.pplm import Control, Steered
from gyebo.generation.text import control_for, guarded
from gyebo.interchange import load
from gyebo.jobs.control import Wanted, open_control
from gyebo.jobs.finetuned_model import trained_on
from gyebo.jobs.generate import open_generator
from gyebo.jobs.guard.opening import open_guard
from gyebo.tasks.dialogue import Source, checked_turn, source_of
from gyebo.tasks.reading import reader_of
from gyebo.text.tokenizer import Tokenizer

CONTROLS = dict.fromkeys([*range(32), *range(127, 160)], " ")
PERSON, MODEL = "A", "B"  # the speakers of a script


@dataclass
class Chat:
    """A conversation with the model `name`. `read`: turns as it reads them; `control`: what its answers are steered to;
    `guard`: what they have to pass before they are shown.

    `turns`: what was said so far, by a person and the model in turn; `answers`: how many were begun; `shortened`: the oldest
    turns are no longer read; `notes`: remarks that nobody has read yet; `saved`: files that hold the conversation.
    """

    name: str
    model: Any
    tokenizer: Tokenizer
    read: Callable[[Sequence[str]], Source]
    options: GenerationOptions
    control: Control | None = None
    guard: Guard | None = None
    turns: list[str] = field(default_factory=list)
    answers: int = 0
    shortened: bool = False
    notes: list[str] = field(default_factory=list)
    saved: set[Path] = field(default_factory=set)


def open_chat(name: str, options: dict[str, Any], *, precision: str = "float32", device: str = "auto") -> Chat:
    """A conversation that has not begun. Raises ValueError for wrong options, and for a model that cannot talk."""
    checked = options_from(options)
    model, tokenizer = open_generator(name, precision, device)
    if not model.generates and not model.encodes_source:
        raise ValueError(f"{name} is a {model.title}, which cannot write: use a causal model or a dialogue model")
    talks = [task for task in model.tasks if task.kind == "dialogue"]
    if not talks and (model.encodes_source or model.tasks):
        learned = ", ".join(task.name for task in model.tasks)
        what = f"learned {learned}, not to talk" if learned else "never learned to talk"
        raise ValueError(f"{name} {what}: fine-tune it on dialogues, gyebo finetune {name} dialogue")
    config, reader = model.config, reader_of(model, model.config)
    if config.eos_id is not None:
        checked = replace(checked, min_new_tokens=1)  # an empty answer says nothing
    if talks:
        trained = trained_on(name)
        length = (trained and trained.max_length) or reader.context
        return Chat(name, model, tokenizer, lambda turns: source_of(turns, tokenizer, talks[0], reader, length), checked)
    start, room = [] if config.bos_id is None else [config.bos_id], reader.longest(reader.context)
    return Chat(name, model, tokenizer, lambda turns: script_of(turns, tokenizer, start, room), replace(checked, stop=("\n",)))


def script_of(turns: Sequence[str], tokenizer: Tokenizer, start: list[int], room: int) -> Source:
    """The newest turns that fit into `room` ids as a script that breaks off where the next speaker begins. Each line is encoded
    by itself; of a last turn that is too long its start is cut."""
    *earlier, last = turns
    begin, ids, end = (tokenizer.encode(text) for text in (f"{PERSON}: ", last, f"\n{MODEL}:"))
    cut = max(0, len(start) + len(begin) + len(ids) + len(end) - room)
    script, kept = [*begin, *ids[cut:], *end], 1
    for speaker, turn in zip(cycle((MODEL, PERSON)), reversed(earlier)):
        line = tokenizer.encode(f"{speaker}: {turn}\n")
        if len(start) + len(line) + len(script) > room:
            break
        script, kept = [*line, *script], kept + 1
    return Source([*start, *script], len(turns) - kept, cut)


def reply(chat: Chat, line: str) -> Generator[str, None, None]:
    """The answer to a line, in parts as soon as they are final (with rank, at once); then both are turns of the conversation.

    Who closes it early keeps what was said until then. A line without an answer is no turn, and a note says so. Raises
    ValueError for an empty line.
    """
    turn, said = checked_turn(line, "the line"), ""
    source = chat.read([*chat.turns, turn])
    _note_what_is_not_read(chat, source)
    options = chat.options
    if options.seed is not None and not options.greedy:
        options = replace(options, seed=options.seed + chat.answers)  # asked again, it may answer something else
    chat.answers += 1
    parts = _best(chat, source, turn, options) if options.rank else _streamed(chat, source, options)
    try:
        for part in in_one_line(parts):
            said += part
            yield part
    finally:
        if said:
            chat.turns += [turn, said]
        else:
            chat.notes.append("the model gave no answer, so the line was taken back")


def _streamed(chat: Chat, source: Source, options: GenerationOptions) -> Iterator[str]:
    return stream(chat.model, chat.tokenizer, source.ids, options, control=chat.control, guard=chat.guard)


def _best(chat: Chat, source: Source, turn: str, options: GenerationOptions) -> Iterator[str]:
    asked, turns = (chat.model, chat.tokenizer), [[*chat.turns, turn]]
    control = control_for(chat.tokenizer, source.ids, chat.guard, chat.control)
    (ranking,) = rank(*asked, [source.ids], options, turns=turns, control=control)
    if ranking.best.repeats:
        chat.notes.append("all candidates repeat an earlier turn; the most probable one was kept")
    best = ranking.best.answer
    if chat.guard is None:
        yield best.text
    else:
        yield guarded(*asked, source.ids, options, chat.guard, best, control=control, turns=turns[0])


def _note_what_is_not_read(chat: Chat, source: Source) -> None:
    if source.dropped and not chat.shortened:
        chat.shortened = True
        turns = len(chat.turns) + 1
        chat.notes.append(f"the model reads {turns - source.dropped} of {turns} turns: from here on the oldest are dropped")
    if source.cut:
        chat.notes.append(f"the line is too long for the model, which does not read its first {source.cut:,} tokens")


def in_one_line(parts: Iterator[str]) -> Iterator[str]:
    """A text in parts, without white space around it, and with single blanks for any within. Characters that would command a
    terminal count as white space."""
    text, shown = "", 0
    for part in parts:
        text += part.translate(CONTROLS)
        line = " ".join(text.split())
        if len(line) > shown:
            yield line[shown:]
            shown = len(line)


def change(chat: Chat, **settings: object) -> None:
    """Other options from now on; ValueError for wrong ones, which change nothing."""
    chat.options = replace(chat.options, **settings)  # type: ignore[arg-type]


def steer(chat: Chat, bags: Sequence[str], attributes: Sequence[str]) -> None:
    """Steer answers from now on, to nothing where nothing is given; as `Wanted` has it. Raises FileNotFoundError and ValueError
    for what is wrong with a file, or cannot steer this model; then nothing changes."""
    wanted, control = Wanted(bags, attributes), None
    if wanted:
        control = open_control(wanted, _stored(chat), chat.tokenizer, chat.notes.append)
        Steered(chat.model, control)  # refuses what does not fit
    chat.control = control


def watch(chat: Chat, file: Path | None, mode: str | None = None, policy: str | None = None) -> None:
    """Let the guard of a file check answers from now on, None: no longer; `mode`, `policy`: as in `open_guard`. Raises
    FileNotFoundError and ValueError for what is wrong with it; then nothing changes."""
    if file is None:
        chat.guard = None
        return
    chat.guard = open_guard(file, _stored(chat), chat.tokenizer, mode=mode, policy=policy, note=chat.notes.append)


def _stored(chat: Chat) -> Any:
    """The model with the weights that attribute models know, which are those of `load`."""
    kept = next(iter(chat.model.parameters())).dtype == torch.float32
    return chat.model if kept else load(chat.name)[0]


def reset(chat: Chat) -> None:
    """Forget the turns."""
    chat.turns, chat.shortened = [], False


def save(chat: Chat, path: Path) -> None:
    """Write the conversation as a line of JSON, which is a dialogue to fine-tune on. Raises ValueError where nothing was said,
    or for a file that this conversation did not write."""
    if not chat.turns:
        raise ValueError("nothing was said yet, so there is nothing to save")
    if path.exists() and path.resolve() not in chat.saved:
        raise ValueError(f"{path} exists already: choose another name")
    turns = [{"speaker": speaker, "text": turn} for speaker, turn in zip(cycle(("person", "model")), chat.turns)]
    with disk_full(path, "free some space and save again"):
        durable.write(path, json.dumps({"turns": turns}, ensure_ascii=False) + "\n")
    chat.saved.add(path.resolve())
