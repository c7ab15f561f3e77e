"""A guard from its file: its models, lists and vectors are loaded, its policy is read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from gyebo.config import durable, toml
from gyebo.config.errors import OptionError
from gyebo.config.guard import CheckOptions, GuardOptions, PolicyOptions, TopicOptions, beside
from gyebo.generation.guard import MODES, Decision, Exemplars, Guard, Rule, Topic
from gyebo.generation.guard.checks import Check, Encode, Vectors, class_check, similarity_check, word_check
from gyebo.generation.guard.policy import DEFAULTS, by_class, by_words, listed
from gyebo.generation.pplm import Control, Steered
from gyebo.interchange import load
from gyebo.jobs.control import Wanted, open_control
from gyebo.jobs.finetuned_model import open_model
from gyebo.jobs.inference import ready
from gyebo.tasks.embedding import check_pooling, embed
from gyebo.tasks.task import Example
from gyebo.text import word_list
from gyebo.text.tokenizer import Tokenizer
from gyebo.training.device import pick_device

DEFAULT_POLICY = "default"
Scores = Callable[[Sequence[str]], list[float]]
Steer = Callable[[TopicOptions, Path], Control | None]


def open_guard(
    path: str | Path,
    model: Any = None,
    tokenizer: Tokenizer | None = None,
    *,
    mode: str | None = None,
    policy: str | None = None,
    device: str = "auto",
    note: Callable[[str], None] = lambda text: None,
) -> Guard:
    """The guard of a file. `mode`, `policy` (a file, or "default"): instead of the file's. `model`, as it was loaded, and
    `tokenizer`: whose answers are guarded, needed where a topic of the policy steers them; `note`: called with words of a bag
    that are left out.

    Raises ValueError and FileNotFoundError for what is wrong with the file or with what it names, and for a neutral answer that
    does not pass the guard itself.
    """
    steer = partial(_control, model=model, tokenizer=tokenizer, note=note)
    path = Path(path)
    values, source = toml.read_with_lines(path)
    if mode not in (None, *MODES):
        raise OptionError(f"‹guard_mode› must be one of {', '.join(MODES)}, but is {mode!r} instead")
    options = toml.check(GuardOptions, values | ({"mode": mode} if mode else {}), source)
    with source.named():
        topics = _topics(policy, Path(), device, steer) if policy else _topics(options.policy, path, device, steer)
        guard = Guard(
            rules=tuple(_rule(check, path, device) for check in options.checks),
            mode=options.mode,
            rate=options.rate,
            retries=options.retries,
            neutral=options.neutral,
            longest=options.longest,
            window=options.window,
            topics=topics,
            log=partial(_append, path.parent / options.log),
        )
        check_neutral(guard)
    return guard


def _append(file: Path, decision: Decision) -> None:
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(decision.as_dict(), ensure_ascii=False) + "\n")


def check_neutral(guard: Guard) -> None:
    """OptionError where a neutral answer does not pass the guard itself, by a rate that some topic asks for."""
    rates = sorted({guard.rate, *(topic.rate for topic in guard.topics if topic.rate is not None)})
    for text in {guard.neutral_for(prompt) for prompt in ("가", "a")}:
        failed = [found for rate in rates for found in guard.judge({"sentence": text}, "", rate) if found.failed]
        if failed:
            reason = f"{failed[0].check}, {failed[0].reason}"
            raise OptionError(
                f"the neutral answer {text!r} does not pass the guard itself ({reason}): choose another ‹neutral›"
            )


def _rule(options: CheckOptions, file: Path, device: str) -> Rule:
    thresholds = {float(rate): threshold for rate, threshold in options.thresholds.items()}
    return Rule(options.name, check_of(options, file, device), thresholds)


def check_of(options: CheckOptions, file: Path, device: str) -> Check:
    """A check, as the guard's file has it."""
    where = beside(options.file or "", file)
    if options.kind == "words":
        return word_check(word_list.read(where))
    model = beside(options.model or "", file)
    if options.kind == "classifier":
        return class_check(class_scores(model, options.classes or [], device), ", ".join(options.classes or []))
    exemplars = read_exemplars(Path(where))
    encode, width = encoder(model, device)
    if width != exemplars.vectors.shape[1]:
        raise ValueError(
            f"{where}: has vectors of {exemplars.vectors.shape[1]} numbers, but {model} gives {width}: fit the guard again"
        )
    return similarity_check(encode, exemplars, options.neighbours)


