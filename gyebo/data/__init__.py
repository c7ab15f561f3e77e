"""From a CORPUS to batches: sources, shards, plans, orders."""
