"""Layers written through the stand-in: what arrives, in which order it is done, and that failures leave nothing behind."""

from __future__ import annotations

import io
import os
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.native.conftest import Fake
from winlayers.backends.native import _generations, _hcs
from winlayers.backends.native._backup import reading_backup
from winlayers.backends.native._dlls import TABLE, Libraries
from winlayers.backends.native._files import LayerFiles
from winlayers.backends.native._finishing import process_utility_vm
from winlayers.backends.native._folder import info_below
from winlayers.backends.native._handles import BACKUP, SECURITY, Access, open_file, privileges
from winlayers.backends.native._importing import open_layer_writer
from winlayers.backends.native._transporthost import NativeHost
from winlayers.errors import (
    IllegalState,
    InvalidArgument,
    InvalidName,
    Malformed,
    PrivilegeMissing,
    TooManyLinks,
    Unsupported,
    WindowsCallFailed,
)
from winlayers.formats.filetime import BasicInfo
from winlayers.layer.backupcontents import BackupContents, collect_parts
from winlayers.layer.entry import Entry, EntryKind, EntryWriter, LayerSummary, Part
from winlayers.layer.findings import Finding
from winlayers.layer.transport import TransportReader
from winlayers.layer.transporthost import info_of

BOOT = "UtilityVM/Files/EFI/Microsoft/Boot"
JUNCTION = struct.pack("<IHH", 0xA0000003, 4, 0) + b"away"
STEERING = struct.pack("<IHH", 0x90001018, 4, 0) + b"base"
ENDING = frozenset({"CloseHandle", "RevertToSelf"})

_hours = iter(range(1, 1 << 20))


def directory(path: str, **known: Any) -> Entry:
    hour = next(_hours) * 36 * 10**9
    return Entry(path, EntryKind.DIRECTORY, 0x10, hour, hour + 1, hour + 2, hour + 3, **known)


@dataclass
class Item:
    """An entry to write, and its parts."""

    entry: Entry
    parts: list[tuple[Part, bytes]] = field(default_factory=list)

    def write(self, writer: EntryWriter) -> None:
        match self.entry.kind:
            case EntryKind.LINK:
                writer.link(self.entry)
            case EntryKind.WHITEOUT:
                writer.remove(self.entry.path)
            case _:
                writer.add(self.entry, [(part, io.BytesIO(data)) for part, data in self.parts])


def folder(path: str, **known: Any) -> Item:
    return Item(directory(path, security=b"descriptor of " + path.encode(), **known))


def file(path: str, data: bytes = b"", *, ads: bytes | None = None, **known: Any) -> Item:
    hour = next(_hours) * 36 * 10**9
    known.setdefault("security", b"descriptor of " + path.encode())
    entry = Entry(path, EntryKind.FILE, 0x22, hour, hour + 1, hour + 2, hour + 3, **known)
    entry.size = len(data)
    parts = [(Part("", len(data)), data)] if data else []
    if ads is not None:
        parts.append((Part("ads", len(ads)), ads))
    return Item(entry, parts)


def link(path: str, target: str) -> Item:
    return Item(Entry(path, EntryKind.LINK, target=target))


def whiteout(path: str) -> Item:
    return Item(Entry(path, EntryKind.WHITEOUT))


BASE = [
    folder("Files"),
    folder("Files/Windows"),
    file("Files/Windows/a", b"of the base", ads=b"stream"),
    file("Files/Windows/b", b"goes"),
    folder("Files/gone"),
    file("Files/gone/c", b"c"),
    file("Files/kept", b"kept", ea=struct.pack("<IBBH", 0, 0, 1, 1) + b"E\0v"),
    link("Files/again", "Files/kept"),
    folder("Files/away", reparse=JUNCTION),
    folder("UtilityVM"),
    folder("UtilityVM/Files"),
    folder("UtilityVM/Files/EFI"),
    folder("UtilityVM/Files/EFI/Microsoft"),
    folder(BOOT),
    file(f"{BOOT}/BCD", b"regf as it came"),
    file(f"{BOOT}/BCD.LOG", b"log"),
    file("UtilityVM/Files/shared", b"shared"),
    file("UtilityVM/Files/other", b"other"),
]

