"""The jobs of the guard: learning a word list, choosing thresholds, measuring them, and opening a guard to answer with it."""
