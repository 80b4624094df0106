"""The folder of a layer on a disk of Windows, read on another system.

What NTFS has comes from a mount of ntfs-3g, by the names of ``layer.ntfs3g``; alternate streams are the files
``FILE:STREAM`` there. A plain copy of the folder has none of it: then attributes are guessed, the time of
writing stands for all times (the others are those of the copy, and change as it is read), and links are left
out and reported.

A base layer is read as it lies there. Of any layer whose tar Docker has recorded, the bodies of the entries are
opened by their names in that tar:

    Files/dir/name            the file, whatever the case of the letters
    Files/dir/name:stream     the alternate stream
    UtilityVM/Files/EFI/...   of four files that Windows changes after an import, the copy made before

The folder is only read, and nothing outside of it: a link of it is never followed. This module refuses to
know what belongs to a layer; ``layer.baselayer`` does.

Source: ntfs-3g(8) and its page on extended attributes; shown by tests/e2e/test_attach.py.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from io import FileIO
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Self, cast

from winlayers.base.rooted import Parts, Root
from winlayers.errors import Corrupt, Malformed, Unsupported
from winlayers.formats.backupstream import BackupWriter, PartAttributes, PartHeader, PartId
from winlayers.formats.filetime import BasicInfo, ns_to_filetime
from winlayers.formats.reparse import TAG_NAMES, steers_filter_driver, tag_of
from winlayers.layer import ntfs3g
from winlayers.layer.backupcontents import write_metadata
from winlayers.layer.baselayer import FoundFile
from winlayers.layer.entry import (
    FILE_ATTRIBUTE_ARCHIVE,
    FILE_ATTRIBUTE_DIRECTORY,
    FILE_ATTRIBUTE_READONLY,
    FILE_ATTRIBUTE_REPARSE_POINT,
    FILE_ATTRIBUTE_SPARSE_FILE,
)
from winlayers.layer.findings import Finding
from winlayers.layer.names import MUTATED_FILES, fold, split_tar_name
from winlayers.layer.streamnames import TYPE_SUFFIX, full_name

_STRUCTURE = "folder of a layer"
# What a file system says of an attribute that a file, or any file, has not.
_MISSING = frozenset({errno.ENODATA, errno.EOPNOTSUPP})
# A backup stream of no more is kept in memory.
_IN_MEMORY = 1 << 20
_BLOCK_SIZE = 1 << 20
# NTFS gives and takes the room of sparse files in units of 16 clusters.
_HOLE_SIZE = 1 << 16
_HOLE = bytes(_HOLE_SIZE)


def spool() -> BinaryIO:
    """An empty file that is gone when it is closed, for what may be large."""
    return cast("BinaryIO", SpooledTemporaryFile(_IN_MEMORY))  # closed by whoever has it


class NtfsFolder:
    """A ``layer.baselayer.BaseFolder`` below a folder of this system, used in a ``with`` block.

    Args:
        path: the folder of the layer.
        report: called with each link of a plain copy, which is left out.

    Attributes:
        has_metadata: whether the file system tells what NTFS has; False for a plain copy.
    """

    def __init__(
        self, path: Path, *, report: Callable[[Finding], None] = lambda finding: None
    ) -> None:
        """Open it.

        Raises:
            Unsupported: it is a mount of ntfs-3g that does not show alternate streams.
        """
        self._report = report
        with ExitStack() as stack:
            self._root = stack.enter_context(Root(path))
            self.has_metadata = self._tells((), ntfs3g.STREAM_LIST)
            if not self.has_metadata and self._tells((), ntfs3g.ATTRIBUTES):
                raise Unsupported(
                    f"{path} is on a mount that does not show all alternate streams; mount the disk "
                    "with: ntfs-3g -o ro,streams_interface=windows,noatime DEVICE FOLDER"
                )
            stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder."""
        self._root.close()

    def find(self, path: str) -> FoundFile | None:
        """The file at a path, no link followed."""
        try:
            return self._found(path)
        except FileNotFoundError:
            return None

    def list(self, path: str) -> Sequence[FoundFile]:
        """What is in a folder; of a plain copy without its links."""
        found = (self._found(f"{path}/{name}") for name in self._root.list(_parts(path)))
        return [one for one in found if one is not None]

    def open_backup(self, path: str) -> BinaryIO:
        """The backup stream of a file; the caller closes it.

        Raises:
            Unsupported: another driver of Windows has the content of the file.
            Malformed: something of the file is not of its form.
        """
        parts = _parts(path)
        status = self._root.stat(parts)
        with ExitStack() as stack:
            target = stack.enter_context(closing(spool()))
            writer = BackupWriter(target)
            if self.has_metadata:
                reparse = self._value(parts, ntfs3g.REPARSE)
                _check_reparse(path, reparse)
                ea = ntfs3g.unpack_ea(self._value(parts, ntfs3g.EA))
                write_metadata(writer, self._value(parts, ntfs3g.ACL), ea, reparse)
            if stat.S_ISREG(status.st_mode):
                self._write_data(writer, parts)
            if self.has_metadata:
                self._write_streams(writer, path)
            writer.close()
            target.seek(0)
            stack.pop_all()
            return target

    def open_body(self, name: bytes) -> BinaryIO:
        """The body of an entry of the layer's tar; the caller closes it.

        Args:
            name: of the entry, as it stands in the tar.
        Raises:
            InvalidName: the name leads out of the layer.
            Unsupported: another driver of Windows has the content of the file.
            Corrupt: there is no such file, or it is none.
        Source: moby/moby daemon/graphdriver/windows/windows.go (DiffGetter).
        """
        parts = split_tar_name(name.removesuffix(TYPE_SUFFIX.encode()))
        path = "/".join(parts)
        backup = MUTATED_FILES.get(path)
        if backup is not None and self._root.exists((backup,)):
            parts = (backup,)
        found = self._spelled(parts)
        if found is None:
            raise Corrupt(f"{path!r} is in the recorded tar of the layer, and not in its folder")
        if not stat.S_ISREG(self._root.stat(found).st_mode):
            if self.has_metadata:
                _check_reparse(path, self._value(found, ntfs3g.REPARSE))
            raise Corrupt(f"{path!r} has data in the recorded tar of the layer, and is no file")
        return cast("BinaryIO", self._root.open_file(found))

    def _spelled(self, parts: Parts) -> Parts | None:
        """A place as the folder spells it, if it is there, with any case of the letters."""
        if self._root.exists(parts):
            return parts
        found: Parts = ()
        for part in parts:
            name, colon, stream = part.partition(":")
            names = [name, *self._root.list(found)]
            same = (one for one in names if fold(one) == fold(name))
            spelled = next((one for one in same if self._root.exists((*found, one))), None)
            if spelled is None:
                return None
            found = (*found, spelled + colon + stream)
        return found if self._root.exists(found) else None

    def _write_data(self, writer: BackupWriter, parts: Parts) -> None:
        with self._root.open_file(parts) as file:
            if self._is_sparse(parts):
                _write_sparse(writer, cast("BinaryIO", file))
            else:
                _write_part(writer, PartHeader(PartId.DATA), file)

    def _is_sparse(self, parts: Parts) -> bool:
        if not self.has_metadata:
            return False
        attributes = ntfs3g.unpack_attributes(self._value(parts, ntfs3g.ATTRIBUTES))
        return bool(attributes & FILE_ATTRIBUTE_SPARSE_FILE)

    def _write_streams(self, writer: BackupWriter, path: str) -> None:
        for name in ntfs3g.unpack_stream_names(self._value(_parts(path), ntfs3g.STREAM_LIST)):
            with self._root.open_file(_parts(f"{path}:{name}")) as file:
                _write_part(writer, PartHeader(PartId.ALTERNATE, name=full_name(name)), file)

    def _found(self, path: str) -> FoundFile | None:
        """What is at a path; None for a link of a plain copy."""
        parts = _parts(path)
        status = self._root.stat(parts)
        mode = status.st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            raise Malformed(_STRUCTURE, "it is neither a file nor a folder", entry=path)
        if stat.S_ISLNK(mode) and not self.has_metadata:
            detail = "a plain copy does not tell what it was on Windows"
            self._report(Finding("link-skipped", path, detail))
            return None
        info = self._info(parts, status)
        is_directory = self._is_directory(parts, status)
        return FoundFile(
            path,
            info,
            status.st_size if stat.S_ISREG(mode) else 0,
            is_entered=stat.S_ISDIR(mode) and not info.attributes & FILE_ATTRIBUTE_REPARSE_POINT,
            link_id=status.st_ino if status.st_nlink > 1 and not is_directory else None,
        )

    def _is_directory(self, parts: Parts, status: os.stat_result) -> bool:
        """Whether it is one to Windows; a junction is, and shows as a link here."""
        if not stat.S_ISLNK(status.st_mode):
            return stat.S_ISDIR(status.st_mode)
        attributes = ntfs3g.unpack_attributes(self._value(parts, ntfs3g.ATTRIBUTES))
        return bool(attributes & FILE_ATTRIBUTE_DIRECTORY)

    def _info(self, parts: Parts, status: os.stat_result) -> BasicInfo:
        if not self.has_metadata:
            return _guessed(status)
        times = ntfs3g.unpack_times(self._value(parts, ntfs3g.TIMES))
        if len(times) < len(ntfs3g.TIME_NAMES):
            raise Malformed(_STRUCTURE, f"it has {len(times)} times", entry="/".join(parts))
        creation, write, access, change = times
        attributes = ntfs3g.unpack_attributes(self._value(parts, ntfs3g.ATTRIBUTES))
        return BasicInfo(creation, access, write, change, attributes)

    def _value(self, parts: Parts, name: str) -> bytes:
        """An attribute, ``b""`` for none."""
        try:
            return self._root.xattr(parts, name)
        except OSError as error:
            if error.errno not in _MISSING:
                raise
            return b""

    def _tells(self, parts: Parts, name: str) -> bool:
        try:
            self._root.xattr(parts, name)
        except OSError as error:
            if error.errno not in _MISSING:
                raise
            return False
        return True


