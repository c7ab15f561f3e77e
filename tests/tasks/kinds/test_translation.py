"""Sentence pairs: how they become rows and batches, what is learned from them, and how translations are scored."""

from __future__ import annotations

import gzip
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gyebo.config.finetune import TaskOptions
from gyebo.models.family import FAMILIES
from gyebo.models.transformer import Transformer, TransformerConfig
from gyebo.objectives.source_target import TargetLoss
from gyebo.tasks import text_answers
from gyebo.tasks.data import loading
from gyebo.tasks.data.parallel import aligned, translation_task
from gyebo.tasks.features import ExampleRows, token_groups
from gyebo.tasks.kinds.translation import KIND
from gyebo.tasks.metrics.metrics import by_length, measure
from gyebo.tasks.reading import Reader
from gyebo.tasks.registry import find
from gyebo.tasks.splits import read_task
from gyebo.tasks.task import Example
from gyebo.tasks.text_task import TextTask
from gyebo.text.dropout import BpeDropoutTokenizer
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer

FORM = KIND.text.of(TextTask(name="translation", kind="translation"))
PAIRS = [
    ("나무 하늘", "the film was good"),
    ("친구", "a"),
    ("바다 바다 사람 노래 아침", "b the b the"),
    ("고양이", "good film"),
]


@pytest.fixture
def tokenizer(tokenizer_folder):
    return Tokenizer.load(tokenizer_folder).for_family(roles_of(FAMILIES["transformer"]))


def encode(examples, tokenizer, max_length, start, **more):
    return text_answers.encode(
        FORM, examples, tokenizer, max_length=max_length, reader=Reader(context=512, start=start), **more
    )


def examples(pairs=PAIRS):
    return [Example(f"line {n}", source, label=target) for n, (source, target) in enumerate(pairs, 1)]


def test_rows_hold_source_target_and_what_is_predicted(tokenizer):
    features = encode(examples(), tokenizer, 32, start=1)
    end = tokenizer.role_ids["eos"]
    batch = features.batch([0, 1, 2, 3])
    for row, (source, target) in enumerate(PAIRS):
        real = batch["document_ids"][row] == 1
        assert batch["input_ids"][row][real].tolist() == [*tokenizer.encode(source), end]
        written = batch["decoder_document_ids"][row] == 1
        assert batch["decoder_input_ids"][row][written].tolist() == [1, *tokenizer.encode(target)]
        assert batch["labels"][row][written].tolist() == [*tokenizer.encode(target), end]
        assert (batch["labels"][row][~written] == -100).all()


def test_long_pairs_are_left_out_of_training_and_cut_elsewhere(tokenizer):
    room = len(tokenizer.encode(PAIRS[0][0])) + 1
    kept = encode(examples(), tokenizer, max(room, len(tokenizer.encode(PAIRS[0][1])) + 1), start=1, skip_long=True)
    assert 2 not in kept.example and 0 in kept.example and kept.too_long == 4 - len(kept) > 0
    cut = encode(examples(), tokenizer, 4, start=1)
    assert len(cut) == 4 and cut.too_long and int(cut.lengths.max()) <= 4
    assert cut.columns["input_ids"][2].tolist()[-1] == tokenizer.role_ids["eos"]


def test_with_dropped_merges_what_became_too_long_keeps_its_pieces(tokenizer):
    """So every target still ends where its sentence does."""
    dropping = BpeDropoutTokenizer(tokenizer, 0.3, "x")
    longest = max(len(tokenizer.encode(text)) for pair in PAIRS for text in pair) + 4
    found = encode(examples(PAIRS * 5), dropping, longest, start=1, fallback=tokenizer)
    for number, (source, target) in enumerate(PAIRS * 5):
        assert tokenizer.decode(found.columns["input_ids"][number].tolist()) == source
        assert tokenizer.decode(found.columns["labels"][number].tolist()) == target
    assert found.too_long > 0 and any(
        found.columns["labels"][n].tolist()[:-1] != tokenizer.encode(target) for n, (_, target) in enumerate(PAIRS * 5)
    )


