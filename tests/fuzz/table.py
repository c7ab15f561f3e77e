"""All readers that are fuzzed; whoever adds a reader of files adds its row."""

from tests.fuzz import corpora, labelled, published

READERS = (*corpora.READERS, *labelled.READERS, *published.READERS)
