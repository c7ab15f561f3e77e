"""How good a model is on text: bits per byte."""

from gyebo.evaluation.likelihood import evaluate_text, figures, held_out_rows, nats_by_document

__all__ = ["evaluate_text", "figures", "held_out_rows", "nats_by_document"]