def test_every_epoch_has_every_pair_once_in_batches_of_like_length(tokenizer):
    rng = np.random.default_rng(0)
    many = [(" ".join(["나무"] * n), " ".join(["good"] * m)) for n, m in rng.integers(1, 12, (200, 2))]
    features = encode(examples(many), tokenizer, 64, start=1)
    rows = ExampleRows(features, groups=token_groups(features, 60))
    target, source = features.columns["decoder_input_ids"].lengths, features.lengths
    for pairs in rows.groups:
        assert max(source[pairs].sum(), target[pairs].sum()) <= 60 or len(pairs) == 1
        assert target[pairs].max() - target[pairs].min() <= 8
    for epoch in (0, 1):
        steps = range(epoch * len(rows), (epoch + 1) * len(rows))
        seen = Counter(id for step in steps for id in rows.ids(step, 1, seed=5))
        assert set(seen.values()) == {1} and len(seen) == 200
    order = [rows.ids(step, 1, 5) for step in range(2 * len(rows))]
    assert order[: len(rows)] != order[len(rows) :] and order == [rows.ids(step, 1, 5) for step in range(2 * len(rows))]
    assert order != [rows.ids(step, 1, 6) for step in range(2 * len(rows))]
    assert len(rows.step(3, 1, 5)["input_ids"]) == len(rows.ids(3, 1, 5))
    like = encode(examples([("나무 바다", "the film")] * 6), tokenizer, 64, start=1)
    widest = int(max(like.lengths[0], like.columns["decoder_input_ids"].lengths[0]))
    assert [len(group) for group in token_groups(like, 3 * widest)] == [3, 3]  # full to the last token
    with pytest.raises(ValueError, match="no training examples"):
        token_groups(encode(examples([("나무 바다", "the film was good")]), tokenizer, 2, start=1, skip_long=True), 60)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_torchs_over_the_targets_tokens(tokenizer, smoothing):
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(tokenizer.vocab_size, 64, 32, 1, 1, 2, 48, residual_dropout=0.0))
    batch = {
        name: torch.from_numpy(array) for name, array in encode(examples(), tokenizer, 32, start=1).batch(range(4)).items()
    }
    objective = TargetLoss("task", smoothing)
    total, weight = objective.loss(model, batch)["task"]
    logits = model(batch["input_ids"], batch["document_ids"], batch["decoder_input_ids"], batch["decoder_document_ids"]).logits
    expected = F.cross_entropy(
        logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=-100, reduction="sum", label_smoothing=smoothing
    )
    assert weight == 1.0 and float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert objective.counts(batch)["task"] == sum(len(tokenizer.encode(target)) + 1 for _, target in PAIRS)


