"""Installs system packages that are listed in a file and whose programs are missing.

    python tools/syspackages.py tools/e2e-packages.txt

A line of the file is a package and a program that it brings. Nothing is done where all programs are there.
Packages are installed by apt-get, as root or through a sudo that asks nothing. Where that cannot be, what is
missing is named with the command that installs it, and the exit status is 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def listed(content: str) -> Iterator[tuple[str, str]]:
    """Packages and their programs out of a list."""
    for line in content.splitlines():
        words = line.partition("#")[0].split()
        if words:
            package, program = words
            yield package, program


def missing(content: str) -> list[str]:
    """The packages whose programs are not there."""
    return [package for package, program in listed(content) if shutil.which(program) is None]


def installer() -> list[str] | None:
    """The command before the names of packages, or None where this user may install nothing."""
    if shutil.which("apt-get") is None:
        return None
    command = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return command
    asks_nothing = shutil.which("sudo") is not None and not subprocess.call(
        ["sudo", "-n", "true"], stderr=subprocess.DEVNULL
    )
    return ["sudo", "-n", *command] if asks_nothing else None


def main(path: str) -> int:
    """Install what is missing; the exit status."""
    content = Path(path).read_text(encoding="utf-8")
    if (wanted := missing(content)) and (command := installer()) is not None:
        subprocess.call([*command, "update", "-q"])
        subprocess.call([*command, "install", "-q", "-y", "--no-install-recommends", *wanted])
    if left := missing(content):
        print(f"not installed: {', '.join(left)}", file=sys.stderr)
        print(f"on Debian or Ubuntu: apt-get install {' '.join(left)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
