"""Sending blobs: in one piece where they are small, else in chunks that can be sent again.

    POST  uploads/                    202, Location of the upload
    PATCH location, Content-Range     202, Location, Range of what is there; as often as it takes
    GET   location                    204, Location, Range: after a cut
    PUT   location?digest=            201: now there is a blob

The source is read once and cannot go back, so the chunk in hand is kept until the other side has it. What comes after
it is read, and digested by whoever reads, while it is sent. This module knows neither logins nor where repositories are.

Source: OCI distribution-spec spec.md, "Pushing blobs" (POST then PUT; chunks; "Getting the status of an upload").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO, Protocol, Self

from winlayers.base.digest import Digest
from winlayers.distribution._failures import failure_of
from winlayers.distribution._http import Answer, origin_of, resolve_url, shown
from winlayers.distribution.retry import Patience
from winlayers.errors import Corrupt, DistributionError

CHUNK_SIZE = 8 << 20
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,19})")
_READ_SIZE = 1 << 20
_OCTETS = "application/octet-stream"


class Send(Protocol):
    """Sends one request, once: an answer of any status, or DistributionError."""

    def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: memoryview | bytes | None
    ) -> Answer: ...


@dataclass(slots=True)
class Upload:
    """One upload that was begun.

    Attributes:
        send: see ``Send``.
        location: its URL, which changes as it goes.
        patience: how often to try.
        is_there: whether the blob has come to be after all.
        what: how errors name the blob.
        chunk_size: in bytes.
    """

    send: Send
    location: str
    patience: Patience
    is_there: Callable[[], bool]
    what: str
    chunk_size: int = CHUNK_SIZE

    def run(self, source: BinaryIO, size: int, digest: Digest) -> None:
        """Send a blob and have it kept.

        Args:
            source: its bytes, read to their end.
            size: how many there have to be.
            digest: of them.
        Raises:
            Corrupt: there are more bytes, or fewer.
            DistributionError: the other side does not take them.
            LoginRefused: it takes none of ours.
        """
        sent = 0
        with _Chunks(source, min(self.chunk_size, max(size, 1)), size) as chunks:
            chunk = chunks.next()
            while len(chunk) == self.chunk_size and sent + len(chunk) < size:
                chunks.begin_next()
                self._send_chunk(chunk, sent)
                sent += len(chunk)
                chunk = chunks.next()
        if sent + len(chunk) != size or source.read(1):
            more = "more" if sent + len(chunk) >= size else "fewer"
            raise Corrupt(f"{self.what} has {more} bytes than the {size} of its descriptor")
        if sent or not self._send_whole(chunk, digest):
            self._send_chunk(chunk, sent, failures=0 if sent else 1)
            self.patience.run(lambda: self._finish(b"", digest))

    def _send_whole(self, chunk: memoryview, digest: Digest) -> bool:
        """Send all in one request; False where it failed in a way that passes, maybe halfway."""
        try:
            self._finish(chunk, digest)
        except DistributionError as error:
            if not error.is_transient:
                raise
            self.patience.pause(1, error)
            return self.is_there()
        return True

    def _send_chunk(self, chunk: memoryview, start: int, failures: int = 0) -> None:
        """Send a chunk; after a failure only what is not there yet."""
        end = start + len(chunk)
        unclear = 0
        while True:
            try:
                there = self._ask_status(start, len(chunk), unclear) if failures else start
                if there < end:
                    self._patch(chunk[there - start :], there)
            except DistributionError as error:
                if error.status == 416 and failures:
                    unclear = 1 - unclear
                failures += 1
                has_passed = error.is_transient or error.status in (None, 416)
                if not has_passed or failures >= self.patience.attempts:
                    raise
                self.patience.pause(failures, error)
            else:
                return

    def _patch(self, chunk: memoryview, start: int) -> None:
        headers = {
            "Content-Type": _OCTETS,
            "Content-Range": f"{start}-{start + len(chunk) - 1}",
        }
        answer = self.send("PATCH", self.location, headers, chunk)
        if answer.status not in (202, 204):
            raise failure_of(answer, f"sending {self.what}")
        self._follow(answer)

    def _ask_status(self, start: int, size: int, unclear: int) -> int:
        """How many bytes the other side has, of which ``start`` are certain.

        ``0-0`` is said of one byte and of none; ``unclear`` says which of the two it is taken for.
        """
        answer = self.send("GET", self.location, {}, None)
        if answer.status not in (202, 204):
            raise failure_of(answer, f"going on with {self.what}")
        self._follow(answer)
        match = _RANGE.fullmatch(answer.headers.get("Range", "").strip())
        last = int(match[1]) if match else 0
        there = last + 1 if last else unclear
        if not start <= there <= start + size:
            raise DistributionError(
                f"sending {self.what}: {answer.origin.authority} has {there} bytes of it, "
                f"and had {start} before; push it again",
                status=answer.status,
            )
        return there

    def _finish(self, chunk: memoryview | bytes, digest: Digest) -> None:
        mark = "&" if "?" in self.location else "?"
        url = f"{self.location}{mark}digest={digest}"
        answer = self.send("PUT", url, {"Content-Type": _OCTETS}, chunk)
        if answer.status in (201, 204):
            answer.close()
        elif answer.status == 404 and self.is_there():
            answer.close()  # an earlier attempt did it, and its answer was lost
        else:
            raise failure_of(answer, f"sending {self.what}")

    def _follow(self, answer: Answer) -> None:
        answer.close()
        if location := answer.headers.get("Location"):
            self.location = follow_location(answer, location, self.what)


def follow_location(answer: Answer, location: str, what: str) -> str:
    """The URL where an upload goes on, as an answer names it.

    Args:
        answer: to a request of the upload.
        location: its header.
        what: how errors name the blob.
    Raises:
        DistributionError: it is no URL, or leaves TLS, so that others could read or change the bytes.
    """
    url = resolve_url(answer.url, location)
    if answer.origin.scheme == "https" and origin_of(url).scheme != "https":
        raise DistributionError(
            f"sending {what}: {answer.origin.authority} wants it sent on without TLS, to {shown(url)}; "
            "its address is set wrongly there",
            status=answer.status,
        )
    return url


class _Chunks:
    """The chunks of a file object; one may be read, in a thread, while the one before is sent.

    Args:
        source: only ``read`` is used.
        chunk_size: bytes of each chunk but the last.
        size: bytes in all, as far as is known.
    """

    def __init__(self, source: BinaryIO, chunk_size: int, size: int) -> None:
        self._source = source
        count = 1 if size <= chunk_size else 2
        self._buffers = [memoryview(bytearray(chunk_size)) for _ in range(count)]
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="winlayers-upload")
        self._coming: Future[memoryview] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin_next(self) -> None:
        """Begin to read the chunk after the last, into the buffer of the one before that."""
        self._buffers.reverse()
        self._coming = self._pool.submit(_fill, self._buffers[0], self._source)

    def next(self) -> memoryview:
        """The next chunk, which is good until another one is begun twice; shorter than the others at the end."""
        coming, self._coming = self._coming, None
        return _fill(self._buffers[0], self._source) if coming is None else coming.result()


def _fill(buffer: memoryview, source: BinaryIO) -> memoryview:
    """Bytes of a file object that may give fewer than it is asked for; less than the buffer only at its end."""
    count = 0
    while count < len(buffer) and (block := source.read(min(len(buffer) - count, _READ_SIZE))):
        buffer[count : count + len(block)] = block
        count += len(block)
    return buffer[:count]
