"""Text from a model that predicts the next token: greedy, sampled or searched with beams; whole or as a stream.

`generate(model, tokenizer, "prompt", max_new_tokens=40, top_p=0.9, seed=0)` gives text; `complete` gives ids, the reason
each answer ended and its log-probability; `stream` gives text while it is written; `decode` and `search` know ids only. A
model is anything with `prefill`, `step`, `project` and a `config` (see `prompts.Generator`).
"""

from gyebo.generation.beams import Hypothesis, search
from gyebo.generation.decoding import Step, decode
from gyebo.generation.options import GenerationOptions, options_from
from gyebo.generation.text import Completion, complete, generate, stream

__all__ = [
    "Completion",
    "GenerationOptions",
    "Hypothesis",
    "Step",
    "complete",
    "decode",
    "generate",
    "options_from",
    "search",
    "stream",
]
