"""Cost of a forward pass, in floating-point operations of matrix products."""

from __future__ import annotations


def transformer_flops(
    tokens: float, context: int, *, width: int, layers: int, inner: int, vocab_size: int, outputs: float | None = None
) -> float:
    """FLOPs of one forward pass over `tokens` tokens in rows of `context`; a multiply-add counts 2.

    Counted: query, key, value and output matrices, attention over the whole row (the masked half included, as kernels
    that skip it are an optimisation of the same work), feed-forward, and the output layer at `outputs` positions (default:
    all). Not counted: embedding lookups, norms, activations, softmax. Training costs three times this: each product has two
    more in the backward pass (Kaplan et al. 2020, appendix B; Hoffmann et al. 2022, appendix F).
    """
    block = 4 * width * width + 2 * width * inner
    attention = 2 * context * width
    return 2 * (tokens * layers * (block + attention) + (tokens if outputs is None else outputs) * width * vocab_size)


def recurrent_flops(tokens: float, *, inputs: int, width: int, gates: int) -> float:
    """FLOPs of one forward pass of a recurrent layer from `inputs` to a state of `width`, a multiply-add counts 2: an input and
    a recurrent matrix for each gate. Not counted: element-wise operations."""
    return 2 * tokens * gates * (inputs + width) * width


def projected_lstm_flops(tokens: float, *, inputs: int, cells: int, outputs: int) -> float:
    """FLOPs of one forward pass of an LSTM with projection, a multiply-add counts 2: four input and four recurrent matrices,
    and the projection. Not counted: element-wise operations."""
    return 2 * tokens * cells * (4 * (inputs + outputs) + outputs)
