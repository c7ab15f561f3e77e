"""T5's names: `T5ForConditionalGeneration` and its relatives of `transformers`, and the same classes of mT5.

How `transformers` tells version 1.1 from 1.0 has changed. Up to 4.57 `tie_word_embeddings: false` means an output layer of its
own and an undivided output. From 5 on `scale_decoder_outputs` says the latter, `tie_word_embeddings` is true for all, and an
output layer that differs from the embedding is kept. So what is read are that field, where it stands, and the weights;
what is written both understand.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from gyebo.interchange.families.bert import ACTIVATIONS
from gyebo.interchange.format import Architecture, Field, Format, Weight, head_layers
from gyebo.interchange.hooks import OptionHook, Options, TensorHook, Tensors

_HEAD, _SHARED = "lm_head.weight", "shared.weight"
_COPIES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


def _start(config: Any) -> int:
    """The id with which the decoder begins."""
    return config.first_id


def _weights() -> tuple[Weight, ...]:
    rows = [Weight(_SHARED, "token_embedding.weight")]
    for stack in ("encoder", "decoder"):
        part = "decoder" if stack == "decoder" else None
        last = 2 if part else 1

        def layer(number: int, theirs: str | tuple[str, ...], ours: str) -> Weight:
            before = f"{stack}.block.*.layer.{number}."  # noqa: B023 (called in this turn of the loop)
            names = tuple(f"{before}{name}.weight" for name in ((theirs,) if isinstance(theirs, str) else theirs))
            return Weight(names[0] if len(names) == 1 else names, f"{stack}.*.{ours}.weight", part=part)  # noqa: B023

        first = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        rows += [
            Weight(first, f"{stack}_bias.weight", part=part),
            layer(0, "layer_norm", "attention_norm"),
            layer(0, tuple(f"SelfAttention.{name}" for name in "qkv"), "attention.qkv"),
            layer(0, "SelfAttention.o", "attention.out"),
            layer(last, "layer_norm", "mlp_norm"),
            layer(last, "DenseReluDense.wi", "mlp.up"),
            layer(last, ("DenseReluDense.wi_0", "DenseReluDense.wi_1"), "mlp.gate_up"),
            layer(last, "DenseReluDense.wo", "mlp.down"),
            Weight(f"{stack}.final_layer_norm.weight", f"{stack}_norm.weight", part=part),
        ]
        if part:
            rows += [
                layer(1, "layer_norm", "source_norm"),
                layer(1, "EncDecAttention.q", "source_attention.query"),
                layer(1, ("EncDecAttention.k", "EncDecAttention.v"), "source_attention.key_value"),
                layer(1, "EncDecAttention.o", "source_attention.out"),
            ]
    return (*rows, Weight(_HEAD, "lm_head.weight", head=True, part="untied"))


# "gelu" is the exact form, but in a gated network the tanh form.
_GATED = {"gated-gelu": "gated-gelu_tanh"} | {
    f"gated-{theirs}": f"gated-{ours}" for theirs, ours in ACTIVATIONS.items() if theirs != "gelu"
}


def _fields(**defaults: Any) -> tuple[Field, ...]:
    fields = (
        Field("vocab_size", "vocab_size", "count", 32_128),
        Field("n_positions", "context", "count", 512),
        Field("d_model", "width", "count", 512, aliases=("hidden_size",)),
        Field("d_kv", "head_width", "count", 64, aliases=("head_dim",)),
        Field("d_ff", "inner", "count", 2048),
        Field("num_layers", "layers", "count", 6, aliases=("num_hidden_layers",)),
        Field("num_decoder_layers", "decoder_layers", "count", optional=True),
        Field("num_heads", "heads", "count", 8, aliases=("num_attention_heads",)),
        Field("relative_attention_num_buckets", "buckets", "count", 32),
        Field("relative_attention_max_distance", "farthest", "count", 128),
        Field("dropout_rate", "dropout", "share", 0.1),
        Field("layer_norm_epsilon", "norm_eps", "number", 1e-6),
        Field("feed_forward_proj", "activation", "word", "relu", values={**ACTIVATIONS, **_GATED}),
        Field("is_encoder_decoder", "decoder", "flag", True),
        Field("tie_word_embeddings", "tied", "flag", True),
        Field("pad_token_id", "pad_id", "id", 0),
        Field("bos_token_id", "bos_id", "id"),
        Field("eos_token_id", "eos_id", "id", 1),
        Field("decoder_start_token_id", "start_id", "id", instead=_start),
    )
    return tuple(replace(field, default=defaults.get(field.theirs, field.default)) for field in fields)


def _to_theirs(options: Options) -> dict[str, Any]:
    """Up to 4.57 an undivided output is told by `tie_word_embeddings`."""
    theirs = {name: value for name, value in options.items() if name != "gated"}
    gate = "gated-" if options["gated"] else ""
    return theirs | {"activation": gate + options["activation"], "tied": options["divided"]}


def _to_ours(options: Options) -> dict[str, Any]:
    """Whether the output layer is tied, the weights say."""
    ours = {name: value for name, value in options.items() if name != "tied"}
    ours["decoder_layers"] = ours["decoder_layers"] or ours["layers"]
    ours["gated"] = ours["activation"].startswith("gated-")
    ours["activation"] = ours["activation"].removeprefix("gated-")
    if ours.get("divided") is None:
        ours["divided"] = options["tied"]
    return ours


def _with_head(tensors: Tensors, options: Options) -> Tensors:
    """Up to 4.57 the output layer has to stand in the file where `tie_word_embeddings` is false, even if it is tied; beside a
    task's head there is none."""
    body = all(name.startswith(("shared.", "encoder.", "decoder.")) for name in tensors)
    if options["divided"] or not options["decoder"] or not body:
        return tensors
    return {**tensors, _HEAD: tensors[_SHARED]}


