"""RoBERTa's names: `RobertaForMaskedLM` and `RobertaModel` of `transformers`. The body's are BERT's.

XLM-R and CamemBERT are RoBERTas under other names, with another tokenizer; they are saved as RoBERTas.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gyebo.interchange.families.bert import DROPOUT, ENCODER, LINEAR, OLD_NORMS, SPANS, body_weights, size_fields
from gyebo.interchange.format import Architecture, Field, Format, Weight, head_layers, pairs
from gyebo.interchange.hooks import OptionHook, Options


def _rows_before(options: Options) -> int:
    """Rows of the position table before a text's first token, up to padding's: their number counts them, ours does not."""
    return (options["pad_id"] or 0) + 1


def _with_rows_before(options: Options) -> dict[str, Any]:
    return {**options, "context": options["context"] + _rows_before(options)}


def _without_rows_before(options: Options) -> dict[str, Any]:
    rows, before = options["context"], _rows_before(options)
    if rows <= before:
        raise ValueError(f"max_position_embeddings must be at least {before + 1}, but is {rows} instead")
    return {**options, "context": rows - before}


_DENSE = head_layers(dense="classifier.dense", out="classifier.out_proj")

FORMAT = Format(
    family="roberta",
    model_type="roberta",
    architectures=(
        Architecture("RobertaForMaskedLM", parts=("mlm",)),
        Architecture("RobertaModel", bare=True),
        Architecture("RobertaForSequenceClassification", kind="classification", weights=_DENSE, dropout=DROPOUT),
        Architecture("RobertaForTokenClassification", kind="tagging", weights=LINEAR, dropout=DROPOUT),
        Architecture("RobertaForQuestionAnswering", kind="spans", weights=SPANS, dropout=DROPOUT),
        Architecture("RobertaForMultipleChoice", ("pooler",), kind="choice", weights=LINEAR, dropout=DROPOUT),
    ),
    base="roberta.",
    weights=(
        *body_weights(),
        *pairs([("lm_head.dense", "mlm_head.dense"), ("lm_head.layer_norm", "mlm_head.norm")], head=True, part="mlm"),
        Weight("lm_head.decoder.weight", "mlm_head.decoder.weight", head=True, part="mlm"),
        Weight("lm_head.decoder.bias", "mlm_head.decoder.bias", head=True, copies=("lm_head.bias",), part="mlm"),
    ),
    fields=(
        *size_fields(50_265),
        Field("pad_token_id", "pad_id", "id", 1),
        Field("max_position_embeddings", "context", "count", 512),
        Field("bos_token_id", "bos_id", "id", 0),
        Field("eos_token_id", "eos_id", "id", 2),
    ),
    written=ENCODER,
    dropped=("embeddings.position_ids",),
    harmless=("classifier_dropout",),
    renamed=OLD_NORMS,
    options=OptionHook(_with_rows_before, _without_rows_before),
    generates=False,
)


def _under_another_name(model_type: str, prefix: str) -> Format:
    """A model that is RoBERTa but for what `transformers` calls it and its vocabulary."""
    renamed = (replace(entry, name=entry.name.replace("Roberta", prefix, 1)) for entry in FORMAT.architectures)
    fields = (replace(field, default=30_522) if field.theirs == "vocab_size" else field for field in FORMAT.fields)
    return replace(
        FORMAT, model_type=model_type, architectures=tuple(renamed), fields=tuple(fields), refused={}, alias="", read_only=True
    )


XLM_ROBERTA = replace(
    _under_another_name("xlm-roberta", "XLMRoberta"),
    refused={"xlm-roberta-xl": "it normalises the input of each sublayer (pre-norm), RoBERTa the output"},
)
CAMEMBERT = _under_another_name("camembert", "Camembert")

FORMATS = (FORMAT, XLM_ROBERTA, CAMEMBERT)
