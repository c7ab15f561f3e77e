"""Character n-grams as features of a head: the numbers of the linear baseline, and a layer that learns with the rest."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

import gyebo
from gyebo.compare.recipe import parse
from gyebo.config.errors import OptionError
from gyebo.config.finetune import FinetuneOptions
from gyebo.interchange import load, save
from gyebo.jobs.finetuning.run import finetune
from gyebo.models.bert import Bert, BertConfig
from gyebo.models.family import FAMILIES
from gyebo.nn.cost import Workload
from gyebo.tasks.heads.ngram_scores import SCALE
from gyebo.tasks.heads.task_model import add_head
from gyebo.tasks.ngrams import FIELD, NgramReading, Ngrams, read
from gyebo.tasks.task import Example
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer

TEXTS = ["이 영화 정말 좋았다", "별로였다 ㅠㅠ", "Good  FILM", "좋았다 좋았다", "good film", "ㅠㅠ"]
BUCKETS = 1 << 22  # no two n-grams of these texts share one


def examples(texts, pairs=None):
    return [Example(str(n), text, pairs and pairs[n]) for n, text in enumerate(texts)]


def tiny(**more):
    torch.manual_seed(0)
    return Bert(BertConfig(vocab_size=40, context=16, width=8, layers=1, heads=2, **more)).eval()


def with_ngrams(labels=("no", "yes"), ngrams=None, still=False):
    reading = NgramReading.of(ngrams or Ngrams(1 << 10, paired=False), examples(TEXTS))
    kind = "regression" if labels is None else "classification"
    off = dict.fromkeys(("residual_dropout", "embedding_dropout", "attention_dropout"), 0.0) if still else {}
    return add_head(tiny(**off), "pooled", kind, labels, ngrams=reading, **({"dropout": 0.0} if still else {}))


def test_weights_are_those_of_tfidf():
    """The products of all pairs of texts, which the numbers of the columns do not change."""
    expected = TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True).fit_transform(TEXTS)
    found = NgramReading.of(Ngrams(BUCKETS, paired=False), examples(TEXTS)).rows(examples(TEXTS))
    assert found.shape == (6, BUCKETS) and (found.getnnz(1) == expected.getnnz(1)).all()
    np.testing.assert_allclose((found @ found.T).toarray(), (expected @ expected.T).toarray(), atol=1e-6)


def test_pairs_are_read_as_the_linear_baseline_reads_them():
    pairs = ["영화 좋았다", "별로", "film", "나빴다", "good film", "ㅋㅋ"]
    found = NgramReading.of(Ngrams(BUCKETS, paired=True), examples(TEXTS, pairs)).rows(examples(TEXTS, pairs))
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True).fit(TEXTS + pairs)
    x, y = vectorizer.transform(TEXTS).toarray(), vectorizer.transform(pairs).toarray()
    expected = np.concatenate([x, y, x * y, abs(x - y)], 1)
    np.testing.assert_allclose((found @ found.T).toarray(), expected @ expected.T, atol=1e-5)


def test_one_text_in_two_unicode_forms_has_the_same_features():
    import unicodedata

    reading = NgramReading.of(Ngrams(1 << 12, paired=False), examples(TEXTS))
    apart = [unicodedata.normalize("NFD", text) for text in TEXTS]
    assert (reading.rows(examples(TEXTS)) != reading.rows(examples(apart))).nnz == 0


def test_scores_are_the_mean_of_both_layers():
    model, ids = with_ngrams(), torch.randint(5, 40, (2, 7))
    columns, weights = torch.tensor([[3, 9, 0], [9, 700, 1]]), torch.tensor([[0.5, 0.25, 0.0], [1.0, 2.0, 0.5]])
    with torch.no_grad():
        alone = model(ids, ngram_ids=columns, ngram_weights=weights).logits  # its layer begins at zero
        model.ngrams.weight.normal_()
        table = model.ngrams.weight
        expected = torch.stack([0.5 * table[3] + 0.25 * table[9], table[9] + 2 * table[700] + 0.5 * table[1]])
        found = model(ids, ngram_ids=columns, ngram_weights=weights).logits
    assert (found - alone).abs().max() > 0.1
    torch.testing.assert_close(found - alone, SCALE * expected / 2, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("labels", [("no", "yes"), None])
def test_each_learns_as_if_alone(labels):
    """The gradients of a model with n-grams are those of the model without, and of the layer without a model."""
    model, ids = with_ngrams(labels, still=True).train(), torch.randint(5, 40, (2, 7))
    torch.nn.init.normal_(model.ngrams.weight)
    right = torch.tensor([1, 0]) if labels else torch.tensor([0.5, -2.0])
    columns, weights = torch.tensor([[3, 9, 0], [9, 700, 1]]), torch.tensor([[0.5, 0.25, 0.0], [1.0, 2.0, 0.5]])
    found = model(ids, ngram_ids=columns, ngram_weights=weights, labels=right).loss
    found.backward()
    body, table = (p.grad.clone() for p in (model.body.token_embedding.weight, model.ngrams.weight))
    model.zero_grad()
    layer, model.ngrams = model.ngrams, None
    alone = model(ids, labels=right).loss
    scores = layer(columns, weights)
    beside = torch.nn.functional.cross_entropy(scores, right) if labels else (scores[:, 0] - right).square().mean()
    (alone + beside).backward()
    torch.testing.assert_close(found, alone + beside)
    torch.testing.assert_close(model.body.token_embedding.weight.grad, body)
    torch.testing.assert_close(layer.weight.grad, table)


def test_only_a_texts_own_ngrams_learn():
    model, ids = with_ngrams(), torch.randint(5, 40, (1, 7))
    columns, weights = torch.tensor([[3, 9, 0]]), torch.tensor([[0.5, 0.25, 0.0]])
    model(ids, ngram_ids=columns, ngram_weights=weights, labels=torch.tensor([1])).loss.backward()
    moved = model.ngrams.weight.grad.abs().sum(1) > 0
    assert moved.nonzero().flatten().tolist() == [3, 9]  # 0 is what padding names, with weight 0


def test_parameters_and_products_are_counted():
    plain, model = add_head(tiny(), "pooled", "classification", ["no", "yes"]), with_ngrams()
    assert model.count_parameters() == plain.count_parameters() + 2 * (1 << 10)
    lengths = {"tokens": [5, 3], "ngrams": [30, 11]}
    assert model.flops(Workload(lengths)) == plain.flops(Workload(lengths)) + 2 * 41 * 2


def test_inputs_that_are_missing_or_not_read():
    ids = torch.randint(5, 40, (1, 7))
    with pytest.raises(ValueError, match="ngram_ids and ngram_weights are missing, which this model reads"):
        with_ngrams()(ids)
    plain = add_head(tiny(), "pooled", "classification", ["no", "yes"])
    with pytest.raises(ValueError, match="this model reads no n-grams: leave them out"):
        plain(ids, ngram_ids=ids, ngram_weights=torch.ones(1, 7))
    with pytest.raises(ValueError, match="kind tagging has no layer for n-grams"):
        reading = NgramReading.of(Ngrams(1 << 10, paired=False), examples(TEXTS))
        add_head(tiny(), "pooled", "tagging", ["O", "B-x"], ngrams=reading)


@pytest.mark.parametrize("labels", [("no", "yes"), ("a", "b", "c"), None])
def test_saved_and_loaded(tmp_path, labels):
    model = with_ngrams(labels)
    torch.nn.init.normal_(model.ngrams.weight)
    save(model, None, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["GyeboForSequenceClassification"] and config[FIELD]["buckets"] == 1 << 10
    again, _ = load(tmp_path)
    assert again.ngrams.ngrams == model.ngrams.ngrams and torch.equal(again.ngrams.idf, model.ngrams.idf)
    features = {"ngram_ids": torch.tensor([[3, 9]]), "ngram_weights": torch.tensor([[0.5, 0.25]])}
    ids = torch.randint(5, 40, (1, 7))
    with torch.no_grad():
        assert torch.equal(again.eval()(ids, **features).logits, model(ids, **features).logits)


def test_transformers_opens_the_body(tmp_path):
    from transformers import AutoModel

    save(with_ngrams(), None, tmp_path)
    body = AutoModel.from_pretrained(tmp_path).eval()
    model, ids = load(tmp_path)[0].eval(), torch.randint(5, 40, (1, 7))
    with torch.no_grad():
        torch.testing.assert_close(body(ids).last_hidden_state, model.body(ids).last_hidden_state, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "damage",
    [
        {"buckets": 10**12},
        {"buckets": "many"},
        {"longest": 400},
        {"paired": 1},
        {"shortest": 3, "longest": 2},
        {"more": 1},
    ],
)
def test_a_damaged_config_is_one_line(damage):
    given = {FIELD: Ngrams(1 << 10, paired=False).as_dict() | damage}
    with pytest.raises(ValueError, match=f"config.json: {FIELD} must have"):
        read(given, "config.json")


def table(path, count):
    """Texts of which the one with "zq" in a word is of class "with": letters tell, and no word alone does."""
    draw = np.random.default_rng(0)
    words = ["".join(draw.choice(list("abcdefghij"), 5)) for _ in range(count)]
    rows = [(word[:2] + "zq" + word[2:], "with") if n % 2 else (word + "k", "without") for n, word in enumerate(words)]
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return str(path)


def options(tokenizer, data, **more):
    task = {"name": "classification", "data": data}
    return FinetuneOptions.model_validate(
        {"model": "bert:tiny", "task": task, "tokenizer": str(tokenizer), "device": "cpu", "precision": "float32", **more}
    )


def test_a_run_learns_what_letters_tell_and_predicts_the_same_afterwards(tokenizer_folder, tmp_path):
    data, out = table(tmp_path / "data.csv", 300), tmp_path / "run"
    learning = {"epochs": 4, "batch": 16, "ngrams": 4096, "optim": {"lr": 1e-3, "freeze": 2}}
    result = finetune(options(tokenizer_folder, data, **learning), out)
    assert result.test["accuracy"] > 0.85
    stored = {row["id"]: row for row in map(json.loads, (out / "predictions.jsonl").read_text().splitlines())}
    rows = gyebo.predict(out, data, text="text")
    for number, row in enumerate(rows, 2):
        if (before := stored.get(f"row {number}")) is not None:
            assert row["prediction"] == before["prediction"]
            assert row["probabilities"]["with"] == pytest.approx(before["probabilities"]["with"], abs=1e-5)


def test_it_has_no_effect_on_what_is_no_class_of_a_text(tokenizer_folder, tmp_path):
    with pytest.raises(OptionError, match="ngrams=4096 has no effect on tagging"):
        finetune(
            FinetuneOptions.model_validate(
                {
                    "model": "bert:tiny",
                    "tokenizer": str(tokenizer_folder),
                    "task": {"name": "world-entities"},
                    "ngrams": 4096,
                }
            ),
            tmp_path / "run",
        )


def test_texts_without_a_character(tokenizer_folder):
    """Alone in a batch they have no n-gram, so the head decides."""
    model, tokenizer = with_ngrams(), Tokenizer.load(tokenizer_folder).for_family(roles_of(FAMILIES["bert"]))
    model.body = Bert(replace(model.config, vocab_size=tokenizer.vocab_size)).eval()
    torch.nn.init.normal_(model.ngrams.weight)
    for texts in ([""], ["", ""], ["good", ""]):
        rows = gyebo.predict(model, texts, tokenizer=tokenizer)
        assert len(rows) == len(texts)
    model(
        torch.randint(5, 40, (2, 4)), ngram_ids=torch.zeros(2, 0, dtype=torch.long), ngram_weights=torch.zeros(2, 0)
    ).logits.sum().backward()
    assert model.ngrams.weight.grad.abs().sum() == 0


def test_a_comparison_refuses_what_no_head_can_have():
    values = {
        "budget": {"steps": 5},
        "data": {"corpus": ["x.txt"]},
        "candidates": [{"family": "bert", "size": "tiny"}, {"family": "roberta", "size": "tiny"}],
        "tasks": [{"name": "world-entities", "ngrams": 4096}],
    }
    with pytest.raises(OptionError, match="task world-entities: ngrams has no effect on candidate bert-tiny"):
        parse(values)


def test_a_comparison_has_rows_with_and_without():
    values = {
        "budget": {"steps": 5},
        "data": {"corpus": ["x.txt"]},
        "candidates": [
            {"family": "bert", "size": "tiny"},
            {"family": "bert", "size": "tiny", "name": "with-ngrams", "tuning": {"ngrams": 4096}},
        ],
        "tasks": [{"name": "world-sentiment"}],
    }
    recipe = parse(values)
    options = [
        recipe.finetuning(each, recipe.tasks[0], model="a-model", seed=0, precision="auto") for each in recipe.candidates
    ]
    assert [each.ngrams for each in options] == [None, 4096]
    with pytest.raises(OptionError, match="ngrams"):
        finetune(options[1].model_copy(update={"model": "t5:tiny", "answer": "text"}), Path("never-made"))
