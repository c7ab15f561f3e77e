"""Makes `tests/interchange/transformer_xl`: small random models as `transformers` 4.57, the last version that has the family,
stores them, with what they compute.

    python -m venv /tmp/old && /tmp/old/bin/pip install transformers==4.57.6 torch==2.13.0
    /tmp/old/bin/python tests/interchange/make_transformer_xl.py

`reference.safetensors` of each: `input_ids` [B, S, T], S segments of T tokens; `log_probabilities` [B, S, T, V] of the language
model, where each segment has the memory of those before it, and the first one none; `losses` [B, S, T-1] of the tokens of each
segment but its first, in order; `hidden` [B, S, T, D].
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import TransfoXLConfig, TransfoXLForSequenceClassification, TransfoXLLMHeadModel

FOLDER = Path(__file__).parent / "transformer_xl"
ROWS, SEGMENTS, LENGTH = 2, 3, 5
SHAPE = {
    "vocab_size": 47,
    "d_model": 14,
    "d_embed": 12,
    "n_head": 3,
    "d_head": 5,
    "d_inner": 11,
    "n_layer": 2,
    "mem_len": 7,
    "layer_norm_epsilon": 1e-4,
    "eos_token_id": 3,
    "bos_token_id": None,
    "pad_token_id": 0,
}
VARIANTS = {
    "clusters": {"cutoffs": [11, 19, 40], "div_val": 2, "clamp_len": 4, "same_length": True},
    "untied": {"cutoffs": [10], "div_val": 3, "clamp_len": -1, "same_length": False, "tie_word_embeddings": False}
    | {"proj_share_all_but_first": False},
    "one-width": {"cutoffs": [15, 16], "div_val": 1, "clamp_len": 9, "same_length": False, "untie_r": False},
    "characters": {"cutoffs": [], "div_val": 1, "d_embed": 14, "clamp_len": 0, "same_length": False, "untie_r": False},
}
CLASSIFIER = {"cutoffs": [20, 33], "div_val": 1, "d_embed": 14, "clamp_len": -1, "same_length": True, "pre_lnorm": True}


@torch.no_grad()
def randomize(model, seed):
    """Every parameter away from its initial value."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(1 + 0.2 * noise if name.endswith("layer_norm.weight") else 0.3 * noise)


@torch.no_grad()
def reference(model, ids):
    """What a language model computes segment by segment."""
    found = {"log_probabilities": [], "losses": [], "hidden": []}
    memory = [torch.zeros(0, ROWS, model.config.d_model)] * model.config.n_layer  # without any it would attend to zeros
    model.crit.keep_order = True
    for segment in ids.unbind(1):
        out = model(segment, mems=memory)
        found["log_probabilities"].append(out.prediction_scores)
        found["losses"].append(model(segment, mems=memory, labels=segment).losses)
        found["hidden"].append(model.transformer(segment, mems=memory).last_hidden_state)
        memory = out.mems
    return {name: torch.stack(parts, 1).contiguous() for name, parts in found.items()} | {"input_ids": ids}


def mend():
    """4.57 calls `type_as(dtype=...)`, which torch has never had."""
    type_as = torch.Tensor.type_as
    torch.Tensor.type_as = lambda self, other=None, dtype=None: type_as(self, other) if dtype is None else self.to(dtype)


def main():
    mend()
    for seed, (name, options) in enumerate(VARIANTS.items()):
        model = TransfoXLLMHeadModel(TransfoXLConfig(**{**SHAPE, **options})).eval()
        randomize(model, seed)
        ids = torch.randint(SHAPE["vocab_size"], (ROWS, SEGMENTS, LENGTH), generator=torch.Generator().manual_seed(seed))
        model.save_pretrained(FOLDER / name, safe_serialization=options.get("untie_r", True))  # it refuses shared biases
        save_file(reference(model, ids), FOLDER / name / "reference.safetensors")
        (FOLDER / name / "generation_config.json").unlink(missing_ok=True)
    config = TransfoXLConfig(**{**SHAPE, **CLASSIFIER, "num_labels": 3})
    model = TransfoXLForSequenceClassification(config).eval()
    randomize(model, 9)
    ids = torch.randint(1, SHAPE["vocab_size"], (ROWS, LENGTH), generator=torch.Generator().manual_seed(9))
    memory = [torch.zeros(0, ROWS, config.d_model)] * config.n_layer
    model.save_pretrained(FOLDER / "classifier")
    with torch.no_grad():
        save_file({"input_ids": ids, "logits": model(ids, mems=memory).logits}, FOLDER / "classifier" / "reference.safetensors")


if __name__ == "__main__":
    main()
