"""The calls through which the package changes a disk, wrapped so that something can happen at each.

``Points(act)`` calls ``act`` with a ``Call`` before each of them, and once more after those that create
something, because a file can be changed then without any further call. Calls of SQLite are counted as the
package makes them; what SQLite does within one is not split.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from winlayers.base.splicing import PipeSender

CHANGING = (
    "chmod", "fdatasync", "fsync", "ftruncate", "link", "mkdir", "open", "pwrite", "remove", "rename",
    "replace", "rmdir", "splice", "symlink", "truncate", "unlink", "utime", "waitpid", "write",
)  # fmt: skip
LOOKING = ("listdir", "lstat", "scandir", "stat")
_CREATING = ("open", "io.open", "sqlite.connect", "subprocess.Popen")


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Attributes:
        number: how many came before it, itself included; from 1.
        name: of the function; ``io.open`` is the built-in ``open``.
        args: its arguments.
        is_done: whether it was called already.
    """

    number: int
    name: str
    args: tuple[Any, ...]
    is_done: bool = False

    @property
    def label(self) -> str:
        """What it is, for people."""
        what = ", ".join(str(arg)[-60:] for arg in self.args[:2] if not isinstance(arg, memoryview))
        return f"{'after ' if self.is_done else ''}{self.name}({what})"


class Points:
    """Wraps the calls, within a ``with`` block or from ``install`` on.

    Args:
        act: called at each point; what it raises comes out of the call.
        looking: the calls that only look are points too.
        leaving_out: says of a call that it is no point; it has no number then.
    Attributes:
        count: how many points there were.
    """

    _installed: ClassVar[list[Points]] = []

    def __init__(
        self,
        act: Callable[[Call], None],
        *,
        looking: bool = False,
        leaving_out: Callable[[Call], bool] = lambda call: False,
    ) -> None:
        self._act = act
        self._leaving_out = leaving_out
        self._names = (*CHANGING, *LOOKING) if looking else CHANGING
        self._undo: list[Callable[[], None]] = []
        self._local = threading.local()
        self._lock = threading.Lock()
        self.count = 0

    @classmethod
    def uninstall_all(cls) -> None:
        """Give everything back, whoever wrapped it."""
        while cls._installed:
            cls._installed[-1].uninstall()

    def install(self) -> None:
        """Wrap everything."""
        self._installed.append(self)
        for name in self._names:
            if hasattr(os, name):
                self._patch(os, name, name)
        self._patch(builtins, "open", "io.open")
        self._patch(io, "open", "io.open")
        self._patch(subprocess, "Popen", "subprocess.Popen")
        self._patch(PipeSender, "send", "vmsplice")
        self._patch_sqlite()

    def uninstall(self) -> None:
        """Give everything back."""
        while self._undo:
            self._undo.pop()()
        self._installed.remove(self)

    def __enter__(self) -> Self:
        self.install()
        return self

    def __exit__(self, *exc: object) -> None:
        self.uninstall()

    def reached(self, name: str, args: tuple[Any, ...], *, is_done: bool = False) -> None:
        """Come to a point."""
        if getattr(self._local, "is_acting", False):
            return
        self._local.is_acting = True
        try:
            if self._leaving_out(Call(0, name, args, is_done)):
                return
            with self._lock:
                self.count += 1
                number = self.count
            self._act(Call(number, name, args, is_done))
        finally:
            self._local.is_acting = False

    def _patch(self, owner: Any, attribute: str, name: str) -> None:
        original = getattr(owner, attribute)
        setattr(owner, attribute, self._wrapped(original, name))
        self._undo.append(lambda: setattr(owner, attribute, original))

    def _wrapped(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self.reached(name, args)
            result = original(*args, **kwargs)
            if name in _CREATING:
                self.reached(name, args, is_done=True)
            return result

        return wrapper

    def _patch_sqlite(self) -> None:
        reached = self.reached

        class Connection(sqlite3.Connection):
            def __init__(self, database: Any, *args: Any, **kwargs: Any) -> None:
                super().__init__(database, *args, **kwargs)
                self.path = str(database)

            def execute(self, *args: Any) -> sqlite3.Cursor:
                reached("sqlite.execute", (self, *args))
                return super().execute(*args)

            def executemany(self, *args: Any) -> sqlite3.Cursor:
                reached("sqlite.executemany", (self, *args))
                return super().executemany(*args)

            def executescript(self, *args: Any) -> sqlite3.Cursor:
                reached("sqlite.executescript", (self, *args))
                return super().executescript(*args)

            def close(self) -> None:
                reached("sqlite.close", (self,))
                super().close()

        original = sqlite3.connect
        connect = self._wrapped(original, "sqlite.connect")
        sqlite3.connect = lambda *args, **kwargs: connect(*args, **kwargs, factory=Connection)
        self._undo.append(lambda: setattr(sqlite3, "connect", original))


def kill_at(number: int) -> Callable[[Call], None]:
    """An action: end this process at a point, as a loss of power or the kernel's OOM killer would."""

    def act(call: Call) -> None:
        if call.number == number:
            os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait()  # it may take a moment to arrive

    return act


def full_from(number: int) -> Callable[[Call], None]:
    """An action: from a point on the disk has no room for anything new."""

    def act(call: Call) -> None:
        if call.number >= number and not call.is_done and _takes_space(call):
            if call.name.startswith("sqlite."):
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise error
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return act


def path_of(descriptor: int) -> str:
    """Where an open file is."""
    if sys.platform == "darwin":
        import fcntl

        return fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0").decode()
    return os.readlink(f"/proc/self/fd/{descriptor}")


def opens_for_writing(call: Call) -> bool:
    """Whether a call of ``open`` can create or change a file."""
    if call.name == "open":
        return bool(call.args[1] & (os.O_CREAT | os.O_WRONLY | os.O_RDWR))
    mode = call.args[1] if len(call.args) > 1 else "r"
    return call.name == "io.open" and any(letter in mode for letter in "wxa+")


def _takes_space(call: Call) -> bool:
    if call.name in ("open", "io.open"):
        return opens_for_writing(call) and not os.path.exists(call.args[0])
    if call.name == "sqlite.execute":
        return not call.args[1].lstrip().upper().startswith(("SELECT", "PRAGMA", "BEGIN"))
    if call.name == "mkdir":
        return not os.path.exists(call.args[0])
    if call.name == "fsync":
        return not os.path.isdir(path_of(call.args[0]))
    return call.name in ("splice", "sqlite.executemany", "sqlite.executescript", "write")
