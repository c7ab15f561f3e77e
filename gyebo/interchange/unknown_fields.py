"""Fields of a `config.json` that no table knows: which are passed over, which are said, which are refused.

People write into their configs who made a model, when and of what; versions of `transformers` wrote fields for every model
alike. Neither computes. What might compute is refused, as a model that computes something else is worse than none, until the
user names it (`ignore=`, `--trust-config`).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from gyebo.config.trusted import PassedOver, trusted

# Fields of any `config.json` that do not change what a language model computes.
_GENERATION = """assistant_confidence_threshold assistant_lookbehind bad_words_ids begin_suppress_tokens decoder_start_token_id
diversity_penalty do_sample early_stopping encoder_no_repeat_ngram_size encoder_repetition_penalty epsilon_cutoff eta_cutoff
exponential_decay_length_penalty forced_bos_token_id forced_eos_token_id length_penalty max_length min_length
no_repeat_ngram_size num_assistant_tokens num_assistant_tokens_schedule num_beam_groups num_beams num_return_sequences
output_scores remove_invalid_values repetition_penalty return_dict_in_generate suppress_tokens target_lookbehind temperature
top_k top_p typical_p"""

_BOOKKEEPING = """architectures model_type transformers_version dtype torch_dtype torchscript use_bfloat16 name_or_path
_name_or_path _commit_hash _from_model_config attn_implementation _attn_implementation _attn_implementation_autoset
_attn_implementation_internal experts_implementation use_cache output_past output_attentions output_hidden_states return_dict
use_return_dict gradient_checkpointing chunk_size_feed_forward finetuning_task problem_type num_labels _num_labels id2label
label2id task_specific_params prefix tokenizer_class is_decoder cross_attention_hidden_size tie_encoder_decoder tf_legacy_loss
sep_token_id author license created_date"""

# Of early versions, of other programs that read the same file, and of the hub's cards.
_EARLIER = """eos_token_ids loss_type model_max_length transformers.js_config xla_device n_special predict_special_tokens
language languages tags task pipeline_tag library_name datasets base_model vocab_size_or_config_json_file bos_token eos_token
pad_token unk_token cls_token sep_token mask_token do_lower_case lowercase model_name _flash_attn_2_enabled onnx_config"""

HARMLESS = frozenset(f"{_GENERATION} {_BOOKKEEPING} {_EARLIER}".split())

# Words of names, as they are written between underscores.
_COMPUTE = """act activation adapter adapters alibi attention attn bias causal clamp conv cross decay dense dilation
dropout embed embedding embeddings eps expert experts ffn feedforward gate gated gelu glu head heads hidden init kernel
layer layers layernorm lora mask masks mlp moe norm normalization normalize pool pooler pooling pos position positional
positions prune pruned quant quantization quantize query relu residual rope rotary router scale scaling sharing shared
skip softcap softmax sparse stride tie tied token tokens topk weight weights window windows"""
_DESCRIBE = """about accuracy author authors citation comment comments commit contact contributors copyright corpora
corpus created creator dataset date description developer doi email epoch epochs f1 framework github hash homepage info
license maintainer metadata metrics note notes organization paper performance reference references release revision
score seed source steps summary time timestamp train trained trainer training updated url version website"""
_COMPUTING, _DESCRIBING = frozenset(_COMPUTE.split()), frozenset(_DESCRIBE.split())


def check_unknown(given: Mapping[str, Any], known: Collection[str], ignore: Iterable[str], kind: str, where: str) -> None:
    """Go through the fields that are not `known`: ValueError naming one that might compute, a warning for those that describe.

    `ignore`: names to pass over, beside those that are trusted now; ValueError for one that gyebo reads or that is not there.
    """
    if isinstance(ignore, str):
        raise ValueError(f"ignore: got one string; give a list of names, as [{ignore!r}]")
    asked = frozenset(ignore)
    for name in sorted((asked | trusted()) & set(known)):
        raise ValueError(f"{where}: ignore: {name} is a field that gyebo reads, so it cannot be passed over")
    described = []
    for name in sorted(given.keys() - set(known) - HARMLESS - asked - trusted()):
        value = given[name]
        if off(value):
            continue
        if _computes(name, value):
            raise ValueError(
                f"{where}: the field {name} = {short(value)} is unknown for {kind} and might change the model: if it does not, "
                f"say so with ignore=[{name!r}] in gyebo.load or --trust-config {name} on the command line"
            )
        described.append(f"{name} = {short(value)}")
    for name in sorted(asked - given.keys()):
        raise ValueError(f"{where}: ignore: there is no field {name} in it")
    if described:
        warnings.warn(f"{where}: not known to gyebo and passed over: {', '.join(described)}", PassedOver, stacklevel=2)


def _computes(name: str, value: Any) -> bool:
    """Whether a field may change what is computed: what it is called says so, or it is a number or a structure and nothing says
    that it describes."""
    words = set(re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
    if words & _COMPUTING:
        return True
    if words & _DESCRIBING:
        return False
    return not isinstance(value, str) or re.fullmatch(r"\s*[-+]?[\d.,]+(e[-+]?\d+)?\s*|true|yes|on", value.lower()) is not None


def off(value: Any) -> bool:
    """Whether a field that we do not know is switched off."""
    return value is None or value is False or value in ("", [], {})


def short(value: Any) -> str:
    """A value for an error line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
