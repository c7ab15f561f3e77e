"""Fine-tuned models that teach another one: what they say of texts with and without a label, and what is learned of it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import gyebo
from gyebo.config import toml
from gyebo.config.errors import OptionError
from gyebo.config.finetune import FinetuneOptions
from gyebo.jobs.finetuning import teachers
from gyebo.jobs.finetuning.build import set_up
from gyebo.jobs.finetuning.linear import finetune_linear
from gyebo.jobs.finetuning.run import finetune
from gyebo.nn.outputs import TaskOutput
from gyebo.tasks.kinds import classification
from tests.jobs.tuning_files import json_lines, pairs, questions, reviews, saved_model, sentences, table, tuning

RARE = {"train_share": 0.1}


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(text for text, _ in sentences(300, seed=7)), encoding="utf-8")
    return path


@pytest.fixture
def baseline(tmp_path):
    """A linear baseline that learned all labels."""
    options = tuning("x", reviews(tmp_path, 400, name="all.csv")).task
    finetune_linear(options, tmp_path / "baseline")
    return tmp_path / "baseline"


def asked(folder, tokenizer_folder, teacher, corpus=None, distil=None, **more):
    taught = {"teachers": [str(teacher)], **({"texts": {"corpus": [str(corpus)]}} if corpus else {}), **(distil or {})}
    model = saved_model(folder / "model", "bert", tokenizer_folder)
    return tuning(model, reviews(folder), distil=taught, **more)


@pytest.mark.parametrize("factor", [0.2, 1.0, 7.0])
def test_a_teachers_scores_are_scaled_to_its_right_share(factor):
    """Labels drawn from the probabilities of some scores: whatever these were multiplied by is taken back."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(6000, 3)) * 2
    right = np.array([rng.choice(3, p=row) for row in teachers.softmax(scores)])
    assert teachers.best_scale(scores * factor, right) == pytest.approx(1 / factor, rel=0.15)


def test_labels_are_the_mean_of_all_teachers_beside_the_examples_own(tmp_path, tokenizer_folder, texts, monkeypatch):
    """Two teachers, one of which is always undecided."""

    def predicted(sure):
        def predict(examples, **_):
            said = ["positive" if any(word in e.text for word in ("좋아한다", "만났다")) else "negative" for e in examples]
            return [
                {name: 0.5 + sure * (0.5 if name == right else -0.5) for name in ("negative", "positive")} for right in said
            ]

        kind = SimpleNamespace(name="classification")
        return SimpleNamespace(model=None, kind=kind, labels=("negative", "positive"), predict=predict, trained=None)

    monkeypatch.setattr(teachers, "open_model", lambda name, task: predicted(float(name)))
    monkeypatch.setattr(teachers, "best_scale", lambda scores, right: 1.0)
    options = asked(tmp_path, tokenizer_folder, 0.0, texts, {"teachers": ["0", "0.8"], "weight": 0.25, "most": 50})
    setup = set_up(options)
    found = setup.tasks[0].features["train"].fixed["labels"]
    count = len(setup.data.train)
    assert found.shape == (count + 50, 2) and np.allclose(found.sum(1), 1)
    assert np.allclose(found[count:].max(1), (0.5 + 0.9) / 2)  # the mean of both
    assert np.allclose(found[:count].max(1), 0.25 * 0.7 + 0.75)  # a quarter of it, three quarters of the label
    own = [setup.data.task.labels.index(example.label) for example in setup.data.train]
    assert (found[:count].argmax(1) == own).all()


def test_classes_that_are_written_are_scores_too():
    """Of a model that answers by text, whose answer may be no class at all."""
    said = SimpleNamespace(model=None, predict=lambda examples, **_: ["b", "a", "nonsense"])
    found = teachers.scores_of(said, [], ["a", "b"], SimpleNamespace(device="cpu"))
    assert found.tolist() == [[0, 1], [1, 0], [0, 0]]


def test_the_loss_is_the_cross_entropy_with_these_probabilities():
    scores, right = torch.randn(4, 3), torch.rand(4, 3).softmax(-1)
    found = classification.loss(TaskOutput(logits=scores), {"labels": right})
    torch.testing.assert_close(found, -(right * scores.log_softmax(-1)).sum())


def test_texts_are_new_and_the_same_each_time(tmp_path, tokenizer_folder, baseline, texts):
    lines = texts.read_text(encoding="utf-8").splitlines()
    known = [text for text, _ in sentences(200)]  # training, validation and test examples
    texts.write_text("\n".join([*lines, *(25 * [lines[0]]), *lines, *known]), encoding="utf-8")
    options = asked(tmp_path, tokenizer_folder, baseline, texts, {"most": 250})
    first, second = (set_up(options).tasks[0].features["train"] for _ in range(2))
    assert first.ids == second.ids and np.array_equal(first.fixed["labels"], second.fixed["labels"])
    data = set_up(options).data
    found = teachers.taught(options, data, set_up(options).kind).texts
    assert len({example.text for example in found}) == 250 and not {example.text for example in found} & set(known)


