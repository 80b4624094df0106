"""The process that serves a mount, from inside: opens the view, mounts, says so, and serves until the end.

It ends when the mount does: unmounted by anybody, or by a signal (TERM, INT, HUP), for which libfuse takes
the mount away lazily. In each case what is open is closed and the view is, before the process ends. Where
the layer is kept is known to ``open_view``, which is handed in.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import closing
from ctypes import CDLL
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from winlayers.errors import MissingExtra, RemoteFailure, WinlayersError
from winlayers.layer.names import FILES
from winlayers.layer.tree import Tree
from winlayers.layer.view import View
from winlayers.mounts.contract import MountRequest
from winlayers.mounts.fuse._faultlog import FaultLog
from winlayers.mounts.fuse._install import INSTALL
from winlayers.mounts.fuse._operations import Operations
from winlayers.mounts.fuse._process import build_error, build_ready, parse_request
from winlayers.mounts.fuse.mountinfo import mount_source

_Request = TypeVar("_Request")

ViewOpener = Callable[[MountRequest], tuple[View, bool]]
"""Opens what is asked for; the view, and whether it can never change."""

# How long the kernel may believe what it was told, in seconds. What never changes it may believe for good. A
# scratch changes through the mount alone, so the kernel knows of all changes of a path that it asked for, and
# is told of those of other paths of the same file (``_twins``); what it may miss is an answer that was on its
# way at that moment, or a file with very many paths.
_FOREVER_SECONDS = 86_400.0
_SCRATCH_SECONDS = 10.0
# Requests that are answered at once. Python runs one at a time; others may wait for the disk meanwhile. With
# more threads the kernel wakes another one for each request, which takes longer than most answers.
_THREADS = 4
_LIBRARIES = ("libfuse3.so.4", "libfuse3.so.3")
_log = logging.getLogger("winlayers.mounts")


def serve(open_view: ViewOpener) -> int:
    """Read the request from standard input, mount, and serve; the exit status.

    Args:
        open_view: opens the view; an error of it is told to who asked.
    """

    def work(request: MountRequest, voice: Voice) -> None:
        log_faults(request.home, request.layer_id)
        view, is_fixed = open_view(request)
        with closing(view):
            _serve(request, view, voice, is_fixed=is_fixed)

    return served(parse_request, work)


def served(parse: Callable[[bytes], _Request], work: Callable[[_Request, Voice], None]) -> int:
    """What every process of a mount does: read its request, work, and tell who asked what went wrong.

    Args:
        parse: reads the request.
        work: mounts and serves.
    Returns:
        The exit status.
    """
    os.umask(0)
    voice = Voice()
    try:
        work(parse(sys.stdin.buffer.read()), voice)
    except (WinlayersError, OSError) as error:
        voice.say(build_error(error))
        _log.exception("the mount ended")
        return 1
    return 0


def log_faults(home: Path, name: str) -> None:
    """Have faults be logged in the store, in a file that is called after what is mounted."""
    logging.getLogger("winlayers").addHandler(FaultLog(home / "log" / f"mount-{name}.log"))


def run_and_exit(open_view: ViewOpener) -> NoReturn:
    """Serve, and end the process at once: threads of libfuse must not see Python taken apart."""
    status = serve(open_view)
    os._exit(status)


def _serve(request: MountRequest, view: View, voice: Voice, *, is_fixed: bool) -> None:
    loop = load_loop()
    tree = Tree(
        view,
        root="" if request.raw else FILES,
        clock_ns=time.time_ns,
        read_only=request.read_only,
    )
    operations = Operations(
        tree, clock_ns=time.time_ns, disk_space=lambda: disk_space(request.home)
    )
    options = mount_options(
        request.layer_id,
        version=loop.VERSION,
        is_fixed=is_fixed,
        read_only=request.read_only,
        shared=request.shared,
    )
    run_loop(loop, operations, request.path, voice, is_fixed=is_fixed, options=options)


def disk_space(home: Path) -> tuple[int, int]:
    """Bytes that the disk of a store has, all and free."""
    usage = shutil.disk_usage(home)
    return usage.total, usage.free


def run_loop(
    loop: Any,
    operations: object,
    path: Path,
    voice: Voice,
    *,
    is_fixed: bool,
    options: dict[str, Any],
) -> None:
    """Mount, and serve until the mount is gone.

    Args:
        loop: what ``load_loop`` gave.
        operations: answer.
        path: where.
        voice: says that the mount is there.
        is_fixed: whether what is shown never changes.
        options: for libfuse.
    Raises:
        RemoteFailure: libfuse could not mount.
    """
    try:
        loop.Loop(
            operations,
            os.fspath(path),
            on_ready=voice.ready,
            is_fixed=is_fixed,
            options=options,
        )
    except RuntimeError as error:
        # Also raised when a signal ended the loop, as it should.
        if not voice.is_ready:
            raise RemoteFailure(f"libfuse could not mount at {path}") from error


def mount_options(
    name: str,
    *,
    version: tuple[int, int],
    is_fixed: bool,
    read_only: bool = False,
    shared: bool = False,
    thread_count: int = _THREADS,
) -> dict[str, Any]:
    """Options of a mount for libfuse.

    Args:
        name: what is shown, for the source of the mount.
        version: of libfuse.
        is_fixed: whether what is shown can never change.
        read_only: whether it takes no writes.
        shared: whether others than who mounts may look at it.
        thread_count: requests that are answered at once.
    """
    seconds = _FOREVER_SECONDS if is_fixed else _SCRATCH_SECONDS
    options: dict[str, Any] = {
        "fsname": mount_source(name, os.getpid()),
        "subtype": "winlayers",
        "use_ino": True,
        "entry_timeout": seconds,
        "attr_timeout": seconds,
        # A name that is not there may be under another spelling that is made next.
        "negative_timeout": seconds if is_fixed else 0,
        # Keep what was read when a file is opened again; auto: if size and time are still the same.
        "kernel_cache" if is_fixed else "auto_cache": True,
    }
    if version < (3, 0):
        options["big_writes"] = True
    if version >= (3, 12):
        options["max_threads"] = thread_count
    if read_only:
        options["ro"] = True
    if shared:
        options |= {"allow_other": True, "default_permissions": True}
    return options


def load_loop() -> Any:
    """The module that needs what may not be installed.

    Raises:
        MissingExtra: it is not.
    """
    if sys.platform == "linux":
        # mfusepy would take libfuse 2 where both are.
        for name in _LIBRARIES:
            try:
                CDLL(name)
            except OSError:
                continue
            os.environ.setdefault("FUSE_LIBRARY_PATH", name)
            break
    try:
        from winlayers.mounts.fuse import _loop
    except (ImportError, OSError, AttributeError) as error:
        raise MissingExtra(f"{INSTALL} ({error})") from error
    return _loop


class Voice:
    """What this process says to who started it: one line; then it has nobody to talk to any more."""

    def __init__(self) -> None:
        self.is_ready = False

    def ready(self) -> None:
        self.is_ready = True
        self.say(build_ready())

    def say(self, line: bytes) -> None:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1) if not self.is_ready else (0, 1, 2):
            os.dup2(nowhere, descriptor)
        os.close(nowhere)
