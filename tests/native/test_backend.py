"""The native backend: what is its own, beside what tests/conformance shows of every backend."""

from __future__ import annotations

import errno
import io
import os
import shutil
from pathlib import Path

import pytest

from tests.native.conftest import Fake
from tests.support.builders import (
    a_directory,
    a_file,
    a_layer,
    a_link,
    a_whiteout,
    an_import,
    content_at,
    layer_tar,
    paths_of,
)
from tests.support.dockerroot import record_layer
from winlayers.backends.choice import choose_backend
from winlayers.backends.native import _hcs, _scratches, _tarimport
from winlayers.backends.native import backend as native
from winlayers.backends.native._ledger import remove_ledger
from winlayers.backends.native.backend import NativeBackend
from winlayers.backends.native.presence import has_layer_calls
from winlayers.driver.driver import Driver
from winlayers.driver.importing import InlineImporter
from winlayers.errors import (
    DigestMismatch,
    IllegalState,
    InvalidArgument,
    LayerExists,
    LayerMounted,
    Malformed,
    NoSpace,
    StoreCorrupt,
    Unsupported,
    WindowsCallFailed,
    WrongPlatform,
)
from winlayers.layer.chain import Chain
from winlayers.layer.dockerlayerdb import LayerDatabase

BASE = a_layer(
    a_file("Files/a.txt", b"a of the base", {"s": b"stream"}),
    a_file("Files/d/x", b"x"),
    a_link("Files/l", "Files/a.txt"),
)
CHILD = a_layer(
    a_file("Files/A.TXT", b"a of the child", {"t": b"t"}),
    a_whiteout("Files/d/x"),
    a_file("Files/d/new", b"n"),
    a_file("Hives/System_Delta", b"regf"),
)


@pytest.fixture
def backend(tmp_path: Path, fake: Fake) -> NativeBackend:
    fake.set("FAKE_BARE", "1")
    (tmp_path / "streams").mkdir()
    fake.set("FAKE_BACKUP_DIR", str(tmp_path / "streams"))
    return NativeBackend(tmp_path / "docker", api=fake.api)


@pytest.fixture
def driver(backend: NativeBackend, tmp_path: Path) -> Driver:
    driver = Driver(tmp_path / "docker", backend, InlineImporter(backend))
    driver.apply_diff("base", "", io.BytesIO(layer_tar(BASE)))
    driver.apply_diff("child", "base", io.BytesIO(layer_tar(CHILD)))
    return driver


def as_docker_left_it(driver: Driver, root: Path, *, is_recorded: bool) -> None:
    """Take away all that is ours; what Docker recorded of the tars is there or not."""
    for path in sorted((root / "winlayers").rglob("*"), reverse=True):
        if path.is_file():
            path.unlink()
    for folder in (root / "winlayers" / "layers").iterdir():
        folder.rmdir()
    if is_recorded:
        parent = record_layer(root, "base", layer_tar(BASE))
        record_layer(root, "child", layer_tar(CHILD), parent)


# Data roots of Docker


def test_root_of_docker_gives_the_digests_that_docker_recorded(
    driver: Driver, tmp_path: Path
) -> None:
    root = tmp_path / "docker"
    as_docker_left_it(driver, root, is_recorded=True)
    assert driver.layers() == ["base", "child"]
    assert list(driver.chain("child")) == ["base"]
    recorded = driver.usage("child").summary.diff_id
    with driver.diff("child") as tar:
        data = tar.read()
    assert data == layer_tar(CHILD)
    summary = driver.usage("child").summary
    assert summary.diff_id == recorded
    assert (summary.entry_count, summary.tar_size) == (len(CHILD), len(data))
    with driver.view("child") as view:
        assert content_at(view, "Files/A.TXT", "t") == b"t"
        assert content_at(view, "Files/l") == b"a of the base"


