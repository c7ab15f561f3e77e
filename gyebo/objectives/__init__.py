"""What is learned: corruption, counts and loss of each objective. `table.py` says what there is; it needs no torch."""