CHILD = [
    folder("Files"),
    folder("Files/Windows"),
    file("Files/Windows/a", b"of the child", ads=b"another"),
    whiteout("Files/Windows/b"),
    whiteout("Files/gone"),
    whiteout("Files/never"),
    link("Files/Windows/own", "Files/Windows/a"),
    link("Files/Windows/parents", "Files/kept"),
    link("Files/again", "Files/Windows/a"),
    folder("Files/new"),
    folder("Files/new/junction", reparse=JUNCTION),
    folder("Hives"),
    file("Hives/System_Delta", b"regf"),
    folder("UtilityVM"),
    folder("UtilityVM/Files"),
    file("UtilityVM/Files/shared", b"its own"),
    whiteout("UtilityVM/Files/other"),
    link("UtilityVM/Files/more", "UtilityVM/Files/shared"),
    folder("UtilityVM/Files/EFI"),
    file(f"{BOOT}/BCD.LOG1", b"first"),
]


@dataclass
class Layers:
    """A folder with layers, and how to write them."""

    root: Path
    fake: Fake
    findings: list[Finding] = field(default_factory=list)

    def open(self, name: str, *parents: str, api: Libraries | None = None) -> EntryWriter:
        layer = self.root / name
        layer.mkdir()
        return open_layer_writer(
            *(api or self.fake.api, layer, [self.root / parent for parent in parents]),
            work=self.root / "tmp" / "work",
            report=self.findings.append,
        )

    def write(
        self, items: Sequence[Item], name: str, *parents: str, api: Libraries | None = None
    ) -> LayerSummary:
        with self.open(name, *parents, api=api) as writer:
            for item in items:
                item.write(writer)
            return writer.commit()

    def nothing_is_held(self) -> bool:
        return (self.fake.live(), self.fake.contexts(), self.fake.privileges()) == ((0, 0), 0, -1)

    def work(self) -> list[str]:
        return os.listdir(self.root / "tmp")

    def info(self, name: str, path: str) -> BasicInfo:
        with open_file(self.fake.api, self.root / name, Access.GENERIC_READ) as handle:
            return info_below(self.fake.api, handle, path)

    def contents(self, name: str, path: str) -> BackupContents:
        with (
            open_file(self.fake.api, self.root / name / path, Access.GENERIC_READ) as handle,
            reading_backup(self.fake.api, handle) as stream,
        ):
            return collect_parts(io.BytesIO(stream.read()), path)

    def data(self, name: str, path: str, stream: str = "") -> bytes:
        with LayerFiles(self.fake.api, self.root / name).open(path, stream) as reader:
            return reader.read()


@pytest.fixture
def layers(tmp_path: Path, fake: Fake) -> Layers:
    fake.set("FAKE_BARE", "1")
    (tmp_path / "tmp").mkdir()
    return Layers(tmp_path, fake)


def steps(log: Sequence[str]) -> Iterator[str]:
    """What a log says is done, without what is looked at."""
    for line in log:
        call, _, rest = line.partition(" ")
        if call == "NtCreateFile":
            path, access, _, share, disposition, options = rest.rsplit(" ", 5)
            if disposition.endswith("=2"):
                yield f"create {path} {access} {share} {options}"
            elif access in ("access=00100100", "access=00110180"):
                yield f"{'time' if access.endswith('100') else 'remove'} {path}"
        elif call == "SetFileInformationByHandle":
            yield "info"
        elif call == "NtSetInformationFile" and rest.endswith("=11"):
            yield "link"
        elif call == "BackupWrite":
            yield rest.split(" bytes")[0]
        elif call in ("ImportLayer", "ProcessBaseImage", "ProcessUtilityImage", "RevertToSelf"):
            yield call


def made(path: str, options: str) -> list[str]:
    return [
        f"create {path} access=c11c0000 share=1 options={options}",
        *("info", "open security=1", "abort"),
    ]


# Base layers