def test_records_of_docker_are_listed_once_and_anew_where_docker_has_more(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "docker"
    as_docker_left_it(driver, root, is_recorded=False)
    parent = record_layer(root, "base", layer_tar(BASE))
    read: list[Path] = []

    def read_database(root: Path) -> LayerDatabase:
        read.append(root)
        return LayerDatabase(root)

    monkeypatch.setattr(native, "LayerDatabase", read_database)
    assert [bool(driver.usage(one).summary.diff_id) for one in driver.layers()] == [True, False]
    assert len(read) == 1
    os.utime(root / native.LAYERDB, ns=(0, 0))  # whatever the clock of the file system ticks in
    record_layer(root, "child", layer_tar(CHILD), parent)
    assert [bool(driver.usage(one).summary.diff_id) for one in driver.layers()] == [True, True]
    assert len(read) <= 3


def test_root_of_docker_without_a_record_is_exported_by_windows(
    driver: Driver, tmp_path: Path, fake: Fake
) -> None:
    as_docker_left_it(driver, tmp_path / "docker", is_recorded=False)
    fake.reset()
    with driver.view("child") as view:
        assert content_at(view, "Files/A.TXT") == b"a of the child"
        assert content_at(view, "Files/A.TXT", "t") == b"t"
        assert "Files/d/x" not in paths_of(view)
        assert content_at(view, "Files/l") == b"a of the base"
    assert fake.calls().count("ExportLayer") == 1  # of the child; the base is read where it lies
    with driver.diff("child") as tar, driver.diff("child") as again:
        assert tar.read() == again.read()
    assert fake.calls().count("ExportLayer") == 1


def test_file_that_changed_since_is_told(driver: Driver, tmp_path: Path) -> None:
    path = tmp_path / "docker/windowsfilter/base/Files/a.txt"
    content = path.read_bytes()
    path.write_bytes(content[::-1])
    with driver.diff("base") as tar, pytest.raises(DigestMismatch, match=r"Files/a\.txt"):
        tar.read()
    path.write_bytes(content + b"more")
    with driver.view("base") as view, pytest.raises(StoreCorrupt, match="has 17 bytes, and had 13"):
        content_at(view, "Files/a.txt")


def test_folder_of_a_layer_is_as_docker_has_it(driver: Driver, tmp_path: Path) -> None:
    home = tmp_path / "docker/windowsfilter"
    assert sorted(path.name for path in (home / "base").iterdir()) == [
        "Files",
        "Hives",
        "blank-base.vhdx",
        "blank.vhdx",
        "layerchain.json",
        "layout",
    ]
    assert sorted(path.name for path in (home / "child").iterdir()) == [
        "Files",
        "Hives",
        "layerchain.json",
    ]


# Making layers


def test_failed_call_leaves_nothing(backend: NativeBackend, fake: Fake, tmp_path: Path) -> None:
    backend.import_tar(an_import("base", layer_tar(BASE)))
    for call in ("CreateLayer", "ImportLayer", "BackupWrite", "NtCreateFile", "NameToGuid"):
        fake.fail(call, 0x80070005 if call != "NtCreateFile" else 0xC0000022)
        with pytest.raises(WindowsCallFailed):
            backend.import_tar(an_import("child", layer_tar(CHILD), "base"))
        assert not backend.exists("child")
        assert not (tmp_path / "docker/windowsfilter/child").exists()
        fake.reset()
    backend.import_tar(an_import("child", layer_tar(CHILD), "base"))


def test_half_a_layer_that_cannot_be_removed_is_not_there_and_goes_later(
    backend: NativeBackend, fake: Fake, tmp_path: Path
) -> None:
    backend.create("child", Chain(), {"layerID": b"x"})
    fake.fail("ProcessBaseImage", 0x8007000D)
    fake.fail("DestroyLayer", 0x80070005)
    with pytest.raises(WindowsCallFailed, match="ProcessBaseImage") as caught:
        backend.import_tar(an_import("child", layer_tar(BASE)))
    assert any("could not be removed yet" in note for note in caught.value.__notes__)
    assert backend.usage("child").kind == "created"  # as it had been
    again = NativeBackend(tmp_path / "docker", api=fake.api)
    fake.fail("DestroyLayer", 0x80070005)
    assert again.recover() == []  # not yet, and in nobody's way
    assert again.usage("child").kind == "created"
    assert again.recover() == ["child"]
    folder = tmp_path / "docker/windowsfilter/child"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"layerID": b"x"}
    again.import_tar(an_import("child", layer_tar(BASE)))


def test_two_processes_do_not_make_one_layer(backend: NativeBackend) -> None:
    with (
        backend._journal.claiming("new"),
        pytest.raises(LayerExists, match="made by another process"),
    ):
        backend.create("new", Chain(), {})


def test_ledger_without_a_layer_is_removed(backend: NativeBackend, tmp_path: Path) -> None:
    backend.import_tar(an_import("base", layer_tar(BASE)))
    (tmp_path / "docker/windowsfilter/base").rename(tmp_path / "elsewhere")
    assert backend.recover() == ["record of base"]
    assert list((tmp_path / "docker/winlayers/layers").iterdir()) == []


def test_layer_that_cannot_be_renamed_keeps_its_ledger(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_scratches, "take_away", refused)
    with pytest.raises(PermissionError):
        driver.remove("child")
    with driver.diff("child") as tar:
        assert tar.read() == layer_tar(CHILD)


def refused(*_arguments: object) -> None:
    raise PermissionError(13, "somebody holds it")


