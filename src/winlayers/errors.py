"""The error tree, and the one table from a kind of error to its codes.

``WinlayersError`` has thirteen kinds below it, and the kinds have leaves; nothing is deeper. A leaf
adds facts as attributes (``entry``, ``offset``, ``finding``), never codes: the kind alone decides the
exit code of the command line, the gRPC and HTTP status of the services and the errno of a mount, all
in ``KINDS`` below. This module imports nothing.

A message says what happened, where, why, and what to do where there is something to do.
"""

from __future__ import annotations

from typing import NamedTuple


class Codes(NamedTuple):
    """The numbers that one kind of error has in the four places where errors leave the process."""

    exit: int
    grpc: int
    http: int
    errno: str


class WinlayersError(Exception):
    """Whatever winlayers raises on purpose.

    Attributes:
        finding: the stable code of the finding that ``winlayers check`` reports for the same cause
            (``docs/reference/findings.md``), or None.
    """

    finding: str | None = None


class InvalidArgument(WinlayersError):
    """What the caller asked for makes no sense, whatever the state of the store."""


class InvalidName(InvalidArgument):
    """A name that a Windows layer cannot hold, or an id that no layer can have."""

    def __init__(self, message: str, *, finding: str | None = None) -> None:
        super().__init__(message)
        self.finding = finding


class InvalidReference(InvalidArgument):
    """An image reference that does not parse."""


class UnknownOption(InvalidArgument):
    """A storage option that is not known, or whose value does not parse."""


class NotADirectory(InvalidArgument):
    """It is no directory, as this asks for."""


class IsADirectory(InvalidArgument):
    """It is a directory, which this does not take."""


class NotFound(WinlayersError):
    """What was asked for is not there."""


class LayerNotFound(NotFound):
    """No layer has this id."""


class ParentMissing(NotFound):
    """A layer of the chain is not there."""


class PathNotFound(NotFound):
    """No entry has this path in the layer or view."""


class ImageNotFound(NotFound):
    """No image has this name."""


class BlobNotFound(NotFound):
    """No blob has this digest."""


class SnapshotNotFound(NotFound):
    """No snapshot has this key or number."""


class AlreadyExists(WinlayersError):
    """Something else has this name already."""


class LayerExists(AlreadyExists):
    """A layer has this id already."""


class SnapshotExists(AlreadyExists):
    """A snapshot has this key already."""


class InUse(WinlayersError):
    """Somebody holds what should be changed or removed."""


class LayerMounted(InUse):
    """The layer is mounted."""


class LayerHasChildren(InUse):
    """Other layers stand on this one."""


class SnapshotHasChildren(InUse):
    """Other snapshots stand on this one."""


class IllegalState(InUse):
    """The layer is in a state that does not allow this."""


class DirectoryNotEmpty(InUse):
    """The directory has something in it."""


class PathInUse(InUse):
    """The file or directory is held in its place: it is the root of a tree, or open."""


class Busy(WinlayersError):
    """Another process works on the same thing; it may be tried again."""


class StoreLocked(Busy):
    """Another process holds the lock of the store."""


class Malformed(WinlayersError):
    """Bytes that are not what their format says.

    Attributes:
        structure: what was being read ("tar header", "security descriptor").
        reason: what is wrong with it.
        offset: where, in bytes from the start of the input named by the message, or None.
        entry: the entry of the layer concerned, or None.
        finding: the code that ``winlayers check`` reports for the same cause, or None.
    """

    def __init__(
        self,
        structure: str,
        reason: str,
        *,
        offset: int | None = None,
        entry: str | None = None,
        finding: str | None = None,
    ) -> None:
        self.structure = structure
        self.reason = reason
        self.offset = offset
        self.entry = entry
        self.finding = finding
        super().__init__(structure, reason, offset, entry, finding)

    def __str__(self) -> str:
        where = f" of {self.entry!r}" if self.entry is not None else ""
        at = f" at byte {self.offset}" if self.offset is not None else ""
        code = f" [{self.finding}]" if self.finding is not None else ""
        return f"{self.structure}{where}{at}: {self.reason}{code}"


class Corrupt(WinlayersError):
    """What we hold or were given is not what its digest or its record says."""


class DigestMismatch(Corrupt):
    """The bytes do not have the digest that they should have."""

    def __init__(self, what: str, *, expected: str, actual: str) -> None:
        self.expected = expected
        self.actual = actual
        super().__init__(f"{what} has digest {actual}, not {expected} as was asked for")


class StoreCorrupt(Corrupt):
    """Files of the store do not fit together."""


