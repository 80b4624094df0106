"""The graph driver "windowsfilter": layers by id, each on a chain of parents.

The operations and what they mean are those of the original: Docker calls ``create`` and then
``apply_diff``; ``get`` and ``put`` are counted; ``remove`` renames first and destroys then, so that what a
crash leaves is known for what it is. Where the original has faults, this driver does what was meant;
``docs/explanation/differences.md`` lists each. This module refuses to know how a backend keeps a layer.

Source: moby/moby daemon/graphdriver/windows/windows.go.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self, runtime_checkable

from winlayers.backends.contract import (
    Backend,
    ImportPolicy,
    ImportsAhead,
    Mounts,
    ScratchAccess,
    TarFacts,
    Usage,
)
from winlayers.base.digest import Digest
from winlayers.base.locking import FileLock
from winlayers.base.progress import Cancel, NullProgress, Progress
from winlayers.driver.importing import Importer, ImportJob
from winlayers.driver.metadata import (
    LAYER_CHAIN,
    REMOVING,
    build_layer_chain,
    check_layer_id,
    read_layer_chain,
    read_layer_id,
)
from winlayers.driver.mounting import MountedLayer, MountTable
from winlayers.driver.options import parse_driver_options, parse_storage_options
from winlayers.driver.refcount import RefCounts
from winlayers.errors import (
    IllegalState,
    InUse,
    LayerHasChildren,
    LayerMounted,
    LayerNotFound,
    NoSpace,
    ParentMissing,
    PathNotFound,
    RemoteFailure,
    StoreCorrupt,
    StoreLocked,
    Unsupported,
    WinlayersError,
)
from winlayers.layer.chain import Chain
from winlayers.layer.entry import EntryKind, LayerSummary
from winlayers.layer.findings import Finding
from winlayers.layer.merge import MergedView
from winlayers.layer.names import decode_name, split_tar_name
from winlayers.layer.view import Scratch, View

if TYPE_CHECKING:
    from winlayers.layer.changes import Change

NAME = "windowsfilter"
# What Docker makes of a size that does not fit into 63 bits.
_ENDLESS_SIZE = 2**63
_log = logging.getLogger("winlayers.driver")


@runtime_checkable
class Recovers(Protocol):
    """A backend that can remove what a crash left."""

    def recover(self) -> list[str]:
        """The names of what was removed."""


class Driver:
    """The driver over one home.

    Args:
        root: root of the store; the layers are in ``windowsfilter`` below it.
        backend: keeps the layers.
        importer: runs imports into that backend.
        options: driver options as Docker passes them (``size=…``).
    Raises:
        UnknownOption: an option that does not parse.
    """

    def __init__(
        self, root: Path, backend: Backend, importer: Importer, options: Iterable[str] = ()
    ) -> None:
        self._root = root
        self._home = root / NAME
        self._backend = backend
        self._import = importer
        self._counts = RefCounts(root / "driver.db")
        self._mounts = MountTable(root / "driver.db")
        self._mount_folder = root / "mounts"
        self._options = parse_driver_options(options)

    # -- the operations of the original -------------------------------------------------------------

    def __str__(self) -> str:
        return NAME

    def status(self) -> list[tuple[str, str]]:
        """What ``docker info`` shows of the driver, as names and values."""
        return [("Windows", "")]

    def exists(self, layer_id: str) -> bool:
        """Whether there is a layer of this id."""
        return self._backend.exists(self._resolve(layer_id))

    def create(self, layer_id: str, parent: str = "") -> None:
        """Make a read-only layer that ``apply_diff`` fills later.

        Raises:
            LayerExists: the id is taken.
            ParentMissing: there is no such parent.
        """
        chain = self._chain_on(parent)
        self._backend.create(check_layer_id(layer_id), chain, self._files(chain))

    def create_read_write(
        self,
        layer_id: str,
        parent: str = "",
        storage_opt: Mapping[str, str] | None = None,
    ) -> None:
        """Make a scratch: a layer that takes writes, in the same time whatever its parents hold.

        Args:
            layer_id: the new layer.
            parent: the layer that it stands on, or ``""`` for none.
            storage_opt: options as ``docker run --storage-opt`` passes them: ``size``, which limits what
                the scratch holds; without, the driver's default is used.
        Raises:
            LayerExists: the id is taken.
            ParentMissing: there is no such parent.
            UnknownOption: an option that does not parse.
        """
        chain = self._chain_on(parent)
        size = parse_storage_options(storage_opt or {}).size or self._options.size
        limit = size if size >= 0 else _ENDLESS_SIZE
        self._backend.create_scratch(check_layer_id(layer_id), chain, limit, self._files(chain))

    def apply_diff(self, layer_id: str, parent: str, diff: BinaryIO) -> int:
        """Fill a layer from its tar, compressed or not, creating it where it is not there yet.

        Returns:
            Bytes of the unnamed data of all files.
        Raises:
            Malformed: the tar is damaged or breaks a law of layers; nothing is left of it.
        """
        return self.import_layer(layer_id, parent, diff).size

    def diff(self, layer_id: str, parent: str = "") -> BinaryIO:
        """The layer as a tar, uncompressed; of an imported layer the bytes that were imported.

        Args:
            layer_id: the layer.
            parent: its parent, by which nothing is decided, as in the original.
        """
        resolved = self._published(layer_id)
        return self._backend.export_tar(resolved, self.chain(layer_id))

    def changes(self, layer_id: str, parent: str = "") -> Iterator[Change]:
        """What a layer changes, in folded order of the paths as in the tar (``Files/…``).

        Args:
            layer_id: the layer.
            parent: what to compare with; its own parent where this is empty.
        """
        from winlayers.layer.changes import changes  # most callers compare nothing

        resolved = self._published(layer_id)
        chain = self.chain(layer_id)
        old_id = self._known(parent) if parent else chain.parent
        if old_id is None:
            old = self._backend_view(())
        else:
            old = self._backend_view((old_id, *self.chain(old_id)))
        with closing(old), closing(self._backend_view((resolved, *chain))) as new:
            # What was changed and changed back in a scratch is none, though it has another change time.
            is_scratch = self._backend.usage(resolved).kind == "scratch"
            yield from changes(old, new, compare_change_time=not is_scratch)

    def diff_size(self, layer_id: str, parent: str = "") -> int:
        """Bytes of the unnamed data of all files that a layer adds or modifies."""
        return sum(change.size for change in self.changes(layer_id, parent))

    def get(self, layer_id: str, mount_label: str = "") -> Path:
        """Hold a layer, and tell where it is; ``put`` lets it go again.

        Returns:
            Of a scratch where it is mounted, which is done at the first time. Of a sealed layer its
            folder: the original does not mount it either; ``mount`` does.
        Raises:
            LayerNotFound: there is no such layer.
            LayerMounted, Unsupported: see ``mount``.
        """
        if self._backend.usage(self._known(layer_id)).kind == "scratch":
            return self.mount(layer_id)
        # A removal looks for holders and renames under the same lock, so it cannot come in between.
        with FileLock(self._root / "lock").acquire(shared=True):
            resolved = self._known(layer_id)
            self._counts.add(resolved)
        return self._dir(resolved)

    def put(self, layer_id: str) -> None:
        """Let go of a layer that ``get`` or ``mount`` gave; the last one unmounts it.

        Nothing happens where nobody holds it.

        Raises:
            InUse: somebody works in the mount; it stays, and so does the count.
        """
        resolved = self._resolve(layer_id)
        mounted = self._mounts.find(resolved)
        if mounted is None:
            self._counts.drop(resolved)
            return
        with self._mount_lock(resolved):
            if self._counts.count(resolved) <= 1:
                self._unmount(mounted)
            self._counts.drop(resolved)

    def mount(
        self,
        layer_id: str,
        path: Path | None = None,
        *,
        read_only: bool = False,
        raw: bool = False,
        detached: bool = False,
    ) -> Path:
        """Show a layer over its parents at a path, and hold it; ``put`` lets it go again.

        Args:
            layer_id: the layer; if it is a scratch, the mount takes writes.
            path: where, an empty directory; by default ``ROOT/mounts/<id>``.
            read_only: take no writes.
            raw: show the layer as in its tar, instead of as the container's C:.
            detached: the mount outlives this process, until somebody puts it.
        Returns:
            Where it is: the path as given, or where it had been mounted before in the same way.
        Raises:
            LayerNotFound: there is no such layer.
            LayerMounted: it is mounted elsewhere or in another way, or written by another process.
            Unsupported: there is no means to mount here; says what to install.
        """
        with FileLock(self._root / "lock").acquire(shared=True):
            resolved = self._known(layer_id)
            with self._mount_lock(resolved):
                mounted = self._mounts.find(resolved)
                if mounted is not None and not self._serves(mounted):
                    self._bury(mounted)
                    mounted = None
                if mounted is None:
                    mounted = self._mount(resolved, path, read_only=read_only, raw=raw)
                elif (mounted.read_only, mounted.raw) != (read_only, raw) or (
                    path is not None and path.absolute() != mounted.path
                ):
                    raise LayerMounted(
                        f"layer {layer_id} is mounted at {mounted.path} already; put it first"
                    )
                holder = (mounted.pid, mounted.started) if detached else None
                self._counts.add(resolved, holder)
        return mounted.path

    def remove(self, layer_id: str) -> None:
        """Remove a layer; nothing happens where there is none, as in the original.

        Raises:
            LayerMounted: somebody got it and did not put it.
            LayerHasChildren: other layers stand on it.
        """
        resolved = self._resolve(layer_id)
        leaving = self._dir(resolved + REMOVING)
        with FileLock(self._root / "lock"):
            if not self._backend.exists(resolved):
                return
            self._check_free(resolved)
            if leaving.exists():
                self._backend.destroy(leaving.name)
            # After a loss of power the layer is whole or leaving, never whole in name only.
            self._backend.rename(resolved, leaving.name)
        self._backend.destroy(leaving.name)

    def cleanup(self) -> list[str]:
        """Finish what a crash left: half-removed layers, unfinished imports, counts of dead processes.

        Returns:
            What was cleaned up, a line each.
        """
        done = []
        for folder in sorted(self._home.iterdir()) if self._home.is_dir() else ():
            if folder.name.endswith(REMOVING):
                done.append(self._finish_removal(folder.name))
        if isinstance(self._backend, Recovers):
            done.extend(f"removed unfinished import {name}" for name in self._backend.recover())
        try:
            done.extend(self._clean_up_mounts())
            done.extend(f"forgot holders of {name}" for name in self._counts.forget_the_dead())
        except NoSpace as error:
            # They count for nothing; and who cannot open a store cannot make room in it.
            done.append(f"holders that have ended are still listed: {error}")
        return done

    def get_metadata(self, layer_id: str) -> dict[str, str]:
        """What ``docker inspect`` shows of the layer: its folder under ``dir``."""
        return {"dir": str(self._dir(self._resolve(layer_id)))}

    def diff_getter(self, layer_id: str) -> DiffGetter:
        """Reads any file of a layer by its name in the tar."""
        resolved = self._known(layer_id)
        return DiffGetter(self._backend_view((resolved,)))

    # -- what the command line and the store need besides -------------------------------------------

    def import_layer(
        self,
        layer_id: str,
        parent: str,
        source: BinaryIO,
        *,
        coming: Chain | None = None,
        digest: Digest | None = None,
        diff_id: Digest | None = None,
        policy: ImportPolicy | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        report: Callable[[Finding], None] = lambda finding: None,
        size: int | None = None,
        confirm: Callable[[TarFacts], None] = lambda facts: None,
    ) -> LayerSummary:
        """Make a sealed layer from its tar, in one step: all of it or nothing.

        Args:
            layer_id: name of the new layer; one that was created and not filled is filled.
            parent: the layer that it stands on, or ``""`` for a base layer.
            source: the tar, gzip, zstd or not compressed; only ``read`` is used.
            coming: the whole chain that the layer stands on, where some of it is still being imported
                (see ``imports_ahead``) and will be there when ``source`` ends; None where all is there.
            digest: of the bytes of ``source``, compared at the end.
            diff_id: of the uncompressed tar, compared at the end.
            policy: what is let pass.
            progress: told the bytes read.
            cancel: stops the import when set.
            report: called with each finding that is no error.
            size: bytes of ``source``, where they are known; see ``driver.importing.SparingImporter``.
            confirm: called with the digests before the layer is published; what it raises abandons the import.
        Returns:
            What was counted, with both digests.
        Raises:
            LayerExists, ParentMissing, Malformed, DigestMismatch, NoSpace, TooLarge, Cancelled.
        """
        check_layer_id(layer_id)
        resolved = self._resolve(layer_id)
        chain = self._chain_on(parent) if coming is None else coming
        job = ImportJob(
            resolved,
            chain,
            source,
            self._files(chain),
            digest,
            diff_id,
            policy or ImportPolicy(),
            progress or NullProgress(),
            cancel or Cancel(),
            report,
            size,
            confirm,
        )
        try:
            return self._import(job)
        except RemoteFailure as error:
            self._clean_up_after(error)
            raise

    @property
    def imports_ahead(self) -> bool:
        """Whether an import may begin before the layers are there that the new one stands on."""
        return isinstance(self._backend, ImportsAhead)

    def layers(self) -> list[str]:
        """The ids of all layers, sorted; those on their way out are not among them."""
        if not self._home.is_dir():
            return []
        return sorted(
            entry.name
            for entry in os.scandir(self._home)
            if entry.is_dir() and not entry.name.endswith(REMOVING)
        )

    def chain(self, layer_id: str) -> Chain:
        """The parents of a layer, nearest first.

        Raises:
            ParentMissing: one of them is not there.
        """
        chain = read_layer_chain(self._dir(self._known(layer_id)))
        if not len(chain):
            self._known(layer_id)  # removed meanwhile, it has no parents either
        for member in chain:
            if not self._backend.exists(member):
                raise ParentMissing(
                    f"layer {layer_id} stands on layer {member}, which is not there"
                )
        return chain

    def children(self, layer_id: str) -> list[str]:
        """The ids of the layers that stand on one, near or far.

        Raises:
            StoreCorrupt: a layer does not tell what it stands on.
        """
        resolved = self._resolve(layer_id)
        others = (other for other in self.layers() if other != resolved)
        return [other for other in others if resolved in self._named_chain(other)]

    def mounts(self) -> list[MountedLayer]:
        """What is mounted, by id of the layer; dead mounts that were not cleaned up are among it."""
        return self._mounts.all()

    def usage(self, layer_id: str) -> Usage:
        """What a layer holds."""
        return self._backend.usage(self._published(layer_id))

    def scratch(self, layer_id: str, *, read_only: bool = False) -> Scratch:
        """The writable view of a scratch; to be closed by the caller.

        Args:
            layer_id: the scratch.
            read_only: only look; another process may be writing it.
        Raises:
            LayerMounted: another process writes it, for example because it is mounted.
            Unsupported: the backend gives scratches by mounts only.
        """
        resolved = self._published(layer_id)
        if not isinstance(self._backend, ScratchAccess):
            raise Unsupported("scratches of this backend can be written by a mount only")
        return self._backend.scratch(resolved, self.chain(layer_id), read_only=read_only)

    def view(self, layer_id: str, *, alone: bool = False) -> View:
        """A layer over its chain, or alone; to be closed by the caller."""
        resolved = self._published(layer_id)
        return self._backend_view((resolved, *(() if alone else self.chain(layer_id))))

    # -- inside --------------------------------------------------------------------------------------

    def _finish_removal(self, name: str) -> str:
        """Remove what is left of a layer; what happened. Who may not remove it can read all the same."""
        try:
            self._backend.destroy(name)
        except (OSError, WinlayersError) as error:
            _log.warning("what is left of a removed layer cannot be removed: %s: %s", name, error)
            return f"could not remove {name}: {error}"
        return f"removed {name}"

    def _named_chain(self, layer_id: str) -> Chain:
        try:
            return read_layer_chain(self._dir(layer_id))
        except StoreCorrupt as error:
            error.add_note(
                f"So nothing tells which layers {layer_id} stands on: write the file again, or remove "
                f"layer {layer_id}."
            )
            raise

    def _mount_lock(self, layer_id: str) -> FileLock:
        """Held while a layer is mounted or unmounted."""
        self._mount_folder.mkdir(exist_ok=True)
        return FileLock(self._mount_folder / f"{layer_id}.lock")

    def _mount(
        self, layer_id: str, path: Path | None, *, read_only: bool, raw: bool
    ) -> MountedLayer:
        if not isinstance(self._backend, Mounts):
            raise Unsupported("layers of this backend cannot be mounted")
        place = None if path is None else path.absolute()
        mount = self._backend.mount(
            layer_id, self.chain(layer_id), place, read_only=read_only, raw=raw
        )
        mounted = MountedLayer(layer_id, mount.path, read_only, raw, mount.pid, mount.started)
        self._mounts.add(mounted)
        return mounted

    def _serves(self, mounted: MountedLayer) -> bool:
        return isinstance(self._backend, Mounts) and self._backend.shows(mounted.mount)

    def _unmount(self, mounted: MountedLayer) -> None:
        assert isinstance(self._backend, Mounts)
        self._backend.unmount(mounted.layer_id, mounted.path)
        self._mounts.remove(mounted.layer_id)

    def _bury(self, mounted: MountedLayer) -> None:
        """Take away a mount that has ended by itself, and forget who was counted for having asked for it."""
        self._unmount(mounted)
        self._counts.forget(mounted.layer_id, (mounted.pid, mounted.started))

    def _clean_up_mounts(self) -> Iterator[str]:
        """End mounts whose process died, and those that nobody holds any more."""
        for mounted in self._mounts.all():
            is_dead = not self._serves(mounted)
            if not is_dead and self._counts.count(mounted.layer_id):
                continue
            try:
                with self._mount_lock(mounted.layer_id).acquire(timeout_seconds=0):
                    self._bury(mounted) if is_dead else self._unmount(mounted)
            except (InUse, StoreLocked) as error:
                yield f"left {mounted.path} mounted: {error}"
            else:
                yield f"unmounted {mounted.path}"

    def _clean_up_after(self, failure: RemoteFailure) -> None:
        """Remove what a write-layer process that died could not remove."""
        try:
            if isinstance(self._backend, Recovers):
                self._backend.recover()
        except OSError as late:
            failure.add_note(f"besides, what it left could not be removed: {late}")

    def _backend_view(self, layer_ids: tuple[str, ...]) -> View:
        if not layer_ids:
            return MergedView(())
        return self._backend.view(layer_ids[0], Chain(layer_ids[1:]))

    def _dir(self, layer_id: str) -> Path:
        return self._home / os.path.basename(layer_id)

    def _resolve(self, layer_id: str) -> str:
        """The id that a layer is kept under."""
        name = os.path.basename(layer_id.replace("\\", "/"))
        return read_layer_id(self._dir(name)) or name if name else name

    def _known(self, layer_id: str) -> str:
        resolved = self._resolve(layer_id)
        if not resolved or not self._backend.exists(resolved):
            raise LayerNotFound(f"there is no layer {layer_id!r} in {self._home}")
        return resolved

    def _published(self, layer_id: str) -> str:
        """Where a layer is kept, with all in it that was done in a mount of it."""
        resolved = self._known(layer_id)
        mounted = self._mounts.find(resolved)
        if mounted is None or mounted.read_only or not isinstance(self._backend, Mounts):
            return resolved
        if self._serves(mounted):
            self._backend.publish(resolved, mounted.path)
        return resolved

    def _chain_on(self, parent: str) -> Chain:
        """The chain of a new layer; a parent that was created and never filled is left out of it."""
        if not parent:
            return Chain()
        resolved = self._resolve(parent)
        if not resolved or not self._backend.exists(resolved):
            raise ParentMissing(
                f"cannot create layer with missing parent {parent}: not in {self._home}"
            )
        try:
            above = self.chain(parent)
            kind = self._backend.usage(resolved).kind
        except LayerNotFound as error:
            raise ParentMissing(f"parent {parent} was removed meanwhile") from error
        if kind == "scratch":
            raise IllegalState(
                f"parent {parent} is a scratch, which may still change; commit it, and stand on that layer"
            )
        return above if kind == "created" else Chain((resolved, *above))

    def _files(self, chain: Chain) -> Mapping[str, bytes]:
        return {LAYER_CHAIN: build_layer_chain(self._dir(member).absolute() for member in chain)}

    def _check_free(self, layer_id: str) -> None:
        holders = self._counts.holders(layer_id)
        if holders:
            who = ", ".join(map(str, holders))
            raise LayerMounted(
                f"layer {layer_id} is held by process {who}; end it, or put the layer first"
            )
        if isinstance(self._backend, ScratchAccess):
            self._backend.check_unused(layer_id)
        if children := self.children(layer_id):
            who = ", ".join(children[:5]) + (", …" if len(children) > 5 else "")
            raise LayerHasChildren(f"layer {layer_id} is the parent of {who}; remove those first")


class DiffGetter:
    """Reads files of one layer by their names in its tar, as Docker does to build the tar again."""

    def __init__(self, view: View) -> None:
        self._view = view

    def get(self, name: str | bytes) -> BinaryIO:
        """The bytes of a file, or of an alternate stream (``Files/a.txt:stream``).

        Args:
            name: as in the tar.
        Raises:
            PathNotFound: the layer has no file of this name.
        """
        raw = name if isinstance(name, bytes) else name.encode("utf-8", "surrogatepass")
        components = split_tar_name(raw)
        path, _, stream = "/".join(components).partition(":")
        node = self._view.lookup(path)
        if node is None or (node.kind is EntryKind.DIRECTORY and not stream):
            raise PathNotFound(f"the layer has no file {decode_name(raw)!r}")
        return self._view.open(node, stream)

    def close(self) -> None:
        """Let go of the layer."""
        self._view.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
