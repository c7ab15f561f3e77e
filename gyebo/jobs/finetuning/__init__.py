"""`gyebo finetune`: its setup, the run, the report; the linear baseline."""
