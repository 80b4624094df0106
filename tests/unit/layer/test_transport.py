"""Transport folders: what is written where, what waits for Windows, what reads back."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from tests.support.builders import (
    DESCRIPTOR,
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_link,
    a_reparse_point,
    a_symlink,
    a_whiteout,
    an_opaque_whiteout,
)
from tests.unit.layer.test_backupcontents import a_part, a_stream
from winlayers.backends.memory import HeldEntry, MemoryReader
from winlayers.errors import IllegalState, InvalidArgument, InvalidName, Malformed
from winlayers.formats.backupstream import PartId
from winlayers.formats.reparse import TAG_WCI
from winlayers.layer.copying import copy_entries
from winlayers.layer.entry import Entry, EntryKind, LayerSummary, Part
from winlayers.layer.findings import Finding
from winlayers.layer.transport import (
    PendingLink,
    PortableHost,
    TransportReader,
    TransportWriter,
)
from winlayers.layer.transportfolder import TransportFolder

TOMBSTONES_HEAD = b"\xef\xbb\xbfVersion 1.0\n"
BCD = "UtilityVM/Files/EFI/Microsoft/Boot/BCD"


class Transport:
    """A transport folder, its parent, and what was reported."""

    def __init__(self, place: Path) -> None:
        self.root, self.parent, self.backups = place / "root", place / "parent", place / "backups"
        for folder in (self.root, self.parent, self.backups):
            folder.mkdir()
        self.findings: list[Finding] = []
        self.host = PortableHost(report=self.findings.append)

    def writer(self, *, is_base: bool = False, tombstone_file: bool = True) -> TransportWriter:
        return TransportWriter(
            self.root,
            [] if is_base else [self.parent],
            backup_root=self.backups,
            host=self.host,
            tombstone_file=tombstone_file,
            report=self.findings.append,
        )

    def write(self, *held: HeldEntry, is_base: bool = False) -> TransportWriter:
        writer = self.writer(is_base=is_base)
        copy_entries(MemoryReader(a_layer(*held)), writer)
        return writer

    def read(self) -> list[Entry]:
        with closing(TransportReader(self.root, host=self.host)) as reader:
            return list(reader)

    def paths(self) -> list[str]:
        return [entry.path for entry in self.read()]

    def parent_file(self, path: str, content: bytes = b"parent") -> Path:
        place = self.parent / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return place

    @property
    def codes(self) -> list[str]:
        return [finding.code for finding in self.findings]


@pytest.fixture
def transport(tmp_path: Path) -> Transport:
    return Transport(tmp_path)


# Writing


def test_file_is_attributes_and_backup_stream(transport: Transport) -> None:
    transport.write(a_file("Files/a", b"abc", {"s": b"x"}, attributes=0x2021))
    stream = a_stream(
        a_part(PartId.SECURITY, DESCRIPTOR),
        a_part(PartId.DATA, b"abc"),
        a_part(PartId.ALTERNATE, b"x", ":s:$DATA"),
    )
    record = (transport.root / "Files" / "a").read_bytes()
    assert record == bytes.fromhex("21200000") + stream.getvalue()
    assert transport.host.infos["Files/a"].attributes == 0


def test_folder_has_its_record_beside_it(transport: Transport) -> None:
    writer = transport.write(a_directory("Files/d", {"s": b"x"}))
    assert (transport.root / "Files" / "d").is_dir()
    assert (transport.root / "Files" / "d.$wcidirs$").read_bytes().startswith(b"\x10\0\0\0")
    assert [path for path, _ in writer.directories] == ["Files/d", "Files"]


def test_folder_that_is_a_link_can_hold_nothing(transport: Transport) -> None:
    with transport.writer() as writer:
        for held in a_layer(a_junction("Files/j", "C:\\x")):
            writer.add(held.entry, [])
        assert not (transport.root / "Files" / "j").exists()
        with pytest.raises(Malformed) as caught:
            writer.add(a_file("Files/j/x").entry, [])
        assert caught.value.finding == "parent-missing"
        writer.commit()
    assert (transport.root / "Files" / "j").is_dir()


def test_hives_are_plain_files(transport: Transport) -> None:
    transport.write(a_file("Hives/System_Delta", b"regf", security=b""))
    assert (transport.root / "Hives" / "System_Delta").read_bytes() == b"regf"
    assert transport.findings == []


def test_removals_wait(transport: Transport) -> None:
    writer = transport.write(a_directory("Files/d"), a_whiteout("Files/d/b"), a_whiteout("Files/ü"))
    assert writer.tombstones == ["Files/d/b", "Files/ü"]
    text = (transport.root / "tombstones.txt").read_bytes()
    assert text == TOMBSTONES_HEAD + "\\d\\b\n\\ü\n".encode()


def test_removals_are_not_in_the_folder_unless_asked_for(transport: Transport) -> None:
    (transport.root / "tombstones.txt").write_bytes(b"stray")
    copy_entries(
        MemoryReader(a_layer(a_whiteout("Files/x"))), transport.writer(tombstone_file=False)
    )
    assert not (transport.root / "tombstones.txt").exists()


def test_opaque_whiteout_hides_nothing_and_is_reported(transport: Transport) -> None:
    writer = transport.write(a_directory("Files/d"), an_opaque_whiteout("Files/d"))
    assert writer.tombstones == []
    assert transport.codes == ["whiteout-opaque"]


@pytest.mark.parametrize(
    ("path", "finding"),
    [
        ("Hives/x", "whiteout-outside"),
        ("Files", "whiteout-outside"),
        ("UtilityVM/Files", "whiteout-outside"),
        ("other/x", "root-unknown"),
    ],
)
def test_removal_of_what_stays_is_malformed(transport: Transport, path: str, finding: str) -> None:
    with transport.writer() as writer, pytest.raises(Malformed) as caught:
        writer.remove(path)
    assert caught.value.finding == finding


def test_base_layer_removes_nothing(transport: Transport) -> None:
    with transport.writer(is_base=True) as writer, pytest.raises(Malformed) as caught:
        writer.remove("Files/x")
    assert caught.value.finding == "whiteout-in-base"


def test_links_wait_and_know_where_their_target_is(transport: Transport) -> None:
    transport.parent_file("Files/low")
    writer = transport.write(
        a_file("Files/a"), a_link("Files/l", "Files/a"), a_link("Files/m", "Files/low")
    )
    assert writer.links == [
        PendingLink("Files/l", "Files/a", None),
        PendingLink("Files/m", "Files/low", transport.parent),
    ]
    assert not (transport.root / "Files" / "l").exists()


@pytest.mark.parametrize(
    ("path", "target", "finding"),
    [
        ("Files/l", "Files/nothing", "link-target-missing"),
        ("Files/l", "Files/no/thing", "link-target-missing"),
        ("Files/l", "Files/l", "link-target-missing"),
        ("Files/l", "UtilityVM/Files/nothing", "link-target-missing"),
        ("Files/l", "Hives/x", "link-outside"),
        ("Hives/l", "Files/a", "link-outside"),
    ],
)
def test_link_to_nothing_is_malformed(
    transport: Transport, path: str, target: str, finding: str
) -> None:
    with transport.writer() as writer, pytest.raises(Malformed) as caught:
        writer.link(a_link(path, target).entry)
    assert caught.value.finding == finding


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("Files/../x", InvalidName),
        ("../x", InvalidName),
        ("Files/a:b", InvalidName),
        ("Files\\a", InvalidName),
        ("Files//a", InvalidName),
        ("", InvalidName),
        ("Files/x.$wcidirs$", InvalidName),
        ("tombstones.txt", Malformed),
        ("other", Malformed),
        ("Files/missing/x", Malformed),
    ],
)
def test_path_without_a_place_is_refused(
    transport: Transport, path: str, error: type[Exception]
) -> None:
    with transport.writer() as writer, pytest.raises(error):
        writer.add(a_file(path).entry, [])


def test_second_entry_of_a_name_is_malformed(transport: Transport) -> None:
    with pytest.raises(Malformed) as caught:
        transport.write(a_file("Files/a"), a_file("Files/a"))
    assert caught.value.finding == "name-duplicate"


def test_tag_that_steers_a_filter_driver_is_dropped(transport: Transport) -> None:
    transport.write(a_reparse_point("Files/x", TAG_WCI))
    assert transport.codes == ["reparse-dropped"]
    (_, entry) = transport.read()
    assert entry.reparse == b""


@pytest.mark.parametrize(
    "use",
    [
        lambda writer: writer.add(a_directory("Files").entry, []),
        lambda writer: writer.remove("Files/x"),
        lambda writer: writer.link(a_link("Files/l", "Files/a").entry),
        lambda writer: writer.commit(),
    ],
)
def test_nothing_is_written_after_the_end(
    transport: Transport, use: Callable[[TransportWriter], object]
) -> None:
    writer = transport.writer()
    assert writer.commit() == LayerSummary(0, 0)
    with pytest.raises(IllegalState):
        use(writer)


# The utility VM


def test_changed_utility_vm_starts_from_the_parents(transport: Transport) -> None:
    kept = transport.parent_file("UtilityVM/Files/kept")
    changed = transport.parent_file("UtilityVM/Files/changed")
    transport.parent_file("UtilityVM/Files/gone/x")
    transport.parent_file("UtilityVM/Files/was-file")
    writer = transport.write(
        a_directory("UtilityVM/Files", security=b""),
        a_file("UtilityVM/Files/changed", b"new", security=b""),
        a_directory("UtilityVM/Files/was-file", security=b""),
        a_whiteout("UtilityVM/Files/gone"),
    )
    place = transport.root / "UtilityVM" / "Files"
    assert (place / "kept").samefile(kept)
    assert (place / "changed").read_bytes() == b"new"
    assert changed.read_bytes() == b"parent"
    assert (place / "was-file").is_dir()
    assert not (place / "gone").exists()
    assert writer.tombstones == []
    assert writer.has_utility_vm


def test_files_that_windows_changes_are_kept_twice(transport: Transport) -> None:
    transport.write(a_file(BCD, b"regf", security=b""), is_base=True)
    assert (transport.root / BCD).read_bytes() == b"regf"
    assert (transport.backups / "bcd.bak").read_bytes() == b"regf"


def test_what_windows_changes_is_kept_however_it_is_read(transport: Transport) -> None:
    class Buffering(PortableHost):
        """A host that reads through a buffer, as ``io`` does: by ``readinto``."""

        def write_plain(
            self,
            folder: TransportFolder,
            path: str,
            entry: Entry,
            parts: Iterable[tuple[Part, BinaryIO]],
        ) -> None:
            buffered = ((part, io.BufferedReader(cast(io.RawIOBase, at))) for part, at in parts)
            super().write_plain(folder, path, entry, buffered)

    transport.host = Buffering()
    transport.write(a_file(BCD, b"regf", security=b""), is_base=True)
    assert (transport.root / BCD).read_bytes() == b"regf"
    assert (transport.backups / "bcd.bak").read_bytes() == b"regf"


def test_utility_vm_may_lie_elsewhere(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("root", "layer", "parent")]
    for place in places:
        place.mkdir()
    (places[2] / "UtilityVM" / "Files").mkdir(parents=True)
    writer = TransportWriter(places[0], [places[2]], utility_root=places[1])
    copy_entries(MemoryReader(a_layer(a_file("UtilityVM/Files/a"))), writer)
    assert list(places[0].iterdir()) == []
    assert (places[1] / "UtilityVM" / "Files" / "a").exists()


@pytest.mark.parametrize(
    ("held", "finding"),
    [
        ([a_file("UtilityVM/Files/x")], "parent-missing"),
        ([a_directory("UtilityVM"), a_file("UtilityVM/x")], "root-unknown"),
        ([a_file("UtilityVM")], "root-unknown"),
    ],
)
def test_utility_vm_out_of_order_is_malformed(
    transport: Transport, held: list[HeldEntry], finding: str
) -> None:
    transport.parent_file("UtilityVM/Files/x")
    with pytest.raises(Malformed) as caught:
        copy_entries(MemoryReader(held), transport.writer())
    assert caught.value.finding == finding


def test_utility_vm_needs_one_of_the_parent(transport: Transport) -> None:
    with pytest.raises(Malformed, match="no utility VM"):
        transport.write(a_directory("UtilityVM"))


def test_removal_from_a_utility_vm_needs_something_there(transport: Transport) -> None:
    transport.parent_file("UtilityVM/Files/x")
    with pytest.raises(Malformed, match="missing"):
        transport.write(a_directory("UtilityVM"), a_whiteout("UtilityVM/Files/nothing"))


# Reading


def test_all_below_files_reads_back(transport: Transport) -> None:
    layer = a_layer(
        a_directory("Files/d", {"s": b"x"}),
        a_file("Files/d/a", b"abc", {"s": b"y"}),
        a_whiteout("Files/gone"),
        a_symlink("Files/l", "..\\x"),
    )
    copy_entries(MemoryReader(layer), transport.writer())
    with closing(TransportReader(transport.root, host=transport.host)) as reader:
        found = [
            (entry, {p.name: reader.open_part(p).read() for p in reader.parts()})
            for entry in reader
        ]
    by_path = {held.entry.path: held for held in layer}
    assert [entry.path for entry, _ in found] == [
        "Files", "Files/gone", "Files/d", "Files/d/a", "Files/l",
    ]  # fmt: skip
    for entry, parts in found[1:]:
        held = by_path[entry.path]
        assert entry == held.entry
        assert parts == {part.name: part.content for part in held.parts}


def test_tops_take_the_times_of_the_system_hive(transport: Transport) -> None:
    hive = a_file("Hives/System_Delta", b"regf", security=b"", write_filetime=7, change_filetime=9)
    transport.write(a_directory("Files"), hive)
    for entry in transport.read():
        assert (entry.creation_filetime, entry.access_filetime, entry.write_filetime) == (7, 7, 7)
        assert entry.change_filetime == 9
        assert entry.security == b""


def test_plain_file_is_its_data(transport: Transport) -> None:
    transport.write(a_file("Hives/System_Delta", b"regf", {"s": b"x"}))
    with closing(TransportReader(transport.root)) as reader:
        found = [
            (entry.size, part.name, reader.open_part(part).read())
            for entry in reader
            for part in reader.parts()
        ]
    assert found == [(4, "", b"regf")]


def test_part_of_another_entry_is_refused(transport: Transport) -> None:
    transport.write(a_file("Files/a", b"abc"))
    with closing(TransportReader(transport.root)) as reader:
        assert next(iter(reader)).path == "Files"
        with pytest.raises(InvalidArgument):
            reader.open_part(Part("", 3))


def test_recycle_bin_is_left_out(transport: Transport) -> None:
    transport.write(
        a_file("Files/$RECYCLE.BIN/x"),
        a_whiteout("Files/$Recycle.Bin/y"),
        a_file("Files/d/$Recycle.Bin"),
    )
    assert transport.paths() == ["Files", "Files/d", "Files/d/$Recycle.Bin"]


def test_early_record_has_no_attributes(transport: Transport) -> None:
    transport.write(a_directory("Files/d"), a_file("Files/a"), a_file("Files/e"))
    files = transport.root / "Files"
    (files / "a").write_bytes(a_stream(a_part(PartId.DATA, b"abc")).getvalue())
    (files / "d.$wcidirs$").write_bytes(b"")
    (files / "e").write_bytes(b"\x01\0\0\0")
    found = {entry.path: (entry.attributes, entry.size) for entry in transport.read()}
    assert found["Files/a"] == (0x20, 3)
    assert found["Files/d"] == (0x10, 0)
    assert found["Files/e"] == (1, 0)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("tombstones.txt", None),
        ("tombstones.txt", b"Version 1.0\n"),
        ("tombstones.txt", b"\xef\xbb\xbfVersion 1.1\n"),
        ("tombstones.txt", TOMBSTONES_HEAD + b"\\..\\x\n"),
        ("tombstones.txt", TOMBSTONES_HEAD + b"\\a/b\n"),
        ("tombstones.txt", TOMBSTONES_HEAD + b"\n"),
        ("tombstones.txt", TOMBSTONES_HEAD + b"\\\xff\n"),
        ("tombstones.txt", TOMBSTONES_HEAD + b"\\nothing\\x\n"),
        ("Files/a", b"\x20\0"),
        ("Files/a", b"\x10\0\0\0"),
        ("Files/a", b"\x20\0\0\0\x01"),
        ("Files/d.$wcidirs$", b"\x20\0\0\0"),
        ("Files/d.$wcidirs$", None),
        ("other", b""),
    ],
)
def test_folder_that_is_no_transport_is_refused(
    transport: Transport, path: str, content: bytes | None
) -> None:
    transport.write(a_directory("Files/d"), a_file("Files/a"))
    place = transport.root / path
    if content is None:
        place.unlink()
    else:
        place.write_bytes(content)
    with pytest.raises((Malformed, InvalidName)):
        transport.read()


def test_folder_with_data_is_malformed(transport: Transport) -> None:
    transport.write(a_directory("Files/d"))
    record = b"\x10\0\0\0" + a_stream(a_part(PartId.DATA, b"x")).getvalue()
    (transport.root / "Files" / "d.$wcidirs$").write_bytes(record)
    with pytest.raises(Malformed, match="with data"):
        transport.read()


def test_lines_may_end_as_on_windows(transport: Transport) -> None:
    transport.write(a_directory("Files/d"))
    text = b"\xef\xbb\xbfVersion 1.0\r\n\\x\r\n\\D\\y\r\n"
    (transport.root / "tombstones.txt").write_bytes(text)
    assert [(e.path, e.kind is EntryKind.WHITEOUT) for e in transport.read()] == [
        ("Files", False),
        ("Files/x", True),
        ("Files/d", False),
        ("Files/d/y", True),
    ]


def test_link_of_the_host_is_refused(transport: Transport, tmp_path: Path) -> None:
    transport.write(a_directory("Files"))
    (tmp_path / "secret").write_bytes(b"\x20\0\0\0")
    (transport.root / "Files" / "l").symlink_to(tmp_path / "secret")
    with pytest.raises((Malformed, InvalidName)):
        transport.read()


def test_times_come_from_the_host_where_nobody_kept_them(transport: Transport) -> None:
    transport.write(a_file("Files/a"))
    with closing(TransportReader(transport.root)) as reader:
        (_, entry) = list(reader)
    kept = transport.host.infos["Files/a"]
    assert entry.write_filetime == kept.write_filetime
    assert entry.creation_filetime == entry.write_filetime


def test_nothing_is_left_in_memory_of_streams(transport: Transport) -> None:
    content = bytes(range(256)) * 40
    transport.write(a_file("Files/a", content))
    with closing(TransportReader(transport.root)) as reader:
        (data,) = [
            io.BufferedReader(reader.open_part(part)).read()  # type: ignore[arg-type]  # a raw reader
            for _ in reader
            for part in reader.parts()
        ]
    assert data == content
