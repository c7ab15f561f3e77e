"""`gyebo.generate` and `gyebo.stream`, the verbs of `gyebo generate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gyebo.api.memory import texts_in
from gyebo.api.models import of_model
from gyebo.api.options import folder, given
from gyebo.api.speaking import aside
from gyebo.config.errors import OptionError
from gyebo.config.toml import Settings, parsed

if TYPE_CHECKING:
    from gyebo.api.speaking import Verbose
    from gyebo.generation.guard import Guard
    from gyebo.generation.pplm import Control
    from gyebo.generation.text import Prompt
    from gyebo.jobs.opened import Given


class Answer(str):
    """A generated text: a string, with how it came about.

    prompt; ids: all generated ids; reason: why it ended, "eos", "stop" or "length"; log_probability: natural, of the ids; with
    rank also score and candidates; with a guard: how often each of its decisions was taken, and no ids.
    """

    prompt: Prompt
    ids: list[int]
    reason: str
    log_probability: float
    score: float
    candidates: list[dict[str, Any]]
    guard: dict[str, int]

    @classmethod
    def of(cls, row: dict[str, Any]) -> Answer:
        """The answer of a row of the job."""
        found = cls(row["text"])
        found.__dict__.update({name: value for name, value in row.items() if name != "text"})
        return found

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        known = dict(self.__dict__)
        return {"prompt": known.pop("prompt"), "text": str(self), **known}


@of_model("generate")
def generate(
    model: Given,
    prompt: str | Sequence[Prompt] = "",
    *,
    max_new_tokens: int | None = None,
    min_new_tokens: int | None = None,
    greedy: bool = False,
    beams: int | None = None,
    rank: int | None = None,
    no_repeat_turn: int | None = None,
    length_penalty: float | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float | None = None,
    no_repeat_ngram: int | None = None,
    samples: int | None = None,
    stop: str | Sequence[str] | None = None,
    seed: int | None = None,
    bag_of_words: str | Path | Sequence[str] | None = None,
    attribute: str | Sequence[str] | None = None,
    strength: float | str | None = None,
    settings: Settings | None = None,
    control: Control | None = None,
    guard: str | Path | Guard | None = None,
    guard_mode: str | None = None,
    policy: str | Path | None = None,
    device: str = "auto",
    precision: str = "float32",
    on_text: Callable[[str], None] | None = None,
    verbose: Verbose = None,
) -> Answer | list[Answer] | list[list[Answer]]:
    """Generate text: `gyebo.generate("runs/x", "오늘은", max_new_tokens=40, top_p=0.9, seed=1)`, or with `model, tokenizer`.

    prompt: one text, or several, which give a list; a prompt may be a list of ids. With `samples` each has a list of answers.
    An answer is a string. Without `greedy` or `beams` tokens are sampled; what each option does: docs/generation.md.

    bag_of_words, attribute, strength, settings: what answers are steered to, as files, or `control`, as an object
    (docs/control.md). guard: a guard or the file of one, with `guard_mode` and `policy` (docs/guard.md). on_text: called with
    the text while it is generated; nothing is returned then.

    Raises ValueError, one line, for options without effect, a prompt that is too long, and a model that generates no text.
    """
    from gyebo.jobs.control import Wanted
    from gyebo.jobs.generate import generate as job

    options = _options(
        max_new_tokens=max_new_tokens,
        min_new_tokens=min_new_tokens,
        greedy=greedy or None,
        beams=beams,
        rank=rank,
        no_repeat_turn=no_repeat_turn,
        length_penalty=length_penalty,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        no_repeat_ngram=no_repeat_ngram,
        samples=samples,
        stop=stop,
        seed=seed,
    )
    steering = _typed(settings)
    wanted = Wanted(_several(bag_of_words), _several(attribute), None if strength is None else str(strength), steering)
    if control is not None and (wanted or strength is not None):
        raise OptionError("‹control› and ‹bag_of_words›, ‹attribute› or ‹strength› exclude each other: keep one")
    rows = job(
        model,
        _prompts(prompt),
        options,
        precision=precision,
        device=device,
        on_text=on_text,
        wanted=wanted,
        note=aside(verbose).print,
        control=control,
        guard=_guard(guard),
        mode=guard_mode,
        policy=None if policy is None else str(policy),
    )
    answers = [Answer.of(row) for row in rows]
    if samples is None or samples == 1 or not answers:
        return answers[0] if isinstance(prompt, str) and answers else answers
    grouped = [answers[start : start + samples] for start in range(0, len(answers), samples)]
    return grouped[0] if isinstance(prompt, str) else grouped


@of_model("generate")
def stream(
    model: Given,
    prompt: Prompt = "",
    *,
    max_new_tokens: int | None = None,
    min_new_tokens: int | None = None,
    greedy: bool = False,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float | None = None,
    no_repeat_ngram: int | None = None,
    stop: str | Sequence[str] | None = None,
    seed: int | None = None,
    control: Control | None = None,
    guard: str | Path | Guard | None = None,
    device: str = "auto",
    precision: str = "float32",
) -> Iterator[str]:
    """The text of one answer in parts, as soon as they are final: `for part in gyebo.stream("runs/x", "오늘은"): ...`.

    Joined they are the text of `gyebo.generate` with these options. Errors, as there, are raised at once.
    """
    from functools import partial

    from gyebo.generation import stream as parts
    from gyebo.generation.guard import Guard as Opened
    from gyebo.generation.options import options_from
    from gyebo.jobs.generate import open_with
    from gyebo.jobs.guard.opening import open_guard

    options = _options(
        max_new_tokens=max_new_tokens,
        min_new_tokens=min_new_tokens,
        greedy=greedy or None,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        no_repeat_ngram=no_repeat_ngram,
        stop=stop,
        seed=seed,
    )
    checked, asked = options_from(options), _guard(guard)
    if not isinstance(prompt, str) and not all(isinstance(id, int) for id in prompt):
        raise OptionError("‹prompt› must be one text, or the ids of one: a stream has one answer")
    watch: Callable[..., Any] = lambda *_: asked  # noqa: E731
    if asked is not None and not isinstance(asked, Opened):
        watch = partial(open_guard, asked, device=device)
    opened, tokenizer, guarding = open_with(model, precision, device, watch)
    return parts(opened, tokenizer, prompt, checked, control=control, guard=guarding)


def _options(*, stop: str | Sequence[str] | None, **values: Any) -> dict[str, Any]:
    if stop is None:
        return given(**values)
    return given(**values) | {"stop": (stop,) if isinstance(stop, str) else tuple(stop)}


def _prompts(prompt: Any) -> list[Any]:
    """Several prompts, each a text or ids."""
    if isinstance(prompt, str):
        return [prompt]
    if isinstance(prompt, list | tuple) and any(not isinstance(each, str) for each in prompt):
        if not all(isinstance(each, str | list | tuple) for each in prompt):
            raise OptionError("‹prompt› must be a text, or a list of texts or of lists of ids")
        return [each if isinstance(each, str) else list(each) for each in prompt]
    return list(texts_in(prompt, "prompt"))


def _several(value: str | Path | Sequence[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (str(value),) if isinstance(value, str | Path) else tuple(map(str, value))


def _typed(settings: Settings | None) -> list[str]:
    """Settings as they are typed: NAME=VALUE."""
    import json

    if settings is None or not isinstance(settings, dict):
        return [*(settings or ())] if not isinstance(settings, str) else [*parsed(settings)]
    return [f"{name}={json.dumps(value)}" for name, value in parsed(settings).items()]


def _guard(guard: Any) -> Any:
    """A guard, or the path of its file."""
    from gyebo.generation.guard import Guard as Opened

    return guard if guard is None or isinstance(guard, Opened) else folder(guard)
