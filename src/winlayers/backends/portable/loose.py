"""Looks into a bare layer tar that is in no store, compressed or not.

An index is made in a temporary folder, tolerantly: what an import would refuse becomes a finding, and the
rest can still be listed and read. A tar that is not compressed is read where it is; another is inflated
beside the index. What a crash leaves of it is removed by the next that works in the same folder, be it
another look or a store. This module refuses to know stores.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Self

from winlayers.backends.portable._pack import PackingSource, PackWriter
from winlayers.backends.sealed.building import IndexBuilder, index_tar
from winlayers.backends.sealed.packed import SealedTable
from winlayers.backends.sealed.space import full_disk_told
from winlayers.backends.sealed.staging import Staging, remove_leftovers
from winlayers.base.blocks import BlockPump
from winlayers.base.compression import Compression, detect
from winlayers.base.progress import Progress
from winlayers.errors import InvalidArgument
from winlayers.layer.findings import Finding
from winlayers.layer.merge import MergedView

# Said in full, because the folder for temporary files may be shared with other programs.
_STAGED = "winlayers-look"
_INDEX = "index.db"
_PACK = "layer.tar"


class LooseLayer:
    """An open layer tar.

    Attributes:
        table: the layer's own entries and findings.
        view: the same as a view of one layer.
    """

    def __init__(self, table: SealedTable, staged: ExitStack) -> None:
        self.table = table
        self.view = MergedView([table])
        self._staged = staged

    def close(self) -> None:
        """Close the files and remove the temporary ones."""
        with self._staged:
            self.view.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_loose(
    path: Path,
    *,
    tmpdir: Path | None = None,
    is_base: bool = False,
    progress: Progress | None = None,
) -> LooseLayer:
    """Open a layer tar.

    Args:
        path: the file.
        tmpdir: where the temporary files go, a folder that is there; the system's by default.
        is_base: whiteouts are breaches; a bare tar does not tell whether it has parents.
        progress: told the bytes read.
    Returns:
        The layer; its findings tell what an import would refuse.
    Raises:
        Malformed: it is no tar, or damaged; what comes before the damage is not shown.
        InvalidArgument: it is a pipe.
        NoSpace: the disk of the temporary files is full.
        OSError: it cannot be read, or nothing can be made in ``tmpdir``.
    """
    tmp = _system_tmp() if tmpdir is None else tmpdir
    return _open(
        f"tar:{path}",
        tmp,
        lambda folder, builder: _index_file(path, folder, builder, progress),
        is_base=is_base,
    )


def open_loose_stream(source: BinaryIO, label: str, *, tmpdir: Path, is_base: bool) -> LooseLayer:
    """Keep a layer tar that comes by, as long as it is looked at, and open it.

    Args:
        source: the tar, compressed or not; only ``read`` is used.
        label: what the layer is called in nodes and findings.
        tmpdir: where the temporary files go, a folder that is there.
        is_base: whiteouts are breaches.
    Returns:
        The layer; see ``open_loose``, also for what is raised.
    """

    def index(folder: Path, builder: IndexBuilder) -> Path:
        pack = folder / _PACK
        with BlockPump(source) as pump:
            _finish_index(pump, builder, has_end=_index_packing(pump, pack, builder))
        return pack

    return _open(label, tmpdir, index, is_base=is_base)


def _open(
    label: str, tmp: Path, index: Callable[[Path, IndexBuilder], Path], *, is_base: bool
) -> LooseLayer:
    """Index a layer in a folder of its own; ``index`` does it, and tells where the tar is."""
    remove_leftovers(tmp, _STAGED)
    with ExitStack() as stack, full_disk_told(tmp, "--tmpdir"):
        folder = stack.enter_context(Staging(tmp, _STAGED)).path
        builder = IndexBuilder(
            folder / _INDEX, is_base=is_base, report=lambda finding: None, tolerant=True
        )
        try:
            pack = index(folder, builder)
        finally:
            builder.close()
        table = SealedTable(label, folder / _INDEX, pack)
        return LooseLayer(table, stack.pop_all())


def _system_tmp() -> Path:
    from tempfile import gettempdir  # not at the top: the command line always names a folder

    return Path(gettempdir())


def _index_file(path: Path, folder: Path, builder: IndexBuilder, progress: Progress | None) -> Path:
    """Index a file; where its uncompressed bytes are."""
    with open(path, "rb", buffering=0) as file:
        if not file.seekable():
            raise InvalidArgument(
                f"{path} is a pipe; contents are read from where they lie, so save it"
            )
        is_plain = detect(file.read(16)) is Compression.NONE
        file.seek(0)
        with BlockPump(file, progress=progress) as pump:
            if is_plain:
                has_end = index_tar(pump, builder, lambda target: True)
                while pump.read():
                    pass
                pack = path
            else:
                pack = folder / _PACK
                has_end = _index_packing(pump, pack, builder)
            _finish_index(pump, builder, has_end=has_end)
    return pack


def _finish_index(pump: BlockPump, builder: IndexBuilder, *, has_end: bool) -> None:
    if not has_end:
        detail = "it ends without an end marker, so it may have been cut"
        builder.report(Finding("tar-unterminated", "", detail, offset=pump.size))
    builder.commit(
        {
            "tar_size": pump.size,
            "diff_id": pump.diff_id,
            "digest": pump.digest,
            "created_ns": 0,
            "has_end": int(has_end),
        }
    )


def _index_packing(pump: BlockPump, pack: Path, builder: IndexBuilder) -> bool:
    writer = PackWriter(pack, sync=False)
    try:
        source = PackingSource(pump, writer)
        has_end = index_tar(source, builder, lambda target: True)
        source.drain()
        return has_end
    finally:
        writer.close()
