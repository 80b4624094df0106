"""The operations of the driver, on every backend that keeps layers on disk; a new one adds its ``Kind``."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.builders import a_file, a_layer, a_link, a_whiteout, layer_tar, raw_tar
from tests.support.nativestore import native_backend
from winlayers.backends.contract import Backend
from winlayers.backends.portable.backend import PortableBackend
from winlayers.base.digest import Digest
from winlayers.driver.driver import Driver
from winlayers.driver.importing import InlineImporter
from winlayers.errors import (
    DigestMismatch,
    IllegalState,
    LayerExists,
    LayerHasChildren,
    LayerMounted,
    LayerNotFound,
    Malformed,
    ParentMissing,
    PathNotFound,
    UnknownOption,
)
from winlayers.formats.tar import TarHeader
from winlayers.layer.entry import Entry, EntryKind
from winlayers.layer.view import walk


def write_by_view(driver: Driver, layer_id: str, name: str, content: bytes) -> None:
    """Make a file in a scratch that takes writes without a mount."""
    with driver.scratch(layer_id) as scratch:
        files = scratch.lookup("Files")
        assert files is not None
        node = scratch.create(files, name, Entry("", EntryKind.FILE, 0x20))
        with closing(scratch.open_content(node, writable=True)) as target:
            target.write_at(0, content)


def write_by_mount(driver: Driver, layer_id: str, name: str, content: bytes) -> None:
    """Make a file in a scratch that the system mounts."""
    path = driver.get(layer_id)
    (path / name).write_bytes(content)
    driver.put(layer_id)


@dataclass(frozen=True)
class Kind:
    """A backend, and how its scratches are written.

    Attributes:
        make: takes the home.
        write: makes a file at the root of the C: of a scratch.
    """

    make: Callable[[Path], Backend]
    write: Callable[[Driver, str, str, bytes], None]


KINDS = {
    "portable": Kind(PortableBackend, write_by_view),
    "native": Kind(native_backend, write_by_mount),
}
BASE = layer_tar(
    a_layer(
        a_file("Files/a.txt", b"a of the base", {"s": b"stream"}),
        a_file("Files/d/x", b"x"),
        a_link("Files/l", "Files/a.txt"),
    )
)
CHILD = layer_tar(
    a_layer(
        a_file("Files/A.TXT", b"a of the child"),
        a_whiteout("Files/d/x"),
        a_file("Files/d/new", b"n"),
        a_link("Files/far", "Files/l"),
        a_file("Hives/System_Delta", b"regf"),
    )
)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def driver(kind: Kind, tmp_path: Path) -> Driver:
    """A store with a base layer, a child, and one that Docker created on it and never filled."""
    backend = kind.make(tmp_path)
    driver = Driver(tmp_path, backend, InlineImporter(backend))
    driver.apply_diff("base", "", io.BytesIO(BASE))
    driver.create("child", "base")
    driver.apply_diff("child", "base", io.BytesIO(CHILD))
    driver.create("init", "child")
    return driver


def test_layers_are_there_with_their_chains(driver: Driver, tmp_path: Path) -> None:
    assert driver.layers() == ["base", "child", "init"]
    assert [list(driver.chain(one)) for one in driver.layers()] == [[], ["base"], ["child", "base"]]
    assert [driver.usage(one).kind for one in driver.layers()] == ["sealed", "sealed", "created"]
    assert driver.children("base") == ["child", "init"]
    assert driver.exists("child")
    assert not driver.exists("gone")
    assert driver.get_metadata("child") == {"dir": str(tmp_path / "windowsfilter" / "child")}
    assert driver.status() == [("Windows", "")]


def test_diff_is_what_was_applied(driver: Driver) -> None:
    for layer_id, tar in (("base", BASE), ("child", CHILD)):
        with driver.diff(layer_id) as file:
            assert file.read() == tar
    assert driver.usage("child").summary.size == 14 + 1 + 4


def test_tar_of_another_writer_comes_out_as_it_went_in(driver: Driver) -> None:
    odd = raw_tar(TarHeader(b"./Files/", b"5"), TarHeader(b"Files//a", b"0")) + b"and more"
    driver.apply_diff("odd", "base", io.BytesIO(odd))
    with driver.diff("odd") as file:
        assert file.read() == odd


def test_changes_are_told(driver: Driver) -> None:
    told = [str(change) for change in driver.changes("child")]
    assert told == [
        "C Files/A.TXT",
        "A Files/d/new",
        "D Files/d/x",
        "A Files/far",
        "A Hives",
        "A Hives/System_Delta",
    ]
    assert driver.diff_size("base") == 13 + 1


def test_files_are_read_by_their_names_in_the_tar(driver: Driver) -> None:
    with driver.diff_getter("base") as files:
        for name, content in (
            ("Files/a.txt", b"a of the base"),
            (b"Files/a.txt:s", b"stream"),
            ("Files/d/x", b"x"),
        ):
            with files.get(name) as file:
                assert file.read() == content
        for name in ("Files/none", "Files/d", "Files/a.txt:none"):
            with pytest.raises(PathNotFound):
                files.get(name)


def test_chain_is_shown_merged(driver: Driver) -> None:
    with driver.view("child") as view:
        assert [node.path for node in walk(view, view.root())] == [
            "Files",
            "Files/A.TXT",
            "Files/d",
            "Files/d/new",
            "Files/far",
            "Files/l",
            "Hives",
            "Hives/System_Delta",
        ]
        node = view.lookup("files/FAR")
        assert node is not None
        with view.open(node) as file:
            assert file.read() == b"a of the base"


def test_sealed_layer_is_held_by_its_folder(driver: Driver, tmp_path: Path) -> None:
    assert driver.get("child") == tmp_path / "windowsfilter" / "child"
    with pytest.raises(LayerMounted):
        driver.remove("child")
    driver.put("child")
    driver.remove("init")
    driver.remove("child")
    assert driver.layers() == ["base"]


def test_scratch_takes_writes_and_becomes_a_layer(kind: Kind, driver: Driver) -> None:
    driver.create_read_write("c", "init", {"size": "30GB"})
    assert driver.usage("c").kind == "scratch"
    assert list(driver.chain("c")) == ["child", "base"]
    kind.write(driver, "c", "new.txt", b"written")
    assert "Files/new.txt" in [change.path for change in driver.changes("c")]
    with driver.view("c") as view:
        node = view.lookup("Files/NEW.txt")
        assert node is not None
        with view.open(node) as file:
            assert file.read() == b"written"
        assert view.lookup("Files/d/new") is not None
        assert view.lookup("Files/d/x") is None
    with driver.diff("c") as tar:
        size = driver.apply_diff("made", "child", tar)
    assert size >= 7
    with driver.diff_getter("made") as files, files.get("Files/new.txt") as file:
        assert file.read() == b"written"
    driver.remove("c")
    driver.remove("made")
    assert driver.layers() == ["base", "child", "init"]


def test_scratch_is_no_parent(driver: Driver) -> None:
    driver.create_read_write("c", "child")
    with pytest.raises(IllegalState, match="scratch"):
        driver.create("on it", "c")
    with pytest.raises(LayerExists):
        driver.create_read_write("c", "child")


def test_refusals(driver: Driver) -> None:
    for make in (driver.create, driver.create_read_write):
        with pytest.raises(ParentMissing):
            make("new", "gone")
    with pytest.raises(UnknownOption):
        driver.create_read_write("new", "base", {"colour": "red"})
    with pytest.raises(LayerExists):
        driver.create("base")
    with pytest.raises(LayerExists):
        driver.apply_diff("child", "base", io.BytesIO(CHILD))
    with pytest.raises(LayerHasChildren):
        driver.remove("base")
    for ask in (driver.diff, driver.get, driver.view, driver.diff_getter, driver.usage):
        with pytest.raises(LayerNotFound):
            ask("gone")
    driver.remove("gone")
    driver.put("gone")
    assert driver.layers() == ["base", "child", "init"]


def test_import_that_fails_leaves_nothing(driver: Driver, tmp_path: Path) -> None:
    before = files_below(tmp_path)
    with pytest.raises(Malformed):
        driver.apply_diff("new", "child", io.BytesIO(CHILD[:1500]))
    with pytest.raises(DigestMismatch):
        driver.import_layer("new", "child", io.BytesIO(CHILD), diff_id=digest_of(BASE))
    assert not driver.exists("new")
    assert driver.layers() == ["base", "child", "init"]
    assert files_below(tmp_path) == before


def files_below(home: Path) -> list[Path]:
    """All files but locks, which may stay."""
    return sorted(path for path in home.rglob("*") if path.is_file() and path.suffix != ".lock")


def digest_of(tar: bytes) -> Digest:
    return Digest("sha256", hashlib.sha256(tar).hexdigest())


def test_what_a_crash_left_is_removed_when_the_store_is_opened(
    kind: Kind, driver: Driver, tmp_path: Path
) -> None:
    home = tmp_path / "windowsfilter"
    (home / "init").rename(home / "init-removing")
    again = Driver(tmp_path, kind.make(tmp_path), InlineImporter(kind.make(tmp_path)))
    assert again.layers() == ["base", "child"]
    assert again.cleanup() == ["removed init-removing"]
    assert sorted(path.name for path in home.iterdir()) == ["base", "child"]
