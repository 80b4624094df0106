"""Digests of content, as image formats write them, and a reader that verifies one.

A digest is an algorithm, a colon and lowercase hex: ``sha256:`` and 64 digits, or ``sha512:`` and 128.
Nothing else is taken, as another algorithm could not be checked. This module knows nothing of blobs,
stores or files on disk.
Source: OCI image specification, descriptor.md, "Digests".
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from winlayers.base.fileobj import RawReader, Readable, read_into
from winlayers.errors import DigestMismatch, InvalidArgument

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK_SIZE = 1 << 20

_HEX_SIZES = {"sha256": 64, "sha512": 128}
_HEX = re.compile(r"[0-9a-f]+")
_QUOTED_SIZE = 150  # characters: all of a digest, and little of what a stranger wrote instead


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """The digest of some content; it is its own text (``str``) and can be a key.

    Attributes:
        algorithm: ``sha256`` or ``sha512``.
        hex: lowercase hexadecimal digits, as many as the algorithm has.

    Raises:
        InvalidArgument: another algorithm, or digits that are not those of the algorithm.
    """

    algorithm: str
    hex: str

    def __post_init__(self) -> None:
        size = _HEX_SIZES.get(self.algorithm)
        if size is None:
            raise InvalidArgument(
                f"digest algorithm {_quoted(self.algorithm)} is not known; use sha256 or sha512"
            )
        if len(self.hex) != size or not _HEX.fullmatch(self.hex):
            raise InvalidArgument(
                f"a {self.algorithm} digest has {size} lowercase hex digits, not {_quoted(self.hex)}"
            )

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read the written form.

        Args:
            text: such as ``sha256:e3b0...``.
        Returns:
            The digest.
        Raises:
            InvalidArgument: no colon, another algorithm, or wrong digits.
        """
        algorithm, colon, digits = text.partition(":")
        if not colon:
            raise InvalidArgument(
                f"{_quoted(text)} is not a digest: it lacks an algorithm and a colon"
            )
        return cls(algorithm, digits)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


class DigestReader(RawReader):
    """A file object that digests what is read through it and verifies it at its end.

    Only ``read`` of the source is used; closing is left to whoever opened the source.
    """

    def __init__(
        self, source: Readable, expected: Digest | None = None, *, what: str = "content"
    ) -> None:
        """Begin at the present position of ``source``.

        Args:
            source: what to read.
            expected: the digest it should have, or None to compute SHA-256 and check nothing.
            what: how an error names the content.
        """
        self._source = source
        self._expected = expected
        self._what = what
        self._algorithm = expected.algorithm if expected is not None else "sha256"
        self._hash = hashlib.new(self._algorithm)
        self.size = 0

    @property
    def digest(self) -> Digest:
        """The digest of what was read so far; ``size`` says how many bytes that is."""
        return Digest(self._algorithm, self._hash.hexdigest())

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read on into a buffer; see ``read``."""
        return read_into(self, buffer)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on.

        Args:
            size: bytes at most; None or negative reads to the end.
        Returns:
            Bytes of the source, empty at its end.
        Raises:
            DigestMismatch: the source has ended and its digest is not the expected one.
        """
        reads_all = size is None or size < 0
        block = self._source.read(-1 if size is None else size)
        self._hash.update(block)
        self.size += len(block)
        if reads_all or (size and not block):
            self._compare()
        return block

    def verify(self) -> Digest:
        """Read what is left and compare, for a caller that stopped before the end.

        Returns:
            The digest of the whole.
        Raises:
            DigestMismatch: it is not the expected one.
        """
        while self.read(BLOCK_SIZE):
            pass
        return self.digest

    def _compare(self) -> None:
        if self._expected is not None and self.digest != self._expected:
            raise DigestMismatch(self._what, expected=str(self._expected), actual=str(self.digest))


def digest_of(source: Readable, algorithm: str = "sha256") -> Digest:
    """Digest a file object from its present position to its end.

    Args:
        source: what to read, in blocks of 1 MiB.
        algorithm: ``sha256`` or ``sha512``.
    Returns:
        The digest.
    Raises:
        InvalidArgument: another algorithm.
    """
    if algorithm not in _HEX_SIZES:
        raise InvalidArgument(
            f"digest algorithm {_quoted(algorithm)} is not known; use sha256 or sha512"
        )
    hasher = hashlib.new(algorithm)
    while block := source.read(BLOCK_SIZE):
        hasher.update(block)
    return Digest(algorithm, hasher.hexdigest())


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _QUOTED_SIZE else f"{text[:_QUOTED_SIZE]}...")
