"""DistilBERT's names: `DistilBertForMaskedLM` and `DistilBertModel` of `transformers`."""

from __future__ import annotations

from gyebo.interchange.families.bert import ACTIVATIONS, LINEAR, OLD_NORMS, SPANS, inner_width
from gyebo.interchange.format import Architecture, Field, Format, Weight, head_layers, pairs

_LAYER = "transformer.layer.*."
_TWO_LAYERS = head_layers(dense="pre_classifier", out="classifier")

FORMAT = Format(
    family="distilbert",
    model_type="distilbert",
    architectures=(
        Architecture("DistilBertForMaskedLM", parts=("mlm",)),
        Architecture("DistilBertModel", bare=True),
        *(
            Architecture(name, kind=kind, weights=_TWO_LAYERS, dropout=("seq_classif_dropout",), dropout_default=0.2)
            for name, kind in (
                ("DistilBertForSequenceClassification", "classification"),
                ("DistilBertForMultipleChoice", "choice"),
            )
        ),
        Architecture(
            "DistilBertForTokenClassification", kind="tagging", weights=LINEAR, dropout=("classifier_dropout", "dropout")
        ),
        Architecture("DistilBertForQuestionAnswering", kind="spans", weights=SPANS, dropout=("qa_dropout",)),
    ),
    base="distilbert.",
    weights=(
        Weight("embeddings.word_embeddings.weight", "token_embedding.weight"),
        Weight("embeddings.position_embeddings.weight", "position_embedding.weight"),
        *pairs(
            (
                ("embeddings.LayerNorm", "embedding_norm"),
                (tuple(f"{_LAYER}attention.{name}_lin" for name in "qkv"), "blocks.*.attention.qkv"),
                (f"{_LAYER}attention.out_lin", "blocks.*.attention.out"),
                (f"{_LAYER}sa_layer_norm", "blocks.*.attention_norm"),
                (f"{_LAYER}ffn.lin1", "blocks.*.mlp.up"),
                (f"{_LAYER}ffn.lin2", "blocks.*.mlp.down"),
                (f"{_LAYER}output_layer_norm", "blocks.*.mlp_norm"),
            )
        ),
        *pairs(
            (
                ("vocab_transform", "mlm_head.dense"),
                ("vocab_layer_norm", "mlm_head.norm"),
                ("vocab_projector", "mlm_head.decoder"),
            ),
            head=True,
            part="mlm",
        ),
    ),
    fields=(
        Field("vocab_size", "vocab_size", "count", 30_522),
        Field("max_position_embeddings", "context", "count", 512),
        Field("dim", "width", "count", 768, aliases=("hidden_size",)),
        Field("n_layers", "layers", "count", 6, aliases=("num_hidden_layers",)),
        Field("n_heads", "heads", "count", 12, aliases=("num_attention_heads",)),
        Field("hidden_dim", "inner", "count", 4 * 768, instead=inner_width),
        Field("activation", "activation", "word", "gelu", values=ACTIVATIONS),
        Field("dropout", "embedding_dropout", "share", 0.1),
        Field("dropout", "residual_dropout", "share", 0.1),
        Field("attention_dropout", "attention_dropout", "share", 0.1),
        Field("initializer_range", "init_std", "number", 0.02),
        Field("tie_word_embeddings", "tied", "flag", True),
        Field("pad_token_id", "pad_id", "id", 0),
        Field("bos_token_id", "bos_id", "id"),
        Field("eos_token_id", "eos_id", "id"),
    ),
    # The norms' epsilon has no field: it is always 1e-12 there, as ours is by default.
    dropped=("embeddings.position_ids",),
    # sinusoidal_pos_embds says how the table was first filled; its values are in the file.
    harmless=("sinusoidal_pos_embds", "qa_dropout", "seq_classif_dropout", "tie_weights_"),
    renamed=OLD_NORMS,
    generates=False,
)

FORMATS = (FORMAT,)
