"""`python -m bench.worker JOB.json [--fd N]`: with a descriptor it serves its parent, without it repeats the job.

Almost nothing is imported before the job says what is needed: import weight and thread pools are part of what is
measured, so the job decides when they appear.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys


def main(words: list[str]) -> int:
    """Serve or repeat the job named by `words`."""
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True, chain=False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent alone decides what an interrupt means

    from .jobs import read_job

    if len(words) == 3 and words[1] == "--fd":
        from .channel import Channel
        from .serve import serve

        code = serve(read_job(words[0]), Channel(int(words[2])))
        # Without the interpreter's tear-down: frameworks take up to half a second for it, and all is said and closed.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    if len(words) == 1:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from .by_hand import repeat

        return repeat(read_job(words[0]))
    sys.stderr.write("usage: python -m bench.worker JOB.json [--fd N]\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
