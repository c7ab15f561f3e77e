"""How good a model is on text: bits per byte."""
