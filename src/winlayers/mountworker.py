"""The process that serves a mount of a layer of the portable backend; ``mounts.fuse.server`` does the rest."""

from __future__ import annotations

from typing import NoReturn

from winlayers.backends.portable.backend import PortableBackend
from winlayers.layer.chain import Chain
from winlayers.layer.view import View
from winlayers.mounts.contract import MountRequest
from winlayers.mounts.fuse.server import run_and_exit

# How much later than it was answered a change may be seen by who does not look through the mount.
_DELAY_SECONDS = 0.02


def open_view(request: MountRequest) -> tuple[View, bool]:
    """What a request asks for, and whether it never changes.

    A scratch that is only looked at is shown as it is now, whatever others go on to write.
    """
    backend = PortableBackend(request.home, tmpdir=request.tmpdir)
    chain = Chain(request.chain)
    if backend.usage(request.layer_id).kind != "scratch":
        return backend.view(request.layer_id, chain), True
    scratch = backend.scratch(request.layer_id, chain, read_only=request.read_only)
    if request.read_only:
        scratch.freeze()
    else:
        scratch.gather(_DELAY_SECONDS)
    return scratch, request.read_only


def run() -> NoReturn:
    """Run this process."""
    run_and_exit(open_view)


if __name__ == "__main__":
    run()
