"""The folder of a base layer below a folder of this system; on a stand-in. Real disks: tests/e2e."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from tests.support.builders import DESCRIPTOR, NEW_YEAR_FILETIME
from winlayers.base.rooted import Parts, Root
from winlayers.errors import Corrupt, InvalidName, Malformed, Unsupported
from winlayers.formats.ea import ExtendedAttribute, build_ea_list
from winlayers.formats.filetime import filetime_to_ns
from winlayers.formats.reparse import RawReparse, build_reparse, link_to
from winlayers.layer import ntfs3g
from winlayers.layer.baselayer import BaseLayerReader
from winlayers.layer.entry import STREAM_ATTRIBUTE_SPARSE, Entry, EntryKind
from winlayers.layer.findings import Finding
from winlayers.layer.ntfsfolder import NtfsFolder, spool

EA = build_ea_list([ExtendedAttribute(b"A", b"1")])
TIMES = tuple(NEW_YEAR_FILETIME + n for n in range(4))
JUNCTION = build_reparse(link_to("C:\\d", junction=True))


class Disk:
    """Stands in for a mount of ntfs-3g: tells of the files in a folder what it was given for them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.values: dict[tuple[str, str], bytes] = {("", ntfs3g.STREAM_LIST): b""}
        self.error = errno.ENODATA
        (folder / "Files").mkdir()
        self.tell("Files", attributes=0x10)
        listed = Root.list

        def xattr(root: Root, parts: Parts, name: str) -> bytes:
            value = self.values.get(("/".join(parts), name))
            if value is None:
                raise OSError(self.error, os.strerror(self.error))
            return value

        monkeypatch.setattr(Root, "xattr", xattr)
        monkeypatch.setattr(
            Root, "list", lambda root, parts: [n for n in listed(root, parts) if ":" not in n]
        )

    def tell(self, path: str, attributes: int = 0x20, **others: bytes) -> None:
        """Have a file: its attributes, and others by their names without the prefix."""
        self.values[path, ntfs3g.ATTRIBUTES] = ntfs3g.pack_attributes(attributes)
        self.values[path, ntfs3g.TIMES] = ntfs3g.pack_times(TIMES)
        for name, value in others.items():
            self.values[path, f"system.ntfs_{name}"] = value

    def stream(self, path: str, *names: str) -> None:
        """Give a file alternate streams whose content is their name."""
        for name in names:
            (self.folder / f"{path}:{name}").write_text(name)
        self.values[path, ntfs3g.STREAM_LIST] = "\0".join(names).encode()


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path, monkeypatch)


def read(folder: Path) -> tuple[dict[str, Entry], dict[str, dict[str, bytes]], list[Finding]]:
    """The entries, the contents of their parts, and what was reported."""
    entries, contents, findings = {}, {}, list[Finding]()
    with NtfsFolder(folder, report=findings.append) as found:
        reader = BaseLayerReader(found, spool=spool)
        for entry in reader:
            entries[entry.path] = entry
            contents[entry.path] = {p.name: reader.open_part(p).read() for p in reader.parts()}
    return entries, contents, findings


def test_all_that_the_mount_tells_is_read(disk: Disk) -> None:
    files = disk.folder / "Files"
    (files / "a").write_bytes(b"data")
    disk.tell("Files/a", 0x27, acl=DESCRIPTOR, ea=ntfs3g.pack_ea(EA))
    disk.stream("Files/a", "one", "two")
    (files / "d").mkdir()
    disk.tell("Files/d", 0x12)
    disk.stream("Files/d", "of d")
    os.link(files / "a", files / "d/same")
    disk.tell("Files/d/same", 0x27)
    entries, contents, findings = read(disk.folder)
    assert list(entries) == ["Files", "Files/a", "Files/d", "Files/d/same"]
    assert entries["Files/a"] == Entry(
        "Files/a", EntryKind.FILE, 0x27, TIMES[0], TIMES[2], TIMES[1], TIMES[3], 4, DESCRIPTOR, EA
    )
    assert contents["Files/a"] == {"": b"data", "one": b"one", "two": b"two"}
    assert (entries["Files/d"].kind, contents["Files/d"]) == (
        EntryKind.DIRECTORY,
        {"of d": b"of d"},
    )
    assert entries["Files/d/same"].target == "Files/a"
    assert findings == []


