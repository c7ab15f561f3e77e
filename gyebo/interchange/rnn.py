"""Names of the recurrent families. `transformers` has none of them: a directory is gyebo's own, with the usual words."""

from __future__ import annotations

from gyebo.interchange.names import Architecture, Field, Format, Weight

_CELL = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")  # as torch calls them


def _format(family: str) -> Format:
    return Format(
        family=family,
        model_type=f"gyebo-{family}",
        architectures=(Architecture("GyeboForCausalLM"),),
        base="",
        weights=(
            Weight("token_embedding.weight", "token_embedding.weight"),
            *(Weight(f"layers.*.{name}", f"blocks.*.{name}") for name in _CELL),
            Weight("lm_head.weight", "lm_head.weight", head=True),
            Weight("lm_head.bias", "lm_head.bias", head=True),
        ),
        fields=(
            Field("vocab_size", "vocab_size", "count", 10_000),
            Field("max_position_embeddings", "context", "count", 1024),
            Field("hidden_size", "width", "count", 650),
            Field("num_hidden_layers", "layers", "count", 2),
            Field("dropout", "dropout", "share", 0.5),
            Field("initializer_range", "init_std", "number", 0.05),
            Field("tie_word_embeddings", "tied", "flag", True),
            Field("pad_token_id", "pad_id", "id"),
            Field("bos_token_id", "bos_id", "id"),
            Field("eos_token_id", "eos_id", "id"),
        ),
    )


FORMATS = tuple(map(_format, ("rnn", "lstm", "gru")))
