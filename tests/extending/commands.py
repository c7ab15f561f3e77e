"""Commands of gyebo as a user types them, and one that is killed."""

import contextlib
import io

import pytest

from gyebo.training import checkpoint


def gyebo(*arguments):
    """What the command prints; AssertionError where it fails."""
    from gyebo.cli.app import app

    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(io.StringIO()):
        code = app([str(argument) for argument in arguments], standalone_mode=False)
    assert not code, f"exit {code}: {arguments}"
    return printed.getvalue()


def killed_at(step, out, *arguments):
    """Run a command that is interrupted when it has written the checkpoint of a step into `out`, which is then its newest."""
    plain = checkpoint.write

    def killed(folder, model, optimizer, state, *given, **named):
        path = plain(folder, model, optimizer, state, *given, **named)
        if state["step"] == step:
            raise KeyboardInterrupt
        return path

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "write", killed)
        with pytest.raises(AssertionError, match="^exit 130:"):
            gyebo(*arguments, "-o", out)
    assert checkpoint.step_of(checkpoint.newest(out / "checkpoints")[0]) == step
