"""gyebo (계보, "family tree"): the language models of the Transformer family tree, trained and compared on your own text."""

__version__ = "0.1.0"