def test_base_layer_is_written_in_order(layers: Layers) -> None:
    items = [
        folder("Files"),
        folder("Files/d"),
        file("Files/d/f", b"x"),
        link("Files/l", "Files/d/f"),
        folder("UtilityVM"),
        folder("UtilityVM/Files"),
    ]
    layers.write(items, "layer")
    assert list(steps(layers.fake.log())) == [
        *made("Files", "4021"),
        *made("Files\\d", "4021"),
        *made("Files\\d\\f", "4020"),
        *("time Files\\d\\f", "link"),
        *made("UtilityVM", "4021"),
        *made("UtilityVM\\Files", "4021"),
        *("time UtilityVM\\Files", "info", "time UtilityVM", "info"),
        *("time Files\\d", "info", "time Files", "info"),
        *("ProcessBaseImage", "ProcessUtilityImage", "RevertToSelf"),
    ]


def test_base_layer_has_all_that_was_given(layers: Layers) -> None:
    summary = layers.write(BASE, "base")
    assert summary.entry_count == len(BASE)
    assert summary.size == sum(item.entry.size for item in BASE)
    for item in BASE:
        entry = item.entry
        if entry.kind is EntryKind.LINK:
            path, target = (layers.root / "base" / name for name in (entry.path, entry.target))
            assert path.samefile(target)
            continue
        attributes = entry.attributes | (0x400 if entry.reparse else 0)
        assert layers.info("base", entry.path) == replace(info_of(entry), attributes=attributes)
        found = layers.contents("base", entry.path)
        assert (found.security, found.ea, found.reparse) == (
            entry.security,
            entry.ea,
            entry.reparse,
        )
        for part, data in item.parts:
            assert layers.data("base", entry.path, part.name) == data
    assert layers.findings == []


def test_boot_configuration_is_kept_before_windows_changes_it(layers: Layers) -> None:
    layers.write(BASE, "base")
    base = layers.root / "base"
    assert (base / BOOT / "BCD").read_bytes() == b"regf as it came[mutated]"
    assert (base / "bcd.bak").read_bytes() == b"regf as it came"
    assert (base / "bcd.log.bak").read_bytes() == b"log"
    assert layers.contents("base", "bcd.bak").security == b""
    assert not (base / "bcd.log1.bak").exists()


def test_utility_vm_that_has_no_files_is_left_alone(layers: Layers) -> None:
    layers.write([folder("Files"), folder("UtilityVM")], "base")
    assert "ProcessUtilityImage" not in layers.fake.calls()


@pytest.mark.parametrize("parents", [(), ("base",)])
def test_utility_vm_that_became_a_link_is_refused(layers: Layers, parents: tuple[str, ...]) -> None:
    layers.write(BASE, "base")
    layers.fake.reset()
    place, elsewhere = layers.root / "layer" / "UtilityVM", layers.root / "elsewhere"
    with pytest.raises(Malformed) as caught, layers.open("layer", *parents) as writer:
        for item in (folder("Files"), folder("UtilityVM"), folder("UtilityVM/Files")):
            item.write(writer)
        place.rename(elsewhere)
        place.symlink_to(elsewhere)
        writer.commit()
    assert caught.value.finding == "parent-not-directory"
    assert "ProcessUtilityImage" not in layers.fake.calls()
    with (
        open_file(layers.fake.api, place.parent, Access.GENERIC_READ) as handle,
        pytest.raises(Malformed, match="link or a file"),
    ):
        process_utility_vm(layers.fake.api, handle, place.parent)
    assert "ProcessUtilityImage" not in layers.fake.calls()


