"""How much the scores of a network and of its n-grams count in an answer: fitted on validation examples, kept in the model."""

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.optimize import minimize
from scipy.special import expit, log_softmax
from sklearn.linear_model import Ridge

import gyebo
from gyebo.config.finetune import FinetuneOptions
from gyebo.interchange import load, save
from gyebo.jobs import identity
from gyebo.jobs.finetuning.build import set_up
from gyebo.jobs.finetuning.run import finetune
from gyebo.models.bert import Bert, BertConfig
from gyebo.models.family import FAMILIES
from gyebo.tasks.heads.ngram_scores import SCALE
from gyebo.tasks.heads.task_model import add_head
from gyebo.tasks.kinds.table import KINDS, encode
from gyebo.tasks.ngram_factors import best_factors, fit_factors, parts_of
from gyebo.tasks.ngrams import NgramReading, Ngrams
from gyebo.tasks.prediction import outputs_of
from gyebo.tasks.task import Example
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from gyebo.training import log
from gyebo.training.loop import Stopped
from gyebo.training.trainer import Trainer

WITH_NGRAMS = [name for name, kind in KINDS.items() if kind.head and kind.head.ngrams]
CLASSES = ("a", "b", "c")


def plain_loss(kind, scores, right):
    """-ln of the likelihood of the labels, up to a constant of regression, without torch."""
    if kind == "classification":
        return -log_softmax(scores, 1)[np.arange(len(right)), right].sum()
    if kind == "multi-label":
        p = expit(scores)
        return -(right * np.log(p) + (1 - right) * np.log1p(-p)).sum()
    return np.square(scores[:, 0] - right).sum()


def losses_of(kind, right):
    """The loss of a kind as a function of its scores."""
    form, labels = KINDS[kind].head, torch.from_numpy(right)
    return lambda scores: form.loss(form.output(scores), {"labels": labels})


def made_up(kind, draw, rows=400):
    """Scores of a network that is sure of little, of n-grams that know more, and the labels."""
    truth = draw.normal(size=(rows, 1 if kind == "regression" else 3))
    network, ngrams = 20 * (truth / 4 + draw.normal(size=truth.shape)), truth + draw.normal(size=truth.shape) / 2
    right = {"classification": truth.argmax(1), "multi-label": (truth > 0).astype(np.float32)}
    return network, ngrams, right.get(kind, truth[:, 0].astype(np.float32))


def test_all_kinds_with_ngrams_are_tested():
    assert sorted(WITH_NGRAMS) == ["classification", "multi-label", "regression"]


@pytest.mark.parametrize("kind", WITH_NGRAMS)
@pytest.mark.parametrize("seed", range(3))
def test_no_other_factors_make_the_labels_likelier(kind, seed):
    """Against an optimiser of scipy, which knows neither the derivatives nor the prior."""
    network, ngrams, right = made_up(kind, np.random.default_rng(seed))

    def plain(factors):
        return plain_loss(kind, factors[0] * network + factors[1] * ngrams, right)

    found = best_factors(losses_of(kind, right), torch.from_numpy(network), torch.from_numpy(ngrams))
    assert found.dtype == torch.float64 and bool((found >= 0).all())
    least = minimize(plain, [0.1, 0.5], bounds=[(0, None)] * 2, method="L-BFGS-B").fun
    assert plain(found.numpy()) <= least + 0.05 < plain([0.5, 0.5])


@pytest.mark.parametrize("kind", WITH_NGRAMS)
def test_scores_that_mislead_count_nothing(kind):
    network, ngrams, right = made_up(kind, np.random.default_rng(3))
    for place, parts in enumerate(((-network, ngrams), (ngrams, -network))):
        found = best_factors(losses_of(kind, right), *map(torch.from_numpy, parts)).numpy()
        assert found[place] == 0
        alone = minimize(lambda factor: plain_loss(kind, factor * ngrams, right), [1.0], bounds=[(0, None)])
        assert found[1 - place] == pytest.approx(alone.x[0], rel=1e-2)


@pytest.mark.parametrize("kind", WITH_NGRAMS)
def test_where_both_mislead_the_mean_stays(kind):
    network, ngrams, right = made_up(kind, np.random.default_rng(4))
    found = best_factors(losses_of(kind, right), torch.from_numpy(-network), torch.from_numpy(-ngrams))
    assert found.tolist() == [0.5, 0.5]


