"""What is kept of a tar beside the layer: with the files, the tar again to the byte."""

from __future__ import annotations

import gzip
import io
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.builders import (
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_link,
    a_symlink,
    a_whiteout,
    layer_tar,
)
from winlayers.backends.contract import TarFacts
from winlayers.backends.native._ledger import LedgerWriter, read_ledger, remove_ledger
from winlayers.errors import Malformed
from winlayers.formats.tar import TarReader
from winlayers.formats.tarsplit import assemble_tar

LAYER = a_layer(
    a_file("Files/a", b"a", {"s": b"stream", "empty": b""}),
    a_file("Files/big", bytes(range(256)) * 9000),
    a_link("Files/l", "Files/a"),
    a_symlink("Files/s", "C:\\a"),
    a_junction("Files/j", "C:\\a"),
    a_directory("Files/d", {"on a folder": b"!"}),
    a_whiteout("Files/gone"),
)
SPARSE = {
    "GNU.sparse.major": "1",
    "GNU.sparse.minor": "0",
    "GNU.sparse.name": "Files/holes",
    "GNU.sparse.realsize": "2000",
}
FILES = {
    b"Files/a": b"a",
    b"Files/a:s": b"stream",
    b"Files/big": bytes(range(256)) * 9000,
    b"Files/d:on a folder": b"!",
}


def write(folder: Path, tar: bytes) -> None:
    """Make a ledger of a tar."""
    folder.mkdir()
    with closing(
        LedgerWriter(folder, io.BytesIO(tar), is_base=False, report=lambda finding: None)
    ) as ledger:
        reader = TarReader(ledger)
        for header in reader:
            ledger.admit(header)
        ledger.finish(reader.offset, lambda target: True)
        ledger.commit(TarFacts(len(tar), "sha256:d", "sha256:f", verified=True), 7)


def again(folder: Path, files: dict[bytes, bytes]) -> bytes:
    with gzip.open(folder / "tar-split.json.gz") as packed:
        return b"".join(assemble_tar(packed, lambda name: io.BytesIO(files[name])))  # type: ignore[arg-type]


def test_frame_and_files_make_the_tar(tmp_path: Path) -> None:
    tar = layer_tar(LAYER) + b"and more"
    write(tmp_path / "l", tar)
    assert again(tmp_path / "l", FILES) == tar
    ledger = read_ledger(tmp_path / "l")
    assert ledger is not None
    assert (ledger.record.diff_id, ledger.record.digest) == ("sha256:d", "sha256:f")
    assert (ledger.record.tar_size, ledger.record.created_ns) == (len(tar), 7)
    assert (tmp_path / "l" / "tar-split.json.gz").stat().st_size < 4000


def test_body_that_no_file_has_is_in_the_frame(tmp_path: Path) -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name, kind, body, records in (
            ("Files", b"5", b"", {}),
            ("Files/fifo", b"6", b"", {}),
            ("Files/.wh.x", b"0", b"hello", {}),
            ("Files/point", b"0", b"body", {"MSWINDOWS.mountpoint": "1"}),
            ("Files/holes", b"0", b"1\n1000\n4\n".ljust(512, b"\0") + b"data", SPARSE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.size, info.pax_headers = kind, len(body), dict(records)
            made.addfile(info, io.BytesIO(body))
    tar = target.getvalue()
    write(tmp_path / "l", tar)
    assert again(tmp_path / "l", {}) == tar


def test_ledger_that_was_given_up_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "l"
    folder.mkdir()
    ledger = LedgerWriter(folder, io.BytesIO(b"X" * 512), is_base=True, report=lambda f: None)
    with closing(ledger), pytest.raises(Malformed):
        next(iter(TarReader(ledger)))
    assert read_ledger(folder) is None
    remove_ledger(folder)
    assert not folder.exists()
    remove_ledger(folder)
