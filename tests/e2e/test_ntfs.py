"""Layers on a real disk of NTFS: what was written, read by ntfs-3g, by its tools and by wimlib.

The tools and wimlib read the disk by themselves, each with code of its own for what is in it. wimlib
leaves extended attributes out; ``ntfscat`` shows them as the disk has them.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tests.e2e.conftest import needs
from tests.e2e.ntfsdisk import Disk, ntfs_program
from tests.e2e.places import Place, run
from tests.support.builders import (
    NEW_YEAR_FILETIME,
    OTHER_DESCRIPTOR,
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_link,
    a_reparse_point,
    a_symlink,
    a_view,
    a_whiteout,
    content_at,
    node_at,
)
from winlayers.base.xattrs import read_xattr
from winlayers.errors import AlreadyExists, Unsupported
from winlayers.formats.ea import ExtendedAttribute, build_ea_list
from winlayers.formats.reparse import RawReparse, build_reparse
from winlayers.formats.sddl import parse_sddl
from winlayers.formats.security import build_descriptor
from winlayers.layer.entry import Extent, Part
from winlayers.layer.findings import Finding
from winlayers.layer.folder import ExtractCounts
from winlayers.layer.merge import MergedView
from winlayers.layer.ntfswriter import extract_to_ntfs
from winlayers.layer.view import Node, View, walk

pytestmark = pytest.mark.e2e

EA = build_ea_list(
    [
        ExtendedAttribute(b"$KERNEL.PURGE.X", b"value", 0x80),
        ExtendedAttribute(b"TWO", b"", 0),
        ExtendedAttribute(b"THREE", bytes(range(256))),
    ]
)
AUDITED = build_descriptor(
    parse_sddl("O:SYG:BAD:PAI(D;;FW;;;WD)(A;OICI;FA;;;BA)S:AI(AU;SAFA;FA;;;WD)")
)
BIG = bytes(range(256)) * 1024
CONTENT = b"some text" * 1000
# The container's C: is Files; what is in the nearer layer is read.
BELOW = a_layer(
    a_file("Files/gone.txt", b"gone"),
    a_file("Files/kept.txt", b"of the base", security=OTHER_DESCRIPTOR),
)
LAYER = a_layer(
    a_directory("Files", attributes=0x16, ea=EA),
    a_whiteout("Files/gone.txt"),
    a_file("Files/plain.txt", CONTENT),
    a_file("Files/bare.txt", b"none", security=b""),
    a_file("Files/audited.txt", b"", security=AUDITED),
    a_file("Files/streams.txt", b"data", {"Zone.Identifier": b"[ZoneTransfer]", "big": BIG, "0": b""}),
    a_file("Files/ea.bin", b"ea", ea=EA, attributes=0x27),
    a_file("Files/offline.bin", b"o", attributes=0x3126),
    a_file("Files/old.txt", b"old", creation_filetime=1, access_filetime=2, write_filetime=3),
    a_file("Files/late.txt", b"late", creation_filetime=2**63 - 1),
    a_directory("Files/locked", {"of a folder": b"stream"}, attributes=0x2013, ea=EA),
    a_file("Files/locked/inside.txt", b"in", attributes=0x21, write_filetime=NEW_YEAR_FILETIME * 2),
    a_link("Files/again.txt", "Files/locked/inside.txt"),
    a_symlink("Files/to-file", "locked\\inside.txt", attributes=0x423, ea=EA),
    a_symlink("Files/to-folder", "..\\nowhere", is_directory=True),
    a_junction("Files/junction", "C:\\locked", attributes=0x412),
    a_reparse_point("Files/placeholder", 0x80000018, attributes=0x421),
    a_link("Files/to-file-too", "Files/to-file"),
    a_file("Files/Ünïcode \U0001f600 \ud800.txt", b"surrogate"),
)  # fmt: skip


@dataclass
class Written:
    """A view on a disk, unmounted."""

    view: View
    disk: Disk
    counts: ExtractCounts
    findings: list[Finding]

    def nodes(self) -> Iterator[tuple[str, Node]]:
        """What is on the disk, by its path there; links resolved."""
        start = node_at(self.view, "Files")
        yield "", start
        for node in walk(self.view, start):
            yield node.path.removeprefix("Files/"), self.view.resolve(node)

    def codes(self) -> dict[str, list[str]]:
        """Where each kind of loss was."""
        told: dict[str, list[str]] = {}
        for finding in self.findings:
            told.setdefault(finding.code, []).append(finding.entry)
        return told


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    needs("mkntfs", "ntfs-3g", "wimcapture")
    disk, view, findings = Disk(tmp_path_factory.mktemp("ntfs")), a_view(LAYER, BELOW), []
    with disk.mounted() as root:
        counts = _extract(view, root / "c", findings)
    return Written(view, disk, counts, findings)


def _extract(view: MergedView, to: Path, findings: list[Finding]) -> ExtractCounts:
    return extract_to_ntfs(view, node_at(view, "Files"), to, on_loss=findings.append)


def attribute(path: Path, name: str) -> bytes:
    """One of ntfs-3g's, ``b""`` where there is none."""
    try:
        return read_xattr(str(path), f"system.ntfs_{name}")
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return b""


