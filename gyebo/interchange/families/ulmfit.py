"""ULMFiT: the tensors of fastai's AWD-LSTM language model, as its state dict names them, and a `config.json` of ours.

`fastai` writes no config; its words for one (`emb_sz`, `n_hid`, ...) are read too.
"""

from __future__ import annotations

import torch

from gyebo.interchange.format import Architecture, Field, Format, Weight, pairs
from gyebo.interchange.hooks import LazyTensor, Options, TensorHook, Tensors

_LAYER = ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0")

# The head of fastai's text classifier: norm, dropout, linear layer, ReLU; norm, dropout, linear layer.
_CONCAT = (
    *pairs([("1.layers.0.0", "head.norm"), ("1.layers.1.0", "head.norm_out")], head=True),
    *(
        Weight(f"1.layers.{number}.0.{name}", f"head.{norm}.{name}", head=True)
        for number, norm in enumerate(("norm", "norm_out"))
        for name in ("running_mean", "running_var")
    ),
    Weight("1.layers.0.2.weight", "head.dense.weight", head=True),
    Weight("1.layers.1.2.weight", "head.out.weight", head=True),
    Weight("ngrams.**", "ngrams.**", head=True),
)

_TABLE, _OUTPUT = "encoder.weight", "1.decoder.weight"


def _repeat_tied(tensors: Tensors, options: Options) -> dict[str, LazyTensor]:
    """`load_state_dict` of fastai's model misses a tied tensor that does not stand in the file under both names."""
    return {**tensors, _OUTPUT: tensors[_TABLE]} if options["tied"] else dict(tensors)


def _drop_repeat(tensors: Tensors, options: Options) -> dict[str, LazyTensor]:
    """One that differs stays, and is refused where tied tensors are compared."""
    repeated = options["tied"] and {_TABLE, _OUTPUT} <= tensors.keys()
    if repeated and torch.equal(tensors[_TABLE].read(), tensors[_OUTPUT].read()):
        return {name: tensor for name, tensor in tensors.items() if name != _OUTPUT}
    return dict(tensors)


FORMAT = Format(
    family="ulmfit",
    model_type="gyebo-ulmfit",
    architectures=(
        Architecture("GyeboForCausalLM"),
        Architecture("GyeboForSequenceClassification", kind="classification", weights=_CONCAT),
    ),
    base="0.",
    weights=(
        Weight(_TABLE, "token_embedding.weight", copies=("encoder_dp.emb.weight",)),
        Weight("rnns.*.weight_hh_l0_raw", "blocks.*.weight_hh_l0"),
        *(Weight(f"rnns.*.module.{name}", f"blocks.*.{name}") for name in _LAYER),
        Weight(_OUTPUT, "lm_head.weight", head=True),
        Weight("1.decoder.bias", "lm_head.bias", head=True),
    ),
    fields=(
        Field("vocab_size", "vocab_size", "count", 30_002, aliases=("vocab_sz",)),
        Field("max_position_embeddings", "context", "count", 1024),
        Field("window_size", "window", "count", 70, aliases=("bptt",)),
        Field("hidden_size", "width", "count", 400, aliases=("emb_sz",)),
        Field("intermediate_size", "inner", "count", 1150, aliases=("n_hid",)),
        Field("num_hidden_layers", "layers", "count", 3, aliases=("n_layers",)),
        Field("embedding_dropout", "embedding_dropout", "share", 0.05, aliases=("embed_p",)),
        Field("input_dropout", "input_dropout", "share", 0.4, aliases=("input_p",)),
        Field("hidden_dropout", "hidden_dropout", "share", 0.3, aliases=("hidden_p",)),
        Field("output_dropout", "output_dropout", "share", 0.4, aliases=("output_p",)),
        Field("weight_dropout", "weight_dropout", "share", 0.5, aliases=("weight_p",)),
        Field("initializer_range", "init_std", "number", 0.05),
        Field("tie_word_embeddings", "tied", "flag", True, aliases=("tie_weights",)),
        Field("pad_token_id", "pad_id", "id", aliases=("pad_token",)),
        Field("bos_token_id", "bos_id", "id"),
        Field("eos_token_id", "eos_id", "id"),
    ),
    # Of older files: the recurrent matrix as dropout left it in the last pass, which is not what was learned.
    dropped=("rnns.*.module.weight_hh_l0",),
    harmless=("out_bias",),  # the tensors say whether there is one
    tensors=TensorHook(_repeat_tied, _drop_repeat),
)

FORMATS = (FORMAT,)
