"""Targets of ``winlayers.layer``."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

from tests.fuzz import seeds
from tests.fuzz.registry import target
from tests.fuzz.repair import repair_tar
from tests.fuzz.sources import ENOUGH, Sink, outcome, pack, read_some, unpack
from tests.fuzz.workplace import empty, workplace
from winlayers.backends.memory import MemoryReader
from winlayers.errors import TooLarge
from winlayers.formats.filetime import BasicInfo
from winlayers.formats.tar import TarReader, TarWriter
from winlayers.layer.backupcontents import collect_parts
from winlayers.layer.backupstreams import read_backup_from_tar, write_tar_from_backup
from winlayers.layer.backuptar import BackupTarReader, BackupTarWriter
from winlayers.layer.copying import copy_entries
from winlayers.layer.entry import Entry, EntryKind, EntryReader, Part
from winlayers.layer.linuxtar import linux_to_windows, windows_to_linux
from winlayers.layer.names import fold, split_tar_name, split_user_path
from winlayers.layer.tarheaders import Dialect
from winlayers.layer.transport import TransportReader, TransportWriter

_MAX_FINDINGS = 10_000


# Layer tars


@target(seeds.layer_tars, repair=repair_tar)
def layer_tar(data: bytes) -> None:
    """Entries of a layer tar, past those that are refused; what is written of them reads back."""
    _read_past_errors(data, Dialect.FULL, is_base=False)
    _read_past_errors(data, Dialect.GO, is_base=True)
    first = _written(data)
    second = _written(first)
    assert list(BackupTarReader(io.BytesIO(second))) == list(BackupTarReader(io.BytesIO(first)))
    assert _written(second) == second


def _read_past_errors(data: bytes, dialect: Dialect, *, is_base: bool) -> None:
    findings: list[Any] = []
    reader = BackupTarReader(
        io.BytesIO(data),
        dialect=dialect,
        base=is_base,
        lenient_names=is_base,
        on_finding=findings.append,
    )

    def read() -> str:
        for entry in reader:
            _check_entry(entry)
            for part in reader.parts():
                _check_part(part, read_some(reader.open_part(part), 1 << 14), len(data))
        return "end"

    for _ in range(len(data) // 512 + 2):  # no block is good for more than one error
        if outcome(read) == "end":
            break
    assert len(findings) < _MAX_FINDINGS
    for finding in findings:
        assert str(finding)


def _check_entry(entry: Entry) -> None:
    """What holds for every entry, whatever the tar says."""
    assert entry.path
    assert not entry.path.startswith("/")
    assert not {"", ".", ".."} & set(entry.path.split("/"))
    assert entry.size >= 0
    assert bool(entry.target) is (entry.kind is EntryKind.LINK)
    times = (
        entry.creation_filetime,
        entry.access_filetime,
        entry.write_filetime,
        entry.change_filetime,
    )
    assert all(0 <= filetime < 1 << 64 for filetime in times)
    assert 0 <= entry.attributes < 1 << 32


def _check_part(part: Part, content: bytes, source_size: int) -> None:
    """The extents of a part lie in it and in the source, and its bytes are as many as it says."""
    assert len(content) == min(part.size, 1 << 14)
    at = 0
    for extent in part.extents or ():
        assert at <= extent.offset
        at = extent.offset + extent.size
        assert at <= part.size
        assert extent.source_offset >= 0


def _written(tar: bytes) -> bytes:
    """The tar that is written of the entries of another one.

    Raises:
        TooLarge: it has MiBs of holes.
    """
    target = Sink()
    copy_entries(_Bounded(BackupTarReader(io.BytesIO(tar))), BackupTarWriter(target))
    return target.getvalue()


class _Bounded:
    """A reader of entries that refuses those with too much content.

    Args:
        reader: gives the entries.
    """

    def __init__(self, reader: EntryReader) -> None:
        self._reader = reader
        self.open_part = reader.open_part
        self.close = reader.close

    def __iter__(self) -> Iterator[Entry]:
        yield from self._reader

    def parts(self) -> Iterator[Part]:
        """The parts of the current entry."""
        for part in self._reader.parts():
            if part.size > ENOUGH:
                raise TooLarge(f"a part of {part.size} bytes")
            yield part


def _plain_tars() -> Iterator[bytes]:
    yield from seeds.base64_of("buildkit_convert", "in")


@target(_plain_tars, repair=repair_tar)
def linux_tar(data: bytes) -> None:
    """A plain tar made into a layer, and back."""
    outcome(lambda: windows_to_linux(io.BytesIO(data), Sink()))
    layer = Sink()
    linux_to_windows(io.BytesIO(data), layer, now_ns=0)
    windows_to_linux(io.BytesIO(layer.getvalue()), Sink())


# Backup streams


@target(seeds.backup_streams)
def backup_parts(data: bytes) -> None:
    """Parts and metadata of a backup stream."""
    findings: list[Any] = []
    source = io.BytesIO(data)
    contents = collect_parts(source, "Files/a", findings.append)
    for part, content in contents.open_parts(source):
        _check_part(part, read_some(content, 1 << 14), len(data))
    for finding in findings:
        assert str(finding)


def _sized_streams() -> Iterator[bytes]:
    for stream in seeds.backup_streams():
        yield b"\7\0" + stream


@target(_sized_streams)
def tar_from_backup(data: bytes) -> None:
    """A backup stream as entries of a tar, in both ways; what was written is a sound tar.

    Before the stream stand the size of the data and whether it is a folder.
    """
    size, is_directory = int.from_bytes(data[:1], "little"), data[1:2] == b"\1"
    info = BasicInfo(0, 1, 1 << 63, (1 << 64) - 1, 0x10 if is_directory else 0x20)
    for dialect in Dialect:
        for seekable in (True, False):
            tar = Sink()
            convert = partial(
                write_tar_from_backup,
                TarWriter(tar),
                "Files/a",
                size,
                info,
                io.BytesIO(data[2:]),
                seekable=seekable,
                dialect=dialect,
            )
            if outcome(convert) is None and dialect is Dialect.FULL:
                reader = BackupTarReader(io.BytesIO(tar.getvalue()))
                assert [entry.path for entry in reader] == ["Files/a"]


@target(seeds.layer_tars, repair=repair_tar)
def backup_from_tar(data: bytes) -> None:
    """Entries of a tar as backup streams, in both ways; what was written is a sound stream."""
    for dialect in Dialect:
        outcome(partial(_convert_all, data, dialect))


def _convert_all(data: bytes, dialect: Dialect) -> None:
    reader = TarReader(io.BytesIO(data))
    header = reader.next()
    while header is not None:
        stream = Sink()
        header = read_backup_from_tar(reader, header, stream, dialect=dialect)
        stream.seek(0)
        outcome(partial(collect_parts, stream, "Files/a"))


# Transport folders

# The files that an input may hold, by number; what is a folder is one in every case.
_FILES = (
    "tombstones.txt",
    "Files/a",
    "Files/b",
    "Files/d.$wcidirs$",
    "Files/d/c",
    "Files/l.$wcidirs$",
    "Hives/System_Delta",
    "UtilityVM/Files/x",
    "Files.$wcidirs$",
    "Files/$Recycle.Bin/x",
    "x",
)
_FOLDERS = ("Files", "Files/d", "Hives")


def _transports() -> Iterator[bytes]:
    root = workplace("made-transport")
    layer = [
        held
        for held in seeds.a_rich_layer()
        if held.entry.kind is not EntryKind.LINK
        and not held.entry.path.startswith(("UtilityVM", "Files/lowdir"))
    ]
    writer = TransportWriter(empty(root), [empty(workplace("parent"))], tombstone_file=True)
    places = {
        "Files/e": "Files/b",
        "Files/h": "Files/d/c",
        "Files/j.$wcidirs$": "Files/d.$wcidirs$",
    }
    copy_entries(MemoryReader(layer), writer)
    chunks = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        name = places.get(name, name)
        if name in _FILES:
            chunks.append((_FILES.index(name), path.read_bytes()))
    yield pack(chunks)
    head = b"\xef\xbb\xbfVersion 1.0\n"
    yield pack([(0, head + b"\\d\\gone\n\\x\\y\n")])
    for stream in seeds.backup_streams():
        if len(stream) < 1 << 12:
            yield pack([(0, head), (1, b"\x20\0\0\0" + stream), (2, stream)])


@target(_transports)
def transport_folder(data: bytes) -> None:
    """A transport folder, whose files are packed into one input; see ``sources.unpack``."""
    root = empty(workplace("transport"))
    for folder in _FOLDERS:
        (root / folder).mkdir()
    (root / _FILES[0]).write_bytes(b"\xef\xbb\xbfVersion 1.0\n")
    for number, content in unpack(data):
        path = root / _FILES[number % len(_FILES)]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with closing(TransportReader(root)) as reader:
        for entry in reader:
            _check_entry(entry)
            for part in reader.parts():
                _check_part(part, read_some(reader.open_part(part), 1 << 14), len(data))


# Names


def _names() -> Iterator[bytes]:
    yield from (b"Files/a/b", b"./Files//a", b"Files\\a", b"C:\\Windows\\win.ini", b"\\\\?\\C:\\x")


@target(_names)
def names(data: bytes) -> None:
    """Names of tars and of people."""
    text = data.decode("utf-8", "surrogateescape")
    assert fold(fold(text)) == fold(text)
    outcome(lambda: split_user_path(text))
    for component in split_tar_name(data):
        assert component not in ("", ".", "..")
        assert "/" not in component
