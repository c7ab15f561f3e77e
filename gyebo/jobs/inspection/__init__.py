"""`gyebo inspect` from inside: what a model gets to see, as text."""
