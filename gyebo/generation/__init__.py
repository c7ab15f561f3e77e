"""Text generation with a model that predicts the next token, of a text or of a target: greedy decoding, sampling,
sample-and-rank or beam search; whole or streamed.

`generate(model, tokenizer, "prompt", max_new_tokens=40, top_p=0.9, seed=0)` returns text; `complete` also ids, the reason why
each answer ended and its log-probability, `rank` all candidates with their scores; `stream` yields text while it is generated;
`decode` and `search` work on ids only. A model is anything that `Generates` (`gyebo/models/protocol.py`).
"""

from gyebo.generation.beams import Hypothesis, search
from gyebo.generation.decoding import Step, decode
from gyebo.generation.options import GenerationOptions, options_from
from gyebo.generation.ranking import Candidate, Ranking
from gyebo.generation.text import Completion, complete, generate, rank, stream

__all__ = [
    "Candidate",
    "Completion",
    "GenerationOptions",
    "Hypothesis",
    "Ranking",
    "Step",
    "complete",
    "decode",
    "generate",
    "options_from",
    "rank",
    "search",
    "stream",
]
