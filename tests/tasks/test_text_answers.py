"""Answers as text: what of an example is read and learned is the kind's to say, and so is what an example without text gets."""

import pytest
import torch

from gyebo.generation.options import GenerationOptions
from gyebo.models.family import FAMILIES
from gyebo.models.transformer import Transformer, TransformerConfig
from gyebo.tasks import text_answers
from gyebo.tasks.kinds.kind import TextForm
from gyebo.tasks.reading import Reader
from gyebo.tasks.task import Example
from gyebo.tasks.text_task import TextTask
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer

FORM = TextForm(
    source=lambda example, task: f"{example.pair} {example.text}",
    target=lambda example, task: example.answers[0][1] if example.answers else None,
    answer=lambda text, example, task: (example.id, text),
).of(TextTask(name="any", kind="any"))
KNOWN = Example("a", "나무 하늘", "바다", answers=((0, "good film"),))
UNKNOWN = Example("b", "나무", "바다", label="not the target")


@pytest.fixture
def tokenizer(tokenizer_folder):
    return Tokenizer.load(tokenizer_folder).for_family(roles_of(FAMILIES["transformer"]))


def encode(examples, tokenizer, **more):
    return text_answers.encode(FORM, examples, tokenizer, max_length=24, reader=Reader(context=64, start=1), **more)


def test_rows_are_the_forms_source_and_target(tokenizer):
    columns = encode([KNOWN], tokenizer).columns
    end = tokenizer.role_ids["eos"]
    assert columns["input_ids"][0].tolist() == [*tokenizer.encode("바다 나무 하늘"), end]
    assert columns["labels"][0].tolist() == [*tokenizer.encode("good film"), end]
    assert columns["decoder_input_ids"][0].tolist() == [1, *tokenizer.encode("good film")]


def test_a_missing_target_names_its_example_where_it_is_needed(tokenizer):
    with pytest.raises(ValueError, match="example b "):
        encode([KNOWN, UNKNOWN], tokenizer)
    found = encode([KNOWN, UNKNOWN], tokenizer, targets=False)
    assert set(found.columns) == {"input_ids"} and len(found) == 2


def test_only_a_source_is_too_long_where_targets_are_not_needed(tokenizer):
    long = Example("c", "나무", "바다", answers=((0, "good film " * 30),))
    assert encode([long], tokenizer).too_long == 1 and encode([long], tokenizer, targets=False).too_long == 0


@pytest.mark.parametrize("empty", [None, lambda: "nothing"])
def test_an_example_without_text_is_answered_as_the_kind_says(tokenizer, empty):
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(tokenizer.vocab_size, 32, 16, 1, 1, 2, 24, residual_dropout=0.0))
    examples = [Example("full", "나무", "바다"), Example("empty", "", "바다")]
    features = encode(examples, tokenizer, targets=False)
    full, other = text_answers.predict(FORM, model, features, examples, options=GenerationOptions(), empty=empty)
    assert full[0] == "full" and (other == "nothing" if empty else other[0] == "empty")
