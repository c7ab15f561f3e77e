"""The family tree, one file a family."""
