"""RoBERTa's names: `RobertaForMaskedLM` and `RobertaModel` of `transformers`. The body's are BERT's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gyebo.interchange.families.bert import ENCODER, OLD_NORMS, body_weights, size_fields
from gyebo.interchange.format import Architecture, Field, Format, Weight, pairs


def _rows_before(options: Mapping[str, Any]) -> int:
    """Rows of the position table before a text's first token: up to padding's."""
    return (options["pad_id"] or 0) + 1


FORMAT = Format(
    family="roberta",
    model_type="roberta",
    architectures=(Architecture("RobertaForMaskedLM", parts=("mlm",)), Architecture("RobertaModel", bare=True)),
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
        Field("max_position_embeddings", "context", "count", 512, more=_rows_before),
        Field("bos_token_id", "bos_id", "id", 0),
        Field("eos_token_id", "eos_id", "id", 2),
    ),
    written=ENCODER,
    dropped=("embeddings.position_ids",),
    harmless=("classifier_dropout",),
    renamed=OLD_NORMS,
    generates=False,
)