def _parts(path: str) -> Parts:
    return tuple(path.split("/"))


def _guessed(status: os.stat_result) -> BasicInfo:
    attributes = FILE_ATTRIBUTE_ARCHIVE
    if stat.S_ISDIR(status.st_mode):
        attributes = FILE_ATTRIBUTE_DIRECTORY
    elif not status.st_mode & stat.S_IWUSR:
        attributes |= FILE_ATTRIBUTE_READONLY
    write = ns_to_filetime(status.st_mtime_ns)
    return BasicInfo(write, write, write, write, attributes)


def _check_reparse(path: str, reparse: bytes) -> None:
    if reparse and steers_filter_driver(tag := tag_of(reparse)):
        raise Unsupported(
            f"{path!r} has the reparse tag 0x{tag:08x} ({TAG_NAMES.get(tag, 'unknown')}): a driver of "
            "Windows has its content, which is not read here; export the layer on Windows"
        )


def _write_part(writer: BackupWriter, header: PartHeader, file: FileIO) -> None:
    header.size = os.fstat(file.fileno()).st_size
    writer.header(header)
    while block := file.read(_BLOCK_SIZE):
        writer.write(block)


def _write_sparse(writer: BackupWriter, file: BinaryIO) -> None:
    """Write data without what is zero of it: ntfs-3g says that there are holes, but not where."""
    writer.header(PartHeader(PartId.DATA, PartAttributes.SPARSE))
    offset = 0
    while block := file.read(_BLOCK_SIZE):
        for start, end in _runs(block):
            writer.header(PartHeader(PartId.SPARSE_BLOCK, size=end - start, offset=offset + start))
            writer.write(block[start:end])
        offset += len(block)
    writer.header(PartHeader(PartId.SPARSE_BLOCK, offset=offset))


def _runs(block: bytes) -> Iterator[tuple[int, int]]:
    """Where a block is not zero, in units of 64 KiB: start and end."""
    start = None
    for at in range(0, len(block), _HOLE_SIZE):
        is_hole = _HOLE.startswith(block[at : at + _HOLE_SIZE])
        if is_hole and start is not None:
            yield start, at
        start = None if is_hole else at if start is None else start
    if start is not None:
        yield start, len(block)