def test_a_model_learns_from_texts_without_labels(tmp_path, tokenizer_folder, baseline, texts, monkeypatch):
    """With 10 labels and a baseline that knows 400."""
    learning = {"epochs": 8, "batch": 8, "task": RARE, "optim": {"lr": 3e-3}}
    taught = finetune(asked(tmp_path, tokenizer_folder, baseline, texts, **learning), tmp_path / "taught")
    alone = finetune(tuning(tmp_path / "model", tmp_path / "reviews.csv", **learning | {"epochs": 80}), tmp_path / "alone")
    assert taught.test["accuracy"] > 0.9 > alone.test["accuracy"] + 0.05
    record = toml.read(tmp_path / "taught" / "run.toml")
    assert set(record["identity"]) >= {"teachers", "texts"}
    assert record["options"]["distil"]["teachers"] == ["baseline"]  # not where it lies
    again = finetune(asked(tmp_path, tokenizer_folder, baseline, texts, **learning), tmp_path / "taught", resume=True)
    assert again == taught
    from gyebo.jobs.finetuning.run import replayed

    monkeypatch.chdir(tmp_path.parent)  # what `gyebo verify` does, from anywhere
    assert replayed(record, tmp_path / "taught").steps == taught.steps
    card = (tmp_path / "taught" / "README.md").read_text(encoding="utf-8")
    assert "--teacher baseline --unlabelled texts.txt" in card


def test_another_teacher_is_another_run(tmp_path, tokenizer_folder, baseline, texts):
    options = asked(tmp_path, tokenizer_folder, baseline)
    finetune(options, tmp_path / "run")
    finetune_linear(tuning("x", reviews(tmp_path, 100, seed=3, name="few.csv")).task, baseline, overwrite=True)
    with pytest.raises(OptionError, match="the teachers' weights differ"):
        finetune(options, tmp_path / "run", resume=True)


def test_the_verb_and_the_command(cli, tmp_path, tokenizer_folder, baseline, texts):
    model = saved_model(tmp_path / "model", "bert", tokenizer_folder)
    given = {"data": reviews(tmp_path), "text": "review", "label": "mood", "epochs": 1}
    found = gyebo.finetune(
        model, "classification", out=tmp_path / "a", teachers=baseline, unlabelled=texts.read_text().splitlines(), **given
    )
    line = [
        "finetune",
        model,
        "classification",
        "--data",
        given["data"],
        "--text",
        "review",
        "--label",
        "mood",
        "--epochs",
        "1",
    ]
    cli(*map(str, [*line, "--teacher", baseline, "--unlabelled", texts, "-o", tmp_path / "b"]))
    assert found.test == gyebo.finetune(
        model, "classification", out=tmp_path / "b", resume=True, teachers=[baseline], unlabelled=texts, **given
    ).test  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distil": {"weight": 0.3}}, "weight.* has no effect without"),
        ({"distil": {"teachers": ["x"], "most": 5}}, "most.*=5 has no effect without"),
        ({"distil": {"teachers": ["x"], "weight": 0}}, "nothing that the .* say would be learned"),
        ({"distil": {"teachers": ["x"], "texts": {"corpus": ["-"]}}}, "stdin"),
    ],
)
def test_options_without_effect(changes, message):
    with pytest.raises(ValueError, match=message):
        tuning("bert", "x.csv", **changes)


def test_what_can_not_be_taught_is_refused(tmp_path, tokenizer_folder, baseline):
    model = saved_model(tmp_path / "model", "bert", tokenizer_folder)
    data = json_lines(tmp_path / "questions.jsonl", questions(40))
    options = FinetuneOptions.model_validate(
        {"model": str(model), "task": {"name": "spans", "data": str(data)}, "distil": {"teachers": [str(baseline)]}}
    )
    with pytest.raises(OptionError, match="it is for tasks that give a text one class"):
        set_up(options)
    twos = table(
        tmp_path / "pairs.csv",
        ("text", "pair", "label"),
        [(*row[:2], ("negative", "positive")[row[2] == "same"]) for row in pairs(60)],
    )
    with pytest.raises(OptionError, match="learned single texts, but pair has pairs of texts"):
        set_up(tuning(model, twos, name="pair", distil={"teachers": [str(baseline)]}))
    other = reviews(tmp_path, name="other.csv")
    other.write_text(other.read_text(encoding="utf-8").replace("positive", "good"), encoding="utf-8")
    with pytest.raises(OptionError, match="knows the classes negative, positive, but classification has good, negative"):
        set_up(tuning(model, other, distil={"teachers": [str(baseline)]}))
