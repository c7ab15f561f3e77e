"""BART and `transformers` compute the same, in both directions, odd configurations too; KoBART's layout opens."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import gyebo
from gyebo.config.run import DataOptions
from gyebo.data.prepare import open_corpus, prepare
from gyebo.generation import GenerationOptions, decode
from gyebo.interchange.config_fields import read_config
from gyebo.interchange.registry import find_format
from gyebo.models.bart import Bart, BartConfig
from gyebo.models.bart_decoder import BartDecoder
from gyebo.models.family import find
from gyebo.objectives import denoising
from gyebo.objectives.objective import Setting
from gyebo.tasks.heads.task_model import TaskModel, add_head
from gyebo.text.roles import roles_of
from tests.conftest import sentences

transformers = pytest.importorskip("transformers")

SHAPE = {
    "vocab_size": 61,
    "d_model": 24,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 3,
    "decoder_attention_heads": 3,
    "encoder_ffn_dim": 40,
    "decoder_ffn_dim": 40,
    "max_position_embeddings": 30,
}
ODD = [
    {},
    {
        "scale_embedding": True,
        "activation_function": "relu",
        "d_model": 22,
        "encoder_attention_heads": 1,
        "decoder_attention_heads": 1,
    },
    {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 3, "decoder_start_token_id": 1, "forced_eos_token_id": 1},
    {"encoder_layers": 1, "decoder_layers": 1, "forced_bos_token_id": 0, "dropout": 0.3, "activation_dropout": 0.2},
]


def theirs_of(cls, **options):
    """A model of `transformers` with weights so large that a wrong position or mask shows."""
    torch.manual_seed(0)
    model = cls(transformers.BartConfig(**{**SHAPE, **options})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def inputs(config, rows: int = 3):
    """Sources with padding on the right and one end each, and targets."""
    generator = torch.Generator().manual_seed(1)
    ids, target = (torch.randint(4, 60, shape, generator=generator) for shape in ((rows, 11), (rows, 7)))
    mask = torch.ones_like(ids)
    for row, length in enumerate((11, 5, 8)[:rows]):
        ids[row, length - 1] = config.eos_token_id
        ids[row, length:], mask[row, length:] = config.pad_token_id, 0
    return ids, mask, target


def close(found, expected):
    assert float((found - expected).abs().max()) <= 1e-4 and float(expected.std()) > 0.1


def opened(model, folder):
    model.save_pretrained(folder)
    return gyebo.load(folder)[0]


def reopened(cls, ours, folder):
    gyebo.save(ours, None, folder)
    back, report = cls.from_pretrained(folder, output_loading_info=True)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return back.eval()


@pytest.mark.parametrize("options", ODD)
@torch.no_grad()
def test_generation_models_both_ways(options, tmp_path):
    theirs = theirs_of(transformers.BartForConditionalGeneration, **options)
    ours = opened(theirs, tmp_path / "theirs")
    assert type(ours) is Bart
    ids, mask, target = inputs(theirs.config)
    expected = theirs(input_ids=ids, attention_mask=mask, decoder_input_ids=target)
    found = ours(ids, mask, target)
    close(found.logits, expected.logits)
    close(found.encoder_last_hidden_state[mask.bool()], expected.encoder_last_hidden_state[mask.bool()])
    back = reopened(transformers.BartForConditionalGeneration, ours, tmp_path / "ours")
    assert torch.equal(back(input_ids=ids, attention_mask=mask, decoder_input_ids=target).logits, expected.logits)
    names = ("decoder_start_token_id", "pad_token_id", "eos_token_id", "bos_token_id")
    for name in (*names, "forced_bos_token_id", "forced_eos_token_id"):
        assert getattr(back.generation_config, name) == getattr(theirs.generation_config, name), name


@torch.no_grad()
def test_a_body_alone_reads_the_source_as_target(tmp_path):
    theirs = theirs_of(transformers.BartModel)
    ours = opened(theirs, tmp_path)
    ids, mask, target = inputs(theirs.config)
    real = mask.bool()
    close(ours.encode(ids, mask).hidden[real], theirs(input_ids=ids, attention_mask=mask).last_hidden_state[real])
    close(ours.encode(ids, mask, target).hidden, theirs(ids, mask, target).last_hidden_state)


CLASSES = {"classification": "BartForSequenceClassification", "spans": "BartForQuestionAnswering"}


@pytest.mark.parametrize("kind", CLASSES)
@torch.no_grad()
def test_task_models_both_ways(kind, tmp_path):
    cls = getattr(transformers, CLASSES[kind])
    theirs = theirs_of(cls, **({"num_labels": 5} if kind == "classification" else {}))
    ours = opened(theirs, tmp_path / "theirs")
    assert isinstance(ours, TaskModel) and ours.dropout == 0.0
    ids, mask, _ = inputs(theirs.config)
    expected = theirs(input_ids=ids, attention_mask=mask)
    found = ours(ids, mask)
    back = reopened(cls, ours, tmp_path / "ours")
    again = back(input_ids=ids, attention_mask=mask)
    for name in ("logits",) if kind == "classification" else ("start_logits", "end_logits"):
        real = slice(None) if kind == "classification" else mask.bool()
        close(getattr(found, name)[real], getattr(expected, name)[real])
        assert torch.equal(getattr(again, name), getattr(expected, name))


@torch.no_grad()
def test_the_head_reads_the_last_of_several_ends(tmp_path):
    """A pair has three: <s> A </s></s> B </s>."""
    theirs = theirs_of(transformers.BartForSequenceClassification, num_labels=3)
    ours = opened(theirs, tmp_path)
    ids, mask, _ = inputs(theirs.config)
    ids[:, 2:4] = theirs.config.eos_token_id
    close(ours(ids, mask).logits, theirs(input_ids=ids, attention_mask=mask).logits)
    assert len(ours.labels) == 3  # the number in their files that name none


@pytest.mark.parametrize("kind", ["classification", "regression", "spans", "tagging"])
@torch.no_grad()
def test_heads_made_here_open_there_or_here(kind, tmp_path):
    torch.manual_seed(0)
    labels = {"classification": ["a", "b", "c", "d"], "tagging": ["O", "B-X"]}.get(kind)
    ours = add_head(Bart(Bart.sizes["tiny"]), "last-dense", kind, labels).eval()
    gyebo.save(ours, None, tmp_path)
    ids = torch.randint(5, 4096, (2, 9))
    back = gyebo.load(tmp_path)[0]
    for one, other in zip(back(ids).scores, ours(ids).scores):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"normalize_before": True}, "normalize_before = True is not supported for bart, only False"),
        ({"add_final_layer_norm": True}, "add_final_layer_norm"),
        (
            {"model_type": "mbart", "architectures": ["MBartForConditionalGeneration"]},
            "model_type mbart is not supported: mBART normalises",
        ),
        ({"static_position_embeddings": True}, "static_position_embeddings"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings"),
        ({"decoder_attention_heads": 4}, "decoder_attention_heads = 4, but 3 stands elsewhere"),
        ({"max_position_embeddings": 32}, r"embed_positions.weight is \[32, 24\], but config.json asks for \[34, 24\]"),
    ],
)
def test_what_gyebo_does_not_compute_is_refused_by_name(changes, words, tmp_path):
    theirs_of(transformers.BartForConditionalGeneration).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=words):
        gyebo.load(tmp_path)


def test_a_bias_of_the_output_layer_that_is_not_zero_is_refused(tmp_path):
    theirs = theirs_of(transformers.BartForConditionalGeneration)
    theirs.final_logits_bias[0, 7] = 0.5
    theirs.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"{tmp_path}: final_logits_bias is not zero everywhere"):
        gyebo.load(tmp_path)


def test_forced_ids_are_those_that_transformers_generates_with(tmp_path):
    """Of `generation_config.json` where there is one, else of `config.json`."""
    theirs_of(transformers.BartForConditionalGeneration).save_pretrained(tmp_path)
    config, generation = tmp_path / "config.json", tmp_path / "generation_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"forced_bos_token_id": 0, "forced_eos_token_id": 2}))
    for said in ({"forced_eos_token_id": 5}, {"forced_bos_token_id": 7}, None):
        generation.unlink(missing_ok=True)
        if said is not None:
            generation.write_text(json.dumps(said))
        found = gyebo.load(tmp_path)[0].config
        expected = transformers.BartForConditionalGeneration.from_pretrained(tmp_path).generation_config
        assert (found.forced_bos_id, found.forced_eos_id) == (expected.forced_bos_token_id, expected.forced_eos_token_id)


# config.json of KoBART-base as SKT published it in 2021
KOBART = {
    "activation_dropout": 0.0, "activation_function": "gelu", "add_bias_logits": False, "add_final_layer_norm": False,
    "architectures": ["BartModel"], "attention_dropout": 0.0, "author": "somebody", "bos_token_id": 0, "classif_dropout": 0.1,
    "classifier_dropout": 0.1, "d_model": 768, "decoder_attention_heads": 16, "decoder_ffn_dim": 3072, "decoder_layerdrop": 0.0,
    "decoder_layers": 6, "decoder_start_token_id": 1, "do_blenderbot_90_layernorm": False, "dropout": 0.1,
    "encoder_attention_heads": 16, "encoder_ffn_dim": 3072, "encoder_layerdrop": 0.0, "encoder_layers": 6, "eos_token_id": 1,
    "extra_pos_embeddings": 2, "force_bos_token_to_be_generated": False, "forced_eos_token_id": 1,
    "gradient_checkpointing": False, "id2label": {"0": "NEGATIVE", "1": "POSITIVE"}, "init_std": 0.02,
    "is_encoder_decoder": True, "kobart_version": 1.0, "label2id": {"NEGATIVE": 0, "POSITIVE": 1},
    "max_position_embeddings": 1026, "model_type": "bart", "normalize_before": False, "normalize_embedding": True,
    "num_hidden_layers": 6, "pad_token_id": 3, "scale_embedding": False, "static_position_embeddings": False,
    "tokenizer_class": "PreTrainedTokenizerFast", "use_cache": True, "vocab_size": 30000,
}  # fmt: skip
SPECIAL = ["<s>", "</s>", "<usr>", "<pad>", "<sys>", "<unk>", "<mask>", "<d>", "</d>", *(f"<unused{n}>" for n in range(100))]


def kobart(folder, sentences):
    """A directory laid out as KoBART's, with a character BPE trained here and few features; its model."""
    import tokenizers

    trained = tokenizers.SentencePieceBPETokenizer(unk_token="<unk>")
    trained.train_from_iterator(sentences, vocab_size=400, special_tokens=SPECIAL, show_progress=False)
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
    small = {"d_model": 32, "encoder_ffn_dim": 40, "decoder_ffn_dim": 40, "encoder_layers": 1, "decoder_layers": 1}
    config = transformers.BartConfig(**KOBART | small | {"vocab_size": trained.get_vocab_size(), "num_hidden_layers": 1})
    torch.manual_seed(0)
    model = transformers.BartModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    trained.save(str(folder / "tokenizer.json"))
    (folder / "special_tokens_map.json").write_text(json.dumps(names))
    written = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(KOBART | {name: written[name] for name in (*small, "vocab_size")} | {"num_hidden_layers": 1})
    )
    return model, transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **names)


