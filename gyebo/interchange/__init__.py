"""Weight names to and from Hugging Face: load and save."""
