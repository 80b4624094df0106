"""Writers of layers by the APIs of Windows, with what they hold while they write.

A writer holds privileges, which belong to a thread, and open handles, from its making to its commit or abort; so all
of that happens in one thread. A layer with parents takes a folder to work in, which is gone afterwards, whatever
happens. The folder of the layer is there before and after: an import that failed is the caller's to destroy. How a
layer is made is known by ``_basewriter`` and ``_childwriter``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Self

from winlayers.backends.native import _folder
from winlayers.backends.native._basewriter import BaseWriter
from winlayers.backends.native._childwriter import ChildWriter
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._handles import (
    BACKUP,
    RESTORE,
    SECURITY,
    Access,
    open_file,
    privileges,
)
from winlayers.backends.native._transporthost import NativeHost
from winlayers.errors import IllegalState, InvalidArgument, WinlayersError
from winlayers.layer.entry import Entry, EntryWriter, LayerSummary, Part
from winlayers.layer.findings import Finding


def open_layer_writer(
    api: Libraries,
    folder: Path,
    parents: Sequence[Path],
    *,
    work: Path,
    report: Callable[[Finding], None],
) -> EntryWriter:
    """Begin a layer in a folder that Windows has made for it.

    Args:
        api: the libraries.
        folder: of the layer, empty.
        parents: folders of its parents, nearest first; none for a base layer.
        work: where a folder is made for the import, and removed; its own folder is there. Not used without parents.
        report: called with what is not carried over.
    Returns:
        The writer, which this thread must commit or abort.
    Raises:
        PrivilegeMissing: the account may not back up, restore, or set descriptors.
        InvalidArgument: the thread holds some of these privileges already, and not all.
        WindowsCallFailed: a folder does not open, or the one to work in cannot be made.
    """
    with ExitStack() as opened:
        opened.enter_context(privileges(api, BACKUP, RESTORE, SECURITY))
        if parents:
            opened.enter_context(_folder_to_work_in(api, work))
        host = opened.enter_context(NativeHost(api))
        writer: BaseWriter | ChildWriter
        if parents:
            writer = ChildWriter(api, host, folder, parents, work, report)
        else:
            writer = BaseWriter(api, host.handle(folder), folder, report)
        opened.enter_context(writer)
        return _HeldWriter(writer, opened.pop_all())


class _HeldWriter:
    """A writer with all that it holds, which ends with it."""

    def __init__(self, writer: EntryWriter, held: ExitStack) -> None:
        self._writer = writer
        self._held = held
        self._thread = threading.get_ident()
        self._is_open = True
        self._has_failed = False

    def add(self, entry: Entry, parts: Iterable[tuple[Part, BinaryIO]]) -> None:
        """Add a file or directory."""
        with self._using():
            self._writer.add(entry, parts)

    def link(self, entry: Entry) -> None:
        """Add a hard link."""
        with self._using():
            self._writer.link(entry)

    def remove(self, path: str) -> None:
        """Add a removal."""
        with self._using():
            self._writer.remove(path)

    def commit(self) -> LayerSummary:
        """Have Windows make the layer.

        Raises:
            IllegalState: something failed before, or the writer has ended.
        """
        with self._using():
            summary = self._writer.commit()
            self._end()
            return summary

    def abort(self) -> None:
        """Let go of all that is held; the folder of the layer stays."""
        if self._is_open:
            self._check_thread()
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._is_open:
            self._check_thread()
            self._is_open = False
            # Told of the failure, so that letting go does not hide it.
            self._held.__exit__(*exc)  # type: ignore[arg-type]

    def _end(self) -> None:
        self._is_open = False
        self._held.close()

    @contextmanager
    def _using(self) -> Iterator[None]:
        self._check_thread()
        if not self._is_open:
            raise IllegalState("the layer was committed or aborted before")
        if self._has_failed:
            raise IllegalState("the layer cannot be written on: something of it failed")
        try:
            yield
        except BaseException:
            self._has_failed = True
            raise

    def _check_thread(self) -> None:
        if threading.get_ident() != self._thread:
            raise InvalidArgument("a layer is written in the thread that began it only")


@contextmanager
def _folder_to_work_in(api: Libraries, work: Path) -> Iterator[None]:
    """Make a folder, and remove it with all that is in it."""
    with (
        open_file(api, work.parent, Access.GENERIC_READ, share=_folder.SHARE_ALL) as parent,
        ExitStack() as made,
    ):
        create, kind = _folder.CREATE, _folder.FOLDER_ONLY
        with _folder.open_below(api, parent, work.name, 0, disposition=create, options=kind):
            made.enter_context(_removing(api, parent, work.name))
        yield


@contextmanager
def _removing(api: Libraries, parent: int, name: str) -> Iterator[None]:
    """Remove a folder at the end; failing to never hides the failure before it."""
    try:
        yield
    except BaseException as error:
        try:
            _folder.remove_tree(api, parent, name)
        except WinlayersError as second:
            error.add_note(f"the folder {name!r} was not removed: {second}")
        raise
    _folder.remove_tree(api, parent, name)
