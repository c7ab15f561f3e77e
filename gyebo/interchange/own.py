"""Names of the families that `transformers` has not: directories are gyebo's own, with the words that are usual there."""

from __future__ import annotations

from gyebo.interchange.bert import pairs
from gyebo.interchange.names import Architecture, Field, Format, Weight

_CELL = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")  # as torch calls them


def _causal(family: str, layer: tuple[str, ...], context: int, width: int, layers: int, *others: Field) -> Format:
    """A causal language model whose layers have these tensors."""
    return Format(
        family=family,
        model_type=f"gyebo-{family}",
        architectures=(Architecture("GyeboForCausalLM"),),
        base="",
        weights=(
            Weight("token_embedding.weight", "token_embedding.weight"),
            *(Weight(f"layers.*.{name}", f"blocks.*.{name}") for name in layer),
            Weight("lm_head.weight", "lm_head.weight", head=True),
            Weight("lm_head.bias", "lm_head.bias", head=True),
        ),
        fields=(
            Field("vocab_size", "vocab_size", "count", 10_000),
            Field("max_position_embeddings", "context", "count", context),
            Field("hidden_size", "width", "count", width),
            Field("num_hidden_layers", "layers", "count", layers),
            *others,
            Field("initializer_range", "init_std", "number", 0.05),
            Field("tie_word_embeddings", "tied", "flag", True),
            Field("pad_token_id", "pad_id", "id"),
            Field("bos_token_id", "bos_id", "id"),
            Field("eos_token_id", "eos_id", "id"),
        ),
    )


_ATTENTIONS = ("none", "additive", "dot", "general", "concat")

SEQ2SEQ = Format(
    family="seq2seq",
    model_type="gyebo-seq2seq",
    architectures=(Architecture("GyeboForTranslation"),),
    base="",
    weights=(
        Weight("shared.weight", "token_embedding.weight"),
        *(Weight(f"encoder.layers.*.{name}{way}", f"encoder.*.{name}{way}") for name in _CELL for way in ("", "_reverse")),
        *(Weight(f"decoder.layers.*.{name}", f"decoder.*.{name}") for name in _CELL),
        *pairs([("bridge.*", "bridge.*"), ("readout", "readout")]),
        *(Weight(f"attention.{name}.weight", f"attention.{name}.weight") for name in ("query", "key", "energy")),
        *pairs([("lm_head", "lm_head")], head=True),
    ),
    fields=(
        Field("vocab_size", "vocab_size", "count", 30_000),
        Field("max_position_embeddings", "context", "count", 1024),
        Field("hidden_size", "width", "count", 1000),
        Field("embedding_size", "embedding", "count", optional=True),
        Field("num_hidden_layers", "layers", "count", 1),
        Field("cell", "cell", "word", "gru", values={name: name for name in ("gru", "lstm")}),
        Field("bidirectional", "bidirectional", "flag", True),
        Field("attention", "attention", "word", "additive", values={name: name for name in _ATTENTIONS}),
        Field("maxout_size", "maxout", "count", optional=True),
        Field("input_feeding", "input_feeding", "flag", False),
        Field("reversed_source", "reversed_source", "flag", False),
        Field("dropout", "dropout", "share", 0.0),
        Field("initializer_range", "init_std", "number", 0.05),
        Field("tie_word_embeddings", "tied", "flag", True),
        Field("pad_token_id", "pad_id", "id"),
        Field("bos_token_id", "bos_id", "id"),
        Field("eos_token_id", "eos_id", "id"),
        Field("decoder_start_token_id", "start_id", "id", instead=lambda config: config.first_id),
    ),
    written={"is_encoder_decoder": True},
)

_BLOCK = ("inputs", "recurrent", "bias", "projection")

ELMO = Format(
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
        Field("num_highways", "highways", "natural", 2),
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

FORMATS = (
    SEQ2SEQ,
    ELMO,
    *(_causal(family, _CELL, 1024, 650, 2, Field("dropout", "dropout", "share", 0.5)) for family in ("rnn", "lstm", "gru")),
    _causal(
        "dan",
        ("weight", "bias"),
        1024,
        300,
        3,
        Field("dropout", "dropout", "share", 0.0),
        Field("word_dropout", "word_dropout", "share", 0.3),
    ),
)
