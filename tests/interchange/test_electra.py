"""ELECTRA's discriminator against `transformers`, both ways: the format of BERT that KoELECTRA and KcELECTRA have."""

from __future__ import annotations

import itertools
import json

import pytest
import torch

import gyebo
from gyebo.models.bert import Bert, BertConfig
from gyebo.nn.cost import Workload
from gyebo.tasks.heads.task_model import add_head
from tests.interchange.encoder_references import largest, tokens
from tests.jobs.tuning_files import tuning
from tests.operations import counted

transformers = pytest.importorskip("transformers")

SHAPE = {
    "vocab_size": 101,
    "max_position_embeddings": 32,
    "hidden_size": 21,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "pad_token_id": 0,
}
ODD = [
    {"embedding_size": 21},
    {"embedding_size": 13},
    {"embedding_size": 34, "hidden_act": "gelu_new", "type_vocab_size": 1, "layer_norm_eps": 1e-3},
]


def reference(name, **options):
    torch.manual_seed(0)
    config = transformers.ElectraConfig(**{**SHAPE, **options})
    config._attn_implementation = "eager"
    model = getattr(transformers, name)(config).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            parameter.copy_(("norm" in key.lower() and key.endswith("weight")) + 0.3 * torch.randn_like(parameter))
    return model


def inputs(segments=2):
    ids = tokens(101, 3, 9)
    mask = torch.ones_like(ids)
    mask[0, 6:] = mask[2, 4:] = 0
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.arange(9).expand(3, 9) // 5 % segments}


def there_and_back(theirs, name, folder):
    """Ours of a directory of theirs, and theirs of what ours saves."""
    theirs.save_pretrained(folder / "theirs")
    ours, _ = gyebo.load(folder / "theirs")
    gyebo.save(ours, None, folder / "ours")
    back, notes = getattr(transformers, name).from_pretrained(folder / "ours", output_loading_info=True)
    assert not any(notes[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return ours, back.eval()


@pytest.mark.parametrize("options", ODD)
@torch.no_grad()
def test_the_body(options, tmp_path):
    theirs = reference("ElectraModel", **options)
    ours, back = there_and_back(theirs, "ElectraModel", tmp_path)
    given = inputs(options.get("type_vocab_size", 2))
    real = given["attention_mask"].bool()
    found, wanted = ours(**given, output_hidden_states=True), theirs(**given, output_hidden_states=True)
    for layer, expected in zip(found.hidden_states, wanted.hidden_states, strict=True):
        assert largest(layer[real], expected[real]) < 1e-4
    assert largest(back(**given).last_hidden_state[real], wanted.last_hidden_state[real]) < 1e-4
    assert ours.heads == () and type(ours) is Bert


@pytest.mark.parametrize("options", ODD)
@torch.no_grad()
def test_the_head_that_finds_replaced_tokens(options, tmp_path):
    theirs = reference("ElectraForPreTraining", **options)
    ours, back = there_and_back(theirs, "ElectraForPreTraining", tmp_path)
    given = inputs(options.get("type_vocab_size", 2))
    real, wanted = given["attention_mask"].bool(), theirs(**given).logits
    assert (
        largest(ours(**given).replaced_logits[real], wanted[real]) < 1e-4
        and largest(back(**given).logits[real], wanted[real]) < 1e-4
    )
    assert ours(**given).logits is None and ours.heads == ("replaced",)
    hidden = ours.encode(**given).hidden
    assert largest(ours.project(hidden[real], "replaced")[:, 0], wanted[real]) < 1e-4


HEADS = {
    "classification": "ElectraForSequenceClassification",
    "tagging": "ElectraForTokenClassification",
    "spans": "ElectraForQuestionAnswering",
    "choice": "ElectraForMultipleChoice",
}


@pytest.mark.parametrize("kind", HEADS)
@torch.no_grad()
def test_task_heads(kind, tmp_path):
    labels = {"num_labels": 4} if kind in ("classification", "tagging") else {}
    theirs = reference(HEADS[kind], embedding_size=13, classifier_dropout=0.25, summary_last_dropout=0.25, **labels)
    ours, back = there_and_back(theirs, HEADS[kind], tmp_path)
    given = inputs()
    real = given["attention_mask"].bool()
    if kind == "choice":
        given = {name: torch.stack([tensor, tensor.flip(0)], 1) for name, tensor in given.items()}
    found, wanted, again = ours(**given), theirs(**given), back(**given)
    for name in ("start_logits", "end_logits") if kind == "spans" else ("logits",):
        chosen = (lambda x: x[real]) if kind in ("tagging", "spans") else (lambda x: x)
        expected = chosen(getattr(wanted, name))
        assert largest(chosen(getattr(found, name)), expected) < 1e-4 and largest(chosen(getattr(again, name)), expected) < 1e-4
    assert ours.kind.name == kind and (kind == "spans" or ours.dropout == 0.25)


def test_the_dropout_of_a_head_is_theirs(tmp_path):
    cases = [{}, {"hidden_dropout_prob": 0.15}, {"classifier_dropout": 0.35, "summary_last_dropout": 0.45}]
    for number, options in enumerate(cases):
        for kind in ("classification", "tagging", "choice"):
            theirs = reference(HEADS[kind], embedding_size=13, **options)
            theirs.save_pretrained(tmp_path / f"{kind}{number}")
            ours, _ = gyebo.load(tmp_path / f"{kind}{number}")
            owner = theirs.sequence_summary.last_dropout if kind == "choice" else theirs
            owner = owner if kind == "choice" else getattr(theirs.classifier, "dropout", None) or theirs.dropout
            assert ours.dropout == owner.p
            assert ours.head.spec.dropout_before == (kind == "classification"), "before the dense layer, too"


def test_a_new_head_has_electras_style(tmp_path):
    reference("ElectraForPreTraining", embedding_size=13).save_pretrained(tmp_path)
    model, _ = gyebo.load(tmp_path)
    tuned = add_head(model, model.own_head_style, "classification", ["a", "b", "c"])
    assert tuned.head.spec.activation == "gelu" and tuned.head.spec.pooling == "first" and tuned.body.pooler is None
    gyebo.save(tuned, None, tmp_path / "tuned")
    config = json.loads((tmp_path / "tuned" / "config.json").read_text())
    assert config["architectures"] == [HEADS["classification"]] and config["embedding_size"] == 13
    assert type(gyebo.load(tmp_path / "tuned")[0].body) is Bert


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]


def test_it_is_fine_tuned_and_embeds_by_its_commands(tmp_path):
    from gyebo.jobs.finetuning.run import finetune
    from gyebo.tasks.embedding import embed

    reference("ElectraForPreTraining", embedding_size=13, vocab_size=len(WORDS)).save_pretrained(tmp_path / "koelectra")
    (tmp_path / "koelectra" / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (tmp_path / "koelectra" / "tokenizer_config.json").write_text('{"tokenizer_class": "ElectraTokenizer"}')
    texts = sorted({" ".join(words) for words in itertools.product("ab", "cdef", "cdefgh")})
    rows = "".join(f"{text},{'yes' if text[0] == 'a' else 'no'}\n" for text in texts)
    (tmp_path / "texts.csv").write_text("text,label\n" + rows)
    task = {"text": "text", "label": "label"}
    finetune(tuning(tmp_path / "koelectra", tmp_path / "texts.csv", task=task), tmp_path / "tuned")
    assert json.loads((tmp_path / "tuned" / "config.json").read_text())["architectures"] == [HEADS["classification"]]
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "tuned").eval()
    ours, tokenizer = gyebo.load(tmp_path / "tuned")
    batch = tokenizer(["a c", "b"], padding=True, return_tensors="pt")
    with torch.no_grad():
        assert largest(ours(**batch).logits, theirs(**batch).logits) < 1e-4
    vectors, _ = embed(*gyebo.load(tmp_path / "koelectra"), ["a c", "b"], "mean")
    assert vectors.shape == (2, 21)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"architectures": ["ElectraForMaskedLM"]}, "ElectraForMaskedLM is not supported"),
        ({"summary_type": "mean"}, "summary_type"),
        ({"embedding_size": 12}, r"\[101, 13\]"),
        ({"embedding_size": 10**9}, r"\[101, 1000000000\]"),
    ],
)
def test_what_is_refused(fields, words, tmp_path):
    reference("ElectraForPreTraining", embedding_size=13).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    with pytest.raises(ValueError, match=words):
        gyebo.load(tmp_path)


