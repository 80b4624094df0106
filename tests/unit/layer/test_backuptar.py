"""The reader of layer tars: what each header becomes, and what is refused."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest

from tests.support.builders import (
    DESCRIPTOR,
    NEW_YEAR_FILETIME,
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_link,
    a_symlink,
    a_whiteout,
    an_opaque_whiteout,
    layer_tar,
    raw_tar,
)
from winlayers.errors import InvalidArgument, InvalidName, Malformed
from winlayers.formats.filetime import (
    GO_ZERO_TIME_FILETIME,
    MAX_FILETIME,
    UNIX_EPOCH_FILETIME,
)
from winlayers.formats.reparse import build_reparse, link_to
from winlayers.formats.tar import TarFormat, TarHeader, TarWriter
from winlayers.layer.backuptar import BackupTarReader
from winlayers.layer.entry import Entry, EntryKind, Extent, Part
from winlayers.layer.findings import Finding
from winlayers.layer.tarheaders import Dialect

FILES = TarHeader(b"Files", b"5")


def a_header(name: str | bytes, typeflag: bytes = b"0", **fields: Any) -> TarHeader:
    raw = name if isinstance(name, bytes) else name.encode()
    return TarHeader(raw, typeflag, **fields)


def entries(tar: bytes, **options: Any) -> list[Entry]:
    return list(BackupTarReader(io.BytesIO(tar), **options))


def error_of(*headers: TarHeader, **options: Any) -> InvalidName | Malformed:
    """The error that a tar of these headers gives; parts are looked at too."""
    reader = BackupTarReader(io.BytesIO(raw_tar(*headers)), **options)
    with pytest.raises((InvalidName, Malformed)) as caught:
        [list(reader.parts()) for _ in reader]
    return caught.value


def findings_of(*headers: TarHeader, **options: Any) -> list[str]:
    found: list[Finding] = []
    entries(raw_tar(*headers), on_finding=found.append, **options)
    return [finding.code for finding in found]


def test_all_kinds_read_back() -> None:
    layer = a_layer(
        a_file("Files/a", b"abc"),
        a_directory("Files/d"),
        a_link("Files/l", "Files/a"),
        a_symlink("Files/s", "..\\x"),
        a_junction("Files/j", "C:\\x"),
        a_whiteout("Files/gone"),
        an_opaque_whiteout("Files/d"),
    )
    assert entries(layer_tar(layer)) == [held.entry for held in layer]


def test_parts_come_in_order_with_their_place_in_the_tar() -> None:
    tar = layer_tar(a_layer(a_file("Files/a", b"abc", {"s": b"defg", "t": b""})))
    reader = BackupTarReader(io.BytesIO(tar))
    found = []
    for entry in reader:
        for part in reader.parts():
            found.append((entry.path, part.name, reader.open_part(part).read()))
            assert (
                b"".join(tar[e.source_offset :][: e.size] for e in part.extents or ())
                == (found[-1][2])
            )
    assert found == [("Files/a", "", b"abc"), ("Files/a", "s", b"defg"), ("Files/a", "t", b"")]


def test_parts_that_nobody_asked_for_are_skipped() -> None:
    tar = layer_tar(a_layer(a_file("Files/a", b"abc", {"s": b"d"}), a_file("Files/b")))
    assert [entry.path for entry in entries(tar)] == ["Files", "Files/a", "Files/b"]


def test_part_can_be_opened_only_while_it_is_current() -> None:
    reader = BackupTarReader(io.BytesIO(layer_tar(a_layer(a_file("Files/a", b"abc")))))
    parts = [part for _ in reader for part in reader.parts()]
    with pytest.raises(InvalidArgument):
        reader.open_part(parts[0])
    with pytest.raises(InvalidArgument):
        reader.open_part(Part("", 3))


def test_streams_of_directories_belong_to_them() -> None:
    tar = layer_tar(a_layer(a_directory("Files/d", {"s": b"x"})))
    reader = BackupTarReader(io.BytesIO(tar))
    assert [[part.name for part in reader.parts()] for _ in reader] == [[], ["s"]]


def test_slash_after_a_directory_changes_nothing() -> None:
    tar = raw_tar(FILES, a_header("Files/d/", b"5"), a_header("Files/d:s"), a_header("./Files/x"))
    reader = BackupTarReader(io.BytesIO(tar))
    found = [(entry.path, [part.name for part in reader.parts()]) for entry in reader]
    assert found == [("Files", []), ("Files/d", ["s"]), ("Files/x", [""])]


def test_stream_with_its_type_is_the_same_stream() -> None:
    tar = raw_tar(FILES, a_header("Files/a"), a_header("Files/a:s:$DATA"))
    reader = BackupTarReader(io.BytesIO(tar))
    assert [part.name for _ in reader for part in reader.parts()] == ["", "s"]


def test_sparse_body_has_an_extent_for_each_run() -> None:
    records = {b"GNU.sparse.map": b"1,2,600,1", b"GNU.sparse.size": b"700"}
    records[b"GNU.sparse.numblocks"] = b"2"
    tar = sparse_tar(records, b"abc")
    reader = BackupTarReader(io.BytesIO(tar))
    ((entry, part),) = [(entry, part) for entry in reader for part in reader.parts()]
    assert entry.size == part.size == 700
    start = tar.rindex(b"abc")
    assert part.extents == (Extent(1, start, 2), Extent(600, start + 2, 1))


def test_empty_run_of_a_sparse_body_is_no_extent() -> None:
    records = {b"GNU.sparse.map": b"1,2,600,0", b"GNU.sparse.size": b"700"}
    records[b"GNU.sparse.numblocks"] = b"2"
    tar = sparse_tar(records, b"ab")
    reader = BackupTarReader(io.BytesIO(tar))
    (part,) = [part for _ in reader for part in reader.parts()]
    assert part.extents == (Extent(1, tar.rindex(b"ab"), 2),)


def test_sparse_map_that_leaves_bytes_over_is_malformed() -> None:
    records = {b"GNU.sparse.map": b"1,2", b"GNU.sparse.size": b"700"}
    records[b"GNU.sparse.numblocks"] = b"1"
    with pytest.raises(Malformed, match="sparse map"):
        entries(sparse_tar(records, b"abc"))


def sparse_tar(records: dict[bytes, bytes], body: bytes) -> bytes:
    """A tar with a sparse file; the writer of tars writes none, so the records are put in raw."""
    text = b"".join(b"%d %b=%b\n" % (len(k) + len(v) + 5, k, v) for k, v in records.items())
    target = io.BytesIO()
    for kind, name, content in ((b"x", b"x", text), (b"0", b"Files/s", body)):
        block = bytearray(512)
        block[: len(name)] = name
        block[124:136] = b"%011o\0" % len(content)
        block[148:157] = b" " * 8 + kind
        block[257:265] = b"ustar\00000"
        block[148:156] = b"%06o\0 " % sum(block)
        target.write(bytes(block) + content + bytes(-len(content) % 512))
    return target.getvalue() + bytes(1024)


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        (b"/Files/a", "name-traversal"),
        (b"Files/../a", "name-traversal"),
        (b"C:/Files", "name-traversal"),
        (b"\\\\server\\share", "name-traversal"),
        (b"Files/\xff", "name-encoding"),
        (b"Files/\xed\xa0\xbd\xed\xb8\x80", "name-encoding"),
        (b"Files/" + b"n" * 256, "name-too-long"),
        (b"Files/CON.txt", "name-reserved"),
        (b"Files/a.", "name-trailing"),
        (b"Files/a?", "name-character"),
        (b"Files/a?/b", "name-character"),
        (b"etc", "root-unknown"),
        (b"etc/passwd", "root-unknown"),
        (b"files", "root-unknown"),
        (b"Files/a:s", "stream-orphan"),
    ],
)
def test_name_that_no_layer_has_is_refused(name: bytes, finding: str) -> None:
    assert error_of(a_header(name)).finding == finding


def test_names_are_checked_the_same_in_a_folder_seen_before() -> None:
    assert error_of(FILES, a_header("Files/a"), a_header("Files/b*")).finding == "name-character"
    assert error_of(FILES, a_header("Files/a"), a_header(b"Files/\xff")).finding == "name-encoding"


def test_long_name_is_no_fault() -> None:
    name = "Files/" + "n" * 255
    assert [entry.path for entry in entries(raw_tar(FILES, a_header(name)))] == ["Files", name]
    assert findings_of(FILES, a_header(name)) == []


def test_lenient_names_are_reported_and_kept() -> None:
    headers = (a_header("Files/CON"), a_header("Files/a."), a_header("Files/a?"))
    tar = raw_tar(*headers)
    assert [entry.path for entry in entries(tar, lenient_names=True)] == [
        "Files/CON",
        "Files/a.",
        "Files/a?",
    ]
    codes = findings_of(*headers, lenient_names=True)
    assert codes == ["name-reserved", "name-trailing", "name-character"]


def test_lenient_names_do_not_make_streams_of_names() -> None:
    assert error_of(a_header("Files/a:s"), lenient_names=True).finding == "stream-orphan"


def test_odd_names_are_reported() -> None:
    assert findings_of(FILES, a_header("Files\\a")) == ["name-separator"]
    assert findings_of(FILES, a_header(b"Files/\xed\xa0\x80")) == ["name-surrogate"]


def test_root_of_the_tar_is_no_entry() -> None:
    assert entries(raw_tar(a_header("./", b"5"), FILES))[0].path == "Files"


def test_global_header_is_no_entry() -> None:
    tar = raw_tar(TarHeader(b"", b"g", pax={b"comment": b"x"}), FILES)
    assert [entry.path for entry in entries(tar)] == ["Files"]


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("Files/.wh.", "whiteout-invalid"),
        ("Files/.wh...", "whiteout-invalid"),
        ("Files/.wh..", "whiteout-invalid"),
        (".wh.Files", "whiteout-outside"),
        ("other/.wh.x", "whiteout-outside"),
        ("Hives/.wh.x", "whiteout-outside"),
        ("UtilityVM/.wh.Files", "whiteout-outside"),
        ("Files/.wh.CON", "name-reserved"),
    ],
)
def test_whiteout_that_cannot_be_is_refused(name: str, finding: str) -> None:
    assert error_of(a_header(name)).finding == finding


def test_whiteout_in_base_layer_is_malformed() -> None:
    assert error_of(a_header("Files/.wh.x"), base=True).finding == "whiteout-in-base"
    assert entries(raw_tar(a_header("Files/.wh.x")), base=False)[0].path == "Files/x"


def test_whiteout_with_the_prefix_twice_is_one() -> None:
    (entry,) = entries(raw_tar(a_header("Files/.wh..wh.x")))
    assert (entry.path, entry.kind) == ("Files/.wh.x", EntryKind.WHITEOUT)


def test_whiteout_is_one_whatever_its_type() -> None:
    tar = raw_tar(a_header("Files/.wh.x/", b"5"), a_header("Files/.wh.y", b"2", linkname=b"z"))
    assert [(e.path, e.kind) for e in entries(tar)] == [
        ("Files/x", EntryKind.WHITEOUT),
        ("Files/y", EntryKind.WHITEOUT),
    ]


def test_opaque_whiteout_is_reported() -> None:
    assert findings_of(FILES, a_header("Files/.wh..wh..opq")) == ["whiteout-opaque"]


@pytest.mark.parametrize(
    ("path", "target", "finding"),
    [
        ("Files/a", "Hives/b", "link-outside"),
        ("Hives/a", "Files/b", "link-outside"),
        ("Files/a", "Files", "link-outside"),
        ("Files/a", "Files/A", "link-to-self"),
        ("Files/a", "../b", "link-outside"),
        ("Files/a", "Files/b:s", "stream-orphan"),
    ],
)
def test_link_that_cannot_be_is_refused(path: str, target: str, finding: str) -> None:
    header = a_header(path, b"1", linkname=target.encode())
    assert error_of(header).finding == finding


def test_streams_never_follow_a_link() -> None:
    link = a_header("Files/a", b"1", linkname=b"Files/b")
    assert error_of(link, a_header("Files/a:s")).finding == "stream-orphan"


@pytest.mark.parametrize("name", ["", "a:b", "a\\b", "a/b", "n" * 256])
def test_stream_that_cannot_be_is_refused(name: str) -> None:
    error = error_of(FILES, a_header("Files/a"), a_header(f"Files/a:{name}", mtime_ns=0))
    assert error.finding in ("name-character", "name-too-long")


def test_stream_that_comes_twice_is_malformed() -> None:
    error = error_of(FILES, a_header("Files/a"), a_header("Files/a:s"), a_header("Files/a:S"))
    assert error.finding == "stream-duplicate"


def test_devices_and_bodies_without_use_are_reported() -> None:
    assert findings_of(a_header("Files/f", b"6")) == ["type-unsupported"]
    tar = tar_with_body(TarHeader(b"Files/d", b"0", size=3, pax={b"MSWINDOWS.fileattr": b"16"}))
    found: list[Finding] = []
    (entry,) = entries(tar, on_finding=found.append)
    assert (entry.kind, entry.size) == (EntryKind.DIRECTORY, 0)
    assert [finding.code for finding in found] == ["type-unsupported"]


def tar_with_body(header: TarHeader) -> bytes:
    target = io.BytesIO()
    writer = TarWriter(target)
    writer.add(header)
    writer.write(bytes(header.size))
    writer.close()
    return target.getvalue()


def test_times_that_are_absent_depend_on_the_dialect() -> None:
    tar = raw_tar(a_header("Files/a", mtime_ns=10**9))
    (full,) = entries(tar)
    (go,) = entries(tar, dialect=Dialect.GO)
    assert full.access_filetime == full.write_filetime == full.creation_filetime
    assert go.access_filetime == go.change_filetime == GO_ZERO_TIME_FILETIME
    assert go.write_filetime == full.write_filetime


def test_times_outside_the_range_are_set_to_its_end_and_reported() -> None:
    header = a_header(
        "Files/a", mtime_ns=-(2**75), atime_ns=2**73, ctime_ns=0, format=TarFormat.PAX
    )
    found: list[Finding] = []
    (entry,) = entries(raw_tar(header), on_finding=found.append)
    assert (entry.write_filetime, entry.access_filetime) == (0, MAX_FILETIME)
    assert entry.change_filetime == UNIX_EPOCH_FILETIME
    # The creation time, which is absent, is that of writing, and so outside too.
    assert [finding.code for finding in found] == ["time-range"] * 3


def test_empty_descriptor_is_none() -> None:
    for text in (b"", b"\r\n"):
        (entry,) = entries(raw_tar(a_header("Files/a", pax={b"MSWINDOWS.rawsd": text})))
        assert entry.security == b""


def test_attributes_of_every_kind_do_not_fill_the_memory() -> None:
    texts = [b"%d" % (number << 8) for number in range(1, 9001)]
    headers = [
        a_header(f"Files/{number}", pax={b"MSWINDOWS.fileattr": text})
        for number, text in enumerate(texts)
    ]
    found = entries(raw_tar(*headers))
    assert [entry.attributes for entry in found] == [int(text) for text in texts]


def test_link_that_was_edited_leads_where_the_tar_says() -> None:
    buffer = base64.b64encode(build_reparse(link_to("b", junction=False)))
    header = a_header("Files/a", b"2", linkname=b"c", pax={b"WINLAYERS.reparse": buffer})
    found: list[Finding] = []
    (entry,) = entries(raw_tar(header), on_finding=found.append)
    assert entry.reparse == build_reparse(link_to("c", junction=False))
    assert [finding.code for finding in found] == ["reparse-edited"]


def test_go_dialect_replaces_lone_surrogates_of_streams() -> None:
    tar = raw_tar(FILES, a_header("Files/a"), a_header(b"Files/a:\xed\xa0\x80"))
    found: list[Finding] = []
    reader = BackupTarReader(io.BytesIO(tar), dialect=Dialect.GO, on_finding=found.append)
    assert [part.name for _ in reader for part in reader.parts()] == ["", "\ufffd" * 3]
    assert [finding.code for finding in found] == ["name-replaced"]
    full = BackupTarReader(io.BytesIO(tar))
    assert [part.name for _ in full for part in full.parts()] == ["", "\ud800"]


def test_error_tells_entry_and_place() -> None:
    bad = a_header("Files/b", pax={b"MSWINDOWS.fileattr": b"x"})
    error = error_of(FILES, bad)
    assert isinstance(error, Malformed)
    assert (error.entry, error.offset, error.finding) == ("Files/b", 512, "attributes-invalid")


def test_reading_goes_on_after_a_bad_entry() -> None:
    bad = a_header("Files/b", pax={b"MSWINDOWS.fileattr": b"x"})
    reader = BackupTarReader(io.BytesIO(raw_tar(FILES, bad, a_header("Files/c"))))
    with pytest.raises(Malformed):
        list(reader)
    assert [entry.path for entry in reader] == ["Files/c"]


def test_reader_tells_where_it_is() -> None:
    tar = layer_tar(a_layer(a_file("Files/a", b"abc")))
    reader = BackupTarReader(io.BytesIO(tar + b"more"))
    for entry in reader:
        assert reader.header.name.decode() == entry.path
    assert reader.tar_offset == len(tar)
    assert reader.end_marker == 2
    reader.close()


def test_many_folders_do_not_fill_the_memory() -> None:
    headers = [a_header(f"Files/d{n}/f") for n in range(9000)]
    assert len(entries(raw_tar(*headers))) == 9000


def test_metadata_is_what_was_written() -> None:
    (_, entry) = entries(layer_tar(a_layer(a_file("Files/a"))))
    assert entry.security == DESCRIPTOR
    assert entry.creation_filetime == NEW_YEAR_FILETIME