def test_the_published_shape_of_kobart(tmp_path):
    table, _ = find_format(KOBART, "config.json")
    config = BartConfig(**read_config(table, KOBART, "config.json"))
    with torch.device("meta"):
        ours, theirs = Bart(config), transformers.BartModel(transformers.BartConfig(**KOBART))
    assert ours.count_parameters() == theirs.num_parameters() == 123_859_968  # "124M"
    assert (config.first_id, config.bos_id, config.eos_id, config.pad_id, config.forced_eos_id) == (1, 0, 1, 3, 1)


@torch.no_grad()
def test_kobart_opens_with_its_tokenizer(tmp_path):
    lines = sentences(200)
    theirs, reader = kobart(tmp_path, lines)
    ours, tokenizer = gyebo.load(tmp_path)
    assert [tokenizer.role_ids[role] for role in ("bos", "eos", "pad", "unk", "mask")] == [0, 1, 3, 5, 6]
    for text in (*lines[:20], "한글 <mask> <s> 안녕 😀"):
        assert tokenizer(text)["input_ids"][1:-1] == tokenizer.encode(text)
    text = lines[0]
    ids = [0, *reader(text)["input_ids"], 1]  # SKT's own examples frame a text by hand
    assert tokenizer(text)["input_ids"] == ids and tokenizer.decode(ids) == text
    batch = torch.tensor([ids])
    close(ours.encode(batch).hidden, theirs(batch).last_hidden_state)
    gyebo.save(ours, tokenizer, tmp_path / "ours")
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")(text)["input_ids"] == ids
    again = transformers.AutoModel.from_pretrained(tmp_path / "ours").eval()
    close(again(batch).last_hidden_state, theirs(batch).last_hidden_state)