class Unsupported(WinlayersError):
    """Known, but not to be had here or yet."""


class MissingExtra(Unsupported):
    """An optional dependency is not installed; the message names the extra."""


class WrongPlatform(Unsupported):
    """Needs another operating system."""


class UnknownFeature(Unsupported):
    """The input uses something that is not known here."""


class Denied(WinlayersError):
    """The caller may not do this."""


class PrivilegeMissing(Denied):
    """The process lacks a privilege."""


class LoginRefused(Denied):
    """The remote side refused the login."""


class ReadOnlyView(Denied):
    """What is shown cannot be changed: a sealed layer, or a scratch that was opened to be looked at."""


class ReadOnlyFile(Denied):
    """This one may not be written, removed or replaced: it is marked read-only, or has a fixed place."""


class LimitExceeded(WinlayersError):
    """A limit of space, size or count was reached."""


class NoSpace(LimitExceeded):
    """The disk, or the quota, is full."""


class TooLarge(LimitExceeded):
    """The input is larger than the limit that was set."""


class TooManyLinks(LimitExceeded):
    """The file has as many names as NTFS allows."""


class RemoteFailure(WinlayersError):
    """The other side failed."""


class DistributionError(RemoteFailure):
    """A registry, or another host that images come from, failed or answered what makes no sense.

    Attributes:
        status: of HTTP, or None where there was no answer.
        codes: what the registry calls it (``TOOMANYREQUESTS``), maybe several.
        is_transient: it may go away when it is tried again.
        retry_after_seconds: when the other side wants it tried again, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        codes: tuple[str, ...] = (),
        is_transient: bool = False,
        retry_after_seconds: float | None = None,
    ) -> None:
        self.status = status
        self.codes = codes
        self.is_transient = is_transient
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class WindowsCallFailed(RemoteFailure):
    """A call of Windows failed.

    Attributes:
        call: the function, by its name in the documentation of Windows.
        raw: what it returned or left behind, as an unsigned number of 32 bits.
        code: the same to be compared: a Win32 code where ``raw`` is one, or wraps one.
        text: what Windows says of it, or None where it says nothing.
        events: what the service behind the call told beside the number.
    """

    def __init__(
        self,
        *,
        call: str,
        raw: int,
        code: int,
        text: str | None,
        events: list[str] | tuple[str, ...] = (),
    ) -> None:
        self.call = call
        self.raw = raw
        self.code = code
        self.text = text
        self.events = tuple(events)
        super().__init__(call, raw, code, text, self.events)

    def __str__(self) -> str:
        number = f"error {self.code}" if self.code < 0x10000 else f"0x{self.raw:08X}"
        if self.code < 0x10000 and self.raw != self.code:
            number += f" (0x{self.raw:08X})"
        text = f": {self.text}" if self.text else ""
        events = "".join(f"; {event}" for event in self.events)
        return f"Windows refused {self.call} with {number}{text}{events}"


class TimedOut(WinlayersError):
    """It took longer than allowed."""


class Cancelled(WinlayersError):
    """The caller wanted no more of it."""


KINDS: dict[type[WinlayersError], Codes] = {
    InvalidArgument: Codes(2, 3, 400, "EINVAL"),
    NotFound: Codes(10, 5, 404, "ENOENT"),
    AlreadyExists: Codes(11, 6, 409, "EEXIST"),
    InUse: Codes(12, 9, 412, "EBUSY"),
    Busy: Codes(13, 14, 503, "EAGAIN"),
    Malformed: Codes(14, 3, 422, "EIO"),
    Corrupt: Codes(15, 15, 500, "EIO"),
    Unsupported: Codes(16, 12, 501, "ENOTSUP"),
    Denied: Codes(17, 7, 403, "EACCES"),
    LimitExceeded: Codes(18, 8, 507, "ENOSPC"),
    RemoteFailure: Codes(19, 14, 502, "EIO"),
    TimedOut: Codes(20, 4, 504, "ETIMEDOUT"),
    Cancelled: Codes(130, 1, 499, "EINTR"),
}

EXIT_FAULT = 1
EXIT_PARTIAL = 3


def codes_of(error: WinlayersError) -> Codes:
    """The row of ``KINDS`` for an error.

    Args:
        error: any error of this package.
    Returns:
        The codes of the error's kind; for a bare ``WinlayersError`` those of a fault of ours
        (exit 1, gRPC INTERNAL, HTTP 500, EIO).
    """
    for kind in type(error).__mro__:
        if kind in KINDS:
            return KINDS[kind]
    return Codes(EXIT_FAULT, 13, 500, "EIO")
