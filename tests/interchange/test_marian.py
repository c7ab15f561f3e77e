"""The Transformer and `MarianMTModel` of `transformers` are one network, in both directions, odd configurations too; with
pre-norm it is their `PegasusForConditionalGeneration`."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

import gyebo
from gyebo.models.transformer import Transformer, TransformerConfig

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
    "max_position_embeddings": 48,
    "scale_embedding": True,
    "activation_function": "relu",
    "pad_token_id": 60,
    "eos_token_id": 0,
    "forced_eos_token_id": 0,
    "decoder_start_token_id": 60,
}


def marian(model=transformers.MarianMTModel, **options):
    torch.manual_seed(0)
    model = model(model.config_class(**{**SHAPE, **options})).eval()
    with torch.no_grad():
        for name, parameter in [*model.named_parameters(), ("bias", model.final_logits_bias)]:
            if "embed_positions" not in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def inputs(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    ids, target = (torch.randint(1, 60, shape, generator=generator) for shape in ((3, 11), (3, 7)))
    mask = torch.ones_like(ids)
    mask[0, 5:] = mask[2, 9:] = 0
    return ids.masked_fill(mask == 0, 60), mask, target


ODD = [
    {},
    {"scale_embedding": False, "activation_function": "swish"},
    {"d_model": 22, "encoder_attention_heads": 1, "decoder_attention_heads": 1, "encoder_layers": 1, "decoder_layers": 1},
    {"activation_function": "gelu", "bos_token_id": 3, "decoder_start_token_id": 3},
]


CLASSES = (transformers.MarianMTModel, transformers.PegasusForConditionalGeneration)


@pytest.mark.parametrize("model", CLASSES)
@pytest.mark.parametrize("options", ODD)
@torch.no_grad()
def test_theirs_opens_here_and_ours_there(options, model, tmp_path):
    theirs = marian(model, **options)
    theirs.save_pretrained(tmp_path / "theirs")
    ours, tokenizer = gyebo.load(tmp_path / "theirs")
    assert type(ours) is Transformer and tokenizer is None
    ids, mask, target = inputs()
    expected = theirs(input_ids=ids, attention_mask=mask, decoder_input_ids=target)
    found = ours(ids, mask, target)
    assert float((found.logits - expected.logits).abs().max()) <= 1e-4 and float(expected.logits.std()) > 0.3
    real = mask.bool()
    assert torch.allclose(found.encoder_last_hidden_state[real], expected.encoder_last_hidden_state[real], atol=1e-5)
    gyebo.save(ours, None, tmp_path / "ours")
    back, report = model.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    again = back.eval()(input_ids=ids, attention_mask=mask, decoder_input_ids=target)
    assert torch.equal(again.logits, expected.logits)
    for name in ("decoder_start_token_id", "pad_token_id", "eos_token_id", "bos_token_id"):
        assert getattr(back.config, name, None) == getattr(theirs.config, name, None)
        assert getattr(back.generation_config, name) == getattr(theirs.generation_config, name)


@pytest.mark.parametrize("pre_norm", [False, True])
@torch.no_grad()
def test_a_model_made_here_opens_there(pre_norm, tmp_path):
    torch.manual_seed(0)
    ours = Transformer(replace(Transformer.sizes["tiny"], pre_norm=pre_norm)).eval()
    gyebo.save(ours, None, tmp_path)
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    ids, target = torch.randint(4096, (2, 9)), torch.randint(4096, (2, 5))
    expected = theirs(input_ids=ids, attention_mask=torch.ones_like(ids), decoder_input_ids=target).logits
    assert float((ours(ids, None, target).logits - expected).abs().max()) <= 1e-4


@pytest.mark.parametrize(
    "options",
    [
        {"pre_norm": True, "norm_eps": 1e-6},
        {"tied": False},
        {"attention_bias": False},
        {"positions": "interleaved"},
        {"norm_eps": 1e-6, "output_bias": True},
    ],
)
@torch.no_grad()
def test_what_marian_lacks_has_a_format_of_its_own(options, tmp_path):
    torch.manual_seed(0)
    fitting = {"norm_eps": 1e-5, "attention_bias": True, "positions": "halves"}
    ours = Transformer(TransformerConfig(61, 48, 24, 2, 1, 3, 40, **{**fitting, **options}, bos_id=1, eos_id=2)).eval()
    gyebo.save(ours, None, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "gyebo-transformer"
    back, _ = gyebo.load(tmp_path)
    assert back.config == ours.config or back.config.start_id == 1  # written out where it was left to bos
    ids, mask, target = inputs()
    ids = ids.clamp(max=59)
    assert torch.equal(back(ids, mask, target).logits, ours(ids, mask, target).logits)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"decoder_attention_heads": 4}, "decoder_attention_heads = 4, but 3 stands elsewhere"),
        ({"decoder_ffn_dim": 80}, "decoder_ffn_dim = 80"),
        ({"share_encoder_decoder_embeddings": False}, "share_encoder_decoder_embeddings"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings"),
        ({"decoder_vocab_size": 30}, "decoder_vocab_size = 30"),
        ({"encoder_layerdrop": 0.1}, "encoder_layerdrop"),
        ({"normalize_before": True}, "normalize_before"),
        ({"encoder_layers": 3}, "declares 3 layers of the encoder, but the weights hold 2"),
        ({"decoder_layers": 2}, "declares 2 layers of the decoder, but the weights hold 3"),
    ],
)
def test_what_gyebo_does_not_compute_is_refused_by_name(changes, words, tmp_path):
    marian().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=words):
        gyebo.load(tmp_path)
