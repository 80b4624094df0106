"""The writer of layer tars: what it writes, refuses and reports."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from tests.support.builders import (
    a_directory,
    a_file,
    a_layer,
    a_link,
    a_symlink,
    a_whiteout,
    an_entry,
    an_opaque_whiteout,
)
from winlayers.backends.memory import HeldEntry, MemoryReader
from winlayers.errors import (
    IllegalState,
    InvalidArgument,
    InvalidName,
    Malformed,
    Unsupported,
)
from winlayers.formats.tar import TarHeader, TarReader
from winlayers.layer.backuptar import BackupTarReader, BackupTarWriter
from winlayers.layer.copying import copy_entries
from winlayers.layer.entry import EntryKind, LayerSummary, Part
from winlayers.layer.findings import Finding
from winlayers.layer.tarheaders import Dialect


class Written:
    """A tar while it is written, and what was lost."""

    def __init__(self, dialect: Dialect = Dialect.FULL) -> None:
        self.target = io.BytesIO()
        self.losses: list[Finding] = []
        self.writer = BackupTarWriter(self.target, dialect=dialect, on_loss=self.losses.append)

    def add(self, held: HeldEntry) -> None:
        self.writer.add(held.entry, [(part, io.BytesIO(part.content)) for part in held.parts])

    @property
    def codes(self) -> list[str]:
        return [finding.code for finding in self.losses]

    @property
    def headers(self) -> list[TarHeader]:
        return list(TarReader(io.BytesIO(self.target.getvalue())))


def test_summary_counts_data_and_entries() -> None:
    written = Written()
    layer = a_layer(a_file("Files/a", b"abc", {"s": b"xy"}), a_link("Files/l", "Files/a"))
    summary = copy_entries(MemoryReader([*layer, a_whiteout("Files/g")]), written.writer)
    assert summary == LayerSummary(3, 4, tar_size=len(written.target.getvalue()))


def test_whiteout_header_is_bare() -> None:
    written = Written()
    written.writer.remove("Files/d/gone")
    (header,) = written.headers
    assert (header.name, header.typeflag, header.mode) == (b"Files/d/.wh.gone", b"0", 0)
    assert header.pax == {}
    assert header.mtime_ns == 0
    assert len(written.target.getvalue()) == 512


def test_link_header_has_times_but_no_descriptor() -> None:
    written = Written()
    written.writer.link(a_link("Files/l", "Files/a").entry)
    (header,) = written.headers
    assert (header.typeflag, header.linkname, header.mode) == (b"1", b"Files/a", 0o644)
    assert set(header.pax) == {
        b"LIBARCHIVE.creationtime", b"MSWINDOWS.fileattr", b"atime", b"ctime", b"mtime",
    }  # fmt: skip


def test_opaque_whiteout_is_passed_on_and_reported() -> None:
    written = Written()
    written.writer.remove(an_opaque_whiteout("Files/d").entry.path)
    assert [header.name for header in written.headers] == [b"Files/d/.wh..wh..opq"]
    assert written.codes == ["whiteout-opaque"]


@pytest.mark.parametrize("name", ["x", ".wh.x", ".wh..wh.x", ".wh..OPQ"])
def test_whiteout_has_the_prefix_once_more_than_its_name(name: str) -> None:
    written = Written()
    written.writer.remove(f"Files/d/{name}")
    assert [header.name for header in written.headers] == [f"Files/d/.wh.{name}".encode()]
    assert written.codes == []


@pytest.mark.parametrize(
    "path",
    ["", "/Files", "Files/", "Files//a", "Files/..", ".wh.d/a", "Files/a:b", "a\\b", "a\0"],
)
def test_path_that_reads_back_as_another_is_refused(path: str) -> None:
    writer = Written().writer
    with pytest.raises(InvalidName):
        writer.add(an_entry(path), [])
    with pytest.raises(InvalidName):
        writer.link(an_entry("Files/l", EntryKind.LINK, target=path))
    with pytest.raises(InvalidName):
        writer.remove(path)


def test_name_like_a_whiteout_is_refused_in_the_middle_too() -> None:
    with pytest.raises(InvalidName, match="whiteout"):
        Written().writer.add(an_entry("Files/.wh.d/a"), [])
    with pytest.raises(InvalidName, match="whiteout"):
        Written().writer.add(an_entry("Files/.wh.a"), [])


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [(Part("", 2), b"ab")],
        [(Part("s", 3), b"abc")],
        [(Part("", 3), b"abc"), (Part("", 0), b"")],
    ],
)
def test_parts_that_do_not_fit_the_entry_are_refused(parts: list[tuple[Part, bytes]]) -> None:
    given = [(part, io.BytesIO(content)) for part, content in parts]
    with pytest.raises(InvalidArgument):
        Written().writer.add(an_entry("Files/a", size=3), given)


@pytest.mark.parametrize("content", [b"ab", b"abcd", b""])
def test_part_of_another_size_is_malformed(content: bytes) -> None:
    with pytest.raises(Malformed, match="Files/a"):
        Written().writer.add(an_entry("Files/a", size=3), [(Part("", 3), io.BytesIO(content))])


def test_directory_with_data_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        Written().writer.add(
            an_entry("Files/d", EntryKind.DIRECTORY), [(Part("", 1), io.BytesIO(b"x"))]
        )


@pytest.mark.parametrize("name", ["a:b", "a/b", "a\\b", "a\0", "n" * 256])
def test_stream_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        Written().add(a_file("Files/a", b"", {name: b""}))


def test_full_keeps_streams_that_go_drops() -> None:
    directory = a_directory("Files/d", {"s": b"x"})
    full, go = Written(), Written(Dialect.GO)
    full.add(directory)
    go.add(directory)
    assert [header.name for header in full.headers] == [b"Files/d", b"Files/d:s"]
    assert [header.name for header in go.headers] == [b"Files/d"]
    assert (full.codes, go.codes) == ([], ["stream-lost"])


def test_sparse_stream_is_full_only() -> None:
    part = Part("s", 2, 8)
    full, go = Written(), Written(Dialect.GO)

    def write(written: Written) -> None:
        data = (Part("", 0), io.BytesIO())
        written.writer.add(an_entry("Files/a"), [data, (part, io.BytesIO(b"xy"))])

    write(full)
    assert full.headers[1].pax[b"WINLAYERS.streamattr"] == b"8"
    full.writer.commit()
    full.target.seek(0)
    reader = BackupTarReader(full.target)
    assert [p.attributes for _ in reader for p in reader.parts()] == [0, 8]
    with pytest.raises(Unsupported, match="sparse alternate"):
        write(go)


def test_symbolic_link_with_data_is_full_only() -> None:
    link = a_symlink("Files/l", "x")
    link.entry.size = 3
    parts = [(Part("", 3), io.BytesIO(b"abc"))]
    full = Written()
    full.writer.add(link.entry, parts)
    assert (full.headers[0].typeflag, full.headers[0].size) == (b"0", 3)
    assert b"WINLAYERS.reparse" in full.headers[0].pax
    with pytest.raises(Malformed):
        Written(Dialect.GO).writer.add(link.entry, [(Part("", 3), io.BytesIO(b"abc"))])


@pytest.mark.parametrize(
    "use",
    [
        lambda writer: writer.remove("Files/x"),
        lambda writer: writer.link(a_link("Files/l", "Files/a").entry),
        lambda writer: writer.add(an_entry(), [(Part("", 0), io.BytesIO())]),
        lambda writer: writer.commit(),
    ],
)
def test_nothing_is_written_after_the_end(use: Callable[[BackupTarWriter], object]) -> None:
    ended, aborted = Written(), Written()
    ended.writer.commit()
    with aborted.writer:
        pass
    for written in (ended, aborted):
        size = len(written.target.getvalue())
        with pytest.raises(IllegalState):
            use(written.writer)
        assert len(written.target.getvalue()) == size


def test_leaving_without_commit_leaves_no_end_marker() -> None:
    written = Written()
    with written.writer as writer:
        writer.remove("Files/x")
    assert len(written.target.getvalue()) == 512
