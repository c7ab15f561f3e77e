"""The blocks that families are wired from."""
