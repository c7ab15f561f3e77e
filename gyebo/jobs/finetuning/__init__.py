"""`gyebo finetune` from inside: what it is built from, the run, its report; the linear baseline."""
