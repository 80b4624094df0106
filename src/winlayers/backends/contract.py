"""What a place for layers has to be able to do.

The words: a layer is *created* (known, empty), *sealed* (holds its content, read only), or a *scratch*.
Layers are named by ``layer_id``; who stands on whom is told at each call by a ``Chain``, nearest parent
first, because a backend does not keep chains: the driver does.

Three life stories:

* a pulled layer: ``import_tar`` → ``view``, ``reader``, ``export_tar`` any number of times → ``destroy``;
* Docker's way: ``create`` → ``import_tar`` of the same id → as above;
* a layer made here: ``writer`` → entries → ``commit`` → as above;
* a container's: ``create_scratch`` → written to by way of ``ScratchAccess`` or a mount → ``export_tar`` or
  ``reader``, which give the layer that the changes make → ``destroy``.

Anything cut off half way was never there: a backend publishes a layer in one step, and removes what an
earlier crash left when it is opened. Source: moby/moby daemon/graphdriver/windows/windows.go (which calls
a driver needs from its layer store).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, runtime_checkable

from winlayers.layer.chain import Chain
from winlayers.layer.entry import EntryReader, EntryWriter, LayerSummary
from winlayers.layer.findings import Finding
from winlayers.layer.view import Scratch, View

if TYPE_CHECKING:
    from winlayers.formats.tar import TarSource


@dataclass(frozen=True, slots=True)
class TarFacts:
    """What the giver of a tar knows about it once it was read to its end.

    Attributes:
        size: bytes of the tar.
        diff_id: its digest (``sha256:…``).
        digest: digest of the file it came in, compressed or not.
        verified: whether one of the digests was compared with a wanted one; if not, a tar without an
            end marker may be a cut one and is refused.
    """

    size: int
    diff_id: str
    digest: str
    verified: bool


@dataclass(frozen=True, slots=True)
class ImportPolicy:
    """What an import lets pass.

    Attributes:
        lenient_names: names that only ``\\\\?\\`` paths can make (devices, control characters, trailing
            dots) are reported and kept; otherwise they are refused.
        allow_unterminated: a tar without an end marker is taken even if no digest was compared.
        max_size: limit on the bytes of the tar, or None.
        sync: flush to disk before publishing; False is for stores that may be lost.
    """

    lenient_names: bool = False
    allow_unterminated: bool = False
    max_size: int | None = None
    sync: bool = True


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """One layer to be imported.

    Attributes:
        layer_id: name of the new layer.
        chain: the layers it stands on.
        tar: the uncompressed tar.
        confirm: called once after the end of ``tar`` with the bytes counted; returns what is known of
            the tar, or raises to abandon the import.
        files: the driver's own files, name to content, published with the layer.
        policy: what is let pass.
        report: called with each finding that is not an error.
    """

    layer_id: str
    chain: Chain
    tar: TarSource
    confirm: Callable[[int], TarFacts]
    files: Mapping[str, bytes] = field(default_factory=dict)
    policy: ImportPolicy = field(default_factory=ImportPolicy)
    report: Callable[[Finding], None] = lambda finding: None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a layer holds.

    Attributes:
        kind: ``"sealed"``, ``"scratch"``, or ``"created"`` for one that was never filled.
        disk_size: bytes on disk.
        summary: what the import counted; of a scratch the bytes that count for its quota, and the files
            and directories that it keeps of its own.
        created_ns: when it was published, nanoseconds since 1970.
    """

    kind: str
    disk_size: int
    summary: LayerSummary
    created_ns: int


