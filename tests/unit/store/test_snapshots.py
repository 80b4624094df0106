"""Snapshots as engines use them."""

from __future__ import annotations

import gzip
import hashlib
import io
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.builders import a_directory, a_file, a_layer, a_whiteout, layer_tar
from tests.support.snapshots import apply, apply_image, blob_of, fill, names_in, write
from tests.support.storeimages import a_tar, an_image, put_image
from winlayers.base.digest import Digest
from winlayers.base.progress import Cancel
from winlayers.errors import (
    Cancelled,
    Corrupt,
    DigestMismatch,
    IllegalState,
    InvalidArgument,
    LayerExists,
    Malformed,
    SnapshotExists,
    SnapshotHasChildren,
    SnapshotNotFound,
    WinlayersError,
)
from winlayers.layer.backuptar import BackupTarReader
from winlayers.oci.model import chain_ids, digest_bytes
from winlayers.store.snapshots import Snapshot, SnapshotKind, Snapshots, SnapshotUsage
from winlayers.store.store import Store

BASE = a_tar("base")
UPPER = a_tar("upper", link_to="base")
IMAGE = an_image([BASE, UPPER])
CHAINS = chain_ids([digest_bytes(BASE), digest_bytes(UPPER)])
LAYERS = [one.hex for one in CHAINS]


@pytest.fixture
def snapshots(store: Store) -> Snapshots:
    return store.snapshots


def bytes_of(file: io.BufferedIOBase | object) -> bytes:
    assert hasattr(file, "read")
    with closing(file):  # type: ignore[type-var]
        content: bytes = file.read()
    return content


def check_nothing_left(store: Store, root: Path) -> None:
    """There are neither layers nor rows nor files of them."""
    assert store.driver.layers() == []
    assert store.disk_usage().layer_count == 0
    assert list((root / "tmp").iterdir()) == []
    assert list((root / "blobs" / "locks").iterdir()) == []


# -- keys ------------------------------------------------------------------------------------------------


def test_prepared_snapshot_is_a_row_and_nothing_else(store: Store, snapshots: Snapshots) -> None:
    made = snapshots.prepare("a", labels={"one": "1", "none": ""})
    assert (made.key, made.number, made.kind, made.parent) == ("a", 1, SnapshotKind.ACTIVE, "")
    assert (made.labels, made.layer_id) == ({"one": "1"}, "")
    assert made.created_ns == made.updated_ns > 0
    assert snapshots.stat("a") == snapshots.find(1) == made
    assert list(snapshots.walk()) == [made]
    assert store.driver.layers() == []


def test_key_is_taken_once_whatever_the_kind(snapshots: Snapshots) -> None:
    snapshots.prepare("a")
    snapshots.prepare("b")
    for make in (snapshots.prepare, snapshots.view):
        with pytest.raises(SnapshotExists, match="'a'"):
            make("a")
    with pytest.raises(SnapshotExists):
        snapshots.commit("a", "b")
    assert snapshots.stat("b").kind is SnapshotKind.ACTIVE


def test_parent_has_to_be_there_and_committed(snapshots: Snapshots) -> None:
    snapshots.prepare("active")
    snapshots.view("view")
    for make in (snapshots.prepare, snapshots.view):
        with pytest.raises(SnapshotNotFound, match="'none'"):
            make("a", "none")
        for parent in ("active", "view"):
            with pytest.raises(IllegalState, match="not committed"):
                make("a", parent)
    assert [one.key for one in snapshots.walk()] == ["active", "view"]


@pytest.mark.parametrize("key", ["", "k" * 8193, "\ud800"])
def test_key_that_cannot_be_kept_is_refused(snapshots: Snapshots, key: str) -> None:
    with pytest.raises(InvalidArgument):
        snapshots.prepare(key)
    snapshots.prepare("good")
    with pytest.raises(InvalidArgument):
        snapshots.commit(key, "good")