@pytest.mark.parametrize(
    ("attributes", "kind"), [(0x410, EntryKind.DIRECTORY), (0x420, EntryKind.FILE)]
)
def test_reparse_points_show_as_links_and_are_not_followed(
    disk: Disk, attributes: int, kind: EntryKind
) -> None:
    (disk.folder / "Files/j").symlink_to("/")
    disk.tell("Files/j", attributes, reparse_data=JUNCTION)
    entries, contents, _ = read(disk.folder)
    assert list(entries) == ["Files", "Files/j"]
    assert (entries["Files/j"].kind, entries["Files/j"].reparse) == (kind, JUNCTION)
    assert contents["Files/j"] == {}


def test_content_that_a_driver_has_is_refused(disk: Disk) -> None:
    (disk.folder / "Files/w").symlink_to("unsupported")
    disk.tell("Files/w", 0x420, reparse_data=build_reparse(RawReparse(0x80000018, b"x")))
    with pytest.raises(Unsupported, match=r"'Files/w' has the reparse tag 0x80000018"):
        read(disk.folder)


def test_mount_without_streams_is_refused(disk: Disk) -> None:
    del disk.values["", ntfs3g.STREAM_LIST]
    disk.values["", ntfs3g.ATTRIBUTES] = ntfs3g.pack_attributes(0x10)
    with pytest.raises(Unsupported, match="ntfs-3g -o ro,streams_interface=windows,noatime"):
        NtfsFolder(disk.folder)


def test_errors_of_the_disk_are_told_as_they_are(disk: Disk) -> None:
    disk.error = errno.EIO
    with pytest.raises(OSError, match="Input/output"):
        read(disk.folder)
    del disk.values["", ntfs3g.STREAM_LIST]
    with pytest.raises(OSError, match="Input/output"):
        NtfsFolder(disk.folder)


@pytest.mark.parametrize("name", [ntfs3g.ATTRIBUTES, ntfs3g.TIMES, ntfs3g.EA])
def test_values_that_are_none_are_malformed(disk: Disk, name: str) -> None:
    (disk.folder / "Files/a").touch()
    disk.tell("Files/a")
    disk.values["Files/a", name] = b"abc"
    with pytest.raises(Malformed):
        read(disk.folder)


def test_fewer_times_are_malformed(disk: Disk) -> None:
    disk.values["Files", ntfs3g.TIMES] = ntfs3g.pack_times([1, 2])
    with pytest.raises(Malformed, match="2 times"):
        read(disk.folder)


def test_plain_copy_has_what_any_folder_has(tmp_path: Path) -> None:
    files = tmp_path / "Files"
    (files / "d").mkdir(parents=True)
    (files / "d/a").write_bytes(b"data")
    (files / "d/a").chmod(0o444)
    os.utime(files / "d/a", ns=(filetime_to_ns(TIMES[1]), filetime_to_ns(TIMES[2])))
    (files / "d/b").touch()
    (files / "l").symlink_to("d")
    entries, contents, findings = read(tmp_path)
    assert list(entries) == ["Files", "Files/d", "Files/d/a", "Files/d/b"]
    file = entries["Files/d/a"]
    assert (file.attributes, file.security, contents["Files/d/a"]) == (0x21, b"", {"": b"data"})
    times = {
        file.creation_filetime,
        file.access_filetime,
        file.write_filetime,
        file.change_filetime,
    }
    assert times == {TIMES[2]}
    assert (entries["Files/d"].attributes, entries["Files/d/b"].attributes) == (0x10, 0x20)
    assert [(one.code, one.entry) for one in findings] == [("link-skipped", "Files/l")]


def test_what_is_no_file_is_malformed(tmp_path: Path) -> None:
    (tmp_path / "Files").mkdir()
    os.mkfifo(tmp_path / "Files/pipe")
    with pytest.raises(Malformed, match="Files/pipe"):
        read(tmp_path)


def test_nothing_outside_is_read(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "Files").symlink_to(outside)
    entries, _, findings = read(layer)
    assert entries == {}
    assert [one.code for one in findings] == ["link-skipped"]
    with NtfsFolder(layer) as folder, pytest.raises(InvalidName, match="link"):
        folder.find("Files/secret")


def test_folder_without_anything_has_no_entries(tmp_path: Path) -> None:
    assert read(tmp_path) == ({}, {}, [])


