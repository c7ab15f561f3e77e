"""What is fine-tuned and how it is scored: tasks, their data and metrics, heads over a pretrained body, the linear baseline."""
