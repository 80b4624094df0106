"""The entry of the program ``winlayers``; all else is in ``app``.

Kept apart so that an interrupt while Python still imports the rest ends the process at once and without a
word: there is nothing yet to clean up. ``app`` takes interrupts over when there is.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process, and end it at once: the entry of the installed program."""
    code = run_program()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            code = code or 1  # what was printed last did not arrive
    # All is closed. Taking Python apart as well would keep whoever waits for another 10 ms.
    os._exit(code)


def run_program() -> int:
    """Run the command line of this process; its exit code.

    For whoever has something to do afterwards, as ``python -m`` under a profiler.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from winlayers.cli.app import run

    return run(sys.argv[1:], os.environ)
