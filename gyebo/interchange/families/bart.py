"""BART's names: `BartForConditionalGeneration`, `BartModel`, and the classes for tasks of `transformers`. The layers are named
as Marian's. Published in this format: BART, BART fine-tuned for summaries, KoBART (SKT: 30,000 ids, `</s>` 1, `<pad>` 3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gyebo.interchange.families.transformer import MARIAN
from gyebo.interchange.format import Architecture, Field, Format, Weight, head_layers, pairs
from gyebo.interchange.hooks import LazyTensor, Options, TensorHook, Tensors
from gyebo.models.bart import FIXED


def _start(config: Any) -> int:
    """The id with which the decoder begins: their files always say it."""
    return config.first_id


_STACKS = ("encoder", "decoder")
_DEFAULTS = {"vocab_size": 50_265, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
_BIAS = "final_logits_bias"


def _without_bias(tensors: Tensors, options: Options) -> dict[str, LazyTensor]:
    """Their bias of the output layer, which is zero and is not trained; they make it themselves where a file has none."""
    if _BIAS in tensors and bool(tensors[_BIAS].read().any()):
        raise ValueError(f"{_BIAS} is not zero everywhere, which gyebo's BART has no place for: set it to zero")
    return {name: tensor for name, tensor in tensors.items() if name != _BIAS}


FORMAT = Format(
    family="bart",
    model_type="bart",
    architectures=(
        Architecture("BartForConditionalGeneration"),
        Architecture("BartModel", bare=True),
        Architecture(
            "BartForSequenceClassification",
            kind="classification",
            weights=head_layers(dense="classification_head.dense", out="classification_head.out_proj"),
            dropout_default=0.0,
        ),
        Architecture("BartForQuestionAnswering", kind="spans", weights=head_layers(out="qa_outputs"), dropout_default=0.0),
    ),
    base="model.",
    weights=(
        *(weight for weight in MARIAN.weights if weight.part is None),
        *(Weight(f"{stack}.embed_positions.weight", f"position_embedding.{stack}.weight") for stack in _STACKS),
        *pairs([(f"{stack}.layernorm_embedding", f"embedding_norm.{stack}") for stack in _STACKS]),
    ),
    fields=(
        *(
            replace(field, default=_DEFAULTS.get(field.theirs, field.default), instead=_start if field.instead else None)
            for field in MARIAN.fields
            if field.theirs not in ("decoder_vocab_size", "forced_eos_token_id")
        ),
        Field("init_std", "init_std", "number", 0.02),
        Field("forced_bos_token_id", "forced_bos_id", "id"),
        Field("forced_eos_token_id", "forced_eos_id", "id", 2),
    ),
    written={name: value for name, value in MARIAN.written.items() if name != "share_encoder_decoder_embeddings"},
    accepted={
        **MARIAN.accepted,
        "static_position_embeddings": False,
        "normalize_embedding": True,
        "extra_pos_embeddings": 2,
        "do_blenderbot_90_layernorm": False,
    },
    fixed=FIXED,
    dropped=tuple(f"{stack}.{what}" for stack in _STACKS for what in ("embed_tokens.weight", "version")),
    harmless=("classif_dropout", "force_bos_token_to_be_generated", "kobart_version"),
    refused={"mbart": "mBART normalises the input of each sublayer and the output of each stack (pre-norm), BART does not"},
    stacks=MARIAN.stacks,
    tensors=TensorHook(to_ours=_without_bias),
)

FORMATS = (FORMAT,)
