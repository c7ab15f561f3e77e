"""No process outlives the one that started it."""

import os
import signal
import sys
import time
from pathlib import Path
from subprocess import PIPE, Popen, check_output

import pytest

from gyebo.data.prepare import run_jobs
from gyebo.data.processes import interrupts_held
from tests.data.sleeper import Sleeper

POOL = """
import sys
from gyebo.data.prepare import run_jobs
from tests.data.sleeper import Sleeper

list(run_jobs(Sleeper(), iter([(None, number, None, False) for number in range(2)]), 2))
"""
CHILD = '''
import sys, time
from subprocess import Popen
code = """
import os, sys, time
from gyebo.data.processes import end_with_parent
end_with_parent()
print(os.getpid(), file=sys.stderr, flush=True)
time.sleep(600)
"""
both = [Popen([sys.executable, "-c", code]) for _ in range(2)]
time.sleep(600)
'''


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc").exists(), reason="no /proc")
@pytest.mark.parametrize("code", [POOL, CHILD], ids=["pool", "torchrun"])
def test_children_end_when_their_parent_is_killed(tmp_path, code):
    (tmp_path / "program.py").write_text(code)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = Popen([sys.executable, str(tmp_path / "program.py")], stderr=PIPE, text=True, env=environment)
    children = [int(process.stderr.readline()) for _ in range(2)]
    assert all(map(alive, children))
    process.send_signal(signal.SIGKILL)
    process.wait()
    stop = time.monotonic() + 10
    while any(map(alive, children)) and time.monotonic() < stop:
        time.sleep(0.05)
    assert not any(map(alive, children))


def test_a_process_that_is_started_while_interrupts_are_held_never_hears_them():
    ask = [sys.executable, "-c", "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"]
    with interrupts_held():
        inside = check_output(ask, text=True)
    assert (inside.strip(), check_output(ask, text=True).strip()) == ("True", "False")
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_what_a_worker_prints_is_no_answer_and_one_that_is_killed_is_named(capfd):
    talking, killed = ([(None, number, None, False)] for number in (-2, -1))
    assert list(run_jobs(Sleeper(), iter(2 * talking), 2)) == [(-2, {"printed": True})] * 2
    with pytest.raises(RuntimeError, match=r"has ended \(signal 9\).*parts that were finished are kept"):
        list(run_jobs(Sleeper(), iter(killed), 2))
    assert capfd.readouterr() == ("", "something else\n" * 2)
