"""Preparation: what is stored, what is held out, what an interruption costs."""

import hashlib
import json
import subprocess
import sys
import unicodedata

import numpy as np
import pytest

from gyebo.config.run import DataOptions
from gyebo.data import documents
from gyebo.data import prepare as preparing
from gyebo.data.prepare import cache_folder, open_corpus, prepare, training_texts
from gyebo.data.splitting import split_key
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.training import train_tokenizer
from tests.conftest import sentences


@pytest.fixture
def tokenizer(tokenizer_folder):
    return Tokenizer.load(tokenizer_folder)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GYEBO_CACHE", str(tmp_path / "cache"))


def decoded(split, tokenizer):
    return [tokenizer.decode(split.read(i, 0, int(split.documents["tokens"][i])).tolist()) for i in range(len(split))]


def open_path(path, **options):
    return open_corpus(DataOptions(corpus=[str(path)], **options))


def test_every_document_is_on_one_side_in_order(corpus, tokenizer):
    opened = open_path(corpus, valid_share=0.2)
    ready = prepare(opened, tokenizer)
    lines = corpus.read_text(encoding="utf-8").splitlines()
    held = {line for line in lines if split_key(line) < 0.2 * 2**64}
    assert decoded(ready.train, tokenizer) == [line for line in lines if line not in held]
    assert decoded(ready.valid, tokenizer) == [line for line in lines if line in held]
    assert 0.1 < len(ready.valid) / len(lines) < 0.3
    assert list(training_texts(opened)) == decoded(ready.train, tokenizer)
    assert ready.train.sum("bytes") == sum(len(line.encode()) for line in lines if line not in held)


def test_duplicates_never_straddle(tmp_path, tokenizer):
    texts = sentences(200, seed=1)
    path = tmp_path / "a.txt"
    variants = [t.upper() for t in texts] + ["  " + t.replace(" ", "   ") for t in texts]
    variants += [unicodedata.normalize("NFD", t) for t in texts]
    path.write_text("\n".join(texts + variants), encoding="utf-8")
    ready = prepare(open_path(path, valid_share=0.3), tokenizer)

    def keys(split):
        return {split_key(text) for text in decoded(split, tokenizer)}

    assert not keys(ready.train) & keys(ready.valid)
    assert len(keys(ready.valid)) > 20


def test_valid_last_cuts_a_file_at_the_character(tmp_path):
    path = tmp_path / "a.txt"
    text = "".join(chr(97 + i % 26) for i in range(1005))
    path.write_text(text)
    tokenizer = train_tokenizer([text], "char", 64)
    ready = prepare(open_path(path, documents="file", valid_last=0.1), tokenizer)
    assert decoded(ready.train, tokenizer) == [text[:904]]  # floor(1005 * 0.9)
    assert decoded(ready.valid, tokenizer) == [text[904:]]


def test_valid_last_keeps_lines_whole(tmp_path, tokenizer):
    path = tmp_path / "a.txt"
    path.write_text("\n".join(sentences(50)), encoding="utf-8")
    ready = prepare(open_path(path, valid_last=0.3), tokenizer)
    assert decoded(ready.train, tokenizer) + decoded(ready.valid, tokenizer) == sentences(50)
    share = ready.valid.sum("characters") / (ready.valid.sum("characters") + ready.train.sum("characters"))
    assert 0.2 < share <= 0.31


def test_valid_corpus(tmp_path, corpus, tokenizer):
    other = tmp_path / "v.txt"
    other.write_text("나무 아주 바다 보았다.\n", encoding="utf-8")
    ready = prepare(open_path(corpus, valid=str(other)), tokenizer)
    assert decoded(ready.valid, tokenizer) == ["나무 아주 바다 보았다."]
    assert len(ready.train) == 600


