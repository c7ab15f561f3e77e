"""XLNet's names: `XLNetLMHeadModel`, `XLNetModel` and the classes of its tasks in `transformers`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from gyebo.interchange.families.bert import ACTIVATIONS, inner_width
from gyebo.interchange.format import Architecture, Field, Format, Weight, head_layers, pairs
from gyebo.interchange.hooks import LazyTensor, OptionHook, Options, TensorHook, Tensors

# Their matrices of the attention are [D, H, K], ours [D, H*K]; their vector of the query stream is [1, 1, D], ours [D].
MATRICES = tuple(f".rel_attn.{name}" for name in "qkvor")
QUERY_VECTOR = "mask_emb"

# What only `transformers`' beam search over answers, its generation and old scripts read, or what is always so.
HARMLESS = ("end_n_top", "start_n_top", "reuse_len", "use_mems_eval", "use_mems_train", "use_mems", "untie_r")
ENDS = ("bos_id", "eos_id")
SUMMARY = {"summary_type": "last", "summary_use_proj": True, "summary_activation": "tanh"}


def _matrices(tensors: Tensors, change: Callable[[Tensor], Tensor], vector: Callable[[Tensor], Tensor]) -> Tensors:
    def changed(name: str, tensor: LazyTensor) -> LazyTensor:
        if name.endswith(MATRICES):
            return tensor.map(change)
        return tensor.map(vector) if name == QUERY_VECTOR else tensor

    return {name: changed(name, tensor) for name, tensor in tensors.items()}


def _to_theirs(tensors: Tensors, options: Options) -> Tensors:
    return _matrices(tensors, lambda x: x.unflatten(1, (options["heads"], -1)), lambda x: x[None, None])


def _to_ours(tensors: Tensors, options: Options) -> Tensors:
    return _matrices(tensors, lambda x: x.flatten(1), lambda x: x.flatten())


def _options_to_theirs(options: Options) -> dict[str, Any]:
    ends = dict.fromkeys(ENDS)
    return {**options, **ends, "clamp": options["clamp"] or -1, "memory": options["memory"] or None}


def _options_to_ours(options: Options) -> dict[str, Any]:
    """Their start and end tokens never stand in a text that XLNet learned from: nothing begins or ends with them here."""
    ours = {name: value for name, value in options.items() if name not in ENDS}
    return {**ours, "clamp": ours["clamp"] if ours["clamp"] > 0 else None, "memory": ours["memory"] or 0}


def _weights() -> tuple[Weight, ...]:
    theirs, ours = "layer.*.rel_attn.", "blocks.*.attention."
    return (
        Weight("word_embedding.weight", "token_embedding.weight"),
        Weight(QUERY_VECTOR, "query_vector"),
        Weight(f"{theirs}q", f"{ours}query.weight", transpose=True),
        Weight((f"{theirs}k", f"{theirs}v"), f"{ours}key_value.weight", transpose=True),
        Weight(f"{theirs}r", f"{ours}position.weight", transpose=True),
        Weight(f"{theirs}o", f"{ours}out.weight"),
        Weight(f"{theirs}r_w_bias", f"{ours}content_bias"),
        Weight(f"{theirs}r_r_bias", f"{ours}position_bias"),
        Weight(f"{theirs}r_s_bias", f"{ours}segment_bias"),
        Weight(f"{theirs}seg_embed", f"{ours}segments"),
        *pairs(
            [
                (f"{theirs}layer_norm", "blocks.*.attention_norm"),
                ("layer.*.ff.layer_1", "blocks.*.up"),
                ("layer.*.ff.layer_2", "blocks.*.down"),
                ("layer.*.ff.layer_norm", "blocks.*.mlp_norm"),
            ]
        ),
        *pairs([("lm_loss", "lm_head")], head=True, part="lm"),
    )


SUMMARISED = head_layers(dense="sequence_summary.summary", out="logits_proj")
DROPOUT = ("summary_last_dropout",)

FORMAT = Format(
    family="xlnet",
    model_type="xlnet",
    architectures=(
        Architecture("XLNetLMHeadModel", parts=("lm",)),
        Architecture("XLNetModel", bare=True),
        Architecture("XLNetForSequenceClassification", kind="classification", weights=SUMMARISED, dropout=DROPOUT),
        Architecture("XLNetForTokenClassification", kind="tagging", weights=head_layers(out="classifier"), dropout=DROPOUT),
        Architecture("XLNetForQuestionAnsweringSimple", kind="spans", weights=head_layers(out="qa_outputs"), dropout=DROPOUT),
        Architecture("XLNetForMultipleChoice", kind="choice", weights=SUMMARISED, dropout=DROPOUT),
    ),
    base="transformer.",
    weights=_weights(),
    fields=(
        Field("vocab_size", "vocab_size", "count", 32_000, aliases=("n_token",)),
        Field("context_length", "context", "count", 512),  # theirs has no limit, and no field for one
        Field("d_model", "width", "count", 1024, aliases=("hidden_size",)),
        Field("n_layer", "layers", "count", 24, aliases=("num_hidden_layers",)),
        Field("n_head", "heads", "count", 16, aliases=("num_attention_heads",)),
        Field("d_inner", "inner", "count", 4096, instead=inner_width),
        Field("ff_activation", "activation", "word", "gelu", values=ACTIVATIONS),
        *(Field("dropout", f"{place}_dropout", "share", 0.1) for place in ("embedding", "attention", "residual")),
        Field("layer_norm_eps", "norm_eps", "number", 1e-12),
        Field("initializer_range", "init_std", "number", 0.02),
        Field("tie_word_embeddings", "tied", "flag", True),
        Field("clamp_len", "clamp", "integer", -1),
        Field("mem_len", "memory", "natural", 512, optional=True),
        Field("pad_token_id", "pad_id", "id", 5),
        Field("bos_token_id", "bos_id", "id", 1),
        Field("eos_token_id", "eos_id", "id", 2),
    ),
    written={"attn_type": "bi", "bi_data": False, "same_length": False},
    accepted={**SUMMARY, "summary_first_dropout": 0.0, "summary_proj_to_labels": False},
    harmless=(*HARMLESS, "d_head", "summary_last_dropout"),
    tensors=TensorHook(_to_theirs, _to_ours),
    options=OptionHook(_options_to_theirs, _options_to_ours),
)

FORMATS = (FORMAT,)