def path_of(root: Path, where: str) -> Path:
    """Where it is, lone surrogates in its name and all."""
    return root / "c" / os.fsdecode(where.encode("utf-8", "surrogatepass"))


def on_disk(ea: bytes) -> bytes:
    """A list of extended attributes of Windows, as a disk has it: each offset is the entry's size."""
    if not ea:
        return b""
    packed, at = bytearray(ea), 0
    while offset := struct.unpack_from("<I", packed, at)[0]:
        at += offset
    struct.pack_into("<I", packed, at, len(packed) - at)
    return bytes(packed)


def expected_attributes(node: Node) -> int:
    """NORMAL is what a disk says where there are none."""
    return (node.attributes & ~0x80) | (0x400 if node.is_reparse_point else 0)


def test_everything_reads_back_through_the_mount(written: Written) -> None:
    with written.disk.mounted() as root:
        seen = 0
        for where, node in written.nodes():
            path, entry = path_of(root, where), written.view.entry(node)
            assert attribute(path, "acl") == entry.security or not entry.security, where
            got = int.from_bytes(attribute(path, "attrib"), "little")
            assert got == expected_attributes(node), where
            times = struct.unpack("<4Q", attribute(path, "times"))
            told = (node.creation_filetime, node.write_filetime, node.access_filetime)
            assert times[:3] == told, where
            assert attribute(path, "ea") == on_disk(entry.ea), where
            assert attribute(path, "reparse_data") == entry.reparse, where
            if not node.is_directory and not node.is_reparse_point:
                assert path.read_bytes() == content_at(written.view, node.path), where
            for part in written.view.parts(node):
                if part.name:
                    content = content_at(written.view, node.path, part.name)
                    assert Path(f"{path}:{part.name}").read_bytes() == content, where
            seen += 1
        names = {name for _, folders, files in os.walk(root / "c") for name in folders + files}
    assert seen == 1 + len(names)
    assert seen == 19


def test_hard_links_and_links_are_what_they_were(written: Written) -> None:
    with written.disk.mounted() as root:
        first, second = root / "c/locked/inside.txt", root / "c/again.txt"
        assert first.stat().st_ino == second.stat().st_ino
        assert os.readlink(root / "c/to-file") == os.readlink(root / "c/to-file-too")
        assert (root / "c/to-file").read_bytes() == b"in"
    assert (written.counts.hard_links, written.counts.symlinks) == (2, 0)


def test_only_the_time_of_change_is_lost(written: Written) -> None:
    assert written.codes().keys() == {"time-lost"}
    assert {finding.detail for finding in written.findings} == {"time of change"}
    assert written.counts.losses == len(written.findings)


def test_ntfscat_reads_the_same(written: Written) -> None:
    image = str(written.disk.image)
    assert on_disk(EA)[-4:] != EA[:4]
    for where in ("ea.bin", "locked", "to-file"):
        assert ntfs_program("ntfscat", "-a", "0xe0", image, f"c/{where}") == on_disk(EA)
    for where in ("to-file", "to-folder", "junction", "placeholder"):
        told = ntfs_program("ntfscat", "-a", "0xc0", image, f"c/{where}")
        assert told == written.view.entry(node_at(written.view, f"Files/{where}")).reparse
    assert ntfs_program("ntfscat", "-n", "big", image, "c/streams.txt") == BIG
    assert ntfs_program("ntfscat", "-n", "of a folder", image, "c/locked") == b"stream"


def test_ntfsinfo_reads_the_same(written: Written) -> None:
    image = str(written.disk.image)
    told = ntfs_program("ntfsinfo", "-v", "-F", "c/to-file", image).decode()
    assert re.findall(r"File attributes:.*\(0x([0-9a-f]+)\)", told)[0] == "00000423"
    assert re.search(r"Number of Hard Links:\s+2 ", told)
    assert re.search(r"File Creation Time:\s+Wed Jan  1 00:00:00 2020 UTC", told)
    reparse = written.view.entry(node_at(written.view, "Files/to-file")).reparse
    assert re.search(r"Reparse tag:\s+0xa000000c", told)
    (beginning,) = re.findall(r"Data:\s+0x([0-9a-f]+)", told)  # of it ntfsinfo shows no more
    assert reparse[8:].hex().startswith(beginning)
    assert re.findall(r"Name:\s+'(.*)'", told)[-3:] == ["$KERNEL.PURGE.X", "TWO", "THREE"]
    assert re.findall(r"EA flags:\s+(\w+)", told) == ["NEED_EA", "NONE", "NONE"]