@pytest.mark.parametrize("labels", [{"a": "b" * (1 << 20)}, {"a": "\udfff"}])
def test_labels_that_cannot_be_kept_are_refused(
    snapshots: Snapshots, labels: dict[str, str]
) -> None:
    with pytest.raises(InvalidArgument):
        snapshots.prepare("a", labels=labels)
    snapshots.prepare("a")
    with pytest.raises(InvalidArgument):
        snapshots.update("a", labels)


def test_numbers_are_never_given_again(snapshots: Snapshots) -> None:
    assert snapshots.prepare("a").number == 1
    snapshots.remove("a")
    assert snapshots.prepare("a").number == 2
    with pytest.raises(SnapshotNotFound):
        snapshots.find(1)


def test_labels_are_changed_by_fields(snapshots: Snapshots) -> None:
    before = snapshots.prepare("a", labels={"x": "1", "y.z": "2", "w": "3"})
    found = snapshots.update("a", {"y.z": "new", "x": "left"}, ["labels.y.z", "labels.w"])
    assert found.labels == {"x": "1", "y.z": "new"}
    assert found.updated_ns > before.updated_ns
    assert found.created_ns == before.created_ns
    assert snapshots.update("a", {"v": "1"}).labels == {"v": "1"}
    assert snapshots.update("a", {"u": "1"}, ["labels.q", "labels"]).labels == {"u": "1"}
    with pytest.raises(InvalidArgument, match="'parent'"):
        snapshots.update("a", {}, ["parent"])
    with pytest.raises(SnapshotNotFound):
        snapshots.update("b", {})


def test_what_is_not_there_is_told(snapshots: Snapshots) -> None:
    calls: list[Callable[[], object]] = [
        lambda: snapshots.stat("a"),
        lambda: snapshots.find(7),
        lambda: snapshots.remove("a"),
        lambda: snapshots.commit("b", "a"),
        lambda: snapshots.usage("a"),
        lambda: snapshots.scratch_of(7),
        lambda: snapshots.open_view(7),
        lambda: snapshots.open_diff(None, 7),
        lambda: fill(snapshots, 7, BASE),
    ]
    for call in calls:
        with pytest.raises(SnapshotNotFound):
            call()


def test_snapshots_stay_when_a_store_is_opened_again(
    store: Store, snapshots: Snapshots, root: Path
) -> None:
    apply_image(snapshots, [BASE, UPPER])
    active = snapshots.prepare("box", f"x/{CHAINS[1]}", {"a": "b"})
    snapshots.view("look", f"x/{CHAINS[1]}")
    write(snapshots, active.number, "new.txt")
    found = list(snapshots.walk())
    again = Store(root, store.driver)
    again.recover()
    again.prune()
    assert list(again.snapshots.walk()) == found
    assert "new.txt" in names_in(again.snapshots, active.number)


# -- what is pulled --------------------------------------------------------------------------------------


def test_applied_layers_have_the_ids_of_an_image(store: Store, snapshots: Snapshots) -> None:
    base, upper = apply_image(snapshots, [BASE, UPPER])
    assert [base.layer_id, upper.layer_id] == LAYERS
    assert (upper.kind, upper.parent) == (SnapshotKind.COMMITTED, base.key)
    for one, tar in ((base, BASE), (upper, UPPER)):
        assert bytes_of(store.driver.diff(one.layer_id)) == tar
    assert names_in(snapshots, upper.number) == ["base.txt", "upper.lnk", "upper.txt"]


def test_commit_has_new_labels_and_times_and_the_same_number(snapshots: Snapshots) -> None:
    active = snapshots.prepare("a", labels={"old": "1"})
    fill(snapshots, active.number, BASE)
    done = snapshots.commit("b", "a", {"new": "1", "none": ""})
    assert (done.number, done.labels, done.is_filled) == (active.number, {"new": "1"}, False)
    assert done.created_ns == done.updated_ns > active.created_ns
    assert done.layer_id == "snapshot-1"
    with pytest.raises(SnapshotNotFound):
        snapshots.stat("a")
    with pytest.raises(IllegalState, match="not active"):
        snapshots.commit("c", "b")


