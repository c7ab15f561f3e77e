"""How a model that writes its answers reads a task: what stands around a source, and how long it may be. No torch.

encoder-decoder   its encoder reads the source in the family's template, its decoder the start id and the answer
decoder           one row, from left to right: start, source, end, answer, end (Radford et al. 2018, section 3.3; what stands
                  between source and answer is the end token, as between the two texts of a pair)
prefix decoder    the same row, whose source is seen by all of it (Raffel et al. 2020, section 3.2.1)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gyebo.text.template import Template, template_of
from gyebo.text.tokenizer import Tokenizer

ANSWER_SHARE = 4  # of a decoder's context one part in so many is kept free for the answer, in training as in prediction


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How one model reads. `context`: its most positions. `start`: the id that its decoder begins with, None of a decoder
    alone; `first`: the id that every target begins with, None: with its text. `prefix`: whether all of the row sees the source
    of a decoder alone."""

    context: int
    start: int | None = None
    first: int | None = None
    prefix: bool = False

    @property
    def alone(self) -> bool:
        """Whether it is a decoder alone, which reads source and answer in one row."""
        return self.start is None

    def template(self, tokenizer: Tokenizer) -> Template:
        """The special tokens around a source."""
        if not self.alone:
            return template_of(tokenizer)
        begin = tuple(tokenizer.role_ids[role] for role in ("bos",) if role in tokenizer.role_ids)
        end = (tokenizer.role_ids["eos"],)
        return Template((begin, end), tuple((0,) * len(part) for part in (begin, end)), (0,), None)

    def longest(self, max_length: int) -> int:
        """Most tokens of a source, special ones included, where rows have at most `max_length`."""
        return min(max_length, self.context - self.context // ANSWER_SHARE if self.alone else self.context)


def reader_of(model: Any, config: Any) -> Reader:
    """How a model, or a class of models with a config, reads. A decoder with a memory reads no more than it still sees while it
    writes."""
    if model.encodes_source:
        return Reader(context=config.context, start=config.first_id, first=config.forced_ids[0])
    context = min(config.context, config.reach) if model.has_memory else config.context
    return Reader(context=context, prefix=model.sees_prefix and config.prefix)
