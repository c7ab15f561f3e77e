"""Names of Transformer-XL: those of `TransfoXLLMHeadModel`, which `transformers` had up to 4.57; directories that are
written are gyebo's own, with the same names of tensors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from gyebo.interchange.format import Architecture, Field, Format, Weight, pairs
from gyebo.interchange.hooks import LazyTensor, OptionHook, Options, TensorHook, Tensors

_SHARED = {"r_w_bias": "content_bias", "r_r_bias": "position_bias"}
_NUMBERED = (  # of each cluster
    Weight("word_emb.emb_layers.*.weight", "token_embedding.tables.*.weight"),
    Weight("word_emb.emb_projs.*", "token_embedding.projections.*"),
    *pairs([("crit.out_layers.*", "lm_head.layers.*")], head=True),
    Weight("crit.out_projs.*", "lm_head.projections.*", head=True),
    Weight("crit.cluster_weight", "lm_head.clusters.weight", head=True),
    Weight("crit.cluster_bias", "lm_head.clusters.bias", head=True),
)


def _once(tensors: Tensors, options: Options) -> dict[str, LazyTensor]:
    """Their files have biases that all layers share once more in each layer. One that differs stays, and is refused as a tensor
    without a place."""
    if options["separate_biases"]:
        return dict(tensors)

    def repeated(name: str) -> bool:
        first = name.rpartition(".")[2]
        return (
            name != first and first in _SHARED and first in tensors and torch.equal(tensors[name].read(), tensors[first].read())
        )

    return {name: tensor for name, tensor in tensors.items() if not repeated(name)}


def _to_ours(options: Options) -> dict[str, Any]:
    """Their tie_projs is a list over the clusters, of which the first is never tied; a clamp below 1 is none."""
    first, *others = options["tied_projections"] or [False, *[True] * len(options["cutoffs"])]
    if first or len(set(others)) > 1:
        raise ValueError(
            f"tie_projs must be false for the first cluster and one value for all others, but is {[first, *others]}"
        )
    return {**options, "tied_projections": all(others), "clamp": max(0, options["clamp"])}


def _to_theirs(options: Options) -> dict[str, Any]:
    tied = [False, *[options["tied_projections"]] * len(options["cutoffs"])]
    return {**options, "tied_projections": tied}


THEIRS = Format(
    family="transformer_xl",
    model_type="transfo-xl",
    architectures=(
        Architecture("TransfoXLLMHeadModel"),
        Architecture(
            "TransfoXLForSequenceClassification",
            kind="classification",
            weights=(Weight("score.weight", "head.out.weight", head=True),),
            dropout_default=0.0,
        ),
    ),
    base="transformer.",
    weights=(
        *_NUMBERED,
        *(Weight(theirs, ours) for theirs, ours in _SHARED.items()),
        *(Weight(f"layers.*.dec_attn.{theirs}", f"blocks.*.attention.{ours}") for theirs, ours in _SHARED.items()),
        Weight("layers.*.dec_attn.qkv_net.weight", "blocks.*.attention.qkv.weight"),
        Weight("layers.*.dec_attn.r_net.weight", "blocks.*.attention.position.weight"),
        Weight("layers.*.dec_attn.o_net.weight", "blocks.*.attention.out.weight"),
        *pairs([("layers.*.dec_attn.layer_norm", "blocks.*.attention_residual.norm")]),
        *pairs([("layers.*.pos_ff.CoreNet.0", "blocks.*.mlp.up"), ("layers.*.pos_ff.CoreNet.3", "blocks.*.mlp.down")]),
        *pairs([("layers.*.pos_ff.layer_norm", "blocks.*.mlp_residual.norm")]),
    ),
    fields=(
        Field("vocab_size", "vocab_size", "count", 267_735, aliases=("n_token",)),
        Field("cutoffs", "cutoffs", "counts", (20_000, 40_000, 200_000)),
        Field("d_model", "width", "count", 1024, aliases=("hidden_size",)),
        Field("d_embed", "embedding_width", "count", 1024),
        Field("n_layer", "layers", "count", 18, aliases=("num_hidden_layers",)),
        Field("n_head", "heads", "count", 16, aliases=("num_attention_heads",)),
        Field("d_head", "head_width", "count", 64),
        Field("d_inner", "inner", "count", 4096),
        Field("div_val", "division", "count", 4),
        Field("mem_len", "memory", "natural", 1600),
        Field("clamp_len", "clamp", "integer", 1000),
        Field("same_length", "same_length", "flag", True),
        Field("untie_r", "separate_biases", "flag", True),
        Field("pre_lnorm", "pre_norm", "flag", False),
        Field("dropout", "dropout", "share", 0.1),
        Field("dropatt", "attention_dropout", "share", 0.0),
        Field("layer_norm_epsilon", "norm_eps", "number", 1e-5),
        Field("init_std", "init_std", "number", 0.02),
        Field("tie_word_embeddings", "tied", "flag", True),
        Field("tie_projs", "tied_projections", "flags", optional=True),
        Field("pad_token_id", "pad_id", "id"),
        Field("bos_token_id", "bos_id", "id"),
        Field("eos_token_id", "eos_id", "id", 0),
    ),
    written={"attn_type": 0, "adaptive": True, "sample_softmax": -1},
    dropped=("pos_emb.inv_freq",),
    harmless=("init", "init_range", "proj_init_std", "proj_share_all_but_first", "trainer_compatible"),
    tensors=TensorHook(to_ours=_once),
    options=OptionHook(_to_theirs, _to_ours),
)

OURS = replace(
    THEIRS,
    model_type="gyebo-transformer_xl",
    architectures=(Architecture("GyeboForCausalLM"),),
    base="",
    fields=(
        Field("vocab_size", "vocab_size", "count", 267_735),
        Field("max_position_embeddings", "context", "count", 16_384),
        Field("window_size", "window", "count", 150),
        Field("memory_length", "memory", "natural", 150),
        Field("hidden_size", "width", "count", 410),
        Field("num_hidden_layers", "layers", "count", 16),
        Field("num_attention_heads", "heads", "count", 10),
        Field("head_dim", "head_width", "count", 41),
        Field("intermediate_size", "inner", "count", 2100),
        Field("hidden_act", "activation", "word", "relu"),
        Field("embedding_size", "embedding_width", "count", optional=True),
        Field("cutoffs", "cutoffs", "counts", ()),
        Field("div_val", "division", "count", 1),
        Field("clamp_len", "clamp", "natural", 0),
        Field("same_length", "same_length", "flag", False),
        Field("untie_r", "separate_biases", "flag", False),
        Field("pre_norm", "pre_norm", "flag", False),
        Field("dropout", "dropout", "share", 0.1),
        Field("attention_dropout", "attention_dropout", "share", 0.0),
        Field("layer_norm_eps", "norm_eps", "number", 1e-5),
        Field("initializer_range", "init_std", "number", 0.02),
        Field("tie_word_embeddings", "tied", "flag", True),
        Field("tie_projections", "tied_projections", "flag", True),
        Field("pad_token_id", "pad_id", "id"),
        Field("bos_token_id", "bos_id", "id"),
        Field("eos_token_id", "eos_id", "id"),
    ),
    written={},
    harmless=(),
    tensors=TensorHook(),
    options=OptionHook(),
)

FORMATS = (OURS, THEIRS)