def test_layer_of_an_image_is_taken_without_being_read(store: Store, snapshots: Snapshots) -> None:
    put_image(store, "app", IMAGE)
    active = snapshots.prepare(f"x/1/extract-1 {CHAINS[0]}")
    blob = blob_of(gzip.compress(BASE))
    source = io.BytesIO(b"")
    assert snapshots.fill(active.number, blob, source).diff_id == str(digest_bytes(BASE))
    snapshots.commit("x", active.key)
    assert snapshots.stat("x").layer_id == LAYERS[0]
    assert store.untag("app").layer_ids == (LAYERS[1],)
    snapshots.remove("x")
    store.prune()
    assert store.driver.layers() == []


def test_image_takes_the_layers_of_snapshots(store: Store, snapshots: Snapshots) -> None:
    _, upper = apply_image(snapshots, [BASE, UPPER])
    put_image(store, "app", IMAGE)
    assert store.disk_usage().layer_count == 2
    assert store.images()[0].layer_ids == tuple(reversed(LAYERS))
    snapshots.remove(upper.key)
    snapshots.remove(upper.parent)
    store.prune()
    assert store.driver.layers() == sorted(LAYERS)
    with store.open_source("app") as source:
        for one in IMAGE.manifest.layers:
            assert bytes_of(source.open_blob(one)) == IMAGE.blobs[one.digest]
    compressed = store.disk_usage().compressed_size
    assert compressed == sum(one.size for one in IMAGE.manifest.layers)
    store.untag("app")
    assert store.driver.layers() == []


def test_filling_again_gives_the_same_layer(snapshots: Snapshots) -> None:
    active = snapshots.prepare(f"x {CHAINS[0]}")
    fill(snapshots, active.number, BASE)
    fill(snapshots, active.number, BASE)
    other = snapshots.prepare("no chain")
    fill(snapshots, other.number, BASE)
    with pytest.raises(IllegalState, match="filled already"):
        fill(snapshots, other.number, BASE)


def test_chain_that_is_another_is_refused(store: Store, snapshots: Snapshots, root: Path) -> None:
    active = snapshots.prepare(f"x {CHAINS[1]}")
    with pytest.raises(DigestMismatch, match="the chain of snapshot"):
        fill(snapshots, active.number, BASE)
    assert snapshots.find(active.number) == active
    check_nothing_left(store, root)


def test_parent_that_is_not_what_its_key_says(store: Store, snapshots: Snapshots) -> None:
    """A builder that writes layers itself commits others than the chain ID says."""
    lossy = snapshots.prepare(f"x/extract-1 {CHAINS[0]}")
    write(snapshots, lossy.number, "base.txt")
    base = snapshots.commit(f"x/{CHAINS[0]}", lossy.key)
    assert base.layer_id == f"snapshot-{lossy.number}"
    upper = apply(snapshots, f"x/{CHAINS[1]}", base.key, UPPER)
    assert upper.layer_id == f"snapshot-{upper.number}"
    wrong = snapshots.prepare(f"x {CHAINS[0]}", base.key)
    with pytest.raises(DigestMismatch, match="the chain of snapshot"):
        fill(snapshots, wrong.number, UPPER)
    put_image(store, "app", IMAGE)
    assert store.images()[0].layer_ids == tuple(reversed(LAYERS))


def test_parent_without_a_chain_decides_nothing(snapshots: Snapshots) -> None:
    base = snapshots.prepare("a")
    fill(snapshots, base.number, BASE)
    snapshots.commit("b", "a")
    upper = apply(snapshots, f"x/{CHAINS[1]}", "b", UPPER)
    assert upper.layer_id == f"snapshot-{upper.number}"


