"""Task heads over the model protocol, one file for each part."""