def _without_copies(tensors: Tensors, options: Options) -> Tensors:
    """The embedding may be stored once more for each stack, which nobody reads; an output layer that equals it is tied."""
    ours = {name: tensor for name, tensor in tensors.items() if name not in _COPIES}
    if _HEAD in ours and _SHARED in ours:
        head, shared = ours[_HEAD].read(), ours[_SHARED].read()
        if head.shape == shared.shape and head.dtype == shared.dtype and torch.equal(head, shared):
            del ours[_HEAD]
    return ours


def _classes(prefix: str) -> tuple[Architecture, ...]:
    """The first that fits is written; the last name is one of years ago."""
    names = ("ForConditionalGeneration", "Model", "WithLMHeadModel")
    whole = (Architecture(prefix + name, ("decoder",), bare=True) for name in names)
    dense = head_layers(dense="classification_head.dense", out="classification_head.out_proj")
    heads = (
        Architecture("SequenceClassification", ("decoder",), kind="classification", weights=dense),
        Architecture("TokenClassification", kind="tagging", weights=head_layers(out="classifier")),
        Architecture("QuestionAnswering", ("decoder",), bare=True, kind="spans", weights=head_layers(out="qa_outputs")),
    )
    tuned = (replace(entry, name=f"{prefix}For{entry.name}", dropout_default=0.0) for entry in heads)
    return (*whole, Architecture(f"{prefix}EncoderModel", bare=True), *tuned)


FORMAT = Format(
    family="t5",
    model_type="t5",
    architectures=_classes("T5"),
    base="transformer.",
    weights=_weights(),
    fields=(*_fields(), Field("scale_decoder_outputs", "divided", "flag", optional=True)),
    dropped=("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",),
    harmless=("dense_act_fn", "is_gated_act", "initializer_factor", "classifier_dropout", "output_past"),
    stacks={"encoder": "layers", "decoder": "decoder_layers"},
    tensors=TensorHook(_with_head, _without_copies),
    options=OptionHook(_to_theirs, _to_ours),
)

MT5 = replace(
    FORMAT,
    model_type="mt5",
    architectures=_classes("MT5"),
    fields=_fields(vocab_size=250_112, num_layers=8, num_heads=6, d_ff=1024, feed_forward_proj="gated-gelu"),
    fixed={"divided": False, "multilingual": True},
)

FORMATS = (FORMAT, MT5)