def test_layer_of_the_users_own_stays(store: Store, snapshots: Snapshots) -> None:
    store.driver.import_layer(LAYERS[0], "", io.BytesIO(BASE))
    base = apply(snapshots, f"x/{CHAINS[0]}", "", BASE)
    assert base.layer_id == LAYERS[0]
    snapshots.remove(base.key)
    store.prune()
    assert store.driver.layers() == [LAYERS[0]]


def test_other_layer_under_the_id_is_told(store: Store, snapshots: Snapshots) -> None:
    store.driver.import_layer("below", "", io.BytesIO(BASE))
    store.driver.import_layer(LAYERS[0], "below", io.BytesIO(a_tar("x")))
    active = snapshots.prepare(f"x {CHAINS[0]}")
    with pytest.raises(LayerExists, match=LAYERS[0]):
        fill(snapshots, active.number, BASE)
    assert store.driver.layers() == sorted([LAYERS[0], "below"])


BAD_BLOBS: dict[str, tuple[Callable[[bytes], tuple[Digest, bytes]], type[WinlayersError]]] = {
    "another digest": (lambda raw: (digest_bytes(b"other"), raw), DigestMismatch),
    "another digest, in SHA-512": (lambda raw: (Digest("sha512", "0" * 128), raw), DigestMismatch),
    "cut": (lambda raw: (digest_bytes(raw), raw[:-30]), Corrupt),
    "longer": (lambda raw: (digest_bytes(raw), raw + b"more"), Corrupt),
    "no tar": (lambda raw: (digest_bytes(b"x" * len(raw)), b"x" * len(raw)), Malformed),
}


@pytest.mark.parametrize("name", BAD_BLOBS)
@pytest.mark.parametrize("suffix", ["", f" {CHAINS[0]}"])
def test_blob_that_is_not_right_leaves_nothing(
    store: Store, snapshots: Snapshots, root: Path, name: str, suffix: str
) -> None:
    spoil, error = BAD_BLOBS[name]
    raw = gzip.compress(BASE, mtime=0)
    digest, content = spoil(raw)
    active = snapshots.prepare(f"a{suffix}")
    blob = blob_of(raw, digest)
    with pytest.raises(error):
        snapshots.fill(active.number, blob, io.BytesIO(content))
    assert snapshots.find(active.number) == active
    check_nothing_left(store, root)
    fill(snapshots, active.number, BASE)


def test_blob_with_a_sha512_is_taken(snapshots: Snapshots) -> None:
    active = snapshots.prepare("a")
    digest = Digest("sha512", hashlib.sha512(BASE).hexdigest())
    summary = snapshots.fill(active.number, blob_of(BASE, digest), io.BytesIO(BASE))
    assert summary.diff_id == str(digest_bytes(BASE))


def test_fill_can_be_stopped(store: Store, snapshots: Snapshots, root: Path) -> None:
    active = snapshots.prepare("a")
    cancel = Cancel()
    cancel.set()
    with pytest.raises(Cancelled):
        snapshots.fill(active.number, blob_of(BASE), io.BytesIO(BASE), cancel=cancel)
    check_nothing_left(store, root)


class Meddling(io.BytesIO):
    """A source during which something else happens."""

    def __init__(self, raw: bytes, happen: Callable[[], object]) -> None:
        super().__init__(raw)
        self._happen = happen

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() == 0:
            self._happen()
        return super().read(size)


def test_snapshot_that_is_removed_while_it_is_filled(
    store: Store, snapshots: Snapshots, root: Path
) -> None:
    active = snapshots.prepare("a")
    source = Meddling(BASE, lambda: snapshots.remove("a"))
    with pytest.raises(SnapshotNotFound):
        snapshots.fill(active.number, blob_of(BASE), source)
    check_nothing_left(store, root)


