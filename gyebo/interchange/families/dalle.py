"""Names of DALL-E: directories are gyebo's own, with GPT-2's words where they mean the same."""

from __future__ import annotations

from gyebo.interchange.families.bert import inner_width
from gyebo.interchange.families.gpt2 import ACTIVATIONS
from gyebo.interchange.format import Architecture, Field, Format, Weight, pairs

_BLOCK = (
    ("h.*.ln_1", "blocks.*.attention_norm"),
    ("h.*.attn.c_attn", "blocks.*.attention.qkv"),
    ("h.*.attn.c_proj", "blocks.*.attention.out"),
    ("h.*.ln_2", "blocks.*.mlp_norm"),
    ("h.*.mlp.c_fc", "blocks.*.mlp.up"),
    ("h.*.mlp.c_proj", "blocks.*.mlp.down"),
)

FORMAT = Format(
    family="dalle",
    model_type="gyebo-dalle",
    architectures=(Architecture("GyeboForTextToImage"),),
    base="",
    weights=(
        Weight("start", "start", part="start"),
        Weight("wte.weight", "token_embedding.weight"),
        Weight("wpe.weight", "position_embedding.weight"),
        Weight("padding.weight", "padding_embedding.weight"),
        Weight("image.weight", "image_embedding.weight"),
        Weight("rows.weight", "row_embedding.weight"),
        Weight("columns.weight", "column_embedding.weight"),
        *pairs(_BLOCK),
        *pairs([("ln_f", "final_norm")]),
        Weight("image_head.weight", "image_head.weight"),
    ),
    fields=(
        Field("vocab_size", "vocab_size", "count", 16_384),
        Field("n_positions", "context", "count", 256),
        Field("image_vocab_size", "image_codes", "count", 8192),
        Field("image_grid", "grid", "count", 32),
        Field("n_embd", "width", "count", 3968),
        Field("n_layer", "layers", "count", 64),
        Field("n_head", "heads", "count", 62),
        Field("n_inner", "inner", "count", instead=inner_width, optional=True),
        Field("convolution_kernel", "kernel", "count", 11),
        Field("image_first", "image_first", "flag", False),
        Field("guided", "guided", "flag", False),
        Field("activation_function", "activation", "word", "gelu_new", values=ACTIVATIONS),
        Field("embd_pdrop", "embedding_dropout", "share", 0.0),
        Field("attn_pdrop", "attention_dropout", "share", 0.0),
        Field("resid_pdrop", "residual_dropout", "share", 0.0),
        Field("layer_norm_epsilon", "norm_eps", "number", 1e-5),
        Field("initializer_range", "init_std", "number", 0.02),
        Field("pad_token_id", "pad_id", "id"),
        Field("bos_token_id", "bos_id", "id"),
        Field("eos_token_id", "eos_id", "id"),
    ),
    generates=False,
)

FORMATS = (FORMAT,)
