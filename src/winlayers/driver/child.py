"""Starts write-layer processes, and can do so before there is anything for one to do.

A child needs a while to import what it runs, and so does its parent: a program that knows that it is about
to import starts the child first, and both get ready at the same time. A child that is told nothing ends by
itself when its input ends, and leaves nothing. This module knows how a child is started, not what is said
to it; it imports little, as it runs before everything else.

Source: moby/moby daemon/graphdriver/windows/windows.go (writeLayerReexec).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Self

Child = subprocess.Popen[bytes]


def start_child() -> Child:
    """Start a write-layer process with pipes to its input and from its outputs.

    Returns:
        The process; its request is written to ``stdin`` as ``driver.wire`` tells.
    Raises:
        OSError: it cannot be started.
    """
    return subprocess.Popen(
        _command(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )


class ReadyChild:
    """A child that was started ahead, for whoever needs one first; later ones are started when needed.

    Leaving the ``with`` block ends a child that nobody took.

    Args:
        start: starts a child.
    """

    def __init__(self, start: Callable[[], Child] = start_child) -> None:
        self._start = start
        self._ready: Child | None = start()

    def take(self) -> Child:
        """A child; it is the caller's to end."""
        child, self._ready = self._ready, None
        # One that died while it waited is of no use; a new one tells why, if it dies too.
        if child is not None and child.poll() is not None:
            _end(child)
            child = None
        return self._start() if child is None else child

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._ready is not None:
            _end(self._ready)
            self._ready = None


def _end(child: Child) -> None:
    """End a child that was told nothing, and so has done nothing, without waiting until it is ready."""
    child.kill()
    assert child.stdin is not None
    child.stdin.close()
    child.stdin = None
    child.communicate()


def _command() -> list[str]:
    """This Python, looking for modules where this process does."""
    code = "import sys, json; sys.path[:] = json.loads(sys.argv.pop()); "
    code += "from winlayers.worker import run; run()"
    return [sys.executable, "-c", code, json.dumps([path or "." for path in sys.path])]
