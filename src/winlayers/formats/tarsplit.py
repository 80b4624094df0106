"""Docker's framing of a tar apart from its file bodies, and back again.

Docker keeps of a layer's tar everything but the bodies, as lines of JSON, so that it can give out the very
bytes again from files that it has unpacked. The lines stand for the tar from start to end:

    {"type":2,"payload":"<base64>","position":0}                            bytes as they are
    {"type":1,"name":"a","size":5,"payload":"<base64>","position":1}        a body, and its CRC-64
    {"type":1,"name":"d","payload":null,"position":3}                       an entry without size

Before each entry stand all bytes since the body before it; at the end what is left. A name that is not
UTF-8 stands as base64 in ``name_raw``. This module knows neither where bodies are kept nor how the lines
are compressed.

Source: vbatts/tar-split tar/asm and tar/storage; checked against the vectors tarsplit.
"""

from __future__ import annotations

import base64
import hashlib
import json
import posixpath
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from winlayers.errors import DigestMismatch, Malformed, TooLarge, UnknownFeature
from winlayers.formats.crc64 import Crc64
from winlayers.formats.tar import TarHeader, TarReader, TarSource
from winlayers.formats.tarblock import shown

STRUCTURE = "tar-split"

_FILE_TYPE = 1
_SEGMENT_TYPE = 2
_PIECE_SIZE = 1 << 20
# The most bytes between two bodies: a header may be preceded by any number of extensions of 1 MiB each.
_SEGMENT_LIMIT = 64 << 20
_LINE_LIMIT = (_SEGMENT_LIMIT + 4 * _PIECE_SIZE) // 3 * 4
# What Go's encoder escapes besides, for the sake of HTML and JavaScript.
_ESCAPES = str.maketrans(
    {char: f"\\u{ord(char):04x}" for char in ("<", ">", "&", "\u2028", "\u2029")}
)


def split_tar(source: BinaryIO | TarSource) -> Iterator[bytes]:
    """Frame a tar.

    Args:
        source: the uncompressed tar; it is read to its very end, past the end of the archive.
    Returns:
        Lines of JSON, each with its newline, made as the tar is read.
    Raises:
        Malformed: the tar is, or has two entries of the same name; what was framed is of no use then.
        TooLarge: more than 64 MiB stand between two bodies.
        UnknownFeature: a sparse entry, whose body cannot be given back from an unpacked file.
    Source: vbatts/tar-split tar/asm and tar/storage.
    """
    lines: list[bytes] = []
    framer = TarFramer(source, lines.append)
    reader = TarReader(framer)
    names = _Names()
    for header in reader:
        if header.sparse is not None:
            raise UnknownFeature(
                f"sparse entry {shown(header.name)!r} cannot be framed by tar-split"
            )
        names.add(header)
        framer.admit(header)
        yield from lines
        lines.clear()
    framer.end(reader.offset)
    yield from lines


class TarFramer:
    """Frames a tar while somebody else reads it.

    It is the source that the reader reads from. Each header is admitted as soon as it was read; after the
    end of the archive ``end`` reads what follows.

    Args:
        source: the uncompressed tar.
        write: called with each line, its newline included.
    """

    def __init__(self, source: BinaryIO | TarSource, write: Callable[[bytes], object]) -> None:
        self._tape = _Tape(source)
        self._write = write
        self._position = 0
        self._body: _Body | None = None

    def read(self, size: int, /) -> bytes:
        """Read on; see ``TarSource``.

        Raises:
            TooLarge: more than 64 MiB stand between two bodies.
        """
        block = self._tape.read(size)
        self._take_body()
        return block

    def admit(self, header: TarHeader, *, by_name: bool = True) -> None:
        """Take the header that was just read.

        Args:
            header: the reader stands at its body.
            by_name: the body can be had again by the name of the entry. Otherwise it is kept in the frame.
        """
        self._put_segment(self._tape.cut(header.body_offset))
        is_named = by_name and header.size > 0
        if not is_named:
            self._put(_entry(header, None))
        self._body = _Body(header.body_offset + header.stored_size, header if is_named else None)
        self._take_body()

    def end(self, offset: int) -> None:
        """Frame what is left of the tar.

        Args:
            offset: where the archive ends, its end marker included.
        """
        self._put_segment(self._tape.cut(offset))
        while rest := self._tape.cut_rest():
            self._put_segment(rest)

    def _take_body(self) -> None:
        """Sum up, or put down, what the tape has of the present body."""
        body = self._body
        if body is None:
            return
        for piece in self._tape.cut_before(body.end):
            if body.header is None:
                self._put_segment(piece)
            else:
                body.crc.update(piece)
        if self._tape.start == body.end:
            self._body = None
            if body.header is not None:
                self._put(_entry(body.header, body.crc.digest()))

    def _put_segment(self, raw: bytes) -> None:
        if raw:
            self._put(b'"type":2,"payload":"%b"' % base64.b64encode(raw))

    def _put(self, line: bytes) -> None:
        self._write(b'{%b,"position":%d}\n' % (line, self._position))
        self._position += 1


@dataclass(slots=True)
class _Body:
    """The body that goes by: where it ends, and whose it is if it can be had again by name."""

    end: int
    header: TarHeader | None
    crc: Crc64 = field(default_factory=Crc64)


def _entry(header: TarHeader, checksum: bytes | None) -> bytes:
    parts = [b'"type":1']
    if header.name:
        parts.append(_name_field(header.name))
    if checksum is None:
        parts.append(b'"payload":null')
    else:
        parts.append(b'"size":%d,"payload":"%b"' % (header.size, base64.b64encode(checksum)))
    return b",".join(parts)


