"""Text: normalisation, tokenizers (training, loading, roles), decoding while ids arrive."""
