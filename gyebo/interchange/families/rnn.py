"""Names of RNN, LSTM and GRU: directories are gyebo's own, with the words that are usual there."""

from __future__ import annotations

from gyebo.interchange.format import CELL, Architecture, Field, Format, Weight

CLUSTERS = (  # of a vocabulary that is divided
    Weight("token_embedding.**", "token_embedding.**"),
    Weight("lm_head.**", "lm_head.**", head=True),
)


def causal_format(family: str, layer: tuple[str, ...], context: int, width: int, layers: int, *others: Field) -> Format:
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
            *CLUSTERS,
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


FORMATS = tuple(
    causal_format(
        family,
        CELL,
        1024,
        650,
        2,
        Field("dropout", "dropout", "share", 0.5),
        Field("cutoffs", "cutoffs", "counts", ()),
        Field("div_val", "division", "count", 1),
    )
    for family in ("rnn", "lstm", "gru")
)
