"""`gyebo pretrain` from inside: the corpus, the budget, what a run is built from."""
