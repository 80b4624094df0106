"""Files of a layer, read by position through the stand-in."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.native.conftest import Fake
from winlayers.backends.native._backup import writing_backup
from winlayers.backends.native._files import LayerFiles
from winlayers.backends.native._handles import BACKUP, Access, open_file
from winlayers.base.fileobj import BLOCK_SIZE
from winlayers.errors import (
    Corrupt,
    InvalidArgument,
    InvalidName,
    PrivilegeMissing,
    WindowsCallFailed,
)
from winlayers.formats.text16 import utf16_encode

LONG = bytes(range(251)) * 5000
BCD = "UtilityVM/Files/EFI/Microsoft/Boot/BCD"


def record(kind: int, body: bytes, name: str = "", attributes: int = 0) -> bytes:
    full = utf16_encode(f":{name}:$DATA") if name else b""
    return struct.pack("<IIQI", kind, attributes, len(body), len(full)) + full + body


def write(fake: Fake, path: Path, *records: bytes) -> None:
    write = Access.GENERIC_READ if path.is_dir() else Access.GENERIC_READ | Access.GENERIC_WRITE
    with open_file(fake.api, path, write) as handle, writing_backup(fake.api, handle) as target:
        target.write(b"".join(records))


@pytest.fixture
def layer(tmp_path: Path, fake: Fake) -> Path:
    layer = tmp_path / "layer"
    (layer / "Files" / "folder").mkdir(parents=True)
    (layer / "Files" / "out").symlink_to(tmp_path)
    (layer / "Files" / "long").write_bytes(LONG)
    (layer / "Files" / "empty").touch()
    write(
        fake, layer / "Files" / "long", record(4, b"first", "one"), record(4, b"\0", "\ud800 two")
    )
    write(fake, layer / "Files" / "folder", record(4, b"of a folder", "one"))
    sparse = struct.pack("<Q", 4) + b"block", struct.pack("<Q", 12)
    blocks = [record(9, one) for one in sparse]
    write(fake, layer / "Files" / "empty", record(4, b"", "sparse", 8), *blocks)
    (layer / BCD).parent.mkdir(parents=True)
    (layer / BCD).write_bytes(b"changed")
    (layer / "bcd.bak").write_bytes(b"as it came")
    return layer


@pytest.fixture
def files(fake: Fake, layer: Path) -> LayerFiles:
    return LayerFiles(fake.api, layer)


@pytest.mark.parametrize(
    ("path", "stream", "content"),
    [
        ("Files/long", "", LONG),
        ("Files/empty", "", b""),
        ("Files/long", "one", b"first"),
        ("Files/long", "\ud800 two", b"\0"),
        ("Files/folder", "one", b"of a folder"),
        ("Files/empty", "sparse", b"\0\0\0\0block\0\0\0"),
        (BCD, "", b"as it came"),
    ],
)
def test_content_is_read(files: LayerFiles, path: str, stream: str, content: bytes) -> None:
    with files.open(path, stream) as reader:
        assert reader.read() == content
        assert reader.tell() == len(content)
        assert reader.read(1) == b""


def test_any_place_is_read(files: LayerFiles, fake: Fake) -> None:
    assert len(LONG) > BLOCK_SIZE
    with files.open("Files/long") as reader:
        for place in (0, 1, BLOCK_SIZE - 1, len(LONG) - 3, len(LONG), len(LONG) + 1):
            assert reader.seek(place) == place
            assert reader.read(3) == LONG[place : place + 3]
        assert reader.seek(-2, 2) == len(LONG) - 2
        assert reader.read() == LONG[-2:]
    assert any("at=0:1048575 event=0" in line for line in fake.log())


def test_privilege_is_held_while_a_file_is_opened_only(files: LayerFiles, fake: Fake) -> None:
    with files.open("Files/long") as reader:
        assert fake.privileges() == -1
        assert fake.live() == (0, 1)
        assert reader.read(1) == LONG[:1]
    reader.close()
    assert fake.live() == (0, 0)
    with pytest.raises(ValueError, match="closed"):
        reader.read(1)


@pytest.mark.parametrize("left", [0, 5])
def test_file_that_became_shorter_is_corrupt(files: LayerFiles, layer: Path, left: int) -> None:
    with files.open("Files/long") as reader:
        (layer / "Files" / "long").write_bytes(LONG[:left])
        with pytest.raises(Corrupt, match=f"ends at byte {left} of the {len(LONG)}"):
            reader.read()


@pytest.mark.parametrize(
    ("path", "stream"), [("Files/no", ""), ("Files/long", "no"), ("no/no", ""), (BCD + ".LOG", "")]
)
def test_what_is_not_there_is_told(files: LayerFiles, path: str, stream: str) -> None:
    with pytest.raises(WindowsCallFailed) as caught:
        files.open(path, stream)
    assert caught.value.code in (2, 3)


@pytest.mark.parametrize(
    ("path", "stream", "refusal"),
    [
        ("../layer/Files/long", "", InvalidArgument),
        ("Files/long:one", "", InvalidArgument),
        ("Files/out/layer/Files/long", "", WindowsCallFailed),
        ("Files/long", "a:b", InvalidName),
        ("Files/long", "a\\b", InvalidName),
        ("Files/long", "a\0", InvalidName),
        ("Files/" + "x" * 32700, "s" * 60, InvalidArgument),
    ],
)
def test_nothing_else_is_opened(
    files: LayerFiles, path: str, stream: str, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        files.open(path, stream)


def test_account_must_be_allowed(files: LayerFiles, fake: Fake) -> None:
    fake.set("FAKE_LACKS", BACKUP)
    with pytest.raises(PrivilegeMissing):
        files.open("Files/long")


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("CreateFileW", 5),
        ("NtCreateFile", 0xC0000022),
        ("GetFileInformationByHandleEx", 5),
        ("ReadFile", 1117),
        ("CloseHandle", 6),
        ("ImpersonateSelf", 5),
    ],
)
def test_failure_leaves_nothing_open(files: LayerFiles, fake: Fake, call: str, code: int) -> None:
    fake.reset()
    fake.fail(call, code)
    with pytest.raises(WindowsCallFailed, match=call), files.open("Files/long") as reader:
        reader.read()
    if call == "CloseHandle":  # what does not close stays open in the stand-in
        assert fake.live() == (0, 1)
        fake.reset()
