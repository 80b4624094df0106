"""What of the suite a system cannot run: it is left out there by name, and nowhere else."""

from __future__ import annotations

import sys

collect_ignore: list[str] = []
if sys.platform == "win32":
    # Processes are forked and killed in the one, and a POSIX shell runs the pages in the other.
    collect_ignore += ["faults", "docs"]
