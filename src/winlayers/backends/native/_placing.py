"""Entries as files and folders of Windows: made below an open folder, with all that NTFS keeps of them.

Times and attributes come first, as those set through a handle stay as they are when it is written through; then the
backup stream, with the descriptor. A folder that is to be made anew is made and written through one handle, so that
nothing is between. This module knows entries, but not which layer they belong to.
Source: the order of the calls is that of microsoft/hcsshim internal/wclayer/baselayerwriter.go and legacy.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, BinaryIO

from winlayers.backends.native import _folder
from winlayers.backends.native._backup import reading_backup, writing_backup
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._handles import Access, Share
from winlayers.base.fileobj import RawWriter, copy
from winlayers.errors import Malformed, TooManyLinks, Unsupported, WindowsCallFailed
from winlayers.formats.filetime import BasicInfo
from winlayers.layer.backupcontents import write_backup
from winlayers.layer.entry import Entry, EntryKind, Part
from winlayers.layer.names import MUTATED_FILES, fold
from winlayers.layer.transporthost import info_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_READ_AND_WRITE = Access.GENERIC_READ | Access.GENERIC_WRITE
_WITH_SECURITY = Access.WRITE_DAC | Access.WRITE_OWNER | Access.ACCESS_SYSTEM_SECURITY

_CHANGED = frozenset(map(fold, MUTATED_FILES))
_THERE_ALREADY = frozenset({80, 183})
_NOT_FOLDERS = frozenset({267, 4395})
_TOO_MANY_LINKS = 1142
_CANNOT_HOLD = frozenset({123, 206})


def place_entry(
    api: Libraries,
    folder: int,
    entry: Entry,
    parts: Iterable[tuple[Part, BinaryIO]],
    *,
    disposition: int = _folder.CREATE,
    security: bool = True,
    backup: str = "",
) -> None:
    """Make a file or folder of an entry, with its times.

    Args:
        api: the libraries.
        folder: handle of the folder that the path of the entry is below.
        entry: a file or directory.
        parts: its data and alternate streams.
        disposition: ``CREATE``, or ``OPEN`` for a folder that is there.
        security: whether it gets its descriptor.
        backup: path of a file that is made with the same content, without the descriptor; "" for none.
    Raises:
        Malformed: it is there already, or what it would be in is not; or a part that is not as long as it says.
        Unsupported: the file system cannot hold the name.
        WindowsCallFailed: Windows fails otherwise.
    """
    options = _folder.FOLDER_ONLY if entry.kind is EntryKind.DIRECTORY else 0
    access = _READ_AND_WRITE | _WITH_SECURITY if security else _READ_AND_WRITE
    with ExitStack() as stack:
        with explained(entry.path):
            handle = stack.enter_context(
                _folder.open_below(
                    *(api, folder, entry.path, access),
                    share=Share.READ,
                    disposition=disposition,
                    options=options,
                )
            )
        _folder.write_info(api, handle, info_of(entry))
        target: BinaryIO = stack.enter_context(writing_backup(api, handle, security=security))
        if backup:
            with explained(backup):
                copied = stack.enter_context(
                    _folder.open_below(
                        *(api, folder, backup, _READ_AND_WRITE),
                        share=Share.READ,
                        disposition=_folder.CREATE,
                    )
                )
            second = stack.enter_context(writing_backup(api, copied, security=False))
            target = _Twice(target, second)
        write_backup(target, entry, parts)


def copy_with_metadata(
    api: Libraries, source_folder: int, source: str, folder: int, path: str, *, options: int = 0
) -> None:
    """Copy a file, a link itself, or a folder without what is in it.

    Args:
        api: the libraries.
        source_folder: handle of the folder that the source is below.
        source: what is copied.
        folder: handle of the folder that the copy is below.
        path: where to; nothing is there.
        options: ``FOLDER_ONLY`` for a folder.
    Raises:
        WindowsCallFailed: Windows fails.
    """
    reading = Access.GENERIC_READ | Access.ACCESS_SYSTEM_SECURITY
    with (
        _folder.open_below(
            *(api, source_folder, source, reading),
            share=Share.READ,
            options=options | _folder.OPEN_LINK,
        ) as original,
        _folder.open_below(
            *(api, folder, path, _READ_AND_WRITE | _WITH_SECURITY),
            share=Share.READ,
            disposition=_folder.CREATE,
            options=options,
        ) as copied,
    ):
        _folder.write_info(api, copied, _folder.read_info(api, original))
        with reading_backup(api, original) as reader, writing_backup(api, copied) as writer:
            copy(reader, writer)


def place_link(api: Libraries, folder: int, path: str, source_folder: int, source: str) -> None:
    """Give a file one more name; but a file that Windows changes later becomes one of its own.

    Args:
        api: the libraries.
        folder: handle of the folder that the new name is below.
        path: the new name; nothing is there, and its parent exists.
        source_folder: handle of the folder that the file is below.
        source: the file.
    Raises:
        Malformed: something is there, or no folder for it.
        TooManyLinks: the file has as many names as it can.
        WindowsCallFailed: Windows fails otherwise.
    """
    with explained(path):
        if fold(path) in _CHANGED:
            copy_with_metadata(api, source_folder, source, folder, path)
        else:
            _folder.link_below(api, folder, path, source_folder, source)


def find_below(api: Libraries, folder: int, path: str) -> BasicInfo | None:
    """Times and attributes of what is at a path, of a link itself; None where nothing is.

    Raises:
        Malformed: a link is on the way.
    """
    try:
        with explained(path):
            return _folder.info_below(api, folder, path)
    except Malformed as error:
        if error.finding == "parent-missing":
            return None
        raise


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Say what it means for a layer when Windows does not open or make something.

    Args:
        path: of what is concerned.
    """
    try:
        yield
    except WindowsCallFailed as error:
        if error.code in _THERE_ALREADY:
            raise _malformed(path, "it is there already", "name-duplicate") from error
        if error.code in _folder.NOT_FOUND:
            raise _malformed(path, "it, or its folder, is missing", "parent-missing") from error
        if error.code in _NOT_FOLDERS:
            reason = "a link or a file is where a folder should be"
            raise _malformed(path, reason, "parent-not-directory") from error
        if error.code == _TOO_MANY_LINKS:
            raise TooManyLinks(f"{path!r}: the file has as many names as it can") from error
        if error.code in _CANNOT_HOLD:
            raise Unsupported(f"{path!r}: this file system cannot hold the name") from error
        raise


class _Twice(RawWriter):
    """Writes to two file objects; neither is closed."""

    def __init__(self, first: BinaryIO, second: BinaryIO) -> None:
        self._targets = first, second

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all of it, to both."""
        first, second = self._targets
        second.write(data)
        return first.write(data)


def _malformed(path: str, reason: str, finding: str) -> Malformed:
    return Malformed("layer folder", reason, entry=path, finding=finding)
