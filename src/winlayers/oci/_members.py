"""The members of a tar as files: found in one pass over the headers, read where they lie, never unpacked.

A member is called by its clean path: ``./a/b`` is ``a/b``. A path that leads out of the archive is refused, as is a link
that does; links to other members are followed, some steps far. Two files of one name are refused when that name is
asked for, as one reader takes the first of them and another the last. An archive that is compressed, or comes through
a pipe, is first copied to a temporary file without a name, as it cannot be read from the middle.

This module knows nothing of images, and writes nothing that has a name.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from winlayers.base.compression import Compression, detect, open_decompressed
from winlayers.base.fileobj import PreadReader, copy, read_at
from winlayers.base.room import RoomReader
from winlayers.base.rooted import Parts
from winlayers.errors import InvalidName, Malformed, NoSpace, TooLarge
from winlayers.formats.tarblock import TYPE_REGULAR, TarHeader
from winlayers.formats.tarread import TarReader
from winlayers.oci._files import clean_place, shown

MAX_MEMBERS = 100_000
"""Members of an archive, folders and links too; an image has some hundred."""
MAX_NAMES_SIZE = 64 << 20
"""What their names may take in memory together, about, in bytes."""

_MAX_HOPS = 8
_PART_SIZE = 64  # of one name of a path in memory, beside its characters
_HARD_LINK = b"1"
_SYMBOLIC_LINK = b"2"


@dataclass(frozen=True, slots=True)
class _Member:
    """What an archive has under a name: bytes in a place, or another name."""

    offset: int
    size: int
    target: Parts | None = None
    is_file: bool = True
    is_double: bool = False


class TarFiles:
    """The members of a tar; see ``_files.Files``."""

    def __init__(self, path: Path) -> None:
        """Open an archive and find its members.

        Args:
            path: the archive, plain or compressed with gzip or zstd; its own name is trusted.
        Raises:
            FileNotFoundError: it is not there.
            Malformed: it is no tar, or a name leads out of it.
            TooLarge: it has more than ``MAX_MEMBERS`` members, or their names take more than ``MAX_NAMES_SIZE``.
            NoSpace: there is no room for the temporary file.
        """
        self._what = str(path)
        self._file = _open_seekable(path)
        try:
            self._members = self._find_members()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Let go of the archive; members that are open stay so."""
        self._file.close()

    def size(self, parts: Parts) -> int | None:
        """See ``Files``."""
        member = self._find(parts)
        return None if member is None else member.size

    def open(self, parts: Parts) -> BinaryIO:
        """See ``Files``."""
        member = self._find(parts)
        if member is None:
            raise FileNotFoundError(errno.ENOENT, f"{self._what} has no member {shown(parts)}")
        return _OpenMember(os.dup(self._file.fileno()), member.offset, member.size)

    def _find(self, parts: Parts) -> _Member | None:
        for _ in range(_MAX_HOPS):
            member = self._members.get(parts)
            if member is None:
                return None
            if member.is_double:
                raise Malformed(self._what, f"it has {shown(parts)} more than once")
            if not member.is_file:
                raise InvalidName(f"{shown(parts)} in {self._what} is not a regular file")
            if member.target is None:
                return member
            parts = member.target
        raise Malformed(self._what, f"{shown(parts)} is a link of more than {_MAX_HOPS} steps")

    def _find_members(self) -> dict[Parts, _Member]:
        members: dict[Parts, _Member] = {}
        size = 0
        for count, header in enumerate(TarReader(self._file)):
            if count >= MAX_MEMBERS:
                raise TooLarge(f"{self._what} has more than {MAX_MEMBERS} members")
            if header.typeflag == b"g":
                continue
            parts = self._place_of(header.name, ".")
            size += _size_of(header)
            if size > MAX_NAMES_SIZE:
                raise TooLarge(f"the names in {self._what} take more than {MAX_NAMES_SIZE} bytes")
            old = members.get(parts)
            member = self._member_of(header, parts)
            if old is not None and (old.is_file or member.is_file):
                member = _Member(0, 0, is_double=True)
            members[parts] = member
        return members

    def _member_of(self, header: TarHeader, parts: Parts) -> _Member:
        if header.typeflag == _SYMBOLIC_LINK:
            return _Member(0, 0, self._place_of(header.linkname, "/".join(parts[:-1])))
        if header.typeflag == _HARD_LINK:
            return _Member(0, 0, self._place_of(header.linkname, "."))
        if header.typeflag != TYPE_REGULAR or header.sparse is not None:
            return _Member(0, 0, is_file=False)
        return _Member(header.body_offset, header.stored_size)

    def _place_of(self, name: bytes, folder: str) -> Parts:
        return clean_place(name.decode("utf-8", "surrogateescape"), self._what, folder=folder)


def _size_of(header: TarHeader) -> int:
    """What the names of a member may take in memory, at most about."""
    return sum(
        len(name) + _PART_SIZE * (name.count(b"/") + 1) for name in (header.name, header.linkname)
    )


class _OpenMember(PreadReader):
    """A member that is open; it has a descriptor of its own, so that the archive may be closed before it."""

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        super().__init__(descriptor, offset, size)
        self._own = descriptor

    def close(self) -> None:
        """Close it."""
        if not self.closed:
            os.close(self._own)
        super().close()


def _open_seekable(path: Path) -> BinaryIO:
    file = open(path, "rb", buffering=0)  # noqa: SIM115  # it is returned
    try:
        is_regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        if is_regular and detect(read_at(file.fileno(), 0, 4)) is Compression.NONE:
            return file
        whole = _unpacked(file)
    except BaseException:
        file.close()
        raise
    file.close()
    return whole


def _unpacked(file: BinaryIO) -> BinaryIO:
    whole = tempfile.TemporaryFile(prefix="winlayers-", buffering=0)  # noqa: SIM115  # it is returned
    try:
        content = open_decompressed(file)
        folder = Path(tempfile.gettempdir())
        copy(RoomReader(content, folder, advice="set TMPDIR to a folder on another disk"), whole)
        whole.seek(0)
    except BaseException as error:
        whole.close()
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise NoSpace(
                "no room to decompress the archive; set TMPDIR to a folder with more, or decompress it yourself"
            ) from error
        raise
    return whole
