"""From any error to an exit code and to what a person, or a program, reads about it.

The errors of this package have their codes in ``errors.KINDS``; an ``OSError`` takes the row of its errno,
an error of SQLite that of what it says about the disk. All else is a fault of ours. This module refuses to
know where the text goes.
"""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import dataclass
from typing import Any

import click

from winlayers.errors import (
    EXIT_FAULT,
    KINDS,
    AlreadyExists,
    Busy,
    Cancelled,
    Corrupt,
    Denied,
    InUse,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    RemoteFailure,
    TimedOut,
    Unsupported,
    WinlayersError,
    codes_of,
)

_IS_WINDOWS: bool = sys.platform == "win32"

_ERRNO_KINDS: dict[type[WinlayersError], tuple[str, ...]] = {
    InvalidArgument: ("EINVAL", "ENAMETOOLONG", "EISDIR", "ELOOP", "EXDEV", "ESPIPE"),
    NotFound: ("ENOENT", "ENOTDIR", "ENXIO", "ENODEV"),
    AlreadyExists: ("EEXIST", "ENOTEMPTY"),
    InUse: ("EBUSY", "ETXTBSY"),
    Busy: ("EAGAIN", "EDEADLK", "ENOLCK"),
    Corrupt: ("EIO", "EBADMSG", "ESTALE", "EUCLEAN"),
    Unsupported: ("ENOTSUP", "EOPNOTSUPP", "ENOSYS"),
    Denied: ("EACCES", "EPERM", "EROFS"),
    LimitExceeded: ("ENOSPC", "EDQUOT", "EFBIG", "EMFILE", "ENFILE", "ENOMEM", "EMLINK"),
    RemoteFailure: ("EPIPE", "ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "ENETUNREACH"),
    TimedOut: ("ETIMEDOUT",),
    Cancelled: ("EINTR", "ECANCELED"),
}
# Not every system has every name.
_KIND_OF_ERRNO = {
    getattr(errno, name): kind
    for kind, names in _ERRNO_KINDS.items()
    for name in names
    if hasattr(errno, name)
}
_SQLITE_KINDS: dict[str, type[WinlayersError]] = {
    "SQLITE_BUSY": Busy,
    "SQLITE_LOCKED": Busy,
    "SQLITE_FULL": LimitExceeded,
    "SQLITE_NOMEM": LimitExceeded,
    "SQLITE_READONLY": Denied,
    "SQLITE_PERM": Denied,
    "SQLITE_CANTOPEN": Denied,
    "SQLITE_CORRUPT": Corrupt,
    "SQLITE_NOTADB": Corrupt,
    "SQLITE_IOERR": Corrupt,
}

_REPORT = (
    "This is a fault of winlayers: please report it, with what you did and the output of the same "
    "command with -v."
)


@dataclass(frozen=True, slots=True)
class Failure:
    """What is told of an error.

    Attributes:
        exit: exit code.
        kind: name of the error's class.
        message: what happened, in one or more lines.
        notes: what else happened, and hints.
        finding: code of the finding with the same cause, or None.
        remedy: what to do about that.
        entry: the entry concerned, or None.
        offset: byte concerned, or None.
    """

    exit: int
    kind: str
    message: str
    notes: tuple[str, ...] = ()
    finding: str | None = None
    remedy: str | None = None
    entry: str | None = None
    offset: int | None = None

    @property
    def is_fault(self) -> bool:
        """Whether it is a fault of ours."""
        return self.exit == EXIT_FAULT

    def lines(self) -> list[str]:
        """The text for people."""
        lines = [f"winlayers: {self.message}", *self.notes]
        return [*lines, f"What to do: {self.remedy}"] if self.remedy else lines

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        facts = {
            "kind": self.kind,
            "message": self.message,
            "exit": self.exit,
            "notes": list(self.notes),
            "finding": self.finding,
            "remedy": self.remedy,
            "entry": self.entry,
            "offset": self.offset,
        }
        return {"error": {name: value for name, value in facts.items() if value not in (None, [])}}


def describe(error: BaseException) -> Failure:
    """What to tell of an error.

    Args:
        error: whatever reached the top.
    """
    notes = tuple(str(note) for note in getattr(error, "__notes__", ()))
    kind = type(error).__name__
    if isinstance(error, WinlayersError):
        return _describe_ours(error, kind, notes)
    if isinstance(error, click.ClickException):
        return _describe_usage(error, notes)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return Failure(
            KINDS[Cancelled].exit, "Cancelled", "interrupted; nothing is left of it", notes
        )
    if isinstance(error, MemoryError):
        return Failure(KINDS[LimitExceeded].exit, kind, "there is not enough memory", notes)
    if isinstance(error, OSError) and error.errno in _KIND_OF_ERRNO:
        of_errno = InvalidArgument if _is_folder(error) else _KIND_OF_ERRNO[error.errno]
        return Failure(_exit_of(of_errno), kind, _os_message(error), notes)
    if (sqlite_kind := _sqlite_kind(error)) is not None:
        return Failure(_exit_of(sqlite_kind), kind, f"a database of the store: {error}", notes)
    return Failure(EXIT_FAULT, kind, f"{kind}: {error}", (*notes, _REPORT))


def _describe_ours(error: WinlayersError, kind: str, notes: tuple[str, ...]) -> Failure:
    code = codes_of(error).exit
    if code == EXIT_FAULT:
        notes = (*notes, _REPORT)
    remedy = None
    if error.finding is not None:
        from winlayers.layer.findings import CATALOG

        rule = CATALOG.get(error.finding)
        remedy = None if rule is None else rule.remedy
    return Failure(
        code,
        kind,
        str(error) or kind,
        notes,
        error.finding,
        remedy,
        getattr(error, "entry", None),
        getattr(error, "offset", None),
    )


def _describe_usage(error: click.ClickException, notes: tuple[str, ...]) -> Failure:
    context = getattr(error, "ctx", None)
    if context is not None:
        notes = (*notes, f"'{context.command_path} --help' tells how it is used.")
    return Failure(KINDS[InvalidArgument].exit, "UsageError", error.format_message(), notes)


def _exit_of(kind: type[WinlayersError]) -> int:
    return KINDS[kind].exit


def _is_folder(error: OSError) -> bool:
    """Whether a folder is in the place of a file, of which Windows says that access is denied."""
    if not _IS_WINDOWS or error.errno != errno.EACCES:
        return False
    # What the C runtime opens has no code of Windows. Where a file is to replace a folder, that is named second.
    is_opened = getattr(error, "winerror", None) is None
    place = error.filename if is_opened else error.filename2
    return place is not None and os.path.isdir(place)


def _os_message(error: OSError) -> str:
    names = [
        str(name) for name in (error.filename, error.filename2) if name is not None
    ]  # a descriptor is a number
    text = error.strerror or str(error)
    return f"{' and '.join(names)}: {text}" if names else text


def _sqlite_kind(error: BaseException) -> type[WinlayersError] | None:
    # Only where SQLite is in use at all: it takes a while to import.
    sqlite3 = sys.modules.get("sqlite3")
    if sqlite3 is None or not isinstance(error, sqlite3.Error):
        return None
    name = getattr(error, "sqlite_errorname", "")
    return next((kind for start, kind in _SQLITE_KINDS.items() if name.startswith(start)), None)