@pytest.mark.parametrize(
    ("items", "refusal", "finding"),
    [
        ([folder("Files"), whiteout("Files/x")], Malformed, "whiteout-in-base"),
        ([folder("Files"), link("Files/x", "Files/y")], Malformed, "link-target-missing"),
        ([folder("Files"), link("Files/x", "Hives/y")], Malformed, "link-outside"),
        ([folder("Files"), folder("Files")], Malformed, "name-duplicate"),
        ([file("Files/x")], Malformed, "parent-missing"),
        ([folder("Other")], Malformed, "root-unknown"),
        ([file("Files/../x")], InvalidName, "name-traversal"),
        ([file("Files/a:b")], InvalidName, "name-traversal"),
        (
            [folder("Files"), folder("Files/j", reparse=JUNCTION), file("Files/j/x")],
            Malformed,
            "parent-not-directory",
        ),
    ],
)
def test_what_no_base_layer_has_is_refused(
    layers: Layers, items: list[Item], refusal: type[Malformed | InvalidName], finding: str
) -> None:
    with pytest.raises(refusal) as caught:
        layers.write(items, "base")
    assert caught.value.finding == finding
    assert "ProcessBaseImage" not in layers.fake.calls()


@pytest.mark.parametrize(
    ("call", "code", "refusal"),
    [("NtCreateFile", 0xC0000033, Unsupported), ("NtSetInformationFile", 0xC0000265, TooManyLinks)],
)
def test_what_ntfs_cannot_hold_is_told(
    layers: Layers, call: str, code: int, refusal: type[Exception]
) -> None:
    with layers.open("base") as writer:
        for item in (folder("Files"), file("Files/x")):
            item.write(writer)
        layers.fake.fail(call, code)
        with pytest.raises(refusal):
            (file("Files/y") if call == "NtCreateFile" else link("Files/y", "Files/x")).write(
                writer
            )


def test_points_that_steer_the_filter_are_dropped(layers: Layers) -> None:
    layers.write([folder("Files"), folder("Files/d", reparse=STEERING)], "base")
    assert [one.code for one in layers.findings] == ["reparse-dropped"]
    assert layers.info("base", "Files/d").attributes == 0x10


# Layers on others


@pytest.fixture
def two(layers: Layers) -> Layers:
    """Layer ``base``, and ``child`` on it."""
    layers.write(BASE, "base")
    layers.fake.reset()
    layers.write(CHILD, "child", "base")
    return layers


def test_child_layer_is_written_in_order(two: Layers) -> None:
    log = two.fake.log()
    at = next(number for number, line in enumerate(log) if line.startswith("ImportLayer"))
    before, after = list(steps(log[:at])), list(steps(log[at:]))
    assert before[0] == "create work access=00100000 share=7 options=4021"
    assert "create Hives\\System_Delta access=c0100000 share=1 options=4020" in before
    assert before[before.index("time Files.$wcidirs$") + 1] == "info"
    assert after[: after.index("time UtilityVM\\Files\\EFI")] == [
        *("ImportLayer", "remove Files\\Windows\\b", "remove Files\\gone\\c", "remove Files\\gone"),
        *("time Files\\Windows\\a", "link", "time Files\\kept", "link"),
        *("remove Files\\again", "time Files\\Windows\\a", "link"),
        *("time UtilityVM\\Files\\shared", "link"),
    ]
    times = [path for step, _, path in (one.partition(" ") for one in after) if step == "time"]
    assert times[4:] == [  # the first four are of links
        *("UtilityVM\\Files\\EFI", "UtilityVM\\Files", "Hives", "Files\\new"),
        *("Files\\Windows", "Files"),
    ]
    ending = ["time Files", "info", "ProcessUtilityImage"]
    assert [one for one in after if not one.startswith("remove work")][-4:-1] == ending
    assert after[-1] == "RevertToSelf"


def test_child_layer_has_all_that_was_given(two: Layers) -> None:
    child = two.root / "child"
    for item in CHILD:
        entry = item.entry
        if entry.kind is EntryKind.WHITEOUT:
            assert not (child / entry.path).exists()
        elif entry.kind is EntryKind.DIRECTORY and entry.path != "UtilityVM":
            found = two.contents("child", entry.path)
            assert found.reparse == entry.reparse
            if not entry.reparse:
                assert two.info("child", entry.path) == info_of(entry)
            if not entry.path.startswith("Hives"):
                assert found.security == entry.security
        for part, data in item.parts:
            assert two.data("child", entry.path, part.name) == data
    assert two.data("child", "Files/Windows/a", "ads") == b"another"
    assert (child / "Files/Windows/own").samefile(child / "Files/Windows/a")
    assert (child / "Files/again").samefile(child / "Files/Windows/a")
    assert (child / "Files/Windows/parents").samefile(two.root / "base/Files/kept")
    assert two.contents("child", "Hives/System_Delta").security == b""
    assert two.info("child", "Hives/System_Delta") == info_of(CHILD[12].entry)
    assert two.findings == []