def test_labels_that_are_told_apart_without_error_give_finite_factors():
    right = np.array([0, 1] * 20)
    scores = torch.from_numpy(np.eye(2)[right])
    for size in (1e-3, 1.0, 1e3):
        found = best_factors(losses_of("classification", right), size * scores, torch.zeros_like(scores))
        assert 0.5 <= found[0] < 100 and found[1] == pytest.approx(0.5)


def texts_and_labels(kind, count, draw):
    """Texts that begin at random and end with the only letters that tell the label; a tenth of the labels are wrong."""
    marks = draw.integers(0, 2, (count, 3))
    ends = [
        "pqrs"[2 * row[0] + row[1]] if kind == "classification" else "".join(np.array(list("xyz"))[row > 0]) for row in marks
    ]
    texts = ["".join(draw.choice(list("ghijk"), 12)) + 2 * end for end in ends]
    marks = np.where(draw.random(count)[:, None] < 0.1, draw.integers(0, 2, marks.shape), marks)
    names = ["".join(str(mark) for mark in row[:2]) for row in marks]
    fields = {
        "classification": [{"label": name} for name in names],
        "multi-label": [{"classes": tuple(name for name, mark in zip(CLASSES, row) if mark)} for row in marks],
        "regression": [{"label": float(row @ [1, 2, 4])} for row in marks],
    }
    return [Example(str(number), text, **given) for number, (text, given) in enumerate(zip(texts, fields[kind]))]


def over_sure(kind, tokenizer_folder):
    """A network that sees nothing that tells, and is sure; n-grams as a linear model learns them; and validation features."""
    tokenizer = Tokenizer.load(tokenizer_folder).for_family(roles_of(FAMILIES["bert"]))
    draw = np.random.default_rng(0)
    train, valid = texts_and_labels(kind, 300, draw), texts_and_labels(kind, 150, draw)
    labels = {"classification": ("00", "01", "10", "11"), "multi-label": CLASSES}.get(kind)
    reading = NgramReading.of(Ngrams(1 << 12, paired=False), train)
    torch.manual_seed(0)
    body = Bert(BertConfig(vocab_size=tokenizer.vocab_size, context=16, width=16, layers=1, heads=2, init_std=0.2))
    model = add_head(body, "pooled", kind, labels, ngrams=reading).eval()
    right = encode(kind, train, tokenizer, labels, 6).fixed["labels"]
    wanted = 2 * np.eye(4)[right] - 1 if kind == "classification" else right.reshape(len(train), -1)
    wanted = 2 * wanted - 1 if kind == "multi-label" else wanted
    weight = Ridge(0.1, fit_intercept=False).fit(reading.rows(train), wanted).coef_.reshape(wanted.shape[1], -1)
    with torch.no_grad():
        model.ngrams.weight.copy_(torch.from_numpy(weight.T / SCALE))
        model.head.out.weight.mul_(50)
    return model, reading.read(encode(kind, valid, tokenizer, labels, 6), valid)


def accuracy(kind, scores, right):
    if kind == "classification":
        return (scores.argmax(1) == right).mean()
    return ((scores > 0) == right).mean() if kind == "multi-label" else -np.square(scores[:, 0] - right).mean()


def answers(model, features):
    return np.stack(outputs_of(model, model.form, features)[0])


@pytest.mark.parametrize("kind", WITH_NGRAMS)
def test_the_answer_is_as_good_as_the_better_of_both(kind, tokenizer_folder, tmp_path):
    model, features = over_sure(kind, tokenizer_folder)
    right, mean = features.fixed["labels"], answers(model, features)
    parts = [part.numpy() for part in parts_of(model, features)]
    np.testing.assert_allclose(sum(parts) / 2, mean, atol=1e-4)
    fit_factors(model, features)
    found = answers(model, features)
    a, b = model.ngrams.factors.double().numpy()
    np.testing.assert_allclose(a * parts[0] + b * parts[1], found, atol=1e-4)
    assert accuracy(kind, found, right) >= max(accuracy(kind, part, right) for part in parts)
    assert accuracy(kind, found, right) > accuracy(kind, mean, right)
    likelier = [plain_loss(kind, scores.astype(np.float64), right) for scores in (found, mean, *parts)]
    assert likelier[0] <= min(likelier[1:]) + 0.01

    save(model, None, tmp_path)
    again = load(tmp_path)[0]
    assert np.array_equal(answers(again, features), found) and identity.digest(again) == identity.digest(model)
    fit_factors(again, features)  # whatever they were before
    assert torch.equal(again.ngrams.factors, model.ngrams.factors)


