"""Sockets to listen on: made here, or handed over by whoever started the process.

A socket of a file system is for its owner alone (mode 0600). One that a dead process left is replaced; one that
somebody listens on is not.

Source: systemd sd_listen_fds(3) (``LISTEN_PID``, ``LISTEN_FDS``, ``LISTEN_FDNAMES``); unix(7).
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from winlayers.errors import InUse, InvalidArgument, Unsupported

_FIRST_DESCRIPTOR = 3
_BACKLOG = 128
_MAX_PATH = 107  # bytes of a path of a socket on Linux
_PROBE_SECONDS = 2.0
_MODE = 0o600


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """Listen on a socket of the file system; its file goes at the end.

    Args:
        path: absolute.
    Raises:
        InUse, InvalidArgument, Unsupported: see ``make_way``.
    """
    make_way(path)
    with socket.socket(socket.AF_UNIX) as listener:
        with private_files():
            listener.bind(os.fspath(path))
        try:
            listener.listen(_BACKLOG)
            made = path.stat().st_ino
            yield listener
        finally:
            with suppress(FileNotFoundError):
                if path.stat().st_ino == made:  # not that of one who came after us
                    path.unlink()


@contextmanager
def private_files() -> Iterator[None]:
    """Sockets that are made in the block are for their owner alone."""
    before = os.umask(0o777 & ~_MODE)
    try:
        yield
    finally:
        os.umask(before)


def handed_over(environ: Mapping[str, str], name: str) -> socket.socket | None:
    """A listening socket that the process was started with.

    Args:
        environ: of the process.
        name: of the socket; where none has a name and there is only one, that one is it.
    Returns:
        The socket, or None where none was handed over.
    Raises:
        InvalidArgument: sockets were handed over, and none is this one.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    count = environ.get("LISTEN_FDS", "")
    if not count.isascii() or not count.isdigit() or not int(count):
        return None
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    if int(count) == 1:
        place = 0
    elif name in names[: int(count)]:
        place = names.index(name)
    else:
        raise InvalidArgument(
            f"{count} sockets were handed over, and none is named {name}; set FileDescriptorName={name}"
        )
    descriptor = _FIRST_DESCRIPTOR + place
    os.set_inheritable(descriptor, False)
    return socket.socket(fileno=descriptor)


def make_way(path: Path) -> None:
    """See that a socket can be made at a path, and remove one that nobody listens on.

    Args:
        path: absolute.
    Raises:
        InUse: somebody listens there.
        InvalidArgument: the path is too long, or something else is there.
        Unsupported: the system has no such sockets.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise Unsupported("this system has no sockets in folders, which engines are served on")
    if not path.is_absolute() or len(os.fsencode(path)) > _MAX_PATH:
        raise InvalidArgument(
            f"{path} cannot be a socket: its path must be absolute, and have {_MAX_PATH} bytes at most"
        )
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise InvalidArgument(
            f"{path} is there and no socket; remove it, or choose another --address"
        )
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_SECONDS)
        code = probe.connect_ex(os.fspath(path))
    if code not in (errno.ECONNREFUSED, errno.ENOENT):
        raise InUse(f"somebody listens on {path} already; end it, or choose another --address")
    path.unlink(missing_ok=True)