def test_processes_give_the_same_bytes(tmp_path, corpus, tokenizer, monkeypatch):
    monkeypatch.setattr(documents, "CHUNK_BYTES", 2000)
    found = {}
    for processes in (1, 2):
        monkeypatch.setenv("GYEBO_CACHE", str(tmp_path / f"c{processes}"))
        ready = prepare(open_path(corpus, valid_share=0.1), tokenizer, processes=processes)
        files = sorted((ready.folder / "parts").iterdir())
        found[processes] = [(path.name, path.read_bytes()) for path in files]
        assert len(ready.meta["parts"]["train"]) > 5
    assert found[1] == found[2]


def test_an_interrupted_preparation_goes_on(corpus, tokenizer, monkeypatch):
    monkeypatch.setattr(documents, "CHUNK_BYTES", 2000)
    made = []
    part = preparing.PartWriter.part

    def counting(self, chunk, number, *rest):
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(number)
        return part(self, chunk, number, *rest)

    monkeypatch.setattr(preparing.PartWriter, "part", counting)
    with pytest.raises(KeyboardInterrupt):
        prepare(open_path(corpus), tokenizer, processes=1)
    assert not list(cache_folder().glob("corpora/*/meta.json"))
    monkeypatch.setattr(preparing.PartWriter, "part", lambda *given: made.append(given[2]) or part(*given))
    ready = prepare(open_path(corpus), tokenizer, processes=1)
    assert made == sorted(set(made)), "a part was made twice"
    assert len(ready.train) + len(ready.valid) == 600


def test_a_second_preparation_reads_nothing(corpus, tokenizer, monkeypatch):
    first = prepare(open_path(corpus), tokenizer)
    monkeypatch.setattr(preparing.PartWriter, "part", lambda *_: pytest.fail("made again"))
    assert prepare(open_path(corpus), tokenizer).meta == first.meta


def shards(ready):
    return {path.name: path.read_bytes() for path in (ready.folder / "parts").iterdir()}


@pytest.mark.parametrize("damage", ["flipped", "cut short", "missing", "empty"])
@pytest.mark.parametrize("name", ["00002.train.tokens", "00002.valid.documents.npy"])
def test_a_damaged_shard_is_named_and_its_part_prepared_again(corpus, tokenizer, monkeypatch, capsys, damage, name):
    monkeypatch.setattr(documents, "CHUNK_BYTES", 2000)
    opened = open_path(corpus, valid_share=0.2)
    ready = prepare(opened, tokenizer)
    before, meta = shards(ready), ready.meta
    path = ready.folder / "parts" / name
    raw = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "flipped":
        path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    else:
        path.write_bytes(raw[:-2] if damage == "cut short" else b"")
    made = []
    part = preparing.PartWriter.part
    monkeypatch.setattr(preparing.PartWriter, "part", lambda *given: made.append(given[2]) or part(*given))
    again = prepare(opened, tokenizer)
    assert made == [2] and shards(again) == before and again.meta == meta
    said = capsys.readouterr().err
    assert str(path) in said and "prepared again" in said


@pytest.mark.parametrize("name", ["meta.json", "parts/00000.json"])
@pytest.mark.parametrize("content", ["", "{", "{}", "1"])
def test_a_torn_record_of_the_cache_is_made_again(corpus, tokenizer, name, content):
    """As a power cut leaves it where an older version wrote it, or a preparation by a version that kept no digests."""
    ready = prepare(open_path(corpus), tokenizer)
    before = shards(ready)
    (ready.folder / name).write_text(content)
    (ready.folder / "meta.json").write_text(content)
    again = prepare(open_path(corpus), tokenizer)
    assert shards(again) == before and again.meta == ready.meta


def test_shards_are_read_for_their_digests_once_in_a_process(corpus, tokenizer, monkeypatch):
    from gyebo.data import shards as module

    read = []
    real = module.digest
    monkeypatch.setattr(module, "digest", lambda path: read.append(path) or real(path))
    prepare(open_path(corpus), tokenizer)
    for _ in range(3):
        ready = prepare(open_path(corpus), tokenizer)
    assert sorted(path.name for path in read) == sorted(ready.meta["sha256"])
    prepare(open_path(corpus), tokenizer, check=False)
    assert len(read) == len(ready.meta["sha256"]) > 0


