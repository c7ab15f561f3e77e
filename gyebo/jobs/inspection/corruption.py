"""`gyebo inspect corruption`: what a family reads of a text, and what it is to predict."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from gyebo.config import toml
from gyebo.config.errors import OptionError
from gyebo.config.run import DataOptions, RunOptions
from gyebo.data.batches import Rows
from gyebo.data.order import shuffled
from gyebo.data.prepare import first_records, first_texts, open_corpus, split_of, split_of_pictures
from gyebo.data.shards import Split
from gyebo.jobs.inspection.shown import Inspection, examples_of
from gyebo.jobs.model_building import shaped
from gyebo.jobs.objective_building import build_objective, chosen, options_of
from gyebo.jobs.pretraining.corpus import refuse_idle
from gyebo.models import family as tree
from gyebo.models.tree.row import Family
from gyebo.objectives.facts import ObjectiveFacts
from gyebo.objectives.objective import Objective, Setting
from gyebo.tasks import text_answers
from gyebo.tasks.kinds.table import find_kind
from gyebo.tasks.reading import reader_of
from gyebo.tasks.registry import TASKS
from gyebo.tasks.wording import text_task
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.training import train_tokenizer

CHARACTERS = 500_000  # of the corpus, from its beginning: enough to train a tokenizer in a second
PAIRS = 300  # of a task, likewise
CONTEXT = 64
VOCABULARY = RunOptions.model_fields["vocab_size"].default
PICTURES = 200  # that are read of a corpus of pictures
SHOWN_OPTIONS = (  # of the corpus, where rows differ
    "documents", "text_field", "bad_bytes", "across_documents", "plan_seed", "picture_field", "picture_size", "picture_fit",
    "crop_size",
)  # fmt: skip

TokenizerFor = Callable[[Sequence[str]], Tokenizer]  # from the texts that one may be trained on


def inspect_corruption(
    family: str,
    corpus: Sequence[str] = (),
    *,
    objective: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    tokenizer: str | None = None,
    vocab_size: int | None = None,
    context: int = CONTEXT,
    examples: int = 4,
    seed: int = 0,
    console: Console | None = None,
) -> Inspection:
    """The first examples of a pretraining with this seed on the beginning of a corpus (500,000 characters).

    corpus: as in a pretraining, by default the world's, with pictures for a family that sees; for a family that learns from
    pairs, a task of the world. objective, data: options of these sections. tokenizer: a directory; without, one of
    `vocab_size` ids (16,000) is trained on the same text. context: most tokens of a row. Raises ValueError for what does not
    fit together.
    """
    found = tree.find(family)
    if not found.reads_text:
        raise ValueError(
            f"{found.title} learns from pictures as they are, and hides nothing of them: see gyebo inspect reconstructions"
        )
    facts = chosen(found, objective or {})
    if facts.of == "pictures":
        raise ValueError(f"{found.title} learns texts and their pictures as they are, and hides nothing of them")
    if tokenizer and vocab_size:
        raise OptionError("‹vocab_size› has no effect with ‹tokenizer›: drop one")

    def tokenizer_for(texts: Sequence[str]) -> Tokenizer:
        if tokenizer:
            return Tokenizer.load(tokenizer).for_family(roles_of(found))
        size = vocab_size or VOCABULARY
        if console:
            console.print(
                f"no tokenizer given: training a byte-level BPE with at most {size:,} ids on these texts", highlight=False
            )
        return train_tokenizer(texts, "bpe", size).for_family(roles_of(found))

    rows = {"context": context, "count": examples, "seed": seed}
    if not facts.kind:
        usual = "world:pictures,statements,questions" if "sees" in facts.capabilities else "world:"
        return _of_corpus(found, facts, list(corpus) or [usual], tokenizer_for, objective or {}, data or {}, **rows)
    for section, given in (("objective", objective), ("data", data)):
        if given:
            raise OptionError(f"‹{section}.{next(iter(given))}› has no effect: {family} learns from pairs, as they are")
    return _of_task(found, facts, corpus, tokenizer_for, **rows)


def _of_corpus(
    family: Family,
    facts: ObjectiveFacts,
    corpus: list[str],
    tokenizer_for: TokenizerFor,
    options: Mapping[str, Any],
    data: Mapping[str, Any],
    *,
    context: int,
    count: int,
    seed: int,
) -> Inspection:
    if idle := next((name for name in data if name not in SHOWN_OPTIONS), None):
        raise OptionError(f"‹data.{idle}› has no effect on what an example looks like: leave it out")
    opened = open_corpus(toml.check(DataOptions, {**data, "corpus": corpus}, section="data"), fingerprint=False)
    refuse_idle(opened)
    pictured = [source for source in opened.sources if source.pictured]
    records = first_records(opened, PICTURES) if pictured else []
    texts = [text.text for record in records for text in record.texts] if pictured else first_texts(opened, CHARACTERS)
    if not any(texts):
        raise ValueError(f"{', '.join(corpus)}: no training text in it: it is empty, or held out whole")
    tokenizer, cls = tokenizer_for(texts).with_sentinels(facts.sentinels), tree.model_class(family.name)
    start: dict[str, Any] = {"encodes_source": True, "start_id": _config(cls, tokenizer).first_id} if cls.encodes_source else {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        given = opened.options
        split = split_of_pictures(records, given, tokenizer, place) if records else split_of(texts, tokenizer, place)
        across = given.across_documents
        setting = Setting(
            tokenizer, roles_of(family), split, cls.possible_heads(), across_documents=across, gives_raw=cls.gives_raw, **start
        )
        objective = build_objective(facts, options_of(facts, family, options), setting)
        plan = objective.plan(split, context, given.plan_seed)
        numbers, epochs = plan.order(0, min(count, len(plan)), seed)
        rows = Rows(split, plan, objective, tokenizer.role_ids.get("pad", 0))
        batch = rows.batch(numbers, [[seed, int(epoch)] for epoch in epochs])
        originals = [_originals(objective, split, plan.row(int(number)), tokenizer) for number in numbers]
    shown = itertools.islice(examples_of(batch, objective.fields, tokenizer, originals), count)
    options_to_choose = facts.load().Options.model_fields and not facts.likelihood
    return Inspection(family.title, facts.learns, objective.describe() if options_to_choose else "", tuple(shown))


def _config(cls: Any, tokenizer: Tokenizer) -> Any:
    """A config of the family for the tokenizer: it knows with which ids a target begins."""
    return shaped(next(iter(cls.sizes.values())), {}, tokenizer, windows=cls.has_windows)


def _originals(objective: Objective, split: Split, row: NDArray[np.int64], tokenizer: Tokenizer) -> dict[int, tuple[str, ...]]:
    """Number of a document in its row -> the texts of the pieces that it is made from."""
    texts = [
        tokenizer.decode(objective.read(split, piece, number)["input_ids"].tolist()).strip() for number, piece in enumerate(row)
    ]
    return {1: tuple(texts)} if objective.one_document else {number: (text,) for number, text in enumerate(texts, 1)}


def _of_task(
    family: Family,
    facts: ObjectiveFacts,
    names: Sequence[str],
    tokenizer_for: TokenizerFor,
    *,
    context: int,
    count: int,
    seed: int,
) -> Inspection:
    """Pairs of a task of the world, in the order of `seed`."""
    known = {name: task for name, task in TASKS.items() if task.kind == facts.kind and task.world}
    name = next(iter(names), next(iter(known)))
    if len(names) > 1 or name not in known:
        raise ValueError(
            f"{' '.join(names)}: {family.name} learns from the pairs of a task, not from a corpus: name one of "
            f"{', '.join(known)}"
        )
    kind, world = find_kind(facts.kind), known[name].world
    assert kind.text is not None and world is not None
    form = kind.text.of(text_task(known[name], prefixes=family.prefixes))
    pairs = list(itertools.islice(world("train"), PAIRS))
    sides = [(form.source(pair), text_answers.target_of(form, pair)) for pair in pairs]
    tokenizer, cls = tokenizer_for([text for pair in sides for text in pair]), tree.model_class(family.name)
    features = text_answers.encode(form, pairs, tokenizer, max_length=context, reader=reader_of(cls, _config(cls, tokenizer)))
    order, _ = shuffled(0, min(count, len(pairs)), len(pairs), seed)
    originals = [{1: sides[number]} for number in order]
    shown = examples_of(features.batch(order), features.fields, tokenizer, originals)
    return Inspection(family.title, f"{facts.learns}, here {name}", "", tuple(shown))
