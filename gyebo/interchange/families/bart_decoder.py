"""The names of BART's decoder: `BartForCausalLM` of `transformers`, whose `model_type` is BART's.

It has the weights of attention over a source even where there is none, and does not use them then: they are not read, and
written as zeros, so that `transformers` finds what it looks for.
"""

from __future__ import annotations

from gyebo.interchange.families.bart import FORMAT as BART
from gyebo.interchange.families.gpt import PREFIX
from gyebo.interchange.format import Architecture, Field, Format, Weight, pairs
from gyebo.interchange.hooks import LazyTensor, Options, TensorHook, Tensors

_LAYER = "decoder.layers.*."
_TABLE = "decoder.embed_tokens.weight"
_FIELDS = {field.theirs: field for field in BART.fields}
_SHARED = ("vocab_size", "max_position_embeddings", "activation_function", "attention_dropout", "init_std")
_IDS = ("pad_token_id", "bos_token_id", "eos_token_id")


_SOURCE = ".encoder_attn"


def _with_source_attention(tensors: Tensors, options: Options) -> dict[str, LazyTensor]:
    like, width = next(iter(tensors.values())), options["width"]
    matrix, zeros, ones = (
        like.map(lambda tensor: tensor.new_zeros(width, width)),
        like.map(lambda tensor: tensor.new_zeros(width)),
        like.map(lambda tensor: tensor.new_ones(width)),
    )
    found = dict(tensors)
    for layer in range(options["layers"]):
        place = f"decoder.layers.{layer}{_SOURCE}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            found |= {f"{place}.{name}.weight": matrix, f"{place}.{name}.bias": zeros}
        found |= {f"{place}_layer_norm.weight": ones, f"{place}_layer_norm.bias": zeros}
    return found


def _without_source_attention(tensors: Tensors, options: Options) -> dict[str, LazyTensor]:
    return {name: tensor for name, tensor in tensors.items() if _SOURCE not in name}


FORMAT = Format(
    family="bart_decoder",
    model_type="bart",
    alias="bart (BartForCausalLM)",
    architectures=(Architecture("BartForCausalLM"),),
    base="model.",
    weights=(
        Weight(_TABLE, "token_embedding.weight"),
        Weight("decoder.embed_positions.weight", "position_embedding.weight"),
        *pairs(
            [
                ("decoder.layernorm_embedding", "embedding_norm"),
                (tuple(f"{_LAYER}self_attn.{name}_proj" for name in "qkv"), "blocks.*.attention.qkv"),
                (f"{_LAYER}self_attn.out_proj", "blocks.*.attention.out"),
                (f"{_LAYER}self_attn_layer_norm", "blocks.*.attention_norm"),
                (f"{_LAYER}fc1", "blocks.*.mlp.up"),
                (f"{_LAYER}fc2", "blocks.*.mlp.down"),
                (f"{_LAYER}final_layer_norm", "blocks.*.mlp_norm"),
            ]
        ),
        Weight("lm_head.weight", "lm_head.weight", head=True),
    ),
    fields=(
        *(_FIELDS[name] for name in (*_SHARED, *_IDS)),
        Field("d_model", "width", "count", 1024, aliases=("hidden_size",)),
        Field("decoder_layers", "layers", "count", 12),
        Field("decoder_attention_heads", "heads", "count", 16),
        Field("decoder_ffn_dim", "inner", "count", 4096, instead=lambda config: config.inner_width),
        Field("dropout", "embedding_dropout", "share", 0.1),
        Field("dropout", "residual_dropout", "share", 0.1),
        PREFIX,
    ),
    written={
        "is_decoder": True,
        "is_encoder_decoder": False,
        "tie_word_embeddings": True,
        "scale_embedding": False,
        "activation_dropout": 0.0,
        "decoder_layerdrop": 0.0,
    },
    accepted=BART.accepted,
    fixed={"tied": True, "norm_eps": 1e-5},
    dropped=("decoder.version",),
    harmless=(
        *BART.harmless,
        "encoder_layers",
        "num_hidden_layers",
        "encoder_attention_heads",
        "num_attention_heads",
        "encoder_ffn_dim",
        "encoder_layerdrop",
        "classifier_dropout",
    ),
    tensors=TensorHook(_with_source_attention, _without_source_attention),
)

FORMATS = (FORMAT,)
