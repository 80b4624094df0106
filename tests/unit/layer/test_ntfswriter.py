"""What is set on a disk of NTFS, and in which order; on a stand-in. Real disks: tests/e2e/test_ntfs.py."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.builders import (
    DESCRIPTOR,
    NEW_YEAR_FILETIME,
    Layer,
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_link,
    a_symlink,
    a_view,
    node_at,
)
from winlayers.base.rooted import Parts, Root
from winlayers.errors import AlreadyExists, Malformed, Unsupported
from winlayers.formats.ea import ExtendedAttribute, build_ea_list
from winlayers.formats.reparse import RawReparse, build_reparse
from winlayers.layer import ntfs3g
from winlayers.layer.findings import Finding
from winlayers.layer.folder import ExtractCounts
from winlayers.layer.ntfswriter import extract_to_ntfs
from winlayers.layer.view import NODE_IMPLIED

EA = build_ea_list([ExtendedAttribute(b"A", b"1")])
KEPT = 0x3127


class Disk:
    """Stands in for a mount of ntfs-3g: remembers what is set."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.steps: list[tuple[str, str]] = []
        self.values: dict[tuple[str, str], bytes] = {}
        self.refused: dict[str, int] = {}

        def set_xattr(root: Root, parts: Parts, name: str, value: bytes) -> None:
            if name in self.refused:
                code = self.refused[name]
                raise OSError(code, os.strerror(code))
            kept = KEPT | (0x10 if stat.S_ISDIR(root.stat(parts).st_mode) else 0)
            if name == ntfs3g.ATTRIBUTES:
                value = ntfs3g.pack_attributes(ntfs3g.unpack_attributes(value) & kept)
            self.steps.append(("/".join(parts), name))
            self.values["/".join(parts), name] = value

        def xattr(root: Root, parts: Parts, name: str) -> bytes:
            if name in self.refused:
                raise OSError(self.refused[name], os.strerror(self.refused[name]))
            return b"" if name == ntfs3g.STREAM_LIST else self.values["/".join(parts), name]

        monkeypatch.setattr(Root, "set_xattr", set_xattr)
        monkeypatch.setattr(Root, "xattr", xattr)

    def write(self, layer: Layer, path: str = "Files") -> tuple[ExtractCounts, list[Finding]]:
        """Extract a part of a layer."""
        view, findings = a_view(layer), list[Finding]()
        target = self.folder / "c"
        counts = extract_to_ntfs(view, node_at(view, path), target, on_loss=findings.append)
        assert counts.losses == len(findings)
        return counts, [one for one in findings if one.code != "time-lost"]


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path, monkeypatch)


def test_everything_is_set_and_what_is_in_a_folder_first(disk: Disk) -> None:
    layer = a_layer(
        a_directory("Files/d", {"s": b"of d"}),
        a_file("Files/d/f", b"data", {"s": b"of f", "t": b""}, ea=EA, attributes=0x21),
        a_link("Files/same", "Files/d/f"),
        a_symlink("Files/l", "d\\f"),
        a_junction("Files/j", "C:\\d"),
    )
    counts, findings = disk.write(layer)
    assert findings == []
    assert counts == ExtractCounts(2, 1 + 1, 1, 0, 4, counts.losses)
    usual = [ntfs3g.ACL, ntfs3g.TIMES, ntfs3g.ATTRIBUTES]
    assert disk.steps == [
        *(("d/f", name) for name in (ntfs3g.EA, *usual)),
        *(("l", name) for name in (*usual, ntfs3g.REPARSE)),
        *(("j", name) for name in (*usual, ntfs3g.REPARSE)),
        *(("d", name) for name in usual),
        *(("", name) for name in usual),
    ]
    assert disk.values["d/f", ntfs3g.EA] == ntfs3g.pack_ea(EA)
    assert disk.values["d/f", ntfs3g.ACL] == DESCRIPTOR
    times = tuple(NEW_YEAR_FILETIME + n for n in (0, 2, 1))
    assert ntfs3g.unpack_times(disk.values["d", ntfs3g.TIMES]) == times
    written = disk.folder / "c"
    assert (written / "d/f").read_bytes() == (written / "same").read_bytes() == b"data"
    assert (written / "d/f:s").read_bytes() == b"of f"
    assert (written / "d/f:t").read_bytes() == b""
    assert (written / "d:s").read_bytes() == b"of d"
    assert sorted(os.listdir(written)) == ["d", "d:s", "j", "l", "same"]


