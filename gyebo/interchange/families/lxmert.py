"""LXMERT's names: `LxmertForPreTraining`, `LxmertForQuestionAnswering` and `LxmertModel` of `transformers`; directories of our
own for models that read pixels, for which it has no layers."""

from __future__ import annotations

from dataclasses import replace

from gyebo.interchange.families.bert import OLD_NORMS, body_weights, size_fields
from gyebo.interchange.format import Architecture, Field, Format, Names, Weight, head_layers, pairs

_LAYER = (
    ("attention.output.dense", "attention.out"),
    ("attention.output.LayerNorm", "attention_norm"),
    ("intermediate.dense", "mlp.up"),
    ("output.dense", "mlp.down"),
    ("output.LayerNorm", "mlp_norm"),
)
_QKV = ("query", "key", "value")


def _region_layers() -> tuple[Weight, ...]:
    theirs, ours = "encoder.r_layers.*.", "region_blocks.*."
    joined = (tuple(f"{theirs}attention.self.{name}" for name in _QKV), f"{ours}attention.qkv")
    return pairs([joined, *((theirs + name, ours + own) for name, own in _LAYER)])


def _cross_layers() -> tuple[Weight, ...]:
    theirs, ours = "encoder.x_layers.*.", "cross_blocks.*."
    found: list[tuple[Names, str]] = [
        (tuple(f"{theirs}visual_attention.att.{name}" for name in _QKV), f"{ours}qkv"),
        (f"{theirs}visual_attention.output.dense", f"{ours}out"),
        (f"{theirs}visual_attention.output.LayerNorm", f"{ours}norm"),
    ]
    for side, name in (("lang", "words"), ("visn", "regions")):
        found += [
            (tuple(f"{theirs}{side}_self_att.self.{part}" for part in _QKV), f"{ours}{name}.attention.qkv"),
            (f"{theirs}{side}_self_att.output.dense", f"{ours}{name}.attention.out"),
            (f"{theirs}{side}_self_att.output.LayerNorm", f"{ours}{name}.attention_norm"),
            (f"{theirs}{side}_inter.dense", f"{ours}{name}.mlp.up"),
            (f"{theirs}{side}_output.dense", f"{ours}{name}.mlp.down"),
            (f"{theirs}{side}_output.LayerNorm", f"{ours}{name}.mlp_norm"),
        ]
    return pairs(found)


def _heads() -> tuple[Weight, ...]:
    transform = (("dense", "dense"), ("LayerNorm", "norm"))
    words = [(f"cls.predictions.transform.{theirs}", f"mlm_head.{ours}") for theirs, ours in transform]
    regions = [(f"obj_predict_head.transform.{theirs}", f"region_head.{ours}") for theirs, ours in transform]
    answers = zip(("0", "2", "3"), ("dense", "norm", "decoder"))
    decoders = {"obj": "object", "attr": "attribute", "feat": "feature"}
    return (
        *pairs(words, head=True, part="mlm"),
        Weight("cls.predictions.decoder.weight", "mlm_head.decoder.weight", head=True, part="mlm"),
        Weight("cls.predictions.bias", "mlm_head.decoder.bias", head=True, part="mlm"),
        *pairs([("cls.seq_relationship", "match_head")], head=True, part="match"),
        *pairs(regions, head=True, part="region_head"),
        *(
            weight
            for theirs, ours in decoders.items()
            for weight in pairs(
                [(f"obj_predict_head.decoder_dict.{theirs}", f"region_head.decoders.{ours}")], head=True, part=ours
            )
        ),
        *pairs([(f"answer_head.logit_fc.{n}", f"answer_head.{name}") for n, name in answers], head=True, part="answer"),
    )


_ANSWER_LAYERS = (("0", "dense"), ("2", "norm"), ("3", "out"))  # of a fine-tuned model
_EMBEDDING = (("visn_fc", "feature"), ("visn_layer_norm", "feature_norm"), ("box_fc", "box"), ("box_layer_norm", "box_norm"))
_PIXELS = (("visn_fc.convolutions.*", "feature.convolutions.*"), ("visn_fc.out", "feature.out"))  # none of theirs
_ABSENT = ("num_hidden_layers", "layer_norm_eps")  # fields of BERT that LXMERT has in another form, or not

FIELDS = (
    *(entry for entry in size_fields(30_522) if entry.theirs not in _ABSENT),
    Field("max_position_embeddings", "context", "count", 512),
    Field("l_layers", "layers", "count", 9),
    Field("r_layers", "region_layers", "count", 5),
    Field("x_layers", "cross_layers", "count", 5),
    Field("visual_feat_dim", "feature_size", "count", 2048),
    Field("visual_pos_dim", "box_size", "count", 4),
    Field("num_object_labels", "objects", "count", 1600),
    Field("num_attr_labels", "attributes", "count", 400),
    Field("num_qa_labels", "answers", "count", 9500),
    Field("task_obj_predict", "region_head", "flag", True),
    Field("task_qa", "answer", "flag", True),
    Field("visual_obj_loss", "object", "flag", True),
    Field("visual_attr_loss", "attribute", "flag", True),
    Field("visual_feat_loss", "feature", "flag", True),
    Field("pad_token_id", "pad_id", "id"),
    Field("bos_token_id", "bos_id", "id"),
    Field("eos_token_id", "eos_id", "id"),
)

FORMAT = Format(
    family="lxmert",
    model_type="lxmert",
    architectures=(
        Architecture("LxmertForPreTraining", parts=("mlm", "match", "pooler")),
        Architecture(  # before the next, which is a pretrained model with its answers: fine-tuned ones have names
            "LxmertForQuestionAnswering",
            ("pooler",),
            kind="visual-classification",
            weights=head_layers(**{ours: f"answer_head.logit_fc.{number}" for number, ours in _ANSWER_LAYERS}),
            told_by="id2label",
            counted="num_qa_labels",
        ),
        Architecture("LxmertForQuestionAnswering", parts=("answer", "pooler")),
        Architecture("LxmertModel", parts=("pooler",), bare=True),
    ),
    base="lxmert.",
    weights=(
        *body_weights(),
        *pairs([(f"encoder.visn_fc.{theirs}", f"region_embedding.{ours}") for theirs, ours in _EMBEDDING]),
        *_region_layers(),
        *_cross_layers(),
        *_heads(),
    ),
    fields=FIELDS,
    # What of their losses is on, and their weight; and the numbers of layers once more.
    harmless=("task_matched", "task_mask_lm", "visual_loss_normalizer", "num_hidden_layers", "classifier_dropout"),
    renamed=OLD_NORMS,
    generates=False,
    stacks={"blocks": "layers", "region_blocks": "region_layers", "cross_blocks": "cross_layers"},
)

OWN = replace(
    FORMAT,
    model_type="gyebo-lxmert",
    architectures=(Architecture("GyeboForCrossModality"),),
    weights=(
        *pairs([(f"encoder.visn_fc.{theirs}", f"region_embedding.{ours}") for theirs, ours in _PIXELS]),
        *FORMAT.weights,
    ),
    fields=(
        *FIELDS,
        Field("visual_crop", "crop", "count", optional=True),
        Field("layer_norm_eps", "norm_eps", "number", 1e-12),
    ),
    harmless=(),
    renamed={},
)

FORMATS = (FORMAT, OWN)
