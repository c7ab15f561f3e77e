"""What all tests share: one thread each, a cache of their own, a small corpus."""

import io
import os
import random
import sys
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest

NOUNS = ["나무", "바다", "사람", "하늘", "고양이", "영화", "노래", "아침", "저녁", "친구"]
VERBS = ["좋아한다", "보았다", "찾았다", "기다린다", "만났다", "들었다"]
RECURRENT = ("rnn", "lstm", "gru", "ulmfit")
HEADLESS = (*RECURRENT, "dan")  # families without attention heads
OTHERS = ["정말", "아주", "다시", "함께", "a", "b", "the", "film", "was", "good", "Élan"]


def dropouts(family: str, rate: float) -> dict[str, float]:
    """One rate for all places where a family has dropout."""
    from gyebo.models.family import model_class

    fields = model_class(family).config_class.__dataclass_fields__
    return {name: rate for name in fields if name.rpartition("_")[2] == "dropout"}


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Prepared corpora of a test session stay out of the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["GYEBO_CACHE"] = str(folder)
    return folder


@pytest.fixture
def cli(monkeypatch, capsys):
    """A function that types a command in this process: gives code, out, err."""
    from gyebo.cli.app import main

    def run(*words, stdin=None):
        monkeypatch.setattr(sys, "argv", ["gyebo", *map(str, words)])
        monkeypatch.setattr("gyebo.jobs.pretraining.corpus._said", set())  # what a corpus is, is said once a process
        monkeypatch.setattr("gyebo.tasks.splits._said", set())  # and so are notes on a task
        if stdin is not None:
            raw = stdin if isinstance(stdin, bytes) else stdin.encode()
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        found = capsys.readouterr()
        return SimpleNamespace(code=code, out=found.out, err=found.err)

    return run


def sentences(count: int, seed: int = 0) -> list[str]:
    """Documents of 1 to 5 small sentences."""
    rng = random.Random(seed)

    def sentence() -> str:
        return f"{rng.choice(NOUNS)} {rng.choice(OTHERS)} {rng.choice(NOUNS)} {rng.choice(VERBS)}."

    return [" ".join(sentence() for _ in range(rng.randint(1, 5))) for _ in range(count)]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """600 documents, one a line."""
    path = tmp_path_factory.mktemp("corpus") / "small.txt"
    path.write_text("\n".join(sentences(600)) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tokenizer_folder(corpus, tmp_path_factory) -> Path:
    """A byte-level BPE with 400 ids, trained on the corpus."""
    from gyebo.text.training import train_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(corpus.read_text(encoding="utf-8").splitlines(), "bpe", 400).save(folder)
    return folder


@pytest.fixture(scope="session")
def run_options(corpus, tokenizer_folder):
    """A function that makes the options of a tiny run; keywords go to their sections by name."""
    from gyebo.config.run import RunOptions

    def make(steps: int = 8, *, family: str = "gpt2", seed: int = 0, model=None, optim=None, train=None, data=None, **rest):
        return RunOptions.model_validate(
            {
                "family": family,
                "size": "tiny",
                "model": {"layers": 2, "width": 32, **({} if family in (*HEADLESS, "elmo") else {"heads": 2}), **(model or {})},
                "tokenizer": str(tokenizer_folder),
                "context": 32,
                "seed": seed,
                "data": {"corpus": [str(corpus)], "valid_share": 0.05, **(data or {})},
                "optim": optim or {},
                "budget": {"steps": steps},
                "train": {"batch_tokens": 256, "precision": "float32", "device": "cpu", **(train or {})},
                **rest,
            }
        )

    return make
