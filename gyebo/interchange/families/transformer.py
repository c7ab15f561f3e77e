"""The Transformer's names: `MarianMTModel` of `transformers`, which is the same network with biases in attention, and with
pre-norm `PegasusForConditionalGeneration`. For what both lack (no biases, the published order of sinusoids, an untied output
layer) a format of ours with the same words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gyebo.interchange.families.bert import ACTIVATIONS
from gyebo.interchange.format import Architecture, Field, Format, Weight, pairs
from gyebo.interchange.hooks import LazyTensor, Options, TensorHook, Tensors
from gyebo.models.transformer import TransformerConfig, position_table


def _start(config: Any) -> int:
    """The id with which the decoder begins: their files always say it."""
    return config.first_id


def _block(stack: str) -> list[tuple[str | tuple[str, ...], str]]:
    """The layers of a block that have weight and bias."""
    theirs, ours = f"{stack}.layers.*.", f"{stack}.*."
    names: list[tuple[str | tuple[str, ...], str]] = [
        (tuple(f"{theirs}self_attn.{name}_proj" for name in "qkv"), f"{ours}attention.qkv"),
        (f"{theirs}self_attn.out_proj", f"{ours}attention.out"),
        (f"{theirs}self_attn_layer_norm", f"{ours}attention_residual.norm"),
        (f"{theirs}fc1", f"{ours}mlp.up"),
        (f"{theirs}fc2", f"{ours}mlp.down"),
        (f"{theirs}final_layer_norm", f"{ours}mlp_residual.norm"),
    ]
    if stack == "decoder":
        names += [
            (f"{theirs}encoder_attn.q_proj", f"{ours}source_attention.query"),
            (tuple(f"{theirs}encoder_attn.{name}_proj" for name in "kv"), f"{ours}source_attention.key_value"),
            (f"{theirs}encoder_attn.out_proj", f"{ours}source_attention.out"),
            (f"{theirs}encoder_attn_layer_norm", f"{ours}source_residual.norm"),
        ]
    return names


_BIAS = "final_logits_bias"
_WEIGHTS = (
    Weight("shared.weight", "token_embedding.weight"),
    *pairs(_block("encoder")),
    *pairs(_block("decoder")),
    Weight("lm_head.weight", "lm_head.weight", head=True),
    Weight(_BIAS, "lm_head.bias", head=True, part="output_bias"),
)

_FIELDS = (
    Field("vocab_size", "vocab_size", "count", 58_101),
    Field("max_position_embeddings", "context", "count", 1024),
    Field("d_model", "width", "count", 1024, aliases=("hidden_size",)),
    Field("encoder_layers", "layers", "count", 12, aliases=("num_hidden_layers",)),
    Field("decoder_layers", "decoder_layers", "count", 12),
    Field("encoder_attention_heads", "heads", "count", 16, aliases=("num_attention_heads",)),
    Field("decoder_attention_heads", "heads", "count", 16),
    Field("encoder_ffn_dim", "inner", "count", 4096),
    Field("decoder_ffn_dim", "inner", "count", 4096),
    Field("activation_function", "activation", "word", "gelu", values=ACTIVATIONS),
    Field("dropout", "residual_dropout", "share", 0.1),
    Field("attention_dropout", "attention_dropout", "share", 0.0),
    Field("activation_dropout", "inner_dropout", "share", 0.0),
    Field("scale_embedding", "scaled", "flag", False),
    Field("pad_token_id", "pad_id", "id", 58_100),
    Field("bos_token_id", "bos_id", "id"),
    Field("eos_token_id", "eos_id", "id", 0),
    Field("decoder_start_token_id", "start_id", "id", 58_100, instead=_start),
)

_STACKS = {"encoder": "layers", "decoder": "decoder_layers"}
_NORMS = tuple(pairs([(f"{stack}.layer_norm", f"{stack}_norm") for stack in ("encoder", "decoder")], part="pre_norm"))
_WRITTEN = {
    "is_encoder_decoder": True,
    "is_decoder": False,
    "tie_word_embeddings": True,  # else `transformers` has three tables
    "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0,
}
_DROPPED = tuple(f"{stack}.embed_{what}.weight" for stack in ("encoder", "decoder") for what in ("tokens", "positions"))
_FIXED = {"norm_eps": 1e-5, "attention_bias": True, "positions": "halves", "tied": True}


def _bias_as_row(tensors: Tensors, options: Options) -> dict[str, LazyTensor]:
    """Theirs is [1, V], ours [V]."""
    return {name: tensor.map(lambda bias: bias[None]) if name == _BIAS else tensor for name, tensor in tensors.items()}


def _bias_from_row(tensors: Tensors, options: Options) -> dict[str, LazyTensor]:
    return {name: tensor.map(lambda row: row[0]) if name == _BIAS else tensor for name, tensor in tensors.items()}


_BIAS_ROW = TensorHook(_bias_as_row, _bias_from_row)

MARIAN = Format(
    family="transformer",
    model_type="marian",
    architectures=(Architecture("MarianMTModel"), Architecture("MarianModel", bare=True)),
    base="model.",
    weights=_WEIGHTS,
    fields=(
        *_FIELDS,
        Field("decoder_vocab_size", "vocab_size", "count", None, optional=True),
        Field("forced_eos_token_id", "eos_id", "id"),
    ),
    written={**_WRITTEN, "share_encoder_decoder_embeddings": True},
    accepted={  # of files that were converted years ago
        "static_position_embeddings": True,
        "normalize_before": False,
        "normalize_embedding": False,
        "add_final_layer_norm": False,
        "add_bias_logits": False,
        "extra_pos_embeddings": 0,
    },
    fixed={**_FIXED, "pre_norm": False},
    dropped=_DROPPED,
    harmless=("init_std", "initializer_range", "classif_dropout", "classifier_dropout", "save_step"),
    stacks=_STACKS,
    tensors=_BIAS_ROW,
)

_POSITIONS = tuple(f"{stack}.embed_positions.weight" for stack in ("encoder", "decoder"))


def _with_positions(tensors: Tensors, options: Options) -> dict[str, LazyTensor]:
    """Their loader has no word for sinusoids that a file lacks, and warns of weights that were not trained."""
    table = LazyTensor(lambda: position_table(TransformerConfig(**options)))
    return {**_bias_as_row(tensors, options), **dict.fromkeys(_POSITIONS, table)}


def _without_positions(tensors: Tensors, options: Options) -> dict[str, LazyTensor]:
    return {name: tensor for name, tensor in _bias_from_row(tensors, options).items() if name not in _POSITIONS}


_PEGASUS = {"vocab_size": 50_265, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}  # where a file has none
PEGASUS = Format(
    family="transformer",
    model_type="pegasus",
    architectures=(Architecture("PegasusForConditionalGeneration"), Architecture("PegasusModel", bare=True)),
    base="model.",
    weights=(*_WEIGHTS, *_NORMS),
    fields=(
        *(replace(field, default=_PEGASUS.get(field.theirs, field.default)) for field in _FIELDS),
        Field("forced_eos_token_id", "eos_id", "id", 1),
    ),
    written=_WRITTEN,
    accepted={
        **{name: value for name, value in MARIAN.accepted.items() if name != "extra_pos_embeddings"},
        "normalize_before": True,
        "add_final_layer_norm": True,
    },
    fixed={**_FIXED, "pre_norm": True},
    dropped=_DROPPED,
    # extra_pos_embeddings: rows of a table that is computed, which nobody reads
    harmless=(*MARIAN.harmless, "extra_pos_embeddings", "force_bos_token_to_be_generated"),
    stacks=_STACKS,
    tensors=TensorHook(_with_positions, _without_positions),
)

OWN = Format(
    family="transformer",
    model_type="gyebo-transformer",
    architectures=(Architecture("GyeboForTranslation"),),
    base="model.",
    weights=(*_WEIGHTS, *_NORMS),
    fields=(
        *_FIELDS,
        Field("tie_word_embeddings", "tied", "flag", True),
        Field("layer_norm_eps", "norm_eps", "number", 1e-6),
        Field("attention_bias", "attention_bias", "flag", False),
        Field("position_order", "positions", "word", "interleaved", values={"interleaved": "interleaved", "halves": "halves"}),
    ),
    written={"is_encoder_decoder": True},
    stacks=_STACKS,
    tensors=_BIAS_ROW,
)

FORMATS = (MARIAN, PEGASUS, OWN)
