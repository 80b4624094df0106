"""Layers on any OS: a sealed layer is its exact tar in one pack, and an index beside it.

    ROOT/windowsfilter/<id>/sealed/layer.tar   the pack
    ROOT/windowsfilter/<id>/sealed/index.db    the index
    ROOT/windowsfilter/<id>/sealed/layer.json  what was imported: digests, size, time
    ROOT/windowsfilter/<id>/scratch/           a scratch, see ``_scratch``
    ROOT/windowsfilter/<id>/...                the driver's files, which the backend only publishes
    ROOT/tmp/                                  staging, on the same disk so that a rename publishes
    ROOT/lock                                  taken for the moment of publishing and removing

An import stages everything below ``tmp``, flushes it, and renames it into place: before that nothing
exists, after it everything does. Source: moby/moby daemon/graphdriver/windows/windows.go (what a layer
folder is called and holds).
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from winlayers.backends.contract import ImportRequest, Mount, TarFacts, Usage
from winlayers.backends.sealed import index
from winlayers.backends.sealed.packed import SealedTable
from winlayers.backends.sealed.record import RECORD, Record, read_record, write_record
from winlayers.backends.sealed.space import full_disk_told
from winlayers.backends.sealed.staging import Staging, remove_leftovers, remove_tree
from winlayers.base.atomic import publish, sync_directory, sync_file, write_file
from winlayers.base.locking import FileLock
from winlayers.base.openfiles import check_closed
from winlayers.base.processes import is_running
from winlayers.errors import (
    Denied,
    DigestMismatch,
    InvalidArgument,
    LayerExists,
    LayerNotFound,
    Malformed,
    ParentMissing,
    StoreCorrupt,
    Unsupported,
)
from winlayers.formats.filetime import ns_to_filetime
from winlayers.layer.chain import Chain
from winlayers.layer.entry import (
    FILE_ATTRIBUTE_DIRECTORY,
    Entry,
    EntryKind,
    EntryReader,
    EntryWriter,
    LayerSummary,
)
from winlayers.layer.merge import MergedView
from winlayers.layer.names import FILES
from winlayers.layer.view import View

if TYPE_CHECKING:
    from winlayers.backends.portable._scratch import PortableScratch
    from winlayers.base.blocks import BlockPump
    from winlayers.mounts.contract import Mounter

LAYERS = "windowsfilter"
SEALED = "sealed"
SCRATCH = "scratch"
PACK = "layer.tar"
INDEX = "index.db"


class PortableBackend:
    """See ``backends.contract.Backend`` for what the methods do.

    Args:
        root: the home of the store; made if it is not there.
        tmpdir: where to stage, on the same disk as ``root``; by default ``ROOT/tmp``.
        mounter: gives what shows layers to the operating system, when that is first wanted; None where it
            never is.
    """

    imports_ahead = True

    def __init__(
        self,
        root: Path,
        *,
        tmpdir: Path | None = None,
        mounter: Callable[[], Mounter] | None = None,
    ) -> None:
        self._root = root
        self._tmpdir = tmpdir
        self._mounter = mounter
        self._layers = root / LAYERS
        self._tmp = tmpdir or root / "tmp"
        for folder in (self._layers, self._tmp):
            _make_folder(folder)
        if tmpdir is not None:
            _check_owner(tmpdir)
        self._lock_path = root / "lock"
        self._mount_folder = root / "mounts"

    def recover(self) -> list[str]:
        """Remove what crashed imports left in the staging folder; the names of what was removed."""
        return remove_leftovers(self._tmp)

    # -- making and removing ---------------------------------------------------------------------

    def import_tar(self, request: ImportRequest) -> LayerSummary:
        self._check_absent(request.layer_id)
        self._check_disk()
        with full_disk_told(self._root), Staging(self._tmp, request.layer_id) as staging:
            sealed = staging.path / SEALED
            sealed.mkdir()
            summary = self._fill(request, sealed)
            self._publish(request, staging)
            return summary

    def create(self, layer_id: str, chain: Chain, files: Mapping[str, bytes]) -> None:
        self._check_disk()
        with full_disk_told(self._root), Staging(self._tmp, layer_id) as staging:
            for name, content in files.items():
                write_file(staging.path / name, content)
            with FileLock(self._lock_path):
                self._check_chain(chain)
                staging.publish(self._layers / layer_id)

    def create_scratch(
        self, layer_id: str, chain: Chain, size: int, files: Mapping[str, bytes]
    ) -> None:
        from winlayers.backends.portable._scratch import PortableScratch, make_scratch

        self._check_disk()
        self._check_chain(chain)
        members = [member for member in chain if self._is_sealed(member)]
        now = ns_to_filetime(time.time_ns())
        root = Entry("", EntryKind.DIRECTORY, FILE_ATTRIBUTE_DIRECTORY, now, now, now, now)
        with full_disk_told(self._root), Staging(self._tmp, layer_id) as staging:
            make_scratch(staging.path / SCRATCH, members, size, root)
            if not members:
                with PortableScratch(staging.path / SCRATCH, layer_id, ()) as scratch:
                    scratch.create(scratch.root(), FILES, root)
                    scratch.sync()
            for name, content in files.items():
                write_file(staging.path / name, content)
            with FileLock(self._lock_path):
                self._check_chain(chain)
                staging.publish(self._layers / layer_id)

    def destroy(self, layer_id: str) -> None:
        folder = self._layers / layer_id
        check_closed(folder)
        remove_tree(folder)

    def writer(self, layer_id: str, chain: Chain, files: Mapping[str, bytes]) -> EntryWriter:
        from winlayers.backends.sealed.writing import SealedWriter
        from winlayers.base.blocks import BlockPump

        self._check_absent(layer_id)

        def seal(tar: BinaryIO) -> LayerSummary:
            with BlockPump(tar) as pump:
                return self.import_tar(
                    ImportRequest(layer_id, chain, pump, lambda size: _own_tar(pump), files)
                )

        with full_disk_told(self._root):
            return SealedWriter(seal, Staging(self._tmp, layer_id))

    # -- asking ----------------------------------------------------------------------------------

    def exists(self, layer_id: str) -> bool:
        return (self._layers / layer_id).is_dir()

    def rename(self, layer_id: str, new_id: str) -> None:
        folder = self._folder(layer_id)
        check_closed(folder)
        os.rename(folder, self._layers / new_id)
        sync_directory(self._layers)

    def usage(self, layer_id: str) -> Usage:
        with self._removal_told(layer_id):
            folder = self._folder(layer_id)
            disk_size = sum(
                os.lstat(os.path.join(parent, name)).st_size
                for parent, _, names in os.walk(folder)
                for name in names
            )
            if self._is_scratch(layer_id):
                return self._usage_of_scratch(layer_id, disk_size)
            if not self._is_sealed(layer_id):
                created_ns = os.stat(folder).st_ctime_ns
                return Usage("created", disk_size, LayerSummary(0, 0), created_ns)
            facts = self.facts(layer_id)
            return Usage("sealed", disk_size, _summary(facts), int(facts["created_ns"]))

    def facts(self, layer_id: str) -> dict[str, str]:
        """What the index of a sealed layer says of it as a whole."""
        with (
            self._removal_told(layer_id),
            closing(index.open_read_only(self._sealed(layer_id) / INDEX)) as connection,
        ):
            return index.read_facts(connection)

    def export_tar(self, layer_id: str, chain: Chain) -> BinaryIO:
        if self._is_scratch(layer_id):
            from winlayers.backends.tarcopy import export_tar

            return export_tar(self.reader(layer_id, chain))
        with self._removal_told(layer_id):
            try:
                return open(self._sealed(layer_id) / PACK, "rb", buffering=0)
            except FileNotFoundError as error:
                raise StoreCorrupt(
                    f"the pack of layer {layer_id} is missing; remove the layer and import it again"
                ) from error

    def reader(self, layer_id: str, chain: Chain) -> EntryReader:
        from winlayers.layer.backuptar import BackupTarReader

        if self._is_scratch(layer_id):
            return self._difference(layer_id, chain)
        # Names that only just can be were let pass, or refused, by the import.
        return BackupTarReader(
            self.export_tar(layer_id, chain), base=not len(chain), lenient_names=True
        )

    def table(self, layer_id: str) -> SealedTable:
        """One sealed layer by itself, whiteouts and findings included."""
        with self._removal_told(layer_id):
            sealed = self._sealed(layer_id)
            return SealedTable(layer_id, sealed / INDEX, sealed / PACK)

    def view(self, layer_id: str, chain: Chain) -> View:
        if self._is_scratch(layer_id):
            return self.scratch(layer_id, chain, read_only=True)
        # A layer that was created and never filled shows nothing of its own.
        return MergedView(
            self._tables(member for member in (layer_id, *chain) if self._is_sealed(member))
        )

    def scratch(self, layer_id: str, chain: Chain, *, read_only: bool = False) -> PortableScratch:
        """The writable view of a scratch over its chain; see ``layer.view.Scratch``.

        Args:
            layer_id: the scratch.
            chain: the layers it stands on.
            read_only: only look; another process may be writing it.
        Raises:
            LayerNotFound: there is no such scratch.
            LayerMounted: another process writes it.
        """
        from winlayers.backends.portable._scratch import PortableScratch, chain_of

        if not self._is_scratch(layer_id):
            raise LayerNotFound(f"layer {layer_id} is no scratch, so it takes no writes")
        with self._removal_told(layer_id):
            folder = self._layers / layer_id / SCRATCH
            tables = self._tables(chain_of(folder))
            try:
                return PortableScratch(folder, layer_id, tables, read_only=read_only)
            except BaseException:
                for table in tables:
                    table.close()
                raise

    def check_unused(self, layer_id: str) -> None:
        """See ``backends.contract.ScratchAccess``."""
        if self._is_scratch(layer_id):
            from winlayers.backends.portable._scratch import check_unwritten

            with self._removal_told(layer_id):
                check_unwritten(self._layers / layer_id / SCRATCH, layer_id)

    def mount(
        self, layer_id: str, chain: Chain, path: Path | None, *, read_only: bool, raw: bool
    ) -> Mount:
        """See ``backends.contract.Mounts``; places of its own choice are ``ROOT/mounts/<id>``."""
        from winlayers.mounts.contract import MountRequest

        read_only = read_only or not self._is_scratch(layer_id)
        if path is None:
            path = self._mount_folder / layer_id
            path.mkdir(parents=True, exist_ok=True)
        info = self._wanted_mounter().mount(
            MountRequest(self._root, self._tmpdir, layer_id, chain.layer_ids, path, read_only, raw)
        )
        return Mount(path, info.pid, info.started)

    def shows(self, mount: Mount) -> bool:
        """See ``backends.contract.Mounts``."""
        return is_running(mount.pid, mount.started)

    def publish(self, layer_id: str, path: Path) -> None:
        """See ``backends.contract.Mounts``."""
        self._wanted_mounter().publish(path)

    def unmount(self, layer_id: str, path: Path) -> None:
        """See ``backends.contract.Mounts``."""
        mounter = self._wanted_mounter()
        if not mounter.mend(path):
            mounter.unmount(path)
        if path.parent == self._mount_folder:
            path.rmdir()

    def _wanted_mounter(self) -> Mounter:
        if self._mounter is None:
            raise Unsupported("this store was opened without a means to mount")
        return self._mounter()

    def _difference(self, layer_id: str, chain: Chain) -> EntryReader:
        """The entries that make the chain of a scratch what the scratch shows now."""
        from winlayers.backends.portable._difference import OwnDifference

        scratch = self.scratch(layer_id, chain, read_only=True)
        try:
            scratch.freeze()
            old = MergedView(self._tables(scratch.layer_ids[1:]))
        except BaseException:
            scratch.close()
            raise
        return OwnDifference(old, scratch)

    def _tables(self, layer_ids: Iterable[str]) -> list[SealedTable]:
        tables: list[SealedTable] = []
        try:
            for layer_id in layer_ids:
                tables.append(self.table(layer_id))
        except BaseException:
            for table in tables:
                table.close()
            raise
        return tables

    def rebuild_index(self, layer_id: str, chain: Chain) -> None:
        """Make the index of a sealed layer again from its pack, and replace the old one.

        What was imported is told by the record beside the pack or by the old index, whichever fits the
        pack; by the pack itself only where neither can be read.

        Args:
            layer_id: the layer.
            chain: the layers it stands on; links into them are looked up.
        Raises:
            LayerNotFound: there is no pack.
            InUse: somebody reads the old index, and this is Windows.
            Malformed: the pack is no layer any more; the old index stays.
            DigestMismatch: the pack is not what was imported. The index is made all the same, so that
                what is left can be read.
        """
        sealed = self._sealed(layer_id)
        with (
            full_disk_told(self._root),
            Staging(self._tmp, layer_id) as staging,
            open(sealed / PACK, "rb") as pack,
        ):
            fresh = staging.path / INDEX
            diff_id, record = self._index_pack(pack, fresh, chain, self._recorded(sealed))
            _sync_file(fresh)
            write_record(staging.path, record)
            for name in (RECORD, INDEX):
                check_closed(sealed / name)
            os.replace(staging.path / RECORD, sealed / RECORD)
            sync_directory(sealed)
            os.replace(fresh, sealed / INDEX)
            sync_directory(sealed)
        if record.diff_id != diff_id:
            raise DigestMismatch(
                f"the pack of layer {layer_id}", expected=record.diff_id, actual=diff_id
            )

    # -- inside ----------------------------------------------------------------------------------

    def _recorded(self, sealed: Path) -> list[Record]:
        """What can still be read of what was imported."""
        found = []
        with suppress(StoreCorrupt):
            found.append(read_record(sealed))
        with (
            suppress(StoreCorrupt, sqlite3.Error, FileNotFoundError),
            closing(index.open_read_only(sealed / INDEX)) as connection,
        ):
            found.append(Record.of_facts(index.read_facts(connection)))
        return [record for record in found if record is not None]

    def _index_pack(
        self, pack: BinaryIO, fresh: Path, chain: Chain, recorded: list[Record]
    ) -> tuple[str, Record]:
        """Write an index of a pack; its digest now, and the record that fits it best."""
        from winlayers.backends.sealed.building import IndexBuilder, index_tar
        from winlayers.base.blocks import BlockPump
        from winlayers.base.compression import Compression

        builder = IndexBuilder(
            fresh, is_base=not len(chain), report=lambda finding: None, lenient_names=True
        )
        with (
            closing(builder),
            BlockPump(pack, compression=Compression.NONE) as pump,
            closing(_Parents(self, chain)) as parents,
        ):
            index_tar(pump, builder, parents.find)
            while pump.read():
                pass
            actual = _record(_own_tar(pump))
            fitting = [record for record in recorded if record.diff_id == actual.diff_id]
            record = (fitting or recorded or [actual])[0]
            builder.commit(record.facts())
        return actual.diff_id, record

    @contextmanager
    def _removal_told(self, layer_id: str) -> Iterator[None]:
        """Where files are missing because the layer was removed meanwhile, say that."""
        try:
            yield
        except (FileNotFoundError, StoreCorrupt) as error:
            if self.exists(layer_id):
                raise
            raise LayerNotFound(f"layer {layer_id} was removed meanwhile") from error

    def _folder(self, layer_id: str) -> Path:
        folder = self._layers / layer_id
        if not folder.is_dir():
            raise LayerNotFound(f"there is no layer {layer_id} in {self._layers}")
        return folder

    def _is_sealed(self, layer_id: str) -> bool:
        # In this order: a layer that is removed in between must not pass for one that is empty.
        if (self._layers / layer_id / SEALED).is_dir():
            return True
        self._folder(layer_id)
        return False

    def _is_scratch(self, layer_id: str) -> bool:
        return (self._layers / layer_id / SCRATCH).is_dir()

    def _usage_of_scratch(self, layer_id: str, disk_size: int) -> Usage:
        with self.scratch(layer_id, Chain(), read_only=True) as scratch:
            summary = LayerSummary(scratch.held_size, scratch.own_count)
            return Usage("scratch", disk_size, summary, scratch.created_ns)

    def _sealed(self, layer_id: str) -> Path:
        if not self._is_sealed(layer_id):
            raise LayerNotFound(f"layer {layer_id} was created but holds nothing yet")
        return self._layers / layer_id / SEALED

    def _check_absent(self, layer_id: str) -> None:
        if (self._layers / layer_id / SEALED).exists() or self._is_scratch(layer_id):
            raise LayerExists(f"layer {layer_id} exists already")

    def _check_disk(self) -> None:
        """Refuse at once what would fail after all the work: a rename does not move between disks."""
        if os.stat(self._tmp).st_dev != os.stat(self._layers).st_dev:
            raise InvalidArgument(
                f"the temporary folder {self._tmp} is not on the disk of {self._layers}, so nothing can "
                "be moved from there into the store; choose a --tmpdir on the same disk"
            )

    def _check_chain(self, chain: Chain) -> None:
        for member in chain:
            if not (self._layers / member).is_dir():
                raise ParentMissing(f"layer {member}, a parent, is not in {self._layers}")

    def _fill(self, request: ImportRequest, sealed: Path) -> LayerSummary:
        """Write pack and index of one layer."""
        # Not at the top: who only reads, or has a child import, starts 20 ms sooner without them.
        from winlayers.backends.portable._pack import PackingSource, PackWriter
        from winlayers.backends.sealed.building import IndexBuilder, add_headers

        policy = request.policy
        with (
            closing(
                IndexBuilder(
                    sealed / INDEX,
                    is_base=not len(request.chain),
                    report=request.report,
                    lenient_names=policy.lenient_names,
                )
            ) as builder,
            closing(PackWriter(sealed / PACK, sync=policy.sync, max_size=policy.max_size)) as pack,
            closing(_Parents(self, request.chain)) as parents,
        ):
            source = PackingSource(request.tar, pack)
            has_end = add_headers(source, builder)
            source.drain()
            # Only now: a parent that is imported at the same time need not be there before.
            builder.finish(parents.find)
            facts = request.confirm(pack.size)
            if not (has_end or facts.verified or policy.allow_unterminated):
                raise Malformed(
                    "layer tar",
                    "it ends without an end marker, so it may have been cut at the border of an entry",
                    offset=pack.size,
                    finding="tar-unterminated",
                )
            record = _record(facts)
            builder.commit(record.facts())
            pack.finish()
            write_record(sealed, record, sync=policy.sync)
            if policy.sync:
                _sync_file(sealed / INDEX)
                sync_directory(sealed)
        return LayerSummary(
            builder.size, builder.entry_count, facts.diff_id, facts.digest, facts.size
        )

    def _publish(self, request: ImportRequest, staging: Staging) -> None:
        sync = request.policy.sync
        target = self._layers / request.layer_id
        for name, content in request.files.items():
            write_file(staging.path / name, content, sync=sync)
        with FileLock(self._lock_path):
            self._check_chain(request.chain)
            if target.exists():
                # Docker created the layer first: its files are there and the content is what is new.
                self._check_absent(request.layer_id)
                for name in request.files:
                    os.replace(staging.path / name, target / name)
                if sync:
                    sync_directory(target)
                publish(staging.path / SEALED, target / SEALED, sync=sync)
            else:
                staging.publish(target, sync=sync)


class _Parents:
    """The parents of a layer that is being made, opened for the first link that leads there."""

    def __init__(self, backend: PortableBackend, chain: Chain) -> None:
        self._backend = backend
        self._chain = chain
        self._view: View | None = None

    def find(self, path: str) -> bool | None:
        """Whether the parents have a file at a path; False for a folder, None for nothing."""
        if self._chain.parent is None:
            return None
        if self._view is None:
            self._view = self._open(self._chain.parent)
        node = self._view.lookup(path)
        return None if node is None else node.kind is not EntryKind.DIRECTORY

    def _open(self, parent: str) -> View:
        try:
            return self._backend.view(parent, Chain(self._chain.layer_ids[1:]))
        except LayerNotFound as error:
            raise ParentMissing(f"{error}: it is a parent of what is imported") from error

    def close(self) -> None:
        if self._view is not None:
            self._view.close()


def _own_tar(pump: BlockPump) -> TarFacts:
    """What is known of a tar that nobody gave us a digest for, because it is ours and whole."""
    return TarFacts(pump.size, str(pump.diff_id), str(pump.diff_id), verified=True)


def _record(facts: TarFacts) -> Record:
    return Record(facts.diff_id, facts.digest, facts.size, time.time_ns())


def _summary(facts: dict[str, str]) -> LayerSummary:
    return LayerSummary(
        int(facts["size"]),
        int(facts["entry_count"]),
        facts["diff_id"],
        facts["digest"],
        int(facts["tar_size"]),
    )


def _check_owner(folder: Path) -> None:
    """Refuse to stage where another user could put other files in the place of ours."""
    if not hasattr(os, "geteuid"):
        return
    owner = os.stat(folder).st_uid
    if owner not in (os.geteuid(), 0):
        raise Denied(
            f"the staging folder {folder} belongs to user {owner}, who could change what is staged in "
            "it; choose another --tmpdir"
        )


def _make_folder(folder: Path) -> None:
    """Make a folder where there is none, with those around it, to stay."""
    if not folder.is_dir():
        if folder.parent != folder:
            _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_directory(folder.parent)


def _sync_file(path: Path) -> None:
    with open(path, "rb+") as file:
        sync_file(file.fileno())
