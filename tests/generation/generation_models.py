"""A model of ours and one of transformers with the same random weights, and a model that says what it is told to."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import nn

from gyebo.models.gpt import Gpt, GptConfig
from gyebo.models.gpt2 import Gpt2, Gpt2Config

VOCABULARY, END, PAD = 61, 60, 59
PROMPTS = [[5, 9, 2, 40, 7], [3], [11, 12, 13, 14, 15, 16, 17, 18, 19], [5, 9, 5, 9, 5]]

# Hugging Face's name of each part of a block: GPT and GPT-2 agree; their matrices are [in, out].
_LINEAR = {"attention.qkv": "attn.c_attn", "attention.out": "attn.c_proj", "mlp.up": "mlp.c_fc", "mlp.down": "mlp.c_proj"}
_NORM = {"attention_norm": "ln_1", "mlp_norm": "ln_2"}


def _copy(ours: Gpt, theirs: nn.Module, tokens: str, positions: str) -> None:
    source = theirs.state_dict()
    state = {
        "token_embedding.weight": source[f"transformer.{tokens}.weight"],
        "position_embedding.weight": source[f"transformer.{positions}.weight"],
        "lm_head.weight": source["lm_head.weight"],
    }
    for layer in range(ours.config.layers):
        for name, other in (_LINEAR | _NORM).items():
            weight = source[f"transformer.h.{layer}.{other}.weight"]
            state[f"blocks.{layer}.{name}.weight"] = weight.T if name in _LINEAR else weight
            state[f"blocks.{layer}.{name}.bias"] = source[f"transformer.h.{layer}.{other}.bias"]
    if "transformer.ln_f.weight" in source:
        state |= {f"final_norm.{part}": source[f"transformer.ln_f.{part}"] for part in ("weight", "bias")}
    ours.load_state_dict(state)
    ours.eval()


def _vary(model: nn.Module) -> None:
    """Biases away from 0, gains away from 1."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.2 * torch.randn_like(parameter)


def make_pair(family: str, seed: int = 0) -> tuple[Gpt, nn.Module]:
    """(ours, transformers'): random weights large enough that the most probable token varies."""
    import transformers

    torch.manual_seed(seed)
    shape = {"vocab_size": VOCABULARY, "n_positions": 64, "n_embd": 24, "n_layer": 3, "n_head": 3}
    ids = {"pad_token_id": PAD, "eos_token_id": END, "bos_token_id": 0}
    ours = {"vocab_size": VOCABULARY, "context": 64, "width": 24, "layers": 3, "heads": 3}
    ours |= {"pad_id": PAD, "eos_id": END, "bos_id": 0}
    if family == "gpt2":
        theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape, **ids, initializer_range=0.4)).eval()
        _vary(theirs)
        model: Gpt = Gpt2(Gpt2Config(**ours))
        _copy(model, theirs, "wte", "wpe")
    else:
        config = transformers.OpenAIGPTConfig(**shape, **ids, initializer_range=0.4, afn="gelu")
        theirs = transformers.OpenAIGPTLMHeadModel(config).eval()
        _vary(theirs)
        model = Gpt(GptConfig(**ours))
        _copy(model, theirs, "tokens_embed", "positions_embed")
    for parameter in theirs.parameters():
        parameter.requires_grad_(False)
    return model, theirs


class Parrot(nn.Module):
    """Says the ids of `script` one after the other whatever it reads (then the end), or with several scripts one a row."""

    generates, encodes_source = True, False

    def __init__(self, script: list[int], vocabulary: int, context: int = 512, end: int | None = 2):
        super().__init__()
        self.config = SimpleNamespace(vocab_size=vocabulary, context=context, bos_id=1, eos_id=end, pad_id=0)
        self.weight = nn.Parameter(torch.zeros(1))
        self.script = [*script, end or 0]
        self.steps = 0

    class Cache:
        def reorder(self, rows):
            return self

    def _say(self, batch: int) -> torch.Tensor:
        hidden = torch.full((batch, 1), float(self.script[min(self.steps, len(self.script) - 1)]))
        self.steps += 1
        return hidden

    def prefill(self, input_ids, attention_mask=None, *, slots):
        self.steps = 0
        return self._say(len(input_ids)), self.Cache()

    def step(self, ids, cache):
        return self._say(len(ids))

    def project(self, hidden):
        return nn.functional.one_hot(hidden[:, 0].long(), self.config.vocab_size).float() * 50
