"""Meena wherever the Transformer can be used: fine-tuning by text, translation, generation with beams and by sampling."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gyebo.config.finetune import FinetuneOptions
from gyebo.jobs import translate as job
from gyebo.jobs.evaluate import evaluate_task
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.generate import generate
from gyebo.text.training import train_tokenizer

ANSWERS = {"나무": "tree", "바다": "sea", "사람": "human", "하늘": "sky", "영화": "film", "노래": "song"}


@pytest.fixture(scope="module")
def learned(tmp_path_factory) -> Path:
    """Names of things in another language, in the other order."""
    folder, rng = tmp_path_factory.mktemp("pairs"), random.Random(0)
    asked = [rng.choices(list(ANSWERS), k=rng.randint(1, 3)) for _ in range(400)]
    lines = [f"{' '.join(words)},{' '.join(ANSWERS[word] for word in reversed(words))}" for words in asked]
    (folder / "pairs.csv").write_text("\n".join(["question,answer", *lines]) + "\n", encoding="utf-8")
    train_tokenizer(lines, "bpe", 300).save(folder / "tok")
    options = {
        "model": "meena:tiny",
        "tokenizer": str(folder / "tok"),
        "shape": {"width": 32},
        "task": {"name": "translation", "data": str(folder / "pairs.csv"), "text": "question", "label": "answer"},
        "steps": 250,
        "device": "cpu",
        "precision": "float32",
        "body_dropout": 0.0,
        "evaluations": 0.1,
        "translation": {"batch_tokens": 160, "average": 1},
        "optim": {"lr": 3e-3},
    }
    out = tmp_path_factory.mktemp("runs") / "answers"
    finetune(FinetuneOptions.model_validate(options), out)
    return out


def test_it_answers_in_the_other_order(learned):
    assert evaluate_task(str(learned))["chrf"] > 0.7
    assert "gyebo-meena" in (learned / "config.json").read_text(encoding="utf-8")
    questions = ["나무 바다", "", "하늘", "노래 영화 사람"]
    assert job.translate(str(learned), questions) == ["sea tree", "", "sky", "human film song"]
    assert job.translate(str(learned), questions, {"beams": 1}) == ["sea tree", "", "sky", "human film song"]


def test_a_prompt_is_a_question(learned):
    for asked in ({"greedy": True}, {"beams": 3}, {"temperature": 0.2, "seed": 1}, {"rank": 4, "seed": 1}):
        [answer] = generate(str(learned), ["나무 바다"], asked)
        assert answer["text"].strip() == "sea tree"
    drawn = {answer["text"] for answer in generate(str(learned), ["나무"], {"temperature": 8.0, "samples": 5, "seed": 2})}
    assert len(drawn) > 1


def test_its_attention_is_drawn(learned, tmp_path):
    job.translate(str(learned), ["나무 바다"], picture=tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