def test_parent_is_left_as_it_was(two: Layers) -> None:
    base, child = two.root / "base", two.root / "child"
    assert (base / "Files/Windows/a").read_bytes() == b"of the base"
    assert (base / "Files/gone/c").exists()
    assert (base / "UtilityVM/Files/shared").read_bytes() == b"shared"
    assert (base / "UtilityVM/Files/other").exists()
    assert (base / BOOT / "BCD").read_bytes() == b"regf as it came[mutated]"
    assert (child / BOOT / "BCD").read_bytes() == b"regf as it came[mutated][mutated]"


def test_utility_vm_is_that_of_the_parent_but_for_what_is_changed(two: Layers) -> None:
    base, child = two.root / "base", two.root / "child"
    assert sorted(os.listdir(child / "UtilityVM/Files")) == ["EFI", "more", "shared"]
    assert not (child / BOOT / "BCD.LOG").samefile(base / BOOT / "BCD.LOG")
    assert two.info("child", f"{BOOT}/BCD.LOG") == two.info("base", f"{BOOT}/BCD.LOG")
    assert two.contents("child", f"{BOOT}/BCD.LOG").security
    assert two.info("child", BOOT) == two.info("base", BOOT)
    assert (child / "bcd.log1.bak").read_bytes() == b"first"
    assert (child / "UtilityVM/Files/more").samefile(child / "UtilityVM/Files/shared")


def test_files_of_the_utility_vm_are_shared(layers: Layers) -> None:
    layers.write(BASE, "base")
    layers.write([folder("UtilityVM")], "child", "base")
    for path in ("UtilityVM/Files/shared", "UtilityVM/Files/other"):
        assert (layers.root / "child" / path).samefile(layers.root / "base" / path)


def test_utility_vm_may_be_of_a_parent_further_below_or_its_own(layers: Layers) -> None:
    layers.write(BASE, "base")
    layers.write([folder("Files")], "middle", "base")
    items = [folder("UtilityVM"), whiteout("UtilityVM/Files/no"), whiteout("UtilityVM/Files/other")]
    layers.write(items, "top", "middle", "base")
    assert sorted(os.listdir(layers.root / "top/UtilityVM/Files")) == ["EFI", "shared"]
    layers.write([folder("Files")], "plain")
    layers.write([folder("UtilityVM")], "none", "plain")
    assert layers.fake.calls().count("ProcessUtilityImage") == 2
    layers.write([folder("UtilityVM"), folder("UtilityVM/Files")], "own", "plain")
    assert layers.fake.calls().count("ProcessUtilityImage") == 3


def test_links_lead_to_the_utility_vm_of_a_parent(layers: Layers) -> None:
    layers.write(BASE, "base")
    layers.write([folder("Files"), link("Files/x", "UtilityVM/Files/shared")], "child", "base")
    shared = layers.root / "base/UtilityVM/Files/shared"
    assert (layers.root / "child/Files/x").samefile(shared)


def test_links_have_links(layers: Layers) -> None:
    layers.write([folder("Files"), file("Files/s", reparse=JUNCTION)], "base")
    layers.write([folder("Files"), link("Files/l", "Files/s")], "child", "base")
    assert layers.contents("child", "Files/l").reparse == JUNCTION


def test_utility_vm_with_links_is_cloned(layers: Layers) -> None:
    layers.write([*BASE, folder("UtilityVM/Files/j", reparse=JUNCTION)], "base")
    layers.write([folder("UtilityVM")], "child", "base")
    assert layers.contents("child", "UtilityVM/Files/j").reparse == JUNCTION
    assert layers.info("child", "UtilityVM/Files/j") == layers.info("base", "UtilityVM/Files/j")


