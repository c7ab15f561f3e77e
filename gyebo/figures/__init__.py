"""Plots, from arrays to files."""
