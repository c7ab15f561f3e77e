"""Names of the recurrent translator: directories are gyebo's own, with the words that are usual there."""

from __future__ import annotations

from gyebo.interchange.format import CELL, Architecture, Field, Format, Weight, pairs

_ATTENTIONS = ("none", "additive", "dot", "general", "concat")


FORMAT = Format(
    family="seq2seq",
    model_type="gyebo-seq2seq",
    architectures=(Architecture("GyeboForTranslation"),),
    base="",
    weights=(
        Weight("shared.weight", "token_embedding.weight"),
        *(Weight(f"encoder.layers.*.{name}{way}", f"encoder.*.{name}{way}") for name in CELL for way in ("", "_reverse")),
        *(Weight(f"decoder.layers.*.{name}", f"decoder.*.{name}") for name in CELL),
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
    stacks={"encoder": "layers", "decoder": "decoder_layers"},
)

FORMATS = (FORMAT,)