def test_bleu_is_sacrebleus_and_its_formula():
    """One sentence of five words, all four n-gram precisions by hand: 4/5, 3/4, 2/3, 1/2; no brevity penalty."""
    pairs = [Example("1", "x", label="the cat sat down there")]
    task = find("multi30k-en-de")
    found = measure(task, ["the cat sat down here"], pairs)
    assert found["bleu"] == found["bleu_tokenized"] == pytest.approx((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    assert 0 < found["chrf"] < 1
    assert measure(task, ["the cat sat down there"], pairs) == pytest.approx({"bleu": 1, "bleu_tokenized": 1, "chrf": 1})
    cased = measure(task, ["A dog, running."], [Example("1", "x", label="A dog, running .")])
    assert (
        cased["bleu"] == pytest.approx(1) and cased["bleu_tokenized"] < 0.5
    )  # one tokenises, the other takes words as they stand


def test_a_translation_without_a_reference_is_not_scored():
    with pytest.raises(ValueError, match="^1 has no label"):
        measure(find("multi30k-en-de"), ["the cat"], [Example("1", "x")])


def test_bleu_by_length_is_bleu_of_each_group():
    rng = np.random.default_rng(1)
    words = ["a", "dog", "runs", "in", "the", "snow", "."]
    references = [" ".join(rng.choice(words, n)) for n in rng.integers(4, 14, 60)]
    predictions = [" ".join(text.split()[:-1]) for text in references]
    found = by_length("bleu_tokenized", predictions, references, step=5, least=10)
    assert [count for _, count, _ in found] == [sum(low < len(r.split()) <= low + 5 for r in references) for low in (0, 5, 10)]
    for (length, _, score), low in zip(found, (0, 5, 10)):
        chosen = [n for n, r in enumerate(references) if low < len(r.split()) <= low + 5]
        pairs = [Example(str(n), label=references[n]) for n in chosen]
        assert score == measure(find("multi30k-en-de"), [predictions[n] for n in chosen], pairs)["bleu_tokenized"]
        assert length == pytest.approx(np.mean([len(references[n].split()) for n in chosen]))
    assert len(by_length("bleu_tokenized", predictions, references, step=5, least=61)) == 0


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def test_two_aligned_files_and_columns_give_the_same_pairs(tmp_path):
    write(tmp_path / "train.ko", [s for s, _ in PAIRS])
    (tmp_path / "train.en.txt.gz").write_bytes(gzip.compress("".join(f"{t}\n" for _, t in PAIRS).encode()))
    write(tmp_path / "pairs.tsv", ["ko\ten", *(f"{s}\t{t}" for s, t in PAIRS)])
    task = translation_task("ko", "en")
    files = loading.load(task, "train", tmp_path / "train")
    table = loading.load(task, "train", tmp_path / "pairs.tsv")
    assert [(e.text, e.label) for e in files.examples] == [(e.text, e.label) for e in table.examples] == PAIRS


def test_languages_may_be_called_source_and_target(tmp_path):
    """In either direction: the names of the files decide, not the order in which they are read."""
    (tmp_path / "train.source").write_text("a dog\n")
    (tmp_path / "train.target").write_text("ein hund\n")
    for languages, texts in ((("source", "target"), ("a dog", "ein hund")), (("target", "source"), ("ein hund", "a dog"))):
        (example,) = loading.load(translation_task(*languages), "train", tmp_path / "train").examples
        assert (example.text, example.label) == texts


def test_misaligned_files_name_both_counts(tmp_path):
    write(tmp_path / "a.en", ["one", "two", "three"])
    write(tmp_path / "a.de", ["eins", "zwei"])
    with pytest.raises(ValueError, match=r"a\.en has 3 lines, but .*a\.de has 2"):
        list(aligned(tmp_path / "a.en", tmp_path / "a.de"))


def test_empty_lines_are_left_out_of_training_with_their_count_and_refused_elsewhere(tmp_path):
    write(tmp_path / "a.en", ["one", "", "three", "four"])
    write(tmp_path / "a.de", ["eins", "zwei", "", "vier"])
    task = translation_task("en", "de")
    found = loading.load(task, "train", tmp_path / "a")
    assert [e.text for e in found.examples] == ["one", "four"]
    assert any("1 row can't be used" in note for note in found.notes) and any("without text" in note for note in found.notes)
    with pytest.raises(ValueError, match=r"line 3: de is empty"):
        loading.load(task, "dev", tmp_path / "a")


@pytest.mark.parametrize(
    ("make", "source", "words"),
    [
        (lambda p: write(p / "a.en", ["one"]), "a", r"a\.de: no such file .*available: a\.en"),
        (lambda p: write(p / "a.tsv", ["en\tfr", "one\tun"]), "a.tsv", "no column 'de'"),
        (lambda p: (write(p / "a.en", []), write(p / "a.de", [])), "a", "the files are empty"),
    ],
)
def test_a_missing_language_is_named(tmp_path, make, source, words):
    make(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        loading.load(translation_task("en", "de"), "train", tmp_path / source)


def test_the_world_is_translated_without_any_file():
    parts = {split: loading.load(find("world-ko-en"), split).examples for split in ("dev", "test")}
    assert [len(part) for part in parts.values()] == [250, 500]
    assert not {e.text for e in parts["dev"]} & {e.text for e in parts["test"]}
    for example in parts["dev"]:
        assert any("가" <= c <= "힣" for c in example.text) and not any("가" <= c <= "힣" for c in str(example.label))
    other = next(iter(find("world-en-ko").world("dev")))
    assert any("가" <= c <= "힣" for c in str(other.label)) and not any("가" <= c <= "힣" for c in other.text)


def test_a_translation_is_needed_in_a_test_set_too(tmp_path):
    """Other kinds may publish one without answers."""
    write(tmp_path / "a.en", ["one", "two"])
    write(tmp_path / "a.de", ["eins", ""])
    with pytest.raises(ValueError, match=r"line 2: de is empty"):
        loading.load(translation_task("en", "de"), "test", tmp_path / "a")


def test_a_translation_of_spaces_alone_is_none(tmp_path):
    write(tmp_path / "a.en", ["one", "two"])
    write(tmp_path / "a.de", ["eins", "  "])
    assert [e.text for e in loading.load(translation_task("en", "de"), "train", tmp_path / "a").examples] == ["one"]


def test_several_translations_of_a_sentence_are_no_label_noise(tmp_path):
    lines = [f"text {n}\t{way} {n}" for n in range(60) for way in ("one", "another")]
    write(tmp_path / "pairs.tsv", ["source\ttarget", *lines])
    given = {"data": str(tmp_path / "pairs.tsv"), "text": "source", "label": "target"}
    noise = {
        name: any("noise" in note for note in read_task(TaskOptions(name=name, **given)).notes)
        for name in ("translation", "classification")
    }
    assert noise == {"translation": False, "classification": True}


def test_the_mean_of_tokens_is_that_of_a_row_not_of_a_group(tokenizer):
    features = encode(examples(PAIRS * 5), tokenizer, 32, start=1)
    rows = ExampleRows(features, groups=token_groups(features, 60))
    assert len(rows) < len(features) and rows.mean_tokens == pytest.approx(features.lengths.mean())
