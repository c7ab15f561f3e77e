"""From a CORPUS to batches: sources, token shards, plans, order, batches."""
