"""Laws of the written forms of a layer: what is written reads back, rubbish gives only our own errors."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.support.builders import (
    Layer,
    a_directory,
    a_file,
    a_layer,
    a_whiteout,
    layer_tar,
)
from tests.support.strategies import contents, filetimes, layer_trees, names, streams
from winlayers.backends.memory import HeldEntry, HeldPart, MemoryReader
from winlayers.errors import Unsupported, WinlayersError
from winlayers.formats.ea import ExtendedAttribute, build_ea_list, parse_ea_list
from winlayers.formats.filetime import BasicInfo
from winlayers.formats.reparse import (
    MountPoint,
    RawReparse,
    SymbolicLink,
    build_reparse,
    parse_reparse,
)
from winlayers.formats.tar import TarWriter
from winlayers.layer.backupcontents import collect_parts, write_backup
from winlayers.layer.backupstreams import write_tar_from_backup
from winlayers.layer.backuptar import BackupTarReader, BackupTarWriter
from winlayers.layer.copying import copy_entries
from winlayers.layer.entry import Entry, EntryKind, EntryReader
from winlayers.layer.findings import Finding
from winlayers.layer.names import ROOT_NAMES
from winlayers.layer.tarheaders import Dialect
from winlayers.layer.transport import PortableHost, TransportReader, TransportWriter

some = settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

Told = tuple[Entry, list[tuple[str, int, bytes]]]

TARGETS = st.sampled_from(
    ["a", "..\\b", "a/b", "C:\\x", "\\\\?\\C:\\y", "\\\\srv\\s", "", "\ud800", "n\0l"]
)
REPARSE_POINTS = st.one_of(
    st.builds(SymbolicLink, TARGETS, TARGETS, st.sampled_from([0, 1, 0x80000001])),
    st.builds(MountPoint, TARGETS, TARGETS),
    st.builds(RawReparse, st.just(0x8000001D), st.binary(max_size=9)),
    st.builds(RawReparse, st.just(0x1234), st.binary(max_size=9), st.uuids()),
).map(build_reparse)
EA_LISTS = st.lists(
    st.builds(
        ExtendedAttribute,
        st.sampled_from([b"A", b"LXUID", b"a=b", b"n\0l", b"", b"\xff"]),
        st.binary(max_size=5),
        st.sampled_from([0, 0, 0x80]),
    ),
    max_size=3,
).map(build_ea_list)
STREAM_ATTRIBUTES = st.sampled_from([0, 0, 8])


@st.composite
def rare_layers(draw: st.DrawFn) -> Layer:
    """A layer of one directory, with entries that have what few files have."""
    held = []
    for name in draw(st.lists(names, min_size=1, max_size=4, unique=True)):
        make = draw(st.sampled_from([a_file_of, a_directory_of]))
        metadata = {
            "ea": draw(EA_LISTS),
            "reparse": draw(st.one_of(st.just(b""), REPARSE_POINTS)),
            **{
                f"{key}_filetime": draw(filetimes)
                for key in ("creation", "access", "write", "change")
            },
        }
        one = make(f"Files/{name}", draw(contents), draw(streams), **metadata)
        one.parts = tuple(
            replace(part, attributes=draw(STREAM_ATTRIBUTES)) if part.name else part
            for part in one.parts
        )
        held.append(one)
    return a_layer(*held)


def a_file_of(path: str, content: bytes, streams: dict[str, bytes], **fields: object) -> HeldEntry:
    return a_file(path, content, streams, **fields)


def a_directory_of(
    path: str, content: bytes, streams: dict[str, bytes], **fields: object
) -> HeldEntry:
    return a_directory(path, streams, **fields)


def error_of(run: Callable[[], object]) -> WinlayersError | None:
    """What a call raises of ours; anything else comes through."""
    try:
        run()
    except WinlayersError as error:
        return error
    return None


def told_by(reader: EntryReader) -> list[Told]:
    """All that a reader tells, in a form that does not depend on layout."""
    return [
        told(
            entry,
            [(p.name, p.attributes, reader.open_part(p).read()) for p in reader.parts()],
        )
        for entry in reader
    ]


def told(entry: Entry, parts: Sequence[tuple[str, int, bytes]]) -> Told:
    ea = b""
    if entry.ea:
        by_name: Callable[[ExtendedAttribute], bytes] = lambda attribute: attribute.name  # noqa: E731
        ea = repr(sorted(parse_ea_list(entry.ea), key=by_name)).encode()
    reparse = repr(parse_reparse(entry.reparse)).encode() if entry.reparse else b""
    # A link has no data in a tar, which is the same as having none.
    kept = [part for part in parts if part[0] or part[2] or not reparse]
    return replace(entry, ea=ea, reparse=reparse), kept


def written(layer: Layer, dialect: Dialect, losses: list[Finding]) -> bytes:
    out = io.BytesIO()
    writer = BackupTarWriter(out, dialect=dialect, on_loss=losses.append)
    copy_entries(MemoryReader(layer), writer)
    return out.getvalue()


@given(st.one_of(layer_trees(), rare_layers()))
@some
def test_full_tar_says_all_that_was_written(layer: Layer) -> None:
    losses: list[Finding] = []
    tar = written(layer, Dialect.FULL, losses)
    assert losses == []
    assert told_by(BackupTarReader(io.BytesIO(tar))) == told_by(MemoryReader(layer))


@given(rare_layers())
@some
def test_go_tar_says_all_but_what_is_reported(layer: Layer) -> None:
    losses: list[Finding] = []
    try:
        tar = written(layer, Dialect.GO, losses)
    except WinlayersError:
        tried = [written([held], Dialect.FULL, losses) for held in layer]
        assert len(tried) == len(layer)
        return
    lost = {finding.entry for finding in losses}
    found = told_by(BackupTarReader(io.BytesIO(tar), dialect=Dialect.GO))
    wanted = told_by(MemoryReader(layer))
    assert [entry.path for entry, _ in found] == [entry.path for entry, _ in wanted]
    for one, other in zip(found, wanted, strict=True):
        if one[0].path not in lost and not has_lone_surrogate(other):
            assert one == other


def has_lone_surrogate(one: Told) -> bool:
    """Whether reading in the dialect of the original replaces something of it."""
    texts = [name for name, _, _ in one[1]]
    return any("\ud800" <= c <= "\udfff" for text in texts for c in text)


@given(layer_trees())
@settings(some, max_examples=20)
def test_tar_without_losses_is_the_same_in_both_dialects(layer: Layer) -> None:
    losses: list[Finding] = []
    try:
        go_tar = written(layer, Dialect.GO, losses)
    except WinlayersError:
        assume(False)
    assume(not losses)
    assert written(layer, Dialect.FULL, losses) == go_tar


BASE_TAR = layer_tar(
    a_layer(
        a_file("Files/a", b"x" * 700, {"s": b"abc"}, ea=build_ea_list([ExtendedAttribute(b"A", b"1", 0x80)])),
        a_file("Files/l", reparse=build_reparse(SymbolicLink("\\??\\C:\\x", "y", 0))),
        a_whiteout("Files/gone"),
    )
)  # fmt: skip


@given(
    st.lists(
        st.tuples(st.integers(0, len(BASE_TAR) - 1), st.binary(min_size=1, max_size=12)), max_size=4
    ),
    st.one_of(st.just(len(BASE_TAR)), st.integers(0, len(BASE_TAR))),
    st.sampled_from(Dialect),
)
@settings(some, max_examples=300)
def test_damaged_tar_gives_only_our_errors(
    changes: list[tuple[int, bytes]], size: int, dialect: Dialect
) -> None:
    tar = bytearray(BASE_TAR)
    for at, data in changes:
        tar[at : at + len(data)] = data
    reader = BackupTarReader(io.BytesIO(bytes(tar[:size])), dialect=dialect)
    paths: list[str] = []

    def read_all() -> None:
        for entry in reader:
            paths.append(entry.path)
            for part in reader.parts():
                while reader.open_part(part).read(1 << 16):
                    pass

    error = error_of(read_all)
    assert error is None or str(error)
    assert all("\0" not in path for path in paths)


RECORDS = st.dictionaries(
    st.sampled_from(
        [
            b"MSWINDOWS.fileattr", b"MSWINDOWS.rawsd", b"MSWINDOWS.sd", b"MSWINDOWS.mountpoint",
            b"MSWINDOWS.xattr.A", b"LIBARCHIVE.creationtime", b"WINLAYERS.ea",
            b"WINLAYERS.reparse", b"WINLAYERS.streamattr", b"mtime", b"path", b"GNU.sparse.map",
        ]
    ),
    st.one_of(st.binary(max_size=20).filter(lambda value: b"\0" not in value), st.just(b"AAAA"), st.just(b"0")),
    max_size=5,
)  # fmt: skip
RAW_NAMES = st.sampled_from(
    [b"Files/x", b"Files", b"Files/x:s", b"/x", b"..", b"Files/.wh.x", b"Files/.wh.", b"\xff", b"C:",
     b"Files\\y", b"Files/x/", b"Hives/.wh.a", b"Files/CON", b"Files/a ", b"", b".", b"Linux/x",
     b"Files/" + b"n" * 300, b"Files/.wh..wh..opq", b"Files/x:\xed\xa0\x80", b"Files/\xed\xa0\x80"]
)  # fmt: skip


@given(
    st.lists(
        st.tuples(RAW_NAMES, st.sampled_from(list(b"0125367SgA")), RECORDS), min_size=1, max_size=4
    ),
    st.sampled_from(Dialect),
    st.booleans(),
)
@settings(some, max_examples=300)
def test_hostile_headers_give_only_our_errors(
    headers: list[tuple[bytes, int, dict[bytes, bytes]]], dialect: Dialect, lenient: bool
) -> None:
    tar = b"".join(raw_entry(name, bytes([kind]), records) for name, kind, records in headers)
    reader = BackupTarReader(io.BytesIO(tar), dialect=dialect, lenient_names=lenient)
    paths: list[str] = []
    stream_names: list[str] = []

    def read_on() -> None:
        for entry in reader:
            paths.append(entry.path)
            stream_names.extend(part.name for part in reader.parts())

    for _ in range(len(headers) + 1):
        error = error_of(read_on)
        assert error is None or str(error)
    assert all(path.partition("/")[0] in ROOT_NAMES for path in paths)
    assert not any(".." in path.split("/") for path in paths)
    assert not any(":" in name for name in stream_names)


def raw_entry(name: bytes, kind: bytes, records: dict[bytes, bytes]) -> bytes:
    """A tar entry whatever it says."""
    body = b"".join(record(key, value) for key, value in records.items())
    extended = block(b"x", b"x", len(body)) + body + bytes(-len(body) % 512) if body else b""
    return extended + block(name, kind, 0)


def record(key: bytes, value: bytes) -> bytes:
    text = b" %b=%b\n" % (key, value)
    size = len(text) + 2 if len(text) < 98 else len(text) + 3
    return b"%d%b" % (size, text)


def block(name: bytes, kind: bytes, size: int) -> bytes:
    raw = bytearray(512)
    raw[: len(name[:100])] = name[:100]
    raw[100:124] = b"0000000\0" * 3
    raw[124:148] = b"%011o\0" % size + b"00000000000\0"
    raw[148:157] = b" " * 8 + kind
    raw[257:265] = b"ustar\00000"
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


@given(rare_layers())
@some
def test_backup_stream_holds_all_of_an_entry(layer: Layer) -> None:
    for held in layer:
        stream = io.BytesIO()
        parts = [(part, io.BytesIO(part.content)) for part in held.parts]
        write_backup(stream, held.entry, parts)
        contents = collect_parts(stream_at_start(stream), held.entry.path)
        entry = held.entry
        assert (contents.security, contents.ea, contents.reparse) == (
            entry.security,
            entry.ea,
            entry.reparse,
        )
        found = [(p.name, p.attributes, s.read()) for p, s in contents.open_parts(stream)]
        assert found == [(part.name, part.attributes, part.content) for part in held.parts]


def stream_at_start(stream: io.BytesIO) -> io.BytesIO:
    stream.seek(0)
    return stream


PART_HEADERS = st.builds(
    lambda part_id, attributes, body, name, offset: (
        part_id.to_bytes(4, "little")
        + attributes.to_bytes(4, "little")
        + (len(body) + offset).to_bytes(8, "little")
        + len(name).to_bytes(4, "little")
        + name
        + body
    ),
    st.integers(0, 11),
    st.sampled_from([0, 8]),
    st.one_of(st.binary(max_size=30), st.integers(0, 40).map(lambda n: n.to_bytes(8, "little"))),
    st.sampled_from([b"", ":s:$DATA".encode("utf-16-le"), b"x"]),
    st.sampled_from([0, 0, 0, 1]),
)


@given(
    st.lists(PART_HEADERS, max_size=5).map(b"".join),
    st.sampled_from([0x20, 0x10]),
    st.integers(0, 40),
    st.sampled_from(Dialect),
    st.booleans(),
)
@settings(some, max_examples=400)
def test_any_backup_stream_gives_only_our_errors(
    stream: bytes, attributes: int, size: int, dialect: Dialect, seekable: bool
) -> None:
    out = io.BytesIO()
    writer = TarWriter(out)
    info = BasicInfo(1, 2, 3, 4, attributes)

    def convert() -> None:
        write_tar_from_backup(
            writer, "Files/x", size, info, io.BytesIO(stream), seekable=seekable, dialect=dialect
        )
        writer.close()

    error = error_of(convert)
    assert error is not None or len(out.getvalue()) % 512 == 0


@given(st.one_of(layer_trees(), rare_layers()))
@settings(some, max_examples=60)
def test_transport_folder_holds_all_below_files(layer: Layer) -> None:
    wanted = [one for one in told_by(MemoryReader(layer)) if is_recorded(one[0])]
    with tempfile.TemporaryDirectory() as folder:
        host = PortableHost()
        writer = TransportWriter(Path(folder), host=host, tombstone_file=True)
        try:
            copy_entries(MemoryReader(layer), writer)
        except Unsupported:
            assume(False)  # names that only some file systems hold
        with closing(TransportReader(Path(folder), host=host)) as reader:
            found = [one for one in told_by(reader) if is_recorded(one[0])]
    assert sorted(found, key=path_of) == sorted(wanted, key=path_of)


def is_recorded(entry: Entry) -> bool:
    return entry.path.startswith("Files/") and entry.kind is not EntryKind.LINK


def path_of(one: Told) -> str:
    return one[0].path


@given(st.binary(max_size=60), st.binary(max_size=40), st.booleans())
@settings(some, max_examples=150)
def test_any_transport_folder_gives_only_our_errors(
    record: bytes, tombstones: bytes, has_head: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "Files").mkdir()
        (root / "Files" / "x").write_bytes(record)
        head = b"\xef\xbb\xbfVersion 1.0\n" if has_head else b""
        (root / "tombstones.txt").write_bytes(head + tombstones)
        found: list[Told] = []
        with closing(TransportReader(root)) as reader:
            error = error_of(lambda: found.extend(told_by(reader)))
    assert str(error) if error else found[0][0].path == "Files"


@given(st.text(max_size=12))
@some
def test_no_path_leads_out_of_a_transport_folder(path: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        root.mkdir()
        with TransportWriter(root) as writer:
            for prefix in ("", "Files/", "Files/../", "UtilityVM/Files/"):
                entry = Entry(prefix + path, EntryKind.FILE)
                part = HeldPart("", 0)
                error = error_of(partial(writer.add, entry, [(part, io.BytesIO())]))
                assert error is None or str(error)
        assert [place.name for place in Path(folder).iterdir()] == ["root"]
