"""The loss of each kind of task against the plain formula, on one example at a time and in padded batches."""

from functools import cache

import pytest
import torch

from gyebo.config.finetune import LearningOptions
from gyebo.models.family import FAMILIES, model_class
from gyebo.tasks.features import ExampleRows
from gyebo.tasks.heads.task_model import add_head
from gyebo.tasks.kinds.table import KINDS, encode
from gyebo.tasks.objective import TaskObjective, forward
from gyebo.tasks.task import Example
from gyebo.training.trainer import Trainer
from tests.tasks.feature_texts import tokenizer_of

TEXTS = (
    "경찰은 노래를 불렀다",
    "비틀즈가",
    "박씨의 딸과 비틀즈가 서울역에서 노래를 불렀다 1965",
    "성매매 알선 자금을 관리한 Café",
)
LEARNED = [name for name, kind in KINDS.items() if kind.head and not kind.head.sees]
STYLES = {"gpt": "last", "bert": "pooled", "roberta": "dense"}
CLASSES, TAGS, RELATIONS = ("a", "b", "c"), ("O", "B-X", "I-X"), ("subject", "object", "root")
NAMES = {"classification": CLASSES, "multi-label": CLASSES, "tagging": TAGS, "dependency": RELATIONS}


def tags(text):
    return ("B-X", *("I-X" for _ in text.split()[0][1:]), *("O" for _ in text[len(text.split()[0]) :]))


def example(kind, number):
    text = f"{TEXTS[number % len(TEXTS)]} {number}"
    words = tuple(text.split())
    fields = {
        "classification": {"label": CLASSES[number % 3], "pair": TEXTS[(number + 1) % 4] if number % 2 else None},
        "multi-label": {"classes": CLASSES[: number % 4]},
        "regression": {"label": 0.7 * number},
        "tagging": {"tags": tags(text)},
        "spans": {"pair": "누가 불렀나", "answers": ((0, words[0]),) if number % 3 else ()},
        "choice": {"options": ("노래를", "서울역에서 불렀다", "딸과"), "label": number % 3},
        "dependency": {
            "words": words,
            "heads": tuple(0 if place == len(words) else place + 1 for place in range(1, len(words) + 1)),
            "relations": tuple(RELATIONS[place % 3] for place in range(len(words))),
        },
    }
    return Example(str(number), text, **fields[kind])


def features_of(kind, family, count=5):
    tokenizer = tokenizer_of("bpe", family)
    return encode(kind, [example(kind, number) for number in range(count)], tokenizer, NAMES.get(kind), 60)


def model_of(kind, family, **dropouts):
    torch.manual_seed(1)
    cls = model_class(family)
    still = dict.fromkeys(("embedding_dropout", "attention_dropout", "residual_dropout"), 0.0) | dropouts
    size = tokenizer_of("bpe", family).vocab_size
    body = cls(cls.config_class(vocab_size=size, context=64, width=16, layers=1, heads=2, init_std=0.2, pad_id=0, **still))
    model = add_head(body, STYLES[family], kind, NAMES.get(kind), dropout=0.0)
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.copy_((0.05 if kind == "dependency" else 0.3) * torch.randn_like(parameter))
    return model


def tensors(features, rows):
    return {name: torch.from_numpy(values) for name, values in features.batch(rows).items()}


def plain_loss(kind, found, batch):
    """(loss, labels) of a batch of one example without padding, by the formula."""

    def nll(scores, right):
        return scores.double().logsumexp(0) - scores.double()[right]

    if kind == "regression":
        return (found.logits[0, 0].double() - batch["labels"][0]) ** 2, 1
    if kind == "multi-label":
        p, right = 1 / (1 + (-found.logits[0].double()).exp()), batch["labels"][0].double()
        return -(right * p.log() + (1 - right) * (1 - p).log()).sum(), len(right)
    if kind == "tagging":
        places = [place for place, label in enumerate(batch["labels"][0].tolist()) if label >= 0]
        return sum(nll(found.logits[0, place], batch["labels"][0, place]) for place in places), len(places)
    if kind == "spans":
        ends = (batch["start_positions"][0], batch["end_positions"][0])
        return sum(nll(scores[0], end) for scores, end in zip(found.scores, ends)) / 2, 1
    if kind == "dependency":
        total = 0.0
        for word, (head, relation) in enumerate(zip(batch["heads"][0].tolist(), batch["relations"][0].tolist())):
            total += nll(found.arc_logits[0, word], head) + nll(found.relation_logits[0, word, head], relation)
        return total, len(batch["heads"][0])
    return nll(found.logits[0], batch["labels"][0]), 1


@cache
def parts(kind, family):
    features = features_of(kind, family)
    return features, model_of(kind, family).eval()


@pytest.mark.parametrize("family", STYLES)
@pytest.mark.parametrize("kind", LEARNED)
@torch.no_grad()
def test_the_loss_of_a_padded_batch_is_the_formula_on_each_example(kind, family):
    features, model = parts(kind, family)
    expected, labels = 0.0, 0
    for row in range(len(features)):
        alone = tensors(features, [row])
        assert bool((alone["document_ids"] > 0).all()) or kind == "choice"
        loss, count = plain_loss(kind, forward(model, KINDS[kind].head, alone), alone)
        expected, labels = expected + loss, labels + count
    batch = tensors(features, range(len(features)))
    assert bool((batch["document_ids"] == 0).any())
    objective = TaskObjective(KINDS[kind].head)
    total, weight = objective.loss(model, batch)["task"]
    assert objective.counts(batch) == {"task": labels} and weight == 1.0
    assert float(total) == pytest.approx(float(expected), rel=1e-5) and float(total) > 0.5


@pytest.mark.parametrize("kind", LEARNED)
def test_micro_batches_equal_one_batch(kind):
    family = "bert"
    features = features_of(kind, family)
    grads, losses = [], []
    for micro in (5, 2, 1):
        options = LearningOptions(lr=1e-3, warmup=0.0)
        model, rows = model_of(kind, family), ExampleRows(features)
        given = {"steps": 3, "batch_rows": 5, "micro_rows": micro, "seed": 0, "device": torch.device("cpu")}
        trainer = Trainer(model, TaskObjective(KINDS[kind].head), rows, options=options, precision="float32", **given)
        trainer.optimizer.step = lambda: None
        losses.append(trainer.advance()["loss"])
        grads.append({name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None})
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)
    assert sum(float(grad.abs().sum()) for grad in grads[0].values()) > 1e-3
    for other in grads[1:]:
        assert other.keys() == grads[0].keys()
        for name, grad in grads[0].items():
            torch.testing.assert_close(other[name], grad, atol=1e-5, rtol=1e-4, msg=name)


@torch.no_grad()
def test_padding_is_no_place_for_an_answer():
    features, model = parts("spans", "bert")
    form, batch = KINDS["spans"].head, tensors(features, range(len(features)))
    found = forward(model, form, batch)
    total = form.loss(found, batch)
    for scores in found.scores:
        scores[batch["document_ids"] == 0] = 50.0
    assert float(form.loss(found, batch)) == float(total)


def test_styles_are_those_of_the_families():
    assert {STYLES[name] == FAMILIES[name].head_style for name in STYLES} == {True}
