"""The process that serves a forest, from inside: opens the source of snapshots, mounts, and serves until the end.

It ends as the process of a single mount does (``server``). Snapshots that cannot be opened do not end it; what
went wrong with them is in ``log/mount-snapshots.log`` of the store, as who looks at a folder learns a number
only. Where snapshots are kept is known to ``open_source``, which is handed in.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from threading import Event, Thread
from typing import NoReturn

from winlayers.mounts.contract import ForestRequest
from winlayers.mounts.fuse._forest_operations import ForestOperations, Shown, SnapshotSource
from winlayers.mounts.fuse._process import parse_forest_request
from winlayers.mounts.fuse.server import (
    Voice,
    disk_space,
    load_loop,
    log_faults,
    mount_options,
    run_loop,
    served,
)

__all__ = ["FOREST", "Shown", "SnapshotSource", "SourceOpener", "run_and_exit", "serve"]

SourceOpener = Callable[[ForestRequest], SnapshotSource]
"""Opens the source of what is asked for."""

#: What a forest is called in the source of its mount, where other mounts have the id of a layer.
FOREST = "snapshots"
# More than a single mount has: opening a snapshot may wait for whoever makes a layer of it, and others shall not.
_THREADS = 16
# How often trees are looked for that nobody has used for long.
_TIRE_SECONDS = 10.0


def serve(open_source: SourceOpener) -> int:
    """Read the request from standard input, mount, and serve; the exit status.

    Args:
        open_source: opens the source; an error of it is told to who asked.
    """

    def work(request: ForestRequest, voice: Voice) -> None:
        log_faults(request.home, FOREST)
        _serve(request, open_source(request), voice)

    return served(parse_forest_request, work)


def run_and_exit(open_source: SourceOpener) -> NoReturn:
    """Serve, and end the process at once: threads of libfuse must not see Python taken apart."""
    status = serve(open_source)
    os._exit(status)


def _serve(request: ForestRequest, source: SnapshotSource, voice: Voice) -> None:
    loop = load_loop()
    operations = ForestOperations(
        source,
        clock_ns=time.time_ns,
        monotonic=time.monotonic,
        disk_space=lambda: disk_space(request.home),
    )
    options = mount_options(
        FOREST,
        version=loop.VERSION,
        is_fixed=False,
        shared=request.shared,
        thread_count=_THREADS,
    )
    ended = Event()
    Thread(target=_tire, args=(operations, ended), daemon=True).start()
    try:
        run_loop(loop, operations, request.path, voice, is_fixed=False, options=options)
    finally:
        ended.set()


def _tire(operations: ForestOperations, ended: Event) -> None:
    while not ended.wait(_TIRE_SECONDS):
        operations.tire()