def test_link_is_made_in_place_of_what_is_there(layers: Layers) -> None:
    layers.write(BASE, "base")
    layers.write([folder("Files"), link("Files/gone", "Files/kept")], "child", "base")
    assert (layers.root / "child/Files/gone").samefile(layers.root / "base/Files/kept")


def test_nearest_parent_has_the_target(layers: Layers) -> None:
    layers.write(BASE, "base")
    layers.write([folder("Files"), file("Files/kept", b"newer")], "middle", "base")
    layers.write([folder("Files"), link("Files/x", "Files/kept")], "top", "middle", "base")
    assert (layers.root / "top/Files/x").samefile(layers.root / "middle/Files/kept")


def test_opaque_whiteouts_are_reported(layers: Layers) -> None:
    layers.write(BASE, "base")
    layers.write([folder("Files"), whiteout("Files/.wh..opq")], "child", "base")
    assert [one.code for one in layers.findings] == ["whiteout-opaque"]


@pytest.mark.parametrize(
    ("items", "finding"),
    [
        ([whiteout("Hives/x")], "whiteout-outside"),
        ([folder("UtilityVM/Files")], "parent-missing"),
        ([folder("Files"), link("Files/x", "Files/no")], "link-target-missing"),
        ([folder("Files"), link("Files/x", "Files/away/x")], "parent-not-directory"),
        ([folder("UtilityVM"), link("Files/x", "UtilityVM/Files/no")], "link-target-missing"),
    ],
)
def test_what_no_child_layer_has_is_refused(
    layers: Layers, items: list[Item], finding: str
) -> None:
    layers.write(BASE, "base")
    layers.fake.reset()
    with pytest.raises(Malformed) as caught:
        layers.write(items, "child", "base")
    assert caught.value.finding == finding
    assert "ImportLayer" not in layers.fake.calls()
    assert layers.work() == []


def test_what_was_imported_is_exported_again(two: Layers) -> None:
    out = two.root / "out"
    out.mkdir()
    parents = [str(two.root / "base")]
    _generations.export_layer(
        two.fake.api, str(two.root / "child"), str(out), parents, writable=False
    )
    with NativeHost(two.fake.api) as host, closing(TransportReader(out, host=host)) as reader:
        found = {}
        for entry in reader:
            found[entry.path] = entry
            if entry.path == "Files/Windows/a":
                parts = {part.name: reader.open_part(part).read() for part in reader.parts()}
                assert parts == {"": b"of the child", "ads": b"another"}
    assert sorted(found) == [
        *("Files", "Files/Windows", "Files/Windows/a", "Files/Windows/b", "Files/Windows/own"),
        *("Files/Windows/parents", "Files/again", "Files/gone", "Files/new"),
        *("Files/new/junction", "Hives", "Hives/System_Delta"),
    ]
    for item in CHILD:
        entry = item.entry
        if entry.path in found and entry.path.startswith("Files/"):
            if entry.kind is EntryKind.WHITEOUT:
                assert found[entry.path].kind is EntryKind.WHITEOUT
            elif entry.kind is not EntryKind.LINK:
                assert found[entry.path].security == entry.security
                assert found[entry.path].reparse == entry.reparse
                assert found[entry.path].write_filetime == entry.write_filetime


class SecondOnly(Libraries):
    """A host that has given up the first generation of calls that import and export."""

    def has(self, name: str) -> bool:
        return name not in ("ImportLayer", "ExportLayer", "DestroyLayer") and super().has(name)


def test_second_generation_takes_the_same_layer_in(layers: Layers) -> None:
    layers.write(BASE, "base")
    api = SecondOnly({one.library: layers.fake.path for one in TABLE.values()})
    layers.write(CHILD, "child", "base", api=api)
    assert "HcsImportLayer" in layers.fake.calls()
    assert layers.data("child", "Files/Windows/a", "ads") == b"another"
    assert layers.data("child", "Files/kept") == b"kept"
    assert not (layers.root / "child/Files/gone").exists()
    assert layers.info("child", "Files/new") == info_of(CHILD[9].entry)


