"""What the process tells the service manager that started it: ready, alive, stopping.

Source: systemd sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Self

_MICRO = 1_000_000


class ServiceManager:
    """Who started this process, if it wants to be told.

    Args:
        environ: ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` are looked at.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self.watchdog_seconds = self._watchdog(environ)
        """How often it wants to hear that all is well, at least; 0 if it does not."""

    @property
    def is_there(self) -> bool:
        """Whether somebody wants to be told."""
        return bool(self._address)

    def ready(self) -> None:
        """All is there to be used."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING=1")

    def status(self, text: str) -> None:
        """A line for people."""
        self._tell(f"STATUS={' '.join(text.split())}")

    def alive(self) -> None:
        """All is well."""
        self._tell("WATCHDOG=1")

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        # One that begins with @ is abstract: no file.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(text.encode(), address)

    def _watchdog(self, environ: Mapping[str, str]) -> float:
        told = environ.get("WATCHDOG_USEC", "")
        whose = environ.get("WATCHDOG_PID", str(os.getpid()))
        if not self._address or whose != str(os.getpid()):
            return 0
        return int(told) / _MICRO if told.isascii() and told.isdigit() else 0


class Watchdog:
    """Says that all is well as long as it is, in a thread.

    Args:
        manager: who is told.
        is_well: asked each time; one that does not answer is not well either.
    """

    def __init__(self, manager: ServiceManager, is_well: Callable[[], bool]) -> None:
        self._manager = manager
        self._is_well = is_well
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="winlayers-watchdog", daemon=True)

    def __enter__(self) -> Self:
        if self._manager.watchdog_seconds:
            self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        # Twice as often as asked for, so that one word may come late.
        while not self._end.wait(self._manager.watchdog_seconds / 2):
            if self._is_well():
                self._manager.alive()
