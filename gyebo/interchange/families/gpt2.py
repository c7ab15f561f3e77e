"""GPT-2's names: `GPT2LMHeadModel` of `transformers`."""

from __future__ import annotations

from gyebo.interchange.families.gpt import SUMMARY, block_weights, classifier, size_fields
from gyebo.interchange.format import Architecture, Field, Format, Weight, head_layers

# Several of their names compute one function; the first of each is written.
ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}

FORMAT = Format(
    family="gpt2",
    model_type="gpt2",
    architectures=(
        Architecture("GPT2LMHeadModel"),
        Architecture("GPT2Model", bare=True),
        classifier("GPT2ForSequenceClassification"),
        Architecture("GPT2ForTokenClassification", kind="tagging", weights=head_layers(out="classifier")),
        Architecture("GPT2ForQuestionAnswering", kind="spans", weights=head_layers(out="qa_outputs")),
    ),
    base="transformer.",
    weights=(
        Weight("wte.weight", "token_embedding.weight"),
        Weight("wpe.weight", "position_embedding.weight"),
        *block_weights(),
        Weight("ln_f.weight", "final_norm.weight"),
        Weight("ln_f.bias", "final_norm.bias"),
        Weight("lm_head.weight", "lm_head.weight", head=True),
    ),
    fields=(
        *size_fields(50_257, 1024),
        Field("n_inner", "inner", "count", optional=True),
        Field("activation_function", "activation", "word", "gelu_new", values=ACTIVATIONS),
        Field("scale_attn_weights", "scale_attention", "flag", True),
        Field("scale_attn_by_inverse_layer_idx", "scale_attention_by_layer", "flag", False),
        Field("reorder_and_upcast_attn", "upcast_attention", "flag", False),
        Field("bos_token_id", "bos_id", "id", 50_256),
        Field("eos_token_id", "eos_id", "id", 50_256),
    ),
    written={"add_cross_attention": False},
    dropped=("h.*.attn.bias", "h.*.attn.masked_bias"),
    harmless=SUMMARY,
)

FORMATS = (FORMAT,)