def test_scratch_is_exported_as_what_was_changed_in_it(two: Layers) -> None:
    scratch, out = two.root / "scratch", two.root / "out"
    parents = [str(two.root / "child"), str(two.root / "base")]
    _hcs.create_scratch(two.fake.api, str(scratch), parents)
    _hcs.activate(two.fake.api, str(scratch))
    _hcs.prepare(two.fake.api, str(scratch), parents)
    volume = scratch / "Volume"
    (volume / "Windows" / "a").write_bytes(b"of the scratch")
    (volume / "Windows" / "new").write_bytes(b"new")
    (volume / "kept").unlink()
    _hcs.unprepare(two.fake.api, str(scratch))
    out.mkdir()
    _generations.export_layer(two.fake.api, str(scratch), str(out), parents, writable=True)
    with NativeHost(two.fake.api) as host, closing(TransportReader(out, host=host)) as reader:
        found = {}
        for entry in reader:
            parts = {part.name: reader.open_part(part).read() for part in reader.parts()}
            found[entry.path] = entry.kind, parts
    file, directory = EntryKind.FILE, EntryKind.DIRECTORY
    assert found == {
        "Files": (directory, {}),
        "Files/kept": (EntryKind.WHITEOUT, {}),
        "Files/Windows": (directory, {}),
        "Files/Windows/a": (file, {"": b"of the scratch", "ads": b"another"}),
        "Files/Windows/new": (file, {"": b"new"}),
    }


# What a writer holds


@pytest.mark.parametrize("parents", [(), ("base",)])
def test_writer_holds_until_it_ends(layers: Layers, parents: tuple[str, ...]) -> None:
    layers.write(BASE, "base")
    with layers.open("layer", *parents) as writer:
        assert layers.fake.privileges() == 3
        assert layers.work() == ["work"] * len(parents)
        folder("Files").write(writer)
        writer.commit()
        assert layers.nothing_is_held()
        assert layers.work() == []
        with pytest.raises(IllegalState):
            folder("Files/x").write(writer)
        with pytest.raises(IllegalState):
            writer.commit()
    assert os.listdir(layers.root / "layer")


@pytest.mark.parametrize("parents", [(), ("base",)])
def test_abort_leaves_the_layer_and_nothing_else(layers: Layers, parents: tuple[str, ...]) -> None:
    layers.write(BASE, "base")
    layers.fake.reset()
    writer = layers.open("layer", *parents)
    folder("Files").write(writer)
    writer.abort()
    writer.abort()
    assert layers.nothing_is_held()
    assert layers.work() == []
    assert (layers.root / "layer").is_dir()
    assert not {"ImportLayer", "ProcessBaseImage"} & set(layers.fake.calls())
    with pytest.raises(IllegalState):
        writer.commit()


@pytest.mark.parametrize("parents", [(), ("base",)])
def test_nothing_is_made_of_a_layer_that_failed(layers: Layers, parents: tuple[str, ...]) -> None:
    layers.write(BASE, "base")
    layers.fake.reset()
    with layers.open("layer", *parents) as writer:
        folder("Files").write(writer)
        with pytest.raises(Malformed):
            folder("Files").write(writer)
        with pytest.raises(IllegalState, match="failed"):
            file("Files/x").write(writer)
        with pytest.raises(IllegalState, match="failed"):
            writer.commit()
    assert not {"ImportLayer", "ProcessBaseImage"} & set(layers.fake.calls())
    assert layers.nothing_is_held()
    assert layers.work() == []


def test_another_thread_is_refused(layers: Layers) -> None:
    refused: list[str] = []

    def use() -> None:
        calls: list[Callable[[], object]] = [
            *(writer.commit, writer.abort, lambda: folder("Files").write(writer)),
            lambda: writer.__exit__(None, None, None),
        ]
        for call in calls:
            try:
                call()
            except InvalidArgument as error:
                refused.append(str(error))

    with layers.open("layer") as writer:
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        folder("Files").write(writer)
        writer.commit()
    assert len(refused) == 4