def test_layers_survive_prunes_and_openings_while_they_come(
    store: Store, snapshots: Snapshots, root: Path
) -> None:
    def meddle() -> None:
        other = Store(root, store.driver)
        other.recover()
        other.prune()

    active = snapshots.prepare(f"a {CHAINS[0]}")
    snapshots.fill(active.number, blob_of(BASE), Meddling(BASE, meddle))
    meddle()
    assert snapshots.commit("b", active.key).layer_id == LAYERS[0]
    assert names_in(snapshots, active.number) == ["base.txt"]


# -- scratches -------------------------------------------------------------------------------------------


def test_committed_scratch_is_a_layer(store: Store, snapshots: Snapshots) -> None:
    _, upper = apply_image(snapshots, [BASE, UPPER])
    active = snapshots.prepare("box", upper.key)
    assert snapshots.usage("box") == SnapshotUsage(0, 0)
    scratch = snapshots.scratch_of(active.number)
    assert scratch == snapshots.scratch_of(active.number) == f"snapshot-{active.number}-scratch"
    write(snapshots, active.number, "new.txt")
    assert snapshots.find(active.number).layer_id == scratch
    assert snapshots.usage("box").inodes == 2
    with snapshots.open_diff(upper.number, active.number) as file:
        tar = file.read()
    done = snapshots.commit("boxed", "box")
    assert done.layer_id == f"snapshot-{active.number}"
    assert bytes_of(store.driver.diff(done.layer_id)) == tar
    assert store.driver.layers() == sorted([*LAYERS, done.layer_id])
    assert names_in(snapshots, done.number) == ["base.txt", "new.txt", "upper.lnk", "upper.txt"]
    assert snapshots.usage("boxed").size == store.driver.usage(done.layer_id).disk_size
    with pytest.raises(IllegalState):
        snapshots.scratch_of(done.number)


def test_layer_of_nothing_has_the_two_folders(snapshots: Snapshots) -> None:
    _, upper = apply_image(snapshots, [BASE, UPPER])
    active = snapshots.prepare("box", upper.key)
    done = snapshots.commit("boxed", "box")
    assert done.number == active.number
    with closing(snapshots.open_diff(upper.number, done.number)) as file:
        assert [entry.path for entry in BackupTarReader(file)] == ["Files", "Hives"]
    assert names_in(snapshots, done.number) == ["base.txt", "upper.lnk", "upper.txt"]


def test_scratch_without_parent_makes_a_base_layer(snapshots: Snapshots) -> None:
    active = snapshots.prepare("box")
    write(snapshots, active.number, "new.txt")
    done = snapshots.commit("boxed", "box")
    with closing(snapshots.open_diff(None, done.number)) as file:
        assert [entry.path for entry in BackupTarReader(file)] == ["Files", "Files/new.txt"]
    apply(snapshots, "above", "boxed", layer_tar(a_layer(a_whiteout("Files/new.txt"))))
    assert names_in(snapshots, done.number + 1) == []


def test_scratch_that_was_written_to_is_not_filled(store: Store, snapshots: Snapshots) -> None:
    for parent in ("", "base"):
        active = snapshots.prepare("box", parent)
        snapshots.scratch_of(active.number)
        write(snapshots, active.number, "lost.txt")
        with pytest.raises(IllegalState, match="was written to"):
            fill(snapshots, active.number, BASE)
        snapshots.fill(active.number, blob_of(BASE), io.BytesIO(BASE), instead=True)
        assert "lost.txt" not in names_in(snapshots, active.number)
        with pytest.raises(IllegalState, match="sealed layer already"):
            snapshots.scratch_of(active.number)
        snapshots.commit(parent or "base", "box") if not parent else snapshots.remove("box")
    assert store.driver.layers() == ["snapshot-1"]


