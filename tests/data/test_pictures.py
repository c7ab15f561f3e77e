"""Shards of pictures: what is stored, which documents belong to which, what an interruption costs, and the rows of a plan."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from gyebo.config.run import DataOptions
from gyebo.data import prepare as preparing
from gyebo.data import records
from gyebo.data.batches import Rows
from gyebo.data.picture_plans import one_row_a_picture, one_row_a_text
from gyebo.data.plan import DOCUMENT, SIZE
from gyebo.data.prepare import (
    cache_folder,
    first_records,
    open_corpus,
    prepare,
    split_of_pictures,
    training_texts,
)
from gyebo.data.records import CAPTION, FALSE, QUESTION, Record, Text
from gyebo.data.splitting import record_key, split_key
from gyebo.data.streams import TOKENS, BatchField
from gyebo.text.tokenizer import Tokenizer
from gyebo.world import pictures as drawn
from tests.refusals import option_error

WORLD = "world:pictures,60,statements,questions"


@pytest.fixture
def tokenizer(tokenizer_folder):
    return Tokenizer.load(tokenizer_folder)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GYEBO_CACHE", str(tmp_path / "cache"))


def opened(name=WORLD, **options):
    return open_corpus(DataOptions(corpus=[name], **{"valid_share": 0.3, "picture_size": 16, "crop_size": 4, **options}))


def decoded(split, tokenizer):
    return [tokenizer.decode(split.read(i, 0, int(split.documents["tokens"][i])).tolist()) for i in range(len(split))]


def small_chunks(monkeypatch, count=8, size=16):
    monkeypatch.setattr(records, "CHUNK_BYTES", count * 3 * size * size)


def shards(ready):
    return {path.name: path.read_bytes() for path in (ready.folder / "parts").iterdir()}


def test_what_is_stored_is_what_the_world_draws_and_says(tokenizer, monkeypatch):
    small_chunks(monkeypatch)
    ready = prepare(opened(), tokenizer)
    assert len(ready.meta["parts"]["train"]) > 4
    found = {}
    for split in (ready.train, ready.valid):
        texts, pictures = decoded(split, tokenizer), split.pictures
        assert len(pictures.of) == len(split) and pictures.size == 16 and pictures.crop_size == 4
        for number in range(len(pictures)):
            documents = pictures.documents(number)
            assert np.all(pictures.of[documents] == number)
            assert np.array_equal(documents, np.flatnonzero(pictures.of == number))
            key = tuple(texts[d] for d in documents)
            kinds = [records.KINDS[pictures.kinds[d]] for d in documents]
            answers = [pictures.answer_names[pictures.answers[d]] if pictures.answers[d] >= 0 else None for d in documents]
            found[key] = split.name, pictures.read(number), pictures.regions(number), kinds, answers, pictures
    assert len(found) == 60
    for picture in drawn.pictures(60):
        _, pixels, regions, kinds, answers, pictures = found.pop(tuple(text.text for text in picture.texts))
        assert np.array_equal(pixels, picture.draw(16))
        assert kinds == [text.kind for text in picture.texts]
        assert answers == [text.answer for text in picture.texts]
        assert np.allclose(regions.boxes, [region.box for region in picture.regions])
        assert [pictures.labels[n] for n in regions.labels] == [region.label for region in picture.regions]
        assert set(pictures.attributes) == set(drawn.ATTRIBUTES)
        for name, values in pictures.attributes.items():
            named = [values[n] if n >= 0 else None for n in regions.attributes[name]]
            assert named == [region.attributes.get(name) for region in picture.regions]
        assert regions.crops.shape == (len(regions), 4, 4, 3)
    assert not found


def test_names_have_the_same_numbers_in_both_splits(tokenizer, monkeypatch):
    small_chunks(monkeypatch)
    ready = prepare(opened(), tokenizer)
    train, valid = ready.train.pictures, ready.valid.pictures
    assert (train.labels, train.attributes, train.answer_names) == (valid.labels, valid.attributes, valid.answer_names)
    assert list(train.labels) == sorted(set(train.labels))


def test_captions_alone_unless_more_is_asked_for(tokenizer):
    ready = prepare(opened("world:pictures,ko,20"), tokenizer)
    for split in (ready.train, ready.valid):
        assert set(split.pictures.kinds) == {records.KINDS.index(CAPTION)}
        assert len(split) == 2 * len(split.pictures)
    assert prepare(opened("world:pictures,ko,20,outline"), tokenizer).folder != ready.folder


def test_all_texts_of_a_picture_are_on_one_side():
    key = record_key(Record("", b"", (Text("하나"), Text("둘"))))
    assert key == record_key(Record("", b"", (Text("둘"), Text(" 하나 "), Text("거짓", FALSE), Text("물음?", QUESTION, "답"))))
    assert record_key(Record("", b"", (Text("하나"),))) == split_key("하나")
    assert key not in (split_key("하나"), split_key("둘"))


def test_a_share_of_the_pictures_is_held_out(tokenizer):
    ready = prepare(opened("world:pictures,300", valid_share=0.2), tokenizer)
    assert 0.1 < len(ready.valid.pictures) / 300 < 0.3
    assert len(ready.valid.pictures) + len(ready.train.pictures) == 300
    last = prepare(opened("world:pictures,40", valid_share=None, valid_last=0.25), tokenizer)
    assert 4 <= len(last.valid.pictures) <= 16
    texts = [tuple(t.text for t in p.texts if t.kind == CAPTION) for p in drawn.pictures(40)]
    assert decoded(last.train, tokenizer) + decoded(last.valid, tokenizer) == [text for each in texts for text in each]


def test_held_out_combinations_as_the_held_out_set(tokenizer):
    ready = prepare(opened("world:pictures,30", valid_share=None, valid="world:pictures,unseen,20"), tokenizer)
    facts, valid = drawn.looks(), ready.valid.pictures
    assert len(ready.train.pictures) == 30 and len(valid) == 20
    things = [english for _, english in drawn.VALUES["thing"]]
    colours = [english for _, english in drawn.VALUES["colour"]]

    def unseen(pictures):
        return {
            ("colour", things.index(pictures.labels[label]), colours.index(pictures.attributes["colour"][colour]))
            for number in range(len(pictures))
            for regions in [pictures.regions(number)]
            for label, colour in zip(regions.labels, regions.attributes["colour"])
        } & facts.held_out

    assert unseen(valid) and not unseen(ready.train.pictures)


def test_the_text_of_a_tokenizer_is_that_of_training_and_draws_nothing(tokenizer, monkeypatch):
    corpus = opened()
    ready = prepare(corpus, tokenizer)
    monkeypatch.setattr(drawn.Picture, "draw", lambda *_: pytest.fail("drawn"))
    assert list(training_texts(corpus)) == decoded(ready.train, tokenizer)


def test_texts_that_must_not_be_learned(tmp_path, tokenizer):
    texts = decoded(prepare(opened(), tokenizer).train, tokenizer)
    long = next(text for text in texts if len(text.encode()) > 60)
    (tmp_path / "test.txt").write_text(long.upper() + "\n", encoding="utf-8")
    ready = prepare(opened(without=[str(tmp_path / "test.txt")]), tokenizer)
    assert ready.meta["left_out"] >= 1
    assert long not in decoded(ready.train, tokenizer)


# ---- the same bits


def test_processes_give_the_same_bytes(tmp_path, tokenizer, monkeypatch):
    small_chunks(monkeypatch)
    found = {}
    for processes in (1, 2):
        monkeypatch.setenv("GYEBO_CACHE", str(tmp_path / f"c{processes}"))
        ready = prepare(opened(), tokenizer, processes=processes)
        found[processes] = shards(ready), ready.meta
    assert found[1] == found[2]


def test_an_interrupted_preparation_goes_on(tokenizer, monkeypatch):
    small_chunks(monkeypatch)
    made = []
    part = preparing.PartWriter.part

    def counting(self, chunk, number, *rest):
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(number)
        return part(self, chunk, number, *rest)

    monkeypatch.setattr(preparing.PartWriter, "part", counting)
    with pytest.raises(KeyboardInterrupt):
        prepare(opened(), tokenizer, processes=1)
    assert not list(cache_folder().glob("corpora/*/meta.json"))
    monkeypatch.setattr(preparing.PartWriter, "part", lambda *given: made.append(given[2]) or part(*given))
    ready = prepare(opened(), tokenizer, processes=1)
    assert made == sorted(set(made)), "a part was made twice"
    assert len(ready.train.pictures) + len(ready.valid.pictures) == 60


KILLED = """
import os, signal, sys
from gyebo.config.run import DataOptions
from gyebo.data import prepare as preparing, records
from gyebo.text.tokenizer import Tokenizer
records.CHUNK_BYTES = 8 * 3 * 16 * 16
written, real = [], preparing.write_files
def write(*given):
    if len(written) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    written.append(given)
    return real(*given)