def test_wimlib_reads_the_same(written: Written, tmp_path: Path) -> None:
    archive = tmp_path / "disk.wim"
    run(["wimcapture", written.disk.image, archive, "--compress=none"])
    listed = _wim_listing(archive)
    seen = 0
    for where, node in written.nodes():
        entry = written.view.entry(node)
        told = listed[f"/c/{where}".rstrip("/")]
        if entry.security:
            assert told.descriptor == entry.security.hex(), where
        assert told.attributes == expected_attributes(node), where
        assert told.streams == _streams(written.view, node), where
        tag = int.from_bytes(entry.reparse[:4], "little")
        assert told.tag == tag, where
        seen += 1
    assert seen == len(listed) - 1


def test_what_wimlib_applies_is_the_same(written: Written, tmp_path: Path) -> None:
    archive, other = tmp_path / "disk.wim", Disk(tmp_path)
    run(["wimcapture", written.disk.image, archive, "--compress=none"])
    run(["wimapply", archive, "1", other.image])
    with other.mounted() as root:
        for where, node in written.nodes():
            path, entry = path_of(root, where), written.view.entry(node)
            times = struct.unpack("<4Q", attribute(path, "times"))
            told = (node.creation_filetime, node.write_filetime, node.access_filetime)
            assert times[:3] == told, where
            assert attribute(path, "acl") == entry.security or not entry.security, where
            assert attribute(path, "reparse_data") == entry.reparse, where


def test_holes_stay_holes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 1 << 30  # more than the disk holds
    extents = (Extent(4096, 4096, 4096), Extent(size - 8192, size - 8192, 4096))
    view, findings = a_view(a_layer(a_file("Files/holes", b"", attributes=0x220))), []

    def parts(node: Node) -> tuple[Part, ...]:
        return (Part("", size, 0, extents),)

    def open_it(node: Node, stream: str = "") -> BinaryIO:
        return _Endless()

    monkeypatch.setattr(view, "parts", parts)
    monkeypatch.setattr(view, "open", open_it)
    with Disk(tmp_path).mounted() as root:
        _extract(view, root / "c", findings)
        found = (root / "c/holes").stat()
        assert found.st_size == size
        assert found.st_blocks * 512 < 1 << 20
        assert int.from_bytes(attribute(root / "c/holes", "attrib"), "little") == 0x220
        with open(root / "c/holes", "rb") as file:
            assert file.read(4097) == bytes(4096) + b"x"
            file.seek(size - 8193)
            assert file.read(4098) == b"\0" + b"x" * 4096 + b"\0"
    assert {finding.code for finding in findings} == {"time-lost"}


def test_what_a_disk_does_not_take_is_reported(tmp_path: Path) -> None:
    layer = a_layer(
        a_directory("Files", {"of C": b"stream"}),
        a_file("Files/a", b"a", attributes=0x4A00),
        a_file(
            "Files/b", b"bbb", attributes=0x420, reparse=build_reparse(RawReparse(0x80000017, b"x"))
        ),
        a_file("Files/c", change_filetime=NEW_YEAR_FILETIME + 2),
    )
    findings: list[Finding] = []
    with Disk(tmp_path).mounted() as root:
        _extract(a_view(layer), root / "c", findings)
        assert (root / "c/b").read_bytes() == b"bbb"
        assert os.listdir(root) == ["c"]
    told = {(one.code, one.entry, one.detail) for one in findings if one.code != "time-lost"}
    assert told == {
        ("stream-lost", "Files", "alternate stream 'of C' of the folder that is written into"),
        ("attributes-lost", "Files/a", "SPARSE_FILE, COMPRESSED, ENCRYPTED"),
        ("reparse-lost", "Files/b", "it has 3 bytes of data, and ntfs-3g sets it without any only"),
    }
    assert [one.entry for one in findings if one.code == "time-lost"] == [
        "Files/a",
        "Files/b",
        "Files",
    ]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"security": b"none"}, "'Files/bad': ntfs-3g does not take its system.ntfs_acl: Invalid"),
        (
            {"reparse": struct.pack("<IHH", 0xA000000C, 2, 0) + b"12", "attributes": 0x420},
            "'Files/bad': ntfs-3g does not take its system.ntfs_reparse_data: Invalid",
        ),
    ],
)
def test_value_that_is_none_ends_it(tmp_path: Path, fields: dict[str, Any], told: str) -> None:
    view = a_view(a_layer(a_file("Files/bad", **fields)))
    with Disk(tmp_path).mounted() as root, pytest.raises(Unsupported, match=re.escape(told)):
        _extract(view, root / "c", [])


