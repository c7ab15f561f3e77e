"""The function behind every verb."""