class Backend(Protocol):
    """A place where layers live. Errors: LayerNotFound, LayerExists, Malformed, Corrupt, NoSpace."""

    def import_tar(self, request: ImportRequest) -> LayerSummary:
        """Make a sealed layer of a tar, or fill a created one; all of it or nothing."""

    def export_tar(self, layer_id: str, chain: Chain) -> BinaryIO:
        """The layer's tar.

        A backend that keeps the tar itself gives the same bytes again. Another makes one of the entries
        (``tarcopy``), with the same content, but not of the same digest unless the tar came from there.
        """

    def create(self, layer_id: str, chain: Chain, files: Mapping[str, bytes]) -> None:
        """Make a created layer with the driver's files in it."""

    def create_scratch(
        self, layer_id: str, chain: Chain, size: int, files: Mapping[str, bytes]
    ) -> None:
        """Make a scratch on a chain, in the same time whatever that holds.

        Args:
            layer_id: its name.
            chain: the layers that it stands on.
            size: bytes that it may hold, 0 for no limit.
            files: the driver's files.
        """

    def exists(self, layer_id: str) -> bool: ...

    def destroy(self, layer_id: str) -> None:
        """Remove a layer, whatever state it is in; no error if there is none.

        Raises:
            InUse: somebody works with it, on a system where that keeps it: all of it stays.
        """

    def rename(self, layer_id: str, new_id: str) -> None:
        """Give a layer another id, in one step and to stay.

        Raises:
            LayerNotFound: there is no such layer.
            InUse: somebody works with it, so that it keeps its id.
        """

    def usage(self, layer_id: str) -> Usage: ...

    def reader(self, layer_id: str, chain: Chain) -> EntryReader:
        """The layer's own entries in the order of its tar."""

    def writer(self, layer_id: str, chain: Chain, files: Mapping[str, bytes]) -> EntryWriter:
        """A writer whose commit makes a sealed layer."""

    def view(self, layer_id: str, chain: Chain) -> View:
        """The layer over its chain; an empty chain shows the layer alone."""


@runtime_checkable
class ScratchAccess(Protocol):
    """A backend whose scratches can be written without a mount."""

    def scratch(self, layer_id: str, chain: Chain, *, read_only: bool = False) -> Scratch:
        """The writable view of a scratch.

        Raises:
            LayerMounted: somebody else writes it.
        """

    def check_unused(self, layer_id: str) -> None:
        """See that nobody writes a layer; of one that is no scratch nobody does.

        Raises:
            LayerMounted: somebody does; the message says who.
        """


@runtime_checkable
class ImportsAhead(Protocol):
    """A backend that can begin to import a layer before its parents are there.

    They have to be there when the tar has come to its end: links are looked up in them then, not before.
    """

    imports_ahead: bool
    """True."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A layer that is shown at a path.

    Attributes:
        path: where.
        pid: id of the process that serves it; 0 where the system itself does.
        started: when that process began, as ``base.processes.process_start_time`` tells it.
    """

    path: Path
    pid: int = 0
    started: str = ""


@runtime_checkable
class Mounts(Protocol):
    """A backend that can show layers to the operating system at a path."""

    def mount(
        self, layer_id: str, chain: Chain, path: Path | None, *, read_only: bool, raw: bool
    ) -> Mount:
        """Show a layer over its chain at a path; it takes writes if it is a scratch.

        Args:
            layer_id: the layer.
            chain: the layers that it stands on.
            path: an empty directory, or None for a place of the backend's own choice.
            read_only: take no writes in any case.
            raw: show the layer as in its tar, instead of as the container's C:.
        Returns:
            The mount, which is there when this returns.
        Raises:
            LayerMounted: another process writes the scratch.
            Unsupported: the system has no means to mount; says what to install.
        """

    def publish(self, layer_id: str, path: Path) -> None:
        """Have what was done in a mount be seen by ``reader``, ``export_tar``, ``usage`` and views."""

    def shows(self, mount: Mount) -> bool:
        """Whether a mount still serves; it does not once its process died, or the system was started again."""

    def unmount(self, layer_id: str, path: Path) -> None:
        """End a mount; of one whose process died, take away what the system still has.

        Raises:
            InUse: somebody works in it.
        """
