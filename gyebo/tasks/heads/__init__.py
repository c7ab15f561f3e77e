"""Task heads on pretrained bodies."""
