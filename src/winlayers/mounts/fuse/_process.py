"""The process that serves a mount, as who starts it sees it: what is said to it, and how it is found again.

    to its standard input      one JSON object, ``MountRequest`` or ``ForestRequest``
    from its standard output   one line of JSON: {"ready": true}, or {"error": [kind, message]}

It is spawned, never forked, into a session of its own, so that no signal of the terminal reaches it. After
its one line it lets go of its outputs. This module refuses to know what the process does for the mount.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from threading import Thread, Timer
from typing import IO, Any

from winlayers import errors
from winlayers.base.processes import process_start_time
from winlayers.errors import Malformed, RemoteFailure, TimedOut, WinlayersError
from winlayers.mounts.contract import ForestRequest, MountInfo, MountRequest

_START_SECONDS = 60.0
_MAX_LINE = 1 << 20
_SHOWN = 2000


def start_process(worker: str, request: MountRequest | ForestRequest) -> MountInfo:
    """Start a process, and wait until the kernel has its mount.

    Args:
        worker: name of the module whose ``run`` the process runs.
        request: what it shall show.
    Raises:
        WinlayersError: what the process said; it has ended.
        RemoteFailure: it ended without a word that is known here.
        TimedOut: it said nothing in a minute, and was ended.
    """
    process = subprocess.Popen(
        _command(worker),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    timer = Timer(_START_SECONDS, process.kill)
    timer.start()
    try:
        answer, complaint = _talk(process, build_request(request))
    finally:
        was_late = not timer.is_alive()
        timer.cancel()
    if answer == {"ready": True}:
        started = process_start_time(process.pid) or ""
        # Somebody has to hear of its end, or it stays in the table of processes.
        Thread(target=process.wait, daemon=True).start()
        return MountInfo(request.path, process.pid, started)
    process.wait()
    if was_late:
        raise TimedOut(f"nothing was mounted at {request.path} in {_START_SECONDS:.0f} s")
    raise _told_error(answer, complaint, request.path)


def build_request(request: MountRequest | ForestRequest) -> bytes:
    """What is said to the process."""
    return json.dumps(asdict(request), default=str).encode()


def parse_request(data: bytes) -> MountRequest:
    """The way back.

    Raises:
        Malformed: it is no request.
    """
    try:
        told = _parse_told(data)
        told["chain"] = tuple(told["chain"])
        return MountRequest(**told)
    except (ValueError, TypeError, LookupError) as error:
        raise Malformed("mount request", f"{error}") from error


def parse_forest_request(data: bytes) -> ForestRequest:
    """As ``parse_request``, for a forest."""
    try:
        return ForestRequest(**_parse_told(data))
    except (ValueError, TypeError, LookupError) as error:
        raise Malformed("mount request", f"{error}") from error


def _parse_told(data: bytes) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(data)
    for name in ("home", "path", "tmpdir"):
        told[name] = None if told[name] is None else Path(told[name])
    return told


def build_ready() -> bytes:
    """What the process says when the kernel has the mount."""
    return json.dumps({"ready": True}).encode() + b"\n"


def build_error(error: BaseException) -> bytes:
    """What the process says when there will be no mount."""
    return json.dumps({"error": [type(error).__name__, str(error)]}).encode() + b"\n"


def _talk(process: subprocess.Popen[bytes], request: bytes) -> tuple[Any, str]:
    """Say what is wanted; the answer, and if it is not what was hoped for what else was said."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        try:
            process.stdin.write(request)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it ended, and says why below
        answer = _parse_answer(process.stdout)
        complaint = "" if answer == {"ready": True} else _text(process.stderr)
    return answer, complaint


def _parse_answer(output: IO[bytes]) -> Any:
    try:
        return json.loads(output.readline(_MAX_LINE))
    except ValueError:
        return None


def _text(output: IO[bytes]) -> str:
    return output.read(_MAX_LINE).decode("utf-8", "replace").strip()[-_SHOWN:]


def _told_error(answer: Any, complaint: str, path: Path) -> WinlayersError:
    """The error that the process told of; RemoteFailure for what is none of ours."""
    match answer:
        case {"error": [str(name), str(message)]}:
            kind = getattr(errors, name, None)
            if kind in (errors.Malformed, errors.DigestMismatch):
                kind = errors.StoreCorrupt
            text = f"{message}: {complaint}" if complaint else message
            if isinstance(kind, type) and issubclass(kind, WinlayersError):
                return kind(text)
            return RemoteFailure(f"nothing was mounted at {path}: {name}: {text}")
    return RemoteFailure(f"nothing was mounted at {path}: {complaint or 'no word of why'}")


def _command(worker: str) -> list[str]:
    """This Python, looking for modules where this process does."""
    code = "import sys, json; sys.path[:] = json.loads(sys.argv.pop()); "
    code += f"from {worker} import run; run()"
    return [sys.executable, "-c", code, json.dumps([path or "." for path in sys.path])]
