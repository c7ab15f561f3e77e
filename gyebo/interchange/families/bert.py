"""BERT's names: `BertForPreTraining`, `BertForMaskedLM`, `BertForNextSentencePrediction` and `BertModel` of `transformers`; and
those of ELECTRA's discriminator, which is BERT's encoder with other heads: `ElectraForPreTraining`, `ElectraModel`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gyebo.interchange.families.gpt2 import ACTIVATIONS as GPT2_ACTIVATIONS
from gyebo.interchange.format import Architecture, Field, Format, Weight, head_layers, pairs
from gyebo.interchange.hooks import OptionHook, Options

# Several of their names compute one function; the first of each is written: "gelu" is what BERT's own files say.
ACTIVATIONS = {"gelu": "gelu", **GPT2_ACTIVATIONS}

ENCODER = {"is_decoder": False, "add_cross_attention": False}


def inner_width(config: Any) -> int:
    """Width of the feed-forward network: their files always say it."""
    return config.inner_width


def body_weights() -> tuple[Weight, ...]:
    """The tensors of the body, which BERT and RoBERTa name alike; the pooler is a part."""
    layer = "encoder.layer.*."
    blocks = (
        (tuple(f"{layer}attention.self.{name}" for name in ("query", "key", "value")), "blocks.*.attention.qkv"),
        (f"{layer}attention.output.dense", "blocks.*.attention.out"),
        (f"{layer}attention.output.LayerNorm", "blocks.*.attention_norm"),
        (f"{layer}intermediate.dense", "blocks.*.mlp.up"),
        (f"{layer}output.dense", "blocks.*.mlp.down"),
        (f"{layer}output.LayerNorm", "blocks.*.mlp_norm"),
    )
    return (
        Weight("embeddings.word_embeddings.weight", "token_embedding.weight"),
        Weight("embeddings.position_embeddings.weight", "position_embedding.weight"),
        Weight("embeddings.token_type_embeddings.weight", "segment_embedding.weight"),
        *pairs([("embeddings.LayerNorm", "embedding_norm")]),
        *pairs(blocks),
        *pairs([("pooler.dense", "pooler")], part="pooler"),
    )


def size_fields(vocabulary: int) -> tuple[Field, ...]:
    """The fields that BERT and RoBERTa share, with the defaults of `transformers`."""
    return (
        Field("vocab_size", "vocab_size", "count", vocabulary),
        Field("hidden_size", "width", "count", 768),
        Field("num_hidden_layers", "layers", "count", 12),
        Field("num_attention_heads", "heads", "count", 12),
        Field("intermediate_size", "inner", "count", 3072, instead=inner_width),
        Field("hidden_act", "activation", "word", "gelu", values=ACTIVATIONS),
        Field("hidden_dropout_prob", "embedding_dropout", "share", 0.1),
        Field("hidden_dropout_prob", "residual_dropout", "share", 0.1),
        Field("attention_probs_dropout_prob", "attention_dropout", "share", 0.1),
        Field("layer_norm_eps", "norm_eps", "number", 1e-12),
        Field("initializer_range", "init_std", "number", 0.02),
        Field("type_vocab_size", "segments", "count", 2),
        Field("tie_word_embeddings", "tied", "flag", True),
    )


# LayerNorm's tensors in files that were converted from TensorFlow, Google's own among them.
OLD_NORMS = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
POOLER = tuple(f"pooler_{name}" for name in ("fc_size", "num_attention_heads", "num_fc_layers", "size_per_head", "type"))

DROPOUT = ("classifier_dropout", "hidden_dropout_prob")  # of a task head
LINEAR, SPANS = head_layers(out="classifier"), head_layers(out="qa_outputs")

FORMAT = Format(
    family="bert",
    model_type="bert",
    architectures=(
        Architecture("BertForPreTraining", parts=("mlm", "nsp", "pooler")),
        Architecture("BertForMaskedLM", parts=("mlm",)),
        Architecture("BertForNextSentencePrediction", parts=("nsp", "pooler")),
        Architecture("BertModel", bare=True),
        Architecture("BertForSequenceClassification", ("pooler",), kind="classification", weights=LINEAR, dropout=DROPOUT),
        Architecture("BertForTokenClassification", kind="tagging", weights=LINEAR, dropout=DROPOUT),
        Architecture("BertForQuestionAnswering", kind="spans", weights=SPANS, dropout=DROPOUT),
        Architecture("BertForMultipleChoice", ("pooler",), kind="choice", weights=LINEAR, dropout=DROPOUT),
    ),
    base="bert.",
    weights=(
        *body_weights(),
        *pairs(
            [("cls.predictions.transform.dense", "mlm_head.dense"), ("cls.predictions.transform.LayerNorm", "mlm_head.norm")],
            head=True,
            part="mlm",
        ),
        Weight("cls.predictions.decoder.weight", "mlm_head.decoder.weight", head=True, part="mlm"),
        Weight(
            "cls.predictions.decoder.bias",
            "mlm_head.decoder.bias",
            head=True,
            copies=("cls.predictions.bias",),
            part="mlm",
        ),
        *pairs([("cls.seq_relationship", "nsp_head")], head=True, part="nsp"),
    ),
    fields=(
        *size_fields(30_522),
        Field("max_position_embeddings", "context", "count", 512),
        Field("pad_token_id", "pad_id", "id", 0),
        Field("bos_token_id", "bos_id", "id"),
        Field("eos_token_id", "eos_id", "id"),
    ),
    written=ENCODER,
    dropped=("embeddings.position_ids",),
    harmless=("classifier_dropout", "directionality", *POOLER),
    renamed=OLD_NORMS,
    generates=False,
)


def _table_width(config: Any) -> int:
    """Width of the tables: their files always say it."""
    return config.table_width


def _one_width(options: Options) -> dict[str, Any]:
    """Tables as wide as the model need no width of their own."""
    same = options["embedding_width"] == options["width"]
    return {**options, "embedding_width": None if same else options["embedding_width"]}


_ELECTRA = {"hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024}  # defaults that are not BERT's
_ELECTRA_DENSE = head_layers(dense="classifier.dense", out="classifier.out_proj")
_SUMMARY = head_layers(dense="sequence_summary.summary", out="classifier")
_IDS = ("pad_token_id", "bos_token_id", "eos_token_id", "max_position_embeddings")

ELECTRA = Format(
    family="bert",
    model_type="electra",
    architectures=(
        Architecture("ElectraForPreTraining", parts=("replaced",)),
        Architecture("ElectraModel", bare=True),
        Architecture("ElectraForSequenceClassification", kind="classification", weights=_ELECTRA_DENSE, dropout=DROPOUT),
        Architecture("ElectraForTokenClassification", kind="tagging", weights=LINEAR, dropout=DROPOUT),
        Architecture("ElectraForQuestionAnswering", kind="spans", weights=SPANS, dropout=DROPOUT),
        Architecture("ElectraForMultipleChoice", kind="choice", weights=_SUMMARY, dropout=("summary_last_dropout",)),
    ),
    base="electra.",
    weights=(
        *(weight for weight in body_weights() if weight.part is None),
        *pairs([("embeddings_project", "embedding_projection")]),
        *pairs(
            [
                ("discriminator_predictions.dense", "replaced_head.dense"),
                ("discriminator_predictions.dense_prediction", "replaced_head.out"),
            ],
            head=True,
            part="replaced",
        ),
    ),
    fields=(
        *(replace(field, default=_ELECTRA.get(field.theirs, field.default)) for field in size_fields(30_522)),
        Field("embedding_size", "embedding_width", "count", 128, instead=_table_width),
        *(field for field in FORMAT.fields if field.theirs in _IDS),
    ),
    written=ENCODER,
    accepted={"summary_type": "first", "summary_use_proj": True, "summary_activation": "gelu"},  # of the head for choice
    fixed={"discriminator": True, "mlm": False, "nsp": False, "pooler": False},
    dropped=("embeddings.position_ids", "embeddings.token_type_ids"),
    harmless=("classifier_dropout", "summary_last_dropout"),
    renamed=OLD_NORMS,
    options=OptionHook(to_ours=_one_width),
    generates=False,
    alias="electra",
)

FORMATS = (ELECTRA, FORMAT)  # the one that fits is taken, and the last one says why none does
