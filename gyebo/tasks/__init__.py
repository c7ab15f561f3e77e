"""What is fine-tuned and how it is scored: heads over the model protocol, metrics, prediction, pooling, filling, the baseline."""
