"""A bash that takes one command after another, as a reader who pastes them has it.

Folders, variables and files stay from one command to the next. Both outputs of a command come back as one
text, as on a screen. This module knows nothing of pages.
"""

from __future__ import annotations

import secrets
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self

_PATIENCE_SECONDS = 60


class Shell:
    """A running bash.

    Args:
        folder: where it begins.
        environ: all its variables.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._mark = secrets.token_hex(16).encode()
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._watchdog = threading.Timer(_PATIENCE_SECONDS, self._process.kill)
        self._watchdog.start()
        # A page is wrong if any command of a pipeline fails, but not if the reader of one has enough.
        self._say("set -o pipefail")

    def run(self, command: str) -> tuple[str, int]:
        """Run a command.

        Returns:
            What it printed, and its exit code; minus a signal's number where bash itself was ended.
        """
        # Its input is not ours, or it would eat the next commands.
        mark = self._mark.decode()
        self._say(f"{{ {command}\n}} < /dev/null; printf '\\n%s %d\\n' {mark} $?")
        assert self._process.stdout is not None
        printed = b""
        for line in self._process.stdout:
            if line.startswith(self._mark):
                return printed[:-1].decode("utf-8", "replace"), int(line.split()[1])
            printed += line
        return printed.decode("utf-8", "replace"), self._process.wait()

    def _say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n".encode())
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._watchdog.cancel()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.communicate()
