from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.support.builders import (
    NEW_YEAR_FILETIME,
    Layer,
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_link,
    a_reparse_point,
    a_symlink,
    a_view,
    node_at,
)
from winlayers.base.progress import Cancel
from winlayers.base.rooted import Root
from winlayers.errors import AlreadyExists, Cancelled
from winlayers.formats.ea import ExtendedAttribute, build_ea_list
from winlayers.formats.filetime import MAX_FILETIME, filetime_to_ns
from winlayers.formats.reparse import SymbolicLink, build_reparse
from winlayers.layer.entry import Extent, Part
from winlayers.layer.findings import CATALOG, Finding, Severity
from winlayers.layer.folder import ExtractCounts, extract
from winlayers.layer.merge import MergedView
from winlayers.layer.view import Node


class Extracted:
    """A layer, or a part of it, written to a folder."""

    def __init__(self, tmp_path: Path, layer: Layer, start: str = "", **options: Any) -> None:
        self.folder = tmp_path / "out"
        self.findings: list[Finding] = []
        view = a_view(layer)
        self.counts = extract(
            view, node_at(view, start), self.folder, on_loss=self.findings.append, **options
        )
        assert self.counts.losses == len(self.findings)
        assert all(finding.code in CATALOG for finding in self.findings)

    @property
    def names(self) -> list[str]:
        found = self.folder.rglob("*")
        return sorted(path.relative_to(self.folder).as_posix() for path in found)

    def codes(self, path: str) -> list[str]:
        return [finding.code for finding in self.findings if finding.entry == path]


def plain(**fields: Any) -> dict[str, Any]:
    """Metadata that a folder keeps all of."""
    times = dict.fromkeys(("creation_filetime", "change_filetime"), NEW_YEAR_FILETIME + 2)
    return {"security": b"", **times, **fields}


def test_subtree_becomes_a_folder(tmp_path: Path) -> None:
    layer = a_layer(
        a_file("Files/d/a.txt", b"a", **plain()),
        a_file("Files/d/e/b.txt", b"bb", **plain()),
        a_directory("Files/d/empty", **plain()),
        a_file("Files/other"),
    )
    done = Extracted(tmp_path, layer, "Files/d")
    assert done.names == ["a.txt", "e", "e/b.txt", "empty"]
    assert (done.folder / "e/b.txt").read_bytes() == b"bb"
    assert done.counts == ExtractCounts(2, 2, 0, 0, 3, done.counts.losses)
    assert done.codes("Files/d/a.txt") == done.codes("Files/d/empty") == []


def test_single_file_goes_into_the_folder(tmp_path: Path) -> None:
    layer = a_layer(a_file("Files/d/a.txt", b"a"), a_file("Files/b"))
    assert Extracted(tmp_path, layer, "Files/d/a.txt").names == ["a.txt"]


def test_whole_view_is_written_from_its_root(tmp_path: Path) -> None:
    done = Extracted(tmp_path, a_layer(a_file("Files/a"), a_file("Hives/System_Delta")))
    assert done.names == ["Files", "Files/a", "Hives", "Hives/System_Delta"]


def test_destination_has_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    layer = a_layer(a_file("Files/a"))
    assert Extracted(tmp_path, layer).names == ["Files", "Files/a"]
    with pytest.raises(AlreadyExists, match="not empty"):
        Extracted(tmp_path, layer)


def test_times_are_kept_also_of_folders(tmp_path: Path) -> None:
    times = {"write_filetime": NEW_YEAR_FILETIME + 70, "access_filetime": NEW_YEAR_FILETIME + 90}
    layer = a_layer(a_directory("Files/d", **times), a_file("Files/d/a", **times))
    done = Extracted(tmp_path, layer, "Files")
    for name in ("d", "d/a"):
        found = (done.folder / name).stat()
        assert found.st_mtime_ns == filetime_to_ns(NEW_YEAR_FILETIME + 70)


def test_time_that_the_file_system_has_not_is_reported(tmp_path: Path) -> None:
    layer = a_layer(a_file("Files/a", **plain(write_filetime=MAX_FILETIME)))
    done = Extracted(tmp_path, layer, "Files")
    kept = (done.folder / "a").stat().st_mtime_ns == filetime_to_ns(MAX_FILETIME)
    assert ("time-range" in done.codes("Files/a")) is not kept


def test_times_that_cannot_be_set_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Root, parts: tuple[str, ...], **times: int) -> None:
        raise OverflowError("too large")

    monkeypatch.setattr(Root, "utime", refuse)
    done = Extracted(tmp_path, a_layer(a_file("Files/a", **plain())), "Files")
    assert done.codes("Files/a") == ["time-range"]


def test_other_errors_of_times_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Root, parts: tuple[str, ...], **times: int) -> None:
        raise PermissionError(errno.EPERM, "not yours")

    monkeypatch.setattr(Root, "utime", refuse)
    with pytest.raises(PermissionError, match="not yours"):
        Extracted(tmp_path, a_layer(a_file("Files/a")))


