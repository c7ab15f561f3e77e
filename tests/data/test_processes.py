"""No process outlives the one that started it."""

import os
import signal
import sys
import time
from pathlib import Path
from subprocess import PIPE, Popen, check_output

import pytest

from gyebo.data.processes import interrupts_held

POOL = """
import os, sys, time
from concurrent.futures import ProcessPoolExecutor
import multiprocessing
from gyebo.data.processes import end_with_parent

def work(_):
    print(os.getpid(), flush=True)
    time.sleep(600)

if __name__ == "__main__":
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), initializer=end_with_parent) as pool:
        list(pool.map(work, range(2)))
"""
CHILD = '''
import sys, time
from subprocess import Popen
code = """
import os, time
from gyebo.data.processes import end_with_parent
end_with_parent()
print(os.getpid(), flush=True)
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
    process = Popen([sys.executable, str(tmp_path / "program.py")], stdout=PIPE, text=True)
    children = [int(process.stdout.readline()) for _ in range(2)]
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