def test_published_configs_are_read():
    """What monologg/koelectra-small-v3-discriminator and beomi/KcELECTRA-base say, and what a file without fields means."""
    from gyebo.interchange.config_fields import read_config
    from gyebo.interchange.families.bert import ELECTRA

    small = {
        "architectures": ["ElectraForPreTraining"], "attention_probs_dropout_prob": 0.1, "embedding_size": 128,
        "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 256, "initializer_range": 0.02,
        "intermediate_size": 1024, "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "model_type": "electra",
        "num_attention_heads": 4, "num_hidden_layers": 12, "pad_token_id": 0, "summary_activation": "gelu",
        "summary_last_dropout": 0.1, "summary_type": "first", "summary_use_proj": True, "type_vocab_size": 2,
        "vocab_size": 35000,
    }  # fmt: skip
    found = BertConfig(**read_config(ELECTRA, small, "x"))
    assert (found.embedding_width, found.width, found.heads, found.discriminator, found.mlm) == (128, 256, 4, True, False)
    assert read_config(ELECTRA, {"model_type": "electra"}, "x") == read_config(
        ELECTRA, transformers.ElectraConfig().to_dict(), "x"
    )


def test_options_that_belong_together():
    with pytest.raises(ValueError, match="embedding_width = 8 is for a discriminator"):
        BertConfig(embedding_width=8)
    with pytest.raises(ValueError, match="mlm is not possible"):
        BertConfig(discriminator=True, nsp=False, pooler=False)
    from gyebo.models.roberta import RobertaConfig

    with pytest.raises(ValueError, match="discriminator = True is not possible for RobertaConfig: use BERT"):
        RobertaConfig(discriminator=True, mlm=False)


@torch.no_grad()
def test_flops_are_those_that_torch_counts():
    torch.manual_seed(0)
    shape = {"vocab_size": 61, "context": 64, "width": 24, "layers": 2, "heads": 2, "mlm": False, "nsp": False, "pooler": False}
    model = Bert(BertConfig(**shape, discriminator=True, embedding_width=10, replaced=True)).eval()
    work = Workload({"tokens": [9, 30]}, {"replaced": 39})
    found = 0
    for length in (9, 30):
        found += counted(lambda length=length: model(torch.randint(1, 61, (1, length))))
    assert model.flops(work) == found