def test_every_loss_is_reported(tmp_path: Path) -> None:
    held = a_file(
        "Files/a", b"x", {"s": b"stream"}, attributes=0x26,
        ea=build_ea_list([ExtendedAttribute(b"A", b"1")]),
    )  # fmt: skip
    done = Extracted(tmp_path, a_layer(held), "Files")
    assert sorted(done.codes("Files/a")) == [
        "attributes-lost", "ea-lost", "security-lost", "stream-lost", "time-lost",
    ]  # fmt: skip
    assert {finding.severity for finding in done.findings} == {Severity.LOSS}


def test_read_only_file_is_read_only(tmp_path: Path) -> None:
    done = Extracted(tmp_path, a_layer(a_file("Files/a", b"x", attributes=0x21)), "Files")
    path = done.folder / "a"
    assert not path.stat().st_mode & stat.S_IWUSR
    assert path.read_bytes() == b"x"


def test_hard_links_share_one_file(tmp_path: Path) -> None:
    layer = a_layer(
        a_file("Files/z/data", b"data", **plain()),
        a_link("Files/a", "Files/z/data"),
        a_link("Files/m", "Files/a"),
    )
    done = Extracted(tmp_path, layer, "Files")
    inodes = {(done.folder / name).stat().st_ino for name in ("a", "m", "z/data")}
    assert len(inodes) == 1
    assert (done.counts.files, done.counts.hard_links, done.counts.size) == (1, 2, 4)


def test_hard_link_to_something_outside_is_the_file(tmp_path: Path) -> None:
    layer = a_layer(a_file("Files/z/data", b"data"), a_link("Files/a/l", "Files/z/data"))
    done = Extracted(tmp_path, layer, "Files/a")
    assert (done.folder / "l").read_bytes() == b"data"
    assert done.counts.hard_links == 0


def test_file_system_without_hard_links_gets_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Root, existing: tuple[str, ...], new: tuple[str, ...]) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(Root, "link", refuse)
    layer = a_layer(a_file("Files/a", b"data"), a_link("Files/b", "Files/a"))
    done = Extracted(tmp_path, layer, "Files")
    assert (done.folder / "b").read_bytes() == b"data"
    assert "link-copied" in done.codes("Files/b")
    assert (done.counts.files, done.counts.hard_links) == (2, 0)


def test_other_errors_of_hard_links_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Root, existing: tuple[str, ...], new: tuple[str, ...]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Root, "link", full)
    with pytest.raises(OSError, match="No space"):
        Extracted(tmp_path, a_layer(a_file("Files/a"), a_link("Files/b", "Files/a")))


def test_broken_hard_link_is_reported(tmp_path: Path) -> None:
    done = Extracted(tmp_path, a_layer(a_link("Files/l", "Files/gone")), "Files")
    assert done.names == []
    assert done.codes("Files/l") == ["link-target-missing"]


LINKS = a_layer(
    a_file("Files/d/Target.txt", b"t"),
    a_symlink("Files/d/near", "TARGET.txt"),
    a_symlink("Files/e/f/far", "C:\\D\\target.TXT"),
    a_junction("Files/e/junction", "C:\\d"),
    a_symlink("Files/d/self", "\\d", is_directory=True),
    a_symlink("Files/dangling", "d\\gone\\x"),
    a_symlink("Files/other", "D:\\x"),
    a_symlink("Files/top", "\\", is_directory=True),
    a_junction("Files/d/out", "C:\\e"),
)


def test_links_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    done = Extracted(tmp_path, LINKS, "Files")
    assert done.names == ["d", "d/Target.txt", "e", "e/f"]
    assert done.codes("Files/d/near") == done.codes("Files/e/junction") == ["link-skipped"]
    assert done.counts.symlinks == 0


def test_links_are_relative_and_spelled_as_their_targets(tmp_path: Path) -> None:
    done = Extracted(tmp_path, LINKS, "Files", symlinks=True)
    links = {name: os.readlink(done.folder / name) for name in done.names
             if (done.folder / name).is_symlink()}  # fmt: skip
    assert links == {
        "d/near": "Target.txt",
        "e/f/far": "../../d/Target.txt",
        "e/junction": "../d",
        "d/self": ".",
        "dangling": "d/gone/x",
        "top": ".",
        "d/out": "../e",
    }
    assert (done.folder / "e/f/far").read_bytes() == b"t"
    assert done.codes("Files/other") == ["link-skipped"]
    assert "reparse-rebuilt" in done.codes("Files/e/junction")


def test_links_out_of_the_subtree_are_left_out(tmp_path: Path) -> None:
    done = Extracted(tmp_path, LINKS, "Files/d", symlinks=True)
    assert "out" not in done.names
    assert done.codes("Files/d/out") == ["link-skipped"]
    assert os.readlink(done.folder / "self") == "."
    single = Extracted(tmp_path / "out", LINKS, "Files/d/near", symlinks=True)
    assert single.names == []