@pytest.mark.parametrize("parents", [(), ("base",)])
def test_account_must_be_allowed(layers: Layers, parents: tuple[str, ...]) -> None:
    layers.write(BASE, "base")
    layers.fake.set("FAKE_LACKS", SECURITY)
    with pytest.raises(PrivilegeMissing, match=SECURITY):
        layers.open("layer", *parents)
    assert layers.work() == []


def test_too_few_privileges_outside_are_told(layers: Layers) -> None:
    with privileges(layers.fake.api, BACKUP), pytest.raises(InvalidArgument):
        layers.open("layer")


def test_folder_to_work_in_must_be_new(layers: Layers) -> None:
    layers.write(BASE, "base")
    (layers.root / "tmp" / "work").mkdir()
    with pytest.raises(WindowsCallFailed) as caught:
        layers.open("layer", "base")
    assert caught.value.code == 183
    assert layers.work() == ["work"]


def test_folder_to_work_in_that_stays_does_not_hide_what_failed(layers: Layers) -> None:
    layers.write(BASE, "base")
    with pytest.raises(Malformed) as caught, layers.open("layer", "base") as writer:
        folder("Files").write(writer)
        layers.fake.fail("NtSetInformationFile", 0xC0000101, times=1)
        folder("Files").write(writer)
    assert "was not removed" in caught.value.__notes__[0]
    assert layers.work() == ["work"]
    assert layers.nothing_is_held()


class Faulty(Libraries):
    """Calls, one of which fails; those that end something end it all the same."""

    def __init__(self, fake: Fake, at: int = -1) -> None:
        super().__init__({one.library: fake.path for one in TABLE.values()})
        self._at = at
        self.calls: list[str] = []

    def call(self, name: str, *arguments: object) -> int:
        if name in ("FormatMessageW", "RtlNtStatusToDosError"):
            return super().call(name, *arguments)
        self.calls.append(name)
        if len(self.calls) - 1 != self._at:
            return super().call(name, *arguments)
        is_abort = name.startswith("Backup") and arguments[4] is True
        if name in ENDING or is_abort:
            super().call(name, *arguments)
        raise WindowsCallFailed(call=name, raw=1117, code=1117, text="told to")


SHORT = [
    folder("Files"),
    file("Files/x", b"x", ads=b"y"),
    folder("Files/j", reparse=JUNCTION),
    link("Files/l", "Files/x"),
    folder("UtilityVM"),
    folder("UtilityVM/Files"),
    folder("UtilityVM/Files/EFI"),
    folder("UtilityVM/Files/EFI/Microsoft"),
    folder(BOOT),
    file(f"{BOOT}/BCD", b"regf"),
]
SHORT_CHILD = [*SHORT[:4], whiteout("Files/kept"), SHORT[4], SHORT[9]]


@pytest.mark.parametrize(
    ("items", "parents"), [(SHORT, ()), (SHORT_CHILD, ("base",))], ids=["base", "child"]
)
def test_failure_of_any_call_leaves_nothing_behind(
    layers: Layers, items: list[Item], parents: tuple[str, ...]
) -> None:
    layers.write([*SHORT, file("Files/kept")], "base")
    good = Faulty(layers.fake)
    layers.write(items, "good", *parents, api=good)
    last = max(number for number, name in enumerate(good.calls) if name.startswith("Process"))
    assert last > 40
    for at in range(len(good.calls)):
        faulty = Faulty(layers.fake, at)
        with pytest.raises(WindowsCallFailed, match="told to"):
            layers.write(items, f"failed{at}", *parents, api=faulty)
        assert layers.nothing_is_held(), good.calls[at]
        if at <= last:
            assert layers.work() == []
            if good.calls[at] != "ProcessUtilityImage":
                assert "ProcessUtilityImage" not in faulty.calls
        for name in layers.work():
            for path in sorted((layers.root / "tmp" / name).rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            (layers.root / "tmp" / name).rmdir()
