"""A tar made again from its frame and from files that hold its bodies, proved by its digest.

The frame is lines as ``formats.tarsplit`` has them, packed with gzip. This module refuses to know who kept it, and
where bodies lie.

Source: vbatts/tar-split tar/asm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from io import BufferedReader, BytesIO, RawIOBase
from typing import BinaryIO, cast

from winlayers.base.compression import Compression, open_decompressed
from winlayers.base.digest import Digest
from winlayers.base.fileobj import JoinedReader
from winlayers.errors import DigestMismatch, TooLarge
from winlayers.formats.tarsplit import assemble_tar

# Uncompressed: a million entries make less than half of it.
_FRAME_LIMIT = 4 << 30


def open_framed_tar(
    frame: BinaryIO, get_file: Callable[[bytes], BinaryIO], *, diff_id: Digest, what: str
) -> BinaryIO:
    """Make a tar again, as it is read.

    Args:
        frame: the packed frame; the caller closes it once the tar was read.
        get_file: opens the body of an entry, by its name as it stands in the tar; it is closed here.
        diff_id: digest that the tar must have.
        what: whose tar it is, for messages.
    Returns:
        The tar. Its last piece is only given out when the digest of all was compared; without it a tar has no end.
    Raises:
        DigestMismatch: raised by reading: a body, or the whole, is not what it was.
        Malformed: raised by reading: the frame is not of its form.
        TooLarge: raised by reading: the frame has more than 4 GiB.
    """
    lines = _Lines(open_decompressed(frame, compression=Compression.GZIP), what)
    pieces = assemble_tar(cast("BinaryIO", lines), get_file)
    return JoinedReader(map(BytesIO, _proven(pieces, diff_id, what)))


def _proven(pieces: Iterator[bytes], diff_id: Digest, what: str) -> Iterator[bytes]:
    """The pieces, of which the last one waits for the digest of all."""
    digest = hashlib.sha256()
    last = b""
    for piece in pieces:
        yield last
        digest.update(piece)
        last = piece
    actual = Digest("sha256", digest.hexdigest())
    if actual != diff_id:
        raise DigestMismatch(f"tar of {what}", expected=str(diff_id), actual=str(actual))
    yield last


class _Lines:
    """The lines of a frame, up to a size that no frame has."""

    def __init__(self, source: BinaryIO, what: str) -> None:
        self._source = BufferedReader(cast("RawIOBase", source))
        self._what = what
        self._left = _FRAME_LIMIT

    def readline(self, size: int, /) -> bytes:
        line = self._source.readline(size)
        self._left -= len(line)
        if self._left < 0:
            raise TooLarge(f"the frame of {self._what} has more than {_FRAME_LIMIT} bytes")
        return line
