"""XLM-R and CamemBERT: RoBERTa in shape, with a SentencePiece model whose ids are fairseq's; Pegasus' offset likewise."""

from __future__ import annotations

import io
import json

import pytest
import torch

import gyebo
from gyebo.interchange.config_fields import read_config
from gyebo.interchange.families import roberta
from gyebo.models.roberta import Roberta
from gyebo.text.tokenizer import Tokenizer
from tests.interchange.encoder_references import SHAPE, largest, tokens
from tests.text.text_corpus import corpus

transformers = pytest.importorskip("transformers")
sentencepiece = pytest.importorskip("sentencepiece")

TEXTS = ["나는 학교에서 밥을 먹었다", "", "  two  spaces", "Hello, WORLD! naïve Café", "뷁 unknown 樂", "1234 (x)"]
FORMS = {"xlm-roberta": "XLMRoberta", "camembert": "Camembert"}


def sentencepiece_model(file, **options):
    model = io.BytesIO()
    lines = [text for text in corpus() if text.strip()]
    options = {"vocab_size": 500, "minloglevel": 2, "character_coverage": 0.99, **options}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, **options)
    file.write_bytes(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


@pytest.fixture(scope="module", params=FORMS)
def directory(request, tmp_path_factory):
    """(folder, their classes' prefix, processor): weights, config.json and sentencepiece.bpe.model, as first published."""
    folder, prefix = tmp_path_factory.mktemp(request.param), FORMS[request.param]
    processor = sentencepiece_model(folder / "sentencepiece.bpe.model")
    torch.manual_seed(0)
    ids = {"pad_token_id": 1, "bos_token_id": 5, "eos_token_id": 6} if prefix == "Camembert" else {"pad_token_id": 1}
    shape = {**SHAPE, "vocab_size": processor.get_piece_size() + 10, "intermediate_size": 40, "type_vocab_size": 1, **ids}
    config = getattr(transformers, f"{prefix}Config")(**shape, initializer_range=0.3)
    getattr(transformers, f"{prefix}ForMaskedLM")(config).save_pretrained(folder)
    return folder, prefix, processor


def test_ids_are_those_of_transformers_and_of_fairseq(directory):
    folder, prefix, processor = directory
    theirs = getattr(transformers, f"{prefix}Tokenizer").from_pretrained(folder)
    _, ours = gyebo.load(folder)
    offset = 4 if prefix == "Camembert" else 1
    for text in TEXTS:
        assert ours.encode(text) == [id + offset if id else 3 for id in processor.encode(text)]
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]
        assert ours(text)["input_ids"] == theirs(text)["input_ids"]
        assert ours(text, TEXTS[0])["input_ids"] == theirs(text, TEXTS[0])["input_ids"]
    for role in ("pad", "bos", "eos", "unk", "cls", "sep", "mask"):
        assert ours.role_ids[role] == getattr(theirs, f"{role}_token_id"), role
    assert ours.vocab_size == len(theirs)


@torch.no_grad()
def test_it_opens_as_roberta_and_is_saved_as_roberta(directory, tmp_path):
    folder, prefix, _ = directory
    reference = getattr(transformers, f"{prefix}ForMaskedLM").from_pretrained(folder).eval()
    model, tokenizer = gyebo.load(folder)
    batch = tokenizer(TEXTS[:3], padding=True, return_tensors="pt")
    real, wanted = batch["attention_mask"].bool(), reference(**batch).logits
    assert type(model) is Roberta and largest(model(**batch).logits[real], wanted[real]) < 1e-4
    gyebo.save(model, tokenizer, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "roberta"
    back = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert again(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]
    assert largest(back(**batch).logits[real], wanted[real]) < 1e-4


@pytest.mark.parametrize("prefix", FORMS.values())
@pytest.mark.parametrize("kind", ["SequenceClassification", "TokenClassification", "QuestionAnswering"])
@torch.no_grad()
def test_fine_tuned_ones(prefix, kind, tmp_path):
    torch.manual_seed(0)
    shape = {**SHAPE, "intermediate_size": 40, "type_vocab_size": 1, "pad_token_id": 1}
    labels = {} if kind == "QuestionAnswering" else {"num_labels": 4}
    config = getattr(transformers, f"{prefix}Config")(**shape, initializer_range=0.3, **labels)
    theirs = getattr(transformers, f"{prefix}For{kind}")(config).eval()
    theirs.save_pretrained(tmp_path)
    ours, _ = gyebo.load(tmp_path)
    ids = tokens(101, 2, 9)
    for name in ("start_logits", "end_logits") if kind == "QuestionAnswering" else ("logits",):
        assert largest(getattr(ours(ids), name), getattr(theirs(ids), name)) < 1e-4


def test_the_defaults_of_transformers_stand_in_for_missing_fields():
    for table, theirs in (
        (roberta.XLM_ROBERTA, transformers.XLMRobertaConfig()),
        (roberta.CAMEMBERT, transformers.CamembertConfig()),
    ):
        bare = read_config(table, {"model_type": table.model_type}, "x")
        assert bare == read_config(table, theirs.to_dict(), "x")


def test_the_larger_ones_are_refused_with_the_reason(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "xlm-roberta-xl", "architectures": ["XLMRobertaXLForMaskedLM"]}')
    with pytest.raises(ValueError, match="xlm-roberta-xl is not supported: .*pre-norm"):
        gyebo.load(tmp_path)


def test_pegasus_counts_from_behind_its_masks(tmp_path):
    processor = sentencepiece_model(tmp_path / "spiece.model", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PegasusTokenizer"}')
    theirs, ours = transformers.PegasusTokenizer.from_pretrained(tmp_path), Tokenizer.load(tmp_path)
    for text in TEXTS:
        assert ours.encode(text) == [id + 103 for id in processor.encode(text)]
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]
    assert (ours.role_ids["pad"], ours.role_ids["eos"], ours.role_ids["unk"]) == (0, 1, theirs.unk_token_id)
    assert ours.vocab_size == len(theirs)


@pytest.mark.parametrize("name", ["MBart50Tokenizer", "NllbTokenizer", "BarthezTokenizer", "M2M100Tokenizer"])
def test_other_orders_of_ids_are_refused(name, tmp_path):
    sentencepiece_model(tmp_path / "sentencepiece.bpe.model")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
    with pytest.raises(ValueError, match=rf"{name} .*tokenizer\.json"):
        Tokenizer.load(tmp_path)


def test_a_published_pegasus_opens(tmp_path):
    shape = {"vocab_size": 101, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
    shape |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 32}
    theirs = transformers.PegasusForConditionalGeneration(transformers.PegasusConfig(**shape)).eval()
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    published = {"extra_pos_embeddings": 1, "static_position_embeddings": True, "normalize_before": True}
    published |= {"add_bias_logits": False, "force_bos_token_to_be_generated": False}
    path.write_text(json.dumps(json.loads(path.read_text()) | published))
    ours, _ = gyebo.load(tmp_path)
    ids = tokens(101, 2, 9)
    with torch.no_grad():
        assert largest(ours(ids, decoder_input_ids=ids).logits, theirs(ids, decoder_input_ids=ids).logits) < 1e-4
