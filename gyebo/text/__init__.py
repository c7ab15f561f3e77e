"""Text: normalisation, tokenizers (training, loading, special tokens), incremental decoding."""
