"""ViLBERT's names: those of the authors' code (`BertForMultiModalPreTraining`), whose weights are read with the JSON of their
config as `config.json`; directories that are written are gyebo's own, with the same names of tensors."""

from __future__ import annotations

from dataclasses import replace

from gyebo.interchange.families.bert import body_weights, inner_width
from gyebo.interchange.format import Architecture, Field, Format, Names, Weight, pairs

_QKV = ("query", "key", "value")
_ACTIVATIONS = {"gelu": "gelu", "relu": "relu", "swish": "silu"}  # of their code
_MORE_ACTIVATIONS = {**_ACTIVATIONS, "gelu_tanh": "gelu_tanh", "quick_gelu": "quick_gelu", "silu": "silu", "tanh": "tanh"}


def _image_layers() -> tuple[Weight, ...]:
    theirs, ours = "encoder.v_layer.*.", "image_blocks.*."
    return pairs(
        [
            (tuple(f"{theirs}attention.self.{name}" for name in _QKV), f"{ours}attention.qkv"),
            (f"{theirs}attention.output.dense", f"{ours}attention.out"),
            (f"{theirs}attention.output.LayerNorm", f"{ours}attention_norm"),
            (f"{theirs}intermediate.dense", f"{ours}mlp.up"),
            (f"{theirs}output.dense", f"{ours}mlp.down"),
            (f"{theirs}output.LayerNorm", f"{ours}mlp_norm"),
        ]
    )


def _co_layers() -> tuple[Weight, ...]:
    theirs, ours = "encoder.c_layer.*.", "co_blocks.*."
    found: list[tuple[Names, str]] = []
    for number, letter, side in (("1", "v", "regions"), ("2", "t", "words")):
        found += [
            (tuple(f"{theirs}biattention.{name}{number}" for name in _QKV), f"{ours}{side}.qkv"),
            (f"{theirs}biOutput.dense{number}", f"{ours}{side}.out"),
            (f"{theirs}biOutput.LayerNorm{number}", f"{ours}{side}.attention_norm"),
            (f"{theirs}{letter}_intermediate.dense", f"{ours}{side}.mlp.up"),
            (f"{theirs}{letter}_output.dense", f"{ours}{side}.mlp.down"),
            (f"{theirs}{letter}_output.LayerNorm", f"{ours}{side}.mlp_norm"),
        ]
    return pairs(found)


def _heads() -> tuple[Weight, ...]:
    transform = (("transform.dense", "dense"), ("transform.LayerNorm", "norm"))
    return (
        *pairs([(f"cls.predictions.{theirs}", f"mlm_head.{ours}") for theirs, ours in transform], head=True, part="mlm"),
        Weight("cls.predictions.decoder.weight", "mlm_head.decoder.weight", head=True, part="mlm"),
        Weight("cls.predictions.bias", "mlm_head.decoder.bias", head=True, part="mlm"),
        *pairs(
            [
                (f"cls.imagePredictions.{theirs}", f"region_head.{ours}")
                for theirs, ours in (*transform, ("decoder", "decoder"))
            ],
            head=True,
            part="region",
        ),
        *pairs([("cls.bi_seq_relationship", "alignment_head")], head=True, part="alignment"),
    )


_EMBEDDING = (("image_embeddings", "feature"), ("image_location_embeddings", "box"), ("LayerNorm", "norm"))
_PIXELS = (("image_embeddings.convolutions.*", "feature.convolutions.*"), ("image_embeddings.out", "feature.out"))

