"""Names of ELMo: directories are gyebo's own, with the words that are usual there."""

from __future__ import annotations

from gyebo.interchange.format import Architecture, Field, Format, Weight, pairs

_BLOCK = ("inputs", "recurrent", "bias", "projection")


FORMAT = Format(
    family="elmo",
    model_type="gyebo-elmo",
    architectures=(Architecture("GyeboForBidirectionalLM"),),
    base="",
    weights=(
        Weight("spelling", "spelling"),
        Weight("char_embedding.weight", "encoder.embedding.weight"),
        *pairs([("char_convolutions.*", "encoder.convolutions.*"), ("char_highways.*", "encoder.highways.*.both")]),
        *pairs([("char_projection", "encoder.projection")]),
        *(
            Weight(f"layers.*.{theirs}.{name}", f"blocks.*.{ours}.{name}")
            for theirs, ours in (("forward", "forwards"), ("backward", "backwards"))
            for name in _BLOCK
        ),
        *pairs([("lm_head", "lm_head")], head=True),
    ),
    fields=(
        Field("vocab_size", "vocab_size", "count", 793_471),
        Field("max_position_embeddings", "context", "count", 1024),
        Field("num_characters", "symbols", "count", 262),
        Field("max_characters_per_token", "characters", "count", 50),
        Field("character_size", "character_width", "count", 16),
        Field("character_filters", "filters", "counts", (32, 32, 64, 128, 256, 512, 1024)),
        Field("num_highways", "highways", "natural", 2, most=1000),
        Field("hidden_size", "width", "count", 1024),
        Field("cell_size", "cells", "count", 4096),
        Field("num_hidden_layers", "layers", "count", 2),
        Field("clip", "clip", "bound", 3.0),
        Field("dropout", "dropout", "share", 0.1),
        Field("initializer_range", "init_std", "number", 0.05),
        Field("pad_token_id", "pad_id", "id"),
        Field("bos_token_id", "bos_id", "id"),
        Field("eos_token_id", "eos_id", "id"),
    ),
    generates=False,
)

FORMATS = (FORMAT,)
