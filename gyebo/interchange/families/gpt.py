"""GPT's names: `OpenAIGPTLMHeadModel` of `transformers`."""

from __future__ import annotations

from typing import Any

from gyebo.interchange.format import Architecture, Field, Format, Weight
from gyebo.interchange.hooks import OptionHook, Options

ACTIVATIONS = {"gelu": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"}  # their "gelu" is the tanh form here

SUMMARY = (  # the head of DoubleHeads, which a language model has not
    "summary_type",
    "summary_use_proj",
    "summary_activation",
    "summary_proj_to_labels",
    "summary_first_dropout",
    "n_ctx",
)


def block_weights() -> tuple[Weight, ...]:
    """The tensors of a block, which GPT and GPT-2 name alike."""
    parts = {
        "ln_1": "attention_norm",
        "attn.c_attn": "attention.qkv",
        "attn.c_proj": "attention.out",
        "ln_2": "mlp_norm",
        "mlp.c_fc": "mlp.up",
        "mlp.c_proj": "mlp.down",
    }
    return tuple(
        Weight(f"h.*.{theirs}.{kind}", f"blocks.*.{ours}.{kind}", transpose=kind == "weight" and ".c_" in theirs)
        for theirs, ours in parts.items()
        for kind in ("weight", "bias")
    )


PREFIX = Field("gyebo_prefix", "prefix", "flag", False, own=True)


def size_fields(vocabulary: int, context: int) -> tuple[Field, ...]:
    """The fields that GPT and GPT-2 share, with the defaults of `transformers`."""
    return (
        Field("vocab_size", "vocab_size", "count", vocabulary),
        Field("n_positions", "context", "count", context, aliases=("max_position_embeddings",)),
        Field("n_embd", "width", "count", 768, aliases=("hidden_size",)),
        Field("n_layer", "layers", "count", 12, aliases=("num_hidden_layers",)),
        Field("n_head", "heads", "count", 12, aliases=("num_attention_heads",)),
        Field("embd_pdrop", "embedding_dropout", "share", 0.1),
        Field("attn_pdrop", "attention_dropout", "share", 0.1),
        Field("resid_pdrop", "residual_dropout", "share", 0.1),
        Field("layer_norm_epsilon", "norm_eps", "number", 1e-5),
        Field("initializer_range", "init_std", "number", 0.02),
        Field("tie_word_embeddings", "tied", "flag", True),
        Field("pad_token_id", "pad_id", "id"),
        PREFIX,
    )


def classifier(name: str) -> Architecture:
    """The class of fine-tuned models that GPT and GPT-2 share: a linear layer on the last token, without dropout."""
    score = Weight("score.weight", "head.out.weight", head=True)
    return Architecture(name, kind="classification", weights=(score,), dropout_default=0.0)


def _without_inner(options: Options) -> dict[str, Any]:
    """They have no field for the width of the feed-forward network, which is always what ours is where it is left out."""
    return {**options, "inner": None if options["inner"] == 4 * options["width"] else options["inner"]}


FORMAT = Format(
    family="gpt",
    model_type="openai-gpt",
    architectures=(
        Architecture("OpenAIGPTLMHeadModel"),
        Architecture("OpenAIGPTModel", bare=True),
        classifier("OpenAIGPTForSequenceClassification"),
    ),
    base="transformer.",
    weights=(
        Weight("tokens_embed.weight", "token_embedding.weight"),
        Weight("positions_embed.weight", "position_embedding.weight"),
        *block_weights(),
        Weight("lm_head.weight", "lm_head.weight", head=True),
    ),
    fields=(
        *size_fields(40_478, 512),
        Field("afn", "activation", "word", "gelu", values=ACTIVATIONS),
        Field("bos_token_id", "bos_id", "id"),
        Field("eos_token_id", "eos_id", "id"),
    ),
    dropped=("h.*.attn.bias", "position_ids"),
    harmless=(*SUMMARY, "n_special", "predict_special_tokens"),
    options=OptionHook(to_theirs=_without_inner),
)

FORMATS = (FORMAT,)
