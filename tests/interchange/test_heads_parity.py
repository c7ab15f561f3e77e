"""Fine-tuned models both ways between gyebo and transformers: the same logits to 1e-4, the same labels."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import gyebo.interchange as interchange
from gyebo.interchange.saving import auto_class
from gyebo.models.family import FAMILIES, model_class
from gyebo.tasks.heads.task_model import TaskModel, add_head
from gyebo.tasks.kinds.table import KINDS
from tests.tasks.head_outputs import scores_of

GPT_SHAPE = {"n_positions": 24, "n_embd": 21, "n_layer": 2, "n_head": 3}
BERT_SHAPE = {"hidden_size": 21, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 34}
SHAPES = {
    "gpt": (transformers.OpenAIGPTConfig, GPT_SHAPE),
    "gpt2": (transformers.GPT2Config, GPT_SHAPE),
    "bert": (transformers.BertConfig, {**BERT_SHAPE, "max_position_embeddings": 24}),
    "roberta": (transformers.RobertaConfig, {**BERT_SHAPE, "max_position_embeddings": 25, "type_vocab_size": 1}),
    "distilbert": (
        transformers.DistilBertConfig,
        {"dim": 21, "n_layers": 2, "n_heads": 3, "hidden_dim": 34, "max_position_embeddings": 24},
    ),
}
PREFIX = {"gpt": "OpenAIGPT", "gpt2": "GPT2", "bert": "Bert", "roberta": "Roberta", "distilbert": "DistilBert"}
SAME_CLASS = ("multi-label", "regression")  # as classification has
HEADED = {name: kind.head for name, kind in KINDS.items() if kind.head and not kind.head.sees and name not in SAME_CLASS}
TASKS = {name: head.transformers_class for name, head in HEADED.items()}
THEIRS = [(family, kind) for family in ("bert", "roberta", "distilbert") for kind in TASKS if kind != "dependency"]
THEIRS += [("gpt2", "classification"), ("gpt2", "tagging"), ("gpt2", "spans"), ("gpt", "classification")]
OURS = [(family, kind) for family in SHAPES for kind in TASKS if (family, kind) not in THEIRS]
NAMES = {0: "부정", 1: "중립", 2: "긍정"}


def reference(family, kind, seed=0, **options):
    """A model of transformers in evaluation mode, every tensor random."""
    config_class, shape = SHAPES[family]
    config = config_class(vocab_size=53, pad_token_id=0, bos_token_id=1, eos_token_id=2, **shape, **options)
    config._attn_implementation = "eager"
    model = getattr(transformers, f"{PREFIX[family]}For{TASKS[kind]}")(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            gain = "norm" in name.lower() or ".ln_" in name
            parameter.copy_(1 + 0.2 * noise if gain and name.endswith("weight") else 0.2 * noise)
    return model


def batch(kind):
    """Ids and mask: three texts, padded on the right (choice: three prompts with two options)."""
    shape = (3, 2, 11) if kind == "choice" else (3, 11)
    ids = torch.randint(3, 53, shape, generator=torch.Generator().manual_seed(5))
    mask = torch.ones(shape, dtype=torch.long)
    mask[1, ..., 7:] = 0
    mask[2, ..., 1:] = 0
    return ids * mask, mask


def logits_of(found):
    """One tensor from an output of transformers."""
    return torch.stack([found.start_logits, found.end_logits], -1) if "start_logits" in found else found.logits


def largest(kind, a, b):
    assert a.shape == b.shape
    if kind in ("tagging", "spans"):
        real = batch(kind)[1].bool()
        a, b = a[real], b[real]
    return float((a - b).detach().abs().max())


@pytest.fixture(autouse=True)
def _quiet():
    transformers.utils.logging.set_verbosity_error()


@pytest.mark.parametrize(("family", "kind"), THEIRS)
@torch.no_grad()
def test_both_directions(family, kind, tmp_path):
    labelled = {"id2label": NAMES, "label2id": {name: number for number, name in NAMES.items()}}
    if kind == "classification":
        labelled["problem_type"] = "single_label_classification"
    theirs = reference(family, kind, **({} if kind in ("spans", "choice") else labelled))
    theirs.save_pretrained(tmp_path / "theirs")
    ids, mask = batch(kind)
    expected = logits_of(theirs(ids, attention_mask=mask))
    assert expected.std() > 0.05

    ours, tokenizer = interchange.load(tmp_path / "theirs")
    assert isinstance(ours, TaskModel) and tokenizer is None and not ours.training
    assert (ours.family, ours.kind.name) == (family, kind)
    assert type(ours.body) is model_class(family)
    if kind in ("classification", "tagging"):
        assert ours.labels == tuple(NAMES.values())
    assert largest(kind, scores_of(ours(ids, attention_mask=mask)), expected) < 1e-4

    interchange.save(ours, None, tmp_path / "ours")
    assert not (tmp_path / "ours" / "generation_config.json").exists()
    assert auto_class(ours) == f"AutoModelFor{TASKS[kind]}"
    auto = getattr(transformers, auto_class(ours))
    back, report = auto.from_pretrained(tmp_path / "ours", output_loading_info=True, attn_implementation="eager")
    assert type(back) is type(theirs)
    assert not any(report.values()), report
    before, after = theirs.state_dict(), back.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    assert largest(kind, logits_of(back(ids, attention_mask=mask)), expected) < 1e-4
    if kind in ("classification", "tagging"):
        assert back.config.id2label == NAMES and back.config.label2id == labelled["label2id"]
    assert back.config.problem_type == (labelled.get("problem_type") if kind == "classification" else None)

    again, _ = interchange.load(tmp_path / "ours")
    assert (again.config, again.labels, again.problem, again.dropout) == (ours.config, ours.labels, ours.problem, ours.dropout)
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), ours.state_dict().values()))


@pytest.mark.parametrize(("family", "kind"), THEIRS)
def test_the_dropout_of_a_head_is_theirs(family, kind, tmp_path):
    cases = [{}, {"classifier_dropout": 0.35}]
    if family == "distilbert":
        cases = [{}, {"seq_classif_dropout": 0.25, "qa_dropout": 0.45, "dropout": 0.15}]
    elif family in ("bert", "roberta"):
        cases += [{"hidden_dropout_prob": 0.15}]
    if (family, kind) == ("roberta", "choice"):  # their class reads the other field alone
        cases = [{}, {"hidden_dropout_prob": 0.15}]
    for number, options in enumerate(cases):
        theirs = reference(family, kind, **options)
        owner = theirs.classifier if (family, kind) == ("roberta", "classification") else theirs
        theirs.save_pretrained(tmp_path / str(number))
        file = tmp_path / str(number) / "config.json"
        given = json.loads(file.read_text())
        file.write_text(json.dumps({name: value for name, value in given.items() if "dropout" not in name or name in options}))
        ours, _ = interchange.load(tmp_path / str(number))
        if hasattr(owner, "dropout"):
            assert ours.dropout == owner.dropout.p
        elif kind == "classification":  # GPT and GPT-2 have none, and no field unless it is asked for
            assert ours.dropout == options.get("classifier_dropout", 0.0)
        else:
            assert not (ours.head.spec.dropout_before or ours.head.spec.dropout_between)


def fresh(family, kind, labels=None, **options):
    torch.manual_seed(3)
    cls = model_class(family)
    shape = {"vocab_size": 53, "context": 24, "width": 21, "layers": 2, "heads": 3, "init_std": 0.2, "pad_id": 0}
    if family not in ("gpt", "gpt2"):
        shape["inner"] = 34
    names = None if kind in ("spans", "choice") else labels or ["가", "나", "다"]
    return add_head(cls(cls.config_class(**shape, **options)), FAMILIES[family].head_style, kind, names).eval()


def ours_of(model, kind):
    ids, mask = batch(kind)
    words = {"word_first": torch.tensor([[0, 2]] * 3), "word_last": torch.tensor([[1, 2]] * 3)}
    return scores_of(model(ids, mask, **(words if kind == "dependency" else {})))


@pytest.mark.parametrize(("family", "kind"), THEIRS)
@torch.no_grad()
def test_a_fresh_head_of_ours_opens_in_transformers(family, kind, tmp_path):
    model = fresh(family, kind)
    interchange.save(model, None, tmp_path)
    back, report = getattr(transformers, auto_class(model)).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    ids, mask = batch(kind)
    assert largest(kind, logits_of(back(ids, attention_mask=mask)), ours_of(model, kind)) < 1e-4


@pytest.mark.parametrize(("family", "kind"), OURS)
@torch.no_grad()
def test_what_transformers_has_no_class_for(family, kind, tmp_path):
    """Saved under a name of ours; the body opens in transformers, the head here."""
    model = fresh(family, kind)
    assert auto_class(model) is None
    interchange.save(model, None, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == [f"GyeboFor{TASKS[kind]}"]
    before = torch.get_rng_state()
    again, _ = interchange.load(tmp_path)
    assert torch.equal(before, torch.get_rng_state())
    assert (again.kind.name, again.labels, again.dropout) == (kind, model.labels, model.dropout)
    assert torch.equal(ours_of(again, kind), ours_of(model, kind))
    body, report = transformers.AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert {name for name in report["missing_keys"] if "pooler" not in name} == set()
    ids = batch("tagging")[0][:1]
    assert (body(ids).last_hidden_state - model.body.encode(ids).hidden).abs().max() < 1e-4

    theirs = f"{PREFIX[family]}For{TASKS[kind]}"
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": [theirs]}))
    with pytest.raises(ValueError, match=f"architectures {theirs} is not supported"):
        interchange.load(tmp_path)


@pytest.mark.parametrize("family", ["gpt", "gpt2"])
@torch.no_grad()
def test_an_untied_output_layer_is_not_in_the_file(family, tmp_path):
    model = fresh(family, "classification", tied=False)
    interchange.save(model, None, tmp_path)
    assert not any("lm_head" in name for name in load_file(tmp_path / "model.safetensors"))
    again, _ = interchange.load(tmp_path)
    assert not again.config.tied
    assert torch.equal(ours_of(again, "classification"), ours_of(model, "classification"))
    report = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)[1]
    assert not any(report.values())


def test_dropout_of_heads_is_kept(tmp_path):
    for family, field in {
        "bert": "classifier_dropout",
        "distilbert": "seq_classif_dropout",
        "gpt2": "classifier_dropout",
    }.items():
        body = fresh(family, "tagging").body
        model = add_head(body, FAMILIES[family].head_style, "classification", 2, dropout=0.37)
        interchange.save(model, None, tmp_path / family)
        assert json.loads((tmp_path / family / "config.json").read_text())[field] == 0.37
        assert interchange.load(tmp_path / family)[0].dropout == 0.37
    theirs = reference("bert", "classification", hidden_dropout_prob=0.23)
    theirs.save_pretrained(tmp_path / "theirs")
    assert interchange.load(tmp_path / "theirs")[0].dropout == 0.23


def test_regression_and_several_labels_at_once(tmp_path):
    reference("bert", "classification", num_labels=1).save_pretrained(tmp_path / "one")
    model, _ = interchange.load(tmp_path / "one")
    assert (model.problem, model.labels) == ("regression", ("LABEL_0",))
    several = "multi_label_classification"
    reference("bert", "classification", num_labels=4, problem_type=several).save_pretrained(tmp_path / "several")
    model, _ = interchange.load(tmp_path / "several")
    assert (model.kind.name, model.problem, len(model.labels)) == ("multi-label", several, 4)
    interchange.save(model, None, tmp_path / "ours")
    assert transformers.AutoConfig.from_pretrained(tmp_path / "ours").problem_type == several


@pytest.fixture
def folder(tmp_path):
    reference("gpt2", "tagging", num_labels=3).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def refused(folder, *words, **fields):
    path = folder / "config.json"
    whole = path.read_text()
    path.write_text(json.dumps({key: value for key, value in {**json.loads(whole), **fields}.items() if value != "gone"}))
    with pytest.raises(ValueError) as caught:
        interchange.load(folder)
    path.write_text(whole)
    assert "\n" not in str(caught.value) and all(word in str(caught.value) for word in words), caught.value


def test_labels_that_do_not_fit(folder):
    refused(folder, "classifier.weight", "[3, 21]", "[2, 21]", id2label={"0": "a", "1": "b"}, label2id="gone")
    refused(folder, "classifier.weight", "[2, 21]", id2label="gone", label2id="gone")  # what transformers takes without any
    refused(folder, "id2label", id2label={"0": "a", "1": "b", "3": "c"})
    refused(folder, "id2label", id2label=["a", "b", "c"])
    refused(folder, "id2label", id2label={})
    refused(folder, "num_labels", "10000000000", id2label="gone", label2id="gone", num_labels=10**10)
    refused(folder, "num_labels = 4", "id2label names 3", num_labels=4)
    refused(folder, "classifier_dropout", classifier_dropout=1.5)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    numbers = {name: int(number) for number, name in config.pop("id2label").items()}
    path.write_text(json.dumps(config | {"label2id": {**numbers, "LABEL_1": 2, "LABEL_2": 1}}))
    assert interchange.load(folder)[0].labels == ("LABEL_0", "LABEL_2", "LABEL_1")


def test_an_unknown_kind_of_problem(tmp_path):
    reference("gpt2", "classification").save_pretrained(tmp_path / "model")
    refused(tmp_path / "model", "problem_type", "ranking", problem_type="ranking")


def test_missing_and_extra_tensors_of_a_head(folder):
    state = load_file(folder / "model.safetensors")

    def write(state):
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})

    write({name: tensor for name, tensor in state.items() if name != "classifier.bias"})
    refused(folder, "classifier.bias", "missing")
    write(state | {"score.weight": torch.zeros(3, 21)})
    refused(folder, "score.weight", "no such tensor")
    write({name: tensor for name, tensor in state.items() if "ln_f" not in name})
    refused(folder, "transformer.ln_f", "missing")


def test_a_head_of_another_familys_style_is_refused(tmp_path):
    model = add_head(fresh("bert", "tagging").body, "dense", "classification", 2)
    with pytest.raises(ValueError, match="style 'dense' cannot be saved with bert, whose own is 'pooled'"):
        interchange.save(model, None, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_fine_tuned_model_does_not_open_as_a_pretrained_one(folder):
    with pytest.raises(ValueError, match="holds a model of GPT-2 with a task head, not of GPT-2"):
        model_class("gpt2").from_pretrained(folder)
