"""The command line, one file a command: parses, calls one function, prints."""

from gyebo.cli.app import main

__all__ = ["main"]