def test_what_was_mapped_stays_while_it_is_repaired_and_is_then_read_anew(corpus, tokenizer):
    """Another run may have mapped the damaged file: if it were cut and written again, that run would crash."""
    ready = prepare(open_path(corpus), tokenizer)
    mapped = ready.train.read(0, 0, 3)
    whole = mapped.tolist()
    path = ready.folder / "parts" / "00000.train.tokens"
    inode = path.stat().st_ino
    with path.open("r+b") as file:  # in place, as a bad block
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))
    assert mapped.tolist() != whole
    again = prepare(open_path(corpus), tokenizer)
    assert again.train.read(0, 0, 3).tolist() == whole != mapped.tolist()
    assert path.stat().st_ino != inode


def test_digests_are_those_of_the_files(corpus, tokenizer):
    ready = prepare(open_path(corpus), tokenizer)
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (ready.folder / "parts").glob("*.*.*")}
    assert ready.meta["sha256"] == found and len(found) == 4


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "contains no text"),
        ("\n \n\n", {}, "contains no text"),
        ("하나뿐", {"valid_share": 0.0001}, "nothing was held out of 1 documents"),
        ("하나뿐", {"valid_share": 0.9999}, "all 1 documents were held out"),
    ],
)
def test_too_little_text(tmp_path, tokenizer, text, options, message):
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        prepare(open_path(path, **options), tokenizer)


def test_unknown_characters_are_counted_in_bytes(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("abc가나\nabc\n", encoding="utf-8")
    tokenizer = train_tokenizer(["abc"], "char", 32)
    ready = prepare(open_corpus(DataOptions(corpus=[str(path)]), hold_out_all=True), tokenizer)
    assert ready.valid.documents["unknown"].tolist() == [6, 0]
    assert ready.valid.documents["bytes"].tolist() == [9, 3]
    assert ready.valid.documents["characters"].tolist() == [5, 3]
    assert ready.valid.documents["syllables"].tolist() == [2, 0]


def test_the_world_knows_its_floor(tokenizer):
    from gyebo import world

    ready = prepare(open_path("world:200", valid_share=0.1), tokenizer)
    texts = decoded(ready.valid, tokenizer)
    bits = -sum(world.log_probability(text) for text in texts) / np.log(2)
    assert ready.meta["floor_bits"] == pytest.approx(bits)
    assert json.loads((ready.folder / "meta.json").read_text())["floor_bits"] == ready.meta["floor_bits"]


SCRIPT = """
import sys
from gyebo.config.run import DataOptions
from gyebo.data.prepare import open_corpus, prepare
from gyebo.text.tokenizer import Tokenizer

print("once")
done = prepare(open_corpus(DataOptions(corpus=[sys.argv[1]])), Tokenizer.load(sys.argv[2]), processes=2)
print(len(done.train) + len(done.valid))
"""


@pytest.mark.parametrize("how", ["a script", "stdin", "-c"])
def test_a_program_without_a_guard_of_main_prepares_with_several_processes(tmp_path, corpus, tokenizer_folder, how):
    """What the workers import is gyebo: a program that they ran again would wait for the lock that the first one holds."""
    (tmp_path / "program.py").write_text(SCRIPT, encoding="utf-8")
    program = {"a script": [str(tmp_path / "program.py")], "stdin": ["-"], "-c": ["-c", SCRIPT]}[how]
    command = [sys.executable, *program, str(corpus), str(tokenizer_folder)]
    done = subprocess.run(command, input=SCRIPT if how == "stdin" else "", capture_output=True, encoding="utf-8", timeout=20)
    assert (done.stdout, done.stderr, done.returncode) == ("once\n600\n", "", 0)
