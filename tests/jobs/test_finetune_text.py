"""Tasks that a head could answer, answered by text: from a file to predictions, for every kind; and one that is learned."""

import csv
import json
import shutil

import pytest

from gyebo.config.finetune import FinetuneOptions, TaskOptions
from gyebo.jobs.evaluate import evaluate_task
from gyebo.jobs.finetuned_model import open_model
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.predict import predict
from tests.conftest import sentences

TEXTS = [" ".join(text.split()[:3]) for text in sentences(60, seed=5)]
FILES = {  # kind: columns, and a row of each text
    "classification": (["text", "label"], lambda text, n: [text, "even" if n % 2 else "odd"]),
    "pair": (["text", "pair", "label"], lambda text, n: [text, TEXTS[n - 1], "even" if n % 2 else "odd"]),
    "regression": (["text", "label"], lambda text, n: [text, n % 6]),
    "tagging": (["text", "spans"], lambda text, n: [text, json.dumps([[0, len(text.split()[0]), "first"]])]),
    "spans": (["context", "question", "answers"], lambda text, n: [f"{text} #{n}", "which number?", f"#{n}"]),
    "choice": (["text", "a", "b", "label"], lambda text, n: [text, "left", "right", n % 2]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("texts")
    for kind, (columns, row) in FILES.items():
        with (made / f"{kind}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([columns, *(row(text, n) for n, text in enumerate(TEXTS))])
    return made


def asked(folder, kind, steps=2, **more):
    task = {"name": kind, "data": str(folder / f"{kind}.csv"), **({"pair": "a,b"} if kind == "choice" else {})}
    translation = {"beams": 1, "vocab_size": 330, "batch_tokens": 600, "average": 1}
    values = {"model": "transformer:tiny", "task": task, "steps": steps, "device": "cpu", "precision": "float32"}
    return FinetuneOptions.model_validate({**values, "evaluations": 0.1, "translation": translation, **more})


@pytest.mark.parametrize(
    ("kind", "model"),
    [*((kind, "transformer:tiny") for kind in FILES), *((kind, "gpt2:tiny") for kind in FILES), ("pair", "gru:tiny")],
)
def test_a_file_of_any_kind_is_learned_evaluated_and_asked(kind, model, folder, tmp_path):
    """After two steps the model writes nonsense, which no part may stumble over."""
    result = finetune(asked(folder, kind, model=model, answer="text"), tmp_path / "run")
    assert result.answer == "text"
    again = evaluate_task(str(tmp_path / "run"))
    assert {name: again[name] for name in result.test} == pytest.approx(result.test, nan_ok=False)
    rows = predict(str(tmp_path / "run"), str(folder / f"{kind}.csv"))
    assert len(rows) == len(TEXTS) and all("prediction" in row and "probabilities" not in row for row in rows)
    assert json.loads(json.dumps(rows, allow_nan=False)) is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "lr", "more"), [(150, 3e-3, {}), (700, 2e-3, {"model": "gpt2:tiny", "answer": "text", "evaluations": 0.5})]
)
def test_a_task_of_the_world_is_learned(steps, lr, more, tmp_path):
    """A classification; what is never a class is rare after a hundred steps. A decoder alone takes longer from scratch."""
    options = asked(tmp_path, "classification", steps, task={"name": "world-sentiment"}, optim={"lr": lr}, **more)
    changes = {"batch_tokens": 2000, "vocab_size": 600, "smoothing": 0.0 if more else 0.1}
    options = options.model_copy(update={"translation": options.translation.model_copy(update=changes)})
    result = finetune(options, tmp_path / "run")
    assert result.test["accuracy"] > 0.85 and result.answer == "text" and result.kind == "classification"


def test_a_copy_without_its_run_reads_pairs_as_the_run_did(folder, tmp_path):
    finetune(asked(folder, "pair", 1, translation={"vocab_size": 330, "batch_tokens": 600}), tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    (tmp_path / "copy" / "run.toml").unlink()
    opened = open_model(str(tmp_path / "copy"))
    assert opened.trained is None and opened.labels == ("even", "odd")
    file = str(folder / "pair.csv")
    assert predict(str(tmp_path / "copy"), file) == predict(str(tmp_path / "run"), file)
    found = evaluate_task(str(tmp_path / "copy"), TaskOptions(name="pair", data=file))
    assert found["examples"] == len(TEXTS)
