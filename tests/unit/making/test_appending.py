"""Plain files become a layer as Windows would have made it."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest

from tests.support.builders import (
    DESCRIPTOR,
    NEW_YEAR_FILETIME,
    Layer,
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_view,
    content_at,
    node_at,
    tar_of,
)
from winlayers.backends.memory import HeldEntry, HeldPart, MemoryReader
from winlayers.errors import (
    InvalidArgument,
    InvalidName,
    IsADirectory,
    NotADirectory,
    PathNotFound,
    WinlayersError,
)
from winlayers.formats.filetime import ns_to_filetime
from winlayers.formats.sddl import format_sddl
from winlayers.formats.security import parse_descriptor
from winlayers.layer.entry import Entry, EntryKind
from winlayers.layer.laws import Laws
from winlayers.making.appending import AppendedFiles, Times
from winlayers.making.plainfiles import PlainFile, PlainKind

NOW_NS = 10**18
THEN_NS = 10**18 - 10**9
BASE = a_layer(
    a_directory("Files/Windows", {"s": b"stream"}, attributes=0x16),
    a_file("Files/Windows/win.ini", b"old", {"s": b"gone"}, attributes=0x21),
    a_file("Files/plain", b"x"),
    a_junction("Files/Documents and Settings", "C:\\Users"),
)


def file(path: str, content: bytes = b"", write_ns: int | None = THEN_NS) -> PlainFile:
    return PlainFile(
        tuple(path.split("/")),
        PlainKind.FILE,
        write_ns,
        len(content),
        open=lambda: io.BytesIO(content),
    )


def directory(path: str) -> PlainFile:
    return PlainFile(tuple(path.split("/")), PlainKind.DIRECTORY, THEN_NS)


def symlink(path: str, target: str) -> PlainFile:
    return PlainFile(tuple(path.split("/")), PlainKind.SYMLINK, THEN_NS, target=target)


def hard_link(path: str, shares: str) -> PlainFile:
    parts = tuple(path.split("/"))
    return PlainFile(parts, PlainKind.HARD_LINK, THEN_NS, shares=tuple(shares.split("/")))


def appended(
    *files: PlainFile,
    deleted: Sequence[str] = (),
    place: str = "",
    latest_ns: int | None = None,
    base: Layer = BASE,
) -> Layer:
    """The layer, which keeps the laws."""
    below = a_view(base) if base else a_view()
    reader = AppendedFiles(files, below, Times(NOW_NS, latest_ns), place=place, deleted=deleted)
    laws = Laws(is_base=not base, find_below=below.lookup)
    layer = []
    for entry in reader:
        laws.admit(entry)
        parts = []
        for part in reader.parts():
            laws.admit_part(entry, part)
            parts.append(HeldPart(part.name, part.size, content=reader.open_part(part).read()))
        layer.append(HeldEntry(entry, tuple(parts)))
    laws.finish()
    reader.close()
    return layer


def entry_at(layer: Layer, path: str) -> Entry:
    (found,) = [held.entry for held in layer if held.entry.path == path]
    return found


def test_new_file_comes_with_the_directories_on_its_way() -> None:
    layer = appended(file("WINDOWS/new/a.txt", b"text"))
    assert [held.entry.path for held in layer] == [
        "Files",
        "Files/Windows",
        "Files/Windows/new",
        "Files/Windows/new/a.txt",
        "Hives",
    ]
    view = a_view(layer, BASE)
    assert content_at(view, "Files/windows/new/a.txt") == b"text"
    assert content_at(view, "Files/Windows/win.ini") == b"old"


def test_directory_that_is_there_stays_as_it_is() -> None:
    layer = appended(directory("windows"), file("windows/a"))
    base = a_view(BASE)
    assert entry_at(layer, "Files/Windows") == base.entry(node_at(base, "Files/Windows"))
    (held,) = [held for held in layer if held.entry.path == "Files/Windows"]
    assert [(part.name, part.content) for part in held.parts] == [("s", b"stream")]


def test_new_entries_inherit_their_descriptor_and_have_the_time_of_the_source() -> None:
    above = a_directory("Files", security=b"")
    layer = appended(file("d/a"), file("b", write_ns=None), base=[above])
    entry = entry_at(layer, "Files/d/a")
    assert entry.write_filetime == entry.creation_filetime == ns_to_filetime(THEN_NS)
    assert entry.attributes == 0x20
    assert format_sddl(parse_descriptor(entry.security)).startswith("O:BAG:SY")
    assert entry_at(layer, "Files/b").write_filetime == ns_to_filetime(NOW_NS)
    assert entry_at(layer, "Files/d").write_filetime == ns_to_filetime(NOW_NS)
    assert entry_at(layer, "Files/d").attributes == 0x10


def test_times_end_at_the_latest_one() -> None:
    layer = appended(file("a"), file("b", write_ns=5), latest_ns=10)
    assert entry_at(layer, "Files/a").write_filetime == ns_to_filetime(10)
    assert entry_at(layer, "Files/b").write_filetime == ns_to_filetime(5)


def test_time_that_windows_does_not_have_is_now() -> None:
    layer = appended(file("a", write_ns=-(10**30)))
    assert entry_at(layer, "Files/a").write_filetime == ns_to_filetime(NOW_NS)


def test_file_that_is_there_keeps_descriptor_attributes_and_creation() -> None:
    layer = appended(file("windows/WIN.ini", b"new"))
    entry = entry_at(layer, "Files/Windows/WIN.ini")
    assert (entry.security, entry.attributes) == (DESCRIPTOR, 0x21)
    assert entry.creation_filetime == NEW_YEAR_FILETIME
    assert entry.write_filetime == ns_to_filetime(THEN_NS)
    view = a_view(layer, BASE)
    assert content_at(view, "Files/Windows/win.ini") == b"new"
    assert [part.name for part in view.parts(node_at(view, "Files/Windows/win.ini"))] == [""]


def test_deleted_names_are_whiteouts_before_the_files() -> None:
    layer = appended(file("a"), deleted=["C:\\windows\\WIN.INI", "plain"])
    kinds = [(held.entry.path, held.entry.kind) for held in layer]
    assert kinds[:4] == [
        ("Files", EntryKind.DIRECTORY),
        ("Files/Windows", EntryKind.DIRECTORY),
        ("Files/Windows/win.ini", EntryKind.WHITEOUT),
        ("Files/plain", EntryKind.WHITEOUT),
    ]
    view = a_view(layer, BASE)
    assert view.lookup("Files/plain") is None


def test_place_is_made_below_files() -> None:
    layer = appended(file("a", b"x"), hard_link("b", "a"), place="C:\\app\\bin")
    assert content_at(a_view(layer, BASE), "Files/app/bin/b") == b"x"
    assert entry_at(layer, "Files/app/bin/b").target == "Files/app/bin/a"


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("../Windows", EntryKind.DIRECTORY),
        ("C:\\Windows", EntryKind.DIRECTORY),
        ("/windows/", EntryKind.DIRECTORY),
        (".", EntryKind.DIRECTORY),
        ("../plain", EntryKind.FILE),
        ("nowhere", EntryKind.FILE),
    ],
)
def test_symbolic_link_is_of_the_type_of_what_it_leads_to(target: str, kind: EntryKind) -> None:
    layer = appended(symlink("d/l", target))
    entry = entry_at(layer, "Files/d/l")
    assert (entry.kind, bool(entry.reparse)) == (kind, True)


def test_layer_without_parents_has_no_hives() -> None:
    layer = appended(file("a", b"x"), base=[])
    assert [held.entry.path for held in layer] == ["Files", "Files/a"]


def test_same_files_make_the_same_tar() -> None:
    tars = [tar_of(MemoryReader(appended(file("b/a", b"x"), directory("c")))) for _ in range(2)]
    assert tars[0] == tars[1]


def test_directory_may_come_again_and_replace_a_file() -> None:
    layer = appended(file("d/a"), directory("D"), directory("plain"), file("plain/x"))
    assert node_at(a_view(layer, BASE), "Files/plain").is_directory


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ([file("a"), file("A")], InvalidArgument),
        ([file("d/a"), file("d")], InvalidArgument),
        ([file("windows")], IsADirectory),
        ([file("plain/x")], NotADirectory),
        ([file("Documents and Settings/x")], NotADirectory),
        ([directory("Documents and Settings")], NotADirectory),
        ([file("a"), file("a/b")], NotADirectory),
        ([file("CON")], InvalidName),
        ([file("a:b")], InvalidName),
        ([file(".wh.a")], InvalidName),
        ([file("x./a")], InvalidName),
        ([hard_link("b", "a")], PathNotFound),
        ([hard_link("b", "b")], PathNotFound),
    ],
)
def test_what_cannot_be_put_there_is_refused(
    files: list[PlainFile], error: type[WinlayersError]
) -> None:
    with pytest.raises(error):
        appended(*files)


@pytest.mark.parametrize(
    ("deleted", "error"),
    [
        (["nothing"], PathNotFound),
        ([""], PathNotFound),
        (["plain", "PLAIN"], InvalidArgument),
        (["windows", "windows\\win.ini"], InvalidArgument),
        (["windows\\win.ini", "windows"], InvalidArgument),
    ],
)
def test_what_cannot_be_deleted_is_refused(deleted: list[str], error: type[WinlayersError]) -> None:
    with pytest.raises(error):
        appended(deleted=deleted)


def test_name_that_is_deleted_and_comes_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="is to be deleted"):
        appended(file("plain"), deleted=["plain"])
    with pytest.raises(InvalidArgument, match="is to be deleted"):
        appended(file("windows/a/b"), deleted=["Windows"])
