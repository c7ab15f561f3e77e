"""CLIP's names: `CLIPModel` of `transformers`, whose config has an object for each tower."""

from __future__ import annotations

from typing import Any

from gyebo.interchange.families.gpt2 import ACTIVATIONS
from gyebo.interchange.format import Architecture, Field, Format, Weight, pairs
from gyebo.interchange.hooks import OptionHook, Options

SECTIONS = TEXT, VISION = "text_config", "vision_config"
_HIGHEST = 2  # with this id as their end token, `transformers` takes the token with the highest id, as in CLIP's first configs
# The first of their names that compute one function is written.
_ACTIVATIONS = {"quick_gelu": "quick_gelu", "gelu": "gelu", **ACTIVATIONS}


def _blocks(theirs: str, ours: str) -> tuple[Weight, ...]:
    layer = f"{theirs}.encoder.layers.*"
    return pairs(
        (
            (tuple(f"{layer}.self_attn.{name}_proj" for name in "qkv"), f"{ours}.*.qkv"),
            (f"{layer}.self_attn.out_proj", f"{ours}.*.out"),
            (f"{layer}.layer_norm1", f"{ours}.*.attention_norm"),
            (f"{layer}.mlp.fc1", f"{ours}.*.mlp.up"),
            (f"{layer}.mlp.fc2", f"{ours}.*.mlp.down"),
            (f"{layer}.layer_norm2", f"{ours}.*.mlp_norm"),
        )
    )


def _shared(section: str) -> tuple[Field, ...]:
    """What both towers have in common here."""
    return (
        Field(f"{section}.hidden_act", "activation", "word", "quick_gelu", values=_ACTIVATIONS),
        Field(f"{section}.attention_dropout", "attention_dropout", "share", 0.0),
        Field(f"{section}.layer_norm_eps", "norm_eps", "number", 1e-5),
        Field(f"{section}.initializer_range", "init_std", "number", 0.02),
    )


def _inner(config: Any) -> int:
    return config.inner_width


def _picture_inner(config: Any) -> int:
    return config.picture_inner_width


def _to_theirs(options: Options) -> Options:
    end = options["end_id"]
    if end == _HIGHEST:
        raise ValueError(
            f"end_id = {end} cannot be saved: CLIPModel of transformers takes this id for the rule of its first configs; give "
            "the end of a text another id"
        )
    return {**options, "end_id": _HIGHEST if end is None else end}


def _to_ours(options: Options) -> Options:
    return {**options, "end_id": None if options["end_id"] == _HIGHEST else options["end_id"]}


FORMAT = Format(
    family="clip",
    model_type="clip",
    architectures=(Architecture("CLIPModel"),),
    base="",
    weights=(
        Weight("text_model.embeddings.token_embedding.weight", "token_embedding.weight"),
        Weight("text_model.embeddings.position_embedding.weight", "position_embedding.weight"),
        *_blocks("text_model", "blocks"),
        *pairs([("text_model.final_layer_norm", "final_norm")]),
        Weight("text_projection.weight", "text_projection.weight"),
        Weight("vision_model.embeddings.patch_embedding.weight", "patch_embedding.weight"),
        Weight("vision_model.embeddings.class_embedding", "whole_embedding"),
        Weight("vision_model.embeddings.position_embedding.weight", "patch_position_embedding.weight"),
        *pairs([("vision_model.pre_layrnorm", "patch_norm")]),  # so spelled there
        *_blocks("vision_model", "picture_blocks"),
        *pairs([("vision_model.post_layernorm", "picture_norm")]),
        Weight("visual_projection.weight", "picture_projection.weight"),
        Weight("logit_scale", "scale"),
    ),
    fields=(
        Field("text_config.vocab_size", "vocab_size", "count", 49_408),
        Field("text_config.max_position_embeddings", "context", "count", 77),
        Field("text_config.hidden_size", "width", "count", 512),
        Field("text_config.num_hidden_layers", "layers", "count", 12),
        Field("text_config.num_attention_heads", "heads", "count", 8),
        Field("text_config.intermediate_size", "inner", "count", 2048, instead=_inner),
        *_shared(TEXT),
        Field("text_config.pad_token_id", "pad_id", "id", 1),
        Field("text_config.bos_token_id", "bos_id", "id", 49_406),
        Field("text_config.eos_token_id", "end_id", "id", 49_407),
        Field("vision_config.image_size", "picture_size", "count", 224),
        Field("vision_config.patch_size", "patch", "count", 32),
        Field("vision_config.hidden_size", "picture_width", "count", 768),
        Field("vision_config.num_hidden_layers", "picture_layers", "count", 12),
        Field("vision_config.num_attention_heads", "picture_heads", "count", 12),
        Field("vision_config.intermediate_size", "picture_inner", "count", 3072, instead=_picture_inner),
        *_shared(VISION),
        Field("projection_dim", "projection", "count", 512),
        Field("logit_scale_init_value", "first_scale", "number", 2.6592),
    ),
    sections=SECTIONS,
    accepted={"vision_config.num_channels": 3, "text_config.dropout": 0.0, "vision_config.dropout": 0.0},
    harmless=(
        "initializer_factor",
        *(f"{section}.{name}" for section in SECTIONS for name in ("projection_dim", "initializer_factor")),
        *("text_config_dict", "vision_config_dict"),  # an earlier copy of what the two objects say
    ),
    dropped=("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids"),
    generates=False,
    stacks={"blocks": "layers", "picture_blocks": "picture_layers"},
    options=OptionHook(_to_theirs, _to_ours),
)

FORMATS = (FORMAT,)
