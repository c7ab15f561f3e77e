"""Distillation: its three terms, and how a student starts."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from gyebo.config.run import OptimOptions
from gyebo.data.batches import IGNORE
from gyebo.jobs.pretraining.build import set_up
from gyebo.models.bert import Bert, BertConfig
from gyebo.models.distilbert import Distilbert, DistilbertConfig
from gyebo.models.family import find
from gyebo.models.roberta import Roberta, RobertaConfig
from gyebo.objectives.distillation import Options, build, kept_layers, start_from_teacher
from gyebo.objectives.masked import encode
from gyebo.objectives.objective import Setting
from gyebo.tasks.heads.task_model import add_head
from gyebo.text.roles import roles_of
from gyebo.training.trainer import Trainer

SMALL = {"vocab_size": 53, "context": 24, "width": 21, "heads": 3, "init_std": 0.3}
STILL = {"embedding_dropout": 0.0, "attention_dropout": 0.0, "residual_dropout": 0.0}


def scattered(model, seed=0):
    """The model with every vector away from where it starts."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.copy_(("norm.weight" in name) + 0.3 * torch.randn_like(parameter))
    return model.eval()


def bert(layers=4, **options):
    torch.manual_seed(1)
    return scattered(Bert(BertConfig(**{**SMALL, "layers": layers, **options})))


# -- the student's start -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("teacher", "student", "layers"),
    [
        (12, 6, [0, 2, 4, 7, 9, 11]),  # the layers of the released DistilBERT
        (4, 2, [0, 3]),
        (3, 3, [0, 1, 2]),
        (24, 4, [0, 8, 15, 23]),
        (5, 1, [0]),
        (1, 1, [0]),
    ],
)
def test_kept_layers(teacher, student, layers):
    assert kept_layers(teacher, student) == layers


@pytest.mark.parametrize(("teacher", "student"), [(4, 5), (4, 0)])
def test_a_student_is_not_deeper_than_its_teacher(teacher, student):
    with pytest.raises(ValueError, match=f"a student has 1 to 4 layers .*, but {student} were requested"):
        kept_layers(teacher, student)


def test_a_student_starts_from_its_teachers_layers_and_embeddings():
    teacher = bert(4)
    student = Distilbert(DistilbertConfig(**SMALL, layers=2))
    start_from_teacher(student, teacher)
    theirs = teacher.state_dict()
    for name, tensor in student.state_dict().items():
        source = name.replace("blocks.1.", "blocks.3.")
        expected = theirs[source]
        if name == "position_embedding.weight":
            expected = expected + theirs["segment_embedding.weight"][0]
        assert torch.equal(tensor, expected), name
    assert student.mlm_head.decoder.weight is student.token_embedding.weight


@pytest.mark.parametrize("segments", [1, 2])
@torch.no_grad()
def test_a_student_with_all_layers_is_its_teacher(segments):
    teacher = bert(3, segments=segments)
    student = Distilbert(DistilbertConfig(**SMALL, layers=3)).eval()
    ids = torch.randint(3, 53, (2, 9))
    assert not torch.allclose(student.encode(ids).hidden, teacher.encode(ids).hidden, atol=0.1)
    start_from_teacher(student, teacher)
    torch.testing.assert_close(student.encode(ids).hidden, teacher.encode(ids).hidden, atol=1e-5, rtol=0)
    torch.testing.assert_close(student(ids).logits, teacher(ids).logits, atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_roberta_teaches_a_roberta():
    torch.manual_seed(2)
    shape = {**SMALL, "pad_id": 0, "bos_id": 1, "eos_id": 2}
    teacher = scattered(Roberta(RobertaConfig(**shape, layers=2)))
    student = Roberta(RobertaConfig(**shape, layers=2)).eval()
    start_from_teacher(student, teacher)
    ids = torch.randint(3, 53, (2, 9))
    assert torch.equal(student(ids).logits, teacher(ids).logits)


def test_a_student_of_another_shape_is_refused():
    student = Distilbert(DistilbertConfig(**{**SMALL, "width": 18}, layers=2))
    with pytest.raises(ValueError, match=r"token_embedding\.weight is \[53, 21\] there and \[53, 18\] here; keep the"):
        start_from_teacher(student, bert(4))
    with pytest.raises(ValueError, match=r"mlm_head\.dense\.weight is missing there"):
        start_from_teacher(Distilbert(DistilbertConfig(**SMALL, layers=2)), bert(4, mlm=False))


# -- the loss ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def setup(run_options, tmp_path):
    """The rows of a tiny DistilBERT's masked language modelling."""
    return set_up(run_options(family="distilbert", model=STILL), tmp_path, None)


@pytest.fixture
def distillation(setup):
    """A function that gives the objective with options, beside a teacher of twice the depth."""
    config = setup.make_model().config
    torch.manual_seed(5)
    fields = {name: getattr(config, name) for name in ("vocab_size", "context", "width", "heads", "pad_id", "bos_id", "eos_id")}
    teacher = scattered(Bert(BertConfig(**fields, layers=4, nsp=False, pooler=False)))
    setting = Setting(setup.tokenizer, roles_of(find("distilbert")), setup.prepared.train, ("mlm",), teacher=teacher)
    return lambda **options: build(Options(**options), setting)


def batch_of(setup):
    return {name: torch.from_numpy(values) for name, values in setup.rows.step(0, 4, 0).items()}


def by_formula(objective, model, batch):
    """The mean of each term, written out."""
    options = objective.options
    taught, learned = encode(objective.teacher, batch), encode(model, batch)
    real, masked = batch["document_ids"] > 0, batch["labels"] != IGNORE
    at = real if options.soft_at == "all" else masked
    p = (objective.teacher.project(taught[at], "mlm") / options.temperature).log_softmax(-1)
    q = (model.project(learned[at], "mlm") / options.temperature).log_softmax(-1)
    return {
        "soft": (p.exp() * (p - q)).sum(-1).mean(),
        "mlm": F.cross_entropy(model.project(learned[masked], "mlm"), batch["labels"][masked]),
        "cosine": (1 - F.cosine_similarity(learned[real], taught[real], dim=-1)).mean(),
    }


@pytest.mark.parametrize("soft_at", ["all", "masked"])
def test_terms_weights_and_gradients(setup, distillation, soft_at):
    objective, model, batch = distillation(soft_at=soft_at), setup.make_model().eval(), batch_of(setup)
    counts, terms = objective.counts(batch), objective.loss(model, batch)
    real, masked = int((batch["document_ids"] > 0).sum()), int((batch["labels"] != IGNORE).sum())
    assert 0 < masked < real < batch["labels"].numel()
    assert counts == {"soft": real if soft_at == "all" else masked, "mlm": masked, "cosine": real}
    assert {name: weight for name, (_, weight) in terms.items()} == {"soft": 5.0 * 2.0**2, "mlm": 2.0, "cosine": 1.0}
    sum(weight * total / counts[name] for name, (total, weight) in terms.items()).backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    assert all(p.grad is None for p in objective.teacher.parameters())
    model.zero_grad()
    expected = by_formula(objective, model, batch)
    for name, (total, _) in terms.items():
        assert total.item() / counts[name] == pytest.approx(expected[name].item(), rel=1e-4), name
    (20 * expected["soft"] + 2 * expected["mlm"] + expected["cosine"]).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, atol=2e-5, rtol=1e-3, msg=name)


