"""Handles, the paths that open them, and the privileges that opening takes.

All are context managers: what was opened is closed in reverse order, on every way out, and a failure to close never
hides the failure before it. Folders open, and access checks are passed by, with backup semantics; that takes
privileges, which a thread holds through an impersonation of its own account, for as long as the ``with`` lasts.
This module does not know what is in a file.
Source: CreateFileW, "Maximum Path Length Limitation", ImpersonateSelf and AdjustTokenPrivileges of the Win32
documentation.
"""

from __future__ import annotations

import ctypes
import ntpath
import os
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import IntFlag

from winlayers.backends.native import _failures
from winlayers.backends.native._dlls import Libraries
from winlayers.errors import InvalidArgument, PrivilegeMissing, WinlayersError

BACKUP = "SeBackupPrivilege"
RESTORE = "SeRestorePrivilege"
SECURITY = "SeSecurityPrivilege"

OPEN_EXISTING = 3

_SECURITY_IMPERSONATION = 2
_TOKEN_ADJUST_AND_QUERY = 0x28
_PRIVILEGE_ENABLED = 2


class Access(IntFlag):
    """What a handle allows. ACCESS_SYSTEM_SECURITY takes SeSecurityPrivilege."""

    DELETE = 0x10000
    READ_CONTROL = 0x20000
    WRITE_DAC = 0x40000
    WRITE_OWNER = 0x80000
    SYNCHRONIZE = 0x100000
    ACCESS_SYSTEM_SECURITY = 0x01000000
    GENERIC_WRITE = 0x40000000
    GENERIC_READ = 0x80000000


class Share(IntFlag):
    """What others may do meanwhile."""

    NONE = 0
    READ = 1
    WRITE = 2
    DELETE = 4


class OpenFlags(IntFlag):
    """How a file is opened."""

    OPEN_REPARSE_POINT = 0x00200000
    BACKUP_SEMANTICS = 0x02000000
    SEQUENTIAL_SCAN = 0x08000000


def extended_path(nt_path: str) -> str:
    r"""A path that may be longer than 260 units, and is taken by the letter.

    Args:
        nt_path: an absolute path of Windows, ``C:\x`` or ``\\server\share\x``; ``/`` and ``..`` are allowed.
            One that begins with ``\\?\`` or ``\\.\`` stays as it is.
    Returns:
        The path with ``\\?\`` or ``\\?\UNC\`` before it.
    Raises:
        InvalidArgument: not absolute.
    """
    if nt_path.startswith(("\\\\?\\", "\\\\.\\")):
        return nt_path
    clean = ntpath.normpath(nt_path)
    drive, rest = ntpath.splitdrive(clean)
    if not drive or not rest.startswith("\\"):
        raise InvalidArgument(f"{nt_path!r} is no absolute path of Windows")
    if drive.startswith("\\\\"):
        return f"\\\\?\\UNC\\{clean[2:]}"
    return f"\\\\?\\{clean}"


def system_path(path: str | os.PathLike[str]) -> str:
    """A path as the calls that open files take it: of any length and with any names on Windows.

    Windows is not asked to make it absolute: it would cut dots and spaces from the ends of names.

    Raises:
        InvalidArgument: relative to the folder of another drive.
    """
    if sys.platform == "win32":
        return extended_path(ntpath.join(os.getcwd(), path))
    else:
        return os.path.abspath(path)


@contextmanager
def closing(api: Libraries, handle: int, call: str = "CloseHandle") -> Iterator[int]:
    """Close a handle at the end.

    Args:
        api: the libraries.
        handle: open.
        call: the function that closes it.
    Raises:
        WindowsCallFailed: closing failed, and nothing had failed before.
    """
    try:
        yield handle
    except BaseException as error:
        try:
            api.call(call, handle)
        except WinlayersError as second:
            error.add_note(f"closing failed too: {second}")
        raise
    api.call(call, handle)


@contextmanager
def open_file(
    api: Libraries,
    path: str | os.PathLike[str],
    access: Access,
    *,
    share: Share = Share.READ,
    disposition: int = OPEN_EXISTING,
    flags: OpenFlags = OpenFlags.BACKUP_SEMANTICS | OpenFlags.OPEN_REPARSE_POINT,
) -> Iterator[int]:
    """Open a file or folder; with backup semantics, and a link itself in place of its target.

    Args:
        api: the libraries.
        path: absolute or relative to the current folder.
        access: rights to have.
        share: what others may do.
        disposition: 3 to open what exists.
        flags: of ``CreateFileW``.
    Raises:
        WindowsCallFailed: it does not open, or does not close.
    """
    handle = api.call(
        "CreateFileW", system_path(path), access, share, None, disposition, flags, None
    )
    with closing(api, handle):
        yield handle


class _Held(threading.local):
    """The privileges that this thread holds through ``privileges``."""

    names: frozenset[str] = frozenset()


_held = _Held()


@contextmanager
def privileges(api: Libraries, *names: str) -> Iterator[None]:
    """Hold privileges, in this thread and until the ``with`` ends; no other thread has them.

    Inside another ``with`` of this it does nothing where that one holds the same.

    Args:
        api: the libraries.
        names: ``BACKUP``, ``RESTORE``, ``SECURITY``.
    Raises:
        PrivilegeMissing: the account does not have one of them.
        InvalidArgument: more than an outer ``with`` holds: the end of the inner one would end the outer too.
        WindowsCallFailed: Windows fails otherwise.
    """
    if _held.names:
        if not _held.names >= set(names):
            raise InvalidArgument(
                f"{', '.join(names)} cannot be added to {', '.join(sorted(_held.names))}"
            )
        yield
        return
    with ExitStack() as stack:
        api.call("ImpersonateSelf", _SECURITY_IMPERSONATION)
        stack.enter_context(_reverting(api))
        token = ctypes.c_void_p()
        thread = ctypes.c_void_p(api.call("GetCurrentThread"))
        api.call("OpenThreadToken", thread, _TOKEN_ADJUST_AND_QUERY, 0, ctypes.byref(token))
        with closing(api, token.value or 0):
            _enable(api, token, names)
        _held.names = frozenset(names)
        try:
            yield
        finally:
            _held.names = frozenset()


@contextmanager
def _reverting(api: Libraries) -> Iterator[None]:
    """Give back the thread's own identity, and with it the privileges."""
    try:
        yield
    except BaseException as error:
        try:
            api.call("RevertToSelf")
        except WinlayersError as second:
            error.add_note(f"the thread keeps its privileges: {second}")
        raise
    api.call("RevertToSelf")


def _enable(api: Libraries, token: ctypes.c_void_p, names: tuple[str, ...]) -> None:
    """Turn privileges on in a token. TOKEN_PRIVILEGES is packed: a count, then a LUID and attributes for each."""
    state = struct.pack("<I", len(names))
    for name in names:
        luid = ctypes.c_uint64()
        api.call("LookupPrivilegeValueW", None, name, ctypes.byref(luid))
        state += struct.pack("<QI", luid.value, _PRIVILEGE_ENABLED)
    buffer = ctypes.create_string_buffer(state, len(state))
    api.call("AdjustTokenPrivileges", token, 0, buffer, 0, None, None)
    if api.last_error() == _failures.NOT_ALL_ASSIGNED:  # told by a call that has succeeded
        raise PrivilegeMissing(
            f"this account does not hold {', '.join(names)}; run as a member of Administrators, elevated"
        )