@pytest.mark.parametrize("options", ["streams_interface=xattr", "streams_interface=none"])
def test_other_mounts_are_refused(tmp_path: Path, options: str) -> None:
    view = a_view(a_layer(a_file("Files/a")))
    with Disk(tmp_path).mounted(options) as root:
        with pytest.raises(
            Unsupported, match="ntfs-3g -o streams_interface=windows,noatime DEVICE FOLDER"
        ):
            _extract(view, root / "c", [])
        assert os.listdir(root / "c") == []


def test_mounts_of_winlayers_and_other_folders_are_refused(place: Place, root: Path) -> None:
    view = a_view(a_layer(a_file("Files/a")))
    for folder in (root / "c", place.folder / "c"):
        with pytest.raises(Unsupported, match="is not on a mount of ntfs-3g"):
            _extract(view, folder, [])
        assert os.listdir(folder) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    with Disk(tmp_path).mounted() as root:
        (root / "c").mkdir()
        (root / "c/mine").write_bytes(b"mine")
        with pytest.raises(AlreadyExists, match="not empty"):
            _extract(a_view(a_layer(a_file("Files/a"))), root / "c", [])
        assert os.listdir(root / "c") == ["mine"]


def test_command_writes_and_copies_back(tmp_path: Path, place: Place) -> None:
    """``cp`` reads what ``extract`` wrote, descriptors of any length too."""
    long = build_descriptor(parse_sddl("O:SYG:BAD:" + "(A;;FA;;;BA)" * 40))
    place.import_layer(
        "long", a_layer(a_file("Files/d/a.txt", b"a", {"s": b"stream"}, security=long, ea=EA))
    )
    place.driver.create_read_write("work", "long")
    disk = Disk(tmp_path)
    program = [sys.executable, "-m", "winlayers", "--root", place.home]
    with disk.mounted() as root:
        told = run([*program, "extract", "--to-ntfs", "long", "-o", root / "c"])
        assert f"wrote 1 file, 1 folder and 0 links to {root}/c" in told
        run([*program, "cp", root / "c/d/a.txt", "work:/b.txt"])
    shown = json.loads(run([*program, "--quiet", "stat", "--json", "work", "/b.txt"]))
    with place.driver.view("work") as view:
        entry = view.entry(node_at(view, "Files/b.txt"))
        assert content_at(view, "Files/b.txt", "s") == b"stream"
    assert len(long) > 128
    assert (entry.security, entry.ea) == (long, EA)
    assert shown["size"] == 1


# -- what wimlib lists -------------------------------------------------------------------------------


@dataclass
class _Listed:
    """One file of ``wimdir --detailed``.

    Attributes:
        descriptor: as hexadecimal digits.
        attributes: FILE_ATTRIBUTE_*.
        tag: of the reparse data, 0 for none.
        streams: SHA-1 of the data and of all alternate streams, by their names, but of empty ones.
    """

    descriptor: str
    attributes: int
    tag: int
    streams: dict[str, str]


_FIELD = re.compile(r"^([A-Z][\w ]*?) += (.*)$", re.MULTILINE)
_STREAM = re.compile(
    r'^\t(?:Named data stream "(.*)"|Unnamed data stream):\nHash += 0x(\w+)$', re.MULTILINE
)
_EMPTY = "0" * 40


def _wim_listing(archive: Path) -> dict[str, _Listed]:
    done = subprocess.run(
        ["wimdir", archive, "1", "--detailed"], stdout=subprocess.PIPE, timeout=60, check=True
    )
    text = done.stdout.decode("utf-8", "surrogatepass")
    listed = {}
    for one in text.split("-" * 76 + "\n")[1:]:
        fields = dict(_FIELD.findall(one.partition("\n\t")[0]))
        listed[fields["Full Path"].strip('"')] = _Listed(
            fields.get("Security Descriptor", ""),
            int(fields["Attributes"], 16),
            int(fields.get("Reparse Tag", "0"), 16),
            {name: digest for name, digest in _STREAM.findall(one) if digest != _EMPTY},
        )
    return listed


def _streams(view: View, node: Node) -> dict[str, str]:
    contents = {part.name: content_at(view, node.path, part.name) for part in view.parts(node)}
    return {
        name: hashlib.sha1(content).hexdigest() for name, content in contents.items() if content
    }


class _Endless(io.RawIOBase):
    """A file of nothing but x."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return offset

    def read(self, size: int = -1, /) -> bytes:
        return b"x" * size