@pytest.mark.parametrize(
    "target", ["..\\..\\..\\etc\\passwd", "\\..\\..\\etc", "a\0b", "/etc/passwd"]
)
def test_no_link_leads_out_of_the_destination(tmp_path: Path, target: str) -> None:
    reparse = build_reparse(SymbolicLink(target, target, 1))
    layer = a_layer(a_file("Files/d/l", attributes=0x420, reparse=reparse))
    done = Extracted(tmp_path, layer, "Files", symlinks=True)
    link = done.folder / "d/l"
    if link.is_symlink():
        assert link.resolve().is_relative_to(done.folder.resolve())
    else:
        assert done.codes("Files/d/l") == ["link-skipped"]


def test_link_that_does_not_parse_is_left_out(tmp_path: Path) -> None:
    good = a_symlink("Files/l", "x").entry.reparse
    broken = good[:8] + b"\xff\xff" + good[10:]
    layer = a_layer(a_symlink("Files/l", "x", reparse=broken))
    assert Extracted(tmp_path, layer, "Files", symlinks=True).codes("Files/l") == ["link-skipped"]


def test_other_reparse_points_are_written_without_their_tag(tmp_path: Path) -> None:
    done = Extracted(tmp_path, a_layer(a_reparse_point("Files/r")), "Files")
    assert done.names == ["r"]
    assert {"reparse-lost", "reparse-dropped"} & set(done.codes("Files/r"))


def test_name_that_the_system_cannot_hold_is_left_out_with_what_is_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Root.mkdir

    def make_if_short(self: Root, parts: tuple[str, ...], mode: int = 0o777) -> None:
        if len(parts[-1]) > 100:
            raise OSError(errno.ENAMETOOLONG, "File name too long")
        make(self, parts, mode)

    monkeypatch.setattr(Root, "mkdir", make_if_short)
    long = "日" * 200
    done = Extracted(tmp_path, a_layer(a_file(f"Files/{long}/x"), a_file("Files/z")), "Files")
    assert done.names == ["z"]
    assert done.codes(f"Files/{long}") == ["name-lost"]
    assert done.codes(f"Files/{long}/x") == []


def test_name_taken_for_another_one_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Root.create_file

    def create_but_one(self: Root, parts: tuple[str, ...], mode: int = 0o666) -> Any:
        if parts[-1] == "e\u0301":
            raise FileExistsError(errno.EEXIST, "File exists")
        return create(self, parts, mode)

    monkeypatch.setattr(Root, "create_file", create_but_one)
    layer = a_layer(a_file("Files/é", b"1"), a_file("Files/e\u0301", b"2"))
    done = Extracted(tmp_path, layer, "Files")
    assert done.names == ["é"]
    assert done.codes("Files/e\u0301") == ["name-lost"]


def test_other_errors_of_the_system_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Root, parts: tuple[str, ...], mode: int = 0o666) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Root, "create_file", full)
    with pytest.raises(OSError, match="No space"):
        Extracted(tmp_path, a_layer(a_file("Files/a")))


def test_tree_too_deep_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("winlayers.base.rooted.MAX_DEPTH", 3)
    done = Extracted(tmp_path, a_layer(a_file("Files/a/b/c/d")))
    assert done.names == ["Files", "Files/a", "Files/a/b"]
    assert done.codes("Files/a/b/c") == ["name-lost"]


def test_holes_stay_holes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 1 << 30
    layer = a_layer(a_file("Files/big", b"begin", **plain()))
    extents = (Extent(0, 0, 2), Extent(3, 3, 2))

    def parts(view: MergedView, node: Node) -> tuple[Part, ...]:
        return (Part("", size, 0, extents),)

    monkeypatch.setattr(MergedView, "parts", parts)
    held = layer[-1].parts[0]
    monkeypatch.setattr(MergedView, "open", lambda view, node: io.BytesIO(held.content))
    done = Extracted(tmp_path, layer, "Files")
    found = (done.folder / "big").stat()
    assert found.st_size == size
    assert getattr(found, "st_blocks", 0) * 512 < size // 2
    with open(done.folder / "big", "rb") as file:
        assert file.read(8) == b"be\0in\0\0\0"


class Counting:
    """A Progress that remembers."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.events: list[str] = []

    def start(self, label: str, total_size: int | None) -> None:
        self.events.append(label)

    def advance(self, size: int) -> None:
        self.done.append(size)

    def finish(self) -> None:
        self.events.append("finish")


def test_progress_is_told_the_bytes(tmp_path: Path) -> None:
    progress = Counting()
    Extracted(tmp_path, a_layer(a_file("Files/a", bytes(2_500_000))), progress=progress)
    assert sum(progress.done) == 2_500_000
    assert progress.events == ["extracting", "finish"]


def test_cancelled_extraction_stops(tmp_path: Path) -> None:
    progress, cancel = Counting(), Cancel()
    cancel.set()
    with pytest.raises(Cancelled):
        Extracted(tmp_path, a_layer(a_file("Files/a")), cancel=cancel, progress=progress)
    assert progress.events == ["extracting", "finish"]
    assert list((tmp_path / "out").iterdir()) == []
