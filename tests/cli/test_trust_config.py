"""`--trust-config`: what of a published config.json the command line passes over, and what it says."""

from __future__ import annotations

import json

import pytest

import gyebo
from gyebo.cli.app import _take_trusted
from gyebo.models.bert import Bert, BertConfig


@pytest.mark.parametrize(
    ("arguments", "kept", "names"),
    [
        (["fill", "x", "--trust-config", "a,b"], ["fill", "x"], ["a", "b"]),
        (["--trust-config=a", "fill", "x", "--trust-config", "b"], ["fill", "x"], ["a", "b"]),
        (["fill", "--", "--trust-config", "a"], ["fill", "--", "--trust-config", "a"], []),
        (["fill", "x"], ["fill", "x"], []),
    ],
)
def test_it_may_stand_anywhere(arguments, kept, names):
    assert _take_trusted(arguments) == (kept, names)


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]


def test_a_published_directory_is_opened_once_its_field_is_named(cli, refused, tmp_path):
    gyebo.save(Bert(BertConfig(vocab_size=7, context=16, width=8, layers=1, heads=2)), None, tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"corpus_note": "comments", "bucket_count": 3}))
    line = refused("fill", tmp_path, "--text", "a [MASK]")
    assert "bucket_count = 3" in line and "--trust-config bucket_count" in line
    found = cli("fill", tmp_path, "--text", "a [MASK]", "--trust-config", "bucket_count")
    assert found.code == 0 and found.out and "corpus_note = 'comments'" in found.err and found.err.count("\n") == 1
    assert "needs the names" in refused("fill", tmp_path, "--text", "a [MASK]", "--trust-config")
    line = refused("fill", tmp_path, "--text", "a [MASK]", "--trust-config=hidden_size")
    assert "hidden_size is a field that gyebo reads" in line