def test_scratch_that_nobody_wrote_to_makes_room(store: Store, snapshots: Snapshots) -> None:
    active = snapshots.prepare("box")
    snapshots.scratch_of(active.number)
    fill(snapshots, active.number, BASE)
    assert store.driver.layers() == ["snapshot-1"]


def test_scratch_that_makes_no_layer_stays(
    store: Store, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    active = snapshots.prepare("box")
    write(snapshots, active.number, "new.txt")
    monkeypatch.setattr(store.driver, "diff", lambda layer_id: io.BytesIO(b"no tar" * 200))
    with pytest.raises(Malformed):
        snapshots.commit("boxed", "box")
    monkeypatch.undo()
    assert snapshots.stat("box").number == active.number
    assert store.driver.layers() == ["snapshot-1-scratch"]
    snapshots.commit("boxed", "box")
    assert names_in(snapshots, active.number) == ["new.txt"]


def test_scratch_that_is_used_goes_later(store: Store, snapshots: Snapshots) -> None:
    active = snapshots.prepare("box")
    with snapshots.open_view(active.number):
        snapshots.remove("box")
        assert store.driver.layers() == ["snapshot-1-scratch"]
        store.recover()
        snapshots.clean_up()
        assert store.driver.layers() == ["snapshot-1-scratch"]
    snapshots.clean_up()
    assert store.driver.layers() == []


def test_scratch_that_another_process_left_goes_at_the_next_opening(
    store: Store, snapshots: Snapshots, root: Path
) -> None:
    active = snapshots.prepare("box")
    with snapshots.open_view(active.number):
        snapshots.remove("box")
    again = Store(root, store.driver)
    again.recover()
    assert store.driver.layers() == []


def test_place_where_it_is_shown_is_asked(snapshots: Snapshots) -> None:
    """A folder stands for the mount: it is asked to let go by being removed."""
    active = snapshots.prepare("box")
    snapshots.scratch_of(active.number)
    place = snapshots.shown_at / str(active.number)
    place.mkdir(parents=True)
    snapshots.usage("box")
    assert place.is_dir()
    snapshots.remove("box")
    assert not place.exists()


def test_who_waits_for_a_scratch_while_it_is_filled_gets_none(
    store: Store, snapshots: Snapshots
) -> None:
    active = snapshots.prepare("box")
    found: list[object] = []

    def look() -> None:
        with snapshots.open_view(active.number) as view:
            found.append(view.lookup("Files/base.txt"))

    def ask() -> None:
        try:
            snapshots.scratch_of(active.number)
        except IllegalState as error:
            found.append(error)

    threads = [threading.Thread(target=one) for one in (look, ask)]

    def begin() -> None:
        if not threads[0].ident:
            for one in threads:
                one.start()
            threads[0].join(0.05)
            assert all(one.is_alive() for one in threads)

    snapshots.fill(active.number, blob_of(BASE), Meddling(BASE, begin))
    for one in threads:
        one.join(20)
    assert len(found) == 2
    assert None not in found
    assert snapshots.commit("boxed", "box").layer_id == "snapshot-1"
    assert store.driver.layers() == ["snapshot-1"]


def test_who_waits_for_a_scratch_while_it_is_committed_gets_none(
    store: Store, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    active = snapshots.prepare("box")
    found: list[object] = []
    waiting = threading.Thread(
        target=lambda: found.extend(in_threads(1, lambda _: snapshots.scratch_of(1)))
    )
    seal = snapshots._seal

    def seal_slowly(*args: object) -> None:
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
        # Whoever waits has seen an active one without a scratch; here is none yet.
        seal(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshots, "_seal", seal_slowly)
    done = snapshots.commit("boxed", "box")
    waiting.join(20)
    assert [type(error) for error in found] == [IllegalState]
    assert snapshots.find(active.number) == done
    assert store.driver.layers() == ["snapshot-1"]


# -- looking ---------------------------------------------------------------------------------------------


def test_view_shows_its_parent_and_takes_nothing(store: Store, snapshots: Snapshots) -> None:
    _, upper = apply_image(snapshots, [BASE, UPPER])
    view = snapshots.view("look", upper.key)
    assert (view.kind, view.layer_id) == (SnapshotKind.VIEW, LAYERS[1])
    assert snapshots.usage("look") == SnapshotUsage(0, 0)
    assert names_in(snapshots, view.number) == ["base.txt", "upper.lnk", "upper.txt"]
    for call in (
        lambda: snapshots.scratch_of(view.number),
        lambda: snapshots.commit("x", "look"),
        lambda: fill(snapshots, view.number, BASE),
    ):
        with pytest.raises(IllegalState, match="not active"):
            call()
    snapshots.remove("look")
    assert store.driver.layers() == sorted(LAYERS)


def test_view_of_nothing_is_an_empty_folder(store: Store, snapshots: Snapshots) -> None:
    view = snapshots.view("look")
    assert names_in(snapshots, view.number) == []
    snapshots.remove("look")
    assert store.driver.layers() == []


def test_looking_makes_no_scratch(store: Store, snapshots: Snapshots) -> None:
    _, upper = apply_image(snapshots, [BASE, UPPER])
    active = snapshots.prepare("box", upper.key)
    assert names_in(snapshots, active.number) == ["base.txt", "upper.lnk", "upper.txt"]
    with closing(snapshots.open_diff(upper.number, active.number)) as file:
        assert [entry.path for entry in BackupTarReader(file)] == ["Files", "Hives"]
    assert store.driver.layers() == sorted(LAYERS)


def test_difference_to_the_parent_is_the_layer(snapshots: Snapshots) -> None:
    base, upper = apply_image(snapshots, [BASE, UPPER])
    empty = snapshots.view("empty")
    for lower in (None, empty.number):
        assert bytes_of(snapshots.open_diff(lower, base.number)) == BASE
    assert bytes_of(snapshots.open_diff(base.number, upper.number)) == UPPER
    view = snapshots.view("view", base.key)
    assert bytes_of(snapshots.open_diff(view.number, upper.number)) == UPPER
    above = snapshots.view("above", upper.key)
    assert bytes_of(snapshots.open_diff(view.number, above.number)) == UPPER
    assert bytes_of(snapshots.open_diff(base.number, above.number)) == UPPER
    assert bytes_of(snapshots.open_diff(empty.number, view.number)) == BASE


def test_difference_of_others_is_made(snapshots: Snapshots) -> None:
    base, upper = apply_image(snapshots, [BASE, UPPER])
    with closing(snapshots.open_diff(None, upper.number)) as file:
        paths = [entry.path for entry in BackupTarReader(file, base=True)]
    assert paths == ["Files", "Files/base.txt", "Files/upper.lnk", "Files/upper.txt"]
    with closing(snapshots.open_diff(upper.number, base.number)) as file:
        entries = [(entry.path, entry.kind.name) for entry in BackupTarReader(file)]
    assert ("Files/upper.txt", "WHITEOUT") in entries
    active = snapshots.prepare("box", upper.key)
    write(snapshots, active.number, "new.txt")
    with closing(snapshots.open_diff(base.number, active.number)) as file:
        paths = [entry.path for entry in BackupTarReader(file)]
    assert {"Files/new.txt", "Files/upper.txt"} < set(paths)


# -- removal ---------------------------------------------------------------------------------------------


def test_parent_stays_as_long_as_it_has_children(store: Store, snapshots: Snapshots) -> None:
    base, upper = apply_image(snapshots, [BASE, UPPER])
    snapshots.view("look", upper.key)
    with pytest.raises(SnapshotHasChildren, match=r"'look'"):
        snapshots.remove(upper.key)
    with pytest.raises(SnapshotHasChildren):
        snapshots.remove(base.key)
    for key, layers in (("look", LAYERS), (upper.key, LAYERS[:1]), (base.key, [])):
        snapshots.remove(key)
        assert store.driver.layers() == sorted(layers)
    assert list(snapshots.walk()) == []


def test_layer_of_two_snapshots_goes_with_the_last(store: Store, snapshots: Snapshots) -> None:
    """Two namespaces of an engine, which know nothing of each other."""
    one = apply(snapshots, f"one/{CHAINS[0]}", "", BASE)
    two = apply(snapshots, f"two/{CHAINS[0]}", "", BASE)
    assert one.layer_id == two.layer_id
    snapshots.remove(one.key)
    assert names_in(snapshots, two.number) == ["base.txt"]
    snapshots.remove(two.key)
    assert store.driver.layers() == []


def test_layer_that_a_layer_of_the_user_stands_on_stays(store: Store, snapshots: Snapshots) -> None:
    base = apply(snapshots, f"one/{CHAINS[0]}", "", BASE)
    store.driver.create_read_write("mine", LAYERS[0])
    snapshots.remove(base.key)
    assert store.driver.layers() == sorted([LAYERS[0], "mine"])
    store.driver.remove("mine")
    snapshots.clean_up()
    assert store.driver.layers() == []


def test_usage_of_the_disk_counts_layers_of_snapshots(store: Store, snapshots: Snapshots) -> None:
    base, upper = apply_image(snapshots, [BASE, UPPER])
    usage = store.disk_usage()
    sizes = [store.driver.usage(one).disk_size for one in (base.layer_id, upper.layer_id)]
    assert (usage.layer_count, usage.layer_size, usage.reclaimable_size) == (2, sum(sizes), 0)


# -- many at once ----------------------------------------------------------------------------------------


def in_threads(count: int, do: Callable[[int], object]) -> list[BaseException]:
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            do(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return errors


def test_one_of_many_gets_a_key(snapshots: Snapshots) -> None:
    errors = in_threads(16, lambda number: snapshots.prepare("same"))
    assert len(errors) == 15
    assert {type(error) for error in errors} == {SnapshotExists}


def test_many_apply_the_same_layers_at_once(store: Store, snapshots: Snapshots) -> None:
    def pull(number: int) -> None:
        base = apply(snapshots, f"{number}/{CHAINS[0]}", "", BASE)
        apply(snapshots, f"{number}/{CHAINS[1]}", base.key, UPPER)

    assert in_threads(8, pull) == []
    assert store.driver.layers() == sorted(LAYERS)
    assert len(list(snapshots.walk())) == 16

    def remove(number: int) -> None:
        snapshots.remove(f"{number}/{CHAINS[1]}")
        snapshots.remove(f"{number}/{CHAINS[0]}")

    assert in_threads(8, remove) == []
    snapshots.clean_up()
    assert store.driver.layers() == []


def test_many_ask_for_one_scratch(store: Store, snapshots: Snapshots) -> None:
    number = snapshots.prepare("box").number
    assert in_threads(8, lambda _: snapshots.scratch_of(number)) == []
    assert store.driver.layers() == ["snapshot-1-scratch"]


def test_lower_folders_are_merged(snapshots: Snapshots) -> None:
    tar = layer_tar(a_layer(a_directory("Files/d"), a_file("Files/d/a.txt", b"a")))
    apply(snapshots, "one", "", tar)
    tar = layer_tar(a_layer(a_directory("Files/d"), a_file("Files/d/b.txt", b"b")))
    upper = apply(snapshots, "two", "one", tar)
    with snapshots.open_view(upper.number) as view:
        folder = view.lookup("Files/D")
        assert folder is not None
        assert [node.name for node in view.list(folder)] == ["a.txt", "b.txt"]


def test_snapshot_is_hashable(snapshots: Snapshots) -> None:
    made: Snapshot = snapshots.prepare("a", labels={"x": "1"})
    assert len({made, snapshots.stat("a")}) == 1
