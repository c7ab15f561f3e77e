"""Text generation from prompts: encoding, decoding steps, and streamed text.

A causal model continues a prompt. A model with an encoder and a decoder reads it as the source and writes a text of its own.
A prompt is a text, or the list of ids that the model is to read, special tokens included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

import numpy as np

from gyebo.generation.beams import search
from gyebo.generation.decoding import decode
from gyebo.generation.guard import Guard, answer
from gyebo.generation.options import GenerationOptions, options_from
from gyebo.generation.pplm import Control, Steered
from gyebo.generation.prompts import Forced
from gyebo.generation.ranking import Ranking, ranked
from gyebo.generation.translating import sources_of
from gyebo.nn.decoding import decoding_copy
from gyebo.text.incremental import IncrementalDecoder
from gyebo.text.template import template_of
from gyebo.text.tokenizer import Tokenizer

Reason = Literal["eos", "stop", "length"]
Prompt = str | Sequence[int]


@dataclass(frozen=True)
class Completion:
    """One answer.

    `text`: without the prompt, the end token, the stop string and what follows it; an incomplete character at the end is
    dropped. `ids`: all generated ids. `reason` why it ended: "eos" (the end token), "stop" (a stop string), "length"
    (max_new_tokens, or the context is full). `log_probability`: natural log of the model's probability of the ids, before
    options reshaped it. `prompt`, `sample`: their indices, from 0.
    """

    text: str
    ids: list[int]
    reason: Reason
    log_probability: float
    prompt: int
    sample: int


def complete(
    model: Any,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    options: GenerationOptions | None = None,
    *,
    control: Control | None = None,
    begun: str = "",
    **settings: object,
) -> list[Completion]:
    """Answers to prompts, with `options` or options from keywords (see `GenerationOptions`). `control`: what they are steered
    to (`gyebo/generation/pplm`); the log-probability of an answer is then that of the steered model. `begun`: how all of them
    begin; what is returned continues that.

    A text is preceded by the model's start token, if it has one; an empty one is that token alone. Of a model that reads a
    source it is the source, in the family's template. Ids are read as they are. Special tokens other than the end token are
    never generated. A prompt longer than the context is an error; an answer that fills the context ends there, with the reason
    "length". Returns the answers prompt by prompt, the samples of one prompt adjacent (with beams the best first, with rank the
    best candidate, see `rank`). Raises ValueError for a prompt that is too long or has an id outside the model's vocabulary,
    and for invalid options.
    """
    if isinstance(prompts, str):
        raise ValueError("prompts must be a list of strings; for one prompt use [prompt]")
    options = _options(options, settings)
    if options.rank:
        return [ranking.best.answer for ranking in rank(model, tokenizer, prompts, options, control=control, begun=begun)]
    start = _begin(model, tokenizer, prompts, options, control, begun)
    rules: dict[str, Any] = {"forbidden": start.forbidden, "forced": start.forced}
    writers = [
        _Writer(tokenizer.target, text, options.stop, start.end) for text in start.continued for _ in range(options.samples)
    ]
    if options.beams > 1:
        found = [hypothesis for beams in search(start.model, start.ids, options, **rules) for hypothesis in beams]
        for writer, hypothesis in zip(writers, found):
            writer.log_probability = hypothesis.log_probability
            for id in hypothesis.ids:
                writer.push(id)
    else:
        for step in decode(start.model, start.ids, options, **rules):
            ids, log_probs = step.ids.tolist(), step.log_probs.tolist()
            for row in step.active.nonzero()[:, 0].tolist():
                writers[row].push(ids[row])
                writers[row].log_probability += log_probs[row]
                if writers[row].stopped:
                    step.finished[row] = True
    return [writer.completion(*divmod(row, options.samples)) for row, writer in enumerate(writers)]


def rank(
    model: Any,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    options: GenerationOptions | None = None,
    *,
    turns: Sequence[Sequence[str]] | None = None,
    control: Control | None = None,
    begun: str = "",
    **settings: object,
) -> list[Ranking]:
    """The candidates for each prompt, best first: `options.rank` independent samples, the same as with `samples`, for which
    each prompt is read once.

    `turns`: what was said before each prompt's answer, for `no_repeat_turn`; by default the lines of the prompt. `control`,
    `begun`, prompts and errors as in `complete`; ValueError without `rank` too, and where a prompt of ids has no turns to
    compare with.
    """
    options = _options(options, settings)
    if not options.rank:
        raise ValueError("rank=0: set it to the number of candidates, e.g. rank=20")
    if turns is not None and len(turns) != len(prompts):
        raise ValueError(f"turns must be one list for each of the {len(prompts)} prompts, but there are {len(turns)}")
    if turns is None and options.no_repeat_turn and not all(isinstance(prompt, str) for prompt in prompts):
        raise ValueError(f"no_repeat_turn={options.no_repeat_turn} needs turns where a prompt is given as ids")
    said = [prompt.splitlines() if isinstance(prompt, str) else () for prompt in prompts] if turns is None else turns
    plain = replace(options, samples=options.rank, rank=0, no_repeat_turn=0, length_penalty=1.0)
    answers = complete(model, tokenizer, prompts, plain, control=control, begun=begun)
    groups = [answers[start : start + options.rank] for start in range(0, len(answers), options.rank)]
    return [ranked(group, earlier, tokenizer.target, options, begun) for group, earlier in zip(groups, said)]


def stream(
    model: Any,
    tokenizer: Tokenizer,
    prompt: Prompt,
    options: GenerationOptions | None = None,
    *,
    control: Control | None = None,
    begun: str = "",
    guard: Guard | None = None,
    **settings: object,
) -> Iterator[str]:
    """The text of one answer, in parts as soon as they are final; joined, the text that `complete` returns. `begun`: as there.

    A character is yielded when its last byte is there; a possible start of a stop string, when it turns out to be none. With a
    `guard`, a sentence is yielded when it has passed (`gyebo/generation/guard`). Raises ValueError at the call, as `complete`
    does, and for several samples, beams or candidates.
    """
    options = _options(options, settings)
    if guard is not None:
        control = control_for(tokenizer, prompt, guard, control)
        first = stream(model, tokenizer, prompt, options, control=control, begun=begun)
        return _guarded(model, tokenizer, prompt, options, guard, first, (0, 0), control)
    for name in ("samples", "beams", "rank"):
        if getattr(options, name) > 1:
            raise ValueError(f"{name}={getattr(options, name)} cannot be streamed: a stream has one answer")
    start = _begin(model, tokenizer, [prompt], options, control, begun)
    steps = decode(start.model, start.ids, options, forbidden=start.forbidden, forced=start.forced)
    return _stream(steps, _Writer(tokenizer.target, start.continued[0], options.stop, start.end))


def _stream(steps: Iterator[Any], writer: _Writer) -> Iterator[str]:
    for step in steps:
        text = writer.push(int(step.ids[0]))
        if writer.stopped:
            step.finished[0] = True
        if text:
            yield text
    if rest := writer.rest():
        yield rest


def generate(
    model: Any,
    tokenizer: Tokenizer,
    prompts: str | Sequence[str],
    options: GenerationOptions | None = None,
    *,
    control: Control | None = None,
    guard: Guard | None = None,
    **settings: object,
) -> str | list[str] | list[list[str]]:
    """The generated text: `generate(model, tokenizer, "prompt", max_new_tokens=40, top_p=0.9, seed=0)`.

    For one prompt its text, or with samples=N a list of N texts; for a list of prompts a list with one such entry per prompt.
    Options, prompts and errors as in `complete`. `guard`: what is said in their place where they fail its checks.
    """
    options = _options(options, settings)
    single = isinstance(prompts, str)
    asked = [prompts] if isinstance(prompts, str) else prompts
    found = first_answers(model, tokenizer, asked, options, guard, control)
    texts = [each.text for each in found]
    if guard is not None:
        texts = [guarded(model, tokenizer, asked[each.prompt], options, guard, each, control=control) for each in found]
    if options.samples == 1:
        return texts[0] if single else texts
    grouped = [texts[start : start + options.samples] for start in range(0, len(texts), options.samples)]
    return grouped[0] if single else grouped


def control_for(tokenizer: Tokenizer, prompt: Prompt, guard: Guard | None, control: Control | None) -> Control | None:
    """What the answer to a prompt is steered to: what the guard's policy says of its topic, else `control`."""
    return (guard and guard.control_for(_text_of(prompt, tokenizer))) or control


