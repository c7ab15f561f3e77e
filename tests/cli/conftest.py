"""Wrong commands, and a run made by the command."""

import sys

import pytest

from gyebo.cli.app import main

TINY = ["--size", "tiny", "--set", "model.layers=2", "--set", "model.width=32", "--set", "model.heads=2"]
TINY += ["--context", "32", "--batch-tokens", "256", "--precision", "float32", "--valid-share", "0.05"]


@pytest.fixture
def refused(cli):
    """A function that types a wrong command: exit 2, nothing but one line on stderr, which it gives."""

    def run(*words, code=2, **options):
        found = cli(*words, **options)
        assert found.code == code, found
        assert found.err.startswith("gyebo: ") and found.err.endswith("\n") and found.err.count("\n") == 1, found.err
        assert "Traceback" not in found.err
        return found.err.rstrip("\n")

    return run


@pytest.fixture(scope="session")
def trained(corpus, tokenizer_folder, tmp_path_factory):
    """A finished tiny run, made by the command."""
    out = tmp_path_factory.mktemp("cli") / "run"
    words = ["gyebo", "pretrain", "gpt2", str(corpus), "-o", str(out), "--steps", "4", "--tokenizer", str(tokenizer_folder)]
    before = sys.argv
    try:
        sys.argv = [*words, *TINY]
        main()
    finally:
        sys.argv = before
    return out