def test_half_precision_rounds_what_the_layers_give_not_the_answer(tokenizer_folder):
    model, features = over_sure("classification", tokenizer_folder)
    fit_factors(model, features)
    batch = {name: torch.from_numpy(values) for name, values in features.batch([0, 1, 2]).items()}
    given = {name: batch[name] for name in ("input_ids", "document_ids", "ngram_ids", "ngram_weights") if name in batch}
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        output = model(**given)
    expected = sum(factor * part.float() for factor, part in zip(model.ngrams.factors, output.apart))
    assert output.logits.dtype == torch.float32 and torch.equal(output.logits, expected)


def test_a_saved_model_without_factors_answers_with_the_mean(tokenizer_folder, tmp_path):
    model, features = over_sure("classification", tokenizer_folder)
    save(model, None, tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert {name for name in stored if name.startswith("ngrams")} == {"ngrams.weight", "ngrams.idf"}
    again = load(tmp_path)[0]
    assert again.ngrams.factors is None and np.array_equal(answers(again, features), answers(model, features))
    save_file(stored | {"ngrams.factors": torch.ones(3)}, str(tmp_path / "model.safetensors"), metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"ngrams.factors is \[3\], but config.json asks for \[2\]"):
        load(tmp_path)


def options(tokenizer, folder):
    """A run on texts whose end, which alone tells the class, the network does not read."""
    draw = np.random.default_rng(1)
    rows = {example.text: example.label for example in texts_and_labels("classification", 240, draw)}
    data = folder / "data.csv"
    data.write_text("text,label\n" + "".join(f"{text},c{label}\n" for text, label in rows.items()), encoding="utf-8")
    return FinetuneOptions.model_validate(
        {
            "model": "bert:tiny",
            "task": {"name": "classification", "data": str(data)},
            "tokenizer": str(tokenizer),
            "device": "cpu",
            "precision": "float32",
            "batch": 32,
            "epochs": 3,
            "max_length": 6,
            "ngrams": 4096,
            "optim": {"lr": 1e-2, "freeze": 2},
        }
    )


def test_a_run_ends_with_factors_and_chooses_its_weights_without(tokenizer_folder, tmp_path, monkeypatch):
    asked, out = options(tokenizer_folder, tmp_path), tmp_path / "run"
    result = finetune(asked, out)
    setup, model = set_up(asked), load(out)[0]
    features, valid = setup.tasks[0].features["valid"], setup.data.valid
    right, factors = features.fixed["labels"], model.ngrams.factors
    assert factors.shape == (2,) and bool((factors >= 0).all()) and factors.tolist() != [0.5, 0.5]
    assert "ngrams.factors" not in load_file(next((out / "checkpoints").glob("step-*")) / "model.safetensors")
    fitted = answers(model, features)
    assert result.valid["accuracy"] == pytest.approx(accuracy("classification", fitted, right))
    rows = gyebo.predict(out, [example.text for example in valid])
    assert [row["prediction"] for row in rows] == [model.labels[number] for number in fitted.argmax(1)]
    model.ngrams.factors = None
    before = answers(model, features)
    chosen = max(line["evaluation"]["accuracy"] for line in log.read(out) if "evaluation" in line)
    assert chosen == pytest.approx(accuracy("classification", before, right))
    assert plain_loss("classification", fitted, right) < plain_loss("classification", before, right)

    advance, again = Trainer.advance, tmp_path / "again"

    def stopping(self):
        record = advance(self)
        if self.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return record

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", stopping)
        with pytest.raises(Stopped):
            finetune(asked, again)
    resumed = finetune(asked, again, resume=True)
    assert replace(resumed, seconds=0.0, memory_bytes=0) == replace(result, seconds=0.0, memory_bytes=0)
    for name in ("model.safetensors", "predictions.jsonl", "config.json"):
        assert (again / name).read_bytes() == (out / name).read_bytes()
    test = [json.loads(line) for line in (out / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(test) == len(setup.data.test)