def first_answers(
    model: Any,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    options: GenerationOptions,
    guard: Guard | None,
    control: Control | None,
) -> list[Completion]:
    """As `complete`, with prompts whose topics steer their answers alike in one batch; `control` is for all others."""
    if guard is not None and options.beams > 1 and guard.steers:
        raise ValueError(f"beams={options.beams} can't be steered, as topics of the guard's policy are: sample, or use greedy")
    controls = [control_for(tokenizer, prompt, guard, control) for prompt in prompts]
    found: list[Completion] = []
    for wanted in {id(each): each for each in controls}.values():
        numbers = [number for number, each in enumerate(controls) if each is wanted]
        answers = complete(model, tokenizer, [prompts[number] for number in numbers], options, control=wanted)
        found += [replace(each, prompt=numbers[each.prompt]) for each in answers]
    return sorted(found, key=lambda each: (each.prompt, each.sample))


def guarded(
    model: Any,
    tokenizer: Tokenizer,
    prompt: Prompt,
    options: GenerationOptions,
    guard: Guard,
    first: Completion,
    *,
    control: Control | None = None,
    turns: Sequence[str] | None = None,
) -> str:
    """What is shown of an answer under a guard, which goes on with other samples where it fails. `turns`: those of its prompt,
    as `rank` takes them."""
    control, place = control_for(tokenizer, prompt, guard, control), (first.prompt, first.sample)
    return "".join(_guarded(model, tokenizer, prompt, options, guard, [first.text], place, control, turns))


