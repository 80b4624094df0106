"""Blobs as file objects that go on after a cut.

A blob has a known size. When the connection is cut or falls silent, the rest is asked for with ``Range``; whoever
answers with the whole instead has its beginning skipped. More or fewer bytes than the size are an error; whether they
are the right ones is left to the digest, which whoever reads checks. This module knows neither URLs nor logins.

Source: RFC 9110, 13.1.5 (If-Range), 14.2 (Range), 14.4 (Content-Range).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from winlayers.base.fileobj import RawReader, read_into
from winlayers.distribution._failures import failure_of
from winlayers.distribution._http import Answer
from winlayers.distribution.retry import Patience
from winlayers.errors import BlobNotFound, Corrupt, DistributionError, InvalidArgument

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

READ_SIZE = 1 << 18
_PROGRESS = 1 << 20
"""Bytes after which a cut counts as the first one again, so that a large blob outlives many."""
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(?:(\d{1,19})|\*)")

Ask = Callable[[Mapping[str, str]], Answer]
"""Sends the request with some more headers, once."""


class BlobReader(RawReader):
    """The bytes of a blob from an offset on."""

    def __init__(self, ask: Ask, size: int, offset: int, patience: Patience, what: str) -> None:
        """Ask for it.

        Args:
            ask: sends the request; several times where there are cuts.
            size: of the whole blob, in bytes.
            offset: where to begin.
            patience: how often to go on.
            what: how errors name it.
        Raises:
            BlobNotFound: it is not there.
            Corrupt: it has another size.
            InvalidArgument: the offset is not in it.
            DistributionError, LoginRefused: as for any request.
        """
        if not 0 <= offset <= size:
            raise InvalidArgument(f"{what} has {size} bytes; it cannot be read from {offset} on")
        self._ask = ask
        self._size = size
        self._patience = patience
        self._what = what
        self._position = offset
        self._tag = ""
        self._failures = 0
        self._last_failure_at = -_PROGRESS
        self._answer: Answer | None = None
        if offset < size or not size:
            self._answer = patience.run(self._open)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on, after a cut from a new connection.

        Raises:
            Corrupt: there are more bytes than there should be, or fewer.
            DistributionError: it was cut too often.
        """
        if size is None or size < 0:
            return self.readall()
        left = self._size - self._position
        while left and size:
            try:
                answer = self._answer = self._answer or self._open()
                block = answer.read(min(size, left, READ_SIZE))
                if not block:
                    raise DistributionError(
                        f"{self._what} ended {left} bytes too early", is_transient=True
                    )
            except DistributionError as error:
                self._endure(error)
            else:
                self._position += len(block)
                return block
        if not left:
            self._finish()
        return b""

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read on into a buffer; see ``read``."""
        return read_into(self, buffer)

    def close(self) -> None:
        """Give the connection back, or cut it."""
        if not self.closed and self._answer is not None:
            self._answer.close()
            self._answer = None
        super().close()

    def _endure(self, error: DistributionError) -> None:
        """Wait for the next attempt, or raise the error that was one too many."""
        if self._answer is not None:
            self._answer.close()
            self._answer = None
        if error.status is not None and not error.is_transient:
            raise error
        if self._position - self._last_failure_at >= _PROGRESS:
            self._failures = 0
        self._failures += 1
        self._last_failure_at = self._position
        if self._failures >= self._patience.attempts:
            raise error
        self._patience.pause(self._failures, error)

    def _open(self) -> Answer:
        headers = {"Range": f"bytes={self._position}-"} if self._position else {}
        if self._position and self._tag:
            headers["If-Range"] = self._tag
        answer = self._ask(headers)
        try:
            self._check(answer)
            if self._position and answer.status == 200:
                self._skip(answer)
        except BaseException:
            answer.close()
            raise
        return answer

    def _check(self, answer: Answer) -> None:
        if answer.status == 404:
            raise BlobNotFound(f"{answer.origin.authority} does not have {self._what}")
        if answer.status == 200:
            if answer.size not in (None, self._size):
                raise self._wrong_size(answer.size)
            tag = answer.headers.get("ETag", "")
            self._tag = "" if tag.startswith("W/") else tag
        elif answer.status == 206:
            match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
            if match is None or int(match[1]) != self._position:
                raise DistributionError(
                    f"{self._what}: other bytes came than those from {self._position} on",
                    status=206,
                )
            if match[3] is not None and int(match[3]) != self._size:
                raise self._wrong_size(int(match[3]))
        elif answer.status == 416:
            raise self._wrong_size(None)
        else:
            raise failure_of(answer, f"reading {self._what}")

    def _skip(self, answer: Answer) -> None:
        left = self._position
        while left:
            block = answer.read(min(left, READ_SIZE))
            if not block:
                raise DistributionError(f"{self._what} was cut again", is_transient=True)
            left -= len(block)

    def _finish(self) -> None:
        """See that nothing follows, once."""
        if self._answer is None:
            return
        answer, self._answer = self._answer, None
        with answer:
            try:
                more = answer.read(1)
            except DistributionError:
                more = b""  # all bytes are there; how the connection ends does not matter
        if more:
            raise self._wrong_size(None)

    def _wrong_size(self, actual: int | None) -> Corrupt:
        other = "another number of" if actual is None else str(actual)
        return Corrupt(f"{self._what} has {other} bytes, not {self._size} as the manifest says")
