"""The building blocks of all families."""
