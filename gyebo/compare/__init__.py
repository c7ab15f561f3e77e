"""One budget, many families."""
