"""The real files of an import, made by handles below the folders that they belong to.

Of a layer with parents Windows takes a folder in transport form; the utility VM and the parents are not in it. All
that is looked for, made or removed there goes through an open handle of the folder, so that no link leads out, no name
is read as a device, and neither depth nor descriptors stop it. Where the boot configuration of a utility VM is
written, a copy goes beside it, as Windows changes it later (``layer.names.MUTATED_FILES``). What the files mean is known
by ``layer.transportwriter``.
Source: microsoft/hcsshim internal/wclayer/legacy.go, but for its slip: it links the boot configuration when it clones
a utility VM, and so has Windows change the parent's.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Self

from winlayers.backends.native import _folder
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._handles import Access, open_file
from winlayers.backends.native._placing import (
    copy_with_metadata,
    explained,
    find_below,
    place_entry,
)
from winlayers.errors import Malformed
from winlayers.formats.filetime import BasicInfo
from winlayers.layer.entry import (
    FILE_ATTRIBUTE_DIRECTORY,
    FILE_ATTRIBUTE_REPARSE_POINT,
    Entry,
    EntryKind,
    Part,
)
from winlayers.layer.names import FILES, HIVES, MUTATED_FILES, UTILITY_VM, fold
from winlayers.layer.transportfolder import TransportFolder

_UTILITY_FILES = f"{UTILITY_VM}/{FILES}"
_COPIED = frozenset(fold(path) for path in MUTATED_FILES)


class NativeHost:
    """A ``layer.transporthost.TransportHost`` of Windows, for one thread.

    The thread holds the privileges to back up, restore and set descriptors.

    Args:
        api: the libraries.
    """

    def __init__(self, api: Libraries) -> None:
        self._api = api
        self._handles: dict[Path, int] = {}
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> bool | None:
        self._handles.clear()
        return self._opened.__exit__(*exc)  # type: ignore[arg-type]

    def handle(self, folder: Path) -> int:
        """The handle of a folder, which stays open until the ``with`` ends."""
        if folder not in self._handles:
            opening = open_file(self._api, folder, Access.GENERIC_READ, share=_folder.SHARE_ALL)
            self._handles[folder] = self._opened.enter_context(opening)
        return self._handles[folder]

    # What a transport folder asks for

    def set_info(self, folder: TransportFolder, path: str, info: BasicInfo) -> None:
        """Give a file or folder times and attributes; of a link itself."""
        with explained(path):
            _folder.set_info_below(self._api, self.handle(folder.root), path, info)

    def info(self, folder: TransportFolder, path: str) -> BasicInfo:
        """Times and attributes of a file or folder; of a link itself."""
        with explained(path):
            return _folder.info_below(self._api, self.handle(folder.root), path)

    def has(self, folder: TransportFolder, path: str) -> bool:
        """Whether anything is at a place."""
        return self._find(folder.root, path) is not None

    def has_directory(self, folder: TransportFolder, path: str) -> bool:
        """Whether a folder that is no link is at a place."""
        found = self._find(folder.root, path)
        return found is not None and _folder.is_plain_folder(found)

    def make_directory(self, folder: TransportFolder, path: str) -> None:
        """Make a folder."""
        with explained(path):
            _folder.make_folder(self._api, self.handle(folder.root), path)

    def write_plain(
        self,
        folder: TransportFolder,
        path: str,
        entry: Entry,
        parts: Iterable[tuple[Part, BinaryIO]],
    ) -> None:
        """Make a file of an entry, with its times, or give a folder what it has; hives get no descriptors."""
        is_file = entry.kind is EntryKind.FILE
        place_entry(
            *(self._api, self.handle(folder.root), entry, parts),
            disposition=_folder.CREATE if is_file else _folder.OPEN,
            security=not path.startswith(f"{HIVES}/"),
            backup=MUTATED_FILES.get(path, "") if is_file else "",
        )

    def remove(self, folder: TransportFolder, path: str) -> None:
        """Remove a file, a link itself, or a folder with all that is in it."""
        if not self.has(folder, path):
            reason = "it is not there, and cannot be removed"
            raise Malformed("layer folder", reason, entry=path, finding="parent-missing")
        _folder.remove_tree(self._api, self.handle(folder.root), path)

    def clone_utility_vm(self, source: TransportFolder, target: TransportFolder) -> None:
        """Make a utility VM with the files of another: links to them, but folders, links and what Windows changes."""
        below, above = self.handle(source.root), self.handle(target.root)
        folders = [_UTILITY_FILES]
        for folder in folders:  # grows while it is gone through; parents come first
            copy_with_metadata(
                *(self._api, below, folder, above, folder), options=_folder.FOLDER_ONLY
            )
            for name in self._names(below, folder):
                path = f"{folder}/{name}"
                info = _folder.info_below(self._api, below, path)
                if _folder.is_plain_folder(info):
                    folders.append(path)
                elif info.attributes & FILE_ATTRIBUTE_REPARSE_POINT or fold(path) in _COPIED:
                    kind = _folder.FOLDER_ONLY if info.attributes & FILE_ATTRIBUTE_DIRECTORY else 0
                    copy_with_metadata(*(self._api, below, path, above, path), options=kind)
                else:
                    _folder.link_below(self._api, above, path, below, path)
        # Last, and children first: making files in a folder changes its time.
        for folder in reversed(folders):
            info = _folder.info_below(self._api, below, folder)
            _folder.set_info_below(self._api, above, folder, info)

    def _names(self, root: int, path: str) -> list[str]:
        read, kind = Access.GENERIC_READ, _folder.FOLDER_ONLY
        with _folder.open_below(self._api, root, path, read, options=kind) as handle:
            return sorted(_folder.list_folder(self._api, handle))

    def _find(self, root: Path, path: str) -> BasicInfo | None:
        return find_below(self._api, self.handle(root), path)
