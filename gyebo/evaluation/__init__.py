"""Metrics of held-out text: bits per byte, losses of bidirectional models, loss and accuracy on masked tokens."""

from gyebo.evaluation.bidirectional import evaluate_bidirectional
from gyebo.evaluation.likelihood import evaluate_text, figures, held_out_rows, nats_by_document
from gyebo.evaluation.masked import evaluate_masked

__all__ = ["evaluate_bidirectional", "evaluate_masked", "evaluate_text", "figures", "held_out_rows", "nats_by_document"]
