"""Fine-tuning tasks: their data, kinds, heads and metrics, and the linear baseline."""