def _guarded(
    model: Any,
    tokenizer: Tokenizer,
    prompt: Prompt,
    options: GenerationOptions,
    guard: Guard,
    first: Iterable[str],
    place: tuple[int, int],
    control: Control | None,
    turns: Sequence[str] | None = None,
) -> Iterator[str]:
    """`first`: the parts of the answer, `place`: the indices of its prompt and sample, which give later attempts their seeds.

    Greedy decoding and beams write the same again, so there is one attempt.
    """

    text = _text_of(prompt, tokenizer)

    def write(shown: str, attempt: int) -> Iterable[str]:
        if not attempt:
            return first
        left = _room(model, tokenizer, prompt, options, shown)
        if left < 1:
            return ()
        seeds = None if options.seed is None else np.random.SeedSequence([options.seed, *place, attempt])
        again = replace(
            options,
            samples=1,
            seed=None if seeds is None else int(seeds.generate_state(1)[0]),
            max_new_tokens=left,
            min_new_tokens=max(0, options.min_new_tokens - (options.max_new_tokens - left)),
        )
        if again.rank:
            said = None if turns is None else [turns]
            return [rank(model, tokenizer, [prompt], again, turns=said, control=control, begun=shown)[0].best.answer.text]
        return stream(model, tokenizer, prompt, again, control=control, begun=shown)

    if options.greedy or options.beams > 1:
        guard = replace(guard, retries=0)
    return answer(guard, text, write, "" if model.encodes_source else text)


def _room(model: Any, tokenizer: Tokenizer, prompt: Prompt, options: GenerationOptions, shown: str) -> int:
    """How many tokens an answer may still have behind what is shown of it; 0 where the context is full."""
    stands = read = len(tokenizer.target.encode(shown))
    if not model.encodes_source:
        read = len(tokenizer.encode(prompt + shown)) if isinstance(prompt, str) else len(prompt) + stands
    return options.max_new_tokens - stands if read + 1 < model.config.context else 0


def _text_of(prompt: Prompt, tokenizer: Tokenizer) -> str:
    """A prompt as text; special tokens in its ids end a line, as they stand between the turns of a dialogue."""
    if isinstance(prompt, str):
        return prompt
    runs = groupby(prompt, key=lambda id: id in tokenizer.all_role_ids)
    return "\n".join(tokenizer.decode(ids) for special, ids in runs if not special)


def _options(options: GenerationOptions | None, settings: dict[str, object]) -> GenerationOptions:
    if options is not None and settings:
        raise ValueError(f"options and {', '.join(settings)} are both given: put the keywords into the options")
    return options_from(settings) if options is None else options


@dataclass(frozen=True)
class _Start:
    """What decoding begins with. `model`: that of the user, steered or not, or its sources; `ids`: the first ids of each
    answer, which it reads; `continued`: those whose text the answer continues; `end`: the end token."""

    model: Any
    ids: list[list[int]]
    continued: list[list[int]]
    forbidden: list[int]
    forced: Forced
    end: int | None


