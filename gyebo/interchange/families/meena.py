"""Meena's names. Its weights were never released, and `transformers` has no Evolved Transformer: directories are gyebo's own,
with the words that encoder-decoders have there."""

from __future__ import annotations

from gyebo.interchange.format import Architecture, Field, Format, Names, Weight, pairs

_Table = dict[Names, str]  # their names within a block: ours; each has a weight, most have a bias


def _self_attention(theirs: str, ours: str) -> _Table:
    return {tuple(f"{theirs}.{part}_proj" for part in "qkv"): f"{ours}.qkv", f"{theirs}.out_proj": f"{ours}.out"}


def _source_attention(theirs: str, ours: str) -> _Table:
    joined: Names = tuple(f"{theirs}.{part}_proj" for part in "kv")
    return {f"{theirs}.q_proj": f"{ours}.query", joined: f"{ours}.key_value", f"{theirs}.out_proj": f"{ours}.out"}


def _separable(name: str) -> _Table:
    steps = {"depthwise": "depthwise.kernel", "pointwise": "pointwise"}
    return {f"convolutions.{name}.{theirs}": f"convolutions.{name}.{ours}" for theirs, ours in steps.items()}


_BOTH: _Table = {
    **_self_attention("self_attn", "attention"),
    "self_attn_layer_norm": "attention_residual.norm",
    "convolutions.layer_norm": "convolutions.norm",
    "convolutions_layer_norm": "convolutions_residual.norm",
    "fc1": "mlp.up",
    "fc2": "mlp.down",
    "final_layer_norm": "mlp_residual.norm",
}
_ENCODER: _Table = {
    **_BOTH,
    ("glu.value", "glu.gate"): "gate.value_gate",
    "glu_layer_norm": "gate_residual.norm",
    "convolutions.dense": "convolutions.dense",
    "convolutions.near": "convolutions.near.kernel",
    **_separable("far"),
}
_DECODER: _Table = {
    **_BOTH,
    **_self_attention("wide_attn", "wide_attention"),
    **_source_attention("wide_encoder_attn", "beside_attention"),
    "wide_attn_layer_norm": "wide_residual.norm",
    **_separable("left"),
    **_separable("right"),
    **_separable("last"),
    **_source_attention("encoder_attn", "source_attention"),
    "encoder_attn_layer_norm": "source_residual.norm",
    "fc_layer_norm": "mlp.norm",
}


def _block(stack: str, names: _Table) -> tuple[Weight, ...]:
    """The tensors of the blocks of a stack."""

    def placed(theirs: Names) -> Names:
        start = f"{stack}.layers.*."
        return start + theirs if isinstance(theirs, str) else tuple(start + name for name in theirs)

    return pairs([(placed(theirs), f"{stack}.*.{ours}") for theirs, ours in names.items()])


FORMAT = Format(
    family="meena",
    model_type="gyebo-meena",
    architectures=(Architecture("GyeboForConditionalGeneration"),),
    base="model.",
    weights=(
        Weight("shared.weight", "token_embedding.weight"),
        *_block("encoder", _ENCODER),
        *_block("decoder", _DECODER),
        *pairs([(f"{stack}.layer_norm", f"{stack}_norm") for stack in ("encoder", "decoder")]),
        Weight("lm_head.weight", "lm_head.weight", head=True),
    ),
    fields=(
        Field("vocab_size", "vocab_size", "count", 8192),
        Field("max_position_embeddings", "context", "count", 128),
        Field("d_model", "width", "count", 2560),
        Field("encoder_layers", "layers", "count", 1),
        Field("decoder_layers", "decoder_layers", "count", 13),
        Field("attention_heads", "heads", "count", 32),
        Field("dropout", "residual_dropout", "share", 0.1),
        Field("attention_dropout", "attention_dropout", "share", 0.1),
        Field("layer_norm_eps", "norm_eps", "number", 1e-6),
        Field("pad_token_id", "pad_id", "id"),
        Field("bos_token_id", "bos_id", "id"),
        Field("eos_token_id", "eos_id", "id"),
        Field("decoder_start_token_id", "start_id", "id", instead=lambda config: config.first_id),
    ),
    written={"is_encoder_decoder": True},
    stacks={"encoder": "layers", "decoder": "decoder_layers"},
)

FORMATS = (FORMAT,)