@pytest.mark.parametrize(("name", "value"), [("temperature", 0.0), ("soft", -0.1), ("mlm", -0.1), ("cosine", -0.1)])
def test_weights_are_not_negative(name, value):
    with pytest.raises(ValidationError) as caught:
        Options(**{name: value})
    assert [problem["loc"] for problem in caught.value.errors()] == [(name,)]


def test_the_older_name_of_an_option_is_read():
    assert Options(soft_at="hidden") == Options(soft_at="masked")


@pytest.mark.parametrize("idle", [{"temperature": 4.0}, {"soft_at": "masked"}])
def test_what_shapes_soft_targets_is_refused_without_them(distillation, idle):
    with pytest.raises(ValueError, match=f"objective.{next(iter(idle))} has no effect where objective.soft is 0"):
        distillation(soft=0.0, **idle)


def test_terms_without_weight_are_left_out(setup, distillation):
    model, batch = setup.make_model().eval(), batch_of(setup)
    for off, left in ((("soft",), {"mlm", "cosine"}), (("cosine",), {"soft", "mlm"}), (("mlm", "cosine"), {"soft"})):
        objective = distillation(**dict.fromkeys(off, 0.0))
        assert set(objective.counts(batch)) == set(objective.loss(model, batch)) == left
    alone = distillation(soft=0.0, cosine=0.0)  # the student without a teacher
    (total, weight) = alone.loss(model, batch)["mlm"]
    plain = setup.objective.loss(model, batch)["mlm"][0]
    assert total.item() == pytest.approx(plain.item()) and weight == 2.0


def trainer_of(setup, rows, options, **given):
    given |= {"options": options, "steps": 9, "seed": 0, "device": setup.device, "precision": "float32"}
    return Trainer(setup.make_model(), rows.objective, rows, **given)


def test_micro_batches_equal_one_batch_with_three_terms(setup, distillation):
    losses, grads = [], []
    for micro in (6, 4, 1):
        rows = replace(setup.rows, objective=distillation())
        trainer = trainer_of(setup, rows, OptimOptions(), batch_rows=6, micro_rows=micro)
        trainer.optimizer.step = lambda: None
        record = trainer.advance()
        assert record["loss"] == pytest.approx(20 * record["loss_soft"] + 2 * record["loss_mlm"] + record["loss_cosine"])
        losses.append(record["loss"])
        grads.append({name: p.grad.clone() for name, p in trainer.model.named_parameters()})
    assert losses == pytest.approx([losses[0]] * 3, abs=1e-5 * losses[0])
    for other in grads[1:]:
        for name, grad in grads[0].items():
            torch.testing.assert_close(other[name], grad, atol=1e-5, rtol=1e-4, msg=name)


def test_the_teacher_does_not_change_and_hears_no_dropout(setup, distillation):
    objective = distillation()
    before = {name: tensor.clone() for name, tensor in objective.teacher.state_dict().items()}
    rows = replace(setup.rows, objective=objective)
    trainer = trainer_of(setup, rows, OptimOptions(lr=1e-3), batch_rows=4, micro_rows=4)
    losses = [trainer.advance()["loss"] for _ in range(8)]
    assert losses[-1] < losses[0] and not objective.teacher.training
    assert all(torch.equal(before[name], tensor) for name, tensor in objective.teacher.state_dict().items())


def test_what_cannot_be_distilled(setup, distillation):
    with pytest.raises(ValueError, match=r"objective\.soft and objective\.mlm are both 0"):
        distillation(soft=0, mlm=0)
    tuned = add_head(bert(2), "pooled", "classification", 2)
    with pytest.raises(
        ValueError, match="the teacher, a BERT with a task head, has no head for masked tokens: give its pretrained model"
    ):
        build(Options(), Setting(setup.tokenizer, roles_of(find("distilbert")), setup.prepared.train, teacher=tuned))