def test_layer_is_found_by_its_own_name_alone(driver: Driver, tmp_path: Path) -> None:
    home = tmp_path / "docker/windowsfilter"
    if not (home / "BASE").exists():
        (home / "BASE").symlink_to(home / "base")  # what Windows does by itself
    assert not driver.exists("BASE")
    driver.remove("BASE")  # would otherwise have no children
    assert driver.exists("base")
    with pytest.raises(LayerExists, match="to Windows, BASE is the same"):
        driver.create("BASE")
    with pytest.raises(LayerExists, match="to Windows, BASE is the same"):
        driver.apply_diff("BASE", "", io.BytesIO(layer_tar(BASE)))


# Scratches


def test_scratch_needs_a_parent(backend: NativeBackend) -> None:
    with pytest.raises(InvalidArgument, match="no parent"):
        backend.create_scratch("c", Chain(), 0, {})
    assert not backend.exists("c")


def test_mounted_scratch_is_exported_and_mounted_again(driver: Driver, fake: Fake) -> None:
    driver.create_read_write("c", "child")
    path = driver.get("c")
    (path / "new.txt").write_bytes(b"new")
    fake.reset()
    assert "Files/new.txt" in [change.path for change in driver.changes("c")]
    calls = [call for call in fake.calls() if call.endswith("Layer")]
    assert calls == ["UnprepareLayer", "ExportLayer", "PrepareLayer"]
    assert (path / "new.txt").read_bytes() == b"new"
    driver.put("c")
    driver.remove("c")


def test_scratch_that_a_container_runs_from_is_left_alone(driver: Driver, fake: Fake) -> None:
    driver.create_read_write("c", "child")
    path = driver.get("c")
    fake.set("FAKE_HCS_SYSTEMS", '[{"Id":"C"}]')
    fake.reset()
    with pytest.raises(LayerMounted, match="compute system 'C'; end it first"):
        driver.diff("c")
    assert not {"UnprepareLayer", "ExportLayer", "PrepareLayer"} & set(fake.calls())
    fake.set("FAKE_HCS_SYSTEMS", "[]")
    driver.put("c")
    fake.set("FAKE_HCS_SYSTEMS", '[{"Id":"C"}]')
    with pytest.raises(LayerMounted, match="compute system 'C'; end it first"):
        driver.mount("c")
    assert path.exists()


def test_mounts_that_a_restart_of_windows_ended_are_forgotten(driver: Driver, fake: Fake) -> None:
    driver.create_read_write("c", "child")
    path = driver.mount("c", detached=True)
    unmount_behind_our_back(driver, fake, path)
    assert driver.cleanup() == [f"unmounted {path}"]
    assert driver.mounts() == []
    assert driver.mount("c", detached=True) == path
    unmount_behind_our_back(driver, fake, path)
    assert driver.mount("c", detached=True) == path  # again, without a look before
    driver.put("c")
    driver.remove("c")  # as nobody holds it any more


def test_mount_of_a_scratch_that_somebody_removed_is_forgotten(driver: Driver, fake: Fake) -> None:
    driver.create_read_write("c", "child")
    path = driver.mount("c", detached=True)
    unmount_behind_our_back(driver, fake, path)
    _hcs.destroy(fake.api, driver.get_metadata("c")["dir"])
    assert driver.cleanup() == [f"unmounted {path}"]


def unmount_behind_our_back(driver: Driver, fake: Fake, path: Path) -> None:
    """What a restart of Windows does, and another program may: the volume is not there any more."""
    folder = driver.get_metadata("c")["dir"]
    _hcs.unprepare(fake.api, folder)
    _hcs.deactivate(fake.api, folder)
    shutil.rmtree(path)


def test_windows_chooses_where_scratches_are_mounted(driver: Driver, tmp_path: Path) -> None:
    driver.create_read_write("c", "child")
    with pytest.raises(Unsupported, match="a volume that it names itself"):
        driver.mount("c", tmp_path)
    with pytest.raises(Unsupported, match="scratches only"):
        driver.mount("child")


def test_directory_with_streams_and_a_utility_vm(backend: NativeBackend) -> None:
    layer = a_layer(
        a_directory("Files/d", {"on a folder": b"!"}),
        a_file("UtilityVM/Files/EFI/Microsoft/Boot/BCD", b"boot configuration"),
        a_file("UtilityVM/Files/x", b"x"),
    )
    backend.import_tar(an_import("base", layer_tar(layer)))
    with backend.export_tar("base", Chain()) as tar:
        assert tar.read() == layer_tar(layer)
    view = backend.view("base", Chain())
    assert content_at(view, "UtilityVM/Files/EFI/Microsoft/Boot/BCD") == b"boot configuration"
    assert content_at(view, "Files/d", "on a folder") == b"!"
    view.close()


# What is staged


