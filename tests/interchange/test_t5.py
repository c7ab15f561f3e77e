"""T5 and its classes in `transformers` are one network, in both directions, odd configurations too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import gyebo
from gyebo.models.t5 import T5, T5Config
from gyebo.tasks.heads.task_model import TaskModel, add_head

transformers = pytest.importorskip("transformers")

SHAPE = {
    "vocab_size": 61,
    "d_model": 24,
    "d_kv": 5,
    "d_ff": 40,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 3,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 11,
    "decoder_start_token_id": 0,
}
V11 = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
ODD = [
    {},
    V11,
    {"feed_forward_proj": "gated-silu", "decoder_start_token_id": 7, "layer_norm_epsilon": 1e-3},
    {"d_kv": 16, "num_heads": 1, "num_layers": 1, "num_decoder_layers": 1, "feed_forward_proj": "gelu"},
]


def disturbed(model, untie: bool = False):
    """The model with weights that leave nothing at its initial value, and with an output layer of its own."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        if untie:
            model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    return model.eval()


def theirs(cls=transformers.T5ForConditionalGeneration, **options):
    torch.manual_seed(0)
    return disturbed(cls(cls.config_class(**{**SHAPE, **options})), untie="tie_word_embeddings" in options)


def inputs(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    ids, target = (torch.randint(1, 60, shape, generator=generator) for shape in ((3, 17), (3, 14)))
    mask = torch.ones_like(ids)
    mask[0, 5:] = mask[2, 9:] = 0
    return ids, mask, target


def same(found, expected) -> bool:
    return float(expected.std()) > 0.2 and float((found - expected).abs().max()) <= 1e-4 * max(1.0, float(expected.abs().max()))


def opened(directory: Path, cls):
    """What they make of a directory; nothing is missing or left over."""
    model, report = cls.from_pretrained(directory, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    return model.eval()


@pytest.mark.parametrize("cls", [transformers.T5ForConditionalGeneration, transformers.MT5ForConditionalGeneration])
@pytest.mark.parametrize("options", ODD)
@torch.no_grad()
def test_theirs_opens_here_and_ours_there(options, cls, tmp_path):
    model = theirs(cls, **options)
    model.save_pretrained(tmp_path / "theirs")
    ours, tokenizer = gyebo.load(tmp_path / "theirs")
    assert type(ours) is T5 and tokenizer is None
    assert ours.config.untied == ("tie_word_embeddings" in options)
    ids, mask, target = inputs()
    expected = model(input_ids=ids, attention_mask=mask, decoder_input_ids=target)
    found = ours(ids, mask, target)
    assert same(found.logits, expected.logits)
    real = mask.bool()
    assert same(found.encoder_last_hidden_state[real], expected.encoder_last_hidden_state[real])
    gyebo.save(ours, None, tmp_path / "ours")
    said = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert said["architectures"] == [cls.__name__] and "shared.weight" in load_file(tmp_path / "ours" / "model.safetensors")
    back = opened(tmp_path / "ours", cls)
    assert torch.equal(back(input_ids=ids, attention_mask=mask, decoder_input_ids=target).logits, expected.logits)
    again, _ = gyebo.load(tmp_path / "ours")
    assert again.config == ours.config


@pytest.mark.parametrize("size", ["tiny", "v1.1-small"])
@torch.no_grad()
def test_a_model_made_here_opens_there(size, tmp_path):
    torch.manual_seed(0)
    shape = {"vocab_size": 99, "width": 16, "layers": 1, "decoder_layers": 2, "heads": 2, "head_width": 3, "inner": 7}
    ours = T5(T5Config(**{**vars(T5.sizes[size]), **shape})).eval()
    gyebo.save(ours, None, tmp_path)
    said = json.loads((tmp_path / "config.json").read_text())
    assert said["tie_word_embeddings"] == said["scale_decoder_outputs"] == (size == "tiny")
    back = opened(tmp_path, transformers.AutoModelForSeq2SeqLM)
    ids, target = torch.randint(99, (2, 9)), torch.randint(99, (2, 5))
    expected = back(input_ids=ids, attention_mask=torch.ones_like(ids), decoder_input_ids=target).logits
    assert same(ours(ids, None, target).logits, expected)


@torch.no_grad()
def test_a_tied_output_layer_of_version_1_1_is_written_for_older_readers(tmp_path):
    ours = disturbed(T5(T5Config(61, 32, 24, 1, 1, heads=2, head_width=3, inner=7, divided=False, start_id=0)))
    gyebo.save(ours, None, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    assert torch.equal(tensors["lm_head.weight"], tensors["shared.weight"])
    back, _ = gyebo.load(tmp_path)
    assert back.config == ours.config and back.lm_head.weight is back.token_embedding.weight
    ids, _, target = inputs()
    assert same(
        ours(ids, None, target).logits,
        opened(tmp_path, transformers.T5ForConditionalGeneration)(
            input_ids=ids, attention_mask=torch.ones_like(ids), decoder_input_ids=target
        ).logits,
    )


FIXTURE = Path(__file__).parent / "t5_saved_as_tied"


@torch.no_grad()
def test_what_5_x_saved_as_tied_with_an_untied_head_opens_untied():
    """The directory, and what its logits are, were written by `make.py` in it with transformers 5.23."""
    assert json.loads((FIXTURE / "config.json").read_text())["tie_word_embeddings"] is True
    ours, _ = gyebo.load(FIXTURE)
    assert ours.config.untied and not ours.config.divided
    expected = load_file(FIXTURE / "expected.safetensors")
    found = ours(expected["input_ids"], expected["attention_mask"], expected["decoder_input_ids"])
    assert same(found.logits, expected["logits"])


@torch.no_grad()
def test_files_of_4_x_say_by_tie_word_embeddings_whether_the_output_is_divided(tmp_path):
    model = theirs(**V11)
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    said = json.loads(path.read_text())
    del said["scale_decoder_outputs"]
    path.write_text(json.dumps(said | {"tie_word_embeddings": False, "n_positions": 512}))
    ours, _ = gyebo.load(tmp_path)
    ids, mask, target = inputs()
    assert same(ours(ids, mask, target).logits, model(input_ids=ids, attention_mask=mask, decoder_input_ids=target).logits)


@torch.no_grad()
def test_the_encoder_alone(tmp_path):
    model = theirs(transformers.T5EncoderModel)
    model.save_pretrained(tmp_path / "theirs")
    ours, _ = gyebo.load(tmp_path / "theirs")
    assert not ours.config.decoder
    ids, mask, _ = inputs()
    expected = model(input_ids=ids, attention_mask=mask).last_hidden_state[mask.bool()]
    assert same(ours.encode(ids, mask).hidden[mask.bool()], expected)
    gyebo.save(ours, None, tmp_path / "ours")
    back = opened(tmp_path / "ours", transformers.T5EncoderModel)
    assert torch.equal(back(input_ids=ids, attention_mask=mask).last_hidden_state[mask.bool()], expected)


@torch.no_grad()
def test_the_body_without_an_output_layer(tmp_path):
    model = theirs(transformers.T5Model)
    model.save_pretrained(tmp_path)
    ours, _ = gyebo.load(tmp_path)
    ids, mask, target = inputs()
    expected = model(input_ids=ids, attention_mask=mask, decoder_input_ids=target).last_hidden_state
    assert same(ours.encode(ids, mask, target).hidden, expected)


@pytest.mark.parametrize("prefix", ["T5", "MT5"])
@pytest.mark.parametrize("kind", ["classification", "tagging", "spans"])
@torch.no_grad()
def test_task_models_both_ways(kind, prefix, tmp_path):
    name = {"classification": "SequenceClassification", "tagging": "TokenClassification", "spans": "QuestionAnswering"}[kind]
    cls = getattr(transformers, f"{prefix}For{name}")
    labels = {} if kind == "spans" else {"id2label": {0: "부정", 1: "중립", 2: "긍정"}}
    torch.manual_seed(0)
    model = disturbed(cls(cls.config_class(**SHAPE, **labels, feed_forward_proj="gated-gelu", classifier_dropout=0.2)))
    model.save_pretrained(tmp_path / "theirs")
    ids, mask, _ = inputs()
    ids = ids.masked_fill(mask == 0, 0)
    for row, length in enumerate(mask.sum(1).tolist()):
        ids[row, length - 1] = 1  # the end, whose state a classification reads
        ids[row, : length - 1].clamp_(min=2)

    def theirs_of(model):
        found = model(input_ids=ids, attention_mask=mask)
        return torch.stack([found.start_logits, found.end_logits], -1) if kind == "spans" else found.logits

    def shown(scores):
        return scores if kind == "classification" else scores[mask.bool()]

    ours, _ = gyebo.load(tmp_path / "theirs")
    assert isinstance(ours, TaskModel) and ours.kind.name == kind
    assert ours.body.config.decoder == (kind != "tagging")
    found = ours(ids, attention_mask=mask)
    scores = torch.stack(found.scores, -1) if kind == "spans" else found.logits
    assert same(shown(scores), shown(theirs_of(model)))
    assert kind == "spans" or (ours.labels, ours.dropout) == (("부정", "중립", "긍정"), 0.2)
    gyebo.save(ours, None, tmp_path / "ours")
    back = opened(tmp_path / "ours", cls)
    assert torch.equal(shown(theirs_of(back)), shown(theirs_of(model)))


@pytest.mark.parametrize("size", ["tiny", "v1.1-small"])
@pytest.mark.parametrize("kind", ["classification", "tagging", "spans", "choice", "dependency"])
@torch.no_grad()
def test_heads_made_here_open_there_or_here(kind, size, tmp_path):
    torch.manual_seed(0)
    shape = {"vocab_size": 61, "width": 16, "layers": 1, "decoder_layers": 2, "heads": 2, "head_width": 3, "inner": 7}
    labels = 3 if kind in ("classification", "tagging", "dependency") else None
    ours = add_head(T5(T5Config(**{**vars(T5.sizes[size]), **shape})), "last-dense", kind, labels).eval()
    assert ours.body.config.decoder == (kind not in ("tagging", "dependency"))
    gyebo.save(ours, None, tmp_path)
    back, _ = gyebo.load(tmp_path)
    ids, mask, _ = inputs()
    inputs_of = {"input_ids": ids, "attention_mask": mask}
    if kind == "choice":
        inputs_of = {name: torch.stack([value, value], 1) for name, value in inputs_of.items()}
    if kind == "dependency":
        words = torch.arange(4).expand(3, 4)
        inputs_of |= {"word_first": words, "word_last": words, "word_mask": torch.ones_like(words)}
    for a, b in zip(ours(**inputs_of).scores, back(**inputs_of).scores, strict=True):
        assert torch.equal(a, b)
    if kind in ("classification", "tagging", "spans"):
        opened(tmp_path, getattr(transformers, json.loads((tmp_path / "config.json").read_text())["architectures"][0]))


def changed(directory: Path, **tensors) -> None:
    path = directory / "model.safetensors"
    save_file({name: tensor for name, tensor in {**load_file(path), **tensors}.items() if tensor is not None}, path)


@torch.no_grad()
def test_old_files_with_copies_and_a_table_that_nothing_reads(tmp_path):
    model = theirs()
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": ["T5WithLMHeadModel"]}))
    shared = load_file(tmp_path / "model.safetensors")["shared.weight"]
    copies = {f"{stack}.embed_tokens.weight": shared.clone() for stack in ("encoder", "decoder")}
    spurious = {"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight": torch.randn(8, 3)}
    changed(tmp_path, **copies, **spurious, **{"lm_head.weight": shared.clone()})
    ours, _ = gyebo.load(tmp_path)
    assert ours.config.tied and ours.config.divided
    ids, mask, target = inputs()
    assert same(ours(ids, mask, target).logits, model(input_ids=ids, attention_mask=mask, decoder_input_ids=target).logits)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_layers": 3}, "declares 3 layers of the encoder, but the weights hold 2"),
        ({"num_decoder_layers": 2}, "declares 2 layers of the decoder, but the weights hold 3"),
        ({"feed_forward_proj": "gated-softplus"}, "feed_forward_proj must be one of"),
        ({"feed_forward_proj": "gated-gelu"}, "DenseReluDense.wi_0.*missing"),
        ({"d_kv": 6}, "SelfAttention.q.weight"),
        ({"relative_attention_num_buckets": 9}, "buckets must be an even number"),
        ({"add_cross_attention": True}, "add_cross_attention"),
    ],
)
def test_what_gyebo_does_not_compute_is_refused_by_name(changes, words, tmp_path):
    theirs().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=words):
        gyebo.load(tmp_path)


def test_a_missing_embedding_is_named(tmp_path):
    theirs().save_pretrained(tmp_path)
    changed(tmp_path, **{"shared.weight": None})
    with pytest.raises(ValueError, match="shared.weight, lm_head.weight missing"):
        gyebo.load(tmp_path)