def _name_field(name: bytes) -> bytes:
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return b'"name_raw":"%b"' % base64.b64encode(name)
    return b'"name":%b' % json.dumps(text, ensure_ascii=False).translate(_ESCAPES).encode()


class _Tape:
    """A source that keeps what was read from it until it is cut off."""

    def __init__(self, source: BinaryIO | TarSource) -> None:
        self._source: TarSource = source
        self._kept: deque[bytes] = deque()
        self._kept_size = 0
        self.start = 0  # offset of the first byte kept

    def read(self, size: int, /) -> bytes:
        """Read on, and keep it."""
        block = bytes(self._source.read(size))
        if self._kept_size > _SEGMENT_LIMIT:
            raise TooLarge(
                f"more than {_SEGMENT_LIMIT >> 20} MiB of headers for one entry of a tar"
            )
        if block:  # at the end of the source there is none to be cut off
            self._kept.append(block)
            self._kept_size += len(block)
        return block

    def cut(self, offset: int) -> bytes:
        """Give up the bytes before an offset of the tar."""
        wanted = offset - self.start
        pieces = []
        while wanted:
            block = self._kept.popleft()
            if len(block) > wanted:
                self._kept.appendleft(block[wanted:])
                block = block[:wanted]
            pieces.append(block)
            wanted -= len(block)
        raw = b"".join(pieces)
        self.start = offset
        self._kept_size -= len(raw)
        return raw

    def cut_before(self, end: int) -> Iterator[bytes]:
        """Give up the bytes before an offset that may not be reached yet, as far as they are there."""
        while self._kept and self.start < end:
            yield self.cut(min(self.start + len(self._kept[0]), end))

    def cut_rest(self) -> bytes:
        """Give up some of the bytes that are left, at most 1 MiB; none at the end."""
        if not self._kept and not self.read(_PIECE_SIZE):
            return b""
        return self.cut(self.start + min(len(self._kept[0]), _PIECE_SIZE))


class _Names:
    """Names seen, to find two that are the same file; kept as hashes, so that size does not matter."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def add(self, header: TarHeader) -> None:
        clean = posixpath.normpath(header.name)
        if clean.startswith(b"//"):
            clean = clean[1:]
        key = hashlib.blake2b(clean, digest_size=16).digest()
        if key in self._seen:
            reason = "duplicates of file paths not supported"
            raise Malformed("tar", reason, offset=header.offset, entry=shown(header.name))
        self._seen.add(key)


# The way back


def assemble_tar(packed: BinaryIO, get_file: Callable[[bytes], BinaryIO]) -> Iterator[bytes]:
    """Make the tar again from its frame and its bodies.

    Args:
        packed: the lines; only ``readline`` is used.
        get_file: opens the body of an entry, by its name as it stands in the tar; it is closed here.
    Returns:
        The tar in pieces, as the files are read. Nothing after an error may be trusted, nor the body
        before it.
    Raises:
        Malformed: a line that is not as it should be; carries the offset in ``packed``.
        DigestMismatch: a body is not what it was.
    Source: vbatts/tar-split tar/asm and tar/storage.
    """
    for line in _read_lines(packed):
        if line.name is None:
            yield line.payload
        elif line.size:
            yield from _checked(get_file(line.name), line)


@dataclass(slots=True, frozen=True)
class _Line:
    """One line: ``name`` is None for bytes as they are, and ``payload`` else a checksum."""

    name: bytes | None
    size: int
    payload: bytes


def _checked(file: BinaryIO, line: _Line) -> Iterator[bytes]:
    """The bytes of a file, whose checksum must be that of the line."""
    crc = Crc64()
    left = line.size
    with file:
        # One byte more than there was tells that it is another file; a longer one is not read to its end.
        while left >= 0 and (piece := file.read(min(_PIECE_SIZE, left + 1))):
            crc.update(piece)
            left -= len(piece)
            yield piece
    if crc.digest() != line.payload:
        raise DigestMismatch(
            f"content of {shown(line.name)!r}",
            expected=f"crc64:{line.payload.hex()}",
            actual=f"crc64:{crc.digest().hex()}",
        )


def _read_lines(packed: BinaryIO) -> Iterator[_Line]:
    offset = position = 0
    while text := packed.readline(_LINE_LIMIT):
        try:
            line = _parse_line(text, position)
        except ValueError as error:
            raise Malformed(STRUCTURE, str(error), offset=offset) from None
        yield line
        offset += len(text)
        position += 1


def _parse_line(text: bytes, position: int) -> _Line:
    """Read one line; a ValueError says what is wrong with it."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("line is not JSON, or too long") from None
    if not isinstance(fields, dict) or fields.get("position") != position:
        raise ValueError(f"line is not that of position {position}")
    kind, payload = fields.get("type"), fields.get("payload")
    if kind == _SEGMENT_TYPE:
        return _Line(None, 0, _decode(payload))
    if kind != _FILE_TYPE:
        raise ValueError(f"line of type {kind!r}")
    size = fields.get("size", 0)
    if type(size) is not int or size < 0:
        raise ValueError(f"size {size!r}")
    return _Line(_name_in(fields), size, _decode(payload) if size else b"")


def _name_in(fields: dict[str, object]) -> bytes:
    if "name_raw" in fields:
        return _decode(fields["name_raw"])
    name = fields.get("name", "")
    if not isinstance(name, str):
        raise ValueError("name is not text")
    return name.encode("utf-8", "surrogatepass")


def _decode(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError("base64 is not text")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError("base64 is damaged") from None