def test_kobart_learns_on(tmp_path):
    """Its tokenizer has what denoising needs, under its own ids."""
    lines = sentences(300)
    kobart(tmp_path, lines)
    _, tokenizer = gyebo.load(tmp_path)
    (tmp_path / "corpus.txt").write_text("\n".join(lines), encoding="utf-8")
    prepared = prepare(open_corpus(DataOptions(corpus=[str(tmp_path / "corpus.txt")], valid_share=0.05)), tokenizer)
    learned = denoising.build(denoising.Options(), Setting(tokenizer, roles_of(find("bart")), prepared.train))
    assert (learned.start, learned.end, learned.mask) == (0, 1, 6)
    assert learned.pieces.min() >= len(SPECIAL) and not learned.marks.piece[: len(SPECIAL)].any()
    words = learned.marks.word_starts(np.array(tokenizer.encode(lines[0])))
    assert words.sum() == len(lines[0].split())


DECODERS = [
    {"encoder_layers": 3},  # their cache has as many layers as the encoder
    {"encoder_layers": 5, "encoder_attention_heads": 4, "activation_function": "relu", "decoder_ffn_dim": 56},
    {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 3, "decoder_layers": 1, "dropout": 0.2},
]


@pytest.mark.parametrize("options", DECODERS)
@torch.no_grad()
def test_the_decoder_alone_both_ways(options, tmp_path):
    theirs = theirs_of(transformers.BartForCausalLM, **options)
    ours = opened(theirs, tmp_path / "theirs")
    assert type(ours) is BartDecoder
    ids, mask, _ = inputs(theirs.config)
    expected = theirs(input_ids=ids).logits
    close(ours(ids).logits, expected)
    close(ours(ids, mask).logits[mask.bool()], theirs(input_ids=ids, attention_mask=mask).logits[mask.bool()])
    back = reopened(transformers.BartForCausalLM, ours, tmp_path / "ours")
    assert torch.equal(back(input_ids=ids).logits, expected)
    assert type(transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")) is transformers.BartForCausalLM
    again = gyebo.load(tmp_path / "ours")[0]
    assert again.config == ours.config and torch.equal(again(ids).logits, ours(ids).logits)
    written = theirs.generate(ids[:1], do_sample=False, max_new_tokens=9, forced_eos_token_id=None)[0, ids.shape[1] :].tolist()
    [*steps] = decode(ours, [ids[0].tolist()], GenerationOptions(greedy=True, max_new_tokens=9))
    found = [int(step.ids[0]) for step in steps]
    assert found == written[: len(found)]


def test_a_decoder_with_a_head_is_not_taken_for_a_whole_bart(tmp_path):
    ours = add_head(BartDecoder(BartDecoder.sizes["tiny"]), "last", "tagging", ["O", "B-X"]).eval()
    gyebo.save(ours, None, tmp_path)
    back = gyebo.load(tmp_path)[0]
    assert type(back.body) is BartDecoder
    ids = torch.randint(5, 4096, (2, 9))
    assert torch.equal(back(ids).logits, ours(ids).logits)


@pytest.mark.parametrize(
    ("name", "value"), [("activation_dropout", 0.1), ("scale_embedding", True), ("normalize_before", True)]
)
def test_what_the_decoder_does_not_compute_is_refused_by_name(name, value, tmp_path):
    theirs_of(transformers.BartForCausalLM).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(ValueError, match=f"{name} = {value} is not supported"):
        gyebo.load(tmp_path)