def test_single_file_goes_into_the_folder(disk: Disk) -> None:
    counts, _ = disk.write(a_layer(a_file("Files/a", b"a")), "Files/a")
    assert counts.files == 1
    assert {place for place, _ in disk.steps} == {"a"}


def test_folder_that_no_layer_tells_of_is_only_made(disk: Disk) -> None:
    implied = replace(a_directory("Files/d"), flags=NODE_IMPLIED)
    disk.write(
        [replace(a_directory("Files"), flags=NODE_IMPLIED), implied, a_file("Files/d/a")], ""
    )
    assert {place for place, _ in disk.steps} == {"Files/d/a"}


def test_what_is_not_in_the_layer_is_left_alone(disk: Disk) -> None:
    disk.write(a_layer(a_directory("Files", security=b"", change_filetime=NEW_YEAR_FILETIME + 2)))
    assert disk.steps == [("", ntfs3g.TIMES), ("", ntfs3g.ATTRIBUTES)]


def test_what_is_lost_is_reported(disk: Disk) -> None:
    tagged = build_reparse(RawReparse(0x80000017, b"x"))
    layer = a_layer(
        a_directory("Files", {"of C": b"stream"}),
        a_file("Files/a", attributes=0x8C0),
        a_file("Files/b", b"bbb", attributes=0x420, reparse=tagged),
    )
    _, findings = disk.write(layer)
    assert [(one.code, one.entry, one.detail) for one in findings] == [
        ("attributes-lost", "Files/a", "DEVICE, COMPRESSED"),
        ("reparse-lost", "Files/b", "it has 3 bytes of data, and ntfs-3g sets it without any only"),
        ("stream-lost", "Files", "alternate stream 'of C' of the folder that is written into"),
    ]


@pytest.mark.parametrize(
    "name", [ntfs3g.ACL, ntfs3g.ATTRIBUTES, ntfs3g.EA, ntfs3g.REPARSE]
)  # fmt: skip
def test_refusal_says_of_what(disk: Disk, name: str) -> None:
    disk.refused[name] = errno.EINVAL
    layer = a_layer(a_symlink("Files/l", "x", ea=EA))
    with pytest.raises(Unsupported, match=f"'Files/l': ntfs-3g does not take its {name}: Invalid"):
        disk.write(layer)


def test_other_errors_are_told_as_they_are(disk: Disk) -> None:
    disk.refused[ntfs3g.ACL] = errno.ENOSPC
    with pytest.raises(OSError, match="No space left") as told:
        disk.write(a_layer(a_file("Files/a")))
    assert told.value.errno == errno.ENOSPC


def test_list_that_does_not_parse_is_malformed(disk: Disk) -> None:
    with pytest.raises(Malformed, match="Files/a"):
        disk.write(a_layer(a_file("Files/a", ea=b"abc")))


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.ENODATA])
def test_other_file_system_is_refused(disk: Disk, code: int) -> None:
    disk.refused[ntfs3g.STREAM_LIST] = code
    with pytest.raises(Unsupported, match="ntfs-3g -o streams_interface=windows,noatime DEVICE"):
        disk.write(a_layer(a_file("Files/a")))
    assert os.listdir(disk.folder / "c") == []


def test_disk_that_cannot_be_asked_is_told_as_it_is(disk: Disk) -> None:
    disk.refused[ntfs3g.STREAM_LIST] = errno.EIO
    with pytest.raises(OSError, match="Input/output"):
        disk.write(a_layer(a_file("Files/a")))


def test_nothing_is_written_over(disk: Disk) -> None:
    (disk.folder / "c").mkdir()
    (disk.folder / "c/mine").touch()
    with pytest.raises(AlreadyExists, match="not empty"):
        disk.write(a_layer(a_file("Files/a")))
    assert disk.steps == []
