"""Bounded little-endian reading and writing of small binary structures.

``Cursor`` walks a buffer that is wholly in memory and never leaves it: a field that does not fit is
``Malformed``, with the name of the structure and the offset at which the field would have started.
``Builder`` is the way back; a number that its field cannot hold is ``InvalidArgument``.
Neither knows any format.
"""

from __future__ import annotations

from winlayers.errors import InvalidArgument, Malformed


class Cursor:
    """Reads fields of a buffer one after another, never past its end.

    Attributes:
        structure: what the buffer is; the errors name it.
        at: offset of the next field in bytes from the start of the buffer.
    """

    __slots__ = ("_data", "at", "structure")

    def __init__(self, data: bytes, structure: str, *, at: int = 0) -> None:
        """Start reading ``data`` at ``at``.

        Args:
            data: the whole buffer; offsets in errors count from its start.
            structure: what the buffer is, for errors ("reparse buffer").
            at: where the first field is, in bytes.
        Raises:
            Malformed: ``at`` is outside the buffer.
        """
        self._data = data
        self.structure = structure
        self.at = 0
        self.seek(at)

    @property
    def remaining(self) -> int:
        """Bytes from here to the end of the buffer."""
        return len(self._data) - self.at

    def malformed(self, reason: str, *, at: int | None = None) -> Malformed:
        """An error about this buffer, to be raised by the caller.

        Args:
            reason: what is wrong.
            at: offset in bytes of what is wrong; by default that of the next field.
        """
        return Malformed(self.structure, reason, offset=self.at if at is None else at)

    def seek(self, at: int) -> None:
        """Go on at ``at`` bytes from the start of the buffer.

        Raises:
            Malformed: ``at`` is outside the buffer; its very end is still inside.
        """
        if not 0 <= at <= len(self._data):
            raise self.malformed(f"offset {at} is outside its {len(self._data)} bytes")
        self.at = at

    def take(self, size: int, what: str = "field") -> bytes:
        """The next ``size`` bytes.

        Args:
            size: how many bytes.
            what: name of the field, for the error.
        Raises:
            Malformed: fewer are left, or the size came out negative.
        """
        if not 0 <= size <= self.remaining:
            raise self.malformed(f"{what} of {size} bytes, but {self.remaining} are left")
        start = self.at
        self.at = start + size
        return self._data[start : self.at]

    def uint(self, size: int, what: str = "field") -> int:
        """The next ``size`` bytes as an unsigned little-endian number.

        Raises:
            Malformed: fewer are left.
        """
        return int.from_bytes(self.take(size, what), "little")

    def u8(self, what: str = "field") -> int:
        """The next byte. Raises Malformed at the end."""
        return self.uint(1, what)

    def u16(self, what: str = "field") -> int:
        """The next two bytes as a number. Raises Malformed at the end."""
        return self.uint(2, what)

    def u32(self, what: str = "field") -> int:
        """The next four bytes as a number. Raises Malformed at the end."""
        return self.uint(4, what)

    def u64(self, what: str = "field") -> int:
        """The next eight bytes as a number. Raises Malformed at the end."""
        return self.uint(8, what)


class Builder:
    """Puts fields into a growing buffer, one after another.

    Attributes:
        structure: what is being built; the errors name it.
    """

    __slots__ = ("_data", "structure")

    def __init__(self, structure: str) -> None:
        """Start with an empty buffer.

        Args:
            structure: what is being built, for errors ("reparse buffer").
        """
        self._data = bytearray()
        self.structure = structure

    def __len__(self) -> int:
        return len(self._data)

    def put(self, data: bytes) -> None:
        """Append bytes as they are."""
        self._data += data

    def pad(self, multiple: int) -> None:
        """Append NUL bytes until the size is a multiple of ``multiple`` bytes."""
        self._data += bytes(-len(self._data) % multiple)

    def uint(self, value: int, size: int, what: str = "field") -> None:
        """Append an unsigned little-endian number of ``size`` bytes.

        Args:
            value: the number.
            size: bytes that it takes.
            what: name of the field, for the error.
        Raises:
            InvalidArgument: the number is negative or too large for the field.
        """
        if not 0 <= value < 1 << (8 * size):
            raise InvalidArgument(
                f"{self.structure}: {what} {value} does not fit in {8 * size} unsigned bits"
            )
        self._data += value.to_bytes(size, "little")

    def u8(self, value: int, what: str = "field") -> None:
        """Append one byte. Raises InvalidArgument if it does not fit."""
        self.uint(value, 1, what)

    def u16(self, value: int, what: str = "field") -> None:
        """Append a number of two bytes. Raises InvalidArgument if it does not fit."""
        self.uint(value, 2, what)

    def u32(self, value: int, what: str = "field") -> None:
        """Append a number of four bytes. Raises InvalidArgument if it does not fit."""
        self.uint(value, 4, what)

    def u64(self, value: int, what: str = "field") -> None:
        """Append a number of eight bytes. Raises InvalidArgument if it does not fit."""
        self.uint(value, 8, what)

    def build(self) -> bytes:
        """All that was put in so far."""
        return bytes(self._data)
