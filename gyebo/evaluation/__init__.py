"""How good a model is on text: bits per byte; from either side; of masked tokens, how well they are restored."""

from gyebo.evaluation.bidirectional import evaluate_bidirectional
from gyebo.evaluation.likelihood import evaluate_text, figures, held_out_rows, nats_by_document
from gyebo.evaluation.masked import evaluate_masked

__all__ = ["evaluate_bidirectional", "evaluate_masked", "evaluate_text", "figures", "held_out_rows", "nats_by_document"]
