"""A worker that is busy for as long as a test needs it."""

import os
import sys
import time


class Sleeper:
    """Says which process it is in, then sleeps; part -1 kills that process instead, part -2 prints."""

    def part(self, chunk, number, cut, held_out):
        if number == -1:
            os.kill(os.getpid(), 9)
        if number == -2:
            print("something else")
            return {"printed": True}
        print(os.getpid(), file=sys.stderr, flush=True)
        time.sleep(600)