def _begin(
    model: Any, tokenizer: Tokenizer, prompts: Sequence[Prompt], options: GenerationOptions, control: Control | None, begun: str
) -> _Start:
    if tokenizer is None:
        raise ValueError("tokenizer is None: load the tokenizer that the model was trained with")
    if control is not None and options.beams > 1:
        raise ValueError(f"beams={options.beams} can't be steered: sample, or use greedy")
    stands = tokenizer.target.encode(begun)
    if control is not None:
        model = Steered(model, control, options.max_new_tokens + len(stands), written=len(stands))
    config, forbidden = model.config, _forbidden(model, tokenizer)
    if not model.encodes_source:
        start = [] if config.bos_id is None else [config.bos_id]
        ids = [start + tokenizer.encode(each + begun) if isinstance(each, str) else [*each, *stands] for each in prompts]
        return _Start(model, ids, [_own_text(row, config) for row in ids], forbidden, Forced(), config.eos_id)
    template = template_of(tokenizer)
    sources = [template.apply(tokenizer.encode(prompt)).ids if isinstance(prompt, str) else list(prompt) for prompt in prompts]
    for number, source in enumerate(sources, 1):
        if not source or len(source) > config.context:
            what = f"has {len(source)} tokens, but this model's context is {config.context}: shorten it"
            what = what if source else "is empty"
            raise ValueError(f"{'the prompt' if len(sources) == 1 else f'prompt {number}'} {what}")
    read = sources_of(decoding_copy(model, options.max_new_tokens), sources, options.coverage_penalty > 0)
    forced = Forced(*model.forced_ids)
    first = [model.start_id]
    if stands and forced.first is not None:
        first, forced = [*first, forced.first], Forced(None, forced.last)
    return _Start(read, [first + stands for _ in sources], [stands for _ in sources], forbidden, forced, config.eos_id)


def _own_text(ids: list[int], config: Any) -> list[int]:
    """The ids of the text that an answer continues: those after the last start or end of a text."""
    ends = (place for place, id in enumerate(ids, 1) if id in (config.bos_id, config.eos_id))
    return ids[max(ends, default=0) :]


def _forbidden(model: Any, tokenizer: Tokenizer) -> list[int]:
    """Ids without text: special tokens other than the end token, and ids of the model that the tokenizer does not have."""
    config = model.config
    ids = set(tokenizer.all_role_ids) | {id for id in (config.pad_id, config.bos_id) if id is not None}
    ids |= set(range(config.vocab_size)) - tokenizer.target.known_ids
    return sorted(id for id in ids - {config.eos_id} if id < config.vocab_size)


class _Writer:
    """The text of one answer, from its ids one at a time."""

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int], stop: tuple[str, ...], end: int | None):
        self.ids: list[int] = []
        self.log_probability = 0.0
        self._shown: list[str] = []
        self._end = end
        self._stop = StopStrings(stop)
        self._decoder = IncrementalDecoder(tokenizer)
        for id in prompt:  # the answer continues the prompt's text: a space between them belongs to the answer
            self._decoder.push(id)

    @property
    def stopped(self) -> bool:
        """A stop string was found."""
        return self._stop.found

    def push(self, id: int) -> str:
        """Add the next id; returns the text that has become final."""
        self.ids.append(id)
        if id == self._end:
            return ""
        text = self._stop.push(self._decoder.push(id))
        self._shown.append(text)
        return text

    def rest(self) -> str:
        """The text held back as a possible start of a stop string, at the end."""
        text = self._stop.finish()
        self._shown.append(text)
        return text

    def completion(self, prompt: int, sample: int) -> Completion:
        """The finished answer."""
        self.rest()
        reason: Reason = "stop" if self.stopped else "eos" if self.ids[-1] == self._end else "length"
        return Completion("".join(self._shown), self.ids, reason, self.log_probability, prompt, sample)


class StopStrings:
    """Finds the first stop string in a text that arrives in parts; a stop string may span several parts.

    The one that is complete first counts; of two that are complete at the same character, the longer.
    """

    def __init__(self, strings: Sequence[str]):
        self._strings = tuple(strings)
        self._held = ""
        self.found = False

    def push(self, text: str) -> str:
        """Add text; returns the text before any stop string that cannot be the start of one."""
        if self.found:
            return ""
        held = self._held + text
        spots = [(start + len(string), start) for string in self._strings if (start := held.find(string)) >= 0]
        if spots:
            self.found, self._held = True, ""
            return held[: min(spots)[1]]
        keep = max((_overlap(held, string) for string in self._strings), default=0)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def finish(self) -> str:
        """The text held back, at the end."""
        text, self._held = self._held, ""
        return text


def _overlap(text: str, string: str) -> int:
    """Length of the longest end of the text that is a proper start of the string."""
    return next((size for size in range(min(len(text), len(string) - 1), 0, -1) if text.endswith(string[:size])), 0)
