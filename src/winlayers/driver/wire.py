"""What the driver and its write-layer process say to each other.

To the child, on its standard input:

    u32 size, JSON        the request: home, layer, chain, the driver's files, what is let pass
    u32 size, bytes ...   the uncompressed tar in frames, any number of them
    u32 0                 the tar is complete
    u32 size, JSON        the word to commit: size and digests that the parent counted

An end of the input anywhere before the last is the word to abandon it all. From the child, on its
standard output, one JSON object a line: ``finding`` any number of times, then ``summary`` or ``error``.

The frames let the kernel move the tar's bytes from the parent's memory into the pack without a copy.
Source: the idea is that of docker-windows-write-layer in moby/moby, which passes the bare tar.
"""

from __future__ import annotations

import errno
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import asdict
from types import UnionType
from typing import Any

from winlayers import errors
from winlayers.errors import (
    Cancelled,
    DigestMismatch,
    Malformed,
    RemoteFailure,
    WindowsCallFailed,
    WinlayersError,
)
from winlayers.layer.entry import LayerSummary
from winlayers.layer.findings import CATALOG, Finding

_SIZE = struct.Struct("<I")
MAX_MESSAGE = 64 << 20
# Errors that are made of more than a message, and of what.
_FACTS: dict[type[WinlayersError], tuple[str, ...]] = {
    Malformed: ("structure", "reason", "offset", "entry", "finding"),
    WindowsCallFailed: ("call", "raw", "code", "text", "events"),
}
_READ_SIZE = 1 << 20


def build_message(value: object) -> bytes:
    """A JSON value as a frame."""
    content = json.dumps(value).encode()
    return _SIZE.pack(len(content)) + content


def build_frame_head(size: int) -> bytes:
    """What goes before ``size`` bytes of the tar; 0 ends it."""
    return _SIZE.pack(size)


class FrameReader:
    """The child's end: messages, and the tar as a file object in between."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._left = 0
        self._is_complete = False

    def read_message(self) -> Any:
        """The next JSON value.

        Raises:
            Cancelled: the input ended: the parent is gone or wants no more of it.
        """
        (size,) = _SIZE.unpack(self._exactly(_SIZE.size))
        if size > MAX_MESSAGE:
            raise Malformed("write-layer request", f"a message of {size} bytes")
        try:
            return json.loads(self._exactly(size))
        except (ValueError, RecursionError) as error:
            raise Malformed("write-layer request", f"no JSON: {error}") from error

    def read(self, size: int = -1, /) -> bytes:
        """Bytes of the tar, at most ``size``; none at its end."""
        if not self._in_frame():
            return b""
        count = min(self._left, _READ_SIZE if size < 0 else size)
        data = os.read(self._descriptor, count)
        if not data:
            raise _gone()
        self._left -= len(data)
        return data

    def _in_frame(self) -> bool:
        """Whether bytes of the tar are left, having read the next frame's head where one is due."""
        if self._left == 0 and not self._is_complete:
            (self._left,) = _SIZE.unpack(self._exactly(_SIZE.size))
            self._is_complete = self._left == 0
        return self._left > 0

    def _exactly(self, size: int) -> bytes:
        pieces = []
        while size:
            piece = os.read(self._descriptor, min(size, _READ_SIZE))
            if not piece:
                raise _gone()
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)


class SplicingFrameReader(FrameReader):
    """The same where the kernel can move bytes from a pipe into a file (Linux)."""

    def splice_into(self, descriptor: int, size: int) -> int:
        """Move at most ``size`` bytes of the tar to the end of a file; 0 at the end of the tar."""
        if not self._in_frame():
            return 0
        try:
            moved = os.splice(self._descriptor, descriptor, min(size, self._left))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return self._copy_into(descriptor, size)  # a file system that cannot take pages
        if not moved:
            raise _gone()
        self._left -= moved
        return moved

    def _copy_into(self, descriptor: int, size: int) -> int:
        data = memoryview(self.read(size))
        moved = len(data)
        while data:
            data = data[os.write(descriptor, data) :]
        return moved


def _gone() -> Cancelled:
    return Cancelled("the layer was abandoned before it was complete")


def dump_bytes(content: bytes) -> str:
    """Bytes that are nearly always UTF-8, but for paths of other encodings in them."""
    return content.decode("utf-8", "surrogateescape")


def load_bytes(text: str) -> bytes:
    """The way back."""
    return text.encode("utf-8", "surrogateescape")


def dump_answer(answer: Finding | LayerSummary | BaseException) -> bytes:
    """What the child says, as a line."""
    if isinstance(answer, Finding):
        value = {"finding": asdict(answer)}
    elif isinstance(answer, LayerSummary):
        value = {"summary": asdict(answer)}
    else:
        value = {"error": dump_error(answer)}
    return json.dumps(value).encode() + b"\n"


_SUMMARY_FIELDS = {
    "size": int, "entry_count": int, "diff_id": str, "digest": str, "tar_size": int
}  # fmt: skip
_FINDING_FIELDS = {
    "code": str, "entry": str, "detail": str, "layer_id": str, "offset": int | None
}  # fmt: skip


def _checked(value: dict[str, Any], fields: Mapping[str, type | UnionType]) -> dict[str, Any]:
    """The fields of a value, each of the type that it must have."""
    for name, content in value.items():
        if not isinstance(content, fields[name]):
            raise TypeError(f"{name} is {content!r}")
    return value


def load_answer(line: bytes) -> Finding | LayerSummary | Exception:
    """The way back.

    Raises:
        RemoteFailure: it is none of these; the child may have been taken over by what it parsed.
    """
    try:
        value = json.loads(line)
        if "finding" in value:
            finding = Finding(**_checked(value["finding"], _FINDING_FIELDS))
            CATALOG[finding.code]  # one that nobody could tell is no finding
            return finding
        if "summary" in value:
            return LayerSummary(**_checked(value["summary"], _SUMMARY_FIELDS))
        return load_error(value["error"])
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise RemoteFailure(f"the write-layer process said {line[:200]!r}") from error


def dump_error(error: BaseException) -> dict[str, Any]:
    """An error as JSON, with the facts that its class carries."""
    facts: dict[str, Any] = {"kind": type(error).__name__, "message": str(error)}
    for kind, names in _FACTS.items():
        if isinstance(error, kind):
            facts |= {name: getattr(error, name) for name in names}
    if isinstance(error, WinlayersError):
        facts["finding"] = error.finding
    if isinstance(error, OSError):
        filename = None if error.filename is None else str(error.filename)
        facts |= {"errno": error.errno, "strerror": error.strerror, "filename": filename}
    return facts


def load_error(value: dict[str, Any]) -> Exception:
    """The way back; an error that is none of ours becomes a RemoteFailure that quotes it."""
    for known, names in _FACTS.items():
        if value["kind"] == known.__name__:
            return known(**{name: value[name] for name in names})
    if value.get("errno") is not None:
        return OSError(value["errno"], value["strerror"], value["filename"])
    kind = getattr(errors, value["kind"], None)
    if isinstance(kind, type) and issubclass(kind, WinlayersError) and kind is not DigestMismatch:
        loaded: WinlayersError = kind(value["message"])
        loaded.finding = value.get("finding")
        return loaded
    return RemoteFailure(f"the write-layer process failed: {value['kind']}: {value['message']}")