preparing.write_files = write
options = DataOptions(corpus=[sys.argv[3]], valid_share=0.3, picture_size=16, crop_size=4)
preparing.prepare(preparing.open_corpus(options), Tokenizer.load(sys.argv[1]), processes=1)
"""


@pytest.mark.slow
def test_killed_and_gone_on_to_the_bit(tmp_path, tokenizer, tokenizer_folder, monkeypatch):
    small_chunks(monkeypatch)
    whole = prepare(opened(), tokenizer, processes=1)
    cache = tmp_path / "killed"
    for after in (3, 5):  # files of pictures written before it is killed
        environment = {**os.environ, "GYEBO_CACHE": str(cache)}
        command = [sys.executable, "-c", KILLED, str(tokenizer_folder), str(after), WORLD]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
    monkeypatch.setenv("GYEBO_CACHE", str(cache))
    again = prepare(opened(), tokenizer, processes=1)
    assert shards(again) == shards(whole) and again.meta == whole.meta


@pytest.mark.parametrize("name", ["00002.train.pixels", "00001.train.crops", "00002.train.names.json", "00000.train.texts.npy"])
def test_a_damaged_shard_is_named_and_its_part_prepared_again(tokenizer, monkeypatch, capsys, name):
    small_chunks(monkeypatch)
    ready = prepare(opened(), tokenizer)
    before, path = shards(ready), ready.folder / "parts" / name
    seen = [ready.train.pictures.read(number).copy() for number in range(len(ready.train.pictures))]
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    again = prepare(opened(), tokenizer)
    assert all(np.array_equal(again.train.pictures.read(number), pixels) for number, pixels in enumerate(seen))
    assert shards(again) == before and str(path) in capsys.readouterr().err


def test_fingerprints(tokenizer):
    base = opened().fingerprint
    assert opened().fingerprint == base
    assert opened(picture_size=None, crop_size=None).fingerprint == opened(picture_size=64, crop_size=16).fingerprint
    others = [
        opened(picture_size=32), opened(crop_size=8), opened(picture_fit="pad"),
        opened("world:pictures,61,statements,questions"),
        opened("world:pictures,60,questions"), opened("world:pictures,60,statements,questions,seed=1"),
        opened("world:pictures,ko,60,statements,questions"), opened("world:pictures,outline,60,statements,questions"),
    ]  # fmt: skip
    assert len({base, *(corpus.fingerprint for corpus in others)}) == 1 + len(others)
    assert opened("world:questions,60,pictures,statements").fingerprint == base  # the order of a name's parts says nothing


def test_the_beginning_of_a_corpus_as_a_split_of_its_own(tmp_path, tokenizer, monkeypatch):
    small_chunks(monkeypatch)
    corpus = opened()
    split, whole = (
        split_of_pictures(first_records(corpus, 10), corpus.options, tokenizer, tmp_path),
        prepare(corpus, tokenizer).train,
    )
    assert len(split.pictures) == 10
    for number in range(10):
        assert np.array_equal(split.pictures.read(number), whole.pictures.read(number))
        assert np.array_equal(split.pictures.regions(number).boxes, whole.pictures.regions(number).boxes)
    assert decoded(split, tokenizer) == decoded(whole, tokenizer)[: len(split)]


# ---- what is refused


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("world:pictures,french", "'french' is no part of the name"),
        ("world:pictures,0", "'0' is no part"),
        ("world:pictures,seed=x", "'seed=x' is no part"),
    ],
)
def test_bad_names(name, words):
    with pytest.raises(ValueError, match=words):
        opened(name)


def test_pictures_and_text_are_not_mixed(corpus):
    with option_error("data.corpus"):
        open_corpus(DataOptions(corpus=[str(corpus), "world:pictures,10"]))
    with option_error("data.corpus"):
        open_corpus(DataOptions(corpus=["world:pictures,10"], valid=str(corpus)))


@pytest.mark.parametrize("option", [{"picture_size": 32}, {"picture_fit": "pad"}, {"crop_size": 8}])
def test_options_of_pictures_are_refused_where_there_are_none(corpus, option):
    with option_error(f"data.{next(iter(option))}"):
        open_corpus(DataOptions(corpus=[str(corpus)], **option))


# ---- plans and batches


def test_a_row_for_each_picture_and_for_each_text(tokenizer):
    split = prepare(opened(), tokenizer).train
    plan = one_row_a_picture(split, 16)
    assert len(plan) == len(split.pictures) and plan.positions == 16 * len(plan)
    assert split.pictures.of[plan.pieces[:, DOCUMENT]].tolist() == list(range(len(split.pictures)))
    for kinds in ((CAPTION,), (FALSE,), (CAPTION, FALSE), (QUESTION,)):
        plan = one_row_a_text(split, 12, kinds=kinds, special=2)
        numbers = [records.KINDS.index(kind) for kind in kinds]
        expected = [d for d in range(len(split)) if split.pictures.kinds[d] in numbers]
        assert plan.pieces[:, DOCUMENT].tolist() == expected and len(plan) == len(expected)
        assert plan.pieces[:, SIZE].max() == 10
        assert np.array_equal(plan.pieces[:, SIZE], np.minimum(10, split.documents["tokens"][expected]))


def test_plans_of_text_alone(corpus, tokenizer):
    split = prepare(open_corpus(DataOptions(corpus=[str(corpus)])), tokenizer).train
    assert split.pictures is None
    with option_error("data.corpus"):
        one_row_a_picture(split, 16)
    pictured = prepare(opened("world:pictures,20"), tokenizer).train
    with option_error("context"):
        one_row_a_text(pictured, 2, special=2)
    with pytest.raises(ValueError, match="no picture of the train part has a text of the kind question"):
        one_row_a_text(pictured, 12, kinds=(QUESTION,))


@dataclass(frozen=True)
class Reads:
    """An objective that reads a caption and its picture, and shakes nothing."""

    one_document = False
    repeats = None
    fields = (BatchField("input_ids"), BatchField("pixels", stream=None, dtype="uint8", shape=(16, 16, 3)))

    def lengths(self, context):
        return {TOKENS.name: context}

    def read(self, split, piece, number):
        document, size = int(piece[DOCUMENT]), int(piece[SIZE])
        pixels = split.pictures.read(int(split.pictures.of[document]))
        return {"input_ids": split.read(document, 0, size).astype(np.int64), "pixels": pixels}

    def corrupt(self, example, rng, draw):
        return example


def test_a_batch_holds_each_text_with_its_picture(tokenizer, monkeypatch):
    small_chunks(monkeypatch)
    split = prepare(opened(), tokenizer).train
    rows = Rows(split, one_row_a_text(split, 12), Reads())
    captions = [d for d in range(len(split)) if split.pictures.kinds[d] == 0]
    seen = []
    for step in range(-(-len(captions) // 5)):
        batch = rows.step(step, 5, seed=3)
        assert batch["pixels"].dtype == np.uint8 and batch["pixels"].shape == (5, 16, 16, 3)
        for place, document in zip(range(5), [int(rows.plan.row(int(r))[0, DOCUMENT]) for r in rows.plan.order(step, 5, 3)[0]]):
            assert np.array_equal(batch["pixels"][place], split.pictures.read(int(split.pictures.of[document])))
            size = int((batch["document_ids"][place] > 0).sum())
            assert np.array_equal(batch["input_ids"][place, :size], split.read(document, 0, size))
            seen.append(document)
    assert sorted(seen[: len(captions)]) == captions