def class_scores(name: str, classes: Sequence[str], device: str) -> Scores:
    """A function from texts to what a classifier says of classes: the sum of their probabilities; of the linear baseline, the
    largest of their margins. ValueError for a model of another kind, or a class that it does not have."""
    opened = open_model(name)
    if opened.kind.name != "classification" or (opened.trained is not None and opened.trained.paired):
        raise ValueError(f"{name} is no classifier of single texts: fine-tune one, gyebo finetune MODEL classification")
    labels = opened.labels or (opened.texts.task.labels if opened.texts else ())
    if unknown := sorted(set(classes) - set(labels)):
        raise ValueError(f"{name} has no class {unknown[0]!r}{toml.suggest(unknown[0], labels)}")
    together = sum if opened.tokenizer else max

    def score(answer: str | dict[str, float]) -> float:
        return float(answer in classes if isinstance(answer, str) else together(answer[name] for name in classes))

    def scores(texts: Sequence[str]) -> list[float]:
        examples = [Example(str(number), text) for number, text in enumerate(texts, 1)]
        return [score(answer) for answer in opened.predict(examples, device=device, precision="float32", max_length=None)]

    return scores


def encoder(name: str, device: str) -> tuple[Encode, int]:
    """A function from texts to their mean vectors, and the width of these; ValueError for a model without text embeddings."""
    model, tokenizer = load(name)
    if tokenizer is None:
        raise ValueError(f"{name} has no tokenizer")
    check_pooling(model, "mean")
    autocast = ready(model.eval(), pick_device(device), "float32")

    def encode(texts: Sequence[str]) -> Vectors:
        with autocast():
            return embed(model, tokenizer, texts, "mean")[0]

    return encode, model.config.width


def write_exemplars(path: Path, exemplars: Exemplars) -> None:
    """Store exemplars with their vectors."""
    tensors = {"vectors": exemplars.vectors, "mean": exemplars.mean, "whitening": exemplars.whitening}
    tensors["unwanted"] = exemplars.unwanted.astype(np.float32)
    with durable.replacing(path) as aside:
        save_file(tensors, aside, {"texts": json.dumps(exemplars.texts, ensure_ascii=False)})


def read_exemplars(path: Path) -> Exemplars:
    """What `write_exemplars` stored; FileNotFoundError, or ValueError for another file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with safe_open(str(path), framework="numpy") as file:
            found = {name: file.get_tensor(name) for name in ("vectors", "mean", "whitening", "unwanted")}
            texts = tuple(json.loads((file.metadata() or {})["texts"]))
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise ValueError(f"{path}: not the vectors of exemplars ({error}): fit the guard again") from None
    if len(texts) != len(found["vectors"]):
        raise ValueError(f"{path}: {len(texts)} texts, but {len(found['vectors'])} vectors: fit the guard again")
    return Exemplars(texts, found["vectors"], found["unwanted"] > 0, found["mean"], found["whitening"])


def _topics(name: str | None, file: Path, device: str, steer: Steer) -> tuple[Topic, ...]:
    """The topics of a policy; "default": those of gyebo."""
    if name is None:
        return ()
    if name == DEFAULT_POLICY:
        return tuple(Topic(topic, action, by_words(listed(words))) for topic, (action, words) in DEFAULTS.items())
    path = Path(beside(name, file))
    values, source = toml.read_with_lines(path)
    options = toml.check(PolicyOptions, values, source)
    with source.named():
        return tuple(_topic(topic, path, device, steer) for topic in options.topics)


def _topic(options: TopicOptions, file: Path, device: str, steer: Steer) -> Topic:
    if options.words is not None:
        path = Path(beside(options.words, file))
        concerns = by_words(word_list.read(path) if path.is_file() else listed(options.words))
    else:
        scores = class_scores(beside(options.model or "", file), options.classes or [], device)
        concerns = by_class(scores, ", ".join(options.classes or []), options.threshold or 0.0)
    return Topic(options.name, options.action, concerns, options.rate, steer(options, file))


def _control(
    options: TopicOptions, file: Path, *, model: Any, tokenizer: Tokenizer | None, note: Callable[[str], None]
) -> Control | None:
    """What answers of a topic are steered to."""
    bags, attributes = ([_placed(name, file) for name in names] for names in (options.bag_of_words, options.attribute))
    if not bags and not attributes:
        return None
    if model is None or tokenizer is None:
        raise ValueError(f"{options.name} steers answers: give open_guard the model and its tokenizer, too")
    control = open_control(Wanted(bags, attributes), model, tokenizer, note)
    Steered(model, control)  # refuses what does not fit now, not when somebody comes to speak of the topic
    return control


def _placed(name: str, file: Path) -> str:
    """FILE[=STRENGTH] or DIR:CLASS[=STRENGTH] of a policy, whose path is relative to it."""
    path = file.parent / name
    inside = path if path.exists() else path.parent / re.split("[:=]", path.name)[0]
    return str(path) if inside.exists() else name
