"""The write-layer process: runs one import that its parent feeds, and ends.

What goes in and out is told in ``driver.wire``. The process publishes only on the word to commit; an end of
its input before that leaves nothing. Source: docker-windows-write-layer in moby/moby
daemon/graphdriver/windows/windows.go.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from winlayers.backends.choice import open_backend
from winlayers.backends.contract import ImportPolicy, ImportRequest, TarFacts
from winlayers.driver import wire
from winlayers.errors import Corrupt, WinlayersError
from winlayers.layer.chain import Chain
from winlayers.layer.entry import LayerSummary
from winlayers.layer.findings import Finding

_NICENESS = 10


def main() -> int:
    """Run one import from standard input to standard output; the exit status."""
    # The parent decides about interrupts: it closes our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        os.nice(_NICENESS)  # the parent inflates, and everything waits for that
    descriptor = sys.stdin.fileno()
    splices = hasattr(os, "splice")
    source = wire.SplicingFrameReader(descriptor) if splices else wire.FrameReader(descriptor)
    try:
        request = source.read_message()
        backend = open_backend(
            request["backend"],
            Path(request["home"]),
            tmpdir=None if request["tmpdir"] is None else Path(request["tmpdir"]),
        )
        summary = backend.import_tar(_request(request, source))
    except (WinlayersError, OSError) as error:
        _say(error)
        return 1
    _say(summary)
    return 0


def run() -> NoReturn:
    """Run this process, and end it at once: taking Python apart would only keep the parent waiting."""
    status = main()
    sys.stderr.flush()
    os._exit(status)


def _request(request: dict[str, Any], source: wire.FrameReader) -> ImportRequest:
    def confirm(size: int) -> TarFacts:
        facts = TarFacts(**source.read_message())
        if facts.size != size:
            raise Corrupt(f"{size} bytes of the layer arrived, {facts.size} were sent")
        return facts

    return ImportRequest(
        request["layer_id"],
        Chain(tuple(request["chain"])),
        source,
        confirm,
        {name: wire.load_bytes(content) for name, content in request["files"].items()},
        ImportPolicy(**request["policy"]),
        _say,
    )


def _say(answer: Finding | LayerSummary | BaseException) -> None:
    sys.stdout.buffer.write(wire.dump_answer(answer))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    run()