def extents_of(folder: Path, path: str) -> list[tuple[int, int]]:
    """Where a file of a base layer has data, by its backup stream; and that it is what the file holds."""
    with NtfsFolder(folder) as found:
        reader = BaseLayerReader(found, spool=spool)
        for entry in reader:
            if entry.path == path:
                (part,) = reader.parts()
                content = reader.open_part(part).read()
                assert content == (folder / path).read_bytes()
                assert (part.size, part.attributes) == (len(content), STREAM_ATTRIBUTE_SPARSE)
                return [(extent.offset, extent.size) for extent in part.extents or ()]
    raise AssertionError(path)


UNIT, MIB = 1 << 16, 1 << 20


@pytest.mark.parametrize(
    ("size", "written", "extents"),
    [
        (0, [], []),
        (10 * MIB, [], []),
        (3 * MIB + 5, [(MIB + 3 * UNIT + 7, 1)], [(MIB + 3 * UNIT, UNIT)]),
        (2 * UNIT, [(0, 1), (UNIT, 1)], [(0, 2 * UNIT)]),
        (MIB + 9, [(MIB + 8, 1)], [(MIB, 9)]),
        (MIB, [(0, 1), (MIB - 1, 1)], [(0, UNIT), (MIB - UNIT, UNIT)]),
    ],
)
def test_sparse_files_are_read_with_their_holes(
    disk: Disk, size: int, written: list[tuple[int, int]], extents: list[tuple[int, int]]
) -> None:
    with open(disk.folder / "Files/sparse", "wb") as file:
        file.truncate(size)
        for offset, count in written:
            os.pwrite(file.fileno(), b"x" * count, offset)
    disk.tell("Files/sparse", 0x220)
    assert extents_of(disk.folder, "Files/sparse") == extents


def body_of(folder: Path, name: bytes) -> bytes:
    with NtfsFolder(folder) as found, found.open_body(name) as body:
        return body.read()


@pytest.fixture
def bodies(disk: Disk) -> Path:
    (disk.folder / "Files/Dir").mkdir()
    (disk.folder / "Files/Dir/a.txt").write_bytes(b"text")
    disk.stream("Files/Dir/a.txt", "one")
    boot = disk.folder / "UtilityVM/Files/EFI/Microsoft/Boot"
    boot.mkdir(parents=True)
    (boot / "BCD").write_bytes(b"changed")
    (boot / "BCD.LOG").write_bytes(b"never changed")
    (disk.folder / "bcd.bak").write_bytes(b"as in the tar")
    return disk.folder


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (b"Files/Dir/a.txt", b"text"),
        (b"Files/Dir/a.txt:one", b"one"),
        (b"Files/Dir/a.txt:one:$DATA", b"one"),
        (b"files\\dir\\A.TXT", b"text"),
        (b"files/dir/A.TXT:one", b"one"),
        (b"UtilityVM/Files/EFI/Microsoft/Boot/BCD", b"as in the tar"),
        (b"UtilityVM/Files/EFI/Microsoft/Boot/BCD.LOG", b"never changed"),
    ],
)
def test_bodies_are_found_by_their_names_in_the_tar(bodies: Path, name: bytes, body: bytes) -> None:
    assert body_of(bodies, name) == body


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (b"Files/none", "'Files/none' is in the recorded tar of the layer, and not in its folder"),
        (b"Files/none/a", "not in its folder"),
        (b"files/dir/a.txt:two", "not in its folder"),
        (b"Files/Dir", "'Files/Dir' has data in the recorded tar of the layer, and is no file"),
        (b"", "is no file"),
    ],
)
def test_bodies_that_are_not_there_are_told(bodies: Path, name: bytes, told: str) -> None:
    with pytest.raises(Corrupt, match=re.escape(told)):
        body_of(bodies, name)


@pytest.mark.parametrize(
    "name", [b"../secret", b"Files/../../secret", b"/etc/passwd", b"Files/a\0"]
)
def test_names_that_lead_out_are_refused(bodies: Path, name: bytes) -> None:
    with pytest.raises(InvalidName):
        body_of(bodies, name)


def test_body_that_a_driver_has_is_refused(disk: Disk) -> None:
    (disk.folder / "Files/w").symlink_to("unsupported")
    disk.tell("Files/w", 0x420, reparse_data=build_reparse(RawReparse(0x80000018, b"x")))
    with pytest.raises(Unsupported, match=r"'Files/w' has the reparse tag 0x80000018"):
        body_of(disk.folder, b"Files/w")


def test_body_of_a_plain_copy_is_never_that_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "Files").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "Files/l").symlink_to(tmp_path / "secret")
    with pytest.raises(Corrupt, match="is no file"):
        body_of(tmp_path, b"Files/l")