def test_forms_that_windows_exported_are_removed_by_handles_where_plain_calls_fail(
    backend: NativeBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.import_tar(an_import("base", layer_tar(a_layer(a_file("Files/a")))))
    backend.import_tar(an_import("child", layer_tar(a_layer(a_file("Files/b"))), "base"))
    remove_ledger(tmp_path / "docker/winlayers/layers/child")
    monkeypatch.setattr(shutil, "rmtree", refused)
    with backend.export_tar("child", Chain(("base",))) as tar:
        assert tar.read()
    assert list((tmp_path / "docker/winlayers/tmp").iterdir()) == []


def test_failed_ledger_gives_privileges_and_handles_back(
    backend: NativeBackend, tmp_path: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tarimport, "LedgerWriter", full_disk)
    with pytest.raises(NoSpace):
        backend.import_tar(an_import("base", layer_tar(BASE)))
    assert (fake.live(), fake.privileges()) == ((0, 0), -1)


def full_disk(*_arguments: object, **_more: object) -> None:
    raise OSError(errno.ENOSPC, "no room")


BOOT = "UtilityVM/Files/EFI/Microsoft/Boot/BCD"


@pytest.mark.parametrize("has_copy", [True, False])
def test_base_layer_without_a_ledger_has_the_boot_configuration_it_came_with(
    backend: NativeBackend, tmp_path: Path, has_copy: bool
) -> None:
    layer = a_layer(a_file(BOOT, b"boot configuration"), a_file("Files/a"))
    backend.import_tar(an_import("base", layer_tar(layer)))
    folder = tmp_path / "docker/windowsfilter/base"
    changed = (folder / BOOT).read_bytes()
    assert changed != b"boot configuration"
    remove_ledger(tmp_path / "docker/winlayers/layers/base")
    if not has_copy:
        (folder / "bcd.bak").unlink()
    with backend.export_tar("base", Chain()) as first, backend.export_tar("base", Chain()) as tar:
        assert tar.read() == first.read()
    with backend.view("base", Chain()) as view:
        assert content_at(view, BOOT) == (b"boot configuration" if has_copy else changed)


@pytest.mark.parametrize("parents", [(), ("base",)])
def test_file_with_the_boot_configuration_as_another_name_stays_as_it_came(
    backend: NativeBackend, parents: tuple[str, ...]
) -> None:
    backend.import_tar(an_import("base", layer_tar(a_layer(a_file("Files/a")))))
    file, link = a_file("UtilityVM/Files/x", b"x"), a_link(BOOT, "UtilityVM/Files/x")
    tar = layer_tar(a_layer(file, link))
    backend.import_tar(an_import("new", tar, *parents))
    with backend.export_tar("new", Chain(parents)) as exported:
        assert exported.read() == tar


@pytest.mark.parametrize("parents", [(), ("base",)])
def test_folder_with_the_name_of_the_boot_configuration(
    backend: NativeBackend, tmp_path: Path, parents: tuple[str, ...]
) -> None:
    backend.import_tar(an_import("base", layer_tar(a_layer(a_file("Files/a")))))
    tar = layer_tar(a_layer(a_directory(BOOT, {"stream": b"s"})))
    backend.import_tar(an_import("new", tar, *parents))
    assert not (tmp_path / "docker/windowsfilter/new/bcd.bak").exists()
    with backend.export_tar("new", Chain(parents)) as exported:
        assert exported.read() == tar


def test_hard_link_to_a_folder_is_no_layer(backend: NativeBackend) -> None:
    layer = a_layer(a_directory("Files/d"), a_link("Files/l", "Files/d"))
    with pytest.raises(Malformed, match="is a folder") as caught:
        backend.import_tar(an_import("base", layer_tar(layer)))
    assert caught.value.finding == "link-to-directory"


# Where it works


def test_refs_is_refused(tmp_path: Path, fake: Fake) -> None:
    fake.set("FAKE_FS", "ReFS")
    with pytest.raises(Unsupported, match="ReFS"):
        NativeBackend(tmp_path / "docker", api=fake.api)
    assert list(tmp_path.iterdir()) == []


def test_elsewhere_it_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(WrongPlatform, match="needs Windows with the feature Containers"):
        NativeBackend(tmp_path / "docker")
    assert list(tmp_path.iterdir()) == []
    assert not has_layer_calls()


def test_backend_is_that_which_made_the_store(driver: Driver, tmp_path: Path) -> None:
    root = tmp_path / "docker"
    assert choose_backend("auto", root) == choose_backend("native", root) == "native"
    with pytest.raises(IllegalState, match="store attach"):
        choose_backend("portable", root)
    other = tmp_path / "other"
    (other / "windowsfilter/x/sealed").mkdir(parents=True)
    assert choose_backend("auto", other) == choose_backend("portable", other) == "portable"
    with pytest.raises(IllegalState, match="portable backend"):
        choose_backend("native", other)
    assert choose_backend("auto", tmp_path / "nowhere") == "portable"
