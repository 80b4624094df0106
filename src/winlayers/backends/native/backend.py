"""Layers that Windows makes, mounts and removes, driven as Docker's own driver does.

    ROOT/windowsfilter/<id>/        the layer, exactly as Docker has it: Files, Hives, UtilityVM, layerchain.json, …
    ROOT/windowsfilter/<id>/sandbox.vhdx   a scratch: the disk that it writes to
    ROOT/winlayers/layers/<id>/     what is kept beside a sealed layer, see ``_ledger``
    ROOT/winlayers/making/          layers that are being made, see ``_journal``
    ROOT/winlayers/reading/         locks of those who read a layer
    ROOT/winlayers/tmp/             staging

ROOT may be the data root of Docker. Its layers are there as they are; the ledger of one is made when somebody first
asks what is in it: of Docker's own record of the tar where that was kept, else of what Windows exports.

Source: moby/moby daemon/graphdriver/windows/windows.go; microsoft/hcsshim internal/wclayer.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from winlayers.backends.contract import ImportRequest, Mount, Usage
from winlayers.backends.native import _generations, _hcs, _scratches, _volumes
from winlayers.backends.native._busy import patiently
from winlayers.backends.native._dlls import Libraries
from winlayers.backends.native._exporting import export_tar, read_folder, read_scratch
from winlayers.backends.native._files import LayerFiles
from winlayers.backends.native._holders import refuse_running
from winlayers.backends.native._importing import open_layer_writer
from winlayers.backends.native._journal import Journal
from winlayers.backends.native._ledger import Ledger, read_ledger, remove_ledger
from winlayers.backends.native._plaintrees import count_bytes, is_called, remove_staged
from winlayers.backends.native._table import FolderTable
from winlayers.backends.sealed import index
from winlayers.backends.sealed.space import full_disk_told
from winlayers.backends.sealed.staging import Staging, remove_leftovers
from winlayers.backends.sealed.writing import SealedWriter
from winlayers.base.atomic import publish, sync_directory, write_file
from winlayers.base.locking import FileLock
from winlayers.errors import (
    InUse,
    InvalidArgument,
    LayerExists,
    LayerNotFound,
    ParentMissing,
    StoreLocked,
    Unsupported,
    WinlayersError,
)
from winlayers.layer.chain import Chain
from winlayers.layer.dockerlayerdb import LayerDatabase, RecordedTar
from winlayers.layer.entry import EntryKind, EntryReader, EntryWriter, LayerSummary
from winlayers.layer.findings import Finding
from winlayers.layer.merge import LayerTable, MergedView
from winlayers.layer.names import FILES
from winlayers.layer.view import View

LAYERS = "windowsfilter"
LEDGERS = "winlayers"
LAYERDB = Path("image/windowsfilter/layerdb/sha256")
_NANOSECONDS = 1_000_000_000

_log = logging.getLogger("winlayers.backends")


class NativeBackend:
    """See ``backends.contract.Backend`` for what the methods do.

    Args:
        root: the home of the store; made if it is not there.
        tmpdir: where to stage, on the same disk as ``root``; by default ``ROOT/winlayers/tmp``.
        api: the libraries of Windows.
    Raises:
        WrongPlatform: it is no Windows.
        Unsupported: this Windows has no calls for layers, or ``root`` is on a disk that Docker refuses too.
    """

    def __init__(
        self, root: Path, *, tmpdir: Path | None = None, api: Libraries | None = None
    ) -> None:
        self._api = api or Libraries()
        _generations.generation(self._api)
        root = root.absolute()
        _volumes.refuse_refs(self._api, root)
        self._root = root
        self._layers = root / LAYERS
        own = root / LEDGERS
        self._ledgers, self._reading = own / "layers", own / "reading"
        self._tmp = tmpdir or own / "tmp"
        making = own / "making"
        for folder in (self._layers, self._ledgers, self._reading, self._tmp, making):
            folder.mkdir(parents=True, exist_ok=True)
        self._journal = Journal(making)
        self._database: LayerDatabase | None = None
        self._database_ns: int | None = None

    def recover(self) -> list[str]:
        """Undo what crashed processes were making; the names of what was undone.

        What Windows does not let go yet is logged, and stays for the next time: it is in nobody's way.
        """
        done = []
        for layer_id in self._journal.left_over():
            try:
                if self.undo_half_made(layer_id):
                    done.append(layer_id)
            except LayerExists:
                continue  # somebody makes it now
            except (WinlayersError, OSError) as error:
                _log.warning("half-made layer %s cannot be removed yet: %s", layer_id, error)
        for folder in sorted(self._ledgers.iterdir()):
            if not (self._layers / folder.name).exists():
                self._remove_ledger(folder)
                done.append(f"record of {folder.name}")
        return done + remove_leftovers(self._tmp, remove=self._remove_staged)

    def undo_half_made(self, layer_id: str) -> bool:
        """Have a layer that a crashed process was making be as it was before; whether it was half-made.

        Raises:
            LayerExists: a process makes it now.
            StoreCorrupt: the journal does not tell what it was.
            WindowsCallFailed: it does not go.
        """
        with self._journal.claiming(layer_id):
            self._journal.forget_unfinished(layer_id)
            if not self._journal.names(layer_id):
                return False
            self._undo(layer_id)
            return True

    # -- making and removing ---------------------------------------------------------------------

    def import_tar(self, request: ImportRequest) -> LayerSummary:
        from winlayers.backends.native._tarimport import import_tar

        self._check_absent(request.layer_id)
        parents = self._check_chain(request.chain)
        with (
            full_disk_told(self._root),
            self._making(
                request.layer_id, request.chain.parent or "", may_be_created=True
            ) as folder,
            self._staging(request.layer_id) as staging,
            closing(_Parents(self, request.chain)) as below,
        ):
            ledger, work = staging.path / "ledger", staging.path / "work"
            ledger.mkdir()
            with open_layer_writer(
                self._api, folder, parents, work=work, report=_without_opaque(request.report)
            ) as writer:
                summary = import_tar(request, ledger, writer, below.find)
            _write_files(folder, request.files, sync=request.policy.sync)
            publish(ledger, self._ledgers / request.layer_id, sync=request.policy.sync)
            return summary

    def create(self, layer_id: str, chain: Chain, files: Mapping[str, bytes]) -> None:
        self._check_chain(chain)
        with (
            full_disk_told(self._root),
            self._making(layer_id, chain.parent or "", may_be_created=False) as folder,
        ):
            _write_files(folder, files)

    def create_scratch(
        self, layer_id: str, chain: Chain, size: int, files: Mapping[str, bytes]
    ) -> None:
        parents = self._check_chain(chain)
        if not parents:
            raise InvalidArgument(
                f"scratch {layer_id} has no parent: Windows makes scratches on layers only"
            )
        with (
            full_disk_told(self._root),
            self._making(layer_id, None, may_be_created=False) as folder,
        ):
            _scratches.create(self._api, folder, parents, size)
            _write_files(folder, files)

    def writer(self, layer_id: str, chain: Chain, files: Mapping[str, bytes]) -> EntryWriter:
        from winlayers.backends.contract import TarFacts
        from winlayers.base.blocks import BlockPump

        self._check_absent(layer_id)

        def seal(tar: BinaryIO) -> LayerSummary:
            with BlockPump(tar) as pump:

                def confirm(size: int) -> TarFacts:
                    return TarFacts(pump.size, str(pump.diff_id), str(pump.diff_id), verified=True)

                return self.import_tar(ImportRequest(layer_id, chain, pump, confirm, files))

        with full_disk_told(self._root):
            return SealedWriter(seal, self._staging(layer_id))

    def rename(self, layer_id: str, new_id: str) -> None:
        self._folder(layer_id)
        with self._unread(layer_id):
            old, new = self._ledgers / layer_id, self._ledgers / new_id
            if not os.path.lexists(self._layers / new_id):
                self._remove_ledger(new)
            _scratches.take_away(self._api, self._layers / layer_id, self._layers / new_id)
            # After the layer, which keeps its ledger where Windows does not let it go. A ledger alone is nobody's:
            # a layer that is made under this name removes it first.
            with suppress(FileNotFoundError):  # there is none, or a recovery was faster
                patiently(self._api, old, lambda: os.rename(old, new))
                sync_directory(self._ledgers)

    def destroy(self, layer_id: str) -> None:
        folder = self._layers / layer_id
        with self._journal.claiming(layer_id), self._unread(layer_id):
            if os.path.lexists(folder):
                _scratches.destroy(self._api, folder)
            self._remove_ledger(self._ledgers / layer_id)
            if self._journal.names(layer_id):
                self._journal.end(layer_id)

    # -- asking ----------------------------------------------------------------------------------

    def exists(self, layer_id: str) -> bool:
        folder = self._layers / layer_id
        if not folder.is_dir() or not is_called(folder):
            return False
        return not self._journal.names(layer_id) or self._was_created(layer_id)

    def usage(self, layer_id: str) -> Usage:
        folder = self._folder(layer_id)
        kind = self._kind(layer_id)
        disk_size = count_bytes(folder)
        made_ns = _made_ns(folder)
        if kind != "sealed":
            return Usage(kind, disk_size, LayerSummary(0, 0), made_ns)
        ledger = read_ledger(self._ledgers / layer_id)
        if ledger is not None:
            return Usage(kind, disk_size, _summary(ledger), ledger.record.created_ns)
        recorded = self._recorded(layer_id)
        if recorded is None:
            return Usage(kind, disk_size, LayerSummary(0, 0), made_ns)
        diff_id = str(recorded.diff_id)
        return Usage(kind, disk_size, LayerSummary(recorded.size or 0, 0, diff_id), made_ns)

    def export_tar(self, layer_id: str, chain: Chain) -> BinaryIO:
        from winlayers.backends import tarcopy

        if self._kind(layer_id) == "scratch":
            return tarcopy.export_tar(self.reader(layer_id, chain))
        with ExitStack() as stack:
            ledger = self._ledger(layer_id, chain)
            files = self._reading_files(layer_id, stack)
            return export_tar(layer_id, ledger, files, stack.pop_all())

    def reader(self, layer_id: str, chain: Chain) -> EntryReader:
        from winlayers.backends.native._exporting import TarEntries

        if self._kind(layer_id) != "scratch":
            return TarEntries(self.export_tar(layer_id, chain), is_base=not len(chain))
        folder = self._layers / layer_id
        parents = self._check_chain(chain)
        is_mounted = _scratches.is_mounted(self._api, folder)
        if is_mounted:
            refuse_running(self._api, folder)  # its view would be taken away meanwhile
        return read_scratch(
            self._api, folder, parents, self._staging(layer_id), is_mounted=is_mounted
        )

    def view(self, layer_id: str, chain: Chain) -> View:
        tables: list[LayerTable] = []
        try:
            members = (layer_id, *chain)
            for number, member in enumerate(members):
                below = Chain(members[number + 1 :])
                kind = self._kind(member)
                if kind == "scratch":
                    tables.append(self._scratch_table(member, below))
                elif kind == "sealed":
                    tables.append(self._table(member, below))
        except BaseException:
            for table in tables:
                table.close()
            raise
        return MergedView(tables)

    # -- mounting --------------------------------------------------------------------------------

    def mount(
        self, layer_id: str, chain: Chain, path: Path | None, *, read_only: bool, raw: bool
    ) -> Mount:
        """See ``backends.contract.Mounts``: Windows mounts scratches alone, where it wants."""
        if path is not None or read_only or raw or self._kind(layer_id) != "scratch":
            raise Unsupported(
                "Windows mounts scratches only, to be written, at a volume that it names itself; leave out "
                "the path and the options"
            )
        folder = self._layers / layer_id
        parents = self._check_chain(chain)
        refuse_running(self._api, folder)
        shown = _scratches.mount(self._api, folder, parents)
        return Mount(Path(shown))

    def shows(self, mount: Mount) -> bool:
        """See ``backends.contract.Mounts``."""
        return os.path.exists(f"{mount.path}{os.sep}")  # of a volume, not the device that it is on

    def publish(self, layer_id: str, path: Path) -> None:
        """See ``backends.contract.Mounts``: what is written is on the disk of the scratch at once."""

    def unmount(self, layer_id: str, path: Path) -> None:
        """See ``backends.contract.Mounts``; a mount that a restart of Windows ended has ended."""
        folder = self._layers / layer_id
        if (folder / _scratches.DISK).exists() and _scratches.is_mounted(self._api, folder):
            _scratches.unmount(self._api, folder)

    # -- inside ----------------------------------------------------------------------------------

    @contextmanager
    def _making(self, layer_id: str, parent: str | None, *, may_be_created: bool) -> Iterator[Path]:
        """The folder of a layer that is made in the ``with`` block: all of it, or it was never there.

        Args:
            layer_id: the layer.
            parent: the nearest layer that it stands on, ``""`` for none; None leaves making the folder to the
                block.
            may_be_created: it may be there already, created and not filled.
        """
        folder = self._layers / layer_id
        with self._journal.claiming(layer_id):
            if self._journal.names(layer_id):
                self._undo(layer_id)  # its process died
            before = None
            if folder.exists():
                if not is_called(folder):
                    raise LayerExists(f"to Windows, {layer_id} is the same as a layer that exists")
                if not may_be_created or self._kind(layer_id) != "created":
                    raise LayerExists(f"layer {layer_id} exists already")
                before = {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}
            self._remove_ledger(self._ledgers / layer_id)
            self._journal.begin(layer_id, before)
            try:
                if before is None and parent is not None:
                    _hcs.create(self._api, str(folder), parent)
                yield folder
            except BaseException as error:
                try:
                    self._undo(layer_id)
                except (WinlayersError, OSError) as late:
                    error.add_note(f"besides, {folder} could not be removed yet: {late}")
                raise
            self._journal.end(layer_id)

    def _undo(self, layer_id: str) -> None:
        """Have a layer be as it was before somebody began to make it, and end the entry of the journal."""
        folder = self._layers / layer_id
        before = self._journal.files_before(layer_id)
        if os.path.lexists(folder):
            _generations.destroy(self._api, str(folder))
        self._remove_ledger(self._ledgers / layer_id)
        if before is not None:
            _hcs.create(self._api, str(folder))
            _write_files(folder, before)
        self._journal.end(layer_id)

    def _kind(self, layer_id: str) -> str:
        """What a layer is: ``sealed``, ``scratch`` or ``created``.

        Raises:
            LayerNotFound: it is not there.
        """
        folder = self._folder(layer_id)
        if self._journal.names(layer_id):
            return "created"
        if (folder / _scratches.DISK).exists():
            return "scratch"
        if (folder / FILES).is_dir() or (self._ledgers / layer_id).is_dir():
            return "sealed"
        return "created"

    def _was_created(self, layer_id: str) -> bool:
        return self._journal.files_before(layer_id) is not None

    def _folder(self, layer_id: str) -> Path:
        if not self.exists(layer_id):
            raise LayerNotFound(f"there is no layer {layer_id} in {self._layers}")
        return self._layers / layer_id

    def _check_absent(self, layer_id: str) -> None:
        if self.exists(layer_id) and self._kind(layer_id) != "created":
            raise LayerExists(f"layer {layer_id} exists already")

    def _check_chain(self, chain: Chain) -> list[Path]:
        """The folders of the parents that hold anything, nearest first."""
        found = []
        for member in chain:
            if not self.exists(member):
                raise ParentMissing(f"layer {member}, a parent, is not in {self._layers}")
            if self._kind(member) == "sealed":
                found.append(self._layers / member)
        return found

    # Reading

    def _reading_files(self, layer_id: str, stack: ExitStack) -> LayerFiles:
        """The files of a layer, which stays as it is until the stack is closed."""
        lock = FileLock(self._reading / f"{layer_id}.lock")
        stack.enter_context(lock.acquire(shared=True))
        return LayerFiles(self._api, self._folder(layer_id))

    @contextmanager
    def _unread(self, layer_id: str) -> Iterator[None]:
        """Keep others from reading a layer.

        Raises:
            InUse: somebody reads it.
        """
        lock = FileLock(self._reading / f"{layer_id}.lock")
        try:
            lock.acquire(timeout_seconds=0)
        except StoreLocked as error:
            raise InUse(
                f"layer {layer_id} is being read by another command; try again when it has ended"
            ) from error
        try:
            yield
        finally:
            lock.remove()

    def _table(self, layer_id: str, chain: Chain) -> LayerTable:
        ledger = self._ledger(layer_id, chain)
        held = ExitStack()
        try:
            files = self._reading_files(layer_id, held)
            return FolderTable(layer_id, ledger.index, files, held.close)
        except BaseException:
            held.close()
            raise

    def _ledger(self, layer_id: str, chain: Chain) -> Ledger:
        """The ledger of a sealed layer; made where there is none.

        Raises:
            LayerNotFound: the layer holds nothing.
        """
        if self._kind(layer_id) != "sealed":
            raise LayerNotFound(f"layer {layer_id} was created but holds nothing yet")
        place = self._ledgers / layer_id
        ledger = read_ledger(place)
        return ledger or self._adopt(layer_id, chain, place)

    def _adopt(self, layer_id: str, chain: Chain, place: Path) -> Ledger:
        """Make the ledger of a layer that somebody else made."""
        from winlayers.backends.native._tarimport import adopt_tar

        with ExitStack() as stack:
            stack.enter_context(full_disk_told(self._root))
            staged = stack.enter_context(self._staging(layer_id)).path
            files = self._reading_files(layer_id, stack)
            tar = read_folder(
                self._api,
                self._layers / layer_id,
                self._check_chain(chain),
                files,
                self._recorded(layer_id),
                staged / "work",
                stack,
            )
            fresh = staged / "ledger"
            fresh.mkdir()
            adopt_tar(tar, fresh, is_base=not len(chain))
            with self._journal.claiming(layer_id):
                if read_ledger(place) is None:  # another process may have been faster
                    self._remove_ledger(place)
                    publish(fresh, place)
        made = read_ledger(place)
        assert made is not None
        return made

    def _staging(self, layer_id: str) -> Staging:
        return Staging(self._tmp, layer_id, self._remove_staged)

    def _remove_staged(self, path: Path) -> None:
        remove_staged(self._api, path)

    def _remove_ledger(self, folder: Path) -> None:
        """Remove a ledger. Windows refuses while a listing of another process has it open, for a moment."""
        patiently(self._api, folder, lambda: remove_ledger(folder))

    def _recorded(self, layer_id: str) -> RecordedTar | None:
        changed_ns = _changed_ns(self._root / LAYERDB)
        if self._database is None or changed_ns != self._database_ns:
            # Kept, as a listing asks for every layer, and each is a file to be read.
            self._database, self._database_ns = LayerDatabase(self._root), changed_ns
        recorded = self._database.find(layer_id)
        return recorded if recorded is not None and recorded.has_frame else None

    def _scratch_table(self, layer_id: str, chain: Chain) -> LayerTable:
        from winlayers.backends.native._exporting import SpooledTable

        return SpooledTable(layer_id, self.reader(layer_id, chain), self._staging(layer_id))


class _Parents:
    """The parents of a layer that is being made, opened for the first link that leads there."""

    def __init__(self, backend: NativeBackend, chain: Chain) -> None:
        self._backend = backend
        self._chain = chain
        self._view: View | None = None

    def find(self, path: str) -> bool | None:
        """Whether the parents have a file at a path; False for a folder, None for nothing."""
        if self._chain.parent is None:
            return None
        if self._view is None:
            self._view = self._backend.view(self._chain.parent, Chain(self._chain.layer_ids[1:]))
        node = self._view.lookup(path)
        return None if node is None else node.kind is not EntryKind.DIRECTORY

    def close(self) -> None:
        if self._view is not None:
            self._view.close()


def _without_opaque(report: Callable[[Finding], None]) -> Callable[[Finding], None]:
    """Report what the writer finds, but for what the reading of the tar has reported already."""

    def forward(finding: Finding) -> None:
        if finding.code != "whiteout-opaque":
            report(finding)

    return forward


def _write_files(folder: Path, files: Mapping[str, bytes], *, sync: bool = True) -> None:
    for name, content in files.items():
        write_file(folder / name, content, sync=sync)


def _summary(ledger: Ledger) -> LayerSummary:
    record = ledger.record
    with closing(index.open_read_only(ledger.index)) as connection:
        facts = index.read_facts(connection)
    return LayerSummary(
        int(facts["size"]),
        int(facts["entry_count"]),
        record.diff_id,
        record.digest,
        record.tar_size,
    )


def _made_ns(folder: Path) -> int:
    status = os.stat(folder)
    return int(getattr(status, "st_birthtime_ns", status.st_ctime_ns))


def _changed_ns(folder: Path) -> int | None:
    """When something was last added to a folder, or taken from it; None where there is none."""
    try:
        return os.stat(folder).st_mtime_ns
    except FileNotFoundError:
        return None
