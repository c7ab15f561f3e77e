"""The kinds of task, one file a kind: examples to arrays, outputs to answers."""