_SHAPE = (  # with the defaults of their code
    Field("vocab_size", "vocab_size", "count", 30_522),
    Field("max_position_embeddings", "context", "count", 512),
    Field("hidden_size", "width", "count", 768),
    Field("num_hidden_layers", "layers", "count", 12),
    Field("num_attention_heads", "heads", "count", 12),
    Field("intermediate_size", "inner", "count", 3072, instead=inner_width),
    Field("hidden_act", "activation", "word", "gelu", values=_ACTIVATIONS),
    Field("hidden_dropout_prob", "embedding_dropout", "share", 0.1),
    Field("hidden_dropout_prob", "residual_dropout", "share", 0.1),
    Field("attention_probs_dropout_prob", "attention_dropout", "share", 0.1),
    Field("type_vocab_size", "segments", "count", 2),
    Field("initializer_range", "init_std", "number", 0.02),
    Field("v_feature_size", "feature_size", "count", 2048),
    Field("v_target_size", "classes", "count", 1601),
    Field("v_hidden_size", "image_width", "count", 768),
    Field("v_num_hidden_layers", "image_layers", "natural", 3),
    Field("v_num_attention_heads", "image_heads", "count", 12),
    Field("v_intermediate_size", "image_inner", "count", 3072),
    Field("v_hidden_act", "image_activation", "word", "gelu", values=_ACTIVATIONS),
    Field("v_hidden_dropout_prob", "image_residual_dropout", "share", 0.1),
    Field("v_attention_probs_dropout_prob", "image_attention_dropout", "share", 0.1),
    Field("bi_hidden_size", "co_width", "count", 1024),
    Field("bi_num_attention_heads", "co_heads", "count", 16),
    Field("v_biattention_id", "image_at", "naturals", (0, 1)),
    Field("t_biattention_id", "text_at", "naturals", (10, 11)),
    Field("fusion_method", "fusion", "word", "mul"),
)
_OWN_FIELDS = (
    Field("streams", "streams", "count", 2),
    Field("visual_crop", "crop", "count", optional=True),
    Field("fusion_dropout", "fusion_dropout", "share", 0.1),
    Field("layer_norm_eps", "norm_eps", "number", 1e-12),
    Field("tie_word_embeddings", "tied", "flag", True),
    Field("pad_token_id", "pad_id", "id"),
    Field("bos_token_id", "bos_id", "id"),
    Field("eos_token_id", "eos_id", "id"),
)

THEIRS = Format(
    family="vilbert",
    model_type="vilbert",
    architectures=(Architecture("BertForMultiModalPreTraining", parts=("mlm", "region", "alignment")),),
    base="bert.",
    weights=(
        *(weight for weight in body_weights() if weight.part is None),
        *pairs([(f"v_embeddings.{theirs}", f"image_embedding.{ours}") for theirs, ours in _EMBEDDING]),
        *_image_layers(),
        *_co_layers(),
        *pairs([("t_pooler.dense", "text_pooler"), ("v_pooler.dense", "image_pooler")]),
        *_heads(),
    ),
    fields=_SHAPE,
    accepted={
        "model": "bert",
        "visual_target": 0,
        "with_coattention": True,
        "dynamic_attention": False,
        "in_batch_pairs": False,
        "fast_mode": False,
        "task_specific_tokens": False,
    },
    # Their code declares these projections and computes nothing with them.
    dropped=tuple(f"encoder.c_layer.*.biOutput.q_dense{number}.{kind}" for number in (1, 2) for kind in ("weight", "bias")),
    # What their code never reads, what matters to their training alone, and what it shows.
    harmless=(
        *("pooling_method", "bi_attention_type", "bi_intermediate_size", "v_initializer_range"),
        *("objective", "num_negative", "fixed_v_layer", "fixed_t_layer", "visualization"),
    ),
    told_by=("v_feature_size", "bi_hidden_size"),
    generates=False,
    stacks={"blocks": "layers", "image_blocks": "image_layers"},
)

OURS = replace(
    THEIRS,
    model_type="gyebo-vilbert",
    architectures=(Architecture("GyeboForAlignment"),),
    weights=(
        *pairs([(f"v_embeddings.{theirs}", f"image_embedding.{ours}") for theirs, ours in _PIXELS]),
        *THEIRS.weights,
    ),
    fields=(
        *(replace(entry, values=_MORE_ACTIVATIONS) if entry.values is _ACTIVATIONS else entry for entry in _SHAPE),
        *_OWN_FIELDS,
    ),
    accepted={},
    dropped=(),
    harmless=(),
    told_by=(),
)

FORMATS = (OURS, THEIRS)
