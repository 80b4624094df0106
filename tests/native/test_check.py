"""Checks and repairs of a store of Windows: each thing that can be wrong, by its code, and what a repair makes of it."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.native.conftest import Fake
from tests.support.builders import (
    a_file,
    a_layer,
    a_whiteout,
    content_at,
    layer_tar,
)
from tests.support.dockerroot import record_layer
from winlayers.backends.checking import DriverFacts, StoreFinding
from winlayers.backends.contract import Mount
from winlayers.backends.native._journal import Journal
from winlayers.backends.native.backend import NativeBackend
from winlayers.backends.native.check import check_native_store
from winlayers.backends.native.repair import repair_native_store
from winlayers.base.locking import FileLock
from winlayers.base.progress import Cancel
from winlayers.driver.driver import Driver
from winlayers.driver.importing import InlineImporter
from winlayers.driver.metadata import read_layer_chain, read_layer_id
from winlayers.errors import Cancelled, WinlayersError

FACTS = DriverFacts(read_layer_chain, read_layer_id)
BOOT = "UtilityVM/Files/EFI/Microsoft/Boot/BCD"
BASE = layer_tar(
    a_layer(a_file("Files/a.txt", b"a of the base", {"s": b"stream"}), a_file(BOOT, b"regf"))
)
CHILD = layer_tar(a_layer(a_file("Files/b.txt", b"b"), a_whiteout("Files/a.txt")))
REFUSED = 0x80070091  # the folder is not empty: nothing that is tried again
DAY = 24 * 60 * 60
DOCKER_ID = "ab" * 32
OTHER_ID = "cd" * 32
WINDOWS = pytest.mark.parametrize("can_call", [True, False], ids=["windows", "elsewhere"])


@pytest.fixture
def root(tmp_path: Path, fake: Fake) -> Path:
    """A store of a base layer with a utility VM, a layer on it, and a scratch on both."""
    fake.set("FAKE_BARE", "1")
    root = tmp_path / "docker"
    driver = driver_of(root, fake)
    driver.apply_diff("base", "", io.BytesIO(BASE))
    driver.apply_diff("child", "base", io.BytesIO(CHILD))
    driver.create_read_write("scratch", "child")
    return root


def driver_of(root: Path, fake: Fake) -> Driver:
    backend = NativeBackend(root, api=fake.api)
    return Driver(root, backend, InlineImporter(backend))


def found(
    root: Path,
    fake: Fake,
    *,
    deep: bool = False,
    can_call: bool = True,
    facts: DriverFacts = FACTS,
    now_seconds: float | None = None,
) -> list[StoreFinding]:
    return list(
        check_native_store(
            root, facts, deep=deep, can_call=can_call, api=fake.api, now_seconds=now_seconds
        )
    )


def codes(findings: list[StoreFinding]) -> list[tuple[str, str]]:
    return [(one.layer_id, one.code) for one in findings]


def repair(root: Path, fake: Fake, findings: list[StoreFinding], *, can_call: bool = True) -> None:
    """Repair, and let nothing fail."""
    wanted = [one for one in findings if one.is_repairable]

    def fail(error: WinlayersError | OSError, note: str) -> None:
        raise AssertionError(note) from error

    repair_native_store(root, wanted, can_call=can_call, api=fake.api, report=fail)


# Looking


@WINDOWS
def test_sound_store_has_no_findings(root: Path, fake: Fake, can_call: bool) -> None:
    assert found(root, fake, can_call=can_call) == []


def test_tars_of_all_layers_are_made_when_asked(root: Path, fake: Fake) -> None:
    assert found(root, fake, deep=True) == []
    assert "ReadFile" in fake.calls()


def test_no_store_has_no_findings(tmp_path: Path, fake: Fake) -> None:
    assert found(tmp_path / "none", fake) == []


def test_looking_calls_nothing_of_windows_and_changes_nothing(root: Path, fake: Fake) -> None:
    (root / "windowsfilter/gone-removing").mkdir()
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in root.rglob("*"))
    fake.reset()
    assert len(found(root, fake)) == 1
    assert fake.calls() == []
    assert sorted((str(path), path.lstat().st_mtime_ns) for path in root.rglob("*")) == before


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda root: (root / name).write_bytes(content)


def remove(name: str) -> Callable[[Path], object]:
    return lambda root: (root / name).unlink()


def lose_files(root: Path) -> None:
    (root / "windowsfilter/base/Files").rename(root / "lost")


@WINDOWS
@pytest.mark.parametrize(
    ("damage", "layer_id", "code"),
    [
        (write("windowsfilter/child/layerchain.json", b"{no"), "child", "chain-unreadable"),
        (remove("windowsfilter/child/layerchain.json"), "child", "chain-missing"),
        (
            write("windowsfilter/child/layerchain.json", b'["C:\\\\docker\\\\gone"]'),
            "child",
            "chain-parent-missing",
        ),
        (
            write("windowsfilter/scratch/layerchain.json", b'["child"]'),
            "scratch",
            "chain-inconsistent",
        ),
        (write("windowsfilter/child/layerID", b"../base"), "child", "id-unreadable"),
        (write("windowsfilter/child/layerID", b"gone"), "child", "id-dangling"),
        (lose_files, "base", "layer-half"),
        (write("windowsfilter/scratch/sandbox.vhdx", b""), "scratch", "scratch-disk-empty"),
        (remove("windowsfilter/base/bcd.bak"), "base", "boot-copy-missing"),
        (write("winlayers/layers/base/layer.json", b"{"), "base", "ledger-unreadable"),
        (write("winlayers/layers/base/index.db", b"no index"), "base", "ledger-unreadable"),
        (remove("winlayers/layers/base/index.db"), "base", "ledger-unreadable"),
        (remove("winlayers/layers/base/tar-split.json.gz"), "base", "ledger-unreadable"),
    ],
)
def test_damage_is_found_by_its_code(
    root: Path,
    fake: Fake,
    can_call: bool,
    damage: Callable[[Path], object],
    layer_id: str,
    code: str,
) -> None:
    damage(root)
    findings = found(root, fake, can_call=can_call)
    # What stands on a layer whose chain was changed does not fit to it any more.
    mine = [one for one in findings if one.code != "chain-inconsistent" or code == one.code]
    assert codes(mine) == [(layer_id, code)]
    assert mine[0].detail


def test_index_of_another_layer_is_found(root: Path, fake: Fake) -> None:
    ledgers = root / "winlayers/layers"
    (ledgers / "base/index.db").write_bytes((ledgers / "child/index.db").read_bytes())
    assert codes(found(root, fake)) == [("base", "ledger-unreadable")]


def test_base_layer_of_docker_without_boot_copy_is_found(root: Path, fake: Fake) -> None:
    for path in (root / "winlayers/layers/base").iterdir():
        path.unlink()
    assert found(root, fake) == []
    (root / "windowsfilter/base/bcd.bak").unlink()
    assert codes(found(root, fake)) == [("base", "boot-copy-missing")]


def test_changed_file_is_found_when_content_is_read(root: Path, fake: Fake) -> None:
    path = root / "windowsfilter/base/Files/a.txt"
    path.write_bytes(path.read_bytes()[::-1])
    assert found(root, fake) == []
    (finding,) = found(root, fake, deep=True)
    assert (finding.layer_id, finding.code, finding.action) == ("base", "layer-changed", "")
    assert "Files/a.txt" in finding.detail


def test_content_is_read_without_windows(root: Path, fake: Fake) -> None:
    fake.reset()
    # The stand-in keeps alternate streams elsewhere; NTFS-3G shows them beside the file.
    (root / "windowsfilter/base/Files/a.txt:s").write_bytes(b"stream")
    assert found(root, fake, deep=True, can_call=False) == []
    (root / "windowsfilter/child/Files/b.txt").unlink()
    assert codes(found(root, fake, deep=True, can_call=False)) == [("child", "layer-changed")]
    assert fake.calls() == []


def test_cancel_ends_it(root: Path, fake: Fake) -> None:
    cancel = Cancel()
    cancel.set()
    with pytest.raises(Cancelled):
        list(check_native_store(root, FACTS, can_call=True, api=fake.api, cancel=cancel))


def test_scratch_without_disk_is_known_by_who_names_it(root: Path, fake: Fake) -> None:
    (root / "windowsfilter/scratch/sandbox.vhdx").unlink()
    assert found(root, fake) == []  # as one that was created and not filled
    name_container(root, "scratch")
    assert codes(found(root, fake)) == [("scratch", "scratch-disk-missing")]


def test_dead_mounts_are_found(root: Path, fake: Fake) -> None:
    mounts = (
        ("alive", Mount(root)),
        ("gone", Mount(root / "gone")),
        ("ended", Mount(root, 2**22 + 1, "never")),
        ("volume", Mount(Path("\\\\?\\Volume{1}\\"))),
    )
    findings = found(root, fake, can_call=False, facts=replace(FACTS, mounts=mounts))
    dead = [("gone", "mount-dead"), ("ended", "mount-dead")]
    assert codes(findings) == dead + [("volume", "mount-dead")] * (os.name == "nt")
    assert all(one.is_repairable for one in findings)


# Leftovers


def begin_making(root: Path, layer_id: str, files: dict[str, bytes] | None = None) -> None:
    """What a process leaves that dies while it makes a layer."""
    Journal(root / "winlayers/making").begin(layer_id, files)
    (root / f"windowsfilter/{layer_id}/Files/deep").mkdir(parents=True)
    (root / f"windowsfilter/{layer_id}/Files/deep/x").write_bytes(b"x")


def leave_all(root: Path) -> None:
    begin_making(root, "half")
    Journal(root / "winlayers/making").begin("never", None)
    (root / "windowsfilter/old-removing/Files").mkdir(parents=True)
    (root / "windowsfilter/old-removing/Files/x").write_bytes(b"12345")
    (root / "winlayers/layers/lost").mkdir()
    (root / "winlayers/layers/lost/layer.json").write_bytes(b"{}")
    (root / "winlayers/tmp/new.0123456789abcdef/deep").mkdir(parents=True)


LEFT = [
    ("half", "left-making"),
    ("never", "left-making"),
    ("old", "left-removing"),
    ("lost", "ledger-orphaned"),
    ("", "left-staging"),
]


def test_leftovers_are_removed(root: Path, fake: Fake) -> None:
    leave_all(root)
    findings = found(root, fake)
    assert codes(findings) == LEFT
    assert all(one.is_repairable for one in findings)
    assert "5 bytes" in findings[2].detail
    repair(root, fake, findings)
    assert found(root, fake) == []
    assert sorted(os.listdir(root / "windowsfilter")) == ["base", "child", "scratch"]
    assert os.listdir(root / "winlayers/tmp") == []


def test_leftovers_that_need_no_windows_are_removed_anywhere(root: Path, fake: Fake) -> None:
    leave_all(root)
    findings = found(root, fake, can_call=False)
    assert codes(findings) == LEFT
    assert [one.layer_id for one in findings if one.needs_windows] == ["half", "old"]
    fake.reset()
    repair(root, fake, findings, can_call=False)
    assert fake.calls() == []
    assert codes(found(root, fake, can_call=False)) == [LEFT[0], LEFT[2]]


def test_layer_that_is_being_made_is_left_alone(root: Path, fake: Fake) -> None:
    begin_making(root, "half")
    findings = found(root, fake)
    with Journal(root / "winlayers/making").claiming("half"):
        assert found(root, fake) == []
        told: list[str] = []
        repair_native_store(
            root,
            findings,
            can_call=True,
            api=fake.api,
            report=lambda error, note: told.append(note),
        )
    assert (root / "windowsfilter/half").is_dir()


def test_layer_that_was_created_before_is_made_empty_again(root: Path, fake: Fake) -> None:
    begin_making(root, "half", {"layerchain.json": b"null"})
    (finding,) = found(root, fake)
    assert "as it was created" in finding.action
    repair(root, fake, [finding])
    assert os.listdir(root / "windowsfilter/half") == ["layerchain.json"]


@pytest.mark.parametrize("entry", [b"", b"{no", b'{"files": [1]}'])
def test_damaged_entry_of_the_journal_is_removed_with_its_layer(
    root: Path, fake: Fake, entry: bytes
) -> None:
    begin_making(root, "half")
    (root / "winlayers/making/half.json").write_bytes(entry)
    (finding,) = found(root, fake)
    assert (finding.code, finding.is_repairable) == ("left-making", True)
    repair(root, fake, [finding])
    assert not (root / "windowsfilter/half").exists()
    assert found(root, fake) == []


@pytest.mark.parametrize("name", ["old-removing", "half"])
def test_what_windows_does_not_remove_is_removed_by_handle(
    root: Path, fake: Fake, name: str
) -> None:
    outside = root / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"kept")
    begin_making(root, "half")
    (root / "windowsfilter/old-removing/Files").mkdir(parents=True)
    files = root / "windowsfilter" / name / "Files"
    for odd in ("dot.", "blank ", "con", "a\nb", "n" * 255):
        (files / odd).mkdir()
        (files / odd / "x.").write_bytes(b"x")
    (files / "link").symlink_to(outside)
    (files / "read-only").write_bytes(b"")
    (files / "read-only").chmod(0o400)
    fake.fail("DestroyLayer", REFUSED, 2)
    repair(root, fake, [one for one in found(root, fake) if one.path.name == name])
    assert not (root / "windowsfilter" / name).exists()
    assert (outside / "kept").read_bytes() == b"kept"
    assert "NtSetInformationFile" in fake.calls()


def test_what_cannot_be_removed_is_told_and_the_rest_is_done(root: Path, fake: Fake) -> None:
    leave_all(root)
    findings = found(root, fake)
    fake.fail("DestroyLayer", REFUSED, 9)
    fake.fail("NtCreateFile", -1073741790, 99)  # access denied
    told: list[tuple[str, list[str]]] = []
    repair_native_store(
        root,
        findings,
        can_call=True,
        api=fake.api,
        report=lambda error, note: told.append((note, error.__notes__)),
    )
    fake.reset()
    assert [note.rpartition(": ")[2] for note, _ in told] == ["left-making.", "left-removing."]
    assert all("before, Windows refused" in notes[0] for _, notes in told)
    assert codes(found(root, fake)) == [LEFT[0], LEFT[2]]
    repair(root, fake, found(root, fake))
    assert found(root, fake) == []


# Ledgers


@WINDOWS
def test_damaged_ledger_is_removed_and_made_again(root: Path, fake: Fake, can_call: bool) -> None:
    (root / "winlayers/layers/base/index.db").write_bytes(b"damaged")
    record_layer(root, "base", BASE)
    findings = found(root, fake, can_call=can_call)
    repair(root, fake, findings, can_call=can_call)
    assert not (root / "winlayers/layers/base").exists()
    driver = driver_of(root, fake)
    with driver.view("base") as view:
        assert content_at(view, "Files/a.txt") == b"a of the base"
    with driver.diff("base") as tar:
        assert tar.read() == BASE
    assert found(root, fake, deep=True) == []


def test_ledger_that_was_made_again_meanwhile_stays(root: Path, fake: Fake) -> None:
    path = root / "winlayers/layers/base/layer.json"
    content = path.read_bytes()
    path.write_bytes(b"{")
    findings = found(root, fake)
    path.write_bytes(content)
    repair(root, fake, findings)
    assert path.read_bytes() == content


def test_ledger_that_is_being_read_stays(root: Path, fake: Fake) -> None:
    (root / "winlayers/layers/base/index.db").write_bytes(b"damaged")
    findings = found(root, fake)
    told: list[str] = []
    with FileLock(root / "winlayers/reading/base.lock").acquire(shared=True):
        repair_native_store(
            root,
            findings,
            can_call=False,
            report=lambda error, note: told.append(f"{error} {note}"),
        )
    assert "is being read" in told[0]
    assert (root / "winlayers/layers/base").is_dir()


# Orphans


def name_container(root: Path, mount_id: str, init_id: str = "") -> None:
    folder = root / "image/windowsfilter/layerdb/mounts/container"
    folder.mkdir(parents=True)
    (folder.parents[1] / "sha256").mkdir(exist_ok=True)
    (folder / "mount-id").write_text(mount_id)
    if init_id:
        (folder / "init-id").write_text(init_id)


def a_docker_layer(root: Path, layer_id: str, *parents: str) -> Path:
    folder = root / "windowsfilter" / layer_id
    (folder / "Files").mkdir(parents=True)
    (folder / "Files/x").write_bytes(b"1234567")
    paths = [f"C:\\ProgramData\\docker\\windowsfilter\\{one}" for one in parents]
    (folder / "layerchain.json").write_text(json.dumps(paths or None))
    return folder


def later(root: Path, fake: Fake, facts: DriverFacts = FACTS) -> list[StoreFinding]:
    return found(root, fake, facts=facts, now_seconds=time.time() + DAY + 60)


def test_without_a_database_of_docker_nothing_is_an_orphan(root: Path, fake: Fake) -> None:
    a_docker_layer(root, DOCKER_ID)
    assert later(root, fake) == []


def test_layer_that_docker_names_nowhere_is_an_orphan(root: Path, fake: Fake) -> None:
    a_docker_layer(root, DOCKER_ID)
    record_layer(root, "base", BASE)
    (finding,) = later(root, fake)
    assert (finding.layer_id, finding.code) == (DOCKER_ID, "layer-orphaned")
    assert finding.detail.startswith("holds ")
    assert finding.action == "remove the layer"
    # In a day much can be noted that is being made now.
    assert found(root, fake) == []


@pytest.mark.parametrize("by", ["cache-id", "mount-id", "init-id"])
def test_layer_that_docker_names_is_none(root: Path, fake: Fake, by: str) -> None:
    a_docker_layer(root, DOCKER_ID)
    a_docker_layer(root, OTHER_ID, DOCKER_ID)
    (root / "windowsfilter" / OTHER_ID / "sandbox.vhdx").write_bytes(b"disk")
    if by == "cache-id":
        record_layer(root, OTHER_ID, BASE)
    elif by == "mount-id":
        name_container(root, OTHER_ID)
    else:
        name_container(root, "scratch", OTHER_ID)
    assert later(root, fake) == []


def test_parent_of_a_layer_that_somebody_else_made_is_none(root: Path, fake: Fake) -> None:
    a_docker_layer(root, DOCKER_ID)
    a_docker_layer(root, "mine", DOCKER_ID)
    record_layer(root, "base", BASE)
    assert later(root, fake) == []


def test_layer_that_is_mounted_or_has_another_id_is_none(root: Path, fake: Fake) -> None:
    a_docker_layer(root, DOCKER_ID)
    record_layer(root, "base", BASE)
    assert later(root, fake, replace(FACTS, mounts=((DOCKER_ID, Mount(root)),)))[1:] == []
    (root / "windowsfilter" / DOCKER_ID / "layerID").write_text("base")
    assert later(root, fake) == []


def test_orphans_stay_where_a_layer_does_not_tell_its_parents(root: Path, fake: Fake) -> None:
    a_docker_layer(root, DOCKER_ID)
    record_layer(root, "base", BASE)
    (root / "windowsfilter/child/layerchain.json").write_bytes(b"{no")
    orphan = later(root, fake)[-1]
    assert (orphan.code, orphan.action, orphan.is_repairable) == ("layer-orphaned", "", False)
