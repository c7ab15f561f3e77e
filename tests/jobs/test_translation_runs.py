"""Learning to translate, from files to `gyebo translate`: a toy language is learned, a killed run comes out the same."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from gyebo.config.finetune import FinetuneOptions
from gyebo.jobs import run_directory
from gyebo.jobs import translate as job
from gyebo.jobs.evaluate import evaluate_task
from gyebo.jobs.finetuning.build import set_up
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.verify import verify
from gyebo.training import loop
from gyebo.training.loop import Stopped
from tests.refusals import option_error

WORDS = ["나무", "바다", "사람", "하늘", "영화", "노래"]
OTHER = ["tree", "sea", "human", "sky", "film", "song"]


def sentences(count: int, seed: int) -> list[tuple[str, str]]:
    """Word for word."""
    rng = random.Random(seed)
    chosen = ([rng.randrange(6) for _ in range(rng.randint(1, 4))] for _ in range(count))
    return [(" ".join(WORDS[n] for n in numbers), " ".join(OTHER[n] for n in numbers)) for numbers in chosen]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("parallel")
    for name, count in (("train", 300), ("test", 40)):
        pairs = sentences(count, seed=count)
        for language, lines in zip(("ko", "en"), zip(*pairs), strict=True):
            (path / f"{name}.{language}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tokenizer(folder) -> Path:
    from gyebo.text.training import train_tokenizer

    lines = [line for name in ("train.ko", "train.en") for line in (folder / name).read_text(encoding="utf-8").splitlines()]
    train_tokenizer(lines, "bpe", 320).save(folder / "tok")
    return folder / "tok"


def options(folder: Path, tokenizer: Path, steps: int = 6, *, translation=None, **more) -> FinetuneOptions:
    return FinetuneOptions.model_validate(
        {
            "model": "transformer:tiny",
            "tokenizer": str(tokenizer),
            "task": {
                "name": "translation",
                "data": str(folder / "train"),
                "text": "ko",
                "label": "en",
                "test": str(folder / "test"),
            },
            "steps": steps,
            "device": "cpu",
            "precision": "float32",
            "translation": {"batch_tokens": 120, **(translation or {})},
            **more,
        }
    )


@pytest.fixture(scope="module")
def learned(folder, tokenizer, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "ko-en"
    finetune(options(folder, tokenizer, 600, seed=1, optim={"lr": 3e-3}, evaluations=0.1), out)
    return out


def test_a_toy_language_is_learned(learned, folder):
    result = evaluate_task(str(learned))
    assert result["bleu"] > 0.7 and result["chrf"] > 0.8 and result["measured"] == "test"
    assert "tok:13a" in result["bleu_signature"]
    record = json.loads((learned / "config.json").read_text())
    assert record["model_type"] == "marian" and record["decoder_start_token_id"] == record["bos_token_id"]
    assert "tok:13a" in (learned / "README.md").read_text() and (learned / "lengths.png").is_file()
    again = evaluate_task(
        str(learned),
        FinetuneOptions.model_validate(
            {"model": "x", "task": {"name": "translation", "data": str(folder / "test"), "text": "ko", "label": "en"}}
        ).task,
    )
    assert again["bleu"] == result["bleu"]


def test_as_many_lines_come_out_as_go_in(learned):
    found = job.translate(str(learned), ["나무 바다", "", "   ", "하늘"])
    assert len(found) == 4 and found[1:3] == ["", ""] and found[0] == "tree sea" and found[3] == "sky"
    assert job.translate(str(learned), ["나무 바다", "하늘"], {"beams": 1}) == ["tree sea", "sky"]
    assert job.translate(str(learned), []) == []


def test_its_attention_is_drawn(learned, tmp_path):
    job.translate(str(learned), ["나무 바다 하늘"], picture=tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    with option_error("attention", "text"):
        job.translate(str(learned), ["나무", "바다"], picture=tmp_path / "two.png")
    with option_error("attention"):
        job.translate(str(learned), [" "], picture=tmp_path / "none.png")
    with pytest.raises(ValueError, match=r"attention: .* \(maximum \d+\)"):
        job.translate(str(learned), ["나무 " * 60], picture=tmp_path / "long.png")


def test_transformers_translates_the_same(learned):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(learned)
    tokenizer = transformers.AutoTokenizer.from_pretrained(learned)
    inputs = tokenizer("사람 노래 영화", return_tensors="pt")
    ids = theirs.generate(input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, num_beams=4, max_new_tokens=20)
    assert tokenizer.decode(ids[0], skip_special_tokens=True) == job.translate(str(learned), ["사람 노래 영화"])[0]


def test_the_mean_of_the_last_checkpoints_is_tried(folder, tokenizer, tmp_path):
    from gyebo.interchange import load
    from gyebo.training import checkpoint

    finetune(options(folder, tokenizer, 30, translation={"average": 9, "beams": 1}), tmp_path / "run")
    kept = [path for path in checkpoint.steps(tmp_path / "run" / "checkpoints") if checkpoint.step_of(path)]
    assert len(kept) >= 2 and (tmp_path / "run" / "checkpoints" / "step-0").is_dir()  # whose fresh weights don't count
    model = load(tmp_path / "run")[0]
    assert checkpoint.load_average(tmp_path / "run" / "checkpoints", 9, model) == len(kept)
    parts = [checkpoint._tensors(path / "model.safetensors") for path in kept]
    for name, tensor in checkpoint.weights(model).items():
        assert (tensor - sum(part[name] for part in parts) / len(parts)).abs().max() < 1e-6
    assert run_directory.read(tmp_path / "run")["state"]["weights"] in ("best", f"mean of the last {len(kept)} checkpoints")


def test_a_stopped_run_goes_on_to_the_same_weights_and_verifies(folder, tokenizer, tmp_path, monkeypatch):
    asked = options(folder, tokenizer, 12, optim={"lr": 1e-3}, bpe_dropout=0.1)
    finetune(asked, tmp_path / "whole")
    steps = iter(range(100))
    monkeypatch.setattr(loop.distributed, "any_process", lambda flag, device: flag or (next(steps) == 9))
    with pytest.raises(Stopped):
        finetune(asked, tmp_path / "cut")
    monkeypatch.undo()
    finetune(asked, tmp_path / "cut", resume=True)
    for name in ("model.safetensors", "predictions.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert verify(tmp_path / "cut", Console(quiet=True))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "bert:mini"}, "bert:mini .*translation task.*transformer:mini"),
        ({"answer": "head"}, "answer=head: transformer:tiny answers by text only"),
        ({"batch": 8}, "batch=8 and translation.batch_tokens=120 exclude each other"),
        ({"micro_batch": 8}, "micro_batch=8 has no effect without batch"),
        ({"batch": 1000, "translation": {}}, "batch=1000 is more than"),
        ({"layers": "top"}, "layers is for task heads, but transformer:tiny answers"),
        ({"dropout": 0.2}, "dropout .*body_dropout"),
        ({"translation": {"vocab_size": 400}}, "translation.vocab_size=400 has no effect with tokenizer"),
        (
            {"model": "seq2seq:tiny", "shape": {"attention": "none"}, "translation": {"coverage_penalty": 0.2}},
            "translation.coverage_penalty=0.2 has no effect: seq2seq:tiny has no attention",
        ),
        ({"translation": {"separate": True}}, "translation.separate=True has no effect with tokenizer"),
        ({"translation": {"beams": 1, "coverage_penalty": 0.1}}, "coverage_penalty"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(folder, tokenizer, tmp_path, changes, words):
    values = options(folder, tokenizer).model_dump() | changes
    with pytest.raises(ValueError, match=words):
        finetune(FinetuneOptions.model_validate(values), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_a_tokenizer_both_languages_share_one(folder, tmp_path):
    from gyebo.text.tokenizer import Tokenizer

    asked = FinetuneOptions.model_validate(
        options(folder, folder).model_dump() | {"tokenizer": None, "steps": 2, "translation": {"vocab_size": 300, "beams": 1}}
    )
    result = finetune(asked, tmp_path / "run")
    assert any("for source and target with 300 ids" in note for note in result.notes)
    assert Tokenizer.load(tmp_path / "run").vocab_size == 300


def test_each_language_with_a_tokenizer_of_its_own(folder, tmp_path):
    """It learns as with one, translates after it was opened, and can be trained further."""
    translation = {"separate": True, "vocab_size": 620, "beams": 2, "batch_tokens": 200}
    values = options(folder, folder, 300, optim={"lr": 4e-3}, evaluations=0.1).model_dump()
    result = finetune(
        FinetuneOptions.model_validate(values | {"tokenizer": None, "translation": translation}), tmp_path / "run"
    )
    assert any("one byte-level BPE for the source" in note for note in result.notes)
    assert result.test["bleu"] > 0.6 and (tmp_path / "run" / "target_tokenizer.json").is_file()
    assert job.translate(str(tmp_path / "run"), ["나무 바다"]) == ["tree sea"]
    further = values | {"model": str(tmp_path / "run"), "tokenizer": None, "steps": 2}
    again = finetune(FinetuneOptions.model_validate(further), tmp_path / "further")
    assert again.test["bleu"] > 0.6


def test_a_corpus_inside_of_what_is_overwritten_is_kept(folder, tokenizer, tmp_path):
    """Also where it is named by the common name of two files."""
    out = tmp_path / "run"
    shutil.copytree(folder, out)
    asked = options(out, tokenizer)
    with pytest.raises(ValueError, match=r"holds .*run/train, which the run starts from"):
        finetune(asked, out, overwrite=True)
    assert (out / "train.ko").is_file()


def test_what_is_measured_is_as_long_as_the_model_reads(folder, tokenizer, tmp_path):
    """`max_length` is for what is learned from; a model from scratch reads at least that much."""
    (part,) = set_up(options(folder, tokenizer, max_length=5)).tasks
    train, test = part.features["train"], part.features["test"]
    assert max(train.lengths) <= 5 < max(test.lengths) and test.too_long == 0
    assert train.too_long > 0 and part.longest["train"] == 5 and part.longest["test"] == 128
    assert set_up(options(folder, tokenizer, max_length=300)).make_model().config.context == 300


def test_options_of_translations_are_refused_elsewhere(tokenizer, tmp_path):
    values = {
        "model": "bert:tiny",
        "tokenizer": str(tokenizer),
        "task": {"name": "world-sentiment"},
        "translation": {"beams": 2},
    }
    with option_error("translation.beams"):
        finetune(FinetuneOptions.model_validate(values), tmp_path / "run")


def test_what_else_a_translator_can_not_do_is_said_by_name(learned, folder, tmp_path):
    from gyebo.interchange import load
    from gyebo.jobs.evaluate import evaluate
    from gyebo.tasks.embedding import embed

    with pytest.raises(ValueError, match=r"measured: gyebo evaluate .* TASK"):
        evaluate(str(learned), [str(folder / "train.ko")])
    with pytest.raises(ValueError, match="transformer learns to write, and has no text embeddings"):
        embed(*load(learned), ["나무"])


def test_a_prompt_is_a_source(learned):
    from gyebo.jobs.generate import generate

    [answer] = generate(str(learned), ["나무 바다"], {"greedy": True})
    assert answer["text"].strip() == "tree sea"


def test_the_command_reads_files_and_pipes(learned, tmp_path, cli):
    (tmp_path / "in.txt").write_text("나무\n\n바다 하늘\n", encoding="utf-8")
    words = ("translate", learned, tmp_path / "in.txt", "-o", tmp_path / "out.txt")
    assert cli(*words).code == 0
    assert (tmp_path / "out.txt").read_text() == "tree\n\nsea sky\n"
    assert cli("translate", learned, stdin="나무\n\n바다 하늘\n").out == "tree\n\nsea sky\n"
    (tmp_path / "cp949.txt").write_bytes("나무\n\n바다 하늘\n".encode("cp949"))
    assert cli("translate", learned, tmp_path / "cp949.txt", "--encoding", "cp949").out == "tree\n\nsea sky\n"
    assert "--encoding cp949" in cli("translate", learned, tmp_path / "cp949.txt").err
    without = cli("translate", learned, "--text", "나무", "--encoding", "cp949")
    assert without.code == 2 and "--encoding has no effect without file" in without.err, without.err
    again = cli(*words)
    assert again.code == 2 and "exists already" in again.err


def test_a_model_without_a_record_does_what_its_family_learned(learned, tmp_path, monkeypatch):
    from gyebo.jobs.finetuned_model import open_model
    from gyebo.objectives.table import OBJECTIVES

    shutil.copytree(learned, tmp_path / "copy")
    (tmp_path / "copy" / "run.toml").unlink()
    assert open_model(str(tmp_path / "copy")).kind.name == "translation"
    assert job.translate(str(tmp_path / "copy"), ["나무 바다"]) == ["tree sea"]
    config = json.loads((tmp_path / "copy" / "config.json").read_text(encoding="utf-8"))
    (task,) = config.pop("gyebo_tasks")
    assert (task["kind"], task["prefix"], task["columns"]) == ("translation", "", [["text", ""]])
    (tmp_path / "copy" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert open_model(str(tmp_path / "copy")).kind.name == "translation"  # as of an earlier version, or by another's hand
    monkeypatch.setitem(OBJECTIVES, "translation", replace(OBJECTIVES["translation"], kind=""))
    with pytest.raises(ValueError, match="no record"):
        open_model(str(tmp_path / "copy"))


def test_a_model_that_does_not_translate_says_what_does(tmp_path, learned):
    shutil.copytree(learned, tmp_path / "copy")
    (tmp_path / "copy" / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match="no tokenizer that gyebo reads"):
        job.translate(str(tmp_path / "copy"), ["나무"])
    with pytest.raises(ValueError, match="gyebo translate"):
        from gyebo.jobs.predict import predict

        predict(str(learned), "x.txt")
