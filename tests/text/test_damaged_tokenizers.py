"""Damaged and hostile files of tokenizers: one line that names them, no panic of Rust, nothing that takes long."""

from __future__ import annotations

import copy
import json
import random
import shutil
import time

import pytest

from gyebo.text.damage import MOST_BYTES
from gyebo.text.tokenizer import Tokenizer
from tests.text.test_sentencepiece_forms import train
from tests.text.text_corpus import trained

CONFIG = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<|pad|>", "model_max_length": 512}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A tokenizer.json with every part, as published: no entry of ours in its config."""
    folder = tmp_path_factory.mktemp("whole")
    train(folder / "spiece.model", vocab_size=400)
    Tokenizer.load(folder).save(folder / "json")
    (folder / "json" / "tokenizer_config.json").write_text(json.dumps(CONFIG))
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    shutil.copytree(whole / "json", tmp_path / "t")
    return tmp_path / "t"


def refused(folder, *words):
    before = time.process_time()
    with pytest.raises(ValueError) as caught:
        Tokenizer.load(folder)
    line = str(caught.value)
    assert "\n" not in line and str(folder) in line and len(line) < 1500
    for word in words:
        assert word in line, line
    assert time.process_time() - before < 3
    return line


def edit(folder, change):
    path = folder / "tokenizer.json"
    spec = json.loads(path.read_text(encoding="utf-8"))
    change(spec)
    path.write_text(json.dumps(spec), encoding="utf-8")


def put(*path, value):
    def change(spec):
        for name in path[:-1]:
            spec = spec[name]
        spec[path[-1]] = value

    return change


REPLACE = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}


def nested(depth):
    step = {"type": "NFC"}
    for _ in range(depth):
        step = {"type": "Sequence", "normalizers": [step]}
    return step


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("normalizer", value={"type": "Precompiled", "precompiled_charsmap": "AAAA"}), ["cannot be used"]),
        (put("normalizer", value={"type": "Precompiled", "precompiled_charsmap": "!"}), ["cannot be used"]),
        (put("normalizer", value={"type": "Sequence", "normalizers": [REPLACE] * 40}), ["normalizer has 40 steps"]),
        (put("normalizer", value={"type": "Sequence", "normalizers": [{"type": "NFC"}] * 10_000}), ["10000 steps"]),
        (put("normalizer", value={**REPLACE, "content": "a" * 5000}), ["5000 times as long"]),
        (put("normalizer", value=nested(40)), ["sequences within sequences"]),
        (put("decoder", value={"type": "Sequence", "decoders": [REPLACE] * 40}), ["decoder has 40 steps"]),
        (put("decoder", value={"type": "Sequence"}), ["no list of decoders"]),
        (put("decoder", value=[1]), ["has no type"]),
        (put("post_processor", value={"type": "TemplateProcessing"}), ["cannot be used"]),
        (put("model", "vocab", value=[["a", 0.0], [["b"], 0.0]]), ["the vocabulary has entries"]),
        (put("model", "vocab", value={"a": 10**12}), ["the vocabulary has entries"]),
        (put("model", "vocab", value={"a": True}), ["the vocabulary has entries"]),
        (put("model", "vocab", value=[]), ["cannot be used"]),
        (put("model", "unk_id", value=10**9), ["cannot be used"]),
        (put("model", value=[]), ["no model with a vocabulary"]),
        (put("added_tokens", value=[{"id": 0}]), ["added_tokens has an entry"]),
        (put("added_tokens", value=[{"id": 2**40, "content": "x", "special": True}]), ["added_tokens has an entry"]),
        (put("added_tokens", value={"a": 1}), ["added_tokens has an entry"]),
        (put("pre_tokenizer", value={"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated"}), ["cannot be used"]),
    ],
)  # fmt: skip
def test_parts_that_are_not_what_they_must_be(folder, change, words):
    edit(folder, change)
    refused(folder, *words)


@pytest.mark.parametrize("merges", [[1], [["a"]], [["a", 2]], [["a", "b", "c"]], "x"])
def test_merges(tmp_path, merges):
    trained("bpe").save(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    edit(tmp_path, put("model", "merges", value=merges))
    refused(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("tokenizer.json", b"\xff", ["not valid JSON"]),
        ("tokenizer.json", b'{"a": ' * 100_000, ["not valid JSON"]),
        ("tokenizer.json", b"[]", ["expected a JSON object"]),
        ("tokenizer_config.json", b'{"padding_side": "up"}', ["padding_side must be left or right"]),
        ("tokenizer_config.json", b'{"padding_side": ["left"]}', ["padding_side must be left or right"]),
        ("tokenizer_config.json", b'{"model_input_names": "input_ids"}', ["model_input_names must be a list"]),
        ("tokenizer_config.json", b'{"model_input_names": [1]}', ["model_input_names must be a list"]),
        ("special_tokens_map.json", b"3", ["special_tokens_map.json", "expected a JSON object"]),
    ],
)
def test_files_that_are_something_else(folder, name, content, words):
    (folder / name).write_bytes(content)
    refused(folder, name, *words)


@pytest.mark.parametrize("name", ["tokenizer.json", "added_tokens.json", "tokenizer_config.json"])
def test_a_giant_file_is_not_read(folder, name):
    with (folder / name).open("wb") as file:
        file.truncate(171 * 2**20)
    assert MOST_BYTES < 171 * 2**20
    refused(folder, name, "too many for a tokenizer's file")


def test_a_giant_model_is_not_read(tmp_path):
    with (tmp_path / "spiece.model").open("wb") as file:
        file.truncate(171 * 2**20)
    refused(tmp_path, "spiece.model", "too many")


@pytest.mark.parametrize("count", [10**9, -1, "7", True, None, 1.5])
def test_sentinels_are_counted_before_they_are_made(tmp_path, count):
    train(tmp_path / "spiece.model", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, vocab_size=400)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5Tokenizer", "extra_ids": count}))
    refused(tmp_path, "extra_ids must be a number up to 10,000")


WRONG = [None, True, -1, 0, 1.5, 10**12, 2**70, "", "x", "\ud800", [], {}, [[]], {"a": 1}, ["a"], float("nan")]


def places(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in list(inner)[:30]:
        yield from places(part, (*path, name))


def test_whatever_stands_where_something_else_must_stand(whole, tmp_path):
    """150 changes of values, drawn with a fixed seed: each is read and works, or is refused in one line."""
    spec = json.loads((whole / "json" / "tokenizer.json").read_text(encoding="utf-8"))
    every, rng = [path for path in places(spec) if path], random.Random(0)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(CONFIG))
    counted = {"read": 0, "refused": 0}
    for _ in range(150):
        changed, path = copy.deepcopy(spec), rng.choice(every)
        put(*path, value=copy.deepcopy(rng.choice(WRONG)))(changed)
        (tmp_path / "tokenizer.json").write_text(json.dumps(changed))
        try:
            ours = Tokenizer.load(tmp_path)
        except ValueError as error:
            assert str(tmp_path) in str(error) and "\n" not in str(error)
            counted["refused"] += 1
        else:
            ours.decode(ours.encode("나는 hello ㅋㅋ"))
            counted["read"] += 1
    assert min(counted.values()) > 5, counted
